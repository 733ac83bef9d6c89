//! The command line: what was typed becomes a request, and what came of it is printed. No decisions, no files, no tmux.

use crate::life::House;
use crate::model::report::{KillsReport, RunReport, VERSION};
use crate::model::request;
use crate::model::text::Shown;
use crate::ops::follow::News;
use crate::ops::logs::Piece;
use crate::ops::{self, Error, Result};
use crate::rules::verbs::{self, Shorthand};
use crate::rules::wording::{self, Tone};
use args::{Cli, Verb};
use clap::{CommandFactory, FromArgMatches};
use print::Screen;
use std::cell::Cell;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::ExitCode;

mod args;
mod exit;
mod print;

/// The largest task that is read from standard input, in bytes.
const TASK_MAX: u64 = 8 << 20;

/// The whole program: what `ai_orch` and `orch` run.
pub fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        print::error(
            "bug",
            &format!("this is a bug of ai_orch {}: {panic}", env!("CARGO_PKG_VERSION")),
            Some("agents go on; please report it".to_owned()),
            exit::BUG,
            false,
        );
        // A panic in any thread ends the process with the code that says so.
        std::process::exit(i32::from(exit::BUG));
    }));
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    match words.split_first() {
        Some((verb, rest)) if verb == "__exec" => crate::keeper::exec(rest),
        Some((verb, [record])) if verb == "__keep" => crate::keeper::keep(Path::new(record)),
        Some((verb, [recording])) if verb == "__replay" => ops::replay::replay(Path::new(recording)),
        _ => ExitCode::from(typed(words)),
    }
}

/// Carries out what was typed.
fn typed(mut words: Vec<OsString>) -> u8 {
    let json = words.iter().take_while(|w| *w != "--").any(|w| w == "--json");
    if let Err(code) = shorthand(&mut words, json) {
        return code;
    }
    let parsed = Cli::command().try_get_matches_from(std::iter::once(OsString::from("ai_orch")).chain(words));
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => return not_understood(&error, json),
    };
    let Some(verb) = cli.verb else { return help(None, json) };
    let done = match verb {
        Verb::Help { verb } => return help(verb.as_deref(), json),
        verb => House::load().map_err(Error::from).and_then(|house| carry_out(&house, verb, cli.json)),
    };
    done.unwrap_or_else(|error| tell(&error, cli.json))
}

fn tell(error: &Error, json: bool) -> u8 {
    let code = exit::of_error(error.code());
    // Something is wrong on the machine, and the room that noticed knows no better advice.
    let hint = error.hint().or_else(|| (code == exit::ENVIRONMENT).then(|| "ai_orch doctor".to_owned()));
    print::error(error.code(), &error.to_string(), hint, code, json);
    code
}

/// Puts a left-out `run` in front, and stops at a word that is no verb.
fn shorthand(words: &mut Vec<OsString>, json: bool) -> std::result::Result<(), u8> {
    let text: Vec<String> = words.iter().map(|w| w.to_string_lossy().into_owned()).collect();
    let known = args::verbs();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    // Global options may stand before the verb.
    let skip = text.iter().take_while(|w| *w == "--json").count();
    match verbs::shorthand(text.get(skip..).unwrap_or_default(), &known) {
        Shorthand::Verb => Ok(()),
        Shorthand::Run => {
            words.insert(skip, "run".into());
            Ok(())
        }
        Shorthand::NotAVerb { word, nearest, announced } => {
            let what = if announced {
                format!("{} is not part of this version", Shown(&word))
            } else {
                format!("'{}' is not a verb", Shown(&word))
            };
            let mut hint = Vec::new();
            if let Some(verb) = nearest.filter(|_| !announced) {
                hint.push(format!("did you mean: ai_orch {verb}"));
            }
            hint.push(format!("as a task: ai_orch run -- {}", Shown(&word)));
            print::error("usage", &what, Some(hint.join("\n")), exit::USAGE, json);
            Err(exit::USAGE)
        }
    }
}

