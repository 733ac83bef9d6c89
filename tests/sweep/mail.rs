//! Dying over mail: a process that sends, reads, acknowledges or mends dies at each of its crash points and system calls, or
//! meets a full or broken disk there. What it told somebody must be true afterwards, nothing that was sent is lost or twice in an
//! inbox, and doing it once more ends well.
//!
//! The process is this test program once more, with only [`actor`] run in it.

use crate::dice::Dice;
use crate::option;
use crate::syscalls::{self, Injection};
use ai_orch::a2a::feed::Follower;
use ai_orch::a2a::mail::Mail;
use ai_orch::model::a2a::{Message, Role};
use ai_orch::model::feed::Kind;
use ai_orch::model::ids::{Party, ProcessId, Project};
use ai_orch::model::mail::{Draft, Given, How, Inbox, MailId, MailRecord, Receipt};
use ai_orch::model::places::Places;
use ai_orch::rules::mail as rules;
use ai_orch::tools::{crash, journal, process};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What can be done, and died over.
const ACTS: [&str; 9] = ["send", "again", "first", "read", "wiped", "ack", "bury", "anew", "mend"];
const LONG: usize = 60_000;

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
    let (Some(act), Some(dir)) = (option("MAIL_ACT"), option("MAIL_DIR")) else { return };
    crash::role("mail");
    if option("MAIL_WARM").is_some() {
        warm_up();
    }
    let world = World { dir: dir.into() };
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

/// How many calls of each name an actor makes beforehand, if its calls are counted.
pub const WARM: u32 = 100;

/// Makes more calls of each name than the main thread of a test program ever does: strace counts for each thread, and what it
/// does at the k-th call of ours must not meet the k-th of that one.
pub fn warm_up() {
    use std::os::unix::fs::FileExt;
    let nowhere = Path::new("/nowhere/at/all");
    let null = fs::OpenOptions::new().read(true).write(true).open("/dev/null").unwrap();
    for _ in 0..WARM {
        drop(fs::File::open(nowhere));
        drop(std::io::Read::read(&mut &null, &mut [0; 8]));
        drop(std::io::Write::write(&mut &null, b"x"));
        drop(null.write_at(b"x", 0));
        drop((null.sync_all(), null.sync_data(), null.set_len(0)));
        drop(null.lock());
        drop((fs::rename(nowhere, nowhere), fs::remove_file(nowhere), fs::create_dir("/")));
    }
}

/// How the actor is made to die.
#[derive(Clone)]
enum Death {
    /// Not at all.
    Never,
    /// Not at all: to learn its crash points.
    Noted,
    /// Not at all: to learn its system calls.
    Listed,
    Point(u32),
    Call(Injection),
}

/// The actor at work on `act`: what it tells.
fn command(world: &World, act: &str, death: &Death) -> Command {
    let trace = world.dir.join("trace");
    let words = match death {
        Death::Call(injection) => injection.words(&trace),
        Death::Listed => Injection::listing(&trace),
        Death::Never | Death::Noted | Death::Point(_) => Vec::new(),
    };
    let me = std::env::current_exe().unwrap();
    let mut command = if words.is_empty() { Command::new(&me) } else { Command::new("strace") };
    if !words.is_empty() {
        // A test runs on a thread of its own, and each has its own list.
        command.arg("-ff").args(words).arg(&me).env("SWEEP_MAIL_WARM", "yes");
    }
    command.args(["--exact", "mail::actor", "--nocapture", "--test-threads=1"]);
    command.env("SWEEP_MAIL_ACT", act).env("SWEEP_MAIL_DIR", &world.dir);
    match death {
        Death::Point(n) => drop(command.env("AI_ORCH_CRASH", format!("mail:{n}"))),
        Death::Noted => drop(command.env("AI_ORCH_CRASH_LOG", world.dir.join("points"))),
        Death::Never | Death::Call(_) | Death::Listed => {}
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
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
    let output = command(&world, act, death).output().unwrap();
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
    let again = command(&world, act, &Death::Never).output().unwrap();
    let second = told(&again.stdout);
    assert!(
        again.status.success() && !second.contains_key("failed"),
        "{case}: once more: {second:?} {again:?}"
    );
    check(&world, before, &second, &case);
    settle(&world, &case);
    let trace = traces(&world.dir).concat();
    match death {
        Death::Call(_) => trace.contains("(INJECTED)") || trace.contains("killed by SIGKILL"),
        _ => !output.status.success(),
    }
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

/// What strace wrote down, of each thread.
pub fn traces(dir: &Path) -> Vec<String> {
    let files = fs::read_dir(dir).unwrap().flatten();
    let traces = files.filter(|file| file.file_name().to_str().unwrap().starts_with("trace."));
    traces.map(|file| fs::read_to_string(file.path()).unwrap()).collect()
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
    let (mut played, mut missed) = (0, 0);
    for act in ACTS {
        let mut deaths: Vec<(Death, String)> = Vec::new();
        let world = staged(&base, act, &dir.path().join(format!("{act}-0")));
        assert!(command(&world, act, &Death::Noted).output().unwrap().status.success(), "{act}");
        let points = fs::read_to_string(world.dir.join("points")).unwrap().lines().count();
        assert!(points >= 2, "{act} passes points");
        deaths.extend((1..=u32::try_from(points).unwrap()).map(|n| (Death::Point(n), n.to_string())));
        if calls {
            let world = staged(&base, act, &dir.path().join(format!("{act}-traced")));
            assert!(command(&world, act, &Death::Listed).output().unwrap().status.success(), "{act}");
            let all = traces(&world.dir).into_iter().flat_map(|trace| syscalls::injections(&trace, None));
            deaths.extend(all.filter(|i| i.k > WARM).map(|i| {
                let name = format!("{i} {}", i.what);
                (Death::Call(i), name)
            }));
        }
        println!("mail: {act}: {} deaths", deaths.len());
        for (death, name) in deaths {
            let reached = play(&base, &before, act, &death, &name);
            (played, missed) = (played + 1, missed + usize::from(!reached));
        }
    }
    println!("mail: {played} cases, {missed} did not come to their point");
    assert!(missed * 10 <= played, "most deaths happen");
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
                command(&world, &act, &death).spawn().unwrap()
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
