//! `cluster-info dump`: what is needed to find a fault, in one go.
//!
//! In: namespaces. Out: lists as JSON, and logs, to standard output or to files. Never a secret.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use futures::StreamExt as _;
use kedge_client::{ListOptions, ResourcePath};
use serde_json::Value;

use crate::args::Dump;
use crate::error::Failure;
use crate::output;
use crate::session::Session;

/// What is told of each namespace: API group, plural.
const LISTS: [(&str, &str); 7] = [
    ("", "events"),
    ("", "replicationcontrollers"),
    ("", "services"),
    ("apps", "daemonsets"),
    ("apps", "deployments"),
    ("apps", "replicasets"),
    ("", "pods"),
];

/// Runs the verb. What cannot be read is told, and the rest is dumped.
pub async fn run(session: Session, args: Dump) -> Result<ExitCode, Failure> {
    let folder = args.output_directory.as_deref().filter(|folder| *folder != Path::new("-"));
    let mut dump = Dumped { session: &session, folder, failed: false };
    dump.list("", ResourcePath::core("nodes"), "nodes").await?;
    for namespace in namespaces(&session, &args).await? {
        let mut pods = Value::Null;
        for (group, plural) in LISTS {
            let path = ResourcePath::new(group, "v1", plural).namespace(&*namespace);
            pods = dump.list(&namespace, path, plural).await?;
        }
        for pod in pods["items"].as_array().into_iter().flatten() {
            let name = pod["metadata"]["name"].as_str().unwrap_or("");
            for container in pod["spec"]["containers"].as_array().into_iter().flatten() {
                dump.log(&namespace, name, container["name"].as_str().unwrap_or("")).await?;
            }
        }
    }
    if let Some(folder) = folder {
        println!("Cluster info dumped to {}", folder.display());
    }
    Ok(if dump.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn namespaces(session: &Session, args: &Dump) -> Result<Vec<String>, Failure> {
    if !args.all_namespaces && !args.namespaces.is_empty() {
        return Ok(args.namespaces.clone());
    }
    if args.all_namespaces {
        let list = session.client.list(&ResourcePath::core("namespaces"), &ListOptions::default()).await?;
        let names = list["items"].as_array().into_iter().flatten().filter_map(|one| one["metadata"]["name"].as_str());
        return Ok(names.map(str::to_owned).collect());
    }
    let mut usual = vec!["kube-system".to_owned()];
    if session.namespace != usual[0] {
        usual.push(session.namespace.clone());
    }
    Ok(usual)
}

struct Dumped<'a> {
    session: &'a Session,
    folder: Option<&'a Path>,
    failed: bool,
}

impl Dumped<'_> {
    async fn list(&mut self, namespace: &str, path: ResourcePath, plural: &str) -> Result<Value, Failure> {
        match self.session.client.list(&path, &ListOptions::default()).await {
            Ok(list) => {
                self.put(&[namespace, &format!("{plural}.json")], output::json(&list).as_bytes())?;
                Ok(list)
            }
            Err(fault) => {
                self.failed = true;
                eprint!("{}", Failure::Api(fault).words());
                Ok(Value::Null)
            }
        }
    }

    async fn log(&mut self, namespace: &str, pod: &str, container: &str) -> Result<(), Failure> {
        let path = ResourcePath::core("pods").namespace(namespace).name(pod).subresource("log");
        let mut text =
            format!("==== START logs for container {container} of pod {namespace}/{pod} ====\n").into_bytes();
        match self.session.client.stream(&path.with_query(&[("container", container.to_owned())])).await {
            Ok(mut pieces) => {
                while let Some(Ok(piece)) = pieces.next().await {
                    text.extend_from_slice(&piece);
                }
            }
            Err(fault) => text.extend_from_slice(Failure::Api(fault).words().as_bytes()),
        }
        text.extend_from_slice(
            format!("==== END logs for container {container} of pod {namespace}/{pod} ====\n").as_bytes(),
        );
        self.put(&[namespace, pod, &format!("{container}.txt")], &text)
    }

    /// To a file of that place, or to standard output.
    fn put(&self, place: &[&str], bytes: &[u8]) -> Result<(), Failure> {
        use std::io::Write as _;
        let Some(folder) = self.folder else {
            return std::io::stdout().write_all(bytes).map_err(Failure::Print);
        };
        // A name may not lead out of the folder.
        let inside = |part: &&&str| !part.is_empty() && !part.contains('/') && !matches!(**part, "." | "..");
        let path: PathBuf = std::iter::once(folder).chain(place.iter().filter(inside).map(Path::new)).collect();
        let fault = |error| Failure::said(format!("cannot write {}: {error}", path.display()));
        if let Some(above) = path.parent() {
            std::fs::create_dir_all(above).map_err(fault)?;
        }
        std::fs::write(&path, bytes).map_err(fault)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::args::{ClusterInfo, ClusterInfoWhat, Verb, read};
    use crate::fake;

    #[tokio::test]
    async fn a_dump_is_a_folder_of_lists_and_logs() {
        let folder = std::env::temp_dir().join(format!("edgectl-dump-{}", std::process::id()));
        let (session, log) = fake::session(|asked| match asked.line.as_str() {
            line if line.contains("/log?") => (200, Value::String("hello\n".to_owned())),
            line if line.ends_with("/pods") => {
                (200, json!({"items": [{"metadata": {"name": "web"}, "spec": {"containers": [{"name": "../c"}]}}]}))
            }
            line if line.ends_with("/events") => fake::refusal(403, "Forbidden"),
            _ => (200, json!({"items": []})),
        });
        let line = format!("edgectl cluster-info dump --namespaces=a --output-directory={}", folder.display());
        let Verb::ClusterInfo(ClusterInfo { what: Some(ClusterInfoWhat::Dump(args)) }) = read(&line).unwrap().verb
        else {
            panic!("{line}")
        };
        assert_eq!(run(session, args).await.unwrap(), ExitCode::FAILURE);
        assert!(folder.join("nodes.json").exists() && folder.join("a/services.json").exists());
        assert!(!folder.join("a/events.json").exists());
        assert!(!log.lines().iter().any(|line| line.contains("secrets")));
        assert_eq!(std::fs::read_dir(folder.join("a")).unwrap().count(), 7);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
