//! Words of the label selector grammar.
//!
//! In: text. Out: tokens, one at a time. Never judges their order.

/// A token of the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Open,
    Close,
    Comma,
    Not,
    Equal,
    DoubleEqual,
    NotEqual,
    Greater,
    Less,
    In,
    NotIn,
    Word(&'a str),
    /// Operator characters in an order that means nothing.
    Bad(&'a str),
    End,
}

impl<'a> Token<'a> {
    /// The text that an error message quotes.
    pub(super) fn text(self) -> &'a str {
        match self {
            Token::Open => "(",
            Token::Close => ")",
            Token::Comma => ",",
            Token::Not => "!",
            Token::Equal => "=",
            Token::DoubleEqual => "==",
            Token::NotEqual => "!=",
            Token::Greater => ">",
            Token::Less => "<",
            Token::In => "in",
            Token::NotIn => "notin",
            Token::Word(text) | Token::Bad(text) => text,
            Token::End => "",
        }
    }
}

/// Reads tokens from text; keeps one in hand.
pub(super) struct Scanner<'a> {
    rest: &'a str,
    ahead: Option<Token<'a>>,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Scanner<'a> {
        Scanner { rest: text, ahead: None }
    }

    /// The next token, left in place. `values` says that `in` and `notin` are plain words here.
    pub(super) fn peek(&mut self, values: bool) -> Token<'a> {
        let token = match self.ahead {
            Some(token) => token,
            None => {
                let token = self.scan();
                self.ahead = Some(token);
                token
            }
        };
        match token {
            Token::In if values => Token::Word("in"),
            Token::NotIn if values => Token::Word("notin"),
            token => token,
        }
    }

    /// The next token, taken.
    pub(super) fn take(&mut self, values: bool) -> Token<'a> {
        let token = self.peek(values);
        self.ahead = None;
        token
    }

    fn scan(&mut self) -> Token<'a> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let Some(first) = self.rest.chars().next() else { return Token::End };
        let special = |c: char| "=!(),<>".contains(c);
        if special(first) {
            let operator = |c: char| "=!<>".contains(c);
            let single = match first {
                '(' => Some(Token::Open),
                ')' => Some(Token::Close),
                ',' => Some(Token::Comma),
                _ => None,
            };
            if let Some(token) = single {
                self.rest = &self.rest[1..];
                return token;
            }
            let end = self.rest.find(|c: char| !operator(c)).unwrap_or(self.rest.len());
            // Longest operator first; what is left over is the next token, as in `=!`.
            for length in (1..=end.min(2)).rev() {
                let (head, tail) = self.rest.split_at(length);
                let token = match head {
                    "!" => Token::Not,
                    "=" => Token::Equal,
                    "==" => Token::DoubleEqual,
                    "!=" => Token::NotEqual,
                    ">" => Token::Greater,
                    "<" => Token::Less,
                    _ => continue,
                };
                self.rest = tail;
                return token;
            }
            let (head, tail) = self.rest.split_at(end);
            self.rest = tail;
            return Token::Bad(head);
        }
        let end = self.rest.find(|c: char| special(c) || c.is_ascii_whitespace()).unwrap_or(self.rest.len());
        let (word, tail) = self.rest.split_at(end);
        self.rest = tail;
        match word {
            "in" => Token::In,
            "notin" => Token::NotIn,
            word => Token::Word(word),
        }
    }
}
