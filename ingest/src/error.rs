//! What to do about an error, and what a command that failed says and returns.

use std::cell::Cell;
use std::fmt;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What whoever meets an error should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The surroundings failed; the same again may succeed.
    Retry,
    /// Somebody else owns the shard now; drop it.
    Fenced,
    /// Data are not what they should be; an operator has to look.
    Data,
    /// The configuration, or where it points, is wrong.
    Config,
    /// This program is wrong.
    Bug,
}

/// Exit codes, as in BSD's `sysexits.h`, and one for `verify`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything could be read, and something is not as it ought to be.
    Difference = 1,
    /// The command line was used incorrectly.
    Usage = 64,
    /// The input data were incorrect.
    DataErr = 65,
    /// An input file does not exist or cannot be read.
    NoInput = 66,
    /// A service is unavailable.
    Unavailable = 69,
    /// An internal error.
    Software = 70,
    /// An output cannot be created.
    CantCreate = 73,
    /// An input or output operation failed.
    IoErr = 74,
    /// A failure that may pass.
    TempFail = 75,
    /// Something is configured wrongly.
    Config = 78,
}

impl Exit {
    /// The exit code that fits an error which ends a command.
    pub fn of(kind: Kind) -> Self {
        match kind {
            Kind::Retry => Self::TempFail,
            Kind::Fenced => Self::Unavailable,
            Kind::Data => Self::DataErr,
            Kind::Config => Self::Config,
            Kind::Bug => Self::Software,
        }
    }
}

/// Why a command ended: one line for people, one code for scripts.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What happened, where, and what to do.
    pub message: String,
}

impl Failure {
    /// A failure with a message.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// A failure that an error caused; its chain of sources becomes one line.
    pub fn from_error(exit: Exit, error: &dyn std::error::Error) -> Self {
        Self { exit, message: chain(error) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// An error and its sources, as one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        source = cause.source();
    }
    without_xml(&line).replace('\n', " ")
}

/// Tells whoever typed the command, on standard error. Where that cannot be written nobody is told:
/// `eprintln!` would end the process.
pub fn complain(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "postroad: {line}");
}

/// Writes to standard output. Whoever closes it early has read enough.
///
/// # Errors
/// Where it cannot be written, as on a full disk; `println!` would end the process.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            let message =
                format!("standard output cannot be written: {error}; what it goes to may be full");
            Err(Failure::new(Exit::IoErr, message))
        }
        _ => Ok(()),
    }
}

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Lets a library loose on bytes that may be anything: a panic of it is `None`. Every other panic ends
/// the process.
pub fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    GUARDED.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(false);
    outcome.ok()
}

/// Whether this thread is inside [`guarded`].
pub fn is_guarded() -> bool {
    GUARDED.get()
}

/// Object stores answer in XML that repeats the request, key ids and signature included. Its code
/// says enough.
fn without_xml(line: &str) -> String {
    let Some(start) = line.find("<?xml").or_else(|| line.find("<Error>")) else {
        return line.to_owned();
    };
    let (before, answer) = line.split_at(start);
    let code = answer.split_once("<Code>").and_then(|(_, after)| after.split_once("</Code>"));
    let end = answer.rfind('>').map_or(0, |at| at + 1);
    format!("{before}{}{}", code.map_or("", |(code, _)| code), &answer[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("PUT k: 403 Forbidden: {0}, at last")]
    struct Refused(&'static str);

    #[test]
    fn a_guarded_panic_is_an_answer() {
        assert_eq!(guarded(|| 7), Some(7));
        assert_eq!(
            guarded(|| -> u8 { unreachable!("a decoder met what it never expected") }),
            None
        );
        assert!(!is_guarded());
    }

    #[test]
    fn of_an_object_stores_answer_only_the_code_is_shown() {
        let answer = "<?xml version=\"1.0\"?>\n<Error><Code>SignatureDoesNotMatch</Code>\
                      <AWSAccessKeyId>hidden</AWSAccessKeyId></Error>";
        let told = chain(&Refused(answer));
        assert_eq!(told, "PUT k: 403 Forbidden: SignatureDoesNotMatch, at last");
        assert_eq!(chain(&Refused("a <b")), "PUT k: 403 Forbidden: a <b, at last");
    }
}
