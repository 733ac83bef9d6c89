//! An agent CLI described as data: how to start it, hand over the prompt, read it and tell why it failed.
//!
//! The TOML form of this type is what users write to add a CLI; `design/profiles.md` documents every key.

use super::failure::Class;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// How much an agent may do without asking.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Permissions {
    /// Look, change nothing.
    Read,
    /// Edit and run commands in the worktree.
    #[default]
    Work,
    /// Everything the user may do.
    Full,
}

impl Permissions {
    /// The word used on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Work => "work",
            Self::Full => "full",
        }
    }
}

/// What the task text is to the CLI.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// A prompt for a model: context and the brief of earlier attempts are added to it.
    #[default]
    Prompt,
    /// A program, handed over byte for byte; context and brief are files named in its environment.
    Script,
}

/// How the prompt reaches the CLI.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PromptBy {
    /// On standard input, which then ends.
    #[default]
    Stdin,
    /// As the argument `{prompt}`; a prompt over 100 KB becomes a private file and a one-line pointer to it.
    Argv,
    /// In a private file whose path is the argument `{prompt_file}`.
    File,
}

/// The format of what the CLI prints.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Lines for people; the exit code says how it went.
    #[default]
    Text,
    /// `claude --output-format stream-json --verbose`.
    Claude,
    /// `codex exec --json`.
    Codex,
    /// `gemini --output-format stream-json`.
    Gemini,
    /// `cursor-agent --output-format stream-json`.
    Cursor,
    /// One of the JSON formats above, recognised by its first line.
    Auto,
}

/// What is known about the price of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cost {
    /// The CLI does not say; a budget cannot be enforced.
    #[default]
    Unknown,
    /// The CLI reports US dollars.
    Reported,
    /// It calls no paid model.
    Free,
}

/// The arguments for one level of permissions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Arguments added to the command line.
    #[serde(default)]
    pub args: Vec<String>,
    /// One line for the user where the CLI cannot do exactly what the level says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The three levels of permissions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Grants {
    /// For `--permissions read`.
    #[serde(default)]
    pub read: Grant,
    /// For `--permissions work`.
    #[serde(default)]
    pub work: Grant,
    /// For `--permissions full`.
    #[serde(default)]
    pub full: Grant,
}

impl Grants {
    /// The arguments and note for `level`.
    pub const fn at(&self, level: Permissions) -> &Grant {
        match level {
            Permissions::Read => &self.read,
            Permissions::Work => &self.work,
            Permissions::Full => &self.full,
        }
    }
}

/// How the CLI is told of our MCP server. Nothing given: it is not, and the agent has our verbs in its PATH.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct McpRules {
    /// Arguments of every start.
    #[serde(default)]
    pub args: Vec<String>,
    /// For a CLI that takes it from its user's settings only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<McpHome>,
}

/// A home made of links to the user's own, with files of ours in it: the user's files stay as they are, and the CLI reads
/// and writes them through the links.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct McpHome {
    /// The variable that names the CLI's home. Where it is not set, the home is `HOME`.
    pub variable: String,
    /// The files, by their paths in the home (placeholders allowed, `{mcp_server}` too).
    pub files: BTreeMap<String, String>,
}

/// Variables of the agent's environment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnvRules {
    /// Set to these values (placeholders allowed).
    #[serde(default)]
    pub set: BTreeMap<String, String>,
    /// Removed.
    #[serde(default)]
    pub unset: Vec<String>,
}

/// One rule that turns what a CLI says into a failure class. The first rule that matches wins; within a rule all
/// conditions that are given must hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FailureRule {
    /// The class.
    pub class: Class,
    /// Any of these texts occurs in the message, whatever the case and the kind of apostrophe.
    #[serde(default)]
    pub text: Vec<String>,
    /// The HTTP status is one of these.
    #[serde(default)]
    pub status: Vec<u16>,
    /// The CLI's own code is one of these.
    #[serde(default)]
    pub code: Vec<String>,
    /// The exit code is one of these.
    #[serde(default)]
    pub exit: Vec<i32>,
}

