//! Files: the three writes of the house, and reads that name the path when they fail.
//!
//! - [`replace`]: whole file, survives a power cut (temporary file, fsync, rename, fsync of the directory).
//! - `append`: records of a [`super::journal`].
//! - [`post`]: whole file, atomic for readers but not synced; only for the board under /tmp.
//!
//! Nothing here follows a symbolic link at the last step of a path when it writes, and every file and directory made
//! here belongs to its user alone (0600, 0700). What is opened must be a file: a FIFO that somebody put in its place would
//! hold us up for ever.
#![expect(clippy::disallowed_methods, reason = "the one file that wraps std::fs")]

use super::crash;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RawDir};
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A file operation that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {}", crate::model::text::Shown(&.path.to_string_lossy()), plain(.source))]
pub struct Error {
    /// What was tried, as a verb.
    pub action: &'static str,
    /// The path.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// The system's words without Rust's "(os error 28)".
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(at) => text.get(..at).unwrap_or(&text).to_lowercase(),
        None => text,
    }
}

impl Error {
    fn new(action: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self { action, path: path.to_owned(), source: source.into() }
    }

    /// A word that does not change, for programs.
    pub fn code(&self) -> &'static str {
        match self.source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "disk_full",
            io::ErrorKind::ReadOnlyFilesystem => "read_only",
            io::ErrorKind::PermissionDenied => "permission",
            io::ErrorKind::NotFound => "file_not_found",
            _ => "file",
        }
    }

    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        let dir = self.path.parent().unwrap_or(&self.path).to_string_lossy().into_owned();
        match self.source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Some(format!("make room on its file system: df -h {}", crate::model::text::Shown(&dir)))
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Some(format!("look at its owner and mode: ls -ld {}", crate::model::text::Shown(&dir)))
            }
            _ => None,
        }
    }
}

impl Error {
    /// What is in `path` is not what we wrote there.
    pub fn damaged(path: &Path, why: impl std::fmt::Display) -> Self {
        Self::new("use", path, io::Error::new(io::ErrorKind::InvalidData, why.to_string()))
    }

    /// Whether something else is where a file of ours was: looking again, room or rights will not mend that.
    pub fn is_damage(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, InvalidData, IsADirectory};
        matches!(self.source.kind(), InvalidData | FileTooLarge | IsADirectory)
            || self.source.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
            || self.source.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error())
    }
}

/// What has room at least where a file system is not full, in bytes.
const ROOM: u64 = 16 << 10;
/// The largest file that is read into memory, in bytes. The longest of ours, the beginning of an agent's output, has 48 MiB.
pub const LARGEST: u64 = 64 << 20;

/// How much of a directory is read at a time, in bytes: more than a shard of ready tasks takes.
const NAMES: usize = 8 << 10;
/// How often a directory is made that others remove.
const DIR_TRIES: u32 = 100;

/// Result of a file operation.
pub type Result<T> = std::result::Result<T, Error>;

/// Writes `bytes` to `path` so that a reader sees the old file or the new one, also after a power cut.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = write_aside(path, bytes, true)?;
    rename(&temporary, path)?;
    sync_dir(parent(path))
}

/// Writes `bytes` to `path` so that a reader sees the old file or the new one. Not synced: a power cut may lose it.
pub fn post(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = write_aside(path, bytes, false)?;
    rename(&temporary, path)
}

/// Like [`post`], for a file that this user may execute.
pub fn post_program(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = write_aside(path, bytes, false)?;
    let only_us = fs::Permissions::from_mode(0o700);
    fs::set_permissions(&temporary, only_us).map_err(|e| Error::new("make executable", &temporary, e))?;
    rename(&temporary, path)
}

/// Renames `from` to `to`, replacing what is there. Not synced.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    crash::point(|| format!("rename to {}", crash::short(to)));
    fs::rename(from, to).map_err(|e| {
        // The error that matters is the rename's; a stray temporary file is only untidy.
        drop(fs::remove_file(from));
        Error::new("write", to, e)
    })
}

