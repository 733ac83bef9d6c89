//! Claiming: of what is ready the highest priority first, then the oldest; what somebody else has locked is passed over.

use super::ready::Sign;
use super::tasks::{By, ClaimRequest, Hold, Listing, Tasks, as_then, holder};
use super::{Result, ready};
use crate::model::a2a::TaskState;
use crate::model::ids::TaskId;
use crate::model::work::Work;
use crate::rules::refusal::Refusal;
use crate::rules::work::{self as rules, Request, Standing, Verdict, decide};
use crate::tools::file;
use std::collections::BTreeSet;
use std::time::Duration;

/// How long a claim waits for somebody who is at work on the task.
const LIMIT: Duration = Duration::from_secs(10);
/// How long it waits for each of those that it passed over, if there was nothing else.
const LOOK_LIMIT: Duration = Duration::from_millis(100);
/// After so many entries in vain the index is listed anew: others are faster.
const STALE: u32 = 2;

/// What came of a look at one entry of the index.
enum Tried {
    /// It is ours.
    Ours(Box<Work>),
    /// It is nobody's to claim now; its entry is gone.
    Vain,
    /// It cannot be claimed by us now, and its entry stays.
    Passed,
}

impl Tasks {
    /// Claims a task: the given one, or the best that is ready; `None` if none is. Who claims what it holds gets it as it is.
    ///
    /// # Errors
    /// For a given one: [`Refusal::NoTask`], [`Refusal::Terminal`], [`Refusal::NotClaimable`],
    /// [`Refusal::DependenciesOpen`], [`Refusal::WrongRole`].
    pub fn claim(&self, request: &ClaimRequest) -> Result<Option<Work>> {
        self.build()?;
        self.reap_if_due();
        match request.id {
            Some(id) => self.claim_given(id, request).map(Some),
            None => match self.claimed_before(&request.by)? {
                Some(work) => Ok(Some(work)),
                None => self.claim_best(request),
            },
        }
    }

    /// The best task that somebody of `role` could claim now, if there is one. It may be somebody else's a moment later.
    pub fn claimable(&self, role: Option<&str>) -> Result<Option<TaskId>> {
        self.build()?;
        self.reap_if_due();
        ready::search(&self.copies, role, |entry| {
            let work = match self.read(entry.id) {
                Err(error) if error.is_damaged_task() => return Ok(None),
                read => read?,
            };
            let free = work.filter(|work| work.state == TaskState::Submitted && !work.newer);
            // Its entry may be there in vain.
            let Some(work) =
                free.filter(|work| work.spec.role.is_none() || work.spec.role.as_deref() == role)
            else {
                return Ok(None);
            };
            Ok(self.open_dependencies(&work)?.is_empty().then_some(entry.id))
        })
    }

    fn claim_given(&self, id: TaskId, request: &ClaimRequest) -> Result<Work> {
        self.look_at(id, &request.by.name)?;
        let Hold::Task(held) = self.hold(id, Some(LIMIT))? else { return Err(Refusal::NoTask { id }.into()) };
        let open = self.open_dependencies(&held.work)?;
        let wish = Request::Claim { holder: holder(request, &self.boot), role: request.role.clone(), open };
        // Whoever was gone meanwhile and claims by the same operation again does not have what that gave it.
        let lost = as_then(&held, &request.by).is_some_and(|then| rules::lost(&held.work, then.generation));
        if !lost {
            return self.change_held(*held, &request.by, wish);
        }
        let by = &request.by;
        match decide(&held.work, &by.name, wish)? {
            Verdict::Already => Ok(held.work),
            Verdict::Write(taken) => self.write(*held, &by.name, Some(&by.name), by.op.clone(), taken),
        }
    }

    /// What the same operation has claimed, if the name still holds it.
    fn claimed_before(&self, by: &By) -> Result<Option<Work>> {
        if by.op.is_none() {
            return Ok(None);
        }
        for name in file::names(&self.copies.claimed_by(&by.name))?.unwrap_or_default() {
            let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            if let Hold::Task(held) = self.hold(id, Some(LIMIT))?
                && let Some(then) = as_then(&held, by)
            {
                return Ok(Some(then));
            }
        }
        Ok(None)
    }

