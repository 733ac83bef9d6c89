//! `run`: from a request to an agent at work.

use super::project_file::{self, Consent};
use super::{Error, Result, guard};
use crate::a2a::look;
use crate::a2a::names::Named;
use crate::agents::Catalogue;
use crate::agents::launch::{self, LaunchFacts};
use crate::agents::mcp::McpServer;
use crate::life::create::{self, Created, Order};
use crate::life::ground::{self, Ground};
use crate::life::pull::{self, Pulled, Way};
use crate::life::{self, House};
use crate::model::delivery::{Delivery, PullRequest};
use crate::model::entry::Link;
use crate::model::guard::Guards;
use crate::model::profile::Profile;
use crate::model::report::AgentReport;
use crate::model::request::Run;
use crate::model::text::Shown;
use crate::rules::mention;
use crate::rules::naming;
use crate::rules::place::{self, Said, Wanted};
use crate::rules::prompt::ContextFile;
use crate::rules::pull_text::{self, Facts};
use crate::settings::environment::Environment;
use crate::tools::file;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The largest context file, in bytes.
const CONTEXT_MAX: u64 = 8 << 20;
/// The CLIs that are looked for when nobody said which, in this order.
const DEFAULTS: [&str; 4] = ["claude", "codex", "gemini", "cursor-agent"];

/// An agent that was started, and what the user should know about it.
#[derive(Debug, Clone)]
pub struct Started {
    /// The agent.
    pub created: Created,
    /// What is not exactly as asked for.
    pub notes: Vec<String>,
}

/// An agent that can be made. Nothing of it is.
#[derive(Debug)]
pub struct Ready {
    ground: Ground,
    order: Order,
    /// Whether its name was asked for.
    named: bool,
    notes: Vec<String>,
}

/// Makes sure that the agent which `request` asks for can be made: everything that can be refused is refused here, and nothing is made.
/// `consent` is asked for if the repository asks for anything that nobody has allowed before.
pub fn ready(house: &House, request: &Run, consent: Consent<'_>) -> Result<Ready> {
    guard::person_only(house, "run")?;
    ready_for(house, request, &house.settings.environment.for_agent(), consent)
}

