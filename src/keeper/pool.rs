//! The next worktree is made ready while the agent works: by a process of its own, out of everybody's way, that ends with the attempt.

use crate::a2a::record;
use crate::git::pool_make::Outcome;
use crate::life::{self, House};
use crate::model::entry::Filled;
use crate::model::places::Record;
use crate::tools::{clock, crash, process};
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::Duration;
use tokio::process::Command;

/// How long the agent, and others that are started together with it, have the machine for themselves.
const AFTER: Duration = Duration::from_secs(1);
/// How long it may take, where it hardly ever gets a turn.
const LIMIT: Duration = Duration::from_mins(30);

/// Has the next worktree made ready, soon, if the one that was just filled shows that this is possible. It ends with this keeper at the
/// latest; whatever becomes of it, nobody waits for it.
pub(super) fn soon(house: &House, record: &Record, filled: Option<&Filled>) {
    // Where git has to write files it would have to write these.
    if house.settings.pool.number == 0
        || !matches!(filled, Some(Filled::Copied { .. } | Filled::Pooled { .. }))
    {
        return;
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "it leads a session of its own, which a helper program of ours cannot, and ends when nobody waits for it"
    )]
    let mut make = Command::new(&house.settings.program);
    make.arg("__pool")
        .arg(&record.0)
        .env_clear()
        .envs(house.settings.environment.iter())
        .envs(crash::handed_on())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    tokio::spawn(async move {
        clock::at(clock::tick().checked_add(AFTER)).await;
        match clock::within(LIMIT, make.output()).await {
            // By a signal it ends with the attempt, or when it is killed with its agent.
            Some(Ok(done)) if !done.stderr.is_empty() => {
                let why = String::from_utf8_lossy(&done.stderr);
                tracing::info!(why = why.trim(), "no worktree was made ready");
            }
            Some(Err(error)) => tracing::warn!(%error, "no worktree was made ready"),
            _ => {}
        }
    });
}

/// Runs `__pool <record>`: makes ready what the next agent will want that is started where this one was.
#[expect(clippy::print_stderr, reason = "standard error is the pipe to the keeper, which logs it")]
pub fn make_ready(record: &Path) -> ExitCode {
    let record = Record(record.to_owned());
    let made = || -> life::Result<Option<String>> {
        process::stand_back();
        process::end_with_parent();
        let house = House::load()?;
        let agent = record::load(&record)?.filter(|agent| agent.conclusion.is_none());
        Ok(match agent.map(|agent| life::pool::make(&house, &agent)).transpose()? {
            Some(Outcome::None(why)) => Some(why),
            Some(Outcome::Made(_) | Outcome::Busy) | None => None,
        })
    };
    match made() {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(why)) => {
            eprintln!("{why}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
