//! What an agent did, commit by commit and file by file, committed or not. Runs nothing that a repository configures.

use super::brought::Brought;
use super::eyes_git2::{failed, tree};
use super::stat::{all_there_is, is_brought};
use super::worktree::{Worktree, eyes, open};
use super::{Commit, CommitId, GitEnv, Result};
use git2::{Delta, Diff, DiffFindOptions, DiffFormat, Repository};
use std::path::PathBuf;

/// How a file differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDiff {
    /// Its path in the worktree, as it is: not safe for a terminal.
    pub path: PathBuf,
    /// The path that it had in the base, if that was another one.
    pub was_at: Option<PathBuf>,
    /// `added`, `modified`, `deleted`, `renamed`, `typechange`, or `conflicted`.
    pub status: &'static str,
    /// Lines that are new; `None` for a file that is not text.
    pub insertions: Option<usize>,
    /// Lines that are gone; `None` for a file that is not text.
    pub deletions: Option<usize>,
}

/// What a worktree holds that its base does not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// The files.
    pub files: Vec<FileDiff>,
    /// The patch, raw bytes of the files, at most as long as was asked for.
    pub patch: Vec<u8>,
    /// There was more of the patch.
    pub truncated: bool,
    /// Uncommitted changes are left out, because libgit2 cannot open this repository.
    pub committed_only: bool,
}

impl Difference {
    /// Every path that is not as it was, as text: of a file that was moved, both.
    pub fn paths(&self) -> Vec<String> {
        let paths = self.files.iter().flat_map(|file| [Some(&file.path), file.was_at.as_ref()]);
        paths.flatten().map(|path| path.to_string_lossy().into_owned()).collect()
    }
}

/// The commits of `worktree` since `base`, newest first, at most `limit`.
pub fn commits(env: &GitEnv, worktree: &Worktree, base: &CommitId, limit: usize) -> Result<Vec<Commit>> {
    let eyes = eyes(env, worktree)?;
    match eyes.head()?.commit() {
        Some(tip) => eyes.commits(base, tip, limit),
        None => Ok(Vec::new()),
    }
}

/// How what is in `worktree` now, but for what was `brought` there, differs from `base`, with at most `cap` bytes of patch.
pub fn difference(
    env: &GitEnv,
    worktree: &Worktree,
    base: &CommitId,
    brought: &Brought,
    cap: usize,
) -> Result<Difference> {
    if let Some(repository) = open(worktree)? {
        by_git2(&repository, worktree, base, brought, cap)
    } else {
        let eyes = eyes(env, worktree)?;
        let Some(tip) = eyes.head()?.commit().cloned() else { return Ok(Difference::default()) };
        let patch = eyes.patch(base, &tip, cap)?;
        Ok(Difference {
            files: Vec::new(),
            patch: patch.text,
            truncated: patch.truncated,
            committed_only: true,
        })
    }
}

fn by_git2(
    repository: &Repository,
    worktree: &Worktree,
    base: &CommitId,
    brought: &Brought,
    cap: usize,
) -> Result<Difference> {
    let doing = "compare a worktree";
    repository.set_workdir(&worktree.path, false).map_err(failed(doing))?;
    let mut options = all_there_is();
    options
        // Else git apply would refuse the whole patch because of one picture in it.
        .show_binary(true)
        .id_abbrev(u16::try_from(base.as_str().len()).unwrap_or(40));
    let tree = tree(repository, base)?;
    let mut diff =
        repository.diff_tree_to_workdir_with_index(Some(&tree), Some(&mut options)).map_err(failed(doing))?;
    diff.find_similar(Some(DiffFindOptions::new().renames(true))).map_err(failed(doing))?;
    let mut difference = Difference { files: files(&diff, brought)?, ..Difference::default() };
    let printed = diff.print(DiffFormat::Patch, |delta, _, line| {
        if is_brought(&delta, brought) {
            return true;
        }
        if difference.patch.len() > cap {
            difference.truncated = true;
            return false;
        }
        if matches!(line.origin(), '+' | '-' | ' ') {
            difference.patch.push(u8::try_from(line.origin()).unwrap_or(b' '));
        }
        difference.patch.extend_from_slice(line.content());
        true
    });
    match printed {
        Err(_) if difference.truncated => difference.patch.truncate(cap),
        other => other.map_err(failed(doing))?,
    }
    Ok(difference)
}

fn files(diff: &Diff<'_>, brought: &Brought) -> Result<Vec<FileDiff>> {
    let mut files = Vec::new();
    for (index, delta) in diff.deltas().enumerate().filter(|(_, delta)| !is_brought(delta, brought)) {
        let status = match delta.status() {
            Delta::Added | Delta::Untracked | Delta::Copied => "added",
            Delta::Deleted => "deleted",
            Delta::Renamed => "renamed",
            Delta::Typechange => "typechange",
            Delta::Conflicted => "conflicted",
            Delta::Unmodified | Delta::Ignored => continue,
            Delta::Modified | Delta::Unreadable => "modified",
        };
        let (old, new) = (delta.old_file().path().map(PathBuf::from), delta.new_file().path());
        let path = new.map(PathBuf::from).or_else(|| old.clone()).unwrap_or_default();
        let was_at = old.filter(|old| status == "renamed" && *old != path);
        // A file that changed or vanished since the list was made has no lines to count now.
        let text = git2::Patch::from_diff(diff, index).ok().flatten();
        let lines = match text.filter(|t| !t.delta().flags().contains(git2::DiffFlags::BINARY)) {
            Some(text) => Some(text.line_stats().map_err(failed("compare a file"))?),
            None => None,
        };
        files.push(FileDiff {
            path,
            was_at,
            status,
            insertions: lines.map(|l| l.1),
            deletions: lines.map(|l| l.2),
        });
    }
    Ok(files)
}
