//! Tokens to a tree, by the published grammar of CEL.
//!
//! In: a text. Out: the tree with macros unfolded, or the first thing wrong with it, worded as cel-go words it. Depth,
//! size and number of nodes are bounded here, so whoever walks the tree may recurse.

use super::ast::{Call, Entry, Expr, FieldInit, Kind, Literal};
use super::lexer::{Tok, Token, tokens};
use super::{DEEPEST, LONGEST, MOST_NODES, NESTED, RESERVED, macros, quote};
use crate::fault::Issue;

/// The tree of a text, and how many nodes were numbered.
pub fn parse(text: &str, bind: bool) -> Result<(Expr, u32), Vec<Issue>> {
    let size = text.chars().count();
    if size > LONGEST {
        let why = format!("expression code point size exceeds limit: size: {size}, limit {LONGEST}");
        return Err(vec![Issue::whole(why)]);
    }
    let (tokens, mut issues) = tokens(text);
    let mut parser = Parser { tokens, next: 0, nesting: 0, nodes: Nodes { count: 0, bind } };
    match parser.whole() {
        Ok(expr) if issues.is_empty() => Ok((expr, parser.nodes.count)),
        Ok(_) => Err(issues),
        Err(issue) => {
            issues.push(issue);
            Err(issues)
        }
    }
}

/// Makes nodes and counts them.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    count: u32,
    /// Whether `cel.bind` is a macro.
    pub(super) bind: bool,
}

impl Nodes {
    /// A node.
    pub fn make(&mut self, at: u32, kind: Kind) -> Result<Expr, Issue> {
        let mut expr = Expr { id: self.count, at, depth: 0, kind };
        let mut below = 0;
        expr.children(&mut |child| below = below.max(child.depth));
        expr.depth = below + 1;
        self.count += 1;
        if expr.depth > DEEPEST || self.count > MOST_NODES {
            return Err(too_deep());
        }
        Ok(expr)
    }

    /// A call.
    pub fn call(&mut self, at: u32, name: &str, target: Option<Expr>, args: Vec<Expr>) -> Result<Expr, Issue> {
        self.make(at, Kind::Call(Box::new(Call { name: name.into(), target, args, function: None, overload: None })))
    }

    /// A name.
    pub fn ident(&mut self, at: u32, name: &str) -> Result<Expr, Issue> {
        self.make(at, Kind::Ident(name.into()))
    }

    /// The same tree with numbers of its own.
    pub fn copy(&mut self, expr: &Expr) -> Result<Expr, Issue> {
        let mut size = 0u32;
        expr.walk(&mut |_| size += 1);
        if size > MOST_NODES - self.count {
            return Err(too_deep());
        }
        let mut copy = expr.clone();
        self.renumber(&mut copy);
        Ok(copy)
    }

    fn renumber(&mut self, expr: &mut Expr) {
        expr.id = self.count;
        self.count += 1;
        match &mut expr.kind {
            Kind::Literal(_) | Kind::Ident(_) => {}
            Kind::Select { operand, .. } => self.renumber(operand),
            Kind::Call(call) => call.target.iter_mut().chain(&mut call.args).for_each(|e| self.renumber(e)),
            Kind::List { items, .. } => items.iter_mut().for_each(|e| self.renumber(e)),
            Kind::Map(entries) => {
                for entry in entries {
                    self.renumber(&mut entry.key);
                    self.renumber(&mut entry.value);
                }
            }
            Kind::Struct { fields, .. } => fields.iter_mut().for_each(|f| self.renumber(&mut f.value)),
            Kind::Fold(fold) => {
                for part in [&mut fold.range, &mut fold.init, &mut fold.condition, &mut fold.step, &mut fold.result] {
                    self.renumber(part);
                }
            }
        }
    }
}

fn too_deep() -> Issue {
    Issue::whole(format!("expression recursion limit exceeded: {DEEPEST}"))
}

