//! The mail room on real files: many at once, with wiped roots, damage and readers that are gone.

use super::*;
use crate::model::a2a::{Message, Role};
use crate::model::feed::EventLine;
use crate::model::mail::Priority;
use std::fs;

struct World {
    _dir: tempfile::TempDir,
    places: Places,
    project: Project,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let places = Places { root: at("root"), state: at("state"), data: at("data"), config: at("config") };
        Self { places, project: Project("p-1".to_owned()), _dir: dir }
    }

    fn mail(&self) -> Mail {
        Mail::new(&self.places, &self.project)
    }

    fn inbox(&self, name: &str) -> PathBuf {
        self.places.inbox(&self.project, &party(name))
    }

    fn copies(&self, name: &str) -> Vec<String> {
        let dir = self.places.copies(&self.project).mail(&party(name));
        let names = file::names(&dir).unwrap().unwrap_or_default();
        let mut names: Vec<String> = names.into_iter().map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn wipe(&self) {
        fs::remove_dir_all(&self.places.root).unwrap();
    }

    fn feed(&self) -> Vec<EventLine> {
        crate::a2a::feed::Follower::new(&self.places, &self.project, None).read().unwrap()
    }
}

fn party(name: &str) -> Party {
    name.parse().unwrap()
}

fn draft(from: &str, to: &str, id: &str, text: &str) -> Draft {
    Draft::new(party(from), party(to), Message::text(id, Role::Agent, text))
}

fn me() -> ProcessId {
    process::me().unwrap()
}

fn gone() -> ProcessId {
    ProcessId { start: 1, ..me() }
}

fn texts(given: &[Given]) -> Vec<String> {
    given.iter().map(|g| g.envelope.message.plain()).collect()
}

fn ids(given: &[Given]) -> Vec<MailId> {
    given.iter().map(|g| g.envelope.id).collect()
}

#[test]
fn a_message_comes_once_and_goes_when_it_is_acknowledged() {
    let world = World::new();
    let mail = world.mail();
    assert_eq!(mail.unread_count(&party("b")).unwrap(), 0);
    assert!(mail.read(&party("b"), &me(), 10).unwrap().is_empty());
    assert!(mail.parties().unwrap().is_empty(), "who only looks makes nothing");
    let sent = mail.send(&draft("a", "b", "1", "hello")).unwrap();
    let receipt = sent.first().unwrap();
    assert_eq!((receipt.seq, receipt.duplicate, receipt.durable), (Some(1), false, false));
    assert_eq!(world.copies("b"), [format!("0000000001-{}.json", receipt.id)]);
    let durable = Draft { durable: true, ..draft("a", "b", "1", "hello") };
    let again = world.mail().send(&durable).unwrap();
    assert_eq!((again[0].seq, again[0].duplicate, again[0].durable), (Some(1), true, true));
    assert_eq!(mail.unread_count(&party("b")).unwrap(), 1);
    assert_eq!(mail.peek(&party("b"), 10).unwrap()[0].attempt, 1);
    let given = mail.read(&party("b"), &me(), 10).unwrap();
    assert_eq!((texts(&given), given[0].attempt), (vec!["hello".to_owned()], 1));
    assert_eq!(mail.unread_count(&party("b")).unwrap(), 0, "in somebody's hands");
    assert_eq!(world.copies("b").len(), 1, "not yet acknowledged");
    assert_eq!(mail.ack(&party("b"), &ids(&given), How::NextCall).unwrap(), 1);
    assert_eq!(mail.ack(&party("b"), &ids(&given), How::Said).unwrap(), 0);
    assert!(world.copies("b").is_empty());
    assert!(mail.read(&party("b"), &me(), 10).unwrap().is_empty());
    let late = mail.send(&draft("a", "b", "1", "hello")).unwrap();
    assert_eq!((late[0].duplicate, late[0].seq), (true, None), "what was read is known again");
    assert_eq!(mail.send(&draft("a", "b", "1", "other words")).unwrap()[0].seq, Some(4));
    let lines = world.feed();
    let kinds: Vec<_> = lines.iter().map(|l| l.kind.clone()).collect();
    let said = |seq, id| Kind::Message { inbox: party("b"), seq, id, from: party("a") };
    assert_eq!(kinds[..2], [said(1, receipt.id), said(1, receipt.id)]);
    assert_eq!(kinds.len(), 3);
}

