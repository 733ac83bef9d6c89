//! Repositories of every kind: an agent works in it, or what to type is said; the user's own things stay as they are.

use crate::fakes::{assert_harmless, json_error, names};
use crate::house::House;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What is the user's in a checkout: each file with its kind, mode, times and content. Not what an agent adds to a
/// repository: objects, its branch, its worktree, what is saved of it.
fn users(checkout: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![checkout.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(checkout).unwrap();
            let ours = [
                ".git/worktrees",
                ".git/objects",
                ".git/refs/ai_orch",
                ".git/refs/heads/ai_orch",
                ".git/logs/refs/heads/ai_orch",
            ];
            if ours.iter().any(|o| name.starts_with(o)) {
                continue;
            }
            let meta = std::fs::symlink_metadata(&path).unwrap();
            let told = if meta.is_dir() {
                dirs.push(path.clone());
                format!("dir {:o}", meta.mode())
            } else if meta.is_symlink() {
                format!("link {}", std::fs::read_link(&path).unwrap().display())
            } else {
                let hash = Sha256::digest(std::fs::read(&path).unwrap());
                format!(
                    "file {:o} {}.{} {}",
                    meta.mode(),
                    meta.mtime(),
                    meta.mtime_nsec(),
                    hash.iter().map(u8::to_string).collect::<Vec<_>>().join(".")
                )
            };
            found.insert(String::from_utf8_lossy(name.as_os_str().as_bytes()).into_owned(), told);
        }
    }
    found
}

/// The task of every agent here: a change in a tracked file, a new file, a commit, something left over.
const WORK: &str = "echo more >> README.md; git add -A; git -c user.name=a -c user.email=a@a.invalid commit -q -m work; echo left > left.txt; mkdir -p d; echo x > d/new";

/// Runs an agent in `dir`, and expects that it can work and that `checkout` is as before.
fn works_in(house: &House, dir: &Path, checkout: &Path) -> serde_json::Value {
    let before = users(checkout);
    let done = house.orch(["run", "--json", "--agent-cli", "sh", WORK]).dir(dir).run();
    assert_eq!(done.code, 0, "{}: {done}", dir.display());
    let after = users(checkout);
    let changed: Vec<_> = before
        .iter()
        .filter(|(k, v)| after.get(*k) != Some(v))
        .map(|(k, _)| k)
        .chain(after.keys().filter(|k| !before.contains_key(*k)))
        .collect();
    assert!(changed.is_empty(), "{changed:#?}");
    let agent = done.json()["agent"].clone();
    assert_eq!(agent["state"], "done");
    assert_eq!(agent["changes"]["commits"], 2, "{agent:#}");
    assert_eq!(agent["changes"]["uncommitted"], false, "{agent:#}");
    let branch = agent["branch"].as_str().unwrap().to_owned();
    assert_eq!(house.git_in(checkout, &["show", &format!("{branch}:left.txt")]), "left");
    agent
}

/// Expects that no agent can work in `dir`: nothing is made, and `hint` is what to type.
fn refused_in(house: &House, dir: &Path, code: i32, word: &str, hint: &str) {
    let done = house.orch(["--json", "run", "--agent-cli", "sh", WORK]).dir(dir).run();
    assert_eq!((done.code, done.stdout.as_str()), (code, ""), "{done}");
    let error = json_error(&done);
    assert_eq!(error["error"]["code"], word, "{done}");
    let said = house.orch(["run", "--agent-cli", "sh", WORK]).dir(dir).run();
    assert!(said.stderr.contains(hint), "{said}");
    assert_harmless(&said);
    assert_eq!(names(house), Vec::<String>::new());
}

#[test]
fn where_no_agent_can_work_it_says_what_to_type() {
    let house = House::new();
    let plain = house.path("plain");
    std::fs::create_dir(&plain).unwrap();
    refused_in(&house, &plain, 2, "not_a_repository", "git init");
    let unborn = house.path("unborn");
    house.git_in(&house.path(""), &["init", "-q", "unborn"]);
    refused_in(&house, &unborn, 2, "no_commit", "git commit --allow-empty");
    let bare = house.path("bare.git");
    house.git_in(&house.path(""), &["clone", "-q", "--bare", "repo", "bare.git"]);
    refused_in(&house, &bare, 2, "bare_repository", "git worktree add");
    refused_in(&house, &house.path("repo/.git"), 2, "inside_git_dir", "change into the checkout");
    refused_in(&house, &house.path("repo/.git/refs"), 2, "inside_git_dir", "change into the checkout");
    let broken = house.path("broken");
    std::fs::create_dir_all(broken.join("sub")).unwrap();
    std::fs::write(broken.join(".git"), "gitdir: /nowhere/at/all\n").unwrap();
    let done = house.orch(["run", "--agent-cli", "sh", WORK]).dir(broken.join("sub")).run();
    assert_ne!(done.code, 0, "{done}");
    assert!(done.stderr.contains("/nowhere/at/all"), "{done}");
    let gone = house.path("gone");
    std::fs::create_dir(&gone).unwrap();
    let script =
        format!("cd '{0}' && rmdir '{0}' && exec '{1}' list", gone.display(), env!("CARGO_BIN_EXE_ai_orch"));
    let output = house.command("sh").args(["-c", &script]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.code() != Some(70) && (output.status.success() || said.contains("working directory")),
        "{said}"
    );
}