/// The same, for whoever may start it. The agent gets `environment`, and what the request adds to it.
pub(super) fn ready_for(
    house: &House,
    request: &Run,
    environment: &Environment,
    consent: Consent<'_>,
) -> Result<Ready> {
    if request.validate.as_ref().is_some_and(|command| command.trim().is_empty()) {
        // A shell is content with nothing, and the task would count as validated.
        let hint = "for example: --validate 'cargo test'; or leave it out";
        return Err(Error::usage("--validate has no command", hint));
    }
    if request.setup.as_ref().is_some_and(|command| command.trim().is_empty()) {
        return Err(Error::usage("--setup has no command", "for example: --setup 'npm ci'; or leave it out"));
    }
    if request.task.trim().is_empty() {
        return Err(Error::usage("the task is empty", "ai_orch run 'what to do'"));
    }
    let name = match &request.name {
        Some(name) => name.parse().map_err(|e: crate::model::ids::BadSession| {
            Error::usage(e.to_string(), format!("for example: --name {}", naming::session_for(name)))
        })?,
        None => naming::session_for(&request.task),
    };
    if request.name.is_some() && naming::is_taken_for_good(&name) {
        return Err(Error::usage(
            format!("'{name}' is the name of the person, and no agent's"),
            format!("for example: --name {name}-2"),
        ));
    }
    let role = parsed(request.role.as_deref(), "for example: --role reviewer")?;
    let context_id = parsed(request.context_id.as_deref(), "for example: --context-id issue-7")?;
    let catalogue = house.catalogue()?;
    let chain = chain(house, &catalogue, request)?;
    let permissions = request.permissions.unwrap_or(house.settings.permissions);
    let mut notes = Vec::new();
    let mut missing = Vec::new();
    for link in &chain {
        let profile = catalogue.require(&link.cli)?;
        check(house, profile, link, request)?;
        if installed(house, profile) {
            notes.extend(profile.permissions.at(permissions).note.clone());
        } else {
            missing.push(profile);
        }
    }
    if missing.len() == chain.len() {
        return Err(none_installed(&missing, request.chain.is_some()));
    }
    notes.extend(missing.iter().map(|p| {
        let install =
            if p.install.is_empty() { String::new() } else { format!("; install it: {}", p.install) };
        format!("{} is not installed and will be passed over{install}", p.name)
    }));
    let context = request.context.iter().map(|path| context(house, path)).collect::<Result<Vec<_>>>()?;
    let (mut ground, pull, deliver) = ground(house, request)?;
    if let (Ground::Repository { base_name, .. }, Some(child)) = (&mut ground, &request.child) {
        base_name.clone_from(&child.base_name);
    }
    if !request.copy.is_empty() && !ground.place().has_own_worktree() {
        return Err(Error::usage("--copy needs a worktree to copy into", "leave it out"));
    }
    let wanted = project_file::wanted(house, &ground, request, consent)?;
    let mut environment = environment.clone();
    for (variable, value) in &request.env {
        environment.set(variable, value);
    }
    let order = Order {
        name,
        task: request.task.clone(),
        context,
        chain,
        permissions,
        timeout: request.timeout,
        setup: wanted.setup,
        validate: wanted.validate,
        repairs: request.repairs,
        budget_usd: request.budget_usd,
        commit: request.commit,
        environment,
        role,
        context_id,
        may_start: request.may_start,
        pull,
        deliver,
        copy: wanted.copy,
        from_file: wanted.from_file,
        guards: guards(house, request, &ground),
        child: request.child.clone(),
        env_names: request.env.iter().map(|(name, _)| name.to_string_lossy().into_owned()).collect(),
    };
    if request.open_pr.is_some() && !house.gh(&house.settings.environment).is_installed() {
        notes.push("gh is not installed: the branch will be pushed, and you get the command that opens the pull request".to_owned());
    }
    notes.extend(mentioned(&request.task, request.child.is_some()));
    Ok(Ready { ground, order, named: request.name.is_some(), notes })
}

impl Ready {
    /// Makes the agent, and waits until it is at work.
    pub fn start(self, house: &House) -> Result<Started> {
        let Self { ground, order, named, mut notes } = self;
        let created = create::create(house, &ground, &order)?;
        if named && created.spec.session != order.name {
            notes.push(format!("the name {} is taken; this agent is {}", order.name, created.spec.session));
        }
        notes.dedup();
        Ok(Started { created, notes })
    }
}

/// What the agent may not do: as was asked, and as the settings say. What they say of branches is nothing to one that has no repository.
fn guards(house: &House, request: &Run, ground: &Ground) -> Guards {
    let in_repository = ground.place().is_in_repository();
    let protected = if in_repository { house.settings.protected_branches.clone() } else { Vec::new() };
    Guards { protected, ..Guards::default() }.and(&request.guards)
}

/// The pull requests that the task names, which change nothing by that. An agent that asks knows what it asks for.
fn mentioned(task: &str, by_agent: bool) -> Option<String> {
    let numbers = if by_agent { Vec::new() } else { mention::pull_requests(task) };
    let names: Vec<String> = numbers.iter().map(|number| format!("#{number}")).collect();
    (!names.is_empty()).then(|| {
        format!(
            "the task names pull request {}, which decides nothing about where the agent works",
            names.join(", ")
        )
    })
}

