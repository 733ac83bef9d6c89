//! ai_orch runs many AI coding agents side by side on one repository, each in its own tmux session, git worktree and
//! branch.
//!
//! ```no_run
//! let orchestrator = ai_orch::Orchestrator::load()?;
//! for agent in ai_orch::ops::list::list(&orchestrator, false)?.agents {
//!     println!("{} {}", agent.session, agent.state);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The crate is built in floors; each may use the ones below it and none above (`design/architecture.md`, held by
//! `tests/it/layers.rs`).

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        reason = "tests prepare and look at the world around the code, which has to go through the wrappers"
    )
)]

pub mod a2a;
pub mod agents;
pub mod cli;
pub mod git;
pub mod github;
pub mod keeper;
pub mod life;
pub mod mcp;
pub mod model;
pub mod ops;
pub mod rules;
pub mod settings;
pub mod tmux;
pub mod tools;

/// The handle that everything hangs on, under the name that a user of the library looks for.
pub use life::House as Orchestrator;