/// Renames `from`, replacing what is at `to`; false if it is not there. Not synced.
pub fn move_there(from: &Path, to: &Path) -> Result<bool> {
    crash::point(|| format!("move to {}", crash::short(to)));
    match fs::rename(from, to) {
        Ok(()) => Ok(true),
        Err(e) if missing(&e) && matches!(ownership(from), Ok(None)) => Ok(false),
        Err(e) => Err(Error::new("write", to, e)),
    }
}

/// Makes `path` another name of the file `of`; false if that is not there. It may be there already.
pub fn name_too(of: &Path, path: &Path) -> Result<bool> {
    crash::point(|| format!("name {}", crash::short(path)));
    match fs::hard_link(of, path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(true),
        Err(e) if missing(&e) && matches!(ownership(of), Ok(None)) => Ok(false),
        Err(e) => Err(Error::new("make", path, e)),
    }
}

fn write_aside(path: &Path, bytes: &[u8], sync: bool) -> Result<PathBuf> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    let temporary = path.with_file_name(name);
    crash::point(|| format!("write beside {}", crash::short(path)));
    let write = || -> io::Result<()> {
        let create = || private().create_new(true).open(&temporary);
        let mut file = match create() {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                // A leftover of a killed process with our pid.
                drop(fs::remove_file(&temporary));
                create()?
            }
            made => made?,
        };
        file.write_all(bytes)?;
        if sync { file.sync_all() } else { Ok(()) }
    };
    write().map_err(|e| {
        drop(fs::remove_file(&temporary));
        Error::new("write", path, e)
    })?;
    Ok(temporary)
}

/// Options to open a file for writing, for this user alone, not through a link.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600).custom_flags(nofollow());
    options
}

fn nofollow() -> i32 {
    #[expect(clippy::cast_possible_wrap, reason = "the flag is a bit pattern that std wants signed")]
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC).bits() as i32;
    flags
}

/// Creates `path` with `bytes` and syncs it. Fails if anything is there already.
pub fn create(path: &Path, bytes: &[u8]) -> Result<()> {
    crash::point(|| format!("create {}", crash::short(path)));
    let write = || -> io::Result<()> {
        let mut file = private().create_new(true).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|e| Error::new("create", path, e))
}

/// Opens `path` for appending, making it if needed.
pub fn append(path: &Path) -> Result<File> {
    crash::point(|| format!("open to append {}", crash::short(path)));
    let opened = private().append(true).create(true).open(path);
    opened.and_then(regular).map_err(|e| Error::new("open", path, e))
}

/// Opens `path` for reading and writing without changing what is in it, making it if needed. That it is a file is to be asked
/// afterwards, by [`length_at`]: whoever wants its lock asks where it is in any case, once that is his.
pub fn open_rw(path: &Path) -> Result<File> {
    unseen(private().read(true).create(true).truncate(false), path).map_err(|e| Error::new("open", path, e))
}

/// Like [`append`], but `None` if it is not there.
pub fn append_there(path: &Path) -> Result<Option<File>> {
    match private().append(true).open(path).and_then(regular) {
        Ok(file) => Ok(Some(file)),
        Err(e) if missing(&e) => Ok(None),
        Err(e) => Err(Error::new("open", path, e)),
    }
}

/// Like [`open_rw`], but `None` if it is not there.
pub fn open_rw_there(path: &Path) -> Result<Option<File>> {
    match unseen(private().read(true), path) {
        Ok(file) => Ok(Some(file)),
        Err(e) if missing(&e) => Ok(None),
        Err(e) => Err(Error::new("open", path, e)),
    }
}

/// Opens `path` so that reading it changes nothing: that it was read would be a change of its inode, to be written to the disk.
fn unseen(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    #[expect(clippy::cast_possible_wrap, reason = "the flag is a bit pattern that std wants signed")]
    let quietly = nofollow() | OFlags::NOATIME.bits() as i32;
    match options.custom_flags(quietly).open(path) {
        // Only its owner may ask for that.
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => options.custom_flags(nofollow()).open(path),
        opened => opened,
    }
}

