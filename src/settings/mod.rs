//! Settings: the only room that reads environment variables, and the files that people configure ai_orch with.

use crate::model::glob::{BadGlob, Glob};
use crate::model::places::Places;
use crate::model::profile::Permissions;
use crate::model::text::Shown;
use crate::rules::pool::{self, Limits};
use crate::tools::file;
use directories::BaseDirs;
use serde::Deserialize;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

pub mod environment;
pub mod project_file;

/// Longest socket path that tmux and the kernel take with room to spare, in bytes.
const SOCKET_MAX: usize = 90;

/// Settings that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No home directory is known.
    #[error("there is no home directory: HOME is not set")]
    NoHome,
    /// A directory setting is not an absolute path.
    #[error("{name} is not an absolute path: '{}'", Shown(.value))]
    Relative {
        /// The variable.
        name: &'static str,
        /// What it says.
        value: String,
    },
    /// A path cannot be used for tmux.
    #[error("the path {} is not UTF-8, which tmux needs", .0.display())]
    NotUtf8(PathBuf),
    /// A settings file is wrong.
    #[error("{}: {}", .path.display(), .message.trim_end())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and key.
        message: String,
    },
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] file::Error),
    /// The working directory is gone.
    #[error("the working directory cannot be found: {0}")]
    WorkingDirectory(std::io::Error),
    /// Our own program file is gone.
    #[error("the program file of ai_orch cannot be found: {0}")]
    Program(String),
}

impl Error {
    /// A word that does not change, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoHome | Self::Relative { .. } | Self::NotUtf8(_) | Self::Config { .. } => "config",
            Self::File(e) => e.code(),
            Self::WorkingDirectory(_) => "working_directory",
            Self::Program(_) => "environment",
        }
    }

    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoHome => Some("set HOME".to_owned()),
            Self::Relative { name, .. } => {
                Some(format!("give {name} a path that begins with /, or unset it"))
            }
            Self::NotUtf8(_) => Some("give AI_ORCH_ROOT and XDG_STATE_HOME paths that are UTF-8".to_owned()),
            Self::Config { path, .. } => Some(format!("edit {}", path.display())),
            Self::File(e) => e.hint(),
            Self::WorkingDirectory(_) => Some("cd to a directory that exists".to_owned()),
            Self::Program(_) => Some("install ai_orch again".to_owned()),
        }
    }
}

/// `config.toml`, as people write it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigFile {
    agent_cli: Option<Vec<String>>,
    branch_prefix: Option<String>,
    permissions: Option<Permissions>,
    protected_branches: Option<Vec<Glob>>,
    pool: Option<u32>,
    pool_max_files: Option<u64>,
}

impl ConfigFile {
    /// How many worktrees may be kept ready, and how large.
    fn limits(&self, path: &Path) -> Result<Limits, Error> {
        let number = self.pool.unwrap_or(pool::NUMBER);
        if number > pool::MOST {
            let message = format!("pool is {number}, and may be 0 to {}", pool::MOST);
            return Err(Error::Config { path: path.to_owned(), message });
        }
        Ok(Limits { number, max_files: self.pool_max_files.unwrap_or(pool::MAX_FILES) })
    }

    /// The patterns of protected branches, none of which can be meant otherwise than it is read.
    fn protected(&self, path: &Path) -> Result<Vec<Glob>, Error> {
        let Some(globs) = &self.protected_branches else { return protected_by_default() };
        let instead = |text: &str| match text.strip_prefix("refs/heads/") {
            Some(name) => Some(name.to_owned()),
            None => Some(text.trim_end_matches('/').to_owned()).filter(|name| name != text),
        };
        match globs.iter().find_map(|glob| Some((glob, instead(glob.as_str())?))) {
            None => Ok(globs.clone()),
            Some((glob, name)) => {
                let message = format!(
                    "protected_branches has '{glob}', which protects no branch of that name: write '{0}', or '{0}/**' for all below it",
                    Shown(&name)
                );
                Err(Error::Config { path: path.to_owned(), message })
            }
        }
    }
}

/// Everything that a verb or a keeper has to know about where and how it runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where everything lies.
    pub places: Places,
    /// The socket of our tmux server.
    pub tmux_socket: PathBuf,
    /// The chain to use when none is given.
    pub agent_cli: Option<Vec<String>>,
    /// What branch names begin with.
    pub branch_prefix: String,
    /// What agents may do, when nothing is given.
    pub permissions: Permissions,
    /// The branches that no agent may move, make or delete, but one that it was given.
    pub protected_branches: Vec<Glob>,
    /// What worktrees may be kept ready.
    pub pool: Limits,
    /// The environment of this process.
    pub environment: environment::Environment,
    /// The working directory.
    pub working_dir: PathBuf,
    /// Our own program file.
    pub program: PathBuf,
    /// The user's id.
    pub uid: u32,
}

