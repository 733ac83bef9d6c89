//! What `clean` means for an agent, from what is on record.

use crate::model::agent::{Agent, Removal};

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// Take its worktree away, or go on with that.
    Clean,
    /// Its return was cut off: it comes back whole first, so that what is saved of it is never half of it.
    Return,
    /// Its worktree is away; the rest has to follow.
    Finish,
    /// It must stay.
    Refuse(Why),
}

/// Why an agent must stay as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It has not ended.
    NotEnded,
    /// A later version of this program wrote its journal.
    Newer,
}

/// What `clean` means for `agent`, which no keeper keeps.
pub fn plan(agent: &Agent) -> Plan {
    if agent.newer {
        return Plan::Refuse(Why::Newer);
    }
    match &agent.removal {
        Some(Removal::Cleaning { .. }) => Plan::Clean,
        Some(Removal::Cleaned { .. }) => Plan::Finish,
        Some(Removal::Restoring { .. }) => Plan::Return,
        None if agent.conclusion.is_some() || agent.not_created.is_some() => Plan::Clean,
        None => Plan::Refuse(Why::NotEnded),
    }
}
