//! The files that agents, keepers and verbs share: the root under /tmp, reserved names, records, the board.
//!
//! Nothing under /tmp is the only copy of anything. One writer per file: an agent's record and board entry belong to
//! whoever holds its `keeper.lock`.

use crate::model::text::Shown;
use crate::rules::mail::Refused;
use crate::rules::refusal::Refusal;
use crate::rules::replay;
use crate::tools::{file, journal, lock, process};
use std::path::PathBuf;

mod artifacts;
pub mod board;
mod claim;
pub mod cleaned;
mod copies;
pub mod feed;
pub mod identity;
mod leases;
pub mod look;
pub mod mail;
pub mod names;
pub mod ports;
mod ready;
pub mod reap;
pub mod record;
pub mod registry;
pub mod reservations;
pub mod root;
mod settle;
pub mod tasks;
pub mod trust;
pub mod unread;
pub mod watch;
pub mod worker;

/// Shared files that could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else owns our place under /tmp, or it is no directory.
    #[error("{} is not a private directory of yours: {why}", .path.display())]
    Squatted {
        /// The place.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A later version of this program made it.
    #[error("{} was made by a newer ai_orch", Shown(&.path.to_string_lossy()))]
    Newer {
        /// The root, or a record.
        path: PathBuf,
    },
    /// A record tells of no agent.
    #[error("the record {} cannot be read: {why}", .path.display())]
    Record {
        /// The journal.
        path: PathBuf,
        /// What is wrong with it.
        why: replay::Error,
    },
    /// No agent has this name.
    #[error("there is no agent '{}'", Shown(.name))]
    NoAgent {
        /// What was asked for.
        name: String,
        /// Names that are close.
        near: Vec<String>,
    },
    /// Several agents have names that begin so.
    #[error("'{}' is the beginning of several names: {}", Shown(.name), .matches.join(", "))]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// The agents.
        matches: Vec<String>,
    },
    /// The environment says to be an agent's, and is not.
    #[error("this is not the environment of an agent at work: {}", Shown(.why))]
    NotYou {
        /// Why not.
        why: String,
    },
    /// Every port that is given away is somebody's.
    #[error("no port between {first} and {last} is free")]
    NoPort {
        /// The first of them.
        first: u16,
        /// The last.
        last: u16,
    },
    /// What was asked about a task is not done.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A message is not sent.
    #[error(transparent)]
    NotSent(#[from] Refused),
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] file::Error),
    /// A journal operation failed.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// A lock could not be taken.
    #[error(transparent)]
    Lock(#[from] lock::Error),
    /// A question about a process got no answer.
    #[error(transparent)]
    Process(#[from] process::Error),
    /// A shape of ours could not be written as JSON.
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl Error {
    /// A word that does not change, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Squatted { .. } => "squatted",
            Self::Newer { .. } => "newer",
            Self::Record { .. } => "damaged",
            Self::NoAgent { .. } => "no_agent",
            Self::Ambiguous { .. } => "ambiguous",
            Self::NotYou { .. } => "not_you",
            Self::NoPort { .. } => "no_port",
            Self::Refused(why) => why.code(),
            Self::NotSent(e) => e.code(),
            Self::File(e) => e.code(),
            Self::Journal(e) => e.code(),
            Self::Lock(e) => e.code(),
            Self::Process(e) => e.code(),
            Self::Json(_) => "json",
        }
    }

    /// Whether something of ours on disk is not what we wrote: what is left of it can be put aside.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Record { .. } => true,
            Self::File(e) | Self::Lock(lock::Error::File(e)) => e.is_damage(),
            Self::Journal(e) => e.is_damage(),
            _ => false,
        }
    }

    /// Whether it is about a task whose journal is damaged.
    pub(crate) fn is_damaged_task(&self) -> bool {
        matches!(self, Self::Refused(Refusal::DamagedTask { .. }))
    }

    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Squatted { path, .. } => Some(format!(
                "look at it (ls -ld {}), and set AI_ORCH_ROOT to a directory of your own",
                path.display()
            )),
            Self::Newer { .. } => {
                Some("use that ai_orch here, or set AI_ORCH_ROOT to a directory of its own".to_owned())
            }
            Self::Record { .. } => Some("ai_orch doctor".to_owned()),
            Self::NoAgent { near, .. } if !near.is_empty() => {
                Some(format!("did you mean {}? All agents: ai_orch list", near.join(" or ")))
            }
            Self::NoAgent { .. } => Some("all agents: ai_orch list".to_owned()),
            Self::Ambiguous { .. } => Some("type more of the name".to_owned()),
            Self::NotYou { .. } => Some(
                "an agent's variables (AI_ORCH_AGENT, AI_ORCH_TOKEN) are good in its own attempt only; \
                 use a shell that no agent started"
                    .to_owned(),
            ),
            Self::NoPort { .. } => {
                Some("ai_orch clean gives back those of agents that have ended".to_owned())
            }
            Self::Refused(why) => why.hint(),
            Self::NotSent(e) => e.hint(),
            Self::File(e) => e.hint(),
            Self::Journal(e) => e.hint(),
            Self::Lock(e) => e.hint(),
            Self::Process(e) => e.hint(),
            Self::Json(_) => None,
        }
    }
}

/// Result of work with shared files.
pub type Result<T> = std::result::Result<T, Error>;
