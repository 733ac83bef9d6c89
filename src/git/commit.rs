//! Saving what an agent left: on its branch, or under a ref that nobody works on.
//!
//! Both build the tree through a private index, with the user's filters from before the agent and nothing else that
//! runs. Commits are unsigned, run no hook, and are on disk (fsync) when they are reported.

use super::changes::{Left, Listing, Operation, operation};
use super::command::{Git, GitEnv};
use super::look::{Head, checked_out_at};
use super::private::{ConfigSnapshot, PrivateDir, tree_id};
use super::worktree::{Worktree, eyes};
use super::{CommitId, Error, Result};
use std::path::PathBuf;

/// Who commits where the repository names nobody.
const NOBODY: (&str, &str) = ("ai_orch", "ai_orch@localhost");

/// The outcome of [`commit_all`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// Where HEAD was before; compare its branch with [`Worktree::branch`], the agent may have moved it.
    pub head: Head,
    /// What was done.
    pub outcome: Outcome,
    /// What is in no commit even now.
    pub left: Left,
}

/// What [`commit_all`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// HEAD holds everything already.
    Nothing,
    /// A commit was made, and HEAD (its branch, if it is on one) points at it.
    Committed {
        /// The commit.
        commit: CommitId,
        /// The worktree's index agrees with it. False if somebody held or changed the index meanwhile; the commit is
        /// complete all the same, and `git status` there shows changes that are none.
        index_updated: bool,
    },
    /// Nothing was written, because HEAD is no place for a commit of ours. [`snapshot`] saves the work.
    NotCommitted(Obstacle),
}

/// Why [`commit_all`] must not commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// git is in the middle of something, and a commit would end it wrongly.
    InProgress(Operation),
    /// The agent put HEAD on a branch that another worktree has checked out: that one would be changed behind the
    /// back of whoever works there.
    CheckedOutElsewhere {
        /// The branch.
        branch: String,
        /// That worktree.
        at: PathBuf,
    },
    /// HEAD points at something that is no branch.
    StrangeHead {
        /// The ref that it points at.
        target: String,
    },
}

impl std::fmt::Display for Obstacle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::InProgress(operation) => write!(f, "the agent left git in the middle of {operation}"),
            Self::CheckedOutElsewhere { branch, at } => {
                write!(
                    f,
                    "the agent switched to the branch {branch}, which is checked out in {}",
                    at.display()
                )
            }
            Self::StrangeHead { target } => write!(f, "the agent left HEAD on {target}, which is no branch"),
        }
    }
}

/// Commits everything in `worktree` that is not ignored to wherever its HEAD is.
///
/// The agent must have ended. `config` is the snapshot from before it began, `message` the whole message. Committed
/// work is safe when this returns; HEAD only moves if it still is where it was at the start.
pub fn commit_all(
    env: &GitEnv,
    worktree: &Worktree,
    config: &ConfigSnapshot,
    message: &str,
) -> Result<Saved> {
    let eyes = eyes(env, worktree)?;
    let head = eyes.head()?;
    let private = PrivateDir::new(env, worktree, config)?;
    let listing = Listing::read(&private, worktree, head.commit())?;
    let left = listing.left(&private);
    let saved = |outcome| Saved { head: head.clone(), outcome, left: left.clone() };
    if let Some(operation) = operation(eyes.as_ref(), worktree, &listing)? {
        return Ok(saved(Outcome::NotCommitted(Obstacle::InProgress(operation))));
    }
    listing.apply(&private)?;
    let tree = tree_id(private.git().args(["write-tree", "--missing-ok"]), "write a tree")?;
    if holds(&private, head.commit(), &tree)? {
        return Ok(saved(Outcome::Nothing));
    }
    if let Some(obstacle) = obstacle(env, worktree, &head)? {
        return Ok(saved(Outcome::NotCommitted(obstacle)));
    }
    let commit = commit_tree(&private, config, &tree, head.commit(), message)?;
    let subject = message.lines().next().unwrap_or_default();
    let old = head.commit().map_or_else(|| "0".repeat(commit.as_str().len()), ToString::to_string);
    at_worktree(env, worktree)
        .args(["update-ref", "-m", &format!("commit: {subject}"), "HEAD", commit.as_str(), &old])
        .output("move the branch to the new commit")?;
    let index_updated = private.install_index()?;
    Ok(saved(Outcome::Committed { commit, index_updated }))
}

/// A snapshot of a worktree under a ref.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The commit that the ref holds: HEAD itself if that holds everything, else a child of it.
    pub commit: CommitId,
    /// Where HEAD was.
    pub head: Head,
    /// A filter or encoding failed, so the files went in byte for byte, without line-end rules and filters (LFS). To
    /// restore them, check the commit out with those switched off.
    pub raw: bool,
    /// What the snapshot does not hold: for repositories in [`Left::nested`] that have commits, their history (their
    /// files are in it), for submodules all that is inside.
    pub left: Left,
}

