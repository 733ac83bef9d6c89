//! Saving what an agent left, in all the states it can leave a worktree in.

use super::super::brought::Brought;
use super::super::changes::{Changes, NestedKind, Operation, changes};
use super::super::commit::{Obstacle, Outcome, Saved, commit_all};
use super::super::rescue::save as rescue;
use super::super::stat::stat;
use super::super::{CommitId, Head, Version, Worktree};
use super::House;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const RESCUE: &str = "refs/ai_orch/rescue/x/1";

fn save(house: &House, tree: &Worktree) -> Saved {
    commit_all(&house.env(), tree, &house.config(), &Brought::nothing(), "left by the agent\n\nbody").unwrap()
}

fn committed(house: &House, tree: &Worktree) -> CommitId {
    match save(house, tree).outcome {
        Outcome::Committed { commit, index_updated: true } => commit,
        other => panic!("{other:?}"),
    }
}

fn look(house: &House, tree: &Worktree) -> Changes {
    changes(&house.env(), tree, &house.config(), &house.tip("main")).unwrap()
}

fn files(house: &House, commit: &CommitId) -> Vec<String> {
    let list = house.run(&house.repo(), &["ls-tree", "-r", "--name-only", commit.as_str()]);
    list.lines().map(str::to_owned).collect()
}

fn paths(names: &[&str]) -> Vec<PathBuf> {
    names.iter().map(PathBuf::from).collect()
}

/// Tracked, staged, deleted, untracked, ignored, mode, link, type changes, all at once.
fn make_a_mess(tree: &Path) {
    std::fs::write(tree.join("a.txt"), "one\nTWO\nthree\nfour\n").unwrap();
    std::fs::remove_file(tree.join("dir/b.txt")).unwrap();
    std::fs::remove_dir(tree.join("dir")).unwrap();
    std::fs::write(tree.join("dir"), "now a file\n").unwrap();
    std::fs::set_permissions(tree.join("run.sh"), PermissionsExt::from_mode(0o644)).unwrap();
    std::fs::remove_file(tree.join("link")).unwrap();
    std::fs::create_dir(tree.join("link")).unwrap();
    std::fs::write(tree.join("link/in"), "in\n").unwrap();
    std::fs::write(tree.join(std::ffi::OsStr::from_bytes(b"caf\xe9\n\"x")), "odd\n").unwrap();
    std::fs::write(tree.join("-rf"), "dash\n").unwrap();
    std::fs::write(tree.join(":(top)x"), "magic\n").unwrap();
    std::fs::write(tree.join("ignored"), "no\n").unwrap();
}

#[test]
fn everything_left_is_committed_and_the_index_agrees() {
    let house = House::new();
    let before = house.users_state();
    let tree = house.worktree("x");
    make_a_mess(&tree.path);
    let expected = {
        let dir = tree.path.to_str().unwrap();
        let index = house.path("expected");
        std::fs::copy(tree.admin_dir.join("index"), &index).unwrap();
        let git = |args: &[&str]| {
            let mut command = std::process::Command::new(super::git_program());
            let out = command.args(["-C", dir]).args(args).env("GIT_INDEX_FILE", &index).output().unwrap();
            String::from_utf8(out.stdout).unwrap()
        };
        git(&["add", "-A"]);
        git(&["write-tree"])
    };
    let commit = committed(&house, &tree);
    assert_eq!(house.run(&house.repo(), &["rev-parse", &format!("{commit}^{{tree}}")]), expected.trim());
    assert_eq!(house.tip("ai_orch/x"), commit);
    assert_eq!(house.run(&tree.path, &["status", "--porcelain", "--ignored"]), "!! ignored");
    let log = house.run(&house.repo(), &["log", "-1", "--format=%an <%ae> %cn %P%n%B", commit.as_str()]);
    let text = format!("User <user@example.com> User {}\nleft by the agent\n\nbody", house.tip("main"));
    assert_eq!(log, text);
    assert_eq!(house.run(&tree.path, &["reflog", "-1", "--format=%gs"]), "commit: left by the agent");
    assert_eq!(save(&house, &tree).outcome, Outcome::Nothing);
    assert_eq!(house.users_state(), before);
    assert!(house.path("scratch").read_dir().unwrap().next().is_none());
}

