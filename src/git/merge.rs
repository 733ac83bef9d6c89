//! Bringing one branch into another: the merged commit is made without a checkout, and moving the target is a step of its own.
//!
//! Trees are merged by git itself (`git merge-tree`, git 2.38; with `--rebase` 2.40), in a git directory of ours: no merge driver, hook or
//! filter that a repository or an agent configured is run. Of the attributes of the target those count that need no program
//! (`merge=union`, `-merge`).

use super::anatomy::{Anatomy, tree_of};
use super::command::{Git, GitEnv, path, records};
use super::commit::NOBODY;
use super::private::{BareDir, ConfigSnapshot, tree_id};
use super::{CommitId, Repository, Result, disk, locks, refs};
use crate::model::merge::How;
use std::path::{Path, PathBuf};

/// What came of a merge that nobody has seen yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// This commit has both.
    Commit(CommitId),
    /// The target has all of it already.
    Nothing,
    /// Both changed the same, in these files.
    Conflict(Vec<PathBuf>),
    /// The target would have to be merged into, and that was not wanted.
    NotFastForward,
}

/// What is said of a merged commit.
#[derive(Debug, Clone, Copy)]
pub struct Message<'m> {
    /// Of a commit with two parents.
    pub merge: &'m str,
    /// Of one commit for all.
    pub squash: &'m str,
}

/// Makes the commit that brings `tip` into `onto`. No ref, index or file changes.
pub fn make(
    repository: &Repository,
    config: &ConfigSnapshot,
    how: How,
    onto: &CommitId,
    tip: &CommitId,
    message: Message<'_>,
) -> Result<Made> {
    let bare = BareDir::new(&repository.env, repository.common_dir(), config)?;
    if holds(repository, onto, tip)? {
        return Ok(Made::Nothing);
    }
    let ahead = holds(repository, tip, onto)?;
    match how {
        How::Merge | How::FfOnly | How::Rebase if ahead => Ok(Made::Commit(tip.clone())),
        How::FfOnly => Ok(Made::NotFastForward),
        How::Merge => match merged(&bare, onto, tip, None)? {
            Tree::Conflict(paths) => Ok(Made::Conflict(paths)),
            Tree::Whole(tree) => {
                let commit = commit(&bare, config, None, &tree, &[onto, tip], message.merge)?;
                Ok(Made::Commit(commit))
            }
        },
        How::Squash => match merged(&bare, onto, tip, None)? {
            Tree::Conflict(paths) => Ok(Made::Conflict(paths)),
            Tree::Whole(tree) if tree_of(repository.eyes(), Some(onto))?.as_deref() == Some(&tree) => {
                Ok(Made::Nothing)
            }
            Tree::Whole(tree) => {
                Ok(Made::Commit(commit(&bare, config, None, &tree, &[onto], message.squash)?))
            }
        },
        How::Rebase => rebased(repository, &bare, config, onto, tip),
    }
}

/// Each commit of `tip` that `onto` does not have, once more on top of it. Merges among them are left out, as `git rebase` does.
fn rebased(
    repository: &Repository,
    bare: &BareDir<'_>,
    config: &ConfigSnapshot,
    onto: &CommitId,
    tip: &CommitId,
) -> Result<Made> {
    let range = format!("{onto}..{tip}");
    let words = ["rev-list", "--reverse", "--topo-order", "--no-merges", "--end-of-options", &range];
    let out = bare.git().output_cap(1 << 26).args(words).output("list the commits to bring in")?;
    let mut top = onto.clone();
    for id in String::from_utf8_lossy(&out).lines().filter_map(CommitId::parse) {
        let anatomy = Anatomy::of(repository.eyes(), &id)?;
        let before = tree_of(repository.eyes(), Some(&top))?;
        let tree = match merged(bare, &top, &id, anatomy.parents.first())? {
            Tree::Conflict(paths) => return Ok(Made::Conflict(paths)),
            Tree::Whole(tree) => tree,
        };
        // The target has what it did.
        if before.as_deref() == Some(&tree) {
            continue;
        }
        top = commit(bare, config, Some(&id), &tree, &[&top], &anatomy.message)?;
    }
    Ok(if top == *onto { Made::Nothing } else { Made::Commit(top) })
}

enum Tree {
    Whole(String),
    Conflict(Vec<PathBuf>),
}

