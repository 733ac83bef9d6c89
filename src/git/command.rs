//! The one way in which this room runs `git`: with nothing left to chance or to the repository.

use super::{CommitId, Error, Result};
use crate::tools::lock::Lock;
use crate::tools::program::{self, Output, Program};
use crate::tools::signals::Hold;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The `GIT_*` variables that only say where the user's own configuration lies. All others could turn a command of
/// ours to another repository, index, object store or program, and are dropped.
const KEPT: [&str; 3] = ["GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM"];

/// Those that say how the user reaches remotes; for commands that do.
const REACHING: [&str; 7] = [
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_SSH_VARIANT",
    "GIT_ASKPASS",
    "GIT_PROXY_COMMAND",
    "GIT_SSL_CAINFO",
    "GIT_SSL_NO_VERIFY",
];

/// Settings that switch off what a repository could make git execute. Command-line settings win over every file.
const HARDENED: [(&str, &str); 18] = [
    ("core.fsmonitor", "false"),
    ("core.hooksPath", "/dev/null"),
    ("core.pager", "cat"),
    ("core.editor", "true"),
    ("core.alternateRefsCommand", "true"),
    ("core.untrackedCache", "false"),
    ("commit.gpgSign", "false"),
    ("tag.gpgSign", "false"),
    ("log.showSignature", "false"),
    ("submodule.recurse", "false"),
    ("diff.submodule", "short"),
    ("diff.ignoreSubmodules", "all"),
    ("status.submoduleSummary", "false"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("core.safecrlf", "false"),
    ("advice.detachedHead", "false"),
    // A branch whose file a power cut left empty is a broken ref in the user's repository.
    ("core.fsync", "committed,index,reference"),
];

/// What every git command of ours runs with. Taken once by the caller; this room never reads the process's own
/// environment (libgit2 does, for the place of the user's configuration, and for nothing else).
#[derive(Debug, Clone)]
pub struct GitEnv {
    program: PathBuf,
    vars: Vec<(OsString, OsString)>,
    reaching: Vec<(OsString, OsString)>,
    pub(super) scratch: PathBuf,
    pub(super) limit: Duration,
    pub(super) long_limit: Duration,
}

impl GitEnv {
    /// The git at `program` (absolute), with `vars` as environment: `GIT_*` is dropped but for the place of the
    /// user's configuration, and `PATH` loses its relative directories.
    ///
    /// `scratch` is an existing directory that only we can write; short-lived private indexes live in it.
    pub fn new(
        program: impl Into<PathBuf>,
        vars: impl IntoIterator<Item = (OsString, OsString)>,
        scratch: impl Into<PathBuf>,
    ) -> Self {
        let vars: Vec<_> = vars.into_iter().collect();
        let reaches = |(key, _): &&(OsString, OsString)| REACHING.iter().any(|reaching| key == reaching);
        let reaching = vars.iter().filter(reaches).cloned().collect();
        let vars = vars
            .into_iter()
            .filter(|(key, _)| !key.as_bytes().starts_with(b"GIT_") || KEPT.iter().any(|kept| key == kept))
            .map(|(key, value)| {
                let value = if key == "PATH" { program::absolute_path_only(&value) } else { value };
                (key, value)
            })
            .collect();
        Self {
            program: program.into(),
            vars,
            reaching,
            scratch: scratch.into(),
            limit: Duration::from_secs(30),
            long_limit: Duration::from_mins(10),
        }
    }

    /// Other time limits: `quick` for commands that only look (30 s), `long` for those that read or write a whole
    /// tree (10 min).
    #[must_use]
    pub fn limits(mut self, quick: Duration, long: Duration) -> Self {
        self.limit = quick;
        self.long_limit = long;
        self
    }

    fn var(&self, name: &str) -> Option<PathBuf> {
        let found = self.vars.iter().find(|(key, value)| key == name && !value.is_empty());
        found.map(|(_, value)| PathBuf::from(value))
    }

    /// Where git looks for the user's own attributes if no setting says where.
    pub(super) fn users_attributes(&self) -> Option<PathBuf> {
        let config = self.var("XDG_CONFIG_HOME").or_else(|| Some(self.var("HOME")?.join(".config")))?;
        Some(config.join("git/attributes"))
    }

    /// Where git, as it is built mostly, looks for the attributes of the machine.
    pub(super) fn systems_attributes(&self) -> Vec<PathBuf> {
        let beside =
            self.program.parent().and_then(Path::parent).map(|prefix| prefix.join("etc/gitattributes"));
        [PathBuf::from("/etc/gitattributes")].into_iter().chain(beside).collect()
    }

    /// The path that a setting means; `None` if we cannot tell.
    pub(super) fn expanded(&self, value: &str) -> Option<PathBuf> {
        match value.strip_prefix("~/") {
            Some(rest) => Some(self.var("HOME")?.join(rest)),
            None => Some(PathBuf::from(value)).filter(|path| path.is_absolute()),
        }
    }

    /// What decides where this git finds settings beside those of a repository.
    pub(super) fn configured_by(&self) -> Vec<String> {
        const PLACES: [&str; 2] = ["HOME", "XDG_CONFIG_HOME"];
        let says = |key: &OsStr| PLACES.iter().chain(&KEPT).any(|name| key == *name);
        let vars = self.vars.iter().filter(|(key, _)| says(key));
        let mut by: Vec<_> =
            vars.map(|(key, value)| format!("{}={}", key.display(), value.display())).collect();
        by.sort();
        by.push(self.program.display().to_string());
        by
    }

    /// The version of this git.
    pub fn version(&self) -> Result<Version> {
        let text = Git::new(self).arg("--version").line("ask for git's version")?;
        Version::parse(&text.to_string_lossy())
            .ok_or_else(|| answer("ask for git's version", text.as_bytes()))
    }
}

/// A version of git.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 2 in 2.39.5.
    pub major: u32,
    /// 39 in 2.39.5.
    pub minor: u32,
}

