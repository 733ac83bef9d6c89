//! What people ask for, as plain data: between the command line and the stories that carry it out.

use super::agent::State;
use super::delegation::MayStart;
use super::feed::Cursor;
use super::guard::Guards;
use super::ids::{AgentId, Session};
use super::merge::How;
use super::profile::Permissions;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// `run`, as asked for.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// The task text.
    pub task: String,
    /// The chain of agent CLIs; `None`: the configured one, else the first that is installed.
    pub chain: Option<Vec<String>>,
    /// Models: for a named CLI, or for the first one.
    pub models: Vec<(Option<String>, String)>,
    /// Files to add to the prompt.
    pub context: Vec<PathBuf>,
    /// The session name wanted.
    pub name: Option<String>,
    /// What a new branch starts from; `None`: HEAD.
    pub base: Option<String>,
    /// A pull request to begin at, and to bring the result back into.
    pub pr: Option<String>,
    /// A pull request is to be opened for the result.
    pub open_pr: Option<OpenPr>,
    /// The labels that the pull request gets.
    pub labels: Vec<String>,
    /// A branch that is there, to work on.
    pub branch: Option<String>,
    /// No branch is to be made.
    pub no_new_branch: bool,
    /// The checkout itself is to be worked in.
    pub no_worktree: bool,
    /// A directory without a repository, to work in.
    pub dir: Option<PathBuf>,
    /// A new branch begins with what the checkout has uncommitted.
    pub with_changes: bool,
    /// Untracked files of the checkout to take along, in the syntax of `.gitignore`.
    pub copy: Vec<String>,
    /// The time allowed for all attempts together.
    pub timeout: Option<Duration>,
    /// What the agent may do; `None`: the configured level.
    pub permissions: Option<Permissions>,
    /// The command that makes the worktree ready for work.
    pub setup: Option<String>,
    /// The command that must succeed in the worktree.
    pub validate: Option<String>,
    /// No setup, also if the repository's `.ai_orch.toml` has one.
    pub no_setup: bool,
    /// No validation, also if that has one.
    pub no_validate: bool,
    /// That file is left out altogether.
    pub no_project_file: bool,
    /// How often an agent may repair what the validation found.
    pub repairs: u32,
    /// Variables to set for the agent.
    pub env: Vec<(OsString, OsString)>,
    /// US dollars allowed.
    pub budget_usd: Option<f64>,
    /// Whether to commit what the agent leaves uncommitted.
    pub commit: bool,
    /// What the agent is there for.
    pub role: Option<String>,
    /// What it belongs to; `None`: something of its own.
    pub context_id: Option<String>,
    /// What it may start.
    pub may_start: Option<MayStart>,
    /// What it may not do, beside what the settings say.
    pub guards: Guards,
    /// For one that another agent asked for: who it is.
    pub child: Option<ChildOf>,
}

/// A pull request that is to be opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpenPr {
    /// As a draft.
    pub draft: bool,
}

/// Who an agent is that another one asked for.
#[derive(Debug, Clone)]
pub struct ChildOf {
    /// The agent that asked for it.
    pub parent: AgentId,
    /// The name of that one.
    pub parent_name: Session,
    /// Its own id, which is on record with its parent.
    pub id: AgentId,
    /// What the commit is called that it starts from.
    pub base_name: String,
}

/// `resume`, as asked for.
#[derive(Debug, Clone, Default)]
pub struct Resume {
    /// The sessions.
    pub sessions: Vec<String>,
    /// Every agent that is interrupted.
    pub all: bool,
    /// A new task.
    pub task: Option<String>,
    /// Variables to set for the agents.
    pub env: Vec<(OsString, OsString)>,
}

/// `clean`, as asked for.
#[derive(Debug, Clone, Default)]
pub struct Clean {
    /// The sessions; none: every agent that has ended and is as the rest says.
    pub sessions: Vec<String>,
    /// Only those that are done.
    pub done: bool,
    /// Only those that ended at least so long ago.
    pub older_than: Option<Duration>,
    /// Only those whose work is merged, as it was or squashed; a branch that was squashed counts as merged then.
    pub merged: bool,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Run no teardown.
    pub no_teardown: bool,
    /// Remove what was saved of agents that were cleaned long ago.
    pub rescue: bool,
}

/// `merge`, as asked for.
#[derive(Debug, Clone)]
pub struct Merge {
    /// The agents, in their order.
    pub sessions: Vec<String>,
    /// The target; `None`: the branch that is checked out.
    pub into: Option<String>,
    /// How.
    pub how: How,
    /// The command that must succeed on each merged tree; `None`: that of the agent itself, if it has one.
    pub validate: Option<String>,
    /// No command at all.
    pub no_validate: bool,
    /// Agents whose branches are in conflict are asked to resolve that.
    pub resolve: bool,
    /// How long one test may take.
    pub limit: Duration,
    /// Go on with a run that was cut off.
    pub go_on: bool,
    /// Give it up.
    pub give_up: bool,
}

/// Where `events` begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Since {
    /// At the first change that is kept.
    #[default]
    Beginning,
    /// At the next one.
    Now,
    /// Behind a place that was told before.
    Cursor(Cursor),
}

/// `wait`, as asked for.
#[derive(Debug, Clone)]
pub struct Wait {
    /// The sessions.
    pub sessions: Vec<String>,
    /// The states to wait for; empty: any final state.
    pub until: Vec<State>,
    /// How long to wait at most.
    pub timeout: Option<Duration>,
}
