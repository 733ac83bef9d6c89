//! Eight workers and six creators, one of which is killed every now and then and replaced: in the end every task has ended once, and
//! whatever anybody was told is so.

use super::scenes::World;
use super::{actor_command, check};
use crate::dice::Dice;
use ai_orch::a2a::tasks::{By, Filter};
use ai_orch::model::a2a::TaskState;
use ai_orch::model::ids::Party;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};

const WORKERS: usize = 8;
const CREATORS: usize = 6;
/// The most lines that are heard between two deaths.
const BETWEEN: usize = 12;

struct Actors<'w> {
    world: &'w World,
    say: Sender<String>,
    running: Vec<Child>,
    started: u64,
}

impl Actors<'_> {
    fn start(&mut self, kind: &str, seed: u64) -> Child {
        self.started += 1;
        let act = format!("{kind} {}", seed.wrapping_mul(1_000_003).wrapping_add(self.started));
        let mut child = actor_command(self.world, &act, None).stdout(Stdio::piped()).spawn().unwrap();
        let (out, say) = (BufReader::new(child.stdout.take().unwrap()), self.say.clone());
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                // Nobody listens any more: it is over.
                say.send(line).ok();
            }
        });
        child
    }
}

impl Drop for Actors<'_> {
    fn drop(&mut self) {
        for child in &mut self.running {
            // One that has ended has ended.
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// Hammers until `kills` were killed. The seed decides who does what, and who is killed after how many words; not when.
pub fn hammer(seed: u64, kills: usize) {
    println!("hammering: --seed {seed}");
    let world = World::new();
    drop(world.tasks());
    let (say, heard): (_, Receiver<String>) = channel();
    let mut actors = Actors { world: &world, say, running: Vec::new(), started: 0 };
    let mut dice = Dice::new(seed);
    let kind = |at: usize| if at < WORKERS { "work" } else { "make" };
    for at in 0..WORKERS + CREATORS {
        let child = actors.start(kind(at), seed);
        actors.running.push(child);
    }
    let mut said = Vec::new();
    for _ in 0..kills {
        for _ in 0..=dice.below(BETWEEN) {
            said.push(heard.recv_timeout(crate::house::PATIENCE).expect("somebody does something"));
        }
        let at = dice.below(actors.running.len());
        let ended = actors.running[at].try_wait().unwrap();
        assert!(ended.is_none(), "--seed {seed}: an actor ended by itself: {ended:?}");
        actors.running[at].kill().unwrap();
        actors.running[at].wait().unwrap();
        actors.running[at] = actors.start(kind(at), seed);
    }
    std::fs::write(world.path("stop"), "").unwrap();
    for mut child in std::mem::take(&mut actors.running) {
        assert!(child.wait().unwrap().success(), "an actor failed");
    }
    drop(actors);
    said.extend(heard);
    let mut wrong = Vec::new();
    judge(&world, &said, &mut wrong);
    let panics: Vec<_> = said.iter().filter(|line| line.contains("panicked")).collect();
    assert!(wrong.is_empty() && panics.is_empty(), "--seed {seed}: {wrong:#?} {panics:?}");
}

fn judge(world: &World, said: &[String], wrong: &mut Vec<String>) {
    let tasks = world.tasks();
    tasks.reap().unwrap();
    check::whole(&world.path(""), &tasks, wrong);
    // What is held back for good, and what the last of the dead have held.
    let claimed_last = |work: &&ai_orch::model::work::Work| !work.state.is_terminal();
    let rest: Vec<_> = tasks.list(&Filter::default()).unwrap().tasks.into_iter().collect();
    for work in rest.iter().filter(claimed_last) {
        tasks.cancel(work.spec.id, &By::from(Party::User), None).ok();
    }
    check::finished(&world.path(""), &tasks, wrong);
    let all = tasks.list(&Filter::default()).unwrap().tasks;
    let states: BTreeMap<String, (TaskState, u64)> =
        all.iter().map(|work| (work.spec.id.to_string(), (work.state, work.generation))).collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for line in said {
        let words: Vec<&str> = line.split(' ').collect();
        let [what, id, generation] = words.as_slice() else { continue };
        let Ok(generation) = generation.parse::<u64>() else { continue };
        *counts.entry(what).or_default() += 1;
        let Some((state, last)) = states.get(*id) else {
            wrong.push(format!("{line}, and there is no such task"));
            continue;
        };
        let fine = match *what {
            "completed" => *state == TaskState::Completed && *last == generation,
            "failed" => *state == TaskState::Failed && *last == generation,
            "canceled" => *state == TaskState::Canceled,
            "claimed" | "released" => *last >= generation,
            _ => true,
        };
        if !fine {
            wrong.push(format!("{line}, and it is {state} with generation {last}"));
        }
    }
    println!("{} tasks; acknowledged: {counts:?}", all.len());
}
