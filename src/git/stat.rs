//! How much a running agent has changed so far: for lists, often, and while it works.
//!
//! By libgit2, which runs no filter and writes no index; by hardened git through a private directory without filters
//! where libgit2 cannot open the repository. Either way a file that a filter rewrites (LFS) counts as changed once its
//! time differs from the index's.

use super::brought::Brought;
use super::changes::Listing;
use super::command::GitEnv;
use super::eyes_git::numstat;
use super::eyes_git2::{failed, tree};
use super::look::DiffStat;
use super::private::{ConfigSnapshot, PrivateDir};
use super::worktree::{Worktree, head, open};
use super::{CommitId, Result};
use crate::tools::clock;
use git2::{Delta, DiffDelta, DiffFlags, DiffOptions, Patch, Repository};
use std::time::Duration;

/// Files larger than this count as changed but their lines are not counted.
const LARGEST: i64 = 4 << 20;

/// A live difference.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LiveStat {
    /// The difference between the base and what is on disk, untracked files included.
    pub diff: DiffStat,
    /// False if the time ran out before all lines were counted; the files are all counted even then.
    pub complete: bool,
}

/// How what is in `worktree` now, committed or not, differs from `base`, but for what was `brought` there. Lines are counted for at
/// most `within`.
pub fn stat(
    env: &GitEnv,
    worktree: &Worktree,
    base: &CommitId,
    brought: &Brought,
    within: Duration,
) -> Result<LiveStat> {
    match open(worktree)? {
        Some(repository) => by_git2(&repository, worktree, base, brought, within),
        None => by_git(env, worktree, base, brought),
    }
}

/// What counts as a difference of a worktree: all that is on disk, tracked or not, without writing its index.
pub(super) fn all_there_is() -> DiffOptions {
    let mut options = DiffOptions::new();
    options
        .include_untracked(true)
        .recurse_untracked_dirs(true)
        .show_untracked_content(true)
        .ignore_submodules(true)
        .update_index(false);
    options
}

/// Whether a difference is none of the agent's: what was brought into its worktree, and is in no index.
pub(super) fn is_brought(delta: &DiffDelta<'_>, brought: &Brought) -> bool {
    delta.status() == Delta::Untracked && delta.new_file().path().is_some_and(|path| brought.has(path))
}

fn by_git2(
    repository: &Repository,
    worktree: &Worktree,
    base: &CommitId,
    brought: &Brought,
    within: Duration,
) -> Result<LiveStat> {
    let deadline = clock::tick() + within;
    let doing = "compare a worktree";
    repository.set_workdir(&worktree.path, false).map_err(failed(doing))?;
    let mut options = all_there_is();
    options.max_size(LARGEST);
    let base = tree(repository, base)?;
    let diff =
        repository.diff_tree_to_workdir_with_index(Some(&base), Some(&mut options)).map_err(failed(doing))?;
    let mut live = LiveStat { complete: true, ..LiveStat::default() };
    for (index, delta) in diff.deltas().enumerate() {
        if is_brought(&delta, brought) {
            continue;
        }
        live.diff.files += 1;
        if clock::tick() >= deadline {
            live.complete = false;
            continue;
        }
        // A file that changed or vanished since the list was made has no lines to count now.
        if let Ok(Some(patch)) = Patch::from_diff(&diff, index)
            && !patch.delta().flags().contains(DiffFlags::BINARY)
        {
            let (_, insertions, deletions) = patch.line_stats().map_err(failed(doing))?;
            live.diff.insertions += insertions;
            live.diff.deletions += deletions;
        }
    }
    Ok(live)
}

pub(super) fn by_git(
    env: &GitEnv,
    worktree: &Worktree,
    base: &CommitId,
    brought: &Brought,
) -> Result<LiveStat> {
    let private = PrivateDir::new(env, worktree, &ConfigSnapshot::bare(base.as_str().len() == 64))?;
    let at = head(env, worktree)?;
    let mut listing = Listing::read(&private, worktree, at.commit())?;
    listing.leave_out(brought);
    private.refresh(true)?;
    listing.mark_untracked(&private)?;
    let words =
        ["diff-index", "-z", "--numstat", "--no-ext-diff", "--no-textconv", "--ignore-submodules=dirty"];
    let out = private.git().args(words).arg(base.as_str()).output("compare a worktree")?;
    Ok(LiveStat { diff: numstat(&out), complete: true })
}
