//! `kill`: stop an agent so that nothing of it is left running, and leave its worktree and branch as they are.

use super::{Error, Result, guard};
use crate::a2a::names::{self, Named};
use crate::a2a::record::{self, Pen};
use crate::a2a::{self, board, look};
use crate::life::{self, House, create, family, fence, half_started, work};
use crate::model::agent::{Agent, State};
use crate::model::entry::{Entry, Final};
use crate::model::ids::{AgentId, ProcessId};
use crate::model::report::{KillReport, Remark};
use crate::rules::report::{Keeper, report};
use crate::rules::{next, replay};
use crate::tools::lock::{self, Lock};
use crate::tools::{clock, file, process};
use rustix::process::Signal;
use std::ffi::OsStr;
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
    notes: Vec<String>,
}

/// Kills the agents with exactly these names.
pub fn kill(house: &House, sessions: &[String]) -> Result<Vec<KillReport>> {
    guard::person_only(house, "kill")?;
    let by_name = |name: &String| {
        let named = names::require(&house.settings.places, name).map_err(Error::from);
        told(name, named.and_then(|named| one(house, &named)))
    };
    let reports = sessions.iter().map(by_name).collect();
    end_empty(house);
    Ok(reports)
}

/// Kills every agent that is not at its end.
pub fn kill_all(house: &House) -> Result<Vec<KillReport>> {
    guard::person_only(house, "kill")?;
    let mut reports = Vec::new();
    for named in names::all(&house.settings.places)? {
        let running = match look::look(&house.settings.places, &named) {
            // What else is remarked of one at its end stays true however often it is killed.
            Ok(Some(report)) => {
                let runs = |r: &Remark| matches!(r, Remark::AgentStillRunning { .. });
                !report.state.is_final() || report.remarks.iter().any(runs)
            }
            Ok(None) => look::cut_off(&house.settings.places, &named)?,
            Err(_) => true,
        };
        if running {
            reports.push(told(named.session.as_str(), one(house, &named)));
        }
    }
    end_empty(house);
    Ok(reports)
}

/// Whoever started a server for an agent that is at its end by now may have died before ending it.
fn end_empty(house: &House) {
    if let Err(error) = house.tmux.end_empty() {
        // The agents are dead all the same.
        tracing::warn!(%error, "could not look for tmux servers without sessions");
    }
}

/// Kills the agents with exactly these names, and then all that they started, and so on: a parent first, so that it starts
/// no more.
pub fn kill_tree(house: &House, sessions: &[String]) -> Result<Vec<KillReport>> {
    guard::person_only(house, "kill")?;
    let places = &house.settings.places;
    let mut reports = Vec::new();
    let mut done: Vec<AgentId> = Vec::new();
    for name in sessions {
        let named = match names::require(places, name) {
            Ok(named) => named,
            Err(error) => {
                reports.push(told(name, Err(error.into())));
                continue;
            }
        };
        let mut todo = vec![named];
        while let Some(named) = todo.pop() {
            if done.contains(&named.id) {
                continue;
            }
            done.push(named.id);
            reports.push(told(named.session.as_str(), one(house, &named)));
            todo.extend(children(house, &named)?.into_iter().rev());
        }
    }
    end_empty(house);
    Ok(reports)
}

/// The agents that `parent` started, oldest first: those that say so, and those that its own journal tells of. Whoever was to make
/// one of these may have died when it had its name and nothing else, and what cannot be read says of no parent.
fn children(house: &House, parent: &Named) -> Result<Vec<Named>> {
    let begun = record::load(&parent.record).ok().flatten().map(|agent| agent.children).unwrap_or_default();
    let of = |named: &Named| {
        let agent = record::load(&named.record).ok().flatten();
        agent.is_some_and(|agent| agent.spec.parent == Some(parent.id))
            || begun.iter().any(|child| child.id == named.id)
    };
    Ok(names::all(&house.settings.places)?.into_iter().filter(of).collect())
}

