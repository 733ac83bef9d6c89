//! Finding a worktree whose making was cut off (`git worktree add` was killed), and finishing it or clearing it away.
//!
//! The caller holds the repository's lock, so nobody of ours is adding. What could still be somebody else's stays:
//! files, entries that lead elsewhere, and locks of refs that are younger than [`STALE`] and that somebody may hold.

use super::command::GitEnv;
use super::worktree::{Worktree, admin_leads_to, by_git, delete_branch, head, remove_pristine};
use super::{CommitId, Error, Result, disk, erase, locks};
use crate::tools::program;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// git holds the lock of a ref for milliseconds, and tells nobody who holds it. A branch of ours, whose name nobody else
/// of ours can want now, is locked for so long only if its git was killed.
const STALE: Duration = Duration::from_secs(5);

/// What an entry can hold before it says whose it is.
const BEGUN: [&str; 6] = ["locked", "gitdir", "HEAD", "commondir", "refs", "logs"];

/// Finishes or clears away an add of a worktree at `path` on `branch`.
///
/// `Some`: it is all there, perhaps less its files ([`super::worktree::fill`]). `None`: nothing of it is there any more,
/// and it can be added anew; a branch that was made for it at `made_branch_at` is gone if it is still there.
/// Errors: [`Error::NotOurWorktree`] if there are files at `path` and it is no worktree on `branch`.
pub fn repair_add(
    env: &GitEnv,
    common_dir: &Path,
    path: &Path,
    branch: &str,
    made_branch_at: Option<&CommitId>,
) -> Result<Option<Worktree>> {
    if let Some(mut worktree) = linked(env, common_dir, path)?
        && head(env, &worktree).is_ok_and(|head| head.branch() == Some(branch) && head.commit().is_some())
    {
        branch.clone_into(&mut worktree.branch);
        finish(&worktree)?;
        return Ok(Some(worktree));
    }
    clear(common_dir, path)?;
    if let Some(commit) = made_branch_at {
        unlock_branch(common_dir, branch)?;
        delete_branch(env, common_dir, branch, commit)?;
    }
    Ok(None)
}

/// The worktree at `path`, if its `.git` file and an entry of this repository lead to each other. Its branch is not
/// looked at and left empty.
pub(super) fn linked(env: &GitEnv, common_dir: &Path, path: &Path) -> Result<Option<Worktree>> {
    if !disk::look(path)?.is_some_and(|meta| meta.is_dir()) {
        return Ok(None);
    }
    let path = disk::real(path)?;
    let dot_git = path.join(".git");
    if !disk::look(&dot_git)?.is_some_and(|meta| meta.is_file()) {
        return Ok(None);
    }
    let link = disk::read_small(&dot_git)?.unwrap_or_default();
    let written = link.strip_prefix(b"gitdir: ").and_then(|rest| rest.strip_suffix(b"\n"));
    let Some(admin_dir) = written.and_then(|at| disk::real(&path.join(OsStr::from_bytes(at))).ok()) else {
        return Ok(None);
    };
    let in_place = admin_dir.parent() == Some(common_dir.join("worktrees").as_path());
    if !in_place || admin_leads_to(&admin_dir, &path)? != Some(true) {
        return Ok(None);
    }
    let worktree = Worktree { path, admin_dir, common_dir: common_dir.to_owned(), branch: String::new() };
    Ok(by_git(env, &worktree).is_ok().then_some(worktree))
}

/// Takes away what a killed git left in the entry: its locks, and the mark of a worktree that is being made.
pub(super) fn finish(worktree: &Worktree) -> Result<()> {
    for name in disk::names(&worktree.admin_dir)?.unwrap_or_default() {
        let file = worktree.admin_dir.join(&name);
        let left = match name.as_bytes() {
            b"locked" => disk::read_small(&file)?.is_some_and(|why| why.trim_ascii() == b"initializing"),
            other => other.ends_with(b".lock"),
        };
        if left && disk::look(&file)?.is_some_and(|meta| meta.is_file()) {
            disk::remove_file(&file)?;
        }
    }
    Ok(())
}

