//! What the client sends and what it wants back.
//!
//! In: `Accept` and `Content-Type` headers. Out: a format and a shape, or a 406 or 415.

use kedge_api::kinds::Kind;
use kedge_api::protobuf;
use kedge_api::status::Status;

/// How objects are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// `application/json`
    Json,
    /// `application/yaml`
    Yaml,
    /// `application/vnd.kubernetes.protobuf`
    Protobuf,
}

impl Format {
    /// Every media type, as a 406 or 415 lists them.
    pub const ALL: [&'static str; 3] = ["application/json", "application/yaml", protobuf::MEDIA_TYPE];

    /// Those of watches.
    pub const STREAMS: [&'static str; 2] =
        ["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"];

    fn of(kind: &str) -> Option<Format> {
        match kind {
            "application/json" | "application/*" | "*/*" => Some(Format::Json),
            "application/yaml" | "application/x-yaml" | "text/yaml" => Some(Format::Yaml),
            protobuf::MEDIA_TYPE => Some(Format::Protobuf),
            _ => None,
        }
    }
}

/// What is made of an object before it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shape {
    /// The object itself.
    Whole,
    /// Only its metadata.
    Metadata,
    /// A row of a table.
    Table,
}

/// The answer's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Accepted {
    /// How it is written.
    pub format: Format,
    /// What is made of it.
    pub shape: Shape,
}

impl Accepted {
    /// Plain JSON.
    pub const JSON: Accepted = Accepted { format: Format::Json, shape: Shape::Whole };

    /// The value of `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match (self.format, self.shape) {
            (Format::Json, Shape::Whole) => "application/json",
            (Format::Json, Shape::Metadata) => "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
            (Format::Json, Shape::Table) => "application/json;as=Table;g=meta.k8s.io;v=v1",
            (Format::Yaml, _) => "application/yaml",
            (Format::Protobuf, _) => protobuf::MEDIA_TYPE,
        }
    }
}

/// One choice of an `Accept` header.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// `type/subtype` in lower case.
    pub kind: String,
    /// Parameters but `q`.
    pub params: Vec<(String, String)>,
    quality: f32,
}

impl Choice {
    /// A parameter's value.
    pub fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }
}

/// No client offers more; the rest is not looked at.
const MAX_CHOICES: usize = 32;

/// The choices of a header, best first.
pub fn choices(accept: &str) -> Vec<Choice> {
    let mut choices: Vec<Choice> = accept
        .split(',')
        .take(MAX_CHOICES)
        .filter_map(|part| {
            let mut pieces = part.split(';').map(str::trim);
            let kind = pieces.next().filter(|k| !k.is_empty())?.to_ascii_lowercase();
            let mut choice = Choice { kind, params: Vec::new(), quality: 1.0 };
            for piece in pieces {
                let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
                let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().trim_matches('"'));
                if name == "q" {
                    choice.quality = value.parse().unwrap_or(1.0);
                } else {
                    choice.params.push((name, value.to_owned()));
                }
            }
            Some(choice)
        })
        .collect();
    choices.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    choices
}

/// The `Accept` header's text.
pub fn accept(headers: &http::HeaderMap) -> String {
    let values: Vec<&str> = headers.get_all(http::header::ACCEPT).iter().filter_map(|v| v.to_str().ok()).collect();
    values.join(",")
}

/// What an answer may be made into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// Tables and metadata. Reviews and most subresources with objects of their own give only themselves.
    pub shapes: bool,
    /// Protobuf. Custom kinds have no such form.
    pub protobuf: bool,
}

impl Offer {
    /// What objects of a kind may be made into.
    pub fn of(kind: &Kind) -> Offer {
        Offer { shapes: true, protobuf: !kind.custom }
    }

    /// Only the thing itself.
    pub const ITSELF: Offer = Offer { shapes: false, protobuf: true };
}

/// The form of an object's, a list's or a watch's answer.
pub fn negotiate(headers: &http::HeaderMap, offer: Offer) -> Result<Accepted, Status> {
    let text = accept(headers);
    if text.trim().is_empty() {
        return Ok(Accepted::JSON);
    }
    for choice in choices(&text) {
        let Some(format) = Format::of(&choice.kind) else { continue };
        let shape = match choice.param("as") {
            "" => Shape::Whole,
            _ if !offer.shapes => continue,
            _ if choice.param("g") != "meta.k8s.io" || !matches!(choice.param("v"), "v1" | "v1beta1") => continue,
            "Table" => Shape::Table,
            "PartialObjectMetadata" | "PartialObjectMetadataList" => Shape::Metadata,
            _ => continue,
        };
        // Tables have no protobuf form here; clients that want it take JSON next. Bare metadata of custom kinds has one.
        let written = match shape {
            Shape::Whole => offer.protobuf,
            Shape::Metadata => true,
            Shape::Table => false,
        };
        if format == Format::Protobuf && !written {
            continue;
        }
        return Ok(Accepted { format, shape });
    }
    Err(Status::not_acceptable(&Format::ALL))
}

