//! Looking at an agent without touching anything: what it is, and whether that can be believed.

use super::names::Named;
use super::{Result, board, record};
use crate::model::agent::{Agent, State};
use crate::model::entry::{self, Entry, Spec};
use crate::model::ids::ProcessId;
use crate::model::place::Place;
use crate::model::places::{Places, Record};
use crate::model::profile::Permissions;
use crate::model::report::{AgentReport, Remark};
use crate::rules::report::{Keeper, report};
use crate::tools::lock::{self, Held};
use crate::tools::process;
use std::path::PathBuf;

/// The variable that every process of an attempt has in its environment, with the attempt's mark.
pub const MARK: &str = "AI_ORCH_ATTEMPT_ID";
/// The variable that every process started for an agent has in its environment, with the agent's id: attempts,
/// validation, and the git commands of its keeper.
pub const AGENT: &str = "AI_ORCH_AGENT";

/// What a process of `agent` has in its environment: one of these.
pub fn marks(agent: &Agent) -> Vec<String> {
    let attempt = agent.last_attempt().map(|a| format!("{MARK}={}", a.mark));
    attempt.into_iter().chain([format!("{AGENT}={}", agent.spec.id)]).collect()
}

/// What is known about an agent now.
///
/// A living keeper's board entry is believed; else the journal is read, and the processes it names are looked for.
/// Returns `None` for a name whose record has no first entry yet (its creator is at work, or died at once).
pub fn look(places: &Places, named: &Named) -> Result<Option<AgentReport>> {
    let posted = board::read(places, &named.project, &named.session, named.id)?;
    let held = lock::probe(&named.record.keeper_lock());
    if posted.is_some() && matches!(held, Ok(Some(Held::Yes(_)))) {
        return Ok(posted);
    }
    // A final entry stays true without a keeper, and finding its last processes costs a look into /proc.
    let Some(agent) = record::load(&named.record)? else { return Ok(None) };
    let keeper = keeper(&agent, held);
    let mut known = report(&agent, &keeper, None);
    if keeper == Keeper::Alive {
        known.remarks.push(Remark::BoardMissing);
    }
    Ok(Some(known))
}

/// How many agents have lost their keeper before their end. Looks at the journal only where lock and board leave a doubt.
pub fn interrupted(places: &Places) -> Result<usize> {
    let mut count = 0;
    for named in super::names::all(places)? {
        if matches!(lock::probe(&named.record.keeper_lock()), Ok(Some(Held::Yes(_)))) {
            continue;
        }
        let posted = board::read(places, &named.project, &named.session, named.id)?;
        if posted.is_some_and(|report| report.state.is_final()) {
            continue;
        }
        // One that cannot be read is told of by whoever is asked about it.
        let interrupted =
            look(places, &named).ok().flatten().is_some_and(|report| report.state == State::Interrupted);
        count += usize::from(interrupted);
    }
    Ok(count)
}

/// Whether `named` is only a name: its creator died before the first entry of the journal. A creator at work holds the
/// lock of its project from before the name is reserved until after that entry.
pub fn cut_off(places: &Places, named: &Named) -> Result<bool> {
    // In this order: whoever lets go of the lock after the first question has written before it.
    let free = !matches!(lock::probe(&places.project_lock(&named.project))?, Some(Held::Yes(_)));
    Ok(free
        && super::names::find(places, &named.session)?.as_ref() == Some(named)
        && record::load(&named.record)?.is_none())
}

/// What is known about an agent from its journal, whatever the board says, and what its keeper does.
pub fn look_closely(record: &Record) -> Result<Option<(Agent, Keeper)>> {
    let Some(agent) = record::load(record)? else { return Ok(None) };
    let keeper = keeper(&agent, lock::probe(&record.keeper_lock()));
    Ok(Some((agent, keeper)))
}

fn keeper(agent: &Agent, held: lock::Result<Option<Held>>) -> Keeper {
    match held {
        Ok(Some(Held::Yes(_))) => Keeper::Alive,
        Ok(Some(Held::No) | None) => match left_running(agent) {
            Ok(running) => Keeper::Gone {
                creator_alive: agent.keeper.is_none() && process::is_alive(&agent.creator).unwrap_or(false),
                running,
            },
            Err(e) => Keeper::Unknown(e.to_string()),
        },
        Err(e) => Keeper::Unknown(e.to_string()),
    }
}