struct Parser<'t> {
    tokens: Vec<Token<'t>>,
    next: usize,
    nesting: u16,
    nodes: Nodes,
}

/// What may begin an operand, as cel-go's grammar lists it.
const OPERAND: &str = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, \
                       BYTES, IDENTIFIER}";
/// What may begin an operand after a sign.
const MEMBER: &str = "{'[', '{', '(', '.', '-', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, \
                      IDENTIFIER}";

type Parsed<T> = Result<T, Issue>;

impl<'t> Parser<'t> {
    fn peek(&self) -> Token<'t> {
        self.ahead(0)
    }

    /// Beyond the end there is only the end.
    fn ahead(&self, by: usize) -> Token<'t> {
        self.tokens[(self.next + by).min(self.tokens.len() - 1)]
    }

    fn take(&mut self) -> Token<'t> {
        let token = self.peek();
        self.next += 1;
        token
    }

    fn sees(&self, sign: &'static str) -> bool {
        self.peek().tok == Tok::Sign(sign)
    }

    fn accept(&mut self, sign: &'static str) -> Option<Token<'t>> {
        self.sees(sign).then(|| self.take())
    }

    fn expect(&mut self, sign: &'static str) -> Parsed<Token<'t>> {
        match self.accept(sign) {
            Some(token) => Ok(token),
            None => Err(self.missing(&format!("'{sign}'"), self.ahead(1).tok == Tok::Sign(sign))),
        }
    }

    /// The token is not what it should be. A stray one before the right one is extraneous; where the right one was
    /// merely left out it is missing.
    fn missing(&self, wanted: &str, right_after: bool) -> Issue {
        let token = self.peek();
        let text = match token.tok {
            _ if right_after => format!("extraneous input '{}' expecting {wanted}", token.text),
            Tok::End | Tok::Sign(")" | "]" | "}" | "," | ":" | "?" | "&&" | "||") if wanted.starts_with('\'') => {
                format!("missing {wanted} at '{}'", token.text)
            }
            _ => format!("mismatched input '{}' expecting {wanted}", token.text),
        };
        Issue::new(token.at, format!("Syntax error: {text}"))
    }

    fn whole(&mut self) -> Parsed<Expr> {
        let expr = self.expr()?;
        match self.peek().tok {
            Tok::End => Ok(expr),
            _ => Err(self.missing("<EOF>", self.ahead(1).tok == Tok::End)),
        }
    }

    fn expr(&mut self) -> Parsed<Expr> {
        self.nesting += 1;
        if self.nesting > NESTED {
            return Err(Issue::whole(format!("expression recursion limit exceeded: {NESTED}")));
        }
        let mut expr = self.binary(1)?;
        if let Some(sign) = self.accept("?") {
            let yes = self.binary(1)?;
            self.expect(":")?;
            let no = self.expr()?;
            expr = self.nodes.call(sign.at, "_?_:_", None, vec![expr, yes, no])?;
        }
        self.nesting -= 1;
        Ok(expr)
    }

    /// Operators that bind at least as tightly as `level`.
    fn binary(&mut self, level: u8) -> Parsed<Expr> {
        let mut left = self.unary()?;
        loop {
            let sign = self.peek();
            let Some((name, own)) = operator(sign.tok).filter(|(_, own)| *own >= level) else { return Ok(left) };
            self.next += 1;
            if own > 2 {
                let right = self.binary(own + 1)?;
                left = self.nodes.call(sign.at, name, None, vec![left, right])?;
                continue;
            }
            // Terms of `&&` and `||` become a balanced tree, so that many of them are not deep.
            let (mut terms, mut signs) = (vec![left, self.binary(own + 1)?], vec![sign.at]);
            while operator(self.peek().tok).is_some_and(|(next, _)| next == name) {
                signs.push(self.take().at);
                terms.push(self.binary(own + 1)?);
            }
            left = self.balance(name, &mut terms.into_iter(), &signs)?;
        }
    }

    fn balance(&mut self, name: &str, terms: &mut std::vec::IntoIter<Expr>, signs: &[u32]) -> Parsed<Expr> {
        if signs.is_empty() {
            return terms.next().ok_or_else(too_deep);
        }
        let middle = signs.len() / 2;
        let left = self.balance(name, terms, &signs[..middle])?;
        let right = self.balance(name, terms, &signs[middle + 1..])?;
        self.nodes.call(signs[middle], name, None, vec![left, right])
    }

    fn unary(&mut self) -> Parsed<Expr> {
        for (sign, name) in [("!", "!_"), ("-", "-_")] {
            let Some(first) = self.accept(sign) else { continue };
            let mut count = 1;
            while self.accept(sign).is_some() {
                count += 1;
            }
            if sign == "-" && count == 1 && matches!(self.peek().tok, Tok::Int | Tok::Double) {
                let literal = self.number(Some(first))?;
                return self.member(literal);
            }
            let primary = self.primary(MEMBER)?;
            let member = self.member(primary)?;
            return if count % 2 == 0 { Ok(member) } else { self.nodes.call(first.at, name, None, vec![member]) };
        }
        let primary = self.primary(OPERAND)?;
        self.member(primary)
    }

    /// What follows a value: fields, calls, indices.
    fn member(&mut self, mut left: Expr) -> Parsed<Expr> {
        loop {
            if let Some(dot) = self.accept(".") {
                let optional = self.accept("?").is_some();
                let (name, at, quoted) = self.field_name()?;
                if optional {
                    let field = self.nodes.make(at, Kind::Literal(Literal::Text(name.into())))?;
                    left = self.nodes.call(dot.at, "_?._", None, vec![left, field])?;
                } else if !quoted && self.sees("(") {
                    let open = self.take();
                    let args = self.list(")", Self::expr)?;
                    left = macros::member(&mut self.nodes, open.at, name, left, args)?;
                } else {
                    let kind = Kind::Select { operand: Box::new(left), field: name.into(), test: false };
                    left = self.nodes.make(dot.at, kind)?;
                }
            } else if let Some(open) = self.accept("[") {
                let name = if self.accept("?").is_some() { "_[?_]" } else { "_[_]" };
                let index = self.expr()?;
                self.expect("]")?;
                left = self.nodes.call(open.at, name, None, vec![left, index])?;
            } else {
                return Ok(left);
            }
        }
    }

    fn field_name(&mut self) -> Parsed<(&'t str, u32, bool)> {
        let token = self.peek();
        match token.tok {
            Tok::Ident => {
                self.next += 1;
                Ok((token.text, token.at, false))
            }
            Tok::Quoted => Err(Issue::new(token.at, "unsupported syntax: '`'")),
            // Words that the lexer takes for itself.
            Tok::True | Tok::False | Tok::Null => Err(Issue::new(
                token.at,
                format!("Syntax error: mismatched input '{}' expecting IDENTIFIER", token.text),
            )),
            _ => Err(Issue::new(token.at, format!("Syntax error: no viable alternative at input '.{}'", token.text))),
        }
    }

    fn primary(&mut self, wanted: &str) -> Parsed<Expr> {
        let token = self.peek();
        match token.tok {
            Tok::Sign("(") => {
                self.next += 1;
                let inner = self.expr()?;
                self.expect(")")?;
                Ok(inner)
            }
            Tok::Sign("[") => {
                self.next += 1;
                let mut optional = Vec::new();
                let items = self.list("]", |parser| {
                    optional.push(parser.accept("?").is_some());
                    parser.expr()
                })?;
                if !optional.contains(&true) {
                    optional.clear();
                }
                self.nodes.make(token.at, Kind::List { items, optional })
            }
            Tok::Sign("{") => {
                self.next += 1;
                let entries = self.list("}", |parser| {
                    let optional = parser.accept("?").is_some();
                    let key = parser.expr()?;
                    parser.expect(":")?;
                    Ok(Entry { key, value: parser.expr()?, optional })
                })?;
                self.nodes.make(token.at, Kind::Map(entries))
            }
            Tok::Sign(".") if self.ahead(1).tok == Tok::Ident => {
                self.next += 1;
                self.named(".")
            }
            Tok::Ident => self.named(""),
            Tok::Int | Tok::Uint | Tok::Double => self.number(None),
            Tok::Text | Tok::Bytes | Tok::True | Tok::False | Tok::Null => {
                self.next += 1;
                let literal = match token.tok {
                    Tok::Text => quote::text(token.text).map(|text| Literal::Text(text.into())),
                    Tok::Bytes => quote::bytes(token.text).map(|bytes| Literal::Bytes(bytes.into())),
                    Tok::Null => Ok(Literal::Null),
                    other => Ok(Literal::Bool(other == Tok::True)),
                };
                let literal = literal.map_err(|why| Issue::new(token.at, why))?;
                self.nodes.make(token.at, Kind::Literal(literal))
            }
            _ => Err(self.missing(wanted, false)),
        }
    }

    /// A variable, a function, or an object of a named type.
    fn named(&mut self, dot: &str) -> Parsed<Expr> {
        let token = self.take();
        if self.is_struct() {
            let mut name = format!("{dot}{}", token.text);
            while self.accept(".").is_some() {
                name.push('.');
                name.push_str(self.take().text);
            }
            let open = self.take();
            let fields = self.list("}", |parser| {
                let optional = parser.accept("?").is_some();
                let (name, _, _) = parser.field_name()?;
                let colon = parser.expect(":")?;
                Ok(FieldInit { at: colon.at, name: name.into(), value: parser.expr()?, optional })
            })?;
            return self.nodes.make(open.at, Kind::Struct { name: name.into(), fields });
        }
        if RESERVED.contains(&token.text) {
            return Err(Issue::new(token.at, format!("reserved identifier: {}", token.text)));
        }
        let name = format!("{dot}{}", token.text);
        match self.accept("(") {
            Some(open) => {
                let args = self.list(")", Self::expr)?;
                macros::global(&mut self.nodes, open.at, &name, args)
            }
            None => self.nodes.ident(token.at, &name),
        }
    }

    /// Whether dots and names up to a brace follow.
    fn is_struct(&self) -> bool {
        let mut by = 0;
        while self.ahead(by).tok == Tok::Sign(".") && self.ahead(by + 1).tok == Tok::Ident {
            by += 2;
        }
        self.ahead(by).tok == Tok::Sign("{")
    }

    /// Items up to `close`, with commas between them; a trailing comma only where cel-go's grammar has it.
    fn list<T>(&mut self, close: &'static str, mut item: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        let mut items = Vec::new();
        if self.accept(close).is_some() {
            return Ok(items);
        }
        loop {
            items.push(item(self)?);
            if self.accept(",").is_none() {
                self.expect(close)?;
                return Ok(items);
            }
            if close != ")" && self.accept(close).is_some() {
                return Ok(items);
            }
        }
    }

    fn number(&mut self, minus: Option<Token<'t>>) -> Parsed<Expr> {
        let token = self.take();
        let at = minus.unwrap_or(token).at;
        let sign = if minus.is_some() { "-" } else { "" };
        let hex = token.text.strip_prefix("0x");
        let digits = hex.unwrap_or(token.text);
        let base = if hex.is_some() { 16 } else { 10 };
        let literal = match token.tok {
            Tok::Int => i64::from_str_radix(&format!("{sign}{digits}"), base).map(Literal::Int).map_err(|_| "int"),
            Tok::Uint => {
                let digits = &digits[..digits.len() - 1];
                u64::from_str_radix(digits, base).map(Literal::Uint).map_err(|_| "uint")
            }
            _ => match format!("{sign}{digits}").parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(Literal::Double(number)),
                _ => Err("double"),
            },
        };
        let literal = literal.map_err(|kind| Issue::new(at, format!("invalid {kind} literal")))?;
        self.nodes.make(at, Kind::Literal(literal))
    }
}

