//! What programs read: the shapes of `--json`, of the board and of errors. All carry `"v":1`; their schemas are in
//! `design/formats`, made from these types.

use super::agent::State;
use super::delivery::{PullRequest, Undelivered};
use super::entry::{Changes, Link};
use super::event::Usage;
use super::failure::Failure;
use super::guard::{Finding, Guards};
use super::ids::{AgentId, ContextId, Moment, Project, RoleName, Session, path};
use super::place::Place;
use super::project_file::{OutfitReport, TornDown};
use super::reservation::Crossed;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The version of every shape in this file.
pub const VERSION: u32 = 1;

/// Something noticed about an agent that its state alone does not say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Remark {
    /// The keeper is gone, and the agent's own processes go on without it.
    AgentStillRunning {
        /// One of them.
        pid: i32,
    },
    /// The keeper is gone.
    KeeperGone,
    /// The keeper lives, but its tmux session is gone.
    SessionGone,
    /// tmux did not say whether the session is there.
    TmuxUnknown {
        /// Why.
        why: String,
    },
    /// The keeper lives, but its board entry is missing or older than its journal; the journal was read instead.
    BoardMissing,
    /// The record could not be read.
    Damaged {
        /// What is wrong with it.
        why: String,
    },
    /// The worktree is gone.
    WorktreeGone,
    /// `clean` was cut off: calling it again finishes it, `undo` takes it back.
    CleanCutOff,
    /// `undo` was cut off: calling it again finishes it.
    UndoCutOff,
    /// Written by a later version of this program; what it says may be incomplete.
    Newer,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AttemptReport {
    /// Its number, from 1.
    pub n: u32,
    /// The agent CLI.
    pub cli: String,
    /// The model: the one the CLI told, else the one asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Why it was made: `task`, `handover`, `repair`.
    pub turn: super::entry::Turn,
    /// `running`, `done`, `failed`, `killed` or `interrupted`.
    pub result: String,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Exit code of the CLI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<i32>,
    /// Signal that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// When it began.
    pub started: Moment,
    /// How long it ran, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms: Option<u64>,
    /// Tokens and cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The CLI's own id of the conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// What the CLI could not do exactly as asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The end of what the agent said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub answer: String,
}

/// A run of the setup command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SetupReport {
    /// Whether it succeeded.
    pub ok: bool,
    /// Its exit code; absent when a signal ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<i32>,
    /// How long it took, in milliseconds.
    pub ms: u64,
    /// The end of its output.
    pub output: String,
}

/// A run of the validation command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ValidationReport {
    /// The attempt it judged.
    pub n: u32,
    /// Whether it succeeded.
    pub ok: bool,
    /// Exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<i32>,
    /// How long it took, in milliseconds.
    pub ms: u64,
    /// The end of its output.
    pub output: String,
}

/// How far a result has come on its way to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Arrival {
    /// The task is not done yet.
    Pending,
    /// There was nothing to deliver.
    Nothing,
    /// It is where it was to go.
    Delivered,
    /// It could not be delivered.
    Undelivered,
}

/// What becomes of a result beyond its branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeliveryReport {
    /// How far it has come.
    pub arrival: Arrival,
    /// What the remote is called.
    pub remote: String,
    /// The branch there.
    pub branch: String,
    /// The commit that was pushed to it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pushed: Option<String>,
    /// The pull request that it is in, or is to come into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull: Option<PullRequest>,
    /// What is not exactly as asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Why it is not delivered, and what to type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undelivered: Option<Undelivered>,
}

/// A task that an agent had before the one that it has now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RoundReport {
    /// Its number, from 1.
    pub n: u32,
    /// The beginning of it.
    pub title: String,
    /// How it ended.
    pub state: State,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// What was on the branch then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<Changes>,
    /// When it was asked for.
    pub began: Moment,
    /// When it ended.
    pub ended: Moment,
    /// Who asked for it, where that is an agent: the name that it had then. Absent: the person did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<Session>,
}