/// Opens the FIFO at `path` for reading and writing, making it if nothing is there. Nothing waits, here or later.
pub fn fifo(path: &Path) -> Result<File> {
    crash::point(|| format!("make the FIFO {}", crash::short(path)));
    match rustix::fs::mknodat(CWD, path, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(e) => return Err(Error::new("make", path, e)),
    }
    private().read(true).open(path).and_then(is_fifo).map_err(|e| Error::new("open", path, e))
}

/// Opens the FIFO at `path` for writing, without waiting; `None` if it is not there, or nobody has it open for reading.
pub fn fifo_there(path: &Path) -> Result<Option<File>> {
    match private().open(path).and_then(is_fifo) {
        Ok(file) => Ok(Some(file)),
        Err(e) if missing(&e) || e.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => Ok(None),
        Err(e) => Err(Error::new("open", path, e)),
    }
}

fn is_fifo(file: File) -> io::Result<File> {
    match rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) {
        rustix::fs::FileType::Fifo => Ok(file),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "it is no FIFO")),
    }
}

/// Makes `path` a file, for its name alone; what is in it stays.
pub fn mark(path: &Path) -> Result<()> {
    crash::point(|| format!("mark {}", crash::short(path)));
    private().create(true).truncate(false).open(path).map(drop).map_err(|e| Error::new("make", path, e))
}

/// Writes `bytes` at the beginning of `path`, in one write, making the file if it is not there. For what is rewritten often
/// and always has one length; not synced.
pub fn overwrite(path: &Path, bytes: &[u8]) -> Result<()> {
    crash::point(|| format!("overwrite {}", crash::short(path)));
    let write = || private().create(true).truncate(false).open(path)?.write_all_at(bytes, 0);
    write().map_err(|e| Error::new("write", path, e))
}

/// Like [`overwrite`] of a file that is there; false if it is not.
pub fn overwrite_there(path: &Path, bytes: &[u8]) -> Result<bool> {
    crash::point(|| format!("overwrite {}", crash::short(path)));
    match private().open(path).and_then(|file| file.write_all_at(bytes, 0)) {
        Ok(()) => Ok(true),
        Err(e) if missing(&e) => Ok(false),
        Err(e) => Err(Error::new("write", path, e)),
    }
}

/// How many names the file `path` has; `None` if it is not there.
pub fn links(path: &Path) -> Result<Option<u64>> {
    match rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
        #[expect(clippy::useless_conversion, reason = "its width differs between architectures")]
        Ok(stat) => Ok(Some(stat.st_nlink.into())),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(None),
        Err(e) => Err(Error::new("look at", path, e)),
    }
}

/// When `path` was last written to; `None` if it is not there.
pub fn modified(path: &Path) -> Result<Option<crate::model::ids::Moment>> {
    match fs::symlink_metadata(path).and_then(|meta| meta.modified()) {
        Ok(time) => Ok(jiff::Timestamp::try_from(time).ok().map(crate::model::ids::Moment)),
        Err(e) if missing(&e) => Ok(None),
        Err(e) => Err(Error::new("look at", path, e)),
    }
}

/// Makes `path`, which must be there, a file that was written to just now.
pub fn touch(path: &Path) -> Result<()> {
    let now = rustix::fs::Timestamps {
        last_access: rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW },
        last_modification: rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW },
    };
    rustix::fs::utimensat(CWD, path, &now, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|e| Error::new("touch", path, e))
}

/// Whether anything is at `path` itself.
pub fn is_there(path: &Path) -> Result<bool> {
    Ok(ownership(path)?.is_some())
}

