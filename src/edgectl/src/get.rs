//! `get`: tables as the server makes them, or objects in other formats; once or as they change.
//!
//! In: types and names. Out: rows or objects. Never formats a cell itself: the server knows its kinds.

mod table;

use std::io::Write;
use std::process::ExitCode;

use futures::StreamExt;
use kedge_client::{ClientError, ListOptions};
use serde_json::{Value, json};

use crate::args::Get;
use crate::error::Failure;
use crate::follow::{Event, Follow, parts};
use crate::manifest;
use crate::output::{self, Format, JsonPath};
use crate::resource::Target;
use crate::session::Session;
use table::Table;

/// The server makes the rows; a server that can't gives objects.
const AS_TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const AS_OBJECTS: &str = "application/json";

/// Runs the verb.
pub async fn run(session: Session, args: Get) -> Result<ExitCode, Failure> {
    if let Some(path) = &args.raw {
        return raw(&session, path).await;
    }
    let format = Format::parse(output(&args)?.as_deref())?;
    let sort = args.sort_by.as_deref().map(sort_path).transpose()?;
    let targets = targets(&session, &args).await?;
    if args.subresource.is_some() && targets.iter().any(|(target, _)| target.name.is_none()) {
        return Err(Failure::said("subresource cannot be used when bulk resources are specified"));
    }
    if args.output_watch_events && !args.watch && !args.watch_only {
        return Err(Failure::said("--output-watch-events option can only be used with --watch or --watch-only"));
    }
    if args.watch || args.watch_only {
        return watch(&session, &args, &format, &targets).await;
    }
    let several = targets.len() > 1 || args.show_kind;
    let mut printer = Printer { args: &args, format: &format, several, failed: false };
    match &format {
        Format::Table { wide } => printer.tables(&session, &targets, *wide, sort.as_ref()).await?,
        _ => printer.objects(&session, &targets, sort.as_ref()).await?,
    }
    Ok(if printer.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// `-o`, with what --template says.
fn output(args: &Get) -> Result<Option<String>, Failure> {
    let Some(template) = &args.template else { return Ok(args.output.clone()) };
    match args.output.as_deref() {
        None | Some("") => Ok(Some(format!("go-template={template}"))),
        Some(
            name @ ("go-template" | "go-template-file" | "template" | "templatefile" | "jsonpath" | "jsonpath-as-json"
            | "jsonpath-file"),
        ) => Ok(Some(format!("{name}={template}"))),
        Some(other) => Err(Failure::said(format!("--template does not go with the output format \"{other}\""))),
    }
}

/// The server's answer as it comes, so that logs and metrics of any size pass through.
async fn raw(session: &Session, path: &str) -> Result<ExitCode, Failure> {
    let mut pieces = session.client.stream(path).await?;
    let mut out = std::io::stdout().lock();
    while let Some(piece) = pieces.next().await {
        out.write_all(&piece?).and_then(|()| out.flush()).map_err(Failure::Print)?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn targets(session: &Session, args: &Get) -> Result<Vec<(Target, Option<String>)>, Failure> {
    let catalogue = session.catalogue().await?;
    let namespace = (!args.all_namespaces).then(|| session.namespace.clone());
    if !args.files.are_given() {
        if args.which.words.is_empty() {
            eprintln!(
                "You must specify the type of resource to get. Use \"edgectl api-resources\" for a complete list of supported resources.\n"
            );
            return Err(Failure::said(
                "Required resource not specified.\nUse \"edgectl explain <resource>\" for a detailed description of that resource (e.g. edgectl explain pods).\nSee 'edgectl get -h' for help and examples",
            ));
        }
        let named = catalogue.targets(&args.which.words)?;
        if args.all_namespaces && named.iter().any(|t| t.name.is_some() && t.resource.namespaced) {
            return Err(Failure::said("a resource cannot be retrieved by name across all namespaces"));
        }
        return Ok(named.into_iter().map(|target| (target, namespace.clone())).collect());
    }
    let mut found = Vec::new();
    for item in manifest::read(&args.files).await? {
        let resource = catalogue.of(item.api_version(), item.kind()).ok_or_else(|| {
            Failure::said(format!("{}: the server does not know {} {}", item.origin, item.api_version(), item.kind()))
        })?;
        let own = item.object["metadata"]["namespace"].as_str().map(str::to_owned);
        let target = Target { resource: resource.clone(), name: Some(item.named()?.to_owned()) };
        found.push((target, own.or_else(|| Some(session.namespace.clone()))));
    }
    Ok(found)
}

struct Printer<'a> {
    args: &'a Get,
    format: &'a Format,
    several: bool,
    failed: bool,
}

impl Printer<'_> {
    /// Tells what the server does not give and goes on with the rest; anything else ends the command.
    fn missing(&mut self, error: ClientError) -> Result<(), Failure> {
        match error {
            e if e.is_not_found() && self.args.ignore_not_found => Ok(()),
            e @ ClientError::Status { .. } => {
                eprint!("{}", Failure::Api(e).words());
                self.failed = true;
                Ok(())
            }
            e => Err(e.into()),
        }
    }

    async fn tables(
        &mut self,
        session: &Session,
        targets: &[(Target, Option<String>)],
        wide: bool,
        sort: Option<&JsonPath>,
    ) -> Result<(), Failure> {
        let (mut printed, mut empty) = (false, true);
        let mut pending: Option<(Target, Table)> = None;
        for (target, namespace) in targets {
            let answer = match fetch(session, self.args, target, namespace.as_deref(), true).await {
                Ok(answer) => answer,
                Err(error) => {
                    self.missing(error)?;
                    continue;
                }
            };
            let mut table = Table::of(&answer, target, self.args, wide);
            if let Some(path) = sort {
                table.sort(path);
            }
            empty &= table.rows.is_empty();
            match &mut pending {
                Some((last, held)) if last.resource == target.resource => held.rows.append(&mut table.rows),
                _ => {
                    self.flush(pending.take(), &mut printed);
                    pending = Some((target.clone(), table));
                }
            }
        }
        self.flush(pending, &mut printed);
        if empty && !self.failed && !self.args.ignore_not_found {
            let listed = targets.iter().any(|(t, _)| t.name.is_none());
            match targets.iter().find(|(t, _)| t.resource.namespaced).and_then(|(_, n)| n.as_deref()) {
                _ if !listed => {}
                Some(namespace) => eprintln!("No resources found in {namespace} namespace."),
                None => eprintln!("No resources found"),
            }
        }
        Ok(())
    }

    fn flush(&self, table: Option<(Target, Table)>, printed: &mut bool) {
        let Some((target, table)) = table else { return };
        if table.rows.is_empty() {
            return;
        }
        if *printed {
            println!();
        }
        *printed = true;
        let prefix = self.several.then(|| target.resource.named(""));
        print!("{}", table.text(!self.args.no_headers, prefix.as_deref()));
    }

    async fn objects(
        &mut self,
        session: &Session,
        targets: &[(Target, Option<String>)],
        sort: Option<&JsonPath>,
    ) -> Result<(), Failure> {
        let mut found: Vec<(String, Value)> = Vec::new();
        let mut whole = targets.len() == 1 && targets[0].0.name.is_some();
        for (target, namespace) in targets {
            let mut answer = match fetch(session, self.args, target, namespace.as_deref(), false).await {
                Ok(answer) => answer,
                Err(error) => {
                    whole = false;
                    self.missing(error)?;
                    continue;
                }
            };
            let name = |object: &Value| {
                target.resource.named(object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or(""))
            };
            if target.name.is_some() {
                found.push((name(&answer), answer));
                continue;
            }
            let Some(Value::Array(items)) = answer.get_mut("items").map(Value::take) else {
                return Err(Failure::said(format!("the server's answer is no list of {}", target.resource.plural)));
            };
            let (version, kind) = (target.resource.api_version(), target.resource.kind.clone());
            for mut item in items.into_iter().filter(Value::is_object) {
                item["apiVersion"] = json!(version);
                item["kind"] = json!(kind);
                found.push((name(&item), item));
            }
        }
        if !self.args.show_managed_fields && matches!(self.format, Format::Json | Format::Yaml) {
            found.iter_mut().for_each(|(_, object)| unmanaged(object));
        }
        if let Some(path) = sort {
            found.sort_by(|a, b| table::compare(path.first(&a.1).as_ref(), path.first(&b.1).as_ref()));
        }
        if *self.format == Format::Name {
            found.iter().for_each(|(name, _)| println!("{name}"));
            return Ok(());
        }
        let value = match found.pop() {
            None if self.failed || self.args.ignore_not_found => return Ok(()),
            Some((_, only)) if whole => only,
            last => {
                let items: Vec<Value> = found.into_iter().chain(last).map(|(_, object)| object).collect();
                json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items})
            }
        };
        output::print(self.format, &value, "")?;
        Ok(())
    }
}

