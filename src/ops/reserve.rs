//! Reserving files, so that those who work side by side agree beforehand on who changes what.

use super::caller::Caller;
use super::office::Office;
use super::{Error, Result};
use crate::a2a;
use crate::a2a::identity::Who;
use crate::a2a::tasks::By;
use crate::model::glob::{BadGlob, Glob};
use crate::model::reservation::{Reservation, Reserved};
use crate::rules::reservations::Wish;
use std::time::Duration;

/// What is to be reserved.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// The patterns, from the root of the repository on.
    pub globs: Vec<String>,
    /// Whether nobody else may reserve any of them.
    pub exclusive: bool,
    /// For how long at most.
    pub lease: Option<Duration>,
    /// What for.
    pub why: Option<String>,
    /// The caller's own name for this: doing so twice does it once.
    pub op_id: Option<String>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// What the caller has reserved by it.
    pub reserved: Vec<Reserved>,
    /// What others have reserved of the same files.
    pub others: Vec<Reserved>,
}

/// Reserves files for the caller: an agent as long as it works, anybody else for an hour if nothing else is said.
pub fn reserve(office: &Office, caller: &Caller, asked: &Asked) -> Result<Granted> {
    let pid = match &caller.who {
        // It lives as long as its keeper, which holds the lock of its name.
        Who::Agent(me) => me.keeper,
        Who::Person => None,
    };
    let wish = Wish { globs: parsed(&asked.globs)?, why: asked.why.clone(), exclusive: asked.exclusive };
    let by = by(caller, asked.op_id.clone());
    let granted = office.reservations.reserve(&by, pid, asked.lease, &wish);
    let granted = whole(office, caller, granted)?;
    Ok(Granted { reserved: told(granted.own), others: told(granted.others) })
}

/// Gives back what the caller has of `globs`, or everything if none are named; what that was.
pub fn release(
    office: &Office,
    caller: &Caller,
    globs: &[String],
    op_id: Option<String>,
) -> Result<Vec<Glob>> {
    let released = office.reservations.release(&by(caller, op_id), &parsed(globs)?);
    whole(office, caller, released)
}

/// All that is reserved.
pub fn list(office: &Office, caller: &Caller) -> Result<Vec<Reserved>> {
    whole(office, caller, office.reservations.list()).map(told)
}

fn told(reservations: Vec<Reservation>) -> Vec<Reserved> {
    reservations.into_iter().map(Reserved::from).collect()
}

fn by(caller: &Caller, op: Option<String>) -> By {
    By { name: caller.party(), op: caller.operation(op) }
}

fn parsed(globs: &[String]) -> Result<Vec<Glob>> {
    let bad = |bad: BadGlob| {
        Error::usage(
            bad.to_string(),
            "name files from the root of the repository on, for example src/parser or 'tests/**/*.rs'",
        )
    };
    globs.iter().map(|text| text.parse().map_err(bad)).collect()
}

/// What came of something that was done with the reservations. If their journal was damaged it is put aside, with what can still be
/// believed in its place, and that is said: doing the same once more does it.
fn whole<T>(office: &Office, caller: &Caller, done: a2a::Result<T>) -> Result<T> {
    let error = match done {
        Ok(done) => return Ok(done),
        Err(error) => error,
    };
    if error.is_damage()
        && let Some(kept) = office.reservations.quarantine(&caller.party())?
    {
        return Err(Error::ReservationsMended { kept });
    }
    Err(error.into())
}
