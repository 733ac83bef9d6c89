//! What an agent may not do, because it is done to other agents or starts new ones: that is a person's to decide.

use super::{Error, Result};
use crate::a2a::identity::{self, Who};
use crate::life::House;

/// Refuses `verb` to an agent, and to whoever says to be one and is not. Every refusal is put on record with the agent.
pub fn person_only(house: &House, verb: &'static str) -> Result<()> {
    match house.who()? {
        Who::Person => Ok(()),
        Who::Agent(me) => {
            identity::refused(&me.named.record, &format!("{verb} is not for agents"));
            Err(Error::NotForAgents { verb, agent: me.named.session.to_string() })
        }
    }
}
