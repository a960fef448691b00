//! What happened in a world: how many steps, their hash, the first fault, and on request every line.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// The journal of one world. Clones write the same one.
#[derive(Clone)]
pub(super) struct Journal {
    book: Arc<Mutex<Book>>,
    began: Instant,
}

struct Book {
    steps: u64,
    hash: DefaultHasher,
    /// Kept only if somebody wants to read them.
    lines: Option<Vec<String>>,
    violation: Option<String>,
    counts: BTreeMap<&'static str, u64>,
    line: String,
}

/// A finished journal.
pub(super) struct Finished {
    pub(super) steps: u64,
    pub(super) hash: u64,
    pub(super) lines: Vec<String>,
    pub(super) counts: BTreeMap<&'static str, u64>,
}

impl Journal {
    pub(super) fn new(keep_lines: bool) -> Self {
        let book = Book {
            steps: 0,
            hash: DefaultHasher::new(),
            lines: keep_lines.then(Vec::new),
            violation: None,
            counts: BTreeMap::new(),
            line: String::new(),
        };
        Self { book: Arc::new(Mutex::new(book)), began: Instant::now() }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One step of the simulation: an effect, an answer or a delivery.
    pub(super) fn step(&self, what: fmt::Arguments<'_>) {
        self.book().steps += 1;
        self.note(what);
    }

    /// Something that is worth a line and no step.
    pub(super) fn note(&self, what: fmt::Arguments<'_>) {
        let millis = self.began.elapsed().as_millis();
        let mut book = self.book();
        let book = &mut *book;
        book.line.clear();
        let _ = write!(book.line, "{:>7}.{:03} {what}", millis / 1000, millis % 1000);
        book.hash.write(book.line.as_bytes());
        if let Some(lines) = &mut book.lines {
            lines.push(book.line.clone());
        }
    }

    /// One more of something.
    pub(super) fn count(&self, what: &'static str) {
        *self.book().counts.entry(what).or_default() += 1;
    }

    /// A promise was broken. The first one counts: what follows may follow from it.
    pub(super) fn violated(&self, what: &str) {
        self.note(format_args!("VIOLATION {what}"));
        self.book().violation.get_or_insert_with(|| what.to_owned());
    }

    pub(super) fn violation(&self) -> Option<String> {
        self.book().violation.clone()
    }

    pub(super) fn finish(&self) -> Finished {
        let mut book = self.book();
        let lines = book.lines.take().unwrap_or_default();
        let counts = std::mem::take(&mut book.counts);
        Finished { steps: book.steps, hash: book.hash.finish(), lines, counts }
    }
}
