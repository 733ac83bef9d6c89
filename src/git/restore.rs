//! Making a worktree again as it was saved: the place, HEAD, the files, the index.
//!
//! Files are first written as they are stored. Only then are those that a filter or line-end rule changes written anew
//! by that rule: by now it can be seen which filter commands lie in the worktree, and these do not run. What
//! [`super::rescue`] found that such rules do not give back stays as it is stored.
//!
//! No hook runs, no configuration but the snapshot from before the agent is read where files are written.

use super::anatomy::Anatomy;
use super::changes::nul_ended;
use super::command::{Git, path, records};
use super::look::Head;
use super::private::{ConfigSnapshot, PrivateDir};
use super::rescue::Role;
use super::rescue_bytes::{self, Way};
use super::rescue_index::{ASSUMED, HIDDEN, INTENDED, SKIPPED};
use super::worktree::{Worktree, add_detached, by_git, eyes, head};
use super::{BranchProblem, CommitId, Error, Repository, Result, disk, repair, worktree};
use crate::tools::lock::Lock;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Where HEAD goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The branch; `None`: HEAD is on no branch.
    pub branch: Option<String>,
    /// The commit; `None`: the branch has none yet.
    pub tip: Option<CommitId>,
}

impl From<&Head> for Target {
    fn from(head: &Head) -> Self {
        Self { branch: head.branch().map(str::to_owned), tip: head.commit().cloned() }
    }
}

/// Makes the worktree at `path` again, with HEAD at `target` and everything else as `rescue` holds it; without that, as
/// the commit of `target` does.
///
/// A branch that is missing is made; one that is there must be at the tip, and checked out nowhere else. `lock` is the
/// repository's. Killed half-way, it can be done again, as long as nobody works there.
/// [`Worktree::branch`] of the answer is empty if HEAD is on no branch.
/// Errors: [`Error::Branch`] if the branch is elsewhere, [`Error::NotOurWorktree`] if there are files at `path` and it is
/// no worktree of this repository with this HEAD.
pub fn restore(
    repository: &Repository,
    lock: &Lock,
    config: &ConfigSnapshot,
    path: &Path,
    target: &Target,
    rescue: Option<&CommitId>,
) -> Result<Worktree> {
    let worktree = place(repository, lock, config, path, target, rescue)?;
    let Some(source) = rescue.or(target.tip.as_ref()) else { return Ok(worktree) };
    let saved = Parts::of(repository, &worktree, source, target)?;
    fill(repository, &worktree, config, &saved)?;
    Ok(worktree)
}

/// Makes the branch `name` at `tip` if there is none of that name. The caller holds the repository's lock.
pub fn branch(repository: &Repository, name: &str, tip: &CommitId) -> Result<()> {
    repair::unlock_branch(repository.common_dir(), name)?;
    if repository.branch(name)?.is_some() {
        return Ok(());
    }
    if let Some(problem) = repository.branch_problem(name)? {
        return Err(Error::Branch { name: name.to_owned(), problem });
    }
    let none = "0".repeat(tip.as_str().len());
    let words = ["update-ref", "--no-deref", &format!("refs/heads/{name}"), tip.as_str(), &none];
    super::refs::at(&repository.env, repository.common_dir()).args(words).output("make a branch").map(|_| ())
}

/// The worktree without its files.
fn place(
    repository: &Repository,
    lock: &Lock,
    config: &ConfigSnapshot,
    path: &Path,
    target: &Target,
    rescue: Option<&CommitId>,
) -> Result<Worktree> {
    let (env, common_dir) = (&repository.env, repository.common_dir());
    let branch = target.branch.as_deref();
    if let Some(mut worktree) = repair::linked(env, common_dir, path)?
        && let Ok(now) = head(env, &worktree)
    {
        repair::finish(&worktree)?;
        branch.unwrap_or_default().clone_into(&mut worktree.branch);
        if Target::from(&now) == *target {
            return Ok(worktree);
        }
        // An unborn branch is set on a worktree that was made without one.
        if let (None, Some(branch), Head::Detached { .. }) = (&target.tip, branch, &now) {
            return unborn(repository, worktree, branch);
        }
        let what = "its HEAD is not where it was".to_owned();
        return Err(Error::NotOurWorktree { path: path.to_owned(), what });
    }
    repair::clear(common_dir, path)?;
    match (branch, &target.tip) {
        (Some(name), Some(tip)) => {
            repair::unlock_branch(common_dir, name)?;
            match repository.branch(name)? {
                Some(there) if there == *tip => worktree::add_existing(repository, lock, path, name),
                Some(there) => {
                    Err(Error::Branch { name: name.to_owned(), problem: BranchProblem::Exists(there) })
                }
                None => worktree::add(repository, lock, path, name, tip),
            }
        }
        (None, Some(tip)) => add_detached(repository, lock, path, tip),
        (branch, None) => {
            // git wants some commit to begin with, and HEAD leaves it again.
            let start = match rescue {
                Some(rescue) => rescue.clone(),
                None => empty_commit(repository, config)?,
            };
            let worktree = add_detached(repository, lock, path, &start)?;
            match branch {
                Some(branch) => unborn(repository, worktree, branch),
                None => Ok(worktree),
            }
        }
    }
}

