//! Whole expressions in rows: what they come to, what is wrong with them, what they cost.
//!
//! In: texts. Out: asserts. Expected values are those of cel-go with Kubernetes' libraries.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use crate::declare::{Decl, Keep, Objects, TextFormat};
use crate::*;

fn data() -> Json {
    json!({
        "name": "web", "replicas": 3, "ratio": 2, "created": "2026-11-29T06:30:00Z", "wait": "1m30s", "port": "http",
        "labels": {"app": "web", "tier": "front"}, "tags": ["a", "b"], "a-b": "dash",
        "ports": [{"name": "http", "number": 80}, {"name": "dns", "number": 53}], "empty": [],
    })
}

fn text() -> Decl {
    Decl::text(TextFormat::Plain, None, None)
}

fn declaration() -> Decl {
    let port =
        Decl::object("selfType.ports", [("name".to_owned(), text(), true), ("number".to_owned(), Decl::INT, true)]);
    let fields = [
        ("name", text()),
        ("short", Decl::text(TextFormat::Plain, Some(10), None)),
        ("replicas", Decl::INT),
        ("ratio", Decl::DOUBLE),
        ("created", Decl::text(TextFormat::DateTime, None, None)),
        ("wait", Decl::text(TextFormat::Duration, None, None)),
        ("port", Decl::int_or_text(None)),
        ("labels", Decl::map(text(), None)),
        ("tags", Decl::list(text(), Keep::Set, Some(10))),
        ("a-b", text()),
        ("ports", Decl::list(port, Keep::Map(["name".into()].into()), None)),
        ("empty", Decl::list(text(), Keep::Atomic, None)),
        ("absent", text()),
    ];
    Decl::object("selfType", fields.map(|(name, decl)| (name.to_owned(), decl, false)))
}

struct OfSelf(Decl);

impl Sizes for OfSelf {
    fn largest(&self, path: &[Arc<str>]) -> Option<u64> {
        self.0.max_at(&path[1..])
    }
}

fn compile(text: &str, of: Type) -> Result<Checked, Issues> {
    Checked::compile(text, &[("self", of), ("object", Type::Dyn)], &Objects::of(&declaration()))
}

/// What the expression comes to, as JSON, or its fault.
fn run(text: &str) -> String {
    let (decl, json) = (declaration(), data());
    let program = match compile(text, decl.of()) {
        Ok(checked) => checked.into_program(),
        Err(issues) => return issues.all()[0].text.clone(),
    };
    let value = Value::of(&json, Some(&decl)).expect("data of the declaration");
    let ran =
        program.run(&[("self", value), ("object", Value::of(&json, None).expect("data"))], Limits::cost(COST_PER_CALL));
    match ran.value.and_then(|value| value.to_json()) {
        Ok(json) => json.to_string(),
        Err(fault) => fault.to_string(),
    }
}

#[track_caller]
fn check(text: &str, wanted: &str) {
    assert_eq!(run(text), wanted, "{text}");
}

#[track_caller]
fn holds(text: &str) {
    check(text, "true");
}

#[test]
fn operators() {
    check("1 + 2 * 3 - -4 % 3", "8");
    check("7 / 2", "3");
    check("1u + 2u", "3");
    check("1.5 * 2.0", "3.0");
    check("'a' + \"b\"", "\"ab\"");
    check("[1] + [2]", "[1,2]");
    check("1 / 0", "division by zero");
    check("9223372036854775807 + 1", "integer overflow");
    check("0u - 1u", "unsigned integer overflow");
    holds("1 < 2u && 2.5 > 2 && 1.0 == dyn(1)");
    holds("'a' < 'b' && b'a' < b'b' && !false");
    holds("true || 1 / 0 == 1");
    holds("1 / 0 == 1 || true");
    check("false || 1 / 0 == 1", "division by zero");
    check("true ? 1 : 2", "1");
    holds("2 in [1, 2] && 'a' in {'a': 1} && !('b' in self.labels)");
    holds("size('äb') == 2 && [1, 2].size() == 2 && {1: 2}.size() == 1");
    holds("type(1) == int && type(self.labels) == map && type('') != type(1)");
    check("{'a': 1}['b']", "no such key: b");
    check("[1][1]", "index out of bounds: 1");
    check("{1: 'a', 1: 'b'}", "Failed with repeated key: 1");
    check("dyn('a') + dyn(1)", "no such overload");
}

