//! Untrusted text made harmless for terminals, and cut to a width.

use std::fmt::{self, Write};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Text from a person, an agent or a repository, shown so that a terminal cannot be steered by it.
///
/// Control characters (C0, DEL, C1), bidirectional controls, zero-width and other invisible format characters are
/// replaced by visible stand-ins; tabs become spaces and line ends become `⏎`. Everything a person would read is
/// kept. This is the only way text that we did not write reaches a terminal, apart from `logs --raw` and an attached
/// pane.
///
/// ```
/// use ai_orch::model::text::Shown;
/// assert_eq!(Shown("a\x1b]52;c;x\x07b").to_string(), "a␛]52;c;x␇b");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a>(pub &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match harmless(c) {
                Some(c) => f.write_char(c)?,
                None if c == '\t' => f.write_str("    ")?,
                None => {}
            }
        }
        Ok(())
    }
}

/// The character to show for `c`; `None` for a tab (four spaces) and for what is dropped.
fn harmless(c: char) -> Option<char> {
    match c {
        '\t' | '\r' => None,
        '\n' | '\u{2028}' | '\u{2029}' => Some('⏎'),
        // U+2400 holds a picture of each C0 control.
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(c)),
        '\x7f' => Some('␡'),
        '\u{80}'..='\u{9f}'
        | '\u{61c}'
        | '\u{200b}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' => Some('\u{fffd}'),
        c => Some(c),
    }
}

/// `text` made harmless, with every character in it to be seen: of a command a shell sees the returns too, which [`Shown`] drops, and what
/// is nothing or a plain space to the eye, which is shown as `\u{…}`.
pub fn whole(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\r' => shown.push('\u{240d}'),
            c if is_unseen(c) || (harmless(c) == Some('\u{fffd}') && c != '\u{fffd}') => {
                shown.extend(c.escape_unicode());
            }
            // Writing to a string cannot fail.
            c => write!(shown, "{}", Shown(c.encode_utf8(&mut [0; 4]))).unwrap_or_default(),
        }
    }
    shown
}

/// Whether `c` is a character like others to a terminal, and looks like none, or like a space.
const fn is_unseen(c: char) -> bool {
    matches!(
        c,
        '\u{a0}'
            | '\u{ad}'
            | '\u{34f}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{1680}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{2000}'..='\u{200f}'
            | '\u{202f}'
            | '\u{205f}'..='\u{206f}'
            | '\u{2800}'
            | '\u{3000}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{ffa0}'
            | '\u{1d159}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// `text` made harmless and cut to at most `columns` terminal columns, with `…` where it was cut.
pub fn fit(text: &str, columns: usize) -> String {
    // A longer text cannot fit whatever it holds, but for marks without a width: it is cut before it is made harmless.
    let room = columns.saturating_mul(8).saturating_add(64);
    let end = text.char_indices().nth(room).map_or(text.len(), |(at, _)| at);
    let clean = Shown(text.get(..end).unwrap_or(text)).to_string();
    if end == text.len() && clean.width() <= columns {
        return clean;
    }
    let mut cut = String::new();
    let mut used = 0;
    for c in clean.chars() {
        let w = c.width().unwrap_or(0);
        if used + w + 1 > columns {
            break;
        }
        used += w;
        cut.push(c);
    }
    if columns > 0 {
        cut.push('…');
    }
    cut
}

/// JSON with everything escaped that would steer a terminal: the same document, safe to look at. Such characters stand
/// in strings only, and serde has escaped the C0 controls already.
pub fn escape_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if harmless(c) == Some(c) {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            write!(out, "\\u{unit:04x}").ok();
        }
    }
    out
}

/// `text` in pieces of at most `room` terminal columns, broken at spaces where it can be. Never no piece at all.
pub fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split_inclusive(' ') {
        if used > 0 && used + word.trim_end().width() > room {
            lines.push(String::new());
            used = 0;
        }
        for c in word.chars() {
            let w = c.width().unwrap_or(0);
            if used + w > room && c != ' ' {
                lines.push(String::new());
                used = 0;
            }
            if let Some(line) = lines.last_mut() {
                line.push(c);
            }
            used += w;
        }
    }
    for line in &mut lines {
        line.truncate(line.trim_end().len());
    }
    lines
}

/// The terminal columns that `text` takes.
pub fn columns(text: &str) -> usize {
    text.width()
}

/// `text` split into lines, each made harmless; a trailing line end makes no empty line.
pub fn lines(text: &str) -> impl Iterator<Item = String> {
    text.lines().map(|line| Shown(line).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escaped_json_is_the_same_document() {
        let text = "a\u{9b}\u{202e}\u{7f}\u{feff}\u{e0041}\u{2028}\t\n\"\\é👩\u{200d}💻";
        let json = escape_json(&serde_json::to_string(text).unwrap());
        assert!(json.chars().all(|c| harmless(c) == Some(c)), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        assert!(json.contains("é👩"), "what a person reads stays: {json}");
    }

    #[test]
    fn nothing_that_steers_a_terminal_survives() {
        for (raw, shown) in [
            ("plain é 漢字 👍🏽", "plain é 漢字 👍🏽"),
            ("\x1b[2Jx", "␛[2Jx"),
            ("a\u{9b}31mb", "a\u{fffd}31mb"),
            ("a\u{202e}b", "a\u{fffd}b"),
            ("a\nb\r\nc", "a⏎b⏎c"),
            ("a\tb", "a    b"),
            ("\x7f\0", "␡␀"),
        ] {
            assert_eq!(Shown(raw).to_string(), shown, "{raw:?}");
        }
    }

    #[test]
    fn of_a_command_every_character_is_seen() {
        for c in "\u{200b}\u{200c}\u{200d}\u{200f}\u{2060}\u{ad}\u{3164}\u{115f}\u{2800}\u{fe00}\u{fe0f}\u{e0100}\u{e01ef}\u{a0}\u{202e}\u{feff}\u{85}".chars() {
            assert_eq!(whole(&format!("rm{c}x")), format!("rm\\u{{{:x}}}x", u32::from(c)), "{c:?}");
        }
        assert_eq!(whole("a\tb\rc\nd \x1b é 漢"), "a    b␍c⏎d ␛ é 漢");
    }

    #[test]
    fn cutting_counts_columns_not_bytes() {
        assert_eq!(fit("漢字漢字", 5), "漢字…");
        assert_eq!(fit("abc", 3), "abc");
        assert_eq!(fit("abcd", 3), "ab…");
        assert_eq!(fit("abcd", 0), "");
    }

    #[test]
    fn long_text_is_broken_at_spaces_where_it_can_be() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("onetwothree", 4), ["onet", "woth", "ree"]);
        assert_eq!(wrap("  indented", 20), ["  indented"]);
        assert_eq!(wrap("", 5), [""]);
    }

    proptest! {
        #[test]
        fn wrapped_text_fits_and_loses_nothing(words in prop::collection::vec("[a-z漢]{1,12}", 0..12), room in 2usize..30) {
            let text = words.join(" ");
            let lines = wrap(&text, room);
            prop_assert!(lines.iter().all(|l| columns(l) <= room));
            prop_assert_eq!(lines.concat().replace(' ', ""), words.concat());
        }

        #[test]
        fn shown_text_has_no_control_character(raw in any::<String>()) {
            let shown = Shown(&raw).to_string();
            prop_assert!(!shown.chars().any(char::is_control));
        }

        #[test]
        fn fitted_text_fits(raw in any::<String>(), width in 0usize..50) {
            prop_assert!(columns(&fit(&raw, width)) <= width);
        }
    }
}