/// Where the agent is to begin, as far as that can be known before anything is made, and where its result goes.
fn ground(house: &House, request: &Run) -> Result<(Ground, Option<PullRequest>, Option<Way>)> {
    let said = Said {
        pr: request.pr.as_deref(),
        base: request.base.as_deref(),
        branch: request.branch.as_deref(),
        no_new_branch: request.no_new_branch,
        no_worktree: request.no_worktree,
        dir: request.dir.as_deref(),
        with_changes: request.with_changes,
    };
    let wanted = place::wanted(&said).map_err(|unclear| Error::usage(unclear.to_string(), unclear.hint()))?;
    if request.open_pr.is_some() && (request.guards.no_push || request.guards.no_new_pr) {
        let word = if request.guards.no_push { "--no-push" } else { "--no-new-pr" };
        return Err(Error::usage(
            format!("--open-pr opens a pull request, and {word} wants none"),
            "leave one of them out",
        ));
    }
    if request.pr.is_none() && request.open_pr.is_none() && !request.labels.is_empty() {
        let hint = "add --open-pr, or --pr N for one that is there";
        return Err(Error::usage("--labels are for a pull request, and there is none", hint));
    }
    if request.labels.iter().any(|label| label.trim().is_empty()) {
        return Err(Error::usage("--labels has an empty label", "for example: --labels bug,backend"));
    }
    let dir = &house.settings.working_dir;
    let (ground, pull, way) = if let Wanted::PullRequest(said) = wanted {
        let (environment, pushes) = (&house.settings.environment, !request.guards.no_push);
        let Pulled { ground, pull, back } = pull::begin_at(house, dir, said, environment, pushes)?;
        (ground, Some(pull), back)
    } else {
        let ground = ground::find(house, dir, &wanted, request.with_changes)?;
        let way = request.open_pr.map(|open| pull::to_open(&ground, open.draft)).transpose()?;
        (ground, None, way)
    };
    if way.is_none() && !request.labels.is_empty() {
        return Err(Error::usage(
            "--labels are for what is pushed, and --no-push pushes nothing",
            "leave one of them out",
        ));
    }
    if let Some(way) = &way {
        pull::require_unprotected(&way.delivery, &ground, &house.settings.protected_branches)?;
    }
    let labels = request.labels.iter().map(|label| label.trim().to_owned()).collect();
    let way = way.map(|way| Way { delivery: Delivery { labels, ..way.delivery }, ..way });
    if request.open_pr.is_some() {
        template(house)?;
    }
    Ok((ground, pull, way))
}

/// Fails if no pull request could be written by the user's template: at its end is too late for that.
fn template(house: &House) -> Result<()> {
    let template = house.settings.pull_template().map_err(life::Error::from)?;
    let word = || "x".to_owned();
    let facts = Facts {
        title: word(),
        task: word(),
        answer: word(),
        agent: word(),
        branch: word(),
        base: word(),
        clis: vec![word()],
        commits: vec![word()],
        validation: word(),
        ..Facts::default()
    };
    pull_text::render(&template, &facts).map(drop).map_err(|why| {
        let file = house.settings.places.pull_template();
        Error::usage(format!("the template {}: {why}", Shown(&file.to_string_lossy())), "mend or remove it")
    })
}

/// What was typed, if anything, as what it is to be.
fn parsed<T: FromStr<Err: std::fmt::Display>>(typed: Option<&str>, hint: &str) -> Result<Option<T>> {
    let parse = |text: &str| text.parse().map_err(|e: T::Err| Error::usage(e.to_string(), hint));
    typed.map(parse).transpose()
}

/// What is known about the agent that was just started.
pub fn report(house: &House, named: &Named) -> Result<AgentReport> {
    let report = look::look(&house.settings.places, named)?;
    report.ok_or_else(|| {
        crate::a2a::Error::NoAgent { name: named.session.to_string(), near: Vec::new() }.into()
    })
}

fn installed(house: &House, profile: &Profile) -> bool {
    launch::is_self(profile) || house.find_program(&profile.command).is_some()
}

fn none_installed(missing: &[&Profile], asked: bool) -> Error {
    Error::NoneInstalled {
        asked: if asked { missing.iter().map(|p| p.name.clone()).collect() } else { Vec::new() },
        install: missing.iter().map(|p| (p.name.clone(), how_to_install(p))).collect(),
    }
}

/// What the profile says; a profile of the user's own may not know it.
fn how_to_install(profile: &Profile) -> String {
    if profile.install.is_empty() {
        format!("put {} into a directory of PATH", profile.command)
    } else {
        profile.install.clone()
    }
}