impl Version {
    /// The oldest git that this room supports.
    pub const OLDEST: Self = Self { major: 2, minor: 39 };

    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.strip_prefix("git version ")?.split('.');
        Some(Self { major: numbers.next()?.parse().ok()?, minor: numbers.next()?.parse().ok()? })
    }
}

/// One git command, hardened.
pub(super) struct Git {
    program: Program,
    reaching: Vec<(OsString, OsString)>,
}

impl Git {
    /// A command that finds its repository from its working directory.
    pub(super) fn new(env: &GitEnv) -> Self {
        let mut program = Program::new(&env.program).env_clear().limit(env.limit);
        for (key, value) in &env.vars {
            program = program.env(key, value);
        }
        program = program
            .env("LC_ALL", "C")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_EDITOR", "true")
            .env("GIT_OPTIONAL_LOCKS", "0")
            // In place of a file in the repository that says of commits what they do not say of themselves: one that there never is.
            .env("GIT_GRAFT_FILE", "/dev/null/none")
            .env("GIT_LITERAL_PATHSPECS", "1")
            // A partial clone fetches what it misses, by a program that its configuration names.
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_ALLOW_PROTOCOL", "none")
            .args(["--no-pager", "--no-optional-locks", "--no-replace-objects"]);
        for (key, value) in HARDENED {
            program = program.arg("-c").arg(format!("{key}={value}"));
        }
        Self { program, reaching: env.reaching.clone() }
    }

    /// A command for the person at the terminal, with the user's own configuration and environment. Not in a repository that anybody else
    /// can have written to.
    pub(super) fn at_terminal(env: &GitEnv) -> Self {
        let mut program = Program::new(&env.program).env_clear();
        for (key, value) in &env.vars {
            program = program.env(key, value);
        }
        Self { program: program.env("GIT_NO_LAZY_FETCH", "1").args(["--no-pager"]), reaching: Vec::new() }
    }

    /// A command in this repository and no other, whatever `.git` and `commondir` files say by now.
    pub(super) fn at(env: &GitEnv, git_dir: &Path, common_dir: &Path, work_tree: &Path) -> Self {
        let mut git = Self::new(env);
        git.program = git
            .program
            .cwd(work_tree)
            .env("GIT_COMMON_DIR", common_dir)
            .arg(option("--git-dir=", git_dir))
            .arg(option("--work-tree=", work_tree));
        git
    }

