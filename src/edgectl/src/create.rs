//! `create`: objects from manifests, or the usual small ones by name.
//!
//! In: files or names and flags. Out: objects created. Never changes an object that is there.

mod objects;
mod roles;
mod typed;

pub use roles::subjects;
pub use typed::draft;

use std::path::Path;
use std::process::ExitCode;

use kedge_api::base64::encode as base64;
use kedge_client::{ClientError, ResourcePath, WriteOptions};
use serde_json::{Value, json};

use crate::apply::{check_keys, located, place, validation};
use crate::args::{Create, CreateHow, CreateSecret, CreateWhat, DryRun, FromData};
use crate::error::Failure;
use crate::manifest::{self, Item};
use crate::session::Session;
use crate::written::Written;

/// The most bytes of one file in a ConfigMap or Secret: what the API takes in all.
const FILE_LIMIT: u64 = 1 << 20;

/// Runs the verb.
pub async fn run(session: Session, args: Create) -> Result<ExitCode, Failure> {
    let (items, how) = match args.what {
        None => {
            args.files.required()?;
            return send(&session, &manifest::read(&args.files).await?, &args.how, false).await;
        }
        Some(CreateWhat::Token {
            name,
            duration,
            audience,
            bound_object_kind,
            bound_object_name,
            bound_object_uid,
        }) => {
            let bound = bound_object_kind.map(
                |kind| json!({"apiVersion": "v1", "kind": kind, "name": bound_object_name, "uid": bound_object_uid}),
            );
            return token(&session, &name, duration, audience, bound).await;
        }
        Some(CreateWhat::Role(what)) => {
            let (object, how) = roles::generate(what, &session.catalogue().await?)?;
            (vec![Item { origin: "command line".to_owned(), object, duplicates: Vec::new() }], how)
        }
        Some(CreateWhat::Object(what)) => {
            let (object, how) = objects::generate(what, &session).await?;
            (vec![Item { origin: "command line".to_owned(), object, duplicates: Vec::new() }], how)
        }
        Some(what) => {
            let (object, how) = generate(what)?;
            (vec![Item { origin: "command line".to_owned(), object, duplicates: Vec::new() }], how)
        }
    };
    send(&session, &items, &how, true).await
}

async fn send(session: &Session, items: &[Item], how: &CreateHow, generated: bool) -> Result<ExitCode, Failure> {
    let validation = validation(&how.validate)?;
    let catalogue = session.catalogue().await?;
    let options = WriteOptions {
        dry_run: how.dry_run == DryRun::Server,
        field_validation: Some(validation),
        field_manager: Some("kubectl-create".to_owned()),
    };
    let mut written = Written::new(how.output.as_deref(), how.dry_run)?;
    for item in items {
        let made = async {
            check_keys(item, validation)?;
            let (resource, object, path) = place(session, &catalogue, item)?;
            let object = if how.dry_run == DryRun::Client {
                if generated { typed::draft(session, object) } else { object }
            } else {
                session.client.create(&path, &object, &options).await?
            };
            Ok::<_, Failure>((resource, object))
        };
        match made.await {
            Ok((resource, object)) => written.done(&resource, object, "created"),
            Err(failure) => written.failed(&located(item, failure)),
        }
    }
    written.end()
}

