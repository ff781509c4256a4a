//! Labels and selectable fields in a few bytes that selectors can ask without parsing or allocating.
//!
//! In: pairs. Out: bytes: a version byte, then labels, then fields; each a count and pairs of length-prefixed
//! texts, lengths as variable-length integers. Bytes of another version or cut short read as empty.

use super::selectable;
use crate::Object;
use crate::kinds::Gvk;
use crate::meta;
use crate::selector::{FieldSelector, LabelSelector, Lookup};

/// First byte of every index; another layout gets another byte.
const VERSION: u8 = 1;

/// A view of encoded bytes.
#[derive(Clone, Copy, Debug)]
pub struct Index<'a> {
    labels: Pairs<'a>,
    fields: Pairs<'a>,
}

impl<'a> Index<'a> {
    /// Encodes labels and fields.
    pub fn encode<K, V>(labels: &[(K, V)], fields: &[(&str, String)]) -> Vec<u8>
    where
        K: AsRef<str>,
        V: AsRef<str>,
    {
        let mut out = vec![VERSION];
        put_count(&mut out, labels.len());
        for (key, value) in labels {
            put_text(&mut out, key.as_ref());
            put_text(&mut out, value.as_ref());
        }
        put_count(&mut out, fields.len());
        for (key, value) in fields {
            put_text(&mut out, key);
            put_text(&mut out, value);
        }
        out
    }

    /// Encodes what selectors may ask of this object. `custom` are a CustomResourceDefinition's selectable fields.
    pub fn of(gvk: &Gvk, object: &Object, custom: &[&str]) -> Vec<u8> {
        let labels: Vec<(&str, &str)> = meta::labels(object).collect();
        let mut out = vec![VERSION];
        put_count(&mut out, labels.len());
        for (key, value) in labels {
            put_text(&mut out, key);
            put_text(&mut out, value);
        }
        let fields = selectable(gvk, object);
        let extra: Vec<(&str, String)> = custom
            .iter()
            .filter_map(|path| Some((path.trim_start_matches('.'), super::custom_value(object, path)?)))
            .collect();
        put_count(&mut out, fields.len() + extra.len());
        for (key, value) in fields.iter().map(|(k, v)| (*k, v)).chain(extra.iter().map(|(k, v)| (*k, v))) {
            put_text(&mut out, key);
            put_text(&mut out, value);
        }
        out
    }

    /// A view of the bytes.
    pub fn read(bytes: &'a [u8]) -> Index<'a> {
        let body = match bytes {
            [VERSION, body @ ..] => body,
            _ => &[],
        };
        let (labels, rest) = Pairs::split(body);
        let (fields, _) = Pairs::split(rest);
        Index { labels, fields }
    }

    /// The labels.
    pub fn labels(&self) -> Pairs<'a> {
        self.labels
    }

    /// The selectable fields.
    pub fn fields(&self) -> Pairs<'a> {
        self.fields
    }

    /// Both selectors match.
    pub fn matches(&self, labels: &LabelSelector, fields: &FieldSelector) -> bool {
        labels.matches(&self.labels) && fields.matches(&self.fields)
    }
}

/// Encoded pairs; looks a key up by walking them.
#[derive(Clone, Copy, Debug)]
pub struct Pairs<'a> {
    count: usize,
    bytes: &'a [u8],
}

impl<'a> Pairs<'a> {
    /// The pairs at the head of `bytes`, and what follows them.
    fn split(bytes: &'a [u8]) -> (Pairs<'a>, &'a [u8]) {
        let empty = (Pairs { count: 0, bytes: &[] }, &[][..]);
        let Some((count, body)) = take_count(bytes) else { return empty };
        let mut rest = body;
        for _ in 0..count.saturating_mul(2) {
            match take_text(rest) {
                Some((_, after)) => rest = after,
                None => return empty,
            }
        }
        (Pairs { count, bytes: &body[..body.len() - rest.len()] }, rest)
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        self.count = self.count.checked_sub(1)?;
        let (key, rest) = take_text(self.bytes)?;
        let (value, rest) = take_text(rest)?;
        self.bytes = rest;
        Some((key, value))
    }
}

impl Lookup for Pairs<'_> {
    fn value(&self, key: &str) -> Option<&str> {
        let mut pairs = *self;
        pairs.find(|(k, _)| *k == key).map(|(_, v)| v)
    }
}

fn put_count(out: &mut Vec<u8>, mut count: usize) {
    while count >= 0x80 {
        out.push((count & 0x7f) as u8 | 0x80);
        count >>= 7;
    }
    out.push(count as u8);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_count(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn take_count(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut count = 0usize;
    for (i, byte) in bytes.iter().take(5).enumerate() {
        count |= usize::from(byte & 0x7f).checked_shl(7 * i as u32)?;
        if byte & 0x80 == 0 {
            return Some((count, &bytes[i + 1..]));
        }
    }
    None
}

fn take_text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = take_count(bytes)?;
    let (text, rest) = rest.split_at_checked(length)?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn selectors_read_the_bytes() {
        let pod = json!({"metadata": {"name": "p", "namespace": "n", "labels": {"app": "web", "tier": ""}},
            "spec": {"nodeName": "a", "color": "red"}});
        let bytes = Index::of(&Gvk::fixed("", "v1", "Pod"), &pod, &["spec.color"]);
        let index = Index::read(&bytes);
        let check = |labels: &str, fields: &str| {
            index.matches(&LabelSelector::parse(labels).unwrap(), &FieldSelector::parse(fields).unwrap())
        };
        assert!(check("app=web,tier,!x", "metadata.name=p,spec.nodeName!=b,spec.color=red,status.phase="));
        assert!(!check("app=db", ""));
        assert!(!check("", "spec.nodeName=b"));
    }

    #[test]
    fn foreign_or_cut_bytes_read_as_empty() {
        let whole = Index::encode(&[("a", "b")], &[("c", "d".to_string())]);
        assert_eq!(Index::read(&whole).fields().collect::<Vec<_>>(), [("c", "d")]);
        for bytes in [&[][..], &[9, 1, 2], &whole[..3]] {
            assert_eq!(Index::read(bytes).labels().count(), 0);
        }
    }

    proptest! {
        #[test]
        fn round_trip(labels in proptest::collection::vec((".{0,9}", ".{0,200}"), 0..4)) {
            let bytes = Index::encode(&labels, &[]);
            let back: Vec<(String, String)> =
                Index::read(&bytes).labels().map(|(k, v)| (k.to_string(), v.to_string())).collect();
            prop_assert_eq!(back, labels);
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let index = Index::read(&bytes);
            let _ = (index.labels().count(), index.fields().value("x"));
        }
    }
}
