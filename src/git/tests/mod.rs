//! The room against real git, in private directories with a private HOME.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod commits;
mod hostile;
mod locks;
mod looks;
mod merges;
mod pools;
mod ready;
mod registers;
mod removals;
mod repairs;
mod rescues;
mod restores;
mod worktrees;

use super::{CommitId, ConfigSnapshot, GitEnv, Repository, Worktree, worktree};
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A private home and a repository in it, with real git.
pub(super) struct House {
    dir: tempfile::TempDir,
    git: PathBuf,
}

pub(super) fn git_program() -> PathBuf {
    crate::tools::program::find_in_path("git", &std::env::var_os("PATH").unwrap()).unwrap()
}

impl House {
    /// The lock of the repository.
    pub(super) fn lock(&self) -> crate::tools::lock::Lock {
        crate::tools::lock::exclusive(&self.path("lock"), std::time::Duration::from_mins(1)).unwrap()
    }

    /// With an empty repository `repo` on branch `main`, made with these further arguments of `git init`.
    pub(super) fn empty(init: &[&str]) -> Self {
        let house = Self { dir: tempfile::tempdir().unwrap(), git: git_program() };
        for dir in ["home", "scratch", "trees"] {
            std::fs::create_dir(house.path(dir)).unwrap();
        }
        house.run(&house.path(""), &[&["init", "-q", "-b", "main", "repo"], init].concat());
        house.run(&house.repo(), &["config", "user.name", "User"]);
        house.run(&house.repo(), &["config", "user.email", "user@example.com"]);
        house
    }

    /// With one commit: `a.txt`, an executable, a link, a directory.
    pub(super) fn new() -> Self {
        Self::empty(&[]).with_first_commit()
    }

    pub(super) fn with_first_commit(self) -> Self {
        let repo = self.repo();
        std::fs::write(repo.join("a.txt"), "one\ntwo\nthree\n").unwrap();
        std::fs::create_dir(repo.join("dir")).unwrap();
        std::fs::write(repo.join("dir/b.txt"), "b\n").unwrap();
        std::fs::write(repo.join("run.sh"), "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(repo.join("run.sh"), PermissionsExt::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink("a.txt", repo.join("link")).unwrap();
        std::fs::write(repo.join(".gitignore"), "ignored\n*.log\n").unwrap();
        self.commit("first");
        self
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(name)
    }

    pub(super) fn repo(&self) -> PathBuf {
        self.path("repo")
    }

    fn vars(&self) -> Vec<(OsString, OsString)> {
        let home = self.path("home");
        vec![
            ("PATH".into(), std::env::var_os("PATH").unwrap()),
            ("HOME".into(), home.clone().into()),
            ("XDG_CONFIG_HOME".into(), home.join(".config").into()),
            ("GIT_CONFIG_NOSYSTEM".into(), "1".into()),
        ]
    }

    pub(super) fn env(&self) -> GitEnv {
        GitEnv::new(&self.git, self.vars(), self.path("scratch"))
    }

    /// Plain git, as the user or an agent would run it.
    pub(super) fn try_run(&self, dir: &Path, args: &[&str]) -> std::process::Output {
        let mut command = Command::new(&self.git);
        command.env_clear().envs(self.vars()).env("GIT_ALLOW_PROTOCOL", "file").current_dir(dir).args(args);
        command.output().unwrap()
    }

    pub(super) fn run(&self, dir: &Path, args: &[&str]) -> String {
        let out = self.try_run(dir, args);
        assert!(out.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).trim_end().to_owned()
    }

    pub(super) fn commit(&self, message: &str) -> CommitId {
        self.run(&self.repo(), &["add", "-A"]);
        self.run(&self.repo(), &["commit", "-q", "--allow-empty", "-m", message]);
        self.tip("HEAD")
    }

    pub(super) fn tip(&self, spec: &str) -> CommitId {
        CommitId::parse(&self.run(&self.repo(), &["rev-parse", spec])).unwrap()
    }

    pub(super) fn repository(&self) -> Repository {
        Repository::require(&self.env(), &self.repo()).unwrap()
    }

    /// A filled worktree `trees/<name>` on branch `ai_orch/<name>`.
    pub(super) fn worktree(&self, name: &str) -> Worktree {
        let path = self.path("trees").join(name);
        let made = worktree::add(
            &self.repository(),
            &self.lock(),
            &path,
            &format!("ai_orch/{name}"),
            &self.tip("HEAD"),
        )
        .unwrap();
        worktree::fill(&self.env(), &made).unwrap();
        worktree::verify(&self.env(), &made).unwrap();
        made
    }

    pub(super) fn config(&self) -> ConfigSnapshot {
        ConfigSnapshot::take(&self.repository()).unwrap()
    }

    /// Every file of the user's `.git` and checkout with its content; not `objects/`, the worktrees, nor what is ours.
    pub(super) fn users_state(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let repo = self.repo();
        let ours = [
            ".git/objects",
            ".git/worktrees",
            ".git/refs/ai_orch",
            ".git/refs/heads/ai_orch",
            ".git/logs/refs/heads/ai_orch",
        ];
        let mut state = Vec::new();
        let mut todo = vec![repo.clone()];
        while let Some(dir) = todo.pop() {
            for entry in std::fs::read_dir(dir).unwrap() {
                let entry = entry.unwrap();
                let name = entry.path().strip_prefix(&repo).unwrap().to_owned();
                if ours.iter().any(|ours| name == Path::new(ours)) {
                    continue;
                }
                if entry.file_type().unwrap().is_dir() {
                    todo.push(entry.path());
                } else if entry.file_type().unwrap().is_symlink() {
                    state.push((
                        name,
                        std::fs::read_link(entry.path()).unwrap().into_os_string().into_encoded_bytes(),
                    ));
                } else {
                    state.push((name, std::fs::read(entry.path()).unwrap()));
                }
            }
        }
        state.sort();
        state
    }
}
