//! The paths under which kinds are served, with their operations.
//!
//! In: the served kinds. Out: path items in the form of version 2, and the same in the form of version 3.
//! Clients read from them which kind a path serves and which parameters an operation takes.

use super::custom;
use crate::discovery;
use crate::kinds::{Gvk, Kind, Kinds, Sub, Verb};
use crate::schema;
use serde_json::{Map, Value, json};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";
const PRODUCES: [&str; 2] = ["application/json", "application/yaml"];
const CUSTOM_PATCHES: [&str; 3] =
    ["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"];
const PATCHES: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

/// Query parameters: name, type, what it does.
const READ: [(&str, &str, &str); 10] = [
    ("allowWatchBookmarks", "boolean", "Send BOOKMARK events while watching."),
    ("continue", "string", "Where a limited list goes on."),
    ("fieldSelector", "string", "Only objects whose fields match."),
    ("labelSelector", "string", "Only objects whose labels match."),
    ("limit", "integer", "At most this many objects."),
    ("resourceVersion", "string", "How fresh the answer must be."),
    ("resourceVersionMatch", "string", "How resourceVersion is meant."),
    ("sendInitialEvents", "boolean", "Begin a watch with what there is."),
    ("timeoutSeconds", "integer", "How long the call may last."),
    ("watch", "boolean", "Answer with a stream of changes."),
];
const WRITE: [(&str, &str, &str); 3] = [
    ("dryRun", "string", "All: do everything but keep it."),
    ("fieldManager", "string", "Who is making the change."),
    ("fieldValidation", "string", "Ignore, Warn or Strict: what is done about unknown and duplicate fields."),
];
const PRETTY: (&str, &str, &str) = ("pretty", "string", "true: indent the answer.");
const FORCE: (&str, &str, &str) = ("force", "boolean", "Apply: take fields over from other managers.");
const DELETE: [(&str, &str, &str); 4] = [
    ("dryRun", "string", "All: do everything but keep it."),
    ("gracePeriodSeconds", "integer", "How long the object may take to end."),
    ("orphanDependents", "boolean", "Deprecated: see propagationPolicy."),
    ("propagationPolicy", "string", "Orphan, Background or Foreground: what becomes of dependents."),
];

/// Every path, those that find out what is served included.
pub(super) fn all(kinds: &Kinds) -> Vec<(String, Value)> {
    let mut out = vec![
        information("/api/", "getCoreAPIVersions", "core", "APIVersions"),
        information("/apis/", "getAPIVersions", "apis", "APIGroupList"),
        version(),
    ];
    for group in discovery::group_names(kinds) {
        let id = format!("get{}APIGroup", camel_group(&group));
        out.push(information(&format!("/apis/{group}/"), &id, &tag_group(&group), "APIGroup"));
    }
    for group in std::iter::once("".into()).chain(discovery::group_names(kinds)) {
        for version in kinds.versions(&group) {
            out.extend(of_version(kinds, &group, &version));
        }
    }
    out
}

/// The paths of one group and version.
pub(super) fn of_version(kinds: &Kinds, group: &str, version: &str) -> Vec<(String, Value)> {
    let prefix = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
    let id = format!("get{}{}APIResources", camel_group(group), capital(version));
    let tag = format!("{}_{version}", tag_group(group));
    let mut out = vec![information(&format!("{prefix}/"), &id, &tag, "APIResourceList")];
    for kind in kinds.of_version(group, version) {
        Paths { kind, prefix: &prefix, tag: &tag }.add(&mut out);
    }
    out
}

fn information(path: &str, id: &str, tag: &str, kind: &str) -> (String, Value) {
    let operation = json!({
        "description": "what is served here", "operationId": id, "tags": [tag], "produces": PRODUCES, "consumes": PRODUCES,
        "schemes": ["https"], "responses": responses(&["200"], Some(&format!("{META}{kind}"))),
    });
    (path.to_owned(), json!({"get": operation}))
}

fn version() -> (String, Value) {
    let operation = json!({
        "description": "which version serves", "operationId": "getCodeVersion", "tags": ["version"],
        "produces": PRODUCES, "consumes": PRODUCES, "schemes": ["https"],
        "responses": responses(&["200"], Some("io.k8s.apimachinery.pkg.version.Info")),
    });
    ("/version/".to_owned(), json!({"get": operation}))
}

