//! Files of ours that are not what we wrote: every one of them, in every way. No verb panics, hangs or believes them, no
//! other agent suffers, and what has to be got past is put aside, never removed.

use crate::house::{Done, House, eventually};
use crate::versions::records;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What somebody puts in the place of a file.
const DAMAGES: [&str; 7] = ["garbage", "empty", "gone", "directory", "link", "fifo", "huge"];

/// Puts `damage` in the place of `path`.
fn damage(path: &Path, damage: &str) {
    if path.is_dir() && !path.is_symlink() {
        fs::remove_dir_all(path).unwrap();
    } else {
        fs::remove_file(path).ok();
    }
    match damage {
        "garbage" => fs::write(path, b"\x00\xff garbage {\nmore\n\n").unwrap(),
        "empty" => fs::write(path, "").unwrap(),
        "gone" => {}
        "directory" => {
            fs::create_dir(path).unwrap();
            fs::write(path.join("precious"), "mine").unwrap();
        }
        "link" => {
            let target = path.with_file_name("linked-to");
            fs::write(&target, "precious").unwrap();
            symlink(target, path).unwrap();
        }
        "fifo" => assert!(Command::new("mkfifo").arg(path).status().unwrap().success()),
        "huge" => fs::File::create(path).unwrap().set_len(200 << 20).unwrap(),
        other => panic!("{other}"),
    }
}

/// Every verb says something, with a known exit code; no verb shows a panic.
fn sane(done: &Done) {
    assert!([0, 1, 6, 7, 8].contains(&done.code), "{done}");
    assert!(!done.stderr.contains("bug"), "{done}");
    assert!([0, 1, 7].contains(&done.code) || done.stderr.starts_with("error: "), "{done}");
}

/// Looks at everything; the other agent is not affected.
fn looks(house: &House, name: &str) -> Value {
    for words in
        [&["show", name][..], &["logs", name], &["logs", "--raw", name], &["diff", name], &["doctor"]]
    {
        sane(&house.orch(words).run());
    }
    sane(&house.orch(["wait", name, "--timeout", "1s"]).run());
    assert_eq!(house.listed("fine")["state"], "done");
    house.ok(["show", "fine"]);
    let list: Value = serde_json::from_str(&house.ok(["list", "--json"])).unwrap();
    list["agents"].as_array().unwrap().iter().find(|a| a["session"] == name).cloned().unwrap_or(Value::Null)
}

/// A house with one agent at its end and one at work, whose process writes its pid.
fn two() -> (House, PathBuf) {
    let house = House::new();
    house.ok(["run", "--agent-cli", "sh", "--name", "fine", "echo work > work.txt"]);
    let record = works(&house, "hurt");
    (house, record)
}

fn works(house: &House, name: &str) -> PathBuf {
    let pid = house.path(format!("{name}.pid"));
    fs::remove_file(&pid).ok();
    house.start([
        "--agent-cli",
        "sh",
        "--name",
        name,
        &format!("echo w > work.txt; echo $$ > '{0}.t'; mv '{0}.t' '{0}'; exec sleep 1000", pid.display()),
    ]);
    eventually("it works", || pid.exists().then_some(()));
    house.record(name)
}

fn runs(house: &House, name: &str) -> bool {
    let pid = fs::read_to_string(house.path(format!("{name}.pid"))).unwrap();
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z")
}

/// What was damaged is not removed.
fn kept(path: &Path, damage: &str) {
    let here_or_aside = |check: &dyn Fn(&Path) -> bool| {
        let dir = path.parent().unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        fs::read_dir(dir)
            .unwrap()
            .flatten()
            .filter(|e| e.file_name().to_str().unwrap().starts_with(name))
            .any(|e| check(&e.path()))
    };
    match damage {
        "directory" => assert!(here_or_aside(&|p| p.join("precious").exists()), "{}", path.display()),
        "link" => {
            assert_eq!(fs::read_to_string(path.with_file_name("linked-to")).unwrap(), "precious");
        }
        _ => {}
    }
}

