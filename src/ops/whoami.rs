//! Who the caller is to others, and what it is there for.

use super::Result;
use super::caller::Caller;
use crate::a2a::identity::Who;
use crate::a2a::record;
use crate::model::ids::{ContextId, Party, Project, RoleName};
use crate::rules::delegation;
use serde::Serialize;

/// What a caller is told of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Whoami {
    /// Its name.
    pub name: Party,
    /// What it is there for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<RoleName>,
    /// What it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_id: Option<ContextId>,
    /// The repository that its tasks and messages belong to.
    pub project: Project,
    /// The beginning of its task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Its branch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Its worktree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worktree: Option<String>,
    /// How many agents it may still start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub may_start: Option<u32>,
}

/// Who `caller` is.
pub fn whoami(caller: &Caller) -> Result<Whoami> {
    let (name, project) = (caller.party(), caller.project.clone());
    let person = Whoami {
        name,
        role: None,
        context_id: None,
        project,
        task: None,
        branch: None,
        worktree: None,
        may_start: None,
    };
    let Who::Agent(me) = &caller.who else { return Ok(person) };
    let Some(agent) = record::load(&me.named.record)? else { return Ok(person) };
    Ok(Whoami {
        role: me.role.clone(),
        context_id: Some(me.context.clone()),
        may_start: agent.spec.may_start.map(|_| delegation::left(&agent)),
        task: Some(agent.spec.title),
        branch: Some(agent.spec.branch),
        worktree: Some(agent.spec.worktree.to_string_lossy().into_owned()),
        ..person
    })
}
