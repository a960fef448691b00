//! What the tree promises about itself, read from its own text: which way dependencies point, what
//! the core may not know, how long files are, that tests wait and do not sleep, and that the
//! documents list exactly what the code has.
//!
//! Run it alone with `cargo tidy`. Each failure names the file and what to do.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::DataType;
use postroad_aggregate::event::CellKey;
use postroad_aggregate::indicators::Settings;
use postroad_aggregate::measures::Measures;
use postroad_aggregate::merge::Rollup;
use postroad_ingest::business;
use postroad_ingest::config::{Config, Fault};
use postroad_ingest::publish::Snapshot;
use postroad_ingest::publish::indicators::Evaluation;
use postroad_ingest::reference::ReferenceSet;
use postroad_schemas::codebook::Product;
use postroad_schemas::reject::Reason;
use postroad_schemas::tables::Table;
use postroad_schemas::units::{BusinessDay, Fen};
use serde_json::json;

/// Lines of a production file, tests left out.
const LINES_MAX: usize = 450;

/// Files that are one idea and longer, each with its ceiling. Split them rather than raise it.
const LONG: [(&str, usize); 1] = [("ingest/src/source/kafka/mod.rs", 500)];

/// What calls librdkafka without rdkafka in between.
const LIBRDKAFKA: [&str; 2] =
    ["ingest/src/source/kafka/queue.rs", "ingest/src/source/kafka/topic_id.rs"];

/// Where a test may sleep: in the one pause of the harness, and under tokio's paused clock.
const SLEEPERS: [&str; 3] = [
    "tests/src/wait.rs",
    "tests/src/faulty_store.rs",
    "ingest/src/checkpoint/chain/tests/model.rs",
];

/// Folders that hold no source of ours. In a worktree `.git` is a file.
const FOREIGN: [&str; 6] =
    [".git", "target", "postroad-data", "__pycache__", ".venv", "node_modules"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the workspace exists")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file below the workspace that is text, by its path from there.
fn texts() -> Vec<(String, String)> {
    let (root, mut found) = (root(), Vec::new());
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the tree").flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if FOREIGN.contains(&&*name) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                let path = path.strip_prefix(&root).expect("below the root");
                found.push((path.to_string_lossy().into_owned(), text));
            }
        }
    }
    found.sort();
    assert!(found.len() > 100, "the tree was found");
    found
}

fn sources() -> Vec<(String, String)> {
    texts().into_iter().filter(|(path, _)| has_extension(path, "rs")).collect()
}

fn has_extension(path: &str, extension: &str) -> bool {
    Path::new(path).extension().is_some_and(|found| found == extension)
}

fn is_test(path: &str) -> bool {
    path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("/tests.rs")
}

/// The part of a file before its inline test module, and that module.
fn split_tests(text: &str) -> (&str, &str) {
    const MARK: &str = "#[cfg(test)]\nmod tests {";
    text.split_at(text.find(MARK).unwrap_or(text.len()))
}

#[track_caller]
fn none(faults: &[String], rule: &str) {
    assert!(faults.is_empty(), "{rule}:\n  {}", faults.join("\n  "));
}

// The shape of the code.

