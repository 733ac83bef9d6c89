//! Everything we know of and do to git repositories.
//!
//! Looks are git2 (it runs nothing that a repository can configure), touches are the `git` program, hardened. Promises:
//! the user's checkout, index, stash, HEAD, branches and configuration are never written; no command line, hook,
//! filter or helper that appeared in a repository or worktree after an agent started is ever executed by us.
//!
//! Deliberately absent: locks (the caller holds one around [`worktree::add`]), journals, and any knowledge of agents.
//! [`Repository`] and [`worktree::Worktree`] are taken while nobody else works there; from then on they are believed
//! and the `.git` file in the worktree, which an agent can write, is not.

mod anatomy;
pub mod brought;
pub mod census;
pub mod changes;
mod command;
pub mod commit;
mod copy;
mod copyable;
pub mod difftool;
mod disk;
mod erase;
mod eyes;
mod eyes_git;
mod eyes_git2;
pub mod fill;
pub mod history;
mod ignored;
pub mod include;
mod index_bytes;
mod index_hold;
pub mod links;
pub mod locks;
pub mod look;
pub mod merge;
pub mod pool;
pub mod pool_make;
mod pool_proof;
mod private;
pub mod reach;
mod refs;
pub mod register;
pub mod remove;
mod repair;
pub mod rescue;
mod rescue_bytes;
mod rescue_index;
pub mod restore;
pub mod scratch;
pub mod settings;
pub mod stat;
mod tree_distance;
mod tree_files;
mod unheld;
pub mod witness;
pub mod worktree;

#[cfg(test)]
mod tests;

pub use brought::Brought;
pub use command::{GitEnv, Version};
pub use look::{BranchProblem, Commit, DiffStat, Head, Patch, Repository};
pub use private::ConfigSnapshot;
pub use settings::Settings;
pub use worktree::Worktree;

