//! Dying over mail: a process that sends, reads, acknowledges or mends dies at each of its crash points and system calls, or
//! meets a full or broken disk there. What it told somebody must be true afterwards, nothing that was sent is lost or twice in an
//! inbox, and doing it once more ends well.
//!
//! The process is this test program once more, with only [`actor`] run in it.

use crate::actor::{self, Actor, Death};
use crate::dice::Dice;
use crate::{option, syscalls};
use ai_orch::a2a::feed::Follower;
use ai_orch::a2a::mail::Mail;
use ai_orch::model::a2a::{Message, Role};
use ai_orch::model::feed::Kind;
use ai_orch::model::ids::{Party, ProcessId, Project};
use ai_orch::model::mail::{Draft, Given, How, Inbox, MailId, MailRecord, Receipt};
use ai_orch::model::places::Places;
use ai_orch::rules::mail as rules;
use ai_orch::tools::{journal, process};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What can be done, and died over.
const ACTS: [&str; 9] = ["send", "again", "first", "read", "wiped", "ack", "bury", "anew", "mend"];
const LONG: usize = 60_000;
const ACTOR: Actor = Actor { test: "mail::actor", role: "mail" };

/// A world of mail, and what its readers had before.
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

    fn mail(&self) -> Mail {
        Mail::new(&self.places(), &Self::project())
    }

    /// The records of an inbox, and what they tell.
    fn inbox(&self, name: &str) -> (Vec<MailRecord>, Inbox) {
        let path = self.places().inbox(&Self::project(), &party(name));
        let read = journal::read::<MailRecord>(&path).unwrap();
        let records = read.map(|contents| contents.records).unwrap_or_default();
        let inbox = rules::replay(records.iter().cloned().map(|record| (record, 0)));
        (records, inbox)
    }

    fn copy_to(&self, dir: &Path) -> Self {
        let done = Command::new("cp").arg("-a").arg(&self.dir).arg(dir).status().unwrap();
        assert!(done.success());
        Self { dir: dir.to_owned() }
    }
}

fn party(name: &str) -> Party {
    name.parse().unwrap()
}

fn draft(from: &str, to: &[&str], id: &str, text: &str) -> Draft {
    let mut draft = Draft::new(party(from), party("b"), Message::text(id, Role::Agent, text));
    draft.to = to.iter().map(|name| party(name)).collect();
    draft
}

fn me() -> ProcessId {
    process::me().unwrap()
}

fn ids(given: &[Given]) -> Vec<MailId> {
    given.iter().map(|one| one.envelope.id).collect()
}

/// One message in the hands of a reader that is gone, one that nobody read, one that is acknowledged; and an inbox that is about to
/// be written anew.
fn prepared(dir: &Path) -> World {
    let world = World { dir: dir.to_owned() };
    let mail = world.mail();
    for id in ["acked", "taken", "unread"] {
        mail.send(&draft("user", &["b"], id, id)).unwrap();
    }
    let given = mail.read(&party("b"), &ProcessId { start: 1, ..me() }, 2).unwrap();
    mail.ack(&party("b"), &ids(&given)[..1], How::Said).unwrap();
    let long = "x".repeat(LONG);
    for n in 0..17 {
        mail.send(&draft("user", &["big"], &n.to_string(), &long)).unwrap();
        let given = mail.read(&party("big"), &me(), 9).unwrap();
        mail.ack(&party("big"), &ids(&given), How::Said).unwrap();
    }
    mail.send(&draft("user", &["big"], "last", &long)).unwrap();
    mail.send(&draft("user", &["big"], "stays", "stays")).unwrap();
    world
}

/// Does one thing, and tells what came of it: `receipt`, `given`, `acked` or `failed` and what.
#[test]
fn actor() {
    let Some((act, dir)) = actor::asked(ACTOR.role) else { return };
    let world = World { dir };
    let mail = world.mail();
    let (b, big) = (party("b"), party("big"));
    let sent = |receipts: Vec<Receipt>| {
        let lines =
            receipts.iter().map(|receipt| format!("receipt {}", serde_json::to_string(receipt).unwrap()));
        lines.collect::<Vec<_>>()
    };
    let words: Vec<&str> = act.split(' ').collect();
    let told = match words.as_slice() {
        ["send"] => mail.send(&Draft { durable: true, ..draft("a", &["b", "c"], "new", "new") }).map(sent),
        ["again"] => mail.send(&draft("user", &["b"], "unread", "unread")).map(sent),
        ["first"] => mail.send(&draft("a", &["d"], "new", "new")).map(sent),
        ["read" | "wiped"] => {
            mail.read(&b, &me(), 9).map(|given| ids(&given).iter().map(|id| format!("given {id}")).collect())
        }
        ["ack"] => {
            let ids: Vec<MailId> = mail.peek(&b, 9).map(|given| ids(&given)).unwrap_or_default();
            mail.ack(&b, &ids, How::Said).map(|_| ids.iter().map(|id| format!("acked {id}")).collect())
        }
        ["mend"] => mail.quarantine(&b).and_then(|_| mail.read(&b, &me(), 9)).map(|given| {
            let ids = ids(&given).into_iter();
            ids.map(|id| format!("given {id}")).collect()
        }),
        ["bury"] => mail.bury(&b, "gone").map(|_| Vec::new()),
        ["anew"] => {
            let last = mail.peek(&big, 9).unwrap_or_default();
            let ids: Vec<MailId> = ids(&last).into_iter().take(1).collect();
            mail.ack(&big, &ids, How::Said).map(|_| ids.iter().map(|id| format!("acked {id}")).collect())
        }
        ["sender", name, round] => {
            for n in 0..5 {
                match mail.send(&draft("user", &["b", "c"], &format!("{name}-{round}-{n}"), name)) {
                    Ok(receipts) => sent(receipts).iter().for_each(|line| println!("\n{line}")),
                    Err(error) => println!("\nfailed {}", error.code()),
                }
            }
            return;
        }
        ["reader"] => {
            for _ in 0..6 {
                let given = mail.read(&b, &me(), 3).unwrap();
                mail.ack(&b, &ids(&given), How::NextCall).unwrap();
                for id in ids(&given) {
                    println!("\nacked {id}");
                }
            }
            return;
        }
        other => panic!("{other:?}"),
    };
    match told {
        Ok(lines) => lines.iter().for_each(|line| println!("\n{line}")),
        Err(error) => println!("\nfailed {}", error.code()),
    }
}

