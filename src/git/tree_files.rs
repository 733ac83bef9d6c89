//! The files of a commit's tree, in the order of an index.

use super::Result;
use super::copyable::is_odd_name;
use super::eyes_git2::failed;
use super::index_bytes::Known;
use git2::{ObjectType, Oid, Repository, Tree};

/// Directories that are deeper than this are left to git; the way down takes memory, and open files when it is copied.
pub(super) const DEEPEST: usize = 32;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A file.
    Plain,
    /// A file that can be executed.
    Program,
    /// A symbolic link.
    Link,
}

impl Kind {
    /// The mode of it in trees and indexes.
    pub(super) const fn mode(self) -> u32 {
        match self {
            Self::Plain => 0o100_644,
            Self::Program => 0o100_755,
            Self::Link => 0o120_000,
        }
    }

    /// `None` for a submodule, and for what only old trees hold and git writes as something else.
    pub(super) fn of(mode: i32) -> Option<Self> {
        let mode = u32::try_from(mode).ok()?;
        [Self::Plain, Self::Program, Self::Link].into_iter().find(|kind| kind.mode() == mode)
    }
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Its path from the root.
    pub(super) path: Vec<u8>,
    /// Its blob.
    pub(super) id: [u8; 20],
    /// What it is.
    pub(super) kind: Kind,
}

impl Wanted {
    /// Its directory (empty: the root) and its name.
    pub(super) fn place(&self) -> (&[u8], &[u8]) {
        match self.path.iter().rposition(|b| *b == b'/') {
            Some(at) => {
                (self.path.get(..at).unwrap_or_default(), self.path.get(at + 1..).unwrap_or_default())
            }
            None => (&[], &self.path),
        }
    }
}

/// What is in a tree.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// The files that can be copied, in strictly ascending order of their paths.
    pub(super) wanted: Vec<Wanted>,
    /// How many others there are. Submodules are not counted.
    pub(super) others: u64,
    /// Whether there are submodules.
    pub(super) submodules: bool,
    /// The tree itself, without what is no file that can be copied.
    pub(super) known: Known,
    /// The blobs of the files named `.gitattributes`.
    pub(super) attributes: Vec<Oid>,
    /// Something is so odd that git has to see to the whole.
    pub(super) odd: bool,
}

impl Files {
    /// All files of `tree`. As soon as `some` of them are known, `then` is called, once. Fails if a part of the tree is missing (as in a
    /// partial clone) or cannot be read.
    pub(super) fn of(
        repository: &Repository,
        tree: &Tree<'_>,
        some: usize,
        mut then: impl FnMut(),
    ) -> Result<Self> {
        let mut files = Self::default();
        let mut seen = |files: &Self| {
            if files.wanted.len() == some {
                then();
            }
        };
        files.known = files.add(repository, tree, &mut Vec::new(), 0, &mut seen)?;
        // In a tree that is not sorted nothing is as it should be.
        files.odd |= !files.wanted.is_sorted_by(|a, b| a.path < b.path);
        Ok(files)
    }

    fn add(
        &mut self,
        repository: &Repository,
        tree: &Tree<'_>,
        path: &mut Vec<u8>,
        depth: usize,
        seen: &mut dyn FnMut(&Self),
    ) -> Result<Known> {
        let (before, mut known) = (self.wanted.len(), Known::default());
        // libgit2 opens no repository with longer ids; if it did, this would be none of ours.
        known.id = tree.id().as_bytes().try_into().unwrap_or_default();
        for entry in tree {
            let (name, length) = (entry.name_bytes(), path.len());
            if depth > DEEPEST || is_odd_name(name) {
                self.odd = true;
                return Ok(known);
            }
            path.extend(name);
            if entry.kind() == Some(ObjectType::Tree) {
                let below =
                    repository.find_tree(entry.id()).map_err(failed("read a directory of a commit"))?;
                path.push(b'/');
                let below = self.add(repository, &below, path, depth + 1, seen)?;
                known.below.push(Known { name: name.to_owned(), ..below });
            } else if entry.kind() == Some(ObjectType::Blob) && self.add_file(&entry, name, path) {
                seen(self);
            }
            self.submodules |= entry.kind() == Some(ObjectType::Commit);
            path.truncate(length);
        }
        known.entries = u32::try_from(self.wanted.len() - before).unwrap_or(u32::MAX);
        Ok(known)
    }

    /// Adds a file; whether it is one that can be copied.
    fn add_file(&mut self, entry: &git2::TreeEntry<'_>, name: &[u8], path: &[u8]) -> bool {
        let kind = Kind::of(entry.filemode_raw());
        // git refuses links of some of these names.
        let refused = kind == Some(Kind::Link) && name.to_ascii_lowercase().starts_with(b".git");
        if name == b".gitattributes" && kind != Some(Kind::Link) {
            self.attributes.push(entry.id());
        }
        match (kind, entry.id().as_bytes().try_into()) {
            (Some(kind), Ok(id)) if !refused => {
                self.wanted.push(Wanted { path: path.to_owned(), id, kind });
                true
            }
            _ => {
                self.others += 1;
                false
            }
        }
    }
}
