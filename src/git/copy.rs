//! Files put into a new worktree from a checkout of the same repository, by several threads.
//!
//! What is in the checkout is believed in nothing: the bytes that were read are the blob's if they have its hash, whoever
//! wrote the file, whatever an index says of it and whenever it changes. Only such bytes are written, and all else is left to
//! git. So any directory can be the source, also one in which an agent works.
//!
//! Nothing leads outside: every directory on the way is opened by its name in the one above and is no link. Nothing waits: what is no
//! regular file is not opened. Files are never linked to each other; blocks are shared where the file system can copy on writing.

use super::index_bytes::Seen;
use super::tree_files::{Kind, Wanted};
use crate::tools::{clock, crash};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_OMIT, fstat, futimens, ioctl_ficlone,
    mkdirat, openat, readlinkat, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;
use sha1::{Digest, Sha1};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

/// Up to here a file is read whole before anything is written; a larger one is written while it is read, and taken back if it was
/// the wrong one.
const SMALL: usize = 256 << 10;
/// How many files a thread takes at once, or a few more: those of a directory stay together, because two threads wait for
/// each other in one.
const AT_ONCE: usize = 64;
/// How many threads there are at most: each holds directories open.
const THREADS: usize = 8;

/// From where, to where, and until when.
pub(super) struct Copy<'a> {
    /// The root of the source.
    pub(super) from: OwnedFd,
    /// The root of the worktree.
    pub(super) to: OwnedFd,
    /// The modification time that the files get, in seconds.
    pub(super) mtime: i64,
    /// Whoever sets this wants it to end soon.
    pub(super) stop: &'a AtomicBool,
    /// When it ends even so.
    pub(super) deadline: Instant,
    /// The size of a blob, asked for large files only.
    pub(super) size_of: &'a (dyn Fn(&[u8; 20]) -> Option<u64> + Sync),
    /// Something cannot be written: git will say what.
    pub(super) trouble: AtomicBool,
    /// The file system of the worktree does not share blocks with that of the source.
    pub(super) unshared: AtomicBool,
    /// Called before each part of the files.
    pub(super) before_part: &'a (dyn Fn() + Sync),
}

impl Copy<'_> {
    /// Copies what can be copied of `files`, by as many threads as that; how each that was is on disk now, by its place in
    /// `files` and in that order.
    ///
    /// Done again it leaves alone what is there. Half a file may be left if the process is killed.
    pub(super) fn run(&self, files: &[Wanted], threads: usize) -> Vec<(usize, Seen)> {
        let (parts, next) = (parts(files), AtomicUsize::new(0));
        let mut copied = std::thread::scope(|scope| {
            let work = || self.work(files, &parts, &next);
            let others = threads.clamp(1, THREADS).min(parts.len().max(1)) - 1;
            // Where the system gives no thread there are fewer.
            let others: Vec<_> = (0..others)
                .filter_map(|_| std::thread::Builder::new().spawn_scoped(scope, work).ok())
                .collect();
            let mut copied = work();
            for other in others {
                copied.extend(other.join().unwrap_or_default());
            }
            copied
        });
        copied.sort_unstable_by_key(|(at, _)| *at);
        copied
    }

    /// Writes a file whose bytes no source has: those of its blob, as the caller knows. How it is on disk now; `None` if it cannot be
    /// written, or is there.
    pub(super) fn put(&self, file: &Wanted, bytes: &[u8]) -> Option<Seen> {
        let (dir, name) = file.place();
        let mut to = self.to.try_clone().ok()?;
        for part in dir.split(|b| *b == b'/').filter(|part| !part.is_empty()) {
            to = make_way(self, to.as_fd(), part).ok()?;
        }
        let to = to.as_fd();
        let seen = if file.kind == Kind::Link {
            plant(self, to, name, bytes)
        } else {
            let target = create(self, to, name, file.kind).ok()??;
            finished(self, to, name, &target, write_all(&target, bytes).map(|()| true))
        };
        Seen::of(&seen.ok()??)
    }

    fn work(&self, files: &[Wanted], parts: &[Range<usize>], next: &AtomicUsize) -> Vec<(usize, Seen)> {
        let mut hands = Hands { copy: self, way: Way::default(), buffer: vec![0; SMALL + 1] };
        let mut copied = Vec::new();
        while let Some(part) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
            (self.before_part)();
            crash::point(|| "git room: copy a part of the files of a worktree");
            for at in part.clone() {
                let Some(file) = files.get(at) else { break };
                if self.is_over() {
                    return copied;
                }
                copied.extend(hands.one(file).map(|seen| (at, seen)));
            }
        }
        copied
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
            || self.trouble.load(Ordering::Relaxed)
            || clock::tick() >= self.deadline
    }
}

