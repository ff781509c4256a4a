//! `get`: tables as the server makes them, or objects in other formats; once or as they change.
//!
//! In: types and names. Out: rows or objects. Never formats a cell itself: the server knows its kinds.

mod table;

use std::io::Write;
use std::process::ExitCode;

use futures::StreamExt;
use http::header;
use kedge_client::{ClientError, Informer, ListOptions, Step, WatchOptions};
use serde_json::{Value, json};

use crate::args::Get;
use crate::error::Failure;
use crate::manifest;
use crate::output::{self, Format, JsonPath};
use crate::resource::Target;
use crate::session::Session;
use table::Table;

/// The server makes the rows; a server that can't gives objects.
const AS_TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
/// The largest answer: ten thousand rows with their metadata.
const LIMIT: usize = 256 << 20;

/// Runs the verb.
pub async fn run(session: Session, args: Get) -> Result<ExitCode, Failure> {
    if let Some(path) = &args.raw {
        return raw(&session, path).await;
    }
    let format = Format::parse(args.output.as_deref())?;
    let sort = args.sort_by.as_deref().map(sort_path).transpose()?;
    let targets = targets(&session, &args).await?;
    if args.watch || args.watch_only {
        return watch(&session, &args, &format, &targets).await;
    }
    let mut printer = Printer { args: &args, format: &format, several: targets.len() > 1, failed: false };
    match &format {
        Format::Table { wide } => printer.tables(&session, &targets, *wide, sort.as_ref()).await?,
        _ => printer.objects(&session, &targets, sort.as_ref()).await?,
    }
    Ok(if printer.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
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
    if args.files.filename.is_empty() {
        let named = catalogue.targets(&args.which.words)?;
        if args.all_namespaces && named.iter().any(|t| t.name.is_some() && t.resource.namespaced) {
            return Err(Failure::said("a resource cannot be retrieved by name across all namespaces"));
        }
        return Ok(named.into_iter().map(|target| (target, namespace.clone())).collect());
    }
    let mut found = Vec::new();
    for item in manifest::read(&args.files)? {
        let resource = catalogue.of(item.api_version(), item.kind()).ok_or_else(|| {
            Failure::said(format!("{}: the server does not know {} {}", item.origin, item.api_version(), item.kind()))
        })?;
        let own = item.object["metadata"]["namespace"].as_str().map(str::to_owned);
        let target = Target { resource: resource.clone(), name: Some(item.name().to_owned()) };
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
    /// Tells what is missing and goes on; anything else ends the command.
    fn missing(&mut self, error: ClientError) -> Result<(), Failure> {
        match error {
            e if e.is_not_found() && self.args.ignore_not_found => Ok(()),
            e if e.is_not_found() => {
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
            let Value::Array(items) = answer["items"].take() else { continue };
            let (version, kind) = (target.resource.api_version(), target.resource.kind.clone());
            for mut item in items {
                item["apiVersion"] = json!(version);
                item["kind"] = json!(kind);
                found.push((name(&item), item));
            }
        }
        if !self.args.show_managed_fields {
            for (_, object) in &mut found {
                object.get_mut("metadata").and_then(Value::as_object_mut).map(|meta| meta.remove("managedFields"));
            }
        }
        if let Some(path) = sort {
            found.sort_by(|a, b| table::compare(path.find(&a.1).first(), path.find(&b.1).first()));
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
        print!("{}", output::object(self.format, &value, "")?);
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
    let mut path = target.resource.path(namespace);
    let mut query = Vec::new();
    match &target.name {
        Some(name) => path = path.name(name),
        None => {
            let options = ListOptions {
                labels: args.which.selector.clone(),
                fields: args.which.field_selector.clone(),
                limit: None,
                ..ListOptions::default()
            };
            query = options.query();
        }
    }
    let url = path.with_query(&query);
    let accept = if as_table { AS_TABLE } else { "application/json" };
    let request = http::Request::get(&url)
        .header(header::ACCEPT, accept)
        .body(bytes::Bytes::new())
        .map_err(|source| ClientError::Request { path: url.clone(), source })?;
    let body = session.client.fetch(request, LIMIT).await?;
    serde_json::from_slice(&body).map_err(|source| ClientError::Decode { path: url, source })
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
    // A mistake must be told once and not be tried for ever.
    fetch(session, args, target, namespace.as_deref(), false).await?;
    let fields = match (&target.name, &args.which.field_selector) {
        (Some(name), None) => Some(format!("metadata.name={name}")),
        (Some(name), Some(more)) => Some(format!("metadata.name={name},{more}")),
        (None, more) => more.clone(),
    };
    let options = WatchOptions { labels: args.which.selector.clone(), fields, remote: true };
    let mut informer =
        Informer::<Value>::new(session.client.clone(), target.resource.path(namespace.as_deref()), options);
    let mut lines = table::Stream::new(args, matches!(format, Format::Table { wide: true }));
    let mut quiet = args.watch_only;
    loop {
        let object = match informer.next().await {
            Step::Apply(object) if !quiet => object,
            Step::Delete(object) => object,
            Step::Synced => {
                quiet = false;
                continue;
            }
            Step::Restart | Step::Apply(_) => continue,
        };
        match format {
            Format::Table { .. } => {
                let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("").to_owned();
                let own = object.pointer("/metadata/namespace").and_then(Value::as_str).map(str::to_owned);
                let one = Target { resource: target.resource.clone(), name: Some(name) };
                // The object may be gone by now; its last row was shown then.
                if let Ok(answer) = fetch(session, args, &one, own.as_deref(), true).await {
                    print!("{}", lines.rows(&answer, &one));
                }
            }
            other => {
                let name =
                    target.resource.named(object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or(""));
                print!("{}", output::object(other, &object, &name)?);
            }
        }
        use std::io::Write;
        if std::io::stdout().flush().is_err() {
            return Ok(ExitCode::SUCCESS);
        }
    }
}
