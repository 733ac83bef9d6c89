//! What can be typed.

use crate::model::a2a::TaskState;
use crate::model::agent::State;
use crate::model::feed::BadCursor;
use crate::model::mail::Priority;
use crate::model::profile::Permissions;
use crate::model::request::Since;
use clap::{Args, Command, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

const ABOUT: &str = "Run many AI coding agents side by side, each in its own tmux session and git worktree";

const EXAMPLES: &str = "\
Examples:
  ai_orch run --agent-cli gemini,claude 'fix the login bug'   gemini first, claude if it fails
  ai_orch -d 'write tests for src/parse.rs'                   start in the background
  ai_orch list                                                every agent, in all repositories
  ai_orch attach fix-the-login-bug                            watch one in its tmux session
  ai_orch diff fix-the-login-bug                              what it changed
  ai_orch kill fix-the-login-bug                              stop it; its work stays

Exit codes: 0 ok, 1 failed, 2 usage, 3 partly failed, 4 waits for a person, 5 budget, 6 environment,
7 timed out, 8 not found or refused, 70 a bug of ai_orch, 130 interrupted.";

const LIST_EXAMPLES: &str = "\
Examples:
  ai_orch list                    every agent, in all repositories
  ai_orch list --here --watch     those of this repository, as they change; q or Ctrl-C ends it
  ai_orch list --watch --json     one document a line for each change

Nothing is asked again and again: it is told of changes, and sleeps otherwise.";

const RUN_EXAMPLES: &str = "\
Examples:
  ai_orch run 'fix the login bug'
  ai_orch run --agent-cli gemini,claude --model claude=opus 'fix the login bug'
  ai_orch run --validate 'cargo test' --repairs 2 --timeout 30m 'make the tests pass'
  ai_orch run --agent-cli sh 'echo hello > hello.txt'          no model: the task is a shell script
  ai_orch run - < task.md                                      the task from standard input
  ai_orch run -d --name parser --json 'rewrite the parser'     in the background, for a program

Without --agent-cli: agent_cli of the settings, else the first installed of claude, codex, gemini, cursor-agent.
The next agent CLI of the chain takes over in the same worktree when one fails, and is told what was done.
No agent moves main, master or release/* (setting protected_branches) unless it was given that branch: what it does to them is
undone, kept under refs/ai_orch/rescue, and fails the task.
Ctrl-C leaves the agent running. It ends with the agent's result: 0 done, 1 failed, 5 budget, 6 no agent CLI
installed, 7 time over, 130 left running.";

const RESUME_EXAMPLES: &str = "\
Examples:
  ai_orch resume --all                                  everything that a crash or a reboot interrupted
  ai_orch resume fix-the-login-bug                      one agent; one that failed or was killed begins its task again
  ai_orch resume fix-the-login-bug 'now write a test'   more to do, in the same conversation
  ai_orch resume fix-the-login-bug --task continue      the same with a task of one word

What is on record as done is not done again. The agents get the environment of this call.";

const CLEAN_EXAMPLES: &str = "\
Examples:
  ai_orch clean                               every agent that has ended
  ai_orch clean fix-the-login-bug             one agent, by its whole name
  ai_orch clean --done --older-than 7d        those that are done for a week
  ai_orch clean --merged                      those whose work is merged, squashed ones too
  ai_orch clean --dry-run                     what would be done, with sizes
  ai_orch clean --rescue                      what was saved of agents that were cleaned 30 days ago or more

Everything in a worktree is saved under refs/ai_orch/rescue first: ai_orch undo brings it back. Ignored files over 10 MiB
are not saved, and named. Branches stay if they have commits that are on no other branch.";

const TRUST_EXAMPLES: &str = "\
Examples:
  ai_orch trust --show                        what it asks for, and whether that is allowed
  ai_orch trust                               show it, and allow it
  ai_orch trust --revoke                      allow nothing of this repository any more

The file lies at the root of the checkout, and what stands there on disk counts. All keys are optional:
  copy     = ['*.local.json']                 untracked files to copy into each worktree, like run --copy
  symlink  = ['node_modules']                 ignored files and directories to link into it
  setup    = 'npm ci'                         like run --setup; a list runs one after another
  validate = 'npm test'                       like run --validate
  teardown = 'docker compose down'            before clean removes the worktree; teardown_limit = 60, in seconds
  ports    = ['PORT', 'DB_PORT']              variables with a free port each, another one for every agent

Options of run win over the file. Its commands run as you: so all of it but ports has to be allowed first, once for each content.";

const MCP_EXAMPLES: &str = "\
claude, codex and gemini get it from us when they start as agents. For a CLI of your own, in which you are `user`:
  claude mcp add ai_orch -- ai_orch mcp
  codex mcp add ai_orch -- ai_orch mcp
  gemini mcp add ai_orch ai_orch mcp";

const EVENTS_EXAMPLES: &str = "\
Examples:
  ai_orch events -f                                       as it happens; Ctrl-C ends it
  ai_orch events -f --since now | while read -r event; do …; done
  ai_orch events --since 3f9a1c2b-000001:4096             go on where the last event of an earlier call was

One JSON object a line: {\"v\":1,\"cursor\":…,\"at\":…,\"kind\":\"agent\",\"session\":\"fix\",\"state\":\"working\"}. On a terminal it is one
line in words, unless --json is given. An event says that something changed, never what was said. After kind \"gap\" look at
everything again: what happened before is not kept.";
const TASK_EXAMPLES: &str = "\
Examples:
  ai_orch task create 'write the parser'                      its id is printed
  ai_orch task create --after 7f3a --role tester 'test it'    once the first is completed, by an agent of that role
  ai_orch task claim --wait 10m                               the best one, as soon as there is one
  ai_orch task complete 7f3a 'parses everything'              the end of an id is enough
  ai_orch task list --state working

An agent acts for itself: as the name that its keeper gave it. A claim ends with its holder, or with its lease (an hour for people and scripts); whoever was
too slow is refused. Scripts of yours are all called user: give --generation N as the claim told it, so that one is not
taken for another.";

const RESERVE_EXAMPLES: &str = "\
Examples:
  ai_orch reserve src/parser 'tests/**/*parser*'       you are told who else has some of these
  ai_orch reserve --exclusive --for 2h Cargo.toml      refused if somebody has it; then nobody else gets it
  ai_orch reserve --list
  ai_orch reserve --release                            all that is yours; or --release src/parser

Patterns begin at the root of the repository: * ? [a-z] within a name, ** for any directories, {a,b} for one or the other; a
directory means all that is in it. An agent's reservation ends with the agent, yours with its time. Nothing is locked:
it is for those who ask before they change something.";
const MERGE_EXAMPLES: &str = "\
Examples:
  ai_orch merge parser                                  into the branch that is checked out here
  ai_orch merge parser --squash --validate 'cargo test'
  ai_orch merge parser --resolve                        in a conflict the agent is asked to resolve it
  ai_orch merge --queue parser lexer docs               one after another, each tested on top of the last

What is made is tested (with --validate, else with what the agent itself was validated with) before the branch moves, and what does not
pass or is in conflict leaves it where it was. A queue that was cut off goes on with --continue.";
const SPAWN_EXAMPLES: &str = "\
Examples:
  ai_orch task spawn --name parser 'write the parser'     its session name is printed
  ai_orch wait parser && git merge ai_orch/parser         its end, and its work

It starts from the commit that your worktree is at: commit first what it needs. You get a message when it has ended. How many agents
you may start is said with ai_orch run --may-start, --depth and --start-budget; what a child may start or spend is taken from it for good.";

const MSG_EXAMPLES: &str = "\
Examples:
  ai_orch msg send parser 'use the new tokenizer'      to an agent, by its name
  ai_orch msg send role:reviewer 'please look at x'    to every agent of a role
  ai_orch msg send --reply-to ID user 'done'           an agent answers the person
  ai_orch msg read                                     what was sent to you; then it counts as read
  ai_orch msg read --wait 10m                          as soon as there is something

A message is on disk when `send` returns; an agent reads it when it asks for its mail. What agents say is shown as data, between
lines that their text cannot contain.";

/// Everything that can be typed.
#[derive(Debug, Parser)]
#[command(name = "ai_orch", version, about = ABOUT, after_help = EXAMPLES, max_term_width = 100, disable_help_subcommand = true)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub verb: Option<Verb>,

    /// Print JSON: one document, or one a line for streams; errors as JSON on standard error
    #[arg(long, global = true)]
    pub json: bool,
}

