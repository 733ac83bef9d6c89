//! Where an agent is to begin: found, and proved usable, before anything is made.

use super::{House, Result};
use crate::a2a::{names, record};
use crate::git::{self, BranchProblem, Brought, CommitId, Head, Repository, Worktree};
use crate::model::agent::Agent;
use crate::model::entry::{Entry, Spec};
use crate::model::ids::{AgentId, Session};
use crate::model::place::Place;
use crate::model::text::Shown;
use crate::rules::place::Wanted;
use crate::tools::file;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The message of the commit that carries the changes of a checkout.
const CARRIED: &str =
    "Changes that were not committed\n\nTaken from the checkout by ai_orch, which left that as it was.\n";

/// Why an agent cannot begin there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The repository has no commit.
    #[error("the repository {} has no commit yet, so there is nothing to start from", .0.display())]
    NoCommit(PathBuf),
    /// `--base` names nothing.
    #[error("'{}' is no commit of this repository", Shown(.0))]
    NoSuchBase(String),
    /// `--branch` names nothing.
    #[error("there is no branch '{}'", Shown(.0))]
    NoSuchBranch(String),
    /// The branch is in use.
    #[error("the branch {} is checked out in {}", Shown(.branch), Shown(&.at.to_string_lossy()))]
    CheckedOut {
        /// The branch.
        branch: String,
        /// Where.
        at: PathBuf,
    },
    /// The checkout holds work that is in no commit.
    #[error("{} is not clean: {what}", Shown(&.checkout.to_string_lossy()))]
    NotClean {
        /// The checkout.
        checkout: PathBuf,
        /// What is in the way.
        what: String,
    },
    /// There can be a worktree.
    #[error("{} is in the repository {}", Shown(&.dir.to_string_lossy()), Shown(&.repository.to_string_lossy()))]
    InRepository {
        /// The directory.
        dir: PathBuf,
        /// The root of the checkout around it.
        repository: PathBuf,
    },
    /// It is no directory that can be worked in.
    #[error("{} cannot be worked in: {why}", Shown(&.dir.to_string_lossy()))]
    NoDirectory {
        /// The directory.
        dir: PathBuf,
        /// Why not.
        why: String,
    },
    /// Another agent is there.
    #[error("{by} works in {}, and there is room for one", Shown(&.dir.to_string_lossy()))]
    Occupied {
        /// The directory.
        dir: PathBuf,
        /// The agent.
        by: Session,
    },
}

impl Error {
    /// A word that does not change, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoCommit(_) => "no_commit",
            Self::NoSuchBase(_) => "no_such_base",
            Self::NoSuchBranch(_) => "no_such_branch",
            Self::CheckedOut { .. } => "branch_checked_out",
            Self::NotClean { .. } => "not_clean",
            Self::InRepository { .. } => "in_repository",
            Self::NoDirectory { .. } => "no_directory",
            Self::Occupied { .. } => "occupied",
        }
    }

    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoCommit(_) => "make one: git commit --allow-empty -m 'Begin'".to_owned(),
            Self::NoSuchBase(_) => "see git branch -a, or leave --base out to start from HEAD".to_owned(),
            Self::NoSuchBranch(name) => {
                format!("see git branch; or start from it where it is: --base '{}'", Shown(name))
            }
            Self::CheckedOut { branch, .. } => {
                format!("work there: --no-worktree; or on a branch of its own: --base '{}'", Shown(branch))
            }
            Self::NotClean { .. } => {
                "commit it or put it away (git stash -u), or leave --no-worktree out".to_owned()
            }
            Self::InRepository { .. } => {
                "leave --dir out and call it there, for a worktree; or, in the checkout itself: --no-worktree"
                    .to_owned()
            }
            Self::NoDirectory { .. } => "give a directory that is there and that you can write in".to_owned(),
            Self::Occupied { by, .. } => {
                format!("wait for its end: ai_orch wait {by}; or end it: ai_orch kill {by}")
            }
        })
    }
}

/// Where an agent is to begin.
#[derive(Debug)]
pub enum Ground {
    /// In a repository.
    Repository {
        /// It.
        repository: Box<Repository>,
        /// The commit to begin at.
        commit: CommitId,
        /// What that is called.
        base_name: String,
        /// What is made of it.
        on: On,
    },
    /// In a directory without one, whose path has no links.
    Directory(PathBuf),
}

