//! What a URL says, which options a bucket has, and what a client that cannot be made tells.

use std::path::Path as FsPath;

use super::*;

fn bucket(url: &str, options: &[(&str, &str)]) -> Location {
    let mut location = Location::parse(url).expect("a location");
    for (key, value) in options {
        assert_eq!(location.refuse_option(key), None, "{key}");
        location.set_options([((*key).to_owned(), (*value).to_owned())]);
    }
    location
}

#[test]
fn a_url_names_a_folder_or_a_bucket_and_a_prefix() {
    let shown = |url: &str| Location::parse(url).map(|location| location.to_string());
    assert_eq!(shown("file:///var/my%20store").as_deref(), Some("/var/my store"));
    for url in ["s3://bucket", "s3://a_b.c/p", "gs://bucket/a/b", "az://container/p"] {
        assert_eq!(shown(url).as_deref(), Some(url));
    }
    assert_eq!(shown("s3://bucket/").as_deref(), Some("s3://bucket"));
    assert_eq!(shown("s3://bucket/a%20b/").as_deref(), Some("s3://bucket/a b"));
    let refused = [
        "",
        "folder",
        "file://host/a",
        "s3:bucket",
        "s3://",
        "s3:///p",
        "s3://b/a//b",
        "s3a://b",
        "https://b.s3.amazonaws.com/p",
        "s3://u@b/p",
        "s3://u:p@b/p",
        "s3://b:9000/p",
        "s3://b/p?q",
        "s3://b/p#f",
    ];
    for url in refused {
        assert_eq!(Location::parse(url), None, "{url}");
    }
}

#[test]
fn an_argument_is_a_folder_unless_it_is_a_url() {
    let folder = |text: &str| Some(Location::Folder(FsPath::new(text).to_owned()));
    assert_eq!(Location::of_argument("./store"), folder("./store"));
    assert_eq!(Location::of_argument("file:///store"), folder("/store"));
    assert_eq!(Location::of_argument("s3://b/p"), Location::parse("s3://b/p"));
    assert_eq!(Location::of_argument("http://b/p"), None);
}

#[test]
fn options_are_of_their_cloud() {
    let cases = [
        ("s3://b", ["aws_endpoint", "endpoint", "allow_http"], "azure_storage_account_name"),
        ("gs://b", ["google_service_account", "google_base_url", "allow_http"], "aws_region"),
        ("az://b", ["azure_storage_account_name", "use_emulator", "proxy_url"], "aws_region"),
    ];
    for (url, known, foreign) in cases {
        let location = Location::parse(url).expect("a location");
        for key in known {
            assert_eq!(location.refuse_option(key), None, "{url} {key}");
        }
        assert!(location.refuse_option(foreign).is_some(), "{url} {foreign}");
        for key in ["timeout", "connect_timeout", "read_timeout", "bucket_name", "container_name"] {
            assert!(location.refuse_option(key).is_some(), "{url} {key}");
        }
    }
    let aws = Location::parse("s3://b").expect("a location");
    assert!(aws.refuse_option("conditional_put").expect("refused").contains("conditional puts"));
}

/// A backfill into one bucket may take the options of the configuration's.
#[test]
fn options_go_over_to_a_place_of_the_same_kind() {
    let configured = bucket("s3://one/p", &[("aws_region", "r")]);
    let mut other = Location::parse("s3://two").expect("a location");
    other.set_options_of(&configured);
    assert_eq!(other, bucket("s3://two", &[("region", "r")]));
    let mut foreign = Location::parse("gs://two").expect("a location");
    foreign.set_options_of(&configured);
    assert_eq!(foreign, bucket("gs://two", &[]));
}

#[test]
fn every_kind_of_bucket_can_be_opened() {
    let azure = [("azure_storage_account_name", "account"), ("azure_storage_account_key", "a2V5")];
    let locations = [
        bucket("s3://b/p", &[("aws_endpoint", "http://127.0.0.1:9"), ("allow_http", "true")]),
        bucket("gs://b/p", &[("google_skip_signature", "true")]),
        bucket("az://b/p", &azure),
    ];
    for location in locations {
        let store = Store::open(&location).expect("a store");
        assert_eq!(store.name(), location.to_string());
    }
}

#[test]
fn a_client_that_cannot_be_made_says_why_and_shows_no_value() {
    let cases = [
        ("s3://b", ("allow_http", "hidden"), "<allow_http>"),
        ("gs://b", ("google_service_account_key", "\"hidden\""), "invalid type"),
        ("gs://b", ("google_service_account", "/nowhere/hidden"), "<google_service_account>"),
        ("az://b", ("azure_storage_sas_key", "hidden"), "Account must be specified"),
    ];
    for (url, option, reason) in cases {
        let error = Store::open(&bucket(url, &[option])).expect_err(url);
        assert_eq!(error.kind(), crate::error::Kind::Config);
        let told = chain(&error);
        assert!(told.contains(url) && told.contains(reason), "{told}");
        assert!(!told.contains("hidden"), "{told}");
    }
}
