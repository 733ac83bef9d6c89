//! What a worktree has outside of itself is put away before it is removed: once, supervised, on record, and again if that was cut off.

use crate::house::{House, eventually, runs};
use crate::trust::file;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// An agent that is done, in a repository with this file.
fn done(house: &House, text: &str, task: &str) -> PathBuf {
    file(house, text);
    house.ok(["trust"]);
    let done =
        house.orch(["run", "--json", "--agent-cli", "sh", "--name", "one", "--env", "SECRET=s", task]).run();
    assert_eq!(done.code, 0, "{done}");
    PathBuf::from(done.json()["agent"]["worktree"].as_str().unwrap())
}

fn clean(house: &House, words: &[&str]) -> (i32, Value) {
    let done = house.orch([&["clean", "--json"], words].concat()).run();
    (done.code, done.json()["cleaned"][0].clone())
}

#[test]
fn it_runs_in_the_worktree_before_that_goes_with_what_the_agent_had_but_no_secrets() {
    let house = House::new();
    let out = house.path("out");
    let text = format!(
        "teardown = \"\"\"\npwd > '{0}'; cat left.txt >> '{0}'; echo $AI_ORCH_SESSION $PORT $SECRET. >> '{0}'; tty >> '{0}'; rm left.txt; echo bye\n\"\"\"\nports = ['PORT']\n",
        out.display()
    );
    let worktree = done(&house, &text, "echo left > left.txt; exit 0");
    let port = house.show("one")["agent"]["outfit"]["ports"][0]["port"].clone();
    let would = house.ok(["clean", "--dry-run", "one"]);
    assert!(would.contains("would be cleaned") && !out.exists());
    let (code, report) = clean(&house, &["one"]);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(
        (report["torn_down"]["ok"].as_bool(), report["torn_down"]["output"].as_str()),
        (Some(true), Some("bye\n"))
    );
    let said = fs::read_to_string(&out).unwrap();
    assert_eq!(said, format!("{}\nleft\none {port} .\nnot a tty\n", worktree.display()));
    assert!(!worktree.exists());
    // What comes back is what the agent left, not what its teardown made of it.
    house.ok(["undo", "one"]);
    assert_eq!(fs::read_to_string(worktree.join("left.txt")).unwrap(), "left\n");
    assert_eq!(house.show("one")["agent"]["outfit"]["torn_down"]["ok"], true);
    // Nothing ran there since, so there is nothing to put away.
    fs::remove_file(&out).unwrap();
    assert_eq!(clean(&house, &["one"]).0, 0);
    assert!(!out.exists());
    // After more work there is.
    house.ok(["undo", "one"]);
    house.ok(["resume", "one", "true; exit 0"]);
    assert_eq!(house.orch(["wait", "one"]).run().code, 0);
    assert!(house.show("one")["agent"]["outfit"]["torn_down"].is_null());
    assert_eq!(clean(&house, &["one"]).0, 0);
    assert!(out.exists());
}

#[test]
fn one_that_fails_keeps_the_worktree_until_it_succeeds_or_is_left_out() {
    let house = House::new();
    let (gate, setups) = (house.path("gate"), house.path("setups"));
    let text = format!(
        "setup = \"echo x >> '{}'\"\nteardown = \"echo stopping; test -e '{}' || {{ echo no daemon; exit 5; }}\"\n",
        setups.display(),
        gate.display()
    );
    let worktree = done(&house, &text, "echo left > left.txt");
    let (code, report) = clean(&house, &["one"]);
    assert_eq!((code, report["error"]["code"].as_str()), (1, Some("teardown_failed")), "{report:#}");
    let message = report["error"]["message"].as_str().unwrap();
    assert!(message.contains("failed with exit 5: no daemon"), "{message}");
    assert!(report["error"]["hint"].as_str().unwrap().contains("clean --no-teardown one"));
    assert!(worktree.join("left.txt").exists());
    let shown = house.ok(["show", "one"]);
    assert!(shown.contains("failed with exit 5") && shown.contains("stopping"), "{shown}");
    // It can go on, in a worktree that is made ready again.
    house.ok(["resume", "one", "echo more > more.txt"]);
    assert_eq!(house.orch(["wait", "one"]).run().code, 0);
    assert_eq!(fs::read_to_string(&setups).unwrap(), "x\nx\n");
    fs::write(&gate, "").unwrap();
    assert_eq!(clean(&house, &["one"]).0, 0);
    assert!(!worktree.exists());
    fs::remove_file(&gate).unwrap();
    house.ok(["undo", "one"]);
    house.ok(["resume", "one", "true; true"]);
    assert_eq!(house.orch(["wait", "one"]).run().code, 0);
    assert_eq!(clean(&house, &["one"]).0, 1);
    let (code, report) = clean(&house, &["--no-teardown", "one"]);
    assert_eq!((code, report["torn_down"].is_null()), (0, true), "{report:#}");
    assert!(!worktree.exists());
}

