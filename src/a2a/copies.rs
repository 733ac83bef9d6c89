//! The copies of all tasks and inboxes, made again from their journals when they are gone: after a reboot, or when somebody
//! wiped /tmp.

use super::mail::Mail;
use super::tasks::{Hold, Tasks};
use super::{Result, root};
use crate::tools::{file, lock};
use std::time::Duration;

/// How long somebody may take to make all copies.
const BUILD_LIMIT: Duration = Duration::from_mins(2);
/// How long somebody may be at work on one task.
const LIMIT: Duration = Duration::from_secs(10);

impl Tasks {
    /// Makes the copies of all tasks and inboxes, if nobody has since they were gone. What reads them finds all of them when
    /// this returns.
    pub(super) fn build(&self) -> Result<()> {
        let built = self.copies.built();
        if file::is_there(&built)? {
            return Ok(());
        }
        let path = self.places.copies_lock(&self.project);
        if let Some(dir) = path.parent() {
            file::make_dirs(dir)?;
        }
        let _one = lock::exclusive(&path, BUILD_LIMIT)?;
        if file::is_there(&built)? {
            return Ok(());
        }
        root::prepare(&self.places.root, rustix::process::getuid().as_raw())?;
        // The oldest first: so the index is cut into as few shards as it was.
        let mut all = Vec::new();
        for id in self.ids()? {
            // One that cannot be read says so below.
            all.push((self.read(id).ok().flatten().map(|work| work.created), id));
        }
        all.sort_unstable();
        for (_, id) in all {
            let held = match self.hold(id, Some(LIMIT)) {
                Err(error) if error.is_damaged_task() => {
                    // It harms no other.
                    tracing::warn!(task = %id, %error, "it has no copies");
                    continue;
                }
                held => held?,
            };
            match held {
                Hold::Task(held) if held.work.newer => {}
                Hold::Task(held) => self.mend_quietly(id, *held)?,
                Hold::Busy | Hold::None => self.unless_created(id, || Ok(()))?,
            }
        }
        Mail::new(&self.places, &self.project).rebuild()?;
        Ok(file::with_dir(&built, |path| file::post(path, b"1\n"))?)
    }
}