#[test]
fn changes_tells_tracked_untracked_and_committed_apart() {
    let house = House::new();
    let tree = house.worktree("x");
    let clean = look(&house, &tree);
    assert!(!clean.is_dirty() && clean.operation.is_none() && clean.committed.files == 0);
    std::fs::write(tree.path.join("c"), "c\n").unwrap();
    house.run(&tree.path, &["add", "c"]);
    house.run(&tree.path, &["commit", "-q", "-m", "c"]);
    std::fs::write(tree.path.join("staged"), "s\n").unwrap();
    house.run(&tree.path, &["add", "staged"]);
    std::fs::write(tree.path.join("a.txt"), "changed\n").unwrap();
    std::fs::remove_file(tree.path.join("link")).unwrap();
    std::fs::create_dir(tree.path.join("new")).unwrap();
    std::fs::write(tree.path.join("new/u"), "u\n").unwrap();
    std::fs::write(tree.path.join("ignored"), "i\n").unwrap();
    let index = std::fs::read(tree.admin_dir.join("index")).unwrap();
    let now = look(&house, &tree);
    assert_eq!(now.tracked, paths(&["a.txt", "link", "staged"]));
    assert_eq!(now.untracked, paths(&["new/u"]));
    assert_eq!((now.committed.files, now.committed.insertions), (1, 1));
    assert_eq!(now.head.branch(), Some("ai_orch/x"));
    assert!(std::fs::read(tree.admin_dir.join("index")).unwrap() == index, "changes wrote the index");
}

#[test]
fn hidden_changes_are_seen() {
    let house = House::new();
    let tree = house.worktree("x");
    house.run(&tree.path, &["update-index", "--assume-unchanged", "a.txt"]);
    house.run(&tree.path, &["update-index", "--skip-worktree", "run.sh"]);
    std::fs::write(tree.path.join("a.txt"), "hidden 1\n").unwrap();
    std::fs::write(tree.path.join("run.sh"), "hidden 2\n").unwrap();
    assert_eq!(look(&house, &tree).tracked, paths(&["a.txt", "run.sh"]));
    let commit = committed(&house, &tree);
    assert_eq!(house.run(&house.repo(), &["show", &format!("{commit}:a.txt")]), "hidden 1");
    assert_eq!(house.run(&house.repo(), &["show", &format!("{commit}:run.sh")]), "hidden 2");
}

#[test]
fn a_change_of_equal_size_in_the_same_instant_is_seen() {
    let house = House::new();
    let tree = house.worktree("x");
    std::fs::write(tree.path.join("a.txt"), "123\n").unwrap();
    house.run(&tree.path, &["add", "a.txt"]);
    std::fs::write(tree.path.join("a.txt"), "456\n").unwrap();
    // git counts in seconds. A copy of the index that were younger than the file would make it look clean.
    std::thread::sleep(Duration::from_millis(1100));
    let commit = committed(&house, &tree);
    assert_eq!(house.run(&house.repo(), &["show", &format!("{commit}:a.txt")]), "456");
}

#[test]
fn without_identity_it_is_ours() {
    let house = House::new();
    for key in ["user.name", "user.email"] {
        house.run(&house.repo(), &["config", "--unset", key]);
    }
    let tree = house.worktree("x");
    std::fs::write(tree.path.join("new"), "n").unwrap();
    let commit = committed(&house, &tree);
    let who = house.run(&house.repo(), &["log", "-1", "--format=%an <%ae> %cn <%ce> %G?", commit.as_str()]);
    assert_eq!(who, "ai_orch <ai_orch@localhost> ai_orch <ai_orch@localhost> N");
}

