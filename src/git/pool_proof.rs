//! The proof that a tree of files is what its index tells: before files that were made for nobody are given to an agent.
//!
//! First the index itself is proved: its entries, hashed as git hashes trees, are the tree of the commit. Then each file is what the
//! index saw when it was written: size, times, inode, owner; to the mode, and with no second name. The change time is the kernel's:
//! whoever writes, replaces or links a file, or sets its times back, changes that. Last, no directory holds anything more, is a link,
//! or lies elsewhere. Whoever forges the index together with the files can be found by reading all of them only, and could as well
//! replace ai_orch itself: it is who runs it.

use super::copyable::is_odd_name;
use super::index_bytes::{Known, Line, Seen};
use super::tree_files::{DEEPEST, Kind};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags, fstat, openat2, statat};
use sha1::{Digest, Sha1};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// How many threads look at most.
const THREADS: usize = 8;
/// What a directory is read into at once.
const NAMES: usize = 32 << 10;

/// The directories that the entries of an index are in.
#[derive(Debug)]
pub(super) struct Shape<'a> {
    /// The trees that the entries are.
    pub(super) known: Known,
    lines: &'a [Line<'a>],
    dirs: Vec<Dir<'a>>,
}

#[derive(Debug)]
struct Dir<'a> {
    /// Path from the root, without a slash at either end.
    path: &'a [u8],
    /// The files in it, by their place among the lines.
    files: Vec<usize>,
    /// How many files and directories are in it.
    names: usize,
}

