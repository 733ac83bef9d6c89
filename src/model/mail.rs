//! Mail between agents, other workers and the person: what is on record of an inbox, and what somebody is told about it.
//!
//! A record is `{"v":1,"seq":N,"at":…,"entry":…,…}`; `seq` grows with each record of an inbox and is never used again. A message's
//! own `seq` is that of the record that delivered it. Fields are only added; what a later version says is read as far
//! as it is understood.

use super::a2a::Message;
use super::ids::{AgentId, Moment, Party, ProcessId, Project, path};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use uuid::Uuid;

/// The version of every shape in this file.
pub const VERSION: u32 = 1;

/// The id of a message in an inbox. Made from who sends what to whom, so that sending it twice gives it twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MailId(pub Uuid);

impl fmt::Display for MailId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for MailId {
    type Err = uuid::Error;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        s.parse().map(Self)
    }
}

impl JsonSchema for MailId {
    fn schema_name() -> Cow<'static, str> {
        "MailId".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "format": "uuid"})
    }
}

/// Which of two messages is read first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// When there is time.
    Low,
    /// In its turn.
    #[default]
    Normal,
    /// Before all others.
    High,
}

impl Priority {
    /// Every priority.
    pub const ALL: [Self; 3] = [Self::Low, Self::Normal, Self::High];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How much what a message says is worth: a person may tell an agent what to do, another agent only tells something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// The person said it.
    Person,
    /// A program said it: data for whoever reads it.
    Agent,
}

/// Whom a message was sent to, where that was not one reader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// Everybody of a role.
    Role(String),
    /// Everybody in a context.
    Context(String),
}

/// A message on its way: what we say about it, and what its sender says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Envelope {
    /// Its id in the inbox.
    pub id: MailId,
    /// Who sent it.
    pub from: Party,
    /// Who gets it.
    pub to: Party,
    /// The role or context that it was sent to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<Via>,
    /// How much it is worth.
    pub trust: Trust,
    /// The conversation that it belongs to; the first message of one gives it.
    #[schemars(with = "String")]
    pub thread: Uuid,
    /// The message that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<MailId>,
    /// How many messages of agents came before it in its thread, one answering the other.
    #[serde(default)]
    pub hops: u32,
    /// Which is read first.
    #[serde(default)]
    pub priority: Priority,
    /// Its sender wants to know that it was read.
    #[serde(default)]
    pub ack_required: bool,
    /// What is said.
    pub message: Message,
    /// When it was sent.
    pub at: Moment,
}

/// How a message was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// In so many words.
    Said,
    /// By the reader's next call, which proves that it got the answer before.
    NextCall,
    /// A person saw it.
    Shown,
}

/// What a record of an inbox says.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum MailEntry {
    /// A message came. One whose id came before says nothing.
    Delivered {
        /// The message.
        envelope: Box<Envelope>,
    },
    /// Messages were handed to a reader.
    Taken {
        /// Which.
        ids: Vec<MailId>,
        /// The process that reads.
        by: ProcessId,
        /// How often they were handed out by now; absent: once more than before.
        #[serde(skip_serializing_if = "Option::is_none")]
        attempt: Option<u32>,
    },
    /// Messages were read.
    Acked {
        /// Which.
        ids: Vec<MailId>,
        /// How we know.
        how: How,
    },
    /// Nobody will read these. Their reader may come back all the same.
    Dead {
        /// Which.
        ids: Vec<MailId>,
        /// Why.
        reason: String,
    },
    /// The one that had this name is gone. What it did not acknowledge is nobody's, and whoever has the name next is another one, who
    /// gets none of it and knows nothing of what this one got.
    Closed {
        /// The agent, if it is one: it may come back for what was not acknowledged.
        #[serde(skip_serializing_if = "Option::is_none")]
        of: Option<AgentId>,
        /// Why.
        reason: String,
    },
    /// Messages of one that was gone are delivered anew, where it reads now, or it is gone for good.
    Moved {
        /// Which.
        ids: Vec<MailId>,
    },
    /// Messages that were here and acknowledged: to know them again.
    Kept {
        /// Which, oldest first.
        ids: Vec<MailId>,
    },
    /// The journal was damaged: what of it could be read stands before this, what was there is kept beside it.
    Quarantined {
        /// What was wrong with it.
        why: String,
        /// Where it is.
        #[serde(with = "path")]
        #[schemars(with = "path::Form")]
        kept: PathBuf,
    },
    /// An entry of a later version.
    #[schemars(skip)]
    Unknown,
}

