//! Guardrails, the second layer: a hook through which git asks before it moves a ref, and something of ours in front of git and the
//! programs of forges.
//!
//! The hook is found by settings that hold for the git directories of this repository alone, so that other repositories an agent works
//! on have their own hooks. Every other hook is a link to that of the repository, which costs nothing where there is none; one that is
//! there is called by its own path, because hooks look for what lies beside them.

use super::{House, Result, work, worktree};
use crate::git::census::{self, Configured};
use crate::git::{GitEnv, Worktree};
use crate::model::agent::Agent;
use crate::model::guard::Rules;
use crate::model::places::{Guard, Record};
use crate::rules::{doors, naming};
use crate::settings::environment::Environment;
use crate::tools::file;
use crate::tools::program::{find_in_path, is_executable, path_beside};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The hook that is ours.
pub const HOOK: &str = "reference-transaction";

/// All other hooks that git calls in a repository that somebody works in.
const HOOKS: [&str; 16] = [
    "applypatch-msg",
    "commit-msg",
    "post-applypatch",
    "post-checkout",
    "post-commit",
    "post-index-change",
    "post-merge",
    "post-rewrite",
    "pre-applypatch",
    "pre-auto-gc",
    "pre-commit",
    "pre-merge-commit",
    "pre-push",
    "pre-rebase",
    "prepare-commit-msg",
    "sendemail-validate",
];

/// Lays the guardrails of `agent` anew, for a program in `environment`, which says as well where the user's configuration is. `refused` is
/// where the hook notes what it refused. What the repository has configured is told.
pub fn lay(
    house: &House,
    agent: &Agent,
    record: &Record,
    environment: &Environment,
    refused: PathBuf,
) -> Result<Configured> {
    let (guards, dir, bin) = (&agent.spec.guards, record.guard(), record.bin());
    let configured = match worktree(agent) {
        Some(own) => configured(&house.git_of(environment)?, agent, record, &own)?,
        None => Configured::default(),
    };
    make_dir(&dir.0)?;
    make_dir(&dir.nothing())?;
    if file::names(&dir.nothing())?.is_some_and(|names| !names.is_empty()) {
        file::put_aside(&dir.nothing())?;
        make_dir(&dir.nothing())?;
    }
    remove(&refused)?;
    let program = &house.settings.program;
    let again = |path: &Path| -> Result<()> {
        remove(path)?;
        file::link(path, program)?;
        Ok(())
    };
    if hooks(agent) {
        make_dir(&dir.hooks())?;
        let usual = configured.hooks == agent.spec.common_dir.join("hooks");
        for name in HOOKS {
            pass_on(&dir.hooks().join(name), &configured.hooks.join(name), usual)?;
        }
        again(&dir.hooks().join(HOOK))?;
        file::post(&dir.config(), &hooks_path(&dir))?;
    }
    again(&dir.no_login())?;
    let mut shims = Vec::new();
    let others = path_beside(environment.value("PATH").unwrap_or_default(), &bin);
    // What is not installed must not look as if it were.
    for name in doors::shims(guards).iter().filter(|name| find_in_path(name, &others).is_some()) {
        make_dir(&bin)?;
        again(&bin.join(name))?;
        shims.push((*name).to_owned());
    }
    let rules = Rules {
        guards: guards.clone(),
        own: agent.spec.branch.clone(),
        common_dir: agent.spec.common_dir.clone(),
        hooks: configured.hooks.clone(),
        refused,
        shims,
        program: program.clone(),
    };
    file::post(&dir.rules(), &serde_json::to_vec(&rules).map_err(crate::a2a::Error::Json)?)?;
    Ok(configured)
}

/// What is configured for the worktree of `agent`. Right behind its creation, where nobody is kept from remotes and no command of the
/// user's has run, that is known: there are no hooks of another place.
fn configured(env: &GitEnv, agent: &Agent, record: &Record, own: &Worktree) -> Result<Configured> {
    let untouched =
        !agent.spec.guards.without_login() && agent.attempts.is_empty() && agent.spec.setup.is_none();
    if untouched {
        let known = work::settings_of_now(agent, record)?;
        if known.is_some_and(|known| known.holds_for(env) && known.has_usual_hooks()) {
            return Ok(Configured { remotes: Vec::new(), hooks: own.common_dir.join("hooks") });
        }
    }
    Ok(census::configured(env, own)?)
}

/// Whether there is a hook at all.
pub fn hooks(agent: &Agent) -> bool {
    agent.spec.place.is_in_repository() && agent.spec.guards.over_branches()
}

/// The checksum of the rules that are laid down; `None` if there are none.
pub fn laid(record: &Record) -> Result<Option<String>> {
    Ok(file::read(&record.guard().rules())?.map(|bytes| naming::checksum(&bytes)))
}

