//! The user's own difftool, on what an agent changed.
//!
//! It sees copies, in a directory of ours that is gone afterwards: nothing that is changed there is written back. git is asked in a
//! private git directory, so which tool there is and what it runs comes from the user's own configuration, and nothing that lies in the
//! repository or the worktree (configuration, attributes, index) has a say.

use super::anatomy::tree_of;
use super::brought::Brought;
use super::changes::Listing;
use super::command::{Git, GitEnv};
use super::private::{ConfigSnapshot, PrivateDir, tree_id};
use super::worktree::{Worktree, eyes};
use super::{CommitId, Error, Result, disk};
use crate::tools::program::End;
use crate::tools::signals::Hold;

/// Shows in `tool`, else in the one that the user has set, how what is in `worktree` now, but for what was `brought` there, differs from
/// `base`, and waits until it is closed.
/// False: there is no difference, and it was not started. Works in the terminal of this process.
///
/// # Errors
/// [`Error::Difftool`] if it could not be started, or did not end well.
pub fn open(
    env: &GitEnv,
    worktree: &Worktree,
    base: &CommitId,
    brought: &Brought,
    tool: Option<&str>,
) -> Result<bool> {
    let eyes = eyes(env, worktree)?;
    let head = eyes.head()?;
    let config = ConfigSnapshot::bare(base.as_str().len() == 64);
    let mut private = PrivateDir::new(env, worktree, &config)?;
    private.keep_nothing()?;
    let mut listing = Listing::read(&private, worktree, head.commit())?;
    listing.leave_out(brought);
    listing.apply(&private)?;
    let tree = tree_id(private.git().args(["write-tree", "--missing-ok"]), "write a tree")?;
    let Some(before) = tree_of(eyes.as_ref(), Some(base))?.filter(|before| *before != tree) else {
        return Ok(false);
    };
    // The repository's attributes, which an agent can write, have chosen what they may; the filters of the user's own configuration,
    // which git reads from here on, are not for them to choose.
    disk::write(&private.beside("info/attributes"), b"")?;
    let (empty, copies) = (private.beside("empty"), private.beside("copies"));
    disk::make_dir(&empty)?;
    disk::make_dir(&copies)?;
    let mut git = Git::at_terminal(env)
        .cwd(&empty)
        .env("TMPDIR", &copies)
        // Its attributes are the agent's.
        .env("GIT_INDEX_FILE", private.beside("no-index"));
    for (name, value) in private.places() {
        git = git.env(name, value);
    }
    let git =
        git.env("GIT_WORK_TREE", &empty).args(["difftool", "--dir-diff", "--no-prompt", "--no-symlinks"]);
    let git = match tool {
        Some(tool) => git.arg(format!("--tool={tool}")),
        None => git,
    };
    // No signal ends us while there are copies.
    let hold = Hold::begin().map_err(|error| disk::error(&copies)(std::io::Error::other(error)))?;
    let ended = git.args([&before, &tree]).arg("--").run_in_terminal(&hold);
    hold.keep();
    let how = match ended? {
        End { code: Some(0), .. } => return Ok(true),
        End { code: Some(code), .. } => format!("exit {code}"),
        End { signal, .. } => format!("signal {}", signal.unwrap_or_default()),
    };
    Err(Error::Difftool { how })
}
