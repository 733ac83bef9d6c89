//! Claims at once: N tasks, W processes that claim until nothing is left, and the floor: the same number of files locked, appended to
//! and posted by rename, by as many processes, none of which wants what another has.
//!
//! `claims ours|floor STATE ROOT N W` prints the milliseconds from the start signal to the last claim, then the
//! milliseconds of processor time of all of them, then the number of claims.

#![allow(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "it measures the world from outside; what fails panics"
)]

use ai_orch::a2a::tasks::{By, ClaimRequest, Tasks};
use ai_orch::a2a::worker::Worker;
use ai_orch::model::ids::{Party, Project, TaskId};
use ai_orch::model::places::Places;
use ai_orch::model::work::TaskSpec;
use ai_orch::tools::{clock, file, lock};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn places(state: &Path, root: &Path) -> Places {
    let [data, config] = ["data", "config"].map(|name| state.join(name));
    Places { root: root.to_owned(), state: state.to_owned(), data, config }
}

fn project() -> Project {
    Project("bench-01234567".to_owned())
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, what, state, root, n, w, rest @ ..] = args.as_slice() else {
        panic!("claims ours|floor STATE ROOT N W")
    };
    let (state, root) = (PathBuf::from(state), PathBuf::from(root));
    let [n, w]: [usize; 2] = [n, w].map(|number| number.parse().unwrap());
    match (what.as_str(), rest) {
        ("ours", []) => {
            let tasks = Tasks::open(&places(&state, &root), &project()).unwrap();
            for at in 0..n {
                let spec = TaskSpec::text(TaskId(clock::new_id()), "bench", format!("task {at}"));
                tasks.create(spec, &By::from(Party::User)).unwrap();
            }
            race(&args, w);
        }
        ("floor", []) => {
            for dir in [&state, &root] {
                file::make_dirs(dir).unwrap();
            }
            for at in 0..n {
                // The copy of a task is there before its claim.
                for dir in [&state, &root] {
                    std::fs::write(dir.join(at.to_string()), [b'x'; 400]).unwrap();
                }
            }
            race(&args, w);
        }
        (what, [me]) => {
            let me: usize = me.parse().unwrap();
            let worker = (what == "ours").then(|| begin(&state, &root, me));
            println!("ready");
            let mut signals = std::io::stdin();
            signals.read_exact(&mut [0]).unwrap();
            let before = processor_us();
            let claims = match &worker {
                Some((tasks, worker)) => ours(tasks, worker),
                None => (me..n).step_by(w).map(|at| floor(&state, &root, at)).count(),
            };
            println!("{claims} {}", processor_us() - before);
            // Whoever ends gives back what it holds, and that would be claimed again.
            signals.read_to_end(&mut Vec::new()).unwrap();
        }
        _ => panic!("claims ours|floor STATE ROOT N W"),
    }
}

fn begin(state: &Path, root: &Path, me: usize) -> (Tasks, Worker) {
    let places = places(state, root);
    let name = format!("worker-{me}").parse().unwrap();
    let worker = Worker::begin(&places, &project(), &name).unwrap();
    (Tasks::open(&places, &project()).unwrap(), worker)
}

fn ours(tasks: &Tasks, worker: &Worker) -> usize {
    let by = By::from(Party::Worker(worker.name.clone()));
    let request = ClaimRequest { by, pid: Some(Worker::pid()), role: None, lease: None, id: None };
    std::iter::from_fn(|| tasks.claim(&request).unwrap()).count()
}

fn floor(state: &Path, root: &Path, at: usize) {
    let mut file = lock::guard(&state.join(at.to_string()), Duration::from_secs(5)).unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    file.write_all(&[b'y'; 200]).unwrap();
    bytes.extend([b'y'; 200]);
    file::post(&root.join(at.to_string()), &bytes).unwrap();
}

/// Starts the processes, gives the signal, and waits for their end.
fn race(args: &[String], w: usize) {
    let mut racers: Vec<(Child, BufReader<_>)> = (0..w)
        .map(|me| {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(&args[1..]).arg(me.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = command.spawn().unwrap();
            let out = BufReader::new(child.stdout.take().unwrap());
            (child, out)
        })
        .collect();
    let mut line = String::new();
    for (_, out) in &mut racers {
        out.read_line(&mut line).unwrap();
    }
    let before = Instant::now();
    for (child, _) in &mut racers {
        child.stdin.as_mut().unwrap().write_all(b"!").unwrap();
    }
    let (mut claims, mut used) = (0, 0);
    for (_, out) in &mut racers {
        line.clear();
        out.read_line(&mut line).unwrap();
        let (n, us) = line.trim().split_once(' ').unwrap();
        claims += n.parse::<u64>().unwrap();
        used += us.parse::<u64>().unwrap();
    }
    let took = before.elapsed().as_secs_f64() * 1e3;
    for (child, _) in &mut racers {
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
    }
    println!("{took:.2} {:.2} {claims}", used as f64 / 1e3);
}

/// The processor time that this process has used, in microseconds.
fn processor_us() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    u64::try_from(time.tv_sec * 1_000_000 + time.tv_nsec / 1000).unwrap()
}
