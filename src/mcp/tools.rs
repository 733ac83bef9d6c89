//! The tools: their names, what they take, and which story each one tells.

use super::forms::{
    Ack, AddArtifact, Ask, Claim, Create, End, List, Nothing, Read, Release, Reserve, Send, Spawn, Update,
    Wait,
};
use super::schema::{properties, schema};
use crate::life::House;
use crate::model::mail::{How, MailId, Priority, Receipt};
use crate::model::report::ErrorBody;
use crate::model::work::Work;
use crate::ops::caller::Caller;
use crate::ops::letters::Letter;
use crate::ops::office::Office;
use crate::ops::pause::{Awaited, Woken};
use crate::ops::spawn::NewAgent;
use crate::ops::tasks::{Asked, NewTask, Outcome, Progress};
use crate::ops::{self, Error, desk, letters, reserve, tasks};
use crate::rules::nearest::nearest;
use rmcp::model::{Tool, ToolAnnotations};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The longest wait. Clients give a call up after a minute, some of them sooner.
const WAIT: u16 = 25;
/// How many messages are given if nobody says.
const MESSAGES: u16 = 10;

/// Why a call came to nothing, for the model to read: what happened, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble(ErrorBody);

impl Trouble {
    /// As it is answered.
    pub(super) fn json(&self) -> Value {
        json!({"error": self.0})
    }

    fn input(message: String, hint: String) -> Self {
        Self(ErrorBody { code: "usage".to_owned(), message, hint: Some(hint) })
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self(error.body())
    }
}

/// What a call came to.
type Answer = std::result::Result<Value, Trouble>;

/// What a call does to the world, as clients ask before they let a model call.
#[derive(Debug, Clone, Copy)]
enum Does {
    /// It looks.
    Looks,
    /// It adds something; what was there stays.
    Adds,
}

/// Every tool.
pub(super) fn offered() -> Vec<Tool> {
    vec![
        tool::<Nothing>("whoami", "Your name, role, context, branch and worktree.", Does::Looks),
        tool::<Nothing>("list_agents", "The agents at work on this repository, and what on.", Does::Looks),
        tool::<Send>(
            "send_message",
            "Send a message to an agent, a role, a context or the person.",
            Does::Adds,
        ),
        tool::<Read>(
            "read_inbox",
            "Your unread messages. They count as read with your next call of any tool here.",
            Does::Adds,
        ),
        tool::<Ack>("ack", "Say that you have read messages.", Does::Adds),
        tool::<Ask>("ask_user", "Ask the person. The answer comes as a message: wait for it.", Does::Adds),
        tool::<Wait>(
            "wait",
            "Wait for a message, a task to change, or one to claim, at most 25 seconds.",
            Does::Looks,
        ),
        tool::<Create>("create_task", "Create a task for another agent to claim.", Does::Adds),
        tool::<Spawn>(
            "spawn_task",
            "Start another agent, if you may. It begins at your last commit; a message tells you its end. Then: git merge BRANCH.",
            Does::Adds,
        ),
        tool::<List>("list_tasks", "Tasks of this repository, or one of them whole.", Does::Looks),
        tool::<Claim>("claim_task", "Take a task to work on: the best one, or a given one.", Does::Adds),
        tool::<Update>("update_task", "Say how a task goes, or something about it.", Does::Adds),
        tool::<AddArtifact>("add_artifact", "Add a result to a task that you have claimed.", Does::Adds),
        tool::<End>("complete_task", "Your task is done. Add its artifacts before.", Does::Adds),
        tool::<End>("fail_task", "Your task cannot be done by anybody.", Does::Adds),
        tool::<End>("release_task", "Give your task back, for others to claim.", Does::Adds),
        tool::<Reserve>("reserve_files", "Say which files you will change; tells who else will.", Does::Adds),
        tool::<Release>("release_files", "Say that you will not change files any more.", Does::Adds),
        tool::<Nothing>("list_reservations", "Who reserved which files.", Does::Looks),
    ]
}

/// What is known between two calls.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The tasks and inboxes of the caller.
    office: Option<Arc<Office>>,
    /// What was given to the model since its last call.
    given: Vec<MailId>,
}

