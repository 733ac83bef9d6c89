//! What must hold whatever died, and when.

use crate::house::House;
use crate::stage::{BYSTANDER, LANDING, Stage, journal};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long what must end by itself may take.
const SOON: Duration = Duration::from_secs(40);

/// What was found wrong.
#[derive(Debug, Default)]
pub struct Findings(pub Vec<String>);

impl Findings {
    pub fn add(&mut self, what: impl Into<String>) {
        self.0.push(what.into());
    }

    pub fn demand(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.add(what());
        }
    }
}

/// What was on record and in the ledger at one moment.
#[derive(Debug, Default)]
pub struct Memory {
    journals: BTreeMap<PathBuf, Vec<Value>>,
    ledger: Vec<Vec<String>>,
}

impl Memory {
    /// The journals first: what they say is over is in the ledger that is read after them.
    pub fn of(stage: &Stage) -> Self {
        let journals =
            stage.names().into_iter().map(|(_, record)| (record.clone(), journal(&record))).collect();
        Self { journals, ledger: stage.ledger() }
    }
}

/// What `list --json` says, the bystander left out; `None` if it does not answer.
pub fn listed(stage: &Stage, findings: &mut Findings) -> Option<Vec<Value>> {
    let done = stage.house.orch(["list", "--json"]).run();
    if done.code != 0 {
        findings.add(format!("list failed: {done}"));
        return None;
    }
    let list = done.json();
    let agents = list["agents"].as_array().cloned().unwrap_or_default();
    Some(agents.into_iter().filter(|a| a["session"] != BYSTANDER).collect())
}

fn is_on_the_way(agent: &Value) -> bool {
    ["starting", "working", "validating"].iter().any(|state| agent["state"] == *state)
}

