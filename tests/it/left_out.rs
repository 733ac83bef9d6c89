//! What git leaves out of its lists without an error must not be deleted with the worktree.

use crate::house::House;
use std::fs;
use std::path::PathBuf;

fn run(house: &House, name: &str, task: &str) -> PathBuf {
    let done = house.orch(["run", "--agent-cli", "sh", "--name", name, task]).run();
    assert_eq!(done.code, 0, "{done}");
    PathBuf::from(house.listed(name)["worktree"].as_str().unwrap())
}

/// Neither foretold nor done, and the reason names `what`.
fn stays(house: &House, name: &str, what: &str) {
    for words in [&["clean", name, "--dry-run"][..], &["clean", name]] {
        let done = house.orch(words).run();
        assert!(done.code == 8 && done.stderr.contains(what), "{words:?}: {done}");
    }
}

#[test]
fn names_that_git_refuses_keep_the_worktree() {
    let house = House::new();
    for (name, task, what) in [
        ("short", "echo P > 'git~1'", "git~1"),
        ("upper", "mkdir .GIT; echo P > .GIT/x", ".GIT/x"),
        ("spaced", "mkdir '.git '; echo P > '.git /x'", ".git /x"),
        ("linked", "ln -s target .gitmodules", ".gitmodules"),
    ] {
        let worktree = run(&house, name, &format!("{task}; echo x > x"));
        stays(&house, name, what);
        let shown = house.ok(["show", name]);
        assert!(shown.contains("not saved") && shown.contains(what), "{shown}");
        assert!(worktree.join("x").exists());
    }
}

#[test]
fn a_git_directory_of_any_kind_keeps_the_worktree_unless_nobody_used_it() {
    let house = House::new();
    let replaced =
        "rm .git; git init -q; echo V1 > s; git add -A; git commit -qm one; echo v2 > s; git commit -qam two";
    for (name, task, what) in [
        ("replaced", replaced, ".git"),
        ("file", "mkdir s; echo P > s/.git; touch s/f", "s/.git"),
        ("dir", "mkdir -p s/.git; echo P > s/.git/notes; touch s/f", "s/.git"),
        (
            "broken",
            "git init -q s; cd s; echo V1 > f; git add f; git commit -qm c; echo v2 > f; rm .git/HEAD",
            "s/.git",
        ),
        ("staged", "git init -q n; cd n; echo S > f; git add f; echo later > f", "n/.git"),
        ("words", "mkdir s; echo 'gitdir: PRECIOUS words' > s/.git; touch s/f", "s/.git"),
        ("linked", "mkdir s; ln -s /PRECIOUS s/.git; touch s/f", "s/.git"),
        ("remote", "git init -q n; cd n; git config remote.x.url PRECIOUS; echo f > f", "n/.git"),
        ("exclude", "git init -q n; cd n; echo PRECIOUS > .git/info/exclude; echo f > f", "n/.git"),
        ("hooked", "git init -q n; cd n; echo f > f; echo hook > .git/hooks/post-commit", "n/.git"),
    ] {
        let worktree = run(&house, name, task);
        stays(&house, name, what);
        assert!(worktree.exists(), "{name}");
    }
    let worktree = run(&house, "fresh", "git init -q n; echo f > n/f");
    house.ok(["clean", "fresh"]);
    house.ok(["undo", "fresh"]);
    assert_eq!(fs::read_to_string(worktree.join("n/f")).unwrap(), "f\n");
}

#[test]
fn the_disk_is_what_it_is_whatever_the_repository_says_of_another_one() {
    let house = House::new();
    for (key, value) in [("ignorecase", "true"), ("symlinks", "false"), ("filemode", "false")] {
        house.git(&["config", &format!("core.{key}"), value]);
    }
    let task = "echo UPPER > readme.MD; ln -s README.md link; echo '#!/bin/sh' > run; chmod +x run";
    let worktree = run(&house, "mac", task);
    house.ok(["clean", "mac"]);
    house.ok(["undo", "mac"]);
    assert_eq!(fs::read_to_string(worktree.join("readme.MD")).unwrap(), "UPPER\n");
    assert_eq!(fs::read_to_string(worktree.join("README.md")).unwrap(), "hello\n");
    assert_eq!(fs::read_link(worktree.join("link")).unwrap(), PathBuf::from("README.md"));
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(worktree.join("run")).unwrap().permissions());
    assert_eq!(mode & 0o111, 0o111);
}

/// A house whose repository has the submodule `sub`.
fn with_submodule() -> House {
    let house = House::new();
    house.make_repository(&house.path("lib"));
    fs::write(
        house.path("home/.gitconfig"),
        "[user]\nname = T\nemail = t@t.invalid\n[protocol \"file\"]\nallow = always\n",
    )
    .unwrap();
    let lib = house.path("lib");
    house.git(&["submodule", "-q", "add", lib.to_str().unwrap(), "sub"]);
    house.git(&["commit", "-qm", "sub"]);
    house
}

