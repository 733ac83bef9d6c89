//! The few things this room does to files itself, in one place.
#![expect(
    clippy::disallowed_methods,
    reason = "the git room's one file that touches disks; it knows what git keeps where"
)]

use super::{Error, Result};
use crate::tools::crash;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Turns an I/O error into ours, with the path that it is about.
pub(super) fn error(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Disk { path, source }
}

/// A result about something that may not be there: `None` if it is not.
pub(super) fn if_there<T>(result: io::Result<T>, path: &Path) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(error(path)(e)),
    }
}

/// The whole of a small regular file; `None` if it is not there. Never follows a link in the last component, never
/// waits on a pipe that somebody put there.
pub(super) fn read_small(path: &Path) -> Result<Option<Vec<u8>>> {
    read_up_to(path, 1 << 20)
}

/// The same of one that may be larger: so many bytes of it at most.
pub(super) fn read_up_to(path: &Path, most: u64) -> Result<Option<Vec<u8>>> {
    use rustix::fs::{Mode, OFlags, open};
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = open(path, flags, Mode::empty()).map_err(io::Error::from);
    let Some(file) = if_there(opened, path)? else { return Ok(None) };
    let file = File::from(file);
    let mut bytes = Vec::new();
    if file.metadata().map_err(error(path))?.is_file() {
        file.take(most).read_to_end(&mut bytes).map_err(error(path))?;
    } else {
        return Err(error(path)(io::Error::other("not a regular file")));
    }
    Ok(Some(bytes))
}

/// What is at `path` itself, links not followed; `None` if there is nothing.
pub(super) fn look(path: &Path) -> Result<Option<fs::Metadata>> {
    if_there(fs::symlink_metadata(path), path)
}

/// The path without links, `.` and `..`.
pub(super) fn real(path: &Path) -> Result<PathBuf> {
    fs::canonicalize(path).map_err(error(path))
}

/// The names in a directory; `None` if there is no directory.
pub(super) fn names(path: &Path) -> Result<Option<Vec<std::ffi::OsString>>> {
    let Some(entries) = if_there(fs::read_dir(path), path)? else { return Ok(None) };
    let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
    names.collect::<io::Result<_>>().map(Some).map_err(error(path))
}

pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    crash::point(|| format!("git room: write {}", crash::short(path)));
    fs::write(path, bytes).map_err(error(path))
}

/// Like [`write`], and fails if `path` exists, so that it can be a lock. What is half written is taken away again.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    crash::point(|| format!("git room: write {}, where nothing is", crash::short(path)));
    let mut file = File::create_new(path).map_err(error(path))?;
    io::Write::write_all(&mut file, bytes).map_err(|e| {
        let _best_effort = fs::remove_file(path);
        error(path)(e)
    })
}

pub(super) fn make_dir(path: &Path) -> Result<()> {
    crash::point(|| "git room: make a directory");
    fs::DirBuilder::new().mode(0o700).create(path).map_err(error(path))
}

/// Makes a directory with the mode that any program would give it.
pub(super) fn make_plain_dir(path: &Path) -> Result<()> {
    crash::point(|| format!("git room: make the directory {}", crash::short(path)));
    fs::create_dir(path).map_err(error(path))
}

/// The same with those above it; those that are there are fine.
pub(super) fn make_plain_dirs(path: &Path) -> Result<()> {
    crash::point(|| format!("git room: make the directories {}", crash::short(path)));
    fs::create_dir_all(path).map_err(error(path))
}

/// Gives a file this mode.
pub(super) fn set_mode(path: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o7777)).map_err(error(path))
}

/// Adds to the end of a file, which is made if it is not there.
pub(super) fn append(path: &Path, bytes: &[u8]) -> Result<()> {
    crash::point(|| format!("git room: append to {}", crash::short(path)));
    let mut file = File::options().append(true).create(true).open(path).map_err(error(path))?;
    io::Write::write_all(&mut file, bytes).map_err(error(path))
}

pub(super) fn link(target: &Path, path: &Path) -> Result<()> {
    crash::point(|| format!("git room: link {}", crash::short(path)));
    std::os::unix::fs::symlink(target, path).map_err(error(path))
}

/// Like [`link`]; the directories above are made.
pub(super) fn link_into(target: &Path, path: &Path) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(error(parent))?;
    }
    link(target, path)
}

/// What a link says, byte for byte.
pub(super) fn link_target(path: &Path) -> Result<Vec<u8>> {
    use std::os::unix::ffi::OsStringExt;
    fs::read_link(path).map(|target| target.into_os_string().into_vec()).map_err(error(path))
}

/// Behind the name of a file that is being copied by [`copy_whole`].
pub(super) const PART: &str = ".ai_orch-part";

/// Copies a file with its mode, or a link, to where nothing is; the directories above are made. A file that is cut off is not left.
pub(super) fn copy_whole(from: &Path, to: &Path) -> Result<()> {
    crash::point(|| format!("git room: take {} along", crash::short(from)));
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(error(parent))?;
    }
    if fs::symlink_metadata(from).map_err(error(from))?.is_symlink() {
        let target = fs::read_link(from).map_err(error(from))?;
        return std::os::unix::fs::symlink(target, to).map_err(error(to));
    }
    // Under another name first: half a file would be taken for the whole by whoever does it again. Always the same one, so that it is
    // known for what it is, and written over.
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(PART);
    let part = to.with_file_name(name);
    let copied = fs::copy(from, &part).map_err(error(from)).and_then(|_| rename(&part, to));
    if copied.is_err() {
        let _best_effort = fs::remove_file(&part);
    }
    copied
}

