//! `show`: all that is known about an agent, and why we believe it.

use super::Result;
use crate::a2a::unread::Counter;
use crate::a2a::{board, look, names};
use crate::life::{House, fence, work};
use crate::model::agent::Agent;
use crate::model::delegation::Start;
use crate::model::ids::Party;
use crate::model::report::{Evidence, Relative, Remark, ShowReport, VERSION};
use crate::rules::report::{Keeper, report};
use crate::rules::wording;
use crate::tools::{file, process};

/// Everything about the agent whose name is `name`, or the only one whose name begins so.
pub fn show(house: &House, name: &str) -> Result<ShowReport> {
    let places = &house.settings.places;
    let named = names::require_by_prefix(places, name)?;
    let Some((agent, keeper)) = look::look_closely(&named.record)? else {
        let near = Vec::new();
        return Err(crate::a2a::Error::NoAgent { name: name.to_owned(), near }.into());
    };
    let mut evidence = Vec::new();
    let mut say = |source: &str, says: String| evidence.push(Evidence { source: source.to_owned(), says });
    say("journal", format!("last written {}", agent.updated));
    match &keeper {
        Keeper::Alive => {
            let pid = agent.keeper.as_ref().map_or_else(|| "?".to_owned(), |k| k.pid.to_string());
            say("keeper.lock", format!("held: the keeper (pid {pid}) lives"));
        }
        Keeper::Gone { .. } => say("keeper.lock", "free: no keeper".to_owned()),
        Keeper::Unknown(why) => say("keeper.lock", why.clone()),
    }
    let posted = board::read(places, &named.project, &named.session, named.id)?;
    match &posted {
        Some(posted) => say("board", format!("{}, as of {}", posted.state, posted.updated)),
        None => say("board", "no entry".to_owned()),
    }
    let mut session_gone = None;
    match house.tmux.has_session(&named.session) {
        Ok(Some(true)) => say("tmux", "the session exists".to_owned()),
        Ok(Some(false) | None) => {
            session_gone = Some(Remark::SessionGone);
            say("tmux", "there is no such session".to_owned());
        }
        Err(error) => {
            session_gone = Some(Remark::TmuxUnknown { why: error.to_string() });
            say("tmux", error.to_string());
        }
    }
    if let Some(attempt) = agent.last_attempt() {
        let running = fence::left_running(&agent)?;
        let pids: Vec<String> = running.iter().map(|p| p.pid.to_string()).collect();
        say(
            "processes",
            format!(
                "attempt {}: {}",
                attempt.n,
                if pids.is_empty() { "none".to_owned() } else { pids.join(", ") }
            ),
        );
        if let Some(dir) = running.first().and_then(process::working_dir) {
            say("working directory", dir.to_string_lossy().into_owned());
        }
    }
    let task = match file::read(&named.record.task(agent.task_round)) {
        Ok(task) => task.unwrap_or_default(),
        Err(error) => {
            say("task", error.to_string());
            Vec::new()
        }
    };
    let worktree_there = file::is_dir(&agent.spec.worktree)?;
    say("worktree", if worktree_there { "is there".to_owned() } else { "is gone".to_owned() });
    if let Some(filled) = &agent.filled {
        say("files", wording::filled(filled));
    }
    let changes = if worktree_there { work::changes(house, &agent).ok().flatten() } else { None };
    let mut report = report(&agent, &keeper, changes);
    if keeper == Keeper::Alive {
        report.activity = posted.and_then(|p| p.activity);
        report.remarks.extend(session_gone);
    }
    match Counter::new(places).count(&named.project, &Party::Worker(named.session.clone())) {
        Ok(unread) => report.unread = Some(unread),
        Err(error) => say("mail", error.to_string()),
    }
    if !worktree_there {
        report.remarks.push(Remark::WorktreeGone);
    }
    let (parent, children) = relatives(house, &agent)?;
    Ok(ShowReport {
        v: VERSION,
        agent: report,
        task: String::from_utf8_lossy(&task).into_owned(),
        parent,
        children,
        evidence,
        record: named.record.0,
    })
}

/// The agent that asked for this one, and those that this one asked for, under the names that they have now.
fn relatives(house: &House, agent: &Agent) -> Result<(Option<Relative>, Vec<Relative>)> {
    if agent.spec.parent.is_none() && agent.children.is_empty() {
        return Ok((None, Vec::new()));
    }
    let all = names::all(&house.settings.places)?;
    let relative = |id, error| {
        let session = all.iter().find(|named| named.id == id).map(|named| named.session.to_string());
        Relative { id, session, error }
    };
    let children = agent.children.iter().map(|child| match &child.start {
        Start::Failed { error } => relative(child.id, Some(error.clone())),
        Start::Begun | Start::Done { .. } => relative(child.id, None),
    });
    Ok((agent.spec.parent.map(|id| relative(id, None)), children.collect()))
}
