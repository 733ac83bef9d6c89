//! The trees of a pool are made, and deleted: by whoever has time, one at a time for each repository.
//!
//! A tree is made where nobody sees it, and gets the name under which it is taken when all of it is there. What is half made, was taken and
//! not used, or is of no use any more is deleted by whoever makes the next one, or cleans.

use super::command::GitEnv;
use super::copy::Copy;
use super::copyable::{index_is_plain, refused_by_settings};
use super::erase;
use super::eyes_git2::failed;
use super::fill::{FEW, attributes, open_root, settings};
use super::index_bytes::{self, Line};
use super::pool::{self, Made};
use super::tree_files::Files;
use super::worktree::{self, Worktree};
use super::{CommitId, Error, Result, disk};
use crate::rules::pool::{Limits, fits, is_old};
use crate::tools::lock::{self, Lock};
use crate::tools::{clock, crash, journal, process};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// Disks give space in pieces of so many bytes.
const BLOCK: u64 = 4096;

/// What to make trees of.
pub struct Order<'a> {
    /// A worktree of the repository: settings are those that hold there.
    pub worktree: &'a Worktree,
    /// The commit.
    pub commit: &'a CommitId,
    /// Checkouts that may have the same files; the first that is there is copied.
    pub sources: &'a [PathBuf],
    /// What the user allows.
    pub limits: Limits,
    /// Called before each piece of work: waits for others whose work comes first.
    pub give_way: &'a (dyn Fn() + Sync),
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// So many were made, and now there are as many as there may be.
    Made(u32),
    /// None is made, and why.
    None(String),
    /// Somebody else is at it.
    Busy,
}

/// Makes `pool` hold as many trees as it may, and deletes what is of no use in it; `is_used` tells whether the agent of that name may
/// just be filling its worktree. Dying anywhere leaves nothing that is taken for a tree.
pub fn make(env: &GitEnv, pool: &Path, order: &Order<'_>, is_used: &dyn Fn(&str) -> bool) -> Result<Outcome> {
    let Some(_alone) = alone(pool)? else { return Ok(Outcome::Busy) };
    let Some(repository) = worktree::open(order.worktree)? else {
        return Ok(Outcome::None("git alone reads the repository".to_owned()));
    };
    let wanted = git2::Oid::from_str(order.commit.as_str()).map_err(failed("read a commit"))?;
    let is_of_use = |made: &Made| {
        made.holds(&order.worktree.common_dir)
            && !is_old(made.at, now())
            && pool::distance(&repository, made, wanted).is_some()
    };
    let mut there = tidy(pool, &is_of_use, is_used, order.limits.number)?;
    let mut made = 0;
    while there < order.limits.number {
        let place = pool.join(format!("new-{}", clock::new_id()));
        disk::make_dir(&place)?;
        let one = Making { env, repository: &repository, order, place: &place };
        match one.make(u64::from(there)) {
            Ok(None) => {}
            Ok(Some(why)) => {
                erase::tree(&place)?;
                return Ok(Outcome::None(why));
            }
            Err(error) => {
                erase::tree(&place).ok();
                return Err(error);
            }
        }
        let id = place.file_name().and_then(|name| name.to_str()?.strip_prefix("new-")).unwrap_or_default();
        disk::rename_new(&place, &pool.join(id))?;
        (there, made) = (there + 1, made + 1);
    }
    Ok(Outcome::Made(made))
}

/// Deletes what is of no use in `pool`: what is half made, taken and left, old, or of a repository that is gone; all of it if
/// `none` are allowed. The pool itself goes when nothing is in it. Somebody who makes trees in it just now is left alone.
pub fn clear(pool: &Path, none: bool, is_used: &dyn Fn(&str) -> bool) -> Result<()> {
    if disk::names(pool)?.is_none() {
        return Ok(());
    }
    let Some(alone) = alone(pool)? else { return Ok(()) };
    let is_of_use = |made: &Made| {
        let there = || disk::look(&made.common_dir).is_ok_and(|found| found.is_some());
        made.is_sound() && !is_old(made.at, now()) && there()
    };
    let most = if none { 0 } else { u32::MAX };
    if tidy(pool, &is_of_use, is_used, most)? == 0 {
        let only_lock = disk::names(pool)?.is_some_and(|names| names.iter().all(|name| name == LOCK));
        if only_lock {
            disk::remove_file(&pool.join(LOCK))?;
            disk::remove_empty(pool)?;
        }
    }
    drop(alone);
    Ok(())
}

/// Held by whoever makes or deletes trees. Nobody needs it to take one.
const LOCK: &str = "lock";

fn alone(pool: &Path) -> Result<Option<Lock>> {
    let path = pool.join(LOCK);
    lock::try_exclusive(&path).map_err(|e| Error::Disk { path, source: io::Error::other(e) })
}

/// Milliseconds since 1970.
fn now() -> i64 {
    clock::now().0.as_millisecond()
}

/// Deletes what is of no use; how many trees there are after that, at most `most`. The caller holds the lock.
fn tidy(
    pool: &Path,
    is_of_use: &dyn Fn(&Made) -> bool,
    is_used: &dyn Fn(&str) -> bool,
    most: u32,
) -> Result<u32> {
    let mut kept = 0;
    for entry in pool::ready(pool)? {
        if kept < most && Made::read(&entry)?.is_some_and(|made| is_of_use(&made)) {
            kept += 1;
        } else {
            let name = entry.file_name().unwrap_or_default().to_string_lossy();
            let gone = pool.join(format!("gone-{name}"));
            match disk::rename_new(&entry, &gone) {
                // Somebody took it.
                Err(_) if disk::look(&entry)?.is_none() => {}
                moved => moved?,
            }
        }
    }
    for name in disk::names(pool)?.unwrap_or_default() {
        let Some(said) = name.to_str() else { continue };
        // Behind the owner comes a dash and an id.
        let owner = said.strip_prefix("of-").and_then(|rest| rest.get(..rest.len().checked_sub(37)?));
        let left = said.starts_with("new-") || said.starts_with("gone-");
        if left || owner.is_some_and(|owner| !is_used(owner)) {
            erase::tree(&pool.join(said))?;
        }
    }
    Ok(kept)
}

