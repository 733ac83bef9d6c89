//! The command line: what was typed becomes a request, and what came of it is printed. No decisions, no files, no tmux.

use crate::life::House;
use crate::model::report::{KillsReport, VERSION};
use crate::model::text::Shown;
use crate::ops::{self, Error, Result};
use crate::rules::verbs::{self, Shorthand};
use crate::tools::{crash, process};
use args::{Cli, Verb};
use clap::{Command, CommandFactory, FromArgMatches};
use print::Screen;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;

mod args;
mod attach;
mod clean;
mod diff;
mod events;
mod exit;
mod follow;
mod keys;
mod list;
mod logs;
mod merge;
mod msg;
mod print;
mod redraw;
mod reserve;
mod resume;
mod run;
mod table;
mod task;
mod trust;
mod undo;
mod wait;

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
    let mut words = std::env::args_os();
    let called = words.next().unwrap_or_default();
    let words: Vec<OsString> = words.collect();
    if let Some(code) = crate::keeper::called_as(&called, &words) {
        return code;
    }
    match words.split_first() {
        Some((verb, rest)) if verb == "__exec" => {
            crash::role("exec");
            crate::keeper::exec(rest)
        }
        Some((verb, [record])) if verb == "__keep" => {
            crash::role("keeper");
            crate::keeper::keep(Path::new(record))
        }
        Some((verb, [record, child])) if verb == "__spawn" => {
            crash::role("spawn");
            ExitCode::from(spawn(Path::new(record), &child.to_string_lossy()))
        }
        Some((verb, [])) if verb == "__delete" => {
            crash::role("delete");
            ExitCode::from(delete())
        }
        Some((verb, [record])) if verb == "__pool" => {
            crash::role("pool");
            crate::keeper::make_ready(Path::new(record))
        }
        Some((verb, [recording])) if verb == "__replay" => ops::replay::replay(Path::new(recording)),
        _ => ExitCode::from(typed(words)),
    }
}

/// Deletes the files that `clean` has given up. Nobody listens: what cannot be deleted is tried again by the next `clean`.
fn delete() -> u8 {
    process::stand_back();
    let deleted = House::load().and_then(|house| crate::life::clean::delete_gone(&house));
    if deleted.is_ok() { exit::OK } else { exit::ENVIRONMENT }
}

