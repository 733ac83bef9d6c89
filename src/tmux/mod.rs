//! Our own tmux server: sessions made, looked at and ended, each by one call with a time limit.
//!
//! Names in here are [`Session`]s, which tmux can neither expand nor mistake for a pattern; targets are always `=name:`,
//! because a bare `-t name` matches the beginning of other names. Commands are argument vectors, never shell text.

use crate::model::ids::{ProcessId, Session};
use crate::tools::lock::{self, Lock};
use crate::tools::program::{self, Output, Program};
use crate::tools::{clock, file, process};
use rustix::process::Signal;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tmux_interface::{
    AttachSession, DetachClient, DisplayMessage, HasSession, KillServer, KillSession, ListClients,
    ListSessions, NewSession, SetOption, SwitchClient, Tmux, TmuxCommand,
};

/// How long one tmux call may take. A server short of file descriptors never answers.
const CALL_LIMIT: Duration = Duration::from_secs(5);
/// How long to wait for others who start a session.
const LOCK_LIMIT: Duration = Duration::from_mins(1);
/// How often to look for the socket that a server makes again.
const REVIVE_PACE: Duration = Duration::from_millis(5);
/// The option of a session whose keeper is about to end.
const ENDING: &str = "@ai_orch_ending";
/// The configuration of our server.
const CONF: &str = include_str!("../../shell/tmux.conf");

/// tmux could not do what was asked, or could not say.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// tmux is not installed.
    #[error("tmux is not installed")]
    NotInstalled,
    /// The call failed.
    #[error("tmux could not {action}: {why}")]
    Failed {
        /// What was asked of it.
        action: &'static str,
        /// What it said.
        why: String,
    },
    /// The server did not answer in time.
    #[error("tmux did not answer within {} s when asked to {action}", CALL_LIMIT.as_secs())]
    NoAnswer {
        /// What was asked of it.
        action: &'static str,
    },
    /// A file of ours for tmux could not be written.
    #[error(transparent)]
    File(#[from] file::Error),
    /// Somebody else starts sessions for too long.
    #[error(transparent)]
    Lock(#[from] lock::Error),
}

impl Error {
    /// A word that does not change, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotInstalled => "tmux_missing",
            Self::Failed { .. } => "tmux",
            Self::NoAnswer { .. } => "tmux_no_answer",
            Self::File(e) => e.code(),
            Self::Lock(e) => e.code(),
        }
    }

    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotInstalled => Some("install it: apt-get install tmux".to_owned()),
            Self::Failed { .. } | Self::NoAnswer { .. } => Some("ai_orch doctor".to_owned()),
            Self::File(e) => e.hint(),
            Self::Lock(e) => e.hint(),
        }
    }
}

/// Result of a tmux call.
pub type Result<T> = std::result::Result<T, Error>;

/// Where the files of our tmux server lie.
#[derive(Debug, Clone)]
pub struct Files {
    /// Its socket; in a directory that may be wiped.
    pub socket: PathBuf,
    /// Its configuration, written when needed; beside the socket.
    pub conf: PathBuf,
    /// Held while a session is made and while the server is ended; where nothing is wiped.
    pub lock: PathBuf,
    /// Who the server is, for when its socket was removed under it; where nothing is wiped.
    pub known: PathBuf,
}

/// Our tmux server, running or not.
#[derive(Debug, Clone)]
pub struct Server {
    files: Files,
    environment: Vec<(OsString, OsString)>,
}

impl Server {
    /// The server whose files are `files`, with `environment` for the server and its sessions.
    pub fn new(files: Files, environment: Vec<(OsString, OsString)>) -> Self {
        Self { files, environment }
    }

