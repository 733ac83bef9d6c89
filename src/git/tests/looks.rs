//! Looking: all kinds of repositories, and the same answers both ways.

use super::super::look::is_valid_branch_name;
use super::super::{BranchProblem, Error, Head, Repository, Version};
use super::House;
use std::path::Path;

#[test]
fn a_directory_without_repository_is_none_and_a_missing_one_an_error() {
    let house = House::new();
    assert!(Repository::discover(&house.env(), &house.path("home")).unwrap().is_none());
    assert_eq!(
        Repository::require(&house.env(), &house.path("home")).unwrap_err().code(),
        "not_a_repository"
    );
    // An empty `.git` is no repository, neither for git nor for us.
    std::fs::create_dir(house.path("home/.git")).unwrap();
    assert!(Repository::discover(&house.env(), &house.path("home")).unwrap().is_none());
    assert_eq!(Repository::discover(&house.env(), &house.path("gone")).unwrap_err().code(), "git_disk");
}

#[test]
fn bare_and_inside_git_are_refused() {
    let house = House::new();
    house.run(&house.path(""), &["init", "-q", "--bare", "bare.git"]);
    let code = |dir: &Path| Repository::discover(&house.env(), dir).unwrap_err().code();
    assert_eq!(code(&house.path("bare.git")), "bare_repository");
    assert_eq!(code(&house.repo().join(".git")), "inside_git_dir");
    assert_eq!(code(&house.repo().join(".git/refs")), "inside_git_dir");
}

#[test]
fn a_subdirectory_and_a_linked_worktree_lead_to_the_same_common_directory() {
    let house = House::new();
    let from_sub = Repository::require(&house.env(), &house.repo().join("dir")).unwrap();
    assert_eq!(from_sub.work_dir(), house.repo());
    assert!(!from_sub.is_linked_worktree() && from_sub.is_fast() && !from_sub.is_shallow().unwrap());
    house.run(&house.repo(), &["worktree", "add", "-q", "-b", "side", "../side"]);
    let side = Repository::require(&house.env(), &house.path("side")).unwrap();
    assert!(side.is_linked_worktree());
    assert_eq!(side.common_dir(), from_sub.common_dir());
    assert_eq!(side.head().unwrap().branch(), Some("side"));
    assert_eq!(side.checked_out_at("main").unwrap(), [house.repo()]);
    assert_eq!(side.checked_out_at("side").unwrap(), [house.path("side")]);
    assert!(side.checked_out_at("none").unwrap().is_empty());
}

#[test]
fn a_linked_worktree_of_a_bare_repository_works() {
    let house = House::new();
    house.run(&house.path(""), &["clone", "-q", "--bare", "repo", "bare.git"]);
    house.run(&house.path("bare.git"), &["worktree", "add", "-q", "../side", "main"]);
    let side = Repository::require(&house.env(), &house.path("side")).unwrap();
    assert_eq!(side.common_dir(), house.path("bare.git"));
    assert_eq!(side.head().unwrap().branch(), Some("main"));
    let tip = side.resolve("main").unwrap().unwrap();
    let made = super::worktree::add(&side, &house.lock(), &house.path("trees/x"), "ai_orch/x", &tip).unwrap();
    super::worktree::fill(&house.env(), &made).unwrap();
    super::worktree::verify(&house.env(), &made).unwrap();
}

/// The three formats: what libgit2 opens, and two that it does not (reftable only where git has it).
fn houses() -> Vec<House> {
    let mut houses = vec![House::new(), House::empty(&["--object-format=sha256"]).with_first_commit()];
    if houses.first().unwrap().env().version().unwrap() >= (Version { major: 2, minor: 45 }) {
        houses.push(House::empty(&["--ref-format=reftable"]).with_first_commit());
    }
    houses
}

