//! Worktrees that are ready before they are asked for, as people meet them: not at all, but for the time that it takes.

use crate::house::{House, eventually, may_mount};
use std::fs;
use std::path::{Path, PathBuf};

const POOLS: &str = "home/.local/share/ai_orch/pool";

/// A house whose repository is large enough for a worktree to be kept ready.
fn house() -> House {
    let house = House::new();
    many(&house, &house.repo());
    house
}

fn many(house: &House, repo: &Path) {
    for n in 0..80 {
        fs::create_dir_all(repo.join(format!("d{}", n % 4))).unwrap();
        fs::write(repo.join(format!("d{}/f{n}", n % 4)), format!("file {n}\n")).unwrap();
    }
    house.git_in(repo, &["add", "."]);
    house.git_in(repo, &["commit", "-q", "-m", "many"]);
}

/// What is in the pools, less their locks.
fn pooled(house: &House) -> Vec<PathBuf> {
    let below = |dir: &Path| -> Vec<PathBuf> {
        let entries = dir.read_dir().into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).filter(|path| !path.ends_with("lock")).collect()
    };
    below(&house.path(POOLS)).iter().flat_map(|pool| below(pool)).collect()
}

/// Those of them that can be taken.
fn ready(house: &House) -> Vec<PathBuf> {
    let is_id = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().len() == 36;
    pooled(house).into_iter().filter(is_id).collect()
}

/// Starts an agent that works until it is killed.
fn started(house: &House, words: &[&str]) -> String {
    let all = ["--agent-cli", "sh"].iter().chain(words).chain(&["sleep 1000"]);
    house.start(all)
}

/// The same, and waits until a worktree is ready for the next one.
fn one_ready(house: &House) -> String {
    let first = started(house, &["--name", "first"]);
    eventually("one is ready", || (ready(house).len() == 1).then_some(()));
    first
}

fn filled(house: &House, session: &str) -> String {
    let evidence = house.show(session)["evidence"].as_array().unwrap().clone();
    let files = evidence.iter().find(|e| e["source"] == "files").unwrap_or_else(|| panic!("{evidence:?}"));
    files["says"].as_str().unwrap().to_owned()
}

/// Waits until the worktree of an agent is filled.
fn at_work(house: &House, session: &str) {
    eventually("it works", || (house.listed(session)["state"] == "working").then_some(()));
}

#[test]
fn the_second_agent_finds_its_worktree_ready() {
    let house = house();
    one_ready(&house);
    let list = house.git(&["worktree", "list"]);
    assert_eq!(list.lines().count(), 2, "git knows of the checkout and the first agent: {list}");
    assert_eq!(house.git(&["status", "--porcelain"]), "");
    let second = started(&house, &["--name", "second"]);
    at_work(&house, &second);
    assert_eq!(filled(&house, "second"), "81 that were ready");
    let worktree = PathBuf::from(house.show("second")["agent"]["worktree"].as_str().unwrap());
    assert_eq!(house.git_in(&worktree, &["status", "--porcelain", "--ignored"]), "");
    assert_eq!(house.git_in(&worktree, &["branch", "--show-current"]), "ai_orch/second");
    assert_eq!(fs::read(worktree.join("d1/f1")).unwrap(), b"file 1\n");
    eventually("the next one is made", || (ready(&house).len() == 1).then_some(()));
    assert_eq!(pooled(&house).len(), 1, "of what was taken nothing is left");
    // What an agent does there is nobody else's.
    fs::write(worktree.join("d1/f1"), "mine").unwrap();
    let third = started(&house, &["--name", "third"]);
    at_work(&house, &third);
    let worktree = PathBuf::from(house.show("third")["agent"]["worktree"].as_str().unwrap());
    assert_eq!(fs::read(worktree.join("d1/f1")).unwrap(), b"file 1\n");
}

#[test]
fn an_agent_does_its_work_in_what_was_ready() {
    let house = house();
    one_ready(&house);
    house.start([
        "--agent-cli",
        "sh",
        "--name",
        "second",
        "echo new > new.txt; rm d0/f0; echo more >> d1/f1",
    ]);
    house.ok(["wait", "second"]);
    assert_eq!(filled(&house, "second"), "81 that were ready");
    let names = house.git(&["diff", "--name-status", "main", "ai_orch/second"]);
    assert_eq!(names, "D\td0/f0\nM\td1/f1\nA\tnew.txt");
    house.ok(["clean", "second"]);
    assert_eq!(house.git(&["worktree", "list"]).lines().count(), 2);
}

