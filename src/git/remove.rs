//! Taking a worktree away: aside first, then git's own entry, then its branch, then the files.
//!
//! Each step finds itself done. None looks at the others: the order is the caller's, and so is having saved the worktree
//! ([`super::rescue::save`]) before.

use super::command::{Git, GitEnv, answer};
use super::look::checked_out_at;
use super::worktree::{Worktree, admin_leads_to, in_place};
use super::{CommitId, Error, Result, disk, locks, refs};
use std::path::{Path, PathBuf};

pub use super::erase::tree;

/// What became of a branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BranchFate {
    /// It was gone already.
    Gone,
    /// It was deleted.
    Deleted {
        /// Where it pointed.
        tip: CommitId,
    },
    /// It is still there.
    Kept {
        /// Where it points.
        tip: CommitId,
        /// Why.
        why: KeptBecause,
    },
}

/// Why a branch stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeptBecause {
    /// Worktrees have it checked out.
    CheckedOut {
        /// These.
        at: Vec<PathBuf>,
    },
    /// It was there before the agent.
    NotOurs,
    /// It has commits that nothing else holds.
    NotMerged {
        /// How many since its base.
        commits: u64,
    },
}

/// Why somebody locked the worktree against removal (`git worktree lock`); `None` if nobody did.
pub fn locked(worktree: &Worktree) -> Result<Option<String>> {
    let reason = disk::read_small(&worktree.admin_dir.join("locked"))?;
    let reason = reason.map(|text| String::from_utf8_lossy(&text).trim().to_owned());
    // git's own, while it adds one.
    Ok(reason.filter(|reason| reason != "initializing"))
}

/// The commits that only git's entry of the worktree holds: what it was in the middle of (`MERGE_HEAD`, a rebase and what
/// it had stashed for it), and refs of this worktree alone. They go with the entry.
pub fn held_by_entry(env: &GitEnv, worktree: &Worktree) -> Result<Vec<CommitId>> {
    const FILES: [&str; 12] = [
        "ORIG_HEAD",
        "MERGE_HEAD",
        "MERGE_AUTOSTASH",
        "CHERRY_PICK_HEAD",
        "REVERT_HEAD",
        "AUTO_MERGE",
        "rebase-merge/autostash",
        "rebase-merge/orig-head",
        "rebase-merge/stopped-sha",
        "rebase-merge/rewritten-list",
        "rebase-apply/autostash",
        "rebase-apply/orig-head",
    ];
    let mut files: Vec<PathBuf> = FILES.iter().map(|name| worktree.admin_dir.join(name)).collect();
    let mut dirs = vec![worktree.admin_dir.join("refs")];
    while let Some(dir) = dirs.pop() {
        for name in disk::names(&dir)?.unwrap_or_default() {
            let path = dir.join(name);
            match disk::look(&path)? {
                Some(meta) if meta.is_dir() => dirs.push(path),
                Some(meta) if meta.is_file() => files.push(path),
                _ => {}
            }
        }
    }
    let git = || Git::without_work_tree(env, &worktree.common_dir);
    let mut found = Vec::new();
    let mut hold = |spec: &str| -> Result<()> {
        let words = ["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{spec}^{{commit}}")];
        let there = git().args(words).run()?;
        let id = CommitId::parse(String::from_utf8_lossy(&there.stdout).trim_end());
        found.extend(id.filter(|id| there.status.success() && !found.contains(id)));
        Ok(())
    };
    for path in files {
        let text = disk::read_small(&path)?.unwrap_or_default();
        for id in String::from_utf8_lossy(&text).split_whitespace().filter_map(CommitId::parse) {
            hold(id.as_str())?;
        }
    }
    // What is still to be picked, by ids that may be cut.
    for name in ["sequencer/todo", "rebase-merge/git-rebase-todo"] {
        let text = disk::read_small(&worktree.admin_dir.join(name))?.unwrap_or_default();
        let lines = String::from_utf8_lossy(&text).into_owned();
        let picks = lines.lines().filter_map(|line| line.split_whitespace().nth(1));
        for id in picks.filter(|id| id.len() >= 4 && id.bytes().all(|b| b.is_ascii_hexdigit())) {
            hold(id)?;
        }
    }
    // Refs of a worktree alone that are in no file of their own.
    if disk::look(&worktree.common_dir.join("reftable"))?.is_some()
        && disk::look(&worktree.admin_dir.join("HEAD"))?.is_some()
    {
        let own = || Git::without_work_tree(env, &worktree.admin_dir);
        let below = ["refs/worktree", "refs/bisect", "refs/rewritten"];
        let refs = own().args(["for-each-ref", "--format=%(objectname)"]).args(below).output("list refs")?;
        for id in String::from_utf8_lossy(&refs).lines() {
            hold(id)?;
        }
        for name in FILES.into_iter().filter(|name| !name.contains('/')) {
            let at = own().args(["rev-parse", "--verify", "--quiet", "--end-of-options", name]).run()?;
            if let Some(id) = CommitId::parse(String::from_utf8_lossy(&at.stdout).trim_end()) {
                hold(id.as_str())?;
            }
        }
    }
    Ok(found)
}

