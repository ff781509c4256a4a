//! Continue tokens: where a list goes on, and at which revision.
//!
//! In: a token as base64 of JSON, in Kubernetes' form. Out: revision, when the list began, and the last key seen.
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
    /// When the first page was read, in seconds since 1970.
    pub began: u64,
    /// The part of the last key after the list's prefix.
    pub after: String,
    /// How many objects follow it at that revision, so that pages need not count what they do not show. Whoever
    /// forges it deceives nobody else.
    pub left: Option<u64>,
}

/// No key is longer; a longer token is nobody's.
const MAX_TOKEN: usize = 4096;
/// A list may take so many seconds; then it goes on with what there is. Kubernetes documents five minutes, and clients
/// count on being told.
const LASTS: u64 = 300;

impl Cursor {
    /// The token.
    pub fn encode(&self) -> String {
        let revision = self.revision.map_or(-1, |r| i64::try_from(r).unwrap_or(i64::MAX));
        let start = format!("{}\0", self.after);
        let mut text = json!({"v": "meta.k8s.io/v1", "rv": revision, "start": start, "began": self.began});
        if let Some(left) = self.left {
            text["left"] = json!(left);
        }
        URL_SAFE_NO_PAD.encode(text.to_string())
    }

    /// Whether the list began too long ago to be told as it was then.
    pub fn is_old(&self, now: u64) -> bool {
        self.revision.is_some() && now.saturating_sub(self.began) > LASTS
    }

    /// The token that goes on from here with what there is now.
    pub fn anew(self) -> String {
        Cursor { revision: None, left: None, ..self }.encode()
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
        // A token without a time is of an earlier program: as old as can be.
        let began = value["began"].as_u64().unwrap_or_default();
        Ok(Cursor { revision, began, after: after.to_owned(), left: value["left"].as_u64() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_go_round() {
        for cursor in [
            Cursor { revision: Some(17), began: 1_700_000_000, after: "default/a".into(), left: Some(3) },
            Cursor { revision: None, began: 0, after: "n1".into(), left: None },
        ] {
            assert_eq!(Cursor::decode(&cursor.encode()), Ok(cursor));
        }
    }

    #[test]
    fn a_list_lasts_five_minutes() {
        let cursor = Cursor { revision: Some(17), began: 1000, after: "a".into(), left: Some(1) };
        assert!(!cursor.is_old(1300));
        assert!(cursor.is_old(1301));
        // A clock that was set back, and a list that is told as it is now anyway.
        assert!(!cursor.is_old(10));
        assert!(!Cursor { revision: None, ..cursor.clone() }.is_old(9999));
        let fresh = Cursor::decode(&cursor.anew()).unwrap();
        assert_eq!((fresh.revision, fresh.after.as_str(), fresh.left), (None, "a", None));
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
