//! The files of a repository that somebody reserved.
//!
//! One journal for each repository is the truth and its own lock; an append is what happens, and there is no copy: it is small, and who
//! wants to be woken follows the feed. Nothing is written when a reservation ends with its holder or its lease; whoever reads
//! asks whether the holder lives, as for claims of tasks.

use super::feed::Feed;
use super::tasks::By;
use super::{Error, Result, worker};
use crate::model::feed::Kind;
use crate::model::glob::Glob;
use crate::model::ids::{Moment, Party, Project};
use crate::model::places::Places;
use crate::model::reservation::{Lease, Reservation, ReservationEntry, ReservationRecord, Term, VERSION};
use crate::rules::refusal::Refusal;
use crate::rules::reservations::{self as rules, Book, Holds, Wish};
use crate::rules::work;
use crate::tools::journal::{self, Shared};
use crate::tools::{clock, file, lock, process};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long one who holds the journal is waited for: each does so for a small write and a sync.
const LIMIT: Duration = Duration::from_secs(10);
/// How long a reservation without a process holds if nothing else is said.
pub const LEASE: Duration = Duration::from_hours(1);
/// A journal of more bytes is written anew.
const FULL: u64 = 256 << 10;
/// How many records stay when it is, to know their operations again.
const RECENT: usize = 100;

/// The reservations of one repository.
#[derive(Debug)]
pub struct Reservations {
    places: Places,
    project: Project,
    path: PathBuf,
    boot: String,
    feed: Feed,
}

/// What came of a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// What its holder has by it.
    pub own: Vec<Reservation>,
    /// What others have of the same files.
    pub others: Vec<Reservation>,
}

impl Reservations {
    /// The reservations of `project`.
    pub fn open(places: &Places, project: &Project) -> Result<Self> {
        Ok(Self {
            places: places.clone(),
            project: project.clone(),
            path: places.reservations(project),
            boot: process::boot()?,
            feed: Feed::new(places, project),
        })
    }

    /// Reserves what `wish` says for `by`, which lives as long as the process `pid` holds the lock of its name, and until `lease` is
    /// over; without both for an hour. It survives a power cut when this returns. Asked again, it is renewed.
    ///
    /// # Errors
    /// [`Refusal::Reserved`] if somebody is in the way; [`Refusal::BadParts`].
    pub fn reserve(
        &self,
        by: &By,
        pid: Option<i32>,
        lease: Option<Duration>,
        wish: &Wish,
    ) -> Result<Granted> {
        let journal = self.enter(by)?;
        let book = rules::fold(journal.records());
        let live = self.live(&book)?;
        let (globs, others, entry) = match done(&journal, by) {
            Some(ReservationEntry::Reserved { globs, term, .. }) if self.holds(&by.name, term)? => {
                (globs.clone(), rules::overlapping(&live, &by.name, globs), None)
            }
            // Not done, or by somebody who was gone since and does it again: nothing of it holds any more.
            None | Some(ReservationEntry::Reserved { .. }) => {
                may_change(&book)?;
                let others = rules::decide(&live, &by.name, wish)?;
                let Wish { globs, why, exclusive } = wish.clone();
                let term = self.term(pid, lease);
                (globs.clone(), others, Some(ReservationEntry::Reserved { globs, why, exclusive, term }))
            }
            Some(_) => return Err(another(by)),
        };
        let others = others.into_iter().cloned().collect();
        let book = self.write(journal, &book, by, entry)?;
        let own = globs.into_iter().filter_map(|glob| book.all.get(&(by.name.clone(), glob)).cloned());
        Ok(Granted { own: own.collect(), others })
    }

    /// Gives back what `by` has of `globs`, or everything if none are named; what that was.
    pub fn release(&self, by: &By, globs: &[Glob]) -> Result<Vec<Glob>> {
        if file::ownership(&self.path)?.is_none() {
            return Ok(Vec::new());
        }
        let journal = self.enter(by)?;
        let book = rules::fold(journal.records());
        let (globs, entry) = match done(&journal, by) {
            Some(ReservationEntry::Released { globs }) => (globs.clone(), None),
            Some(_) => return Err(another(by)),
            None => {
                may_change(&book)?;
                let globs = rules::released(&self.live(&book)?, &by.name, globs);
                let entry = ReservationEntry::Released { globs: globs.clone() };
                (globs, Some(entry))
            }
        };
        if !globs.is_empty() {
            self.write(journal, &book, by, entry)?;
        }
        Ok(globs)
    }

