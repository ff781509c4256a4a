//! What a request for a certificate (PKCS #10) asks for.
//!
//! In: the text of `spec.request`, which anybody may have written. Out: its subject and its other names. Never checks a
//! signature, and never reads past an end: what is cut short or nested otherwise is no request.

use std::net::IpAddr;

use kedge_api::base64;

/// The largest request that is read: what the API takes.
const LARGEST: usize = 1 << 20;

const BEGIN: &str = "-----BEGIN CERTIFICATE REQUEST-----";
const END: &str = "-----END CERTIFICATE REQUEST-----";

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const BITS: u8 = 0x03;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OID: u8 = 0x06;
const OCTETS: u8 = 0x04;
/// The attributes of a request.
const ATTRIBUTES: u8 = 0xa0;
/// `extensionRequest` of PKCS #9.
const EXTENSIONS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e];
/// `subjectAltName`.
const OTHER_NAMES: &[u8] = &[0x55, 0x1d, 0x11];

/// The last number of `2.5.4.x`, and what it is called in a subject.
const PARTS: [(u8, &str); 9] = [
    (3, "CN"),
    (5, "serialNumber"),
    (6, "C"),
    (7, "L"),
    (8, "ST"),
    (9, "street"),
    (10, "O"),
    (11, "OU"),
    (17, "postalCode"),
];

