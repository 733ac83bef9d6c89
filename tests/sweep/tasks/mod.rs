//! Tasks: whoever changes one is made to die, or to fail, at each of its crash points and system calls; and many workers and creators
//! are killed at random. What was acknowledged is there, nothing is done twice, and everything can be worked off.

mod actor;
mod check;
mod hammer;
mod scenes;

use crate::dice::Dice;
use crate::option;
use crate::syscalls::{self, Injection};
use scenes::{ALL, Scene, World};
use std::fmt;
use std::fs;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// What an actor process is told by.
pub const ACT: &str = "TASKS_ACT";
/// What a line begins with that says what is wrong.
pub const WRONG: &str = "WRONG: ";
/// Where it does it.
pub const DIR: &str = "TASKS_DIR";

/// How an actor dies or fails.
#[derive(Debug, Clone)]
enum Death {
    /// Not at all.
    None,
    /// At a crash point.
    Point(u32, String),
    /// At a system call, or with an error from it.
    Call(Injection),
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => write!(f, "nothing dies"),
            Self::Point(n, what) => write!(f, "{n}: {what}"),
            Self::Call(injection) => write!(f, "{injection}: {}", injection.what),
        }
    }
}

/// A command that runs this program as an actor in `world`.
fn actor_command(world: &World, act: &str, strace: Option<Vec<String>>) -> Command {
    let me = std::env::current_exe().unwrap();
    let mut command = match strace {
        Some(words) => {
            let mut command = Command::new("strace");
            // The harness runs a test in a thread of its own.
            command.arg("-f").args(words).arg(me);
            command
        }
        None => Command::new(me),
    };
    command.args(["tasks::an_actor", "--exact", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(ACT, act).env(DIR, world.path("")).stdin(Stdio::null());
    command
}

/// What came of one death.
struct Played {
    /// What is wrong afterwards.
    wrong: Vec<String>,
    /// What was passed on the way.
    passed: Vec<String>,
    /// Whether it came to the death.
    reached: bool,
}

/// Lets `scene` happen in a new world.
fn play(scene: &Scene, death: &Death, listing: bool) -> Played {
    let world = World::new();
    let act = (scene.stage)(&world);
    let trace = world.path("trace");
    let strace = match death {
        Death::Call(injection) => Some(injection.words(&trace)),
        Death::None if listing => Some(Injection::listing(&trace)),
        Death::None | Death::Point(..) => None,
    };
    let mut command = actor_command(&world, &act, strace);
    if let Death::Point(n, _) = death {
        command.env("AI_ORCH_CRASH", format!("actor:{n}"));
    }
    let log = world.path("points");
    if !listing && matches!(death, Death::None) {
        command.env("AI_ORCH_CRASH_LOG", &log);
    }
    let done = command.output().unwrap();
    let out = String::from_utf8_lossy(&done.stdout).into_owned();
    let acked = out.lines().any(|line| line.ends_with("ACK"));
    let mut wrong = Vec::new();
    if matches!(death, Death::None) && !acked {
        wrong.push(format!("it was not done: {out}{}", String::from_utf8_lossy(&done.stderr)));
    }
    let panicked = String::from_utf8_lossy(&done.stderr).contains("panicked");
    if panicked {
        wrong.push(format!("it panicked: {}", String::from_utf8_lossy(&done.stderr)));
    }
    wrong.extend(judge(&world, &act, acked));
    let text = fs::read_to_string(if log.exists() { log } else { trace }).unwrap_or_default();
    let reached = match death {
        Death::None => true,
        Death::Point(..) => !done.status.success(),
        Death::Call(_) => text.contains("(INJECTED)") || text.contains("killed by SIGKILL"),
    };
    Played { wrong, passed: text.lines().map(str::to_owned).collect(), reached }
}

/// What is wrong after `act`. A process of its own finds that out: whatever this one has locked stays locked for as long as it
/// takes the children that it starts meanwhile to become their programs.
fn judge(world: &World, act: &str, acked: bool) -> Vec<String> {
    let done = actor_command(world, &format!("judge {acked} {act}"), None).output().unwrap();
    let out = String::from_utf8_lossy(&done.stdout);
    let mut wrong: Vec<String> =
        out.lines().filter_map(|line| line.strip_prefix(WRONG)).map(str::to_owned).collect();
    if !done.status.success() {
        wrong.push(format!("nobody could judge it: {}", String::from_utf8_lossy(&done.stderr)));
    }
    wrong
}

/// The lines of a trace that are the actor's thread's, without its number. Calls are counted for each thread.
fn of_actor(trace: &[String]) -> String {
    let lines = || trace.iter().filter_map(|line| line.split_once(char::is_whitespace));
    let actor = lines().find(|(_, call)| call.contains("/orch")).map_or("", |(thread, _)| thread);
    let ours = lines().filter(|(thread, _)| *thread == actor).map(|(_, call)| call.trim_start());
    ours.collect::<Vec<_>>().join("\n")
}

/// All deaths of all scenes.
fn deaths(traced: bool) -> Vec<(&'static Scene, Death)> {
    let mut all = Vec::new();
    for scene in &ALL {
        let Played { wrong, passed, .. } = play(scene, &Death::None, false);
        assert!(wrong.is_empty(), "{}: {wrong:#?}", scene.name);
        for (n, line) in (1..).zip(&passed) {
            all.push((scene, Death::Point(n, line.clone())));
        }
        if traced {
            let Played { wrong, passed, .. } = play(scene, &Death::None, true);
            assert!(wrong.is_empty(), "{}: {wrong:#?}", scene.name);
            let calls = syscalls::injections(&of_actor(&passed), None);
            assert!(calls.len() > 20, "the calls of {} are seen: {calls:?}", scene.name);
            all.extend(calls.into_iter().map(|call| (scene, Death::Call(call))));
        }
    }
    all
}

/// Plays deaths, several at once; fails if anything is wrong.
fn sweep(sample: Option<(u64, usize)>, jobs: usize) {
    let traced = syscalls::can_trace();
    if !traced {
        println!("SKIPPED: the system calls, because strace is not there or may not trace");
    }
    let mut cases = deaths(traced);
    if let Some(only) = option("ONLY") {
        cases.retain(|(scene, death)| format!("{} {death}", scene.name).starts_with(&only));
    }
    if let Some((seed, n)) = sample {
        Dice::new(seed).shuffle(&mut cases);
        cases.truncate(n);
    }
    let [next, wrong, missed] = [(); 3].map(|()| AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some((scene, death)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let played = play(scene, death, false);
                    missed.fetch_add(usize::from(!played.reached), Ordering::Relaxed);
                    if !played.wrong.is_empty() {
                        wrong.fetch_add(1, Ordering::Relaxed);
                        println!("WRONG {} {death}\n  - {}", scene.name, played.wrong.join("\n  - "));
                    }
                }
            });
        }
    });
    let (wrong, missed) = (wrong.into_inner(), missed.into_inner());
    println!("{} cases: {wrong} wrong, {missed} did not come to their point", cases.len());
    assert!(wrong == 0, "{wrong} of {} cases are wrong", cases.len());
}

/// No test: what the others start as a process of its own.
#[test]
#[ignore = "the others run it"]
fn an_actor() {
    actor::main();
}

#[test]
fn a_sample_of_deaths_of_tasks() {
    sweep(Some((1, 60)), 4);
}

#[test]
#[ignore = "shell/sweep --tasks runs it: it takes minutes"]
fn every_death_of_tasks() {
    sweep(None, option("JOBS").map_or(4, |jobs| jobs.parse().expect("a number of jobs")));
}

#[test]
fn a_short_hammering() {
    hammer::hammer(1, 300);
}

#[test]
#[ignore = "shell/sweep --hammer runs it"]
fn hammering() {
    let seed =
        option("SEED").map_or_else(|| u64::from(std::process::id()), |seed| seed.parse().expect("a seed"));
    let kills = option("ROUNDS").map_or(3000, |n| n.parse().expect("a number of kills"));
    hammer::hammer(seed, kills);
}
