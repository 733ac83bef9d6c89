//! Tasks: from a journal to the task it tells of, and what may be done to it.

use super::refusal::Refusal;
use crate::model::a2a::{Artifact, Message, TaskState};
use crate::model::ids::{Party, Session, TaskId};
use crate::model::work::{
    After, Done, Holder, OnFailed, PRIORITY_MAX, TaskEntry, TaskRecord, TaskSpec, VERSION, Work,
};

/// The most that a record may take, in bytes.
pub const RECORD_MAX: u64 = 64 << 10;
/// The most that a journal takes, in bytes; then the task can only change hands and end.
pub const JOURNAL_MAX: u64 = 8 << 20;
/// The most tasks that one may depend on.
pub const DEPENDENCIES_MAX: usize = 1000;
/// The most bytes of an operation's id.
const OP_MAX: usize = 200;

/// A journal that tells of no task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// It holds nothing: whoever made it died before its first entry.
    #[error("it is empty")]
    Empty,
    /// It does not begin with the task's creation.
    #[error("its first entry is not the creation of a task")]
    NoCreation,
}

/// The task that `records` tell of. Defined for every beginning of a journal.
pub fn fold(records: &[TaskRecord]) -> Result<Work, Broken> {
    let (first, rest) = records.split_first().ok_or(Broken::Empty)?;
    let TaskEntry::Created { spec } = &first.entry else { return Err(Broken::NoCreation) };
    let mut work = Work {
        spec: (**spec).clone(),
        created_by: first.by.clone().unwrap_or(Party::User),
        created: first.at,
        state: TaskState::Submitted,
        since: first.at,
        message: None,
        updated: first.at,
        holder: None,
        generation: 0,
        rev: first.rev,
        artifacts: Vec::new(),
        history: vec![spec.message.clone()],
        done: Vec::new(),
        requeued_after: None,
        newer: first.v > VERSION,
        damaged: None,
    };
    note_op(&mut work, first);
    for record in rest {
        apply(&mut work, record);
    }
    Ok(work)
}

/// Adds what `record` says to `work`. What does not fit (it is at its end, another claim is meant) changes nothing but the count.
pub fn apply(work: &mut Work, record: &TaskRecord) {
    work.rev = work.rev.max(record.rev);
    work.updated = record.at;
    work.newer |= record.v > VERSION;
    note_op(work, record);
    if let TaskEntry::Quarantined { why, kept } = &record.entry {
        work.damaged = Some(format!("its journal was, {why}; kept as {kept}"));
    }
    if work.state.is_terminal() {
        return;
    }
    let ours = |generation: u64| work.holder.is_some() && generation == work.generation;
    match &record.entry {
        TaskEntry::Claimed { holder, generation } => {
            if work.state == TaskState::Submitted && *generation > work.generation {
                stand(work, TaskState::Working, None, record);
                work.holder = Some(holder.clone());
                work.generation = *generation;
                work.requeued_after = None;
            }
        }
        TaskEntry::Told { generation, state, message } => {
            if ours(*generation) && state.is_held() {
                stand(work, *state, message.clone(), record);
            }
        }
        TaskEntry::Said { message } => work.history.push(message.clone()),
        TaskEntry::Artifact { generation, artifact } => {
            if ours(*generation) {
                match work.artifacts.iter_mut().find(|known| known.artifact_id == artifact.artifact_id) {
                    Some(known) => known.clone_from(artifact),
                    None => work.artifacts.push(artifact.clone()),
                }
            }
        }
        TaskEntry::Ended { generation, state, message } => {
            let fits = match state {
                TaskState::Completed | TaskState::Failed => ours(*generation),
                TaskState::Canceled => true,
                TaskState::Rejected => work.state == TaskState::Submitted,
                _ => false,
            };
            if fits {
                stand(work, *state, message.clone(), record);
                work.holder = None;
            }
        }
        TaskEntry::Released { generation, why } => {
            if ours(*generation) {
                let said = why.as_ref().map(|why| {
                    let id = format!("{}-released-{}", work.spec.id, record.rev);
                    Message::text(id, crate::model::a2a::Role::Agent, why.clone())
                });
                stand(work, TaskState::Submitted, said, record);
                work.holder = None;
            }
        }
        TaskEntry::Requeued { generation, after } => {
            if ours(*generation) {
                stand(work, TaskState::Submitted, None, record);
                work.holder = None;
                work.requeued_after = Some(*after);
            }
        }
        TaskEntry::Created { .. } | TaskEntry::Quarantined { .. } | TaskEntry::Unknown => {}
    }
}

