//! `wait`: until objects are as they should be.
//!
//! In: objects and a condition. Out: a line for each that meets it; an error for each that does not in time. Waits on
//! the server's watch and never polls.

use std::process::ExitCode;
use std::time::Duration;

use kedge_client::{Informer, ListOptions, ResourcePath, Step, WatchOptions};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::args::{DryRun, Wait};
use crate::delete::gone;
use crate::error::Failure;
use crate::label::{One, targets};
use crate::output::{JsonPath, text};
use crate::resource::Target;
use crate::session::{Session, duration};
use crate::written::Written;

/// What less than nothing stands for.
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// What is waited for.
#[derive(Debug, PartialEq)]
enum Condition {
    Create,
    Delete,
    Is { kind: String, status: String },
    Path { path: JsonPath, value: Option<String> },
}

impl Condition {
    fn parse(given: &str) -> Result<Condition, Failure> {
        match given.to_lowercase().as_str() {
            "create" => return Ok(Condition::Create),
            "delete" => return Ok(Condition::Delete),
            _ => {}
        }
        if let Some(rest) = given.strip_prefix("condition=") {
            let (kind, status) = rest.split_once('=').unwrap_or((rest, "true"));
            if !kind.is_empty() && !status.is_empty() {
                return Ok(Condition::Is { kind: kind.to_owned(), status: status.to_owned() });
            }
        }
        if let Some(rest) = given.strip_prefix("jsonpath=") {
            // A filter in the path may have a sign of equality of its own.
            let (path, value) = match rest.rfind('}') {
                Some(end) => (&rest[..=end], rest[end + 1..].trim_start_matches(['\'', '"'])),
                None => rest.split_at(rest.find('=').unwrap_or(rest.len())),
            };
            let trim = |text: &str| text.trim_matches(['\'', '"']).to_owned();
            let inner = trim(path);
            let inner = inner.trim_start_matches('{').trim_end_matches('}').trim();
            let dot = if inner.starts_with(['.', '[', '$']) { "" } else { "." };
            let value = match value {
                "" => None,
                value => Some(trim(value.strip_prefix('=').unwrap_or(value))),
            };
            if inner.is_empty() || value.as_deref() == Some("") {
                return Err(Failure::said("jsonpath wait has to have a path, and a value that is not empty after ="));
            }
            return Ok(Condition::Path { path: JsonPath::parse(&format!("{{{dot}{inner}}}"))?, value });
        }
        Err(Failure::said(format!(
            "unrecognized condition: \"{given}\"; there are create, delete, condition=NAME[=VALUE] and jsonpath='{{PATH}}'[=VALUE]"
        )))
    }

    /// Whether an object that is there meets it.
    fn met(&self, object: &Value) -> Result<bool, Failure> {
        match self {
            Condition::Create => Ok(true),
            Condition::Delete => Ok(false),
            Condition::Is { kind, status } => {
                let conditions = object["status"]["conditions"].as_array();
                let same = |value: &Value, wanted: &str| value.as_str().is_some_and(|t| t.eq_ignore_ascii_case(wanted));
                let found = conditions.into_iter().flatten().find(|c| same(&c["type"], kind));
                Ok(found.is_some_and(|c| !outdated(object, c) && same(&c["status"], status)))
            }
            Condition::Path { path, value } => {
                let found = path.find(object).unwrap_or_default();
                match (found.as_slice(), value) {
                    ([], _) | ([Value::Null], _) => Ok(false),
                    (_, None) => Ok(true),
                    ([Value::Object(_) | Value::Array(_)], Some(_)) => {
                        Err(Failure::said("jsonpath leads to a nested object or list, which are not supported"))
                    }
                    ([only], Some(value)) => Ok(text(only) == *value),
                    _ => Err(Failure::said("given jsonpath expression matches more than one value")),
                }
            }
        }
    }
}

/// Whether a condition tells of an older generation of its object.
fn outdated(object: &Value, condition: &Value) -> bool {
    let observed = condition["observedGeneration"].as_i64().or(object["status"]["observedGeneration"].as_i64());
    match (object["metadata"]["generation"].as_i64(), observed) {
        (Some(generation), Some(observed)) => observed < generation,
        _ => false,
    }
}

