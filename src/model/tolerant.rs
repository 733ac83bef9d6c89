//! Reading what a later version of this program wrote: as much of it as we understand.
//!
//! A line whose checksum is good is what somebody wrote. If we cannot read it, it is newer, not damaged: its agent is
//! listed and can be killed, and the remark says that there is more to it.

use super::entry::{Entry, Record, VERSION};
use super::ids::Moment;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Error, Value, json};

/// The fields of every line.
#[derive(Deserialize)]
struct Line {
    v: u32,
    at: Moment,
}

/// A line that says something: the fields that every line of its kind has, and what it says; `None` if only a later version
/// knows what that means.
pub(super) fn line<'de, D: Deserializer<'de>, H: DeserializeOwned, E: DeserializeOwned>(
    d: D,
) -> Result<(H, Option<E>), D::Error> {
    let line = Value::deserialize(d)?;
    if line.get("entry").and_then(Value::as_str).is_none() {
        return Err(D::Error::custom("it says nothing"));
    }
    let head = H::deserialize(&line).map_err(D::Error::custom)?;
    Ok((head, E::deserialize(line).ok()))
}

/// The record that `line` is. What is not understood is left out or called unknown, and the record counts as newer.
pub(super) fn record(mut line: Value) -> Result<Record, Error> {
    let Line { v, at } = Line::deserialize(&line)?;
    let kind = line.get("entry").and_then(Value::as_str).map(str::to_owned);
    let Some(kind) = kind else { return Err(Error::custom("it says nothing")) };
    if let Ok(entry) = Entry::deserialize(&line) {
        return Ok(Record { v, at, entry });
    }
    replace_unknown(&kind, &mut line);
    let entry = Entry::deserialize(&line).unwrap_or(Entry::Unknown);
    Ok(Record { v: v.max(VERSION + 1), at, entry })
}

/// Replaces words that we do not know by ones that promise nothing: who an attempt's process is matters more than why it
/// was started.
fn replace_unknown(kind: &str, line: &mut Value) {
    fn known<T: for<'a> Deserialize<'a>>(value: Option<&Value>) -> bool {
        value.is_none_or(|v| T::deserialize(v).is_ok())
    }
    if !known::<super::failure::Failure>(line.get("failure")) {
        let said = line.pointer("/failure/message").and_then(Value::as_str).unwrap_or_default();
        let class = line.pointer("/failure/class").and_then(Value::as_str).unwrap_or("?");
        let message = format!("{class}: {said}");
        set(line, "/failure", json!({"class": "unknown", "message": message}));
    }
    match kind {
        "ready" if !known::<Option<super::entry::Filled>>(line.get("filled")) => {
            set(line, "/filled", Value::Null);
        }
        "created" if !known::<super::profile::Permissions>(line.pointer("/spec/permissions")) => {
            set(line, "/spec/permissions", json!("read"));
        }
        "attempt_started" if !known::<super::entry::Turn>(line.get("turn")) => {
            set(line, "/turn", json!("task"));
        }
        "attempt_ended" if !known::<super::entry::Ending>(Some(line)) => {
            let result = line.get("result").and_then(Value::as_str).unwrap_or("?").to_owned();
            let failure = json!({"class": "unknown", "message": format!("it ended as '{result}'")});
            set(line, "/result", json!("failed"));
            if let Some(fields) = line.as_object_mut() {
                fields.insert("failure".to_owned(), failure);
            }
        }
        _ => {}
    }
}

fn set(line: &mut Value, pointer: &str, value: Value) {
    if let Some(place) = line.pointer_mut(pointer) {
        *place = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::entry::{Ending, Turn};
    use crate::model::failure::Class;

    fn read(text: &str) -> Result<Record, Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn what_we_know_is_read_as_it_is_whatever_else_it_says() {
        let line = read(r#"{"v":1,"at":"2026-11-20T10:00:00Z","entry":"ready","mood":[1]}"#).unwrap();
        assert_eq!((line.v, line.entry), (1, Entry::Ready { filled: None }));
        let line = read(r#"{"v":2,"at":"2026-11-20T10:00:00Z","entry":"ready"}"#).unwrap();
        assert_eq!((line.v, line.entry), (2, Entry::Ready { filled: None }));
    }

    #[test]
    fn what_we_do_not_know_is_newer_and_not_damaged() {
        for text in [
            r#"{"v":1,"at":"2026-11-20T10:00:00Z","entry":"danced"}"#,
            r#"{"v":1,"at":"2026-11-20T10:00:00Z","entry":"started","keeper":"somebody"}"#,
            r#"{"v":1,"at":"2026-11-20T10:00:00Z","entry":"ended","state":"archived"}"#,
        ] {
            let line = read(text).unwrap();
            assert_eq!(line.entry, Entry::Unknown, "{text}");
        }
        let turn = r#"{"v":1,"at":"2026-11-20T10:00:00Z","entry":"attempt_started","n":1,"link":0,"turn":"review",
            "mark":"01a1f8a1-3531-72e3-8e2e-ea70f421d1eb","process":{"pid":7,"start":8,"boot":"b"}}"#;
        let line = read(turn).unwrap();
        assert!(line.v > VERSION, "{line:?}");
        assert!(
            matches!(&line.entry, Entry::AttemptStarted { turn: Turn::Task, process: Some(p), .. } if p.pid == 7),
            "{line:?}"
        );
        let class = r#"{"v":1,"at":"2026-11-20T10:00:00Z","entry":"attempt_ended","n":1,"result":"failed",
            "failure":{"class":"bored","message":"yawn"},"ms":5}"#;
        let Entry::AttemptEnded { ending: Ending::Failed { failure }, .. } = read(class).unwrap().entry
        else {
            panic!("{class}")
        };
        assert_eq!((failure.class, failure.message.as_str()), (Class::Unknown, "bored: yawn"));
        let filled = r#"{"v":1,"at":"2026-11-20T10:00:00Z","entry":"ready","filled":{"way":"poured"}}"#;
        assert_eq!(read(filled).unwrap().entry, Entry::Ready { filled: None });
        let ending =
            r#"{"v":1,"at":"2026-11-20T10:00:00Z","entry":"attempt_ended","n":1,"result":"paused","ms":5}"#;
        assert!(matches!(
            read(ending).unwrap().entry,
            Entry::AttemptEnded { ending: Ending::Failed { .. }, .. }
        ));
    }

    #[test]
    fn what_no_version_writes_is_damage() {
        for text in
            [r#""text""#, "[]", "{}", r#"{"v":1,"entry":"ready"}"#, r#"{"v":1,"at":"2026-11-20T10:00:00Z"}"#]
        {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