#[test]
fn whatever_is_done_to_a_journal_its_agent_is_stopped_and_the_journal_put_aside() {
    let house = House::new();
    house.ok(["run", "--agent-cli", "sh", "--name", "fine", "echo work > work.txt"]);
    for how in DAMAGES {
        let name = format!("hurt-{how}");
        let record = works(&house, &name);
        let before = fs::read(record.join("journal")).unwrap();
        let worktree = PathBuf::from(house.listed(&name)["worktree"].as_str().unwrap());
        damage(&record.join("journal"), how);
        let listed = looks(&house, &name);
        // Its keeper lives, and what it posts is as good as ever.
        assert_eq!(listed["state"], "working", "{how}: {listed}");
        assert!(!record.join("journal.damaged-1").exists(), "{how}: who looks changes nothing");
        let kill = house.orch(["kill", &name]).run();
        assert_eq!(kill.code, 0, "{how}: {kill}");
        assert!(!runs(&house, &name), "{how}");
        assert!(kill.stderr.contains("damaged"), "{how}: {kill}");
        if how != "gone" {
            let aside = record.join("journal.damaged-1");
            assert!(kill.stderr.contains(aside.to_str().unwrap()), "it is said where: {how}: {kill}");
            assert!(aside.symlink_metadata().is_ok(), "{how}: {kill}");
        }
        kept(&record.join("journal"), how);
        let listed = looks(&house, &name);
        assert_eq!(listed["state"], "killed", "{how}: {listed}");
        assert_eq!(listed["remarks"][0]["what"], "damaged", "{how}: {listed}");
        assert_eq!(listed["branch"], format!("ai_orch/{name}"), "the board still knew: {listed}");
        assert!(records(&record).len() >= 3, "it is a journal again");
        assert_eq!(fs::read_to_string(worktree.join("work.txt")).unwrap(), "w\n", "its work stays");
        assert_ne!(fs::read(record.join("journal")).unwrap(), before);
        // Once is enough.
        let again = house.orch(["kill", &name]).run();
        assert_eq!(again.code, 0, "{again}");
        assert!(!record.join("journal.damaged-2").exists());
    }
    let all = house.orch(["kill", "--all"]).run();
    assert!(all.stdout.contains("No agent is running"), "{all}");
}

#[test]
fn a_journal_cut_anywhere_says_what_it_says_and_its_agent_can_be_killed() {
    let (house, record) = two();
    let whole = fs::read(record.join("journal")).unwrap();
    // The keeper is gone for certain, so that only the journal speaks.
    let keeper =
        records(&record).iter().find(|r| r["entry"] == "started").unwrap()["keeper"]["pid"].to_string();
    assert!(Command::new("kill").args(["-9", &keeper]).status().unwrap().success());
    house.tmux(&["kill-server"]);
    eventually("nothing runs", || house.processes().is_empty().then_some(()));
    fs::remove_file(
        house
            .path("root")
            .join(house.listed("hurt")["project"].as_str().unwrap())
            .join("agents/hurt/state.json"),
    )
    .unwrap();
    let ends: Vec<usize> =
        whole.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i + 1).collect();
    let mut cuts: Vec<usize> = ends.iter().flat_map(|end| [*end, end - 1, end - 20]).collect();
    cuts.extend([0, 1, 9, 10]);
    for cut in cuts {
        fs::write(record.join("journal"), &whole[..cut]).unwrap();
        for aside in ["journal.damaged-1", "stop"] {
            fs::remove_file(record.join(aside)).ok();
        }
        let list = house.ok(["list", "--json"]);
        let list: Value = serde_json::from_str(&list).unwrap();
        let hurt = list["agents"].as_array().unwrap().iter().find(|a| a["session"] == "hurt").unwrap();
        let state = hurt["state"].as_str().unwrap();
        // Before the first line is whole there is no agent to tell of; afterwards there is, as far as it got.
        assert_eq!(state, if cut < ends[0] { "unknown" } else { "interrupted" }, "{cut}: {hurt}");
        let kill = house.orch(["kill", "hurt"]).run();
        assert_eq!(kill.code, 0, "{cut}: {kill}");
        assert_eq!(house.listed("hurt")["state"], "killed", "{cut}");
        assert_eq!(
            record.join("journal.damaged-1").exists(),
            cut < ends[0],
            "a torn end is no damage: {cut}"
        );
    }
    // A line in the middle that is not what was written.
    for (n, end) in ends[..ends.len() - 1].iter().enumerate() {
        let mut hurt = whole.clone();
        hurt[end - 3] ^= 1;
        fs::write(record.join("journal"), hurt).unwrap();
        for aside in ["journal.damaged-1", "stop"] {
            fs::remove_file(record.join(aside)).ok();
        }
        let listed = house.listed("hurt");
        assert_eq!(listed["state"], "unknown", "{listed}");
        let why = listed["remarks"][0]["why"].as_str().unwrap();
        assert!(why.contains(&format!("journal is damaged at line {}", n + 1)), "{why}");
        assert!(!record.join("journal.damaged-1").exists());
        let kill = house.orch(["kill", "hurt"]).run();
        assert_eq!(kill.code, 0, "{kill}");
        let listed = house.listed("hurt");
        assert_eq!(listed["state"], "killed", "{listed}");
        assert_eq!(listed["remarks"][0]["what"], "damaged", "{listed}");
        let attempts = listed["attempts"].as_array().unwrap().len();
        assert_eq!(
            attempts,
            usize::from(
                !String::from_utf8_lossy(&whole[..*end]).lines().last().unwrap().contains("attempt_started")
            ),
            "what can be believed is kept: {listed}"
        );
    }
}

