//! `kill`: stop an agent so that nothing of it is left running, and leave its worktree and branch as they are.

use super::{Error, Result};
use crate::a2a::names::{self, Named};
use crate::a2a::record::{self, Pen};
use crate::a2a::{board, look};
use crate::life::{House, fence};
use crate::model::agent::{Agent, State};
use crate::model::entry::{Entry, Final};
use crate::model::report::{ErrorBody, KillReport};
use crate::rules::report::{Keeper, report};
use crate::tools::{file, process};
use rustix::process::Signal;
use std::time::Duration;

/// How long a keeper may take to stop its agent: the profile's grace, the kill, and looking at the branch.
const KEEPER_LIMIT: Duration = Duration::from_secs(45);
/// How long a killed keeper may take to be gone.
const KILL_LIMIT: Duration = Duration::from_secs(5);

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
            Ok(None) => false,
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
    let Some((agent, keeper)) = look::look_closely(&named.record)? else {
        return Err(crate::a2a::Error::NoAgent { name: named.session.to_string(), near: Vec::new() }.into());
    };
    let was_running = agent.conclusion.is_none() && agent.not_created.is_none();
    let mut ended = Vec::new();
    if was_running {
        // What is asked for is on disk before anybody is told: whoever takes over knows it too.
        file::replace(&named.record.stop(), b"kill\n")?;
        if keeper == Keeper::Alive {
            stop_keeper(&agent)?;
        }
    }
    let lock = record::take(&named.record)
        .map_err(|e| Error::NotKilled { session: named.session.to_string(), why: e.to_string() })?;
    let mut pen = Pen::open(&named.record, &lock)?;
    if pen.agent.conclusion.is_none() {
        ended = fence::fence(&mut pen)?.into_iter().map(|p| p.pid).collect();
        pen.write(Entry::Ended { state: Final::Killed, failure: None, changes: None })?;
        board::post(
            &house.settings.places,
            &report(&pen.agent, &Keeper::Gone { creator_alive: false, running: None }, None),
        )?;
    } else if !fence::left_running(&pen.agent)?.is_empty() {
        ended = fence::fence(&mut pen)?.into_iter().map(|p| p.pid).collect();
    }
    // The environment that a keeper never came to read may hold secrets.
    file::remove(&named.record.env())?;
    house.tmux.kill_session(&named.session)?;
    house.tmux.end_with(&named.session)?;
    let state = pen.agent.conclusion.as_ref().map_or(State::Unknown, |c| c.state.into());
    Ok(Killed { state, was_running, ended })
}

/// Asks the keeper to stop its agent, and waits for it. One that does not answer is killed; what it leaves is fenced by us.
fn stop_keeper(agent: &Agent) -> Result<()> {
    let Some(keeper) = &agent.keeper else { return Ok(()) };
    process::signal(keeper, Signal::TERM)?;
    if process::wait_for_end(keeper, KEEPER_LIMIT)? {
        return Ok(());
    }
    process::signal(keeper, Signal::KILL)?;
    process::wait_for_end(keeper, KILL_LIMIT)?;
    Ok(())
}