    fn claim_best(&self, request: &ClaimRequest) -> Result<Option<Work>> {
        let mut passed = BTreeSet::new();
        let mut crowd = false;
        loop {
            let mut vain = 0;
            let mut listed_anew = false;
            let found = ready::search(&self.copies, request.role.as_deref(), |entry| {
                if passed.contains(&entry.id) {
                    return Ok(None);
                }
                let tried = self.try_in_crowd(entry, request, crowd)?;
                // One who was alone has it at the first try.
                crowd = true;
                match tried {
                    Tried::Ours(work) => return Ok(Some(Some(work))),
                    Tried::Vain => vain += 1,
                    Tried::Passed => drop(passed.insert(entry.id)),
                }
                listed_anew = vain >= STALE;
                Ok(listed_anew.then_some(None))
            })?;
            match found {
                Some(Some(work)) => return Ok(Some(*work)),
                Some(None) => {}
                None => break,
            }
        }
        // Nothing else is there: whoever had one of these may only have looked.
        ready::search(&self.copies, request.role.as_deref(), |entry| {
            match self.try_claim(entry, request, Some(LOOK_LIMIT))? {
                Tried::Ours(work) => Ok(Some(*work)),
                Tried::Vain | Tried::Passed => Ok(None),
            }
        })
    }

    /// Where others claim as well, the entry is looked at before its task's lock is tried, which takes four calls. Whoever made a mark of
    /// it is most probably at work; should it have died, the last look of [`Self::claim_best`] finds the task free.
    fn try_in_crowd(&self, entry: &ready::Entry, request: &ClaimRequest, crowd: bool) -> Result<Tried> {
        let sign = if crowd { ready::sign(entry)? } else { Sign::Free };
        match sign {
            Sign::Free => self.try_claim(entry, request, None),
            Sign::Marked => Ok(Tried::Passed),
            Sign::Gone => Ok(Tried::Vain),
        }
    }

    fn try_claim(
        &self,
        entry: &ready::Entry,
        request: &ClaimRequest,
        limit: Option<Duration>,
    ) -> Result<Tried> {
        let mut held = match self.hold(entry.id, limit) {
            Ok(Hold::Task(held)) => *held,
            Ok(Hold::None) => {
                self.unless_created(entry.id, || Ok(file::remove(&entry.path).map(drop)?))?;
                return Ok(Tried::Vain);
            }
            Ok(Hold::Busy) => return Ok(Tried::Passed),
            Err(error) if error.is_damaged_task() || error.code() == "locked" => return Ok(Tried::Passed),
            Err(error) => return Err(error),
        };
        if held.work.state != TaskState::Submitted {
            file::remove(&entry.path)?;
            return Ok(Tried::Vain);
        }
        let open = self.open_dependencies(&held.work)?;
        if !open.is_empty() {
            // It waits again before it is no longer ready. What is to be rejected is, by whoever ended what it depends on.
            self.place(&held.work)?;
            file::remove(&entry.path)?;
            return Ok(Tried::Vain);
        }
        let wish = Request::Claim { holder: holder(request, &self.boot), role: request.role.clone(), open };
        match decide(&held.work, &request.by.name, wish) {
            Ok(Verdict::Write(taken)) => {
                held.listed = Listing::At(entry.path.clone());
                let by = &request.by;
                let work = self.write(held, &by.name, Some(&by.name), by.op.clone(), taken)?;
                Ok(Tried::Ours(Box::new(work)))
            }
            Ok(Verdict::Already) | Err(_) => Ok(Tried::Passed),
        }
    }

    /// What `work` depends on and is not completed.
    fn open_dependencies(&self, work: &Work) -> Result<Vec<TaskId>> {
        Ok(match self.standing(work)? {
            Standing::Ready => Vec::new(),
            Standing::Waits(open) => open,
            Standing::Rejected(id, _) => vec![id],
        })
    }
}
