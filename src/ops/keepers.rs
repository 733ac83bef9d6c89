//! The ends of keepers, which no file tells: the kernel does, so that nobody waits for a dead one.

use crate::a2a::names::Named;
use crate::a2a::record;
use crate::model::ids::{AgentId, ProcessId};
use crate::tools::process;
use std::collections::HashMap;
use tokio::task::JoinSet;

/// The keepers that are listened to.
#[derive(Debug, Default)]
pub(super) struct Keepers {
    /// The last known of each agent, and whether it has ended.
    known: HashMap<AgentId, (ProcessId, bool)>,
    ends: JoinSet<AgentId>,
}

impl Keepers {
    /// Listens to the keeper of an agent as well: to the one that is on record now, if the one known before has ended. Of a record that
    /// cannot be read nobody knows the keeper; whoever listens looks by and by.
    pub(super) fn listen(&mut self, named: &Named) {
        let before = self.known.get(&named.id);
        if before.is_some_and(|(_, ended)| !ended) {
            return;
        }
        let agent = record::load(&named.record).ok().flatten();
        let Some(keeper) = agent.and_then(|agent| agent.keeper) else { return };
        if before.is_some_and(|(process, _)| *process == keeper) {
            return;
        }
        self.known.insert(named.id, (keeper.clone(), false));
        let id = named.id;
        self.ends.spawn(async move {
            if process::end_of(&keeper).await.is_err() {
                // Nobody can tell.
                std::future::pending::<()>().await;
            }
            id
        });
    }

    /// Completes when one of them has ended. Nothing is lost if it is dropped.
    pub(super) async fn ended(&mut self) {
        match self.ends.join_next().await {
            Some(Ok(id)) => {
                if let Some((_, ended)) = self.known.get_mut(&id) {
                    *ended = true;
                }
            }
            Some(Err(_)) | None => std::future::pending().await,
        }
    }
}
