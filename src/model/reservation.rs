//! Files that somebody reserved: what the journal of reservations says (`design/a2a-files.md`), and what is told of them.
//!
//! Fields are only ever added, and a reader skips what it does not know. A line whose checksum is good and that we cannot read is
//! newer, not damaged: it is passed over, and nobody of us changes such a journal.

use super::glob::Glob;
use super::ids::{Moment, Party};
use super::tolerant;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The version of the journal that this program writes.
pub const VERSION: u32 = 1;

/// How long a reservation holds. Never in another boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Term {
    /// The boot that it was made in.
    pub boot: String,
    /// As long as this process lives and holds the lock of the name: an agent's keeper.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// No longer than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
}

/// The end of a reservation by time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lease {
    /// In milliseconds since the boot: what counts.
    pub deadline: u64,
    /// The same by the wall clock, as it was then: for people.
    pub until: Moment,
}

/// What a line of the journal says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum ReservationEntry {
    /// Files are reserved. What the same one said of the same pattern before is over.
    Reserved {
        /// Which.
        globs: Vec<Glob>,
        /// What for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
        /// Whether nobody else may reserve any of them.
        exclusive: bool,
        /// How long.
        term: Term,
    },
    /// They are not any more.
    Released {
        /// Which, as they were reserved.
        globs: Vec<Glob>,
    },
    /// The journal was damaged: this one holds what could still be believed.
    Quarantined {
        /// What was wrong with it.
        why: String,
        /// Where the damaged one is.
        kept: String,
    },
    /// Something that only a later version knows. Never written.
    #[serde(skip_serializing)]
    Unknown,
}

/// A line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ReservationRecord {
    /// [`VERSION`] when written by this program.
    pub v: u32,
    /// Its number, from 1.
    pub rev: u64,
    /// When it was written.
    pub at: Moment,
    /// The operation it belongs to: done once for each name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub op: Option<String>,
    /// Who says it.
    pub by: Party,
    /// What it says.
    #[serde(flatten)]
    pub entry: ReservationEntry,
}

impl<'de> Deserialize<'de> for ReservationRecord {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        /// The fields of every line.
        #[derive(Deserialize)]
        struct Line {
            v: u32,
            rev: u64,
            at: Moment,
            #[serde(default)]
            op: Option<String>,
            by: Party,
        }
        let (Line { v, rev, at, op, by }, entry) = tolerant::line(d)?;
        Ok(match entry {
            Some(entry) => Self { v, rev, at, op, by, entry },
            None => Self { v: v.max(VERSION + 1), rev, at, op, by, entry: ReservationEntry::Unknown },
        })
    }
}

/// A pattern that somebody reserved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// Who.
    pub by: Party,
    /// Which files.
    pub glob: Glob,
    /// What for.
    pub why: Option<String>,
    /// Whether nobody else may reserve any of them.
    pub exclusive: bool,
    /// Since when.
    pub since: Moment,
    /// How long.
    pub term: Term,
    /// The record that says so.
    pub rev: u64,
}

/// A pattern that somebody reserved, as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reserved {
    /// Which files, from the root of the repository on.
    pub glob: Glob,
    /// By whom.
    pub by: Party,
    /// Whether nobody else may reserve any of them.
    pub exclusive: bool,
    /// What for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Since when, or since it was renewed.
    pub since: Moment,
    /// Until when; else as long as the agent works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Moment>,
}

impl From<Reservation> for Reserved {
    fn from(reservation: Reservation) -> Self {
        let Reservation { by, glob, why, exclusive, since, term, .. } = reservation;
        Self { glob, by, exclusive, why, since, until: term.lease.map(|lease| lease.until) }
    }
}

/// Files that somebody changed while another one had them reserved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Crossed {
    /// The first of them, made printable by whoever shows it.
    pub path: String,
    /// How many others there are.
    #[serde(default)]
    pub more: u32,
    /// Who had them reserved.
    pub by: Party,
    /// As what.
    pub glob: Glob,
    /// Whether for itself alone.
    pub exclusive: bool,
    /// What for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}
