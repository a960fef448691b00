//! A real S3 server for the suites: versitygw on 127.0.0.1, over a folder that goes away with it.
//!
//! The binary is built by `tests/s3/install.sh`; Go must be present the first time. Everything
//! panics on failure, since a suite can do nothing else about a server that does not work.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use futures::TryStreamExt;
use object_store::{Error, ObjectStore, ObjectStoreExt};
use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509Name};
use postroad_ingest::store::Store;
use postroad_ingest::store::open::Location;
use tempfile::TempDir;

use crate::process::{Process, free_port};
use crate::wait::wait_until;

/// How long the server may take to come up.
const START: Duration = Duration::from_secs(30);

/// The bucket whose requests have to be signed.
const BUCKET: &str = "signed";
/// A bucket that anybody may write to, for proxies that change what was signed.
const OPEN_BUCKET: &str = "open";
const OPEN_POLICY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*",
    "Action":"s3:*","Resource":["arn:aws:s3:::open","arn:aws:s3:::open/*"]}]}"#;

const KEY_ID: &str = "postroad-tests";
const SECRET: &str = "correct horse battery staple";

/// A running server. Drop ends it and removes its objects.
pub struct Server {
    // In this order: the process ends before its folder goes.
    _process: Process,
    endpoint: String,
    dir: TempDir,
}

/// A certificate and its key, both PEM files.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Certificate {
    /// Makes a certificate of 127.0.0.1 that vouches for itself.
    ///
    /// # Panics
    /// When the folder cannot be written.
    pub fn self_signed(folder: &Path) -> Self {
        let (certificate, key) = make_certificate().expect("OpenSSL makes certificates");
        let files = Self { certificate: folder.join("cert.pem"), key: folder.join("key.pem") };
        fs::write(&files.certificate, certificate).expect("the folder is writable");
        fs::write(&files.key, key).expect("the folder is writable");
        files
    }
}

/// Where a store lies on a server, and how it is reached.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its URL.
    pub url: String,
    endpoint: String,
    is_open: bool,
    secret_file: PathBuf,
}

impl Server {
    /// Starts a server and waits until it serves.
    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// Starts a server that speaks TLS, if there is a certificate, and waits until it serves.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start_with(certificate: Option<&Certificate>) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("postroad-s3-")
            .tempdir()
            .expect("the temporary directory is writable");
        // Metadata beside the objects, because not every file system has extended attributes.
        let (objects, metadata) = (dir.path().join("objects"), dir.path().join("metadata"));
        for bucket in [BUCKET, OPEN_BUCKET] {
            fs::create_dir_all(objects.join(bucket)).expect("the folder is writable");
            fs::create_dir_all(metadata.join(bucket).join("meta")).expect("the folder is writable");
        }
        let policy = metadata.join(OPEN_BUCKET).join("meta/policy");
        fs::write(policy, OPEN_POLICY).expect("the folder is writable");
        fs::write(dir.path().join("secret"), SECRET).expect("the folder is writable");

        let port = free_port();
        let mut command = Command::new(binary());
        command.env("ROOT_ACCESS_KEY", KEY_ID).env("ROOT_SECRET_KEY", SECRET);
        command.args(["--quiet", "--port"]).arg(format!("127.0.0.1:{port}"));
        if let Some(Certificate { certificate, key }) = certificate {
            command.arg("--cert").arg(certificate).arg("--key").arg(key);
        }
        command.args(["posix", "--sidecar"]).arg(metadata).arg(objects);
        let mut process = Process::spawn(&mut command, &dir.path().join("log"), Some(dir.path()));
        wait_until(START, "the S3 server accepts connections", || {
            assert!(process.exited().is_none(), "the S3 server has ended");
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        let scheme = if certificate.is_some() { "https" } else { "http" };
        let endpoint = format!("{scheme}://127.0.0.1:{port}");
        Self { _process: process, endpoint, dir }
    }

    /// `host:port`.
    ///
    /// # Panics
    /// Never.
    pub fn address(&self) -> &str {
        self.endpoint.split("://").nth(1).expect("it was made with a scheme")
    }

    /// The folder in which the server keeps the objects under a prefix of signed places.
    pub fn folder(&self, prefix: &str) -> PathBuf {
        self.dir.path().join("objects").join(BUCKET).join(prefix)
    }

    /// A place under `prefix` whose requests are signed, and refused where they were changed on
    /// their way.
    pub fn place(&self, prefix: &str) -> Place {
        self.place_in(BUCKET, prefix)
    }

    /// A place under `prefix` whose requests are not signed.
    pub fn open_place(&self, prefix: &str) -> Place {
        self.place_in(OPEN_BUCKET, prefix)
    }

    fn place_in(&self, bucket: &str, prefix: &str) -> Place {
        Place {
            url: format!("s3://{bucket}/{prefix}"),
            endpoint: self.endpoint.clone(),
            is_open: bucket == OPEN_BUCKET,
            secret_file: self.dir.path().join("secret"),
        }
    }
}

impl Place {
    /// The same place, reached through what listens at `address`.
    pub fn through(&self, address: &str) -> Self {
        Self { endpoint: format!("http://{address}"), ..self.clone() }
    }

