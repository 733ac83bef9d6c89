//! `msg`: what agents and people say to each other.

use super::args::{self, MsgVerb};
use super::exit;
use super::follow::interrupted;
use super::print::Screen;
use crate::life::House;
use crate::model::ids::Party;
use crate::model::mail::{Given, How};
use crate::model::report::VERSION;
use crate::model::text::{self, Shown};
use crate::model::together::{AckReport, DeadLettersReport, InboxReport, SendReport};
use crate::ops::caller::Caller;
use crate::ops::letters::{self, Letter};
use crate::ops::office::Office;
use crate::ops::pause::Awaited;
use crate::ops::{self, Error, Result};
use crate::rules;
use crate::rules::wording::Tone;
use std::cell::Cell;
use std::time::Duration;

pub(super) fn msg(house: &House, verb: MsgVerb, json: bool, screen: &mut Screen) -> Result<u8> {
    let caller = Caller::of(house)?;
    let office = Office::open(house, &caller)?;
    match verb {
        MsgVerb::Send(asked) => send(&office, &caller, asked, json, screen),
        MsgVerb::Read(asked) => read(house, &office, &caller, &asked, json, screen),
        MsgVerb::Ack { ids } => {
            let acknowledged = letters::ack(&office, &caller, &letters::ids(&ids)?, How::Said)?;
            let report = AckReport { v: VERSION, acknowledged };
            screen.answer(json, &report, |screen, report| {
                screen.line(&format!("{} acknowledged.", report.acknowledged));
            });
            Ok(exit::OK)
        }
        MsgVerb::Dead => {
            let report = DeadLettersReport { v: VERSION, letters: letters::dead(&office)? };
            screen.answer(json, &report, dead);
            Ok(exit::OK)
        }
    }
}

fn send(
    office: &Office,
    caller: &Caller,
    asked: args::MsgSend,
    json: bool,
    screen: &mut Screen,
) -> Result<u8> {
    let letter = Letter {
        to: asked.to,
        text: super::run::task(&asked.text)?,
        task_id: asked.task.map(|text| ops::desk::find(office, &text)).transpose()?.map(|id| id.to_string()),
        reply_to: asked.reply_to,
        priority: asked.priority,
        ack_required: asked.ack_required,
        op_id: asked.op.op_id,
    };
    let report = SendReport { v: VERSION, receipts: letters::send(office, caller, &letter)? };
    screen.answer(json, &report, |screen, report| {
        for receipt in &report.receipts {
            let what = if receipt.duplicate { "was sent before" } else { "sent" };
            screen.toned(Tone::Good, &format!("{what} to {}: {}", receipt.to, receipt.id));
        }
    });
    Ok(exit::OK)
}

fn read(
    house: &House,
    office: &Office,
    caller: &Caller,
    asked: &args::MsgRead,
    json: bool,
    screen: &mut Screen,
) -> Result<u8> {
    let reader = match &asked.of {
        None => caller.party(),
        Some(name) => {
            // What was said to somebody else is a person's to look at.
            ops::guard::person_only(house, "reading the mail of others")?;
            name.parse::<Party>().map_err(|e| Error::usage(e.to_string(), "all agents: ai_orch list"))?
        }
    };
    if let Some(limit) = asked.wait
        && let Some(code) = wait(office, caller, limit)?
    {
        return Ok(code);
    }
    let messages = if asked.peek {
        letters::peek(office, &reader, asked.max)?
    } else {
        letters::take(office, caller, asked.max)?
    };
    let ids: Vec<_> = messages.iter().map(|given| given.envelope.id).collect();
    let waiting = letters::waiting(office, &reader)?;
    let code = if messages.is_empty() && asked.wait.is_some() { exit::TIME } else { exit::OK };
    let unread = waiting.saturating_sub(ids.len());
    let report = InboxReport { v: VERSION, reader, messages, unread };
    screen.answer(json, &report, inbox);
    // What could not be printed was not read.
    if !asked.peek && !screen.closed {
        letters::ack(office, caller, &ids, How::Shown)?;
    }
    Ok(code)
}

/// Waits for a message; the exit code if somebody interrupted that.
fn wait(office: &Office, caller: &Caller, limit: Duration) -> Result<Option<u8>> {
    let code = Cell::new(exit::LEFT);
    let woken = ops::runtime()?.block_on(async {
        let only_mail = Awaited::default();
        tokio::select! {
            woken = ops::pause::pause(office, caller, &only_mail, limit) => woken.map(Some),
            () = interrupted(&code) => Ok(None),
        }
    })?;
    Ok(woken.is_none().then(|| code.get()))
}

fn inbox(screen: &mut Screen, report: &InboxReport) {
    if report.messages.is_empty() {
        screen.line(&format!("No messages for {}.", report.reader));
    }
    for given in &report.messages {
        letter(screen, given);
    }
    if report.unread > 0 {
        screen.line(&format!("{} more: ai_orch msg read", report.unread));
    }
}

fn letter(screen: &mut Screen, given: &Given) {
    // Made harmless already.
    screen.line(rules::mail::shown(given).trim_end());
}

fn dead(screen: &mut Screen, report: &DeadLettersReport) {
    if report.letters.is_empty() {
        screen.line("Every message can still be read.");
    }
    for letter in &report.letters {
        let envelope = &letter.envelope;
        let age = crate::rules::wording::duration(Duration::from_millis(letter.age_ms));
        let head =
            format!("{}  {} to {}, {age} ago: {}", envelope.id, envelope.from, envelope.to, letter.reason);
        screen.painted("33", &Shown(&head).to_string());
        for line in text::lines(&envelope.message.plain()) {
            screen.line(&format!("  {line}"));
        }
    }
}
