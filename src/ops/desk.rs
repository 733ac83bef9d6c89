//! Finding tasks by what people type, and waiting for them.

use super::caller::Caller;
use super::keepers::Keepers;
use super::office::Office;
use super::own::{self, Found, Own};
use super::{Error, Result, tasks};
use crate::a2a::tasks::Filter;
use crate::a2a::watch::Watch;
use crate::model::a2a::{Artifact, Part};
use crate::model::ids::TaskId;
use crate::model::text::Shown;
use crate::model::work::Work;
use crate::rules::refusal::Refusal;
use crate::tools::{clock, file};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often whoever waits for work looks for tasks whose holders are gone: the kernel does not tell that a lock is free.
pub(super) const LOOK: Duration = Duration::from_secs(1);
/// The fewest characters of an id that stand for it.
const SHORTEST: usize = 4;

/// What is meant by a text.
enum Meant {
    Shared(TaskId),
    Own(Box<Own>),
}

/// The task whose id is `text`, or the only one whose id begins or ends so.
fn meant(office: &Office, text: &str) -> Result<Meant> {
    if let Ok(id) = text.parse() {
        let own = if office.tasks.exists(id)? { None } else { own::find(office, id)? };
        return Ok(own.map_or(Meant::Shared(id), |own| Meant::Own(Box::new(own))));
    }
    let part = text.to_ascii_lowercase();
    let hint = "all tasks: ai_orch task list";
    if part.len() < SHORTEST {
        let what = format!("'{}' is no task: its id, or {SHORTEST} characters of its end", Shown(text));
        return Err(Error::usage(what, hint));
    }
    let fits = |id: &TaskId| {
        let id = id.to_string();
        id.starts_with(&part) || id.ends_with(&part)
    };
    let shared = office.tasks.ids()?.into_iter().filter(fits).map(Meant::Shared);
    let own = own::all(office)?.tasks.into_iter().filter(|own| fits(&own.id));
    let mut found = shared.chain(own.map(|own| Meant::Own(Box::new(own))));
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(Error::NoTask { text: text.to_owned() }),
        _ => Err(Error::usage(format!("'{}' stands for several tasks", Shown(text)), hint)),
    }
}

/// The task of the board whose id is `text`, or the only one whose id begins or ends so: for whoever is about to change it.
///
/// # Errors
/// [`Refusal::OwnTask`] for what an agent does itself.
pub fn find(office: &Office, text: &str) -> Result<TaskId> {
    match meant(office, text)? {
        Meant::Shared(id) => Ok(id),
        Meant::Own(own) => {
            let refused = Refusal::OwnTask { id: own.id, agent: own.named.session };
            Err(crate::a2a::Error::from(refused).into())
        }
    }
}

/// The task that `text` stands for, to be looked at: one of the board, or an agent's own.
pub fn look(office: &Office, text: &str) -> Result<Found> {
    // What a dead one holds can be claimed: nobody is told that it is at work.
    office.tasks.reap_if_due();
    Ok(match meant(office, text)? {
        Meant::Shared(id) => Found::Shared(Box::new(office.tasks.get(id)?)),
        Meant::Own(own) => Found::Own(own),
    })
}

/// `task` as it is now.
pub(super) fn again(office: &Office, task: &Found) -> Result<Found> {
    Ok(match task {
        Found::Shared(work) => Found::Shared(Box::new(office.tasks.get(work.spec.id)?)),
        Found::Own(own) => Found::Own(Box::new(own::again(office, own)?)),
    })
}

/// The tasks that are asked for.
#[derive(Debug, Default)]
pub struct Listed {
    /// Those that can be read, the oldest first.
    pub tasks: Vec<Found>,
    /// What is wrong with the others.
    pub unreadable: Vec<Error>,
}