/// Sets HEAD on a branch that has no commit.
fn unborn(repository: &Repository, mut worktree: Worktree, branch: &str) -> Result<Worktree> {
    if let Some(there) = repository.branch(branch)? {
        return Err(Error::Branch { name: branch.to_owned(), problem: BranchProblem::Exists(there) });
    }
    Git::at(&repository.env, &worktree.admin_dir, &worktree.common_dir, &worktree.path)
        .args(["symbolic-ref", "HEAD", &format!("refs/heads/{branch}")])
        .output("set HEAD")?;
    branch.clone_into(&mut worktree.branch);
    Ok(worktree)
}

fn empty_commit(repository: &Repository, config: &ConfigSnapshot) -> Result<CommitId> {
    let (name, email) = config.identity().unwrap_or(super::commit::NOBODY);
    let tree = repository.git().args(["mktree"]).stdin(Vec::new()).line("write a tree")?;
    let git = repository.git().env("GIT_AUTHOR_NAME", name).env("GIT_AUTHOR_EMAIL", email);
    git.env("GIT_COMMITTER_NAME", name)
        .env("GIT_COMMITTER_EMAIL", email)
        .args(["commit-tree", "-m", "nothing"])
        .arg(tree)
        .id("make a commit")
}

/// The trees that make up what was saved.
struct Parts {
    /// What is on disk.
    disk: String,
    /// The index without conflicts; `None`: empty.
    index: Option<String>,
    entries: Option<CommitId>,
    bytes: Option<CommitId>,
}

impl Parts {
    fn of(repository: &Repository, worktree: &Worktree, source: &CommitId, target: &Target) -> Result<Self> {
        let eyes = eyes(&repository.env, worktree)?;
        let saved = Anatomy::of(eyes.as_ref(), source)?;
        // A commit that HEAD was on is a commit of the agent, whatever its message says.
        let roles = if target.tip.as_ref() == Some(source) { Vec::new() } else { Role::of(&saved) };
        let part = |wanted: Role| roles.iter().find(|(role, _)| *role == wanted).map(|(_, id)| id.clone());
        let index = part(Role::Index).or_else(|| target.tip.clone());
        let index = super::anatomy::tree_of(eyes.as_ref(), index.as_ref())?;
        Ok(Self { disk: saved.tree, index, entries: part(Role::Entries), bytes: part(Role::Bytes) })
    }
}

/// One entry of the tree of entries, less the directory that says what it is.
struct Mark {
    directory: String,
    mode: String,
    id: String,
    path: PathBuf,
}

fn fill(repository: &Repository, worktree: &Worktree, config: &ConfigSnapshot, saved: &Parts) -> Result<()> {
    by_git(&repository.env, worktree)?;
    let marks = match &saved.entries {
        Some(entries) => marks(repository, worktree, entries)?,
        None => Vec::new(),
    };
    let with = |directory: &str| -> Vec<PathBuf> {
        marks.iter().filter(|mark| mark.directory == directory).map(|mark| mark.path.clone()).collect()
    };
    let absent: BTreeSet<PathBuf> = with(SKIPPED).into_iter().collect();
    // The files as they are stored.
    let first = PrivateDir::new(&repository.env, worktree, config)?;
    first.take_the_disk_as_it_is()?;
    first.take_bytes_as_they_are()?;
    disk::remove_file(&first.index())?;
    first.git().args(["read-tree", &saved.disk]).output("read what was saved")?;
    let kept: BTreeSet<PathBuf> = match &saved.bytes {
        Some(bytes) => names(&first, bytes.as_str())?.into_iter().collect(),
        None => BTreeSet::new(),
    };
    let mut files = names(&first, &saved.disk)?;
    // What is kept as it is must have no size in the index, or git would take another size for another content.
    files.retain(|path| !absent.contains(path) && !kept.contains(path));
    check_out(&first, &first.index(), &files)?;
    if let Some(bytes) = &saved.bytes {
        let index = first.beside("bytes");
        let git = first.git_in(&worktree.path, &index).args(["read-tree", bytes.as_str()]);
        git.output("read what was saved")?;
        check_out(&first, &index, &kept.iter().cloned().collect::<Vec<_>>())?;
    }
    // Those that a rule changes. This private directory sees what filters lie in the worktree.
    let second = PrivateDir::new(&repository.env, worktree, config)?;
    second.take_the_disk_as_it_is()?;
    disk::remove_file(&second.index())?;
    disk::copy_with_time(&first.index(), &second.index())?;
    let attributes = kept.iter().any(|path| path.file_name().is_some_and(|name| name == ".gitattributes"));
    if rescue_bytes::possible(&second, config, attributes, &files) {
        let ways = rescue_bytes::ways(&second, config, &files)?;
        let changed = files.iter().zip(ways).filter(|(_, way)| *way == Way::Out);
        let changed: Vec<_> = changed.map(|(path, _)| path.clone()).collect();
        for path in &changed {
            // git does not write again what it has written.
            disk::remove_file(&worktree.path.join(path))?;
        }
        check_out(&second, &second.index(), &changed)?;
    }
    set_index(&second, saved, &marks)
}

