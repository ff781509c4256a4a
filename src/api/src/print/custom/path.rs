//! The JSON paths of printer columns, selectable fields and scale subresources.
//!
//! In: `.a.b[0]['c'][*]`, `.list[?(@.type=="Ready")].status`, with or without braces. Out: [`Path`], which finds
//! values. No functions, slices, unions or recursion.

use serde_json::Value;

/// A parsed path.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    Index(i64),
    Every,
    /// Elements whose value at the fields equals this.
    Where(Vec<String>, bool, Value),
}

/// Why a text is no path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PathError(String);

/// Longest path: nobody writes more.
const MOST: usize = 1024;

impl Path {
    /// Reads a path.
    pub fn parse(text: &str) -> Result<Path, PathError> {
        let fault = |what: &str| Err(PathError(format!("{what}: {text}")));
        if text.len() > MOST {
            return Err(PathError("the path is too long".to_string()));
        }
        let inner = text.trim();
        let inner = inner.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(inner);
        let mut rest = inner.strip_prefix('$').unwrap_or(inner);
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('.') {
                let end = field_end(after);
                let name = &after[..end];
                match name {
                    "" if after.starts_with('[') => {}
                    "" => return fault("unexpected end of field"),
                    "*" => steps.push(Step::Every),
                    name => steps.push(Step::Field(name.replace("\\.", "."))),
                }
                rest = &after[end..];
            } else if let Some(after) = rest.strip_prefix('[') {
                let Some(end) = bracket_end(after) else { return fault("unterminated array") };
                match bracket(&after[..end]) {
                    Some(step) => steps.push(step),
                    None => return fault("invalid array index"),
                }
                rest = &after[end + 1..];
            } else {
                return fault("unrecognized character");
            }
        }
        Ok(Path { steps })
    }

    /// All values at the path.
    pub fn find<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        let mut found = vec![value];
        for step in &self.steps {
            found = found.into_iter().flat_map(|value| step.from(value)).collect();
        }
        found
    }
}

impl Step {
    fn from<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        match (self, value) {
            (Step::Field(name), _) => value.get(name).into_iter().collect(),
            (Step::Index(index), Value::Array(list)) => {
                let at = if *index < 0 { index.checked_add(list.len() as i64) } else { Some(*index) };
                at.and_then(|i| list.get(usize::try_from(i).ok()?)).into_iter().collect()
            }
            (Step::Every, Value::Array(list)) => list.iter().collect(),
            (Step::Every, Value::Object(map)) => map.values().collect(),
            (Step::Where(fields, equal, wanted), Value::Array(list)) => {
                let holds = |element: &&Value| {
                    let found = fields.iter().try_fold(*element, |v, key| v.get(key));
                    found.is_some_and(|v| (v == wanted) == *equal)
                };
                list.iter().filter(holds).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// Where a field's name ends; a dot after a backslash belongs to it.
fn field_end(text: &str) -> usize {
    let mut escaped = false;
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '.' | '[' => return i,
            _ => {}
        }
    }
    text.len()
}

/// Where the bracket closes; brackets within quotes do not count.
fn bracket_end(text: &str) -> Option<usize> {
    let mut quote = None;
    for (i, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, ']') => return Some(i),
            _ => {}
        }
    }
    None
}

fn bracket(text: &str) -> Option<Step> {
    let text = text.trim();
    if text == "*" {
        return Some(Step::Every);
    }
    if let Some(name) = quoted(text) {
        return Some(Step::Field(name.to_string()));
    }
    if let Some(filter) = text.strip_prefix("?(").and_then(|t| t.strip_suffix(')')) {
        let (left, equal, right) = match (filter.split_once("=="), filter.split_once("!=")) {
            (Some((l, r)), _) => (l, true, r),
            (None, Some((l, r))) => (l, false, r),
            (None, None) => return None,
        };
        let fields = left.trim().strip_prefix("@.")?.split('.').map(str::to_string).collect();
        let right = right.trim();
        let wanted = match quoted(right) {
            Some(text) => Value::from(text),
            None => serde_json::from_str(right).ok()?,
        };
        return Some(Step::Where(fields, equal, wanted));
    }
    text.parse().ok().map(Step::Index)
}

fn quoted(text: &str) -> Option<&str> {
    ['\'', '"'].iter().find_map(|q| text.strip_prefix(*q)?.strip_suffix(*q))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[track_caller]
    fn check(path: &str, expected: Value) {
        let object = json!({"a": {"b": [{"n": 1, "t": "x"}, {"n": 2, "t": "y"}], "c.d": 3}});
        assert_eq!(json!(Path::parse(path).unwrap().find(&object)), expected, "{path}");
    }

    #[test]
    fn steps() {
        check(".a.b[0].n", json!([1]));
        check("{.a.b[-1].n}", json!([2]));
        check("$.a.b[*].n", json!([1, 2]));
        check(".a['c.d']", json!([3]));
        check(".a.c\\.d", json!([3]));
        check(".a.b[?(@.t==\"y\")].n", json!([2]));
        check(".a.b[?(@.n!=1)].t", json!(["y"]));
        check(".a.x.y", json!([]));
        check("", json!([{"a": {"b": [{"n": 1, "t": "x"}, {"n": 2, "t": "y"}], "c.d": 3}}]));
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in ["a", ".a[", ".a[x]", "..a", ".a.", ".a[?(@.x)]"] {
            assert!(Path::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in ".*", near in "[.a\\['\"?(@=)*0-9\\\\\\]]{0,30}") {
            for path in [text, near] {
                let _ = Path::parse(&path).map(|p| p.find(&json!({"a": [1]})).len());
            }
        }
    }
}
