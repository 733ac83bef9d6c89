//! What people do after something died, and what must have come of it.

use crate::check::{self, Findings, Memory};
use crate::family;
use crate::house::House;
use crate::scenarios::Then;
use crate::stage::{BYSTANDER, Stage};
use crate::{delivery, merging};
use serde_json::Value;
use std::sync::OnceLock;

/// Whether this program knows a verb.
pub fn knows(verb: &str) -> bool {
    static KNOWN: OnceLock<Vec<&'static str>> = OnceLock::new();
    let known = KNOWN.get_or_init(|| {
        let house = House::new();
        ["resume", "clean", "undo", "merge", "trust"]
            .into_iter()
            .filter(|verb| house.orch(["help", verb]).run().code == 0)
            .collect()
    });
    known.contains(&verb)
}

/// The exit code of what cannot be done to an agent as it is.
const REFUSED: i32 = 8;

/// Everything goes on, is stopped, and is cleared away; then a new agent does its work as if nothing had been.
pub fn recover(
    stage: &Stage,
    then: &Memory,
    may_work: &[&str],
    git_died: bool,
    how: Then,
    findings: &mut Findings,
) {
    family::check(stage, false, findings);
    merging::settle(stage, findings);
    if how == Then::KillTree {
        family::kill_tree(stage, findings);
    } else if knows("resume") {
        go_on(stage, then, may_work, findings);
    }
    if how == Then::GrowUp {
        family::once_more(stage, findings);
        family::check(stage, true, findings);
    }
    stop(stage, findings);
    check::once(stage, then, findings);
    check::kept(stage, findings);
    check::quiet(stage, findings);
    check::repository(stage, git_died || check::half_restored(stage), findings);
    check::untouched(stage, findings);
    if knows("clean") {
        clear(stage, findings);
    }
    check::reachable(stage, findings);
    delivery::check(stage, findings);
    merging::check(stage, findings);
    life_goes_on(stage, findings);
    check::untouched(stage, findings);
}

fn go_on(stage: &Stage, then: &Memory, may_work: &[&str], findings: &mut Findings) {
    // A kill that was cut off is not overruled: its agent stays as it is until somebody says which it shall be.
    let names = stage.names();
    let doomed: Vec<&str> = names
        .iter()
        // On a full disk it is a link that leads nowhere.
        .filter(|(_, record)| record.join("stop").is_symlink() || record.join("stop").exists())
        .map(|(name, _)| name.as_str())
        .collect();
    let done = stage.house.orch(["resume", "--all"]).run();
    let refused = !doomed.is_empty() && [3, REFUSED].contains(&done.code);
    findings.demand(done.code == 0 || refused, || format!("resume --all failed: {done}"));
    for agent in check::settle(stage, may_work, findings) {
        if doomed.iter().any(|name| agent["session"] == *name) {
            continue;
        }
        let ended = ["done", "failed", "killed"].iter().any(|state| agent["state"] == *state)
            || may_work.iter().any(|name| agent["session"] == *name);
        // A name without a record is nothing that could go on.
        findings
            .demand(ended || agent["state"] == "unknown", || format!("resumed, and not at its end: {agent}"));
    }
    check::once(stage, then, findings);
    check::kept(stage, findings);
    check::reachable(stage, findings);
}

/// Stops all but the bystander.
fn stop(stage: &Stage, findings: &mut Findings) {
    let names: Vec<String> = stage.names().into_iter().map(|(name, _)| name).collect();
    if names.is_empty() {
        return;
    }
    let words: Vec<&str> = ["kill"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let done = stage.house.orch(words).run();
    findings.demand(done.code == 0, || format!("kill failed: {done}"));
    for agent in check::listed(stage, findings).unwrap_or_default() {
        let ended = ["done", "failed", "killed"].iter().any(|state| agent["state"] == *state);
        let half = |remark: &Value| remark["what"].as_str().is_some_and(|what| what.ends_with("_cut_off"));
        let remarks = agent["remarks"].as_array().is_some_and(|r| !r.iter().all(half));
        findings.demand(ended && !remarks, || {
            format!("killed, and yet {} is {} {}", agent["session"], agent["state"], agent["remarks"])
        });
    }
}

/// Cleans all, brings back what had an end, and cleans that too.
fn clear(stage: &Stage, findings: &mut Findings) {
    let names: Vec<String> = stage.names().into_iter().map(|(name, _)| name).collect();
    // One whose return was cut off goes on with it; the others have nothing to undo.
    undo(stage, &names, findings);
    clean(stage, findings);
    undo(stage, &names, findings);
    check::kept(stage, findings);
    check::untouched(stage, findings);
    clean(stage, findings);
}

fn undo(stage: &Stage, names: &[String], findings: &mut Findings) {
    for name in names.iter().filter(|_| knows("undo")) {
        let done = stage.house.orch(["undo", name.as_str()]).run();
        findings.demand(done.code == 0 || done.code == REFUSED, || format!("undo failed: {done}"));
    }
}

fn clean(stage: &Stage, findings: &mut Findings) {
    let done = stage.house.orch(["clean"]).run();
    findings.demand(done.code == 0, || format!("clean failed: {done}"));
    check::gone(stage, findings);
    check::repository(stage, false, findings);
}

/// A new agent in the same repository.
fn life_goes_on(stage: &Stage, findings: &mut Findings) {
    let done = stage
        .house
        .orch(["run", "--detach", "--agent-cli", "worker", "--name", "next", "--trust", "go on"])
        .run();
    let name = done.stdout.trim().to_owned();
    if done.code != 0 || name.is_empty() || name == BYSTANDER {
        findings.add(format!("no new agent can be started: {done}"));
        return;
    }
    let waited = stage.house.orch(["wait", &name]).run();
    findings.demand(waited.code == 0, || format!("a new agent is not done: {waited}"));
}
