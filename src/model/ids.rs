//! Names and ids as parsed types: what holds one is known to be well formed.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// The most characters a session name may have.
pub const SESSION_MAX: usize = 50;

/// The name of an agent's tmux session, and the name people type: `[a-z0-9][a-z0-9-]{0,49}`.
///
/// tmux expands `#(...)` in names and cuts targets at `.` and `:`; none of those can be in one of these.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Session(String);

/// A text that is no session name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{}' is not a session name: 1 to {SESSION_MAX} of a-z, 0-9 and -, not beginning with -", super::text::Shown(.0))]
pub struct BadSession(pub String);

impl Session {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// This name with `-<number>` behind it, shortened where needed so that it stays a session name.
    #[must_use]
    pub fn numbered(&self, number: u32) -> Self {
        let tail = format!("-{number}");
        let mut head = self.0.clone();
        head.truncate(SESSION_MAX - tail.len());
        Self(format!("{}{tail}", head.trim_end_matches('-')))
    }
}

impl FromStr for Session {
    type Err = BadSession;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let fits = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        if s.is_empty() || s.len() > SESSION_MAX || s.starts_with('-') || !s.bytes().all(fits) {
            return Err(BadSession(s.to_owned()));
        }
        Ok(Self(s.to_owned()))
    }
}

impl TryFrom<String> for Session {
    type Error = BadSession;

    fn try_from(s: String) -> Result<Self, Self::Error> {
        s.parse()
    }
}

impl From<Session> for String {
    fn from(s: Session) -> Self {
        s.0
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl JsonSchema for Session {
    fn schema_name() -> Cow<'static, str> {
        "Session".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,49}$"})
    }
}

/// The directory name of a repository in our state: a slug and eight hex digits of its git common directory.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Project(pub String);

impl fmt::Display for Project {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The id of an agent: a UUIDv7, so that ids sort by the time of creation. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AgentId(pub Uuid);

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl JsonSchema for AgentId {
    fn schema_name() -> Cow<'static, str> {
        "AgentId".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "format": "uuid"})
    }
}

/// The id of a task: a UUID. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskId(pub Uuid);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for TaskId {
    type Err = uuid::Error;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        s.parse().map(Self)
    }
}

impl JsonSchema for TaskId {
    fn schema_name() -> Cow<'static, str> {
        "TaskId".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "format": "uuid"})
    }
}

/// What an agent is there for, among others of the same kind: written like a session name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RoleName(String);

/// A text that is no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{}' is not a role: 1 to {SESSION_MAX} of a-z, 0-9 and -, not beginning with -", super::text::Shown(.0))]
pub struct BadRole(pub String);

impl RoleName {
    /// The role as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for RoleName {
    type Err = BadRole;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s.parse::<Session>() {
            Ok(_) => Ok(Self(s.to_owned())),
            Err(_) => Err(BadRole(s.to_owned())),
        }
    }
}

impl TryFrom<String> for RoleName {
    type Error = BadRole;

    fn try_from(s: String) -> Result<Self, Self::Error> {
        s.parse()
    }
}

impl From<RoleName> for String {
    fn from(role: RoleName) -> Self {
        role.0
    }
}

impl JsonSchema for RoleName {
    fn schema_name() -> Cow<'static, str> {
        "RoleName".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,49}$"})
    }
}

/// What tasks, messages and agents belong to that have to do with each other (`contextId` of A2A): 1 to 64 letters, digits
/// and `._-`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContextId(String);

/// A text that is no context.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{}' is not a context id: 1 to {} of A-Z, a-z, 0-9 and ._-", super::text::Shown(.0), ContextId::MAX)]
pub struct BadContext(pub String);

impl ContextId {
    /// The most characters it may have.
    const MAX: usize = 64;

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<AgentId> for ContextId {
    fn from(id: AgentId) -> Self {
        Self(id.to_string())
    }
}

impl fmt::Display for ContextId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for ContextId {
    type Err = BadContext;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let fits = |c: u8| c.is_ascii_alphanumeric() || b"._-".contains(&c);
        if s.is_empty() || s.len() > Self::MAX || !s.bytes().all(fits) {
            return Err(BadContext(s.to_owned()));
        }
        Ok(Self(s.to_owned()))
    }
}

impl TryFrom<String> for ContextId {
    type Error = BadContext;

    fn try_from(s: String) -> Result<Self, Self::Error> {
        s.parse()
    }
}

impl From<ContextId> for String {
    fn from(context: ContextId) -> Self {
        context.0
    }
}

impl JsonSchema for ContextId {
    fn schema_name() -> Cow<'static, str> {
        "ContextId".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"})
    }
}

/// Somebody who sends, reads, creates or claims: the person, or an agent or other worker by its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Party {
    /// The person at the keyboard, and whatever they run.
    User,
    /// An agent, by its session name, or another worker.
    Worker(Session),
}

/// The name of the person, which no session can have.
pub const USER: &str = "user";