    /// All that is reserved now, by name and pattern.
    pub fn list(&self) -> Result<Vec<Reservation>> {
        let contents = journal::read::<ReservationRecord>(&self.path)?;
        let book = rules::fold(&contents.map(|contents| contents.records).unwrap_or_default());
        Ok(self.live(&book)?.into_iter().cloned().collect())
    }

    /// All that others than `by` have reserved now.
    pub fn of_others(&self, by: &Party) -> Result<Vec<Reservation>> {
        let mut all = self.list()?;
        all.retain(|theirs| theirs.by != *by);
        Ok(all)
    }

    /// Puts the damaged journal aside, and everything of it that can still be believed in its place; where the old one is. `None` if
    /// it is not damaged.
    pub fn quarantine(&self, by: &Party) -> Result<Option<PathBuf>> {
        let Err(error) = Shared::<ReservationRecord>::open(&self.path, LIMIT) else { return Ok(None) };
        if !error.is_damage() {
            return Err(error.into());
        }
        // Something that is no file cannot be locked, and nobody else can write to it either.
        let guard = lock::guard(&self.path, LIMIT);
        let mut records = journal::salvage::<ReservationRecord>(&self.path)?;
        let kept = file::put_aside(&self.path)?;
        let rev = rules::fold(&records).rev + 1;
        let entry = ReservationEntry::Quarantined {
            why: error.to_string(),
            kept: kept.to_string_lossy().into_owned(),
        };
        records.push(ReservationRecord {
            v: VERSION,
            rev,
            at: clock::now(),
            op: None,
            by: by.clone(),
            entry,
        });
        journal::rewrite(&self.path, &records)?;
        drop(guard);
        Ok(Some(kept))
    }

    /// The journal, made if it is not there, with its lock.
    fn enter(&self, by: &By) -> Result<Shared<ReservationRecord>> {
        if let Some(op) = &by.op {
            work::operation(op)?;
        }
        match Shared::open(&self.path, LIMIT) {
            Err(error) if error.code() == "file_not_found" => {
                let dir = self.path.parent().unwrap_or(Path::new("."));
                file::make_dirs(dir)?;
                // What is on record is to be found again after a power cut.
                dir.parent().map_or(Ok(()), file::sync_dir)?;
                Ok(Shared::open(&self.path, LIMIT)?)
            }
            opened => Ok(opened?),
        }
    }

    /// Appends `entry`, if there is one, and makes all of the journal, which `book` is, survive a power cut.
    fn write(
        &self,
        mut journal: Shared<ReservationRecord>,
        book: &Book,
        by: &By,
        entry: Option<ReservationEntry>,
    ) -> Result<Book> {
        if let Some(entry) = entry {
            let (op, by) = (by.op.clone(), by.name.clone());
            let (rev, at) = (book.rev + 1, clock::now());
            journal.append(ReservationRecord { v: VERSION, rev, at, op, by, entry })?;
        }
        journal.sync()?;
        let book = rules::fold(journal.records());
        if journal.length() > FULL
            && let Err(error) = self.shorten(&journal, &book)
        {
            tracing::warn!(%error, "the journal of reservations could not be written anew");
        }
        // Of an operation that was done before as well: who did it may have been killed before saying so.
        if let Some(last) = journal.records().iter().rfind(|record| record.by == by.name) {
            let released = matches!(last.entry, ReservationEntry::Released { .. });
            self.feed.try_say(Kind::Reservation { by: last.by.clone(), rev: last.rev, released });
        }
        Ok(book)
    }

    /// Writes the journal, whose lock we have, anew without what is over.
    fn shorten(&self, journal: &Shared<ReservationRecord>, book: &Book) -> Result<()> {
        let live = self.live(book)?;
        let records = rules::compact(journal.records().to_vec(), &live, RECENT);
        Ok(journal::rewrite(&self.path, &records)?)
    }

    fn term(&self, pid: Option<i32>, lease: Option<Duration>) -> Term {
        let lease = lease.or(if pid.is_none() { Some(LEASE) } else { None }).map(|lease| {
            let now = clock::now();
            Lease {
                deadline: clock::boot_millis()
                    .saturating_add(u64::try_from(lease.as_millis()).unwrap_or(u64::MAX)),
                until: now.0.checked_add(lease).map_or(now, Moment),
            }
        });
        Term { boot: self.boot.clone(), pid, lease }
    }

