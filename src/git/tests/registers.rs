//! Worktrees that are added without git: the same as git leaves, to the byte, whatever is asked of it, and whatever stands in the way.

use super::super::{CommitId, Error, Settings, Worktree, register, worktree};
use super::House;
use super::worktrees::tree;
use crate::tools::{crash, lock};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const ID: &str = "<id>";

/// Adds a worktree by us.
fn add(house: &House, path: &Path, branch: &str) -> Result<Worktree, Error> {
    let repository = house.repository();
    let settings = Settings::of(&repository).unwrap();
    register::add(&repository, &house.lock(), path, branch, &house.tip("HEAD"), &settings)
}

/// Adds one by git.
fn add_by_git(house: &House, path: &Path, branch: &str) -> Result<Worktree, Error> {
    worktree::add(&house.repository(), &house.lock(), path, branch, &house.tip("HEAD"))
}

/// Everything that is below `dir`: mode and bytes. Seconds in logs are left out.
fn portrait(dir: &Path) -> Vec<(PathBuf, u32, String)> {
    use std::os::unix::fs::PermissionsExt;
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let name = path.strip_prefix(dir).unwrap().to_owned();
            let mut text = String::new();
            if meta.is_dir() {
                open.push(path);
            } else {
                text = fs::read_to_string(&path).unwrap();
                if name.starts_with("logs") {
                    text = text.lines().map(|line| without_seconds(line) + "\n").collect();
                }
            }
            found.push((name, meta.permissions().mode(), text));
        }
    }
    found.sort();
    found
}

/// A line of a log but for its seconds.
fn without_seconds(line: &str) -> String {
    let (who, rest) = line.split_once("> ").unwrap();
    let (seconds, rest) = rest.split_once(' ').unwrap();
    assert!(seconds.parse::<i64>().unwrap() > 1_600_000_000, "{line}");
    format!("{who}> {rest}")
}

/// Whether no git was run to add it: one would have to be found.
fn add_without_git(house: &House, path: &Path, branch: &str) -> Result<Worktree, Error> {
    let repository = house.repository();
    let settings = Settings::of(&repository).unwrap();
    let none = super::super::GitEnv::new("/nowhere/git", house.vars(), house.path("scratch"));
    let repository = super::super::Repository::require(&none, repository.work_dir()).unwrap();
    register::add(&repository, &house.lock(), path, branch, &house.tip("HEAD"), &settings)
}

/// Two houses in which the same was done: what ours and git's leave is the same but for the place.
fn same_as_git(prepare: impl Fn(&House), without_git: bool) {
    let (ours, theirs) = (House::new(), House::new());
    for house in [&ours, &theirs] {
        prepare(house);
    }
    let first = |house: &House| (house.path("trees/x"), "ai_orch/x");
    let made = if without_git {
        add_without_git(&ours, &first(&ours).0, first(&ours).1).unwrap()
    } else {
        assert!(add_without_git(&ours, &ours.path("trees/none"), "ai_orch/none").is_err());
        assert!(!ours.path("trees/none").exists() && !ours.repo().join(".git/worktrees/none").exists());
        add(&ours, &first(&ours).0, first(&ours).1).unwrap()
    };
    let known = add_by_git(&theirs, &first(&theirs).0, first(&theirs).1).unwrap();
    for (house, made) in [(&ours, &made), (&theirs, &known)] {
        worktree::verify(&house.env(), made).unwrap();
    }
    let seen = |house: &House, made: &Worktree| {
        let (tip, place) = (house.tip("HEAD"), house.path(""));
        let plain = |text: String| text.replace(tip.as_str(), ID).replace(place.to_str().unwrap(), "/");
        let mut seen = Vec::new();
        let refs = house.repo().join(".git/refs");
        let logs = house.repo().join(".git/logs/refs/heads/ai_orch");
        for dir in [&made.admin_dir, &made.path, &refs] {
            seen.extend(portrait(dir).into_iter().map(|(name, mode, text)| (name, mode, plain(text))));
        }
        let log = fs::read_to_string(logs.join("x")).unwrap_or_default();
        seen.extend(log.lines().map(|line| ("log".into(), 0, plain(without_seconds(line)))));
        seen
    };
    assert_eq!(seen(&ours, &made), seen(&theirs, &known));
    assert_eq!(
        ours.run(&made.path, &["log", "-g", "--format=%gs %gn %ge"]),
        theirs.run(&known.path, &["log", "-g", "--format=%gs %gn %ge"])
    );
    assert_eq!(
        ours.run(&ours.repo(), &["fsck", "--strict"]),
        theirs.run(&theirs.repo(), &["fsck", "--strict"])
    );
}

