//! An agent that tries to have us run its commands. Every trap, if sprung, leaves a file in `sprung`.

use super::super::brought::Brought;
use super::super::changes::changes;
use super::super::commit::{Outcome, commit_all, snapshot};
use super::super::eyes::Eyes;
use super::super::include;
use super::super::merge::{self, Message};
use super::super::remove;
use super::super::rescue::{not_held, save as rescue};
use super::super::restore::{Target, restore};
use super::super::stat::stat;
use super::super::{Repository, Worktree};
use super::House;
use crate::model::merge::How;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

/// A program in the house that notes that it ran.
fn trap(house: &House, name: &str) -> String {
    let path = house.path(name);
    let script = format!("#!/bin/sh\ntouch '{}'\ncat\n", house.path("sprung").join(name).display());
    std::fs::create_dir_all(house.path("sprung")).unwrap();
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn sprung(house: &House) -> Vec<std::ffi::OsString> {
    house.path("sprung").read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect()
}

const HOOKS: [&str; 8] = [
    "pre-commit",
    "post-commit",
    "reference-transaction",
    "post-index-change",
    "post-checkout",
    "commit-msg",
    "fsmonitor-watchman",
    "prepare-commit-msg",
];

/// Plants every way we know of into a configuration, the hooks and the attributes.
fn plant(house: &House, dir: &Path, scope: &str) {
    let set = |key: &str| {
        let name = key.replace('.', "-");
        house.run(dir, &["config", scope, key, &trap(house, &name)]);
    };
    for key in [
        "core.fsmonitor",
        "core.sshCommand",
        "core.pager",
        "core.editor",
        "core.askPass",
        "core.alternateRefsCommand",
        "filter.evil.clean",
        "filter.evil.smudge",
        "filter.evil.process",
        "diff.external",
        "diff.evil.textconv",
        "diff.evil.command",
        "merge.evil.driver",
        "gpg.program",
        "credential.helper",
        "sequence.editor",
        "filter.known.clean",
    ] {
        set(key);
    }
    for (key, value) in
        [("commit.gpgSign", "true"), ("filter.evil.required", "true"), ("log.showSignature", "true")]
    {
        house.run(dir, &["config", scope, key, value]);
    }
    let hooks = house.repo().join(".git/hooks");
    std::fs::create_dir_all(&hooks).unwrap();
    for hook in HOOKS {
        let target = hooks.join(hook);
        std::fs::copy(trap(house, &format!("hook-{hook}")), target).unwrap();
    }
}

/// Everything that reads or saves an agent's worktree.
fn use_all(house: &House, tree: &Worktree, config: &super::ConfigSnapshot) {
    let (env, base) = (house.env(), house.tip("main"));
    let repository = Repository::require(&env, &house.repo()).unwrap();
    repository.head().unwrap();
    repository.resolve("HEAD~0").unwrap();
    repository.branch_problem("ai_orch/other").unwrap();
    repository.checked_out_at("main").unwrap();
    stat(&env, tree, &base, &Brought::nothing(), Duration::from_secs(5)).unwrap();
    super::super::stat::by_git(&env, tree, &base, &Brought::nothing()).unwrap();
    changes(&env, tree, config, &base).unwrap();
    rescue(&env, tree, config, "refs/ai_orch/rescue/x/1", "r", None).unwrap().unwrap();
    let saved = commit_all(&env, tree, config, &Brought::nothing(), "m").unwrap();
    let Outcome::Committed { commit, .. } = saved.outcome else { panic!("{saved:?}") };
    repository.patch(&base, &commit, 1 << 20).unwrap();
    repository.diff_stat(&base, &commit).unwrap();
    repository.commits(&base, &commit, 10).unwrap();
    super::super::worktree::head(&env, tree).unwrap();
    let eyes = super::super::worktree::by_git(&env, tree).unwrap();
    eyes.patch(&base, &commit, 1 << 20).unwrap();
    eyes.diff_stat(&base, &commit).unwrap();
    eyes.commits(&base, &commit, 10).unwrap();
    bring_in(&repository, tree, config, &commit);
    away_and_back(house, tree, config);
}

/// What is done with an agent's work in the user's repository, and with the user's for an agent.
fn bring_in(
    repository: &Repository,
    tree: &Worktree,
    config: &super::ConfigSnapshot,
    commit: &super::CommitId,
) {
    let (env, common) = (&repository.env, repository.common_dir());
    let checkout = Worktree::checkout(repository, None);
    std::fs::write(checkout.path.join("a.txt"), "the user's\n").unwrap();
    std::fs::write(checkout.path.join(".worktreeinclude"), "local\n").unwrap();
    std::fs::write(checkout.path.join("local"), "l\n").unwrap();
    let mine = snapshot(env, &checkout, config, "carried").unwrap().unwrap();
    let message = Message { merge: "merge", squash: "squash" };
    for how in [How::Merge, How::Squash, How::Rebase, How::FfOnly] {
        // Where both changed a.txt, a driver would be asked.
        merge::make(repository, config, how, &mine, commit, message).unwrap();
    }
    merge::is_squashed(env, common, commit, "HEAD").unwrap();
    let chosen = include::choose(repository, tree, &["local".to_owned()]).unwrap();
    include::copy(repository, tree, &chosen.files).unwrap();
    super::super::links::make(env, repository, tree, &["local".to_owned()]).unwrap();
    not_held(env, tree, config, 1 << 20).unwrap();
    remove::submodules_with_work(env, tree).unwrap();
    remove::held_by_entry(env, tree).unwrap();
    for name in ["local", ".worktreeinclude"] {
        std::fs::remove_file(checkout.path.join(name)).unwrap();
    }
}

fn away_and_back(house: &House, tree: &Worktree, config: &super::ConfigSnapshot) {
    let env = house.env();
    std::fs::write(tree.path.join("a.txt"), "changed once more\n").unwrap();
    std::fs::write(tree.path.join("y.known"), "Loud\n").unwrap();
    std::fs::write(tree.path.join("ignored"), "i\n").unwrap();
    let head = super::super::worktree::head(&env, tree).unwrap();
    let name = "refs/ai_orch/rescue/x/2";
    let saved = rescue(&env, tree, config, name, "r", Some(1 << 20)).unwrap().unwrap();
    let trash = house.path("trash");
    assert!(remove::move_aside(tree, &trash).unwrap());
    // Somebody wrote in between.
    std::fs::write(trash.join("late"), "l\n").unwrap();
    let moved = Worktree { path: trash.clone(), ..tree.clone() };
    let late = rescue(&env, &moved, config, name, "r", Some(1 << 20)).unwrap().unwrap();
    assert_eq!(late.name, format!("{name}-2"));
    remove::admin(tree).unwrap();
    remove::branch(
        &env,
        &tree.common_dir,
        &tree.branch,
        &house.tip("main"),
        remove::Merged { into: &[], ours: "ai_orch/", squashed: true },
    )
    .unwrap();
    remove::tree(&trash).unwrap();
    let repository = Repository::require(&env, &house.repo()).unwrap();
    let target = Target::from(&head);
    restore(&repository, &house.lock(), config, &tree.path, &target, Some(&late.commit)).unwrap();
    assert!(tree.path.join("late").exists() && tree.path.join("ignored").exists());
    assert_eq!(std::fs::read_to_string(tree.path.join("y.known")).unwrap(), "Loud\n");
    super::super::rescue::list(&env, &tree.common_dir, "refs/ai_orch").unwrap();
    super::super::rescue::delete(&env, &tree.common_dir, name, &saved.commit).unwrap();
}

fn change_files(tree: &Worktree) {
    std::fs::write(
        tree.path.join(".gitattributes"),
        "* filter=evil diff=evil merge=evil\n*.known filter=known\n",
    )
    .unwrap();
    std::fs::write(tree.path.join("a.txt"), "changed\n").unwrap();
    std::fs::write(tree.path.join("new"), "new\n").unwrap();
    std::fs::write(tree.path.join("x.known"), "Loud\n").unwrap();
}

#[test]
fn the_traps_work() {
    let house = House::new();
    let tree = house.worktree("x");
    plant(&house, &house.repo(), "--local");
    change_files(&tree);
    house.try_run(&tree.path, &["add", "-A"]);
    assert!(
        sprung(&house).len() >= 2,
        "plain git must spring some of them, or the other tests prove nothing"
    );
}

#[test]
fn nothing_in_the_repositorys_configuration_runs() {
    let house = House::new();
    house.run(&house.repo(), &["config", "filter.known.clean", "tr A-Z a-z"]);
    let config = house.config();
    let tree = house.worktree("x");
    plant(&house, &house.repo(), "--local");
    change_files(&tree);
    use_all(&house, &tree, &config);
    assert!(sprung(&house).is_empty(), "{:?}", sprung(&house));
    // The user's driver of before ran, and not what the agent made of it.
    assert_eq!(house.run(&house.repo(), &["cat-file", "-p", "ai_orch/x:x.known"]), "loud");
}

#[test]
fn nothing_in_the_users_configuration_that_came_later_runs() {
    let house = House::new();
    let config = house.config();
    let tree = house.worktree("x");
    plant(&house, &house.repo(), "--global");
    change_files(&tree);
    use_all(&house, &tree, &config);
    assert!(sprung(&house).is_empty(), "{:?}", sprung(&house));
}

#[test]
fn nothing_in_a_worktree_configuration_runs() {
    let house = House::new();
    let config = house.config();
    let tree = house.worktree("x");
    house.run(&house.repo(), &["config", "extensions.worktreeConfig", "true"]);
    plant(&house, &tree.path, "--worktree");
    change_files(&tree);
    use_all(&house, &tree, &config);
    assert!(sprung(&house).is_empty(), "{:?}", sprung(&house));
}

#[test]
fn a_swapped_git_file_leads_us_nowhere() {
    let house = House::new();
    let evil = House::new();
    let config = house.config();
    let tree = house.worktree("x");
    plant(&evil, &evil.repo(), "--local");
    std::fs::write(tree.path.join(".git"), format!("gitdir: {}/.git\n", evil.repo().display())).unwrap();
    change_files(&tree);
    use_all(&house, &tree, &config);
    assert!(sprung(&evil).is_empty(), "{:?}", sprung(&evil));
    assert_eq!(evil.run(&evil.repo(), &["for-each-ref", "--format=%(refname)"]), "refs/heads/main");
}

#[test]
fn a_swapped_common_directory_leads_us_nowhere() {
    let house = House::new();
    let evil = House::new();
    let config = house.config();
    let tree = house.worktree("x");
    plant(&evil, &evil.repo(), "--local");
    let base = house.tip("main");
    std::fs::write(tree.admin_dir.join("commondir"), format!("{}/.git\n", evil.repo().display())).unwrap();
    change_files(&tree);
    let env = house.env();
    for code in [
        changes(&env, &tree, &config, &base).unwrap_err().code(),
        rescue(&env, &tree, &config, "refs/ai_orch/rescue/x/1", "r", None).unwrap_err().code(),
        commit_all(&env, &tree, &config, &Brought::nothing(), "m").unwrap_err().code(),
        stat(&env, &tree, &base, &Brought::nothing(), Duration::from_secs(5)).unwrap_err().code(),
        super::super::worktree::verify(&env, &tree).unwrap_err().code(),
    ] {
        assert_eq!(code, "not_our_worktree");
    }
    assert!(sprung(&evil).is_empty(), "{:?}", sprung(&evil));
    assert_eq!(evil.run(&evil.repo(), &["for-each-ref", "--format=%(refname)"]), "refs/heads/main");
}

#[test]
fn nothing_in_a_nested_repository_runs() {
    let house = House::new();
    let config = house.config();
    let tree = house.worktree("x");
    for (dir, commits) in [("none", false), ("some", true)] {
        let dir = tree.path.join(dir);
        std::fs::create_dir(&dir).unwrap();
        house.run(&dir, &["init", "-q"]);
        std::fs::write(dir.join("file"), "f\n").unwrap();
        if commits {
            house.run(&dir, &["add", "-A"]);
            house.run(&dir, &["-c", "user.name=a", "-c", "user.email=a", "commit", "-qm", "m"]);
        }
        plant(&house, &dir, "--local");
        std::fs::write(dir.join(".gitattributes"), "* filter=evil\n").unwrap();
        std::fs::write(dir.join("file"), "changed\n").unwrap();
    }
    use_all(&house, &tree, &config);
    assert!(sprung(&house).is_empty(), "{:?}", sprung(&house));
}

#[test]
fn a_filter_whose_command_lies_in_the_worktree_is_left_out() {
    let house = House::new();
    std::fs::write(house.repo().join("clean.sh"), "cat\n").unwrap();
    house.commit("script");
    house.run(&house.repo(), &["config", "filter.evil.clean", "sh ./clean.sh"]);
    house.run(&house.repo(), &["config", "filter.evil.required", "true"]);
    let config = house.config();
    let tree = house.worktree("x");
    std::fs::copy(trap(&house, "in-tree"), tree.path.join("clean.sh")).unwrap();
    change_files(&tree);
    let saved = commit_all(&house.env(), &tree, &config, &Brought::nothing(), "m").unwrap();
    assert_eq!(saved.left.skipped_filters, ["evil"]);
    assert!(matches!(saved.outcome, Outcome::Committed { .. }));
    assert!(sprung(&house).is_empty());
}

#[test]
fn a_filter_whose_command_comes_back_with_the_worktree_does_not_run() {
    let house = House::new();
    for name in ["clean", "smudge"] {
        house.run(&house.repo(), &["config", &format!("filter.evil.{name}"), &format!("sh ./{name}.sh")]);
    }
    let config = house.config();
    let tree = house.worktree("x");
    for name in ["clean", "smudge"] {
        std::fs::copy(trap(&house, name), tree.path.join(format!("{name}.sh"))).unwrap();
    }
    change_files(&tree);
    away_and_back(&house, &tree, &config);
    assert!(sprung(&house).is_empty(), "{:?}", sprung(&house));
    assert_eq!(std::fs::read_to_string(tree.path.join("x.known")).unwrap(), "Loud\n");
}

#[test]
fn a_lazy_fetch_is_never_started_by_a_look() {
    let house = House::new();
    house.run(&house.repo(), &["config", "uploadpack.allowFilter", "true"]);
    let url = format!("file://{}", house.repo().display());
    house.run(&house.path(""), &["clone", "-q", "--filter=tree:0", "--no-checkout", &url, "partial"]);
    let partial = house.path("partial");
    house.run(&partial, &["config", "remote.origin.url", &format!("ext::{}", trap(&house, "ext"))]);
    house.run(&partial, &["config", "protocol.ext.allow", "always"]);
    house.run(&partial, &["config", "remote.origin.uploadpack", &trap(&house, "uploadpack")]);
    let repository = Repository::require(&house.env(), &partial).unwrap();
    let tip = repository.head().unwrap().commit().unwrap().clone();
    let looked = repository.is_submodule(&tip, Path::new("dir/b.txt"));
    assert!(looked.is_err(), "the tree is not here: {looked:?}");
    assert!(sprung(&house).is_empty(), "{:?}", sprung(&house));
}
