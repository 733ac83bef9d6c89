//! What holds an agent to what it may not do, as far as its keeper does it: in its environment while it works, and at its end.

use super::Keeper;
use crate::life::{self, guard, rails};
use crate::model::entry::Entry;
use crate::model::guard::Whose;
use crate::rules::guard as rule;
use crate::rules::means::{self, Had};
use crate::rules::wording::Tone;
use crate::settings::environment::Environment;
use std::ffi::OsString;
use std::path::PathBuf;

impl Keeper {
    /// Lays the guardrails anew and leads `environment` through them. `refused` is where the hook notes what it refused.
    pub(super) fn guarded(&self, environment: &mut Environment, refused: PathBuf) -> life::Result<()> {
        let agent = &self.pen.agent;
        let guards = &agent.spec.guards;
        if guards.is_none() {
            return Ok(());
        }
        let path = environment.value("PATH").unwrap_or_default().to_owned();
        let configured = rails::lay(&self.house, agent, &self.record, &path, refused)?;
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
                    refuses: (rule::quoted(&no_login.to_string_lossy()), no_login),
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

    /// Finds out what attempt `n` did that it may not do, and puts back what can be.
    pub(super) async fn guard(&mut self, n: u32) -> life::Result<()> {
        let (house, agent, record) = (self.house.clone(), self.pen.agent.clone(), self.record.clone());
        let found = self.aside(move || Ok(guard::look(&house, &agent, &record, n))).await?;
        let mut findings = found.findings.clone();
        if let Some(intent) = found.intent(n) {
            self.pen.write(intent)?;
            let (house, agent) = (self.house.clone(), self.pen.agent.clone());
            findings = self.aside(move || Ok(guard::put_back(&house, &agent, n, &findings))).await?;
        }
        for finding in &findings {
            let tone = if finding.whose == Whose::Agent { Tone::Bad } else { Tone::Note };
            self.view.line(tone, &crate::model::text::Shown(&rule::told(finding)).to_string());
        }
        for what in &found.unknown {
            self.view.line(Tone::Note, &crate::model::text::Shown(what).to_string());
        }
        // The worktree may have been taken off its branch.
        self.known = None;
        Ok(self.pen.write(Entry::Guarded { n, findings, unknown: found.unknown })?)
    }
}

/// Adds settings of git to an environment, behind those that are in it.
fn configure(environment: &mut Environment, settings: Vec<(OsString, OsString)>) {
    let count = environment.value("GIT_CONFIG_COUNT").and_then(|count| count.to_str()?.parse().ok());
    let mut count: usize = count.unwrap_or(0);
    for (key, value) in settings {
        environment.set(format!("GIT_CONFIG_KEY_{count}"), key);
        environment.set(format!("GIT_CONFIG_VALUE_{count}"), value);
        count += 1;
    }
    if count > 0 {
        environment.set("GIT_CONFIG_COUNT", count.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_stand_behind_those_that_are_there() {
        let mut environment = Environment::default();
        configure(&mut environment, Vec::new());
        assert_eq!(environment.value("GIT_CONFIG_COUNT"), None);
        for (given, last) in [(None, "0"), (Some("1"), "1"), (Some("nonsense"), "0")] {
            let mut environment = Environment::default();
            if let Some(given) = given {
                environment.set("GIT_CONFIG_COUNT", given);
            }
            configure(&mut environment, vec![("a.b".into(), "c".into())]);
            assert_eq!(environment.value(&format!("GIT_CONFIG_KEY_{last}")).unwrap(), "a.b");
            assert_eq!(environment.value(&format!("GIT_CONFIG_VALUE_{last}")).unwrap(), "c");
        }
    }
}
