//! Looking at an agent without touching anything: what it is, and whether that can be believed.

use super::names::Named;
use super::{Result, board, record};
use crate::model::agent::Agent;
use crate::model::places::{Places, Record};
use crate::model::report::{AgentReport, Remark};
use crate::rules::report::{Keeper, report};
use crate::tools::lock::{self, Held};
use crate::tools::process;

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
        state: crate::model::agent::State::Unknown,
        remarks: vec![Remark::Damaged { why: error.to_string() }],
        failure: None,
        cli: "?".to_owned(),
        chain: Vec::new(),
        attempts: Vec::new(),
        validations: Vec::new(),
        title: String::new(),
        project: named.project.clone(),
        checkout: std::path::PathBuf::new(),
        branch: String::new(),
        base: String::new(),
        base_name: String::new(),
        worktree: places.worktree(&named.project, &named.session),
        changes: None,
        not_committed: None,
        usage: None,
        created,
        updated: created,
        ended: None,
        activity: None,
    }
}
