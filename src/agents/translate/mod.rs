//! What the agent CLIs print, translated into our events.
//!
//! Promises: no line can make a translator fail. JSON is read by its `type` whatever the order of its keys; a line that
//! is not of the format becomes [`Event::Line`]; a kind of event that we do not know is passed over, because vendors
//! add them every month; bytes that are no UTF-8 are shown as `�`, never dropped with their line.

mod auto;
mod claude;
mod codex;
mod cursor;
mod gemini;
mod text;

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

use crate::model::event::{Event, Usage};
use crate::model::failure::Trouble;
use crate::model::profile::Format;
use serde_json::{Map, Value};

/// A JSON object.
type Object = Map<String, Value>;

/// Turns the output of one attempt into events, line by line.
#[derive(Debug)]
pub struct Translator {
    dialect: Dialect,
    before: Usage,
}

#[derive(Debug)]
enum Dialect {
    Text,
    Claude(claude::Claude),
    Codex(codex::Codex),
    Gemini(gemini::Gemini),
    Cursor(cursor::Cursor),
    /// Not known yet: the first line that tells decides.
    Auto,
}

impl Dialect {
    fn new(format: Format) -> Self {
        match format {
            Format::Text => Self::Text,
            Format::Claude => Self::Claude(claude::Claude::default()),
            Format::Codex => Self::Codex(codex::Codex::default()),
            Format::Gemini => Self::Gemini(gemini::Gemini::default()),
            Format::Cursor => Self::Cursor(cursor::Cursor::default()),
            Format::Auto => Self::Auto,
        }
    }

    fn json(&mut self, kind: &str, object: &Object, out: &mut Vec<Event>) {
        match self {
            Self::Claude(d) => d.json(kind, object, out),
            Self::Codex(d) => d.json(kind, object, out),
            Self::Gemini(d) => d.json(kind, object, out),
            Self::Cursor(d) => d.json(kind, object, out),
            Self::Text | Self::Auto => {}
        }
    }

    fn flush(&mut self, out: &mut Vec<Event>) {
        match self {
            Self::Gemini(d) => d.flush(out),
            Self::Cursor(d) => d.flush(out),
            Self::Text | Self::Auto | Self::Claude(_) | Self::Codex(_) => {}
        }
    }
}

impl Translator {
    /// A translator for a new conversation.
    pub fn new(format: Format) -> Self {
        Self { dialect: Dialect::new(format), before: Usage::default() }
    }

    /// For an attempt that goes on with a conversation: `before` is the usage of the conversation's earlier attempts,
    /// taken together. claude and codex report totals of the conversation, and [`Event::Usage`] means the attempt.
    #[must_use]
    pub const fn after(mut self, before: Usage) -> Self {
        self.before = before;
        self
    }

    /// The format; for [`Format::Auto`] the one that was recognised, as soon as it was.
    pub const fn format(&self) -> Format {
        match self.dialect {
            Dialect::Text => Format::Text,
            Dialect::Claude(_) => Format::Claude,
            Dialect::Codex(_) => Format::Codex,
            Dialect::Gemini(_) => Format::Gemini,
            Dialect::Cursor(_) => Format::Cursor,
            Dialect::Auto => Format::Auto,
        }
    }

    /// What one line of standard output says; with or without its line end.
    pub fn line(&mut self, line: &[u8]) -> Vec<Event> {
        let text = String::from_utf8_lossy(line);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        let mut out = Vec::new();
        if matches!(self.dialect, Dialect::Text) {
            text::line(text, &mut out);
            return out;
        }
        if text.trim().is_empty() {
            return out;
        }
        let object = serde_json::from_str::<Object>(text.trim_start_matches('\u{feff}'));
        let Some((kind, object)) = object.ok().and_then(|o| Some((str_at(&o, "type")?.to_owned(), o))) else {
            self.dialect.flush(&mut out);
            text::line(text, &mut out);
            return out;
        };
        if matches!(self.dialect, Dialect::Auto) {
            match auto::recognise(&kind, &object) {
                Some(format) => self.dialect = Dialect::new(format),
                None => text::line(text, &mut out),
            }
        }
        self.dialect.json(&kind, &object, &mut out);
        if matches!(self.dialect, Dialect::Claude(_) | Dialect::Codex(_)) {
            for event in &mut out {
                if let Event::Usage(usage) = event {
                    *usage = since(*usage, self.before);
                }
            }
        }
        out
    }

    /// What one line of standard error says. Most of it is noise to a machine: the keeper keeps the last lines, and
    /// the rules look into them when there is no other word about a failure.
    pub fn stderr_line(&mut self, line: &[u8]) -> Vec<Event> {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches(['\r', '\n']);
        let mut out = Vec::new();
        match &mut self.dialect {
            Dialect::Text => text::line(text, &mut out),
            Dialect::Codex(_) => codex::Codex::stderr(text, &mut out),
            Dialect::Gemini(d) => d.stderr(text, &mut out),
            // A recording that has not begun to speak: only gemini writes this, and nobody else is harmed by it.
            Dialect::Auto => gemini::Gemini::default().stderr(text, &mut out),
            Dialect::Claude(_) | Dialect::Cursor(_) => {}
        }
        out
    }