    /// A command on the refs of a repository, in no checkout.
    pub(super) fn without_work_tree(env: &GitEnv, git_dir: &Path) -> Self {
        let mut git = Self::new(env);
        git.program = git.program.cwd(git_dir).arg(option("--git-dir=", git_dir));
        git
    }

    /// Lets the command reach remotes, as the user does.
    pub(super) fn with_network(mut self) -> Self {
        self.program = self.program.env_remove("GIT_NO_LAZY_FETCH").env_remove("GIT_ALLOW_PROTOCOL");
        for (key, value) in std::mem::take(&mut self.reaching) {
            self.program = self.program.env(key, value);
        }
        self
    }

    /// Whether the environment says by which program a shell at a remote is reached.
    pub(super) fn names_ssh(&self) -> bool {
        self.reaching.iter().any(|(key, _)| key == "GIT_SSH" || key == "GIT_SSH_COMMAND")
    }

    pub(super) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.program = self.program.arg(arg);
        self
    }

    pub(super) fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.program = self.program.args(args);
        self
    }

    /// A setting for this command; before the subcommand.
    pub(super) fn config(self, key: &str, value: &str) -> Self {
        self.arg("-c").arg(format!("{key}={value}"))
    }

    pub(super) fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.program = self.program.env(key, value);
        self
    }

    pub(super) fn cwd(mut self, dir: &Path) -> Self {
        self.program = self.program.cwd(dir);
        self
    }

    pub(super) fn stdin(mut self, bytes: Vec<u8>) -> Self {
        self.program = self.program.stdin(bytes);
        self
    }

    pub(super) fn limit(mut self, limit: Duration) -> Self {
        self.program = self.program.limit(limit);
        self
    }

    pub(super) fn output_cap(mut self, bytes: usize) -> Self {
        self.program = self.program.output_cap(bytes);
        self
    }

    /// Has it hold `lock` until it has ended, also when we are gone.
    pub(super) fn holding(mut self, lock: &Lock) -> Self {
        self.program = self.program.holding(lock);
        self
    }

    /// Runs it; any exit code is an answer. That somebody killed it is none.
    pub(super) fn run(self) -> Result<Output> {
        let output = self.program.run()?;
        if output.status.code().is_none() {
            return Err(output.failure().into());
        }
        Ok(output)
    }

    /// Runs it in our terminal, for as long as the person there wants.
    pub(super) fn run_in_terminal(self, hold: &Hold) -> Result<program::End> {
        Ok(self.program.run_in_terminal(hold)?)
    }

    /// Runs it; an exit code other than 0 is an error, and so is an answer that is too long to be kept whole.
    pub(super) fn output(self, doing: &'static str) -> Result<Vec<u8>> {
        self.output_and_words(doing).map(|(output, _)| output)
    }

    /// Like `output`, with what it said on standard error beside that.
    pub(super) fn output_and_words(self, doing: &'static str) -> Result<(Vec<u8>, Vec<u8>)> {
        let output = self.program.run()?.require_success()?;
        if output.truncated {
            return Err(Error::Answer { doing, answer: "more than we can hold".into() });
        }
        Ok((output.stdout, output.stderr))
    }

    /// Like `output`, for an answer of one line (which may hold newlines: only the last one is taken off).
    pub(super) fn line(self, doing: &'static str) -> Result<OsString> {
        let mut bytes = self.output(doing)?;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        Ok(OsString::from_vec(bytes))
    }

    /// Like `line`, for an object id.
    pub(super) fn id(self, doing: &'static str) -> Result<CommitId> {
        let line = self.line(doing)?;
        line.to_str().and_then(CommitId::parse).ok_or_else(|| answer(doing, line.as_bytes()))
    }
}

/// `--option=` and a path as one argument, whatever bytes the path has.
pub(super) fn option(prefix: &str, path: &Path) -> OsString {
    let mut arg = OsString::from(prefix);
    arg.push(path);
    arg
}

/// The error for an answer that we do not understand.
pub(super) fn answer(doing: &'static str, bytes: &[u8]) -> Error {
    let answer = String::from_utf8_lossy(bytes).chars().take(200).collect();
    Error::Answer { doing, answer }
}

/// The records of an output that ends each with NUL.
pub(super) fn records(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|b| *b == 0).filter(|record| !record.is_empty())
}

/// A path as git wrote it with `-z`.
pub(super) fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}
