//! Lays out the table. In: JSON schemas and facts. Out: the bytes that `src/schema/layout.rs` describes.

use super::facts::{Facts, Field as FieldFacts, Wire, Wires};
use super::layout::{self, Form};
use k8s_openapi::serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

const REF: &str = "#/$defs/";
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";

/// Types that are not structs, by the last three parts of their name.
const FORMS: [(&str, Form); 12] = [
    ("api.resource.Quantity", Form::Quantity),
    ("util.intstr.IntOrString", Form::IntOrString),
    ("meta.v1.Time", Form::Time),
    ("meta.v1.MicroTime", Form::MicroTime),
    ("meta.v1.FieldsV1", Form::Raw),
    ("meta.v1.Patch", Form::Raw),
    ("pkg.runtime.RawExtension", Form::Raw),
    ("apiextensions.v1.JSON", Form::Any),
    ("apiextensions.v1.JSONSchemaPropsOrArray", Form::Any),
    ("apiextensions.v1.JSONSchemaPropsOrBool", Form::Any),
    ("apiextensions.v1.JSONSchemaPropsOrStringArray", Form::Any),
    ("apiextensions.v1.CustomResourceSubresourceStatus", Form::Raw),
];

#[derive(Default)]
struct Pool {
    bytes: Vec<u8>,
    seen: BTreeMap<String, u32>,
}

impl Pool {
    fn add(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        if let Some(at) = self.seen.get(text) {
            return *at;
        }
        let length = u32::from(u8::try_from(text.len()).expect("names are short"));
        let reference = (self.bytes.len() as u32) << 8 | length;
        self.bytes.extend_from_slice(text.as_bytes());
        self.seen.insert(text.to_owned(), reference);
        reference
    }
}

#[derive(Default)]
struct Docs {
    texts: Vec<String>,
    seen: BTreeMap<String, u16>,
}

impl Docs {
    fn add(&mut self, schema: &Value) -> u16 {
        let text = schema["description"].as_str().unwrap_or_default();
        if let Some(at) = self.seen.get(text) {
            return *at;
        }
        let at = u16::try_from(self.texts.len()).expect("fewer texts than fields");
        self.texts.push(text.to_owned());
        self.seen.insert(text.to_owned(), at);
        at
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = (self.texts.len() as u32).to_le_bytes().to_vec();
        let mut end = 0u32;
        for text in &self.texts {
            end += text.len() as u32;
            bytes.extend(end.to_le_bytes());
        }
        self.texts.iter().for_each(|text| bytes.extend(text.as_bytes()));
        bytes
    }
}

struct Types<'a> {
    rows: Vec<u32>,
    defs: &'a BTreeMap<&'a str, u16>,
}

impl Types<'_> {
    fn add(&mut self, schema: &Value) -> u16 {
        let kind = schema["type"].as_str().unwrap_or_default();
        let format = schema["format"].as_str().unwrap_or_default();
        let (form, target) = if let Some(name) = reference(schema) {
            (Form::Ref, self.defs[name])
        } else {
            match (kind, format) {
                ("array", _) => (Form::List, self.add(&schema["items"])),
                ("object", _) => match schema.get("additionalProperties") {
                    Some(items) => (Form::Map, self.add(items)),
                    None => (Form::Raw, 0),
                },
                ("string", "byte") => (Form::Bytes, 0),
                ("string", _) => (Form::String, 0),
                ("boolean", _) => (Form::Bool, 0),
                ("integer", "int64") => (Form::Int64, 0),
                ("integer", _) => (Form::Int32, 0),
                ("number", _) => (Form::Double, 0),
                _ => panic!("a type of no known form: {schema}"),
            }
        };
        let row = form as u32 | u32::from(target) << 8;
        let at = self.rows.iter().position(|known| *known == row).unwrap_or_else(|| {
            self.rows.push(row);
            self.rows.len() - 1
        });
        u16::try_from(at).expect("fewer types than fields")
    }
}

fn bits(flags: &[(bool, u8)]) -> u8 {
    flags.iter().filter(|(on, _)| *on).fold(0, |bits, (_, bit)| bits | bit)
}

fn reference(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str().or_else(|| schema["allOf"][0]["$ref"].as_str())?.strip_prefix(REF)
}

