//! Tasks: creating them for others, claiming them, saying how they go, ending them.

use super::caller::Caller;
use super::office::Office;
use super::own::Found;
use super::{Error, Result, desk};
use crate::a2a::identity::Who;
use crate::a2a::tasks::{By, ClaimRequest, Filter};
use crate::model::a2a::{Artifact, Message, Part, Role, TaskState};
use crate::model::ids::{ContextId, Party, RoleName, TaskId};
use crate::model::text::Shown;
use crate::model::work::{Kind, OnFailed, PRIORITY, PRIORITY_MAX, TaskSpec, Work};
use crate::rules::naming::id_from;
use crate::tools::clock;
use serde::Serialize;

/// What is to be done by somebody.
#[derive(Debug, Clone, Default)]
pub struct NewTask {
    /// What.
    pub text: String,
    /// By whom: anybody of this role.
    pub role: Option<String>,
    /// 0 to 9, 9 first.
    pub priority: Option<u8>,
    /// What must be completed before.
    pub depends_on: Vec<String>,
    /// If one of those fails: wait for somebody to decide, instead of being rejected.
    pub hold: bool,
    /// What it belongs to; else to what its creator belongs.
    pub context_id: Option<String>,
    /// The creator's own name for creating this: doing so twice creates it once.
    pub op_id: Option<String>,
}

/// A task in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Its id.
    pub id: TaskId,
    /// What kind of work it is.
    pub kind: Kind,
    /// Where it stands, in a word.
    pub state: &'static str,
    /// Its first line.
    pub title: String,
    /// Who works on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<Party>,
    /// Who may claim it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// What must be completed before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<TaskId>,
}

/// Which tasks are listed.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// In this state, by its word.
    pub state: Option<String>,
    /// For this role.
    pub role: Option<String>,
    /// Only those that the caller works on.
    pub mine: bool,
}

/// What came of a task.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// What it is called.
    pub name: String,
    /// What it is made of: a text,
    pub text: Option<String>,
    /// or where it is.
    pub url: Option<String>,
    /// What it is.
    pub media_type: Option<String>,
}

/// Creates a task.
pub fn create(office: &Office, caller: &Caller, new: &NewTask) -> Result<Work> {
    if new.text.trim().is_empty() {
        return Err(Error::usage("the task is empty", "say in text what is to be done"));
    }
    let priority = new.priority.unwrap_or(PRIORITY);
    if priority > PRIORITY_MAX {
        return Err(Error::usage(
            format!("there is no priority {priority}"),
            "0 to 9, and 9 is claimed first",
        ));
    }
    let role = parsed::<RoleName>(new.role.as_deref(), "for example role: reviewer")?;
    let context = match parsed::<ContextId>(new.context_id.as_deref(), "for example context_id: issue-7")? {
        Some(context) => context.to_string(),
        None => own_context(caller),
    };
    let by = by(caller, new.op_id.clone());
    let id = by.op.as_deref().map_or_else(|| TaskId(clock::new_id()), |op| id_for(&by.name, op));
    let mut spec = TaskSpec::text(id, context, &new.text);
    if by.name != Party::User {
        spec.message.role = Role::Agent;
    }
    spec.priority = priority;
    spec.depends_on = new.depends_on.iter().map(|text| task_id(office, text)).collect::<Result<_>>()?;
    spec.on_failed_dependency = if new.hold { OnFailed::Hold } else { OnFailed::Reject };
    spec.role = role.map(|role| role.to_string());
    durable(office, office.tasks.create(spec, &by)?)
}

fn own_context(caller: &Caller) -> String {
    match &caller.who {
        Who::Agent(me) => me.context.to_string(),
        Who::Person => caller.project.to_string(),
    }
}

/// The id of the task that `op` of `name` creates: the same for the same.
fn id_for(name: &Party, op: &str) -> TaskId {
    TaskId(id_from(&[b"task", name.as_str().as_bytes(), op.as_bytes()]))
}

/// The tasks that are asked for, oldest first.
pub fn list(office: &Office, caller: &Caller, asked: &Asked) -> Result<Vec<Line>> {
    let state = asked.state.as_deref().map(state).transpose()?;
    let filter =
        Filter { state, context: None, role: asked.role.clone(), owner: asked.mine.then(|| caller.party()) };
    let mut tasks = desk::list(office, &filter)?.tasks;
    if asked.mine {
        // What the caller has claimed, not what it is there for.
        tasks.retain(|task| matches!(task, Found::Shared(_)));
    }
    Ok(tasks.iter().map(line).collect())
}

fn line(task: &Found) -> Line {
    let (kind, role, depends_on) = match task {
        Found::Shared(work) => (Kind::Task, work.spec.role.clone(), work.spec.depends_on.clone()),
        Found::Own(_) => (Kind::Agent, None, Vec::new()),
    };
    let (state, owner) = (task.state().word(), task.owner());
    Line { id: task.id(), kind, state, title: task.title(), owner, role, depends_on }
}

fn state(word: &str) -> Result<TaskState> {
    TaskState::ALL.into_iter().find(|state| state.word() == word).ok_or_else(|| {
        let words: Vec<&str> = TaskState::ALL.iter().map(|state| state.word()).collect();
        let what = format!("there is no state '{}'", Shown(word));
        Error::usage(what, format!("the states are: {}", words.join(", ")))
    })
}

/// The task `id` of the board.
pub fn get(office: &Office, id: &str) -> Result<Work> {
    Ok(office.tasks.get(task_id(office, id)?)?)
}

