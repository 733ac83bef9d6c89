//! An agent's record: its journal, and the lock that says who may write it.

use super::{Error, Result};
use crate::model::agent::Agent;
use crate::model::entry::{self, Entry, VERSION};
use crate::model::places::Record;
use crate::rules::replay;
use crate::tools::lock::{self, Lock};
use crate::tools::{clock, file, journal};
use std::time::Duration;

/// How long whoever takes a record over waits for its lock.
const TAKE_LIMIT: Duration = Duration::from_secs(2);

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
            writer.append(&first)?;
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

    /// Puts `entry` on record, surviving a power cut, and applies it to the agent.
    pub fn write(&mut self, entry: Entry) -> Result<()> {
        let record = stamp(entry);
        self.writer.append(&record)?;
        replay::apply(&mut self.agent, &record);
        Ok(())
    }

    /// Puts `entry` on record without waiting for the disk: for what a power cut may take, because it takes what the
    /// entry tells of as well.
    pub fn note(&mut self, entry: Entry) -> Result<()> {
        let record = stamp(entry);
        self.writer.append_unsynced(&record)?;
        replay::apply(&mut self.agent, &record);
        Ok(())
    }

    /// Makes everything that was noted survive a power cut.
    pub fn sync(&mut self) -> Result<()> {
        Ok(self.writer.sync()?)
    }
}

fn stamp(entry: Entry) -> entry::Record {
    entry::Record { v: VERSION, at: clock::now(), entry }
}

/// Takes the keeper's lock of `record`, waiting a little for whoever only looks at it.
pub fn take(record: &Record) -> Result<Lock> {
    Ok(lock::exclusive(&record.keeper_lock(), TAKE_LIMIT)?)
}