#[test]
fn what_a_reader_took_that_is_gone_is_read_again() {
    let world = World::new();
    let mail = world.mail();
    for n in 0..3 {
        mail.send(&draft("a", "b", &n.to_string(), "x")).unwrap();
    }
    let taken = mail.read(&party("b"), &gone(), 2).unwrap();
    assert_eq!(taken.len(), 2);
    assert_eq!(mail.unread_count(&party("b")).unwrap(), 3, "its reader is gone");
    let mut other = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
    let lives = process::identify(i32::try_from(other.id()).unwrap()).unwrap().unwrap();
    assert_eq!(mail.read(&party("b"), &lives, 1).unwrap()[0].attempt, 2);
    let rest = world.mail().read(&party("b"), &me(), 10).unwrap();
    assert_eq!(rest.iter().map(|g| (g.seq, g.attempt)).collect::<Vec<_>>(), [(2, 2), (3, 1)]);
    drop(other.stdin.take());
    other.wait().unwrap();
    let all = world.mail().read(&party("b"), &me(), 10).unwrap();
    assert_eq!(all.iter().map(|g| g.attempt).collect::<Vec<_>>(), [3, 3, 2]);
}

#[test]
fn many_send_while_some_read_and_each_message_is_acknowledged_once() {
    const SENDERS: usize = 6;
    const EACH: usize = 40;
    let world = World::new();
    let reader = party("reader");
    let acked = std::thread::scope(|scope| {
        for sender in 0..SENDERS {
            let world = &world;
            scope.spawn(move || {
                let mail = world.mail();
                for n in 0..EACH {
                    // The person is not limited in rate.
                    let text = format!("{sender} {n}");
                    mail.send(&draft("user", "reader", &text, &text)).unwrap();
                }
            });
        }
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mail = world.mail();
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    let mut seen: Vec<(u64, String)> = Vec::new();
                    // Both are one process, so one may get what the other has: the first to acknowledge it wins.
                    loop {
                        let given = mail.read(&reader, &me(), 7).unwrap();
                        for one in &given {
                            if mail.ack(&reader, &ids(std::slice::from_ref(one)), How::Said).unwrap() == 1 {
                                seen.push((one.seq, one.envelope.message.plain()));
                            }
                        }
                        let known = mail.looking(&world.inbox("reader"), |inbox| inbox.known.len()).unwrap();
                        if known == SENDERS * EACH {
                            break;
                        }
                        if given.is_empty() {
                            let soon = clock::tick() + Duration::from_millis(20);
                            runtime.block_on(mail.wait(&reader, Some(soon))).unwrap();
                        }
                    }
                    seen
                })
            })
            .collect();
        readers.into_iter().flat_map(|r| r.join().unwrap()).collect::<Vec<_>>()
    });
    let mut acked = acked;
    acked.sort();
    assert_eq!(acked.len(), SENDERS * EACH);
    for sender in 0..SENDERS {
        let begin = format!("{sender} ");
        let order = acked.iter().filter_map(|(_, text)| text.strip_prefix(&begin));
        let order: Vec<usize> = order.map(|n| n.parse().unwrap()).collect();
        assert_eq!(order, (0..EACH).collect::<Vec<_>>(), "the order of a sender");
    }
    assert!(world.copies("reader").is_empty());
    let records = journal::read::<MailRecord>(&world.inbox("reader")).unwrap().unwrap().records;
    assert!(records.windows(2).all(|w| w[0].seq < w[1].seq), "seq grows");
}

