//! `describe`: an object for reading, with its events.
//!
//! In: objects. Out: kubectl's layout for the kinds it has one for; every other kind field by field. Never shows a
//! secret's value.

mod access;
mod autoscaler;
mod batch;
mod containers;
mod env;
mod events;
mod generic;
#[cfg(test)]
mod hostile;
mod kinds;
mod network_policy;
mod node;
mod page;
mod pod;
mod policy;
mod probe;
mod related;
mod request;
mod service;
mod signing;
mod storage;
mod traffic;
mod values;
mod volumes;
mod workloads;

use std::process::ExitCode;
use std::time::SystemTime;

use kedge_client::{ListOptions, ResourcePath};
use serde_json::{Value, json};

use crate::args::Describe;
use crate::error::Failure;
use crate::label::{One, targets};
use crate::resource::Resource;
use crate::session::Session;
use page::Page;
use values::items;

pub use values::selector;

/// A pod template on its own, for the history of a rollout; its columns are apart by tabs.
pub fn pod_template(value: &Value) -> String {
    let mut page = Page::default();
    pod::template(value, &mut page);
    page.plain()
}

/// Runs the verb.
pub async fn run(session: Session, args: Describe) -> Result<ExitCode, Failure> {
    let mut session = session;
    if args.all_namespaces {
        session.namespace = String::new();
    }
    if args.which.words.is_empty() && !args.files.are_given() {
        return Err(Failure::said(
            "You must specify the type of resource to describe. Use \"edgectl api-resources\" for a complete list of supported resources.",
        ));
    }
    let mut chosen = targets(&session, &args.which, &args.files, true).await?;
    // Only this version of an autoscaler says everything of its metrics.
    for (resource, ..) in chosen.iter_mut().filter(|one| kinds::layout(&one.0) == "HorizontalPodAutoscaler") {
        "v2".clone_into(&mut resource.version);
    }
    if chosen.is_empty() {
        match args.all_namespaces {
            true => eprintln!("No resources found"),
            false => eprintln!("No resources found in {} namespace.", session.namespace),
        }
    }
    let mut pages = Pages { session: &session, show_events: args.show_events, of_one: chosen.len() == 1, printed: 0 };
    let mut failed = false;
    for one in &chosen {
        if let Err(failure) = pages.show(one, is_alone(&args)).await {
            failed = true;
            eprint!("{}", failure.words());
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Whether the command line is a type and one word more, which may be but the beginning of names.
fn is_alone(args: &Describe) -> bool {
    matches!(args.which.words.as_slice(), [of, _] if !of.contains(['/', ',']))
}

/// Pages, one after the other.
struct Pages<'a> {
    session: &'a Session,
    /// What was said of events.
    show_events: Option<bool>,
    /// Whether there is but one page, which has its events unless something else was said.
    of_one: bool,
    printed: usize,
}

impl Pages<'_> {
    /// Shows an object; of a name that nobody has, those whose names begin so, if that is asked for.
    async fn show(&mut self, one: &One, or_beginning: bool) -> Result<(), Failure> {
        let (resource, namespace, name) = one;
        let missing = match self.session.client.get(&resource.path(namespace.as_deref()).name(&**name)).await {
            Ok(object) => {
                if self.printed > 0 {
                    println!("\n");
                }
                self.printed += 1;
                print!("{}", page(self.session, resource, &object, self.show_events.unwrap_or(self.of_one)).await);
                return Ok(());
            }
            Err(error) if error.is_not_found() && or_beginning => error,
            Err(error) => return Err(error.into()),
        };
        let list = self.session.client.list(&resource.path(namespace.as_deref()), &ListOptions::default()).await?;
        let begins = |object: &&Value| object["metadata"]["name"].as_str().is_some_and(|n| n.starts_with(&**name));
        let found: Vec<&Value> = items(&list["items"]).filter(begins).collect();
        if found.is_empty() {
            return Err(missing.into());
        }
        for object in found {
            let mut object = object.clone();
            (object["apiVersion"], object["kind"]) = (json!(resource.api_version()), json!(resource.kind));
            println!("{}", page(self.session, resource, &object, self.show_events.unwrap_or(false)).await);
        }
        Ok(())
    }
}

/// The whole page. What the user may not see besides the object is left out or said to be hidden; the rest is shown.
async fn page(session: &Session, resource: &Resource, object: &Value, show_events: bool) -> String {
    let (layout, now) = (kinds::layout(resource), SystemTime::now());
    let mut page = Page::default();
    kinds::describe(layout, object, &related::related(session, layout, object).await, now, &mut page);
    if layout == "Node" {
        let fields = format!("spec.nodeName={}", object["metadata"]["name"].as_str().unwrap_or(""));
        let options = ListOptions { fields: Some(fields), ..ListOptions::default() };
        let pods = session.client.list(&ResourcePath::core("pods"), &options).await.ok();
        node::pods(object, pods.as_ref(), now, &mut page);
    }
    if show_events
        && !kinds::WITHOUT_EVENTS.contains(&layout)
        && let Ok(found) = related::found_events(session, layout, object).await
    {
        events::events(found, now, &mut page);
    }
    page.text()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Verb, read};
    use crate::fake::{self, refusal};

    fn resource(group: &str, kind: &str) -> Resource {
        let plural = format!("{}s", kind.to_lowercase());
        Resource {
            group: group.to_owned(),
            version: "v1".to_owned(),
            kind: kind.to_owned(),
            plural,
            namespaced: kind != "Node",
            ..Resource::default()
        }
    }

    #[tokio::test]
    async fn what_the_user_may_not_see_does_not_hide_the_rest() {
        let (session, log) = fake::session(|_| refusal(403, "Forbidden"));
        let object = json!({"metadata": {"name": "n", "uid": "u"}});
        let text = page(&session, &resource("", "Node"), &object, true).await;
        assert!(text.starts_with("Name:") && text.contains("not authorized") && !text.contains("Events"), "{text}");
        let asked = log.lines();
        let events = "GET /api/v1/events?fieldSelector=involvedObject.kind%3DNode%2CinvolvedObject.name%3Dn";
        assert!(asked.iter().any(|line| line == events), "{asked:?}");
        let object =
            json!({"metadata": {"name": "a", "namespace": "b"}, "spec": {"selector": {"matchLabels": {"x": "y"}}}});
        let text = page(&session, &resource("apps", "ReplicaSet"), &object, true).await;
        assert!(text.contains("<the pods cannot be listed>"), "{text}");
        // A kind of the same name in another group is nothing that has pods.
        let (session, log) = fake::session(|_| refusal(403, "Forbidden"));
        page(&session, &resource("example.com", "Node"), &object, false).await;
        assert!(log.lines().is_empty(), "{:?}", log.lines());
    }

    #[tokio::test]
    async fn the_beginning_of_a_name_is_enough() {
        for (line, expected) in [
            ("edgectl describe pod we --show-events=false", ExitCode::SUCCESS),
            ("edgectl describe pod x --show-events=false", ExitCode::FAILURE),
            ("edgectl describe pod/we --show-events=false", ExitCode::FAILURE),
        ] {
            let (session, _) = fake::session(|asked| match asked.line.as_str() {
                "GET /api/v1/namespaces/default/pods" => {
                    (200, json!({"items": [{"metadata": {"name": "web-1"}}, {"metadata": {"name": "other"}}]}))
                }
                _ => refusal(404, "NotFound"),
            });
            let Verb::Describe(args) = read(line).unwrap().verb else { panic!("{line}") };
            assert_eq!(run(session, args).await.unwrap(), expected, "{line}");
        }
    }
}
