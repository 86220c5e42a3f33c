//! The `machine` binary. Everything is in the library.

fn main() -> std::process::ExitCode {
    machine::cli::main(std::env::args_os())
}
