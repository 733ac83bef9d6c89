//! The exit code of every way a verb can end, as the help of the program lists them.

use crate::fakes::{Fake, bare_path, json_error, names};
use crate::house::{House, PATIENCE, eventually};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

/// A script that works until somebody lets it go on: `touch go` in the worktree.
const UNTIL_GO: &str = "touch begun; while [ ! -e go ]; do sleep 0.05; done";

fn let_go(house: &House, session: &str) {
    let worktree = house.listed(session)["worktree"].as_str().unwrap().to_owned();
    std::fs::write(format!("{worktree}/go"), "").unwrap();
}

fn begun(house: &House, session: &str) {
    let worktree = house.listed(session)["worktree"].as_str().unwrap().to_owned();
    eventually("the agent works", || std::fs::metadata(format!("{worktree}/begun")).ok());
}

#[test]
fn done_is_0_and_no_changes_is_said() {
    let house = House::new();
    let done = house.orch(["run", "--agent-cli", "sh", "true"]).run();
    assert_eq!(done.code, 0, "{done}");
    assert!(done.stdout.contains("no changes"), "{done}");
}

#[test]
fn failed_and_killed_are_1_for_run_and_wait() {
    let house = House::new();
    let done = house.orch(["run", "--name", "bad", "--agent-cli", "sh", "exit 3"]).run();
    assert_eq!(done.code, 1, "{done}");
    assert!(done.stdout.contains("bad failed (crash)") && done.stdout.contains("exit code 3"), "{done}");
    assert_eq!(house.orch(["wait", "bad"]).run().code, 1);
    house.start(["--name", "held", "--agent-cli", "sh", UNTIL_GO]);
    begun(&house, "held");
    let killed = house.orch(["kill", "held"]).run();
    assert_eq!(killed.code, 0, "{killed}");
    assert_eq!(house.orch(["wait", "held"]).run().code, 1);
    // Killing what has ended is no mistake; the state stays what it was.
    let again = house.orch(["kill", "bad", "held"]).run();
    assert_eq!(again.code, 0, "{again}");
    assert_eq!(
        (house.listed("bad")["state"].as_str(), house.listed("held")["state"].as_str()),
        (Some("failed"), Some("killed"))
    );
}

#[test]
fn some_of_several_is_3() {
    let house = House::new();
    house.start(["--name", "good", "--agent-cli", "sh", "true"]);
    house.start(["--name", "bad", "--agent-cli", "sh", "false"]);
    assert_eq!(house.orch(["wait", "good", "bad"]).run().code, 3);
    assert_eq!(house.orch(["wait", "good"]).run().code, 0);
    let done = house.orch(["kill", "good", "nobody"]).run();
    assert_eq!(done.code, 3, "{done}");
    assert!(done.stderr.contains("there is no agent 'nobody'"), "{done}");
    assert_eq!(house.orch(["kill", "nobody", "nobody-else"]).run().code, 8);
}

#[test]
fn a_spent_budget_is_5() {
    let house = House::new();
    // Its own limit ended it.
    Fake::claude(&house, "limited", "broke error_max_budget_usd");
    let done = house.orch(["run", "--agent-cli", "limited,sh", "--budget", "0.4", "true"]).run();
    assert_eq!(done.code, 5, "{done}");
    assert!(done.stdout.contains("(budget)"), "{done}");
    // It reports more than allowed and goes on: it is stopped, and no other CLI is started.
    let fake = Fake::claude(&house, "greedy", "cost 2.5; touch went-on; exec sleep 300");
    let other = Fake::claude(&house, "other", "");
    let done = house
        .orch(["run", "--name", "greedy", "--agent-cli", "greedy,other", "--budget", "$2", "do it"])
        .run();
    assert_eq!(done.code, 5, "{done}");
    assert_eq!((fake.starts(), other.starts()), (1, 0));
    assert!(fake.args(1).contains("--max-budget-usd\n2\n"), "{}", fake.args(1));
    assert!(done.stdout.contains("spent 2.50 of 2.00 US dollars"), "{done}");
    assert_eq!(house.orch(["wait", "greedy"]).run().code, 5);
    // What is spent is spent: no attempt begins without money.
    let fake = Fake::claude(&house, "spender", "touch file; result 1.5");
    let words =
        ["run", "--agent-cli", "spender", "--budget", "1", "--validate", "false", "--repairs", "3", "do it"];
    let done = house.orch(words).run();
    assert_eq!(done.code, 5, "{done}");
    assert_eq!(fake.starts(), 1);
}

