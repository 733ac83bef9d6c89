//! Mail: an inbox per agent, other worker and person of a project.
//!
//! The journal of an inbox is the truth, and an append to it is what happens. Under the root lies a copy of each message that is not
//! acknowledged, posted after the append, to be woken by. A copy may be missing or be there in vain after a crash or a
//! wiped root: whoever reads mends that. What was appended by somebody who was killed before the copy was posted is found by
//! the next look at the journal.
//!
//! A `Mail` remembers what it has read of each inbox, so that a send costs one append and one rename however much is in
//! there. That is only ever a beginning of the journal, and never believed of another one that took its place.

use super::feed::Feed;
use super::watch::Watch;
use super::{Result, look, names};
use crate::model::a2a::{Message, Role};
use crate::model::feed::Kind;
use crate::model::ids::{AgentId, Party, ProcessId, Project, Session};
use crate::model::mail::{
    DeadLetter, Draft, Envelope, Given, How, Inbox, Letter, MailEntry, MailId, MailRecord, Priority, Receipt,
    VERSION,
};
use crate::model::places::{Copies, Places};
use crate::rules::mail::{self as rules, Reader, Refused};
use crate::tools::journal::{self, News, Visit, Visitor};
use crate::tools::lock::{self, Held};
use crate::tools::{clock, file, process};
use std::collections::{BTreeSet, HashMap};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long one who holds an inbox is waited for: each does so for microseconds, or for one sync while it is written anew.
const LIMIT: Duration = Duration::from_secs(10);
/// How many inboxes are kept open.
const OPEN: usize = 32;

/// The inboxes of one project, for this process: as long-lived as it is.
#[derive(Debug)]
pub struct Mail {
    places: Places,
    project: Project,
    copies: Copies,
    feed: Feed,
    known: Mutex<HashMap<PathBuf, Known>>,
}

/// What is known of an inbox.
#[derive(Debug)]
struct Known {
    visitor: Visitor<MailRecord>,
    inbox: Inbox,
}

/// An inbox that is locked.
struct Desk<'v> {
    party: Party,
    path: &'v Path,
    visit: Visit<'v, MailRecord>,
    inbox: &'v mut Inbox,
}

impl Mail {
    /// The inboxes of `project`.
    pub fn new(places: &Places, project: &Project) -> Self {
        let known = Mutex::default();
        let (copies, feed) = (places.copies(project), Feed::new(places, project));
        Self { places: places.clone(), project: project.clone(), copies, feed, known }
    }

    /// Sends `draft` to each of its readers, one after the other. A receipt says that the message is on record; one that was
    /// there already is not sent again. If it fails in between, sending the same once more sends the rest.
    ///
    /// # Errors
    /// [`Refused`], before anything is sent.
    pub fn send(&self, draft: &Draft) -> Result<Vec<Receipt>> {
        let length = serde_json::to_vec(&draft.message)?.len();
        rules::check(draft, length)?;
        let at = clock::now();
        let home = draft.home.as_ref().unwrap_or(&self.project);
        let (thread, hops) = if draft.reply_to.is_some() || draft.thread.is_some() {
            let own = self.places.inbox(home, &draft.from);
            self.looking(&own, |inbox| rules::thread(draft, inbox))??
        } else {
            rules::thread(draft, &Inbox::default())?
        };
        let trust = rules::trust(&draft.from);
        if trust == crate::model::mail::Trust::Agent {
            self.pace(home, &draft.from, at.as_millis())?;
        }
        let readers: BTreeSet<&Party> = draft.to.iter().collect();
        let mut receipts = Vec::new();
        for to in readers {
            let envelope = Envelope {
                id: rules::id_for(&draft.from, to, &draft.message),
                from: draft.from.clone(),
                to: to.clone(),
                via: draft.via.clone(),
                trust,
                thread,
                reply_to: draft.reply_to,
                hops,
                priority: draft.priority,
                ack_required: draft.ack_required,
                message: draft.message.clone(),
                at,
            };
            let receipt = self.deliver(to, envelope)?;
            if let Some(seq) = receipt.seq {
                // Of one that was there as well: who sent it first may have been killed before saying so.
                let (inbox, from) = (to.clone(), draft.from.clone());
                self.feed.try_say(Kind::Message { inbox, seq, id: receipt.id, from });
            }
            receipts.push(receipt);
        }
        if draft.durable {
            for receipt in &mut receipts {
                self.sync(&receipt.to)?;
                receipt.durable = true;
            }
        }
        Ok(receipts)
    }

