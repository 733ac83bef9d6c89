//! Append-only records: one line each, with a checksum, so that a torn or damaged line is never believed.
//!
//! A line is eight hex digits of the CRC-32 of its JSON, a space, the JSON, a line feed. JSON never holds a raw line
//! feed, so a reader finds the next line whatever happened to the one before. A last line that is cut off or does not
//! match its checksum is the trace of a writer that died: readers skip it, the next writer cuts it off. A bad line with
//! good ones behind it is damage and an error, because what it said is gone.

use super::{crash, file, lock};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The bytes of a line before its JSON.
const SUM: usize = 9;

/// A journal that could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A line in the middle is not what was written.
    #[error("{} is damaged at line {line}: {why}", .path.display())]
    Damaged {
        /// The journal.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// It could not be opened or read.
    #[error(transparent)]
    File(#[from] file::Error),
    /// Somebody else has it.
    #[error(transparent)]
    Lock(#[from] lock::Error),
    /// A record could not be written.
    #[error("cannot write to {}: {source}", .path.display())]
    Write {
        /// The journal.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    /// A word that does not change, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Damaged { .. } => "damaged",
            Self::File(e) => e.code(),
            Self::Lock(e) => e.code(),
            Self::Write { source, .. } if source.kind() == io::ErrorKind::StorageFull => "disk_full",
            Self::Write { .. } => "file",
        }
    }

    /// Whether something else is where the journal was, or a part of it is gone.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } => true,
            Self::File(e) | Self::Lock(lock::Error::File(e)) => e.is_damage(),
            Self::Lock(_) | Self::Write { .. } => false,
        }
    }

    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Damaged { .. } => {
                Some("the worktree and branch of the agent are untouched; see ai_orch doctor".into())
            }
            Self::File(e) => e.hint(),
            Self::Lock(e) => e.hint(),
            Self::Write { path, .. } => Some(format!("see df -h {}", path.display())),
        }
    }
}

/// What a shared journal usually takes, in bytes.
const USUAL: usize = 8 << 10;
/// What a line usually takes, in bytes.
const SHORT: usize = 512;

/// Result of a journal operation.
pub type Result<T> = std::result::Result<T, Error>;

/// The records of a journal.
#[derive(Debug, Clone, PartialEq)]
pub struct Contents<T> {
    /// In the order they were written.
    pub records: Vec<T>,
    /// The bytes that hold them; whatever is behind is a torn tail.
    pub good: u64,
    /// Whether there is a torn tail.
    pub torn: bool,
}

/// Reads the journal at `path`; `None` if there is none.
///
/// # Errors
/// [`Error::Damaged`] if a line before the last is bad, or a good line is not a `T`.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<Contents<T>>> {
    let mut before = None;
    loop {
        let Some(bytes) = file::read(path)? else { return Ok(None) };
        match parse(path, &bytes) {
            // Somebody may cut off what a dead one left, and write on, while we read. What is damaged stays as it is.
            Err(Error::Damaged { .. }) if before.as_ref() != Some(&bytes) => before = Some(bytes),
            parsed => return parsed.map(Some),
        }
    }
}

/// Every record of the journal at `path` that can still be believed, whatever is between them; none if something else is there.
///
/// # Errors
/// If it could not be read: what it holds is not lost, and nothing may be put in its place.
pub fn salvage<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let bytes = match file::read(path) {
        Ok(bytes) => bytes.unwrap_or_default(),
        Err(error) if error.is_damage() => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let lines = bytes.split_inclusive(|b| *b == b'\n');
    Ok(lines.filter_map(|line| serde_json::from_slice(unframe(line).ok()?).ok()).collect())
}

/// Puts a journal of `records` in the place of what is at `path`, surviving a power cut.
pub fn rewrite<T: Serialize>(path: &Path, records: &[T]) -> Result<()> {
    let mut bytes = Vec::new();
    for record in records {
        let line = frame(record).map_err(|source| Error::Write { path: path.to_owned(), source })?;
        bytes.extend_from_slice(&line);
    }
    Ok(file::replace(path, &bytes)?)
}

fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<Contents<T>> {
    let mut contents = Contents { records: Vec::new(), good: 0, torn: false };
    let damaged = |line: usize, why: String| Error::Damaged { path: path.to_owned(), line, why };
    let mut bad: Option<(usize, String)> = None;
    for (index, line) in bytes.split_inclusive(|b| *b == b'\n').enumerate() {
        let number = index + 1;
        match unframe(line) {
            Ok(json) => {
                if let Some((line, why)) = bad {
                    return Err(damaged(line, why));
                }
                let record = serde_json::from_slice(json).map_err(|e| damaged(number, e.to_string()))?;
                contents.records.push(record);
                contents.good += line.len() as u64;
            }
            Err(why) => {
                contents.torn = true;
                bad.get_or_insert((number, why.to_owned()));
            }
        }
    }
    Ok(contents)
}

/// The JSON of a line, its end included; or what is wrong with it.
pub fn unframe(line: &[u8]) -> std::result::Result<&[u8], &'static str> {
    let body = line.strip_suffix(b"\n").ok_or("it is cut off")?;
    let (sum, json) = body.split_at_checked(SUM).ok_or("it is too short")?;
    let sum = std::str::from_utf8(sum).ok().and_then(|s| s.strip_suffix(' ')).ok_or("it has no checksum")?;
    let sum = u32::from_str_radix(sum, 16).map_err(|_| "it has no checksum")?;
    if crc32fast::hash(json) == sum { Ok(json) } else { Err("its checksum does not match") }
}

/// The line that holds `record`.
pub fn frame<T: Serialize>(record: &T) -> io::Result<Vec<u8>> {
    Ok(line(record)?)
}

fn line<T: Serialize>(record: &T) -> serde_json::Result<Vec<u8>> {
    // The sum is put in when the JSON behind it is there.
    let mut line = Vec::with_capacity(SHORT);
    line.resize(SUM, b' ');
    serde_json::to_writer(&mut line, record)?;
    let (place, json) = line.split_at_mut(SUM);
    let sum = format!("{:08x} ", crc32fast::hash(json));
    place.copy_from_slice(sum.as_bytes());
    line.push(b'\n');
    Ok(line)
}

/// A record and the line that it will be: so that it can be measured first, and is put into words once.
#[derive(Debug)]
pub struct Line<T> {
    record: T,
    bytes: Vec<u8>,
}

impl<T: Serialize> Line<T> {
    /// The line of `record`.
    pub fn of(record: T) -> serde_json::Result<Self> {
        let bytes = line(&record)?;
        Ok(Self { record, bytes })
    }

    /// What it says.
    pub const fn record(&self) -> &T {
        &self.record
    }

    /// The bytes of its JSON.
    pub const fn length(&self) -> u64 {
        self.bytes.len().saturating_sub(SUM + 1) as u64
    }
}

/// A journal that many processes write, one at a time: it is its own lock, held as long as this is there.
///
/// ```
/// use ai_orch::tools::journal::Shared;
/// # let dir = tempfile::tempdir()?;
/// let path = dir.path().join("counted");
/// let mut counted = Shared::<u32>::open(&path, std::time::Duration::from_secs(5))?;
/// let next = counted.records().last().copied().unwrap_or(0) + 1;
/// counted.append(next)?;
/// counted.sync()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Shared<T> {
    writer: Writer<T>,
    records: Vec<T>,
    made: bool,
}

impl<T: Serialize + DeserializeOwned> Shared<T> {
    /// The journal at `path`, made if it is not there, once nobody else has it. Waits up to `limit`.
    ///
    /// # Errors
    /// [`Error::Lock`] if it is held for longer, [`Error::Damaged`].
    pub fn open(path: &Path, limit: Duration) -> Result<Self> {
        Self::on(path, lock::guard(path, limit)?)
    }

    /// Like [`Self::open`]; `None` if somebody has it now.
    pub fn try_open(path: &Path) -> Result<Option<Self>> {
        lock::try_guard(path)?.map(|file| Self::on(path, file)).transpose()
    }

