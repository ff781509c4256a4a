//! `config`: what the kubeconfig says, and which of its contexts is meant.
//!
//! In: the files of --kubeconfig, KUBECONFIG or ~/.kube/config. Out: text without secrets; files whose other settings
//! stay as they are. Never asks a server, and never writes half a file.

mod files;
mod property;

use std::path::PathBuf;
use std::process::ExitCode;

use kedge_api::{base64, yaml};
use serde_json::{Map, Value, json};

use crate::args::{Config, ConfigWhat, Global};
use crate::error::Failure;
use crate::output::{self, Format, columns};
use files::Files;
use property::Property;

/// Fields that are secret bytes, and secret words.
const BYTES: [&str; 3] = ["certificate-authority-data", "client-certificate-data", "client-key-data"];
const WORDS: [&str; 2] = ["password", "token"];

/// The name of what stands in no kubeconfig.
const OWN: &str = "edgectl";

/// Runs the verb.
pub fn run(global: &Global, args: Config) -> Result<ExitCode, Failure> {
    let makes = matches!(
        args.what,
        ConfigWhat::Set { .. }
            | ConfigWhat::SetContext { .. }
            | ConfigWhat::SetCluster { .. }
            | ConfigWhat::SetCredentials { .. }
    );
    let mut files = Files::read(global.kubeconfig.as_deref(), makes)?;
    let merged = files.merged();
    match args.what {
        ConfigWhat::View { raw, minify, flatten, output } => {
            let format = match Format::parse(Some(&output))? {
                format @ (Format::Yaml | Format::Json | Format::JsonPath(_) | Format::Template(_)) => format,
                _ => return Err(Failure::said(format!("--output {output} is not available"))),
            };
            let mut shown = merged;
            if minify {
                shown = minified(&shown, global.context.as_deref())?;
            }
            if flatten {
                files::flatten(&mut shown)?;
            }
            if redacts(raw, flatten) {
                redact(&mut shown);
            }
            match format {
                Format::Yaml => print!("{}", yaml::text(&shown)),
                format => output::print(&format, &shown, "")?,
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
        ConfigWhat::Set { property, value, set_raw_bytes } => {
            let meant = Property::parse(&property)?;
            let value = meant.value(&value, set_raw_bytes)?;
            match meant {
                Property::Current => files.main()["current-context"] = value,
                Property::Field { list, name, field } => {
                    set(files.holding(list, &name), list, &name, &[(field, Some(value))]);
                }
                Property::Entry { list, name } => {
                    return Err(Failure::said(format!("{list}.{name} is no single property: name a field of it too")));
                }
            }
            files.write()?;
            println!("Property \"{property}\" set.");
        }
        ConfigWhat::Unset { property } => {
            unset(&mut files, &property)?;
            files.write()?;
            println!("Property \"{property}\" unset.");
        }
        ConfigWhat::SetContext { name, current: of_current } => {
            let name = match (name, of_current) {
                (Some(name), false) => name,
                _ => current(&merged).map_err(|_| Failure::said("no current context is set"))?,
            };
            let known = entry(&merged, "contexts", &name).is_some();
            let fields = [("cluster", &global.cluster), ("user", &global.user), ("namespace", &global.namespace)];
            let fields = fields.map(|(field, value)| (field, value.clone().map(Value::from)));
            set(files.holding("contexts", &name), "contexts", &name, &fields);
            files.write()?;
            println!("Context \"{name}\" {}.", if known { "modified" } else { "created" });
        }
        ConfigWhat::SetCluster { name, embed_certs } => {
            set(files.holding("clusters", &name), "clusters", &name, &cluster(global, embed_certs)?);
            files.write()?;
            println!("Cluster \"{name}\" set.");
        }
        ConfigWhat::SetCredentials { name, embed_certs } => {
            set(files.holding("users", &name), "users", &name, &user(global, embed_certs)?);
            files.write()?;
            println!("User \"{name}\" set.");
        }
        ConfigWhat::DeleteCluster { name } => delete(&mut files, &merged, "clusters", &name)?,
        ConfigWhat::DeleteContext { name } => delete(&mut files, &merged, "contexts", &name)?,
        ConfigWhat::DeleteUser { name } => delete(&mut files, &merged, "users", &name)?,
        ConfigWhat::RenameContext { name, new } => rename(&mut files, &merged, &name, &new)?,
        ConfigWhat::GetClusters => print!("{}", names(&merged, "clusters")),
        ConfigWhat::GetUsers => print!("{}", names(&merged, "users")),
    }
    Ok(ExitCode::SUCCESS)
}

/// The kubeconfig with what global flags say of the cluster and the user of this command.
pub fn adjusted(global: &Global) -> Result<Value, Failure> {
    let mut config = match Files::read(global.kubeconfig.as_deref(), false) {
        Ok(files) => files.merged(),
        // Who names the server needs no kubeconfig.
        Err(_) if global.kubeconfig.is_none() && global.server.is_some() => json!({}),
        Err(fault) => return Err(fault),
    };
    let name = global.context.clone().or_else(|| current(&config).ok()).unwrap_or_else(|| OWN.to_owned());
    if entry(&config, "contexts", &name).is_none() && global.context.is_none() {
        config["current-context"] = json!(name);
        set(&mut config, "contexts", &name, &[("cluster", Some(json!(OWN))), ("user", Some(json!(OWN)))]);
        set(&mut config, "clusters", OWN, &[("server", Some(json!(global.server.as_deref().unwrap_or(""))))]);
    }
    let context = entry(&config, "contexts", &name).map_or(Value::Null, |entry| entry["context"].clone());
    let named = |given: &Option<String>, field: &str| {
        given.clone().or_else(|| context[field].as_str().map(str::to_owned)).unwrap_or_default()
    };
    let (of_cluster, of_user) = (named(&global.cluster, "cluster"), named(&global.user, "user"));
    set(&mut config, "clusters", &of_cluster, &cluster(global, false)?);
    set(&mut config, "users", &of_user, &user(global, false)?);
    Ok(config)
}

fn current(config: &Value) -> Result<String, Failure> {
    let name = config["current-context"].as_str().filter(|name| !name.is_empty());
    name.map(str::to_owned).ok_or_else(|| Failure::said("current-context is not set"))
}

/// What is called so in one of the lists: `clusters`, `contexts`, `users`.
fn entry<'a>(config: &'a Value, list: &str, name: &str) -> Option<&'a Value> {
    config[list].as_array().into_iter().flatten().find(|entry| entry["name"] == *name)
}

