//! Finding what the dead have left: holders that are gone or have not renewed their lease, and changes that were cut off.

use super::tasks::{Held, Hold, Listing, Tasks, last_entry};
use super::{Result, leases, ready, worker};
use crate::model::a2a::TaskState;
use crate::model::ids::{Party, Project, TaskId};
use crate::model::places::Places;
use crate::model::work::{After, Holder, TaskEntry};
use crate::rules::work::{Request, Verdict, decide};
use crate::tools::{clock, file, lock};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How long after somebody looked nobody looks again, in milliseconds.
const EVERY: i64 = 1000;

/// Until when nobody needs to look again, in milliseconds since the boot: what this process knows of it without asking.
#[derive(Debug, Clone, Default)]
pub(super) struct Looked(Arc<AtomicU64>);

impl Looked {
    fn is_due(&self) -> bool {
        clock::boot_millis() >= self.0.load(Ordering::Relaxed)
    }

    /// Somebody looked so long ago.
    fn note(&self, age: i64) {
        let left = u64::try_from(EVERY.saturating_sub(age)).unwrap_or(0);
        self.0.store(clock::boot_millis().saturating_add(left), Ordering::Relaxed);
    }
}

/// What was found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reaped {
    /// Tasks taken from their holders.
    pub requeued: usize,
    /// Tasks whose copies were made whole.
    pub mended: usize,
}

impl Tasks {
    /// Begins the leases of all that `name` holds anew; how many. Whatever somebody is changing at this moment gets a new one
    /// anyway.
    pub fn renew(&self, name: &Party) -> Result<usize> {
        let mut renewed = 0;
        for id in self.marked(name)? {
            renewed += usize::from(leases::renew(&self.copies, id)?);
        }
        Ok(renewed)
    }

    /// The ids below the name in `claimed/`.
    fn marked(&self, name: &Party) -> Result<Vec<TaskId>> {
        let names = file::names(&self.copies.claimed_by(name))?.unwrap_or_default();
        Ok(names.into_iter().filter_map(|name| name.to_str()?.parse().ok()).collect())
    }

    /// Looks for holders that are gone if nobody did within the last second. What cannot be found out is for the next one.
    pub fn reap_if_due(&self) {
        if !self.looked.is_due() {
            return;
        }
        let path = self.copies.reaped();
        let due = || -> Result<bool> {
            let age = file::modified(&path)?.map(|then| clock::now().as_millis() - then.as_millis());
            let fresh = age.filter(|age| (0..EVERY).contains(age));
            if let Some(age) = fresh {
                self.looked.note(age);
            }
            Ok(fresh.is_none())
        };
        let reap = || -> Result<Reaped> {
            if !due()? {
                return Ok(Reaped::default());
            }
            let Some(_one) = lock::try_guard(&path)? else { return Ok(Reaped::default()) };
            file::touch(&path)?;
            self.reap()
        };
        if let Err(error) = reap() {
            tracing::warn!(%error, "could not look for holders that are gone");
        }
    }

    /// Takes tasks from holders that are gone, and finishes changes that were cut off.
    pub fn reap(&self) -> Result<Reaped> {
        let mut reaped = Reaped::default();
        // Asked once for each, however much it holds.
        let mut known: BTreeMap<(Party, i32), bool> = BTreeMap::new();
        let mut lives = |name: &Party, pid| -> Result<bool> {
            let asked = (name.clone(), pid);
            if let Some(lives) = known.get(&asked) {
                return Ok(*lives);
            }
            let lives = worker::lives(&self.places, &self.project, name, pid)?;
            known.insert(asked, lives);
            Ok(lives)
        };
        let now = clock::boot_millis();
        for name in file::names(&self.copies.claimed())?.unwrap_or_default() {
            let Some(name) = name.to_str().and_then(|name| name.parse::<Party>().ok()) else { continue };
            let ids = self.marked(&name)?;
            if ids.is_empty() {
                // Whoever claims something at this moment makes it again.
                file::remove_empty_dir(&self.copies.claimed_by(&name))?;
            }
            for id in ids {
                let lease = leases::read(&self.copies, id)?.filter(|l| l.over(&self.boot, now).is_none());
                let whole = match lease {
                    None => false,
                    Some(lease) => lease.pid.map_or(Ok(true), |pid| lives(&name, pid))?,
                };
                if !whole {
                    match self.look_at(id, &name) {
                        Ok(one) => {
                            reaped.requeued += one.requeued;
                            reaped.mended += one.mended;
                        }
                        // One that is damaged or held up harms no other.
                        Err(error) => tracing::warn!(task = %id, %error, "could not be looked at"),
                    }
                }
            }
        }
        Ok(reaped)
    }

