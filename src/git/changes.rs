//! What an agent left in its worktree, found without running anything the agent could have configured.
//!
//! All reading is done through a [`PrivateDir`]. What we do about special cases:
//!
//! * A repository inside the worktree (`git init sub`, a clone): git would record at most a link to a commit that
//!   nobody else has. One without commits holds nothing but files, so its files are taken as ordinary ones. One with
//!   commits is left out of the branch and reported in [`Left::nested`]; a rescue takes its files too.
//! * A submodule that was filled: its commit is recorded as git does; what is inside is reported, never looked at.
//! * Pipes, sockets, devices and unreadable files are reported in [`Left::unsaved`].

use super::brought::Brought;
use super::command::{GitEnv, answer, path, records};
use super::eyes::Eyes;
use super::look::{DiffStat, Head};
use super::private::{ConfigSnapshot, PrivateDir};
use super::worktree::{Worktree, eyes};
use super::{CommitId, Result, disk};
use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Something that git was in the middle of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A merge.
    Merge,
    /// A rebase, or `git am`.
    Rebase,
    /// A cherry-pick.
    CherryPick,
    /// A revert.
    Revert,
    /// A bisection.
    Bisect,
    /// None of these, but the index holds conflicts (a failed `stash pop`).
    Conflicts,
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Merge => "a merge",
            Self::Rebase => "a rebase",
            Self::CherryPick => "a cherry-pick",
            Self::Revert => "a revert",
            Self::Bisect => "a bisection",
            Self::Conflicts => "resolving conflicts",
        })
    }
}

/// What kind of repository lies inside a worktree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NestedKind {
    /// A submodule of the project, filled.
    Submodule,
    /// It has commits of its own, or could not be read.
    WithCommits,
    /// It has no commit yet.
    WithoutCommits,
}

/// A repository inside a worktree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nested {
    /// Where, relative to the worktree.
    pub path: PathBuf,
    /// What it is.
    pub kind: NestedKind,
}

/// What a commit does not hold. While any of it is there, removing the worktree loses work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Left {
    /// Repositories inside the worktree that are not, or not with their history, in the commit.
    pub nested: Vec<Nested>,
    /// Files that git cannot hold or we cannot read, relative to the worktree.
    pub unsaved: Vec<PathBuf>,
    /// Filter drivers of the user that did not run because their command lies in the worktree, where the agent could
    /// have changed it. Files they are for went in as they are.
    pub skipped_filters: Vec<String>,
}

/// What is in a worktree, compared with the commit that its agent started from. Paths are relative to the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// Where HEAD is now; not on [`Worktree::branch`] if the agent moved it.
    pub head: Head,
    /// The difference between the base and HEAD, which is committed.
    pub committed: DiffStat,
    /// Tracked files that differ from HEAD, in the index or on disk.
    pub tracked: Vec<PathBuf>,
    /// Files that git does not track and does not ignore.
    pub untracked: Vec<PathBuf>,
    /// What git is in the middle of.
    pub operation: Option<Operation>,
    /// What a commit would not hold.
    pub left: Left,
}

impl Changes {
    /// Is there work in the worktree that no commit holds?
    pub fn is_dirty(&self) -> bool {
        !(self.tracked.is_empty() && self.untracked.is_empty() && self.left.nested.is_empty())
    }
}

/// What is in `worktree`, compared with `base`. Writes nothing there; `config` is the snapshot from before the agent.
pub fn changes(
    env: &GitEnv,
    worktree: &Worktree,
    config: &ConfigSnapshot,
    base: &CommitId,
) -> Result<Changes> {
    let eyes = eyes(env, worktree)?;
    let head = eyes.head()?;
    let committed = head.commit().map_or(Ok(DiffStat::default()), |tip| eyes.diff_stat(base, tip))?;
    let private = PrivateDir::new(env, worktree, config)?;
    let listing = Listing::read(&private, worktree, head.commit())?;
    let operation = operation(eyes.as_ref(), worktree, &listing)?;
    let tracked = match head.commit() {
        Some(commit) => {
            private.refresh(true)?;
            let words = ["diff-index", "-z", "--name-only", "--ignore-submodules=dirty", commit.as_str()];
            let out = private.git().args(words).output("compare with HEAD")?;
            let gone = |path: &PathBuf| listing.keep_absent && !listing.files.contains(path);
            let mut paths: Vec<_> = records(&out).map(path).filter(|path| !gone(path)).collect();
            paths.dedup();
            paths
        }
        None => listing.indexed.clone(),
    };
    let known: BTreeSet<_> = tracked.iter().collect();
    let untracked = listing.untracked.iter().filter(|path| !known.contains(path)).cloned().collect();
    Ok(Changes { head, committed, untracked, tracked, operation, left: listing.left(&private) })
}