    /// Like [`Self::try_open`] of a journal that is there: it is not made.
    pub fn try_open_there(path: &Path) -> Result<lock::Tried<Self>> {
        Ok(match lock::try_guard_there(path)? {
            lock::Tried::Ours(file) => lock::Tried::Ours(Self::on(path, file)?),
            lock::Tried::Busy => lock::Tried::Busy,
            lock::Tried::Missing => lock::Tried::Missing,
        })
    }

    fn on(path: &Path, file: File) -> Result<Self> {
        // To its very end: what is behind the last line that we see is cut off.
        let mut bytes = Vec::with_capacity(USUAL);
        let read = (&file).take(file::LARGEST).read_to_end(&mut bytes);
        read.map_err(|source| Error::Write { path: path.to_owned(), source })?;
        let contents: Contents<T> = parse(path, &bytes)?;
        let mut writer = Writer { path: path.to_owned(), file, length: contents.good, kind: PhantomData };
        if contents.torn {
            writer.cut()?;
        }
        Ok(Self { writer, made: bytes.is_empty(), records: contents.records })
    }

    /// What it holds, in the order it was written.
    pub fn records(&self) -> &[T] {
        &self.records
    }

    /// The bytes that it holds.
    pub fn length(&self) -> u64 {
        self.writer.length
    }

    /// Appends a record that survives the death of this process, but not yet a power cut.
    ///
    /// # Errors
    /// If it could not be written whole; then nothing of it is left.
    pub fn append(&mut self, record: T) -> Result<()> {
        let line = Line::of(record).map_err(|e| self.writer.error(e.into()))?;
        self.append_line(line)
    }

    /// The same for a record whose line is there already.
    pub fn append_line(&mut self, line: Line<T>) -> Result<()> {
        crash::point(|| format!("append to {}", crash::short(&self.writer.path)));
        self.writer.write(&line.bytes)?;
        self.records.push(line.record);
        crash::point(|| format!("appended to {}", crash::short(&self.writer.path)));
        Ok(())
    }

    /// Makes everything in it survive a power cut.
    pub fn sync(&mut self) -> Result<()> {
        self.writer.sync()?;
        if std::mem::take(&mut self.made) {
            file::sync_dir(self.writer.path.parent().unwrap_or(Path::new(".")))?;
        }
        Ok(())
    }
}

/// A journal that many processes write and that this one comes back to: it stays open between two visits, and each visit reads
/// only what was written since the last one. While it is open its inode is nobody else's, so a journal that was put in its
/// place is always noticed, and read from its beginning.
#[derive(Debug)]
pub struct Visitor<T> {
    path: PathBuf,
    file: Option<File>,
    /// What was read, in bytes and in lines.
    good: u64,
    lines: usize,
    kind: PhantomData<fn(T)>,
}

/// What a visitor finds that it did not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News<T> {
    /// Each record with the bytes that it takes, in the order they were written.
    pub records: Vec<(T, u64)>,
    /// It is another journal than the last time, or the first time: what was known of it before is void.
    pub anew: bool,
}

/// A journal, locked for as long as this is there.
#[derive(Debug)]
pub struct Visit<'v, T> {
    visitor: &'v mut Visitor<T>,
    file: File,
}

