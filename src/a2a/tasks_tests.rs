//! Tasks in real files, by threads and by workers that come and go.

use super::*;
use crate::a2a::worker::Worker;
use crate::model::a2a::Part;
use crate::model::ids::{AgentId, Session};
use crate::model::work::{After, OnFailed, WorkMeta};
use crate::tools::lock;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;

struct World {
    dir: tempfile::TempDir,
    tasks: Tasks,
    told: Arc<Mutex<Vec<String>>>,
}

fn project() -> Project {
    Project("p-01234567".into())
}

fn places(dir: &Path) -> Places {
    let [root, state, data, config] = ["root", "state", "data", "config"].map(|name| dir.join(name));
    Places { root, state, data, config }
}

fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let hear = Arc::clone(&told);
    let tasks = Tasks::open(&places(dir.path()), &project()).unwrap().with_feed(Arc::new(move |change| {
        hear.lock().unwrap().push(format!("{} {}", change.what, change.state));
        Ok(())
    }));
    World { dir, tasks, told }
}

fn user() -> By {
    By::from(Party::User)
}

fn spec(text: &str) -> TaskSpec {
    TaskSpec::text(TaskId(clock::new_id()), "c", text)
}

fn message(text: &str) -> Message {
    Message::text("m", Role::Agent, text)
}

impl World {
    fn worker(&self, name: &str) -> Worker {
        Worker::begin(&self.tasks.places, &project(), &name.parse().unwrap()).unwrap()
    }

    fn add(&self, text: &str, after: &[TaskId]) -> TaskId {
        let spec = TaskSpec { depends_on: after.to_vec(), ..spec(text) };
        self.tasks.create(spec, &user()).unwrap().spec.id
    }

    fn claim(&self, worker: &Worker) -> Option<Work> {
        self.tasks.claim(&wish(worker)).unwrap()
    }

    /// The names of the files under the root, the leases' without what they say.
    fn copies(&self) -> BTreeMap<String, Vec<u8>> {
        fn walk(dir: &Path, base: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(base).unwrap().to_str().unwrap().to_owned();
                if path.is_dir() {
                    walk(&path, base, found);
                } else if name != "REAPED" {
                    let bytes =
                        if name.starts_with("leases/") { Vec::new() } else { std::fs::read(&path).unwrap() };
                    found.insert(name, bytes);
                }
            }
        }
        let mut found = BTreeMap::new();
        walk(&self.tasks.copies.0, &self.tasks.copies.0, &mut found);
        found
    }

    fn under(&self, dir: &str) -> Vec<String> {
        self.copies().into_keys().filter(|name| name.starts_with(dir)).collect()
    }

    fn states(&self) -> Vec<TaskState> {
        self.tasks.list(&Filter::default()).unwrap().tasks.iter().map(|work| work.state).collect()
    }
}

fn by(worker: &Worker) -> By {
    By::from(Party::Worker(worker.name.clone()))
}

fn wish(worker: &Worker) -> ClaimRequest {
    ClaimRequest { by: by(worker), pid: Some(Worker::pid()), role: None, lease: None, id: None }
}

fn code<T: std::fmt::Debug>(result: Result<T>) -> &'static str {
    result.unwrap_err().code()
}

