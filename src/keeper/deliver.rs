//! The step behind a good result: bringing it to where it was asked for.

use super::Keeper;
use crate::life::{
    self,
    deliver::{First, Job, Pushing},
};
use crate::model::entry::Entry;
use crate::model::text::fit;
use crate::rules::wording::Tone;

impl Keeper {
    /// Delivers what the agent has done by its attempt `n`. That it could not be delivered is on record then; only asked to stop does it
    /// leave no word of how it ended.
    pub(super) async fn deliver(&mut self, n: u32) -> life::Result<()> {
        let Some(job) = Job::of(&self.house, &self.pen.agent, &self.record, &self.environment, n)? else {
            return Ok(());
        };
        self.view.line(Tone::Note, "delivers the result");
        let looking = job.clone();
        let Some(first) = self.breakable(move |_| looking.first()).await else { return Ok(()) };
        let commit = match first? {
            First::Ended(entry) => return self.delivered(entry),
            First::There(commit) => commit,
            First::Push(pushing) => {
                let Pushing { commit, branch, over } = pushing.clone();
                let over = over.commit().map(|over| over.as_str().to_owned());
                self.pen.write(Entry::Delivering { n, branch, commit: commit.as_str().to_owned(), over })?;
                let job = job.clone();
                let Some(pushed) = self.breakable(move |_| job.push(&pushing)).await else { return Ok(()) };
                if let Some(refused) = pushed? {
                    return self.delivered(refused);
                }
                commit
            }
        };
        self.pen.write(Entry::Pushed { n, commit: commit.as_str().to_owned() })?;
        let Some(ended) = self.breakable(move |_| job.pull_request()).await else { return Ok(()) };
        self.delivered(ended?)
    }

    fn delivered(&mut self, entry: Entry) -> life::Result<()> {
        let (tone, text) = match &entry {
            Entry::NotDelivered { undelivered, .. } => {
                (Tone::Bad, format!("not delivered: {}", undelivered.why))
            }
            Entry::Delivered { nothing: true, .. } => (Tone::Note, "nothing to deliver".to_owned()),
            Entry::Delivered { pull: Some(pull), .. } => (Tone::Good, format!("delivered: {}", pull.url)),
            _ => (Tone::Good, "delivered".to_owned()),
        };
        self.view.line(tone, &fit(&text, 300));
        Ok(self.pen.write(entry)?)
    }
}