async fn fetch(
    session: &Session,
    args: &Get,
    target: &Target,
    namespace: Option<&str>,
    as_table: bool,
) -> Result<Value, ClientError> {
    let path = target.resource.path(namespace);
    let accept = if as_table { AS_TABLE } else { AS_OBJECTS };
    if let Some(name) = &target.name {
        let path = path.name(name);
        let path = match &args.subresource {
            Some(part) => path.subresource(&**part),
            None => path,
        };
        return crate::follow::fetch(session, &path.to_string(), accept).await;
    }
    let mut options = ListOptions {
        labels: args.which.selector.clone(),
        fields: args.which.field_selector.clone(),
        limit: Some(args.chunk_size).filter(|size| *size > 0),
        ..ListOptions::default()
    };
    let mut whole: Option<Value> = None;
    loop {
        let page = crate::follow::fetch(session, &path.with_query(&options.query()), accept).await;
        let mut page = page.map_err(|error| of_selectors(error, target, args))?;
        options.continuation = page["metadata"]["continue"].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        match &mut whole {
            None => whole = Some(page),
            Some(whole) => {
                for list in ["items", "rows"] {
                    let more = page.get_mut(list).and_then(Value::as_array_mut);
                    if let (Some(held), Some(more)) = (whole.get_mut(list).and_then(Value::as_array_mut), more) {
                        held.append(more);
                    }
                }
            }
        }
        if let (None, Some(whole)) = (&options.continuation, &mut whole) {
            return Ok(whole.take());
        }
    }
}

