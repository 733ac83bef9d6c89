//! Agents' own work as tasks, to be looked at and waited for as those on the board are. Nobody claims, changes or ends one but its agent.

use super::Result;
use super::office::Office;
use crate::a2a::names::{self, Named};
use crate::a2a::tasks::Filter;
use crate::a2a::{self, look};
use crate::model::a2a::{Task, TaskState};
use crate::model::agent::State;
use crate::model::ids::{Moment, Party, TaskId};
use crate::model::report::AgentReport;
use crate::model::work::{Work, WorkMeta};
use crate::rules::own_task::{earlier, id_of, own_task};
use crate::rules::report::report;
use std::path::PathBuf;

/// A task, whosoever.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// One of the board.
    Shared(Box<Work>),
    /// An agent's own.
    Own(Box<Own>),
}

/// What an agent does, or did in an earlier round, as a task.
#[derive(Debug, Clone, PartialEq)]
pub struct Own {
    /// The task.
    pub id: TaskId,
    /// It, in the words of A2A.
    pub task: Task,
    /// Its agent.
    pub named: Named,
    /// Whether that has lost its keeper in the middle of it: nobody goes on with it until somebody resumes the agent.
    pub interrupted: bool,
}

impl Found {
    /// The task in the words of the protocol.
    pub fn to_task(&self) -> Task {
        match self {
            Self::Shared(work) => work.to_task(),
            Self::Own(own) => own.task.clone(),
        }
    }

    /// Its id.
    pub fn id(&self) -> TaskId {
        match self {
            Self::Shared(work) => work.spec.id,
            Self::Own(own) => own.id,
        }
    }

    /// Where it stands.
    pub fn state(&self) -> TaskState {
        match self {
            Self::Shared(work) => work.state,
            Self::Own(own) => own.task.status.state,
        }
    }

    /// Who works on it.
    pub fn owner(&self) -> Option<Party> {
        match self {
            Self::Shared(work) => work.owner().cloned(),
            Self::Own(own) => Some(Party::Worker(own.named.session.clone())),
        }
    }

    /// Its first line.
    pub fn title(&self) -> String {
        match self {
            Self::Shared(work) => work.spec.title(),
            Self::Own(own) => WorkMeta::of(&own.task).map(|meta| meta.title).unwrap_or_default(),
        }
    }

    /// Whether nothing happens to it any more unless somebody sees to it.
    pub fn rests(&self) -> bool {
        let state = self.state();
        state.is_terminal()
            || matches!(state, TaskState::InputRequired | TaskState::AuthRequired)
            || matches!(self, Self::Own(own) if own.interrupted)
    }

    /// By what it is sorted: the oldest first.
    pub(super) fn age(&self) -> (i64, TaskId) {
        let created = match self {
            Self::Shared(work) => Some(work.created),
            Self::Own(own) => WorkMeta::of(&own.task).map(|meta| meta.created),
        };
        (created.map_or(0, Moment::as_millis), self.id())
    }

    /// The directories in which its changes are told.
    pub(super) fn dirs(&self, office: &Office) -> Vec<PathBuf> {
        match self {
            Self::Shared(_) => vec![office.places.copies(&office.project).tasks()],
            Self::Own(own) => {
                vec![own.named.record.0.clone(), office.places.board(&own.named.project, &own.named.session)]
            }
        }
    }
}

/// What the agents of a repository do and did, and what is wrong with those that cannot be looked at.
#[derive(Debug, Default)]
pub(super) struct Agents {
    /// Their tasks.
    pub(super) tasks: Vec<Own>,
    /// Why there are not more.
    pub(super) unreadable: Vec<a2a::Error>,
}

/// The own tasks of all agents of the repository.
pub(super) fn all(office: &Office) -> Result<Agents> {
    let mut agents = Agents::default();
    for named in names::all(&office.places)?.into_iter().filter(|named| named.project == office.project) {
        match look::look(&office.places, &named) {
            Ok(Some(report)) => agents.tasks.extend(rounds(&named, &report)),
            Ok(None) => {}
            Err(error) => agents.unreadable.push(error),
        }
    }
    Ok(agents)
}

/// The tasks that an agent has and had.
fn rounds(named: &Named, report: &AgentReport) -> Vec<Own> {
    let own = |n: u32, task: Task, interrupted: bool| Own {
        id: id_of(report.id, n),
        task,
        named: named.clone(),
        interrupted,
    };
    let before = earlier(report).map(|(n, task)| own(n, task, false));
    let now = own(report.round, own_task(report), report.state == State::Interrupted);
    before.chain([now]).collect()
}

/// The own task `id`, if it is one.
pub(super) fn find(office: &Office, id: TaskId) -> Result<Option<Own>> {
    // Most are the first of their agent, whose id they have.
    let by_id = names::all(&office.places)?.into_iter().find(|named| named.id.0 == id.0);
    if let Some(named) = by_id.filter(|named| named.project == office.project) {
        let Some(report) = look::look(&office.places, &named)? else { return Ok(None) };
        return Ok(rounds(&named, &report).into_iter().find(|own| own.id == id));
    }
    Ok(all(office)?.tasks.into_iter().find(|own| own.id == id))
}

/// `own` as it is now. Of an agent that was cleaned meanwhile its record tells the end; of one that nothing is kept of any more, nothing
/// is known that was not known before.
pub(super) fn again(office: &Office, own: &Own) -> Result<Own> {
    if let Some(now) = find(office, own.id)? {
        return Ok(now);
    }
    let Some((agent, keeper)) = look::look_closely(&own.named.record)? else { return Ok(own.clone()) };
    let now = rounds(&own.named, &report(&agent, &keeper, None)).into_iter().find(|now| now.id == own.id);
    Ok(now.unwrap_or_else(|| own.clone()))
}

/// Whether `filter` takes it.
pub(super) fn takes(filter: &Filter, own: &Own) -> bool {
    let role = || WorkMeta::of(&own.task).and_then(|meta| meta.role);
    let owner = Party::Worker(own.named.session.clone());
    filter.state.is_none_or(|state| own.task.status.state == state)
        && filter.context.as_ref().is_none_or(|context| own.task.context_id == *context)
        && filter.role.as_ref().is_none_or(|wanted| role().as_ref() == Some(wanted))
        && filter.owner.as_ref().is_none_or(|wanted| *wanted == owner)
}