/// The field of an entry of a list that holds its settings.
fn inside(list: &str) -> &str {
    list.trim_end_matches('s')
}

/// Sets fields of an entry, which is made where it is missing; a null takes a field away.
fn set(file: &mut Value, list: &str, name: &str, fields: &[(&str, Option<Value>)]) {
    let field = inside(list);
    let entries = list_of(file, list);
    if !entries.iter().any(|entry| entry["name"] == *name) {
        let settings = if list == "contexts" { json!({"cluster": "", "user": ""}) } else { json!({}) };
        entries.push(json!({"name": name, field: settings}));
    }
    for entry in entries.iter_mut().filter(|entry| entry["name"] == *name) {
        let settings = entry.as_object_mut().map(|entry| entry.entry(field).or_insert_with(|| json!({})));
        let Some(settings) = settings.and_then(Value::as_object_mut) else { continue };
        for (field, value) in fields {
            match value {
                None => {}
                Some(Value::Null) => drop(settings.remove(*field)),
                Some(value) => drop(settings.insert((*field).to_owned(), value.clone())),
            }
        }
    }
}

/// Takes a setting, or a whole entry, away wherever it stands.
fn unset(files: &mut Files, property: &str) -> Result<(), Failure> {
    let none = || Failure::said(format!("there is no property \"{property}\" in the kubeconfig"));
    match Property::parse(property)? {
        Property::Current => files.main()["current-context"] = json!(""),
        Property::Entry { list, name } => {
            if !files.has(list, &name) {
                return Err(none());
            }
            while files.has(list, &name) {
                list_of(files.holding(list, &name), list).retain(|entry| entry["name"] != *name);
            }
        }
        Property::Field { list, name, field } => {
            let merged = files.merged();
            if entry(&merged, list, &name).is_none_or(|entry| entry[inside(list)][field].is_null()) {
                return Err(none());
            }
            set(files.holding(list, &name), list, &name, &[(field, Some(Value::Null))]);
        }
    }
    Ok(())
}

/// What is set of a cluster. One way to trust it goes before the other.
fn cluster(global: &Global, embed: bool) -> Result<Vec<(&'static str, Option<Value>)>, Failure> {
    let mut fields = vec![
        ("server", global.server.clone().map(Value::from)),
        ("tls-server-name", global.tls_server_name.clone().map(Value::from)),
    ];
    fields.extend(held("certificate-authority", "certificate-authority-data", &global.certificate_authority, embed)?);
    if global.insecure_skip_tls_verify {
        fields.push(("insecure-skip-tls-verify", Some(json!(true))));
        fields.extend(["certificate-authority", "certificate-authority-data"].map(|field| (field, Some(Value::Null))));
    } else if global.certificate_authority.is_some() {
        fields.push(("insecure-skip-tls-verify", Some(Value::Null)));
    }
    Ok(fields)
}

