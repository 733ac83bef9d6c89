//! The seam between "what we ask of a repository" and the two ways to find out.
//!
//! git2 is fast and runs nothing. It cannot open sha256 and reftable repositories and partial clones; for those the
//! same questions go to the hardened git command. [`super::look`] picks the way once, when it opens a repository.

use super::{Commit, CommitId, DiffStat, Head, Patch, Result};
use std::path::Path;

/// The questions. Answers are the same whichever way is taken.
pub(super) trait Eyes: std::fmt::Debug + Send {
    /// Where HEAD is.
    fn head(&self) -> Result<Head>;

    /// The commit that `spec` (a branch, tag, id, `HEAD~2`, ...) names.
    fn resolve(&self, spec: &str) -> Result<Option<CommitId>>;

    /// The commit a ref points at; `name` is complete (`refs/heads/main`).
    fn reference(&self, name: &str) -> Result<Option<CommitId>>;

    /// One ref whose name begins with `prefix` (which ends in `/`), if there is one.
    fn any_below(&self, prefix: &str) -> Result<Option<String>>;

    /// How `tip`'s tree differs from `base`'s.
    fn diff_stat(&self, base: &CommitId, tip: &CommitId) -> Result<DiffStat>;

    /// The commits reachable from `tip` and not from `base`, newest first, at most `limit`.
    fn commits(&self, base: &CommitId, tip: &CommitId, limit: usize) -> Result<Vec<Commit>>;

    /// The difference as a patch, at most `cap` bytes of it.
    fn patch(&self, base: &CommitId, tip: &CommitId, cap: usize) -> Result<Patch>;

    /// A commit as git stores it: headers, an empty line, the message.
    fn raw_commit(&self, commit: &CommitId) -> Result<Vec<u8>>;

    /// Is `path` a submodule in the tree of `commit`?
    fn is_submodule(&self, commit: &CommitId, path: &Path) -> Result<bool>;
}
