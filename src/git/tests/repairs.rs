//! A `git worktree add` that was killed, at any moment, is finished or cleared away.

use super::super::{CommitId, Worktree, worktree};
use super::House;
use std::path::{Path, PathBuf};
use std::process::Command;

const BRANCH: &str = "ai_orch/x";

fn repair(house: &House) -> super::super::Result<Option<Worktree>> {
    let common = house.repo().join(".git");
    worktree::repair_add(&house.env(), &common, &house.path("trees/x"), BRANCH, Some(&house.tip("main")))
}

/// Repairs, adds if need be, and looks that it is a worktree like any other.
fn mended(house: &House) -> Worktree {
    let made = repair(house).unwrap().unwrap_or_else(|| {
        worktree::add(&house.repository(), &house.lock(), &house.path("trees/x"), BRANCH, &house.tip("main"))
            .unwrap()
    });
    worktree::fill(&house.env(), &made).unwrap();
    worktree::verify(&house.env(), &made).unwrap();
    assert_eq!(house.run(&made.path, &["status", "--porcelain"]), "");
    assert_eq!(house.run(&house.repo(), &["worktree", "list"]).lines().count(), 2);
    assert!(!house.run(&house.repo(), &["worktree", "list", "--porcelain"]).contains("locked"));
    assert_eq!(repair(house).unwrap().unwrap(), made);
    made
}

type Leave<'a> = &'a dyn Fn(&House);

fn old(path: &Path) {
    let then = std::time::SystemTime::now() - std::time::Duration::from_mins(1);
    std::fs::File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
}

#[test]
fn nothing_there_is_nothing_to_repair() {
    let house = House::new();
    let before = house.users_state();
    assert_eq!(repair(&house).unwrap(), None);
    assert_eq!(house.users_state(), before);
    mended(&house);
}

#[test]
fn leftovers_of_every_kind() {
    let admin = |house: &House| house.repo().join(".git/worktrees/x");
    let leave: [(&str, Leave<'_>); 9] = [
        ("branch only", &|house| {
            house.run(&house.repo(), &["branch", BRANCH]);
        }),
        ("empty entry", &|house| std::fs::create_dir_all(admin(house)).unwrap()),
        ("entry being made", &|house| {
            std::fs::create_dir_all(admin(house)).unwrap();
            std::fs::write(admin(house).join("locked"), "initializing\n").unwrap();
            std::fs::create_dir(house.path("trees/x")).unwrap();
        }),
        ("no .git file", &|house| {
            house.run(&house.repo(), &["branch", BRANCH]);
            std::fs::create_dir_all(admin(house)).unwrap();
            std::fs::write(admin(house).join("locked"), "initializing\n").unwrap();
            let to = format!("{}\n", house.path("trees/x/.git").display());
            std::fs::write(admin(house).join("gitdir"), to).unwrap();
        }),
        ("no HEAD", &|house| {
            let made = house.worktree("x");
            take_files(&made);
            std::fs::write(made.admin_dir.join("HEAD"), format!("{}\n", "0".repeat(40))).unwrap();
            std::fs::write(made.admin_dir.join("locked"), "initializing\n").unwrap();
        }),
        ("locks", &|house| {
            let made = house.worktree("x");
            std::fs::write(made.admin_dir.join("index.lock"), "").unwrap();
            std::fs::write(made.admin_dir.join("HEAD.lock"), "").unwrap();
            std::fs::write(made.admin_dir.join("locked"), "initializing\n").unwrap();
        }),
        ("lock of the branch", &|house| {
            let lock = house.repo().join(".git/refs/heads/ai_orch/x.lock");
            std::fs::create_dir_all(lock.parent().unwrap()).unwrap();
            std::fs::write(&lock, "").unwrap();
            old(&lock);
        }),
        ("entry of a worktree that is gone", &|house| {
            std::fs::remove_dir_all(house.worktree("x").path).unwrap();
        }),
        ("cut-off .git", &|house| {
            let made = house.worktree("x");
            take_files(&made);
            std::fs::write(made.path.join(".git"), "").unwrap();
        }),
    ];
    for (what, leave) in leave {
        let house = House::new();
        leave(&house);
        let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| mended(&house)));
        assert!(made.is_ok_and(|made| made.branch == BRANCH), "{what}");
    }
}

fn take_files(tree: &Worktree) {
    for entry in tree.path.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            std::fs::remove_dir_all(path).unwrap();
        } else if path.file_name().unwrap() != ".git" {
            std::fs::remove_file(path).unwrap();
        }
    }
}

#[test]
fn what_is_somebody_elses_stays() {
    let house = House::new();
    let path = house.path("trees/x");
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("foreign"), "f").unwrap();
    assert_eq!(repair(&house).unwrap_err().code(), "not_our_worktree");
    assert!(path.join("foreign").exists());
    std::fs::remove_dir_all(&path).unwrap();
    let other = house.worktree("y");
    std::os::unix::fs::symlink(&other.path, &path).unwrap();
    assert_eq!(repair(&house).unwrap_err().code(), "not_our_worktree");
    std::fs::remove_file(&path).unwrap();
    // A branch with work, a lock that somebody holds, and the entry of another worktree with a name like ours.
    let moved: CommitId = house.commit("more");
    house.run(&house.repo(), &["reset", "-q", "--hard", "HEAD~1"]);
    house.run(&house.repo(), &["branch", BRANCH, moved.as_str()]);
    let lock = house.repo().join(".git/refs/heads/ai_orch/x.lock");
    let _held = std::fs::File::create(&lock).unwrap();
    let user = house.path("elsewhere/x");
    house.run(&house.repo(), &["worktree", "add", "-q", "--detach", user.to_str().unwrap()]);
    assert_eq!(repair(&house).unwrap(), None);
    assert!(lock.exists() && house.repo().join(".git/worktrees/x").exists());
    assert_eq!(house.tip(BRANCH), moved);
    assert_eq!(house.run(&user, &["status", "--porcelain"]), "");
}

#[test]
fn a_git_killed_at_any_of_its_steps() {
    let Some(strace) = crate::tools::program::find_in_path("strace", &std::env::var_os("PATH").unwrap())
    else {
        return;
    };
    let mut killed = 0;
    for call in ["mkdir", "unlink", "rename", "openat", "write"] {
        for when in (1..200).step_by(if matches!(call, "openat" | "write") { 6 } else { 1 }) {
            let house = House::new();
            let path: PathBuf = house.path("trees/x");
            let mut command = Command::new(&strace);
            command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
            command.args(["-e", &format!("inject={call}:signal=KILL:when={when}")]);
            command.arg(super::git_program()).args(["worktree", "add", "-q", "--no-checkout", "-b", BRANCH]);
            command.arg(&path).arg("main").current_dir(house.repo()).env_clear().envs(house.vars());
            let out = command.output().unwrap();
            if String::from_utf8_lossy(&out.stderr).contains("ptrace") {
                return;
            }
            // As time passes; no test should wait for it.
            let lock = house.repo().join(".git/refs/heads/ai_orch/x.lock");
            if lock.exists() {
                old(&lock);
            }
            mended(&house);
            if out.status.success() {
                break;
            }
            killed += 1;
        }
    }
    assert!(killed > 10, "only {killed} were killed");
}
