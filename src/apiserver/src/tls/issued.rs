//! Certificates that somebody hands in: whether they are nothing but certificates.
//!
//! In: PEM. Out: what is wrong, in Kubernetes' words. Says nothing about who signed them or how long they are good.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

/// What is wrong with certificates. Text between the blocks is passed over, and so is a block that never ends.
pub fn fault(pem: &str) -> Option<String> {
    let (mut rest, mut found) = (pem, false);
    while let Some(block) = Block::next(&mut rest) {
        if block.label != "CERTIFICATE" {
            return Some(format!("only CERTIFICATE PEM blocks are allowed, found {:?}", block.label));
        }
        if block.headers {
            return Some("no PEM block headers are permitted".to_owned());
        }
        if block.der.is_empty() {
            return Some("found CERTIFICATE PEM block containing 0 certificates".to_owned());
        }
        let mut der = &block.der[..];
        while !der.is_empty() {
            match x509_parser::parse_x509_certificate(der) {
                Ok((after, _)) => der = after,
                Err(_) => return Some("x509: malformed certificate".to_owned()),
            }
        }
        found = true;
    }
    (!found).then(|| "must contain at least one CERTIFICATE PEM block".to_owned())
}

struct Block<'a> {
    label: &'a str,
    headers: bool,
    der: Vec<u8>,
}

impl<'a> Block<'a> {
    /// The next whole block; `rest` is what comes after it.
    fn next(rest: &mut &'a str) -> Option<Block<'a>> {
        loop {
            let at = rest.find(BEGIN)?;
            let starts_line = at == 0 || rest[..at].ends_with('\n');
            *rest = &rest[at + BEGIN.len()..];
            let (first, after) = rest.split_once('\n')?;
            let Some(label) = first.trim_end().strip_suffix(DASHES).filter(|_| starts_line) else { continue };
            let end = format!("{DASHES}END {label}{DASHES}");
            let Some((body, after)) = after.split_once(end.as_str()) else { continue };
            let lines = || body.lines().map(str::trim);
            let headers = lines().take_while(|line| line.contains(':')).count();
            let text: String = lines().skip(headers).collect();
            if let Ok(der) = STANDARD.decode(text) {
                *rest = after;
                return Some(Block { label, headers: headers > 0, der });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_certificates_is_one() {
        let key = rcgen::KeyPair::generate().unwrap();
        let good = rcgen::CertificateParams::default().self_signed(&key).unwrap().pem();
        let with = |from: &str, to: &str| good.replace(from, to);
        for (pem, expected) in [
            (good.clone(), None),
            (format!("some words\n{good}{good}"), None),
            (String::new(), Some("must contain at least one CERTIFICATE PEM block")),
            ("nonsense".to_owned(), Some("must contain at least one CERTIFICATE PEM block")),
            (with("END CERTIFICATE", "END X"), Some("must contain at least one CERTIFICATE PEM block")),
            (
                good.clone() + &key.serialize_pem(),
                Some("only CERTIFICATE PEM blocks are allowed, found \"PRIVATE KEY\""),
            ),
            (with("E-----\n", "E-----\na: b\n\n"), Some("no PEM block headers are permitted")),
            (with("\nMI", "\nMA"), Some("x509: malformed certificate")),
            (
                "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n".to_owned(),
                Some("found CERTIFICATE PEM block containing 0 certificates"),
            ),
        ] {
            assert_eq!(fault(&pem).as_deref(), expected, "{pem}");
        }
    }
}