#[test]
fn a_sparse_checkout_loses_nothing() {
    let house = House::new();
    house.run(&house.repo(), &["sparse-checkout", "set", "--sparse-index", "dir"]);
    std::fs::create_dir(house.repo().join("dir/deep")).unwrap();
    let tree = house.worktree("x");
    assert!(look(&house, &tree).tracked.is_empty());
    std::fs::write(tree.path.join("dir/n"), "n").unwrap();
    let commit = committed(&house, &tree);
    let mut expected = files(&house, &house.tip("main"));
    expected.push("dir/n".into());
    expected.sort();
    assert_eq!(files(&house, &commit), expected);
}

#[test]
fn in_the_middle_of_things_only_a_snapshot_is_made() {
    let house = House::new();
    for (n, start, operation) in [
        (0, &["merge", "-q", "other"][..], Operation::Merge),
        (1, &["rebase", "-q", "other"], Operation::Rebase),
        (2, &["cherry-pick", "other"], Operation::CherryPick),
        (3, &["revert", "--no-edit", "HEAD~1"], Operation::Revert),
        (4, &["stash", "pop"], Operation::Conflicts),
    ] {
        let tree = house.worktree(&format!("t{n}"));
        let write = |text: &str| std::fs::write(tree.path.join("a.txt"), text).unwrap();
        house.run(&tree.path, &["checkout", "-q", "-B", "other"]);
        write("other\n");
        house.run(&tree.path, &["commit", "-qam", "other"]);
        house.run(&tree.path, &["checkout", "-q", &tree.branch]);
        if n == 4 {
            write("stashed\n");
            house.run(&tree.path, &["stash"]);
        }
        for text in ["mine\n", "mine too\n"] {
            write(text);
            house.run(&tree.path, &["commit", "-qam", "mine"]);
        }
        assert!(!house.try_run(&tree.path, start).status.success());
        std::fs::write(tree.path.join("extra"), "e\n").unwrap();
        assert_eq!(look(&house, &tree).operation, Some(operation));
        let saved = save(&house, &tree);
        assert_eq!(saved.outcome, Outcome::NotCommitted(Obstacle::InProgress(operation)));
        let name = format!("refs/ai_orch/rescue/t{n}/1");
        let status = house.run(&tree.path, &["status", "--porcelain"]);
        let kept = rescue(&house.env(), &tree, &house.config(), &name, "rescue", None).unwrap().unwrap();
        assert_eq!(house.tip(&name), kept.commit);
        assert!(house.run(&house.repo(), &["show", &format!("{name}:a.txt")]).contains("<<<<<<<"));
        assert!(files(&house, &kept.commit).contains(&"extra".to_owned()));
        assert_eq!(
            house.run(&tree.path, &["status", "--porcelain"]),
            status,
            "the snapshot touched the worktree"
        );
        house.run(&house.repo(), &["worktree", "remove", "-f", tree.path.to_str().unwrap()]);
    }
}

#[test]
fn a_snapshot_touches_nothing_and_is_found_done() {
    let house = House::new();
    let tree = house.worktree("x");
    let take = |name: &str| rescue(&house.env(), &tree, &house.config(), name, "rescue", None);
    // Nothing left: the ref keeps HEAD itself.
    assert_eq!(take("refs/ai_orch/rescue/x/0").unwrap().unwrap().commit, house.tip("ai_orch/x"));
    make_a_mess(&tree.path);
    let before =
        (house.users_state(), std::fs::read(tree.admin_dir.join("index")).unwrap(), house.tip("ai_orch/x"));
    let one = take(RESCUE).unwrap().unwrap();
    assert_eq!(take(RESCUE).unwrap().unwrap(), one);
    let after =
        (house.users_state(), std::fs::read(tree.admin_dir.join("index")).unwrap(), house.tip("ai_orch/x"));
    assert!(before == after);
    assert_eq!(house.run(&house.repo(), &["show", &format!("{RESCUE}:link/in")]), "in");
    std::fs::write(tree.path.join("more"), "m").unwrap();
    let two = take(RESCUE).unwrap().unwrap();
    assert_eq!(two.name, format!("{RESCUE}-2"));
    assert_eq!(take(RESCUE).unwrap().unwrap(), two);
    assert_eq!(take("refs/heads/main").unwrap_err().code(), "ref_taken");
}

