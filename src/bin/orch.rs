//! `orch`, the short name of `ai_orch`.

fn main() -> std::process::ExitCode {
    ai_orch::cli::main()
}
