//! Go templates, as far as they are used on command lines: `-o go-template=…`.
//!
//! In: a template such as `{{range .items}}{{.metadata.name}}{{"\n"}}{{end}}`. Out: text. Understands fields, variables,
//! pipelines, `if`, `range`, `with`, `define`, `template`, `block`, and the functions of `functions.rs`. Never runs for ever: nesting, steps and text
//! are bounded.

mod functions;
mod parse;
mod run;
mod words;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::Failure;
use parse::Node;

pub use run::go;

/// A parsed template.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    raw: String,
    nodes: Vec<Node>,
    named: BTreeMap<String, Vec<Node>>,
}

impl Template {
    /// Reads a template.
    pub fn parse(raw: &str) -> Result<Template, Failure> {
        let (nodes, named) =
            parse::parse(raw).map_err(|why| Failure::said(format!("error parsing template {raw}, {why}")))?;
        Ok(Template { raw: raw.to_owned(), nodes, named })
    }

    /// The text for a value.
    pub fn render(&self, value: &Value) -> Result<String, Failure> {
        run::run(&self.nodes, &self.named, value)
            .map_err(|why| Failure::said(format!("error executing template {:?}: template: output: {why}", self.raw)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(template: &str) -> String {
        let value = json!({"kind": "List", "items": [
            {"metadata": {"name": "a", "labels": {"x.y/z": "1", "b": "2"}}, "spec": {"n": 1, "on": true, "none": null}},
            {"metadata": {"name": "b"}, "spec": {"n": 2, "on": false}, "data": {"k": "aGk="}}],
            "empty": [], "big": 1_234_567, "huge": 1e21, "tiny": 1.5e-7, "part": 0.5, "text": "größe"});
        match Template::parse(template).and_then(|template| template.render(&value)) {
            Ok(text) => text,
            Err(failure) => failure.to_string(),
        }
    }

    #[test]
    fn templates_are_filled() {
        for (template, expected) in [
            ("plain", "plain"),
            ("{{.kind}}", "List"),
            ("{{range .items}}{{.metadata.name}}{{\"\\n\"}}{{end}}", "a\nb\n"),
            ("{{range $i, $o := .items}}{{$i}}={{$o.spec.n}} {{end}}", "0=1 1=2 "),
            ("{{range $k, $v := (index .items 0).metadata.labels}}{{$k}}:{{$v}};{{end}}", "b:2;x.y/z:1;"),
            ("{{range .empty}}x{{else}}none{{end}}", "none"),
            ("{{range .missing}}x{{else}}none{{end}}", "none"),
            ("{{range .items}}{{if .spec.on}}on{{else if eq .spec.n 2}}two{{else}}off{{end}} {{end}}", "on two "),
            ("{{with .kind}}[{{.}}]{{end}}{{with .missing}}x{{else}}y{{end}}", "[List]y"),
            ("{{range .items}}{{if eq .metadata.name \"b\"}}{{break}}{{end}}{{.metadata.name}}{{end}}", "a"),
            ("{{range .items}}{{if eq .metadata.name \"a\"}}{{continue}}{{end}}{{.metadata.name}}{{end}}", "b"),
            ("{{(index .items 0).metadata.name}}", "a"),
            ("{{index .items 1 \"metadata\" \"name\"}}", "b"),
            ("{{index (index .items 0).metadata.labels \"x.y/z\"}}", "1"),
            ("{{len .items}} {{len .kind}} {{.items | len}} {{len .text}}", "2 4 2 7"),
            ("{{printf \"%s-%d|%5s|%-3s|%q|%v|%%\" .kind 3 \"a\" \"b\" \"c\" true}}", "List-3|    a|b  |\"c\"|true|%"),
            ("{{printf \"%.2f %03d %x %t\" .part 7 255 false}}", "0.50 007 ff false"),
            ("{{.kind | printf \"%s %s\" \"a\"}}", "a List"),
            ("{{(index .items 1).data.k | base64decode}}", "hi"),
            (
                "{{eq 1 1}} {{ne \"a\" \"b\"}} {{eq .kind \"x\" \"List\"}} {{lt 1 2}} {{ge 2 3}} {{gt \"b\" \"a\"}} {{le 1 1}}",
                "true true true true false true true",
            ),
            (
                "{{and true .kind}} {{or .missing \"d\"}} {{not .missing}} {{and .missing .kind.no}}",
                "List d true <no value>",
            ),
            ("{{$x := .kind}}{{$x}}{{$x = \"y\"}}{{$x}}{{if true}}{{$x = \"z\"}}{{end}}{{$x}}", "Listyz"),
            ("{{range .items}}{{$.kind}}{{end}}", "ListList"),
            ("a  {{- .kind -}}  b", "aListb"),
            ("a {{- /* none */ -}} b{{/* more */}}c", "abc"),
            ("{{.missing}} {{.missing.deeper}} {{(index .items 0).spec.none}}", "<no value> <no value> <no value>"),
            (
                "{{.big}} {{.part}} {{(index .items 0).spec.n}} {{12345678}} {{.huge}} {{.tiny}}",
                "1234567 0.5 1 12345678 1e+21 1.5e-07",
            ),
            ("{{(index .items 0).spec}} {{.empty}}", "map[n:1 none:<nil> on:true] []"),
            ("{{`raw \\n`}} {{'a'}} {{-1}} {{true}}", "raw \\n 97 -1 true"),
            ("{{print \"a\" 1 2 \"b\"}}|{{println \"a\" 1}}", "a1 2b|a 1\n"),
            ("{{exists . \"kind\"}} {{exists . \"a\" \"b\"}}", "true false"),
            ("{{slice .kind 1 3}} {{len (slice .items 1)}}", "is 1"),
            (
                "{{html \"<a&'b'>\"}} {{js \"it's <b>\"}} {{urlquery \"a b&\" 1}}",
                "&lt;a&amp;&#39;b&#39;&gt; it\\'s \\u003Cb\\u003E a+b%261",
            ),
            ("{{range 3}}{{.}}{{end}}{{range $i := 2}}{{$i}}{{end}}{{range 0}}x{{else}}none{{end}}", "01201none"),
            ("{{printf \"%T %T %T\" .kind .big .part}}", "string int64 float64"),
            (
                "{{define \"a\"}}<{{.}}{{$}}>{{end}}{{template \"a\" .kind}}{{template \"a\"}}",
                "<ListList><<no value><no value>>",
            ),
            (
                "{{block \"b\" .kind}}[{{.}}]{{end}}{{range .items}}{{template \"b\" .metadata.name}}{{end}}",
                "[List][a][b]",
            ),
            ("{{eq .missing .kind}} {{eq .missing .missing}} {{ne .items .missing}}", "false true true"),
            ("{{if and (eq .kind \"List\") (not .missing)}}yes{{end}}", "yes"),
        ] {
            assert_eq!(said(template), expected, "{template}");
        }
    }

    #[test]
    fn broken_templates_are_refused() {
        for (template, why) in [
            ("{{.a", "unclosed action"),
            ("{{if .a}}", "unexpected EOF"),
            ("{{end}}", "unexpected {{end}}"),
            ("{{else}}", "unexpected {{else}}"),
            ("{{if}}x{{end}}", "missing value for if"),
            ("{{}}", "missing value for command"),
            ("{{nonsense .a}}", "function \"nonsense\" not defined"),
            ("{{template a}}", "a name in quotes is missing in template clause"),
            ("{{define \"a\"}}", "unexpected EOF"),
            ("{{if true}}{{define \"a\"}}{{end}}{{end}}", "unexpected {{define}}"),
            ("{{block \"a\"}}{{end}}", "missing value for block clause"),
            ("{{$x := 1}}{{define \"a\"}}{{$x}}{{end}}", "undefined variable"),
            ("{{$x}}", "undefined variable \"$x\""),
            ("{{break}}", "{{break}} outside {{range}}"),
            ("{{\"a}}", "unterminated quoted string"),
            ("{{.a | }}", "missing value for command"),
            ("{{(.a}}", "unclosed left paren"),
            ("{{.a)}}", "unexpected right paren"),
            ("{{1 2}}", "can't give argument to non-function"),
            ("{{.a ! .b}}", "unexpected"),
        ] {
            let told = said(template);
            assert!(told.starts_with("error parsing template") && told.contains(why), "{template}: {told}");
        }
        let deep = format!("{}{}", "{{if true}}".repeat(2000), "{{end}}".repeat(2000));
        assert!(said(&deep).contains("deep"));
        let deep = format!("{{{{{}1{}}}}}", "(".repeat(2000), ")".repeat(2000));
        assert!(said(&deep).contains("deep"));
    }

    #[test]
    fn mistakes_with_values_are_told() {
        for (template, why) in [
            ("{{.kind.a}}", "can't evaluate field a in type string"),
            ("{{(index .items 0).spec.none.a}}", "nil pointer evaluating interface {}.a"),
            ("{{range .kind}}{{end}}", "range can't iterate over List"),
            ("{{index .items 5}}", "index out of range: 5"),
            ("{{index .missing 5}}", "index of untyped nil"),
            ("{{len .missing}}", "len of untyped nil"),
            ("{{len 3}}", "len of type int"),
            ("{{eq .kind}}", "missing argument for comparison"),
            ("{{lt .items 1}}", "invalid type for comparison"),
            ("{{base64decode \"***\"}}", "illegal base64"),
            ("{{template \"a\"}}", "template \"a\" not defined"),
            ("{{define \"a\"}}{{template \"a\"}}{{end}}{{template \"a\"}}", "exceeded maximum template depth"),
            ("{{nil}}", "nil is not a command"),
            ("{{eq 1 1.0}}", "incompatible types for comparison"),
            ("{{eq .items .items}}", "non-comparable types []interface {}"),
            ("{{lt 1 \"a\"}}", "incompatible types for comparison"),
            ("{{range $a, $b := 3}}{{end}}", "more than one variable"),
            ("{{not}}", "wrong number of args for not"),
        ] {
            let told = said(template);
            assert!(told.starts_with("error executing template") && told.contains(why), "{template}: {told}");
        }
        // Ten to the tenth steps would take all day.
        let long: String = (0..34).fold("x".to_owned(), |inner, _| format!("{{{{range $.items}}}}{inner}{{{{end}}}}"));
        assert!(said(&long).contains("too long"));
    }
}