impl<'a> Shape<'a> {
    /// Of these entries; `None` if they are no tree that we would have made: not in order, deep, with odd names or modes.
    pub(super) fn of(lines: &'a [Line<'a>]) -> Option<Self> {
        let mut shape = Self { known: Known::default(), lines, dirs: Vec::new() };
        shape.known = shape.add(0..lines.len(), 0, 0)?;
        Some(shape)
    }

    /// Adds the directory whose entries these are, and whose name with its slash takes so much of their paths.
    fn add(&mut self, range: std::ops::Range<usize>, above: usize, depth: usize) -> Option<Known> {
        if depth > DEEPEST + 1 {
            return None;
        }
        let lines = self.lines;
        let first: &'a [u8] = lines.get(range.start).map_or(&[], |line| line.path);
        let path = first.get(..above.saturating_sub(1))?;
        let at = self.dirs.len();
        self.dirs.push(Dir { path, files: Vec::new(), names: 0 });
        let (mut known, mut files, mut tree) = (Known::default(), Vec::new(), Vec::new());
        let mut before: Option<(&[u8], bool)> = None;
        let mut next = range.start;
        while let Some(line) = lines.get(next).filter(|_| next < range.end) {
            let rest = line.path.get(above..)?;
            let slash = rest.iter().position(|b| *b == b'/');
            let name = rest.get(..slash.unwrap_or(rest.len()))?;
            // As trees are sorted, which is how indexes are: a directory as if its name ended with a slash.
            let ordered = before.is_none_or(|before| in_order(before, (name, slash.is_some())));
            if is_odd_name(name) || !ordered {
                return None;
            }
            before = Some((name, slash.is_some()));
            if slash.is_some() {
                let below = above + name.len() + 1;
                let prefix = line.path.get(..below)?;
                let same =
                    lines.get(next..range.end)?.iter().take_while(|line| line.path.starts_with(prefix));
                let end = next + same.count();
                let inner = self.add(next..end, below, depth + 1)?;
                entry(&mut tree, 0o40_000, name, &inner.id);
                known.below.push(Known { name: name.to_owned(), ..inner });
                next = end;
            } else {
                Kind::of(i32::try_from(line.mode).ok()?)?;
                entry(&mut tree, line.mode, name, &line.id);
                files.push(next);
                next += 1;
            }
        }
        known.entries = u32::try_from(range.len()).ok()?;
        let mut hash = Sha1::new_with_prefix(format!("tree {}\0", tree.len()));
        hash.update(&tree);
        known.id = hash.finalize().into();
        let dir = self.dirs.get_mut(at)?;
        dir.names = files.len() + known.below.len();
        dir.files = files;
        Some(known)
    }

    /// Why what is below `root` is not what the entries tell, if there is a doubt. Directories have the mode and owner of `root`; files
    /// are made under `umask`. Ends soon once `stop` is set, with a doubt.
    pub(super) fn doubt(
        &self,
        root: BorrowedFd<'_>,
        umask: u32,
        threads: usize,
        stop: &AtomicBool,
    ) -> Option<String> {
        let own = match fstat(root) {
            Ok(stat) => (stat.st_mode, stat.st_uid, stat.st_gid, stat.st_dev),
            Err(e) => return Some(e.to_string()),
        };
        let (next, found) = (AtomicUsize::new(0), Mutex::new(None));
        let over = AtomicBool::new(false);
        let work = || {
            let mut buffer = vec![MaybeUninit::uninit(); NAMES];
            while let Some(dir) = self.dirs.get(next.fetch_add(1, Ordering::Relaxed)) {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let doubt = if stop.load(Ordering::Relaxed) {
                    Err("it was broken off".to_owned())
                } else {
                    self.look(dir, root, own, umask, &mut buffer)
                };
                if let Err(doubt) = doubt {
                    over.store(true, Ordering::Relaxed);
                    if let Ok(mut found) = found.lock() {
                        found.get_or_insert(doubt);
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads.clamp(1, THREADS).min(self.dirs.len().max(1)) {
                // Where the system gives no thread there are fewer.
                drop(std::thread::Builder::new().spawn_scoped(scope, work));
            }
            work();
        });
        let unknown = || over.load(Ordering::Relaxed).then(|| "it could not be looked at".to_owned());
        found.into_inner().ok().flatten().or_else(unknown)
    }

    fn look(
        &self,
        dir: &Dir<'_>,
        root: BorrowedFd<'_>,
        own: (u32, u32, u32, u64),
        umask: u32,
        buffer: &mut [MaybeUninit<u8>],
    ) -> Result<(), String> {
        let said = |name: &[u8], what: &str| {
            let slash = if dir.path.is_empty() || name.is_empty() { "" } else { "/" };
            let [path, name] = [dir.path, name].map(String::from_utf8_lossy);
            let root = if dir.path.is_empty() && name.is_empty() { "its root" } else { "" };
            format!("{root}{path}{slash}{name} {what}")
        };
        let opened =
            if dir.path.is_empty() { root.try_clone_to_owned().ok() } else { open_dir(root, dir.path) };
        let open = opened.ok_or_else(|| said(b"", "is no directory of it"))?;
        let stat = fstat(&open).map_err(|e| said(b"", &e.to_string()))?;
        if (stat.st_mode, stat.st_uid, stat.st_gid, stat.st_dev) != own {
            return Err(said(b"", "has another mode or owner"));
        }
        for at in &dir.files {
            let Some(line) = self.lines.get(*at) else { break };
            let name = line.path.get(dir.path.len()..).unwrap_or_default();
            let name = name.strip_prefix(b"/").unwrap_or(name);
            let stat = statat(&open, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|_| said(name, "is gone"))?;
            let mode = match line.mode {
                0o100_644 => FileType::RegularFile.as_raw_mode() | (0o666 & !umask),
                0o100_755 => FileType::RegularFile.as_raw_mode() | (0o777 & !umask),
                _ => FileType::Symlink.as_raw_mode() | 0o777,
            };
            if stat.st_mode != mode || Seen::of(&stat) != Some(line.seen) || stat.st_nlink != 1 {
                return Err(said(name, "was changed"));
            }
        }
        let mut names = 0;
        let mut list = RawDir::new(&open, buffer);
        while let Some(entry) = list.next() {
            let entry = entry.map_err(|e| said(b"", &e.to_string()))?;
            names += usize::from(!matches!(entry.file_name().to_bytes(), b"." | b".."));
        }
        // All files that belong there were found.
        match names.cmp(&dir.names) {
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Less => Err(said(b"", "lacks a directory")),
            std::cmp::Ordering::Greater => Err(said(b"", "holds something else as well")),
        }
    }
}

/// Whether, in a tree, the second comes behind the first: names, and whether they are directories.
fn in_order(one: (&[u8], bool), two: (&[u8], bool)) -> bool {
    let key = |(name, is_dir)| <[u8]>::iter(name).copied().chain(bool::then_some(is_dir, b'/'));
    key(one).lt(key(two)) && one.0 != two.0
}

fn entry(tree: &mut Vec<u8>, mode: u32, name: &[u8], id: &[u8; 20]) {
    // As git writes modes: octal, without zeros before them.
    for digit in (0..6).rev().map(|place| mode >> (3 * place)).skip_while(|rest| *rest == 0) {
        tree.push(b'0' + u8::try_from(digit & 7).unwrap_or(0));
    }
    tree.push(b' ');
    tree.extend_from_slice(name);
    tree.push(0);
    tree.extend_from_slice(id);
}

/// Opens a directory that is below `root` without a link on the way, and on the same file system. A kernel that cannot promise that
/// (before 5.6) opens none.
fn open_dir(root: BorrowedFd<'_>, path: &[u8]) -> Option<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    let way = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    openat2(root, path, flags, Mode::empty(), way).ok()
}