#[test]
fn what_is_missing_on_the_machine_is_6() {
    let house = House::new();
    let gone = "name = \"gone\"\ncommand = \"no-such-program-here\"\ninstall = \"get gone\"\n";
    house.profile("gone", gone);
    let done = house.orch(["run", "--agent-cli", "gone", "do it"]).run();
    assert_eq!(done.code, 6, "{done}");
    assert!(done.stderr.contains("gone: get gone"), "{done}");
    for (tools, says, install) in [
        (&["git", "sh"][..], "tmux is not installed", "apt-get install tmux"),
        (&["tmux", "sh"], "git is not installed", "apt-get install git"),
    ] {
        std::fs::remove_dir_all(house.path("tools")).ok();
        let path = bare_path(&house, tools);
        let done = house.orch(["run", "--agent-cli", "sh", "true"]).env("PATH", &path).run();
        assert_eq!(done.code, 6, "{done}");
        assert!(done.stderr.contains(says) && done.stderr.contains(install), "{done}");
        let done = house.orch(["doctor"]).env("PATH", &path).run();
        assert_eq!(done.code, 6, "{done}");
        assert!(done.stdout.contains(install), "{done}");
    }
    assert_eq!(names(&house), Vec::<String>::new(), "what could not be started has no name");
    assert_eq!(house.git(&["branch", "--list"]), "* main");
    assert_eq!(house.orch(["doctor"]).run().code, 0);
}

#[test]
fn a_cli_that_goes_away_between_two_attempts_is_missing_only_if_all_were() {
    let house = House::new();
    house.profile("gone", "name = \"gone\"\ncommand = \"no-such-program-here\"\n");
    let done = house.orch(["run", "--agent-cli", "sh,gone", "exit 4"]).run();
    assert_eq!(done.code, 1, "{done}");
}

#[test]
fn time_over_is_7() {
    let house = House::new();
    let done = house
        .orch(["run", "--name", "slow", "--agent-cli", "sh,sh", "--timeout", "1s", "exec sleep 300"])
        .run();
    assert_eq!(done.code, 7, "{done}");
    assert!(done.stdout.contains("slow failed (timeout)"), "{done}");
    assert_eq!(
        house.show("slow")["agent"]["attempts"].as_array().unwrap().len(),
        1,
        "the time belongs to the task"
    );
    assert_eq!(house.orch(["wait", "slow"]).run().code, 7);
    house.start(["--name", "held", "--agent-cli", "sh", UNTIL_GO]);
    let done = house.orch(["wait", "held", "--timeout", "1s", "--json"]).run();
    assert_eq!(done.code, 7, "{done}");
    assert_eq!(done.json()["timed_out"], true);
    assert_ne!(house.listed("held")["state"], "done");
    let done = house.orch(["wait", "slow", "held", "--timeout", "1s"]).run();
    assert_eq!(done.code, 7, "{done}");
}