/// Calls the tool `name`.
pub(super) async fn call(house: &House, memory: &Mutex<Memory>, name: &str, arguments: Value) -> Answer {
    let caller = Caller::of(house)?;
    let (office, given) = {
        let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
        let office = match memory.office.take().filter(|office| office.is_of(&caller)) {
            Some(office) => office,
            None => Arc::new(Office::open(house, &caller)?),
        };
        memory.office = Some(Arc::clone(&office));
        (office, std::mem::take(&mut memory.given))
    };
    // Whoever calls again has got the last answer.
    letters::ack(&office, &caller, &given, How::NextCall)?;
    let mut answer = carry_out(house, &office, &caller, memory, name, arguments).await?;
    if let Some(fields) = answer.as_object_mut() {
        fields.insert("unread".to_owned(), office.unread(&caller)?.into());
    }
    Ok(answer)
}

async fn carry_out(
    house: &House,
    office: &Office,
    caller: &Caller,
    memory: &Mutex<Memory>,
    name: &str,
    arguments: Value,
) -> Answer {
    match name {
        "whoami" => {
            read::<Nothing>(name, arguments)?;
            answer(&ops::whoami::whoami(caller)?)
        }
        "list_agents" => {
            read::<Nothing>(name, arguments)?;
            answer(&json!({"agents": ops::others::others(house, caller)?}))
        }
        "send_message" => {
            let Send { to, text, task_id, reply_to, priority, ack_required, op_id } = read(name, arguments)?;
            let ack_required = ack_required.unwrap_or_default();
            let priority = priority.as_deref().map(urgency).transpose()?.unwrap_or_default();
            let letter = Letter { to, text, task_id, reply_to, priority, ack_required, op_id };
            Ok(sent(&letters::send(office, caller, &letter)?))
        }
        "read_inbox" => {
            let Read { max, .. } = read(name, arguments)?;
            let messages = letters::read(office, caller, max.unwrap_or(MESSAGES).max(1).into())?;
            let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
            memory.given.extend(messages.iter().map(|message| message.id));
            answer(&json!({"messages": messages}))
        }
        "ack" => {
            let Ack { ids, .. } = read(name, arguments)?;
            let ids = letters::ids(&ids)?;
            letters::ack(office, caller, &ids, How::Said)?;
            answer(&json!({"ok": true}))
        }
        "ask_user" => {
            let Ask { question, task_id, op_id } = read(name, arguments)?;
            let asked = letters::ask_user(office, caller, &question, op_id.clone())?;
            if let Some(id) = task_id {
                let state = Some("input-required".to_owned());
                tasks::update(
                    office,
                    caller,
                    &id,
                    &Progress { text: Some(question), state, under: op_id.into() },
                )?;
            }
            Ok(sent(&asked))
        }
        "wait" => {
            let Wait { seconds, task_id, claimable, .. } = read(name, arguments)?;
            let task = task_id.as_deref().map(|id| desk::look(office, id)).transpose()?;
            let awaited = Awaited { task, claimable: claimable.unwrap_or_default() };
            let limit = Duration::from_secs(seconds.unwrap_or(WAIT).min(WAIT).into());
            answer(&match ops::pause::pause(office, caller, &awaited, limit).await? {
                Woken::Mail => json!({"came": "message"}),
                Woken::Task(state) => json!({"came": "task", "state": state.word()}),
                Woken::Claimable(id) => json!({"came": "claimable", "task_id": id}),
                Woken::Nothing => json!({"came": "nothing"}),
            })
        }
        "reserve_files" => {
            let Reserve { globs, exclusive, minutes, why, op_id } = read(name, arguments)?;
            let lease = minutes.map(|minutes| Duration::from_secs(u64::from(minutes) * 60));
            let exclusive = exclusive.unwrap_or_default();
            let asked = reserve::Asked { globs, exclusive, lease, why, op_id };
            let granted = reserve::reserve(office, caller, &asked)?;
            answer(&json!({"reserved": granted.reserved, "others": granted.others}))
        }
        "release_files" => {
            let Release { globs, op_id } = read(name, arguments)?;
            let released = reserve::release(office, caller, &globs.unwrap_or_default(), op_id)?;
            answer(&json!({"released": released}))
        }
        "list_reservations" => {
            read::<Nothing>(name, arguments)?;
            answer(&json!({"reservations": reserve::list(office, caller)?}))
        }
        "spawn_task" => {
            let form: Spawn = read(name, arguments)?;
            let new = NewAgent {
                text: form.prompt,
                chain: form.agent_cli,
                model: form.model,
                name: form.name,
                role: form.role,
                base: form.base,
                budget_usd: form.budget_usd,
                may_start: form.may_start.unwrap_or_default(),
                start_budget_usd: form.start_budget_usd,
                op_id: form.op_id,
            };
            answer(&ops::spawn::spawn(house, caller, &new).await?)
        }
        _ => work(office, caller, name, arguments),
    }
}

