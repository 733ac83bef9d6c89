//! Finding tasks by what people type, and waiting for them.

use super::caller::Caller;
use super::office::Office;
use super::{Error, Result, tasks};
use crate::a2a::tasks::{Filter, Listed};
use crate::a2a::watch::Watch;
use crate::model::a2a::{Artifact, Part, TaskState};
use crate::model::ids::TaskId;
use crate::model::text::Shown;
use crate::model::work::Work;
use crate::tools::{clock, file};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use std::path::Path;
use std::time::Duration;

/// How often whoever waits for work looks for tasks whose holders are gone: the kernel does not tell that a lock is free.
const LOOK: Duration = Duration::from_secs(1);
/// The fewest characters of an id that stand for it.
const SHORTEST: usize = 4;

/// The task whose id is `text`, or the only one whose id begins or ends so.
pub fn find(office: &Office, text: &str) -> Result<TaskId> {
    if let Ok(id) = text.parse() {
        return Ok(id);
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
    let found: Vec<TaskId> = office.tasks.ids()?.into_iter().filter(fits).collect();
    match found.as_slice() {
        [one] => Ok(*one),
        [] => Err(Error::NoTask { text: text.to_owned() }),
        _ => Err(Error::usage(format!("'{}' stands for several tasks", Shown(text)), hint)),
    }
}

/// The tasks that `filter` takes.
pub fn list(office: &Office, filter: &Filter) -> Result<Listed> {
    Ok(office.tasks.list(filter)?)
}

/// Claims the best task as soon as there is one; `None` if none came within `limit`.
pub async fn claim_within(
    office: &Office,
    caller: &Caller,
    op_id: Option<String>,
    limit: Duration,
) -> Result<Option<Work>> {
    let end = clock::tick() + limit;
    let watch = watch(office)?;
    loop {
        if let Some(work) = tasks::claim(office, caller, None, op_id.clone())? {
            return Ok(Some(work));
        }
        let left = end.saturating_duration_since(clock::tick());
        if left.is_zero() {
            return Ok(None);
        }
        clock::within(left.min(LOOK), watch.changed()).await;
    }
}

/// Waits until all of the tasks have ended, or one of them waits for an answer; false if the time was over before.
pub async fn wait(office: &Office, ids: &[TaskId], limit: Option<Duration>) -> Result<(Vec<Work>, bool)> {
    let end = limit.and_then(|limit| clock::tick().checked_add(limit));
    let watch = watch(office)?;
    loop {
        let works = ids.iter().map(|id| Ok(office.tasks.get(*id)?)).collect::<Result<Vec<_>>>()?;
        let asks = |work: &Work| matches!(work.state, TaskState::InputRequired | TaskState::AuthRequired);
        if works.iter().all(|work| work.state.is_terminal()) || works.iter().any(asks) {
            return Ok((works, true));
        }
        tokio::select! {
            () = watch.changed() => {}
            () = clock::at(end) => return Ok((works, false)),
        }
    }
}

/// A watch of the directory that every change of a task is posted in.
fn watch(office: &Office) -> Result<Watch> {
    let mut watch = Watch::new();
    watch.add(&office.places.copies(&office.project).tasks())?;
    Ok(watch)
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