/// The verbs. What belongs to one is laid out only when it is typed: all of it takes as long as the rest of a start.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(super) enum Verb {
    /// Start one agent on a task and follow it until it ends
    #[command(after_help = RUN_EXAMPLES)]
    Run(Box<Run>),
    /// Show every agent
    #[command(visible_alias = "ls", after_help = LIST_EXAMPLES)]
    List(List),
    /// Show all that is known about an agent, and why
    Show(One),
    /// Show what an agent did
    Logs(Logs),
    /// Show what an agent changed, committed or not
    Diff(Diff),
    /// Bring the work of agents into a branch, tested before that moves
    #[command(after_help = MERGE_EXAMPLES)]
    Merge(Box<Merge>),
    /// Show what changes in this repository: agents, tasks, messages
    #[command(after_help = EVENTS_EXAMPLES)]
    Events(Events),
    /// Attach to the tmux session of an agent
    #[command(after_help = "Leave with q or C-b d; the agent goes on. Without a name: pick from a list.")]
    Attach(Attach),
    /// Stop agents; their worktrees and branches stay
    Kill(Kill),
    /// Wait until agents have ended, or are in a given state
    Wait(Wait),
    /// Create, claim and end tasks that agents and people share
    #[command(after_help = TASK_EXAMPLES)]
    Task {
        /// What to do with tasks
        #[command(subcommand)]
        verb: TaskVerb,
    },
    /// Send and read messages
    #[command(after_help = MSG_EXAMPLES)]
    Msg {
        /// What to do with messages
        #[command(subcommand)]
        verb: MsgVerb,
    },
    /// Reserve files, so that those who work side by side know who changes what
    #[command(after_help = RESERVE_EXAMPLES)]
    Reserve(Reserve),
    /// Let interrupted agents go on, or give an ended one more to do
    #[command(after_help = RESUME_EXAMPLES)]
    Resume(Resume),
    /// Remove worktrees, names and merged or empty branches of ended agents; saved first
    #[command(after_help = CLEAN_EXAMPLES)]
    Clean(Clean),
    /// Bring back an agent that was cleaned
    Undo(Undo),
    /// Allow what the repository here asks for in its .ai_orch.toml, until that changes
    #[command(after_help = TRUST_EXAMPLES)]
    Trust(Trust),
    /// Check that everything is there that agents need
    Doctor,
    /// Tell an agent how it works together with the others
    Guide(Guide),
    /// Serve our tools to an agent CLI, by the Model Context Protocol on standard input and output
    #[command(after_help = MCP_EXAMPLES)]
    Mcp,
    /// Show this help, or the help of a verb
    Help {
        /// The verb
        verb: Option<String>,
    },
}

