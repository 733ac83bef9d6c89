//! Playing one step that runs a program: an attempt of an agent CLI, or the validation command.

use super::attempt::{Ear, Limits};
use super::child::{self, Plan};
use super::children::Nursery;
use super::senses::Stop;
use super::supervise::{Exit, supervise};
use super::validate::Listener;
use super::{Keeper, reach, stub};
use crate::a2a::identity;
use crate::a2a::look::{AGENT, MARK};
use crate::agents::launch::{self, LaunchFacts, Stdin};
use crate::agents::mcp::McpServer;
use crate::agents::translate::Translator;
use crate::life::{self, fence, work};
use crate::model::agent::Attempt;
use crate::model::entry::{Ending, Entry, Turn};
use crate::model::event::Usage;
use crate::model::failure::{Class, Failure};
use crate::model::places::Attempt as AttemptPlaces;
use crate::model::profile::{FailureRule, Format, Profile, TaskKind};
use crate::rules::heard::Heard;
use crate::rules::next::fallback_left;
use crate::rules::outcome::{self, AttemptFacts, End, Outcome, StopCause};
use crate::rules::prompt::{self, Before, ContextFile, How, Verdict};
use crate::rules::wording::Tone;
use crate::tools::program::find_in_path;
use crate::tools::spool::Spool;
use crate::tools::{clock, file, process};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;
use uuid::Uuid;

/// How much of what the agent said last is put on record, in bytes.
pub(super) const ANSWER: usize = 2000;

/// How long the disk may take to write what an attempt left. A busy one takes seconds; the work is not lost if it takes longer.
const SECURE_LIMIT: Duration = Duration::from_mins(1);

/// How much context is read, in bytes: many files of the largest size.
const CONTEXT_MAX: u64 = 1 << 30;

/// What a prompt is made of.
struct Prompt {
    text: String,
    /// The CLI's own conversation to go on with.
    resume: Option<String>,
    /// What that conversation has used before.
    used_before: Usage,
    /// For a CLI whose task is a script: what would be in a prompt.
    brief: Option<String>,
}

