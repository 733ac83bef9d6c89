//! A clock that was set back or forth between two looks: no age is negative, nothing panics, nothing waits for a year.

use crate::house::House;
use crate::versions::{records, rewrite};
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};

/// Moves every time in the journal to `at`.
fn move_to(record: &Path, at: &str) {
    let mut written = records(record);
    for record in &mut written {
        record["at"] = json!(at);
    }
    rewrite(record, &written);
}

#[test]
fn times_in_the_future_and_in_the_past_are_shown_sanely() {
    let house = House::new();
    for name in ["done", "cut"] {
        house.ok(["run", "--agent-cli", "sh", "--name", name, "echo work > work.txt"]);
    }
    let (done, cut) = (house.record("done"), house.record("cut"));
    // One that never came to its end.
    let mut written = records(&cut);
    written.retain(|r| !["ended", "committed", "attempt_ended"].contains(&r["entry"].as_str().unwrap()));
    rewrite(&cut, &written);
    for at in
        ["2100-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "9999-12-30T22:00:00Z", "-009999-01-02T01:59:59Z"]
    {
        move_to(&done, at);
        move_to(&cut, at);
        let age = |name: &str| {
            let list = house.ok(["list"]);
            let line = list.lines().find(|l| l.starts_with(name)).unwrap().to_owned();
            let words: Vec<&str> = line.split_whitespace().collect();
            let at = words.iter().position(|w| *w == "sh").unwrap();
            words[at + 1].to_owned()
        };
        assert_eq!(age("done"), "0s", "begun and ended at one moment: {at}");
        if at.starts_with(['2', '9']) {
            assert_eq!(age("cut"), "0s", "a beginning in the future is now: {at}");
        } else {
            assert!(age("cut").ends_with('d') && !age("cut").contains('-'), "{at}: {}", age("cut"));
        }
        for words in
            [&["show", "cut"][..], &["show", "done"], &["logs", "done"], &["doctor"], &["list", "--json"]]
        {
            let said = house.ok(words);
            assert!(!said.contains("4294967"), "{said}");
        }
        assert_eq!(house.orch(["wait", "done"]).run().code, 0);
        let wait = house.orch(["wait", "cut", "--timeout", "1s"]).run();
        assert_eq!(wait.code, 1, "an interrupted agent is at its end: {wait}");
    }
    house.ok(["kill", "cut"]);
    assert_eq!(house.listed("cut")["state"], "killed");
}

#[test]
fn times_that_go_backwards_give_no_negative_durations() {
    let house = House::new();
    house.ok(["run", "--agent-cli", "sh", "--name", "one", "echo work > work.txt"]);
    let record = house.record("one");
    let mut written = records(&record);
    for (n, record) in written.iter_mut().enumerate() {
        record["at"] = json!(format!("20{:02}-01-01T00:00:00Z", 90 - n));
    }
    rewrite(&record, &written);
    let list = house.ok(["list"]);
    assert!(list.lines().nth(1).unwrap().contains(" 0s "), "{list}");
    let show = house.ok(["show", "one"]);
    assert!(show.contains("0s ago") && show.contains("after 0s") && !show.contains("4294967"), "{show}");
    assert_eq!(house.listed("one")["state"], "done");
}

#[test]
fn the_order_is_that_of_creation_whatever_the_clock_said() {
    let house = House::new();
    for name in ["first", "second", "third"] {
        house.ok(["run", "--agent-cli", "sh", "--name", name, "true"]);
    }
    move_to(&house.record("first"), "2100-01-01T00:00:00Z");
    move_to(&house.record("third"), "1970-01-01T00:00:00Z");
    let list: serde_json::Value = serde_json::from_str(&house.ok(["list", "--json"])).unwrap();
    let names: Vec<&str> =
        list["agents"].as_array().unwrap().iter().map(|a| a["session"].as_str().unwrap()).collect();
    assert_eq!(names, ["first", "second", "third"]);
}

#[test]
fn a_wait_for_a_running_agent_of_the_future_ends_when_it_said() {
    let house = House::new();
    house.start(["--agent-cli", "sh", "--name", "one", "sleep 1000"]);
    let record = house.record("one");
    // The keeper goes on at the end of the file: a journal of the same length under it.
    let text = std::fs::read_to_string(record.join("journal")).unwrap();
    let lines: Vec<serde_json::Value> = records(&record)
        .into_iter()
        .map(|mut r| {
            let at = r["at"].as_str().unwrap().replacen("20", "30", 1);
            r["at"] = json!(at);
            r
        })
        .collect();
    rewrite(&record, &lines);
    assert_eq!(std::fs::read_to_string(record.join("journal")).unwrap().len(), text.len());
    let began = Instant::now();
    let wait = house.orch(["wait", "one", "--timeout", "1s"]).run();
    assert_eq!(wait.code, 7, "{wait}");
    assert!(began.elapsed() >= Duration::from_secs(1));
    house.ok(["kill", "one"]);
}