/// The function of an operator and how tightly it binds.
fn operator(tok: Tok) -> Option<(&'static str, u8)> {
    let Tok::Sign(sign) = tok else { return None };
    Some(match sign {
        "||" => ("_||_", 1),
        "&&" => ("_&&_", 2),
        "<" => ("_<_", 3),
        "<=" => ("_<=_", 3),
        ">" => ("_>_", 3),
        ">=" => ("_>=_", 3),
        "==" => ("_==_", 3),
        "!=" => ("_!=_", 3),
        "in" => ("@in", 3),
        "+" => ("_+_", 4),
        "-" => ("_-_", 4),
        "*" => ("_*_", 5),
        "/" => ("_/_", 5),
        "%" => ("_%_", 5),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use crate::fault::Issues;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, fault: &str) {
        let found = super::parse(text, false).map_err(|all| Issues::new(text, all).to_string());
        match found {
            Ok(_) => assert_eq!("", fault, "{text}"),
            Err(found) => assert!(found.starts_with(fault) && !fault.is_empty(), "{text}\n{found}\nwanted: {fault}"),
        }
    }

    #[test]
    fn texts() {
        check("a.b[1].c(x, y) && !z || -1 < 2u ? 'a' : r\"\\b\"", "");
        check("[1, ?x, 2,]", "");
        check("{'a': 1, ?'b': c,}", "");
        check("Object{spec: Object.spec{replicas: 1}}", "");
        check("a.?b[?0].orValue(1.5e3)", "");
        check("x in [1] // words", "");
        check("'''a'b\n'''", "");
        check("", "ERROR: <input>:1:1: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!'");
        check("self.x +", "ERROR: <input>:1:9: Syntax error: mismatched input '<EOF>' expecting");
        check("a b", "ERROR: <input>:1:3: Syntax error: extraneous input 'b' expecting <EOF>\n | a b\n | ..^");
        check("a b c", "ERROR: <input>:1:3: Syntax error: mismatched input 'b' expecting <EOF>");
        check("f(a", "ERROR: <input>:1:4: Syntax error: missing ')' at '<EOF>'\n | f(a\n | ...^");
        check("a = b", "ERROR: <input>:1:3: Syntax error: token recognition error at: '= '\n");
        check("a.true", "ERROR: <input>:1:3: Syntax error: mismatched input 'true' expecting IDENTIFIER");
        check("a.", "ERROR: <input>:1:3: Syntax error: no viable alternative at input '.<EOF>'");
        check("namespace", "ERROR: <input>:1:1: reserved identifier: namespace");
        check("99999999999999999999", "ERROR: <input>:1:1: invalid int literal");
        check("[1].all(x.y, true)", "ERROR: <input>:1:10: argument must be a simple name");
        check("has(x)", "ERROR: <input>:1:5: invalid argument to has() macro");
    }

    #[test]
    fn what_is_too_deep_is_refused() {
        let limit = "ERROR: <input>:-1:0: expression recursion limit exceeded: ";
        check(&format!("{}1{}", "(".repeat(100_000 / 2 - 1), ")".repeat(100_000 / 2 - 1)), limit);
        check(&"[".repeat(99_999), limit);
        check(&vec!["1"; 1000].join("+"), limit);
        check(&format!("x{}", ".optMap(y, y)".repeat(60)), limit);
        check(&vec!["true"; 10_000].join("&&"), "");
        check(&"a".repeat(100_001), "ERROR: <input>:-1:0: expression code point size exceeds limit: size: 100001");
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in ".*", near in r#"[a-z0-9 .,:?!&|<>=+*/%'"\\(){}\[\]-]{0,60}"#) {
            let _ = (super::parse(&text, false).map_err(|all| Issues::new(&text, all).to_string()), super::parse(&near, true));
        }
    }
}