/// Does `write` to `path`; if its directory is not there, again after making it. Others may remove it as soon as it is empty.
pub fn with_dir<T>(path: &Path, write: impl Fn(&Path) -> Result<T>) -> Result<T> {
    for _ in 0..DIR_TRIES {
        match write(path) {
            Err(e) if e.source.kind() == io::ErrorKind::NotFound => make_dirs(parent(path))?,
            done => return done,
        }
    }
    write(path)
}

/// Makes `path` an empty file and opens it for writing.
pub fn truncate(path: &Path) -> Result<File> {
    crash::point(|| format!("make empty {}", crash::short(path)));
    let opened = private().create(true).truncate(true).open(path);
    opened.and_then(regular).map_err(|e| Error::new("create", path, e))
}

/// `file`, if it is one. A device is none of ours, but people link their settings to `/dev/null`.
fn regular(file: File) -> io::Result<File> {
    regular_mode(rustix::fs::fstat(&file)?.st_mode).map(|()| file)
}

fn regular_mode(mode: rustix::fs::RawMode) -> io::Result<()> {
    use rustix::fs::FileType;
    match FileType::from_raw_mode(mode) {
        FileType::RegularFile | FileType::CharacterDevice => Ok(()),
        FileType::Directory => Err(rustix::io::Errno::ISDIR.into()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "it is no regular file")),
    }
}

/// Opens a file for reading. Opening waits for nobody, whatever is there.
fn readable(path: &Path) -> io::Result<File> {
    #[expect(clippy::cast_possible_wrap, reason = "the flag is a bit pattern that std wants signed")]
    let flags = (OFlags::NONBLOCK | OFlags::CLOEXEC).bits() as i32;
    OpenOptions::new().read(true).custom_flags(flags).open(path).and_then(regular)
}

/// Opens `path` for reading; `None` if it is not there.
pub fn open(path: &Path) -> Result<Option<File>> {
    match readable(path) {
        Ok(file) => Ok(Some(file)),
        Err(e) if missing(&e) => Ok(None),
        Err(e) => Err(Error::new("open", path, e)),
    }
}

fn missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// What is in `path`; `None` if it is not there. More than [`LARGEST`] is an error, and is not read.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    read_up_to(path, LARGEST)
}

/// Like [`read`], with a limit of the caller's.
pub fn read_up_to(path: &Path, largest: u64) -> Result<Option<Vec<u8>>> {
    let read = || -> io::Result<Vec<u8>> {
        let file = readable(path)?;
        let length = file.metadata()?.len();
        let mut bytes = Vec::new();
        if length <= largest {
            bytes.reserve_exact(usize::try_from(length).unwrap_or(0));
            file.take(largest + 1).read_to_end(&mut bytes)?;
        }
        if length.max(bytes.len() as u64) > largest {
            let why = format!("it is larger than {} MiB", largest >> 20);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
        }
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if missing(&e) => Ok(None),
        Err(e) => Err(Error::new("read", path, e)),
    }
}

/// Like [`read_up_to`], of a file in a place that others write to: a link, a device or a pipe there is an error, and is not opened to
/// its end.
pub fn read_itself(path: &Path, largest: u64) -> Result<Option<Vec<u8>>> {
    let read = || -> io::Result<Vec<u8>> {
        let file = OpenOptions::new().read(true).custom_flags(nofollow()).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no regular file"));
        }
        let mut bytes = Vec::new();
        file.take(largest + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > largest {
            let why = format!("it is larger than {} KiB", largest >> 10);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
        }
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if missing(&e) => Ok(None),
        Err(e) if e.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            Err(Error::new("read", path, io::Error::new(io::ErrorKind::InvalidData, "it is a link")))
        }
        Err(e) => Err(Error::new("read", path, e)),
    }
}

/// The first `limit` bytes of what is in `path`, and whether that is all; an error if it is not there.
pub fn read_at_most(path: &Path, limit: u64) -> Result<(Vec<u8>, bool)> {
    let read = || -> io::Result<(Vec<u8>, bool)> {
        let mut bytes = Vec::new();
        File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
        let all = bytes.len() as u64 <= limit;
        bytes.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok((bytes, all))
    };
    read().map_err(|e| Error::new("read", path, e))
}

