//! Session names: unique per user over all repositories, reserved before anything else of an agent is made.
//!
//! A name is a symbolic link to the agent's record. Making a link is atomic and fails if the name is taken, so a name can
//! never be half reserved or reserved twice.

use super::{Error, Result};
use crate::model::ids::{AgentId, Project, Session};
use crate::model::places::{Places, Record};
use crate::rules::nearest::nearest;
use crate::tools::file;
use std::path::Path;

/// A reserved name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The name.
    pub session: Session,
    /// The repository of the agent.
    pub project: Project,
    /// The agent.
    pub id: AgentId,
    /// Its record.
    pub record: Record,
}

/// Reserves `session` for the agent; false if it is taken.
pub fn reserve(places: &Places, session: &Session, project: &Project, id: AgentId) -> Result<bool> {
    let target = Path::new("..").join(&project.0).join("agents").join(id.to_string());
    let path = places.name(session);
    match file::link(&path, &target) {
        Err(e) if e.source.kind() == std::io::ErrorKind::NotFound => {
            file::make_dirs(&places.names())?;
            Ok(file::link(&path, &target)?)
        }
        made => Ok(made?),
    }
}

/// Gives `session` back. Only whoever reserved it may do so.
pub fn free(places: &Places, session: &Session) -> Result<()> {
    file::remove(&places.name(session))?;
    Ok(())
}

/// The agent that `session` is reserved for.
pub fn find(places: &Places, session: &Session) -> Result<Option<Named>> {
    let Some(target) = file::read_link(&places.name(session))? else { return Ok(None) };
    let parts: Vec<_> = target.iter().filter_map(|p| p.to_str()).collect();
    let [.., project, "agents", id] = parts.as_slice() else { return Ok(None) };
    let Ok(id) = id.parse() else { return Ok(None) };
    let (project, id) = (Project((*project).to_owned()), AgentId(id));
    let record = places.record(&project, id);
    Ok(Some(Named { session: session.clone(), project, id, record }))
}

/// All reserved names, in the order of their agents' creation.
pub fn all(places: &Places) -> Result<Vec<Named>> {
    let mut all = Vec::new();
    for name in file::names(&places.names())?.unwrap_or_default() {
        // Anything else in the directory is not ours.
        let Some(session) = name.to_str().and_then(|n| n.parse().ok()) else { continue };
        all.extend(find(places, &session)?);
    }
    all.sort_by_key(|n| n.id);
    Ok(all)
}

/// What lies among the names and is none of ours, though an agent could be called so: its name is taken by it.
pub fn foreign(places: &Places) -> Result<Vec<Session>> {
    let mut foreign = Vec::new();
    for name in file::names(&places.names())?.unwrap_or_default() {
        let Some(session) = name.to_str().and_then(|n| n.parse::<Session>().ok()) else { continue };
        if find(places, &session)?.is_none() {
            foreign.push(session);
        }
    }
    foreign.sort();
    Ok(foreign)
}

/// The agent whose name is `name` exactly.
pub fn require(places: &Places, name: &str) -> Result<Named> {
    let exact = match name.parse() {
        Ok(session) => find(places, &session)?,
        Err(_) => None,
    };
    match exact {
        Some(named) => Ok(named),
        None => Err(no_agent(name, &all(places)?)),
    }
}

/// The agent whose name is `name`, or the only one whose name begins so.
pub fn require_by_prefix(places: &Places, name: &str) -> Result<Named> {
    if let Ok(session) = name.parse()
        && let Some(named) = find(places, &session)?
    {
        return Ok(named);
    }
    let all = all(places)?;
    let matches: Vec<&Named> =
        all.iter().filter(|n| !name.is_empty() && n.session.as_str().starts_with(name)).collect();
    match matches.as_slice() {
        [] => Err(no_agent(name, &all)),
        [one] => Ok((*one).clone()),
        several => Err(Error::Ambiguous {
            name: name.to_owned(),
            matches: several.iter().map(|n| n.session.to_string()).collect(),
        }),
    }
}

fn no_agent(name: &str, all: &[Named]) -> Error {
    let mut near: Vec<String> = all
        .iter()
        .map(|n| n.session.to_string())
        .filter(|n| !name.is_empty() && n.starts_with(name))
        .take(3)
        .collect();
    if near.is_empty() {
        near.extend(nearest(name, all.iter().map(|n| n.session.as_str())).into_iter().map(str::to_owned));
    }
    Error::NoAgent { name: name.to_owned(), near }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::clock;

    fn places(dir: &Path) -> Places {
        Places {
            root: dir.join("root"),
            state: dir.join("state"),
            data: dir.join("data"),
            config: dir.join("config"),
        }
    }

    #[test]
    fn of_many_who_want_a_name_one_gets_it() {
        let dir = tempfile::tempdir().unwrap();
        let places = places(dir.path());
        let session: Session = "fix".parse().unwrap();
        let won = std::thread::scope(|scope| {
            let tries: Vec<_> = (0..16)
                .map(|_| {
                    scope.spawn(|| {
                        reserve(&places, &session, &Project("p-1".into()), AgentId(clock::new_id())).unwrap()
                    })
                })
                .collect();
            tries.into_iter().map(|t| t.join().unwrap()).filter(|won| *won).count()
        });
        assert_eq!(won, 1);
    }

    #[test]
    fn a_prefix_finds_one_agent_and_never_hides_an_exact_name() {
        let dir = tempfile::tempdir().unwrap();
        let places = places(dir.path());
        for name in ["fix", "fix-2", "other"] {
            let id = AgentId(clock::new_id());
            assert!(reserve(&places, &name.parse().unwrap(), &Project("p-1".into()), id).unwrap());
        }
        assert_eq!(require_by_prefix(&places, "fix").unwrap().session.as_str(), "fix");
        assert_eq!(require_by_prefix(&places, "o").unwrap().session.as_str(), "other");
        assert!(matches!(require_by_prefix(&places, "fi"), Err(Error::Ambiguous { .. })));
        assert!(matches!(require_by_prefix(&places, ""), Err(Error::NoAgent { .. })));
        assert!(matches!(require(&places, "o"), Err(Error::NoAgent { .. })), "exact means exact");
        let Err(Error::NoAgent { near, .. }) = require(&places, "othr") else { panic!() };
        assert_eq!(near, ["other"]);
    }
}