impl Party {
    /// The name.
    pub fn as_str(&self) -> &str {
        match self {
            Self::User => USER,
            Self::Worker(name) => name.as_str(),
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Party {
    type Err = BadSession;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        if s == USER { Ok(Self::User) } else { s.parse().map(Self::Worker) }
    }
}

impl TryFrom<String> for Party {
    type Error = BadSession;

    fn try_from(s: String) -> Result<Self, Self::Error> {
        s.parse()
    }
}

impl From<Party> for String {
    fn from(party: Party) -> Self {
        party.as_str().to_owned()
    }
}

impl JsonSchema for Party {
    fn schema_name() -> Cow<'static, str> {
        "Party".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,49}$"})
    }
}

/// A process that cannot be mistaken for another: pids are used again, but never with the same start time in the same
/// boot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct ProcessId {
    /// The process id.
    pub pid: i32,
    /// Its start time, in clock ticks since boot (field 22 of `/proc/<pid>/stat`).
    pub start: u64,
    /// The boot it belongs to (`/proc/sys/kernel/random/boot_id`).
    pub boot: String,
}

/// A moment, UTC, printed as RFC 3339 with milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub Timestamp);

impl Moment {
    /// Milliseconds since the Unix epoch.
    pub fn as_millis(self) -> i64 {
        self.0.as_millisecond()
    }

    /// Milliseconds from `earlier` to this moment; 0 if the clock was set back in between.
    pub fn millis_since(self, earlier: Self) -> u64 {
        u64::try_from(self.as_millis() - earlier.as_millis()).unwrap_or(0)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.0)
    }
}

impl Serialize for Moment {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Timestamp::deserialize(d).map(Self)
    }
}

impl JsonSchema for Moment {
    fn schema_name() -> Cow<'static, str> {
        "Moment".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "format": "date-time"})
    }
}

/// Paths in JSON: a string where the path is UTF-8, else the array of its bytes, so that no path is ever changed.
pub mod path {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::ffi::OsString;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    use std::path::{Path, PathBuf};

    /// A path in JSON.
    #[derive(Deserialize, schemars::JsonSchema)]
    #[serde(untagged)]
    #[schemars(rename = "Path")]
    pub enum Form {
        /// As text.
        Text(String),
        /// As bytes, where it is no text.
        Bytes(Vec<u8>),
    }

    impl From<Form> for PathBuf {
        fn from(form: Form) -> Self {
            match form {
                Form::Text(text) => text.into(),
                Form::Bytes(bytes) => OsString::from_vec(bytes).into(),
            }
        }
    }

    /// Writes a path.
    pub fn serialize<S: Serializer>(path: &Path, s: S) -> Result<S::Ok, S::Error> {
        match path.to_str() {
            Some(text) => s.serialize_str(text),
            None => path.as_os_str().as_bytes().serialize(s),
        }
    }

    /// Reads a path.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<PathBuf, D::Error> {
        Form::deserialize(d).map(PathBuf::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_safe_names_are_sessions() {
        for good in ["a", "0", "fix-login", "a-", &"x".repeat(50)] {
            assert!(good.parse::<Session>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "A", "a b", "a.b", "a:b", "#(touch x)", "é", "a\n", "=a", "$1", &"x".repeat(51)]
        {
            assert!(bad.parse::<Session>().is_err(), "{bad}");
        }
    }

    #[test]
    fn roles_and_contexts_have_a_form() {
        assert_eq!("test-writer".parse::<RoleName>().unwrap().as_str(), "test-writer");
        for bad in ["", "Tester", "a b", "-x", &"x".repeat(51)] {
            assert!(bad.parse::<RoleName>().is_err(), "{bad}");
        }
        for good in ["a", "Issue_7.b-2", &"x".repeat(64)] {
            assert_eq!(good.parse::<ContextId>().unwrap().to_string(), good);
        }
        for bad in ["", "a b", "a/b", "é", &"x".repeat(65)] {
            assert!(bad.parse::<ContextId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_path_keeps_its_bytes_in_json() {
        use std::ffi::OsString;
        use std::os::unix::ffi::OsStringExt;
        #[derive(Serialize, Deserialize, PartialEq, Debug)]
        struct Holder(#[serde(with = "path")] std::path::PathBuf);
        for raw in [&b"/tmp/plain"[..], b"/tmp/\xff\xfe", "/tmp/é \n\"".as_bytes()] {
            let holder = Holder(OsString::from_vec(raw.to_vec()).into());
            let json = serde_json::to_string(&holder).unwrap();
            assert_eq!(serde_json::from_str::<Holder>(&json).unwrap(), holder);
        }
    }

    proptest! {
        #[test]
        fn a_numbered_name_is_a_name(base in "[a-z0-9][a-z0-9-]{0,49}", number in 2u32..) {
            let name = base.parse::<Session>().unwrap().numbered(number);
            prop_assert!(name.as_str().parse::<Session>().is_ok());
            let tail = format!("-{number}");
            prop_assert!(name.as_str().ends_with(&tail));
        }
    }
}