/// The names under `[dependencies]`, or another heading, of a manifest.
fn dependencies(member: &str, heading: &str) -> BTreeSet<String> {
    let manifest = read(&format!("{member}/Cargo.toml"));
    let after = manifest.split(&format!("\n[{heading}]\n")).nth(1).unwrap_or("");
    let section = after.split("\n[").next().unwrap_or("");
    let names = section.lines().filter_map(|line| line.split(['.', ' ', '=']).next());
    names.filter(|name| !name.is_empty() && !name.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn dependencies_point_one_way() {
    let ours = |member, heading| -> Vec<String> {
        let all = dependencies(member, heading).into_iter();
        all.filter(|name| name.starts_with("postroad-")).collect()
    };
    let none: [&str; 0] = [];
    assert_eq!(ours("schemas", "dependencies"), none);
    assert_eq!(ours("aggregate", "dependencies"), ["postroad-schemas"]);
    assert_eq!(ours("ingest", "dependencies"), ["postroad-aggregate", "postroad-schemas"]);
    for member in ["schemas", "aggregate"] {
        assert_eq!(ours(member, "dev-dependencies"), none, "{member}");
        let crates = dependencies(member, "dependencies");
        assert!(
            crates.contains("thiserror"),
            "the manifest of {member} was understood: {crates:?}"
        );
    }
}

/// What a crate pulls in, directly or not, according to the lock file.
fn pulled_in_by(name: &str) -> BTreeSet<String> {
    let lock = read("Cargo.lock");
    let quoted = |line: &str| line.split('"').nth(1).map(str::to_owned);
    let packages: BTreeMap<String, Vec<String>> = lock
        .split("[[package]]")
        .filter_map(|package| {
            let name = package.lines().find(|line| line.starts_with("name ")).and_then(quoted)?;
            let needs = package.lines().filter(|line| line.starts_with(" \"")).filter_map(quoted);
            let needs = needs.map(|need| need.split(' ').next().unwrap_or("").to_owned());
            Some((name, needs.collect()))
        })
        .collect();
    let (mut seen, mut open) = (BTreeSet::new(), vec![name.to_owned()]);
    while let Some(name) = open.pop() {
        if seen.insert(name.clone()) {
            open.extend(packages.get(&name).cloned().unwrap_or_default());
        }
    }
    seen
}

#[test]
fn the_core_knows_no_machine() {
    for member in ["postroad-schemas", "postroad-aggregate"] {
        let all = pulled_in_by(member);
        assert!(all.len() > 10, "the lock file was understood");
        for machine in ["tokio", "rdkafka", "rdkafka-sys", "object_store", "hyper", "mio"] {
            assert!(!all.contains(machine), "{member} pulls in {machine}");
        }
    }
    let words = [
        "std::time",
        "SystemTime",
        "Instant::now",
        "std::env",
        "env::var",
        "std::fs",
        "std::net",
        "std::thread",
        "std::process",
        "rand::",
        "async fn",
    ];
    let mut faults = Vec::new();
    for (path, text) in sources() {
        if path.starts_with("schemas/src/") || path.starts_with("aggregate/src/") {
            let said = words.iter().filter(|word| text.contains(**word));
            faults.extend(said.map(|word| format!("{path} says {word}")));
        }
    }
    none(&faults, "time, randomness and files are arguments in the core");
}

#[test]
fn what_is_done_in_one_place_is_done_there_only() {
    let places = [
        ("SystemTime", &["ingest/src/clock.rs"][..]),
        ("std::env::var", &["ingest/src/cli.rs"]),
        ("unsafe {", &LIBRDKAFKA),
        ("allow(unsafe_code", &LIBRDKAFKA),
    ];
    for (word, places) in places {
        for place in places {
            assert!(read(place).contains(word), "{place} does not say {word} any more");
        }
        let all = sources();
        let others = all.iter().filter(|(path, text)| {
            let ours = path.contains("/src/") && !path.starts_with("benches/");
            ours && !is_test(path) && !places.contains(&&**path) && text.contains(word)
        });
        let others: Vec<_> = others.map(|(path, _)| path.clone()).collect();
        none(&others, &format!("only {} may say {word}", places.join(" and ")));
    }
}

#[test]
fn production_files_are_short() {
    let mut faults = Vec::new();
    let mut long = BTreeMap::from(LONG);
    for (path, text) in sources() {
        if is_test(&path) || path.starts_with("benches/") {
            continue;
        }
        let lines = split_tests(&text).0.lines().count();
        let ceiling = long.remove(&*path).unwrap_or(LINES_MAX);
        if lines > ceiling {
            faults.push(format!("{path} has {lines} lines, {ceiling} is the most"));
        } else if ceiling > LINES_MAX && lines <= LINES_MAX {
            faults.push(format!("{path} has {lines} lines: take it off the list LONG"));
        }
    }
    faults.extend(long.keys().map(|path| format!("{path} is on the list LONG and not there")));
    none(&faults, "a production file is one idea");
}

#[test]
fn every_file_says_what_it_is_for() {
    let bare = sources().into_iter().filter(|(_, text)| !text.starts_with("//! "));
    none(&bare.map(|(path, _)| path).collect::<Vec<_>>(), "begin each file with `//! `");
}

#[test]
fn tests_wait_and_do_not_sleep() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        let tests = if is_test(&path) { &text } else { split_tests(&text).1 };
        if path != "tests/tests/tidy.rs" && !SLEEPERS.contains(&&*path) && tests.contains("sleep(")
        {
            faults.push(path);
        }
    }
    none(&faults, "wait for a condition (postroad_tests::wait)");
}

