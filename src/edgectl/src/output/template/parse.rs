//! From a template's text to its parts.
//!
//! In: text. Out: nodes. Everything that can be known without a value is refused here.

use std::collections::BTreeMap;

use super::functions;
use super::words::{Word, words};

/// Blocks and parentheses inside each other.
const DEPTH: usize = 100;
/// What trims room around an action.
const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// A part of a template.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// As it is.
    Text(String),
    /// What a pipeline gives.
    Print(Pipeline),
    /// `if`.
    If(Pipeline, Vec<Node>, Vec<Node>),
    /// `range`.
    Range(Pipeline, Vec<Node>, Vec<Node>),
    /// `with`.
    With(Pipeline, Vec<Node>, Vec<Node>),
    /// `template`: a part by its name, and what it is about.
    Template(String, Option<Pipeline>),
    /// `break`.
    Break,
    /// `continue`.
    Continue,
}

/// Commands of which each gets what the one before it gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    /// Variables that get the result.
    pub names: Vec<String>,
    /// They are there already.
    pub assigns: bool,
    /// The commands, none of them empty.
    pub commands: Vec<Vec<Argument>>,
}

/// A word of a command, and the fields after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Argument {
    /// What it starts with.
    pub head: Head,
    /// Fields of it.
    pub fields: Vec<String>,
}

/// What an argument starts with.
#[derive(Clone, Debug, PartialEq)]
pub enum Head {
    /// `.`
    Dot,
    /// A variable.
    Variable(String),
    /// A function.
    Function(String),
    /// A string.
    Text(String),
    /// A whole number.
    Int(i64),
    /// Another number.
    Float(f64),
    /// `true` or `false`.
    Bool(bool),
    /// `nil`.
    Nil,
    /// In parentheses.
    Inner(Box<Pipeline>),
}

enum Piece<'a> {
    Text(&'a str),
    Action(&'a str),
}

/// The parts of a text, and those that it defines by name.
pub type Parsed = (Vec<Node>, BTreeMap<String, Vec<Node>>);

/// Parses a template.
pub fn parse(text: &str) -> Result<Parsed, String> {
    let pieces = pieces(text)?;
    let mut parser = Parser {
        pieces: pieces.into_iter(),
        named: BTreeMap::new(),
        variables: vec![String::new()],
        ranges: 0,
        depth: 0,
    };
    match parser.block()? {
        (nodes, End::OfText) => Ok((nodes, parser.named)),
        (_, End::OfBlock) => Err("unexpected {{end}}".to_owned()),
        (_, End::Else(_)) => Err("unexpected {{else}}".to_owned()),
    }
}

/// Text and actions, room trimmed and comments left out.
fn pieces(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let (mut found, mut rest) = (Vec::new(), text);
    while let Some((before, after)) = rest.split_once("{{") {
        let trims = after.strip_prefix('-').filter(|inner| inner.starts_with(SPACE));
        let inner = trims.unwrap_or(after);
        found.push(Piece::Text(if trims.is_some() { before.trim_end_matches(SPACE) } else { before }));
        let start = inner.trim_start_matches(SPACE);
        let (action, end, after) = match start.strip_prefix("/*") {
            Some(comment) => {
                let (_, after) = comment.split_once("*/").ok_or("unclosed comment")?;
                let (room, after) = after.split_once("}}").ok_or("comment ends before closing delimiter")?;
                match room.trim_matches(SPACE) {
                    "" => ("", false, after),
                    "-" => ("", true, after),
                    _ => return Err("comment ends before closing delimiter".to_owned()),
                }
            }
            None => {
                let end = closing(inner).ok_or("unclosed action")?;
                let (action, after) = (&inner[..end], &inner[end + 2..]);
                match action.strip_suffix('-').filter(|left| left.ends_with(SPACE)) {
                    Some(left) => (left, true, after),
                    None => (action, false, after),
                }
            }
        };
        if !start.starts_with("/*") {
            found.push(Piece::Action(action));
        }
        rest = if end { after.trim_start_matches(SPACE) } else { after };
    }
    found.push(Piece::Text(rest));
    Ok(found)
}

/// Where the braces stand that close an action, quotes regarded.
fn closing(text: &str) -> Option<usize> {
    let (mut quote, mut skip) = (None, false);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            _ if std::mem::take(&mut skip) => {}
            (Some('"' | '\''), '\\') => skip = true,
            (Some(q), c) if q == c => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(c),
            (None, '}') if text[at..].starts_with("}}") => return Some(at),
            _ => {}
        }
    }
    match quote {
        // It is told when the words are read.
        Some(_) => text.find("}}"),
        None => None,
    }
}

