//! The ignored files of a worktree, and which of them are small enough to be kept.

use super::Result;
use super::changes::is_readable;
use super::command::{path, records};
use super::disk;
use super::private::PrivateDir;
use super::worktree::Worktree;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What was found. Paths are relative to the worktree.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Files and links to keep.
    pub(super) files: Vec<PathBuf>,
    /// Entries that are too large to be kept, with their size.
    pub(super) not_kept: Vec<(PathBuf, u64)>,
    /// Small ones that git cannot hold: with a repository in them, or something that cannot be read.
    pub(super) unheld: Vec<PathBuf>,
}

/// The ignored files of the worktree and of the nested repositories `entered`. An entry is a file, or a directory in
/// which nothing is but ignored files; it is kept whole or not at all.
pub(super) fn find(
    private: &PrivateDir<'_>,
    worktree: &Worktree,
    entered: &[PathBuf],
    max: u64,
) -> Result<Found> {
    let mut found = Found::default();
    let words = ["ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory"];
    let none = private.beside("none");
    for root in [Path::new("")].into_iter().chain(entered.iter().map(PathBuf::as_path)) {
        let git = if root.as_os_str().is_empty() {
            private.git()
        } else {
            private.git_in(&worktree.path.join(root), &none)
        };
        let out = git.args(words).output("list ignored files")?;
        for record in records(&out) {
            let entry = root.join(path(record.strip_suffix(b"/").unwrap_or(record)));
            match Entry::measure(&worktree.path, &entry, max)? {
                Entry { size, whole: true, files } if size <= max => found.files.extend(files),
                Entry { size, .. } if size <= max => found.unheld.push(entry),
                Entry { size, .. } => found.not_kept.push((entry, size)),
            }
        }
    }
    Ok(found)
}

/// One ignored file or directory.
struct Entry {
    /// The bytes of all files in it.
    size: u64,
    /// git can hold all of it.
    whole: bool,
    /// Its files and links, as long as they are not too many bytes.
    files: Vec<PathBuf>,
}

impl Entry {
    /// Follows no link and stays on the file system that it begins on.
    fn measure(root: &Path, relative: &Path, max: u64) -> Result<Self> {
        let mut entry = Self { size: 0, whole: true, files: Vec::new() };
        let mut todo = vec![relative.to_owned()];
        let mut device = None;
        while let Some(relative) = todo.pop() {
            let full = root.join(&relative);
            let Some(meta) = disk::look(&full)? else { continue };
            if *device.get_or_insert(meta.dev()) != meta.dev() {
                entry.whole = false;
            } else if meta.is_dir() {
                let Ok(Some(names)) = disk::names(&full) else {
                    entry.whole = false;
                    continue;
                };
                // A repository: its files alone would not be it.
                entry.whole &= !names.iter().any(|name| name.as_bytes().eq_ignore_ascii_case(b".git"));
                todo.extend(names.into_iter().map(|name| relative.join(name)));
            } else if meta.is_file() || meta.is_symlink() {
                entry.size = entry.size.saturating_add(meta.len());
                entry.whole &= meta.is_symlink() || is_readable(&full);
                if entry.size <= max {
                    entry.files.push(relative);
                }
            }
        }
        Ok(entry)
    }
}