impl Keeper {
    /// Makes attempt `n` with the CLI at `link`.
    pub(super) async fn attempt(&mut self, n: u32, link: usize, turn: Turn) -> life::Result<()> {
        let spec = self.pen.agent.spec.clone();
        let Some(wanted) = spec.chain.get(link).cloned() else {
            return self
                .conclude(
                    crate::model::entry::Final::Failed,
                    Some(Failure::new(Class::Unknown, "the chain is empty")),
                )
                .await;
        };
        if let Some((left, allowed)) = self.money_left()
            && left <= 0.0
        {
            let failure = Failure::new(Class::Budget, format!("the budget of ${allowed:.2} is spent"));
            return self.conclude(crate::model::entry::Final::Failed, Some(failure)).await;
        }
        self.announce(n, &wanted.cli, turn);
        let mark = clock::new_id();
        let started = |process, program, note, resumes, refs| Entry::AttemptStarted {
            n,
            link,
            turn,
            mark,
            process,
            program,
            note,
            resumes,
            refs,
        };
        let Some((profile, program)) = self.installed(&wanted.cli) else {
            self.pen.note(started(None, None, None, None, None))?;
            let install = self.catalogue.find(&wanted.cli).map(|p| p.install.clone()).unwrap_or_default();
            let message = if install.is_empty() {
                format!("{} is not installed", wanted.cli)
            } else {
                format!("{} is not installed; install it: {install}", wanted.cli)
            };
            return self.not_run(n, Failure::new(Class::MissingCli, message));
        };
        let places = self.record.attempt(n);
        file::make_dirs(&places.0)?;
        let refs = self.look_at_refs();
        let prompt = self.prompt(&profile, link, turn).await?;
        let server = reach::server(
            &self.house.settings.program,
            &self.house.settings.places,
            &spec,
            &self.token,
            (&self.record, &places),
            &profile.name,
        );
        let launch = match self.launch(&profile, program, wanted.model.clone(), &prompt, &places, &server) {
            Ok(launch) => launch,
            Err(error) => {
                self.pen.note(started(None, None, None, None, None))?;
                return self.not_run(n, Failure::new(Class::Unknown, error.to_string()));
            }
        };
        let plan = match self.plan(n, mark, &launch, &prompt, &places, &server) {
            Ok(plan) => plan,
            Err(life::Error::Git(error)) => {
                self.pen.note(started(None, None, None, None, None))?;
                let why = format!("the guardrails could not be laid: {error}");
                return self.not_run(n, Failure::new(Class::Git, why));
            }
            Err(error) => return Err(error),
        };
        let refs = match self.take_refs(n, refs).await {
            Ok(refs) => refs,
            Err(life::Error::Git(error)) => {
                self.pen.note(started(None, None, None, None, None))?;
                let why = format!("what the refs are could not be put on record: {error}");
                return self.not_run(n, Failure::new(Class::Git, why));
            }
            Err(error) => return Err(error),
        };
        let program = Some(plan.program.to_string_lossy().into_owned());
        let waiting = match child::start(&plan) {
            Ok(waiting) => waiting,
            Err(error) => {
                self.pen.note(started(None, program, None, None, None))?;
                return self.not_run(n, Failure::new(Class::Crash, format!("could not be started: {error}")));
            }
        };
        if let Some(note) = &launch.note {
            self.view.line(Tone::Note, note);
        }
        // From here on the process is on record, so that whoever takes over finds it; only then may it become the CLI.
        self.pen.note(started(
            Some(waiting.process.clone()),
            program,
            launch.note.clone(),
            prompt.resume.clone(),
            refs,
        ))?;
        self.board.update(&self.pen.agent, None);
        let changes_before = match self.known.take() {
            Some(known) => Some(known),
            None => self.changes().await,
        };
        let began = clock::tick();
        let limits = Limits {
            timeout: self.timeout,
            budget_usd: self.money_left(),
            later_cli_usable: fallback_left(&self.pen.agent, link, |l| {
                spec.chain.get(l).is_some_and(|l| self.installed(&l.cli).is_some())
            }),
        };
        let translator = Translator::new(profile.events).after(prompt.used_before);
        let (exit, heard) = {
            let pen = RefCell::new(&mut self.pen);
            let mut nursery = Nursery { children: &mut self.children, pen: &pen };
            let mut ear = Ear::new(n, &profile, translator, limits, &places, &mut self.board)?;
            ear.on_conversation = Some(Box::new(|id, model| {
                let told = Entry::Conversation { n, id: id.to_owned(), model: model.map(str::to_owned) };
                if let Err(error) = pen.borrow_mut().note(told) {
                    tracing::warn!(%error, "the conversation's id could not be put on record");
                }
            }));
            let exit = match waiting.go().await {
                Ok(mut running) => {
                    let (tmux, session) = (&self.house.tmux, &spec.session);
                    let (senses, view) = (&mut self.senses, &mut self.view);
                    supervise(&mut running, &mut ear, senses, view, tmux, session, &mut nursery).await
                }
                Err(error) => Err(error),
            };
            ear.finish(&mut self.view);
            let format = ear.format();
            (exit, (ear.heard, ear.stderr_tail, ear.cause, format))
        };
        let (heard, stderr, cause, format) = heard;
        require_gone(&exit)?;
        let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let unsafe_work = self.secure(cause != Some(StopCause::Killed)).await.err();
        self.known = self.changes().await;
        let changed = changes_before.zip(self.known.as_ref()).map(|(before, after)| before != *after);
        let stderr: Vec<String> = stderr.into_iter().collect();
        let (end, code, signal) = end_of(exit, &stderr);
        let facts = AttemptFacts {
            task: profile.task,
            format,
            permissions: spec.permissions,
            end,
            stop: cause.clone(),
            heard: &heard,
            changed,
            stderr: &stderr,
            rules: self.rules(&profile, format),
        };
        let ending = match (outcome::outcome(&facts), unsafe_work) {
            (Outcome::Done, Some(error)) => {
                let why = format!("what it did could not be written to the disk: {error}");
                Ending::Failed { failure: Failure::new(Class::Git, why) }
            }
            (Outcome::Done, None) => Ending::Done,
            (Outcome::Failed(failure), _) => Ending::Failed { failure },
            (Outcome::Killed, _) => Ending::Killed,
            // No end is put on record: whoever resumes makes the attempt again.
            (Outcome::Interrupted, _) => return Ok(()),
        };
        if let Ending::Failed { failure } = &ending {
            let text = format!("{} stopped ({}): {}", wanted.cli, failure.class, failure.message);
            self.view.line(Tone::Bad, &crate::model::text::Shown(&text).to_string());
        }
        let answer = answer(&heard, &places, profile.task);
        Ok(self.pen.write(Entry::AttemptEnded {
            n,
            ending,
            exit: code,
            signal,
            usage: heard.usage,
            ms,
            answer,
        })?)
    }