fn generate(what: CreateWhat) -> Result<(Value, CreateHow), Failure> {
    let object = |api_version: &str, kind: &str, name: &str| json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}});
    Ok(match what {
        CreateWhat::Namespace { name, how } => (object("v1", "Namespace", &name), how),
        CreateWhat::Quota { name, hard, scopes, how } => {
            let mut quota = object("v1", "ResourceQuota", &name);
            quota["spec"] = json!({});
            if !hard.is_empty() {
                quota["spec"]["hard"] = Value::Object(crate::set::quantities(&hard)?);
            }
            if !scopes.is_empty() {
                quota["spec"]["scopes"] = json!(scopes);
            }
            (quota, how)
        }
        CreateWhat::Serviceaccount { name, how } => (object("v1", "ServiceAccount", &name), how),
        CreateWhat::Deployment { name, image, replicas, port, command, how } => {
            (deployment(&name, &image, replicas, port, &command), how)
        }
        CreateWhat::Configmap { name, from, how } => {
            let mut map = object("v1", "ConfigMap", &name);
            for (key, bytes) in data(&from)? {
                match String::from_utf8(bytes) {
                    Ok(text) => map["data"][key] = json!(text),
                    Err(e) => map["binaryData"][key] = json!(base64(e.as_bytes())),
                }
            }
            (map, how)
        }
        CreateWhat::Secret { what: CreateSecret::Generic { name, of_type, from, how } } => {
            let mut secret = object("v1", "Secret", &name);
            if let Some(of_type) = of_type {
                secret["type"] = json!(of_type);
            }
            for (key, bytes) in data(&from)? {
                secret["data"][key] = json!(base64(&bytes));
            }
            (secret, how)
        }
        CreateWhat::Secret {
            what: CreateSecret::DockerRegistry { name, docker_server, docker_username, docker_password, how },
        } => {
            let auth = base64(format!("{docker_username}:{docker_password}").as_bytes());
            // In the order in which everybody else writes it: it is compared as a text.
            let [server, user, password, auth] =
                [docker_server, docker_username, docker_password, auth].map(|text| json!(text));
            let mut secret = object("v1", "Secret", &name);
            secret["type"] = json!("kubernetes.io/dockerconfigjson");
            let config =
                format!(r#"{{"auths":{{{server}:{{"username":{user},"password":{password},"auth":{auth}}}}}}}"#);
            secret["data"][".dockerconfigjson"] = json!(base64(config.as_bytes()));
            (secret, how)
        }
        CreateWhat::Secret { what: CreateSecret::Tls { name, cert, key, how } } => {
            let mut secret = object("v1", "Secret", &name);
            secret["type"] = json!("kubernetes.io/tls");
            secret["data"] = json!({"tls.crt": base64(&read(&cert)?), "tls.key": base64(&read(&key)?)});
            (secret, how)
        }
        CreateWhat::Role(_) | CreateWhat::Object(_) | CreateWhat::Token { .. } => {
            return Err(Failure::said("this is not created from flags alone"));
        }
    })
}

fn deployment(name: &str, images: &[String], replicas: i32, port: Option<u16>, command: &[String]) -> Value {
    let containers: Vec<Value> = images
        .iter()
        .map(|image| {
            // The image's own name, without registry, tag and digest.
            let last = image.rsplit('/').next().unwrap_or(image);
            let short = last.split(['@', ':']).next().unwrap_or(last);
            let mut container = json!({"name": short.replace('_', "-"), "image": image});
            if !command.is_empty() {
                container["command"] = json!(command);
            }
            if let Some(port) = port {
                container["ports"] = json!([{"containerPort": port}]);
            }
            container
        })
        .collect();
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": containers}},
        },
    })
}

/// The lines of a file of environment variables. A name without a value takes that of this process.
pub fn variables(text: &str) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let mut all = Vec::new();
    for line in text.trim_start_matches('\u{feff}').lines().map(str::trim_start) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = match line.split_once('=') {
            Some((key, value)) => (key, value.to_owned()),
            None => (line, std::env::var(line).unwrap_or_default()),
        };
        if key.is_empty() || key.contains(char::is_whitespace) {
            return Err(Failure::said(format!("\"{line}\" is no line of a file of variables: it must be KEY=VALUE")));
        }
        all.push((key.to_owned(), value.into_bytes()));
    }
    Ok(all)
}

