//! What becomes of mail and claims whose owner is cleaned: they are nobody else's, and mail comes back with its reader.

use crate::house::{House, eventually};
use serde_json::Value;
use std::fs;

fn json(house: &House, words: &[&str]) -> Value {
    serde_json::from_str(&house.ok([words, &["--json"]].concat())).unwrap()
}

fn words(of: &Value) -> String {
    of["message"]["parts"][0]["text"].as_str().unwrap().to_owned()
}

/// What nobody will read: the words, and why.
fn dead(house: &House) -> Vec<(String, String)> {
    let told = json(house, &["msg", "dead"]);
    let letters = told["letters"].as_array().unwrap();
    letters.iter().map(|one| (words(one), one["reason"].as_str().unwrap().to_owned())).collect()
}

/// What waits for `name`.
fn waiting(house: &House, name: &str) -> Vec<String> {
    let told = json(house, &["msg", "read", name, "--peek"]);
    told["messages"].as_array().unwrap().iter().map(words).collect()
}

/// What an agent of this name reads.
fn reads(house: &House, name: &str) -> String {
    house.ok(["run", "--agent-cli", "sh", "--name", name, "ai_orch msg read > got.txt"]);
    house.git(&["show", &format!("ai_orch/{name}:got.txt")])
}

fn pair(words: &str, reason: &str) -> (String, String) {
    (words.to_owned(), reason.to_owned())
}

/// An agent that has ended, and two messages that it did not read: of the second one its sender wants to hear.
fn ended(house: &House, name: &str) {
    house.ok(["run", "--agent-cli", "sh", "--name", name, "true"]);
    house.ok(["msg", "send", "--op-id", "first", name, "hello"]);
    house.ok(["msg", "send", "--ack-required", name, "look at this"]);
}

#[test]
fn what_a_cleaned_agent_had_not_read_is_nobodys_until_it_comes_back() {
    let house = House::new();
    ended(&house, "a");
    let done = "its reader is done";
    assert_eq!(dead(&house), [pair("hello", done), pair("look at this", done)]);
    assert!(waiting(&house, "user").is_empty(), "it can still be resumed");
    let cleaned = house.orch(["clean", "a"]).run();
    assert!(cleaned.stderr.contains("2 messages that it had not read: ai_orch msg dead"), "{cleaned}");
    let cleaned = "its reader was cleaned";
    assert_eq!(dead(&house), [pair("hello", cleaned), pair("look at this", cleaned)]);
    // Who asked to be told is told, once, in the thread of its message.
    let told = json(&house, &["msg", "read"]);
    assert_eq!(told["messages"].as_array().unwrap().len(), 1, "{told}");
    let news = &told["messages"][0];
    assert_eq!(
        (words(news).as_str(), &news["from"]),
        ("a will not read this: its reader was cleaned", &"a".into())
    );
    let letters = json(&house, &["msg", "dead"]);
    assert_eq!(
        (&news["reply_to"], &news["thread"]),
        (&letters["letters"][1]["id"], &letters["letters"][1]["thread"])
    );
    // A new agent of the same name is another one: it reads nothing of that, and what is said to it is new to it.
    let again = reads(&house, "a");
    assert!(again.contains("No messages for a"), "{again}");
    assert_eq!(dead(&house).len(), 2);
    let sent = json(&house, &["msg", "send", "--op-id", "first", "a", "hello"]);
    assert_eq!(sent["receipts"][0]["duplicate"], false, "{sent}");
    assert_eq!(waiting(&house, "a"), ["hello"]);
    // The first one comes back under another name, and what waited for it waits for it there.
    house.ok(["undo", "a"]);
    assert_eq!(waiting(&house, "a-2"), ["hello", "look at this"]);
    assert_eq!(waiting(&house, "a"), ["hello"], "that was said to the second one");
    assert_eq!(house.listed("a-2")["unread"], 2);
    house.ok(["resume", "a-2", "ai_orch msg read > got.txt"]);
    house.ok(["wait", "a-2"]);
    let got = house.git(&["show", "ai_orch/a-2:got.txt"]);
    assert!(got.contains("hello") && got.contains("look at this"), "{got}");
    assert_eq!(waiting(&house, "user"), ["a-2 has read this"]);
    assert_eq!(dead(&house), [pair("hello", done)]);
    // Nothing of this hangs on what is under /tmp.
    for entry in fs::read_dir(house.path("root")).unwrap().flatten().filter(|e| e.path().is_dir()) {
        fs::remove_dir_all(entry.path()).unwrap();
    }
    assert_eq!((waiting(&house, "a"), dead(&house).len()), (vec!["hello".to_owned()], 1));
}

