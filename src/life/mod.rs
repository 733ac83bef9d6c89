//! Floor 4: the steps of an agent's life, each safe to do twice. Verbs and keepers use the same ones.

use crate::a2a::identity::{self, Who};
use crate::git::{self, CommitId, GitEnv};
use crate::github::{self, Gh};
use crate::model::agent::Agent;
use crate::model::entry::Spec;
use crate::model::ids::Project;
use crate::settings::environment::Environment;
use crate::settings::{self, Settings};
use crate::tmux::{self, Server};
use crate::tools::lock::{self, Lock};
use crate::tools::{file, program};
use crate::{a2a, agents};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

pub mod clean;
pub mod create;
pub mod deliver;
pub mod family;
pub mod fence;
pub mod ground;
pub mod guard;
pub mod half_started;
pub mod merge;
pub mod outfit;
pub mod pool;
pub mod pull;
pub mod rails;
mod remake;
pub mod resume;
pub mod session;
mod teardown;
pub mod undo;
pub mod work;

/// How long to wait for others who have the lock of the same project.
const ALONE_LIMIT: Duration = Duration::from_mins(2);

/// A step that failed, in the words of the room it failed in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Shared files.
    #[error(transparent)]
    Shared(#[from] a2a::Error),
    /// tmux.
    #[error(transparent)]
    Tmux(#[from] tmux::Error),
    /// git.
    #[error(transparent)]
    Git(#[from] git::Error),
    /// Profiles.
    #[error(transparent)]
    Agents(#[from] agents::Error),
    /// Settings.
    #[error(transparent)]
    Settings(#[from] settings::Error),
    /// A place where no agent can begin.
    #[error(transparent)]
    Ground(#[from] ground::Error),
    /// A step of the creation of an agent.
    #[error(transparent)]
    Create(#[from] create::Error),
    /// A session without a keeper.
    #[error(transparent)]
    Session(#[from] session::Error),
    /// An agent that cannot go on.
    #[error(transparent)]
    Resume(#[from] resume::Error),
    /// A run of merges that cannot begin or go on.
    #[error(transparent)]
    Merge(#[from] merge::Error),
    /// A pull request that is none to begin at, or to end in.
    #[error(transparent)]
    Pull(#[from] pull::Error),
    /// Pull requests.
    #[error(transparent)]
    Github(#[from] github::Error),
    /// An agent that stays as it is.
    #[error(transparent)]
    Clean(#[from] clean::Error),
    /// An agent that cannot be brought back.
    #[error(transparent)]
    Undo(#[from] undo::Error),
    /// git is not installed.
    #[error("git is not installed")]
    NoGit,
    /// What an agent left running could not be ended.
    #[error("{} could not be ended: {}", if .pids.len() == 1 { "a process of the agent" } else { "processes of the agent" }, .pids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    StillRunning {
        /// The processes.
        pids: Vec<i32>,
    },
}

impl Error {
    /// A word that does not change, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Shared(e) => e.code(),
            Self::Tmux(e) => e.code(),
            Self::Git(e) => e.code(),
            Self::Agents(e) => e.code(),
            Self::Settings(e) => e.code(),
            Self::Ground(e) => e.code(),
            Self::Create(e) => e.code(),
            Self::Session(e) => e.code(),
            Self::Resume(e) => e.code(),
            Self::Merge(e) => e.code(),
            Self::Pull(e) => e.code(),
            Self::Github(e) => e.code(),
            Self::Clean(e) => e.code(),
            Self::Undo(e) => e.code(),
            Self::NoGit => "git_missing",
            Self::StillRunning { .. } => "still_running",
        }
    }

    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Shared(e) => e.hint(),
            Self::Tmux(e) => e.hint(),
            Self::Git(e) => e.hint(),
            Self::Agents(e) => e.hint(),
            Self::Settings(e) => e.hint(),
            Self::Ground(e) => e.hint(),
            Self::Create(e) => e.hint(),
            Self::Session(e) => e.hint(),
            Self::Resume(e) => e.hint(),
            Self::Merge(e) => e.hint(),
            Self::Pull(e) => e.hint(),
            Self::Github(e) => e.hint(),
            Self::Clean(e) => e.hint(),
            Self::Undo(e) => e.hint(),
            Self::NoGit => Some("install it: apt-get install git".to_owned()),
            Self::StillRunning { pids } => pids.first().map(|pid| format!("look at it: ps -fp {pid}")),
        }
    }
}

impl From<file::Error> for Error {
    fn from(error: file::Error) -> Self {
        Self::Shared(error.into())
    }
}

impl From<crate::tools::lock::Error> for Error {
    fn from(error: crate::tools::lock::Error) -> Self {
        Self::Shared(error.into())
    }
}

impl From<crate::tools::process::Error> for Error {
    fn from(error: crate::tools::process::Error) -> Self {
        Self::Shared(error.into())
    }
}

/// Result of a step.
pub type Result<T> = std::result::Result<T, Error>;

/// The handle that everything hangs on: settings, our tmux server, git. Make as many as you like.
#[derive(Debug, Clone)]
pub struct House {
    /// The settings.
    pub settings: Settings,
    /// Our tmux server.
    pub tmux: Server,
}

impl House {
    /// A house with `settings`.
    pub fn new(settings: Settings) -> Self {
        let environment: Vec<(OsString, OsString)> =
            settings.environment.plain().iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        let places = &settings.places;
        let files = tmux::Files {
            socket: settings.tmux_socket.clone(),
            conf: places.tmux_conf(),
            lock: places.tmux_lock(),
            known: places.tmux_server(),
        };
        let tmux = Server::new(files, environment);
        Self { settings, tmux }
    }

    /// A house as the environment and the settings files describe it.
    pub fn load() -> Result<Self> {
        Ok(Self::new(Settings::load()?))
    }

    /// Who called us.
    pub fn who(&self) -> Result<Who> {
        let environment = &self.settings.environment;
        let variable = |name: &str| environment.value(name).map(|v| v.to_string_lossy().into_owned());
        Ok(identity::who(&self.settings.places, variable)?)
    }

    /// Where `name` is in PATH.
    pub fn find_program(&self, name: &str) -> Option<PathBuf> {
        program::find_in_path(name, self.settings.environment.value("PATH").unwrap_or_default())
    }

    /// git, hardened, with the environment of this process.
    pub fn git(&self) -> Result<GitEnv> {
        file::make_dirs(&self.scratch())?;
        self.git_to_look()
    }

    /// Like [`Self::git`], for verbs that write nothing at all.
    pub fn git_to_look(&self) -> Result<GitEnv> {
        self.git_of(&self.settings.environment)
    }

    /// git, hardened, with an `environment` of the user's: what reaches remotes has to be found in it.
    pub fn git_of(&self, environment: &Environment) -> Result<GitEnv> {
        let program = self.program_beside_ours("git").ok_or(Error::NoGit)?;
        let vars = environment.iter().map(|(k, v)| (k.to_owned(), v.to_owned()));
        Ok(GitEnv::new(program, vars, self.scratch()))
    }

    /// `gh`, if it is installed, with an `environment` of the user's.
    pub fn gh(&self, environment: &Environment) -> Gh {
        let vars = environment.iter().map(|(k, v)| (k.to_owned(), v.to_owned()));
        Gh::new(self.program_beside_ours("gh"), vars, self.scratch())
    }

    /// Where a program is, but for what stands in front of it in the PATH of an agent: that refuses what we need.
    fn program_beside_ours(&self, name: &str) -> Option<PathBuf> {
        let path = self.settings.environment.value("PATH").unwrap_or_default();
        program::find_in_path(name, &program::path_beside(path, &self.settings.places.state))
    }

    /// Removes the private directories of processes that were killed. They may hold what nobody else is to see.
    pub fn sweep_scratch(&self) {
        if let Err(error) = git::scratch::sweep(&self.scratch()) {
            tracing::warn!(%error, "what killed processes left could not be removed");
        }
    }

    fn scratch(&self) -> PathBuf {
        self.settings.places.state.join("scratch")
    }

    /// The lock of a project: held while a worktree of it is added, made again or taken away.
    pub fn alone_in(&self, project: &Project) -> Result<Lock> {
        Ok(lock::exclusive(&self.settings.places.project_lock(project), ALONE_LIMIT)?)
    }

    /// Every agent CLI that can be named, the user's own profiles included.
    pub fn catalogue(&self) -> Result<agents::Catalogue> {
        Ok(agents::Catalogue::with_user_profiles(self.settings.profile_files()?)?)
    }
}

/// The commit at which the branch of an agent was made for it; `None` for one that was not.
pub fn own_branch_at(spec: &Spec) -> Option<CommitId> {
    CommitId::parse(&spec.base).filter(|_| spec.place.has_own_branch())
}

/// The worktree of `agent`, as git registered it; `None` if that never happened, and for one that works in no repository. One that
/// works in the user's checkout has that.
pub fn worktree(agent: &Agent) -> Option<git::Worktree> {
    let made = agent.worktree.as_ref().filter(|_| agent.spec.place.is_in_repository());
    made.map(|(path, admin_dir)| git::Worktree {
        path: path.clone(),
        admin_dir: admin_dir.clone(),
        common_dir: agent.spec.common_dir.clone(),
        branch: agent.spec.branch.clone(),
    })
}
