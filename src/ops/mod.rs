//! Floor 5: what each verb does, one file per verb. Nothing in here knows about command lines or prints.

use crate::life;
use crate::model::ids::Party;
use crate::model::project_file::ProjectFile;
use crate::model::report::ErrorBody;
use crate::model::text::{Shown, whole};
use crate::rules::{delegation, project_file as wishes};
use crate::{a2a, agents, git, settings, tmux};
use std::path::{Path, PathBuf};

pub mod attach;
pub mod caller;
pub mod clean;
pub mod desk;
pub mod diff;
pub mod doctor;
pub mod events;
pub mod follow;
pub mod guard;
pub mod guide;
mod keepers;
pub mod kill;
pub mod letters;
pub mod list;
pub mod logs;
pub mod merge;
pub mod office;
pub mod others;
pub mod own;
pub mod pause;
pub mod project_file;
pub mod replay;
pub mod reserve;
pub mod resume;
pub mod run;
pub mod show;
pub mod spawn;
pub mod tasks;
pub mod trust;
pub mod undo;
pub mod wait;
pub mod watching;
pub mod whoami;

/// A verb that could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was asked for makes no sense.
    #[error("{what}")]
    Usage {
        /// What is wrong with it.
        what: String,
        /// What to type instead.
        hint: Option<String>,
    },
    /// An inbox was not what was written.
    #[error("the inbox of {reader} was damaged: what could be read of it is in its place, the old one is {}", Shown(&.kept.to_string_lossy()))]
    InboxMended {
        /// Whose.
        reader: Party,
        /// Where the damaged one is.
        kept: PathBuf,
    },
    /// The journal of reservations was not what was written.
    #[error("the journal of reservations was damaged: what could be read of it is in its place, the old one is {}", Shown(&.kept.to_string_lossy()))]
    ReservationsMended {
        /// Where the damaged one is.
        kept: PathBuf,
    },
    /// No task has an id that begins or ends so.
    #[error("there is no task '{}'", Shown(.text))]
    NoTask {
        /// What was asked for.
        text: String,
    },
    /// None of the agent CLIs is installed.
    #[error("{}", none_installed(.asked))]
    NoneInstalled {
        /// The ones that were asked for; empty: any.
        asked: Vec<String>,
        /// How to install each: name and command.
        install: Vec<(String, String)>,
    },
    /// A context file cannot be used.
    #[error("the context file {} cannot be used: {why}", Shown(&.path.to_string_lossy()))]
    Context {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// The agent has no session to attach to.
    #[error("the session of {session} is gone, although its keeper lives")]
    SessionGone {
        /// The agent.
        session: String,
    },
    /// The agent was not killed within the time a kill may take.
    #[error("{session} could not be killed: {why}")]
    NotKilled {
        /// The agent.
        session: String,
        /// Why.
        why: String,
    },
    /// Nothing of the agent runs any more, but its record does not say so.
    #[error("{session} is stopped, but that could not be put on record: {why}")]
    NotRecorded {
        /// The agent.
        session: String,
        /// Why not.
        why: Box<life::Error>,
    },
    /// What an agent worked in is not there any more.
    #[error("the {what} of {session} is gone: {}", Shown(&.path.to_string_lossy()))]
    Gone {
        /// The agent.
        session: String,
        /// What is gone.
        what: &'static str,
        /// Where it was.
        path: PathBuf,
        /// What its branch starts from.
        base: String,
        /// Its branch.
        branch: String,
    },
    /// The agent is at work, so it can take no new task.
    #[error("{session} is at work")]
    StillRuns {
        /// The agent.
        session: String,
    },
    /// Somebody asked for the agent to be killed, and that was cut off.
    #[error("{session} was to be killed, and that was cut off")]
    ToBeKilled {
        /// The agent.
        session: String,
    },
    /// There is nothing of the agent that could be merged.
    #[error("{session} cannot be merged: {why}")]
    NotMergeable {
        /// The agent.
        session: String,
        /// Why not.
        why: String,
    },
    /// An agent asked for what only a person may do.
    #[error("{verb} is not for agents, and this is the agent {agent}")]
    NotForAgents {
        /// What it asked for.
        verb: &'static str,
        /// The agent.
        agent: String,
    },
    /// What the repository asks for has to be allowed first.
    #[error("{} asks for what runs as you, and nobody has allowed it", Shown(&.file.to_string_lossy()))]
    NotTrusted {
        /// The file.
        file: PathBuf,
        /// What it asks for.
        asks: Box<ProjectFile>,
        /// An agent asked for the run, who cannot allow it.
        by_agent: bool,
    },
    /// A person asked for what only an agent can do.
    #[error("only an agent can do that, and you are the person")]
    OnlyAgents,
    /// An agent may not start another one, or not this one.
    #[error(transparent)]
    MayNotStart(#[from] delegation::Refused),
    /// The agent that was asked for could not be started.
    #[error("the agent was not started: {}", Shown(&.why.message))]
    NotStarted {
        /// Why not.
        why: ErrorBody,
    },
    /// The agent that was asked for is not there yet.
    #[error("it is asked for, and not there yet")]
    StillStarting,
    /// Nothing was cleaned that could come back.
    #[error("nothing was cleaned that could come back")]
    NothingCleaned,
    /// There is nothing to choose from.
    #[error("no agent is running")]
    NothingRunning,
    /// A step failed.
    #[error(transparent)]
    Life(#[from] life::Error),
}

fn none_installed(asked: &[String]) -> String {
    match asked {
        [] => "no agent CLI is installed".to_owned(),
        [one] => format!("{one} is not installed"),
        several => format!("none of {} is installed", several.join(", ")),
    }
}

impl Error {
    /// A usage error.
    pub fn usage(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { what: what.into(), hint: Some(hint.into()) }
    }

    /// A word that does not change, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InboxMended { .. } | Self::ReservationsMended { .. } => "damaged",
            Self::NoTask { .. } => "no_task",
            Self::Usage { .. } => "usage",
            Self::NoneInstalled { .. } => "cli_missing",
            Self::Context { .. } => "context",
            Self::SessionGone { .. } => "session_gone",
            Self::NotKilled { .. } => "not_killed",
            Self::NotRecorded { why, .. } => why.code(),
            Self::Gone { .. } => "gone",
            Self::StillRuns { .. } => "still_runs",
            Self::NotForAgents { .. } => "not_for_agents",
            Self::NotTrusted { .. } => "not_trusted",
            Self::ToBeKilled { .. } => "not_resumable",
            Self::NothingRunning | Self::NothingCleaned => "no_agent",
            Self::NotMergeable { .. } => "not_mergeable",
            Self::OnlyAgents => "only_agents",
            Self::MayNotStart(e) => e.code(),
            Self::NotStarted { .. } => "not_started",
            Self::StillStarting => "still_starting",
            Self::Life(e) => e.code(),
        }
    }

    /// What it says, for a report.
    pub fn body(&self) -> ErrorBody {
        ErrorBody { code: self.code().to_owned(), message: self.to_string(), hint: self.hint() }
    }

    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Usage { hint, .. } => hint.clone(),
            Self::InboxMended { .. } | Self::ReservationsMended { .. } => Some("do the same once more".to_owned()),
            Self::NoTask { .. } => Some("all tasks: ai_orch task list".to_owned()),
            Self::NoneInstalled { install, .. } => {
                let lines: Vec<String> =
                    install.iter().map(|(name, command)| format!("{name}: {command}")).collect();
                Some(format!(
                    "install one:\n  {}\nor use the built-in agent, whose task is a shell script: --agent-cli sh",
                    lines.join("\n  ")
                ))
            }
            Self::Context { .. } => Some("give a readable UTF-8 file".to_owned()),
            Self::SessionGone { session } => Some(format!("ai_orch kill {session}")),
            Self::NotRecorded { why, .. } => why.hint(),
            Self::NotKilled { session, .. } => Some(format!("ai_orch show {session}")),
            Self::Gone { base, branch, .. } => {
                Some(format!("what it committed, in its repository: git diff {base} {branch}"))
            }
            Self::StillRuns { session } => {
                Some(format!("wait for its end: ai_orch wait {session}; or end it: ai_orch kill {session}"))
            }
            Self::ToBeKilled { session } => {
                Some(format!("end it: ai_orch kill {session}; or let it go on: ai_orch resume {session}"))
            }
            Self::NotForAgents { .. } => Some(
                "an agent may look at the others (list, show, logs, diff, wait) and work with them: ai_orch guide"
                    .to_owned(),
            ),
            Self::NotTrusted { file, asks, by_agent } => Some(how_to_trust(file, asks, *by_agent)),
            Self::NotMergeable { session, .. } => Some(format!("what it did: ai_orch diff {session}")),
            Self::NothingCleaned => Some("all agents: ai_orch list".to_owned()),
            Self::NothingRunning => {
                Some("all agents: ai_orch list; start one: ai_orch run 'TASK'".to_owned())
            }
            Self::OnlyAgents => Some("start one: ai_orch run 'TASK'".to_owned()),
            Self::MayNotStart(e) => e.hint(),
            Self::NotStarted { why } => why.hint.clone(),
            Self::StillStarting => Some(
                "look for it in ai_orch list; with an op_id, asking once more gives the same agent".to_owned(),
            ),
            Self::Life(e) => e.hint(),
        }
    }
}

macro_rules! through_life {
    ($($error:ty),*) => {
        $(impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::Life(error.into())
            }
        })*
    };
}

through_life!(
    a2a::Error,
    agents::Error,
    git::Error,
    settings::Error,
    tmux::Error,
    crate::tools::file::Error,
    crate::tools::lock::Error,
    crate::tools::process::Error
);

/// Result of a verb.
pub type Result<T> = std::result::Result<T, Error>;

/// A runtime for the verbs that wait for something.
pub fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(crate::tools::runtime::runtime()?)
}

/// What is asked for, one line each, and what allows it.
fn how_to_trust(file: &Path, asks: &ProjectFile, by_agent: bool) -> String {
    let rows = wishes::asks(asks).into_iter().map(|(key, value)| format!("{key}: {}", whole(&value)));
    let dir = file.parent().unwrap_or(file).to_string_lossy();
    let allow = if by_agent {
        format!("a person has to allow it, in {}: ai_orch trust", Shown(&dir))
    } else {
        "allow it: ai_orch trust; or start without it: ai_orch run --no-project-file".to_owned()
    };
    rows.chain([allow]).collect::<Vec<_>>().join("\n")
}
