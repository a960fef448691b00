//! `postroad report`, from events to the meeting's sentence: what the half-year scenario plants is what
//! the report of the real binary says.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use postroad_schemas::codebook::Codebook;
use postroad_tests::process::postroad_binary;
use serde_json::Value;

fn postroad(arguments: &[&str]) -> Output {
    Command::new(postroad_binary()).args(arguments).output().unwrap()
}

/// A report as of a day, and what was said of it.
fn report(store: &Path, more: &[&str]) -> (Option<i32>, String, String) {
    let asked = [&["report", "--store", store.to_str().unwrap()], more].concat();
    let output = postroad(&asked);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[track_caller]
fn json(store: &Path, more: &[&str]) -> Value {
    let (code, out, said) = report(store, &[&["--format", "json"], more].concat());
    assert_eq!(code, Some(0), "{said}");
    serde_json::from_str(&out).unwrap()
}

/// Expects a percentage as it is shown.
#[track_caller]
fn shows(value: &Value, expected: &str) {
    assert_eq!(format!("{:+.1}", value.as_f64().unwrap()), expected);
}

#[track_caller]
fn check_findings(report: &Value, prefectures: usize) {
    let provinces = report["provinces"].as_array().unwrap();
    assert_eq!(provinces.len(), 1);
    let province = &provinces[0];
    assert_eq!(province["code"], "210000");
    let headline = &province["headline"];
    assert_eq!(headline["prefectures"], 14);
    assert_eq!(headline["lagging"]["local"], 6);
    assert_eq!(headline["lagging"]["industry"], 13);
    assert_eq!(headline["laggards"], 13);
    let [volume, revenue] = &headline["industry"].as_array().unwrap()[..] else { panic!("a pair") };
    assert_eq!((&volume["measure"], &volume["light"]), (&"volume".into(), &"red".into()));
    shows(&volume["own_growth"], "+38.2");
    shows(&volume["benchmark"], "+45.8");
    assert_eq!(revenue["measure"], "revenue");
    shows(&revenue["own_growth"], "+19.1");
    let express = &headline["express"][0];
    assert_eq!(express["measure"], "revenue");
    shows(&express["express"]["own_growth"], "+5.1");
    shows(&express["parcel"]["own_growth"], "+19.1");
    let league = province["prefectures"].as_array().unwrap();
    assert_eq!(league.len(), prefectures);
    let ranks: Vec<_> = league.iter().map(|prefecture| prefecture["rank"].as_i64()).collect();
    assert!(ranks.is_sorted() && ranks[0] == Some(1), "{ranks:?}");
    let laggards = league.iter().filter(|of| !of["lagging"].as_array().unwrap().is_empty());
    assert_eq!(laggards.count(), 13);
}

#[test]
fn a_half_year_meeting_is_told_what_was_planted() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let (reference, store) = (path("reference"), path("store"));
    let reference_text = reference.to_str().unwrap();
    let events = postroad(&["simulate", "--scenario", "half-year", "--reference", reference_text]);
    assert!(events.status.success());
    fs::write(path("events.json"), events.stdout).unwrap();
    let (store_text, events) = (store.to_str().unwrap(), path("events.json"));
    let backfill = ["backfill", "--store", store_text, "--reference", reference_text];
    let folded = postroad(&[&backfill[..], &[events.to_str().unwrap()]].concat());
    assert!(folded.status.success(), "{}", String::from_utf8_lossy(&folded.stderr));

    // As it was published, and as it is evaluated here: the same but for who did it.
    let mut published = json(&store, &["--date", "2021-06-30"]);
    check_findings(&published, 14);
    assert_eq!(
        (&published["as_of"], &published["origin"]),
        (&"2021-06-30".into(), &"published".into())
    );
    assert_eq!(json(&store, &[]), published, "the last complete day unless another is asked for");
    let mut evaluated = json(&store, &["--reference", reference_text]);
    assert_eq!(evaluated["origin"], "evaluated");
    evaluated["origin"] = published["origin"].take();
    published["origin"] = evaluated["origin"].clone();
    assert_eq!(evaluated, published);

    let (code, text, _) = report(&store, &["--period", "month"]);
    assert_eq!(code, Some(0));
    let sentence =
        "6 of 14 prefectures behind their local economy; 13 of 14 with a lagging indicator";
    assert!(text.contains(sentence), "{text}");
    assert!(!text.contains('\x1b'), "a file has no colour");

    // A day before the table begins is evaluated; one that is not complete is refused.
    assert_eq!(json(&store, &["--date", "2020-07-01"])["origin"], "evaluated");
    for (date, words) in [
        ("2021-07-01", ["2021-07-01", "not complete", "2021-06-30"]),
        ("2019-12-31", ["2019-12-31", "begin on", "2020-01-01"]),
    ] {
        let (code, out, said) = report(&store, &["--date", date]);
        assert_eq!((code, &*out), (Some(65), ""), "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    }

    other_reference_data(&store);

    // What is not what the manifest says is not reported.
    let file = store.join("tables/indicators/business_month=2021-06-01/data.parquet");
    let mut bytes = fs::read(&file).unwrap();
    bytes[1_000] ^= 1;
    fs::write(&file, bytes).unwrap();
    let (code, out, said) = report(&store, &[]);
    assert_eq!((code, &*out), (Some(65), ""), "{said}");
    assert!(
        said.contains("business_month=2021-06-01") && said.contains("postroad verify"),
        "{said}"
    );
}

/// Whoever asks with reference data that lack prefectures is told which, and with those of another province
/// that they are.
#[track_caller]
fn other_reference_data(store: &Path) {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().to_str().unwrap();
    let (header, rows) = Codebook::LIAONING_CSV.split_once('\n').unwrap();
    let write = |rows: &str| {
        fs::write(dir.path().join("prefectures.csv"), format!("{header}\n{rows}")).unwrap();
    };
    let without: Vec<&str> = rows.lines().filter(|row| !row.starts_with("211400")).collect();
    write(&without.join("\n"));
    let found = json(store, &["--reference", text]);
    assert_eq!(found["unlisted_codes"], serde_json::json!(["211400"]));
    assert_eq!(found["provinces"][0]["headline"]["prefectures"], 13);
    let (_, told, _) = report(store, &["--reference", text]);
    assert!(told.contains("in no sum: 211400."), "{told}");
    write(&rows.lines().next().unwrap().replace("2101", "2201").replace("210000", "220000"));
    let (code, out, said) = report(store, &["--reference", text]);
    assert_eq!((code, &*out), (Some(65), ""), "{said}");
    let words = format!("no prefecture of these tables is in {text}/prefectures.csv");
    assert!(said.contains(&words), "{said}");
}

/// A shard of which no record is valid never passes a day: it is named, and what is advised works as it is
/// printed.
#[test]
fn who_waits_for_a_shard_without_a_valid_record_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("a store");
    fs::write(dir.path().join("broken.json"), "{}\n{}\n").unwrap();
    let events = dir.path().join("broken.json");
    let bare = ["backfill", "--input", "ndjson", "--topic", "parcel.events", "--store"];
    let folded =
        postroad(&[&bare[..], &[store.to_str().unwrap(), events.to_str().unwrap()]].concat());
    assert!(folded.status.success(), "{}", String::from_utf8_lossy(&folded.stderr));
    let (code, _, said) = report(&store, &[]);
    assert_eq!(code, Some(65), "{said}");
    assert!(said.contains("no day is complete") && said.contains("broken.json"), "{said}");
    let advised: Vec<&str> = said.split('`').skip(1).step_by(2).collect();
    assert_eq!(advised.len(), 2, "{said}");
    for command in advised {
        let command = command.replacen("postroad", postroad_binary().to_str().unwrap(), 1);
        let output = Command::new("sh").args(["-c", &command]).output().unwrap();
        assert!(output.status.success(), "{command}");
        assert!(String::from_utf8(output.stdout).unwrap().contains("broken.json"), "{command}");
    }
}

#[test]
fn a_store_without_a_publish_is_said_to_be_one() {
    let dir = tempfile::tempdir().unwrap();
    let (code, _, said) = report(&dir.path().join("nowhere"), &[]);
    assert_eq!(code, Some(66), "{said}");
    let (code, _, said) = report(dir.path(), &["--date", "30 June"]);
    assert_eq!(code, Some(64), "{said}");
}
