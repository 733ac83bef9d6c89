//! A private world for one test: home, state, tmux server, repository, agent CLIs. At its end nothing of it is left, and
//! that is checked.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How long anything may take before a test says that it does not happen. Generous: a busy machine is no failure.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A private world.
pub struct House {
    dir: tempfile::TempDir,
    mounts: Mutex<Vec<PathBuf>>,
}

impl House {
    /// A house with an empty home, a repository `repo` with one commit, and no agent CLI but the built-in ones.
    pub fn new() -> Self {
        Self::in_dir(tempfile::Builder::new().prefix("orch").tempdir().unwrap())
    }

    /// The same in a directory that is there.
    pub fn in_dir(dir: tempfile::TempDir) -> Self {
        let house = Self { dir, mounts: Mutex::default() };
        for dir in ["home/.config/ai_orch/agents", "bin", "repo"] {
            std::fs::create_dir_all(house.path(dir)).unwrap();
        }
        std::fs::write(
            house.path("home/.gitconfig"),
            "[user]\nname = Tester\nemail = tester@example.invalid\n",
        )
        .unwrap();
        house.make_repository(&house.repo());
        house
    }

    /// A path in the house.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The repository that verbs are called in.
    pub fn repo(&self) -> PathBuf {
        self.path("repo")
    }

    /// Makes a repository with one commit on `main`.
    pub fn make_repository(&self, at: &Path) {
        std::fs::create_dir_all(at).unwrap();
        std::fs::write(at.join("README.md"), "hello\n").unwrap();
        for words in [&["init", "-q", "-b", "main"][..], &["add", "."], &["commit", "-q", "-m", "init"]] {
            self.git_in(at, words);
        }
    }

    /// Adds an agent CLI: a shell script under `name` in PATH.
    pub fn cli(&self, name: &str, script: &str) {
        let path = self.path("bin").join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Adds a profile of the user's.
    pub fn profile(&self, name: &str, toml: &str) {
        std::fs::write(self.path(format!("home/.config/ai_orch/agents/{name}.toml")), toml).unwrap();
    }

    /// A profile and CLI in one: a plain-text agent that gets its prompt on standard input.
    pub fn agent(&self, name: &str, script: &str) {
        self.cli(name, script);
        self.profile(name, &format!("name = \"{name}\"\ncommand = \"{name}\"\n"));
    }

    /// A command with the environment of this house and no other.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", self.path("bin").display()))
            .env("HOME", self.path("home"))
            .env("AI_ORCH_ROOT", self.path("root"))
            .env("TERM", "xterm-256color")
            .env("LC_ALL", "C.UTF-8")
            .current_dir(self.repo());
        command
    }

    /// A call of the binary.
    pub fn orch<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Call {
        self.call(env!("CARGO_BIN_EXE_ai_orch"), words)
    }

    /// A call of any program.
    pub fn call<S: AsRef<OsStr>>(
        &self,
        program: impl AsRef<OsStr>,
        words: impl IntoIterator<Item = S>,
    ) -> Call {
        let mut command = self.command(program);
        command.args(words).stdin(Stdio::null());
        Call { command, stdin: None }
    }

    /// Calls the binary and expects it to succeed; its standard output.
    pub fn ok<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> String {
        let done = self.orch(words).run();
        assert_eq!(done.code, 0, "{done}");
        done.stdout
    }

    /// Starts an agent in the background; its session.
    pub fn start<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> String {
        let words: Vec<_> = words.into_iter().map(|w| w.as_ref().to_owned()).collect();
        let all = ["run", "--detach"].map(std::ffi::OsString::from).into_iter().chain(words);
        self.ok(all).trim().to_owned()
    }

    /// What `show --json` says of an agent.
    pub fn show(&self, session: &str) -> serde_json::Value {
        serde_json::from_str(&self.ok(["show", session, "--json"])).unwrap()
    }

    /// What `list --json` says of an agent.
    pub fn listed(&self, session: &str) -> serde_json::Value {
        let list: serde_json::Value = serde_json::from_str(&self.ok(["list", "--json"])).unwrap();
        let agents = list["agents"].as_array().unwrap();
        agents
            .iter()
            .find(|a| a["session"] == session)
            .unwrap_or_else(|| panic!("{session} is not in {list}"))
            .clone()
    }

    /// Kills the keeper of an agent.
    pub fn kill_keeper(&self, session: &str) {
        let evidence = self.show(session)["evidence"].to_string();
        let (_, pid) = evidence.split_once("(pid ").unwrap();
        let pid = pid.split_once(')').unwrap().0;
        assert!(Command::new("kill").args(["-9", pid]).status().unwrap().success());
    }

    /// The directory of an agent's record.
    pub fn record(&self, session: &str) -> PathBuf {
        PathBuf::from(self.show(session)["record"].as_str().unwrap())
    }