/// A list that is refused because of its selectors names them.
fn of_selectors(error: ClientError, target: &Target, args: &Get) -> ClientError {
    let (labels, fields) = (&args.which.selector, &args.which.field_selector);
    let selects = labels.is_some() || fields.is_some();
    match error {
        ClientError::Status { code, reason, message, body, retry_after } if reason == "BadRequest" && selects => {
            let of = &target.resource;
            let [labels, fields] = [labels, fields].map(|text| text.as_deref().unwrap_or(""));
            let message = format!(
                "Unable to find \"{}/{}, Resource={}\" that match label selector \"{labels}\", field selector \"{fields}\": {message}",
                of.group, of.version, of.plural
            );
            ClientError::Status { code, reason, message, body, retry_after }
        }
        other => other,
    }
}

/// The object without the lists of who wrote what.
fn unmanaged(object: &mut Value) {
    object.get_mut("metadata").and_then(Value::as_object_mut).map(|meta| meta.remove("managedFields"));
}

fn sort_path(text: &str) -> Result<JsonPath, Failure> {
    let inner = text.trim_start_matches('{').trim_end_matches('}');
    let dot = if inner.starts_with('.') || inner.starts_with('[') { "" } else { "." };
    JsonPath::parse(&format!("{{{dot}{inner}}}"))
}

/// Rows (or objects) as they change, until the user ends it.
async fn watch(
    session: &Session,
    args: &Get,
    format: &Format,
    targets: &[(Target, Option<String>)],
) -> Result<ExitCode, Failure> {
    let [(target, namespace)] = targets else {
        return Err(Failure::said("you may only specify a single resource type or name when watching"));
    };
    if target.name.is_some() {
        // A mistake must be told once: a name that nobody has would be watched for ever.
        fetch(session, args, target, namespace.as_deref(), false).await?;
    }
    let fields = match (&target.name, &args.which.field_selector) {
        (Some(name), None) => Some(format!("metadata.name={name}")),
        (Some(name), Some(more)) => Some(format!("metadata.name={name},{more}")),
        (None, more) => more.clone(),
    };
    let options = ListOptions { labels: args.which.selector.clone(), fields, ..ListOptions::default() };
    let is_table = matches!(format, Format::Table { .. });
    let accept = if is_table { AS_TABLE } else { AS_OBJECTS };
    let mut follow = Follow::new(session, target.resource.path(namespace.as_deref()), options, accept);
    let mut lines = table::Stream::new(args, target, matches!(format, Format::Table { wide: true }));
    let mut printed = 0;
    let list = follow.list().await?;
    if !args.watch_only && is_table {
        print!("{}", lines.rows(&list, "ADDED"));
    } else if !args.watch_only {
        for object in parts(&list).filter(|object| object.is_object()) {
            let event = Event { of_type: "ADDED".to_owned(), object: object.clone() };
            print(event, args, format, target, &mut printed)?;
        }
    }
    loop {
        if std::io::stdout().flush().is_err() {
            return Ok(ExitCode::SUCCESS);
        }
        let event = follow.next().await?;
        if is_table {
            print!("{}", lines.rows(&event.object, &event.of_type));
        } else {
            print(event, args, format, target, &mut printed)?;
        }
    }
}

