//! A host of pull requests for tests: a bare repository that is known as `github.com/acme/widgets`, and the stand-in for `gh`.

use crate::house::House;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// The address under which the repository is known.
pub const URL: &str = "https://github.com/acme/widgets.git";

/// The host.
pub struct Forge<'h> {
    house: &'h House,
}

impl<'h> Forge<'h> {
    /// A host with the repository of `house` as `origin`, its `main` pushed, and somebody logged in.
    pub fn new(house: &'h House) -> Self {
        let forge = Self { house };
        fs::create_dir_all(forge.path("prs")).unwrap();
        house.git(&["init", "-q", "--bare", "-b", "main", forge.path("remote.git").to_str().unwrap()]);
        let stands_for = format!("url.{}.insteadOf", forge.path("remote.git").display());
        house.git(&["config", "--global", &stands_for, URL]);
        house.git(&["remote", "add", "origin", URL]);
        house.git(&["push", "-q", "origin", "main"]);
        house.git(&["fetch", "-q", "origin"]);
        let script = include_str!("../standin/gh").replace("@STANDIN@", forge.path("").to_str().unwrap());
        fs::write(house.path("bin/gh"), script).unwrap();
        fs::set_permissions(house.path("bin/gh"), fs::Permissions::from_mode(0o755)).unwrap();
        forge.log_in();
        forge
    }

    /// A path at the host.
    pub fn path(&self, name: &str) -> PathBuf {
        self.house.path("forge").join(name)
    }

    /// Logs the user in.
    pub fn log_in(&self) {
        let dir = self.house.path("home/.config/gh");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("hosts.yml"), "github.com:\n    user: tester\n").unwrap();
    }

    /// Logs the user out.
    pub fn log_out(&self) {
        fs::remove_file(self.house.path("home/.config/gh/hosts.yml")).unwrap();
    }

    /// Lets `gh` fail from now on; with nothing, no more.
    pub fn fail(&self, how: &str) {
        fs::write(self.path("fail"), how).unwrap();
    }

    /// The labels of the repository.
    pub fn labels(&self, names: &[&str]) {
        fs::write(self.path("labels"), names.join("\n") + "\n").unwrap();
    }

    /// What a pull request has in a field; `None` if there is none.
    pub fn pull(&self, number: u32, field: &str) -> Option<String> {
        fs::read_to_string(self.path(&format!("prs/{number}/{field}"))).ok()
    }

    /// How many pull requests there are.
    pub fn pulls(&self) -> usize {
        fs::read_dir(self.path("prs")).unwrap().count()
    }

    /// Somebody opens a pull request: a branch of this name with one commit more than `main`, which adds `file`. Of a fork, unless the
    /// owner is `acme`.
    pub fn open(&self, owner: &str, branch: &str, file: &str) -> u32 {
        let clone = self.house.path(format!("clone-{owner}-{branch}"));
        self.house.git(&["clone", "-q", URL, clone.to_str().unwrap()]);
        fs::write(clone.join(file), "theirs\n").unwrap();
        self.house.git_in(&clone, &["add", "."]);
        self.house.git_in(&clone, &["commit", "-q", "-m", &format!("Add {file}")]);
        let there = if owner == "acme" {
            format!("refs/heads/{branch}")
        } else {
            format!("refs/forks/{owner}/{branch}")
        };
        self.house.git_in(&clone, &["push", "-q", "origin", &format!("HEAD:{there}")]);
        let number = u32::try_from(self.pulls() + 1).unwrap();
        let dir = self.path(&format!("prs/{number}"));
        fs::create_dir_all(&dir).unwrap();
        for (field, value) in
            [("head", branch), ("owner", owner), ("base", "main"), ("state", "OPEN"), ("labels", "")]
        {
            fs::write(dir.join(field), value).unwrap();
        }
        number
    }

    /// What a ref of the repository holds; empty if there is none.
    pub fn tip(&self, name: &str) -> String {
        let git = self
            .house
            .command("git")
            .arg("--git-dir")
            .arg(self.path("remote.git"))
            .args(["rev-parse", "-q", "--verify", name])
            .output();
        String::from_utf8(git.unwrap().stdout).unwrap().trim().to_owned()
    }

    /// What git prints of the repository.
    pub fn git(&self, words: &[&str]) -> String {
        self.house.git_in(&self.path("remote.git"), words)
    }

    /// What `gh` was called with, one call a line.
    pub fn calls(&self) -> String {
        fs::read_to_string(self.path("calls")).unwrap_or_default()
    }
}