    /// Calls git in `dir`, expects it to succeed, and returns what it prints.
    pub fn git_in(&self, dir: &Path, words: &[&str]) -> String {
        let output = self.command("git").current_dir(dir).args(words).output().unwrap();
        assert!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Calls git in the repository.
    pub fn git(&self, words: &[&str]) -> String {
        self.git_in(&self.repo(), words)
    }

    /// Has the repository be of a kind whose worktrees git itself has to add.
    pub fn leave_worktrees_to_git(&self) {
        self.git(&["config", "core.repositoryFormatVersion", "1"]);
    }

    /// Calls tmux on the house's own server.
    pub fn tmux(&self, words: &[&str]) -> Output {
        self.command("tmux").arg("-S").arg(self.path("root/tmux.sock")).args(words).output().unwrap()
    }

    /// Mounts a private file system of `size` at `name` in the house, until the test is over. Only root can.
    pub fn mount(&self, name: &str, size: &str) -> PathBuf {
        let at = self.path(name);
        std::fs::create_dir_all(&at).unwrap();
        let options = format!("size={size},mode=0700");
        let mut mount = Command::new("mount");
        let done = mount.args(["-t", "tmpfs", "-o", &options, "none"]).arg(&at).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        self.mounts.lock().unwrap().push(at.clone());
        at
    }

    /// Makes a file system of [`Self::mount`] read-only, or writable again.
    pub fn remount(at: &Path, how: &str) {
        let options = format!("remount,{how}");
        let done = Command::new("mount").args(["-o", &options]).arg(at).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    }

    /// Every process whose environment names this house.
    pub fn processes(&self) -> Vec<(i32, String)> {
        // Any root in the house: some tests have a second one.
        let mark = format!("AI_ORCH_ROOT={}/", self.dir.path().display()).into_bytes();
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else { continue };
            let Ok(environ) = std::fs::read(format!("/proc/{pid}/environ")) else { continue };
            if environ.split(|b| *b == 0).any(|v| v.starts_with(&mark)) {
                let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                found.push((pid, String::from_utf8_lossy(&words).replace('\0', " ")));
            }
        }
        found
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // Whatever the test left: ended by the program itself, which must manage.
        let killed = self.orch(["kill", "--all"]).try_run();
        self.tmux(&["kill-server"]);
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut left = self.processes();
        while !left.is_empty() && Instant::now() < deadline {
            std::thread::yield_now();
            left = self.processes();
        }
        for (pid, _) in &left {
            Command::new("kill").args(["-9", &pid.to_string()]).output().ok();
        }
        for at in self.mounts.lock().unwrap_or_else(std::sync::PoisonError::into_inner).drain(..).rev() {
            // Lazily: a process that was just killed may still be on its way out of it.
            Command::new("umount").arg("-l").arg(at).output().ok();
        }
        if !std::thread::panicking() {
            assert!(left.is_empty(), "left running: {left:?}\nkill --all said: {killed:?}");
        }
    }
}

/// A call of the binary that is about to be made.
pub struct Call {
    command: Command,
    stdin: Option<Vec<u8>>,
}

impl Call {
    /// In another directory.
    pub fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// With another variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// With something on standard input.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Makes the call, and fails the test if it does not end.
    pub fn run(self) -> Done {
        self.try_run().unwrap_or_else(|why| panic!("{why}"))
    }

    /// Starts it without waiting.
    pub fn spawn(mut self) -> std::process::Child {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn try_run(mut self) -> Result<Done, String> {
        if self.stdin.is_some() {
            self.command.stdin(Stdio::piped());
        }
        let words = format!("{:?}", self.command);
        let mut child =
            self.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(|e| e.to_string())?;
        let pid = child.id();
        if let (Some(bytes), Some(mut pipe)) = (self.stdin, child.stdin.take()) {
            std::thread::spawn(move || std::io::Write::write_all(&mut pipe, &bytes).ok());
        }
        let (send, receive) = std::sync::mpsc::channel();
        std::thread::spawn(move || send.send(child.wait_with_output()).ok());
        let output = receive.recv_timeout(2 * PATIENCE).map_err(|_| {
            Command::new("kill").args(["-9", &pid.to_string()]).output().ok();
            format!("{words} did not end")
        })?;
        let output = output.map_err(|e| e.to_string())?;
        Ok(Done {
            code: code(output.status),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            raw: output.stdout,
        })
    }
}

fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// What a call came to.
#[derive(Debug)]
#[must_use = "look at the output or at least at the exit code"]
pub struct Done {
    /// Its exit code; 128 and the signal if one ended it.
    pub code: i32,
    /// Standard output as text.
    pub stdout: String,
    /// Standard error as text.
    pub stderr: String,
    /// Standard output.
    pub raw: Vec<u8>,
}

impl Done {
    /// Standard output as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self}"))
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit {}\n--- stdout\n{}\n--- stderr\n{}", self.code, self.stdout, self.stderr)
    }
}

/// Whether this test runs as root. If not, says on standard error that it is skipped, and `why`.
pub fn root_only(why: &str) -> bool {
    let root = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0;
    if !root {
        eprintln!("SKIPPED, for it needs root: {why}");
    }
    root
}

/// Whether this test may mount file systems, which not even every root may; says so where it may not.
pub fn may_mount(why: &str) -> bool {
    if !root_only(why) {
        return false;
    }
    let trial = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "none"]).arg(trial.path()).output();
    let may = mounted.is_ok_and(|done| done.status.success());
    if may {
        Command::new("umount").arg("-l").arg(trial.path()).output().unwrap();
    } else {
        eprintln!("SKIPPED, for nothing can be mounted here: {why}");
    }
    may
}

/// Whether a process runs; a zombie does not, unless other threads of it do.
pub fn runs(pid: i32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    !["Z", "X"].contains(&fields[0]) || fields[17].parse::<u32>().unwrap() > 1
}

/// Something, if a process is stopped by a signal.
pub fn is_stopped(pid: i32) -> Option<()> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.starts_with('T').then_some(())
}

/// Waits until `look` finds something, and fails the test if it never does. Polls: use it where nothing can be waited for.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "did not happen: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