/// The tree that has what `theirs` changed since `base` on top of `ours`; without `base` since what both have in common.
fn merged(
    private: &BareDir<'_>,
    ours: &CommitId,
    theirs: &CommitId,
    base: Option<&CommitId>,
) -> Result<Tree> {
    let doing = "merge two trees";
    // Where a git is too old for this variable, no attribute counts.
    let git = private.git().env("GIT_ATTR_SOURCE", ours.as_str()).args(["merge-tree", "--write-tree", "-z"]);
    let git = git.args(["--name-only", "--no-messages", "--allow-unrelated-histories"]);
    let git = match base {
        Some(base) => git.arg(format!("--merge-base={base}")),
        None => git,
    };
    let out = git.args([ours.as_str(), theirs.as_str()]).run()?;
    let mut said = records(&out.stdout);
    let tree = said.next().map(|tree| String::from_utf8_lossy(tree).into_owned());
    match (out.status.code(), tree) {
        (Some(0), Some(tree)) if CommitId::parse(&tree).is_some() => Ok(Tree::Whole(tree)),
        (Some(1), Some(_)) => {
            let mut paths: Vec<PathBuf> = said.map(path).collect();
            paths.dedup();
            Ok(Tree::Conflict(paths))
        }
        (Some(0), _) => Err(super::command::answer(doing, &out.stdout)),
        _ => Err(out.failure().into()),
    }
}

/// A commit by whoever commits here; by the author of `like`, if that is given.
fn commit(
    bare: &BareDir<'_>,
    config: &ConfigSnapshot,
    like: Option<&CommitId>,
    tree: &str,
    parents: &[&CommitId],
    message: &str,
) -> Result<CommitId> {
    let (name, email) = config.identity().unwrap_or(NOBODY);
    let mut author = vec![name.to_owned(), email.to_owned()];
    if let Some(like) = like {
        let words =
            ["show", "-s", "--no-mailmap", "--format=%an%x00%ae%x00%ad", "--date=raw", "--end-of-options"];
        let out = bare.git().args(words).arg(like.as_str()).output("read who made a commit")?;
        let text = String::from_utf8_lossy(&out).into_owned();
        author = text.trim_end_matches('\n').split('\0').map(str::to_owned).collect();
    }
    let mut git = bare.git().env("GIT_COMMITTER_NAME", name).env("GIT_COMMITTER_EMAIL", email);
    let variables = ["GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_AUTHOR_DATE"];
    for (variable, value) in variables.into_iter().zip(&author) {
        git = git.env(variable, value);
    }
    git.arg("commit-tree")
        .args(parents.iter().flat_map(|parent| ["-p", parent.as_str()]))
        .args(["-F", "-", tree])
        .stdin(message.as_bytes().to_vec())
        .id("make a commit")
}

/// Whether `tip` has `commit`: it is one of its ancestors, or itself.
pub fn holds(repository: &Repository, tip: &CommitId, commit: &CommitId) -> Result<bool> {
    let words = ["merge-base", "--is-ancestor", commit.as_str(), tip.as_str()];
    let out = Git::without_work_tree(&repository.env, repository.common_dir()).args(words).run()?;
    match out.status.code() {
        Some(0) => Ok(true),
        Some(1) => Ok(false),
        _ => Err(out.failure().into()),
    }
}

/// Whether `target` has what `tip` did, if not its commits: squashed into one of them. Writes an object that nothing refers to.
pub fn is_squashed(env: &GitEnv, common_dir: &Path, tip: &CommitId, target: &str) -> Result<bool> {
    let git = || Git::without_work_tree(env, common_dir);
    let base = git().args(["merge-base", "--end-of-options", target, tip.as_str()]).run()?;
    let Some(base) = CommitId::parse(String::from_utf8_lossy(&base.stdout).trim_end()) else {
        return Ok(false);
    };
    let tree = tree_id(git().args(["rev-parse", "--verify", &format!("{tip}^{{tree}}")]), "read a tree")?;
    let one = git()
        .env("GIT_AUTHOR_NAME", NOBODY.0)
        .env("GIT_AUTHOR_EMAIL", NOBODY.1)
        .env("GIT_AUTHOR_DATE", "1970-01-01T00:00:00Z")
        .env("GIT_COMMITTER_NAME", NOBODY.0)
        .env("GIT_COMMITTER_EMAIL", NOBODY.1)
        .env("GIT_COMMITTER_DATE", "1970-01-01T00:00:00Z")
        .args(["commit-tree", "-p", base.as_str(), "-m", "all of it", &tree])
        .id("put all changes into one commit")?;
    let out = git()
        .limit(env.long_limit)
        .args(["cherry", target, one.as_str()])
        .output("look for the same change")?;
    Ok(out.starts_with(b"- "))
}

