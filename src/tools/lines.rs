//! Bytes that come in pieces, cut into lines of a bounded length.

/// The longest line that is kept whole, in bytes. Longer ones are cut; what is behind the cut is dropped.
pub const LONGEST: usize = 16 << 20;
/// Memory that is kept for the next line.
const KEPT: usize = 64 << 10;

/// Collects bytes until a line is whole.
#[derive(Debug, Default)]
pub struct Lines {
    partial: Vec<u8>,
    skipping: bool,
}

impl Lines {
    /// Takes `bytes` and calls `line` for every line that is whole now, without its end.
    pub fn push(&mut self, mut bytes: &[u8], mut line: impl FnMut(&[u8])) {
        while let Some(at) = bytes.iter().position(|b| *b == b'\n') {
            let (head, rest) = bytes.split_at(at);
            if self.partial.is_empty() && !self.skipping && head.len() <= LONGEST {
                line(head);
            } else {
                self.keep(head);
                line(&self.partial);
                self.partial.clear();
                self.partial.shrink_to(KEPT);
                self.skipping = false;
            }
            bytes = rest.get(1..).unwrap_or_default();
        }
        self.keep(bytes);
    }

    /// The bytes behind the last line end, as a line, if there are any.
    pub fn finish(&mut self, mut line: impl FnMut(&[u8])) {
        if !self.partial.is_empty() {
            line(&self.partial);
        }
        self.partial = Vec::new();
        self.skipping = false;
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LONGEST.saturating_sub(self.partial.len());
        self.skipping |= bytes.len() > room;
        self.partial.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut(pieces: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let (mut lines, mut out) = (Lines::default(), Vec::new());
        for piece in pieces {
            lines.push(piece, |l| out.push(l.to_vec()));
        }
        lines.finish(|l| out.push(l.to_vec()));
        out
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(pieces in prop::collection::vec(prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..20), 0..10)) {
            let whole = pieces.concat();
            prop_assert_eq!(cut(&pieces), cut(std::slice::from_ref(&whole)));
            let mut expected: Vec<Vec<u8>> = whole.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
            if expected.last().is_some_and(Vec::is_empty) {
                expected.pop();
            }
            prop_assert_eq!(cut(&pieces), expected);
        }
    }

    #[test]
    fn an_endless_line_costs_a_bounded_amount() {
        let mut lines = Lines::default();
        for _ in 0..40 {
            lines.push(&vec![b'x'; 1 << 20], |_| panic!("no line ended"));
        }
        assert!(lines.partial.capacity() <= 2 * LONGEST);
        let mut lengths = Vec::new();
        lines.push(b"\nshort\n", |l| lengths.push(l.len()));
        assert_eq!(lengths, [LONGEST, 5]);
    }
}
