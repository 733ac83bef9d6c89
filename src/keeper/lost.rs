//! What is known of an attempt whose keeper went away: its events were kept as they came.

use crate::model::event::Usage;
use crate::model::ids::Moment;
use crate::model::report::LogLine;
use crate::rules::heard::Heard;
use crate::tools::spool::Contents;

/// What the kept events of an attempt come to.
#[derive(Debug, Default)]
pub(super) struct Recalled {
    /// The CLI's id of the conversation, and the model it says it uses.
    pub conversation: Option<(String, Option<String>)>,
    /// Its last report of tokens and cost.
    pub usage: Option<Usage>,
    /// The last thing the agent said.
    pub answer: String,
    /// When the last event came.
    pub last: Option<Moment>,
}

/// Reads kept events. A last line that was cut off is skipped.
pub(super) fn recall(kept: &Contents) -> Recalled {
    let mut heard = Heard::default();
    let mut last = None;
    let pieces = [Some(&kept.head), kept.tail.as_ref()];
    for line in pieces.into_iter().flatten().flat_map(|bytes| bytes.split(|b| *b == b'\n')) {
        if let Ok(line) = serde_json::from_slice::<LogLine>(line) {
            heard.hear(&line.event);
            last = Some(line.at);
        }
    }
    let answer = crate::rules::prompt::last_lines(heard.last_message.trim(), super::play::ANSWER).to_owned();
    Recalled { conversation: heard.session.map(|id| (id, heard.model)), usage: heard.usage, answer, last }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::Event;
    use crate::model::report::VERSION;

    #[test]
    fn what_was_kept_is_known_and_a_cut_off_line_is_not() {
        let at: Moment = serde_json::from_str("\"2026-11-20T10:00:00Z\"").unwrap();
        let usage = Usage { input_tokens: 10, output_tokens: 2, cost_usd: Some(0.5) };
        let mut head = Vec::new();
        for event in [
            Event::Session { id: "c-1".into(), model: None },
            Event::Message { text: "half of it is done".into() },
            Event::Usage(usage),
        ] {
            serde_json::to_writer(&mut head, &LogLine { v: VERSION, n: 1, at, event }).unwrap();
            head.push(b'\n');
        }
        head.extend_from_slice(b"{\"v\":1,\"n\":1,\"at\":\"2026-11-20T10:0");
        let recalled = recall(&Contents { head, tail: None });
        assert_eq!(recalled.conversation, Some(("c-1".to_owned(), None)));
        assert_eq!(recalled.usage, Some(usage));
        assert_eq!(recalled.answer, "half of it is done");
        assert_eq!(recalled.last, Some(at));
    }
}
