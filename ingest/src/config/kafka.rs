//! The section `[kafka]`.

use std::collections::{BTreeMap, BTreeSet};

use postroad_schemas::contract::Contract;
use toml::{Table, Value};

use super::section::Section;
use super::{Fault, KafkaConfig, Start, TopicConfig};
use crate::source::kafka::{
    forbidden_properties, invalid_properties, is_broker_list, unknown_properties,
};

pub(super) fn read_kafka(mut section: Section, faults: &mut Vec<Fault>) -> Option<KafkaConfig> {
    let brokers = read_brokers(&mut section, faults);
    let group = section.text("group", Some("postroad"), "write a name", faults);
    let allow_compacted = section.flag("allow_compacted", false, faults);
    let properties = section.map_with_secrets("properties", faults, |map| {
        let refused = forbidden_properties(map).into_iter().chain(unknown_properties(map));
        refused.map(|fault| (fault.key, fault.fix)).collect()
    });
    let properties: BTreeMap<_, _> = properties.into_iter().collect();
    for fault in invalid_properties(&properties) {
        let key = section.key(&format!("properties.\"{}\"", fault.key));
        let value = String::new();
        let is_told = faults.iter().any(|told| told.key == key);
        faults.extend((!is_told).then_some(Fault { key, value, remedy: fault.fix }));
    }
    let topics = read_topics(&mut section, faults);
    section.finish(faults);
    Some(KafkaConfig {
        brokers: brokers?,
        group: group?,
        properties,
        topics: topics?,
        allow_compacted: allow_compacted?,
    })
}

fn read_brokers(section: &mut Section, faults: &mut Vec<Fault>) -> Option<String> {
    const REMEDY: &str = "write host:port, or several separated by commas";
    let list = section.text("brokers", None, REMEDY, faults)?;
    if is_broker_list(&list) {
        return Some(list);
    }
    // Credentials do not belong there, and are not shown if they are.
    let value = Some(Value::String(list)).filter(|list| !list.to_string().contains('@'));
    faults.push(section.fault("brokers", value.as_ref(), REMEDY));
    None
}

fn read_topics(section: &mut Section, faults: &mut Vec<Fault>) -> Option<Vec<TopicConfig>> {
    let remedy = "write a [[kafka.topics]] with name and contract for each topic";
    let tables = section.take("topics", None, remedy, faults, |value| {
        let tables: Option<Vec<Table>> =
            value.as_array()?.iter().map(|topic| topic.as_table().cloned()).collect();
        tables.filter(|tables| !tables.is_empty())
    })?;
    let mut names = BTreeSet::new();
    let mut topics = Vec::new();
    for (index, table) in tables.into_iter().enumerate() {
        let mut section = section.element("topics", index, table);
        let remedy = "write the name of a Kafka topic: letters, digits, `.`, `_` and `-`";
        let name = section.take("name", None, remedy, faults, |value| {
            value.as_str().filter(|name| is_topic_name(name)).map(str::to_owned)
        });
        let implied = name.as_deref().and_then(Contract::of_topic);
        let remedy = "write \"parcel\" or \"finance\"";
        let contract =
            section.take("contract", implied, remedy, faults, |value| value.as_str()?.parse().ok());
        let remedy = "write \"json\", the format that this version reads";
        section.take("format", Some(()), remedy, faults, |value| {
            (value.as_str()? == "json").then_some(())
        });
        let remedy = "write \"earliest\" or \"latest\"";
        let start =
            section.take("start", Some(Start::Earliest), remedy, faults, |value| {
                match value.as_str()? {
                    "earliest" => Some(Start::Earliest),
                    "latest" => Some(Start::Latest),
                    _ => None,
                }
            });
        if let Some(name) = &name
            && !names.insert(name.clone())
        {
            let value = Value::String(name.clone());
            faults.push(section.fault("name", Some(&value), "stands twice; keep one"));
        }
        if let (Some(name), Some(contract), Some(start)) = (name, contract, start) {
            topics.push(TopicConfig { name, contract, start });
        }
        section.finish(faults);
    }
    Some(topics)
}

/// Kafka's own rule for names.
pub fn is_topic_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !name.is_empty() && name.len() <= 249 && name.bytes().all(legal) && name != "." && name != ".."
}