    /// Makes what an attempt left safe before its end is put on record: unlocked, if its git was killed, and on disk, because
    /// neither the agent nor its git waits for that, and what is reported as done must survive a power cut. A kill does not
    /// wait for the disk (`sync` is false): it reports nothing as done.
    async fn secure(&mut self, sync: bool) -> life::Result<()> {
        let agent = self.pen.agent.clone();
        let secured = self.aside(move || {
            fence::unlock(&agent);
            if sync {
                // Around it: the worktree itself is the agent's, who may have closed or removed it.
                let around = agent.spec.worktree.parent().unwrap_or(&agent.spec.worktree);
                file::sync_all_around(around)?;
                file::sync_all_around(&agent.spec.common_dir)?;
            }
            Ok(())
        });
        clock::within(SECURE_LIMIT, secured).await.unwrap_or_else(|| {
            tracing::warn!("the disk took too long to sync the work");
            Ok(())
        })
    }

    /// The rules that tell what a failure means. A recording is judged by those of the CLI whose format it turned out to
    /// have.
    fn rules<'a>(&'a self, profile: &'a Profile, format: Format) -> &'a [FailureRule] {
        if profile.events == Format::Auto && profile.failures.is_empty() {
            return self.catalogue.iter().find(|p| p.events == format).map_or(&[], |p| &p.failures);
        }
        &profile.failures
    }

    /// Puts on record that attempt `n` never ran.
    fn not_run(&mut self, n: u32, failure: Failure) -> life::Result<()> {
        let text = crate::model::text::Shown(&failure.message).to_string();
        self.view.line(Tone::Bad, &text);
        let ending = Ending::Failed { failure };
        let ended = Entry::AttemptEnded {
            n,
            ending,
            exit: None,
            signal: None,
            usage: None,
            ms: 0,
            answer: String::new(),
        };
        Ok(self.pen.write(ended)?)
    }

    /// The profile of `cli` and where its program is; `None` if it is not installed.
    fn installed(&self, cli: &str) -> Option<(Profile, PathBuf)> {
        let profile = self.catalogue.find(cli)?;
        if launch::is_self(profile) {
            return Some((profile.clone(), self.house.settings.program.clone()));
        }
        let path = self.environment.value("PATH").unwrap_or_default();
        Some((profile.clone(), find_in_path(&profile.command, path)?))
    }

    /// US dollars left and allowed, if there is a budget.
    fn money_left(&self) -> Option<(f64, f64)> {
        let allowed = self.pen.agent.spec.budget_usd?;
        let spent: f64 =
            self.pen.agent.attempts.iter().filter_map(|a| a.ended.as_ref()?.usage?.cost_usd).sum();
        Some((allowed - spent, allowed))
    }

    async fn changes(&mut self) -> Option<crate::model::entry::Changes> {
        let (house, agent) = (self.house.clone(), self.pen.agent.clone());
        self.aside(move || work::changes(&house, &agent)).await.ok().flatten()
    }

