//! Workers: who claims tasks lives as long as a lock is held. An agent's is its keeper's; whoever else works holds one of its own.

use super::{Result, names};
use crate::model::ids::{Party, Project, Session};
use crate::model::places::Places;
use crate::rules::refusal::Refusal;
use crate::tools::file;
use crate::tools::lock::{self, Held, Lock};
use std::path::Path;
use std::time::Duration;

/// How long a worker waits for somebody who only looks at its lock.
const LOOK_LIMIT: Duration = Duration::from_millis(100);

/// A worker that is no agent, alive as long as this is there.
#[derive(Debug)]
#[must_use = "what a worker holds is taken from it as soon as this is dropped"]
pub struct Worker {
    /// Its name.
    pub name: Session,
    #[expect(dead_code, reason = "held for its lock")]
    lock: Lock,
}

impl Worker {
    /// Begins to work in `project` under `name`.
    ///
    /// # Errors
    /// If an agent has the name, or another worker that lives.
    pub fn begin(places: &Places, project: &Project, name: &Session) -> Result<Self> {
        if names::find(places, name)?.is_some() {
            return Err(Refusal::NameOfAgent { name: name.to_string() }.into());
        }
        let path = places.worker_lock(project, name);
        if let Some(parent) = path.parent() {
            file::make_dirs(parent)?;
        }
        Ok(Self { name: name.clone(), lock: lock::exclusive(&path, LOOK_LIMIT)? })
    }

    /// Its pid, for its claims.
    pub fn pid() -> i32 {
        i32::try_from(std::process::id()).unwrap_or(0)
    }
}

/// Whether the worker or agent `name` lives as the process `pid`. Who cannot be told counts as alive.
pub(super) fn lives(places: &Places, project: &Project, name: &Party, pid: i32) -> Result<bool> {
    let Party::Worker(session) = name else { return Ok(false) };
    let held = |path: &Path| -> Result<bool> {
        Ok(match lock::probe(path)? {
            Some(Held::Yes(Some(holder))) => holder == pid,
            // It has the lock, and has not written its pid yet.
            Some(Held::Yes(None)) => true,
            Some(Held::No) | None => false,
        })
    };
    if let Some(named) = names::find(places, session)?
        && held(&named.record.keeper_lock())?
    {
        return Ok(true);
    }
    held(&places.worker_lock(project, session))
}
