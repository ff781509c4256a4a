//! `run`: one pod of one image, and perhaps a session with it.
//!
//! In: a name, an image, flags. Out: a pod; with -i or --attach its output and its exit code, and with --rm no pod
//! afterwards. Never touches a pod that was there before.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use kedge_client::{DeleteOptions, Informer, ResourcePath, Step, WatchOptions, WriteOptions};
use serde_json::{Map, Value, json};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{DryRun, OneContainer, Run};
use crate::create::draft;
use crate::delete::gone;
use crate::error::Failure;
use crate::output::{self, Format};
use crate::remote::Ended;
use crate::session::{Session, duration};
use crate::written::dry;
use crate::{exec, logs};

/// Runs the verb.
pub async fn run(session: Session, args: Run) -> Result<ExitCode, Failure> {
    let attach = args.own.attach.unwrap_or(args.own.stdin);
    check(&args, attach)?;
    let patience = duration(&args.pod_running_timeout)?.unwrap_or(Duration::from_secs(60));
    let object = pod(&args)?;
    let format = Format::of_write(args.output.as_deref())?;
    let path = ResourcePath::core("pods").namespace(&*session.namespace);
    let options = WriteOptions {
        dry_run: args.dry_run == DryRun::Server,
        field_manager: Some("kubectl-run".to_owned()),
        ..WriteOptions::default()
    };
    let made = match args.dry_run {
        DryRun::Client => draft(&session, object),
        _ => session.client.create(&path, &object, &options).await?,
    };
    if !attach {
        match format {
            None => println!("pod/{} created{}", args.name, dry(args.dry_run)),
            Some(Format::Name) => println!("pod/{}", args.name),
            Some(format) => output::print(&format, &made, "")?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    let outcome = tokio::select! {
        outcome = follow(&session, &args, patience) => outcome,
        // Without a terminal of its own the session is interrupted here; and a terminal may be closed.
        number = interrupted() => Ok(ExitCode::from(128 + number)),
    };
    if args.rm {
        let path = path.name(&*args.name);
        let uid = made["metadata"]["uid"].as_str();
        session.client.delete(&path, &DeleteOptions::default()).await?;
        // Nobody may be there to read it any more, and still the end is waited for.
        let _ = writeln!(std::io::stdout(), "pod \"{}\" deleted from {} namespace", args.name, session.namespace);
        gone(&session, &path, uid).await?;
    }
    outcome
}

/// Waits for a signal that asks this program to end; which one. Where they cannot be heard, they end it.
async fn interrupted() -> u8 {
    const SIGNALS: [(SignalKind, u8); 3] =
        [(SignalKind::hangup(), 1), (SignalKind::interrupt(), 2), (SignalKind::terminate(), 15)];
    let waits = SIGNALS.map(|(kind, number)| {
        Box::pin(async move {
            match signal(kind) {
                Ok(mut signal) => drop(signal.recv().await),
                Err(_) => std::future::pending().await,
            }
            number
        })
    });
    futures::future::select_all(waits).await.0
}

fn check(args: &Run, attach: bool) -> Result<(), Failure> {
    check_terminal(&args.own)?;
    if args.rm && !attach {
        return Err(Failure::said("--rm should only be used for attached containers"));
    }
    if attach && args.dry_run != DryRun::None {
        return Err(Failure::said(
            "--dry-run=[server|client] can't be used with attached containers options (--attach, --stdin, or --tty)",
        ));
    }
    if !["Always", "OnFailure", "Never"].contains(&args.restart.as_str()) {
        return Err(Failure::said(format!("invalid restart policy: {}", args.restart)));
    }
    check_policy(&args.own)
}

/// A terminal needs input.
pub fn check_terminal(own: &OneContainer) -> Result<(), Failure> {
    if own.tty && !own.stdin {
        return Err(Failure::said("-i/--stdin is required for containers with -t/--tty=true"));
    }
    Ok(())
}

/// There are three policies, and none.
pub fn check_policy(own: &OneContainer) -> Result<(), Failure> {
    match own.image_pull_policy.as_deref() {
        None | Some("" | "Always" | "IfNotPresent" | "Never") => Ok(()),
        Some(other) => Err(Failure::said(format!("invalid image pull policy: {other}"))),
    }
}

/// Puts what is said of a container into it.
pub fn fill(own: &OneContainer, container: &mut Map<String, Value>) -> Result<(), Failure> {
    let mut put = |key: &str, value: Value| drop(container.insert(key.to_owned(), value));
    if let Some(policy) = own.image_pull_policy.as_deref().filter(|policy| !policy.is_empty()) {
        put("imagePullPolicy", json!(policy));
    }
    if !own.env.is_empty() {
        let env = pairs(own.env.iter().map(String::as_str), "env")?;
        put("env", env.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect());
    }
    for (given, key) in [(own.stdin, "stdin"), (own.tty, "tty")] {
        if given {
            put(key, json!(true));
        }
    }
    Ok(())
}

/// The pod that is meant.
fn pod(args: &Run) -> Result<Value, Failure> {
    let labels = match &args.labels {
        None => Map::from_iter([("run".to_owned(), json!(args.name))]),
        Some(text) => pairs(text.split(',').filter(|pair| !pair.is_empty()), "label")?,
    };
    let mut container = json!({"name": args.name, "image": args.image});
    if !args.words.is_empty() {
        container[if args.command { "command" } else { "args" }] = json!(args.words);
    }
    if let Some(container) = container.as_object_mut() {
        fill(&args.own, container)?;
    }
    if let Some(port) = args.port {
        container["ports"] = json!([{"containerPort": port}]);
    }
    if args.privileged {
        container["securityContext"] = json!({"privileged": true});
    }
    if args.own.stdin {
        container["stdinOnce"] = json!(!args.leave_stdin_open);
    }
    let mut object = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": args.name, "labels": labels},
        "spec": {"containers": [container], "dnsPolicy": "ClusterFirst", "restartPolicy": args.restart},
    });
    if !args.annotations.is_empty() {
        object["metadata"]["annotations"] =
            Value::Object(pairs(args.annotations.iter().map(String::as_str), "annotation")?);
    }
    Ok(object)
}