fn responses(codes: &[&str], definition: Option<&str>) -> Value {
    let mut out = Map::new();
    for code in codes {
        let mut response = json!({"description": match *code { "201" => "Created", "202" => "Accepted", _ => "OK" }});
        response["schema"] = match definition {
            Some(name) => json!({"$ref": format!("#/definitions/{name}")}),
            None => json!({"type": "string"}),
        };
        out.insert((*code).to_owned(), response);
    }
    out.insert("401".to_owned(), json!({"description": "Unauthorized"}));
    Value::Object(out)
}

fn query((name, kind, description): &(&str, &str, &str)) -> Value {
    json!({"name": name, "in": "query", "type": kind, "uniqueItems": true, "description": description})
}

fn in_path(name: &str, description: &str) -> Value {
    json!({"name": name, "in": "path", "required": true, "type": "string", "uniqueItems": true, "description": description})
}

fn body(definition: &str, is_required: bool) -> Value {
    let mut out = json!({"name": "body", "in": "body", "schema": {"$ref": format!("#/definitions/{definition}")}});
    if is_required {
        out["required"] = json!(true);
    }
    out
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
}

/// `RbacAuthorization`, `Core`.
fn camel_group(group: &str) -> String {
    match group.strip_suffix(".k8s.io").unwrap_or(group) {
        "" => "Core".to_owned(),
        name => name.split(['.', '-']).map(capital).collect(),
    }
}

/// `rbacAuthorization`, `core`.
fn tag_group(group: &str) -> String {
    let camel = camel_group(group);
    let mut letters = camel.chars();
    letters.next().map_or_else(String::new, |first| first.to_ascii_lowercase().to_string() + letters.as_str())
}

/// One operation to be written.
struct Operation<'a> {
    method: &'static str,
    /// Kubernetes' word for it; empty where it has none.
    action: &'static str,
    id: String,
    description: String,
    gvk: &'a Gvk,
    parameters: Vec<Value>,
    codes: &'static [&'static str],
    answer: Option<String>,
}

struct Paths<'a> {
    kind: &'a Kind,
    prefix: &'a str,
    tag: &'a str,
}

