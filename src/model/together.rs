//! What programs read about tasks, mail and reserved files: the shapes of `task … --json`, `msg … --json` and `reserve … --json`. All carry
//! `"v":1`; their schemas are in `design/formats`.

use super::a2a::Task;
use super::glob::Glob;
use super::ids::{AgentId, Party, Session};
use super::mail::{DeadLetter, Given, Receipt};
use super::report::ErrorBody;
use super::reservation::Reserved;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One task, after whatever was done to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskReport {
    /// The version of this shape.
    pub v: u32,
    /// The task, as A2A has it.
    pub task: Task,
}

/// Several tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TasksReport {
    /// The version of this shape.
    pub v: u32,
    /// The tasks, the oldest first.
    pub tasks: Vec<Task>,
    /// What is wrong with those that cannot be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<ErrorBody>,
}

/// What came of a wish to work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClaimReport {
    /// The version of this shape.
    pub v: u32,
    /// The task that is held now; none if there was nothing to claim.
    pub task: Option<Task>,
}

/// What came of waiting for tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskWaitReport {
    /// The version of this shape.
    pub v: u32,
    /// Whether the time was over before all of them had ended.
    pub timed_out: bool,
    /// The tasks, in the order they were asked for.
    pub tasks: Vec<Task>,
}

/// What came of sending a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SendReport {
    /// The version of this shape.
    pub v: u32,
    /// One for each reader.
    pub receipts: Vec<Receipt>,
}

/// What was sent to somebody.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InboxReport {
    /// The version of this shape.
    pub v: u32,
    /// Whose.
    pub reader: Party,
    /// The messages, the most urgent first.
    pub messages: Vec<Given>,
    /// How many are left that were not handed out.
    pub unread: usize,
}

/// What was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AckReport {
    /// The version of this shape.
    pub v: u32,
    /// How many had not been before.
    pub acknowledged: usize,
}

/// What nobody will read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeadLettersReport {
    /// The version of this shape.
    pub v: u32,
    /// The messages.
    pub letters: Vec<DeadLetter>,
}

/// What came of reserving files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReserveReport {
    /// The version of this shape.
    pub v: u32,
    /// What the caller has reserved by it.
    pub reserved: Vec<Reserved>,
    /// What others have reserved of the same files: agree with them.
    pub others: Vec<Reserved>,
}

/// What was given back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReleaseReport {
    /// The version of this shape.
    pub v: u32,
    /// The patterns, as they were reserved.
    pub released: Vec<Glob>,
}

/// All that is reserved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReservationsReport {
    /// The version of this shape.
    pub v: u32,
    /// By name and pattern.
    pub reservations: Vec<Reserved>,
}

/// `task spawn --json`: an agent that was started for another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SpawnReport {
    /// The version of this shape.
    pub v: u32,
    /// Its session name: what messages and waits are addressed to.
    pub session: Session,
    /// Its id.
    pub id: AgentId,
    /// The id of its own task.
    pub task_id: String,
    /// Its branch, in the same repository.
    pub branch: String,
    /// The commit that its branch starts from.
    pub base: String,
}