#[test]
fn whatever_lies_beside_a_journal_hurts_nobody() {
    for how in DAMAGES {
        let (house, record) = two();
        for name in [
            "task",
            "context",
            "env",
            "git-config",
            "stop",
            "keeper.log",
            "attempts/1/events",
            "attempts/1/stdout",
            "attempts/1/stderr",
            "attempts/1/prompt",
        ] {
            damage(&record.join(name), how);
        }
        looks(&house, "hurt");
        let kill = house.orch(["kill", "hurt"]).run();
        assert_eq!(kill.code, 0, "{how}: {kill}");
        assert!(!runs(&house, "hurt"), "{how}");
        assert_eq!(looks(&house, "hurt")["state"], "killed", "{how}");
        for name in ["task", "env", "stop", "attempts/1/events"] {
            kept(&record.join(name), how);
        }
    }
}

#[test]
fn without_its_lock_a_keeper_is_still_found_and_stopped() {
    for how in DAMAGES {
        let (house, record) = two();
        let keeper =
            records(&record).iter().find(|r| r["entry"] == "started").unwrap()["keeper"]["pid"].to_string();
        damage(&record.join("keeper.lock"), how);
        looks(&house, "hurt");
        let kill = house.orch(["kill", "hurt"]).run();
        assert_eq!(kill.code, 0, "{how}: {kill}");
        assert!(!runs(&house, "hurt"), "{how}");
        let words = fs::read_to_string(format!("/proc/{keeper}/cmdline")).unwrap_or_default();
        assert!(!words.contains("__keep"), "{how}: its keeper lives: {words}");
        assert_eq!(looks(&house, "hurt")["state"], "killed", "{how}");
        kept(&record.join("keeper.lock"), how);
    }
}

#[test]
fn without_lock_and_journal_nothing_goes_on_either() {
    let (house, record) = two();
    damage(&record.join("keeper.lock"), "gone");
    damage(&record.join("journal"), "garbage");
    let kill = house.orch(["kill", "hurt"]).run();
    assert_eq!(kill.code, 0, "{kill}");
    eventually("nothing runs", || house.processes().is_empty().then_some(()));
    assert_eq!(looks(&house, "hurt")["state"], "killed");
}

