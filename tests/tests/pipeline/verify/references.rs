//! Reference data that the store has lost are named, what there is nothing to hold against is not said to
//! agree, and a faulty folder keeps nothing from being proved.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use postroad_tests::mock::{Site, data_files, rows};
use postroad_tests::process::postroad_binary;

use super::super::PARCELS;
use super::alter::Store;
use super::run_verify;

/// A store filled from files, and the folder that its lights are held against.
struct Desk {
    site: Site,
    reference: PathBuf,
}

impl Desk {
    /// The days up to 20 June are frozen with one version, the 21st with the next, which is also the
    /// newest publish's; told since 9 May.
    fn new() -> Self {
        let site = Site::new("127.0.0.1:9", "references", &[PARCELS]);
        let reference = site.dir.path().join("reference");
        fs::create_dir(&reference).unwrap();
        let text = fs::read_to_string(site.config()).unwrap();
        let text = text.replace("history_days = 3", "history_days = 46");
        site.configure(&format!("{text}\n[reference]\ndir = \"{}\"\n", reference.display()));
        let desk = Self { site, reference };
        desk.economy("8.5");
        let days = ["2020-03-01", "2021-03-01", "2021-06-18", "2021-06-24"];
        desk.backfill(0, &days);
        desk.economy("12.5");
        desk.backfill(4, &["2021-06-25"]);
        assert_eq!(desk.versions().len(), 2);
        desk
    }

    /// Growth of Shenyang's economy in the first five months, in per cent.
    fn economy(&self, percent: &str) {
        let text = format!(
            "versus,level,code,line,measure,period_start,period_end,growth_pct,source\n\
             local,prefecture,210100,,revenue,2021-01-01,2021-05-31,{percent},synthetic\n"
        );
        fs::write(self.reference.join("benchmarks.csv"), text).unwrap();
    }

    /// Adds one parcel at noon of each of these days.
    fn backfill(&self, offset: usize, days: &[&str]) {
        let record = |(place, day): (usize, &&str)| {
            let at = format!("{day}T12:00:00+08:00");
            let timestamp = postroad_schemas::time::parse_timestamp(&at).unwrap().as_micros();
            let (offset, id) = (offset + place, format!("{day}-{place}"));
            let payload = serde_json::json!({
                "event_id": id, "event_type": "accepted", "product": "express",
                "prefecture": "210100", "occurred_at": at, "revenue_fen": 1_000,
            });
            let record = serde_json::json!({
                "topic": PARCELS, "partition": 0, "offset": offset, "ts": timestamp / 1_000,
                "payload": payload.to_string(),
            });
            record.to_string()
        };
        let lines: Vec<String> = days.iter().enumerate().map(record).collect();
        let file = self.site.dir.path().join(format!("{offset}.kcat"));
        fs::write(&file, lines.join("\n")).unwrap();
        let mut command = Command::new(postroad_binary());
        command.arg("backfill").arg("--store").arg(self.site.store());
        let output = command.arg("--config").arg(self.site.config()).arg(file).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// The versions of the reference data that the rows of `indicators` name.
    fn versions(&self) -> BTreeSet<String> {
        let rows = rows(&self.site.store(), "indicators");
        rows.into_iter().map(|row| row["reference_version"].clone()).collect()
    }

    /// Verifies a copy of the store that was altered: the exit code, and the lines.
    fn verify(&self, alter: impl FnOnce(&Path)) -> (Option<i32>, Vec<String>) {
        let copy = Store::copy(&self.site.store());
        alter(copy.root());
        let config = self.site.dir.path().join("altered.toml");
        let text = fs::read_to_string(self.site.config()).unwrap();
        let text = text.replace(self.site.store().to_str().unwrap(), copy.root().to_str().unwrap());
        fs::write(&config, text).unwrap();
        let output = run_verify(&config, &[]);
        let said = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), said.lines().map(str::to_owned).collect())
    }
}

fn differences(lines: &[String]) -> Vec<&str> {
    lines.iter().filter_map(|line| line.strip_prefix("DIFFERENCE ")).collect()
}

#[track_caller]
fn line_of<'a>(lines: &'a [String], table: &str) -> &'a str {
    let found = lines.iter().find(|line| line.starts_with(&format!("{table} ")));
    found.unwrap_or_else(|| panic!("no line of {table}: {lines:#?}"))
}

