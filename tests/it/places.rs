//! Where agents work: on a branch that is there, in the checkout itself, in a directory without a repository. What was not made for an
//! agent is never removed with it.

use crate::fakes::{json_error, names};
use crate::house::{House, eventually};
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// A task that commits something and leaves something.
const WORK: &str = "echo more >> README.md; git commit -qam more; echo left > left.txt";

/// Nothing was made: no agent, no name, no worktree.
fn nothing_made(house: &House) {
    assert_eq!(house.ok(["list", "--json"]).matches("\"session\"").count(), 0);
    assert!(names(house).is_empty());
    assert_eq!(house.git(&["worktree", "list"]).lines().count(), 1);
}

#[track_caller]
fn refused(house: &House, words: &[&str], code: i32, word: &str, hint: &str) {
    let done = house.orch([&["--json", "run", "--agent-cli", "sh"], words, &[WORK]].concat()).run();
    assert_eq!((done.code, done.stdout.as_str()), (code, ""), "{done}");
    let error = json_error(&done)["error"].clone();
    assert_eq!(error["code"], word, "{done}");
    assert!(error["hint"].as_str().unwrap_or_default().contains(hint), "{done}");
}

#[test]
fn a_branch_that_is_there_is_worked_on_and_never_deleted() {
    let house = House::new();
    house.git(&["branch", "fix"]);
    let done =
        house.orch(["run", "--json", "--agent-cli", "sh", "--branch", "fix", "--name", "one", WORK]).run();
    assert_eq!(done.code, 0, "{done}");
    let agent = done.json()["agent"].clone();
    assert_eq!(
        (agent["branch"].as_str(), agent["place"].as_str()),
        (Some("fix"), Some("branch")),
        "{agent:#}"
    );
    assert_eq!(agent["base"], house.git(&["rev-parse", "main"]));
    assert_eq!(agent["changes"]["commits"], 2, "{agent:#}");
    assert_eq!(house.git(&["show", "fix:left.txt"]), "left");
    assert_eq!(house.git(&["branch", "--list", "ai_orch/*"]), "");
    let tip = house.git(&["rev-parse", "fix"]);
    // Merged, so a branch of ours would go with its agent.
    house.git(&["merge", "-q", "fix"]);
    let shown = house.ok(["show", "one"]);
    assert!(shown.contains("fix, which was there before"), "{shown}");
    let foretold = house.ok(["clean", "one", "--dry-run"]);
    let cleaned = house.ok(["clean", "one"]);
    for said in [&foretold, &cleaned] {
        assert!(said.contains("it was there before the agent"), "{said}");
    }
    assert_eq!(house.git(&["rev-parse", "fix"]), tip);
    assert_eq!(house.git(&["worktree", "list"]).lines().count(), 1);
    // It comes back on it.
    house.ok(["undo", "one"]);
    let back = house.show("one")["agent"].clone();
    assert_eq!((back["branch"].as_str(), back["place"].as_str()), (Some("fix"), Some("branch")), "{back:#}");
    // Or on one of its own, where somebody else went on.
    house.ok(["clean", "one"]);
    house.git(&["checkout", "-q", "fix"]);
    house.git(&["commit", "-q", "--allow-empty", "-m", "on"]);
    let moved = house.git(&["rev-parse", "fix"]);
    house.git(&["checkout", "-q", "main"]);
    house.ok(["undo", "one"]);
    let back = house.show("one")["agent"].clone();
    assert_eq!(back["branch"], "ai_orch/one", "{back:#}");
    assert_eq!(house.git(&["rev-parse", "ai_orch/one", "fix"]), format!("{tip}\n{moved}"));
    house.ok(["clean", "one"]);
    assert_eq!(house.git(&["branch", "--list", "ai_orch/*"]), "", "it is merged, and was made by us");
}