/// `run`.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// What to do. Several words are put together; - reads it from standard input
    #[arg(value_name = "TASK", required = true)]
    pub task: Vec<String>,
    /// The agent CLIs to try, in order, with commas between
    #[arg(long, value_name = "CLI,...", value_delimiter = ',')]
    pub agent_cli: Option<Vec<String>>,
    /// The model for the first agent CLI, or for a named one
    #[arg(long, value_name = "[CLI=]MODEL")]
    pub model: Vec<String>,
    /// A text file to add to the prompt (repeatable)
    #[arg(long, value_name = "FILE")]
    pub context: Vec<PathBuf>,
    /// The session name; else made from the task
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// What the agent is there for: who creates tasks and sends messages can name a role in place of an agent
    #[arg(long, value_name = "NAME")]
    pub role: Option<String>,
    /// What the agent belongs to (contextId of A2A); else something of its own
    #[arg(long, value_name = "ID")]
    pub context_id: Option<String>,
    /// What the new branch starts from; else HEAD
    #[arg(long, value_name = "REF", allow_hyphen_values = true)]
    pub base: Option<String>,
    /// Begin at the head of this pull request, and push the result back into it
    #[arg(long, value_name = "N|URL")]
    pub pr: Option<String>,
    /// When the task is done, push the branch and open a pull request for it
    #[arg(long, conflicts_with = "pr")]
    pub open_pr: bool,
    /// Open it as a draft
    #[arg(long, requires = "open_pr")]
    pub draft: bool,
    /// The labels that the pull request gets, with commas between
    #[arg(long, value_name = "LABEL,...", value_delimiter = ',')]
    pub labels: Vec<String>,
    /// Work on a branch that is there, in a worktree; it is never deleted
    #[arg(long, value_name = "BRANCH", allow_hyphen_values = true)]
    pub branch: Option<String>,
    /// Make no branch, and let the agent make none: needs --branch, --pr, --no-worktree or --dir
    #[arg(long)]
    pub no_new_branch: bool,
    /// Let the agent push nothing: it gets no login, and what reaches a remote all the same fails the task
    #[arg(long)]
    pub no_push: bool,
    /// Let the agent open no pull request; it may still push by ssh
    #[arg(long)]
    pub no_new_pr: bool,
    /// Work in this checkout itself, which must be clean; one agent at a time
    #[arg(long)]
    pub no_worktree: bool,
    /// Work in a directory that is in no repository: nothing is committed, saved or brought back there
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Begin with what this checkout has uncommitted, as a commit of its own; the checkout stays as it is
    #[arg(long)]
    pub with_changes: bool,
    /// Untracked files of this checkout to copy into the worktree, in the syntax of .gitignore (repeatable); besides .worktreeinclude. We
    /// commit none of them
    #[arg(long, value_name = "GLOB")]
    pub copy: Vec<String>,
    /// Stop after this time: 90s, 30m, 2h
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub timeout: Option<Duration>,
    /// What the agent may do without asking
    #[arg(long, value_name = "LEVEL", value_enum)]
    pub permissions: Option<Level>,
    /// A shell command that makes the worktree ready for work; no agent CLI is started if it fails
    #[arg(long, value_name = "CMD")]
    pub setup: Option<String>,
    /// A shell command that must succeed in the worktree before the task counts as done
    #[arg(long, value_name = "CMD")]
    pub validate: Option<String>,
    /// How often an agent gets to repair what --validate found
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub repairs: u32,
    /// Run no setup, also if the repository's .ai_orch.toml has one
    #[arg(long, conflicts_with = "setup")]
    pub no_setup: bool,
    /// Run no validation, also if that file has one
    #[arg(long, conflicts_with = "validate")]
    pub no_validate: bool,
    /// Leave the repository's .ai_orch.toml out
    #[arg(long, conflicts_with = "trust")]
    pub no_project_file: bool,
    /// Allow what that file asks for now, as ai_orch trust does
    #[arg(long)]
    pub trust: bool,
    /// A variable for the agent (repeatable)
    #[arg(long, value_name = "NAME=VALUE")]
    pub env: Vec<OsString>,
    /// US dollars the agent may spend
    #[arg(long, value_name = "USD", value_parser = dollars)]
    pub budget: Option<f64>,
    /// How many agents this one may start, those included that they start in turn; else none
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub may_start: Option<u32>,
    /// How many generations may be below it
    #[arg(long, value_name = "N", default_value_t = 1, requires = "may_start",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub depth: u32,
    /// US dollars that the agents it starts may spend together; each of them needs a budget then
    #[arg(long, value_name = "USD", value_parser = dollars, requires = "may_start")]
    pub start_budget: Option<f64>,
    /// Leave what the agent did not commit uncommitted
    #[arg(long)]
    pub no_commit: bool,
    /// Return as soon as the agent runs
    #[arg(short, long)]
    pub detach: bool,
}