/// The names as meant, without the spaces that people put behind commas; `None` if there is none, or an empty one.
fn named(names: &[String]) -> Option<Vec<String>> {
    let names: Vec<String> = names.iter().map(|name| name.trim().to_owned()).collect();
    (!names.is_empty() && names.iter().all(|name| !name.is_empty())).then_some(names)
}

/// The chain of CLIs, each with its model.
fn chain(house: &House, catalogue: &Catalogue, request: &Run) -> Result<Vec<Link>> {
    let names = match (&request.chain, &house.settings.agent_cli) {
        (Some(names), _) => named(names).ok_or_else(|| {
            Error::usage("--agent-cli has an empty name", "for example: --agent-cli claude,codex")
        })?,
        (None, Some(names)) => named(names).ok_or_else(|| {
            let file = house.settings.places.config.join("config.toml");
            let what = format!("agent_cli in {} names no agent CLI", Shown(&file.to_string_lossy()));
            Error::usage(what, "for example: agent_cli = [\"claude\", \"codex\"]")
        })?,
        (None, None) => {
            let known: Vec<&Profile> = DEFAULTS.iter().filter_map(|name| catalogue.find(name)).collect();
            match known.iter().find(|p| installed(house, p)) {
                Some(profile) => vec![profile.name.clone()],
                None => return Err(none_installed(&known, false)),
            }
        }
    };
    let mut chain = Vec::new();
    for name in &names {
        chain.push(Link { cli: catalogue.require(name)?.name.clone(), model: None });
    }
    for (cli, model) in &request.models {
        if model.is_empty() {
            return Err(Error::usage("--model names no model", "--model MODEL or --model CLI=MODEL"));
        }
        match cli {
            None => {
                if let Some(first) = chain.first_mut() {
                    first.model = Some(model.clone());
                }
            }
            Some(cli) => {
                let wanted = catalogue.require(cli)?.name.clone();
                let mut links = chain.iter_mut().filter(|l| l.cli == wanted).peekable();
                if links.peek().is_none() {
                    let names: Vec<&str> = names.iter().map(String::as_str).collect();
                    return Err(Error::usage(
                        format!("--model {cli}={model}: {cli} is not in the chain"),
                        format!("add it: --agent-cli {},{cli}", names.join(",")),
                    ));
                }
                links.for_each(|l| l.model = Some(model.clone()));
            }
        }
    }
    Ok(chain)
}

/// Whether this CLI can be started as asked: a trial of the command line, with nothing made.
fn check(house: &House, profile: &Profile, link: &Link, request: &Run) -> Result<()> {
    let facts = LaunchFacts {
        program: PathBuf::from("/"),
        self_exe: house.settings.program.clone(),
        model: link.model.clone(),
        permissions: request.permissions.unwrap_or(house.settings.permissions),
        budget_usd: request.budget_usd,
        worktree: PathBuf::from("/"),
        git_dir: PathBuf::from("/"),
        git_common_dir: PathBuf::from("/"),
        prompt: request.task.clone(),
        prompt_file: PathBuf::from("/"),
        cli_session: String::new(),
        resume: false,
        mcp: McpServer::default(),
    };
    launch::launch(profile, &facts)?;
    Ok(())
}

fn context(house: &House, path: &Path) -> Result<ContextFile> {
    let unusable = |why: String| Error::Context { path: path.to_owned(), why };
    let full = house.settings.working_dir.join(path);
    let (bytes, all) = file::read_at_most(&full, CONTEXT_MAX).map_err(|e| unusable(e.source.to_string()))?;
    if !all {
        return Err(unusable(format!("it is larger than {} MiB", CONTEXT_MAX >> 20)));
    }
    let text = String::from_utf8(bytes).map_err(|_| unusable("it is not UTF-8 text".to_owned()))?;
    Ok(ContextFile { name: path.to_string_lossy().into_owned(), text })
}
