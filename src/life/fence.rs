//! Fencing: before anyone else touches a worktree, whoever worked in it is gone, for certain.
//!
//! A free `keeper.lock` says only that the keeper is gone. Its agent has a session and pipes of its own and may go on
//! editing. So whoever takes over finds what is left of the last attempt (by the session it leads, and by the mark that
//! every process it starts inherits), ends it, and puts that on record first.

use super::{Error, Result};
use crate::a2a::look::MARK;
use crate::a2a::record::Pen;
use crate::model::agent::Agent;
use crate::model::entry::Entry;
use crate::model::ids::ProcessId;
use crate::tools::process;
use std::time::Duration;

/// How long what is left gets to end by itself.
const GRACE: Duration = Duration::from_secs(3);
/// How long killed processes may take to be gone.
const LIMIT: Duration = Duration::from_secs(20);

/// What still runs of the last attempt of `agent`.
pub fn left_running(agent: &Agent) -> Result<Vec<ProcessId>> {
    let Some(attempt) = agent.last_attempt() else { return Ok(Vec::new()) };
    Ok(process::belonging(&format!("{MARK}={}", attempt.mark), attempt.process.as_ref())?)
}

/// Ends what is left of the last attempt, and puts it on record. The caller holds the keeper's lock. Returns what was ended.
///
/// # Errors
/// If anything is left after that: then the worktree must not be touched.
pub fn fence(pen: &mut Pen) -> Result<Vec<ProcessId>> {
    let agent = pen.agent.clone();
    let find = || match agent.last_attempt() {
        Some(attempt) => process::belonging(&format!("{MARK}={}", attempt.mark), attempt.process.as_ref()),
        None => Ok(Vec::new()),
    };
    let (ended, gone) = process::end_all(find, GRACE, LIMIT)?;
    if !gone {
        return Err(Error::StillRunning { pids: left_running(&agent)?.into_iter().map(|p| p.pid).collect() });
    }
    pen.write(Entry::Fenced { by: process::me()?, ended: ended.clone() })?;
    Ok(ended)
}