/// What git is in the middle of in this worktree, as far as it says so itself: conflicts of a stash are in its index only.
pub fn underway(env: &GitEnv, worktree: &Worktree) -> Result<Option<Operation>> {
    said(eyes(env, worktree)?.as_ref(), worktree)
}

/// What git is in the middle of in this worktree.
pub(super) fn operation(
    eyes: &dyn Eyes,
    worktree: &Worktree,
    listing: &Listing,
) -> Result<Option<Operation>> {
    let said = said(eyes, worktree)?;
    Ok(said.or_else(|| (!listing.unmerged.is_empty()).then_some(Operation::Conflicts)))
}

fn said(eyes: &dyn Eyes, worktree: &Worktree) -> Result<Option<Operation>> {
    for (name, operation) in [
        ("rebase-merge", Operation::Rebase),
        ("rebase-apply", Operation::Rebase),
        ("MERGE_HEAD", Operation::Merge),
        ("CHERRY_PICK_HEAD", Operation::CherryPick),
        ("REVERT_HEAD", Operation::Revert),
        ("BISECT_LOG", Operation::Bisect),
    ] {
        let reftable =
            name.ends_with("_HEAD") && disk::look(&worktree.common_dir.join("reftable"))?.is_some();
        let there = disk::look(&worktree.admin_dir.join(name))?.is_some();
        // A reftable repository keeps these refs in its table and not in files.
        if there || (reftable && eyes.resolve(name)?.is_some()) {
            return Ok(Some(operation));
        }
    }
    Ok(None)
}

/// One entry of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Six octal digits.
    pub(super) mode: String,
    /// The object.
    pub(super) id: String,
    /// 0, or 1 to 3 in a conflict.
    pub(super) stage: u8,
    /// Where, relative to the root.
    pub(super) path: PathBuf,
}

/// The content of an empty file, in either format: what an entry that is only "to be added" seems to hold.
const EMPTY_FILE: [&str; 2] = [
    "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",
    "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813",
];

/// What has to go into the private index to make it say what is on disk, and what that index says of itself.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Files and links to take in.
    pub(super) files: Vec<PathBuf>,
    /// Entries to take out.
    pub(super) gone: Vec<PathBuf>,
    /// Those of `files` that the index does not know.
    untracked: Vec<PathBuf>,
    /// Everything that the index knows; filled only where there is no commit.
    indexed: Vec<PathBuf>,
    nested: Vec<Nested>,
    unsaved: Vec<PathBuf>,
    /// Entries in conflict.
    pub(super) unmerged: Vec<Entry>,
    /// Entries that git was told not to look at on disk, and that are not there (a sparse checkout).
    pub(super) skipped: Vec<Entry>,
    /// Entries that git was told not to look at on disk, and that are there.
    pub(super) hidden: Vec<Entry>,
    /// Entries that git was told to take for unchanged.
    pub(super) assumed: Vec<Entry>,
    /// Entries that may be "to be added" only.
    pub(super) maybe_intended: Vec<Entry>,
    /// Nested repositories whose files were taken as ordinary ones.
    pub(super) entered: Vec<PathBuf>,
    /// There is a `.gitattributes` somewhere.
    pub(super) attributes: bool,
    keep_absent: bool,
}

