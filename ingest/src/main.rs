//! `postroad`: see `postroad --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    postroad_ingest::cli::main()
}
