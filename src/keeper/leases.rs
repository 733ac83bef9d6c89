//! Keeps what the agent has claimed claimed for as long as its keeper lives. No model has to think of that.

use crate::a2a;
use crate::a2a::tasks::Tasks;
use crate::model::ids::{Party, Project};
use crate::model::places::Places;
use crate::tools::{clock, file};
use std::time::Duration;

/// How often: a lease holds four times as long.
const EVERY: Duration = Duration::from_secs(15);

/// Renews the leases of `party` again and again, on the runtime of whoever calls.
pub(super) async fn keep(places: Places, project: Project, party: Party) {
    loop {
        clock::at(clock::tick().checked_add(EVERY)).await;
        if let Err(error) = renew(&places, &project, &party) {
            tracing::warn!(%error, "leases could not be renewed");
        }
    }
}

fn renew(places: &Places, project: &Project, party: &Party) -> a2a::Result<()> {
    let held = file::names(&places.copies(project).claimed_by(party))?;
    // Most agents never claim anything.
    if held.is_some_and(|held| !held.is_empty()) {
        Tasks::open(places, project)?.renew(party)?;
    }
    Ok(())
}