#[test]
fn nothing_names_a_machine() {
    let words = [
        ["/wor", "k/"],
        ["/roo", "t/"],
        ["/hom", "e/"],
        ["/tmp/", "lab"],
        ["artifac", "tory"],
        ["nex", "us."],
        [".inter", "nal/"],
    ];
    let mut faults = Vec::new();
    for (path, text) in texts() {
        let said = words.iter().map(|word| word.concat()).filter(|word| text.contains(word));
        faults.extend(said.map(|word| format!("{path} says {word}")));
        for after in text.split("://").skip(1) {
            let host = after.split(|c: char| c != '.' && !c.is_ascii_alphanumeric() && c != '-');
            let host = host.into_iter().next().unwrap_or("");
            let is_address = host.split('.').count() == 4
                && host.split('.').all(|part| part.parse::<u8>().is_ok());
            if is_address && !["127.0.0.1", "0.0.0.0"].contains(&host) {
                faults.push(format!("{path} names the address {host}"));
            }
        }
    }
    let cargo = read(".cargo/config.toml");
    for section in ["[source", "[registr", "[net", "[http"] {
        if cargo.contains(section) {
            faults.push(format!(".cargo/config.toml has a section {section}…"));
        }
    }
    none(&faults, "the tree is the same on every machine");
}

// The documents.

/// The rows of the tables in a document whose first cell is one word of code, cell by cell.
fn rows(text: &str) -> Vec<Vec<String>> {
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells = row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned());
        let mut cells: Vec<String> = cells.collect();
        let name = cells[0].trim_matches('`').to_owned();
        cells[0] = name;
        cells
    })
    .collect()
}

/// What stands in backticks.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// A document from a heading to the next one that is not deeper.
fn chapter<'a>(text: &'a str, heading: &str) -> &'a str {
    let level = |line: &str| line.bytes().take_while(|byte| *byte == b'#').count();
    let start = text.find(&format!("\n{heading}")).unwrap_or_else(|| panic!("no {heading}"));
    let body = &text[start + 1 + heading.len()..];
    let ends = body.match_indices("\n#").map(|(at, _)| at);
    let mut ends = ends.filter(|at| level(&body[at + 1..]) <= level(heading));
    &body[..ends.next().unwrap_or(body.len())]
}

/// Type and labels by name of metric.
type Listed = BTreeMap<String, (String, BTreeSet<String>)>;

fn documented_metrics(heading: &str) -> Listed {
    let document = read("docs/METRICS.md");
    let row = |row: Vec<String>| {
        let labels = quoted(&row[2]).into_iter().map(str::to_owned).collect();
        (row[0].clone(), (row[1].clone(), labels))
    };
    rows(chapter(&document, heading)).into_iter().map(row).collect()
}

#[track_caller]
fn same(documented: &Listed, registered: &Listed) {
    let mut faults = Vec::new();
    let names: BTreeSet<&String> = documented.keys().chain(registered.keys()).collect();
    for name in names {
        let (ours, theirs) = (documented.get(name), registered.get(name));
        if ours != theirs {
            faults.push(format!("{name}: the document says {ours:?}, the code {theirs:?}"));
        }
    }
    assert!(registered.len() > 5, "the code was understood");
    none(&faults, "docs/METRICS.md lists what the code exposes");
}

#[test]
fn pipeline_metrics_are_documented() {
    let text = read("ingest/src/metrics.rs");
    let (code, _) = split_tests(&text);
    let pieces: Vec<&str> = code.split("\"postroad_").collect();
    let mut registered = Listed::new();
    for pair in pieces.windows(2) {
        let name = format!("postroad_{}", pair[1].split('"').next().unwrap_or(""));
        let call = pair[0].rsplit("build").next().unwrap_or("");
        let call = call.trim_start_matches(|c: char| c == '.' || c.is_whitespace());
        let method = call.split('(').next().unwrap_or("");
        let (kind, labelled) = match method {
            "counters" => ("counter", true),
            "counter" => ("counter", false),
            "gauges" => ("gauge", true),
            "gauge" | "seconds" => ("gauge", false),
            "histogram" => ("histogram", false),
            "add" if call.contains("GaugeVec") => ("gauge", true),
            other => panic!("{name} is made by `{other}`, which this test does not know"),
        };
        let list = pair[1].split("&[").nth(1).and_then(|after| after.split(']').next());
        let labels = list.filter(|_| labelled).unwrap_or("").split('"').skip(1).step_by(2);
        registered.insert(name, (kind.to_owned(), labels.map(str::to_owned).collect()));
    }
    same(&documented_metrics("## Pipeline"), &registered);
    let others = sources().into_iter().filter(|(path, text)| {
        let known = **path == *"ingest/src/metrics.rs" || path.starts_with("ingest/src/business");
        path.starts_with("ingest/src")
            && !known
            && !is_test(path)
            && split_tests(text).0.contains("\"postroad_")
    });
    none(&others.map(|(path, _)| path).collect::<Vec<_>>(), "metrics are made in two files");
}

