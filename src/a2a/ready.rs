//! The index of what can be claimed: an empty file for each task, `ready/<9 - priority>-<shard>/<created>-<id>`, with `.<role>`
//! behind it if it is for a role.
//!
//! A shard is a directory of about 64 entries of one priority, named by the moment of the first: so names sort by priority and
//! age, and whoever wants the best lists one shard of many. An entry may be there in vain, never missing.

use super::Result;
use crate::model::ids::{Moment, TaskId};
use crate::model::places::Copies;
use crate::model::work::{PRIORITY_MAX, Work};
use crate::tools::file::{self, Names};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// How many entries a shard takes before another one is begun. Whoever claims lists the names of all shards and one shard: of a
/// hundred tasks and of ten thousand that is little with this many.
const SHARD: usize = 64;

/// An entry of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The task.
    pub(super) id: TaskId,
    /// The role it is for.
    role: Option<String>,
    /// The file.
    pub(super) path: PathBuf,
}

fn moment(created: Moment) -> String {
    format!("{:014}", created.as_millis().max(0))
}

fn name(work: &Work) -> String {
    let role = work.spec.role.as_ref().map(|role| format!(".{role}")).unwrap_or_default();
    format!("{}-{}{role}", moment(work.created), work.spec.id)
}

fn parse(dir: &Path, name: &str) -> Option<Entry> {
    let (front, role) = match name.split_once('.') {
        Some((front, role)) => (front, Some(role.to_owned())),
        None => (name, None),
    };
    let (_, id) = front.split_once('-')?;
    Some(Entry { id: id.parse().ok()?, role, path: dir.join(name) })
}

/// The shard of `work` that it is the first of.
fn own_shard(work: &Work) -> String {
    format!("{}-{}", PRIORITY_MAX.saturating_sub(work.spec.priority), moment(work.created))
}

/// The shards of its priority that begin with it or before, the last first.
fn shards(copies: &Copies, own: &str) -> Result<impl Iterator<Item = String> + use<>> {
    let level = own.get(..2).unwrap_or_default();
    let all = file::names_in(&copies.ready())?.unwrap_or_default();
    let before = all.iter().filter_map(OsStr::to_str).filter(|s| s.starts_with(level) && *s <= own);
    let mut before: Vec<String> = before.map(str::to_owned).collect();
    before.sort_unstable();
    Ok(before.into_iter().rev())
}

/// `names` in order, for one who wants the first few: the rest is never sorted, and none is copied.
fn in_order(names: &Names) -> impl Iterator<Item = &str> {
    let mut all = Vec::with_capacity(names.len());
    all.extend(names.iter().filter_map(OsStr::to_str).map(Reverse));
    let mut heap = BinaryHeap::from(all);
    std::iter::from_fn(move || heap.pop().map(|Reverse(name)| name))
}

/// How an entry of the index stands, as far as its file tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// Nobody has made a mark of it.
    Free,
    /// Somebody has, and is about to claim it, or has died at that.
    Marked,
    /// It is gone.
    Gone,
}

/// How `entry` stands: in a crowd that is told in one call by most of what others are about to have, or have.
pub(super) fn sign(entry: &Entry) -> Result<Sign> {
    Ok(match file::links(&entry.path)? {
        None => Sign::Gone,
        Some(0 | 1) => Sign::Free,
        Some(_) => Sign::Marked,
    })
}

/// Puts `work` among what can be claimed.
pub(super) fn add(copies: &Copies, work: &Work) -> Result<()> {
    let ready = copies.ready();
    let own = own_shard(work);
    let room = |shard: &str| -> Result<bool> {
        Ok(file::names_in(&ready.join(shard))?.is_some_and(|names| names.len() < SHARD))
    };
    let shard = match shards(copies, &own)?.next() {
        Some(last) if last == own || room(&last)? => last,
        _ => own,
    };
    Ok(file::with_dir(&ready.join(shard).join(name(work)), file::mark)?)
}

/// Takes `work` out of it, wherever it is.
pub(super) fn remove(copies: &Copies, work: &Work) -> Result<()> {
    let (own, name) = (own_shard(work), name(work));
    for shard in shards(copies, &own)? {
        if file::remove(&copies.ready().join(shard).join(&name))? {
            return Ok(());
        }
    }
    Ok(())
}

/// Shows `look` what can be claimed by whoever has `role`: the highest priority first, then the oldest; until it has found
/// something.
pub(super) fn search<T>(
    copies: &Copies,
    role: Option<&str>,
    mut look: impl FnMut(&Entry) -> Result<Option<T>>,
) -> Result<Option<T>> {
    let ready = copies.ready();
    for shard in in_order(&file::names_in(&ready)?.unwrap_or_default()) {
        let dir = ready.join(shard);
        let names = file::names_in(&dir)?.unwrap_or_default();
        if names.is_empty() {
            // Whoever puts something into it at this moment makes it again.
            file::remove_empty_dir(&dir)?;
        }
        for name in in_order(&names) {
            let Some(entry) = parse(&dir, name) else { continue };
            if entry.role.is_some() && entry.role.as_deref() != role {
                continue;
            }
            if let Some(found) = look(&entry)? {
                return Ok(Some(found));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn an_entry_tells_whether_somebody_has_marked_it() {
        let dir = tempfile::tempdir().unwrap();
        let (path, mark) = (dir.path().join("entry"), dir.path().join("mark"));
        let entry = Entry { id: TaskId(Uuid::nil()), role: None, path: path.clone() };
        assert_eq!(sign(&entry).unwrap(), Sign::Gone);
        file::mark(&path).unwrap();
        assert_eq!(sign(&entry).unwrap(), Sign::Free);
        assert!(file::name_too(&path, &mark).unwrap());
        assert_eq!(sign(&entry).unwrap(), Sign::Marked);
        file::remove(&path).unwrap();
        assert_eq!(sign(&entry).unwrap(), Sign::Gone);
    }
}