#[test]
fn a_branch_that_cannot_be_worked_on_is_refused_with_the_reason() {
    let house = House::new();
    house.git(&["branch", "fix"]);
    refused(&house, &["--branch", "nothing"], 2, "no_such_branch", "--base 'nothing'");
    refused(&house, &["--branch", "-x"], 8, "branch_name_invalid", "");
    refused(&house, &["--branch", "main"], 8, "branch_checked_out", "--no-worktree");
    refused(&house, &["--branch", "fix", "--base", "main"], 2, "usage", "leave --base out");
    refused(&house, &["--branch", "fix", "--no-worktree"], 2, "usage", "one of them");
    refused(&house, &["--no-new-branch"], 2, "usage", "--branch BRANCH");
    nothing_made(&house);
    let one = house.start(["--agent-cli", "sh", "--branch", "fix", "--no-new-branch", "exec sleep 300"]);
    refused(&house, &["--branch", "fix"], 8, "branch_checked_out", "--base 'fix'");
    house.ok(["kill", &one]);
}

#[test]
fn one_of_many_who_want_the_same_branch_at_once_gets_it() {
    let house = House::new();
    house.git(&["branch", "fix"]);
    let words = ["run", "--json", "-d", "--agent-cli", "sh", "--branch", "fix", "exec sleep 300"];
    let calls: Vec<_> = (0..6).map(|_| house.orch(words).spawn()).collect();
    let ended: Vec<_> = calls.into_iter().map(|call| call.wait_with_output().unwrap()).collect();
    let good = ended.iter().filter(|output| output.status.success()).count();
    assert_eq!(good, 1, "{ended:?}");
    assert_eq!(names(&house).len(), 1);
    assert_eq!(house.git(&["worktree", "list"]).lines().count(), 2);
    assert_eq!(house.git(&["rev-parse", "fix"]), house.git(&["rev-parse", "main"]));
}

#[test]
fn in_the_checkout_one_agent_works_on_what_is_checked_out() {
    let house = House::new();
    let base = house.git(&["rev-parse", "main"]);
    let words = ["run", "--json", "--agent-cli", "sh", "--no-worktree", "--name", "here", WORK];
    let done = house.orch(words).run();
    assert_eq!(done.code, 0, "{done}");
    let agent = done.json()["agent"].clone();
    assert_eq!(
        (agent["branch"].as_str(), agent["place"].as_str()),
        (Some("main"), Some("checkout")),
        "{agent:#}"
    );
    assert_eq!(agent["worktree"], house.repo().to_str().unwrap());
    assert_eq!(agent["changes"]["commits"], 2, "{agent:#}");
    assert_eq!(house.git(&["log", "--format=%s", &format!("{base}..main")]).lines().count(), 2);
    assert_eq!(house.git(&["status", "--porcelain"]), "", "its index agrees");
    assert_eq!(fs::read_to_string(house.repo().join("left.txt")).unwrap(), "left\n");
    assert!(house.ok(["diff", "here", "--stat"]).contains("left.txt"));
    // What was saved of it is there, and the checkout stays when it goes.
    assert!(!house.git(&["for-each-ref", "refs/ai_orch/rescue"]).is_empty());
    house.ok(["clean", "here"]);
    assert_eq!(fs::read_to_string(house.repo().join("left.txt")).unwrap(), "left\n");
    assert_eq!(house.git(&["rev-parse", "--abbrev-ref", "HEAD"]), "main");
    house.ok(["undo", "here"]);
    let back = house.show("here")["agent"].clone();
    assert_eq!(
        (back["state"].as_str(), back["place"].as_str()),
        (Some("done"), Some("checkout")),
        "{back:#}"
    );
    // It goes on there.
    house.ok(["resume", "here", "echo again > again.txt"]);
    let done = house.orch(["wait", "here"]).run();
    assert_eq!(done.code, 0, "{done}");
    assert_eq!(house.git(&["show", "main:again.txt"]), "again");
}