impl<T: Serialize + DeserializeOwned> Visitor<T> {
    /// Somebody who will visit the journal at `path`.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), file: None, good: 0, lines: 0, kind: PhantomData }
    }

    /// Whether the journal is not open now: the next visit opens it.
    pub fn is_first(&self) -> bool {
        self.file.is_none()
    }

    /// Locks the journal, made if it is not there, and reads what is new in it. Waits up to `limit` for whoever is there.
    ///
    /// # Errors
    /// [`Error::Lock`] if it is held for longer, [`Error::Damaged`]. Then the next visit reads all of it.
    pub fn enter(&mut self, limit: Duration) -> Result<(Visit<'_, T>, News<T>)> {
        let (file, length, anew) = self.lock(limit)?;
        if anew {
            (self.good, self.lines) = (0, 0);
        }
        let (records, torn) = self.read(&file, length)?;
        let visit = Visit { visitor: self, file };
        if torn {
            visit.cut()?;
        }
        Ok((visit, News { records, anew }))
    }

    /// What is new in the journal, without its lock: nothing is made or changed, and nobody is waited for. `None` if there is none.
    pub fn glance(&mut self, limit: Duration) -> Result<Option<News<T>>> {
        let held = match self.file.take() {
            Some(file) => file::length_at(&file, &self.path)?.filter(|l| *l >= self.good).map(|l| (file, l)),
            None => None,
        };
        let anew = held.is_none();
        let (file, length) = match held {
            Some(held) => held,
            None => match self.open()? {
                Some(opened) => opened,
                None => return Ok(None),
            },
        };
        if anew {
            (self.good, self.lines) = (0, 0);
        }
        match self.read(&file, length) {
            Ok((records, _)) => {
                self.file = Some(file);
                Ok(Some(News { records, anew }))
            }
            // Somebody cuts off what a dead one left and writes on, while we read: under the lock nobody does.
            Err(Error::Damaged { .. }) => {
                let (visit, news) = self.enter(limit)?;
                visit.leave()?;
                Ok(Some(news))
            }
            Err(error) => Err(error),
        }
    }

    fn open(&self) -> Result<Option<(File, u64)>> {
        let Some(file) = file::open_rw_there(&self.path)? else { return Ok(None) };
        // One that was replaced a moment ago is a whole journal, too.
        let length = file::length(&file, &self.path)?;
        Ok(Some((file, length)))
    }

    /// What `file` holds behind what was read before, up to `length`, and whether it ends with a torn line.
    fn read(&mut self, file: &File, length: u64) -> Result<(Vec<(T, u64)>, bool)> {
        let mut bytes = vec![0; usize::try_from(length - self.good).unwrap_or(0)];
        file.read_exact_at(&mut bytes, self.good)
            .map_err(|source| Error::Write { path: self.path.clone(), source })?;
        let (mut records, mut good, mut bad) = (Vec::new(), 0, None);
        for line in bytes.split_inclusive(|b| *b == b'\n') {
            let number = self.lines + records.len() + 1;
            let damaged = |why| Error::Damaged { path: self.path.clone(), line: number, why };
            match unframe(line) {
                Ok(json) => {
                    if let Some(why) = bad {
                        return Err(damaged(why));
                    }
                    let record = serde_json::from_slice(json).map_err(|e| damaged(e.to_string()))?;
                    good += line.len() as u64;
                    records.push((record, line.len() as u64));
                }
                Err(why) => bad = bad.or(Some(why.to_owned())),
            }
        }
        self.good += good;
        self.lines += records.len();
        Ok((records, bad.is_some()))
    }

    /// The locked file, its length, and whether it is not the one of the last visit.
    fn lock(&mut self, limit: Duration) -> Result<(File, u64, bool)> {
        let held = self.file.take();
        if let Some(file) = held {
            if lock::try_again(&file, &self.path)? {
                match file::length_at(&file, &self.path)? {
                    Some(length) if length >= self.good => return Ok((file, length, false)),
                    _ => {}
                }
            } else {
                // In the queue, by a file of its own; ours stays open meanwhile, so that it can be told from another one.
                let next = lock::guard(&self.path, limit)?;
                let same = file::is_at(&file, &self.path)?;
                let length = file::length_at(&next, &self.path)?.unwrap_or(0);
                return Ok((next, length, !same || length < self.good));
            }
        }
        let file = lock::guard(&self.path, limit)?;
        let length = file::length_at(&file, &self.path)?.unwrap_or(0);
        Ok((file, length, true))
    }
}

