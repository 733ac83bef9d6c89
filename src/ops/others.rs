//! The agents that can be reached: those of the caller's repository that are alive.

use super::Result;
use super::caller::Caller;
use crate::a2a::{look, registry};
use crate::life::House;
use crate::model::agent::State;
use crate::model::ids::{ContextId, RoleName, Session};
use crate::model::text::fit;
use serde::Serialize;

/// The most characters that are told of what an agent does.
const DOING: usize = 120;

/// An agent, as another one needs to know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reachable {
    /// Its name.
    pub name: Session,
    /// What it is there for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<RoleName>,
    /// What it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_id: Option<ContextId>,
    /// The agent CLI that works.
    pub cli: String,
    /// Where it stands.
    pub state: State,
    /// The beginning of its task.
    pub task: String,
    /// What it does now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doing: Option<String>,
}

/// The agents of the caller's repository that are alive, oldest first.
pub fn others(house: &House, caller: &Caller) -> Result<Vec<Reachable>> {
    let places = &house.settings.places;
    let mut agents = Vec::new();
    for named in registry::live(places, &caller.project)? {
        // One that cannot be looked at cannot be reached; `list` says what is wrong with it.
        let Ok(Some(report)) = look::look(places, &named) else { continue };
        agents.push(Reachable {
            name: report.session,
            role: report.role,
            context_id: report.context_id,
            cli: report.cli,
            state: report.state,
            task: report.title,
            doing: report.activity.map(|a| fit(&a.text, DOING)).filter(|text| !text.is_empty()),
        });
    }
    Ok(agents)
}