    /// What the CLI is asked.
    async fn prompt(&mut self, profile: &Profile, link: usize, turn: Turn) -> life::Result<Prompt> {
        let task = self.task(self.pen.agent.task_round)?;
        let path = self.record.context();
        let context: Vec<ContextFile> = match file::read_up_to(&path, CONTEXT_MAX)? {
            Some(bytes) => serde_json::from_slice(&bytes).map_err(|e| file::Error::damaged(&path, e))?,
            None if self.pen.agent.spec.has_context => {
                return Err(file::Error::damaged(&path, "it is gone").into());
            }
            None => Vec::new(),
        };
        let plain = |text: String| Prompt { text, resume: None, used_before: Usage::default(), brief: None };
        let verdict = self.verdict().filter(|_| self.repairs(turn));
        let known = self.conversation(link, turn).filter(|_| !profile.resume.is_empty());
        let said = match (turn, &verdict) {
            (Turn::Repair, Some(verdict)) => Some(prompt::repair(verdict)),
            (Turn::Resume, verdict) => Some(prompt::resume(verdict.as_ref())),
            (Turn::Continue, _) => Some(task.clone()),
            (Turn::Task | Turn::Handover | Turn::Repair, _) => None,
        };
        if let (Some(id), Some(text)) = (known, said) {
            let used_before = self.used_in(&id);
            return Ok(Prompt { text, resume: Some(id), used_before, brief: None });
        }
        let brief = match turn {
            Turn::Task => None,
            Turn::Handover | Turn::Repair | Turn::Resume | Turn::Continue => {
                let (house, agent) = (self.house.clone(), self.pen.agent.clone());
                let found = self.aside(move || Ok(work::found(&house, &agent))).await?;
                let earlier = self.earlier_tasks()?;
                let mut brief = prompt::brief(&earlier, &self.before(), &found);
                if let Some(verdict) = &verdict {
                    brief = format!("{brief}\n{}", prompt::repair(verdict));
                }
                Some(brief)
            }
        };
        let text = match (profile.task, brief) {
            (TaskKind::Script, brief) => return Ok(Prompt { brief, ..plain(task) }),
            (TaskKind::Prompt, None) => prompt::first(&task, &context),
            (TaskKind::Prompt, Some(brief)) => prompt::handover(&task, &context, &brief),
        };
        let spec = &self.pen.agent.spec;
        let may_start = spec.may_start.is_some();
        let company = prompt::company(&spec.session, spec.role.as_ref(), may_start, &spec.guards);
        Ok(plain(text + &company + &prompt::goes_on(spec.deliver.as_ref(), spec.pull.as_ref())))
    }

    /// The text of the task of a round.
    fn task(&self, round: u32) -> life::Result<String> {
        let path = self.record.task(round);
        // Nobody is asked to do nothing because a file is gone.
        let task = file::read(&path)?.ok_or_else(|| file::Error::damaged(&path, "it is gone"))?;
        Ok(String::from_utf8_lossy(&task).into_owned())
    }

    /// The tasks of the rounds before, for a CLI that knows none of them.
    fn earlier_tasks(&self) -> life::Result<Vec<String>> {
        let agent = &self.pen.agent;
        // A round that went on with a task has none of its own.
        let rounds: BTreeSet<u32> = agent.earlier.iter().map(|earlier| earlier.task_round).collect();
        let before = rounds.into_iter().filter(|round| *round < agent.task_round);
        let texts = before.map(|round| self.task(round)).collect::<life::Result<Vec<_>>>()?;
        Ok(texts.into_iter().filter(|text| !text.is_empty()).collect())
    }

    /// Whether an attempt for this reason is there to mend what the validation found: a repair, or one that goes on with
    /// a repair which was interrupted.
    fn repairs(&self, turn: Turn) -> bool {
        let lost = self.pen.agent.round_attempts().iter().rev().find(|a| a.turn != Turn::Resume);
        turn == Turn::Repair || (turn == Turn::Resume && lost.is_some_and(|a| a.turn == Turn::Repair))
    }

