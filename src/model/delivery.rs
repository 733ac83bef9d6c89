//! What becomes of a result beyond its branch: where it is pushed, and the pull request for it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A repository at a host of pull requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Home {
    /// The host, such as `github.com`.
    pub host: String,
    /// Who it belongs to.
    pub owner: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.host, self.owner, self.name)
    }
}

/// A pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PullRequest {
    /// Its number.
    pub number: u64,
    /// Its address.
    pub url: String,
}

/// A pull request to be opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// The repository that it is opened in.
    pub at: Home,
    /// Whose repository the branch is pushed to, where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The branch that it is to be merged into, if it has that; else, and without one, the default branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into: Option<String>,
    /// It is a draft.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub draft: bool,
}

/// What is done with the result once the task is done. Holds no address of a remote: that may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// What the remote is called that it is pushed to; for people.
    pub remote: String,
    /// The branch there; absent: as the agent's is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The pull request to open; absent: the one that the agent began at is updated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<Opening>,
    /// The labels that the pull request gets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// The SHA-256 of the private file that tells how the remote is reached.
    #[serde(default)]
    pub seal: String,
}

/// How far that has gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivered {
    /// The commit that was pushed last.
    pub pushed: Option<String>,
    /// The commit that was about to be pushed last: it may have arrived.
    pub sent: Option<String>,
    /// The pull request that it is in.
    pub pull: Option<PullRequest>,
    /// How it ended last.
    pub end: Option<DeliveryEnd>,
}

/// How a delivery ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryEnd {
    /// The round whose result it was.
    pub round: u32,
    /// Why it is not delivered; `None`: it is.
    pub undelivered: Option<Undelivered>,
    /// There was nothing to deliver.
    pub nothing: bool,
    /// What is not exactly as asked for.
    pub note: Option<String>,
}

/// Why a result is not delivered, and what to type to do it by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Undelivered {
    /// Why.
    pub why: String,
    /// The commands, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<String>,
}