#[test]
fn what_is_plain_is_added_without_git_and_the_same() {
    same_as_git(|_| {}, true);
    for settings in [
        &[("user.name", "Zoë O'Neil Ünger"), ("user.email", "z.o+x@example.org")][..],
        &[("committer.name", "Bot"), ("user.name", "Other")],
        &[("committer.email", "c@example.org")],
        &[("core.logAllRefUpdates", "always")],
        &[("core.sharedRepository", "umask")],
        &[("branch.autoSetupMerge", "always"), ("worktree.guessRemote", "true")],
        &[("checkout.workers", "4"), ("core.fsync", "all"), ("worktree.useRelativePaths", "true")],
    ] {
        let set = |house: &House| {
            for (key, value) in settings {
                house.run(&house.repo(), &["config", key, value]);
            }
        };
        same_as_git(set, true);
    }
}

#[test]
fn what_is_not_plain_is_left_to_git() {
    for (key, value) in [
        ("core.logAllRefUpdates", "false"),
        ("core.sharedRepository", "group"),
        ("extensions.worktreeConfig", "true"),
        ("core.repositoryFormatVersion", "1"),
        ("user.name", ""),
        ("user.name", " spaced "),
        ("user.name", "J. R."),
        ("user.name", "<x>"),
        ("user.email", "\"quoted\""),
    ] {
        same_as_git(
            |house| {
                house.run(&house.repo(), &["config", key, value]);
            },
            false,
        );
    }
}

#[test]
fn a_log_says_the_time_that_git_says() {
    let house = House::new();
    let ours = add(&house, &house.path("trees/x"), "ai_orch/x").unwrap();
    let theirs = add_by_git(&house, &house.path("trees/y"), "ai_orch/y").unwrap();
    let when = |made: &Worktree| -> (i64, String) {
        let log = fs::read_to_string(made.admin_dir.join("logs/HEAD")).unwrap();
        let (_, when) = log.trim_end().split_once("> ").unwrap();
        let (seconds, zone) = when.split_once(' ').unwrap();
        (seconds.parse().unwrap(), zone.to_owned())
    };
    let (ours, theirs) = (when(&ours), when(&theirs));
    assert_eq!(ours.1, theirs.1);
    assert!((theirs.0 - ours.0).abs() < 600);
}

#[test]
fn an_entry_whose_name_is_taken_gets_a_number() {
    let house = House::new();
    house.run(
        &house.repo(),
        &["worktree", "add", "-q", "--detach", house.path("elsewhere/x").to_str().unwrap()],
    );
    let made = add_without_git(&house, &house.path("trees/x"), "ai_orch/x").unwrap();
    assert_eq!(made.admin_dir, house.path("repo/.git/worktrees/x1"));
    worktree::verify(&house.env(), &made).unwrap();
    assert_eq!(house.run(&made.path, &["rev-parse", "--git-dir"]).trim(), made.admin_dir.to_str().unwrap());
}

#[test]
fn what_stands_in_the_way_is_said_and_nothing_is_left() {
    let house = House::new();
    house.run(&house.repo(), &["branch", "ai_orch/there"]);
    house.run(&house.repo(), &["branch", "up"]);
    house.run(&house.repo(), &["pack-refs", "--all"]);
    let before = (house.users_state(), portrait(&house.repo().join(".git/refs")));
    for branch in ["ai_orch/there", "up/x", "ai_orch", "a..b"] {
        let error = add(&house, &house.path("trees/x"), branch).unwrap_err();
        assert!(matches!(error, Error::Branch { .. }), "{branch}: {error}");
    }
    fs::create_dir(house.path("trees/x")).unwrap();
    let error = add(&house, &house.path("trees/x"), "ai_orch/x").unwrap_err();
    assert!(matches!(error, Error::PathTaken { .. }), "{error}");
    fs::remove_dir(house.path("trees/x")).unwrap();
    assert_eq!((house.users_state(), portrait(&house.repo().join(".git/refs"))), before);
    // Somebody is about to make that branch.
    let lock = house.repo().join(".git/refs/heads/ai_orch/x.lock");
    fs::create_dir_all(lock.parent().unwrap()).unwrap();
    let held = fs::File::create(&lock).unwrap();
    assert!(add(&house, &house.path("trees/x"), "ai_orch/x").is_err());
    assert!(!house.path("trees/x").exists() && !house.repo().join(".git/worktrees").exists());
    assert!(house.repository().branch("ai_orch/x").unwrap().is_none());
    drop(held);
}

