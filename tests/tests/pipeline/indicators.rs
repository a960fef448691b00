//! Who lags, from the outside: reference data that change under a running instance, and the findings of
//! a half-year meeting.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use postroad_schemas::codebook::Codebook;
use postroad_tests::mock::{Mock, PATIENCE, Site, rows};
use postroad_tests::process::{Metrics, Postroad, Signal, postroad_binary};
use postroad_tests::wait::wait_until;

use super::{PARCELS, lines_with, metrics, stop};

/// Growth of Shenyang's economy in the first half of 2021, in per cent.
fn economy(reference: &Path, percent: &str) {
    let text = format!(
        "versus,level,code,line,measure,period_start,period_end,growth_pct,source\n\
         local,prefecture,210100,,revenue,2021-01-01,2021-06-30,{percent},synthetic\n"
    );
    fs::write(reference.join("benchmarks.csv"), text).unwrap();
}

fn accept(mock: &Mock, id: &str, at: &str, revenue_fen: i64) {
    let value = format!(
        r#"{{"event_id":"{id}","event_type":"accepted","product":"express","prefecture":"210100","occurred_at":"{at}","revenue_fen":{revenue_fen}}}"#
    );
    let timestamp = postroad_schemas::time::parse_timestamp(at).unwrap().as_micros() / 1_000;
    mock.produce((PARCELS, 0), Some(timestamp), Some(value.as_bytes()));
}

fn business(postroad: &Postroad) -> Option<Metrics> {
    let (status, body) = postroad.try_get("/metrics/business")?;
    (status == 200).then(|| Metrics::parse(&body))
}

/// The gap of Shenyang's total revenue to its economy.
fn gap(postroad: &Postroad) -> Option<f64> {
    let labels = [("prefecture", "210100"), ("line", "total"), ("versus", "local")];
    let all = business(postroad)?;
    let found = all.matching("postroad_gap_percentage_points", &labels).next();
    found.map(|(_, gap)| gap)
}

#[track_caller]
fn wait_for_gap(postroad: &Postroad, expected: f64) {
    wait_until(PATIENCE, &format!("the gap is {expected}"), || {
        gap(postroad).is_some_and(|gap| (gap - expected).abs() < 1e-9)
    });
}

#[test]
fn reference_data_that_change_are_used_at_once_and_faulty_ones_never() {
    let mock = Mock::start(&[(PARCELS, 1)]);
    let site = Site::new(&mock.brokers(), "reference", &[PARCELS]);
    let reference = site.dir.path().join("reference");
    fs::create_dir(&reference).unwrap();
    economy(&reference, "8.5");
    let text = fs::read_to_string(site.config()).unwrap();
    site.configure(&format!("{text}\n[reference]\ndir = \"{}\"\n", reference.display()));
    accept(&mock, "a", "2020-06-30T10:00:00+08:00", 100_000_000);
    accept(&mock, "b", "2021-06-30T10:00:00+08:00", 105_000_000);
    // The day is over; of the next one little has come, which makes nobody lag.
    accept(&mock, "c", "2021-07-01T10:00:00+08:00", 1);
    mock.flush();
    let mut postroad = site.run();
    wait_for_gap(&postroad, -3.5);
    let light =
        |of: &Metrics| of.sum("postroad_light", &[("prefecture", "210100"), ("versus", "local")]);
    assert!(
        (light(&business(&postroad).unwrap()) - 4.0).abs() < 1e-9,
        "red, of total and of parcels"
    );

    economy(&reference, "4.25");
    wait_for_gap(&postroad, 0.75);
    assert!(light(&business(&postroad).unwrap()).abs() < 1e-9, "green");

    fs::write(reference.join("benchmarks.csv"), "versus\n").unwrap();
    wait_until(PATIENCE, "the fault is told", || {
        metrics(&postroad).is_some_and(|all| {
            all.value("postroad_reference_last_reload_successful", &[]) == Some(0.0)
        })
    });
    assert_eq!(gap(&postroad), Some(0.75), "what was read before stays in use");
    let said = || lines_with(&site.log(), "benchmarks.csv:1: level: the column is missing");
    wait_until(PATIENCE, "it is said where", || said() == 1);
    // Asked for once more, it is read and told once more.
    postroad.signal(Signal::Hup);
    wait_until(PATIENCE, "it is told again", || said() == 2);
    economy(&reference, "6.0");
    wait_for_gap(&postroad, -1.0);
    assert_eq!(
        metrics(&postroad).unwrap().value("postroad_reference_last_reload_successful", &[]),
        Some(1.0)
    );
    stop(&mut postroad);
}