impl Paths<'_> {
    fn add(&self, out: &mut Vec<(String, Value)>) {
        let kind = self.kind;
        let collection = if kind.namespaced {
            format!("{}/namespaces/{{namespace}}/{}", self.prefix, kind.plural)
        } else {
            format!("{}/{}", self.prefix, kind.plural)
        };
        let gvk = kind.gvk();
        if kind.namespaced && kind.verbs.has(Verb::List) {
            let list = self.list(&gvk, "ForAllNamespaces");
            out.push((format!("{}/{}", self.prefix, kind.plural), self.item(vec![list], &[])));
        }
        let mut operations = Vec::new();
        if kind.verbs.has(Verb::List) {
            operations.push(self.list(&gvk, ""));
        }
        if kind.verbs.has(Verb::Create) {
            operations.push(self.create(&gvk, ""));
        }
        if kind.verbs.has(Verb::DeleteCollection) {
            operations.push(self.delete(&gvk, true));
        }
        out.push((collection.clone(), self.item(operations, &self.scope())));
        if !kind.verbs.has(Verb::Get) {
            return;
        }
        let mut named = self.scope();
        named.push(in_path("name", "name of the object"));
        let single = format!("{collection}/{{name}}");
        let mut operations = vec![self.read(&gvk, "")];
        if kind.verbs.has(Verb::Update) {
            operations.extend([self.replace(&gvk, ""), self.patch(&gvk, ""), self.delete(&gvk, false)]);
        }
        out.push((single.clone(), self.item(operations, &named)));
        for sub in &kind.subresources {
            self.add_sub(*sub, &single, &named, out);
        }
    }

    fn add_sub(&self, sub: Sub, single: &str, named: &[Value], out: &mut Vec<(String, Value)>) {
        let gvk = sub.gvk(self.kind);
        let path = format!("{single}/{}", sub.name());
        let suffix = capital(sub.name());
        let operations = match sub {
            Sub::Attach | Sub::Exec | Sub::PortForward => {
                ["get", "post"].map(|method| self.connect(method, &gvk, &suffix)).into()
            }
            Sub::Proxy => {
                let methods = ["delete", "get", "head", "options", "patch", "post", "put"];
                let with_path = format!("{suffix}WithPath");
                let mut deeper = named.to_vec();
                deeper.push(in_path("path", "path to the resource"));
                let operations = methods.map(|method| self.connect(method, &gvk, &with_path)).into();
                out.push((format!("{path}/{{path}}"), self.item(operations, &deeper)));
                methods.map(|method| self.connect(method, &gvk, &suffix)).into()
            }
            Sub::Log => vec![Operation { answer: None, ..self.read(&gvk, &suffix) }],
            Sub::Binding | Sub::Eviction | Sub::Token => vec![self.create(&gvk, &suffix)],
            Sub::Finalize => vec![self.replace(&gvk, &suffix)],
            Sub::Approval | Sub::EphemeralContainers | Sub::Resize | Sub::Scale | Sub::Status => {
                vec![self.read(&gvk, &suffix), self.replace(&gvk, &suffix), self.patch(&gvk, &suffix)]
            }
        };
        out.push((path, self.item(operations, named)));
    }

    fn scope(&self) -> Vec<Value> {
        if self.kind.namespaced { vec![in_path("namespace", "namespace of the object")] } else { Vec::new() }
    }

    fn item(&self, operations: Vec<Operation<'_>>, parameters: &[Value]) -> Value {
        let mut out = Map::new();
        // What connects answers with whatever is at the other end.
        let is_pretty = operations.iter().any(|operation| operation.action != "connect");
        let parameters: Vec<Value> = parameters.iter().cloned().chain(is_pretty.then(|| query(&PRETTY))).collect();
        for operation in operations {
            let consumes: &[&str] = match operation.method == "patch" && operation.action == "patch" {
                true if self.kind.custom => &CUSTOM_PATCHES,
                // kubectl would make a strategic patch by the published schema, cannot follow the schemas that lie in such
                // an object, and says so with each apply.
                true if self.kind.is_removed() && self.kind.plural == "customresourcedefinitions" => &CUSTOM_PATCHES,
                true => &PATCHES,
                false => &["*/*"],
            };
            let mut value = json!({
                "description": operation.description,
                "operationId": operation.id,
                "tags": [self.tag],
                "consumes": consumes,
                "produces": PRODUCES,
                "schemes": ["https"],
                "responses": responses(operation.codes, operation.answer.as_deref()),
                "x-kubernetes-group-version-kind":
                    {"group": operation.gvk.group, "version": operation.gvk.version, "kind": operation.gvk.kind},
                "x-kubernetes-action": operation.action,
            });
            if !operation.parameters.is_empty() {
                value["parameters"] = Value::Array(operation.parameters);
            }
            out.insert(operation.method.to_owned(), value);
        }
        if !parameters.is_empty() {
            out.insert("parameters".to_owned(), Value::Array(parameters));
        }
        Value::Object(out)
    }

    fn id(&self, verb: &str, middle: &str, suffix: &str) -> String {
        let scope = if self.kind.namespaced && suffix != "ForAllNamespaces" { "Namespaced" } else { "" };
        let (group, version) = (camel_group(&self.kind.group), capital(&self.kind.version));
        format!("{verb}{group}{version}{middle}{scope}{}{suffix}", self.kind.kind)
    }

    fn definition(&self, gvk: &Gvk) -> String {
        if self.kind.custom && *gvk == self.kind.gvk() {
            return custom::model(self.kind, &gvk.kind);
        }
        schema::of(gvk).map_or_else(|| format!("{META}Patch"), |own| own.name().to_owned())
    }

    fn list<'a>(&self, gvk: &'a Gvk, suffix: &str) -> Operation<'a> {
        Operation {
            method: "get",
            action: "list",
            id: self.id("list", "", suffix),
            description: format!("list or watch objects of kind {}", gvk.kind),
            gvk,
            parameters: READ.iter().map(query).collect(),
            codes: &["200"],
            answer: Some(if self.kind.custom {
                custom::model(self.kind, &self.kind.list_kind)
            } else {
                format!("{}List", self.definition(gvk))
            }),
        }
    }

    fn read<'a>(&self, gvk: &'a Gvk, suffix: &str) -> Operation<'a> {
        Operation {
            method: "get",
            action: "get",
            id: self.id("read", "", suffix),
            description: format!("read one {}", gvk.kind),
            gvk,
            parameters: Vec::new(),
            codes: &["200"],
            answer: Some(self.definition(gvk)),
        }
    }

    fn create<'a>(&self, gvk: &'a Gvk, suffix: &str) -> Operation<'a> {
        let definition = self.definition(gvk);
        let parameters = std::iter::once(body(&definition, true)).chain(WRITE.iter().map(query)).collect();
        Operation {
            method: "post",
            action: "post",
            id: self.id("create", "", suffix),
            description: format!("create a {}", gvk.kind),
            gvk,
            parameters,
            codes: &["200", "201", "202"],
            answer: Some(definition),
        }
    }

    fn replace<'a>(&self, gvk: &'a Gvk, suffix: &str) -> Operation<'a> {
        Operation {
            method: "put",
            action: "put",
            id: self.id("replace", "", suffix),
            description: format!("replace a {}", gvk.kind),
            codes: &["200", "201"],
            ..self.create(gvk, suffix)
        }
    }

    fn patch<'a>(&self, gvk: &'a Gvk, suffix: &str) -> Operation<'a> {
        let parameters = std::iter::once(body(&format!("{META}Patch"), true))
            .chain(WRITE.iter().map(query))
            .chain([query(&FORCE)])
            .collect();
        Operation {
            method: "patch",
            action: "patch",
            id: self.id("patch", "", suffix),
            description: format!("change a {} in part", gvk.kind),
            gvk,
            parameters,
            codes: &["200", "201"],
            answer: Some(self.definition(gvk)),
        }
    }

    fn delete<'a>(&self, gvk: &'a Gvk, is_collection: bool) -> Operation<'a> {
        let listed: &[(&str, &str, &str)] = if is_collection { &READ[1..9] } else { &[] };
        let parameters = std::iter::once(body(&format!("{META}DeleteOptions"), false))
            .chain(DELETE.iter().map(query))
            .chain(listed.iter().map(query))
            .collect();
        Operation {
            method: "delete",
            action: if is_collection { "deletecollection" } else { "delete" },
            id: self.id("delete", if is_collection { "Collection" } else { "" }, ""),
            description: format!(
                "delete {}",
                if is_collection { format!("every {} that matches", gvk.kind) } else { format!("a {}", gvk.kind) }
            ),
            gvk,
            parameters,
            codes: if is_collection { &["200"] } else { &["200", "202"] },
            answer: Some(format!("{META}Status")),
        }
    }

    fn connect<'a>(&self, method: &'static str, gvk: &'a Gvk, suffix: &str) -> Operation<'a> {
        Operation {
            method,
            action: "connect",
            id: self.id("connect", &capital(method), suffix),
            description: format!("connect by {}", method.to_ascii_uppercase()),
            gvk,
            parameters: Vec::new(),
            codes: &["200"],
            answer: None,
        }
    }
}

