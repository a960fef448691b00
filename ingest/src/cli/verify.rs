//! `postroad verify`, as it is typed.

use clap::Args;

use super::{ConfigFile, Format, load_any, print};
use crate::config::Loaded;
use crate::error::{Exit, Failure};
use crate::reference::ReferenceSet;
use crate::run::stand_in::published_reference;
use crate::verify::{VerifyOptions, verify};

/// Read the log again and prove that checkpoints and tables are what it makes.
///
/// Reads by a consumer of its own without a group, folds every shard again as its checkpoints say it
/// was folded, and compares: each term of the ledger and its digest, every cell and every dead letter
/// of the checkpoints; then every file and every row of the newest publish. Writes nothing, and may
/// run beside instances. Give it the configuration of those.
///
/// What retention has deleted cannot be read again: the fold then begins with the oldest checkpoint
/// from which the log still goes on, and what was not read is named.
///
/// Exit code: 0 when all agrees, 1 on a difference; 66 where there is no store or nothing of its log
/// can be read again, 69 where no broker
/// answers, 78 for a faulty configuration.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    config: ConfigFile,
    /// How the report looks.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// Verifies, prints the report, and fails on a difference.
pub(super) async fn run(args: VerifyArgs) -> Result<(), Failure> {
    let config = match load_any(&args.config.config)? {
        Loaded::Whole(config) => *config,
        Loaded::WithoutReference(without) => {
            // What keeps the set from being read is a difference that `verify` names itself.
            let published = published_reference(without.location()).await.ok().flatten();
            let set = published.map_or_else(ReferenceSet::liaoning, |(.., set)| set);
            without.with(set)
        }
    };
    let report = verify(&config, VerifyOptions::default()).await?;
    print(&match args.format {
        Format::Table => report.to_text(),
        Format::Json => format!("{:#}\n", report.to_json()),
    })?;
    if report.differences().next().is_some() {
        return Err(Failure::new(Exit::Difference, report.verdict()));
    }
    if report.is_empty() {
        return Err(Failure::new(Exit::NoInput, report.verdict()));
    }
    Ok(())
}
