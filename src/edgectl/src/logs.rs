//! `logs`: what containers wrote, of a pod, of a workload's pods, or by selector.
//!
//! In: a target and how much of it. Out: the bytes as the node has them. Never changes a line but for --prefix.

use std::io::Write;
use std::process::ExitCode;

use futures::StreamExt;
use kedge_client::{ClientError, ListOptions, ResourcePath};
use serde_json::Value;

use crate::args::Logs;
use crate::error::Failure;
use crate::resource::Resource;
use crate::session::{Session, seconds};

/// The most that is held of a line, while others write too: longer ones are cut.
const LINE: usize = 1 << 20;

struct Stream {
    pod: String,
    container: String,
}

/// Runs the verb.
pub async fn run(session: Session, args: Logs) -> Result<ExitCode, Failure> {
    let pods = pods(&session, &args).await?;
    if pods.is_empty() {
        eprintln!("No resources found in {} namespace.", session.namespace);
        return Ok(ExitCode::SUCCESS);
    }
    let mut streams = Vec::new();
    for pod in &pods {
        let name = pod["metadata"]["name"].as_str().unwrap_or("").to_owned();
        for container in containers(pod, &args)? {
            streams.push(Stream { pod: name.clone(), container });
        }
    }
    if args.follow && streams.len() > args.max_log_requests {
        return Err(Failure::said(format!(
            "you are attempting to follow {} log streams, but maximum allowed concurrency is {}, use --max-log-requests to increase the limit",
            streams.len(),
            args.max_log_requests
        )));
    }
    let prefix = args.prefix || args.all_pods;
    let together = args.follow && streams.len() > 1;
    let (session, args) = (&session, &args);
    if together {
        let all = streams.iter().map(|stream| shown(session, args, stream, prefix, true));
        for done in futures::future::join_all(all).await {
            done?;
        }
    } else {
        for stream in &streams {
            shown(session, args, stream, prefix, false).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints one log; what is wrong with it ends the command only if that is wanted.
async fn shown(session: &Session, args: &Logs, stream: &Stream, prefix: bool, together: bool) -> Result<(), Failure> {
    match copy(session, args, stream, prefix, together).await {
        Err(failure) if args.ignore_errors => {
            eprint!("{}", failure.words());
            Ok(())
        }
        done => done,
    }
}

async fn pods(session: &Session, args: &Logs) -> Result<Vec<Value>, Failure> {
    let path = ResourcePath::core("pods").namespace(&*session.namespace);
    let select = |selector: String| async {
        let options = ListOptions { labels: Some(selector), ..ListOptions::default() };
        let list = session.client.list(&path, &options).await?;
        Ok::<_, Failure>(list["items"].as_array().cloned().unwrap_or_default())
    };
    if let Some(selector) = &args.selector {
        return select(selector.clone()).await;
    }
    let Some(target) = &args.target else {
        return Err(Failure::said(
            "expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'. POD or TYPE/NAME is a required argument for the logs command",
        ));
    };
    if args.all_pods
        && let Some((of, name)) = target.split_once('/')
    {
        let catalogue = session.catalogue().await?;
        let resource = catalogue.find(of)?;
        if !is_pod(resource) {
            let object = session.client.get(&resource.path(Some(&session.namespace)).name(name)).await?;
            return select(labels(resource, name, &object)?).await;
        }
    }
    let pod = pod_of(session, target).await.map_err(|failure| match failure {
        Failure::Api(ClientError::Status { reason, message, .. }) => {
            Failure::said(format!("error from server ({reason}): {message} in namespace \"{}\"", session.namespace))
        }
        other => other,
    })?;
    Ok(vec![pod])
}

fn is_pod(resource: &Resource) -> bool {
    resource.kind == "Pod" && resource.group.is_empty()
}

/// The selector of a workload's pods.
fn labels(resource: &Resource, name: &str, object: &Value) -> Result<String, Failure> {
    let selector = &object["spec"]["selector"];
    let plain = selector.as_object().is_some_and(|map| map.values().all(Value::is_string));
    let text = match plain {
        true => crate::describe::selector(&serde_json::json!({"matchLabels": selector})),
        false => crate::describe::selector(selector),
    };
    if text.is_empty() {
        return Err(Failure::said(format!("{} has no pods to choose from", resource.named(name))));
    }
    Ok(text)
}

/// The pod that `POD` or `TYPE/NAME` means: of a workload the first one, running ones before others.
pub async fn pod_of(session: &Session, target: &str) -> Result<Value, Failure> {
    let path = ResourcePath::core("pods").namespace(&*session.namespace);
    let Some((of, name)) = target.split_once('/') else {
        return Ok(session.client.get(&path.name(target)).await?);
    };
    let catalogue = session.catalogue().await?;
    let resource = catalogue.find(of)?;
    let object = session.client.get(&resource.path(Some(&session.namespace)).name(name)).await?;
    if is_pod(resource) {
        return Ok(object);
    }
    let options = ListOptions { labels: Some(labels(resource, name, &object)?), ..ListOptions::default() };
    let list = session.client.list(&path, &options).await?;
    let mut found = list["items"].as_array().cloned().unwrap_or_default();
    found.sort_by_key(|pod| pod["status"]["phase"] != "Running");
    if found.len() > 1 {
        let name = found[0]["metadata"]["name"].as_str().unwrap_or("");
        eprintln!("Found {} pods, using pod/{name}", found.len());
    }
    let first = found.into_iter().next();
    first.ok_or_else(|| Failure::said(format!("{} has no pods yet", resource.named(name))))
}

fn containers(pod: &Value, args: &Logs) -> Result<Vec<String>, Failure> {
    let names = |field: &str| -> Vec<String> {
        let list = pod["spec"][field].as_array().cloned().unwrap_or_default();
        list.iter().filter_map(|c| c["name"].as_str().map(str::to_owned)).collect()
    };
    if args.all_containers {
        return Ok(["initContainers", "containers", "ephemeralContainers"].iter().flat_map(|f| names(f)).collect());
    }
    container(pod, args.container.as_ref().or(args.container_word.as_ref())).map(|name| vec![name])
}

/// The container that is meant: the named one, the annotated default, or the first.
pub fn container(pod: &Value, wanted: Option<&String>) -> Result<String, Failure> {
    let list = |field: &str| pod["spec"][field].as_array().cloned().unwrap_or_default();
    let name = |c: &Value| c["name"].as_str().unwrap_or("").to_owned();
    let main: Vec<String> = list("containers").iter().map(name).collect();
    let pod_name = pod["metadata"]["name"].as_str().unwrap_or("");
    if let Some(wanted) = wanted {
        let mut all = main;
        all.extend(["initContainers", "ephemeralContainers"].iter().flat_map(|field| list(field)).map(|c| name(&c)));
        return if all.contains(wanted) {
            Ok(wanted.clone())
        } else {
            let all = all.join(", ");
            Err(Failure::said(format!("container {wanted} is not valid for pod {pod_name} out of: {all}")))
        };
    }
    let chosen = pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"].as_str();
    if let Some(chosen) = chosen.filter(|c| main.iter().any(|name| name == c)) {
        return Ok(chosen.to_owned());
    }
    let first = main.first().cloned().unwrap_or_default();
    if main.len() > 1 {
        eprintln!("Defaulted container \"{first}\" out of: {}", main.join(", "));
    }
    Ok(first)
}

/// What a container has written so far, to standard output, but for as many bytes as were printed before; how many it
/// is in all.
pub async fn print(session: &Session, pod: &str, container: &str, printed: usize) -> Result<usize, Failure> {
    let path = ResourcePath::core("pods").namespace(&*session.namespace).name(pod).subresource("log");
    let mut pieces = session.client.stream(&path.with_query(&[("container", container.to_owned())])).await?;
    let mut all = 0;
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        let new = &piece[printed.saturating_sub(all).min(piece.len())..];
        all += piece.len();
        let mut out = std::io::stdout().lock();
        // Nobody reads any more: that is no failure.
        if out.write_all(new).and_then(|()| out.flush()).is_err() {
            break;
        }
    }
    Ok(all)
}

/// Prints one log. With `together` others are printed at the same time, and only whole lines are.
async fn copy(session: &Session, args: &Logs, stream: &Stream, prefix: bool, together: bool) -> Result<(), Failure> {
    let mut query = vec![("container", stream.container.clone())];
    for (key, on) in [("follow", args.follow), ("previous", args.previous), ("timestamps", args.timestamps)] {
        if on {
            query.push((key, "true".to_owned()));
        }
    }
    if let Some(text) = &args.since {
        query.push(("sinceSeconds", seconds(text)?.max(1).to_string()));
    }
    if let Some(text) = &args.since_time {
        query.push(("sinceTime", text.clone()));
    }
    // With a selector kubectl shows the last ten lines.
    let tail = args.tail.or(args.selector.is_some().then_some(10)).filter(|lines| *lines >= 0);
    if let Some(lines) = tail {
        query.push(("tailLines", lines.to_string()));
    }
    if let Some(bytes) = args.limit_bytes {
        query.push(("limitBytes", bytes.to_string()));
    }
    let path = ResourcePath::core("pods").namespace(&*session.namespace).name(&*stream.pod).subresource("log");
    let mut pieces = session.client.stream(&path.with_query(&query)).await?;
    let head = prefix.then(|| format!("[pod/{}/{}] ", stream.pod, stream.container));
    let mut lines = Lines { head: head.unwrap_or_default(), whole: together, fresh: true, held: Vec::new() };
    while let Some(piece) = pieces.next().await {
        let ready = lines.add(&piece?);
        let mut out = std::io::stdout().lock();
        // Nobody reads any more: that is no failure.
        if out.write_all(&ready).and_then(|()| out.flush()).is_err() {
            return Ok(());
        }
    }
    let _ = std::io::stdout().lock().write_all(&lines.end());
    Ok(())
}

/// A log on its way: each line after its head, and whole ones alone where others write too.
struct Lines {
    head: String,
    whole: bool,
    fresh: bool,
    held: Vec<u8>,
}

impl Lines {
    /// What can be printed once a piece has come.
    fn add(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut ready = Vec::with_capacity(piece.len());
        for line in piece.split_inclusive(|b| *b == b'\n') {
            if self.fresh {
                self.held.extend_from_slice(self.head.as_bytes());
            }
            self.fresh = line.ends_with(b"\n");
            self.held.extend_from_slice(line);
            if self.whole && !self.fresh && self.held.len() > LINE {
                self.held.push(b'\n');
                self.fresh = true;
            }
            if self.fresh || !self.whole {
                ready.append(&mut self.held);
            }
        }
        ready
    }

    /// The last line, which may have no end; among others it gets one.
    fn end(&mut self) -> Vec<u8> {
        if !self.held.is_empty() {
            self.held.push(b'\n');
        }
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::args::{Verb, read};
    use crate::fake;

    #[test]
    fn lines_stay_whole_among_others() {
        for (head, whole, expected) in [
            ("", false, "a|b\nc|"),
            ("", true, "|ab\n|c\n"),
            ("> ", false, "> a|b\n> c|"),
            ("> ", true, "|> ab\n|> c\n"),
        ] {
            let mut lines = Lines { head: head.to_owned(), whole, fresh: true, held: Vec::new() };
            let parts = [lines.add(b"a"), lines.add(b"b\nc"), lines.end()];
            let said = parts.map(|part| String::from_utf8(part).unwrap()).join("|");
            assert_eq!(said, expected);
        }
    }

    #[tokio::test]
    async fn no_pods_are_no_failure_and_too_many_are() {
        let pods = |count: usize| {
            let pod = json!({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c"}]}});
            json!({"items": vec![pod; count]})
        };
        for (flags, count, asked, ends_well) in [
            ("-l a=b", 0, 1, true),
            ("-l a=b", 2, 3, true),
            ("-l a=b -f", 6, 1, false),
            ("-l a=b -f --max-log-requests=6", 6, 7, true),
        ] {
            let list = pods(count);
            let (session, log) = fake::session(move |asked| match asked.line.contains("/log") {
                true => (200, Value::String(String::new())),
                false => (200, list.clone()),
            });
            let Verb::Logs(args) = read(&format!("edgectl logs {flags}")).unwrap().verb else { panic!("{flags}") };
            assert_eq!(run(session, args).await.is_ok(), ends_well, "{flags}");
            assert_eq!(log.lines().len(), asked, "{flags}");
        }
    }

    #[tokio::test]
    async fn a_log_that_fails_may_be_passed_over() {
        for (flags, ends_well) in [("", false), ("--ignore-errors", true)] {
            let pod = json!({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c"}]}});
            let (session, _) = fake::session(move |asked| match asked.line.contains("/log") {
                true => fake::refusal(400, "BadRequest"),
                false => (200, pod.clone()),
            });
            let line = format!("edgectl logs a {flags}");
            let Verb::Logs(args) = read(line.trim()).unwrap().verb else { panic!("{flags}") };
            assert_eq!(run(session, args).await.is_ok(), ends_well, "{flags}");
        }
    }
}
