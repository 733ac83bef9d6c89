//! Runs one helper program to its end, with a time limit.
//!
//! Promises: nothing waits by sleeping (the pipes and the child are watched together by one `poll`); a program that
//! passes its limit is killed with its whole process group and reaped before the error is returned; a grandchild that
//! keeps a pipe open after the program's exit does not hold us up. Deliberately absent: anything asynchronous, shells,
//! and descendants that moved to a process group of their own (the keeper fences those).
#![expect(clippy::disallowed_methods, reason = "the one file that runs helper programs")]

use super::lock::Lock;
use super::signals::{Hold, Sign};
use super::{crash, process};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, waitid,
};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Why a helper program gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such program.
    #[error("{} was not found", .program.display())]
    NotFound {
        /// What was to be run.
        program: PathBuf,
    },
    /// The program is there but did not start, or its pipes failed.
    #[error("{} could not be run: {source}", .program.display())]
    Io {
        /// What was to be run.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The program was still running at its limit, and was killed with its process group.
    #[error("{} {} was ended after {} s without an answer", .program.display(), .args.join(" "), .limit.as_secs_f64())]
    TimedOut {
        /// What was run.
        program: PathBuf,
        /// Its arguments, as far as they are UTF-8.
        args: Vec<String>,
        /// The time it was given.
        limit: Duration,
        /// What it had written on standard output until then, up to the cap.
        stdout: Vec<u8>,
    },
    /// A signal came for us while it ran, and it was killed with its process group.
    #[error("{} was ended by a signal to ai_orch", .program.display())]
    Stopped {
        /// What was run.
        program: PathBuf,
        /// What it had written on standard output until then, up to the cap.
        stdout: Vec<u8>,
    },
    /// The program ended and said that it failed.
    #[error("{} {} failed{}: {}", .program.display(), .args.join(" "), how_it_ended(*.code, *.signal), .stderr.trim())]
    Failed {
        /// What was run.
        program: PathBuf,
        /// Its arguments, as far as they are UTF-8.
        args: Vec<String>,
        /// Its exit code; `None` if a signal ended it.
        code: Option<i32>,
        /// The signal that ended it.
        signal: Option<i32>,
        /// What it wrote on standard error, as far as it is UTF-8.
        stderr: String,
    },
}

impl Error {
    /// The stable word for this error in `--json`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "program_not_found",
            Self::Io { .. } => "program_io",
            Self::TimedOut { .. } => "program_timed_out",
            Self::Stopped { .. } => "program_stopped",
            Self::Failed { .. } => "program_failed",
        }
    }

    /// What to do next, if there is something.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound { program } => {
                Some(format!("install {}, or make sure that it is in PATH", program.display()))
            }
            _ => None,
        }
    }
}

fn how_it_ended(code: Option<i32>, signal: Option<i32>) -> String {
    match (code, signal) {
        (Some(code), _) => format!(" with exit code {code}"),
        (None, Some(signal)) => format!(" by signal {signal}"),
        (None, None) => String::new(),
    }
}

/// Starts a program that goes on when we end, with no input and no output; nobody waits for it.
///
/// # Errors
/// If it could not be started.
pub fn leave_behind<'e>(
    program: &Path,
    args: &[&str],
    environment: impl IntoIterator<Item = (&'e OsStr, &'e OsStr)>,
) -> Result<(), Error> {
    let mut command = Command::new(program);
    command.args(args).env_clear().envs(environment).current_dir("/");
    let started = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    started.map(drop).map_err(|source| Error::Io { program: program.to_owned(), source })
}

/// What a program that ended has left.
#[derive(Debug, Clone)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote on standard output, up to the cap.
    pub stdout: Vec<u8>,
    /// What it wrote on standard error, up to the cap.
    pub stderr: Vec<u8>,
    /// It wrote more than the cap on one of the two; the rest was read and thrown away.
    pub truncated: bool,
    program: PathBuf,
    args: Vec<String>,
}