fn data(from: &FromData) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let mut all = Vec::new();
    let alone = from.from_literal.is_empty() && from.from_file.is_empty();
    if !from.from_env_file.is_empty() && !alone {
        return Err(Failure::said("from-env-file cannot be combined with from-file or from-literal"));
    }
    for file in &from.from_env_file {
        let text = String::from_utf8(read(file)?);
        all.extend(variables(&text.map_err(|_| Failure::said(format!("{} is no text", file.display())))?)?);
    }
    for literal in &from.from_literal {
        let (key, value) = literal
            .split_once('=')
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| Failure::said(format!("invalid literal source {literal}, expected key=value")))?;
        all.push((key.to_owned(), value.as_bytes().to_vec()));
    }
    for source in &from.from_file {
        let (key, file) = match source.split_once('=') {
            Some((key, file)) => (Some(key.to_owned()), Path::new(file)),
            None => (None, Path::new(source.as_str())),
        };
        let fail = |source| Failure::Read { path: file.to_path_buf(), source };
        if file.is_dir() {
            let mut entries: Vec<_> = std::fs::read_dir(file)
                .map_err(fail)?
                .filter_map(|e| Some(e.ok()?.path()))
                .filter(|p| p.is_file())
                .collect();
            entries.sort();
            for path in entries {
                all.push((base_name(&path), read(&path)?));
            }
        } else {
            all.push((key.unwrap_or_else(|| base_name(file)), read(file)?));
        }
    }
    Ok(all)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let fail = |source| Failure::Read { path: path.to_path_buf(), source };
    if std::fs::metadata(path).map_err(fail)?.len() > FILE_LIMIT {
        return Err(Failure::said(format!("{}: larger than 1 MiB, which is all that the API takes", path.display())));
    }
    std::fs::read(path).map_err(fail)
}

fn base_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

async fn token(
    session: &Session,
    name: &str,
    duration: Option<String>,
    audience: Vec<String>,
    bound: Option<Value>,
) -> Result<ExitCode, Failure> {
    let mut request =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": audience}});
    if let Some(text) = duration {
        request["spec"]["expirationSeconds"] = json!(crate::session::seconds(&text)?);
    }
    if let Some(bound) = bound {
        request["spec"]["boundObjectRef"] = bound;
    }
    let path = ResourcePath::core("serviceaccounts").namespace(&*session.namespace).name(name).subresource("token");
    let answer = session.client.create(&path, &request, &WriteOptions::default()).await;
    let answer = answer.map_err(|error| match error {
        ClientError::Status { message, .. } => Failure::said(format!("failed to create token: {message}")),
        other => other.into(),
    })?;
    println!("{}", answer["status"]["token"].as_str().unwrap_or(""));
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_generated() {
        let line = "edgectl create quota q --hard=pods=2,cpu=1 --scopes=BestEffort";
        let crate::args::Verb::Create(args) = crate::args::read(line).unwrap().verb else { panic!("{line}") };
        let (made, _) = generate(args.what.unwrap()).unwrap();
        assert_eq!(made["spec"], json!({"hard": {"pods": "2", "cpu": "1"}, "scopes": ["BestEffort"]}));
    }

    #[test]
    fn a_deployment_is_generated() {
        let made = deployment("web", &["reg.lan/a/httpd:2".to_owned()], 2, Some(80), &[]);
        let container = &made["spec"]["template"]["spec"]["containers"][0];
        assert_eq!((&container["name"], &container["ports"][0]["containerPort"]), (&json!("httpd"), &json!(80)));
        assert_eq!(made["spec"]["selector"]["matchLabels"], json!({"app": "web"}));
    }

    #[test]
    fn variables_are_read_line_by_line() {
        let read = |text: &str| {
            variables(text)
                .map(|all| all.into_iter().map(|(k, v)| (k, String::from_utf8(v).unwrap())).collect::<Vec<_>>())
        };
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            read("# head\n\n A=b=c\nD= e\nNOBODY_HAS_THIS\n").unwrap(),
            [pair("A", "b=c"), pair("D", " e"), pair("NOBODY_HAS_THIS", "")]
        );
        assert!(read("=x").is_err() && read("a b=c").is_err());
        let both =
            FromData { from_env_file: vec!["a".into()], from_literal: vec!["a=b".to_owned()], ..FromData::default() };
        assert!(data(&both).unwrap_err().to_string().contains("cannot be combined"));
    }
}
