//! What we copied or linked into a worktree is not the agent's work: no commit and no difference of ours holds it, whatever `.gitignore`
//! says by then, and what is saved holds it all the same.

use crate::house::{Call, House};
use crate::trust::file;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;

/// Names that mean something to whoever takes them for patterns, or for lines.
const ODD: [&str; 9] = [
    "plain.key",
    "with space.key",
    "star*.key",
    "br[a].key",
    "new\nline.key",
    "!bang.key",
    "#hash.key",
    "\\back.key",
    "dir/deep.key",
];

/// A repository whose checkout has secrets, and a directory that is shared by a link.
fn house() -> House {
    let house = House::new();
    fs::write(house.repo().join(".gitignore"), "*.key\n/shared\n").unwrap();
    house.git(&["add", ".gitignore"]);
    house.git(&["commit", "-q", "-m", "ignore"]);
    fs::create_dir(house.repo().join("dir")).unwrap();
    for name in ODD {
        fs::write(house.repo().join(name), "SECRET\n").unwrap();
    }
    fs::create_dir(house.repo().join("shared")).unwrap();
    fs::write(house.repo().join("shared/dep.js"), "dep\n").unwrap();
    file(&house, "copy = ['*.key']\nsymlink = ['shared/']\n");
    house.git(&["add", ".ai_orch.toml"]);
    house.git(&["commit", "-q", "-m", "file"]);
    house.ok(["trust"]);
    house
}

fn ran(call: Call) -> Value {
    let done = call.run();
    assert_eq!(done.code, 0, "{done}");
    done.json()["agent"].clone()
}

fn run(house: &House, words: &[&str]) -> Value {
    ran(house.orch([&["run", "--json", "--agent-cli", "sh", "--name", "one"], words].concat()))
}

fn held(house: &House, name: &str) -> Vec<String> {
    let list = house.git(&["ls-tree", "-r", "-z", "--name-only", name]);
    list.split_terminator('\0').map(str::to_owned).collect()
}

#[test]
fn it_stays_out_of_commits_whatever_the_agent_makes_of_gitignore() {
    let house = house();
    let task = "echo > .gitignore; echo work > work.txt; echo CHANGED >> 'with space.key'; mkdir new; echo mine > new/own.key";
    let agent = run(&house, &[task]);
    let own = [".ai_orch.toml", ".gitignore", "README.md", "new/own.key", "work.txt"];
    assert_eq!(held(&house, "ai_orch/one"), own);
    assert_eq!(agent["changes"]["uncommitted"], false, "{agent:#}");
    assert_eq!(
        (agent["changes"]["files"].as_u64(), agent["changes"]["commits"].as_u64()),
        (Some(3), Some(1))
    );
    let diff = house.ok(["diff", "one", "--json"]);
    assert!(!diff.contains("SECRET") && !diff.contains("plain.key") && diff.contains("own.key"), "{diff}");
    let worktree = PathBuf::from(agent["worktree"].as_str().unwrap());
    assert_eq!(fs::read_to_string(worktree.join("shared/dep.js")).unwrap(), "dep\n");
    // Nothing is lost: what is saved has all of it, with what the agent made of it.
    let rescue = house.git(&["for-each-ref", "--format=%(refname)", "refs/ai_orch/rescue"]);
    let rescue = rescue.lines().next().unwrap();
    let saved = held(&house, rescue);
    assert!(ODD.iter().all(|name| saved.iter().any(|held| held == name)), "{saved:?}");
    assert_eq!(house.git(&["show", &format!("{rescue}:with space.key")]), "SECRET\nCHANGED");
    // The same for whoever goes on, and in a worktree that came back.
    house.ok(["clean", "one"]);
    house.ok(["undo", "one"]);
    assert_eq!(fs::read_to_string(worktree.join("with space.key")).unwrap(), "SECRET\nCHANGED\n");
    house.ok(["resume", "one", "echo more > more.txt"]);
    assert_eq!(house.orch(["wait", "one"]).run().code, 0);
    assert_eq!(held(&house, "ai_orch/one"), [&own[..3], &["more.txt"], &own[3..]].concat());
    assert_eq!(house.show("one")["agent"]["changes"]["uncommitted"], false);
}

#[test]
fn what_git_never_ignored_is_not_committed_either_and_makes_no_change() {
    let house = House::new();
    fs::write(house.repo().join("local.env"), "SECRET\n").unwrap();
    let agent = run(&house, &["--copy", "local.env", "true"]);
    assert_eq!(held(&house, "ai_orch/one"), ["README.md"]);
    assert_eq!(agent["changes"]["files"], 0, "{agent:#}");
    assert_eq!(agent["changes"]["uncommitted"], false, "{agent:#}");
    assert!(house.orch(["diff", "one"]).run().stdout.is_empty());
}

#[test]
fn what_the_agent_puts_into_the_index_or_in_its_place_is_its_own() {
    let house = house();
    let task = "git add -f plain.key; rm shared; echo mine > shared; git add -f star*.key; git commit -qm theirs; echo > .gitignore; git add '!bang.key'";
    run(&house, &[task]);
    let own = ["!bang.key", ".ai_orch.toml", ".gitignore", "README.md", "plain.key", "shared", "star*.key"];
    assert_eq!(held(&house, "ai_orch/one"), own);
}

#[test]
fn a_copy_that_was_cut_off_is_known_for_one() {
    let house = House::new();
    fs::write(house.repo().join("one.key"), "SECRET\n").unwrap();
    fs::write(house.repo().join("two.key"), "SECRET\n").unwrap();
    // Every agent passes about the same points.
    fs::write(house.path("home/.config/ai_orch/config.toml"), "pool = 0\n").unwrap();
    let log = house.path("points");
    ran(house
        .orch(["run", "--json", "--agent-cli", "sh", "--name", "first", "--copy", "*.key", "true"])
        .env("AI_ORCH_CRASH_LOG", &log));
    let points = fs::read_to_string(&log).unwrap();
    let copies = points.lines().filter(|line| line.starts_with("keeper ") && line.ends_with("key along"));
    let at: Vec<usize> = copies.map(|line| line.split(' ').nth(2).unwrap().parse().unwrap()).collect();
    let (mut halves, mut parts) = (0, 0);
    for n in at[0] - 8..at[1] + 4 {
        let name = format!("cut-{n}");
        let _died = house
            .orch(["run", "--detach", "--agent-cli", "sh", "--name", &name, "--copy", "*.key", "echo x > x"])
            .env("AI_ORCH_CRASH", format!("keeper:{n}"))
            .run();
        let _interrupted = house.orch(["wait", &name]).run();
        let worktree = PathBuf::from(house.show(&name)["agent"]["worktree"].as_str().unwrap());
        let is = |path: &str| worktree.join(path).exists();
        parts += usize::from(is("one.key.ai_orch-part"));
        halves += usize::from(is("one.key") && !is("two.key"));
        // The checkout has nothing of it any more when somebody goes on.
        let aside = house.path("aside");
        fs::rename(house.repo().join("one.key"), &aside).unwrap();
        let resumed = house.orch(["resume", &name]).run();
        assert_eq!(resumed.code, 0, "{n}: {resumed}");
        assert_eq!(house.orch(["wait", &name]).run().code, 0);
        fs::rename(&aside, house.repo().join("one.key")).unwrap();
        assert_eq!(held(&house, &format!("ai_orch/{name}")), ["README.md", "x"], "{n}");
    }
    assert!(halves > 0 && parts > 0, "{halves} {parts}");
}
