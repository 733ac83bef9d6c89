//! Directories of ours for one command or two, and those that somebody left who was killed.
//!
//! What is in them may be worth nothing, or a password: the configuration that reaches a remote. So whoever makes one holds a lock on it,
//! which the kernel gives back, and what nobody holds is removed by the next keeper or `clean`.

use super::{Error, Result, disk};
use crate::tools::lock::{self, Lock};
use crate::tools::process;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Behind the name of one that is held.
const HELD: &str = ".held";
/// Behind the name of one that is not held yet.
const NEW: &str = ".new";
/// For how long one without a lock is left alone, whatever process its name tells: that may be one of another container's.
const UNHELD: Duration = Duration::from_hours(1);

/// A directory of ours that is gone when this is dropped.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
    #[expect(dead_code, reason = "held until the directory is gone")]
    lock: Lock,
}

impl Scratch {
    /// A fresh directory in `parent`, readable by us alone.
    pub(super) fn new(parent: &Path) -> Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        loop {
            let n = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("git-{}-{n}", std::process::id());
            let (new, path) = (parent.join(format!("{name}{NEW}")), parent.join(format!("{name}{HELD}")));
            // Left by a process of the same number that was killed.
            if disk::look(&path)?.is_some() {
                continue;
            }
            match disk::make_dir(&new) {
                Err(Error::Disk { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => continue,
                made => made?,
            }
            // By the time that it has the name of one that is held, it is.
            let lock = lock::share_dir(&new).map_err(|error| disk::error(&new)(io::Error::other(error)))?;
            disk::rename_quietly(&new, &path)?;
            return Ok(Self { path, lock });
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        disk::remove_scratch(&self.path);
    }
}

/// Removes those in `parent` whose maker is surely dead.
///
/// # Errors
/// With the first that could not be looked at or removed, after the others.
pub fn sweep(parent: &Path) -> Result<()> {
    let mut failed = None;
    for name in disk::names(parent)?.unwrap_or_default() {
        let path = parent.join(&name);
        let swept = is_left(&path, &name.to_string_lossy())
            .and_then(|left| if left { disk::remove_tree(&path) } else { Ok(()) });
        failed = failed.or(swept.err());
    }
    failed.map_or(Ok(()), Err)
}

/// Whether nobody needs the directory `path` any more.
fn is_left(path: &Path, name: &str) -> Result<bool> {
    let Some(rest) = name.strip_prefix("git-") else { return Ok(false) };
    if rest.ends_with(HELD) {
        let held = lock::is_dir_held(path).map_err(|error| disk::error(path)(io::Error::other(error)))?;
        return Ok(held == Some(false));
    }
    // Made by a version that held no lock, or by somebody who had no time to take it.
    let Some(pid) = rest.split('-').next().and_then(|pid| pid.parse().ok()) else { return Ok(false) };
    let old = disk::look(path)?.is_some_and(|meta| disk::is_older(&meta, UNHELD));
    let dead = || process::identify(pid).map_err(|error| disk::error(path)(io::Error::other(error)));
    Ok(old && dead()?.is_none())
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test looks at files")]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_is_held_stays_and_what_nobody_holds_goes() {
        let dir = tempfile::tempdir().unwrap();
        let held = Scratch::new(dir.path()).unwrap();
        fs::write(held.path().join("config"), "password").unwrap();
        // Of this very process, which lives: as if its number had been another's before.
        let make = |name: &str, hours: u64| {
            let path = dir.path().join(name);
            fs::create_dir(&path).unwrap();
            fs::write(path.join("config"), "password").unwrap();
            let time = std::time::SystemTime::now() - Duration::from_hours(hours);
            fs::File::open(&path).unwrap().set_modified(time).unwrap();
        };
        let (own, dead) = (std::process::id(), i32::MAX);
        make(&format!("git-{own}-900.held"), 0);
        make(&format!("git-{dead}-1.held"), 0);
        for kept in [format!("git-{own}-901"), format!("git-{own}-902.new")] {
            make(&kept, 2);
        }
        make(&format!("git-{dead}-2"), 0);
        make(&format!("git-{dead}-3"), 2);
        make(&format!("git-{dead}-4.new"), 2);
        make("other", 2);
        sweep(dir.path()).unwrap();
        let mut left: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        let own_held = held.path().file_name().unwrap().to_str().unwrap().to_owned();
        let mut kept = vec![
            own_held,
            format!("git-{own}-901"),
            format!("git-{own}-902.new"),
            format!("git-{dead}-2"),
            "other".to_owned(),
        ];
        kept.sort();
        assert_eq!(left, kept);
        let path = held.path().to_owned();
        drop(held);
        assert!(!path.exists());
        sweep(&dir.path().join("nowhere")).unwrap();
    }
}
