//! `postroad decide`, as it is typed.

use clap::{Args, Subcommand};
use postroad_schemas::time::parse_date;
use postroad_schemas::units::BusinessDay;

use crate::decide::{Decided, Wish, decide};
use crate::decisions::{Decision, RestartFrom};
use crate::error::{Failure, print};

/// The arguments of `decide`.
#[derive(Debug, Args)]
pub(super) struct DecideArgs {
    #[command(subcommand)]
    wish: WishArgs,
}

#[derive(Debug, Subcommand)]
enum WishArgs {
    /// Give up the records that retention deleted before they were read: the offsets that the stall
    /// names are counted as lost, and reading goes on.
    AcceptLoss(ShardArgs),
    /// Close the shard as it is and begin a new life of it: for a topic that was made anew or truncated.
    /// What was read stays counted.
    Restart {
        #[command(flatten)]
        shard: ShardArgs,
        /// Where the new life begins: earliest, latest or an offset. Needed unless the topic was made
        /// anew, which begins at the earliest.
        #[arg(long, value_name = "WHERE", value_parser = restart_from)]
        from: Option<RestartFrom>,
    },
    /// Let days be complete without a stalled shard; they say so.
    ReleaseDay {
        #[command(flatten)]
        shard: ShardArgs,
        /// The last day to be released, inclusive.
        #[arg(long, value_name = "YYYY-MM-DD", value_parser = date)]
        through: BusinessDay,
    },
}

#[derive(Debug, Args)]
struct ShardArgs {
    /// The store: a folder, or a file://, s3://, gs:// or az:// URL.
    #[arg(long, value_name = "DIR_OR_URL")]
    store: String,
    /// The topic.
    #[arg(long)]
    topic: String,
    /// The partition.
    #[arg(long)]
    partition: i32,
    /// Why, for whoever looks at the decision later. Name no person.
    #[arg(long, value_parser = super::reason)]
    reason: String,
}

fn restart_from(text: &str) -> Result<RestartFrom, String> {
    match text {
        "earliest" => Ok(RestartFrom::Earliest),
        "latest" => Ok(RestartFrom::Latest),
        offset => match offset.parse() {
            Ok(offset) if offset >= 0 => Ok(RestartFrom::Offset(offset)),
            _ => Err("write earliest, latest or an offset".to_owned()),
        },
    }
}

fn date(text: &str) -> Result<BusinessDay, String> {
    parse_date(text).ok_or_else(|| "write a date such as 2021-06-30".to_owned())
}

/// Records the decision and says what it is.
pub(super) async fn run(args: DecideArgs) -> Result<(), Failure> {
    let (shard, wish) = match args.wish {
        WishArgs::AcceptLoss(shard) => (shard, Wish::AcceptLoss),
        WishArgs::Restart { shard, from } => (shard, Wish::Restart(from)),
        WishArgs::ReleaseDay { shard, through } => (shard, Wish::ReleaseDay(through)),
    };
    let ShardArgs { store, topic, partition, reason } = shard;
    let store = super::open_store(&store).await?;
    let Decided { decision, key, is_new } =
        decide(&store, (&topic, partition), wish, &reason).await?;
    let what = match decision {
        Decision::AcceptLoss { from, to } => {
            format!("the {} offsets [{from}, {to}) are given up", to - from)
        }
        Decision::Restart { from: RestartFrom::Earliest, .. } => {
            "a new life begins at the first record that the log holds".to_owned()
        }
        Decision::Restart { from: RestartFrom::Latest, .. } => {
            "a new life begins at the end of the log".to_owned()
        }
        Decision::Restart { from: RestartFrom::Offset(offset), .. } => {
            format!("a new life begins at offset {offset}")
        }
        Decision::Replay(record) => {
            format!("{} dead letters count after all", record.applied.len())
        }
        Decision::ReleaseDay { through } => {
            format!("days up to {through} may be complete without it")
        }
    };
    let before = if is_new { "" } else { "decided before, and recorded once: " };
    print(&format!("{topic}[{partition}]: {before}{what}, once its owner adopts it ({key})\n"))
}
