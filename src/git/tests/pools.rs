//! Worktrees that were ready before anybody asked: the same as a plain `git worktree add` leaves, or not used, whatever was done to them
//! meanwhile and whenever somebody dies.

use super::super::pool::{Made, Taken, take};
use super::super::pool_make::{Order, Outcome, clear, make};
use super::super::{CommitId, Worktree, worktree};
use super::House;
use super::ready::{added, fill_from, index_of, many, same_as_plain};
use super::worktrees::tree;
use crate::model::entry::Filled;
use crate::rules::pool::Limits;
use crate::tools::{crash, journal};
use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;

fn pool(house: &House) -> PathBuf {
    let pool = house.path("pool");
    fs::create_dir_all(&pool).unwrap();
    fs::set_permissions(&pool, PermissionsExt::from_mode(0o700)).unwrap();
    pool
}

fn some(number: u32) -> Limits {
    Limits { number, ..Limits::default() }
}

fn make_within(house: &House, limits: Limits) -> Outcome {
    let repository = house.repository();
    let worktree = Worktree::checkout(&repository, None);
    let (commit, sources) = (house.tip("HEAD"), [house.repo()]);
    let order = Order { worktree: &worktree, commit: &commit, sources: &sources, limits, give_way: &|| {} };
    make(&house.env(), &pool(house), &order, &|_| false).unwrap()
}

/// The one tree that is ready, which is made.
fn ready(house: &House) -> PathBuf {
    assert_eq!(make_within(house, some(1)), Outcome::Made(1));
    let [one] = all_ready(house).try_into().unwrap();
    one
}

fn all_ready(house: &House) -> Vec<PathBuf> {
    super::super::pool::ready(&pool(house)).unwrap()
}

/// What is in the pool beside the lock, by how it begins.
fn left(house: &House) -> Vec<String> {
    let names =
        pool(house).read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut kinds: Vec<_> = names
        .filter(|name| name != "lock")
        .map(|name| match name.split_once('-') {
            Some((kind @ ("of" | "new" | "gone"), _)) => kind.to_owned(),
            _ => "ready".to_owned(),
        })
        .collect();
    kinds.sort();
    kinds
}

fn taken_for(house: &House, made: &Worktree) -> Taken {
    take(&house.env(), made, &house.path("pool"), "agent", None, &AtomicBool::new(false)).unwrap()
}

/// Fills a worktree at `commit` with what is ready, and compares; how it was filled.
fn pooled_at(house: &House, commit: &CommitId) -> Filled {
    let ours = added(house, "ours", commit);
    let before = house.users_state();
    let way = match taken_for(house, &ours) {
        Taken::Filled(way) => way,
        Taken::No(why) => panic!("it was not used: {why:?}"),
    };
    assert_eq!(house.users_state(), before, "the checkout is not even read");
    let reflog = house.run(&ours.path, &["reflog", "HEAD", "--format=%H %gs"]);
    assert_eq!(
        reflog.lines().map(str::trim).collect::<Vec<_>>(),
        [&format!("{commit} reset: moving to HEAD"), commit.as_str()]
    );
    worktree::verify(&house.env(), &ours).unwrap();
    same_as_plain(house, &ours, commit, &way);
    way
}

fn files(house: &House) -> u64 {
    house.run(&house.repo(), &["ls-files", "-z"]).matches('\0').count() as u64
}

#[test]
fn a_tree_that_is_ready_is_as_plain() {
    let house = many();
    let entry = ready(&house);
    assert_eq!(house.run(&house.repo(), &["worktree", "list"]).lines().count(), 1, "git knows nothing of it");
    let mode = fs::metadata(&entry).unwrap().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert_eq!(pooled_at(&house, &house.tip("HEAD")), Filled::Pooled { files: files(&house), by_git: 0 });
    assert_eq!(left(&house), Vec::<String>::new(), "nothing is left of it");
}