/// Reference data that have something of each kind.
fn reference() -> ReferenceSet {
    let benchmarks = "versus,level,code,line,measure,period_start,period_end,growth_pct,source\n\
        local,prefecture,210100,,revenue,2021-01-01,2021-06-30,8.5,synthetic\n\
        local,province,210000,,revenue,2021-01-01,2021-06-30,8.5,synthetic\n";
    let plans = "code,line,measure,year,amount,source\n\
        210100,parcel,revenue,2021,1000.00,synthetic\n210100,parcel,volume,2021,1000,synthetic\n";
    let files = [("benchmarks.csv", benchmarks), ("plans.csv", plans)];
    let files = files.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
    ReferenceSet::from_files(files).expect("it is sound")
}

/// One publish of one shard, with cells of this year and the year before.
fn snapshot() -> Snapshot {
    let day = BusinessDay::from_civil(2021, 6, 30).expect("a date");
    let shard = json!({
        "source": "kafka", "topic": "t", "partition": 0, "incarnation": 0, "seq": 1,
        "next_offset": 1, "watermark": day.end().as_micros() - 1, "closed": false,
    });
    let totals = json!({
        "consumed": 1, "applied": 1, "duplicates": 0, "rejected": 0, "ignored": 0, "cells": 1,
    });
    let manifest = json!({
        "format": 1, "publish": 1, "published_at": day.end().as_micros(), "shards": [shard], "totals": totals,
        "dead_letters": 0, "complete_through": null, "final_through": null, "reference": "", "files": {},
    });
    let reference = reference();
    // Two of 14: a spread takes two.
    let prefectures: Vec<_> =
        reference.codebook.prefectures().take(2).map(|prefecture| prefecture.code).collect();
    let mut rollup = Rollup::default();
    let before = day.year_before();
    for day in [day, day.plus_days(-7), day.plus_days(-30), before, before.plus_days(-30)] {
        for product in [Product::Express, Product::Savings] {
            for prefecture in &prefectures {
                let key = CellKey { day, prefecture: *prefecture, product };
                let measures = Measures { volume: 1, revenue: Fen::new(1), ..Measures::default() };
                rollup.add([(&key, &measures)]);
            }
        }
    }
    let evaluation = Evaluation::of(day, &rollup, &reference, Settings::default());
    let manifest = serde_json::from_value(manifest).expect("a manifest");
    Snapshot {
        manifest: Arc::new(manifest),
        rollup: Arc::new(rollup),
        reference: Arc::new(reference),
        evaluation: Some(Arc::new(evaluation)),
    }
}

#[tokio::test]
async fn business_metrics_are_documented() {
    let page = business::Page::default().text(Some(snapshot())).await.expect("it can be encoded");
    let text = str::from_utf8(&page).expect("text");
    let mut exposed = Listed::new();
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|l| l.split_once(' ')) {
            exposed.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
        } else if let Some((name, labels)) = line.split_once('{') {
            let keys = labels.split("=\"").filter_map(|piece| piece.rsplit([',', '{']).next());
            let keys = keys.filter(|key| !key.contains('}')).map(str::to_owned);
            exposed.get_mut(name).expect("the type comes first").1.extend(keys);
        }
    }
    same(&documented_metrics("## Business"), &exposed);
}

/// The least that a configuration needs.
const MINIMAL: &str = "[kafka]\nbrokers = \"localhost:9092\"\n[[kafka.topics]]\n\
    name = \"parcel.events\"\n[store]\nurl = \"file:///store\"\n";

/// [`MINIMAL`] with one setting more, which stands in the environment, or in the topic's table.
fn configured(key: &str, value: &str) -> Result<Config, Vec<Fault>> {
    if let Some(leaf) = key.strip_prefix("kafka.topics[].") {
        let line = format!("{leaf} = {value}\n[store]");
        return Config::parse(&MINIMAL.replace("[store]", &line), std::iter::empty());
    }
    let name = format!("POSTROAD__{}", key.replace('.', "__").to_uppercase());
    let value = value.trim_matches('"').to_owned();
    Config::parse(MINIMAL, std::iter::once((name, value)))
}

