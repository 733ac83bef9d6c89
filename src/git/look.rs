//! Looking at a repository: where it is, what its refs and commits say. Writes nothing, runs nothing of its choice.

use super::command::{Git, GitEnv, path, records};
use super::eyes::Eyes;
use super::eyes_git::ByGit;
use super::eyes_git2::ByGit2;
use super::{CommitId, Error, Result, disk};
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

/// Where HEAD is. Branch names are without `refs/heads/`; what is not UTF-8 in them is shown as `U+FFFD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    /// On a branch that has commits.
    Branch {
        /// Its name.
        name: String,
        /// Its tip.
        commit: CommitId,
    },
    /// On a branch that has no commit yet.
    Unborn {
        /// Its name.
        name: String,
    },
    /// On a commit, on no branch.
    Detached {
        /// The commit.
        commit: CommitId,
    },
}

impl Head {
    /// The commit, if there is one yet.
    pub fn commit(&self) -> Option<&CommitId> {
        match self {
            Self::Branch { commit, .. } | Self::Detached { commit } => Some(commit),
            Self::Unborn { .. } => None,
        }
    }

    /// The branch, if HEAD is on one.
    pub fn branch(&self) -> Option<&str> {
        match self {
            Self::Branch { name, .. } | Self::Unborn { name } => Some(name),
            Self::Detached { .. } => None,
        }
    }
}

/// The size of a difference. Files that are not text count as files only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiffStat {
    /// Files changed, added, deleted or renamed.
    pub files: usize,
    /// Lines that are new.
    pub insertions: usize,
    /// Lines that are gone.
    pub deletions: usize,
}

/// A commit in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its id.
    pub id: CommitId,
    /// The first paragraph of its message on one line, as it is: not safe for a terminal.
    pub subject: String,
}

/// A difference as text that `git apply` takes; raw bytes of the files, not safe for a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// The text.
    pub text: Vec<u8>,
    /// There was more than the cap.
    pub truncated: bool,
}

/// Why a branch cannot be made or checked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BranchProblem {
    /// git does not allow such a name.
    Invalid,
    /// It exists, and points there.
    Exists(CommitId),
    /// A branch has the name of a directory that this name needs (`x` when `x/y` is wanted).
    Above(String),
    /// A branch lies below this name (`x/y` when `x` is wanted).
    Below(String),
}

impl BranchProblem {
    /// The stable word for this problem in `--json`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid => "branch_name_invalid",
            Self::Exists(_) => "branch_exists",
            Self::Above(_) | Self::Below(_) => "branch_name_clash",
        }
    }

    /// What to do next, if there is something.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Invalid => {
                Some("set another branch_prefix; git check-ref-format --help tells what a name may be".into())
            }
            Self::Exists(_) => Some("take another name, or work on that branch".into()),
            Self::Above(other) | Self::Below(other) => Some(format!(
                "set another branch_prefix, or rename the branch: git branch -m '{other}' NEW-NAME"
            )),
        }
    }
}

impl fmt::Display for BranchProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid => write!(f, "not a valid branch name"),
            Self::Exists(commit) => write!(f, "it exists already, at {}", commit.short()),
            Self::Above(other) | Self::Below(other) => {
                write!(f, "a branch {other:?} exists, and git cannot have both")
            }
        }
    }
}

/// A repository with a checkout, found from a directory in it.
#[derive(Debug)]
pub struct Repository {
    pub(super) env: GitEnv,
    work_dir: PathBuf,
    git_dir: PathBuf,
    common_dir: PathBuf,
    eyes: Box<dyn Eyes>,
    by_git2: bool,
}

impl Repository {
    /// The repository that holds `dir`; `None` if none does.
    ///
    /// Errors: [`Error::Bare`], [`Error::InsideGitDir`], [`Error::NotOwned`] where git itself would refuse, and
    /// whatever git says of a repository that is broken.
    pub fn discover(env: &GitEnv, dir: &Path) -> Result<Option<Self>> {
        use git2::{ErrorCode, Repository as Git2, RepositoryOpenFlags as Flags};
        let dir = disk::real(dir)?;
        match Git2::open_ext(&dir, Flags::CROSS_FS, std::iter::empty::<&OsStr>()) {
            Ok(repository) => Self::with_git2(env, &dir, repository).map(Some),
            Err(e) if e.code() == ErrorCode::NotFound && !Self::has_dot_git(&dir)? => Ok(None),
            // Of another format, of another owner, or broken: git is the judge.
            Err(_) => Self::with_git(env, &dir),
        }
    }