#[test]
fn a_checkout_with_work_in_it_or_with_an_agent_is_refused() {
    let house = House::new();
    fs::write(house.repo().join("new"), "x").unwrap();
    refused(&house, &["--no-worktree"], 8, "not_clean", "git stash");
    fs::remove_file(house.repo().join("new")).unwrap();
    fs::write(house.repo().join("README.md"), "changed\n").unwrap();
    refused(&house, &["--no-worktree"], 8, "not_clean", "git stash");
    house.git(&["checkout", "-q", "README.md"]);
    fs::write(house.repo().join(".git/MERGE_HEAD"), house.git(&["rev-parse", "main"]) + "\n").unwrap();
    refused(&house, &["--no-worktree"], 8, "not_clean", "git stash");
    fs::remove_file(house.repo().join(".git/MERGE_HEAD")).unwrap();
    nothing_made(&house);
    let one = house.start(["--agent-cli", "sh", "--no-worktree", "exec sleep 300"]);
    refused(&house, &["--no-worktree"], 8, "occupied", &format!("ai_orch kill {one}"));
    // A worktree of its own is in nobody's way.
    let other = house.start(["--agent-cli", "sh", "exit 0"]);
    assert_eq!(house.orch(["wait", &other]).run().code, 0);
    // Interrupted, it is to go on there.
    house.kill_keeper(&one);
    eventually("it is interrupted", || (house.listed(&one)["state"] == "interrupted").then_some(()));
    refused(&house, &["--no-worktree"], 8, "occupied", &format!("ai_orch kill {one}"));
    house.ok(["kill", &one]);
    let two = house.start(["--agent-cli", "sh", "--no-worktree", "exec sleep 300"]);
    let done = house.orch(["resume", &one, "exit 0"]).run();
    assert!(done.code == 8 && done.stderr.contains(&two), "{done}");
    assert_eq!(house.git(&["status", "--porcelain"]), "");
}

#[test]
fn without_a_branch_the_checkout_is_worked_on_all_the_same() {
    let house = House::new();
    house.git(&["checkout", "-q", "--detach"]);
    let done = house.orch(["run", "--json", "--agent-cli", "sh", "--no-worktree", WORK]).run();
    assert_eq!(done.code, 0, "{done}");
    let agent = done.json()["agent"].clone();
    assert_eq!(
        (agent["branch"].as_str(), agent["changes"]["commits"].as_u64()),
        (Some(""), Some(2)),
        "{agent:#}"
    );
    assert!(agent["not_committed"].is_null(), "{agent:#}");
    assert_eq!(house.git(&["show", "HEAD:left.txt"]), "left");
    assert_eq!(house.git(&["log", "--format=%s", "main"]), "init");
}

#[test]
fn a_directory_without_a_repository_is_worked_in() {
    let house = House::new();
    let dir = house.path("plain");
    fs::create_dir(&dir).unwrap();
    let plain = dir.to_str().unwrap();
    refused(&house, &["--dir", "."], 2, "in_repository", "--no-worktree");
    refused(&house, &["--dir", "nowhere"], 2, "no_directory", "a directory");
    refused(&house, &["--dir", "README.md"], 2, "no_directory", "a directory");
    nothing_made(&house);
    let task = "echo made > made.txt";
    let words = [
        "run",
        "--json",
        "--agent-cli",
        "sh",
        "--dir",
        plain,
        "--name",
        "plain",
        "--validate",
        "test -f made.txt",
        task,
    ];
    let done = house.orch(words).run();
    assert_eq!(done.code, 0, "{done}");
    let agent = done.json()["agent"].clone();
    assert_eq!(
        (agent["branch"].as_str(), agent["place"].as_str()),
        (Some(""), Some("directory")),
        "{agent:#}"
    );
    assert!(agent["changes"].is_null(), "{agent:#}");
    assert_eq!(fs::read_to_string(dir.join("made.txt")).unwrap(), "made\n");
    let shown = house.ok(["show", "plain"]);
    assert!(shown.contains("nothing is committed or saved"), "{shown}");
    let done = house.orch(["diff", "plain"]).run();
    assert!(done.code == 2 && done.stderr.contains("no repository"), "{done}");
    house.ok(["resume", "plain", "echo again > again.txt"]);
    assert_eq!(house.orch(["wait", "plain"]).run().code, 0);
    house.ok(["clean", "plain"]);
    assert!(dir.join("made.txt").exists() && dir.join("again.txt").exists());
    house.ok(["undo", "plain"]);
    assert_eq!(house.listed("plain")["state"], "done");
    // Anybody may call it from there.
    let done = house.orch(["run", "-d", "--agent-cli", "sh", "--dir", ".", "exec sleep 300"]).dir(&dir).run();
    assert_eq!(done.code, 0, "{done}");
    refused(&house, &["--dir", plain], 8, "occupied", done.stdout.trim());
    house.ok(["kill", done.stdout.trim()]);
}

