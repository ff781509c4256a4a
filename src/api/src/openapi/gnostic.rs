//! Version 2 as the protobuf message `openapi.v2.Document` of gnostic, which older `kubectl`s insist on.
//!
//! In: definitions and path items as JSON. Out: the message. A writer only: fields are written as they come.

use serde_json::Value;

/// A message that is being written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.varint(u64::from(field) << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, field: u32, text: &str) {
        if !text.is_empty() {
            self.bytes(field, text.as_bytes());
        }
    }

    fn truth(&mut self, field: u32, value: bool) {
        if value {
            self.varint(u64::from(field) << 3);
            self.0.push(1);
        }
    }

    fn message(&mut self, field: u32, message: &Message) {
        self.bytes(field, &message.0);
    }

    /// The member of that name, if it is text.
    fn member(&mut self, field: u32, object: &Value, name: &str) {
        self.text(field, object[name].as_str().unwrap_or_default());
    }

    /// Every text of the list of that name.
    fn members(&mut self, field: u32, object: &Value, name: &str) {
        for text in object[name].as_array().into_iter().flatten().filter_map(Value::as_str) {
            self.bytes(field, text.as_bytes());
        }
    }

    /// What begins with `x-`: its value is YAML, which JSON is.
    fn extensions(&mut self, field: u32, object: &Value) {
        let members = object.as_object().into_iter().flatten();
        for (name, value) in members.filter(|(name, _)| name.starts_with("x-")) {
            let mut any = Message::default();
            any.text(2, &value.to_string());
            self.message(field, &named(name, &any));
        }
    }
}

fn named(name: &str, value: &Message) -> Message {
    let mut out = Message::default();
    out.text(1, name);
    out.message(2, value);
    out
}

fn wrapped(field: u32, inner: &Message) -> Message {
    let mut out = Message::default();
    out.message(field, inner);
    out
}

/// The document, written in the order paths, definitions.
pub(super) struct Document {
    head: Message,
    paths: Message,
    definitions: Message,
}

impl Document {
    pub(super) fn new(info: &Value) -> Document {
        let mut about = Message::default();
        about.member(1, info, "title");
        about.member(2, info, "version");
        let mut head = Message::default();
        head.text(1, "2.0");
        head.message(2, &about);
        Document { head, paths: Message::default(), definitions: Message::default() }
    }

    pub(super) fn path(&mut self, path: &str, item: &Value) {
        self.paths.message(2, &named(path, &path_item(item)));
    }

    pub(super) fn definition(&mut self, name: &str, definition: &Value) {
        self.definitions.message(1, &named(name, &schema(definition)));
    }

    pub(super) fn finish(self) -> Vec<u8> {
        let mut out = self.head;
        out.message(8, &self.paths);
        out.message(9, &self.definitions);
        out.0
    }
}

fn schema(value: &Value) -> Message {
    let mut out = Message::default();
    out.member(1, value, "$ref");
    out.member(2, value, "format");
    out.member(4, value, "description");
    out.members(19, value, "required");
    if let Some(item) = value.get("additionalProperties") {
        out.message(21, &wrapped(1, &schema(item)));
    }
    if let Some(kind) = value["type"].as_str() {
        let mut kinds = Message::default();
        kinds.text(1, kind);
        out.message(22, &kinds);
    }
    if let Some(item) = value.get("items") {
        out.message(23, &wrapped(1, &schema(item)));
    }
    if let Some(properties) = value["properties"].as_object() {
        let mut all = Message::default();
        for (name, property) in properties {
            all.message(1, &named(name, &schema(property)));
        }
        out.message(25, &all);
    }
    out.extensions(31, value);
    out
}

fn path_item(item: &Value) -> Message {
    const METHODS: [(&str, u32); 7] =
        [("get", 2), ("put", 3), ("post", 4), ("delete", 5), ("options", 6), ("head", 7), ("patch", 8)];
    let mut out = Message::default();
    for (method, field) in METHODS {
        if let Some(value) = item.get(method) {
            out.message(field, &operation(value));
        }
    }
    parameters(&mut out, 9, item);
    out
}

fn operation(value: &Value) -> Message {
    let mut out = Message::default();
    out.members(1, value, "tags");
    out.member(3, value, "description");
    out.member(5, value, "operationId");
    out.members(6, value, "produces");
    out.members(7, value, "consumes");
    parameters(&mut out, 8, value);
    let mut responses = Message::default();
    for (code, response) in value["responses"].as_object().into_iter().flatten() {
        let mut message = Message::default();
        message.member(1, response, "description");
        if let Some(answer) = response.get("schema") {
            message.message(2, &wrapped(1, &schema(answer)));
        }
        responses.message(1, &named(code, &wrapped(1, &message)));
    }
    out.message(9, &responses);
    out.members(10, value, "schemes");
    out.extensions(13, value);
    out
}

fn parameters(out: &mut Message, field: u32, owner: &Value) {
    for value in owner["parameters"].as_array().into_iter().flatten() {
        out.message(field, &wrapped(1, &parameter(value)));
    }
}

fn parameter(value: &Value) -> Message {
    let mut inner = Message::default();
    let is_required = value["required"] == true;
    if value["in"] == "body" {
        inner.member(1, value, "description");
        inner.member(2, value, "name");
        inner.member(3, value, "in");
        inner.truth(4, is_required);
        inner.message(5, &schema(&value["schema"]));
        return wrapped(1, &inner);
    }
    let is_query = value["in"] == "query";
    inner.truth(1, is_required);
    inner.member(2, value, "in");
    inner.member(3, value, "description");
    inner.member(4, value, "name");
    inner.member(if is_query { 6 } else { 5 }, value, "type");
    inner.truth(if is_query { 20 } else { 19 }, value["uniqueItems"] == true);
    wrapped(2, &wrapped(if is_query { 3 } else { 4 }, &inner))
}
