//! Why something that was asked about a task, or about files to reserve, is not done.

use crate::model::a2a::TaskState;
use crate::model::glob::Glob;
use crate::model::ids::{Moment, Party, Session, TaskId};
use crate::model::text::Shown;

/// A request that is refused. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No task has this id.
    #[error("there is no task {id}")]
    NoTask {
        /// What was asked for.
        id: TaskId,
    },
    /// Another task has this id.
    #[error("the task {id} exists already, and is another one")]
    Exists {
        /// The task.
        id: TaskId,
    },
    /// It is at its end.
    #[error("the task {id} is {state}, for good")]
    Terminal {
        /// The task.
        id: TaskId,
        /// How it ended.
        state: TaskState,
    },
    /// It is not held, held by somebody else, or claimed anew since.
    #[error("'{by}' does not hold the task {id} with generation {generation}; {}", holds(.owner.as_ref(), *.now))]
    NotOwner {
        /// The task.
        id: TaskId,
        /// Who asked.
        by: Party,
        /// The generation that was said.
        generation: u64,
        /// Who holds it.
        owner: Option<Party>,
        /// The last generation.
        now: u64,
    },
    /// Somebody holds it.
    #[error("the task {id} is held by '{owner}'")]
    NotClaimable {
        /// The task.
        id: TaskId,
        /// Who holds it.
        owner: Party,
    },
    /// It waits for others.
    #[error("the task {id} waits for {}", listed(.open))]
    DependenciesOpen {
        /// The task.
        id: TaskId,
        /// What is not completed.
        open: Vec<TaskId>,
    },
    /// It is for another role.
    #[error("the task {id} is for the role '{role}'")]
    WrongRole {
        /// The task.
        id: TaskId,
        /// The role.
        role: String,
    },
    /// Only its creator and the person may do that.
    #[error("the task {id} is not yours: '{created_by}' created it")]
    NotYours {
        /// The task.
        id: TaskId,
        /// Who created it.
        created_by: Party,
    },
    /// A message, an artifact or a field is not what the protocol or the contract allows.
    #[error("{why}")]
    BadParts {
        /// What is wrong.
        why: String,
    },
    /// It depends on a task that is not there.
    #[error("it depends on {missing}, and there is no such task")]
    NoDependency {
        /// What is missing.
        missing: TaskId,
    },
    /// More than a record or a journal takes.
    #[error("{what} takes {bytes} bytes, and {limit} is the limit")]
    TooLarge {
        /// What.
        what: &'static str,
        /// Its size.
        bytes: u64,
        /// The most it may have.
        limit: u64,
    },
    /// A later version of this program has written in its journal.
    #[error("a newer ai_orch has written in the journal of the task {id}")]
    NewerTask {
        /// The task.
        id: TaskId,
    },
    /// Its journal is not what was written.
    #[error("the journal of the task {id} is damaged: {why}")]
    DamagedTask {
        /// The task.
        id: TaskId,
        /// What is wrong with it.
        why: String,
    },
    /// Somebody else reserved some of the files.
    #[error("{0}")]
    Reserved(Box<Taken>),
    /// A later version of this program has written in the journal of reservations.
    #[error("a newer ai_orch has reserved files here")]
    NewerReservations,
    /// It is what an agent does itself.
    #[error(
        "the task {id} is what the agent '{agent}' does itself: nobody else claims it, changes it or makes tasks wait for it"
    )]
    OwnTask {
        /// The task.
        id: TaskId,
        /// The agent.
        agent: Session,
    },
    /// An agent has the name.
    #[error("'{name}' is an agent, whose keeper speaks for it")]
    NameOfAgent {
        /// The name.
        name: String,
    },
}

/// Files that somebody wants, and somebody else has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// What was asked for.
    pub wanted: Glob,
    /// Who has some of it.
    pub holder: Party,
    /// As what.
    pub glob: Glob,
    /// Whether for itself alone.
    pub exclusive: bool,
    /// Until when; else as long as it works.
    pub until: Option<Moment>,
    /// How many more reservations are in the way.
    pub more: usize,
}

