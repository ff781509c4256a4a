//! Priority: the number behind a pod's priority class.

use async_trait::async_trait;
use kedge_api::status::Status;
use kedge_api::{Object, meta};
use serde_json::{Value, json};

use super::{Admission, Attributes, Operation, Reader};

/// See the module.
#[derive(Debug)]
pub struct Priority;

const GROUP: &str = "scheduling.k8s.io";
const CLASSES: &str = "priorityclasses";

#[async_trait]
impl Admission for Priority {
    fn name(&self) -> &'static str {
        "Priority"
    }

    fn concerns(&self, attributes: &Attributes<'_>, _reader: Reader<'_>) -> bool {
        attributes.concerns("", "pods") || attributes.concerns(GROUP, CLASSES)
    }

    async fn mutate(
        &self,
        attributes: &Attributes<'_>,
        pod: &mut Object,
        old: Option<&Object>,
        reader: Reader<'_>,
    ) -> Result<(), Status> {
        if !attributes.is("", "pods") {
            return Ok(());
        }
        if let Some(old) = old {
            keep(pod, old);
            return Ok(());
        }
        if attributes.operation != Operation::Create {
            return Ok(());
        }
        let name = meta::text_at(pod, &["spec", "priorityClassName"]).to_owned();
        let class = if name.is_empty() {
            default_class(reader.list(GROUP, CLASSES, "").await?)
        } else {
            let Some(class) = reader.get(GROUP, CLASSES, "", &name).await? else {
                return Err(attributes.forbidden(format!("no PriorityClass with name {name} was found")));
            };
            Some(class)
        };
        decide(pod, class.as_ref()).map_err(|why| attributes.forbidden(why))
    }

    async fn validate(
        &self,
        attributes: &Attributes<'_>,
        class: Option<&Object>,
        _old: Option<&Object>,
        reader: Reader<'_>,
    ) -> Result<(), Status> {
        let writes = matches!(attributes.operation, Operation::Create | Operation::Update);
        let wants = |class: &&Object| class["globalDefault"] == true;
        let Some(class) = class.filter(|_| writes && attributes.is(GROUP, CLASSES)).filter(wants) else {
            return Ok(());
        };
        match default_class(reader.list(GROUP, CLASSES, "").await?) {
            Some(there) if attributes.operation == Operation::Create || meta::name(&there) != meta::name(class) => {
                let name = meta::name(&there);
                let why = format!("PriorityClass {name} is already marked as default. Only one default can exist");
                Err(attributes.forbidden(why))
            }
            _ => Ok(()),
        }
    }
}

/// An update that is silent about what this plugin decided leaves it as it is.
fn keep(pod: &mut Object, old: &Object) {
    let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) else { return };
    for field in ["priority", "preemptionPolicy"] {
        if let Some(value) = old["spec"].get(field)
            && spec.get(field).is_none_or(Value::is_null)
        {
            spec.insert(field.to_owned(), value.clone());
        }
    }
}

/// Of several global defaults the lowest counts.
fn default_class(classes: Vec<Object>) -> Option<Object> {
    classes.into_iter().filter(|c| c["globalDefault"] == true).min_by_key(|c| c["value"].as_i64())
}

fn decide(pod: &mut Object, class: Option<&Object>) -> Result<(), String> {
    let value = class.and_then(|c| c["value"].as_i64()).unwrap_or(0);
    let policy = class
        .and_then(|c| c.get("preemptionPolicy"))
        .and_then(Value::as_str)
        .unwrap_or("PreemptLowerPriority")
        .to_owned();
    let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) else { return Ok(()) };
    if let Some(given) = spec.get("priority").and_then(Value::as_i64).filter(|given| *given != value) {
        return Err(format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {value} from the given PriorityClass name"
        ));
    }
    if let Some(given) = spec.get("preemptionPolicy").and_then(Value::as_str).filter(|given| *given != policy) {
        return Err(format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller computed {policy} from the given PriorityClass name"
        ));
    }
    spec.insert("priority".into(), json!(value));
    spec.insert("preemptionPolicy".into(), json!(policy));
    if let Some(class) = class {
        spec.insert("priorityClassName".into(), json!(meta::name(class)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(spec: Value, class: Option<Value>, expected: Result<(i64, &str), &str>) {
        let mut pod = json!({"spec": spec});
        match (decide(&mut pod, class.as_ref()), expected) {
            (Ok(()), Ok((value, policy))) => {
                assert_eq!(pod["spec"]["priority"], value);
                assert_eq!(pod["spec"]["preemptionPolicy"], policy);
            }
            (Err(why), Err(text)) => assert!(why.contains(text), "{why}"),
            (seen, expected) => panic!("{seen:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn the_class_decides() {
        check(json!({}), None, Ok((0, "PreemptLowerPriority")));
        let class = json!({"metadata": {"name": "hi"}, "value": 7, "preemptionPolicy": "Never"});
        check(json!({}), Some(class.clone()), Ok((7, "Never")));
        check(json!({"priority": 7, "preemptionPolicy": "Never"}), Some(class.clone()), Ok((7, "Never")));
        check(json!({"priority": 8}), Some(class), Err("must not be provided"));
    }

    #[test]
    fn an_update_keeps_what_was_decided() {
        let mut pod = json!({"spec": {"priority": 9}});
        keep(&mut pod, &json!({"spec": {"priority": 7, "preemptionPolicy": "Never"}}));
        assert_eq!(pod["spec"], json!({"priority": 9, "preemptionPolicy": "Never"}));
    }

    #[test]
    fn of_several_defaults_the_lowest_counts() {
        let class = |name: &str, value: i64, default: bool| json!({"metadata": {"name": name}, "value": value, "globalDefault": default});
        let found = default_class(vec![class("a", 9, true), class("b", 3, true), class("c", 1, false)]).unwrap();
        assert_eq!(meta::name(&found), "b");
    }
}