/// What an agent does at this moment. Only the board has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Activity {
    /// One line: the tool it uses, what it says, that it retries.
    pub text: String,
    /// Since when.
    pub at: Moment,
    /// Tokens and cost of the running attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// Everything known about one agent: a row of `list`, the document of `show` and of `run`, the board entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AgentReport {
    /// The version of this shape.
    pub v: u32,
    /// The session name.
    pub session: Session,
    /// The agent's id.
    pub id: AgentId,
    /// The state.
    pub state: State,
    /// What else was noticed.
    #[serde(default)]
    pub remarks: Vec<Remark>,
    /// Why it failed, or why it is interrupted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Which of its tasks it is at, from 1: one that has ended and is given more to do begins another.
    #[serde(default = "first_round")]
    pub round: u32,
    /// When that was asked for; absent: when it was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<Moment>,
    /// Its tasks before, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rounds: Vec<RoundReport>,
    /// The agent CLI that works, or worked last.
    pub cli: String,
    /// The whole chain.
    pub chain: Vec<Link>,
    /// The attempts.
    pub attempts: Vec<AttemptReport>,
    /// What the setup command said, if there is one and it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setup: Option<SetupReport>,
    /// What it has because of the repository's `.ai_orch.toml` beside setup and validation; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outfit: Option<OutfitReport>,
    /// What the validation said.
    #[serde(default)]
    pub validations: Vec<ValidationReport>,
    /// The beginning of the task.
    pub title: String,
    /// What it is there for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<RoleName>,
    /// What it belongs to; absent only if its record cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_id: Option<ContextId>,
    /// The agent that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<AgentId>,
    /// Who asked for what it does now, where that is an agent: the name that it had then. Absent: the person did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<Session>,
    /// The repository's directory name in our state.
    pub project: Project,
    /// The checkout that `run` was called in.
    #[serde(with = "path")]
    #[schemars(with = "path::Form")]
    pub checkout: PathBuf,
    /// Where it works; absent: in a worktree of its own, on a branch that was made for it.
    #[serde(default, skip_serializing_if = "Place::is_usual")]
    pub place: Place,
    /// The branch that it works on; empty if it is none.
    pub branch: String,
    /// The commit that it started from; empty without a repository.
    pub base: String,
    /// What that was called.
    pub base_name: String,
    /// The directory that it works in.
    #[serde(with = "path")]
    #[schemars(with = "path::Form")]
    pub worktree: PathBuf,
    /// What is on the branch, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<Changes>,
    /// Why something that the agent left was not committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_committed: Option<String>,
    /// What of its worktree could not be saved at the end of its last attempt, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_saved: Vec<String>,
    /// What others had reserved of the files that it changed, as that was at the end of each attempt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub crossed: Vec<Crossed>,
    /// What becomes of the result beyond its branch; absent: nothing was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<DeliveryReport>,
    /// What it may not do.
    #[serde(default, skip_serializing_if = "Guards::is_none")]
    pub guards: Guards,
    /// What was found at the ends of its attempts that it may not do, or that may have been it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<Finding>,
    /// What of that could not be found out, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_checked: Vec<String>,
    /// Tokens and cost of the ended attempts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// When it was created.
    pub created: Moment,
    /// When its journal was last written.
    pub updated: Moment,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Moment>,
    /// What it does now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<Activity>,
    /// How many messages it has not acknowledged; absent where nobody counted them: on the board, and if its inbox cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<u64>,
}

const fn first_round() -> u32 {
    1
}

/// `list --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ListReport {
    /// The version of this shape.
    pub v: u32,
    /// The agents, oldest first.
    pub agents: Vec<AgentReport>,
    /// What waits for the person to read, if it is the person who asks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub for_you: Vec<ForYou>,
}

/// Messages for the person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ForYou {
    /// The repository in which they are read.
    pub project: Project,
    /// Whether that is the one of the working directory.
    pub here: bool,
    /// How many they are.
    pub unread: u64,
}

/// One reason why `show` believes what it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// What was looked at.
    pub source: String,
    /// What it said.
    pub says: String,
}

/// The parent or a child of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Relative {
    /// Its id.
    pub id: AgentId,
    /// Its name; absent if it has none any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Why it was not started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
}

/// `show --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShowReport {
    /// The version of this shape.
    pub v: u32,
    /// The agent.
    pub agent: AgentReport,
    /// The whole task text.
    pub task: String,
    /// The agent that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Relative>,
    /// The agents that it asked for, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Relative>,
    /// Why we believe it.
    pub evidence: Vec<Evidence>,
    /// The directory of the record.
    #[serde(with = "path")]
    #[schemars(with = "path::Form")]
    pub record: PathBuf,
}

/// `run --json`: with `--detach` as soon as the agent runs, else when it has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunReport {
    /// The version of this shape.
    pub v: u32,
    /// The agent.
    pub agent: AgentReport,
    /// What is not exactly as asked for.
    #[serde(default)]
    pub notes: Vec<String>,
    /// What to type next.
    pub next: Vec<String>,
}

/// `kill --json`, one for each session named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KillReport {
    /// The session.
    pub session: String,
    /// Its state afterwards; absent when it could not be killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// Whether there was anything to stop.
    pub was_running: bool,
    /// What was ended in place of a keeper that was gone or did not answer.
    #[serde(default)]
    pub ended_pids: Vec<i32>,
    /// What else the user should know: that its record was damaged, and where what was there is kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
}

/// `kill --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KillsReport {
    /// The version of this shape.
    pub v: u32,
    /// What happened to each.
    pub killed: Vec<KillReport>,
}

/// `resume --json`, one for each session named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResumeReport {
    /// The session.
    pub session: String,
    /// Its state afterwards; absent when it could not be resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// Whether it goes on because of this call; false if it was at work anyway.
    pub resumed: bool,
    /// What is not as it was before.
    #[serde(default)]
    pub notes: Vec<String>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
}

/// `resume --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResumesReport {
    /// The version of this shape.
    pub v: u32,
    /// What happened to each.
    pub resumed: Vec<ResumeReport>,
}

/// What became of a branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BranchReport {
    /// The commit it points at, or pointed at.
    pub tip: String,
    /// Why it stays; absent when it goes, because it is empty or merged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_because: Option<String>,
}

