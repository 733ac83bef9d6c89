//! Saving everything in a worktree under a ref that nobody works on, so that the worktree can go and come back.
//!
//! What is saved is a commit whose tree is what is on disk: tracked, untracked, files of repositories inside, and small
//! ignored ones if asked for. Where HEAD's commit says all there is to say, the ref holds that one. Else the commit's
//! parents are, each only where there is something to say, in this order:
//!
//! | role      | tree                                                                                  |
//! |-----------|---------------------------------------------------------------------------------------|
//! | `head`    | the commit that HEAD was on                                                           |
//! | `index`   | the index without entries in conflict, if that is not HEAD's tree                     |
//! | `entries` | what an index says beside that: directories `1` `2` `3` hold the stages of conflicts, `intended` |
//! |           | entries "to be added", `skipped` those that a sparse checkout left out, `hidden` those on disk that git does not look at, `assumed` those that it takes for unchanged |
//! | `bytes`   | files as they are on disk, where checking out the saved tree would give other bytes   |
//!
//! The roles are in the last line of the message (`Rescue-Parents: head index`), and each is the subject of its commit. Those
//! commits are made by nobody at the beginning of time, so that saving the same twice makes the same commits.
//!
//! Not saved: what git was in the middle of (`MERGE_HEAD` and the like), empty directories, modes but for "executable", entries
//! "to be added" whose file is gone.

use super::anatomy::{Anatomy, tree_of};
use super::changes::{Left, Listing, NestedKind};
use super::command::{GitEnv, path, records};
use super::commit::{NOBODY, at_worktree, commit_tree};
use super::eyes::Eyes;
use super::look::Head;
use super::private::{ConfigSnapshot, PrivateDir, tree_id};
use super::rescue_index::SavedIndex;
use super::worktree::{Worktree, eyes};
use super::{CommitId, Error, Repository, Result, ignored, locks, rescue_bytes, unheld};
use std::path::PathBuf;

pub use super::refs::{delete, keep, list};

/// The last line of a message begins so.
const ROLES: &str = "Rescue-Parents:";

/// How many names are tried before giving up: each holds other work of the same moment of the same agent.
const NAMES: usize = 1000;

/// What a parent of a rescue commit holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The commit that HEAD was on.
    Head,
    /// The index without conflicts.
    Index,
    /// Conflicts and marks of the index.
    Entries,
    /// Files that a checkout would not give back.
    Bytes,
}

impl Role {
    const ALL: [Self; 4] = [Self::Head, Self::Index, Self::Entries, Self::Bytes];