/// Words of the form KEY=VALUE.
pub fn pairs<'a>(words: impl Iterator<Item = &'a str>, what: &str) -> Result<Map<String, Value>, Failure> {
    words
        .map(|word| match word.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), json!(value))),
            _ => Err(Failure::said(format!("invalid {what} spec {word:?}: it must be KEY=VALUE"))),
        })
        .collect()
}

/// Attaches once it runs, and reads its exit code if there will be one.
async fn follow(session: &Session, args: &Run, patience: Duration) -> Result<ExitCode, Failure> {
    let seen = until(session, &args.name, Some(patience), |pod| ended(pod) || ready(pod)).await?;
    if ended(&seen) {
        logs::print(session, &args.name, &args.name, 0).await?;
    } else {
        join_or_read(session, &seen, &args.name, (args.own.stdin, args.own.tty), args.own.quiet).await?;
    }
    if args.leave_stdin_open || args.restart == "Always" {
        return Ok(ExitCode::SUCCESS);
    }
    let only_success = args.restart == "OnFailure";
    let done = |pod: &Value| if only_success { phase(pod) == "Succeeded" } else { ended(pod) };
    let pod = until(session, &args.name, Some(patience), done).await?;
    if phase(&pod) == "Succeeded" {
        return Ok(ExitCode::SUCCESS);
    }
    let named = format!("pod {}/{}", session.namespace, args.name);
    let state = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
    let code = state["exitCode"].as_u64().and_then(|code| u8::try_from(code).ok()).filter(|code| *code != 0);
    let Some(code) = code else { return Err(Failure::said(format!("{named} failed with unknown exit code"))) };
    let text = |key: &str| state[key].as_str().unwrap_or("").to_owned();
    eprintln!("{named} terminated ({})\n{}", text("reason"), text("message"));
    Ok(ExitCode::from(code))
}