fn told(name: &str, killed: Result<Killed>) -> KillReport {
    let session = name.to_owned();
    match killed {
        Ok(killed) => KillReport {
            session,
            state: Some(killed.state),
            was_running: killed.was_running,
            ended_pids: killed.ended,
            notes: killed.notes,
            error: None,
        },
        Err(error) => KillReport {
            session,
            state: None,
            was_running: false,
            ended_pids: Vec::new(),
            notes: Vec::new(),
            error: Some(error.body()),
        },
    }
}

fn one(house: &House, named: &Named) -> Result<Killed> {
    let seen = match look::look_closely(&named.record) {
        Ok(Some((agent, _))) => Ok(agent),
        Ok(None) if never_began(house, named)? => return only_a_name(house, named),
        // It had a keeper, so it had a journal.
        Ok(None) => Err(a2a::Error::Record { path: named.record.journal(), why: replay::Error::Empty }),
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
    let mut killed = Killed { state: State::Unknown, was_running, ended: Vec::new(), notes: Vec::new() };
    let recorded = match lock_after_keeper(named) {
        Ok(lock) => put_on_record(house, named, &lock, seen, &mut killed),
        Err(Error::Life(error)) => {
            // It must be possible to stop an agent whose record nobody can write.
            if let Some(keeper) = keeper_of(named)? {
                stop(&keeper, KEEPER_LIMIT)?;
            }
            Err(error)
        }
        Err(error) => return Err(error),
    };
    if recorded.is_err() {
        fence::end_unknown(named.id)?;
    }
    let left = house.tmux.kill_session(&named.session).and_then(|_| house.tmux.end_with(&named.session));
    match recorded {
        Ok(()) => Ok(left.map(|()| killed)?),
        Err(why) => Err(Error::NotRecorded { session: named.session.to_string(), why: Box::new(why) }),
    }
}

/// Ends what is left of the agent, and writes what is missing in its journal. A damaged one is put aside first.
fn put_on_record(
    house: &House,
    named: &Named,
    lock: &Lock,
    seen: a2a::Result<Agent>,
    killed: &mut Killed,
) -> life::Result<()> {
    let places = &house.settings.places;
    let mut pen = match seen.and_then(|_| Pen::open(&named.record, lock)) {
        Ok(pen) => pen,
        Err(error) if error.is_damage() => {
            killed.ended = pids(fence::end_unknown(named.id)?);
            let created = || look::creation(places, named);
            let (pen, kept) = Pen::quarantine(&named.record, lock, &error, created)?;
            let kept =
                kept.map_or_else(String::new, |p| format!("; what was there is kept as {}", p.display()));
            killed.notes.push(format!("its journal was damaged{kept}"));
            killed.was_running = pen.agent.conclusion.is_none();
            pen
        }
        Err(error) => return Err(error.into()),
    };
    let ends = pen.agent.conclusion.is_none();
    if ends {
        killed.ended.extend(pids(fence::fence(&mut pen)?));
        if let Some(n) = next::unsaved(&pen.agent) {
            let saved = work::rescue(house, &pen.agent, &named.record, n);
            pen.write(saved)?;
        }
        if let Some(n) = next::unguarded(&pen.agent) {
            life::guard::settle(house, &mut pen, &named.record, n)?;
        }
        // Its creator died in the middle of it. The agent is stopped whether that can be settled or not.
        if pen.agent.worktree.is_none()
            && let Err(error) = life::resume::settle_creation(house, &mut pen)
        {
            tracing::warn!(%error, "what is left of its worktree stays");
        }
    } else if !fence::left_running(&pen.agent)?.is_empty() {
        killed.ended.extend(pids(fence::fence(&mut pen)?));
    }
    // Its keeper may have died in the middle of starting a child, or of settling what became of one.
    let settled = half_started::settle(house, &named.record, &pen.agent);
    half_started::put_on_record(&mut pen, &named.record, settled)?;
    if ends {
        family::tell_parent(places, &pen.agent, Final::Killed, None, None);
        pen.write(Entry::Ended { state: Final::Killed, failure: None, changes: None })?;
        let gone = Keeper::Gone { creator_alive: false, running: None };
        board::tell(places, &report(&pen.agent, &gone, None));
    }
    killed.state = pen.agent.conclusion.as_ref().map_or(State::Unknown, |c| c.state.into());
    // The environment that a keeper never came to read may hold secrets. A directory there is none of ours.
    match file::remove(&named.record.env()) {
        Err(error) if !error.is_damage() => Err(error.into()),
        _ => Ok(()),
    }
}

fn pids(processes: Vec<ProcessId>) -> Vec<i32> {
    processes.into_iter().map(|p| p.pid).collect()
}

/// Whether the creator of `named` died before anything but the name was made: a keeper leaves its lock, and a worktree
/// comes after the journal.
fn never_began(house: &House, named: &Named) -> Result<bool> {
    let worktree = house.settings.places.worktree(&named.project, &named.session);
    Ok(file::ownership(&named.record.keeper_lock())?.is_none() && file::ownership(&worktree)?.is_none())
}

/// Gives a name back whose creator died before anything was on record. One that is still at work is waited for.
fn only_a_name(house: &House, named: &Named) -> Result<Killed> {
    if !create::give_name_back(house, named)? {
        if record::load(&named.record)?.is_some() {
            return one(house, named);
        }
        // Its creator may have failed and given the name back, and another agent may have it now.
        return Err(crate::a2a::Error::NoAgent { name: named.session.to_string(), near: Vec::new() }.into());
    }
    Ok(Killed { state: State::Killed, was_running: false, ended: Vec::new(), notes: Vec::new() })
}

/// Asks the keeper to stop its agent, waits for it, and takes its lock. One that does not answer in time is killed; what
/// it leaves is fenced by us. Others who hold the lock (another kill at work) are waited for.
fn lock_after_keeper(named: &Named) -> Result<Lock> {
    let path = named.record.keeper_lock();
    let deadline = clock::tick() + KEEPER_LIMIT;
    loop {
        match lock::try_exclusive(&path) {
            Ok(Some(lock)) => {
                // Its lock file may have been taken from under it.
                if let Some(keeper) = keeper_of(named)? {
                    stop(&keeper, KEEPER_LIMIT)?;
                }
                return Ok(lock);
            }
            Ok(None) => {}
            // No lock, and nobody can hold it: something else in its place.
            Err(lock::Error::File(error)) if error.is_damage() => {
                file::put_aside(&path)?;
                continue;
            }
            Err(error) => return Err(error.into()),
        }
        let left = deadline.saturating_duration_since(clock::tick());
        match keeper_of(named)? {
            Some(keeper) => stop(&keeper, left)?,
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

/// Ends a keeper: it is asked, and killed if it has not ended in time.
fn stop(keeper: &ProcessId, limit: Duration) -> Result<()> {
    process::signal(keeper, Signal::TERM)?;
    // One that was stopped hears nothing until it goes on.
    process::signal(keeper, Signal::CONT)?;
    if !process::wait_for_end(keeper, limit)? {
        process::signal(keeper, Signal::KILL)?;
        process::wait_for_end(keeper, KILL_LIMIT)?;
    }
    Ok(())
}

/// The living keeper: the one on record, or, when it has not come to that yet or the record cannot be read, the process that
/// was started to keep this record.
fn keeper_of(named: &Named) -> Result<Option<ProcessId>> {
    let on_record = record::load(&named.record).ok().flatten().and_then(|agent| agent.keeper);
    if let Some(keeper) = on_record
        && process::is_alive(&keeper)?
    {
        return Ok(Some(keeper));
    }
    Ok(process::started_as(&[OsStr::new("__keep"), named.record.0.as_os_str()])?)
}
