//! Names of objects that expressions make, held against the fields they stand at.
//!
//! In: a value. Out: what is named otherwise than the path to it. `Object.spec` belongs at `spec` of `Object`.

use super::{Map, Value};

impl Value<'_> {
    /// Every object within whose name is not the path to it from here.
    pub fn misnamed(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if let Value::Struct(made) = self {
            self.check_names(&made.name, &mut faults);
        }
        faults
    }

    fn check_names(&self, path: &str, faults: &mut Vec<String>) {
        match self {
            Value::Struct(made) => {
                if *made.name != *path {
                    faults.push(format!(
                        "unexpected type name {:?}, expected {path:?}, which matches field name path from root Object type",
                        &*made.name
                    ));
                }
                for (name, value) in &made.fields {
                    value.check_names(&format!("{path}.{name}"), faults);
                }
            }
            Value::List(list) => list.iter().flatten().for_each(|item| item.check_names(path, faults)),
            Value::Map(Map::Made(map)) => map.values().for_each(|value| value.check_names(path, faults)),
            _ => {}
        }
    }
}