#[test]
fn mail_goes_for_good_with_the_record_of_its_reader() {
    let house = House::new();
    ended(&house, "a");
    house.ok(["clean", "a"]);
    assert_eq!(dead(&house).len(), 2);
    eventually("it is old enough", || {
        house.ok(["clean", "--rescue", "--older-than", "1s", "--dry-run"]).contains("forgotten").then_some(())
    });
    assert_eq!(dead(&house).len(), 2, "a dry run does nothing");
    house.ok(["clean", "--rescue", "--older-than", "1s"]);
    assert!(dead(&house).is_empty());
}

#[test]
fn what_was_sent_to_one_that_is_no_agent_is_not_read_by_an_agent_of_its_name() {
    let house = House::new();
    // The project has a directory as soon as somebody has something there.
    house.ok(["msg", "send", "user", "to myself"]);
    let state = house.path("home/.local/state/ai_orch");
    let project =
        fs::read_dir(state).unwrap().flatten().find(|dir| dir.path().join("mail").is_dir()).unwrap();
    let workers = project.path().join("workers");
    fs::create_dir_all(&workers).unwrap();
    fs::write(workers.join("w.lock"), "").unwrap();
    house.ok(["msg", "send", "w", "to a worker"]);
    assert!(reads(&house, "w").contains("No messages"));
    assert_eq!(dead(&house), [pair("to a worker", "it was for another one of that name")]);
}

#[test]
fn what_two_agents_of_one_name_call_the_same_are_two_things() {
    let house = House::new();
    let script = "ai_orch task create --op-id one 'do it' > id.txt; ai_orch msg send --op-id two user 'it is created'; \
                  ai_orch reserve --op-id three src/x; ai_orch reserve --list --json > held.json";
    let run = || {
        house.ok(["run", "--agent-cli", "sh", "--name", "a", script]);
        let left = |file: &str| house.git(&["show", &format!("ai_orch/a:{file}")]);
        let held: Value = serde_json::from_str(&left("held.json")).unwrap();
        (left("id.txt"), held["reservations"][0]["by"].clone())
    };
    let first = run();
    house.ok(["clean", "a"]);
    house.git(&["branch", "-D", "ai_orch/a"]);
    let second = run();
    assert_ne!(first.0, second.0, "each has created a task");
    assert_eq!((first.1, second.1), ("a".into(), "a".into()), "and has what it reserved");
    assert_eq!(waiting(&house, "user"), ["it is created", "it is created"]);
}

/// The points that `words` passes at journals, inboxes, their copies and names, from the first that is named `from` on.
fn points(house: &House, words: &[&str], from: &str) -> Vec<usize> {
    let log = house.path("points");
    assert_eq!(house.orch(words).env("AI_ORCH_CRASH_LOG", &log).run().code, 0);
    let text = fs::read_to_string(log).unwrap();
    let own = text.lines().filter(|line| line.starts_with(&format!("{} ", words[0]))).enumerate();
    let behind = own.skip_while(|(_, line)| !line.contains(from));
    let touched = |line: &str| ["journal ", "mail/", "names/"].iter().any(|what| line.contains(what));
    let found: Vec<usize> = behind.filter(|(_, line)| touched(line)).map(|(n, _)| n + 1).collect();
    assert!(found.len() > 4, "{text}");
    found
}

#[test]
fn a_clean_that_dies_leaves_no_letter_to_another_and_none_untold() {
    let all = {
        let house = House::new();
        ended(&house, "a");
        points(&house, &["clean", "a"], "after journal cleaned")
    };
    for n in all {
        let house = House::new();
        ended(&house, "a");
        let died = house.orch(["clean", "a"]).env("AI_ORCH_CRASH", format!("clean:{n}")).run();
        assert_eq!(died.code, 137, "{n}: {died}");
        // Where the name is free already there is nothing left to clean.
        let again = house.orch(["clean", "a"]).run();
        assert!(again.code == 0 || again.stderr.contains("there is no agent 'a'"), "{n}: {again}");
        assert!(reads(&house, "a").contains("No messages"), "{n}");
        let cleaned = "its reader was cleaned";
        assert_eq!(dead(&house), [pair("hello", cleaned), pair("look at this", cleaned)], "{n}");
        assert_eq!(waiting(&house, "user"), ["a will not read this: its reader was cleaned"], "{n}");
    }
}