/// Reads what a container wrote before we came and joins its own process; of one that cannot be joined any more, all
/// that it wrote is read.
pub async fn join_or_read(
    session: &Session,
    pod: &Value,
    container: &str,
    wanted: (bool, bool),
    quiet: bool,
) -> Result<(), Failure> {
    let name = pod["metadata"]["name"].as_str().unwrap_or("");
    let printed = logs::print(session, name, container, 0).await.unwrap_or_else(|failure| {
        eprintln!("warning: couldn't fetch pre-attach logs: {failure}");
        0
    });
    let why = match exec::join(session, pod, container, wanted, quiet).await {
        Ok(Ended::Failed(why)) => why,
        Err(failure) => failure.to_string(),
        Ok(Ended::Success | Ended::Code(_)) => return Ok(()),
    };
    eprintln!("warning: couldn't attach to pod/{name}, falling back to streaming logs: {why}");
    logs::print(session, name, container, printed).await.map(drop)
}

fn phase(pod: &Value) -> &str {
    pod["status"]["phase"].as_str().unwrap_or("")
}

fn ended(pod: &Value) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

fn ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    phase(pod) == "Running" && conditions.into_iter().flatten().any(|c| c["type"] == "Ready" && c["status"] == "True")
}

/// Waits until the pod is as wanted.
pub async fn until(
    session: &Session,
    name: &str,
    patience: Option<Duration>,
    wanted: impl Fn(&Value) -> bool,
) -> Result<Value, Failure> {
    let path = ResourcePath::core("pods").namespace(&*session.namespace);
    let options =
        WatchOptions { fields: Some(format!("metadata.name={name}")), remote: true, ..WatchOptions::default() };
    let mut informer = Informer::<Value>::new(session.client.clone(), path, options);
    let look = async {
        loop {
            match informer.next().await {
                Step::Apply(pod) if wanted(&pod) => return Ok(pod),
                Step::Delete(_) => return Err(Failure::said(format!("pod {name:?} was deleted"))),
                _ => {}
            }
        }
    };
    match patience {
        Some(patience) => {
            let late = || Failure::said("timed out waiting for the condition");
            tokio::time::timeout(patience, look).await.map_err(|_| late())?
        }
        None => look.await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Arguments, Verb};

    fn args(line: &str) -> Run {
        let words = "edgectl run web --image=i ".to_owned() + line;
        match Arguments::parse_words(words.split_whitespace()).unwrap().verb {
            Verb::Run(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_pod_is_as_kubectl_makes_it() {
        let made = pod(&args("-it --restart=Never --env=A=b --port=80 -- sh -c x")).unwrap();
        assert_eq!(
            made,
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "labels": {"run": "web"}},
                "spec": {"dnsPolicy": "ClusterFirst", "restartPolicy": "Never", "containers": [{"name": "web", "image": "i",
                    "args": ["sh", "-c", "x"], "ports": [{"containerPort": 80}], "env": [{"name": "A", "value": "b"}],
                    "stdin": true, "stdinOnce": true, "tty": true}]}})
        );
        let made = pod(&args("-l a=b,c=d --command -- sh")).unwrap();
        assert_eq!(made["metadata"]["labels"], json!({"a": "b", "c": "d"}));
        assert_eq!(made["spec"]["containers"][0]["command"], json!(["sh"]));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (line, why) in [
            ("-t", "-i/--stdin is required"),
            ("--rm", "--rm should only be used for attached"),
            ("-i --dry-run=client", "can't be used with attached"),
            ("--restart=Sometimes", "invalid restart policy: Sometimes"),
            ("--image-pull-policy=x", "invalid image pull policy: x"),
        ] {
            let args = args(line);
            let said = check(&args, args.own.stdin).unwrap_err().to_string();
            assert!(said.contains(why), "{line}: {said}");
        }
    }
}
