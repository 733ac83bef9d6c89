//! What agents did comes into a branch: tested before it moves, left out where it does not fit, and gone on with where it was cut off.

use crate::house::{Done, House, eventually, is_stopped, runs};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// An agent that is done.
fn agent(house: &House, name: &str, task: &str) {
    let done = house.orch(["run", "--agent-cli", "sh", "--name", name, task]).run();
    assert_eq!(done.code, 0, "{done}");
}

/// A commit of the user's on `main`.
fn users(house: &House, file: &str, text: &str) {
    fs::write(house.repo().join(file), text).unwrap();
    house.git(&["add", file]);
    house.git(&["commit", "-qm", &format!("the user's {file}")]);
}

fn tip(house: &House, branch: &str) -> String {
    house.git(&["rev-parse", branch])
}

fn merge(house: &House, words: &[&str]) -> Done {
    house.orch([&["merge"], words].concat()).run()
}

/// Nothing that a merge needs is left.
#[track_caller]
fn tidy(house: &House, worktrees: usize) {
    assert_eq!(house.git(&["for-each-ref", "refs/ai_orch/merge"]), "");
    assert_eq!(house.git(&["worktree", "list"]).lines().count(), 1 + worktrees);
    let tests = house.path("home/.local/share/ai_orch/merges");
    let left = fs::read_dir(&tests)
        .into_iter()
        .flatten()
        .flatten()
        .flat_map(|dir| fs::read_dir(dir.path()).unwrap());
    assert_eq!(left.count(), 0);
}

#[test]
fn a_branch_comes_into_the_one_that_is_checked_out() {
    let house = House::new();
    agent(&house, "one", "echo one > one.txt");
    let done = merge(&house, &["one"]);
    assert_eq!(done.code, 0, "{done}");
    assert!(done.stdout.contains("one merged"), "{done}");
    assert_eq!(tip(&house, "main"), tip(&house, "ai_orch/one"), "main need only be moved on");
    assert_eq!(fs::read_to_string(house.repo().join("one.txt")).unwrap(), "one\n");
    assert_eq!(house.git(&["status", "--porcelain"]), "");
    let again = merge(&house, &["one"]);
    assert!(again.code == 0 && again.stdout.contains("nothing that is not there already"), "{again}");
    tidy(&house, 1);
    house.ok(["clean", "one"]);
    assert_eq!(house.git(&["branch", "--list", "ai_orch/*"]), "", "merged, so it goes");
}

#[test]
fn each_way_leaves_the_commits_that_it_says() {
    for (way, parents, commits) in [("", 2, 4), ("--squash", 1, 2), ("--rebase", 1, 3), ("--ff-only", 0, 0)] {
        let house = House::new();
        let task = "echo a > a.txt; git add .; git -c user.name=A -c user.email=a@a.invalid commit -qm first; echo b > b.txt";
        agent(&house, "one", task);
        users(&house, "mine.txt", "mine\n");
        let before = tip(&house, "main");
        let words: Vec<&str> = ["one", way].into_iter().filter(|word| !word.is_empty()).collect();
        let done = merge(&house, &words);
        if way == "--ff-only" {
            assert!(done.code == 1 && done.stdout.contains("does not have"), "{done}");
            assert_eq!(tip(&house, "main"), before);
            continue;
        }
        assert_eq!(done.code, 0, "{way}: {done}");
        assert_eq!(house.git(&["show", "-s", "--format=%P", "main"]).split(' ').count(), parents, "{way}");
        let count = house.git(&["rev-list", "--count", "main", &format!("^{before}~1")]);
        assert_eq!(count, commits.to_string(), "{way}");
        assert_eq!(
            house.git(&["ls-tree", "--name-only", "main"]),
            "README.md\na.txt\nb.txt\nmine.txt",
            "{way}"
        );
        let authors = house.git(&["log", "--format=%an", &format!("{before}..main")]);
        assert_eq!(authors.contains('A'), way != "--squash", "{way}: {authors}");
        assert_eq!(house.git(&["status", "--porcelain"]), "", "{way}");
        tidy(&house, 1);
    }
}

#[test]
fn what_does_not_pass_on_top_of_the_target_leaves_it_where_it_was() {
    let house = House::new();
    agent(&house, "one", "echo one > one.txt");
    users(&house, "two.txt", "two\n");
    let before = tip(&house, "main");
    // Each alone passes; both together do not.
    let both = "test ! -e one.txt || test ! -e two.txt || { echo both are there; exit 3; }";
    let done = merge(&house, &["one", "--validate", both]);
    assert!(
        done.code == 1 && done.stdout.contains("both are there") && done.stdout.contains("exited 3"),
        "{done}"
    );
    assert_eq!(tip(&house, "main"), before);
    assert_eq!(house.git(&["status", "--porcelain"]), "");
    tidy(&house, 1);
    let report = merge(&house, &["one", "--json", "--validate", "test -e one.txt && test -e two.txt"]).json();
    let told = &report["agents"][0];
    assert_eq!(
        (told["fate"].as_str(), told["tested"]["ok"].as_bool()),
        (Some("merged"), Some(true)),
        "{report:#}"
    );
    assert_eq!(told["commit"].as_str().unwrap(), tip(&house, "main"));
    tidy(&house, 1);
}

#[test]
fn an_agent_that_was_validated_is_validated_again_on_top_of_the_target() {
    let house = House::new();
    let words =
        ["run", "--agent-cli", "sh", "--name", "one", "--validate", "test ! -e broken", "echo one > one.txt"];
    assert_eq!(house.orch(words).run().code, 0);
    users(&house, "broken", "x\n");
    let before = tip(&house, "main");
    let done = merge(&house, &["one"]);
    assert!(done.code == 1 && done.stdout.contains("test ! -e broken"), "{done}");
    assert_eq!(tip(&house, "main"), before);
    // A test that hangs, or leaves something running, holds nobody up.
    let hangs = merge(&house, &["one", "--validate", "sleep 300", "--timeout", "1s"]);
    assert_eq!(hangs.code, 1, "{hangs}");
    let done = merge(&house, &["one", "--validate", "setsid sleep 300 & exit 0"]);
    assert_eq!(done.code, 0, "{done}");
    assert!(!house.processes().iter().any(|(_, words)| words.contains("sleep 300")));
    tidy(&house, 1);
}

#[test]
fn a_conflict_leaves_the_target_and_goes_back_to_the_agent() {
    let house = House::new();
    house.agent(
        "fixer",
        r#"if [ -e mine ]; then git merge -q "$(sed -n 's/^Merge commit \([0-9a-f]*\).*/\1/p')"; echo both > README.md; git add -A; git commit -qm resolved
        else cat > /dev/null; echo theirs > README.md; touch mine; fi"#,
    );
    let done = house.orch(["run", "--agent-cli", "fixer", "--name", "one", "change it"]).run();
    assert_eq!(done.code, 0, "{done}");
    users(&house, "README.md", "ours\n");
    let before = tip(&house, "main");
    let done = merge(&house, &["one"]);
    assert!(
        done.code == 1 && done.stdout.contains("README.md") && done.stdout.contains("--resolve"),
        "{done}"
    );
    assert_eq!(tip(&house, "main"), before);
    let done = merge(&house, &["one", "--resolve"]);
    assert!(done.code == 1 && done.stdout.contains("ai_orch wait one && ai_orch merge one"), "{done}");
    let waited = house.orch(["wait", "one"]).run();
    assert_eq!(waited.code, 0, "{waited}");
    let done = merge(&house, &["one"]);
    assert_eq!(done.code, 0, "{done}");
    assert_eq!(fs::read_to_string(house.repo().join("README.md")).unwrap(), "both\n");
    tidy(&house, 1);
}

