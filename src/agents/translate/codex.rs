//! `codex exec --json`.

use super::{DETAIL, Object, beginning, items, object_at, output_text, str_at, trouble, u64_at};
use crate::model::event::{Event, Usage};
use serde_json::Value;
use std::collections::HashSet;

/// How the output of a command begins that was not run, because this machine does not let codex build its sandbox.
const NO_SANDBOX: [&str; 2] = ["bwrap: ", "error building bubblewrap command"];

#[derive(Debug, Default)]
pub(super) struct Codex {
    /// Items that began and have not ended.
    begun: HashSet<String>,
    said: String,
    /// An error that is not yet known to be the end of the turn.
    error: Option<String>,
    finished: bool,
}

impl Codex {
    pub(super) fn json(&mut self, kind: &str, object: &Object, out: &mut Vec<Event>) {
        match kind {
            "thread.started" => {
                if let Some(id) = str_at(object, "thread_id") {
                    out.push(Event::Session { id: id.to_owned(), model: None });
                }
            }
            "item.started" => {
                if let Some(item) = object_at(object, "item") {
                    self.begin(item, out);
                }
            }
            "item.completed" => {
                if let Some(item) = object_at(object, "item") {
                    self.complete(item, out);
                }
            }
            "error" => {
                let message = str_at(object, "message").unwrap_or_default();
                if message.starts_with("Reconnecting") {
                    out.push(Event::Retrying(trouble(message)));
                } else {
                    self.error = Some(message.to_owned());
                }
            }
            "turn.started" => self.finished = false,
            "turn.completed" => {
                if let Some(usage) = object_at(object, "usage") {
                    out.push(Event::Usage(Usage {
                        input_tokens: u64_at(usage, "input_tokens").unwrap_or(0),
                        output_tokens: u64_at(usage, "output_tokens").unwrap_or(0),
                        cost_usd: None,
                    }));
                }
                self.finished = true;
                out.push(Event::Finished { ok: true, text: std::mem::take(&mut self.said), trouble: None });
            }
            "turn.failed" => {
                let message = object_at(object, "error").and_then(|e| str_at(e, "message"));
                let message = message.map(str::to_owned).or_else(|| self.error.take()).unwrap_or_default();
                self.fail(&message, out);
            }
            _ => {}
        }
    }

    /// What the sandbox refused is said nowhere else.
    pub(super) fn stderr(text: &str, out: &mut Vec<Event>) {
        if let Some((_, why)) = text.split_once("patch rejected: ") {
            out.push(Event::Denied { name: "apply_patch".to_owned(), detail: beginning(why, DETAIL) });
        }
    }

    pub(super) fn end(&mut self, out: &mut Vec<Event>) {
        if !self.finished
            && let Some(message) = self.error.take()
        {
            self.fail(&message, out);
        }
    }

    fn fail(&mut self, message: &str, out: &mut Vec<Event>) {
        self.finished = true;
        out.push(Event::Finished { ok: false, text: String::new(), trouble: Some(trouble(message)) });
    }

    fn begin(&mut self, item: &Object, out: &mut Vec<Event>) {
        let (name, detail) = match str_at(item, "type") {
            Some("command_execution") => {
                ("shell".to_owned(), beginning(str_at(item, "command").unwrap_or_default(), DETAIL))
            }
            Some("file_change") => {
                let paths: Vec<&str> = items(item, "changes").filter_map(|c| str_at(c, "path")).collect();
                ("edit".to_owned(), beginning(&paths.join(", "), DETAIL))
            }
            Some("mcp_tool_call") => {
                let part = |key| str_at(item, key).unwrap_or_default();
                let input = object_at(item, "arguments").map(super::gist).unwrap_or_default();
                (format!("{}.{}", part("server"), part("tool")), input)
            }
            Some("web_search") => {
                ("web_search".to_owned(), beginning(str_at(item, "query").unwrap_or_default(), DETAIL))
            }
            _ => return,
        };
        self.begun.insert(id(item));
        out.push(Event::Tool { name, detail });
    }

    fn complete(&mut self, item: &Object, out: &mut Vec<Event>) {
        let text = str_at(item, "text").unwrap_or_default();
        match str_at(item, "type") {
            Some("agent_message") => {
                text.clone_into(&mut self.said);
                out.push(Event::Message { text: text.to_owned() });
            }
            Some("reasoning") => out.push(Event::Thinking { text: text.to_owned() }),
            // Only ever a warning: a failed turn says so itself.
            Some("error") => {
                out.push(Event::Notice { text: str_at(item, "message").unwrap_or_default().to_owned() });
            }
            Some("command_execution" | "file_change" | "mcp_tool_call" | "web_search") => {
                if !self.begun.remove(&id(item)) {
                    self.begin(item, out);
                    self.begun.remove(&id(item));
                }
                let ok = !matches!(str_at(item, "status"), Some("failed" | "declined"))
                    && item.get("exit_code").and_then(Value::as_i64).is_none_or(|code| code == 0);
                let output = ["aggregated_output", "error", "result"]
                    .iter()
                    .find_map(|key| item.get(*key).filter(|v| !v.is_null()));
                let output = output_text(output);
                if !ok && NO_SANDBOX.iter().any(|begin| output.starts_with(begin)) {
                    // Nothing it does can work here; a model may say "done" all the same.
                    out.push(Event::Denied {
                        name: "a sandbox".to_owned(),
                        detail: beginning(&output, DETAIL),
                    });
                }
                out.push(Event::ToolDone { ok, detail: output });
            }
            _ => {}
        }
    }
}

fn id(item: &Object) -> String {
    str_at(item, "id").unwrap_or_default().to_owned()
}