#[test]
fn commits_of_a_submodule_that_are_nowhere_else_keep_the_worktree() {
    let house = with_submodule();
    let update = "git submodule -q update --init";
    let work = "cd sub; echo WORK > w; git add w; git commit -qm work";
    let worktree = run(&house, "one", &format!("{update}; {work}"));
    stays(&house, "one", "sub");
    // Moved away its files are safe, and its history is not.
    fs::rename(worktree.join("sub"), house.path("moved")).unwrap();
    stays(&house, "one", "commits that are on no remote");
    run(
        &house,
        "two",
        &format!("{update}; {work}; cd ..; git add sub; git commit -qm up; git submodule -q deinit -f sub"),
    );
    stays(&house, "two", "commits that are on no remote");
    // By what the hint says it goes.
    let lib = house.path("lib");
    house.git_in(&lib, &["checkout", "-q", "--detach"]);
    let modules =
        PathBuf::from(house.git(&["rev-parse", "--absolute-git-dir"])).join("worktrees/two/modules/sub");
    house
        .git_in(&modules, &["--git-dir=.", "--work-tree=.", "push", "-q", "origin", "HEAD:refs/heads/saved"]);
    house.ok(["clean", "two"]);
    // Nothing of its own: it can be fetched again.
    run(&house, "three", &format!("{update}; git submodule -q deinit -f sub"));
    house.ok(["clean", "three"]);
    // Nor are they lost to a worktree that is made again.
    let gone = run(&house, "four", &format!("{update}; {work}"));
    fs::remove_dir_all(&gone).unwrap();
    let done = house.orch(["resume", "four", "echo hi"]).run();
    assert!(done.code == 8 && done.stderr.contains("on no remote"), "{done}");
}

#[test]
fn an_agent_whose_last_commit_is_gone_comes_back_with_what_was_saved() {
    let house = House::new();
    let worktree = run(&house, "s", "git checkout -q --detach; echo P > y");
    let gc = || {
        house.git(&["worktree", "prune"]);
        house.git(&["reflog", "expire", "--expire=now", "--all"]);
        house.git(&["gc", "-q", "--prune=now"]);
    };
    fs::remove_dir_all(&worktree).unwrap();
    gc();
    assert_eq!(house.orch(["resume", "s", "echo more > z"]).run().code, 0);
    assert_eq!(house.orch(["wait", "s"]).run().code, 0);
    assert_eq!(fs::read_to_string(worktree.join("y")).unwrap(), "P\n");
    house.ok(["clean", "s"]);
    gc();
    house.ok(["undo", "s"]);
    assert_eq!(fs::read_to_string(worktree.join("y")).unwrap(), "P\n");
    assert_eq!(fs::read_to_string(worktree.join("z")).unwrap(), "more\n");
    // A commit that only the record knows, because somebody removed all that held it.
    house.ok(["clean", "s"]);
    let refs = house.git(&["for-each-ref", "--format=%(refname)", "refs/ai_orch/rescue"]);
    for name in refs.lines().filter(|name| name.contains("/state/") || name.contains("/branch/")) {
        house.git(&["update-ref", "-d", name]);
    }
    gc();
    house.ok(["undo", "s"]);
    assert_eq!(fs::read_to_string(worktree.join("y")).unwrap(), "P\n");
}

#[test]
fn commits_that_are_still_to_be_picked_are_kept() {
    let house = House::new();
    let task = "git checkout -q -b s1; echo 1 > README.md; git commit -qam s1; echo b > b; git add b; git commit -qm s2
        git checkout -q -; echo 2 > README.md; git commit -qam m; git rev-parse s1 > ../picked; git cherry-pick s1~1 s1; git branch -qD s1; true";
    let worktree = run(&house, "picks", task);
    let picked = fs::read_to_string(worktree.join("../picked")).unwrap();
    house.ok(["clean", "picks"]);
    house.git(&["reflog", "expire", "--expire=now", "--all"]);
    house.git(&["gc", "-q", "--prune=now"]);
    assert_eq!(house.git(&["cat-file", "-t", picked.trim()]), "commit");
}

#[test]
fn refs_of_a_worktree_alone_are_kept_in_every_kind_of_repository() {
    for format in ["files", "reftable"] {
        let house = House::new();
        let repo = house.path("other");
        fs::create_dir(&repo).unwrap();
        let made = house
            .command("git")
            .args(["init", "-q", &format!("--ref-format={format}")])
            .current_dir(&repo)
            .output();
        if !made.unwrap().status.success() {
            assert_eq!(format, "reftable");
            eprintln!("SKIPPED: this git has no reftable");
            continue;
        }
        house.git_in(&repo, &["commit", "-q", "--allow-empty", "-m", "base"]);
        let task = "echo K > k; git add k; git commit -qm KEEP; git rev-parse HEAD > ../kept; git update-ref refs/worktree/keep HEAD; git reset -q --hard HEAD~1";
        let done = house.orch(["run", "--agent-cli", "sh", "--name", "keeps", task]).dir(&repo).run();
        assert_eq!(done.code, 0, "{done}");
        let worktree = PathBuf::from(house.listed("keeps")["worktree"].as_str().unwrap());
        let kept = fs::read_to_string(worktree.join("../kept")).unwrap();
        house.ok(["clean", "keeps"]);
        house.git_in(&repo, &["reflog", "expire", "--expire=now", "--all"]);
        house.git_in(&repo, &["gc", "-q", "--prune=now"]);
        assert_eq!(house.git_in(&repo, &["cat-file", "-t", kept.trim()]), "commit", "{format}");
    }
}
