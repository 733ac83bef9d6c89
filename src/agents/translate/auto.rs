//! Recognising the format of a recording.

use super::{Object, str_at};
use crate::model::profile::Format;

/// The format of which this line is typical, if it is typical of one.
pub(super) fn recognise(kind: &str, object: &Object) -> Option<Format> {
    match kind {
        "thread.started" | "turn.started" | "turn.completed" | "turn.failed" | "item.started"
        | "item.completed" => Some(Format::Codex),
        "init" => Some(Format::Gemini),
        "result" if object.contains_key("is_error") => Some(Format::Claude),
        "result" if object.contains_key("status") => Some(Format::Gemini),
        "tool_call" => Some(Format::Cursor),
        // Both begin with system/init; only claude lists its tools there.
        "system" if str_at(object, "subtype") == Some("init") && !object.contains_key("tools") => {
            Some(Format::Cursor)
        }
        "system" | "assistant" | "rate_limit_event" => Some(Format::Claude),
        _ => None,
    }
}
