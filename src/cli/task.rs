//! `task`: what is shared to be done.

use super::follow::interrupted;
use super::print::Screen;
use super::{args, exit, print};
use crate::a2a::tasks::Filter;
use crate::life::House;
use crate::model::a2a::{Part, TaskState};
use crate::model::report::VERSION;
use crate::model::text::{self, Shown, fit};
use crate::model::together::{ClaimReport, TaskReport, TaskWaitReport, TasksReport};
use crate::model::work::{Work, WorkMeta};
use crate::ops::caller::Caller;
use crate::ops::office::Office;
use crate::ops::own::{Found, Own};
use crate::ops::spawn::NewAgent;
use crate::ops::tasks::{self, End, NewTask, Progress, Under};
use crate::ops::{self, Error, Result, desk};
use args::TaskVerb;
use std::cell::Cell;

/// How many characters at the end of an id people see.
const SHORT: usize = 8;

pub(super) fn task(house: &House, verb: TaskVerb, json: bool, screen: &mut Screen) -> Result<u8> {
    let caller = Caller::of(house)?;
    let office = Office::open(house, &caller)?;
    let work = match verb {
        TaskVerb::Create(asked) => {
            let new = NewTask {
                text: super::run::task(&asked.text)?,
                role: asked.role,
                priority: asked.priority,
                depends_on: asked.after,
                hold: asked.hold,
                context_id: asked.context_id,
                op_id: asked.op.op_id,
            };
            let work = tasks::create(&office, &caller, &new)?;
            if !json {
                screen.line(&work.spec.id.to_string());
                return Ok(exit::OK);
            }
            work
        }
        TaskVerb::Spawn(asked) => return spawn(house, &caller, asked, json, screen),
        TaskVerb::List(asked) => return list(&office, asked, json, screen),
        TaskVerb::Show { task } => {
            let found = desk::look(&office, &task)?;
            if json {
                screen.json(&TaskReport { v: VERSION, task: found.to_task() });
            } else {
                match &found {
                    Found::Shared(work) => show(screen, work),
                    Found::Own(own) => show_own(screen, own),
                }
            }
            return Ok(exit::OK);
        }
        TaskVerb::Claim(asked) => return claim(&office, &caller, asked, json, screen),
        TaskVerb::Update(asked) => {
            let progress = Progress {
                text: said(&asked.text),
                state: Some(asked.state.word().to_owned()),
                under: under(asked.claim),
            };
            tasks::update(&office, &caller, &asked.task, &progress)?
        }
        TaskVerb::Say(asked) => {
            let text = said(&asked.text)
                .ok_or_else(|| Error::usage("there is nothing to say", "ai_orch task say ID 'TEXT'"))?;
            tasks::say(&office, &caller, &asked.task, &text, asked.op.op_id)?
        }
        TaskVerb::Artifact(asked) => {
            let result = match &asked.file {
                Some(file) => desk::artifact_of_file(&house.settings.working_dir.join(file), asked.name)?,
                None => desk::artifact(asked.name, Part::text(asked.text.unwrap_or_default())),
            };
            tasks::deliver(&office, &caller, &asked.task, result, under(asked.claim))?
        }
        TaskVerb::Complete(asked) => end(&office, &caller, asked, End::Completed)?,
        TaskVerb::Fail(asked) => end(&office, &caller, asked, End::Failed)?,
        TaskVerb::Release(asked) => end(&office, &caller, asked, End::Released)?,
        TaskVerb::Cancel(asked) => {
            tasks::cancel(&office, &caller, &asked.task, said(&asked.text).as_deref(), asked.op.op_id)?
        }
        TaskVerb::Wait(asked) => return wait(&office, &asked, json, screen),
    };
    if json {
        screen.json(&TaskReport { v: VERSION, task: work.to_task() });
    } else {
        show(screen, &work);
    }
    Ok(exit::OK)
}

fn spawn(
    house: &House,
    caller: &Caller,
    asked: args::TaskSpawn,
    json: bool,
    screen: &mut Screen,
) -> Result<u8> {
    let new = NewAgent {
        text: super::run::task(&asked.text)?,
        chain: asked.agent_cli,
        model: asked.model,
        name: asked.name,
        role: asked.role,
        base: asked.base,
        budget_usd: asked.budget,
        may_start: asked.may_start,
        start_budget_usd: asked.start_budget,
        op_id: asked.op.op_id,
    };
    let started = ops::runtime()?.block_on(ops::spawn::spawn(house, caller, &new))?;
    screen.answer(json, &started, |screen, started| screen.line(started.session.as_str()));
    Ok(exit::OK)
}

