//! A report for a terminal: at most [`WIDTH`] columns, of which a Chinese character takes two.

use postroad_aggregate::indicators::Light;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::document::{Block, Cell, Document, Table};

/// How wide a report is at most.
pub const WIDTH: usize = 110;
/// Between two columns.
const BETWEEN: usize = 2;
/// What a last column is given at least before the table is cut into several.
const LAST_MIN: usize = 16;

/// Writes a report down, lights in colour where that is wanted.
pub fn render(document: &Document, colour: bool) -> String {
    let mut page = Page { text: String::new(), colour };
    page.line(&document.title);
    page.line(&"=".repeat(document.title.width().min(WIDTH)));
    for section in &document.sections {
        page.line("");
        page.line(&section.title);
        page.line(&"-".repeat(section.title.width().min(WIDTH)));
        for part in &section.parts {
            page.line("");
            page.line(part.title);
            page.line("");
            match &part.block {
                Block::List(items) => items.iter().for_each(|item| page.item(item)),
                Block::Table(table) => page.table(table),
            }
            if let Some(note) = part.note {
                page.line("");
                page.item(&note.into());
            }
        }
    }
    page.line("");
    page.line(document.notes_title);
    page.line("");
    document.notes.iter().for_each(|note| page.item(&Cell::from(note.as_str())));
    page.text
}

struct Page {
    text: String,
    colour: bool,
}

impl Page {
    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    fn item(&mut self, item: &Cell) {
        for (index, line) in wrapped(&item.text, WIDTH - 4).iter().enumerate() {
            let begin = if index == 0 { "  - " } else { "    " };
            let line = self.lit(line, item.light);
            self.line(&[begin, &line].concat());
        }
    }

