//! Reservations of files: from their journal to who holds what, and what may be reserved beside it.

use super::glob::{matches, overlap};
use super::refusal::{Refusal, Taken};
use crate::model::glob::Glob;
use crate::model::ids::Party;
use crate::model::reservation::{Crossed, Reservation, ReservationEntry, ReservationRecord, Term, VERSION};
use std::collections::BTreeMap;

/// The most patterns of one call.
pub const GLOBS_MAX: usize = 256;
/// The most that the patterns of one holder may come to, so that comparing takes no time worth mentioning.
pub const SIZE_MAX: usize = 16 << 10;
/// The most reservations of others that are put on record with an attempt that changed some of their files.
pub const CROSSED_MAX: usize = 100;
/// The most bytes of a reason.
pub const WHY_MAX: usize = 1000;

/// Who reserved what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Book {
    /// Everything that was not given back, whether it still holds or not; one for each holder and pattern.
    pub all: BTreeMap<(Party, Glob), Reservation>,
    /// The number of the last record.
    pub rev: u64,
    /// Whether a later version of this program has written in it.
    pub newer: bool,
}

/// The book that `records` are.
pub fn fold(records: &[ReservationRecord]) -> Book {
    let mut book = Book::default();
    for record in records {
        book.rev = book.rev.max(record.rev);
        book.newer |= record.v > VERSION;
        match &record.entry {
            ReservationEntry::Reserved { globs, why, exclusive, term } => {
                for glob in globs {
                    let reservation = Reservation {
                        by: record.by.clone(),
                        glob: glob.clone(),
                        why: why.clone(),
                        exclusive: *exclusive,
                        since: record.at,
                        term: term.clone(),
                        rev: record.rev,
                    };
                    book.all.insert((record.by.clone(), glob.clone()), reservation);
                }
            }
            ReservationEntry::Released { globs } => {
                for glob in globs {
                    book.all.remove(&(record.by.clone(), glob.clone()));
                }
            }
            ReservationEntry::Quarantined { .. } | ReservationEntry::Unknown => {}
        }
    }
    book
}

/// The record that the operation `op` by `by` is, if it was done: the last one, where it was done again because its time was over.
pub fn done<'r>(records: &'r [ReservationRecord], by: &Party, op: &str) -> Option<&'r ReservationRecord> {
    records.iter().rfind(|record| record.by == *by && record.op.as_deref() == Some(op))
}

/// Whether a reservation still holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Not any more.
    No,
    /// For now.
    Yes,
    /// As long as this process lives and has the lock of the name.
    While(i32),
}

/// Whether a reservation of this term holds at `now`, in milliseconds since `boot`.
pub fn holds(term: &Term, boot: &str, now: u64) -> Holds {
    if term.boot != boot || term.lease.as_ref().is_some_and(|lease| lease.deadline < now) {
        return Holds::No;
    }
    match (term.pid, &term.lease) {
        (Some(pid), _) => Holds::While(pid),
        (None, Some(_)) => Holds::Yes,
        (None, None) => Holds::No,
    }
}

/// What somebody wants to reserve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Which files.
    pub globs: Vec<Glob>,
    /// What for.
    pub why: Option<String>,
    /// Whether nobody else may reserve any of them.
    pub exclusive: bool,
}

/// What others hold of the files that `by` wants, if `by` may have them as well. `live` is all that still holds.
pub fn decide<'l>(
    live: &[&'l Reservation],
    by: &Party,
    wish: &Wish,
) -> Result<Vec<&'l Reservation>, Refusal> {
    check(live, by, wish)?;
    let others = overlapping(live, by, &wish.globs);
    let against = |theirs: &&&Reservation| wish.exclusive || theirs.exclusive;
    // An exclusive one first: it stays in the way whatever is asked.
    let mut taken: Vec<&Reservation> = others.iter().filter(against).copied().collect();
    taken.sort_by_key(|theirs| !theirs.exclusive);
    let Some(first) = taken.first() else { return Ok(others) };
    Err(Refusal::Reserved(Box::new(Taken {
        wanted: wish.globs.iter().find(|glob| overlap(glob, &first.glob)).unwrap_or(&first.glob).clone(),
        holder: first.by.clone(),
        glob: first.glob.clone(),
        exclusive: first.exclusive,
        until: first.term.lease.as_ref().map(|lease| lease.until),
        more: taken.len() - 1,
    })))
}

/// What others than `by` hold of files that `globs` mean.
pub fn overlapping<'l>(live: &[&'l Reservation], by: &Party, globs: &[Glob]) -> Vec<&'l Reservation> {
    let theirs = live.iter().filter(|theirs| theirs.by != *by);
    theirs.filter(|theirs| globs.iter().any(|glob| overlap(glob, &theirs.glob))).copied().collect()
}

