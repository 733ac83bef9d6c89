//! Who calls: a person, or an agent that shows the token its keeper gave it.
//!
//! Each keeper makes a token of its own and puts it into the environment of its attempts. So a process that an earlier
//! attempt left somewhere, or that made up a name, is told apart from the agent at work. This is no sandbox: the processes of
//! one user can read each other's files, and whoever takes the variables out of its environment is a person to us.

use super::names::{self, Named};
use super::{Error, Result, look, record};
use crate::model::ids::{ContextId, Party, RoleName, Session};
use crate::model::places::{Places, Record};
use crate::tools::lock::{self, Held};
use crate::tools::{clock, file};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

/// The variable that every process of an attempt has in its environment, with the token of its keeper.
pub const TOKEN: &str = "AI_ORCH_TOKEN";
/// The variable that every process of an attempt has in its environment, with the name of its agent.
pub const SESSION: &str = "AI_ORCH_SESSION";
/// The variables that tell who an agent is, for what passes no others on.
pub const VARIABLES: [&str; 3] = [look::AGENT, SESSION, TOKEN];

/// How many random bytes a token is made of.
const LENGTH: u64 = 32;

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// A person, or a program that no agent started.
    Person,
    /// An agent at work.
    Agent(Box<Me>),
}

/// An agent at work, as it knows itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Me {
    /// Its name and record.
    pub named: Named,
    /// What it is there for.
    pub role: Option<RoleName>,
    /// What it belongs to.
    pub context: ContextId,
    /// The process that keeps it, if its lock tells.
    pub keeper: Option<i32>,
}

impl Who {
    /// The name that messages and tasks know it by.
    pub fn party(&self) -> Party {
        match self {
            Self::Person => Party::User,
            Self::Agent(me) => Party::Worker(me.named.session.clone()),
        }
    }
}

/// Makes the token of a keeper that begins, in place of that of any keeper before it.
pub fn issue(record: &Record) -> Result<String> {
    let (bytes, _) = file::read_at_most(Path::new("/dev/urandom"), LENGTH)?;
    let token = bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    });
    file::post(&record.token(), token.as_bytes())?;
    Ok(token)
}

/// Takes the token back: nobody is the agent any more.
pub fn revoke(record: &Record) -> Result<()> {
    file::remove(&record.token())?;
    Ok(())
}

/// Who has the environment that `variable` reads.
///
/// # Errors
/// [`Error::NotYou`] if it says to be an agent and is not, or not any more; that is on record with the agent if there is one.
pub fn who(places: &Places, variable: impl Fn(&str) -> Option<String>) -> Result<Who> {
    let (agent, token) = (variable(look::AGENT), variable(TOKEN));
    let Some(id) = agent else {
        return match token {
            None => Ok(Who::Person),
            Some(_) => Err(not_you("AI_ORCH_TOKEN is set, and AI_ORCH_AGENT is not")),
        };
    };
    let Some(named) = find(places, &id, variable(SESSION).as_deref())? else {
        return Err(not_you("there is no agent with the id that AI_ORCH_AGENT says"));
    };
    let refuse = |why: &str| {
        refused(&named.record, why);
        Err(not_you(&format!("{}: {why}", named.session)))
    };
    let Some(token) = token else { return refuse("AI_ORCH_TOKEN is not set") };
    let known = file::read(&named.record.token())?;
    if known.as_deref() != Some(token.as_bytes()) {
        return refuse("AI_ORCH_TOKEN is not the token that its keeper gave out");
    }
    let Some(Held::Yes(keeper)) = lock::probe(&named.record.keeper_lock())? else {
        return refuse("its keeper is gone");
    };
    let Some(agent) = record::load(&named.record)? else { return refuse("it is not on record") };
    let (role, context) = (agent.spec.role.clone(), agent.spec.context());
    Ok(Who::Agent(Box::new(Me { named, role, context, keeper })))
}

/// The agent with this id: by its name where that is right, because looking through all of them takes longer.
fn find(places: &Places, id: &str, session: Option<&str>) -> Result<Option<Named>> {
    let is_it = |named: &Named| named.id.to_string() == id;
    let session: Option<Session> = session.and_then(|name| name.parse().ok());
    if let Some(session) = session
        && let Some(named) = names::find(places, &session)?.filter(is_it)
    {
        return Ok(Some(named));
    }
    Ok(names::all(places)?.into_iter().find(is_it))
}

