//! `undo`: agents that were cleaned come back.

use super::{Error, Result, guard};
use crate::a2a::cleaned::{self, Cleaned};
use crate::a2a::{names, record};
use crate::git;
use crate::life::{self, House, undo};
use crate::model::agent::{Agent, Removal};
use crate::model::ids::{AgentId, Moment};
use crate::model::places::Record;
use crate::model::report::{UndoListReport, UndoReport, UndoableReport, VERSION};
use crate::rules::nearest::nearest;

/// An agent that can come back, with when it went.
fn candidates(house: &House) -> Result<Vec<(Cleaned, Agent, Moment)>> {
    let mut found = Vec::new();
    for cleaned in cleaned::all(&house.settings.places)? {
        // One that cannot be read cannot be brought back, and must not hide the others.
        let Ok(Some(agent)) = cleaned.agent() else { continue };
        let at = match &agent.removal {
            Some(Removal::Cleaned { at, .. }) => *at,
            Some(Removal::Cleaning { .. } | Removal::Restoring { .. }) => agent.updated,
            None => continue,
        };
        found.push((cleaned, agent, at));
    }
    found.sort_by_key(|(cleaned, _, at)| std::cmp::Reverse((*at, cleaned.id)));
    Ok(found)
}

/// What can come back, the last that went first.
pub fn list(house: &House) -> Result<UndoListReport> {
    let agents = candidates(house)?.into_iter().map(|(cleaned, agent, at)| UndoableReport {
        session: agent.spec.session.clone(),
        id: cleaned.id,
        cleaned: at,
        title: agent.spec.title.clone(),
        branch: agent.spec.branch.clone(),
        project: agent.spec.project.clone(),
        saved: agent.rescues.iter().rev().find_map(|r| r.name.clone()),
    });
    Ok(UndoListReport { v: VERSION, agents: agents.collect() })
}

/// Brings back the agent with this name or id, or the one that went last.
pub fn undo(house: &House, name: Option<&str>) -> Result<UndoReport> {
    guard::person_only(house, "undo")?;
    let (id, record) = choose(house, name)?;
    let restored = undo::undo(house, id, &record)?;
    let spec = restored.spec;
    let head = if restored.was_there { None } else { elsewhere(house, &record) };
    Ok(UndoReport {
        v: VERSION,
        session: restored.session,
        id,
        restored: !restored.was_there,
        notes: restored.note.into_iter().collect(),
        branch: spec.branch,
        head,
        worktree: spec.worktree,
    })
}

/// Where the HEAD of a worktree that came back is, if that is not on the agent's branch.
fn elsewhere(house: &House, record: &Record) -> Option<String> {
    let agent = record::load(record).ok()??;
    let worktree = life::worktree(&agent)?;
    let head = git::worktree::head(&house.git().ok()?, &worktree).ok()?;
    if worktree.is_at(&head) {
        return None;
    }
    let branch = head.branch().map(|branch| format!("branch {branch}"));
    branch.or_else(|| head.commit().map(|commit| format!("commit {}", commit.short())))
}

fn choose(house: &House, name: Option<&str>) -> Result<(AgentId, crate::model::places::Record)> {
    let places = &house.settings.places;
    let all = candidates(house)?;
    let wanted = |agent: &Agent, id: AgentId| {
        name.is_none_or(|name| agent.spec.session.as_str() == name || id.to_string() == name)
    };
    if let Some((cleaned, ..)) = all.iter().find(|(cleaned, agent, _)| wanted(agent, cleaned.id)) {
        return Ok((cleaned.id, cleaned.record.clone()));
    }
    let Some(name) = name else { return Err(Error::NothingCleaned) };
    // One whose removal was cut off still has its name; one that was never cleaned is there, which is said.
    if let Ok(named) = names::require(places, name) {
        return Ok((named.id, named.record));
    }
    if let Some(named) = names::all(places)?.into_iter().find(|named| named.id.to_string() == name) {
        return Ok((named.id, named.record));
    }
    let near = nearest(name, all.iter().map(|(_, agent, _)| agent.spec.session.as_str()));
    let near = near.into_iter().map(str::to_owned).collect();
    Err(crate::a2a::Error::NoAgent { name: name.to_owned(), near }.into())
}