/// What an agent works on, in a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum On {
    /// A new branch, in a worktree.
    NewBranch,
    /// This branch, in a worktree.
    Branch(String),
    /// The checkout, which is on this branch if any.
    Checkout(Option<String>),
}

impl Ground {
    /// What kind of place it is.
    pub fn place(&self) -> Place {
        match self {
            Self::Repository { on: On::NewBranch, .. } => Place::NewBranch,
            Self::Repository { on: On::Branch(_), .. } => Place::Branch,
            Self::Repository { on: On::Checkout(_), .. } => Place::Checkout,
            Self::Directory(_) => Place::Directory,
        }
    }

    /// What tells its project from others: the common directory of the repository.
    pub fn common_dir(&self) -> &Path {
        match self {
            Self::Repository { repository, .. } => repository.common_dir(),
            Self::Directory(dir) => dir,
        }
    }

    /// The checkout that it is called from.
    pub fn checkout(&self) -> &Path {
        match self {
            Self::Repository { repository, .. } => repository.work_dir(),
            Self::Directory(dir) => dir,
        }
    }
}

/// The ground that was asked for, seen from `dir`; `with_changes`: a new branch begins with what the checkout has uncommitted.
///
/// # Errors
/// If it is not there, or nobody can work on it now.
pub fn find(house: &House, dir: &Path, wanted: &Wanted<'_>, with_changes: bool) -> Result<Ground> {
    let (base, on) = match *wanted {
        // Asked for elsewhere: its head has to be fetched first.
        Wanted::PullRequest(name) => return Err(Error::NoSuchBranch(name.to_owned()).into()),
        Wanted::Directory(wanted) => return directory(house, &dir.join(wanted)),
        Wanted::NewBranch(base) => (base, None),
        Wanted::Branch(name) => (None, Some(name)),
        Wanted::Checkout => {
            let repository = Repository::require(&house.git()?, dir)?;
            let (commit, base_name, branch) = head(&repository)?;
            clean(house, &repository, &commit)?;
            let (repository, on) = (Box::new(repository), On::Checkout(branch));
            return Ok(Ground::Repository { repository, commit, base_name, on });
        }
    };
    if let Some(name) = on {
        let repository = Repository::require(&house.git()?, dir)?;
        let commit = branch(&repository, name)?;
        let (repository, on) = (Box::new(repository), On::Branch(name.to_owned()));
        return Ok(Ground::Repository { repository, commit, base_name: name.to_owned(), on });
    }
    let (repository, mut commit, mut base_name) = starting_point(house, dir, base)?;
    if with_changes {
        let worktree = Worktree::checkout(&repository, None);
        if let Some(operation) = git::changes::underway(&house.git()?, &worktree)? {
            let what = format!("git is in the middle of {operation}");
            return Err(Error::NotClean { checkout: repository.work_dir().to_owned(), what }.into());
        }
        let config = git::ConfigSnapshot::take(&repository)?;
        let carried = git::commit::snapshot(&house.git()?, &worktree, &config, CARRIED)?;
        if let Some(carried) = carried {
            commit = carried;
            base_name = format!("{base_name} with its changes");
        }
    }
    Ok(Ground::Repository { repository: Box::new(repository), commit, base_name, on: On::NewBranch })
}

/// The repository around `dir` and the commit that `base` names, with a name for that commit.
pub fn starting_point(
    house: &House,
    dir: &Path,
    base: Option<&str>,
) -> Result<(Repository, CommitId, String)> {
    let repository = Repository::require(&house.git()?, dir)?;
    if let Some(base) = base {
        let commit = repository.resolve(base)?.ok_or_else(|| Error::NoSuchBase(base.to_owned()))?;
        return Ok((repository, commit, base.to_owned()));
    }
    let (commit, name, _) = head(&repository)?;
    Ok((repository, commit, name))
}

/// The commit that HEAD is at, a name for it, and its branch.
fn head(repository: &Repository) -> Result<(CommitId, String, Option<String>)> {
    match repository.head()? {
        Head::Branch { name, commit } => Ok((commit, name.clone(), Some(name))),
        Head::Detached { commit } => Ok((commit.clone(), commit.short().to_owned(), None)),
        Head::Unborn { .. } => Err(Error::NoCommit(repository.work_dir().to_owned()).into()),
    }
}

