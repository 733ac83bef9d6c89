//! `task spawn`: an agent starts another one. It asks, by a request in its record; its keeper decides, puts that on record, and
//! has the child started by [`start`], which is safe to do twice. So the child gets the environment of the `run` call, which the
//! asker may not have, and there is one writer who counts.

use super::caller::Caller;
use super::project_file::Consent;
use super::run;
use super::{Error, Result};
use crate::a2a::identity::{self, Who};
use crate::a2a::names::{self, Named};
use crate::a2a::record;
use crate::a2a::watch::Watch;
use crate::life::resume::{self, Begun};
use crate::life::{House, ground};
use crate::model::agent::Agent;
use crate::model::delegation::{Child, Start, VERSION, Wanted};
use crate::model::entry::Spec;
use crate::model::ids::{AgentId, Session};
use crate::model::places::Record;
use crate::model::report::ErrorBody;
use crate::model::request::{ChildOf, Run};
use crate::model::together::SpawnReport;
use crate::rules::delegation::{self, Refused};
use crate::rules::own_task;
use crate::settings::environment::Environment;
use crate::tools::{clock, crash, file, lock, process};
use std::path::Path;
use std::time::Duration;
use uuid::Uuid;

/// How long the asker waits for its child. Clients of MCP give a call up after a minute.
const LIMIT: Duration = Duration::from_secs(45);
/// How long whoever starts a child is waited for.
const START_LIMIT: Duration = Duration::from_mins(2);

/// What an agent wants to be started.
#[derive(Debug, Clone, Default)]
pub struct NewAgent {
    /// What it is to do.
    pub text: String,
    /// The agent CLIs; else those of the asker.
    pub chain: Option<Vec<String>>,
    /// The model for the first of them.
    pub model: Option<String>,
    /// The session name wanted.
    pub name: Option<String>,
    /// What it is there for.
    pub role: Option<String>,
    /// What its branch starts from; else the commit that the asker's worktree is at.
    pub base: Option<String>,
    /// US dollars that it may spend.
    pub budget_usd: Option<f64>,
    /// How many agents it may start in turn.
    pub may_start: u32,
    /// US dollars for those.
    pub start_budget_usd: Option<f64>,
    /// The asker's own name for this: asking twice starts one agent.
    pub op_id: Option<String>,
}

/// Asks the keeper of the caller for another agent, and waits until that is there.
pub async fn spawn(house: &House, caller: &Caller, new: &NewAgent) -> Result<SpawnReport> {
    let Who::Agent(me) = &caller.who else { return Err(Error::OnlyAgents) };
    if new.text.trim().is_empty() {
        return Err(Error::usage("the task is empty", "say what the agent is to do"));
    }
    let record = &me.named.record;
    let agent = on_record(record)?;
    let key = new.op_id.as_deref().map_or_else(clock::new_id, |op| delegation::key(agent.spec.id, op));
    if delegation::child(&agent, key).is_none() {
        let mut wanted = wanted(&agent, new, key);
        // Refused before anything is looked for or left on disk: the keeper would say the same.
        if let Err(refused) = delegation::decide(&agent, &wanted) {
            identity::refused(record, &refused.to_string());
            return Err(refused.into());
        }
        let (_, commit, name) = ground::starting_point(house, &agent.spec.worktree, new.base.as_deref())?;
        commit.as_str().clone_into(&mut wanted.base);
        wanted.base_name = name;
        file::make_dirs(&record.wanted())?;
        let json = serde_json::to_vec(&wanted).map_err(crate::a2a::Error::Json)?;
        file::replace(&record.wanted_one(key), &json)?;
        crash::point(|| "request left");
    }
    let mut watch = Watch::new();
    let dirs = [record.0.clone(), record.wanted()];
    ring(me.keeper)?;
    let deadline = clock::tick() + LIMIT;
    loop {
        // Gone before it is looked at: what its removal says is in the journal by then.
        let waits = file::is_there(&record.wanted_one(key))?;
        let agent = on_record(record)?;
        let child = agent.children.iter().find(|child| child.key == key);
        match child.map(|child| (child, &child.start)) {
            Some((child, Start::Done { .. })) => return report(house, child),
            Some((_, Start::Failed { error })) if !waits => return Err(not_started(error)),
            None if !waits => {
                let why = "its request is gone".to_owned();
                let why = ErrorBody { code: "not_started".to_owned(), message: why, hint: None };
                return Err(Error::NotStarted { why });
            }
            _ => {}
        }
        let left = deadline.saturating_duration_since(clock::tick());
        if left.is_zero() {
            return Err(Error::StillStarting);
        }
        clock::within(left, watch.changed(&dirs)).await;
    }
}

/// The error that is on record, in the words it had.
fn not_started(error: &ErrorBody) -> Error {
    Error::NotStarted { why: error.clone() }
}

fn wanted(agent: &Agent, new: &NewAgent, key: Uuid) -> Wanted {
    Wanted {
        v: VERSION,
        key,
        round: agent.round,
        task: new.text.clone(),
        chain: new.chain.clone(),
        model: new.model.clone(),
        name: new.name.clone(),
        role: new.role.clone(),
        base: String::new(),
        base_name: String::new(),
        budget_usd: new.budget_usd,
        may_start: new.may_start,
        start_budget_usd: new.start_budget_usd,
    }
}