#[test]
fn a_pull_request_in_a_task_is_named_and_changes_nothing() {
    let house = House::new();
    let said = |task: &str| house.orch(["run", "--agent-cli", "sh", task]).run().stderr;
    assert!(said("true # fix PR #12").contains("pull request #12"));
    assert!(!said("true # fix the PR").contains("pull request"));
}

#[test]
fn what_the_checkout_has_uncommitted_is_carried_in_and_stays_there() {
    let house = House::new();
    fs::write(house.repo().join(".gitignore"), "*.log\n").unwrap();
    house.git(&["add", "."]);
    house.git(&["commit", "-qm", "ignore"]);
    fs::write(house.repo().join("README.md"), "edited\n").unwrap();
    house.git(&["add", "README.md"]);
    fs::write(house.repo().join("README.md"), "edited twice\n").unwrap();
    fs::write(house.repo().join("new.txt"), "new\n").unwrap();
    fs::write(house.repo().join("x.log"), "log\n").unwrap();
    let before = (
        house.git(&["status", "--porcelain"]),
        house.git(&["rev-parse", "HEAD"]),
        house.git(&["diff", "--cached"]),
    );
    let task = "cat README.md new.txt > seen.txt; ls x.log";
    let done = house
        .orch([
            "run",
            "--json",
            "--agent-cli",
            "sh",
            "--name",
            "one",
            "--with-changes",
            &format!("{task}; true"),
        ])
        .run();
    assert_eq!(done.code, 0, "{done}");
    assert_eq!(house.git(&["show", "ai_orch/one:seen.txt"]), "edited twice\nnew");
    let agent = done.json()["agent"].clone();
    assert_eq!(agent["base_name"], "main with its changes");
    assert_eq!(agent["changes"]["files"], 1, "its own changes only: {agent:#}");
    assert_eq!(house.git(&["rev-parse", "ai_orch/one~2"]), house.git(&["rev-parse", "main"]));
    let after = (
        house.git(&["status", "--porcelain"]),
        house.git(&["rev-parse", "HEAD"]),
        house.git(&["diff", "--cached"]),
    );
    assert_eq!(before, after, "the checkout is as it was");
    refused(&house, &["--with-changes", "--base", "main"], 2, "usage", "leave one");
    // In a clean checkout there is nothing to carry.
    house.git(&["stash", "-qu"]);
    let done = house.orch(["run", "--json", "--agent-cli", "sh", "--with-changes", "true"]).run();
    assert_eq!(done.json()["agent"]["base"], house.git(&["rev-parse", "main"]));
}