/// The submodules whose repositories lie in git's entry of the worktree and hold commits that no remote of theirs has: they go with
/// the entry, and nothing else holds them. Where that cannot be found out they count as such.
pub fn submodules_with_work(env: &GitEnv, worktree: &Worktree) -> Result<Vec<PathBuf>> {
    let modules = worktree.admin_dir.join("modules");
    let mut with_work = Vec::new();
    let mut todo = vec![modules.clone()];
    while let Some(dir) = todo.pop() {
        for name in disk::names(&dir)?.unwrap_or_default() {
            let path = dir.join(&name);
            if !disk::look(&path)?.is_some_and(|meta| meta.is_dir()) {
                continue;
            }
            // A name with a slash in it is a directory of directories; a submodule has its own below `modules`.
            if disk::look(&path.join("HEAD"))?.is_none() {
                todo.push(path);
                continue;
            }
            todo.push(path.join("modules"));
            let words = ["rev-list", "--max-count=1", "--all", "--reflog", "HEAD", "--not", "--remotes"];
            let own = Git::without_work_tree(env, &path).args(words).run()?;
            let unborn = String::from_utf8_lossy(&own.stderr).contains("ambiguous argument 'HEAD'");
            if !(own.stdout.is_empty() && (own.status.success() || unborn)) {
                with_work.push(path.strip_prefix(&modules).unwrap_or(&path).to_owned());
            }
        }
    }
    Ok(with_work)
}

/// Renames the worktree's directory to `to`, on the same file system. False if it is gone already.
///
/// Both parents are on disk (fsync) when this returns.
/// Errors: [`Error::NotOurWorktree`] if something else is in its place, [`Error::PathTaken`] if `to` exists.
pub fn move_aside(worktree: &Worktree, to: &Path) -> Result<bool> {
    in_place(worktree)?;
    if disk::look(&worktree.path)?.is_none() {
        return Ok(false);
    }
    disk::rename_new(&worktree.path, to)?;
    for parent in [worktree.path.parent(), to.parent()].into_iter().flatten() {
        disk::sync(parent)?;
    }
    Ok(true)
}

/// Gives what was moved aside another name, beside the old one.
///
/// # Errors
/// [`Error::PathTaken`] if there is something of that name.
pub fn give_up(path: &Path, to: &Path) -> Result<()> {
    disk::rename_new(path, to)
}

/// Removes git's own entry of the worktree, whatever state it is in: half made, locked, half removed.
///
/// Errors: [`Error::NotOurWorktree`] if it is no entry directly below `worktrees`, or leads to another worktree.
pub fn admin(worktree: &Worktree) -> Result<()> {
    let differs = |what: &str| Error::NotOurWorktree { path: worktree.path.clone(), what: what.to_owned() };
    let worktrees = worktree.common_dir.join("worktrees");
    if worktree.admin_dir.parent() != Some(worktrees.as_path()) || worktree.admin_dir.file_name().is_none() {
        return Err(differs("its git directory is not where git keeps them"));
    }
    if disk::look(&worktrees)?.is_some_and(|meta| !meta.is_dir()) {
        return Err(differs("the directory of its git directory is a link"));
    }
    match disk::look(&worktree.admin_dir)? {
        None => {}
        Some(meta) if !meta.is_dir() => return Err(differs("its git directory is something else")),
        Some(_) => {
            if admin_leads_to(&worktree.admin_dir, &worktree.path)? == Some(false) {
                return Err(differs("its git directory belongs to another worktree"));
            }
            tree(&worktree.admin_dir)?;
            disk::sync(&worktrees)?;
        }
    }
    disk::remove_empty(&worktrees).map(|_| ())
}