/// What is set of a user.
fn user(global: &Global, embed: bool) -> Result<Vec<(&'static str, Option<Value>)>, Failure> {
    let mut fields = vec![("token", global.token.clone().map(Value::from))];
    fields.extend(held("client-certificate", "client-certificate-data", &global.client_certificate, embed)?);
    fields.extend(held("client-key", "client-key-data", &global.client_key, embed)?);
    Ok(fields)
}

/// A file, as its name or as what is in it; never both.
fn held(
    name: &'static str,
    data: &'static str,
    file: &Option<PathBuf>,
    embed: bool,
) -> Result<Vec<(&'static str, Option<Value>)>, Failure> {
    let Some(file) = file else { return Ok(Vec::new()) };
    let fault = |source| Failure::Read { path: file.clone(), source };
    if embed {
        let bytes = std::fs::read(file).map_err(fault)?;
        return Ok(vec![(data, Some(json!(base64::encode(&bytes)))), (name, Some(Value::Null))]);
    }
    let path = std::path::absolute(file).map_err(fault)?;
    Ok(vec![(name, Some(json!(path.display().to_string()))), (data, Some(Value::Null))])
}

/// Takes an entry out of a list, wherever it stands.
fn delete(files: &mut Files, merged: &Value, list: &str, name: &str) -> Result<(), Failure> {
    let what = inside(list);
    if entry(merged, list, name).is_none() {
        return Err(Failure::said(format!("cannot delete {what} {name}, not in the kubeconfig")));
    }
    while files.has(list, name) {
        list_of(files.holding(list, name), list).retain(|entry| entry["name"] != *name);
    }
    files.write()?;
    if list == "contexts" && merged["current-context"] == *name {
        eprintln!(
            "warning: this removed your active context, use \"edgectl config use-context\" to select a different one"
        );
    }
    println!("deleted {what} {name} from the kubeconfig");
    Ok(())
}

fn rename(files: &mut Files, merged: &Value, name: &str, new: &str) -> Result<(), Failure> {
    if entry(merged, "contexts", name).is_none() {
        return Err(Failure::said(format!("cannot rename the context \"{name}\", it's not in the kubeconfig")));
    }
    if entry(merged, "contexts", new).is_some() {
        return Err(Failure::said(format!(
            "cannot rename the context \"{name}\", the context \"{new}\" already exists in the kubeconfig"
        )));
    }
    while files.has("contexts", name) {
        for entry in list_of(files.holding("contexts", name), "contexts").iter_mut().filter(|e| e["name"] == *name) {
            entry["name"] = json!(new);
        }
    }
    files.move_current(name, new);
    files.write()?;
    println!("Context \"{name}\" renamed to \"{new}\".");
    Ok(())
}

