//! Waiting for something to do: until a message comes, or a task changes, or the time is over. Nothing is polled that rings.

use super::Result;
use super::caller::Caller;
use super::office::Office;
use crate::a2a::watch::Watch;
use crate::model::ids::TaskId;
use crate::tools::clock;
use std::time::Duration;

/// What a wait came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// A message waits to be read.
    Mail,
    /// The task changed.
    Task,
    /// Nothing happened in the time.
    Nothing,
}

/// Waits until a message waits for the caller, or the task `watched` is not as it was, at most for `limit`.
pub async fn pause(
    office: &Office,
    caller: &Caller,
    watched: Option<TaskId>,
    limit: Duration,
) -> Result<Woken> {
    let deadline = clock::tick().checked_add(limit);
    let mut watch = Watch::new();
    // Watched before the first look: what happens in between rings.
    watch.add(&office.mail.bell(&caller.party())?)?;
    let revision = |id: TaskId| office.tasks.get(id).map(|work| work.rev);
    let before = watched.map(revision).transpose()?;
    if watched.is_some() {
        watch.add(&office.places.copies(&office.project).tasks())?;
    }
    loop {
        if office.unread(caller)? > 0 {
            return Ok(Woken::Mail);
        }
        if watched.map(revision).transpose()? != before {
            return Ok(Woken::Task);
        }
        tokio::select! {
            () = watch.changed() => {}
            () = clock::at(deadline) => return Ok(Woken::Nothing),
        }
    }
}