/// The format of a body. No header means JSON.
pub fn body_format(headers: &http::HeaderMap) -> Result<Format, Status> {
    match content_type(headers).as_str() {
        "" => Ok(Format::Json),
        kind => {
            Format::of(kind).filter(|_| !kind.contains('*')).ok_or_else(|| Status::unsupported_media_type(&Format::ALL))
        }
    }
}

/// How a patch is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchKind {
    /// `application/json-patch+json`
    Json,
    /// `application/merge-patch+json`
    Merge,
    /// `application/strategic-merge-patch+json`
    Strategic,
    /// `application/apply-patch+yaml`
    Apply,
}

/// Every patch type, as a 415 lists them.
const PATCHES: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/apply-patch+yaml",
    "application/strategic-merge-patch+json",
];

/// The kind of a patch; custom resources have no strategic merge.
pub fn patch_kind(headers: &http::HeaderMap, custom: bool) -> Result<PatchKind, Status> {
    match content_type(headers).as_str() {
        "application/json-patch+json" => Ok(PatchKind::Json),
        "application/merge-patch+json" => Ok(PatchKind::Merge),
        "application/strategic-merge-patch+json" if !custom => Ok(PatchKind::Strategic),
        "application/apply-patch+yaml" => Ok(PatchKind::Apply),
        _ => Err(Status::unsupported_media_type(if custom { &PATCHES[..3] } else { &PATCHES })),
    }
}

/// Whether a patch is an apply.
pub fn is_apply(headers: &http::HeaderMap) -> bool {
    let said = headers.get(http::header::CONTENT_TYPE).map(http::HeaderValue::as_bytes);
    said.is_some_and(|said| said.starts_with(b"application/apply-patch+yaml"))
}

fn content_type(headers: &http::HeaderMap) -> String {
    headers
        .get(http::header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .map(|v| v.split(';').next().unwrap_or("").trim().to_ascii_lowercase())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(accept: &str, shapes: bool, expected: Option<(Format, Shape)>) {
        let mut headers = http::HeaderMap::new();
        headers.insert(http::header::ACCEPT, accept.parse().unwrap());
        let seen = negotiate(&headers, Offer { shapes, protobuf: true }).ok().map(|a| (a.format, a.shape));
        assert_eq!(seen, expected, "{accept}");
    }

    #[test]
    fn the_best_choice_that_can_be_had_is_taken() {
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        check("", true, Some((Format::Json, Shape::Whole)));
        check("*/*", true, Some((Format::Json, Shape::Whole)));
        check(kubectl, true, Some((Format::Json, Shape::Table)));
        check(kubectl, false, Some((Format::Json, Shape::Whole)));
        check(
            "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
            true,
            Some((Format::Json, Shape::Metadata)),
        );
        check("application/json;as=Table;g=other;v=v1", true, None);
        check("application/vnd.kubernetes.protobuf", true, Some((Format::Protobuf, Shape::Whole)));
        check(
            "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
            true,
            Some((Format::Protobuf, Shape::Metadata)),
        );
        check("application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1", true, None);
        check("application/vnd.kubernetes.protobuf, application/json", true, Some((Format::Protobuf, Shape::Whole)));
        check("application/json;q=0.5,application/yaml", true, Some((Format::Yaml, Shape::Whole)));
        check("text/html,*/*;q=0.8", true, Some((Format::Json, Shape::Whole)));
    }

    #[track_caller]
    fn body(content_type: &str, expected: Option<Format>) {
        let mut headers = http::HeaderMap::new();
        if !content_type.is_empty() {
            headers.insert(http::header::CONTENT_TYPE, content_type.parse().unwrap());
        }
        assert_eq!(body_format(&headers).ok(), expected, "{content_type}");
    }

    #[test]
    fn bodies_say_what_they_are() {
        body("", Some(Format::Json));
        body("application/json; charset=utf-8", Some(Format::Json));
        body("application/yaml", Some(Format::Yaml));
        body("text/plain", None);
        body("*/*", None);
    }
}
