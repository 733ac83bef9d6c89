//! Making a worktree for an agent, and knowing it again.
//!
//! [`add`] is short (a few milliseconds) and needs the caller's lock: git's own locks make parallel adds fail. To fill it
//! ([`fill`], [`super::fill`]) is long and needs none. Together they leave what a plain `git worktree add` leaves, but run no hook.
//! Removing a worktree that was in use is in [`super::remove`]; [`undo_add`] takes back an add and nothing more.

use super::command::{Git, GitEnv, answer};
use super::eyes::Eyes;
use super::eyes_git::ByGit;
use super::eyes_git2::ByGit2;
use super::{CommitId, Error, Head, Repository, Result, disk, locks};
use crate::tools::lock::Lock;
use crate::tools::{process, program};
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::repair::{self, is_begun_for};

pub use super::repair::repair_add;

/// A worktree that we made. Written down when it was made; what the worktree itself says later is not believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worktree {
    /// Its root, without links.
    pub path: PathBuf,
    /// Its own git directory, inside the common one, without links.
    pub admin_dir: PathBuf,
    /// The directory that all worktrees of the repository share, without links.
    pub common_dir: PathBuf,
    /// The branch it was made on.
    pub branch: String,
}

impl Worktree {
    /// The checkout of `repository` itself, which is the user's: nothing here makes or removes one. Without a branch if HEAD is
    /// on none.
    pub fn checkout(repository: &Repository, branch: Option<&str>) -> Self {
        Self {
            path: repository.work_dir().to_owned(),
            admin_dir: repository.git_dir().to_owned(),
            common_dir: repository.common_dir().to_owned(),
            branch: branch.unwrap_or_default().to_owned(),
        }
    }

    /// Whether it is the main one of its repository, whose git directory is the common one.
    fn is_main(&self) -> bool {
        self.admin_dir == self.common_dir
    }

    /// Whether `head` is where it was made to be.
    pub fn is_at(&self, head: &Head) -> bool {
        head.branch().unwrap_or_default() == self.branch
    }
}

/// What [`undo_add`] could take back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undone {
    /// All of it, but perhaps for the branch, if that had moved.
    All,
    /// Nothing: there are files in the worktree.
    KeptFiles,
}

/// What the branch of an add that failed is to whoever takes that back.
#[derive(Debug, Clone, Copy)]
pub(super) enum Branch<'c> {
    /// It was there before, or none was wanted: nothing is done to it.
    Theirs,
    /// It was to be made, and was not: one that is there is somebody else's. A dead lock of it may be ours.
    Wanted,
    /// It was made, or may have been, at this commit.
    Made(&'c CommitId),
}

/// Makes a worktree at `path` on the new branch `branch` at `commit`, with no files in it yet.
///
/// `path` must not exist; its parents are made. `lock` is the repository's: everybody of ours who adds a worktree holds it. The
/// user's configuration is not written, no branch is tracked, no hook runs. If this fails, what was made is taken back.
/// Errors: [`Error::PathTaken`], [`Error::Branch`], and what git says.
pub fn add(
    repository: &Repository,
    lock: &Lock,
    path: &Path,
    branch: &str,
    commit: &CommitId,
) -> Result<Worktree> {
    if let Some(problem) = repository.branch_problem(branch)? {
        return Err(Error::Branch { name: branch.to_owned(), problem });
    }
    let words =
        ["-b".as_ref(), OsStr::new(branch), "--".as_ref(), path.as_os_str(), commit.as_str().as_ref()];
    add_with(repository, lock, path, branch, &words, Some(commit))
}

/// Makes a worktree at `path` on the branch `branch`, which exists and is checked out nowhere; like [`add`] otherwise.
pub fn add_existing(repository: &Repository, lock: &Lock, path: &Path, branch: &str) -> Result<Worktree> {
    let words = ["--".as_ref(), path.as_os_str(), OsStr::new(branch)];
    add_with(repository, lock, path, branch, &words, None)
}

/// Makes a worktree at `path` with HEAD at `commit` and on no branch; like [`add`] otherwise.
pub(super) fn add_detached(
    repository: &Repository,
    lock: &Lock,
    path: &Path,
    commit: &CommitId,
) -> Result<Worktree> {
    let words = ["--detach".as_ref(), "--".as_ref(), path.as_os_str(), commit.as_str().as_ref()];
    add_with(repository, lock, path, "", &words, None)
}