fn not_you(why: &str) -> Error {
    Error::NotYou { why: why.to_owned() }
}

/// Puts on record, with the agent, that something was refused in its name.
pub fn refused(record: &Record, what: &str) {
    tracing::warn!(record = %record.0.display(), what, "refused");
    let pid = std::process::id();
    let line = format!("{} process {pid}: {what}\n", clock::now());
    // Refusing does not depend on the log.
    let written = file::append(&record.refusals()).map(|mut log| log.write_all(line.as_bytes()));
    if !matches!(written, Ok(Ok(()))) {
        tracing::warn!("the refusal could not be put on record");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::entry::{self, Entry};
    use crate::model::ids::{AgentId, Project};

    /// An agent on record, whose keeper is this test as long as the lock is held.
    fn kept(places: &Places) -> (Named, lock::Lock) {
        let mut created: entry::Record =
            serde_json::from_str(include_str!("../../tests/samples/created.json")).unwrap();
        let Entry::Created { spec, .. } = &mut created.entry else { panic!("it is a creation") };
        spec.role = Some("reviewer".parse().unwrap());
        let (session, project, id): (Session, Project, AgentId) =
            (spec.session.clone(), spec.project.clone(), spec.id);
        let record = places.record(&project, id);
        record::Pen::begin(&record, created.entry).unwrap();
        assert!(names::reserve(places, &session, &project, id).unwrap());
        let lock = record::take(&record).unwrap();
        (names::find(places, &session).unwrap().unwrap(), lock)
    }

    #[test]
    fn only_the_token_of_the_keeper_at_work_makes_an_agent() {
        let dir = tempfile::tempdir().unwrap();
        let place = |name: &str| dir.path().join(name);
        let places = Places {
            root: place("root"),
            state: place("state"),
            data: place("data"),
            config: place("config"),
        };
        let (named, lock) = kept(&places);
        let id = named.id.to_string();
        let old = issue(&named.record).unwrap();
        let token = issue(&named.record).unwrap();
        assert!(token.len() == 64 && token != old);
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(named.record.token()).unwrap());
        assert_eq!(mode & 0o777, 0o600);
        let ask = |given: &[(&str, &str)]| {
            who(&places, |name| given.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
        };
        assert_eq!(ask(&[]).unwrap(), Who::Person);
        assert_eq!(ask(&[(SESSION, "fix")]).unwrap(), Who::Person, "a name alone says nothing");
        for session in [Some("fix"), Some("renamed"), None] {
            let mut given = vec![(look::AGENT, id.as_str()), (TOKEN, token.as_str())];
            given.extend(session.map(|s| (SESSION, s)));
            let Who::Agent(me) = ask(&given).unwrap() else { panic!("{session:?}") };
            assert_eq!((me.named.session.as_str(), me.role.unwrap().as_str()), ("fix", "reviewer"));
            assert_eq!(
                (me.context.as_str(), me.keeper),
                (id.as_str(), i32::try_from(std::process::id()).ok())
            );
        }
        let nobody = "01a1f8fa-ff76-76ef-a94a-000000000000";
        for (given, why) in [
            (vec![(TOKEN, token.as_str())], "AI_ORCH_AGENT is not"),
            (vec![(look::AGENT, nobody), (TOKEN, token.as_str())], "no agent with the id"),
            (vec![(look::AGENT, id.as_str())], "AI_ORCH_TOKEN is not set"),
            (vec![(look::AGENT, id.as_str()), (TOKEN, old.as_str())], "not the token"),
            (vec![(look::AGENT, id.as_str()), (TOKEN, "")], "not the token"),
        ] {
            let error = ask(&given).unwrap_err();
            assert_eq!(error.code(), "not_you");
            assert!(error.to_string().contains(why), "{error}");
        }
        let logged = std::fs::read_to_string(named.record.refusals()).unwrap();
        assert_eq!(logged.lines().count(), 3, "{logged}");
        let good = [(look::AGENT, id.as_str()), (TOKEN, token.as_str())];
        drop(lock);
        assert!(ask(&good).unwrap_err().to_string().contains("its keeper is gone"));
        revoke(&named.record).unwrap();
        assert_eq!(ask(&good).unwrap_err().code(), "not_you");
    }
}
