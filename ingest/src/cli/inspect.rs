//! `postroad inspect`, as it is typed.

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use postroad_schemas::reject::Reason;

use super::{Format, open_store, print};
use crate::error::{Exit, Failure};
use crate::inspect::{self, Letters};

/// Show what a store holds: its shards, checkpoints, ledger, publishes and dead letters.
///
/// Reads the store and nothing else. A damaged object is shown as such. Values of dead letters are
/// never shown, whether they were kept or not.
#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// The store: a folder, or a URL. Required.
    #[arg(long, value_name = "DIR_OR_URL", global = true)]
    store: Option<String>,
    /// How the answer looks.
    #[arg(long, value_enum, global = true, default_value_t = Format::Table)]
    format: Format,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Where every shard stands, by its newest whole checkpoint. JSON has more columns than the table.
    Shards,
    /// Every object of every shard's chain, and whether it is whole.
    Checkpoints,
    /// Every segment that the newest whole checkpoints list: what left them because it is old.
    Segments,
    /// The account of every shard, by its newest whole checkpoint.
    Ledger,
    /// A publish: what every shard held, and every file.
    Manifest {
        /// The number of the publish; the newest unless given.
        #[arg(long, value_name = "NUMBER")]
        publish: Option<u64>,
    },
    /// Where the records stand that could not be used, and why.
    DeadLetters {
        /// Only those of this topic, or of the file of this base name.
        #[arg(long)]
        topic: Option<String>,
        /// Only those of this partition.
        #[arg(long, value_name = "NUMBER")]
        partition: Option<i32>,
        /// Only those rejected for this reason.
        #[arg(long, value_parser = reasons())]
        reason: Option<String>,
    },
}

fn reasons() -> PossibleValuesParser {
    Reason::ALL.iter().map(|reason| reason.as_str()).collect::<Vec<_>>().into()
}

/// Shows what was asked for.
pub(super) async fn run(args: InspectArgs) -> Result<(), Failure> {
    let missing = || Failure::new(Exit::Usage, "which store? name it with --store DIR_OR_URL");
    let store = open_store(&args.store.ok_or_else(missing)?).await?;
    let page = match args.what {
        What::Shards => inspect::shards(&store).await?,
        What::Checkpoints => inspect::checkpoints(&store).await?,
        What::Segments => inspect::segments(&store).await?,
        What::Ledger => inspect::ledger(&store).await?,
        What::Manifest { publish } => inspect::manifest(&store, publish).await?,
        What::DeadLetters { topic, partition, reason } => {
            inspect::dead_letters(&store, &Letters { topic, partition, reason }).await?
        }
    };
    print(&match args.format {
        Format::Table => page.to_text(),
        Format::Json => format!("{:#}\n", page.to_json()),
    })
}
