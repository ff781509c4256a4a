//! The schemas of a CustomResourceDefinition, as small as they can lie in memory.
//!
//! In: the OpenAPI schemas of all versions, as JSON. Out: [`Place`]s to walk. Equal parts are held once, names and
//! defaults are slices of one text; documentation is left out (it is published from the stored definition).
//! Never judges whether a schema is allowed (`validate/definition`), never looks at an object.

mod build;
mod pattern;

use super::{At, ListType, Node, Scalar, Shape, Struct};
use pattern::Pattern;
use serde_json::Value;

pub use build::Untypable;

/// All schemas of one definition.
pub struct Custom {
    rows: Box<[Row]>,
    members: Box<[MemberRow]>,
    rules: Box<[Held]>,
    /// Rows of `allOf`, `anyOf` and `oneOf`.
    branches: Box<[u32]>,
    enums: Box<[Box<[Value]>]>,
    patterns: Box<[Pattern]>,
    expressions: Box<[Box<[Value]>]>,
    text: Box<str>,
}

/// No row.
const NONE: u32 = u32::MAX;

/// A slice of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
struct Text {
    start: u32,
    length: u32,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    form: Form,
    flags: u16,
    members: (u32, u16),
    rules: (u32, u16),
    items: u32,
    additional: u32,
    keys: Text,
    default: Text,
    expressions: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct MemberRow {
    name: Text,
    row: u32,
    is_required: bool,
}

mod flag {
    pub const NULLABLE: u16 = 1;
    pub const PRESERVES: u16 = 2;
    pub const EMBEDDED: u16 = 4;
    pub const MAP_ATOMIC: u16 = 8;
    pub const LIST_ATOMIC: u16 = 16;
    pub const LIST_SET: u16 = 32;
    pub const LIST_MAP: u16 = 64;
    pub const ANY_ADDITIONAL: u16 = 128;
    pub const DEFAULT_BELOW: u16 = 256;
    pub const EXPRESSIONS_BELOW: u16 = 512;
    pub const EMBEDDED_BELOW: u16 = 1024;
}

/// What a schema says that a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// Nothing.
    Untyped,
    /// `type: object`
    Object,
    /// `type: array`
    Array,
    /// `type: string`
    String,
    /// `type: integer`
    Integer,
    /// `type: number`
    Number,
    /// `type: boolean`
    Boolean,
    /// `x-kubernetes-int-or-string`
    IntOrString,
}

impl Form {
    /// The word in the schema; empty where it has none.
    pub const fn name(self) -> &'static str {
        match self {
            Form::Untyped | Form::IntOrString => "",
            Form::Object => "object",
            Form::Array => "array",
            Form::String => "string",
            Form::Integer => "integer",
            Form::Number => "number",
            Form::Boolean => "boolean",
        }
    }
}

/// A rule as it is held: numbers of floats as their bits, so that equal rules are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Held {
    Maximum(u64, bool),
    Minimum(u64, bool),
    MultipleOf(u64),
    MaxLength(i64),
    MinLength(i64),
    Pattern(u32),
    Format(Text),
    MaxItems(i64),
    MinItems(i64),
    UniqueItems,
    MaxProperties(i64),
    MinProperties(i64),
    Required(Text),
    Enum(u32),
    AllOf(u32, u32),
    AnyOf(u32, u32),
    OneOf(u32, u32),
    Not(u32),
}