#[test]
fn a_task_from_its_creation_to_its_end() {
    let world = world();
    let tasks = &world.tasks;
    let w = world.worker("w");
    assert_eq!(world.claim(&w), None);
    let id = world.add("do it", &[]);
    assert_eq!(world.under("ready").len(), 1);
    let work = world.claim(&w).unwrap();
    assert_eq!((work.spec.id, work.generation, work.state), (id, 1, TaskState::Working));
    assert!(world.under("ready").is_empty());
    assert_eq!(world.under("claimed"), [format!("claimed/w/{id}")]);
    assert_eq!(world.under("leases"), [format!("leases/{id}")]);
    assert_eq!(world.claim(&w), None, "there is no other");
    let again = ClaimRequest { id: Some(id), ..wish(&w) };
    assert_eq!(tasks.claim(&again).unwrap().unwrap().rev, 2, "it holds it already");
    tasks.tell(id, &by(&w), 1, TaskState::InputRequired, Some(message("which one?"))).unwrap();
    tasks.say(id, &user(), message("the red one")).unwrap();
    tasks.tell(id, &by(&w), 1, TaskState::Working, None).unwrap();
    let artifact = Artifact {
        artifact_id: "a".into(),
        parts: vec![Part::text("red")],
        ..serde_json::from_str(r#"{"artifactId":"","parts":[]}"#).unwrap()
    };
    tasks.add_artifact(id, &by(&w), 1, artifact.clone()).unwrap();
    assert_eq!(code(tasks.complete(id, &by(&w), 2, None)), "not_owner");
    assert_eq!(code(tasks.complete(id, &user(), 1, None)), "not_owner");
    let done = tasks.complete(id, &by(&w), 1, Some(message("painted"))).unwrap();
    assert_eq!((done.state, done.rev), (TaskState::Completed, 7));
    assert_eq!(tasks.get(id).unwrap(), done);
    assert_eq!(code(tasks.cancel(id, &user(), None)), "terminal");
    let posted = tasks.posted(id).unwrap().unwrap();
    assert_eq!(posted, done.to_task());
    assert_eq!(WorkMeta::of(&posted).unwrap().rev, 7);
    assert_eq!(posted.artifacts, [artifact]);
    tasks.sync(id).unwrap();
    for dir in ["ready", "claimed", "leases", "waiting"] {
        assert!(world.under(dir).is_empty(), "{dir}");
    }
    assert_eq!(
        *world.told.lock().unwrap(),
        [
            "created submitted",
            "claimed working",
            "told input-required",
            "said input-required",
            "told working",
            "artifact working",
            "ended completed"
        ]
    );
    assert_eq!(code(tasks.get(TaskId(clock::new_id()))), "no_task");
    assert_eq!(code(tasks.say(TaskId(clock::new_id()), &user(), message("x"))), "no_task");
}

#[test]
fn what_is_asked_twice_is_done_once_and_answered_as_then() {
    let world = world();
    let tasks = &world.tasks;
    let w = world.worker("w");
    let op = |op: &str, by: By| By { op: Some(op.into()), ..by };
    let first = spec("x");
    let id = first.id;
    let created = tasks.create(first.clone(), &op("o1", user())).unwrap();
    let claim = ClaimRequest { by: op("o2", by(&w)), ..wish(&w) };
    let claimed = tasks.claim(&claim).unwrap().unwrap();
    let said = tasks.say(id, &op("o3", user()), message("hello")).unwrap();
    assert_eq!(said.rev, 3);
    assert_eq!(tasks.create(first.clone(), &op("o1", user())).unwrap().spec, created.spec);
    assert_eq!(tasks.claim(&claim).unwrap().unwrap(), claimed, "as it was then");
    assert_eq!(tasks.claim(&ClaimRequest { id: Some(id), ..claim }).unwrap().unwrap(), claimed);
    assert_eq!(tasks.say(id, &op("o3", user()), message("hello")).unwrap(), said);
    let done = tasks.complete(id, &op("o4", by(&w)), 1, None).unwrap();
    assert_eq!(tasks.complete(id, &op("o4", by(&w)), 1, None).unwrap(), done, "also when it is at its end");
    assert_eq!(tasks.say(id, &op("o3", user()), message("hello")).unwrap(), said);
    assert_eq!(code(tasks.complete(id, &op("o4", user()), 1, None)), "terminal", "another's is another one");
    assert_eq!(tasks.get(id).unwrap().rev, 4);
    let other = TaskSpec { id, ..spec("another") };
    assert_eq!(code(tasks.create(other, &user())), "task_exists");
    assert_eq!(code(tasks.create(first, &by(&w))), "task_exists");
}

#[test]
fn the_highest_priority_is_claimed_first_then_the_oldest_of_the_role() {
    let world = world();
    let w = world.worker("w");
    for (text, priority, role) in [
        ("a", 5, None),
        ("b", 9, None),
        ("c", 5, None),
        ("d", 9, Some("review")),
        ("e", 0, None),
        ("f", 9, None),
    ] {
        let role = role.map(str::to_owned);
        world.tasks.create(TaskSpec { priority, role, ..spec(text) }, &user()).unwrap();
    }
    let reviewer = ClaimRequest { role: Some("review".into()), ..wish(&w) };
    let first = world.claim(&w).unwrap();
    assert_eq!(first.spec.title(), "b");
    assert_eq!(world.tasks.claim(&reviewer).unwrap().unwrap().spec.title(), "d", "its role, and any");
    let rest: Vec<_> = std::iter::from_fn(|| world.claim(&w)).map(|work| work.spec.title()).collect();
    assert_eq!(rest, ["f", "a", "c", "e"]);
    let w: Party = "w".parse().unwrap();
    let of_role = Filter { role: Some("review".into()), owner: Some(w), ..Filter::default() };
    assert_eq!(world.tasks.list(&of_role).unwrap().tasks.len(), 1);
    world
        .tasks
        .release(first.spec.id, &By::from(first.owner().unwrap().clone()), 1, Some("no".into()))
        .unwrap();
    let submitted = Filter { state: Some(TaskState::Submitted), ..Filter::default() };
    assert_eq!(world.tasks.list(&submitted).unwrap().tasks[0].message.as_ref().unwrap().plain(), "no");
}

#[test]
fn of_more_than_one_shard_all_are_claimed_in_order_and_by_one_each() {
    let world = world();
    let ids: Vec<_> = (0..600).map(|n| world.add(&n.to_string(), &[])).collect();
    let shards: BTreeSet<_> =
        world.under("ready").iter().map(|name| name.split('/').nth(1).unwrap().to_owned()).collect();
    assert!((9..=11).contains(&shards.len()), "{shards:?}");
    let one = world.worker("one");
    let first: Vec<_> = (0..300).map(|_| world.claim(&one).unwrap().spec.id).collect();
    assert_eq!(first, ids[..300]);
    let claimed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for n in 0..6 {
            let (world, claimed) = (&world, &claimed);
            scope.spawn(move || {
                let worker = world.worker(&format!("w{n}"));
                while let Some(work) = world.claim(&worker) {
                    world.tasks.complete(work.spec.id, &by(&worker), work.generation, None).unwrap();
                    claimed.lock().unwrap().push(work.spec.id);
                }
            });
        }
    });
    let mut claimed = claimed.into_inner().unwrap();
    claimed.sort_unstable();
    assert_eq!(claimed, ids[300..]);
    assert!(world.under("ready").is_empty());
}