    /// The conversation that an attempt for this reason goes on with, if the CLI told its id.
    fn conversation(&self, link: usize, turn: Turn) -> Option<String> {
        let attempts = &self.pen.agent.attempts;
        let of_link = |a: &&Attempt| a.link == link;
        match turn {
            Turn::Task | Turn::Handover => None,
            // An attempt that ended before the CLI said anything may itself have been to go on with one.
            Turn::Repair | Turn::Resume => {
                let last = attempts.last().filter(of_link)?;
                last.conversation.clone().or_else(|| last.resumes.clone())
            }
            Turn::Continue => attempts.iter().rev().filter(of_link).find_map(|a| a.conversation.clone()),
        }
    }

    fn verdict(&self) -> Option<Verdict> {
        let validation = self.pen.agent.validations.last()?;
        let how =
            validation.exit.map_or_else(|| "was stopped".to_owned(), |exit| format!("exited with {exit}"));
        Some(Verdict {
            command: self.pen.agent.spec.validate.clone()?,
            how,
            output: validation.output.clone(),
        })
    }

    /// What the attempts so far came to. A CLI that was repairing its own work is told once.
    fn before(&self) -> Vec<Before> {
        let cli =
            |a: &Attempt| self.pen.agent.spec.chain.get(a.link).map_or("?", |l| l.cli.as_str()).to_owned();
        let refused = |n: u32| self.pen.agent.validations.iter().any(|v| v.n == n && !v.ok);
        let told = |a: &Attempt| {
            let (how, answer) = match a.ended.as_ref().map(|ended| (&ended.ending, ended.answer.clone())) {
                Some((Ending::Failed { failure }, answer)) if failure.class == Class::Interrupted => {
                    (How::Interrupted, answer)
                }
                Some((Ending::Failed { failure }, answer)) => (How::Failed(failure.clone()), answer),
                Some((Ending::Done, answer)) if refused(a.n) => {
                    let why = "its work did not pass the validation";
                    (How::Failed(Failure::new(Class::Validation, why)), answer)
                }
                Some((Ending::Done, answer)) => (How::Done, answer),
                Some((Ending::Killed, _)) | None => (How::Interrupted, String::new()),
            };
            Before { cli: cli(a), how, answer }
        };
        self.pen.agent.attempts.iter().map(told).collect()
    }

    fn used_in(&self, conversation: &str) -> Usage {
        let attempts =
            self.pen.agent.attempts.iter().filter(|a| a.conversation.as_deref() == Some(conversation));
        attempts.filter_map(|a| a.ended.as_ref()?.usage).fold(Usage::default(), |sum, usage| Usage {
            input_tokens: sum.input_tokens + usage.input_tokens,
            output_tokens: sum.output_tokens + usage.output_tokens,
            cost_usd: match (sum.cost_usd, usage.cost_usd) {
                (None, cost) | (cost, None) => cost,
                (Some(a), Some(b)) => Some(a + b),
            },
        })
    }

    fn launch(
        &self,
        profile: &Profile,
        program: PathBuf,
        model: Option<String>,
        prompt: &Prompt,
        places: &AttemptPlaces,
        server: &McpServer,
    ) -> Result<launch::Launch, crate::agents::Error> {
        let agent = &self.pen.agent;
        let (worktree, git_dir) = agent
            .worktree
            .clone()
            .unwrap_or_else(|| (agent.spec.worktree.clone(), agent.spec.common_dir.clone()));
        launch::launch(
            profile,
            &LaunchFacts {
                program,
                self_exe: self.house.settings.program.clone(),
                model,
                permissions: agent.spec.permissions,
                budget_usd: self.money_left().map(|(left, _)| left),
                worktree,
                git_dir,
                git_common_dir: agent.spec.common_dir.clone(),
                prompt: prompt.text.clone(),
                prompt_file: places.prompt(),
                cli_session: prompt.resume.clone().unwrap_or_else(|| clock::new_id().to_string()),
                resume: prompt.resume.is_some(),
                mcp: server.clone(),
            },
        )
    }