/// `--permissions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Level {
    /// Look, change nothing
    Read,
    /// Edit and run commands in the worktree
    Work,
    /// Everything the user may do
    Full,
}

impl From<Level> for Permissions {
    fn from(level: Level) -> Self {
        match level {
            Level::Read => Self::Read,
            Level::Work => Self::Work,
            Level::Full => Self::Full,
        }
    }
}

/// `list`.
#[derive(Debug, Args)]
pub(super) struct List {
    /// Only agents of the repository here
    #[arg(long)]
    pub here: bool,
    /// Go on, and show it again whenever something changes; q ends it
    #[arg(short, long)]
    pub watch: bool,
    /// Each agent below the one that started it
    #[arg(long)]
    pub tree: bool,
}

/// A verb about one agent.
#[derive(Debug, Args)]
pub(super) struct One {
    /// The agent; the beginning of its name is enough
    #[arg(value_name = "SESSION")]
    pub session: String,
}

/// `logs`.
#[derive(Debug, Args)]
pub(super) struct Logs {
    /// The agent; the beginning of its name is enough
    #[arg(value_name = "SESSION")]
    pub session: String,
    /// Go on until the agent ends
    #[arg(short, long)]
    pub follow: bool,
    /// What the agent CLIs printed, byte for byte
    #[arg(long, conflicts_with = "json")]
    pub raw: bool,
}

/// `diff`.
#[derive(Debug, Args)]
pub(super) struct Diff {
    /// The agent; the beginning of its name is enough
    #[arg(value_name = "SESSION")]
    pub session: String,
    /// Only files and numbers
    #[arg(long)]
    pub stat: bool,
    /// Open your own difftool on copies of the files: the one that your git is set to, or a named one
    #[arg(long, value_name = "TOOL", num_args = 0..=1, require_equals = true, default_missing_value = "", conflicts_with_all = ["stat", "json"])]
    pub tool: Option<String>,
}

