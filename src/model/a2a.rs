//! The words of the A2A protocol, version 1.0, that we use: its data types with their JSON names (the ProtoJSON form of
//! `specification/a2a.proto` of a2aproject/A2A, release 1.0.1). What is ours stands in `metadata`, below [`EXTENSION`].
//!
//! Readers skip fields they do not know, as the protocol asks; [`Message::check`] tells what it forbids.

use super::ids::Moment;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;

/// The version of the protocol.
pub const PROTOCOL: &str = "1.0";
/// The extension that our part of `metadata` is declared as: owner, lease, generation, priority, dependencies.
pub const EXTENSION: &str = "https://github.com/ai-orch/ai_orch/blob/main/design/a2a-files.md#work";
/// The binding that the files under the root are.
pub const FILE_BINDING: &str = "https://github.com/ai-orch/ai_orch/blob/main/design/a2a-files.md#binding";

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum TaskState {
    /// Waits to be claimed.
    #[serde(rename = "TASK_STATE_SUBMITTED")]
    Submitted,
    /// Somebody works on it.
    #[serde(rename = "TASK_STATE_WORKING")]
    Working,
    /// Whoever works on it waits for an answer.
    #[serde(rename = "TASK_STATE_INPUT_REQUIRED")]
    InputRequired,
    /// Whoever works on it waits for a login.
    #[serde(rename = "TASK_STATE_AUTH_REQUIRED")]
    AuthRequired,
    /// Done, for good.
    #[serde(rename = "TASK_STATE_COMPLETED")]
    Completed,
    /// Failed, for good.
    #[serde(rename = "TASK_STATE_FAILED")]
    Failed,
    /// Taken back, for good.
    #[serde(rename = "TASK_STATE_CANCELED")]
    Canceled,
    /// Will not be done, for good: a task that it depends on failed.
    #[serde(rename = "TASK_STATE_REJECTED")]
    Rejected,
}

impl TaskState {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::Submitted,
        Self::Working,
        Self::InputRequired,
        Self::AuthRequired,
        Self::Completed,
        Self::Failed,
        Self::Canceled,
        Self::Rejected,
    ];

    /// Whether nothing can change it any more.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Canceled | Self::Rejected)
    }

    /// Whether somebody holds the task.
    pub const fn is_held(self) -> bool {
        matches!(self, Self::Working | Self::InputRequired | Self::AuthRequired)
    }

    /// The word that people read and type.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Working => "working",
            Self::InputRequired => "input-required",
            Self::AuthRequired => "auth-required",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Rejected => "rejected",
        }
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// A unit of work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// Its id, given by whoever keeps it.
    pub id: String,
    /// What it belongs to.
    pub context_id: String,
    /// Where it stands.
    pub status: TaskStatus,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<Artifact>,
    /// What was said about it; the first message is the task itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Message>,
    /// What is not the protocol's, by the URI of its extension.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

/// Where a task stands, since when, and what was said about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskStatus {
    /// The state.
    pub state: TaskState,
    /// What whoever changed it said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Message>,
    /// Since when.
    pub timestamp: Moment,
}

/// Who speaks: whoever wants something, or whoever works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Role {
    /// Whoever wants something: a person, or an agent that asks another one.
    #[serde(rename = "ROLE_USER")]
    User,
    /// Whoever works on it.
    #[serde(rename = "ROLE_AGENT")]
    Agent,
}

/// Something said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// Its id, given by its sender.
    pub message_id: String,
    /// Who speaks.
    pub role: Role,
    /// What is said: at least one part.
    pub parts: Vec<Part>,
    /// What it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_id: Option<String>,
    /// The task it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// What is not the protocol's, by the URI of its extension.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// The extensions that were used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<String>,
    /// Other tasks it speaks of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reference_task_ids: Vec<String>,
}

impl Message {
    /// A message of one text.
    pub fn text(message_id: impl Into<String>, role: Role, text: impl Into<String>) -> Self {
        Self {
            message_id: message_id.into(),
            role,
            parts: vec![Part::text(text)],
            context_id: None,
            task_id: None,
            metadata: Map::new(),
            extensions: Vec::new(),
            reference_task_ids: Vec::new(),
        }
    }

    /// Its text parts, each on lines of its own.
    pub fn plain(&self) -> String {
        plain(&self.parts)
    }

    /// What the protocol forbids about it; `None` if nothing.
    pub fn check(&self) -> Option<&'static str> {
        if self.message_id.is_empty() {
            return Some("messageId is empty");
        }
        check_parts(&self.parts)
    }
}

/// The text parts, each on lines of its own.
pub fn plain(parts: &[Part]) -> String {
    let texts = parts.iter().filter_map(|part| part.text.as_deref());
    texts.collect::<Vec<_>>().join("\n")
}