#[test]
fn what_is_under_the_root_is_a_copy() {
    for how in DAMAGES {
        let (house, _record) = two();
        let project = house.listed("hurt")["project"].as_str().unwrap().to_owned();
        let board = house.path("root").join(project).join("agents/hurt/state.json");
        for path in [&board, &house.path("root/VERSION"), &house.path("root/tmux.conf")] {
            damage(path, how);
        }
        assert_eq!(looks(&house, "hurt")["state"], "working", "{how}");
        let run = house.orch(["run", "--agent-cli", "sh", "--name", "next", "true"]).run();
        if how == "directory" {
            // Whoever made it has the last word: nothing of it is removed, and nothing is made.
            assert_eq!(run.code, 6, "{run}");
            assert!(run.stderr.contains("VERSION"), "{run}");
            assert_eq!(house.git(&["branch", "--list", "ai_orch/next"]), "");
        } else {
            assert_eq!(run.code, 0, "{how}: {run}");
            assert_eq!(fs::read_to_string(house.path("root/VERSION")).unwrap(), "1\n", "{how}");
            assert!(fs::read_to_string(house.path("root/tmux.conf")).unwrap().contains("set"), "{how}");
        }
        house.ok(["kill", "hurt"]);
        assert_eq!(looks(&house, "hurt")["state"], "killed", "{how}");
        for path in [&board, &house.path("root/VERSION"), &house.path("root/tmux.conf")] {
            kept(path, how);
        }
    }
}

#[test]
fn what_lies_in_the_state_directory_hurts_nobody() {
    let (house, record) = two();
    let state = record.ancestors().nth(3).unwrap();
    let files =
        [state.join("tmux-server"), state.join("tmux.lock"), record.ancestors().nth(2).unwrap().join("lock")];
    for (round, how) in DAMAGES.into_iter().enumerate() {
        for (n, path) in files.iter().enumerate() {
            let (what, name) = (format!("{how} {}", path.display()), format!("next-{round}-{n}"));
            damage(path, how);
            assert_eq!(house.listed("hurt")["state"], "working", "{what}");
            assert_eq!(house.listed("fine")["state"], "done", "{what}");
            sane(&house.orch(["show", "hurt"]).run());
            let run = house.orch(["run", "--agent-cli", "sh", "--name", &name, "true"]).run();
            sane(&run);
            let in_the_way = ["directory", "link", "fifo"].contains(&how) && n > 0;
            assert_eq!(run.code, if in_the_way { 6 } else { 0 }, "{what}: {run}");
            if in_the_way {
                assert!(run.stderr.contains(path.to_str().unwrap()), "it is named: {what}: {run}");
                assert_eq!(house.git(&["branch", "--list", &format!("ai_orch/{name}")]), "", "{what}");
                assert!(!state.join("names").join(name).is_symlink(), "{what}");
            }
            kept(path, how);
            // The keeper of an agent that has ended takes the lock of tmux once more before it goes, and makes its file.
            eventually("only the keeper of hurt lives", || {
                let keepers = house
                    .processes()
                    .into_iter()
                    .filter(|(_, words)| words.contains(" __keep ") && !words.starts_with("tmux"));
                (keepers.count() == 1).then_some(())
            });
            damage(path, "gone");
        }
    }
    // A lock in the way is said, and stops no kill.
    for path in &files {
        damage(path, "directory");
    }
    let kill = house.orch(["kill", "hurt"]).run();
    sane(&kill);
    assert!(!runs(&house, "hurt"), "{kill}");
    assert_eq!(house.listed("hurt")["state"], "killed", "{kill}");
    for path in &files {
        kept(path, "directory");
        damage(path, "gone");
    }
    house.ok(["kill", "hurt"]);
}

