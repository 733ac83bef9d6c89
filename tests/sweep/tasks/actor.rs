//! What an actor process does: one operation, acknowledged by a line; or work, or the creation of work, until it is killed.

use super::check;
use super::scenes::{self, op_of};
use crate::dice::Dice;
use ai_orch::a2a::tasks::{By, ClaimRequest, Tasks};
use ai_orch::a2a::worker::Worker;
use ai_orch::a2a::{Error, Result};
use ai_orch::model::a2a::{Artifact, Message, Part, Role, TaskState};
use ai_orch::model::ids::{Party, Session, TaskId};
use ai_orch::model::work::{OnFailed, TaskSpec, Work};
use ai_orch::tools::{clock, crash};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long an idle worker waits before it looks again.
const IDLE: Duration = Duration::from_millis(5);

/// The actor, told by the environment.
pub fn main() {
    let Ok(act) = std::env::var(super::ACT) else { return };
    let dir = PathBuf::from(std::env::var(super::DIR).unwrap());
    crash::role("actor");
    be_ahead();
    match act.split(' ').collect::<Vec<_>>().as_slice() {
        ["work", seed] => work(&dir, seed.parse().unwrap()),
        ["make", seed] => make(&dir, seed.parse().unwrap()),
        ["judge", acked, act @ ..] => {
            for what in check::after(&dir, &act.join(" "), acked.parse().unwrap()) {
                say(&format!("{}{what}", super::WRONG));
            }
        }
        _ => match run(&dir, &act) {
            Ok(true) => say("ACK"),
            Ok(false) => say("nothing to do"),
            Err(error) => say(&format!("ERR {} {error}", error.code())),
        },
    }
}

/// Makes more calls of each kind than the harness did before: so the k-th that is to fail is ours, and not the harness's, whose
/// thread is counted for itself.
fn be_ahead() {
    for _ in 0..8 {
        let mut nothing = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null").unwrap();
        nothing.write_all(b"-").unwrap();
        std::io::Read::read(&mut nothing, &mut [0]).unwrap();
    }
}

/// Writes a line in one piece.
fn say(line: &str) {
    let mut out = std::io::stdout();
    out.write_all(format!("\n{line}\n").as_bytes()).ok();
    out.flush().ok();
}

/// Does what `act` says; whether it did. Twice is the same as once.
pub fn run(dir: &Path, act: &str) -> Result<bool> {
    let tasks = scenes::tasks(dir)?;
    let words: Vec<&str> = act.split(' ').collect();
    let id = |word: &str| word.parse::<TaskId>().unwrap();
    let worker = || By { name: "w".parse().unwrap(), op: Some(op_of(act)) };
    let user = || By { name: Party::User, op: Some(op_of(act)) };
    let message = |text: &str| Message::text("m", Role::Agent, text);
    match words.as_slice() {
        ["create", new, after @ ..] => {
            let depends_on = after.iter().copied().map(id).collect();
            tasks.create(TaskSpec { depends_on, ..TaskSpec::text(id(new), "c", "new") }, &user()).map(drop)
        }
        ["claim", name] => {
            let worker = Worker::begin(&scenes::places(dir), &scenes::project(), &name.parse().unwrap())?;
            let by = By { name: Party::Worker(worker.name.clone()), op: Some(op_of(act)) };
            let pid = Some(Worker::pid());
            // Nothing to claim is nothing acknowledged: whatever hinders the look for the dead is for the next one.
            return Ok(tasks.claim(&ClaimRequest { by, pid, role: None, lease: None, id: None })?.is_some());
        }
        ["tell", task] => tasks
            .tell(id(task), &worker(), 1, TaskState::InputRequired, Some(message("which one?")))
            .map(drop),
        ["say", task] => tasks.say(id(task), &user(), message("the red one")).map(drop),
        ["artifact", task] => {
            let json = r#"{"artifactId":"a","parts":[]}"#;
            let parts = vec![Part::text("x".repeat(70 << 10))];
            let artifact = Artifact { parts, ..serde_json::from_str(json).unwrap() };
            tasks.add_artifact(id(task), &worker(), 1, artifact).map(drop)
        }
        ["complete", task] => tasks.complete(id(task), &worker(), 1, None).map(drop),
        ["fail", task] => tasks.fail(id(task), &worker(), 1, None).map(drop),
        ["release", task] => tasks.release(id(task), &worker(), 1, None).map(drop),
        ["cancel", task] => tasks.cancel(id(task), &user(), None).map(drop),
        ["sync", task] => tasks.sync(id(task)),
        ["renew"] => tasks.renew(&worker().name).map(drop),
        ["reap"] => tasks.reap().map(drop),
        ["open"] => Ok(()),
        other => panic!("what is {other:?}?"),
    }
    .map(|()| true)
}

