//! Why an attempt failed: one closed set of classes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The reason an attempt failed. The set is closed on purpose: every decision about a failure (try the next
/// agent CLI, end the task, wait for a person) is a `match` over it that the compiler keeps complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The agent CLI is not installed, or could not be started.
    MissingCli,
    /// The key or login was refused.
    Auth,
    /// The account has nothing left until some later time.
    Quota,
    /// Too many requests in a short time.
    RateLimit,
    /// The provider has no capacity, or fails on its side (5xx).
    Overloaded,
    /// The provider could not be reached, or the connection broke.
    Network,
    /// The model does not exist or may not be used.
    Model,
    /// The conversation no longer fits the model's context window.
    Context,
    /// The CLI ended well but produced no answer and no change, or its answer was blocked.
    Empty,
    /// The time that the user allowed is over.
    Timeout,
    /// Nothing came from the CLI for longer than its profile allows.
    Stalled,
    /// The CLI ended without saying how it went: a non-zero exit code, or a signal that was not ours.
    Crash,
    /// The CLI was not allowed to use the tools it wanted, and changed nothing.
    Refused,
    /// The command given with `--validate` failed.
    Validation,
    /// The command given with `--setup` failed, before any agent CLI was started.
    Setup,
    /// A guardrail was violated.
    Guard,
    /// The task is done, and its result could not be delivered.
    Delivery,
    /// A git operation of ours failed.
    Git,
    /// The money that the user allowed is spent.
    Budget,
    /// The keeper or the machine went away.
    Interrupted,
    /// Could not find out.
    Unknown,
}

impl Class {
    /// Every class, in the order of the documentation.
    pub const ALL: [Self; 21] = [
        Self::MissingCli,
        Self::Auth,
        Self::Quota,
        Self::RateLimit,
        Self::Overloaded,
        Self::Network,
        Self::Model,
        Self::Context,
        Self::Empty,
        Self::Timeout,
        Self::Stalled,
        Self::Crash,
        Self::Refused,
        Self::Validation,
        Self::Setup,
        Self::Guard,
        Self::Delivery,
        Self::Git,
        Self::Budget,
        Self::Interrupted,
        Self::Unknown,
    ];

    /// The word used in JSON, in profiles and on screen.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MissingCli => "missing_cli",
            Self::Auth => "auth",
            Self::Quota => "quota",
            Self::RateLimit => "rate_limit",
            Self::Overloaded => "overloaded",
            Self::Network => "network",
            Self::Model => "model",
            Self::Context => "context",
            Self::Empty => "empty",
            Self::Timeout => "timeout",
            Self::Stalled => "stalled",
            Self::Crash => "crash",
            Self::Refused => "refused",
            Self::Validation => "validation",
            Self::Setup => "setup",
            Self::Guard => "guard",
            Self::Delivery => "delivery",
            Self::Git => "git",
            Self::Budget => "budget",
            Self::Interrupted => "interrupted",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What an agent CLI said about something that went wrong, before anyone decided what class it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Trouble {
    /// The HTTP status it named, if it named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The CLI's own short code for it (`rate_limit`, `error_max_budget_usd`), if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The text it gave.
    pub message: String,
    /// When it will work again, in seconds since 1970, if the CLI said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resets_at: Option<u64>,
}

/// A failure with its class: what is put on record and shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// The class.
    pub class: Class,
    /// What happened, in the words of whoever noticed it. Untrusted text: print it through [`super::text::Shown`].
    pub message: String,
    /// When the CLI can be used again, in seconds since 1970, if it said so (a usage window that is used up).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resets_at: Option<u64>,
}

impl Failure {
    /// A failure of `class` with `message`.
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), resets_at: None }
    }
}
