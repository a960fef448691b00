//! The whole road in one process: a raw drain of librdkafka and the pipeline, in turn, over the
//! same records. Prints a table, and writes nothing.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use postroad_benches::broker::{BrokerError, FilledBroker, Filling};
use postroad_benches::drain::{Road, drain};
use postroad_benches::pipeline::{PipelineOptions, pipeline};
use postroad_benches::report::{Report, Round};

/// Postroad's throughput against a raw librdkafka drain of the same topics.
#[derive(Debug, Parser)]
#[command(name = "postroad-benches", version, max_term_width = 100)]
struct Args {
    /// How many records the in-process broker is filled with, over both topics.
    #[arg(long, default_value_t = 2_000_000)]
    records: u64,
    /// Partitions over both topics; the broker keeps 5 MiB of each.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(i32).range(4..=1_000))]
    partitions: i32,
    /// The producer's compression; several are measured one after the other.
    #[arg(long, value_delimiter = ',', default_value = "zstd")]
    compression: Vec<String>,
    /// Bytes of a producer's batch, before compression.
    #[arg(long, default_value_t = 200_000)]
    batch_bytes: u32,
    /// How often each road is measured.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Milliseconds between two checkpoints of a shard, and between two publishes.
    #[arg(long, default_value_t = 1_000)]
    interval_ms: u64,
    /// Seed of the simulated province.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print every figure as JSON, in place of the table.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    for compression in &args.compression {
        match measure(&args, compression) {
            Ok(report) if args.json => println!("{}", report.json()),
            Ok(report) => println!("{}\n", report.table()),
            Err(error) => {
                eprintln!("postroad-benches: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn measure(args: &Args, compression: &str) -> Result<Report, BrokerError> {
    let broker = FilledBroker::fill(&Filling {
        records: args.records,
        partitions: args.partitions,
        compression: compression.to_owned(),
        batch_bytes: args.batch_bytes,
        seed: args.seed,
    })?;
    let held = broker.held();
    let options = PipelineOptions { interval: Duration::from_millis(args.interval_ms) };
    let round = |_| {
        Ok(Round {
            queue: drain(held, Road::Queue)?,
            poll: drain(held, Road::Poll)?,
            pipeline: pipeline(held, options)?,
        })
    };
    Ok(Report {
        compression: compression.to_owned(),
        records: held.records,
        partitions: args.partitions,
        value_bytes: held.value_bytes_mean,
        rounds: (0..args.rounds).map(round).collect::<Result<_, BrokerError>>()?,
    })
}