/// A path item of version 2 as version 3 says it.
pub(super) fn to_v3(mut item: Value) -> Value {
    let Some(members) = item.as_object_mut() else { return item };
    for (name, member) in members {
        if name == "parameters" {
            parameters_to_v3(member);
        } else {
            operation_to_v3(member);
        }
    }
    item
}

fn parameters_to_v3(parameters: &mut Value) {
    for parameter in parameters.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        let schema: Map<String, Value> =
            ["type", "uniqueItems"].into_iter().filter_map(|name| parameter.remove_entry(name)).collect();
        parameter.insert("schema".to_owned(), Value::Object(schema));
    }
}

fn operation_to_v3(operation: &mut Value) {
    let Some(operation) = operation.as_object_mut() else { return };
    operation.remove("schemes");
    let types = |list: Option<Value>| -> Vec<String> {
        let list = list.and_then(|list| list.as_array().cloned()).unwrap_or_default();
        list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let consumes = types(operation.remove("consumes"));
    let produces = types(operation.remove("produces"));
    let content = |types: &[String], schema: &Value| -> Value {
        types.iter().map(|name| (name.clone(), json!({"schema": to_components(schema)}))).collect::<Map<_, _>>().into()
    };
    if let Some(Value::Array(mut parameters)) = operation.remove("parameters") {
        if let Some(at) = parameters.iter().position(|parameter| parameter["in"] == "body") {
            let body = parameters.remove(at);
            let mut request = json!({"content": content(&consumes, &body["schema"])});
            if body["required"] == true {
                request["required"] = json!(true);
            }
            operation.insert("requestBody".to_owned(), request);
        }
        let mut parameters = Value::Array(parameters);
        parameters_to_v3(&mut parameters);
        if parameters.as_array().is_some_and(|list| !list.is_empty()) {
            operation.insert("parameters".to_owned(), parameters);
        }
    }
    let responses = operation.get_mut("responses").and_then(Value::as_object_mut);
    for response in responses.into_iter().flatten().filter_map(|(_, response)| response.as_object_mut()) {
        if let Some(schema) = response.remove("schema") {
            response.insert("content".to_owned(), content(&produces, &schema));
        }
    }
}

fn to_components(schema: &Value) -> Value {
    match schema["$ref"].as_str().and_then(|name| name.strip_prefix("#/definitions/")) {
        Some(name) => json!({"$ref": format!("#/components/schemas/{name}")}),
        None => schema.clone(),
    }
}
