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
    check("8080: x\ntrue: z\n", json!({"8080": "x", "true": "z"}), &[]);
    check(
        "base: &b {x: 1, z: 2}\nown:\n  <<: *b\n  z: 3\n",
        json!({"base": {"x": 1, "z": 2}, "own": {"x": 1, "z": 3}}),
        &[],
    );
    check("", Value::Null, &[]);
    check("# nothing\n---\n", Value::Null, &[]);
    check("---\n# c\na: |\n  ---x\n  --- y\n", json!({"a": "---x\n--- y\n"}), &[]);
}

/// A word as a value of a block, of a list and of a map in braces, beside what is not ASCII.
#[track_caller]
fn means(word: &str, expected: Value) {
    let text =
        format!("é: {word}\nlist: [é, {word}]\nmap: {{a: {word}, b: &x {word}}}\nlast:\n- {word} # said\n- *x\n");
    let expected = json!({"é": expected, "list": ["é", expected], "map": {"a": expected, "b": expected},
        "last": [expected, expected]});
    for text in [text.clone(), text.replace('\n', "\r\n"), format!("\u{feff}{text}")] {
        check(&text, expected.clone(), &[]);
    }
}

#[test]
fn words_without_quotes_mean_what_they_mean_to_kubernetes() {
    for word in ["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"] {
        means(word, json!(true));
    }
    for word in ["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"] {
        means(word, json!(false));
    }
    for word in ["~", "null", "Null", "NULL"] {
        means(word, Value::Null);
    }
    for (word, number) in [
        ("685230", 685_230),
        ("+685_230", 685_230),
        ("02472256", 685_230),
        ("0o2472256", 685_230),
        ("0O17", 15),
        ("-017", -15),
        ("0x_0A_74_AE", 685_230),
        ("0X1f", 31),
        ("0b1010_0111_0100_1010_1110", 685_230),
        ("-0b101010", -42),
        ("00", 0),
        ("08", 8),
        ("-9223372036854775808", i64::MIN),
        ("-9_223_372_036_854_775_808", i64::MIN),
        ("1.0", 1),
        ("1e3", 1000),
        ("685_230e0", 685_230),
        ("-0.0", 0),
    ] {
        means(word, json!(number));
    }
    means("18_446_744_073_709_551_615", json!(u64::MAX));
    for (word, number) in [
        ("6.8523e-1", 0.68523),
        ("685_230.15", 685_230.15),
        (".5", 0.5),
        ("+.5", 0.5),
        ("-1_0.5", -10.5),
        ("18446744073709551616", 18_446_744_073_709_551_616.0),
        ("100_000_000_000_000_000_000", 1e20),
    ] {
        means(word, json!(number));
    }
    for word in [
        "yEs",
        "tRUE",
        "oN",
        "nope",
        "yes!",
        "nULL",
        "nan",
        "inf",
        "-inf",
        "0o8",
        "0b2",
        "0xg",
        "0x",
        "_1",
        "1.2.3",
        "-b_c",
        "1:30",
        "190:20:30",
        "2015-01-01",
        "2015-02-24T18:19:39Z",
        "2001-12-14 21:59:43",
        "1e400",
        "10.244.0.0/16",
        "+",
        "=",
    ] {
        means(word, json!(word));
    }
    refused("a: .inf\n", "line 1, column 4: a: .inf is no number that JSON can hold; a text needs quotes");
    refused("a: [-.INF]\n", "line 1, column 5: a[0]: -.inf is no number");
    refused("a:\n- .NaN\n", "line 2, column 3: a[0]: .nan is no number");
}

#[test]
fn what_is_quoted_is_text() {
    for word in ["yes", "n", "off", "null", "~", "0644", "0x1F", "1_000", "1e3", ".inf", "2015-01-01", "<<", ""] {
        for quoted in [format!("'{word}'"), format!("\"{word}\""), format!("!!str '{word}'"), format!("&a \"{word}\"")]
        {
            check(
                &format!("{quoted}: {quoted}\nl: [{quoted},{quoted}]\n"),
                json!({word: word, "l": [word, word]}),
                &[],
            );
        }
        check(&format!("a: |-\n  {word}\nb: >-\n  {word}\n"), json!({"a": word, "b": word}), &[]);
    }
    // What a tag calls a text, and texts of more than a word or with escapes.
    check(
        "a: !!str yes\nb: [!!str no, &x !!str 0644, !!str &y on]\nc: [*x, *y]\n",
        json!({"a": "yes", "b": ["no", "0644", "on"], "c": ["0644", "on"]}),
        &[],
    );
    check("a: yes\n  no\nb: \"\\x79es\"\nc: yes no\n", json!({"a": "yes no", "b": "yes", "c": "yes no"}), &[]);
    // Whose quotes and tags are somebody else's.
    check(
        "{\"a\":yes,'b': !!map { yes: no }, c: !!seq [ off ]}",
        json!({"a": true, "b": {"true": false}, "c": [false]}),
        &[],
    );
    check("a: |\n  !x\nyes: 1\n", json!({"a": "!x\n", "true": 1}), &[]);
}

#[test]
fn keys_are_texts_of_what_they_mean() {
    check(
        "yes: 1\nNo: 2\n0644: 3\n1_000: 4\n1.50: 5\n1e6: 6\n123456.0: 7\n1e-7: 8\n.inf: 9\n2015-01-01: 10\n",
        json!({"true": 1, "false": 2, "420": 3, "1000": 4, "1.5": 5, "1e+06": 6, "123456": 7, "1e-07": 8, ".inf": 9,
            "2015-01-01": 10}),
        &[],
    );
    check("on: 1\ntrue: 2\n", json!({"true": 2}), &["true"]);
    refused("a:\n  ~: 1\n", "line 2, column 3: a: a key cannot be null; a text needs quotes");
    // Only without quotes it is the key that merges.
    check("base: &b {x: 1}\nown: {'<<': *b}\n", json!({"base": {"x": 1}, "own": {"<<": {"x": 1}}}), &[]);
}

#[test]
fn keys_given_twice_are_told_by_path() {
    check("a: {b: 1, b: 2}\nl:\n- {m: 1, m: 1}\n", json!({"a": {"b": 2}, "l": [{"m": 1}]}), &["a.b", "l[0].m"]);
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

/// A line without end: for each word it is not read again from its begin.
#[test]
fn words_do_not_look_back_without_end() {
    let words = 200_000;
    let text = format!("[{}]", vec!["yes"; words].join(", "));
    let begun = std::time::Instant::now();
    check(&text, Value::Array(vec![json!(true); words]), &[]);
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "read again each time it takes minutes");
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