#[test]
fn what_was_ready_need_not_be_read_again() {
    let house = many();
    ready(&house);
    let ours = added(&house, "ours", &house.tip("HEAD"));
    assert!(matches!(taken_for(&house, &ours), Taken::Filled(_)));
    let before = fs::read(index_of(&house, &ours.path)).unwrap();
    let index = fs::metadata(index_of(&house, &ours.path)).unwrap().mtime();
    for name in house.run(&ours.path, &["ls-files", "-z"]).split('\0').filter(|name| !name.is_empty()) {
        let file = ours.path.join(name).symlink_metadata().unwrap();
        assert!(file.mtime() < index, "{name} would be taken for racy");
        assert_eq!(file.nlink(), 1, "{name}");
    }
    assert_eq!(house.run(&ours.path, &["status", "--porcelain"]), "");
    assert_eq!(fs::read(index_of(&house, &ours.path)).unwrap(), before, "git had nothing to put right");
    let path = ours.path.join("a.txt");
    let text = fs::read_to_string(&path).unwrap().replace("one", "eno");
    fs::write(&path, text).unwrap();
    assert_eq!(house.run(&ours.path, &["status", "--porcelain"]), " M a.txt");
}

#[test]
fn a_checkout_that_is_being_worked_in_is_no_obstacle() {
    let house = many();
    let repo = house.repo();
    fs::write(repo.join("a.txt"), "other").unwrap();
    fs::remove_dir_all(repo.join("d1")).unwrap();
    fs::write(repo.join("large"), "x").unwrap();
    fs::write(repo.join("new"), "new").unwrap();
    ready(&house);
    let Filled::Pooled { by_git: 0, .. } = pooled_at(&house, &house.tip("HEAD")) else { panic!() };
}

