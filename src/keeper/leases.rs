//! Keeps what the agent has claimed claimed for as long as its keeper lives. No model has to think of that.
//!
//! Most agents never claim anything, and their keepers have no clock for it: whoever makes a mark of a claim in the agent's name rings.

use crate::a2a;
use crate::a2a::tasks::Tasks;
use crate::model::ids::{Party, Project};
use crate::model::places::{Places, Record};
use crate::tools::fifo::Bell;
use crate::tools::{clock, file};
use std::time::Duration;

/// How often: a lease holds four times as long.
const EVERY: Duration = Duration::from_secs(15);

/// Renews the leases of `party` again and again while it has any, on the runtime of whoever calls.
pub(super) async fn keep(places: Places, project: Project, party: Party, record: Record) {
    // Listens before it looks: of what came before, a mark is there.
    let mut bell = Bell::listen(&record.bell())
        .inspect_err(|error| tracing::warn!(%error, "looks for leases all the time"))
        .ok();
    loop {
        let held = renew(&places, &project, &party).unwrap_or_else(|error| {
            tracing::warn!(%error, "leases could not be renewed");
            true
        });
        match &mut bell {
            Some(rings) if !held => {
                if let Err(error) = rings.rung().await {
                    tracing::warn!(%error, "looks for leases all the time");
                    bell = None;
                }
            }
            _ => clock::at(clock::tick().checked_add(EVERY)).await,
        }
    }
}

/// Renews what is held; whether anything is, or is about to be.
fn renew(places: &Places, project: &Project, party: &Party) -> a2a::Result<bool> {
    let held = file::names(&places.copies(project).claimed_by(party))?;
    let any = held.is_some_and(|held| !held.is_empty());
    if any {
        Tasks::open(places, project)?.renew(party)?;
    }
    Ok(any)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::a2a::tasks::{By, ClaimRequest};
    use crate::a2a::worker::Worker;
    use crate::model::ids::TaskId;
    use crate::model::work::TaskSpec;
    use crate::tools::{fifo, runtime};

    #[test]
    fn whoever_rings_has_its_leases_renewed_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let [root, state, data, config] =
            ["root", "state", "data", "config"].map(|name| dir.path().join(name));
        let (places, project) = (Places { root, state, data, config }, Project("p-01234567".into()));
        let worker = Worker::begin(&places, &project, &"w".parse().unwrap()).unwrap();
        let name = Party::Worker(worker.name.clone());
        let tasks = Tasks::open(&places, &project).unwrap();
        let record = Record(dir.path().to_owned());
        runtime::runtime().unwrap().block_on(async {
            let keeping = keep(places.clone(), project.clone(), name.clone(), record.clone());
            let keeping = tokio::spawn(keeping);
            while !fifo::ring(&record.bell()).unwrap() {
                tokio::task::yield_now().await;
            }
            let id = TaskId(clock::new_id());
            tasks.create(TaskSpec::text(id, "c", "work"), &By::from(Party::User)).unwrap();
            let wish =
                ClaimRequest { by: name.into(), pid: Some(Worker::pid()), role: None, lease: None, id: None };
            tasks.claim(&wish).unwrap().unwrap();
            let lease = places.copies(&project).lease(id);
            let said = || std::fs::read_to_string(&lease).unwrap();
            let over = format!("{:020}{}", 0, &said()[20..]);
            std::fs::write(&lease, &over).unwrap();
            while said() == over {
                fifo::ring(&record.bell()).unwrap();
                tokio::task::yield_now().await;
            }
            keeping.abort();
        });
    }
}
