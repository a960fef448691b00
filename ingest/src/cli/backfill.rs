//! `postroad backfill`, as it is typed.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use postroad_aggregate::rules::Rules;
use postroad_schemas::contract::Contract;
use postroad_schemas::units::Span;

use super::{Input, config_failure, load, location, print};
use crate::backfill::{BackfillOptions, Summary, backfill};
use crate::config::{Config, DeadLettersConfig, IndicatorsConfig};
use crate::error::{Exit, Failure};
use crate::publish::PublishSettings;
use crate::reference::ReferenceSet;
use crate::source::file::LineFormat;
use crate::store::{Store, StoreError};

/// The arguments of `backfill`.
#[derive(Debug, Args)]
pub(super) struct BackfillArgs {
    /// The store: a folder, or a file://, s3://, gs:// or az:// URL. What a bucket's client needs is
    /// taken from [store] of the configuration and from the cloud's own variables.
    #[arg(long, value_name = "DIR_OR_URL")]
    store: String,
    /// What the lines of the files are.
    #[arg(long, value_enum, default_value_t = Input::Kcat)]
    input: Input,
    /// The contract of bare values, and of topics whose names imply none.
    #[arg(long)]
    contract: Option<Contract>,
    /// Read only this topic of the envelopes; for bare values, the topic that implies the contract.
    #[arg(long)]
    topic: Option<String>,
    /// Take rules, days, reference data and the store's options from a configuration; the contract's defaults otherwise.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A folder with reference data; the built-in Liaoning set otherwise.
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    reference: Option<PathBuf>,
    /// The files, in the order of their offsets.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Folds, publishes, and says what became of the records.
pub(super) async fn run(args: BackfillArgs) -> Result<(), Failure> {
    let mut location = location(&args.store)?;
    let config = args.config.as_deref().map(load).transpose()?;
    if let Some(config) = &config {
        location.set_options_of(&config.store.location);
    }
    let options = options(args, config)?;
    for path in &options.files {
        std::fs::File::open(path).map_err(|error| {
            Failure::new(Exit::NoInput, format!("{} cannot be opened: {error}", path.display()))
        })?;
    }
    let failure = |error: StoreError| Failure::from_error(error.exit(), &error);
    let store = Store::open(&location).map_err(failure)?;
    store.prepare(rand::random()).await.map_err(failure)?;
    let summary = backfill(&store, &options).await?;
    print_summary(&summary, store.name())?;
    match summary.before_first {
        0 => Ok(()),
        lost => Err(Failure::new(
            Exit::DataErr,
            format!(
                "{lost} records lie before the offset at which their shard began, and are NOT COUNTED; to \
                 count them, fold all files into a new store, named in the order of their offsets"
            ),
        )),
    }
}

fn options(args: BackfillArgs, config: Option<Config>) -> Result<BackfillOptions, Failure> {
    let (rules, reference, indicators, grace, kept) = if let Some(config) = config {
        let reference = Arc::clone(config.reference.set());
        (config.rules, reference, config.indicators, config.days.grace, config.dead_letters)
    } else {
        let reference = match &args.reference {
            Some(dir) => ReferenceSet::load(dir).map_err(|faults| config_failure(&faults))?,
            None => ReferenceSet::liaoning(),
        };
        let kept = DeadLettersConfig { keep_payload: false, retention_days: 90 };
        let rules = Rules::with_defaults(&reference.codebook);
        (rules, Arc::new(reference), IndicatorsConfig::default(), Span::hours(1), kept)
    };
    Ok(BackfillOptions {
        files: args.files,
        format: match args.input {
            Input::Kcat => LineFormat::Kcat,
            Input::Ndjson => LineFormat::Ndjson,
        },
        contract: args.contract,
        topic: args.topic,
        publish: PublishSettings {
            reference,
            indicators,
            grace,
            final_after: Span::hours(rules.final_after_h),
            retention_days: kept.retention_days,
        },
        rules,
        keep_payload: kept.keep_payload,
    })
}

fn print_summary(summary: &Summary, store: &str) -> Result<(), Failure> {
    let Summary { applied, duplicates, rejected, ignored, skipped, before_first, publish } =
        summary;
    let mut text = format!(
        "{applied} applied, {duplicates} duplicates, {rejected} rejected, {ignored} ignored \
         (tombstones), {skipped} accounted for before\n"
    );
    if *before_first > 0 {
        let lost = "NOT COUNTED: they lie before the first offset of their shard";
        text.extend([before_first.to_string().as_str(), " ", lost, "\n"]);
    }
    let store = store.trim_end_matches('/');
    let outcome = match publish {
        Some(number) => format!("publish {number} in {store}/tables\n"),
        None => format!("nothing changed in {store}/tables\n"),
    };
    print(&[text, outcome].concat())
}
