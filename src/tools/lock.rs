//! Advisory locks on files: who holds one is alive, and the kernel lets go when it dies.
//!
//! The lock file holds the pid of its holder, written after the lock is ours, so that whoever waits can say for whom.
//! `std` has methods of the same names as fs2 (since 1.89); every call here names the trait.

use super::file;
use fs2::FileExt;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

/// A lock that could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else holds it for longer than we wait.
    #[error("waited {} s for the lock {}, held by {}", .limit.as_secs(), .path.display(), holder(*.pid))]
    Held {
        /// The lock file.
        path: PathBuf,
        /// How long we waited.
        limit: Duration,
        /// Who holds it, if the file says so.
        pid: Option<i32>,
    },
    /// The lock file could not be opened.
    #[error(transparent)]
    File(#[from] file::Error),
    /// The system refused to lock.
    #[error("cannot lock {}: {source}", .path.display())]
    System {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn holder(pid: Option<i32>) -> String {
    pid.map_or_else(|| "an unknown process".to_owned(), |pid| format!("process {pid}"))
}

impl Error {
    /// A word that does not change, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Held { .. } => "locked",
            Self::File(e) => e.code(),
            Self::System { .. } => "lock",
        }
    }

    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Held { pid: Some(pid), .. } => Some(format!("see what it does: ps -fp {pid}")),
            Self::Held { .. } | Self::System { .. } => None,
            Self::File(e) => e.hint(),
        }
    }
}

/// Result of taking a lock.
pub type Result<T> = std::result::Result<T, Error>;

/// A held lock. It is given back when this is dropped, or when the process dies.
#[derive(Debug)]
#[must_use = "a lock that is dropped at once protects nothing"]
pub struct Lock {
    // The kernel lets go when it is closed.
    file: File,
}

impl Lock {
    /// The same lock once more, for a program that we start: it is held until that has ended as well, whatever happens to us.
    pub(super) fn share(&self) -> io::Result<File> {
        self.file.try_clone()
    }
}

/// Who holds a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Somebody alive, with the pid that the file tells.
    Yes(Option<i32>),
    /// Nobody.
    No,
}

/// Takes the lock `path` for us alone, waiting up to `limit` for whoever holds it.
pub fn exclusive(path: &Path, limit: Duration) -> Result<Lock> {
    guard(path, limit).map(signed)
}

/// Takes the lock `path` for us alone if nobody holds it.
pub fn try_exclusive(path: &Path) -> Result<Option<Lock>> {
    Ok(try_guard(path)?.map(signed))
}

/// The file at `path`, locked for us alone for as long as it is open: for a file that is its own lock. Nothing is written in
/// it; it is made if it is not there. Waits up to `limit` for whoever holds it.
pub fn guard(path: &Path, limit: Duration) -> Result<File> {
    if let Some(file) = try_guard(path)? {
        return Ok(file);
    }
    // The kernel queues blocking lockers fairly and wakes them at once, which no retry loop does; a thread of its own
    // gives the wait a limit. One that is given up ends as soon as it gets the lock, which it drops at once.
    let (send, receive) = mpsc::channel();
    let own = path.to_owned();
    std::thread::Builder::new()
        .spawn(move || {
            // The receiver may be gone; then the lock in the message is dropped with it.
            drop(send.send(block(&own)));
        })
        .map_err(|source| Error::System { path: path.to_owned(), source })?;
    match receive.recv_timeout(limit) {
        Ok(locked) => locked,
        Err(_) => Err(Error::Held { path: path.to_owned(), limit, pid: written_pid(path) }),
    }
}

fn block(path: &Path) -> Result<File> {
    loop {
        let file = file::open_rw(path)?;
        FileExt::lock_exclusive(&file).map_err(|source| Error::System { path: path.to_owned(), source })?;
        if still_there(&file, path)? {
            return Ok(file);
        }
    }
}

/// Like [`guard`], if nobody holds it.
pub fn try_guard(path: &Path) -> Result<Option<File>> {
    match try_opened(path, || file::open_rw(path).map(Some))? {
        Tried::Ours(file) => Ok(Some(file)),
        Tried::Busy | Tried::Missing => Ok(None),
    }
}

/// What came of trying to take a lock on a file that may be missing.
#[derive(Debug)]
pub enum Tried<T> {
    /// It is ours.
    Ours(T),
    /// Somebody holds it.
    Busy,
    /// There is no such file.
    Missing,
}

/// Like [`try_guard`] of a file that is there: it is not made.
pub fn try_guard_there(path: &Path) -> Result<Tried<File>> {
    try_opened(path, || file::open_rw_there(path))
}

fn try_opened(path: &Path, open: impl Fn() -> file::Result<Option<File>>) -> Result<Tried<File>> {
    loop {
        let Some(file) = open()? else { return Ok(Tried::Missing) };
        match FileExt::try_lock_exclusive(&file) {
            Ok(()) if still_there(&file, path)? => return Ok(Tried::Ours(file)),
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(Tried::Busy),
            Err(source) => return Err(Error::System { path: path.to_owned(), source }),
        }
    }
}