#[test]
fn both_ways_answer_the_same_questions() {
    for (n, house) in houses().iter().enumerate() {
        let repository = house.repository();
        assert_eq!(repository.is_fast(), n == 0);
        let base = house.tip("HEAD");
        assert_eq!(repository.head().unwrap(), Head::Branch { name: "main".into(), commit: base.clone() });
        std::fs::write(house.repo().join("a.txt"), "one\n2\nthree\nfour\n").unwrap();
        std::fs::rename(house.repo().join("dir/b.txt"), house.repo().join("dir/c \"q\".txt")).unwrap();
        std::fs::write(house.repo().join("bin"), b"\0\x01").unwrap();
        let tip = house.commit("second: with\ttab");
        let repository = house.repository();
        let stat = repository.diff_stat(&base, &tip).unwrap();
        assert_eq!((stat.files, stat.insertions, stat.deletions), (3, 2, 1), "house {n}");
        let commits = repository.commits(&base, &tip, 10).unwrap();
        assert_eq!(commits.len(), 1);
        assert_eq!((&commits[0].id, commits[0].subject.as_str()), (&tip, "second: with\ttab"));
        assert_eq!(repository.commits(&base, &tip, 0).unwrap().len(), 0);
        let patch = repository.patch(&base, &tip, 1 << 20).unwrap();
        let text = String::from_utf8_lossy(&patch.text).into_owned();
        assert!(text.contains("\n-two\n+2\n three\n+four\n") && text.contains("rename to"), "{text}");
        let cut = repository.patch(&base, &tip, 10).unwrap();
        assert!(cut.truncated && cut.text.len() == 10);
        assert_eq!(repository.resolve("HEAD~1").unwrap(), Some(base.clone()));
        assert_eq!(repository.resolve(base.as_str()).unwrap(), Some(base.clone()));
        for nothing in ["nothing", "HEAD~9", "-h", "HEAD:a.txt", "", "a b", "HEAD^{tree}"] {
            assert_eq!(repository.resolve(nothing).unwrap(), None, "{nothing:?} in house {n}");
        }
        house.run(&house.repo(), &["tag", "-a", "-m", "t", "v1", base.as_str()]);
        assert_eq!(repository.resolve("v1").unwrap(), Some(base.clone()));
        assert!(!repository.is_submodule(&tip, Path::new("dir")).unwrap());
        assert!(!repository.is_submodule(&tip, Path::new("no/such")).unwrap());
        house.run(&house.repo(), &["checkout", "-q", "--detach"]);
        assert_eq!(repository.head().unwrap(), Head::Detached { commit: tip });
        house.run(&house.repo(), &["checkout", "-q", "--orphan", "new"]);
        assert_eq!(repository.head().unwrap(), Head::Unborn { name: "new".into() });
    }
}

#[test]
fn branch_names_that_clash_are_found_packed_or_not() {
    for house in houses() {
        house.run(&house.repo(), &["branch", "ai_orch"]);
        house.run(&house.repo(), &["branch", "deep/er/x"]);
        for _ in 0..2 {
            let repository = house.repository();
            let problem = |name: &str| repository.branch_problem(name).unwrap();
            assert_eq!(problem("ai_orch/x"), Some(BranchProblem::Above("ai_orch".into())));
            assert_eq!(problem("deep"), Some(BranchProblem::Below("deep/er/x".into())));
            assert_eq!(problem("deep/er"), Some(BranchProblem::Below("deep/er/x".into())));
            assert_eq!(problem("main"), Some(BranchProblem::Exists(house.tip("main"))));
            assert_eq!(problem("a..b"), Some(BranchProblem::Invalid));
            assert_eq!(problem("deep/er/y"), None);
            assert_eq!(problem("dee"), None);
            house.run(&house.repo(), &["pack-refs", "--all"]);
        }
        let error = super::worktree::add(
            &house.repository(),
            &house.lock(),
            &house.path("trees/x"),
            "ai_orch/x",
            &house.tip("HEAD"),
        );
        let error = error.unwrap_err();
        assert_eq!(error.code(), "branch_name_clash");
        assert!(error.hint().unwrap().contains("branch -m 'ai_orch'"));
    }
}

