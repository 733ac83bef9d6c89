//! Making worktrees: the same as plain git makes, in any number at once, and taken back without a trace.

use super::super::brought::Brought;
use super::super::worktree::{self, Undone};
use super::House;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Every path below `root` with kind, mode and content; `.git` left out.
pub(super) fn tree(root: &Path) -> Vec<(PathBuf, u32, Vec<u8>)> {
    let mut found = Vec::new();
    let mut todo = vec![root.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_owned();
            let meta = path.symlink_metadata().unwrap();
            if name == Path::new(".git") {
                continue;
            }
            let content = if meta.is_dir() {
                todo.push(path);
                Vec::new()
            } else if meta.is_symlink() {
                std::fs::read_link(&path).unwrap().into_os_string().into_vec()
            } else {
                std::fs::read(&path).unwrap()
            };
            found.push((name, meta.permissions().mode(), content));
        }
    }
    found.sort();
    found
}

/// Ours and a plain `git worktree add` of the same commit must not differ, in files, index, or status.
fn same_as_plain(house: &House) {
    let ours = house.worktree("ours").path;
    let plain = house.path("trees/plain");
    house.run(&house.repo(), &["worktree", "add", "-q", "-b", "plain", plain.to_str().unwrap(), "HEAD"]);
    assert_eq!(tree(&ours), tree(&plain));
    for look in [
        &["ls-files", "-s", "-t"][..],
        &["status", "--porcelain=v2"],
        &["stash", "list"],
        &["config", "--list", "--worktree"],
    ] {
        let both = [&ours, &plain].map(|dir| house.try_run(dir, look).stdout);
        assert_eq!(both[0], both[1], "{look:?}");
    }
    let reflog = |dir: &Path| house.run(dir, &["reflog", "HEAD", "--format=%H %gs"]);
    assert_eq!(reflog(&ours), reflog(&plain));
}

#[test]
fn modes_links_and_odd_names_are_as_plain() {
    let house = House::new();
    for name in [&b"caf\xe9 latin1"[..], b"new\nline", b"tab\tand \"quote\"", b"-dash", b"trailing "] {
        std::fs::write(house.repo().join(std::ffi::OsStr::from_bytes(name)), name).unwrap();
    }
    house.commit("odd names");
    same_as_plain(&house);
}

#[test]
fn attributes_and_filters_are_as_plain() {
    let house = House::new();
    let attributes = "*.txt text eol=crlf\n*.up filter=up\n*.id ident\n";
    std::fs::write(house.repo().join(".gitattributes"), attributes).unwrap();
    std::fs::write(house.repo().join("x.up"), "shout\n").unwrap();
    std::fs::write(house.repo().join("x.id"), "$Id$\n").unwrap();
    house.run(&house.repo(), &["config", "filter.up.clean", "tr A-Z a-z"]);
    house.run(&house.repo(), &["config", "filter.up.smudge", "tr a-z A-Z"]);
    house.run(&house.repo(), &["config", "filter.up.required", "true"]);
    house.commit("filters");
    same_as_plain(&house);
    assert_eq!(std::fs::read_to_string(house.path("trees/ours/x.up")).unwrap(), "SHOUT\n");
    assert!(std::fs::read_to_string(house.path("trees/ours/a.txt")).unwrap().contains("\r\n"));
}

#[test]
fn autocrlf_sparse_and_submodules_are_as_plain() {
    let house = House::new();
    house.run(&house.repo(), &["config", "core.autocrlf", "true"]);
    same_as_plain(&house);
    let house = House::new();
    house.run(&house.repo(), &["sparse-checkout", "set", "dir"]);
    same_as_plain(&house);
    let house = House::new();
    let other = House::new();
    house.run(&house.repo(), &["submodule", "add", "-q", other.repo().to_str().unwrap(), "sub"]);
    house.run(&house.repo(), &["config", "submodule.recurse", "true"]);
    house.commit("sub");
    same_as_plain(&house);
    assert!(house.path("trees/ours/sub").read_dir().unwrap().next().is_none());
}

