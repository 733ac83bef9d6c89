//! Files: the three writes of the house, and reads that name the path when they fail.
//!
//! - [`replace`]: whole file, survives a power cut (temporary file, fsync, rename, fsync of the directory).
//! - `append`: records of a [`super::journal`].
//! - [`post`]: whole file, atomic for readers but not synced; only for the board under /tmp.
//!
//! Nothing here follows a symbolic link at the last step of a path when it writes, and every file and directory made
//! here belongs to its user alone (0600, 0700).
#![expect(clippy::disallowed_methods, reason = "the one file that wraps std::fs")]

use super::crash;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
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

/// Renames `from` to `to`, replacing what is there. Not synced.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    crash::point(|| format!("rename to {}", crash::short(to)));
    fs::rename(from, to).map_err(|e| {
        // The error that matters is the rename's; a stray temporary file is only untidy.
        drop(fs::remove_file(from));
        Error::new("write", to, e)
    })
}

fn write_aside(path: &Path, bytes: &[u8], sync: bool) -> Result<PathBuf> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    let temporary = path.with_file_name(name);
    crash::point(|| format!("write beside {}", crash::short(path)));
    let write = || -> io::Result<()> {
        // A leftover of a killed process with our pid.
        drop(fs::remove_file(&temporary));
        let mut file = private().create_new(true).open(&temporary)?;
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
    let flags = (OFlags::NOFOLLOW | OFlags::CLOEXEC).bits() as i32;
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
    private().append(true).create(true).open(path).map_err(|e| Error::new("open", path, e))
}

/// Opens `path` for reading and writing without changing what is in it, making it if needed.
pub fn open_rw(path: &Path) -> Result<File> {
    private().read(true).create(true).truncate(false).open(path).map_err(|e| Error::new("open", path, e))
}

/// Makes `path` an empty file and opens it for writing.
pub fn truncate(path: &Path) -> Result<File> {
    crash::point(|| format!("make empty {}", crash::short(path)));
    private().create(true).truncate(true).open(path).map_err(|e| Error::new("create", path, e))
}

/// Opens `path` for reading; `None` if it is not there.
pub fn open(path: &Path) -> Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(e) if missing(&e) => Ok(None),
        Err(e) => Err(Error::new("open", path, e)),
    }
}

fn missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// What is in `path`; `None` if it is not there.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if missing(&e) => Ok(None),
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
        Err(e) if missing(&e) => Ok(None),
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

/// The names in the directory `path`, in no order; `None` if it is not there.
pub fn names(path: &Path) -> Result<Option<Vec<std::ffi::OsString>>> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) if missing(&e) => return Ok(None),
        Err(e) => return Err(Error::new("list", path, e)),
    };
    entries
        .map(|entry| entry.map(|e| e.file_name()).map_err(|e| Error::new("list", path, e)))
        .collect::<Result<Vec<_>>>()
        .map(Some)
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
    use std::os::unix::fs::PermissionsExt;

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
