//! A table that is drawn again where it was: the lines below the prompt change, and what stands above them stays.

use crate::model::text::columns;
use std::fmt::Write;

/// What was drawn last: the columns that each line took.
#[derive(Debug, Default)]
pub(super) struct Drawn(Vec<usize>);

impl Drawn {
    /// What to write to a terminal of `width` columns and `height` lines, so that `lines` (each the text, and the same painted) stand
    /// where the last ones did. What does not fit is left out at the end, and that is said.
    pub(super) fn over(&mut self, lines: &[(String, String)], width: usize, height: usize) -> String {
        // One for the cursor, which stands behind the last one.
        let room = height.saturating_sub(1).max(2);
        let shown = if lines.len() > room { room - 1 } else { lines.len() };
        let mut out = String::new();
        // A terminal that has become narrower has broken the lines.
        let up: usize = self.0.iter().map(|columns| columns.div_ceil(width.max(1)).max(1)).sum();
        let up = up.min(height.saturating_sub(1));
        if up > 0 {
            write!(out, "\x1b[{up}A").ok();
        }
        out.push('\r');
        self.0.clear();
        for (text, painted) in lines.iter().take(shown) {
            // The line first and then what was behind it: nothing flickers.
            write!(out, "{painted}\x1b[K\r\n").ok();
            self.0.push(columns(text));
        }
        if shown < lines.len() {
            let more = format!("... {} more lines", lines.len() - shown);
            write!(out, "{more}\x1b[K\r\n").ok();
            self.0.push(columns(&more));
        }
        out.push_str("\x1b[J");
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(texts: &[&str]) -> Vec<(String, String)> {
        texts.iter().map(|text| ((*text).to_owned(), format!("<{text}>"))).collect()
    }

    #[test]
    fn each_drawing_begins_where_the_last_one_did() {
        let mut drawn = Drawn::default();
        assert_eq!(drawn.over(&lines(&["a", "b"]), 10, 24), "\r<a>\x1b[K\r\n<b>\x1b[K\r\n\x1b[J");
        assert_eq!(drawn.over(&lines(&["c"]), 10, 24), "\x1b[2A\r<c>\x1b[K\r\n\x1b[J");
        assert!(drawn.over(&lines(&["12345678", ""]), 10, 24).starts_with("\x1b[1A\r"));
        assert!(drawn.over(&lines(&["x"]), 4, 24).starts_with("\x1b[3A\r"), "the first was broken in two");
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let mut drawn = Drawn::default();
        let out = drawn.over(&lines(&["a", "b", "c", "d", "e"]), 10, 4);
        assert_eq!(out, "\r<a>\x1b[K\r\n<b>\x1b[K\r\n... 3 more lines\x1b[K\r\n\x1b[J");
        assert!(drawn.over(&lines(&["a"]), 10, 3).starts_with("\x1b[2A"), "never above the screen");
    }
}