#[test]
fn zones_have_names_where_somebody_knows_them() {
    crate::look_up_zones(|name, at| (name == "Test/Summer" && at > 0).then_some(7200));
    let noon = "timestamp('2026-07-01T23:30:00Z')";
    holds(&format!("{noon}.getHours('Test/Summer') == 1 && {noon}.getDate('Test/Summer') == 2"));
    holds(&format!("{noon}.getHours('-01:00') == 22 && {noon}.getHours('UTC') == 23"));
    check(&format!("{noon}.getHours('No/Where')"), "unknown time zone No/Where");
}

#[test]
fn declared_and_plain_data() {
    holds("self.name == 'web' && self.replicas > 2 && self.ratio == 2.0");
    holds("self.created > timestamp('2026-01-01T00:00:00Z') && self.created.getHours() == 6");
    holds("self.wait == duration('90s') && self.wait.getSeconds() == 90");
    holds("self.a__dash__b == 'dash' && self.port == 'http'");
    holds("has(self.name) && !has(self.absent) && has(self.labels.app) && !has(self.labels.other)");
    check("self.absent", "no such key: absent");
    check("self.missing", "undefined field 'missing'");
    check("object.missing", "no such key: missing");
    holds("object.ports[0].number == 80 && object.replicas == 3");
    check("self.name + 1", "found no matching overload for '_+_' applied to '(string, int)'");
    check("self.name.startsWith(1)", "found no matching overload for 'startsWith' applied to 'string.(int)'");
    check("other", "undeclared reference to 'other' (in container '')");
    check("nothing(1)", "undeclared reference to 'nothing' (in container '')");
    check("self.name.x", "type 'string' does not support field selection");
    check("[1, 'a']", "expected type 'int' but found 'string'");
    check(
        "self.replicas.all(x, true)",
        "expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)",
    );
    holds("self.tags == ['b', 'a'] == false && self.tags + ['b', 'c'] == ['a', 'b', 'c']");
    holds("self == self && self.ports == self.ports");
}

#[test]
fn macros() {
    holds("self.ports.all(p, p.number < 100) && self.ports.exists(p, p.name == 'dns')");
    holds("self.ports.exists_one(p, p.number == 53) && self.labels.all(k, k.size() > 2)");
    check("self.ports.map(p, p.name)", "[\"http\",\"dns\"]");
    check("self.ports.map(p, p.number > 60, p.number)", "[80]");
    check("[1, 2, 3].filter(x, x % 2 == 1)", "[1,3]");
    holds("[1, 0].exists(x, 1 / x == 1) && !['a'].all(x, x == 'b')");
    check("[0, 0].exists(x, 1 / x == 1)", "division by zero");
    check("[0].map(x, 1 / x)", "division by zero");
    check("[3, 4].transformList(i, v, v * i)", "[0,4]");
    check("self.labels.transformMap(k, v, k + v)", "{\"app\":\"appweb\",\"tier\":\"tierfront\"}");
    check("self.labels.transformMap(k, v, k == 'app', v)", "{\"app\":\"web\"}");
    check("self.labels.transformMapEntry(k, v, {v: k})", "{\"front\":\"tier\",\"web\":\"app\"}");
    check("[1, 2].transformMapEntry(i, v, {'a': i})", "insert failed: key a already exists");
    holds("self.labels.exists(k, v, v == 'front') && [5].all(i, v, i == 0 && v == 5)");
    check("[3, 1, 2].sortBy(x, -x)", "[3,2,1]");
    check("[1].all(x, x, true)", "duplicate variable name: x");
    check("[[1, 2], [3]].map(l, l.map(x, x + 1))", "[[2,3],[4]]");
}

