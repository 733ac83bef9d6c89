//! Environments: what agents get of ours, and what our own helpers get.

use crate::tools::crash;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Marks of a surrounding tmux, agent CLI or git command. An agent that inherited them would take itself for a part of
/// what surrounds us, or work on another repository.
const MARKS: [&str; 32] = [
    "TMUX",
    "TMUX_PANE",
    "STY",
    "CLAUDECODE",
    "CLAUDE_CODE_CHILD_SESSION",
    "CLAUDE_CODE_ENTRYPOINT",
    "CLAUDE_CODE_SESSION_ID",
    "CLAUDE_CODE_SSE_PORT",
    "CLAUDE_CODE_REMOTE",
    "CODEX_SANDBOX",
    "CODEX_SANDBOX_NETWORK_DISABLED",
    "CODEX_THREAD_ID",
    "GEMINI_CLI",
    "CURSOR_AGENT",
    "OPENCODE",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_CEILING_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_PARAMETERS",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_NAMESPACE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE",
    "GIT_WORK_TREE",
];

/// What our tmux server gets: enough to run programs, nothing that belongs to one call.
const PLAIN: [&str; 12] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "TERMINFO",
];

/// Directories of ours that a keeper must find as the verb found them.
const OURS: [&str; 6] =
    ["AI_ORCH_ROOT", "AI_ORCH_LOG", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "HOME"];

/// Environment variables, byte for byte.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<OsString, OsString>);

// Values may be secret: they never reach a log or a message.
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Environment {
    /// The environment of this process.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads it")]
    pub fn of_this_process() -> Self {
        Self(std::env::vars_os().collect())
    }

    /// The value of `name`.
    pub fn value(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// Sets `name` to `value`.
    pub fn set(&mut self, name: impl Into<OsString>, value: impl Into<OsString>) {
        self.0.insert(name.into(), value.into());
    }

    /// Removes `name`.
    pub fn unset(&mut self, name: &str) {
        self.0.remove(OsStr::new(name));
    }

    /// All variables.
    pub fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.0.iter().map(|(k, v)| (k.as_os_str(), v.as_os_str()))
    }

    /// What an agent gets of this environment: all but the marks of what surrounds us, and but what we say to an agent.
    #[must_use]
    pub fn for_agent(&self) -> Self {
        let kept = self.0.iter().filter(|(name, _)| {
            let told_by_us = name.as_bytes().starts_with(b"AI_ORCH_")
                && !matches!(name.as_bytes(), b"AI_ORCH_ROOT" | b"AI_ORCH_LOG");
            let git_config = name.as_bytes().starts_with(b"GIT_CONFIG_KEY_")
                || name.as_bytes().starts_with(b"GIT_CONFIG_VALUE_");
            !told_by_us && !git_config && !MARKS.iter().any(|m| *m == name.as_os_str())
        });
        Self(kept.map(|(k, v)| (k.clone(), v.clone())).collect())
    }

    /// What our tmux server and the keepers in it get.
    #[must_use]
    pub fn plain(&self) -> Self {
        let names = PLAIN.iter().chain(&OURS);
        let mut kept: BTreeMap<_, _> =
            names.filter_map(|n| self.value(n).map(|v| (OsString::from(n), v.to_owned()))).collect();
        // A tmux client started without a UTF-8 locale would draw `_` for every other character.
        let has_locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().any(|n| kept.contains_key(OsStr::new(n)));
        if !has_locale {
            kept.insert("LC_CTYPE".into(), "C.UTF-8".into());
        }
        Self(kept)
    }

    /// The variables that tell where everything of ours lies, for a session of our tmux server, whose own environment is
    /// that of whoever started it. What is not UTF-8 cannot be handed to tmux.
    pub fn for_session(&self) -> Vec<(String, String)> {
        // Not to the server, which starts sessions of later calls as well.
        let debug = if cfg!(debug_assertions) { &crash::VARIABLES[..] } else { &[] };
        let names = OURS.iter().chain(&["PATH"]).chain(debug);
        names.filter_map(|n| Some(((*n).to_owned(), self.value(n)?.to_str()?.to_owned()))).collect()
    }

    /// The environment as bytes for a private file: `NAME=value` records, each ended by NUL.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, value) in &self.0 {
            bytes.extend_from_slice(name.as_bytes());
            bytes.push(b'=');
            bytes.extend_from_slice(value.as_bytes());
            bytes.push(0);
        }
        bytes
    }

    /// The environment that [`Self::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let records = bytes.split(|b| *b == 0).filter_map(|record| {
            let at = record.iter().position(|b| *b == b'=')?;
            let (name, value) = record.split_at(at);
            Some((OsString::from_vec(name.to_vec()), OsString::from_vec(value.get(1..)?.to_vec())))
        });
        Self(records.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Environment {
        Environment(pairs.iter().map(|(k, v)| (OsString::from(k), OsString::from(v))).collect())
    }

    #[test]
    fn an_agent_does_not_take_itself_for_a_part_of_what_surrounds_us() {
        let agent = of(&[
            ("PATH", "/bin"),
            ("TMUX", "x"),
            ("CLAUDECODE", "1"),
            ("GIT_DIR", "/elsewhere"),
            ("GIT_CONFIG_KEY_0", "core.hooksPath"),
            ("GIT_AUTHOR_NAME", "A"),
            ("AI_ORCH_SESSION", "outer"),
            ("AI_ORCH_ROOT", "/r"),
            ("API_KEY", "k"),
        ])
        .for_agent();
        let names: Vec<_> = agent.iter().map(|(k, _)| k.to_str().unwrap()).collect();
        assert_eq!(names, ["AI_ORCH_ROOT", "API_KEY", "GIT_AUTHOR_NAME", "PATH"]);
    }

    #[test]
    fn the_tmux_server_gets_no_keys() {
        let plain = of(&[("PATH", "/bin"), ("API_KEY", "secret"), ("LANG", "de_DE.UTF-8")]).plain();
        assert_eq!(plain.value("API_KEY"), None);
        assert_eq!(plain.value("LC_CTYPE"), None);
        assert!(of(&[]).plain().value("LC_CTYPE").is_some());
    }

    #[test]
    fn values_travel_byte_for_byte_and_are_not_printed() {
        let mut env = of(&[("A", "x=y\nz"), ("EMPTY", "")]);
        env.set("B", OsString::from_vec(vec![0xff, 0xfe]));
        assert_eq!(Environment::from_bytes(&env.to_bytes()), env);
        assert!(!format!("{env:?}").contains("x=y"));
    }
}