#[test]
fn a_branch_that_is_checked_out_nowhere_is_moved_without_a_checkout() {
    let house = House::new();
    house.git(&["branch", "next"]);
    agent(&house, "one", "echo one > one.txt");
    let done = merge(&house, &["one", "--into", "next"]);
    assert_eq!(done.code, 0, "{done}");
    assert_eq!(tip(&house, "next"), tip(&house, "ai_orch/one"));
    assert!(!house.repo().join("one.txt").exists());
    let done = merge(&house, &["one", "--into", "nothing"]);
    assert!(done.code == 2 && done.stderr.contains("no branch 'nothing'"), "{done}");
    // Nobody moves a branch under an agent's feet.
    agent(&house, "two", "echo two > two.txt");
    let done = merge(&house, &["two", "--into", "ai_orch/one"]);
    assert!(done.code == 8 && done.stderr.contains("a worktree of an agent"), "{done}");
    tidy(&house, 2);
}

#[test]
fn work_of_the_user_that_is_in_the_way_stays_and_the_merge_goes_on_later() {
    let house = House::new();
    agent(&house, "one", "echo theirs > README.md; echo n > new.txt");
    let before = tip(&house, "main");
    fs::write(house.repo().join("README.md"), "unsaved work\n").unwrap();
    fs::write(house.repo().join("other.txt"), "in nobody's way\n").unwrap();
    let done = merge(&house, &["one"]);
    assert!(done.code == 8 && done.stderr.contains("merge --continue"), "{done}");
    assert_eq!(tip(&house, "main"), before);
    assert_eq!(fs::read_to_string(house.repo().join("README.md")).unwrap(), "unsaved work\n");
    assert!(!house.repo().join("new.txt").exists());
    let other = merge(&house, &["one"]);
    assert!(other.code == 8 && other.stderr.contains("was cut off"), "{other}");
    house.git(&["checkout", "-q", "README.md"]);
    let done = merge(&house, &["--continue"]);
    assert_eq!(done.code, 0, "{done}");
    assert_eq!(fs::read_to_string(house.repo().join("other.txt")).unwrap(), "in nobody's way\n");
    assert_eq!(tip(&house, "main"), tip(&house, "ai_orch/one"));
    tidy(&house, 1);
    let none = merge(&house, &["--continue"]);
    assert!(none.code == 8 && none.stderr.contains("no merge was cut off"), "{none}");
}

#[test]
fn a_merge_goes_on_in_any_checkout_of_its_repository() {
    let house = House::new();
    house.git(&["branch", "next"]);
    agent(&house, "one", "echo one > one.txt");
    let other = house.path("other");
    house.git(&["worktree", "add", "-q", "--detach", other.to_str().unwrap()]);
    let words = ["merge", "one", "--into", "next"];
    let died = house.orch(words).dir(&other).env("AI_ORCH_CRASH", "merge:20").run();
    assert_eq!(died.code, 137, "{died}");
    house.git(&["worktree", "remove", "--force", other.to_str().unwrap()]);
    let done = merge(&house, &["--continue"]);
    assert_eq!(done.code, 0, "{done}");
    assert_eq!(tip(&house, "next"), tip(&house, "ai_orch/one"));
    tidy(&house, 1);
}

#[test]
fn a_merge_that_is_given_up_leaves_what_it_was() {
    let house = House::new();
    agent(&house, "one", "echo theirs > README.md");
    fs::write(house.repo().join("README.md"), "unsaved work\n").unwrap();
    assert_eq!(merge(&house, &["one", "--validate", "true"]).code, 8);
    let before = tip(&house, "main");
    let done = merge(&house, &["--abort"]);
    assert!(done.code == 1 && done.stdout.contains("given up"), "{done}");
    assert_eq!(tip(&house, "main"), before);
    tidy(&house, 1);
    house.git(&["checkout", "-q", "README.md"]);
    assert_eq!(merge(&house, &["one"]).code, 0);
}

/// Three agents, of which the second breaks what the first did, and the third is in conflict with nobody.
fn three(house: &House) {
    agent(house, "a", "echo a > a.txt");
    agent(house, "b", "echo b > b.txt");
    agent(house, "c", "echo c > c.txt");
}

/// At most one of `a.txt` and `b.txt`.
const NOT_BOTH: &str = "test ! -e a.txt || test ! -e b.txt";

#[test]
fn in_a_queue_each_is_tested_on_top_of_the_last_and_the_broken_one_is_left_out() {
    let house = House::new();
    three(&house);
    let refused = merge(&house, &["a", "b"]);
    assert!(refused.code == 2 && refused.stderr.contains("--queue"), "{refused}");
    let done = merge(&house, &["--queue", "--json", "a", "b", "c", "--validate", NOT_BOTH]);
    assert_eq!(done.code, 3, "{done}");
    let report = done.json();
    let fates: Vec<&str> =
        report["agents"].as_array().unwrap().iter().map(|a| a["fate"].as_str().unwrap()).collect();
    assert_eq!(fates, ["merged", "left_out", "merged"], "{report:#}");
    assert_eq!(report["agents"][1]["why"]["code"], "validation");
    assert_eq!(report["tip"], tip(&house, "main"));
    assert_eq!(house.git(&["ls-tree", "--name-only", "main"]), "README.md\na.txt\nc.txt");
    assert_eq!(house.git(&["status", "--porcelain"]), "");
    tidy(&house, 3);
}

/// The entries of the journal of the only merge there was.
fn journal(house: &House) -> Vec<Value> {
    let state = house.path("home/.local/state/ai_orch");
    let projects = fs::read_dir(state).unwrap().flatten().map(|dir| dir.path().join("merges"));
    let files: Vec<_> = projects.filter_map(|dir| fs::read_dir(dir).ok()).flatten().flatten().collect();
    let text = fs::read_to_string(files.last().unwrap().path()).unwrap();
    text.lines().map(|line| serde_json::from_str(line.split_once(' ').unwrap().1).unwrap()).collect()
}

