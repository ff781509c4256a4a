//! What fields a kind has: one handle type over the built-in table and custom resources' schemas.
//!
//! In: a kind. Out: `Node`s to walk: shape, fields, list keys, merge keys, defaults, documentation.
//! The built-in table is read in place; a custom schema lives in its definition's [`Custom`]. Never looks at an object.

pub mod custom;
mod docs;
pub mod layout;
mod table;

pub use custom::Custom;
pub use docs::Docs;

use crate::kinds::Gvk;
use layout::Form;

/// A place in a schema. Copied freely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node<'a> {
    at: At<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At<'a> {
    Def(u16),
    Type(u16),
    Custom(custom::Place<'a>),
    /// What a custom schema keeps without knowing it.
    Deduced,
}

/// What may stand at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape<'a> {
    /// An object with named fields.
    Struct(Struct<'a>),
    /// An object with any keys.
    Map(Node<'a>),
    /// An array.
    List(Node<'a>),
    /// A single value.
    Scalar(Scalar),
    /// Any JSON object, kept as it is.
    Raw,
    /// Any JSON, kept as it is.
    Any,
    /// Any JSON that apply merges by what is there: objects field by field, everything else as one value.
    Deduced,
}

/// A single value's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalar {
    /// Text.
    String,
    /// Text that is base64.
    Bytes,
    /// True or false.
    Bool,
    /// A 32-bit integer.
    Int32,
    /// A 64-bit integer.
    Int64,
    /// A number.
    Double,
    /// A quantity such as `500m`.
    Quantity,
    /// An integer or a text.
    IntOrString,
    /// A time to the second.
    Time,
    /// A time to the microsecond.
    MicroTime,
}

/// How server-side apply merges a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListType<'a> {
    /// As one value.
    Atomic,
    /// Values, each at most once.
    Set,
    /// Objects told apart by these fields (see `keys`).
    Map(&'a str),
}

impl<'a> ListType<'a> {
    /// The key fields of a map list.
    pub fn keys(self) -> impl Iterator<Item = &'a str> {
        let keys = if let ListType::Map(keys) = self { keys } else { "" };
        keys.split(',').filter(|key| !key.is_empty())
    }
}

/// How a strategic merge patch treats a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Strategy<'a> {
    /// Lists merge instead of being replaced.
    pub merge: bool,
    /// The field that tells list items apart; empty for lists of scalars.
    pub key: &'a str,
    /// `$retainKeys` is expected.
    pub retain_keys: bool,
    /// Said to be replaced as a whole.
    pub replace: bool,
}

/// An object with named fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Struct<'a> {
    own: Own<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Own<'a> {
    Def(u16),
    Custom(custom::Place<'a>),
}

/// A named field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    row: Row<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Row<'a> {
    Builtin(u16),
    Custom(custom::Member<'a>),
}

/// The schema of a built-in kind (also of lists, options, reviews, `Status`).
pub fn of(gvk: &Gvk) -> Option<Struct<'static>> {
    table::by_kind(&gvk.group, &gvk.version, &gvk.kind).map(Struct::builtin)
}

/// The built-in type of that full name, as in `io.k8s.api.core.v1.PodSpec`.
pub fn named(name: &str) -> Option<Node<'static>> {
    table::by_name(name).map(Node::def)
}

/// Every built-in type, sorted by full name.
pub fn all() -> impl Iterator<Item = Node<'static>> {
    (0..table::def_count()).map(Node::def)
}

