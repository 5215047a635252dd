//! The operator's binary. Everything is in the library.

fn main() -> std::process::ExitCode {
    bailiwick::cli::main()
}