fn add_with(
    repository: &Repository,
    lock: &Lock,
    path: &Path,
    branch: &str,
    words: &[&OsStr],
    made_branch_at: Option<&CommitId>,
) -> Result<Worktree> {
    if !path.is_absolute() || disk::look(path)?.is_some() {
        return Err(Error::PathTaken { path: path.to_owned() });
    }
    let before = disk::names(&repository.common_dir().join("worktrees"))?.unwrap_or_default();
    let add = || {
        repository
            .git()
            .config("branch.autoSetupMerge", "false")
            .config("worktree.useRelativePaths", "false")
            .args(["worktree", "add", "--quiet", "--no-checkout", "--no-guess-remote"])
            .args(made_branch_at.map(|_| "--no-track"))
            .args(words)
            // If we are killed it goes on, and nobody else of ours may add meanwhile: two fail by each other.
            .holding(lock)
            .output("add a worktree")
            .and_then(|_| found_at(repository, path, branch))
            .and_then(|worktree| secured(&worktree).map(|()| worktree))
    };
    // The branch and the path were not there before, and the caller's lock keeps others of us away: what is there now is
    // ours. The first error is the one to tell.
    let first = add();
    let Err(error) = &first else { return first };
    let made = match made_branch_at {
        None => Branch::Theirs,
        Some(_) if says_it_exists(error, branch) => Branch::Wanted,
        Some(commit) => Branch::Made(commit),
    };
    let take_back = || drop(take_back(repository, path, branch, &before, made));
    take_back();
    if !repair::clear_unreadable(repository.common_dir(), path, error)? {
        return first;
    }
    take_back();
    add().inspect_err(|_| take_back())
}

/// Whether git failed because the branch, or its lock, was there already.
fn says_it_exists(error: &Error, branch: &str) -> bool {
    let Error::Program(program::Error::Failed { stderr, .. }) = error else { return false };
    stderr.lines().any(|line| {
        line.contains(branch) && (line.contains("already exists") || line.contains("cannot lock ref"))
    })
}

/// Does `work`, and once more if it failed: a git may have been killed at it (by a system that is out of memory), and nobody else
/// would see to what is left.
fn twice<T>(work: impl Fn() -> Result<T>) -> Result<T> {
    work().or_else(|_| work())
}

/// Brings to the disk what makes a directory a worktree, which git does not: after a power cut these files would be there and
/// empty, and nobody could go on in it.
fn secured(worktree: &Worktree) -> Result<()> {
    for name in ["HEAD", "gitdir", "commondir"] {
        disk::sync(&worktree.admin_dir.join(name))?;
    }
    disk::sync(&worktree.path.join(".git"))?;
    [&worktree.admin_dir, &worktree.path].into_iter().try_for_each(|dir| disk::sync(dir))
}

/// The worktree that git has just made at `path`.
pub(super) fn found_at(repository: &Repository, path: &Path, branch: &str) -> Result<Worktree> {
    let path = disk::real(path)?;
    let link = disk::read_small(&path.join(".git"))?.unwrap_or_default();
    let admin = link.strip_prefix(b"gitdir: ").and_then(|rest| rest.strip_suffix(b"\n"));
    let admin = admin.ok_or_else(|| answer("find the new worktree", &link))?;
    let admin_dir = disk::real(&path.join(OsStr::from_bytes(admin)))?;
    Ok(Worktree {
        path,
        admin_dir,
        common_dir: repository.common_dir().to_owned(),
        branch: branch.to_owned(),
    })
}

/// Takes back an add that failed half-way; `before` are the entries that were there before it.
pub(super) fn take_back(
    repository: &Repository,
    path: &Path,
    branch: &str,
    before: &[std::ffi::OsString],
    made: Branch<'_>,
) -> Result<()> {
    twice(|| take_back_once(repository, path, branch, before, made))
}