    /// What is left to say when the output has ended.
    pub fn end(&mut self) -> Vec<Event> {
        let mut out = Vec::new();
        self.dialect.flush(&mut out);
        if let Dialect::Codex(d) = &mut self.dialect {
            d.end(&mut out);
        }
        out
    }
}

/// `total` less what was used `before`. A total that is smaller is none of the whole conversation: it stands.
fn since(total: Usage, before: Usage) -> Usage {
    let money = |total: f64, before: f64| if total >= before { total - before } else { total };
    Usage {
        input_tokens: total.input_tokens.checked_sub(before.input_tokens).unwrap_or(total.input_tokens),
        output_tokens: total.output_tokens.checked_sub(before.output_tokens).unwrap_or(total.output_tokens),
        cost_usd: total.cost_usd.map(|cost| money(cost, before.cost_usd.unwrap_or(0.0))),
    }
}

fn str_at<'a>(object: &'a Object, key: &str) -> Option<&'a str> {
    object.get(key)?.as_str()
}

fn object_at<'a>(object: &'a Object, key: &str) -> Option<&'a Object> {
    object.get(key)?.as_object()
}

fn u64_at(object: &Object, key: &str) -> Option<u64> {
    object.get(key)?.as_u64()
}

fn status_at(object: &Object, key: &str) -> Option<u16> {
    u64_at(object, key).and_then(|n| u16::try_from(n).ok())
}

fn items<'a>(object: &'a Object, key: &str) -> impl Iterator<Item = &'a Object> {
    object.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object)
}

/// The first line or so of `text`: enough to recognise it by.
fn beginning(text: &str, limit: usize) -> String {
    let text = text.trim();
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// How much of a tool's input and output is kept in an event; the transcript has all of it.
const DETAIL: usize = 400;

/// The one-line gist of a tool's input: the field that says most.
fn gist(input: &Object) -> String {
    const TELLING: [&str; 12] = [
        "command",
        "cmd",
        "file_path",
        "path",
        "notebook_path",
        "pattern",
        "query",
        "url",
        "skill",
        "description",
        "prompt",
        "message",
    ];
    let telling = TELLING.iter().find_map(|key| str_at(input, key).filter(|v| !v.trim().is_empty()));
    match telling {
        Some(text) => beginning(text, DETAIL),
        None if input.is_empty() => String::new(),
        None => beginning(&Value::Object(input.clone()).to_string(), DETAIL),
    }
}

/// The text of a tool's output: a string, or a list of parts that hold text.
fn output_text(value: Option<&Value>) -> String {
    let text = match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts
            .iter()
            .filter_map(|p| p.as_str().or_else(|| p.as_object().and_then(|o| str_at(o, "text"))))
            .collect::<Vec<_>>()
            .join("\n"),
        Some(Value::Object(o)) if o.contains_key("content") => output_text(o.get("content")),
        None | Some(Value::Null) => String::new(),
        Some(other) => other.to_string(),
    };
    beginning(&text, DETAIL)
}

/// What a vendor's error text says: the JSON error body in it if there is one, else the text with the HTTP status that
/// it names.
fn trouble(text: &str) -> Trouble {
    if let Some(at) = text.find('{')
        && let Some(body) = text.get(at..)
        && let Some(Ok(Value::Object(body))) =
            serde_json::Deserializer::from_str(body).into_iter::<Value>().next()
    {
        let error = object_at(&body, "error").unwrap_or(&body);
        if let Some(message) = str_at(error, "message") {
            let reason = items(error, "details").find_map(|d| str_at(d, "reason"));
            let code = reason.or_else(|| str_at(error, "status")).or_else(|| str_at(error, "code"));
            return Trouble {
                status: status_at(error, "code"),
                code: code.or_else(|| str_at(error, "type")).map(str::to_owned),
                message: message.to_owned(),
                resets_at: None,
            };
        }
    }
    Trouble { status: status_in(text), message: text.to_owned(), ..Trouble::default() }
}

/// The HTTP status in `… status 503`, `… status: 429 …`.
fn status_in(text: &str) -> Option<u16> {
    text.match_indices("status").find_map(|(at, word)| {
        let rest = text.get(at + word.len()..)?.trim_start_matches([':', ' ']);
        let number: u16 = rest.get(..3)?.parse().ok()?;
        let ends = !rest.get(3..)?.starts_with(|c: char| c.is_ascii_digit());
        (ends && (400..600).contains(&number)).then_some(number)
    })
}
