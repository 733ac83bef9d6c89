//! What a parent is told of the agents that it started.

use crate::a2a::mail::Mail;
use crate::a2a::{self, names, record};
use crate::model::a2a::{Message, Role};
use crate::model::agent::Agent;
use crate::model::entry::{Changes, Final};
use crate::model::failure::Failure;
use crate::model::ids::Party;
use crate::model::mail::Draft;
use crate::model::places::Places;
use crate::rules::{delegation, own_task};

/// Tells the parent of `agent`, if it has one at work, how `agent` is about to end. To be called before the end is on record:
/// whoever dies in between does it again, and a message of the same id is delivered once. The end does not depend on it.
pub fn tell_parent(
    places: &Places,
    agent: &Agent,
    state: Final,
    failure: Option<&Failure>,
    changes: Option<&Changes>,
) {
    if agent.spec.parent.is_some()
        && let Err(error) = tell(places, agent, &delegation::news(agent, state, failure, changes))
    {
        tracing::warn!(%error, "its parent could not be told");
    }
}

fn tell(places: &Places, agent: &Agent, text: &str) -> a2a::Result<()> {
    let spec = &agent.spec;
    let Some(parent) = names::all(places)?.into_iter().find(|named| Some(named.id) == spec.parent) else {
        return Ok(());
    };
    // Nobody reads the mail of one at its end, and it is no news for whoever resumes it.
    if record::load(&parent.record)?.is_none_or(|parent| parent.conclusion.is_some()) {
        return Ok(());
    }
    let task = own_task::id_of(spec.id, agent.round);
    let mut message = Message::text(format!("ended-{task}"), Role::Agent, text);
    message.task_id = Some(task.to_string());
    let (from, to) = (Party::Worker(spec.session.clone()), Party::Worker(parent.session));
    let draft = Draft { durable: true, ..Draft::new(from, to, message) };
    Mail::new(places, &spec.project).send(&draft).map(drop)
}