#[test]
fn copies_are_mended_by_whoever_reads_and_whoever_sends_again() {
    let world = World::new();
    let mail = world.mail();
    let sent: Vec<MailId> =
        (0..3).map(|n| mail.send(&draft("user", "b", &n.to_string(), "x")).unwrap()[0].id).collect();
    let dir = world.places.copies(&world.project).mail(&party("b"));
    world.wipe();
    assert_eq!(mail.unread_count(&party("b")).unwrap(), 3, "the journal is the truth");
    assert!(mail.send(&draft("user", "b", "1", "x")).unwrap()[0].duplicate);
    assert_eq!(world.copies("b"), [format!("0000000002-{}.json", sent[1])], "it rings again");
    fs::write(dir.join(format!("0000000009-{}.json", sent[2])), "in vain").unwrap();
    fs::write(dir.join(".0000000010.77.1"), "half").unwrap();
    mail.read(&party("b"), &me(), 1).unwrap();
    assert_eq!(world.copies("b").len(), 3);
    for record in mail.copied(&party("b")).unwrap() {
        let MailEntry::Delivered { envelope } = record.entry else { panic!() };
        assert_eq!(sent[usize::try_from(record.seq).unwrap() - 1], envelope.id);
    }
    world.wipe();
    world.mail().rebuild().unwrap();
    assert_eq!(world.copies("b").len(), 3);
}

#[test]
fn an_inbox_is_written_anew_and_still_knows_what_was_in_it() {
    let world = World::new();
    let (mail, other) = (world.mail(), world.mail());
    let long = "x".repeat(50_000);
    other.send(&draft("user", "b", "stays", "stays")).unwrap();
    let first = mail.send(&draft("user", "b", "first", &long)).unwrap()[0].id;
    let mut largest = 0;
    for n in 0..60 {
        mail.send(&draft("user", "b", &n.to_string(), &long)).unwrap();
        let given = mail.read(&party("b"), &me(), 10).unwrap();
        let done: Vec<MailId> = ids(&given.into_iter().filter(|g| g.seq != 1).collect::<Vec<_>>());
        mail.ack(&party("b"), &done, How::Said).unwrap();
        largest = largest.max(fs::metadata(world.inbox("b")).unwrap().len());
    }
    assert!(largest < 2 << 20, "{largest}");
    for mail in [&other, &world.mail()] {
        assert!(mail.send(&draft("user", "b", "first", &long)).unwrap()[0].duplicate, "{first}");
        assert!(mail.send(&draft("user", "b", "stays", "stays")).unwrap()[0].duplicate);
    }
    let left = other.read(&party("b"), &me(), 10).unwrap();
    assert_eq!(texts(&left), ["stays"]);
    assert_eq!(left[0].seq, 1, "in its old place");
    assert!(left[0].attempt > 50, "handed out each time: {}", left[0].attempt);
}

#[test]
fn a_damaged_inbox_is_named_and_put_aside_and_no_other_is_touched() {
    let world = World::new();
    let mail = world.mail();
    for n in 0..4 {
        mail.send(&draft("user", "b", &n.to_string(), &format!("text {n}"))).unwrap();
        mail.send(&draft("user", "c", &n.to_string(), "x")).unwrap();
    }
    let path = world.inbox("b");
    let damaged = fs::read_to_string(&path).unwrap().replace("text 1", "TEXT 1").replace("text 2", "TEXT 2");
    fs::write(&path, &damaged).unwrap();
    let mail = world.mail();
    let error = mail.send(&draft("user", "b", "5", "x")).unwrap_err();
    assert!(error.is_damage() && error.to_string().contains(path.to_str().unwrap()), "{error}");
    assert!(mail.read(&party("b"), &me(), 9).unwrap_err().is_damage());
    assert_eq!(mail.read(&party("c"), &me(), 9).unwrap().len(), 4);
    assert_eq!(mail.quarantine(&party("c")).unwrap(), None);
    // One of the two has a copy, the other has none.
    let copies = world.copies("b");
    fs::remove_file(world.places.copies(&world.project).mail(&party("b")).join(&copies[2])).unwrap();
    let kept = mail.quarantine(&party("b")).unwrap().unwrap();
    assert_eq!(fs::read_to_string(&kept).unwrap(), damaged);
    let given = mail.read(&party("b"), &me(), 9).unwrap();
    let mut seen = texts(&given);
    seen.sort();
    assert_eq!(seen, ["text 0", "text 1", "text 3"]);
    assert!(mail.send(&draft("user", "b", "5", "x")).unwrap()[0].seq > Some(4));
    assert_eq!(mail.parties().unwrap(), [party("b"), party("c")], "what was put aside is nobody's inbox");
    // Something that is no file at all.
    fs::remove_file(world.inbox("c")).unwrap();
    fs::create_dir(world.inbox("c")).unwrap();
    let kept = world.mail().quarantine(&party("c")).unwrap().unwrap();
    assert!(kept.is_dir());
    assert_eq!(world.mail().read(&party("c"), &me(), 9).unwrap().len(), 4, "from its copies");
}