#[test]
fn one_that_hangs_is_ended_with_everything_that_it_started() {
    let house = House::new();
    // One that forgets what it was told, in a session of its own, and one that does not listen.
    let text = "teardown = '''\necho stopping\nenv -i setsid sleep 331 &\n(trap '' TERM; sleep 332; sleep 332) &\nsleep 333\n'''\nteardown_limit = 1\n";
    let worktree = done(&house, text, "true");
    let (code, report) = clean(&house, &["one"]);
    assert_eq!((code, report["error"]["code"].as_str()), (1, Some("teardown_failed")), "{report:#}");
    let shown = house.ok(["show", "one"]);
    assert!(
        shown.contains("was stopped after")
            && shown.contains("stopping")
            && shown.contains("ended after 1 s"),
        "{shown}"
    );
    for seconds in ["331", "332", "333"] {
        let found = Command::new("pgrep").args(["-fx", &format!("sleep {seconds}")]).output().unwrap();
        assert!(found.stdout.is_empty(), "sleep {seconds} is left");
    }
    assert!(worktree.exists());
}

#[test]
fn a_clean_that_was_cut_off_ends_what_is_left_of_it_and_runs_it_again() {
    let house = House::new();
    let (began, go) = (house.path("began"), house.path("go"));
    let text = format!(
        "teardown = \"echo $$ >> '{0}'; trap '' TERM; while [ ! -e '{1}' ]; do sleep 0.02; done\"\n",
        began.display(),
        go.display()
    );
    let worktree = done(&house, &text, "echo left > left.txt");
    let mut first = house.orch(["clean", "one"]).spawn();
    let begins = |n: usize| {
        let ready = || fs::read_to_string(&began).is_ok_and(|text| text.lines().count() == n).then_some(());
        eventually("it runs", ready);
    };
    begins(1);
    first.kill().unwrap();
    first.wait().unwrap();
    // A process is told from its forks by its number.
    let runs = |n: usize| {
        let pids = fs::read_to_string(&began).unwrap();
        let stat = fs::read_to_string(format!("/proc/{}/stat", pids.lines().nth(n).unwrap()));
        // One that has ended may wait for whoever is to collect it.
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    };
    assert!(runs(0), "it goes on");
    let second = house.orch(["clean", "one"]).spawn();
    begins(2);
    assert!(!runs(0) && runs(1));
    fs::write(&go, "").unwrap();
    assert!(second.wait_with_output().unwrap().status.success());
    assert!(!worktree.exists());
    house.ok(["undo", "one"]);
    assert_eq!(fs::read_to_string(worktree.join("left.txt")).unwrap(), "left\n");
}