#[test]
fn a_commit_that_is_near_is_brought_up_and_one_that_is_far_is_not() {
    let house = house();
    one_ready(&house);
    let first = house.git(&["rev-parse", "HEAD"]);
    fs::write(house.repo().join("d0/f0"), "later\n").unwrap();
    house.git(&["commit", "-q", "-am", "later"]);
    let near = started(&house, &["--name", "near"]);
    at_work(&house, &near);
    assert_eq!(filled(&house, "near"), "81 that were ready, 1 brought up to date by git");
    let worktree = PathBuf::from(house.show("near")["agent"]["worktree"].as_str().unwrap());
    assert_eq!(fs::read(worktree.join("d0/f0")).unwrap(), b"later\n");
    assert_eq!(house.git_in(&worktree, &["status", "--porcelain"]), "");
    eventually("the next one is made", || (ready(&house).len() == 1).then_some(()));
    let before = ready(&house);
    for n in 0..40 {
        fs::write(house.repo().join(format!("more{n}")), "more\n").unwrap();
    }
    house.git(&["add", "."]);
    house.git(&["commit", "-q", "-m", "far"]);
    let far = started(&house, &["--name", "far"]);
    at_work(&house, &far);
    assert_eq!(filled(&house, "far"), "121 copied from the checkout");
    eventually("what is too far off is replaced", || {
        let now = ready(&house);
        (now.len() == 1 && now != before).then_some(())
    });
    let old = started(&house, &["--name", "old", "--base", &first]);
    at_work(&house, &old);
    assert!(filled(&house, "old").contains("copied from the checkout"), "{}", filled(&house, "old"));
    assert_eq!(ready(&house).len(), 1, "and stays for somebody who wants that commit");
}

#[test]
fn what_was_touched_is_not_used_and_that_is_said() {
    let house = house();
    one_ready(&house);
    fs::write(ready(&house)[0].join("tree/d2/f2"), "somebody was here\n").unwrap();
    let second = started(&house, &["--name", "second"]);
    at_work(&house, &second);
    assert_eq!(
        filled(&house, "second"),
        "81 copied from the checkout; what was ready was not used: d2/f2 was changed"
    );
    let worktree = PathBuf::from(house.show("second")["agent"]["worktree"].as_str().unwrap());
    assert_eq!(fs::read(worktree.join("d2/f2")).unwrap(), b"file 2\n");
    eventually("another is made, and the old one deleted", || {
        (ready(&house).len() == 1 && pooled(&house).len() == 1).then_some(())
    });
}

#[test]
fn as_many_are_kept_as_the_settings_say() {
    let house = house();
    let config = house.path("home/.config/ai_orch/config.toml");
    fs::write(&config, "pool = 9\n").unwrap();
    let refused = house.orch(["list"]).run();
    assert!(refused.code != 0 && refused.stderr.contains("pool is 9, and may be 0 to 8"), "{refused}");
    fs::write(&config, "pool = 2\n").unwrap();
    started(&house, &["--name", "first"]);
    eventually("two are ready", || (ready(&house).len() == 2).then_some(()));
    fs::write(&config, "pool = 0\n").unwrap();
    let second = started(&house, &["--name", "second"]);
    at_work(&house, &second);
    assert_eq!(filled(&house, "second"), "81 copied from the checkout");
    assert_eq!(ready(&house).len(), 2, "nobody is asked");
    house.ok(["clean"]);
    assert!(!house.path(POOLS).exists(), "none is wanted any more");
    fs::write(&config, "pool_max_files = 80\n").unwrap();
    let third = started(&house, &["--name", "third"]);
    let log = house.record(&third).join("keeper.log");
    eventually("it is too large", || {
        fs::read_to_string(&log).unwrap().contains("81 files are more than 80").then_some(())
    });
    assert_eq!(pooled(&house), Vec::<PathBuf>::new());
}

