//! Dying over reservations: a process that reserves, gives back or mends dies at each of its crash points and system calls, or
//! meets a full or broken disk there. What it told somebody must be true afterwards, nothing that others have is lost, no file is
//! anybody's alone and somebody else's as well, and doing it once more ends well.
//!
//! The process is this test program once more, with only [`actor`] run in it.

use crate::actor::{self, Actor, Death};
use crate::dice::Dice;
use crate::{option, syscalls};
use ai_orch::a2a::feed::Follower;
use ai_orch::a2a::reservations::Reservations;
use ai_orch::a2a::tasks::By;
use ai_orch::a2a::worker::Worker;
use ai_orch::model::feed::Kind;
use ai_orch::model::glob::Glob;
use ai_orch::model::ids::{Party, Project};
use ai_orch::model::places::Places;
use ai_orch::model::reservation::{Reservation, ReservationEntry, ReservationRecord};
use ai_orch::rules::glob::overlap;
use ai_orch::rules::reservations::{self as rules, Wish};
use ai_orch::tools::journal;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What can be done, and died over.
const ACTS: [&str; 10] =
    ["first", "reserve", "share", "again", "release", "everything", "taken", "torn", "full", "damaged"];
/// A reason, so long that a journal is soon to be written anew.
const LONG: usize = 1000;
const ACTOR: Actor = Actor { test: "reservations::actor", role: "reserve" };
/// What a journal holds that is to be written anew with the next record, in bytes.
const NEARLY: usize = (256 << 10) - 50;

/// A world of reservations.
struct World {
    dir: PathBuf,
}

impl World {
    fn places(&self) -> Places {
        let at = |name: &str| self.dir.join(name);
        Places { root: at("root"), state: at("state"), data: at("data"), config: at("config") }
    }

    fn project() -> Project {
        Project("p-1".to_owned())
    }

    fn open(&self) -> Reservations {
        Reservations::open(&self.places(), &Self::project()).unwrap()
    }

    fn journal(&self) -> PathBuf {
        self.places().reservations(&Self::project())
    }

    /// What is on record. A torn end is passed over.
    fn records(&self) -> Vec<ReservationRecord> {
        let read = journal::read::<ReservationRecord>(&self.journal()).unwrap();
        read.map(|contents| contents.records).unwrap_or_default()
    }

    fn copy_to(&self, dir: &Path) -> Self {
        let done = Command::new("cp").arg("-a").arg(&self.dir).arg(dir).status().unwrap();
        assert!(done.success());
        Self { dir: dir.to_owned() }
    }
}

fn by(name: &str, op: Option<&str>) -> By {
    By { name: name.parse::<Party>().unwrap(), op: op.map(str::to_owned) }
}

fn globs(texts: &[&str]) -> Vec<Glob> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn wish(texts: &[&str], exclusive: bool) -> Wish {
    Wish { globs: globs(texts), why: None, exclusive }
}

/// What two others have, one of them for itself alone; what `me` has, by the operation `mine`; and what one had who is gone.
fn prepared(dir: &Path) -> World {
    let world = World { dir: dir.to_owned() };
    let all = world.open();
    let worker = Worker::begin(&world.places(), &World::project(), &"gone".parse().unwrap()).unwrap();
    all.reserve(&by("gone", None), Some(Worker::pid()), None, &wish(&["lib/**"], true)).unwrap();
    drop(worker);
    all.reserve(&by("a", None), None, None, &wish(&["src/**"], true)).unwrap();
    all.reserve(&by("b", None), None, None, &wish(&["docs/*.md", "lib/b"], false)).unwrap();
    all.reserve(&by("me", Some("mine")), None, None, &wish(&["mine/1", "mine/2"], true)).unwrap();
    world
}

/// The world in which `act` is done.
fn stage(base: &World, act: &str, dir: &Path) -> World {
    if act == "first" {
        fs::create_dir_all(dir).unwrap();
        return World { dir: dir.to_owned() };
    }
    let world = base.copy_to(dir);
    let journal = world.journal();
    match act {
        "torn" => {
            // A release whose writer died over it.
            let entry = ReservationEntry::Released { globs: globs(&["src/**"]) };
            let last = world.records().pop().unwrap();
            let record = ReservationRecord { rev: last.rev + 1, entry, by: by("a", None).name, ..last };
            let line = journal::frame(&record).unwrap();
            let torn = [fs::read(&journal).unwrap(), line[..line.len() - 7].to_vec()].concat();
            fs::write(&journal, torn).unwrap();
        }
        "full" => fill(&world),
        "damaged" => {
            // A line of one that is gone, in the middle.
            let text = fs::read_to_string(&journal).unwrap();
            fs::write(&journal, text.replacen("lib/**", "LIB/**", 1)).unwrap();
        }
        _ => {}
    }
    world
}