/// `events`.
#[derive(Debug, Args)]
pub(super) struct Events {
    /// Go on with what happens from now on
    #[arg(short, long)]
    pub follow: bool,
    /// Begin behind this place, as an event told it, or with "now"; else with the first that is kept
    #[arg(long, value_name = "CURSOR", value_parser = since, default_value = "", hide_default_value = true)]
    pub since: Since,
}

/// `attach`.
#[derive(Debug, Args)]
pub(super) struct Attach {
    /// The agent; the beginning of its name is enough
    #[arg(value_name = "SESSION")]
    pub session: Option<String>,
}

/// `kill`.
#[derive(Debug, Args)]
pub(super) struct Kill {
    /// The agents, by their whole names
    #[arg(value_name = "SESSION", required_unless_present = "all", conflicts_with = "all")]
    pub sessions: Vec<String>,
    /// Every agent that has not ended
    #[arg(long)]
    pub all: bool,
    /// Also the agents that these started, and so on; else those go on
    #[arg(long, conflicts_with = "all")]
    pub tree: bool,
}

/// `merge`.
#[derive(Debug, Args)]
pub(super) struct Merge {
    /// The agents, by their whole names
    #[arg(value_name = "SESSION", required_unless_present_any = ["go_on", "abort"], conflicts_with_all = ["go_on", "abort"])]
    pub sessions: Vec<String>,
    /// One after another, each on top of the last; what does not fit is left out
    #[arg(long)]
    pub queue: bool,
    /// By one commit for each agent
    #[arg(long, conflicts_with_all = ["rebase", "ff_only"])]
    pub squash: bool,
    /// Commit by commit on top of the branch
    #[arg(long, conflicts_with = "ff_only")]
    pub rebase: bool,
    /// Only if the branch need only be moved on
    #[arg(long)]
    pub ff_only: bool,
    /// The branch to merge into; else the one that is checked out here
    #[arg(long, value_name = "BRANCH")]
    pub into: Option<String>,
    /// A shell command that must succeed on the merged tree; else what the agent was validated with
    #[arg(long, value_name = "CMD", conflicts_with = "no_validate")]
    pub validate: Option<String>,
    /// Run no command on the merged tree
    #[arg(long)]
    pub no_validate: bool,
    /// How long that command may take: 90s, 30m, 2h
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "1h")]
    pub timeout: Duration,
    /// Ask agents whose branches are in conflict to resolve that
    #[arg(long)]
    pub resolve: bool,
    /// Go on with a merge that was cut off
    #[arg(long = "continue", conflicts_with = "abort")]
    pub go_on: bool,
    /// Give a merge up that was cut off; what is merged stays so
    #[arg(long)]
    pub abort: bool,
}

/// `wait`.
#[derive(Debug, Args)]
pub(super) struct Wait {
    /// The agents, by their whole names
    #[arg(value_name = "SESSION", required = true)]
    pub sessions: Vec<String>,
    /// The states to wait for, with commas between; else done, failed or killed
    #[arg(long, value_name = "STATE,...", value_delimiter = ',', value_parser = state)]
    pub until: Vec<State>,
    /// Give up after this time: 90s, 30m, 2h
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub timeout: Option<Duration>,
}

/// What to do with tasks.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(super) enum TaskVerb {
    /// Create a task; its id is printed
    Create(TaskCreate),
    /// Show tasks
    #[command(visible_alias = "ls")]
    List(TaskList),
    /// Show all that is known about a task
    Show {
        /// The task: its id, or the end of it
        task: String,
    },
    /// Claim a task: a given one, or the best that is ready
    Claim(TaskClaim),
    /// Start another agent, if your own task allows it; for agents
    #[command(after_help = SPAWN_EXAMPLES)]
    Spawn(TaskSpawn),
    /// Say where a task that you hold stands
    Update(TaskUpdate),
    /// Say something about a task: an answer to its holder, for one
    Say(TaskText),
    /// Add a result to a task that you hold
    Artifact(TaskArtifact),
    /// Complete a task that you hold
    Complete(TaskEnd),
    /// Say that a task that you hold failed
    Fail(TaskEnd),
    /// Give back a task that you hold
    Release(TaskEnd),
    /// Take back a task that you created
    Cancel(TaskText),
    /// Wait until tasks have ended, or one of them waits for an answer
    Wait(TaskWait),
}

/// What to do with messages.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(super) enum MsgVerb {
    /// Send a message
    Send(MsgSend),
    /// Read what was sent to you
    Read(MsgRead),
    /// Say that you have read messages, where `read --peek` showed them
    Ack {
        /// Their ids
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
    },
    /// Show messages that nobody will read, and why
    Dead,
}