impl std::fmt::Display for Taken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { wanted, holder, glob, exclusive, until, more } = self;
        let alone = if *exclusive { " for itself alone" } else { "" };
        write!(f, "'{wanted}' is not reserved: '{holder}' has '{glob}'{alone}, ")?;
        match until {
            Some(until) => write!(f, "until {until}")?,
            None => write!(f, "as long as it works")?,
        }
        if *more > 0 {
            write!(f, "; {more} more reservations are in the way")?;
        }
        Ok(())
    }
}

fn holds(owner: Option<&Party>, generation: u64) -> String {
    match owner {
        Some(owner) => format!("'{owner}' holds it with generation {generation}"),
        None => format!("nobody holds it, after generation {generation}"),
    }
}

fn listed(ids: &[TaskId]) -> String {
    let some: Vec<String> = ids.iter().take(3).map(TaskId::to_string).collect();
    let more = ids.len().saturating_sub(some.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    some.join(", ") + &more
}

impl Refusal {
    /// A word that does not change, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoTask { .. } => "no_task",
            Self::Exists { .. } => "task_exists",
            Self::Terminal { .. } => "terminal",
            Self::NotOwner { .. } => "not_owner",
            Self::NotClaimable { .. } => "not_claimable",
            Self::DependenciesOpen { .. } => "dependencies_open",
            Self::WrongRole { .. } => "wrong_role",
            Self::NotYours { .. } => "not_yours",
            Self::BadParts { .. } => "bad_parts",
            Self::NoDependency { .. } => "no_dependency",
            Self::TooLarge { .. } => "too_large",
            Self::NewerTask { .. } | Self::NewerReservations => "newer_record",
            Self::Reserved(_) => "reserved",
            Self::DamagedTask { .. } => "damaged",
            Self::OwnTask { .. } => "own_task",
            Self::NameOfAgent { .. } => "name_of_agent",
        }
    }

    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoTask { .. } | Self::NoDependency { .. } => {
                Some("all tasks: ai_orch task list".to_owned())
            }
            Self::Exists { .. } => Some("give each task an id of its own (a UUID)".to_owned()),
            Self::Terminal { id, .. } => Some(format!(
                "create another one that says what is missing; this one: ai_orch task show {id}"
            )),
            Self::NotOwner { id, .. } => {
                Some(format!("stop working on it; whoever is to do it claims it: ai_orch task show {id}"))
            }
            Self::NotClaimable { .. } | Self::DependenciesOpen { .. } | Self::WrongRole { .. } => {
                Some("claim the best one that is ready: ai_orch task claim".to_owned())
            }
            Self::NotYours { id, created_by } => {
                Some(format!("ask '{created_by}', or say something: ai_orch task say {id}"))
            }
            Self::BadParts { why } => Some(format!("mend that and ask again: {}", Shown(why))),
            Self::TooLarge { .. } => Some("put it in a file, and say where the file is".to_owned()),
            Self::NewerTask { .. } | Self::NewerReservations => Some("use that ai_orch for it".to_owned()),
            Self::Reserved(taken) => {
                let warned = if taken.exclusive { "" } else { "; or reserve it without --exclusive" };
                Some(format!(
                    "agree with '{0}': ai_orch msg send {0} 'TEXT'{warned}; all reservations: ai_orch reserve --list",
                    taken.holder
                ))
            }
            Self::DamagedTask { id, .. } => {
                Some(format!("put it aside and end the task: ai_orch task cancel {id}"))
            }
            Self::OwnTask { agent, .. } => Some(format!(
                "tell it something: ai_orch msg send {agent} 'TEXT'; stop it: ai_orch kill {agent}"
            )),
            Self::NameOfAgent { .. } => Some("choose another name".to_owned()),
        }
    }
}
