//! Runs of merges that die in the middle: whoever goes on with one, or gives it up, leaves the target with what was tested and no more.

use crate::case::Orders;
use crate::check::Findings;
use crate::scenarios::{run, words};
use crate::stage::{LANDING, Stage, VICTIM};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// What the merged tree must hold.
const VALIDATE: &str = "test -s README.md";
/// The crash point at which a run is cut off that another verb then goes on with: in the middle of the second of two.
const MIDDLE: &str = "merge:14";
/// The exit codes of a run of merges that came to its end: all in, none, some; and of a call where there is none.
const ENDS: [i32; 4] = [0, 1, 3, 8];

/// Two agents that are done.
pub fn two_results(stage: &Stage, _: &Orders) {
    for (chain, name) in [("faulty,worker", VICTIM), ("committer", "second")] {
        stage.house.ok(run(stage, chain, name));
        stage.house.ok(["wait", name]);
    }
}

/// The same, with a run of merges that was cut off.
pub fn cut_off(stage: &Stage, orders: &Orders) {
    two_results(stage, orders);
    let done = stage.house.orch(queue(&[VICTIM, "second"])).env("AI_ORCH_CRASH", MIDDLE).run();
    assert_ne!(done.code, 0, "it was not cut off: {done}");
}

/// A call that merges the results of these agents.
pub fn queue(names: &[&str]) -> Vec<String> {
    words(&[&["merge", "--queue", "--into", LANDING, "--validate", VALIDATE], names].concat())
}

/// Goes on with a run that was cut off; gives it up if it cannot go on.
pub fn settle(stage: &Stage, findings: &mut Findings) {
    if runs(stage).is_empty() {
        return;
    }
    let went_on = stage.house.orch(["merge", "--continue"]).run();
    if ENDS.contains(&went_on.code) {
        return;
    }
    findings.add(format!("merge --continue failed: {went_on}"));
    let given_up = stage.house.orch(["merge", "--abort"]).run();
    findings.demand(given_up.code == 0, || format!("and merge --abort too: {given_up}"));
}

/// The journals of all runs.
fn runs(stage: &Stage) -> Vec<(PathBuf, Vec<Value>)> {
    let below = |dir: PathBuf| fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let dirs = below(stage.state()).flat_map(|project| below(project.join("merges")));
    dirs.map(|path| {
        let bytes = fs::read(&path).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let entries = text.lines().filter_map(|line| serde_json::from_str(line.get(9..)?).ok()).collect();
        (path, entries)
    })
    .collect()
}

/// How many results were merged.
pub fn merged(stage: &Stage) -> usize {
    let moved =
        |(_, entries): (PathBuf, Vec<Value>)| entries.iter().filter(|e| e["entry"] == "moved").count();
    runs(stage).into_iter().map(moved).sum()
}

/// What the target has is what was made, tested and moved to, in its order; nothing of a run is left.
pub fn check(stage: &Stage, findings: &mut Findings) {
    let all = runs(stage);
    let git = |words: &[&str]| {
        let output = stage.house.command("git").args(words).output().unwrap();
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let at = stage.house.path(LANDING);
    let status = stage.house.git_in(&at, &["status", "--porcelain"]);
    findings.demand(status.is_empty(), || format!("the checkout of the target is not clean: {status}"));
    let head = stage.house.git_in(&at, &["symbolic-ref", "HEAD"]);
    findings.demand(head == format!("refs/heads/{LANDING}"), || format!("HEAD of the target is at {head}"));
    for (path, entries) in &all {
        let told = || format!("{}: {entries:#?}", path.display());
        let mut tested: Vec<&Value> = Vec::new();
        for entry in entries {
            match entry["entry"].as_str() {
                Some("tested") if entry["ok"] == true => tested.push(&entry["commit"]),
                Some("moving") => {
                    let known = tested.contains(&&entry["to"]);
                    findings.demand(known, || format!("moved to what was not tested: {}", told()));
                }
                Some("moved") => {
                    let to = entry["to"].as_str().unwrap();
                    let there = git(&["merge-base", "--is-ancestor", to, LANDING]).is_some();
                    findings.demand(there, || format!("{to} is on record and not in the target: {}", told()));
                }
                _ => {}
            }
        }
    }
    let refs = git(&["for-each-ref", "refs/ai_orch/merge"]).unwrap_or_default();
    findings.demand(refs.is_empty(), || format!("refs of a run are left: {refs}"));
    let places = stage.house.path("home/.local/share/ai_orch/merges");
    let left: Vec<PathBuf> =
        fs::read_dir(places).into_iter().flatten().flatten().flat_map(|p| below(&p.path())).collect();
    findings.demand(left.is_empty(), || format!("what was tested in is left: {left:?}"));
}

fn below(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