/// What happens to a tree, and what is said of it.
type Touch = (&'static str, fn(&House, &Path));

fn same_time(path: &Path, change: impl FnOnce()) {
    let times = fs::metadata(path).unwrap();
    let times =
        fs::FileTimes::new().set_modified(times.modified().unwrap()).set_accessed(times.accessed().unwrap());
    change();
    fs::File::options().write(true).open(path).unwrap().set_times(times).unwrap();
}
/// The index of the tree as git would have it after this.
fn index_after(house: &House, entry: &Path, words: &[&str]) {
    let mut git = Command::new(&house.git);
    git.env_clear().envs(house.vars()).current_dir(house.repo()).arg("--work-tree").arg(entry.join("tree"));
    git.env("GIT_INDEX_FILE", entry.join("index")).args(words);
    assert!(git.status().unwrap().success());
}
fn made_with(entry: &Path, change: impl FnOnce(&mut Made)) {
    let mut made = Made::read(entry).unwrap().unwrap();
    change(&mut made);
    fs::write(entry.join("made"), journal::frame(&made).unwrap()).unwrap();
}

/// What was touched so is not used, that is said, and the worktree is filled otherwise.
fn not_used(cases: &[Touch]) {
    for (expected, touch) in cases {
        let house = many();
        let entry = ready(&house);
        touch(&house, &entry);
        let commit = house.tip("HEAD");
        let ours = added(&house, "ours", &commit);
        let Taken::No(Some(why)) = taken_for(&house, &ours) else { panic!("{expected}: it was used") };
        assert!(why.contains(expected), "{why}, not {expected}");
        assert_eq!(fs::read_dir(&ours.path).unwrap().count(), 1, "{expected}: the worktree is as it was");
        let way = fill_from(&house, &ours, &house.repo());
        same_as_plain(&house, &ours, &commit, &way);
        pool(&house);
        make_within(&house, some(0));
        assert_eq!(left(&house), Vec::<String>::new(), "{expected}");
    }
}

/// What happens to a directory that anybody of the same user may write in.
#[test]
fn what_was_touched_is_not_used() {
    not_used(&[
        ("a.txt was changed", |_, e| {
            let path = e.join("tree/a.txt");
            same_time(&path, || fs::write(&path, "eno\ntwo\nthree\n").unwrap());
        }),
        ("a.txt was changed", |_, e| fs::write(e.join("tree/a.txt"), "longer than it was before\n").unwrap()),
        ("d0/empty was changed", |_, e| {
            // The same bytes, in another file.
            let path = e.join("tree/d0/empty");
            fs::remove_file(&path).unwrap();
            fs::write(&path, "").unwrap();
        }),
        ("holds something else as well", |_, e| fs::write(e.join("tree/more"), "").unwrap()),
        ("d0 holds something else as well", |_, e| fs::create_dir(e.join("tree/d0/more")).unwrap()),
        ("z/last is gone", |_, e| fs::remove_file(e.join("tree/z/last")).unwrap()),
        ("its root lacks a directory", |_, e| fs::remove_dir_all(e.join("tree/z")).unwrap()),
        ("z is no directory of it", |h, e| {
            fs::rename(e.join("tree/z"), h.path("elsewhere")).unwrap();
            symlink(h.path("elsewhere"), e.join("tree/z")).unwrap();
        }),
        ("d0/link was changed", |_, e| {
            fs::remove_file(e.join("tree/d0/link")).unwrap();
            symlink("../b.txt", e.join("tree/d0/link")).unwrap();
        }),
        ("run.sh was changed", |_, e| {
            fs::set_permissions(e.join("tree/run.sh"), PermissionsExt::from_mode(0o644)).unwrap();
        }),
        ("a.txt was changed", |_, e| {
            fs::set_permissions(e.join("tree/a.txt"), PermissionsExt::from_mode(0o4644)).unwrap();
        }),
        ("a.txt was changed", |h, e| fs::hard_link(e.join("tree/a.txt"), h.path("second")).unwrap()),
        ("d0 has another mode or owner", |_, e| {
            fs::set_permissions(e.join("tree/d0"), PermissionsExt::from_mode(0o700)).unwrap();
        }),
        ("its directory is of another mode, owner or file system", |_, e| {
            fs::set_permissions(e.join("tree"), PermissionsExt::from_mode(0o777)).unwrap();
        }),
    ]);
}

#[test]
fn what_was_planted_or_forged_is_not_used() {
    not_used(&[
        ("holds something else as well", |h, e| {
            fs::write(e.join("tree/.git"), format!("gitdir: {}\n", h.repo().join(".git").display())).unwrap();
        }),
        ("holds something else as well", |_, e| {
            fs::create_dir_all(e.join("tree/.git/hooks")).unwrap();
            fs::write(e.join("tree/.git/hooks/post-checkout"), "#!/bin/sh\ntouch /tmp/owned\n").unwrap();
        }),
        ("its index is not that of its commit", |h, e| {
            // Files and index agree; the commit says otherwise.
            fs::write(e.join("tree/a.txt"), "other").unwrap();
            index_after(h, e, &["add", "a.txt"]);
            // Its trees are not believed either.
            index_after(h, e, &["write-tree"]);
        }),
        ("its index is not as we write one", |h, e| {
            fs::write(e.join("tree/a.txt"), "other").unwrap();
            index_after(h, e, &["update-index", "--assume-unchanged", "a.txt"]);
        }),
        ("its index is not as we write one", |_, e| fs::write(e.join("index"), "DIRC").unwrap()),
        ("its index is not as we write one", |_, e| fs::remove_file(e.join("index")).unwrap()),
        ("not a regular file", |_, e| {
            fs::remove_file(e.join("index")).unwrap();
            assert!(Command::new("mkfifo").arg(e.join("index")).status().unwrap().success());
        }),
        ("its index is not that of its commit", |h, e| {
            // Made for the commit before this one, which is near enough to be brought up.
            fs::write(h.repo().join("a.txt"), "next").unwrap();
            let next = h.commit("next");
            made_with(e, |made| made.commit = next.as_str().to_owned());
        }),
        ("others may write in its directory", |h, _| {
            fs::set_permissions(h.path("pool"), PermissionsExt::from_mode(0o777)).unwrap();
        }),
        ("core.autocrlf is set", |h, _| drop(h.run(&h.repo(), &["config", "core.autocrlf", "true"]))),
    ]);
}

/// What nobody can read is no tree, and nothing is said of it: whoever makes the next one deletes it.
#[test]
fn what_cannot_be_one_is_passed_over() {
    type Case = fn(&House, &Path);
    let cases: [Case; 6] = [
        |_, e| fs::remove_file(e.join("made")).unwrap(),
        |_, e| fs::write(e.join("made"), "{}").unwrap(),
        |_, e| {
            let mut bytes = fs::read(e.join("made")).unwrap();
            bytes[20] ^= 1;
            fs::write(e.join("made"), bytes).unwrap();
        },
        |_, e| {
            let made = Made { boot: "another".to_owned(), ..Made::read(e).unwrap().unwrap() };
            fs::write(e.join("made"), journal::frame(&made).unwrap()).unwrap();
        },
        |_, e| {
            let made = Made { umask: 0o77, ..Made::read(e).unwrap().unwrap() };
            fs::write(e.join("made"), journal::frame(&made).unwrap()).unwrap();
        },
        |_, e| {
            let made = Made { common_dir: "/elsewhere".into(), ..Made::read(e).unwrap().unwrap() };
            fs::write(e.join("made"), journal::frame(&made).unwrap()).unwrap();
        },
    ];
    for (n, touch) in cases.into_iter().enumerate() {
        let house = many();
        let entry = ready(&house);
        touch(&house, &entry);
        let ours = added(&house, "ours", &house.tip("HEAD"));
        assert_eq!(taken_for(&house, &ours), Taken::No(None), "{n}");
        assert!(entry.exists());
        assert_eq!(make_within(&house, some(1)), Outcome::Made(1), "{n}: it is replaced");
        assert!(!entry.exists());
        assert_eq!(left(&house), ["ready"], "{n}");
    }
}

#[test]
fn one_that_is_near_is_brought_up_to_the_commit() {
    type Case = (u64, fn(&House));
    let cases: [Case; 6] = [
        (1, |h| fs::write(h.repo().join("a.txt"), "other").unwrap()),
        (2, |h| {
            fs::remove_file(h.repo().join("d0/empty")).unwrap();
            fs::create_dir_all(h.repo().join("new/deep")).unwrap();
            fs::write(h.repo().join("new/deep/file"), "new").unwrap();
        }),
        // The only file of its directory, which goes with it; and a directory in its place.
        (2, |h| {
            fs::remove_dir_all(h.repo().join("z")).unwrap();
            fs::write(h.repo().join("z"), "z").unwrap();
        }),
        (2, |h| {
            fs::remove_file(h.repo().join("a.txt")).unwrap();
            fs::create_dir(h.repo().join("a.txt")).unwrap();
            fs::write(h.repo().join("a.txt/x"), "x").unwrap();
        }),
        (1, |h| fs::set_permissions(h.repo().join("a.txt"), PermissionsExt::from_mode(0o755)).unwrap()),
        (0, |h| drop(h.run(&h.repo(), &["commit", "-q", "--allow-empty", "-m", "nothing"]))),
    ];
    for (n, change) in cases {
        let house = many();
        ready(&house);
        change(&house);
        let next = house.commit("next");
        let was = files(&house);
        let Filled::Pooled { by_git, .. } = pooled_at(&house, &next) else { panic!() };
        assert_eq!(by_git, n);
        assert!(was > 0);
        assert_eq!(left(&house), Vec::<String>::new());
    }
}

#[test]
fn one_that_is_far_stays_for_somebody_else() {
    type Case = fn(&House);
    let cases: [Case; 3] = [
        |h| {
            for n in 0..10 {
                fs::write(h.repo().join(format!("more{n}")), "more").unwrap();
            }
        },
        // Whether the files are still the same bytes is to be looked at anew.
        |h| fs::write(h.repo().join(".gitattributes"), "* text=auto\n").unwrap(),
        |h| drop(symlink("x", h.repo().join("git~2"))),
    ];
    for far in cases {
        let house = many();
        let (entry, first) = (ready(&house), house.tip("HEAD"));
        far(&house);
        let next = house.commit("next");
        let ours = added(&house, "far", &next);
        assert_eq!(taken_for(&house, &ours), Taken::No(None));
        assert!(entry.exists());
        assert!(matches!(pooled_at(&house, &first), Filled::Pooled { by_git: 0, .. }));
    }
}

#[test]
fn the_nearest_is_taken() {
    let house = many();
    ready(&house);
    fs::write(house.repo().join("a.txt"), "next").unwrap();
    let next = house.commit("next");
    assert_eq!(make_within(&house, some(2)), Outcome::Made(1), "the first is near enough to stay");
    assert!(matches!(pooled_at(&house, &next), Filled::Pooled { by_git: 0, .. }));
    house.run(&house.repo(), &["worktree", "remove", "--force", house.path("trees/ours").to_str().unwrap()]);
    house.run(&house.repo(), &["branch", "-q", "-D", "ai_orch/ours"]);
    assert!(matches!(pooled_at(&house, &next), Filled::Pooled { by_git: 1, .. }));
}

#[test]
fn one_tree_is_for_one() {
    let house = many();
    let commit = house.tip("HEAD");
    let worktrees: Vec<_> = (0..4).map(|n| added(&house, &format!("ours{n}"), &commit)).collect();
    ready(&house);
    let house = &house;
    let taken: Vec<_> = std::thread::scope(|scope| {
        let all: Vec<_> = worktrees.iter().map(|made| scope.spawn(move || taken_for(house, made))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(taken.iter().filter(|one| matches!(one, Taken::Filled(_))).count(), 1, "{taken:?}");
    assert_eq!(taken.iter().filter(|one| **one == Taken::No(None)).count(), 3, "{taken:?}");
    for (made, taken) in worktrees.iter().zip(taken) {
        if taken == Taken::No(None) {
            fill_from(house, made, &house.repo());
        }
        same_as_plain(house, made, &commit, &Filled::Pooled { files: 0, by_git: 0 });
    }
}

#[test]
fn a_worktree_that_holds_something_is_left_alone() {
    let house = many();
    let ours = added(&house, "ours", &house.tip("HEAD"));
    fs::write(ours.path.join("mine"), "mine").unwrap();
    ready(&house);
    assert_eq!(taken_for(&house, &ours), Taken::No(Some("the worktree is not empty".to_owned())));
    assert_eq!(fs::read(ours.path.join("mine")).unwrap(), b"mine");
    assert!(!ours.admin_dir.join("index.lock").exists());
}

#[test]
fn taking_ends_when_it_is_told_to() {
    let house = many();
    ready(&house);
    let ours = added(&house, "ours", &house.tip("HEAD"));
    let stopped = take(&house.env(), &ours, &pool(&house), "agent", None, &AtomicBool::new(true));
    assert_eq!(stopped.unwrap_err().code(), "broken_off");
    assert_eq!(fs::read_dir(&ours.path).unwrap().count(), 1);
}

#[test]
fn as_many_as_are_allowed_and_no_more() {
    let house = many();
    assert_eq!(make_within(&house, some(0)), Outcome::Made(0));
    assert_eq!(make_within(&house, some(3)), Outcome::Made(3));
    assert_eq!(make_within(&house, some(3)), Outcome::Made(0));
    assert_eq!(left(&house), ["ready"; 3]);
    assert_eq!(make_within(&house, some(1)), Outcome::Made(0));
    assert_eq!(left(&house), ["ready"]);
    let small = Limits { number: 2, max_files: 5 };
    let Outcome::None(why) = make_within(&house, small) else { panic!() };
    assert_eq!(why, format!("{} files are more than 5", files(&house)));
    assert_eq!(left(&house), ["ready"], "nothing half made is left");
}

#[test]
fn none_is_made_where_git_would_write_something_else() {
    type Case = (&'static str, fn(&House));
    let cases: [Case; 5] = [
        ("core.autocrlf is set", |h| drop(h.run(&h.repo(), &["config", "core.autocrlf", "true"]))),
        ("an attribute says filter=lfs", |h| {
            fs::write(h.repo().join(".gitattributes"), "*.psd filter=lfs\n").unwrap();
            h.commit("attributes");
        }),
        ("core.sparsecheckout is set", |h| {
            h.run(&h.repo(), &["sparse-checkout", "set", "dir", "d1"]);
        }),
        ("the index is to be of another kind", |h| {
            h.run(&h.repo(), &["config", "index.skipHash", "true"]);
        }),
        ("not all of it can be copied", |h| {
            let commit = h.tip("HEAD");
            let entry = format!("160000,{commit},module");
            h.run(&h.repo(), &["update-index", "--add", "--cacheinfo", &entry]);
            h.run(&h.repo(), &["commit", "-q", "-m", "submodule"]);
        }),
    ];
    for (expected, prepare) in cases {
        let house = many();
        prepare(&house);
        assert_eq!(make_within(&house, some(1)), Outcome::None(expected.to_owned()));
        assert_eq!(left(&house), Vec::<String>::new());
    }
    assert_eq!(make_within(&House::new(), some(1)), Outcome::None("it has few files".to_owned()));
}

#[test]
fn what_is_of_no_use_is_cleared_away() {
    let house = many();
    let pool = pool(&house);
    ready(&house);
    clear(&pool, false, &|_| false).unwrap();
    assert_eq!(left(&house), ["ready"], "this one is of use");
    fs::create_dir(pool.join("new-half")).unwrap();
    fs::create_dir(pool.join("gone-half")).unwrap();
    let id = crate::tools::clock::new_id();
    for owner in ["dead", "alive"] {
        fs::create_dir(pool.join(format!("of-{owner}-{id}"))).unwrap();
    }
    fs::write(pool.join("of"), "somebody's").unwrap();
    clear(&pool, false, &|owner| owner == "alive").unwrap();
    assert_eq!(left(&house), ["of", "ready", "ready"]);
    fs::remove_file(pool.join("of")).unwrap();
    fs::rename(house.repo(), house.path("away")).unwrap();
    clear(&pool, false, &|_| false).unwrap();
    assert!(!pool.exists(), "of a repository that is gone nothing is kept");
    clear(&pool, false, &|_| false).unwrap();
}

/// The environment in which this test's program is a process that takes or makes a tree, and nothing else.
const CHILD: &str = "AI_ORCH_TEST_POOLS";

/// No test: what the two below start.
#[test]
fn works_in_a_process_of_its_own() {
    let Some(words) = std::env::var_os(CHILD) else { return };
    let words = words.into_string().unwrap();
    let [what, base, git, path, admin, commit] = words.split('|').collect::<Vec<_>>().try_into().unwrap();
    crash::role("pool");
    let base = Path::new(base);
    let vars = [("HOME", base.join("home").into_os_string()), ("GIT_CONFIG_NOSYSTEM", "1".into())];
    let vars = vars.map(|(key, value)| (key.into(), value)).into_iter();
    let vars = vars.chain([("PATH".into(), "/usr/bin:/bin".into())]);
    let env = super::GitEnv::new(git, vars, base.join("scratch"));
    let worktree = Worktree {
        path: path.into(),
        admin_dir: admin.into(),
        common_dir: base.join("repo/.git"),
        branch: "ai_orch/ours".to_owned(),
    };
    let pool = base.join("pool");
    if what == "take" {
        let taken = take(&env, &worktree, &pool, "agent", None, &AtomicBool::new(false)).unwrap();
        assert!(matches!(taken, Taken::Filled(_)), "{taken:?}");
    } else {
        let (commit, sources) = (CommitId::parse(commit).unwrap(), [base.join("repo")]);
        let order = Order {
            worktree: &worktree,
            commit: &commit,
            sources: &sources,
            limits: some(1),
            give_way: &|| {},
        };
        assert_eq!(make(&env, &pool, &order, &|_| false).unwrap(), Outcome::Made(1));
    }
}

fn child(house: &House, what: &str, made: &Worktree, at: u32) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let (base, git, commit) = (house.path(""), &house.git, house.tip("HEAD"));
    let words = [
        what,
        base.to_str().unwrap(),
        git.to_str().unwrap(),
        made.path.to_str().unwrap(),
        made.admin_dir.to_str().unwrap(),
        commit.as_str(),
    ];
    command.args(["--exact", "git::tests::pools::works_in_a_process_of_its_own"]);
    command.env(CHILD, words.join("|")).env("AI_ORCH_CRASH", format!("pool:{at}"));
    command
}

/// Dies at each point of making one. Whatever was left: the next one to make one leaves nothing but that, and it can be used.
#[test]
fn whoever_makes_one_may_die_anywhere() {
    let house = many();
    let commit = house.tip("HEAD");
    pool(&house);
    let worktree = added(&house, "other", &commit);
    let mut deaths = 0;
    for n in 1.. {
        let out = child(&house, "make", &worktree, n).output().unwrap();
        if out.status.success() {
            break;
        }
        assert_eq!(out.status.code(), None, "{n}: {}", String::from_utf8_lossy(&out.stdout));
        deaths += 1;
        make_within(&house, some(1));
        assert_eq!(left(&house), ["ready"], "{n}");
        if n % 4 == 0 {
            assert_eq!(pooled_at(&house, &commit), Filled::Pooled { files: files(&house), by_git: 0 }, "{n}");
            house.run(&house.repo(), &["worktree", "remove", "--force", "../trees/ours"]);
            house.run(&house.repo(), &["branch", "-q", "-D", "ai_orch/ours"]);
        }
        make_within(&house, some(0));
    }
    assert!(deaths >= 8, "{deaths}");
    assert_eq!(left(&house), ["ready"]);
}

/// Dies at each point of taking one. Whatever was left: the worktree is filled as plain git would, and the next one to make a tree leaves
/// nothing but that.
#[test]
fn whoever_takes_one_may_die_anywhere() {
    let house = many();
    let first = house.tip("HEAD");
    // Beside the commit of the tree, so that git has something to do as well.
    fs::write(house.repo().join("a.txt"), "next").unwrap();
    let next = house.commit("next");
    let mut deaths = 0;
    for n in 1.. {
        house.run(&house.repo(), &["checkout", "-q", first.as_str()]);
        make_within(&house, some(0));
        ready(&house);
        house.run(&house.repo(), &["checkout", "-q", "main"]);
        let ours = added(&house, &format!("ours{n}"), &next);
        let out = child(&house, "take", &ours, n).output().unwrap();
        if out.status.success() {
            same_as_plain(&house, &ours, &next, &Filled::Pooled { files: 0, by_git: 1 });
            break;
        }
        assert_eq!(out.status.code(), None, "{n}: {}", String::from_utf8_lossy(&out.stdout));
        deaths += 1;
        worktree::unlock(&ours, false).unwrap();
        let way = match taken_for(&house, &ours) {
            Taken::Filled(way) => way,
            Taken::No(_) => fill_from(&house, &ours, &house.repo()),
        };
        same_as_plain(&house, &ours, &next, &way);
        make_within(&house, some(1));
        assert_eq!(left(&house), ["ready"], "{n}");
    }
    assert!(deaths >= 8, "{deaths}");
    assert_eq!(left(&house), Vec::<String>::new());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    /// Any tree, and any commit near it: as plain.
    #[test]
    fn whatever_the_tree_is(
        made in proptest::collection::btree_map("[a-c]{1,2}(/[a-c][a-c.-]{0,2}){0,3}", (0_u8..3, 0_usize..400), 80..140),
        later in proptest::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..4),
    ) {
        let house = House::empty(&[]);
        let repo = house.repo();
        let mut there = Vec::new();
        for (name, (kind, size)) in &made {
            let path = repo.join(name);
            // A name that is a directory already, or goes through a file, is left out.
            if fs::create_dir_all(path.parent().unwrap()).is_err() || path.symlink_metadata().is_ok() {
                continue;
            }
            if *kind == 0 {
                symlink("t".repeat(size % 90 + 1), &path).unwrap();
            } else {
                fs::write(&path, format!("{name}\n").repeat(*size)).unwrap();
            }
            if *kind == 1 {
                fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
            }
            there.push(path);
        }
        for n in 0..80 {
            fs::write(repo.join(format!("{n}")), format!("{n}")).unwrap();
        }
        house.commit("first");
        ready(&house);
        for (which, gone) in later {
            let path = which.get(&there);
            fs::remove_file(path).ok();
            if !gone && path.parent().unwrap().is_dir() {
                fs::write(path, "later").unwrap();
            }
        }
        let next = house.commit("second");
        let before = tree(&repo);
        let way = pooled_at(&house, &next);
        prop_assert!(matches!(way, Filled::Pooled { by_git: 0..=4, .. }), "{:?}", way);
        prop_assert_eq!(tree(&repo), before);
    }
}
