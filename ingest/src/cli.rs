//! The command line: what was typed, resolved into what a command needs.

mod backfill;
mod dead_letters;
mod decide;
mod inspect;
mod report;
mod verify;

use std::ffi::OsString;
use std::future::Future;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand, ValueEnum};
use postroad_schemas::contract::Contract;
use postroad_schemas::units::BusinessDay;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tracing_subscriber::EnvFilter;

use crate::config::{Config, Fault, Loaded, VARIABLE_PREFIX};
use crate::demo::{DemoOptions, demo};
use crate::error::{Exit, Failure, complain, is_guarded, print};
use crate::run::stand_in::stand_in;
use crate::run::{Shown, run};
use crate::simulate::{SimulateOptions, Sink, plant, simulate};
use crate::store::Store;
use crate::store::open::Location;

/// Parcel and finance events in, daily prefecture rollups out.
#[derive(Debug, Parser)]
#[command(
    name = "postroad",
    version,
    about = "Folds parcel and finance events from Kafka into daily rollups, every record accounted for",
    max_term_width = 100
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// How log lines look.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, display_order = 100)]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read from Kafka, fold, checkpoint and publish until SIGTERM or SIGINT.
    Run(ConfigFile),
    /// Show the whole pipeline on this machine: an in-process broker, a simulated province, tables
    /// and metrics. Needs nothing.
    Demo(DemoArgs),
    /// Fold files of events into a store, and publish.
    Backfill(backfill::BackfillArgs),
    /// Produce the events of a simulated province.
    Simulate(SimulateArgs),
    /// Check a configuration and list every fault.
    Check(CheckArgs),
    /// Decide about a shard that must not go on by itself. Its owner adopts the decision.
    Decide(decide::DecideArgs),
    /// Let rejected records count after all.
    DeadLetters(dead_letters::DeadLettersArgs),
    Verify(verify::VerifyArgs),
    Inspect(inspect::InspectArgs),
    Report(report::ReportArgs),
}

/// How data looks on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Aligned, for people.
    Table,
    /// One value, for machines.
    Json,
}

#[derive(Debug, Args)]
struct ConfigFile {
    /// The configuration.
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
}

#[derive(Debug, Args)]
struct CheckArgs {
    #[command(flatten)]
    config: ConfigFile,
    /// Look at the file only: ask neither the brokers nor the store.
    #[arg(long)]
    offline: bool,
}

#[derive(Debug, Args)]
struct DemoArgs {
    /// Where the store is made. A store of an earlier demo is replaced.
    #[arg(long, value_name = "DIR", default_value = "postroad-data")]
    store: PathBuf,
    /// Where metrics are served.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9464")]
    listen: SocketAddr,
    /// Events a second.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    rate: u32,
    /// End by itself after so many seconds.
    #[arg(long, value_name = "SECONDS")]
    duration: Option<u64>,
    /// Seed of the simulated province; a fresh one each time unless given.
    #[arg(long)]
    seed: Option<u64>,
    /// Instead of a random province: a year up to yesterday, and the one before, that show known
    /// findings; with reference data in the store's folder, to be changed while it runs.
    #[arg(long, value_enum, conflicts_with_all = ["rate", "seed"])]
    scenario: Option<Scenario>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Input {
    /// Envelopes as `kcat -J` prints them.
    Kcat,
    /// One value a line.
    Ndjson,
}

#[derive(Debug, Args)]
struct SimulateArgs {
    /// Kafka's bootstrap servers; without them, events go to standard output.
    #[arg(long, value_name = "HOST:PORT")]
    brokers: Option<String>,
    /// A librdkafka property of the producer, such as security.protocol=SSL.
    #[arg(short = 'X', long = "property", value_name = "KEY=VALUE", requires = "brokers")]
    properties: Vec<String>,
    /// What standard output shows: envelopes that `backfill` reads, or bare values of one contract.
    #[arg(long, value_enum, default_value_t = Input::Kcat)]
    output: Input,
    /// Only events of this contract.
    #[arg(long)]
    contract: Option<Contract>,
    /// Events a second; as fast as possible unless given.
    #[arg(long)]
    rate: Option<u32>,
    /// How many events; without end unless given.
    #[arg(long)]
    events: Option<u64>,
    /// The first record's timestamp, RFC 3339; unless given, such that the last event is now. Later
    /// ones follow at the rate, or at 50 a second.
    #[arg(long, value_name = "TIME")]
    start: Option<String>,
    /// Seed; the same seed and start give the same events. A fresh one unless given.
    #[arg(long)]
    seed: Option<u64>,
    /// No duplicates, no late or malformed events.
    #[arg(long)]
    no_faults: bool,
    /// Instead of a random province: events of two years that show known findings.
    #[arg(long, value_enum, conflicts_with_all = ["rate", "events", "start", "seed", "contract"])]
    scenario: Option<Scenario>,
    /// The last day of the scenario.
    #[arg(long, value_name = "DATE", default_value = "2021-06-30", requires = "scenario")]
    through: String,
    /// A folder to write the reference data to that the scenario is held against.
    #[arg(long, value_name = "DIR", requires = "scenario")]
    reference: Option<PathBuf>,
}

/// What `simulate` can plant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// A half-year meeting's: 6 of 14 prefectures behind their local economy, 13 with a lagging
    /// indicator, parcels behind the industry, premium express far behind.
    HalfYear,
}