#[test]
fn a_worktree_that_is_gone_and_still_known_is_not_taken_over() {
    let house = House::new();
    let path = house.path("trees/x");
    house.run(&house.repo(), &["worktree", "add", "-q", "-b", "theirs", path.to_str().unwrap()]);
    fs::remove_dir_all(&path).unwrap();
    let before = tree(&house.repo().join(".git/worktrees"));
    let error = add(&house, &path, "ai_orch/x").unwrap_err();
    assert!(error.to_string().contains("'add -f'"), "{error}");
    assert_eq!(tree(&house.repo().join(".git/worktrees")), before);
    assert!(house.repository().branch("ai_orch/x").unwrap().is_none());
}

const CHILD: &str = "AI_ORCH_TEST_REGISTERS";

/// No test: what [`killed_anywhere_it_is_cleared_or_finished`] starts.
#[test]
fn adds_in_a_process_of_its_own() {
    let Some(words) = std::env::var_os(CHILD) else { return };
    let words = words.into_string().unwrap();
    let [repo, path, tip, git, home] = words.split('|').collect::<Vec<_>>().try_into().unwrap();
    let vars = [("HOME", home), ("GIT_CONFIG_NOSYSTEM", "1"), ("PATH", "/usr/bin:/bin")];
    let beside = Path::new(home).parent().unwrap();
    let vars = vars.map(|(key, value)| (key.into(), value.into()));
    let env = super::GitEnv::new(git, vars, beside.join("scratch"));
    let repository = super::Repository::require(&env, Path::new(repo)).unwrap();
    let settings = Settings::of(&repository).unwrap();
    let lock = lock::exclusive(&beside.join("lock"), Duration::from_mins(1)).unwrap();
    let tip = CommitId::parse(tip).unwrap();
    crash::role("add");
    register::add(&repository, &lock, Path::new(path), "ai_orch/x", &tip, &settings).unwrap();
}

#[test]
fn killed_anywhere_it_is_cleared_or_finished() {
    let (mut deaths, mut finished) = (0, 0);
    for n in 1.. {
        let house = House::new();
        let before = house.users_state();
        let (path, tip) = (house.path("trees/x"), house.tip("HEAD"));
        let (repo, home) = (house.repo(), house.path("home"));
        let words =
            [&repo, &path, Path::new(tip.as_str()), &house.git, &home].map(|word| word.to_str().unwrap());
        let out = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "git::tests::registers::adds_in_a_process_of_its_own"])
            .env(CHILD, words.join("|"))
            .env("AI_ORCH_CRASH", format!("add:{n}"))
            .output()
            .unwrap();
        if out.status.success() {
            break;
        }
        assert_eq!(out.status.code(), None, "{}", String::from_utf8_lossy(&out.stdout));
        deaths += 1;
        // Another one can be added, whatever this one left.
        let other = add_by_git(&house, &house.path("trees/y"), "ai_orch/y").unwrap();
        let common = house.repo().join(".git");
        let found = worktree::repair_add(&house.env(), &common, &path, "ai_orch/x", Some(&tip)).unwrap();
        if let Some(made) = found {
            finished += 1;
            worktree::verify(&house.env(), &made).unwrap();
            worktree::undo_add(&house.env(), &made, Some(&tip)).unwrap();
        }
        worktree::undo_add(&house.env(), &other, Some(&tip)).unwrap();
        assert!(!path.exists() && !common.join("worktrees").exists(), "death {n}");
        assert!(house.repository().branch("ai_orch/x").unwrap().is_none(), "death {n}");
        assert_eq!(house.users_state(), before, "death {n}");
    }
    assert!(deaths >= 15 && finished >= 1, "{deaths} {finished}");
}

/// What is kept of the settings for worktrees of this house.
fn kept(house: &House) -> Option<super::super::settings::ForWorktrees> {
    Settings::of(&house.repository()).unwrap().snapshot().for_worktrees().cloned()
}