#[test]
fn a_queue_that_is_killed_anywhere_goes_on_and_nothing_is_done_twice() {
    let counted = House::new();
    three(&counted);
    let points = counted.path("points");
    let words = ["merge", "--queue", "a", "b", "c", "--validate", NOT_BOTH];
    assert_eq!(counted.orch(words).env("AI_ORCH_CRASH_LOG", &points).run().code, 3);
    let log = fs::read_to_string(points).unwrap();
    let wanted = |line: &&str| {
        line.contains("merge journal")
            || line.contains("the target is moved")
            || line.contains("after bin/git")
    };
    let all: Vec<usize> =
        log.lines().filter(wanted).filter_map(|line| line.split(' ').nth(2)?.parse().ok()).collect();
    assert!(all.len() > 30, "{log}");
    // Each kind of point of each agent in turn, a few of them in each run of the tests.
    for n in all.iter().step_by(all.len() / 8) {
        let house = House::new();
        three(&house);
        let died = house.orch(words).env("AI_ORCH_CRASH", format!("merge:{n}")).run();
        assert_eq!(died.code, 137, "{n}: {died}");
        let begun = house.path("home/.local/state/ai_orch");
        let begun = fs::read_dir(begun)
            .unwrap()
            .flatten()
            .any(|dir| fs::read_dir(dir.path().join("merges")).is_ok_and(|mut files| files.next().is_some()));
        let on = if begun { merge(&house, &["--continue"]) } else { house.orch(words).run() };
        // Cut off behind its last word, there is nothing left to do.
        let on = if on.code == 8 && !on.stderr.contains("no merge was cut off") {
            house.orch(words).run()
        } else {
            on
        };
        assert!(on.code == 3 || on.stderr.contains("no merge was cut off"), "{n}: {on}");
        assert_eq!(house.git(&["ls-tree", "--name-only", "main"]), "README.md\na.txt\nc.txt", "{n}");
        assert_eq!(house.git(&["status", "--porcelain"]), "", "{n}");
        let count = |entry: &str| journal(&house).iter().filter(|record| record["entry"] == entry).count();
        assert_eq!((count("moved"), count("left_out"), count("ended")), (2, 1, 1), "{n}");
        tidy(&house, 3);
    }
}