#[test]
fn limits_hold_over_processes_and_before_anything_is_sent() {
    let world = World::new();
    for n in 0..rules::MOST {
        // As another process each time.
        world.mail().send(&draft("a", if n % 2 == 0 { "b" } else { "c" }, &n.to_string(), "x")).unwrap();
    }
    let error = world.mail().send(&draft("a", "d", "more", "x")).unwrap_err();
    assert_eq!(error.code(), "too_many_messages");
    assert!(!world.inbox("d").exists());
    world.mail().send(&draft("user", "d", "more", "x")).unwrap();
    world.mail().send(&draft("e", "d", "more", "x")).unwrap();
    let error = world.mail().send(&draft("user", "d", "long", &"x".repeat(rules::LONGEST))).unwrap_err();
    assert_eq!(error.code(), "message_too_large");
    let nobody = Draft { to: Vec::new(), ..draft("user", "d", "1", "x") };
    assert_eq!(world.mail().send(&nobody).unwrap_err().code(), "nobody");
}

#[test]
fn a_full_inbox_takes_no_more_and_says_so() {
    let world = World::new();
    let mail = world.mail();
    mail.send(&draft("user", "b", "1", "x")).unwrap();
    let record = |seq: u64, text: String| {
        let mut envelope =
            (*mail.looking(&world.inbox("b"), |i| i.letters[&1].envelope.clone()).unwrap()).clone();
        envelope.message = Message::text(seq.to_string(), Role::User, text);
        envelope.id = rules::id_for(&Party::User, &party("b"), &envelope.message);
        let entry = MailEntry::Delivered { envelope: Box::new(envelope) };
        journal::frame(&MailRecord { v: VERSION, seq, at: clock::now(), entry }).unwrap()
    };
    let mut bytes = fs::read(world.inbox("b")).unwrap();
    for seq in 2..7 {
        bytes.extend(record(seq, "x".repeat(7 << 20)));
    }
    fs::write(world.inbox("b"), bytes).unwrap();
    let error = mail.send(&draft("user", "b", "2", "x")).unwrap_err();
    assert_eq!(error.code(), "inbox_full");
    assert!(mail.send(&draft("user", "b", "1", "x")).unwrap()[0].duplicate);
}

#[test]
fn to_many_readers_each_gets_its_own_and_twice_adds_nothing() {
    let world = World::new();
    let mail = world.mail();
    let all = Draft { to: ["c", "b", "c"].map(party).to_vec(), ..draft("a", "b", "1", "to all") };
    let first = mail.send(&all).unwrap();
    assert_eq!(first.iter().map(|r| r.to.to_string()).collect::<Vec<_>>(), ["b", "c"]);
    assert_ne!(first[0].id, first[1].id);
    assert!(mail.send(&all).unwrap().iter().all(|r| r.duplicate));
    let (b, c) = (mail.peek(&party("b"), 9).unwrap(), mail.peek(&party("c"), 9).unwrap());
    assert_eq!(b[0].envelope.thread, c[0].envelope.thread, "one conversation");
    // An answer belongs to it, and counts.
    let answer = Draft { reply_to: Some(c[0].envelope.id), ..draft("c", "a", "2", "yes") };
    mail.send(&answer).unwrap();
    let back = &mail.peek(&party("a"), 9).unwrap()[0].envelope;
    assert_eq!((back.thread, back.hops), (c[0].envelope.thread, 1));
}

