//! What can be wrong with a profile, or with a start that a profile does not allow.

use std::path::PathBuf;

/// An error of the agents room.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nobody has this name.
    #[error("no agent CLI is called `{name}`")]
    Unknown {
        /// What was asked for.
        name: String,
        /// Names that may have been meant.
        nearest: Vec<String>,
        /// Every name there is.
        known: Vec<String>,
    },
    /// A profile is no valid TOML, or a value has the wrong type.
    #[error("{}:{line}: {message}", file.display())]
    Toml {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// A profile has a key that does not exist.
    #[error("{}:{line}: there is no key `{key}`", file.display())]
    Key {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The key.
        key: String,
        /// Keys that may have been meant.
        nearest: Vec<String>,
    },
    /// The value of a key cannot be used.
    #[error("{}:{line}: {key}: {problem}", file.display())]
    Value {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The key.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The profile does not say how to give the CLI a model.
    #[error("{cli} takes no model")]
    ModelNotTaken {
        /// The profile's name.
        cli: String,
    },
    /// The profile does not say how to go on with a conversation.
    #[error("{cli} cannot go on with an earlier conversation")]
    CannotResume {
        /// The profile's name.
        cli: String,
    },
    /// A budget was given to a CLI that does not report what it costs.
    #[error("{cli} does not report what it costs, so a budget cannot be kept")]
    NoBudget {
        /// The profile's name.
        cli: String,
    },
    /// The budget is no amount of money.
    #[error("{amount} is no amount of money to spend")]
    BadBudget {
        /// What was given.
        amount: String,
    },
    /// A command line needs something that was not given.
    #[error("{cli} needs {what}")]
    Needs {
        /// The profile's name.
        cli: String,
        /// What it needs.
        what: &'static str,
    },
}

impl Error {
    /// The name of the error for programs: stays the same over releases.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "agent_cli_unknown",
            Self::Toml { .. } => "profile_syntax",
            Self::Key { .. } => "profile_key",
            Self::Value { .. } => "profile_value",
            Self::ModelNotTaken { .. } => "model_not_taken",
            Self::CannotResume { .. } => "cannot_resume",
            Self::NoBudget { .. } => "no_budget",
            Self::BadBudget { .. } => "bad_budget",
            Self::Needs { .. } => "agent_cli_needs",
        }
    }

    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { nearest, .. } if !nearest.is_empty() => {
                Some(format!("did you mean {}?", nearest.join(" or ")))
            }
            Self::Unknown { known, .. } => Some(format!("use one of: {}", known.join(", "))),
            Self::Key { nearest, .. } if !nearest.is_empty() => {
                Some(format!("did you mean `{}`?", nearest.join("` or `")))
            }
            Self::ModelNotTaken { cli } => Some(format!("leave out --model for {cli}")),
            Self::CannotResume { .. } => Some("start a new agent with `ai_orch run`".into()),
            Self::NoBudget { .. } => {
                Some("leave out --budget, or use an agent CLI that reports its cost (claude)".into())
            }
            Self::BadBudget { .. } => Some("give US dollars, for example --budget 2.50".into()),
            Self::Needs { cli, what: "a model" } => Some(format!("add --model {cli}=...")),
            Self::Toml { file, .. } | Self::Key { file, .. } | Self::Value { file, .. } => {
                Some(format!("edit {}", file.display()))
            }
            Self::Needs { .. } => None,
        }
    }
}
