//! The order in which agents are shown below those that started them.

use crate::model::ids::AgentId;
use std::collections::HashSet;

/// A place in the tree: which row, and how far below a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The row, as a place in what was given.
    pub row: usize,
    /// How many agents are above it.
    pub depth: usize,
}

/// The rows as a tree: each behind its parent, in the order they came. One whose parent is not among them is a root.
pub fn tree(rows: &[(AgentId, Option<AgentId>)]) -> Vec<Place> {
    let ids: HashSet<AgentId> = rows.iter().map(|(id, _)| *id).collect();
    let mut placed = Vec::new();
    let mut seen = HashSet::new();
    let is_root = |parent: &Option<AgentId>| parent.is_none_or(|parent| !ids.contains(&parent));
    for (row, (_, parent)) in rows.iter().enumerate() {
        if is_root(parent) {
            place(rows, Place { row, depth: 0 }, &mut seen, &mut placed);
        }
    }
    // A circle can only come from records that somebody changed; nothing is left out for that.
    for row in 0..rows.len() {
        place(rows, Place { row, depth: 0 }, &mut seen, &mut placed);
    }
    placed
}

fn place(
    rows: &[(AgentId, Option<AgentId>)],
    first: Place,
    seen: &mut HashSet<usize>,
    placed: &mut Vec<Place>,
) {
    let mut todo = vec![first];
    while let Some(place) = todo.pop() {
        let Some((id, _)) = rows.get(place.row).filter(|_| seen.insert(place.row)) else { continue };
        placed.push(place);
        let children = rows.iter().enumerate().filter(|(_, (_, parent))| *parent == Some(*id));
        let below: Vec<Place> = children.map(|(row, _)| Place { row, depth: place.depth + 1 }).collect();
        todo.extend(below.into_iter().rev());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn id(n: u8) -> AgentId {
        AgentId(Uuid::from_bytes([n; 16]))
    }

    fn rows(given: &[(u8, Option<u8>)]) -> Vec<(AgentId, Option<AgentId>)> {
        given.iter().map(|(n, parent)| (id(*n), parent.map(id))).collect()
    }

    #[test]
    fn children_stand_behind_their_parents() {
        let given = rows(&[
            (1, None),
            (2, None),
            (3, Some(1)),
            (4, Some(2)),
            (5, Some(3)),
            (6, Some(1)),
            (7, Some(9)),
        ]);
        let shown: Vec<(usize, usize)> =
            tree(&given).iter().map(|place| (place.row + 1, place.depth)).collect();
        assert_eq!(shown, [(1, 0), (3, 1), (5, 2), (6, 1), (2, 0), (4, 1), (7, 0)]);
    }

    proptest! {
        #[test]
        fn every_row_is_shown_once(given in proptest::collection::vec(proptest::option::of(0u8..20), 0..20)) {
            let given: Vec<_> = given.into_iter().enumerate().map(|(n, p)| (u8::try_from(n).unwrap(), p)).collect();
            let mut shown: Vec<usize> = tree(&rows(&given)).iter().map(|place| place.row).collect();
            shown.sort_unstable();
            prop_assert_eq!(shown, (0..given.len()).collect::<Vec<_>>());
        }
    }
}