/// Makes the directory `path` and those above it, each for this user alone.
pub fn make_dirs(path: &Path) -> Result<()> {
    crash::point(|| format!("make directories {}", crash::short(path)));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|e| Error::new("make the directory", path, e))
}

/// Makes the directory `path`; false if something is there already.
pub fn make_dir(path: &Path) -> Result<bool> {
    crash::point(|| format!("make directory {}", crash::short(path)));
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(Error::new("make the directory", path, e)),
    }
}

/// Puts what is at `path`, whatever it is, aside as `path.damaged-<n>`, and says where it is. A regular file stays at `path`
/// as well, to be replaced; anything else is moved.
pub fn put_aside(path: &Path) -> Result<PathBuf> {
    for n in 1..u32::MAX {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".damaged-{n}"));
        let aside = PathBuf::from(name);
        if ownership(&aside)?.is_some() {
            continue;
        }
        let regular = fs::symlink_metadata(path).is_ok_and(|m| m.is_file());
        let done = if regular { fs::hard_link(path, &aside) } else { fs::rename(path, &aside) };
        done.map_err(|e| Error::new("put aside", path, e))?;
        return Ok(aside);
    }
    Err(Error::new("put aside", path, io::Error::from(io::ErrorKind::AlreadyExists)))
}

/// Makes the symbolic link `path` to `target`; false if something is there already.
pub fn link(path: &Path, target: &Path) -> Result<bool> {
    crash::point(|| format!("link {}", crash::short(path)));
    match std::os::unix::fs::symlink(target, path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(Error::new("make the link", path, e)),
    }
}

/// Where the symbolic link `path` points; `None` if it is not there.
pub fn read_link(path: &Path) -> Result<Option<PathBuf>> {
    match fs::read_link(path) {
        Ok(target) => Ok(Some(target)),
        // Something that is no link is not our link.
        Err(e) if missing(&e) || e.kind() == io::ErrorKind::InvalidInput => Ok(None),
        Err(e) => Err(Error::new("read the link", path, e)),
    }
}

/// Removes the file or link `path`; false if it was not there.
pub fn remove(path: &Path) -> Result<bool> {
    crash::point(|| format!("remove {}", crash::short(path)));
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(e) if missing(&e) => Ok(false),
        Err(e) => Err(Error::new("remove", path, e)),
    }
}

/// Removes the directory `path` if nothing is in it; false if it stays.
pub fn remove_empty_dir(path: &Path) -> Result<bool> {
    match fs::remove_dir(path) {
        Ok(()) => Ok(true),
        Err(e) if missing(&e) || e.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
        Err(e) => Err(Error::new("remove", path, e)),
    }
}

/// The names in a directory, in no order, in one piece of memory: for whoever lists often and wants few of them.
#[derive(Debug, Default)]
pub struct Names {
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Names {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &OsStr> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        let each = begins.zip(&self.ends).filter_map(|(begin, end)| self.bytes.get(begin..*end));
        each.map(OsStr::from_bytes)
    }

    fn push(&mut self, name: &[u8]) {
        self.bytes.extend_from_slice(name);
        self.ends.push(self.bytes.len());
    }
}

/// The names in the directory `path`, in no order; `None` if it is not there.
pub fn names(path: &Path) -> Result<Option<Vec<std::ffi::OsString>>> {
    Ok(names_in(path)?.map(|names| names.iter().map(OsStr::to_owned).collect()))
}

/// The same in one piece of memory.
pub fn names_in(path: &Path) -> Result<Option<Names>> {
    let error = |e| Error::new("list", path, e);
    let dir =
        match rustix::fs::open(path, OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY, Mode::empty()) {
            Ok(dir) => dir,
            // A file in place of the directory is not "no directory": what it held is still somewhere.
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(e) => return Err(error(e)),
        };
    listed(dir).map_err(error)
}

