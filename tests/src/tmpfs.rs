//! A small file system of its own for a store: one that can be full, or read-only.
//!
//! Mounting needs root. Where a suite does not have it, the test that needs one runs again as root of
//! a user namespace ([`as_root`]).

use std::env;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::wait::wait_until;

/// Tells a test that it runs in a namespace already.
const INSIDE: &str = "POSTROAD_TEST_NAMESPACE";

/// How long the file system may be in use by others before it is remounted.
const BUSY: Duration = Duration::from_secs(30);

/// Unmounts when the owner of its stdin dies without a word.
const LEASH: &str = r#"trap '' INT TERM HUP
read -r line && exit
umount --lazy "$0""#;

/// Runs a test's body where it may mount: here, or in this test run again, alone, in a user namespace.
///
/// # Panics
/// When the body does, or when neither is possible: a suite that leaves something out must say so.
pub fn as_root(test: &str, body: impl FnOnce()) {
    let dir = tempfile::tempdir().expect("the temporary directory is writable");
    if mount(dir.path(), 64).is_ok() {
        unmount(dir.path());
        return body();
    }
    assert!(env::var_os(INSIDE).is_none(), "{test}: a user namespace does not let it mount");
    let exe = env::current_exe().expect("the path of a running test is known");
    let status = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount"])
        .arg(exe)
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .expect("unshare of util-linux is present");
    assert!(status.success(), "{test} needs root or user namespaces, and failed in one: {status}");
}

/// A mounted file system in memory; Drop unmounts it, and so does its leash when the test is killed.
#[derive(Debug)]
pub struct Tmpfs {
    dir: PathBuf,
    leash: Child,
}

impl Tmpfs {
    /// Mounts `kib` KiB on a folder.
    ///
    /// # Panics
    /// Outside of [`as_root`].
    pub fn mount(dir: &Path, kib: u32) -> Self {
        fs::create_dir_all(dir).expect("the test's directory is writable");
        mount(dir, kib).expect("it runs as root");
        let leash = Command::new("sh")
            .args(["-c", LEASH])
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a POSIX shell is present");
        Self { dir: dir.to_owned(), leash }
    }

    /// Makes it read-only, or writable again.
    ///
    /// # Panics
    /// When somebody keeps a file open for writing.
    pub fn set_read_only(&self, read_only: bool) {
        let option = if read_only { "remount,ro" } else { "remount,rw" };
        wait_until(BUSY, "the file system is remounted", || {
            let mut command = Command::new("mount");
            command.args(["-o", option]).arg(&self.dir).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        });
    }

    /// Fills it to the last byte with one file, whose removal makes room again.
    ///
    /// # Panics
    /// When it fails for another reason than that it is full.
    pub fn fill(&self) -> PathBuf {
        let path = self.dir.join("filler");
        let mut file = File::create(&path).expect("the file system is writable");
        for size in [4096, 1] {
            loop {
                match file.write_all(&vec![0; size]) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                    Err(error) => panic!("cannot fill the file system: {error}"),
                }
            }
        }
        path
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        unmount(&self.dir);
        if let Some(mut stdin) = self.leash.stdin.take() {
            // A leash that is gone already needs no word.
            let _ = stdin.write_all(b"done\n");
        }
        let _ = self.leash.wait();
    }
}

fn mount(dir: &Path, kib: u32) -> io::Result<()> {
    let status = Command::new("mount")
        .args(["-t", "tmpfs", "-o", &format!("size={kib}k"), "tmpfs"])
        .arg(dir)
        .stderr(Stdio::null())
        .status()?;
    if status.success() { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

fn unmount(dir: &Path) {
    // What still reads there keeps it until it ends.
    let _ = Command::new("umount").arg("--lazy").arg(dir).status();
}