/// What is asked for.
#[derive(Debug, Default, PartialEq)]
pub struct Asked {
    subject: Vec<(&'static str, String)>,
    /// Other names: of which kind, in words, and the name.
    pub names: Vec<(&'static str, String)>,
}

impl Asked {
    /// The parts of the subject of one kind.
    pub fn subject(&self, key: &str) -> Vec<&str> {
        self.subject.iter().filter(|(of, _)| *of == key).map(|(_, text)| text.as_str()).collect()
    }
}

/// Reads base64 of PEM, as `spec.request` has it.
pub fn read(text: &str) -> Option<Asked> {
    let pem = String::from_utf8(base64::decode(text).filter(|pem| pem.len() <= LARGEST)?).ok()?;
    // What stands before could be another request, which is shown while the signer takes this one.
    let inside = pem.trim_start().strip_prefix(BEGIN)?.split_once(END)?.0;
    inside.trim_start_matches('\r').strip_prefix('\n')?;
    let der = base64::decode(&inside.split_whitespace().collect::<String>())?;
    // What is signed, and then the signature, which nobody checks here.
    let [info, _, _] = elements(only(&der, SEQUENCE)?, [SEQUENCE, SEQUENCE, BITS])?;
    // The version, the subject, the key, and then what is asked for besides.
    let [_, subject, _, besides] = elements(info, [INTEGER, SEQUENCE, SEQUENCE, ATTRIBUTES])?;
    let mut asked = Asked::default();
    parts(subject, &mut asked)?;
    attributes(besides, &mut asked)?;
    Some(asked)
}

fn parts(mut names: &[u8], asked: &mut Asked) -> Option<()> {
    while !names.is_empty() {
        let (_, mut set, rest) = element(names).filter(|(tag, ..)| *tag == SET)?;
        while !set.is_empty() {
            let (_, pair, others) = element(set).filter(|(tag, ..)| *tag == SEQUENCE)?;
            let (_, oid, value) = element(pair).filter(|(tag, ..)| *tag == OID)?;
            let (_, value, _) = element(value).filter(|(.., rest)| rest.is_empty())?;
            let part = PARTS.iter().find(|(number, _)| oid == [0x55, 0x04, *number]);
            if let Some((_, name)) = part {
                asked.subject.push((name, readable(value)));
            }
            set = others;
        }
        names = rest;
    }
    Some(())
}

fn attributes(mut list: &[u8], asked: &mut Asked) -> Option<()> {
    while !list.is_empty() {
        let (_, attribute, rest) = element(list).filter(|(tag, ..)| *tag == SEQUENCE)?;
        let (_, oid, values) = element(attribute).filter(|(tag, ..)| *tag == OID)?;
        if oid == EXTENSIONS {
            extensions(only(only(values, SET)?, SEQUENCE)?, asked)?;
        }
        list = rest;
    }
    Some(())
}

fn extensions(mut list: &[u8], asked: &mut Asked) -> Option<()> {
    while !list.is_empty() {
        let (_, extension, rest) = element(list).filter(|(tag, ..)| *tag == SEQUENCE)?;
        let (_, oid, mut value) = element(extension).filter(|(tag, ..)| *tag == OID)?;
        // Whether it is critical may stand before its value.
        if let Some((BOOLEAN, _, others)) = element(value) {
            value = others;
        }
        let content = only(value, OCTETS)?;
        if oid == OTHER_NAMES {
            other_names(only(content, SEQUENCE)?, asked)?;
        }
        list = rest;
    }
    Some(())
}

fn other_names(mut list: &[u8], asked: &mut Asked) -> Option<()> {
    while !list.is_empty() {
        let (tag, content, rest) = element(list)?;
        match tag {
            0x81 => asked.names.push(("Email Addresses", readable(content))),
            0x82 => asked.names.push(("DNS Names", readable(content))),
            0x86 => asked.names.push(("URIs", readable(content))),
            0x87 => {
                let v4 = <[u8; 4]>::try_from(content).map(IpAddr::from);
                let address = v4.or_else(|_| <[u8; 16]>::try_from(content).map(IpAddr::from)).ok()?;
                asked.names.push(("IP Addresses", address.to_string()));
            }
            _ => {}
        }
        list = rest;
    }
    Some(())
}

/// Text as it can be shown: no control character reaches a terminal.
fn readable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// The content of the one element that is here, and nothing after it.
fn only(bytes: &[u8], wanted: u8) -> Option<&[u8]> {
    elements(bytes, [wanted]).map(|[content]| content)
}

/// The contents of the elements that are here: these and no others.
fn elements<const N: usize>(mut bytes: &[u8], wanted: [u8; N]) -> Option<[&[u8]; N]> {
    let mut found: [&[u8]; N] = [&[]; N];
    for (place, tag) in found.iter_mut().zip(wanted) {
        let (_, content, rest) = element(bytes).filter(|(here, ..)| *here == tag)?;
        (*place, bytes) = (content, rest);
    }
    bytes.is_empty().then_some(found)
}

/// The first element: its tag, its content, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, first, rest @ ..] = bytes else { return None };
    let (length, rest) = if *first < 0x80 {
        (usize::from(*first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 4 {
            return None;
        }
        let (digits, rest) = rest.split_at_checked(count)?;
        (digits.iter().fold(0, |n, digit| n << 8 | usize::from(*digit)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `/C=CH/O=tea/O=milk/CN=jane` with a DNS name, an address and a mailbox.
    const JANE: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlJQkpUQ0J6UUlCQURBNU1Rc3dDUVlEVlFRR0V3SkRTREVNTUFvR0ExVUVDZ3dEZEdWaE1RMHdDd1lEVlFRSwpEQVJ0YVd4ck1RMHdDd1lEVlFRRERBUnFZVzVsTUZrd0V3WUhLb1pJemowQ0FRWUlLb1pJemowREFRY0RRZ0FFCm5kT2dsS0pLN2hNbEFleS8zUUh2aHJNM1UyZ3NTdDFqSTlOdFczRVQrNXdiSW1nMnZ2QXlkRTFHRkxVNm9IWjMKWmxSbVY2NHdhSHdUalF2VEoxTGp1S0F5TURBR0NTcUdTSWIzRFFFSkRqRWpNQ0V3SHdZRFZSMFJCQmd3Rm9JRgpZUzVzWVc2SEJBb0FBQUdCQjJwQVlTNXNZVzR3Q2dZSUtvWkl6ajBFQXdJRFJ3QXdSQUlnSlpKL0dtSTl0QVVQCmp4K2tOK0NmMVp6c3JxaEd3Q0pyNTFNTi9xN1JxbGdDSUJ3L1BQR2UwSENsdi9LVG1ta1dyRmExc0hMdHRURGYKNGxpWW4rVERRVmVZCi0tLS0tRU5EIENFUlRJRklDQVRFIFJFUVVFU1QtLS0tLQo=";

    #[test]
    fn subject_and_other_names_are_found() {
        let asked = read(JANE).unwrap();
        assert_eq!(asked.subject("CN"), ["jane"]);
        assert_eq!(asked.subject("O"), ["tea", "milk"]);
        assert_eq!(asked.subject("C"), ["CH"]);
        let names: Vec<String> = asked.names.iter().map(|(of, name)| format!("{of} {name}")).collect();
        assert_eq!(names, ["DNS Names a.lan", "IP Addresses 10.0.0.1", "Email Addresses j@a.lan"]);
    }

    fn der() -> Vec<u8> {
        let pem = String::from_utf8(base64::decode(JANE).unwrap()).unwrap();
        let inside = pem.split_once(BEGIN).unwrap().1.split_once("-----END").unwrap().0;
        base64::decode(&inside.split_whitespace().collect::<String>()).unwrap()
    }

    fn read_der(der: &[u8]) -> Option<Asked> {
        read(&base64::encode(format!("{BEGIN}\n{}\n{END}\n", base64::encode(der)).as_bytes()))
    }

    #[test]
    fn what_is_no_request_is_refused_and_never_read_past_its_end() {
        let der = der();
        assert!(read_der(&der).is_some());
        for end in 0..der.len() {
            assert_eq!(read_der(&der[..end]), None, "{end}");
        }
        for at in 0..der.len() {
            for byte in [0x00, 0x30, 0x7f, 0x84, 0xff] {
                let mut other = der.clone();
                other[at] = byte;
                // Whatever it says then, it is read to its end or refused.
                read_der(&other);
            }
        }
        for text in ["", "x", "eA=="] {
            assert_eq!(read(text), None);
        }
    }

    #[test]
    fn what_is_shown_is_what_is_signed() {
        let pem = String::from_utf8(base64::decode(JANE).unwrap()).unwrap();
        for (text, is_read) in [
            (format!("\n{pem}"), true),
            (format!("REQUEST-----\n{pem}"), false),
            (format!("-----BEGIN OTHER REQUEST-----\neA==\n-----END OTHER REQUEST-----\n{pem}"), false),
            (pem.replace("CERTIFICATE REQUEST", "CERTIFICATE"), false),
            (pem.replace('\n', "\r\n"), true),
            (pem.replacen(BEGIN, "-----BEGIN CERTIFICATE REQUEST-----x", 1), false),
        ] {
            assert_eq!(read(&base64::encode(text.as_bytes())).is_some(), is_read, "{text}");
        }
    }

    #[test]
    fn wrong_tags_and_missing_parts_are_refused() {
        let der = der();
        // The tags of the request, of what is signed, of its version, subject and key.
        for at in [0, 4, 7, 10] {
            let mut other = der.clone();
            other[at] ^= 0x01;
            assert_eq!(read_der(&other), None, "{at}");
        }
        assert_eq!(read_der(&[&der[..], &[5, 0]].concat()), None);
        let bare = [SEQUENCE, 7, SEQUENCE, 5, INTEGER, 1, 0, SEQUENCE, 0];
        assert_eq!(read_der(&bare), None);
    }
}
