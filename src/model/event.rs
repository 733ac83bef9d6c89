//! What an agent CLI does, as events of one vocabulary whatever the CLI.

use super::failure::Trouble;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Tokens and money. Each report of a CLI replaces the one before: the numbers are totals of one attempt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    /// Tokens that went in, cached ones included.
    pub input_tokens: u64,
    /// Tokens that came out.
    pub output_tokens: u64,
    /// US dollars, if the CLI reports them. Absent means unknown, never free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
}

/// One thing an agent CLI told us, translated from its own format.
///
/// All text in here is untrusted: it may hold any escape sequence. It is stored as it came and made harmless
/// where it is printed ([`super::text::Shown`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// The conversation exists; with the id by which the CLI can go on with it.
    Session {
        /// The CLI's own id of the conversation.
        id: String,
        /// The model it says it uses.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model: Option<String>,
    },
    /// The agent began to say something; the text follows as one [`Event::Message`] when it is whole. For CLIs that
    /// stream their answer in small pieces: without it a long answer would look like silence.
    Writing,
    /// The agent said something.
    Message {
        /// What it said.
        text: String,
    },
    /// The agent thought aloud.
    Thinking {
        /// What it thought.
        text: String,
    },
    /// The agent began to use a tool.
    Tool {
        /// The tool's name.
        name: String,
        /// The command, path or other one-line gist of its input.
        detail: String,
    },
    /// A tool that the agent used ended.
    ToolDone {
        /// Whether it succeeded.
        ok: bool,
        /// The beginning of its output.
        detail: String,
    },
    /// The agent was not allowed to use a tool.
    Denied {
        /// The tool's name.
        name: String,
        /// What it wanted to do.
        detail: String,
    },
    /// Tokens and cost so far.
    Usage(Usage),
    /// The CLI had trouble and tries again by itself.
    Retrying(Trouble),
    /// The CLI says something that is no failure.
    Notice {
        /// What it says.
        text: String,
    },
    /// The CLI says how the turn ended. Only the last one of an attempt counts.
    Finished {
        /// Whether the CLI calls it a success.
        ok: bool,
        /// The final answer, where the CLI repeats it.
        #[serde(default)]
        text: String,
        /// What went wrong.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trouble: Option<Trouble>,
    },
    /// A line of a plain-text agent, or a line that is not of the CLI's format.
    Line {
        /// The line, without its end.
        text: String,
    },
}

impl Event {
    /// Whether the agent moves forward: after such an event a CLI is no longer "only retrying".
    pub const fn is_progress(&self) -> bool {
        matches!(
            self,
            Self::Writing
                | Self::Message { .. }
                | Self::Thinking { .. }
                | Self::Tool { .. }
                | Self::ToolDone { .. }
        )
    }
}
