//! Tasks that somebody can claim: what their journals say (`design/a2a-files.md`), and what a journal comes to.
//!
//! Fields are only ever added, and a reader skips what it does not know. A line whose checksum is good and that we cannot read is
//! newer, not damaged: the task is shown, and nobody of us changes it.

use super::a2a::{Artifact, EXTENSION, Message, Role, Task, TaskState, TaskStatus};
use super::ids::{Moment, Party, Project, TaskId};
use super::text::Shown;
use super::tolerant;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Map;
use std::fmt;

/// The version of the journal that this program writes.
pub const VERSION: u32 = 1;
/// The priority of a task of which nothing else is said.
pub const PRIORITY: u8 = 5;
/// The highest priority; 0 is the lowest.
pub const PRIORITY_MAX: u8 = 9;
/// The most characters of a task's title.
const TITLE_MAX: usize = 80;

/// What is to be done. Never changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskSpec {
    /// The task's id, given by whoever creates it.
    pub id: TaskId,
    /// What it belongs to.
    pub context: String,
    /// The task itself.
    pub message: Message,
    /// 0 to 9; 9 is claimed first.
    #[serde(default = "priority")]
    pub priority: u8,
    /// What must be completed before it can be claimed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<TaskId>,
    /// What becomes of it when one of those cannot be completed any more.
    #[serde(default)]
    pub on_failed_dependency: OnFailed,
    /// The role of whoever may claim it; anybody if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
}

const fn priority() -> u8 {
    PRIORITY
}

impl TaskSpec {
    /// A task of one text that depends on nothing.
    pub fn text(id: TaskId, context: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            id,
            context: context.into(),
            message: Message::text(id.to_string(), Role::User, text),
            priority: PRIORITY,
            depends_on: Vec::new(),
            on_failed_dependency: OnFailed::default(),
            role: None,
        }
    }

    /// The first line of the task that says anything, cut to a length for lists.
    pub fn title(&self) -> String {
        let text = self.message.plain();
        let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        if line.chars().count() <= TITLE_MAX {
            return line.to_owned();
        }
        line.chars().take(TITLE_MAX - 1).chain(['…']).collect()
    }
}

/// What becomes of a task when one that it depends on failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailed {
    /// It is rejected, and so are those that depend on it.
    #[default]
    Reject,
    /// It waits, until somebody takes it back.
    Hold,
}

/// Who works on a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Holder {
    /// Its name.
    pub name: Party,
    /// The process that lives as long as it does: an agent's keeper, or a worker. Nobody's: only the lease tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// The boot that the claim was made in: with another one, its holder is gone.
    pub boot: String,
    /// How long the claim holds without being renewed.
    pub lease_ms: u64,
}

/// Why a task was taken from its holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum After {
    /// Its holder's process has ended.
    OwnerGone,
    /// Nobody renewed its lease.
    LeaseOver,
    /// The machine was started again.
    Reboot,
}

/// What a line of a task's journal says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum TaskEntry {
    /// The task exists.
    Created {
        /// What is to be done.
        spec: Box<TaskSpec>,
    },
    /// Somebody works on it.
    Claimed {
        /// Who.
        holder: Holder,
        /// One more than the claim before.
        generation: u64,
    },
    /// Its holder says where it stands.
    Told {
        /// The claim.
        generation: u64,
        /// WORKING, INPUT_REQUIRED or AUTH_REQUIRED.
        state: TaskState,
        /// What it says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<Message>,
    },
    /// Somebody says something about it.
    Said {
        /// What.
        message: Message,
    },
    /// Something came of it.
    Artifact {
        /// The claim.
        generation: u64,
        /// What; it takes the place of one with the same id.
        artifact: Artifact,
    },
    /// It is at its end.
    Ended {
        /// The last claim; 0 if there was none.
        generation: u64,
        /// A terminal state.
        state: TaskState,
        /// What is said about it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<Message>,
    },
    /// Its holder gave it back.
    Released {
        /// The claim.
        generation: u64,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// It was taken from its holder.
    Requeued {
        /// The claim.
        generation: u64,
        /// Why.
        after: After,
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

impl TaskEntry {
    /// Its tag.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Created { .. } => "created",
            Self::Claimed { .. } => "claimed",
            Self::Told { .. } => "told",
            Self::Said { .. } => "said",
            Self::Artifact { .. } => "artifact",
            Self::Ended { .. } => "ended",
            Self::Released { .. } => "released",
            Self::Requeued { .. } => "requeued",
            Self::Quarantined { .. } => "quarantined",
            Self::Unknown => "unknown",
        }
    }
}

/// A line of a task's journal.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct TaskRecord {
    /// [`VERSION`] when written by this program.
    pub v: u32,
    /// Its number, from 1.
    pub rev: u64,
    /// When it was written.
    pub at: Moment,
    /// The operation it belongs to: done once for each name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub op: Option<String>,
    /// Who says it; nobody for what follows from the death of a holder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Party>,
    /// What it says.
    #[serde(flatten)]
    pub entry: TaskEntry,
}