#[test]
fn a_task_waits_for_those_it_depends_on() {
    let world = world();
    let w = world.worker("w");
    let [a, b] = ["a", "b"].map(|text| world.add(text, &[]));
    let both = world.add("both", &[a, b, a]);
    let given = ClaimRequest { id: Some(both), ..wish(&w) };
    assert_eq!(code(world.tasks.claim(&given)), "dependencies_open");
    for expected in [a, b] {
        let work = world.claim(&w).unwrap();
        assert_eq!(work.spec.id, expected);
        world.tasks.complete(expected, &by(&w), 1, None).unwrap();
    }
    assert_eq!(world.claim(&w).unwrap().spec.id, both);
    assert!(world.under("waiting").is_empty());
    let late = world.add("late", &[a]);
    assert_eq!(world.claim(&w).unwrap().spec.id, late, "what it depends on was completed before");
    assert_eq!(
        code(
            world.tasks.create(TaskSpec { depends_on: vec![TaskId(clock::new_id())], ..spec("x") }, &user())
        ),
        "no_dependency"
    );
}

#[test]
fn a_failure_rejects_whatever_depends_on_it_or_holds_it() {
    let world = world();
    let w = world.worker("w");
    let a = world.add("a", &[]);
    let held = TaskSpec { depends_on: vec![a], on_failed_dependency: OnFailed::Hold, ..spec("held") };
    let held = world.tasks.create(held, &user()).unwrap().spec.id;
    // A long chain: whoever ends the first must not run out of stack or files.
    let mut last = a;
    for n in 0..300 {
        last = world.add(&n.to_string(), &[last]);
    }
    world.claim(&w).unwrap();
    world.tasks.fail(a, &by(&w), 1, Some(message("no"))).unwrap();
    let states = world.states();
    assert_eq!(states[..2], [TaskState::Failed, TaskState::Submitted]);
    assert!(states[2..].iter().all(|state| *state == TaskState::Rejected));
    let why = world.tasks.get(last).unwrap().message.unwrap().plain();
    assert!(why.starts_with("it depends on the task") && why.ends_with("which is rejected"), "{why}");
    assert_eq!(world.claim(&w), None);
    assert_eq!(world.under("waiting"), [format!("waiting/{a}/{held}")]);
    assert!(world.under("claimed").is_empty());
    assert_eq!(world.tasks.get(world.add("after", &[last])).unwrap().state, TaskState::Rejected, "at once");
    assert_eq!(code(world.tasks.cancel(held, &by(&w), None)), "not_yours");
    world.tasks.cancel(held, &user(), None).unwrap();
}

