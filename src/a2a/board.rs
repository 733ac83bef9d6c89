//! The board: the state of each agent under /tmp, posted by its keeper for everybody to read.

use super::Result;
use super::feed::Feed;
use crate::model::agent::State;
use crate::model::feed::Kind;
use crate::model::ids::{AgentId, Project, Session};
use crate::model::places::Places;
use crate::model::report::AgentReport;
use crate::rules::own_task::{earlier, id_of, own_task};
use crate::tools::file;
use std::path::{Path, PathBuf};

/// The name of the state file in an agent's board directory.
pub const STATE: &str = "state.json";
/// The name of the card beside it.
const CARD: &str = "card.json";

fn path(places: &Places, project: &Project, session: &Session) -> PathBuf {
    places.board(project, session).join(STATE)
}

/// Where the card of an agent is.
pub(super) fn card(places: &Places, project: &Project, session: &Session) -> PathBuf {
    places.board(project, session).join(CARD)
}

/// Posts what is known about an agent, and its work as tasks. Makes the directories if a cleaner took them.
pub fn post(places: &Places, report: &AgentReport) -> Result<()> {
    let json = serde_json::to_vec(report)?;
    post_beside(&path(places, &report.project, &report.session), &json)?;
    let copies = places.copies(&report.project);
    for (n, task) in earlier(report) {
        // A wiped root has lost them; and what was interrupted is over as soon as another one begins.
        let copy = copies.task(id_of(report.id, n));
        if report.state == State::Starting || !file::is_there(&copy)? {
            post_beside(&copy, &serde_json::to_vec(&task)?)?;
        }
    }
    let task = own_task(report);
    Ok(post_beside(&copies.task(id_of(report.id, report.round)), &serde_json::to_vec(&task)?)?)
}

/// Posts a file of the board. Makes the directories if a cleaner took them.
pub(super) fn post_beside(path: &Path, json: &[u8]) -> file::Result<()> {
    match (file::post(path, json), path.parent()) {
        (Err(e), Some(parent)) if e.source.kind() == std::io::ErrorKind::NotFound => {
            file::make_dirs(parent)?;
            file::post(path, json)
        }
        (posted, _) => posted,
    }
}

/// Posts what is known about an agent that nobody keeps, and announces its state. The board is a copy, and /tmp may be full or
/// wiped: the journal has it.
pub fn tell(places: &Places, report: &AgentReport) {
    post(places, report).ok();
    let kind = Kind::Agent { session: report.session.clone(), state: report.state };
    Feed::new(places, &report.project).try_say(kind);
}

/// Removes the entry of the agent `id`.
pub fn remove(places: &Places, project: &Project, session: &Session, id: AgentId) -> Result<()> {
    if let Some(report) = read(places, project, session, id)? {
        for round in 1..=report.round {
            file::remove(&places.copies(project).task(id_of(id, round)))?;
        }
        file::remove(&card(places, project, session))?;
        file::remove(&path(places, project, session))?;
        file::remove_empty_dir(&places.board(project, session))?;
    }
    Ok(())
}

/// What the board says about the agent `id`; `None` if it says nothing, something about another agent of that name, or
/// something that cannot be read. The board is never the only copy, so all of these mean: ask the journal.
pub fn read(
    places: &Places,
    project: &Project,
    session: &Session,
    id: AgentId,
) -> Result<Option<AgentReport>> {
    let bytes = match file::read(&path(places, project, session)) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(None),
        // Something else is in its place; the next post replaces it.
        Err(error) if error.is_damage() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let report: Option<AgentReport> = serde_json::from_slice(&bytes).ok();
    Ok(report.filter(|r| r.id == id && r.v == crate::model::report::VERSION))
}