/// What a value must keep to beyond its type.
#[derive(Debug, Clone, Copy)]
pub enum Rule<'a> {
    /// At most this; less than it if exclusive.
    Maximum(f64, bool),
    /// At least this; more than it if exclusive.
    Minimum(f64, bool),
    /// A multiple of this.
    MultipleOf(f64),
    /// At most so many characters.
    MaxLength(i64),
    /// At least so many characters.
    MinLength(i64),
    /// Matched by this.
    Pattern(&'a Pattern),
    /// Of that format.
    Format(&'a str),
    /// At most so many items.
    MaxItems(i64),
    /// At least so many items.
    MinItems(i64),
    /// No two items are equal.
    UniqueItems,
    /// At most so many entries.
    MaxProperties(i64),
    /// At least so many entries.
    MinProperties(i64),
    /// This member is there.
    Required(&'a str),
    /// One of these.
    Enum(&'a [Value]),
    /// All of these hold.
    AllOf(Branches<'a>),
    /// At least one of these holds.
    AnyOf(Branches<'a>),
    /// Exactly one of these holds.
    OneOf(Branches<'a>),
    /// This does not hold.
    Not(Place<'a>),
}

/// The schemas of `allOf`, `anyOf` or `oneOf`.
#[derive(Debug, Clone, Copy)]
pub struct Branches<'a> {
    of: &'a Custom,
    rows: &'a [u32],
}

impl<'a> Branches<'a> {
    /// Every schema.
    pub fn iter(self) -> impl Iterator<Item = Place<'a>> {
        self.rows.iter().map(move |row| Place { of: self.of, row: *row })
    }
}

/// What stands under the keys that are not named.
#[derive(Debug, Clone, Copy)]
pub enum Additional<'a> {
    /// `additionalProperties: true`
    Any,
    /// Values of that schema.
    Schema(Place<'a>),
}

/// A place in a custom schema.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    of: &'a Custom,
    row: u32,
}

/// A named member of an object.
#[derive(Clone, Copy)]
pub struct Member<'a> {
    of: &'a Custom,
    kind: MemberKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MemberKind {
    Own(u32),
    /// `apiVersion` and `kind` of an embedded resource.
    Word(&'static str),
    /// `metadata` of an embedded resource.
    Metadata,
}

impl Custom {
    /// The place of a row that `build` gave out.
    pub(crate) fn place(&self, row: u32) -> Place<'_> {
        Place { of: self, row }
    }

    fn text(&self, text: Text) -> &str {
        let start = text.start as usize;
        // Made by the builder from this very text.
        self.text.get(start..start + text.length as usize).unwrap_or_default()
    }

    /// Roughly what it occupies, in bytes.
    pub fn size(&self) -> usize {
        size_of_val(&*self.rows)
            + size_of_val(&*self.members)
            + size_of_val(&*self.rules)
            + size_of_val(&*self.branches)
            + self.text.len()
    }
}

impl<'a> Place<'a> {
    fn row(self) -> &'a Row {
        // Rows are only given out by the builder.
        &self.of.rows[self.row as usize]
    }

    fn has(self, flag: u16) -> bool {
        self.row().flags & flag != 0
    }

    fn at(self, row: u32) -> Option<Place<'a>> {
        (row != NONE).then_some(Place { of: self.of, row })
    }

    /// The same place as any kind's.
    pub fn node(self) -> Node<'a> {
        Node { at: At::Custom(self) }
    }

    /// The place as a struct, whatever its type.
    pub fn as_struct(self) -> Struct<'a> {
        Struct { own: super::Own::Custom(self) }
    }

    /// What the schema says that a value is.
    pub fn form(self) -> Form {
        self.row().form
    }

    /// What may stand here.
    pub fn shape(self) -> Shape<'a> {
        let row = self.row();
        Shape::Scalar(match row.form {
            Form::String => Scalar::String,
            Form::Integer => Scalar::Int64,
            Form::Number => Scalar::Double,
            Form::Boolean => Scalar::Bool,
            Form::IntOrString => Scalar::IntOrString,
            Form::Array => return Shape::List(self.items().map_or(Node { at: At::Deduced }, Place::node)),
            Form::Object | Form::Untyped => {
                return match self.additional() {
                    Some(Additional::Schema(item)) if row.members.1 == 0 => Shape::Map(item.node()),
                    Some(Additional::Any) if row.members.1 == 0 => Shape::Map(Node { at: At::Deduced }),
                    _ if row.form == Form::Untyped && row.members.1 == 0 && !self.is_embedded() => Shape::Deduced,
                    _ => Shape::Struct(self.as_struct()),
                };
            }
        })
    }

    /// Whether unknown members are kept.
    pub fn preserves(self) -> bool {
        self.has(flag::PRESERVES)
    }

    /// Whether it is an object of its own, with `apiVersion`, `kind` and `metadata`; the root is.
    pub fn is_embedded(self) -> bool {
        self.has(flag::EMBEDDED)
    }

    /// Whether null is a value.
    pub fn is_nullable(self) -> bool {
        self.has(flag::NULLABLE)
    }

    /// Whether apply treats an object here as one value.
    pub fn is_map_atomic(self) -> bool {
        self.has(flag::MAP_ATOMIC)
    }

    /// How apply merges a list here.
    pub fn list_type(self) -> ListType<'a> {
        if self.has(flag::LIST_MAP) {
            ListType::Map(self.of.text(self.row().keys))
        } else if self.has(flag::LIST_SET) {
            ListType::Set
        } else {
            ListType::Atomic
        }
    }

    /// Whether anything below (or this) has a default.
    pub fn has_defaults(self) -> bool {
        self.has(flag::DEFAULT_BELOW)
    }

    /// Whether anything below (or this) has rules in CEL.
    pub fn has_expressions(self) -> bool {
        self.has(flag::EXPRESSIONS_BELOW)
    }

    /// Whether anything below this is an object of its own.
    pub fn has_embedded(self) -> bool {
        self.has(flag::EMBEDDED_BELOW)
    }

    /// The default as JSON text; empty where there is none.
    pub fn default_json(self) -> &'a str {
        self.of.text(self.row().default)
    }

    /// The schema of a list's items.
    pub fn items(self) -> Option<Place<'a>> {
        self.at(self.row().items)
    }

    /// What stands under keys that are not named.
    pub fn additional(self) -> Option<Additional<'a>> {
        if self.has(flag::ANY_ADDITIONAL) {
            return Some(Additional::Any);
        }
        self.at(self.row().additional).map(Additional::Schema)
    }

    fn member_rows(self) -> &'a [MemberRow] {
        let (first, count) = self.row().members;
        let first = first as usize;
        self.of.members.get(first..first + usize::from(count)).unwrap_or_default()
    }

    /// The schema of a named member, as the definition gives it.
    pub fn property(self, name: &str) -> Option<Place<'a>> {
        let rows = self.member_rows();
        let at = rows.binary_search_by(|row| self.of.text(row.name).cmp(name)).ok()?;
        self.at(rows[at].row)
    }

    /// Every named member, as the definition gives them, sorted by name.
    pub fn properties(self) -> impl Iterator<Item = (&'a str, Place<'a>)> {
        self.member_rows().iter().map(move |row| (self.of.text(row.name), Place { of: self.of, row: row.row }))
    }

    /// A named member; those that every object has are built-in.
    pub(super) fn member(self, name: &str) -> Option<Member<'a>> {
        let kind = match name {
            "apiVersion" if self.is_embedded() => MemberKind::Word("apiVersion"),
            "kind" if self.is_embedded() => MemberKind::Word("kind"),
            "metadata" if self.is_embedded() => MemberKind::Metadata,
            _ => {
                let rows = self.member_rows();
                let at = rows.binary_search_by(|row| self.of.text(row.name).cmp(name)).ok()?;
                MemberKind::Own(self.row().members.0 + at as u32)
            }
        };
        Some(Member { of: self.of, kind })
    }

    /// Every named member that the definition gives.
    pub(super) fn members(self) -> impl Iterator<Item = Member<'a>> {
        let (first, count) = self.row().members;
        (first..first + u32::from(count)).map(move |row| Member { of: self.of, kind: MemberKind::Own(row) })
    }

    /// What a value must keep to beyond its type.
    pub fn rules(self) -> impl Iterator<Item = Rule<'a>> {
        let (first, count) = self.row().rules;
        let first = first as usize;
        let held = self.of.rules.get(first..first + usize::from(count)).unwrap_or_default();
        held.iter().map(move |held| self.rule(*held))
    }

    fn rule(self, held: Held) -> Rule<'a> {
        let of = self.of;
        let branches = |first: u32, count: u32| Branches {
            of,
            rows: of.branches.get(first as usize..(first + count) as usize).unwrap_or_default(),
        };
        match held {
            Held::Maximum(bits, exclusive) => Rule::Maximum(f64::from_bits(bits), exclusive),
            Held::Minimum(bits, exclusive) => Rule::Minimum(f64::from_bits(bits), exclusive),
            Held::MultipleOf(bits) => Rule::MultipleOf(f64::from_bits(bits)),
            Held::MaxLength(most) => Rule::MaxLength(most),
            Held::MinLength(least) => Rule::MinLength(least),
            Held::Pattern(at) => Rule::Pattern(&of.patterns[at as usize]),
            Held::Format(text) => Rule::Format(of.text(text)),
            Held::MaxItems(most) => Rule::MaxItems(most),
            Held::MinItems(least) => Rule::MinItems(least),
            Held::UniqueItems => Rule::UniqueItems,
            Held::MaxProperties(most) => Rule::MaxProperties(most),
            Held::MinProperties(least) => Rule::MinProperties(least),
            Held::Required(name) => Rule::Required(of.text(name)),
            Held::Enum(at) => Rule::Enum(&of.enums[at as usize]),
            Held::AllOf(first, count) => Rule::AllOf(branches(first, count)),
            Held::AnyOf(first, count) => Rule::AnyOf(branches(first, count)),
            Held::OneOf(first, count) => Rule::OneOf(branches(first, count)),
            Held::Not(row) => Rule::Not(Place { of, row }),
        }
    }

    /// `x-kubernetes-validations`, as the definition gives them.
    pub fn expressions(self) -> &'a [Value] {
        let at = self.row().expressions;
        if at == NONE { &[] } else { &self.of.expressions[at as usize] }
    }

    /// What tells this place from others of the same definition: equal places are one.
    pub fn number(self) -> u32 {
        self.row
    }
}

