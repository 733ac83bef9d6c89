//! The feed: every change in a project, as lines for whoever follows. A bell and a log, never the truth.

use super::a2a::TaskState;
use super::agent::State;
use super::ids::{Moment, Party, Session, TaskId};
use super::mail::MailId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// The version of every shape in this file.
pub const VERSION: u32 = 1;

/// What changed. Enough to know whether to look, never what somebody said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Kind {
    /// A task: each `rev` of it once, or more often if that is in doubt.
    Task {
        /// The task.
        id: TaskId,
        /// Its revision.
        rev: u64,
        /// Where it stands.
        state: TaskState,
        /// Who holds it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<Party>,
        /// The number of its last claim.
        generation: u64,
    },
    /// A message came: each `seq` of an inbox once, or more often if that is in doubt.
    Message {
        /// Whose inbox.
        inbox: Party,
        /// Its place in there.
        seq: u64,
        /// Its id in there.
        id: MailId,
        /// Who sent it.
        from: Party,
    },
    /// An agent came into another state.
    Agent {
        /// The agent.
        session: Session,
        /// Its state.
        state: State,
    },
    /// Somebody reserved files or gave some back: each `rev` once.
    Reservation {
        /// Who.
        by: Party,
        /// The number of the record.
        rev: u64,
        /// Whether they were given back.
        released: bool,
    },
    /// What happened before this cannot be told: the root was wiped, or it was too long ago. Look at everything again.
    Gap,
}

/// One line of the feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// The version of this shape.
    pub v: u32,
    /// When.
    pub at: Moment,
    /// What changed.
    #[serde(flatten)]
    pub kind: Kind,
}

/// One line of `events`: a change, and where to go on after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventLine {
    /// The version of this shape.
    pub v: u32,
    /// The place behind it: `--since` goes on from there.
    pub cursor: Cursor,
    /// When.
    pub at: Moment,
    /// What changed.
    #[serde(flatten)]
    pub kind: Kind,
}

/// The name of a file of the feed: which feed it is (another one after the root was wiped), and its number in there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FeedFile {
    /// Its number, from 1.
    pub n: u32,
    /// Eight hex digits.
    pub feed: String,
}

impl fmt::Display for FeedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:06}", self.feed, self.n)
    }
}

/// A text that is no place in the feed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{}' is no cursor of the feed", super::text::Shown(.0))]
pub struct BadCursor(pub String);

impl FromStr for FeedFile {
    type Err = BadCursor;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let bad = || BadCursor(s.to_owned());
        let (feed, n) = s.split_once('-').ok_or_else(bad)?;
        let hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        if feed.len() != 8 || !feed.bytes().all(hex) || !n.bytes().all(|c| c.is_ascii_digit()) {
            return Err(bad());
        }
        Ok(Self { n: n.parse().map_err(|_| bad())?, feed: feed.to_owned() })
    }
}

/// A place in the feed: `<file>:<offset>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cursor {
    /// The file.
    pub file: FeedFile,
    /// How much of it is behind us, in bytes.
    pub offset: u64,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.offset)
    }
}

impl FromStr for Cursor {
    type Err = BadCursor;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let parts = s.split_once(':');
        let parsed = parts.and_then(|(file, offset)| Some((file.parse().ok()?, offset.parse().ok()?)));
        let (file, offset) = parsed.ok_or_else(|| BadCursor(s.to_owned()))?;
        Ok(Self { file, offset })
    }
}

impl TryFrom<String> for Cursor {
    type Error = BadCursor;

    fn try_from(s: String) -> Result<Self, Self::Error> {
        s.parse()
    }
}

impl From<Cursor> for String {
    fn from(cursor: Cursor) -> Self {
        cursor.to_string()
    }
}

impl JsonSchema for Cursor {
    fn schema_name() -> Cow<'static, str> {
        "Cursor".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": "^[0-9a-f]{8}-[0-9]+:[0-9]+$"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_cursor_is_what_it_was() {
        let cursor: Cursor = "00ff12ab-000007:4096".parse().unwrap();
        assert_eq!((cursor.file.n, cursor.offset), (7, 4096));
        assert_eq!(cursor.to_string(), "00ff12ab-000007:4096");
        assert_eq!("00ff12ab-1234567:0".parse::<Cursor>().unwrap().to_string(), "00ff12ab-1234567:0");
        for bad in
            ["", "now", "00ff12ab-1", "00ff12ab-x:1", "00ff12ab-1:-1", "00FF12AB-1:1", "0-1:1", "../a-1:1"]
        {
            assert!(bad.parse::<Cursor>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_lines_of_the_contract() {
        let at = "2026-11-20T10:00:00.000Z";
        let id = "01a1f8a1-3531-72e3-8e2e-ea70f421d1eb";
        for line in [
            json!({"v": 1, "at": at, "kind": "task", "id": id, "rev": 2, "state": "TASK_STATE_WORKING", "owner": "fix",
                "generation": 1}),
            json!({"v": 1, "at": at, "kind": "message", "inbox": "fix", "seq": 3, "id": id, "from": "user"}),
            json!({"v": 1, "at": at, "kind": "agent", "session": "fix", "state": "working"}),
            json!({"v": 1, "at": at, "kind": "gap"}),
        ] {
            let change: Change = serde_json::from_value(line.clone()).unwrap();
            assert_eq!(serde_json::to_value(&change).unwrap(), line);
        }
    }
}