/// Fills the journal, but for a few bytes.
fn fill(world: &World) {
    let say = |length: usize| {
        let wish = Wish { why: Some("x".repeat(length)), ..wish(&["once"], false) };
        world.open().reserve(&by("c", None), None, None, &wish).unwrap();
        usize::try_from(fs::metadata(world.journal()).unwrap().len()).unwrap()
    };
    let before = say(LONG);
    let mut now = say(LONG);
    let (whole, rest) = (now - before, now - before - LONG);
    while NEARLY - now > whole + rest {
        now = say(LONG);
    }
    if NEARLY - now > whole {
        now = say(LONG / 2);
    }
    say(NEARLY - now - rest);
}

/// Does `act`, and tells what came of it: `granted` or `released` and a pattern each, `taken`, or `failed` and why.
fn run(world: &World, act: &str) -> Vec<String> {
    let all = world.open();
    let words: Vec<&str> = act.split(' ').collect();
    let me = |op: &str| by("me", Some(op));
    let reserve = |by: &By, wish: &Wish| {
        all.reserve(by, None, None, wish).map(|granted| {
            let own: BTreeSet<&Glob> = granted.own.iter().map(|one| &one.glob).collect();
            own.into_iter().map(|glob| format!("granted {} {glob}", by.name)).collect::<Vec<_>>()
        })
    };
    let release = |by: &By, globs: &[Glob]| {
        all.release(by, globs)
            .map(|globs| globs.iter().map(|glob| format!("released {} {glob}", by.name)).collect::<Vec<_>>())
    };
    let done = match words.as_slice() {
        ["first" | "reserve" | "torn" | "full"] => reserve(&me(act), &wish(&["lib/x", "tests"], true)),
        ["share"] => reserve(&me(act), &wish(&["docs", "lib/b/*"], false)),
        // What it did before: it is answered as it was then.
        ["again"] => reserve(&me("mine"), &wish(&["mine/1", "mine/2"], true)),
        ["release"] => release(&me(act), &globs(&["mine/1"])),
        ["everything"] => release(&me(act), &[]),
        ["taken"] => reserve(&me(act), &wish(&["tests", "src/x"], false)),
        ["damaged"] => {
            let mended = all.quarantine(&by("user", None).name);
            mended.and_then(|_| reserve(&me(act), &wish(&["tests"], true)))
        }
        ["taker", name, seed] => return take(&all, name, seed.parse().unwrap()),
        other => panic!("what is {other:?}?"),
    };
    match done {
        Ok(lines) => lines,
        Err(error) if error.code() == "reserved" => vec!["taken by somebody".to_owned()],
        Err(error) => vec![format!("failed {}", error.code())],
    }
}

/// Takes files for itself alone and gives them back; says so at once.
fn take(all: &Reservations, name: &str, seed: u64) -> Vec<String> {
    let mut dice = Dice::new(seed);
    let long = "x".repeat(LONG);
    for n in 0..12 {
        let op = format!("{seed}-{n}");
        let glob = ["src/*", "src/a", "{src,tests}/a", "tests/**", "x"][dice.below(5)];
        let line = if dice.below(3) == 0 {
            let given = all.release(&by(name, Some(&op)), &globs(&[glob])).unwrap();
            if given.is_empty() {
                continue;
            }
            format!("\nop {name} {op} released {glob}\n")
        } else {
            let why = Some(long.clone());
            match all.reserve(&by(name, Some(&op)), None, None, &Wish { why, ..wish(&[glob], true) }) {
                Ok(_) => format!("\nop {name} {op} granted {glob}\n"),
                Err(error) if error.code() == "reserved" => continue,
                Err(error) => format!("\nfailed {error}\n"),
            }
        };
        std::io::Write::write_all(&mut std::io::stdout(), line.as_bytes()).unwrap();
    }
    Vec::new()
}

/// No test by itself: what the others start as a process of its own.
#[test]
fn actor() {
    let Some((act, dir)) = actor::asked(ACTOR.role) else { return };
    for line in run(&World { dir }, &act) {
        println!("\n{line}");
    }
}