#[test]
fn what_was_asked_before_holds_where_it_is_the_same() {
    let house = House::new();
    let set = |key: &str, value: &str| house.run(&house.repo(), &["config", key, value]);
    let known = kept(&house).unwrap();
    assert!(known.holds_for(&house.env()) && known.has_usual_hooks());
    let with = |name: &str, value: &str| {
        let vars = house.vars().into_iter().filter(|(key, _)| key != name);
        let git = super::git_program();
        super::GitEnv::new(git, vars.chain([(name.into(), value.into())]), house.path("scratch"))
    };
    assert!(known.holds_for(&with("LANG", "de_DE.UTF-8")));
    for name in ["HOME", "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM"] {
        assert!(!known.holds_for(&with(name, "/elsewhere")), "{name}");
    }
    let other = super::GitEnv::new("/opt/git", house.vars(), house.path("scratch"));
    assert!(!known.holds_for(&other), "another git has another file for the system");
    set("core.hooksPath", ".husky");
    assert!(!kept(&house).unwrap().has_usual_hooks());
    set("core.autocrlf", "true");
    set("remote.origin.url", "https://user:secret@example.com/x.git");
    set("http.extraHeader", "Authorization: secret");
    let text = serde_json::to_string(&kept(&house)).unwrap();
    assert!(text.contains("core.autocrlf") && !text.contains("secret"), "{text}");
    // From here on each worktree may have others.
    for key in ["includeIf.gitdir:/x/.path", "extensions.worktreeConfig"] {
        set(key, "true");
        assert_eq!(kept(&house), None, "{key}");
        house.run(&house.repo(), &["config", "--unset", key]);
    }
    assert!(kept(&house).is_some());
}

#[test]
fn a_sparse_checkout_of_the_old_kind_is_as_git_makes_it() {
    let house = House::new();
    house.run(&house.repo(), &["config", "core.sparseCheckout", "true"]);
    fs::write(house.repo().join(".git/info/sparse-checkout"), "/dir/\n").unwrap();
    house.run(&house.repo(), &["read-tree", "-mu", "HEAD"]);
    let made = add(&house, &house.path("trees/x"), "ai_orch/x").unwrap();
    worktree::fill(&house.env(), &made).unwrap();
    assert!(made.path.join("dir/b.txt").exists() && !made.path.join("a.txt").exists());
}

#[test]
fn what_is_there_and_leads_nowhere_is_not_written_over() {
    let missing = "1234567890123456789012345678901234567890";
    for (loose, packed) in
        [(format!("{missing}\n"), false), ("ref: refs/heads/none\n".to_owned(), false), (String::new(), true)]
    {
        let house = House::new();
        let at = house.repo().join(".git/refs/heads/ai_orch/x");
        if packed {
            let line =
                format!("# pack-refs with: peeled fully-peeled sorted \n{missing} refs/heads/ai_orch/x\n");
            fs::write(house.repo().join(".git/packed-refs"), line).unwrap();
        } else {
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            fs::write(&at, &loose).unwrap();
        }
        let repository = house.repository();
        let settings = Settings::of(&repository).unwrap();
        let (path, tip) = (house.path("trees/x"), house.tip("HEAD"));
        let by_us = add_without_git(&house, &path, "ai_orch/x");
        assert!(by_us.is_err(), "{loose}{packed}");
        if !loose.starts_with("ref:") {
            register::add(&repository, &house.lock(), &path, "ai_orch/x", &tip, &settings).unwrap_err();
        }
        if packed {
            assert!(fs::read_to_string(house.repo().join(".git/packed-refs")).unwrap().contains(missing));
            assert!(!at.exists());
        } else {
            assert_eq!(fs::read_to_string(&at).unwrap(), loose);
        }
        assert!(!path.exists());
    }
}

#[test]
fn a_branch_that_somebody_makes_at_that_moment_is_theirs() {
    let house = House::new();
    let tip = house.tip("HEAD");
    let git = house.repo().join(".git");
    let (at, log) = (git.join("refs/heads/ai_orch/x"), git.join("logs/refs/heads/ai_orch/x"));
    // They have its lock, and wait until we are there as well.
    fs::create_dir_all(at.parent().unwrap()).unwrap();
    let lock = at.with_extension("lock");
    let held = fs::File::create(&lock).unwrap();
    std::thread::scope(|scope| {
        let ours = scope.spawn(|| add(&house, &house.path("trees/x"), "ai_orch/x"));
        while !log.parent().unwrap().exists() {
            assert!(!ours.is_finished());
            std::thread::yield_now();
        }
        fs::write(&lock, format!("{tip}\n")).unwrap();
        fs::write(&log, format!("{} {tip} Them <t@t> 1 +0000\tbranch: Created from main\n", "0".repeat(40)))
            .unwrap();
        fs::rename(&lock, &at).unwrap();
        drop(held);
        let error = ours.join().unwrap().unwrap_err();
        assert!(matches!(error, Error::Branch { .. }), "{error}");
    });
    // Ours would be at the same commit: only its log tells whose it is.
    assert_eq!(house.repository().branch("ai_orch/x").unwrap(), Some(tip));
    let log = fs::read_to_string(log).unwrap();
    assert!(log.contains("Them") && log.lines().count() == 1, "{log}");
    assert!(!house.path("trees/x").exists() && !git.join("worktrees").exists());
}