fn check_parts(parts: &[Part]) -> Option<&'static str> {
    if parts.is_empty() {
        return Some("parts is empty");
    }
    parts.iter().find_map(Part::check)
}

/// A piece of a message or artifact: exactly one of text, bytes, a place, or data.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    /// Text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Bytes in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<String>,
    /// Where the content is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Any JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
    /// What is not the protocol's.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// The name of the file it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
}

impl Part {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), ..Self::default() }
    }

    /// What the protocol forbids about it; `None` if nothing.
    pub fn check(&self) -> Option<&'static str> {
        let kinds = [self.text.is_some(), self.raw.is_some(), self.url.is_some(), self.data.is_some()];
        match kinds.into_iter().filter(|kind| *kind).count() {
            1 => None,
            0 => Some("a part has none of text, raw, url and data"),
            _ => Some("a part has more than one of text, raw, url and data"),
        }
    }
}

/// Something that came of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Artifact {
    /// Its id, unique in its task.
    pub artifact_id: String,
    /// What it is made of: at least one part.
    pub parts: Vec<Part>,
    /// What it is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What is not the protocol's, by the URI of its extension.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// The extensions that were used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<String>,
}

impl Artifact {
    /// What the protocol forbids about it; `None` if nothing.
    pub fn check(&self) -> Option<&'static str> {
        if self.artifact_id.is_empty() {
            return Some("artifactId is empty");
        }
        check_parts(&self.parts)
    }
}

/// Who an agent is and what it can do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentCard {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Where it is reached.
    pub supported_interfaces: Vec<AgentInterface>,
    /// The version of the agent.
    pub version: String,
    /// What of the protocol it can do.
    pub capabilities: AgentCapabilities,
    /// The media types it takes.
    pub default_input_modes: Vec<String>,
    /// The media types it gives.
    pub default_output_modes: Vec<String>,
    /// What it can do.
    pub skills: Vec<AgentSkill>,
}

/// A place where an agent is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentInterface {
    /// Where.
    pub url: String,
    /// How: `JSONRPC`, `GRPC`, `HTTP+JSON`, or the URI of a binding.
    pub protocol_binding: String,
    /// The version of the protocol spoken there.
    pub protocol_version: String,
}

/// What of the protocol an agent can do.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentCapabilities {
    /// Whether it streams what happens.
    #[serde(default)]
    pub streaming: bool,
    /// Whether it calls back.
    #[serde(default)]
    pub push_notifications: bool,
    /// The extensions it knows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<AgentExtension>,
}

/// An extension of the protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentExtension {
    /// Its URI.
    pub uri: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether nothing works without it.
    #[serde(default)]
    pub required: bool,
}

/// Something an agent can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentSkill {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it is.
    pub description: String,
    /// Words to find it by.
    pub tags: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_protocols_own_json() {
        let task = json!({
            "id": "t1",
            "contextId": "c1",
            "status": {"state": "TASK_STATE_WORKING", "timestamp": "2026-03-12T10:00:00.000Z"},
            "artifacts": [{"artifactId": "a1", "parts": [{"url": "file:///x", "mediaType": "text/plain"}]}],
            "history": [{
                "messageId": "m1", "role": "ROLE_USER", "parts": [{"text": "do it"}, {"data": {"n": 1}}],
                "contextId": "c1", "taskId": "t1", "referenceTaskIds": ["t0"],
            }],
            "metadata": {EXTENSION: {"priority": 5}},
        });
        let read: Task = serde_json::from_value(task.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), task);
        assert_eq!(read.history[0].plain(), "do it");
        for state in TaskState::ALL {
            let name = serde_json::to_value(state).unwrap();
            let word = name.as_str().unwrap().strip_prefix("TASK_STATE_").unwrap().to_lowercase();
            assert_eq!(word.replace('_', "-"), state.word());
            assert!(!(state.is_held() && state.is_terminal()));
        }
        let unknown = json!({"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": ""}], "new": 1});
        assert!(serde_json::from_value::<Message>(unknown).is_ok(), "what a later version says is skipped");
    }

    #[test]
    fn what_the_protocol_forbids() {
        let message = |parts: Value| -> Message {
            serde_json::from_value(json!({"messageId": "m", "role": "ROLE_USER", "parts": parts})).unwrap()
        };
        for (parts, wrong) in [
            (json!([{"text": "x"}]), None),
            (json!([{"data": null, "text": "x"}]), None),
            (json!([]), Some("parts is empty")),
            (json!([{}]), Some("a part has none of text, raw, url and data")),
            (json!([{"text": "x", "url": "y"}]), Some("a part has more than one of text, raw, url and data")),
        ] {
            assert_eq!(message(parts.clone()).check(), wrong, "{parts}");
        }
        assert_eq!(Message::text("", Role::User, "x").check(), Some("messageId is empty"));
    }
}
