//! Continue tokens: where a list goes on, and at which revision.
//!
//! In: a token as base64 of JSON, in Kubernetes' form. Out: revision and the last key seen.
//! A token holds no secret: a forged one reads what its bearer may list anyway.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kedge_store::Revision;
use serde_json::{Value, json};

/// Where a list goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The revision of the first page; `None` once that has expired and the client chose to go on
    /// with what there is now.
    pub revision: Option<Revision>,
    /// The part of the last key after the list's prefix.
    pub after: String,
}

/// No key is longer; a longer token is nobody's.
const MAX_TOKEN: usize = 4096;

impl Cursor {
    /// The token.
    pub fn encode(&self) -> String {
        let revision = self.revision.map_or(-1, |r| i64::try_from(r).unwrap_or(i64::MAX));
        let text = json!({"v": "meta.k8s.io/v1", "rv": revision, "start": format!("{}\0", self.after)});
        URL_SAFE_NO_PAD.encode(text.to_string())
    }

    /// Reads a token.
    pub fn decode(token: &str) -> Result<Cursor, &'static str> {
        if token.len() > MAX_TOKEN {
            return Err("continue key is not valid: too long");
        }
        let bytes =
            URL_SAFE_NO_PAD.decode(token.trim_end_matches('=')).map_err(|_| "continue key is not valid: encoding")?;
        let value: Value = serde_json::from_slice(&bytes).map_err(|_| "continue key is not valid: decoding")?;
        if value["v"] != "meta.k8s.io/v1" {
            return Err("continue key is not valid: server does not recognize this encoded version");
        }
        let revision = match value["rv"].as_i64() {
            Some(-1) => None,
            Some(n) if n > 0 => Some(n as Revision),
            _ => {
                return Err(
                    "continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)",
                );
            }
        };
        let after = value["start"].as_str().unwrap_or_default().trim_end_matches('\0');
        if after.is_empty() {
            return Err("continue key is not valid: encoded start key empty (version meta.k8s.io/v1)");
        }
        if after.starts_with('/') || after.split('/').any(|p| p == "..") {
            return Err("continue key is not valid: encoded start key is outside of the list");
        }
        Ok(Cursor { revision, after: after.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_go_round() {
        for cursor in
            [Cursor { revision: Some(17), after: "default/a".into() }, Cursor { revision: None, after: "n1".into() }]
        {
            assert_eq!(Cursor::decode(&cursor.encode()), Ok(cursor));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let of = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let long = "a".repeat(5000);
        for token in [
            "!!".to_owned(),
            of("{"),
            of("{}"),
            of(r#"{"v":"meta.k8s.io/v1","rv":0,"start":"a"}"#),
            of(r#"{"v":"meta.k8s.io/v1","rv":5,"start":""}"#),
            of(r#"{"v":"meta.k8s.io/v1","rv":5,"start":"/core"}"#),
            of(r#"{"v":"meta.k8s.io/v1","rv":5,"start":"a/../b"}"#),
            long,
        ] {
            assert!(Cursor::decode(&token).is_err(), "{token}");
        }
    }
}