    /// What of `book` still holds.
    fn live<'b>(&self, book: &'b Book) -> Result<Vec<&'b Reservation>> {
        // Asked once for each, however much it holds.
        let mut known: BTreeMap<(&Party, i32), bool> = BTreeMap::new();
        let mut live = Vec::new();
        for one in book.all.values() {
            let holds = match rules::holds(&one.term, &self.boot, clock::boot_millis()) {
                Holds::No => false,
                Holds::Yes => true,
                Holds::While(pid) => match known.entry((&one.by, pid)) {
                    Entry::Occupied(told) => *told.get(),
                    Entry::Vacant(new) => *new.insert(self.lives(&one.by, pid)?),
                },
            };
            if holds {
                live.push(one);
            }
        }
        Ok(live)
    }

    /// Whether what `by` has reserved for `term` still holds, unless it gave it back.
    fn holds(&self, by: &Party, term: &Term) -> Result<bool> {
        match rules::holds(term, &self.boot, clock::boot_millis()) {
            Holds::No => Ok(false),
            Holds::Yes => Ok(true),
            Holds::While(pid) => self.lives(by, pid),
        }
    }

    fn lives(&self, by: &Party, pid: i32) -> Result<bool> {
        worker::lives(&self.places, &self.project, by, pid)
    }
}

/// What the operation of `by` was, if it was done.
fn done<'j>(journal: &'j Shared<ReservationRecord>, by: &By) -> Option<&'j ReservationEntry> {
    rules::done(journal.records(), &by.name, by.op.as_deref()?).map(|record| &record.entry)
}

fn another(by: &By) -> Error {
    let op = by.op.clone().unwrap_or_default();
    Refusal::BadParts { why: format!("the operation '{op}' of '{}' was another one", by.name) }.into()
}