/// The names in an open directory; `None` if it was removed since it was opened: then it was empty.
fn listed(dir: std::os::fd::OwnedFd) -> rustix::io::Result<Option<Names>> {
    // Small directories are listed for every claim, and this way in half the time that std takes.
    let mut buffer = [MaybeUninit::uninit(); NAMES];
    let mut entries = RawDir::new(dir, &mut buffer);
    let mut names = Names { bytes: Vec::with_capacity(NAMES / 2), ends: Vec::with_capacity(NAMES / 64) };
    while let Some(entry) = entries.next() {
        let entry = match entry {
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            entry => entry?,
        };
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    Ok(Some(names))
}

/// Makes renames and new names in the directory `path` survive a power cut.
pub fn sync_dir(path: &Path) -> Result<()> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(|e| Error::new("sync", path, e))
}

/// Makes everything survive a power cut that was written to the file system of `path`, by whomever.
pub fn sync_all_around(path: &Path) -> Result<()> {
    let error = |e: io::Error| Error::new("sync", path, e);
    let dir = File::open(path).map_err(error)?;
    rustix::fs::syncfs(dir).map_err(|e| error(e.into()))
}

/// Whether the open `file` is what is at `path` now.
pub fn is_at(file: &File, path: &Path) -> Result<bool> {
    Ok(length_at(file, path)?.is_some())
}

/// The length of the open `file` if it is what is at `path` now, else `None`.
///
/// # Errors
/// If it is no file: a FIFO that somebody put in its place.
pub fn length_at(file: &File, path: &Path) -> Result<Option<u64>> {
    let ours = stat_of(file, path)?;
    match rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(there) => {
            let same = (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino);
            Ok(same.then(|| u64::try_from(ours.st_size).unwrap_or(0)))
        }
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(None),
        Err(e) => Err(Error::new("look at", path, e)),
    }
}

/// The length of `file`, which was opened at `path`.
///
/// # Errors
/// As of [`length_at`].
pub fn length(file: &File, path: &Path) -> Result<u64> {
    Ok(u64::try_from(stat_of(file, path)?.st_size).unwrap_or(0))
}

fn stat_of(file: &File, path: &Path) -> Result<rustix::fs::Stat> {
    let stat = rustix::fs::fstat(file).map_err(|e| Error::new("look at", path, e))?;
    regular_mode(stat.st_mode).map_err(|e| Error::new("open", path, e))?;
    Ok(stat)
}

/// Which file something is: no two have the same one at a time.
pub type Identity = (u64, u64);

/// Which directory is at `path`, following links; `None` if there is none.
pub fn identity(path: &Path) -> Result<Option<Identity>> {
    use std::os::unix::fs::MetadataExt;
    match fs::metadata(path) {
        Ok(meta) => Ok(meta.is_dir().then(|| (meta.dev(), meta.ino()))),
        Err(e) if missing(&e) => Ok(None),
        Err(e) => Err(Error::new("look at", path, e)),
    }
}

/// Whether there is a directory at `path`, following links.
pub fn is_dir(path: &Path) -> Result<bool> {
    match fs::metadata(path) {
        Ok(meta) => Ok(meta.is_dir()),
        Err(e) if missing(&e) => Ok(false),
        Err(e) => Err(Error::new("look at", path, e)),
    }
}

/// Owner and permission bits of `path` itself, and whether it is a directory; links are not followed.
pub fn ownership(path: &Path) -> Result<Option<(u32, u32, bool)>> {
    match rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => {
            let kind = rustix::fs::FileType::from_raw_mode(stat.st_mode);
            Ok(Some((stat.st_uid, stat.st_mode & 0o7777, kind.is_dir())))
        }
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(e) => Err(Error::new("look at", path, e)),
    }
}

/// Opens the directory `path` itself, not through a link: to lock it, or to look at what was really opened.
pub fn open_dir(path: &Path) -> Result<File> {
    rustix::fs::open(
        path,
        OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY,
        Mode::empty(),
    )
    .map(File::from)
    .map_err(|e| Error::new("open", path, e))
}

