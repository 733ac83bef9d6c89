//! What makes a worktree ready for work runs once, before any agent CLI, and nothing is started if it fails.

use crate::house::{House, eventually};
use std::fs;
use std::path::PathBuf;

const START: [&str; 6] = ["run", "--json", "--agent-cli", "sh", "--name", "one"];

#[test]
fn it_runs_once_and_before_the_agent() {
    let house = House::new();
    let setup = "echo $AI_ORCH_SESSION >> ../setups; echo out of the box > made.txt";
    let done = house.orch([&START[..], &["--setup", setup, "cat made.txt > seen.txt"]].concat()).run();
    assert_eq!(done.code, 0, "{done}");
    let agent = done.json()["agent"].clone();
    assert_eq!(
        (agent["setup"]["ok"].as_bool(), agent["setup"]["exit"].as_i64()),
        (Some(true), Some(0)),
        "{agent:#}"
    );
    assert_eq!(house.git(&["show", "ai_orch/one:seen.txt"]), "out of the box");
    // Not for another task in the same worktree; again in one that is made anew.
    let worktree = PathBuf::from(agent["worktree"].as_str().unwrap());
    let setups = worktree.with_file_name("setups");
    house.ok(["resume", "one", "echo more > more.txt"]);
    assert_eq!(house.orch(["wait", "one"]).run().code, 0);
    assert_eq!(fs::read_to_string(&setups).unwrap(), "one\n");
    house.ok(["clean", "one"]);
    house.ok(["undo", "one"]);
    house.ok(["resume", "one", "echo yet more > more.txt"]);
    assert_eq!(house.orch(["wait", "one"]).run().code, 0);
    assert_eq!(fs::read_to_string(&setups).unwrap(), "one\none\n");
    assert!(house.ok(["show", "one"]).contains("succeeded in"));
}

#[test]
fn if_it_fails_no_agent_is_started_and_what_it_printed_is_shown() {
    let house = House::new();
    let gate = house.path("gate");
    let setup = format!("echo fetching; echo it is not there >&2; test -e '{}' || exit 7", gate.display());
    let done = house.orch([&START[..], &["--setup", &setup, "echo x > x.txt"]].concat()).run();
    assert_eq!(done.code, 1, "{done}");
    let agent = done.json()["agent"].clone();
    assert_eq!(
        (agent["state"].as_str(), agent["failure"]["class"].as_str()),
        (Some("failed"), Some("setup")),
        "{agent:#}"
    );
    assert_eq!(agent["attempts"].as_array().unwrap().len(), 0, "{agent:#}");
    let shown = house.ok(["show", "one"]);
    assert!(shown.contains("failed with exit 7") && shown.contains("it is not there"), "{shown}");
    // Mended, it goes on.
    fs::write(gate, "").unwrap();
    house.ok(["resume", "one"]);
    assert_eq!(house.orch(["wait", "one"]).run().code, 0);
    assert_eq!(house.git(&["show", "ai_orch/one:x.txt"]), "x");
    let empty = house.orch([&START[..], &["--setup", "  ", "true"]].concat()).run();
    assert!(empty.code == 2 && empty.stderr.contains("no command"), "{empty}");
}

#[test]
fn it_is_ended_with_its_agent_and_done_again_after_a_crash() {
    let house = House::new();
    let (began, go) = (house.path("began"), house.path("go"));
    let setup = format!(
        "echo x >> '{}'; sleep 300 & while [ ! -e '{}' ]; do sleep 0.02; done",
        began.display(),
        go.display()
    );
    let start =
        |name: &str| house.start(["--agent-cli", "sh", "--name", name, "--setup", &setup, "echo x > x.txt"]);
    let begins = |n: usize| {
        let ready = || fs::read_to_string(&began).is_ok_and(|text| text.lines().count() == n).then_some(());
        eventually("it is being set up", ready);
    };
    start("killed");
    begins(1);
    house.ok(["kill", "killed"]);
    let left = || house.processes().iter().any(|(_, words)| words.contains("sleep 300"));
    assert!(!left());
    start("lost");
    begins(2);
    house.kill_keeper("lost");
    eventually("it is interrupted", || (house.listed("lost")["state"] == "interrupted").then_some(()));
    fs::write(&go, "").unwrap();
    house.ok(["resume", "lost"]);
    assert_eq!(house.orch(["wait", "lost"]).run().code, 0);
    begins(3);
    assert!(!left(), "what the first one left was ended");
    assert_eq!(house.git(&["show", "ai_orch/lost:x.txt"]), "x");
    let slow =
        house.orch(["run", "--agent-cli", "sh", "--timeout", "1s", "--setup", "sleep 300", "true"]).run();
    assert!(slow.code == 7 && slow.stdout.contains("during the setup"), "{slow}");
}