#[test]
fn what_a_holder_that_is_gone_held_is_for_others() {
    let world = world();
    let w = world.worker("w");
    let [a, b] = ["a", "b"].map(|text| world.add(text, &[]));
    assert_eq!(world.claim(&w).unwrap().spec.id, a);
    world.tasks.tell(a, &by(&w), 1, TaskState::AuthRequired, None).unwrap();
    assert_eq!(world.tasks.reap().unwrap(), crate::a2a::reap::Reaped::default(), "it lives");
    let gone = by(&w);
    drop(w);
    assert_eq!(world.tasks.reap().unwrap().requeued, 1);
    let work = world.tasks.get(a).unwrap();
    assert_eq!((work.state, work.requeued_after), (TaskState::Submitted, Some(After::OwnerGone)));
    let next = world.worker("x");
    assert_eq!(world.claim(&next).unwrap().generation, 2, "the oldest again");
    assert_eq!(code(world.tasks.complete(a, &gone, 1, None)), "not_owner");
    let given = ClaimRequest { id: Some(b), ..wish(&next) };
    world.tasks.claim(&given).unwrap();
    drop(next);
    let last = world.worker("y");
    let given = ClaimRequest { id: Some(b), ..wish(&last) };
    assert_eq!(world.tasks.claim(&given).unwrap().unwrap().generation, 2, "nobody had to reap before");
}

#[test]
fn a_claim_in_the_name_of_an_agent_rings_its_keeper_and_so_does_whoever_makes_its_entry_again() {
    let world = world();
    let (session, agent): (Session, AgentId) = ("fix".parse().unwrap(), AgentId(clock::new_id()));
    names::reserve(&world.tasks.places, &session, &project(), agent).unwrap();
    let record = world.tasks.places.record(&project(), agent);
    file::make_dirs(&record.0).unwrap();
    // The lock of a keeper that is another process.
    let _lock = lock::exclusive(&record.keeper_lock(), LIMIT).unwrap();
    std::fs::write(record.keeper_lock(), "1\n").unwrap();
    let a = world.add("a", &[]);
    let name = Party::Worker(session);
    let request = ClaimRequest { by: name.clone().into(), pid: Some(1), role: None, lease: None, id: None };
    crate::tools::runtime::runtime().unwrap().block_on(async {
        let mut bell = fifo::Bell::listen(&record.bell()).unwrap();
        world.tasks.claim(&request).unwrap().unwrap();
        bell.rung().await.unwrap();
        // The root is wiped, so the keeper has seen that it holds nothing.
        std::fs::remove_dir_all(&world.tasks.copies.0).unwrap();
        world.tasks.build().unwrap();
        bell.rung().await.unwrap();
        assert_eq!(world.tasks.get(a).unwrap().owner(), Some(&name));
        assert!(world.tasks.copies.lease(a).exists());
    });
}