/// What an actor told: the first words of its lines, with the rest.
fn told(output: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(output).into_owned();
    let words = ["granted", "released", "taken", "failed", "op"];
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    let known = lines.filter(|(what, _)| words.contains(what));
    known.map(|(what, rest)| (what.to_owned(), rest.to_owned())).collect()
}

/// What is held, as `name pattern`.
fn held(all: &Reservations) -> BTreeSet<String> {
    all.list().unwrap().iter().map(|one| format!("{} {}", one.by, one.glob)).collect()
}

/// Fails where two have what one of them has alone. `gone` holds nothing.
fn nobody_is_in_anybodys_way<'r>(held: impl Iterator<Item = &'r Reservation>, case: &str) {
    let held: Vec<&Reservation> = held.filter(|one| one.by != by("gone", None).name).collect();
    for (at, one) in held.iter().enumerate() {
        for other in &held[..at] {
            let clash = one.by != other.by && (one.exclusive || other.exclusive);
            assert!(!clash || !overlap(&one.glob, &other.glob), "{case}: {one:?} and {other:?}");
        }
    }
}

/// The same at every moment of the journal, whose records are numbered, and each operation is done once.
fn in_order(records: &[ReservationRecord], case: &str) {
    assert!(records.windows(2).all(|two| two[0].rev < two[1].rev), "{case}: the numbers grow");
    let mut held: BTreeMap<(&Party, &Glob), bool> = BTreeMap::new();
    for record in records.iter().filter(|record| record.by != by("gone", None).name) {
        match &record.entry {
            ReservationEntry::Reserved { globs, exclusive, .. } => {
                for glob in globs {
                    let clash = held.iter().find(|((name, theirs), alone)| {
                        **name != record.by && (*exclusive || **alone) && overlap(glob, theirs)
                    });
                    assert!(clash.is_none(), "{case}: {record:?} and {clash:?}");
                }
                held.extend(globs.iter().map(|glob| ((&record.by, glob), *exclusive)));
            }
            ReservationEntry::Released { globs } => {
                held.retain(|(name, glob), _| **name != record.by || !globs.contains(glob));
            }
            ReservationEntry::Quarantined { .. } | ReservationEntry::Unknown => {}
        }
    }
    let mut seen = BTreeSet::new();
    for record in records.iter().filter(|record| record.op.is_some()) {
        assert!(seen.insert((&record.by, &record.op)), "{case}: done twice: {record:?}");
    }
}

/// Fails where what is held is not what others had before and `me` was told.
fn check(world: &World, before: &BTreeSet<String>, told: &[(String, String)], case: &str) {
    let all = world.open();
    let now = held(&all);
    in_order(&world.records(), case);
    for theirs in before.iter().filter(|held| !held.starts_with("me ")) {
        assert!(now.contains(theirs), "{case}: {theirs} is lost");
    }
    for (what, rest) in told {
        match what.as_str() {
            "granted" => assert!(now.contains(rest), "{case}: granted, and not held: {rest}"),
            "released" => assert!(!now.contains(rest), "{case}: given back, and held: {rest}"),
            _ => {}
        }
    }
}

/// One death in a world like `staged`, and what comes after it. Whether it came to that.
fn play(staged: &World, before: &BTreeSet<String>, act: &str, death: &Death, name: &str) -> bool {
    let case = format!("{act}:{name}");
    let dir = tempfile::Builder::new().prefix("orch").tempdir().unwrap();
    let world = staged.copy_to(&dir.path().join("w"));
    let damaged = act == "damaged";
    let output = ACTOR.command(&world.dir, act, death).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!text.contains("panicked"), "{case}: {text}");
    let first = told(&output.stdout);
    // Until somebody has mended it nobody can tell.
    if !damaged || world.open().list().is_ok() {
        check(&world, before, &first, &case);
    }
    if matches!(death, Death::Point(_)) {
        announced(&world, &first, &case);
    }
    let again = ACTOR.command(&world.dir, act, &Death::Never).output().unwrap();
    let second = told(&again.stdout);
    let wanted = if act == "taken" { "taken" } else { "" };
    let well = second.iter().all(|(what, _)| what != "failed" && (what == "taken") == (wanted == "taken"));
    assert!(again.status.success() && well, "{case}: once more: {second:?} {again:?}");
    check(&world, before, &second, &case);
    // Of one operation it is told the same twice.
    let known = |told: &[(String, String)]| {
        told.iter().filter(|(what, _)| what != "failed").cloned().collect::<Vec<_>>()
    };
    let (first, second) = (known(&first), known(&second));
    assert!(second.starts_with(&first), "{case}: first {first:?}, then {second:?}");
    let length = fs::metadata(world.journal()).map_or(0, |journal| journal.len());
    assert!(act != "full" || length < NEARLY as u64, "{case}: it was not written anew: {length} bytes");
    death.came(&output, &world.dir)
}

