//! Taking worktrees away, step by step, each step twice.

use super::super::Worktree;
use super::super::remove::{self, BranchFate, KeptBecause};
use super::House;
use std::os::unix::fs::PermissionsExt;

fn fate(house: &House, tree: &Worktree, merged_into: &[&str]) -> BranchFate {
    let (env, common, base) = (house.env(), &tree.common_dir, house.tip("main"));
    let merged = remove::Merged { into: merged_into, ours: "ai_orch/", squashed: false };
    let ask = || remove::fate(&env, common, &tree.branch, &base, merged, None).unwrap();
    let before = ask();
    assert_eq!(before, ask(), "asking changes nothing");
    let done = remove::branch(&env, common, &tree.branch, &base, merged).unwrap();
    assert_eq!(before, done, "what is done is what was said");
    done
}

fn take_away(house: &House, tree: &Worktree) {
    let trash = house.path("trash").join(tree.path.file_name().unwrap());
    std::fs::create_dir_all(trash.parent().unwrap()).unwrap();
    assert!(remove::move_aside(tree, &trash).unwrap());
    assert!(!remove::move_aside(tree, &trash).unwrap());
    remove::admin(tree).unwrap();
    remove::admin(tree).unwrap();
    remove::tree(&trash).unwrap();
    remove::tree(&trash).unwrap();
}

#[test]
fn nothing_is_left() {
    let house = House::new();
    house.run(&house.repo(), &["pack-refs", "--all"]);
    let before = house.users_state();
    let tree = house.worktree("x");
    house.run(&tree.path, &["worktree", "lock", "."]);
    take_away(&house, &tree);
    assert_eq!(fate(&house, &tree, &[]), BranchFate::Deleted { tip: house.tip("main") });
    assert_eq!(fate(&house, &tree, &[]), BranchFate::Gone);
    assert!(!house.repo().join(".git/worktrees").exists());
    assert!(!house.repo().join(".git/logs/refs/heads/ai_orch/x").exists());
    assert_eq!(house.users_state(), before);
}

#[test]
fn only_the_real_thing_is_moved() {
    let house = House::new();
    let (one, two) = (house.worktree("one"), house.worktree("two"));
    let to = house.path("to");
    std::fs::create_dir(&to).unwrap();
    assert_eq!(remove::move_aside(&one, &to).unwrap_err().code(), "path_taken");
    std::fs::remove_dir(&to).unwrap();
    std::fs::remove_dir_all(&one.path).unwrap();
    std::os::unix::fs::symlink(&two.path, &one.path).unwrap();
    assert_eq!(remove::move_aside(&one, &to).unwrap_err().code(), "not_our_worktree");
    assert!(two.path.join("a.txt").exists());
}

#[test]
fn only_its_own_entry_is_removed() {
    let house = House::new();
    let (one, two) = (house.worktree("one"), house.worktree("two"));
    let wrong = Worktree { admin_dir: two.admin_dir.clone(), ..one.clone() };
    assert_eq!(remove::admin(&wrong).unwrap_err().code(), "not_our_worktree");
    for admin_dir in [house.repo(), house.repo().join(".git"), house.repo().join(".git/worktrees/one/refs")] {
        let wrong = Worktree { admin_dir, ..one.clone() };
        assert_eq!(remove::admin(&wrong).unwrap_err().code(), "not_our_worktree");
    }
    std::fs::remove_file(one.admin_dir.join("gitdir")).unwrap();
    std::fs::write(one.admin_dir.join("locked"), "initializing\n").unwrap();
    remove::admin(&one).unwrap();
    assert!(!one.admin_dir.exists());
    assert!(two.admin_dir.exists());
    std::fs::write(two.admin_dir.join("gitdir"), "").unwrap();
    remove::admin(&two).unwrap();
    assert!(!house.repo().join(".git/worktrees").exists());
}

#[test]
fn a_branch_stays_unless_something_else_holds_it() {
    for init in [&[][..], &["--ref-format=reftable"]] {
        let house = House::empty(init).with_first_commit();
        let tree = house.worktree("x");
        let other = house.worktree("other");
        for n in 0..2 {
            house.run(&tree.path, &["commit", "-q", "--allow-empty", "-m", &n.to_string()]);
        }
        let tip = house.tip("ai_orch/x");
        let BranchFate::Kept { why: KeptBecause::CheckedOut { at }, .. } = fate(&house, &tree, &[]) else {
            panic!()
        };
        assert_eq!(at, std::slice::from_ref(&tree.path));
        take_away(&house, &tree);
        let kept = BranchFate::Kept { tip: tip.clone(), why: KeptBecause::NotMerged { commits: 2 } };
        // Neither another agent's branch, nor one that leads to it, nor a name that is not there.
        house.run(&other.path, &["reset", "-q", "--hard", tip.as_str()]);
        house.run(&house.repo(), &["symbolic-ref", "refs/heads/alias", "refs/heads/ai_orch/x"]);
        assert_eq!(fate(&house, &tree, &["refs/heads/none", "main", "--all"]), kept);
        let deleted = BranchFate::Deleted { tip: tip.clone() };
        let again = || house.run(&house.repo(), &["update-ref", "refs/heads/ai_orch/x", tip.as_str()]);
        for holder in ["refs/heads/users", "refs/remotes/origin/main"] {
            house.run(&house.repo(), &["update-ref", holder, tip.as_str()]);
            house.run(&house.repo(), &["pack-refs", "--all"]);
            assert_eq!(fate(&house, &tree, &[]), deleted, "{holder}");
            house.run(&house.repo(), &["update-ref", "-d", holder]);
            again();
        }
        house.run(&house.repo(), &["update-ref", "refs/tags/kept", tip.as_str()]);
        assert_eq!(fate(&house, &tree, &["refs/tags/kept"]), deleted);
        again();
        assert_eq!(fate(&house, &tree, &[tip.as_str()]), deleted);
        assert_eq!(fate(&house, &tree, &[]), BranchFate::Gone);
    }
}

#[test]
fn a_tree_goes_whatever_was_done_to_it() {
    let house = House::new();
    let root = house.path("tree");
    let outside = house.path("outside");
    std::fs::create_dir_all(root.join("closed/in")).unwrap();
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("mine"), "m").unwrap();
    std::fs::write(root.join("closed/in/file"), "f").unwrap();
    std::os::unix::fs::symlink(&outside, root.join("closed/in/link")).unwrap();
    std::os::unix::fs::symlink(&outside, root.join("link")).unwrap();
    let mut deep = root.join("deep");
    for _ in 0..300 {
        std::fs::create_dir(&deep).unwrap();
        std::fs::write(deep.join("f"), "f").unwrap();
        deep.push("d");
    }
    for (dir, mode) in [("closed/in", 0o000), ("closed", 0o500), ("deep/d/d", 0o400), (".", 0o500)] {
        std::fs::set_permissions(root.join(dir), PermissionsExt::from_mode(mode)).unwrap();
    }
    remove::tree(&root).unwrap();
    assert!(!root.exists());
    assert!(outside.join("mine").exists());
    std::os::unix::fs::symlink(&outside, &root).unwrap();
    assert_eq!(remove::tree(&root).unwrap_err().code(), "git_disk");
    assert!(outside.join("mine").exists());
}