/// Fails where nothing can be written to the directory `path`, whoever asks: the file system is read-only, or it is
/// somebody else's.
pub fn require_writable(path: &Path) -> Result<()> {
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)
        .map_err(|e| Error::new("write to", path, e))
}

/// Fails if there is no room left for a small file at `path`: for the error of a program that says only that it failed.
pub fn require_room(path: &Path) -> Result<()> {
    match rustix::fs::statvfs(path) {
        Ok(there) if there.f_bavail.saturating_mul(there.f_frsize) < ROOM => {
            Err(Error::new("write to", path, rustix::io::Errno::NOSPC))
        }
        _ => Ok(()),
    }
}

/// The path with every link and `..` resolved.
pub fn canonical(path: &Path) -> Result<PathBuf> {
    fs::canonicalize(path).map_err(|e| Error::new("find", path, e))
}

/// The directory that `path` lies in.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_private_and_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        for write in [replace, post] {
            write(&path, b"one").unwrap();
            write(&path, b"two").unwrap();
            assert_eq!(read(&path).unwrap().unwrap(), b"two");
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(names(dir.path()).unwrap().unwrap().len(), 1, "no temporary file is left");
    }

    #[test]
    fn a_planted_link_is_not_written_through() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        let planted = dir.path().join("planted");
        std::os::unix::fs::symlink(&victim, &planted).unwrap();
        assert!(append(&planted).is_err());
        assert!(truncate(&planted).is_err());
        replace(&planted, b"x").unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
    }

    #[test]
    fn absent_is_not_an_error_and_errors_are_not_absence() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(&dir.path().join("nothing")).unwrap(), None);
        assert!(read(dir.path()).is_err(), "a directory is not an absent file");
        assert_eq!(names(&dir.path().join("nothing")).unwrap(), None);
        let gone = dir.path().join("gone");
        fs::create_dir(&gone).unwrap();
        let open = File::open(&gone).unwrap();
        fs::remove_dir(&gone).unwrap();
        assert!(listed(open.into()).unwrap().is_none(), "others remove it while it is listed");
    }

    #[test]
    fn what_is_no_file_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(CWD, &fifo, rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
        assert!(read(&fifo).unwrap_err().is_damage());
        assert!(open(&fifo).unwrap_err().is_damage());
        assert!(append(&fifo).unwrap_err().is_damage());
        assert!(length_at(&open_rw(&fifo).unwrap(), &fifo).unwrap_err().is_damage());
        assert!(truncate(&fifo).unwrap_err().is_damage());
        assert!(read(dir.path()).unwrap_err().is_damage());
        assert_eq!(read(Path::new("/dev/null")).unwrap().unwrap(), b"");
    }

    #[test]
    fn a_directory_that_comes_and_goes_is_listed_or_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shard");
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..5000 {
                    make_dir(&path).unwrap();
                    remove_empty_dir(&path).unwrap();
                }
                done.store(true, Ordering::Relaxed);
            });
            while !done.load(Ordering::Relaxed) {
                assert!(names(&path).unwrap().is_none_or(|names| names.is_empty()));
            }
        });
    }

    #[test]
    fn a_huge_file_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("huge");
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert!(read(&path).unwrap_err().is_damage());
        assert!(read_up_to(Path::new("/dev/zero"), 10).unwrap_err().is_damage());
    }

    #[test]
    fn what_is_put_aside_is_kept_whatever_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, "one").unwrap();
        let first = put_aside(&path).unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(fs::read(&first).unwrap(), b"one");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let second = put_aside(&path).unwrap();
        assert!(second.is_dir() && !path.exists() && first != second);
    }

    #[test]
    fn an_error_names_action_path_and_reason() {
        let dir = tempfile::tempdir().unwrap();
        let error = create(&dir.path().join("no/such"), b"").unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("cannot create {}: no such file or directory", dir.path().join("no/such").display())
        );
    }
}