/// How a block ended.
enum End {
    OfText,
    OfBlock,
    /// What stands after `else`.
    Else(String),
}

struct Parser<'a> {
    pieces: std::vec::IntoIter<Piece<'a>>,
    /// What was defined by name.
    named: BTreeMap<String, Vec<Node>>,
    /// Those that are known here; the first is `$`.
    variables: Vec<String>,
    ranges: usize,
    depth: usize,
}

impl Parser<'_> {
    fn deeper(&mut self) -> Result<(), String> {
        self.depth += 1;
        if self.depth > DEPTH { Err(format!("more than {DEPTH} deep")) } else { Ok(()) }
    }

    fn block(&mut self) -> Result<(Vec<Node>, End), String> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.next() {
            let action = match piece {
                Piece::Text("") => continue,
                Piece::Text(text) => {
                    nodes.push(Node::Text(text.to_owned()));
                    continue;
                }
                Piece::Action(action) => action.trim_matches(SPACE),
            };
            let (word, rest) = action.split_at(action.find(|c: char| !c.is_alphanumeric()).unwrap_or(action.len()));
            match word {
                "end" if rest.is_empty() => return Ok((nodes, End::OfBlock)),
                "else" => return Ok((nodes, End::Else(rest.trim_matches(SPACE).to_owned()))),
                "break" | "continue" if rest.is_empty() => {
                    if self.ranges == 0 {
                        return Err(format!("{{{{{word}}}}} outside {{{{range}}}}"));
                    }
                    nodes.push(if word == "break" { Node::Break } else { Node::Continue });
                }
                "if" | "range" | "with" => nodes.push(self.control(word, rest)?),
                "template" => {
                    let (name, about) = self.name_of(word, rest)?;
                    nodes.push(Node::Template(name, about));
                }
                "define" if self.depth > 0 => return Err("unexpected {{define}}".to_owned()),
                "define" | "block" => {
                    let (name, about) = self.name_of(word, rest)?;
                    match (word, &about) {
                        ("define", Some(_)) => return Err("unexpected words in define clause".to_owned()),
                        ("block", None) => return Err("missing value for block clause".to_owned()),
                        _ => {}
                    }
                    self.define(name.clone())?;
                    nodes.extend((word == "block").then_some(Node::Template(name, about)));
                }
                _ => nodes.push(Node::Print(self.pipeline(action, false)?)),
            }
        }
        Ok((nodes, End::OfText))
    }

    /// The name of a part, and what it is about.
    fn name_of(&mut self, word: &str, text: &str) -> Result<(String, Option<Pipeline>), String> {
        let words = words(text)?;
        let Some((Word::Text(name), _)) = words.first() else {
            return Err(format!("a name in quotes is missing in {word} clause"));
        };
        match words.len() {
            1 => Ok((name.clone(), None)),
            _ => Ok((name.clone(), Some(self.whole(&words[1..], false)?))),
        }
    }

    /// A part by its name, up to its end. It knows no variable from around it.
    fn define(&mut self, name: String) -> Result<(), String> {
        self.deeper()?;
        let (variables, ranges) = (std::mem::replace(&mut self.variables, vec![String::new()]), self.ranges);
        self.ranges = 0;
        let (body, end) = self.block()?;
        match end {
            End::OfBlock => {}
            End::OfText => return Err("unexpected EOF".to_owned()),
            End::Else(_) => return Err("unexpected {{else}}".to_owned()),
        }
        (self.variables, self.ranges) = (variables, ranges);
        self.depth -= 1;
        self.named.insert(name, body);
        Ok(())
    }

    fn control(&mut self, word: &str, head: &str) -> Result<Node, String> {
        self.deeper()?;
        let known = self.variables.len();
        let pipeline = self.pipeline(head, word == "range").map_err(|why| match why.as_str() {
            "missing value for command" if head.trim().is_empty() => format!("missing value for {word}"),
            _ => why,
        })?;
        self.ranges += usize::from(word == "range");
        let (body, end) = self.block()?;
        self.ranges -= usize::from(word == "range");
        let (otherwise, end) = match end {
            End::Else(rest) if rest.is_empty() => self.block()?,
            End::Else(rest) => match rest.split_once(SPACE) {
                // One `end` ends both.
                Some((inner, rest)) if inner == word && word != "range" => {
                    (vec![self.control(word, rest)?], End::OfBlock)
                }
                _ => return Err(format!("unexpected {rest:?} in {{{{else}}}}")),
            },
            end => (Vec::new(), end),
        };
        match end {
            End::OfBlock => {}
            End::OfText => return Err("unexpected EOF".to_owned()),
            End::Else(_) => return Err("unexpected {{else}}".to_owned()),
        }
        self.variables.truncate(known);
        self.depth -= 1;
        Ok(match word {
            "if" => Node::If(pipeline, body, otherwise),
            "range" => Node::Range(pipeline, body, otherwise),
            _ => Node::With(pipeline, body, otherwise),
        })
    }

    fn pipeline(&mut self, text: &str, in_range: bool) -> Result<Pipeline, String> {
        self.whole(&words(text)?, in_range)
    }

    /// A pipeline, and nothing after it.
    fn whole(&mut self, words: &[(Word, bool)], in_range: bool) -> Result<Pipeline, String> {
        let mut at = 0;
        let pipeline = self.inner(words, &mut at, Some(in_range))?;
        match words.get(at) {
            None => Ok(pipeline),
            Some((Word::Close, _)) => Err("unexpected right paren".to_owned()),
            Some((word, _)) => Err(format!("unexpected {word:?} in command")),
        }
    }

    /// Up to the end or a closing parenthesis. Variables are declared outside of parentheses only, two in a range.
    fn inner(&mut self, words: &[(Word, bool)], at: &mut usize, declares: Option<bool>) -> Result<Pipeline, String> {
        let (mut names, mut assigns) = (Vec::new(), false);
        let word = |at: usize| words.get(at).map(|(word, _)| word);
        match (word(*at), word(*at + 1), word(*at + 2), word(*at + 3)) {
            (Some(Word::Variable(a)), Some(sign @ (Word::Declare | Word::Assign)), ..) if declares.is_some() => {
                names.push(a.clone());
                assigns = *sign == Word::Assign;
                *at += 2;
            }
            (
                Some(Word::Variable(a)),
                Some(Word::Comma),
                Some(Word::Variable(b)),
                Some(sign @ (Word::Declare | Word::Assign)),
            ) if declares == Some(true) => {
                names.extend([a.clone(), b.clone()]);
                assigns = *sign == Word::Assign;
                *at += 4;
            }
            _ => {}
        }
        let mut commands = Vec::new();
        loop {
            let command = self.command(words, at)?;
            if command.is_empty() {
                return Err("missing value for command".to_owned());
            }
            let is_function = matches!(command[0].head, Head::Function(_));
            if !is_function && (command.len() > 1 || !commands.is_empty()) {
                return Err("can't give argument to non-function".to_owned());
            }
            commands.push(command);
            match word(*at) {
                Some(Word::Pipe) => *at += 1,
                _ => break,
            }
        }
        for name in &names {
            if assigns && !self.variables.contains(name) {
                return Err(format!("undefined variable \"${name}\""));
            }
        }
        if !assigns {
            self.variables.extend(names.iter().cloned());
        }
        Ok(Pipeline { names, assigns, commands })
    }

    fn command(&mut self, words: &[(Word, bool)], at: &mut usize) -> Result<Vec<Argument>, String> {
        let mut found: Vec<Argument> = Vec::new();
        while let Some((word, spaced)) = words.get(*at) {
            let head = match word {
                Word::Pipe | Word::Close => break,
                Word::Field(name) => {
                    match found.last_mut() {
                        Some(last) if !spaced => last.fields.push(name.clone()),
                        _ => found.push(Argument { head: Head::Dot, fields: vec![name.clone()] }),
                    }
                    *at += 1;
                    continue;
                }
                Word::Dot => Head::Dot,
                Word::Variable(name) if self.variables.contains(name) => Head::Variable(name.clone()),
                Word::Variable(name) => return Err(format!("undefined variable \"${name}\"")),
                Word::Name(name) => match name.as_str() {
                    "true" => Head::Bool(true),
                    "false" => Head::Bool(false),
                    "nil" => Head::Nil,
                    name if functions::NAMES.contains(&name) => Head::Function(name.to_owned()),
                    name => return Err(format!("function \"{name}\" not defined")),
                },
                Word::Text(text) => Head::Text(text.clone()),
                Word::Int(number) => Head::Int(*number),
                Word::Float(number) => Head::Float(*number),
                Word::Open => {
                    self.deeper()?;
                    *at += 1;
                    let inner = self.inner(words, at, None)?;
                    if words.get(*at).map(|(word, _)| word) != Some(&Word::Close) {
                        return Err("unclosed left paren".to_owned());
                    }
                    self.depth -= 1;
                    Head::Inner(Box::new(inner))
                }
                Word::Comma | Word::Declare | Word::Assign => {
                    return Err(format!("unexpected {word:?} in command"));
                }
            };
            found.push(Argument { head, fields: Vec::new() });
            *at += 1;
        }
        Ok(found)
    }
}