#[test]
fn heads_that_the_agent_moved_are_reported() {
    let house = House::new();
    let tree = house.worktree("x");
    house.run(&tree.path, &["checkout", "-q", "--detach"]);
    std::fs::write(tree.path.join("n"), "1").unwrap();
    let saved = save(&house, &tree);
    assert_eq!(saved.head, Head::Detached { commit: house.tip("main") });
    let Outcome::Committed { commit, .. } = saved.outcome else { panic!() };
    assert_eq!(house.run(&tree.path, &["rev-parse", "HEAD"]), commit.as_str());
    assert_eq!(house.tip("ai_orch/x"), house.tip("main"));

    house.run(&tree.path, &["checkout", "-q", "-b", "agents-own"]);
    std::fs::write(tree.path.join("n"), "2").unwrap();
    assert_eq!(save(&house, &tree).head.branch(), Some("agents-own"));
    assert!(house.run(&tree.path, &["status", "--porcelain"]).is_empty());

    // The user's own branch, by a way that git does not guard: hands off.
    house.run(&tree.path, &["symbolic-ref", "HEAD", "refs/heads/main"]);
    std::fs::write(tree.path.join("n"), "3").unwrap();
    let before = house.users_state();
    let at = house.repo();
    let expected = Outcome::NotCommitted(Obstacle::CheckedOutElsewhere { branch: "main".into(), at });
    assert_eq!(save(&house, &tree).outcome, expected);
    assert_eq!(house.users_state(), before);
    assert!(rescue(&house.env(), &tree, &house.config(), RESCUE, "r", None).unwrap().is_some());

    house.run(&tree.path, &["checkout", "-q", "--orphan", "fresh"]);
    let saved = save(&house, &tree);
    assert_eq!(saved.head, Head::Unborn { name: "fresh".into() });
    let Outcome::Committed { commit, .. } = saved.outcome else { panic!() };
    assert_eq!(house.run(&house.repo(), &["log", "--format=%P", commit.as_str()]), "");
}

#[test]
fn repositories_inside_the_worktree_lose_nothing() {
    let house = House::new();
    let tree = house.worktree("x");
    let at = |name: &str| tree.path.join(name);
    std::fs::create_dir_all(at("fresh/deep/own")).unwrap();
    for dir in ["fresh", "fresh/deep/own"] {
        house.run(&at(dir), &["init", "-q"]);
        std::fs::write(at(dir).join("file"), "f\n").unwrap();
    }
    house.run(&tree.path, &["clone", "-q", house.repo().to_str().unwrap(), "clone"]);
    std::fs::write(at("clone/uncommitted"), "u\n").unwrap();
    std::fs::write(at("clone/ignored"), "i\n").unwrap();
    std::fs::write(at("plain"), "p\n").unwrap();
    let saved = save(&house, &tree);
    let Outcome::Committed { commit, .. } = &saved.outcome else { panic!() };
    let there = files(&house, commit);
    for name in ["fresh/file", "fresh/deep/own/file", "plain"] {
        assert!(there.contains(&name.to_owned()), "{name} is missing in {there:?}");
    }
    assert!(!there.iter().any(|name| name.starts_with("clone")));
    assert_eq!(saved.left.nested.len(), 1);
    assert_eq!(
        (saved.left.nested[0].path.as_path(), saved.left.nested[0].kind),
        (Path::new("clone"), NestedKind::WithCommits)
    );
    assert!(look(&house, &tree).is_dirty());
    let kept = rescue(&house.env(), &tree, &house.config(), RESCUE, "r", None).unwrap().unwrap();
    let there = files(&house, &kept.commit);
    for name in ["clone/uncommitted", "clone/a.txt", "clone/run.sh", "plain"] {
        assert!(there.contains(&name.to_owned()), "{name} is missing in {there:?}");
    }
    assert!(!there.contains(&"clone/ignored".to_owned()));
    assert_eq!(kept.left.nested.len(), 1);
}