/// The tip of a branch that nobody has checked out.
fn branch(repository: &Repository, name: &str) -> Result<CommitId> {
    let commit = match repository.branch_problem(name)? {
        Some(BranchProblem::Exists(commit)) => commit,
        Some(problem @ BranchProblem::Invalid) => {
            return Err(git::Error::Branch { name: name.to_owned(), problem }.into());
        }
        _ => return Err(Error::NoSuchBranch(name.to_owned()).into()),
    };
    match repository.checked_out_at(name)?.into_iter().next() {
        Some(at) => Err(Error::CheckedOut { branch: name.to_owned(), at }.into()),
        None => Ok(commit),
    }
}

/// Fails if the checkout holds anything that is in no commit, or git is in the middle of something.
fn clean(house: &House, repository: &Repository, commit: &CommitId) -> Result<()> {
    let env = house.git()?;
    let worktree = Worktree::checkout(repository, None);
    let not_clean = |what| Error::NotClean { checkout: repository.work_dir().to_owned(), what };
    if let Some(operation) = git::changes::underway(&env, &worktree)? {
        return Err(not_clean(format!("git is in the middle of {operation}")).into());
    }
    match git::stat::stat(&env, &worktree, commit, &Brought::nothing(), Duration::ZERO)?.diff.files {
        0 => Ok(()),
        1 => Err(not_clean("1 file is not as it was committed".to_owned()).into()),
        files => Err(not_clean(format!("{files} files are not as they were committed")).into()),
    }
}

fn directory(house: &House, dir: &Path) -> Result<Ground> {
    let unusable = |why: String| Error::NoDirectory { dir: dir.to_owned(), why };
    let real = file::canonical(dir).map_err(|error| unusable(error.source.to_string()))?;
    if !file::is_dir(&real)? {
        return Err(unusable("it is no directory".to_owned()).into());
    }
    let in_repository = |repository: PathBuf| Error::InRepository { dir: real.clone(), repository };
    match Repository::discover(&house.git()?, &real) {
        Ok(None) => Ok(Ground::Directory(real)),
        Ok(Some(repository)) => Err(in_repository(repository.work_dir().to_owned()).into()),
        Err(git::Error::Bare { git_dir } | git::Error::InsideGitDir { dir: git_dir }) => {
            Err(in_repository(git_dir).into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Fails if an agent other than `but` works in `dir`, or is to go on there, and that is not a worktree of its own. The caller holds
/// the lock of the project.
pub fn alone_at(house: &House, dir: &Path, but: AgentId) -> Result<()> {
    for named in names::all(&house.settings.places)? {
        // Whoever cannot be read was somewhere, and nobody can say where.
        let Some(agent) = record::load(&named.record).ok().flatten() else { continue };
        if named.id != but && is_at(&agent, dir) {
            return Err(Error::Occupied { dir: dir.to_owned(), by: named.session }.into());
        }
    }
    Ok(())
}

fn is_at(agent: &Agent, dir: &Path) -> bool {
    let over = agent.conclusion.is_some() || agent.not_created.is_some() || agent.removal.is_some();
    !over && !agent.spec.place.has_own_worktree() && agent.spec.worktree == dir
}

/// What is put on record of a place that nobody makes: it is as it is.
///
/// # Errors
/// If it is not there any more.
pub(super) fn stays(house: &House, spec: &Spec) -> Result<Entry> {
    let path = spec.worktree.clone();
    let admin_dir = if spec.place.is_in_repository() {
        let repository = Repository::require(&house.git()?, &path)?;
        if repository.work_dir() != path || repository.common_dir() != spec.common_dir {
            let what = "it belongs to another repository".to_owned();
            return Err(git::Error::NotOurWorktree { path, what }.into());
        }
        repository.git_dir().to_owned()
    } else {
        path.clone()
    };
    Ok(Entry::WorktreeMade { path, admin_dir })
}

/// Fails if the place of an agent that works in the user's is not what it was: the checkout of that repository, or a directory.
pub(super) fn stands(agent: &Agent) -> Result<()> {
    if let Some(worktree) = super::worktree(agent) {
        return Ok(git::worktree::linked(&worktree)?);
    }
    let dir = &agent.spec.worktree;
    if file::is_dir(dir)? {
        return Ok(());
    }
    Err(Error::NoDirectory { dir: dir.clone(), why: "it is gone".to_owned() }.into())
}