/// The last three parts of a name.
fn short(name: &str) -> &str {
    let mut dots = name.rmatch_indices('.');
    dots.nth(2).map_or(name, |(at, _)| &name[at + 1..])
}

/// The list type of every kind that has one: `k8s-openapi` has a generic one only.
fn lists(definitions: &Map<String, Value>, facts: &Facts) -> Vec<(String, Value)> {
    let is_listed = |name: &str, schema: &Value| {
        facts.types.get(short(name)).is_some_and(|facts| facts.kind)
            && reference(&schema["properties"]["metadata"]).is_some_and(|meta| meta == format!("{META}ObjectMeta"))
            && !["Scale", "Eviction", "Binding", "TokenRequest", "TokenReview", "SelfSubjectReview"]
                .iter()
                .any(|kind| name.ends_with(&format!(".{kind}")))
            && !name.starts_with("io.k8s.api.authorization.")
    };
    let described = |kind: &str, text: &str| json!({"description": text, "type": "string", "x-of": kind});
    definitions
        .iter()
        .filter(|(name, schema)| is_listed(name, schema))
        .map(|(name, schema)| {
            let kind = name.rsplit('.').next().unwrap_or_default();
            let list = json!({
                "description": format!("{kind}List is a list of {kind}."),
                "type": "object",
                "properties": {
                    "apiVersion": described(kind, schema["properties"]["apiVersion"]["description"].as_str().unwrap_or_default()),
                    "kind": described(kind, schema["properties"]["kind"]["description"].as_str().unwrap_or_default()),
                    "metadata": {
                        "description": "Standard list metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata",
                        "$ref": format!("{REF}{META}ListMeta"),
                    },
                    "items": {
                        "description": format!("The list of {kind}."),
                        "type": "array",
                        "items": {"$ref": format!("{REF}{name}")},
                    },
                },
                "required": ["items"],
            });
            (format!("{name}List"), list)
        })
        .collect()
}