/// `msg send`.
#[derive(Debug, Args)]
pub(super) struct MsgSend {
    /// An agent, user, role:NAME or context:ID
    #[arg(value_name = "TO")]
    pub to: String,
    /// What to say. Several words are put together; - reads it from standard input
    #[arg(value_name = "TEXT", required = true)]
    pub text: Vec<String>,
    /// The message that it answers
    #[arg(long, value_name = "ID")]
    pub reply_to: Option<String>,
    /// The task that it is about
    #[arg(long, value_name = "ID")]
    pub task: Option<String>,
    /// low, normal or high: which is read first
    #[arg(long, value_name = "PRIORITY", value_parser = priority, default_value = "normal")]
    pub priority: Priority,
    /// Ask to be told when it was read
    #[arg(long)]
    pub ack_required: bool,
    #[command(flatten)]
    pub op: Op,
}

/// `msg read`.
#[derive(Debug, Args)]
pub(super) struct MsgRead {
    /// Whose; for a person only, and with --peek
    #[arg(value_name = "AGENT", requires = "peek")]
    pub of: Option<String>,
    /// Leave the messages unread
    #[arg(long)]
    pub peek: bool,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub max: usize,
    /// Wait this long for a message
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "peek")]
    pub wait: Option<Duration>,
}

/// A name for an operation.
#[derive(Debug, Args)]
pub(super) struct Op {
    /// A name of yours for this operation: done once under it, however often it is asked for
    #[arg(long, value_name = "ID")]
    pub op_id: Option<String>,
}

/// `task create`.
#[derive(Debug, Args)]
pub(super) struct TaskCreate {
    /// What is to be done. Several words are put together; - reads it from standard input
    #[arg(value_name = "TASK", required = true)]
    pub text: Vec<String>,
    /// 0 to 9; 9 is claimed first
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=9))]
    pub priority: Option<u8>,
    /// A task that must be completed before (repeatable)
    #[arg(long, value_name = "TASK")]
    pub after: Vec<String>,
    /// If one of those fails, keep this one instead of rejecting it
    #[arg(long, requires = "after")]
    pub hold: bool,
    /// The role of whoever may claim it
    #[arg(long, value_name = "NAME")]
    pub role: Option<String>,
    /// What it belongs to (contextId of A2A)
    #[arg(long, value_name = "ID")]
    pub context_id: Option<String>,
    #[command(flatten)]
    pub op: Op,
}

/// `task list`.
#[derive(Debug, Args)]
pub(super) struct TaskList {
    /// Only tasks in this state
    #[arg(long, value_name = "STATE", value_parser = task_state)]
    pub state: Option<TaskState>,
    /// Only tasks for this role
    #[arg(long, value_name = "NAME")]
    pub role: Option<String>,
    /// Only tasks of this context
    #[arg(long, value_name = "ID")]
    pub context_id: Option<String>,
    /// Only tasks that this one holds
    #[arg(long, value_name = "NAME")]
    pub owner: Option<String>,
}

/// `task claim`.
#[derive(Debug, Args)]
pub(super) struct TaskClaim {
    /// The task: its id, or the end of it; none: the best that is ready
    #[arg(value_name = "TASK", conflicts_with = "wait")]
    pub task: Option<String>,
    /// Wait this long for something to do
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub wait: Option<Duration>,
    #[command(flatten)]
    pub op: Op,
}

/// `task spawn`.
#[derive(Debug, Args)]
pub(super) struct TaskSpawn {
    /// What it is to do, whole. Several words are put together; - reads it from standard input
    #[arg(value_name = "TASK", required = true)]
    pub text: Vec<String>,
    /// The agent CLIs to try, in order, with commas between; else yours
    #[arg(long, value_name = "CLI,...", value_delimiter = ',')]
    pub agent_cli: Option<Vec<String>>,
    /// The model for the first agent CLI
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,
    /// The session name; else made from the task
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// What it is there for
    #[arg(long, value_name = "NAME")]
    pub role: Option<String>,
    /// What its branch starts from; else the commit that your worktree is at
    #[arg(long, value_name = "REF", allow_hyphen_values = true)]
    pub base: Option<String>,
    /// US dollars it may spend
    #[arg(long, value_name = "USD", value_parser = dollars)]
    pub budget: Option<f64>,
    /// How many agents it may start in turn; they are taken from yours
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub may_start: u32,
    /// US dollars for those, taken from yours
    #[arg(long, value_name = "USD", value_parser = dollars)]
    pub start_budget: Option<f64>,
    #[command(flatten)]
    pub op: Op,
}