#[test]
fn verbs_that_need_no_repository_work_anywhere() {
    let house = House::new();
    house.start(["--name", "one", "--agent-cli", "sh", WORK]);
    let plain = house.path("plain");
    std::fs::create_dir(&plain).unwrap();
    for words in [
        &["wait", "one"][..],
        &["list"],
        &["show", "one"],
        &["logs", "one"],
        &["diff", "one"],
        &["doctor"],
        &["kill", "one"],
    ] {
        let done = house.orch(words).dir(&plain).run();
        assert_eq!(done.code, 0, "{words:?}: {done}");
    }
    let done = house.orch(["list", "--here"]).dir(&plain).run();
    assert_eq!(done.code, 2, "{done}");
    assert!(done.stderr.contains("git init"), "{done}");
    let other = house.path("other");
    house.make_repository(&other);
    let here = |dir: &Path| {
        house.orch(["list", "--here", "--json"]).dir(dir).run().json()["agents"].as_array().unwrap().len()
    };
    assert_eq!((here(&house.repo()), here(&other)), (1, 0));
}

#[test]
fn a_dirty_checkout_stays_as_it_is() {
    let house = House::new();
    let repo = house.repo();
    std::fs::write(repo.join("staged.txt"), "staged\n").unwrap();
    std::fs::write(repo.join("both.txt"), "one\n").unwrap();
    house.git(&["add", "."]);
    house.git(&["commit", "-q", "-m", "second"]);
    house.git(&["stash", "list"]);
    std::fs::write(repo.join("README.md"), "to be stashed\n").unwrap();
    house.git(&["stash"]);
    std::fs::write(repo.join("staged.txt"), "staged, changed\n").unwrap();
    house.git(&["add", "staged.txt"]);
    std::fs::write(repo.join("both.txt"), "two\n").unwrap();
    house.git(&["add", "both.txt"]);
    std::fs::write(repo.join("both.txt"), "three\n").unwrap();
    std::fs::write(repo.join("README.md"), "not staged\n").unwrap();
    std::fs::write(repo.join("untracked.txt"), "mine\n").unwrap();
    std::fs::create_dir_all(repo.join("new/dir")).unwrap();
    std::os::unix::fs::symlink("nowhere", repo.join("new/link")).unwrap();
    std::fs::remove_file(repo.join("staged.txt")).unwrap();
    let agent = works_in(&house, &repo, &repo);
    let branch = agent["branch"].as_str().unwrap();
    assert_eq!(
        house.git(&["show", &format!("{branch}:README.md")]),
        "hello\nmore",
        "it starts from the commit"
    );
    assert_eq!(house.git(&["stash", "list", "--format=%gd"]), "stash@{0}");
    house.ok(["list"]);
    house.ok(["show", agent["session"].as_str().unwrap()]);
    house.ok(["diff", agent["session"].as_str().unwrap()]);
}

#[test]
fn head_may_be_anywhere() {
    let house = House::new();
    let repo = house.repo();
    let first = house.git(&["rev-parse", "HEAD"]);
    house.git(&["branch", "-m", "master"]);
    assert_eq!(works_in(&house, &repo, &repo)["base_name"], "master");
    house.git(&["commit", "-q", "--allow-empty", "-m", "second"]);
    house.git(&["checkout", "-q", "--detach", &first]);
    let agent = works_in(&house, &repo, &repo);
    assert_eq!(
        (agent["base"].as_str().unwrap(), agent["base_name"].as_str().unwrap()),
        (first.as_str(), &first[..10])
    );
    house.git(&["checkout", "-q", "-b", "feature/with/slashes", "master"]);
    assert_eq!(works_in(&house, &repo, &repo)["base_name"], "feature/with/slashes");
    // In the middle of a rebase the checkout is the user's business too.
    std::fs::write(repo.join("README.md"), "mine\n").unwrap();
    house.git(&["commit", "-q", "-am", "mine"]);
    house.git(&["checkout", "-q", "master"]);
    std::fs::write(repo.join("README.md"), "theirs\n").unwrap();
    house.git(&["commit", "-q", "-am", "theirs"]);
    let merge = house.command("git").args(["merge", "feature/with/slashes"]).output().unwrap();
    assert!(!merge.status.success() && repo.join(".git/MERGE_HEAD").exists());
    works_in(&house, &repo, &repo);
}

