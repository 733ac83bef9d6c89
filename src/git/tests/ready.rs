//! Worktrees that are filled by copying: the same as a plain `git worktree add` leaves, to the byte, whatever the checkout that is
//! copied is like, whatever is asked of git on the way, and whenever it is cut off.

use super::super::fill::{FEW, fill};
use super::super::{CommitId, Settings, Worktree, register, worktree};
use super::House;
use super::worktrees::tree;
use crate::model::entry::Filled;
use crate::tools::crash;
use proptest::prelude::*;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

/// A repository with so many files that copying is worth it: some directories, a program, links, empty and large ones.
pub(super) fn many() -> House {
    let house = House::new();
    let repo = house.repo();
    for n in 0..FEW {
        let dir = repo.join(format!("d{}/e{}", n % 5, n % 3));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(format!("f{n}.txt")), format!("file {n}\n").repeat(n)).unwrap();
    }
    fs::write(repo.join("large"), "0123456789abcdef".repeat(40_000)).unwrap();
    fs::write(repo.join("d0/empty"), "").unwrap();
    // Shorter than a name before it, which counts among directories.
    fs::create_dir(repo.join("z")).unwrap();
    fs::write(repo.join("z/last"), "last").unwrap();
    symlink("../a.txt", repo.join("d0/link")).unwrap();
    symlink("nowhere\n", repo.join("d1/loose")).unwrap();
    house.commit("many");
    house
}

/// A worktree on a branch of its own with no files yet.
pub(super) fn added(house: &House, name: &str, commit: &CommitId) -> Worktree {
    let path = house.path("trees").join(name);
    let repository = house.repository();
    let settings = Settings::of(&repository).unwrap();
    let branch = format!("ai_orch/{name}");
    register::add(&repository, &house.lock(), &path, &branch, commit, &settings).unwrap()
}

pub(super) fn fill_from(house: &House, made: &Worktree, source: &Path) -> Filled {
    fill(&house.env(), made, &[source.to_owned()], None, &AtomicBool::new(false)).unwrap()
}

/// What git says of a worktree that does not depend on when and where it was made. Nothing here refreshes an index.
fn said(house: &House, dir: &Path) -> Vec<(String, Option<i32>, String)> {
    let looks: [&[&str]; 6] = [
        &["diff-files", "--quiet"],
        &["diff-index", "--quiet", "HEAD"],
        &["ls-files", "-s", "-t", "-v", "-f"],
        &["--no-optional-locks", "status", "--porcelain=v2", "--ignored"],
        &["rev-parse", "HEAD", "ORIG_HEAD"],
        &["config", "--list", "--worktree"],
    ];
    let mut said: Vec<_> = looks
        .iter()
        .map(|look| {
            let out = house.try_run(dir, look);
            (look.join(" "), out.status.code(), String::from_utf8_lossy(&out.stdout).into_owned())
        })
        .collect();
    // Entries with sizes and flags, without times, inodes and the like.
    let entries = house.try_run(dir, &["ls-files", "--debug"]).stdout;
    let entries = String::from_utf8_lossy(&entries).into_owned();
    let kept = entries
        .lines()
        .filter(|line| !["  ctime:", "  mtime:", "  dev:"].iter().any(|begin| line.starts_with(begin)));
    said.push(("entries".to_owned(), None, kept.collect::<Vec<_>>().join("\n")));
    said
}

pub(super) fn index_of(house: &House, dir: &Path) -> PathBuf {
    PathBuf::from(house.run(dir, &["rev-parse", "--path-format=absolute", "--git-path", "index"]))
}

/// The version of an index, and what is in it behind its entries, without the checksum. Only versions without compression.
fn extensions(index: &Path) -> (u8, Vec<u8>) {
    let bytes = fs::read(index).unwrap();
    let mut at = 12;
    for _ in 0..u32::from_be_bytes(bytes[8..12].try_into().unwrap()) {
        let length = bytes[at + 62..].iter().position(|b| *b == 0).unwrap();
        at += (62 + length + 8) & !7;
    }
    (bytes[7], bytes[at..bytes.len() - 20].to_owned())
}