fn end(office: &Office, caller: &Caller, asked: args::TaskEnd, how: End) -> Result<Work> {
    tasks::end(office, caller, &asked.task, how, said(&asked.text).as_deref(), under(asked.claim))
}

fn under(claim: args::Claimed) -> Under {
    Under { op_id: claim.op.op_id, generation: claim.generation }
}

fn said(words: &[String]) -> Option<String> {
    (!words.is_empty()).then(|| words.join(" "))
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(text: Option<String>) -> Result<Option<T>> {
    text.map(|text| text.parse())
        .transpose()
        .map_err(|e: T::Err| Error::usage(e.to_string(), "ai_orch help task"))
}

fn short(task: &Found) -> String {
    let id = task.id().to_string();
    id.get(id.len().saturating_sub(SHORT)..).unwrap_or_default().to_owned()
}

fn list(office: &Office, asked: args::TaskList, json: bool, screen: &mut Screen) -> Result<u8> {
    let filter = Filter {
        state: asked.state,
        context: asked.context_id,
        role: asked.role,
        owner: parsed(asked.owner)?,
    };
    let listed = desk::list(office, &filter)?;
    let damaged = !listed.unreadable.is_empty();
    if json {
        screen.json(&TasksReport {
            v: VERSION,
            tasks: listed.tasks.iter().map(Found::to_task).collect(),
            unreadable: listed.unreadable.iter().map(Error::body).collect(),
        });
    } else {
        rows(screen, &listed.tasks);
        for why in &listed.unreadable {
            print::note(&why.to_string());
        }
    }
    Ok(if damaged { exit::PARTLY } else { exit::OK })
}

fn rows(screen: &mut Screen, tasks: &[Found]) {
    if tasks.is_empty() {
        screen.line("No tasks. Create one: ai_orch task create 'what to do'");
        return;
    }
    let who = |task: &Found| task.owner().map_or("-".to_owned(), |owner| owner.to_string());
    let (states, owners) = tasks.iter().fold((5, 5), |(states, owners), task| {
        (states.max(task.state().word().len()), owners.max(who(task).len()))
    });
    screen
        .painted("2", &format!("{:SHORT$}  KIND   {:states$}  P  {:owners$}  TASK", "ID", "STATE", "OWNER"));
    for task in tasks {
        // An agent's own is nobody's to claim, so it is not before or behind any other.
        let (kind, priority) = match task {
            Found::Shared(work) => ("task ", work.spec.priority.to_string()),
            Found::Own(_) => ("agent", "-".to_owned()),
        };
        let title = Shown(&task.title()).to_string();
        let line = format!(
            "{}  {kind}  {:states$}  {priority}  {:owners$}  {title}",
            short(task),
            task.state(),
            who(task)
        );
        let room = if screen.terminal { screen.width } else { usize::MAX };
        screen.painted(colour(task.state()), &fit(&line, room));
    }
}

const fn colour(state: TaskState) -> &'static str {
    match state {
        TaskState::Completed => "32",
        TaskState::Submitted => "",
        TaskState::Working => "36",
        TaskState::Failed | TaskState::Canceled | TaskState::Rejected => "31",
        TaskState::InputRequired | TaskState::AuthRequired => "33",
    }
}

fn show(screen: &mut Screen, work: &Work) {
    screen.painted(colour(work.state), &Shown(&format!("{}  {}", work.spec.id, work.state)).to_string());
    let mut fields = vec![("task", work.spec.title())];
    if let Some(message) = &work.message {
        fields.push(("said", message.plain()));
    }
    if let Some(owner) = work.owner() {
        fields.push(("owner", format!("{owner}, generation {}", work.generation)));
    }
    fields.push(("by", format!("{}, {}", work.created_by, work.created)));
    fields.push(("priority", work.spec.priority.to_string()));
    if let Some(role) = &work.spec.role {
        fields.push(("role", role.clone()));
    }
    fields.push(("context", work.spec.context.clone()));
    fields.extend(work.spec.depends_on.iter().map(|id| ("after", id.to_string())));
    for artifact in &work.artifacts {
        let what = artifact
            .parts
            .iter()
            .map(|part| part.url.clone().or_else(|| part.text.clone()).unwrap_or_else(|| "data".to_owned()));
        let name = artifact.name.as_deref().unwrap_or(&artifact.artifact_id);
        fields.push(("artifact", format!("{name}: {}", what.collect::<Vec<_>>().join(" "))));
    }
    for message in work.history.iter().skip(1) {
        fields.push(("history", message.plain()));
    }
    if let Some(damaged) = &work.damaged {
        fields.push(("damaged", damaged.clone()));
    }
    let shown: Vec<(&str, String)> =
        fields.into_iter().map(|(name, value)| (name, Shown(&value).to_string())).collect();
    screen.fields(&shown);
}