    /// A text in the colour of its light.
    fn lit(&self, text: &str, light: Option<Light>) -> String {
        let code = match light {
            Some(Light::Green) => "32",
            Some(Light::Yellow) => "33",
            Some(Light::Red) => "31",
            Some(Light::Unknown) => "2",
            None => return text.to_owned(),
        };
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// A table that is too wide is cut between its columns, and each part begins with the keys.
    fn table(&mut self, table: &Table) {
        let widths: Vec<usize> = (0..table.columns.len()).map(|at| width(table, at)).collect();
        for (number, columns) in cuts(table, &widths).iter().enumerate() {
            if number > 0 {
                self.line("");
            }
            self.cut(table, columns, &widths);
        }
    }

    fn cut(&mut self, table: &Table, columns: &[usize], widths: &[usize]) {
        let mut widths: Vec<usize> = columns.iter().map(|at| widths[*at]).collect();
        let all: usize = widths.iter().sum::<usize>() + BETWEEN * (widths.len() - 1);
        if let Some(last) = widths.last_mut() {
            *last = last.saturating_sub(all.saturating_sub(WIDTH)).max(LAST_MIN.min(*last));
        }
        let titles: Vec<Cell> =
            columns.iter().map(|at| table.columns[*at].title.as_str().into()).collect();
        let rule: Vec<Cell> = widths.iter().map(|width| "-".repeat(*width).into()).collect();
        let is_number: Vec<bool> = columns.iter().map(|at| table.columns[*at].is_number).collect();
        self.row(&titles.iter().collect::<Vec<_>>(), &widths, &is_number);
        self.row(&rule.iter().collect::<Vec<_>>(), &widths, &is_number);
        for row in &table.rows {
            let cells: Vec<&Cell> = columns.iter().map(|at| &row[*at]).collect();
            self.row(&cells, &widths, &is_number);
        }
    }

    /// A row; a last cell that is too wide goes on below.
    fn row(&mut self, cells: &[&Cell], widths: &[usize], is_number: &[bool]) {
        let Some((last, before)) = cells.split_last() else { return };
        let mut line = String::new();
        for ((cell, width), is_number) in before.iter().zip(widths).zip(is_number) {
            line.push_str(&self.padded(cell, *width, *is_number));
            line.push_str(&" ".repeat(BETWEEN));
        }
        let indent = line_width(widths);
        let (width, is_number) = (widths[widths.len() - 1], is_number[is_number.len() - 1]);
        for (index, part) in wrapped(&last.text, width).into_iter().enumerate() {
            let part = Cell { text: part, light: last.light };
            let shown = self.padded(&part, width, is_number);
            let begin = if index == 0 { line.clone() } else { " ".repeat(indent) };
            self.line(&[begin, shown].concat());
        }
    }

    fn padded(&self, cell: &Cell, width: usize, is_number: bool) -> String {
        let room = " ".repeat(width.saturating_sub(cell.text.width()));
        let text = self.lit(&cell.text, cell.light);
        if is_number { [room, text].concat() } else { [text, room].concat() }
    }
}

/// The width of all columns but the last one.
fn line_width(widths: &[usize]) -> usize {
    widths.iter().rev().skip(1).map(|width| width + BETWEEN).sum()
}

fn width(table: &Table, at: usize) -> usize {
    let cells = table.rows.iter().map(|row| row[at].text.width());
    cells.chain([table.columns[at].title.width()]).max().unwrap_or_default()
}

/// Which columns stand side by side. A last one of words can go on below, and needs no room for all of it.
fn cuts(table: &Table, widths: &[usize]) -> Vec<Vec<usize>> {
    let keys: Vec<usize> = (0..table.keys.min(widths.len())).collect();
    let needed = |at: &usize| {
        let goes_on = at + 1 == widths.len() && !table.columns[*at].is_number;
        BETWEEN + if goes_on { widths[*at].min(LAST_MIN) } else { widths[*at] }
    };
    let fits = |columns: &[usize], next: &[usize]| {
        columns.iter().chain(next).map(needed).sum::<usize>() <= WIDTH + BETWEEN
    };
    let mut cuts = Vec::new();
    let mut current = keys.clone();
    let mut at = keys.len();
    while at < widths.len() {
        let joined = table.columns[at + 1..].iter().take_while(|column| column.is_joined).count();
        let mut next: Vec<usize> = (at..=at + joined).collect();
        if !fits(&keys, &next) {
            next.truncate(1);
        }
        at += next.len();
        if current.len() > keys.len() && !fits(&current, &next) {
            cuts.push(std::mem::replace(&mut current, keys.clone()));
        }
        current.extend(next);
    }
    cuts.push(current);
    cuts
}

/// A text in lines of at most so many columns: broken at spaces, or between Chinese characters, or
/// where there are neither anywhere.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (word, after) = rest.split_at(word_end(rest));
        rest = after;
        if line.width() + word.trim_end().width() <= width {
            line.push_str(word);
            continue;
        }
        if !line.is_empty() {
            lines.push(std::mem::take(&mut line).trim_end().to_owned());
        }
        for character in word.chars() {
            if line.width() + character.width().unwrap_or(0) > width && !line.is_empty() {
                lines.push(std::mem::take(&mut line));
            }
            line.push(character);
        }
    }
    lines.push(line.trim_end().to_owned());
    lines
}

/// Where the first word ends, with the spaces after it: a Chinese character is one by itself, and so is
/// never parted from the mark that follows it.
fn word_end(text: &str) -> usize {
    let is_wide = |character: char| character.width() == Some(2);
    let is_mark = |character: char| "，。：；、）".contains(character);
    let mut characters = text.char_indices().peekable();
    let mut has_word = false;
    while let Some((at, character)) = characters.next() {
        let next = characters.peek().map(|(_, next)| *next);
        has_word |= character != ' ';
        let ends = match next {
            None => true,
            Some(next) if is_mark(next) => false,
            Some(next) if character == ' ' => has_word && next != ' ',
            Some(next) => next != ' ' && (is_wide(character) || is_wide(next)),
        };
        if ends {
            return at + character.len_utf8();
        }
    }
    text.len()
}
