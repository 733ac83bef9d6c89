//! Waiting for something to do: until a message comes, a task changes, or one can be claimed, or the time is over. Nothing is polled that
//! rings.

use super::caller::Caller;
use super::desk::LOOK;
use super::keepers::Keepers;
use super::office::Office;
use super::own::Found;
use super::{Result, desk};
use crate::a2a::watch::Watch;
use crate::model::a2a::TaskState;
use crate::model::ids::TaskId;
use crate::tools::clock;
use std::time::Duration;

/// What else than a message is waited for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Awaited {
    /// That this task is not as it was any more.
    pub task: Option<Found>,
    /// That there is a task which the caller may claim.
    pub claimable: bool,
}

/// What a wait came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// A message waits to be read.
    Mail,
    /// The task changed, or is at its end and will not: where it stands.
    Task(TaskState),
    /// This one can be claimed.
    Claimable(TaskId),
    /// Nothing happened in the time.
    Nothing,
}

/// Waits until a message waits for the caller, or something of `awaited` happens, at most for `limit`.
pub async fn pause(office: &Office, caller: &Caller, awaited: &Awaited, limit: Duration) -> Result<Woken> {
    let deadline = clock::tick().checked_add(limit);
    let bell = || office.mail.bell(&caller.party());
    let mut dirs = vec![bell()?];
    dirs.extend(awaited.task.iter().flat_map(|task| task.dirs(office)));
    let mut watch = Watch::new();
    if awaited.claimable {
        dirs.extend(desk::dirs(office));
        watch = Watch::every(LOOK);
    }
    let role = caller.role();
    let mut look = || -> Result<Option<Woken>> {
        // Made again, if somebody wiped the root.
        bell()?;
        if office.unread(caller)? > 0 {
            return Ok(Some(Woken::Mail));
        }
        if let Some(task) = &awaited.task {
            let now = desk::again(office, task)?;
            if now != *task || now.state().is_terminal() {
                return Ok(Some(Woken::Task(now.state())));
            }
        }
        let claimable = if awaited.claimable { office.tasks.claimable(role.as_deref())? } else { None };
        Ok(claimable.map(Woken::Claimable))
    };
    let mut keepers = Keepers::default();
    loop {
        // That an agent has lost its keeper changes no file.
        if let Some(Found::Own(own)) = &awaited.task {
            keepers.listen(&own.named);
        }
        tokio::select! {
            woken = watch.until(&dirs, deadline, &mut look) => return Ok(woken?.unwrap_or(Woken::Nothing)),
            () = keepers.ended() => {}
        }
    }
}
