//! `claude -p --output-format stream-json --verbose`.

use super::{DETAIL, Object, beginning, gist, items, object_at, output_text, status_at, str_at, u64_at};
use crate::model::event::{Event, Usage};
use crate::model::failure::Trouble;
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// Tools whose end was not reported are forgotten beyond this many.
const REMEMBERED: usize = 1000;

#[derive(Debug, Default)]
pub(super) struct Claude {
    session: Option<String>,
    /// Tools at work: what they do, by the id of their use.
    tools: HashMap<String, String>,
    denied: HashSet<String>,
    /// The code of the last error that came as an answer.
    error: Option<String>,
    resets_at: Option<u64>,
}

impl Claude {
    pub(super) fn json(&mut self, kind: &str, object: &Object, out: &mut Vec<Event>) {
        match kind {
            "system" => self.system(object, out),
            "assistant" => self.assistant(object, out),
            "user" => self.user(object, out),
            "rate_limit_event" => self.rate_limit(object, out),
            "result" => self.result(object, out),
            _ => {}
        }
    }

    fn system(&mut self, object: &Object, out: &mut Vec<Event>) {
        match str_at(object, "subtype") {
            Some("init") => {
                if let Some(id) = str_at(object, "session_id")
                    && self.session.as_deref() != Some(id)
                {
                    self.session = Some(id.to_owned());
                    let model = str_at(object, "model").map(str::to_owned);
                    out.push(Event::Session { id: id.to_owned(), model });
                }
            }
            Some("api_retry") => out.push(Event::Retrying(api_retry(object))),
            Some("model_fallback") => {
                if let Some(text) = str_at(object, "content") {
                    out.push(Event::Notice { text: text.to_owned() });
                }
            }
            Some("permission_denied") => {
                let id = str_at(object, "tool_use_id").unwrap_or_default();
                let said = || beginning(str_at(object, "message").unwrap_or_default(), DETAIL);
                let detail = self.tools.remove(id).filter(|d| !d.is_empty()).unwrap_or_else(said);
                self.deny(id, str_at(object, "tool_name"), detail, out);
            }
            _ => {}
        }
    }

    fn assistant(&mut self, object: &Object, out: &mut Vec<Event>) {
        let of_subagent = object.get("parent_tool_use_id").is_some_and(Value::is_string);
        let error = str_at(object, "error");
        if let Some(code) = error {
            self.error = Some(code.to_owned());
        }
        let Some(message) = object_at(object, "message") else { return };
        for block in items(message, "content") {
            let text = |key| str_at(block, key).unwrap_or_default().to_owned();
            match str_at(block, "type") {
                // An error in the agent's voice: no progress, no answer.
                Some("text") if error.is_some() => out.push(Event::Notice { text: text("text") }),
                Some("text") if of_subagent => out.push(Event::Thinking { text: text("text") }),
                Some("text") => out.push(Event::Message { text: text("text") }),
                Some("thinking") => out.push(Event::Thinking { text: text("thinking") }),
                Some("tool_use" | "server_tool_use" | "mcp_tool_use") => {
                    let detail = object_at(block, "input").map(gist).unwrap_or_default();
                    if self.tools.len() >= REMEMBERED {
                        self.tools.clear();
                    }
                    self.tools.insert(text("id"), detail.clone());
                    out.push(Event::Tool { name: text("name"), detail });
                }
                _ => {}
            }
        }
    }

    fn user(&mut self, object: &Object, out: &mut Vec<Event>) {
        let Some(message) = object_at(object, "message") else { return };
        for block in items(message, "content") {
            if str_at(block, "type") == Some("tool_result") {
                let id = str_at(block, "tool_use_id").unwrap_or_default();
                self.tools.remove(id);
                if !self.denied.contains(id) {
                    let ok = block.get("is_error") != Some(&Value::Bool(true));
                    out.push(Event::ToolDone { ok, detail: output_text(block.get("content")) });
                }
            }
        }
    }

    fn deny(&mut self, id: &str, name: Option<&str>, detail: String, out: &mut Vec<Event>) {
        if self.denied.insert(id.to_owned()) || id.is_empty() {
            out.push(Event::Denied { name: name.unwrap_or("a tool").to_owned(), detail });
        }
    }

