//! What somebody may do: the `authorizer` of expressions.
//!
//! In: questions built step by step. Out: decisions of whoever implements [`Authorizer`]. Decides nothing itself.

use std::sync::Arc;

use super::Host;
use crate::fault::Fault;
use crate::value::Value;

type Out<'a> = Result<Value<'a>, Fault>;

/// Decides what somebody may do. An implementation knows who asked.
pub trait Authorizer: std::fmt::Debug + Sync {
    /// Whether they, or that service account instead of them, may do it.
    fn decide(&self, account: Option<&Account>, question: &Question<'_>) -> Decision;
}

/// A service account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question<'q> {
    /// A path that is no resource.
    Path {
        /// The verb.
        verb: &'q str,
        /// The path.
        path: &'q str,
    },
    /// A resource.
    Resource {
        /// The verb.
        verb: &'q str,
        /// Which.
        resource: &'q Resource,
    },
}

/// A resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are what they are called")]
pub struct Resource {
    pub group: String,
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    pub field_selector: String,
    pub label_selector: String,
}

/// An answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// Whether they may.
    pub allowed: bool,
    /// Why.
    pub reason: String,
    /// What went wrong; empty: nothing.
    pub error: String,
}

/// A question as far as it is built, or its answer.
#[derive(Debug, Clone)]
pub enum Access<'a> {
    /// Nothing asked yet.
    Authorizer(Asker<'a>),
    /// A path.
    Path(Asker<'a>, String),
    /// An API group.
    Group(Asker<'a>, String),
    /// A resource.
    Resource(Asker<'a>, Resource),
    /// The answer.
    Decision(Decision),
}

/// Who is asked about whom.
#[derive(Debug, Clone)]
pub struct Asker<'a> {
    /// Who decides.
    pub authorizer: &'a dyn Authorizer,
    /// Instead of who asked.
    pub account: Option<Account>,
}

impl Access<'_> {
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Access::Authorizer(_) => "kubernetes.authorization.Authorizer",
            Access::Path(..) => "kubernetes.authorization.PathCheck",
            Access::Group(..) => "kubernetes.authorization.GroupCheck",
            Access::Resource(..) => "kubernetes.authorization.ResourceCheck",
            Access::Decision(_) => "kubernetes.authorization.Decision",
        }
    }
}

impl<'a> Value<'a> {
    /// The `authorizer` of who asked.
    pub fn authorizer(authorizer: &'a dyn Authorizer) -> Value<'a> {
        Value::Access(Arc::new(Access::Authorizer(Asker { authorizer, account: None })))
    }

    /// The question about a resource.
    pub fn resource_check(authorizer: &'a dyn Authorizer, resource: Resource) -> Value<'a> {
        Value::Access(Arc::new(Access::Resource(Asker { authorizer, account: None }, resource)))
    }
}

fn made<'a>(access: Access<'a>) -> Out<'a> {
    Ok(Value::Access(Arc::new(access)))
}

fn step<'s, 'a>(args: &'s [Value<'a>]) -> Result<(&'s Access<'a>, &'s str), Fault> {
    match args {
        [Value::Access(access), Value::Text(text)] => Ok((access, text)),
        _ => Err(Fault::no_overload()),
    }
}

pub(crate) fn path<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let (Access::Authorizer(asker), path) = step(args)? else { return Err(Fault::no_overload()) };
    if path.trim().is_empty() {
        return Err(Fault::new("path must not be empty"));
    }
    made(Access::Path(asker.clone(), path.to_owned()))
}

pub(crate) fn group<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let (Access::Authorizer(asker), group) = step(args)? else { return Err(Fault::no_overload()) };
    made(Access::Group(asker.clone(), group.to_owned()))
}

pub(crate) fn service_account<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let [Value::Access(access), Value::Text(namespace), Value::Text(name)] = args else {
        return Err(Fault::no_overload());
    };
    let Access::Authorizer(asker) = &**access else { return Err(Fault::no_overload()) };
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let is_name = |text: &str, most: usize, dots: bool| {
        let ends = |b: Option<u8>| b.is_some_and(inner);
        text.len() <= most
            && text.split('.').all(|part| ends(part.bytes().next()) && ends(part.bytes().last()))
            && text.bytes().all(|b| inner(b) || b == b'-' || (dots && b == b'.'))
    };
    if !is_name(name, 253, true) {
        return Err(Fault::new("Invalid service account name"));
    }
    if !is_name(namespace, 63, false) {
        return Err(Fault::new("Invalid service account namespace"));
    }
    let account = Account { namespace: namespace.to_string(), name: name.to_string() };
    made(Access::Authorizer(Asker { authorizer: asker.authorizer, account: Some(account) }))
}

pub(crate) fn resource<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let (Access::Group(asker, group), resource) = step(args)? else { return Err(Fault::no_overload()) };
    if resource.trim().is_empty() {
        return Err(Fault::new("resource must not be empty"));
    }
    let resource = Resource { group: group.clone(), resource: resource.to_owned(), ..Resource::default() };
    made(Access::Resource(asker.clone(), resource))
}

fn refine<'a>(args: &[Value<'a>], set: impl FnOnce(&mut Resource, String)) -> Out<'a> {
    let (Access::Resource(asker, resource), text) = step(args)? else { return Err(Fault::no_overload()) };
    let mut resource = resource.clone();
    set(&mut resource, text.to_owned());
    made(Access::Resource(asker.clone(), resource))
}

pub(crate) fn subresource<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    refine(args, |resource, text| resource.subresource = text)
}

pub(crate) fn namespace<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    refine(args, |resource, text| resource.namespace = text)
}

pub(crate) fn name<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    refine(args, |resource, text| resource.name = text)
}

pub(crate) fn field_selector<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    refine(args, |resource, text| resource.field_selector = text)
}

pub(crate) fn label_selector<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    refine(args, |resource, text| resource.label_selector = text)
}

pub(crate) fn check<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let (access, verb) = step(args)?;
    let (asker, question) = match access {
        Access::Path(asker, path) => (asker, Question::Path { verb, path }),
        Access::Resource(asker, resource) => (asker, Question::Resource { verb, resource }),
        _ => return Err(Fault::no_overload()),
    };
    made(Access::Decision(asker.authorizer.decide(asker.account.as_ref(), &question)))
}

fn decision<'s>(args: &'s [Value<'_>]) -> Result<&'s Decision, Fault> {
    if let [Value::Access(access)] = args
        && let Access::Decision(decision) = &**access
    {
        return Ok(decision);
    }
    Err(Fault::no_overload())
}

pub(crate) fn errored<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    decision(args).map(|decision| Value::Bool(!decision.error.is_empty()))
}

pub(crate) fn error<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    decision(args).map(|decision| Value::text(&*decision.error))
}

pub(crate) fn allowed<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    decision(args).map(|decision| Value::Bool(decision.allowed))
}

pub(crate) fn reason<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    decision(args).map(|decision| Value::text(&*decision.reason))
}