#[test]
fn a_lease_that_is_not_renewed_ends_the_claim() {
    let world = world();
    let w = world.worker("w");
    let a = world.add("a", &[]);
    world.claim(&w).unwrap();
    let lease = world.tasks.copies.lease(a);
    let over = |boot: &str| {
        let text = std::fs::read_to_string(&lease).unwrap();
        let (_, rest) = text.split_once(' ').unwrap();
        let rest = rest.replace(&world.tasks.boot, boot);
        std::fs::write(&lease, format!("{:020} {rest}", 0)).unwrap();
    };
    over(&world.tasks.boot);
    assert_eq!(world.tasks.renew(&by(&w).name).unwrap(), 1);
    assert_eq!(world.tasks.reap().unwrap().requeued, 0);
    over(&world.tasks.boot);
    assert_eq!(world.tasks.reap().unwrap().requeued, 1);
    assert_eq!(world.tasks.get(a).unwrap().requeued_after, Some(After::LeaseOver));
    assert_eq!(world.tasks.renew(&by(&w).name).unwrap(), 0);
    // Nobody's process: the lease alone tells.
    let person = ClaimRequest { by: user(), pid: None, ..wish(&w) };
    let work = world.tasks.claim(&person).unwrap().unwrap();
    assert_eq!(work.holder.unwrap().lease_ms, 3_600_000);
    std::fs::remove_file(&lease).unwrap();
    assert_eq!(world.tasks.reap().unwrap().mended, 1, "without one it begins anew");
    assert!(lease.exists());
    over(&world.tasks.boot);
    assert_eq!(world.tasks.reap().unwrap().requeued, 1);
}

#[test]
fn after_a_wipe_all_copies_are_as_they_were_and_after_a_reboot_nobody_holds_anything() {
    let world = world();
    let w = world.worker("w");
    let [a, b, c] = ["a", "b", "c"].map(|text| world.add(text, &[]));
    world.add("waits", &[a, c]);
    world.claim(&w).unwrap();
    let b_of = world.claim(&w).unwrap();
    assert_eq!(b_of.spec.id, b);
    world.tasks.complete(b, &by(&w), 1, None).unwrap();
    world.add("ready", &[b]);
    world.tasks.cancel(world.add("no", &[c]), &user(), None).unwrap();
    let mut before = world.copies();
    // What waits in vain is removed by whoever finds it.
    before.retain(|name, _| !name.starts_with(&format!("waiting/{c}")));
    std::fs::remove_dir_all(&world.tasks.places.root).unwrap();
    world.tasks.list(&Filter::default()).unwrap();
    assert_eq!(world.claim(&w).unwrap().spec.id, c, "whoever comes makes them");
    world.tasks.release(c, &by(&w), 1, None).unwrap();
    std::fs::remove_dir_all(&world.tasks.places.root).unwrap();
    let again = Tasks::open(&places(world.dir.path()), &project()).unwrap();
    let mut after = world.copies();
    after.retain(|name, _| !name.starts_with(&format!("waiting/{c}")));
    // A shard is called by whatever is first in it.
    let name = |name: &String| match name.split('/').collect::<Vec<_>>().as_slice() {
        ["ready", shard, entry] => format!("ready/{}/{entry}", &shard[..1]),
        _ => name.clone(),
    };
    let names = |copies: &BTreeMap<String, Vec<u8>>| copies.keys().map(name).collect::<BTreeSet<_>>();
    assert_eq!(names(&before), names(&after));
    for work in again.list(&Filter::default()).unwrap().tasks {
        assert_eq!(again.posted(work.spec.id).unwrap().unwrap(), work.to_task());
    }
    std::fs::remove_dir_all(&world.tasks.places.root).unwrap();
    let rebooted = Tasks { boot: "another".into(), ..again };
    rebooted.build().unwrap();
    let work = rebooted.get(a).unwrap();
    assert_eq!((work.state, work.requeued_after), (TaskState::Submitted, Some(After::Reboot)));
}

#[test]
fn entries_in_vain_and_half_made_tasks_are_cleared_away() {
    let world = world();
    let w = world.worker("w");
    let a = world.add("a", &[]);
    let ghost = TaskId(clock::new_id());
    let copies = &world.tasks.copies;
    // As a creator leaves it that dies before its first entry.
    std::fs::write(world.tasks.places.task(&project(), ghost), "").unwrap();
    let ready = world.under("ready");
    let shard = copies.0.join(Path::new(&ready[0]).parent().unwrap());
    std::fs::write(shard.join(format!("00000000000001-{ghost}")), "").unwrap();
    for path in [copies.waits(a, ghost), copies.claim(&Party::User, ghost)] {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "").unwrap();
    }
    assert_eq!(code(world.tasks.get(ghost)), "no_task");
    let work = world.claim(&w).unwrap();
    assert_eq!(work.spec.id, a);
    world.tasks.reap().unwrap();
    world.tasks.complete(a, &by(&w), 1, None).unwrap();
    let left: Vec<_> = world.copies().into_keys().collect();
    assert_eq!(left, ["BUILT".to_owned(), format!("tasks/{a}.json")]);
    assert!(!world.tasks.places.task(&project(), ghost).exists());
}

