//! What a tree looked like at one moment, so that one can tell later whether anybody has written there since.
//!
//! Names, kinds, sizes, owners, inodes and times of all that is in it, in one hash. The change time is the kernel's: whoever writes a
//! file, replaces it or sets its times back, changes that. Where it is no older than the look itself, a second change within the
//! same tick of the kernel's clock would not show, so such a look proves nothing.

use super::Result;
use super::disk::error;
use crate::tools::clock;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, openat, statat};
use rustix::path::Arg;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Directories deeper than this are not looked into, and then nothing is proved.
const DEEPEST: u32 = 64;
/// How old the newest change must be, in milliseconds: some ticks of a slow clock.
const SETTLED: i128 = 100;

/// A tree at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// `None` if something could not be seen, or changed just then.
    seen: Option<[u8; 32]>,
    /// What it takes on disk, in bytes. What could not be seen is not counted.
    pub bytes: u64,
    /// All of it is ours, on one file system, and can be read: whoever deletes it meets nothing odd.
    pub plain: bool,
}

impl Witness {
    /// Looks at all that is below `root`, and not at `root` itself, which may be moved in between. Links are not followed.
    ///
    /// # Errors
    /// If there is no directory.
    pub fn take(root: &Path) -> Result<Self> {
        let began = clock::now().0.as_millisecond();
        let at = |e: rustix::io::Errno| error(root)(e.into());
        let dir = open(rustix::fs::CWD, root).map_err(at)?;
        let own = fstat(&dir).map_err(at)?;
        let mut look = Look {
            hash: Sha256::new(),
            device: own.st_dev,
            owner: own.st_uid,
            newest: i128::MIN,
            linked: BTreeSet::new(),
            bytes: u64::try_from(own.st_blocks).unwrap_or_default().saturating_mul(512),
            whole: true,
            plain: true,
        };
        look.below(dir.as_fd(), 0);
        let settled = look.newest / 1_000_000 < i128::from(began) - SETTLED;
        let seen = (look.whole && settled).then(|| look.hash.finalize().into());
        Ok(Self { seen, bytes: look.bytes, plain: look.plain && look.whole })
    }

    /// Whether this, seen after `before`, shows that nothing was written in between.
    pub fn proves(&self, before: &Self) -> bool {
        self.seen.is_some() && self.seen == before.seen
    }
}

struct Look {
    hash: Sha256,
    device: u64,
    owner: u32,
    /// The newest change, in nanoseconds since 1970.
    newest: i128,
    linked: BTreeSet<u64>,
    bytes: u64,
    whole: bool,
    plain: bool,
}

impl Look {
    fn below(&mut self, dir: BorrowedFd<'_>, depth: u32) {
        let Ok(names) = sorted(dir) else {
            self.whole = false;
            return;
        };
        for name in names {
            let Ok(stat) = statat(dir, &name, AtFlags::SYMLINK_NOFOLLOW) else {
                self.whole = false;
                continue;
            };
            self.hash.update(name.as_bytes_with_nul());
            self.take_in(&stat);
            if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                continue;
            }
            if stat.st_dev != self.device {
                self.plain = false;
                self.whole = false;
                continue;
            }
            match open(dir, &name) {
                Ok(inner) if depth < DEEPEST => self.below(inner.as_fd(), depth + 1),
                Ok(_) | Err(_) => self.whole = false,
            }
            // The end of a directory, so that what is in it cannot be taken for what is beside it.
            self.hash.update([0]);
        }
    }

    fn take_in(&mut self, stat: &Stat) {
        let changed = i128::from(stat.st_ctime) * 1_000_000_000 + i128::from(stat.st_ctime_nsec);
        let written = i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec);
        for number in [
            changed,
            written,
            i128::from(stat.st_size),
            i128::from(stat.st_ino),
            i128::from(stat.st_mode),
            i128::from(stat.st_nlink),
            i128::from(stat.st_uid),
            i128::from(stat.st_dev),
        ] {
            self.hash.update(number.to_le_bytes());
        }
        self.newest = self.newest.max(changed);
        self.plain &= stat.st_uid == self.owner;
        let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if is_dir || stat.st_nlink == 1 || self.linked.insert(stat.st_ino) {
            let blocks = u64::try_from(stat.st_blocks).unwrap_or_default();
            self.bytes = self.bytes.saturating_add(blocks.saturating_mul(512));
        }
    }
}

