//! Every setting of git that holds in a checkout, as git itself lists them: asked once for all who want to know one.

use super::command::{Git, GitEnv};
use super::copyable;
use super::private::ConfigSnapshot;
use super::{Repository, Result, Worktree};
use serde::{Deserialize, Serialize};

/// The settings, in the order in which git found them: the last one of a key counts. May hold credentials, so they are kept nowhere.
#[derive(Default)]
pub struct Settings {
    pub(super) all: Vec<(String, String)>,
    /// Where git found them.
    asked: Vec<String>,
}

impl Settings {
    /// Those of `repository` as they are now.
    pub fn of(repository: &Repository) -> Result<Self> {
        Self::listed(&repository.env, repository.git())
    }

    /// Those of `worktree`.
    pub(super) fn in_worktree(env: &GitEnv, worktree: &Worktree) -> Result<Self> {
        Self::listed(env, Git::at(env, &worktree.admin_dir, &worktree.common_dir, &worktree.path))
    }

    fn listed(env: &GitEnv, git: Git) -> Result<Self> {
        let out = git
            .args(["config", "--list", "-z", "--show-scope", "--includes"])
            .output("read the configuration")?;
        let mut fields = out.split(|b| *b == 0);
        let mut all = Vec::new();
        while let (Some(scope), Some(pair)) = (fields.next(), fields.next()) {
            // What we say on every command line is not what is configured.
            if scope == b"command" {
                continue;
            }
            let text = String::from_utf8_lossy(pair);
            // A key without a value is true.
            let (key, value) = text.split_once('\n').unwrap_or((&text, "true"));
            all.push((key.to_owned(), value.to_owned()));
        }
        Ok(Self { all, asked: env.configured_by() })
    }

    /// The value of a key, which is written as git lists it: section and variable in lower case.
    pub(super) fn value(&self, key: &str) -> Option<&str> {
        value(&self.all, key)
    }

    /// What of them is kept with an agent.
    pub fn snapshot(&self) -> ConfigSnapshot {
        ConfigSnapshot::of(&self.all, self.for_worktrees())
    }

    /// Those that decide how a worktree is made, if they are the same in every worktree.
    fn for_worktrees(&self) -> Option<ForWorktrees> {
        let differ = |key: &str| key.starts_with("includeif.") || key == "extensions.worktreeconfig";
        if self.all.iter().any(|(key, _)| differ(key)) {
            return None;
        }
        let wanted = |key: &str| copyable::has_a_say(key) || key == HOOKS;
        let settings = self.all.iter().filter(|(key, _)| wanted(key)).cloned().collect();
        Some(ForWorktrees { settings, asked: self.asked.clone() })
    }
}

/// Where hooks are.
const HOOKS: &str = "core.hookspath";

fn value<'s>(settings: &'s [(String, String)], key: &str) -> Option<&'s str> {
    settings.iter().rev().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
}

/// The settings that decide how a worktree of a repository is made and where its hooks are, as they were at one moment: whoever makes
/// one right behind that need not ask again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForWorktrees {
    pub(super) settings: Vec<(String, String)>,
    asked: Vec<String>,
}

impl ForWorktrees {
    /// Whether git, run like this, looks for settings where it looked for these.
    pub fn holds_for(&self, env: &GitEnv) -> bool {
        !self.asked.is_empty() && self.asked == env.configured_by()
    }

    /// Whether the hooks are where they are if nothing is said.
    pub fn has_usual_hooks(&self) -> bool {
        value(&self.settings, HOOKS).is_none()
    }
}