impl Listing {
    /// Compares the disk with the worktree's index, or with `head` if that index is missing or broken.
    pub(super) fn read(
        private: &PrivateDir<'_>,
        worktree: &Worktree,
        head: Option<&CommitId>,
    ) -> Result<Self> {
        if private.copied.is_some() {
            match Self::compare(private, worktree, head, false) {
                Ok(listing) => return Ok(listing),
                // A filter failed, or the like. The index is good.
                Err(e) if private.git().args(["ls-files", "-z"]).output("list the index").is_ok() => {
                    return Err(e);
                }
                Err(_) => {}
            }
        }
        // Without the index nobody can tell a deleted file from one that a sparse checkout or a fill that was ended
        // did not write, so nothing counts as deleted.
        disk::remove_file(&private.index())?;
        let seed = head.map_or("--empty", CommitId::as_str);
        private.git().args(["read-tree", seed]).output("read HEAD into an index")?;
        Self::compare(private, worktree, head, true)
    }

    fn compare(
        private: &PrivateDir<'_>,
        worktree: &Worktree,
        head: Option<&CommitId>,
        keep_absent: bool,
    ) -> Result<Self> {
        let mut listing = Self { keep_absent, ..Self::default() };
        let (mut lines, closed) = Line::list(private)?;
        listing.unsaved.extend(closed);
        listing.note(&lines);
        if !listing.assumed.is_empty() {
            // Takes the mark from those that are not unchanged, so that git looks at them.
            private.refresh(false)?;
            (lines, _) = Line::list(private)?;
        }
        let mut seen = BTreeSet::new();
        for line in &lines {
            let untracked = line.tag == b'?';
            // What git does not look at, we do.
            let ours_to_see = matches!(line.tag, b'S' | b'M');
            if let (true, Some(entry)) = (head.is_none() && !line.is_repeated(), &line.entry) {
                listing.indexed.push(entry.path.clone());
            }
            if !line.is_repeated()
                && line.entry.as_ref().is_some_and(|entry| entry.mode == "160000")
                && disk::look(&worktree.path.join(&line.path).join(".git"))?.is_some()
            {
                listing.nested.push(Nested { path: line.path.clone(), kind: NestedKind::Submodule });
            }
            if !(untracked || ours_to_see || line.is_repeated()) || !seen.insert(&line.path) {
                continue;
            }
            match line.path.as_os_str().as_bytes().strip_suffix(b"/") {
                Some(dir) => listing.take_nested(private, worktree, &path(dir), 0)?,
                None if line.tag == b'S' && disk::look(&worktree.path.join(&line.path))?.is_none() => {
                    listing.skipped.extend(line.entry.clone());
                }
                None => {
                    if line.tag == b'S' {
                        listing.hidden.extend(line.entry.clone());
                    }
                    listing.sort_in(worktree, line.path.clone(), untracked)?;
                }
            }
        }
        Ok(listing)
    }

    /// Notes what the index says of its entries beside their content.
    fn note(&mut self, lines: &[Line]) {
        for line in lines {
            self.attributes |= line.path.file_name().is_some_and(|name| name == ".gitattributes");
            let Some(entry) = &line.entry else { continue };
            if line.is_repeated() {
                if entry.stage == 0 && EMPTY_FILE.contains(&entry.id.as_str()) {
                    self.maybe_intended.push(entry.clone());
                }
                continue;
            }
            if line.tag == b'M' {
                self.unmerged.push(entry.clone());
            }
            if line.assumed {
                self.assumed.push(entry.clone());
            }
        }
    }

    /// Decides by what is on disk now what becomes of one path.
    fn sort_in(&mut self, worktree: &Worktree, relative: PathBuf, untracked: bool) -> Result<()> {
        let full = worktree.path.join(&relative);
        let meta = if behind_link(&worktree.path, &relative)? { None } else { disk::look(&full)? };
        match meta {
            Some(meta) if meta.is_symlink() || (meta.is_file() && is_readable(&full)) => {
                if untracked {
                    self.untracked.push(relative.clone());
                }
                self.files.push(relative);
            }
            // A submodule on another commit; update-index records the commit.
            Some(meta) if meta.is_dir() && disk::look(&full.join(".git"))?.is_some() => {
                self.files.push(relative);
            }
            // Where a tracked file was there is a directory, and its files are listed one by one.
            Some(meta) if meta.is_dir() => self.gone.push(relative),
            Some(_) => self.unsaved.push(relative),
            None if untracked || self.keep_absent => {}
            None => self.gone.push(relative),
        }
        Ok(())
    }