/// Saves everything in `worktree` that is not ignored under the ref `name`, and touches nothing else.
///
/// Works in the middle of a merge or rebase too. `name` must begin with `refs/ai_orch/`. Doing it twice finds it done;
/// [`Error::RefTaken`] if the ref holds something else. `None`: there is no commit and no file.
pub fn snapshot(
    env: &GitEnv,
    worktree: &Worktree,
    config: &ConfigSnapshot,
    name: &str,
    message: &str,
) -> Result<Option<Snapshot>> {
    let taken = || Error::RefTaken { name: name.to_owned() };
    if !name.starts_with("refs/ai_orch/") {
        return Err(taken());
    }
    let eyes = eyes(env, worktree)?;
    let head = eyes.head()?;
    let private = PrivateDir::new(env, worktree, config)?;
    let (listing, raw) = match listed_with_nested(&private, worktree, &head) {
        Ok(listing) => (listing, false),
        Err(error) => {
            // A clean filter that is gone, or an encoding that does not fit, must not keep work from being saved.
            let listing =
                private.take_bytes_as_they_are().and_then(|()| listed_with_nested(&private, worktree, &head));
            (listing.map_err(|_| error)?, true)
        }
    };
    let tree = tree_id(private.git().args(["write-tree", "--missing-ok"]), "write a tree")?;
    let left = listing.left(&private);
    let kept = if holds(&private, head.commit(), &tree)? { head.commit().cloned() } else { None };
    if kept.is_none() && head.commit().is_none() && listing.files.is_empty() {
        return Ok(None);
    }
    if let Some(existing) = eyes.reference(name)? {
        let parent = eyes.resolve(&format!("{existing}^"))?;
        let same = kept.as_ref() == Some(&existing)
            || (holds(&private, Some(&existing), &tree)? && parent.as_ref() == head.commit());
        return if same { Ok(Some(Snapshot { commit: existing, head, raw, left })) } else { Err(taken()) };
    }
    let commit = match kept {
        Some(commit) => commit,
        None => commit_tree(&private, config, &tree, head.commit(), message)?,
    };
    let none = "0".repeat(commit.as_str().len());
    at_worktree(env, worktree)
        .args(["update-ref", "--no-deref", name, commit.as_str(), &none])
        .output("store a snapshot")?;
    Ok(Some(Snapshot { commit, head, raw, left }))
}

/// Puts all files into the private index, those of nested repositories too.
fn listed_with_nested(private: &PrivateDir<'_>, worktree: &Worktree, head: &Head) -> Result<Listing> {
    let mut listing = Listing::read(private, worktree, head.commit())?;
    listing.take_all_nested(private, worktree)?;
    listing.apply(private)?;
    Ok(listing)
}

/// A command on the refs of the worktree whose writes reach the disk.
fn at_worktree(env: &GitEnv, worktree: &Worktree) -> Git {
    Git::at(env, &worktree.admin_dir, &worktree.common_dir, &worktree.path)
        .config("core.fsync", "reference")
        .env("GIT_COMMITTER_NAME", NOBODY.0)
        .env("GIT_COMMITTER_EMAIL", NOBODY.1)
}

/// Is `tree` the tree of `commit`?
fn holds(private: &PrivateDir<'_>, commit: Option<&CommitId>, tree: &str) -> Result<bool> {
    let Some(commit) = commit else { return Ok(false) };
    let spec = format!("{commit}^{{tree}}");
    Ok(tree_id(private.git().args(["rev-parse", "--verify", &spec]), "read a tree")? == tree)
}

fn obstacle(env: &GitEnv, worktree: &Worktree, head: &Head) -> Result<Option<Obstacle>> {
    let Some(branch) = head.branch() else { return Ok(None) };
    if branch.starts_with("refs/") {
        return Ok(Some(Obstacle::StrangeHead { target: branch.to_owned() }));
    }
    let places = checked_out_at(at_worktree(env, worktree), branch)?;
    let elsewhere = places.into_iter().find(|place| *place != worktree.path);
    Ok(elsewhere.map(|at| Obstacle::CheckedOutElsewhere { branch: branch.to_owned(), at }))
}

fn commit_tree(
    private: &PrivateDir<'_>,
    config: &ConfigSnapshot,
    tree: &str,
    parent: Option<&CommitId>,
    message: &str,
) -> Result<CommitId> {
    let (name, email) = config.identity().unwrap_or(NOBODY);
    let message = format!("{}\n", message.trim_end());
    private
        .git()
        .env("GIT_AUTHOR_NAME", name)
        .env("GIT_AUTHOR_EMAIL", email)
        .env("GIT_COMMITTER_NAME", name)
        .env("GIT_COMMITTER_EMAIL", email)
        .arg("commit-tree")
        .args(parent.iter().flat_map(|parent| ["-p", parent.as_str()]))
        .args(["-F", "-", tree])
        .stdin(message.into_bytes())
        .id("make a commit")
}
