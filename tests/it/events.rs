//! `events`: what changes, for programs and for people, from any place on.

use crate::house::{House, eventually};
use serde_json::Value;
use std::io::{BufRead, BufReader};

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// The states of `session`, in the order in which they were told.
fn states(events: &[Value], session: &str) -> Vec<String> {
    let of = events.iter().filter(|event| event["session"] == session);
    of.map(|event| event["state"].as_str().unwrap().to_owned()).collect()
}

/// The events behind `since`, once `session` is told to be `state`: that is told after everybody can see it.
fn until(house: &House, since: &str, session: &str, state: &str) -> Vec<Value> {
    eventually("it is told", || {
        let since = format!("--since={since}");
        let events = lines(&house.ok(["events", &since]));
        (states(&events, session).last()? == state).then_some(events)
    })
}

#[test]
fn the_states_of_agents_are_told_and_a_cursor_goes_on() {
    let house = House::new();
    assert_eq!(house.ok(["events"]), "", "nothing happened yet");
    assert!(!house.path("root").exists(), "who only looks makes nothing");
    let done = house.orch(["run", "--name", "one", "--agent-cli", "sh", "echo x > x"]).run();
    assert_eq!(done.code, 0, "{done}");
    let events = until(&house, "", "one", "done");
    assert_eq!(states(&events, "one"), ["starting", "working", "done"]);
    let cursor = |n: usize| events[n]["cursor"].as_str().unwrap().to_owned();
    assert_eq!(lines(&house.ok(["events", "--json", "--since", &cursor(0)])), events[1..]);
    assert_eq!(house.ok(["events", "--since", &cursor(events.len() - 1)]), "");
    assert_eq!(house.ok(["events", "--since", "now"]), "");
    // A keeper that is gone says nothing; who ends its agent does.
    house.start(["--name", "two", "--agent-cli", "sh", "while :; do sleep 0.1; done"]);
    assert_eq!(house.orch(["kill", "two"]).run().code, 0);
    until(&house, &cursor(events.len() - 1), "two", "killed");
    // Another repository has its own.
    let other = house.path("other");
    house.make_repository(&other);
    let there = house.orch(["events"]).dir(&other).run();
    assert_eq!((there.code, there.stdout.as_str()), (0, ""), "{there}");
    let nowhere = house.orch(["events"]).dir("/").run();
    assert_eq!(nowhere.code, 2, "{nowhere}");
    let wrong = house.orch(["events", "--since", "yesterday"]).run();
    assert_eq!(wrong.code, 2, "{wrong}");
    // After a wipe nobody is told that nothing happened.
    std::fs::remove_dir_all(house.path("root")).unwrap();
    let done = house.orch(["run", "--name", "three", "--agent-cli", "sh", "echo x > x"]).run();
    assert_eq!(done.code, 0, "{done}");
    let after = until(&house, &cursor(0), "three", "done");
    assert_eq!(after[0]["kind"], "gap");
    assert_eq!(states(&after, "three"), ["starting", "working", "done"]);
}

#[test]
fn a_follower_hears_of_changes_as_they_come_over_a_wipe() {
    let house = House::new();
    let mut follower = house.orch(["events", "-f"]).spawn();
    let mut told = BufReader::new(follower.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&told.next().unwrap().unwrap()).unwrap() };
    for name in ["one", "two"] {
        let done = house.orch(["run", "--name", name, "--agent-cli", "sh", "true"]).run();
        assert_eq!(done.code, 0, "{done}");
        let mut states = Vec::new();
        while states.last().is_none_or(|state| state != "done") {
            let event = next();
            match event["kind"].as_str().unwrap() {
                "gap" => assert_eq!(name, "two", "{event}"),
                _ => states.push(event["state"].as_str().unwrap().to_owned()),
            }
        }
        assert_eq!(states, ["starting", "working", "done"]);
        eventually("the keeper has left", || house.processes().len().eq(&1).then_some(()));
        std::fs::remove_dir_all(house.path("root")).unwrap();
    }
    let pid = follower.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(follower.wait().unwrap().code(), Some(143));
}

#[test]
fn people_get_a_line_in_words() {
    let house = House::new();
    let done = house.orch(["run", "--name", "one", "--agent-cli", "sh", "true"]).run();
    assert_eq!(done.code, 0, "{done}");
    let mut command = house.command("script");
    command.args(["-qec", &format!("'{}' events", env!("CARGO_BIN_EXE_ai_orch")), "/dev/null"]);
    let output = command.stdin(std::process::Stdio::null()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let first = text.lines().next().unwrap();
    assert!(first.contains("  agent    one  ") && first.trim_end().ends_with("starting"), "{text}");
}
