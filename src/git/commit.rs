//! Saving what an agent left on its branch. [`super::rescue`] saves it under a ref that nobody works on.
//!
//! Both build the tree through a private index, with the user's filters from before the agent and nothing else that
//! runs. Commits are unsigned, run no hook, and are on disk (fsync) when they are reported.

use super::anatomy::tree_of;
use super::brought::Brought;
use super::changes::{Left, Listing, Operation, operation};
use super::command::{Git, GitEnv};
use super::look::{Head, checked_out_at};
use super::private::{ConfigSnapshot, PrivateDir, tree_id};
use super::worktree::{Worktree, eyes};
use super::{CommitId, Result};
use std::path::PathBuf;

/// Who commits where the repository names nobody.
pub(super) const NOBODY: (&str, &str) = ("ai_orch", "ai_orch@localhost");

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
    /// Nothing was written, because HEAD is no place for a commit of ours. [`super::rescue::save`] saves the work.
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

/// Commits everything in `worktree` that is not ignored, and was not `brought` there, to wherever its HEAD is.
///
/// The agent must have ended. `config` is the snapshot from before it began, `message` the whole message. Committed
/// work is safe when this returns; HEAD only moves if it still is where it was at the start.
pub fn commit_all(
    env: &GitEnv,
    worktree: &Worktree,
    config: &ConfigSnapshot,
    brought: &Brought,
    message: &str,
) -> Result<Saved> {
    let eyes = eyes(env, worktree)?;
    let head = eyes.head()?;
    let private = PrivateDir::new(env, worktree, config)?;
    let mut listing = Listing::read(&private, worktree, head.commit())?;
    if let Some(operation) = operation(eyes.as_ref(), worktree, &listing)? {
        let outcome = Outcome::NotCommitted(Obstacle::InProgress(operation));
        return Ok(Saved { head, outcome, left: listing.left(&private) });
    }
    listing.leave_out(brought);
    listing.apply(&private)?;
    let left = listing.left(&private);
    let saved = |outcome| Saved { head: head.clone(), outcome, left: left.clone() };
    let tree = tree_id(private.git().args(["write-tree", "--missing-ok"]), "write a tree")?;
    if tree_of(eyes.as_ref(), head.commit())?.as_deref() == Some(&tree) {
        return Ok(saved(Outcome::Nothing));
    }
    if let Some(obstacle) = obstacle(env, worktree, &head)? {
        return Ok(saved(Outcome::NotCommitted(obstacle)));
    }
    let parents: Vec<_> = head.commit().into_iter().collect();
    let commit = commit_tree(&private, config, &tree, &parents, message)?;
    let subject = message.lines().next().unwrap_or_default();
    let old = head.commit().map_or_else(|| "0".repeat(commit.as_str().len()), ToString::to_string);
    at_worktree(env, worktree)
        .args(["update-ref", "-m", &format!("commit: {subject}"), "HEAD", commit.as_str(), &old])
        .output("move the branch to the new commit")?;
    let index_updated = private.install_index()?;
    Ok(saved(Outcome::Committed { commit, index_updated }))
}

/// A commit of everything in `worktree` that is not ignored, on top of its HEAD, which is not moved: nothing of the worktree changes.
/// `None` if HEAD holds everything already.
///
/// # Errors
/// [`super::Error::NotOurWorktree`] while git is in the middle of something there, whose half would be taken for a whole.
pub fn snapshot(
    env: &GitEnv,
    worktree: &Worktree,
    config: &ConfigSnapshot,
    message: &str,
) -> Result<Option<CommitId>> {
    let eyes = eyes(env, worktree)?;
    let head = eyes.head()?;
    let private = PrivateDir::new(env, worktree, config)?;
    let mut listing = Listing::read(&private, worktree, head.commit())?;
    if let Some(operation) = operation(eyes.as_ref(), worktree, &listing)? {
        let what = format!("git is in the middle of {operation} there");
        return Err(super::Error::NotOurWorktree { path: worktree.path.clone(), what });
    }
    listing.apply(&private)?;
    let tree = tree_id(private.git().args(["write-tree", "--missing-ok"]), "write a tree")?;
    if tree_of(eyes.as_ref(), head.commit())?.as_deref() == Some(&tree) {
        return Ok(None);
    }
    let parents: Vec<_> = head.commit().into_iter().collect();
    commit_tree(&private, config, &tree, &parents, message).map(Some)
}

/// A command on the refs of the worktree whose writes reach the disk.
pub(super) fn at_worktree(env: &GitEnv, worktree: &Worktree) -> Git {
    Git::at(env, &worktree.admin_dir, &worktree.common_dir, &worktree.path)
        .config("core.fsync", "reference")
        .env("GIT_COMMITTER_NAME", NOBODY.0)
        .env("GIT_COMMITTER_EMAIL", NOBODY.1)
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

/// Makes a commit by whoever commits here.
pub(super) fn commit_tree(
    private: &PrivateDir<'_>,
    config: &ConfigSnapshot,
    tree: &str,
    parents: &[&CommitId],
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
        .args(parents.iter().flat_map(|parent| ["-p", parent.as_str()]))
        .args(["-F", "-", tree])
        .stdin(message.into_bytes())
        .id("make a commit")
}