/// Parses the arguments, runs the command and returns its exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            let usage = ExitCode::from(Exit::Usage as u8);
            return if error.use_stderr() { usage } else { ExitCode::SUCCESS };
        }
    };
    start_logging(&cli);
    end_on_panic();
    #[cfg(any(debug_assertions, feature = "failpoints"))]
    if let Ok(order) = std::env::var("POSTROAD_FAILPOINT") {
        crate::failpoint::arm(&order);
    }
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Software, format!("no runtime: {error}")))
        .and_then(|runtime| {
            let outcome = runtime.block_on(dispatch(cli.command));
            // A question to brokers that do not answer must not hold up the end.
            runtime.shutdown_background();
            outcome
        });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(&failure.to_string());
            ExitCode::from(failure.exit as u8)
        }
    }
}

async fn dispatch(command: Command) -> Result<(), Failure> {
    match command {
        Command::Run(ConfigFile { config }) => {
            let config = match load_any(&config)? {
                Loaded::Whole(config) => *config,
                Loaded::WithoutReference(without) => stand_in(*without).await?,
            };
            reload_on_hangup(config.reference.asked())?;
            run(config, Shown::default(), stop_signal()?).await
        }
        Command::Demo(args) => {
            let options = DemoOptions {
                root: args.store,
                listen: args.listen,
                rate: args.rate,
                duration: args.duration.map(std::time::Duration::from_secs),
                seed: args.seed.unwrap_or_else(rand::random),
                half_year: args.scenario == Some(Scenario::HalfYear),
            };
            demo(options, stop_signal()?).await
        }
        Command::Backfill(args) => backfill::run(args).await,
        Command::Simulate(args) => {
            let (through, reference) = (args.through.clone(), args.reference.clone());
            let scenario = args.scenario;
            let options = simulate_options(args)?;
            match scenario {
                None => simulate(options, stop_signal()?).await,
                Some(Scenario::HalfYear) => {
                    let through = date("--through", &through)?;
                    plant(&options.sink, through, reference.as_deref(), stop_signal()?).await
                }
            }
        }
        Command::Check(args) => check(&args).await,
        Command::Decide(args) => decide::run(args).await,
        Command::DeadLetters(args) => dead_letters::run(args).await,
        Command::Verify(args) => verify::run(args).await,
        Command::Inspect(args) => inspect::run(args).await,
        Command::Report(args) => report::run(args).await,
    }
}

/// The variables of the environment that are text. Others are not for us to judge, unless they bear our
/// prefix.
fn variables() -> Result<Vec<(String, String)>, Failure> {
    let mut variables = Vec::new();
    for (name, value) in std::env::vars_os() {
        let shown = name.to_string_lossy().into_owned();
        if let (Ok(name), Ok(value)) = (name.into_string(), value.into_string()) {
            variables.push((name, value));
        } else if shown.starts_with(VARIABLE_PREFIX) {
            return Err(Failure::new(Exit::Config, format!("the variable {shown} is not UTF-8")));
        }
    }
    Ok(variables)
}

fn load(path: &Path) -> Result<Config, Failure> {
    Config::load(path, variables()?.into_iter()).map_err(|faults| config_failure(&faults))
}

/// As [`load`], where faulty reference data need not be the end.
fn load_any(path: &Path) -> Result<Loaded, Failure> {
    Config::load_any(path, variables()?.into_iter()).map_err(|faults| config_failure(&faults))
}

/// Every fault, one a line, and the exit code for all of them.
fn config_failure(faults: &[Fault]) -> Failure {
    let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
    Failure::new(Exit::Config, lines.join("\npostroad: "))
}

async fn check(args: &CheckArgs) -> Result<(), Failure> {
    let config = load(&args.config.config)?;
    let faults = if args.offline {
        crate::check::check_offline(&config)
    } else {
        crate::check::check(&config).await
    };
    if !faults.is_empty() {
        return Err(config_failure(&faults));
    }
    print(&format!("{}: no fault found\n", args.config.config.display()))
}