/// `ours` and a plain `git worktree add` of the same commit do not differ in anything.
pub(super) fn same_as_plain(house: &House, ours: &Worktree, commit: &CommitId, way: &Filled) {
    let plain = house.path("trees/plain");
    let words = ["worktree", "add", "-q", "-b", "plain", plain.to_str().unwrap(), commit.as_str()];
    house.run(&house.repo(), &words);
    assert!(tree(&ours.path) == tree(&plain), "other files");
    for (of_ours, of_plain) in said(house, &ours.path).into_iter().zip(said(house, &plain)) {
        let differ = |(one, two): &(&str, &str)| one != two;
        let first = of_ours.2.lines().zip(of_plain.2.lines()).find(differ);
        assert!(of_ours == of_plain, "{} {:?} {:?} {first:?}", of_ours.0, of_ours.1, of_plain.1);
    }
    let left = |dir: &Path| {
        let names = dir.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        // The larger half of a split index is named by its content, which knows times.
        let mut names: Vec<_> = names.map(|name| name.split("x.").next().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    let plains = house.repo().join(".git/worktrees/plain");
    if matches!(way, Filled::Copied { .. } | Filled::Pooled { .. }) {
        let [of_ours, of_plain] = [&ours.path, &plain].map(|dir| extensions(&index_of(house, dir)));
        assert!(of_ours == of_plain, "other extensions");
    }
    assert_eq!(left(&ours.admin_dir), left(&plains), "nothing of ours is left in git's directory");
    house.run(&house.repo(), &["worktree", "remove", "--force", plain.to_str().unwrap()]);
    house.run(&house.repo(), &["branch", "-q", "-D", "plain"]);
}

/// Fills a worktree at `commit` from the repository's checkout and compares; how it was filled.
fn filled_at(house: &House, commit: &CommitId) -> Filled {
    let ours = added(house, "ours", commit);
    let before = house.users_state();
    let way = fill_from(house, &ours, &house.repo());
    assert_eq!(house.users_state(), before, "the checkout is only read");
    // Done twice it is one line more.
    let reflog = house.run(&ours.path, &["reflog", "HEAD", "--format=%H %gs"]);
    assert_eq!(
        reflog.lines().map(str::trim).collect::<Vec<_>>(),
        [&format!("{commit} reset: moving to HEAD"), commit.as_str()]
    );
    same_as_plain(house, &ours, commit, &way);
    way
}

fn filled(house: &House) -> Filled {
    filled_at(house, &house.tip("HEAD"))
}

/// How many files git had to write; panics if nothing was copied.
fn by_git(way: &Filled) -> u64 {
    match way {
        Filled::Copied { files, by_git, .. } if *files > 0 => *by_git,
        other => panic!("{other:?}"),
    }
}

fn why(way: Filled) -> String {
    match way {
        Filled::CheckedOut { why, .. } => why,
        _ => panic!("{way:?}"),
    }
}

#[test]
fn a_clean_checkout_is_copied_whole() {
    let house = many();
    let repo = house.repo();
    for name in [&b"caf\xe9 latin1"[..], b"new\nline", b"tab\tand \"quote\"", b"-dash", b"trailing ", b"\\"] {
        fs::write(repo.join(std::ffi::OsStr::from_bytes(name)), name).unwrap();
    }
    // Sorts between a directory and what is in it.
    fs::write(repo.join("d0-"), "x").unwrap();
    fs::write(repo.join("d0.x"), "x").unwrap();
    fs::create_dir_all(repo.join("x".repeat(200)).join("y".repeat(200)).join("z".repeat(200))).unwrap();
    let deep = repo.join("x".repeat(200)).join("y".repeat(200)).join("z".repeat(200));
    fs::create_dir_all(deep.join("w".repeat(250)).join("v".repeat(250))).unwrap();
    // Longer than the length that an entry can tell (4095), and not.
    for (n, length) in [(0, 1), (1, 100), (2, 200)] {
        fs::write(deep.join("w".repeat(250)).join(format!("{n}{}", "n".repeat(length))), "deep").unwrap();
    }
    house.commit("odd");
    assert_eq!(by_git(&filled(&house)), 0);
}

#[test]
fn paths_of_every_length_are_padded_as_git_does() {
    let house = many();
    for n in 1..40 {
        fs::write(house.repo().join("p".repeat(n)), "x").unwrap();
    }
    house.commit("lengths");
    assert_eq!(by_git(&filled(&house)), 0);
}

#[test]
fn what_is_copied_need_not_be_read_again() {
    let house = many();
    let ours = added(&house, "ours", &house.tip("HEAD"));
    assert_eq!(by_git(&fill_from(&house, &ours, &house.repo())), 0);
    let index = fs::metadata(index_of(&house, &ours.path)).unwrap().mtime();
    let files = house.run(&ours.path, &["ls-files", "-z"]);
    let files: Vec<_> = files.split('\0').filter(|name| !name.is_empty()).collect();
    for name in &files {
        let file = ours.path.join(name).symlink_metadata().unwrap();
        assert!(file.mtime() < index, "{name} would be taken for racy");
        assert!(file.mtime() > index - 60, "{name}: whoever builds goes by times");
        assert_eq!(file.nlink(), 1, "{name}: nothing is shared by a link");
    }
    assert!(files.len() > FEW);
    // A change that leaves the size as it is, at once.
    let path = ours.path.join("a.txt");
    let text = fs::read_to_string(&path).unwrap().replace("one", "eno");
    fs::write(&path, text).unwrap();
    assert_eq!(house.run(&ours.path, &["status", "--porcelain"]), " M a.txt");
}

/// What people and agents do to a checkout, and how many of its files are then left to git.
#[test]
fn what_differs_in_the_checkout_is_left_to_git() {
    type Case = (&'static str, u64, fn(&House));
    let cases: [Case; 20] = [
        ("modified", 1, |h| fs::write(h.repo().join("a.txt"), "other").unwrap()),
        ("of the same size, with its old time", 1, |h| {
            let path = h.repo().join("a.txt");
            let time = fs::metadata(&path).unwrap().modified().unwrap();
            fs::write(&path, "eno\ntwo\nthree\n").unwrap();
            fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        }),
        ("hidden from git", 2, |h| {
            fs::write(h.repo().join("a.txt"), "other").unwrap();
            fs::remove_file(h.repo().join("run.sh")).unwrap();
            h.run(&h.repo(), &["update-index", "--assume-unchanged", "a.txt"]);
            h.run(&h.repo(), &["update-index", "--skip-worktree", "run.sh"]);
        }),
        ("an index that lies", 1, |h| {
            // What is in the index is what is on disk now, and not what the commit has.
            fs::write(h.repo().join("a.txt"), "other").unwrap();
            h.run(&h.repo(), &["add", "a.txt"]);
        }),
        ("no index", 0, |h| fs::remove_file(h.repo().join(".git/index")).unwrap()),
        ("a damaged index", 0, |h| fs::write(h.repo().join(".git/index"), "DIRC????").unwrap()),
        ("a locked index", 0, |h| fs::write(h.repo().join(".git/index.lock"), "").unwrap()),
        ("deleted", 2, |h| {
            fs::remove_file(h.repo().join("a.txt")).unwrap();
            fs::remove_dir_all(h.repo().join("dir")).unwrap();
        }),
        ("new files, one meant to be added", 0, |h| {
            fs::write(h.repo().join("new"), "new").unwrap();
            fs::write(h.repo().join("meant"), "meant").unwrap();
            h.run(&h.repo(), &["add", "-N", "meant"]);
        }),
        ("other permissions", 0, |h| {
            let set = |name: &str, mode| {
                fs::set_permissions(h.repo().join(name), PermissionsExt::from_mode(mode)).unwrap();
            };
            set("a.txt", 0o444);
            set("dir/b.txt", 0o777);
            set("run.sh", 0o600);
        }),
        ("in the middle of a merge", 1, |h| {
            h.run(&h.repo(), &["checkout", "-q", "-b", "side"]);
            fs::write(h.repo().join("a.txt"), "side\n").unwrap();
            h.commit("side");
            h.run(&h.repo(), &["checkout", "-q", "main"]);
            fs::write(h.repo().join("a.txt"), "main\n").unwrap();
            h.commit("main");
            assert!(!h.try_run(&h.repo(), &["merge", "side"]).status.success());
        }),
        ("a link in place of a directory", 1, |h| {
            fs::rename(h.repo().join("dir"), h.path("elsewhere")).unwrap();
            symlink(h.path("elsewhere"), h.repo().join("dir")).unwrap();
        }),
        ("a link in place of a file, to one like it", 1, |h| {
            fs::rename(h.repo().join("a.txt"), h.path("elsewhere")).unwrap();
            symlink(h.path("elsewhere"), h.repo().join("a.txt")).unwrap();
        }),
        ("a file in place of a link", 1, |h| {
            fs::remove_file(h.repo().join("link")).unwrap();
            fs::write(h.repo().join("link"), "a.txt").unwrap();
        }),
        ("a link that leads elsewhere", 1, |h| {
            fs::remove_file(h.repo().join("link")).unwrap();
            symlink("b.txt", h.repo().join("link")).unwrap();
        }),
        ("a directory in place of a file", 1, |h| {
            fs::remove_file(h.repo().join("a.txt")).unwrap();
            fs::create_dir(h.repo().join("a.txt")).unwrap();
        }),
        ("large ones that differ at the end, in size, and not", 2, |h| {
            let text = "0123456789abcdef".repeat(40_000);
            for name in ["large2", "large3", "large4"] {
                fs::write(h.repo().join(name), &text).unwrap();
            }
            h.commit("large");
            fs::write(h.repo().join("large2"), format!("{}!", text.get(..text.len() - 1).unwrap())).unwrap();
            fs::write(h.repo().join("large3"), format!("{text}!")).unwrap();
        }),
        ("an endless one", 1, |h| {
            let file = fs::File::create(h.repo().join("a.txt")).unwrap();
            file.set_len(1 << 40).unwrap();
        }),
        ("a hard link of the user's", 0, |h| {
            fs::hard_link(h.repo().join("a.txt"), h.path("second")).unwrap();
        }),
        ("another repository in it", 1, |h| {
            fs::remove_file(h.repo().join("dir/b.txt")).unwrap();
            h.run(&h.repo(), &["init", "-q", "dir"]);
        }),
    ];
    for (what, left, prepare) in cases {
        let house = many();
        prepare(&house);
        let commit = house.tip("HEAD");
        // An endless file and a lock are nothing to compare before and after.
        let ours = added(&house, "ours", &commit);
        let way = fill_from(&house, &ours, &house.repo());
        fs::remove_file(house.repo().join(".git/index.lock")).ok();
        same_as_plain(&house, &ours, &commit, &way);
        assert_eq!(by_git(&way), left, "{what}");
    }
}

#[test]
fn pipes_and_devices_hold_nobody_up() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let house = many();
    for name in ["a.txt", "run.sh", "link"] {
        fs::remove_file(house.repo().join(name)).unwrap();
        mknodat(CWD, house.repo().join(name), FileType::Fifo, Mode::RWXU, 0).unwrap();
    }
    fs::remove_dir_all(house.repo().join("dir")).unwrap();
    mknodat(CWD, house.repo().join("dir"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    let commit = house.tip("HEAD");
    let ours = added(&house, "ours", &commit);
    let way = fill_from(&house, &ours, &house.repo());
    assert_eq!(by_git(&way), 4);
    same_as_plain(&house, &ours, &commit, &way);
}

#[test]
fn another_commit_than_the_checkouts_is_made_of_what_is_the_same() {
    let house = many();
    let old = house.tip("HEAD");
    fs::write(house.repo().join("a.txt"), "newer").unwrap();
    fs::remove_file(house.repo().join("link")).unwrap();
    fs::remove_file(house.repo().join("run.sh")).unwrap();
    fs::create_dir(house.repo().join("run.sh")).unwrap();
    fs::write(house.repo().join("run.sh/now"), "a directory").unwrap();
    house.run(&house.repo(), &["mv", "dir", "moved"]);
    house.commit("newer");
    assert_eq!(by_git(&filled_at(&house, &old)), 4);
}

#[test]
fn a_submodule_is_an_empty_directory() {
    let (house, other) = (many(), House::new());
    house.run(&house.repo(), &["submodule", "add", "-q", other.repo().to_str().unwrap(), "sub"]);
    house.run(&house.repo(), &["config", "submodule.recurse", "true"]);
    house.commit("sub");
    assert_eq!(by_git(&filled(&house)), 0);
    assert!(house.path("trees/ours/sub").read_dir().unwrap().next().is_none());
}

#[test]
fn attributes_that_change_no_bytes_are_copied() {
    let house = many();
    let repo = house.repo();
    // As they were committed before anybody thought of line ends.
    for (name, text) in
        [("crlf.txt", "a\r\nb\r\n"), ("mixed.txt", "a\r\nb\n"), ("cr.bat", "a\rb\n"), ("bin", "\0\r\n")]
    {
        fs::write(repo.join(name), text).unwrap();
    }
    house.commit("line ends");
    let attributes =
        "* text=auto\n*.sh text eol=lf\n*.bat text\n*.png binary\n*.c diff=cpp\n/doc export-ignore\n";
    fs::write(repo.join(".gitattributes"), attributes).unwrap();
    house.run(&repo, &["add", ".gitattributes"]);
    house.run(&repo, &["commit", "-q", "-m", "attributes"]);
    for setting in [&["core.autocrlf", "input"][..], &["core.autocrlf", "false"], &["core.eol", "lf"]] {
        house.run(&repo, &[&["config"], setting].concat());
        assert_eq!(by_git(&filled(&house)), 0, "{setting:?}");
        house.run(&repo, &["worktree", "remove", "--force", house.path("trees/ours").to_str().unwrap()]);
        house.run(&repo, &["branch", "-q", "-D", "ai_orch/ours"]);
    }
}

/// Whatever may change bytes, names, modes or the kind of index on the way out is done by git, and that is said.
#[test]
fn what_could_differ_is_left_to_git_as_a_whole() {
    type Case = (&'static str, fn(&House));
    fn set(h: &House, key: &str, value: &str) {
        h.run(&h.repo(), &["config", key, value]);
    }
    fn attribute(h: &House, at: &str, text: &str) {
        let path = h.repo().join(at);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        h.run(&h.repo(), &["config", "filter.up.clean", "tr A-Z a-z"]);
        h.run(&h.repo(), &["config", "filter.up.smudge", "tr a-z A-Z"]);
        h.commit("attributes");
    }
    let cases: [Case; 22] = [
        ("core.autocrlf is set", |h| set(h, "core.autocrlf", "true")),
        ("core.eol is set", |h| {
            attribute(h, ".gitattributes", "* text=auto\n");
            set(h, "core.eol", "crlf");
        }),
        ("core.symlinks is set", |h| set(h, "core.symlinks", "false")),
        ("core.filemode is set", |h| set(h, "core.fileMode", "false")),
        ("core.ignorecase is set", |h| set(h, "core.ignoreCase", "true")),
        ("core.splitindex is set", |h| set(h, "core.splitIndex", "true")),
        ("feature.manyfiles is set", |h| set(h, "feature.manyFiles", "true")),
        ("index.version is set", |h| set(h, "index.version", "4")),
        ("core.sparsecheckout is set", |h| {
            h.run(&h.repo(), &["sparse-checkout", "set", "dir", "d1"]);
        }),
        ("core.sparsecheckout is set", |h| {
            h.run(&h.repo(), &["sparse-checkout", "set", "--sparse-index", "dir"]);
        }),
        ("an attribute says filter=up", |h| attribute(h, ".gitattributes", "*.txt filter=up\n")),
        ("an attribute says filter=up", |h| attribute(h, "d1/e1/.gitattributes", "f1.txt filter=up\n")),
        ("an attribute says filter=up", |h| attribute(h, ".gitattributes", "[attr]x filter=up\n*.txt x\n")),
        ("an attribute says ident", |h| {
            fs::write(h.repo().join("id.c"), "$Id$\n").unwrap();
            attribute(h, ".gitattributes", "*.c ident\n");
        }),
        ("an attribute says eol=crlf", |h| attribute(h, ".gitattributes", "*.txt text eol=crlf\n")),
        ("an attribute says working-tree-encoding=UTF-16", |h| {
            fs::write(h.repo().join(".gitattributes"), "*.rc working-tree-encoding=UTF-16\n").unwrap();
            fs::write(h.repo().join("x.rc"), b"\xfe\xff\0a\0\n").unwrap();
            h.commit("rc");
        }),
        ("info/attributes: an attribute says filter=up", |h| {
            attribute(h, ".git/info/attributes", "* filter=up");
        }),
        ("git/attributes: an attribute says filter=up", |h| {
            attribute(h, "x", "");
            // By a link, as people have it who keep such files together.
            fs::write(h.path("dotfiles"), "* filter=up").unwrap();
            fs::create_dir_all(h.path("home/.config/git")).unwrap();
            symlink(h.path("dotfiles"), h.path("home/.config/git/attributes")).unwrap();
        }),
        ("mine: an attribute says filter=up", |h| {
            attribute(h, "x", "");
            fs::write(h.path("home/mine"), "* filter=up").unwrap();
            fs::write(h.path("home/.gitconfig"), "[core]\n\tattributesFile = ~/mine\n").unwrap();
        }),
        ("core.autocrlf is set", |h| {
            // For worktrees of this repository and not for its checkout.
            let condition = format!(
                "[includeIf \"gitdir:{}/.git/worktrees/\"]\n\tpath = {}\n",
                h.repo().display(),
                h.path("more").display()
            );
            fs::write(h.path("home/.gitconfig"), condition).unwrap();
            fs::write(h.path("more"), "[core]\n\tautocrlf = true\n").unwrap();
        }),
        ("no checkout is there to copy", |h| {
            h.run(&h.repo(), &["worktree", "add", "-q", "--detach", h.path("main").to_str().unwrap()]);
        }),
        ("it was begun before", |_| {}),
    ];
    for (expected, prepare) in cases {
        let house = many();
        prepare(&house);
        let commit = house.tip("HEAD");
        let ours = added(&house, "ours", &commit);
        let source = if expected.starts_with("no checkout") { house.path("nowhere") } else { house.repo() };
        if expected.contains("begun") {
            fill_from(&house, &ours, &source);
        }
        let way = fill_from(&house, &ours, &source);
        if !expected.contains("begun") {
            same_as_plain(&house, &ours, &commit, &way);
        }
        let way = why(way);
        assert!(way.ends_with(expected), "{way}, not {expected}");
        if expected.contains("begun") {
            assert_eq!(house.run(&ours.path, &["status", "--porcelain"]), "");
        }
    }
}

#[test]
fn other_kinds_of_repositories_are_left_to_git() {
    let house = House::empty(&["--object-format=sha256"]).with_first_commit();
    for n in 0..FEW {
        fs::write(house.repo().join(format!("{n}")), "x").unwrap();
    }
    house.commit("many");
    assert_eq!(why(filled(&house)), "the repository is of a kind that git alone reads");
    assert_eq!(why(filled(&House::new())), "it has few files");
}

#[test]
fn a_checkout_of_something_else_gives_nothing() {
    let (house, other) = (many(), House::new());
    let commit = house.tip("HEAD");
    let ours = added(&house, "ours", &commit);
    let way = fill_from(&house, &ours, &other.path("home"));
    assert!(matches!(way, Filled::Copied { files: 0, .. }), "{way:?}");
    same_as_plain(&house, &ours, &commit, &way);
}

#[test]
fn the_checkout_of_an_agent_is_as_good_as_any_other() {
    let house = many();
    let commit = house.tip("HEAD");
    let agents = added(&house, "agents", &commit);
    fill_from(&house, &agents, &house.repo());
    fs::write(agents.path.join("a.txt"), "its work").unwrap();
    // It has its index say that this is what was committed.
    house.run(&agents.path, &["update-index", "--assume-unchanged", "a.txt"]);
    let ours = added(&house, "ours", &commit);
    let way = fill_from(&house, &ours, &agents.path);
    assert_eq!(by_git(&way), 1);
    same_as_plain(&house, &ours, &commit, &way);
}

/// Somebody writes, replaces and moves files all the while.
#[test]
fn a_checkout_that_changes_meanwhile_gives_what_was_committed() {
    let house = many();
    let (repo, commit) = (house.repo(), house.tip("HEAD"));
    fs::create_dir_all(house.path("other/e1")).unwrap();
    fs::write(house.path("other/e1/f1.txt"), "somebody else's\n").unwrap();
    let over = AtomicBool::new(false);
    let mut copied = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let large = "0123456789abcdef".repeat(40_000);
            while !over.load(Ordering::Relaxed) {
                for n in 0..FEW {
                    let path = repo.join(format!("d{}/e{}/f{n}.txt", n % 5, n % 3));
                    let text = format!("file {n}\n").repeat(n);
                    fs::write(&path, text.to_uppercase()).ok();
                    fs::write(&path, &text).ok();
                }
                fs::write(repo.join("large"), large.to_uppercase()).ok();
                fs::write(repo.join("large"), &large).ok();
                fs::rename(repo.join("d1"), repo.join("away")).ok();
                symlink(house.path("other"), repo.join("d1")).ok();
                fs::remove_file(repo.join("d1")).ok();
                fs::rename(repo.join("away"), repo.join("d1")).ok();
            }
        });
        for n in 0..12 {
            let ours = added(&house, &format!("ours{n}"), &commit);
            if let Filled::Copied { files, .. } = fill_from(&house, &ours, &repo) {
                copied += files;
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(copied > 0);
    for n in 0..12 {
        let path = house.path(&format!("trees/ours{n}"));
        let made = Worktree {
            admin_dir: repo.join(format!(".git/worktrees/ours{n}")),
            common_dir: repo.join(".git"),
            branch: format!("ai_orch/ours{n}"),
            path,
        };
        same_as_plain(&house, &made, &commit, &Filled::Copied { files: 0, by_git: 0, pool: None });
    }
}

#[test]
fn it_ends_when_it_is_told_to() {
    let house = many();
    let commit = house.tip("HEAD");
    let ours = added(&house, "ours", &commit);
    let stop = AtomicBool::new(true);
    let error = fill(&house.env(), &ours, &[house.repo()], None, &stop).unwrap_err();
    assert_eq!(error.code(), "broken_off");
    assert!(!ours.path.join("a.txt").exists());
    let way = fill_from(&house, &ours, &house.repo());
    same_as_plain(&house, &ours, &commit, &way);
}

/// The environment in which this test's program is a process that fills a worktree, and nothing else.
const CHILD: &str = "AI_ORCH_TEST_FILLS";

/// No test: what [`killed_anywhere_it_can_be_done_again`] and [`the_umask_is_as_plain`] start.
#[test]
fn fills_in_a_process_of_its_own() {
    let Some(words) = std::env::var_os(CHILD) else { return };
    let words = words.into_string().unwrap();
    let [path, admin, common, branch, git, home, mask] =
        words.split('|').collect::<Vec<_>>().try_into().unwrap();
    crash::role("fill");
    crate::tools::process::set_umask(u32::from_str_radix(mask, 8).unwrap());
    let vars = [("HOME", home), ("GIT_CONFIG_NOSYSTEM", "1"), ("PATH", "/usr/bin:/bin")];
    let scratch = Path::new(home).parent().unwrap().join("scratch");
    let env = super::GitEnv::new(git, vars.map(|(key, value)| (key.into(), value.into())), scratch);
    let made = Worktree {
        path: path.into(),
        admin_dir: admin.into(),
        common_dir: common.into(),
        branch: branch.into(),
    };
    let sources = [PathBuf::from(common).parent().unwrap().to_owned()];
    fill(&env, &made, &sources, None, &AtomicBool::new(false)).unwrap();
}

fn child(house: &House, made: &Worktree, mask: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let words = [
        made.path.to_str().unwrap(),
        made.admin_dir.to_str().unwrap(),
        made.common_dir.to_str().unwrap(),
        &made.branch,
        house.git.to_str().unwrap(),
        house.path("home").to_str().unwrap(),
        mask,
    ]
    .map(str::to_owned);
    command.args(["--exact", "git::tests::ready::fills_in_a_process_of_its_own"]).env(CHILD, words.join("|"));
    command
}

#[test]
fn killed_anywhere_it_can_be_done_again() {
    let mut deaths = 0;
    for n in 1.. {
        let house = many();
        let commit = house.tip("HEAD");
        let ours = added(&house, "ours", &commit);
        let out = child(&house, &ours, "022").env("AI_ORCH_CRASH", format!("fill:{n}")).output().unwrap();
        if out.status.success() {
            break;
        }
        assert_eq!(out.status.code(), None, "{}", String::from_utf8_lossy(&out.stdout));
        deaths += 1;
        worktree::unlock(&ours, false).unwrap();
        // Half a file, as one is left by a process that dies while it writes.
        if let Ok(file) = fs::File::options().write(true).open(ours.path.join("a.txt")) {
            let index = ours.admin_dir.join("index").exists();
            file.set_len(if index { fs::metadata(ours.path.join("a.txt")).unwrap().len() } else { 2 })
                .unwrap();
        }
        let way = fill_from(&house, &ours, &house.repo());
        same_as_plain(&house, &ours, &commit, &way);
    }
    assert!(deaths >= 5, "{deaths}");
}

#[test]
fn the_umask_is_as_plain() {
    for mask in ["077", "002", "027"] {
        let house = many();
        let commit = house.tip("HEAD");
        let ours = added(&house, "ours", &commit);
        let out = child(&house, &ours, mask).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
        let plain = house.path("trees/plain");
        let script = format!("umask {mask}; exec git worktree add -q -b plain {} HEAD", plain.display());
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).env("HOME", house.path("home")).env("GIT_CONFIG_NOSYSTEM", "1");
        assert!(shell.current_dir(house.repo()).status().unwrap().success());
        assert_eq!(tree(&ours.path), tree(&plain), "{mask}");
    }
}

/// Something done to a checkout: what, and to which of its files.
fn meddle(house: &House, what: u8, which: u8) {
    let repo = house.repo();
    let path = repo.join(format!("t{}/{}", which % 4, which % 32));
    let git = |words: &[&str]| drop(house.try_run(&repo, words));
    let name = path.strip_prefix(&repo).unwrap().to_str().unwrap().to_owned();
    match what % 12 {
        0 => drop(fs::write(&path, format!("changed {which}"))),
        1 => drop(fs::remove_file(&path)),
        2 => git(&["rm", "-q", "--cached", &name]),
        3 => drop(fs::set_permissions(&path, PermissionsExt::from_mode(0o755))),
        4 => {
            drop(fs::remove_file(&path));
            drop(symlink("1", &path));
        }
        5 => git(&["update-index", "--assume-unchanged", &name]),
        6 => git(&["update-index", "--skip-worktree", &name]),
        7 => {
            drop(fs::write(&path, format!("staged {which}")));
            git(&["add", &name]);
        }
        8 => git(&["mv", &name, &format!("moved{which}")]),
        9 => drop(fs::rename(repo.join(format!("t{}", which % 4)), repo.join(format!("away{which}")))),
        10 => {
            let same = fs::read(&path).unwrap_or_default();
            drop(fs::remove_file(&path));
            drop(fs::write(&path, same));
        }
        _ => git(&["update-index", "--chmod=+x", &name]),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Any tree, any checkout, any commit of it: as plain.
    #[test]
    fn whatever_the_tree_and_the_checkout_are(
        files in proptest::collection::vec((0_u8..4, 0_u8..32, 0_u8..4, 0_usize..600_000), FEW..150),
        before in proptest::collection::vec((any::<u8>(), any::<u8>()), 0..8),
        after in proptest::collection::vec((any::<u8>(), any::<u8>()), 0..12),
        older in any::<bool>(),
    ) {
        let house = House::empty(&[]);
        let repo = house.repo();
        for (n, (dir, name, kind, size)) in files.iter().enumerate() {
            let dir = repo.join(format!("t{dir}"));
            fs::create_dir_all(&dir).unwrap();
            let path = dir.join(format!("{name}"));
            fs::remove_file(&path).ok();
            // Large ones are dear.
            let size = if n % 16 == 0 { *size } else { size % 3000 };
            match kind {
                0 => symlink(format!("{n}").repeat(size % 100 + 1), &path).unwrap(),
                _ => fs::write(&path, format!("{n}\n").repeat(size / 4)).unwrap(),
            }
            if *kind == 1 {
                fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
            }
            // So that there are as many as it takes.
            fs::write(repo.join(format!("{n}")), format!("{n}")).unwrap();
        }
        let first = house.commit("first");
        for (what, which) in before {
            meddle(&house, what, which);
        }
        let second = house.commit("second");
        for (what, which) in after {
            meddle(&house, what, which);
        }
        let commit = if older { first } else { second };
        by_git(&filled_at(&house, &commit));
    }
}

#[test]
fn settings_that_were_asked_before_count_like_those_of_now() {
    for (key, value) in [("core.autocrlf", "true"), ("core.eol", "lf"), ("index.skipHash", "true")] {
        let house = many();
        house.run(&house.repo(), &["config", key, value]);
        // What the checkout holds is what git would write.
        house.run(&house.repo(), &["rm", "-q", "-r", "--cached", "."]);
        house.run(&house.repo(), &["reset", "-q", "--hard"]);
        let commit = house.tip("HEAD");
        let known = Settings::of(&house.repository()).unwrap().snapshot().for_worktrees().cloned();
        let ours = added(&house, "ours", &commit);
        let fill =
            |known| fill(&house.env(), &ours, &[house.repo()], known, &AtomicBool::new(false)).unwrap();
        let way = fill(known.as_ref());
        assert_eq!(matches!(way, Filled::CheckedOut { .. }), key == "core.autocrlf", "{key}: {way:?}");
        same_as_plain(&house, &ours, &commit, &way);
    }
}

#[test]
fn settings_of_some_worktrees_only_count_in_those() {
    let house = many();
    let crlf = house.path("crlf");
    fs::write(&crlf, "[core]\n\tautocrlf = true\n").unwrap();
    let key = "includeIf.gitdir:**/worktrees/**.path";
    house.run(&house.repo(), &["config", key, crlf.to_str().unwrap()]);
    let commit = house.tip("HEAD");
    let known = Settings::of(&house.repository()).unwrap().snapshot().for_worktrees().cloned();
    let ours = added(&house, "ours", &commit);
    let way = fill(&house.env(), &ours, &[house.repo()], known.as_ref(), &AtomicBool::new(false)).unwrap();
    assert!(fs::read_to_string(ours.path.join("a.txt")).unwrap().contains("\r\n"), "{way:?}");
    same_as_plain(&house, &ours, &commit, &way);
}
