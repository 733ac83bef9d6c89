//! The `ai_orch` command.

fn main() -> std::process::ExitCode {
    ai_orch::cli::main()
}