fn may_change(book: &Book) -> Result<()> {
    if book.newer { Err(Refusal::NewerReservations.into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::a2a::worker::Worker;

    struct World(tempfile::TempDir);

    impl World {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn places(&self) -> Places {
            let at = |name: &str| self.0.path().join(name);
            Places { root: at("root"), state: at("state"), data: at("data"), config: at("config") }
        }

        fn open(&self) -> Reservations {
            Reservations::open(&self.places(), &project()).unwrap()
        }
    }

    fn project() -> Project {
        Project("p-1".to_owned())
    }

    fn by(name: &str) -> By {
        By::from(name.parse::<Party>().unwrap())
    }

    fn wish(globs: &[&str], exclusive: bool) -> Wish {
        let globs = globs.iter().map(|text| text.parse().unwrap()).collect();
        Wish { globs, why: None, exclusive }
    }

    fn held(reservations: &Reservations) -> Vec<String> {
        reservations.list().unwrap().iter().map(|one| format!("{} {}", one.by, one.glob)).collect()
    }

    #[test]
    fn of_two_who_want_the_same_alone_one_gets_it() {
        let world = World::new();
        let won: Vec<Vec<bool>> = std::thread::scope(|scope| {
            let asking: Vec<_> = ["a", "b", "c"]
                .map(|name| {
                    let world = &world;
                    scope.spawn(move || {
                        let mine = world.open();
                        let ask = |n: u32| match mine.reserve(
                            &by(name),
                            None,
                            None,
                            &wish(&[&format!("{n}/*")], true),
                        ) {
                            Ok(_) => true,
                            Err(Error::Refused(Refusal::Reserved(_))) => false,
                            Err(error) => panic!("{error}"),
                        };
                        (0..50).map(ask).collect()
                    })
                })
                .into_iter()
                .collect();
            asking.into_iter().map(|one| one.join().unwrap()).collect()
        });
        for n in 0..50 {
            assert_eq!(won.iter().filter(|won| won[n]).count(), 1, "{n}");
        }
        assert_eq!(held(&world.open()).len(), 50);
    }

    #[test]
    fn it_ends_with_the_lease_the_holder_or_the_boot() {
        let world = World::new();
        let mine = world.open();
        let worker = Worker::begin(&world.places(), &project(), &"w".parse().unwrap()).unwrap();
        mine.reserve(&by("w"), Some(Worker::pid()), None, &wish(&["lives"], true)).unwrap();
        mine.reserve(&by("user"), None, Some(Duration::ZERO), &wish(&["short"], true)).unwrap();
        mine.reserve(&by("user"), None, None, &wish(&["long"], false)).unwrap();
        while held(&mine).len() > 2 {
            std::thread::yield_now();
        }
        assert_eq!(held(&mine), ["user long", "w lives"]);
        mine.reserve(&by("b"), None, None, &wish(&["short"], true)).unwrap();
        assert!(mine.reserve(&by("b"), None, None, &wish(&["lives"], false)).is_err());
        drop(worker);
        mine.reserve(&by("b"), None, None, &wish(&["lives"], false)).unwrap();
        let booted = Reservations { boot: "another".to_owned(), ..world.open() };
        assert!(held(&booted).is_empty());
    }

    #[test]
    fn the_same_operation_is_done_once_and_answers_as_it_did() {
        let world = World::new();
        let mine = world.open();
        let op = |name: &str, op: &str| By { op: Some(op.to_owned()), ..by(name) };
        assert!(mine.release(&by("a"), &[]).unwrap().is_empty());
        let first = mine.reserve(&op("a", "1"), None, None, &wish(&["x", "y"], true)).unwrap();
        let again = mine.reserve(&op("a", "1"), None, None, &wish(&["x", "y"], true)).unwrap();
        assert_eq!(first, again);
        assert!(
            mine.reserve(&op("b", "1"), None, None, &wish(&["x"], false)).is_err(),
            "another's operation"
        );
        let gone = mine.release(&op("a", "2"), &["x".parse().unwrap(), "z".parse().unwrap()]).unwrap();
        assert_eq!(gone.iter().map(Glob::as_str).collect::<Vec<_>>(), ["x"]);
        assert_eq!(mine.release(&op("a", "2"), &[]).unwrap(), gone);
        assert_eq!(held(&mine), ["a y"]);
        assert!(mine.release(&op("a", "1"), &[]).is_err());
        assert_eq!(mine.release(&by("a"), &[]).unwrap().len(), 1);
        assert!(held(&mine).is_empty());
    }

    #[test]
    fn a_long_journal_is_written_anew_and_tells_the_same() {
        let world = World::new();
        let mine = world.open();
        mine.reserve(&by("a"), None, None, &wish(&["stays"], true)).unwrap();
        let length = || std::fs::metadata(&mine.path).unwrap().len();
        let long = Wish { why: Some("x".repeat(1000)), ..wish(&["again"], false) };
        let mut before = 0;
        while length() > before {
            before = length();
            mine.reserve(&by("b"), None, None, &long).unwrap();
        }
        assert!(before > FULL - 2000 && length() < FULL / 2 + 2000, "{before} {}", length());
        assert_eq!(held(&mine), ["a stays", "b again"]);
        assert!(mine.reserve(&by("b"), None, None, &wish(&["stays"], false)).is_err());
    }

    #[test]
    fn a_torn_end_is_cut_off_and_damage_is_put_aside() {
        let world = World::new();
        let mine = world.open();
        for glob in ["one", "two", "three"] {
            mine.reserve(&by("a"), None, None, &wish(&[glob], true)).unwrap();
        }
        let text = std::fs::read_to_string(&mine.path).unwrap();
        std::fs::write(&mine.path, &text[..text.len() - 5]).unwrap();
        assert_eq!(held(&mine), ["a one", "a two"]);
        mine.reserve(&by("b"), None, None, &wish(&["three"], true)).unwrap();
        assert!(mine.quarantine(&Party::User).unwrap().is_none(), "it is whole");
        std::fs::write(&mine.path, text.replacen("two", "TWO", 1)).unwrap();
        assert_eq!(mine.list().unwrap_err().code(), "damaged");
        let kept = mine.quarantine(&Party::User).unwrap().unwrap();
        assert!(std::fs::read_to_string(kept).unwrap().contains("TWO"));
        assert_eq!(held(&mine), ["a one", "a three"]);
        // Whatever stands in its place.
        std::fs::remove_file(&mine.path).unwrap();
        std::fs::create_dir(&mine.path).unwrap();
        assert!(mine.reserve(&by("b"), None, None, &wish(&["x"], true)).unwrap_err().is_damage());
        assert!(mine.quarantine(&Party::User).unwrap().is_some());
        mine.reserve(&by("b"), None, None, &wish(&["x"], true)).unwrap();
    }

    #[test]
    fn what_a_newer_program_wrote_is_passed_over_and_not_added_to() {
        let world = World::new();
        let mine = world.open();
        mine.reserve(&by("a"), None, None, &wish(&["one"], true)).unwrap();
        let newer = serde_json::json!({"v": 2, "rev": 2, "at": clock::now(), "by": "b", "entry": "lent"});
        let mut journal = std::fs::read(&mine.path).unwrap();
        journal.extend(journal::frame(&newer).unwrap());
        std::fs::write(&mine.path, journal).unwrap();
        assert_eq!(held(&mine), ["a one"]);
        let error = mine.reserve(&by("a"), None, None, &wish(&["two"], true)).unwrap_err();
        assert_eq!(error.code(), "newer_record");
    }
}