#[test]
fn an_undo_that_dies_loses_no_letter_and_doubles_none() {
    let all = {
        let house = House::new();
        ended(&house, "a");
        house.ok(["clean", "a"]);
        points(&house, &["undo", "a"], "after journal worktree_made")
    };
    for n in all {
        let house = House::new();
        ended(&house, "a");
        house.ok(["clean", "a"]);
        let died = house.orch(["undo", "a"]).env("AI_ORCH_CRASH", format!("undo:{n}")).run();
        assert_eq!(died.code, 137, "{n}: {died}");
        house.ok(["undo", "a"]);
        assert_eq!(house.listed("a")["state"], "done", "{n}");
        assert_eq!(waiting(&house, "a"), ["hello", "look at this"], "{n}");
        assert_eq!(dead(&house).len(), 2, "{n}");
    }
}

#[test]
fn whoever_gets_the_name_of_a_cleaned_agent_holds_nothing_of_what_that_one_had_claimed() {
    let house = House::new();
    let id = house.ok(["task", "create", "job"]).trim().to_owned();
    let claimed = house.path("claimed");
    let claims = format!("ai_orch task claim && touch '{}'; sleep 1000", claimed.display());
    house.start(["--agent-cli", "sh", "--name", "a", &claims]);
    eventually("it has claimed", || claimed.exists().then_some(()));
    let state = || json(&house, &["task", "show", &id])["task"]["status"]["state"].clone();
    assert_eq!(state(), "TASK_STATE_WORKING");
    house.ok(["kill", "a"]);
    eventually("nobody is said to be at work on it", || (state() == "TASK_STATE_SUBMITTED").then_some(()));
    house.ok(["clean", "a"]);
    let completes = format!("ai_orch task complete {id} mine; echo $? > code");
    house.ok(["run", "--agent-cli", "sh", "--name", "a", &completes]);
    assert_ne!(house.git(&["show", "ai_orch/a:code"]), "0");
    assert_eq!(state(), "TASK_STATE_SUBMITTED");
}

#[test]
fn an_agent_that_is_cleaned_while_it_holds_a_task_gives_it_back_before_its_name() {
    let house = House::new();
    let id = house.ok(["task", "create", "job"]).trim().to_owned();
    house.ok(["run", "--agent-cli", "sh", "--name", "a", "ai_orch task claim"]);
    house.ok(["clean", "a"]);
    let done =
        format!("ai_orch task complete {id} mine; echo $? > code; ai_orch task claim; echo $? >> code");
    house.ok(["run", "--agent-cli", "sh", "--name", "a", &done]);
    let codes = house.git(&["show", "ai_orch/a:code"]);
    assert!(!codes.starts_with('0') && codes.ends_with("\n0"), "not its own, and to be claimed: {codes}");
}

#[test]
fn nobody_waits_with_success_for_an_agent_that_has_only_a_name() {
    let house = House::new();
    let log = house.path("points");
    let run = ["run", "--agent-cli", "sh", "--name", "a", "true"];
    assert_eq!(house.orch(run).env("AI_ORCH_CRASH_LOG", &log).run().code, 0);
    let points = fs::read_to_string(log).unwrap();
    let begun =
        points.lines().find(|l| l.starts_with("run ") && l.ends_with("before journal created")).unwrap();
    let at = format!("run:{}", begun.split(' ').nth(2).unwrap());
    let run = ["run", "--detach", "--agent-cli", "sh", "--name", "b", "true"];
    assert_eq!(house.orch(run).env("AI_ORCH_CRASH", at).run().code, 137);
    // As it is if it dies while it writes that.
    fs::write(house.record("b").join("journal"), "").unwrap();
    for words in [&["wait", "b"][..], &["wait", "b", "--until", "done"], &["wait", "b", "--json"]] {
        assert_eq!(house.orch(words).run().code, 1, "{words:?}");
    }
    assert_eq!(house.orch(["wait", "a", "b"]).run().code, 3);
    let told = house.orch(["wait", "b"]).run();
    assert!(told.stdout.contains("ai_orch kill b"), "{told}");
    house.ok(["kill", "b"]);
}
