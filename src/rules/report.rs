//! What is said of an agent, from what its journal tells and what was found when looking.

use crate::model::agent::{Agent, Attempt, Conclusion, EarlierRound, Removal, State};
use crate::model::entry::{Changes, Ending, Final};
use crate::model::failure::{Class, Failure};
use crate::model::ids::Session;
use crate::model::project_file::{Outfit, OutfitReport};
use crate::model::report::{
    AgentReport, Arrival, AttemptReport, DeliveryReport, Remark, RoundReport, SetupReport, VERSION,
    ValidationReport,
};
use crate::model::reservation::Crossed;

/// What was found about an agent's keeper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keeper {
    /// It holds its lock: it lives.
    Alive,
    /// Nobody holds the lock.
    Gone {
        /// The process that creates the agent still lives, so the keeper may be about to start.
        creator_alive: bool,
        /// A process of the last attempt that still runs.
        running: Option<i32>,
    },
    /// The lock could not be looked at.
    Unknown(String),
}

/// The state of `agent`, and what else is to be said.
pub fn state(agent: &Agent, keeper: &Keeper) -> (State, Vec<Remark>) {
    let mut remarks = Vec::new();
    if agent.newer {
        remarks.push(Remark::Newer);
    }
    if let Some(why) = &agent.damaged {
        remarks.push(Remark::Damaged { why: why.clone() });
    }
    match &agent.removal {
        Some(Removal::Cleaning { .. } | Removal::Cleaned { .. }) => remarks.push(Remark::CleanCutOff),
        Some(Removal::Restoring { .. }) => remarks.push(Remark::UndoCutOff),
        None => {}
    }
    if agent.not_created.is_some() {
        return (State::Failed, remarks);
    }
    let ended = agent.conclusion.as_ref().map(|c| State::from(c.state));
    let state = match (ended, keeper) {
        (Some(state), Keeper::Gone { running: Some(pid), .. }) => {
            remarks.push(Remark::AgentStillRunning { pid: *pid });
            state
        }
        (Some(state), _) => state,
        (None, Keeper::Unknown(why)) => {
            remarks.push(Remark::Damaged { why: why.clone() });
            State::Unknown
        }
        (None, Keeper::Alive) => {
            if agent.attempts.is_empty() {
                State::Starting
            } else {
                State::Working
            }
        }
        (None, Keeper::Gone { running: Some(pid), .. }) => {
            remarks.push(Remark::AgentStillRunning { pid: *pid });
            State::Interrupted
        }
        (None, Keeper::Gone { creator_alive: true, running: None }) if agent.keeper.is_none() => {
            State::Starting
        }
        (None, Keeper::Gone { .. }) => {
            remarks.push(Remark::KeeperGone);
            State::Interrupted
        }
    };
    (state, remarks)
}

/// The report about `agent`. `changes` is what was found on its branch, if somebody looked.
pub fn report(agent: &Agent, keeper: &Keeper, changes: Option<Changes>) -> AgentReport {
    let (state, remarks) = state(agent, keeper);
    let conclusion = agent.conclusion.as_ref();
    let failure = conclusion
        .and_then(|c| c.failure.clone())
        .or_else(|| agent.not_created.clone())
        .or_else(|| (state == State::Interrupted).then(|| interruption(agent)));
    AgentReport {
        v: VERSION,
        session: agent.spec.session.clone(),
        id: agent.spec.id,
        state,
        remarks,
        failure,
        round: agent.round,
        began: (agent.round > 1).then_some(agent.began),
        rounds: agent.earlier.iter().map(|round| earlier(agent, round)).collect(),
        cli: agent.cli().to_owned(),
        chain: agent.spec.chain.clone(),
        attempts: agent.attempts.iter().map(|a| attempt(agent, a, matches!(keeper, Keeper::Alive))).collect(),
        setup: agent.set_up.as_ref().map(|done| SetupReport {
            ok: done.ok,
            exit: done.exit,
            ms: done.ms,
            output: done.output.clone(),
        }),
        outfit: outfit(agent),
        validations: agent
            .validations
            .iter()
            .map(|v| ValidationReport { n: v.n, ok: v.ok, exit: v.exit, ms: v.ms, output: v.output.clone() })
            .collect(),
        title: agent.spec.title.clone(),
        role: agent.spec.role.clone(),
        context_id: Some(agent.spec.context()),
        parent: agent.spec.parent,
        asked_by: asked_by(agent, agent.task_round),
        project: agent.spec.project.clone(),
        checkout: agent.spec.checkout.clone(),
        place: agent.spec.place,
        branch: agent.spec.branch.clone(),
        base: agent.spec.base.clone(),
        base_name: agent.spec.base_name.clone(),
        worktree: agent.spec.worktree.clone(),
        changes: changes.or_else(|| conclusion.and_then(|c| c.changes.clone())),
        not_committed: agent.commits.iter().rev().find_map(|c| c.skipped.clone()),
        not_saved: not_saved(agent),
        crossed: crossed(agent),
        delivery: delivery(agent),
        guards: agent.spec.guards.clone(),
        violations: agent.guarded.iter().flat_map(|guarded| guarded.findings.clone()).collect(),
        not_checked: agent.guarded.iter().flat_map(|guarded| guarded.unknown.clone()).collect(),
        usage: agent.usage(),
        created: agent.created,
        updated: agent.updated,
        ended: conclusion.map(|c| c.at),
        activity: None,
        unread: None,
    }
}

