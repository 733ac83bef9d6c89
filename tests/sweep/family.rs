//! Agents that start agents: a parent that asks for one child, what is left where those in between die, and what must hold of
//! the two whatever died.

use crate::case::Orders;
use crate::check::Findings;
use crate::house::eventually;
use crate::scenarios::words;
use crate::stage::{Stage, VICTIM, journal};
use ai_orch::model::delegation::{VERSION, Wanted};
use ai_orch::model::ids::AgentId;
use ai_orch::rules::delegation;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The name that the parent wants for its child.
const CHILD: &str = "child";

/// What the CLI of a parent does before its own work: it asks for a child, under one name however often it has to, tells in the
/// ledger what it was told, and waits for the child. What is in `asker` makes the first call die.
pub const ASKS: &str = r#"
while [ -e "$H/hold" ]; do sleep 0.02; done
ask() { "$@" ai_orch task spawn --op-id one --agent-cli worker --name child 'a part of it' 2>>"$H/said"; }
child=$(ask env $(cat "$H/asker" 2>/dev/null)) || child=$(ask env) || {
    echo "refused $AI_ORCH_SESSION $AI_ORCH_ATTEMPT $$" >>"$H/ledger"
    exit 3
}
echo "spawned $AI_ORCH_SESSION $AI_ORCH_ATTEMPT $child" >>"$H/ledger"
ai_orch wait "$child" >/dev/null 2>&1
"#;

/// A call that starts the parent.
pub fn run(_: &Stage) -> Vec<String> {
    words(&["run", "--detach", "--agent-cli", "parent", "--may-start", "1", "--name", VICTIM, "do it"])
}

/// The first call by which the parent asks is the one that dies.
pub fn doomed_asker(stage: &Stage, orders: &Orders) {
    fs::write(stage.house.path("asker"), orders.words().join(" ")).unwrap();
}

/// A parent that has asked, and whose keeper died before it heard that. (One that is stopped until then does not stay so: tmux
/// lets it go on.)
pub fn asked(stage: &Stage, _: &Orders) {
    let (record, keeper) = held_back(stage);
    end(&record, keeper);
    fs::remove_file(stage.house.path("hold")).unwrap();
    let entries = journal(&record);
    let spec = &entries.iter().find(|e| e["entry"] == "created").unwrap()["spec"];
    let text = |name: &str| spec[name].as_str().unwrap().to_owned();
    let wanted = Wanted {
        v: VERSION,
        key: delegation::key(AgentId(text("id").parse().unwrap()), "one"),
        round: 1,
        task: "a part of it".to_owned(),
        chain: Some(vec!["worker".to_owned()]),
        model: None,
        name: Some(CHILD.to_owned()),
        role: None,
        base: text("base"),
        base_name: text("base_name"),
        budget_usd: None,
        may_start: 0,
        start_budget_usd: None,
    };
    let requests = record.join("spawn");
    fs::create_dir_all(&requests).unwrap();
    fs::write(requests.join(wanted.key.to_string()), serde_json::to_vec(&wanted).unwrap()).unwrap();
}

/// A parent whose keeper died when the child was on record, and whoever was to start it as well, before it made anything.
pub fn begun(stage: &Stage, _: &Orders) {
    let (record, keeper) = held_back(stage);
    // Whoever makes an agent waits for this before it makes anything.
    let project = fs::File::open(record.ancestors().nth(2).unwrap().join("lock")).unwrap();
    project.lock().unwrap();
    fs::remove_file(stage.house.path("hold")).unwrap();
    let starter = eventually("somebody starts the child", || {
        let all = stage.house.processes();
        all.into_iter().find(|(_, line)| line.contains(" __spawn ")).map(|(pid, _)| pid)
    });
    end(&record, keeper);
    signal(starter, "KILL");
    eventually("whoever starts the child is gone", || {
        stage.house.processes().iter().all(|(pid, _)| *pid != starter).then_some(())
    });
}

/// A parent that is at work and asks when `hold` is gone: its record, and its keeper.
fn held_back(stage: &Stage) -> (PathBuf, i32) {
    fs::write(stage.house.path("hold"), "").unwrap();
    stage.house.ok(run(stage));
    let (_, record) = stage.names().into_iter().find(|(name, _)| name == VICTIM).unwrap();
    eventually("the parent works", || stage.ledger().iter().any(|line| line[0] == "start").then_some(()));
    let entries = journal(&record);
    let keeper = &entries.iter().find(|e| e["entry"] == "started").unwrap()["keeper"]["pid"];
    (record, i32::try_from(keeper.as_i64().unwrap()).unwrap())
}

fn signal(pid: i32, name: &str) {
    let done = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap();
    assert!(done.success());
}

/// Kills a keeper, and waits until it is gone.
fn end(record: &Path, keeper: i32) {
    signal(keeper, "KILL");
    eventually("the keeper is gone", || {
        fs::File::open(record.join("keeper.lock")).unwrap().try_lock_shared().is_ok().then_some(())
    });
}

/// The requests that are not answered yet. Beside them lie locks, and what is being written.
fn requests(record: &Path) -> impl Iterator<Item = PathBuf> {
    let files = fs::read_dir(record.join("spawn")).into_iter().flatten().flatten().map(|file| file.path());
    files.filter(|path| !path.file_name().unwrap().to_string_lossy().contains('.'))
}

