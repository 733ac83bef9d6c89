//! Bringing what agents did into a branch: what is on record of it, and what is told.
//!
//! One run brings in the branches of one or more agents, one after another. Its journal is the truth about it, so that whoever
//! goes on with a run that was cut off does nothing twice.

use super::ids::{AgentId, Moment, ProcessId, Project, Session};
use super::project_file::Port;
use super::report::ErrorBody;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use uuid::Uuid;

/// The version of the journal that this program writes.
pub const VERSION: u32 = 1;

/// How a branch is brought in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// As `git merge` does: by moving the target on where that is enough, else by a commit with two parents.
    #[default]
    Merge,
    /// By one commit on top of the target.
    Squash,
    /// Commit by commit on top of the target.
    Rebase,
    /// By moving the target on, or not at all.
    FfOnly,
}

/// What was asked for. Never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The run.
    pub id: Uuid,
    /// The repository's directory name in our state.
    pub project: Project,
    /// The target, without `refs/heads/`.
    pub into: String,
    /// Where that was.
    pub from: String,
    /// How.
    pub how: How,
    /// The agents, in their order.
    pub items: Vec<Item>,
}

/// One agent of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Its id.
    pub agent: AgentId,
    /// Its name.
    pub session: Session,
    /// Its branch.
    pub branch: String,
    /// The tip of that, which is what is brought in.
    pub tip: String,
    /// The beginning of its task, one line.
    pub title: String,
    /// The command that must succeed on the merged tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validate: Option<String>,
    /// What its worktree had beside its files, which the place of a test has as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outfit: Option<Box<Outfit>>,
    /// What is to be known of it beside what becomes of its branch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What was made and set for an agent's worktree because it, or its repository, asked for that.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outfit {
    /// The checkout that files are taken from.
    pub checkout: PathBuf,
    /// The command that makes a worktree ready for work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setup: Option<String>,
    /// What is copied from the checkout.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copy: Vec<String>,
    /// What is shared with it by a link.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub symlink: Vec<String>,
    /// The agent's ports, on which nobody listens now that it has ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
}

/// Why an agent's work was not brought in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "because")]
pub enum Why {
    /// Both changed the same.
    Conflict {
        /// Where.
        paths: Vec<String>,
    },
    /// The target has commits that the branch does not have.
    NotFastForward,
    /// It has merge commits, whose changes a rebase would drop.
    HasMerges,
    /// The merged tree did not pass.
    Validation {
        /// The exit code; absent when a signal or the time limit ended it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit: Option<i32>,
    },
    /// The setup command failed on the merged tree, so that it was not validated.
    Setup {
        /// The exit code; absent when a signal or the time limit ended it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit: Option<i32>,
    },
}

/// One line of the journal of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Always [`VERSION`] when written by this program.
    pub v: u32,
    /// When it was written.
    pub at: Moment,
    /// What it says.
    #[serde(flatten)]
    pub entry: Entry,
}

/// What a journal line says. `item` is a place in [`Spec::items`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum Entry {
    /// The run was asked for.
    Begun {
        /// What was asked for.
        spec: Box<Spec>,
        /// Who does it.
        by: ProcessId,
    },
    /// The merged commit is made, and kept under a ref of ours. The target is where it was.
    Made {
        /// Of which agent.
        item: usize,
        /// Where the target was.
        onto: String,
        /// The commit.
        commit: String,
    },
    /// The validation command ran on a merged tree.
    Tested {
        /// Of which agent.
        item: usize,
        /// The merged commit.
        commit: String,
        /// Whether it succeeded.
        ok: bool,
        /// Its exit code.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit: Option<i32>,
        /// How long it took, in milliseconds.
        ms: u64,
        /// The end of its output.
        output: String,
        /// It was the setup command, which failed; the validation did not run.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        setup: bool,
    },
    /// The target is about to be moved.
    Moving {
        /// By which agent's work.
        item: usize,
        /// From here.
        from: String,
        /// To there.
        to: String,
        /// The checkout whose files are moved with it; absent if it is checked out nowhere.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        checkout: Option<PathBuf>,
    },
    /// The target was not moved, because something was in the way or somebody else moved it, or what was moved of it is taken back:
    /// nothing of that is half done.
    NotMoved {
        /// By which agent's work.
        item: usize,
    },
    /// The target is moved.
    Moved {
        /// By which agent's work.
        item: usize,
        /// To there.
        to: String,
    },
    /// The target has all of it already.
    Nothing {
        /// Of which agent.
        item: usize,
    },
    /// It is left out.
    LeftOut {
        /// Which agent's work.
        item: usize,
        /// Why.
        #[serde(flatten)]
        why: Why,
    },
    /// Somebody gave the run up.
    GivenUp,
    /// Every agent is through.
    Ended,
}

/// How far an agent's work has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// Its turn has not come, or the run was cut off in the middle of it.
    Waits,
    /// The target has it.
    Merged,
    /// The target had it before.
    Nothing,
    /// It is left out.
    LeftOut,
}

/// `merge --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MergeReport {
    /// The version of this shape.
    pub v: u32,
    /// The run.
    pub id: String,
    /// The target.
    pub into: String,
    /// How.
    pub how: How,
    /// Where the target was.
    pub from: String,
    /// Where it is.
    pub tip: String,
    /// The agents, in their order.
    pub agents: Vec<MergedReport>,
    /// Whether the run is over.
    pub ended: bool,
}

/// One agent in [`MergeReport`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MergedReport {
    /// The agent.
    pub session: Session,
    /// Its branch.
    pub branch: String,
    /// What of it was to be brought in.
    pub tip: String,
    /// How far it has come.
    pub fate: Fate,
    /// The commit that the target was moved to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// What the validation command said of the merged tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tested: Option<TestReport>,
    /// Why it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<ErrorBody>,
    /// The files in which both changed the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<String>,
    /// What is to be known beside it: that the agent failed, or that it has work that is on no branch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// It was asked to bring its branch in line with the target.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub asked: bool,
}

/// A run of the validation command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TestReport {
    /// Whether it succeeded.
    pub ok: bool,
    /// Its exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<i32>,
    /// How long it took, in milliseconds.
    pub ms: u64,
    /// The end of its output.
    pub output: String,
    /// It was the setup command, which failed; the validation did not run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub setup: bool,
}
