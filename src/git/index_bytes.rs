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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
        for word in words {
            bytes.extend_from_slice(&word.to_be_bytes());
        }
        bytes.extend_from_slice(&line.id);
        bytes.extend_from_slice(&flags_of(line.path).to_be_bytes());
        bytes.extend_from_slice(line.path);
        bytes.extend(std::iter::repeat_n(0, padding_of(line.path)));
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

/// The entries of an index as [`bytes`] writes one, in its order; `None` of any other: another version, entries with flags or in
/// stages, cut off. What comes behind the entries is not looked at, the checksum neither.
pub(super) fn lines(index: &[u8]) -> Option<Vec<Line<'_>>> {
    let (head, mut rest) = index.split_first_chunk::<12>()?;
    let [version, entries] = [4, 8].map(|at| word(head, at));
    if !head.starts_with(b"DIRC") || version != Some(2) {
        return None;
    }
    let entries = usize::try_from(entries?).ok()?;
    // No more than there is room for, whatever the head says.
    let mut lines = Vec::with_capacity(entries.min(rest.len() / 64));
    for _ in 0..entries {
        let (fixed, behind) = rest.split_first_chunk::<62>()?;
        let number = |n: usize| word(fixed, n * 4);
        let pair = |n: usize| Some((number(n)?, number(n + 1)?));
        let length = behind.iter().position(|b| *b == 0)?;
        let path = behind.get(..length)?;
        let flags = u16::from_be_bytes([*fixed.get(60)?, *fixed.get(61)?]);
        if flags != flags_of(path) {
            return None;
        }
        lines.push(Line {
            path,
            mode: number(6)?,
            id: fixed.get(40..60)?.try_into().ok()?,
            seen: Seen {
                ctime: pair(0)?,
                mtime: pair(2)?,
                place: pair(4)?,
                owner: pair(7)?,
                size: number(9)?,
            },
        });
        rest = behind.get(length + padding_of(path)..)?;
    }
    Some(lines)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// What an entry says of itself: how long its path is, and nothing else.
fn flags_of(path: &[u8]) -> u16 {
    u16::try_from(path.len()).unwrap_or(u16::MAX).min(0xfff)
}

/// One to eight zeros: the whole is a multiple of eight.
fn padding_of(path: &[u8]) -> usize {
    8 - (62 + path.len()) % 8
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_written_is_read(
            paths in proptest::collection::btree_set("[ -~]{1,90}", 0..40), numbers in any::<[u32; 10]>(), cut in 1_usize..200,
        ) {
            let [a, b, c, d, e, f, g, h, size, mode] = numbers;
            let seen = Seen { ctime: (a, b), mtime: (c, d), place: (e, f), owner: (g, h), size };
            let line = |path| Line { path, mode, id: [7; 20], seen };
            let written: Vec<_> = paths.iter().map(|path| line(path.as_bytes())).collect();
            let index = bytes(&written, None).unwrap();
            prop_assert_eq!(lines(&index), Some(written));
            let cut = &index[..index.len().saturating_sub(20 + cut)];
            prop_assert!(paths.is_empty() || lines(cut).is_none());
        }
    }

    #[test]
    fn an_index_with_more_to_say_is_not_read() {
        let seen = Seen { ctime: (1, 2), mtime: (3, 4), place: (5, 6), owner: (7, 8), size: 9 };
        let good = bytes(&[Line { path: b"a", mode: 0o100_644, id: [1; 20], seen }], None).unwrap();
        assert_eq!(lines(&good).unwrap().len(), 1);
        // Version, number of entries, flags: hidden from git, in a stage, extended.
        for (at, value) in [(0, b'd'), (7, 3), (7, 4), (11, 2), (72, 0x80), (72, 0x40), (72, 0x10), (73, 2)] {
            let mut other = good.clone();
            other[at] = value;
            assert_eq!(lines(&other), None, "{at}");
        }
    }
}
