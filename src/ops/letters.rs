//! Messages: sending them to an agent, to everybody of a role or context, or to the person; reading them; acknowledging them.

use super::caller::Caller;
use super::office::Office;
use super::{Error, Result};
use crate::a2a::identity::Who;
use crate::a2a::mail::{self, Mail};
use crate::a2a::{self, record, registry};
use crate::model::a2a::{Message, Role};
use crate::model::ids::{ContextId, Party, Project, RoleName};
use crate::model::mail::{DeadLetter, Draft, Envelope, Given, How, MailId, Priority, Receipt, Via};
use crate::rules;
use crate::rules::mail::Member;
use crate::tools::{clock, process};
use serde::Serialize;
use uuid::Uuid;

/// What somebody wants to say.
#[derive(Debug, Clone, Default)]
pub struct Letter {
    /// To whom: a name, `role:NAME` or `context:ID`.
    pub to: String,
    /// What.
    pub text: String,
    /// The task that it is about.
    pub task_id: Option<String>,
    /// The message that it answers.
    pub reply_to: Option<String>,
    /// Whether it is read before others, or after them.
    pub priority: Priority,
    /// Whether the sender wants to know that it was read.
    pub ack_required: bool,
    /// The sender's own name for sending this: doing so twice sends it once.
    pub op_id: Option<String>,
}

/// A message as a reader is shown it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shown {
    /// Its id, to acknowledge and to answer it by.
    pub id: MailId,
    /// Who sent it.
    pub from: Party,
    /// The task that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// The message that it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<MailId>,
    /// Which time it is handed out, if that is not the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// Who says it and what: between lines that the text cannot contain.
    pub text: String,
}

/// Sends `letter`; a receipt for each reader.
pub fn send(office: &Office, caller: &Caller, letter: &Letter) -> Result<Vec<Receipt>> {
    if letter.text.trim().is_empty() {
        return Err(Error::usage("the message is empty", "say something in text"));
    }
    let from = caller.party();
    let (to, via) = readers(office, &from, &letter.to)?;
    let reply_to = id(letter.reply_to.as_deref())?;
    let role = if from == Party::User { Role::User } else { Role::Agent };
    let op = caller.operation(letter.op_id.clone());
    let message_id = op.map_or_else(|| clock::new_id().to_string(), |op| format!("op-{op}"));
    let mut message = Message::text(message_id, role, &letter.text);
    message.task_id.clone_from(&letter.task_id);
    let mut receipts = Vec::new();
    for to in to {
        let home = mail::home_of(&office.places, &office.project, &to)?;
        let draft = Draft {
            home: Some(office.project.clone()),
            via: via.clone(),
            reply_to,
            priority: letter.priority,
            ack_required: letter.ack_required,
            durable: true,
            ..Draft::new(from.clone(), to, message.clone())
        };
        receipts.extend(post(office, &home, &draft)?);
    }
    Ok(receipts)
}

/// Sends `draft` to readers in the repository `home`.
fn post(office: &Office, home: &Project, draft: &Draft) -> Result<Vec<Receipt>> {
    let elsewhere;
    let mail = if *home == office.project {
        &office.mail
    } else {
        elsewhere = Mail::new(&office.places, home);
        &elsewhere
    };
    let reader = draft.to.first().unwrap_or(&draft.from);
    whole(mail, reader, mail.send(draft))
}

/// What came of something that was done at the inbox of `reader`. If that was damaged, it is put aside, with what can still be
/// believed in its place, and that is said: doing the same once more does it.
fn whole<T>(mail: &Mail, reader: &Party, done: a2a::Result<T>) -> Result<T> {
    let error = match done {
        Ok(done) => return Ok(done),
        Err(error) => error,
    };
    if error.is_damage()
        && let Some(kept) = mail.quarantine(reader)?
    {
        return Err(Error::InboxMended { reader: reader.clone(), kept });
    }
    Err(error.into())
}

/// Who is meant by `to`, the sender left out of a group.
fn readers(office: &Office, from: &Party, to: &str) -> Result<(Vec<Party>, Option<Via>)> {
    let via = match to.split_once(':') {
        Some(("role", name)) => Via::Role(name.parse::<RoleName>().map_err(unusable)?.to_string()),
        Some(("context", id)) => Via::Context(id.parse::<ContextId>().map_err(unusable)?.to_string()),
        _ => return Ok((vec![to.parse::<Party>().map_err(unusable)?], None)),
    };
    let mut members = Vec::new();
    for named in registry::live(&office.places, &office.project)? {
        // What one whose record cannot be read is there for nobody knows; the others are reached all the same.
        let Ok(Some(agent)) = record::load(&named.record) else { continue };
        members.push(Member {
            party: Party::Worker(named.session),
            roles: agent.spec.role.iter().map(ToString::to_string).collect(),
            contexts: vec![agent.spec.context().to_string()],
        });
    }
    let readers = rules::mail::members(&via, from, &members);
    if readers.is_empty() {
        return Err(crate::a2a::Error::from(rules::mail::Refused::Nobody).into());
    }
    Ok((readers, Some(via)))
}

