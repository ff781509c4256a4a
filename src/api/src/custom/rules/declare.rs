//! What a schema says of values, as expressions see it.
//!
//! In: a place in a schema. Out: its declaration; none where expressions cannot see it: values of no type.

use kedge_cel::declare::{Decl, Keep, TextFormat};
use serde_json::Value;

use crate::schema::ListType;
use crate::schema::custom::{Additional, Form, Place, Rule};

/// The declaration of a place. Schemas are nested no deeper than their builder allows.
pub fn decl(place: Place<'_>) -> Option<Decl> {
    let limit = |wanted: fn(Rule<'_>) -> Option<i64>| -> Option<u64> {
        place.rules().find_map(wanted).map(|most| u64::try_from(most).unwrap_or(0))
    };
    let max_length = || limit(|rule| if let Rule::MaxLength(most) = rule { Some(most) } else { None });
    Some(match place.form() {
        Form::Untyped => return None,
        Form::Boolean => Decl::BOOL,
        Form::Integer => Decl::INT,
        Form::Number => Decl::DOUBLE,
        Form::IntOrString => Decl::int_or_text(max_length()),
        Form::String => Decl::text(format(place), max_length(), longest_choice(place)),
        Form::Array => {
            let keep = match place.list_type() {
                ListType::Atomic => Keep::Atomic,
                ListType::Set => Keep::Set,
                keys @ ListType::Map(_) => Keep::Map(keys.keys().map(Box::from).collect()),
            };
            let most = limit(|rule| if let Rule::MaxItems(most) = rule { Some(most) } else { None });
            Decl::list(decl(place.items()?)?, keep, most)
        }
        Form::Object => match place.additional() {
            Some(Additional::Schema(values)) => {
                let most = limit(|rule| if let Rule::MaxProperties(most) = rule { Some(most) } else { None });
                Decl::map(decl(values)?, most)
            }
            _ => object(place),
        },
    })
}

fn object(place: Place<'_>) -> Decl {
    let required: Vec<&str> =
        place.rules().filter_map(|rule| if let Rule::Required(name) = rule { Some(name) } else { None }).collect();
    let name = format!("selfType{}", place.number());
    let mut fields: Vec<(String, Decl, bool)> = Vec::new();
    for (field, below) in place.properties() {
        if let Some(own) = decl(below) {
            let must = required.contains(&field) && below.default_json().is_empty();
            fields.push((field.to_owned(), own, must));
        }
    }
    if place.is_embedded() {
        // Every object has these, whatever its schema says of them.
        let text = || Decl::text(TextFormat::Plain, None, None);
        let metadata = [("name", text()), ("generateName", text())];
        let metadata = metadata.map(|(field, own)| (field.to_owned(), own, false));
        let metadata = Decl::object(&format!("{name}.metadata"), metadata);
        for (field, own) in [("apiVersion", text()), ("kind", text()), ("metadata", metadata)] {
            fields.retain(|(known, _, _)| known != field);
            fields.push((field.to_owned(), own, required.contains(&field)));
        }
    }
    Decl::object(&name, fields)
}

fn format(place: Place<'_>) -> TextFormat {
    let said = place.rules().find_map(|rule| if let Rule::Format(format) = rule { Some(format) } else { None });
    match said {
        Some("byte") => TextFormat::Byte,
        Some("duration") => TextFormat::Duration,
        Some("date") => TextFormat::Date,
        Some("date-time") => TextFormat::DateTime,
        _ => TextFormat::Plain,
    }
}

/// The longest of the texts that it may be.
fn longest_choice(place: Place<'_>) -> Option<u64> {
    let choices = place.rules().find_map(|rule| if let Rule::Enum(values) = rule { Some(values) } else { None })?;
    choices.iter().filter_map(Value::as_str).map(|text| text.len() as u64).max()
}