/// Waits until no agent is said to be at work, but for those that `may_work` says. What is said meanwhile must be true:
/// whoever is at work has a keeper, and nothing is damaged.
pub fn settle(stage: &Stage, may_work: &[&str], findings: &mut Findings) -> Vec<Value> {
    let deadline = Instant::now() + SOON;
    loop {
        let Some(agents) = listed(stage, findings) else { return Vec::new() };
        let busy: Vec<&Value> = agents
            .iter()
            .filter(|a| is_on_the_way(a) && !may_work.iter().any(|name| a["session"] == *name))
            .collect();
        if busy.is_empty() {
            for agent in &agents {
                truth(stage, agent, findings);
            }
            return agents;
        }
        if Instant::now() > deadline {
            for agent in busy {
                findings.add(format!("{} is said to be {} for {SOON:?}", agent["session"], agent["state"]));
            }
            return agents;
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// What is said of an agent must be what its journal says.
fn truth(stage: &Stage, agent: &Value, findings: &mut Findings) {
    let session = agent["session"].as_str().unwrap_or("?");
    let Some((_, record)) = stage.names().into_iter().find(|(name, _)| name == session) else {
        findings.add(format!("{session} is listed, but its name is not reserved"));
        return;
    };
    let entries = journal(&record);
    let ended = entries.iter().rev().find(|e| e["entry"] == "ended");
    // Another round begun behind it is not at its end, whoever died at that.
    let turns = ["ended", "resumed", "not_resumed"];
    let last = entries.iter().rev().find(|e| turns.iter().any(|turn| e["entry"] == *turn));
    let ended = ended.filter(|_| last.is_none_or(|e| e["entry"] != "resumed"));
    let said = agent["state"].as_str().unwrap_or("?");
    if said == "unknown" {
        findings.demand(entries.is_empty(), || {
            format!("{session} is unknown although its journal can be read: {}", agent["remarks"])
        });
    }
    if is_on_the_way(agent) {
        // What it was a moment ago; it may have ended since.
        return;
    }
    if let Some(ended) = ended {
        findings.demand(ended["state"] == said, || {
            format!("{session} ended {} and is said to be {said}", ended["state"])
        });
    } else {
        findings.demand(!matches!(said, "done" | "killed"), || {
            format!("{session} is said to be {said}, and its journal does not say so")
        });
    }
    findings.demand(!lock_is_held(&record) || ended.is_some(), || {
        format!("{session} has a keeper and is said to be {said}")
    });
}

fn lock_is_held(record: &Path) -> bool {
    fs::File::open(record.join("keeper.lock")).is_ok_and(|file| file.try_lock_shared().is_err())
}

/// Nothing is done twice, and no two work in one worktree.
pub fn once(stage: &Stage, then: &Memory, findings: &mut Findings) {
    let ledger = stage.ledger();
    let count = |ledger: &[Vec<String>], words: &[&str]| {
        ledger
            .iter()
            .filter(|line| line.iter().map(String::as_str).take(words.len()).eq(words.iter().copied()))
            .count()
    };
    for line in ledger.iter().filter(|line| line[0].starts_with("clash")) {
        findings.add(format!("two at once in one worktree, or worse: {line:?}"));
    }
    for line in ledger.iter().filter(|line| line[0] == "start") {
        let starts = count(&ledger, &["start", &line[1], &line[2]]);
        findings
            .demand(starts == 1, || format!("attempt {} of {} was started {starts} times", line[2], line[1]));
    }
    for (name, record) in stage.names() {
        let now = journal(&record);
        for kind in ["attempt_started", "attempt_ended", "committed", "validated", "ended"] {
            let mut seen = BTreeMap::new();
            for entry in now.iter().filter(|e| e["entry"] == kind) {
                *seen.entry(entry["n"].as_i64()).or_insert(0) += 1;
            }
            // An agent ends once in each round.
            let rounds = now.iter().filter(|e| e["entry"] == "resumed").count();
            for (n, times) in seen {
                let allowed = if kind == "ended" { 1 + rounds } else { 1 };
                findings
                    .demand(times <= allowed, || format!("{name}: {kind} {n:?} is on record {times} times"));
            }
        }
        let empty = Vec::new();
        let before = then.journals.get(&record).unwrap_or(&empty);
        for (old, new) in before.iter().zip(&now) {
            findings.demand(old == new, || format!("{name}: an entry of the journal was changed: {old}"));
        }
        findings.demand(now.len() >= before.len(), || format!("{name}: entries of the journal are gone"));
        for judged in before.iter().filter(|e| e["entry"] == "validated") {
            let started = before.iter().find(|e| e["entry"] == "attempt_started" && e["n"] == judged["n"]);
            let mark = started.and_then(|s| s["mark"].as_str()).unwrap_or("?");
            let words = ["valid", &name, mark];
            findings.demand(count(&ledger, &words) == count(&then.ledger, &words), || {
                format!("{name}: a validation that is on record ran again")
            });
        }
    }
}

/// What was done is there: on the branch if the agent is done, else on the branch or in the worktree.
pub fn kept(stage: &Stage, findings: &mut Findings) {
    for (name, record) in stage.names() {
        let journal = journal(&record);
        let Some(created) = journal.iter().find(|e| e["entry"] == "created") else { continue };
        let done = journal.iter().rev().find(|e| e["entry"] == "ended").is_some_and(|e| e["state"] == "done");
        let worked = journal.iter().any(|e| e["entry"] == "attempt_ended" && e["result"] == "done");
        if !worked {
            continue;
        }
        let spec = &created["spec"];
        let (branch, worktree) = (spec["branch"].as_str().unwrap(), spec["worktree"].as_str().unwrap());
        let on_branch = in_git(&stage.house, &["show", &format!("{branch}:work.{name}.txt")]);
        if done {
            let commits = in_git(&stage.house, &["rev-list", "--count", &format!("main..{branch}")]);
            findings.demand(on_branch.as_deref() == Some(&name), || {
                format!("{name} is done, and its branch holds {on_branch:?} instead of its work")
            });
            let ours =
                in_git(&stage.house, &["log", "--format=%B", &format!("main..{branch}")]).unwrap_or_default();
            let ours = ours.matches("committed by ai_orch").count();
            // One for each attempt that left something: there are more where a validation was killed.
            let on_record = journal.iter().filter(|e| e["entry"] == "committed").count();
            findings.demand(ours <= on_record, || {
                format!("{name} is done with {ours} commits of ours, {commits:?} in all, and {on_record} on record")
            });
        } else {
            let on_disk = fs::read_to_string(Path::new(worktree).join(format!("work.{name}.txt"))).ok();
            let is_its = |text: Option<String>| text.is_some_and(|text| text.contains(&name));
            // Who is half way to being cleaned has it where `undo` takes it from.
            let last = journal.iter().rev().find(|e| e["entry"] == "cleaning" || e["entry"] == "restored");
            let half_cleaned = last.is_some_and(|e| e["entry"] == "cleaning");
            let saved = || {
                let below = format!("refs/ai_orch/rescue/{}/removal*", spec["id"].as_str().unwrap());
                let refs = in_git(&stage.house, &["for-each-ref", "--format=%(refname)", &below]);
                let holds = |at: &str| in_git(&stage.house, &["show", &format!("{at}:work.{name}.txt")]);
                refs.unwrap_or_default().lines().any(|at| is_its(holds(at)))
            };
            findings.demand(on_branch.is_some() || is_its(on_disk) || half_cleaned && saved(), || {
                format!("the work of {name} is gone")
            });
        }
    }
}

/// Everything that was in a worktree when an attempt ended, also what git ignores there, is in some file of ours or in what
/// some ref holds, whatever was done since.
pub fn reachable(stage: &Stage, findings: &mut Findings) {
    let made: Vec<_> =
        stage.ledger().into_iter().filter(|line| line[0] == "made" && line.len() == 4).collect();
    if made.is_empty() {
        return;
    }
    let objects = stage.house.git(&["rev-list", "--objects", "--all"]);
    let held: std::collections::BTreeSet<&str> =
        objects.lines().filter_map(|line| line.split(' ').next()).collect();
    let mut on_disk = std::collections::BTreeSet::new();
    let mut open = vec![stage.house.path("home/.local/share/ai_orch")];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(entry.path());
            } else if let Ok(text) = fs::read_to_string(entry.path()) {
                on_disk.insert(text);
            }
        }
    }
    for line in made {
        for text in [format!("{}\n", line[3]), format!("{}, ignored\n", line[3])] {
            if on_disk.contains(&text) {
                continue;
            }
            let id = blob(&stage.house, &text);
            findings.demand(held.contains(id.as_str()), || {
                format!("what attempt {} of {} made is nowhere any more: {text:?}", line[2], line[1])
            });
        }
    }
}