use crate::tools::program;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why the git room could not do or find out something.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No repository holds this directory.
    #[error("{} is not in a git repository", .dir.display())]
    NotARepository {
        /// Where we looked from.
        dir: PathBuf,
    },
    /// The repository has no checkout.
    #[error("{} is a bare repository", .git_dir.display())]
    Bare {
        /// Its directory.
        git_dir: PathBuf,
    },
    /// The directory is inside the repository's own data.
    #[error("{} is inside a .git directory", .dir.display())]
    InsideGitDir {
        /// Where we looked from.
        dir: PathBuf,
    },
    /// The repository belongs to another user, and git does not trust it.
    #[error("detected dubious ownership in repository at '{}'", .path.display())]
    NotOwned {
        /// The repository or its checkout.
        path: PathBuf,
    },
    /// The branch cannot be made.
    #[error("branch {name:?} cannot be made: {problem}")]
    Branch {
        /// The name that was wanted.
        name: String,
        /// Why not.
        problem: BranchProblem,
    },
    /// Where the worktree should go there is something already.
    #[error("{} exists already", .path.display())]
    PathTaken {
        /// The path that was wanted.
        path: PathBuf,
    },
    /// The worktree is not, or no longer, the one that we made.
    #[error("{} is not the worktree we made: {what}", .path.display())]
    NotOurWorktree {
        /// Where the worktree should be.
        path: PathBuf,
        /// What differs.
        what: String,
    },
    /// A ref of that name holds something else.
    #[error("{name} exists already and holds other work")]
    RefTaken {
        /// The full name of the ref.
        name: String,
    },
    /// The difftool did not end well, or could not be started.
    #[error("the difftool ended with {how}")]
    Difftool {
        /// With what.
        how: String,
    },
    /// Somebody asked for it to end before it was done.
    #[error("it was broken off")]
    BrokenOff,
    /// git could not be run, failed, or took too long.
    #[error("{}", command_failed(.0))]
    Program(#[from] program::Error),
    /// libgit2 failed.
    #[error("could not {doing}: {message}")]
    Git2 {
        /// What we were doing.
        doing: &'static str,
        /// What libgit2 said.
        message: String,
    },
    /// git answered something that we do not understand.
    #[error("could not {doing}: git answered {answer:?}")]
    Answer {
        /// What we were doing.
        doing: &'static str,
        /// The answer, cut to a line or so.
        answer: String,
    },
    /// A remote could not be reached, or has not what was asked for.
    #[error("the remote did not answer: {why}")]
    Remote {
        /// What was said.
        why: String,
    },
    /// A file or directory could not be read or written.
    #[error("{}: {source}", .path.display())]
    Disk {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What a git command said, without the twenty settings that every command of ours begins with.
fn command_failed(error: &program::Error) -> String {
    let (program::Error::Failed { args, .. } | program::Error::TimedOut { args, .. }) = error else {
        return error.to_string();
    };
    let mut words = args.iter().map(String::as_str);
    let mut verb = "";
    while let Some(word) = words.next() {
        if word == "-c" {
            words.next();
        } else if !word.starts_with('-') {
            verb = word;
            break;
        }
    }
    match error {
        program::Error::Failed { stderr, .. } => {
            let said =
                stderr.lines().rev().map(str::trim).find(|l| !l.is_empty()).unwrap_or("it said nothing");
            format!("git {verb} failed: {said}")
        }
        _ => format!("git {verb} did not end in time"),
    }
}

impl Error {
    /// The stable word for this error in `--json`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotARepository { .. } => "not_a_repository",
            Self::Bare { .. } => "bare_repository",
            Self::InsideGitDir { .. } => "inside_git_dir",
            Self::NotOwned { .. } => "repository_not_owned",
            Self::Branch { problem, .. } => problem.code(),
            Self::PathTaken { .. } => "path_taken",
            Self::NotOurWorktree { .. } => "not_our_worktree",
            Self::RefTaken { .. } => "ref_taken",
            Self::Difftool { .. } => "difftool_failed",
            Self::BrokenOff => "broken_off",
            Self::Program(error) => error.code(),
            Self::Git2 { .. } | Self::Answer { .. } => "git_failed",
            Self::Remote { .. } => "remote",
            Self::Disk { .. } => "git_disk",
        }
    }

    /// What to do next, if there is something.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotARepository { .. } => {
                Some("change into a git repository, or make one with: git init".into())
            }
            Self::Bare { .. } => {
                Some("run this in a checkout; for a bare repository make one with: git worktree add".into())
            }
            Self::InsideGitDir { .. } => Some("change into the checkout".into()),
            Self::NotOwned { path } => Some(format!(
                "if you trust it: git config --global --add safe.directory '{}'",
                path.display()
            )),
            Self::Branch { problem, .. } => problem.hint(),
            Self::NotOurWorktree { path, .. } => Some(format!(
                "see git worktree list; put it back to {}, or mend its links: git worktree repair",
                path.display()
            )),
            Self::Difftool { .. } => Some(
                "those that there are: git difftool --tool-help; one of your own: git config --global difftool.NAME.cmd '…'"
                    .into(),
            ),
            Self::Program(error) => error.hint(),
            _ => None,
        }
    }
}

type Result<T, E = Error> = std::result::Result<T, E>;

/// The full id of a commit: 40 hexadecimal digits, or 64 in a sha256 repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommitId(String);

impl CommitId {
    /// `text` as an id; `None` if it is anything but a full id in lower case.
    pub fn parse(text: &str) -> Option<Self> {
        let full = text.len() == 40 || text.len() == 64;
        let hex = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        (full && hex).then(|| Self(text.to_owned()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first ten digits, for people.
    pub fn short(&self) -> &str {
        self.0.get(..10).unwrap_or(&self.0)
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for CommitId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("not a commit id: {text:?}"))
    }
}

impl From<CommitId> for String {
    fn from(id: CommitId) -> Self {
        id.0
    }
}