/// The tools about tasks.
fn work(office: &Office, caller: &Caller, name: &str, arguments: Value) -> Answer {
    match name {
        "create_task" => {
            let form: Create = read(name, arguments)?;
            let new = NewTask {
                text: form.text,
                role: form.role,
                priority: form.priority,
                depends_on: form.depends_on.unwrap_or_default(),
                hold: form.hold.unwrap_or_default(),
                context_id: form.context_id,
                op_id: form.op_id,
            };
            Ok(stands(&tasks::create(office, caller, &new)?))
        }
        "list_tasks" => {
            let List { task_id, state, role, mine, .. } = read(name, arguments)?;
            if let Some(id) = task_id {
                return answer(&json!({"task": desk::look(office, &id)?.to_task()}));
            }
            let asked = Asked { state, role, mine: mine.unwrap_or_default() };
            answer(&json!({"tasks": tasks::list(office, caller, &asked)?}))
        }
        "claim_task" => {
            let Claim { task_id, op_id } = read(name, arguments)?;
            let claimed = tasks::claim(office, caller, task_id.as_deref(), op_id)?;
            answer(&json!({"task": claimed.map(|work| work.to_task())}))
        }
        "update_task" => {
            let Update { task_id, text, state, op_id } = read(name, arguments)?;
            Ok(stands(&tasks::update(
                office,
                caller,
                &task_id,
                &Progress { text, state, under: op_id.into() },
            )?))
        }
        "add_artifact" => {
            let form: AddArtifact = read(name, arguments)?;
            let AddArtifact { text, url, media_type, .. } = form;
            let outcome = Outcome { name: form.name, text, url, media_type };
            Ok(stands(&tasks::add_artifact(office, caller, &form.task_id, &outcome, form.op_id.into())?))
        }
        "complete_task" => ended(office, caller, name, arguments, tasks::End::Completed),
        "fail_task" => ended(office, caller, name, arguments, tasks::End::Failed),
        "release_task" => ended(office, caller, name, arguments, tasks::End::Released),
        _ => Err(no_tool(name)),
    }
}

fn ended(office: &Office, caller: &Caller, name: &str, arguments: Value, end: tasks::End) -> Answer {
    let End { task_id, text, op_id } = read(name, arguments)?;
    Ok(stands(&tasks::end(office, caller, &task_id, end, text.as_deref(), op_id.into())?))
}

/// Where a task stands: its content the model knows already.
fn stands(work: &Work) -> Value {
    json!({"task_id": work.spec.id, "state": work.state.word()})
}

fn sent(receipts: &[Receipt]) -> Value {
    let to: Vec<Value> =
        receipts.iter().map(|r| json!({"to": r.to, "id": r.id, "duplicate": r.duplicate})).collect();
    json!({"sent": to})
}

fn urgency(word: &str) -> std::result::Result<Priority, Trouble> {
    let found = Priority::ALL.into_iter().find(|priority| priority.as_str() == word);
    let words = Priority::ALL.map(Priority::as_str).join(", ");
    found.ok_or_else(|| {
        Trouble::input(format!("there is no priority {word}"), format!("it is one of: {words}"))
    })
}

fn no_tool(name: &str) -> Trouble {
    let tools = offered();
    let names: Vec<&str> = tools.iter().map(|tool| tool.name.as_ref()).collect();
    let hint = match nearest(name, names.iter().copied()).first() {
        Some(near) => format!("did you mean {near}?"),
        None => format!("the tools are: {}", names.join(", ")),
    };
    Trouble::input(format!("there is no tool {name}"), hint)
}

/// The arguments of a call, or what is wrong with them.
fn read<T: DeserializeOwned + JsonSchema>(name: &str, arguments: Value) -> std::result::Result<T, Trouble> {
    serde_json::from_value(arguments).map_err(|error| {
        let schema = schema::<T>();
        let takes: Vec<String> = properties(&schema).map(|(key, about)| format!("{key}: {about}")).collect();
        Trouble::input(format!("{name}: {error}"), format!("it takes {}", takes.join("; ")))
    })
}

fn answer(value: &impl Serialize) -> Answer {
    let value = serde_json::to_value(value).map_err(|e| Error::from(crate::a2a::Error::Json(e)))?;
    Ok(value)
}

fn tool<T: JsonSchema>(name: &'static str, about: &'static str, does: Does) -> Tool {
    let annotations = ToolAnnotations::new().open_world(false);
    let annotations = match does {
        Does::Looks => annotations.read_only(true),
        Does::Adds => annotations.read_only(false).destructive(false),
    };
    Tool::new(name, about, Arc::new(schema::<T>())).with_annotations(annotations)
}
