//! `run`: the request that was typed, and following the agent as it works.

use super::follow::{Leave, tell_news};
use super::print::{self, Screen};
use super::{args, exit, trust};
use crate::life::House;
use crate::model::delegation::MayStart;
use crate::model::guard::Guards;
use crate::model::project_file::TrustReport;
use crate::model::report::{RunReport, VERSION};
use crate::model::request;
use crate::model::text::Shown;
use crate::ops::project_file::Consent;
use crate::ops::{self, Error, Result};
use crate::rules::wording::{self, Tone};
use crate::tools::terminal;
use std::cell::Cell;
use std::ffi::OsString;
use std::io::{self, Read};

/// The largest task that is read from standard input, in bytes.
const TASK_MAX: u64 = 8 << 20;

/// The task as typed, or from standard input for `-`.
pub(super) fn task(words: &[String]) -> Result<String> {
    if words != ["-"] {
        return Ok(words.join(" "));
    }
    let mut text = String::new();
    let unreadable = |why: String| {
        Error::usage(format!("the task on standard input cannot be used: {why}"), "ai_orch run - < FILE")
    };
    io::stdin().take(TASK_MAX + 1).read_to_string(&mut text).map_err(|e| unreadable(e.to_string()))?;
    if text.len() as u64 > TASK_MAX {
        return Err(unreadable(format!("it is larger than {} MiB", TASK_MAX >> 20)));
    }
    Ok(text)
}

/// What was given with `--env`.
pub(super) fn assignments(texts: &[OsString]) -> Result<Vec<(OsString, OsString)>> {
    let read = |text: &OsString| {
        crate::settings::assignment(text).ok_or_else(|| {
            Error::usage(
                format!("--env {}: not NAME=VALUE", Shown(&text.to_string_lossy())),
                "for example: --env RUST_LOG=debug",
            )
        })
    };
    texts.iter().map(read).collect()
}

fn request(run: args::Run) -> Result<request::Run> {
    let models = run.model.into_iter().map(|m| match m.split_once('=') {
        // A model's own name may hold a '=' only behind a CLI's name; no CLI's name holds a '/'.
        Some((cli, model)) if !cli.contains(['/', ':']) => (Some(cli.to_owned()), model.to_owned()),
        _ => (None, m),
    });
    Ok(request::Run {
        task: task(&run.task)?,
        chain: run.agent_cli,
        models: models.collect(),
        context: run.context,
        name: run.name,
        base: run.base,
        pr: run.pr,
        open_pr: run.open_pr.then_some(request::OpenPr { draft: run.draft }),
        labels: run.labels,
        branch: run.branch,
        no_new_branch: run.no_new_branch,
        no_worktree: run.no_worktree,
        dir: run.dir,
        with_changes: run.with_changes,
        copy: run.copy,
        timeout: run.timeout,
        permissions: run.permissions.map(Into::into),
        setup: run.setup,
        validate: run.validate,
        no_setup: run.no_setup,
        no_validate: run.no_validate,
        no_project_file: run.no_project_file,
        repairs: run.repairs,
        env: assignments(&run.env)?,
        budget_usd: run.budget,
        commit: !run.no_commit,
        role: run.role,
        context_id: run.context_id,
        may_start: run.may_start.map(|agents| MayStart {
            agents,
            depth: run.depth,
            budget_usd: run.start_budget,
        }),
        guards: Guards {
            no_push: run.no_push,
            no_new_pr: run.no_new_pr,
            no_new_branch: run.no_new_branch,
            protected: Vec::new(),
        },
        child: None,
    })
}

pub(super) fn start(house: &House, run: args::Run, json: bool, screen: &mut Screen) -> Result<u8> {
    let detach = run.detach;
    let given = run.trust;
    let can_ask = screen.terminal && !json && terminal::is_terminal(io::stdin());
    let request = request(run)?;
    let ready = {
        let mut ask = |report: &TrustReport| trust::ask(screen, report);
        let consent = match (given, can_ask) {
            (true, _) => Consent::Given,
            (false, true) => Consent::Person(&mut ask),
            (false, false) => Consent::Nobody,
        };
        ops::run::ready(house, &request, consent)?
    };
    // Before anything is made, for who is followed from its first moment must be left from its first moment; and behind the question,
    // which Ctrl-C ends.
    let runtime = if detach { None } else { Some(ops::runtime()?) };
    let leave = runtime.as_ref().map(|runtime| {
        let _within = runtime.enter();
        Leave::listen()
    });
    let started = ready.start(house)?;
    if !json {
        for note in &started.notes {
            print::note(note);
        }
    }
    let session = started.created.spec.session.clone();
    let named = ops::logs::find(house, session.as_str())?;
    let (Some(runtime), Some(leave)) = (runtime, leave) else {
        let report = ops::run::report(house, &named)?;
        if json {
            let next = print::next_commands(&report);
            screen.json(&RunReport { v: VERSION, agent: report, notes: started.notes, next });
        } else {
            screen.line(session.as_str());
        }
        return Ok(exit::OK);
    };
    if !json {
        let spec = &started.created.spec;
        let chain: Vec<&str> = spec.chain.iter().map(|l| l.cli.as_str()).collect();
        screen.toned(
            Tone::Note,
            &Shown(&format!(
                "{session}: {} {}",
                chain.join(", then "),
                wording::works_on(spec.place, &spec.branch, &spec.worktree)
            ))
            .to_string(),
        );
    }
    let code = Cell::new(exit::LEFT);
    let mut attempt = 0;
    let followed = runtime.block_on(ops::follow::follow(
        house,
        &named,
        true,
        (screen.terminal && !json).then_some(ops::follow::CLOCK),
        |news| {
            if !json {
                tell_news(screen, &news, &mut attempt);
            }
            !screen.closed
        },
        leave.asked(&code),
    ))?;
    let Some(followed) = followed else { return Ok(exit::FAILED) };
    let report = followed.report;
    if followed.left && screen.closed {
        // The reader has what it wanted; the agent goes on.
        return Ok(if screen.broken.is_some() { exit::LEFT } else { exit::OK });
    }
    if json {
        let next = print::next_commands(&report);
        screen.json(&RunReport { v: VERSION, agent: report.clone(), notes: started.notes, next });
    } else if followed.left {
        screen.line("");
        screen.toned(
            Tone::Note,
            &format!(
                "{session} goes on. Come back: ai_orch attach {session}   stop it: ai_orch kill {session}"
            ),
        );
    } else {
        print::summary(screen, &report);
    }
    Ok(if followed.left { code.get() } else { exit::of_agent(&report) })
}
