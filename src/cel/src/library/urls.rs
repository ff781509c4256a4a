//! URLs, read as Go reads them where a request's target is wanted: absolute, or a path from the root.
//!
//! In: a text. Out: its parts, or why it is none. Nothing is fetched or resolved.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Host;
use crate::fault::Fault;
use crate::value::{Key, Map, Value};

type Out<'a> = Result<Value<'a>, Fault>;

/// A URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// All of it.
    pub text: String,
    scheme: String,
    host: String,
    path: String,
    query: String,
}

impl Url {
    /// Reads one.
    pub fn parse(text: &str) -> Result<Url, String> {
        let wrong = |why: &str| Err(format!("parse {text:?}: {why}"));
        if text.is_empty() {
            return wrong("empty url");
        }
        if text.bytes().any(|b| b < b' ' || b == 0x7f) {
            return wrong("net/url: invalid control character in URL");
        }
        let (scheme, rest) = match split_scheme(text) {
            Ok(parts) => parts,
            Err(why) => return wrong(why),
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        if !rest.starts_with('/') {
            // `mailto:x` and the like have a scheme and no path.
            if scheme.is_empty() {
                return wrong("invalid URI for request");
            }
            return Ok(Url {
                text: text.to_owned(),
                scheme,
                host: String::new(),
                path: String::new(),
                query: query.into(),
            });
        }
        let (host, path) = match rest.strip_prefix("//") {
            Some(after) if !scheme.is_empty() || !rest.starts_with("///") => {
                let end = after.find('/').unwrap_or(after.len());
                (&after[..end], &after[end..])
            }
            _ => ("", rest),
        };
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        if let Some(why) = wrong_host(host) {
            return wrong(&why);
        }
        if let Some(why) = wrong_escape(path) {
            return wrong(&why);
        }
        Ok(Url { text: text.to_owned(), scheme, host: host.to_owned(), path: path.to_owned(), query: query.to_owned() })
    }

    fn port_at(&self) -> Option<usize> {
        let after = self.host.rfind(']').map_or(0, |at| at + 1);
        self.host[after..].rfind(':').map(|at| after + at)
    }

    fn hostname(&self) -> &str {
        let bare = &self.host[..self.port_at().unwrap_or(self.host.len())];
        bare.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(bare)
    }

    fn port(&self) -> &str {
        self.port_at().map_or("", |at| &self.host[at + 1..])
    }
}

fn split_scheme(text: &str) -> Result<(String, &str), &'static str> {
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if at > 0 => {}
            b':' if at == 0 => return Err("missing protocol scheme"),
            b':' => return Ok((text[..at].to_ascii_lowercase(), &text[at + 1..])),
            _ => break,
        }
    }
    Ok((String::new(), text))
}

fn wrong_host(host: &str) -> Option<String> {
    if let Some(rest) = host.strip_prefix('[') {
        let Some((_, after)) = rest.split_once(']') else { return Some("missing ']' in host".to_owned()) };
        return wrong_port(after);
    }
    if let Some(at) = host.rfind(':')
        && let Some(why) = wrong_port(&host[at..])
    {
        return Some(why);
    }
    if let Some(c) = host.chars().find(|c| matches!(c, ' ' | '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}')) {
        return Some(format!("invalid character {:?} in host name", c.to_string()));
    }
    wrong_escape(host)
}

fn wrong_port(after: &str) -> Option<String> {
    let is_fine =
        after.is_empty() || after.strip_prefix(':').is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()));
    (!is_fine).then(|| format!("invalid port {after:?} after host"))
}

fn wrong_escape(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let is_escape = || bytes.len() > at + 2 && bytes[at + 1..at + 3].iter().all(u8::is_ascii_hexdigit);
        if *byte == b'%' && !is_escape() {
            let shown = text.get(at..).map_or("", |rest| rest.get(..3).unwrap_or(rest));
            return Some(format!("invalid URL escape {shown:?}"));
        }
    }
    None
}

fn unescape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digits: Vec<u8> = bytes.by_ref().take(2).collect();
                let number = std::str::from_utf8(&digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok());
                out.extend(number);
            }
            other => out.push(other),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn of<'s>(args: &'s [Value<'_>]) -> Result<&'s Url, Fault> {
    match args {
        [Value::Url(url)] => Ok(url),
        _ => Err(Fault::no_overload()),
    }
}

pub(crate) fn url<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let [Value::Text(text)] = args else { return Err(Fault::no_overload()) };
    match Url::parse(text) {
        Ok(url) => Ok(Value::Url(Arc::new(url))),
        Err(why) => Err(Fault::new(format!("URL parse error during conversion from string: {why}"))),
    }
}

pub(crate) fn is_url<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let [Value::Text(text)] = args else { return Err(Fault::no_overload()) };
    Ok(Value::Bool(Url::parse(text).is_ok()))
}

pub(crate) fn scheme<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    of(args).map(|url| Value::text(&*url.scheme))
}

pub(crate) fn host<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    of(args).map(|url| Value::text(&*url.host))
}

pub(crate) fn hostname<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    of(args).map(|url| Value::text(url.hostname()))
}

pub(crate) fn port<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    of(args).map(|url| Value::text(url.port()))
}

pub(crate) fn escaped_path<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let url = of(args)?;
    let mut out = String::with_capacity(url.path.len());
    for byte in url.path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => out.push(char::from(byte)),
            byte if b"-_.~/%!$&'()*+,;=:@[]".contains(&byte) => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    Ok(Value::text(out))
}

pub(crate) fn query<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let mut values: BTreeMap<String, Vec<Value<'a>>> = BTreeMap::new();
    for pair in of(args)?.query.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if wrong_escape(name).is_none() && wrong_escape(value).is_none() {
            values.entry(unescape(name)).or_default().push(Value::text(unescape(value)));
        }
    }
    let entries = values
        .into_iter()
        .map(|(name, values)| (Key::Text(crate::value::Text::Shared(name.into())), Value::list(values)));
    Ok(Value::Map(Map::Made(Arc::new(entries.collect()))))
}