/// How long it may take.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Patience {
    Once,
    For(Duration),
}

impl Patience {
    fn parse(given: &str) -> Result<Patience, Failure> {
        if let Some(rest) = given.strip_prefix('-') {
            return duration(rest).map(|_| Patience::For(WEEK));
        }
        Ok(duration(given)?.filter(|limit| !limit.is_zero()).map_or(Patience::Once, Patience::For))
    }
}

/// Runs the verb.
pub async fn run(mut session: Session, args: Wait) -> Result<ExitCode, Failure> {
    let condition = Condition::parse(&args.condition)?;
    let patience = Patience::parse(&args.timeout)?;
    if args.all_namespaces {
        session.namespace = String::new();
    }
    let deadline = match patience {
        Patience::Once => None,
        Patience::For(limit) => Some(Instant::now() + limit),
    };
    let mut chosen = targets(&session, &args.which, &args.files, args.all).await?;
    if chosen.is_empty() && condition == Condition::Create {
        let first = tokio::time::timeout_at(deadline.unwrap_or_else(Instant::now), any(&session, &args)).await;
        chosen.push(first.map_err(|_| Failure::said("timed out waiting for the condition"))??);
    }
    if chosen.is_empty() && condition != Condition::Delete {
        return Err(Failure::said("no matching resources found"));
    }
    let mut written = Written::new(args.output.as_deref(), DryRun::None)?;
    let whole = args.output.as_deref().is_some_and(|output| !matches!(output, "" | "name"));
    for one in &chosen {
        let (resource, _, name) = one;
        let done = match deadline {
            None => look(&session, one, &condition).await,
            Some(deadline) => {
                tokio::time::timeout_at(deadline, settle(&session, one, &condition)).await.unwrap_or(Ok(None))
            }
        };
        match done {
            Ok(Some(true)) => {
                let mut object = json!({"metadata": {"name": name}});
                if whole && let Some(now) = session.client.get_opt(&path(one)).await? {
                    object = now;
                }
                written.done(resource, object, "condition met");
            }
            Ok(Some(false)) => {}
            Ok(None) => {
                written.failed(&format!("error: timed out waiting for the condition on {}/{name}\n", resource.plural))
            }
            Err(failure) => written.failed(&failure.words()),
        }
    }
    written.end()
}

fn path((resource, namespace, name): &One) -> ResourcePath {
    resource.path(namespace.as_deref()).name(&**name)
}

/// Looks once: met, needless (what shall be deleted is not there), or not.
async fn look(session: &Session, one: &One, condition: &Condition) -> Result<Option<bool>, Failure> {
    match (session.client.get_opt(&path(one)).await?, condition) {
        (None, Condition::Delete) => Ok(Some(false)),
        (None, Condition::Create) => Ok(None),
        (None, _) => Err(session.client.get(&path(one)).await.err().map_or_else(changing, Failure::from)),
        (Some(object), condition) => Ok(condition.met(&object)?.then_some(true)),
    }
}

fn changing() -> Failure {
    Failure::said("the object comes and goes; try again")
}

/// Looks, and then waits.
async fn settle(session: &Session, one: &One, condition: &Condition) -> Result<Option<bool>, Failure> {
    if let Some(known) = look(session, one, condition).await? {
        return Ok(Some(known));
    }
    if *condition == Condition::Delete {
        gone(session, &path(one), None).await?;
        return Ok(Some(true));
    }
    let (resource, namespace, name) = one;
    let options =
        WatchOptions { fields: Some(format!("metadata.name={name}")), remote: true, ..WatchOptions::default() };
    let mut informer = Informer::<Value>::new(session.client.clone(), resource.path(namespace.as_deref()), options);
    let mut there = false;
    loop {
        match informer.next().await {
            Step::Apply(object) => {
                there = true;
                if condition.met(&object)? {
                    return Ok(Some(true));
                }
            }
            Step::Restart => there = false,
            Step::Synced if there || *condition == Condition::Create => {}
            // It went meanwhile: that is told, unless it has come again.
            Step::Synced | Step::Delete(_) if *condition != Condition::Create => {
                if let Some(known) = look(session, one, condition).await? {
                    return Ok(Some(known));
                }
            }
            Step::Synced | Step::Delete(_) => {}
        }
    }
}