/// An agent's own task: what there is to know about it is known about the agent.
fn show_own(screen: &mut Screen, own: &Own) {
    let (task, session) = (&own.task, &own.named.session);
    let state = task.status.state;
    screen.painted(colour(state), &Shown(&format!("{}  {state}", task.id)).to_string());
    let meta = WorkMeta::of(task);
    let mut fields = vec![("task", meta.as_ref().map(|meta| meta.title.clone()).unwrap_or_default())];
    if let Some(message) = &task.status.message {
        fields.push(("said", message.plain()));
    }
    if let Some(meta) = meta {
        fields.push(("by", format!("{}, {}", meta.created_by, meta.created)));
    }
    fields.push(("kind", format!("what the agent {session} does itself: ai_orch show {session}")));
    fields.push(("context", task.context_id.clone()));
    fields.extend(task.artifacts.iter().filter_map(|artifact| Some(("artifact", artifact.name.clone()?))));
    let shown: Vec<(&str, String)> =
        fields.into_iter().map(|(name, value)| (name, Shown(&value).to_string())).collect();
    screen.fields(&shown);
}

fn claim(
    office: &Office,
    caller: &Caller,
    asked: args::TaskClaim,
    json: bool,
    screen: &mut Screen,
) -> Result<u8> {
    let claimed = match asked.wait {
        None => tasks::claim(office, caller, asked.task.as_deref(), asked.op.op_id)?,
        Some(limit) => {
            let code = Cell::new(exit::LEFT);
            let waited = ops::runtime()?.block_on(async {
                tokio::select! {
                    claimed = desk::claim_within(office, caller, asked.op.op_id, limit) => claimed.map(Some),
                    () = interrupted(&code) => Ok(None),
                }
            })?;
            let Some(claimed) = waited else { return Ok(code.get()) };
            claimed
        }
    };
    let code = match (&claimed, asked.wait) {
        (Some(_), _) => exit::OK,
        (None, Some(_)) => exit::TIME,
        (None, None) => exit::FAILED,
    };
    if json {
        screen.json(&ClaimReport { v: VERSION, task: claimed.as_ref().map(Work::to_task) });
    } else if let Some(work) = &claimed {
        show(screen, work);
        screen.line("");
        for line in text::lines(&work.spec.message.plain()) {
            screen.line(&line);
        }
    } else {
        screen.line("Nothing is ready to be claimed.");
    }
    Ok(code)
}

fn wait(office: &Office, asked: &args::TaskWait, json: bool, screen: &mut Screen) -> Result<u8> {
    let tasks = asked.tasks.iter().map(|text| desk::look(office, text)).collect::<Result<Vec<_>>>()?;
    let code = Cell::new(exit::LEFT);
    let waited = ops::runtime()?.block_on(async {
        tokio::select! {
            waited = desk::wait(office, tasks, asked.timeout) => waited.map(Some),
            () = interrupted(&code) => Ok(None),
        }
    })?;
    let Some((tasks, over)) = waited else { return Ok(code.get()) };
    let code = if over { exit::of_all(tasks.iter().map(of_task)) } else { exit::TIME };
    if json {
        let tasks = tasks.iter().map(Found::to_task).collect();
        screen.json(&TaskWaitReport { v: VERSION, timed_out: !over, tasks });
    } else {
        rows(screen, &tasks);
    }
    Ok(code)
}

/// The exit code for what a task came to.
fn of_task(task: &Found) -> u8 {
    match task.state() {
        // As for the agent itself.
        _ if matches!(task, Found::Own(own) if own.interrupted) => exit::FAILED,
        TaskState::Completed => exit::OK,
        TaskState::InputRequired | TaskState::AuthRequired => exit::WAITS,
        TaskState::Submitted | TaskState::Working => exit::TIME,
        TaskState::Failed | TaskState::Canceled | TaskState::Rejected => exit::FAILED,
    }
}
