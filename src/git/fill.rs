//! A new worktree gets its files: copied from a checkout where that is the same, checked out by git where it is not.
//!
//! Copying ends with an index that names what was copied. If that is not all, git goes over the whole of it as it does without, and finds
//! done what is done. So whatever fails on the way, or dies, or is only half there, is seen to by git.

use super::command::GitEnv;
use super::copy::Copy;
use super::copyable::{ATTRIBUTES, index_is_plain, refused_by_attributes, refused_by_settings};
use super::eyes_git2::failed;
use super::index_bytes::{self, Line};
use super::register;
use super::settings::{ForWorktrees, Settings};
use super::tree_files::Files;
use super::worktree::{self, Worktree};
use super::{Error, Result, disk};
use crate::model::entry::Filled;
use crate::tools::{clock, crash, process};
use rustix::fs::{Mode, OFlags, open};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// With fewer files git is as fast: asking it for its settings takes as long as it would take to write them.
pub(super) const FEW: usize = 64;
/// A file of attributes that is larger is not looked through.
const LONGEST: usize = 1 << 20;

/// Fills a worktree that [`worktree::add`] made with the files of its branch, as a plain `git worktree add` would: from the
/// first of `sources` (checkouts of the same repository) that is there, as far as their files are those of the branch, and by
/// [`worktree::fill`] where they are not or where something could change bytes on the way.
///
/// `known` are the settings of worktrees, if they were asked for a moment ago. Only reads in the source. Ends within moments, with
/// [`Error::BrokenOff`], once `stop` is set; the git that may be at work then is for the caller to end. Doing it again is harmless until
/// an agent has worked there, whatever became of the time before.
pub fn fill(
    env: &GitEnv,
    worktree: &Worktree,
    sources: &[PathBuf],
    known: Option<&ForWorktrees>,
    stop: &AtomicBool,
) -> Result<Filled> {
    let prepared = prepare(env, worktree, sources, known, stop);
    if stop.load(Ordering::Relaxed) {
        return Err(Error::BrokenOff);
    }
    match prepared {
        Ok((filled, true)) => Ok(filled),
        Ok((filled, false)) => worktree::complete(env, worktree).map(|()| filled),
        Err(Why(why)) => worktree::fill(env, worktree).map(|()| Filled::CheckedOut { why, pool: None }),
    }
}

/// Why nothing is copied.
struct Why(String);

impl From<Error> for Why {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}

/// Copies, and writes the index of what was copied. With the answer comes whether there is no more to do for git.
fn prepare(
    env: &GitEnv,
    worktree: &Worktree,
    sources: &[PathBuf],
    known: Option<&ForWorktrees>,
    stop: &AtomicBool,
) -> Result<(Filled, bool), Why> {
    let no = |why: &str| Why(why.to_owned());
    if disk::look(&worktree.admin_dir.join("index"))?.is_some() {
        return Err(no("it was begun before"));
    }
    let repository =
        worktree::open(worktree)?.ok_or_else(|| no("the repository is of a kind that git alone reads"))?;
    // While git is asked, the rest of the tree is read.
    let (settings, files) = std::thread::scope(|scope| {
        let mut asked = None;
        let ask = || settings(env, worktree, known);
        let ask = || asked = std::thread::Builder::new().spawn_scoped(scope, ask).ok();
        let files = files(&repository, ask);
        (asked.and_then(|asked| asked.join().ok()), files)
    });
    let files = files?;
    if files.odd {
        return Err(no("a path in it is odd"));
    }
    if files.wanted.len() < FEW {
        return Err(no("it has few files"));
    }
    let settings = settings.ok_or_else(|| no("no thread could be started"))??;
    if let Some(why) = refused_by_settings(&settings) {
        return Err(Why(why));
    }
    if let Some(why) = attributes(env, worktree, &settings, &repository, &files.attributes)? {
        return Err(Why(why));
    }
    let from = sources.iter().filter(|source| **source != worktree.path).find_map(|source| open_root(source));
    let (from, to) = from.zip(open_root(&worktree.path)).ok_or_else(|| no("no checkout is there to copy"))?;
    register::log(env, worktree, &repository)?;
    let repository = Mutex::new(repository);
    let size_of = |id: &[u8; 20]| {
        let oid = git2::Oid::from_bytes(id).ok()?;
        let repository = repository.lock().ok()?;
        let (size, _) = repository.odb().ok()?.read_header(oid).ok()?;
        u64::try_from(size).ok()
    };
    let copy = Copy {
        from,
        to,
        // Of another second than the index: git reads a file again that was written in the second in which its index was. And not
        // older: whoever builds into one place from several worktrees goes by times.
        mtime: clock::now().0.as_second() - 1,
        stop,
        deadline: clock::tick() + env.long_limit,
        size_of: &size_of,
        trouble: AtomicBool::new(false),
        unshared: AtomicBool::new(false),
        before_part: &|| {},
    };
    // Two wait for different things even where one processor is idle, and cost no more than one.
    let threads = process::idle_processors().max(2);
    let copied = copy.run(&files.wanted, threads);
    let lines: Vec<_> = copied
        .iter()
        .filter_map(|(at, seen)| {
            let file = files.wanted.get(*at)?;
            Some(Line { path: &file.path, mode: file.kind.mode(), id: file.id, seen: *seen })
        })
        .collect();
    let (all, copied) = (files.wanted.len() as u64 + files.others, lines.len() as u64);
    let complete = copied == all && !files.submodules && index_is_plain(&settings);
    let index = index_bytes::bytes(&lines, complete.then_some(&files.known));
    let lock = worktree.admin_dir.join("index.lock");
    disk::write_new(&lock, &index.ok_or_else(|| no("it has too many files"))?)?;
    disk::sync(&lock)?;
    disk::rename(&lock, &worktree.admin_dir.join("index"))?;
    crash::point(|| "git room: the files are copied");
    Ok((Filled::Copied { files: copied, by_git: all - copied, pool: None }, complete))
}