/// Puts the task into a state. What was said with the one before is history now.
fn stand(work: &mut Work, state: TaskState, message: Option<Message>, record: &TaskRecord) {
    work.history.extend(std::mem::replace(&mut work.message, message));
    work.state = state;
    work.since = record.at;
}

fn note_op(work: &mut Work, record: &TaskRecord) {
    if let Some(op) = &record.op {
        work.done.push(Done { op: op.clone(), by: record.by.clone(), rev: record.rev });
    }
}

/// The record that the operation `op` by `by` is, if it was done: the last one, where it was a claim that was lost and made again.
pub fn done(work: &Work, by: &Party, op: &str) -> Option<u64> {
    work.done.iter().rfind(|done| done.op == op && done.by.as_ref() == Some(by)).map(|done| done.rev)
}

/// Whether the claim of this generation was taken from its holder, and nobody has made another one since.
pub fn lost(work: &Work, generation: u64) -> bool {
    work.state == TaskState::Submitted && work.requeued_after.is_some() && work.generation == generation
}

/// What somebody asks about a task that exists.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// To work on it.
    Claim {
        /// Who.
        holder: Holder,
        /// In which role.
        role: Option<String>,
        /// What it depends on and is not completed.
        open: Vec<TaskId>,
    },
    /// To tell where it stands.
    Tell {
        /// The claim.
        generation: u64,
        /// Where.
        state: TaskState,
        /// What is said.
        message: Option<Message>,
    },
    /// To say something.
    Say {
        /// What.
        message: Message,
    },
    /// To add what came of it.
    Artifact {
        /// The claim.
        generation: u64,
        /// What.
        artifact: Artifact,
    },
    /// To complete it, or to say that it failed.
    End {
        /// The claim.
        generation: u64,
        /// COMPLETED or FAILED.
        state: TaskState,
        /// What is said.
        message: Option<Message>,
    },
    /// To give it back.
    Release {
        /// The claim.
        generation: u64,
        /// Why.
        why: Option<String>,
    },
    /// To take it from a holder that is gone.
    Requeue {
        /// The claim.
        generation: u64,
        /// Why.
        after: After,
    },
    /// To take it back.
    Cancel {
        /// What is said.
        message: Option<Message>,
    },
    /// To reject it, because what it depends on cannot be completed.
    Reject {
        /// What is said.
        message: Message,
    },
}

/// What is to be done about a request that is permitted.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// This is put on record.
    Write(TaskEntry),
    /// It is so already.
    Already,
}

/// Whether what `by` asks is permitted, and what it comes to.
pub fn decide(work: &Work, by: &Party, request: Request) -> Result<Verdict, Refusal> {
    let id = work.spec.id;
    if work.newer {
        return Err(Refusal::NewerTask { id });
    }
    if work.state.is_terminal() {
        return Err(Refusal::Terminal { id, state: work.state });
    }
    let hold = |generation: u64| {
        if work.owner() == Some(by) && work.generation == generation {
            return Ok(());
        }
        let owner = work.owner().cloned();
        Err(Refusal::NotOwner { id, by: by.clone(), generation, owner, now: work.generation })
    };
    let bad = |why: &str| Refusal::BadParts { why: why.to_owned() };
    let entry = match request {
        Request::Claim { holder, role, open } => match &work.holder {
            Some(now) if now.name == holder.name && now.pid == holder.pid && now.boot == holder.boot => {
                return Ok(Verdict::Already);
            }
            Some(now) => return Err(Refusal::NotClaimable { id, owner: now.name.clone() }),
            None => {
                if let Some(wanted) = work.spec.role.as_ref().filter(|wanted| Some(*wanted) != role.as_ref())
                {
                    return Err(Refusal::WrongRole { id, role: wanted.clone() });
                }
                if !open.is_empty() {
                    return Err(Refusal::DependenciesOpen { id, open });
                }
                TaskEntry::Claimed { holder, generation: work.generation + 1 }
            }
        },
        Request::Tell { generation, state, message } => {
            hold(generation)?;
            check(message.as_ref())?;
            if !state.is_held() {
                return Err(bad("what is told is one of working, input-required and auth-required"));
            }
            TaskEntry::Told { generation, state, message }
        }
        Request::Say { message } => {
            check(Some(&message))?;
            TaskEntry::Said { message }
        }
        Request::Artifact { generation, artifact } => {
            hold(generation)?;
            if let Some(why) = artifact.check() {
                return Err(bad(why));
            }
            TaskEntry::Artifact { generation, artifact }
        }
        Request::End { generation, state, message } => {
            hold(generation)?;
            check(message.as_ref())?;
            if !matches!(state, TaskState::Completed | TaskState::Failed) {
                return Err(bad("its holder ends a task as completed or failed"));
            }
            TaskEntry::Ended { generation, state, message }
        }
        Request::Release { generation, why } => {
            hold(generation)?;
            TaskEntry::Released { generation, why }
        }
        Request::Requeue { generation, after } => {
            hold(generation)?;
            TaskEntry::Requeued { generation, after }
        }
        Request::Cancel { message } => {
            check(message.as_ref())?;
            if *by != Party::User && *by != work.created_by {
                return Err(Refusal::NotYours { id, created_by: work.created_by.clone() });
            }
            TaskEntry::Ended { generation: work.generation, state: TaskState::Canceled, message }
        }
        Request::Reject { message } => {
            if let Some(owner) = work.owner() {
                return Err(Refusal::NotClaimable { id, owner: owner.clone() });
            }
            TaskEntry::Ended {
                generation: work.generation,
                state: TaskState::Rejected,
                message: Some(message),
            }
        }
    };
    Ok(Verdict::Write(entry))
}

