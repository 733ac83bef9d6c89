//! Power cuts: everything lies on a file system of its own, which is shut down hard while agents work. What was reported
//! before must be there after it.

use crate::check::{self, Findings, Memory};
use crate::dice::Dice;
use crate::house::House;
use crate::scenarios::Then;
use crate::stage::Stage;
use crate::{option, recover};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Tells ext4 to stop at once, without writing what its journal still holds in memory (`EXT4_IOC_SHUTDOWN`).
const SHUTDOWN: &str = "
import fcntl, os, struct, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
fcntl.ioctl(fd, 0x8004587d, struct.pack('I', 2))
";
/// How long things may take that wait for processes to be gone.
const SOON: Duration = Duration::from_secs(30);

/// A file system in a file.
struct Disk {
    dir: tempfile::TempDir,
    device: Option<String>,
    mounted: bool,
}

fn run(program: &str, words: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(words).output().map_err(|e| format!("{program}: {e}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(format!("{program} {words:?}: {}", String::from_utf8_lossy(&output.stderr)))
}

impl Disk {
    fn new() -> Result<Self, String> {
        let dir = tempfile::Builder::new().prefix("oP").tempdir().map_err(|e| e.to_string())?;
        let mut disk = Self { dir, device: None, mounted: false };
        let image = disk.dir.path().join("image");
        fs::File::create(&image).and_then(|f| f.set_len(256 << 20)).map_err(|e| e.to_string())?;
        fs::create_dir(disk.at()).map_err(|e| e.to_string())?;
        let image = image.to_string_lossy().into_owned();
        run("mkfs.ext4", &["-q", "-F", &image])?;
        disk.device = Some(run("losetup", &["-f", "--show", &image])?);
        disk.mount()?;
        Ok(disk)
    }

    fn at(&self) -> PathBuf {
        self.dir.path().join("m")
    }

    fn mount(&mut self) -> Result<(), String> {
        let device = self.device.clone().unwrap_or_default();
        run("mount", &[&device, &self.at().to_string_lossy()])?;
        self.mounted = true;
        Ok(())
    }

    /// Cuts the power of the disk.
    fn cut(&self) -> Result<(), String> {
        run("python3", &["-c", SHUTDOWN, &self.at().to_string_lossy()]).map(drop)
    }

    /// Unmounts it, as soon as nobody uses it any more.
    fn unmount(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + SOON;
        loop {
            match run("umount", &[&self.at().to_string_lossy()]) {
                Ok(_) => break,
                Err(why) if Instant::now() > deadline => return Err(why),
                Err(_) => std::thread::park_timeout(Duration::from_millis(20)),
            }
        }
        self.mounted = false;
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted && self.unmount().is_err() {
            run("umount", &["-l", &self.at().to_string_lossy()]).ok();
        }
        if let Some(device) = &self.device {
            run("losetup", &["-d", device]).ok();
        }
    }
}

/// Ends every process of the house at once, as a power cut does.
fn end_all(house: &House) -> Result<(), String> {
    let deadline = Instant::now() + SOON;
    loop {
        let all = house.processes();
        if all.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("not even kill -9 ends them: {all:?}"));
        }
        for (pid, _) in all {
            run("kill", &["-9", &pid.to_string()]).ok();
        }
    }
}

fn states(agents: &[Value], state: &str) -> Vec<String> {
    let those = agents.iter().filter(|a| a["state"] == state);
    those.filter_map(|a| a["session"].as_str().map(str::to_owned)).collect()
}

