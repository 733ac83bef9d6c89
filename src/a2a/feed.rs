//! The feed of a project under the root: every change, as lines, for whoever follows.
//!
//! Many append without a lock, each line in one write and with a line feed before it as well, so that a line which a killed writer
//! left unfinished spoils no other. A file holds the lines that begin in its first 8 MiB. Whose line came to lie behind
//! that writes it again into the next file, and readers pass over it where it was: so the end of a file is the same for
//! everybody, and a follower that goes on to the next one has missed nothing.
//!
//! The feed is a bell and a log, not the truth. After the root was wiped it is another one, by its name; a cursor of the old
//! one is answered with a gap.

use super::Result;
use crate::model::feed::{Change, Cursor, EventLine, FeedFile, Kind, VERSION};
use crate::model::ids::Project;
use crate::model::places::Places;
use crate::tools::{clock, crash, file, journal};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Where a file ends: lines that begin here or behind do not count.
const END: u64 = 8 << 20;
/// How many files are kept.
const KEPT: u32 = 4;
/// How often a line is tried: each time somebody else filled a file, or wiped the root, in between.
const TRIES: usize = 16;

/// Writes to the feed of a project.
#[derive(Debug)]
pub struct Feed {
    dir: PathBuf,
    end: u64,
    /// The file that was written to last.
    open: Mutex<Option<(FeedFile, File)>>,
}

impl Feed {
    /// The feed of `project`. Nothing is made before the first line.
    pub fn new(places: &Places, project: &Project) -> Self {
        Self { dir: places.copies(project).feed(), end: END, open: Mutex::default() }
    }

    /// Says that something changed. To be called after the change is on record.
    pub fn say(&self, kind: Kind) -> Result<()> {
        let change = Change { v: VERSION, at: clock::now(), kind };
        let mut line = vec![b'\n'];
        line.extend(journal::frame(&change).map_err(|source| self.error("write to", source))?);
        crash::point(|| format!("append to {}", crash::short(&self.dir)));
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..TRIES {
            let (name, file) = match open.take() {
                Some((name, file)) if file::is_at(&file, &self.dir.join(name.to_string()))? => (name, file),
                _ => match self.newest()? {
                    Some(newest) => newest,
                    // It was taken away between two looks.
                    None => continue,
                },
            };
            let begin = self.append(&file, &line)?;
            if begin < self.end {
                *open = Some((name, file));
                crash::point(|| format!("appended to {}", crash::short(&self.dir)));
                return Ok(());
            }
            self.next(&name)?;
        }
        Err(self.error("write to", io::Error::from(io::ErrorKind::NotFound)).into())
    }

    /// Says it if that can be done; a change is never held up by its announcement.
    pub fn try_say(&self, kind: Kind) {
        if let Err(error) = self.say(kind) {
            tracing::warn!(%error, "a change was not announced");
        }
    }

    /// Writes the line in one piece, and tells where it begins.
    fn append(&self, mut file: &File, line: &[u8]) -> Result<u64> {
        let written = file.write_all(line).and_then(|()| file.stream_position());
        let end = written.map_err(|source| self.error("write to", source))?;
        Ok(end.saturating_sub(line.len() as u64))
    }

    /// The newest file, the first one made if there is none.
    fn newest(&self) -> Result<Option<(FeedFile, File)>> {
        let name = match files(&self.dir)?.pop() {
            Some(name) => name,
            None => match self.begin()? {
                Some(name) => name,
                None => return Ok(None),
            },
        };
        let file = file::append_there(&self.dir.join(name.to_string()))?;
        Ok(file.map(|file| (name, file)))
    }

    /// Makes a feed: the directory comes with its first file in it, so that of many who want one there is one.
    fn begin(&self) -> Result<Option<FeedFile>> {
        let id = clock::new_id().simple().to_string();
        let (own, random) = id.split_at_checked(24).unwrap_or(("", &id));
        let name = FeedFile { n: 1, feed: random.to_owned() };
        let beside = self.dir.with_file_name(format!(".feed.{own}{random}"));
        file::make_dirs(&beside)?;
        file::create(&beside.join(name.to_string()), b"")?;
        match file::rename(&beside, &self.dir) {
            Ok(()) => Ok(Some(name)),
            Err(error) => {
                file::remove(&beside.join(name.to_string()))?;
                file::remove_empty_dir(&beside)?;
                match error.source.kind() {
                    io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists => Ok(None),
                    _ => Err(error.into()),
                }
            }
        }
    }

