//! Links of proxied pages and redirects, made to lead through the proxy again.
//!
//! In: a link, or a page piece by piece. Out: the same; absolute paths get the proxy's prefix. Pure. Pages are hostile:
//! a tag that does not end within [`LONGEST_TAG`] passes as it is.

/// A tag is at most this, or it is none.
const LONGEST_TAG: usize = 64 * 1024;

/// Attributes that hold a link, by element, as HTML 4 and 5 have them.
const ATTRIBUTES: [(&str, &[&str]); 25] = [
    ("a", &["href"]),
    ("applet", &["codebase"]),
    ("area", &["href"]),
    ("audio", &["src"]),
    ("base", &["href"]),
    ("blockquote", &["cite"]),
    ("body", &["background"]),
    ("button", &["formaction"]),
    ("command", &["icon"]),
    ("del", &["cite"]),
    ("embed", &["src"]),
    ("form", &["action"]),
    ("frame", &["longdesc", "src"]),
    ("head", &["profile"]),
    ("html", &["manifest"]),
    ("iframe", &["longdesc", "src"]),
    ("img", &["longdesc", "src", "usemap"]),
    ("input", &["src", "usemap", "formaction"]),
    ("ins", &["cite"]),
    ("link", &["href"]),
    ("object", &["classid", "codebase", "data", "usemap"]),
    ("q", &["cite"]),
    ("script", &["src"]),
    ("source", &["src"]),
    ("video", &["poster", "src"]),
];
/// Elements whose content is text, whatever it looks like.
const TEXT: [&str; 7] = ["script", "style", "textarea", "title", "xmp", "iframe", "noembed"];

/// What links are rewritten by.
#[derive(Debug, Clone)]
pub struct Links {
    /// The proxy's own path.
    pub prefix: String,
    /// The backend, as address and port.
    pub backend: String,
    /// The host that the caller asked for.
    pub asked: String,
}

impl Links {
    /// A link of a page or redirect of the backend.
    pub fn rewrite(&self, link: &str) -> String {
        let Some((scheme, host, path, rest)) = parts(link) else { return link.to_owned() };
        let elsewhere = !host.is_empty() && host != self.backend && host != self.asked;
        if elsewhere || !path.starts_with('/') {
            return link.to_owned();
        }
        // The backend's own address is of no use to the caller; the name that was asked for is.
        let start = if host.is_empty() || host != self.asked { String::new() } else { format!("{scheme}//{host}") };
        if path.starts_with(self.prefix.as_str()) {
            return format!("{start}{path}{rest}");
        }
        format!("{start}{}{rest}", joined(&self.prefix, path))
    }
}

/// Scheme with its colon, host, path and the rest; `None` for what has no path, like `mailto:`.
fn parts(link: &str) -> Option<(&str, &str, &str, &str)> {
    let end_of_scheme = link.find(':').filter(|at| {
        let scheme = &link[..*at];
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
    });
    let (scheme, after) = end_of_scheme.map_or(("", link), |at| link.split_at(at + 1));
    let (host, after) = match after.strip_prefix("//") {
        Some(after) => after.split_at(after.find(['/', '?', '#']).unwrap_or(after.len())),
        None if scheme.is_empty() => ("", after),
        None => return None,
    };
    let (path, rest) = after.split_at(after.find(['?', '#']).unwrap_or(after.len()));
    Some((scheme, host, path, rest))
}

/// Two paths as one, without empty, `.` and `..` parts; a slash at the end stays.
fn joined(prefix: &str, path: &str) -> String {
    let mut all: Vec<&str> = Vec::new();
    for part in prefix.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(all.pop()),
            part => all.push(part),
        }
    }
    let mut whole: String = all.iter().flat_map(|part| ["/", part]).collect();
    if path.ends_with('/') || whole.is_empty() {
        whole.push('/');
    }
    whole
}

/// A page on its way.
pub struct Html {
    links: Links,
    held: Vec<u8>,
    /// The element whose text is passing.
    text: Option<&'static str>,
}

/// What stands at a `<`.
enum Tag {
    /// Not decided yet.
    Open,
    /// Nothing of interest, up to there.
    Other(usize),
    /// A tag, up to there.
    Whole(usize),
}

impl Html {
    /// A page whose links are rewritten so.
    pub fn new(links: Links) -> Self {
        Html { links, held: Vec::new(), text: None }
    }

