//! Reads the tables in `facts/`. In: their text. Out: facts by type and field. A word they do not know ends the build.

use std::collections::BTreeMap;

/// What the file says.
#[derive(Default)]
pub struct Facts {
    /// Package to API group.
    pub groups: BTreeMap<String, String>,
    /// By the last three parts of a type's name.
    pub types: BTreeMap<String, Type>,
}

/// What the file says of a type.
#[derive(Default, Clone)]
pub struct Type {
    pub atomic: bool,
    pub kind: bool,
    pub union: String,
    pub fields: BTreeMap<String, Field>,
}

/// What the file says of a field.
#[derive(Default, Clone)]
pub struct Field {
    pub list: u8,
    pub keys: String,
    pub map_atomic: bool,
    pub map_granular: bool,
    pub merge: bool,
    pub retain_keys: bool,
    pub replace: bool,
    pub merge_key: String,
    pub default: String,
    pub zero: bool,
    pub pointer: bool,
    pub required: Option<bool>,
}

pub fn parse(text: &str) -> Facts {
    let mut facts = Facts::default();
    let mut current = String::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        let mut words = line.split_whitespace();
        let first = words.next().expect("not blank").to_owned();
        if line.starts_with(' ') {
            let owner = facts.types.get_mut(&current).expect("a field follows its type");
            owner.fields.insert(first, field(words, line));
        } else if first == "group" {
            let package = words.next().expect("a package").to_owned();
            facts.groups.insert(
                package,
                match words.next().expect("a group") {
                    "-" => String::new(),
                    group => group.to_owned(),
                },
            );
        } else {
            let mut owner = Type::default();
            for word in words {
                match word.split_once('=').unwrap_or((word, "")) {
                    ("atomic", _) => owner.atomic = true,
                    ("kind", _) => owner.kind = true,
                    ("union", value) => owner.union = value.to_owned(),
                    _ => panic!("facts/fields.txt: unknown word {word:?} in {line:?}"),
                }
            }
            current = first.clone();
            facts.types.insert(first, owner);
        }
    }
    facts
}

/// The facts of a field.
pub fn field<'a>(words: impl Iterator<Item = &'a str>, line: &str) -> Field {
    let mut field = Field::default();
    for word in words {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        match name {
            "atomic" => field.list = 1,
            "set" => field.list = 2,
            "map" => {
                field.list = 3;
                field.keys = value.to_owned();
            }
            "map-atomic" => field.map_atomic = true,
            "map-granular" => field.map_granular = true,
            "merge" => {
                field.merge = true;
                field.merge_key = value.to_owned();
            }
            "key" => field.merge_key = value.to_owned(),
            "retain-keys" => field.retain_keys = true,
            "replace" => field.replace = true,
            "default" => field.default = value.to_owned(),
            "zero" => field.zero = true,
            "pointer" => field.pointer = true,
            "required" => field.required = Some(true),
            "optional" => field.required = Some(false),
            _ => panic!("facts/fields.txt: unknown word {word:?} in {line:?}"),
        }
    }
    field
}

/// Numbers on the way to a field, and what Go does with it.
#[derive(Default, Clone, Copy)]
pub struct Wire {
    pub path: [u8; 3],
    pub is_pointer: bool,
    pub is_always: bool,
    pub is_wrapped: bool,
}

/// By type and field.
pub type Wires = BTreeMap<String, BTreeMap<String, Wire>>;

/// Reads `facts/wire.txt`.
pub fn wire(text: &str) -> Wires {
    let mut wires = Wires::new();
    let mut current = String::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        if let Some(row) = line.strip_prefix("  ") {
            let (field, value) = row.split_once('=').expect("a field has a number");
            wires.entry(current.clone()).or_default().insert(field.to_owned(), wire_of(value));
        } else {
            current = line.to_owned();
        }
    }
    wires
}

/// What stands behind the `=` of a field.
pub fn wire_of(value: &str) -> Wire {
    let numbers = value.trim_end_matches(['*', '!', 'w']);
    let mut wire = Wire {
        is_pointer: value.contains('*'),
        is_always: value.contains('!'),
        is_wrapped: value.contains('w'),
        ..Wire::default()
    };
    for (at, number) in numbers.split('.').enumerate() {
        wire.path[at] = number.parse().expect("a field number below 256");
    }
    wire
}