impl<'a> Node<'a> {
    const fn def(def: u16) -> Node<'a> {
        Node { at: At::Def(def) }
    }

    const fn of_type(row: u16) -> Node<'a> {
        Node { at: At::Type(row) }
    }

    /// What may stand here.
    pub fn shape(self) -> Shape<'a> {
        let (form, target) = match self.at {
            At::Def(def) => (table::def_form(def), def),
            At::Type(row) => table::type_row(row),
            At::Custom(place) => return place.shape(),
            At::Deduced => return Shape::Deduced,
        };
        Shape::Scalar(match form {
            Form::Struct => return Shape::Struct(Struct::builtin(target)),
            Form::Ref => return Node::def(target).shape(),
            Form::List => return Shape::List(Node::of_type(target)),
            Form::Map => return Shape::Map(Node::of_type(target)),
            Form::Any => return Shape::Any,
            Form::Raw => return Shape::Raw,
            Form::String => Scalar::String,
            Form::Bytes => Scalar::Bytes,
            Form::Bool => Scalar::Bool,
            Form::Int32 => Scalar::Int32,
            Form::Int64 => Scalar::Int64,
            Form::Double => Scalar::Double,
            Form::Quantity => Scalar::Quantity,
            Form::IntOrString => Scalar::IntOrString,
            Form::Time => Scalar::Time,
            Form::MicroTime => Scalar::MicroTime,
        })
    }

    /// The place in a custom schema, with all that a definition may say there.
    pub fn custom(self) -> Option<custom::Place<'a>> {
        if let At::Custom(place) = self.at { Some(place) } else { None }
    }

    /// The full name of the type here, where it has one of its own.
    pub fn name(self) -> Option<&'static str> {
        self.definition().map(table::def_name)
    }

    /// The struct here, if it is one.
    pub fn as_struct(self) -> Option<Struct<'a>> {
        if let Shape::Struct(found) = self.shape() { Some(found) } else { None }
    }

    /// Whether apply treats a struct here as one value.
    pub fn is_atomic(self) -> bool {
        match self.at {
            At::Custom(place) => place.is_map_atomic(),
            _ => self.definition().is_some_and(|def| table::def_flags(def) & layout::DEF_ATOMIC != 0),
        }
    }

    /// How apply merges a list of which no field says how: a list within a list.
    pub fn list_type(self) -> ListType<'a> {
        self.custom().map_or(ListType::Atomic, custom::Place::list_type)
    }

    /// Whether the type here is of a version that Kubernetes no longer serves.
    pub fn is_removed(self) -> bool {
        self.definition().is_some_and(|def| table::def_flags(def) & layout::DEF_REMOVED != 0)
    }

    /// The documentation of the named type here.
    pub fn doc(self, docs: &Docs) -> &str {
        self.definition().map_or("", |def| docs.text(table::def_doc(def)))
    }

    /// Group, version and kind, where objects of this type say theirs.
    pub fn gvk(self) -> Option<Gvk> {
        let def = self.definition().filter(|def| table::def_flags(*def) & layout::DEF_KIND != 0)?;
        let mut parts = table::def_name(def).rsplit('.');
        let (kind, version) = (parts.next()?, parts.next()?);
        Some(Gvk::fixed(table::def_group(def), version, kind))
    }

    /// The published union, in the notation of the facts table.
    pub fn union(self) -> &'static str {
        self.definition().map_or("", table::def_union)
    }

    fn definition(self) -> Option<u16> {
        match self.at {
            At::Def(def) => Some(def),
            At::Type(row) => match table::type_row(row) {
                (Form::Ref, def) => Some(def),
                _ => None,
            },
            At::Custom(_) | At::Deduced => None,
        }
    }
}

impl<'a> Struct<'a> {
    const fn builtin(def: u16) -> Struct<'a> {
        Struct { own: Own::Def(def) }
    }

    /// The place this struct stands at.
    pub fn node(self) -> Node<'a> {
        match self.own {
            Own::Def(def) => Node::def(def),
            Own::Custom(place) => Node { at: At::Custom(place) },
        }
    }

    /// The field of that name.
    pub fn field(self, name: &str) -> Option<Field<'a>> {
        let def = match self.own {
            Own::Def(def) => def,
            Own::Custom(place) => return place.member(name).map(|member| Field { row: Row::Custom(member) }),
        };
        let (first, count) = table::def_fields(def);
        let (mut low, mut high) = (first, first + count);
        while low < high {
            let middle = low + (high - low) / 2;
            match table::field_name(middle).cmp(name) {
                std::cmp::Ordering::Equal => return Some(Field { row: Row::Builtin(middle) }),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// Every field, sorted by name.
    pub fn fields(self) -> impl Iterator<Item = Field<'a>> {
        let (builtin, custom) = match self.own {
            Own::Def(def) => (table::def_fields(def), None),
            Own::Custom(place) => ((0, 0), Some(place.members())),
        };
        let (first, count) = builtin;
        let builtin = (first..first + count).map(Row::Builtin);
        builtin.chain(custom.into_iter().flatten().map(Row::Custom)).map(|row| Field { row })
    }

    /// Whether fields that are not named here are kept.
    pub fn keeps_unknown(self) -> bool {
        matches!(self.own, Own::Custom(place) if place.preserves())
    }

    /// The full name of the type, as in `io.k8s.api.core.v1.PodSpec`; empty in custom schemas.
    pub fn name(self) -> &'static str {
        match self.own {
            Own::Def(def) => table::def_name(def),
            Own::Custom(_) => "",
        }
    }

    /// The name of the type in Go, as in `PodSpec`; empty in custom schemas.
    pub fn go_name(self) -> &'static str {
        self.name().rsplit('.').next().unwrap_or_default()
    }
}