#[test]
fn fifty_agents_go_through_the_queue_in_order_each_tested() {
    let house = House::new();
    let names: Vec<String> = (0..50).map(|n| format!("w{n:02}")).collect();
    for name in &names {
        house.start(["--agent-cli", "sh", "--name", name, &format!("echo {name} > {name}.txt")]);
    }
    let wait: Vec<&str> = ["wait"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let waited = house.orch(wait).run();
    assert_eq!(waited.code, 0, "{waited}");
    // The tree that is tested has all before it and itself.
    let test = format!("ls w*.txt | wc -l >> '{}'", house.path("tested").display());
    let words: Vec<&str> = ["merge", "--queue", "--validate", &test]
        .into_iter()
        .chain(names.iter().map(String::as_str))
        .collect();
    let died = house.orch(&words).env("AI_ORCH_CRASH", "merge:900").run();
    assert_eq!(died.code, 137, "it is killed in the middle: {died}");
    let done = merge(&house, &["--continue", "--json"]);
    assert_eq!(done.code, 0, "{done}");
    let journal = journal(&house);
    let of = |entry: &str| -> Vec<u64> {
        journal
            .iter()
            .filter(|record| record["entry"] == entry)
            .map(|record| record["item"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(of("moved"), (0..50).collect::<Vec<_>>());
    let mut tested = of("tested");
    tested.dedup();
    assert_eq!(tested, (0..50).collect::<Vec<_>>());
    let passed: Vec<&Value> =
        journal.iter().filter(|record| record["entry"] == "tested").map(|r| &r["commit"]).collect();
    assert!(journal.iter().filter(|r| r["entry"] == "moved").all(|moved| passed.contains(&&moved["to"])));
    let counted = fs::read_to_string(house.path("tested")).unwrap();
    let mut counted: Vec<u64> = counted.lines().map(|line| line.trim().parse().unwrap()).collect();
    counted.dedup();
    assert_eq!(counted, (1..=50).collect::<Vec<_>>());
    assert_eq!(house.git(&["ls-tree", "--name-only", "main"]).lines().count(), 51);
    assert_eq!(house.git(&["status", "--porcelain"]), "");
    tidy(&house, 50);
}

#[test]
fn who_cannot_be_merged_is_told_why() {
    let house = House::new();
    let busy = house.start(["--agent-cli", "sh", "exec sleep 300"]);
    agent(&house, "gone", "git checkout -q --detach; echo x > x");
    agent(&house, "here", "true");
    let other = house.path("other");
    house.make_repository(&other);
    let refused = |words: &[&str], code: i32, why: &str| {
        let done = merge(&house, words);
        assert!(done.code == code && done.stderr.contains(why), "{words:?}: {done}");
    };
    refused(&[&busy], 8, "is at work");
    refused(&["gone"], 8, "its work is on (no branch)");
    refused(&["nobody"], 8, "no agent 'nobody'");
    refused(&["--queue", "here", "here"], 2, "named twice");
    refused(&["here", "--validate", " "], 2, "no command");
    let done = house.orch(["merge", "here"]).dir(&other).run();
    assert!(done.code == 2 && done.stderr.contains("another repository"), "{done}");
    house.git(&["checkout", "-q", "--detach"]);
    refused(&["here"], 2, "on no branch");
    tidy(&house, 3);
}

/// Writes a program that leaves a trace.
fn trap(path: &Path, trace: &Path) {
    fs::write(path, format!("#!/bin/sh\ntouch '{}'\nexit 0\n", trace.display())).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn nothing_that_a_repository_configures_runs() {
    let house = House::new();
    let trace = house.path("trace");
    let trapped = house.path("trap");
    trap(&trapped, &trace);
    let driver = trapped.to_str().unwrap().to_owned();
    fs::write(house.repo().join(".gitattributes"), "README.md merge=evil diff=evil\n").unwrap();
    house.git(&["add", "-A"]);
    house.git(&["commit", "-qm", "attributes"]);
    agent(&house, "one", "sed -i '1i top' README.md");
    fs::write(house.repo().join("README.md"), "hello\nmore\nand\nbottom\n").unwrap();
    house.git(&["commit", "-qam", "bottom"]);
    for (key, value) in [
        ("merge.evil.driver", format!("{driver} %O %A %B")),
        ("diff.evil.textconv", driver.clone()),
        ("diff.external", driver.clone()),
        ("core.fsmonitor", driver.clone()),
        ("core.editor", driver.clone()),
        ("gpg.program", driver.clone()),
        ("commit.gpgsign", "true".to_owned()),
    ] {
        house.git(&["config", key, &value]);
    }
    for hook in
        ["post-merge", "pre-merge-commit", "post-checkout", "reference-transaction", "post-index-change"]
    {
        trap(&house.repo().join(".git/hooks").join(hook), &trace);
    }
    let done = merge(&house, &["one", "--validate", "true"]);
    assert!(!trace.exists(), "{done}");
    assert!(done.code <= 1, "{done}");
    tidy(&house, 1);
}

#[test]
fn what_was_squashed_counts_as_merged_when_that_is_asked_for() {
    let house = House::new();
    agent(&house, "squashed", "echo a > a.txt; git add .; git commit -qm a; echo b > b.txt");
    agent(&house, "merged", "echo m > m.txt");
    agent(&house, "open", "echo o > o.txt");
    agent(&house, "empty", "true");
    assert_eq!(merge(&house, &["squashed", "--squash"]).code, 0);
    assert_eq!(merge(&house, &["merged"]).code, 0);
    // Whatever was done on top of it.
    users(&house, "a.txt", "changed since\n");
    let trace = house.path("trace");
    let trapped = house.path("trap");
    trap(&trapped, &trace);
    for key in ["diff.external", "diff.x.textconv", "core.fsmonitor"] {
        house.git(&["config", key, trapped.to_str().unwrap()]);
    }
    let dry = house.ok(["clean", "--merged", "--dry-run"]);
    assert!(dry.contains("squashed") && dry.contains("merged") && !dry.contains("open"), "{dry}");
    // Without the word for it a squashed branch stays.
    let plain = house.ok(["clean", "squashed", "--dry-run"]);
    assert!(plain.contains("on no other branch"), "{plain}");
    house.ok(["clean", "--merged"]);
    assert!(!trace.exists());
    let branches = house.git(&["branch", "--list", "ai_orch/*", "--format=%(refname:short)"]);
    assert_eq!(branches, "ai_orch/empty\nai_orch/open");
    // It comes back like any other.
    house.ok(["undo", "squashed"]);
    assert_eq!(house.git(&["show", "ai_orch/squashed:b.txt"]), "b");
}

/// Uncommitted work of every kind beside what the agent changed.
fn litter(house: &House) {
    fs::write(house.repo().join("other.txt"), "PRECIOUS\n").unwrap();
    fs::write(house.repo().join("new.txt"), "PRECIOUS\n").unwrap();
    fs::write(house.repo().join("key.ign"), "PRECIOUS\n").unwrap();
}

/// What is in the files that [`litter`] wrote.
fn littered(house: &House) -> bool {
    ["other.txt", "new.txt", "key.ign"]
        .iter()
        .all(|name| fs::read_to_string(house.repo().join(name)).is_ok_and(|text| text == "PRECIOUS\n"))
}

/// A house with a tracked `other.txt` and ignored `*.ign`.
fn with_other() -> House {
    let house = House::new();
    users(&house, "other.txt", "other\n");
    users(&house, ".gitignore", "*.ign\n");
    house
}

#[test]
fn what_the_user_has_uncommitted_survives_every_refusal_and_going_on() {
    let house = with_other();
    agent(&house, "one", "echo fixed > README.md; echo agent > made.txt");
    litter(&house);
    // The same fix by hand, something staged, a file where a directory is wanted: all in the way.
    let before = tip(&house, "main");
    let refused = |what: &str| {
        assert_eq!(merge(&house, &["--abort"]).code, if what == "first" { 8 } else { 1 }, "{what}");
        for words in [&["one"][..], &["--continue"], &["--continue"]] {
            let done = merge(&house, words);
            assert_eq!(done.code, 8, "{what}: {done}");
            assert_eq!(tip(&house, "main"), before, "{what}");
            assert!(littered(&house), "{what}");
        }
    };
    fs::write(house.repo().join("README.md"), "fixed\n").unwrap();
    refused("first");
    assert_eq!(fs::read_to_string(house.repo().join("README.md")).unwrap(), "fixed\n");
    house.git(&["checkout", "-q", "README.md"]);
    fs::write(house.repo().join("staged.txt"), "PRECIOUS\n").unwrap();
    house.git(&["add", "staged.txt"]);
    refused("staged");
    assert_eq!(house.git(&["show", ":staged.txt"]), "PRECIOUS");
    house.git(&["rm", "-q", "--cached", "staged.txt"]);
    fs::write(house.repo().join("README.md"), "PRECIOUS\n").unwrap();
    house.git(&["add", "README.md"]);
    fs::write(house.repo().join("README.md"), "hello\n").unwrap();
    refused("staged and taken back on disk");
    assert_eq!(house.git(&["show", ":README.md"]), "PRECIOUS");
    house.git(&["reset", "-q"]);
    fs::write(house.repo().join("made.txt"), "PRECIOUS\n").unwrap();
    refused("untracked, of the same name");
    assert_eq!(fs::read_to_string(house.repo().join("made.txt")).unwrap(), "PRECIOUS\n");
    fs::remove_file(house.repo().join("made.txt")).unwrap();
    fs::write(house.repo().join(".git/MERGE_HEAD"), format!("{before}\n")).unwrap();
    refused("in the middle of a merge");
    fs::remove_file(house.repo().join(".git/MERGE_HEAD")).unwrap();
    let done = merge(&house, &["--continue"]);
    assert_eq!(done.code, 0, "{done}");
    assert!(littered(&house));
    assert_eq!(fs::read_to_string(house.repo().join("README.md")).unwrap(), "fixed\n");
    assert_eq!(house.git(&["diff", "--cached"]), "");
    tidy(&house, 1);
}

#[test]
fn ignored_files_of_the_user_are_in_the_way_too() {
    for task in [
        "echo agents > key.ign; git add -f key.ign",
        "echo x > key.ign.d; mkdir x.ign; echo y > x.ign/y; git add -f x.ign",
    ] {
        let house = with_other();
        agent(&house, "one", &format!("{task}; git commit -qm k"));
        litter(&house);
        fs::write(house.repo().join("x.ign"), "PRECIOUS\n").unwrap();
        for words in [&["one"][..], &["--continue"]] {
            let done = merge(&house, words);
            assert_eq!(done.code, 8, "{task}: {done}");
        }
        assert!(littered(&house));
        assert_eq!(fs::read_to_string(house.repo().join("x.ign")).unwrap(), "PRECIOUS\n");
    }
}

#[test]
fn no_setting_of_an_agent_has_a_say_in_what_is_merged() {
    let house = House::new();
    agent(
        &house,
        "one",
        "echo n > n.txt; git config branch.main.mergeOptions --squash; git config merge.ff false",
    );
    let done = merge(&house, &["one"]);
    assert_eq!(done.code, 0, "{done}");
    assert_eq!(tip(&house, "main"), tip(&house, "ai_orch/one"));
    assert_eq!(house.git(&["status", "--porcelain"]), "");
}

#[test]
fn a_branch_that_is_being_rebased_is_left_alone() {
    let house = House::new();
    users(&house, "mine.txt", "mine\n");
    agent(&house, "one", "echo n > n.txt");
    let rebase = house
        .command("git")
        .env("GIT_SEQUENCE_EDITOR", "sed -i 1s/pick/edit/")
        .args(["rebase", "-q", "-i", "HEAD~1"])
        .output()
        .unwrap();
    assert!(rebase.status.success(), "{rebase:?}");
    let before = tip(&house, "main");
    let done = merge(&house, &["one", "--into", "main"]);
    assert!(done.code == 8 && done.stderr.contains("in the middle of a rebase"), "{done}");
    assert_eq!(tip(&house, "main"), before);
    house.git(&["rebase", "--abort"]);
    assert_eq!(merge(&house, &["one"]).code, 0);
}

/// The number of the point at which a merge of one agent is about to move its target.
fn moving_point() -> String {
    let house = House::new();
    agent(&house, "one", "echo n > n.txt");
    let log = house.path("points");
    assert_eq!(house.orch(["merge", "one"]).env("AI_ORCH_CRASH_LOG", &log).run().code, 0);
    let log = fs::read_to_string(log).unwrap();
    let line = log.lines().find(|line| line.contains("before the target is moved")).unwrap();
    line.split(' ').nth(2).unwrap().to_owned()
}

#[test]
fn what_the_user_does_while_the_target_is_about_to_move_stands() {
    let point = moving_point();
    // Another branch is checked out meanwhile; a commit of the user's comes, or goes.
    for (what, words) in [
        ("switch", &["checkout", "-q", "-b", "feat"][..]),
        ("commit", &["commit", "-q", "--allow-empty", "-m", "meanwhile"]),
        ("drop", &["reset", "-q", "--hard", "HEAD~1"]),
    ] {
        let house = House::new();
        users(&house, "mine.txt", "mine\n");
        agent(&house, "one", "echo n > n.txt");
        let call = house.orch(["merge", "one"]).env("AI_ORCH_CRASH", format!("merge:{point}:stop"));
        let child = call.spawn();
        let pid = child.id();
        let stopped = || is_stopped(i32::try_from(pid).unwrap());
        crate::house::eventually("it is about to move", stopped);
        house.git(words);
        let after = tip(&house, "HEAD");
        assert!(
            std::process::Command::new("kill").args(["-CONT", &pid.to_string()]).status().unwrap().success()
        );
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{what}: {output:?}");
        match what {
            // The branch that is checked out now is not moved, the target is.
            "switch" => {
                assert_eq!(tip(&house, "feat"), after);
                assert_eq!(tip(&house, "main"), tip(&house, "ai_orch/one"));
            }
            "commit" => assert_eq!(house.git(&["merge-base", "main", &after]), after),
            _ => assert_eq!(house.git(&["ls-tree", "--name-only", "main"]), "README.md\nmine.txt\nn.txt"),
        }
        assert_eq!(house.git(&["status", "--porcelain"]), "", "{what}");
        tidy(&house, 1);
    }
}

#[test]
fn a_move_that_was_cut_off_goes_on_or_is_taken_back_and_touches_nothing_else() {
    for (way, fate) in [("--continue", 0), ("--abort", 1)] {
        let house = with_other();
        // Files are written slowly, so that it is killed in the middle of them.
        house.git(&["config", "filter.slow.smudge", "sh -c 'cat; sleep 0.03'"]);
        house.git(&["config", "filter.slow.clean", "cat"]);
        users(&house, ".gitattributes", "f* filter=slow\n");
        agent(&house, "one", "for n in $(seq 60); do echo $n > f$n; done");
        litter(&house);
        let child = house.orch(["merge", "one", "--no-validate"]).spawn();
        crate::house::eventually("files are written", || house.repo().join("f1").exists().then_some(()));
        let pid = child.id().to_string();
        let git = std::process::Command::new("pgrep").args(["-P", &pid]).output().unwrap();
        let git = String::from_utf8_lossy(&git.stdout).trim().to_owned();
        for pid in [pid].into_iter().chain(git.lines().map(str::to_owned)) {
            std::process::Command::new("kill").args(["-9", &pid]).output().unwrap();
        }
        child.wait_with_output().unwrap();
        let before = tip(&house, "main");
        let done = merge(&house, &[way]);
        assert_eq!(done.code, fate, "{way}: {done}");
        assert!(littered(&house), "{way}");
        let status = house.git(&["status", "--porcelain"]);
        assert_eq!(status, " M other.txt\n?? new.txt", "{way}");
        assert_eq!(tip(&house, "main") == before, way == "--abort", "{way}");
        assert_eq!(house.repo().join("f60").exists(), way == "--continue");
        tidy(&house, 1);
    }
}

#[test]
fn a_rebase_does_not_drop_what_a_merge_commit_changed() {
    let house = House::new();
    let task = "git checkout -q -b side; echo s > s; git add s; git commit -qm s; git checkout -q -; echo m > m; git add m; git commit -qm m
        git merge -q --no-commit side; echo evil > evil; git add evil; git commit -qm merged; git branch -qD side";
    agent(&house, "one", task);
    users(&house, "mine.txt", "mine\n");
    let before = tip(&house, "main");
    let done = merge(&house, &["one", "--rebase"]);
    assert!(done.code == 1 && done.stdout.contains("merge commits"), "{done}");
    assert_eq!(tip(&house, "main"), before);
    assert_eq!(merge(&house, &["one", "--squash"]).code, 0);
    assert_eq!(house.git(&["show", "main:evil"]), "evil");
}

/// The points at which a merge of one agent, which waits in `house`, is between two lines of its own log.
fn points(house: &House, from: &str, to: &str) -> Vec<(usize, String)> {
    let log = house.path("points");
    assert_eq!(house.orch(["merge", "one"]).env("AI_ORCH_CRASH_LOG", &log).run().code, 0);
    let log = fs::read_to_string(log).unwrap();
    let lines = log.lines().skip_while(|line| !line.contains(from)).take_while(|line| !line.contains(to));
    lines.map(|line| (line.split(' ').nth(2).unwrap().parse().unwrap(), line.to_owned())).collect()
}

/// A house in which the merge of an agent that changed and made files waits, beside a change of the user's.
fn waiting() -> House {
    let house = with_other();
    agent(&house, "one", "echo theirs > README.md; echo n > new.txt");
    fs::write(house.repo().join("other.txt"), "mine\n").unwrap();
    house
}

/// Stops a merge of one agent at `point`, does `meanwhile`, and lets it go on.
fn stopped_at(house: &House, point: usize, meanwhile: impl FnOnce()) -> std::process::Output {
    let child = house.orch(["merge", "one"]).env("AI_ORCH_CRASH", format!("merge:{point}:stop")).spawn();
    let pid = child.id();
    let stopped = || is_stopped(i32::try_from(pid).unwrap());
    crate::house::eventually("it is stopped", stopped);
    meanwhile();
    assert!(std::process::Command::new("kill").args(["-CONT", &pid.to_string()]).status().unwrap().success());
    child.wait_with_output().unwrap()
}

/// Like [`House::git`], for a command that may be refused.
fn try_git(house: &House, words: &[&str]) -> bool {
    house.command("git").args(words).output().unwrap().status.success()
}

#[test]
fn nothing_of_the_user_mixes_with_files_that_are_being_moved() {
    let window = points(&waiting(), "read-tree", "after the target is moved");
    let mut refused = 0;
    for (point, line) in &window {
        for action in ["commit", "stash", "reset", "checkout", "switch"] {
            let house = waiting();
            let mut went_in = false;
            let merged = stopped_at(&house, *point, || {
                went_in = try_git(
                    &house,
                    match action {
                        "commit" => &["commit", "-qam", "mine"],
                        "stash" => &["stash", "-q"],
                        "reset" => &["reset", "-q", "--hard"],
                        "checkout" => &["checkout", "-qf", "main"],
                        _ => &["checkout", "-q", "-b", "feat"],
                    },
                );
            });
            let what = format!("{action} at {line}: {merged:?}");
            refused += usize::from(!went_in);
            assert!(merged.status.success(), "{what}");
            assert_eq!(
                house.git(&["merge-base", "main", "ai_orch/one"]),
                tip(&house, "ai_orch/one"),
                "{what}"
            );
            if action == "commit" && went_in {
                let changed = house.git(&["log", "-1", "--format=", "--name-only", "--grep=^mine$", "main"]);
                assert_eq!(changed, "other.txt", "{what}");
            }
            let status = house.git(&["status", "--porcelain"]);
            let changed = if action == "switch" || !went_in { " M other.txt" } else { "" };
            assert_eq!(status, changed, "{what}");
            tidy(&house, 1);
        }
    }
    assert!(refused > window.len(), "the index was held: {refused}");
}

/// Kills the merge of an agent that waits in `house` behind a line of its log; `same` is such a house.
fn killed_behind(house: &House, same: &House, behind: &str) {
    let (point, _) = points(same, behind, "after the target is moved")[1];
    let died = house.orch(["merge", "one"]).env("AI_ORCH_CRASH", format!("merge:{point}")).run();
    assert_eq!(died.code, 137, "{died}");
    // What the person does whom git told that a lock is in the way.
    drop(fs::remove_file(house.repo().join(".git/index.lock")));
}

/// The line behind which the files are moved, and neither index nor branch; and that behind which the index is as well.
const CUTS: [&str; 2] = ["after bin/git read-tree", "rename to"];

#[test]
fn what_the_user_commits_while_a_move_is_cut_off_stays_and_what_was_moved_does_not_lie_about() {
    for cut in CUTS {
        for way in ["--continue", "--abort"] {
            for all in [false, true] {
                let what = format!("{cut} {way} {all}");
                let house = waiting();
                killed_behind(&house, &waiting(), cut);
                if all {
                    house.git(&["add", "-A"]);
                    house.git(&["commit", "-qm", "mine"]);
                } else {
                    house.git(&["commit", "-qm", "mine", "other.txt"]);
                }
                let mine = tip(&house, "main");
                fs::write(house.repo().join("later.txt"), "later\n").unwrap();
                let done = merge(&house, &[way]);
                assert_eq!(done.code, i32::from(way == "--abort"), "{what}: {done}");
                assert_eq!(house.git(&["status", "--porcelain"]), "?? later.txt", "{what}");
                assert_eq!(house.git(&["merge-base", "main", &mine]), mine, "{what}");
                let is_there = house.repo().join("new.txt").exists();
                assert_eq!(is_there, all || way == "--continue", "{what}");
                let is_merged =
                    house.git(&["merge-base", "main", "ai_orch/one"]) == tip(&house, "ai_orch/one");
                assert_eq!(is_merged, way == "--continue", "{what}");
                tidy(&house, 1);
            }
        }
    }
}

#[test]
fn files_of_a_move_that_was_cut_off_do_not_stay_on_another_branch() {
    for cut in CUTS {
        for way in ["--continue", "--abort"] {
            let house = waiting();
            killed_behind(&house, &waiting(), cut);
            house.git(&["checkout", "-q", "-b", "feat"]);
            let done = merge(&house, &[way]);
            assert_eq!(done.code, i32::from(way == "--abort"), "{cut} {way}: {done}");
            assert_eq!(house.git(&["status", "--porcelain"]), " M other.txt", "{cut} {way}");
            assert!(!house.repo().join("new.txt").exists());
            assert_eq!(tip(&house, "main") == tip(&house, "ai_orch/one"), way == "--continue", "{cut} {way}");
            tidy(&house, 1);
        }
    }
}

#[test]
fn a_move_that_is_given_up_leaves_what_the_user_has_made_of_its_files() {
    let house = waiting();
    killed_behind(&house, &waiting(), CUTS[1]);
    fs::write(house.repo().join("later.txt"), "later\n").unwrap();
    house.git(&["add", "later.txt"]);
    let done = merge(&house, &["--continue"]);
    assert!(done.code == 8 && done.stderr.contains("later.txt"), "{done}");
    fs::write(house.repo().join("README.md"), "mine too\n").unwrap();
    let done = merge(&house, &["--abort"]);
    assert!(done.code == 1 && done.stdout.contains("given up"), "{done}");
    assert_eq!(fs::read_to_string(house.repo().join("README.md")).unwrap(), "mine too\n");
    assert_eq!(house.git(&["status", "--porcelain"]), " M README.md\nA  later.txt\n M other.txt");
}

#[test]
fn a_merge_that_was_killed_leaves_no_lock_once_it_went_on() {
    let like = waiting();
    for (point, line) in points(&like, "where nothing is", "merge journal ended") {
        let house = waiting();
        let died = house.orch(["merge", "one"]).env("AI_ORCH_CRASH", format!("merge:{point}")).run();
        assert_eq!(died.code, 137, "{line}: {died}");
        let done = merge(&house, &["--continue"]);
        assert_eq!(done.code, 0, "{line}: {done}");
        assert_eq!(house.git(&["status", "--porcelain"]), " M other.txt", "{line}");
        let left = fs::read_dir(house.repo().join(".git")).unwrap().flatten();
        let left: Vec<_> =
            left.map(|entry| entry.file_name()).filter(|n| n.to_string_lossy().contains("index")).collect();
        assert_eq!(left, ["index"], "{line}");
        tidy(&house, 1);
    }
}

#[test]
fn a_branch_by_another_name_is_moved_with_its_files() {
    for on in ["trunk", "main"] {
        let house = House::new();
        house.git(&["branch", "-m", "trunk"]);
        house.git(&["symbolic-ref", "refs/heads/main", "refs/heads/trunk"]);
        house.git(&["checkout", "-q", on]);
        house.git(&["symbolic-ref", "HEAD", &format!("refs/heads/{on}")]);
        agent(&house, "one", "echo n > n.txt");
        let done = merge(&house, &["one", "--into", "main"]);
        assert_eq!(done.code, 0, "{on}: {done}");
        assert_eq!(tip(&house, "trunk"), tip(&house, "ai_orch/one"));
        assert!(house.repo().join("n.txt").exists());
        assert_eq!(house.git(&["status", "--porcelain"]), "", "{on}");
        assert_eq!(house.git(&["symbolic-ref", "refs/heads/main"]), "refs/heads/trunk");
        tidy(&house, 1);
        for (name, leads_to, why) in
            [("odd", "refs/tags/v1", "which is no branch"), ("loose", "refs/heads/none", "no branch 'none'")]
        {
            house.git(&["symbolic-ref", &format!("refs/heads/{name}"), leads_to]);
            let done = merge(&house, &["one", "--into", name]);
            assert!(done.code != 0 && done.stderr.contains(why), "{done}");
        }
    }
}

#[test]
fn nobody_moves_a_checkout_under_an_agent_that_works_in_it() {
    let house = House::new();
    agent(&house, "one", "echo n > n.txt");
    let before = tip(&house, "main");
    let here = house.start(["--agent-cli", "sh", "--no-worktree", "exec sleep 300"]);
    let done = merge(&house, &["one"]);
    assert!(done.code == 8 && done.stderr.contains(&format!("{here} works in")), "{done}");
    assert!(done.stderr.contains(&format!("ai_orch wait {here}")), "{done}");
    assert_eq!(tip(&house, "main"), before);
    house.ok(["kill", &here]);
    let done = merge(&house, &["one"]);
    assert_eq!(done.code, 0, "{done}");
    tidy(&house, 1);
}

#[test]
fn a_branch_that_is_checked_out_twice_is_not_moved_under_one_of_them() {
    let house = House::new();
    agent(&house, "one", "echo n > n.txt");
    let other = house.path("other");
    house.git(&["worktree", "add", "-qf", other.to_str().unwrap(), "main"]);
    let done = merge(&house, &["one"]);
    assert!(
        done.code == 8 && done.stderr.contains("and in") && done.stderr.contains("switch --detach"),
        "{done}"
    );
    // One that is gone counts no more.
    fs::remove_dir_all(&other).unwrap();
    let done = merge(&house, &["one"]);
    assert_eq!(done.code, 0, "{done}");
    assert_eq!(house.git(&["status", "--porcelain"]), "");
}

#[test]
fn a_git_with_an_open_editor_is_named_as_what_is_in_the_way() {
    let house = waiting();
    let (there, go) = (house.path("there"), house.path("go"));
    for fifo in [&there, &go] {
        assert!(std::process::Command::new("mkfifo").arg(fifo).status().unwrap().success());
    }
    let editor = house.path("editor");
    fs::write(&editor, format!("#!/bin/sh\necho > '{}'\ncat '{}'\n", there.display(), go.display())).unwrap();
    fs::set_permissions(&editor, fs::Permissions::from_mode(0o755)).unwrap();
    let mut commit = house.command("git").args(["commit", "-qa"]).env("GIT_EDITOR", &editor).spawn().unwrap();
    fs::read(&there).unwrap();
    let done = merge(&house, &["one"]);
    assert!(done.code == 8 && done.stderr.contains("another git is at work"), "{done}");
    fs::write(&go, "").unwrap();
    // A commit without a message is none.
    assert!(!commit.wait().unwrap().success());
    let done = merge(&house, &["--continue"]);
    assert_eq!(done.code, 0, "{done}");
    assert_eq!(house.git(&["status", "--porcelain"]), " M other.txt");
}

#[test]
fn a_target_that_moves_during_each_test_is_not_tested_for_ever() {
    let house = House::new();
    agent(&house, "one", "echo n > n.txt");
    let move_on = format!("git -C '{}' commit -q --allow-empty -m on", house.repo().display());
    let done = merge(&house, &["one", "--validate", &move_on]);
    assert!(done.code != 0 && done.stderr.contains("again and again"), "{done}");
    assert_eq!(merge(&house, &["--abort"]).code, 1);
    tidy(&house, 1);
}

#[test]
fn a_merged_tree_is_tested_where_there_is_what_the_agent_had() {
    let house = House::new();
    users(&house, ".gitignore", "local.env\ndeps\nlinked\n");
    fs::write(house.repo().join("local.env"), "SECRET=1\n").unwrap();
    fs::create_dir(house.repo().join("linked")).unwrap();
    fs::write(
        house.repo().join(".ai_orch.toml"),
        "setup = \"test -e bad || echo ok > deps\"\ncopy = [\"local.env\"]\nsymlink = [\"linked\"]\nports = [\"PORT\"]\n",
    )
    .unwrap();
    house.git(&["add", "-A"]);
    house.git(&["commit", "-qm", "file"]);
    house.ok(["trust"]);
    let needs = "grep -q ok deps && test -e local.env && test -L linked && test \"$PORT\" -gt 0 && test -n \"$AI_ORCH_WORKTREE\"";
    let words = ["run", "--agent-cli", "sh", "--name", "one", "--validate", needs, "echo n > n.txt"];
    let done = house.orch(words).run();
    assert_eq!(done.code, 0, "{done}");
    // A dependency that the user adds meanwhile, so that it is not the very tree that was set up before.
    users(&house, "mine.txt", "mine\n");
    let done = merge(&house, &["one"]);
    assert_eq!(done.code, 0, "{done}");
    assert!(house.repo().join("linked").is_dir() && house.repo().join("local.env").exists());
    tidy(&house, 1);
    // A setup that fails is told as what it is.
    let words =
        ["run", "--agent-cli", "sh", "--name", "two", "--setup", "test ! -e bad || { echo broken; exit 4; }"];
    let done = house.orch([&words[..], &["--validate", "true", "echo t > t.txt"]].concat()).run();
    assert_eq!(done.code, 0, "{done}");
    users(&house, "bad", "x\n");
    let before = tip(&house, "main");
    let done = merge(&house, &["two"]);
    assert!(
        done.code == 1 && done.stdout.contains("the setup command") && done.stdout.contains("exited 4"),
        "{done}"
    );
    assert!(done.stdout.contains("broken"), "{done}");
    assert_eq!(tip(&house, "main"), before);
    tidy(&house, 2);
}

#[test]
fn what_is_not_on_the_branch_and_who_failed_is_told() {
    let house = House::new();
    let done =
        house.orch(["run", "--agent-cli", "sh", "--name", "left", "--no-commit", "echo l > l.txt"]).run();
    assert_eq!(done.code, 0, "{done}");
    let done = merge(&house, &["left"]);
    assert!(done.stdout.contains("left: it has work that is not committed"), "{done}");
    let words =
        ["run", "--agent-cli", "sh", "--name", "bad", "echo b > b.txt; git add .; git commit -qm b; exit 1"];
    assert_eq!(house.orch(words).run().code, 1);
    let report = merge(&house, &["bad", "--json"]).json();
    assert_eq!(report["agents"][0]["fate"], "merged", "{report:#}");
    assert_eq!(report["agents"][0]["notes"][0], "it had failed", "{report:#}");
    // Its work is in no commit, so it is not merged.
    let dry = house.ok(["clean", "--merged", "--dry-run"]);
    assert!(!dry.contains("left"), "{dry}");
}

#[test]
fn a_signal_ends_the_test_and_the_merge_goes_on_later() {
    let house = House::new();
    for name in ["one", "two"] {
        agent(&house, name, &format!("echo {name} > {name}.txt"));
    }
    let (began, go) = (house.path("began"), house.path("go"));
    let sleeper = format!("sleep 335.{}", std::process::id());
    let validate = format!(
        "{sleeper} & echo $$ >> '{}'; trap '' TERM INT; while [ ! -e '{}' ]; do sleep 0.02; done; kill %1 2>/dev/null; true",
        began.display(),
        go.display()
    );
    let pids =
        || fs::read_to_string(&began).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
    let before = tip(&house, "main");
    let queue = ["merge", "--queue", "one", "two", "--validate", &validate];
    for (n, (signal, code)) in [("-TERM", 143), ("-INT", 130), ("-HUP", 130)].into_iter().enumerate() {
        let words = if n == 0 { &queue[..] } else { &["merge", "--continue"] };
        let call = house.orch(words).spawn();
        eventually("it is tested", || (pids().len() > n).then_some(()));
        assert!(Command::new("kill").args([signal, &call.id().to_string()]).status().unwrap().success());
        let output = call.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{signal}: {said}");
        assert!(said.contains("broken off") && said.contains("ai_orch merge --continue"), "{said}");
        assert!(!runs(pids()[n].parse().unwrap()), "{signal}: it goes on");
        let found = Command::new("pgrep").args(["-fx", &sleeper]).output().unwrap();
        assert!(found.stdout.is_empty(), "{signal}: what it started goes on");
        assert_eq!(tip(&house, "main"), before, "{signal}");
        assert!(!house.repo().join(".git/index.lock").exists());
        assert_eq!(house.git(&["status", "--porcelain"]), "");
    }
    fs::write(&go, "").unwrap();
    let done = merge(&house, &["--continue"]);
    assert_eq!(done.code, 0, "{done}");
    assert_eq!(pids().len(), 5, "what was broken off was tested again, and the other");
    assert!(house.repo().join("one.txt").exists() && house.repo().join("two.txt").exists());
    tidy(&house, 2);
}

/// A house in which a merge of `one` died at the last point that is called `what`, with all that `prepare` makes.
fn died_at(what: &str, into: &[&str], prepare: impl Fn(&House)) -> House {
    let ready = || {
        let house = House::new();
        prepare(&house);
        house
    };
    let words = [&["merge", "one"], into].concat();
    let counted = ready();
    let log = counted.path("points");
    assert_eq!(counted.orch(&words).env("AI_ORCH_CRASH_LOG", &log).run().code, 0);
    let log = fs::read_to_string(log).unwrap();
    let line = log.lines().rfind(|line| line.contains(what)).unwrap_or_else(|| panic!("{what}: {log}"));
    let point = line.split(' ').nth(2).unwrap();
    let house = ready();
    let died = house.orch(&words).env("AI_ORCH_CRASH", format!("merge:{point}")).run();
    assert_eq!(died.code, 137, "{died}");
    house
}

#[test]
fn what_looks_like_the_beginning_of_a_file_and_is_the_users_stays() {
    let house = died_at("before the target is moved", &[], |house| {
        users(house, "f.txt", "line1\n");
        agent(
            house,
            "one",
            "echo line2 >> f.txt; echo theirs > newf; printf 'line1\\nline2\\nline3\\n' > notes; echo x > empty",
        );
    });
    let (before, repo) = (tip(&house, "main"), house.repo());
    for (name, text) in [("newf", "own\n"), ("notes", "line1\nline2\n"), ("empty", "")] {
        fs::write(repo.join(name), text).unwrap();
    }
    let untouched = |when: &str| {
        let status = house.git(&["status", "--porcelain"]);
        assert_eq!(status.trim_start_matches("?? empty\n"), "?? newf\n?? notes", "{when}");
        for (name, text) in [("f.txt", "line1\n"), ("newf", "own\n"), ("notes", "line1\nline2\n")] {
            assert_eq!(fs::read_to_string(repo.join(name)).unwrap(), text, "{when}");
        }
        assert_eq!(tip(&house, "main"), before, "{when}");
    };
    for _ in 0..2 {
        let done = merge(&house, &["--continue"]);
        assert!(done.code != 0 && done.stderr.contains("would be overwritten"), "{done}");
        untouched("going on");
        assert!(repo.join("empty").exists());
    }
    // An empty file is what a git that was killed leaves as well, and holds nothing.
    let done = merge(&house, &["--abort"]);
    assert!(done.stdout.contains("given up"), "{done}");
    untouched("given up");
    tidy(&house, 1);
}

#[test]
fn files_that_attributes_change_on_their_way_are_known_again() {
    let prepare = |house: &House| {
        users(house, ".gitattributes", "*.txt text eol=crlf\n/x.up filter=up\n");
        house.git(&["config", "filter.up.clean", "tr A-Z a-z"]);
        house.git(&["config", "filter.up.smudge", "tr a-z A-Z"]);
        users(house, "old.txt", "old\n");
        agent(house, "one", "echo new > new.txt; echo shout > x.up; echo more >> old.txt");
    };
    for what in ["after bin/git read-tree", "after the target is moved"] {
        for verb in ["--abort", "--continue"] {
            let house = died_at(what, &[], prepare);
            let done = merge(&house, &[verb]);
            assert!(done.code == 0 || done.stdout.contains("given up"), "{what} {verb}: {done}");
            assert_eq!(house.git(&["status", "--porcelain"]), "", "{what} {verb}");
            let moved = verb == "--continue" || what.contains("target");
            assert_eq!(house.repo().join("new.txt").exists(), moved, "{what} {verb}");
            assert_eq!(house.repo().join("x.up").exists(), moved, "{what} {verb}");
            tidy(&house, 1);
        }
    }
}

#[test]
fn what_a_sparse_checkout_leaves_out_is_in_nobodys_way() {
    for verb in ["--abort", "--continue"] {
        let house = died_at("after bin/git read-tree", &[], |house| {
            for dir in ["in", "out"] {
                fs::create_dir(house.repo().join(dir)).unwrap();
                users(house, &format!("{dir}/o"), "old\n");
            }
            agent(house, "one", "echo new > in/o; echo new > out/o");
            house.git(&["sparse-checkout", "set", "in"]);
        });
        let done = merge(&house, &[verb]);
        assert!(done.code == 0 || done.stdout.contains("given up"), "{verb}: {done}");
        assert_eq!(house.git(&["status", "--porcelain"]), "", "{verb}");
        assert!(!house.repo().join("out").exists(), "{verb}");
        let there = fs::read_to_string(house.repo().join("in/o")).unwrap();
        assert_eq!(there, if verb == "--abort" { "old\n" } else { "new\n" });
    }
}

#[test]
fn a_merge_into_a_branch_that_is_gone_can_be_given_up() {
    for what in ["before the target is moved", "merge journal made"] {
        let house = died_at(what, &["--into", "dev"], |house| {
            house.git(&["switch", "-q", "-c", "dev"]);
            agent(house, "one", "echo one > one.txt");
        });
        house.git(&["switch", "-q", "main"]);
        house.git(&["branch", "-q", "-D", "dev"]);
        let done = merge(&house, &["--continue"]);
        assert!(done.code != 0 && done.stderr.contains("no branch 'dev'"), "{what}: {done}");
        let done = merge(&house, &["--abort"]);
        assert!(done.stdout.contains("given up"), "{what}: {done}");
        assert_eq!(house.git(&["status", "--porcelain"]), "", "{what}");
        tidy(&house, 1);
    }
}