fn take_back_once(
    repository: &Repository,
    path: &Path,
    branch: &str,
    before: &[std::ffi::OsString],
    made: Branch<'_>,
) -> Result<()> {
    let common_dir = repository.common_dir();
    if !remove_pristine(path)? {
        return Ok(());
    }
    for name in disk::names(&common_dir.join("worktrees"))?.unwrap_or_default() {
        if before.contains(&name) {
            continue;
        }
        let admin_dir = common_dir.join("worktrees").join(&name);
        let ours = if let Some(ours) = admin_leads_to(&admin_dir, path)? {
            ours
        } else {
            // Killed before it said where it leads. One of the same name that somebody else makes at this moment looks alike, as
            // long as their git runs.
            let begun = || is_begun_for(&admin_dir, &name, path);
            begun()? && locks::all_ended(locks::SHORT) && begun()?
        };
        if ours {
            disk::remove_tree(&admin_dir)?;
        }
    }
    disk::remove_empty(&common_dir.join("worktrees"))?;
    match made {
        Branch::Theirs => Ok(()),
        Branch::Wanted => repair::unlock_branch(common_dir, branch),
        Branch::Made(commit) => {
            repair::unlock_branch(common_dir, branch)?;
            delete_branch(&repository.env, common_dir, branch, commit)
        }
    }
}

/// Fills a worktree that [`add`] made with the files of its branch by git alone, as a plain `git worktree add` would;
/// [`super::fill`] leaves it less to do.
///
/// The user's own filters run (LFS needs them), and a partial clone fetches what it misses; hooks and file watchers do
/// not run. As many workers write files as processors are idle: more cost time where many worktrees are filled at once.
/// Needs no lock. Doing it again is harmless until an agent has worked there, and destroys its work after.
pub fn fill(env: &GitEnv, worktree: &Worktree) -> Result<()> {
    Git::at(env, &worktree.admin_dir, &worktree.common_dir, &worktree.path)
        .with_network()
        .limit(env.long_limit)
        .config("checkout.workers", &process::idle_processors().to_string())
        .args(["reset", "--hard", "--quiet", "--no-recurse-submodules"])
        .output("fill a worktree")
        .map(|_| ())
}

/// The rest of [`fill`] where there is an index of a part of the files, and [`super::register::log`] was done.
pub(super) fn complete(env: &GitEnv, worktree: &Worktree) -> Result<()> {
    Git::at(env, &worktree.admin_dir, &worktree.common_dir, &worktree.path)
        .with_network()
        .limit(env.long_limit)
        .config("checkout.workers", &process::idle_processors().to_string())
        .args(["read-tree", "--reset", "-u", "--no-recurse-submodules", "HEAD"])
        .output("fill a worktree")
        .map(|_| ())
}

/// Is this still the worktree that we made, so that an agent may be started in it?
///
/// Looks at the place, the `.git` file, the way back from the git directory, and the branch; any difference is
/// [`Error::NotOurWorktree`].
pub fn verify(env: &GitEnv, worktree: &Worktree) -> Result<()> {
    linked(worktree)?;
    let head = head(env, worktree)?;
    if !worktree.is_at(&head) {
        let on = head.branch().map_or_else(|| "no branch".to_owned(), |name| format!("branch {name}"));
        let what = format!("it is on {on}, not on {}", worktree.branch);
        return Err(Error::NotOurWorktree { path: worktree.path.clone(), what });
    }
    Ok(())
}

/// The part of [`verify`] that holds whatever the agent does with git: the place, the `.git` file, and the way back from the
/// git directory. Where it does not, git would work in some other repository, one above for example.
pub fn linked(worktree: &Worktree) -> Result<()> {
    let differs = |what: &str| Error::NotOurWorktree { path: worktree.path.clone(), what: what.to_owned() };
    match disk::look(&worktree.path)? {
        Some(meta) if meta.is_dir() => {}
        Some(_) => return Err(differs("it is not a directory")),
        None => return Err(differs("it is gone")),
    }
    if disk::real(&worktree.path)? != worktree.path {
        return Err(differs("its path leads elsewhere"));
    }
    let dot_git = worktree.path.join(".git");
    let is_file = disk::look(&dot_git)?.is_some_and(|meta| meta.is_file());
    let link = if is_file { disk::read_small(&dot_git)? } else { None };
    let leads = match link {
        Some(link) => leads_to(&link, b"gitdir: ", &worktree.path, &worktree.admin_dir),
        None => worktree.is_main() && disk::real(&dot_git).is_ok_and(|at| at == worktree.admin_dir),
    };
    if !leads {
        return Err(differs("its .git does not lead to the git directory we know"));
    }
    if worktree.is_main() {
        return Ok(());
    }
    let back = disk::read_small(&worktree.admin_dir.join("gitdir"))?;
    if !back.is_some_and(|back| leads_to(&back, b"", &worktree.admin_dir, &dot_git)) {
        return Err(differs("its git directory belongs to another worktree"));
    }
    Ok(())
}

