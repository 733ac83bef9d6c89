//! An agent as its journal tells it, and the states people see.

use super::delegation::Child;
use super::delivery::Delivered;
use super::entry::{Changes, Ending, Filled, Final, HeadAt, Spec, Turn};
use super::event::Usage;
use super::failure::Failure;
use super::guard::{Finding, Whose};
use super::ids::{Moment, ProcessId};
use super::project_file::Outfit;
use super::reservation::Crossed;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use uuid::Uuid;

/// The state of an agent: one vocabulary for `list`, `wait --until`, JSON and events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It exists and waits for its turn.
    Queued,
    /// Its worktree and session are being made.
    Starting,
    /// An agent CLI works.
    Working,
    /// A conversation is open and nothing is to do.
    Idle,
    /// Every usable CLI is out of quota until a known time.
    Limited,
    /// Its keeper is gone before the end: `ai_orch resume` lets it go on.
    Interrupted,
    /// It waits for a person.
    Waiting,
    /// The task is done.
    Done,
    /// The task failed.
    Failed,
    /// Somebody killed it.
    Killed,
    /// Could not find out.
    Unknown,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 11] = [
        Self::Queued,
        Self::Starting,
        Self::Working,
        Self::Idle,
        Self::Limited,
        Self::Interrupted,
        Self::Waiting,
        Self::Done,
        Self::Failed,
        Self::Killed,
        Self::Unknown,
    ];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Starting => "starting",
            Self::Working => "working",
            Self::Idle => "idle",
            Self::Limited => "limited",
            Self::Interrupted => "interrupted",
            Self::Waiting => "waiting",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Killed => "killed",
            Self::Unknown => "unknown",
        }
    }

    /// Whether nothing more will happen without somebody asking for it.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Killed)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl From<Final> for State {
    fn from(state: Final) -> Self {
        match state {
            Final::Done => Self::Done,
            Final::Failed => Self::Failed,
            Final::Killed => Self::Killed,
        }
    }
}

/// One attempt, as far as it went.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// Its number, from 1.
    pub n: u32,
    /// Its place in the chain.
    pub link: usize,
    /// Why it was made.
    pub turn: Turn,
    /// When it began.
    pub started: Moment,
    /// The mark in the environment of its processes.
    pub mark: Uuid,
    /// Its first process.
    pub process: Option<ProcessId>,
    /// The CLI's id of the conversation.
    pub conversation: Option<String>,
    /// The model that the CLI says it uses.
    pub model: Option<String>,
    /// What the CLI cannot do exactly as asked.
    pub note: Option<String>,
    /// The CLI's id of the conversation that it went on with.
    pub resumes: Option<String>,
    /// The SHA-256 of what is on record of the refs as they were before it.
    pub refs: Option<String>,
    /// How it ended; `None` while it runs, and for an attempt whose keeper went away.
    pub ended: Option<Ended>,
}

/// The end of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// When.
    pub at: Moment,
    /// How.
    pub ending: Ending,
    /// Exit code.
    pub exit: Option<i32>,
    /// Signal.
    pub signal: Option<i32>,
    /// Tokens and cost.
    pub usage: Option<Usage>,
    /// How long it ran, in milliseconds.
    pub ms: u64,
    /// The end of what it said.
    pub answer: String,
}

/// A commit of what an attempt left, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The attempt.
    pub n: u32,
    /// The commit.
    pub commit: Option<String>,
    /// Why not.
    pub skipped: Option<String>,
}

/// What was saved of a worktree, or why it was not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rescue {
    /// The attempt at whose end it was saved.
    pub n: u32,
    /// It was saved because the worktree was about to be removed.
    pub removal: bool,
    /// The ref.
    pub name: Option<String>,
    /// The commit that it holds.
    pub commit: Option<String>,
    /// Why it could not be saved.
    pub why: Option<String>,
    /// What is not in it, in words, one line each.
    pub left: Vec<String>,
    /// What others had reserved then of the files that the agent had changed.
    pub crossed: Vec<Crossed>,
}

/// What an attempt did that it may not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guarded {
    /// The attempt.
    pub n: u32,
    /// What was found.
    pub findings: Vec<Finding>,
    /// What could not be found out, in words.
    pub unknown: Vec<String>,
    /// Whether what can be put back is; else somebody was in the middle of it.
    pub done: bool,
}

/// How far the removal of a worktree, or its return, has gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// It is being removed.
    Cleaning {
        /// Where it is moved before it is deleted.
        trash: PathBuf,
        /// Where its HEAD was.
        head: HeadAt,
    },
    /// It is removed.
    Cleaned {
        /// Where its HEAD was.
        head: HeadAt,
        /// The tip of its branch.
        tip: Option<String>,
        /// Whether the branch was deleted as well.
        branch_deleted: bool,
        /// When.
        at: Moment,
    },
    /// It is being made again, from what was on record when it was removed.
    Restoring {
        /// Where its HEAD was.
        head: HeadAt,
        /// The tip of its branch.
        tip: Option<String>,
    },
}

/// A round that another one came after.
#[derive(Debug, Clone, PartialEq)]
pub struct EarlierRound {
    /// Its end; `None` if it was interrupted, and never gone on with.
    pub conclusion: Option<Conclusion>,
    /// Its number.
    pub round: u32,
    /// The newest round up to it that had a task of its own.
    pub task_round: u32,
    /// Its first attempt, as a place among those of the agent.
    pub round_from: usize,
    /// The beginning of its task.
    pub title: String,
    /// When it began.
    pub began: Moment,
    /// When the next one was asked for.
    pub until: Moment,
}