    fn deliver(&self, to: &Party, envelope: Envelope) -> Result<Receipt> {
        let id = envelope.id;
        self.at(to, |desk| {
            let duplicate = rules::is_known(desk.inbox, id);
            if !duplicate {
                if desk.visit.length() > rules::FULL {
                    return Err(Refused::Full { to: to.clone() }.into());
                }
                let json = desk.write(MailEntry::Delivered { envelope: Box::new(envelope) })?;
                self.post(to, desk.inbox.seq, id, &json);
            }
            let seq = desk.inbox.places.get(&id).copied();
            if let Some(letter) = seq.filter(|_| duplicate).and_then(|seq| desk.inbox.letters.get(&seq)) {
                // Whoever sent it first may have been killed before its reader was woken.
                self.mend(to, letter);
            }
            Ok(Receipt { id, to: to.clone(), seq, durable: false, duplicate })
        })
    }

    /// What `reader` is to read, at most `max` messages, put on record as handed to the process `by`: until they are
    /// acknowledged, no other process gets them while that one lives, and it gets them again.
    pub fn read(&self, reader: &Party, by: &ProcessId, max: usize) -> Result<Vec<Given>> {
        if !self.has_inbox(reader)? {
            return Ok(Vec::new());
        }
        self.at(reader, |desk| {
            let found = rules::unread(desk.inbox, Some(by), lives);
            let ids: Vec<MailId> = found.iter().take(max).map(|letter| letter.envelope.id).collect();
            if !ids.is_empty() {
                desk.write(MailEntry::Taken { ids: ids.clone(), by: by.clone(), attempt: None })?;
            }
            self.tidy(reader, desk.inbox)?;
            let places = ids.iter().filter_map(|id| desk.inbox.places.get(id));
            let letters = places.filter_map(|seq| desk.inbox.letters.get(seq));
            Ok(letters.map(|letter| given(letter, letter.attempts)).collect())
        })
    }

    /// What [`Self::read`] would hand out next, with nothing put on record.
    pub fn peek(&self, reader: &Party, max: usize) -> Result<Vec<Given>> {
        self.looking(&self.places.inbox(&self.project, reader), |inbox| {
            let found = rules::unread(inbox, None, lives);
            found.into_iter().take(max).map(|letter| given(letter, letter.attempts + 1)).collect()
        })
    }

    /// How many messages wait for `reader`: those in the hands of a process that lives left out.
    pub fn unread_count(&self, reader: &Party) -> Result<usize> {
        let path = self.places.inbox(&self.project, reader);
        self.looking(&path, |inbox| rules::unread(inbox, None, lives).len())
    }

    /// How many messages of `reader` are not acknowledged, in whose hands they may be, and not given up: as many as have copies.
    pub(super) fn waiting_count(&self, reader: &Party) -> Result<u64> {
        let path = self.places.inbox(&self.project, reader);
        self.looking(&path, |inbox| {
            inbox.letters.values().filter(|letter| letter.dead.is_none()).count() as u64
        })
    }

    /// Those of `ids` that `reader` has not acknowledged.
    pub fn held(&self, reader: &Party, ids: &[MailId]) -> Result<Vec<Envelope>> {
        self.looking(&self.places.inbox(&self.project, reader), |inbox| {
            let seqs = ids.iter().filter_map(|id| inbox.places.get(id));
            seqs.filter_map(|seq| inbox.letters.get(seq)).map(|letter| (*letter.envelope).clone()).collect()
        })
    }

