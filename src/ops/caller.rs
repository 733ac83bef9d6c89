//! Who calls, and whose tasks and mail are meant: those of the caller's repository.

use super::{Result, list};
use crate::a2a::identity::Who;
use crate::life::House;
use crate::model::ids::{Party, Project};

/// Who works with the agents of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Who it is.
    pub who: Who,
    /// The repository: the agent's, or for a person the one of the working directory.
    pub project: Project,
}

impl Caller {
    /// Whoever called us.
    pub fn of(house: &House) -> Result<Self> {
        let who = house.who()?;
        let project = match &who {
            Who::Agent(me) => me.named.project.clone(),
            Who::Person => list::project_here(house)?,
        };
        Ok(Self { who, project })
    }

    /// What it is there for, if it is there for something.
    pub fn role(&self) -> Option<String> {
        match &self.who {
            Who::Agent(me) => me.role.as_ref().map(ToString::to_string),
            Who::Person => None,
        }
    }

    /// What it calls something that it does, so that doing it twice does it once. An agent's is its own: another one may have had its name
    /// before, and called something else so.
    pub fn operation(&self, op: Option<String>) -> Option<String> {
        let Who::Agent(me) = &self.who else { return op };
        // An empty one stays, to be refused.
        op.map(|op| if op.is_empty() { op } else { format!("{}/{op}", me.named.id) })
    }

    /// The name that messages and tasks know it by.
    pub fn party(&self) -> Party {
        self.who.party()
    }
}