    /// Makes the file after `full`, if nobody else did, and removes those that are too old.
    fn next(&self, full: &FeedFile) -> Result<()> {
        let next = FeedFile { n: full.n + 1, feed: full.feed.clone() };
        match file::create(&self.dir.join(next.to_string()), b"") {
            Err(e) if matches!(e.source.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => {}
            made => made?,
        }
        for old in files(&self.dir)?.into_iter().filter(|file| file.n + KEPT <= next.n) {
            file::remove(&self.dir.join(old.to_string()))?;
        }
        Ok(())
    }

    fn error(&self, action: &'static str, source: io::Error) -> file::Error {
        file::Error { action, path: self.dir.clone(), source }
    }
}

/// The files of the feed in `dir`, oldest first. Anything else in there is not ours.
fn files(dir: &Path) -> Result<Vec<FeedFile>> {
    let names = file::names(dir)?.unwrap_or_default();
    let mut found: Vec<FeedFile> =
        names.iter().filter_map(|name| name.to_str()?.parse().ok()).filter(|f: &FeedFile| f.n > 0).collect();
    found.sort();
    Ok(found)
}

/// Reads the feed of a project from some place on.
#[derive(Debug)]
pub struct Follower {
    dir: PathBuf,
    end: u64,
    at: Option<Cursor>,
}

impl Follower {
    /// From `since` on; without, from the first change that is kept.
    pub fn new(places: &Places, project: &Project, since: Option<Cursor>) -> Self {
        Self { dir: places.copies(project).feed(), end: END, at: since }
    }

    /// From now on.
    pub fn from_now(places: &Places, project: &Project) -> Result<Self> {
        let mut follower = Self::new(places, project, None);
        if let Some(file) = files(&follower.dir)?.pop() {
            let path = follower.dir.join(file.to_string());
            let offset = file::open(&path)?.and_then(|f| f.metadata().ok()).map_or(0, |m| m.len());
            follower.at = Some(Cursor { file, offset });
        }
        Ok(follower)
    }

    /// Where it is; `None` as long as there was nothing to read.
    pub fn cursor(&self) -> Option<&Cursor> {
        self.at.as_ref()
    }

    /// The changes since the last call, oldest first. A torn line is passed over.
    pub fn read(&mut self) -> Result<Vec<EventLine>> {
        let mut found = Vec::new();
        loop {
            // Looked for before the file is read: what is in a file that has a successor is all of it.
            let files = files(&self.dir)?;
            let Some(first) = files.first() else { return Ok(found) };
            let at = match self.at.take() {
                Some(at) if files.contains(&at.file) => at,
                before => {
                    let at = Cursor { file: first.clone(), offset: 0 };
                    if before.is_some() {
                        found.push(gap(&at));
                    }
                    at
                }
            };
            // Gone between two looks: the next one says what is lost.
            self.at = Some(at.clone());
            let Some((at, whole)) = self.read_file(at, &mut found)? else { continue };
            let next = files.iter().find(|file| file.feed == at.file.feed && file.n > at.file.n);
            match next {
                Some(next) if whole => {
                    let lost = next.n > at.file.n + 1;
                    let at = Cursor { file: next.clone(), offset: 0 };
                    if lost {
                        found.push(gap(&at));
                    }
                    self.at = Some(at);
                }
                _ => {
                    self.at = Some(at);
                    return Ok(found);
                }
            }
        }
    }

