//! Query strings as options.
//!
//! In: the raw query of a URL. Out: [`Query`] and the option structs of the verbs, or the
//! sentence that says which parameter is wrong. Never touches the request's body.

use std::time::Duration;

use kedge_api::check::FieldValidation;

use crate::request::percent_decode;

/// A decoded query: name and value in the order given. At most [`MAX_PARAMETERS`] are kept.
#[derive(Debug, Clone, Default)]
pub struct Query(Vec<(String, String)>);

/// Enough for an exec with a long command line; a client that sends more is not served the rest.
const MAX_PARAMETERS: usize = 512;

impl Query {
    /// Decodes a raw query.
    pub fn parse(raw: &str) -> Self {
        let decode = |s: &str| percent_decode(&s.replace('+', " "));
        Query(
            raw.split('&')
                .filter(|pair| !pair.is_empty())
                .take(MAX_PARAMETERS)
                .map(|pair| match pair.split_once('=') {
                    Some((name, value)) => (decode(name), decode(value)),
                    None => (decode(pair), String::new()),
                })
                .collect(),
        )
    }

    /// The first value of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// Every value of that name, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// Whether the parameter is there and says yes: Kubernetes takes anything but `0` and
    /// `false` (in any case) for yes, an empty value included.
    pub fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|v| v != "0" && !v.eq_ignore_ascii_case("false"))
    }

    /// How long the client waits for an answer, if that is less than `most`; or why that cannot be understood.
    pub fn patience(&self, most: Duration) -> Result<Duration, String> {
        let Some(text) = self.get("timeout").filter(|text| !text.is_empty()) else { return Ok(most) };
        let Some(nanos) = kedge_cel::parse_duration(text) else {
            return Err(format!("invalid timeout specified in the request URL - time: {}", misread(text)));
        };
        let asked = u64::try_from(nanos).map_or(most, Duration::from_nanos);
        Ok(if asked.is_zero() { most } else { asked.min(most) })
    }

    fn number<T: std::str::FromStr>(&self, name: &'static str) -> Result<Option<T>, OptionFault> {
        match self.get(name) {
            None | Some("") => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| OptionFault {
                name,
                value: text.to_owned(),
                rule: "must be a number",
            }),
        }
    }
}

/// What is wrong with a duration, in Go's words.
fn misread(text: &str) -> String {
    let bare = text.strip_prefix(['+', '-']).unwrap_or(text);
    let end = bare.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(bare.len());
    let (number, unit) = bare.split_at(end);
    match (number.parse::<f64>(), unit) {
        (Ok(_), "") => format!("missing unit in duration {text:?}"),
        (Ok(_), unit) if unit.chars().all(char::is_alphabetic) => {
            format!("unknown unit {unit:?} in duration {text:?}")
        }
        _ => format!("invalid duration {text:?}"),
    }
}

/// A query parameter that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid value {value:?} for parameter {name}: {rule}")]
pub struct OptionFault {
    name: &'static str,
    value: String,
    rule: &'static str,
}

/// Options of list, watch and deletecollection.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ListOptions {
    /// Label selector, still text.
    pub label_selector: String,
    /// Field selector, still text.
    pub field_selector: String,
    /// Resource version, still text; `None` if not given or empty.
    pub resource_version: Option<String>,
    /// How to match `resource_version`; `None` if not given or empty.
    pub resource_version_match: Option<String>,
    /// Page size; 0 means everything.
    pub limit: u64,
    /// Token of the page before.
    pub continue_token: Option<String>,
    /// How long a watch lasts, or a list may take.
    pub timeout_seconds: Option<u64>,
    /// Whether a watch wants to hear of progress.
    pub bookmarks: bool,
    /// Whether a watch starts with everything there is.
    pub send_initial_events: Option<bool>,
}

impl ListOptions {
    /// Reads the options.
    pub fn parse(query: &Query) -> Result<Self, OptionFault> {
        let text = |name| query.get(name).filter(|v| !v.is_empty()).map(str::to_owned);
        Ok(ListOptions {
            label_selector: text("labelSelector").unwrap_or_default(),
            field_selector: text("fieldSelector").unwrap_or_default(),
            resource_version: text("resourceVersion"),
            resource_version_match: text("resourceVersionMatch"),
            limit: query.number::<i64>("limit")?.map_or(0, |n| u64::try_from(n).unwrap_or(0)),
            continue_token: text("continue"),
            timeout_seconds: query.number::<i64>("timeoutSeconds")?.and_then(|n| u64::try_from(n).ok()),
            bookmarks: query.flag("allowWatchBookmarks"),
            send_initial_events: query.get("sendInitialEvents").map(|_| query.flag("sendInitialEvents")),
        })
    }
}

