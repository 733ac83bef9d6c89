//! Results that are delivered while something dies: what is said to be delivered is there, and nothing is there twice.

use crate::check::Findings;
use crate::scenarios;
use crate::stage::{Stage, VICTIM, journal};
use std::collections::BTreeSet;
use std::fs;

/// A call that starts the victim, and opens a pull request for what it does.
pub fn run(stage: &Stage) -> Vec<String> {
    with(scenarios::run(stage, "faulty,worker", VICTIM), "--open-pr")
}

/// The same call with another option.
pub fn with(mut words: Vec<String>, option: &str) -> Vec<String> {
    words.insert(1, option.to_owned());
    words
}

/// Whether `main` of the remote is where it was when the world was made.
fn is_first(stage: &Stage) -> bool {
    let tip = |dir: &std::path::Path, name: &str| stage.house.git_in(dir, &["rev-parse", name]);
    tip(&stage.house.path("forge/remote.git"), "main") == tip(&stage.house.repo(), "refs/remotes/origin/main")
}

/// How many results were delivered.
pub fn delivered(stage: &Stage) -> usize {
    let is = |record: &std::path::PathBuf| journal(record).iter().any(|e| e["entry"] == "delivered");
    stage.records().iter().filter(|record| is(record)).count()
}

/// What a journal says is delivered is at the remote, in one pull request.
pub fn check(stage: &Stage, findings: &mut Findings) {
    let forge = stage.house.path("forge");
    let there = |commit: &str, branch: &str| {
        let mut git = stage.house.command("git");
        git.arg("--git-dir").arg(forge.join("remote.git"));
        let words = ["merge-base", "--is-ancestor", commit, &format!("refs/heads/{branch}")];
        git.args(words).output().unwrap().status.success()
    };
    for record in stage.records() {
        let entries = journal(&record);
        let Some(created) = entries.iter().find(|e| e["entry"] == "created") else { continue };
        let branch = created["spec"]["branch"].as_str().unwrap();
        let pushed = entries.iter().rev().find(|e| e["entry"] == "pushed");
        if let Some(commit) = pushed.and_then(|e| e["commit"].as_str()) {
            findings.demand(there(commit, branch), || format!("{branch} is said to be pushed at {commit}"));
        }
        let pull =
            entries.iter().rev().find(|e| e["entry"] == "delivered").map(|e| e["pull"]["number"].clone());
        if let Some(number) = pull.filter(|number| !number.is_null()) {
            let head = fs::read_to_string(forge.join(format!("prs/{number}/head"))).unwrap_or_default();
            findings.demand(head == branch, || {
                format!("{branch} is said to be in {number}, which is of {head:?}")
            });
        }
    }
    // Nobody but us pushes, and we only our own branches.
    let mut git = stage.house.command("git");
    git.arg("--git-dir").arg(forge.join("remote.git")).args(["for-each-ref", "--format=%(refname)"]);
    let refs = String::from_utf8_lossy(&git.output().unwrap().stdout).into_owned();
    let foreign = |name: &&str| !name.starts_with("refs/heads/ai_orch/") && *name != "refs/heads/main";
    let foreign: Vec<&str> = refs.lines().filter(foreign).collect();
    findings.demand(foreign.is_empty(), || format!("pushed, and not by us: {foreign:?}"));
    findings.demand(there("main", "main") && is_first(stage), || "main of the remote was moved".to_owned());
    let mut heads = BTreeSet::new();
    for pull in fs::read_dir(forge.join("prs")).into_iter().flatten().flatten() {
        let head = fs::read_to_string(pull.path().join("head")).unwrap();
        findings.demand(heads.insert(head.clone()), || format!("two pull requests are of {head}"));
    }
}