    /// Reads on in the file of `at`; where it is then, and whether the rest of the file was read. `None` if the file is gone.
    fn read_file(&self, mut at: Cursor, found: &mut Vec<EventLine>) -> Result<Option<(Cursor, bool)>> {
        let path = self.dir.join(at.file.to_string());
        let Some(mut file) = file::open(&path)? else { return Ok(None) };
        let mut bytes = Vec::new();
        let mut read = || -> io::Result<u64> {
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(at.offset))?;
            file.read_to_end(&mut bytes)?;
            Ok(length)
        };
        let length = read().map_err(|source| file::Error { action: "read", path, source })?;
        if length < at.offset {
            // Not the file that it was.
            at.offset = 0;
            found.push(gap(&at));
            return self.read_file(at, found);
        }
        for line in bytes.split_inclusive(|b| *b == b'\n') {
            // A last line without an end may still be being written.
            if line.last() != Some(&b'\n') {
                break;
            }
            // The line feed before a line is not a part of it, and where it lies decides whether the line counts.
            let counts = at.offset.saturating_sub(1) < self.end;
            at.offset += line.len() as u64;
            let change =
                journal::unframe(line).ok().and_then(|json| serde_json::from_slice::<Change>(json).ok());
            if let Some(Change { at: moment, kind, .. }) = change.filter(|_| counts) {
                found.push(EventLine { v: VERSION, cursor: at.clone(), at: moment, kind });
            }
        }
        Ok(Some((at, true)))
    }
}

