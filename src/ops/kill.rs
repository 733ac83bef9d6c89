//! `kill`: stop an agent so that nothing of it is left running, and leave its worktree and branch as they are.

use super::{Error, Result};
use crate::a2a::names::{self, Named};
use crate::a2a::record::{self, Pen};
use crate::a2a::{board, look};
use crate::life::{House, fence};
use crate::model::agent::State;
use crate::model::entry::{Entry, Final};
use crate::model::ids::ProcessId;
use crate::model::report::{ErrorBody, KillReport};
use crate::rules::report::{Keeper, report};
use crate::tools::lock::{self, Held, Lock};
use crate::tools::{clock, file, process};
use rustix::process::Signal;
use std::path::Path;
use std::time::Duration;

/// How long a keeper may take to stop its agent: the profile's grace, the kill, and looking at the branch.
const KEEPER_LIMIT: Duration = Duration::from_secs(45);
/// How long a killed keeper may take to be gone.
const KILL_LIMIT: Duration = Duration::from_secs(5);
/// How long to wait for somebody else who holds the lock before looking again who that is.
const PACE: Duration = Duration::from_millis(500);

/// What was done to one agent.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Killed {
    state: State,
    was_running: bool,
    ended: Vec<i32>,
}

/// Kills the agents with exactly these names.
pub fn kill(house: &House, sessions: &[String]) -> Vec<KillReport> {
    sessions
        .iter()
        .map(|name| {
            told(
                name,
                names::require(&house.settings.places, name)
                    .map_err(Error::from)
                    .and_then(|named| one(house, &named)),
            )
        })
        .collect()
}

/// Kills every agent that is not at its end.
pub fn kill_all(house: &House) -> Result<Vec<KillReport>> {
    let mut reports = Vec::new();
    for named in names::all(&house.settings.places)? {
        let running = match look::look(&house.settings.places, &named) {
            Ok(Some(report)) => !report.state.is_final() || !report.remarks.is_empty(),
            Ok(None) => look::cut_off(&house.settings.places, &named)?,
            Err(_) => true,
        };
        if running {
            reports.push(told(named.session.as_str(), one(house, &named)));
        }
    }
    Ok(reports)
}

fn told(name: &str, killed: Result<Killed>) -> KillReport {
    let session = name.to_owned();
    match killed {
        Ok(killed) => KillReport {
            session,
            state: Some(killed.state),
            was_running: killed.was_running,
            ended_pids: killed.ended,
            error: None,
        },
        Err(error) => KillReport {
            session,
            state: None,
            was_running: false,
            ended_pids: Vec::new(),
            error: Some(ErrorBody {
                code: error.code().to_owned(),
                message: error.to_string(),
                hint: error.hint(),
            }),
        },
    }
}

fn one(house: &House, named: &Named) -> Result<Killed> {
    let seen = match look::look_closely(&named.record) {
        Ok(Some((agent, _))) => Ok(agent),
        Ok(None) => return only_a_name(house, named),
        // Whatever its record says, it must be possible to stop it.
        Err(error) => Err(error),
    };
    let was_running =
        seen.as_ref().map_or(true, |agent| agent.conclusion.is_none() && agent.not_created.is_none());
    if was_running {
        // What is asked for is on disk before anybody is told: whoever takes over knows it too.
        if let Err(error) = file::replace(&named.record.stop(), b"kill\n") {
            // A full disk still takes a link, which needs no room for content. Without even that the agent is stopped all
            // the same: it costs money while it runs, and what it prints may be what fills the disk.
            tracing::warn!(%error, "the request to stop could not be written");
            file::link(&named.record.stop(), Path::new("kill")).ok();
        }
    }
    if seen.as_ref().is_ok_and(|agent| agent.keeper.is_none() && agent.worktree.is_none()) {
        // Until the worktree is there its creator writes the journal, under the lock of the project. Waiting for that
        // leaves one writer, and no worktree appears after we said that the agent is at its end.
        drop(lock::exclusive(&house.settings.places.project_lock(&named.project), KEEPER_LIMIT));
    }
    let lock = lock_after_keeper(named)?;
    // The environment that a keeper never came to read may hold secrets.
    file::remove(&named.record.env())?;
    let mut ended = Vec::new();
    let state = match seen.and_then(|_| Pen::open(&named.record, &lock)) {
        Ok(mut pen) => {
            if pen.agent.conclusion.is_none() {
                ended = fence::fence(&mut pen)?;
                pen.write(Entry::Ended { state: Final::Killed, failure: None, changes: None })?;
                let gone = Keeper::Gone { creator_alive: false, running: None };
                // The board is a copy, and /tmp may be full or wiped: the journal has it.
                board::post(&house.settings.places, &report(&pen.agent, &gone, None)).ok();
            } else if !fence::left_running(&pen.agent)?.is_empty() {
                ended = fence::fence(&mut pen)?;
            }
            Ok(pen.agent.conclusion.as_ref().map_or(State::Unknown, |c| c.state.into()))
        }
        Err(damaged) => {
            fence::end_unknown(named.id)?;
            Err(damaged)
        }
    };
    house.tmux.kill_session(&named.session)?;
    house.tmux.end_with(&named.session)?;
    Ok(Killed { state: state?, was_running, ended: ended.into_iter().map(|p| p.pid).collect() })
}