/// Options of create, update and patch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WriteOptions {
    /// Whether everything happens but the write.
    pub dry_run: bool,
    /// What to do with unknown fields.
    pub field_validation: FieldValidation,
    /// The name changes are owned by.
    pub field_manager: String,
    /// Whether an apply takes fields over from others.
    pub force: Option<bool>,
}

impl WriteOptions {
    /// Reads the options.
    pub fn parse(query: &Query) -> Result<Self, OptionFault> {
        Ok(WriteOptions {
            dry_run: dry_run(query.all("dryRun"))?,
            field_validation: match query.get("fieldValidation") {
                None => FieldValidation::Warn,
                Some(word) => FieldValidation::parse(word).ok_or_else(|| OptionFault {
                    name: "fieldValidation",
                    value: word.to_owned(),
                    rule: "supported values: \"Ignore\", \"Strict\", \"Warn\"",
                })?,
            },
            field_manager: query.get("fieldManager").unwrap_or_default().to_owned(),
            force: query.get("force").map(|_| query.flag("force")),
        })
    }
}

/// Reads `dryRun` values: `All` or nothing.
pub fn dry_run<'a>(values: impl Iterator<Item = &'a str>) -> Result<bool, OptionFault> {
    let mut on = false;
    for value in values {
        match value {
            "" => {}
            "All" => on = true,
            other => {
                return Err(OptionFault { name: "dryRun", value: other.to_owned(), rule: "supported values: \"All\"" });
            }
        }
    }
    Ok(on)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_and_kept_in_order() {
        let query = Query::parse("command=ls&command=-l%20x&a=b+c&empty=&bare");
        assert_eq!(query.all("command").collect::<Vec<_>>(), ["ls", "-l x"]);
        assert_eq!(query.get("a"), Some("b c"));
        assert!(query.flag("empty") && query.flag("bare") && !query.flag("absent"));
    }

    #[track_caller]
    fn refused(query: &str, expected: &str) {
        let query = Query::parse(query);
        let seen = ListOptions::parse(&query)
            .map(|_| ())
            .and_then(|()| WriteOptions::parse(&query).map(|_| ()))
            .expect_err("refused");
        assert!(seen.to_string().contains(expected), "{seen}");
    }

    #[test]
    fn nonsense_is_named() {
        refused("limit=ten", "limit");
        refused("timeoutSeconds=1s", "timeoutSeconds");
        refused("dryRun=Some", "dryRun");
        refused("fieldValidation=Loose", "fieldValidation");
    }

    #[test]
    fn patience_ends_where_the_servers_does() {
        let most = Duration::from_secs(60);
        for (query, expected) in [
            ("", Ok(most)),
            ("timeout=", Ok(most)),
            ("timeout=0s", Ok(most)),
            ("timeout=-5s", Ok(most)),
            ("timeout=1.5s", Ok(Duration::from_millis(1500))),
            ("timeout=1h", Ok(most)),
            ("timeout=10", Err("missing unit in duration \"10\"")),
            ("timeout=5x", Err("unknown unit \"x\" in duration \"5x\"")),
            ("timeout=soon", Err("invalid duration \"soon\"")),
        ] {
            let wanted = expected.map_err(|why| format!("invalid timeout specified in the request URL - time: {why}"));
            assert_eq!(Query::parse(query).patience(most), wanted, "{query}");
        }
    }

    #[test]
    fn options_are_read() {
        let options = ListOptions::parse(&Query::parse("limit=5&resourceVersion=&sendInitialEvents=true")).unwrap();
        assert_eq!((options.limit, options.resource_version, options.send_initial_events), (5, None, Some(true)));
        let options = WriteOptions::parse(&Query::parse("dryRun=All&fieldValidation=Strict&force=true")).unwrap();
        assert!(options.dry_run && options.field_validation == FieldValidation::Strict && options.force == Some(true));
    }
}
