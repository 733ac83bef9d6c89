//! Locks that a git left behind when it was killed (`packed-refs.lock` and the like). git waits for nobody's lock for long,
//! and never removes one that is not its own.
//!
//! Such a lock may as well be that of a git of the user's, so age proves nothing. What proves it: git makes a lock and is
//! gone with it when it has ended. A lock of ours by its owner, that nobody has open, and that is unchanged when every git
//! that ran on this machine when we first saw it has ended, belongs to nobody. Programs that write refs without the `git`
//! program keep a lock open while they write, and rename it within microseconds.

use super::{Error, Result, disk};
use crate::tools::{clock, process, program};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the git processes that may hold a lock are waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same where nobody needs the lock yet.
pub(super) const SHORT: Duration = Duration::from_secs(5);
/// How long a lock must stay as it is, for the sake of those who hold it without having it open.
const UNCHANGED: Duration = Duration::from_secs(1);

/// Does `work`, a git command that writes in `common_dir`. If it fails because of a lock, waits until that is given back,
/// removes it if it is nobody's, and does it once more. A lock that somebody may hold fails as before.
pub(super) fn past_stale<T>(common_dir: &Path, work: impl Fn() -> Result<T>) -> Result<T> {
    let error = match work() {
        Ok(done) => return Ok(done),
        Err(error) => error,
    };
    let Some(lock) = named_in(&error).filter(|lock| lock.starts_with(common_dir)) else { return Err(error) };
    if settled(&lock, PATIENCE)? { work() } else { Err(error) }
}

/// Removes what gits that were killed left locked in `common_dir` of the refs below `ours`, of the branch `branch`, and of
/// all refs at once (`packed-refs.lock`). What somebody may hold stays, and so does what cannot be looked at.
pub fn clear(common_dir: &Path, ours: &str, branch: &str) {
    let mut locks = vec![
        common_dir.join("packed-refs.lock"),
        common_dir.join("refs/heads").join(format!("{branch}.lock")),
    ];
    let mut dirs = vec![common_dir.join(ours)];
    while let Some(dir) = dirs.pop() {
        for name in disk::names(&dir).ok().flatten().unwrap_or_default() {
            let path = dir.join(&name);
            if disk::look(&path).is_ok_and(|meta| meta.is_some_and(|meta| meta.is_dir())) {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "lock") {
                locks.push(path);
            }
        }
    }
    for lock in locks {
        if let Err(error) = settled(&lock, SHORT) {
            tracing::warn!(lock = %lock.display(), %error, "could not be removed");
        }
    }
}

/// The lock that git names when it cannot make it.
fn named_in(error: &Error) -> Option<PathBuf> {
    let Error::Program(program::Error::Failed { stderr, .. }) = error else { return None };
    let (_, rest) = stderr.split_once("Unable to create '")?;
    let (path, _) = rest.split_once(".lock': File exists")?;
    Some(PathBuf::from(format!("{path}.lock")))
}

/// What tells one lock from another in the same place.
#[derive(PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    changed: (i64, i64),
    size: u64,
}

fn identity(lock: &Path) -> Result<Option<Identity>> {
    let ours = |meta: &std::fs::Metadata| meta.is_file() && meta.uid() == rustix::process::geteuid().as_raw();
    Ok(disk::look(lock)?.filter(ours).map(|meta| Identity {
        device: meta.dev(),
        inode: meta.ino(),
        changed: (meta.ctime(), meta.ctime_nsec()),
        size: meta.size(),
    }))
}

/// Waits until every git that runs now has ended; false if one has not in time. What cannot be found out is no proof.
pub(super) fn all_ended(patience: Duration) -> bool {
    let end = clock::tick() + patience;
    let Ok(gits) = process::called(|name| name == "git" || name.starts_with("git-")) else { return false };
    gits.iter().all(|git| {
        let left = end.saturating_duration_since(clock::tick());
        process::wait_for_end(git, left).unwrap_or(false)
    })
}

/// Waits for the lock: true if it is gone, by its holder or by us because it was nobody's.
pub(super) fn settled(lock: &Path, patience: Duration) -> Result<bool> {
    // What git said is the error to tell where nothing can be found out.
    let Some(first) = identity(lock)? else { return Ok(disk::look(lock)?.is_none()) };
    let since = clock::tick();
    if !all_ended(patience) {
        return Ok(false);
    }
    if identity(lock)?.is_none_or(|now| now != first) {
        return Ok(disk::look(lock)?.is_none());
    }
    #[expect(clippy::disallowed_methods, reason = "that nothing happens for a time is what is waited for")]
    std::thread::sleep(UNCHANGED.saturating_sub(since.elapsed()));
    match identity(lock)? {
        None => Ok(disk::look(lock)?.is_none()),
        Some(now) if now != first => Ok(false),
        Some(_) if process::has_open(lock).unwrap_or(true) => Ok(false),
        Some(_) => {
            tracing::warn!(lock = %lock.display(), "was left by a git that is gone, and is removed");
            if lock.file_name().is_some_and(|name| name == "packed-refs.lock") {
                // Written while that lock is held, and in the way of the next who holds it.
                disk::remove_file(&lock.with_file_name("packed-refs.new"))?;
            }
            disk::remove_file(lock)?;
            Ok(true)
        }
    }
}