    /// Puts on record that these messages were read; how many of them were not acknowledged before.
    pub fn ack(&self, reader: &Party, ids: &[MailId], how: How) -> Result<usize> {
        if !self.has_inbox(reader)? {
            return Ok(0);
        }
        self.at(reader, |desk| {
            let there: BTreeSet<(u64, MailId)> =
                ids.iter().filter_map(|id| Some((*desk.inbox.places.get(id)?, *id))).collect();
            if there.is_empty() {
                return Ok(0);
            }
            let ids = there.iter().map(|(_, id)| *id).collect();
            desk.write(MailEntry::Acked { ids, how })?;
            for (seq, id) in &there {
                self.withdraw(reader, *seq, *id);
            }
            Ok(there.len())
        })
    }

    /// Puts on record that nobody will read what waits for `reader`, and why; how many messages that are. It is still there for
    /// a reader that comes back.
    pub fn bury(&self, reader: &Party, reason: &str) -> Result<usize> {
        if !self.has_inbox(reader)? {
            return Ok(0);
        }
        self.at(reader, |desk| {
            let unread = rules::unread(desk.inbox, None, lives);
            let fresh: Vec<(u64, MailId)> =
                unread.iter().filter(|l| l.dead.is_none()).map(|l| (l.seq, l.envelope.id)).collect();
            if fresh.is_empty() {
                return Ok(0);
            }
            let ids = fresh.iter().map(|(_, id)| *id).collect();
            desk.write(MailEntry::Dead { ids, reason: reason.to_owned() })?;
            for (seq, id) in &fresh {
                self.withdraw(reader, *seq, *id);
            }
            Ok(fresh.len())
        })
    }

    /// Puts on record that the one who had the name `reader` is gone, and why. What it has not acknowledged is a dead letter from now on:
    /// whoever has the name next does not get it, nor is it taken to know anything. `of` is the agent that it was: it can be
    /// given back to that one. Whoever wanted to know that it was read is told. How many messages that are.
    ///
    /// To be called before anybody else gets the name. Doing it twice does it once.
    pub fn close(&self, reader: &Party, of: Option<AgentId>, reason: &str) -> Result<usize> {
        if !self.has_inbox(reader)? {
            return Ok(0);
        }
        let path = self.places.inbox(&self.project, reader);
        let mut told: BTreeSet<MailId> = BTreeSet::new();
        loop {
            // Told before it is on record: whoever dies in between tells it again, under the same id.
            let waiting: Vec<Envelope> = self.looking(&path, |inbox| {
                let untold = inbox.letters.values().filter(|letter| !told.contains(&letter.envelope.id));
                untold.map(|letter| (*letter.envelope).clone()).collect()
            })?;
            for envelope in waiting {
                told.insert(envelope.id);
                if envelope.ack_required
                    && envelope.from != *reader
                    && let Err(error) = self.tell_dead(reader, &envelope, reason)
                {
                    // It is dead all the same.
                    tracing::warn!(message = %envelope.id, %error, "its sender could not be told that nobody will read it");
                }
            }
            let closed = self.at(reader, |desk| {
                if desk.inbox.letters.values().any(|letter| !told.contains(&letter.envelope.id)) {
                    return Ok(None);
                }
                if rules::is_fresh(desk.inbox) {
                    return Ok(Some(0));
                }
                let left: Vec<(u64, MailId)> =
                    desk.inbox.letters.values().map(|letter| (letter.seq, letter.envelope.id)).collect();
                desk.write(MailEntry::Closed { of, reason: reason.to_owned() })?;
                for (seq, id) in &left {
                    self.withdraw(reader, *seq, *id);
                }
                Ok(Some(left.len()))
            })?;
            if let Some(count) = closed {
                self.sync(reader)?;
                return Ok(count);
            }
        }
    }

