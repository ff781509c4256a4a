//! `logs`: what containers wrote, of a pod, of a workload's pods, or by selector.
//!
//! In: a target and how much of it. Out: the bytes as the node has them. Never changes a line but for --prefix.

use std::io::Write;
use std::process::ExitCode;

use futures::StreamExt;
use kedge_client::{ListOptions, ResourcePath};
use serde_json::Value;

use crate::args::Logs;
use crate::error::Failure;
use crate::session::{Session, seconds};

/// Pods whose logs are followed at once.
const FOLLOWED: usize = 5;

struct Stream {
    pod: String,
    container: String,
}

/// Runs the verb.
pub async fn run(session: Session, args: Logs) -> Result<ExitCode, Failure> {
    let pods = pods(&session, &args).await?;
    let mut streams = Vec::new();
    for pod in &pods {
        let name = pod["metadata"]["name"].as_str().unwrap_or("").to_owned();
        for container in containers(pod, &args)? {
            streams.push(Stream { pod: name.clone(), container });
        }
    }
    if args.follow && streams.len() > FOLLOWED {
        return Err(Failure::said(format!(
            "you are attempting to follow {} log streams, but maximum allowed concurrency is {FOLLOWED}",
            streams.len()
        )));
    }
    let many = streams.len() > 1;
    let (session, args) = (&session, &args);
    if args.follow && many {
        let all = streams.iter().map(|stream| copy(session, args, stream, true));
        for done in futures::future::join_all(all).await {
            done?;
        }
    } else {
        for stream in &streams {
            copy(session, args, stream, args.prefix).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn pods(session: &Session, args: &Logs) -> Result<Vec<Value>, Failure> {
    let path = ResourcePath::core("pods").namespace(&*session.namespace);
    let select = |selector: String| async {
        let options = ListOptions { labels: Some(selector), ..ListOptions::default() };
        let mut list = session.client.list(&path, &options).await?;
        match list["items"].take() {
            Value::Array(items) if !items.is_empty() => Ok(items),
            _ => Err(Failure::said(format!("No resources found in {} namespace.", session.namespace))),
        }
    };
    if let Some(selector) = &args.selector {
        return select(selector.clone()).await;
    }
    let Some(target) = &args.target else {
        return Err(Failure::said(
            "expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'. POD or TYPE/NAME is a required argument for the logs command",
        ));
    };
    let pod = pod_of(session, target).await?;
    Ok(vec![pod])
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
    if resource.kind == "Pod" {
        return Ok(object);
    }
    let selector = &object["spec"]["selector"];
    let labels = selector.get("matchLabels").unwrap_or(selector);
    let text: Vec<String> = labels
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)))
        .collect();
    if text.is_empty() {
        return Err(Failure::said(format!("{} has no pods to choose from", resource.named(name))));
    }
    let options = ListOptions { labels: Some(text.join(",")), ..ListOptions::default() };
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
        return Ok(names("initContainers").into_iter().chain(names("containers")).collect());
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
        let known = ["initContainers", "ephemeralContainers"].iter().flat_map(|f| list(f)).map(|c| name(&c));
        return if main.contains(wanted) || known.into_iter().any(|n| n == *wanted) {
            Ok(wanted.clone())
        } else {
            Err(Failure::said(format!("container {wanted} is not valid for pod {pod_name}")))
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

/// What a container has written so far, to standard output.
pub async fn print(session: &Session, pod: &str, container: &str) -> Result<(), Failure> {
    let stream = Stream { pod: pod.to_owned(), container: container.to_owned() };
    copy(session, &Logs::default(), &stream, false).await
}

async fn copy(session: &Session, args: &Logs, stream: &Stream, prefix: bool) -> Result<(), Failure> {
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
    let mut fresh = true;
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        let mut out = std::io::stdout().lock();
        let written = match &head {
            None => out.write_all(&piece),
            Some(head) => piece.split_inclusive(|b| *b == b'\n').try_for_each(|line| {
                if fresh {
                    out.write_all(head.as_bytes())?;
                }
                fresh = line.ends_with(b"\n");
                out.write_all(line)
            }),
        };
        // Nobody reads any more: that is no failure.
        if written.and_then(|()| out.flush()).is_err() {
            return Ok(());
        }
    }
    Ok(())
}
