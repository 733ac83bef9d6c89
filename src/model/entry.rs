//! The entries of an agent's journal: what was intended, what was done, what was seen.
//!
//! The journal is the truth about an agent; everything else (board, lists, summaries) is made from it. Fields are only
//! ever added, and a reader skips what it does not know; `"v"` changes when that would not be enough.

use super::delegation::MayStart;
use super::delivery::{Delivery, PullRequest, Undelivered};
use super::event::Usage;
use super::failure::Failure;
use super::guard::{Finding, Guards};
use super::ids::{AgentId, ContextId, Moment, ProcessId, Project, RoleName, Session, path};
use super::place::Place;
use super::profile::Permissions;
use super::project_file::{FromFile, Links, Port, TornDown};
use super::report::ErrorBody;
use super::reservation::Crossed;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use uuid::Uuid;

/// The version of the journal that this program writes.
pub const VERSION: u32 = 1;

/// One line of a journal. Read with tolerance for what later versions write.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Record {
    /// Always [`VERSION`] when written by this program.
    pub v: u32,
    /// When it was written.
    pub at: Moment,
    /// What it says.
    #[serde(flatten)]
    pub entry: Entry,
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        super::tolerant::record(serde_json::Value::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}

/// One agent CLI of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Link {
    /// The profile's name.
    pub cli: String,
    /// The model to ask for, if one was given for this CLI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

/// What was asked for. Never changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// The agent's id.
    pub id: AgentId,
    /// The session name.
    pub session: Session,
    /// The repository's directory name in our state.
    pub project: Project,
    /// Where it works.
    #[serde(default, skip_serializing_if = "Place::is_usual")]
    pub place: Place,
    /// The git common directory of the repository; without one the directory in which the agent works.
    #[serde(with = "path")]
    pub common_dir: PathBuf,
    /// The checkout that `run` was called in.
    #[serde(with = "path")]
    pub checkout: PathBuf,
    /// The commit that the agent starts from; empty without a repository.
    pub base: String,
    /// What that commit was called (a branch, or what `--base` said).
    pub base_name: String,
    /// The branch that the agent works on, without `refs/heads/`; empty if it is none.
    pub branch: String,
    /// The directory that it works in.
    #[serde(with = "path")]
    pub worktree: PathBuf,
    /// The beginning of the task, one line.
    pub title: String,
    /// The chain of agent CLIs.
    pub chain: Vec<Link>,
    /// What the agent may do without asking.
    pub permissions: Permissions,
    /// The time allowed for all attempts together, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// The command that makes the worktree ready for work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setup: Option<String>,
    /// The command that must succeed in the worktree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validate: Option<String>,
    /// How often an agent may repair what the validation found.
    pub repairs: u32,
    /// The money allowed, in US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_usd: Option<f64>,
    /// Whether what the agent leaves uncommitted is committed.
    pub commit: bool,
    /// The names (never the values) of variables given with `--env`.
    #[serde(default)]
    pub env_names: Vec<String>,
    /// Whether there is context beside the task.
    #[serde(default)]
    pub has_context: bool,
    /// What it is there for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<RoleName>,
    /// What it belongs to, if that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_id: Option<ContextId>,
    /// The agent that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<AgentId>,
    /// What that one was called then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_name: Option<Session>,
    /// What it may start; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub may_start: Option<MayStart>,
    /// Untracked files of the checkout that are taken along, in the syntax of `.gitignore`, beside those that its `.worktreeinclude` names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copy: Vec<String>,
    /// The pull request that it began at the head of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull: Option<PullRequest>,
    /// What is done with the result once the task is done; absent: it stays on its branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deliver: Option<Delivery>,
    /// What it has of the repository's `.ai_orch.toml` beside that: those words, whatever the file says by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_file: Option<Box<FromFile>>,
    /// What it may not do.
    #[serde(default, skip_serializing_if = "Guards::is_none")]
    pub guards: Guards,
}