    /// The process to start, with its files written.
    fn plan(
        &self,
        n: u32,
        mark: Uuid,
        launch: &launch::Launch,
        prompt: &Prompt,
        places: &AttemptPlaces,
        server: &McpServer,
    ) -> life::Result<Plan> {
        let spec = &self.pen.agent.spec;
        file::post(&places.prompt(), prompt.text.as_bytes())?;
        let mut environment = self.environment.clone();
        for name in &launch.env_unset {
            environment.unset(name);
        }
        for (name, value) in &launch.env_set {
            environment.set(name, value.clone());
        }
        reach::prepare(launch, server, &self.record, &mut environment)?;
        let ours: [(&str, OsString); 8] = [
            (identity::SESSION, spec.session.as_str().into()),
            (identity::TOKEN, self.token.clone().into()),
            (AGENT, spec.id.to_string().into()),
            ("AI_ORCH_ATTEMPT", n.to_string().into()),
            (MARK, mark.to_string().into()),
            ("AI_ORCH_WORKTREE", spec.worktree.clone().into()),
            ("AI_ORCH_BRANCH", spec.branch.clone().into()),
            ("AI_ORCH_BASE", spec.base.clone().into()),
        ];
        for (name, value) in ours {
            environment.set(name, value);
        }
        if let Some(brief) = &prompt.brief {
            file::post(&places.brief(), brief.as_bytes())?;
            environment.set("AI_ORCH_BRIEF", places.brief());
        }
        if spec.has_context {
            environment.set("AI_ORCH_CONTEXT", self.record.context());
        }
        self.guarded(&mut environment, places.refused())?;
        Ok(Plan {
            own: self.house.settings.program.clone(),
            program: launch.program.clone(),
            args: launch.args.clone(),
            input: (launch.stdin == Stdin::PromptFile).then(|| places.prompt()),
            environment,
            dir: spec.worktree.clone(),
        })
    }

    /// Runs the command that makes the worktree ready for work.
    pub(super) async fn set_up(&mut self) -> life::Result<()> {
        let Some(command) = self.pen.agent.spec.setup.clone() else { return Ok(()) };
        let path = self.record.setup();
        let Some(Ran { exit, ms, output }) = self.shell("setup", &command, &path).await? else {
            return Ok(());
        };
        let ok = exit == Some(0);
        let (tone, text) = if ok { (Tone::Good, "it is set up") } else { (Tone::Bad, "the setup failed") };
        self.view.line(tone, text);
        // What it made is there, or was looked for in vain: nothing that is known about the worktree holds any more.
        self.known = None;
        Ok(self.pen.write(Entry::SetUp { ok, exit, ms, output })?)
    }

    /// Runs the validation command on what attempt `n` did.
    pub(super) async fn validate(&mut self, n: u32) -> life::Result<()> {
        let Some(command) = self.pen.agent.spec.validate.clone() else { return Ok(()) };
        let places = self.record.attempt(n);
        file::make_dirs(&places.0)?;
        let Some(Ran { exit, ms, output }) = self.shell("validation", &command, &places.validation()).await?
        else {
            return Ok(());
        };
        let ok = exit == Some(0);
        let (tone, text) =
            if ok { (Tone::Good, "the validation succeeded") } else { (Tone::Bad, "the validation failed") };
        self.view.line(tone, text);
        Ok(self.pen.write(Entry::Validated { n, ok, exit, ms, output })?)
    }