impl<'a> Field<'a> {
    fn builtin(self) -> Option<u16> {
        if let Row::Builtin(row) = self.row { Some(row) } else { None }
    }

    /// The name in JSON.
    pub fn name(self) -> &'a str {
        match self.row {
            Row::Builtin(row) => table::field_name(row),
            Row::Custom(member) => member.name(),
        }
    }

    /// What stands there.
    pub fn node(self) -> Node<'a> {
        match self.row {
            Row::Builtin(row) => Node::of_type(table::field_type(row)),
            Row::Custom(member) => member.node(),
        }
    }

    /// Whether the schema says that it must be there.
    pub fn is_required(self) -> bool {
        match self.row {
            Row::Builtin(row) => table::field_flags(row) & layout::FIELD_REQUIRED != 0,
            Row::Custom(member) => member.is_required(),
        }
    }

    /// Whether Kubernetes writes it even where nothing was said: empty text, 0, false or an empty object.
    pub fn is_always_written(self) -> bool {
        self.builtin().is_some_and(|row| table::field_flags(row) & layout::FIELD_ZERO != 0)
    }

    /// How apply merges a list here. Lists of which nothing is said are atomic.
    pub fn list_type(self) -> ListType<'a> {
        let Some(row) = self.builtin() else { return self.node().list_type() };
        match layout::LISTS[usize::from(table::field_list(row))] {
            "set" => ListType::Set,
            "map" => ListType::Map(table::field_keys(row)),
            _ => ListType::Atomic,
        }
    }

    /// Whether the published schema names a list type here.
    pub fn says_list_type(self) -> bool {
        self.builtin().is_some_and(|row| table::field_list(row) != 0)
    }

    /// Whether apply treats a map or struct here as one value.
    pub fn is_map_atomic(self) -> bool {
        self.builtin().is_some_and(|row| table::field_flags(row) & layout::FIELD_MAP_ATOMIC != 0)
            || self.node().is_atomic()
    }

    /// `atomic` or `granular` where the published schema says so at the field; else empty.
    pub fn said_map_type(self) -> &'static str {
        let flags = self.builtin().map_or(0, table::field_flags);
        if flags & layout::FIELD_MAP_ATOMIC != 0 {
            "atomic"
        } else if flags & layout::FIELD_MAP_GRANULAR != 0 {
            "granular"
        } else {
            ""
        }
    }

    /// How a strategic merge patch treats it. Custom kinds have no such patch.
    pub fn strategy(self) -> Strategy<'a> {
        let Some(row) = self.builtin() else { return Strategy::default() };
        let flags = table::field_strategy(row);
        Strategy {
            merge: flags & layout::STRATEGY_MERGE != 0,
            key: table::field_merge_key(row),
            retain_keys: flags & layout::STRATEGY_RETAIN_KEYS != 0,
            replace: flags & layout::STRATEGY_REPLACE != 0,
        }
    }

    /// Whether it is a pointer in Go: present or not, also when it is zero.
    pub fn is_pointer(self) -> bool {
        self.builtin().is_some_and(|row| table::field_wire_flags(row) & layout::WIRE_POINTER != 0)
    }

    /// Whether Go leaves it out of JSON when it is zero: `false`, 0, empty text, list or map.
    pub fn omits_zero(self) -> bool {
        self.builtin()
            .is_some_and(|row| table::field_wire_flags(row) & (layout::WIRE_POINTER | layout::WIRE_ALWAYS) == 0)
    }

    /// The numbers of the messages and the field in which protobuf holds it; empty where it has no such form.
    pub fn wire_path(self) -> &'static [u8] {
        self.builtin().map_or(&[], table::field_wire_path)
    }

    /// Whether protobuf holds this list in a message of its own.
    pub fn is_wire_wrapped(self) -> bool {
        self.builtin().is_some_and(|row| table::field_wire_flags(row) & layout::WIRE_WRAPPED != 0)
    }

    /// The default as JSON text; empty where there is none beyond the zero value.
    pub fn default_json(self) -> &'a str {
        match self.row {
            Row::Builtin(row) => table::field_default(row),
            Row::Custom(member) => member.node().custom().map_or("", custom::Place::default_json),
        }
    }

    /// The documentation of the field.
    pub fn doc(self, docs: &Docs) -> &str {
        self.builtin().map_or("", |row| docs.text(table::field_doc(row)))
    }
}

#[cfg(test)]
mod tests;
