//! The questions of [`super::eyes`] answered by libgit2.

use super::eyes::Eyes;
use super::{Commit, CommitId, DiffStat, Error, Head, Patch, Result};
use git2::{Diff, DiffFindOptions, DiffFormat, DiffOptions, ErrorCode, ObjectType, Repository, Tree};
use std::fmt;
use std::path::Path;

/// An open libgit2 repository.
pub(super) struct ByGit2(pub(super) Repository);

impl fmt::Debug for ByGit2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ByGit2").field(&self.0.path()).finish()
    }
}

/// libgit2's error as ours.
pub(super) fn failed(doing: &'static str) -> impl FnOnce(git2::Error) -> Error {
    move |e| Error::Git2 { doing, message: e.message().to_owned() }
}

/// "Not there" as `None`.
fn if_there<T>(result: Result<T, git2::Error>, doing: &'static str) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e)
            if matches!(e.code(), ErrorCode::NotFound | ErrorCode::InvalidSpec | ErrorCode::UnbornBranch) =>
        {
            Ok(None)
        }
        Err(e) => Err(failed(doing)(e)),
    }
}

pub(super) fn id(oid: git2::Oid) -> CommitId {
    CommitId(oid.to_string())
}

pub(super) fn tree<'r>(repository: &'r Repository, commit: &CommitId) -> Result<Tree<'r>> {
    let doing = "read a commit";
    let oid = git2::Oid::from_str(commit.as_str()).map_err(failed(doing))?;
    repository.find_commit(oid).and_then(|commit| commit.tree()).map_err(failed(doing))
}

impl ByGit2 {
    fn diff(&self, base: &CommitId, tip: &CommitId) -> Result<Diff<'_>> {
        let doing = "compare two commits";
        let (base, tip) = (tree(&self.0, base)?, tree(&self.0, tip)?);
        let mut options = DiffOptions::new();
        let diff = self.0.diff_tree_to_tree(Some(&base), Some(&tip), Some(&mut options));
        let mut diff = diff.map_err(failed(doing))?;
        diff.find_similar(Some(DiffFindOptions::new().renames(true))).map_err(failed(doing))?;
        Ok(diff)
    }
}

impl Eyes for ByGit2 {
    fn head(&self) -> Result<Head> {
        let doing = "read HEAD";
        let head = self.0.find_reference("HEAD").map_err(failed(doing))?;
        let Some(target) = head.symbolic_target_bytes() else {
            let commit = head.peel_to_commit().map_err(failed(doing))?;
            return Ok(Head::Detached { commit: id(commit.id()) });
        };
        let target = String::from_utf8_lossy(target).into_owned();
        let name = target.strip_prefix("refs/heads/").unwrap_or(&target).to_owned();
        match if_there(head.peel_to_commit(), doing)? {
            Some(commit) => Ok(Head::Branch { name, commit: id(commit.id()) }),
            None => Ok(Head::Unborn { name }),
        }
    }

    fn resolve(&self, spec: &str) -> Result<Option<CommitId>> {
        let doing = "find a commit";
        let Some(object) = if_there(self.0.revparse_single(spec), doing)? else { return Ok(None) };
        // A tree or a blob is no commit, which is an answer and not a failure.
        Ok(object.peel(ObjectType::Commit).ok().map(|commit| id(commit.id())))
    }

    fn reference(&self, name: &str) -> Result<Option<CommitId>> {
        let doing = "read a ref";
        let Some(found) = if_there(self.0.find_reference(name), doing)? else { return Ok(None) };
        Ok(if_there(found.peel_to_commit(), doing)?.map(|commit| id(commit.id())))
    }

    fn any_below(&self, prefix: &str) -> Result<Option<String>> {
        let doing = "list refs";
        let mut refs = self.0.references_glob(&format!("{prefix}*")).map_err(failed(doing))?;
        let first = refs.next().transpose().map_err(failed(doing))?;
        Ok(first.map(|found| String::from_utf8_lossy(found.name_bytes()).into_owned()))
    }

    fn diff_stat(&self, base: &CommitId, tip: &CommitId) -> Result<DiffStat> {
        let stats = self.diff(base, tip)?.stats().map_err(failed("compare two commits"))?;
        Ok(DiffStat {
            files: stats.files_changed(),
            insertions: stats.insertions(),
            deletions: stats.deletions(),
        })
    }

    fn commits(&self, base: &CommitId, tip: &CommitId, limit: usize) -> Result<Vec<Commit>> {
        let walk = || {
            let mut walk = self.0.revwalk()?;
            walk.set_sorting(git2::Sort::TOPOLOGICAL | git2::Sort::TIME)?;
            walk.push(git2::Oid::from_str(tip.as_str())?)?;
            walk.hide(git2::Oid::from_str(base.as_str())?)?;
            let commit = |oid: Result<git2::Oid, git2::Error>| {
                let commit = self.0.find_commit(oid?)?;
                let subject =
                    String::from_utf8_lossy(commit.summary_bytes().unwrap_or_default()).into_owned();
                Ok(Commit { id: id(commit.id()), subject })
            };
            walk.take(limit).map(commit).collect::<Result<Vec<_>, git2::Error>>()
        };
        walk().map_err(failed("list commits"))
    }

    fn patch(&self, base: &CommitId, tip: &CommitId, cap: usize) -> Result<Patch> {
        let mut text = Vec::new();
        let mut truncated = false;
        let printed = self.diff(base, tip)?.print(DiffFormat::Patch, |_, _, line| {
            if matches!(line.origin(), '+' | '-' | ' ') {
                text.extend(u8::try_from(line.origin()));
            }
            text.extend(line.content());
            truncated = text.len() > cap;
            !truncated
        });
        match printed {
            Err(e) if !truncated => return Err(failed("write a patch")(e)),
            _ => text.truncate(cap),
        }
        Ok(Patch { text, truncated })
    }

    fn raw_commit(&self, commit: &CommitId) -> Result<Vec<u8>> {
        let read = || {
            let odb = self.0.odb()?;
            let object = odb.read(git2::Oid::from_str(commit.as_str())?)?;
            Ok(object.data().to_vec())
        };
        read().map_err(failed("read a commit"))
    }

    fn is_submodule(&self, commit: &CommitId, path: &Path) -> Result<bool> {
        let tree = tree(&self.0, commit)?;
        let entry = if_there(tree.get_path(path), "read a tree")?;
        Ok(entry.is_some_and(|entry| entry.kind() == Some(ObjectType::Commit)))
    }
}