impl Output {
    /// This output if the exit code is 0, else [`Error::Failed`].
    pub fn require_success(self) -> Result<Self, Error> {
        if self.status.success() { Ok(self) } else { Err(self.failure()) }
    }

    /// The [`Error::Failed`] that tells of this end, for callers for whom some exit codes are answers.
    pub fn failure(&self) -> Error {
        Error::Failed {
            program: self.program.clone(),
            args: self.args.clone(),
            code: self.status.code(),
            signal: self.status.signal(),
            stderr: String::from_utf8_lossy(&self.stderr).into_owned(),
        }
    }
}

/// How a program ended that a person worked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Its exit code.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
}

/// A helper program that is about to be run: argument by argument, never through a shell.
#[derive(Debug)]
pub struct Program {
    command: Command,
    path: PathBuf,
    cwd: Option<PathBuf>,
    stdin: Option<Vec<u8>>,
    holds: Option<io::Result<File>>,
    leads: bool,
    until: Option<io::Result<OwnedFd>>,
    limit: Duration,
    cap: usize,
}

impl Program {
    /// `program` with no arguments, our environment, empty standard input, 30 s of time and 64 MiB of output.
    pub fn new(program: impl AsRef<Path>) -> Self {
        let program = program.as_ref().to_owned();
        Self {
            command: Command::new(&program),
            path: program,
            cwd: None,
            stdin: None,
            holds: None,
            leads: false,
            until: None,
            limit: Duration::from_secs(30),
            cap: 64 << 20,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Takes a variable out of its environment.
    #[must_use]
    pub fn env_remove(mut self, key: impl AsRef<OsStr>) -> Self {
        self.command.env_remove(key);
        self
    }

    /// Starts from an empty environment.
    #[must_use]
    pub fn env_clear(mut self) -> Self {
        self.command.env_clear();
        self
    }

    /// Runs it in this directory.
    #[must_use]
    pub fn cwd(mut self, dir: impl AsRef<Path>) -> Self {
        self.cwd = Some(dir.as_ref().to_owned());
        self
    }

    /// What it reads on standard input.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Has it, and all that it starts, hold `lock` for as long as they run, also when we are gone. For one that reads no standard
    /// input, which is where it holds it.
    #[must_use]
    pub fn holding(mut self, lock: &Lock) -> Self {
        self.holds = Some(lock.share());
        self
    }

    /// For one that makes a session of its own before it does anything, which the leader of a process group cannot.
    #[must_use]
    pub fn leads_a_session(mut self) -> Self {
        self.leads = true;
        self
    }

    /// Has it killed with its process group when a signal is told to `hold`, who can ask which one it was.
    #[must_use]
    pub fn until(mut self, hold: &Hold) -> Self {
        self.until = Some(hold.ready().try_clone());
        self
    }

    /// How long it may take, from start to exit.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// How many bytes of each of its two outputs are kept. More is read and thrown away.
    #[must_use]
    pub fn output_cap(mut self, bytes: usize) -> Self {
        self.cap = bytes;
        self
    }

    /// Runs it to its end.
    ///
    /// An exit code other than 0 is an answer here, not an error; see [`Output::require_success`]. When this
    /// returns, the program has ended and is reaped.
    pub fn run(mut self) -> Result<Output, Error> {
        let deadline = Instant::now() + self.limit;
        if let Some(dir) = &self.cwd {
            self.command.current_dir(dir);
        }
        let stdin = match self.holds.take() {
            Some(lock) => Stdio::from(lock.map_err(|source| self.io(source))?),
            None if self.stdin.is_some() => Stdio::piped(),
            None => Stdio::null(),
        };
        if !self.leads {
            self.command.process_group(0);
        }
        self.command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        crash::point(|| format!("before {}", self.called()));
        let mut child = Group(self.command.spawn().map_err(|source| self.did_not_start(source))?);
        let watched = self.watch(&mut child.0, deadline);
        match watched {
            Ok((Watched::Ended, stdout, stderr)) => {
                child.end_helpers();
                // The pidfd said that it ended, so this only collects the status.
                let status = child.0.wait().map_err(|source| self.io(source))?;
                std::mem::forget(child);
                crash::point(|| format!("after {}", self.called()));
                Ok(Output {
                    status,
                    truncated: stdout.truncated || stderr.truncated,
                    stdout: stdout.bytes,
                    stderr: stderr.bytes,
                    args: self.shown_args(),
                    program: self.path,
                })
            }
            Ok((Watched::Stopped, stdout, _)) => {
                drop(child);
                Err(Error::Stopped { program: self.path, stdout: stdout.bytes })
            }
            Ok((Watched::TooLong, stdout, _)) => {
                drop(child);
                let (args, stdout) = (self.shown_args(), stdout.bytes);
                Err(Error::TimedOut { args, program: self.path, limit: self.limit, stdout })
            }
            Err(source) => {
                drop(child);
                Err(self.io(source))
            }
        }
    }

    /// Runs it to its end in our own terminal, with our own standard input and output, for a person who works with it: without a time
    /// limit. Ctrl-C is for the program, and does not end us; TERM and HUP, as `hold` tells them, end it with all that it started.
    pub fn run_in_terminal(mut self, hold: &Hold) -> Result<End, Error> {
        if let Some(dir) = &self.cwd {
            self.command.current_dir(dir);
        }
        crash::point(|| format!("before {}", self.called()));
        let mut child = self.command.spawn().map_err(|source| self.did_not_start(source))?;
        let status = accompany(&mut child, hold).map_err(|source| self.io(source))?;
        Ok(End { code: status.code(), signal: status.signal() })
    }

    /// Feeds and drains `child` until it ends, until a signal, or until the deadline: which, and what it wrote.
    fn watch(&mut self, child: &mut Child, deadline: Instant) -> io::Result<(Watched, Drain, Drain)> {
        let until = self.until.take().transpose()?;
        let ended = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
        let mut stdin = match (child.stdin.take(), self.stdin.take()) {
            (Some(pipe), Some(bytes)) => Some(Feed::new(pipe, bytes)?),
            _ => None,
        };
        let mut stdout = Drain::new(child.stdout.take().map(OwnedFd::from), self.cap)?;
        let mut stderr = Drain::new(child.stderr.take().map(OwnedFd::from), self.cap)?;
        loop {
            let mut fds = vec![PollFd::new(&ended, PollFlags::IN)];
            for drain in [&stdout, &stderr] {
                fds.extend(drain.pipe.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
            }
            fds.extend(stdin.as_ref().map(|feed| PollFd::new(&feed.pipe, PollFlags::OUT)));
            fds.extend(until.as_ref().map(|until| PollFd::new(until, PollFlags::IN)));
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok((Watched::TooLong, stdout, stderr));
            }
            let left = Timespec::try_from(left).map_err(io::Error::other)?;
            match poll(&mut fds, Some(&left)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
            let gone = fds.first().is_some_and(|fd| !fd.revents().is_empty());
            let stop = until.is_some() && fds.last().is_some_and(|fd| !fd.revents().is_empty());
            drop(fds);
            if let Some(feed) = &mut stdin
                && feed.push()?
            {
                stdin = None;
            }
            // What the program itself wrote is in the pipes when it has ended: one more drain takes all of it, and
            // waiting for the end of file would mean waiting for its grandchildren.
            stdout.pull()?;
            stderr.pull()?;
            if gone {
                return Ok((Watched::Ended, stdout, stderr));
            }
            if stop {
                return Ok((Watched::Stopped, stdout, stderr));
            }
        }
    }

    fn did_not_start(&self, source: io::Error) -> Error {
        // A missing working directory is ENOENT too, and must not be told as a missing program.
        let dir_is_there = self.cwd.as_ref().is_none_or(|dir| dir.is_dir());
        if source.kind() == io::ErrorKind::NotFound && dir_is_there {
            Error::NotFound { program: self.path.clone() }
        } else {
            self.io(source)
        }
    }

    fn io(&self, source: io::Error) -> Error {
        Error::Io { program: self.path.clone(), source }
    }

    /// How this run is called in the name of a crash point: the words that say what is done.
    fn called(&self) -> String {
        let words = self.command.get_args().map(|arg| arg.to_string_lossy().into_owned());
        let plain = words.filter(|word| !word.starts_with('-') && !word.contains(['/', '=', '\n']));
        let words: Vec<String> = [crash::short(&self.path)].into_iter().chain(plain.take(3)).collect();
        words.join(" ")
    }

    fn shown_args(&self) -> Vec<String> {
        self.command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect()
    }
}

/// Waits until `child` has ended. TERM and HUP are its family's as well.
fn accompany(child: &mut Child, hold: &Hold) -> io::Result<ExitStatus> {
    let ended = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    loop {
        let mut fds = [PollFd::new(&ended, PollFlags::IN), PollFd::new(hold.ready(), PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        let [gone, told] = fds.map(|fd| !fd.revents().is_empty());
        if gone {
            return child.wait();
        }
        if told && matches!(hold.next(), Some(Sign::Terminate | Sign::HangUp)) {
            // Before anybody of it ends: nothing tells then whose the others were.
            let mut family = match process::identify(Pid::from_child(child).as_raw_nonzero().get()) {
                Ok(Some(child)) => process::family(&child).map_err(io::Error::other)?,
                _ => Vec::new(),
            };
            let left = || {
                family.retain(|one| process::is_alive(one).unwrap_or(true));
                Ok(family.clone())
            };
            process::end_all(left, FAMILY_GRACE, HELPERS_LIMIT).map_err(io::Error::other)?;
        }
    }
}

/// How long a program at the terminal, and what it started, get to end by themselves.
const FAMILY_GRACE: Duration = Duration::from_secs(2);

/// Why a program is not watched any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watched {
    Ended,
    Stopped,
    TooLong,
}

/// How long the helpers of a program that was killed may take to be gone, killed as well.
const HELPERS_LIMIT: Duration = Duration::from_secs(5);

/// A child and its process group; both are killed, and the child reaped, when this is dropped.
struct Group(Child);

impl Group {
    /// Ends what is left of the group if the child, which has ended, was killed by a signal: a helper that goes on would do
    /// what its caller has given up and perhaps taken back (`git worktree add` has its branch made by one).
    fn end_helpers(&self) {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        let pid = Pid::from_child(&self.0);
        let ended = waitid(WaitId::Pid(pid), options).ok().flatten();
        if ended.is_some_and(|status| status.killed() || status.dumped())
            // Not reaped yet, so its number is still its group's.
            && let Err(error) = process::end_group(pid, HELPERS_LIMIT)
        {
            tracing::warn!(%error, "helpers of a program that was killed");
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Before the reaping: until then the group's number cannot belong to anybody else.
        let _gone_already = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        let _reaped = self.0.wait();
    }
}

/// The rest of what the program is to read.
struct Feed {
    pipe: ChildStdin,
    bytes: Vec<u8>,
    done: usize,
}

impl Feed {
    fn new(pipe: ChildStdin, bytes: Vec<u8>) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&pipe, true)?;
        Ok(Self { pipe, bytes, done: 0 })
    }

    /// Writes what the pipe takes; true when there is no more to do and the pipe should be closed.
    fn push(&mut self) -> io::Result<bool> {
        while let Some(rest) = self.bytes.get(self.done..)
            && !rest.is_empty()
        {
            match self.pipe.write(rest) {
                Ok(n) => self.done += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // It does not want to read on; whether that is a failure is for its exit code to say.
                Err(e) if e.kind() == io::ErrorKind::BrokenPipe => return Ok(true),
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }
}

/// What was read from one of the program's outputs.
struct Drain {
    pipe: Option<std::fs::File>,
    bytes: Vec<u8>,
    cap: usize,
    truncated: bool,
}

impl Drain {
    fn new(pipe: Option<OwnedFd>, cap: usize) -> io::Result<Self> {
        if let Some(pipe) = &pipe {
            rustix::io::ioctl_fionbio(pipe.as_fd(), true)?;
        }
        Ok(Self { pipe: pipe.map(std::fs::File::from), bytes: Vec::new(), cap, truncated: false })
    }

    /// Reads what is there, at most 4 MiB so that an endless writer cannot keep us from looking at the clock.
    fn pull(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 << 10];
        for _ in 0..256 {
            let Some(pipe) = &mut self.pipe else { return Ok(()) };
            match pipe.read(&mut buffer) {
                Ok(0) => self.pipe = None,
                Ok(n) => {
                    let keep = n.min(self.cap - self.bytes.len());
                    self.bytes.extend(buffer.iter().take(keep));
                    self.truncated |= keep < n;
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

/// Where the program `name` is: an absolute path itself, else searched in the directories of `path_var` (the value of
/// `PATH`).
///
/// Relative directories are passed over, and so are relative paths: what they hold depends on where we stand, and may be
/// an agent's. `None`: there is no executable file.
pub fn find_in_path(name: &str, path_var: &OsStr) -> Option<PathBuf> {
    let executable = |path: &PathBuf| is_executable(path);
    if name.starts_with('/') {
        return Some(PathBuf::from(name)).filter(executable);
    }
    if name.is_empty() || name.contains('/') {
        return None;
    }
    std::env::split_paths(path_var).filter(|dir| dir.is_absolute()).map(|dir| dir.join(name)).find(executable)
}

/// `path_var` without the directories below `dir`.
pub fn path_beside(path_var: &OsStr, dir: &Path) -> OsString {
    let kept = std::env::split_paths(path_var).filter(|other| !other.starts_with(dir));
    std::env::join_paths(kept).unwrap_or_default()
}

/// Whether there is a file at `path` that we may execute.
pub fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

/// `path_var` without its relative directories, for the `PATH` of helper programs that run inside a worktree.
pub fn absolute_path_only(path_var: &OsStr) -> OsString {
    let kept = std::env::split_paths(path_var).filter(|dir| dir.is_absolute());
    std::env::join_paths(kept).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    fn sh(script: &str) -> Program {
        Program::new("/bin/sh").args(["-c", script])
    }

    #[test]
    fn what_it_holds_is_held_until_it_has_ended_whatever_happens_to_us() {
        use crate::tools::lock;
        let dir = tempfile::tempdir().unwrap();
        let (path, go_on) = (dir.path().join("lock"), dir.path().join("go-on"));
        rustix::fs::mknodat(rustix::fs::CWD, &go_on, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
            .unwrap();
        let held = lock::exclusive(&path, Duration::from_secs(9)).unwrap();
        // Whoever started it is gone; it goes on, in what it has started.
        let script = format!("exec 3<&0; (read x <{}) >/dev/null 2>&1 &", go_on.display());
        let mut command = Command::new("sh");
        command.args(["-c", &script]).stdin(Stdio::from(held.share().unwrap())).status().unwrap();
        drop((command, held));
        assert!(lock::try_exclusive(&path).unwrap().is_none());
        std::fs::write(&go_on, "x\n").unwrap();
        drop(lock::exclusive(&path, Duration::from_mins(1)).unwrap());
        let held = lock::exclusive(&path, Duration::from_secs(9)).unwrap();
        let out = Program::new("sh").args(["-c", "flock -n 0 && echo held"]).holding(&held).run().unwrap();
        assert_eq!(out.stdout, b"held\n", "the same lock is taken again by whoever has it");
    }

    #[test]
    fn both_outputs_and_the_exit_code_arrive() {
        let out = sh("printf out; printf err >&2; exit 3").run().unwrap();
        assert_eq!((out.stdout.as_slice(), out.stderr.as_slice()), (&b"out"[..], &b"err"[..]));
        let Err(Error::Failed { code, signal, stderr, .. }) = out.require_success() else {
            panic!("not failed")
        };
        assert_eq!((code, signal, stderr.as_str()), (Some(3), None, "err"));
    }

    #[test]
    fn a_signal_is_told() {
        let out = sh("kill -9 $$").run().unwrap();
        let Error::Failed { code, signal, .. } = out.failure() else { panic!("not failed") };
        assert_eq!((code, signal), (None, Some(9)));
    }

    #[test]
    fn much_input_and_output_at_once_do_not_lock_up() {
        let bytes = vec![b'x'; 5 << 20];
        let out = Program::new("/bin/cat").stdin(bytes.clone()).run().unwrap();
        assert!(out.stdout == bytes);
    }

    #[test]
    fn input_that_nobody_reads_is_no_error() {
        let out = sh("exit 0").stdin(vec![b'x'; 5 << 20]).run().unwrap();
        assert!(out.status.success());
    }

    #[test]
    fn the_cap_cuts_and_says_so() {
        let out = sh("head -c 1000000 /dev/zero").output_cap(10).run().unwrap();
        assert_eq!((out.stdout.len(), out.truncated, out.status.success()), (10, true, true));
    }

    #[test]
    fn the_limit_kills_the_whole_group() {
        let dir = tempfile::tempdir().unwrap();
        let note = dir.path().join("pid");
        let script = format!("sleep 600 & echo $! > {}; wait", note.display());
        let limit = Duration::from_secs(2);
        let error = sh(&script).limit(limit).run().unwrap_err();
        assert!(matches!(error, Error::TimedOut { limit: l, .. } if l == limit));
        let pid = std::fs::read_to_string(note).unwrap().trim().parse().unwrap();
        // Whoever inherits it collects it in its own time; dead is dead before that.
        let deadline = Instant::now() + Duration::from_mins(1);
        while crate::tools::process::identify(pid).unwrap().is_some() {
            assert!(Instant::now() < deadline, "a member of the group lives");
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_helped_a_program_that_was_killed_is_gone_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let note = dir.path().join("pid");
        let script = format!("sleep 600 & echo $! > {}; kill -9 $$", note.display());
        let out = sh(&script).run().unwrap();
        assert_eq!(out.status.code(), None);
        let pid = std::fs::read_to_string(note).unwrap().trim().parse().unwrap();
        assert_eq!(process::identify(pid).unwrap(), None);
    }

    #[test]
    fn an_endless_writer_is_ended_at_the_limit() {
        let error = sh("yes").limit(Duration::from_millis(200)).output_cap(100).run().unwrap_err();
        assert_eq!(error.code(), "program_timed_out");
    }

    #[test]
    fn a_grandchild_that_keeps_the_pipe_does_not_hold_us() {
        let start = Instant::now();
        let out = sh("printf before; sleep 20 & exit 0").run().unwrap();
        assert_eq!(out.stdout, b"before");
        assert!(start.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_missing_program_and_a_missing_directory_differ() {
        let error = Program::new("/nowhere/at-all").run().unwrap_err();
        assert_eq!(error.code(), "program_not_found");
        let error = sh("true").cwd("/nowhere/at-all").run().unwrap_err();
        assert_eq!(error.code(), "program_io");
    }

    #[test]
    fn the_environment_is_what_was_said() {
        let out = Program::new("/usr/bin/env")
            .env_clear()
            .env("A", "1")
            .env("B", "2")
            .env_remove("B")
            .run()
            .unwrap();
        assert_eq!(out.stdout, b"A=1\n");
    }

    #[test]
    fn path_search_wants_executable_files_in_absolute_directories() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("tool"), "").unwrap();
        let var = std::env::join_paths([Path::new("."), dir.path(), Path::new("/bin")]).unwrap();
        assert_eq!(find_in_path("tool", &var), None);
        assert_eq!(find_in_path("sh", &var), Some(PathBuf::from("/bin/sh")));
        assert_eq!(find_in_path("../bin/sh", &var), None);
        assert!(!absolute_path_only(&var).to_string_lossy().split(':').any(|dir| dir == "."));
    }
}
