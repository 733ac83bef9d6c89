//! The tasks, inboxes and reservations of one repository, for one process: opened once, because what was read of an inbox is kept.

use super::Result;
use super::caller::Caller;
use crate::a2a::feed::Feed;
use crate::a2a::mail::Mail;
use crate::a2a::reservations::Reservations;
use crate::a2a::tasks::Tasks;
use crate::life::House;
use crate::model::feed::Kind;
use crate::model::ids::Project;
use crate::model::places::Places;
use crate::model::work::TaskChange;
use std::sync::Arc;

/// What callers of one repository work with.
#[derive(Debug)]
pub struct Office {
    /// Where everything lies.
    pub(super) places: Places,
    /// The repository.
    pub(super) project: Project,
    /// Its tasks.
    pub(super) tasks: Tasks,
    /// Its inboxes.
    pub(super) mail: Mail,
    /// Who reserved which of its files.
    pub(super) reservations: Reservations,
}

impl Office {
    /// The tasks and inboxes of the caller's repository.
    pub fn open(house: &House, caller: &Caller) -> Result<Self> {
        let (places, project) = (house.settings.places.clone(), caller.project.clone());
        let feed = Feed::new(&places, &project);
        let tell = move |change: &TaskChange| {
            let &TaskChange { task: id, rev, state, generation, .. } = change;
            feed.say(Kind::Task { id, rev, state, owner: change.owner.clone(), generation })
        };
        Ok(Self {
            tasks: Tasks::open(&places, &project)?.with_feed(Arc::new(tell)),
            mail: Mail::new(&places, &project),
            reservations: Reservations::open(&places, &project)?,
            places,
            project,
        })
    }

    /// Whether it is that of the caller's repository.
    pub fn is_of(&self, caller: &Caller) -> bool {
        self.project == caller.project
    }

    /// How many messages wait for the caller.
    pub fn unread(&self, caller: &Caller) -> Result<usize> {
        super::letters::waiting(self, &caller.party())
    }
}