impl<'de> Deserialize<'de> for TaskRecord {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        /// The fields of every line.
        #[derive(Deserialize)]
        struct Line {
            v: u32,
            rev: u64,
            at: Moment,
            #[serde(default)]
            op: Option<String>,
            #[serde(default)]
            by: Option<Party>,
        }
        let (Line { v, rev, at, op, by }, entry) = tolerant::line(d)?;
        Ok(match entry {
            Some(entry) => Self { v, rev, at, op, by, entry },
            None => Self { v: v.max(VERSION + 1), rev, at, op, by, entry: TaskEntry::Unknown },
        })
    }
}

/// An operation that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// Its id.
    pub op: String,
    /// By whom.
    pub by: Option<Party>,
    /// The record that it is.
    pub rev: u64,
}

/// A task as its journal tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct Work {
    /// What is to be done.
    pub spec: TaskSpec,
    /// Who created it.
    pub created_by: Party,
    /// When it was created.
    pub created: Moment,
    /// Where it stands.
    pub state: TaskState,
    /// Since when.
    pub since: Moment,
    /// What was said with that.
    pub message: Option<Message>,
    /// When its last record was written.
    pub updated: Moment,
    /// Who works on it.
    pub holder: Option<Holder>,
    /// How often it was claimed.
    pub generation: u64,
    /// How many records there are.
    pub rev: u64,
    /// What came of it.
    pub artifacts: Vec<Artifact>,
    /// What was said before, the task itself first.
    pub history: Vec<Message>,
    /// The operations that were done.
    pub done: Vec<Done>,
    /// Why it was taken from its last holder, until somebody claims it again.
    pub requeued_after: Option<After>,
    /// Whether a later version of this program has written in its journal.
    pub newer: bool,
    /// What became of its journal, if that was damaged.
    pub damaged: Option<String>,
}

impl Work {
    /// Its holder's name.
    pub fn owner(&self) -> Option<&Party> {
        self.holder.as_ref().map(|holder| &holder.name)
    }

    /// What [`WorkMeta`] says of it.
    fn meta(&self) -> WorkMeta {
        WorkMeta {
            kind: Kind::Task,
            title: self.spec.title(),
            priority: self.spec.priority,
            depends_on: self.spec.depends_on.clone(),
            on_failed_dependency: self.spec.on_failed_dependency,
            role: self.spec.role.clone(),
            created_by: self.created_by.clone(),
            created: self.created,
            owner: self.owner().cloned(),
            generation: self.generation,
            lease_ms: self.holder.as_ref().map(|holder| holder.lease_ms),
            rev: self.rev,
            requeued_after: self.requeued_after,
        }
    }

    /// The task in the words of the protocol.
    pub fn to_task(&self) -> Task {
        Task {
            id: self.spec.id.to_string(),
            context_id: self.spec.context.clone(),
            status: TaskStatus { state: self.state, message: self.message.clone(), timestamp: self.since },
            artifacts: self.artifacts.clone(),
            history: self.history.clone(),
            metadata: self.meta().wrapped(),
        }
    }

    /// The same, to be written at once: nothing of it is copied.
    pub fn posted(&self) -> impl Serialize {
        Posted {
            id: self.spec.id,
            context_id: &self.spec.context,
            status: PostedStatus { state: self.state, message: self.message.as_ref(), timestamp: self.since },
            artifacts: &self.artifacts,
            history: &self.history,
            metadata: PostedMeta { ours: self.meta() },
        }
    }
}

/// A [`Task`] that borrows.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Posted<'w> {
    id: TaskId,
    context_id: &'w str,
    status: PostedStatus<'w>,
    #[serde(skip_serializing_if = "<[Artifact]>::is_empty")]
    artifacts: &'w [Artifact],
    #[serde(skip_serializing_if = "<[Message]>::is_empty")]
    history: &'w [Message],
    metadata: PostedMeta,
}

/// A [`TaskStatus`] that borrows.
#[derive(Serialize)]
struct PostedStatus<'w> {
    state: TaskState,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'w Message>,
    timestamp: Moment,
}

/// What [`WorkMeta::wrapped`] makes.
struct PostedMeta {
    ours: WorkMeta,
}

impl Serialize for PostedMeta {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map([(EXTENSION, &self.ours)])
    }
}

/// What kind of work a task is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// One that can be claimed.
    #[default]
    Task,
    /// An agent's own, told by its keeper; nobody's to claim.
    Agent,
}