/// One line of an inbox. Read with tolerance for what later versions write.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct MailRecord {
    /// Always [`VERSION`] when written by this program.
    pub v: u32,
    /// Grows with each record.
    pub seq: u64,
    /// When it was written.
    pub at: Moment,
    /// What it says.
    #[serde(flatten)]
    pub entry: MailEntry,
}

/// A line as it is read: all that any entry has. One pass, because each send and each read goes through here.
#[derive(Deserialize)]
struct Line {
    v: u32,
    seq: u64,
    at: Moment,
    entry: String,
    envelope: Option<Box<Envelope>>,
    ids: Option<Vec<MailId>>,
    by: Option<ProcessId>,
    attempt: Option<u32>,
    how: Option<How>,
    reason: Option<String>,
    of: Option<AgentId>,
    why: Option<String>,
    kept: Option<path::Form>,
}

impl Line {
    /// The entry; `None` if it lacks something.
    fn entry(self) -> Option<MailEntry> {
        Some(match self.entry.as_str() {
            "delivered" => MailEntry::Delivered { envelope: self.envelope? },
            "taken" => MailEntry::Taken { ids: self.ids?, by: self.by?, attempt: self.attempt },
            "acked" => MailEntry::Acked { ids: self.ids?, how: self.how? },
            "dead" => MailEntry::Dead { ids: self.ids?, reason: self.reason? },
            "closed" => MailEntry::Closed { of: self.of, reason: self.reason? },
            "moved" => MailEntry::Moved { ids: self.ids? },
            "kept" => MailEntry::Kept { ids: self.ids? },
            "quarantined" => MailEntry::Quarantined { why: self.why?, kept: self.kept?.into() },
            _ => return None,
        })
    }
}

/// What a line of any version has.
#[derive(Deserialize)]
struct Bare {
    v: u32,
    seq: u64,
    at: Moment,
}

impl<'de> Deserialize<'de> for MailRecord {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = <&'de serde_json::value::RawValue>::deserialize(d)?.get();
        tolerant(text).map_err(serde::de::Error::custom)
    }
}

/// The record that `text` is. What is not understood is called unknown, and the record counts as newer.
fn tolerant(text: &str) -> serde_json::Result<MailRecord> {
    if let Ok(line) = serde_json::from_str::<Line>(text) {
        let (v, seq, at) = (line.v, line.seq, line.at);
        return Ok(match line.entry() {
            Some(entry) => MailRecord { v, seq, at, entry },
            None => MailRecord { v: v.max(VERSION + 1), seq, at, entry: MailEntry::Unknown },
        });
    }
    let mut value: Value = serde_json::from_str(text)?;
    // A message must not be lost for a word about it that we do not know.
    for (pointer, known) in [
        ("/envelope/priority", &["low", "normal", "high"][..]),
        ("/envelope/trust", &["person", "agent"]),
        ("/envelope/message/role", &["ROLE_USER", "ROLE_AGENT"]),
        ("/how", &["said", "next_call", "shown"]),
    ] {
        let promises_nothing = if pointer == "/envelope/priority" { known.get(1) } else { known.last() };
        if let (Some(word), Some(plain)) = (value.pointer_mut(pointer), promises_nothing)
            && !word.as_str().is_some_and(|w| known.contains(&w))
        {
            *word = Value::from(*plain);
        }
    }
    if let Some(via) = value.pointer_mut("/envelope/via")
        && Via::deserialize(&*via).is_err()
    {
        *via = Value::Null;
    }
    let bare = Bare::deserialize(&value)?;
    let entry = Line::deserialize(value).ok().and_then(Line::entry).unwrap_or(MailEntry::Unknown);
    Ok(MailRecord { v: bare.v.max(VERSION + 1), seq: bare.seq, at: bare.at, entry })
}