#[test]
fn the_validation_has_no_more_time_than_the_task() {
    let house = House::new();
    let words = [
        "run",
        "--name",
        "one",
        "--agent-cli",
        "sh,sh",
        "--timeout",
        "1s",
        "--validate",
        "exec sleep 300",
        "echo x > x",
    ];
    let done = house.orch(words).run();
    assert_eq!(done.code, 7, "{done}");
    assert!(done.stdout.contains("one failed (timeout)") && done.stdout.contains("validation"), "{done}");
    assert_eq!(house.git(&["show", "ai_orch/one:x"]), "x", "what was done is committed");
    // Nor does it survive a kill.
    house.start([
        "--name",
        "two",
        "--agent-cli",
        "sh",
        "--validate",
        "touch validating; exec sleep 300",
        "true",
    ]);
    eventually("it validates", || {
        let worktree = house.listed("two")["worktree"].as_str().unwrap().to_owned();
        std::fs::metadata(format!("{worktree}/validating")).ok()
    });
    assert_eq!(house.orch(["kill", "two"]).run().code, 0);
    assert_eq!(house.listed("two")["state"], "killed");
    let left: Vec<_> = house.processes().into_iter().filter(|p| p.1.contains("sleep")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_state_that_cannot_come_any_more_is_no_success() {
    let house = House::new();
    house.start(["--name", "quick", "--agent-cli", "sh", "true"]);
    assert_eq!(house.orch(["wait", "quick"]).run().code, 0);
    let done = house.orch(["wait", "quick", "--until", "waiting"]).run();
    assert_eq!(done.code, 1, "{done}");
    assert!(done.stdout.contains("quick  done"), "{done}");
    assert_eq!(house.orch(["wait", "quick", "--until", "failed,done"]).run().code, 0);
    house.start(["--name", "bad", "--agent-cli", "sh", "false"]);
    assert_eq!(
        house.orch(["wait", "bad", "--until", "failed"]).run().code,
        0,
        "the state that was asked for is there"
    );
    assert_eq!(house.orch(["wait", "bad", "quick", "--until", "failed"]).run().code, 3);
    // A state that was there counts, though it is over when the last of several is waited for.
    house.start(["--name", "held", "--agent-cli", "sh", UNTIL_GO]);
    let done = house.orch(["wait", "held", "--until", "working"]).run();
    assert_eq!(done.code, 0, "{done}");
    let_go(&house, "held");
    assert_eq!(house.orch(["wait", "held"]).run().code, 0);
}

#[test]
fn refused_for_safety_is_8() {
    let house = House::new();
    assert_eq!(house.orch(["show", "nobody"]).run().code, 8);
    house.git(&["branch", "ai_orch"]);
    let done = house.orch(["run", "--agent-cli", "sh", "true"]).run();
    assert_eq!(done.code, 8, "{done}");
    assert!(done.stderr.contains("git branch -m 'ai_orch' NEW-NAME"), "{done}");
    house.git(&["branch", "-D", "ai_orch"]);
    // Somebody else's directory where ours should be.
    std::os::unix::fs::symlink(house.path("bin"), house.path("squat")).unwrap();
    let done = house
        .orch(["run", "--json", "--agent-cli", "sh", "true"])
        .env("AI_ORCH_ROOT", house.path("squat"))
        .run();
    assert_eq!(done.code, 8, "{done}");
    assert_eq!(json_error(&done)["error"]["code"], "squatted");
    assert_eq!(names(&house), Vec::<String>::new());
}

/// Waits until a process catches TERM: before, the signal ends it, as it ends any program.
fn listens(pid: u32) {
    eventually("it listens for signals", || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let caught = status.lines().find_map(|l| l.strip_prefix("SigCgt:")).unwrap().trim();
        (u64::from_str_radix(caught, 16).unwrap() & (1 << 14) != 0).then_some(())
    });
}

#[test]
fn ctrl_c_leaves_the_agent_at_work_and_says_how_to_come_back() {
    let house = House::new();
    for (signal, name, code) in [("INT", "one", 130), ("TERM", "two", 143), ("HUP", "gone", 130)] {
        let child = house.orch(["run", "--name", name, "--agent-cli", "sh", UNTIL_GO]).spawn();
        eventually("the agent is on record", || {
            house.ok(["list", "--json"]).contains(&format!("\"{name}\"")).then_some(())
        });
        begun(&house, name);
        listens(child.id());
        assert!(
            house
                .command("kill")
                .args([&format!("-{signal}"), &child.id().to_string()])
                .status()
                .unwrap()
                .success()
        );
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!((output.status.code(), output.status.signal()), (Some(code), None), "{said}");
        assert!(said.contains(&format!("{name} goes on")), "{said}");
        assert!(
            said.contains(&format!("ai_orch attach {name}"))
                && said.contains(&format!("ai_orch kill {name}")),
            "{said}"
        );
        assert_eq!(house.listed(name)["state"], "working");
        let_go(&house, name);
        assert_eq!(house.orch(["wait", name]).run().code, 0);
    }
    // A program gets the document all the same, with the state as it is.
    let child = house.orch(["run", "--json", "--name", "json", "--agent-cli", "sh", UNTIL_GO]).spawn();
    eventually("the agent is on record", || house.ok(["list", "--json"]).contains("\"json\"").then_some(()));
    begun(&house, "json");
    listens(child.id());
    assert!(house.command("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), report["agent"]["state"].as_str()), (Some(130), Some("working")));
    assert_eq!(report["next"], serde_json::json!(["ai_orch attach json", "ai_orch logs -f json"]));
    // The same for those who only look.
    house.start(["--name", "three", "--agent-cli", "sh", &format!("echo here; {UNTIL_GO}")]);
    begun(&house, "three");
    for words in [&["logs", "-f", "three"][..], &["logs", "-f", "--raw", "three"], &["wait", "three"]] {
        let child = house.orch(words).spawn();
        // It listens for the signal when it watches the record; before, the signal ends it, with the same code by the shell.
        eventually("it follows", || {
            let watching = std::fs::read_dir(format!("/proc/{}/fd", child.id())).ok()?;
            watching.flatten().find(|f| {
                std::fs::read_link(f.path()).is_ok_and(|l| {
                    l.to_string_lossy().contains("signalfd") || l.to_string_lossy().contains("inotify")
                })
            })
        });
        house.command("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        let output = child.wait_with_output().unwrap();
        let code = output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0));
        assert_eq!(code, 130, "{words:?}: {output:?}");
    }
    assert_eq!(house.listed("three")["state"], "working");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let house = House::new();
    house.start(["--name", "one", "--agent-cli", "sh", "for i in 1 2 3; do echo line $i; done; echo x > x"]);
    assert_eq!(house.orch(["wait", "one"]).run().code, 0);
    let verbs = [
        &["list"][..],
        &["list", "--json"],
        &["show", "one"],
        &["show", "one", "--json"],
        &["logs", "one"],
        &["logs", "--raw", "one"],
        &["logs", "-f", "one"],
        &["diff", "one"],
        &["diff", "--stat", "one"],
        &["doctor"],
        &["--help"],
        &["--version"],
        &["help", "run"],
        &["wait", "one"],
        &["kill", "one"],
        &["attach", "one"],
        &["run", "--agent-cli", "sh", "true"],
        &["run", "--json", "--agent-cli", "sh", "true"],
    ];
    for words in verbs {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = house.command(env!("CARGO_BIN_EXE_ai_orch"));
        let output = command
            .args(words)
            .stdin(Stdio::null())
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
            .wait_with_output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{words:?}: {output:?}");
        assert!(output.stderr.is_empty(), "{words:?}: {output:?}");
    }
}

#[test]
fn a_follower_whose_reader_goes_away_ends_and_the_agent_does_not() {
    let house = House::new();
    let mut child = house
        .orch([
            "run",
            "--name",
            "one",
            "--agent-cli",
            "sh",
            &format!("while [ ! -e go ]; do echo tick; sleep 0.05; done; {UNTIL_GO}"),
        ])
        .spawn();
    drop(child.stdout.take());
    let began = std::time::Instant::now();
    let status = child.wait().unwrap();
    assert!(began.elapsed() < PATIENCE);
    assert_eq!(status.code(), Some(0), "the reader has what it wanted");
    eventually("it goes on", || (house.listed("one")["state"] == "working").then_some(()));
    let_go(&house, "one");
    assert_eq!(house.orch(["wait", "one"]).run().code, 0);
}
