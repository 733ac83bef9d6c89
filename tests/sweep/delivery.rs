//! Results that are delivered while something dies: what is said to be delivered is there, and nothing is there twice.

use crate::check::Findings;
use crate::scenarios;
use crate::stage::{Stage, VICTIM, journal};
use std::collections::BTreeSet;
use std::fs;

/// A call that starts the victim, and opens a pull request for what it does.
pub fn run(stage: &Stage) -> Vec<String> {
    with_pull_request(scenarios::run(stage, "faulty,worker", VICTIM))
}

/// The same call, with a pull request for the result.
pub fn with_pull_request(mut words: Vec<String>) -> Vec<String> {
    words.insert(1, "--open-pr".to_owned());
    words
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
    let mut heads = BTreeSet::new();
    for pull in fs::read_dir(forge.join("prs")).into_iter().flatten().flatten() {
        let head = fs::read_to_string(pull.path().join("head")).unwrap();
        findings.demand(heads.insert(head.clone()), || format!("two pull requests are of {head}"));
    }
}