/// Fails if something other than a directory is where the worktree was. A link that an agent left there leads to
/// somebody else's files, the user's own checkout for one: they would be shown and committed as the agent's work, and the
/// next agent would work on them. A worktree that is gone is no other one.
pub fn in_place(worktree: &Worktree) -> Result<()> {
    match disk::look(&worktree.path)? {
        Some(meta) if !meta.is_dir() || disk::real(&worktree.path)? != worktree.path => {
            let what = "something else is in its place".to_owned();
            Err(Error::NotOurWorktree { path: worktree.path.clone(), what })
        }
        _ => Ok(()),
    }
}

/// Does a link file (`prefix`, path, newline) written in `dir` lead to `target`?
fn leads_to(content: &[u8], prefix: &[u8], dir: &Path, target: &Path) -> bool {
    let written = content.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(b"\n"));
    let Some(written) = written else { return false };
    disk::real(&dir.join(OsStr::from_bytes(written))).is_ok_and(|path| path == target)
}

/// Does the entry `admin_dir` lead to the worktree at `path`, which may be gone? `None` if it does not say.
pub(super) fn admin_leads_to(admin_dir: &Path, path: &Path) -> Result<Option<bool>> {
    let Some(content) = disk::read_small(&admin_dir.join("gitdir"))? else { return Ok(None) };
    let written = content.strip_suffix(b"\n").unwrap_or(&content);
    let dot_git = admin_dir.join(OsStr::from_bytes(written));
    let Some(found) = dot_git.parent().filter(|_| dot_git.file_name() == Some(OsStr::new(".git"))) else {
        return Ok(None);
    };
    Ok(Some(found == path || disk::real(found).is_ok_and(|found| found == path)))
}

/// Where the worktree is now, if somebody moved it (`git worktree move`); `None` if it is where it was, or git knows nothing
/// of it.
pub fn moved_to(worktree: &Worktree) -> Result<Option<PathBuf>> {
    if admin_leads_to(&worktree.admin_dir, &worktree.path)? != Some(false) {
        return Ok(None);
    }
    let gitdir = disk::read_small(&worktree.admin_dir.join("gitdir"))?.unwrap_or_default();
    let written = PathBuf::from(OsStr::from_bytes(gitdir.strip_suffix(b"\n").unwrap_or(&gitdir)));
    Ok(Some(written.parent().map_or_else(|| written.clone(), Path::to_owned)))
}

/// Where the worktree's HEAD is now, whatever its `.git` file says.
pub fn head(env: &GitEnv, worktree: &Worktree) -> Result<Head> {
    eyes(env, worktree)?.head()
}

/// The questions of the seam, asked in the worktree: by libgit2 where it can open it.
pub(super) fn eyes(env: &GitEnv, worktree: &Worktree) -> Result<Box<dyn Eyes>> {
    in_place(worktree)?;
    let by_git = by_git(env, worktree)?;
    // libgit2 looks for this file in the worktree's own git directory, and takes the parents that a shallow clone does
    // not have for lost ones.
    if disk::look(&worktree.common_dir.join("shallow"))?.is_some() {
        return Ok(Box::new(by_git));
    }
    Ok(match open(worktree)? {
        Some(repository) => Box::new(ByGit2(repository)),
        None => Box::new(by_git),
    })
}

/// The worktree by libgit2, found by the git directory that we know; `None` if libgit2 cannot open it, or if it leads
/// to another repository by now.
pub(super) fn open(worktree: &Worktree) -> Result<Option<git2::Repository>> {
    use git2::RepositoryOpenFlags as Flags;
    let flags = Flags::NO_SEARCH | Flags::NO_DOTGIT;
    match git2::Repository::open_ext(&worktree.admin_dir, flags, std::iter::empty::<&OsStr>()) {
        Ok(repository) => {
            let same = disk::real(repository.commondir())? == worktree.common_dir;
            Ok(same.then_some(repository))
        }
        Err(_) => Ok(None),
    }
}