fn check(message: Option<&Message>) -> Result<(), Refusal> {
    match message.and_then(Message::check) {
        Some(why) => Err(Refusal::BadParts { why: why.to_owned() }),
        None => Ok(()),
    }
}

/// Whether a task may be created so. That what it depends on exists is for whoever can look.
pub fn creation(spec: &TaskSpec) -> Result<(), Refusal> {
    let bad = |why: String| Err(Refusal::BadParts { why });
    check(Some(&spec.message))?;
    if spec.priority > PRIORITY_MAX {
        return bad(format!("the priority {} is not one of 0 to {PRIORITY_MAX}", spec.priority));
    }
    if spec.context.is_empty() || spec.context.len() > OP_MAX {
        return bad(format!("the context has 1 to {OP_MAX} bytes"));
    }
    if spec.depends_on.contains(&spec.id) {
        return bad("it depends on itself".to_owned());
    }
    if let Some(Err(error)) = spec.role.as_ref().map(|role| role.parse::<Session>()) {
        return bad(format!("a role is named like a session, and {error}"));
    }
    match spec.depends_on.len() {
        many if many > DEPENDENCIES_MAX => {
            bad(format!("it depends on {many} tasks, and {DEPENDENCIES_MAX} is the limit"))
        }
        _ => Ok(()),
    }
}

/// Whether an operation may be called so.
pub fn operation(op: &str) -> Result<(), Refusal> {
    if op.is_empty() || op.len() > OP_MAX {
        return Err(Refusal::BadParts { why: format!("the id of an operation has 1 to {OP_MAX} bytes") });
    }
    Ok(())
}

/// Whether a record of `bytes` may be appended to a journal of `length`. What decides who holds a task, and its end, always may.
pub fn fits(entry: &TaskEntry, bytes: u64, length: u64) -> Result<(), Refusal> {
    if bytes > RECORD_MAX {
        return Err(Refusal::TooLarge { what: "the record", bytes, limit: RECORD_MAX });
    }
    let words = matches!(entry, TaskEntry::Told { .. } | TaskEntry::Said { .. } | TaskEntry::Artifact { .. });
    if words && length + bytes > JOURNAL_MAX {
        return Err(Refusal::TooLarge {
            what: "the journal of the task",
            bytes: length + bytes,
            limit: JOURNAL_MAX,
        });
    }
    Ok(())
}

/// What a task that nobody holds can do about those it depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// All are completed: it can be claimed.
    Ready,
    /// These are not.
    Waits(Vec<TaskId>),
    /// This one cannot be completed any more.
    Rejected(TaskId, TaskState),
}

/// How a task stands to those it depends on, whose states are `states`.
pub fn standing(on_failed: OnFailed, states: &[(TaskId, TaskState)]) -> Standing {
    let open: Vec<_> = states.iter().filter(|(_, state)| *state != TaskState::Completed).collect();
    let failed = open.iter().find(|(_, state)| state.is_terminal());
    match failed {
        Some((id, state)) if on_failed == OnFailed::Reject => Standing::Rejected(*id, *state),
        _ if open.is_empty() => Standing::Ready,
        _ => Standing::Waits(open.into_iter().map(|(id, _)| *id).collect()),
    }
}

#[cfg(test)]
#[path = "work_tests.rs"]
mod tests;
