//! `merge`: what agents did comes into a branch, tested before that moves.

use super::{Error, Result, guard, resume};
use crate::a2a::names::{self, Named};
use crate::a2a::record;
use crate::git::{CommitId, Repository};
use crate::life::merge::{self, Book, News};
use crate::life::{self, House};
use crate::model::entry::Final;
use crate::model::merge::{Fate, Item, MergeReport, MergedReport, Outfit, Spec, Why};
use crate::model::report::{ErrorBody, VERSION};
use crate::model::request::{Merge, Resume};
use crate::model::text::Shown;
use crate::rules::merge::{Progress, Run};
use crate::rules::naming;
use crate::tools::clock;

/// Brings in the work of the agents that `request` names, one after another. `news` is told of each step.
pub fn merge(
    house: &House,
    request: &Merge,
    mut news: impl FnMut(&MergedReport, Told<'_>),
) -> Result<MergeReport> {
    guard::person_only(house, "merge")?;
    let repository = Repository::require(&house.git()?, &house.settings.working_dir)?;
    let project = naming::project_for(repository.common_dir());
    let mut book = if request.go_on || request.give_up {
        merge::go_on(house, &project)?
    } else {
        let spec = spec(house, request, &repository)?;
        merge::begin(house, spec)?
    };
    if request.give_up {
        merge::give_up(house, &repository, &mut book)?;
        return report(&repository, &book);
    }
    merge::work(house, &repository, &mut book, request.limit, &mut |run, told| {
        let (item, told) = match told {
            News::SettingUp { item, command } => (item, Told::SettingUp(command)),
            News::Testing { item, command } => (item, Told::Testing(command)),
            News::Settled { item } => (item, Told::Settled),
        };
        if let Some(one) = reports(run).nth(item) {
            news(&one, told);
        }
    })?;
    let mut report = report(&repository, &book)?;
    drop(book);
    if request.resolve {
        ask(house, &mut report);
    }
    Ok(report)
}

/// What is told of an agent while the run is at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told<'t> {
    /// This command makes ready what was made of it.
    SettingUp(&'t str),
    /// This command runs on what was made of it.
    Testing(&'t str),
    /// It is settled what becomes of it.
    Settled,
}

/// What is asked for, as far as that can be known before anything is made. Everything that can be refused is refused here.
fn spec(house: &House, request: &Merge, repository: &Repository) -> Result<Spec> {
    let project = naming::project_for(repository.common_dir());
    let into = match &request.into {
        Some(into) => into.clone(),
        None => {
            repository.head().map_err(life::Error::from)?.branch().map(str::to_owned).ok_or_else(|| {
                Error::usage(
                    "the checkout is on no branch, so there is nothing to merge into",
                    "say which one: --into BRANCH",
                )
            })?
        }
    };
    let into = merge::named(repository, &into)?;
    let from = merge::target(repository, &into)?;
    merge::checkout_of(house, repository, &into)?;
    let mut items: Vec<Item> = Vec::new();
    for name in &request.sessions {
        let named = names::require(&house.settings.places, name)?;
        if items.iter().any(|item| item.agent == named.id) {
            return Err(Error::usage(format!("{name} is named twice"), "name each once"));
        }
        items.push(item(request, repository, &named, &into)?);
    }
    Ok(Spec { id: clock::new_id(), project, into, from: from.as_str().to_owned(), how: request.how, items })
}

/// The work of one agent, which must have ended, on a branch of this repository.
fn item(request: &Merge, repository: &Repository, named: &Named, into: &str) -> Result<Item> {
    let session = &named.session;
    let agent = record::load(&named.record)?
        .ok_or_else(|| crate::a2a::Error::NoAgent { name: session.to_string(), near: Vec::new() })?;
    let spec = &agent.spec;
    if spec.common_dir != repository.common_dir() {
        let what =
            format!("{session} works in another repository: {}", Shown(&spec.checkout.to_string_lossy()));
        return Err(Error::usage(what, "call it there"));
    }
    let Some(conclusion) = &agent.conclusion else {
        return Err(Error::StillRuns { session: session.to_string() });
    };
    let not_there = |why: String| Error::NotMergeable { session: session.to_string(), why };
    if !spec.place.has_own_worktree() || spec.branch == into {
        return Err(not_there(format!("it worked on {into} itself")));
    }
    if let Some(elsewhere) = conclusion.changes.as_ref().and_then(|changes| changes.elsewhere.as_ref()) {
        return Err(not_there(format!("it left its branch: its work is on {}", Shown(elsewhere))));
    }
    let tip = repository.branch(&spec.branch).map_err(life::Error::from)?;
    let tip: CommitId =
        tip.ok_or_else(|| not_there(format!("its branch {} is gone", Shown(&spec.branch))))?;
    let validate = match (&request.validate, request.no_validate) {
        (_, true) => None,
        (Some(command), _) => Some(command.clone()),
        (None, _) => spec.validate.clone(),
    };
    let (branch, title) = (spec.branch.clone(), spec.title.clone());
    let from_file = spec.from_file.as_deref();
    let outfit = Outfit {
        checkout: spec.checkout.clone(),
        setup: spec.setup.clone(),
        copy: spec.copy.clone(),
        symlink: from_file.map(|from| from.symlink.clone()).unwrap_or_default(),
        ports: agent.outfit.ports.clone(),
    };
    let mut notes = Vec::new();
    match conclusion.state {
        Final::Done => {}
        Final::Failed => notes.push("it had failed".to_owned()),
        Final::Killed => notes.push("it had been killed".to_owned()),
    }
    if conclusion.changes.as_ref().is_some_and(|changes| changes.uncommitted) {
        notes.push("it has work that is not committed, which is not merged".to_owned());
    }
    Ok(Item {
        agent: named.id,
        session: session.clone(),
        branch,
        tip: tip.as_str().to_owned(),
        title,
        validate,
        outfit: Some(Box::new(outfit)),
        notes,
    })
}

fn report(repository: &Repository, book: &Book) -> Result<MergeReport> {
    let run = &book.run;
    // Where it was last, if it is gone.
    let tip = repository.branch(&run.spec.into).map_err(life::Error::from)?;
    let last =
        || run.items.iter().filter_map(|item| item.moved.as_ref()).next_back().unwrap_or(&run.spec.from);
    let tip = tip.map_or_else(|| last().clone(), |tip| tip.as_str().to_owned());
    Ok(MergeReport {
        v: VERSION,
        id: run.spec.id.to_string(),
        into: run.spec.into.clone(),
        how: run.spec.how,
        from: run.spec.from.clone(),
        tip,
        agents: reports(run).collect(),
        ended: run.ended,
    })
}

fn reports(run: &Run) -> impl Iterator<Item = MergedReport> + '_ {
    run.spec.items.iter().zip(&run.items).map(|(item, progress)| told(item, progress))
}

fn told(item: &Item, progress: &Progress) -> MergedReport {
    let conflicts = match &progress.left_out {
        Some(Why::Conflict { paths }) => paths.clone(),
        _ => Vec::new(),
    };
    MergedReport {
        session: item.session.clone(),
        branch: item.branch.clone(),
        tip: item.tip.clone(),
        fate: progress.fate(),
        commit: progress.moved.clone(),
        tested: progress.tested.as_ref().map(|(_, test)| test.clone()),
        why: progress.left_out.as_ref().map(|why| body(item, why)),
        conflicts,
        notes: item.notes.clone(),
        asked: false,
    }
}

fn body(item: &Item, why: &Why) -> ErrorBody {
    let session = &item.session;
    let (code, message, hint) = match why {
        Why::Conflict { paths } => {
            let files = if paths.len() == 1 { "file" } else { "files" };
            let message = format!("both changed the same in {} {files}", paths.len());
            ("conflict", message, format!("let the agent resolve it: ai_orch merge {session} --resolve"))
        }
        Why::NotFastForward => (
            "not_fast_forward",
            "the target has commits that the branch does not have".to_owned(),
            format!("merge it with a commit: ai_orch merge {session}"),
        ),
        Why::HasMerges => (
            "has_merges",
            "its branch has merge commits, and a rebase would drop what they changed".to_owned(),
            format!("merge it as it is, or squashed: ai_orch merge {session} --squash"),
        ),
        Why::Setup { exit } => {
            let how = exit.map_or_else(|| "was stopped".to_owned(), |exit| format!("exited {exit}"));
            let setup = item.outfit.as_ref().and_then(|outfit| outfit.setup.as_deref()).unwrap_or_default();
            let message = format!("on the merged tree the setup command `{}` {how}", Shown(setup));
            ("setup", message, format!("give it to the agent: ai_orch resume {session} 'what to do'"))
        }
        Why::Validation { exit } => {
            let how = exit.map_or_else(|| "was stopped".to_owned(), |exit| format!("exited {exit}"));
            let command = item.validate.as_deref().unwrap_or_default();
            let message = format!("on the merged tree the validation command `{}` {how}", Shown(command));
            ("validation", message, format!("give it to the agent: ai_orch resume {session} 'what to do'"))
        }
    };
    ErrorBody { code: code.to_owned(), message, hint: Some(hint) }
}

/// Asks the agents whose branches are in conflict to bring them in line. One that cannot be asked is told of as it is.
fn ask(house: &House, report: &mut MergeReport) {
    let (into, tip) = (report.into.clone(), report.tip.clone());
    for agent in
        report.agents.iter_mut().filter(|agent| agent.fate == Fate::LeftOut && !agent.conflicts.is_empty())
    {
        let files =
            agent.conflicts.iter().map(|path| Shown(path).to_string()).collect::<Vec<_>>().join("\n  ");
        let task = format!(
            "Your branch {} cannot be merged into {into}: both changed the same in\n  {files}\n\
             Merge commit {tip} ({into}) into your branch, resolve the conflicts so that the purpose of both sides holds, and commit.",
            agent.branch
        );
        let request =
            Resume { sessions: vec![agent.session.to_string()], task: Some(task), ..Resume::default() };
        match resume::resume(house, &request).map(|all| all.into_iter().next().and_then(|one| one.error)) {
            Ok(None) => agent.asked = true,
            Ok(Some(error)) => agent.why = Some(error),
            Err(error) => agent.why = Some(error.body()),
        }
    }
}