/// One tree that is being made.
struct Making<'a> {
    env: &'a GitEnv,
    repository: &'a git2::Repository,
    order: &'a Order<'a>,
    place: &'a Path,
}

impl Making<'_> {
    /// Makes it; if it cannot be the same as what git would make, or is too large, why.
    fn make(&self, there: u64) -> Result<Option<String>> {
        let (order, no) = (self.order, |why: &str| Ok(Some(why.to_owned())));
        let tree = super::eyes_git2::tree(self.repository, order.commit)?;
        let files = Files::of(self.repository, &tree, usize::MAX, || {})?;
        if files.odd || files.others > 0 || files.submodules {
            return no("not all of it can be copied");
        }
        let count = files.wanted.len();
        if count < FEW {
            return no("it has few files");
        }
        if count as u64 > order.limits.max_files {
            return Ok(Some(format!("{count} files are more than {}", order.limits.max_files)));
        }
        let settings = settings(self.env, order.worktree, None)?;
        let mut why = refused_by_settings(&settings);
        if why.is_none() {
            why = attributes(self.env, order.worktree, &settings, self.repository, &files.attributes)?;
        }
        if why.is_some() || !index_is_plain(&settings) {
            return Ok(Some(why.unwrap_or_else(|| "the index is to be of another kind".to_owned())));
        }
        if !fits(self.size(&files)?, there, disk::free(self.place)?) {
            return no("it would take more than its part of the free disk");
        }
        let made = Made {
            format: 1,
            commit: order.commit.as_str().to_owned(),
            files: count as u64,
            common_dir: order.worktree.common_dir.clone(),
            umask: match process::umask() {
                Some(umask) => umask,
                None => return no("the umask is not known"),
            },
            boot: process::boot()
                .map_err(|e| Error::Disk { path: self.place.to_owned(), source: e.source })?,
            at: now(),
        };
        let root = self.place.join("tree");
        disk::make_plain_dir(&root)?;
        // Where two directories cannot change places, nobody could take it.
        let other = self.place.join("other");
        disk::make_plain_dir(&other)?;
        disk::exchange(&root, &other)?;
        disk::remove_empty(&other)?;
        let from = order.sources.iter().find_map(|source| open_root(source));
        let Some((from, to)) = from.zip(open_root(&root)) else {
            return no("no checkout is there to copy");
        };
        let Some(index) = self.write(&files, from, to)? else { return no("not all of it could be written") };
        disk::write_new(&self.place.join("index"), &index)?;
        let line = journal::frame(&made).map_err(disk::error(self.place))?;
        disk::write_new(&self.place.join("made"), &line)?;
        Ok(None)
    }

    /// Bytes on disk of all files together, nearly.
    fn size(&self, files: &Files) -> Result<u64> {
        let odb = self.repository.odb().map_err(failed("read a commit"))?;
        let mut bytes = 0_u64;
        for file in &files.wanted {
            let id = git2::Oid::from_bytes(&file.id).map_err(failed("read a commit"))?;
            let (size, _) = odb.read_header(id).map_err(failed("read a file of a commit"))?;
            bytes = bytes.saturating_add((size as u64).next_multiple_of(BLOCK));
        }
        Ok(bytes)
    }

    /// Writes the files: as they are in a checkout where that is the same, else from their blobs. The index of them; `None` if one could
    /// not be written.
    fn write(
        &self,
        files: &Files,
        from: std::os::fd::OwnedFd,
        to: std::os::fd::OwnedFd,
    ) -> Result<Option<Vec<u8>>> {
        let odb = self.repository.odb().map_err(failed("read a commit"))?;
        let odb = std::sync::Mutex::new(odb);
        let size_of = |id: &[u8; 20]| {
            let (size, _) = odb.lock().ok()?.read_header(git2::Oid::from_bytes(id).ok()?).ok()?;
            u64::try_from(size).ok()
        };
        let copy = Copy {
            from,
            to,
            mtime: clock::now().0.as_second() - 1,
            stop: &AtomicBool::new(false),
            deadline: clock::tick() + self.env.long_limit,
            size_of: &size_of,
            trouble: AtomicBool::new(false),
            unshared: AtomicBool::new(false),
            before_part: self.order.give_way,
        };
        // Nobody waits for it, and others have better things to do with a second processor.
        let copied = copy.run(&files.wanted, 1);
        let mut seen = copied.into_iter().peekable();
        let mut lines = Vec::with_capacity(files.wanted.len());
        for (at, file) in files.wanted.iter().enumerate() {
            let found = if let Some((_, found)) = seen.next_if(|(copied, _)| *copied == at) {
                Some(found)
            } else {
                let id = git2::Oid::from_bytes(&file.id).map_err(failed("read a commit"))?;
                let blob = self.repository.find_blob(id).map_err(failed("read a file of a commit"))?;
                copy.put(file, blob.content())
            };
            let Some(found) = found else { return Ok(None) };
            lines.push(Line { path: &file.path, mode: file.kind.mode(), id: file.id, seen: found });
        }
        crash::point(|| "git room: the files of a tree are written");
        Ok(index_bytes::bytes(&lines, Some(&files.known)))
    }
}