    /// A repository at `relative`, which the index does not know.
    fn take_nested(
        &mut self,
        private: &PrivateDir<'_>,
        worktree: &Worktree,
        relative: &Path,
        depth: usize,
    ) -> Result<()> {
        let kind = match git2::Repository::open_ext(
            worktree.path.join(relative),
            git2::RepositoryOpenFlags::NO_SEARCH,
            std::iter::empty::<&std::ffi::OsStr>(),
        ) {
            Ok(repository) if has_no_commit(&repository) => NestedKind::WithoutCommits,
            _ => NestedKind::WithCommits,
        };
        if kind == NestedKind::WithoutCommits {
            self.take_files_of_nested(private, worktree, relative, depth)?;
        } else {
            self.nested.push(Nested { path: relative.to_owned(), kind });
        }
        Ok(())
    }

    /// Takes the files of a nested repository (but what it ignores) as ordinary files.
    fn take_files_of_nested(
        &mut self,
        private: &PrivateDir<'_>,
        worktree: &Worktree,
        relative: &Path,
        depth: usize,
    ) -> Result<()> {
        let root = worktree.path.join(relative);
        self.entered.push(relative.to_owned());
        let empty = private.index().with_extension("none");
        let words = ["ls-files", "-z", "--others", "--exclude-standard"];
        let out = private.git_in(&root, &empty).args(words).output("list a repository in the worktree")?;
        for record in records(&out) {
            match record.strip_suffix(b"/") {
                Some(dir) if depth < 16 => {
                    self.take_nested(private, worktree, &relative.join(path(dir)), depth + 1)?;
                }
                Some(dir) => {
                    self.nested
                        .push(Nested { path: relative.join(path(dir)), kind: NestedKind::WithCommits });
                }
                None => self.sort_in(worktree, relative.join(path(record)), true)?,
            }
        }
        Ok(())
    }

    /// Leaves out what was brought into the worktree, as far as the index does not know it.
    pub(super) fn leave_out(&mut self, brought: &Brought) {
        let (ours, theirs): (BTreeSet<_>, Vec<_>) = {
            let untracked = std::mem::take(&mut self.untracked).into_iter();
            let (ours, theirs): (Vec<_>, Vec<_>) = untracked.partition(|path| brought.has(path));
            (ours.into_iter().collect(), theirs)
        };
        self.untracked = theirs;
        self.files.retain(|path| !ours.contains(path));
    }

    /// Takes in the files of nested repositories with commits too; what stays out is their history.
    pub(super) fn take_all_nested(&mut self, private: &PrivateDir<'_>, worktree: &Worktree) -> Result<()> {
        let mut done = 0;
        // Taking one in can find further ones below it, which are appended.
        while let Some(nested) = self.nested.get(done).cloned() {
            done += 1;
            if nested.kind == NestedKind::WithCommits {
                self.take_files_of_nested(private, worktree, &nested.path, 0)?;
            }
        }
        Ok(())
    }

    /// What a commit of this listing does not hold.
    pub(super) fn left(&self, private: &PrivateDir<'_>) -> Left {
        Left {
            nested: self.nested.clone(),
            unsaved: self.unsaved.clone(),
            skipped_filters: private.skipped_filters.clone(),
        }
    }

    /// Enters untracked files as "to be added", without content, so that a difference shows them.
    pub(super) fn mark_untracked(&self, private: &PrivateDir<'_>) -> Result<()> {
        if self.untracked.is_empty() {
            return Ok(());
        }
        let input = nul_ended(&self.untracked);
        let words = ["add", "--intent-to-add", "--pathspec-from-file=-", "--pathspec-file-nul"];
        private.git().args(words).stdin(input).output("note untracked files").map(|_| ())
    }

    /// Makes the private index say what is on disk; this writes blobs into the repository.
    pub(super) fn apply(&mut self, private: &PrivateDir<'_>) -> Result<()> {
        let mut refused = Vec::new();
        for (flags, paths) in
            [(&["--force-remove"][..], &self.gone), (&["--add", "--remove", "--replace"], &self.files)]
        {
            if paths.is_empty() {
                continue;
            }
            let git =
                private.git().arg("update-index").args(flags).args(["-z", "--stdin"]).stdin(nul_ended(paths));
            let (_, said) = git.output_and_words("put the files into an index")?;
            // Names that could be taken for something of git's own, on some file system.
            refused.extend(named_in(&said, b"Ignoring path ", b""));
        }
        self.unsaved.extend(refused);
        Ok(())
    }
}

