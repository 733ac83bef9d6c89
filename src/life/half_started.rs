//! Children whose start is cut off because the agent that asked for them is being killed: each is there and works, or it never was.
//!
//! Whoever starts a child holds a lock of it, and makes none for an agent that is to be killed. So behind that lock nothing changes any
//! more: what a dead one left half made is taken back, and what has a keeper is left alone.

use super::{House, Result, create};
use crate::a2a::names;
use crate::a2a::record::Pen;
use crate::model::agent::Agent;
use crate::model::delegation::Start;
use crate::model::entry::Entry;
use crate::model::ids::{AgentId, Session};
use crate::model::places::Record;
use crate::rules::delegation::Refused;
use crate::tools::lock::{self, Lock};
use crate::tools::{file, process};
use std::ffi::OsStr;
use std::time::Duration;

/// How long a start whose keeper is gone may go on: it takes less than a second, and may come to something.
const START_LIMIT: Duration = Duration::from_secs(10);
/// How long one that takes longer may take to end when it is told to.
const GRACE: Duration = Duration::from_secs(2);
/// How long what does not is waited for after it was killed.
const END_LIMIT: Duration = Duration::from_secs(5);

/// What became of the children that `agent`, whose record is `record`, had begun to start: what is to be put on record of each. The
/// caller holds the keeper's lock, and the request to kill the agent, or its end, is on disk. What cannot be settled is left for
/// whoever kills the agent again.
pub fn settle(house: &House, record: &Record, agent: &Agent) -> Vec<Entry> {
    let begun = agent.children.iter().filter(|child| child.start == Start::Begun);
    let settled = begun.filter_map(|child| match there(house, record, child.id) {
        Ok(Some(session)) => Some(Entry::ChildStarted { child: child.id, session }),
        Ok(None) => {
            let error = Refused::Late.body();
            Some(Entry::ChildNotStarted { key: child.key, child: child.id, error })
        }
        Err(error) => {
            tracing::warn!(%error, child = %child.id, "a child whose start was cut off is as it was");
            None
        }
    });
    settled.collect()
}

/// Puts `settled` on record, and takes away the requests that are answered, by it or by somebody who was cut off behind that.
pub fn put_on_record(pen: &mut Pen, record: &Record, settled: Vec<Entry>) -> Result<()> {
    for entry in settled {
        pen.write(entry)?;
    }
    let answered = pen.agent.children.iter().filter(|child| child.start != Start::Begun);
    for child in answered {
        file::remove(&record.wanted_one(child.key))?;
    }
    Ok(())
}

/// The name of the child `id`, if it has or had a keeper; what there is of it else is taken back.
fn there(house: &House, parent: &Record, id: AgentId) -> Result<Option<Session>> {
    let _alone = alone(parent, id)?;
    let named = names::all(&house.settings.places)?.into_iter().find(|named| named.id == id);
    let Some(named) = named else { return Ok(None) };
    let back = create::take_back(house, &named, "the agent that asked for it was killed")?;
    Ok((!back).then_some(named.session))
}

/// The lock of the child `id`. Whoever has it may have lost its keeper, and hang: it is ended then.
fn alone(parent: &Record, id: AgentId) -> Result<Lock> {
    let path = parent.start_lock(id);
    file::make_dirs(&parent.wanted())?;
    match lock::exclusive(&path, START_LIMIT) {
        Err(lock::Error::Held { .. }) => {}
        locked => return Ok(locked?),
    }
    let child = id.to_string();
    let words = [OsStr::new("__spawn"), parent.0.as_os_str(), OsStr::new(&child)];
    if let Some(starting) = process::started_as(&words)? {
        process::end_all(|| process::family(&starting), GRACE, END_LIMIT)?;
    }
    Ok(lock::exclusive(&path, END_LIMIT)?)
}