    /// The keys of `[store]` in a configuration.
    pub fn settings(&self) -> String {
        let Self { url, endpoint, secret_file, .. } = self;
        let secret_file = secret_file.display();
        let more = if self.is_open {
            "aws_skip_signature = true }".to_owned()
        } else {
            let secret = format!("secret_files = {{ aws_secret_access_key = \"{secret_file}\" }}");
            format!("aws_access_key_id = \"{KEY_ID}\" }}\n{secret}")
        };
        format!(
            "url = \"{url}\"\noptions = {{ aws_endpoint = \"{endpoint}\", allow_http = true, {more}\n"
        )
    }

    /// The cloud's own variables, for whoever has no configuration.
    pub fn variables(&self) -> [(&'static str, &str); 4] {
        [
            ("AWS_ACCESS_KEY_ID", KEY_ID),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_ENDPOINT", &self.endpoint),
            ("AWS_ALLOW_HTTP", "true"),
        ]
    }

    /// The store, by the product's own client.
    ///
    /// # Panics
    /// Never, if the product works.
    pub fn open(&self) -> Store {
        let mut location = Location::parse(&self.url).expect("its URL is one of a bucket");
        let variables = self.variables().map(|(key, value)| (key.to_owned(), value.to_owned()));
        location.set_variables(variables);
        Store::open(&location).expect("the client can be made")
    }

    /// Copies every object under the prefix `below` into a folder, by its key.
    ///
    /// # Panics
    /// When the server fails, or the folder cannot be written.
    pub async fn download(&self, below: &str, folder: &Path) {
        let store = self.open();
        let prefix = object_store::path::Path::from(below);
        let listing = store.objects().list(Some(&prefix));
        let listed: Vec<_> = listing.try_collect().await.expect("a listing");
        for object in listed {
            let content = match store.objects().get(&object.location).await {
                Ok(found) => found.bytes().await,
                Err(error) => Err(error),
            };
            let content = match content {
                Ok(content) => content,
                // Somebody who publishes has deleted it since.
                Err(Error::NotFound { .. }) => continue,
                Err(error) => panic!("{} cannot be read: {error}", object.location),
            };
            let path = folder.join(object.location.as_ref());
            let parent = path.parent().expect("it lies in the folder");
            fs::create_dir_all(parent).expect("the folder is writable");
            fs::write(&path, content).expect("the folder is writable");
        }
    }
}

fn make_certificate() -> Result<(Vec<u8>, Vec<u8>), ErrorStack> {
    let key =
        PKey::from_ec_key(EcKey::generate(&*EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?)?)?;
    let mut name = X509Name::builder()?;
    name.append_entry_by_text("CN", "127.0.0.1")?;
    let name = name.build();
    let mut certificate = X509::builder()?;
    certificate.set_version(2)?;
    certificate.set_subject_name(&name)?;
    certificate.set_issuer_name(&name)?;
    certificate.set_pubkey(&key)?;
    certificate.set_not_before(&*Asn1Time::days_from_now(0)?)?;
    certificate.set_not_after(&*Asn1Time::days_from_now(1)?)?;
    let context = certificate.x509v3_context(None, None);
    let address = SubjectAlternativeName::new().ip("127.0.0.1").build(&context)?;
    certificate.append_extension(address)?;
    certificate.append_extension(BasicConstraints::new().critical().ca().build()?)?;
    certificate.sign(&key, MessageDigest::sha256())?;
    Ok((certificate.build().to_pem()?, key.private_key_to_pem_pkcs8()?))
}

/// The server's binary, built by the script when it is asked for first.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("s3/install.sh");
        let output = Command::new("sh")
            .arg(&script)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .expect("a POSIX shell is present");
        assert!(output.status.success(), "{} failed; its messages are on stderr", script.display());
        PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end())
    })
}