/// A site whose lights are held against a folder, and that has published: Shenyang has grown by 5 per cent.
fn told(mock: &Mock, group: &str) -> (Site, PathBuf) {
    let site = Site::new(&mock.brokers(), group, &[PARCELS]);
    let reference = site.dir.path().join("reference");
    fs::create_dir(&reference).unwrap();
    economy(&reference, "8.5");
    let text = fs::read_to_string(site.config()).unwrap();
    site.configure(&format!("{text}\n[reference]\ndir = \"{}\"\n", reference.display()));
    accept(mock, "a", "2020-06-30T10:00:00+08:00", 100_000_000);
    accept(mock, "b", "2021-06-30T10:00:00+08:00", 105_000_000);
    accept(mock, "c", "2021-07-01T10:00:00+08:00", 1);
    mock.flush();
    (site, reference)
}

fn reloaded(postroad: &Postroad) -> Option<f64> {
    metrics(postroad)?.value("postroad_reference_last_reload_successful", &[])
}

/// The version of the reference data in use, as the metrics show it.
fn version(postroad: &Postroad) -> Option<String> {
    let all = metrics(postroad)?;
    let found: Vec<_> = all.matching("postroad_reference_info", &[]).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].0.get("version").cloned()
}

/// Ends with the code of a faulty configuration, and says why on standard error.
#[track_caller]
fn refuses(site: &Site, words: &[&str]) {
    let mut command = Command::new(postroad_binary());
    let output = command.args(["run", "-c"]).arg(site.config()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(words.iter().all(|word| said.contains(word)), "{said}");
}

/// Where a running instance goes on with the set that it has read, one that starts goes on with that of the
/// last publish; by other rules than those in force it does not.
#[test]
fn a_faulty_folder_does_not_keep_an_instance_from_starting_where_the_store_has_a_set() {
    let mock = Mock::start(&[(PARCELS, 1)]);
    let (site, reference) = told(&mock, "standing-in");
    let sound = fs::read_to_string(reference.join("benchmarks.csv")).unwrap();
    fs::write(reference.join("benchmarks.csv"), "versus\n").unwrap();
    refuses(&site, &["benchmarks.csv:1: level: the column is missing", "nothing was published"]);

    fs::write(reference.join("benchmarks.csv"), &sound).unwrap();
    let mut postroad = site.run();
    wait_for_gap(&postroad, -3.5);
    let used = version(&postroad);
    assert_eq!(used.as_ref().map(String::len), Some(12));
    stop(&mut postroad);

    fs::write(reference.join("benchmarks.csv"), "versus\n").unwrap();
    let mut postroad = site.run();
    wait_for_gap(&postroad, -3.5);
    assert_eq!((reloaded(&postroad), version(&postroad)), (Some(0.0), used));
    let log = site.log();
    assert!(lines_with(&log, "starting with the reference data of the last publish") == 1, "{log}");
    assert!(lines_with(&log, "benchmarks.csv:1: level: the column is missing") == 1, "{log}");
    economy(&reference, "4.25");
    wait_for_gap(&postroad, 0.75);
    assert_eq!(reloaded(&postroad), Some(1.0));

    // Records are judged by other prefectures from the next start on, not because of a fault.
    let liaoning = Codebook::LIAONING_CSV;
    let without = liaoning.lines().filter(|line| !line.starts_with("210100")).collect::<Vec<_>>();
    fs::write(reference.join("benchmarks.csv"), sound.lines().next().unwrap()).unwrap();
    fs::write(reference.join("prefectures.csv"), without.join("\n")).unwrap();
    wait_until(PATIENCE, "the prefecture without a row is named", || {
        let log = site.log();
        log.lines().any(|line| {
            line.contains("prefectures have figures and no row")
                && line.contains("prefectures=210100")
        })
    });
    stop(&mut postroad);
    fs::write(reference.join("benchmarks.csv"), "versus\n").unwrap();
    refuses(&site, &["level: the column is missing", "have other prefectures than those by which"]);
}

/// However many faults a file has, the log names the first, and publishing goes on.
#[test]
fn the_first_faults_are_logged_and_the_others_counted() {
    let mock = Mock::start(&[(PARCELS, 1)]);
    let (site, reference) = told(&mock, "faults");
    let mut postroad = site.run();
    wait_for_gap(&postroad, -3.5);
    let head = fs::read_to_string(reference.join("benchmarks.csv")).unwrap();
    let mut text = head.lines().next().unwrap().to_owned();
    for _ in 0..60 {
        text.push_str("\nlocal,prefecture,999999,,revenue,2021-01-01,2021-06-30,1,synthetic");
    }
    fs::write(reference.join("benchmarks.csv"), text).unwrap();
    wait_until(PATIENCE, "the others are counted", || {
        lines_with(&site.log(), "there are more faults") == 1
    });
    assert_eq!(lines_with(&site.log(), "the reference data are not used"), 20, "{}", site.log());
    assert_eq!(reloaded(&postroad), Some(0.0));
    stop(&mut postroad);
}

/// Two instances with different folders would change the lights by turns, and each says so.
#[test]
fn whoever_takes_over_with_other_reference_data_says_so() {
    let mock = Mock::start(&[(PARCELS, 1)]);
    let (site, reference) = told(&mock, "others");
    let said = "the last publish was made with other reference data";
    for (percent, gap, lines) in [("8.5", -3.5, 0), ("4.25", 0.75, 1), ("4.25", 0.75, 1)] {
        economy(&reference, percent);
        let mut postroad = site.run();
        wait_for_gap(&postroad, gap);
        stop(&mut postroad);
        assert_eq!(lines_with(&site.log(), said), lines, "{}", site.log());
    }
}

#[track_caller]
fn succeed(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// What was planted is found: six of fourteen behind their local economy, thirteen with a lagging indicator,
/// parcels behind the industry in volume and in revenue, premium express far behind.
#[test]
fn a_half_year_meetings_findings_stand_in_the_table() {
    let dir = tempfile::tempdir().unwrap();
    let (reference, events, store) =
        (dir.path().join("reference"), dir.path().join("events.json"), dir.path().join("store"));
    let mut simulate = Command::new(postroad_binary());
    simulate.args(["simulate", "--scenario", "half-year", "--reference"]).arg(&reference);
    fs::write(&events, succeed(&mut simulate)).unwrap();
    let config = dir.path().join("postroad.toml");
    let text = format!(
        "[kafka]\nbrokers = \"nowhere:9092\"\n[[kafka.topics]]\nname = \"{PARCELS}\"\n\
         [store]\nurl = \"file://{}\"\n[reference]\ndir = \"{}\"\n[indicators]\nhistory_days = 2\n",
        store.display(),
        reference.display()
    );
    fs::write(&config, text).unwrap();
    let mut backfill = Command::new(postroad_binary());
    backfill.arg("backfill").arg("--store").arg(&store).arg("--config").arg(&config);
    succeed(backfill.arg(&events));

    let all = rows(&store, "indicators");
    let text = |row: &BTreeMap<String, String>, column: &str| {
        row.get(column).map_or_else(String::new, Clone::clone)
    };
    let days: BTreeSet<String> = all.iter().map(|row| text(row, "as_of_date")).collect();
    assert_eq!(Vec::from_iter(days), ["2021-06-29", "2021-06-30"], "the last complete days");
    let as_of: Vec<_> = all.iter().filter(|row| row["as_of_date"] == "2021-06-30").collect();
    let mut lagging: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in &as_of {
        if row["level"] == "prefecture" && ["red", "yellow"].contains(&&*text(row, "light")) {
            for of in [text(row, "comparison"), "any".to_owned()] {
                lagging.entry(of).or_default().insert(text(row, "prefecture_code"));
            }
        }
    }
    let counts: Vec<_> = lagging.iter().map(|(of, codes)| (&**of, codes.len())).collect();
    assert_eq!(counts, [("any", 13), ("industry", 13), ("local", 6), ("peer", 6), ("plan", 7)]);
    assert!(!lagging["any"].contains("210200"), "Dalian lags nowhere");
    let of_the_day_before = all.iter().filter(|row| {
        row["as_of_date"] == "2021-06-29"
            && (&*row["level"], &*row["comparison"]) == ("prefecture", "local")
            && ["red", "yellow"].contains(&&*text(row, "light"))
    });
    let before: BTreeSet<String> =
        of_the_day_before.map(|row| text(row, "prefecture_code")).collect();
    assert_eq!(before, lagging["local"], "held against the figures until the end of May");

    let province = |line: &str, product: &str, measure: &str, comparison: &str| {
        let found = as_of.iter().find(|row| {
            row["level"] == "province"
                && (text(row, "line_code"), text(row, "product_code"))
                    == (line.to_owned(), product.to_owned())
                && (&*row["measure"], &*row["comparison"]) == (measure, comparison)
                && row["period"] == "ytd"
        });
        (*found.unwrap_or_else(|| panic!("{line} {product} {measure} {comparison}"))).clone()
    };
    let number = |row: &BTreeMap<String, String>, column: &str| row[column].parse::<f64>().unwrap();
    for measure in ["volume", "revenue"] {
        let row = province("parcel", "", measure, "industry");
        assert!(number(&row, "gap_pp") < -2.0 && row["light"] == "red", "{row:?}");
    }
    let express = number(&province("parcel", "express", "revenue", "yoy"), "own_growth");
    let parcels = number(&province("parcel", "", "revenue", "yoy"), "own_growth");
    assert!(parcels - express > 10.0, "premium express is far behind: {express} of {parcels}");
}