/// Whatever somebody was told of is in the feed.
fn announced(world: &World, told: &[(String, String)], case: &str) {
    let changed = told.iter().any(|(what, _)| what == "granted" || what == "released");
    let lines = Follower::new(&world.places(), &World::project(), None).read().unwrap();
    let me = by("me", None).name;
    let said = lines.iter().any(|line| matches!(&line.kind, Kind::Reservation { by, .. } if *by == me));
    assert!(!changed || said, "{case}: it was not announced");
}

/// Plays every death; `calls` too.
pub fn sweep(calls: bool) {
    let dir = tempfile::Builder::new().prefix("orch").tempdir().unwrap();
    let base = prepared(&dir.path().join("base"));
    let calls = calls && syscalls::can_trace();
    let worlds: BTreeMap<&str, (World, BTreeSet<String>)> = ACTS
        .into_iter()
        .map(|act| {
            let staged = stage(&base, act, &dir.path().join(act));
            // What is damaged cannot be listed.
            let before = held(&if act == "damaged" { &base } else { &staged }.open());
            (act, (staged, before))
        })
        .collect();
    let find = |act: &'static str| {
        let world = |suffix: &str| worlds[act].0.copy_to(&dir.path().join(format!("{act}-{suffix}"))).dir;
        let points = ACTOR.points(&world("noted"), act);
        assert!(points >= 2 || act == "taken", "{act} passes points");
        (points, if calls { ACTOR.calls(&world("listed"), act) } else { Vec::new() })
    };
    actor::sweep("reservations", &ACTS, find, |act, death, case| {
        let (staged, before) = &worlds[act];
        play(staged, before, act, death, case)
    });
}

#[test]
fn whoever_dies_over_reservations_loses_nothing() {
    sweep(false);
}

#[test]
fn many_who_die_at_random_never_have_the_same_alone() {
    let dir = tempfile::Builder::new().prefix("orch").tempdir().unwrap();
    let world = World { dir: dir.path().join("w") };
    let mut dice = Dice::new(option("SEED").map_or(1, |seed| seed.parse().unwrap()));
    let mut everything: BTreeMap<String, (String, String)> = BTreeMap::new();
    for round in 0..option("ROUNDS").map_or(8, |n| n.parse::<u64>().unwrap()) {
        let takers = (0..4).map(|n| (format!("t{n}"), round * 10 + n));
        let running: Vec<_> = takers
            .map(|(name, seed)| {
                let death = Death::Point(u32::try_from(dice.between(1, 60)).unwrap());
                ACTOR.command(&world.dir, &format!("taker {name} {seed}"), &death).spawn().unwrap()
            })
            .collect();
        for child in running {
            let output = child.wait_with_output().unwrap();
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!text.contains("panicked"), "{text}");
            for (what, rest) in told(&output.stdout) {
                assert_eq!(what, "op", "{rest}");
                let words: Vec<&str> = rest.split(' ').collect();
                everything.insert(format!("{} {}", words[0], words[1]), (words[2].into(), words[3].into()));
            }
        }
        let records = world.records();
        in_order(&records, &format!("round {round}"));
        // What was acknowledged is on record, unless that was written anew since and it is over.
        let anew = records.last().is_some_and(|last| last.rev != records.len() as u64);
        for (key, (what, glob)) in &everything {
            let (name, op) = key.split_once(' ').unwrap();
            let Some(record) = rules::done(&records, &by(name, None).name, op) else {
                assert!(anew, "round {round}: {key} {what} {glob} is lost");
                continue;
            };
            let told = match &record.entry {
                ReservationEntry::Reserved { globs, .. } => ("granted", globs),
                ReservationEntry::Released { globs } => ("released", globs),
                other => panic!("{other:?}"),
            };
            assert_eq!((told.0, told.1[0].as_str()), (what.as_str(), glob.as_str()), "round {round}: {key}");
        }
    }
    nobody_is_in_anybodys_way(world.open().list().unwrap().iter(), "at the end");
}