/// clap's own answers: help and version on standard output, mistakes on standard error.
fn not_understood(error: &clap::Error, json: bool) -> u8 {
    use clap::error::ErrorKind;
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            error.print().ok();
            exit::OK
        }
        _ => {
            let text = error.to_string();
            let mut lines = text.lines().filter(|l| !l.trim().is_empty());
            let first = lines.next().unwrap_or("").trim_start_matches("error: ").to_owned();
            let rest: Vec<&str> = lines.map(str::trim).collect();
            print::error("usage", &first, Some(rest.join("\n")), exit::USAGE, json);
            exit::USAGE
        }
    }
}

fn help(verb: Option<&str>, json: bool) -> u8 {
    let mut command = Cli::command().term_width(0);
    command.build();
    let shown = match verb {
        None => command.render_help(),
        Some(verb) => {
            if let Some(sub) = command.find_subcommand_mut(verb) {
                sub.render_help()
            } else {
                print::error(
                    "usage",
                    &format!("'{}' is not a verb", Shown(verb)),
                    Some("ai_orch help".into()),
                    exit::USAGE,
                    json,
                );
                return exit::USAGE;
            }
        }
    };
    io::stdout().write_all(shown.to_string().as_bytes()).ok();
    exit::OK
}

fn carry_out(house: &House, verb: Verb, json: bool) -> Result<u8> {
    let mut screen = Screen::new(&house.settings.environment);
    match verb {
        Verb::Run(run) => start(house, *run, json, &mut screen),
        Verb::List(list) => {
            let report = ops::list::list(house, list.here)?;
            if json {
                screen.json(&report);
            } else {
                print::list(&mut screen, &report);
            }
            Ok(exit::OK)
        }
        Verb::Show(one) => {
            let report = ops::show::show(house, &one.session)?;
            if json {
                screen.json(&report);
            } else {
                print::show(&mut screen, &report);
            }
            Ok(exit::OK)
        }
        Verb::Logs(logs) => log(house, &logs, json, &mut screen),
        Verb::Diff(diff) => difference(house, &diff, json, &mut screen),
        Verb::Attach(attach) => enter(house, attach.session, json, &mut screen),
        Verb::Kill(kill) => stop(house, &kill, json, &mut screen),
        Verb::Wait(wait) => wait_for(house, wait, json, &mut screen),
        Verb::Doctor => {
            let report = ops::doctor::doctor(house)?;
            if json {
                screen.json(&report);
            } else {
                print::doctor(&mut screen, &report);
            }
            Ok(if report.ok { exit::OK } else { exit::ENVIRONMENT })
        }
        Verb::Help { verb } => Ok(help(verb.as_deref(), json)),
    }
}

