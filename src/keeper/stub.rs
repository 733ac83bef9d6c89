//! The last step before an agent CLI runs: a process of ours that waits until it is on record, then becomes the CLI.
//!
//! The keeper starts `ai_orch __exec`, writes its pid to the journal, and only then says "go". So no CLI ever runs that the
//! journal does not know, whenever the keeper dies. Being a process of our own it can do what a safe `Command` cannot: lead
//! a session of its own, out of reach of the pane's keys, and be told to end when the keeper is gone.

use rustix::process::{Signal, set_parent_process_death_signal, setsid};
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use crate::tools::{crash, file};

/// What the keeper writes when the process is on record.
pub(super) const GO: &[u8] = b"go\n";
/// Stands for `/dev/null` in place of a prompt file.
pub(super) const NO_INPUT: &str = "-";
/// The variable that the stub repeats when the program did not start, to tell its own failure from the program's.
pub(super) const NOT_STARTED: &str = "ai_orch could not start ";

/// Runs `__exec <prompt file or -> <program> <args>...`. Returns only if that failed.
pub fn exec(args: &[OsString]) -> ExitCode {
    let [input, program, args @ ..] = args else { return ExitCode::from(70) };
    crash::point(|| "before it leads a session");
    // A session of its own: no controlling terminal, and one id for the whole tree.
    setsid().ok();
    // A keeper that dies takes its agent along, politely; what ignores this is found by its mark.
    set_parent_process_death_signal(Some(Signal::TERM)).ok();
    crash::point(|| "before it waits for go");
    let mut said = [0; GO.len()];
    // An end of file means: the keeper died before this process was on record. Then it must not become an agent.
    if io::stdin().read_exact(&mut said).is_err() || said != GO {
        return ExitCode::SUCCESS;
    }
    let stdin = match open_input(input) {
        Ok(stdin) => stdin,
        Err(e) => return failed(program, &e),
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "the program becomes this process; there is nothing to wait for"
    )]
    let mut command = Command::new(program);
    command.args(args).stdin(stdin);
    for name in crash::VARIABLES {
        command.env_remove(name);
    }
    crash::point(|| "before it becomes the program");
    let error = command.exec();
    failed(program, &error)
}

fn open_input(input: &OsStr) -> io::Result<Stdio> {
    if input == NO_INPUT {
        return Ok(Stdio::null());
    }
    match file::open(Path::new(input)) {
        Ok(Some(file)) => Ok(Stdio::from(file)),
        Ok(None) => Err(io::Error::from(io::ErrorKind::NotFound)),
        Err(e) => Err(e.source),
    }
}

#[expect(clippy::print_stderr, reason = "standard error is the pipe to the keeper, which reads exactly this")]
fn failed(program: &OsStr, error: &io::Error) -> ExitCode {
    eprintln!("{NOT_STARTED}{}: {error}", program.to_string_lossy());
    ExitCode::from(if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 })
}
