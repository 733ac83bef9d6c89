//! Bringing back what `clean` took away: name, branch, worktree with its files and index.

use super::remake::{remake, repository};
use super::{House, Result, clean, ground};
use crate::a2a::mail::Mail;
use crate::a2a::names::{self, Named};
use crate::a2a::record::{self, Pen};
use crate::a2a::{board, cleaned, root};
use crate::git::{BranchProblem, Repository};
use crate::model::agent::{Agent, Removal};
use crate::model::entry::{Entry, HeadAt, Spec};
use crate::model::ids::{AgentId, Party, Project, Session};
use crate::model::places::Record;
use crate::model::text::Shown;
use crate::rules::naming;
use crate::rules::report::{Keeper, report};
use crate::tools::file;
use std::path::PathBuf;

/// How many names are tried for one agent.
const NAMES: usize = 10_000;

/// Why an agent cannot be brought back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its repository is gone.
    #[error("the repository of {session} is gone: {}", Shown(&.common_dir.to_string_lossy()))]
    NoRepository {
        /// The agent.
        session: Session,
        /// Where the repository was.
        common_dir: PathBuf,
    },
    /// No name was free.
    #[error("no name like '{0}' is free")]
    NoName(Session),
}

impl Error {
    /// A word that does not change, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoRepository { .. } => "repository_gone",
            Self::NoName(_) => "no_name",
        }
    }

    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoRepository { .. } => Some("put it back where it was, and undo again".to_owned()),
            Self::NoName(_) => None,
        }
    }
}

/// An agent that is there again.
#[derive(Debug, Clone)]
pub struct Restored {
    /// Its name now.
    pub session: Session,
    /// What it was made from.
    pub spec: Spec,
    /// Whether it was there before this call.
    pub was_there: bool,
    /// What is not as it was.
    pub note: Option<String>,
}

/// Brings back the agent of `record`.
///
/// It comes back under its name, or the next free one like it, with the files, the index, HEAD and the branch that it had.
pub fn undo(house: &House, id: AgentId, record: &Record) -> Result<Restored> {
    let places = &house.settings.places;
    let _alone = record::hold(record)?;
    let Some(held) = record::try_take(record)? else {
        let agent = record::load(record)?;
        let spec = agent.ok_or(crate::a2a::Error::NoAgent { name: id.to_string(), near: Vec::new() })?.spec;
        return Ok(Restored { session: spec.session.clone(), spec, was_there: true, note: None });
    };
    let mut pen = Pen::open(record, &held)?;
    if let Some(Removal::Cleaning { .. }) = &pen.agent.removal {
        let named = named(&pen.agent, record);
        clean::finish(house, &named, &mut pen)?;
    }
    let was_there = pen.agent.removal.is_none();
    let mut note = None;
    if was_there {
        cleaned::remove(places, id)?;
    } else {
        note = come_back(house, &mut pen, record)?;
    }
    let spec = pen.agent.spec.clone();
    Ok(Restored { session: spec.session.clone(), spec, was_there, note })
}

/// Brings back the agent of `pen`, which was cleaned, or whose return was cut off. Returns what is not as it was.
pub(super) fn come_back(house: &House, pen: &mut Pen, record: &Record) -> Result<Option<String>> {
    let places = &house.settings.places;
    let spec = pen.agent.spec.clone();
    root::prepare(&places.root, house.settings.uid)?;
    if !file::is_dir(&spec.common_dir)? {
        return Err(Error::NoRepository { session: spec.session, common_dir: spec.common_dir }.into());
    }
    let repository = if spec.place.has_own_worktree() { Some(repository(house, &spec)?) } else { None };
    let guard = house.alone_in(&spec.project)?;
    let mut note = None;
    // Made, and only that not said: somebody may have worked in it since.
    if !matches!(pen.agent.removal, Some(Removal::Restoring { .. })) || pen.agent.worktree.is_none() {
        let (was_at, tip) = settle(house, repository.as_ref(), pen)?;
        match &repository {
            Some(repository) => note = remake(repository, &guard, pen, record, &was_at, tip.as_deref())?,
            None => pen.write(ground::stays(house, &spec)?)?,
        }
    }
    drop(guard);
    // Under the name that it has now, and before it is said to be back: whoever is cut off does it again.
    let back = Party::Worker(pen.agent.spec.session.clone());
    Mail::new(places, &spec.project).give_back(spec.id, &back)?;
    pen.write(Entry::Restored)?;
    let gone = Keeper::Gone { creator_alive: false, running: None };
    board::tell(places, &report(&pen.agent, &gone, None));
    cleaned::remove(places, spec.id)?;
    Ok(note)
}