/// Parts of `files` that hold [`AT_ONCE`] or as many more as end a directory, but no more than a few times as many.
fn parts(files: &[Wanted]) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut from = 0;
    for (at, pair) in files.windows(2).enumerate() {
        let next = at + 1;
        let [one, two] = pair else { break };
        if next - from >= AT_ONCE && (one.place().0 != two.place().0 || next - from >= 8 * AT_ONCE) {
            parts.push(from..next);
            from = next;
        }
    }
    if from < files.len() {
        parts.push(from..files.len());
    }
    parts
}

/// The directories that lead to where a thread works, open on both sides.
#[derive(Default)]
struct Way {
    names: Vec<Vec<u8>>,
    open: Vec<(OwnedFd, OwnedFd)>,
}

impl Way {
    /// Goes to `dir`. Fails if a part of it is not there in the source, or is no directory in one of the two.
    fn go(&mut self, copy: &Copy<'_>, dir: &[u8]) -> rustix::io::Result<()> {
        let mut names = dir.split(|b| *b == b'/').filter(|name| !name.is_empty());
        let same = self.names.iter().zip(names.clone()).take_while(|(here, there)| here == there).count();
        self.names.truncate(same);
        self.open.truncate(same);
        names.by_ref().take(same).for_each(drop);
        for name in names {
            let (from, to) = self.here(copy);
            let from = open_dir(from, name)?;
            let to = make_way(copy, to, name)?;
            self.names.push(name.to_owned());
            self.open.push((from, to));
        }
        Ok(())
    }

    fn here<'a>(&'a self, copy: &'a Copy<'_>) -> (BorrowedFd<'a>, BorrowedFd<'a>) {
        let (from, to) = self.open.last().map_or((&copy.from, &copy.to), |(from, to)| (from, to));
        (from.as_fd(), to.as_fd())
    }
}

/// Opens a directory of the worktree, which is made if it is not there.
fn make_way(copy: &Copy<'_>, to: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    match mkdirat(to, name, Mode::RWXU | Mode::RWXG | Mode::RWXO) {
        Err(Errno::EXIST) => {}
        made => copy.must(made)?,
    }
    open_dir(to, name)
}

fn open_dir(dir: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    openat(dir, name, flags, Mode::empty())
}

impl Copy<'_> {
    /// A result of writing: whoever cannot write one file had better not try all others.
    fn must<T>(&self, result: rustix::io::Result<T>) -> rustix::io::Result<T> {
        if result.is_err() {
            self.trouble.store(true, Ordering::Relaxed);
        }
        result
    }

    fn times(&self) -> Timestamps {
        Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: self.mtime, tv_nsec: 0 },
        }
    }
}

/// What a thread works with.
struct Hands<'a> {
    copy: &'a Copy<'a>,
    way: Way,
    buffer: Vec<u8>,
}

impl Hands<'_> {
    /// Copies a file; `None`: it is left to git.
    fn one(&mut self, file: &Wanted) -> Option<Seen> {
        let (dir, name) = file.place();
        self.way.go(self.copy, dir).ok()?;
        let (from, to) = self.way.here(self.copy);
        let found = statat(from, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let size = u32::try_from(found.st_size).ok()? as usize;
        let done = match (file.kind, FileType::from_raw_mode(found.st_mode)) {
            (Kind::Link, FileType::Symlink) => link(self.copy, from, to, name, file),
            (Kind::Plain | Kind::Program, FileType::RegularFile) if size <= SMALL => {
                small(self.copy, from, to, name, file, &mut self.buffer)
            }
            (Kind::Plain | Kind::Program, FileType::RegularFile) => {
                if (self.copy.size_of)(&file.id) != Some(size as u64) {
                    return None;
                }
                large(self.copy, from, to, name, file, &mut self.buffer, size)
            }
            _ => return None,
        };
        Seen::of(&done.ok()??)
    }
}

/// A hash as git makes it of a blob of this size.
fn hash_of(size: usize) -> Sha1 {
    Sha1::new_with_prefix(format!("blob {size}\0"))
}

