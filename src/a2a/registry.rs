//! The registry: a card for each agent, beside its state on the board, and who is alive.
//!
//! A card is a copy: gone, it is made from the journal. Alive is whose keeper holds its lock; no time stamp is asked.

use super::names::{self, Named};
use super::{Result, board, record};
use crate::model::a2a::AgentCard;
use crate::model::entry::Spec;
use crate::model::ids::Project;
use crate::model::places::Places;
use crate::rules::card;
use crate::tools::file;
use crate::tools::lock::{self, Held};

/// The card of the agent that `spec` asked for.
fn make(places: &Places, spec: &Spec) -> AgentCard {
    card::card(spec, &places.copies(&spec.project).0, env!("CARGO_PKG_VERSION"))
}

/// Posts the card of an agent. Its keeper does that.
pub fn post(places: &Places, spec: &Spec) -> Result<()> {
    let json = serde_json::to_vec(&make(places, spec))?;
    Ok(board::post_beside(&board::card(places, &spec.project, &spec.session), &json)?)
}

/// The card of an agent: the posted one, else one made from its journal; `None` if it is not on record yet.
pub fn card(places: &Places, named: &Named) -> Result<Option<AgentCard>> {
    let posted = match file::read(&board::card(places, &named.project, &named.session)) {
        Ok(bytes) => bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()),
        Err(error) if error.is_damage() => None,
        Err(error) => return Err(error.into()),
    };
    match posted {
        Some(card) => Ok(Some(card)),
        None => Ok(record::load(&named.record)?.map(|agent| make(places, &agent.spec))),
    }
}

/// The agents of a project whose keepers live, oldest first. One whose lock cannot be looked at is not among them.
pub fn live(places: &Places, project: &Project) -> Result<Vec<Named>> {
    let mut all = names::all(places)?;
    all.retain(|named| {
        named.project == *project
            && matches!(lock::probe(&named.record.keeper_lock()), Ok(Some(Held::Yes(_))))
    });
    Ok(all)
}