/// The table and the documentation, not yet deflated.
pub fn build(
    definitions: &Map<String, Value>,
    facts: &Facts,
    wires: &Wires,
    old: &BTreeSet<String>,
) -> (Vec<u8>, Vec<u8>) {
    let lists = lists(definitions, facts);
    let mut all: BTreeMap<&str, &Value> = definitions.iter().map(|(name, schema)| (name.as_str(), schema)).collect();
    all.extend(lists.iter().map(|(name, schema)| (name.as_str(), schema)));
    let defs: BTreeMap<&str, u16> = all.keys().zip(0..).map(|(name, at)| (*name, at)).collect();

    for (name, owner) in &facts.types {
        let found = all.iter().find(|(full, _)| short(full) == name);
        let (_, schema) = found.unwrap_or_else(|| panic!("facts/fields.txt: no type {name}"));
        for field in owner.fields.keys() {
            assert!(schema["properties"].get(field).is_some(), "facts/fields.txt: no field {field} in {name}");
        }
    }

    for (name, fields) in wires {
        let found = all.iter().find(|(full, _)| short(full) == name);
        let (_, schema) = found.unwrap_or_else(|| panic!("facts/wire.txt: no type {name}"));
        for field in fields.keys() {
            assert!(schema["properties"].get(field).is_some(), "facts/wire.txt: no field {field} in {name}");
        }
    }

    let mut pool = Pool::default();
    let mut docs = Docs::default();
    let mut types = Types { rows: Vec::new(), defs: &defs };
    let mut def_bytes = Vec::new();
    let mut field_bytes = Vec::new();
    let mut kinds: Vec<((String, String, String), u16)> = Vec::new();
    let mut field_count = 0u16;
    // Offset 0 with length 0 is the empty text.
    pool.bytes.push(0);

    for (name, schema) in &all {
        let is_list = lists.iter().any(|(list, _)| list == name);
        let known = facts.types.get(short(name));
        let is_kind = is_list || known.is_some_and(|facts| facts.kind);
        let form = FORMS.iter().find(|(known, _)| *known == short(name)).map_or(Form::Struct, |(_, form)| *form);
        let mut path = name.rsplit('.');
        let (kind, version) = (path.next().unwrap_or_default(), path.next().unwrap_or_default());
        let package = path.next().unwrap_or_default();
        let group = facts.groups.get(package).map_or(package, String::as_str);
        if is_kind {
            kinds.push(((group.to_owned(), version.to_owned(), kind.to_owned()), defs[name]));
        }

        let empty = Map::new();
        let properties = schema["properties"].as_object().filter(|_| form == Form::Struct).unwrap_or(&empty);
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut sorted: Vec<(&String, &Value)> = properties.iter().collect();
        sorted.sort_by_key(|(field, _)| *field);

        let is_old = old.contains(*name) || is_list && old.contains(name.strip_suffix("List").unwrap_or_default());
        let flags = bits(&[
            (known.is_some_and(|facts| facts.atomic), layout::DEF_ATOMIC),
            (is_kind, layout::DEF_KIND),
            (is_old, layout::DEF_REMOVED),
        ]);
        def_bytes.extend(pool.add(name).to_le_bytes());
        def_bytes.extend(pool.add(group).to_le_bytes());
        def_bytes.extend(pool.add(known.map_or("", |facts| &facts.union)).to_le_bytes());
        def_bytes.extend(field_count.to_le_bytes());
        def_bytes.extend((sorted.len() as u16).to_le_bytes());
        def_bytes.extend(docs.add(schema).to_le_bytes());
        def_bytes.extend([form as u8, flags]);

        let none = FieldFacts::default();
        for (field, schema) in sorted {
            let facts = known.and_then(|facts| facts.fields.get(field)).unwrap_or(&none);
            let is_required =
                facts.required.unwrap_or(required.contains(&field.as_str()) && !(is_kind && field == "metadata"));
            let is_scalar =
                matches!(schema["type"].as_str(), Some("string" | "integer" | "boolean")) && schema["format"] != "byte";
            let is_zero = facts.zero
                || is_list && field == "metadata"
                || is_required && is_scalar && !facts.pointer && facts.default.is_empty();
            let flags = bits(&[
                (is_required, layout::FIELD_REQUIRED),
                (is_zero, layout::FIELD_ZERO),
                (facts.map_atomic, layout::FIELD_MAP_ATOMIC),
                (facts.map_granular, layout::FIELD_MAP_GRANULAR),
            ]);
            let strategy = bits(&[
                (facts.merge, layout::STRATEGY_MERGE),
                (facts.retain_keys, layout::STRATEGY_RETAIN_KEYS),
                (facts.replace, layout::STRATEGY_REPLACE),
            ]);
            for text in [field.as_str(), &facts.keys, &facts.merge_key, &facts.default] {
                field_bytes.extend(pool.add(text).to_le_bytes());
            }
            field_bytes.extend(types.add(schema).to_le_bytes());
            field_bytes.extend(docs.add(schema).to_le_bytes());
            let list_wire = |field: &str| match field {
                "metadata" => Wire { path: [1, 0, 0], is_always: true, ..Wire::default() },
                "items" => Wire { path: [2, 0, 0], is_always: true, ..Wire::default() },
                _ => Wire::default(),
            };
            let known_wire = wires.get(short(name)).and_then(|fields| fields.get(field)).copied();
            let wire = known_wire.unwrap_or_else(|| if is_list { list_wire(field) } else { Wire::default() });
            let wire_flags = bits(&[
                (wire.is_pointer, layout::WIRE_POINTER),
                (wire.is_always, layout::WIRE_ALWAYS),
                (wire.is_wrapped, layout::WIRE_WRAPPED),
            ]);
            field_bytes.extend([flags, facts.list, strategy, wire_flags]);
            field_bytes.extend(wire.path);
            field_bytes.push(0);
            field_count += 1;
        }
    }

    kinds.sort();
    let mut table = layout::MAGIC.to_le_bytes().to_vec();
    for count in [all.len(), usize::from(field_count), types.rows.len(), kinds.len()] {
        table.extend((count as u32).to_le_bytes());
    }
    table.extend(def_bytes);
    table.extend(field_bytes);
    types.rows.iter().for_each(|row| table.extend(row.to_le_bytes()));
    kinds.iter().for_each(|(_, def)| table.extend(def.to_le_bytes()));
    table.extend(pool.bytes);
    (table, docs.bytes())
}