/// Writes files from an index, over what is there, and notes in that index that they agree.
fn check_out(private: &PrivateDir<'_>, index: &Path, files: &[PathBuf]) -> Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    let git = private.git_in(&private.worktree().path, index);
    let git = git.args(["checkout-index", "-q", "-f", "-u", "-z", "--stdin"]).stdin(nul_ended(files));
    git.output("write the files").map(|_| ())
}

/// Makes the index of the worktree what it was. The private one is that of the files on disk.
fn set_index(private: &PrivateDir<'_>, saved: &Parts, marks: &[Mark]) -> Result<()> {
    let doing = "set the index";
    match &saved.index {
        // What agrees with the disk keeps the note that it does.
        Some(tree) => private.git().args(["read-tree", "--reset", tree]).output(doing)?,
        None => private.git().args(["read-tree", "--empty"]).output(doing)?,
    };
    let mut conflicts = Vec::new();
    for mark in marks.iter().filter(|mark| matches!(mark.directory.as_str(), "1" | "2" | "3")) {
        conflicts.extend_from_slice(format!("{} {} {}\t", mark.mode, mark.id, mark.directory).as_bytes());
        conflicts.extend(nul_ended(std::slice::from_ref(&mark.path)));
    }
    if !conflicts.is_empty() {
        let git = private.git().args(["update-index", "-z", "--index-info"]).stdin(conflicts);
        git.output(doing)?;
    }
    let with = |directory: &str| -> Vec<PathBuf> {
        marks.iter().filter(|mark| mark.directory == directory).map(|mark| mark.path.clone()).collect()
    };
    let mut intended = Vec::new();
    for path in with(INTENDED) {
        // git can only intend to add what is there.
        if disk::look(&private.worktree().path.join(&path))?.is_some() {
            intended.push(path);
        }
    }
    let mark = |words: &[&str], paths: Vec<PathBuf>| -> Result<()> {
        if paths.is_empty() {
            return Ok(());
        }
        // Else git would take the marks from what is on disk at once.
        let git = private.git().config("core.sparseCheckout", "false").args(words);
        git.stdin(nul_ended(&paths)).output(doing).map(|_| ())
    };
    mark(&["add", "-f", "--intent-to-add", "--pathspec-from-file=-", "--pathspec-file-nul"], intended)?;
    // Spares the next git the look at every file. Where a filter fails it cannot, and the index is right all the same.
    private.git().args(["update-index", "-q", "--refresh"]).run()?;
    mark(&["update-index", "--assume-unchanged", "-z", "--stdin"], with(ASSUMED))?;
    mark(&["update-index", "--skip-worktree", "-z", "--stdin"], [with(SKIPPED), with(HIDDEN)].concat())?;
    disk::remove_file(&private.worktree().admin_dir.join("index.lock"))?;
    if private.install_index()? {
        return Ok(());
    }
    let what = "somebody works there".to_owned();
    Err(Error::NotOurWorktree { path: private.worktree().path.clone(), what })
}

/// The paths in a tree.
fn names(private: &PrivateDir<'_>, tree: &str) -> Result<Vec<PathBuf>> {
    let git = private.git().args(["ls-tree", "-r", "-z", "--name-only", "--full-tree", tree]);
    Ok(records(&git.output("read a tree")?).map(path).collect())
}

fn marks(repository: &Repository, worktree: &Worktree, entries: &CommitId) -> Result<Vec<Mark>> {
    let git = Git::at(&repository.env, &worktree.admin_dir, &worktree.common_dir, &worktree.path);
    let git = git.output_cap(1 << 30).args(["ls-tree", "-r", "-z", "--full-tree", entries.as_str()]);
    let out = git.output("read a tree")?;
    // mode SP kind SP id TAB directory/path
    let mark = |record: &[u8]| {
        let (info, name) = super::changes::split_once(record, b'\t')?;
        let mut words = std::str::from_utf8(info).ok()?.split(' ');
        let (mode, id) = (words.next()?, words.nth(1)?);
        let (directory, name) = super::changes::split_once(name, b'/')?;
        Some(Mark {
            directory: String::from_utf8(directory.to_vec()).ok()?,
            mode: mode.to_owned(),
            id: id.to_owned(),
            path: path(name),
        })
    };
    records(&out)
        .map(|record| mark(record).ok_or_else(|| super::command::answer("read a tree", record)))
        .collect()
}
