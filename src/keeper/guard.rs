//! What holds an agent to what it may not do, as far as its keeper does it: in its environment while it works, and at its end.

use super::Keeper;
use crate::life::guard::{self, Seen};
use crate::life::{self, House, rails};
use crate::model::entry::Entry;
use crate::model::guard::{Census, Whose};
use crate::rules::guard as rule;
use crate::rules::means::{self, Had};
use crate::rules::shell;
use crate::rules::wording::Tone;
use crate::settings::environment::Environment;
use crate::tools::thread;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use tokio::sync::oneshot;

impl Keeper {
    /// Lays the guardrails anew and leads `environment` through them. `refused` is where the hook notes what it refused.
    pub(super) fn guarded(&self, environment: &mut Environment, refused: PathBuf) -> life::Result<()> {
        let agent = &self.pen.agent;
        let guards = &agent.spec.guards;
        if guards.is_none() {
            return Ok(());
        }
        let configured = rails::lay(&self.house, agent, &self.record, environment, refused)?;
        let mut settings = rails::settings(agent, &self.record);
        if guards.without_login() {
            let remotes = &configured.remotes;
            let no_login = self.record.guard().no_login();
            let taken = means::taken(
                guards,
                &Had {
                    names: environment.iter().filter_map(|(name, _)| name.to_str()).collect(),
                    given: agent.spec.env_names.iter().map(String::as_str).collect(),
                    urls: remotes.iter().flat_map(|r| &r.urls).map(String::as_str).collect(),
                    push_urls: remotes.iter().flat_map(|r| &r.push_urls).map(String::as_str).collect(),
                    nothing: self.record.guard().nothing(),
                    refuses: (shell::word(&no_login.to_string_lossy()), no_login),
                },
            );
            for name in &taken.unset {
                environment.unset(name);
            }
            for (name, value) in taken.set {
                environment.set(name, value);
            }
            settings.extend(taken.git.into_iter().map(|(key, value)| (key.into(), value.into())));
        }
        configure(environment, settings);
        Ok(())
    }

    /// The house, for whoever asks remotes what they have: with the keys that the person has at hand.
    fn house_with_keys(&self) -> House {
        let mut house = self.house.clone();
        if let Some(keys) = self.environment.value("SSH_AUTH_SOCK") {
            house.settings.environment.set("SSH_AUTH_SOCK", keys);
        }
        house
    }

    /// Begins to look what the refs are before an attempt, beside all else that comes before it.
    pub(super) fn look_at_refs(&self) -> oneshot::Receiver<life::Result<Option<Census>>> {
        let (house, agent) = (self.house_with_keys(), self.pen.agent.clone());
        thread::aside(move || guard::census(&house, &agent))
    }

    /// Puts on record what was `seen` of the refs before attempt `n`; the checksum of that.
    pub(super) async fn take_refs(
        &mut self,
        n: u32,
        seen: oneshot::Receiver<life::Result<Option<Census>>>,
    ) -> life::Result<Option<String>> {
        let census = self.done_aside(seen).await?;
        self.seen = Some(n);
        census.map(|census| guard::put_on_record(&self.record, n, census)).transpose()
    }

    /// Finds out what attempt `n` did that it may not do, and puts back what can be.
    pub(super) async fn guard(&mut self, n: u32) -> life::Result<()> {
        let (house, agent, record) = (self.house_with_keys(), self.pen.agent.clone(), self.record.clone());
        let seen = if self.seen == Some(n) { Seen::ToItsEnd } else { Seen::TakenOver };
        let found = self.aside(move || Ok(guard::look(&house, &agent, &record, n, seen))).await?;
        let mut findings = found.findings.clone();
        if let Some(intent) = found.intent(n) {
            self.pen.write(intent)?;
            let (house, agent, record) = (self.house.clone(), self.pen.agent.clone(), self.record.clone());
            findings = self.aside(move || Ok(guard::put_back(&house, &agent, &record, n, &findings))).await?;
        }
        for finding in &findings {
            let its = matches!(finding.whose, Whose::Agent | Whose::Likely);
            let tone = if its { Tone::Bad } else { Tone::Note };
            self.view.line(tone, &crate::model::text::Shown(&rule::told(finding)).to_string());
        }
        for what in &found.unknown {
            self.view.line(Tone::Note, &crate::model::text::Shown(what).to_string());
        }
        // The worktree may have been taken off its branch.
        self.known = None;
        let nothing = findings.is_empty();
        let entry = Entry::Guarded { n, findings, unknown: found.unknown };
        // That nothing was found is found again after a power cut.
        if nothing {
            self.pen.note(entry)?;
        } else {
            self.pen.write(entry)?;
        }
        Ok(())
    }
}

/// The variable in which git hands settings to the gits that it starts. Not `GIT_CONFIG_COUNT`, which is made for this: with it go
/// `GIT_CONFIG_KEY_0` and so on, and there are agent CLIs that take everything with "KEY" in its name out of what they start. git then
/// fails at every command, because a setting is missing that was promised.
const PARAMETERS: &str = "GIT_CONFIG_PARAMETERS";

/// Adds settings of git to an environment, behind those that are in it.
fn configure(environment: &mut Environment, settings: Vec<(OsString, OsString)>) {
    let mut all = environment.value(PARAMETERS).unwrap_or_default().as_bytes().to_vec();
    for (key, value) in settings {
        if !all.is_empty() {
            all.push(b' ');
        }
        all.extend(rails::quoted(&key));
        all.push(b'=');
        all.extend(rails::quoted(&value));
    }
    if !all.is_empty() {
        environment.set(PARAMETERS, OsString::from_vec(all));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_stand_behind_those_that_are_there() {
        let mut environment = Environment::default();
        configure(&mut environment, Vec::new());
        assert_eq!(environment.value(PARAMETERS), None);
        configure(&mut environment, vec![("a.b".into(), "it's".into()), ("c.d".into(), "".into())]);
        assert_eq!(environment.value(PARAMETERS).unwrap(), r"'a.b'='it'\''s' 'c.d'=''");
        configure(&mut environment, vec![("e.f".into(), "g".into())]);
        assert_eq!(environment.value(PARAMETERS).unwrap(), r"'a.b'='it'\''s' 'c.d'='' 'e.f'='g'");
    }
}
