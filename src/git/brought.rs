//! What is in a worktree beside the files of its commit because we brought it there: copies from the checkout, and links to it.
//!
//! It is not the agent's work. Often it is what git must never get (credentials), and `.gitignore`, which would keep it out, is a file
//! that an agent can write. So it is known by its exact paths and left out of every commit and difference of ours, until the agent puts
//! it into the index itself. What is saved of a worktree holds it all the same.

use super::command::{path, records};
use super::{changes, disk};
use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The paths of what was brought into a worktree, relative to its root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Brought(BTreeSet<PathBuf>);

impl Brought {
    /// Nothing was.
    pub const fn nothing() -> Self {
        Self(BTreeSet::new())
    }

    /// From what [`Self::to_bytes`] made.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(records(bytes).map(path).collect())
    }

    /// The paths, byte for byte, each with a NUL behind it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let paths: Vec<PathBuf> = self.0.iter().cloned().collect();
        changes::nul_ended(&paths)
    }

    /// Adds `paths`.
    pub fn add(&mut self, paths: impl IntoIterator<Item = PathBuf>) {
        self.0.extend(paths);
    }

    /// Whether nothing was.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether what is at `path` was, also if only the beginning of it came.
    pub(super) fn has(&self, path: &Path) -> bool {
        let whole = || path.as_os_str().as_bytes().strip_suffix(disk::PART.as_bytes());
        self.0.contains(path) || whole().is_some_and(|whole| self.0.contains(&super::command::path(whole)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_survives_and_half_a_copy_is_one_too() {
        let names = ["a", "b c", "*", "d[1]", "!e", "#f", "g\nh", "\\i", "dir/j"];
        let mut brought = Brought::nothing();
        brought.add(names.iter().map(PathBuf::from));
        let read = Brought::from_bytes(&brought.to_bytes());
        assert_eq!(read, brought);
        for name in names {
            assert!(
                read.has(Path::new(name)) && read.has(Path::new(&format!("{name}{}", disk::PART))),
                "{name}"
            );
        }
        for name in ["b", "dir", "j", "A", "a.part"] {
            assert!(!read.has(Path::new(name)), "{name}");
        }
        assert!(Brought::from_bytes(b"").is_empty());
    }
}
