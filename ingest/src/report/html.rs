//! A report as one page of HTML that needs nothing else: no script, no network, and no colour to be
//! understood.

use postroad_aggregate::indicators::Light;

use super::document::{Block, Cell, Document, Table};
use super::words::Language;

const STYLE: &str = include_str!("report.css");

/// Writes a report down.
pub fn render(document: &Document) -> String {
    let language = match document.language {
        Language::En => "en",
        Language::Zh => "zh-CN",
    };
    let title = escaped(&document.title);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"{language}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<header><h1>{title}</h1></header>\n<main>\n"
    );
    for section in &document.sections {
        page.extend(["<section>\n<h2>", &escaped(&section.title), "</h2>\n"]);
        for part in &section.parts {
            page.extend(["<section>\n<h3>", &escaped(part.title), "</h3>\n"]);
            match &part.block {
                Block::List(items) => list(items, &mut page),
                Block::Table(part) => table(part, &mut page),
            }
            if let Some(note) = part.note {
                page.extend(["<p class=\"note\">", &escaped(note), "</p>\n"]);
            }
            page.push_str("</section>\n");
        }
        page.push_str("</section>\n");
    }
    page.extend(["</main>\n<footer>\n<h2>", &escaped(document.notes_title), "</h2>\n"]);
    let notes: Vec<Cell> = document.notes.iter().map(|note| note.as_str().into()).collect();
    list(&notes, &mut page);
    page.push_str("</footer>\n</body>\n</html>\n");
    page
}

fn list(items: &[Cell], page: &mut String) {
    page.push_str("<ul>\n");
    for item in items {
        page.extend(["<li", &class(item.light, Vec::new()), ">", &escaped(&item.text), "</li>\n"]);
    }
    page.push_str("</ul>\n");
}

/// A table, or several with the same keys: side by side they are too wide for a screen.
fn table(table: &Table, page: &mut String) {
    let mut columns: Vec<usize> = (0..table.keys).collect();
    for (at, column) in table.columns.iter().enumerate().skip(table.keys) {
        if column.is_cut {
            part(table, &columns, page);
            columns.truncate(table.keys);
        }
        columns.push(at);
    }
    part(table, &columns, page);
}

fn part(table: &Table, columns: &[usize], page: &mut String) {
    let is_of_words = columns.iter().all(|at| !table.columns[*at].is_number);
    let kind = if is_of_words { " class=\"words\"" } else { "" };
    page.extend(["<div class=\"wide\"><table", kind, ">\n<thead><tr>"]);
    for at in columns {
        let class = class(None, names(table, *at));
        page.extend(["<th scope=\"col\"", &class, ">"]);
        page.extend([&*escaped(&table.columns[*at].title), "</th>"]);
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    for row in &table.rows {
        page.push_str("<tr>");
        for at in columns {
            // The last of the keys names the row.
            let is_name = at + 1 == table.keys;
            let (open, close) =
                if is_name { ("<th scope=\"row\"", "</th>") } else { ("<td", "</td>") };
            let class = class(row[*at].light, names(table, *at));
            page.extend([open, &class, ">", &escaped(&row[*at].text), close]);
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody>\n</table></div>\n");
}

/// What a column is: a number, and a key that stays where it is while the others move.
fn names(table: &Table, at: usize) -> Vec<&'static str> {
    let is_number = table.columns[at].is_number;
    let key = match (at < table.keys, at) {
        (false, _) => None,
        (true, 0) => Some("key"),
        (true, _) => Some("key next"),
    };
    key.into_iter().chain(is_number.then_some("number")).collect()
}

fn class(light: Option<Light>, names: Vec<&'static str>) -> String {
    let names: Vec<&str> = light.map(Light::as_str).into_iter().chain(names).collect();
    if names.is_empty() { String::new() } else { format!(" class=\"{}\"", names.join(" ")) }
}

/// A text that is nothing but text in HTML.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
