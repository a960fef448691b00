//! Objects of a store that are damaged or gone: each command that meets one says what to do, and what it
//! says is true.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use postroad_tests::mock::{Site, data_files};
use postroad_tests::process::postroad_binary;

use super::super::PARCELS;
use super::run_verify;

/// A store that was filled from one file, with days that are final.
struct Filled {
    site: Site,
    file: PathBuf,
}

impl Filled {
    fn new() -> Self {
        let site = Site::new("127.0.0.1:9", "damaged", &[PARCELS]);
        let record = |(offset, day): (usize, &str)| {
            let at = format!("{day}T12:00:00+08:00");
            let timestamp = postroad_schemas::time::parse_timestamp(&at).unwrap().as_micros();
            let payload = serde_json::json!({
                "event_id": day, "event_type": "accepted", "product": "express",
                "prefecture": "210100", "occurred_at": at, "revenue_fen": 1_000,
            });
            let record = serde_json::json!({
                "topic": PARCELS, "partition": 0, "offset": offset, "ts": timestamp / 1_000,
                "payload": payload.to_string(),
            });
            record.to_string()
        };
        let days = ["2021-06-10", "2021-06-18", "2021-06-24", "2021-06-25"].into_iter();
        let lines: Vec<String> = days.enumerate().map(record).collect();
        let file = site.dir.path().join("parcels.kcat");
        fs::write(&file, lines.join("\n")).unwrap();
        let filled = Self { site, file };
        let output = filled.backfill();
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        filled.check_sound();
        filled
    }

    fn backfill(&self) -> Output {
        let mut command = Command::new(postroad_binary());
        command.arg("backfill").arg("--store").arg(self.site.store());
        command.arg("--config").arg(self.site.config()).arg(&self.file).output().unwrap()
    }

    fn with_store(&self, command: &[&str]) -> Output {
        let mut words = Command::new(postroad_binary());
        words.arg(command[0]).arg("--store").arg(self.site.store());
        words.args(&command[1..]).output().unwrap()
    }

    fn verify(&self) -> Output {
        run_verify(&self.site.config(), &[])
    }

    #[track_caller]
    fn check_sound(&self) {
        let output = self.verify();
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    }

    /// The files below a folder of the store.
    fn objects(&self, folder: &str) -> Vec<PathBuf> {
        let objects = data_files(&self.site.store().join(folder));
        assert!(!objects.is_empty(), "nothing in {folder}");
        objects
    }
}

/// Both outputs as one text.
fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}

#[track_caller]
fn expect(output: &Output, code: i32, words: &str) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(words), "nothing of {words:?}: {said}");
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_damaged_note_of_a_file_is_a_difference_and_can_be_moved_away() {
    let filled = Filled::new();
    let note = filled.objects("inputs").remove(0);
    fs::write(&note, "{").unwrap();
    let remedy = "move it away, the next backfill of that file writes it again";
    let output = filled.verify();
    expect(&output, 1, remedy);
    expect(&output, 1, "parcel.events[0] offsets [0, 4) not read again");
    let differences = said(&output).matches("DIFFERENCE ").count();
    assert_eq!(differences, 1, "{}", said(&output));
    expect(&filled.backfill(), 65, remedy);
    fs::remove_file(note).unwrap();
    expect(&filled.backfill(), 0, "");
    filled.check_sound();
}

#[test]
fn a_store_without_its_mark_or_with_a_damaged_one_is_told_from_none() {
    let filled = Filled::new();
    let mark = filled.site.store().join("store.json");
    fs::remove_file(&mark).unwrap();
    let remedy = "has state/, publishes/, tables/ of a store, but no store.json; restore it";
    for output in
        [filled.verify(), filled.with_store(&["report"]), filled.with_store(&["inspect", "shards"])]
    {
        expect(&output, 65, remedy);
    }
    fs::write(&mark, "").unwrap();
    let remedy = r#"restore it from a copy of the store, or write {"format":1} into it"#;
    expect(&filled.verify(), 65, remedy);
    expect(&filled.backfill(), 65, remedy);
    fs::write(&mark, r#"{"format":1}"#).unwrap();
    filled.check_sound();
}

#[test]
fn what_is_made_again_once_it_is_moved_away_says_so() {
    for (folder, words) in [
        ("publishes", "restore it, or move it away: then the publish is made again"),
        ("references", "restore it, or move it away: it is written again with the next publish"),
    ] {
        for damage in [flip, |path: &Path| fs::write(path, "").unwrap()] {
            let filled = Filled::new();
            let object = filled.objects(folder).pop().unwrap();
            damage(&object);
            expect(&filled.verify(), 1, words);
            expect(&filled.with_store(&["report"]), 65, words);
            let refused = filled.backfill();
            expect(&refused, 65, words);
            assert_eq!(said(&refused).matches("restore it").count(), 1, "{}", said(&refused));
            fs::remove_file(object).unwrap();
            expect(&filled.backfill(), 0, "");
            filled.check_sound();
        }
    }
}

#[test]
fn a_shard_of_files_whose_checkpoints_are_all_damaged_is_read_again_without_them() {
    let filled = Filled::new();
    let checkpoints = filled.objects("state");
    for path in &checkpoints {
        flip(path);
    }
    let remedy = "restore them, or, for a shard of files, remove them: the next backfill reads";
    expect(&filled.backfill(), 65, remedy);
    for path in &checkpoints {
        fs::remove_file(path).unwrap();
    }
    expect(&filled.backfill(), 0, "4 applied");
    filled.check_sound();
}

#[test]
fn a_damaged_object_of_the_history_is_named_with_its_remedy_and_made_again() {
    let filled = Filled::new();
    let object = filled.objects("history/final_cells").remove(0);
    flip(&object);
    expect(&filled.verify(), 1, "; whoever publishes next, or a backfill, writes it again");
    expect(&filled.backfill(), 0, "publish 2 ");
    filled.check_sound();
}