    /// Tells the sender of `envelope` that nobody will read it.
    fn tell_dead(&self, reader: &Party, envelope: &Envelope, reason: &str) -> Result<()> {
        let words = format!("{reader} will not read this: {reason}");
        let mut message = Message::text(format!("dead-{}", envelope.id), Role::Agent, words);
        message.task_id.clone_from(&envelope.message.task_id);
        let draft = Draft {
            home: Some(self.project.clone()),
            thread: Some(envelope.thread),
            reply_to: Some(envelope.id),
            priority: Priority::Low,
            durable: true,
            ..Draft::new(reader.clone(), envelope.from.clone(), message)
        };
        let home = home_of(&self.places, &self.project, &envelope.from)?;
        Self::new(&self.places, &home).send(&draft).map(drop)
    }

    /// Delivers to `reader` what the agent `of`, which comes back under that name, had not acknowledged when it went; how many messages
    /// that are. Doing it twice does it once.
    pub fn give_back(&self, of: AgentId, reader: &Party) -> Result<usize> {
        self.take_out(of, |envelope| {
            let (id, from) = (envelope.id, envelope.from.clone());
            let receipt = self.deliver(reader, Envelope { to: reader.clone(), ..envelope })?;
            if let Some(seq) = receipt.seq {
                self.feed.try_say(Kind::Message { inbox: reader.clone(), seq, id, from });
            }
            self.sync(reader)
        })
    }

    /// Forgets what the agent `of` left, which will not come back; how many messages that were.
    pub fn forget(&self, of: AgentId) -> Result<usize> {
        self.take_out(of, |_| Ok(()))
    }

    /// Takes what the agent `of` left out of the inboxes that hold it, each message after `what` was done with it.
    fn take_out(&self, of: AgentId, mut what: impl FnMut(Envelope) -> Result<()>) -> Result<usize> {
        let mut count = 0;
        for party in self.parties()? {
            let path = self.places.inbox(&self.project, &party);
            let left = match self.looking(&path, |inbox| rules::left_by(inbox, of)) {
                Ok(left) if left.is_empty() => continue,
                Ok(left) => left,
                // One that cannot be read is told of by whoever reads it, and holds nobody up.
                Err(error) if error.is_damage() => continue,
                Err(error) => return Err(error),
            };
            let ids: Vec<MailId> = left.iter().map(|envelope| envelope.id).collect();
            count += ids.len();
            left.into_iter().try_for_each(&mut what)?;
            self.at(&party, |desk| desk.write(MailEntry::Moved { ids }).map(drop))?;
            self.sync(&party)?;
        }
        Ok(count)
    }

    /// The messages of all inboxes that nobody will read: because that is on record, or because their reader is at its end.
    pub fn dead_letters(&self) -> Result<Vec<DeadLetter>> {
        let now = clock::now();
        let mut found = Vec::new();
        for party in self.parties()? {
            let ended = rules::nobody_reads(self.reader(&party)?);
            let path = self.places.inbox(&self.project, &party);
            found.extend(self.looking(&path, |inbox| {
                let left = inbox.closed.iter().flat_map(|closed| {
                    closed.letters.iter().map(|letter| DeadLetter {
                        reason: closed.reason.clone(),
                        age_ms: now.millis_since(letter.envelope.at),
                        seq: letter.seq,
                        envelope: (*letter.envelope).clone(),
                    })
                });
                let dead = inbox.letters.values().filter_map(|letter| {
                    let on_record = letter.dead.as_ref().map(|(reason, _)| reason.clone());
                    Some(DeadLetter {
                        reason: on_record.or_else(|| ended.clone())?,
                        age_ms: now.millis_since(letter.envelope.at),
                        seq: letter.seq,
                        envelope: (*letter.envelope).clone(),
                    })
                });
                left.chain(dead).collect::<Vec<_>>()
            })?);
        }
        Ok(found)
    }