/// Our part of a task's metadata, below [`EXTENSION`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkMeta {
    /// What kind of work it is.
    pub kind: Kind,
    /// Its first line.
    pub title: String,
    /// 0 to 9; 9 is claimed first.
    pub priority: u8,
    /// What must be completed before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<TaskId>,
    /// What becomes of it when one of those cannot be completed any more.
    pub on_failed_dependency: OnFailed,
    /// The role of whoever may claim it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Who created it.
    pub created_by: Party,
    /// When it was created.
    pub created: Moment,
    /// Who works on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Party>,
    /// How often it was claimed: the fence around whatever its holder says.
    pub generation: u64,
    /// How long the claim holds without being renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_ms: Option<u64>,
    /// How many changes there were.
    pub rev: u64,
    /// Why it was taken from its last holder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requeued_after: Option<After>,
}

impl WorkMeta {
    /// The metadata of a task that holds this.
    pub fn wrapped(&self) -> Map<String, serde_json::Value> {
        // A shape of plain fields always has a JSON form.
        let ours = serde_json::to_value(self).unwrap_or_default();
        Map::from_iter([(EXTENSION.to_owned(), ours)])
    }

    /// What a task's metadata say of ours, if anything.
    pub fn of(task: &Task) -> Option<Self> {
        Self::deserialize(task.metadata.get(EXTENSION)?).ok()
    }
}

/// A change of a task, for whoever is told of changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskChange {
    /// The repository.
    pub project: Project,
    /// The task.
    pub task: TaskId,
    /// What it belongs to.
    pub context: String,
    /// The number of the change; `ready` comes with that of the change before.
    pub rev: u64,
    /// When.
    pub at: Moment,
    /// The tag of the entry, or `ready`: what it waited for is completed.
    pub what: String,
    /// Where the task stands now.
    pub state: TaskState,
    /// Who works on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Party>,
    /// How often it was claimed.
    pub generation: u64,
    /// Its first line.
    pub title: String,
}

impl TaskChange {
    /// That `work` has come to where it is, by `what`.
    pub fn of(project: &Project, work: &Work, what: &str) -> Self {
        Self {
            project: project.clone(),
            task: work.spec.id,
            context: work.spec.context.clone(),
            rev: work.rev,
            at: work.updated,
            what: what.to_owned(),
            state: work.state,
            owner: work.owner().cloned(),
            generation: work.generation,
            title: work.spec.title(),
        }
    }
}

impl fmt::Display for TaskChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.task, self.what, self.state, Shown(&self.title))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ID: &str = "01a1f8a1-3531-72e3-8e2e-ea70f421d1eb";

    fn read(text: &str) -> serde_json::Result<TaskRecord> {
        serde_json::from_str(text)
    }

    #[test]
    fn a_line_is_what_the_contract_says() {
        let at = "2026-11-20T10:00:00.000Z";
        for line in [
            json!({"v": 1, "rev": 1, "at": at, "op": "o", "by": "user", "entry": "created", "spec": {
                "id": ID, "context": "c", "priority": 5, "on_failed_dependency": "hold", "depends_on": [ID], "role": "r",
                "message": {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "do it"}]}}}),
            json!({"v": 1, "rev": 2, "at": at, "by": "w", "entry": "claimed", "generation": 1,
                "holder": {"name": "w", "pid": 7, "boot": "b", "lease_ms": 60000}}),
            json!({"v": 1, "rev": 3, "at": at, "by": "w", "entry": "told", "generation": 1, "state": "TASK_STATE_INPUT_REQUIRED"}),
            json!({"v": 1, "rev": 4, "at": at, "entry": "requeued", "generation": 1, "after": "owner_gone"}),
            json!({"v": 1, "rev": 5, "at": at, "by": "user", "entry": "ended", "generation": 1, "state": "TASK_STATE_CANCELED"}),
        ] {
            let record = read(&line.to_string()).unwrap();
            assert_eq!(serde_json::to_value(&record).unwrap(), line);
            assert_eq!(record.entry.word(), line["entry"]);
        }
    }

    #[test]
    fn what_we_do_not_know_is_newer_and_what_nobody_writes_is_damage() {
        for text in [
            r#"{"v":1,"rev":2,"at":"2026-11-20T10:00:00Z","entry":"danced"}"#,
            r#"{"v":2,"rev":2,"at":"2026-11-20T10:00:00Z","entry":"claimed","holder":"all","generation":1}"#,
        ] {
            let line = read(text).unwrap();
            assert_eq!((line.v, line.entry), (2, TaskEntry::Unknown), "{text}");
        }
        let later =
            r#"{"v":2,"rev":2,"at":"2026-11-20T10:00:00Z","entry":"released","generation":1,"mood":[1]}"#;
        assert!(matches!(read(later).unwrap().entry, TaskEntry::Released { generation: 1, why: None }));
        for text in [r#""text""#, "{}", r#"{"v":1,"rev":1,"at":"2026-11-20T10:00:00Z"}"#] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_title_is_one_line_of_bounded_length() {
        let titled = |text: &str| TaskSpec::text(TaskId(uuid::Uuid::nil()), "c", text).title();
        assert_eq!(titled("\n  fix it \n and more"), "fix it");
        assert_eq!(titled(""), "");
        assert_eq!(titled(&"é".repeat(200)).chars().count(), TITLE_MAX);
    }
}
