//! What an agent may not do to branches, remotes and pull requests, and what was found when it did.

use super::glob::Glob;
use super::ids::path;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What an agent may not do. What its parent may not do, it may not do either.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Guards {
    /// Push anything anywhere.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_push: bool,
    /// Open a pull request.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_new_pr: bool,
    /// Make a branch.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_new_branch: bool,
    /// Move, make or delete branches whose names match, its own excepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub protected: Vec<Glob>,
}

impl Guards {
    /// Whether it may do everything.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the means to log in to a forge are taken away.
    pub const fn without_login(&self) -> bool {
        self.no_push || self.no_new_pr
    }

    /// Whether there are branches of the repository that it may not move or make.
    pub const fn over_branches(&self) -> bool {
        self.no_new_branch || !self.protected.is_empty()
    }

    /// What neither of the two allows.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.no_push |= other.no_push;
        self.no_new_pr |= other.no_new_pr;
        self.no_new_branch |= other.no_new_branch;
        for glob in &other.protected {
            if !self.protected.contains(glob) {
                self.protected.push(glob.clone());
            }
        }
        self
    }
}

/// All refs of a repository at one moment, by their full names.
pub type Refs = BTreeMap<String, String>;

/// What was there before an attempt. In a file of the attempt; its SHA-256 is in the journal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Census {
    /// The refs of the repository.
    pub refs: Refs,
    /// Its checkouts.
    pub checkouts: Vec<Checkout>,
    /// When a checkout came or went last, in nanoseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkouts_changed_ns: Option<i128>,
    /// What its remotes had; only where that matters.
    #[serde(default)]
    pub remotes: Vec<RemoteAt>,
    /// The SHA-256 of [`Rules`] as they were laid down for the attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<String>,
}

/// A checkout of a repository: where its HEAD is, and how much of that is in its log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkout {
    /// Its git directory.
    #[serde(with = "path")]
    pub admin_dir: PathBuf,
    /// The full name of the ref that HEAD is at, if it is at one.
    #[serde(default)]
    pub branch: Option<String>,
    /// The log of HEAD; `None`: there is none to be read.
    #[serde(default)]
    pub log: Option<Log>,
    /// The index; `None`: there is none, or it was not looked at.
    #[serde(default)]
    pub index: Option<Index>,
}

/// Which index a checkout has: git writes another file whenever it changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// How long it is, in bytes.
    pub bytes: u64,
    /// Which file it is (its inode).
    pub file: u64,
    /// When it changed last, in nanoseconds since 1970.
    pub changed_ns: i128,
}

/// A log that lines are added to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// How long it is, in bytes.
    pub bytes: u64,
    /// Which file it is (its inode): git writes another one when it forgets old lines.
    pub file: u64,
}

/// What a remote had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteAt {
    /// Its name in the repository.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// Its refs; `None`: it could not be asked.
    #[serde(default)]
    pub refs: Option<Refs>,
}

/// What was done that may not be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// A protected branch was moved.
    Moved,
    /// A branch was made.
    Made,
    /// A protected branch was deleted.
    Deleted,
    /// Something was pushed.
    Pushed,
    /// A pull request was opened.
    OpenedPr,
    /// The guardrails themselves were tampered with.
    Tampered,
    /// It could not be found out what was done; the name says why.
    NotCompared,
}

/// Who did it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Whose {
    /// The agent: its task has failed.
    Agent,
    /// An agent, and more than one was at work: it is put right, and none of them is blamed.
    SomeAgent,
    /// The agent, as far as that can be told from what it made: its task has failed, and nothing is touched.
    Likely,
    /// That is not certain: it is told, and nothing is touched.
    Unclear,
}

/// What has become of what was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It is as it was left.
    #[default]
    Stays,
    /// It is as it was before.
    PutBack,
}

/// Something that was done and may not be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// What.
    pub deed: Deed,
    /// To which ref, by its full name; for tampering, what was tampered with.
    pub name: String,
    /// On which remote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// What the ref held before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What it held after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Who did it.
    pub whose: Whose,
    /// What has become of it.
    #[serde(default)]
    pub fate: Fate,
    /// The ref under which is kept what it held after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
    /// What to type to undo it, where we did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// What the hook and what stands in front of git have to know: a file beside them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// What the agent may not do.
    pub guards: Guards,
    /// Its own branch, without what all begin with.
    pub own: String,
    /// The git directory of the repository.
    #[serde(with = "path")]
    pub common_dir: PathBuf,
    /// Where the hooks of the repository are.
    #[serde(with = "path")]
    pub hooks: PathBuf,
    /// Where it goes what was refused, one a line.
    #[serde(with = "path")]
    pub refused: PathBuf,
    /// The programs that something of ours stands in front of.
    pub shims: Vec<String>,
    /// Our own program file.
    #[serde(with = "path")]
    pub program: PathBuf,
}
