//! What a call may cost, by its overload.
//!
//! In: a function, an overload, sizes and costs of arguments. Out: the cost, arguments included where they are evaluated,
//! and the size of the result where that is known.

use super::{CallCost, Coster, Entries, Estimate, LIST, Node, ONE, STRUCT};
use crate::syntax::ast::{Expr, Kind, Literal};
use crate::types::Type;

/// One character or item of what is walked over.
const WALK: f64 = 0.1;
/// One character of a pattern.
const PATTERN: f64 = 0.25;
/// The longest pattern of a named format.
const FORMAT_PATTERN: f64 = 128.0;
/// The longest name of a format.
const FORMAT_NAME: u64 = 64;

fn only(cost: Estimate) -> Option<CallCost> {
    Some(CallCost { cost, size: None })
}

fn sized(cost: Estimate, size: Estimate) -> Option<CallCost> {
    Some(CallCost { cost, size: Some(size) })
}

impl<'e> Coster<'e> {
    pub(super) fn function(
        &mut self,
        expr: &'e Expr,
        name: &str,
        overload: &str,
        target: Option<&Node<'e>>,
        args: &[Node<'e>],
        costs: &[Estimate],
    ) -> CallCost {
        let sum = costs.iter().fold(Estimate::NONE, |sum, cost| sum.plus(*cost));
        let special =
            self.lists_and_sets(overload, target, args).or_else(|| self.kubernetes(name, overload, target, args));
        if let Some(CallCost { cost, size }) = special {
            return CallCost { cost: cost.plus(sum), size };
        }
        self.standard(expr, overload, target, args, costs, sum).unwrap_or(CallCost { cost: ONE.plus(sum), size: None })
    }

    /// cel-go's own.
    fn standard(
        &mut self,
        expr: &'e Expr,
        overload: &str,
        target: Option<&Node<'e>>,
        args: &[Node<'e>],
        costs: &[Estimate],
        sum: Estimate,
    ) -> Option<CallCost> {
        let known = |node: &Node<'e>| node.size.unwrap_or(Estimate::UNKNOWN);
        match (overload, target, args) {
            ("string_format", Some(target), _) => only(known(target).scaled(WALK).plus(sum)),
            ("string_to_bytes", _, [arg]) => {
                let size = known(arg);
                let result = Estimate { min: size.min, max: size.max.wrapping_mul(4) };
                sized(size.scaled(WALK).plus(sum), result)
            }
            ("bytes_to_string", _, [arg]) => {
                let size = known(arg);
                sized(size.scaled(WALK).plus(sum), Estimate { min: size.min / 4, max: size.max })
            }
            ("strings_quote", _, [arg]) => {
                let size = known(arg);
                let most = size.max.wrapping_mul(2).wrapping_add(2);
                sized(size.scaled(WALK).plus(sum), Estimate { min: size.min + 2, max: most })
            }
            ("starts_with_string" | "ends_with_string", _, [arg]) => only(known(arg).scaled(WALK).plus(sum)),
            ("in_list", _, [_, list]) => only(known(list).scaled(1.0).plus(sum)),
            ("matches_string", Some(target), [pattern]) => {
                let text = known(target).plus(ONE).scaled(WALK);
                only(text.times(known(pattern).scaled(PATTERN)).plus(sum))
            }
            ("contains_string", Some(target), [part]) => {
                only(known(target).scaled(WALK).times(known(part).scaled(WALK)).plus(sum))
            }
            ("logical_or" | "logical_and", _, _) => {
                // The right side may not be evaluated.
                let [left, right] = costs else { return None };
                only(Estimate { min: left.min, max: left.plus(*right).max })
            }
            ("conditional", _, [_, yes, no]) => {
                let size = known(yes).union(known(no));
                let entries = match (yes.expr, no.expr) {
                    (Some(yes), Some(no)) => Entries::union(self.entries_of(yes), self.entries_of(no)),
                    _ => None,
                };
                self.set_entries(expr, entries);
                let [condition, yes, no] = costs else { return None };
                sized(condition.plus(yes.union(*no)), size)
            }
            ("add_string" | "add_bytes" | "add_list", _, [a, b]) => {
                let size = known(a).plus(known(b));
                let entries = match (a.expr, b.expr) {
                    (Some(a), Some(b)) => Entries::union(self.entries_of(a), self.entries_of(b)),
                    _ => None,
                };
                self.set_entries(expr, entries);
                let cost = if overload == "add_list" { ONE } else { size.scaled(WALK) };
                sized(cost.plus(sum), size)
            }
            (
                "less_string"
                | "greater_string"
                | "less_equals_string"
                | "greater_equals_string"
                | "less_bytes"
                | "greater_bytes"
                | "less_equals_bytes"
                | "greater_equals_bytes"
                | "equals"
                | "not_equals",
                _,
                [a, b],
            ) => {
                let max = known(a).max.min(known(b).max);
                only(Estimate { min: u64::from(max > 0), max }.scaled(WALK).plus(sum))
            }
            _ => None,
        }
    }

    /// Extensions of cel-go that have estimates of their own.
    fn lists_and_sets(&self, overload: &str, target: Option<&Node<'e>>, args: &[Node<'e>]) -> Option<CallCost> {
        let allocating = |factor: f64, size: Estimate| sized(size.scaled(factor).plus(ONE).plus(LIST), size);
        match (overload, target, args) {
            ("list_slice", Some(target), [start, end]) => {
                let end = number(end, self.node_size(target).max);
                allocating(1.0, Estimate::fixed(end.wrapping_sub(number(start, 0))))
            }
            ("lists_range", None, [count]) => allocating(1.0, Estimate::fixed(number(count, u64::MAX))),
            ("list_reverse", Some(target), []) => allocating(1.0, self.node_size(target)),
            ("list_flatten" | "list_flatten_int", Some(target), depth) => {
                let depth = depth.first().map_or(1, |depth| number(depth, u64::MAX));
                allocating(depth as f64, self.node_size(target))
            }
            ("list_distinct", Some(target), []) => {
                let size = self.node_size(target);
                allocating(2.0, size.times(size))
            }
            (sort, Some(target), _) if sort.ends_with("_sort") || sort.ends_with("_sortByAssociatedKeys") => {
                let size = self.node_size(args.first().unwrap_or(target));
                let is_text = sort.starts_with("list_string_") || sort.starts_with("list_bytes_");
                allocating(if is_text { 2.0 + WALK } else { 2.0 }, size.times(size))
            }
            ("list_sets_contains_list" | "list_sets_intersects_list" | "list_sets_equivalent_list", _, [a, b]) => {
                let factor = if overload == "list_sets_equivalent_list" { 2.0 } else { 1.0 };
                only(self.node_size(a).times(self.node_size(b)).scaled(factor).plus(ONE))
            }
            _ => None,
        }
    }

    /// Kubernetes' own.
    fn kubernetes(&self, name: &str, overload: &str, target: Option<&Node<'e>>, args: &[Node<'e>]) -> Option<CallCost> {
        let size = |node: &Node<'e>| self.node_size(node);
        match (name, target, args) {
            ("check", ..) => only(Estimate::fixed(350_000)),
            (
                "serviceAccount"
                | "path"
                | "group"
                | "resource"
                | "subresource"
                | "namespace"
                | "name"
                | "allowed"
                | "reason"
                | "error"
                | "errored"
                | "masked"
                | "prefixLength"
                | "family"
                | "isUnspecified"
                | "isLoopback"
                | "isLinkLocalMulticast"
                | "isLinkLocalUnicast"
                | "isGlobalUnicast"
                | "format.named"
                | "sign"
                | "asInteger"
                | "isInteger"
                | "asApproximateFloat"
                | "isGreaterThan"
                | "isLessThan"
                | "compareTo"
                | "add"
                | "sub"
                | "major"
                | "minor"
                | "patch"
                | "getScheme"
                | "getHostname"
                | "getHost"
                | "getPort"
                | "getEscapedPath"
                | "getQuery",
                ..,
            ) => only(ONE),
            ("fieldSelector" | "labelSelector", _, [text]) => {
                let length = size(text);
                let each = (LIST.max + STRUCT.max) as f64;
                only(LIST.plus(length.scaled(WALK)).plus(length.scaled(0.5).scaled(each)))
            }
            ("isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf", Some(target), _) => {
                let Some(item) = self.item(target) else { return only(size(target).scaled(WALK)) };
                let mut each = ONE;
                if matches!(item.of, Type::Text | Type::Bytes) {
                    each = each.plus(size(&item).scaled(WALK));
                }
                only(size(target).times(each))
            }
            ("url" | "jsonpatch.escapeKey", _, [text]) => sized(size(text).scaled(WALK), size(text)),
            ("lowerAscii" | "upperAscii" | "substring" | "trim", Some(target), _) => {
                sized(size(target).scaled(WALK), size(target))
            }
            ("replace", Some(target), [old, new, ..]) => {
                let text = size(target);
                sized(text.scaled(2.0 * WALK), replaced(text, size(old), size(new)))
            }
            ("split", Some(target), args) => {
                let text = size(target);
                let max = match args.get(1).and_then(|arg| arg.expr).map(|expr| &expr.kind) {
                    Some(Kind::Literal(Literal::Int(most))) => *most as u64,
                    _ => text.max,
                };
                sized(text.scaled(2.0 * WALK), Estimate { min: 0, max })
            }
            ("join", Some(target), args) => {
                let list = size(target);
                let mut length = Estimate::NONE;
                if let Some(item) = self.item(target) {
                    length = list.times(size(&item));
                }
                if let Some(by) = args.first() {
                    let between = Estimate { min: list.min.saturating_sub(1), max: list.max.saturating_sub(1) };
                    length = length.plus(size(by).times(between));
                }
                sized(length.scaled(WALK), length)
            }
            ("find" | "findAll", Some(target), [pattern, ..]) => {
                let text = size(target);
                let cost = text.plus(ONE).scaled(WALK).times(size(pattern).scaled(PATTERN));
                sized(cost, Estimate { min: 0, max: text.max })
            }
            ("ip", ..) if overload == "cidr_ip" => only(ONE),
            ("cidr" | "isIP" | "isCIDR" | "ip" | "quantity" | "isQuantity" | "semver" | "isSemver", _, [text, ..]) => {
                only(size(text).scaled(WALK))
            }
            ("ip.isCanonical", _, [text, ..]) => only(size(text).scaled(2.0 * WALK)),
            ("containsIP" | "containsCIDR", _, [other, ..]) => {
                let ip = Estimate { min: 4, max: 16 };
                let mut cost = ip.plus(ip).scaled(WALK);
                if name == "containsCIDR" {
                    cost = cost.plus(ip.scaled(WALK)).plus(ONE);
                }
                if overload.ends_with("_string") {
                    cost = cost.plus(size(other).scaled(WALK));
                }
                only(cost)
            }
            ("validate", _, [text, ..]) => only(size(text).scaled(WALK).scaled(FORMAT_PATTERN * PATTERN)),
            ("_==_", _, [a, b]) if a.of == b.of => {
                let Type::Object(of) = &a.of else { return None };
                match &**of {
                    "net.IP" | "net.CIDR" | "kubernetes.Quantity" | "kubernetes.Semver" => only(ONE),
                    of if of.starts_with("kubernetes.authorization.") => only(ONE),
                    "kubernetes.NamedFormat" => only(Estimate { min: 1, max: FORMAT_NAME }.scaled(WALK)),
                    "kubernetes.URL" => {
                        let size = b.size.unwrap_or(ONE);
                        only(Estimate { min: 1, max: size.max }.scaled(WALK))
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// An item of a list; `None` of what has none.
    fn item(&self, list: &Node<'e>) -> Option<Node<'e>> {
        let of = match &list.of {
            Type::List(of) | Type::Optional(of) => (**of).clone(),
            Type::Map(of) => of.0.clone(),
            _ => return None,
        };
        let mut path = list.path.clone();
        if !path.is_empty() {
            path.push("@items".into());
        }
        Some(Node { path, of, size: None, expr: None })
    }
}

/// A whole number that is written down.
fn number(node: &Node<'_>, otherwise: u64) -> u64 {
    match node.expr.map(|expr| &expr.kind) {
        Some(Kind::Literal(Literal::Int(number))) => u64::try_from(*number).unwrap_or(0),
        _ => otherwise,
    }
}

/// How long a text may be once parts of it are replaced.
fn replaced(text: Estimate, old: Estimate, new: Estimate) -> Estimate {
    let (mut count, mut kept) = (Estimate::NONE, Estimate::NONE);
    if old.min == 0 {
        // An empty part stands between all characters.
        count.max = text.max.saturating_add(1);
        kept.max = text.max;
    } else if new.max <= old.min {
        kept.max = text.max;
    } else {
        count.max = (text.max as f64 / old.min as f64).ceil() as u64;
    }
    if old.max == 0 {
        count.min = text.min.saturating_add(1);
        kept.min = text.min;
    } else if old.max <= new.min {
        kept.min = text.min;
    } else {
        count.min = (text.min as f64 / old.max as f64).ceil() as u64;
    }
    count.times(new).plus(kept)
}
