//! This test program once more as a process that does one thing and dies over it: at a crash point, or at a system call.

use crate::option;
use crate::syscalls::{self, Injection};
use ai_orch::tools::crash;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// How many calls of each name an actor makes beforehand, if its calls are counted.
const WARM: u32 = 100;

/// A test that does nothing unless [`asked`] says what.
pub struct Actor {
    /// Its path, as the test runner calls it.
    pub test: &'static str,
    /// What its crash points are counted for.
    pub role: &'static str,
}

/// How the actor is made to die.
pub enum Death {
    /// Not at all.
    Never,
    /// Not at all: to learn its crash points.
    Noted,
    /// Not at all: to learn its system calls.
    Listed,
    Point(u32),
    Call(Injection),
}

impl Death {
    /// Whether it came to that, by how the actor ended in the world in `dir`.
    pub fn came(&self, output: &Output, dir: &Path) -> bool {
        let Self::Call(_) = self else { return !output.status.success() };
        traces(dir).iter().any(|trace| trace.contains("(INJECTED)") || trace.contains("killed by SIGKILL"))
    }
}

impl Actor {
    /// The actor at work on `act` in the world in `dir`.
    pub fn command(&self, dir: &Path, act: &str, death: &Death) -> Command {
        let trace = dir.join("trace");
        let words = match death {
            Death::Call(injection) => injection.words(&trace),
            Death::Listed => Injection::listing(&trace),
            Death::Never | Death::Noted | Death::Point(_) => Vec::new(),
        };
        let me = std::env::current_exe().unwrap();
        let mut command = if words.is_empty() { Command::new(&me) } else { Command::new("strace") };
        if !words.is_empty() {
            // A test runs on a thread of its own, and each has its own list.
            command.arg("-ff").args(words).arg(&me).env("SWEEP_ACTOR_WARM", "yes");
        }
        command.args(["--exact", self.test, "--nocapture", "--test-threads=1"]);
        command.env("SWEEP_ACTOR_ACT", act).env("SWEEP_ACTOR_DIR", dir);
        match death {
            Death::Point(n) => drop(command.env("AI_ORCH_CRASH", format!("{}:{n}", self.role))),
            Death::Noted => drop(command.env("AI_ORCH_CRASH_LOG", dir.join("points"))),
            Death::Never | Death::Call(_) | Death::Listed => {}
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Does `act` in the world in `dir`, and must come to its end. How many crash points it passes.
    pub fn points(&self, dir: &Path, act: &str) -> u32 {
        assert!(self.command(dir, act, &Death::Noted).output().unwrap().status.success(), "{act}");
        let points = fs::read_to_string(dir.join("points")).unwrap_or_default();
        u32::try_from(points.lines().count()).unwrap()
    }

    /// Does `act` in the world in `dir`, and must come to its end. What can be done to its system calls.
    pub fn calls(&self, dir: &Path, act: &str) -> Vec<Injection> {
        assert!(self.command(dir, act, &Death::Listed).output().unwrap().status.success(), "{act}");
        let all = traces(dir).into_iter().flat_map(|trace| syscalls::injections(&trace, None));
        all.filter(|injection| injection.k > WARM).collect()
    }
}

/// Plays the deaths of each of `acts`: `find` tells how many points its actor passes and which system calls it makes, `play` lets
/// it die and says whether it came to that. Most must.
pub fn sweep<'a>(
    name: &str,
    acts: &[&'a str],
    mut find: impl FnMut(&'a str) -> (u32, Vec<Injection>),
    mut play: impl FnMut(&'a str, &Death, &str) -> bool,
) {
    let (mut played, mut missed) = (0, 0);
    for act in acts {
        let (points, calls) = find(act);
        println!("{name}: {act}: {} deaths", points as usize + calls.len());
        let points = (1..=points).map(|n| (n.to_string(), Death::Point(n)));
        let calls = calls.into_iter().map(|call| (format!("{call} {}", call.what), Death::Call(call)));
        for (case, death) in points.chain(calls) {
            let came = play(act, &death, &case);
            (played, missed) = (played + 1, missed + usize::from(!came));
        }
    }
    println!("{name}: {played} cases, {missed} did not come to their point");
    assert!(missed * 10 <= played, "most deaths happen");
}

/// What this process is to do, and where, if it is the actor `role`.
pub fn asked(role: &str) -> Option<(String, PathBuf)> {
    let (act, dir) = (option("ACTOR_ACT")?, option("ACTOR_DIR")?);
    crash::role(role);
    if option("ACTOR_WARM").is_some() {
        warm_up();
    }
    Some((act, dir.into()))
}

/// Makes more calls of each name than the main thread of a test program ever does: strace counts for each thread, and what it
/// does at the k-th call of ours must not meet the k-th of that one.
fn warm_up() {
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

/// What strace wrote down, of each thread.
fn traces(dir: &Path) -> Vec<String> {
    let files = fs::read_dir(dir).unwrap().flatten();
    let traces = files.filter(|file| file.file_name().to_str().unwrap().starts_with("trace."));
    traces.map(|file| fs::read_to_string(file.path()).unwrap()).collect()
}
