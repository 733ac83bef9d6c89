//! `guide`: what agents are told of how they work together.

use super::Result;
use crate::a2a::identity::Who;
use crate::life::House;
use crate::model::report::{GuideReport, VERSION};
use crate::rules::guide;

/// The text for whoever called us; `as_skill` the one for everybody, as an Agent Skill.
///
/// # Errors
///
/// If the caller has the environment of an agent that is not at work.
pub fn guide(house: &House, as_skill: bool) -> Result<GuideReport> {
    let text = if as_skill {
        guide::skill()
    } else {
        let who = house.who()?;
        let role = match &who {
            Who::Agent(me) => me.role.as_ref(),
            Who::Person => None,
        };
        guide::guide(&who.party(), role)
    };
    Ok(GuideReport { v: VERSION, guide: text })
}