    /// Everybody who has an inbox.
    pub fn parties(&self) -> Result<Vec<Party>> {
        let names = file::names(&self.places.mail(&self.project))?.unwrap_or_default();
        let mut found: Vec<Party> =
            names.iter().filter_map(|name| name.to_str()).filter_map(|name| name.parse().ok()).collect();
        found.sort();
        Ok(found)
    }

    /// Makes everything in the inbox of `reader` survive a power cut.
    pub fn sync(&self, reader: &Party) -> Result<()> {
        let path = self.places.inbox(&self.project, reader);
        let Some(journal) = file::open(&path)? else { return Ok(()) };
        journal.sync_data().map_err(|source| journal::Error::Write { path, source })?;
        // The name of a new one as well, and that of the directory of the first one.
        let dir = self.places.mail(&self.project);
        file::sync_dir(&dir)?;
        Ok(dir.parent().map_or(Ok(()), file::sync_dir)?)
    }

    /// The directory that a message for `reader` rings in, made if it is not there: to be watched before the inbox is looked at.
    pub fn bell(&self, reader: &Party) -> Result<PathBuf> {
        let dir = self.copies.mail(reader);
        if !file::is_dir(&dir)? {
            file::make_dirs(&dir)?;
        }
        Ok(dir)
    }

    /// The bell of `reader`: for one who waits for messages again and again.
    pub fn listen(&self, reader: &Party) -> Bell {
        Bell { reader: reader.clone(), watch: Watch::new() }
    }

    /// Waits until something is there for `reader` to read, or until `deadline`; how much that is.
    pub async fn wait(&self, reader: &Party, deadline: Option<Instant>) -> Result<usize> {
        self.listen(reader).rung(self, deadline).await
    }

    /// Makes the copies of all inboxes again, for a root that was wiped. A damaged one harms no other: it has none until its
    /// journal is put aside.
    pub fn rebuild(&self) -> Result<()> {
        for party in self.parties()? {
            match self.at(&party, |desk| self.tidy(&party, desk.inbox)) {
                Err(error) if error.is_damage() => {
                    tracing::warn!(inbox = %party, %error, "it has no copies");
                }
                tidied => tidied?,
            }
        }
        Ok(())
    }

    /// Puts the damaged inbox of `reader` aside, and everything of it that can still be believed in its place; where the old one
    /// is. `None` if it is not damaged.
    pub fn quarantine(&self, reader: &Party) -> Result<Option<PathBuf>> {
        let path = self.places.inbox(&self.project, reader);
        let Err(error) = self.at(reader, |_| Ok(())) else { return Ok(None) };
        if !error.is_damage() {
            return Err(error);
        }
        // Something that is no file cannot be locked, and nobody else can write to it either.
        let guard = lock::guard(&path, LIMIT);
        let mut salvaged = journal::salvage::<MailRecord>(&path)?;
        // What the journal lost may have its copy, and had its place; at worst it was read before.
        let copied = self.copied(reader)?.into_iter();
        salvaged.extend(copied.filter(
            |record| matches!(&record.entry, MailEntry::Delivered { envelope } if envelope.to == *reader),
        ));
        salvaged.sort_by_key(|record| record.seq);
        let inbox = rules::replay(salvaged.into_iter().map(|record| (record, 0)));
        let kept = file::put_aside(&path)?;
        let mut records = rules::compact(&inbox, clock::now());
        let seq = records.last().map_or(0, |record| record.seq) + 1;
        let why = error.to_string();
        let entry = MailEntry::Quarantined { why, kept: kept.clone() };
        records.push(MailRecord { v: VERSION, seq, at: clock::now(), entry });
        journal::rewrite(&path, &records)?;
        drop(guard);
        Ok(Some(kept))
    }

