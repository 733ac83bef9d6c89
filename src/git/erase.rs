//! Removing a whole tree that an agent made, whatever it did to it.
//!
//! Directories without permissions are opened up, links are removed and never followed, very deep trees are taken apart
//! without deep recursion, and nothing on another file system is touched.

use super::disk::error;
use super::{Result, disk};
use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, StatxFlags, fchmod, openat, renameat, statx, unlinkat,
};
use rustix::io::Errno;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How many directories are open at once; what lies deeper is first moved up.
const DEEPEST: u32 = 64;

/// Removes the directory at `path` with all that is in it. Nothing there is fine; killed half-way, it can be done again.
///
/// Errors: [`super::Error::Disk`] with what stands in the way: something that is not a directory, a mount point inside
/// (then nothing was removed), files of another user.
pub fn tree(path: &Path) -> Result<()> {
    let Some(meta) = disk::look(path)? else { return Ok(()) };
    if !meta.is_dir() {
        return Err(error(path)(io::Error::other("not a directory")));
    }
    let place = disk::real(path)?;
    if let Some(inside) = mounts()?.into_iter().find(|mount| mount.starts_with(&place)) {
        return Err(error(&inside)(io::Error::other("something is mounted here")));
    }
    let at = |e: Errno| error(path)(e.into());
    let root = open_dir(rustix::fs::CWD, &c_string(path)?).map_err(at)?;
    let mut work = Work { mount: mount_of(root.as_fd()).map_err(at)?, moved: 0, root };
    // Each round removes what is at most so deep, and moves up what is deeper.
    loop {
        let before = work.moved;
        let root = work.root.as_fd().try_clone_to_owned().map_err(error(path))?;
        work.empty(root.as_fd(), 0).map_err(at)?;
        if work.moved == before {
            break;
        }
    }
    disk::remove_empty(path).map(|_| ())
}

struct Work {
    root: OwnedFd,
    /// Which mount the root is on.
    mount: (u64, u64),
    /// How many directories were moved up.
    moved: u64,
}

impl Work {
    fn empty(&mut self, dir: BorrowedFd<'_>, depth: u32) -> rustix::io::Result<()> {
        // The names first: what is moved up into a directory that is being read might be seen twice, or not at all.
        let mut names = Vec::new();
        for entry in Dir::read_from(dir)? {
            let entry = entry?;
            let name = entry.file_name();
            if name != c"." && name != c".." {
                names.push((name.to_owned(), entry.file_type()));
            }
        }
        for (name, kind) in names {
            if !matches!(kind, FileType::Directory | FileType::Unknown) {
                gone(unlinkat(dir, &name, AtFlags::empty()))?;
                continue;
            }
            let below = match open_dir(dir, &name) {
                Ok(below) => below,
                Err(Errno::NOENT) => continue,
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    gone(unlinkat(dir, &name, AtFlags::empty()))?;
                    continue;
                }
                Err(e) => return Err(e),
            };
            if mount_of(below.as_fd())? != self.mount {
                return Err(Errno::XDEV);
            }
            if depth < DEEPEST {
                self.empty(below.as_fd(), depth + 1)?;
                drop(below);
                match gone(unlinkat(dir, &name, AtFlags::REMOVEDIR)) {
                    Err(Errno::NOTEMPTY) if self.moved > 0 => {}
                    other => other?,
                }
            } else {
                self.move_up(dir, &name)?;
            }
        }
        Ok(())
    }

    /// Moves a directory into the root, under a name that is free there.
    fn move_up(&mut self, dir: BorrowedFd<'_>, name: &CString) -> rustix::io::Result<()> {
        loop {
            self.moved += 1;
            let up = format!(".deep-{}-{}", std::process::id(), self.moved);
            match renameat(dir, name, &self.root, up.as_str()) {
                Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {}
                other => return other,
            }
        }
    }
}

/// Opens a directory, no link, with permission to read and change it.
fn open_dir(dir: BorrowedFd<'_>, name: &CString) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = openat(dir, name, flags | OFlags::RDONLY, Mode::empty());
    let opened = match opened {
        Err(Errno::ACCESS) => {
            let closed = openat(dir, name, flags | OFlags::PATH, Mode::empty())?;
            // The way to change the mode of what is open like this, and of nothing that a link leads to.
            let by_number = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&closed));
            rustix::fs::chmod(by_number.as_str(), Mode::RWXU)?;
            openat(dir, name, flags | OFlags::RDONLY, Mode::empty())?
        }
        other => other?,
    };
    let mode = Mode::from_raw_mode(rustix::fs::fstat(&opened)?.st_mode);
    if !mode.contains(Mode::RWXU) {
        fchmod(&opened, Mode::RWXU)?;
    }
    Ok(opened)
}

fn gone(result: rustix::io::Result<()>) -> rustix::io::Result<()> {
    match result {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

/// The mount that something open is on, and its device: a kernel before 5.8 knows only the latter.
fn mount_of(file: BorrowedFd<'_>) -> rustix::io::Result<(u64, u64)> {
    let found = statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
    let known = StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::MNT_ID);
    let device = rustix::fs::makedev(found.stx_dev_major, found.stx_dev_minor);
    Ok((if known { found.stx_mnt_id } else { 0 }, device))
}

/// Where something is mounted.
fn mounts() -> Result<Vec<PathBuf>> {
    let list = disk::read_proc(Path::new("/proc/self/mountinfo"))?;
    let fields = list.split(|b| *b == b'\n').filter_map(|line| line.split(|b| *b == b' ').nth(4));
    Ok(fields.map(|field| PathBuf::from(std::ffi::OsStr::from_bytes(&unescaped(field)))).collect())
}

/// Space, tab, newline and backslash are written as a backslash and three octal digits there.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        if let (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..]) = (first, tail) {
            text.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
            rest = tail;
        } else {
            text.push(*first);
            rest = tail;
        }
    }
    text
}

fn c_string(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|e| error(path)(e.into()))
}