#[test]
fn none_is_made_where_the_disk_has_little_room() {
    if !may_mount("a small disk") {
        return;
    }
    let house = house();
    // 81 files of a block each, twice with the agent's own, are a fraction of it, and more than a tenth.
    house.mount("home/.local/share", "2m");
    let first = started(&house, &["--name", "first"]);
    let log = house.record(&first).join("keeper.log");
    eventually("it would take too much", || {
        fs::read_to_string(&log).unwrap().contains("more than its part of the free disk").then_some(())
    });
    assert_eq!(pooled(&house), Vec::<PathBuf>::new(), "nothing half made is left");
}

#[test]
fn pools_of_repositories_that_are_gone_go_with_clean() {
    let house = house();
    one_ready(&house);
    house.ok(["kill", "first"]);
    house.ok(["clean", "first"]);
    assert_eq!(ready(&house).len(), 1, "it is for the next agent");
    fs::remove_dir_all(house.repo()).unwrap();
    drop(house.orch(["clean"]).dir(house.path("")).run());
    fs::create_dir(house.repo()).unwrap();
    assert!(!house.path(POOLS).exists());
}

#[test]
fn an_agent_that_is_killed_takes_whoever_makes_the_next_worktree_along() {
    let house = house();
    // Who makes it stops before its first file, as it would in a large repository.
    let first = house
        .orch(["run", "--detach", "--agent-cli", "sh", "--name", "first", "sleep 1000"])
        .env("AI_ORCH_CRASH", "pool:5:stop")
        .run();
    assert_eq!(first.code, 0, "{first}");
    let maker = || house.processes().into_iter().find(|(_, words)| words.contains("__pool"));
    eventually("it is being made", || {
        (maker().is_some() && pooled(&house).len() == 1 && ready(&house).is_empty()).then_some(())
    });
    house.ok(["kill", "first"]);
    eventually("nobody is left", || maker().is_none().then_some(()));
    assert!(ready(&house).is_empty());
    let second = started(&house, &["--name", "second"]);
    at_work(&house, &second);
    assert_eq!(filled(&house, "second"), "81 copied from the checkout");
    eventually("what was half made is replaced", || {
        (ready(&house).len() == 1 && pooled(&house).len() == 1).then_some(())
    });
}

/// Dies at each step of taking what is ready.
#[test]
fn an_agent_whose_keeper_dies_half_way_goes_on_with_all_its_files() {
    let house = house();
    one_ready(&house);
    let log = house.path("points");
    let begin = |name: &str, variables: &[(&str, &str)]| {
        let call =
            house.orch(["run", "--detach", "--agent-cli", "sh", "--name", name, "echo done > done.txt"]);
        variables.iter().fold(call, |call, (name, value)| call.env(name, value)).run()
    };
    let listed = begin("listed", &[("AI_ORCH_CRASH_LOG", log.to_str().unwrap())]);
    assert_eq!(listed.code, 0, "{listed}");
    house.ok(["wait", "listed"]);
    let points = fs::read_to_string(&log).unwrap();
    let of_it = ["of-", "is taken", "index", "tree", "exchange"];
    let points: Vec<_> = points
        .lines()
        .filter(|line| line.starts_with("keeper ") && line.contains("git room"))
        .filter(|line| of_it.iter().any(|what| line.contains(what)))
        .map(|line| (line.split(' ').nth(2).unwrap().to_owned(), line.to_owned()))
        .collect();
    assert!(points.len() >= 8, "{points:?}");
    for (n, what) in points {
        // That agent was done before it could make another one.
        let helper = started(&house, &["--name", &format!("before{n}")]);
        eventually("one is ready, and nothing else is left", || {
            (ready(&house).len() == 1 && pooled(&house).len() == 1).then_some(())
        });
        house.ok(["kill", &helper]);
        let name = format!("dies{n}");
        drop(begin(&name, &[("AI_ORCH_CRASH", &format!("keeper:{n}"))]));
        eventually("its keeper is dead", || (house.listed(&name)["state"] == "interrupted").then_some(()));
        house.ok(["resume", &name]);
        house.ok(["wait", &name]);
        let changed = house.git(&["diff", "--name-status", "main", &format!("ai_orch/{name}")]);
        assert_eq!(changed, "A\tdone.txt", "{what}");
    }
}