#[test]
fn paths_with_odd_bytes_work() {
    for name in ["with space", "qu'ot\"es", "new\nline", "-dash", "é #(x) $HOME"] {
        let house = House::new();
        let path = house.path("trees").join(name);
        let made = worktree::add(&house.repository(), &house.lock(), &path, "ai_orch/x", &house.tip("HEAD"))
            .unwrap();
        worktree::fill(&house.env(), &made).unwrap();
        worktree::verify(&house.env(), &made).unwrap();
        assert_eq!(std::fs::read_to_string(path.join("dir/b.txt")).unwrap(), "b\n");
        std::fs::write(path.join("new"), "x").unwrap();
        let saved =
            super::super::commit::commit_all(&house.env(), &made, &house.config(), &Brought::nothing(), "m")
                .unwrap();
        assert!(matches!(saved.outcome, super::super::commit::Outcome::Committed { .. }), "{name:?}");
    }
}

#[test]
fn fifty_at_once_with_the_fill_outside_the_lock() {
    let house = House::new();
    let (repository, tip, env) = (house.repository(), house.tip("HEAD"), house.env());
    let before = house.users_state();
    let (work_dir, lock) = (repository.work_dir().to_owned(), Mutex::new(repository));
    std::thread::scope(|scope| {
        for n in 0..50 {
            let (lock, tip, env, house) = (&lock, &tip, &env, &house);
            scope.spawn(move || {
                let path = house.path(&format!("trees/{n}"));
                let made =
                    worktree::add(&lock.lock().unwrap(), &house.lock(), &path, &format!("ai_orch/{n}"), tip)
                        .unwrap();
                worktree::fill(env, &made).unwrap();
                worktree::verify(env, &made).unwrap();
            });
        }
    });
    for n in 0..50 {
        assert_eq!(house.run(&house.path(&format!("trees/{n}")), &["status", "--porcelain"]), "");
    }
    assert_eq!(house.users_state(), before);
    assert_eq!(work_dir, house.repo());
}

#[test]
fn taking_back_leaves_no_trace() {
    let house = House::new();
    house.run(&house.repo(), &["pack-refs", "--all"]);
    let before = house.users_state();
    let path = house.path("trees/x");
    let base = house.tip("HEAD");
    let made = worktree::add(&house.repository(), &house.lock(), &path, "ai_orch/x", &base).unwrap();
    assert!(path.join(".git").exists() && made.admin_dir.exists());
    assert_eq!(worktree::undo_add(&house.env(), &made, Some(&base)).unwrap(), Undone::All);
    assert!(!path.exists() && !made.admin_dir.exists());
    assert_eq!(house.users_state(), before);
    assert!(house.repository().branch("ai_orch/x").unwrap().is_none());
    assert!(!house.repo().join(".git/worktrees").exists());
    assert_eq!(worktree::undo_add(&house.env(), &made, Some(&base)).unwrap(), Undone::All);
}

#[test]
fn taking_back_keeps_files_and_moved_branches() {
    let house = House::new();
    let base = house.tip("HEAD");
    let made = worktree::add(&house.repository(), &house.lock(), &house.path("trees/x"), "ai_orch/x", &base)
        .unwrap();
    std::fs::write(made.path.join("work"), "w").unwrap();
    assert_eq!(worktree::undo_add(&house.env(), &made, Some(&base)).unwrap(), Undone::KeptFiles);
    worktree::verify(&house.env(), &made).unwrap();
    std::fs::remove_file(made.path.join("work")).unwrap();
    let moved = house.commit("more");
    house.run(&house.repo(), &["update-ref", "refs/heads/ai_orch/x", moved.as_str()]);
    assert_eq!(worktree::undo_add(&house.env(), &made, Some(&base)).unwrap(), Undone::All);
    assert_eq!(house.repository().branch("ai_orch/x").unwrap(), Some(moved));
}