/// Gives a name back whose creator died before anything was on record. One that is still at work is waited for.
fn only_a_name(house: &House, named: &Named) -> Result<Killed> {
    let places = &house.settings.places;
    let path = places.project_lock(&named.project);
    file::make_dirs(path.parent().unwrap_or(&places.state))?;
    let guard = lock::exclusive(&path, KEEPER_LIMIT)?;
    if record::load(&named.record)?.is_some() {
        drop(guard);
        return one(house, named);
    }
    // Its creator may have failed and given the name back, and another agent may have it now.
    if names::find(places, &named.session)?.as_ref() != Some(named) {
        return Err(crate::a2a::Error::NoAgent { name: named.session.to_string(), near: Vec::new() }.into());
    }
    file::remove(&named.record.env())?;
    names::free(places, &named.session)?;
    Ok(Killed { state: State::Killed, was_running: false, ended: Vec::new() })
}

/// Asks the keeper to stop its agent, waits for it, and takes its lock. One that does not answer in time is killed; what
/// it leaves is fenced by us. Others who hold the lock (another kill at work) are waited for.
fn lock_after_keeper(named: &Named) -> Result<Lock> {
    let path = named.record.keeper_lock();
    let deadline = clock::tick() + KEEPER_LIMIT;
    let mut asked: Vec<ProcessId> = Vec::new();
    loop {
        if let Some(lock) = lock::try_exclusive(&path)? {
            return Ok(lock);
        }
        let left = deadline.saturating_duration_since(clock::tick());
        match keeper_of(named)? {
            Some(keeper) => {
                if !asked.contains(&keeper) {
                    process::signal(&keeper, Signal::TERM)?;
                    // One that was stopped hears nothing until it goes on.
                    process::signal(&keeper, Signal::CONT)?;
                    asked.push(keeper.clone());
                }
                if !process::wait_for_end(&keeper, left)? {
                    process::signal(&keeper, Signal::KILL)?;
                    process::wait_for_end(&keeper, KILL_LIMIT)?;
                }
            }
            None => match lock::exclusive(&path, PACE) {
                Ok(lock) => return Ok(lock),
                Err(lock::Error::Held { .. }) if !left.is_zero() => {}
                Err(e) => {
                    return Err(Error::NotKilled { session: named.session.to_string(), why: e.to_string() });
                }
            },
        }
    }
}

/// The living keeper: the one on record, or, when it has not come to that yet or the record cannot be read, the one that
/// the lock names.
fn keeper_of(named: &Named) -> Result<Option<ProcessId>> {
    let on_record = record::load(&named.record).ok().flatten().and_then(|agent| agent.keeper);
    if let Some(keeper) = on_record
        && process::is_alive(&keeper)?
    {
        return Ok(Some(keeper));
    }
    let Some(Held::Yes(Some(pid))) = lock::probe(&named.record.keeper_lock())? else { return Ok(None) };
    // The pid in the file may be an earlier holder's, and belong to anybody now.
    let Some(holder) = process::identify(pid)? else { return Ok(None) };
    let words = process::command_line(&holder);
    let keeps = words.iter().any(|w| w == "__keep") && words.iter().any(|w| w == named.record.0.as_os_str());
    Ok(keeps.then_some(holder))
}
