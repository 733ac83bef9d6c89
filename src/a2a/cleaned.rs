//! Agents that were cleaned: their names are free, their records stay, and `undo` finds them by a link each.

use super::{Result, record};
use crate::model::agent::Agent;
use crate::model::ids::{AgentId, Project};
use crate::model::places::{Places, Record};
use crate::tools::file;
use std::path::Path;

/// An agent whose name was given back.
#[derive(Debug, Clone)]
pub struct Cleaned {
    /// The agent.
    pub id: AgentId,
    /// Its record.
    pub record: Record,
}

/// Puts the agent `id` among the cleaned ones. It is there, on disk, when this returns.
pub fn add(places: &Places, project: &Project, id: AgentId) -> Result<()> {
    let target = Path::new("..").join(&project.0).join("agents").join(id.to_string());
    file::make_dirs(&places.cleaned())?;
    file::link(&places.cleaned().join(id.to_string()), &target)?;
    Ok(file::sync_dir(&places.cleaned())?)
}

/// Takes the agent `id` from among them.
pub fn remove(places: &Places, id: AgentId) -> Result<()> {
    file::remove(&places.cleaned().join(id.to_string()))?;
    Ok(())
}

/// All of them, the ones that were created last first.
pub fn all(places: &Places) -> Result<Vec<Cleaned>> {
    let mut all = Vec::new();
    for name in file::names(&places.cleaned())?.unwrap_or_default() {
        // Anything else in the directory is not ours.
        let Some(id) = name.to_str().and_then(|n| n.parse().ok()).map(AgentId) else { continue };
        let Some(target) = file::read_link(&places.cleaned().join(&name))? else { continue };
        let parts: Vec<_> = target.iter().filter_map(|p| p.to_str()).collect();
        let [.., project, "agents", _] = parts.as_slice() else { continue };
        all.push(Cleaned { id, record: places.record(&Project((*project).to_owned()), id) });
    }
    all.sort_by_key(|c| std::cmp::Reverse(c.id));
    Ok(all)
}

impl Cleaned {
    /// What its journal tells.
    pub fn agent(&self) -> Result<Option<Agent>> {
        record::load(&self.record)
    }
}