    /// Runs a shell command of the user's in the worktree, supervised like an attempt, and keeps its output in `path`. `None`: the
    /// keeper was asked to stop, or the time of the task is over, which is on record then.
    async fn shell(&mut self, what: &str, command: &str, path: &Path) -> life::Result<Option<Ran>> {
        let spec = self.pen.agent.spec.clone();
        let line = crate::model::text::fit(&format!("{what}: {command}"), 200);
        self.view.line(Tone::Note, &line);
        self.board.activity(Some(line), None);
        self.board.flush();
        let mut environment = self.environment.clone();
        environment.set(identity::SESSION, spec.session.as_str());
        environment.set(AGENT, spec.id.to_string());
        // The last attempt's mark: whoever takes over looks for that one, and must find this command too.
        if let Some(attempt) = self.pen.agent.last_attempt() {
            environment.set(MARK, attempt.mark.to_string());
        }
        if let Err(error) = self.guarded(&mut environment, self.record.guard().refused()) {
            let life::Error::Git(error) = error else { return Err(error) };
            let why = format!("the guardrails could not be laid for the {what}: {error}");
            self.conclude(crate::model::entry::Final::Failed, Some(Failure::new(Class::Git, why))).await?;
            return Ok(None);
        }
        // One pipe for both: what was printed first is read first.
        let script = format!("exec 2>&1\n{command}");
        let plan = Plan {
            own: self.house.settings.program.clone(),
            program: PathBuf::from("/bin/sh"),
            args: vec!["-c".into(), script.into()],
            input: None,
            environment,
            dir: spec.worktree.clone(),
        };
        let mut listener = Listener::new(Spool::create(path)?, self.timeout.map(|(at, _)| at));
        let began = clock::tick();
        let exit = match child::start(&plan) {
            Ok(waiting) => match waiting.go().await {
                Ok(mut running) => {
                    let (tmux, session) = (&self.house.tmux, &spec.session);
                    let (senses, view) = (&mut self.senses, &mut self.view);
                    let pen = RefCell::new(&mut self.pen);
                    let mut nursery = Nursery { children: &mut self.children, pen: &pen };
                    supervise(&mut running, &mut listener, senses, view, tmux, session, &mut nursery).await
                }
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        require_gone(&exit)?;
        match &listener.stop {
            // Asked to stop: the loop sees it next; the command counts as not run.
            Some(Stop::Killed | Stop::Interrupted(_)) => return Ok(None),
            None if listener.timed_out => {
                let why = format!("the time allowed was over during the {what}");
                let failure = Failure::new(Class::Timeout, why);
                self.conclude(crate::model::entry::Final::Failed, Some(failure)).await?;
                return Ok(None);
            }
            None => {}
        }
        let (exit, output) = match exit {
            Ok(exit) => (exit.code, listener.tail()),
            Err(error) => (None, format!("the command could not be run: {error}")),
        };
        Ok(Some(Ran { exit, ms, output }))
    }
}

/// How a shell command of the user's ended.
struct Ran {
    exit: Option<i32>,
    ms: u64,
    output: String,
}

/// As long as anything of a child runs, nobody else may touch the worktree: neither the next CLI nor a commit.
fn require_gone(exit: &std::io::Result<Exit>) -> life::Result<()> {
    match exit {
        Ok(Exit { clean: false, .. }) => {
            let pids = process::descendants()?.into_iter().map(|p| p.pid).collect();
            Err(life::Error::StillRunning { pids })
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

/// How the process ended, told apart from our own stub's failure to become the program.
fn end_of(exit: std::io::Result<Exit>, stderr: &[String]) -> (End, Option<i32>, Option<i32>) {
    let exit = match exit {
        Ok(exit) => exit,
        Err(error) => return (End::NotStarted(error.to_string()), None, None),
    };
    let not_started = stderr.iter().find(|line| line.starts_with(stub::NOT_STARTED));
    let end = match (exit.code, exit.signal, not_started) {
        (Some(126 | 127), _, Some(line)) => End::NotStarted(line.clone()),
        (Some(code), ..) => End::Exited(code),
        (None, Some(signal), _) => End::Signaled(signal),
        (None, None, _) => End::Unseen,
    };
    (end, exit.code, exit.signal)
}

/// The end of what the agent said: its last message, or for a script the end of its output.
fn answer(heard: &Heard, places: &AttemptPlaces, task: TaskKind) -> String {
    if task == TaskKind::Prompt || !heard.last_message.is_empty() {
        return prompt::last_lines(heard.last_message.trim(), ANSWER).to_owned();
    }
    let kept = crate::tools::spool::read(&places.stdout()).ok().flatten();
    let bytes = kept.map(|k| k.tail.unwrap_or(k.head)).unwrap_or_default();
    let from = bytes.len().saturating_sub(ANSWER);
    let text = String::from_utf8_lossy(bytes.get(from..).unwrap_or_default()).into_owned();
    prompt::last_lines(text.trim_end(), ANSWER).to_owned()
}