/// What of the guardrails is not as they were laid, in words. `laid` is the checksum of the rules of then.
pub fn tampered(agent: &Agent, record: &Record, laid: Option<&str>) -> Vec<String> {
    let (dir, bin) = (record.guard(), record.bin());
    let rules = file::read(&dir.rules()).ok().flatten().unwrap_or_default();
    let parsed: Option<Rules> = serde_json::from_slice(&rules).ok();
    let Some(parsed) = parsed.filter(|_| laid == Some(naming::checksum(&rules).as_str())) else {
        return vec!["its rules".to_owned()];
    };
    let ours = |path: &Path| file::read_link(path).is_ok_and(|link| link.as_ref() == Some(&parsed.program));
    let mut wrong = Vec::new();
    if hooks(agent) {
        let config = file::read(&dir.config()).ok().flatten();
        if !ours(&dir.hooks().join(HOOK)) || config != Some(hooks_path(&dir)) {
            wrong.push("its hooks".to_owned());
        }
    }
    let shims = parsed.shims.iter().filter(|name| !ours(&bin.join(name)));
    wrong.extend(shims.map(|name| format!("what stands in front of {name}")));
    wrong
}

/// Removes what is at `path`, or puts it aside if an agent made something else of it than a file.
fn remove(path: &Path) -> Result<()> {
    match file::remove(path) {
        Ok(_) => Ok(()),
        Err(_) => Ok(file::put_aside(path).map(drop)?),
    }
}

/// Makes the directory `path`, whatever an agent put in its place.
fn make_dir(path: &Path) -> Result<()> {
    if !file::is_dir(path)? && file::ownership(path)?.is_some() {
        remove(path)?;
    }
    Ok(file::make_dirs(path)?)
}

/// Has the hook `at` be that of the repository at `theirs`. In the `usual` place of hooks there is mostly none, and git is to find that
/// out by itself; elsewhere a hook may come while the agent works (its package manager puts it there), with what lies beside it.
fn pass_on(at: &Path, theirs: &Path, usual: bool) -> Result<()> {
    if usual && !is_executable(theirs) {
        if file::read_link(at).ok().flatten().as_deref() != Some(theirs) {
            remove(at)?;
            file::link(at, theirs)?;
        }
        return Ok(());
    }
    let path = quoted(theirs.as_os_str());
    let script = [b"#!/bin/sh\n[ -x ", path.as_slice(), b" ] || exit 0\nexec ", &path, b" \"$@\"\n"].concat();
    let there = file::read_link(at)?.is_none() && file::read(at).ok().flatten().as_ref() == Some(&script);
    if there && is_executable(at) {
        return Ok(());
    }
    remove(at)?;
    Ok(file::post_program(at, &script)?)
}

/// Some text as one word for a shell, whatever bytes it has.
pub fn quoted(text: &OsStr) -> Vec<u8> {
    let mut word = vec![b'\''];
    for byte in text.as_bytes() {
        match byte {
            b'\'' => word.extend_from_slice(br"'\''"),
            other => word.push(*other),
        }
    }
    word.push(b'\'');
    word
}

/// The settings that lead git to the hooks.
fn hooks_path(dir: &Guard) -> Vec<u8> {
    let mut text = b"[core]\n\thooksPath = \"".to_vec();
    for byte in dir.hooks().as_os_str().as_bytes() {
        match byte {
            b'\n' => text.extend(br"\n"),
            b'"' | b'\\' => text.extend([b'\\', *byte]),
            other => text.push(*other),
        }
    }
    text.extend_from_slice(b"\"\n");
    text
}

/// The settings for an environment by which the git directories of the repository, and no others, have the hooks: a checkout's own one
/// lies under `worktrees`, and what is deeper belongs to submodules.
pub fn settings(agent: &Agent, record: &Record) -> Vec<(OsString, OsString)> {
    if !hooks(agent) {
        return Vec::new();
    }
    let mut pattern = Vec::new();
    for byte in agent.spec.common_dir.as_os_str().as_bytes() {
        match byte {
            // No key of git's holds one, and a pattern need not.
            b'\n' => pattern.push(b'?'),
            b'*' | b'?' | b'[' | b'\\' => pattern.extend([b'\\', *byte]),
            other => pattern.push(*other),
        }
    }
    let key =
        |end: &str| OsString::from_vec([b"includeIf.gitdir:", pattern.as_slice(), end.as_bytes()].concat());
    let config = record.guard().config().into_os_string();
    vec![(key(".path"), config.clone()), (key("/worktrees/*.path"), config)]
}
