//! What a repository asks for its worktrees in `.ai_orch.toml`, and what came of it for one agent.

use super::ids::path;
use super::report::VERSION;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The file, at the root of a checkout.
pub const FILE: &str = ".ai_orch.toml";
/// How long a teardown may take if the file does not say, in seconds.
pub const TEARDOWN_LIMIT: u64 = 60;

/// What the file asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectFile {
    /// Untracked files of the checkout to copy into each worktree, in the syntax of `.gitignore`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copy: Vec<String>,
    /// Files and directories of the checkout to link into each worktree, relative to the root.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub symlink: Vec<String>,
    /// The shell command that makes a worktree ready for work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setup: Option<String>,
    /// The shell command that must succeed before a task counts as done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validate: Option<String>,
    /// The shell command that puts away what a worktree has outside of itself, before it is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teardown: Option<String>,
    /// How long that may take, in seconds; absent: [`TEARDOWN_LIMIT`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teardown_limit: Option<u64>,
    /// Variables that hold the number of a free port, another one for each agent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<String>,
}

/// What an agent has of the file beside setup, validation and copies, which can be asked for without one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FromFile {
    /// What to link.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub symlink: Vec<String>,
    /// What to run before the worktree is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teardown: Option<Teardown>,
    /// The variables that hold ports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<String>,
}

/// A command to run before a worktree is removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Teardown {
    /// The shell command.
    pub command: String,
    /// How long it may take, in milliseconds.
    pub limit_ms: u64,
}

/// A port that is an agent's alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Port {
    /// The variable that holds it.
    pub name: String,
    /// Its number, on 127.0.0.1.
    pub port: u16,
}

/// A path that is not linked into a worktree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotLinked {
    /// The path, relative to the root.
    pub path: String,
    /// Why not.
    pub why: String,
}

/// What came of the paths to link.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Links {
    /// What is linked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub made: Vec<String>,
    /// What is not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<NotLinked>,
}

/// The end of a teardown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TornDown {
    /// Whether it succeeded.
    pub ok: bool,
    /// Its exit code; absent when a signal or the time limit ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<i32>,
    /// How long it took, in milliseconds.
    pub ms: u64,
    /// The end of its output.
    #[serde(default)]
    pub output: String,
}

/// What an agent has because of the file, as its journal tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outfit {
    /// Its ports, once they are its own.
    pub ports: Vec<Port>,
    /// What was linked into the worktree as it is now; `None`: nothing was tried yet.
    pub links: Option<Links>,
    /// Something may have run in the worktree since it was made or torn down.
    pub to_tear_down: bool,
    /// A teardown began whose end is not on record.
    pub tearing_down: bool,
    /// How the last teardown ended.
    pub torn_down: Option<TornDown>,
}

/// What programs read of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutfitReport {
    /// Its ports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
    /// What is linked to the checkout, and what is not; absent: nothing was to be linked, or not yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub links: Option<Links>,
    /// What is run before its worktree is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teardown: Option<Teardown>,
    /// How that ended last, if it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub torn_down: Option<TornDown>,
}

/// `trust --json`, and what a person is asked about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TrustReport {
    /// The version of this shape.
    pub v: u32,
    /// Where the file is, or would be.
    #[serde(with = "path")]
    #[schemars(with = "path::Form")]
    pub file: PathBuf,
    /// What it asks for; absent: there is no file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asks: Option<ProjectFile>,
    /// The SHA-256 of what has to be allowed, in hexadecimal digits; absent: nothing has to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// Whether all of it is allowed.
    pub allowed: bool,
    /// How many contents of the file were allowed in this repository, and are not any more.
    #[serde(default)]
    pub revoked: u32,
}

impl TrustReport {
    /// What is to be said of a checkout without the file.
    pub const fn nothing(file: PathBuf) -> Self {
        Self { v: VERSION, file, asks: None, hash: None, allowed: true, revoked: 0 }
    }
}