/// Something ignored that is not saved because of its size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotKept {
    /// The path in the worktree, made printable.
    pub path: String,
    /// Its size.
    pub bytes: u64,
}

/// `clean --json`, one for each agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CleanReport {
    /// The session.
    pub session: String,
    /// Whether it was cleaned.
    pub cleaned: bool,
    /// What its worktree takes, or took, on disk.
    pub bytes: u64,
    /// The ref that the worktree is saved under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved: Option<String>,
    /// Its branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<BranchReport>,
    /// What is ignored and too large to be saved.
    #[serde(default)]
    pub not_kept: Vec<NotKept>,
    /// How its teardown ended, if it ran and succeeded; else the error tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub torn_down: Option<TornDown>,
    /// What else is to be known.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Why it was not cleaned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
}

/// An agent of which nothing is kept any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ForgottenReport {
    /// The session it had.
    pub session: Session,
    /// Its id.
    pub id: AgentId,
    /// When it was cleaned.
    pub cleaned: Moment,
    /// How many refs held what was saved of it.
    pub refs: u32,
}

/// `clean --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CleansReport {
    /// The version of this shape.
    pub v: u32,
    /// Nothing was done; this is what would be.
    pub dry_run: bool,
    /// What happened to each.
    pub cleaned: Vec<CleanReport>,
    /// With `--rescue`: the agents of which nothing is kept any more.
    #[serde(default)]
    pub forgotten: Vec<ForgottenReport>,
}

/// `undo --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UndoReport {
    /// The version of this shape.
    pub v: u32,
    /// Its session name now.
    pub session: Session,
    /// Its id.
    pub id: AgentId,
    /// Whether it came back by this call; false if it was there anyway.
    pub restored: bool,
    /// What is not as it was.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Its branch.
    pub branch: String,
    /// Where the HEAD of its worktree is, if it was not on that branch: `branch NAME`, or `commit ID`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// Its worktree.
    #[serde(with = "path")]
    #[schemars(with = "path::Form")]
    pub worktree: PathBuf,
}

/// An agent that can come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UndoableReport {
    /// The session it had.
    pub session: Session,
    /// Its id.
    pub id: AgentId,
    /// When it was cleaned.
    pub cleaned: Moment,
    /// The beginning of its task.
    pub title: String,
    /// Its branch.
    pub branch: String,
    /// The repository's directory name in our state.
    pub project: Project,
    /// The ref that its worktree is saved under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved: Option<String>,
}

/// `undo --list --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UndoListReport {
    /// The version of this shape.
    pub v: u32,
    /// What can come back, the last that was cleaned first.
    pub agents: Vec<UndoableReport>,
}

/// `wait --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WaitReport {
    /// The version of this shape.
    pub v: u32,
    /// Whether the time was over before all were there.
    pub timed_out: bool,
    /// The agents that were not seen in a wanted state, because they ended elsewhere or the time was over.
    #[serde(default)]
    pub missed: Vec<Session>,
    /// The agents, in the order they were named.
    pub agents: Vec<AgentReport>,
}

/// One file of `diff --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileChange {
    /// The path, made printable.
    pub path: String,
    /// `added`, `modified`, `deleted`, `renamed` or `typechange`.
    pub status: String,
    /// Lines added; absent for a binary file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insertions: Option<u32>,
    /// Lines removed; absent for a binary file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletions: Option<u32>,
}

/// One commit of `diff --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CommitLine {
    /// Its id.
    pub id: String,
    /// Its first line.
    pub subject: String,
}

/// `diff --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DiffReport {
    /// The version of this shape.
    pub v: u32,
    /// The session.
    pub session: Session,
    /// The branch.
    pub branch: String,
    /// What it started from.
    pub base: String,
    /// The totals.
    pub changes: Changes,
    /// The commits, newest first.
    pub commits: Vec<CommitLine>,
    /// The files.
    pub files: Vec<FileChange>,
    /// The patch; bytes that are not UTF-8 are replaced.
    pub patch: String,
    /// What the patch does not show.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// One line of `logs --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LogLine {
    /// The version of this shape.
    pub v: u32,
    /// The attempt.
    pub n: u32,
    /// When.
    pub at: Moment,
    /// What the agent did.
    pub event: super::event::Event,
}

/// How one check of `doctor` went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Works, with something to know.
    Note,
    /// Must be mended before agents can run.
    Bad,
}

/// One check of `doctor`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// What was checked.
    pub subject: String,
    /// How it went.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// `doctor --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DoctorReport {
    /// The version of this shape.
    pub v: u32,
    /// Whether agents can run.
    pub ok: bool,
    /// The checks.
    pub checks: Vec<Check>,
}

/// `guide --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GuideReport {
    /// The version of this shape.
    pub v: u32,
    /// The text, as Markdown.
    pub guide: String,
}

/// What an error says, inside other shapes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
    /// A word that does not change, for programs.
    pub code: String,
    /// What happened, to which thing.
    pub message: String,
    /// What to type next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// What goes to standard error with `--json` when a verb fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorReport {
    /// The version of this shape.
    pub v: u32,
    /// The error.
    pub error: ErrorBody,
    /// The exit code of the process.
    pub exit: u8,
}