#[test]
fn dead_letters_have_age_and_reason_and_come_back_with_their_reader() {
    let world = World::new();
    let mail = world.mail();
    mail.send(&draft("user", "b", "1", "x")).unwrap();
    mail.send(&draft("b", "user", "1", "x")).unwrap();
    let dead = mail.dead_letters().unwrap();
    assert_eq!(dead.iter().map(|d| d.reason.as_str()).collect::<Vec<_>>(), ["its reader is gone"]);
    let lock = world.places.worker_lock(&world.project, &"b".parse().unwrap());
    file::make_dirs(lock.parent().unwrap()).unwrap();
    let held = lock::exclusive(&lock, Duration::from_secs(5)).unwrap();
    assert!(mail.dead_letters().unwrap().is_empty(), "it lives");
    assert_eq!(mail.bury(&party("b"), "its reader is done").unwrap(), 1);
    assert_eq!(mail.bury(&party("b"), "its reader is done").unwrap(), 0);
    assert!(world.copies("b").is_empty());
    assert_eq!(mail.dead_letters().unwrap()[0].reason, "its reader is done");
    assert_eq!(mail.read(&party("b"), &me(), 9).unwrap().len(), 1);
    assert!(mail.dead_letters().unwrap().is_empty());
    drop(held);
}

#[test]
fn high_priority_is_read_first() {
    let world = World::new();
    let mail = world.mail();
    for (id, priority) in [("1", Priority::Low), ("2", Priority::High), ("3", Priority::Normal)] {
        mail.send(&Draft { priority, ..draft("a", "b", id, id) }).unwrap();
    }
    assert_eq!(texts(&mail.read(&party("b"), &me(), 2).unwrap()), ["2", "3"]);
}

#[test]
fn a_reader_that_waits_is_woken() {
    let world = World::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for n in 0..3 {
        let count = std::thread::scope(|scope| {
            let mail = world.mail();
            let waits = scope.spawn(|| world.mail().send(&draft("a", "b", &n.to_string(), "x")));
            let limit = clock::tick() + Duration::from_mins(1);
            let count = runtime.block_on(mail.wait(&party("b"), Some(limit))).unwrap();
            waits.join().unwrap().unwrap();
            let given = mail.read(&party("b"), &me(), 9).unwrap();
            mail.ack(&party("b"), &ids(&given), How::Said).unwrap();
            count
        });
        assert_eq!(count, 1);
        world.wipe();
    }
    let over = clock::tick();
    assert_eq!(runtime.block_on(world.mail().wait(&party("b"), Some(over))).unwrap(), 0);
}

#[test]
fn an_inbox_is_where_its_reader_is() {
    let world = World::new();
    let here = &world.project;
    let there = Project("q-2".to_owned());
    let id = crate::model::ids::AgentId(clock::new_id());
    names::reserve(&world.places, &"fix".parse().unwrap(), &there, id).unwrap();
    assert_eq!(home_of(&world.places, here, &Party::User).unwrap(), *here);
    assert_eq!(home_of(&world.places, here, &party("fix")).unwrap(), there);
    let lock = world.places.worker_lock(here, &"cron".parse().unwrap());
    file::make_dirs(lock.parent().unwrap()).unwrap();
    fs::write(lock, "").unwrap();
    assert_eq!(home_of(&world.places, here, &party("cron")).unwrap(), *here);
    let error = home_of(&world.places, here, &party("fox")).unwrap_err();
    assert_eq!((error.code(), error.hint().unwrap().contains("fix")), ("no_agent", true));
}