/// Where `--store` points, reached as the cloud's own variables say.
fn location(text: &str) -> Result<Location, Failure> {
    let mut location = Location::of_argument(text).ok_or_else(|| {
        let message = "--store: write a folder, or a URL such as s3://bucket/prefix";
        Failure::new(Exit::Usage, message)
    })?;
    location.set_variables(variables()?);
    Ok(location)
}

/// Opens a store that exists. A folder that is none is not made one.
async fn open_store(text: &str) -> Result<Store, Failure> {
    let location = location(text)?;
    let opened = Store::open_existing(&location).await;
    opened.map_err(|error| Failure::from_error(error.exit(), &error))?.ok_or_else(|| {
        let message = format!("--store {location}: there is no store; check the path");
        Failure::new(Exit::NoInput, message)
    })
}

/// Whether output is coloured: on a terminal, unless `NO_COLOR` asks for none.
fn wants_colour() -> bool {
    let refuses = |(name, value): (OsString, OsString)| name == "NO_COLOR" && !value.is_empty();
    std::io::stdout().is_terminal() && !std::env::vars_os().any(refuses)
}

/// Why an operator decides: words for whoever asks later.
fn reason(text: &str) -> Result<String, String> {
    let words = text.trim();
    if words.is_empty() { Err("say why".to_owned()) } else { Ok(words.to_owned()) }
}

/// A date that was typed.
fn date(option: &str, text: &str) -> Result<BusinessDay, Failure> {
    postroad_schemas::time::parse_date(text).ok_or_else(|| {
        let message = format!("{option} {text}: write a date such as 2021-06-30");
        Failure::new(Exit::Usage, message)
    })
}

fn simulate_options(args: SimulateArgs) -> Result<SimulateOptions, Failure> {
    let usage = |message: String| Failure::new(Exit::Usage, message);
    let start = args.start.map(|text| {
        postroad_schemas::time::parse_timestamp(&text).ok_or_else(|| {
            usage(format!("--start {text}: write a time such as 2021-06-30T08:00:00+08:00"))
        })
    });
    let mut properties = Vec::new();
    for property in args.properties {
        let pair = property.split_once('=');
        let (key, value) = pair.ok_or_else(|| usage(format!("-X {property}: write key=value")))?;
        properties.push((key.to_owned(), value.to_owned()));
    }
    let sink = match (args.brokers, args.output) {
        (Some(brokers), _) => Sink::Kafka { brokers, properties },
        (None, Input::Kcat) => Sink::Envelopes,
        (None, Input::Ndjson) if args.scenario.is_some() => {
            let message = "a scenario has events of both contracts; write envelopes";
            return Err(usage(message.to_owned()));
        }
        (None, Input::Ndjson) if args.contract.is_some() => Sink::Values,
        (None, Input::Ndjson) => {
            let message = "bare values do not say which contract they follow; name it with \
                           --contract parcel or --contract finance";
            return Err(usage(message.to_owned()));
        }
    };
    Ok(SimulateOptions {
        sink,
        contract: args.contract,
        rate: args.rate,
        events: args.events,
        start: start.transpose()?,
        seed: args.seed.unwrap_or_else(rand::random),
        faults: !args.no_faults,
    })
}

/// Asks for the reference data to be read again at each SIGHUP.
fn reload_on_hangup(asked: Arc<Notify>) -> Result<(), Failure> {
    let mut hangup = receive(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            asked.notify_one();
        }
    });
    Ok(())
}

fn receive(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| {
        Failure::new(Exit::Software, format!("signals cannot be received: {error}"))
    })
}

/// Ready at the first SIGTERM or SIGINT.
fn stop_signal() -> Result<impl Future<Output = ()>, Failure> {
    let mut terminate = receive(SignalKind::terminate())?;
    let mut interrupt = receive(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Log lines go to standard error, at the level of `RUST_LOG`, `info` unless set. The demo has the
/// terminal for itself and logs only what went wrong.
fn start_logging(cli: &Cli) {
    let default = match cli.command {
        Command::Demo(_) if std::io::stdout().is_terminal() => "off",
        Command::Demo(_) | Command::Verify(_) | Command::Inspect(_) | Command::Report(_) => "warn",
        _ => "info",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    // A line that cannot be written is dropped: a full disk of logs must not end the work.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    match cli.log_format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().init(),
    }
}

/// A panic anywhere ends the process: half a pipeline is worse than none, and the log is read
/// again from the last checkpoint. The message may hold what was being processed, so only the
/// place is shown.
fn end_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        if is_guarded() {
            return;
        }
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        complain(&format!("a defect at {place} ended the process; please report it"));
        std::process::exit(i32::from(Exit::Software as u8));
    }));
}