/// What becomes of the result beyond its branch.
fn delivery(agent: &Agent) -> Option<DeliveryReport> {
    let asked = agent.spec.deliver.as_ref()?;
    let known = &agent.delivered;
    let end = known.end.as_ref().filter(|end| end.round == agent.round);
    let undelivered = end.and_then(|end| end.undelivered.clone());
    let arrival = match end {
        None => Arrival::Pending,
        Some(_) if undelivered.is_some() => Arrival::Undelivered,
        Some(end) if end.nothing => Arrival::Nothing,
        Some(_) => Arrival::Delivered,
    };
    Some(DeliveryReport {
        arrival,
        remote: asked.remote.clone(),
        branch: asked.branch.clone().unwrap_or_else(|| agent.spec.branch.clone()),
        pushed: known.pushed.clone(),
        pull: known.pull.clone().or_else(|| agent.spec.pull.clone()),
        note: match end {
            Some(end) => end.note.clone(),
            None if known.sent != known.pushed && agent.conclusion.is_some() => {
                Some("it may have been pushed all the same: look at the remote".to_owned())
            }
            None => None,
        },
        undelivered,
    })
}

/// What the agent has of the repository's file, and what came of it.
fn outfit(agent: &Agent) -> Option<OutfitReport> {
    let from = agent.spec.from_file.as_deref()?;
    let Outfit { ports, links, torn_down, .. } = agent.outfit.clone();
    let report = OutfitReport { ports, links, teardown: from.teardown.clone(), torn_down };
    (report != OutfitReport::default()).then_some(report)
}

/// What the save at the end of the last attempt does not hold.
fn not_saved(agent: &Agent) -> Vec<String> {
    let last = agent.rescues.iter().rev().find(|rescue| !rescue.removal);
    last.map(|rescue| rescue.why.iter().chain(&rescue.left).cloned().collect()).unwrap_or_default()
}

/// What was found at the ends of all attempts; of the same reservation what was found last.
fn crossed(agent: &Agent) -> Vec<Crossed> {
    let mut all: Vec<Crossed> = Vec::new();
    for found in agent.rescues.iter().flat_map(|rescue| &rescue.crossed) {
        match all.iter_mut().find(|known| known.by == found.by && known.glob == found.glob) {
            Some(known) => known.clone_from(found),
            None => all.push(found.clone()),
        }
    }
    all
}

/// The report about a round that another one came after.
fn earlier(agent: &Agent, round: &EarlierRound) -> RoundReport {
    let told = |conclusion: &Conclusion| RoundReport {
        n: round.round,
        title: round.title.clone(),
        state: conclusion.state.into(),
        failure: conclusion.failure.clone(),
        changes: conclusion.changes.clone(),
        began: round.began,
        ended: conclusion.at,
        asked_by: asked_by(agent, round.task_round),
    };
    let why = "it was interrupted, and another task came instead";
    // Nobody goes on with it any more, and whoever waits for it must know.
    let given_up = Conclusion {
        at: round.until,
        state: Final::Killed,
        failure: Some(Failure::new(Class::Interrupted, why)),
        changes: None,
    };
    told(round.conclusion.as_ref().unwrap_or(&given_up))
}

/// The name of the agent that asked for what `agent` does in a round with the task of `task_round`. Only its first task can come from
/// an agent. Of a child whose record does not tell the name, the id stands for it.
fn asked_by(agent: &Agent, task_round: u32) -> Option<Session> {
    let parent = agent.spec.parent.filter(|_| task_round == 1)?;
    agent.spec.parent_name.clone().or_else(|| parent.to_string().parse().ok())
}

fn interruption(agent: &Agent) -> Failure {
    let why = agent.interrupted.clone().unwrap_or_else(|| {
        if agent.was_kept { "its keeper is gone".to_owned() } else { "its creation was cut off".to_owned() }
    });
    Failure::new(Class::Interrupted, why)
}

fn attempt(agent: &Agent, attempt: &Attempt, keeper_alive: bool) -> AttemptReport {
    let link = agent.spec.chain.get(attempt.link);
    let ended = attempt.ended.as_ref();
    let (result, failure) = match ended.map(|e| &e.ending) {
        Some(Ending::Done) => ("done", None),
        Some(Ending::Failed { failure }) => ("failed", Some(failure.clone())),
        Some(Ending::Killed) => ("killed", None),
        None if keeper_alive => ("running", None),
        None => ("interrupted", None),
    };
    AttemptReport {
        n: attempt.n,
        cli: link.map_or("?", |l| l.cli.as_str()).to_owned(),
        model: attempt.model.clone().or_else(|| link.and_then(|l| l.model.clone())),
        turn: attempt.turn,
        result: result.to_owned(),
        failure,
        exit: ended.and_then(|e| e.exit),
        signal: ended.and_then(|e| e.signal),
        started: attempt.started,
        ms: ended.map(|e| e.ms),
        usage: ended.and_then(|e| e.usage),
        conversation: attempt.conversation.clone(),
        note: attempt.note.clone(),
        answer: ended.map(|e| e.answer.clone()).unwrap_or_default(),
    }
}
