//! What `resume` means for an agent, from its state and from whether it was given a new task.

use crate::model::agent::{Agent, Removal};
use crate::model::entry::Final;

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// Go on with what was interrupted.
    GoOn,
    /// Begin another round: with the new task, or with the same one.
    Round,
    /// Nothing can be gone on with.
    Refuse(Why),
}

/// Why an agent cannot be resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Its task is done, and there is no new one.
    Done,
    /// Its first task has not begun, so there is nothing that a new one could be on top of.
    NotBegun,
    /// It was never made.
    NotCreated,
    /// Its worktree is removed, or about to be.
    Cleaned,
    /// Its return was cut off.
    Restoring,
    /// A later version of this program wrote its journal.
    Newer,
}

/// What `resume` means for `agent`, which no keeper keeps.
pub fn plan(agent: &Agent, new_task: bool) -> Plan {
    if agent.newer {
        return Plan::Refuse(Why::Newer);
    }
    match &agent.removal {
        Some(Removal::Cleaning { .. } | Removal::Cleaned { .. }) => return Plan::Refuse(Why::Cleaned),
        Some(Removal::Restoring { .. }) => return Plan::Refuse(Why::Restoring),
        None => {}
    }
    if agent.not_created.is_some() {
        return Plan::Refuse(Why::NotCreated);
    }
    match agent.conclusion.as_ref().map(|c| c.state) {
        None if !new_task => Plan::GoOn,
        None if agent.attempts.is_empty() => Plan::Refuse(Why::NotBegun),
        Some(Final::Done) if !new_task => Plan::Refuse(Why::Done),
        None | Some(_) => Plan::Round,
    }
}