/// The questions of the seam, asked in the worktree by hardened git.
///
/// Fails if the git directory leads to another repository by now: git finds the refs by that file even if it is told
/// where the common directory is, and would read and write the refs of that other one.
pub(super) fn by_git(env: &GitEnv, worktree: &Worktree) -> Result<ByGit> {
    let common = disk::read_small(&worktree.admin_dir.join("commondir"))?;
    let is_main = worktree.is_main() && common.is_none();
    if !is_main
        && !common.is_some_and(|common| leads_to(&common, b"", &worktree.admin_dir, &worktree.common_dir))
    {
        let what = "its git directory belongs to another repository".to_owned();
        return Err(Error::NotOurWorktree { path: worktree.path.clone(), what });
    }
    Ok(ByGit {
        env: env.clone(),
        git_dir: worktree.admin_dir.clone(),
        common_dir: worktree.common_dir.clone(),
        work_dir: worktree.path.clone(),
    })
}

/// Takes back an [`add`] when a later step of creation failed: the directory if nothing but `.git` is in it, the git
/// directory, and the branch if `made_branch_at` is given (the commit it was made at) and it still points there.
///
/// With any file in the worktree nothing is removed. The caller holds the repository's lock.
pub fn undo_add(env: &GitEnv, worktree: &Worktree, made_branch_at: Option<&CommitId>) -> Result<Undone> {
    twice(|| undo(env, worktree, made_branch_at))
}

fn undo(env: &GitEnv, worktree: &Worktree, made_branch_at: Option<&CommitId>) -> Result<Undone> {
    if !remove_pristine(&worktree.path)? {
        return Ok(Undone::KeptFiles);
    }
    let worktrees = worktree.common_dir.join("worktrees");
    // Never anything but an entry of the directory where git keeps them, whatever the record holds.
    if worktree.admin_dir.parent() == Some(worktrees.as_path()) {
        disk::remove_tree(&worktree.admin_dir)?;
        disk::remove_empty(&worktrees)?;
    }
    if let Some(commit) = made_branch_at {
        delete_branch(env, &worktree.common_dir, &worktree.branch, commit)?;
    }
    Ok(Undone::All)
}

/// Whether git's own entry of the worktree is whole, so that one can look into the worktree. Not while its removal goes on.
pub fn is_known(worktree: &Worktree) -> Result<bool> {
    for name in ["HEAD", "commondir", "gitdir"] {
        if disk::look(&worktree.admin_dir.join(name))?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes the locks that a git left which was killed at work in the worktree: on its index, its HEAD and its branch. Nobody
/// could commit there any more. Returns what was removed.
///
/// The caller knows that nobody works there now; `proved`: cannot know, and what somebody may hold stays.
pub fn unlock(worktree: &Worktree, proved: bool) -> Result<Vec<PathBuf>> {
    let branch = worktree.common_dir.join("refs/heads").join(format!("{}.lock", worktree.branch));
    let own = disk::names(&worktree.admin_dir)?.unwrap_or_default();
    let own = own.into_iter().filter(|name| name.as_bytes().ends_with(b".lock"));
    let mut removed = Vec::new();
    for path in own.map(|name| worktree.admin_dir.join(name)).chain([branch]) {
        if !disk::look(&path)?.is_some_and(|meta| meta.is_file()) {
            continue;
        }
        if !proved {
            disk::remove_file(&path)?;
        } else if !locks::settled(&path, locks::SHORT)? {
            continue;
        }
        removed.push(path);
    }
    Ok(removed)
}

/// Removes a worktree directory that holds nothing but its `.git` file; false if it holds more.
pub(super) fn remove_pristine(path: &Path) -> Result<bool> {
    let Some(names) = disk::names(path)? else { return Ok(true) };
    if names.iter().any(|name| name != ".git") {
        return Ok(false);
    }
    let dot_git = path.join(".git");
    match disk::look(&dot_git)? {
        Some(meta) if !meta.is_file() => return Ok(false),
        Some(_) => disk::remove_file(&dot_git)?,
        None => {}
    }
    disk::remove_empty(path)
}

/// Deletes the branch if it points at `commit` and no worktree has it checked out.
pub(super) fn delete_branch(env: &GitEnv, common_dir: &Path, branch: &str, commit: &CommitId) -> Result<()> {
    let git = || Git::without_work_tree(env, common_dir);
    let name = format!("refs/heads/{branch}");
    let tip = git().args(["rev-parse", "--verify", "--quiet", "--end-of-options", &name]).run()?;
    let there = String::from_utf8_lossy(&tip.stdout).trim_end() == commit.as_str();
    if there && super::look::checked_out_at(git(), branch)?.is_empty() {
        let words = ["update-ref", "-d", &name, commit.as_str()];
        locks::past_stale(common_dir, || git().args(words).output("delete a branch"))?;
    }
    Ok(())
}