/// What an actor told, by its first words.
type Told = BTreeMap<String, Vec<String>>;

fn told(output: &[u8]) -> Told {
    let mut told = Told::new();
    for line in String::from_utf8_lossy(output).lines() {
        if let Some((what, rest)) = line.split_once(' ')
            && ["receipt", "given", "acked", "failed"].contains(&what)
        {
            told.entry(what.to_owned()).or_default().push(rest.to_owned());
        }
    }
    told
}

fn all<'t>(told: &'t Told, what: &str) -> impl Iterator<Item = &'t String> {
    told.get(what).into_iter().flatten()
}

/// Fails where what is on disk is not what somebody was told, or what nobody may do to mail was done to it.
fn check(world: &World, before: &BTreeMap<String, Inbox>, told: &Told, case: &str) {
    for name in ["b", "big", "c", "d"] {
        let (records, inbox) = world.inbox(name);
        assert!(records.windows(2).all(|w| w[0].seq < w[1].seq), "{case}: seq grows in {name}");
        let unread: BTreeSet<MailId> = inbox.letters.values().map(|letter| letter.envelope.id).collect();
        assert!(unread.iter().all(|id| !inbox.known_set.contains(id)), "{case}: twice in {name}");
        for (name, before) in before.iter().filter(|(before, _)| before.as_str() == name) {
            for id in before.places.keys().chain(&before.known) {
                assert!(rules::is_known(&inbox, *id), "{case}: {id} of {name} is lost");
            }
            assert!(before.known.iter().all(|id| !unread.contains(id)), "{case}: what was read is unread");
        }
        let dir = world.places().copies(&World::project()).mail(&party(name));
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            if !entry.file_name().to_str().unwrap().starts_with('.') {
                let copy = fs::read(entry.path()).unwrap();
                serde_json::from_slice::<MailRecord>(&copy).unwrap_or_else(|e| panic!("{case}: {e}"));
            }
        }
    }
    let (_, b) = world.inbox("b");
    for receipt in all(told, "receipt") {
        let receipt: Receipt = serde_json::from_str(receipt).unwrap();
        let (_, inbox) = world.inbox(receipt.to.as_str());
        assert!(rules::is_known(&inbox, receipt.id), "{case}: a receipt for what is not there");
    }
    for id in all(told, "given") {
        assert!(
            b.places.contains_key(&id.parse().unwrap()),
            "{case}: {id} was lost before it was acknowledged"
        );
    }
    for id in all(told, "acked") {
        let id: MailId = id.parse().unwrap();
        let there = [&b, &world.inbox("big").1].into_iter().any(|inbox| inbox.known_set.contains(&id));
        assert!(there, "{case}: {id} is acknowledged and not on record");
    }
}

/// Whoever comes next finds every message that is not acknowledged, once, and leaves everything in order.
fn settle(world: &World, case: &str) {
    let mail = world.mail();
    for name in ["b", "big", "c", "d"] {
        let (_, inbox) = world.inbox(name);
        let given = mail.read(&party(name), &me(), usize::MAX).unwrap();
        let seen: BTreeSet<MailId> = ids(&given).into_iter().collect();
        assert_eq!(seen.len(), given.len(), "{case}");
        assert_eq!(seen, inbox.places.keys().copied().collect(), "{case}: all of {name} is read");
        let dir = world.places().copies(&World::project()).mail(&party(name));
        let copies: BTreeSet<String> = fs::read_dir(dir)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        let wanted: BTreeSet<String> =
            given.iter().map(|one| format!("{:010}-{}.json", one.seq, one.envelope.id)).collect();
        assert_eq!(copies, wanted, "{case}: the copies of {name}");
    }
}