/// `task update`.
#[derive(Debug, Args)]
pub(super) struct TaskUpdate {
    /// The task: its id, or the end of it
    #[arg(value_name = "TASK")]
    pub task: String,
    /// What to say
    #[arg(value_name = "TEXT")]
    pub text: Vec<String>,
    /// working, input-required or auth-required
    #[arg(long, value_name = "STATE", value_parser = task_state, default_value = "working")]
    pub state: TaskState,
    #[command(flatten)]
    pub claim: Claimed,
}

/// Which claim is meant.
#[derive(Debug, Args)]
pub(super) struct Claimed {
    /// The generation that the claim gave: refused if somebody has claimed the task since, under the same name too
    #[arg(long, value_name = "N")]
    pub generation: Option<u64>,
    #[command(flatten)]
    pub op: Op,
}

/// `task complete`, `fail`, `release`.
#[derive(Debug, Args)]
pub(super) struct TaskEnd {
    /// The task: its id, or the end of it
    #[arg(value_name = "TASK")]
    pub task: String,
    /// What came of it, or why
    #[arg(value_name = "TEXT")]
    pub text: Vec<String>,
    #[command(flatten)]
    pub claim: Claimed,
}

/// `task say`, `cancel`.
#[derive(Debug, Args)]
pub(super) struct TaskText {
    /// The task: its id, or the end of it
    #[arg(value_name = "TASK")]
    pub task: String,
    /// What to say
    #[arg(value_name = "TEXT")]
    pub text: Vec<String>,
    #[command(flatten)]
    pub op: Op,
}

/// `task artifact`.
#[derive(Debug, Args)]
pub(super) struct TaskArtifact {
    /// The task: its id, or the end of it
    #[arg(value_name = "TASK")]
    pub task: String,
    /// The file
    #[arg(value_name = "FILE", required_unless_present = "text", conflicts_with = "text")]
    pub file: Option<PathBuf>,
    /// A text in place of a file
    #[arg(long, value_name = "TEXT")]
    pub text: Option<String>,
    /// What it is called; one of the same name takes its place
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    #[command(flatten)]
    pub claim: Claimed,
}

/// `task wait`.
#[derive(Debug, Args)]
pub(super) struct TaskWait {
    /// The tasks: ids, or their ends
    #[arg(value_name = "TASK", required = true)]
    pub tasks: Vec<String>,
    /// Give up after this time: 90s, 30m, 2h
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub timeout: Option<Duration>,
}

/// `reserve`.
#[derive(Debug, Args)]
pub(super) struct Reserve {
    /// The files, as patterns from the root of the repository on
    #[arg(value_name = "GLOB", required_unless_present_any = ["list", "release"])]
    pub globs: Vec<String>,
    /// Nobody else may reserve any of them
    #[arg(long)]
    pub exclusive: bool,
    /// Give them back after this time: 90s, 30m, 2h
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub lease: Option<Duration>,
    /// What you need them for
    #[arg(long, value_name = "TEXT")]
    pub why: Option<String>,
    /// Show what is reserved, and by whom
    #[arg(long, conflicts_with_all = ["globs", "exclusive", "lease", "why", "release", "op_id"])]
    pub list: bool,
    /// Give back what you reserved: these patterns, or all of yours
    #[arg(long, conflicts_with_all = ["exclusive", "lease", "why"])]
    pub release: bool,
    #[command(flatten)]
    pub op: Op,
}

/// `resume`.
#[derive(Debug, Args)]
pub(super) struct Resume {
    /// The agents, by their whole names; a last argument with a space in it is a new task
    #[arg(value_name = "SESSION", required_unless_present = "all", conflicts_with = "all")]
    pub sessions: Vec<String>,
    /// Every agent that is interrupted
    #[arg(long, conflicts_with = "task")]
    pub all: bool,
    /// What to do now, on top of what is done; - reads it from standard input
    #[arg(long, value_name = "TASK")]
    pub task: Option<String>,
    /// A variable for the agents (repeatable)
    #[arg(long, value_name = "NAME=VALUE")]
    pub env: Vec<OsString>,
}