fn unusable(error: impl std::fmt::Display) -> Error {
    Error::usage(error.to_string(), "give to an agent's name, `user`, `role:NAME` or `context:ID`")
}

fn id(text: Option<&str>) -> Result<Option<MailId>> {
    let parse = |text: &str| {
        let wrong = || format!("'{}' is no id of a message", crate::model::text::Shown(text));
        text.parse::<Uuid>().map(MailId).map_err(|_| {
            Error::usage(wrong(), "take the id that the message was read with: ai_orch msg read --json")
        })
    };
    text.map(parse).transpose()
}

/// What the caller is to read next, put on record as handed to this process.
pub fn read(office: &Office, caller: &Caller, max: usize) -> Result<Vec<Shown>> {
    Ok(take(office, caller, max)?.into_iter().map(shown).collect())
}

/// The same, whole.
pub fn take(office: &Office, caller: &Caller, max: usize) -> Result<Vec<Given>> {
    let reader = caller.party();
    whole(&office.mail, &reader, office.mail.read(&reader, &process::me()?, max))
}

/// What `reader` has to read, without handing it out.
pub fn peek(office: &Office, reader: &Party, max: usize) -> Result<Vec<Given>> {
    whole(&office.mail, reader, office.mail.peek(reader, max))
}

/// How many messages wait for `reader`.
pub fn waiting(office: &Office, reader: &Party) -> Result<usize> {
    whole(&office.mail, reader, office.mail.unread_count(reader))
}

/// What nobody will read.
pub fn dead(office: &Office) -> Result<Vec<DeadLetter>> {
    for reader in office.mail.parties()? {
        waiting(office, &reader)?;
    }
    Ok(office.mail.dead_letters()?)
}

fn shown(given: Given) -> Shown {
    Shown {
        id: given.envelope.id,
        text: rules::mail::shown(&given),
        from: given.envelope.from,
        task_id: given.envelope.message.task_id,
        reply_to: given.envelope.reply_to,
        attempt: (given.attempt > 1).then_some(given.attempt),
    }
}

/// Puts on record that the caller has read these; how many were not acknowledged before. Who asked to be told is told before:
/// if we die in between, it is told once more under the same id, which is once.
pub fn ack(office: &Office, caller: &Caller, ids: &[MailId], how: How) -> Result<usize> {
    let reader = caller.party();
    let held = whole(&office.mail, &reader, office.mail.held(&reader, ids))?;
    for envelope in held.iter().filter(|envelope| envelope.ack_required && envelope.from != reader) {
        if let Err(error) = tell_read(office, &reader, envelope) {
            // That it was read is true all the same.
            tracing::warn!(message = %envelope.id, %error, "its sender could not be told that it was read");
        }
    }
    whole(&office.mail, &reader, office.mail.ack(&reader, ids, how))
}

fn tell_read(office: &Office, reader: &Party, envelope: &Envelope) -> Result<()> {
    let role = if *reader == Party::User { Role::User } else { Role::Agent };
    let mut message = Message::text(format!("read-{}", envelope.id), role, format!("{reader} has read this"));
    message.task_id.clone_from(&envelope.message.task_id);
    let draft = Draft {
        home: Some(office.project.clone()),
        thread: Some(envelope.thread),
        reply_to: Some(envelope.id),
        priority: Priority::Low,
        durable: true,
        ..Draft::new(reader.clone(), envelope.from.clone(), message)
    };
    let home = mail::home_of(&office.places, &office.project, &envelope.from)?;
    post(office, &home, &draft).map(drop)
}

/// The ids in `texts`.
pub fn ids(texts: &[String]) -> Result<Vec<MailId>> {
    texts.iter().filter_map(|text| id(Some(text)).transpose()).collect()
}

/// Asks the person something. The answer comes as a message.
pub fn ask_user(
    office: &Office,
    caller: &Caller,
    question: &str,
    op_id: Option<String>,
) -> Result<Vec<Receipt>> {
    if caller.who == Who::Person {
        return Err(Error::usage("you are the person", "only agents ask"));
    }
    let letter = Letter {
        to: crate::model::ids::USER.to_owned(),
        text: question.to_owned(),
        priority: Priority::High,
        op_id,
        ..Letter::default()
    };
    send(office, caller, &letter)
}