fn names(merged: &Value, list: &str) -> String {
    let all = merged[list].as_array().into_iter().flatten().filter_map(|entry| entry["name"].as_str());
    std::iter::once("NAME").chain(all).map(|name| format!("{name}\n")).collect()
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

/// Whoever asks for one self-contained file wants to use it, as with kubectl.
fn redacts(raw: bool, flatten: bool) -> bool {
    !raw && !flatten
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
    fn a_whole_or_raw_view_keeps_its_secrets() {
        for (raw, flatten, expected) in [(false, false, true), (true, false, false), (false, true, false)] {
            assert_eq!(redacts(raw, flatten), expected, "{raw} {flatten}");
        }
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
        let user = || Some(json!("w"));
        set(&mut file, "contexts", "a", &[("user", user()), ("cluster", None)]);
        assert_eq!(file["contexts"][1]["context"], json!({"cluster": "c", "user": "w"}));
        let mut empty = json!({});
        set(&mut empty, "contexts", "new", &[("user", user())]);
        assert_eq!(empty["contexts"], json!([{"name": "new", "context": {"cluster": "", "user": "w"}}]));
    }

    fn done(path: &std::path::Path, words: &str) -> Result<ExitCode, Failure> {
        let line = format!("edgectl --kubeconfig={} config {words}", path.display());
        let parsed = crate::args::read(&line).unwrap();
        let crate::args::Verb::Config(config) = parsed.verb else { panic!("{line}") };
        run(&parsed.global, config)
    }

    #[test]
    fn a_kubeconfig_is_made_changed_and_emptied() {
        let folder = std::env::temp_dir().join(format!("edgectl-sets-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (path, ca) = (folder.join("config"), folder.join("ca.crt"));
        std::fs::write(&ca, "x").unwrap();
        let now = || {
            kedge_api::decode::yaml(&std::fs::read(&path).unwrap(), &kedge_api::decode::Limits::MANIFEST).unwrap().value
        };
        assert!(done(&path, "view").is_err());
        let ca = ca.display();
        done(&path, &format!("set-cluster c --server=https://a:1 --certificate-authority={ca} --embed-certs")).unwrap();
        assert_eq!(
            now()["clusters"][0]["cluster"],
            json!({"server": "https://a:1", "certificate-authority-data": "eA=="})
        );
        done(&path, &format!("set-cluster c --certificate-authority={ca}")).unwrap();
        let named = json!({"server": "https://a:1", "certificate-authority": ca.to_string()});
        assert_eq!(now()["clusters"][0]["cluster"], named);
        done(&path, "set-cluster c --insecure-skip-tls-verify").unwrap();
        assert_eq!(now()["clusters"][0]["cluster"], json!({"server": "https://a:1", "insecure-skip-tls-verify": true}));
        done(&path, "set-credentials u --token=t").unwrap();
        done(&path, "set-context b --cluster=c --user=u").unwrap();
        done(&path, "use-context b").unwrap();
        done(&path, "rename-context b d").unwrap();
        assert!(done(&path, "rename-context b d").is_err());
        assert_eq!((&now()["current-context"], &now()["contexts"][0]["name"]), (&json!("d"), &json!("d")));
        for words in ["delete-context d", "delete-user u", "delete-cluster c"] {
            done(&path, words).unwrap();
            assert!(done(&path, words).is_err(), "{words}");
        }
        assert_eq!((&now()["contexts"], &now()["users"], &now()["clusters"]), (&json!([]), &json!([]), &json!([])));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn single_settings_are_set_and_unset() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = std::env::temp_dir().join(format!("edgectl-property-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("config");
        let now = || {
            kedge_api::decode::yaml(&std::fs::read(&path).unwrap(), &kedge_api::decode::Limits::MANIFEST).unwrap().value
        };
        for words in [
            "set clusters.c.server https://a:1",
            "set clusters.c.insecure-skip-tls-verify true",
            "set users.u.client-key-data x --set-raw-bytes",
            "set contexts.b.namespace n",
            "set current-context b",
        ] {
            done(&path, words).unwrap_or_else(|e| panic!("{words}: {e}"));
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{words}");
        }
        let cluster = json!({"server": "https://a:1", "insecure-skip-tls-verify": true});
        assert_eq!(now()["clusters"], json!([{"name": "c", "cluster": cluster}]));
        assert_eq!(now()["users"], json!([{"name": "u", "user": {"client-key-data": "eA=="}}]));
        assert_eq!(now()["contexts"][0]["context"]["namespace"], "n");
        assert_eq!(now()["current-context"], "b");
        for words in ["unset contexts.b.namespace", "unset clusters.c.server", "unset users.u"] {
            done(&path, words).unwrap();
            assert!(done(&path, words).is_err(), "{words}");
        }
        done(&path, "unset current-context").unwrap();
        let cluster = json!({"name": "c", "cluster": {"insecure-skip-tls-verify": true}});
        assert_eq!((&now()["clusters"][0], &now()["users"]), (&cluster, &json!([])));
        assert_eq!(now()["current-context"], "");
        for words in ["set clusters.c x", "set other x", "unset clusters.x.server", "set users.u.client-key-data *"] {
            assert!(done(&path, words).is_err(), "{words}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn flags_go_before_the_kubeconfig() {
        let folder = std::env::temp_dir().join(format!("edgectl-flags-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("config");
        std::fs::write(&path, yaml::text(&config())).unwrap();
        let global = |flags: &str| crate::args::read(&format!("edgectl get pods {flags}")).unwrap().global;
        let given = format!(
            "--kubeconfig={} --certificate-authority=/ca --client-certificate=/c --client-key=/k --tls-server-name=n",
            path.display()
        );
        let made = adjusted(&global(&given)).unwrap();
        let cluster = json!({"server": "https://h", "certificate-authority": "/ca", "tls-server-name": "n"});
        assert_eq!(made["clusters"][0]["cluster"], cluster);
        let user = json!({"token": "t", "client-certificate": "/c", "client-key": "/k"});
        assert_eq!(made["users"].as_array().unwrap().iter().find(|u| u["name"] == "u").unwrap()["user"], user);
        std::fs::write(&path, "").unwrap();
        let bare = format!("--kubeconfig={} -s https://a --certificate-authority=/ca", path.display());
        let made = adjusted(&global(&bare)).unwrap();
        assert_eq!(made["current-context"], OWN);
        assert_eq!(made["clusters"][0]["cluster"], json!({"server": "https://a", "certificate-authority": "/ca"}));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
