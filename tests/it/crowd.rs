//! Many agents at once.

use crate::house::{House, eventually};
use serde_json::Value;
use std::collections::BTreeSet;

/// How often to do what is done a few times here and many times by hand (`AI_ORCH_TEST_ROUNDS`).
fn rounds(usual: usize) -> usize {
    std::env::var("AI_ORCH_TEST_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

fn agents(house: &House) -> Vec<Value> {
    let list: Value = serde_json::from_str(&house.ok(["list", "--json"])).unwrap();
    list["agents"].as_array().unwrap().clone()
}

fn nothing_runs(house: &House) {
    eventually("no process is left, the tmux server neither", || house.processes().is_empty().then_some(()));
}

#[test]
fn names_that_begin_alike_never_touch_each_other() {
    let house = House::new();
    let go = house.path("go");
    let task = |n: &str| format!("while [ ! -e {} ]; do sleep 0.02; done; echo {n} > {n}.txt", go.display());
    for name in ["fix", "fix-1", "fix-10"] {
        house.start(["--agent-cli", "sh", "--name", name, &task(name)]);
    }
    house.ok(["kill", "fix-1"]);
    let states = |name: &str| house.listed(name)["state"].as_str().unwrap().to_owned();
    assert_eq!(states("fix-1"), "killed");
    for name in ["fix", "fix-10"] {
        eventually("the others work", || (states(name) == "working").then_some(()));
        assert!(house.tmux(&["has-session", "-t", &format!("={name}")]).status.success());
    }
    assert_eq!(house.show("fix")["agent"]["session"], "fix", "the whole name, not one that it begins");
    std::fs::write(&go, "").unwrap();
    house.ok(["wait", "fix", "fix-10"]);
    for name in ["fix", "fix-10"] {
        assert_eq!(
            house.git(&["ls-tree", "--name-only", &format!("ai_orch/{name}")]),
            format!("README.md\n{name}.txt")
        );
    }
    nothing_runs(&house);
}

/// Fifty at once: each starts, each in a worktree and on a branch of its own, each ends, and nothing is left.
fn fifty(house: &House, round: usize) {
    let many = 50;
    let task = format!("echo $AI_ORCH_SESSION > me-{round}.txt");
    let children: Vec<_> =
        (0..many).map(|_| house.orch(["run", "--detach", "--agent-cli", "sh", &task]).spawn()).collect();
    let mut names = BTreeSet::new();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        names.insert(String::from_utf8(output.stdout).unwrap().trim().to_owned());
    }
    assert_eq!(names.len(), many, "{names:?}");
    let words: Vec<&str> = ["wait"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let done = house.orch(words).run();
    assert_eq!(done.code, 0, "{done}");
    let mine: Vec<Value> =
        agents(house).into_iter().filter(|a| names.contains(a["session"].as_str().unwrap())).collect();
    assert_eq!(mine.len(), many);
    let worktrees: BTreeSet<&str> = mine.iter().map(|a| a["worktree"].as_str().unwrap()).collect();
    assert_eq!(worktrees.len(), many);
    for agent in &mine {
        assert_eq!(agent["state"], "done", "{agent}");
        let (name, branch) = (agent["session"].as_str().unwrap(), agent["branch"].as_str().unwrap());
        assert_eq!(house.git(&["show", &format!("{branch}:me-{round}.txt")]), name);
    }
    nothing_runs(house);
}

#[test]
fn fifty_at_once() {
    let house = House::new();
    for round in 0..rounds(1) {
        fifty(&house, round);
        println!("round {round}: 50 of 50");
    }
}

#[test]
fn the_same_text_twice_at_once_gives_two_agents() {
    let house = House::new();
    let task = "echo the same > same.txt";
    let both = [0, 1].map(|_| house.orch(["run", "--detach", "--agent-cli", "sh", task]).spawn());
    let names: BTreeSet<String> = both
        .into_iter()
        .map(|c| {
            let output = c.wait_with_output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        })
        .collect();
    assert_eq!(names.len(), 2);
    let words: Vec<&str> = ["wait"].into_iter().chain(names.iter().map(String::as_str)).collect();
    house.ok(words);
    for name in &names {
        assert_eq!(house.git(&["show", &format!("ai_orch/{name}:same.txt")]), "the same");
    }
    nothing_runs(&house);
}

#[test]
fn starts_that_race_with_the_end_of_the_server_never_fail() {
    let house = House::new();
    for round in 0..rounds(8) {
        // Each ends as soon as it has begun, and takes the server along if it is the last: the next one starts right then.
        let children: Vec<_> = (0..4)
            .map(|i| {
                std::thread::park_timeout(std::time::Duration::from_millis(
                    u64::try_from(7 * i * (round % 5)).unwrap(),
                ));
                house
                    .orch(["run", "--detach", "--agent-cli", "sh", "--name", &format!("r{round}-{i}"), ":"])
                    .spawn()
            })
            .collect();
        for child in children {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "round {round}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
    eventually("all have ended", || agents(&house).iter().all(|a| a["state"] == "done").then_some(()));
    nothing_runs(&house);
}
