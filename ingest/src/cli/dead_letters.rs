//! `postroad dead-letters`, as it is typed.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use postroad_schemas::reject::Reason;

use super::{ConfigFile, Format, load, print};
use crate::dead_letters::{ReplayOptions, replay};
use crate::error::Failure;

/// The arguments of `dead-letters`.
#[derive(Debug, Args)]
pub(super) struct DeadLettersArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Replay(ReplayArgs),
}

/// Let records that were rejected count after all, where the rules accept them now.
///
/// Reads the rejected records again by their offsets, judges them by the rules and the codebook of the
/// configuration, and shows which cells gain what. Unless it is a dry run it records that as a
/// decision for each partition, which the owner of the shard adopts once. A record whose event id
/// stands in another record that counts is a duplicate and adds nothing: producers that send
/// corrected events again need no replay.
///
/// Give it the configuration of the instances, after they have been given the new codebook.
#[derive(Debug, Args)]
struct ReplayArgs {
    #[command(flatten)]
    config: ConfigFile,
    /// The topic.
    #[arg(long)]
    topic: String,
    /// The partition; all of the topic unless given.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(0..i64::from(i32::MAX)))]
    partition: Option<i32>,
    /// Only records that were rejected for this reason. May be given several times.
    #[arg(long, value_name = "REASON", value_parser = reasons())]
    rejected_for: Vec<Reason>,
    /// Only the record at this offset. May be given several times.
    #[arg(long, value_name = "OFFSET", requires = "partition")]
    offset: Vec<i64>,
    /// Record nothing, show only what would be.
    #[arg(long)]
    dry_run: bool,
    /// Why, for whoever looks at the decision later. Name no person.
    #[arg(
        long,
        value_parser = super::reason,
        required_unless_present = "dry_run",
        conflicts_with = "dry_run"
    )]
    reason: Option<String>,
    /// How the report looks.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

fn reasons() -> impl TypedValueParser<Value = Reason> {
    let names = Reason::ALL.iter().map(|reason| reason.as_str()).collect::<Vec<_>>();
    PossibleValuesParser::from(names).try_map(|name| {
        Reason::ALL.iter().find(|reason| reason.as_str() == name).copied().ok_or("no such reason")
    })
}

/// Replays, and prints the report.
pub(super) async fn run(args: DeadLettersArgs) -> Result<(), Failure> {
    let What::Replay(args) = args.what;
    let config = load(&args.config.config)?;
    let options = ReplayOptions {
        topic: args.topic,
        partition: args.partition,
        rejected_for: args.rejected_for,
        offsets: args.offset,
        reason: args.reason,
    };
    let report = replay(&config, &options).await?;
    print(&match args.format {
        Format::Table => report.to_text(),
        Format::Json => format!("{:#}\n", report.to_json()),
    })
}
