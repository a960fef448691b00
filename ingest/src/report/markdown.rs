//! A report as GitHub's Markdown.

use super::document::{Block, Document, Table};

/// Writes a report down.
pub fn render(document: &Document) -> String {
    let mut text = format!("# {}\n", escaped(&document.title));
    for section in &document.sections {
        text.extend(["\n## ", &escaped(&section.title), "\n"]);
        for part in &section.parts {
            text.extend(["\n### ", &escaped(part.title), "\n\n"]);
            match &part.block {
                Block::List(items) => text.extend(items.iter().map(|item| bullet(&item.text))),
                Block::Table(part) => table(part, &mut text),
            }
            if let Some(note) = part.note {
                text.extend(["\n", &escaped(note), "\n"]);
            }
        }
    }
    text.extend(["\n## ", &escaped(document.notes_title), "\n\n"]);
    text.extend(document.notes.iter().map(|note| bullet(note)));
    text
}

fn bullet(text: &str) -> String {
    format!("- {}\n", escaped(text))
}

fn table(table: &Table, text: &mut String) {
    let titles = table.columns.iter().map(|column| escaped(&column.title));
    let rules = table.columns.iter().map(|column| if column.is_number { "---:" } else { "---" });
    line(titles, text);
    line(rules.map(str::to_owned), text);
    for row in &table.rows {
        line(row.iter().map(|cell| escaped(&cell.text)), text);
    }
}

fn line(cells: impl Iterator<Item = String>, text: &mut String) {
    for cell in cells {
        text.extend(["| ", &cell, " "]);
    }
    text.push_str("|\n");
}

/// A text that means nothing to Markdown, on one line.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '\n' | '\r' => escaped.push(' '),
            '\\' | '|' | '*' | '_' | '`' | '<' | '>' | '[' | ']' | '#' | '&' => {
                escaped.extend(['\\', character]);
            }
            other => escaped.push(other),
        }
    }
    escaped
}