impl<T: Serialize + DeserializeOwned> Visit<'_, T> {
    fn error(&self, source: io::Error) -> Error {
        Error::Write { path: self.visitor.path.clone(), source }
    }

    /// The bytes that it holds.
    pub fn length(&self) -> u64 {
        self.visitor.good
    }

    /// Appends a record that survives the death of this process, but not yet a power cut. Returns its JSON and the bytes it takes.
    ///
    /// # Errors
    /// If it could not be written whole; then nothing of it is left.
    pub fn append(&mut self, record: &T) -> Result<(Vec<u8>, u64)> {
        let mut line = frame(record).map_err(|e| self.error(e))?;
        crash::point(|| format!("append to {}", crash::short(&self.visitor.path)));
        if let Err(source) = self.file.write_all_at(&line, self.visitor.good) {
            // A full disk leaves a part of the line; the next record must not be written behind it.
            self.cut()?;
            return Err(self.error(source));
        }
        crash::point(|| format!("appended to {}", crash::short(&self.visitor.path)));
        let bytes = line.len() as u64;
        self.visitor.good += bytes;
        self.visitor.lines += 1;
        Ok((line.split_off(SUM), bytes))
    }

    /// Puts a journal of `records` in its place, surviving a power cut.
    pub fn replace(self, records: &[T]) -> Result<()> {
        // Whoever waits for the lock of this one notices, once it is given back, that it is not at its path any more.
        rewrite(&self.visitor.path, records)
    }

    fn cut(&self) -> Result<()> {
        self.file.set_len(self.visitor.good).map_err(|e| self.error(e))
    }

    /// Gives the lock back and keeps the journal open for the next visit.
    pub fn leave(self) -> Result<()> {
        lock::let_go(&self.file, &self.visitor.path)?;
        self.visitor.file = Some(self.file);
        Ok(())
    }
}

/// The one writer of a journal. Whoever makes one must hold the lock that says so.
#[derive(Debug)]
pub struct Writer<T> {
    path: PathBuf,
    file: File,
    length: u64,
    kind: PhantomData<fn(T)>,
}

impl<T: Serialize + DeserializeOwned> Writer<T> {
    /// Opens the journal at `path`, making it if needed, cuts off a torn tail, and returns what it holds.
    pub fn open(path: &Path) -> Result<(Self, Vec<T>)> {
        let file = file::append(path)?;
        let contents: Contents<T> =
            read(path)?.unwrap_or(Contents { records: Vec::new(), good: 0, torn: false });
        let mut writer = Self { path: path.to_owned(), file, length: contents.good, kind: PhantomData };
        if contents.torn {
            writer.cut()?;
        }
        Ok((writer, contents.records))
    }

    /// Appends a record and makes it survive a power cut before returning.
    pub fn append(&mut self, record: &T) -> Result<()> {
        self.append_unsynced(record)?;
        self.sync()
    }

    /// Appends a record that survives the death of this process, but not yet a power cut.
    ///
    /// # Errors
    /// If it could not be written whole; then nothing of it is left in the file.
    pub fn append_unsynced(&mut self, record: &T) -> Result<()> {
        let line = frame(record).map_err(|source| self.error(source))?;
        self.write(&line)
    }

    fn error(&self, source: io::Error) -> Error {
        Error::Write { path: self.path.clone(), source }
    }

    fn write(&mut self, line: &[u8]) -> Result<()> {
        match self.file.write_all(line) {
            Ok(()) => {
                self.length += line.len() as u64;
                Ok(())
            }
            Err(source) => {
                // A full disk leaves a part of the line; the next record must not be written behind it.
                self.cut()?;
                Err(self.error(source))
            }
        }
    }

    /// Makes everything appended so far survive a power cut.
    pub fn sync(&mut self) -> Result<()> {
        self.file.sync_data().map_err(|source| Error::Write { path: self.path.clone(), source })
    }