#[test]
fn local_files_of_the_checkout_are_taken_along_and_overwrite_nothing() {
    let house = House::new();
    let write = |name: &str, text: &str| {
        let path = house.repo().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(".gitignore", ".env*\nlocal/\nsecret\n");
    write(
        ".worktreeinclude",
        "# what a worktree needs\n.env*\n!.env.prod\nlocal/*.toml\nREADME.md\nplain.txt\n",
    );
    house.git(&["add", "."]);
    house.git(&["commit", "-qm", "include"]);
    write(".env", "KEY=1\n");
    write(".env.prod", "KEY=prod\n");
    write("local/a.toml", "a\n");
    write("local/b.txt", "b\n");
    write("secret", "s\n");
    write("plain.txt", "not ignored\n");
    write("extra.dat", "extra\n");
    write("README.md", "edited, and tracked\n");
    std::os::unix::fs::symlink("a.toml", house.repo().join("local/link.toml")).unwrap();
    let mode = fs::Permissions::from_mode(0o600);
    fs::set_permissions(house.repo().join(".env"), mode).unwrap();
    let done = house
        .orch([
            "run",
            "--json",
            "--agent-cli",
            "sh",
            "--name",
            "one",
            "--copy",
            "extra.*",
            "cat .env > seen.txt",
        ])
        .run();
    assert_eq!(done.code, 0, "{done}");
    let agent = done.json()["agent"].clone();
    let worktree = std::path::PathBuf::from(agent["worktree"].as_str().unwrap());
    let there = |name: &str| worktree.join(name).symlink_metadata().is_ok();
    assert!(there(".env") && there("local/a.toml") && there("local/link.toml") && there("extra.dat"));
    assert!(!there(".env.prod") && !there("local/b.txt") && !there("secret"), "nobody asked for these");
    assert!(!there("plain.txt"), "named in the file, and not ignored");
    assert_eq!(
        fs::read_to_string(worktree.join("README.md")).unwrap(),
        "hello\n",
        "tracked files are those of the commit"
    );
    let mode = fs::metadata(worktree.join(".env")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(house.git(&["show", "ai_orch/one:seen.txt"]), "KEY=1");
    // What was brought there is in no commit, ignored or not.
    assert_eq!(
        house.git(&["ls-tree", "-r", "--name-only", "ai_orch/one"]),
        ".gitignore\n.worktreeinclude\nREADME.md\nseen.txt"
    );
}

#[test]
fn a_repository_cannot_have_files_from_elsewhere_taken_along() {
    let house = House::new();
    let outside = house.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("key"), "private\n").unwrap();
    std::os::unix::fs::symlink(&outside, house.repo().join("way")).unwrap();
    fs::write(house.repo().join(".gitignore"), "way\nway/\n../outside/*\n").unwrap();
    fs::write(house.repo().join(".worktreeinclude"), "way/*\n/../outside/key\n../outside/*\n").unwrap();
    house.git(&["add", ".gitignore", ".worktreeinclude"]);
    house.git(&["commit", "-qm", "include"]);
    let done = house
        .orch(["run", "--json", "--agent-cli", "sh", "--copy", "way/key", "--copy", "../outside/key", "true"])
        .run();
    assert_eq!(done.code, 0, "{done}");
    let worktree = std::path::PathBuf::from(done.json()["agent"]["worktree"].as_str().unwrap());
    assert!(!worktree.join("way/key").is_file() || worktree.join("way").is_symlink());
    assert!(fs::read_dir(&worktree).unwrap().flatten().all(|entry| entry.file_name() != "key"));
}

/// The points at which a start with these words can die, by what is done there.
fn points(words: &[&str], wanted: &[&str]) -> Vec<usize> {
    let house = House::new();
    house.git(&["branch", "fix"]);
    let log = house.path("points");
    assert_eq!(house.orch(words).env("AI_ORCH_CRASH_LOG", &log).run().code, 0);
    let log = fs::read_to_string(log).unwrap();
    let ours = log.lines().filter_map(|line| line.strip_prefix("run "));
    let found = ours.filter(|line| wanted.iter().any(|what| line.contains(what)));
    found.filter_map(|line| line.split(' ').nth(1)?.parse().ok()).collect()
}

#[test]
fn a_start_in_a_place_of_the_users_that_is_cut_off_goes_on_or_leaves_it_as_it_was() {
    let at = [
        "after journal created",
        "before bin/git worktree",
        "after bin/git worktree",
        "after journal worktree_made",
        "tmux",
    ];
    for place in [&["--branch", "fix"][..], &["--no-worktree"]] {
        let start = ["run", "-d", "--agent-cli", "sh", "--name", "one"];
        let words = [&start[..], place, &["echo x > x.txt"]].concat();
        let points = points(&words, &at);
        assert!(points.len() >= 2, "{points:?}");
        for (n, point) in points.into_iter().enumerate() {
            let house = House::new();
            house.git(&["branch", "fix"]);
            let before = house.git(&["rev-parse", "fix", "main", "HEAD"]);
            let died = house.orch(&words).env("AI_ORCH_CRASH", format!("run:{point}")).run();
            assert_eq!(died.code, 137, "{place:?} {point}: {died}");
            if !names(&house).contains(&"one".to_owned()) {
                assert_eq!(house.git(&["rev-parse", "fix", "main", "HEAD"]), before, "{place:?} {point}");
            } else if n % 2 == 0 {
                // It may be at work by now, if its session was made.
                let done = house.orch(["resume", "one"]).run();
                assert!(
                    done.code == 0 || house.listed("one")["state"] == "done",
                    "{place:?} {point}: {done}"
                );
                let done = house.orch(["wait", "one"]).run();
                assert_eq!(done.code, 0, "{place:?} {point}: {done}");
                let branch = if place.len() == 2 { "fix" } else { "main" };
                assert_eq!(house.git(&["show", &format!("{branch}:x.txt")]), "x", "{place:?} {point}");
                house.ok(["clean", "one"]);
            } else {
                let killed = house.orch(["kill", "one"]).run();
                assert_ne!(killed.code, 70, "{place:?} {point}: {killed}");
                if names(&house).contains(&"one".to_owned()) {
                    house.ok(["clean", "one"]);
                }
                if house.git(&["rev-parse", "fix", "main", "HEAD"]) != before {
                    // Its keeper was quicker than the kill.
                    assert_eq!(
                        house.git(&["log", "-1", "--format=%s", "--all", "--", "x.txt"]).lines().count(),
                        1
                    );
                }
            }
            assert!(house.git(&["branch", "--list", "fix"]).contains("fix"), "{place:?} {point}");
            assert_eq!(house.git(&["worktree", "list"]).lines().count(), 1, "{place:?} {point}");
            // In the checkout, what an agent left that was killed at work is left there.
            let status = house.git(&["status", "--porcelain"]);
            assert!(status.is_empty() || (status == "?? x.txt" && n % 2 == 1), "{place:?} {point}: {status}");
        }
    }
}

#[test]
fn an_agent_in_the_checkout_goes_on_there_after_its_keeper_was_killed() {
    let house = House::new();
    let go = house.path("go");
    let task = format!(
        "echo $AI_ORCH_ATTEMPT >> tries.txt; while [ ! -e '{}' ]; do sleep 0.02; done; echo x > x.txt",
        go.display()
    );
    let one = house.start(["--agent-cli", "sh", "--no-worktree", "--name", "one", &task]);
    eventually("it works", || house.repo().join("tries.txt").exists().then_some(()));
    house.kill_keeper(&one);
    eventually("it is interrupted", || (house.listed(&one)["state"] == "interrupted").then_some(()));
    fs::write(&go, "").unwrap();
    house.ok(["resume", &one]);
    assert_eq!(house.orch(["wait", &one]).run().code, 0);
    assert_eq!(house.git(&["show", "main:tries.txt"]).lines().count(), 2);
    assert_eq!(house.git(&["show", "main:x.txt"]), "x");
    assert_eq!(house.git(&["status", "--porcelain"]), "");
}
