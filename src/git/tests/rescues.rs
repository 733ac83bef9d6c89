//! What a rescue holds, and refs of ours.

use super::super::rescue;
use super::super::witness::Witness;
use super::House;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

const NAME: &str = "refs/ai_orch/rescue/x/1";

#[test]
fn ignored_entries_are_kept_if_they_are_small() {
    let house = House::new();
    let tree = house.worktree("x");
    std::fs::write(tree.path.join(".gitignore"), "*.log\nbuild/\nsmall/\nvendor/\nsecret\n").unwrap();
    for dir in ["build/deep", "small/deep", "vendor/repo/.git"] {
        std::fs::create_dir_all(tree.path.join(dir)).unwrap();
    }
    std::fs::write(tree.path.join("build/deep/big"), vec![7; 3000]).unwrap();
    std::fs::write(tree.path.join("build/little"), vec![7; 10]).unwrap();
    std::fs::write(tree.path.join("small/deep/file"), "s\n").unwrap();
    std::os::unix::fs::symlink("/etc", tree.path.join("small/etc")).unwrap();
    std::fs::write(tree.path.join("vendor/repo/file"), "v\n").unwrap();
    std::fs::write(tree.path.join("x.log"), "log\n").unwrap();
    std::fs::write(tree.path.join("secret"), "s\n").unwrap();
    let save = |max| rescue::save(&house.env(), &tree, &house.config(), NAME, "m", max).unwrap().unwrap();
    let saved = save(Some(1000));
    let paths: Vec<_> = saved.not_kept.iter().map(|(path, _)| path.clone()).collect();
    assert_eq!(paths, [PathBuf::from("build")]);
    assert_eq!(saved.left.unsaved, [PathBuf::from("vendor")], "small, and git cannot hold a repository");
    assert_eq!(saved.not_kept[0].1, 3010);
    let there = house.run(&house.repo(), &["ls-tree", "-r", "--name-only", saved.commit.as_str()]);
    for name in ["small/deep/file", "small/etc", "x.log", "secret"] {
        assert!(there.lines().any(|line| line == name), "{name} is missing in {there}");
    }
    assert!(!there.contains("build") && !there.contains("vendor"));
    // Without them it is something else.
    let without = save(None);
    assert_eq!(without.name, format!("{NAME}-2"));
    assert!(without.not_kept.is_empty());
    let there = house.run(&house.repo(), &["ls-tree", "-r", "--name-only", without.commit.as_str()]);
    assert!(!there.contains("small"));
}

#[test]
fn parents_say_what_they_are() {
    let house = House::new();
    let tree = house.worktree("x");
    std::fs::write(tree.path.join("a.txt"), "staged\n").unwrap();
    house.run(&tree.path, &["add", "a.txt"]);
    std::fs::write(tree.path.join("a.txt"), "edited\n").unwrap();
    std::fs::write(tree.path.join("new"), "n\n").unwrap();
    house.run(&tree.path, &["add", "-N", "new"]);
    rescue::save(&house.env(), &tree, &house.config(), NAME, "why\n\nbody", None).unwrap().unwrap();
    let show = |what: &str| house.run(&house.repo(), &["show", "-s", "--format=%s|%P", what]);
    let main = house.tip("main");
    assert_eq!(
        show(&format!("{NAME}^1")),
        format!("first|{}", house.run(&house.repo(), &["log", "-1", "--format=%P", "main"]))
    );
    assert_eq!(show(&format!("{NAME}^2")), format!("index|{main}"));
    assert_eq!(show(&format!("{NAME}^3")), format!("entries|{main}"));
    let message = house.run(&house.repo(), &["log", "-1", "--format=%B", NAME]);
    assert_eq!(message, "why\n\nbody\n\nRescue-Parents: head index entries");
    assert_eq!(house.run(&house.repo(), &["show", &format!("{NAME}^2:a.txt")]), "staged");
    assert_eq!(house.run(&house.repo(), &["show", &format!("{NAME}:a.txt")]), "edited");
    assert_eq!(
        house.run(&house.repo(), &["ls-tree", "-r", "--name-only", &format!("{NAME}^3")]),
        "intended/new"
    );
}

