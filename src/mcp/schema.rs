//! The JSON schemas of what tools take, small: every model reads them in every turn.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

/// The schema of `T`, without what says nothing to a model.
pub(super) fn schema<T: JsonSchema>() -> Map<String, Value> {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.meta_schema = None;
        settings.inline_subschemas = true;
    });
    let schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    let Value::Object(mut schema) = schema else { return Map::new() };
    for key in ["title", "description"] {
        schema.remove(key);
    }
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for property in properties.into_iter().flat_map(Map::values_mut).filter_map(Value::as_object_mut) {
        for key in ["default", "format", "minimum", "maximum"] {
            property.remove(key);
        }
        // What need not be given is not in `required`; that it may also be null helps nobody.
        let one = property.get("type").and_then(Value::as_array).and_then(|types| types.first()).cloned();
        if let Some(one) = one {
            property.insert("type".to_owned(), one);
        }
    }
    schema
}

/// The names of what a tool takes, each with what it is.
pub(super) fn properties(schema: &Map<String, Value>) -> impl Iterator<Item = (&str, &str)> {
    let all = schema.get("properties").and_then(Value::as_object);
    let about = |value| Value::as_str(value).unwrap_or_default();
    all.into_iter()
        .flatten()
        .map(move |(key, value)| (key.as_str(), value.get("description").map_or("", about)))
}

#[cfg(test)]
mod tests {
    use super::super::forms::Create;
    use super::*;

    #[test]
    fn a_schema_says_names_types_and_what_must_be_given() {
        let schema = schema::<Create>();
        assert_eq!(schema["required"], serde_json::json!(["text"]));
        assert_eq!(schema["properties"]["priority"]["type"], "integer");
        assert_eq!(schema["properties"]["depends_on"]["items"]["type"], "string");
        assert!(!Value::Object(schema.clone()).to_string().contains("null"));
        assert!(properties(&schema).all(|(_, about)| !about.is_empty()));
    }
}