fn round(seed: u64) -> Vec<String> {
    let mut dice = Dice::new(seed);
    let mut disk = Disk::new().expect("a disk of our own");
    let house = House::in_dir(tempfile::Builder::new().prefix("orch").tempdir_in(disk.at()).unwrap());
    let stage = Stage::in_house(house, false);
    run("sync", &["-f", &disk.at().to_string_lossy()]).unwrap();
    let mut findings = Findings::default();
    let mut acknowledged = Vec::new();
    let chains = ["worker", "faulty,worker", "committer", "slow"];
    for i in 0..dice.between(2, 5) {
        let chain = chains[dice.below(chains.len())];
        let name = format!("{}-{i}", chain.replace(',', "-"));
        let done = stage.house.orch(crate::scenarios::run(&stage, chain, &name)).run();
        assert_eq!(done.code, 0, "{done}");
        acknowledged.push(name);
    }
    // One that is surely done, and others that are somewhere.
    let first = stage.house.orch(crate::scenarios::run(&stage, "committer", "first")).run();
    assert_eq!(first.code, 0, "{first}");
    acknowledged.push("first".to_owned());
    stage.house.ok(["wait", "first"]);
    let mut in_flight = stage.house.orch(crate::scenarios::run(&stage, "worker", "late")).spawn();
    std::thread::park_timeout(Duration::from_millis(dice.below(500) as u64));
    let reported = states(&check::listed(&stage, &mut findings).unwrap_or_default(), "done");
    // And one that was acknowledged a moment ago.
    let last = stage.house.orch(crate::scenarios::run(&stage, "slow", "last")).run();
    assert_eq!(last.code, 0, "{last}");
    acknowledged.push("last".to_owned());
    disk.cut().expect("the power is cut");
    in_flight.kill().ok();
    in_flight.wait().ok();
    end_all(&stage.house).unwrap();
    disk.unmount().unwrap();
    disk.mount().unwrap();
    // Who was slow before is not again, even if the mark that says so was lost as well.
    for name in &acknowledged {
        fs::create_dir_all(stage.house.path(format!("slow.{name}"))).unwrap();
    }

    let agents = check::settle(&stage, &[], &mut findings);
    for name in &acknowledged {
        let now = agents.iter().find(|a| a["session"] == **name).map(|a| a["state"].clone());
        let fine = ["interrupted", "done", "failed"].iter().any(|s| now.as_ref().is_some_and(|x| x == s));
        findings.demand(fine, || format!("{name} was acknowledged, and it is {now:?}"));
    }
    for name in &reported {
        findings.demand(states(&agents, "done").contains(name), || {
            format!("{name} was reported as done, and is not: {agents:?}")
        });
    }
    for agent in &agents {
        let damaged =
            agent["remarks"].as_array().is_some_and(|all| all.iter().any(|r| r["what"] == "damaged"));
        // A name whose creator had come to nothing else.
        let named_only = !has_journal(&stage, agent);
        findings.demand(!damaged || named_only, || format!("damaged: {agent}"));
    }
    let then = Memory::of(&stage);
    check::untouched(&stage, &mut findings);
    check::kept(&stage, &mut findings);
    recover::recover(&stage, &then, &[], true, Then::GoOn, &mut findings);
    for (name, record) in stage.names().iter().filter(|(name, _)| acknowledged.contains(name)) {
        let entries = crate::stage::journal(record);
        let end = entries.iter().rev().find(|e| e["entry"] == "ended").map(|e| &e["state"]);
        findings.demand(!recover::knows("resume") || end.is_some_and(|end| end == "done"), || {
            format!("{name} was acknowledged, and could not do its work after that: {end:?}")
        });
    }
    if !findings.0.is_empty() {
        findings.add(format!("reported as done: {reported:?}; acknowledged: {acknowledged:?}"));
        findings.add(crate::random::describe(&stage));
    }
    findings.0
}

fn has_journal(stage: &Stage, agent: &Value) -> bool {
    let named = stage.names().into_iter().find(|(name, _)| agent["session"] == **name);
    named.is_some_and(|(_, record)| {
        fs::metadata(Path::new(&record).join("journal")).is_ok_and(|m| m.len() > 0)
    })
}

/// As many power cuts as `shell/sweep --power` wants, one after the other.
pub fn rounds() {
    let rounds: u64 = option("ROUNDS").map_or(1, |n| n.parse().expect("a number of power cuts"));
    let seed = option("SEED").map_or(1, |seed| seed.parse().expect("a seed"));
    let mut wrong = 0;
    for i in 0..rounds {
        let found = crate::case::caught(|| round(seed + i));
        if !found.is_empty() {
            wrong += 1;
            println!("\nWRONG with seed {}\n  - {}", seed + i, found.join("\n  - "));
        }
    }
    println!("{rounds} power cuts: {wrong} wrong");
    assert_eq!(wrong, 0, "{wrong} of {rounds} power cuts lost something");
}