impl Settings {
    /// Reads the environment and `config.toml`.
    pub fn load() -> Result<Self, Error> {
        let environment = environment::Environment::of_this_process();
        // Without it BaseDirs would ask the user database, whose plug-ins a statically linked program must not load.
        environment.value("HOME").filter(|home| !home.is_empty()).ok_or(Error::NoHome)?;
        let base = BaseDirs::new().ok_or(Error::NoHome)?;
        let uid = rustix::process::getuid().as_raw();
        let root = match environment.value("AI_ORCH_ROOT").filter(|v| !v.is_empty()) {
            Some(root) => absolute("AI_ORCH_ROOT", root)?,
            None => PathBuf::from(format!("/tmp/ai_orch-{uid}")),
        };
        let state = base.state_dir().map_or_else(|| base.home_dir().join(".local/state"), Path::to_owned);
        let places = Places {
            root,
            state: state.join("ai_orch"),
            data: base.data_dir().join("ai_orch"),
            config: base.config_dir().join("ai_orch"),
        };
        let path = places.config.join("config.toml");
        let config = load_config(&path)?;
        Ok(Self {
            tmux_socket: socket(&places, uid)?,
            places,
            protected_branches: config.protected(&path)?,
            pool: config.limits(&path)?,
            agent_cli: config.agent_cli,
            branch_prefix: config.branch_prefix.unwrap_or_else(|| "ai_orch/".to_owned()),
            permissions: config.permissions.unwrap_or_default(),
            environment,
            working_dir: std::env::current_dir().map_err(Error::WorkingDirectory)?,
            program: own_program()?,
            uid,
        })
    }

    /// The template of pull requests: the user's own, else ours.
    pub fn pull_template(&self) -> Result<String, Error> {
        let own = text(&self.places.pull_template())?;
        Ok(if own.trim().is_empty() { crate::rules::pull_text::DEFAULT.to_owned() } else { own })
    }

    /// The user's profile files, with what is in them.
    pub fn profile_files(&self) -> Result<Vec<(PathBuf, String)>, Error> {
        let dir = self.places.profiles();
        let mut files = Vec::new();
        let mut names = file::names(&dir)?.unwrap_or_default();
        names.sort();
        for name in names {
            let path = dir.join(&name);
            if path.extension() == Some(OsStr::new("toml")) && !name.as_bytes().starts_with(b".") {
                files.push((path.clone(), text(&path)?));
            }
        }
        Ok(files)
    }
}

/// What is protected if nobody says otherwise.
fn protected_by_default() -> Result<Vec<Glob>, Error> {
    let parse = |text: &&str| {
        text.parse().map_err(|e: BadGlob| Error::Config { path: PathBuf::new(), message: e.to_string() })
    };
    ["main", "master", "release/*"].iter().map(parse).collect()
}

fn text(path: &Path) -> Result<String, Error> {
    let bytes = file::read(path)?.unwrap_or_default();
    String::from_utf8(bytes)
        .map_err(|_| Error::Config { path: path.to_owned(), message: "it is not UTF-8".to_owned() })
}

fn load_config(path: &Path) -> Result<ConfigFile, Error> {
    let text = text(path)?;
    toml::from_str(&text).map_err(|e| {
        let at = e.span().map_or(0, |span| span.start);
        let line = text.bytes().take(at).filter(|b| *b == b'\n').count() + 1;
        let message = e.message().lines().collect::<Vec<_>>().join(", ");
        Error::Config { path: path.to_owned(), message: format!("line {line}: {message}") }
    })
}

fn absolute(name: &'static str, value: &OsStr) -> Result<PathBuf, Error> {
    let path = PathBuf::from(value);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(Error::Relative { name, value: value.to_string_lossy().into_owned() })
    }
}

/// The socket path: in the root, or where that is too long for a socket, under a hashed name in the default root.
fn socket(places: &Places, uid: u32) -> Result<PathBuf, Error> {
    let path = places.tmux_socket();
    if path.to_str().is_none() {
        return Err(Error::NotUtf8(path));
    }
    if path.as_os_str().len() <= SOCKET_MAX {
        return Ok(path);
    }
    let name = crate::rules::naming::short_hash(places.root.as_os_str().as_bytes());
    Ok(PathBuf::from(format!("/tmp/ai_orch-{uid}/tmux-{name}.sock")))
}

fn own_program() -> Result<PathBuf, Error> {
    let path = std::env::current_exe().map_err(|e| Error::Program(e.to_string()))?;
    match path.to_str() {
        // The kernel's words for a file that was replaced or removed while it runs.
        Some(text) if text.ends_with(" (deleted)") => {
            Err(Error::Program(format!("{text} was replaced while it ran")))
        }
        Some(_) => Ok(path),
        None => Err(Error::NotUtf8(path)),
    }
}

/// A variable assignment `NAME=value`, as given with `--env`.
pub fn assignment(text: &OsStr) -> Option<(OsString, OsString)> {
    let bytes = text.as_bytes();
    let at = bytes.iter().position(|b| *b == b'=')?;
    let (name, value) = bytes.split_at(at);
    let good = |c: &u8| c.is_ascii_alphanumeric() || *c == b'_';
    if name.is_empty() || name.first().is_some_and(u8::is_ascii_digit) || !name.iter().all(good) {
        return None;
    }
    Some((OsStr::from_bytes(name).to_owned(), OsStr::from_bytes(value.get(1..)?).to_owned()))
}
