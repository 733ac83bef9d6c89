//! What the tools take. The words here are read by models in every turn: few, and enough.

use schemars::JsonSchema;
use serde::Deserialize;

/// What a tool takes that takes nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {
    /// A name of yours for this call; the same call with the same name is done once.
    #[serde(default, rename = "op_id")]
    pub _op_id: Option<String>,
}

/// `send_message`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Send {
    /// An agent's name, `user`, `role:NAME` or `context:ID`.
    pub to: String,
    /// What you say.
    pub text: String,
    /// The id of the task it is about.
    #[serde(default)]
    pub task_id: Option<String>,
    /// The id of the message it answers.
    #[serde(default)]
    pub reply_to: Option<String>,
    /// `low`, `normal` or `high`.
    #[serde(default)]
    pub priority: Option<String>,
    /// Whether you want a message when it was read.
    #[serde(default)]
    pub ack_required: Option<bool>,
    /// A name of yours for this call; the same call with the same name is done once.
    #[serde(default)]
    pub op_id: Option<String>,
}

/// `read_inbox`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Read {
    /// The most messages to give, 10 if not said.
    #[serde(default)]
    pub max: Option<u16>,
    /// A name of yours for this call; the same call with the same name is done once.
    #[serde(default, rename = "op_id")]
    pub _op_id: Option<String>,
}

/// `ack`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Ack {
    /// The ids of the messages.
    pub ids: Vec<String>,
    /// A name of yours for this call; the same call with the same name is done once.
    #[serde(default, rename = "op_id")]
    pub _op_id: Option<String>,
}

/// `ask_user`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Ask {
    /// What you need to know.
    pub question: String,
    /// The id of your task that cannot go on without the answer.
    #[serde(default)]
    pub task_id: Option<String>,
    /// A name of yours for this call; the same call with the same name is done once.
    #[serde(default)]
    pub op_id: Option<String>,
}

/// `wait`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wait {
    /// At most so long, 25 at most.
    #[serde(default)]
    pub seconds: Option<u16>,
    /// Also return when this task changes.
    #[serde(default)]
    pub task_id: Option<String>,
    /// Also return when there is a task that you may claim.
    #[serde(default)]
    pub claimable: Option<bool>,
    /// A name of yours for this call; the same call with the same name is done once.
    #[serde(default, rename = "op_id")]
    pub _op_id: Option<String>,
}

/// `create_task`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Create {
    /// What is to be done, whole: whoever claims it knows nothing else.
    pub text: String,
    /// Only agents of this role may claim it.
    #[serde(default)]
    pub role: Option<String>,
    /// 0 to 9; 9 is claimed first, 5 if not said.
    #[serde(default)]
    pub priority: Option<u8>,
    /// Ids of tasks that must be completed before.
    #[serde(default)]
    pub depends_on: Option<Vec<String>>,
    /// If one of those fails: keep this one waiting, instead of rejecting it.
    #[serde(default)]
    pub hold: Option<bool>,
    /// What it belongs to; your own context if not said.
    #[serde(default)]
    pub context_id: Option<String>,
    /// A name of yours for this call; the same call with the same name is done once.
    #[serde(default)]
    pub op_id: Option<String>,
}

/// `spawn_task`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Spawn {
    /// What it is to do, whole: it knows nothing else.
    pub prompt: String,
    /// The agent CLIs to try, in order; yours if not said.
    #[serde(default)]
    pub agent_cli: Option<Vec<String>>,
    /// The model for the first of them.
    #[serde(default)]
    pub model: Option<String>,
    /// What it is there for.
    #[serde(default)]
    pub role: Option<String>,
    /// What its branch starts from; the commit that your worktree is at if not said.
    #[serde(default)]
    pub base: Option<String>,
    /// The name wanted.
    #[serde(default)]
    pub name: Option<String>,
    /// US dollars it may spend.
    #[serde(default)]
    pub budget_usd: Option<f64>,
    /// How many agents it may start in turn, taken from yours.
    #[serde(default)]
    pub may_start: Option<u32>,
    /// US dollars for those, taken from yours.
    #[serde(default)]
    pub start_budget_usd: Option<f64>,
    /// A name of yours for this call; the same call with the same name is done once.
    #[serde(default)]
    pub op_id: Option<String>,
}

/// `list_tasks`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    /// This one, whole, in place of a list.
    #[serde(default)]
    pub task_id: Option<String>,
    /// `submitted`, `working`, `input-required`, `auth-required`, `completed`, `failed`, `canceled` or `rejected`.
    #[serde(default)]
    pub state: Option<String>,
    /// For this role.
    #[serde(default)]
    pub role: Option<String>,
    /// Only those that you have claimed.
    #[serde(default)]
    pub mine: Option<bool>,
    /// A name of yours for this call; the same call with the same name is done once.
    #[serde(default, rename = "op_id")]
    pub _op_id: Option<String>,
}

/// `claim_task`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Claim {
    /// This one; the best that you may claim if not said.
    #[serde(default)]
    pub task_id: Option<String>,
    /// A name of yours for this call; the same call with the same name is done once.
    #[serde(default)]
    pub op_id: Option<String>,
}

/// `update_task`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Update {
    /// The task.
    pub task_id: String,
    /// What there is to say about it.
    #[serde(default)]
    pub text: Option<String>,
    /// `working`, `input-required` or `auth-required`, if you have claimed it.
    #[serde(default)]
    pub state: Option<String>,
    /// A name of yours for this call; the same call with the same name is done once.
    #[serde(default)]
    pub op_id: Option<String>,
}

/// `complete_task`, `fail_task` and `release_task`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    /// The task, which you have claimed.
    pub task_id: String,
    /// What came of it, or why not.
    #[serde(default)]
    pub text: Option<String>,
    /// A name of yours for this call; the same call with the same name is done once.
    #[serde(default)]
    pub op_id: Option<String>,
}

/// `reserve_files`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Reserve {
    /// Files or directories from the root of the repository on, with `*`, `?`, `[a-z]`, `**` and `{a,b}`.
    pub globs: Vec<String>,
    /// Whether nobody else may reserve any of them; refused if somebody has.
    #[serde(default)]
    pub exclusive: Option<bool>,
    /// For at most so long; until your end if not said.
    #[serde(default)]
    pub minutes: Option<u32>,
    /// What you need them for.
    #[serde(default)]
    pub why: Option<String>,
    /// A name of yours for this call; the same call with the same name is done once.
    #[serde(default)]
    pub op_id: Option<String>,
}

/// `release_files`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Release {
    /// As you reserved them; all of yours if not said.
    #[serde(default)]
    pub globs: Option<Vec<String>>,
    /// A name of yours for this call; the same call with the same name is done once.
    #[serde(default)]
    pub op_id: Option<String>,
}

/// `add_artifact`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AddArtifact {
    /// The task, which you have claimed.
    pub task_id: String,
    /// What it is called; one of the same name takes its place.
    pub name: String,
    /// The content,
    #[serde(default)]
    pub text: Option<String>,
    /// or where it is: a file, a commit, a branch.
    #[serde(default)]
    pub url: Option<String>,
    /// What it is, for example text/markdown.
    #[serde(default)]
    pub media_type: Option<String>,
    /// A name of yours for this call; the same call with the same name is done once.
    #[serde(default)]
    pub op_id: Option<String>,
}
