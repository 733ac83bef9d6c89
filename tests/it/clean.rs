//! `clean` and `undo`: what goes is saved, what is saved comes back, what cannot be saved stays.

use crate::house::{House, eventually};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Everything below `dir` but `.git`: kind, mode and bytes, and what git says of it.
fn portrait(house: &House, dir: &Path) -> Vec<(PathBuf, u32, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(&at).unwrap().flatten() {
            let path = entry.path();
            let meta = fs::symlink_metadata(&path).unwrap();
            if path.file_name().unwrap() == ".git" {
                continue;
            }
            let name = path.strip_prefix(dir).unwrap().to_owned();
            if meta.is_dir() {
                open.push(path);
            } else if meta.is_symlink() {
                found.push((name, 0, fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()));
            } else {
                found.push((name, meta.permissions().mode() & 0o111, fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    let status = house.git_in(dir, &["status", "--porcelain=v1", "-z", "--ignored=no"]);
    found.push(("status".into(), 0, status.into_bytes()));
    let staged = house.git_in(dir, &["ls-files", "--stage"]);
    found.push(("index".into(), 0, staged.into_bytes()));
    found
}

fn worktree(house: &House, name: &str) -> PathBuf {
    PathBuf::from(house.listed(name)["worktree"].as_str().unwrap())
}

fn listed(house: &House) -> Vec<String> {
    let list: Value = serde_json::from_str(&house.ok(["list", "--json"])).unwrap();
    list["agents"].as_array().unwrap().iter().map(|a| a["session"].as_str().unwrap().to_owned()).collect()
}

/// An agent that leaves everything that can be left: committed, staged, changed, new, ignored, links, odd names.
fn messy(house: &House, name: &str) {
    let script = r#"
echo one > committed.txt; git add committed.txt; git commit -qm 'by the agent'
echo two > committed.txt; git add committed.txt; echo three > committed.txt
echo new > new.txt; printf 'x' > "odd name"; mkdir -p deep/er; echo d > deep/er/file
echo '#!/bin/sh' > run.sh; chmod +x run.sh; ln -s nowhere link
printf 'secret\n*.log\nbig\n' > .gitignore; echo token > secret
rm README.md
"#;
    let done = house.orch(["run", "--no-commit", "--agent-cli", "sh", "--name", name, script]).run();
    assert_eq!(done.code, 0, "{done}");
}

#[test]
fn what_was_cleaned_comes_back_as_it_was() {
    let house = House::new();
    messy(&house, "mess");
    let tree = worktree(&house, "mess");
    let before = portrait(&house, &tree);
    let tip = house.git(&["rev-parse", "ai_orch/mess"]);
    let told = house.ok(["clean", "mess"]);
    assert!(told.contains("mess cleaned") && told.contains("its branch stays: 1 commit"), "{told}");
    assert!(!tree.exists());
    assert_eq!(listed(&house), [""; 0]);
    assert!(!house.git(&["worktree", "list"]).contains("mess"));
    assert!(house.ok(["undo", "--list"]).contains("mess"));
    let told = house.ok(["undo"]);
    assert!(told.contains("mess is back"), "{told}");
    assert_eq!(portrait(&house, &tree), before);
    assert_eq!(house.git_in(&tree, &["symbolic-ref", "HEAD"]), "refs/heads/ai_orch/mess");
    assert_eq!(house.git(&["rev-parse", "ai_orch/mess"]), tip);
    let shown = house.show("mess");
    assert_eq!(shown["agent"]["state"], "done");
    assert!(house.ok(["undo", "--list"]).contains("Nothing"));
    // And once more: what came back can go again.
    house.ok(["clean", "mess"]);
    house.ok(["undo", "mess"]);
    assert_eq!(portrait(&house, &tree), before);
}

#[test]
fn branches_that_are_empty_or_merged_go_and_others_stay() {
    let house = House::new();
    house.ok(["run", "--agent-cli", "sh", "--name", "empty", "true"]);
    house.ok(["run", "--agent-cli", "sh", "--name", "merged", "echo m > m.txt"]);
    house.ok(["run", "--agent-cli", "sh", "--name", "kept", "echo k > k.txt"]);
    // Another agent's branch that holds the same commits is no safe place for them.
    house.git(&["branch", "ai_orch/copy", "ai_orch/kept"]);
    house.git(&["merge", "-q", "ai_orch/merged"]);
    let tips: Vec<_> =
        ["empty", "merged", "kept"].map(|n| house.git(&["rev-parse", &format!("ai_orch/{n}")])).to_vec();
    let dry = house.orch(["clean", "--dry-run", "--json"]).run().json();
    assert_eq!(dry["dry_run"], true);
    assert_eq!(listed(&house).len(), 3, "a dry run does nothing");
    let done = house.orch(["clean", "--json"]).run();
    assert_eq!(done.code, 0, "{done}");
    let report = done.json();
    for (i, name) in ["empty", "merged", "kept"].iter().enumerate() {
        for said in [&report["cleaned"][i], &dry["cleaned"][i]] {
            assert_eq!(said["session"], *name);
            assert_eq!(said["branch"]["tip"], tips[i].as_str());
            assert_eq!(said["branch"]["kept_because"].is_string(), *name == "kept", "{said}");
        }
    }
    let branches = house.git(&["branch", "--format=%(refname:short)"]);
    assert_eq!(branches, "ai_orch/copy\nai_orch/kept\nmain");
    for name in ["empty", "merged", "kept"] {
        house.ok(["undo", name]);
    }
    let back: Vec<_> =
        ["empty", "merged", "kept"].map(|n| house.git(&["rev-parse", &format!("ai_orch/{n}")])).to_vec();
    assert_eq!(back, tips);
}

#[test]
fn only_what_has_ended_and_was_meant_is_cleaned() {
    let house = House::new();
    house.agent("slow", "touch $AI_ORCH_WORKTREE/busy; exec sleep 1000");
    house.ok(["run", "--agent-cli", "sh", "--name", "good", "true"]);
    assert_eq!(house.orch(["run", "--agent-cli", "sh", "--name", "bad", "exit 3"]).run().code, 1);
    house.start(["--agent-cli", "slow", "--name", "busy", "x"]);
    eventually("it works", || worktree(&house, "busy").join("busy").exists().then_some(()));
    let refused = house.orch(["clean", "busy"]).run();
    assert_eq!(refused.code, 8, "{refused}");
    assert!(
        refused.stderr.contains("busy is at work") && refused.stderr.contains("ai_orch kill busy"),
        "{refused}"
    );
    assert_eq!(house.orch(["clean", "goo"]).run().code, 8, "a name must be whole");
    assert!(house.ok(["clean", "--older-than", "1d"]).contains("Nothing to clean"));
    house.ok(["clean", "--done"]);
    assert_eq!(listed(&house), ["bad", "busy"]);
    house.ok(["clean"]);
    assert_eq!(listed(&house), ["busy"]);
    assert!(worktree(&house, "busy").join("busy").exists());
    house.ok(["kill", "busy"]);
    house.ok(["clean"]);
    assert_eq!(listed(&house), [""; 0]);
    eventually("no process is left", || house.processes().is_empty().then_some(()));
}

#[test]
fn a_name_that_is_taken_meanwhile_is_left_to_its_new_owner() {
    let house = House::new();
    house.ok(["run", "--agent-cli", "sh", "--name", "a", "echo first > a.txt"]);
    house.ok(["clean", "a"]);
    // The branch stayed, so the name goes to another one only with a branch of another name.
    house.git(&["branch", "-m", "ai_orch/a", "mine"]);
    house.ok(["run", "--agent-cli", "sh", "--name", "a", "echo second > a.txt"]);
    let told = house.ok(["undo", "a"]);
    assert!(told.contains("a-2 is back"), "{told}");
    assert_eq!(fs::read_to_string(worktree(&house, "a-2").join("a.txt")).unwrap(), "first\n");
    assert_eq!(fs::read_to_string(worktree(&house, "a").join("a.txt")).unwrap(), "second\n");
    assert_eq!(house.git(&["show", "ai_orch/a-2:a.txt"]), "first");
    house.ok(["resume", "a-2", "echo third > b.txt"]);
    house.ok(["wait", "a-2"]);
    assert_eq!(house.git(&["show", "ai_orch/a-2:b.txt"]), "third");
}

#[test]
fn what_no_commit_can_hold_keeps_the_worktree() {
    let house = House::new();
    let script = "git init -q inner; cd inner; echo x > f; git add f; git -c user.name=a -c user.email=b commit -qm inner";
    house.ok(["run", "--agent-cli", "sh", "--name", "nest", script]);
    let tree = worktree(&house, "nest");
    for words in [&["clean", "nest"][..], &["clean", "--dry-run", "nest"], &["clean"]] {
        let refused = house.orch(words).run();
        assert_eq!(refused.code, 8, "{refused}");
        assert!(refused.stderr.contains("inner, a repository with commits of its own"), "{refused}");
        assert!(tree.join("inner/f").exists());
    }
    assert_eq!(listed(&house), ["nest"]);
    fs::rename(tree.join("inner"), house.path("moved")).unwrap();
    house.ok(["clean", "nest"]);
    assert!(!tree.exists());
}

#[test]
fn large_ignored_files_are_named_and_small_ones_kept() {
    let house = House::new();
    let script = "echo big > .gitignore; echo small.env >> .gitignore; mkdir big; head -c 11000000 /dev/zero > big/x; echo k > small.env";
    house.ok(["run", "--agent-cli", "sh", "--name", "a", script]);
    let dry = house.ok(["clean", "--dry-run", "a"]);
    assert!(dry.contains("big") && dry.contains("11.0 MB"), "{dry}");
    let tree = worktree(&house, "a");
    assert!(tree.exists());
    let told = house.ok(["clean", "a"]);
    assert!(told.contains("not saved, because it is ignored and large: big"), "{told}");
    house.ok(["undo"]);
    assert_eq!(fs::read_to_string(tree.join("small.env")).unwrap(), "k\n");
    assert!(!tree.join("big").exists());
}

#[test]
fn saved_states_go_only_when_they_are_told_to_and_old_enough() {
    let house = House::new();
    house.ok(["run", "--agent-cli", "sh", "--name", "a", "echo a > a.txt"]);
    house.ok(["clean", "a"]);
    let refs = || house.git(&["for-each-ref", "--format=%(refname)", "refs/ai_orch/"]);
    assert!(refs().contains("removal"), "{}", refs());
    assert!(house.ok(["clean", "--rescue"]).contains("Nothing to clean"));
    assert!(!refs().is_empty());
    let dry = house.ok(["clean", "--rescue", "--older-than", "1s", "--dry-run"]);
    // A second has to pass for it to be one second old: the clock decides, so it is asked until it has.
    eventually("it is old enough", || {
        let dry = house.ok(["clean", "--rescue", "--older-than", "1s", "--dry-run"]);
        dry.contains("a would be forgotten").then_some(())
    });
    assert!(!dry.contains("a forgotten"), "{dry}");
    assert!(house.ok(["clean", "--rescue", "--older-than", "1s"]).contains("a forgotten"));
    assert_eq!(refs(), "");
    assert_eq!(house.orch(["undo"]).run().code, 8);
}

#[test]
fn a_worktree_that_somebody_removed_is_cleaned_all_the_same_and_comes_back() {
    let house = House::new();
    house.ok(["run", "--no-commit", "--agent-cli", "sh", "--name", "a", "echo work > work.txt"]);
    let tree = worktree(&house, "a");
    fs::remove_dir_all(&tree).unwrap();
    house.ok(["clean", "a"]);
    assert_eq!(listed(&house), [""; 0]);
    house.ok(["undo", "a"]);
    assert_eq!(fs::read_to_string(tree.join("work.txt")).unwrap(), "work\n", "as the attempt left it");
    // The same when git's own entry went with it.
    house.git(&["worktree", "remove", "--force", tree.to_str().unwrap()]);
    house.ok(["clean", "a"]);
    house.ok(["undo", "a"]);
    assert_eq!(fs::read_to_string(tree.join("work.txt")).unwrap(), "work\n");
}

#[test]
fn a_link_in_place_of_the_worktree_is_not_followed() {
    let house = House::new();
    house.ok(["run", "--agent-cli", "sh", "--name", "a", "echo work > work.txt"]);
    let tree = worktree(&house, "a");
    fs::rename(&tree, house.path("away")).unwrap();
    symlink(house.repo(), &tree).unwrap();
    let refused = house.orch(["clean", "a"]).run();
    assert_eq!(refused.code, 8, "{refused}");
    assert!(house.repo().join("README.md").exists());
    assert_eq!(listed(&house), ["a"]);
}

/// The number of the point of `verb` at which `what` is done, from a trial run of `words`.
fn point(house: &House, words: &[&str], what: &str) -> usize {
    let log = house.path("points");
    fs::remove_file(&log).ok();
    assert_eq!(house.orch(words).env("AI_ORCH_CRASH_LOG", &log).run().code, 0);
    let text = fs::read_to_string(log).unwrap();
    let own = text.lines().filter(|line| line.starts_with(&format!("{} ", words[0])));
    own.enumerate().find(|(_, line)| line.contains(what)).unwrap_or_else(|| panic!("no {what} in {text}")).0
        + 1
}

fn dies(house: &House, words: &[&str], n: usize) {
    let died = house.orch(words).env("AI_ORCH_CRASH", format!("{}:{n}", words[0])).run();
    assert_eq!(died.code, 137, "{died}");
}

fn left(house: &House, name: &str) -> PathBuf {
    house.ok(["run", "--no-commit", "--agent-cli", "sh", "--name", name, "echo work > work.txt"]);
    worktree(house, name)
}

#[test]
fn what_was_moved_aside_is_the_worktree_whatever_lies_in_its_place() {
    let house = House::new();
    left(&house, "probe");
    let n = point(&house, &["clean", "probe"], "after journal cleaning");
    let tree = left(&house, "a");
    // The rename comes a few points later.
    let trash = house.path("home/.local/share/ai_orch/trash");
    let mut at = n;
    while tree.exists() {
        at += 1;
        dies(&house, &["clean", "a"], at);
    }
    let aside = fs::read_dir(&trash).unwrap().next().unwrap().unwrap().path();
    fs::write(aside.join("late.txt"), "late\n").unwrap();
    fs::create_dir_all(tree.join("target")).unwrap();
    fs::write(tree.join("target/o"), "o\n").unwrap();
    house.ok(["clean", "a"]);
    assert!(tree.join("target/o").exists(), "it is nobody's of ours");
    fs::rename(&tree, house.path("stray")).unwrap();
    house.ok(["undo", "a"]);
    assert_eq!(fs::read_to_string(tree.join("work.txt")).unwrap(), "work\n");
    assert_eq!(fs::read_to_string(tree.join("late.txt")).unwrap(), "late\n");
}

#[test]
fn work_in_what_came_back_is_not_overwritten_by_another_undo() {
    let house = House::new();
    left(&house, "probe");
    house.ok(["clean", "probe"]);
    let n = point(&house, &["undo", "probe"], "after journal worktree_made");
    let tree = left(&house, "a");
    house.ok(["clean", "a"]);
    dies(&house, &["undo", "a"], n);
    fs::write(tree.join("work.txt"), "edited\n").unwrap();
    house.ok(["undo", "a"]);
    assert_eq!(fs::read_to_string(tree.join("work.txt")).unwrap(), "edited\n");
    house.ok(["clean", "a"]);
    house.ok(["undo", "a"]);
    assert_eq!(fs::read_to_string(tree.join("work.txt")).unwrap(), "edited\n");
}

#[test]
fn a_commit_after_a_clean_that_was_cut_off_stands_in_nobodys_way() {
    let house = House::new();
    left(&house, "probe");
    let n = point(&house, &["clean", "probe"], "after journal cleaning");
    let tree = left(&house, "a");
    dies(&house, &["clean", "a"], n);
    assert_eq!(house.listed("a")["remarks"][0]["what"], "clean_cut_off");
    let told = house.orch(["resume", "a", "more to do"]).run();
    assert!(told.stderr.contains("ai_orch clean a"), "{told}");
    house.git_in(&tree, &["add", "."]);
    house.git_in(&tree, &["commit", "-qm", "by the user"]);
    fs::write(tree.join("loose"), "loose\n").unwrap();
    house.ok(["clean", "a"]);
    house.ok(["undo", "a"]);
    assert_eq!(fs::read_to_string(tree.join("loose")).unwrap(), "loose\n");
    assert_eq!(house.git(&["log", "-1", "--format=%s", "ai_orch/a"]), "by the user");
}

#[test]
fn a_worktree_stays_that_somebody_locked_moved_or_stands_in() {
    let house = House::new();
    let tree = left(&house, "a");
    let refused = |why: &str| {
        for words in [&["clean", "a"][..], &["clean", "--dry-run", "a"]] {
            let refused = house.orch(words).run();
            assert_eq!(refused.code, 8, "{refused}");
            assert!(refused.stderr.contains(why), "{refused}");
        }
        assert_eq!(house.listed("a")["state"], "done");
        house.ok(["show", "a"]);
    };
    house.git(&["worktree", "lock", "--reason", "mine, keep", tree.to_str().unwrap()]);
    refused("mine, keep");
    house.git(&["worktree", "unlock", tree.to_str().unwrap()]);
    let moved = house.path("moved");
    house.git(&["worktree", "move", tree.to_str().unwrap(), moved.to_str().unwrap()]);
    refused("was moved to");
    house.git(&["worktree", "move", moved.to_str().unwrap(), tree.to_str().unwrap()]);
    let mut shell = house.command("sleep").arg("1000").current_dir(&tree).spawn().unwrap();
    refused("working directory");
    shell.kill().unwrap();
    shell.wait().unwrap();
    house.ok(["clean", "a"]);
    assert!(!tree.exists());
}

#[test]
fn an_ignored_repository_with_commits_keeps_the_worktree() {
    let house = House::new();
    let script = "echo ign/ > .gitignore; mkdir ign; cd ign; git init -q lib; cd lib; echo u > u; git add u; git commit -qm unpushed";
    house.ok(["run", "--agent-cli", "sh", "--name", "a", script]);
    let refused = house.orch(["clean", "a"]).run();
    assert_eq!(refused.code, 8, "{refused}");
    assert!(refused.stderr.contains("ign"), "{refused}");
    assert!(worktree(&house, "a").join("ign/lib/u").exists());
}

#[test]
fn what_a_rebase_had_stashed_is_kept() {
    let house = House::new();
    let script = "git checkout -qb other; echo o > README.md; git commit -qam o; git checkout -q -; \
                  echo mine > README.md; git commit -qam mine; echo stashed > new; git add new; \
                  git rebase --autostash other; true";
    house.ok(["run", "--no-commit", "--agent-cli", "sh", "--name", "a", script]);
    house.ok(["clean", "a"]);
    house.git(&["reflog", "expire", "--expire=now", "--all"]);
    house.git(&["gc", "-q", "--prune=now"]);
    let refs = house.git(&["for-each-ref", "--format=%(refname)", "refs/ai_orch"]);
    let held = refs.lines().any(|name| house.git(&["ls-tree", "-r", "--name-only", name]).contains("new"));
    assert!(held, "{refs}");
}

#[test]
fn undo_works_in_its_own_repository_and_no_other() {
    let house = House::new();
    let linked = house.path("linked");
    house.git(&["worktree", "add", "-q", linked.to_str().unwrap(), "-b", "side"]);
    let run = house.orch(["run", "--agent-cli", "sh", "--name", "a", "echo a > a.txt"]).dir(&linked).run();
    assert_eq!(run.code, 0, "{run}");
    house.git(&["worktree", "remove", linked.to_str().unwrap()]);
    let clone = house.command("git").args(["clone", "-q"]).arg(house.repo()).arg(&linked).status().unwrap();
    assert!(clone.success());
    house.ok(["clean", "a"]);
    house.ok(["undo", "a"]);
    assert!(house.git(&["worktree", "list"]).contains("worktrees/"), "{}", house.git(&["worktree", "list"]));
    assert_eq!(house.git_in(&linked, &["worktree", "list"]).lines().count(), 1);
    assert_eq!(fs::read_to_string(worktree(&house, "a").join("a.txt")).unwrap(), "a\n");
}

#[test]
fn what_is_saved_stays_while_its_repository_is_away() {
    let house = House::new();
    left(&house, "a");
    house.ok(["clean", "a"]);
    eventually("it is old enough", || {
        house.ok(["clean", "--rescue", "--older-than", "1s", "--dry-run"]).contains("forgotten").then_some(())
    });
    fs::rename(house.repo(), house.path("away")).unwrap();
    let told = house.orch(["clean", "--rescue", "--older-than", "1s"]).dir(house.path("home")).run();
    assert_eq!(told.code, 0, "{told}");
    assert!(!told.stdout.contains("forgotten"), "{told}");
    fs::rename(house.path("away"), house.repo()).unwrap();
    house.ok(["undo", "a"]);
}

#[test]
fn an_undo_that_was_cut_off_takes_another_name_if_its_branch_was_taken_and_leaves_none_behind() {
    let house = House::new();
    house.ok(["run", "--agent-cli", "sh", "--name", "probe", "true"]);
    house.ok(["clean", "probe"]);
    let n = point(&house, &["undo", "probe"], "link names/probe");
    house.ok(["run", "--agent-cli", "sh", "--name", "a", "true"]);
    fs::write(house.repo().join("more"), "more\n").unwrap();
    house.ok(["clean", "a"]);
    // It dies when the name is reserved and nothing else is made.
    dies(&house, &["undo", "a"], n + 1);
    let mut names = listed(&house);
    names.sort();
    assert_eq!(names, ["a", "probe"], "half back");
    house.git(&["add", "more"]);
    house.git(&["commit", "-qm", "more"]);
    house.git(&["branch", "ai_orch/a"]);
    let told = house.ok(["undo", "a"]);
    assert!(told.contains("a-2 is back"), "{told}");
    let mut names = listed(&house);
    names.sort();
    assert_eq!(names, ["a-2", "probe"]);
    assert_eq!(house.git(&["rev-parse", "ai_orch/a"]), house.git(&["rev-parse", "main"]), "the user's stays");
}

#[test]
fn files_are_deleted_behind_its_back_and_by_the_next_clean_if_that_was_cut_off() {
    let house = House::new();
    let trash = house.path("home/.local/share/ai_orch/trash");
    let empty = || (!trash.exists()).then_some(());
    left(&house, "a");
    house.ok(["clean", "a"]);
    eventually("the files are deleted", empty);
    // Whoever was at that died in the middle.
    fs::create_dir_all(trash.join("gone-1/deep/er")).unwrap();
    fs::write(trash.join("gone-1/deep/er/file"), "x").unwrap();
    fs::set_permissions(trash.join("gone-1/deep"), std::os::unix::fs::PermissionsExt::from_mode(0o000))
        .unwrap();
    house.ok(["clean"]);
    eventually("what was left is deleted", empty);
    house.ok(["undo", "a"]);
    assert_eq!(fs::read_to_string(worktree(&house, "a").join("work.txt")).unwrap(), "work\n");
}

#[test]
fn what_comes_back_is_said_to_be_where_it_is() {
    let house = House::new();
    let task =
        "echo x > x; git add x; git commit -qm x; git checkout -q --detach; git branch -qD ai_orch/one";
    assert_eq!(house.orch(["run", "--agent-cli", "sh", "--name", "one", task]).run().code, 0);
    let head = house
        .git_in(house.show("one")["agent"]["worktree"].as_str().unwrap().as_ref(), &["rev-parse", "HEAD"]);
    house.ok(["clean", "one"]);
    let said = house.ok(["undo", "one"]);
    assert!(
        said.contains(&format!("one is back: commit {} in ", &head[..10])) && !said.contains("branch"),
        "{said}"
    );
    house.ok(["run", "--agent-cli", "sh", "--name", "two", "echo y > y"]);
    house.ok(["clean", "two"]);
    let said = house.ok(["undo", "two", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert!(report["head"].is_null() && report["branch"] == "ai_orch/two", "{report:#}");
}