fn named(agent: &Agent, record: &Record) -> Named {
    let spec = &agent.spec;
    Named {
        session: spec.session.clone(),
        project: spec.project.clone(),
        id: spec.id,
        record: record.clone(),
    }
}

/// Settles on a name, branch and worktree that are free, puts them on record, and reserves the name: the ones that are on
/// record already, if a call was cut off behind that. Returns where HEAD was, and the tip of the branch.
fn settle(house: &House, repository: Option<&Repository>, pen: &mut Pen) -> Result<(HeadAt, Option<String>)> {
    let places = &house.settings.places;
    let id = pen.agent.spec.id;
    let is_ours = |session: &Session| -> Result<bool> {
        Ok(names::find(places, session)?.is_some_and(|owner| owner.id == id))
    };
    let reserve = |session: &Session, project: &Project| -> Result<bool> {
        Ok(is_ours(session)? || names::reserve(places, session, project, id)?)
    };
    if let Some(Removal::Restoring { head, tip }) = &pen.agent.removal
        && is_at(repository, &pen.agent.spec.branch, tip.as_deref())?
        && reserve(&pen.agent.spec.session, &pen.agent.spec.project)?
    {
        return Ok((head.clone(), tip.clone()));
    }
    let spec = pen.agent.spec.clone();
    for session in naming::candidates(&spec.session).take(NAMES) {
        // Another name needs no other branch.
        let branch = if is_free(repository, pen, &spec.branch)? {
            spec.branch.clone()
        } else {
            format!("{}{session}", house.settings.branch_prefix)
        };
        let own = repository.is_some();
        let worktree = if own { places.worktree(&spec.project, &session) } else { spec.worktree.clone() };
        if !is_free(repository, pen, &branch)? || (own && file::ownership(&worktree)?.is_some()) {
            continue;
        }
        if names::find(places, &session)?.is_some_and(|owner| owner.id != id) {
            continue;
        }
        // On record before it is done: a name that leads to an agent which does not know it would be nobody's.
        let chosen = session.clone();
        pen.write(Entry::Restoring { session: chosen, branch, worktree, head: None, tip: None })?;
        if let Some(Removal::Restoring { head, tip }) = &pen.agent.removal
            && reserve(&session, &spec.project)?
        {
            // The name that a call which was cut off had settled on leads to nobody any more.
            if session != spec.session && is_ours(&spec.session)? {
                names::free(places, &spec.session)?;
            }
            return Ok((head.clone(), tip.clone()));
        }
    }
    Err(Error::NoName(spec.session).into())
}

/// Whether there is no such branch, or it is where the agent's was. Without a repository there is nothing in the way.
fn is_at(repository: Option<&Repository>, branch: &str, tip: Option<&str>) -> Result<bool> {
    let Some(repository) = repository else { return Ok(true) };
    Ok(match repository.branch_problem(branch)? {
        None => true,
        Some(BranchProblem::Exists(at)) => Some(at.as_str()) == tip,
        Some(_) => false,
    })
}

/// Whether the agent can have this branch: nobody has, or it is where the agent's was.
fn is_free(repository: Option<&Repository>, pen: &Pen, branch: &str) -> Result<bool> {
    let Some(Removal::Cleaned { tip, .. } | Removal::Restoring { tip, .. }) = &pen.agent.removal else {
        return Ok(false);
    };
    if !is_at(repository, branch, tip.as_deref())? {
        return Ok(false);
    }
    Ok(match repository {
        Some(repository) => repository.checked_out_at(branch)?.is_empty(),
        None => true,
    })
}