#[test]
fn refs_are_listed_kept_and_deleted() {
    for init in [&[][..], &["--ref-format=reftable"]] {
        let house = House::empty(init).with_first_commit();
        let (env, common) = (house.env(), house.repo().join(".git"));
        let (one, two) = (house.tip("HEAD"), house.commit("two"));
        assert!(rescue::list(&env, &common, "refs/ai_orch/rescue").unwrap().is_empty());
        rescue::keep(&env, &common, NAME, &one).unwrap();
        rescue::keep(&env, &common, NAME, &one).unwrap();
        assert_eq!(rescue::keep(&env, &common, NAME, &two).unwrap_err().code(), "ref_taken");
        assert_eq!(rescue::keep(&env, &common, "refs/heads/x", &two).unwrap_err().code(), "ref_taken");
        rescue::keep(&env, &common, "refs/ai_orch/rescue/xy/1", &two).unwrap();
        let all = rescue::list(&env, &common, "refs/ai_orch/rescue/").unwrap();
        assert_eq!(all.len(), 2);
        assert!(all.iter().all(|(_, _, seconds)| *seconds > 1_000_000_000));
        assert_eq!(rescue::list(&env, &common, "refs/ai_orch/rescue/x").unwrap()[0].0, NAME);
        house.run(&house.repo(), &["pack-refs", "--all"]);
        assert_eq!(rescue::delete(&env, &common, NAME, &two).unwrap_err().code(), "ref_taken");
        rescue::delete(&env, &common, NAME, &one).unwrap();
        rescue::delete(&env, &common, NAME, &one).unwrap();
        assert_eq!(rescue::delete(&env, &common, "refs/heads/main", &two).unwrap_err().code(), "ref_taken");
        assert_eq!(rescue::list(&env, &common, "refs/ai_orch").unwrap().len(), 1);
    }
}

#[test]
fn one_bad_ref_hides_no_other() {
    let house = House::new();
    let (env, common) = (house.env(), house.repo().join(".git"));
    rescue::keep(&env, &common, NAME, &house.tip("HEAD")).unwrap();
    std::fs::write(common.join("refs/ai_orch/rescue/x/2"), format!("{}\n", "1".repeat(40))).unwrap();
    let all = rescue::list(&env, &common, "refs/ai_orch/rescue").unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!(all[1].2, 0);
}

#[test]
fn without_commit_and_file_there_is_nothing_to_save() {
    let house = House::new();
    let tree = house.worktree("x");
    house.run(&tree.path, &["checkout", "-q", "--orphan", "fresh"]);
    house.run(&tree.path, &["rm", "-rfq", "."]);
    let save = || rescue::save(&house.env(), &tree, &house.config(), NAME, "m", Some(100)).unwrap();
    assert_eq!(save(), None);
    std::fs::write(tree.path.join("n"), "n").unwrap();
    assert!(save().is_some());
}

#[test]
fn the_size_of_a_tree() {
    let house = House::new();
    let dir = house.path("tree");
    assert!(Witness::take(&dir).is_err(), "there is nothing");
    std::fs::create_dir_all(dir.join("a/b")).unwrap();
    std::fs::write(dir.join("a/b/c"), vec![1; 100_000]).unwrap();
    std::fs::hard_link(dir.join("a/b/c"), dir.join("a/again")).unwrap();
    std::os::unix::fs::symlink("/usr", dir.join("usr")).unwrap();
    std::fs::set_permissions(dir.join("a/b/c"), PermissionsExt::from_mode(0o000)).unwrap();
    let size = Witness::take(&dir).unwrap().bytes;
    assert!((100_000..150_000).contains(&size), "{size}");
}

#[test]
fn a_clean_worktree_costs_few_runs_of_git() {
    let house = House::new();
    let tree = house.worktree("x");
    let (counting, count) = (house.path("counting-git"), house.path("count"));
    let script = format!(
        "#!/bin/sh\necho >>'{}'\nexec '{}' \"$@\"\n",
        count.display(),
        super::git_program().display()
    );
    std::fs::write(&counting, script).unwrap();
    std::fs::set_permissions(&counting, PermissionsExt::from_mode(0o755)).unwrap();
    let env = super::GitEnv::new(counting, house.vars(), house.path("scratch"));
    let runs = |name: &str, max| {
        std::fs::write(&count, "").unwrap();
        rescue::save(&env, &tree, &house.config(), name, "m", max).unwrap().unwrap();
        std::fs::read(&count).unwrap().len()
    };
    assert_eq!(runs(NAME, None), 3);
    assert_eq!(runs(NAME, None), 2, "found done");
    // The ignored files, and what is saved, to be compared with what is there.
    assert_eq!(runs("refs/ai_orch/rescue/x/2", Some(100)), 5);
}
