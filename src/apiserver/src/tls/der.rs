//! Just enough DER to put parts of one certificate in the place of another's.
//!
//! In: bytes. Out: elements, whole or their contents; sequences. Pure; never goes deeper than it is
//! asked to, so hostile nesting costs nothing.

/// The tag of a SEQUENCE.
const SEQUENCE: u8 = 0x30;
/// The tag of an INTEGER.
const INTEGER: u8 = 0x02;
/// The tag of a BIT STRING.
const BITS: u8 = 0x03;
/// Lengths of more bytes than this are refused: 4 GiB is more than any body here.
const LENGTH_BYTES: usize = 4;

/// The first element, with its header, and what follows it.
pub fn first(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (header, length) = header(bytes)?;
    bytes.split_at_checked(header.checked_add(length)?)
}

/// What is inside a sequence that is all of `bytes`.
pub fn inside(bytes: &[u8]) -> Option<&[u8]> {
    contents(bytes, SEQUENCE)
}

/// What is in a bit string of whole bytes, or a number that is not negative without zeros in front, that is all of
/// `bytes`.
pub fn value(bytes: &[u8]) -> Option<&[u8]> {
    if let Some(bits) = contents(bytes, BITS) {
        return bits.strip_prefix(&[0]);
    }
    let number = contents(bytes, INTEGER).filter(|number| number.first().is_some_and(|first| *first < 0x80))?;
    Some(&number[number.iter().position(|byte| *byte != 0).unwrap_or(number.len())..])
}

fn contents(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    let (header, length) = header(bytes)?;
    (bytes.first() == Some(&tag) && header.checked_add(length)? == bytes.len()).then(|| &bytes[header..])
}

/// The elements of a sequence.
pub fn elements(sequence: &[u8]) -> Option<Vec<&[u8]>> {
    let mut rest = inside(sequence)?;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (element, after) = first(rest)?;
        found.push(element);
        rest = after;
    }
    Some(found)
}

/// A sequence of these elements.
pub fn sequence(elements: &[&[u8]]) -> Vec<u8> {
    wrap(SEQUENCE, &elements.concat())
}

/// A bit string of whole bytes.
pub fn bits(bytes: &[u8]) -> Vec<u8> {
    wrap(BITS, &[&[0], bytes].concat())
}

fn wrap(tag: u8, contents: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match u8::try_from(contents.len()) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let length = contents.len().to_be_bytes();
            let digits = &length[length.iter().position(|b| *b != 0).unwrap_or(length.len() - 1)..];
            // A usize has eight bytes at most.
            out.push(0x80 | digits.len() as u8);
            out.extend_from_slice(digits);
        }
    }
    out.extend_from_slice(contents);
    out
}

/// How long the header of the first element is, and its contents.
fn header(bytes: &[u8]) -> Option<(usize, usize)> {
    let first = usize::from(*bytes.get(1)?);
    if first < 0x80 {
        return Some((2, first));
    }
    let digits = first & 0x7f;
    if digits == 0 || digits > LENGTH_BYTES {
        return None;
    }
    let length = bytes.get(2..2 + digits)?.iter().try_fold(0usize, |n, b| n.checked_mul(256)?.checked_add((*b).into()));
    Some((2 + digits, length?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expected: Option<usize>) {
        assert_eq!(elements(bytes).map(|all| all.len()), expected, "{bytes:02x?}");
    }

    #[test]
    fn sequences_come_apart_or_are_refused() {
        check(&[0x30, 0], Some(0));
        check(&[0x30, 5, 2, 1, 7, 5, 0], Some(2));
        check(&[0x30, 5, 2, 1, 7, 5], None);
        check(&[0x30, 0x80], None);
        check(&[0x30, 0x85, 1, 1, 1, 1, 1], None);
        check(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], None);
        check(&[0x30], None);
        check(&[], None);
        check(&[0x31, 0], None);
    }

    #[test]
    fn numbers_and_bits_are_had_bare() {
        assert_eq!(value(&[2, 3, 0, 0x80, 1]), Some(&[0x80, 1][..]));
        assert_eq!(value(&[2, 1, 0]), Some(&[][..]));
        assert_eq!(value(&bits(&[7, 8])), Some(&[7, 8][..]));
        for refused in [&[2, 1, 0x80][..], &[2, 0], &[2, 2, 1], &[3, 1, 1], &[3, 0], &[4, 1, 1], &[2, 1, 1, 0]] {
            assert_eq!(value(refused), None, "{refused:?}");
        }
    }

    #[test]
    fn what_is_put_together_comes_apart_again() {
        for length in [0usize, 1, 127, 128, 255, 256, 70_000] {
            let inner = wrap(4, &vec![7; length]);
            let outer = sequence(&[&inner, &inner]);
            assert_eq!(elements(&outer).unwrap(), [inner.as_slice(), inner.as_slice()], "{length}");
        }
    }
}
