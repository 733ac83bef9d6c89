//! Fencing: before anyone else touches a worktree, whoever worked in it is gone, for certain.
//!
//! A free `keeper.lock` says only that the keeper is gone. Its agent has a session and pipes of its own and may go on
//! editing. So whoever takes over finds what is left of the agent (by the session that its last attempt leads, and by
//! the marks that every process started for it inherits), ends it, and puts that on record first.

use super::{Error, Result};
use crate::a2a::look::{self, AGENT};
use crate::a2a::record::Pen;
use crate::git;
use crate::model::agent::Agent;
use crate::model::entry::Entry;
use crate::model::ids::{AgentId, ProcessId};
use crate::tools::process;
use std::time::Duration;

/// How long what is left gets to end by itself.
const GRACE: Duration = Duration::from_secs(3);
/// How long killed processes may take to be gone.
const LIMIT: Duration = Duration::from_secs(20);

/// What still runs of `agent`.
pub fn left_running(agent: &Agent) -> Result<Vec<ProcessId>> {
    Ok(belonging(&look::marks(agent), agent.last_attempt().and_then(|a| a.process.as_ref()))?)
}

/// Never this process itself: an agent may be the one who types `ai_orch kill`.
fn belonging(marks: &[String], leader: Option<&ProcessId>) -> process::Result<Vec<ProcessId>> {
    let me = process::me()?;
    Ok(process::belonging(marks, leader)?.into_iter().filter(|p| *p != me).collect())
}

/// Ends what is left of the agent, and puts it on record. The caller holds the keeper's lock. Returns what was ended.
///
/// # Errors
/// If anything is left after that: then the worktree must not be touched.
pub fn fence(pen: &mut Pen) -> Result<Vec<ProcessId>> {
    let leader = pen.agent.last_attempt().and_then(|a| a.process.clone());
    let ended = end(&look::marks(&pen.agent), leader.as_ref())?;
    unlock(&pen.agent);
    pen.write(Entry::Fenced { by: process::me()?, ended: ended.clone() })?;
    Ok(ended)
}

/// Removes the locks that a git of the agent's, or of its keeper's, left in the worktree when it was killed. To be called
/// when nothing of them runs any more. A lock is left alone while anybody stands in the worktree: it may be theirs.
pub fn unlock(agent: &Agent) {
    let Some(worktree) = super::worktree(agent) else { return };
    let removed = match process::anybody_in(&worktree.path) {
        Ok(false) => git::worktree::unlock(&worktree, !agent.spec.place.has_own_worktree()),
        Ok(true) => return,
        Err(error) => return tracing::warn!(%error, "could not look who is in the worktree"),
    };
    match removed {
        Ok(removed) if removed.is_empty() => {}
        Ok(removed) => tracing::info!(?removed, "locks of a git that was killed"),
        // Whoever needs the lock says so.
        Err(error) => tracing::warn!(%error, "locks in the worktree could not be removed"),
    }
}

/// Ends what is left of the agent `id`, of which nothing but its id is known because its record cannot be read. The
/// caller holds the keeper's lock.
pub fn end_unknown(id: AgentId) -> Result<Vec<ProcessId>> {
    end(&[format!("{AGENT}={id}")], None)
}

fn end(marks: &[String], leader: Option<&ProcessId>) -> Result<Vec<ProcessId>> {
    let (ended, gone) = process::end_all(|| belonging(marks, leader), GRACE, LIMIT)?;
    if !gone {
        return Err(Error::StillRunning {
            pids: belonging(marks, leader)?.into_iter().map(|p| p.pid).collect(),
        });
    }
    Ok(ended)
}