    /// Takes a piece; gives what is decided.
    pub fn feed(&mut self, piece: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(piece);
        let held = std::mem::take(&mut self.held);
        let mut out = Vec::with_capacity(held.len());
        let mut rest = held.as_slice();
        while let Some(at) = rest.iter().position(|byte| *byte == b'<') {
            let (before, from) = rest.split_at(at);
            out.extend_from_slice(before);
            let end = match self.look(&from[..from.len().min(LONGEST_TAG)]) {
                Tag::Open if from.len() < LONGEST_TAG => {
                    self.held = from.to_vec();
                    return out;
                }
                Tag::Whole(end) => {
                    self.tag(&from[..end], &mut out);
                    end
                }
                other => {
                    // What was looked at in vain passes at once: a page of nothing but openings is read once.
                    let end = if let Tag::Other(end) = other { end } else { LONGEST_TAG };
                    out.extend_from_slice(&from[..end]);
                    end
                }
            };
            rest = &from[end..];
        }
        out.extend_from_slice(rest);
        out
    }

    /// What is left at the end.
    pub fn finish(self) -> Vec<u8> {
        self.held
    }

    /// Looks at what begins with `<`.
    fn look(&mut self, from: &[u8]) -> Tag {
        if let Some(element) = self.text {
            let end = element.len() + 2;
            return match (from.get(1..2), from.get(2..end)) {
                (Some(b"/"), Some(name)) if name.eq_ignore_ascii_case(element.as_bytes()) => {
                    self.text = None;
                    Tag::Other(end)
                }
                (None | Some(b"/"), None) => Tag::Open,
                _ => Tag::Other(1),
            };
        }
        if from.starts_with(b"<!--") {
            let end = from.windows(3).skip(4).position(|three| three == b"-->");
            return end.map_or(Tag::Open, |at| Tag::Other(at + 4 + 3));
        }
        match from.get(1) {
            None => Tag::Open,
            Some(b'!') if from.len() < 4 => Tag::Open,
            Some(byte) if byte.is_ascii_alphabetic() => end_of_tag(from).map_or(Tag::Open, Tag::Whole),
            Some(_) => Tag::Other(1),
        }
    }

    /// Writes a tag with its links rewritten.
    fn tag(&mut self, tag: &[u8], out: &mut Vec<u8>) {
        let name_end = tag.iter().skip(1).position(|b| b.is_ascii_whitespace() || matches!(b, b'/' | b'>'));
        let name_end = name_end.map_or(tag.len(), |at| at + 1);
        let name = String::from_utf8_lossy(&tag[1..name_end]).to_ascii_lowercase();
        self.text = TEXT.into_iter().find(|text| *text == name).filter(|_| !tag.ends_with(b"/>"));
        let Some((_, wanted)) = ATTRIBUTES.iter().find(|(element, _)| *element == name) else {
            return out.extend_from_slice(tag);
        };
        out.extend_from_slice(&tag[..name_end]);
        let mut rest = &tag[name_end..];
        while let Some((before, key, middle, value, after)) = attribute(rest) {
            out.extend_from_slice(before);
            out.extend_from_slice(key);
            out.extend_from_slice(middle);
            let is_link = wanted.iter().any(|name| key.eq_ignore_ascii_case(name.as_bytes()));
            match std::str::from_utf8(value) {
                Ok(link) if is_link => out.extend_from_slice(self.links.rewrite(link).as_bytes()),
                _ => out.extend_from_slice(value),
            }
            rest = after;
        }
        out.extend_from_slice(rest);
    }
}