/// The paths that git names on standard error, each in a line of its own.
fn named_in(said: &[u8], before: &[u8], behind: &[u8]) -> Vec<PathBuf> {
    let lines = said.split(|byte| *byte == b'\n').filter_map(|line| line.strip_prefix(before));
    let end = |rest: &[u8]| {
        let cut =
            rest.windows(behind.len().max(1)).rposition(|window| !behind.is_empty() && window == behind);
        cut.unwrap_or(rest.len())
    };
    lines.map(|rest| path(rest.get(..end(rest)).unwrap_or(rest))).collect()
}

/// One line of the list of everything: entries of the index, then again those that differ on disk, and what is only
/// on disk.
struct Line {
    /// `H` an entry, `S` one that git does not look at on disk, `M` one in conflict; again as `C` changed or `R`
    /// removed; `?` not in the index.
    tag: u8,
    /// git was told to take it for unchanged.
    assumed: bool,
    /// What the index holds; `None` with `?`.
    entry: Option<Entry>,
    path: PathBuf,
}

impl Line {
    /// All of them, and the directories that git could not look into, which it says by the way only.
    fn list(private: &PrivateDir<'_>) -> Result<(Vec<Self>, Vec<PathBuf>)> {
        let doing = "list the index and the files";
        let (out, said) = private
            .git()
            // Else git hides which entries it was told not to look at if they are there.
            .config("core.sparseCheckout", "false")
            .args(["ls-files", "-z", "-v", "--stage", "--modified", "--deleted", "--others"])
            .arg("--exclude-standard")
            .output_and_words(doing)?;
        let lines = records(&out).map(|record| Self::parse(record).ok_or_else(|| answer(doing, record)));
        let closed = named_in(&said, b"warning: could not open directory '", b"': ");
        Ok((lines.collect::<Result<_>>()?, closed))
    }

    /// `? path`, or `tag SP mode SP id SP stage TAB path`.
    fn parse(record: &[u8]) -> Option<Self> {
        let (tag, rest) = split_once(record, b' ')?;
        let &[tag] = tag else { return None };
        let assumed = tag.is_ascii_lowercase();
        let tag = tag.to_ascii_uppercase();
        if tag == b'?' {
            return Some(Self { tag, assumed, entry: None, path: path(rest) });
        }
        let entry = Entry::parse(rest)?;
        Some(Self { tag, assumed, path: entry.path.clone(), entry: Some(entry) })
    }

    fn is_repeated(&self) -> bool {
        matches!(self.tag, b'C' | b'R')
    }
}

impl Entry {
    /// `mode SP id SP stage TAB path`
    pub(super) fn parse(record: &[u8]) -> Option<Self> {
        let (info, name) = split_once(record, b'\t')?;
        let info = std::str::from_utf8(info).ok()?;
        let mut words = info.split(' ');
        let (mode, id, stage) = (words.next()?, words.next()?, words.next()?.parse().ok()?);
        Some(Self { mode: mode.to_owned(), id: id.to_owned(), stage, path: path(name) })
    }
}

pub(super) fn nul_ended(paths: &[PathBuf]) -> Vec<u8> {
    paths.iter().flat_map(|path| path.as_os_str().as_bytes().iter().chain([&0])).copied().collect()
}

fn has_no_commit(repository: &git2::Repository) -> bool {
    let no_refs = repository.references().is_ok_and(|mut refs| refs.next().is_none());
    no_refs && repository.head().is_err_and(|e| e.code() == git2::ErrorCode::UnbornBranch)
}

pub(super) fn is_readable(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::READ_OK).is_ok()
}

/// Is one of the directories above `relative` (below `root`) a link? Then git does not track what lies behind it.
pub(super) fn behind_link(root: &Path, relative: &Path) -> Result<bool> {
    for above in relative.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()) {
        if disk::look(&root.join(above))?.is_some_and(|meta| meta.is_symlink()) {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) fn split_once(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let position = bytes.iter().position(|b| *b == at)?;
    Some((bytes.get(..position)?, bytes.get(position + 1..)?))
}
