//! How a CLI is told of our MCP server, in each of the forms that CLIs take. Pure, like all of this room.

use serde_json::{Value, json};
use std::path::PathBuf;

/// The name of the server: what tools are called by to a model begins with it.
pub const NAME: &str = "ai_orch";

/// Our MCP server as one attempt is to start it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct McpServer {
    /// Our own program.
    pub program: PathBuf,
    /// The variables that tell it where everything lies. They may stand on a command line.
    pub places: Vec<(String, String)>,
    /// The variables that tell it who the agent is. Values are secret: they stand in private files only.
    pub identity: Vec<(String, String)>,
    /// The private file that tells of it.
    pub file: PathBuf,
    /// Where a home of links may be made.
    pub home: PathBuf,
}

impl McpServer {
    /// The server as JSON, with everything it needs: for private files.
    pub fn whole(&self) -> Value {
        self.entry(self.places.iter().chain(&self.identity))
    }

    /// What the private file holds: the server by its name, as most CLIs take it.
    pub fn file_text(&self) -> String {
        by_name(&self.whole())
    }

    /// The same for a command line: who the agent is, it learns from the environment that it inherits.
    pub fn json(&self) -> String {
        by_name(&self.entry(&self.places))
    }

    /// The server as a TOML table on one line. Who the agent is stands there by the names of variables to pass on.
    pub fn toml(&self) -> String {
        let places: Vec<_> = self.places.iter().map(|(k, v)| format!("{k}={}", quoted(v))).collect();
        let names: Vec<_> = self.identity.iter().map(|(k, _)| quoted(k)).collect();
        format!(
            "{{command={},args=[\"mcp\"],env={{{}}},env_vars=[{}]}}",
            quoted(&self.program.to_string_lossy()),
            places.join(","),
            names.join(",")
        )
    }

    fn entry<'a>(&self, env: impl IntoIterator<Item = &'a (String, String)>) -> Value {
        let env: serde_json::Map<_, _> =
            env.into_iter().map(|(k, v)| (k.clone(), v.clone().into())).collect();
        // Tools that are only looked for when a model thinks of looking are never found.
        json!({"command": self.program.to_string_lossy(), "args": ["mcp"], "env": env, "alwaysLoad": true})
    }
}

fn by_name(entry: &Value) -> String {
    json!({"mcpServers": {NAME: entry}}).to_string()
}

/// `text` as a TOML string: JSON writes the same escapes, but for DEL.
fn quoted(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_stand_in_the_private_file_only() {
        let server = McpServer {
            program: "/opt/a \"b\"\u{7f}/ai_orch".into(),
            places: vec![("AI_ORCH_ROOT".into(), "/r\\".into())],
            identity: vec![("AI_ORCH_TOKEN".into(), "s3cret".into())],
            ..McpServer::default()
        };
        assert!(server.file_text().contains("s3cret"));
        assert!(!server.json().contains("s3cret") && !server.toml().contains("s3cret"));
        let read: Value = serde_json::from_str(&server.json()).unwrap();
        assert_eq!(read["mcpServers"]["ai_orch"]["env"]["AI_ORCH_ROOT"], "/r\\");
        let read: toml::Table = toml::from_str(&format!("x={}", server.toml())).unwrap();
        assert_eq!(read["x"]["command"].as_str().unwrap(), server.program.to_str().unwrap());
        assert_eq!(read["x"]["env"]["AI_ORCH_ROOT"].as_str(), Some("/r\\"));
        assert_eq!(read["x"]["env_vars"][0].as_str(), Some("AI_ORCH_TOKEN"));
    }
}
