//! The means by which a configuration is read: tables whose keys are taken out one by one, and
//! overrides from the environment.

use std::collections::BTreeMap;
use std::fmt;

use toml::{Table, Value};

use super::Fault;

pub(crate) const VARIABLE_PREFIX: &str = "POSTROAD__";

/// `POSTROAD__CHECKPOINT__INTERVAL_MS=1000` sets `checkpoint.interval_ms`. Below
/// `kafka.properties` and `kafka.secret_files`, where keys contain dots, `_` stands for a dot. Returns
/// what was set.
pub(super) fn override_key(
    table: &mut Table,
    name: &str,
    value: &str,
    faults: &mut Vec<Fault>,
) -> Option<Overridden> {
    let path = name.strip_prefix(VARIABLE_PREFIX)?;
    let mut keys: Vec<String> = path.split("__").map(str::to_lowercase).collect();
    if let [section, map, property] = keys.as_mut_slice()
        && section == "kafka"
        && matches!(map.as_str(), "properties" | "secret_files")
    {
        *property = property.replace('_', ".");
    }
    let (last, sections) = keys.split_last()?;
    let mut target = table;
    for section in sections {
        let entry = target.entry(section.clone()).or_insert_with(|| Value::Table(Table::new()));
        let Value::Table(inner) = entry else {
            let remedy = format!("`{section}` is no section; topics are set in the file only");
            faults.push(Fault { key: name.to_owned(), value: String::new(), remedy });
            return None;
        };
        target = inner;
    }
    let is_text = last == "brokers" || last == "group" || sections.len() > 1;
    let parsed = format!("v = {value}").parse::<Table>().ok().and_then(|mut t| t.remove("v"));
    let parsed = parsed.filter(|_| !is_text).unwrap_or(Value::String(value.to_owned()));
    target.insert(last.clone(), parsed);
    Some(Overridden { keys, variable: name.to_owned() })
}

/// A setting that a variable has set.
pub(super) struct Overridden {
    keys: Vec<String>,
    variable: String,
}