    fn base(&self) -> Tmux<'static> {
        Tmux::new()
            .force_utf8()
            .socket_path(self.files.socket.to_string_lossy().into_owned())
            .file(self.files.conf.to_string_lossy().into_owned())
    }

    fn call<'a>(&self, action: &'static str, command: impl Into<TmuxCommand<'a>>) -> Result<Output> {
        let words = self.base().command(command).build().to_vec();
        let mut words = words.iter().map(AsRef::as_ref);
        let mut program = Program::new(words.next().unwrap_or("tmux")).env_clear();
        for (name, value) in &self.environment {
            program = program.env(name, value);
        }
        program.args(words).cwd("/").limit(CALL_LIMIT).run().map_err(|e| match e {
            program::Error::NotFound { .. } => Error::NotInstalled,
            program::Error::TimedOut { .. } => Error::NoAnswer { action },
            other => Error::Failed { action, why: other.to_string() },
        })
    }

    /// Runs `command`; `None` if there is no server or nothing of that name.
    fn ask<'a>(&self, action: &'static str, command: impl Into<TmuxCommand<'a>>) -> Result<Option<String>> {
        let output = self.call(action, command)?;
        if output.status.success() {
            return Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()));
        }
        let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if no_server(&why) || nothing_there(&why) || why.contains("no current client") {
            return Ok(None);
        }
        Err(Error::Failed { action, why })
    }

    /// Makes the session `name`, whose pane runs `argv` and nothing else, with `variables` in its environment. Starts the
    /// server if there is none.
    pub fn new_session(&self, name: &Session, argv: &[String], variables: &[(String, String)]) -> Result<()> {
        let _guard = self.guard()?;
        self.revive()?;
        // A copy of what this program knows: whatever cannot be read is written anew.
        if file::read(&self.files.conf).ok().flatten().as_deref() != Some(CONF.as_bytes()) {
            file::post(&self.files.conf, CONF.as_bytes())?;
        }
        let action = "make the session";
        let command = || {
            let mut command =
                NewSession::new().detached().session_name(name.as_str()).width(200).height(50).build();
            for (variable, value) in variables {
                command.push_option("-e", escape(&format!("{variable}={value}")));
            }
            for word in argv {
                command.push_param(escape(word));
            }
            command
        };
        let output = self.call(action, command())?;
        if output.status.success() {
            self.know();
            return Ok(());
        }
        let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        // A server that was just ending, or a client that lost its answer: look before trying once more.
        if self.has_session(name)? == Some(true) {
            self.know();
            return Ok(());
        }
        if !(why.contains("server exited") || why.contains("lost server") || why.contains("error connecting"))
        {
            return Err(Error::Failed { action, why });
        }
        let output = self.call(action, command())?;
        if output.status.success() {
            self.know();
            return Ok(());
        }
        Err(Error::Failed { action, why: String::from_utf8_lossy(&output.stderr).trim().to_owned() })
    }

    /// The server that was put on record last; `None` if it has ended, or belongs to another socket.
    fn known(&self) -> Result<Option<ProcessId>> {
        let bytes = match file::read(&self.files.known) {
            // Something else is in its place; asking the server tells as well.
            Err(error) if error.is_damage() => None,
            read => read?,
        };
        let bytes = bytes.unwrap_or_default();
        let known: Option<Known> = serde_json::from_slice(&bytes).ok();
        let ours = known.filter(|known| known.socket == self.files.socket).map(|known| known.server);
        Ok(ours.filter(|server| process::is_alive(server).unwrap_or(false)))
    }

    /// The servers that were started for our socket, by their command lines: whoever started one may have died before putting
    /// it on record, and its socket may be another's by now.
    fn started(&self) -> Vec<ProcessId> {
        let options = [OsStr::new("-S"), self.files.socket.as_os_str()];
        let for_us = |words: Vec<OsString>| words.windows(2).any(|pair| pair == options);
        let servers = process::called(|name| name == "tmux: server").unwrap_or_default();
        servers.into_iter().filter(|server| process::words(server).is_some_and(for_us)).collect()
    }

    /// Who the server is that answers at the socket.
    fn server(&self) -> Result<Option<ProcessId>> {
        let pid = self.ask("tell its pid", DisplayMessage::new().print().message("#{pid}"))?;
        Ok(pid.and_then(|p| p.trim().parse().ok()).and_then(|p| process::identify(p).ok().flatten()))
    }

    /// Puts on record who the server is, if that is not known. Only a wiped socket makes that needed: a session that was
    /// made is not given up for it.
    fn know(&self) {
        let note = || -> Result<()> {
            if self.known()?.is_some() {
                return Ok(());
            }
            let known = self.server()?.map(|server| Known { socket: self.files.socket.clone(), server });
            if let Some(json) = known.and_then(|known| serde_json::to_vec(&known).ok()) {
                file::post(&self.files.known, &json)?;
            }
            Ok(())
        };
        if let Err(error) = note() {
            tracing::warn!(%error, "who the tmux server is could not be put on record");
        }
    }

    /// Lets a server whose socket was removed make it again; whether there is a socket now. Cleaners of /tmp take the
    /// socket of a server that lives, and with it every session would be out of reach.
    pub fn revive(&self) -> Result<bool> {
        if file::ownership(&self.files.socket)?.is_some() {
            return Ok(true);
        }
        let Some(server) = self.known()?.or_else(|| self.started().pop()) else { return Ok(false) };
        if let Some(dir) = self.files.socket.parent() {
            file::make_dirs(dir)?;
        }
        let failed =
            |e: process::Error| Error::Failed { action: "make its socket again", why: e.to_string() };
        process::signal(&server, Signal::USR1).map_err(failed)?;
        let deadline = clock::tick() + CALL_LIMIT;
        while file::ownership(&self.files.socket)?.is_none() {
            if process::wait_for_end(&server, REVIVE_PACE).map_err(failed)? {
                return Ok(false);
            }
            if clock::tick() > deadline {
                return Err(Error::NoAnswer { action: "make its socket again" });
            }
        }
        Ok(true)
    }

    /// Whether the session `name` exists; `None` if no server runs.
    pub fn has_session(&self, name: &Session) -> Result<Option<bool>> {
        let action = "look for the session";
        let output = self.call(action, HasSession::new().target_session(target(name)))?;
        if output.status.success() {
            return Ok(Some(true));
        }
        let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if nothing_there(&why) {
            Ok(Some(false))
        } else if no_server(&why) {
            Ok(None)
        } else {
            Err(Error::Failed { action, why })
        }
    }

    /// The names of all sessions; `None` if no server runs. Asks nothing if there is not even a socket.
    pub fn sessions(&self) -> Result<Option<Vec<String>>> {
        if file::ownership(&self.files.socket)?.is_none() {
            return Ok(None);
        }
        let listed = self.ask("list its sessions", ListSessions::new().format("#{session_name}"))?;
        Ok(listed.map(|text| text.lines().map(str::to_owned).collect()))
    }

    /// Ends the session `name`; false if it was not there. The programs in it get a hang-up, nothing more.
    pub fn kill_session(&self, name: &Session) -> Result<bool> {
        self.revive()?;
        Ok(self.ask("end the session", KillSession::new().target_session(target(name)))?.is_some())
    }

    /// Detaches the terminal in which somebody pressed q in the session `name`. Our configuration notes which one before
    /// the key reaches the pane; what tmux says of its own accord (the time of the last key, in seconds) does not tell two
    /// people apart.
    pub fn detach_who_pressed(&self, name: &Session) -> Result<()> {
        let noted = self.ask(
            "tell who pressed the key",
            DisplayMessage::new().print().target_pane(target(name)).message("#{@ai_orch_pressed}"),
        )?;
        if let Some(client) = noted.as_deref().map(str::trim).filter(|c| !c.is_empty()) {
            self.ask("detach the terminal", DetachClient::new().target_client(client.to_owned()))?;
            return Ok(());
        }
        let clients = self.ask(
            "list the terminals of the session",
            ListClients::new().target_session(target(name)).format("#{client_activity} #{client_name}"),
        )?;
        let last = clients.as_deref().unwrap_or("").lines().max().and_then(|l| l.split_once(' '));
        if let Some((_, client)) = last {
            self.ask("detach the terminal", DetachClient::new().target_client(client.to_owned()))?;
        }
        Ok(())
    }

    /// Ends the server if `name` is its only session, or all others are about to end as well: each caller leaves a mark on
    /// its session, else two that end at the same moment would each leave the server to the other. Whoever makes a session
    /// meanwhile waits, and gets a new server.
    pub fn end_with(&self, name: &Session) -> Result<()> {
        // After a reboot, or when /tmp was cleaned, there is nothing to end and no directory for the lock either.
        if !self.revive()? {
            return Ok(());
        }
        let guard = self.guard()?;
        let mark = SetOption::new().target_pane(target(name)).option(ENDING).value("1");
        self.ask("note that the session ends", mark)?;
        self.end_without(&guard, |session| session == name.as_str())
    }

    /// Ends every server of ours that nothing is in: whoever started it may have died before its session was made, and its
    /// socket may be another's, so that nobody could reach it any more.
    pub fn end_empty(&self) -> Result<()> {
        let started = self.started();
        if started.is_empty() {
            return Ok(());
        }
        let guard = self.guard()?;
        self.revive()?;
        let answers = self.server()?;
        if answers.is_some() {
            self.end_without(&guard, |_| false)?;
        }
        let failed = |e: process::Error| Error::Failed { action: "end", why: e.to_string() };
        for server in started.into_iter().filter(|server| Some(server) != answers.as_ref()) {
            // What runs in its sessions are its children.
            if !process::has_children(&server).map_err(failed)? {
                process::signal(&server, Signal::TERM).map_err(failed)?;
                process::wait_for_end(&server, CALL_LIMIT).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Ends the server if no session is in it but those that `goes` says, and those that are about to end.
    fn end_without(&self, _guard: &Lock, goes: impl Fn(&str) -> bool) -> Result<()> {
        let format = format!("#{{session_name}} #{{{ENDING}}}");
        let Some(sessions) = self.ask("list its sessions", ListSessions::new().format(format))? else {
            return Ok(());
        };
        let stays = |line: &str| matches!(line.split_once(' '), Some((s, "")) if !goes(s));
        if sessions.lines().any(stays) {
            return Ok(());
        }
        let server = self.server()?;
        self.ask("end", KillServer::new())?;
        if let Some(server) = server {
            // A socket whose server is about to end takes no sessions; nobody may meet it.
            process::wait_for_end(&server, CALL_LIMIT)
                .map_err(|e| Error::Failed { action: "end", why: e.to_string() })?;
        }
        Ok(())
    }

    /// The command that attaches a terminal to the session `name`.
    pub fn attach_words(&self, name: &Session) -> Vec<String> {
        let command = AttachSession::new().target_session(target(name)).build();
        self.words(command)
    }

    /// The command that switches the terminal we are in, which is attached to this same server, to the session `name`.
    pub fn switch_words(&self, name: &Session) -> Vec<String> {
        let command = SwitchClient::new().target_session(target(name)).build();
        self.words(command)
    }

    fn words(&self, command: TmuxCommand<'_>) -> Vec<String> {
        self.base().command(command).build().to_vec().into_iter().map(std::borrow::Cow::into_owned).collect()
    }

    /// The socket.
    pub fn socket(&self) -> &Path {
        &self.files.socket
    }

    fn guard(&self) -> Result<Lock> {
        Ok(lock::exclusive(&self.files.lock, LOCK_LIMIT)?)
    }
}

/// Who the server at a socket is.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Known {
    /// With another root, the same user has another server.
    #[serde(with = "crate::model::ids::path")]
    socket: PathBuf,
    server: ProcessId,
}

/// Whether tmux says that no server runs, or that the one it asked ended before it answered.
fn no_server(why: &str) -> bool {
    ["no server running", "error connecting", "server exited", "lost server"].iter().any(|w| why.contains(w))
}

/// Whether tmux says that there is no such session, in the words of one command or another; the last are what a server
/// says that has none at all.
fn nothing_there(why: &str) -> bool {
    ["can't find session", "no such session", "no current target"].iter().any(|w| why.contains(w))
}

/// The version that `tmux -V` tells; `None` if tmux is not installed.
pub fn version(path_variable: &std::ffi::OsStr) -> Result<Option<String>> {
    let Some(program) = program::find_in_path("tmux", path_variable) else { return Ok(None) };
    let output = Program::new(program).arg("-V").limit(CALL_LIMIT).run();
    match output.and_then(Output::require_success) {
        Ok(output) => Ok(Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())),
        Err(program::Error::TimedOut { .. }) => Err(Error::NoAnswer { action: "tell its version" }),
        Err(e) => Err(Error::Failed { action: "tell its version", why: e.to_string() }),
    }
}

