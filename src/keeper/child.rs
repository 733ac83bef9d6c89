//! The one child a keeper has at a time: an agent CLI or the validation command.

use super::stub;
use crate::model::ids::ProcessId;
use crate::settings::environment::Environment;
use crate::tools::{crash, process};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child as TokioChild, ChildStderr, ChildStdin, ChildStdout, Command};

/// What to start.
#[derive(Debug)]
pub(super) struct Plan {
    /// Our own program.
    pub own: PathBuf,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// A file for its standard input; none: `/dev/null`.
    pub input: Option<PathBuf>,
    /// Its whole environment.
    pub environment: Environment,
    /// Its working directory.
    pub dir: PathBuf,
}

/// A child that exists and waits to be on record.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Who it is, and will stay.
    pub process: ProcessId,
    child: TokioChild,
    gate: ChildStdin,
}

/// A child that runs.
#[derive(Debug)]
pub(super) struct Running {
    /// Who it is.
    pub process: ProcessId,
    /// Its standard output.
    pub stdout: ChildStdout,
    /// Its standard error.
    pub stderr: ChildStderr,
    child: TokioChild,
}

fn taken<T>(pipe: Option<T>) -> io::Result<T> {
    pipe.ok_or_else(|| io::Error::other("a pipe to the child is missing"))
}

/// Starts the process that will become `plan.program`.
pub(super) fn start(plan: &Plan) -> io::Result<Waiting> {
    let input = plan.input.as_deref().unwrap_or(Path::new(stub::NO_INPUT));
    #[expect(
        clippy::disallowed_methods,
        reason = "the keeper's child is watched as it runs, which no helper program is"
    )]
    let mut command = Command::new(&plan.own);
    command
        .arg("__exec")
        .arg(input)
        .arg(&plan.program)
        .args(&plan.args)
        .env_clear()
        .envs(plan.environment.iter())
        .envs(crash::handed_on())
        .current_dir(&plan.dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    crash::point(|| "before the child starts");
    let mut child = command.spawn()?;
    crash::point(|| "after the child started");
    let gate = taken(child.stdin.take())?;
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or(0);
    let process = process::identify(pid)
        .map_err(io::Error::other)?
        .ok_or_else(|| io::Error::other("the child ended before it began"))?;
    Ok(Waiting { process, child, gate })
}

impl Waiting {
    /// Lets it become the program. To be called when the journal knows it.
    pub(super) async fn go(mut self) -> io::Result<Running> {
        crash::point(|| "before go");
        self.gate.write_all(stub::GO).await?;
        drop(self.gate);
        crash::point(|| "after go");
        let stdout = taken(self.child.stdout.take())?;
        let stderr = taken(self.child.stderr.take())?;
        Ok(Running { process: self.process, stdout, stderr, child: self.child })
    }
}

impl Running {
    /// Waits for its end. May be called again after it has ended, with the same answer.
    pub(super) async fn ended(child: &mut TokioChild) -> io::Result<ExitStatus> {
        child.wait().await
    }

    /// The parts that the supervising loop waits on one by one.
    pub(super) fn parts(&mut self) -> (&mut TokioChild, &mut ChildStdout, &mut ChildStderr) {
        (&mut self.child, &mut self.stdout, &mut self.stderr)
    }
}
