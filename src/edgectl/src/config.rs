//! `config`: what the kubeconfig says, and which of its contexts is meant.
//!
//! In: the files of --kubeconfig, KUBECONFIG or ~/.kube/config. Out: text without secrets; files whose other settings
//! stay as they are. Never asks a server, and never writes half a file.

mod files;

use std::process::ExitCode;

use kedge_api::yaml;
use serde_json::{Map, Value, json};

use crate::args::{Config, ConfigWhat, Global};
use crate::error::Failure;
use crate::output::{self, Format, columns};
use files::Files;

/// Fields that are secret bytes, and secret words.
const BYTES: [&str; 3] = ["certificate-authority-data", "client-certificate-data", "client-key-data"];
const WORDS: [&str; 2] = ["password", "token"];

/// Runs the verb.
pub fn run(global: &Global, args: Config) -> Result<ExitCode, Failure> {
    let mut files = Files::read(global.kubeconfig.as_deref())?;
    let merged = files.merged();
    match args.what {
        ConfigWhat::View { raw, minify, flatten, output } => {
            let format = match Format::parse(Some(&output))? {
                format @ (Format::Yaml | Format::Json | Format::JsonPath(_)) => format,
                _ => return Err(Failure::said(format!("--output {output} is not available"))),
            };
            let mut shown = merged;
            if minify {
                shown = minified(&shown, global.context.as_deref())?;
            }
            if flatten {
                files::flatten(&mut shown)?;
            }
            if !raw {
                redact(&mut shown);
            }
            match format {
                Format::Yaml => print!("{}", yaml::text(&shown)),
                format => print!("{}", output::object(&format, &shown, "")?),
            }
        }
        ConfigWhat::CurrentContext => println!("{}", current(&merged)?),
        ConfigWhat::GetContexts { names, no_headers, output } => {
            if let Some(other) = output.as_deref().filter(|o| *o != "name") {
                return Err(Failure::said(format!("output must be one of '' or 'name': {other}")));
            }
            return contexts(&merged, &names, !no_headers, output.is_some());
        }
        ConfigWhat::UseContext { name } => {
            if entry(&merged, "contexts", &name).is_none() {
                return Err(Failure::said(format!("no context exists with the name: \"{name}\"")));
            }
            files.main()["current-context"] = json!(name);
            files.write()?;
            println!("Switched to context \"{name}\".");
        }
        ConfigWhat::SetContext { name, current: of_current } => {
            let name = match (name, of_current) {
                (Some(name), false) => name,
                _ => current(&merged).map_err(|_| Failure::said("no current context is set"))?,
            };
            let known = entry(&merged, "contexts", &name).is_some();
            let fields = [("cluster", &global.cluster), ("user", &global.user), ("namespace", &global.namespace)];
            set_context(files.holding("contexts", &name), &name, &fields);
            files.write()?;
            println!("Context \"{name}\" {}.", if known { "modified" } else { "created" });
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn current(config: &Value) -> Result<String, Failure> {
    let name = config["current-context"].as_str().filter(|name| !name.is_empty());
    name.map(str::to_owned).ok_or_else(|| Failure::said("current-context is not set"))
}

/// What is called so in one of the lists: `clusters`, `contexts`, `users`.
fn entry<'a>(config: &'a Value, list: &str, name: &str) -> Option<&'a Value> {
    config[list].as_array().into_iter().flatten().find(|entry| entry["name"] == *name)
}

fn set_context(file: &mut Value, name: &str, fields: &[(&str, &Option<String>)]) {
    let list = list_of(file, "contexts");
    if !list.iter().any(|entry| entry["name"] == *name) {
        list.push(json!({"name": name, "context": {"cluster": "", "user": ""}}));
    }
    for entry in list.iter_mut().filter(|entry| entry["name"] == *name) {
        let context = entry.as_object_mut().map(|entry| entry.entry("context").or_insert_with(|| json!({})));
        let Some(context) = context.and_then(Value::as_object_mut) else { continue };
        for (field, value) in fields {
            if let Some(value) = value {
                context.insert((*field).to_owned(), json!(value));
            }
        }
    }
}

/// A list of a file; what is no list is made one.
fn list_of<'a>(file: &'a mut Value, name: &str) -> &'a mut Vec<Value> {
    if !file[name].is_array() {
        file[name] = json!([]);
    }
    file[name].as_array_mut().expect("it has just been made a list where it was none")
}

/// Only what one context needs.
fn minified(config: &Value, wanted: Option<&str>) -> Result<Value, Failure> {
    let name = match wanted {
        Some(name) => name.to_owned(),
        None => current(config).map_err(|_| Failure::said("current-context must exist in order to minify"))?,
    };
    let context =
        entry(config, "contexts", &name).ok_or_else(|| Failure::said(format!("cannot locate context {name}")))?;
    let part = |list: &str, field: &str| -> Vec<Value> {
        let called = context["context"][field].as_str().unwrap_or("");
        entry(config, list, called).cloned().into_iter().collect()
    };
    let mut small = config.clone();
    small["current-context"] = json!(name);
    small["contexts"] = json!([context]);
    small["clusters"] = json!(part("clusters", "cluster"));
    small["users"] = json!(part("users", "user"));
    Ok(small)
}