    /// Like [`Self::discover`], for callers that need a repository.
    pub fn require(env: &GitEnv, dir: &Path) -> Result<Self> {
        Self::discover(env, dir)?.ok_or_else(|| Error::NotARepository { dir: dir.to_owned() })
    }

    /// A `.git` that libgit2 does not find to be a repository is broken or too new, not absent.
    fn has_dot_git(dir: &Path) -> Result<bool> {
        for dir in dir.ancestors() {
            if disk::look(&dir.join(".git"))?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn with_git2(env: &GitEnv, dir: &Path, repository: git2::Repository) -> Result<Self> {
        let git_dir = disk::real(repository.path())?;
        let common_dir = disk::real(repository.commondir())?;
        let Some(work_dir) = repository.workdir() else { return Err(Error::Bare { git_dir }) };
        let work_dir = disk::real(work_dir)?;
        if dir.starts_with(&git_dir) || dir.starts_with(&common_dir) {
            return Err(Error::InsideGitDir { dir: dir.to_owned() });
        }
        let eyes = Box::new(ByGit2(repository));
        Ok(Self { env: env.clone(), work_dir, git_dir, common_dir, eyes, by_git2: true })
    }

    fn with_git(env: &GitEnv, dir: &Path) -> Result<Option<Self>> {
        let ask = |what: &str| {
            // One question per call: two answers could not be told apart if a path holds a newline.
            Git::new(env)
                .cwd(dir)
                .args(["rev-parse", "--path-format=absolute", what])
                .line("find the repository")
        };
        let git_dir = match ask("--git-dir") {
            Ok(git_dir) => disk::real(Path::new(&git_dir))?,
            Err(Error::Program(crate::tools::program::Error::Failed { stderr, .. }))
                if stderr.contains("dubious ownership") =>
            {
                return Err(Error::NotOwned {
                    path: Self::blamed(&stderr).unwrap_or_else(|| dir.to_owned()),
                });
            }
            // The words for "looked everywhere"; a `.git` that leads nowhere gets others.
            Err(Error::Program(crate::tools::program::Error::Failed { stderr, .. }))
                if stderr.contains("not a git repository (or any") =>
            {
                return Ok(None);
            }
            Err(e) => return Err(e),
        };
        let common_dir = disk::real(Path::new(&ask("--git-common-dir")?))?;
        if ask("--is-bare-repository")? == "true" {
            return Err(Error::Bare { git_dir });
        }
        if ask("--is-inside-git-dir")? == "true" {
            return Err(Error::InsideGitDir { dir: dir.to_owned() });
        }
        let work_dir = disk::real(Path::new(&ask("--show-toplevel")?))?;
        let eyes = Box::new(ByGit {
            env: env.clone(),
            git_dir: git_dir.clone(),
            common_dir: common_dir.clone(),
            work_dir: work_dir.clone(),
        });
        Ok(Some(Self { env: env.clone(), work_dir, git_dir, common_dir, eyes, by_git2: false }))
    }

    /// The path that git names in "dubious ownership in repository at '...'".
    fn blamed(stderr: &str) -> Option<PathBuf> {
        let (_, rest) = stderr.split_once("repository at '")?;
        Some(PathBuf::from(rest.split_once("'\n").map_or(rest, |(path, _)| path)))
    }

    /// The root of the checkout, without links.
    pub fn work_dir(&self) -> &Path {
        &self.work_dir
    }

    /// The git directory of this checkout, without links; differs from the common one in a linked worktree.
    pub fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    /// The directory that all worktrees of the repository share, without links: what identifies the repository.
    pub fn common_dir(&self) -> &Path {
        &self.common_dir
    }

    /// This checkout is a linked worktree of another one.
    pub fn is_linked_worktree(&self) -> bool {
        self.git_dir != self.common_dir
    }

    /// False if libgit2 cannot open this repository, so that every look costs a run of git (for `doctor`).
    pub fn is_fast(&self) -> bool {
        self.by_git2
    }

    /// The clone has no full history.
    pub fn is_shallow(&self) -> Result<bool> {
        Ok(disk::look(&self.common_dir.join("shallow"))?.is_some())
    }

    /// Where HEAD is now.
    pub fn head(&self) -> Result<Head> {
        self.eyes.head()
    }

    /// The commit that `spec` (a branch, tag, id, `HEAD~2`, ...) names; `None` if it names none.
    pub fn resolve(&self, spec: &str) -> Result<Option<CommitId>> {
        // A leading dash is never a commit, and must never become an option.
        if spec.is_empty() || spec.starts_with('-') || spec.contains('\0') {
            return Ok(None);
        }
        self.eyes.resolve(spec)
    }

    /// The tip of the local branch `name`; `None` if there is no such branch.
    pub fn branch(&self, name: &str) -> Result<Option<CommitId>> {
        if !is_valid_branch_name(name) {
            return Ok(None);
        }
        self.eyes.reference(&format!("refs/heads/{name}"))
    }

    /// The commit that the ref with this full name (`refs/...`) points at; `None` if there is no such ref.
    pub fn reference(&self, name: &str) -> Result<Option<CommitId>> {
        self.eyes.reference(name)
    }

    /// The questions of the seam.
    pub(super) fn eyes(&self) -> &dyn Eyes {
        self.eyes.as_ref()
    }

    /// What stands against making the branch `name`; `None` if nothing does.
    pub fn branch_problem(&self, name: &str) -> Result<Option<BranchProblem>> {
        if !is_valid_branch_name(name) {
            return Ok(Some(BranchProblem::Invalid));
        }
        if let Some(commit) = self.branch(name)? {
            return Ok(Some(BranchProblem::Exists(commit)));
        }
        for (at, _) in name.match_indices('/') {
            if let Some(above) = name.get(..at)
                && self.branch(above)?.is_some()
            {
                return Ok(Some(BranchProblem::Above(above.to_owned())));
            }
        }
        let below = self.eyes.any_below(&format!("refs/heads/{name}/"))?;
        Ok(below
            .map(|full| BranchProblem::Below(full.strip_prefix("refs/heads/").unwrap_or(&full).to_owned())))
    }

    /// The worktrees that have the branch `name` checked out: none or one, unless somebody used force.
    pub fn checked_out_at(&self, name: &str) -> Result<Vec<PathBuf>> {
        checked_out_at(self.git(), name)
    }

    /// A hardened command in this checkout.
    pub(super) fn git(&self) -> Git {
        Git::at(&self.env, &self.git_dir, &self.common_dir, &self.work_dir)
    }

    /// How the tree of `tip` differs from that of `base`.
    pub fn diff_stat(&self, base: &CommitId, tip: &CommitId) -> Result<DiffStat> {
        self.eyes.diff_stat(base, tip)
    }

    /// The commits reachable from `tip` and not from `base`, newest first, at most `limit`.
    pub fn commits(&self, base: &CommitId, tip: &CommitId, limit: usize) -> Result<Vec<Commit>> {
        self.eyes.commits(base, tip, limit)
    }

    /// The difference between two commits as a patch, at most `cap` bytes of it.
    pub fn patch(&self, base: &CommitId, tip: &CommitId, cap: usize) -> Result<Patch> {
        self.eyes.patch(base, tip, cap)
    }

    /// Is `path` (relative to the root) a submodule in the tree of `commit`?
    pub fn is_submodule(&self, commit: &CommitId, path: &Path) -> Result<bool> {
        self.eyes.is_submodule(commit, path)
    }
}

/// Would git take `name` as the name of a local branch?
pub fn is_valid_branch_name(name: &str) -> bool {
    // libgit2's answer is a plain rule over the text; its only error is a NUL in the name.
    !name.starts_with('-') && git2::Branch::name_is_valid(name).unwrap_or(false)
}

/// The worktrees that have the branch `name` checked out; `git` is a command at the repository with no words yet.
pub(super) fn checked_out_at(git: Git, name: &str) -> Result<Vec<PathBuf>> {
    let out = git.args(["worktree", "list", "--porcelain", "-z"]).output("list worktrees")?;
    let wanted = format!("branch refs/heads/{name}");
    let mut found = Vec::new();
    let mut here = None;
    for record in records(&out) {
        if let Some(at) = record.strip_prefix(b"worktree ") {
            here = Some(path(at));
        } else if record == wanted.as_bytes() {
            found.extend(here.take());
        }
    }
    Ok(found)
}