/// One object of a watch, in a format that is no table.
fn print(event: Event, args: &Get, format: &Format, target: &Target, printed: &mut usize) -> Result<(), Failure> {
    let Event { of_type, mut object } = event;
    if !object.is_object() {
        // The server's answer may hold anything.
        return Ok(());
    }
    (object["apiVersion"], object["kind"]) = (json!(target.resource.api_version()), json!(target.resource.kind));
    if !args.show_managed_fields && matches!(format, Format::Json | Format::Yaml) {
        unmanaged(&mut object);
    }
    let name = target.resource.named(object["metadata"]["name"].as_str().unwrap_or(""));
    if args.output_watch_events && matches!(format, Format::Json | Format::Yaml) {
        object = json!({"type": of_type, "object": object});
    }
    if *format == Format::Yaml && *printed > 0 {
        println!("---");
    }
    *printed += 1;
    output::print(format, &object, &name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Verb, read};
    use crate::fake::{self, refusal};

    fn parsed(line: &str) -> Get {
        match read(line).unwrap().verb {
            Verb::Get(get) => get,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn templates_have_a_flag_of_their_own() {
        for (flags, expected) in [
            ("", Ok(None)),
            ("--template={{.a}}", Ok(Some("go-template={{.a}}"))),
            ("-o go-template --template={{.a}}", Ok(Some("go-template={{.a}}"))),
            ("-o jsonpath --template={.a}", Ok(Some("jsonpath={.a}"))),
            ("-o json --template={.a}", Err(())),
        ] {
            let given = output(&parsed(format!("edgectl get pods {flags}").trim()));
            assert_eq!(given.as_ref().map(Option::as_deref).map_err(drop), expected, "{flags}");
        }
    }

    #[tokio::test]
    async fn one_refusal_does_not_hide_the_rest() {
        let (session, log) = fake::session(|asked| match asked.line.contains("pods") {
            true => refusal(403, "Forbidden"),
            false => (200, json!({"items": []})),
        });
        for format in ["name", "json"] {
            let done = run(fake::again(&session), parsed(&format!("edgectl get pods,secrets -o {format}"))).await;
            assert_eq!(done.unwrap(), ExitCode::FAILURE);
        }
        assert_eq!(log.lines().iter().filter(|line| line.contains("secrets")).count(), 2);
    }

    #[tokio::test]
    async fn answers_that_are_no_lists_are_no_end_of_the_program() {
        for answer in [json!([]), json!({"items": [1]}), json!(7)] {
            let given = answer.clone();
            let (session, _) = fake::session(move |_| (200, given.clone()));
            let done = run(session, parsed("edgectl get pods -o json")).await;
            assert_eq!(done.is_ok(), answer["items"].is_array(), "{answer}");
        }
    }

    #[tokio::test]
    async fn what_is_watched_may_be_anything() {
        let (session, _) = fake::session(|_| (200, json!({})));
        let target = Target { resource: session.catalogue().await.unwrap().find("pods").unwrap().clone(), name: None };
        for object in [json!("x"), json!([1]), json!({"metadata": "x"})] {
            let event = Event { of_type: "ADDED".to_owned(), object };
            print(event, &parsed("edgectl get pods -w -o json"), &Format::Json, &target, &mut 0).unwrap();
        }
    }

    #[tokio::test]
    async fn long_lists_come_in_pieces() {
        let (session, log) = fake::session(|asked| {
            let (name, next) = if asked.line.contains("continue=x") { ("b", "") } else { ("a", "x") };
            (200, json!({"metadata": {"continue": next}, "items": [{"metadata": {"name": name}}]}))
        });
        let args = parsed("edgectl get pods --chunk-size=1 -o name");
        let target = Target { resource: session.catalogue().await.unwrap().find("pods").unwrap().clone(), name: None };
        let list = fetch(&session, &args, &target, Some("default"), false).await.unwrap();
        assert_eq!(list["items"].as_array().unwrap().len(), 2);
        assert_eq!(log.lines().len(), 2);
        assert!(log.lines()[0].contains("limit=1"), "{:?}", log.lines());
    }

    #[tokio::test]
    async fn a_watch_asks_for_rows_and_never_for_single_objects() {
        let (session, log) = fake::session(|asked| match asked.line.contains("watch=true") {
            true => refusal(403, "Forbidden"),
            false => (200, json!({"kind": "Table", "metadata": {"resourceVersion": "3"}, "rows": []})),
        });
        assert!(run(session, parsed("edgectl get pods -w")).await.is_err());
        let asked = log.all();
        assert_eq!(asked.len(), 2);
        assert!(asked.iter().all(|one| one.accept.contains("as=Table")), "{asked:?}");
        assert!(asked[1].line.contains("resourceVersion=3"), "{asked:?}");
    }
}