#[test]
fn a_filled_submodule_is_reported() {
    let house = House::new();
    let other = House::new();
    house.run(&house.repo(), &["submodule", "add", "-q", other.repo().to_str().unwrap(), "sub"]);
    house.commit("sub");
    let tree = house.worktree("x");
    assert!(look(&house, &tree).left.nested.is_empty());
    assert_eq!(save(&house, &tree).outcome, Outcome::Nothing);
    house.run(&tree.path, &["submodule", "update", "-q", "--init"]);
    std::fs::write(tree.path.join("sub/a.txt"), "inside\n").unwrap();
    let saved = save(&house, &tree);
    assert_eq!((saved.outcome, saved.left.nested[0].kind), (Outcome::Nothing, NestedKind::Submodule));
    house.run(
        &tree.path.join("sub"),
        &["-c", "user.name=a", "-c", "user.email=a", "commit", "-qam", "inside"],
    );
    let commit = committed(&house, &tree);
    let entry = house.run(&house.repo(), &["ls-tree", commit.as_str(), "sub"]);
    assert!(entry.contains(&house.run(&tree.path.join("sub"), &["rev-parse", "HEAD"])));
}

#[test]
fn special_files_and_links_in_the_way_do_no_harm() {
    let house = House::new();
    let tree = house.worktree("x");
    let outside = house.path("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("b.txt"), "secret\n").unwrap();
    std::fs::remove_dir_all(tree.path.join("dir")).unwrap();
    std::os::unix::fs::symlink(&outside, tree.path.join("dir")).unwrap();
    std::fs::remove_file(tree.path.join("a.txt")).unwrap();
    for fifo in ["a.txt", "fifo"] {
        assert!(std::process::Command::new("mkfifo").arg(tree.path.join(fifo)).status().unwrap().success());
    }
    let saved = save(&house, &tree);
    let Outcome::Committed { commit, .. } = &saved.outcome else { panic!() };
    assert_eq!(saved.left.unsaved, paths(&["a.txt"]));
    let there = files(&house, commit);
    assert!(there.contains(&"dir".to_owned()) && !there.contains(&"dir/b.txt".to_owned()), "{there:?}");
}

#[test]
fn a_missing_or_broken_index_deletes_nothing() {
    let house = House::new();
    let tree = house.worktree("x");
    std::fs::write(tree.path.join("new"), "n").unwrap();
    std::fs::remove_file(tree.path.join("a.txt")).unwrap();
    std::fs::write(tree.admin_dir.join("index"), "garbage").unwrap();
    let commit = committed(&house, &tree);
    let there = files(&house, &commit);
    assert!(there.contains(&"a.txt".to_owned()) && there.contains(&"new".to_owned()));
    std::fs::remove_file(tree.admin_dir.join("index")).unwrap();
    assert!(look(&house, &tree).tracked.is_empty());
    assert_eq!(save(&house, &tree).outcome, Outcome::Nothing);
}

#[test]
fn a_held_index_lock_is_respected_and_told() {
    let house = House::new();
    let tree = house.worktree("x");
    std::fs::write(tree.path.join("new"), "n").unwrap();
    std::fs::write(tree.admin_dir.join("index.lock"), "").unwrap();
    let Outcome::Committed { commit, index_updated } = save(&house, &tree).outcome else { panic!() };
    assert!(!index_updated);
    assert_eq!(house.tip("ai_orch/x"), commit);
    assert!(tree.admin_dir.join("index.lock").exists());
}

#[test]
fn split_indexes_and_attributes_are_handled() {
    let house = House::new();
    std::fs::write(house.repo().join(".gitattributes"), "*.txt text eol=crlf\n").unwrap();
    house.commit("crlf");
    let tree = house.worktree("x");
    house.run(&tree.path, &["update-index", "--split-index"]);
    std::fs::write(tree.path.join("a.txt"), "1\r\n2\r\n").unwrap();
    std::fs::write(tree.path.join("staged"), "s").unwrap();
    house.run(&tree.path, &["add", "staged"]);
    let commit = committed(&house, &tree);
    assert_eq!(house.run(&house.repo(), &["cat-file", "-p", &format!("{commit}:a.txt")]), "1\n2");
    assert!(house.run(&tree.path, &["status", "--porcelain"]).is_empty());
}

#[test]
fn other_repository_formats_save_too() {
    let house = House::empty(&["--object-format=sha256"]).with_first_commit();
    let mut houses = vec![house];
    if houses[0].env().version().unwrap() >= (Version { major: 2, minor: 45 }) {
        houses.push(House::empty(&["--ref-format=reftable"]).with_first_commit());
    }
    for house in houses {
        let tree = house.worktree("x");
        make_a_mess(&tree.path);
        let live = stat(&house.env(), &tree, &house.tip("main"), &Brought::nothing(), Duration::from_secs(5))
            .unwrap();
        assert!(live.complete && live.diff.files >= 7, "{live:?}");
        let kept = rescue(&house.env(), &tree, &house.config(), RESCUE, "r", None).unwrap().unwrap();
        assert_eq!(house.tip(RESCUE), kept.commit);
        let commit = committed(&house, &tree);
        assert_eq!(house.tip("ai_orch/x"), commit);
        assert!(house.run(&tree.path, &["status", "--porcelain"]).is_empty());
    }
}

#[test]
fn the_live_stat_counts_everything_and_is_bounded() {
    let house = House::new();
    let tree = house.worktree("x");
    let base = house.tip("main");
    let live = |within| stat(&house.env(), &tree, &base, &Brought::nothing(), within).unwrap();
    assert_eq!(live(Duration::from_secs(5)).diff.files, 0);
    std::fs::write(tree.path.join("a.txt"), "one\nTWO\nthree\n").unwrap();
    house.run(&tree.path, &["commit", "-qam", "two"]);
    std::fs::write(tree.path.join("new"), "1\n2\n").unwrap();
    std::fs::remove_file(tree.path.join("dir/b.txt")).unwrap();
    std::fs::write(tree.path.join("x.log"), "ignored\n").unwrap();
    let now = live(Duration::from_secs(5));
    assert_eq!((now.diff.files, now.diff.insertions, now.diff.deletions, now.complete), (3, 3, 2, true));
    let cut = live(Duration::ZERO);
    assert_eq!((cut.diff.files, cut.diff.insertions, cut.complete), (3, 0, false));
    // The other way gives the same.
    let other = super::super::stat::by_git(&house.env(), &tree, &base, &Brought::nothing()).unwrap();
    assert_eq!(other, now);
    let sparse = House::new();
    sparse.run(&sparse.repo(), &["sparse-checkout", "set", "dir"]);
    let tree = sparse.worktree("s");
    let live =
        stat(&sparse.env(), &tree, &sparse.tip("main"), &Brought::nothing(), Duration::from_secs(5)).unwrap();
    assert_eq!(live.diff.files, 0);
}

#[test]
fn a_failing_filter_fails_the_commit_but_not_the_snapshot() {
    let house = House::new();
    house.run(&house.repo(), &["config", "filter.big.clean", "false"]);
    house.run(&house.repo(), &["config", "filter.big.required", "true"]);
    let tree = house.worktree("x");
    let attributes = "*.bin filter=big\n*.u16 working-tree-encoding=UTF-16\n";
    std::fs::write(tree.path.join(".gitattributes"), attributes).unwrap();
    std::fs::write(tree.path.join("x.bin"), "bytes\r\n").unwrap();
    std::fs::write(tree.path.join("x.u16"), "odd").unwrap();
    std::fs::remove_file(tree.path.join("dir/b.txt")).unwrap();
    let error = commit_all(&house.env(), &tree, &house.config(), &Brought::nothing(), "m").unwrap_err();
    assert_eq!(error.code(), "program_failed");
    assert_eq!(house.tip("ai_orch/x"), house.tip("main"));
    let kept = rescue(&house.env(), &tree, &house.config(), RESCUE, "r", None).unwrap().unwrap();
    assert!(kept.raw);
    let there = files(&house, &kept.commit);
    assert!(there.contains(&"x.u16".to_owned()) && !there.contains(&"dir/b.txt".to_owned()), "{there:?}");
    let blob = house.try_run(&house.repo(), &["cat-file", "-p", &format!("{RESCUE}:x.bin")]).stdout;
    assert_eq!(blob, b"bytes\r\n");
}

#[test]
fn what_filter_drivers_store_beside_the_repository_stays() {
    let house = House::new();
    let script = house.path("clean.sh");
    let text = "#!/bin/sh\nd=$(git config lfs.storage); mkdir -p \"$d\"; tee \"$d/object\" > \
                \"$(git rev-parse --git-dir)/crypt/key\"; echo pointer\n";
    std::fs::write(&script, text).unwrap();
    std::fs::create_dir(house.repo().join(".git/crypt")).unwrap();
    house.run(&house.repo(), &["config", "filter.lfs.clean", &format!("sh {}", script.display())]);
    let tree = house.worktree("x");
    std::fs::write(tree.path.join(".gitattributes"), "*.bin filter=lfs\n").unwrap();
    std::fs::write(tree.path.join("x.bin"), "bytes").unwrap();
    let commit = committed(&house, &tree);
    assert_eq!(house.run(&house.repo(), &["cat-file", "-p", &format!("{commit}:x.bin")]), "pointer");
    assert_eq!(std::fs::read(house.repo().join(".git/lfs/object")).unwrap(), b"bytes");
    assert_eq!(std::fs::read(house.repo().join(".git/crypt/key")).unwrap(), b"bytes");
}

#[test]
fn a_worktree_of_a_bare_repository_and_of_a_partial_clone_save_too() {
    let house = House::new();
    house.commit("second");
    house.run(&house.repo(), &["config", "uploadpack.allowFilter", "true"]);
    let url = format!("file://{}", house.repo().display());
    house.run(&house.path(""), &["clone", "-q", "--filter=blob:none", "--sparse", &url, "partial"]);
    house.run(&house.path(""), &["clone", "-q", "--bare", "repo", "bare.git"]);
    house.run(&house.path("bare.git"), &["worktree", "add", "-q", "../side", "main"]);
    for (name, from) in [("p", "partial"), ("b", "side")] {
        let repository = super::Repository::require(&house.env(), &house.path(from)).unwrap();
        let tip = repository.head().unwrap().commit().unwrap().clone();
        let config = super::ConfigSnapshot::take(&repository).unwrap();
        let path = house.path("trees").join(name);
        let tree = super::worktree::add(&repository, &house.lock(), &path, "ai_orch/x", &tip).unwrap();
        super::worktree::fill(&house.env(), &tree).unwrap();
        std::fs::write(tree.path.join("new"), "n").unwrap();
        let saved = commit_all(&house.env(), &tree, &config, &Brought::nothing(), "m").unwrap();
        let Outcome::Committed { commit, .. } = saved.outcome else { panic!("{saved:?}") };
        let stat = repository.diff_stat(&tip, &commit).unwrap();
        assert_eq!((stat.files, stat.insertions, stat.deletions), (1, 1, 0), "{from}");
        assert!(house.run(&tree.path, &["status", "--porcelain"]).is_empty());
    }
}