impl<'a> Member<'a> {
    fn own(self) -> Option<&'a MemberRow> {
        if let MemberKind::Own(row) = self.kind { self.of.members.get(row as usize) } else { None }
    }

    pub(super) fn name(self) -> &'a str {
        match self.kind {
            MemberKind::Word(name) => name,
            MemberKind::Metadata => "metadata",
            MemberKind::Own(_) => self.own().map_or("", |row| self.of.text(row.name)),
        }
    }

    pub(super) fn node(self) -> Node<'a> {
        const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";
        match self.kind {
            MemberKind::Own(_) => {
                self.own().map_or(Node { at: At::Deduced }, |row| Place { of: self.of, row: row.row }.node())
            }
            MemberKind::Metadata => super::named(&format!("{META}ObjectMeta")).unwrap_or(Node { at: At::Deduced }),
            // A plain text; any built-in field of that type will do.
            MemberKind::Word(name) => super::named(&format!("{META}Status"))
                .and_then(|node| Some(node.as_struct()?.field(name)?.node()))
                .unwrap_or(Node { at: At::Deduced }),
        }
    }

    pub(super) fn is_required(self) -> bool {
        self.own().is_some_and(|row| row.is_required)
    }
}

impl PartialEq for Place<'_> {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.of, other.of) && self.row == other.row
    }
}

impl Eq for Place<'_> {}

impl PartialEq for Member<'_> {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.of, other.of) && self.kind == other.kind
    }
}

impl Eq for Member<'_> {}

impl std::fmt::Debug for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "custom {}", self.row)
    }
}

impl std::fmt::Debug for Member<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "custom {}", self.name())
    }
}

impl std::fmt::Debug for Custom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} custom schemas", self.rows.len())
    }
}

#[cfg(test)]
mod tests;
