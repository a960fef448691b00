//! What the file and the environment may say, and how every fault is told.

use super::*;
use crate::reference::ReferenceSet;

const MINIMAL: &str = r#"
    kafka.brokers = "localhost:9092"
    kafka.topics = [{ name = "parcel.events" }]
    store.url = "file:///var/lib/postroad"
"#;

fn parse(text: &str) -> Result<Config, Vec<Fault>> {
    Config::parse(text, std::iter::empty())
}

fn parse_with(text: &str, environment: &[(&str, &str)]) -> Result<Config, Vec<Fault>> {
    let environment = environment.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    Config::parse(text, environment)
}

#[track_caller]
fn valid(text: &str) -> Config {
    parse(text).unwrap_or_else(|faults| panic!("{faults:?}"))
}

/// The lines that an operator would read.
#[track_caller]
fn lines(config: Result<Config, Vec<Fault>>) -> Vec<String> {
    config.expect_err("a fault").iter().map(ToString::to_string).collect()
}

/// One more line in a sound file makes exactly one fault: this key, this value, this advice.
#[track_caller]
fn check(line: &str, key: &str, value: &str, remedy: &str) {
    let faults = parse(&format!("{MINIMAL}\n{line}")).expect_err(line);
    let [fault] = faults.as_slice() else { panic!("{line}: {faults:?}") };
    assert_eq!((&*fault.key, &*fault.value), (key, value), "{line}");
    assert!(fault.remedy.contains(remedy), "{line}: {}", fault.remedy);
}

