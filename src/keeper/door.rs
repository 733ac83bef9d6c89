//! What our program is under other names: the hook through which git asks before it moves a ref, what stands in front of git and the
//! programs of forges in the PATH of an agent, and what refuses to log in. It says what is not allowed, or becomes what was meant.

use crate::life::rails::HOOK;
use crate::model::guard::{Refs, Rules};
use crate::model::places::Guard;
use crate::model::text::Shown;
use crate::rules::doors::{self, Held, Update};
use crate::settings::environment::Environment;
use crate::tools::program::{Program, is_executable};
use crate::tools::{exec, file};
use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What a shell answers for a program that is not there.
const NOT_THERE: u8 = 127;
/// How much the hook is told at most, in bytes.
const TOLD_MAX: u64 = 1 << 30;

/// What to do if our program was called by one of the names it has for agents; `None`: it was called by its own.
pub fn called_as(called: &OsStr, args: &[OsString]) -> Option<ExitCode> {
    let path = Path::new(called);
    match path.file_name()?.to_str()? {
        HOOK => Some(hook(path, args)),
        "no-login" => Some(refuse("logging in to push is not allowed to this agent")),
        name @ ("git" | "gh" | "glab" | "hub" | "tea") => Some(in_front(name, args)),
        _ => None,
    }
}

#[expect(clippy::print_stderr, reason = "it stands in for programs that speak there")]
fn refuse(why: &str) -> ExitCode {
    eprintln!("ai_orch: {}", Shown(why));
    ExitCode::FAILURE
}

fn rules(guard: &Guard) -> Option<Rules> {
    let bytes = file::read(&guard.rules()).ok()??;
    serde_json::from_slice(&bytes).ok()
}

/// The hook: refuses what may not be, and lets that of the repository speak otherwise.
fn hook(called: &Path, args: &[OsString]) -> ExitCode {
    let guard = called.parent().and_then(Path::parent).map(|dir| Guard(dir.to_owned()));
    // Without them nothing can be told apart, and the agent took them away.
    let Some(rules) = guard.and_then(|guard| rules(&guard)) else {
        return refuse("the guardrails of this agent are gone, so no ref is moved");
    };
    let mut told = Vec::new();
    if let Err(error) = io::stdin().take(TOLD_MAX).read_to_end(&mut told) {
        return refuse(&format!("git did not say what it is about to do: {error}"));
    }
    if args.first().is_some_and(|state| state == "prepared") {
        let text = String::from_utf8_lossy(&told);
        let updates = text.lines().filter_map(Update::parse);
        let matter: Vec<Update> = updates.filter(|u| u.matters(&rules.guards, &rules.own)).collect();
        if !matter.is_empty()
            && let Some(why) = refused(&rules, &matter)
        {
            return refuse(&why);
        }
    }
    let theirs = rules.hooks.join(HOOK);
    if !is_executable(&theirs) {
        return ExitCode::SUCCESS;
    }
    match exec::nameless(&told) {
        Ok(input) => {
            let error = exec::become_program(&theirs, theirs.as_os_str(), args, Some(input));
            refuse(&format!("{}: {error}", theirs.display()))
        }
        Err(error) => refuse(&format!("the hook of the repository could not be asked: {error}")),
    }
}

/// Why one of the updates is refused, which is noted.
fn refused(rules: &Rules, updates: &[Update]) -> Option<String> {
    let held = held(rules);
    let mut first = None;
    for update in updates {
        let why = match &held {
            Ok(held) => doors::refused(&rules.guards, &rules.own, update, held),
            Err(error) => Some(format!("the branches could not be looked at: {error}")),
        };
        let Some(why) = why else { continue };
        // It is refused whether that can be noted or not.
        if let Ok(mut log) = file::append(&rules.refused) {
            let current = held.as_ref().ok().and_then(|held| held.branches.get(&update.name));
            writeln!(log, "{}", doors::note(update, current.is_some())).ok();
        }
        if let (None, Ok(held)) = (&update.to, &held) {
            give_log_back(rules, &update.name, held);
        }
        first.get_or_insert(why);
    }
    first
}