/// Wakes a keeper by a signal that ends nobody, whatever it is or does.
fn ring(keeper: Option<i32>) -> Result<()> {
    if let Some(keeper) = keeper.map(process::identify).transpose()?.flatten() {
        process::signal(&keeper, process::BELL)?;
    }
    Ok(())
}

fn on_record(record: &Record) -> Result<Agent> {
    let agent = record::load(record)?;
    agent.ok_or_else(|| Error::usage("there is no such record", "this is for keepers"))
}

fn report(house: &House, child: &Child) -> Result<SpawnReport> {
    let all = names::all(&house.settings.places)?;
    let gone = || Error::from(crate::a2a::Error::NoAgent { name: child.id.to_string(), near: Vec::new() });
    let named = all.into_iter().find(|named| named.id == child.id).ok_or_else(gone)?;
    let spec = on_record(&named.record)?.spec;
    Ok(SpawnReport {
        v: crate::model::report::VERSION,
        session: spec.session,
        id: spec.id,
        task_id: own_task::id_of(spec.id, 1).to_string(),
        branch: spec.branch,
        base: spec.base,
    })
}

/// Starts the child `id` that is begun in the journal of `parent`, or finds it started; its name. What keepers run, with the
/// environment of the child.
pub fn start(house: &House, parent: &Path, id: &str, environment: &[u8]) -> Result<Session> {
    let record = Record(parent.to_owned());
    let id = AgentId(id.parse().map_err(|_| Error::usage("it is no id of an agent", "this is for keepers"))?);
    // One at a time: a keeper that was killed may have left one of us at work.
    let _alone = lock::exclusive(&record.start_lock(id), START_LIMIT)?;
    let parent = on_record(&record)?;
    let Some(begun) = parent.children.iter().find(|child| child.id == id) else {
        return Err(Error::usage("nobody asked for that child", "this is for keepers"));
    };
    let environment = Environment::from_bytes(environment);
    if let Some(there) = find(house, id)?
        && let Some(child) = record::load(&there.record)?
    {
        if child.keeper.is_none()
            && child.conclusion.is_none()
            && let Begun::Starting(starting) = resume::begin(house, &there, None, &environment)?
        {
            starting.wait(house)?;
        }
        return Ok(there.session);
    }
    // Its creation was taken back, and its name with it. An id is used once: whoever asks again gets another one.
    if let Some(agent) = record::load(&house.settings.places.record(&parent.spec.project, id))?
        && let Some(failure) = agent.not_created
    {
        let why = ErrorBody { code: "not_started".to_owned(), message: failure.message, hint: None };
        return Err(Error::NotStarted { why });
    }
    // An agent that is to be killed, or was, starts nobody.
    if parent.conclusion.is_some() || file::ownership(&record.stop())?.is_some() {
        return Err(Refused::Late.into());
    }
    let path = record.wanted_one(begun.key);
    let request = file::read(&path)?.ok_or_else(|| file::Error::damaged(&path, "it is gone"))?;
    let wanted: Wanted =
        serde_json::from_slice(&request).map_err(|error| file::Error::damaged(&path, error))?;
    if wanted.round != parent.round {
        return Err(Refused::Late.into());
    }
    let mut house = house.clone();
    house.settings.working_dir.clone_from(&parent.spec.checkout);
    let run = request_of(&parent.spec, id, wanted, &environment);
    crash::point(|| "before the child is made");
    let made = run::ready_for(&house, &run, &environment, Consent::Nobody)?.start(&house)?;
    crash::point(|| "after the child is made");
    Ok(made.created.spec.session)
}

/// The agent with this id.
fn find(house: &House, id: AgentId) -> Result<Option<Named>> {
    Ok(names::all(&house.settings.places)?.into_iter().find(|named| named.id == id))
}

/// What `run` is asked for in the name of the parent: what the parent may do, its child may do as well, and no more.
fn request_of(parent: &Spec, id: AgentId, wanted: Wanted, environment: &Environment) -> Run {
    let may_start = delegation::handed_on(parent.may_start, &wanted);
    let of_parent = || parent.chain.iter().map(|link| link.cli.clone()).collect();
    let models = match (&wanted.chain, wanted.model) {
        (_, Some(model)) => vec![(None, model)],
        (Some(_), None) => Vec::new(),
        (None, None) => {
            let models = parent.chain.iter().filter_map(|l| Some((Some(l.cli.clone()), l.model.clone()?)));
            models.collect()
        }
    };
    let given = parent.env_names.iter();
    // What is in no record, and must be given again to whoever resumes the child.
    let given = given.filter_map(|name| Some((name.into(), environment.value(name)?.to_owned())));
    Run {
        task: wanted.task,
        chain: Some(wanted.chain.unwrap_or_else(of_parent)),
        models,
        name: wanted.name,
        base: Some(wanted.base),
        timeout: parent.timeout_ms.map(Duration::from_millis),
        permissions: Some(parent.permissions),
        // What the parent does without, its child does without.
        no_setup: parent.setup.is_none(),
        no_validate: parent.validate.is_none(),
        no_project_file: parent.from_file.is_none(),
        repairs: parent.repairs,
        env: given.collect(),
        budget_usd: wanted.budget_usd,
        commit: parent.commit,
        role: wanted.role,
        context_id: Some(parent.context().to_string()),
        may_start,
        guards: parent.guards.clone(),
        child: Some(ChildOf {
            parent: parent.id,
            parent_name: parent.session.clone(),
            id,
            base_name: wanted.base_name,
        }),
        ..Run::default()
    }
}