/// A run of the setup command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetUp {
    /// Whether it succeeded.
    pub ok: bool,
    /// Exit code.
    pub exit: Option<i32>,
    /// How long it took, in milliseconds.
    pub ms: u64,
    /// The end of its output.
    pub output: String,
    /// The round in which it ran.
    pub round: u32,
}

/// A run of the validation command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validation {
    /// The attempt it judged.
    pub n: u32,
    /// Whether it succeeded.
    pub ok: bool,
    /// Exit code.
    pub exit: Option<i32>,
    /// How long it took, in milliseconds.
    pub ms: u64,
    /// The end of its output.
    pub output: String,
}

/// The final word about an agent.
#[derive(Debug, Clone, PartialEq)]
pub struct Conclusion {
    /// When.
    pub at: Moment,
    /// How.
    pub state: Final,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// What is on its branch.
    pub changes: Option<Changes>,
}

/// An agent, made from its journal by the rule `replay`.
#[derive(Debug, Clone, PartialEq)]
pub struct Agent {
    /// What was asked for.
    pub spec: Spec,
    /// When it was created.
    pub created: Moment,
    /// The process that created it.
    pub creator: ProcessId,
    /// The worktree as git registered it: its root and its own git directory.
    pub worktree: Option<(PathBuf, PathBuf)>,
    /// The last keeper that took over, since the agent was created or resumed last.
    pub keeper: Option<ProcessId>,
    /// Whether any keeper ever took over.
    pub was_kept: bool,
    /// Whether the worktree is filled and verified.
    pub ready: bool,
    /// How it was filled, if that is on record.
    pub filled: Option<Filled>,
    /// The attempts, in order.
    pub attempts: Vec<Attempt>,
    /// What was committed for them.
    pub commits: Vec<Committed>,
    /// What the setup command said last, in the worktree as it is now.
    pub set_up: Option<SetUp>,
    /// What it has because of the repository's `.ai_orch.toml`.
    pub outfit: Outfit,
    /// What the validation said.
    pub validations: Vec<Validation>,
    /// What was saved of its worktree.
    pub rescues: Vec<Rescue>,
    /// How far the delivery of its result has gone.
    pub delivered: Delivered,
    /// What its attempts did that they may not do, one for each that was looked at.
    pub guarded: Vec<Guarded>,
    /// The agents that it asked for.
    pub children: Vec<Child>,
    /// The round it is in, from 1.
    pub round: u32,
    /// The newest round that has a task of its own.
    pub task_round: u32,
    /// The first attempt of this round, as a place in `attempts`.
    pub round_from: usize,
    /// When that began.
    pub began: Moment,
    /// The rounds before, oldest first.
    pub earlier: Vec<EarlierRound>,
    /// Whether the round it is in was asked for and no keeper has begun it: it is taken back if none comes.
    pub not_begun: bool,
    /// What became of its worktree, if somebody cleaned it.
    pub removal: Option<Removal>,
    /// The last thing that happened was an interruption, and why.
    pub interrupted: Option<String>,
    /// The creation failed.
    pub not_created: Option<Failure>,
    /// The end.
    pub conclusion: Option<Conclusion>,
    /// The last entry's time.
    pub updated: Moment,
    /// Whether the journal holds entries of a later version of this program.
    pub newer: bool,
    /// The journal was damaged once, and how.
    pub damaged: Option<String>,
}

impl Agent {
    /// The attempt that runs, or ran last.
    pub fn last_attempt(&self) -> Option<&Attempt> {
        self.attempts.last()
    }

    /// The attempts of the round it is in.
    pub fn round_attempts(&self) -> &[Attempt] {
        self.attempts.get(self.round_from..).unwrap_or_default()
    }

    /// Whether what attempt `n` left is saved, or was found impossible to save since the agent was resumed last.
    pub fn is_rescued(&self, n: u32) -> bool {
        self.rescues.iter().any(|r| r.n == n)
    }

    /// Why what attempt `n` left could not be saved, if it could not.
    pub fn not_saved(&self, n: u32) -> Option<&str> {
        let saved = self.rescues.iter().rev().find(|r| r.n == n)?;
        saved.why.as_deref()
    }

    /// What attempt `n` did that it may not do, for certain or most likely; empty as long as nobody has looked.
    pub fn violations(&self, n: u32) -> impl Iterator<Item = &Finding> {
        let looked = self.guarded.iter().filter(move |g| g.n == n && g.done);
        looked
            .flat_map(|g| &g.findings)
            .filter(|finding| matches!(finding.whose, Whose::Agent | Whose::Likely))
    }

    /// US dollars spent by all attempts, as far as reported.
    pub fn spent(&self) -> f64 {
        self.attempts.iter().filter_map(|a| a.ended.as_ref()?.usage?.cost_usd).sum()
    }

    /// The agent CLI that works now, or worked last, or will work first.
    pub fn cli(&self) -> &str {
        let link = self.last_attempt().map_or(0, |a| a.link);
        self.spec.chain.get(link).map_or("?", |l| l.cli.as_str())
    }

    /// Tokens and cost of all attempts together. The cost is `None` when it is unknown for any of them.
    pub fn usage(&self) -> Option<Usage> {
        let mut total: Option<Usage> = None;
        for attempt in &self.attempts {
            let Some(usage) = attempt.ended.as_ref().and_then(|e| e.usage) else { continue };
            total = Some(match total {
                None => usage,
                Some(sum) => Usage {
                    input_tokens: sum.input_tokens + usage.input_tokens,
                    output_tokens: sum.output_tokens + usage.output_tokens,
                    cost_usd: sum.cost_usd.zip(usage.cost_usd).map(|(a, b)| a + b),
                },
            });
        }
        total
    }
}
