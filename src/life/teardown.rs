//! Running the command that puts away what a worktree has outside of itself (containers, databases), before the worktree is removed.
//!
//! It runs in a session of its own, without a terminal, and whatever it starts is ended with it. That it begins is on record first:
//! whoever is cut off is followed by somebody who ends what is left of it and runs it again, so such a command has to bear that.

use super::clean::Error;
use super::{House, Result, outfit};
use crate::a2a::identity;
use crate::a2a::look::AGENT;
use crate::a2a::record::Pen;
use crate::git;
use crate::model::agent::Agent;
use crate::model::entry::Entry;
use crate::model::places::Record;
use crate::model::project_file::{Teardown, TornDown};
use crate::tools::program::{self, Program};
use crate::tools::signals::{Hold, Sign};
use crate::tools::{clock, file, process};
use std::time::Duration;

/// In the environment of everything that a teardown starts.
const MARK: &str = "AI_ORCH_TEARDOWN";
/// How long what it left gets to end by itself.
const GRACE: Duration = Duration::from_secs(2);
/// How long killed processes may take to be gone.
const END_LIMIT: Duration = Duration::from_secs(20);
/// How much of the end of the output is put on record, in bytes.
const TAIL: usize = 16 << 10;
/// How much of the output is kept at all, in bytes.
const OUTPUT: usize = 8 << 20;

/// What is to be run before the worktree of the agent goes; `None` if there is nothing, or it is done, or nothing ran in the worktree.
pub(super) fn wanted(agent: &Agent) -> Option<Teardown> {
    let owed = agent.ready && agent.outfit.to_tear_down && agent.spec.place.has_own_worktree();
    agent.spec.from_file.as_deref().filter(|_| owed)?.teardown.clone()
}

/// Ends what a call that was cut off left running of a teardown.
pub(super) fn end_left(agent: &Agent) -> Result<()> {
    if agent.outfit.tearing_down {
        end(&mark(agent), false)?;
    }
    Ok(())
}

fn mark(agent: &Agent) -> String {
    format!("{MARK}={}", agent.spec.id)
}

/// Runs `teardown` in the worktree of the agent and puts its end on record. The environment is that of this call, not that which the
/// agent was started with.
///
/// # Errors
/// [`Error::Teardown`] if it did not succeed; [`Error::BrokenOff`] if a signal came for us meanwhile: then nothing of it runs any more.
pub(super) fn run(house: &House, pen: &mut Pen, record: &Record, teardown: &Teardown) -> Result<TornDown> {
    let spec = pen.agent.spec.clone();
    // What it leaves behind, however it tries, becomes a child of ours.
    rustix::process::set_child_subreaper(rustix::process::Pid::from_raw(1)).map_err(|e| process::Error {
        action: "become the reaper of what the teardown starts".into(),
        source: e.into(),
    })?;
    let children = process::descendants()?;
    // A signal ends the teardown first, and then us: nobody would know of what goes on without us.
    let hold = Hold::begin()?;
    pen.write(Entry::TearingDown)?;
    let limit = Duration::from_millis(teardown.limit_ms);
    // One pipe for both: what was printed first is read first.
    let script = format!("exec 2>&1\n{}", teardown.command);
    let mut shell = Program::new(&house.settings.program)
        .args(["__exec", "-", "/bin/sh", "-c", &script])
        .stdin("go\n")
        .leads_a_session()
        .until(&hold)
        .cwd(&spec.worktree)
        .limit(limit)
        .output_cap(OUTPUT)
        .env_clear();
    for (name, value) in house.settings.environment.for_agent().iter() {
        shell = shell.env(name, value);
    }
    for (name, value) in outfit::variables(&pen.agent) {
        shell = shell.env(name, value);
    }
    let own = [
        (identity::SESSION, spec.session.to_string()),
        (AGENT, spec.id.to_string()),
        (MARK, spec.id.to_string()),
    ];
    for (name, value) in own {
        shell = shell.env(name, value);
    }
    let began = clock::tick();
    let ended = shell.run();
    let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    // Children that we have from whoever became us are none of its.
    end(&mark(&pen.agent), children.is_empty())?;
    let broken_off = || {
        let terminated = hold.next()? == Sign::Terminate;
        Some(Error::BrokenOff { session: spec.session.clone(), terminated })
    };
    let (ok, exit, output) = match ended {
        Ok(output) => (output.status.success(), output.status.code(), output.stdout),
        Err(program::Error::TimedOut { mut stdout, .. }) => {
            stdout.extend(format!("\nended after {} s, its limit\n", limit.as_secs()).bytes());
            (false, None, stdout)
        }
        Err(program::Error::Stopped { stdout, .. }) => {
            // That it ended is not on record, so whoever cleans next runs it again.
            file::replace(&record.teardown(), &stdout)?;
            let terminated = false;
            let session = spec.session.clone();
            return Err(broken_off().unwrap_or(Error::BrokenOff { session, terminated }).into());
        }
        Err(error) => return Err(git::Error::from(error).into()),
    };
    file::replace(&record.teardown(), &output)?;
    let how = TornDown { ok, exit, ms, output: tail(&output) };
    pen.write(Entry::TornDown { how: how.clone() })?;
    if let Some(error) = broken_off() {
        return Err(error.into());
    }
    if how.ok {
        return Ok(how);
    }
    let last = how.output.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    Err(Error::Teardown { session: spec.session, exit: how.exit, last: last.to_owned() }.into())
}

/// Ends everything that has the mark, and if `children` says so everything that descends from this process.
fn end(mark: &str, children: bool) -> Result<()> {
    let found = || {
        let mut found = process::belonging(&[mark.to_owned()], None)?;
        if children {
            found.extend(process::descendants()?);
        }
        Ok(found)
    };
    let (_, gone) = process::end_all(found, GRACE, END_LIMIT)?;
    process::reap_orphans(&[]);
    if gone {
        return Ok(());
    }
    Err(super::Error::StillRunning { pids: found()?.into_iter().map(|p| p.pid).collect() })
}

fn tail(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(bytes.len().saturating_sub(TAIL)..).unwrap_or_default()).into_owned()
}
