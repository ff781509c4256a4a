//! Which objects a patch is for.
//!
//! In: the target of a patch. Out: whether an object is meant, by what it is called or was. Of regular expressions only
//! `.`, `.*`, `.+` and `|` are understood; others are refused.

use kedge_api::selector::LabelSelector;

use super::Piece;
use super::file::Target;
use crate::error::Failure;

/// A target that has been read.
pub struct Selector {
    group: Pattern,
    version: Pattern,
    kind: Pattern,
    name: Pattern,
    namespace: Pattern,
    labels: Option<LabelSelector>,
    annotations: Option<LabelSelector>,
}

impl Selector {
    /// Reads a target.
    pub fn parse(target: &Target) -> Result<Selector, Failure> {
        let selector = |text: &str| match text {
            "" => Ok(None),
            text => LabelSelector::parse(text).map(Some).map_err(|e| Failure::said(e.to_string())),
        };
        Ok(Selector {
            group: Pattern::parse(&target.group)?,
            version: Pattern::parse(&target.version)?,
            kind: Pattern::parse(&target.kind)?,
            name: Pattern::parse(&target.name)?,
            namespace: Pattern::parse(&target.namespace)?,
            labels: selector(&target.label_selector)?,
            annotations: selector(&target.annotation_selector)?,
        })
    }

    /// Whether an object is meant.
    pub fn takes(&self, piece: &Piece) -> bool {
        let (gvk, meta) = (piece.gvk(), &piece.object["metadata"]);
        let by = |selector: &Option<LabelSelector>, field: &str| {
            selector.as_ref().is_none_or(|selector| selector.matches(&meta[field]))
        };
        self.group.takes(&gvk.group)
            && self.version.takes(&gvk.version)
            && self.kind.takes(&gvk.kind)
            && piece.names().any(|(namespace, name)| self.name.takes(name) && self.namespace.takes(namespace))
            && by(&self.labels, "labels")
            && by(&self.annotations, "annotations")
    }
}

/// Words of which one must be there; nothing is any.
#[derive(Debug, PartialEq)]
struct Pattern(Vec<Vec<Step>>);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    /// This one.
    One(char),
    /// Any one.
    Any,
    /// Any number of any.
    Many,
}

impl Pattern {
    fn parse(text: &str) -> Result<Pattern, Failure> {
        if text.is_empty() {
            return Ok(Pattern(Vec::new()));
        }
        let whole = text.strip_prefix('^').unwrap_or(text);
        let whole = whole.strip_suffix('$').unwrap_or(whole);
        // A group around all of it says nothing more.
        let whole = whole.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')).unwrap_or(whole);
        whole.split('|').map(word).collect::<Option<Vec<_>>>().map(Pattern).ok_or_else(|| {
            Failure::said(format!("the pattern \"{text}\" of a target is not supported here: only ., .*, .+ and | are"))
        })
    }

    fn takes(&self, text: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|word| fits(word, text))
    }
}

fn word(text: &str) -> Option<Vec<Step>> {
    let (mut steps, mut chars) = (Vec::new(), text.chars().peekable());
    while let Some(c) = chars.next() {
        match c {
            '.' => match chars.peek() {
                Some('*') => {
                    chars.next();
                    steps.push(Step::Many);
                }
                Some('+') => {
                    chars.next();
                    steps.extend([Step::Any, Step::Many]);
                }
                _ => steps.push(Step::Any),
            },
            '\\' => steps.push(Step::One(chars.next().filter(|c| !c.is_alphanumeric())?)),
            '*' | '+' | '?' | '[' | ']' | '(' | ')' | '{' | '}' | '^' | '$' => return None,
            c => steps.push(Step::One(c)),
        }
    }
    Some(steps)
}

/// Whether a whole text is as the steps say; each letter is looked at once for each step.
fn fits(steps: &[Step], text: &str) -> bool {
    // Which steps may come next.
    let mut open = vec![false; steps.len() + 1];
    let skip = |open: &mut Vec<bool>| {
        for at in 0..steps.len() {
            if open[at] && steps[at] == Step::Many {
                open[at + 1] = true;
            }
        }
    };
    open[0] = true;
    skip(&mut open);
    for c in text.chars() {
        let mut next = vec![false; steps.len() + 1];
        for (at, step) in steps.iter().enumerate().filter(|(at, _)| open[*at]) {
            match step {
                Step::Many => next[at] = true,
                Step::Any => next[at + 1] = true,
                Step::One(wanted) => next[at + 1] |= *wanted == c,
            }
        }
        skip(&mut next);
        open = next;
    }
    open[steps.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_take_whole_names() {
        for (pattern, text, expected) in [
            ("", "x", true),
            ("web", "web", true),
            ("web", "web-1", false),
            ("web.*", "web-1", true),
            ("web.+", "web", false),
            (".*", "", true),
            ("a|b.*", "bcd", true),
            ("^(a|b)$", "a", true),
            ("w.b", "wxb", true),
            ("a\\.b", "axb", false),
            (".*a.*a.*", "banana", true),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().takes(text), expected, "{pattern} {text}");
        }
        for pattern in ["[ab]", "a?", "a(b|c)", "\\w", "a*", "a\\"] {
            assert!(Pattern::parse(pattern).is_err(), "{pattern}");
        }
    }
}