#[test]
fn a_failed_add_is_taken_back() {
    let house = House::new();
    let before = house.users_state();
    let bad = super::CommitId::parse(&"1".repeat(40)).unwrap();
    let path = house.path("trees/x");
    assert!(worktree::add(&house.repository(), &house.lock(), &path, "ai_orch/x", &bad).is_err());
    assert!(!path.exists() && !house.repo().join(".git/worktrees").exists());
    assert_eq!(house.users_state(), before);
    // What is in the way is not ours and stays.
    std::fs::create_dir(&path).unwrap();
    assert_eq!(
        worktree::add(&house.repository(), &house.lock(), &path, "ai_orch/x", &house.tip("HEAD"))
            .unwrap_err()
            .code(),
        "path_taken"
    );
    assert!(path.exists());
}

#[test]
fn an_existing_branch_can_be_taken_unless_it_is_checked_out() {
    let house = House::new();
    house.run(&house.repo(), &["branch", "topic"]);
    let made =
        worktree::add_existing(&house.repository(), &house.lock(), &house.path("trees/t"), "topic").unwrap();
    worktree::fill(&house.env(), &made).unwrap();
    worktree::verify(&house.env(), &made).unwrap();
    assert!(
        worktree::add_existing(&house.repository(), &house.lock(), &house.path("trees/m"), "main").is_err()
    );
    assert!(!house.path("trees/m").exists());
}

#[test]
fn a_worktree_that_changed_is_not_verified() {
    let house = House::new();
    let (one, two) = (house.worktree("one"), house.worktree("two"));
    let what = |w: &worktree::Worktree| worktree::verify(&house.env(), w).unwrap_err().to_string();
    house.run(&one.path, &["checkout", "-q", "--detach"]);
    assert!(what(&one).contains("on no branch"));
    house.run(&one.path, &["checkout", "-q", "ai_orch/one"]);
    worktree::verify(&house.env(), &one).unwrap();
    std::fs::copy(two.path.join(".git"), one.path.join(".git")).unwrap();
    assert!(what(&one).contains("does not lead to the git directory"));
    std::fs::remove_file(one.path.join(".git")).unwrap();
    house.run(&one.path, &["init", "-q"]);
    assert!(what(&one).contains("does not lead to the git directory"));
    std::fs::remove_dir_all(&one.path).unwrap();
    assert!(what(&one).contains("gone"));
    std::os::unix::fs::symlink(&two.path, &one.path).unwrap();
    assert!(what(&one).contains("not a directory"));
}

#[test]
fn an_add_that_takes_too_long_is_ended_and_taken_back() {
    let house = House::new();
    let before = house.users_state();
    // A git that does its work and then does not end, as one does that waits for a lock or a dead disk.
    let slow = house.path("slow-git");
    let real = super::git_program();
    let text =
        format!("#!/bin/sh\n{} \"$@\"\ncase \"$*\" in *'worktree add'*) sleep 60;; esac\n", real.display());
    std::fs::write(&slow, text).unwrap();
    std::fs::set_permissions(&slow, PermissionsExt::from_mode(0o755)).unwrap();
    let vars = house.vars();
    let second = std::time::Duration::from_secs(1);
    let env = super::GitEnv::new(slow, vars, house.path("scratch")).limits(second, second);
    let repository = super::Repository::require(&env, &house.repo()).unwrap();
    let path = house.path("trees/x");
    let error =
        worktree::add(&repository, &house.lock(), &path, "ai_orch/x", &house.tip("HEAD")).unwrap_err();
    assert_eq!(error.code(), "program_timed_out");
    assert!(!path.exists() && !house.repo().join(".git/worktrees").exists());
    assert!(repository.branch("ai_orch/x").unwrap().is_none());
    assert_eq!(house.users_state(), before);
}

