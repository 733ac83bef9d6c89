//! `gemini --output-format stream-json`.

use super::{Object, gist, object_at, output_text, str_at, trouble, u64_at};
use crate::model::event::{Event, Usage};
use crate::model::failure::Trouble;
use serde_json::Value;

#[derive(Debug, Default)]
pub(super) struct Gemini {
    /// The answer as far as it came; it comes in small pieces.
    writing: String,
    /// Whether it was said that an answer is being written.
    announced: bool,
    said: String,
    /// The last error that was not repeated in the result.
    error: Option<String>,
}

impl Gemini {
    pub(super) fn json(&mut self, kind: &str, object: &Object, out: &mut Vec<Event>) {
        if kind == "message" {
            self.message(object, out);
            return;
        }
        self.flush(out);
        let text = |key| str_at(object, key).unwrap_or_default().to_owned();
        match kind {
            "init" => {
                if let Some(id) = str_at(object, "session_id") {
                    // "auto" names its router, no model.
                    let model = str_at(object, "model").filter(|m| *m != "auto").map(str::to_owned);
                    out.push(Event::Session { id: id.to_owned(), model });
                }
            }
            "tool_use" => out.push(Event::Tool {
                name: text("tool_name"),
                detail: object_at(object, "parameters").map(gist).unwrap_or_default(),
            }),
            "tool_result" => {
                let ok = str_at(object, "status") == Some("success");
                let error = object_at(object, "error").and_then(|e| e.get("message"));
                out.push(Event::ToolDone { ok, detail: output_text(object.get("output").or(error)) });
            }
            "error" => {
                if str_at(object, "severity") != Some("warning") {
                    self.error = Some(text("message"));
                }
                out.push(Event::Notice { text: text("message") });
            }
            "result" => self.result(object, out),
            _ => {}
        }
    }

    fn message(&mut self, object: &Object, out: &mut Vec<Event>) {
        if str_at(object, "role") != Some("assistant") {
            self.flush(out);
            return;
        }
        let text = str_at(object, "content").unwrap_or_default();
        if object.get("delta") == Some(&Value::Bool(true)) {
            self.writing.push_str(text);
            if !self.announced {
                self.announced = true;
                out.push(Event::Writing);
            }
        } else {
            self.flush(out);
            text.clone_into(&mut self.writing);
            self.flush(out);
        }
    }

    pub(super) fn flush(&mut self, out: &mut Vec<Event>) {
        self.announced = false;
        if !self.writing.is_empty() {
            let text = std::mem::take(&mut self.writing);
            self.said.clone_from(&text);
            out.push(Event::Message { text });
        }
    }

    /// Retries are said on stderr only.
    pub(super) fn stderr(&mut self, text: &str, out: &mut Vec<Event>) {
        let Some(rest) = text.trim_start().strip_prefix("Attempt ") else { return };
        let Some((number, what)) = rest.split_once(" failed") else { return };
        if number.parse::<u32>().is_err() {
            return;
        }
        // A piece of the answer after this is news again.
        self.announced = false;
        let why = what
            .split_once("Retrying with backoff... ")
            .map(|(_, why)| why)
            .or_else(|| what.strip_prefix(": "))
            .unwrap_or(what)
            .trim();
        let said = trouble(why);
        let status = super::status_in(what).or(said.status);
        let message = format!("{} (attempt {number})", said.message);
        out.push(Event::Retrying(Trouble { status, code: said.code, message, resets_at: None }));
    }

    fn result(&mut self, object: &Object, out: &mut Vec<Event>) {
        if let Some(stats) = object_at(object, "stats") {
            out.push(Event::Usage(Usage {
                input_tokens: u64_at(stats, "input_tokens").unwrap_or(0),
                output_tokens: u64_at(stats, "output_tokens").unwrap_or(0),
                cost_usd: None,
            }));
        }
        if str_at(object, "status") == Some("success") {
            out.push(Event::Finished { ok: true, text: std::mem::take(&mut self.said), trouble: None });
            return;
        }
        let error = object_at(object, "error");
        let message = error.and_then(|e| str_at(e, "message")).map(str::to_owned);
        let message = message.or_else(|| self.error.take()).unwrap_or_default();
        let body = trouble(&message);
        let mut said = Trouble { message: unwrapped(&body.message).to_owned(), ..body };
        if said.code.is_none() {
            let kind = error.and_then(|e| str_at(e, "type")).filter(|t| *t != "unknown");
            said.code = kind.map(str::to_owned);
        }
        out.push(Event::Finished { ok: false, text: String::new(), trouble: Some(said) });
    }
}

/// The text inside `[API Error: …]`, without the advice that follows it: the vendor's own words.
fn unwrapped(message: &str) -> &str {
    let Some(inner) = message.strip_prefix("[API Error: ") else { return message };
    inner.split_once(']').map_or(inner, |(inner, _)| inner).trim()
}
