//! `resume`: interrupted agents go on, ended ones go on with a new task.

use super::{Error, Result, guard};
use crate::a2a::names::{self, Named};
use crate::a2a::{board, look, record};
use crate::life::House;
use crate::life::resume::{self, Begun};
use crate::model::agent::State;
use crate::model::report::ResumeReport;
use crate::model::request::Resume;
use crate::rules::report::{Keeper, report};
use crate::tools::file;

/// Lets the agents go on that `request` names, or all that are interrupted.
///
/// All sessions are made before the first keeper is waited for. What could not be resumed is as it was.
pub fn resume(house: &House, request: &Resume) -> Result<Vec<ResumeReport>> {
    guard::person_only(house, "resume")?;
    let chosen = if request.all { interrupted(house)? } else { chosen(house, request)? };
    let begun: Vec<_> =
        chosen.into_iter().map(|named| (named.session.to_string(), begin(house, &named, request))).collect();
    Ok(begun.into_iter().map(|(name, begun)| finish(house, name, begun)).collect())
}

/// The agents that are named, each once. If one of the names means none, nothing is begun at all: it may be a word of a task.
fn chosen(house: &House, request: &Resume) -> Result<Vec<Named>> {
    let mut chosen: Vec<Named> = Vec::new();
    for name in &request.sessions {
        let named = match names::require(&house.settings.places, name) {
            Err(crate::a2a::Error::NoAgent { .. })
                if request.sessions.len() > 1 && request.task.is_none() =>
            {
                let what = format!("there is no agent '{}'", crate::model::text::Shown(name));
                return Err(Error::usage(what, "a task of one word: ai_orch resume NAME --task WORD"));
            }
            named => named?,
        };
        if !chosen.contains(&named) {
            chosen.push(named);
        }
    }
    Ok(chosen)
}

/// The agents that are interrupted, in the order of their creation. On the way the board gets back what a wiped /tmp took
/// of agents that have ended.
fn interrupted(house: &House) -> Result<Vec<Named>> {
    let places = &house.settings.places;
    let mut found = Vec::new();
    for named in names::all(places)? {
        match look::look(places, &named) {
            Ok(Some(known)) if known.state == State::Interrupted => found.push(named),
            Ok(Some(known)) => {
                if known.state.is_final()
                    && board::read(places, &named.project, &named.session, named.id)?.is_none()
                {
                    // A copy: without it readers ask the journal.
                    board::post(places, &known).ok();
                }
            }
            // Of a name without a record there is nothing to resume, and of a damaged record nothing is known.
            Ok(None) | Err(_) => {}
        }
    }
    Ok(found)
}

fn begin(house: &House, named: &Named, request: &Resume) -> Result<(Named, Begun, Vec<String>)> {
    let agent = record::load(&named.record)?
        .ok_or_else(|| crate::a2a::Error::NoAgent { name: named.session.to_string(), near: Vec::new() })?;
    // Whoever asked for it to be killed was cut off; going on with everything is not meant against that.
    if request.all && agent.conclusion.is_none() && file::ownership(&named.record.stop())?.is_some() {
        return Err(Error::ToBeKilled { session: named.session.to_string() });
    }
    let mut environment = house.settings.environment.for_agent();
    for (variable, value) in &request.env {
        environment.set(variable, value);
    }
    let missing = agent.spec.env_names.iter().filter(|name| environment.value(name).is_none());
    let notes = missing
        .map(|name| {
            format!("{name} was given with --env and has no value now; give it again: --env {name}=…")
        })
        .collect();
    let begun = resume::begin(house, named, request.task.as_deref(), &environment)?;
    if let Begun::Runs = begun
        && request.task.is_some()
    {
        return Err(Error::StillRuns { session: named.session.to_string() });
    }
    Ok((named.clone(), begun, notes))
}

fn finish(house: &House, name: String, begun: Result<(Named, Begun, Vec<String>)>) -> ResumeReport {
    let done = begun.and_then(|(named, begun, notes)| {
        let mut notes = notes;
        let resumed = match begun {
            Begun::Runs => false,
            Begun::Starting(starting) => {
                notes.extend(starting.note.clone());
                starting.wait(house)?;
                true
            }
        };
        let state = record::load(&named.record)?.map(|agent| report(&agent, &Keeper::Alive, None).state);
        Ok((named, state, resumed, notes))
    });
    match done {
        Ok((named, state, resumed, notes)) => {
            ResumeReport { session: named.session.to_string(), state, resumed, notes, error: None }
        }
        Err(error) => ResumeReport {
            session: name,
            state: None,
            resumed: false,
            notes: Vec::new(),
            error: Some(error.body()),
        },
    }
}