#[test]
fn optionals() {
    check("object.?missing.orValue('x')", "\"x\"");
    check("object.?labels.?app.orValue('x')", "\"web\"");
    check("object.?labels.app", "\"web\"");
    check("object.labels[?'none'].or(optional.of('y')).value()", "\"y\"");
    check("[1][?5].orValue(7)", "7");
    check("object.?replicas.optMap(r, r + 1).value()", "4");
    check("object.?none.optFlatMap(r, optional.of(r)).hasValue()", "false");
    check("[?optional.none(), ?optional.of(1)]", "[1]");
    check("{?'a': optional.of(1), ?'b': optional.none()}", "{\"a\":1}");
    check("optional.none().value()", "optional.none() dereference");
    holds(
        "[1, 2].first().value() == 1 && [1, 2].last().value() == 2 && optional.ofNonZeroValue('') == optional.none()",
    );
    check("[optional.of(1), optional.none()].unwrapOpt()", "[1]");
}

#[test]
fn strings_and_conversions() {
    check("'tacocat'.charAt(3)", "\"o\"");
    check("'hello mellow'.indexOf('ello', 2)", "7");
    check("'hello mellow'.lastIndexOf('ello')", "7");
    check("'hello mellow'.lastIndexOf('ello', 6)", "1");
    check("['hello', 'mellow'].join(' ')", "\"hello mellow\"");
    check("'hello hello'.replace('he', 'we', 1)", "\"wello hello\"");
    check("'a b c'.split(' ', 2)", "[\"a\",\"b c\"]");
    check("'äbc'.split('')", "[\"ä\",\"b\",\"c\"]");
    check("'tacocat'.substring(0, 4)", "\"taco\"");
    check("'abc'.substring(4)", "index out of range: 4");
    check("' a '.trim() + 'Ab'.lowerAscii() + 'Ab'.upperAscii()", "\"aabAB\"");
    check("strings.quote('a\"b\\n')", r#""\"a\\\"b\\n\"""#);
    check(
        "'%s is %d, %.2f, %x, %b, %s'.format([dyn('a'), 1, 1234.5, 255, 5, [dyn(1), 'b']])",
        r#""a is 1, 1,234.50, ff, 101, [1, \"b\"]""#,
    );
    check(
        "'%d'.format(['a'])",
        "error during formatting: decimal clause can only be used on integers, was given string",
    );
    check("int('12') + int(3.9) + int(2u)", "17");
    check("string(1.0) + string(2u) + string(true) + string(duration('1m'))", "\"12true60s\"");
    check("int('x')", "type conversion error from 'string' to 'int'");
    check("string(timestamp('2026-11-29T06:30:00.5+01:00'))", "\"2026-11-29T05:30:00.5Z\"");
    check("timestamp('2026-11-29T00:00:00Z').getDayOfWeek() + timestamp('2026-03-01T00:00:00Z').getDayOfYear()", "59");
    check("timestamp('2026-11-29T23:30:00Z').getDate('+01:00')", "30");
    check("timestamp('x')", "invalid timestamp argument");
    check("duration('x')", "invalid duration argument");
    check("'a'.matches('(')", "invalid matches argument");
    check("'a'.matches('(' + '')", "error parsing regexp: unclosed group: `(`");
    holds("'abc'.matches('^a.c$') && matches('x', 'x') && b'ab' == bytes('ab') && double('1.5') == 1.5");
}

#[test]
fn libraries_of_kubernetes() {
    holds("[duration('1s')].filter(d, false).sum() == duration('0s') && [1u].filter(n, false).sum() == 0u");
    holds("[1, 2, 2].isSorted() && [1, 2].sum() == 3 && [3, 1].max() == 3 && ['b', 'a'].min() == 'a'");
    check("[].max() == 1", "max called on empty list");
    holds("[1, 2, 1].indexOf(1) == 0 && [1, 2, 1].lastIndexOf(1) == 2 && [1, 2].indexOf(5) == -1");
    check("[[1], [2, 3]].flatten()", "[1,2,3]");
    check("[3, 1, 2, 1].distinct().sort()", "[1,2,3]");
    check("[1, 2, 3].slice(1, 3) + lists.range(2).reverse()", "[2,3,1,0]");
    check("[1].slice(0, 2)", "cannot slice(0, 2), list is length 1");
    holds("sets.contains([1, 2], [2]) && sets.equivalent([1, 1], [1]) && !sets.intersects([1], [2])");
    check("'abc 123 x 9'.find('[0-9]+') + 'a1b22'.findAll('[0-9]+').join(',')", "\"1231,22\"");
    holds("url('https://u@example.com:80/a%20b?q=1&q=2').getHost() == 'example.com:80'");
    holds("url('https://[::1]:80/x').getHostname() == '::1' && url('https://[::1]:80/x').getPort() == '80'");
    holds("url('https://e.com/a?q=1&q=2').getQuery() == {'q': ['1', '2']} && isURL('/path') && !isURL('a b')");
    holds("ip('::1').family() == 6 && ip('127.0.0.1').isLoopback() && !isIP('1.2.3') && ip.isCanonical('::1')");
    holds("cidr('10.0.0.0/8').containsIP('10.1.2.3') && cidr('10.0.0.0/8').containsCIDR(cidr('10.1.0.0/16'))");
    holds("cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8') && string(cidr('10.0.0.0/8').ip()) == '10.0.0.0'");
    holds("quantity('1Gi').isGreaterThan(quantity('1G')) && quantity('1500m').add(1).compareTo(quantity('2.5')) == 0");
    holds(
        "quantity('1k').asInteger() == 1000 && !quantity('1m').isInteger() && !isQuantity('x') && quantity('50k') == quantity('50000')",
    );
    holds(
        "semver('1.2.3').isLessThan(semver('1.10.0')) && isSemver('v1', true) && !isSemver('v1') && semver('1.0.0-a').compareTo(semver('1.0.0')) == -1",
    );
    holds("!format.named('dns1123Label').value().validate('web').hasValue()");
    holds(
        "format.named('dns1123Label').value().validate('A').value()[0].startsWith('a lowercase RFC 1123 label must')",
    );
    holds("!format.named('none').hasValue() && jsonpatch.escapeKey('a/b~c') == 'a~1b~0c'");
    holds("!format.dns1123Label().validate('web').hasValue() && '%e'.format([3.14]) == '3.140000×10⁰⁰'");
    holds(
        "'%d %s'.format([1, 'abc']) == '1 abc' && optional.ofNonZeroValue(timestamp('0001-01-01T00:00:00Z')) == optional.none()",
    );
    check("cel.bind(1, 1, 1)", "undeclared reference to 'cel' (in container '')");
}

#[test]
fn what_costs_too_much_ends() {
    let limit = "operation cancelled: actual cost limit exceeded";
    check("lists.range(1000).all(x, lists.range(1000).all(y, x + y >= 0))", limit);
    check("lists.range(10000000).size() == 0", limit);
    check("lists.range(200000).map(x, x).size() > 0 || true", limit);
    check("'a'.replace('', lists.range(1000).map(x, 'aaaaaaaaaa').join('')).size() > 5", "true");
}

#[test]
fn the_deepest_trees_fit_a_stack() {
    check(&vec!["1"; 250].join("+"), "250");
    check(&format!("{}1{}", "[".repeat(75), "]".repeat(75)), &format!("{}1{}", "[".repeat(75), "]".repeat(75)));
    let nested = format!("{}1{}.size()", "[1].map(x, ".repeat(50), ")".repeat(50));
    check(&nested, "1");
    check(&format!("{}1{}", "true ? (".repeat(70), ") : 2".repeat(70)), "1");
}

#[track_caller]
fn costs(text: &str, min: u64, max: u64) {
    let decl = declaration();
    let checked = compile(text, decl.of()).unwrap_or_else(|issues| panic!("{issues}"));
    assert_eq!(checked.estimate(&OfSelf(decl)), Estimate { min, max }, "{text}");
    let (decl, json) = (declaration(), data());
    let value = Value::of(&json, Some(&decl)).expect("data of the declaration");
    let ran = checked.into_program().run(&[("self", value)], Limits::cost(COST_PER_CALL));
    assert!(ran.cost <= max, "{text} cost {}", ran.cost);
}

#[test]
fn estimates_are_those_of_kubernetes() {
    let most = 3 * 1024 * 1024 - 2;
    costs("true", 0, 0);
    costs("self.replicas > 1", 3, 3);
    costs("has(self.name)", 1, 1);
    costs("self.short == 'abc'", 3, 3);
    // 2 for the field, and a tenth of the 40 bytes that ten characters may take.
    costs("self.short.startsWith(self.short)", 4, 8);
    costs("self.name.contains('abc')", 2, 2 + 314_573);
    costs("self.tags.all(t, t.size() < 5)", 3, 3 + 10 * 6);
    costs("self.labels.all(k, k == 'a')", 3, 3 + (most / 8) * 4);
    costs("[1, 2].map(x, x * 2)", 10 + 10 + 2 * 14 + 1, 10 + 10 + 2 * 14 + 1);
    costs("self.ports.map(p, p.name).size() > 0", 2 + 10 + 1 + 1 + 1, 15 + (most / 24) * 14);
    costs("1 == 1 && 2 == 2", 1, 2);
    costs("self.tags.join(',')", 2, 2 + (10 * most + 9).div_ceil(10));
    costs("self.short.matches('^[a-z]+$')", 2 + 2, 2 + 5 * 2);
    costs("quantity(self.short).isLessThan(quantity('1'))", 2 + 1 + 1, 2 + 4 + 1 + 1);
}

#[test]
fn faults_are_shown_with_their_place() {
    let issues = compile("self.replicas\n  .nothing", declaration().of()).expect_err("it has none");
    assert_eq!(
        issues.to_string(),
        "ERROR: <input>:2:3: type 'int' does not support field selection\n |   .nothing\n | ..^"
    );
}

#[derive(Debug)]
struct OnlyGets;

impl Authorizer for OnlyGets {
    fn decide(&self, account: Option<&Account>, question: &Question<'_>) -> Decision {
        let allowed = match question {
            Question::Resource { verb, resource } => *verb == "get" && resource.resource == "pods" && account.is_none(),
            Question::Path { path, .. } => *path == "/healthz",
        };
        Decision { allowed, reason: "because".to_owned(), error: String::new() }
    }
}

#[test]
fn an_authorizer_is_asked() {
    for (text, wanted) in [
        ("authorizer.group('').resource('pods').namespace('a').check('get').allowed()", true),
        ("authorizer.group('').resource('pods').check('delete').allowed()", false),
        ("authorizer.serviceAccount('a', 'b').group('').resource('pods').check('get').allowed()", false),
        ("authorizer.path('/healthz').check('get').reason() == 'because'", true),
        ("authorizer.requestResource.check('get').allowed()", true),
    ] {
        let types = [
            ("authorizer", Type::object("kubernetes.authorization.Authorizer")),
            ("authorizer.requestResource", Type::object("kubernetes.authorization.ResourceCheck")),
        ];
        let program = Checked::compile(text, &types, &NoTypes).unwrap_or_else(|e| panic!("{e}")).into_program();
        let pods = Resource { resource: "pods".to_owned(), ..Resource::default() };
        let variables = [
            ("authorizer", Value::authorizer(&OnlyGets)),
            ("authorizer.requestResource", Value::resource_check(&OnlyGets, pods)),
        ];
        let value = program.run(&variables, Limits::cost(COST_PER_CALL)).value;
        assert_eq!(value.expect("a decision").as_bool(), Some(wanted), "{text}");
    }
}

const WORDS: [&str; 44] = [
    "self",
    ".name",
    ".ports",
    ".labels",
    ".map(x, ",
    ".all(x, ",
    ".filter(k, ",
    "x",
    "k",
    ")",
    "(",
    "[",
    "]",
    "{",
    "}",
    "?",
    ":",
    ",",
    "'a'",
    "1",
    "2u",
    "1.5",
    " + ",
    " - ",
    " && ",
    " || ",
    " == ",
    " in ",
    "has(",
    ".size()",
    "object",
    "[?0]",
    ".?a",
    "optional.of(",
    ".orValue(",
    "b'a'",
    "null",
    "true",
    "-",
    "!",
    ".optMap(y, ",
    "duration('1s')",
    ".sortBy(z, ",
    " < ",
];

proptest! {
    #[test]
    fn any_text_is_survived(text in ".{0,80}") {
        run(&text);
    }

    #[test]
    fn any_words_are_survived(words in proptest::collection::vec(0..WORDS.len(), 0..25)) {
        let text: String = words.into_iter().map(|word| WORDS[word]).collect();
        run(&text);
    }
}