impl Spec {
    /// What the agent belongs to: what was said, else something of its own.
    pub fn context(&self) -> ContextId {
        self.context_id.clone().unwrap_or_else(|| self.id.into())
    }
}

/// Why an attempt was made, which decides what its prompt says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Turn {
    /// The first attempt: the task.
    Task,
    /// Another attempt came before: the task, and what was done so far.
    Handover,
    /// The validation failed: its output, in the same conversation where the CLI can go on with it.
    Repair,
    /// Its keeper went away in the middle of the attempt before: go on, in the same conversation where that can be.
    Resume,
    /// A new task on top of what is done, in the same conversation where that can be.
    Continue,
}

/// A task and the attempts made on it. The first one is the creation's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    /// Its number, from 2.
    pub n: u32,
    /// The beginning of its task, one line; absent: the task of the round before, once more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

/// Where the HEAD of a worktree was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadAt {
    /// The branch, if it was on one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The commit, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "result")]
pub enum Ending {
    /// The CLI did what it was asked.
    Done,
    /// It failed.
    Failed {
        /// Why.
        failure: Failure,
    },
    /// We stopped it because somebody killed the agent.
    Killed,
}

/// How an agent ended, for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Final {
    /// The task is done.
    Done,
    /// It failed.
    Failed,
    /// Somebody killed it.
    Killed,
}

/// What is on an agent's branch, or wherever the agent took its worktree.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Changes {
    /// The commit the worktree's HEAD is at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tip: Option<String>,
    /// Commits since the base.
    pub commits: u32,
    /// Files that differ from the base, uncommitted ones included.
    pub files: u32,
    /// Lines added.
    pub insertions: u32,
    /// Lines removed.
    pub deletions: u32,
    /// Whether the worktree holds changes that are on no branch.
    pub uncommitted: bool,
    /// Where the work is, if the agent left its branch: another branch, or `(no branch)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elsewhere: Option<String>,
}

impl Changes {
    /// Whether there is anything at all.
    pub const fn is_empty(&self) -> bool {
        self.commits == 0 && self.files == 0 && !self.uncommitted
    }
}

/// By what way a worktree got its files. What is in it is the same either way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "way", rename_all = "snake_case")]
pub enum Filled {
    /// They were copied from a checkout where that has the same.
    Copied {
        /// How many were.
        files: u64,
        /// How many git wrote.
        by_git: u64,
        /// Why a tree that was ready was not used, if there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pool: Option<String>,
    },
    /// git wrote all of them.
    CheckedOut {
        /// Why.
        why: String,
        /// Why a tree that was ready was not used, if there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pool: Option<String>,
    },
    /// They were made ready before anybody asked for them.
    Pooled {
        /// How many were.
        files: u64,
        /// How many others git wrote, or took away, because the commit is a later one.
        by_git: u64,
    },
}

impl Filled {
    /// The same, and why a tree that was ready was not used.
    #[must_use]
    pub fn without(mut self, why: Option<String>) -> Self {
        if let Self::Copied { pool, .. } | Self::CheckedOut { pool, .. } = &mut self {
            *pool = why;
        }
        self
    }
}

