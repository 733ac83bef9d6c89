//! The tools: their names, what they take, and which story each one tells.

use crate::life::House;
use crate::model::report::ErrorBody;
use crate::ops::caller::Caller;
use crate::ops::{self, Error};
use crate::rules::nearest::nearest;
use rmcp::model::{Tool, ToolAnnotations};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Why a call came to nothing, for the model to read: what happened, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble(ErrorBody);

impl Trouble {
    /// As it is answered.
    pub(super) fn json(&self) -> Value {
        json!({"error": self.0})
    }

    fn input(message: String, hint: String) -> Self {
        Self(ErrorBody { code: "usage".to_owned(), message, hint: Some(hint) })
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self(error.body())
    }
}

/// What a call came to.
type Answer = std::result::Result<Value, Trouble>;

/// What a tool takes that takes nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {
    /// A name of yours for this call: the same call with the same name is done once.
    #[serde(default, rename = "op_id")]
    _op_id: Option<String>,
}

/// What a call does to the world, as clients ask before they let a model call.
#[derive(Debug, Clone, Copy)]
enum Does {
    /// It looks.
    Looks,
}

/// Every tool.
pub(super) fn offered() -> Vec<Tool> {
    vec![
        tool::<Nothing>(
            "whoami",
            "Who you are to other agents and to the person: name, role, context, branch, worktree.",
            Does::Looks,
        ),
        tool::<Nothing>(
            "list_agents",
            "The agents at work on this repository: name, role, context, what each one works on.",
            Does::Looks,
        ),
    ]
}

/// Calls the tool `name`.
pub(super) fn call(house: &House, name: &str, arguments: Value) -> Answer {
    let caller = Caller::of(house);
    match name {
        "whoami" => {
            read::<Nothing>(name, arguments)?;
            answer(&ops::whoami::whoami(&caller?)?)
        }
        "list_agents" => {
            read::<Nothing>(name, arguments)?;
            answer(&json!({"agents": ops::others::others(house, &caller?)?}))
        }
        _ => {
            let tools = offered();
            let names: Vec<&str> = tools.iter().map(|tool| tool.name.as_ref()).collect();
            let hint = match nearest(name, names.iter().copied()).first() {
                Some(near) => format!("did you mean {near}?"),
                None => format!("the tools are: {}", names.join(", ")),
            };
            Err(Trouble::input(format!("there is no tool {name}"), hint))
        }
    }
}

/// The arguments of a call, or what is wrong with them.
fn read<T: DeserializeOwned + JsonSchema>(name: &str, arguments: Value) -> std::result::Result<T, Trouble> {
    serde_json::from_value(arguments).map_err(|error| {
        let takes: Vec<String> =
            properties(&schema::<T>()).map(|(key, about)| format!("{key}: {about}")).collect();
        Trouble::input(format!("{name}: {error}"), format!("it takes {}", takes.join("; ")))
    })
}

fn properties(schema: &Map<String, Value>) -> impl Iterator<Item = (&String, &str)> {
    let all = schema.get("properties").and_then(Value::as_object);
    all.into_iter().flatten().map(|(key, value)| (key, value["description"].as_str().unwrap_or_default()))
}

fn answer(value: &impl Serialize) -> Answer {
    let value = serde_json::to_value(value).map_err(|e| Error::from(crate::a2a::Error::Json(e)))?;
    Ok(value)
}

fn tool<T: JsonSchema>(name: &'static str, about: &'static str, does: Does) -> Tool {
    let annotations = match does {
        Does::Looks => ToolAnnotations::new().read_only(true).open_world(false),
    };
    Tool::new(name, about, Arc::new(schema::<T>())).with_annotations(annotations)
}

/// The JSON schema of what a tool takes, small: every model reads it in every turn.
fn schema<T: JsonSchema>() -> Map<String, Value> {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.meta_schema = None;
        settings.inline_subschemas = true;
    });
    let schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    let Value::Object(mut schema) = schema else { return Map::new() };
    for key in ["title", "description"] {
        schema.remove(key);
    }
    schema
}