/// A sound file with other topics.
fn with_topics(topics: &str) -> Result<Config, Vec<Fault>> {
    parse(&MINIMAL.replace(r#"[{ name = "parcel.events" }]"#, topics))
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn what_is_not_said_is_as_the_contract_says() {
    let config = valid(MINIMAL);
    assert_eq!(config.kafka.brokers, "localhost:9092");
    assert_eq!(config.kafka.group, "postroad");
    assert_eq!(config.kafka.properties, BTreeMap::new());
    assert!(!config.kafka.allow_compacted);
    let topic = TopicConfig {
        name: "parcel.events".to_owned(),
        contract: Contract::Parcel,
        start: Start::Earliest,
    };
    assert_eq!(config.kafka.topics, [topic]);
    assert_eq!(config.store.location, Location::Folder("/var/lib/postroad".into()));
    assert_eq!(config.checkpoint.interval, Duration::from_secs(5));
    assert_eq!(config.publish.interval, Duration::from_secs(5));
    assert_eq!(config.rules, Rules::with_defaults(&Codebook::liaoning()));
    let Rules { dedupe_window_h, late_after_h, final_after_h, value_bytes_max, .. } = config.rules;
    assert_eq!((dedupe_window_h, late_after_h, final_after_h), (24, 1, 72));
    assert_eq!(value_bytes_max, 1_048_576);
    assert_eq!((config.days.open_days, config.days.grace), (45, Span::hours(1)));
    assert!(!config.dead_letters.keep_payload);
    assert_eq!(config.dead_letters.retention_days, 90);
    assert_eq!(config.reference.set().version, ReferenceSet::liaoning().version);
    assert_eq!(config.indicators, IndicatorsConfig::default());
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:9464");
}

/// CONTRACT's example, but for the paths of the secret and of the reference data.
#[test]
fn the_contracts_example_is_read() {
    let folder = folder();
    let secret = folder.path().join("kafka_password");
    std::fs::write(&secret, "hidden\n").expect("a file");
    let prefectures = include_str!("../../../schemas/data/liaoning.csv");
    std::fs::write(folder.path().join("prefectures.csv"), prefectures).expect("a file");
    let config = valid(&format!(
        r#"
[kafka]
brokers = "localhost:9092"
group = "postroad"
# security.protocol, sasl.*, ssl.* and any other librdkafka property:
properties = {{ "security.protocol" = "SASL_SSL", "sasl.mechanism" = "SCRAM-SHA-512", "sasl.username" = "postroad" }}
secret_files = {{ "sasl.password" = "{secret}" }}

[[kafka.topics]]
name = "parcel.events"
contract = "parcel"            # or "finance"
format = "json"                # or "avro", "protobuf"
start = "earliest"             # where a new store begins: earliest | latest (partitions that appear later begin at earliest)

[store]
url = "file:///var/lib/postroad"   # or s3://bucket/prefix, gs://, az://

[checkpoint]
interval_ms = 5000

[rules]                        # a change takes effect from each shard's next checkpoint on
dedupe_window_h = 24
late_after_h = 1
final_after_h = 72
value_bytes_max = 1048576

[days]
open_days = 45                 # older days are sealed
grace_h = 1                    # before a day can be complete

[dead_letters]
keep_payload = false
retention_days = 90

[publish]
interval_ms = 5000

[reference]
dir = "{reference}"              # *.csv; absent: the built-in Liaoning set

[http]
listen = "127.0.0.1:9464"
"#,
        secret = secret.display(),
        reference = folder.path().display(),
    ));
    let properties = [
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("sasl.password", "hidden"),
        ("sasl.username", "postroad"),
        ("security.protocol", "SASL_SSL"),
    ];
    let properties = properties.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(config.kafka.properties, properties.into());
    // The example spells the defaults out.
    let defaults = valid(MINIMAL);
    assert_eq!(config.kafka.topics, defaults.kafka.topics);
    assert_eq!(config.rules, defaults.rules);
    assert_eq!(config.reference.set().codebook, defaults.reference.set().codebook);
    assert_eq!(config.checkpoint.interval, defaults.checkpoint.interval);
    assert_eq!(config.http.listen, defaults.http.listen);
}

#[test]
fn every_fault_is_told_at_once_with_key_value_and_remedy() {
    let faults = lines(parse(
        r#"
        colour = "green"
        [kafka]
        group = ""
        allow_compacted = "yes"
        properties = { "enable.auto.commit" = "true", "ssl.ca.location" = ["hidden"] }
        secret_files = { "sasl.password" = "/nowhere/at/all" }
        [[kafka.topics]]
        name = "parcel events"
        contract = "parcels"
        [[kafka.topics]]
        name = "orders"
        contract = "parcel"
        format = "avro"
        start = "now"
        [store]
        url = "s3://bucket/prefix"
        options = { aws_region = "hidden", region_of_aws = "hidden", timeout = "hidden" }
        secret_files = { aws_secret_access_key = "/nowhere/at/all", bucket = "/nowhere/at/all" }
        bucket = "hidden"
        [checkpoint]
        interval_ms = 0
        keep = 1
        [rules]
        dedupe_window_h = -1
        value_bytes_max = "1 MiB"
        [days]
        grace_h = 1.5
        [dead_letters]
        keep_payload = 1
        retention = 90
        [publish]
        interval_ms = 99999999999
        [http]
        listen = "localhost"
        "#,
    ));
    let expected = [
        "kafka.brokers: is missing; write host:port",
        "kafka.group = \"\": write a name",
        "kafka.allow_compacted = \"yes\": write true or false",
        "kafka.properties.ssl.ca.location: write a string",
        "kafka.properties.\"enable.auto.commit\": remove it",
        "kafka.secret_files.\"sasl.password\": the file cannot be read",
        "kafka.topics[0].name = \"parcel events\": write the name of a Kafka topic",
        "kafka.topics[0].contract = \"parcels\": write \"parcel\" or \"finance\"",
        "kafka.topics[1].format = \"avro\": write \"json\"",
        "kafka.topics[1].start = \"now\": write \"earliest\" or \"latest\"",
        "store.options.\"region_of_aws\": is not a known option of this kind of store",
        "store.options.\"timeout\": remove it: Postroad sets how long it waits",
        "store.secret_files.\"bucket\": remove it: store.url names the bucket",
        "store.secret_files.\"aws_secret_access_key\": the file cannot be read",
        "store.secret_files.\"bucket\": the file cannot be read",
        "store.bucket: is not a known key",
        "checkpoint.interval_ms = 0: write a whole number from 10 to 3600000",
        "checkpoint.keep = 1: write a whole number from 2",
        "publish.interval_ms = 99999999999: write a whole number from 10 to 86400000",
        "days.grace_h = 1.5: write a whole number from 0",
        "dead_letters.keep_payload = 1: write true or false",
        "dead_letters.retention: is not a known key",
        "http.listen = \"localhost\": write an address and port",
        "rules.dedupe_window_h = -1: write a whole number from 0 to 8760",
        "rules.value_bytes_max = \"1 MiB\": write a whole number from 1 to 1073741824",
        "colour: is not a known key",
    ];
    for (line, beginning) in faults.iter().zip(expected) {
        assert!(line.starts_with(beginning), "{line}\n  ought to begin with\n{beginning}");
        assert!(!line.contains('\n') && !line.contains("hidden"), "{line}");
    }
    assert_eq!(faults.len(), expected.len(), "{faults:#?}");
}

#[test]
fn an_unknown_key_is_named_with_its_section() {
    check("checkpoint.intervall_ms = 5", "checkpoint.intervall_ms", "", "not a known key");
    check("[checkpoints]\ninterval_ms = 5", "checkpoints", "", "not a known key");
    check("kafka.retries = 5", "kafka.retries", "", "not a known key");
    check("store.bogus = true", "store.bogus", "", "not a known key");
    for section in ["publish", "rules", "days", "dead_letters", "reference", "http"] {
        let key = format!("{section}.bogus");
        check(&format!("{key} = true"), &key, "", "not a known key");
    }
    let faults = lines(with_topics(r#"[{ name = "parcel.events", partitions = 3 }]"#));
    assert_eq!(faults.len(), 1);
    assert!(faults[0].starts_with("kafka.topics[0].partitions: is not a known key"));
}

#[test]
fn a_value_of_another_type_or_out_of_range_is_told() {
    check("checkpoint = 5", "checkpoint", "", "write a section [checkpoint]");
    check("checkpoint.interval_ms = 9", "checkpoint.interval_ms", "9", "from 10 to 3600000");
    check("checkpoint.interval_ms = 3600001", "checkpoint.interval_ms", "3600001", "from 10");
    check("checkpoint.keep = 0", "checkpoint.keep", "0", "from 2");
    check("publish.interval_ms = \"5000\"", "publish.interval_ms", "\"5000\"", "whole number");
    check("publish.interval_ms = 5000.0", "publish.interval_ms", "5000.0", "whole number");
    check("days.open_days = 0", "days.open_days", "0", "from 1");
    check("days.grace_h = -1", "days.grace_h", "-1", "from 0");
    check("rules.late_after_h = 87601", "rules.late_after_h", "87601", "to 87600");
    check("rules.final_after_h = true", "rules.final_after_h", "true", "whole number");
    check("rules.value_bytes_max = 0", "rules.value_bytes_max", "0", "from 1");
    check("dead_letters.retention_days = 0", "dead_letters.retention_days", "0", "from 1");
    check("http.listen = 9464", "http.listen", "9464", "address and port");
    check("http.listen = \"127.0.0.1\"", "http.listen", "\"127.0.0.1\"", "address and port");
    check("reference.dir = \"\"", "reference.dir", "\"\"", "the path of a folder");
}

#[test]
fn ranges_include_their_ends() {
    let ends = [
        "checkpoint.interval_ms = 10",
        "checkpoint.interval_ms = 3600000",
        "checkpoint.keep = 2",
        "days.grace_h = 0",
        "rules.dedupe_window_h = 0",
        "rules.late_after_h = 87600",
        "rules.value_bytes_max = 1",
        "rules.value_bytes_max = 1073741824",
    ];
    for line in ends {
        valid(&format!("{MINIMAL}\n{line}"));
    }
}

#[test]
fn what_no_user_may_change_is_refused_and_its_value_not_shown() {
    let refused = [
        "enable.auto.commit",
        "enable.auto.offset.store",
        "auto.offset.reset",
        "isolation.level",
        "check.crcs",
        "allow.auto.create.topics",
        "partition.assignment.strategy",
        "group.protocol",
        "bootstrap.servers",
        "group.id",
    ];
    for property in refused {
        let key = format!("kafka.properties.\"{property}\"");
        check(&format!("kafka.properties.\"{property}\" = \"hidden\""), &key, "", "");
        let faults =
            lines(parse(&format!("{MINIMAL}\nkafka.properties.\"{property}\" = \"hidden\"")));
        assert!(!faults[0].contains("hidden"), "{}", faults[0]);
    }
}

#[test]
fn topics_have_names_contracts_and_stand_once() {
    let good = [
        r#"[{ name = "a", contract = "parcel" }, { name = "b.c_d-9", contract = "finance" }]"#,
        r#"[{ name = "finance.transactions", start = "latest" }]"#,
    ];
    let topics = good.map(|topics| with_topics(topics).expect("sound").kafka.topics);
    assert_eq!(topics[0][1].contract, Contract::Finance);
    assert_eq!(topics[1][0].contract, Contract::Finance);
    assert_eq!(topics[1][0].start, Start::Latest);

    let faults = lines(with_topics(r#"[{ name = "orders" }]"#));
    assert_eq!(faults.len(), 1);
    assert!(faults[0].starts_with("kafka.topics[0].contract: is missing"), "{}", faults[0]);

    let twice = r#"[{ name = "parcel.events" }, { name = "parcel.events" }]"#;
    let faults = lines(with_topics(twice));
    assert_eq!(faults, [r#"kafka.topics[1].name = "parcel.events": stands twice; keep one"#]);

    for none in ["[]", "\"parcel.events\"", "[\"parcel.events\"]"] {
        let faults = lines(with_topics(none));
        assert!(faults.len() == 1 && faults[0].starts_with("kafka.topics"), "{faults:?}");
    }
    let long = "x".repeat(249);
    for name in ["", ".", "..", "a b", "a/b", "驿道", "a\u{0}", &format!("{long}x")] {
        assert!(!is_topic_name(name), "{name:?}");
        let topics = format!("[{{ name = {}, contract = \"parcel\" }}]", Value::from(name));
        let faults = lines(with_topics(&topics));
        assert!(faults[0].starts_with("kafka.topics[0].name = "), "{}", faults[0]);
    }
    assert!(is_topic_name(&long) && is_topic_name("..."));
}

#[test]
fn the_store_is_a_folder_with_an_absolute_path_or_a_bucket() {
    for url in ["", "/var/lib", "var", "file://host/var", "s3:///p", "http://a/b"] {
        let text = MINIMAL.replace("file:///var/lib/postroad", url);
        let faults = lines(parse(&text));
        assert!(faults.len() == 1 && faults[0].starts_with("store.url = "), "{url}: {faults:?}");
    }
    let spaced = MINIMAL.replace("lib/postroad", "my%20store");
    assert_eq!(valid(&spaced).store.location, Location::Folder("/var/my store".into()));
}

/// Whatever is wrong with them, what stands in an address for a user or as a query may be secret.
#[test]
fn credentials_in_the_stores_url_are_not_shown() {
    for url in ["s3://user:hidden@bucket/p", "az://container/p?sig=hidden"] {
        let faults = lines(parse(&MINIMAL.replace("file:///var/lib/postroad", url)));
        assert_eq!(faults.len(), 1);
        assert!(faults[0].starts_with("store.url: write file:///"), "{}", faults[0]);
        assert!(!faults[0].contains("hidden"), "{}", faults[0]);
    }
}

/// Whatever is written where a secret may stand: in place of a table, below it, or at a wrong place.
#[test]
fn no_message_shows_what_may_be_a_secret() {
    let text = MINIMAL.replace("file:///var/lib/postroad", "s3://bucket/prefix");
    let lines_with = |variables: &[(&str, &str)]| lines(parse_with(&text, variables));
    for (variable, begins) in [
        ("POSTROAD__KAFKA__PROPERTIES", "kafka.properties: write a section [kafka.properties]"),
        ("POSTROAD__KAFKA__SECRET_FILES", "kafka.secret_files: write a section"),
        ("POSTROAD__STORE__OPTIONS", "store.options: write a section [store.options]"),
        ("POSTROAD__STORE__SECRET_FILES", "store.secret_files: write a section"),
        (
            "POSTROAD__KAFKA__SECRET_FILES__SASL_PASSWORD",
            "kafka.secret_files.\"sasl.password\": the file",
        ),
        ("POSTROAD__STORE__SECRET_FILES__AWS_TOKEN", "store.secret_files.\"aws_token\": the file"),
        ("POSTROAD__KAFKA", "kafka: write a section [kafka]"),
        ("POSTROAD__NOPE", "nope: is not a known key"),
        ("POSTROAD__CHECKPOINT__NOPE", "checkpoint.nope: is not a known key"),
    ] {
        let faults = lines_with(&[(variable, "sasl.password=SECRETMARK")]);
        assert!(faults.iter().any(|line| line.starts_with(begins)), "{variable}: {faults:?}");
        assert!(!faults.concat().contains("SECRETMARK"), "{variable}: {faults:?}");
    }
}

#[test]
fn a_folder_has_no_options() {
    let remedy = "a folder has no options";
    check("store.options.aws_region = \"x\"", "store.options.\"aws_region\"", "", remedy);
}

/// The cloud's own variables count least, secrets most, whichever of its names an option has.
#[test]
fn a_buckets_options_come_from_variables_options_and_files() {
    let folder = folder();
    let secret = folder.path().join("key");
    std::fs::write(&secret, "from the file\n").expect("a file");
    let text = MINIMAL.replace("file:///var/lib/postroad", "s3://bucket/some/prefix/");
    let text = format!(
        r#"{text}
        store.options = {{ region = "from the options", allow_http = true, secret_access_key = "lost" }}
        store.secret_files = {{ aws_secret_access_key = "{}" }}"#,
        secret.display()
    );
    let environment = [
        ("AWS_REGION", "lost"),
        ("AWS_SECRET_ACCESS_KEY", "lost"),
        ("AWS_ACCESS_KEY_ID", "from the environment"),
        ("AWS_CONDITIONAL_PUT", "disabled"),
        ("AWS_BUCKET", "another"),
        ("AWS_PROFILE", "unknown"),
        ("GOOGLE_BASE_URL", "of another cloud"),
        ("POSTROAD__STORE__OPTIONS__AWS_ENDPOINT", "from an override"),
    ];
    let config = parse_with(&text, &environment).unwrap_or_else(|faults| panic!("{faults:?}"));
    let mut expected = Location::parse("s3://bucket/some/prefix").expect("a location");
    let options = [
        ("aws_access_key_id", "from the environment"),
        ("aws_allow_http", "true"),
        ("aws_endpoint", "from an override"),
        ("aws_region", "from the options"),
        ("aws_secret_access_key", "from the file"),
    ];
    expected.set_options(options.map(|(key, value)| (key.to_owned(), value.to_owned())));
    assert!(config.store.location == expected, "{:?} {expected:?}", config.store.location);
    assert_eq!(config.store.location.to_string(), "s3://bucket/some/prefix");
    assert!(!format!("{config:?}").contains("from the"), "values are not shown");
}

#[test]
fn the_environment_overrides_the_file() {
    let config = parse_with(
        MINIMAL,
        &[
            ("POSTROAD__KAFKA__BROKERS", "a:1,b:2"),
            ("POSTROAD__KAFKA__GROUP", "77"),
            ("POSTROAD__KAFKA__ALLOW_COMPACTED", "true"),
            ("POSTROAD__KAFKA__PROPERTIES__SASL_USERNAME", "42"),
            ("POSTROAD__KAFKA__PROPERTIES__SECURITY_PROTOCOL", "SASL_SSL"),
            ("POSTROAD__STORE__URL", "file:///elsewhere"),
            ("POSTROAD__CHECKPOINT__INTERVAL_MS", "250"),
            ("POSTROAD__DEAD_LETTERS__KEEP_PAYLOAD", "true"),
            ("POSTROAD__HTTP__LISTEN", "[::1]:80"),
            ("POSTROAD_REVISION", "not ours"),
            ("PATH", "/bin"),
        ],
    );
    let config = config.unwrap_or_else(|faults| panic!("{faults:?}"));
    assert_eq!((&*config.kafka.brokers, &*config.kafka.group), ("a:1,b:2", "77"));
    assert!(config.kafka.allow_compacted && config.dead_letters.keep_payload);
    let properties = [("sasl.username", "42"), ("security.protocol", "SASL_SSL")];
    let properties = properties.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(config.kafka.properties, properties.into());
    assert_eq!(config.store.location, Location::Folder("/elsewhere".into()));
    assert_eq!(config.checkpoint.interval, Duration::from_millis(250));
    assert_eq!(config.http.listen.to_string(), "[::1]:80");
}

#[test]
fn faults_of_the_environment_are_told_like_those_of_the_file() {
    let faults = lines(parse_with(
        MINIMAL,
        &[
            ("POSTROAD__CHECKPOINT__INTERVAL_MS", "soon"),
            ("POSTROAD__CHECKPOINT__INTERVAL", "5"),
            ("POSTROAD__KAFKA__PROPERTIES__GROUP_ID", "hidden"),
            ("POSTROAD__KAFKA__TOPICS__NAME", "other"),
            ("POSTROAD__FOO", "1"),
            ("POSTROAD__FOOS__BAR", "1"),
        ],
    ));
    let expected = [
        "POSTROAD__KAFKA__TOPICS__NAME: `topics` is no section",
        "kafka.properties.\"group.id\": use the setting for the group",
        "checkpoint.interval_ms = \"soon\": write a whole number",
        "checkpoint.interval: is not a known key",
        "foo: is not a known key",
        "foos: is not a known key",
    ];
    let variables = [
        "TOPICS__NAME",
        "GROUP_ID sets",
        "INTERVAL_MS sets",
        "INTERVAL sets",
        "__FOO sets",
        "__FOOS__BAR sets",
    ];
    assert_eq!(faults.len(), expected.len(), "{faults:?}");
    for ((line, beginning), variable) in faults.iter().zip(expected).zip(variables) {
        assert!(line.starts_with(beginning), "{line}\n  ought to begin with\n{beginning}");
        assert!(line.contains(variable) && line.matches("POSTROAD__").count() == 1, "{line}");
        assert!(!line.contains("hidden"), "{line}");
    }
}

#[test]
fn brokers_are_looked_at_before_anybody_asks_them() {
    let of = |brokers: &str| lines(parse(&MINIMAL.replace("localhost:9092", brokers)));
    let expected = "write host:port, or several separated by commas";
    assert_eq!(of("kafka-1"), [format!("kafka.brokers = \"kafka-1\": {expected}")]);
    assert_eq!(of("user:hidden@kafka:9092"), [format!("kafka.brokers: {expected}")]);
}

/// librdkafka would tell of the first only, once it makes a client.
#[test]
fn all_properties_that_librdkafka_refuses_are_told_at_once() {
    let folder = folder();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "hidden").expect("a file");
    let text = format!(
        "{MINIMAL}\n[kafka.properties]\n\"no.such\" = \"hidden\"\n\"security.protocol\" = \"hidden\"\n\
         \"check.crcs\" = \"hidden\"\n[kafka.secret_files]\n\"sasl.pasword\" = {secret:?}\n\
         \"fetch.min.bytes\" = {secret:?}\n\"sasl.password\" = {secret:?}\n"
    );
    let mut faults = lines(parse(
        &text
            .replace("kafka.brokers", "[kafka]\nbrokers")
            .replace("kafka.topics", "topics")
            .replace("store.url", "[store]\nurl"),
    ));
    faults.sort();
    let expected = [
        "kafka.properties.\"check.crcs\": remove it",
        "kafka.properties.\"fetch.min.bytes\": ",
        "kafka.properties.\"no.such\": librdkafka knows no such property",
        "kafka.properties.\"security.protocol\": librdkafka does not take this value",
        "kafka.secret_files.\"sasl.pasword\": librdkafka knows no such property",
    ];
    assert_eq!(faults.len(), expected.len(), "{faults:?}");
    for (line, beginning) in faults.iter().zip(expected) {
        assert!(line.starts_with(beginning) && !line.contains("hidden"), "{line}");
    }
}

#[test]
fn a_secret_is_the_files_text_without_its_line_break() {
    let folder = folder();
    for (text, secret) in [("hidden", "hidden"), ("hidden\n", "hidden"), (" a b \r\n", " a b ")] {
        let path = folder.path().join("secret");
        std::fs::write(&path, text).expect("a file");
        let variable = ("POSTROAD__KAFKA__SECRET_FILES__SASL_PASSWORD", path.to_str());
        let config = parse_with(MINIMAL, &[(variable.0, variable.1.expect("UTF-8"))]);
        let properties = config.expect("sound").kafka.properties;
        assert_eq!(properties.get("sasl.password").map(String::as_str), Some(secret));
    }
    let absent = folder.path().join("absent");
    check(
        &format!("kafka.secret_files.\"sasl.password\" = {:?}", absent.display().to_string()),
        "kafka.secret_files.\"sasl.password\"",
        "",
        "cannot be read",
    );
}

#[test]
fn reference_data_are_read_whole_or_their_faults_told() {
    let folder = folder();
    let dir = format!("reference.dir = {:?}", folder.path().display().to_string());
    let path = folder.path().display().to_string();
    check(&dir, "reference.dir", &format!("{path:?}"), "holds no file of the reference data");
    let all = include_str!("../../../schemas/data/liaoning.csv");
    let two: Vec<&str> = all.lines().take(3).collect();
    let prefectures = folder.path().join("prefectures.csv");
    std::fs::write(&prefectures, two.join("\n")).expect("a file");
    let config = valid(&format!("{MINIMAL}\n{dir}"));
    assert_eq!(config.reference.set().codebook.prefectures().len(), 2);
    assert_eq!(config.rules.prefectures.len(), 2, "the rules know the codes of the codebook");
    std::fs::write(&prefectures, format!("{}\n{}\n", two.join("\n"), two[1])).expect("a file");
    let faults = lines(parse(&format!("{MINIMAL}\n{dir}")));
    assert!(faults[0].contains("prefectures.csv:4:"), "{faults:?}");
}

/// A faulty folder is the only fault that need not be the end, and then records are judged by what stands in.
#[test]
fn another_set_can_stand_in_for_a_faulty_folder_and_for_nothing_else() {
    let folder = folder();
    let dir = format!("reference.dir = {:?}", folder.path().display().to_string());
    std::fs::write(folder.path().join("benchmarks.csv"), "versus\n").expect("a file");
    let text = format!("{MINIMAL}\n{dir}");
    let any = |text: &str| Config::parse_any(text, std::iter::empty());
    let Ok(Loaded::WithoutReference(without)) = any(&text) else { panic!("it lacks no more") };
    assert_eq!(without.faults(), parse(&text).expect_err("a fault"));
    let all = include_str!("../../../schemas/data/liaoning.csv");
    let two = all.lines().take(3).collect::<Vec<_>>().join("\n");
    let set = ReferenceSet::from_files([("prefectures.csv".to_owned(), two)].into());
    let config = without.with(set.expect("sound"));
    assert_eq!(config.rules.prefectures.len(), 2);
    assert_eq!(config.reference.set().codebook.prefectures().len(), 2);
    assert!(config.reference.stands_in() && config.reference.has_folder());
    let faults = any(&format!("{text}\ndays.grace_h = -1")).expect_err("another fault");
    assert!(faults.len() > 1 && faults[0].key == "days.grace_h", "{faults:?}");
}

#[test]
fn a_file_that_is_absent_or_no_toml_is_one_fault() {
    let missing = folder().path().join("postroad.toml");
    let faults = lines(Config::load(&missing, std::iter::empty()));
    assert!(faults.len() == 1 && faults[0].contains("cannot be read"), "{faults:?}");
    assert!(faults[0].contains("postroad.toml"));
    let faults = lines(parse("[kafka\nbrokers = 1"));
    assert!(faults.len() == 1 && faults[0].starts_with("the file is not TOML"), "{faults:?}");
}

#[test]
fn a_products_file_that_cannot_be_read_is_told_and_not_replaced() {
    let dir = tempfile::tempdir().expect("a folder");
    let header = "code,name,name_zh,province_code,province,province_zh,valid_from,valid_to";
    let row = "210100,Shenyang,沈阳市,210000,Liaoning,辽宁省,,";
    std::fs::write(dir.path().join("prefectures.csv"), format!("{header}\n{row}\n"))
        .expect("a file");
    assert!(ReferenceSet::load(dir.path()).is_ok(), "without it the built-in names hold");
    std::fs::create_dir(dir.path().join("products.csv")).expect("a folder in its place");
    let faults = ReferenceSet::load(dir.path()).expect_err("a fault");
    assert!(faults[0].to_string().contains("products.csv cannot be read"), "{faults:?}");
}