    fn cut(&mut self) -> Result<()> {
        let cut = |file: &mut File, length| -> io::Result<()> {
            file.set_len(length)?;
            file.seek(SeekFrom::End(0)).map(drop)
        };
        cut(&mut self.file, self.length).map_err(|source| Error::Write { path: self.path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn journal(dir: &Path) -> PathBuf {
        dir.join("journal")
    }

    #[test]
    fn what_was_appended_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = journal(dir.path());
        let (mut writer, before) = Writer::<String>::open(&path).unwrap();
        assert!(before.is_empty());
        writer.append(&"one\nline".to_owned()).unwrap();
        writer.append_unsynced(&"two".to_owned()).unwrap();
        drop(writer);
        let (_, records) = Writer::<String>::open(&path).unwrap();
        assert_eq!(records, ["one\nline", "two"]);
    }

    #[test]
    fn damage_in_the_middle_is_an_error_that_names_the_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = journal(dir.path());
        let (mut writer, _) = Writer::<String>::open(&path).unwrap();
        for word in ["one", "two", "three"] {
            writer.append(&word.to_owned()).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap().replace("two", "TWO");
        std::fs::write(&path, text).unwrap();
        let error = read::<String>(&path).unwrap_err();
        assert!(matches!(error, Error::Damaged { line: 2, .. }), "{error}");
        let kept = salvage::<String>(&path).unwrap();
        assert_eq!(kept, ["one", "three"]);
        assert!(salvage::<String>(dir.path()).unwrap().is_empty(), "something else is in its place");
        let unreadable = salvage::<String>(Path::new("/proc/self/mem")).unwrap_err();
        assert!(!unreadable.is_damage(), "what cannot be read is not lost: {unreadable}");
        rewrite(&path, &kept).unwrap();
        assert_eq!(read::<String>(&path).unwrap().unwrap().records, kept);
    }

    #[test]
    fn many_append_to_a_shared_one_and_none_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let path = journal(dir.path());
        let limit = Duration::from_secs(30);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..25 {
                        let mut shared = Shared::<usize>::open(&path, limit).unwrap();
                        let n = shared.records().len();
                        shared.append(n).unwrap();
                    }
                });
            }
        });
        let mut held = Shared::<usize>::open(&path, limit).unwrap();
        assert_eq!(held.records(), (0..200).collect::<Vec<_>>());
        held.sync().unwrap();
        assert!(Shared::<usize>::try_open(&path).unwrap().is_none(), "it is its own lock");
        // Put aside while it is held: whoever waits gets the one that is there then.
        std::fs::rename(&path, dir.path().join("aside")).unwrap();
        assert!(Shared::<usize>::try_open(&path).unwrap().unwrap().records().is_empty());
        drop(held);
        std::fs::write(&path, "torn").unwrap();
        let mut shared = Shared::<usize>::open(&path, limit).unwrap();
        shared.append(7).unwrap();
        drop(shared);
        assert_eq!(read::<usize>(&path).unwrap().unwrap().records, [7]);
    }

    fn enter(visitor: &mut Visitor<String>) -> (Vec<String>, bool) {
        let (visit, news) = visitor.enter(Duration::from_secs(30)).unwrap();
        visit.leave().unwrap();
        (news.records.into_iter().map(|(word, _)| word).collect(), news.anew)
    }

    fn words(all: &[&str]) -> Vec<String> {
        all.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_visitor_reads_each_record_once_and_notices_another_journal() {
        let dir = tempfile::tempdir().unwrap();
        let path = journal(dir.path());
        let limit = Duration::from_secs(30);
        let (mut one, mut two) = (Visitor::<String>::new(&path), Visitor::<String>::new(&path));
        assert!(one.glance(limit).unwrap().is_none());
        assert!(!path.exists(), "a glance makes nothing");
        assert_eq!(enter(&mut one), (words(&[]), true));
        for word in ["a", "b"] {
            let (mut visit, _) = two.enter(limit).unwrap();
            let (json, bytes) = visit.append(&word.to_owned()).unwrap();
            assert_eq!((json, bytes), (format!("\"{word}\"\n").into_bytes(), 13));
            visit.leave().unwrap();
        }
        assert_eq!(enter(&mut one), (words(&["a", "b"]), false));
        assert_eq!(enter(&mut two), (words(&[]), false), "what it wrote itself is not new");
        assert_eq!(one.glance(limit).unwrap(), Some(News { records: vec![], anew: false }));
        // Somebody dies in the middle of a line.
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend_from_slice(b"1234567");
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(one.glance(limit).unwrap(), Some(News { records: vec![], anew: false }));
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "a glance changes nothing");
        let (mut visit, _) = two.enter(limit).unwrap();
        visit.append(&"c".to_owned()).unwrap();
        assert_eq!(visit.length(), 39);
        // Held by somebody else, without a lock and then in the queue.
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| enter(&mut one));
            visit.append(&"d".to_owned()).unwrap();
            visit.leave().unwrap();
            assert!(!waits.join().unwrap().1, "the same journal, by another file");
        });
        let (seen, anew) = enter(&mut one);
        assert!(!anew && seen.len() <= 2, "{seen:?}");
        let (visit, _) = one.enter(limit).unwrap();
        visit.replace(&words(&["e"])).unwrap();
        assert_eq!(two.glance(limit).unwrap().unwrap().records, [("e".to_owned(), 13)]);
        assert_eq!(enter(&mut two), (words(&[]), false));
        assert_eq!(enter(&mut one), (words(&["e"]), true));
    }

    #[test]
    fn whoever_reads_while_a_torn_tail_is_cut_off_sees_no_damage() {
        let dir = tempfile::tempdir().unwrap();
        let path = journal(dir.path());
        let long = "x".repeat(3 << 10);
        drop(Writer::<String>::open(&path).unwrap());
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut seen = 0;
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let now = read::<String>(&path).unwrap().unwrap().records.len();
                    assert!(now >= seen, "{seen} and then {now}");
                    seen = now;
                }
            });
            for _ in 0..300 {
                // Somebody dies in the middle of a line, and somebody else writes on.
                let mut torn = frame(&long).unwrap();
                torn.truncate(2500);
                file::append(&path).unwrap().write_all(&torn).unwrap();
                Writer::<String>::open(&path).unwrap().0.append_unsynced(&long).unwrap();
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            reader.join().unwrap();
        });
    }

    #[test]
    fn a_visitor_that_meets_damage_says_so_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = journal(dir.path());
        let limit = Duration::from_secs(30);
        let mut visitor = Visitor::<String>::new(&path);
        for word in ["one", "two", "three"] {
            let (mut visit, _) = visitor.enter(limit).unwrap();
            visit.append(&word.to_owned()).unwrap();
            visit.leave().unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap().replace("two", "TWO");
        std::fs::write(&path, text).unwrap();
        // What was read before is not read again; a new one sees it.
        assert_eq!(enter(&mut visitor).0, words(&[]));
        let mut other = Visitor::<String>::new(&path);
        for _ in 0..2 {
            assert!(matches!(other.glance(limit), Err(Error::Damaged { line: 2, .. })));
            assert!(matches!(other.enter(limit).map(drop), Err(Error::Damaged { line: 2, .. })));
        }
    }

    proptest! {
        #[test]
        fn a_cut_anywhere_loses_only_what_was_cut(words in prop::collection::vec(".{0,20}", 1..8), cut in 0.0..1.0f64) {
            let dir = tempfile::tempdir().unwrap();
            let path = journal(dir.path());
            let (mut writer, _) = Writer::<String>::open(&path).unwrap();
            let mut ends = vec![0];
            for word in &words {
                writer.append_unsynced(word).unwrap();
                ends.push(std::fs::metadata(&path).unwrap().len());
            }
            let all = std::fs::read(&path).unwrap();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a test's random place")]
            let at = (all.len() as f64 * cut) as usize;
            std::fs::write(&path, &all[..at]).unwrap();
            let whole = ends.iter().filter(|e| **e <= at as u64).count() - 1;
            let (mut writer, records) = Writer::<String>::open(&path).unwrap();
            prop_assert_eq!(&records, &words[..whole]);
            writer.append(&"next".to_owned()).unwrap();
            let again = read::<String>(&path).unwrap().unwrap();
            prop_assert_eq!(again.records.len(), whole + 1);
            prop_assert!(!again.torn);
        }
    }
}
