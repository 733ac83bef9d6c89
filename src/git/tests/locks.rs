//! Locks that a killed git left, and those that a living one holds.

use super::super::{locks, refs};
use super::House;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A git of the user's in the middle of deleting a branch: it holds the lock of all packed refs and that of the branch.
fn deleting(house: &House, branch: &str) -> Child {
    let mut git = Command::new(&house.git)
        .env_clear()
        .envs(house.vars())
        .current_dir(house.repo())
        .args(["update-ref", "--stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let input = git.stdin.as_mut().unwrap();
    write!(input, "start\ndelete refs/heads/{branch}\nprepare\n").unwrap();
    let mut answers = BufReader::new(git.stdout.as_mut().unwrap()).lines();
    assert_eq!(answers.next().unwrap().unwrap(), "start: ok");
    assert_eq!(answers.next().unwrap().unwrap(), "prepare: ok");
    git
}

/// A repository with a ref of ours and a branch `old`, all packed.
fn packed() -> House {
    let house = House::new();
    refs::keep(&house.env(), &house.repo().join(".git"), "refs/ai_orch/x", &house.tip("HEAD")).unwrap();
    house.run(&house.repo(), &["branch", "old"]);
    house.run(&house.repo(), &["pack-refs", "--all"]);
    house
}

fn delete(house: &House) -> crate::git::Result<()> {
    refs::delete(&house.env(), &house.repo().join(".git"), "refs/ai_orch/x", &house.tip("main"))
}

#[test]
fn what_a_killed_git_left_is_in_nobodys_way() {
    let house = packed();
    let mut git = deleting(&house, "old");
    git.kill().unwrap();
    git.wait().unwrap();
    let common = house.repo().join(".git");
    assert!(common.join("packed-refs.lock").exists() && common.join("packed-refs.new").exists());
    delete(&house).unwrap();
    assert!(!common.join("packed-refs.lock").exists() && !common.join("packed-refs.new").exists());
    assert_eq!(house.run(&house.repo(), &["for-each-ref", "refs/ai_orch"]), "");
    house.run(&house.repo(), &["show-ref", "--verify", "refs/heads/old"]);
}

#[test]
fn what_a_git_holds_is_left_to_it() {
    let house = packed();
    let mut git = deleting(&house, "old");
    let lock = house.repo().join(".git/packed-refs.lock");
    assert!(!locks::settled(&lock, Duration::from_millis(100)).unwrap());
    assert!(lock.exists());
    // The one waits for the other, in whatever order they come.
    std::thread::scope(|scope| {
        let ours = scope.spawn(|| delete(&house));
        git.stdin.take().unwrap().write_all(b"commit\n").unwrap();
        ours.join().unwrap().unwrap();
    });
    assert!(git.wait().unwrap().success());
    assert_eq!(house.run(&house.repo(), &["for-each-ref", "--format=%(refname)"]), "refs/heads/main");
}

#[test]
fn what_somebody_has_open_is_left_to_them() {
    let house = packed();
    let lock = house.repo().join(".git/packed-refs.lock");
    let held = std::fs::File::create_new(&lock).unwrap();
    assert!(!locks::settled(&lock, Duration::from_mins(1)).unwrap());
    drop(held);
    assert!(locks::settled(&lock, Duration::from_mins(1)).unwrap());
    assert!(!lock.exists());
}
