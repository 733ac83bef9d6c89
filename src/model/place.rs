//! Where an agent works.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where an agent works, and so what of it is ours to make and to remove.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In a worktree of its own, on a branch that was made for it.
    #[default]
    NewBranch,
    /// In a worktree of its own, on a branch that was there before.
    Branch,
    /// In the checkout that `run` was called in, on whatever it has checked out.
    Checkout,
    /// In a directory that is no repository: nothing is committed there, and nothing saved.
    Directory,
}

impl Place {
    /// Whether it works in a worktree that was made for it, which we fill and remove. Else the place is the user's.
    pub const fn has_own_worktree(self) -> bool {
        matches!(self, Self::NewBranch | Self::Branch)
    }

    /// Whether its branch was made for it. Another one is never deleted by us.
    pub const fn has_own_branch(self) -> bool {
        matches!(self, Self::NewBranch)
    }

    /// Whether there is a repository at all.
    pub const fn is_in_repository(self) -> bool {
        !matches!(self, Self::Directory)
    }

    /// Whether it is what is said when nothing is.
    pub const fn is_usual(&self) -> bool {
        matches!(self, Self::NewBranch)
    }
}
