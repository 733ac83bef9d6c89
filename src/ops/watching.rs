//! `list --watch`: every agent, as it is now and whenever that changes.

use super::Result;
use super::keepers::Keepers;
use super::list::{all, live, project_here};
use crate::a2a::names;
use crate::a2a::watch::Watch;
use crate::life::House;
use crate::model::ids::{Party, Project};
use crate::model::places::Places;
use crate::model::report::{AgentReport, ListReport};
use crate::tools::clock;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// The shortest time between two looks: that of a keeper between two posts.
const PACE: Duration = Duration::from_millis(200);

/// Shows every agent (with `here`, those of the repository that the working directory is in), again whenever something about them has
/// changed, and as it was when `again` completes. Ends when nobody wants to see more (`show` says false), or `stop`
/// completes: then true.
pub async fn watch(
    house: &House,
    here: bool,
    mut show: impl FnMut(&ListReport) -> bool,
    mut again: impl AsyncFnMut(),
    stop: impl Future<Output = ()>,
) -> Result<bool> {
    let project = if here { Some(project_here(house)?) } else { None };
    let mut watch = Watch::new();
    let mut keepers = Keepers::default();
    let mut last: Option<ListReport> = None;
    let mut stop = std::pin::pin!(stop);
    loop {
        let report = all(house, project.as_ref())?;
        let next = clock::tick().checked_add(PACE);
        if last.as_ref() != Some(&report) && !show(&report) {
            return Ok(false);
        }
        let dirs = dirs(&house.settings.places, &report, project.as_ref());
        for agent in report.agents.iter().filter(|agent| live(agent)) {
            if let Some(named) = names::find(&house.settings.places, &agent.session)? {
                keepers.listen(&named);
            }
        }
        let mut changed = std::pin::pin!(async {
            watch.changed(&dirs).await;
            clock::at(next).await;
        });
        loop {
            tokio::select! {
                () = &mut changed => break,
                () = keepers.ended() => break,
                () = again() => {
                    // That time passes, or a window changes, is no reason to look at any file.
                    if !show(&report) {
                        return Ok(false);
                    }
                }
                () = &mut stop => return Ok(true),
            }
        }
        last = Some(report);
    }
}

/// The directories that tell of changes: names come and go in one, each agent's state is posted in its own, and messages come and go in
/// that of their reader. What these lie in tells when they are made, or wiped.
fn dirs(places: &Places, report: &ListReport, project: Option<&Project>) -> Vec<PathBuf> {
    let projects: BTreeSet<&Project> = report
        .agents
        .iter()
        .map(|agent| &agent.project)
        .chain(report.for_you.iter().map(|mail| &mail.project))
        .chain(project)
        .collect();
    let mut dirs = vec![places.names(), places.root.clone()];
    for project in projects {
        let copies = places.copies(project);
        dirs.extend(copies.mail(&Party::User).parent().map(ToOwned::to_owned));
        dirs.push(copies.mail(&Party::User));
        dirs.push(copies.0);
    }
    for AgentReport { project, session, .. } in &report.agents {
        let board = places.board(project, session);
        dirs.extend(board.parent().map(ToOwned::to_owned));
        dirs.push(board);
        dirs.push(places.copies(project).mail(&Party::Worker(session.clone())));
    }
    dirs.sort_unstable();
    dirs.dedup();
    dirs
}