/// Locks `file`, which stays open afterwards, for us alone if nobody holds its lock. Whether it is still what its path leads
/// to is to be asked then.
pub fn try_again(file: &File, path: &Path) -> Result<bool> {
    match FileExt::try_lock_exclusive(file) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(source) => Err(Error::System { path: path.to_owned(), source }),
    }
}

/// Gives the lock of `file` back, which stays open.
pub fn let_go(file: &File, path: &Path) -> Result<()> {
    FileExt::unlock(file).map_err(|source| Error::System { path: path.to_owned(), source })
}

/// Takes a shared lock on the directory `path` itself: cleaners of /tmp leave a locked directory alone.
pub fn share_dir(path: &Path) -> Result<Lock> {
    let file = file::open_dir(path)?;
    FileExt::try_lock_shared(&file).map_err(|source| Error::System { path: path.to_owned(), source })?;
    Ok(Lock { file })
}

/// Takes the lock `path` together with others who take it so; `None` if somebody has it alone at this moment. Whoever takes it alone
/// waits until all of these have given it back.
pub fn try_shared(path: &Path) -> Result<Option<Lock>> {
    let file = file::open_rw(path)?;
    match FileExt::try_lock_shared(&file) {
        Ok(()) => Ok(Some(Lock { file })),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(source) => Err(Error::System { path: path.to_owned(), source }),
    }
}

/// Whether anybody holds a lock on the directory `path` itself; `None` if there is none.
pub fn is_dir_held(path: &Path) -> Result<Option<bool>> {
    if !file::is_dir(path)? {
        return Ok(None);
    }
    let file = file::open_dir(path)?;
    match FileExt::try_lock_exclusive(&file) {
        Ok(()) => Ok(Some(false)),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(Some(true)),
        Err(source) => Err(Error::System { path: path.to_owned(), source }),
    }
}

/// Whether anybody holds the lock `path`; `None` if there is no such file. Never makes the file, and lets go at once.
pub fn probe(path: &Path) -> Result<Option<Held>> {
    let Some(file) = file::open(path)? else { return Ok(None) };
    match FileExt::try_lock_shared(&file) {
        Ok(()) => Ok(Some(Held::No)),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(Some(Held::Yes(pid_in(file)))),
        Err(source) => Err(Error::System { path: path.to_owned(), source }),
    }
}

/// A lock file that was deleted or moved while we waited is nobody's lock: others lock its successor.
fn still_there(file: &File, path: &Path) -> Result<bool> {
    Ok(file::is_at(file, path)?)
}

/// The lock with our pid in its file. The pid only serves messages: if it cannot be written, the lock still holds.
fn signed(mut file: File) -> Lock {
    let sign = |file: &mut File| -> io::Result<()> {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    drop(sign(&mut file));
    Lock { file }
}

fn written_pid(path: &Path) -> Option<i32> {
    file::open(path).ok().flatten().and_then(pid_in)
}

fn pid_in(file: File) -> Option<i32> {
    let mut text = String::new();
    file.take(20).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time_and_the_waiter_learns_who() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        assert_eq!(probe(&path).unwrap(), None);
        let held = exclusive(&path, Duration::from_secs(1)).unwrap();
        assert!(try_exclusive(&path).unwrap().is_none());
        let me = i32::try_from(std::process::id()).unwrap();
        assert_eq!(probe(&path).unwrap(), Some(Held::Yes(Some(me))));
        let error = exclusive(&path, Duration::from_millis(20)).unwrap_err();
        assert!(matches!(error, Error::Held { pid: Some(pid), .. } if pid == me), "{error}");
        drop(held);
        // The waiter that gave up still gets its turn, and lets go at once.
        while probe(&path).unwrap() != Some(Held::No) {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_waiter_gets_the_lock_as_soon_as_it_is_free() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = exclusive(&path, Duration::from_secs(1)).unwrap();
        let other = path.clone();
        let waiter = std::thread::spawn(move || exclusive(&other, Duration::from_secs(30)).map(drop));
        drop(held);
        waiter.join().unwrap().unwrap();
    }

    #[test]
    fn a_deleted_lock_file_is_not_a_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let stale = file::open_rw(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        FileExt::lock_exclusive(&stale).unwrap();
        assert!(!still_there(&stale, &path).unwrap());
        assert!(try_exclusive(&path).unwrap().is_some(), "the successor can be locked");
    }

    #[test]
    fn eight_threads_count_without_losing_one() {
        let dir = tempfile::tempdir().unwrap();
        let lock = dir.path().join("lock");
        let counter = dir.path().join("n");
        std::fs::write(&counter, "0").unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..25 {
                        let held = exclusive(&lock, Duration::from_secs(30)).unwrap();
                        let n: u32 = std::fs::read_to_string(&counter).unwrap().parse().unwrap();
                        std::fs::write(&counter, (n + 1).to_string()).unwrap();
                        drop(held);
                    }
                });
            }
        });
        assert_eq!(std::fs::read_to_string(&counter).unwrap(), "200");
    }
}
