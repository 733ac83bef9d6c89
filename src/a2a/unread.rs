//! How much waits to be read, counted for many at once: from the copies under the root where these are true, and nothing is opened then.
//!
//! Each change of an inbox is appended to its journal first, then its copies change, all under its lock. So copies that changed last are
//! whole; where the journal did, somebody is between the two, died there, or appended what changes no copy, and the journal is
//! read. `BUILT` is older than any copy: a cleaner that takes old files takes it before them.

use super::Result;
use super::mail::Mail;
use crate::model::ids::{Party, Project};
use crate::model::places::Places;
use crate::tools::file;
use std::collections::HashMap;

/// Counts what waits, over all projects.
#[derive(Debug)]
pub struct Counter<'p> {
    places: &'p Places,
    /// Whether the copies of a project are there.
    built: HashMap<Project, bool>,
}

impl<'p> Counter<'p> {
    /// Counts in `places`.
    pub fn new(places: &'p Places) -> Self {
        Self { places, built: HashMap::new() }
    }

    /// How many messages `reader` has in `project` that are not acknowledged, and not given up.
    pub fn count(&mut self, project: &Project, reader: &Party) -> Result<u64> {
        // In this order: what changes in between makes the copies look newer only by being in them.
        let Some(written) = file::modified(&self.places.inbox(project, reader))? else { return Ok(0) };
        let built = self.built(project)?;
        let dir = self.places.copies(project).mail(reader);
        if built && file::modified(&dir)?.is_some_and(|copied| copied >= written) {
            let names = file::names(&dir)?.unwrap_or_default();
            // Anything else there is a copy that somebody writes, or died over.
            if names.iter().all(|name| name.to_str().and_then(super::mail::placed).is_some()) {
                return Ok(names.len() as u64);
            }
        }
        Mail::new(self.places, project).waiting_count(reader)
    }

    fn built(&mut self, project: &Project) -> Result<bool> {
        if let Some(built) = self.built.get(project) {
            return Ok(*built);
        }
        let built = file::is_there(&self.places.copies(project).built())?;
        self.built.insert(project.clone(), built);
        Ok(built)
    }

    /// The projects in which anybody ever wrote to the person, and how much waits there.
    pub fn for_person(&mut self) -> Result<Vec<(Project, u64)>> {
        let mut found = Vec::new();
        for name in file::names(&self.places.state)?.unwrap_or_default() {
            let Ok(name) = name.into_string() else { continue };
            let project = Project(name);
            // One inbox that cannot be read is told of by whoever reads it.
            found.extend(self.count(&project, &Party::User).ok().map(|count| (project, count)));
        }
        found.sort();
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::a2a::{Message, Role};
    use crate::model::mail::{Draft, How};
    use std::fs;
    use std::time::{Duration, SystemTime};

    #[test]
    fn copies_are_believed_only_where_they_changed_last() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        let places = Places { root: at("root"), state: at("state"), data: at("data"), config: at("config") };
        let project = Project("p-1".to_owned());
        let (mail, reader) = (Mail::new(&places, &project), Party::User);
        let count = || Counter::new(&places).count(&project, &reader).unwrap();
        let built = places.copies(&project).built();
        assert_eq!(count(), 0);
        for n in 0..3 {
            let message = Message::text(n.to_string(), Role::User, "hello");
            mail.send(&Draft::new(Party::User, reader.clone(), message)).unwrap();
        }
        assert_eq!(count(), 3, "by the journal");
        fs::write(&built, "1\n").unwrap();
        assert_eq!(count(), 3);
        let (dir, inbox) = (places.copies(&project).mail(&reader), places.inbox(&project, &reader));
        let changed = |path: &std::path::Path, ago: u64| {
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000 - ago);
            fs::File::open(path).unwrap().set_modified(at).unwrap();
        };
        // Somebody died between journal and copy.
        let copies = || fs::read_dir(&dir).unwrap().flatten().map(|entry| entry.path());
        fs::remove_file(copies().next().unwrap()).unwrap();
        changed(&dir, 2);
        changed(&inbox, 1);
        assert_eq!(count(), 3);
        // Or while the copy was written.
        changed(&dir, 0);
        assert_eq!(count(), 2, "what the copies say is believed, without a look at the journal");
        fs::write(dir.join(".x.1.0"), "").unwrap();
        changed(&dir, 0);
        assert_eq!(count(), 3);
        let by = crate::tools::process::me().unwrap();
        let given = mail.read(&reader, &by, 2).unwrap();
        assert_eq!(count(), 3, "taken is not acknowledged");
        let ids: Vec<_> = given.iter().map(|given| given.envelope.id).collect();
        mail.ack(&reader, &ids, How::Said).unwrap();
        assert_eq!(count(), 1);
        mail.bury(&reader, "nobody comes").unwrap();
        assert_eq!(count(), 0);
    }
}
