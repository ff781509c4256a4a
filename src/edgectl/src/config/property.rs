//! Single settings of a kubeconfig: `config set` and `config unset`.
//!
//! In: a name such as `clusters.site.server`, a value. Out: which setting is meant, and the value as a kubeconfig holds
//! it. Never sets what no kubeconfig has.

use kedge_api::base64;
use serde_json::{Value, json};

use crate::error::Failure;

/// The form of a setting.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Text,
    Truth,
    /// In base64.
    Bytes,
}

/// Lists, and the settings of their entries.
const SETTINGS: &[(&str, &[(&str, Form)])] = &[
    (
        "clusters",
        &[
            ("server", Form::Text),
            ("tls-server-name", Form::Text),
            ("insecure-skip-tls-verify", Form::Truth),
            ("certificate-authority", Form::Text),
            ("certificate-authority-data", Form::Bytes),
            ("proxy-url", Form::Text),
            ("disable-compression", Form::Truth),
        ],
    ),
    ("contexts", &[("cluster", Form::Text), ("user", Form::Text), ("namespace", Form::Text)]),
    (
        "users",
        &[
            ("client-certificate", Form::Text),
            ("client-certificate-data", Form::Bytes),
            ("client-key", Form::Text),
            ("client-key-data", Form::Bytes),
            ("token", Form::Text),
            ("tokenFile", Form::Text),
            ("as", Form::Text),
            ("as-uid", Form::Text),
            ("username", Form::Text),
            ("password", Form::Text),
        ],
    ),
];

/// Which setting is meant.
#[derive(Debug, PartialEq)]
pub enum Property {
    /// `current-context`
    Current,
    /// A whole entry of a list.
    Entry { list: &'static str, name: String },
    /// A setting of an entry.
    Field { list: &'static str, name: String, field: &'static str },
}

impl Property {
    /// Reads a name. Names of entries may have dots, so the setting is what stands last.
    pub fn parse(text: &str) -> Result<Property, Failure> {
        if text == "current-context" {
            return Ok(Property::Current);
        }
        let wrong = || {
            Failure::said(format!(
                "there is no property \"{text}\"; there are current-context, and clusters.NAME, contexts.NAME and users.NAME with their fields, such as clusters.NAME.server"
            ))
        };
        let (list, rest) = text.split_once('.').ok_or_else(wrong)?;
        let (list, fields) = SETTINGS.iter().find(|(known, _)| *known == list).ok_or_else(wrong)?;
        let field = fields.iter().find_map(|(field, _)| {
            let name = rest.strip_suffix(field)?.strip_suffix('.').filter(|name| !name.is_empty())?;
            Some(Property::Field { list, name: name.to_owned(), field })
        });
        match field {
            Some(field) => Ok(field),
            None if !rest.is_empty() => Ok(Property::Entry { list, name: rest.to_owned() }),
            None => Err(wrong()),
        }
    }

    /// The value of a setting, as a kubeconfig holds it.
    pub fn value(&self, text: &str, raw: bool) -> Result<Value, Failure> {
        let Property::Field { list, field, .. } = self else { return Ok(json!(text)) };
        let fields = SETTINGS.iter().find(|(known, _)| known == list).map_or(&[][..], |(_, fields)| *fields);
        match fields.iter().find(|(known, _)| known == field).map_or(Form::Text, |(_, form)| *form) {
            Form::Text => Ok(json!(text)),
            Form::Truth => crate::args::boolean(text)
                .map(Value::from)
                .map_err(|why| Failure::said(format!("invalid value \"{text}\" of {field}: {why}"))),
            Form::Bytes if raw => Ok(json!(base64::encode(text.as_bytes()))),
            Form::Bytes if base64::decode(text).is_some() => Ok(json!(text)),
            Form::Bytes => Err(Failure::said(format!(
                "the value of {field} must be in base64, or be given with --set-raw-bytes as it is"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_settings() {
        let field = |list, name: &str, field| Property::Field { list, name: name.to_owned(), field };
        for (text, expected) in [
            ("current-context", Property::Current),
            ("clusters.c.server", field("clusters", "c", "server")),
            ("clusters.a.b.lan.tls-server-name", field("clusters", "a.b.lan", "tls-server-name")),
            ("users.u.client-key-data", field("users", "u", "client-key-data")),
            ("contexts.a", Property::Entry { list: "contexts", name: "a".to_owned() }),
            ("contexts.a.b", Property::Entry { list: "contexts", name: "a.b".to_owned() }),
        ] {
            assert_eq!(Property::parse(text).unwrap(), expected, "{text}");
        }
        for text in ["", "clusters", "clusters.", "other.a.b", "a"] {
            assert!(Property::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn values_have_their_form() {
        for (property, text, raw, expected) in [
            ("clusters.c.server", "https://a", false, Some(json!("https://a"))),
            ("clusters.c.insecure-skip-tls-verify", "true", false, Some(json!(true))),
            ("clusters.c.insecure-skip-tls-verify", "maybe", false, None),
            ("users.u.client-key-data", "eA==", false, Some(json!("eA=="))),
            ("users.u.client-key-data", "x", true, Some(json!("eA=="))),
            ("users.u.client-key-data", "*", false, None),
        ] {
            let value = Property::parse(property).unwrap().value(text, raw).ok();
            assert_eq!(value, expected, "{property} {text}");
        }
    }
}
