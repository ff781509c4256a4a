//! Rows of text and what becomes of them.

use super::*;
use serde_json::json;

#[track_caller]
fn check(text: &str, expected: Value, duplicates: &[&str]) {
    let decoded = yaml(text.as_bytes(), &Limits::REQUEST).expect("decodes");
    assert_eq!(decoded.value, expected);
    assert_eq!(decoded.duplicates, duplicates);
}

#[track_caller]
fn refused(text: &str, expected: &str) {
    let error = yaml_documents(text.as_bytes(), &Limits::MANIFEST).expect_err("is refused");
    assert!(error.to_string().starts_with(expected), "{error}");
}

#[test]
fn yaml_is_read_as_kubernetes_users_write_it() {
    check("a: 1\nb: [x, 2.5, true, null]\n", json!({"a": 1, "b": ["x", 2.5, true, null]}), &[]);
    check("8080: x\ntrue: y\n", json!({"8080": "x", "true": "y"}), &[]);
    check(
        "base: &b {x: 1, y: 2}\nown:\n  <<: *b\n  y: 3\n",
        json!({"base": {"x": 1, "y": 2}, "own": {"x": 1, "y": 3}}),
        &[],
    );
    check("", Value::Null, &[]);
    check("# nothing\n---\n", Value::Null, &[]);
    check("---\n# c\na: |\n  ---x\n  --- y\n", json!({"a": "---x\n--- y\n"}), &[]);
}

#[test]
fn keys_given_twice_are_told_by_path() {
    check("a: {b: 1, b: 2}\nl:\n- {n: 1, n: 1}\n", json!({"a": {"b": 2}, "l": [{"n": 1}]}), &["a.b", "l[0].n"]);
    let decoded = json(br#"{"a":{"b":1,"b":2,"b":3},"a":1}"#, &Limits::REQUEST).expect("decodes");
    assert_eq!(decoded.value, json!({"a": 1}));
    assert_eq!(decoded.duplicates, ["a.b", "a"]);
}

#[test]
fn json_is_yaml_too() {
    let text = r#"{"a": 1, "b": {"c": [1.5, "yes", null]}, "n": 12345678901234567890, "a": 2}"#;
    check(text, json!({"a": 2, "b": {"c": [1.5, "yes", null]}, "n": 12345678901234567890_u64}), &["a"]);
    // What only looks like it.
    check("{a: 1, \"b\": x}", json!({"a": 1, "b": "x"}), &[]);
    check("{\"a\": 1} # said\n", json!({"a": 1}), &[]);
}

#[test]
fn json_knows_no_merge_keys() {
    let decoded = json(br#"{"data":{"<<":{"a":1},"b":2}}"#, &Limits::REQUEST).expect("decodes");
    assert_eq!(decoded.value, json!({"data": {"<<": {"a": 1}, "b": 2}}));
}

/// A long key, and below it another that is given a hundred thousand times: its path is not written out each time.
#[test]
fn paths_are_not_written_without_end() {
    let (long, twice) = ("k".repeat(1 << 20), "\"x\":1,".repeat(100_000));
    let text = format!("{{\"{long}\":{{{twice}\"x\":1}}}}");
    let begun = std::time::Instant::now();
    let decoded = json(text.as_bytes(), &Limits::REQUEST).expect("decodes");
    assert_eq!(decoded.duplicates, [format!("{long}.x")]);
    assert!(begun.elapsed() < std::time::Duration::from_secs(5), "written out each time it takes minutes");
}

#[test]
fn documents_know_their_line() {
    let text = "# head\na: 1\n---\n\n# c\nb: 2\n---\n---\nc: 3\n";
    let documents = yaml_documents(text.as_bytes(), &Limits::MANIFEST).expect("decodes");
    assert_eq!(documents.iter().map(|document| document.line).collect::<Vec<_>>(), [2, 6, 9]);
    assert_eq!(any(b" {\"a\": 1}", &Limits::MANIFEST).expect("decodes").len(), 1);
    assert!(matches!(yaml(text.as_bytes(), &Limits::REQUEST), Err(DecodeError::TooManyDocuments { limit: 1 })));
}

#[test]
fn faults_name_line_and_column() {
    refused("a: 1\nb: [1, 2\nc: 3\n", "line 3, column 2: did not find expected");
    refused("a: 1\n---\nb: {\n", "line ");
    refused("a: !tag x\n", "line ");
    refused("a: \"\u{0}\"", "line ");
    let error = json(b"{\"a\": }", &Limits::REQUEST).expect_err("is refused");
    assert_eq!(error, DecodeError::Syntax { line: 1, column: 7, message: "expected value".into() });
    assert!(json(b"{} x", &Limits::REQUEST).is_err());
    assert!(matches!(yaml(b"a: \xff", &Limits::REQUEST), Err(DecodeError::Syntax { line: 1, column: 4, .. })));
}

#[test]
fn limits_hold() {
    let tiny = Limits { bytes: 100, depth: 3, values: 10, documents: 1 };
    assert_eq!(json(&[b' '; 101], &tiny), Err(DecodeError::TooLong { limit: 100 }));
    assert!(json(b"[[[[1]]]]", &tiny).is_err());
    assert!(json(b"[[[1]]]", &tiny).is_ok());
    assert!(json(b"[1,1,1,1,1,1,1,1,1,1]", &tiny).is_err());
    let deep = "[".repeat(100_000);
    assert!(json(deep.as_bytes(), &Limits::REQUEST).is_err());
    assert!(yaml(deep.as_bytes(), &Limits::REQUEST).is_err());
    // The billion laughs.
    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..12 {
        let alias = format!("*a{}", level - 1);
        bomb += &format!("a{level}: &a{level} [{}]\n", vec![alias; 9].join(","));
    }
    assert!(yaml(bomb.as_bytes(), &Limits::REQUEST).is_err());
}