    /// Looks at the task `id` closely, below the name `hand` in `claimed/`: takes it from a holder that is gone, and makes its copies
    /// whole if they are not. Passes it over if somebody is at work on it.
    pub(super) fn look_at(&self, id: TaskId, hand: &Party) -> Result<Reaped> {
        let held = match self.hold(id, None)? {
            Hold::Task(held) => *held,
            Hold::Busy => return Ok(Reaped::default()),
            Hold::None => {
                let mark = self.copies.claim(hand, id);
                if file::is_there(&mark)? {
                    self.unless_created(id, || Ok(file::remove(&mark).map(drop)?))?;
                }
                return Ok(Reaped::default());
            }
        };
        if let Some(holder) = held.work.holder.clone()
            && let Some(after) = self.gone(id, &holder)?
        {
            let wish = Request::Requeue { generation: held.work.generation, after };
            if let Verdict::Write(entry) = decide(&held.work, &holder.name, wish)? {
                let work = self.write(held, &holder.name, None, None, entry)?;
                if holder.name != *hand {
                    // Somebody else's mark brought us here, and everything is whole now.
                    self.unmark(&work, hand)?;
                }
            }
            return Ok(Reaped { requeued: 1, mended: 0 });
        }
        let whole = match &held.work.holder {
            Some(holder) => holder.name == *hand && leases::read(&self.copies, id)?.is_some(),
            None => !file::is_there(&self.copies.claim(hand, id))?,
        };
        if whole {
            return Ok(Reaped::default());
        }
        self.mend(held, hand, true)?;
        Ok(Reaped { requeued: 0, mended: 1 })
    }

    /// Why the claim of `holder` on the task `id` does not hold any more.
    pub(super) fn gone(&self, id: TaskId, holder: &Holder) -> Result<Option<After>> {
        if holder.boot != self.boot {
            return Ok(Some(After::Reboot));
        }
        if let Some(pid) = holder.pid
            && !worker::lives(&self.places, &self.project, &holder.name, pid)?
        {
            return Ok(Some(After::OwnerGone));
        }
        let lease = leases::read(&self.copies, id)?;
        Ok(lease.and_then(|lease| lease.over(&self.boot, clock::boot_millis())))
    }

    /// Makes the copies of a task whole, whatever is missing of them, and takes the mark of `hand` away. Tells of the last change again,
    /// if `loud`: whoever died may not have.
    pub(super) fn mend(&self, mut held: Held, hand: &Party, loud: bool) -> Result<()> {
        held.listed = Listing::Perhaps;
        let work = &held.work;
        let id = work.spec.id;
        let what = loud.then(|| last_entry(&held));
        match &work.holder {
            Some(holder) => self.mark_claim(id, holder)?,
            None => leases::end(&self.copies, id)?,
        }
        if work.state == TaskState::Submitted {
            ready::remove(&self.copies, work)?;
            if let Some((because, state)) = self.place(work)? {
                let rejected = self.reject(held, because, state)?;
                return self.unmark(&rejected, hand);
            }
        }
        self.follow(held, hand, what).1
    }

    /// Makes the copies of the task `id` from its journal, when all of them are made again.
    pub(super) fn mend_quietly(&self, id: TaskId, held: Held) -> Result<()> {
        let Some(holder) = held.work.holder.clone() else {
            let hand = held.work.created_by.clone();
            return self.mend(held, &hand, false);
        };
        let Some(after) = self.gone(id, &holder)? else { return self.mend(held, &holder.name, false) };
        file::with_dir(&self.copies.claim(&holder.name, id), file::mark)?;
        let generation = held.work.generation;
        let by = holder.name.clone();
        self.write(held, &by, None, None, TaskEntry::Requeued { generation, after }).map(drop)
    }
}

/// Gives back what `party` has claimed, if the one who had that name is gone: whoever has it next is another one, and holds nothing of it.
pub fn give_back(places: &Places, project: &Project, party: &Party) -> Result<()> {
    let claimed = file::names(&places.copies(project).claimed_by(party))?;
    if claimed.is_none_or(|claimed| claimed.is_empty()) {
        return Ok(());
    }
    Tasks::open(places, project)?.reap().map(drop)
}
