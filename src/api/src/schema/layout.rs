//! How the schema table lies in memory: fixed-size little-endian records, so that nothing is parsed at start.
//!
//! In: nothing. Out: constants and the two enums that `build.rs` writes and `schema/table.rs` reads.
//!
//! The table is: header, definitions sorted by name, fields sorted by name within their definition, types,
//! definitions sorted by kind, strings. A string reference is offset << 8 | length.
//! The documentation is a second file, deflated: count, offsets, texts.

/// First bytes of the table.
pub const MAGIC: u32 = u32::from_le_bytes(*b"KSC2");
/// Header words after the magic: count of definitions, fields, types, kinds.
pub const HEADER: usize = 4 + 4 * 4;
/// Bytes of a definition: name, group, union, first field, fields, documentation, form, flags.
pub const DEF: usize = 4 + 4 + 4 + 2 + 2 + 2 + 1 + 1;
/// Bytes of a field: name, keys, merge key, default, type, documentation, flags, list, strategy, wire flags, wire path,
/// padding.
pub const FIELD: usize = 4 + 4 + 4 + 4 + 2 + 2 + 1 + 1 + 1 + 1 + 3 + 1;
/// Bytes of a type: kind and target.
pub const TYPE: usize = 4;
/// Bytes of an entry in the index by kind.
pub const KIND: usize = 2;

/// Definition flag: applied as one value.
pub const DEF_ATOMIC: u8 = 1;
/// Definition flag: objects of this type say their apiVersion and kind.
pub const DEF_KIND: u8 = 2;
/// Definition flag: of a version that Kubernetes no longer serves.
pub const DEF_REMOVED: u8 = 4;

/// Field flag: must be there.
pub const FIELD_REQUIRED: u8 = 1;
/// Field flag: a missing value is the zero value, which is always written.
pub const FIELD_ZERO: u8 = 2;
/// Field flag: a map or struct that is applied as one value.
pub const FIELD_MAP_ATOMIC: u8 = 4;
/// Field flag: published as merging key by key.
pub const FIELD_MAP_GRANULAR: u8 = 8;

/// Values of a field's list byte, in order.
pub const LISTS: [&str; 4] = ["", "atomic", "set", "map"];

/// Strategy flag: lists and structs merge.
pub const STRATEGY_MERGE: u8 = 1;
/// Strategy flag: `$retainKeys` is honoured.
pub const STRATEGY_RETAIN_KEYS: u8 = 2;
/// Strategy flag: replaced as a whole, said explicitly.
pub const STRATEGY_REPLACE: u8 = 4;

/// Wire flag: a pointer in Go, present or not.
pub const WIRE_POINTER: u8 = 1;
/// Wire flag: Go writes it as JSON even when it is zero.
pub const WIRE_ALWAYS: u8 = 2;
/// Wire flag: a list in a message of its own.
pub const WIRE_WRAPPED: u8 = 4;

/// What a definition or a type is. The number is what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Form {
    /// Named fields.
    Struct = 0,
    /// Text.
    String = 1,
    /// Text that is base64.
    Bytes = 2,
    /// True or false.
    Bool = 3,
    /// A 32-bit integer.
    Int32 = 4,
    /// A 64-bit integer.
    Int64 = 5,
    /// A number.
    Double = 6,
    /// A quantity such as `500m`.
    Quantity = 7,
    /// An integer or a text.
    IntOrString = 8,
    /// A time to the second.
    Time = 9,
    /// A time to the microsecond.
    MicroTime = 10,
    /// Any JSON.
    Any = 11,
    /// Any JSON object.
    Raw = 12,
    /// A list of the target type.
    List = 13,
    /// A map from text to the target type.
    Map = 14,
    /// The target definition.
    Ref = 15,
}

/// Every form, by number.
pub const FORMS: [Form; 16] = [
    Form::Struct,
    Form::String,
    Form::Bytes,
    Form::Bool,
    Form::Int32,
    Form::Int64,
    Form::Double,
    Form::Quantity,
    Form::IntOrString,
    Form::Time,
    Form::MicroTime,
    Form::Any,
    Form::Raw,
    Form::List,
    Form::Map,
    Form::Ref,
];