    fn rate_limit(&mut self, object: &Object, out: &mut Vec<Event>) {
        let Some(info) = object_at(object, "rate_limit_info") else { return };
        let window = str_at(info, "rateLimitType").unwrap_or("usage").replace('_', " ");
        match str_at(info, "status") {
            Some("rejected") => {
                self.resets_at = u64_at(info, "resetsAt");
                let until = self
                    .resets_at
                    .and_then(|s| jiff::Timestamp::from_second(i64::try_from(s).ok()?).ok())
                    .map(|t| format!(" until {t}"))
                    .unwrap_or_default();
                out.push(Event::Notice { text: format!("the {window} limit is used up{until}") });
            }
            Some("allowed_warning") => {
                let used = info.get("utilization").and_then(Value::as_f64).unwrap_or(1.0) * 100.0;
                out.push(Event::Notice { text: format!("{used:.0} % of the {window} limit is used") });
            }
            _ => {}
        }
    }

    fn result(&mut self, object: &Object, out: &mut Vec<Event>) {
        // Normally each was reported when it happened.
        for denial in items(object, "permission_denials") {
            let detail = object_at(denial, "tool_input").map(gist).unwrap_or_default();
            let id = str_at(denial, "tool_use_id").unwrap_or_default();
            self.deny(id, str_at(denial, "tool_name"), detail, out);
        }
        if let Some(usage) = usage(object) {
            out.push(Event::Usage(usage));
        }
        let subtype = str_at(object, "subtype").unwrap_or_default();
        let is_error = object.get("is_error") == Some(&Value::Bool(true));
        let text = str_at(object, "result").unwrap_or_default();
        if subtype == "success" && !is_error {
            out.push(Event::Finished { ok: true, text: text.to_owned(), trouble: None });
            return;
        }
        let errors = object.get("errors").and_then(Value::as_array).into_iter().flatten();
        let errors: Vec<&str> = errors.filter_map(Value::as_str).collect();
        let message = match (text.is_empty(), errors.is_empty()) {
            (false, _) => text.to_owned(),
            (true, false) => errors.join("; "),
            (true, true) => subtype.replace('_', " "),
        };
        let status = status_at(object, "api_error_status");
        let reason = str_at(object, "terminal_reason").filter(|r| !matches!(*r, "api_error" | "completed"));
        let code = Some(subtype)
            .filter(|s| s.starts_with("error_max"))
            .or(reason)
            .or_else(|| str_at(object, "api_error"))
            .or_else(|| self.resets_at.filter(|_| status == Some(429)).map(|_| "usage_limit_reached"))
            .or_else(|| self.error.as_deref().filter(|e| !matches!(*e, "unknown" | "server_error")))
            .or_else(|| str_at(object, "api_error_type"))
            .or_else(|| Some(subtype).filter(|s| *s != "success" && !s.is_empty()));
        let trouble = Trouble { status, code: code.map(str::to_owned), message, resets_at: self.resets_at };
        out.push(Event::Finished { ok: false, text: String::new(), trouble: Some(trouble) });
    }
}

fn api_retry(object: &Object) -> Trouble {
    let status = status_at(object, "error_status");
    let code = str_at(object, "error").filter(|c| *c != "unknown").map(str::to_owned);
    let what = match (status, code.as_deref()) {
        (Some(status), Some(code)) => format!("{status} {}", code.replace('_', " ")),
        (Some(status), None) => format!("HTTP status {status}"),
        (None, Some(code)) => code.replace('_', " "),
        (None, None) => "no answer from the model's server".to_owned(),
    };
    let attempt = match (u64_at(object, "attempt"), u64_at(object, "max_retries")) {
        (Some(n), Some(of)) => format!(" (retry {n} of {of})"),
        _ => String::new(),
    };
    Trouble { status, code, message: format!("{what}{attempt}"), resets_at: None }
}

/// Tokens and cost. The figures by model are of the whole conversation, as the cost is, and complete; `usage` is of
/// this process only and empty when the budget ended it.
fn usage(object: &Object) -> Option<Usage> {
    let cost_usd = object.get("total_cost_usd").and_then(Value::as_f64);
    let by_model = object_at(object, "modelUsage").filter(|m| !m.is_empty());
    let sum = |o: &Object, keys: &[&str]| {
        keys.iter().fold(0_u64, |sum, key| sum.saturating_add(u64_at(o, key).unwrap_or(0)))
    };
    let (mut input_tokens, mut output_tokens) = (0_u64, 0_u64);
    if let Some(models) = by_model {
        for model in models.values().filter_map(Value::as_object) {
            let read = ["inputTokens", "cacheReadInputTokens", "cacheCreationInputTokens"];
            input_tokens = input_tokens.saturating_add(sum(model, &read));
            output_tokens = output_tokens.saturating_add(sum(model, &["outputTokens"]));
        }
    } else {
        let usage = object_at(object, "usage")?;
        let read = ["input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"];
        input_tokens = sum(usage, &read);
        output_tokens = sum(usage, &["output_tokens"]);
    }
    Some(Usage { input_tokens, output_tokens, cost_usd })
}
