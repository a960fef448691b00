//! What librdkafka thinks of what it is told, asked without any broker.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka_sys::types::RDKafkaConfRes;

use super::settings::PropertyFault;

/// Whether a text lists brokers: `host:port`, several separated by commas, each after its protocol where
/// that is said (`SSL://host:port`).
pub fn is_broker_list(text: &str) -> bool {
    text.split(',').all(|broker| is_broker(broker.trim()))
}

fn is_broker(broker: &str) -> bool {
    let address = broker.split_once("://").map_or(broker, |(_, address)| address);
    let Some((host, port)) = address.rsplit_once(':') else { return false };
    let named = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(inner) => inner.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(named),
    };
    is_host && port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse().is_ok_and(is_port)
}

fn is_port(port: u16) -> bool {
    port > 0
}

/// The properties whose names librdkafka does not know, whatever their values.
pub fn unknown_properties(properties: &BTreeMap<String, String>) -> Vec<PropertyFault> {
    let refused = properties.iter().filter_map(|(key, value)| refused(key, value));
    refused.filter(|(is_unknown, _)| *is_unknown).map(|(_, fault)| fault).collect()
}

/// The properties whose values librdkafka does not take. Each is tried alone: together, it would tell of the first only.
pub fn invalid_properties(properties: &BTreeMap<String, String>) -> Vec<PropertyFault> {
    let refused = properties.iter().filter_map(|(key, value)| refused(key, value));
    refused.filter(|(is_unknown, _)| !is_unknown).map(|(_, fault)| fault).collect()
}

/// Why a property is refused, and whether that is its name.
fn refused(key: &str, value: &str) -> Option<(bool, PropertyFault)> {
    let mut alone = ClientConfig::new();
    alone.set(key, value);
    let (is_unknown, fix) = match alone.create_native_config().err()? {
        KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..) => {
            (true, "librdkafka knows no such property; check its spelling".to_owned())
        }
        KafkaError::ClientConfig(_, reason, ..) => (false, without_value(&reason, value)),
        _ => (false, without_value(value, value)),
    };
    Some((is_unknown, PropertyFault { key: key.to_owned(), fix }))
}

/// What librdkafka says of a value, without the value, which may be secret.
pub(super) fn without_value(reason: &str, value: &str) -> String {
    match reason.split_once("allowed range ") {
        Some((_, range)) => format!("write a number in {}", range.trim()),
        None if reason.contains(value) || reason.starts_with("Invalid value") => {
            "librdkafka does not take this value; see what its documentation allows".to_owned()
        }
        None => reason.trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_are_hosts_and_ports() {
        for list in [
            "localhost:9092",
            "kafka-1:9093,kafka_2.example.com:9093 , 10.0.0.1:1",
            "[::1]:9092",
            "SASL_SSL://kafka:9093",
        ] {
            assert!(is_broker_list(list), "{list}");
        }
        for list in [
            "",
            "localhost",
            "localhost:",
            ":9092",
            "localhost:0",
            "localhost:65536",
            "localhost:+1",
            "localhost:9092,",
            "local host:9092",
            "::1:9092",
            "[::1]",
            "[kafka]:9092",
            "a:b:9092",
            "user@host:9092",
            "kafka:9092/path",
            "kafka:9092;other:9092",
        ] {
            assert!(!is_broker_list(list), "{list}");
        }
    }

    #[test]
    fn every_property_that_librdkafka_refuses_is_named_and_no_value() {
        let properties: BTreeMap<String, String> = [
            ("session.timeout.ms", "4000"),
            ("sasl.password", "hidden"),
            ("fetch.wait.max.ms", "hidden"),
            ("no.such", "hidden"),
            ("security.protocol", "hidden"),
            ("socket.keepalive.enable", "hidden"),
            ("socket.timeout.ms", "1"),
            ("with\0zero", "hidden"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        let told = |faults: Vec<PropertyFault>| -> Vec<String> {
            faults.iter().map(ToString::to_string).collect()
        };
        let unknown = told(unknown_properties(&properties));
        assert_eq!(unknown, ["`no.such`: librdkafka knows no such property; check its spelling"]);
        let invalid = told(invalid_properties(&properties));
        let names = [
            "`fetch.wait.max.ms`",
            "`security.protocol`",
            "`socket.keepalive.enable`",
            "`socket.timeout.ms`: write a number in 10..300000",
            "`with\0zero`",
        ];
        assert_eq!(invalid.len(), names.len(), "{invalid:?}");
        for (line, name) in invalid.iter().zip(names) {
            assert!(line.starts_with(name) && !line.contains("hidden"), "{line}");
        }
    }
}
