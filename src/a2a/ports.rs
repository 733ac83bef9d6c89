//! Ports that are one agent's alone, over all repositories of this user: a link for each, which leads to the agent's record.
//!
//! An agent has its ports from its first keeper on until it is cleaned, so that what it listens on stays where it was. A lease whose agent
//! is gone is given to the next one that wants a port.

use super::{Error, Result, record};
use crate::model::agent::Removal;
use crate::model::ids::{AgentId, Project};
use crate::model::places::{Places, Record};
use crate::model::project_file::Port;
use crate::tools::{file, lock, port};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The ports that are given away: below those that the kernel gives to whoever asks for any (from 32768), above those that people
/// and programs like.
const RANGE: Range<u16> = 20_000..30_000;
/// How long to wait for others who take ports.
const LIMIT: Duration = Duration::from_secs(30);

/// Takes a port for each of `names`, for the agent `id` of `project`: the one that it `had` before, where nobody else has it by now,
/// else a free one. Doing it again finds it done. The agent must be on record.
pub fn take(
    places: &Places,
    project: &Project,
    id: AgentId,
    names: &[String],
    had: &[Port],
) -> Result<Vec<Port>> {
    file::make_dirs(&places.ports())?;
    let _alone = lock::exclusive(&places.ports_lock(), LIMIT)?;
    let own = owner(project, id);
    let mut taken: Vec<Port> = Vec::new();
    for name in names {
        let before = had.iter().find(|port| port.name == *name).map(|port| port.port);
        let before = match before {
            Some(number) if keeps(places, number, &own)? => Some(number),
            Some(_) | None => None,
        };
        let number = match before {
            Some(number) => number,
            None => another(places, &own, id, &taken)?,
        };
        taken.push(Port { name: name.clone(), port: number });
    }
    Ok(taken)
}

/// Gives all ports of the agent back, those too that whoever took them died with before they were on record.
pub fn give_back(places: &Places, project: &Project, id: AgentId) -> Result<()> {
    if !file::is_dir(&places.ports())? {
        return Ok(());
    }
    let _alone = lock::exclusive(&places.ports_lock(), LIMIT)?;
    let own = owner(project, id);
    for name in file::names(&places.ports())?.unwrap_or_default() {
        let lease = places.ports().join(name);
        if file::read_link(&lease)?.as_ref() == Some(&own) {
            file::remove(&lease)?;
        }
    }
    Ok(())
}

fn lease(places: &Places, number: u16) -> PathBuf {
    places.ports().join(number.to_string())
}

/// Where the lease of an agent leads.
fn owner(project: &Project, id: AgentId) -> PathBuf {
    Path::new("..").join(&project.0).join("agents").join(id.to_string())
}

/// Whether the port that an agent had is its own, or is its own again.
fn keeps(places: &Places, number: u16, own: &Path) -> Result<bool> {
    match file::read_link(&lease(places, number))? {
        Some(there) if there == own => Ok(true),
        _ => claim(places, number, own),
    }
}

/// A port that the agent did not have. From a place on that its id says, so that agents of one time do not try the same ones.
fn another(places: &Places, own: &Path, id: AgentId, taken: &[Port]) -> Result<u16> {
    let count = usize::from(RANGE.end - RANGE.start);
    let begin = usize::try_from(id.0.as_u128() % count as u128).unwrap_or(0);
    for number in RANGE.cycle().skip(begin).take(count) {
        if !taken.iter().any(|port| port.port == number) && claim(places, number, own)? {
            return Ok(number);
        }
    }
    Err(Error::NoPort { first: RANGE.start, last: RANGE.end - 1 })
}

/// Makes the port the agent's if it is nobody's and nobody listens there. The caller has the lock.
fn claim(places: &Places, number: u16, own: &Path) -> Result<bool> {
    let path = lease(places, number);
    if let Some(there) = file::read_link(&path)?
        && there != own
    {
        if is_kept(places, &there)? {
            return Ok(false);
        }
        file::remove(&path)?;
    }
    // Whether somebody listens there may be told wrongly by a system that is short of something: then it is not taken.
    if !port::is_free(number).unwrap_or(false) {
        return Ok(false);
    }
    // One of ours that is not on record: who took it died before that.
    Ok(file::link(&path, own)? || file::read_link(&path)?.as_deref() == Some(own))
}

/// Whether the agent to whose record a lease leads may still need it. One whose record cannot be read may.
fn is_kept(places: &Places, target: &Path) -> Result<bool> {
    let record = Record(places.ports().join(target));
    Ok(match record::load(&record) {
        Ok(None) => false,
        Ok(Some(agent)) => {
            agent.not_created.is_none() && !matches!(agent.removal, Some(Removal::Cleaned { .. }))
        }
        Err(error) if error.is_damage() => true,
        Err(error) => return Err(error),
    })
}
