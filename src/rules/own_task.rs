//! An agent's own work as a task, in the words of A2A: for whoever reads the files and knows nothing of agents.

use crate::model::a2a::{Artifact, Message, Part, Role, Task, TaskState, TaskStatus};
use crate::model::agent::State;
use crate::model::failure::Class;
use crate::model::ids::{AgentId, Party, TaskId};
use crate::model::report::{AgentReport, RoundReport};
use crate::model::work::{Kind, OnFailed, PRIORITY, WorkMeta};
use crate::rules::naming::id_from;
use serde_json::{Map, json};

/// The id of the task that agent `id` has in its round `round`. An agent that has ended and is given more to do has another
/// one: what has ended stays so.
pub fn id_of(id: AgentId, round: u32) -> TaskId {
    if round <= 1 {
        return TaskId(id.0);
    }
    TaskId(id_from(&[b"round", id.0.as_bytes(), &round.to_le_bytes()]))
}

/// Where the task of an agent stands that is in the state of `round`. What could not be found out stays what it was: work.
fn state_of(round: &RoundReport) -> TaskState {
    match round.state {
        State::Queued | State::Starting => TaskState::Submitted,
        State::Working | State::Idle | State::Limited | State::Interrupted | State::Unknown => {
            TaskState::Working
        }
        State::Waiting if round.failure.as_ref().is_some_and(|f| f.class == Class::Auth) => {
            TaskState::AuthRequired
        }
        State::Waiting => TaskState::InputRequired,
        State::Done => TaskState::Completed,
        State::Failed => TaskState::Failed,
        State::Killed => TaskState::Canceled,
    }
}

/// The task that the agent of `report` has now.
pub fn own_task(report: &AgentReport) -> Task {
    task(report, &present(report))
}

/// The tasks that it had before, oldest first, each with the number of its round.
pub fn earlier(report: &AgentReport) -> impl Iterator<Item = (u32, Task)> {
    report.rounds.iter().map(|round| (round.n, task(report, round)))
}

/// The round that the agent is in, told as those before it.
fn present(report: &AgentReport) -> RoundReport {
    RoundReport {
        n: report.round,
        title: report.title.clone(),
        state: report.state,
        failure: report.failure.clone(),
        changes: report.changes.clone(),
        began: report.began.unwrap_or(report.created),
        // So far.
        ended: report.updated,
        asked_by: report.asked_by.clone(),
    }
}

fn task(report: &AgentReport, round: &RoundReport) -> Task {
    let id = id_of(report.id, round.n);
    let context = report.context_id.as_ref().map_or_else(|| report.id.to_string(), ToString::to_string);
    let about = |role: Role, what: &str, text: &str| {
        let mut message = Message::text(format!("{id}/{what}"), role, text);
        message.task_id = Some(id.to_string());
        message.context_id = Some(context.clone());
        message
    };
    let asked_by = round.asked_by.clone().map_or(Party::User, Party::Worker);
    let asks = if asked_by == Party::User { Role::User } else { Role::Agent };
    let meta = WorkMeta {
        kind: Kind::Agent,
        title: round.title.clone(),
        priority: PRIORITY,
        depends_on: Vec::new(),
        on_failed_dependency: OnFailed::default(),
        role: report.role.as_ref().map(ToString::to_string),
        created_by: asked_by,
        created: round.began,
        owner: Some(Party::Worker(report.session.clone())),
        generation: u64::from(round.n),
        lease_ms: None,
        rev: u64::try_from(round.ended.as_millis()).unwrap_or(0),
        requeued_after: None,
    };
    let result = round.changes.as_ref().filter(|changes| !changes.is_empty()).map(|changes| Artifact {
        artifact_id: "branch".to_owned(),
        parts: vec![Part {
            data: Some(json!({"branch": report.branch, "base": report.base, "changes": changes})),
            ..Part::default()
        }],
        name: Some(report.branch.clone()),
        description: None,
        metadata: Map::new(),
        extensions: Vec::new(),
    });
    Task {
        id: id.to_string(),
        context_id: context.clone(),
        status: TaskStatus {
            state: state_of(round),
            message: round.failure.as_ref().map(|failure| about(Role::Agent, "failure", &failure.message)),
            timestamp: round.ended,
        },
        artifacts: result.into_iter().collect(),
        history: vec![about(asks, "task", &round.title)],
        metadata: meta.wrapped(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> AgentReport {
        serde_json::from_str(include_str!("../../tests/samples/report.json")).unwrap()
    }

    #[test]
    fn every_state_of_an_agent_is_one_of_its_task() {
        let mut report = example();
        for state in State::ALL {
            report.state = state;
            let task = own_task(&report);
            assert_eq!(task.status.state.is_terminal(), state.is_final(), "{state}");
            assert_eq!(WorkMeta::of(&task).unwrap().kind, Kind::Agent);
            assert!(task.history.iter().all(|message| message.check().is_none()));
            assert!(task.artifacts.iter().all(|artifact| artifact.check().is_none()));
        }
    }

    #[test]
    fn each_round_is_a_task_of_its_own_in_the_same_context() {
        let mut report = example();
        let first = own_task(&report);
        assert_eq!(first.id, report.id.to_string());
        report.round = 2;
        let second = own_task(&report);
        assert_ne!(first.id, second.id);
        assert_eq!(second.id, own_task(&report).id);
        assert_eq!(first.context_id, second.context_id);
        let (before, now) = (report.created, report.updated);
        report.began = Some(now);
        report.rounds = vec![RoundReport {
            n: 1,
            title: "the first".to_owned(),
            state: State::Failed,
            failure: None,
            changes: None,
            began: before,
            ended: now,
            asked_by: Some("lead".parse().unwrap()),
        }];
        let [(1, told)] = &earlier(&report).collect::<Vec<_>>()[..] else { panic!() };
        assert_eq!((&told.id, told.status.state), (&first.id, TaskState::Failed));
        let meta = WorkMeta::of(told).unwrap();
        assert_eq!((meta.title.as_str(), meta.created), ("the first", before));
        assert_eq!((meta.created_by.as_str(), told.history[0].role), ("lead", Role::Agent));
        assert_eq!(WorkMeta::of(&own_task(&report)).unwrap().created, now);
    }
}
