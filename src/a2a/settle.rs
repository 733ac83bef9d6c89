//! What follows from the end of a task for those that depend on it: they become ready, are rejected, or go on waiting.

use super::tasks::{Held, Hold, Tasks};
use super::{Result, ready};
use crate::model::a2a::TaskState;
use crate::model::ids::{Party, TaskId};
use crate::model::work::Work;
use crate::rules::work::{Standing, standing};
use crate::tools::file;
use std::time::Duration;

/// How long it waits for somebody who is at work on a task that depends on the ended one.
const LIMIT: Duration = Duration::from_secs(10);

impl Tasks {
    /// How `work` stands to those it depends on, by their journals. No lock is needed: COMPLETED is for good, and whatever is not
    /// may be looked at again.
    pub(super) fn standing(&self, work: &Work) -> Result<Standing> {
        let mut states = Vec::with_capacity(work.spec.depends_on.len());
        for id in &work.spec.depends_on {
            let state = match self.read(*id) {
                Ok(work) => work.map_or(TaskState::Submitted, |work| work.state),
                // Not completed, as far as anybody can tell.
                Err(error) if error.is_damaged_task() => TaskState::Submitted,
                Err(error) => return Err(error),
            };
            states.push((*id, state));
        }
        Ok(standing(work.spec.on_failed_dependency, &states))
    }

    /// Puts a task that nobody holds where it is found: among what is ready, or among what waits. Whoever calls holds its lock.
    /// Returns what it has to be rejected for.
    pub(super) fn place(&self, work: &Work) -> Result<Option<(TaskId, TaskState)>> {
        let id = work.spec.id;
        let mut now = self.standing(work)?;
        if let Standing::Waits(open) = &now {
            for dependency in open {
                file::with_dir(&self.copies.waits(*dependency, id), file::mark)?;
            }
            // One that ended before its entry was there has not seen it.
            now = self.standing(work)?;
        }
        match now {
            Standing::Ready => ready::add(&self.copies, work).map(|()| None),
            Standing::Waits(_) => Ok(None),
            Standing::Rejected(because, state) => Ok(Some((because, state))),
        }
    }

    /// Looks at all that wait for the task `first`, which is at its end, and at what follows from that.
    pub(super) fn settle(&self, first: TaskId) -> Result<()> {
        let mut ended = vec![first];
        let mut marks: Vec<(Party, Work)> = Vec::new();
        while let Some(id) = ended.pop() {
            let dir = self.copies.waiting_for(id);
            for name in file::names(&dir)?.unwrap_or_default() {
                let Some(waiting) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
                if let Some(mark) = self.settle_one(id, waiting)? {
                    ended.push(waiting);
                    marks.push(mark);
                }
            }
            file::remove_empty_dir(&dir)?;
        }
        for (hand, work) in marks {
            self.unmark(&work, &hand)?;
        }
        Ok(())
    }

    /// Looks at `waiting`, which waits for `ended`. If it is rejected, others may wait for it; the mark that stays until they were
    /// looked at is returned.
    fn settle_one(&self, ended: TaskId, waiting: TaskId) -> Result<Option<(Party, Work)>> {
        let entry = self.copies.waits(ended, waiting);
        let mut held = match self.hold(waiting, Some(LIMIT)) {
            Ok(Hold::Task(held)) => *held,
            Ok(Hold::Busy) => return Ok(None),
            Ok(Hold::None) => {
                self.unless_created(waiting, || Ok(file::remove(&entry).map(drop)?))?;
                return Ok(None);
            }
            Err(error) if error.is_damaged_task() => {
                tracing::warn!(task = %waiting, %error, "nobody can tell whether it is ready");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        if held.work.state != TaskState::Submitted || held.work.newer {
            file::remove(&entry)?;
            return Ok(None);
        }
        let mut rejected = None;
        match self.standing(&held.work)? {
            Standing::Ready => {
                ready::add(&self.copies, &held.work)?;
                self.tell_feed(&held.work, "ready")?;
            }
            // It is held until somebody takes it back.
            Standing::Waits(open) if open.contains(&ended) => return Ok(None),
            Standing::Waits(_) => {}
            Standing::Rejected(because, state) => {
                rejected = Some(self.reject_one(&mut held, because, state)?);
            }
        }
        file::remove(&entry)?;
        Ok(rejected)
    }

    fn reject_one(&self, held: &mut Held, because: TaskId, state: TaskState) -> Result<(Party, Work)> {
        let entry = super::tasks::rejected(&held.work, because, state)?;
        let hand = held.work.created_by.clone();
        let hand = self.commit(held, &hand, None, None, entry)?;
        self.copy(held, Some("ended"))?;
        Ok((hand, held.work.clone()))
    }
}
