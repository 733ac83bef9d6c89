//! The tmux session of an agent: made with a keeper in it, and waited for until that keeper is on record.

use super::{House, Result};
use crate::a2a::record;
use crate::a2a::watch::Watch;
use crate::model::ids::Session;
use crate::model::places::Record;
use crate::model::text::Shown;
use crate::tools::{clock, file, lock, process, runtime};
use std::time::Duration;

/// How long a keeper may take to come to life on a busy machine.
const START_LIMIT: Duration = Duration::from_mins(1);
/// How long nothing may happen before looking whether there is a keeper at all.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// How much of the end of a keeper's log is told, in bytes.
const LOG_END: usize = 300;

/// The variable that tells a keeper the umask of the call that made its agent, in octal digits.
pub const UMASK: &str = "AI_ORCH_UMASK";

/// Why a session has no keeper.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The keeper did not come to life.
    #[error("the session {session} was made, but its keeper did not start within {} s", START_LIMIT.as_secs())]
    NoKeeper {
        /// The session.
        session: Session,
    },
    /// The keeper came to life and ended at once.
    #[error("the keeper of {session} ended at once: {why}")]
    KeeperEnded {
        /// The session.
        session: Session,
        /// What it left in its log.
        why: String,
    },
}

impl Error {
    /// A word that does not change, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoKeeper { .. } | Self::KeeperEnded { .. } => "keeper",
        }
    }

    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        let (Self::NoKeeper { session } | Self::KeeperEnded { session, .. }) = self;
        Some(format!("ai_orch show {session}; ai_orch doctor"))
    }
}

/// Makes the session with a keeper of `record` in it.
pub fn open(house: &House, session: &Session, record: &Record) -> Result<()> {
    let argv: Option<Vec<String>> = [house.settings.program.to_str(), Some("__keep"), record.0.to_str()]
        .into_iter()
        .map(|word| word.map(str::to_owned))
        .collect();
    let argv = argv.ok_or_else(|| crate::settings::Error::NotUtf8(record.0.clone()))?;
    let mut variables = house.settings.environment.for_session();
    // The tmux server has the umask of whoever started it; the agent's files get that of their own call.
    variables.extend(process::umask().map(|mask| (UMASK.to_owned(), format!("{mask:o}"))));
    Ok(house.tmux.new_session(session, &argv, &variables)?)
}

/// Waits until the keeper in the session is on record.
pub fn wait_for_keeper(house: &House, session: &Session, record: &Record) -> Result<()> {
    let runtime = runtime::runtime()?;
    runtime.block_on(async {
        let deadline = clock::tick() + START_LIMIT;
        let mut watch = Watch::new();
        let dirs = [record.0.clone()];
        loop {
            let agent = record::load(record)?;
            if agent.is_some_and(|a| a.keeper.is_some()) {
                return Ok(());
            }
            if clock::tick() > deadline {
                return Err(Error::NoKeeper { session: session.clone() }.into());
            }
            if clock::within(LOOK_AGAIN, watch.changed(&dirs)).await.is_none() {
                ended_at_once(house, session, record)?;
            }
        }
    })
}

/// An error if the session and with it the keeper have ended without a trace in the journal.
fn ended_at_once(house: &House, session: &Session, record: &Record) -> Result<()> {
    // Asked in this order: a keeper that starts after the first question still has its session at the second.
    let gone = house.tmux.has_session(session)? != Some(true);
    let held = matches!(lock::probe(&record.keeper_lock())?, Some(lock::Held::Yes(_)));
    if !gone || held || record::load(record)?.is_some_and(|a| a.keeper.is_some()) {
        return Ok(());
    }
    let log = file::read(&record.keeper_log()).ok().flatten().unwrap_or_default();
    let end = log.get(log.len().saturating_sub(LOG_END)..).unwrap_or_default();
    let why = match String::from_utf8_lossy(end).trim() {
        "" => "its session is gone, and it left no word".to_owned(),
        said => Shown(said.lines().last().unwrap_or_default()).to_string(),
    };
    Err(Error::KeeperEnded { session: session.clone(), why }.into())
}