/// Puts the log of a branch back that git is about to rename: it moves that aside first, and leaves it there when the renaming is refused.
fn give_log_back(rules: &Rules, name: &str, held: &Held) {
    let logs = rules.common_dir.join("logs");
    let (aside, own) = (logs.join("refs/.tmp-renamed-log"), logs.join(name));
    let text = file::read(&aside).ok().flatten().unwrap_or_default();
    // Somebody else may be renaming another one.
    let last = String::from_utf8_lossy(&text);
    let at = last.lines().last().and_then(|line| line.split(' ').nth(1));
    let is_its = at.is_some() && at == held.branches.get(name).map(String::as_str);
    if is_its && file::ownership(&own).is_ok_and(|there| there.is_none()) {
        file::move_there(&aside, &own).ok();
    }
}

/// What the repository holds at this moment, in which the refs that git is about to change are locked.
fn held(rules: &Rules) -> Result<Held, String> {
    let git = real("git").ok_or("git is not there")?;
    let mut option = OsString::from("--git-dir=");
    option.push(&rules.common_dir);
    let listed = Program::new(git)
        .arg(option)
        .args(["for-each-ref", "--format=%(objectname) %(refname)", "refs/heads"])
        .output_cap(1 << 28)
        .run()
        .and_then(crate::tools::program::Output::require_success)
        .map_err(|error| error.to_string())?;
    let refs = |text: &[u8]| -> Refs {
        let text = String::from_utf8_lossy(text);
        let pairs = text.lines().filter_map(|line| line.split_once(' '));
        pairs.map(|(id, name)| (name.to_owned(), id.to_owned())).collect()
    };
    // Somebody writes it: a branch that goes from there goes for good.
    let packing = file::is_there(&rules.common_dir.join("packed-refs.lock")).map_err(|e| e.to_string())?;
    let packed =
        if packing { None } else { file::read(&rules.common_dir.join("packed-refs")).ok().flatten() };
    Ok(Held { branches: refs(&listed.stdout), packed: refs(&packed.unwrap_or_default()) })
}

/// Stands in front of `name`: says what is not allowed, or becomes it.
fn in_front(name: &str, args: &[OsString]) -> ExitCode {
    let words: Vec<String> = args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let guard = ours(name).and_then(|at| Some(Guard(at.parent()?.parent()?.join("guard"))));
    if let Some(rules) = guard.and_then(|guard| rules(&guard))
        && let Some(why) = doors::refused_program(&rules.guards, name, &words)
    {
        return refuse(&why);
    }
    let Some(program) = real(name) else {
        refuse(&format!("{name} is not installed"));
        return ExitCode::from(NOT_THERE);
    };
    let error = exec::become_program(&program, OsStr::new(name), args, None);
    refuse(&format!("{}: {error}", program.display()));
    ExitCode::from(NOT_THERE - 1)
}

/// Every executable called `name` in PATH, with whether it is our own program.
fn named(name: &str) -> Vec<(PathBuf, bool)> {
    let environment = Environment::of_this_process();
    let Ok(own) = std::env::current_exe() else { return Vec::new() };
    let dirs = std::env::split_paths(environment.value("PATH").unwrap_or_default());
    let paths = dirs.filter(|dir| dir.is_absolute()).map(|dir| dir.join(name));
    let known = |path: PathBuf| {
        let real = file::canonical(&path).ok()?;
        Some((path, real == own))
    };
    paths.filter(|path| is_executable(path)).filter_map(known).collect()
}

/// Where we stand in front of `name`.
fn ours(name: &str) -> Option<PathBuf> {
    named(name).into_iter().find(|(_, ours)| *ours).map(|(path, _)| path)
}

/// What we stand in front of.
fn real(name: &str) -> Option<PathBuf> {
    named(name).into_iter().find(|(_, ours)| !*ours).map(|(path, _)| path)
}
