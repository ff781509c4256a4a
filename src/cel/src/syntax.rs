//! From text to tree: tokens, grammar, macros.
//!
//! In: the text of an expression. Out: an [`ast::Expr`], or what is wrong with the text. Never looks at types.
//! Depth and size are bounded, so no text exhausts the stack or memory.

pub mod ast;
pub mod lexer;
mod macros;
pub mod parser;
mod quote;

/// An expression is at most this many characters, as in Kubernetes.
pub const LONGEST: usize = 100_000;

/// A tree is at most this deep, macros included, as in Kubernetes.
pub const DEEPEST: u16 = 250;

/// Brackets and calls are nested at most this deep. Kubernetes allows 250; each level is six calls of the parser, which in a
/// debug build must fit the 2 MiB that a worker's stack has.
pub const NESTED: u16 = 80;

/// A tree has at most this many nodes. A text of [`LONGEST`] has fewer; only macros that copy their target have more.
pub const MOST_NODES: u32 = 200_000;

/// Words that name nothing, beside the literals `true`, `false` and `null`.
#[rustfmt::skip] // a list of words
pub const RESERVED: [&str; 18] = [
    "as", "break", "const", "continue", "else", "for", "function", "if", "import",
    "let", "loop", "package", "namespace", "return", "var", "void", "while", "in",
];
