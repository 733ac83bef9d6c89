//! What the events of one attempt come to.

use crate::model::event::{Event, Usage};
use crate::model::failure::Trouble;

/// How a CLI says that its turn ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Finished {
    /// Whether it calls it a success.
    pub ok: bool,
    /// The final answer, where it repeats it.
    pub text: String,
    /// What went wrong.
    pub trouble: Option<Trouble>,
}

/// What was heard from a CLI in one attempt.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Heard {
    /// The CLI's own id of the conversation.
    pub session: Option<String>,
    /// The model it says it uses.
    pub model: Option<String>,
    /// Its last report of tokens and cost.
    pub usage: Option<Usage>,
    /// How it says that it ended: the last time it did.
    pub finished: Option<Finished>,
    /// The trouble it has, if it made no progress since it said so.
    pub retrying: Option<Trouble>,
    /// How often it tried again.
    pub retries: u32,
    /// Tools that it was not allowed to use, in their order, each once.
    pub denied: Vec<String>,
    /// Whether it gave any answer.
    pub answered: bool,
    /// The last thing that the agent said.
    pub last_message: String,
}

impl Heard {
    /// Takes note of `event`.
    pub fn hear(&mut self, event: &Event) {
        if event.is_progress() {
            self.retrying = None;
        }
        match event {
            Event::Session { id, model } => {
                self.session = Some(id.clone());
                if model.is_some() {
                    self.model.clone_from(model);
                }
            }
            Event::Message { text } | Event::Line { text } if !text.trim().is_empty() => {
                self.answered = true;
                if matches!(event, Event::Message { .. }) {
                    self.last_message.clone_from(text);
                }
            }
            Event::Denied { name, .. } if !self.denied.contains(name) => self.denied.push(name.clone()),
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Retrying(trouble) => {
                self.retries = self.retries.saturating_add(1);
                self.retrying = Some(trouble.clone());
            }
            Event::Finished { ok, text, trouble } => {
                if *ok && !text.trim().is_empty() {
                    self.answered = true;
                    self.last_message.clone_from(text);
                }
                self.finished = Some(Finished { ok: *ok, text: text.clone(), trouble: trouble.clone() });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_ends_the_trouble_and_the_last_end_counts() {
        let mut heard = Heard::default();
        let trouble = Trouble { status: Some(529), ..Trouble::default() };
        heard.hear(&Event::Retrying(trouble.clone()));
        heard.hear(&Event::Notice { text: "hm".into() });
        assert_eq!(heard.retrying, Some(trouble.clone()));
        heard.hear(&Event::Writing);
        assert_eq!((heard.retrying.clone(), heard.retries, heard.answered), (None, 1, false));
        heard.hear(&Event::Message { text: " ".into() });
        assert!(!heard.answered);
        heard.hear(&Event::Finished { ok: false, text: String::new(), trouble: Some(trouble) });
        heard.hear(&Event::Finished { ok: true, text: "all done".into(), trouble: None });
        assert!(heard.answered && heard.finished.unwrap().ok);
        assert_eq!(heard.last_message, "all done");
    }
}