    /// Does `what` at the locked inbox of `party`.
    fn at<T>(&self, party: &Party, what: impl FnOnce(&mut Desk<'_>) -> Result<T>) -> Result<T> {
        let path = self.places.inbox(&self.project, party);
        let mut known = self.remembered(&path);
        let done = Self::enter(&mut known, party, &path, what);
        // After an error nothing of what was read is believed.
        if done.is_ok() {
            self.remember(path, known);
        }
        done
    }

    fn enter<T>(
        known: &mut Known,
        party: &Party,
        path: &Path,
        what: impl FnOnce(&mut Desk<'_>) -> Result<T>,
    ) -> Result<T> {
        let Known { visitor, inbox } = known;
        if visitor.is_first()
            && let Some(dir) = path.parent()
            && !file::is_dir(dir)?
        {
            file::make_dirs(dir)?;
        }
        let (visit, news) = visitor.enter(LIMIT)?;
        take_in(inbox, news);
        let mut desk = Desk { party: party.clone(), path, visit, inbox };
        let done = what(&mut desk)?;
        desk.leave()?;
        Ok(done)
    }

    /// What `look` sees in the inbox at `path`; nothing is made or changed.
    fn looking<T>(&self, path: &Path, look: impl FnOnce(&Inbox) -> T) -> Result<T> {
        let mut known = self.remembered(path);
        let Some(news) = known.visitor.glance(LIMIT)? else { return Ok(look(&Inbox::default())) };
        take_in(&mut known.inbox, news);
        let seen = look(&known.inbox);
        self.remember(path.to_owned(), known);
        Ok(seen)
    }

    fn has_inbox(&self, party: &Party) -> Result<bool> {
        Ok(file::ownership(&self.places.inbox(&self.project, party))?.is_some())
    }

    fn remembered(&self, path: &Path) -> Known {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(path).unwrap_or_else(|| Known { visitor: Visitor::new(path), inbox: Inbox::default() })
    }

    fn remember(&self, path: PathBuf, known: Known) {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= OPEN {
            all.clear();
        }
        all.insert(path, known);
    }

    /// What is known about `party`.
    fn reader(&self, party: &Party) -> Result<Reader> {
        let Party::Worker(name) = party else { return Ok(Reader::Person) };
        if let Some(named) = names::find(&self.places, name)? {
            // One that cannot be looked at may come to read it.
            let state = look::look(&self.places, &named).ok().flatten().map(|report| report.state);
            return Ok(Reader::Agent(state.unwrap_or(crate::model::agent::State::Unknown)));
        }
        let held = lock::probe(&self.places.worker_lock(&self.project, name))?;
        Ok(Reader::Worker { lives: matches!(held, Some(Held::Yes(_))) })
    }

    /// Puts on record that `from` sends something now, if it may.
    fn pace(&self, home: &Project, from: &Party, now: i64) -> Result<()> {
        let path = self.places.copies(home).sent(from);
        let opened = match lock::guard(&path, LIMIT) {
            Err(lock::Error::File(e)) if e.source.kind() == std::io::ErrorKind::NotFound => {
                file::make_dirs(path.parent().unwrap_or(&path))?;
                lock::guard(&path, LIMIT)
            }
            opened => opened,
        };
        let mut held = opened?;
        let mut text = String::new();
        // What is no text of ours limits nobody.
        held.read_to_string(&mut text).ok();
        let sent: Vec<i64> = text.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect();
        let sent = rules::pace(from, &sent, now)?;
        let text: String = sent.iter().flat_map(|at| [at.to_string(), "\n".to_owned()]).collect();
        let write =
            held.set_len(0).and_then(|()| held.rewind()).and_then(|()| held.write_all(text.as_bytes()));
        Ok(write.map_err(|source| file::Error { action: "write", path, source })?)
    }

    /// Posts the copy of a message, which wakes its reader. It is on record already, so that it could not be posted is no reason
    /// to say that it was not sent: the reader finds it when it looks.
    fn post(&self, to: &Party, seq: u64, id: MailId, json: &[u8]) {
        let path = self.copies.letter(to, seq, id);
        let posted = match file::post(&path, json) {
            Err(e) if e.source.kind() == std::io::ErrorKind::NotFound => {
                file::make_dirs(&self.copies.mail(to)).and_then(|()| file::post(&path, json))
            }
            posted => posted,
        };
        if let Err(error) = posted {
            tracing::warn!(%error, "a message was not announced");
        }
    }

    /// Posts the copy of a message that has none.
    fn mend(&self, to: &Party, letter: &Letter) {
        let path = self.copies.letter(to, letter.seq, letter.envelope.id);
        if letter.dead.is_some() || matches!(file::ownership(&path), Ok(Some(_))) {
            return;
        }
        let entry = MailEntry::Delivered { envelope: letter.envelope.clone() };
        let record = MailRecord { v: VERSION, seq: letter.seq, at: letter.envelope.at, entry };
        if let Ok(mut json) = serde_json::to_vec(&record) {
            json.push(b'\n');
            self.post(to, letter.seq, letter.envelope.id, &json);
        }
    }

    fn withdraw(&self, reader: &Party, seq: u64, id: MailId) {
        if let Err(error) = file::remove(&self.copies.letter(reader, seq, id)) {
            tracing::warn!(%error, "a message that was read is still announced");
        }
    }

    /// Makes the copies of a locked inbox what they should be.
    fn tidy(&self, party: &Party, inbox: &Inbox) -> Result<()> {
        let dir = self.copies.mail(party);
        let mut there = BTreeSet::new();
        for name in file::names(&dir)?.unwrap_or_default() {
            let place = name.to_str().and_then(placed);
            let letter = place.and_then(|(seq, id)| inbox.letters.get(&seq).filter(|l| l.envelope.id == id));
            match letter.filter(|letter| letter.dead.is_none()) {
                Some(letter) => drop(there.insert(letter.seq)),
                // Not ours, or of somebody who was killed while writing it: nobody else writes here while we hold the inbox.
                None => drop(file::remove(&dir.join(&name))),
            }
        }
        for letter in inbox.letters.values().filter(|letter| !there.contains(&letter.seq)) {
            self.mend(party, letter);
        }
        Ok(())
    }

    /// The messages of the copies of an inbox.
    fn copied(&self, party: &Party) -> Result<Vec<MailRecord>> {
        let dir = self.copies.mail(party);
        let mut names = file::names(&dir)?.unwrap_or_default();
        names.sort();
        let mut found = Vec::new();
        for name in names.iter().filter(|name| name.to_str().and_then(placed).is_some()) {
            let bytes = file::read(&dir.join(name))?.unwrap_or_default();
            found.extend(serde_json::from_slice::<MailRecord>(&bytes).ok());
        }
        Ok(found)
    }
}

/// What a message for a reader rings: nothing is asked again and again.
#[derive(Debug)]
pub struct Bell {
    reader: Party,
    watch: Watch,
}

impl Bell {
    /// Waits until something is there to read, or until `deadline`; how much that is.
    pub async fn rung(&mut self, mail: &Mail, deadline: Option<Instant>) -> Result<usize> {
        let dirs = [mail.bell(&self.reader)?];
        let look = || -> Result<_> {
            // First, so that nothing is between the bell and whoever waits for it.
            let count = mail.unread_count(&self.reader)?;
            if count == 0 {
                // Somebody may have wiped the root.
                mail.bell(&self.reader)?;
            }
            Ok(Some(count).filter(|count| *count > 0))
        };
        Ok(self.watch.until(&dirs, deadline, look).await?.unwrap_or(0))
    }
}

impl Desk<'_> {
    /// Appends `entry` to the inbox; the JSON of the record.
    fn write(&mut self, entry: MailEntry) -> Result<Vec<u8>> {
        let record = MailRecord { v: VERSION, seq: self.inbox.seq + 1, at: clock::now(), entry };
        let (json, bytes) = self.visit.append(&record)?;
        rules::fold(self.inbox, record, bytes);
        Ok(json)
    }

    /// Lets go of the inbox, and writes it anew first where too much in it is of no use any more.
    fn leave(self) -> Result<()> {
        if !rules::is_due(self.inbox) {
            return Ok(self.visit.leave()?);
        }
        let records = rules::compact(self.inbox, clock::now());
        let written = sweep(self.path, &self.party).and_then(|()| Ok(self.visit.replace(&records)?));
        // What was asked for is done and on record; the next one tries again.
        if let Err(error) = written {
            tracing::warn!(%error, inbox = %self.party, "an inbox could not be written anew");
        }
        Ok(())
    }
}

fn take_in(inbox: &mut Inbox, news: News<MailRecord>) {
    if news.anew {
        *inbox = Inbox::default();
    }
    for (record, bytes) in news.records {
        rules::fold(inbox, record, bytes);
    }
}

/// Removes what was left by somebody who was killed while writing the inbox at `path` anew, which needs its lock.
fn sweep(path: &Path, party: &Party) -> Result<()> {
    let dir = path.parent().unwrap_or(path);
    let begin = format!(".{party}.");
    for name in file::names(dir)?.unwrap_or_default() {
        if name.to_str().is_some_and(|name| name.starts_with(&begin)) {
            file::remove(&dir.join(name))?;
        }
    }
    Ok(())
}

/// What the name of a copy says.
pub(super) fn placed(name: &str) -> Option<(u64, MailId)> {
    let (seq, id) = name.strip_suffix(".json")?.split_once('-')?;
    Some((seq.parse().ok()?, id.parse().ok()?))
}

fn given(letter: &Letter, attempt: u32) -> Given {
    Given { seq: letter.seq, attempt, envelope: (*letter.envelope).clone() }
}

/// Whether what a process took is still in its hands. One that cannot be asked about may be at work.
fn lives(process: &ProcessId) -> bool {
    process::is_alive(process).unwrap_or(true)
}

/// Makes sure that whoever gets the name `session` now finds nothing in its inbox that was for somebody else: one that was cleaned, while
/// somebody sent to it, or a worker that is gone. A worker of that name that lives keeps what it has.
pub fn clear_for(places: &Places, project: &Project, session: &Session) -> Result<()> {
    let lives = matches!(lock::probe(&places.worker_lock(project, session))?, Some(Held::Yes(_)));
    if lives {
        return Ok(());
    }
    close_whole(places, project, session, None, "it was for another one of that name").map(drop)
}

/// Closes the inbox of `session`, which was the agent `of`, because that is cleaned; how much it had not read. One that is damaged is put
/// aside first.
pub fn close_cleaned(places: &Places, project: &Project, session: &Session, of: AgentId) -> Result<usize> {
    close_whole(places, project, session, Some(of), "its reader was cleaned")
}

fn close_whole(
    places: &Places,
    project: &Project,
    session: &Session,
    of: Option<AgentId>,
    reason: &str,
) -> Result<usize> {
    let (mail, reader) = (Mail::new(places, project), Party::Worker(session.clone()));
    match mail.close(&reader, of, reason) {
        Err(error) if error.is_damage() && mail.quarantine(&reader)?.is_some() => {
            mail.close(&reader, of, reason)
        }
        closed => closed,
    }
}

/// The project whose inbox of `party` is meant by somebody in `here`: that of the agent of this name, wherever it is, else `here` for
/// the person and for other workers of it.
pub fn home_of(places: &Places, here: &Project, party: &Party) -> Result<Project> {
    let Party::Worker(name) = party else { return Ok(here.clone()) };
    if let Some(named) = names::find(places, name)? {
        return Ok(named.project);
    }
    if file::ownership(&places.worker_lock(here, name))?.is_some() {
        return Ok(here.clone());
    }
    // Says which names are close.
    names::require(places, name.as_str()).map(|named| named.project)
}

#[cfg(test)]
#[path = "mail_tests.rs"]
mod tests;