impl Overridden {
    /// Whether a fault's key is that of the setting, or of a section that it is in.
    fn is_about(&self, key: &str) -> bool {
        // Names of properties stand in quotes, since they contain dots.
        let key = key.replace('"', "");
        let path = self.keys.join(".");
        path.strip_prefix(&key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

/// Names the variable in every fault of what one has set: it is not found in the file.
pub(super) fn name_variables(faults: &mut [Fault], overridden: &[Overridden]) {
    for fault in faults.iter_mut().filter(|fault| !fault.key.is_empty()) {
        let about = overridden.iter().filter(|set| set.is_about(&fault.key));
        for Overridden { variable, .. } in about {
            fault.remedy.extend(["; the variable ", variable.as_str(), " sets it"]);
        }
    }
}

/// A table of the file. Keys are taken out; what is left when it is finished is unknown.
pub(super) struct Section {
    path: String,
    pub(super) table: Table,
}

impl Section {
    /// The file as a whole.
    pub(super) fn root(table: Table) -> Self {
        Self { path: String::new(), table }
    }

    /// One table of an array of tables.
    pub(super) fn element(&self, name: &str, index: usize, table: Table) -> Self {
        Self { path: self.key(&format!("{name}[{index}]")), table }
    }

    pub(super) fn key(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    pub(super) fn fault(
        &self,
        name: &str,
        value: Option<&Value>,
        remedy: impl Into<String>,
    ) -> Fault {
        let value = value.map(ToString::to_string).unwrap_or_default();
        Fault { key: self.key(name), value, remedy: remedy.into() }
    }

    pub(super) fn section(&mut self, name: &str, faults: &mut Vec<Fault>) -> Section {
        let path = self.key(name);
        let table = match self.table.remove(name) {
            None => Table::new(),
            Some(Value::Table(table)) => table,
            Some(_) => {
                // What stands there may be what belongs in the section, secrets included.
                faults.push(self.fault(name, None, format!("write a section [{path}]")));
                Table::new()
            }
        };
        Section { path, table }
    }

    pub(super) fn take<T>(
        &mut self,
        name: &str,
        default: Option<T>,
        remedy: &str,
        faults: &mut Vec<Fault>,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        let Some(value) = self.table.remove(name) else {
            if default.is_none() {
                faults.push(self.fault(name, None, format!("is missing; {remedy}")));
            }
            return default;
        };
        let read = read(&value);
        if read.is_none() {
            faults.push(self.fault(name, Some(&value), remedy));
        }
        read
    }

    pub(super) fn text(
        &mut self,
        name: &str,
        default: Option<&str>,
        remedy: &str,
        faults: &mut Vec<Fault>,
    ) -> Option<String> {
        self.take(name, default.map(str::to_owned), remedy, faults, |value| {
            value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
        })
    }

    pub(super) fn number<T: TryFrom<i64> + PartialOrd + fmt::Display>(
        &mut self,
        name: &str,
        default: T,
        range: std::ops::RangeInclusive<T>,
        faults: &mut Vec<Fault>,
    ) -> Option<T> {
        let remedy = format!("write a whole number from {} to {}", range.start(), range.end());
        self.take(name, Some(default), &remedy, faults, |value| {
            let number = T::try_from(value.as_integer()?).ok()?;
            range.contains(&number).then_some(number)
        })
    }

    pub(super) fn flag(
        &mut self,
        name: &str,
        default: bool,
        faults: &mut Vec<Fault>,
    ) -> Option<bool> {
        self.take(name, Some(default), "write true or false", faults, Value::as_bool)
    }

    pub(super) fn map(&mut self, name: &str, faults: &mut Vec<Fault>) -> BTreeMap<String, String> {
        let section = self.section(name, faults);
        let mut map = BTreeMap::new();
        for (key, value) in &section.table {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Integer(_) | Value::Boolean(_) | Value::Float(_) => value.to_string(),
                _ => {
                    faults.push(section.fault(key, None, "write a string"));
                    continue;
                }
            };
            map.insert(key.clone(), text);
        }
        map
    }

    /// A table of texts, and after them the contents of the files that `secret_files` names by the
    /// same keys, which count more. `refuse` says which keys are wrong, and what to do; values are never shown.
    pub(super) fn map_with_secrets(
        &mut self,
        name: &str,
        faults: &mut Vec<Fault>,
        refuse: impl Fn(&BTreeMap<String, String>) -> Vec<(String, String)>,
    ) -> Vec<(String, String)> {
        let map = self.map(name, faults);
        let secret_files = self.map("secret_files", faults);
        for (name, map) in [(name, &map), ("secret_files", &secret_files)] {
            for (key, remedy) in refuse(map) {
                let key = self.key(&format!("{name}.\"{key}\""));
                faults.push(Fault { key, value: String::new(), remedy });
            }
        }
        let mut texts: Vec<_> = map.into_iter().collect();
        for (key, file) in secret_files {
            match std::fs::read_to_string(&file) {
                Ok(secret) => {
                    texts.push((key, secret.trim_end_matches(['\r', '\n']).to_owned()));
                }
                Err(error) => faults.push(Fault {
                    key: self.key(&format!("secret_files.\"{key}\"")),
                    // It is the secret itself where somebody took this for `properties`.
                    value: String::new(),
                    remedy: format!(
                        "the file cannot be read: {error}; write the path of a file that holds the value"
                    ),
                }),
            }
        }
        texts
    }

    /// Complains about what nobody took.
    pub(super) fn finish(self, faults: &mut Vec<Fault>) {
        for name in self.table.keys() {
            let remedy = "is not a known key; remove it, or check its spelling and section";
            // A secret may stand at the wrong place, so the value is not shown.
            faults.push(self.fault(name, None, remedy));
        }
    }
}
