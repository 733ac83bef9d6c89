//! What a commit is made of, read from its text.

use super::command::answer;
use super::eyes::Eyes;
use super::{CommitId, Result};

/// The parts of a commit that decide what it is; who made it and when are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Anatomy {
    /// The id of its tree.
    pub(super) tree: String,
    /// Its parents, in their order.
    pub(super) parents: Vec<CommitId>,
    /// Its message.
    pub(super) message: String,
}

impl Anatomy {
    /// Of a commit in the repository.
    pub(super) fn of(eyes: &dyn Eyes, commit: &CommitId) -> Result<Self> {
        let raw = eyes.raw_commit(commit)?;
        Self::parse(&raw).ok_or_else(|| answer("read a commit", &raw))
    }

    fn parse(raw: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(raw);
        let (headers, message) = text.split_once("\n\n").unwrap_or((&text, ""));
        let mut lines = headers.lines();
        let tree = lines.next()?.strip_prefix("tree ")?.to_owned();
        // The parents follow the tree, before anything that whoever made the commit could choose.
        let parents = lines.map_while(|line| line.strip_prefix("parent ")).map(CommitId::parse);
        Some(Self { tree, parents: parents.collect::<Option<_>>()?, message: message.to_owned() })
    }
}

/// The id of the tree of a commit; `None` without a commit.
pub(super) fn tree_of(eyes: &dyn Eyes, commit: Option<&CommitId>) -> Result<Option<String>> {
    commit.map(|commit| Anatomy::of(eyes, commit).map(|anatomy| anatomy.tree)).transpose()
}