#[test]
fn our_rule_for_branch_names_is_gits() {
    let house = House::new();
    for name in [
        "a", "a/b", "-a", "a.lock", "a//b", ".a", "a/.b", "HEAD", "@", "a@{b", "a b", "a\u{7f}", "é", "a~1",
        "a/", "a.",
    ] {
        let gits = house.try_run(&house.repo(), &["check-ref-format", "--branch", name]).status.success();
        assert_eq!(is_valid_branch_name(name), gits, "{name:?}");
    }
    assert!(!is_valid_branch_name("a\0b") && !is_valid_branch_name(""));
}

#[test]
fn unborn_shallow_and_partial_repositories_open() {
    let house = House::empty(&[]);
    assert_eq!(house.repository().head().unwrap(), Head::Unborn { name: "main".into() });
    let house = House::new();
    house.commit("second");
    house.run(&house.repo(), &["config", "uploadpack.allowFilter", "true"]);
    let url = format!("file://{}", house.repo().display());
    house.run(&house.path(""), &["clone", "-q", "--depth=1", &url, "shallow"]);
    assert!(Repository::require(&house.env(), &house.path("shallow")).unwrap().is_shallow().unwrap());
    house.run(&house.path(""), &["clone", "-q", "--filter=blob:none", "--no-checkout", &url, "partial"]);
    let partial = Repository::require(&house.env(), &house.path("partial")).unwrap();
    let tip = partial.head().unwrap().commit().unwrap().clone();
    // Filling fetches what is missing; the commands that look never do.
    let made =
        super::worktree::add(&partial, &house.lock(), &house.path("trees/p"), "ai_orch/p", &tip).unwrap();
    super::worktree::fill(&house.env(), &made).unwrap();
    assert_eq!(std::fs::read_to_string(house.path("trees/p/dir/b.txt")).unwrap(), "b\n");
}

#[test]
fn a_repository_of_somebody_else_is_refused_as_git_does() {
    let house = House::new();
    if !rustix::process::geteuid().is_root() {
        return;
    }
    for path in [house.repo(), house.repo().join(".git")] {
        std::os::unix::fs::chown(path, Some(12345), Some(12345)).unwrap();
    }
    let error = Repository::discover(&house.env(), &house.repo()).unwrap_err();
    assert!(matches!(&error, Error::NotOwned { .. }), "{error}");
    assert!(error.hint().unwrap().contains("safe.directory"));
    std::fs::write(house.path("home/.gitconfig"), "[safe]\n\tdirectory = *\n").unwrap();
    assert!(Repository::discover(&house.env(), &house.repo()).unwrap().is_some());
}

#[test]
fn a_broken_repository_is_an_error_and_not_absent() {
    let house = House::new();
    std::fs::create_dir(house.path("broken")).unwrap();
    std::fs::write(house.path("broken/.git"), "gitdir: /nowhere\n").unwrap();
    assert_eq!(
        Repository::discover(&house.env(), &house.path("broken")).unwrap_err().code(),
        "program_failed"
    );
}

#[test]
fn submodules_are_told_from_directories() {
    let house = House::new();
    let other = House::new();
    let url = other.repo();
    house.run(&house.repo(), &["submodule", "add", "-q", url.to_str().unwrap(), "sub"]);
    let tip = house.commit("sub");
    let repository = house.repository();
    assert!(repository.is_submodule(&tip, Path::new("sub")).unwrap());
    assert!(!repository.is_submodule(&tip, Path::new("dir")).unwrap());
}

#[test]
fn the_identity_is_the_repositorys_or_none() {
    let house = House::new();
    assert_eq!(house.config().identity(), Some(("User", "user@example.com")));
    house.run(&house.repo(), &["config", "--unset", "user.email"]);
    assert_eq!(house.config().identity(), None);
    std::fs::write(house.path("home/.gitconfig"), "[user]\n\temail = home@example.com\n").unwrap();
    assert_eq!(house.config().identity(), Some(("User", "home@example.com")));
    assert!(house.env().version().unwrap() >= Version::OLDEST);
}
