//! Where everything lies on disk. Pure: no path in here is looked at, only named.
//!
//! ```text
//! <root>/  (under /tmp)          the live board; may be wiped at any time and costs nothing but time
//!   VERSION  tmux.conf  tmux.sock
//!   <project>/agents/<session>/state.json
//!   <project>/{tasks,ready,waiting,claimed,leases,mail,sent,feed}/   copies of tasks and mail (design/a2a-files.md)
//! <state>/ (XDG state)           the truth
//!   tmux.lock  tmux-server       guard of the tmux server, and who it is
//!   names/<session>              link to the agent's record; reserves the name
//!   cleaned/<id>                 link to the record of an agent that was cleaned
//!   <project>/lock               held while a worktree is added
//!   <project>/merge.lock         held while a run of merges is at work
//!   <project>/merges/<id>        journal of a run of merges
//!   <project>/{tasks,mail,workers,artifacts}/   journals of tasks and inboxes (design/a2a-files.md)
//!   ports/<number>               link to the record of the agent that has this port; ports.lock: one at a time
//!   <project>/reservations       journal of the files that are reserved
//!   <project>/trusted/<sha-256>  a content of the repository's .ai_orch.toml that a person allowed
//!   <project>/agents/<id>/       journal  keeper.lock  verb.lock  task  context  env  git-config  stop  keeper.log  setup  teardown
//!                                bell  token  reach  pull-request.md  refused.log  spawn/<key>  bin/  guard/  homes/<cli>/
//!     attempts/<n>/              prompt  brief  mcp.json  refs  refused  stdout*  stderr*  events*
//! <data>/  (XDG data)
//!   worktrees/<project>/<session>/
//!   merges/<project>/<id>/       the worktree in which a run of merges tests what it made
//!   pool/<project>/              worktrees that are ready before anybody asks for them (git/pool.rs)
//!   trash/<id>/                  a worktree that is about to be deleted
//! <config>/ (XDG config)         config.toml  agents/*.toml
//! ```

use super::ids::{AgentId, Party, Project, Session, TaskId};
use super::mail::MailId;
use std::path::PathBuf;
use uuid::Uuid;

/// The four directories that everything of ours lies in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The board: `/tmp/ai_orch-<uid>` or `AI_ORCH_ROOT`.
    pub root: PathBuf,
    /// The records: `$XDG_STATE_HOME/ai_orch`.
    pub state: PathBuf,
    /// The worktrees: `$XDG_DATA_HOME/ai_orch`.
    pub data: PathBuf,
    /// The user's settings: `$XDG_CONFIG_HOME/ai_orch`.
    pub config: PathBuf,
}

impl Places {
    /// The socket of our tmux server.
    pub fn tmux_socket(&self) -> PathBuf {
        self.root.join("tmux.sock")
    }

    /// The configuration of our tmux server.
    pub fn tmux_conf(&self) -> PathBuf {
        self.root.join("tmux.conf")
    }

    /// Held while a session is made, and while the server is ended with its last session.
    ///
    /// Not in the root: after that was wiped, two locks of one name would let two in.
    pub fn tmux_lock(&self) -> PathBuf {
        self.state.join("tmux.lock")
    }

    /// Who the tmux server is, for when its socket was removed under it.
    pub fn tmux_server(&self) -> PathBuf {
        self.state.join("tmux-server")
    }

    /// The links that reserve session names.
    pub fn names(&self) -> PathBuf {
        self.state.join("names")
    }

    /// The link that reserves `session`.
    pub fn name(&self, session: &Session) -> PathBuf {
        self.names().join(session.as_str())
    }

    /// The links that lease ports to agents.
    pub fn ports(&self) -> PathBuf {
        self.state.join("ports")
    }

    /// Held while ports are taken.
    pub fn ports_lock(&self) -> PathBuf {
        self.state.join("ports.lock")
    }

    /// What a person allowed of the `.ai_orch.toml` of `project`, by its hash.
    pub fn trusted(&self, project: &Project) -> PathBuf {
        self.state.join(&project.0).join("trusted")
    }

    /// Held while a worktree of `project` is added.
    pub fn project_lock(&self, project: &Project) -> PathBuf {
        self.state.join(&project.0).join("lock")
    }