#[test]
fn odd_places_work() {
    let house = House::new();
    for name in [
        "with space",
        "quo'te\"s",
        "new\nline",
        "ünï-日本語",
        "-dash",
        "a;b&c|d",
        "percent%20",
        "tab\there",
        "back\\slash",
    ] {
        let repo = house.path(name);
        house.make_repository(&repo);
        works_in(&house, &repo, &repo);
    }
    let repo = house.repo();
    std::fs::create_dir_all(repo.join("sub/deep")).unwrap();
    works_in(&house, &repo.join("sub/deep"), &repo);
    // By way of a link it is the same repository.
    let link = house.path("link");
    std::os::unix::fs::symlink(&repo, &link).unwrap();
    let agent = works_in(&house, &link, &repo);
    assert_eq!(agent["project"], house.listed(agent["session"].as_str().unwrap())["project"]);
    let projects: std::collections::BTreeSet<String> = {
        let list: serde_json::Value = serde_json::from_str(&house.ok(["list", "--json", "--here"])).unwrap();
        list["agents"].as_array().unwrap().iter().map(|a| a["project"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(projects.len(), 1);
}

#[test]
fn a_path_that_is_no_text_works() {
    let house = House::new();
    let repo = house.path(std::ffi::OsStr::from_bytes(b"odd\xff\xfename"));
    house.make_repository(&repo);
    let agent = works_in(&house, &repo, &repo);
    assert!(agent["checkout"].is_array(), "bytes where there is no text: {agent}");
    let session = agent["session"].as_str().unwrap();
    for words in [&["list"][..], &["show", session], &["diff", session]] {
        house.ok(words);
    }
}

#[test]
fn submodules_shallow_clones_and_linked_worktrees_work() {
    let house = House::new();
    house.make_repository(&house.path("lib"));
    let repo = house.repo();
    house.git(&[
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
        house.path("lib").to_str().unwrap(),
        "lib",
    ]);
    house.git(&["commit", "-q", "-m", "with a submodule"]);
    works_in(&house, &repo, &repo);
    house.git(&["commit", "-q", "--allow-empty", "-m", "more"]);
    let url = format!("file://{}", repo.display());
    house.git_in(&house.path(""), &["clone", "-q", "--depth", "1", &url, "shallow"]);
    let shallow = house.path("shallow");
    works_in(&house, &shallow, &shallow);
    // The user's own worktree of the repository: its HEAD is what counts, and it belongs to the same repository.
    let linked = house.path("linked");
    house.git(&["worktree", "add", "-q", "-b", "mine", linked.to_str().unwrap()]);
    house.git_in(&linked, &["commit", "-q", "--allow-empty", "-m", "only here"]);
    let tip = house.git_in(&linked, &["rev-parse", "HEAD"]);
    let mine = users(&repo);
    let agent = works_in(&house, &linked, &linked);
    assert_eq!((agent["base_name"].as_str(), agent["base"].as_str()), (Some("mine"), Some(tip.as_str())));
    assert!(agent["project"].as_str().unwrap().starts_with("repo-"), "{agent}");
    assert_eq!(users(&repo), mine);
    // In the submodule's checkout agents work on the submodule.
    let agent = works_in(&house, &repo.join("lib"), &repo.join("lib"));
    assert_eq!(agent["base_name"], "main");
}

#[test]
fn without_an_identity_what_is_left_is_committed_all_the_same() {
    let house = House::new();
    let repo = house.repo();
    std::fs::write(house.path("home/.gitconfig"), "[user]\nuseConfigOnly = true\n").unwrap();
    let agent = works_in(&house, &repo, &repo);
    let branch = agent["branch"].as_str().unwrap();
    assert_eq!(house.git(&["log", "-1", "--format=%an <%ae>", branch]), "ai_orch <ai_orch@localhost>");
    assert_eq!(agent["not_committed"], serde_json::Value::Null);
}

#[test]
fn branches_of_others_are_never_taken() {
    let house = House::new();
    house.git(&["branch", "ai_orch/fix"]);
    let tip = house.git(&["rev-parse", "ai_orch/fix"]);
    let done = house.orch(["run", "--json", "--name", "fix", "--agent-cli", "sh", WORK]).run();
    assert_eq!(done.code, 0, "{done}");
    assert_eq!(done.json()["agent"]["session"], "fix-2");
    assert_eq!(house.git(&["rev-parse", "ai_orch/fix"]), tip);
    let done = house.orch(["run", "--name", "fix", "--agent-cli", "sh", "true"]).run();
    assert!(done.stderr.contains("note: the name fix is taken; this agent is fix-3"), "{done}");
    house.git(&["branch", "ai_orch/deep/er"]);
    let done = house.orch(["run", "--json", "--name", "deep", "--agent-cli", "sh", "true"]).run();
    assert_eq!(done.json()["agent"]["session"], "deep-2", "{done}");
    // A branch that stands where all of ours would be.
    let other = house.path("other");
    house.make_repository(&other);
    house.git_in(&other, &["branch", "ai_orch"]);
    let before = users(&other);
    let done = house.orch(["--json", "run", "--agent-cli", "sh", WORK]).dir(&other).run();
    assert_eq!(done.code, 8, "{done}");
    assert_eq!(json_error(&done)["error"]["code"], "branch_name_clash");
    assert_eq!(users(&other), before);
    std::fs::write(house.path("home/.config/ai_orch/config.toml"), "branch_prefix = \"agents/\"\n").unwrap();
    let done = house.orch(["run", "--json", "--name", "mine", "--agent-cli", "sh", WORK]).dir(&other).run();
    assert_eq!(done.json()["agent"]["branch"], "agents/mine", "{done}");
}

#[test]
fn what_is_gone_is_said_and_everything_else_goes_on() {
    let house = House::new();
    for name in ["no-worktree", "no-branch", "no-repo"] {
        house.start(["--name", name, "--agent-cli", "sh", WORK]);
    }
    assert_eq!(house.orch(["wait", "no-worktree", "no-branch", "no-repo"]).run().code, 0);
    let looks = |name: &str| {
        for words in [
            &["show", name][..],
            &["list"],
            &["logs", name],
            &["attach", name],
            &["wait", name],
            &["kill", name],
        ] {
            let done = house.orch(words).run();
            assert_eq!(done.code, 0, "{words:?}: {done}");
        }
    };
    let worktree = |name: &str| std::path::PathBuf::from(house.listed(name)["worktree"].as_str().unwrap());
    std::fs::remove_dir_all(worktree("no-worktree")).unwrap();
    looks("no-worktree");
    assert!(house.ok(["show", "no-worktree"]).contains("worktree gone"));
    let done = house.orch(["diff", "no-worktree"]).run();
    assert_eq!(done.code, 8, "{done}");
    assert!(done.stderr.contains("the worktree of no-worktree is gone: "), "{done}");
    // What it says to type works.
    let typed = done.stderr.lines().find_map(|l| l.split_once(": git ")).unwrap().1.to_owned();
    assert!(house.git(&typed.split(' ').collect::<Vec<_>>()).contains("+more"));
    house.git(&["worktree", "remove", "--force", worktree("no-branch").to_str().unwrap()]);
    house.git(&["branch", "-q", "-D", "ai_orch/no-branch"]);
    looks("no-branch");
    // The name stays with the agent that had it.
    let done = house.orch(["run", "-d", "--name", "no-branch", "--agent-cli", "sh", "true"]).run();
    assert_eq!(done.stdout, "no-branch-2\n", "{done}");
    assert_eq!(house.orch(["wait", "no-branch-2"]).run().code, 0);
    std::fs::rename(house.repo(), house.path("moved")).unwrap();
    std::fs::create_dir(house.repo()).unwrap();
    looks("no-repo");
    let done = house.orch(["diff", "no-repo"]).run();
    assert_eq!(done.code, 8, "{done}");
    assert!(done.stderr.contains("the repository of no-repo is gone: "), "{done}");
    assert!(done.stderr.contains("git diff "), "{done}");
}

#[test]
fn locks_of_a_git_that_was_killed_do_not_keep_the_work_off_its_branch() {
    let house = House::new();
    let locks = "d=$(git rev-parse --absolute-git-dir); : >$d/index.lock; : >$d/HEAD.lock; : >$d/../../refs/heads/ai_orch/locked.lock";
    let task = format!("{locks}; echo work >work.txt");
    house.ok(["run", "--agent-cli", "sh", "--name", "locked", "--", &task]);
    assert_eq!(house.git(&["show", "ai_orch/locked:work.txt"]), "work");
    let worktree = house.listed("locked")["worktree"].as_str().unwrap().to_owned();
    assert_eq!(house.git_in(Path::new(&worktree), &["status", "--porcelain"]), "");
}
