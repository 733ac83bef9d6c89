//! `attach`: to the session of an agent, from a plain terminal or from inside tmux.

use super::{Error, Result, guard};
use crate::a2a::{look, names};
use crate::life::House;
use crate::model::report::AgentReport;
use std::os::unix::ffi::OsStrExt;

/// What attaching to an agent means now.
#[derive(Debug, Clone)]
pub enum Attach {
    /// Become this command.
    Become {
        /// The program and its arguments.
        words: Vec<String>,
    },
    /// The agent has no session any more.
    Ended(Box<AgentReport>),
}

/// How to attach to the agent whose name is `name`, or the only one whose name begins so.
pub fn attach(house: &House, name: &str) -> Result<Attach> {
    guard::person_only(house, "attach")?;
    let named = names::require_by_prefix(&house.settings.places, name)?;
    let report = look::look(&house.settings.places, &named)?
        .ok_or_else(|| crate::a2a::Error::NoAgent { name: name.to_owned(), near: Vec::new() })?;
    if report.state.is_final() {
        // Its session may last a moment longer than its work; there is nothing more to see in it.
        return Ok(Attach::Ended(Box::new(report)));
    }
    house.tmux.revive()?;
    match house.tmux.has_session(&named.session)? {
        Some(true) => Ok(Attach::Become { words: words(house, &named.session) }),
        Some(false) | None if report.state == crate::model::agent::State::Interrupted => {
            Ok(Attach::Ended(Box::new(report)))
        }
        Some(false) | None => Err(Error::SessionGone { session: named.session.to_string() }),
    }
}

fn words(house: &House, session: &crate::model::ids::Session) -> Vec<String> {
    // TMUX is "socket,pid,session". Inside our own server a terminal is moved to the other session; inside another one
    // it is attached as in any terminal.
    let inside_ours = house.settings.environment.value("TMUX").is_some_and(|tmux| {
        let socket = tmux.as_bytes().split(|b| *b == b',').next().unwrap_or_default();
        socket == house.tmux.socket().as_os_str().as_bytes()
    });
    if inside_ours { house.tmux.switch_words(session) } else { house.tmux.attach_words(session) }
}

/// The agents that can be attached to.
pub fn choices(house: &House) -> Result<Vec<AgentReport>> {
    let list = super::list::list(house, false)?;
    let live: Vec<AgentReport> = list
        .agents
        .into_iter()
        .filter(|a| !a.state.is_final() && a.state != crate::model::agent::State::Interrupted)
        .collect();
    if live.is_empty() { Err(Error::NothingRunning) } else { Ok(live) }
}