/// What `theirs` have of the files at `paths`: each of theirs that any of these is of, up to [`CROSSED_MAX`].
pub fn crossed(theirs: &[Reservation], paths: &[String]) -> Vec<Crossed> {
    let of = |one: &Reservation| {
        let mut within = paths.iter().filter(|path| matches(&one.glob, path));
        let path = within.next()?.clone();
        Some(Crossed {
            path,
            more: u32::try_from(within.count()).unwrap_or(u32::MAX),
            by: one.by.clone(),
            glob: one.glob.clone(),
            exclusive: one.exclusive,
            why: one.why.clone(),
        })
    };
    theirs.iter().filter_map(of).take(CROSSED_MAX).collect()
}

fn check(live: &[&Reservation], by: &Party, wish: &Wish) -> Result<(), Refusal> {
    let bad = |why: String| Err(Refusal::BadParts { why });
    if wish.globs.is_empty() {
        return bad("no files are named".to_owned());
    }
    if wish.globs.len() > GLOBS_MAX {
        return bad(format!("{} patterns are named, and {GLOBS_MAX} is the limit", wish.globs.len()));
    }
    if wish.why.as_ref().is_some_and(|why| why.len() > WHY_MAX) {
        return bad(format!("the reason has more than {WHY_MAX} bytes"));
    }
    let kept = live.iter().filter(|own| own.by == *by && !wish.globs.contains(&own.glob));
    let size: usize = wish.globs.iter().chain(kept.map(|own| &own.glob)).map(Glob::size).sum();
    if size > SIZE_MAX {
        return bad(format!(
            "the patterns of '{by}' come to {size} characters, their alternatives counted, and {SIZE_MAX} is the limit"
        ));
    }
    Ok(())
}

/// What `by` gives back of what it holds: `globs`, or everything if none are named.
pub fn released(live: &[&Reservation], by: &Party, globs: &[Glob]) -> Vec<Glob> {
    let own = live.iter().filter(|own| own.by == *by).map(|own| &own.glob);
    own.filter(|glob| globs.is_empty() || globs.contains(glob)).cloned().collect()
}