/// A call of what keepers run to start the child that is begun.
pub fn spawn(stage: &Stage) -> Vec<String> {
    let (_, record) = stage.names().into_iter().find(|(name, _)| name == VICTIM).unwrap();
    let entries = journal(&record);
    let begun = entries.iter().rev().find(|e| e["entry"] == "child_begun").unwrap();
    words(&["__spawn", record.to_str().unwrap(), begun["child"].as_str().unwrap()])
}

/// A call that keeps the parent, as its session would.
pub fn keep(stage: &Stage) -> Vec<String> {
    let (_, record) = stage.names().into_iter().find(|(name, _)| name == VICTIM).unwrap();
    words(&["__keep", record.to_str().unwrap()])
}

/// The environment of the child, as its parent's keeper hands it over.
pub fn environment(stage: &Stage) -> Vec<u8> {
    let command = stage.house.command("true");
    let pairs = command.get_envs().filter_map(|(name, value)| {
        let pair = [name.as_encoded_bytes(), b"=", value?.as_encoded_bytes(), b"\0"].concat();
        Some(pair)
    });
    pairs.collect::<Vec<_>>().concat()
}

/// What must hold of parents and children at any time, and more of it when everything is `settled`: when all that died was
/// resumed and has come to its end.
pub fn check(stage: &Stage, settled: bool, findings: &mut Findings) {
    let names = stage.names();
    let agents: Vec<(PathBuf, Vec<Value>)> =
        stage.records().into_iter().map(|record| (record.clone(), journal(&record))).collect();
    let created = |journal: &[Value]| {
        let failed = journal.iter().any(|e| e["entry"] == "not_created");
        journal.iter().find(|e| e["entry"] == "created").filter(|_| !failed).map(|e| e["spec"].clone())
    };
    let Some((parent, told)) = agents.iter().find_map(|(record, journal)| {
        let spec = created(journal).filter(|spec| spec["session"] == VICTIM)?;
        Some((spec, (record, journal)))
    }) else {
        return;
    };
    let (record, told) = told;
    let children: Vec<Value> = agents
        .iter()
        .filter_map(|(_, journal)| created(journal))
        .filter(|spec| spec["parent"] == parent["id"])
        .collect();
    findings.demand(children.len() <= 1, || format!("one child was asked for, and there are {children:?}"));
    for spec in &children {
        let known = told.iter().any(|e| e["entry"] == "child_begun" && e["child"] == spec["id"]);
        findings.demand(known, || format!("nobody knows of the child {}", spec["session"]));
        let reachable = names.iter().any(|(name, _)| spec["session"] == *name.as_str());
        findings.demand(reachable, || {
            format!("nobody can reach the child {}: its name is free", spec["session"])
        });
    }
    // What was acknowledged to its keeper, and to whoever asked.
    for entry in told.iter().filter(|e| e["entry"] == "child_started") {
        let there = children.iter().any(|spec| spec["id"] == entry["child"]);
        findings.demand(there, || format!("it is on record as started and not there: {entry}"));
    }
    for line in stage.ledger().iter().filter(|line| line[0] == "spawned") {
        let there = children.iter().any(|spec| spec["session"] == *line[3].as_str());
        findings.demand(there, || format!("the parent was told of a child that is not there: {line:?}"));
    }
    if !settled {
        return;
    }
    findings.demand(children.len() == 1, || "there is no child in the end".to_owned());
    findings.demand(requests(record).next().is_none(), || "a request has no answer in the end".to_owned());
    let answers = ["child_started", "child_not_started"];
    for begun in told.iter().filter(|e| e["entry"] == "child_begun") {
        let answered =
            |e: &Value| answers.iter().any(|kind| e["entry"] == *kind) && e["child"] == begun["child"];
        findings.demand(told.iter().any(answered), || format!("begun, and no answer in the end: {begun}"));
    }
    for name in [VICTIM, CHILD] {
        let entries = names.iter().find(|(known, _)| known == name).map(|(_, record)| journal(record));
        let done = |entries: Vec<Value>| {
            entries.iter().rev().find(|e| e["entry"] == "ended").is_some_and(|e| e["state"] == "done")
        };
        findings.demand(entries.is_some_and(done), || format!("{name} is not done in the end"));
    }
}

/// What a person does about a parent that was told that its child did not start, and failed: lets it go on, and it asks again.
pub fn once_more(stage: &Stage, findings: &mut Findings) {
    for (name, record) in stage.names() {
        let entries = journal(&record);
        let failed =
            entries.iter().rev().find(|e| e["entry"] == "ended").is_some_and(|e| e["state"] == "failed");
        if !failed {
            continue;
        }
        let done = stage.house.orch(["resume", name.as_str()]).run();
        findings.demand(done.code == 0, || format!("{name} failed and cannot be resumed: {done}"));
        let waited = stage.house.orch(["wait", name.as_str()]).run();
        findings.demand(waited.code == 0, || format!("{name} is not done, resumed: {waited}"));
    }
}

/// Stops the whole tree by its root, and nothing else by name.
pub fn kill_tree(stage: &Stage, findings: &mut Findings) {
    if !stage.names().iter().any(|(name, _)| name == VICTIM) {
        return;
    }
    let done = stage.house.orch(["kill", "--tree", VICTIM]).run();
    findings.demand(done.code == 0, || format!("kill --tree failed: {done}"));
    for agent in crate::check::listed(stage, findings).unwrap_or_default() {
        let ended = ["done", "failed", "killed"].iter().any(|state| agent["state"] == *state);
        findings.demand(ended, || format!("the tree is killed, and this is there: {agent}"));
    }
    crate::check::quiet(stage, findings);
}