/// Everything we know about one agent CLI.
///
/// Placeholders in arguments and variables: `{self}` our own program, `{prompt}`, `{prompt_file}`, `{model}`,
/// `{worktree}`, `{git_dir}` (the worktree's), `{git_common_dir}`, `{cli_session}` (a fresh UUID, or on resume the
/// id that the CLI gave), `{budget}` (US dollars left); `{mcp_file}` (a private file that tells of our MCP server),
/// `{mcp_json}` and `{mcp_toml}` (the same for a command line, without what is secret), `{mcp_server}` (in files of
/// `mcp.home` only).
///
/// A command line is put together in this order: `args`, `model`, the level's `permissions`, `mcp.args`, `budget`, `session`
/// or `resume`, `last`. A `resume` that is a subcommand (`exec OPTIONS resume ID`) therefore needs no list of its own for
/// the options before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The name people type: `[a-z0-9][a-z0-9-]*`.
    pub name: String,
    /// Other names for it.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// One line about it.
    #[serde(default)]
    pub about: String,
    /// The program: a name to find in PATH, or an absolute path.
    pub command: String,
    /// How to install it: one line to type.
    #[serde(default)]
    pub install: String,
    /// What the task text is to it.
    #[serde(default)]
    pub task: TaskKind,
    /// How the prompt reaches it.
    #[serde(default)]
    pub prompt: PromptBy,
    /// What it prints.
    #[serde(default)]
    pub events: Format,
    /// Whether it reports what it costs.
    #[serde(default)]
    pub cost: Cost,
    /// Arguments of every start.
    #[serde(default)]
    pub args: Vec<String>,
    /// Arguments added when a model is given (`{model}`).
    #[serde(default)]
    pub model: Vec<String>,
    /// Arguments that give a new conversation our id (`{cli_session}`).
    #[serde(default)]
    pub session: Vec<String>,
    /// Arguments that go on with a conversation (`{cli_session}`), in the place of `session`. Empty: it cannot.
    #[serde(default)]
    pub resume: Vec<String>,
    /// Arguments added when a budget is given (`{budget}`).
    #[serde(default)]
    pub budget: Vec<String>,
    /// Arguments that come last, after everything else (the prompt, for `argv`, best behind a `--`).
    #[serde(default)]
    pub last: Vec<String>,
    /// Arguments by level of permissions.
    #[serde(default)]
    pub permissions: Grants,
    /// How it is told of our MCP server.
    #[serde(default)]
    pub mcp: McpRules,
    /// Changes to the environment.
    #[serde(default)]
    pub env: EnvRules,
    /// How long an attempt may only retry, from the first sign of it, while a later CLI of the chain is usable.
    #[serde(default = "default_give_up_after", with = "seconds")]
    #[schemars(with = "u64")]
    pub give_up_after: Duration,
    /// How long it may print nothing at all before the attempt is stopped as stalled. 0: for ever.
    #[serde(default, with = "seconds")]
    #[schemars(with = "u64")]
    pub stall_after: Duration,
    /// How long it may take to end after a polite TERM before it is killed.
    #[serde(default = "default_stop_grace", with = "seconds")]
    #[schemars(with = "u64")]
    pub stop_grace: Duration,
    /// What its failures mean.
    #[serde(default, rename = "failure")]
    pub failures: Vec<FailureRule>,
}

/// [`Profile::give_up_after`] where a profile does not say it.
pub const DEFAULT_GIVE_UP_AFTER: Duration = Duration::from_secs(30);

/// [`Profile::stop_grace`] where a profile does not say it.
pub const DEFAULT_STOP_GRACE: Duration = Duration::from_secs(5);

const fn default_give_up_after() -> Duration {
    DEFAULT_GIVE_UP_AFTER
}

const fn default_stop_grace() -> Duration {
    DEFAULT_STOP_GRACE
}

/// Durations as whole seconds, as people write them in a profile.
mod seconds {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::time::Duration;

    pub(super) fn serialize<S: Serializer>(value: &Duration, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u64(value.as_secs())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        u64::deserialize(d).map(Duration::from_secs)
    }
}
