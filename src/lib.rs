//! ai_orch runs many AI coding agents side by side on one repository, each in its own tmux session, git worktree and
//! branch.
//!
//! The crate is built in floors; each may use the ones below it and none above (`design/architecture.md`, held by
//! `tests/it/layers.rs`).

pub mod agents;
pub mod model;
pub mod rules;
pub mod tools;
pub mod cli {
    pub fn main() -> std::process::ExitCode {
        std::process::ExitCode::SUCCESS
    }
}
