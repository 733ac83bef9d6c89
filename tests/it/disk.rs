//! Disks that are full, and disks that nobody may write to.

use crate::house::{Done, House, eventually, may_mount};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

const STATE: &str = "home/.local/state/ai_orch";
const DATA: &str = "home/.local/share/ai_orch";

/// A task that says that it has begun, waits until `go` is there, and works then.
fn waits(house: &House, name: &str) -> String {
    let (begun, go) = (house.path(format!("{name}.begun")), house.path(format!("{name}.go")));
    format!(
        "touch '{}'; while [ ! -e '{}' ]; do sleep 0.02; done; echo work > work.txt",
        begun.display(),
        go.display()
    )
}

/// Starts an agent that waits, and waits until it does.
fn started(house: &House, name: &str) {
    house.start(["--agent-cli", "sh", "--name", name, &waits(house, name)]);
    eventually("it has begun", || house.path(format!("{name}.begun")).exists().then_some(()));
}

fn go(house: &House, name: &str) {
    fs::write(house.path(format!("{name}.go")), "").unwrap();
}

fn ended(house: &House, name: &str) {
    let record = house.path(STATE).join("names").join(name);
    eventually("its keeper has ended", || {
        fs::File::open(record.join("keeper.lock")).unwrap().try_lock_shared().ok()
    });
}

/// Leaves no room at `at`; the file that takes it.
fn fill(at: &Path) -> PathBuf {
    let ballast = at.join("ballast");
    let mut file = fs::File::create(&ballast).unwrap();
    // Large pieces first: what is left in the end is less than a page.
    for size in [1 << 16, 1 << 12, 1] {
        while file.write_all(&vec![b'x'; size]).is_ok() {}
    }
    ballast
}

/// `run` is refused, says where and why, and has made nothing.
fn refused(house: &House, repo: &Path, place: &Path, why: &str) {
    let done = house.orch(["run", "-d", "--agent-cli", "sh", "--name", "late", "true"]).dir(repo).run();
    assert_eq!(done.code, 6, "{done}");
    assert!(done.stderr.contains(place.to_str().unwrap()), "the place is named: {done}");
    assert!(done.stderr.to_lowercase().contains(why), "{done}");
    nothing_made(house, repo, &done);
}

fn nothing_made(house: &House, repo: &Path, done: &Done) {
    assert!(!house.path(STATE).join("names/late").is_symlink(), "a name: {done}");
    assert_eq!(house.git_in(repo, &["branch", "--list", "ai_orch/late"]), "", "a branch: {done}");
    assert!(!house.git_in(repo, &["worktree", "list"]).contains("late"), "a worktree: {done}");
    let left = fs::read_dir(house.path(DATA).join("worktrees")).into_iter().flatten().flatten();
    for project in left {
        assert!(!project.path().join("late").exists(), "a worktree: {done}");
    }
    assert!(!house.tmux(&["has-session", "-t", "=late"]).status.success(), "a session: {done}");
}

/// `list` and `show` tell of these agents.
fn seen(house: &House, names: &[&str]) {
    for name in names {
        assert_eq!(house.listed(name)["session"], *name);
        assert!(house.ok(["show", name]).contains(name));
        house.ok(["logs", name]);
    }
}

#[test]
fn a_full_state_directory_loses_nothing_and_holds_up_nobody() {
    if !may_mount("it mounts a small file system") {
        return;
    }
    let house = House::new();
    let state = house.mount(STATE, "2m");
    started(&house, "ends");
    started(&house, "costly");
    let ballast = fill(&state);
    refused(&house, &house.repo(), &state, "no space");
    seen(&house, &["ends", "costly"]);
    // Its end cannot be put on record: then nobody may say that it is done.
    go(&house, "ends");
    ended(&house, "ends");
    let listed = house.listed("ends");
    assert_ne!(listed["state"], "done", "{listed}");
    // An agent that costs money can be stopped, and it is said that this is not on record.
    let kill = house.orch(["kill", "costly"]).run();
    assert!([0, 6].contains(&kill.code), "{kill}");
    if kill.code == 6 {
        assert!(kill.stderr.contains("is stopped") && kill.stderr.contains("no space"), "{kill}");
    }
    seen(&house, &["ends", "costly"]);
    eventually("nothing of it runs", || {
        (!house.processes().iter().any(|(_, words)| words.contains("costly.go"))).then_some(())
    });
    fs::remove_file(ballast).unwrap();
    for name in ["ends", "costly"] {
        assert_eq!(house.orch(["kill", name]).run().code, 0);
        // Where there was room for it, it is on record that the work could not be committed.
        let listed = house.listed(name);
        assert!(["killed", "failed"].contains(&listed["state"].as_str().unwrap()), "{listed}");
    }
    let worktree = house.listed("ends")["worktree"].as_str().unwrap().to_owned();
    assert_eq!(fs::read_to_string(format!("{worktree}/work.txt")).unwrap(), "work\n", "nothing is lost");
    house.ok(["run", "--agent-cli", "sh", "--name", "late", "echo x > x"]);
    assert_eq!(house.git(&["show", "ai_orch/late:x"]), "x");
}

#[test]
fn a_full_disk_under_the_worktrees_is_told_and_nothing_is_half_made() {
    if !may_mount("it mounts a small file system") {
        return;
    }
    let house = House::new();
    let data = house.mount(DATA, "2m");
    started(&house, "ends");
    let ballast = fill(&data);
    refused(&house, &house.repo(), &data, "no space");
    seen(&house, &["ends"]);
    go(&house, "ends");
    let done = house.orch(["wait", "ends"]).run();
    assert_eq!(done.code, 1, "its work could not be written: {done}");
    seen(&house, &["ends"]);
    assert_eq!(house.orch(["kill", "ends"]).run().code, 0);
    fs::remove_file(ballast).unwrap();
    house.ok(["run", "--agent-cli", "sh", "--name", "late", "echo x > x"]);
}