#[test]
fn where_nothing_was_made_ready_nothing_is_put_away() {
    let house = House::new();
    let out = house.path("out");
    let text = format!("setup = 'exec sleep 300'\nteardown = \"echo x >> '{}'\"\n", out.display());
    file(&house, &text);
    house.ok(["trust"]);
    // Killed while it was made ready: something may be there.
    house.start(["--agent-cli", "sh", "--name", "one", "true"]);
    eventually("it is set up", || {
        house.processes().iter().any(|(_, words)| words.starts_with("sleep 300")).then_some(())
    });
    house.ok(["kill", "one"]);
    assert_eq!(clean(&house, &["one"]).0, 0);
    assert_eq!(fs::read_to_string(&out).unwrap(), "x\n");
    // In a worktree that somebody removed nothing can be run.
    fs::write(house.repo().join(".ai_orch.toml"), text.replace("exec sleep 300", "true")).unwrap();
    house.ok(["trust"]);
    house.start(["--agent-cli", "sh", "--name", "two", "true"]);
    assert_eq!(house.orch(["wait", "two"]).run().code, 0);
    fs::remove_dir_all(house.show("two")["agent"]["worktree"].as_str().unwrap()).unwrap();
    assert_eq!(clean(&house, &["two"]).0, 0);
    assert_eq!(fs::read_to_string(&out).unwrap(), "x\n");
}

#[test]
fn whoever_ends_clean_ends_the_teardown_and_the_next_clean_runs_it_again() {
    let house = House::new();
    let (began, go) = (house.path("began"), house.path("go"));
    // One that does not listen, with one that forgets what it was told, in a session of its own.
    let text = format!(
        "teardown = \"env -i setsid sleep 334 & echo $$ >> '{0}'; trap '' TERM; while [ ! -e '{1}' ]; do sleep 0.02; done\"\n",
        began.display(),
        go.display()
    );
    let worktree = done(&house, &text, "echo left > left.txt");
    house.ok(["run", "--agent-cli", "sh", "--name", "two", "true"]);
    let pids =
        || fs::read_to_string(&began).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
    for (n, (signal, code)) in [("-TERM", 143), ("-INT", 130), ("-HUP", 130)].into_iter().enumerate() {
        let call = house.orch(["clean", "one", "two"]).spawn();
        eventually("it runs", || (pids().len() > n).then_some(()));
        assert!(Command::new("kill").args([signal, &call.id().to_string()]).status().unwrap().success());
        let output = call.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{signal}: {said}");
        assert!(said.contains("broken off at one") && said.contains("ai_orch clean one"), "{said}");
        assert!(!runs(pids()[n].parse().unwrap()), "{signal}: it goes on");
        let found = Command::new("pgrep").args(["-fx", "sleep 334"]).output().unwrap();
        assert!(found.stdout.is_empty(), "{signal}: what it started goes on");
        assert!(worktree.join("left.txt").exists());
        assert_eq!(house.listed("two")["state"], "done", "whoever wants it to end wants all of it to");
    }
    fs::write(&go, "").unwrap();
    let (code, report) = clean(&house, &["one"]);
    assert_eq!((code, report["torn_down"]["ok"].as_bool()), (0, Some(true)), "{report:#}");
    assert_eq!(pids().len(), 4);
    assert!(!worktree.exists());
    for sleeper in
        Command::new("pgrep").args(["-fx", "sleep 334"]).output().unwrap().stdout.split(|b| *b == b'\n')
    {
        assert!(sleeper.is_empty(), "it is ended with the teardown");
    }
}

#[test]
fn one_that_removes_the_worktree_itself_has_done_that() {
    let house = House::new();
    for (name, how) in [
        ("bare", "rm -rf \"$AI_ORCH_WORKTREE\""),
        ("git", "cd / && git -C \"$AI_ORCH_CHECKOUT\" worktree remove --force \"$AI_ORCH_WORKTREE\""),
    ] {
        file(&house, &format!("teardown = '{how}'\n"));
        house.ok(["trust"]);
        let call =
            house.orch(["run", "--json", "--agent-cli", "sh", "--name", name, "echo left > left.txt"]).run();
        assert_eq!(call.code, 0, "{call}");
        let worktree = PathBuf::from(call.json()["agent"]["worktree"].as_str().unwrap());
        let (code, report) = clean(&house, &[name]);
        assert_eq!((code, report["cleaned"].as_bool()), (0, Some(true)), "{report:#}");
        assert!(!worktree.exists() && house.git(&["worktree", "list"]).lines().count() == 1);
        // It was saved before that.
        house.ok(["undo", name]);
        assert_eq!(fs::read_to_string(worktree.join("left.txt")).unwrap(), "left\n");
        assert_eq!(house.orch(["clean", name, "--no-teardown"]).run().code, 0);
    }
}