fn link(
    copy: &Copy<'_>,
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    name: &[u8],
    file: &Wanted,
) -> rustix::io::Result<Option<Stat>> {
    let leads = readlinkat(from, name, Vec::new())?;
    let mut hash = hash_of(leads.as_bytes().len());
    hash.update(leads.as_bytes());
    if hash.finalize().as_slice() != file.id {
        return Ok(None);
    }
    plant(copy, to, name, leads.as_bytes())
}

/// Makes a link; `None` if something is there already.
fn plant(copy: &Copy<'_>, to: BorrowedFd<'_>, name: &[u8], leads: &[u8]) -> rustix::io::Result<Option<Stat>> {
    match symlinkat(leads, to, name) {
        Err(Errno::EXIST) => return Ok(None),
        made => copy.must(made)?,
    }
    copy.must(utimensat(to, name, &copy.times(), AtFlags::SYMLINK_NOFOLLOW))?;
    statat(to, name, AtFlags::SYMLINK_NOFOLLOW).map(Some)
}

fn small(
    copy: &Copy<'_>,
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    name: &[u8],
    file: &Wanted,
    buffer: &mut [u8],
) -> rustix::io::Result<Option<Stat>> {
    let source = open_source(from, name)?;
    // All of it, as nobody interrupts the reading of a file. If it was not all, its hash is wrong.
    let read = rustix::io::read(&source, &mut *buffer)?;
    let bytes = buffer.get(..read).unwrap_or_default();
    let mut hash = hash_of(bytes.len());
    hash.update(bytes);
    if hash.finalize().as_slice() != file.id {
        return Ok(None);
    }
    let Some(target) = create(copy, to, name, file.kind)? else { return Ok(None) };
    finished(copy, to, name, &target, write_all(&target, bytes).map(|()| true))
}

fn large(
    copy: &Copy<'_>,
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    name: &[u8],
    file: &Wanted,
    buffer: &mut [u8],
    size: usize,
) -> rustix::io::Result<Option<Stat>> {
    let source = open_source(from, name)?;
    let Some(target) = create(copy, to, name, file.kind)? else { return Ok(None) };
    let shared = !copy.unshared.load(Ordering::Relaxed) && {
        let shared = ioctl_ficlone(&target, &source).is_ok();
        copy.unshared.store(!shared, Ordering::Relaxed);
        shared
    };
    let mut stream = || {
        let mut hash = hash_of(size);
        let mut left = size;
        loop {
            // What was shared is read where nobody changes it any more.
            let read = rustix::io::read(if shared { &target } else { &source }, &mut *buffer)?;
            if read == 0 || read > left || copy.is_over() {
                return Ok(read == 0 && left == 0 && hash.finalize().as_slice() == file.id);
            }
            let bytes = buffer.get(..read).unwrap_or_default();
            left -= read;
            hash.update(bytes);
            if !shared {
                write_all(&target, bytes)?;
            }
        }
    };
    let right = stream();
    finished(copy, to, name, &target, right)
}

/// Opens a file of the source, which was a regular one a moment ago.
fn open_source(dir: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    openat(dir, name, flags, Mode::empty())
}

/// Makes a file in the worktree with the mode that git gives it; `None` if something is there already.
fn create(
    copy: &Copy<'_>,
    dir: BorrowedFd<'_>,
    name: &[u8],
    kind: Kind,
) -> rustix::io::Result<Option<OwnedFd>> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // The umask takes away from it.
    let mode = if kind == Kind::Program { 0o777 } else { 0o666 };
    match openat(dir, name, flags, Mode::from_raw_mode(mode)) {
        Err(Errno::EXIST) => Ok(None),
        opened => copy.must(opened).map(Some),
    }
}

fn write_all(file: &OwnedFd, mut bytes: &[u8]) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(file, bytes) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// How the file is now, with its time set, if it is `right`; else it is taken back.
fn finished(
    copy: &Copy<'_>,
    dir: BorrowedFd<'_>,
    name: &[u8],
    target: &OwnedFd,
    right: rustix::io::Result<bool>,
) -> rustix::io::Result<Option<Stat>> {
    match right {
        Ok(true) => {
            copy.must(futimens(target, &copy.times()))?;
            fstat(target).map(Some)
        }
        wrong => {
            // What stays is written over by git, which knows nothing of it.
            unlinkat(dir, name, AtFlags::empty()).ok();
            if matches!(wrong, Err(e) if e != Errno::ISDIR) {
                copy.trouble.store(true, Ordering::Relaxed);
            }
            wrong.map(|_| None)
        }
    }
}
