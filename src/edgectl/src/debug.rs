//! `debug`: a container to look around with, in a running pod, in a copy of one, or on a node.
//!
//! In: a target, an image, flags. Out: an ephemeral container, or a pod; with -i or --attach a session with it. Never
//! changes what runs, but for a pod that --replace gives up.

mod pods;
mod profile;

use std::hash::{BuildHasher as _, Hasher as _};
use std::process::ExitCode;

use kedge_client::{DeleteOptions, PatchKind, PatchOptions, ResourcePath, WriteOptions};
use serde_json::{Map, Value, json};

use crate::args::{Inspect, Profile};
use crate::error::Failure;
use crate::run::{self, check_policy, check_terminal, fill, join_or_read};
use crate::session::Session;

/// What is looked into.
#[derive(Debug, PartialEq)]
enum Target<'a> {
    Pod(&'a str),
    Node(&'a str),
}

/// Runs the verb.
pub async fn run(session: Session, args: Inspect) -> Result<ExitCode, Failure> {
    check(&args)?;
    let target = target(&session, &args).await?;
    if args.profile == Profile::Legacy {
        eprintln!(
            "--profile=legacy is deprecated and planned to be removed in v1.39. It is recommended to specify other profile, for example \"--profile=general\"."
        );
    }
    if let Some(of) = args.of_container.as_deref().filter(|_| !args.own.quiet) {
        println!(
            "Targeting container \"{of}\". If you don't see processes from this container it may be because the container runtime doesn't support this feature."
        );
    }
    let (name, container) = match target {
        Target::Node(node) => on_node(&session, &args, node).await?,
        Target::Pod(pod) => match &args.copy_to {
            Some(copy) => copied(&session, &args, pod, copy).await?,
            None => added(&session, &args, pod).await?,
        },
    };
    if args.own.attach.unwrap_or(args.own.stdin) {
        let begun = |pod: &Value| state(pod, &container).is_some();
        let pod = run::until(&session, &name, None, begun).await?;
        if state(&pod, &container) == Some("terminated") {
            crate::logs::print(&session, &name, &container, 0).await?;
        } else {
            join_or_read(&session, &pod, &container, (args.own.stdin, args.own.tty), args.own.quiet).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn check(args: &Inspect) -> Result<(), Failure> {
    let refused = |words: &str| Err(Failure::said(words));
    if args.copy_to.is_none() {
        for (given, flag) in
            [(args.replace, "--replace"), (args.same_node, "--same-node"), (!args.set_image.is_empty(), "--set-image")]
        {
            if given {
                return Err(Failure::said(format!("{flag} may only be used with --copy-to.")));
            }
        }
        if args.image.is_none() {
            return refused("you must specify --image when not using --copy-to.");
        }
    } else {
        if args.of_container.is_some() {
            return refused("--target is incompatible with --copy-to. Use --share-processes instead.");
        }
        if args.image.is_none() && args.set_image.is_empty() && args.words.is_empty() {
            return refused("you must specify --image, --set-image or command arguments.");
        }
    }
    check_terminal(&args.own)?;
    check_policy(&args.own)
}

async fn target<'a>(session: &Session, args: &'a Inspect) -> Result<Target<'a>, Failure> {
    let Some((of, name)) = args.target.split_once('/') else { return Ok(Target::Pod(&args.target)) };
    let catalogue = session.catalogue().await?;
    let resource = catalogue.find(of)?;
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Pod") => Ok(Target::Pod(name)),
        ("", "Node") => Ok(Target::Node(name)),
        _ => {
            let (version, kind) = (resource.api_version(), &resource.kind);
            Err(Failure::said(format!("\"{version}, Kind={kind}\" not supported by debug")))
        }
    }
}

/// The name of the debug container; one that is made up is told.
fn container_name(args: &Inspect) -> String {
    args.container.clone().unwrap_or_else(|| {
        let name =
            format!("debugger-{}", suffix(std::collections::hash_map::RandomState::new().build_hasher().finish()));
        if !args.own.quiet {
            eprintln!("Defaulting debug container name to {name}.");
        }
        name
    })
}

/// Five letters that spell no words, of a random number.
fn suffix(mut random: u64) -> String {
    const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut letter = || {
        let at = random % LETTERS.len() as u64;
        random /= LETTERS.len() as u64;
        char::from(LETTERS[at as usize])
    };
    (0..5).map(|_| letter()).collect()
}

/// The container that is asked for.
fn container(args: &Inspect, name: &str, image: &str) -> Result<Map<String, Value>, Failure> {
    let mut made = Map::new();
    let mut put = |key: &str, value: Value| drop(made.insert(key.to_owned(), value));
    put("name", json!(name));
    put("image", json!(image));
    put("terminationMessagePolicy", json!("File"));
    if !args.words.is_empty() {
        put(if args.arguments_only { "args" } else { "command" }, json!(args.words));
    }
    fill(&args.own, &mut made)?;
    Ok(made)
}

/// An ephemeral container in the pod.
async fn added(session: &Session, args: &Inspect, pod: &str) -> Result<(String, String), Failure> {
    let path = ResourcePath::core("pods").namespace(&*session.namespace).name(pod);
    session.client.get(&path).await?;
    let name = container_name(args);
    let mut made = container(args, &name, args.image.as_deref().unwrap_or(""))?;
    if let Some(of) = &args.of_container {
        made.insert("targetContainerName".to_owned(), json!(of));
    }
    profile::container(args.profile, false, &mut made);
    let patch = json!({"spec": {"ephemeralContainers": [made]}});
    let options = PatchOptions { write: manager(), ..PatchOptions::default() };
    session.client.patch(&path.subresource("ephemeralcontainers"), PatchKind::Strategic, &patch, &options).await?;
    Ok((pod.to_owned(), name))
}

/// A copy of the pod.
async fn copied(session: &Session, args: &Inspect, pod: &str, copy: &str) -> Result<(String, String), Failure> {
    let pods = ResourcePath::core("pods").namespace(&*session.namespace);
    let original = session.client.get(&pods.clone().name(pod)).await?;
    let (made, container) = pods::copy(args, &original, copy)?;
    if args.replace {
        session.client.delete(&pods.clone().name(pod), &DeleteOptions::default()).await?;
    }
    session.client.create(&pods, &made, &manager()).await?;
    Ok((copy.to_owned(), container))
}

/// A pod on the node, with what of the node the profile shows.
async fn on_node(session: &Session, args: &Inspect, node: &str) -> Result<(String, String), Failure> {
    session.client.get(&ResourcePath::core("nodes").name(node)).await?;
    let container = args.container.clone().unwrap_or_else(|| "debugger".to_owned());
    let made = pods::on_node(args, node, &container)?;
    let pods = ResourcePath::core("pods").namespace(&*session.namespace);
    let made = session.client.create(&pods, &made, &manager()).await?;
    let name = made["metadata"]["name"].as_str().unwrap_or("").to_owned();
    if !args.own.quiet {
        println!("Creating debugging pod {name} with container {container} on node {node}.");
    }
    Ok((name, container))
}

fn manager() -> WriteOptions {
    WriteOptions { field_manager: Some("kubectl-debug".to_owned()), ..WriteOptions::default() }
}

/// Whether a container runs or has ended; `None` before.
fn state(pod: &Value, container: &str) -> Option<&'static str> {
    let lists = ["ephemeralContainerStatuses", "containerStatuses", "initContainerStatuses"];
    let mut all = lists.iter().filter_map(|list| pod["status"][*list].as_array()).flatten();
    let status = all.find(|status| status["name"] == container)?;
    ["running", "terminated"].into_iter().find(|state| status["state"][*state].is_object())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Verb, read};
    use crate::fake;

    pub(super) fn args(line: &str) -> Inspect {
        let Verb::Debug(args) = read(&format!("edgectl debug {line}")).unwrap().verb else { panic!("{line}") };
        args
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (line, why) in [
            ("a", "you must specify --image when not"),
            ("a --copy-to=b", "you must specify --image, --set-image or"),
            ("a --copy-to=b --image=i --target=c", "--target is incompatible"),
            ("a --image=i --replace", "--replace may only"),
            ("a --image=i --same-node", "--same-node may only"),
            ("a --set-image=*=x", "--set-image may only"),
            ("a --image=i -t", "-i/--stdin is required"),
            ("a --image=i --image-pull-policy=X", "invalid image pull policy: X"),
        ] {
            assert!(check(&args(line)).unwrap_err().to_string().starts_with(why), "{line}");
        }
        assert!(read("edgectl debug a --image=i --profile=nosuch").is_err());
    }

    #[test]
    fn names_are_made_of_few_letters() {
        assert_eq!((suffix(0), suffix(27 * 26 + 1)), ("bbbbb".to_owned(), "c9bbb".to_owned()));
        assert_eq!(suffix(u64::MAX).len(), 5);
    }

    #[test]
    fn states_are_those_of_the_container_meant() {
        let pod = json!({"status": {"containerStatuses": [{"name": "a", "state": {"running": {}}}, 7],
            "ephemeralContainerStatuses": [{"name": "b", "state": {"terminated": {}}}, {"name": "c", "state": {"waiting": {}}}]}});
        assert_eq!(
            ["a", "b", "c", "d"].map(|name| state(&pod, name)),
            [Some("running"), Some("terminated"), None, None]
        );
    }

    #[tokio::test]
    async fn an_ephemeral_container_is_asked_for_by_a_patch() {
        let (session, asked) = fake::session(|_| (200, json!({"metadata": {"name": "a"}})));
        let args = args("a --image=i -c d --target=web --env=A=b -q -- sh -c x");
        run(session, args).await.unwrap();
        let asked = asked.all();
        let patch = asked.last().unwrap();
        assert!(
            patch.line.starts_with("PATCH /api/v1/namespaces/default/pods/a/ephemeralcontainers?"),
            "{}",
            patch.line
        );
        assert_eq!(
            patch.body["spec"]["ephemeralContainers"],
            json!([{"name": "d", "image": "i", "terminationMessagePolicy": "File", "env": [{"name": "A", "value": "b"}],
                "command": ["sh", "-c", "x"], "targetContainerName": "web",
                "securityContext": {"capabilities": {"add": ["SYS_PTRACE"]}}}])
        );
    }
}