/// Takes the secrets out.
fn redact(config: &mut Value) {
    for (list, field) in [("clusters", "cluster"), ("users", "user")] {
        for entry in config.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(settings) = entry.get_mut(field).and_then(Value::as_object_mut) else { continue };
            hide(settings);
            let provider = settings.get_mut("auth-provider").and_then(|provider| provider.get_mut("config"));
            for (_, value) in provider.and_then(Value::as_object_mut).into_iter().flatten() {
                *value = json!("REDACTED");
            }
        }
    }
}

fn hide(settings: &mut Map<String, Value>) {
    for (fields, words) in [(&BYTES[..], "DATA+OMITTED"), (&WORDS[..], "REDACTED")] {
        for field in fields {
            if let Some(value) = settings.get_mut(*field).filter(|value| value.as_str() != Some("")) {
                *value = json!(words);
            }
        }
    }
}

fn contexts(config: &Value, names: &[String], with_head: bool, bare: bool) -> Result<ExitCode, Failure> {
    let missing: Vec<&String> = names.iter().filter(|name| entry(config, "contexts", name).is_none()).collect();
    print!("{}", table(config, names, with_head, bare));
    for name in &missing {
        eprintln!("error: context {name} not found");
    }
    Ok(if missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn table(config: &Value, names: &[String], with_head: bool, bare: bool) -> String {
    let current = config["current-context"].as_str().unwrap_or("");
    let all = config["contexts"].as_array().into_iter().flatten();
    let mut rows: Vec<Vec<String>> = all
        .filter(|entry| names.is_empty() || names.iter().any(|name| entry["name"] == **name))
        .map(|entry| {
            let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
            let (name, context) = (text(&entry["name"]), &entry["context"]);
            let mark = if name == current { "*" } else { "" }.to_owned();
            vec![mark, name, text(&context["cluster"]), text(&context["user"]), text(&context["namespace"])]
        })
        .collect();
    rows.sort_by(|a, b| a[1].cmp(&b[1]));
    if bare {
        return rows.iter().map(|row| format!("{}\n", row[1])).collect();
    }
    if with_head {
        rows.insert(0, ["CURRENT", "NAME", "CLUSTER", "AUTHINFO", "NAMESPACE"].map(str::to_owned).to_vec());
    }
    columns(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Value {
        json!({"apiVersion": "v1", "kind": "Config", "current-context": "b",
            "clusters": [{"name": "c", "cluster": {"server": "https://h", "certificate-authority-data": "eA=="}}],
            "users": [{"name": "u", "user": {"token": "t", "client-key-data": "eA=="}}, {"name": "v", "user": {}}],
            "contexts": [{"name": "b", "context": {"cluster": "c", "user": "u", "namespace": "n"}},
                {"name": "a", "context": {"cluster": "c", "user": "v"}}]})
    }

    #[test]
    fn contexts_are_a_table() {
        assert_eq!(
            table(&config(), &[], true, false),
            "CURRENT   NAME   CLUSTER   AUTHINFO   NAMESPACE\n          a      c         v\n*         b      c         u          n\n"
        );
        assert_eq!(table(&config(), &["b".to_owned()], false, true), "b\n");
    }

    #[test]
    fn secrets_are_left_out() {
        let mut shown = config();
        redact(&mut shown);
        assert_eq!(shown["clusters"][0]["cluster"]["certificate-authority-data"], "DATA+OMITTED");
        assert_eq!(shown["users"][0]["user"], json!({"token": "REDACTED", "client-key-data": "DATA+OMITTED"}));
        assert_eq!(shown["users"][1]["user"], json!({}));
    }

    #[test]
    fn a_context_stands_alone() {
        let small = minified(&config(), None).unwrap();
        let names = |list: &str| small[list].as_array().unwrap().iter().map(|e| e["name"].clone()).collect::<Vec<_>>();
        assert_eq!((names("contexts"), names("users")), (vec![json!("b")], vec![json!("u")]));
        assert_eq!(minified(&config(), Some("a")).unwrap()["current-context"], "a");
        assert!(minified(&config(), Some("x")).is_err() && minified(&json!({}), None).is_err());
    }

    #[test]
    fn contexts_are_changed_or_made() {
        let mut file = config();
        let (user, nothing) = (Some("w".to_owned()), None);
        set_context(&mut file, "a", &[("user", &user), ("cluster", &nothing)]);
        assert_eq!(file["contexts"][1]["context"], json!({"cluster": "c", "user": "w"}));
        let mut empty = json!({});
        set_context(&mut empty, "new", &[("user", &user)]);
        assert_eq!(empty["contexts"], json!([{"name": "new", "context": {"cluster": "", "user": "w"}}]));
    }
}