    /// The word for it in messages.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Index => "index",
            Self::Entries => "entries",
            Self::Bytes => "bytes",
        }
    }

    /// The parents of a rescue commit with their roles; none for a commit that [`save`] did not make.
    pub(super) fn of(commit: &Anatomy) -> Vec<(Self, CommitId)> {
        let words = commit.message.trim_end().lines().last().and_then(|line| line.strip_prefix(ROLES));
        let role = |word: &str| Self::ALL.into_iter().find(|role| role.word() == word);
        let roles: Option<Vec<_>> = words.unwrap_or_default().split_whitespace().map(role).collect();
        match roles {
            Some(roles) if roles.len() == commit.parents.len() => {
                roles.into_iter().zip(commit.parents.iter().cloned()).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// A worktree saved under a ref.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// The ref that holds it: the one asked for, or that with `-2`, `-3`, ... if it held something else.
    pub name: String,
    /// The commit that the ref holds: HEAD itself if that holds everything, else one as told above.
    pub commit: CommitId,
    /// Where HEAD was.
    pub head: Head,
    /// A filter or encoding failed, so changed files went in byte for byte, without line-end rules and filters (LFS).
    pub raw: bool,
    /// What is not in it: for repositories in [`Left::nested`] that have commits, their history (their files are in
    /// it), for submodules all that is inside.
    pub left: Left,
    /// Ignored files and directories that were asked for and are not in it, with their size in bytes: too large, or
    /// with something in them that git cannot hold. Relative to the worktree.
    pub not_kept: Vec<(PathBuf, u64)>,
}

/// Saves everything in `worktree` under the ref `prefix` (a full name below `refs/ai_orch/`), and touches nothing else.
///
/// Works in the middle of a merge or rebase too. Ignored files and directories are saved as well if they hold at most
/// `ignored_max` bytes each; with `None` they are not looked at. Doing it twice finds it done. The ref is on disk
/// (fsync) when this returns. `None`: there is no commit and no file.
/// Errors: [`Error::RefTaken`] for a name elsewhere, [`Error::NotOurWorktree`], and what git says.
pub fn save(
    env: &GitEnv,
    worktree: &Worktree,
    config: &ConfigSnapshot,
    prefix: &str,
    message: &str,
    ignored_max: Option<u64>,
) -> Result<Option<Saved>> {
    super::refs::require_ours(prefix)?;
    let eyes = eyes(env, worktree)?;
    let head = eyes.head()?;
    let (attempt, raw) = Attempt::any(env, worktree, config, &head, ignored_max, true)?;
    let left = attempt.left(ignored_max.is_some())?;
    let Attempt { private, listing, index, found } = attempt;
    let tree = match index.tree_if_untouched(&listing) {
        Some(tree) => tree,
        None => tree_id(private.git().args(["write-tree", "--missing-ok"]), "write a tree")?,
    };
    let head_tree = tree_of(eyes.as_ref(), head.commit())?;
    if head_tree.is_none() && index.is_plain(None) && is_empty(&private, &tree)? {
        return Ok(None);
    }
    let mut parents: Vec<(Role, CommitId)> =
        head.commit().map(|c| (Role::Head, c.clone())).into_iter().collect();
    let mut add = |role: Role, tree: Option<String>| -> Result<()> {
        if let Some(tree) = tree {
            parents.push((role, part(&private, role, &tree, head.commit())?));
        }
        Ok(())
    };
    add(Role::Index, index.tree_unless(head_tree.as_deref(), &private)?)?;
    add(Role::Entries, index.entries(&private)?)?;
    add(Role::Bytes, rescue_bytes::tree(&private, config, &listing)?)?;
    let whole = parents.iter().all(|(role, _)| *role == Role::Head) && head_tree.as_deref() == Some(&tree);
    let wanted = Wanted { tree, parents, whole: whole.then(|| head.commit().cloned()).flatten() };
    let (name, commit) = wanted.store(eyes.as_ref(), &private, env, worktree, config, prefix, message)?;
    Ok(Some(Saved { name, commit, head, raw, left, not_kept: found.not_kept }))
}

/// What [`save`] would not hold, without saving anything: [`Saved::left`] and [`Saved::not_kept`].
pub fn not_held(
    env: &GitEnv,
    worktree: &Worktree,
    config: &ConfigSnapshot,
    ignored_max: u64,
) -> Result<(Left, Vec<(PathBuf, u64)>)> {
    let head = eyes(env, worktree)?.head()?;
    let (attempt, _) = Attempt::any(env, worktree, config, &head, Some(ignored_max), false)?;
    let left = attempt.left(true)?;
    Ok((left, attempt.found.not_kept))
}

/// The commit that HEAD was on when `commit` was saved; `None` if HEAD had none. Of a commit that [`save`] did not make it
/// is that commit: then the ref holds HEAD itself.
pub fn head_of(repository: &Repository, commit: &CommitId) -> Result<Option<CommitId>> {
    let anatomy = Anatomy::of(repository.eyes(), commit)?;
    if !anatomy.message.trim_end().lines().last().is_some_and(|line| line.starts_with(ROLES)) {
        return Ok(Some(commit.clone()));
    }
    let head = Role::of(&anatomy).into_iter().find(|(role, _)| *role == Role::Head);
    Ok(head.map(|(_, id)| id))
}

/// All files in a private index.
struct Attempt<'a> {
    private: PrivateDir<'a>,
    listing: Listing,
    /// What the worktree's own index was.
    index: SavedIndex,
    found: ignored::Found,
}

impl<'a> Attempt<'a> {
    /// By the filters and rules, or if these fail as the files are, and whether that was so.
    fn any(
        env: &'a GitEnv,
        worktree: &'a Worktree,
        config: &ConfigSnapshot,
        head: &Head,
        ignored_max: Option<u64>,
        kept: bool,
    ) -> Result<(Self, bool)> {
        match Self::new(env, worktree, config, head, ignored_max, kept, false) {
            Ok(attempt) => Ok((attempt, false)),
            Err(error) => {
                // A clean filter that is gone, or an encoding that does not fit, must not keep work from being saved.
                let raw = Self::new(env, worktree, config, head, ignored_max, kept, true);
                Ok((raw.map_err(|_| error)?, true))
            }
        }
    }

    /// Takes files of nested repositories too; with `raw` as they are, else by the filters and rules. Unless `kept`, nothing is
    /// written into the repository.
    fn new(
        env: &'a GitEnv,
        worktree: &'a Worktree,
        config: &ConfigSnapshot,
        head: &Head,
        ignored_max: Option<u64>,
        kept: bool,
        raw: bool,
    ) -> Result<Self> {
        let mut private = PrivateDir::new(env, worktree, config)?;
        private.take_the_disk_as_it_is()?;
        if !kept {
            private.keep_nothing()?;
        }
        if raw {
            private.take_bytes_as_they_are()?;
        }
        let mut listing = Listing::read(&private, worktree, head.commit())?;
        let index = SavedIndex::read(&private, &listing)?;
        listing.take_all_nested(&private, worktree)?;
        let found = match ignored_max {
            Some(max) => ignored::find(&private, worktree, &listing.entered, max)?,
            None => ignored::Found::default(),
        };
        listing.files.extend(found.files.iter().cloned());
        listing.apply(&private)?;
        Ok(Self { private, listing, index, found })
    }

    /// What is not in it. With `all` that is looked for on disk as well, and not only by what git says.
    fn left(&self, all: bool) -> Result<Left> {
        let mut left = self.listing.left(&self.private);
        left.unsaved.extend(self.found.unheld.iter().cloned());
        if !all {
            return Ok(left);
        }
        let out = self.private.git().args(["ls-files", "-z", "--cached"]).output("list what is saved")?;
        let worktree = self.private.worktree();
        let known = unheld::Known {
            admin_dir: &worktree.admin_dir,
            held: records(&out).map(path).collect(),
            told: {
                let large = self.found.not_kept.iter().map(|(path, _)| path.as_path());
                let small = self.found.unheld.iter().map(PathBuf::as_path);
                let nested = left.nested.iter().filter(|nested| nested.kind != NestedKind::WithoutCommits);
                large.chain(small).chain(nested.map(|nested| nested.path.as_path())).collect()
            },
        };
        let unheld = unheld::find(&worktree.path, &known)?;
        left.unsaved.extend(unheld);
        left.unsaved.sort();
        left.unsaved.dedup();
        Ok(left)
    }
}

fn is_empty(private: &PrivateDir<'_>, tree: &str) -> Result<bool> {
    Ok(private.git().args(["ls-tree", tree]).output("read a tree")?.is_empty())
}

/// A commit that is a parent of the rescue commit and holds one part of it.
fn part(private: &PrivateDir<'_>, role: Role, tree: &str, head: Option<&CommitId>) -> Result<CommitId> {
    let beginning = "1970-01-01T00:00:00Z";
    private
        .git()
        .env("GIT_AUTHOR_NAME", NOBODY.0)
        .env("GIT_AUTHOR_EMAIL", NOBODY.1)
        .env("GIT_AUTHOR_DATE", beginning)
        .env("GIT_COMMITTER_NAME", NOBODY.0)
        .env("GIT_COMMITTER_EMAIL", NOBODY.1)
        .env("GIT_COMMITTER_DATE", beginning)
        .arg("commit-tree")
        .args(head.iter().flat_map(|head| ["-p", head.as_str()]))
        .args(["-m", role.word(), tree])
        .id("make a commit")
}

/// What the ref should hold.
struct Wanted {
    tree: String,
    parents: Vec<(Role, CommitId)>,
    /// The commit that holds all of it already.
    whole: Option<CommitId>,
}

impl Wanted {
    fn is(&self, eyes: &dyn Eyes, commit: &CommitId) -> bool {
        if let Some(whole) = &self.whole {
            return whole == commit;
        }
        // A ref can hold a commit that is not there; that is other work.
        let Ok(there) = Anatomy::of(eyes, commit) else { return false };
        there.tree == self.tree && there.parents.iter().eq(self.parents.iter().map(|(_, id)| id))
    }

    /// Under the first name that is free or holds it already.
    #[expect(clippy::too_many_arguments, reason = "all of what save was asked")]
    fn store(
        &self,
        eyes: &dyn Eyes,
        private: &PrivateDir<'_>,
        env: &GitEnv,
        worktree: &Worktree,
        config: &ConfigSnapshot,
        prefix: &str,
        message: &str,
    ) -> Result<(String, CommitId)> {
        for n in 1..=NAMES {
            let name = if n == 1 { prefix.to_owned() } else { format!("{prefix}-{n}") };
            if let Some(existing) = eyes.reference(&name)? {
                if self.is(eyes, &existing) {
                    return Ok((name, existing));
                }
                continue;
            }
            let commit = if let Some(whole) = &self.whole {
                whole.clone()
            } else {
                let roles: Vec<_> = self.parents.iter().map(|(role, _)| role.word()).collect();
                let message = format!("{}\n\n{ROLES} {}\n", message.trim_end(), roles.join(" "));
                let parents: Vec<_> = self.parents.iter().map(|(_, id)| id).collect();
                commit_tree(private, config, &self.tree, &parents, &message)?
            };
            let none = "0".repeat(commit.as_str().len());
            let store = || {
                at_worktree(env, worktree)
                    .args(["update-ref", "--no-deref", &name, commit.as_str(), &none])
                    .output("store what was saved")
            };
            locks::past_stale(&worktree.common_dir, store)?;
            return Ok((name, commit));
        }
        Err(Error::RefTaken { name: prefix.to_owned() })
    }
}