/// Claims the task `id`, or the best that the caller may claim; `None` if there is none.
pub fn claim(
    office: &Office,
    caller: &Caller,
    id: Option<&str>,
    op_id: Option<String>,
) -> Result<Option<Work>> {
    let pid = match &caller.who {
        // It lives as long as its keeper, which holds the lock of its name.
        Who::Agent(me) => me.keeper,
        Who::Person => None,
    };
    let role = caller.role();
    let id = id.map(|id| task_id(office, id)).transpose()?;
    let claimed = office.tasks.claim(&ClaimRequest { by: by(caller, op_id), pid, role, lease: None, id })?;
    claimed.map(|work| durable(office, work)).transpose()
}

/// Under which names something is done to a claimed task.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Under {
    /// The caller's own name for doing this: doing so twice does it once.
    pub op_id: Option<String>,
    /// The generation of the claim that is meant; else that of the present one. Whoever shares its name with others must say
    /// it, because they may have claimed the task since.
    pub generation: Option<u64>,
}

impl From<Option<String>> for Under {
    fn from(op_id: Option<String>) -> Self {
        Self { op_id, generation: None }
    }
}

/// How a task goes, as its holder says, or what somebody else has to say about it.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// What there is to say.
    pub text: Option<String>,
    /// Whether it goes on, or waits for an answer or a login: by its word.
    pub state: Option<String>,
    /// Under which names it is said.
    pub under: Under,
}

/// Puts on record how a task goes.
pub fn update(office: &Office, caller: &Caller, id: &str, progress: &Progress) -> Result<Work> {
    let work = get(office, id)?;
    let by = by(caller, progress.under.op_id.clone());
    let generation = progress.under.generation.unwrap_or(work.generation);
    let message = progress.text.as_deref().map(|text| said(&by, text));
    match (&progress.state, message) {
        (None, None) => Err(Error::usage("nothing is said", "give text, state or both")),
        (None, Some(message)) if work.owner() != Some(&by.name) => {
            durable(office, office.tasks.say(work.spec.id, &by, message)?)
        }
        (said, message) => {
            let state = said.as_deref().map_or(Ok(work.state), state)?;
            durable(office, office.tasks.tell(work.spec.id, &by, generation, state, message)?)
        }
    }
}

/// How the holder of a task ends its work on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It is done.
    Completed,
    /// It cannot be done.
    Failed,
    /// Somebody else may do it.
    Released,
}

/// Ends the caller's work on the task `id`.
pub fn end(
    office: &Office,
    caller: &Caller,
    id: &str,
    end: End,
    text: Option<&str>,
    under: Under,
) -> Result<Work> {
    let work = get(office, id)?;
    let (id, generation) = (work.spec.id, under.generation.unwrap_or(work.generation));
    let by = by(caller, under.op_id);
    let message = text.map(|text| said(&by, text));
    let ended = match end {
        End::Completed => office.tasks.complete(id, &by, generation, message)?,
        End::Failed => office.tasks.fail(id, &by, generation, message)?,
        End::Released => office.tasks.release(id, &by, generation, text.map(ToOwned::to_owned))?,
    };
    durable(office, ended)
}

/// Says something about a task, whoever holds it.
pub fn say(office: &Office, caller: &Caller, id: &str, text: &str, op_id: Option<String>) -> Result<Work> {
    let by = by(caller, op_id);
    let message = said(&by, text);
    durable(office, office.tasks.say(task_id(office, id)?, &by, message)?)
}

/// Takes back a task that the caller created.
pub fn cancel(
    office: &Office,
    caller: &Caller,
    id: &str,
    why: Option<&str>,
    op_id: Option<String>,
) -> Result<Work> {
    let by = by(caller, op_id);
    let message = why.map(|text| said(&by, text));
    durable(office, office.tasks.cancel(task_id(office, id)?, &by, message)?)
}

/// The task, once what was done to it survives a power cut.
fn durable(office: &Office, work: Work) -> Result<Work> {
    office.tasks.sync(work.spec.id)?;
    Ok(work)
}

/// Adds what came of the task `id`. Of two of one name the later counts.
pub fn add_artifact(
    office: &Office,
    caller: &Caller,
    id: &str,
    result: &Outcome,
    under: Under,
) -> Result<Work> {
    let part = Part {
        text: result.text.clone(),
        url: result.url.clone(),
        media_type: result.media_type.clone(),
        ..Part::default()
    };
    if let Some(why) = part.check() {
        return Err(Error::usage(why, "give text, or the url of where it is"));
    }
    let artifact = desk::artifact(Some(result.name.clone()), part);
    deliver(office, caller, id, artifact, under)
}

/// Adds an artifact to the task `id`.
pub fn deliver(office: &Office, caller: &Caller, id: &str, artifact: Artifact, under: Under) -> Result<Work> {
    let work = get(office, id)?;
    let (by, generation) = (by(caller, under.op_id), under.generation.unwrap_or(work.generation));
    durable(office, office.tasks.add_artifact(work.spec.id, &by, generation, artifact)?)
}

fn by(caller: &Caller, op: Option<String>) -> By {
    By { name: caller.party(), op: caller.operation(op) }
}

fn said(by: &By, text: &str) -> Message {
    let role = if by.name == Party::User { Role::User } else { Role::Agent };
    let id = by.op.as_ref().map_or_else(|| clock::new_id().to_string(), |op| format!("op-{op}"));
    Message::text(id, role, text)
}

fn task_id(office: &Office, text: &str) -> Result<TaskId> {
    desk::find(office, text)
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(text: Option<&str>, hint: &str) -> Result<Option<T>> {
    text.map(|text| text.parse().map_err(|e: T::Err| Error::usage(e.to_string(), hint))).transpose()
}