fn gap(at: &Cursor) -> EventLine {
    EventLine { v: VERSION, cursor: at.clone(), at: clock::now(), kind: Kind::Gap }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::agent::State;
    use crate::model::ids::Party;
    use crate::model::mail::MailId;
    use std::fs;

    const SMALL: u64 = 4096;

    struct World(tempfile::TempDir);

    impl World {
        fn dir(&self) -> PathBuf {
            self.0.path().join("p/feed")
        }

        fn feed(&self) -> Feed {
            fs::create_dir_all(self.0.path().join("p")).unwrap();
            Feed { dir: self.dir(), end: SMALL, open: Mutex::default() }
        }

        fn follower(&self, at: Option<&Cursor>) -> Follower {
            Follower { dir: self.dir(), end: SMALL, at: at.cloned() }
        }
    }

    fn world() -> World {
        World(tempfile::tempdir().unwrap())
    }

    fn message(from: usize, seq: u64) -> Kind {
        let inbox = Party::User;
        Kind::Message { inbox, seq, id: MailId(uuid::Uuid::nil()), from: format!("s{from}").parse().unwrap() }
    }

    /// The numbers that were said, by whom.
    fn said(lines: &[EventLine]) -> Vec<(String, u64)> {
        let said = lines.iter().map(|line| match &line.kind {
            Kind::Message { seq, from, .. } => (from.to_string(), *seq),
            other => panic!("{other:?}"),
        });
        said.collect()
    }

    #[test]
    fn many_write_and_a_follower_sees_each_line_once_over_all_files() {
        const WRITERS: usize = 4;
        const EACH: u64 = 20;
        for _ in 0..5 {
            let world = world();
            let seen = std::thread::scope(|scope| {
                for writer in 0..WRITERS {
                    let world = &world;
                    scope.spawn(move || {
                        let feed = world.feed();
                        for seq in 0..EACH {
                            feed.say(message(writer, seq)).unwrap();
                        }
                    });
                }
                let mut follower = world.follower(None);
                let mut seen = Vec::new();
                while seen.len() < WRITERS * usize::try_from(EACH).unwrap() {
                    seen.extend(follower.read().unwrap());
                    std::thread::yield_now();
                }
                assert!(follower.read().unwrap().is_empty());
                seen
            });
            let mut all = said(&seen);
            for writer in 0..WRITERS {
                let own = all.iter().filter(|(from, _)| *from == format!("s{writer}"));
                let own: Vec<u64> = own.map(|(_, seq)| *seq).collect();
                assert_eq!(own, (0..EACH).collect::<Vec<_>>());
            }
            all.dedup();
            assert_eq!(all.len(), seen.len());
            let files = files(&world.dir()).unwrap();
            assert!(files.len() > 2, "there were several: {files:?}");
            assert!(files.iter().all(|f| f.feed == files[0].feed), "one feed");
            // From any place on, the rest.
            for (n, line) in seen.iter().enumerate() {
                let rest = world.follower(Some(&line.cursor)).read().unwrap();
                assert_eq!(rest, seen[n + 1..], "{}", line.cursor);
            }
        }
    }

    #[test]
    fn a_torn_line_spoils_no_other() {
        let world = world();
        let feed = world.feed();
        feed.say(message(1, 1)).unwrap();
        let path = world.dir().join(files(&world.dir()).unwrap()[0].to_string());
        let tear = |text: &str| {
            let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        let mut follower = world.follower(None);
        assert_eq!(said(&follower.read().unwrap()), [("s1".to_owned(), 1)]);
        tear("\n0123abcd {\"v\":1,\"at");
        assert!(follower.read().unwrap().is_empty());
        feed.say(message(1, 2)).unwrap();
        tear("\n00000000 {\"v\":1}\n");
        world.feed().say(message(1, 3)).unwrap();
        assert_eq!(said(&follower.read().unwrap()), [("s1".to_owned(), 2), ("s1".to_owned(), 3)]);
    }

    #[test]
    fn only_the_last_files_are_kept_and_who_comes_from_before_is_told_of_a_gap() {
        let world = world();
        let feed = world.feed();
        let mut lost = world.follower(None);
        feed.say(message(1, 0)).unwrap();
        let first = lost.read().unwrap().remove(0).cursor;
        for seq in 1..200 {
            feed.say(message(1, seq)).unwrap();
        }
        let files = files(&world.dir()).unwrap();
        assert_eq!(files.len(), usize::try_from(KEPT).unwrap(), "{files:?}");
        for mut follower in [lost, world.follower(Some(&first))] {
            let lines = follower.read().unwrap();
            assert_eq!(lines[0].kind, Kind::Gap);
            let rest = said(&lines[1..]);
            assert_eq!(rest.last().unwrap().1, 199);
            assert!(rest.windows(2).all(|w| w[0].1 + 1 == w[1].1));
            assert_eq!(world.follower(Some(&lines[0].cursor)).read().unwrap(), lines[1..]);
        }
        assert_eq!(world.follower(None).read().unwrap()[0].kind, message(1, 200 - count(&world)), "no gap");
    }

    fn count(world: &World) -> u64 {
        world.follower(None).read().unwrap().len() as u64
    }

    #[test]
    fn after_a_wipe_it_is_another_feed() {
        let world = world();
        let feed = world.feed();
        let mut follower = world.follower(None);
        feed.say(message(1, 1)).unwrap();
        let cursor = follower.read().unwrap()[0].cursor.clone();
        fs::remove_dir_all(world.dir()).unwrap();
        assert!(follower.read().unwrap().is_empty(), "nothing is known yet");
        let agent = Kind::Agent { session: "fix".parse().unwrap(), state: State::Done };
        feed.say(agent.clone()).unwrap();
        for mut follower in [follower, world.follower(Some(&cursor))] {
            let lines = follower.read().unwrap();
            assert_eq!(lines.iter().map(|l| &l.kind).collect::<Vec<_>>(), [&Kind::Gap, &agent]);
            assert_ne!(lines[1].cursor.file.feed, cursor.file.feed);
        }
        // A cursor that lies behind what is there is of another file of that name.
        let beyond = Cursor { offset: 1 << 30, ..world.follower(None).read().unwrap()[0].cursor.clone() };
        assert_eq!(world.follower(Some(&beyond)).read().unwrap()[0].kind, Kind::Gap);
    }

    #[test]
    fn of_many_who_begin_a_feed_one_does() {
        for _ in 0..20 {
            let world = world();
            std::thread::scope(|scope| {
                for writer in 0..8 {
                    let feed = world.feed();
                    scope.spawn(move || feed.say(message(writer, 1)).unwrap());
                }
            });
            assert_eq!(count(&world), 8);
            let beside = fs::read_dir(world.0.path().join("p")).unwrap().count();
            assert_eq!(beside, 1, "nothing is left beside it");
        }
    }
}
