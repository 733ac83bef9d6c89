//! `doctor`: is everything there that agents need.

use super::Result;
use crate::a2a::{look, names, root};
use crate::agents::launch;
use crate::git::Version;
use crate::life::House;
use crate::model::report::{Check, DoctorReport, VERSION, Verdict};
use crate::tmux;

/// Looks at everything. Changes nothing.
pub fn doctor(house: &House) -> Result<DoctorReport> {
    let mut checks = vec![tmux_check(house), git_check(house), root_check(house), config_check(house)];
    checks.extend(cli_checks(house));
    checks.extend(agent_checks(house)?);
    let ok = checks.iter().all(|c| c.verdict != Verdict::Bad);
    Ok(DoctorReport { v: VERSION, ok, checks })
}

fn check(subject: &str, verdict: Verdict, found: impl Into<String>, hint: Option<String>) -> Check {
    Check { subject: subject.to_owned(), verdict, found: found.into(), hint }
}

fn tmux_check(house: &House) -> Check {
    let path = house.settings.environment.value("PATH").unwrap_or_default();
    match tmux::version(path) {
        Ok(Some(version)) => match house.tmux.sessions() {
            Ok(Some(sessions)) => check(
                "tmux",
                Verdict::Ok,
                format!("{version}, our server has {} sessions", sessions.len()),
                None,
            ),
            Ok(None) => check("tmux", Verdict::Ok, format!("{version}, our server is not running"), None),
            Err(error) => check(
                "tmux",
                Verdict::Bad,
                error.to_string(),
                Some(format!("end our server: tmux -S {} kill-server", house.tmux.socket().display())),
            ),
        },
        Ok(None) => check("tmux", Verdict::Bad, "not installed", Some("apt-get install tmux".to_owned())),
        Err(error) => check("tmux", Verdict::Bad, error.to_string(), error.hint()),
    }
}

fn git_check(house: &House) -> Check {
    let found = house.git().and_then(|git| Ok(git.version()?));
    match found {
        Ok(version) if version < Version::OLDEST => check(
            "git",
            Verdict::Bad,
            format!("{}.{} is too old", version.major, version.minor),
            Some(format!("install git {}.{} or newer", Version::OLDEST.major, Version::OLDEST.minor)),
        ),
        Ok(version) => check("git", Verdict::Ok, format!("{}.{}", version.major, version.minor), None),
        Err(error) => check("git", Verdict::Bad, error.to_string(), error.hint()),
    }
}

fn root_check(house: &House) -> Check {
    let root = &house.settings.places.root;
    match root::check(root, house.settings.uid) {
        Ok(true) => check("board", Verdict::Ok, root.display().to_string(), None),
        Ok(false) => check("board", Verdict::Ok, format!("{} will be made", root.display()), None),
        Err(error) => check("board", Verdict::Bad, error.to_string(), error.hint()),
    }
}

fn config_check(house: &House) -> Check {
    match house.catalogue() {
        Ok(_) => check("settings", Verdict::Ok, house.settings.places.config.display().to_string(), None),
        Err(error) => check("settings", Verdict::Bad, error.to_string(), error.hint()),
    }
}

fn cli_checks(house: &House) -> Vec<Check> {
    // A profile that cannot be read is told by the check of the settings.
    let Ok(catalogue) = house.catalogue() else { return Vec::new() };
    let mut checks = Vec::new();
    for profile in &catalogue {
        checks.push(if launch::is_self(profile) {
            check(&profile.name, Verdict::Ok, "built in", None)
        } else {
            match house.find_program(&profile.command) {
                Some(path) => check(&profile.name, Verdict::Ok, path.display().to_string(), None),
                None => check(
                    &profile.name,
                    Verdict::Note,
                    "not installed",
                    Some(profile.install.clone()).filter(|i| !i.is_empty()),
                ),
            }
        });
    }
    checks
}

fn agent_checks(house: &House) -> Result<Vec<Check>> {
    let all = names::all(&house.settings.places)?;
    let mut checks = Vec::new();
    let mut interrupted = 0;
    for named in &all {
        match look::look(&house.settings.places, named) {
            Ok(Some(report)) if report.state == crate::model::agent::State::Interrupted => interrupted += 1,
            Ok(_) => {}
            Err(error) => {
                checks.push(check(named.session.as_str(), Verdict::Bad, error.to_string(), error.hint()));
            }
        }
    }
    for session in names::foreign(&house.settings.places)? {
        let path = house.settings.places.name(&session);
        let found = format!("{} is not ours, so no agent gets this name", path.display());
        checks.push(check(session.as_str(), Verdict::Note, found, Some(format!("ls -l {}", path.display()))));
    }
    let found = format!("{} on record, {interrupted} interrupted", all.len());
    checks.insert(
        0,
        check(
            "agents",
            if interrupted > 0 { Verdict::Note } else { Verdict::Ok },
            found,
            (interrupted > 0).then(|| "ai_orch resume --all".to_owned()),
        ),
    );
    Ok(checks)
}
