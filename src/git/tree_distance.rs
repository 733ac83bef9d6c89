//! How far two trees are from each other, as far as that is worth knowing.

use super::copyable::is_odd_name;
use super::tree_files::{DEEPEST, Kind};
use git2::{ObjectType, Oid, Repository, Tree, TreeEntry};

/// How many files differ between the trees of `from` and `to`, each of both counted once; `None` as soon as there are more than `most`,
/// or one is of a kind, a name or a meaning (attributes) that only git can judge, or a part of a tree is not there.
pub(super) fn differing(repository: &Repository, from: Oid, to: Oid, most: u64) -> Option<u64> {
    let tree = |id| repository.find_commit(id).and_then(|commit| commit.tree()).ok();
    let mut count = Count { repository, found: 0, most };
    count.trees(tree(from).as_ref()?, tree(to).as_ref()?, 0).ok()?;
    (count.found <= most).then_some(count.found)
}

/// It is too far, or cannot be told.
struct Far;

struct Count<'r> {
    repository: &'r Repository,
    found: u64,
    most: u64,
}

impl<'r> Count<'r> {
    fn trees(&mut self, one: &Tree<'_>, two: &Tree<'_>, depth: usize) -> Result<(), Far> {
        if one.id() == two.id() {
            return Ok(());
        }
        if depth > DEEPEST {
            return Err(Far);
        }
        for entry in one {
            let other = two.get_name_bytes(entry.name_bytes());
            match other {
                Some(other) if other.id() == entry.id() && other.filemode_raw() == entry.filemode_raw() => {}
                Some(other) if is_tree(&entry) && is_tree(&other) => {
                    self.trees(&self.tree(&entry)?, &self.tree(&other)?, depth + 1)?;
                }
                // A directory in place of a file, or the other way round: both sides count.
                Some(other) if is_tree(&entry) || is_tree(&other) => {
                    self.all(&entry, depth)?;
                    self.all(&other, depth)?;
                }
                Some(other) => {
                    judged(&entry)?;
                    self.one(&other)?;
                }
                None => self.all(&entry, depth)?,
            }
        }
        let added = two.iter().filter(|entry| one.get_name_bytes(entry.name_bytes()).is_none());
        added.into_iter().try_for_each(|entry| self.all(&entry, depth))
    }

    /// Everything that an entry is.
    fn all(&mut self, entry: &TreeEntry<'_>, depth: usize) -> Result<(), Far> {
        if !is_tree(entry) {
            return self.one(entry);
        }
        if depth > DEEPEST || is_odd_name(entry.name_bytes()) {
            return Err(Far);
        }
        for below in &self.tree(entry)? {
            self.all(&below, depth + 1)?;
        }
        Ok(())
    }

    fn one(&mut self, entry: &TreeEntry<'_>) -> Result<(), Far> {
        judged(entry)?;
        self.found += 1;
        if self.found > self.most { Err(Far) } else { Ok(()) }
    }

    fn tree(&self, entry: &TreeEntry<'_>) -> Result<Tree<'r>, Far> {
        self.repository.find_tree(entry.id()).map_err(|_| Far)
    }
}

fn is_tree(entry: &TreeEntry<'_>) -> bool {
    entry.kind() == Some(ObjectType::Tree)
}

/// Fails if only git can judge what the file means.
fn judged(entry: &TreeEntry<'_>) -> Result<(), Far> {
    let name = entry.name_bytes();
    let plain = Kind::of(entry.filemode_raw()).is_some() && !is_odd_name(name) && name != b".gitattributes";
    if plain { Ok(()) } else { Err(Far) }
}