/// `clean`.
#[derive(Debug, Args)]
pub(super) struct Clean {
    /// The agents, by their whole names; none: every agent that has ended
    #[arg(value_name = "SESSION", conflicts_with_all = ["done", "older_than", "rescue"])]
    pub sessions: Vec<String>,
    /// Only agents that are done, not those that failed or were killed
    #[arg(long, conflicts_with = "rescue")]
    pub done: bool,
    /// Only agents that ended at least this long ago: 90s, 30m, 2h, 7d
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub older_than: Option<Duration>,
    /// Only agents whose work is merged, as it was or squashed into one commit; their branches go then
    #[arg(long, conflicts_with = "rescue")]
    pub merged: bool,
    /// Run no teardown of the repository's .ai_orch.toml, or go on without one that failed
    #[arg(long, conflicts_with = "rescue")]
    pub no_teardown: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Remove for good what was saved of agents that were cleaned 30 days ago, or --older-than
    #[arg(long)]
    pub rescue: bool,
}

/// `trust`.
#[derive(Debug, Args)]
pub(super) struct Trust {
    /// Only show what it asks for, and whether that is allowed
    #[arg(long)]
    pub show: bool,
    /// Take back all that was allowed in this repository
    #[arg(long, conflicts_with = "show")]
    pub revoke: bool,
}

/// `guide`.
#[derive(Debug, Args)]
pub(super) struct Guide {
    /// As an Agent Skill, for a file SKILL.md
    #[arg(long)]
    pub skill: bool,
}

/// `undo`.
#[derive(Debug, Args)]
pub(super) struct Undo {
    /// The agent, by its whole name or id; none: the one that was cleaned last
    #[arg(value_name = "SESSION", conflicts_with = "list")]
    pub session: Option<String>,
    /// Show what can be brought back
    #[arg(long)]
    pub list: bool,
}

/// A time as people write it: `90`, `90s`, `30m`, `2h`, `1h30m`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{}' is no time like 90s, 30m, 2h or 1h30m", crate::model::text::Shown(text));
    let mut total = 0u64;
    let mut number = String::new();
    let mut units = 0;
    for c in text.chars() {
        if c.is_ascii_digit() {
            number.push(c);
            continue;
        }
        let seconds = match c {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86400,
            _ => return Err(wrong()),
        };
        let n: u64 = std::mem::take(&mut number).parse().map_err(|_| wrong())?;
        total = n.checked_mul(seconds).and_then(|s| total.checked_add(s)).ok_or_else(wrong)?;
        units += 1;
    }
    if !number.is_empty() {
        if units > 0 {
            return Err(wrong());
        }
        total = number.parse().map_err(|_| wrong())?;
    }
    if total == 0 || total > 365 * 86400 {
        return Err(wrong());
    }
    Ok(Duration::from_secs(total))
}

/// A place in the feed: a cursor, `now`, or nothing for its beginning.
fn since(text: &str) -> Result<Since, String> {
    match text {
        "" => Ok(Since::Beginning),
        "now" => Ok(Since::Now),
        _ => text.parse().map(Since::Cursor).map_err(|bad: BadCursor| bad.to_string()),
    }
}

fn dollars(text: &str) -> Result<f64, String> {
    let amount: f64 =
        text.trim_start_matches('$').parse().map_err(|_| "it is no amount of US dollars".to_owned())?;
    if amount.is_finite() && amount > 0.0 { Ok(amount) } else { Err("it must be more than 0".to_owned()) }
}

fn state(text: &str) -> Result<State, String> {
    State::ALL.into_iter().find(|s| s.as_str() == text).ok_or_else(|| {
        let all: Vec<&str> = State::ALL.iter().map(|s| s.as_str()).collect();
        format!("states are: {}", all.join(", "))
    })
}

fn priority(text: &str) -> Result<Priority, String> {
    Priority::ALL.into_iter().find(|p| p.as_str() == text).ok_or_else(|| "low, normal or high".to_owned())
}

fn task_state(text: &str) -> Result<TaskState, String> {
    TaskState::ALL.into_iter().find(|s| s.word() == text).ok_or_else(|| {
        let all: Vec<&str> = TaskState::ALL.iter().map(|s| s.word()).collect();
        format!("states are: {}", all.join(", "))
    })
}

/// Every verb and its aliases.
pub(super) fn verbs(command: &Command) -> Vec<String> {
    command
        .get_subcommands()
        .flat_map(|c| std::iter::once(c.get_name()).chain(c.get_all_aliases()))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_declaration_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn times_are_read_as_written() {
        for (text, seconds) in
            [("90", 90), ("90s", 90), ("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("1d", 86400)]
        {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "0", "0s", "-5", "5x", "1h30", "h", "1.5h", "99999999999999999999", "400d", "٣s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn money_is_positive_and_finite() {
        assert_eq!(dollars("1.50"), Ok(1.5));
        for text in ["0", "-1", "NaN", "inf", "abc", ""] {
            assert!(dollars(text).is_err(), "{text}");
        }
    }
}