#[test]
fn a_damaged_journal_harms_no_other_task_and_can_be_put_aside() {
    let world = world();
    let w = world.worker("w");
    let a = world.add("a", &[]);
    let after = world.add("after", &[a]);
    let path = world.tasks.places.task(&project(), a);
    let good = std::fs::read(&path).unwrap();
    world.tasks.say(a, &user(), message("x")).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let b = world.add("b", &[]);
    let listed = world.tasks.list(&Filter::default()).unwrap();
    assert_eq!((listed.tasks.len(), listed.unreadable.len()), (2, 1));
    assert!(listed.unreadable[0].to_string().contains(&a.to_string()));
    assert_eq!(code(world.tasks.get(a)), "damaged");
    assert_eq!(code(world.tasks.say(a, &user(), message("x"))), "damaged");
    assert_eq!(world.claim(&w).unwrap().spec.id, b);
    std::fs::remove_dir_all(&world.tasks.places.root).unwrap();
    assert_eq!(world.claim(&w), None);
    assert_eq!(code(world.tasks.cancel(a, &by(&w), None)), "damaged", "not by anybody");
    let work = world.tasks.cancel(a, &user(), None).unwrap();
    assert_eq!(work.state, TaskState::Canceled);
    assert!(work.damaged.unwrap().contains("damaged-1"));
    assert_eq!(std::fs::read(path.with_extension("damaged-1")).unwrap(), bytes);
    assert_eq!(world.tasks.get(after).unwrap().state, TaskState::Rejected);
    drop(good);
}

#[test]
fn what_is_too_large_for_a_record_is_refused_or_becomes_a_file() {
    let world = world();
    let w = world.worker("w");
    let long = "x".repeat(70 << 10);
    assert_eq!(code(world.tasks.create(spec(&long), &user())), "too_large");
    let a = world.add("a", &[]);
    world.claim(&w).unwrap();
    assert_eq!(code(world.tasks.say(a, &user(), message(&long))), "too_large");
    assert_eq!(code(world.tasks.complete(a, &by(&w), 1, Some(message(&long)))), "too_large");
    let artifact: Artifact =
        serde_json::from_value(serde_json::json!({"artifactId": "a", "parts": [{"text": long}]})).unwrap();
    let work = world.tasks.add_artifact(a, &by(&w), 1, artifact).unwrap();
    let url = work.artifacts[0].parts[0].url.as_ref().unwrap();
    assert_eq!(std::fs::read_to_string(url.strip_prefix("file://").unwrap()).unwrap(), long);
    assert_eq!(world.tasks.get(a).unwrap().state, TaskState::Working, "what is refused changes nothing");
    assert!(world.tasks.copies.lease(a).exists());
}

#[test]
fn a_worker_is_one_and_no_agent() {
    let world = world();
    let w = world.worker("w");
    let places = &world.tasks.places;
    assert_eq!(code(Worker::begin(places, &project(), &w.name)), "locked");
    let agent = "agent".parse().unwrap();
    crate::a2a::names::reserve(places, &agent, &project(), crate::model::ids::AgentId(clock::new_id()))
        .unwrap();
    assert_eq!(code(Worker::begin(places, &project(), &agent)), "name_of_agent");
    // An agent lives while its keeper does.
    let record = crate::a2a::names::find(places, &agent).unwrap().unwrap().record;
    file::make_dirs(&record.0).unwrap();
    let keeper = crate::a2a::record::take(&record).unwrap();
    let a = world.add("a", &[]);
    let by = By::from(Party::Worker(agent));
    let claim = ClaimRequest { by, pid: Some(Worker::pid()), role: None, lease: None, id: None };
    world.tasks.claim(&claim).unwrap().unwrap();
    assert_eq!(world.tasks.reap().unwrap().requeued, 0);
    drop(keeper);
    assert_eq!(world.tasks.reap().unwrap().requeued, 1);
    assert_eq!(world.tasks.get(a).unwrap().generation, 1);
}
