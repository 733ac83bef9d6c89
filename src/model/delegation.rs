//! Agents that start agents: what one may start, and what it asks its keeper for.

use super::ids::AgentId;
use super::report::ErrorBody;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The version of [`Wanted`].
pub const VERSION: u32 = 1;

/// What an agent may start. All of it is conserved: what a child may start is taken from what its parent may.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MayStart {
    /// How many agents, in its whole life, those included that these may start.
    pub agents: u32,
    /// How many generations below it.
    pub depth: u32,
    /// US dollars for all of them together; absent: they need no budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_usd: Option<f64>,
}

/// What an agent asks its keeper to start: a file of its record, there until the answer is in its journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wanted {
    /// Always [`VERSION`] when written by this program.
    pub v: u32,
    /// Names the request: made from the agent's own name for it, so that asking twice is asking once.
    pub key: Uuid,
    /// The round that the agent was in. A request of an earlier one is of no use to anybody.
    pub round: u32,
    /// What is to be done.
    pub task: String,
    /// The agent CLIs; absent: those of the parent, with their models.
    #[serde(default)]
    pub chain: Option<Vec<String>>,
    /// The model for the first of them.
    #[serde(default)]
    pub model: Option<String>,
    /// The session name wanted.
    #[serde(default)]
    pub name: Option<String>,
    /// What it is there for.
    #[serde(default)]
    pub role: Option<String>,
    /// The commit that its branch starts from.
    pub base: String,
    /// What that was called.
    pub base_name: String,
    /// US dollars that it may spend.
    #[serde(default)]
    pub budget_usd: Option<f64>,
    /// How many agents it may start in turn.
    #[serde(default)]
    pub may_start: u32,
    /// US dollars for those.
    #[serde(default)]
    pub start_budget_usd: Option<f64>,
}

/// A child, as the journal of its parent tells of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Child {
    /// The request that it comes from.
    pub key: Uuid,
    /// Its id.
    pub id: AgentId,
    /// How many agents are taken for it: itself, and those that it may start.
    pub agents: u32,
    /// US dollars that are taken for them.
    pub usd: f64,
    /// How far its start has gone.
    pub start: Start,
}

/// How far the start of a child has gone.
#[derive(Debug, Clone, PartialEq)]
pub enum Start {
    /// It is to be started.
    Begun,
    /// It is there, under this name then.
    Done {
        /// Its session name.
        session: String,
    },
    /// It is not there, and nothing is taken for it.
    Failed {
        /// Why not.
        error: ErrorBody,
    },
}