fn is_known(key: &str) -> bool {
    let faults = configured(key, "[]").err().unwrap_or_default();
    faults.iter().all(|fault| !fault.remedy.contains("is not a known key"))
}

fn documented_settings() -> Vec<Vec<String>> {
    let document = read("docs/CONFIGURATION.md");
    rows(chapter(&document, "## Settings"))
}

#[test]
fn settings_are_documented() {
    assert!(!is_known("checkpoint.intervall_ms"), "this test can fail");
    let settings = documented_settings();
    let unknown = settings.iter().map(|row| row[0].clone()).filter(|key| !is_known(key));
    none(&unknown.collect::<Vec<_>>(), "docs/CONFIGURATION.md lists settings that are read");

    let text = read("ingest/src/config.rs") + &read("ingest/src/config/kafka.rs");
    let (code, _) = split_tests(&text);
    let code = [code, &read("ingest/src/config/indicators.rs")].concat();
    let calls = ["number", "text", "flag", "map", "take"];
    let leaves = |call: &str| -> Vec<String> {
        let call = format!(".{call}(\"");
        code.split(&call)
            .skip(1)
            .map(|after| after.split('"').next().unwrap_or("").to_owned())
            .collect()
    };
    let mut in_code: Vec<String> = calls.iter().flat_map(|call| leaves(call)).collect();
    in_code.retain(|leaf| leaf != "topics");
    for map in leaves("map_with_secrets") {
        in_code.extend([map, "secret_files".to_owned()]);
    }
    in_code.sort();
    let leaf = |row: &Vec<String>| row[0].rsplit('.').next().unwrap_or("").to_owned();
    let mut in_document: Vec<String> = settings.iter().map(leaf).collect();
    in_document.sort();
    assert_eq!(in_document, in_code, "docs/CONFIGURATION.md lists each setting that is read, once");
}

#[test]
fn defaults_and_ranges_are_as_documented() {
    let minimal = Config::parse(MINIMAL, std::iter::empty()).expect("it is valid");
    let minimal = format!("{minimal:?}");
    for row in documented_settings() {
        let [key, default, range, ..] = row.as_slice() else { panic!("{row:?} is too short") };
        let leaf = key.rsplit('.').next().unwrap_or("");
        match quoted(default).first() {
            Some(value) => {
                let config = configured(key, value).expect("a default is valid");
                assert_eq!(format!("{config:?}"), minimal, "the default of {key}");
            }
            None if default == "required" => {
                let lines = MINIMAL.lines().filter(|line| !line.starts_with(&format!("{leaf} = ")));
                let without = lines.collect::<Vec<_>>().join("\n");
                Config::parse(&without, std::iter::empty()).expect_err(key);
            }
            None => assert!(
                ["none", "from the name", "the built-in Liaoning set"].contains(&&**default),
                "{key}: the default {default} is not understood"
            ),
        }
        let words = quoted(range);
        if let ([low, high], true) = (words.as_slice(), range.contains("` to `")) {
            let number = |word: &str| word.parse::<i64>().expect("a whole number");
            for inside in [number(low), number(high)] {
                configured(key, &inside.to_string()).expect(key);
            }
            for outside in [number(low) - 1, number(high) + 1] {
                configured(key, &outside.to_string()).expect_err(key);
            }
        } else if !words.is_empty()
            && words.iter().all(|word| word.bytes().all(|b| b.is_ascii_lowercase()))
        {
            let is_flag = words == ["true", "false"];
            for word in words {
                let value = if is_flag { word.to_owned() } else { format!("\"{word}\"") };
                configured(key, &value).expect(key);
            }
            configured(key, "\"nonsense\"").expect_err(key);
        }
    }
}

#[test]
fn the_production_example_is_valid() {
    let document = read("docs/CONFIGURATION.md");
    let example = document.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    let example = example.expect("there is one");
    // The secret's file is not here.
    let lines: Vec<_> = example.lines().filter(|line| !line.starts_with("secret_files")).collect();
    Config::parse(&lines.join("\n"), std::iter::empty()).expect("it is valid");
}

fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Decimal128(digits, places) => format!("Decimal({digits},{places})"),
        DataType::Timestamp(_, Some(zone)) => format!("Timestamp(µs, {zone})"),
        other => other.to_string(),
    }
}