    /// The journals of the runs of merges of `project`; the names of later ones are greater.
    pub fn merges(&self, project: &Project) -> PathBuf {
        self.state.join(&project.0).join("merges")
    }

    /// The journal of a run of merges.
    pub fn merge(&self, project: &Project, id: Uuid) -> PathBuf {
        self.merges(project).join(id.to_string())
    }

    /// Held while a run of merges is at work.
    pub fn merge_lock(&self, project: &Project) -> PathBuf {
        self.state.join(&project.0).join("merge.lock")
    }

    /// Where the trees that a run of merges makes are tested.
    pub fn merge_tests(&self, project: &Project, id: Uuid) -> PathBuf {
        self.data.join("merges").join(&project.0).join(id.to_string())
    }

    /// The record of an agent.
    pub fn record(&self, project: &Project, id: AgentId) -> Record {
        Record(self.state.join(&project.0).join("agents").join(id.to_string()))
    }

    /// The board entry of an agent.
    pub fn board(&self, project: &Project, session: &Session) -> PathBuf {
        self.root.join(&project.0).join("agents").join(session.as_str())
    }

    /// The journals of the tasks of `project`.
    pub fn tasks(&self, project: &Project) -> PathBuf {
        self.state.join(&project.0).join("tasks")
    }

    /// The journal of a task.
    pub fn task(&self, project: &Project, id: TaskId) -> PathBuf {
        self.tasks(project).join(id.to_string())
    }

    /// The journals of the inboxes of `project`.
    pub fn mail(&self, project: &Project) -> PathBuf {
        self.state.join(&project.0).join("mail")
    }

    /// The journal of an inbox.
    pub fn inbox(&self, project: &Project, party: &Party) -> PathBuf {
        self.mail(project).join(party.as_str())
    }

    /// Held by a worker that is no agent, as long as it lives.
    pub fn worker_lock(&self, project: &Project, name: &Session) -> PathBuf {
        self.state.join(&project.0).join("workers").join(format!("{name}.lock"))
    }

    /// The journal of the files that are reserved.
    pub fn reservations(&self, project: &Project) -> PathBuf {
        self.state.join(&project.0).join("reservations")
    }

    /// Contents too large for a record, by their checksum.
    pub fn artifacts(&self, project: &Project) -> PathBuf {
        self.state.join(&project.0).join("artifacts")
    }

    /// Held while the copies under the root are made again.
    pub fn copies_lock(&self, project: &Project) -> PathBuf {
        self.state.join(&project.0).join("copies.lock")
    }

    /// What agents of `project` share under the root: copies.
    pub fn copies(&self, project: &Project) -> Copies {
        Copies(self.root.join(&project.0))
    }

    /// The worktree of an agent.
    pub fn worktree(&self, project: &Project, session: &Session) -> PathBuf {
        self.data.join("worktrees").join(&project.0).join(session.as_str())
    }

    /// Worktrees of `project` that are ready before anybody asks for them.
    pub fn pool(&self, project: &Project) -> PathBuf {
        self.pools().join(&project.0)
    }

    /// Those of all projects.
    pub fn pools(&self) -> PathBuf {
        self.data.join("pool")
    }

    /// Where worktrees lie between their removal from their place and their deletion: on the same file system.
    pub fn trash(&self, id: AgentId) -> PathBuf {
        self.trashes().join(id.to_string())
    }

    /// All of them.
    pub fn trashes(&self) -> PathBuf {
        self.data.join("trash")
    }

    /// Held, together with others, by whoever fills a worktree that an agent waits for: what nobody waits for is put off meanwhile.
    pub fn filling(&self) -> PathBuf {
        self.state.join("filling.lock")
    }

    /// Held by whoever deletes what nobody wants any more.
    pub fn trash_lock(&self) -> PathBuf {
        self.state.join("trash.lock")
    }

    /// The links to the records of agents that were cleaned, by id: what `undo` can bring back.
    pub fn cleaned(&self) -> PathBuf {
        self.state.join("cleaned")
    }

    /// The user's template of pull requests.
    pub fn pull_template(&self) -> PathBuf {
        self.config.join("pull-request.md")
    }

    /// The user's profiles of agent CLIs.
    pub fn profiles(&self) -> PathBuf {
        self.config.join("agents")
    }
}

/// What the agents of one repository share under the root. Copies: made again from the journals when they are gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copies(pub PathBuf);