/// Removes what is left of an add at `path` that is no worktree; fails if there are files.
pub(super) fn clear(common_dir: &Path, path: &Path) -> Result<()> {
    let differs = |what: &str| Error::NotOurWorktree { path: path.to_owned(), what: what.to_owned() };
    match disk::look(path)? {
        Some(meta) if !meta.is_dir() => return Err(differs("something else is in its place")),
        Some(_) if !remove_pristine(path)? => return Err(differs("there are files in it")),
        _ => {}
    }
    let worktrees = common_dir.join("worktrees");
    for name in disk::names(&worktrees)?.unwrap_or_default() {
        let admin_dir = worktrees.join(&name);
        let ours = match admin_leads_to(&admin_dir, path)? {
            Some(ours) => ours,
            None => is_begun_for(&admin_dir, &name, path)?,
        };
        if ours {
            erase::tree(&admin_dir)?;
        }
    }
    disk::remove_empty(&worktrees).map(|_| ())
}

/// If `error` is that git could not read the entry of another worktree, whose git was killed in the middle of making it: clears that
/// away if it was for one beside `path`, which are all ours. Until then every `git worktree add` fails. True if git may be asked again.
pub(super) fn clear_unreadable(common_dir: &Path, path: &Path, error: &Error) -> Result<bool> {
    let Some(admin_dir) = unreadable(common_dir, error) else { return Ok(false) };
    let broken =
        || Ok::<_, Error>(disk::look(&admin_dir.join("commondir"))?.is_some_and(|meta| meta.len() == 0));
    // A git of the user's that is making one looks alike for a moment.
    if broken()? && !locks::all_ended(locks::SHORT) {
        return Ok(false);
    }
    if !broken()? {
        return Ok(true);
    }
    let (Some(name), Some(ours)) = (admin_dir.file_name(), path.parent()) else { return Ok(false) };
    // git puts a number behind the last part of the path if there is an entry of that name.
    let plain = name.as_bytes().iter().rposition(|byte| !byte.is_ascii_digit()).map_or(0, |last| last + 1);
    for end in plain.max(1)..=name.len() {
        let path = ours.join(OsStr::from_bytes(name.as_bytes().get(..end).unwrap_or_default()));
        let is_for = match admin_leads_to(&admin_dir, &path)? {
            Some(leads) => leads,
            None => is_begun_for(&admin_dir, name, &path)?,
        };
        if is_for {
            tracing::warn!(entry = %admin_dir.display(), "was left by a git that is gone, and is removed");
            return clear(common_dir, &path).map(|()| true);
        }
    }
    Ok(false)
}

/// The entry that git says it could not read, because a file of it is empty.
fn unreadable(common_dir: &Path, error: &Error) -> Option<PathBuf> {
    let Error::Program(program::Error::Failed { stderr, .. }) = error else { return None };
    let (_, rest) = stderr.split_once("failed to read ")?;
    let (path, _) = rest.split_once("/commondir: ")?;
    let admin_dir = PathBuf::from(path);
    (admin_dir.parent() == Some(common_dir.join("worktrees").as_path())).then_some(admin_dir)
}

/// Was an entry that does not say where it leads made for `path`? git names it like the last part of the path, with a
/// number if that is taken, and nothing but the first few files is in it.
pub(super) fn is_begun_for(admin_dir: &Path, name: &OsStr, path: &Path) -> Result<bool> {
    let wanted = path.file_name().unwrap_or_default().as_bytes();
    let Some(number) = name.as_bytes().strip_prefix(wanted) else { return Ok(false) };
    let Some(names) = disk::names(admin_dir)? else { return Ok(false) };
    let begun = |name: &std::ffi::OsString| {
        BEGUN.iter().any(|begun| name == begun) || name.as_bytes().ends_with(b".lock")
    };
    let marked = names.is_empty() || names.iter().any(|name| name == "locked");
    Ok(number.iter().all(u8::is_ascii_digit) && marked && names.iter().all(begun))
}

/// Removes the lock of a branch that a killed git left: an old one, and a younger one that is proved to be nobody's. In a
/// reftable repository there is none for a single ref.
pub(super) fn unlock_branch(common_dir: &Path, branch: &str) -> Result<()> {
    let lock: PathBuf = common_dir.join("refs/heads").join(format!("{branch}.lock"));
    let Some(meta) = disk::look(&lock)?.filter(std::fs::Metadata::is_file) else { return Ok(()) };
    if disk::is_older(&meta, STALE) {
        disk::remove_file(&lock)
    } else {
        locks::settled(&lock, STALE).map(drop)
    }
}