/// The target that means this session and no other.
fn target(name: &Session) -> String {
    format!("={name}:")
}

/// tmux takes a `;` at the end of an argument for the end of the command.
fn escape(word: &str) -> String {
    match word.strip_suffix(';') {
        Some(head) => format!("{head}\\;"),
        None => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Private {
        dir: tempfile::TempDir,
        server: Server,
    }

    impl Private {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let at = |name: &str| dir.path().join(name);
            let environment = [("PATH", std::env::var_os("PATH").unwrap()), ("LC_CTYPE", "C.UTF-8".into())];
            let environment = environment.map(|(k, v)| (OsString::from(k), v)).to_vec();
            let files = Files { socket: at("s"), conf: at("conf"), lock: at("lock"), known: at("known") };
            let server = Server::new(files, environment);
            Self { dir, server }
        }
    }

    impl Drop for Private {
        fn drop(&mut self) {
            let running = self.server.server().ok().flatten();
            self.server.ask("end", KillServer::new()).ok();
            // It removes its socket; the directory can only be removed after that.
            if let Some(running) = running {
                process::wait_for_end(&running, CALL_LIMIT).ok();
            }
        }
    }

    fn name(text: &str) -> Session {
        text.parse().unwrap()
    }

    fn sleeper() -> Vec<String> {
        ["sleep", "1000"].map(str::to_owned).to_vec()
    }

    #[test]
    fn no_server_is_not_an_error_and_not_an_empty_list() {
        let private = Private::new();
        assert_eq!(private.server.sessions().unwrap(), None);
        assert_eq!(private.server.has_session(&name("a")).unwrap(), None);
        assert!(!private.server.kill_session(&name("a")).unwrap());
    }

    #[test]
    fn the_server_of_another_root_is_not_ours() {
        let private = Private::new();
        private.server.new_session(&name("one"), &sleeper(), &[]).unwrap();
        let mut other = private.server.clone();
        other.files.socket = private.dir.path().join("other");
        assert!(!other.revive().unwrap(), "there is no server at the other socket, and nobody is waited for");
        assert_eq!(other.sessions().unwrap(), None);
        assert!(private.server.revive().unwrap());
    }

    #[test]
    fn a_server_without_sessions_has_none() {
        let private = Private::new();
        private.server.new_session(&name("a"), &sleeper(), &[]).unwrap();
        assert!(private.server.kill_session(&name("a")).unwrap());
        assert!(!private.server.kill_session(&name("a")).unwrap());
        assert_eq!(private.server.has_session(&name("a")).unwrap(), Some(false));
        assert_eq!(private.server.sessions().unwrap().unwrap(), [""; 0]);
    }

    #[test]
    fn a_server_that_nobody_knows_is_found_and_ended_when_it_is_empty() {
        let private = Private::new();
        private.server.new_session(&name("a"), &sleeper(), &[]).unwrap();
        let server = private.server.server().unwrap().unwrap();
        // Whoever started it died before it was put on record, and its directory was wiped.
        std::fs::remove_file(&private.server.files.known).unwrap();
        std::fs::remove_file(&private.server.files.socket).unwrap();
        private.server.end_empty().unwrap();
        assert_eq!(private.server.sessions().unwrap().unwrap(), ["a"]);
        assert!(private.server.kill_session(&name("a")).unwrap());
        // The socket of a server that was killed is in its place.
        std::fs::remove_file(&private.server.files.socket).unwrap();
        drop(std::os::unix::net::UnixListener::bind(&private.server.files.socket).unwrap());
        // What ran in the session may end a moment after it, and a server with children is not empty.
        while process::has_children(&server).unwrap() {
            std::thread::yield_now();
        }
        private.server.end_empty().unwrap();
        assert!(!process::is_alive(&server).unwrap());
    }

    #[test]
    fn names_that_begin_alike_are_never_mixed_up() {
        let private = Private::new();
        private.server.new_session(&name("foobar"), &sleeper(), &[]).unwrap();
        assert_eq!(private.server.has_session(&name("foo")).unwrap(), Some(false));
        assert!(!private.server.kill_session(&name("foo")).unwrap());
        private.server.new_session(&name("foo"), &sleeper(), &[]).unwrap();
        assert!(private.server.kill_session(&name("foo")).unwrap());
        assert_eq!(private.server.sessions().unwrap().unwrap(), ["foobar"]);
    }

    #[test]
    fn arguments_arrive_as_they_are() {
        let private = Private::new();
        let out = private.dir.path().join("out");
        let odd = ["a b", "$(touch x)", "#(touch y)", "#{session_name}", "'\"", "end;", ";", "-t", "é"];
        let mut argv = vec![
            "sh".to_owned(),
            "-c".to_owned(),
            "printf '%s\\n' \"$@\" > \"$0.tmp\"; mv \"$0.tmp\" \"$0\"; sleep 1000".to_owned(),
        ];
        argv.push(out.to_str().unwrap().to_owned());
        argv.extend(odd.map(str::to_owned));
        private.server.new_session(&name("odd"), &argv, &[]).unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while !out.exists() {
            assert!(std::time::Instant::now() < deadline, "the program did not run");
            std::thread::yield_now();
        }
        let got = std::fs::read_to_string(&out).unwrap();
        assert_eq!(got.lines().collect::<Vec<_>>(), odd);
    }

    #[test]
    fn of_two_sessions_that_end_together_one_ends_the_server() {
        let private = Private::new();
        private.server.new_session(&name("one"), &sleeper(), &[]).unwrap();
        private.server.new_session(&name("two"), &sleeper(), &[]).unwrap();
        private.server.end_with(&name("one")).unwrap();
        assert_eq!(private.server.sessions().unwrap().unwrap().len(), 2, "the other one goes on");
        // Both panes are still there when the second one says that it ends; a third, killed meanwhile, is not.
        private.server.new_session(&name("three"), &sleeper(), &[]).unwrap();
        private.server.kill_session(&name("three")).unwrap();
        private.server.end_with(&name("three")).unwrap();
        assert_eq!(private.server.sessions().unwrap().unwrap().len(), 2, "one has not said that it ends");
        private.server.end_with(&name("two")).unwrap();
        assert_eq!(private.server.sessions().unwrap(), None);
    }

    #[test]
    fn the_server_ends_with_its_last_session_only() {
        let private = Private::new();
        private.server.new_session(&name("one"), &sleeper(), &[]).unwrap();
        private.server.new_session(&name("two"), &sleeper(), &[]).unwrap();
        private.server.end_with(&name("one")).unwrap();
        assert_eq!(private.server.sessions().unwrap().unwrap().len(), 2, "the other one stays");
        private.server.kill_session(&name("two")).unwrap();
        private.server.end_with(&name("one")).unwrap();
        assert_eq!(private.server.sessions().unwrap(), None);
    }
}