#[test]
fn what_is_not_ours_in_our_directories_is_left_alone() {
    let (house, record) = two();
    let state = record.ancestors().nth(3).unwrap().to_owned();
    let worktrees = house.path("home/.local/share/ai_orch/worktrees");
    let foreign: Vec<PathBuf> = [
        state.join("names/README"),
        state.join("names/notes"),
        state.join("notes"),
        record.with_file_name("notes.txt"),
        record.join("notes.txt"),
        house.path("root/notes.txt"),
        worktrees.join("notes.txt"),
    ]
    .into();
    for path in &foreign {
        fs::write(path, "mine").unwrap();
    }
    symlink("/nowhere/at/all", state.join("names/elsewhere")).unwrap();
    fs::create_dir(state.join("names/place")).unwrap();
    let list: Value = serde_json::from_str(&house.ok(["list", "--json"])).unwrap();
    assert_eq!(list["agents"].as_array().unwrap().len(), 2, "{list}");
    let doctor = house.ok(["doctor"]);
    assert!(doctor.contains("names/notes is not ours") && !doctor.contains("README"), "{doctor}");
    // A name that something else has is taken.
    for name in ["notes", "elsewhere", "place"] {
        assert_eq!(house.orch(["kill", name]).run().code, 8);
        let session = house.start(["--agent-cli", "sh", "--name", name, "true"]);
        assert_eq!(session, format!("{name}-2"));
        house.ok(["wait", &session]);
    }
    // So is a place for a worktree.
    let project = record.ancestors().nth(2).unwrap().file_name().unwrap().to_owned();
    let taken = worktrees.join(project).join("taken");
    fs::create_dir_all(&taken).unwrap();
    fs::write(taken.join("precious"), "mine").unwrap();
    assert_eq!(house.start(["--agent-cli", "sh", "--name", "taken", "true"]), "taken-2");
    house.ok(["wait", "taken-2"]);
    house.ok(["kill", "--all"]);
    for path in foreign.iter().chain([&taken.join("precious")]) {
        assert_eq!(fs::read_to_string(path).unwrap(), "mine", "{}", path.display());
    }
}

#[test]
fn a_directory_that_is_a_file_is_not_an_empty_one() {
    let (house, record) = two();
    let state = record.ancestors().nth(3).unwrap().to_owned();
    fs::rename(state.join("names"), state.join("aside")).unwrap();
    fs::write(state.join("names"), "mine").unwrap();
    for words in [&["list"][..], &["kill", "--all"], &["run", "--agent-cli", "sh", "true"], &["doctor"]] {
        let done = house.orch(words).run();
        assert_eq!(done.code, 6, "{words:?}: {done}");
        let said = format!("{}{}", done.stdout, done.stderr);
        assert!(said.contains("names"), "{words:?}: {done}");
    }
    fs::remove_file(state.join("names")).unwrap();
    fs::rename(state.join("aside"), state.join("names")).unwrap();
    assert_eq!(house.git(&["branch", "--list", "ai_orch/*"]).lines().count(), 2);
}

#[test]
fn a_keeper_says_which_of_its_files_is_not_what_it_was() {
    for (name, how) in [
        ("task", "gone"),
        ("task", "fifo"),
        ("task", "directory"),
        ("git-config", "garbage"),
        ("git-config", "fifo"),
    ] {
        let house = House::new();
        let go = house.path("go");
        // The first of the chain fails when the file is damaged; the second needs it.
        let task = format!(
            "echo w > w; while [ ! -e '{}' ]; do sleep 0.02; done; [ \"$AI_ORCH_ATTEMPT\" = 2 ]",
            go.display()
        );
        let ends = if name == "task" { task } else { task.replace("[ \"$AI_ORCH_ATTEMPT\" = 2 ]", "true") };
        house.start(["--agent-cli", "sh,sh", "--name", "hurt", &ends]);
        let record = house.record("hurt");
        eventually("it works", || (house.listed("hurt")["state"] == "working").then_some(()));
        damage(&record.join(name), how);
        fs::write(&go, "").unwrap();
        let wait = house.orch(["wait", "hurt"]).run();
        assert_eq!(wait.code, 1, "{name} {how}: {wait}");
        let listed = house.listed("hurt");
        assert_ne!(listed["state"], "done", "{name} {how}: {listed}");
        let why = listed["failure"]["message"].as_str().unwrap();
        assert!(why.contains(record.join(name).to_str().unwrap()), "it is named: {name} {how}: {listed}");
        house.ok(["kill", "hurt"]);
    }
}
