//! Rows and columns, aligned for people or as objects for machines.

use postroad_schemas::units::{BusinessDay, Timestamp};
use serde_json::{Map, Value, json};

/// What `inspect` shows.
#[derive(Debug)]
pub enum Page {
    /// Rows of one kind.
    Grid(Grid),
    /// A manifest, as it stands in the store.
    Manifest(Value),
}

impl Page {
    /// For people.
    pub fn to_text(&self) -> String {
        match self {
            Self::Grid(grid) => grid.to_text(),
            Self::Manifest(manifest) => manifest_text(manifest),
        }
    }

    /// For machines: an array of objects, or the manifest.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Grid(grid) => grid.to_json(),
            Self::Manifest(manifest) => manifest.clone(),
        }
    }
}

/// Rows of named values, and the order of the names.
#[derive(Debug)]
pub struct Grid {
    columns: Vec<&'static str>,
    /// Those that people are shown; all of them if there are none.
    brief: Vec<&'static str>,
    rows: Vec<Map<String, Value>>,
}

impl Grid {
    /// A grid without rows, with these columns.
    pub fn new(first: &[&'static str], more: &[&'static str]) -> Self {
        Self { columns: [first, more].concat(), brief: Vec::new(), rows: Vec::new() }
    }

    /// With these columns alone for people, whose lines have an end.
    pub fn brief(mut self, shown: &[&'static str]) -> Self {
        self.brief.extend(shown);
        self
    }

    /// With more columns.
    pub fn with(mut self, more: &[&'static str]) -> Self {
        self.columns.extend(more);
        self
    }

    /// Adds a row. Columns that it lacks are null, and values that belong to no column are left out.
    pub fn push(&mut self, row: Map<String, Value>) {
        self.rows.push(row);
    }

    /// An object for each row.
    pub fn to_json(&self) -> Value {
        let object = |row: &Map<String, Value>| -> Value {
            let value = |name: &&str| row.get(*name).cloned().unwrap_or_default();
            let pairs = self.columns.iter().map(|name| ((*name).to_owned(), value(name)));
            Value::Object(pairs.collect())
        };
        Value::Array(self.rows.iter().map(object).collect())
    }

    /// A line of names and a line for each row, numbers to the right. Columns that are empty in every
    /// row are left out.
    pub fn to_text(&self) -> String {
        let mut columns: Vec<Vec<String>> = Vec::new();
        let names = if self.brief.is_empty() { &self.columns } else { &self.brief };
        for name in names {
            let value = |row: &'_ Map<String, Value>| row.get(*name).cloned().unwrap_or_default();
            let values: Vec<Value> = self.rows.iter().map(value).collect();
            if !values.is_empty() && values.iter().all(Value::is_null) {
                continue;
            }
            let numbers = !values.is_empty() && values.iter().all(|v| v.is_number() || v.is_null());
            let mut column: Vec<String> = vec![(*name).to_owned()];
            column.extend(values.iter().map(cell));
            let width = column.iter().map(|text| text.chars().count()).max().unwrap_or_default();
            for text in &mut column {
                *text = if numbers { format!("{text:>width$}") } else { format!("{text:<width$}") };
            }
            columns.push(column);
        }
        let mut text = String::new();
        for line in 0..=self.rows.len() {
            let cells: Vec<&str> = columns.iter().map(|column| column[line].as_str()).collect();
            text.push_str(cells.join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

/// The fields of an object literal.
pub(crate) fn fields(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// A value in a table: names and numbers as they are, parts of lists side by side.
pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => fields.values().map(cell).collect::<Vec<_>>().join(":"),
        other => other.to_string(),
    }
}

/// What a manifest says of the whole, then its shards, then its files.
fn manifest_text(manifest: &Value) -> String {
    let object = |value: Option<&Value>| value.and_then(Value::as_object).cloned();
    let fields = object(Some(manifest)).unwrap_or_default();
    let totals = object(fields.get("totals")).unwrap_or_default();
    let flat = fields.iter().filter(|(_, value)| !value.is_array() && !value.is_object());
    let mut text = String::new();
    for (name, value) in flat.chain(&totals) {
        text.push_str(&[&format!("{name:<24}"), " ", &cell(&readable(name, value)), "\n"].concat());
    }
    let mut shards = Grid::new(&["source", "topic", "partition", "incarnation", "seq"], &[])
        .with(&["first_offset", "next_offset", "watermark", "closed"]);
    let entries = fields.get("shards").and_then(Value::as_array).cloned().unwrap_or_default();
    for mut entry in entries.iter().filter_map(|entry| object(Some(entry))) {
        entry.iter_mut().for_each(|(name, value)| *value = readable(name, value));
        shards.push(entry);
    }
    let mut files = Grid::new(&["file", "publish", "rows", "file_hash"], &[]);
    for (key, entry) in object(fields.get("files")).unwrap_or_default() {
        let mut entry = object(Some(&entry)).unwrap_or_default();
        entry.insert("file".to_owned(), json!(key));
        files.push(entry);
    }
    [text, shards.to_text(), files.to_text()].join("\n")
}

/// Times and days of a manifest as such, where people read them.
pub(crate) fn readable(name: &str, value: &Value) -> Value {
    match (name, value.as_i64()) {
        ("published_at" | "watermark", Some(micros)) => {
            instant(Some(Timestamp::from_micros(micros)))
        }
        ("complete_through" | "complete_without_through" | "final_through", Some(days)) => {
            let day = i32::try_from(days).map(BusinessDay::from_days);
            day.map_or_else(|_| value.clone(), |day| json!(day.to_string()))
        }
        _ => value.clone(),
    }
}

/// RFC 3339 in UTC, with microseconds where there are any.
pub(crate) fn instant(at: Option<Timestamp>) -> Value {
    let Some(at) = at else { return Value::Null };
    let micros = at.as_micros().rem_euclid(1_000_000);
    let text = at.to_string();
    match text.strip_suffix('Z') {
        Some(seconds) if micros > 0 => json!(format!("{seconds}.{micros:06}Z")),
        _ => json!(text),
    }
}
