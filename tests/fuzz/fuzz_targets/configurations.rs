//! The configuration and its overrides: nothing panics, and a fault never shows a secret.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postroad_ingest::config::Config;

/// What stands where a password would.
const SECRET: &str = "hunter2-hunter2";

fuzz_target!(|input: (String, Vec<(String, String)>)| {
    let (text, environment) = input;
    let environment = environment.into_iter().map(|(key, value)| (format!("POSTROAD__{key}"), value));
    let _ = Config::parse(&text, environment);
    let text = format!(
        "{text}\n[kafka.properties]\n\"sasl.password\" = \"{SECRET}\"\n\"check.crcs\" = \"{SECRET}\"\n"
    );
    if let Err(faults) = Config::parse(&text, std::iter::empty()) {
        assert!(faults.iter().all(|fault| !fault.to_string().contains(SECRET)));
    }
});