/// The records that tell the same as `records` about what is `live`; the last `recent` of them stay, to know their operations again.
pub fn compact(
    records: Vec<ReservationRecord>,
    live: &[&Reservation],
    recent: usize,
) -> Vec<ReservationRecord> {
    let old = records.len().saturating_sub(recent);
    let mut kept = Vec::new();
    for (n, mut record) in records.into_iter().enumerate() {
        if n < old {
            let ReservationEntry::Reserved { globs, .. } = &mut record.entry else { continue };
            globs.retain(|glob| {
                live.iter().any(|one| one.rev == record.rev && one.by == record.by && one.glob == *glob)
            });
            if globs.is_empty() {
                continue;
            }
        }
        kept.push(record);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::Moment;
    use crate::model::reservation::Lease;
    use proptest::prelude::*;

    fn glob(text: &str) -> Glob {
        text.parse().unwrap()
    }

    fn moment() -> Moment {
        Moment("2026-11-20T10:00:00Z".parse().unwrap())
    }

    fn term() -> Term {
        Term { boot: "b".into(), pid: None, lease: Some(Lease { deadline: 1000, until: moment() }) }
    }

    fn record(rev: u64, by: &str, entry: ReservationEntry) -> ReservationRecord {
        ReservationRecord { v: VERSION, rev, at: moment(), op: None, by: by.parse().unwrap(), entry }
    }

    fn reserved(globs: &[&str], exclusive: bool) -> ReservationEntry {
        let globs = globs.iter().map(|text| glob(text)).collect();
        ReservationEntry::Reserved { globs, why: None, exclusive, term: term() }
    }

    fn released_entry(globs: &[&str]) -> ReservationEntry {
        ReservationEntry::Released { globs: globs.iter().map(|text| glob(text)).collect() }
    }

    fn held(book: &Book) -> Vec<String> {
        book.all
            .values()
            .map(|one| format!("{} {}{}", one.by, one.glob, if one.exclusive { " !" } else { "" }))
            .collect()
    }

    #[test]
    fn the_last_word_on_a_pattern_counts() {
        let book = fold(&[
            record(1, "a", reserved(&["x", "y"], false)),
            record(2, "b", reserved(&["x"], false)),
            record(3, "a", reserved(&["x"], true)),
            record(4, "a", released_entry(&["y", "never"])),
            record(5, "c", released_entry(&["x"])),
        ]);
        assert_eq!(held(&book), ["a x !", "b x"]);
        assert_eq!((book.rev, book.newer), (5, false));
        assert_eq!(book.all.values().next().unwrap().rev, 3);
        let mut later = record(6, "a", ReservationEntry::Unknown);
        later.v = VERSION + 1;
        assert!(fold(&[later]).newer);
    }

    #[test]
    fn a_reservation_holds_as_long_as_its_term_says() {
        let at = |pid, lease: Option<u64>, boot: &str, now| {
            let lease = lease.map(|deadline| Lease { deadline, until: moment() });
            holds(&Term { boot: "b".into(), pid, lease }, boot, now)
        };
        assert_eq!(at(None, Some(10), "b", 10), Holds::Yes);
        assert_eq!(at(None, Some(10), "b", 11), Holds::No);
        assert_eq!(at(None, Some(10), "c", 0), Holds::No);
        assert_eq!(at(None, None, "b", 0), Holds::No);
        assert_eq!(at(Some(7), None, "b", u64::MAX), Holds::While(7));
        assert_eq!(at(Some(7), Some(10), "b", 10), Holds::While(7));
        assert_eq!(at(Some(7), Some(10), "b", 11), Holds::No);
        assert_eq!(at(Some(7), None, "c", 0), Holds::No);
    }

    #[test]
    fn others_are_warned_of_and_an_exclusive_one_stands_alone() {
        let book = fold(&[
            record(1, "a", reserved(&["src/parser"], false)),
            record(2, "b", reserved(&["docs/**"], true)),
        ]);
        let live: Vec<&Reservation> = book.all.values().collect();
        let wish = |globs: &[&str], exclusive| Wish {
            globs: globs.iter().map(|text| glob(text)).collect(),
            why: None,
            exclusive,
        };
        let ask = |by: &str, globs: &[&str], exclusive| {
            decide(&live, &by.parse().unwrap(), &wish(globs, exclusive))
        };
        let names =
            |others: Vec<&Reservation>| others.iter().map(|one| one.by.to_string()).collect::<Vec<_>>();
        assert_eq!(names(ask("c", &["src/*/lex.rs"], false).unwrap()), ["a"]);
        assert!(ask("c", &["src/main.rs"], true).unwrap().is_empty());
        assert!(ask("a", &["src/parser"], true).unwrap().is_empty(), "its own is in nobody's way");
        for (by, globs, exclusive, holder, more) in [
            ("c", &["src/parser/lex.rs"][..], true, "a", 0),
            ("c", &["tests", "docs/x"], false, "b", 0),
            ("a", &["**/*.md"], false, "b", 0),
            ("c", &["**"], true, "b", 1),
        ] {
            let Err(Refusal::Reserved(taken)) = ask(by, globs, exclusive) else { panic!("{by} {globs:?}") };
            assert_eq!((taken.holder.as_str(), taken.more), (holder, more), "{taken:?}");
            assert!(globs.contains(&taken.wanted.as_str()) && overlap(&taken.wanted, &taken.glob));
        }
        assert!(matches!(ask("c", &[], false), Err(Refusal::BadParts { .. })));
        let long = "x".repeat(200);
        let many: Vec<String> = (0..100).map(|n| format!("{n}{long}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(matches!(ask("c", &many, false), Err(Refusal::BadParts { .. })));
    }

    fn entry() -> impl Strategy<Value = ReservationEntry> {
        let globs = prop::collection::vec(prop::sample::select(vec!["a", "b", "c", "a/*"]), 1..3);
        (globs, any::<bool>(), any::<bool>()).prop_map(|(globs, release, exclusive)| {
            if release { released_entry(&globs) } else { reserved(&globs, exclusive) }
        })
    }

    proptest! {
        #[test]
        fn a_compacted_journal_tells_the_same_of_what_is_live(
            entries in prop::collection::vec((prop::sample::select(vec!["x", "y"]), entry()), 0..12),
            recent in 0usize..8,
            gone in any::<bool>(),
        ) {
            let records: Vec<_> =
                (1..).zip(entries).map(|(rev, (by, entry))| record(rev, by, entry)).collect();
            let book = fold(&records);
            // Everything of one of the two may be over.
            let is_live = |one: &&Reservation| !(gone && one.by.as_str() == "x");
            let live: Vec<&Reservation> = book.all.values().filter(is_live).collect();
            let again = fold(&compact(records, &live, recent));
            prop_assert_eq!(again.all.values().filter(is_live).collect::<Vec<_>>(), live);
        }

        #[test]
        fn two_who_were_both_allowed_never_meet_in_an_exclusive_one(
            asked in prop::collection::vec(
                (prop::sample::select(vec!["x", "y", "z"]),
                 prop::sample::select(vec!["a", "a/b", "a/*", "**/b", "c", "{a,c}/d"]), any::<bool>()),
                1..20,
            ),
        ) {
            let mut records = Vec::new();
            for (by, text, exclusive) in asked {
                let book = fold(&records);
                let live: Vec<&Reservation> = book.all.values().collect();
                let wish = Wish { globs: vec![glob(text)], why: None, exclusive };
                if decide(&live, &by.parse().unwrap(), &wish).is_ok() {
                    records.push(record(book.rev + 1, by, reserved(&[text], exclusive)));
                }
            }
            let book = fold(&records);
            for one in book.all.values().filter(|one| one.exclusive) {
                for other in book.all.values().filter(|other| other.by != one.by) {
                    prop_assert!(!overlap(&one.glob, &other.glob), "{:?} {:?}", one, other);
                }
            }
        }
    }
}