/// A name that no worker had before.
fn new_name(prefix: &str) -> Session {
    format!("{prefix}-{}", clock::new_id()).parse().unwrap()
}

/// Claims and ends tasks until there are none left and no more come.
fn work(dir: &Path, seed: u64) {
    let mut dice = Dice::new(seed);
    let tasks = scenes::tasks(dir).unwrap();
    let worker = Worker::begin(&scenes::places(dir), &scenes::project(), &new_name("w")).unwrap();
    let by = By::from(Party::Worker(worker.name.clone()));
    let request =
        ClaimRequest { by: by.clone(), pid: Some(Worker::pid()), role: None, lease: None, id: None };
    loop {
        let stop = dir.join("stop").exists();
        match tasks.claim(&request).unwrap() {
            Some(work) => one(&tasks, &by, &work, &mut dice),
            None if stop => return,
            None => std::thread::park_timeout(IDLE),
        }
    }
}

/// One task, as somebody works on it. Others may cancel it meanwhile.
fn one(tasks: &Tasks, by: &By, work: &Work, dice: &mut Dice) {
    let (id, generation) = (work.spec.id, work.generation);
    say(&format!("claimed {id} {generation}"));
    let told = match dice.below(3) {
        0 => tasks.tell(id, by, generation, TaskState::InputRequired, None).map(drop),
        1 => tasks.renew(&by.name).map(drop),
        _ => Ok(()),
    };
    let ended = told.and_then(|()| match dice.below(20) {
        0 => tasks.fail(id, by, generation, None).map(|_| "failed"),
        1 => tasks.release(id, by, generation, None).map(|_| "released"),
        _ => tasks.complete(id, by, generation, None).map(|_| "completed"),
    });
    match ended {
        Ok(how) => say(&format!("{how} {id} {generation}")),
        Err(Error::Refused(why)) if why.code() == "terminal" => say("canceled before"),
        Err(error) => panic!("{error}"),
    }
}

/// Creates tasks, some of which depend on others, until it is told to stop; and cancels some.
fn make(dir: &Path, seed: u64) {
    let mut dice = Dice::new(seed);
    let tasks = scenes::tasks(dir).unwrap();
    let by = By::from(Party::User);
    let mut known: Vec<TaskId> = Vec::new();
    while !dir.join("stop").exists() {
        let id = TaskId(clock::new_id());
        let mut spec = TaskSpec::text(id, "c", "work");
        spec.priority = u8::try_from(dice.below(10)).unwrap();
        for _ in 0..dice.below(3).min(known.len()) {
            spec.depends_on.push(known[known.len() - 1 - dice.below(known.len().min(6))]);
        }
        if dice.below(10) == 0 {
            spec.on_failed_dependency = OnFailed::Hold;
        }
        tasks.create(spec, &by).unwrap();
        say(&format!("created {id} 0"));
        known.push(id);
        if dice.below(12) == 0 {
            let one = known[dice.below(known.len())];
            match tasks.cancel(one, &by, None) {
                Ok(_) => say(&format!("canceled {one} 0")),
                Err(Error::Refused(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        // Otherwise there is soon more to do than anybody does.
        std::thread::park_timeout(IDLE);
    }
}