impl Copies {
    /// There when all others are.
    pub fn built(&self) -> PathBuf {
        self.0.join("BUILT")
    }

    /// The tasks as they stand.
    pub fn tasks(&self) -> PathBuf {
        self.0.join("tasks")
    }

    /// A task as it stands.
    pub fn task(&self, id: TaskId) -> PathBuf {
        self.tasks().join(format!("{id}.json"))
    }

    /// Written to whenever somebody looks for holders that are gone.
    pub fn reaped(&self) -> PathBuf {
        self.0.join("REAPED")
    }

    /// What can be claimed now: `<9 - priority>-<shard>/<created>-<id>`, and `.<role>` behind it if it is for a role.
    pub fn ready(&self) -> PathBuf {
        self.0.join("ready")
    }

    /// The tasks that wait for the end of others.
    pub fn waiting(&self) -> PathBuf {
        self.0.join("waiting")
    }

    /// Those that wait for the end of `id`.
    pub fn waiting_for(&self, id: TaskId) -> PathBuf {
        self.waiting().join(id.to_string())
    }

    /// There while `waiting` waits for the end of `id`.
    pub fn waits(&self, id: TaskId, waiting: TaskId) -> PathBuf {
        self.waiting_for(id).join(waiting.to_string())
    }

    /// Who holds what.
    pub fn claimed(&self) -> PathBuf {
        self.0.join("claimed")
    }

    /// What `party` holds.
    pub fn claimed_by(&self, party: &Party) -> PathBuf {
        self.claimed().join(party.as_str())
    }

    /// There while `party` holds the task `id`, or is in the middle of changing it.
    pub fn claim(&self, party: &Party, id: TaskId) -> PathBuf {
        self.claimed_by(party).join(id.to_string())
    }

    /// Until when claims hold.
    pub fn leases(&self) -> PathBuf {
        self.0.join("leases")
    }

    /// Until when the claim of a task holds.
    pub fn lease(&self, id: TaskId) -> PathBuf {
        self.leases().join(id.to_string())
    }

    /// The messages that `party` has not acknowledged.
    pub fn mail(&self, party: &Party) -> PathBuf {
        self.0.join("mail").join(party.as_str())
    }

    /// The copy of a message that `party` has not acknowledged: the number first, so that names are in the order of the inbox.
    pub fn letter(&self, party: &Party, seq: u64, id: MailId) -> PathBuf {
        self.mail(party).join(format!("{seq:010}-{id}.json"))
    }

    /// When `party` sent its last messages.
    pub fn sent(&self, party: &Party) -> PathBuf {
        self.0.join("sent").join(party.as_str())
    }

    /// Every change, as lines.
    pub fn feed(&self) -> PathBuf {
        self.0.join("feed")
    }
}

/// The directory that holds everything durable about one agent, in XDG state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record(pub PathBuf);

impl Record {
    /// The append-only truth.
    pub fn journal(&self) -> PathBuf {
        self.0.join("journal")
    }

    /// Held by the keeper for its whole life.
    pub fn keeper_lock(&self) -> PathBuf {
        self.0.join("keeper.lock")
    }

    /// Held by a verb that changes an agent which nobody keeps, from its first look to its last write.
    pub fn verb_lock(&self) -> PathBuf {
        self.0.join("verb.lock")
    }

    /// The task text of a round, byte for byte.
    pub fn task(&self, round: u32) -> PathBuf {
        self.0.join(if round <= 1 { "task".to_owned() } else { format!("task-{round}") })
    }

    /// The text of the `--context` files.
    pub fn context(&self) -> PathBuf {
        self.0.join("context")
    }

    /// The agent's environment, there only until the keeper has read it.
    pub fn env(&self) -> PathBuf {
        self.0.join("env")
    }

    /// There when somebody asked for the agent to be killed.
    pub fn stop(&self) -> PathBuf {
        self.0.join("stop")
    }

    /// Written to by whoever claims a task in the agent's name: its keeper has leases to renew from then on.
    pub fn bell(&self) -> PathBuf {
        self.0.join("bell")
    }

    /// What the agent asked its keeper to start, one file a request.
    pub fn wanted(&self) -> PathBuf {
        self.0.join("spawn")
    }

    /// The request `key`: there until it is answered.
    pub fn wanted_one(&self, key: Uuid) -> PathBuf {
        self.wanted().join(key.to_string())
    }