/// Where a tag ends: after the first `>` outside of quotes.
fn end_of_tag(tag: &[u8]) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in tag.iter().enumerate() {
        match (quote, byte) {
            (None, b'"' | b'\'') => quote = Some(*byte),
            (Some(open), byte) if open == *byte => quote = None,
            (None, b'>') => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// The next attribute with a value: what is before it, its name, up to the value, the value, the rest.
type Attribute<'a> = (&'a [u8], &'a [u8], &'a [u8], &'a [u8], &'a [u8]);

fn attribute(bytes: &[u8]) -> Option<Attribute<'_>> {
    let equals = bytes.iter().position(|byte| *byte == b'=')?;
    let is_end = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'"' | b'\'' | b'>');
    let key_end = bytes[..equals].iter().rposition(|byte| !byte.is_ascii_whitespace()).map_or(0, |at| at + 1);
    let key_start = bytes[..key_end].iter().rposition(is_end).map_or(0, |at| at + 1);
    let value_start = equals + 1 + bytes[equals + 1..].iter().position(|byte| !byte.is_ascii_whitespace())?;
    let (start, end) = match bytes[value_start] {
        quote @ (b'"' | b'\'') => {
            let start = value_start + 1;
            (start, start + bytes[start..].iter().position(|byte| *byte == quote)?)
        }
        _ => {
            let end = bytes[value_start..].iter().position(|byte| byte.is_ascii_whitespace() || *byte == b'>')?;
            (value_start, value_start + end)
        }
    };
    Some((&bytes[..key_start], &bytes[key_start..key_end], &bytes[key_end..start], &bytes[start..end], &bytes[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links() -> Links {
        Links {
            prefix: "/api/v1/namespaces/a/pods/b/proxy".into(),
            backend: "10.0.0.1:80".into(),
            asked: "host:6443".into(),
        }
    }

    #[track_caller]
    fn check(link: &str, expected: &str) {
        let whole = |text: &str| text.replace('^', "/api/v1/namespaces/a/pods/b/proxy");
        assert_eq!(links().rewrite(&whole(link)), whole(expected), "{link}");
    }

    #[test]
    fn links_of_the_backend_lead_through_the_proxy() {
        check("/x", "^/x");
        check("/x/?q=/y#z", "^/x/?q=/y#z");
        check("/", "^/");
        check("/a/../b//c", "^/b/c");
        check("http://10.0.0.1:80/x", "^/x");
        check("//10.0.0.1:80/x", "^/x");
        check("https://host:6443/x", "https://host:6443^/x");
        check("^/x", "^/x");
    }

    #[test]
    fn other_links_stay() {
        for link in
            ["x", "../x", "?q", "#z", "", "mailto:a@b", "data:text/plain,/x", "https://example.org/x", "//e.org"]
        {
            check(link, link);
        }
    }

    #[track_caller]
    fn page(text: &str, expected: &str) {
        [1, 3, 1000].into_iter().for_each(|size| page_of(size, text, expected));
    }

    #[track_caller]
    fn page_of(size: usize, text: &str, expected: &str) {
        let expected = expected.replace('^', "/api/v1/namespaces/a/pods/b/proxy");
        let mut html = Html::new(links());
        let mut out = Vec::new();
        text.as_bytes().chunks(size).for_each(|piece| out.extend(html.feed(piece)));
        out.extend(html.finish());
        assert_eq!(String::from_utf8(out).unwrap(), expected, "in pieces of {size}");
    }

    #[test]
    fn links_in_pages_are_rewritten_and_nothing_else() {
        page("<a href=\"/x\">/y</a>", "<a href=\"^/x\">/y</a>");
        page("<A class='c' HREF = '/x' id=1>", "<A class='c' HREF = '^/x' id=1>");
        page("<img src=/x alt=/y><br/>", "<img src=^/x alt=/y><br/>");
        page("<p href=\"/x\">", "<p href=\"/x\">");
        page(
            "<script src=\"/s\">if (a < b) x = '<a href=\"/x\">';</script><a href=/z>",
            "<script src=\"^/s\">if (a < b) x = '<a href=\"/x\">';</script><a href=^/z>",
        );
        page("<!-- <a href=\"/x\"> --><a href=\"/y\">", "<!-- <a href=\"/x\"> --><a href=\"^/y\">");
        page("1 < 2 <a title=\"a>b\" href=\"/x\">", "1 < 2 <a title=\"a>b\" href=\"^/x\">");
        page(
            "<!DOCTYPE html><html><form action=\"/f?a=1&amp;b=2\">",
            "<!DOCTYPE html><html><form action=\"^/f?a=1&amp;b=2\">",
        );
        page("cut <a href=\"/x", "cut <a href=\"/x");
    }

    /// A tag that does not end is passed over as a whole, not looked at again from each of its bytes.
    #[test]
    fn what_does_not_end_passes_as_it_is() {
        let open = "<a b='".repeat(LONGEST_TAG / 6 + 1);
        let begun = &open[..LONGEST_TAG];
        page_of(1 << 14, &format!("{begun}<a href=/x>"), &format!("{begun}<a href=^/x>"));
        page_of(1 << 20, &format!("{begun}<a href=/x>"), &format!("{begun}<a href=^/x>"));
    }

    #[test]
    fn pages_of_noise_pass() {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..2000 {
            let noise: Vec<u8> = (0..200)
                .map(|_| {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    b"<>a= '\"/!-hrefscript\xff"[random as usize % 21]
                })
                .collect();
            let mut html = Html::new(links());
            let mut out = html.feed(&noise[..100]);
            out.extend(html.feed(&noise[100..]));
            out.extend(html.finish());
            assert!(out.len() >= noise.len());
        }
    }
}