pub(super) fn open_root(path: &Path) -> Option<OwnedFd> {
    open(path, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()
}

/// The settings of the worktree: what is `known` of them, else what git says.
pub(super) fn settings(
    env: &GitEnv,
    worktree: &Worktree,
    known: Option<&ForWorktrees>,
) -> Result<Vec<(String, String)>> {
    match known.filter(|known| known.holds_for(env)) {
        Some(known) => Ok(known.settings.clone()),
        None => Ok(Settings::in_worktree(env, worktree)?.all),
    }
}

/// The files of HEAD; `then` is called once it is known that they are not few.
fn files(repository: &git2::Repository, then: impl FnMut()) -> Result<Files> {
    let head = repository.head().and_then(|head| head.peel_to_tree()).map_err(failed("read HEAD"))?;
    Files::of(repository, &head, FEW, then)
}

/// What forbids copying in the attributes of the tree (these blobs), the repository, the user and the system.
pub(super) fn attributes(
    env: &GitEnv,
    worktree: &Worktree,
    settings: &[(String, String)],
    repository: &git2::Repository,
    in_tree: &[git2::Oid],
) -> Result<Option<String>> {
    for id in in_tree {
        let blob = repository.find_blob(*id).map_err(failed("read attributes"))?;
        if blob.size() > LONGEST {
            return Ok(Some("a .gitattributes is too large".to_owned()));
        }
        if let Some(why) = refused_by_attributes(blob.content()) {
            return Ok(Some(why));
        }
    }
    let named = settings.iter().rev().find(|(key, _)| key == ATTRIBUTES).map(|(_, value)| value);
    let users = match named {
        Some(named) => match env.expanded(named) {
            Some(path) => Some(path),
            None => return Ok(Some("core.attributesFile leads nowhere that we know".to_owned())),
        },
        None => env.users_attributes(),
    };
    let places = [Some(worktree.common_dir.join("info/attributes")), users];
    for place in places.into_iter().flatten().chain(env.systems_attributes()) {
        if let Some(why) = in_file(&place) {
            return Ok(Some(format!("{}: {why}", place.display())));
        }
    }
    Ok(None)
}

/// The same for a file that need not be there. People keep theirs elsewhere and lead there by a link.
fn in_file(path: &Path) -> Option<String> {
    match disk::look(path) {
        Ok(None) => return None,
        Ok(Some(_)) => {}
        Err(error) => return Some(error.to_string()),
    }
    match disk::real(path).and_then(|path| disk::read_small(&path)) {
        Ok(text) => {
            let text = text.unwrap_or_default();
            if text.len() >= LONGEST {
                Some("it is too large".to_owned())
            } else {
                refused_by_attributes(&text)
            }
        }
        Err(error) => Some(error.to_string()),
    }
}
