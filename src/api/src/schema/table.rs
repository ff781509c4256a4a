//! Reads the built-in table in place. In: numbers of rows. Out: their columns. Never allocates.
//!
//! Every offset comes from `build.rs`, which wrote the table for the same layout; a wrong one is a bug and panics.

use super::layout::{DEF, FIELD, FORMS, Form, HEADER, KIND, TYPE};

static TABLE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/schema.bin"));

const fn header(word: usize) -> usize {
    let at = 4 + 4 * word;
    u32::from_le_bytes([TABLE[at], TABLE[at + 1], TABLE[at + 2], TABLE[at + 3]]) as usize
}

const DEFS: usize = HEADER;
const FIELDS: usize = DEFS + header(0) * DEF;
const TYPES: usize = FIELDS + header(1) * FIELD;
const KINDS: usize = TYPES + header(2) * TYPE;
const STRINGS: usize = KINDS + header(3) * KIND;

const _: () = assert!(
    u32::from_le_bytes([TABLE[0], TABLE[1], TABLE[2], TABLE[3]]) == super::layout::MAGIC,
    "schema.bin was written for another layout"
);

fn u16_at(at: usize) -> u16 {
    u16::from_le_bytes([TABLE[at], TABLE[at + 1]])
}

fn u32_at(at: usize) -> u32 {
    u32::from_le_bytes([TABLE[at], TABLE[at + 1], TABLE[at + 2], TABLE[at + 3]])
}

fn text_at(at: usize) -> &'static str {
    let reference = u32_at(at) as usize;
    let start = STRINGS + (reference >> 8);
    std::str::from_utf8(&TABLE[start..start + (reference & 0xff)]).unwrap_or_default()
}

fn def(row: u16) -> usize {
    DEFS + usize::from(row) * DEF
}

fn field(row: u16) -> usize {
    FIELDS + usize::from(row) * FIELD
}

fn form(byte: u8) -> Form {
    FORMS[usize::from(byte)]
}

pub(super) fn def_count() -> u16 {
    header(0) as u16
}

pub(super) fn def_name(row: u16) -> &'static str {
    text_at(def(row))
}

pub(super) fn def_group(row: u16) -> &'static str {
    text_at(def(row) + 4)
}

pub(super) fn def_union(row: u16) -> &'static str {
    text_at(def(row) + 8)
}

/// First field and count.
pub(super) fn def_fields(row: u16) -> (u16, u16) {
    (u16_at(def(row) + 12), u16_at(def(row) + 14))
}

pub(super) fn def_doc(row: u16) -> u16 {
    u16_at(def(row) + 16)
}

pub(super) fn def_form(row: u16) -> Form {
    form(TABLE[def(row) + 18])
}

pub(super) fn def_flags(row: u16) -> u8 {
    TABLE[def(row) + 19]
}

pub(super) fn field_name(row: u16) -> &'static str {
    text_at(field(row))
}

pub(super) fn field_keys(row: u16) -> &'static str {
    text_at(field(row) + 4)
}

pub(super) fn field_merge_key(row: u16) -> &'static str {
    text_at(field(row) + 8)
}

pub(super) fn field_default(row: u16) -> &'static str {
    text_at(field(row) + 12)
}

pub(super) fn field_type(row: u16) -> u16 {
    u16_at(field(row) + 16)
}

pub(super) fn field_doc(row: u16) -> u16 {
    u16_at(field(row) + 18)
}

pub(super) fn field_flags(row: u16) -> u8 {
    TABLE[field(row) + 20]
}

pub(super) fn field_list(row: u16) -> u8 {
    TABLE[field(row) + 21]
}

pub(super) fn field_strategy(row: u16) -> u8 {
    TABLE[field(row) + 22]
}

pub(super) fn field_wire_flags(row: u16) -> u8 {
    TABLE[field(row) + 23]
}

pub(super) fn field_wire_path(row: u16) -> &'static [u8] {
    let at = field(row) + 24;
    let path = &TABLE[at..at + 3];
    &path[..path.iter().position(|number| *number == 0).unwrap_or(path.len())]
}

/// Form and target.
pub(super) fn type_row(row: u16) -> (Form, u16) {
    let word = u32_at(TYPES + usize::from(row) * TYPE);
    (form(word as u8), (word >> 8) as u16)
}

pub(super) fn by_name(name: &str) -> Option<u16> {
    search(header(0), |at| def_name(at as u16).cmp(name)).map(|at| at as u16)
}

pub(super) fn by_kind(group: &str, version: &str, kind: &str) -> Option<u16> {
    let def_at = |at: usize| u16_at(KINDS + at * KIND);
    let found = search(header(3), |at| {
        let def = def_at(at);
        let mut parts = def_name(def).rsplit('.');
        let (own_kind, own_version) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        (def_group(def), own_version, own_kind).cmp(&(group, version, kind))
    })?;
    Some(def_at(found))
}

fn search(count: usize, compare: impl Fn(usize) -> std::cmp::Ordering) -> Option<usize> {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        match compare(middle) {
            std::cmp::Ordering::Equal => return Some(middle),
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    None
}
