//! The questions of [`super::eyes`] answered by the hardened git command, for repositories that libgit2 cannot open.

use super::command::{Git, GitEnv, answer, records};
use super::eyes::Eyes;
use super::{Commit, CommitId, DiffStat, Head, Patch, Result};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where to ask.
#[derive(Debug)]
pub(super) struct ByGit {
    pub(super) env: GitEnv,
    pub(super) git_dir: PathBuf,
    pub(super) common_dir: PathBuf,
    pub(super) work_dir: PathBuf,
}

/// Flags of every `git diff`: no program of the repository's choice looks at the content.
const PLAIN: [&str; 4] = ["--no-ext-diff", "--no-textconv", "--no-color", "--ignore-submodules=none"];

impl ByGit {
    fn git(&self) -> Git {
        Git::at(&self.env, &self.git_dir, &self.common_dir, &self.work_dir)
    }

    fn diff(&self, base: &CommitId, tip: &CommitId) -> Git {
        self.git().arg("diff-tree").args(PLAIN).args(["-r", "-M", base.as_str(), tip.as_str()])
    }
}

impl Eyes for ByGit {
    fn head(&self) -> Result<Head> {
        let doing = "read HEAD";
        let symbolic = self.git().args(["symbolic-ref", "-q", "HEAD"]).run()?;
        let commit = self.resolve("HEAD")?;
        if !symbolic.status.success() {
            return match (symbolic.status.code(), commit) {
                (Some(1), Some(commit)) => Ok(Head::Detached { commit }),
                _ => Err(symbolic.failure().into()),
            };
        }
        let target = String::from_utf8_lossy(&symbolic.stdout);
        let target = target.trim_end();
        if target.is_empty() {
            return Err(answer(doing, &symbolic.stdout));
        }
        let name = target.strip_prefix("refs/heads/").unwrap_or(target).to_owned();
        Ok(match commit {
            Some(commit) => Head::Branch { name, commit },
            None => Head::Unborn { name },
        })
    }

    fn resolve(&self, spec: &str) -> Result<Option<CommitId>> {
        let spec = format!("{spec}^{{commit}}");
        let out =
            self.git().args(["rev-parse", "--verify", "--quiet", "--end-of-options"]).arg(spec).run()?;
        match out.status.code() {
            Some(0) => {
                let text = String::from_utf8_lossy(&out.stdout);
                CommitId::parse(text.trim_end()).map(Some).ok_or_else(|| answer("find a commit", &out.stdout))
            }
            // 128 with nothing said is "no such path", and the like, in the quiet form.
            Some(1 | 128) if !String::from_utf8_lossy(&out.stderr).contains("not a git repository") => {
                Ok(None)
            }
            _ => Err(out.failure().into()),
        }
    }

    fn reference(&self, name: &str) -> Result<Option<CommitId>> {
        let out = self.git().args(["show-ref", "--verify", "--quiet", "--"]).arg(name).run()?;
        match out.status.code() {
            Some(0) => self.resolve(name),
            Some(1) => Ok(None),
            _ => Err(out.failure().into()),
        }
    }

    fn any_below(&self, prefix: &str) -> Result<Option<String>> {
        let out = self.git().args(["for-each-ref", "--count=1", "--format=%(refname)"]).arg(prefix);
        let line = out.line("list refs")?;
        Ok((!line.is_empty()).then(|| line.to_string_lossy().into_owned()))
    }

    fn diff_stat(&self, base: &CommitId, tip: &CommitId) -> Result<DiffStat> {
        let out = self.diff(base, tip).args(["--numstat", "-z"]).output("compare two commits")?;
        Ok(numstat(&out))
    }

    fn commits(&self, base: &CommitId, tip: &CommitId, limit: usize) -> Result<Vec<Commit>> {
        let out = self
            .git()
            .args(["log", "-z", "--topo-order", "--no-show-signature", "--format=%H%x20%s"])
            .arg(format!("--max-count={limit}"))
            .arg(format!("{base}..{tip}"))
            .output("list commits")?;
        let commit = |record: &[u8]| {
            let text = String::from_utf8_lossy(record);
            let (id, subject) = text.split_once(' ')?;
            Some(Commit { id: CommitId::parse(id)?, subject: subject.to_owned() })
        };
        records(&out).map(|r| commit(r).ok_or_else(|| answer("list commits", r))).collect()
    }

    fn patch(&self, base: &CommitId, tip: &CommitId, cap: usize) -> Result<Patch> {
        let out = self.diff(base, tip).args(["-p", "--binary"]).output_cap(cap).run()?.require_success()?;
        Ok(Patch { text: out.stdout, truncated: out.truncated })
    }

    fn raw_commit(&self, commit: &CommitId) -> Result<Vec<u8>> {
        self.git().args(["cat-file", "commit", commit.as_str()]).output("read a commit")
    }

    fn is_submodule(&self, commit: &CommitId, path: &Path) -> Result<bool> {
        let out =
            self.git().args(["ls-tree", "-z", commit.as_str(), "--"]).arg(path).output("read a tree")?;
        let ours = |record: &[u8]| {
            record.starts_with(b"160000 ")
                && record.split(|b| *b == b'\t').nth(1) == Some(path.as_os_str().as_bytes())
        };
        Ok(records(&out).any(ours))
    }
}

/// The sum of what `--numstat -z` printed.
///
/// A record is `insertions TAB deletions TAB path`; a rename has an empty path and two more records with the names;
/// a binary file has `-` for both numbers.
pub(super) fn numstat(output: &[u8]) -> DiffStat {
    let mut stat = DiffStat::default();
    for record in records(output) {
        let text = String::from_utf8_lossy(record);
        let mut fields = text.splitn(3, '\t');
        if let (Some(plus), Some(minus), Some(_)) = (fields.next(), fields.next(), fields.next())
            && [plus, minus].iter().all(|n| *n == "-" || n.parse::<usize>().is_ok())
        {
            stat.files += 1;
            stat.insertions += plus.parse().unwrap_or(0);
            stat.deletions += minus.parse().unwrap_or(0);
        }
    }
    stat
}