/// The task as typed, or from standard input for `-`.
fn task(words: &[String]) -> Result<String> {
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

fn request(run: args::Run) -> Result<request::Run> {
    let models = run.model.into_iter().map(|m| match m.split_once('=') {
        // A model's own name may hold a '=' only behind a CLI's name; no CLI's name holds a '/'.
        Some((cli, model)) if !cli.contains(['/', ':']) => (Some(cli.to_owned()), model.to_owned()),
        _ => (None, m),
    });
    let env = run.env.iter().map(|text| {
        crate::settings::assignment(text).ok_or_else(|| {
            Error::usage(
                format!("--env {}: not NAME=VALUE", Shown(&text.to_string_lossy())),
                "for example: --env RUST_LOG=debug",
            )
        })
    });
    Ok(request::Run {
        task: task(&run.task)?,
        chain: run.agent_cli,
        models: models.collect(),
        context: run.context,
        name: run.name,
        base: run.base,
        timeout: run.timeout,
        permissions: run.permissions.map(Into::into),
        validate: run.validate,
        repairs: run.repairs,
        env: env.collect::<Result<_>>()?,
        budget_usd: run.budget,
        commit: !run.no_commit,
    })
}

fn start(house: &House, run: args::Run, json: bool, screen: &mut Screen) -> Result<u8> {
    let detach = run.detach;
    let started = ops::run::run(house, &request(run)?)?;
    if !json {
        for note in &started.notes {
            print::note(note);
        }
    }
    let session = started.created.spec.session.clone();
    let named = ops::logs::find(house, session.as_str())?;
    if detach {
        let report = ops::run::report(house, &named)?;
        if json {
            let next = print::next_commands(&report);
            screen.json(&RunReport { v: VERSION, agent: report, notes: started.notes, next });
        } else {
            screen.line(session.as_str());
        }
        return Ok(exit::OK);
    }
    if !json {
        let spec = &started.created.spec;
        let chain: Vec<&str> = spec.chain.iter().map(|l| l.cli.as_str()).collect();
        screen.toned(
            Tone::Note,
            &Shown(&format!("{session}: {} on branch {}", chain.join(", then "), spec.branch)).to_string(),
        );
    }
    let code = Cell::new(exit::LEFT);
    let mut attempt = 0;
    let followed = ops::runtime()?.block_on(ops::follow::follow(
        house,
        &named,
        true,
        |news| {
            if !json {
                tell_news(screen, &news, &mut attempt);
            }
            !screen.closed
        },
        interrupted(&code),
    ))?;
    let Some(followed) = followed else { return Ok(exit::FAILED) };
    let report = followed.report;
    if followed.left && screen.closed {
        // The reader has what it wanted; the agent goes on.
        return Ok(exit::OK);
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

/// Completes at Ctrl-C, when the terminal is gone, or at TERM: the agent goes on, only the follower ends. `code` becomes
/// the exit code that says which.
async fn interrupted(code: &Cell<u8>) {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = || -> io::Result<_> {
        Ok((
            signal(SignalKind::interrupt())?,
            signal(SignalKind::hangup())?,
            signal(SignalKind::terminate())?,
        ))
    };
    match listen() {
        Ok((mut interrupt, mut hang_up, mut terminate)) => tokio::select! {
            _ = interrupt.recv() => {}
            _ = hang_up.recv() => {}
            _ = terminate.recv() => code.set(exit::TERMINATED),
        },
        Err(_) => std::future::pending().await,
    }
}

/// Shows what happens, as it happens: each attempt under its own line, what the agent does, and one line that moves.
fn tell_news(screen: &mut Screen, news: &News<'_>, attempt: &mut u32) {
    match news {
        News::Event(line, cli) => {
            if line.n != *attempt {
                *attempt = line.n;
                screen.toned(Tone::Note, &format!("attempt {}: {}", line.n, Shown(cli)));
            }
            for (tone, text) in wording::lines(&line.event) {
                screen.toned(tone, &text);
            }
        }
        News::State(report) | News::Time(report) => {
            let doing = report.activity.as_ref().map_or("", |a| a.text.as_str());
            let used = report
                .activity
                .as_ref()
                .and_then(|a| a.usage)
                .map(|u| format!("  {}", wording::usage(&u)))
                .unwrap_or_default();
            let time =
                std::time::Duration::from_millis(crate::tools::clock::now().millis_since(report.created));
            let number = report.attempts.len().max(1);
            screen.status(&format!(
                "{} {}, attempt {number}  {}{used}  {doing}",
                report.cli,
                report.state,
                wording::duration(time)
            ));
        }
    }
}

fn log(house: &House, logs: &args::Logs, json: bool, screen: &mut Screen) -> Result<u8> {
    let code = Cell::new(exit::LEFT);
    let named = ops::logs::find(house, &logs.session)?;
    if logs.raw {
        if logs.follow {
            let write = |bytes: &[u8]| {
                screen.bytes(bytes);
                !screen.closed
            };
            let left =
                ops::runtime()?.block_on(ops::logs::follow_raw(house, &named, write, interrupted(&code)))?;
            return Ok(if left && !screen.closed { code.get() } else { exit::OK });
        }
        screen.bytes(&ops::logs::raw(&named)?);
        return Ok(exit::OK);
    }
    if logs.follow {
        let mut attempt = 0;
        let followed = ops::runtime()?.block_on(ops::follow::follow(
            house,
            &named,
            true,
            |news| {
                match &news {
                    News::Event(line, _) if json => screen.json(line),
                    News::Event(..) => tell_news(screen, &news, &mut attempt),
                    News::State(_) | News::Time(_) => {}
                }
                !screen.closed
            },
            interrupted(&code),
        ))?;
        return Ok(if followed.is_some_and(|f| f.left) && !screen.closed { code.get() } else { exit::OK });
    }
    for piece in ops::logs::logs(&named)? {
        match piece {
            Piece::Line(line) if json => screen.json(&line),
            Piece::Line(line) => {
                for (tone, text) in wording::lines(&line.event) {
                    screen.toned(tone, &text);
                }
            }
            Piece::Attempt { .. } | Piece::Gap if json => {}
            Piece::Attempt { n, cli } => screen.toned(Tone::Note, &format!("attempt {n}: {}", Shown(&cli))),
            Piece::Gap => screen.toned(Tone::Note, "the middle was too much to keep"),
        }
    }
    Ok(exit::OK)
}

fn difference(house: &House, diff: &args::Diff, json: bool, screen: &mut Screen) -> Result<u8> {
    let found = ops::diff::diff(house, &diff.session)?;
    if json {
        screen.json(&found.report);
        return Ok(exit::OK);
    }
    if diff.stat {
        for file in &found.report.files {
            let lines = file
                .insertions
                .zip(file.deletions)
                .map_or_else(|| "binary".to_owned(), |(i, d)| format!("+{i} -{d}"));
            screen.line(&format!("{:9} {lines:>12}  {}", file.status, file.path));
        }
        let c = &found.report.changes;
        screen.line(&format!("{} commits, {} files, +{} -{}", c.commits, c.files, c.insertions, c.deletions));
    } else if screen.terminal {
        let mut binary = false;
        for line in String::from_utf8_lossy(&found.patch).lines() {
            // Base 85 is for git apply, not for people.
            binary = (binary || line == "GIT binary patch") && !line.starts_with("diff --git ");
            if binary && line != "GIT binary patch" {
                continue;
            }
            let tone = match line.as_bytes().first() {
                Some(b'+') => "32",
                Some(b'-') => "31",
                Some(b'@') => "36",
                _ => "",
            };
            screen.painted(tone, &Shown(line).to_string());
        }
    } else {
        screen.bytes(&found.patch);
    }
    for note in &found.report.notes {
        print::note(note);
    }
    if found.report.changes.is_empty() {
        print::note("no changes");
    }
    Ok(exit::OK)
}

fn enter(house: &House, session: Option<String>, json: bool, screen: &mut Screen) -> Result<u8> {
    let session = match session {
        Some(session) => session,
        None => pick(house, screen)?,
    };
    match ops::attach::attach(house, &session)? {
        ops::attach::Attach::Ended(report) => {
            if json {
                let next = print::next_commands(&report);
                screen.json(&RunReport { v: VERSION, agent: *report, notes: Vec::new(), next });
                return Ok(exit::OK);
            }
            let named = ops::logs::find(house, &session)?;
            let lines: Vec<(Tone, String)> = ops::logs::logs(&named)?
                .iter()
                .filter_map(|p| if let Piece::Line(l) = p { Some(wording::lines(&l.event)) } else { None })
                .flatten()
                .collect();
            for (tone, text) in lines.iter().skip(lines.len().saturating_sub(20)) {
                screen.toned(*tone, text);
            }
            print::summary(screen, &report);
            Ok(exit::OK)
        }
        ops::attach::Attach::Become { words } => {
            if !crate::tools::terminal::is_terminal(io::stdin()) || !screen.terminal {
                return Err(Error::Usage {
                    what: "attach needs a terminal".to_owned(),
                    hint: Some(format!("without one: ai_orch logs -f {}", Shown(&session))),
                });
            }
            let mut words = words.into_iter();
            let program = words.next().unwrap_or_default();
            #[expect(
                clippy::disallowed_methods,
                reason = "this process becomes the tmux client; there is nothing to wait for"
            )]
            let error = std::process::Command::new(program).args(words).env_remove("TMUX").exec();
            Err(Error::Usage {
                what: format!("tmux could not be started: {error}"),
                hint: Some("ai_orch doctor".into()),
            })
        }
    }
}

/// Lets a person choose among the agents that run.
fn pick(house: &House, screen: &mut Screen) -> Result<String> {
    let choices = ops::attach::choices(house)?;
    if let [one] = choices.as_slice() {
        return Ok(one.session.to_string());
    }
    let names: Vec<String> = choices.iter().map(|a| a.session.to_string()).collect();
    if !screen.terminal || !crate::tools::terminal::is_terminal(io::stdin()) {
        return Err(Error::usage(
            "attach needs the name of an agent",
            format!("one of: {}", names.join(", ")),
        ));
    }
    for (number, agent) in choices.iter().enumerate() {
        screen.line(&format!(
            "{:3}  {}  {}  {}",
            number + 1,
            agent.session,
            agent.state,
            Shown(&agent.title)
        ));
    }
    screen.bytes(b"Attach to which (number or name)? ");
    let mut typed = String::new();
    io::stdin().read_line(&mut typed).map_err(|e| Error::usage(e.to_string(), "ai_orch attach SESSION"))?;
    let typed = typed.trim();
    let chosen = typed.parse::<usize>().ok().and_then(|n| names.get(n.checked_sub(1)?).cloned());
    match chosen {
        Some(name) => Ok(name),
        None if typed.is_empty() => Err(Error::usage("nothing was chosen", "ai_orch attach SESSION")),
        None => Ok(typed.to_owned()),
    }
}

fn stop(house: &House, kill: &args::Kill, json: bool, screen: &mut Screen) -> Result<u8> {
    let reports = if kill.all { ops::kill::kill_all(house)? } else { ops::kill::kill(house, &kill.sessions) };
    let codes: Vec<u8> =
        reports.iter().map(|r| r.error.as_ref().map_or(exit::OK, |e| exit::of_error(&e.code))).collect();
    if json {
        screen.json(&KillsReport { v: VERSION, killed: reports });
    } else if reports.is_empty() {
        screen.line("No agent is running.");
    } else {
        for report in &reports {
            print::kill(screen, report);
        }
    }
    Ok(exit::of_all(codes))
}

fn wait_for(house: &House, wait: args::Wait, json: bool, screen: &mut Screen) -> Result<u8> {
    let code = Cell::new(exit::LEFT);
    let request = request::Wait { sessions: wait.sessions, until: wait.until, timeout: wait.timeout };
    let report = ops::runtime()?.block_on(async {
        tokio::select! {
            report = ops::wait::wait(house, &request) => report.map(Some),
            () = interrupted(&code) => Ok(None),
        }
    })?;
    let Some(report) = report else { return Ok(code.get()) };
    let code = if report.timed_out {
        exit::TIME
    } else {
        exit::of_all(report.agents.iter().map(|agent| match exit::of_agent(agent) {
            code if request.until.is_empty() => code,
            // It was where it should be, whatever became of it since.
            _ if !report.missed.contains(&agent.session) => exit::OK,
            // A good end is no success for who waited for something else.
            exit::OK => exit::FAILED,
            code => code,
        }))
    };
    if json {
        screen.json(&report);
    } else {
        for agent in &report.agents {
            let why =
                agent.failure.as_ref().map(|f| format!(" ({}): {}", f.class, f.message)).unwrap_or_default();
            screen.line(&Shown(&format!("{}  {}{why}", agent.session, agent.state)).to_string());
        }
    }
    Ok(code)
}
