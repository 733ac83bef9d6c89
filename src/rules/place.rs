//! Where an agent is to work, from what was asked for.

use std::path::Path;

/// What was said about where to work.
#[derive(Debug, Clone, Copy, Default)]
pub struct Said<'a> {
    /// What a new branch starts from.
    pub base: Option<&'a str>,
    /// A pull request.
    pub pr: Option<&'a str>,
    /// A branch that is there.
    pub branch: Option<&'a str>,
    /// No branch is to be made.
    pub no_new_branch: bool,
    /// No worktree is to be made.
    pub no_worktree: bool,
    /// A directory without a repository.
    pub dir: Option<&'a Path>,
    /// The changes of the checkout are to be taken along.
    pub with_changes: bool,
}

/// Where to work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// On a new branch, which starts from this; `None`: from HEAD.
    NewBranch(Option<&'a str>),
    /// On a new branch, which starts from the head of this pull request.
    PullRequest(&'a str),
    /// On this branch.
    Branch(&'a str),
    /// In the checkout.
    Checkout,
    /// In this directory.
    Directory(&'a Path),
}

/// Why what was said is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unclear {
    /// Two places.
    #[error("{0} and {1} are two places to work")]
    Both(&'static str, &'static str),
    /// What a new branch starts from, where none is made.
    #[error("--base is what a new branch starts from, and {0} leaves nothing to choose")]
    Base(&'static str),
    /// The changes of the checkout, where they do not belong.
    #[error("--with-changes begins a new branch at HEAD, and {0} does not")]
    Changes(&'static str),
    /// None is left.
    #[error("--no-new-branch leaves the agent no branch to work on")]
    NoBranch,
}

impl Unclear {
    /// What to type instead.
    pub const fn hint(self) -> &'static str {
        match self {
            Self::Both(..) => "give one of them",
            Self::Base(_) => "leave --base out",
            Self::Changes(_) => "leave one of them out",
            Self::NoBranch => {
                "say which one: --branch BRANCH, that of a pull request: --pr N, or the one that is checked out: --no-worktree"
            }
        }
    }
}

/// The one place that was asked for.
///
/// # Errors
/// If that is none, or more than one.
pub fn wanted<'a>(said: &Said<'a>) -> Result<Wanted<'a>, Unclear> {
    let asked = [
        said.pr.map(|pr| ("--pr", Wanted::PullRequest(pr))),
        said.branch.map(|branch| ("--branch", Wanted::Branch(branch))),
        said.no_worktree.then_some(("--no-worktree", Wanted::Checkout)),
        said.dir.map(|dir| ("--dir", Wanted::Directory(dir))),
    ];
    let mut asked = asked.into_iter().flatten();
    match (asked.next(), asked.next()) {
        (Some((one, _)), Some((other, _))) => Err(Unclear::Both(one, other)),
        (Some((name, _)), None) if said.base.is_some() => Err(Unclear::Base(name)),
        (Some((name, _)), None) if said.with_changes => Err(Unclear::Changes(name)),
        (Some((_, place)), None) => Ok(place),
        (None, _) if said.no_new_branch => Err(Unclear::NoBranch),
        (None, _) if said.with_changes && said.base.is_some() => Err(Unclear::Changes("--base")),
        (None, _) => Ok(Wanted::NewBranch(said.base)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_and_no_two() {
        let dir = Path::new("/d");
        let said = Said::default();
        let with_base = Said { base: Some("v1"), ..said };
        let branch = Said { branch: Some("b"), ..said };
        let pull = Said { pr: Some("7"), ..said };
        let checkout = Said { no_worktree: true, ..said };
        let directory = Said { dir: Some(dir), ..said };
        let table = [
            (said, Ok(Wanted::NewBranch(None))),
            (with_base, Ok(Wanted::NewBranch(Some("v1")))),
            (branch, Ok(Wanted::Branch("b"))),
            (checkout, Ok(Wanted::Checkout)),
            (directory, Ok(Wanted::Directory(dir))),
            (Said { no_new_branch: true, ..said }, Err(Unclear::NoBranch)),
            (Said { no_new_branch: true, ..with_base }, Err(Unclear::NoBranch)),
            (pull, Ok(Wanted::PullRequest("7"))),
            (Said { no_new_branch: true, ..pull }, Ok(Wanted::PullRequest("7"))),
            (Said { base: Some("v1"), ..pull }, Err(Unclear::Base("--pr"))),
            (Said { with_changes: true, ..pull }, Err(Unclear::Changes("--pr"))),
            (Said { branch: Some("b"), ..pull }, Err(Unclear::Both("--pr", "--branch"))),
            (Said { no_new_branch: true, ..branch }, Ok(Wanted::Branch("b"))),
            (Said { no_new_branch: true, ..checkout }, Ok(Wanted::Checkout)),
            (Said { no_new_branch: true, ..directory }, Ok(Wanted::Directory(dir))),
            (Said { base: Some("v1"), ..branch }, Err(Unclear::Base("--branch"))),
            (Said { base: Some("v1"), ..directory }, Err(Unclear::Base("--dir"))),
            (Said { with_changes: true, ..said }, Ok(Wanted::NewBranch(None))),
            (Said { with_changes: true, ..with_base }, Err(Unclear::Changes("--base"))),
            (Said { with_changes: true, ..branch }, Err(Unclear::Changes("--branch"))),
            (Said { no_worktree: true, ..branch }, Err(Unclear::Both("--branch", "--no-worktree"))),
            (Said { dir: Some(dir), ..checkout }, Err(Unclear::Both("--no-worktree", "--dir"))),
        ];
        for (said, wanted_place) in table {
            assert_eq!(wanted(&said), wanted_place, "{said:?}");
        }
    }
}