/// One death, and what comes after it. Whether it came to that.
fn play(base: &World, before: &BTreeMap<String, Inbox>, act: &str, death: &Death, name: &str) -> bool {
    let dir = tempfile::Builder::new().prefix("orch").tempdir().unwrap();
    let world = staged(base, act, &dir.path().join("w"));
    let output = ACTOR.command(&world.dir, act, death).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let case = format!("{act}:{name}");
    assert!(!text.contains("panicked"), "{case}: {text}");
    let first = told(&output.stdout);
    // Until somebody has mended it nobody can tell.
    if act != "mend" || world.mail().peek(&party("b"), 1).is_ok() {
        check(&world, before, &first, &case);
    }
    if matches!(death, Death::Point(_)) {
        announced(&world, &first, &case);
    }
    let again = ACTOR.command(&world.dir, act, &Death::Never).output().unwrap();
    let second = told(&again.stdout);
    assert!(
        again.status.success() && !second.contains_key("failed"),
        "{case}: once more: {second:?} {again:?}"
    );
    check(&world, before, &second, &case);
    settle(&world, &case);
    death.came(&output, &world.dir)
}

/// A world like `base`, in which `act` can be done.
fn staged(base: &World, act: &str, dir: &Path) -> World {
    let world = base.copy_to(dir);
    match act {
        "wiped" => fs::remove_dir_all(world.places().root).unwrap(),
        "mend" => damage(&world),
        _ => {}
    }
    world
}

/// Damages the inbox of `b`: a message that has its copy is not what was written.
fn damage(world: &World) {
    let path = world.places().inbox(&World::project(), &party("b"));
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("\"taken\"", "\"TAKEN\"", 1)).unwrap();
    assert!(journal::read::<MailRecord>(&path).unwrap_err().is_damage());
}

/// Everything that a sender was told of is in the feed.
fn announced(world: &World, told: &Told, case: &str) {
    let lines = Follower::new(&world.places(), &World::project(), None).read().unwrap();
    let ids: BTreeSet<MailId> = lines
        .iter()
        .filter_map(|line| if let Kind::Message { id, .. } = &line.kind { Some(*id) } else { None })
        .collect();
    for receipt in all(told, "receipt") {
        let receipt: Receipt = serde_json::from_str(receipt).unwrap();
        assert!(ids.contains(&receipt.id), "{case}: {receipt:?} was not announced");
    }
}

/// Plays every death; `calls` too.
pub fn sweep(calls: bool) {
    let dir = tempfile::Builder::new().prefix("orch").tempdir().unwrap();
    let base = prepared(&dir.path().join("base"));
    let before: BTreeMap<String, Inbox> =
        ["b", "big"].map(|name| (name.to_owned(), base.inbox(name).1)).into_iter().collect();
    let calls = calls && syscalls::can_trace();
    let find = |act: &'static str| {
        let world = |suffix: &str| staged(&base, act, &dir.path().join(format!("{act}-{suffix}"))).dir;
        let points = ACTOR.points(&world("noted"), act);
        assert!(points >= 2, "{act} passes points");
        (points, if calls { ACTOR.calls(&world("listed"), act) } else { Vec::new() })
    };
    actor::sweep("mail", &ACTS, find, |act, death, case| play(&base, &before, act, death, case));
}

#[test]
fn whoever_dies_over_mail_loses_nothing() {
    sweep(false);
}

#[test]
fn many_who_die_at_random_lose_nothing_and_send_nothing_twice() {
    let dir = tempfile::Builder::new().prefix("orch").tempdir().unwrap();
    let world = World { dir: dir.path().join("w") };
    let mut dice = Dice::new(option("SEED").map_or(1, |seed| seed.parse().unwrap()));
    let mut everything = Told::new();
    for round in 0..option("ROUNDS").map_or(8, |n| n.parse().unwrap()) {
        let acts = ["sender s1", "sender s2", "sender s3"].map(|act| format!("{act} {round}"));
        let running: Vec<_> = acts
            .into_iter()
            .chain(["reader".to_owned(), "reader".to_owned()])
            .map(|act| {
                let death = Death::Point(u32::try_from(dice.between(1, 90)).unwrap());
                ACTOR.command(&world.dir, &act, &death).spawn().unwrap()
            })
            .collect();
        for child in running {
            let output = child.wait_with_output().unwrap();
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!text.contains("panicked"), "{text}");
            for (what, lines) in told(&output.stdout) {
                everything.entry(what).or_default().extend(lines);
            }
        }
        check(&world, &BTreeMap::new(), &everything, &format!("round {round}"));
    }
    assert!(!everything.contains_key("failed"), "{everything:?}");
    settle(&world, "at the end");
    // Of one sender, what came is in the order in which it was sent.
    let (_, c) = world.inbox("c");
    let mut last: BTreeMap<String, String> = BTreeMap::new();
    for letter in c.letters.values() {
        let (sender, n) = letter.envelope.message.message_id.split_once('-').unwrap();
        if let Some(before) = last.insert(sender.to_owned(), n.to_owned()) {
            let place = |n: &str| n.split('-').map(|n| n.parse().unwrap()).collect::<Vec<u32>>();
            assert!(place(&before) < place(n), "{sender}: {before} before {n}");
        }
    }
}
