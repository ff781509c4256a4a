//! Columns of tables.
//!
//! In: literals. Out: [`Column`] and its JSON.

use serde_json::{Value, json};

/// One column of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Heading, as in `Ready`.
    pub name: &'static str,
    /// OpenAPI type of the cells.
    pub kind: &'static str,
    /// OpenAPI format; `name` marks the object's name.
    pub format: &'static str,
    /// 0 is always shown, more only in the wide form.
    pub priority: u8,
    /// What it shows.
    pub description: &'static str,
}

impl Column {
    const fn new(name: &'static str, kind: &'static str, description: &'static str) -> Column {
        Column { name, kind, format: "", priority: 0, description }
    }

    /// Of text.
    pub(super) const fn text(name: &'static str, description: &'static str) -> Column {
        Column::new(name, "string", description)
    }

    /// Of integers.
    pub(super) const fn int(name: &'static str, description: &'static str) -> Column {
        Column::new(name, "integer", description)
    }

    /// Of truths.
    pub(super) const fn bool(name: &'static str, description: &'static str) -> Column {
        Column::new(name, "boolean", description)
    }

    /// Of times.
    pub(super) const fn time(name: &'static str, description: &'static str) -> Column {
        let mut column = Column::new(name, "date", description);
        column.format = "";
        column
    }

    /// Shown in the wide form only.
    pub(super) const fn wide(mut self) -> Column {
        self.priority = 1;
        self
    }

    /// A `TableColumnDefinition`.
    pub fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "type": self.kind,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        })
    }
}

/// The column of the object's name.
pub(super) const fn name() -> Column {
    let mut column = Column::text("Name", "The name of the object, unique within its namespace.");
    column.format = "name";
    column
}

/// The column of the object's age.
pub(super) const fn age() -> Column {
    Column::text("Age", "How long ago the object was made.")
}

/// The names of a template's containers.
pub(super) const fn containers() -> Column {
    Column::text("Containers", "Names of each container in the template.").wide()
}

/// The images of a template's containers.
pub(super) const fn images() -> Column {
    Column::text("Images", "Images referenced by each container in the template.").wide()
}

/// The selector of pods.
pub(super) const fn selector() -> Column {
    Column::text("Selector", "The label query over pods.").wide()
}