/// A message that is not acknowledged.
#[derive(Debug, Clone, PartialEq)]
pub struct Letter {
    /// Its place in the inbox.
    pub seq: u64,
    /// The message.
    pub envelope: Box<Envelope>,
    /// How often it was handed to a reader.
    pub attempts: u32,
    /// The process that it was handed to last.
    pub taken: Option<ProcessId>,
    /// Why nobody will read it, since when; whoever reads it all the same lifts that.
    pub dead: Option<(String, Moment)>,
    /// What it takes on disk.
    pub bytes: u64,
}

/// What one that is gone did not acknowledge.
#[derive(Debug, Clone, PartialEq)]
pub struct Closed {
    /// The place in the inbox of the record that says so.
    pub seq: u64,
    /// Since when.
    pub at: Moment,
    /// Who it was, if an agent.
    pub of: Option<AgentId>,
    /// Why it is gone.
    pub reason: String,
    /// Its messages, in the order in which they came.
    pub letters: Vec<Letter>,
}

/// An inbox, as its records tell it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Inbox {
    /// What is not acknowledged, by `seq`.
    pub letters: BTreeMap<u64, Letter>,
    /// Where each of them is.
    pub places: HashMap<MailId, u64>,
    /// What those did not acknowledge that had the name before, oldest first.
    pub closed: Vec<Closed>,
    /// What is acknowledged, oldest first, as far as it is kept.
    pub known: VecDeque<MailId>,
    /// The same, to find one.
    pub known_set: HashSet<MailId>,
    /// How far each thread has come: the hops of the last message of it.
    pub threads: HashMap<Uuid, u32>,
    /// The thread of each message.
    pub origins: HashMap<MailId, Uuid>,
    /// The last `seq`.
    pub seq: u64,
    /// What on disk is of no use any more.
    pub spent: u64,
    /// Something in it was written by a later version.
    pub newer: bool,
}

/// What a sender is told about one reader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Receipt {
    /// The id of the message in that inbox.
    pub id: MailId,
    /// Who gets it.
    pub to: Party,
    /// Its place in the inbox; absent for one that was read so long ago that its place is forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Whether it survives a power cut from now on.
    pub durable: bool,
    /// Whether it was there already.
    pub duplicate: bool,
}

/// What somebody wants to send.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// Who sends it. Whoever makes a draft has made sure of that.
    pub from: Party,
    /// The project of the sender, where it is not that of the readers.
    pub home: Option<Project>,
    /// Who gets it.
    pub to: Vec<Party>,
    /// The role or context that these were found by.
    pub via: Option<Via>,
    /// The conversation that it belongs to; none: that of what it answers, else a new one.
    pub thread: Option<Uuid>,
    /// The message in the sender's inbox that it answers.
    pub reply_to: Option<MailId>,
    /// Which is read first.
    pub priority: Priority,
    /// The sender wants to know that it was read.
    pub ack_required: bool,
    /// Wait until it survives a power cut.
    pub durable: bool,
    /// What is said.
    pub message: Message,
}

impl Draft {
    /// `message` for one reader.
    pub fn new(from: Party, to: Party, message: Message) -> Self {
        Self {
            from,
            home: None,
            to: vec![to],
            via: None,
            thread: None,
            reply_to: None,
            priority: Priority::Normal,
            ack_required: false,
            durable: false,
            message,
        }
    }
}

