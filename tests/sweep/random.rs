//! Rounds of what people and machines do, in no sensible order: agents started and killed, processes killed, the root
//! wiped, the disk filled. The order comes from a seed; when things happen does not.

use crate::check::{self, Findings, Memory};
use crate::dice::Dice;
use crate::house::House;
use crate::scenarios::Then;
use crate::stage::Stage;
use crate::{option, recover};
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The chains that agents are started with.
const CHAINS: [&str; 7] = ["worker", "slow", "faulty,worker", "committer", "daemons", "faulty,slow", "mover"];
/// How large the disk is that is filled.
const ROOM: &str = "size=8m,mode=0755";

/// One thing that happens.
#[derive(Debug, Clone)]
enum Action {
    Start {
        name: String,
        chain: &'static str,
        /// With a pull request for its result.
        delivers: bool,
    },
    /// Merges the results of at most this many agents.
    Merge(usize),
    /// Kills the process that is at this place, modulo how many there are.
    KillProcess(usize),
    KillServer,
    /// Kills the agent that is at this place.
    Kill(usize),
    WipeRoot,
    FillDisk,
    FreeDisk,
    Verb(&'static [&'static str]),
    /// Lets this much time go by.
    Pass(Duration),
}

/// The actions of a round.
fn plan(seed: u64) -> Vec<Action> {
    let mut dice = Dice::new(seed);
    let mut plan = vec![start(&mut dice, 0)];
    for i in 1..dice.between(10, 25) {
        plan.push(match dice.below(22) {
            0..=5 => start(&mut dice, i),
            6..=9 => Action::KillProcess(dice.below(1000)),
            10 => Action::KillServer,
            11..=12 => Action::Kill(dice.below(1000)),
            13 => Action::WipeRoot,
            14 => Action::FillDisk,
            15 => Action::FreeDisk,
            16 => Action::Verb(&["resume", "--all"]),
            17 => Action::Verb([&["clean"], &["undo"]][dice.below(2)]),
            18..=19 => Action::Merge(dice.between(1, 4)),
            20 => Action::Verb([&["merge", "--continue"], &["merge", "--abort"]][dice.below(2)]),
            _ => Action::Pass(Duration::from_millis(dice.below(400) as u64)),
        });
        plan.push(Action::Pass(Duration::from_millis(dice.below(120) as u64)));
    }
    plan
}

fn start(dice: &mut Dice, i: usize) -> Action {
    let chain = CHAINS[dice.below(CHAINS.len())];
    let delivers = dice.below(4) == 0 && chain != "mover";
    Action::Start { name: format!("{}-{i}", chain.replace(',', "-")), chain, delivers }
}

/// A small disk under the state; nothing if we may not mount one.
struct Small(Option<PathBuf>);

impl Small {
    fn under(house: &House) -> Self {
        let at = house.path("home/.local/state");
        fs::create_dir_all(&at).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", ROOM, "sweep"]).arg(&at).output();
        Self(mounted.is_ok_and(|o| o.status.success()).then_some(at))
    }

    fn fill(&self) {
        let Some(at) = &self.0 else { return };
        // Until it takes no more.
        let mut file = fs::OpenOptions::new().create(true).append(true).open(at.join("filler")).unwrap();
        while std::io::Write::write_all(&mut file, &[0; 4096]).is_ok() {}
    }

