//! Leases: until when a claim holds, one small file each, rewritten in one write.
//!
//! A lease is posted as the last thing of a change and taken away as the first of the next. So a claim without a lease is one whose
//! copies somebody is changing, or died changing.

use super::Result;
use crate::model::ids::TaskId;
use crate::model::places::Copies;
use crate::model::work::{After, Holder};
use crate::tools::{clock, crash, file};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// More than a lease ever takes, in bytes.
const LONGEST: u64 = 200;

/// What a lease says. The same length for every deadline, so that it is rewritten in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lease {
    /// In milliseconds since the boot.
    deadline: u64,
    /// By how much it is renewed.
    ms: u64,
    /// Its holder's process.
    pub(super) pid: Option<i32>,
    boot: String,
}

impl Lease {
    fn of(holder: &Holder) -> Self {
        let deadline = clock::boot_millis().saturating_add(holder.lease_ms);
        Self { deadline, ms: holder.lease_ms, pid: holder.pid, boot: holder.boot.clone() }
    }

    fn text(&self) -> String {
        let Self { deadline, ms, pid, boot } = self;
        format!("{deadline:020} {ms:020} {:010} {boot}\n", pid.unwrap_or(0))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.strip_suffix('\n')?.split(' ');
        let deadline = words.next()?.parse().ok()?;
        let ms = words.next()?.parse().ok()?;
        let pid = Some(words.next()?.parse().ok()?).filter(|pid| *pid != 0);
        Some(Self { deadline, ms, pid, boot: words.next()?.to_owned() })
    }

    /// Why it does not hold any more at `now` of `boot`.
    pub(super) fn over(&self, boot: &str, now: u64) -> Option<After> {
        if self.boot != boot {
            return Some(After::Reboot);
        }
        (self.deadline < now).then_some(After::LeaseOver)
    }
}

/// Begins the lease of the claim that `holder` has on the task `id`.
pub(super) fn begin(copies: &Copies, id: TaskId, holder: &Holder) -> Result<()> {
    let text = Lease::of(holder).text();
    Ok(file::with_dir(&copies.lease(id), |path| file::overwrite(path, text.as_bytes()))?)
}

/// The same with the file `entry`, which is of no other use any more and is gone then. False if it is gone already.
///
/// What is a name for one is a lease for the other: no file is made and none removed, which is most of what a claim costs.
pub(super) fn begin_as(copies: &Copies, id: TaskId, holder: &Holder, entry: &Path) -> Result<bool> {
    let text = Lease::of(holder).text();
    if !file::overwrite_there(entry, text.as_bytes())? {
        return Ok(false);
    }
    Ok(file::with_dir(&copies.lease(id), |path| file::move_there(entry, path))?)
}

/// Takes it away.
pub(super) fn end(copies: &Copies, id: TaskId) -> Result<()> {
    file::remove(&copies.lease(id))?;
    Ok(())
}

/// What it says; `None` if there is none, or one that is just being made.
pub(super) fn read(copies: &Copies, id: TaskId) -> Result<Option<Lease>> {
    Ok(file::open(&copies.lease(id))?.and_then(said))
}

fn said(file: File) -> Option<Lease> {
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text).ok()?;
    Lease::parse(&text)
}

/// Begins it again from now, if it is there; whether it is.
pub(super) fn renew(copies: &Copies, id: TaskId) -> Result<bool> {
    let path = copies.lease(id);
    let Some(file) = file::open_rw_there(&path)? else { return Ok(false) };
    let failed = |source| file::Error { action: "renew", path: path.clone(), source };
    let Some(lease) = said(file.try_clone().map_err(failed)?) else { return Ok(false) };
    let renewed = Lease { deadline: clock::boot_millis().saturating_add(lease.ms), ..lease };
    crash::point(|| format!("renew {}", crash::short(&path)));
    file.write_all_at(renewed.text().as_bytes(), 0).map_err(failed)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_read_as_it_was_written_and_ends_by_time_or_boot() {
        for pid in [None, Some(7), Some(i32::MAX)] {
            let lease = Lease { deadline: 1000, ms: 60_000, pid, boot: "b".into() };
            assert_eq!(Lease::parse(&lease.text()), Some(lease.clone()));
            assert_eq!(lease.text().len(), Lease { deadline: u64::MAX, ..lease.clone() }.text().len());
            for (boot, now, over) in [
                ("b", 0, None),
                ("b", 1000, None),
                ("b", 1001, Some(After::LeaseOver)),
                ("c", 0, Some(After::Reboot)),
            ] {
                assert_eq!(lease.over(boot, now), over, "{boot} {now}");
            }
        }
        for text in ["", "1", "1 2 3 b", "x 2 3 b\n"] {
            assert_eq!(Lease::parse(text), None, "{text}");
        }
    }

    #[test]
    fn only_one_that_is_there_is_renewed() {
        let dir = tempfile::tempdir().unwrap();
        let copies = Copies(dir.path().join("p"));
        let id = TaskId(clock::new_id());
        assert!(!renew(&copies, id).unwrap());
        let holder = Holder { name: "w".parse().unwrap(), pid: Some(3), boot: "b".into(), lease_ms: 0 };
        begin(&copies, id, &holder).unwrap();
        std::fs::write(copies.lease(id), Lease { deadline: 5, ms: 9, pid: Some(3), boot: "b".into() }.text())
            .unwrap();
        assert!(renew(&copies, id).unwrap());
        let now = read(&copies, id).unwrap().unwrap();
        assert!(now.deadline > 5 && now.ms == 9 && now.pid == Some(3), "{now:?}");
        end(&copies, id).unwrap();
        assert_eq!(read(&copies, id).unwrap(), None);
    }
}