#[test]
fn an_agent_that_fills_the_disk_is_not_done() {
    if !may_mount("it mounts a small file system") {
        return;
    }
    let house = House::new();
    // Its worktree, and the objects that its work would be committed to.
    let disk = house.mount("disk", "4m");
    let repo = disk.join("repo");
    house.make_repository(&repo);
    let task = format!("echo work > work.txt; cat /dev/zero > '{}/ballast'; sync; exit 0", disk.display());
    let words = ["run", "--agent-cli", "sh", "--name", "greedy", &task];
    let done = house.orch(words).dir(&repo).run();
    assert_eq!(done.code, 1, "{done}");
    let listed = house.listed("greedy");
    assert_eq!(
        (&listed["state"], &listed["failure"]["class"]),
        (&"failed".into(), &"git".into()),
        "{listed}"
    );
    assert!(listed["failure"]["message"].as_str().unwrap().to_lowercase().contains("no space"), "{listed}");
    seen(&house, &["greedy"]);
    refused(&house, &repo, &disk, "no space");
    fs::remove_file(disk.join("ballast")).unwrap();
    let worktree = listed["worktree"].as_str().unwrap();
    assert_eq!(fs::read_to_string(format!("{worktree}/work.txt")).unwrap(), "work\n");
    assert_eq!(house.orch(["diff", "greedy"]).run().code, 0);
    let again = house.orch(["run", "--agent-cli", "sh", "--name", "late", "echo x > x"]).dir(&repo).run();
    assert_eq!(again.code, 0, "{again}");
}

#[test]
fn a_full_root_costs_nothing_but_the_board() {
    if !may_mount("it mounts a small file system") {
        return;
    }
    let house = House::new();
    let root = house.mount("root", "1m");
    let ballast = fill(&root);
    refused(&house, &house.repo(), &root, "no space");
    fs::remove_file(ballast).unwrap();
    started(&house, "ends");
    fill(&root);
    seen(&house, &["ends"]);
    go(&house, "ends");
    house.ok(["wait", "ends"]);
    assert_eq!(house.listed("ends")["state"], "done");
    assert_eq!(house.git(&["show", "ai_orch/ends:work.txt"]), "work");
    // What the first one left in the root is enough for the next.
    house.ok(["run", "--agent-cli", "sh", "--name", "next", "echo x > x"]);
    assert_eq!(house.git(&["show", "ai_orch/next:x"]), "x");
}

/// Every verb that only looks works where nothing can be written.
fn looks_work(house: &House) {
    seen(house, &["over"]);
    let diff = house.orch(["diff", "over"]).run();
    assert_eq!(diff.code, 0, "{diff}");
    assert!(diff.stdout.contains("work"), "{diff}");
    house.ok(["logs", "--raw", "over"]);
    let wait = house.orch(["wait", "over"]).run();
    assert_eq!(wait.code, 0, "{wait}");
}

#[test]
fn where_nothing_can_be_written_everything_can_be_looked_at() {
    if !may_mount("it mounts file systems read-only") {
        return;
    }
    let house = House::new();
    let places = [STATE, DATA, "root", "disk"].map(|name| house.mount(name, "8m"));
    let repo = places[3].join("repo");
    house.make_repository(&repo);
    let over =
        house.orch(["run", "--agent-cli", "sh", "--name", "over", "echo work > work.txt"]).dir(&repo).run();
    assert_eq!(over.code, 0, "{over}");
    eventually("nothing runs", || house.processes().is_empty().then_some(()));
    for place in &places {
        House::remount(place, "ro");
        looks_work(&house);
        refused(&house, &repo, place, "read-only");
        let kill = house.orch(["kill", "over"]).run();
        assert!([0, 6].contains(&kill.code), "{kill}");
        House::remount(place, "rw");
    }
    let done = house.orch(["run", "--agent-cli", "sh", "--name", "late", "echo x > x"]).dir(&repo).run();
    assert_eq!(done.code, 0, "{done}");
}

#[test]
fn an_agent_whose_record_cannot_be_written_any_more_can_be_stopped() {
    if !may_mount("it mounts a file system read-only") {
        return;
    }
    let house = House::new();
    let state = house.mount(STATE, "8m");
    started(&house, "costly");
    // What is open for writing keeps a file system writable; a second, read-only view of it does not ask.
    let bind = |words: &[&str]| {
        let done = std::process::Command::new("mount").args(words).arg(&state).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    };
    bind(&["--bind", state.to_str().unwrap()]);
    bind(&["-o", "remount,bind,ro"]);
    let kill = house.orch(["kill", "costly"]).run();
    let unmount = std::process::Command::new("umount").arg("-l").arg(&state).output().unwrap();
    assert!(unmount.status.success(), "{unmount:?}");
    assert_eq!(kill.code, 6, "{kill}");
    assert!(kill.stderr.contains("is stopped") && kill.stderr.contains("read-only"), "{kill}");
    eventually("nothing of it runs", || {
        (!house.processes().iter().any(|(_, words)| words.contains("costly.go"))).then_some(())
    });
    house.ok(["kill", "costly"]);
    assert_eq!(house.listed("costly")["state"], "killed");
}
