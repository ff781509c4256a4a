//! Fuzz targets: one plain function for each thing that parses input of unknown origin.
//!
//! In: any bytes. Out: nothing, or a panic that says which promise was broken: not only "no panic", but that what was
//! read can be written and read again, that a patch applied twice is a patch applied once, that costs stay below limits.
//! Never touches files, clock or network: the same bytes do the same everywhere.
//!
//! [`TARGETS`] names them. Each has a corpus under `tests/fuzz/corpus/NAME`, every file of which is a test: `cargo test`
//! runs it and seeded mutations of it (`tests/replay.rs`); `cargo xtask fuzz` lets coverage guide the mutations (`guided.rs`).

pub mod corpus;
pub mod lines;
pub mod mutate;
mod words;

mod asked;
mod bodies;
mod expressions;
mod patches;
mod schemas;
mod texts;

/// What a target's input looks like, which says how it is mutated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Bytes without a form that mutations could keep.
    Bytes,
    /// Text in which words matter.
    Text,
    /// Lines of JSON: mostly they stay that.
    Json,
}

/// One thing that parses.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, and that of its corpus.
    pub name: &'static str,
    /// What it holds.
    pub what: &'static str,
    /// Runs it on an input.
    pub run: fn(&[u8]),
    /// How inputs are mutated.
    pub shape: Shape,
    /// Words that matter to it, as `words.rs` reads them.
    words: &'static str,
}

/// The target of that name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Hands every target to a macro: name, shape, file of words, function, what it holds.
#[macro_export]
macro_rules! for_each_target {
    ($then:ident) => {
        $then! {
            json: Json, "json", bodies::json, "JSON bodies: limits hold, and it reads what the plain reader reads";
            yaml: Text, "yaml", bodies::yaml, "YAML streams: limits hold, and what is written as YAML is read as the same";
            protobuf: Bytes, "protobuf", bodies::protobuf, "enveloped objects: read, written and read again they are the same";
            protobuf_message: Bytes, "none", bodies::protobuf_message, "bare messages of every kind: read, written and read again they are the same";
            request_body: Json, "objects", bodies::request_body, "objects of every kind from schema check to validation: once accepted, always accepted";

            json_patch: Json, "objects", patches::json, "JSON patches: bounded growth, and what was added is found";
            merge_patch: Json, "objects", patches::merge, "merge patches: twice is once";
            strategic_merge: Json, "objects", patches::strategic, "strategic merge patches of built-in kinds: results fit their schema when their parts did";
            apply: Json, "objects", patches::apply, "server-side apply on built-in kinds: twice is once, force leaves no conflict";
            managed_fields: Json, "managed_fields", patches::managed_fields, "FieldsV1 of others: what was read is written in one form";

            definition: Json, "schemas", schemas::definition, "CustomResourceDefinitions: what validation accepts compiles";
            custom_object: Json, "schemas", schemas::object, "custom objects under any schema: pruned, defaulted and applied twice is once";

            label_selector: Text, "selectors", texts::label_selector, "label selectors: their text reads as themselves";
            field_selector: Text, "selectors", texts::field_selector, "field selectors: their text reads as themselves";
            quantity: Text, "quantities", texts::quantity, "quantities: canonical text is canonical, sums do not depend on order";
            json_path: Text, "paths", texts::json_path, "paths of printer columns and selectable fields";
            names: Text, "names", texts::names, "names, addresses, ranges: the stricter form implies the looser one";
            cron: Text, "cron", texts::cron, "schedules of CronJobs: minutes that are meant exist";
            times: Text, "times", texts::times, "times and durations: written and read they are the same";
            pattern: Text, "patterns", texts::pattern, "patterns of schemas compile within their bound";

            cel: Text, "cel", expressions::run, "CEL: parse, check, estimate and run within the cost limit";

            query: Text, "query", kedge_apiserver::fuzz::query, "query strings and the options in them";
            request_path: Text, "request_path", kedge_apiserver::fuzz::request_path, "paths of requests: what they name";
            media_types: Text, "media_types", kedge_apiserver::fuzz::media_types, "Accept and Content-Type";
            continue_token: Text, "continue_token", kedge_apiserver::fuzz::continue_token, "continue tokens: read and written they are the same, and stay inside of their list";
            token: Json, "tokens", kedge_apiserver::fuzz::token, "tokens of accounts and issuers: only what was signed is believed";
            certificate_request: Bytes, "none", kedge_apiserver::fuzz::certificate_request, "certificate requests as DER and PEM";
            der: Bytes, "none", kedge_apiserver::fuzz::der, "DER elements: together they are the whole";
            client_certificate: Bytes, "none", kedge_apiserver::fuzz::client_certificate, "certificates of clients: only what our authority signed is believed, as it was written";
            backup: Bytes, "backup", kedge_apiserver::fuzz::backup, "archives of backups: what is taken is whole, and no larger than it says";
            request_text: Text, "none", asked::request, "certificate requests as edgectl describes them: no control character is shown";
            spdy: Bytes, "none", kedge_apiserver::fuzz::spdy, "SPDY frames: the pieces in which they come do not matter";
            websocket: Bytes, "websocket", kedge_apiserver::fuzz::websocket, "WebSocket messages and the channels in them";
            html: Text, "html", kedge_apiserver::fuzz::html, "pages of proxied servers: the pieces in which they come do not matter";
            aggregated: Json, "aggregated", kedge_apiserver::fuzz::aggregated, "documents of aggregated servers among ours";
            review: Json, "review", kedge_apiserver::fuzz::review, "what webhooks answer to reviews";

            image_reference: Text, "image_reference", kedge_image::fuzz::reference, "image references: their text reads as themselves";
            image_manifest: Json, "image_manifest", kedge_image::fuzz::manifest, "manifests, indexes, configurations of registries and archives";
            image_archive: Bytes, "image_archive", kedge_image::fuzz::archive, "tar entries: bounded, and written and read again they are the same";
            image_compressed: Bytes, "none", kedge_image::fuzz::compressed, "gzip and zstd streams end within what was asked for";
            registry_answer: Text, "registry_answer", kedge_image::fuzz::challenge, "challenges and credentials of registries";
            image_user: Text, "image_user", kedge_image::fuzz::user, "users of images, by their own lists";

            log_line: Text, "log_line", kedge_node::fuzz::log_line, "lines of container logs";
            downward: Json, "downward", kedge_node::fuzz::downward, "field paths of the downward API";
            expansion: Text, "expansion", kedge_node::fuzz::expansion, "$(VAR) in commands and environment";
        }
    };
}

macro_rules! table {
    ($($name:ident: $shape:ident, $words:literal, $run:path, $what:literal;)*) => {
        /// Everything that is fuzzed.
        pub const TARGETS: &[Target] = &[$(Target {
            name: stringify!($name),
            what: $what,
            run: $run,
            shape: Shape::$shape,
            words: include_str!(concat!("../words/", $words, ".txt")),
        }),*];
    };
}

for_each_target!(table);
