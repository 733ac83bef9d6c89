//! Something else where a file of tasks or mail was: a FIFO, a directory, a link, garbage. Nothing hangs or dies of it, nothing is
//! written through a link, what is not meant is not affected, and when the copies are made again all is as it was.

use crate::house::{Done, House};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What may lie there.
const PLANTS: [&str; 5] = ["fifo", "directory", "link", "link to a directory", "garbage"];

/// A house with two tasks and mail for two, and what no verb may write to.
struct World {
    house: House,
    victim: String,
    precious: PathBuf,
    outside: PathBuf,
}

impl World {
    fn new() -> Self {
        let house = House::new();
        house.ok(["run", "--agent-cli", "sh", "--name", "other", "true"]);
        let victim = house.ok(["task", "create", "--priority", "1", "victim"]).trim().to_owned();
        house.ok(["msg", "send", "other", "for the other"]);
        let (precious, outside) = (house.path("precious"), house.path("outside"));
        fs::write(&precious, "mine").unwrap();
        fs::create_dir(&outside).unwrap();
        Self { house, victim, precious, outside }
    }

    /// The directory of the project in the state directory, or below the root.
    fn project(&self, below: &str) -> PathBuf {
        let dirs = fs::read_dir(self.house.path(below)).unwrap().flatten().map(|entry| entry.path());
        dirs.filter(|path| path.join("tasks").exists()).last().unwrap()
    }

    fn plant(&self, path: &Path, plant: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match plant {
            "fifo" => assert!(Command::new("mkfifo").arg(path).status().unwrap().success()),
            "directory" => fs::create_dir_all(path.join("inside")).unwrap(),
            "link" => symlink(&self.precious, path).unwrap(),
            "link to a directory" => symlink(&self.outside, path).unwrap(),
            _ => fs::write(path, "what?\n\0\u{1}\n").unwrap(),
        }
    }

    fn call(&self, words: &[&str]) -> Done {
        let done = self.house.orch(words).run();
        let known = [0, 1, 3, 6, 7, 8].contains(&done.code);
        assert!(known && !done.stderr.contains("bug"), "{words:?}: {done}");
        assert!([0, 1, 3, 7].contains(&done.code) || done.stderr.contains("error: "), "{words:?}: {done}");
        done
    }

    fn nothing_went_out(&self, what: &str) {
        assert_eq!(fs::read_to_string(&self.precious).unwrap(), "mine", "{what}");
        assert_eq!(fs::read_dir(&self.outside).unwrap().count(), 0, "{what}");
    }
}

fn remove(path: &Path) {
    if path.is_dir() && !path.is_symlink() {
        fs::remove_dir_all(path).unwrap();
    } else if path.symlink_metadata().is_ok() {
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn in_place_of_a_journal_it_hurts_nobody_else() {
    let world = World::new();
    let state = world.project("home/.local/state/ai_orch");
    for journal in [state.join("tasks").join(&world.victim), state.join("mail/other")] {
        let aside = state.join("aside");
        for plant in PLANTS {
            let what = format!("{} {plant}", journal.display());
            fs::rename(&journal, &aside).unwrap();
            world.plant(&journal, plant);
            for words in [&["task", "show", &world.victim][..], &["msg", "read", "other", "--peek"]] {
                drop(world.call(words));
            }
            let list = world.call(&["task", "list"]);
            assert!([0, 3].contains(&list.code), "{what}: {list}");
            // Everything else goes its way.
            let task = world.house.ok(["task", "create", "another"]).trim().to_owned();
            let claimed = world.house.ok(["task", "claim", "--json"]);
            assert!(claimed.contains(&task), "{what}: {claimed}");
            world.house.ok(["task", "complete", &task]);
            world.house.ok(["msg", "send", "user", "hello"]);
            assert!(world.house.ok(["msg", "read"]).contains("hello"), "{what}");
            world.house.ok(["events"]);
            world.nothing_went_out(&what);
            remove(&journal);
            fs::rename(&aside, &journal).unwrap();
        }
    }
}

#[test]
fn in_place_of_a_copy_it_is_said_or_passed_over_and_mended_with_the_root() {
    let world = World::new();
    let copies = world.project("root");
    let names = [
        "tasks",
        "ready",
        "waiting",
        "claimed",
        "claimed/user",
        "leases",
        "REAPED",
        "mail",
        "mail/user",
        "feed",
    ];
    for name in names {
        for plant in PLANTS {
            let what = format!("{name} {plant}");
            let path = copies.join(name);
            remove(&path);
            world.plant(&path, plant);
            for words in [
                &["task", "create", "--priority", "0", "more"][..],
                &["task", "claim", &world.victim],
                &["task", "release", &world.victim],
                &["task", "list"],
                &["msg", "send", "user", "hello"],
                &["msg", "read"],
                &["events"],
            ] {
                drop(world.call(words));
            }
            // Below the root only we plant; a directory that is a link there is followed, as elsewhere in a path.
            fs::remove_dir_all(&world.outside).unwrap();
            fs::create_dir(&world.outside).unwrap();
            world.nothing_went_out(&what);
            fs::remove_dir_all(world.house.path("root")).unwrap();
            // Whatever came of it: the journals are whole.
            let claimed = world.house.orch(["task", "claim", &world.victim]).run();
            assert!(claimed.code == 0, "{what}: {claimed}");
            world.house.ok(["task", "release", &world.victim]);
            world.house.ok(["msg", "read"]);
        }
    }
}

#[test]
fn in_place_of_a_lock_it_is_said() {
    let world = World::new();
    let lock = world.project("home/.local/state/ai_orch").join("copies.lock");
    for plant in PLANTS {
        remove(&lock);
        world.plant(&lock, plant);
        fs::remove_dir_all(world.house.path("root")).unwrap();
        let done = world.call(&["task", "list"]);
        if plant == "garbage" {
            assert_eq!(done.code, 0, "what is in a lock does not matter: {done}");
        } else {
            assert_eq!(done.code, 6, "{plant}: {done}");
            assert!(done.stderr.contains("copies.lock"), "{plant}: {done}");
        }
        world.nothing_went_out(plant);
        remove(&lock);
        world.house.ok(["task", "list"]);
    }
}
