//! Refs of ours: below `refs/ai_orch/` and nowhere else.

use super::command::{Git, GitEnv, answer, records};
use super::{CommitId, Error, Result, locks};
use std::collections::BTreeMap;
use std::path::Path;

/// All refs of ours begin so.
const OURS: &str = "refs/ai_orch/";

/// Fails for a ref that is not ours to write.
pub(super) fn require_ours(name: &str) -> Result<()> {
    if name.starts_with(OURS) { Ok(()) } else { Err(Error::RefTaken { name: name.to_owned() }) }
}

/// A command on the refs of a repository whose writes reach the disk.
pub(super) fn at(env: &GitEnv, common_dir: &Path) -> Git {
    Git::without_work_tree(env, common_dir).config("core.fsync", "reference")
}

/// What a ref holds; `None` if there is no such ref.
pub(super) fn read(env: &GitEnv, common_dir: &Path, name: &str) -> Result<Option<CommitId>> {
    let out = at(env, common_dir).args(["show-ref", "--verify", "--hash", "--", name]).run()?;
    match out.status.code() {
        Some(0) => {
            let text = String::from_utf8_lossy(&out.stdout);
            CommitId::parse(text.trim_end()).map(Some).ok_or_else(|| answer("read a ref", &out.stdout))
        }
        // "Not a valid ref" is 128 in newer versions, which say nothing else with this number here.
        _ if String::from_utf8_lossy(&out.stderr).contains("not a valid ref") => Ok(None),
        _ => Err(out.failure().into()),
    }
}

/// The refs below `prefix` (or of that very name) with the commit that each holds, and when that was committed, in
/// seconds since 1970: 0 if the commit is not there.
pub fn list(env: &GitEnv, common_dir: &Path, prefix: &str) -> Result<Vec<(String, CommitId, i64)>> {
    let doing = "list refs";
    let prefix = prefix.trim_end_matches('/');
    let git = Git::without_work_tree(env, common_dir).output_cap(1 << 28);
    let out = git.args(["for-each-ref", "--format=%(objectname) %(refname)%00", prefix]).output(doing)?;
    let mut refs = Vec::new();
    for record in records(&out) {
        let text = String::from_utf8_lossy(record);
        // A newline stands behind each NUL.
        let text = text.trim_start_matches('\n');
        if text.is_empty() {
            continue;
        }
        let found = text.split_once(' ').and_then(|(id, name)| Some((name.to_owned(), CommitId::parse(id)?)));
        refs.push(found.ok_or_else(|| answer(doing, record))?);
    }
    if refs.is_empty() {
        return Ok(Vec::new());
    }
    let times = times(env, common_dir, refs.iter().map(|(_, id)| id))?;
    let time = |id: &CommitId| times.get(id).copied().unwrap_or_default();
    Ok(refs.into_iter().map(|(name, id)| (name, id.clone(), time(&id))).collect())
}

/// When commits were committed. Those that are missing are left out: one bad ref must not hide all others.
fn times<'c>(
    env: &GitEnv,
    common_dir: &Path,
    commits: impl Iterator<Item = &'c CommitId>,
) -> Result<BTreeMap<CommitId, i64>> {
    let input: String = commits.flat_map(|id| [id.as_str(), "\n"]).collect();
    let out = Git::without_work_tree(env, common_dir)
        .output_cap(1 << 28)
        .args(["rev-list", "--no-walk", "--ignore-missing", "--format=%H %ct", "--stdin"])
        .stdin(input.into_bytes())
        .output("read when commits were made")?;
    let text = String::from_utf8_lossy(&out);
    let time = |line: &str| {
        let (id, seconds) = line.split_once(' ')?;
        Some((CommitId::parse(id)?, seconds.parse().ok()?))
    };
    Ok(text.lines().filter_map(time).collect())
}

/// Has the ref `name` hold `commit`, on disk (fsync) when this returns. Doing it again is fine.
///
/// Errors: [`Error::RefTaken`] if it holds another commit, or is not below `refs/ai_orch/`.
pub fn keep(env: &GitEnv, common_dir: &Path, name: &str, commit: &CommitId) -> Result<()> {
    require_ours(name)?;
    match read(env, common_dir, name)? {
        Some(there) if there == *commit => return Ok(()),
        Some(_) => return Err(Error::RefTaken { name: name.to_owned() }),
        None => {}
    }
    let none = "0".repeat(commit.as_str().len());
    let words = ["update-ref", "--no-deref", name, commit.as_str(), &none];
    locks::past_stale(common_dir, || at(env, common_dir).args(words).output("store a ref")).map(|_| ())
}

/// Deletes the ref `name` if it holds `expected`. One that is gone is fine.
///
/// Errors: [`Error::RefTaken`] if it holds another commit, or is not below `refs/ai_orch/`.
pub fn delete(env: &GitEnv, common_dir: &Path, name: &str, expected: &CommitId) -> Result<()> {
    require_ours(name)?;
    match read(env, common_dir, name)? {
        None => return Ok(()),
        Some(there) if there != *expected => return Err(Error::RefTaken { name: name.to_owned() }),
        Some(_) => {}
    }
    let words = ["update-ref", "--no-deref", "-d", name, expected.as_str()];
    locks::past_stale(common_dir, || at(env, common_dir).args(words).output("delete a ref")).map(|_| ())
}