/// Removes a directory and all in it; nothing there is fine.
pub(super) fn remove_tree(path: &Path) -> Result<()> {
    crash::point(|| format!("git room: remove all of {}", crash::short(path)));
    if_there(fs::remove_dir_all(path), path).map(|_| ())
}

/// Removes a file; nothing there is fine.
pub(super) fn remove_file(path: &Path) -> Result<()> {
    crash::point(|| format!("git room: remove {}", crash::short(path)));
    if_there(fs::remove_file(path), path).map(|_| ())
}

/// Removes an empty directory; true if it is gone afterwards.
pub(super) fn remove_empty(path: &Path) -> Result<bool> {
    crash::point(|| format!("git room: remove the directory {}", crash::short(path)));
    match fs::remove_dir(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
        Err(e) => Err(error(path)(e)),
    }
}

/// What tells whether a file was replaced or written in the meantime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    size: u64,
    seconds: i64,
    nanoseconds: i64,
}

/// The present stamp of a file; `None` if it is not there.
pub(super) fn stamp(path: &Path) -> Result<Option<Stamp>> {
    Ok(look(path)?.map(|meta| Stamp {
        inode: meta.ino(),
        size: meta.size(),
        seconds: meta.mtime(),
        nanoseconds: meta.mtime_nsec(),
    }))
}

/// Copies a regular file to a new one, with its modification time.
///
/// git decides by an index's own time which of its entries cannot be believed ("racily clean"); a copy with a younger
/// time would hide changes. Fails if `to` exists, so that `to` can be a lock. False if there is no `from`.
pub(super) fn copy_with_time(from: &Path, to: &Path) -> Result<bool> {
    use rustix::fs::{Mode, OFlags, open};
    crash::point(|| format!("git room: copy {}", crash::short(from)));
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = open(from, flags, Mode::empty()).map_err(io::Error::from);
    let Some(source) = if_there(opened, from)? else { return Ok(false) };
    let mut source = File::from(source);
    let meta = source.metadata().map_err(error(from))?;
    if !meta.is_file() {
        return Err(error(from)(io::Error::other("not a regular file")));
    }
    let mut target = File::create_new(to).map_err(error(to))?;
    let copied = io::copy(&mut source, &mut target).and_then(|_| target.set_modified(meta.modified()?));
    if let Err(e) = copied {
        let _best_effort = fs::remove_file(to);
        return Err(error(to)(e));
    }
    Ok(true)
}

pub(super) fn rename(from: &Path, to: &Path) -> Result<()> {
    crash::point(|| format!("git room: rename to {}", crash::short(to)));
    fs::rename(from, to).map_err(error(to))
}

/// Like [`rename`], and fails if `to` exists.
pub(super) fn rename_new(from: &Path, to: &Path) -> Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    crash::point(|| format!("git room: rename to {}, where nothing is", crash::short(to)));
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::EXIST) => Err(Error::PathTaken { path: to.to_owned() }),
        // A file system that cannot promise it.
        Err(rustix::io::Errno::INVAL) if look(to)?.is_none() => rename(from, to),
        Err(e) => Err(error(to)(e.into())),
    }
}

/// Lets two directories change places in one step. Fails where the file system cannot, or there are two.
pub(super) fn exchange(one: &Path, two: &Path) -> Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    crash::point(|| format!("git room: exchange {} and {}", crash::short(one), crash::short(two)));
    renameat_with(CWD, one, CWD, two, RenameFlags::EXCHANGE).map_err(|e| error(two)(e.into()))
}

/// Bytes that may still be written on the file system that holds `path`.
pub(super) fn free(path: &Path) -> Result<u64> {
    let found = rustix::fs::statvfs(path).map_err(|e| error(path)(e.into()))?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Was a file last written so long ago? False if its time lies in the future.
pub(super) fn is_older(meta: &fs::Metadata, than: std::time::Duration) -> bool {
    meta.modified().is_ok_and(|time| time.elapsed().is_ok_and(|age| age >= than))
}

/// Do two regular files hold the same? False if one is not there, or something else.
pub(super) fn same_content(one: &Path, two: &Path) -> Result<bool> {
    let open = |path: &Path| -> Result<Option<(File, u64)>> {
        let Some(meta) = look(path)?.filter(fs::Metadata::is_file) else { return Ok(None) };
        let file = if_there(File::open(path), path)?;
        Ok(file.map(|file| (file, meta.len())))
    };
    let (Some((mut one_file, one_size)), Some((mut two_file, two_size))) = (open(one)?, open(two)?) else {
        return Ok(false);
    };
    if one_size != two_size {
        return Ok(false);
    }
    let (mut left, mut right) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let read = one_file.read(&mut left).map_err(error(one))?;
        let (Some(left), Some(right)) = (left.get(..read), right.get_mut(..read)) else { return Ok(false) };
        if read == 0 {
            return Ok(true);
        }
        match two_file.read_exact(right) {
            Ok(()) if left == right => {}
            Ok(()) => return Ok(false),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(e) => return Err(error(two)(e)),
        }
    }
}

/// What was written to a file, or done in a directory, is on disk when this returns.
pub(super) fn sync(path: &Path) -> Result<()> {
    File::open(path).and_then(|it| it.sync_all()).map_err(error(path))
}

/// A file of the kernel's, whole.
pub(super) fn read_proc(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(error(path))
}

/// Like [`rename`], for a directory of a moment.
pub(super) fn rename_quietly(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(error(to))
}

/// Removes a directory of a moment.
pub(super) fn remove_scratch(path: &Path) {
    crash::point(|| "git room: remove a scratch directory");
    // Nothing of value is in it, and there is nobody to tell.
    let _best_effort = fs::remove_dir_all(path);
}
