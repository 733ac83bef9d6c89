//! `guide`: what agents are told of how they work together.

use super::Result;
use crate::a2a::identity::Who;
use crate::life::House;
use crate::rules::guide;

/// The text for whoever called us.
pub fn guide(house: &House) -> Result<String> {
    let who = house.who()?;
    let role = match &who {
        Who::Agent(me) => me.role.as_ref(),
        Who::Person => None,
    };
    Ok(guide::guide(&who.party(), role))
}

/// The text as an Agent Skill.
pub fn skill() -> String {
    guide::skill()
}
