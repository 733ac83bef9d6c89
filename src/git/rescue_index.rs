//! What an index says that no tree of files does, as trees.

use super::Result;
use super::changes::{Entry, Listing, nul_ended};
use super::command::{path, records};
use super::disk;
use super::private::{PrivateDir, tree_id};
use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The directories of the tree of entries that hold marks; the others are the stages.
pub(super) const INTENDED: &str = "intended";
pub(super) const SKIPPED: &str = "skipped";
pub(super) const HIDDEN: &str = "hidden";
pub(super) const ASSUMED: &str = "assumed";

/// The index of a worktree at the moment when it was copied.
pub(super) struct SavedIndex {
    /// Of the entries without conflict.
    tree: String,
    conflicts: Vec<Entry>,
    marks: Vec<(&'static str, Entry)>,
}

impl SavedIndex {
    /// From a private directory into which nothing was put yet.
    pub(super) fn read(private: &PrivateDir<'_>, listing: &Listing) -> Result<Self> {
        let tree = if listing.unmerged.is_empty() {
            tree_id(private.git().args(["write-tree", "--missing-ok"]), "write the index as a tree")?
        } else {
            without_conflicts(private, listing)?
        };
        let mut marks = Vec::new();
        if !listing.maybe_intended.is_empty() {
            // An entry that is only intended is in no tree; a file that is empty and staged is.
            let out = private.git().args(["ls-tree", "-r", "-z", "--name-only", "--full-tree", &tree]);
            let out = out.output("read a tree")?;
            let there: BTreeSet<PathBuf> = records(&out).map(path).collect();
            let intended = listing.maybe_intended.iter().filter(|entry| !there.contains(&entry.path));
            let mut seen = BTreeSet::new();
            marks.extend(intended.filter(|e| seen.insert(&e.path)).map(|e| (INTENDED, e.clone())));
        }
        marks.extend(listing.skipped.iter().map(|entry| (SKIPPED, entry.clone())));
        marks.extend(listing.hidden.iter().map(|entry| (HIDDEN, entry.clone())));
        marks.extend(listing.assumed.iter().map(|entry| (ASSUMED, entry.clone())));
        Ok(Self { tree, conflicts: listing.unmerged.clone(), marks })
    }

    /// The tree of the disk, if the index is that.
    pub(super) fn tree_if_untouched(&self, listing: &Listing) -> Option<String> {
        let same = listing.files.is_empty() && listing.gone.is_empty() && self.conflicts.is_empty();
        same.then(|| self.tree.clone())
    }

    /// Says no more than the tree of HEAD does, as far as can be told without looking at trees.
    pub(super) fn is_plain(&self, head_tree: Option<&str>) -> bool {
        self.conflicts.is_empty() && self.marks.is_empty() && head_tree.is_none_or(|tree| tree == self.tree)
    }

    /// The tree of the entries without conflict, unless HEAD's is the same.
    pub(super) fn tree_unless(
        &self,
        head_tree: Option<&str>,
        private: &PrivateDir<'_>,
    ) -> Result<Option<String>> {
        let same = match head_tree {
            Some(tree) => tree == self.tree,
            None => private.git().args(["ls-tree", &self.tree]).output("read a tree")?.is_empty(),
        };
        let needed = !same || !self.conflicts.is_empty();
        Ok(needed.then(|| self.tree.clone()))
    }

    /// The tree of conflicts and marks, if there are any.
    pub(super) fn entries(&self, private: &PrivateDir<'_>) -> Result<Option<String>> {
        let mut input = Vec::new();
        let mut put = |directory: &str, entry: &Entry| {
            input.extend_from_slice(format!("{} {} 0\t{directory}/", entry.mode, entry.id).as_bytes());
            input.extend_from_slice(entry.path.as_os_str().as_bytes());
            input.push(0);
        };
        for entry in &self.conflicts {
            put(&entry.stage.to_string(), entry);
        }
        for (directory, entry) in &self.marks {
            put(directory, entry);
        }
        if input.is_empty() {
            return Ok(None);
        }
        let index = private.beside("entries");
        let git = || private.git_in(&private.worktree().path, &index);
        git()
            .args(["update-index", "-z", "--index-info"])
            .stdin(input)
            .output("put the entries of an index into a tree")?;
        tree_id(git().args(["write-tree", "--missing-ok"]), "write a tree").map(Some)
    }
}

/// The tree of an index with conflicts, less these.
fn without_conflicts(private: &PrivateDir<'_>, listing: &Listing) -> Result<String> {
    let index = private.beside("merged");
    disk::copy_with_time(&private.index(), &index)?;
    let paths: Vec<PathBuf> = listing.unmerged.iter().map(|entry| entry.path.clone()).collect();
    let work_tree: &Path = &private.worktree().path;
    let git = || private.git_in(work_tree, &index);
    git()
        .args(["update-index", "--force-remove", "-z", "--stdin"])
        .stdin(nul_ended(&paths))
        .output("leave the conflicts out of an index")?;
    tree_id(git().args(["write-tree", "--missing-ok"]), "write the index as a tree")
}
