//! Which writes a policy or binding is about.
//!
//! In: its rules and selectors, a write. Out: in which version it wants the object, if at all.

use std::sync::Arc;

use kedge_api::kinds::Kind;
use kedge_api::selector::LabelSelector;
use kedge_api::status::Status;
use kedge_api::{Object, meta};
use serde_json::Value;

use super::read::selector;
use crate::admission::webhook::matching::{Asked, Rule, wanted};
use crate::admission::{Attributes, scope};
use crate::core::Core;

/// See the module.
#[derive(Debug)]
pub struct Matching {
    rules: Vec<Named>,
    excluded: Vec<Named>,
    namespaces: LabelSelector,
    objects: LabelSelector,
    equivalent: bool,
}

/// A rule that may name objects.
#[derive(Debug)]
struct Named {
    rule: Rule,
    names: Vec<String>,
}

/// The version that is wanted; `None` inside: the request's own.
pub type Wanted = Option<Option<Arc<Kind>>>;

impl Matching {
    /// Reads `matchConstraints` or `matchResources`.
    pub fn read(value: &Value) -> Matching {
        let rules = |key: &str| meta::list_at(value, &[key]).iter().map(Named::read).collect();
        let select =
            |key: &str| value.get(key).filter(|s| !s.is_null()).map_or_else(LabelSelector::everything, selector);
        Matching {
            rules: rules("resourceRules"),
            excluded: rules("excludeResourceRules"),
            namespaces: select("namespaceSelector"),
            objects: select("objectSelector"),
            equivalent: meta::text(value, "matchPolicy") != "Exact",
        }
    }

    /// Whether it is about the write, and in which version.
    pub(crate) async fn wants(
        &self,
        core: &Core,
        attributes: &Attributes<'_>,
        object: Option<&Object>,
        old: Option<&Object>,
    ) -> Result<Wanted, Status> {
        let asked = Asked {
            operation: attributes.operation,
            kind: attributes.kind,
            sub: attributes.subresource,
            namespace: scope::namespace(attributes),
        };
        if self.fits(&self.excluded, core, &asked, attributes.name).is_some() {
            return Ok(None);
        }
        let kind = match self.rules.is_empty() {
            true => Some(None),
            false => self.fits(&self.rules, core, &asked, attributes.name),
        };
        let selected = kind.is_some()
            && scope::selects_object(&self.objects, attributes, object, old)
            && scope::selects_namespace(&self.namespaces, core, attributes, object).await?;
        Ok(kind.filter(|_| selected))
    }

    fn fits(&self, rules: &[Named], core: &Core, asked: &Asked<'_>, name: &str) -> Wanted {
        let named: Vec<Rule> = rules
            .iter()
            .filter(|rule| rule.names.is_empty() || rule.names.iter().any(|own| own == name))
            .map(|rule| rule.rule.clone())
            .collect();
        if named.is_empty() { None } else { wanted(&named, self.equivalent, asked, &core.kinds()) }
    }
}

impl Named {
    fn read(rule: &Value) -> Named {
        let names = meta::list_at(rule, &["resourceNames"]).iter().filter_map(Value::as_str).map(str::to_owned);
        Named { rule: Rule::read(rule), names: names.collect() }
    }
}