/// Moves a branch that is checked out nowhere. `false`: it was not at `from`.
pub fn move_branch(
    env: &GitEnv,
    common_dir: &Path,
    branch: &str,
    from: &CommitId,
    to: &CommitId,
) -> Result<bool> {
    let name = format!("refs/heads/{branch}");
    let words = ["update-ref", "-m", "ai_orch merge", &name, to.as_str(), from.as_str()];
    let moved =
        locks::past_stale(common_dir, || refs::at(env, common_dir).args(words).output("move the branch"));
    match moved {
        Ok(_) => Ok(true),
        Err(error) if refs::read(env, common_dir, &name)?.as_ref() != Some(from) => {
            tracing::info!(%error, "somebody else moved it");
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Moves a branch on that is checked out in `checkout`, with its files and index, as `git merge --ff-only` does. Changes that are in
/// the way stay, and nothing is moved then.
///
/// # Errors
/// What git says: mostly that files would be overwritten.
pub fn move_checkout(checkout: &Repository, to: &CommitId) -> Result<()> {
    let git = checkout.git().with_network().limit(checkout.env.long_limit);
    git.args(["merge", "--ff-only", "--quiet", "--no-stat", "--no-autostash", to.as_str()])
        .output("move the checkout on")
        .map(|_| ())
}

/// Moves a checkout on, a move of which from `from` to `to` was cut off: some files may be those of `to` already. A file that is
/// neither as it was nor as it is to be is the user's, and then nothing is touched.
pub fn finish_move(checkout: &Repository, from: &CommitId, to: &CommitId) -> Result<()> {
    let lock = checkout.git_dir().join("index.lock");
    if disk::look(&lock)?.is_some() {
        locks::settled(&lock, locks::SHORT)?;
    }
    let Err(error) = move_checkout(checkout, to) else { return Ok(()) };
    if checkout.head()?.commit() != Some(from) {
        return Err(error);
    }
    let words = ["diff-tree", "-r", "-z", "--no-renames", from.as_str(), to.as_str()];
    let out = checkout.git().output_cap(1 << 28).args(words).output("compare two commits")?;
    let fields: Vec<&[u8]> = out.split(|byte| *byte == 0).collect();
    for pair in fields.chunks_exact(2) {
        let [info, name] = pair else { continue };
        let info = String::from_utf8_lossy(info).into_owned();
        let mut words = info.split(' ').skip(2);
        let (Some(old), Some(new)) = (words.next(), words.next()) else { continue };
        let now = on_disk(checkout, &path(name))?;
        if now != old && now != new {
            return Err(error);
        }
    }
    let read = ["read-tree", "--reset", "-u", to.as_str()];
    checkout.git().with_network().limit(checkout.env.long_limit).args(read).output("move the checkout on")?;
    let words = ["update-ref", "-m", "ai_orch merge", "HEAD", to.as_str(), from.as_str()];
    checkout.git().args(words).output("move the branch").map(|_| ())
}

/// The id of what is at `relative` in the checkout, as it is; zeros if nothing is.
fn on_disk(checkout: &Repository, relative: &Path) -> Result<String> {
    let full = checkout.work_dir().join(relative);
    let none = || "0".repeat(40);
    match disk::look(&full)? {
        None => Ok(none()),
        Some(meta) if meta.is_symlink() => {
            let target = disk::link_target(&full)?;
            let git = checkout.git().args(["hash-object", "--stdin"]).stdin(target);
            tree_id(git, "hash a link")
        }
        Some(_) => {
            let git = checkout.git().args(["hash-object", "--no-filters", "--"]).arg(&full);
            tree_id(git, "hash a file")
        }
    }
}

/// Makes the worktree at `path` for the trees to be tested, if it is not there yet, and has it hold `commit` and nothing else that is
/// not ignored. `lock` is the repository's.
pub fn test_place(
    repository: &Repository,
    lock: &crate::tools::lock::Lock,
    path: &Path,
    commit: &CommitId,
) -> Result<super::Worktree> {
    let common_dir = repository.common_dir();
    let worktree = if let Some(worktree) = super::repair::linked(&repository.env, common_dir, path)? {
        super::repair::finish(&worktree)?;
        worktree
    } else {
        super::repair::clear(common_dir, path)?;
        super::worktree::add_detached(repository, lock, path, commit)?
    };
    let git = || {
        Git::at(&repository.env, &worktree.admin_dir, common_dir, &worktree.path)
            .with_network()
            .limit(repository.env.long_limit)
    };
    git().args(["update-ref", "--no-deref", "HEAD", commit.as_str()]).output("go to the merged commit")?;
    git()
        .config("checkout.workers", &crate::tools::process::idle_processors().to_string())
        .args(["reset", "--hard", "--quiet", "--no-recurse-submodules"])
        .output("fill a worktree")?;
    git().args(["clean", "-ffdq"]).output("clear what an earlier test left")?;
    Ok(worktree)
}

/// Removes the worktree that [`test_place`] made. Nothing there is fine.
pub fn remove_test_place(repository: &Repository, path: &Path) -> Result<()> {
    if let Some(worktree) = super::repair::linked(&repository.env, repository.common_dir(), path)? {
        super::remove::tree(&worktree.path)?;
        return super::remove::admin(&worktree);
    }
    super::remove::tree(path)?;
    super::repair::clear(repository.common_dir(), path)
}