#[test]
fn tables_are_documented() {
    let document = read("docs/TABLES.md");
    for table in Table::ALL {
        let chapter = chapter(&document, &format!("## `{}`", table.name()));
        let chapter = chapter.split("\n### ").next().unwrap_or("");
        let documented = rows(chapter).into_iter().map(|row| row[..3].join(" "));
        let schema = table.schema();
        let columns = schema.fields().iter().map(|field| {
            let null = if field.is_nullable() { "yes" } else { "no" };
            format!("{} {} {null}", field.name(), type_name(field.data_type()))
        });
        let (documented, columns): (Vec<_>, Vec<_>) = (documented.collect(), columns.collect());
        assert_eq!(documented, columns, "docs/TABLES.md, {}", table.name());
    }
    assert_eq!(document.matches("\n## `").count(), Table::ALL.len());
    let reasons: Vec<_> =
        rows(chapter(&document, "### Reasons")).into_iter().map(|row| row[0].clone()).collect();
    let in_code: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(reasons, in_code, "docs/TABLES.md lists the reasons in their order");
}

/// Whoever reads of a fault wants to see the test, and a test that was renamed shows nothing.
#[test]
fn every_test_that_the_fault_matrix_names_exists() {
    let document = read("docs/EXACTLY_ONCE.md");
    let tests: String = texts()
        .into_iter()
        .filter(|(path, _)| [".rs", ".py", ".sh"].iter().any(|end| path.ends_with(end)))
        .map(|(_, text)| text)
        .collect();
    let exists = |name: &str| {
        [format!("fn {name}("), format!("def {name}(")].iter().any(|text| tests.contains(text))
    };
    let mut faults = Vec::new();
    let rows_of = |heading: &str| -> Vec<&str> {
        let lines = chapter(&document, heading).lines().filter(|line| line.starts_with("| "));
        lines.skip(1).map(|line| line.trim_end_matches([' ', '|'])).collect()
    };
    let (matrix, invariants) = (rows_of("## Fault matrix"), rows_of("## Invariants"));
    assert!(matrix.len() >= 40, "{} faults are few", matrix.len());
    for row in matrix.into_iter().chain(invariants) {
        let named = row.rsplit('|').next().unwrap_or_default().split(['`', ',', ' ']);
        let tests_named: Vec<_> = named.filter(|name| name.matches('_').count() > 1).collect();
        if tests_named.is_empty() {
            faults.push(format!("{row} names no test"));
        }
        let gone = tests_named.into_iter().filter(|name| !exists(name));
        faults.extend(gone.map(|name| format!("there is no test {name}")));
    }
    none(&faults, "every row of docs/EXACTLY_ONCE.md names a test that exists");
}

#[test]
fn files_that_documents_name_exist() {
    let mut faults = Vec::new();
    let mut named = 0;
    for (path, text) in texts() {
        let is_ours = path == "CONTRIBUTING.md" || path.starts_with("docs/");
        if !is_ours || !has_extension(&path, "md") {
            continue;
        }
        let folder = Path::new(&path).parent().unwrap_or(Path::new("")).to_owned();
        let part = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        for word in text.split(|c| !part(c)).map(|word| word.trim_end_matches('.')) {
            let is_file = [".rs", ".toml", ".md", ".py", ".sh", ".html", ".xml"]
                .iter()
                .any(|end| word.len() > end.len() && word.ends_with(end));
            if is_file {
                named += 1;
                let exists = |base: &Path| root().join(base).join(word).is_file();
                if !exists(Path::new("")) && !exists(&folder) {
                    faults.push(format!("{path} names {word}"));
                }
            }
        }
    }
    assert!(named > 50, "the documents name their files");
    none(&faults, "every file that a document names exists, by its path from the root");
}

#[test]
fn decisions_are_numbered_without_gaps() {
    let files = texts().into_iter().filter(|(path, _)| path.starts_with("docs/adr/"));
    let mut count = 0;
    for (index, (path, text)) in files.enumerate() {
        let number = format!("{:04}", index + 1);
        assert!(path.starts_with(&format!("docs/adr/{number}-")), "{path} ought to be {number}");
        assert!(
            text.starts_with(&format!("# {number} ")),
            "{path}: its title begins with its number"
        );
        for part in
            ["\nDate: 20", "\n## Context", "\n## Decision", "\n## Rejected", "\n## Consequences"]
        {
            assert!(text.contains(part), "{path} lacks {}", part.trim());
        }
        count += 1;
    }
    assert!(count >= 12, "the decisions were found");
}
