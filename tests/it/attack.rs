//! What a hostile reviewer found: failures that looked like success, and ways out of the worktree.

use crate::house::{House, eventually};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::process::Stdio;

#[test]
fn work_that_cannot_be_committed_is_no_good_end() {
    let house = House::new();
    let done =
        house.orch(["run", "--agent-cli", "sh", "--name", "gone", "d=$PWD; cd /; rm -rf \"$d\""]).run();
    assert_eq!(done.code, 1, "{done}");
    let agent = house.listed("gone");
    assert_eq!((&agent["state"], &agent["failure"]["class"]), (&"failed".into(), &"git".into()), "{agent}");
    assert!(!done.stdout.contains("ai_orch merge"), "{done}");
}

#[test]
fn a_link_in_place_of_the_worktree_leads_nobody_into_the_users_checkout() {
    let house = House::new();
    std::fs::write(house.path("repo/mine.txt"), "private\n").unwrap();
    let swap = format!("d=$PWD; cd /; mv \"$d\" \"$d.x\"; ln -s '{}' \"$d\"", house.repo().display());
    let before = house.git(&["status", "--porcelain"]);

    // The link is neither looked through nor committed.
    let done = house.orch(["run", "--agent-cli", "sh", "--name", "link", &swap]).run();
    assert_eq!(done.code, 1, "{done}");
    let diff = house.orch(["diff", "link"]).run();
    assert_ne!(diff.code, 0, "{diff}");
    assert!(!diff.stdout.contains("private"), "{diff}");
    assert_eq!(house.git(&["log", "--all", "--format=%s"]), "init");

    // The next CLI of the chain is not started there, the validation neither.
    house.agent("swapper", &format!("{swap}; exit 3"));
    house.agent("next", "echo changed > README.md");
    let chain = house.orch(["run", "--agent-cli", "swapper,next", "--name", "chain", "do it"]).run();
    assert_eq!(chain.code, 1, "{chain}");
    house.agent("swaps-well", &swap);
    let words = [
        "run",
        "--agent-cli",
        "swaps-well",
        "--no-commit",
        "--validate",
        "rm README.md",
        "--name",
        "valid",
        "go on",
    ];
    assert_eq!(house.orch(words).run().code, 1);
    assert_eq!(house.git(&["status", "--porcelain"]), before);
}

#[test]
fn an_agent_can_be_stopped_when_nothing_can_be_written() {
    let house = House::new();
    let session = house.start(["--agent-cli", "sh", "--name", "costly", "sleep 1000"]);
    // A limit of no bytes a file is what a full disk is for this one call.
    let kill = house
        .command("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" kill \"$1\""])
        .args([env!("CARGO_BIN_EXE_ai_orch"), &session])
        .stdout(Stdio::piped())
        .output()
        .unwrap();
    assert!(kill.status.success(), "{kill:?}");
    assert_eq!(house.listed("costly")["state"], "killed");
}

#[test]
fn output_that_cannot_be_written_is_no_success() {
    let house = House::new();
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let call = |words: &[&str]| {
        let mut command = house.command(env!("CARGO_BIN_EXE_ai_orch"));
        command.args(words).stdin(Stdio::null()).stdout(full()).output().unwrap()
    };
    let list = call(&["list"]);
    assert_eq!(list.status.code(), Some(6), "{list:?}");
    assert!(String::from_utf8_lossy(&list.stderr).contains("standard output"), "{list:?}");
    // Nobody knows how it ends: not 0.
    let run = call(&["run", "--agent-cli", "sh", "--name", "unseen", "echo x > x"]);
    assert_ne!(run.status.code(), Some(0), "{run:?}");
}

#[test]
fn a_state_directory_that_tmux_cannot_be_told_is_refused_before_anything_is_made() {
    let house = House::new();
    let state = house.path(OsString::from_vec(b"st\xffate".to_vec()));
    let run = house
        .orch(["run", "--agent-cli", "sh", "--name", "odd", "echo x > x"])
        .env("XDG_STATE_HOME", &state)
        .run();
    assert_eq!(run.code, 2, "{run}");
    assert_eq!(house.git(&["branch", "--format=%(refname:short)"]), "main");
    let list = house.orch(["list", "--json"]).env("XDG_STATE_HOME", &state).run();
    assert_eq!(list.json()["agents"], serde_json::json!([]));
}

#[test]
fn a_name_whose_creator_died_at_once_is_seen_and_given_back() {
    let house = House::new();
    house.start(["--agent-cli", "sh", "--name", "real", "true ok"]);
    let record = house.record("real");
    let state = record.ancestors().nth(3).unwrap();
    let dead = record.with_file_name("01a1f8a1-3531-72e3-8e2e-ea70f421d1eb");
    std::fs::create_dir(&dead).unwrap();
    std::fs::write(dead.join("env"), "SECRET=1\0").unwrap();
    let target = std::path::Path::new("../..").join(dead.strip_prefix(state.parent().unwrap()).unwrap());
    std::os::unix::fs::symlink(target, state.join("names/ghost")).unwrap();
    assert_eq!(house.listed("ghost")["state"], "unknown");
    assert_eq!(house.orch(["kill", "ghost"]).run().code, 0);
    assert!(!dead.join("env").exists(), "values may be secret");
    assert!(!state.join("names/ghost").is_symlink());
    let again = house.start(["--agent-cli", "sh", "--name", "ghost", "true ok"]);
    assert_eq!(again, "ghost");
}

#[test]
fn a_kill_beside_a_creation_waits_for_its_writer() {
    let house = House::new();
    house.leave_worktrees_to_git();
    let (adding, go) = (house.path("adding"), house.path("go"));
    let wait =
        format!("touch '{}'; while [ ! -e '{}' ]; do sleep 0.01; done", adding.display(), go.display());
    house.cli(
        "git",
        &format!("PATH=${{PATH#*:}}\ncase \"$*\" in *'worktree add'*) {wait};; esac\nexec git \"$@\""),
    );
    let run =
        house.orch(["run", "-d", "--agent-cli", "sh", "--name", "slow", "touch ran; sleep 1000"]).spawn();
    eventually("the worktree is being added", || adding.exists().then_some(()));
    let record = house.record("slow");
    let kill = house.orch(["kill", "slow"]).spawn();
    eventually("the kill was asked for", || record.join("stop").exists().then_some(()));
    std::fs::write(&go, "").unwrap();
    let kill = kill.wait_with_output().unwrap();
    assert!(kill.status.success(), "{kill:?}");
    run.wait_with_output().unwrap();
    let journal = std::fs::read_to_string(record.join("journal")).unwrap();
    let at = |entry: &str| {
        journal.find(&format!("\"entry\":\"{entry}\"")).unwrap_or_else(|| panic!("{entry}: {journal}"))
    };
    assert!(at("worktree_made") < at("ended"), "{journal}");
    assert!(!journal.contains("attempt_started"), "{journal}");
    assert_eq!(house.listed("slow")["state"], "killed");
}

#[test]
fn an_agent_is_killed_when_its_root_is_gone() {
    let house = House::new();
    let words = ["run", "--agent-cli", "sh", "--name", "lost", "kill -9 $PPID; sleep 1000"];
    assert_eq!(house.orch(words).run().code, 1);
    house.tmux(&["kill-server"]);
    std::fs::remove_dir_all(house.path("root")).unwrap();
    let kill = house.orch(["kill", "lost"]).run();
    assert_eq!(kill.code, 0, "{kill}");
    assert_eq!(house.listed("lost")["state"], "killed");
}
