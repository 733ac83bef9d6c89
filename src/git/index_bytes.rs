//! The bytes of an index, as git reads and writes them: `gitformat-index(5)`, version 2.

use sha1::{Digest, Sha1};

/// What an index remembers of a file on disk, to know without reading it that it is unchanged. Cut to 32 bits each, as git does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// Change time: seconds, nanoseconds.
    pub(super) ctime: (u32, u32),
    /// Modification time: seconds, nanoseconds.
    pub(super) mtime: (u32, u32),
    /// Device, inode.
    pub(super) place: (u32, u32),
    /// User, group.
    pub(super) owner: (u32, u32),
    /// Bytes; of a link the length of where it leads.
    pub(super) size: u32,
}

impl Seen {
    /// From what the system says of a file. `None`: it is so large that git writes its size in another way.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index holds the lower 32 bits of each"
    )]
    pub(super) fn of(stat: &rustix::fs::Stat) -> Option<Self> {
        Some(Self {
            ctime: (stat.st_ctime as u32, stat.st_ctime_nsec as u32),
            mtime: (stat.st_mtime as u32, stat.st_mtime_nsec as u32),
            place: (stat.st_dev as u32, stat.st_ino as u32),
            owner: (stat.st_uid, stat.st_gid),
            size: u32::try_from(stat.st_size).ok()?,
        })
    }
}

/// An entry: its path, the mode and the id of its blob, and how it was last seen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    /// Path from the root, without a slash at either end.
    pub(super) path: &'a [u8],
    /// 0o100644, 0o100755 or 0o120000.
    pub(super) mode: u32,
    /// SHA-1 of the blob.
    pub(super) id: [u8; 20],
    /// How it is on disk.
    pub(super) seen: Seen,
}

/// A directory whose entries are all those of a tree, so that nobody has to compare them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// Its name; empty at the root.
    pub(super) name: Vec<u8>,
    /// The tree.
    pub(super) id: [u8; 20],
    /// How many entries are in it and below.
    pub(super) entries: u32,
    /// The directories in it.
    pub(super) below: Vec<Known>,
}

impl Known {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend(&self.name);
        bytes.extend(format!("\0{} {}\n", self.entries, self.below.len()).as_bytes());
        bytes.extend(self.id);
        // git's order: shorter names first.
        let mut below: Vec<_> = self.below.iter().collect();
        below.sort_unstable_by_key(|known| (known.name.len(), &known.name));
        for known in below {
            known.write(bytes);
        }
    }
}

/// The index with these entries, which come in the order of their paths, and the trees that all of them together are, if that is
/// known. `None`: more than an index holds.
pub(super) fn bytes(lines: &[Line<'_>], known: Option<&Known>) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(32 + lines.iter().map(|line| line.path.len() + 70).sum::<usize>());
    bytes.extend(b"DIRC");
    bytes.extend(2_u32.to_be_bytes());
    bytes.extend(u32::try_from(lines.len()).ok()?.to_be_bytes());
    for line in lines {
        let Seen { ctime, mtime, place, owner, size } = line.seen;
        let words = [ctime.0, ctime.1, mtime.0, mtime.1, place.0, place.1, line.mode, owner.0, owner.1, size];
        bytes.extend(words.into_iter().flat_map(u32::to_be_bytes));
        bytes.extend(line.id);
        let length = u16::try_from(line.path.len()).unwrap_or(u16::MAX).min(0xfff);
        bytes.extend(length.to_be_bytes());
        bytes.extend(line.path);
        // One to eight zeros: the whole is a multiple of eight.
        let padding = 8 - (62 + line.path.len()) % 8;
        bytes.extend(std::iter::repeat_n(0, padding));
    }
    if let Some(known) = known {
        let mut trees = Vec::new();
        known.write(&mut trees);
        bytes.extend(b"TREE");
        bytes.extend(u32::try_from(trees.len()).ok()?.to_be_bytes());
        bytes.extend(trees);
    }
    let sum = Sha1::digest(&bytes);
    bytes.extend(sum);
    Some(bytes)
}