/// The tasks that `filter` takes, the agents' own among them.
pub fn list(office: &Office, filter: &Filter) -> Result<Listed> {
    office.tasks.reap_if_due();
    let shared = office.tasks.list(filter)?;
    let agents = own::all(office)?;
    let own = agents.tasks.into_iter().filter(|own| own::takes(filter, own));
    let mut tasks: Vec<Found> = shared.tasks.into_iter().map(|work| Found::Shared(Box::new(work))).collect();
    tasks.extend(own.map(|own| Found::Own(Box::new(own))));
    tasks.sort_by_cached_key(Found::age);
    let damaged = shared.unreadable.into_iter().map(|why| crate::a2a::Error::from(why).into());
    Ok(Listed { tasks, unreadable: damaged.chain(agents.unreadable.into_iter().map(Error::from)).collect() })
}

/// Claims the best task as soon as there is one; `None` if none came within `limit`.
pub async fn claim_within(
    office: &Office,
    caller: &Caller,
    op_id: Option<String>,
    limit: Duration,
) -> Result<Option<Work>> {
    let end = clock::tick().checked_add(limit);
    Watch::every(LOOK).until(&dirs(office), end, || tasks::claim(office, caller, None, op_id.clone())).await
}

/// Waits until all of the tasks have ended, or one of them waits for somebody; false if the time was over before.
pub async fn wait(
    office: &Office,
    mut tasks: Vec<Found>,
    limit: Option<Duration>,
) -> Result<(Vec<Found>, bool)> {
    let end = limit.and_then(|limit| clock::tick().checked_add(limit));
    let mut dirs: Vec<PathBuf> = tasks.iter().flat_map(|task| task.dirs(office)).collect();
    dirs.sort_unstable();
    dirs.dedup();
    let mut watch = Watch::new();
    let mut keepers = Keepers::default();
    loop {
        for task in &mut tasks {
            *task = again(office, task)?;
            match &*task {
                Found::Own(own) if !task.rests() => keepers.listen(&own.named),
                _ => {}
            }
        }
        let ended = |task: &Found| task.state().is_terminal();
        if tasks.iter().all(Found::rests) || tasks.iter().any(|task| task.rests() && !ended(task)) {
            return Ok((tasks, true));
        }
        if end.is_some_and(|end| end <= clock::tick()) {
            return Ok((tasks, false));
        }
        tokio::select! {
            () = watch.changed(&dirs) => {}
            () = keepers.ended() => {}
            () = clock::at(end) => {}
        }
    }
}

/// The directories that tell when there may be something to claim: every change of a task is posted in one, and that a task became ready
/// is told in the other.
pub(super) fn dirs(office: &Office) -> [PathBuf; 2] {
    let copies = office.places.copies(&office.project);
    [copies.tasks(), copies.feed()]
}

/// An artifact that is a file: text as text, anything else as bytes.
pub fn artifact_of_file(path: &Path, name: Option<String>) -> Result<Artifact> {
    let unusable = |why: String| Error::Context { path: path.to_owned(), why };
    let bytes = file::read(path).map_err(|e| unusable(e.to_string()))?;
    let bytes = bytes.ok_or_else(|| unusable("it is not there".to_owned()))?;
    let mut part = match String::from_utf8(bytes) {
        Ok(text) => Part::text(text),
        Err(error) => Part { raw: Some(BASE64_STANDARD.encode(error.as_bytes())), ..Part::default() },
    };
    part.filename = path.file_name().map(|name| name.to_string_lossy().into_owned());
    Ok(artifact(name.or_else(|| part.filename.clone()), part))
}

/// An artifact of one part, known by its name where it has one: adding it again puts it in place of the first.
pub fn artifact(name: Option<String>, part: Part) -> Artifact {
    Artifact {
        artifact_id: name.clone().unwrap_or_else(|| clock::new_id().to_string()),
        parts: vec![part],
        name,
        description: None,
        metadata: serde_json::Map::new(),
        extensions: Vec::new(),
    }
}