#[test]
fn reference_data_that_are_lost_are_named_and_what_they_made_is_not_said_to_agree() {
    let desk = Desk::new();
    let newest = Store::at(&desk.site.store()).manifest().reference;
    let older = desk.versions().into_iter().find(|version| *version != newest).unwrap();
    let object = |version: &str| format!("references/{version}.json");
    let (code, lines) = desk.verify(|_| ());
    assert_eq!((code, differences(&lines)), (Some(0), vec![]), "{lines:#?}");
    assert!(line_of(&lines, "indicators").ends_with(": agrees"), "{lines:#?}");

    // That of lights that are frozen.
    let (code, lines) = desk.verify(|store| fs::remove_file(store.join(object(&older))).unwrap());
    let gone = |version| format!("references {}: object is gone, expected whole", object(version));
    assert_eq!((code, differences(&lines)), (Some(1), vec![&*gone(&older)]), "{lines:#?}");

    // That of the publish, which the folder still holds.
    let (code, lines) = desk.verify(|store| fs::remove_file(store.join(object(&newest))).unwrap());
    assert_eq!((code, differences(&lines)), (Some(1), vec![&*gone(&newest)]), "{lines:#?}");
    assert!(line_of(&lines, "indicators").ends_with(": agrees"), "{lines:#?}");

    // Nothing says any more what it was made with, but the frozen days have two copies.
    desk.economy("3");
    let (code, lines) = desk.verify(|store| fs::remove_file(store.join(object(&newest))).unwrap());
    assert_eq!((code, differences(&lines)), (Some(1), vec![&*gone(&newest)]), "{lines:#?}");
    let indicators = line_of(&lines, "indicators");
    let fresh = rows(&desk.site.store(), "indicators");
    let fresh = fresh.iter().filter(|row| *row["as_of_date"] > *"2021-06-21").count();
    assert!(
        indicators.ends_with(&format!(": agrees, but {fresh} rows not compared")),
        "{lines:#?}"
    );
    for table in ["benchmarks", "prefectures", "products"] {
        assert!(line_of(&lines, table).ends_with(": not compared"), "{lines:#?}");
    }

    let cut = |store: &Path| {
        let path = store.join(object(&newest));
        let content = fs::read(&path).unwrap();
        fs::write(path, &content[..content.len() / 2]).unwrap();
    };
    let (code, lines) = desk.verify(cut);
    let damaged = format!("references {}: object is damaged: ", object(&newest));
    assert_eq!((code, differences(&lines).len()), (Some(1), 1), "{lines:#?}");
    assert!(differences(&lines)[0].starts_with(&damaged), "{lines:#?}");
    let ledger = line_of(&lines, "ledger");
    assert!(ledger.ends_with(": agrees"), "the rest is verified: {lines:#?}");
}

#[test]
fn lights_that_are_lost_for_good_are_said_to_be_and_everything_else_agrees() {
    let desk = Desk::new();
    let store = desk.site.store();
    let month = "business_month=2021-05-01";
    let shown = store.join("tables/indicators").join(month);
    fs::remove_dir_all(&shown).unwrap();
    for object in data_files(&store.join("history/indicators").join(month)) {
        fs::remove_file(object).unwrap();
    }
    let (code, lines) = desk.verify(|_| ());
    assert_eq!((code, differences(&lines).len()), (Some(1), 2), "both are named: {lines:#?}");

    for (offset, day) in [(5, "2021-06-26"), (6, "2021-06-27")] {
        desk.backfill(offset, &[day]);
        assert!(data_files(&shown).is_empty(), "no file without rows");
        let (code, lines) = desk.verify(|_| ());
        assert_eq!((code, differences(&lines)), (Some(0), vec![]), "{lines:#?}");
        let said = "indicators of 23 frozen days are lost: neither copy of them was left";
        assert!(lines.iter().any(|line| line == said), "{lines:#?}");
    }
}

#[test]
fn a_faulty_folder_keeps_nothing_from_being_proved() {
    let desk = Desk::new();
    fs::write(desk.reference.join("benchmarks.csv"), "versus\n").unwrap();
    let (code, lines) = desk.verify(|_| ());
    assert_eq!((code, differences(&lines)), (Some(0), vec![]), "{lines:#?}");
    let said = "the folder of the reference data is faulty";
    assert!(lines.iter().any(|line| line.starts_with(said)), "{lines:#?}");
    assert!(line_of(&lines, "indicators").ends_with(": agrees"), "{lines:#?}");
}
