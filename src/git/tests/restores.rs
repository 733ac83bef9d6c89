//! Away and back: what was in a worktree is there again, file by file and in git's eyes.

use super::super::restore::{Target, restore};
use super::super::{CommitId, Repository, Worktree, remove, rescue, worktree};
use super::House;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// By path: executable, file or link, and the content.
type Files = BTreeMap<PathBuf, (char, Vec<u8>)>;

const SMALL: u64 = 1 << 20;

/// Every file and link below `root`: executable or not, content. Git directories are left out.
fn files(root: &Path) -> Files {
    let mut found = BTreeMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_owned();
            let meta = path.symlink_metadata().unwrap();
            if path.file_name().unwrap() == ".git" {
                continue;
            }
            if meta.is_dir() {
                todo.push(path);
            } else if meta.is_symlink() {
                found.insert(name, ('l', std::fs::read_link(&path).unwrap().into_os_string().into_vec()));
            } else {
                let kind = if meta.permissions().mode() & 0o100 == 0 { 'f' } else { 'x' };
                found.insert(name, (kind, std::fs::read(&path).unwrap()));
            }
        }
    }
    found
}

fn status(house: &House, dir: &Path) -> String {
    // Where a filter is gone git has no status.
    let out = house.try_run(dir, &["status", "--porcelain=v2", "-z", "--ignored"]);
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// What a worktree is, as far as it has to come back.
fn picture(house: &House, tree: &Worktree) -> (Files, Vec<String>) {
    // An entry "to be added" whose file is gone holds nothing, and does not come back.
    let empty =
        |line: &&str| line.starts_with("1 .D") && line.contains(" e69de29bb2d1d6434b8b29ae775ad8c2e48c5391 ");
    let status = status(house, &tree.path);
    let status = status.split('\0').filter(|line| !empty(line)).map(str::to_owned).collect();
    (files(&tree.path), status)
}

/// Takes it away wholly and makes it again.
fn away_and_back(house: &House, tree: &Worktree) -> Worktree {
    let (env, config) = (house.env(), house.config());
    let head = worktree::head(&env, tree).unwrap();
    let saved = rescue::save(&env, tree, &config, "refs/ai_orch/rescue/x/1", "m", Some(SMALL)).unwrap();
    let again = rescue::save(&env, tree, &config, "refs/ai_orch/rescue/x/1", "m", Some(SMALL)).unwrap();
    assert_eq!(saved, again);
    let trash = house.path("trash");
    assert!(remove::move_aside(tree, &trash).unwrap());
    remove::admin(tree).unwrap();
    if let (Some(branch), Some(tip)) = (head.branch(), head.commit()) {
        house.run(&house.repo(), &["update-ref", "-d", &format!("refs/heads/{branch}"), tip.as_str()]);
    }
    remove::tree(&trash).unwrap();
    assert!(!tree.path.exists() && !tree.admin_dir.exists() && !trash.exists());
    let target = Target::from(&head);
    let rescue = saved.map(|saved| saved.commit);
    let repository = Repository::require(&env, &house.repo()).unwrap();
    let made = restore(&repository, &house.lock(), &config, &tree.path, &target, rescue.as_ref()).unwrap();
    let first = picture(house, &made);
    let twice = restore(&repository, &house.lock(), &config, &tree.path, &target, rescue.as_ref()).unwrap();
    assert_eq!((&made, first), (&twice, picture(house, &twice)));
    assert_eq!(worktree::head(&env, &made).unwrap(), head);
    house.run(&house.repo(), &["fsck", "--no-dangling", "--no-progress"]);
    made
}

fn comes_back(house: &House, tree: &Worktree) -> Worktree {
    let before = picture(house, tree);
    let made = away_and_back(house, tree);
    let after = picture(house, &made);
    assert_eq!(before.0, after.0, "files");
    assert_eq!(before.1, after.1, "status");
    made
}

fn write(tree: &Worktree, name: &str, text: &str) {
    let path = tree.path.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

#[test]
fn a_clean_worktree() {
    let house = House::new();
    let tree = house.worktree("x");
    let before = house.users_state();
    let made = comes_back(&house, &tree);
    assert_eq!(made, tree);
    assert_eq!(house.users_state(), before);
    assert_eq!(house.tip("refs/ai_orch/rescue/x/1"), house.tip("main"));
}

#[test]
fn all_kinds_of_changes_at_once() {
    let house = House::new();
    for n in 0..6 {
        std::fs::write(house.repo().join(format!("f{n}")), format!("content {n}\n").repeat(20)).unwrap();
    }
    house.commit("more");
    let tree = house.worktree("x");
    write(&tree, "a.txt", "changed\n");
    write(&tree, "new", "untracked\n");
    write(&tree, "f0", "staged\n");
    house.run(&tree.path, &["add", "f0"]);
    write(&tree, "f0", "staged, then edited\n");
    std::fs::remove_file(tree.path.join("f1")).unwrap();
    house.run(&tree.path, &["rm", "-q", "f2"]);
    house.run(&tree.path, &["rm", "-q", "--cached", "f3"]);
    house.run(&tree.path, &["mv", "f4", "renamed"]);
    std::fs::set_permissions(tree.path.join("run.sh"), PermissionsExt::from_mode(0o644)).unwrap();
    std::fs::set_permissions(tree.path.join("f5"), PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::remove_file(tree.path.join("link")).unwrap();
    std::os::unix::fs::symlink("/nowhere/at all", tree.path.join("link")).unwrap();
    std::os::unix::fs::symlink("..", tree.path.join("up")).unwrap();
    write(&tree, "intended", "i\n");
    write(&tree, "intended-empty", "");
    write(&tree, "staged-empty", "");
    house.run(&tree.path, &["add", "-N", "intended", "intended-empty"]);
    house.run(&tree.path, &["add", "staged-empty"]);
    write(&tree, "staged-empty", "no more\n");
    write(&tree, "ignored", "small\n");
    write(&tree, "deep/er/x.log", "log\n");
    std::fs::write(tree.path.join(std::ffi::OsStr::from_bytes(b"caf\xe9\n\"x")), "odd\n").unwrap();
    write(&tree, "-rf", "dash\n");
    write(&tree, ":(top)x", "magic\n");
    write(&tree, "two\nlines", "n\n");
    std::fs::create_dir(tree.path.join("empty")).unwrap();
    comes_back(&house, &tree);
}

#[test]
fn marks_of_the_index() {
    let house = House::new();
    let tree = house.worktree("x");
    house.run(&tree.path, &["update-index", "--assume-unchanged", "a.txt"]);
    house.run(&tree.path, &["update-index", "--skip-worktree", "run.sh", "dir/b.txt"]);
    write(&tree, "a.txt", "hidden 1\n");
    write(&tree, "run.sh", "hidden 2\n");
    std::fs::remove_file(tree.path.join("dir/b.txt")).unwrap();
    let before = house.run(&tree.path, &["ls-files", "-v"]);
    comes_back(&house, &tree);
    assert_eq!(house.run(&tree.path, &["ls-files", "-v"]), before);
}

#[test]
fn the_middle_of_a_merge() {
    let house = House::new();
    for name in ["both", "ours-gone", "theirs-gone"] {
        std::fs::write(house.repo().join(name), "base\n").unwrap();
    }
    house.commit("base");
    let tree = house.worktree("x");
    house.run(&tree.path, &["checkout", "-q", "-b", "other"]);
    write(&tree, "both", "other\n");
    write(&tree, "ours-gone", "other\n");
    write(&tree, "added", "other\n");
    write(&tree, "easy", "e\n");
    house.run(&tree.path, &["rm", "-q", "theirs-gone"]);
    house.run(&tree.path, &["add", "-A"]);
    house.run(&tree.path, &["commit", "-q", "-m", "other"]);
    house.run(&tree.path, &["checkout", "-q", &tree.branch]);
    write(&tree, "both", "mine\n");
    write(&tree, "theirs-gone", "mine\n");
    write(&tree, "added", "mine\n");
    house.run(&tree.path, &["rm", "-q", "ours-gone"]);
    house.run(&tree.path, &["add", "-A"]);
    house.run(&tree.path, &["commit", "-q", "-m", "mine"]);
    assert!(!house.try_run(&tree.path, &["merge", "-q", "other"]).status.success());
    let before = house.run(&tree.path, &["ls-files", "-s"]);
    assert!(before.contains(" 3\t"));
    comes_back(&house, &tree);
    assert_eq!(house.run(&tree.path, &["ls-files", "-s"]), before);
}

#[test]
fn a_head_that_moved() {
    let house = House::new();
    let tree = house.worktree("x");
    house.run(&tree.path, &["checkout", "-q", "--detach"]);
    write(&tree, "n", "1");
    house.run(&tree.path, &["add", "n"]);
    house.run(&tree.path, &["commit", "-q", "-m", "n"]);
    write(&tree, "n", "2");
    comes_back(&house, &tree);
    house.run(&tree.path, &["checkout", "-q", "-b", "agents-own"]);
    write(&tree, "m", "3");
    house.run(&tree.path, &["add", "m"]);
    assert_eq!(comes_back(&house, &tree).branch, "agents-own");
}

#[test]
fn a_head_without_a_commit() {
    let house = House::new();
    let tree = house.worktree("x");
    house.run(&tree.path, &["checkout", "-q", "--orphan", "fresh"]);
    write(&tree, "n", "1");
    comes_back(&house, &tree);
    let house = House::new();
    let tree = house.worktree("x");
    house.run(&tree.path, &["checkout", "-q", "--orphan", "fresh"]);
    house.run(&tree.path, &["rm", "-rfq", "."]);
    comes_back(&house, &tree);
}

#[test]
fn repositories_inside() {
    let house = House::new();
    let tree = house.worktree("x");
    std::fs::create_dir(tree.path.join("fresh")).unwrap();
    house.run(&tree.path.join("fresh"), &["init", "-q"]);
    write(&tree, "fresh/file", "f\n");
    write(&tree, "fresh/.gitignore", "small\n");
    write(&tree, "fresh/small", "s\n");
    house.run(&tree.path, &["clone", "-q", house.repo().to_str().unwrap(), "clone"]);
    write(&tree, "clone/uncommitted", "u\n");
    std::fs::create_dir(tree.path.join("empty")).unwrap();
    house.run(&tree.path.join("empty"), &["init", "-q"]);
    let before = files(&tree.path);
    away_and_back(&house, &tree);
    assert_eq!(files(&tree.path), before);
}

#[test]
fn an_unfilled_submodule() {
    let (house, other) = (House::new(), House::new());
    house.run(&house.repo(), &["submodule", "add", "-q", other.repo().to_str().unwrap(), "sub"]);
    house.commit("sub");
    let tree = house.worktree("x");
    write(&tree, "a.txt", "changed\n");
    comes_back(&house, &tree);
    assert!(tree.path.join("sub").is_dir());
}

#[test]
fn a_sparse_checkout() {
    let house = House::new();
    house.run(&house.repo(), &["sparse-checkout", "set", "--sparse-index", "none"]);
    let tree = house.worktree("x");
    assert!(!tree.path.join("dir").exists());
    write(&tree, "n", "n\n");
    comes_back(&house, &tree);
    assert!(!tree.path.join("dir").exists());
}

#[test]
fn a_sha256_repository() {
    let house = House::empty(&["--object-format=sha256"]).with_first_commit();
    let tree = house.worktree("x");
    write(&tree, "a.txt", "staged\n");
    house.run(&tree.path, &["add", "a.txt"]);
    write(&tree, "a.txt", "changed\n");
    write(&tree, "i", "");
    house.run(&tree.path, &["add", "-N", "i"]);
    write(&tree, "ignored", "i\n");
    comes_back(&house, &tree);
}

#[test]
fn line_ends_however_they_are_written() {
    for (settings, attributes) in [
        (&[("core.autocrlf", "true")][..], ""),
        (&[("core.autocrlf", "input")], ""),
        (&[("core.eol", "crlf")], "* text=auto\n"),
        (&[], "* text=auto\n"),
        (&[], "*.txt text eol=crlf\n*.id ident\n*.16 working-tree-encoding=UTF-16LE text\n"),
        (&[], "*.txt crlf\n*.sh text eol=lf\n*.bin -text\n"),
    ] {
        let house = House::new();
        std::fs::write(house.repo().join(".gitattributes"), attributes).unwrap();
        std::fs::write(house.repo().join("x.id"), "$Id$\n").unwrap();
        for (key, value) in settings {
            house.run(&house.repo(), &["config", key, value]);
        }
        house.commit("attributes");
        let tree = house.worktree("x");
        for (name, text) in [
            ("lf.txt", "1\n2\n"),
            ("crlf.txt", "1\r\n2\r\n"),
            ("mixed.txt", "1\r\n2\n"),
            ("staged-crlf.txt", "1\r\n"),
            ("staged-lf.txt", "1\n"),
            ("run.sh", "#!/bin/sh\r\n"),
            ("x.bin", "\r\n\n"),
            ("y.id", "$Id: something $\n"),
            ("wide.16", "a\0\n\0"),
            ("broken.16", "abc"),
        ] {
            write(&tree, name, text);
        }
        house.run(&tree.path, &["add", "staged-crlf.txt", "staged-lf.txt", "run.sh"]);
        let before = picture(&house, &tree);
        away_and_back(&house, &tree);
        let after = picture(&house, &tree);
        assert_eq!(before.0, after.0, "files with {settings:?} {attributes:?}");
        assert_eq!(before.1, after.1, "status with {settings:?} {attributes:?}");
    }
}

#[test]
fn filters_that_keep_content_elsewhere() {
    let house = House::new();
    // Like LFS: what goes in is the name of what is stored elsewhere.
    let store = house.path("store");
    std::fs::create_dir(&store).unwrap();
    let clean =
        format!("f=$(mktemp); cat >$f; h=$(cksum <$f|tr ' ' -); mv $f {0}/$h; echo $h", store.display());
    house.run(&house.repo(), &["config", "filter.far.clean", &clean]);
    house
        .run(&house.repo(), &["config", "filter.far.smudge", &format!("read h; cat {}/$h", store.display())]);
    house.run(&house.repo(), &["config", "filter.far.required", "true"]);
    std::fs::write(house.repo().join(".gitattributes"), "*.big filter=far\n").unwrap();
    std::fs::write(house.repo().join("one.big"), "one\n".repeat(100)).unwrap();
    house.commit("filter");
    let tree = house.worktree("x");
    write(&tree, "one.big", &"changed\n".repeat(100));
    write(&tree, "two.big", &"two\n".repeat(100));
    comes_back(&house, &tree);
    let saved = house.run(&house.repo(), &["show", "refs/ai_orch/rescue/x/1:two.big"]);
    assert!(!saved.contains("two"), "the content itself is not stored: {saved}");
    let parents = house.run(&house.repo(), &["log", "-1", "--format=%P", "refs/ai_orch/rescue/x/1"]);
    assert_eq!(parents.split(' ').count(), 1);
}

#[test]
fn a_filter_that_is_gone() {
    let house = House::new();
    house.run(&house.repo(), &["config", "filter.far.clean", "tr a-z A-Z"]);
    house.run(&house.repo(), &["config", "filter.far.smudge", "tr A-Z a-z"]);
    house.run(&house.repo(), &["config", "filter.far.required", "true"]);
    std::fs::write(house.repo().join(".gitattributes"), "*.big filter=far\n").unwrap();
    std::fs::write(house.repo().join("one.big"), "one\n").unwrap();
    house.commit("filter");
    let tree = house.worktree("x");
    for key in ["filter.far.clean", "filter.far.smudge"] {
        house.run(&house.repo(), &["config", key, "/nowhere/at/all"]);
    }
    write(&tree, "two.big", "Two\n");
    let before = files(&tree.path);
    away_and_back(&house, &tree);
    assert_eq!(files(&tree.path), before);
}

#[test]
fn a_branch_that_is_elsewhere_stays() {
    let house = House::new();
    let tree = house.worktree("x");
    let (env, config) = (house.env(), house.config());
    let head = worktree::head(&env, &tree).unwrap();
    remove::move_aside(&tree, &house.path("trash")).unwrap();
    remove::admin(&tree).unwrap();
    let moved = house.commit("more");
    house.run(&house.repo(), &["update-ref", "refs/heads/ai_orch/x", moved.as_str()]);
    let back =
        |path: &Path| restore(&house.repository(), &house.lock(), &config, path, &Target::from(&head), None);
    assert_eq!(back(&tree.path).unwrap_err().code(), "branch_exists");
    house.run(&house.repo(), &["update-ref", "refs/heads/ai_orch/x", head.commit().unwrap().as_str()]);
    std::fs::create_dir(&tree.path).unwrap();
    std::fs::write(tree.path.join("foreign"), "f").unwrap();
    assert_eq!(back(&tree.path).unwrap_err().code(), "not_our_worktree");
    std::fs::remove_file(tree.path.join("foreign")).unwrap();
    assert_eq!(back(&tree.path).unwrap(), tree);
    assert!(back(&house.path("trees/second")).is_err(), "it is checked out");
}

/// What an agent can do to a worktree.
#[derive(Debug, Clone)]
enum Act {
    Write(usize, u8),
    Delete(usize),
    Move(usize, usize),
    Link(usize, usize),
    Executable(usize, bool),
    Git(&'static str, usize),
    AddAll,
    Commit,
    Ignore(usize),
}

const NAMES: [&str; 10] = [
    "a.txt",
    "dir/b.txt",
    "run.sh",
    "link",
    "dir",
    "new",
    "dir/deep/er",
    "odd \n\"name",
    "x.log",
    ".gitignore",
];

fn act() -> impl Strategy<Value = Act> {
    let name = || 0..NAMES.len();
    prop_oneof![
        4 => (name(), 0..6_u8).prop_map(|(n, text)| Act::Write(n, text)),
        2 => name().prop_map(Act::Delete),
        1 => (name(), name()).prop_map(|(a, b)| Act::Move(a, b)),
        1 => (name(), name()).prop_map(|(a, b)| Act::Link(a, b)),
        1 => (name(), any::<bool>()).prop_map(|(n, x)| Act::Executable(n, x)),
        2 => name().prop_map(|n| Act::Git("add -f", n)),
        1 => name().prop_map(|n| Act::Git("add -N", n)),
        1 => name().prop_map(|n| Act::Git("rm -r -q --cached", n)),
        1 => name().prop_map(|n| Act::Git("reset -q", n)),
        1 => Just(Act::AddAll),
        1 => Just(Act::Commit),
        1 => name().prop_map(Act::Ignore),
    ]
}

fn perform(house: &House, tree: &Worktree, act: &Act) {
    let at = |n: usize| tree.path.join(NAMES[n]);
    // What cannot be done in this state is not done.
    let _undone = match act {
        Act::Write(n, text) => {
            let _undone = std::fs::create_dir_all(at(*n).parent().unwrap());
            if at(*n).is_symlink() {
                return;
            }
            std::fs::write(at(*n), "x\n".repeat(usize::from(*text)))
        }
        Act::Delete(n) if at(*n).is_dir() && !at(*n).is_symlink() => std::fs::remove_dir_all(at(*n)),
        Act::Delete(n) => std::fs::remove_file(at(*n)),
        Act::Move(from, to) => std::fs::rename(at(*from), at(*to)),
        Act::Link(n, to) => std::os::unix::fs::symlink(NAMES[*to], at(*n)),
        Act::Executable(n, x) if at(*n).is_file() && !at(*n).is_symlink() => {
            std::fs::set_permissions(at(*n), PermissionsExt::from_mode(if *x { 0o755 } else { 0o644 }))
        }
        Act::Executable(..) => Ok(()),
        Act::Git(words, n) => {
            let words: Vec<_> = words.split(' ').chain(["--", NAMES[*n]]).collect();
            let _refused = house.try_run(&tree.path, &words);
            Ok(())
        }
        Act::AddAll => {
            let _refused = house.try_run(&tree.path, &["add", "-A"]);
            Ok(())
        }
        Act::Commit => {
            let _refused = house.try_run(&tree.path, &["commit", "-q", "--allow-empty", "-m", "c"]);
            Ok(())
        }
        Act::Ignore(n) => std::fs::write(tree.path.join(".gitignore"), format!("{}\n*.log\n", NAMES[*n])),
    };
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 60, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_an_agent_does(acts in proptest::collection::vec(act(), 1..14)) {
        let house = House::new();
        let tree = house.worktree("x");
        for act in &acts {
            perform(&house, &tree, act);
        }
        let before = picture(&house, &tree);
        let made = away_and_back(&house, &tree);
        prop_assert_eq!(before, picture(&house, &made));
    }
}

#[test]
fn an_unknown_commit_is_an_error() {
    let house = House::new();
    let bad = CommitId::parse(&"1".repeat(40)).unwrap();
    let target = Target { branch: Some("ai_orch/x".into()), tip: Some(house.tip("main")) };
    assert!(
        restore(
            &house.repository(),
            &house.lock(),
            &house.config(),
            &house.path("trees/x"),
            &target,
            Some(&bad)
        )
        .is_err()
    );
}