/// The first object that is chosen by type or selector alone.
async fn any(session: &Session, args: &Wait) -> Result<One, Failure> {
    let catalogue = session.catalogue().await?;
    let kinds = catalogue.targets(&args.which.words)?;
    let waits = kinds.into_iter().map(|Target { resource, .. }| {
        let options = WatchOptions {
            labels: args.which.selector.clone(),
            fields: args.which.field_selector.clone(),
            remote: true,
        };
        Box::pin(async move {
            let path = resource.path(Some(&session.namespace));
            // A mistake must be told once and not be tried for ever.
            let list = ListOptions {
                labels: options.labels.clone(),
                fields: options.fields.clone(),
                ..ListOptions::default()
            };
            session.client.list(&path, &list).await?;
            let mut informer = Informer::<Value>::new(session.client.clone(), path, options);
            loop {
                if let Step::Apply(object) = informer.next().await {
                    let text = |field: &str| object["metadata"][field].as_str().map(str::to_owned);
                    return Ok::<One, Failure>((resource, text("namespace"), text("name").unwrap_or_default()));
                }
            }
        })
    });
    futures::future::select_all(waits).await.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(condition: &str, object: &Value, expected: bool) {
        assert_eq!(Condition::parse(condition).unwrap().met(object).unwrap(), expected, "{condition}");
    }

    #[test]
    fn conditions_are_those_of_this_generation() {
        let object = |observed: i64| {
            json!({"metadata": {"generation": 2}, "status": {"observedGeneration": observed, "conditions": [
                {"type": "Available", "status": "True"}, {"type": "Progressing", "status": "False"}]}})
        };
        check("condition=Available", &object(2), true);
        check("condition=available=TRUE", &object(2), true);
        check("condition=Available", &object(1), false);
        check("condition=Progressing", &object(2), false);
        check("condition=Progressing=false", &object(2), true);
        check("condition=Ready", &object(2), false);
        check("create", &object(2), true);
        check("delete", &object(2), false);
    }

    #[test]
    fn paths_lead_to_values() {
        let pod = json!({"status": {"phase": "Running", "n": 3, "list": [{"a": "x", "b": "y"}]}});
        check("jsonpath={.status.phase}=Running", &pod, true);
        check("jsonpath='{.status.phase}'=Running", &pod, true);
        check("jsonpath='{.status.phase}'='Running'", &pod, true);
        check("jsonpath={.status.phase}=Failed", &pod, false);
        check("jsonpath=.status.n=3", &pod, true);
        check("jsonpath={.status.podIP}", &pod, false);
        check("jsonpath={.status.phase}", &pod, true);
        check("jsonpath={.status.list[?(@.a==\"x\")].b}=y", &pod, true);
        assert!(Condition::parse("jsonpath={.status}=x").unwrap().met(&pod).is_err());
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        for given in ["", "ready", "condition=", "condition=a=", "jsonpath=", "jsonpath={.a}="] {
            assert!(Condition::parse(given).is_err(), "{given}");
        }
    }

    #[test]
    fn patience_is_kubectls() {
        for (given, expected) in [
            ("0", Patience::Once),
            ("0s", Patience::Once),
            ("30s", Patience::For(Duration::from_secs(30))),
            ("-1s", Patience::For(WEEK)),
        ] {
            assert_eq!(Patience::parse(given).unwrap(), expected);
        }
        assert!(Patience::parse("soon").is_err());
    }

    #[tokio::test]
    async fn mistakes_end_at_once() {
        for (words, why) in [
            ("--for=create ,", "names no resource type"),
            ("--for=create pods --timeout=18446744073709551615", "invalid duration"),
            ("--for=create pod/a --timeout=0 -o xml", "xml"),
        ] {
            let (session, _) = crate::fake::session(|_| (200, json!({"metadata": {"name": "a"}})));
            let line = format!("edgectl wait {words}");
            let crate::args::Verb::Wait(args) = crate::args::read(&line).unwrap().verb else { panic!("{line}") };
            let said = run(session, args).await.unwrap_err().to_string();
            assert!(said.contains(why), "{said}");
        }
    }
}
