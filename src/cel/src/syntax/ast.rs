//! The tree of an expression.
//!
//! In: nodes from the parser. Out: the same, with names resolved by the checker. Knows no values and no text.

use crate::functions::Function;
use std::sync::Arc;

/// A node.
#[derive(Debug, Clone)]
pub struct Expr {
    /// Its number; the checker keeps types by it.
    pub id: u32,
    /// The byte of the text it is shown at.
    pub at: u32,
    /// How deep the tree below it is, itself included.
    pub depth: u16,
    /// What it is.
    pub kind: Kind,
}

/// What a node is.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A constant.
    Literal(Literal),
    /// A variable or a type.
    Ident(Arc<str>),
    /// A field of something, or whether it is there.
    Select {
        /// Of what.
        operand: Box<Expr>,
        /// Which.
        field: Arc<str>,
        /// Whether it is only asked for.
        test: bool,
    },
    /// A function or an operator.
    Call(Box<Call>),
    /// A list.
    List {
        /// The items.
        items: Vec<Expr>,
        /// Which of them are optional; empty: none.
        optional: Vec<bool>,
    },
    /// A map.
    Map(Vec<Entry>),
    /// An object of a named type.
    Struct {
        /// The type.
        name: Arc<str>,
        /// The fields.
        fields: Vec<FieldInit>,
    },
    /// A loop over a list or map.
    Fold(Box<Fold>),
}

/// A call.
#[derive(Debug, Clone)]
pub struct Call {
    /// The function's name.
    pub name: Arc<str>,
    /// What it is called on.
    pub target: Option<Expr>,
    /// Its arguments.
    pub args: Vec<Expr>,
    /// What is called, once checked.
    pub function: Option<&'static Function>,
    /// In which of its overloads, once checked and if only one fits.
    pub overload: Option<&'static str>,
}

/// An entry of a map.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key.
    pub key: Expr,
    /// The value.
    pub value: Expr,
    /// Whether it is left out when the value is none.
    pub optional: bool,
}

/// A field of an object.
#[derive(Debug, Clone)]
pub struct FieldInit {
    /// The byte of the text it is shown at.
    pub at: u32,
    /// The name.
    pub name: Arc<str>,
    /// The value.
    pub value: Expr,
    /// Whether it is left out when the value is none.
    pub optional: bool,
}

/// A loop.
#[derive(Debug, Clone)]
pub struct Fold {
    /// What is looped over.
    pub range: Expr,
    /// The name of each item or key; of the index or key where there are two.
    pub var: Arc<str>,
    /// The name of each item or value where there are two.
    pub var2: Option<Arc<str>>,
    /// The name of what is accumulated.
    pub accu: Arc<str>,
    /// What it begins with.
    pub init: Expr,
    /// Whether to go on.
    pub condition: Expr,
    /// What it becomes.
    pub step: Expr,
    /// What comes out.
    pub result: Expr,
}

impl Fold {
    /// Whether it only names a value: no loop at all.
    pub fn is_binding(&self) -> bool {
        matches!(&self.range.kind, Kind::List { items, .. } if items.is_empty())
            && matches!(self.condition.kind, Kind::Literal(Literal::Bool(false)))
            && &*self.accu != ACCUMULATOR
    }
}

/// The name of what macros accumulate. No text can say it.
pub const ACCUMULATOR: &str = "@result";

/// A constant.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Arc<str>),
    Bytes(Arc<[u8]>),
}

impl Expr {
    /// Calls `visit` with every node of the tree, the node itself first.
    pub fn walk<'e>(&'e self, visit: &mut dyn FnMut(&'e Expr)) {
        visit(self);
        self.children(&mut |child| child.walk(visit));
    }

    /// Calls `visit` with each node directly below.
    pub fn children<'e>(&'e self, visit: &mut dyn FnMut(&'e Expr)) {
        match &self.kind {
            Kind::Literal(_) | Kind::Ident(_) => {}
            Kind::Select { operand, .. } => visit(operand),
            Kind::Call(call) => {
                call.target.iter().for_each(&mut *visit);
                call.args.iter().for_each(visit);
            }
            Kind::List { items, .. } => items.iter().for_each(visit),
            Kind::Map(entries) => {
                for entry in entries {
                    visit(&entry.key);
                    visit(&entry.value);
                }
            }
            Kind::Struct { fields, .. } => fields.iter().for_each(|field| visit(&field.value)),
            Kind::Fold(fold) => {
                for part in [&fold.range, &fold.init, &fold.condition, &fold.step, &fold.result] {
                    visit(part);
                }
            }
        }
    }

    /// The name, where it is a plain one.
    pub fn as_ident(&self) -> Option<&Arc<str>> {
        if let Kind::Ident(name) = &self.kind { Some(name) } else { None }
    }

    /// The name as written with dots, where it is only names and dots.
    pub fn as_qualified(&self) -> Option<String> {
        match &self.kind {
            Kind::Ident(name) => Some(name.to_string()),
            Kind::Select { operand, field, test: false } => {
                let mut name = operand.as_qualified()?;
                name.push('.');
                name.push_str(field);
                Some(name)
            }
            _ => None,
        }
    }
}