/// What a journal line says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum Entry {
    /// The agent exists: its name is reserved. Worktree and session are made after this.
    Created {
        /// What was asked for.
        spec: Box<Spec>,
        /// The process that creates it; while it lives, a missing keeper is not a lost one.
        by: ProcessId,
    },
    /// The creation failed; what was made of it has been taken back.
    NotCreated {
        /// Why.
        failure: Failure,
    },
    /// git has registered the worktree; it holds no files yet.
    WorktreeMade {
        /// Its root, without links.
        #[serde(with = "path")]
        path: PathBuf,
        /// Its own git directory, without links.
        #[serde(with = "path")]
        admin_dir: PathBuf,
    },
    /// A keeper took over.
    Started {
        /// The keeper.
        keeper: ProcessId,
    },
    /// The worktree is filled and is what it should be.
    Ready {
        /// How it was filled; absent in what older versions wrote.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        filled: Option<Filled>,
    },
    /// Ports are the agent's alone.
    PortsTaken {
        /// All of them.
        ports: Vec<Port>,
    },
    /// Files and directories of the checkout are linked into the worktree.
    Linked {
        /// Which, and which not.
        #[serde(flatten)]
        links: Links,
    },
    /// The command is about to run that puts away what the worktree has outside of itself.
    TearingDown,
    /// It has ended, and nothing of it runs any more.
    TornDown {
        /// How.
        #[serde(flatten)]
        how: TornDown,
    },
    /// A CLI is about to run: the process exists and waits for this line to be written.
    AttemptStarted {
        /// The attempt's number, from 1.
        n: u32,
        /// Its place in the chain, from 0.
        link: usize,
        /// Why it is made.
        turn: Turn,
        /// In the environment of every process of this attempt, as `AI_ORCH_ATTEMPT_ID`.
        mark: Uuid,
        /// The process, leader of a session of its own. Absent when the CLI is not installed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        process: Option<ProcessId>,
        /// The program that runs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        program: Option<String>,
        /// What the CLI cannot do exactly as asked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
        /// The CLI's own id of the conversation that it goes on with.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resumes: Option<String>,
        /// The SHA-256 of what is on record of the refs as they were before; absent: nothing of them is guarded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refs: Option<String>,
    },
    /// The CLI told the id of its conversation.
    Conversation {
        /// The attempt.
        n: u32,
        /// The CLI's own id.
        id: String,
        /// The model it says it uses.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model: Option<String>,
    },
    /// No process of the attempt is left.
    AttemptEnded {
        /// The attempt.
        n: u32,
        /// How it ended.
        #[serde(flatten)]
        ending: Ending,
        /// Its exit code.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit: Option<i32>,
        /// The signal that ended it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signal: Option<i32>,
        /// Tokens and cost, as far as reported.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usage: Option<Usage>,
        /// How long it ran, in milliseconds.
        ms: u64,
        /// The end of what the agent said, for people.
        #[serde(default)]
        answer: String,
    },
    /// The command ran that makes the worktree ready for work.
    SetUp {
        /// Whether it succeeded.
        ok: bool,
        /// Its exit code; absent when a signal or a time limit ended it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit: Option<i32>,
        /// How long it took, in milliseconds.
        ms: u64,
        /// The end of its output.
        #[serde(default)]
        output: String,
    },
    /// What the agent left uncommitted was committed on its branch.
    Committed {
        /// The attempt that left it.
        n: u32,
        /// The commit; absent when there was nothing to commit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        commit: Option<String>,
        /// Why it was not committed although there was something.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        skipped: Option<String>,
    },
    /// The validation command ran.
    Validated {
        /// The attempt it judged.
        n: u32,
        /// Whether it succeeded.
        ok: bool,
        /// Its exit code; absent when a signal or a time limit ended it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit: Option<i32>,
        /// How long it took, in milliseconds.
        ms: u64,
        /// The end of its output.
        #[serde(default)]
        output: String,
    },
    /// The result is about to be pushed.
    Delivering {
        /// The newest attempt.
        n: u32,
        /// The branch at the remote.
        branch: String,
        /// What it is to be.
        commit: String,
        /// What it is; absent: it is not there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        over: Option<String>,
    },
    /// The branch of the remote is at that commit.
    Pushed {
        /// The newest attempt.
        n: u32,
        /// The commit.
        commit: String,
    },
    /// The result is where it was to go.
    Delivered {
        /// The newest attempt.
        n: u32,
        /// The pull request that it is in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pull: Option<PullRequest>,
        /// There was nothing to deliver.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        nothing: bool,
        /// What is not exactly as asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// The result could not be delivered. It is on its branch.
    NotDelivered {
        /// The newest attempt.
        n: u32,
        /// Why not, and what to type.
        #[serde(flatten)]
        undelivered: Undelivered,
    },
    /// The keeper stopped without ending the task: it can be resumed.
    Interrupted {
        /// Why.
        why: String,
    },
    /// Whoever took over made sure that nothing of the last attempt runs any more.
    Fenced {
        /// Who.
        by: ProcessId,
        /// What it found running, and ended.
        ended: Vec<ProcessId>,
    },
    /// What was in the worktree was saved under a ref of its own.
    Rescued {
        /// The attempt at whose end it was saved.
        n: u32,
        /// It was saved because the worktree was about to be removed.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        removal: bool,
        /// The ref; absent when there was nothing to save.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// The commit that it holds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        commit: Option<String>,
        /// Why it could not be saved. The worktree stays, so nothing is lost by that.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
        /// What is not in it, in words, one line each.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        left: Vec<String>,
        /// What others had reserved at that moment of the files that the agent has changed since its base.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        crossed: Vec<Crossed>,
    },
    /// What the attempt did and may not do was found, and what of it can be put back is about to be.
    GuardFound {
        /// The attempt.
        n: u32,
        /// What was found.
        findings: Vec<Finding>,
        /// What could not be found out, in words, one line each.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        unknown: Vec<String>,
    },
    /// It is known what the attempt did that it may not do, and what can be put back is.
    Guarded {
        /// The attempt.
        n: u32,
        /// What was found, with what has become of it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        findings: Vec<Finding>,
        /// What could not be found out, in words, one line each.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        unknown: Vec<String>,
    },
    /// Somebody asked for it to go on: a keeper is about to start.
    Resumed {
        /// The process that starts it; while it lives, a missing keeper is not a lost one.
        by: ProcessId,
        /// A new round begins; absent: what was interrupted goes on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        round: Option<Round>,
    },
    /// It did not go on after all: no keeper came, and the round that was to begin is taken back.
    NotResumed {
        /// Why.
        why: String,
    },
    /// Its worktree is about to be removed.
    Cleaning {
        /// Where it is moved before it is deleted.
        #[serde(with = "path")]
        trash: PathBuf,
        /// Where its HEAD was.
        head: HeadAt,
    },
    /// Its worktree is removed and its name given back.
    Cleaned {
        /// The tip of its branch, if there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tip: Option<String>,
        /// Whether the branch was deleted as well.
        #[serde(default)]
        branch_deleted: bool,
    },
    /// Its worktree is about to be made again.
    Restoring {
        /// Its name from now on.
        session: Session,
        /// Its branch from now on.
        branch: String,
        /// Its worktree from now on.
        #[serde(with = "path")]
        worktree: PathBuf,
        /// Where HEAD was, for a worktree that somebody removed without us; else the removal told it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        head: Option<HeadAt>,
        /// The tip of its branch, for the same.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tip: Option<String>,
    },
    /// Name, branch and worktree are there again.
    Restored,
    /// A child is about to be started. What is taken for it is taken from here on.
    ChildBegun {
        /// The request.
        key: Uuid,
        /// Its id.
        child: AgentId,
        /// How many agents are taken for it.
        agents: u32,
        /// US dollars that are taken for it.
        usd: f64,
    },
    /// A child is there.
    ChildStarted {
        /// Its id.
        child: AgentId,
        /// Its name.
        session: Session,
    },
    /// A child is not there, and nothing is taken for it any more.
    ChildNotStarted {
        /// The request.
        key: Uuid,
        /// The id it had, or would have had.
        child: AgentId,
        /// Why not.
        error: ErrorBody,
    },
    /// The agent ended for good.
    Ended {
        /// How.
        state: Final,
        /// Why it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<Failure>,
        /// What is on its branch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        changes: Option<Changes>,
    },
    /// The journal was damaged: what of it could be read stands before this, what was there is kept beside it.
    Quarantined {
        /// What was wrong with it.
        why: String,
        /// Where it is.
        #[serde(with = "path")]
        kept: PathBuf,
    },
    /// An entry of a later version.
    #[serde(other)]
    Unknown,
}