#[test]
fn what_a_killed_git_left_of_another_add_is_in_nobodys_way() {
    let house = House::new();
    let cut_off = |path: &std::path::Path| {
        house.run(&house.repo(), &["worktree", "add", "-q", "--detach", path.to_str().unwrap()]);
        let admin = house.repo().join(".git/worktrees").join(path.file_name().unwrap());
        std::fs::write(admin.join("commondir"), "").unwrap();
        std::fs::write(admin.join("locked"), "initializing").unwrap();
        for name in path.read_dir().unwrap().flatten().filter(|entry| entry.file_name() != ".git") {
            std::fs::remove_file(name.path()).or_else(|_| std::fs::remove_dir_all(name.path())).unwrap();
        }
        admin
    };
    let add = |name: &str| {
        let path = house.path("trees").join(name);
        let branch = format!("ai_orch/{name}");
        worktree::add(&house.repository(), &house.lock(), &path, &branch, &house.tip("HEAD"))
    };
    for name in ["y", "y7"] {
        let left = cut_off(&house.path("trees").join(name));
        add(&format!("after-{name}")).unwrap();
        assert!(!left.exists() && !house.path("trees").join(name).exists());
    }
    // Of the user, who may know more about it.
    let foreign = cut_off(&house.path("home/z"));
    assert!(add("x").unwrap_err().to_string().contains("commondir"));
    assert!(foreign.exists() && house.path("home/z").exists() && !house.path("trees/x").exists());
}

#[test]
fn that_somebody_killed_git_is_no_answer() {
    let house = House::new();
    let git = house.path("killed-git");
    std::fs::write(&git, "#!/bin/sh\nkill -9 $$\n").unwrap();
    std::fs::set_permissions(&git, PermissionsExt::from_mode(0o755)).unwrap();
    let env = super::GitEnv::new(git, house.vars(), house.path("scratch"));
    let path = house.path("trees/x");
    let made = worktree::add(&house.repository(), &house.lock(), &path, "ai_orch/x", &house.tip("HEAD"));
    let made = made.unwrap();
    assert!(worktree::undo_add(&env, &made, Some(&house.tip("HEAD"))).is_err());
    assert_eq!(house.repository().branch("ai_orch/x").unwrap(), Some(house.tip("HEAD")));
}

#[test]
fn an_add_whose_git_is_killed_at_any_of_its_steps_is_taken_back() {
    let Some(strace) = crate::tools::program::find_in_path("strace", &std::env::var_os("PATH").unwrap())
    else {
        return;
    };
    let (mut killed, git) = (0, super::git_program());
    for call in ["mkdir", "openat", "write"] {
        for when in (1..200).step_by(if call == "mkdir" { 1 } else { 5 }) {
            let house = House::new();
            let before = house.users_state();
            let deadly = house.path("deadly-git");
            let words =
                format!("-f -qq -o /dev/null -e trace={call} -e inject={call}:signal=KILL:when={when}");
            let text = format!(
                "#!/bin/sh\ncase \"$*\" in *'worktree add'*) exec {} {words} {} \"$@\";; esac\nexec {} \"$@\"\n",
                strace.display(),
                git.display(),
                git.display()
            );
            std::fs::write(&deadly, text).unwrap();
            std::fs::set_permissions(&deadly, PermissionsExt::from_mode(0o755)).unwrap();
            let env = super::GitEnv::new(deadly, house.vars(), house.path("scratch"));
            let repository = super::Repository::require(&env, &house.repo()).unwrap();
            let path = house.path("trees/x");
            let made = worktree::add(&repository, &house.lock(), &path, "ai_orch/x", &house.tip("HEAD"));
            if made.is_ok() {
                break;
            }
            let what = format!("{call} {when}: {}", made.unwrap_err());
            if what.contains("ptrace") {
                return;
            }
            killed += 1;
            assert!(!path.exists(), "{what}");
            assert!(!house.repo().join(".git/worktrees").exists(), "{what}");
            assert_eq!(repository.branch("ai_orch/x").unwrap(), None, "{what}");
            assert_eq!(house.users_state(), before, "{what}");
        }
    }
    assert!(killed > 10, "only {killed} were killed");
}
