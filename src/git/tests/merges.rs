//! Moving a checkout on, cut off in the middle.

use super::super::merge::{Moved, Step, move_checkout, take_move_back};
use super::super::{CommitId, Repository};
use super::House;
use std::fs;

/// A house, the commits before and after, and a checkout at the first of them as a git leaves it that was killed: one file is
/// new, one the beginning of what it is to be, one of the old ones as well.
fn half_way() -> (House, CommitId, CommitId) {
    let house = House::new();
    let repo = house.repo();
    let from = house.tip("main");
    let longer = "a longer text than before\n".repeat(200);
    fs::write(repo.join("a.txt"), &longer).unwrap();
    for name in ["new", "half"] {
        fs::write(repo.join(name), format!("all of {name}\n")).unwrap();
    }
    house.run(&repo, &["add", "-A"]);
    house.run(&repo, &["commit", "-q", "-m", "after"]);
    let to = house.tip("main");
    house.run(&repo, &["reset", "-q", "--hard", from.as_str()]);
    // As much as goes into a page.
    fs::write(repo.join("a.txt"), &longer[..4096]).unwrap();
    fs::write(repo.join("new"), "all of new\n").unwrap();
    fs::write(repo.join("half"), "").unwrap();
    fs::write(repo.join("dir/b.txt"), "the user\'s\n").unwrap();
    (house, from, to)
}

#[test]
fn files_that_a_killed_git_had_begun_are_written_whole() {
    let (house, from, to) = half_way();
    let checkout = Repository::require(&house.env(), &house.repo()).unwrap();
    let first = move_checkout(&checkout, "main", Step { run: "r", from: &from, to: &to }, false).unwrap();
    assert!(
        matches!(first, Moved::InTheWay(_)),
        "whoever did not see it cut off believes nothing: {first:?}"
    );
    assert_eq!(
        move_checkout(&checkout, "main", Step { run: "r", from: &from, to: &to }, true).unwrap(),
        Moved::Done
    );
    assert_eq!(house.tip("main"), to);
    assert_eq!(house.run(&house.repo(), &["status", "--porcelain"]), " M dir/b.txt");
    assert_eq!(fs::read_to_string(house.repo().join("half")).unwrap(), "all of half\n");
}

#[test]
fn a_move_that_is_taken_back_leaves_what_was_there() {
    let (house, from, to) = half_way();
    let checkout = Repository::require(&house.env(), &house.repo()).unwrap();
    assert_eq!(take_move_back(&checkout, Step { run: "r", from: &from, to: &to }).unwrap(), Moved::Done);
    assert_eq!(house.tip("main"), from);
    assert_eq!(house.run(&house.repo(), &["status", "--porcelain"]), " M dir/b.txt");
    assert_eq!(fs::read_to_string(house.repo().join("a.txt")).unwrap(), "one\ntwo\nthree\n");
    assert!(!house.repo().join("new").exists() && !house.repo().join("half").exists());
}

#[test]
fn what_is_no_beginning_of_it_is_the_users() {
    let (house, from, to) = half_way();
    fs::write(house.repo().join("half"), "PRECIOUS\n").unwrap();
    let checkout = Repository::require(&house.env(), &house.repo()).unwrap();
    let moved = move_checkout(&checkout, "main", Step { run: "r", from: &from, to: &to }, true).unwrap();
    assert!(matches!(&moved, Moved::InTheWay(why) if why.contains("half")), "{moved:?}");
    assert_eq!(house.tip("main"), from);
    assert_eq!(fs::read_to_string(house.repo().join("half")).unwrap(), "PRECIOUS\n");
}