    fn free(&self) {
        if let Some(at) = &self.0 {
            fs::remove_file(at.join("filler")).ok();
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        if let Some(at) = &self.0 {
            Command::new("umount").arg("-l").arg(at).output().ok();
        }
    }
}

fn kill_9(pid: i32) {
    Command::new("kill").args(["-9", &pid.to_string()]).output().ok();
}

/// What came of all rounds together: rounds in which nothing comes of an action prove nothing about it.
#[derive(Default)]
struct Tally {
    merged: AtomicUsize,
    delivered: AtomicUsize,
}

/// Plays a round; what is wrong afterwards.
fn round(seed: u64, tally: &Tally) -> Vec<String> {
    let house = House::new();
    let small = Small::under(&house);
    let stage = Stage::in_house(house, false);
    let mut started: Vec<(String, Child)> = Vec::new();
    let mut others: Vec<Child> = Vec::new();
    let mut killed = Vec::new();
    for action in plan(seed) {
        match action {
            Action::Start { name, chain, delivers } => {
                let words = crate::scenarios::run(&stage, chain, &name);
                let words = match (delivers, chain) {
                    (true, _) => crate::delivery::with(words, "--open-pr"),
                    (false, "mover") => crate::delivery::with(words, "--no-push"),
                    (false, _) => words,
                };
                started.push((name, stage.house.orch(words).spawn()));
            }
            Action::KillProcess(at) => {
                let mut all = stage.house.processes();
                all.sort();
                if !all.is_empty() {
                    let (pid, words) = all.swap_remove(at % all.len());
                    kill_9(pid);
                    killed.push(words);
                }
            }
            Action::KillServer => {
                for (pid, words) in stage.house.processes() {
                    if words.starts_with("tmux") && words.contains("new-session") {
                        kill_9(pid);
                    }
                }
            }
            Action::Kill(at) => {
                if let Some((name, _)) = started.get(at % started.len()) {
                    others.push(stage.house.orch(["kill", name.as_str()]).spawn());
                }
            }
            Action::Merge(most) => {
                let done = some_done(&stage);
                let names: Vec<&str> = done.iter().map(String::as_str).take(most).collect();
                if !names.is_empty() {
                    others.push(stage.house.orch(crate::merging::queue(&names)).spawn());
                }
            }
            Action::WipeRoot => drop(fs::remove_dir_all(stage.house.path("root"))),
            Action::FillDisk => small.fill(),
            Action::FreeDisk => small.free(),
            Action::Verb(words) => {
                if recover::knows(words[0]) {
                    others.push(stage.house.orch(words).spawn());
                }
            }
            Action::Pass(time) => std::thread::park_timeout(time),
        }
    }
    small.free();
    let mut findings = Findings::default();
    for child in others {
        wait(child, &mut findings);
    }
    for (name, child) in started {
        let said = wait(child, &mut findings);
        // Where clean is known, it may have been cleaned by now.
        let there = recover::knows("clean") || stage.names().iter().any(|(known, _)| *known == name);
        findings.demand(said != name || there, || format!("{name} was announced and is not there"));
    }
    let slow: Vec<String> =
        stage.names().into_iter().map(|(name, _)| name).filter(|name| name.contains("slow")).collect();
    let may_work: Vec<&str> = slow.iter().map(String::as_str).collect();
    check::settle(&stage, &may_work, &mut findings);
    let then = Memory::of(&stage);
    check::untouched(&stage, &mut findings);
    check::kept(&stage, &mut findings);
    let before = describe(&stage);
    recover::recover(&stage, &then, &may_work, true, Then::GoOn, &mut findings);
    tally.merged.fetch_add(crate::merging::merged(&stage), Ordering::Relaxed);
    tally.delivered.fetch_add(crate::delivery::delivered(&stage), Ordering::Relaxed);
    if !findings.0.is_empty() {
        findings.add(format!("what was done: {:?}", plan(seed)));
        findings.add(format!("what was killed: {killed:#?}"));
        findings.add(format!("before anybody went on: {before}"));
        findings.add(format!("at the end: {}", describe(&stage)));
    }
    findings.0
}

/// How long one waits for a result to merge.
const A_RESULT: Duration = Duration::from_secs(3);

/// The agents that have ended well by now; if there is none, those that do so soon.
fn some_done(stage: &Stage) -> Vec<String> {
    let deadline = Instant::now() + A_RESULT;
    loop {
        let done = done(stage);
        if !done.is_empty() || Instant::now() > deadline {
            return done;
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// The agents that have ended well by now.
fn done(stage: &Stage) -> Vec<String> {
    let is_done = |record: &PathBuf| {
        let last = crate::stage::journal(record).pop();
        last.is_some_and(|entry| entry["entry"] == "ended" && entry["state"] == "done")
    };
    stage.names().into_iter().filter(|(_, record)| is_done(record)).map(|(name, _)| name).collect()
}

/// What the journals say, those of agents that were cleaned too.
pub fn describe(stage: &Stage) -> String {
    let tell = |record: PathBuf| {
        let read = |file: &str| fs::read_to_string(record.join(file)).unwrap_or_default();
        let stop = if record.join("stop").exists() { " (to be stopped)" } else { "" };
        format!("the journal{stop}: {}\nits keeper's log: {}\n", read("journal"), read("keeper.log"))
    };
    stage.records().into_iter().map(tell).collect()
}

/// Waits for a call that runs by itself; the first line that it printed.
fn wait(child: Child, findings: &mut Findings) -> String {
    let (pid, limit) = (child.id(), 2 * crate::house::PATIENCE);
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || send.send(child.wait_with_output()).ok());
    let Ok(Ok(output)) = receive.recv_timeout(limit) else {
        findings.add(format!("process {pid}, a verb, did not end within {limit:?}"));
        kill_9(i32::try_from(pid).unwrap());
        return String::new();
    };
    let told = String::from_utf8_lossy(&output.stderr);
    findings.demand(!told.contains("panicked") && output.status.code() != Some(70), || {
        format!("a verb has a bug: {told}")
    });
    String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned()
}

/// As many rounds as `shell/sweep --random` wants.
pub fn rounds() {
    let rounds: u64 = option("ROUNDS").map_or(1, |n| n.parse().expect("a number of rounds"));
    let seed = option("SEED").map_or_else(
        || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs(),
        |seed| seed.parse().expect("a seed"),
    );
    let jobs = crate::engine::Choice::asked().jobs;
    println!("{rounds} rounds from seed {seed}");
    let (next, tally) = (AtomicU64::new(0), Tally::default());
    let wrong: Mutex<Vec<u64>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    if i >= rounds {
                        return;
                    }
                    let seed = seed + i;
                    let found = crate::case::caught(|| round(seed, &tally));
                    if found.is_empty() {
                        continue;
                    }
                    let text = found.join("\n  - ");
                    println!("\nWRONG with seed {seed}\n  - {text}");
                    println!("  again: shell/sweep --random 1 --seed {seed}");
                    wrong.lock().unwrap().push(seed);
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    let [merged, delivered] = [&tally.merged, &tally.delivered].map(|n| n.load(Ordering::Relaxed));
    println!("{merged} results were merged, {delivered} delivered");
    println!("{rounds} rounds from seed {seed}: {} wrong {wrong:?}", wrong.len());
    assert!(wrong.is_empty(), "wrong with the seeds {wrong:?}");
}