/// What counts as having the commits of a branch.
#[derive(Debug, Clone, Copy)]
pub struct Merged<'m> {
    /// These: full names of refs, or commits.
    pub into: &'m [&'m str],
    /// Every other local branch that does not begin so (the prefix of agents' branches: another agent's branch can go as well).
    pub ours: &'m str,
    /// Also one commit of `into` that does what all of them did.
    pub squashed: bool,
}

/// Deletes the branch `name` if nothing is lost by that: it is at `base`, where it began, or what it has is held as `merged` says, or
/// by a branch of a remote.
///
/// Errors: what git says, for one if somebody moved the branch in this moment.
pub fn branch(
    env: &GitEnv,
    common_dir: &Path,
    name: &str,
    base: &CommitId,
    merged: Merged<'_>,
) -> Result<BranchFate> {
    let fate = fate(env, common_dir, name, base, merged, None)?;
    if let BranchFate::Deleted { tip } = &fate {
        let full = format!("refs/heads/{name}");
        let delete = || {
            refs::at(env, common_dir)
                .args(["update-ref", "--no-deref", "-d", &full, tip.as_str()])
                .output("delete a branch")
        };
        locks::past_stale(common_dir, delete)?;
    }
    Ok(fate)
}

/// What [`branch`] would do if the worktree at `without` were gone. Changes nothing.
pub fn fate(
    env: &GitEnv,
    common_dir: &Path,
    name: &str,
    base: &CommitId,
    merged: Merged<'_>,
    without: Option<&Path>,
) -> Result<BranchFate> {
    let full = format!("refs/heads/{name}");
    let Some(tip) = refs::read(env, common_dir, &full)? else { return Ok(BranchFate::Gone) };
    let mut at = checked_out_at(Git::without_work_tree(env, common_dir), name)?;
    at.retain(|path| Some(path.as_path()) != without);
    if !at.is_empty() {
        return Ok(BranchFate::Kept { tip, why: KeptBecause::CheckedOut { at } });
    }
    let held = tip == *base
        || is_in_one_of(env, common_dir, &tip, merged.into)?
        || is_on_another_branch(env, common_dir, &tip, &full, merged.ours)?
        || (merged.squashed && is_squashed_into_one_of(env, common_dir, &tip, merged.into)?);
    if !held {
        let commits = count(env, common_dir, base, &tip)?;
        return Ok(BranchFate::Kept { tip, why: KeptBecause::NotMerged { commits } });
    }
    Ok(BranchFate::Deleted { tip })
}

fn is_squashed_into_one_of(env: &GitEnv, common_dir: &Path, tip: &CommitId, others: &[&str]) -> Result<bool> {
    for other in others {
        if super::merge::is_squashed(env, common_dir, tip, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_in_one_of(env: &GitEnv, common_dir: &Path, tip: &CommitId, others: &[&str]) -> Result<bool> {
    for other in others {
        // A leading dash is never a commit, and must never become an option.
        if other.is_empty() || other.starts_with('-') {
            continue;
        }
        let words = ["merge-base", "--is-ancestor", tip.as_str(), other];
        let out = Git::without_work_tree(env, common_dir).args(words).run()?;
        match out.status.code() {
            Some(0) => return Ok(true),
            // 128: there is no such ref (any more), so it holds nothing.
            Some(1 | 128) => {}
            _ => return Err(out.failure().into()),
        }
    }
    Ok(false)
}

fn is_on_another_branch(
    env: &GitEnv,
    common_dir: &Path,
    tip: &CommitId,
    full: &str,
    ours: &str,
) -> Result<bool> {
    let ours = format!("refs/heads/{ours}");
    let out = Git::without_work_tree(env, common_dir)
        .limit(env.long_limit)
        .args(["for-each-ref", "--contains", tip.as_str(), "--format=%(symref) %(refname)"])
        .args(["refs/heads", "refs/remotes"])
        .output("look for a branch that holds this one")?;
    let text = String::from_utf8_lossy(&out);
    // A symbolic ref holds nothing by itself: it may lead to the very branch.
    let names = text.lines().filter_map(|line| line.strip_prefix(' '));
    Ok(names.into_iter().any(|name| name != full && (ours == "refs/heads/" || !name.starts_with(&ours))))
}

fn count(env: &GitEnv, common_dir: &Path, base: &CommitId, tip: &CommitId) -> Result<u64> {
    let range = format!("{base}..{tip}");
    let line = Git::without_work_tree(env, common_dir).args(["rev-list", "--count", &range]);
    let line = line.line("count commits")?;
    line.to_str().and_then(|n| n.parse().ok()).ok_or_else(|| answer("count commits", line.as_encoded_bytes()))
}