/// A process of the agent's last attempt that still runs. Looks at the whole of /proc only where the attempt's first
/// process alone does not answer, and not at all for an agent that ended in order.
fn left_running(agent: &Agent) -> process::Result<Option<i32>> {
    if agent.conclusion.is_some() {
        return Ok(None);
    }
    let first = agent.last_attempt().and_then(|a| a.process.as_ref());
    if let Some(first) = first
        && process::is_alive(first)?
    {
        return Ok(Some(first.pid));
    }
    let found = process::belonging(&marks(agent), first)?;
    Ok(found.first().map(|p| p.pid))
}

/// The creation of an agent whose journal has lost it, as far as it can be told: from its name, and from the board.
pub fn creation(places: &Places, named: &Named) -> entry::Record {
    let posted = board::read(places, &named.project, &named.session, named.id).ok().flatten();
    let why =
        super::Error::Record { path: named.record.journal(), why: crate::rules::replay::Error::NoCreation };
    let known = posted.unwrap_or_else(|| unreadable(places, named, &why));
    let spec = Spec {
        id: named.id,
        session: named.session.clone(),
        project: named.project.clone(),
        place: known.place,
        common_dir: PathBuf::new(),
        checkout: known.checkout,
        base: known.base,
        base_name: known.base_name,
        branch: known.branch,
        worktree: known.worktree,
        title: known.title,
        chain: known.chain,
        permissions: Permissions::Read,
        timeout_ms: None,
        setup: None,
        validate: None,
        repairs: 0,
        budget_usd: None,
        commit: false,
        env_names: Vec::new(),
        has_context: false,
        role: known.role,
        context_id: known.context_id,
        parent: known.parent,
        parent_name: known.asked_by,
        may_start: None,
        copy: Vec::new(),
        pull: None,
        deliver: None,
        from_file: None,
        guards: crate::model::guard::Guards::default(),
    };
    // Nobody: a creator that lives would be waited for.
    let by = ProcessId { pid: 0, start: 0, boot: String::new() };
    entry::Record { v: entry::VERSION, at: known.created, entry: Entry::Created { spec: Box::new(spec), by } }
}

/// What can be said of an agent whose record cannot be read: that, and where its worktree must be.
pub fn unreadable(places: &Places, named: &Named, error: &super::Error) -> AgentReport {
    let epoch = crate::model::ids::Moment(jiff::Timestamp::UNIX_EPOCH);
    let (seconds, nanos) = named.id.0.get_timestamp().map_or((0, 0), |t| t.to_unix());
    let created = i64::try_from(seconds)
        .ok()
        .and_then(|s| jiff::Timestamp::new(s, i32::try_from(nanos).unwrap_or(0)).ok());
    let created = created.map_or(epoch, crate::model::ids::Moment);
    AgentReport {
        v: crate::model::report::VERSION,
        session: named.session.clone(),
        id: named.id,
        state: State::Unknown,
        remarks: vec![Remark::Damaged { why: error.to_string() }],
        failure: None,
        round: 1,
        began: None,
        rounds: Vec::new(),
        cli: "?".to_owned(),
        chain: Vec::new(),
        attempts: Vec::new(),
        setup: None,
        outfit: None,
        validations: Vec::new(),
        title: String::new(),
        role: None,
        context_id: None,
        parent: None,
        asked_by: None,
        project: named.project.clone(),
        checkout: PathBuf::new(),
        place: Place::NewBranch,
        branch: String::new(),
        base: String::new(),
        base_name: String::new(),
        worktree: places.worktree(&named.project, &named.session),
        changes: None,
        not_committed: None,
        not_saved: Vec::new(),
        crossed: Vec::new(),
        delivery: None,
        guards: crate::model::guard::Guards::default(),
        violations: Vec::new(),
        not_checked: Vec::new(),
        usage: None,
        created,
        updated: created,
        ended: None,
        activity: None,
        unread: None,
    }
}
