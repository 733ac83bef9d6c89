//! Agents that print plain text.

use crate::model::event::Event;

/// A line is a line.
pub(super) fn line(text: &str, out: &mut Vec<Event>) {
    out.push(Event::Line { text: text.to_owned() });
}
