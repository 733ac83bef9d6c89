//! `cursor-agent -p --output-format stream-json`, as documented; never checked against the real program.
//!
//! On failure it prints no result: then the exit code and stderr decide.

use super::{DETAIL, Object, beginning, gist, items, object_at, output_text, str_at};
use crate::model::event::Event;
use crate::model::failure::Trouble;
use serde_json::Value;

#[derive(Debug, Default)]
pub(super) struct Cursor {
    thought: String,
}

impl Cursor {
    pub(super) fn json(&mut self, kind: &str, object: &Object, out: &mut Vec<Event>) {
        let subtype = str_at(object, "subtype");
        if kind == "thinking" {
            self.thought.push_str(str_at(object, "text").unwrap_or_default());
            if subtype == Some("completed") {
                self.flush(out);
            }
            return;
        }
        self.flush(out);
        match (kind, subtype) {
            ("system", Some("init")) => {
                if let Some(id) = str_at(object, "session_id") {
                    let model = str_at(object, "model").map(str::to_owned);
                    out.push(Event::Session { id: id.to_owned(), model });
                }
            }
            ("assistant", _) => {
                let text: String = object_at(object, "message")
                    .into_iter()
                    .flat_map(|m| items(m, "content"))
                    .filter_map(|c| str_at(c, "text"))
                    .collect();
                if !text.is_empty() {
                    out.push(Event::Message { text });
                }
            }
            ("tool_call", Some(step)) => tool_call(step, object, out),
            ("result", _) => {
                let text = str_at(object, "result").unwrap_or_default().to_owned();
                if subtype == Some("success") && object.get("is_error") == Some(&Value::Bool(false)) {
                    out.push(Event::Finished { ok: true, text, trouble: None });
                } else {
                    let code = subtype.filter(|s| *s != "success").map(str::to_owned);
                    let trouble = Trouble { code, message: text, ..Trouble::default() };
                    out.push(Event::Finished { ok: false, text: String::new(), trouble: Some(trouble) });
                }
            }
            _ => {}
        }
    }

    pub(super) fn flush(&mut self, out: &mut Vec<Event>) {
        if !self.thought.is_empty() {
            out.push(Event::Thinking { text: std::mem::take(&mut self.thought) });
        }
    }
}

/// `{"tool_call": {"shellToolCall": {"args": {…}, "result": {"success": {…}}}}}`: the key names the tool, the key in
/// `result` says how it went.
fn tool_call(step: &str, object: &Object, out: &mut Vec<Event>) {
    let Some((name, call)) = object_at(object, "tool_call")
        .and_then(|calls| calls.iter().find_map(|(name, call)| Some((name, call.as_object()?))))
    else {
        return;
    };
    let name = name.strip_suffix("ToolCall").unwrap_or(name).to_owned();
    let detail = object_at(call, "args").map(gist).unwrap_or_default();
    match step {
        "started" => out.push(Event::Tool { name, detail }),
        "completed" => match object_at(call, "result").and_then(|r| r.iter().next()) {
            Some((how, _)) if how == "rejected" || how == "permissionDenied" => {
                out.push(Event::Denied { name, detail });
            }
            Some((how, what)) => {
                let exit = what.get("exitCode").and_then(Value::as_i64).unwrap_or(0);
                let said = ["stdout", "content", "message", "error"]
                    .iter()
                    .find_map(|key| what.get(key).filter(|v| v.as_str() != Some("")));
                let detail = output_text(said.or_else(|| what.is_string().then_some(what)));
                out.push(Event::ToolDone {
                    ok: how == "success" && exit == 0,
                    detail: beginning(&detail, DETAIL),
                });
            }
            None => out.push(Event::ToolDone { ok: true, detail: String::new() }),
        },
        _ => {}
    }
}