    /// Held by whoever starts the child `id`.
    pub fn start_lock(&self, id: AgentId) -> PathBuf {
        self.wanted().join(format!("{id}.lock"))
    }

    /// The git settings as they were before any agent ran here.
    pub fn git_config(&self) -> PathBuf {
        self.0.join("git-config")
    }

    /// The paths of what was copied into the worktree from the checkout, each with a NUL behind it.
    pub fn brought(&self) -> PathBuf {
        self.0.join("brought")
    }

    /// How the remote is reached that the result is delivered to, as that was before any agent ran here. It may hold passwords.
    pub fn reach(&self) -> PathBuf {
        self.0.join("reach")
    }

    /// The text of the pull request that the result is to be in.
    pub fn pull_text(&self) -> PathBuf {
        self.0.join("pull-request.md")
    }

    /// The token of the keeper at work, by which the agent is known.
    pub fn token(&self) -> PathBuf {
        self.0.join("token")
    }

    /// What was refused in the name of the agent, one line each.
    pub fn refusals(&self) -> PathBuf {
        self.0.join("refused.log")
    }

    /// What stands first in the PATH of the agent: our program.
    pub fn bin(&self) -> PathBuf {
        self.0.join("bin")
    }

    /// What holds the agent to what it may not do.
    pub fn guard(&self) -> Guard {
        Guard(self.0.join("guard"))
    }

    /// A home made of links to the user's, for an agent CLI that takes settings from nowhere else.
    pub fn home(&self, cli: &str) -> PathBuf {
        self.0.join("homes").join(cli)
    }

    /// Output of the setup command.
    pub fn setup(&self) -> PathBuf {
        self.0.join("setup")
    }

    /// Output of the teardown command.
    pub fn teardown(&self) -> PathBuf {
        self.0.join("teardown")
    }

    /// The keeper's own log.
    pub fn keeper_log(&self) -> PathBuf {
        self.0.join("keeper.log")
    }

    /// What belongs to attempt `n`.
    pub fn attempt(&self, n: u32) -> Attempt {
        Attempt(self.0.join("attempts").join(n.to_string()))
    }
}

/// The directory of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt(pub PathBuf);

impl Attempt {
    /// What the CLI got as its prompt.
    pub fn prompt(&self) -> PathBuf {
        self.0.join("prompt")
    }

    /// What the attempts before did, for a CLI whose task is a script.
    pub fn brief(&self) -> PathBuf {
        self.0.join("brief")
    }

    /// How the CLI reaches our MCP server.
    pub fn mcp(&self) -> PathBuf {
        self.0.join("mcp.json")
    }

    /// Raw standard output.
    pub fn stdout(&self) -> PathBuf {
        self.0.join("stdout")
    }

    /// Raw standard error.
    pub fn stderr(&self) -> PathBuf {
        self.0.join("stderr")
    }

    /// The events, one JSON object a line.
    pub fn events(&self) -> PathBuf {
        self.0.join("events")
    }

    /// Output of the validation command that judged this attempt.
    pub fn validation(&self) -> PathBuf {
        self.0.join("validation")
    }

    /// What the refs of the repository were before it.
    pub fn refs(&self) -> PathBuf {
        self.0.join("refs")
    }

    /// The refs that were refused to it, one a line.
    pub fn refused(&self) -> PathBuf {
        self.0.join("refused")
    }
}

/// The directory of what holds an agent to what it may not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard(pub PathBuf);

impl Guard {
    /// What the hook and what stands in front of programs have to know.
    pub fn rules(&self) -> PathBuf {
        self.0.join("rules")
    }

    /// The settings of git that hold in the repository alone.
    pub fn config(&self) -> PathBuf {
        self.0.join("config")
    }

    /// The hooks.
    pub fn hooks(&self) -> PathBuf {
        self.0.join("hooks")
    }

    /// An empty directory, in place of those in which forges know who the user is.
    pub fn nothing(&self) -> PathBuf {
        self.0.join("nothing")
    }

    /// The refs that were refused to the commands for setup and validation.
    pub fn refused(&self) -> PathBuf {
        self.0.join("refused")
    }

    /// A program that refuses, in place of those that log in.
    pub fn no_login(&self) -> PathBuf {
        self.0.join("no-login")
    }
}