/// A message as it is handed to a reader.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Given {
    /// Its place in the inbox.
    pub seq: u64,
    /// Which time it is handed out, from 1.
    pub attempt: u32,
    /// The message.
    #[serde(flatten)]
    pub envelope: Envelope,
}

/// A message that nobody will read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeadLetter {
    /// Why not.
    pub reason: String,
    /// How long it has waited, in milliseconds.
    pub age_ms: u64,
    /// Its place in the inbox.
    pub seq: u64,
    /// The message.
    #[serde(flatten)]
    pub envelope: Envelope,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const AT: &str = "2026-11-20T10:00:00.000Z";
    const ID: &str = "01a1f8a1-3531-72e3-8e2e-ea70f421d1eb";

    fn read(value: &Value) -> serde_json::Result<MailRecord> {
        serde_json::from_str(&value.to_string())
    }

    fn delivered() -> Value {
        json!({"v": 1, "seq": 3, "at": AT, "entry": "delivered", "envelope": {
            "id": ID, "from": "user", "to": "fix", "via": {"role": "reviewer"}, "trust": "person", "thread": ID,
            "hops": 2, "priority": "high", "ack_required": true, "at": AT,
            "message": {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "hi\n"}]}}})
    }

    #[test]
    fn what_is_written_is_read_back() {
        let process = json!({"pid": 1, "start": 2, "boot": "b"});
        for value in [
            delivered(),
            json!({"v": 1, "seq": 4, "at": AT, "entry": "taken", "ids": [ID], "by": process}),
            json!({"v": 1, "seq": 4, "at": AT, "entry": "taken", "ids": [ID], "by": process, "attempt": 3}),
            json!({"v": 1, "seq": 5, "at": AT, "entry": "acked", "ids": [ID, ID], "how": "next_call"}),
            json!({"v": 1, "seq": 6, "at": AT, "entry": "dead", "ids": [ID], "reason": "done"}),
            json!({"v": 1, "seq": 7, "at": AT, "entry": "kept", "ids": []}),
            json!({"v": 1, "seq": 7, "at": AT, "entry": "closed", "of": ID, "reason": "cleaned"}),
            json!({"v": 1, "seq": 7, "at": AT, "entry": "closed", "reason": "gone"}),
            json!({"v": 1, "seq": 7, "at": AT, "entry": "moved", "ids": [ID]}),
            json!({"v": 1, "seq": 8, "at": AT, "entry": "quarantined", "why": "x", "kept": "/y"}),
        ] {
            let record = read(&value).unwrap();
            assert_ne!(record.entry, MailEntry::Unknown, "{value}");
            assert_eq!(serde_json::to_value(&record).unwrap(), value);
        }
    }

    #[test]
    fn what_a_later_version_says_is_newer_and_loses_no_message() {
        let mut value = delivered();
        value["mood"] = json!([1]);
        assert_eq!(read(&value).unwrap().v, 1);
        value["envelope"]["priority"] = json!("urgent");
        value["envelope"]["via"] = json!({"planet": "earth"});
        value["envelope"]["trust"] = json!("oracle");
        let record = read(&value).unwrap();
        assert!(record.v > VERSION);
        let MailEntry::Delivered { envelope } = record.entry else { panic!("{record:?}") };
        assert_eq!((envelope.priority, envelope.via, envelope.trust), (Priority::Normal, None, Trust::Agent));
        for value in [
            json!({"v": 1, "seq": 3, "at": AT, "entry": "danced"}),
            json!({"v": 1, "seq": 3, "at": AT, "entry": "taken", "ids": "all"}),
        ] {
            let record = read(&value).unwrap();
            assert_eq!((record.entry, record.v, record.seq), (MailEntry::Unknown, 2, 3));
        }
        for value in [json!("text"), json!({}), json!({"v": 1, "at": AT, "entry": "kept"})] {
            assert!(read(&value).is_err(), "{value}");
        }
    }
}