/// The id that git gives a file with this text.
fn blob(house: &House, text: &str) -> String {
    let file = house.path(format!("blob-{}", std::process::id()));
    fs::write(&file, text).unwrap();
    let id = house.git(&["hash-object", "--no-filters", file.to_str().unwrap()]);
    fs::remove_file(file).ok();
    id
}

fn in_git(house: &House, words: &[&str]) -> Option<String> {
    let output = house.command("git").args(words).output().unwrap();
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Nothing runs any more but what ran before.
pub fn quiet(stage: &Stage, findings: &mut Findings) {
    let deadline = Instant::now() + SOON;
    loop {
        let left: Vec<_> =
            stage.house.processes().into_iter().filter(|(pid, _)| !stage.allowed().contains(pid)).collect();
        if left.is_empty() {
            break;
        }
        if Instant::now() > deadline {
            findings.add(format!("left running: {left:?}"));
            break;
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
    for (name, record) in stage.names() {
        findings.demand(!lock_is_held(&record), || format!("somebody holds the lock of {name}"));
        let has = stage.house.tmux(&["has-session", "-t", &format!("={name}:")]);
        findings.demand(!has.status.success(), || format!("the session {name} is still there"));
        findings.demand(!record.join("env").exists(), || {
            format!("{name}: the private environment is still there")
        });
    }
}

/// Whether the return of an agent was cut off: then nobody works in its worktree before somebody goes on with that.
pub fn half_restored(stage: &Stage) -> bool {
    stage.names().iter().any(|(_, record)| {
        let entries = journal(record);
        let last = entries.iter().rev().find(|e| e["entry"] == "restoring" || e["entry"] == "restored");
        last.is_some_and(|e| e["entry"] == "restoring")
    })
}

/// The repository is whole, and nothing in it is locked.
///
/// With `git_died`, git itself was killed: what it had locked for an agent stays locked until somebody takes the agent over
/// or cleans it.
pub fn repository(stage: &Stage, git_died: bool, findings: &mut Findings) {
    let output =
        stage.house.command("git").args(["fsck", "--connectivity-only", "--no-dangling"]).output().unwrap();
    let told = [output.stdout, output.stderr].concat();
    let wrong = String::from_utf8_lossy(&told);
    let mut wrong = wrong.lines().filter(|line| !(git_died && is_half_added(stage, line))).peekable();
    if wrong.peek().is_some() || (told.is_empty() && !output.status.success()) {
        findings.add(format!("git fsck: {}", wrong.collect::<Vec<_>>().join("\n")));
    }
    let mut open = vec![stage.house.path("repo/.git")];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() && !path.ends_with(".git/objects") {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "lock") {
                let agents = ["/worktrees/", "/refs/heads/ai_orch/", "/refs/ai_orch/", "/packed-refs.lock"];
                let of_agent = agents.iter().any(|part| path.to_string_lossy().contains(part));
                findings.demand(git_died && of_agent, || format!("a stale lock: {}", path.display()));
            }
        }
    }
}

/// Whether `line` of a git fsck is about a worktree that a git was killed over, of an agent that nobody has taken over or stopped since.
fn is_half_added(stage: &Stage, line: &str) -> bool {
    let name = line.strip_prefix("error: worktrees/").and_then(|rest| rest.split_once("/HEAD: "));
    let Some((name, _)) = name else { return false };
    let is = |record: &PathBuf| {
        let entries = journal(record);
        let cut_off = |entry: &Value| entry["entry"] == "created" && entry["spec"]["session"] == name;
        entries.len() == 1 && entries.first().is_some_and(cut_off)
    };
    stage.records().iter().any(is)
}

/// Nothing of the user's and of others was touched.
pub fn untouched(stage: &Stage, findings: &mut Findings) {
    findings.0.extend(stage.changed());
    findings.0.extend(stage.disturbed());
}

/// After all were cleaned: nothing is left of them.
pub fn gone(stage: &Stage, findings: &mut Findings) {
    for (name, _) in stage.names() {
        findings.add(format!("the name {name} is still reserved"));
    }
    for lease in fs::read_dir(stage.state().join("ports")).into_iter().flatten().flatten() {
        findings.add(format!("the port {} is still somebody's", lease.path().display()));
    }
    let worktrees = stage.house.git(&["worktree", "list", "--porcelain"]);
    findings.demand(!worktrees.contains("branch refs/heads/ai_orch/"), || {
        format!("a worktree is still registered: {worktrees}")
    });
    for entry in fs::read_dir(stage.house.path("repo/.git/worktrees")).into_iter().flatten().flatten() {
        findings.demand(["foreign", LANDING].iter().any(|known| entry.file_name() == *known), || {
            format!("git's entry is left: {}", entry.path().display())
        });
    }
    let empty =
        stage.house.git(&["for-each-ref", "--merged", "main", "--format=%(refname)", "refs/heads/ai_orch"]);
    findings.demand(empty.is_empty(), || format!("branches without work are left: {empty}"));
}
