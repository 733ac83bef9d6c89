//! An agent's record: its journal, and the lock that says who may write it.

use super::{Error, Result};
use crate::model::agent::Agent;
use crate::model::entry::{self, Entry, VERSION};
use crate::model::places::Record;
use crate::rules::replay;
use crate::tools::lock::{self, Lock};
use crate::tools::{clock, crash, file, journal};
use std::path::PathBuf;
use std::time::Duration;

/// How long whoever takes a record over waits for its lock.
const TAKE_LIMIT: Duration = Duration::from_secs(2);
/// How long somebody who only looks at a lock may hold it.
const LOOK_LIMIT: Duration = Duration::from_millis(100);
/// How long a keeper may take to leave when its agent has ended: its session and perhaps the tmux server are ended too.
const LEAVE_LIMIT: Duration = Duration::from_secs(20);
/// How long a verb may be at work on an agent that another one waits for.
const HOLD_LIMIT: Duration = Duration::from_mins(2);

/// Reads the agent that `record` tells of; `None` if there is no journal, or not yet a whole first entry.
///
/// # Errors
/// If the journal is damaged or cannot be read. That is not "no agent".
pub fn load(record: &Record) -> Result<Option<Agent>> {
    let path = record.journal();
    let Some(contents) = journal::read::<entry::Record>(&path)? else { return Ok(None) };
    match replay::replay(&contents.records) {
        Ok(agent) => Ok(Some(agent)),
        Err(replay::Error::Empty) => Ok(None),
        Err(why) => Err(Error::Record { path, why }),
    }
}

/// The one writer of an agent's journal.
#[derive(Debug)]
pub struct Pen {
    writer: journal::Writer<entry::Record>,
    /// The agent as the journal tells it now.
    pub agent: Agent,
}

impl Pen {
    /// Begins the record of a new agent: its directory and its journal with `created` as the first entry, on disk when
    /// this returns.
    pub fn begin(record: &Record, created: Entry) -> Result<Self> {
        file::make_dirs(&record.0)?;
        let (mut writer, before) = journal::Writer::open(&record.journal())?;
        let first = stamp(created);
        let records = if before.is_empty() {
            around(&first, || writer.append(&first))?;
            vec![first]
        } else {
            before
        };
        let agent = replay::replay(&records).map_err(|why| Error::Record { path: record.journal(), why })?;
        Ok(Self { writer, agent })
    }

    /// Opens the record of an agent that exists. `lock` shows that we may write it.
    pub fn open(record: &Record, _lock: &Lock) -> Result<Self> {
        let (writer, records) = journal::Writer::open(&record.journal())?;
        let agent = replay::replay(&records).map_err(|why| Error::Record { path: record.journal(), why })?;
        Ok(Self { writer, agent })
    }

    /// Opens the record of an agent whose journal is damaged, as `error` says: what was there is put aside, and a journal
    /// takes its place that holds what can still be believed, beginning with `created` if the creation is not in it.
    /// `lock` shows that we may write it. Returns where the old one is; `None` if there was none.
    pub fn quarantine(
        record: &Record,
        lock: &Lock,
        error: &Error,
        created: impl FnOnce() -> entry::Record,
    ) -> Result<(Self, Option<PathBuf>)> {
        let path = record.journal();
        let mut records = journal::salvage::<entry::Record>(&path)?;
        let begins = records.iter().position(|r| matches!(r.entry, Entry::Created { .. }));
        match begins {
            Some(at) => drop(records.drain(..at)),
            None => records.insert(0, created()),
        }
        let kept = if file::ownership(&path)?.is_some() { Some(file::put_aside(&path)?) } else { None };
        let what = what_is_wrong(error);
        records.push(stamp(Entry::Quarantined {
            why: what,
            kept: kept.clone().unwrap_or_else(|| path.clone()),
        }));
        journal::rewrite(&path, &records)?;
        Ok((Self::open(record, lock)?, kept))
    }

    /// Puts `entry` on record, surviving a power cut, and applies it to the agent.
    pub fn write(&mut self, entry: Entry) -> Result<()> {
        let record = stamp(entry);
        around(&record, || self.writer.append(&record))?;
        replay::apply(&mut self.agent, &record);
        Ok(())
    }

    /// Puts `entry` on record without waiting for the disk: for what a power cut may take, because it takes what the
    /// entry tells of as well.
    pub fn note(&mut self, entry: Entry) -> Result<()> {
        let record = stamp(entry);
        around(&record, || self.writer.append_unsynced(&record))?;
        replay::apply(&mut self.agent, &record);
        Ok(())
    }

    /// Makes everything that was noted survive a power cut.
    pub fn sync(&mut self) -> Result<()> {
        Ok(self.writer.sync()?)
    }
}

/// Writes an entry, with a crash point on either side.
fn around(record: &entry::Record, write: impl FnOnce() -> journal::Result<()>) -> Result<()> {
    let name = || {
        let json = serde_json::to_value(record).unwrap_or_default();
        json.get("entry").and_then(|tag| tag.as_str()).unwrap_or("?").to_owned()
    };
    crash::point(|| format!("before journal {}", name()));
    write()?;
    crash::point(|| format!("after journal {}", name()));
    Ok(())
}

/// The damage without the path of the journal, which whoever reads of it knows.
fn what_is_wrong(error: &Error) -> String {
    match error {
        Error::Journal(journal::Error::Damaged { line, why, .. }) => format!("at line {line}: {why}"),
        Error::Record { why, .. } => why.to_string(),
        Error::Journal(journal::Error::File(e)) | Error::File(e) => e.source.to_string(),
        other => other.to_string(),
    }
}

fn stamp(entry: Entry) -> entry::Record {
    entry::Record { v: VERSION, at: clock::now(), entry }
}

/// Takes the keeper's lock of `record`, waiting a little for whoever only looks at it.
pub fn take(record: &Record) -> Result<Lock> {
    Ok(lock::exclusive(&record.keeper_lock(), TAKE_LIMIT)?)
}

/// Takes the keeper's lock of `record` if nobody keeps the agent. A keeper whose agent has ended is about to end as well,
/// and is waited for.
pub fn try_take(record: &Record) -> Result<Option<Lock>> {
    let within = |limit| match lock::exclusive(&record.keeper_lock(), limit) {
        Ok(lock) => Ok(Some(lock)),
        Err(lock::Error::Held { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    };
    match within(LOOK_LIMIT)? {
        Some(lock) => Ok(Some(lock)),
        None if load(record)?.is_some_and(|agent| agent.conclusion.is_some()) => within(LEAVE_LIMIT),
        None => Ok(None),
    }
}

/// Keeps other verbs from changing the agent, waiting for one that is at work.
pub fn hold(record: &Record) -> Result<Lock> {
    Ok(lock::exclusive(&record.verb_lock(), HOLD_LIMIT)?)
}
