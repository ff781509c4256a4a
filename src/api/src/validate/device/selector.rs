//! Which devices a selector picks: an expression over `device`.
//!
//! In: its text. Out: its fault, worded as Kubernetes words it, or nothing. Sizes are those that ResourceSlices allow.

use std::sync::Arc;

use kedge_cel::{COST_PER_CALL, Checked, Provider, Sizes, Type};

use crate::field::FieldError;
use crate::validate::at::{At, Out};

const DEVICE: &str = "kubernetes.DRADevice";
/// Attributes, and capacities, that a device has at most.
const MOST: u64 = 32;
const LONGEST_DOMAIN: u64 = 63;
const LONGEST_ID: u64 = 32;
const LONGEST_VALUE: u64 = 64;

pub(super) fn check(at: &At<'_, '_>, out: &mut Out) {
    match Checked::compile_binding(at.text(), &[("device", Type::object(DEVICE))], &Device) {
        Err(issues) => out.invalid(at, format!("compilation failed: {issues}")),
        Ok(checked) if !matches!(checked.output(), Type::Bool | Type::Dyn) => {
            let is = checked.output().full_name();
            out.invalid(at, format!("must evaluate to bool or the unknown type, not {is}"));
        }
        Ok(checked) if checked.estimate(&Device).max > COST_PER_CALL => {
            out.push(FieldError::forbidden(&at.path, "too complex, exceeds cost limit"));
        }
        Ok(_) => {}
    }
}

/// The type of `device`, and how large what it has may be.
struct Device;

impl Provider for Device {
    fn has_type(&self, name: &str) -> bool {
        name == DEVICE
    }

    fn field(&self, of: &str, name: &str) -> Option<Type> {
        // By domain, then by name.
        let two = |of| Type::map(Type::Text, Type::map(Type::Text, of));
        match name {
            _ if of != DEVICE => None,
            "driver" => Some(Type::Text),
            "allowMultipleAllocations" => Some(Type::Bool),
            "attributes" => Some(two(Type::Dyn)),
            "capacity" => Some(two(Type::object("kubernetes.Quantity"))),
            _ => None,
        }
    }
}

impl Sizes for Device {
    fn largest(&self, path: &[Arc<str>]) -> Option<u64> {
        let steps: Vec<&str> = path.get(1..)?.iter().map(|step| &**step).collect();
        match steps[..] {
            [] => Some(0),
            ["driver"] => Some(LONGEST_DOMAIN),
            ["allowMultipleAllocations"] => Some(1),
            ["attributes" | "capacity"] => Some(MOST),
            ["attributes" | "capacity", "@keys"] => Some(LONGEST_DOMAIN),
            ["attributes" | "capacity", "@items" | "@values"] => Some(MOST),
            ["attributes" | "capacity", "@items" | "@values", "@keys"] => Some(LONGEST_ID),
            // Whatever it is called.
            ["attributes", "@items" | "@values", _] => Some(LONGEST_VALUE),
            ["capacity", "@items" | "@values", "@items" | "@values"] => Some(0),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::Path;
    use serde_json::Value;

    #[track_caller]
    fn row(text: &str, fault: &str) {
        let (value, mut out) = (Value::from(text), Out::default());
        check(&At { value: &value, path: Path::root("expression") }, &mut out);
        let seen = out.errors.first().map(ToString::to_string).unwrap_or_default();
        assert!(if fault.is_empty() { seen.is_empty() } else { seen.contains(fault) }, "{text}: {seen}");
    }

    #[test]
    fn selectors_are_compiled_and_may_not_cost_too_much() {
        row("device.driver == 'a.example'", "");
        row("device.attributes['a.example'].model == 'x' && device.attributes['a.example'].?free.orValue(true)", "");
        row("device.attributes['a.example'].ready", "");
        row("device.capacity['a.example'].memory.isGreaterThan(quantity('10Gi'))", "");
        row(
            "cel.bind(own, device.attributes['a.example'], own.fast && own.version.isGreaterThan(semver('1.0.0')))",
            "",
        );
        row("'a.example' in device.attributes && !device.allowMultipleAllocations", "");
        row("device.attributes['a.example'].services.matches('a.*b')", "");
        row("device.drivers == 'a'", "compilation failed: ERROR: <input>:1:7: undefined field 'drivers'");
        row("device.driver", "must evaluate to bool or the unknown type, not string");
        row("device.driver ==", "compilation failed: ERROR: <input>:1:17: Syntax error");
        row("object.x", "undeclared reference to 'object'");
        row("cel.bind(1, 2, true)", "cel.bind() variable names must be simple identifiers");
        let loops = "device.attributes.all(a, device.attributes.all(b, device.attributes.all(c, \
                     device.attributes.all(d, a + b + c + d == ''))))";
        row(loops, "Forbidden: too complex, exceeds cost limit");
    }

    #[test]
    fn names_are_bound_in_selectors_only() {
        let plain = Checked::compile("cel.bind(a, 1, a == 1)", &[], &kedge_cel::NoTypes);
        assert!(plain.unwrap_err().to_string().contains("undeclared reference to 'cel'"));
    }
}
