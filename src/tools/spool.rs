//! Raw output of a program on disk, bounded: the beginning and the end are kept, the middle of too much is dropped.
//!
//! A spool at `path` is three files: `path` holds the first bytes; when it is full, `path.new` takes the rest; when that
//! is full it becomes `path.old` (replacing an earlier one), so that at least one tail's worth of the newest output is
//! always there. An agent that prints a gigabyte costs 64 MiB.

use super::file::{self, Result};
use super::lines::Lines;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// How much of the beginning is kept, in bytes.
pub const HEAD: u64 = 48 << 20;
/// How much each of the two tails holds, in bytes.
pub const TAIL: u64 = 8 << 20;

/// Writes a spool.
#[derive(Debug)]
pub struct Spool {
    path: PathBuf,
    head: u64,
    tail: u64,
    file: File,
    /// Bytes in the file that is written now.
    filled: u64,
    /// Whether the head is full.
    split: bool,
    /// Bytes that are in no file any more.
    dropped: u64,
    /// Bytes in the older tail.
    older: u64,
}

impl Spool {
    /// Starts an empty spool at `path`.
    pub fn create(path: &Path) -> Result<Self> {
        Self::with_limits(path, HEAD, TAIL)
    }

    fn with_limits(path: &Path, head: u64, tail: u64) -> Result<Self> {
        file::remove(&tail_path(path, "old"))?;
        file::remove(&tail_path(path, "new"))?;
        let file = file::truncate(path)?;
        Ok(Self { path: path.to_owned(), head, tail, file, filled: 0, split: false, dropped: 0, older: 0 })
    }

    /// Appends `bytes`. Parts of one call may be kept and others dropped.
    ///
    /// # Errors
    /// If the file system does not take them. The caller decides whether that matters: output of an agent is worth
    /// less than the agent.
    pub fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let limit = if self.split { self.tail } else { self.head };
            let room = usize::try_from(limit - self.filled).unwrap_or(usize::MAX);
            if room == 0 {
                self.next_file().map_err(|e| e.source)?;
                continue;
            }
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.file.write_all(now)?;
            self.filled += now.len() as u64;
            bytes = later;
        }
        Ok(())
    }

    fn next_file(&mut self) -> Result<()> {
        let new = tail_path(&self.path, "new");
        if self.split {
            file::rename(&new, &tail_path(&self.path, "old"))?;
            self.dropped += self.older;
            self.older = self.filled;
        }
        self.file = file::truncate(&new)?;
        self.split = true;
        self.filled = 0;
        Ok(())
    }

    /// How many bytes were dropped between the beginning and the end.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }
}

fn tail_path(path: &Path, age: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{age}"));
    name.into()
}

/// What a spool holds: the beginning, and the end if it had to be split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// The first bytes.
    pub head: Vec<u8>,
    /// The last bytes, if something between was dropped or the head is full.
    pub tail: Option<Vec<u8>>,
}

/// Reads a spool; `None` if there is none.
pub fn read(path: &Path) -> Result<Option<Contents>> {
    let Some(head) = file::read(path)? else { return Ok(None) };
    let older = file::read(&tail_path(path, "old"))?;
    let newer = file::read(&tail_path(path, "new"))?;
    let tail = match (older, newer) {
        (None, None) => None,
        (older, newer) => Some([older.unwrap_or_default(), newer.unwrap_or_default()].concat()),
    };
    Ok(Some(Contents { head, tail }))
}

/// Reads the beginning of a spool as it grows, whole lines at a time. What does not fit the beginning is not followed:
/// [`read`] has it.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    offset: u64,
    lines: Lines,
}

impl Tail {
    /// From the first byte on.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), offset: 0, lines: Lines::default() }
    }

    /// The lines that have become whole since the last call.
    pub fn read(&mut self) -> Result<Vec<Vec<u8>>> {
        let mut lines = Vec::new();
        self.bytes(|this, bytes| this.lines.push(bytes, |line| lines.push(line.to_vec())))?;
        Ok(lines)
    }

    /// The bytes that have come since the last call.
    pub fn read_raw(&mut self) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        self.bytes(|_, bytes| all.extend_from_slice(bytes))?;
        Ok(all)
    }

    fn bytes(&mut self, mut take: impl FnMut(&mut Self, &[u8])) -> Result<()> {
        let Some(mut file) = file::open(&self.path)? else { return Ok(()) };
        let mut buffer = vec![0; 64 << 10];
        let mut next = || -> io::Result<()> {
            file.seek(SeekFrom::Start(self.offset))?;
            loop {
                let n = file.read(&mut buffer)?;
                if n == 0 {
                    return Ok(());
                }
                self.offset += n as u64;
                take(self, buffer.get(..n).unwrap_or_default());
            }
        };
        next().map_err(|source| file::Error { action: "read", path: self.path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_beginning_and_the_end_are_kept(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..30)) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("out");
            let mut spool = Spool::with_limits(&path, 64, 32).unwrap();
            let mut all = Vec::new();
            for chunk in &chunks {
                spool.write(chunk).unwrap();
                all.extend_from_slice(chunk);
            }
            let contents = read(&path).unwrap().unwrap();
            prop_assert!(all.starts_with(&contents.head));
            prop_assert_eq!(contents.head.len(), all.len().min(64));
            if let Some(tail) = &contents.tail {
                prop_assert!(all.ends_with(tail));
                prop_assert!(tail.len() <= 64);
                prop_assert!(tail.len() >= (all.len() - 64).min(32));
            }
            let kept = contents.head.len() + contents.tail.map_or(0, |t| t.len());
            prop_assert_eq!(kept as u64 + spool.dropped(), all.len() as u64);
        }
    }
}