/// Carries out what was typed.
fn typed(mut words: Vec<OsString>) -> u8 {
    let json = words.iter().take_while(|w| *w != "--").any(|w| w == "--json");
    let command = Cli::command();
    if let Err(code) = shorthand(&command, &mut words, json) {
        return code;
    }
    let parsed = command.try_get_matches_from(std::iter::once(OsString::from("ai_orch")).chain(words));
    if let Some(verb) = parsed.as_ref().ok().and_then(|matches| matches.subcommand_name()) {
        crash::role(verb);
    }
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

/// What a keeper runs to start a child: the environment of the child comes on standard input.
fn spawn(record: &Path, child: &str) -> u8 {
    let mut environment = Vec::new();
    if let Err(error) = io::stdin().read_to_end(&mut environment) {
        let what = format!("the environment of the child could not be read: {error}");
        return tell(&Error::usage(what, "this is for keepers"), true);
    }
    let done = House::load()
        .map_err(Error::from)
        .and_then(|house| ops::spawn::start(&house, record, child, &environment));
    match done {
        Ok(session) => {
            writeln!(io::stdout(), "{session}").ok();
            exit::OK
        }
        Err(error) => tell(&error, true),
    }
}

fn tell(error: &Error, json: bool) -> u8 {
    let code = exit::of_error(error.code());
    // Something is wrong on the machine, and the room that noticed knows no better advice.
    let hint = error.hint().or_else(|| (code == exit::ENVIRONMENT).then(|| "ai_orch doctor".to_owned()));
    print::error(error.code(), &error.to_string(), hint, code, json);
    code
}

/// Puts a left-out `run` in front, and stops at a word that is no verb.
fn shorthand(command: &Command, words: &mut Vec<OsString>, json: bool) -> std::result::Result<(), u8> {
    let text: Vec<String> = words.iter().map(|w| w.to_string_lossy().into_owned()).collect();
    let known = args::verbs(command);
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
    // These say it themselves, or are what somebody types because of it.
    let reconciles = !json
        && !matches!(
            verb,
            Verb::List(_) | Verb::Events(_) | Verb::Resume(_) | Verb::Kill(_) | Verb::Mcp | Verb::Help { .. }
        );
    let code = carry_out_on(&mut screen, house, verb, json)?;
    if reconciles && let Ok(count @ 1..) = crate::a2a::look::interrupted(&house.settings.places) {
        print::note(&print::interrupted(count));
    }
    crash::point(|| "at the end");
    Ok(match screen.broken {
        // What was asked for did not arrive: a full disk under a redirected output is no success.
        Some(error) if code == exit::OK => {
            print::error(
                "file",
                &format!("cannot write to standard output: {error}"),
                None,
                exit::ENVIRONMENT,
                json,
            );
            exit::ENVIRONMENT
        }
        _ => code,
    })
}

fn carry_out_on(screen: &mut Screen, house: &House, verb: Verb, json: bool) -> Result<u8> {
    match verb {
        Verb::Run(asked) => run::start(house, *asked, json, screen),
        Verb::List(asked) => list::list(house, &asked, json, screen),
        Verb::Show(one) => {
            let report = ops::show::show(house, &one.session)?;
            screen.answer(json, &report, print::show);
            Ok(exit::OK)
        }
        Verb::Logs(asked) => logs::log(house, &asked, json, screen),
        Verb::Events(asked) => events::tell(house, asked, json, screen),
        Verb::Diff(asked) => diff::difference(house, &asked, json, screen),
        Verb::Merge(asked) => merge::bring_in(house, *asked, json, screen),
        Verb::Attach(asked) => attach::enter(house, asked.session, json, screen),
        Verb::Kill(asked) => stop(house, &asked, json, screen),
        Verb::Wait(asked) => wait::wait_for(house, asked, json, screen),
        Verb::Msg { verb } => msg::msg(house, verb, json, screen),
        Verb::Task { verb } => task::task(house, verb, json, screen),
        Verb::Reserve(asked) => reserve::reserve(house, asked, json, screen),
        Verb::Resume(asked) => resume::go_on(house, asked, json, screen),
        Verb::Clean(asked) => clean::clean(house, asked, json, screen),
        Verb::Undo(asked) => undo::undo(house, &asked, json, screen),
        Verb::Trust(asked) => trust::trusted(house, &asked, json, screen),
        Verb::Doctor => {
            let report = ops::doctor::doctor(house)?;
            screen.answer(json, &report, print::doctor);
            Ok(if report.ok { exit::OK } else { exit::ENVIRONMENT })
        }
        Verb::Guide(asked) => {
            let report = ops::guide::guide(house, asked.skill)?;
            screen.answer(json, &report, |screen, report| screen.line(report.guide.trim_end()));
            Ok(exit::OK)
        }
        Verb::Mcp => crate::mcp::serve(house).map(|()| exit::OK),
        Verb::Help { verb } => Ok(help(verb.as_deref(), json)),
    }
}

fn stop(house: &House, kill: &args::Kill, json: bool, screen: &mut Screen) -> Result<u8> {
    let reports = match kill {
        args::Kill { all: true, .. } => ops::kill::kill_all(house),
        args::Kill { tree: true, sessions, .. } => ops::kill::kill_tree(house, sessions),
        args::Kill { sessions, .. } => ops::kill::kill(house, sessions),
    }?;
    let code = exit::of_errors(reports.iter().map(|r| r.error.as_ref()));
    if json {
        screen.json(&KillsReport { v: VERSION, killed: reports });
    } else if reports.is_empty() {
        screen.line("No agent is running.");
    } else {
        for report in &reports {
            print::kill(screen, report);
        }
    }
    Ok(code)
}