/// The names in a directory, in one order whatever the file system has them in.
fn sorted(dir: BorrowedFd<'_>) -> rustix::io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn open(at: BorrowedFd<'_>, name: impl Arg) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(at, name, flags, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::time::Duration;

    /// A tree that nobody has touched for a while: times can be set back, change times cannot.
    fn settled() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("a/b/one"), "1").unwrap();
        fs::write(dir.path().join("two"), "2").unwrap();
        symlink("two", dir.path().join("link")).unwrap();
        wait(dir.path());
        dir
    }

    /// Waits for the clock alone: until what was written last is old enough for a look to prove something.
    fn wait(root: &Path) {
        while Witness::take(root).unwrap().seen.is_none() {
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    #[test]
    fn what_nobody_touched_is_the_same_also_when_it_is_moved() {
        let dir = settled();
        let before = Witness::take(dir.path()).unwrap();
        let to = dir.path().with_extension("moved");
        fs::rename(dir.path(), &to).unwrap();
        let after = Witness::take(&to).unwrap();
        assert!(after.proves(&before) && after.plain && after.bytes == before.bytes);
        fs::rename(&to, dir.path()).unwrap();
    }

    #[test]
    fn whatever_is_written_shows() {
        type Act = fn(&Path);
        let acts: [(&str, Act); 9] = [
            ("content of the same size", |d| fs::write(d.join("two"), "3").unwrap()),
            ("with its time set back", |d| {
                let time = fs::metadata(d.join("two")).unwrap().modified().unwrap();
                fs::write(d.join("two"), "3").unwrap();
                fs::File::options().write(true).open(d.join("two")).unwrap().set_modified(time).unwrap();
            }),
            ("a new file", |d| fs::write(d.join("a/b/new"), "").unwrap()),
            ("a file gone", |d| fs::remove_file(d.join("two")).unwrap()),
            ("a mode", |d| fs::set_permissions(d.join("two"), PermissionsExt::from_mode(0o600)).unwrap()),
            ("another link", |d| {
                fs::remove_file(d.join("link")).unwrap();
                symlink("owt", d.join("link")).unwrap();
            }),
            ("an empty directory", |d| fs::create_dir(d.join("a/c")).unwrap()),
            ("a second name", |d| fs::hard_link(d.join("two"), d.join("three")).unwrap()),
            ("a file replaced", |d| {
                fs::write(d.join("a/other"), "2").unwrap();
                fs::rename(d.join("a/other"), d.join("two")).unwrap();
            }),
        ];
        for (what, act) in acts {
            let dir = settled();
            let before = Witness::take(dir.path()).unwrap();
            act(dir.path());
            assert!(!Witness::take(dir.path()).unwrap().proves(&before), "{what}");
            wait(dir.path());
            assert!(!Witness::take(dir.path()).unwrap().proves(&before), "{what}, later");
        }
    }

    #[test]
    fn what_was_written_just_now_or_cannot_be_seen_proves_nothing() {
        let dir = settled();
        fs::write(dir.path().join("two"), "2").unwrap();
        let fresh = Witness::take(dir.path()).unwrap();
        assert!(!fresh.proves(&fresh));
        let mut deep = dir.path().to_owned();
        for _ in 0..70 {
            deep.push("d");
        }
        fs::create_dir_all(&deep).unwrap();
        let unseen = Witness::take(dir.path()).unwrap();
        assert!(!unseen.proves(&unseen) && !unseen.plain);
    }
}
