//! How a report is written down, and in which words.

use postroad_aggregate::indicators::book::Scope;
use postroad_aggregate::indicators::period::Period;
use postroad_aggregate::indicators::{Comparison, Light, Why};
use postroad_schemas::reference::{Level, Measure};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::super::document::{Block, Cell, Column, Document, Part, Section, Table};
use super::super::words::{Language, Phrase};
use super::super::{Span, html, markdown, table};
use super::{forms, report};

#[test]
fn a_table_fits_a_terminal_in_both_languages() {
    for span in Span::ALL {
        let report = report(*span);
        for language in Language::ALL {
            let text = table::render(&Document::of(&report, *language), false);
            let widest = text.lines().max_by_key(|line| line.width()).unwrap_or_default();
            assert!(widest.width() <= table::WIDTH, "{} columns: {widest}", widest.width());
            assert!(!text.contains('\x1b'), "no colour unless it is wanted");
        }
        let coloured = table::render(&Document::of(&report, Language::En), true);
        assert!(coloured.contains("\x1b[33m! yellow -0.0001 total\x1b[0m"), "{coloured}");
    }
}

/// A document whose every text means something to whoever writes it down.
fn hostile() -> Document {
    let text = "a|b <script>alert('&\"')</script> *c* `d`";
    let cell = Cell::from(text);
    let block = Block::Table(Table {
        columns: vec![Column::words(text), Column::numbers(text)],
        keys: 1,
        rows: vec![vec![cell.clone(), cell.clone()]],
    });
    let list = Part { title: "list", block: Block::List(vec![cell]) };
    let parts = vec![list, Part { title: "table", block }];
    Document {
        language: Language::En,
        title: text.to_owned(),
        sections: vec![Section { title: text.to_owned(), parts }],
        notes_title: "notes",
        notes: vec![text.to_owned()],
    }
}

#[test]
fn a_text_is_only_a_text() {
    let page = html::render(&hostile());
    assert!(!page.contains("<script"), "{page}");
    assert!(page.contains("&lt;script&gt;alert(&#39;&amp;&quot;&#39;)&lt;/script&gt;"), "{page}");
    let text = markdown::render(&hostile());
    let marks = |mark: &str| text.matches(mark).count();
    assert_eq!(marks("<script"), marks("\\<script\\>"), "{text}");
    assert!(text.contains("| a\\|b "), "{text}");
}

#[test]
fn a_page_needs_nothing_else() {
    for page in forms(&report(Span::Day)).iter().filter(|form| form.starts_with("<!doctype")) {
        for word in ["<script", "http:", "https:", "url(", "@import", " src=", "<link"] {
            assert!(!page.contains(word), "{word}");
        }
        let opened = page.matches("<section").count();
        assert_eq!(opened, page.matches("</section>").count());
        assert_eq!(page.matches("<td").count(), page.matches("</td>").count());
    }
}

/// The places of a phrase, in the order of their numbers.
fn places(text: &str) -> Vec<&str> {
    let mut places: Vec<&str> =
        text.split('{').skip(1).filter_map(|after| after.split('}').next()).collect();
    places.sort_unstable();
    places.dedup();
    places
}

#[track_caller]
fn check_pair(en: &str, zh: &str) {
    let is_wide = |character: char| character.width() == Some(2);
    assert!(!en.is_empty() && !en.chars().any(is_wide), "`{en}` is no English");
    assert!(zh.chars().any(is_wide), "`{zh}` is no Chinese");
    assert_eq!(places(en), places(zh), "`{en}` and `{zh}`");
}

#[test]
fn both_languages_have_every_word() {
    let (en, zh) = (Language::En, Language::Zh);
    for phrase in Phrase::ALL {
        check_pair(en.say(*phrase), zh.say(*phrase));
    }
    for scope in Scope::all() {
        check_pair(en.scope(scope), zh.scope(scope));
        for measure in Measure::ALL {
            check_pair(&en.indicator(scope, *measure), &zh.indicator(scope, *measure));
            check_pair(&en.brief(scope, *measure), &zh.brief(scope, *measure));
        }
    }
    for period in Period::ALL {
        check_pair(en.period(*period), zh.period(*period));
    }
    for comparison in Comparison::ALL {
        check_pair(en.comparison(*comparison), zh.comparison(*comparison));
        check_pair(en.commensurate(*comparison), zh.commensurate(*comparison));
    }
    for light in Light::ALL {
        check_pair(en.light(*light), zh.light(*light));
    }
    for why in Why::ALL {
        check_pair(en.why(*why), zh.why(*why));
    }
    for level in Level::ALL {
        check_pair(en.level(*level), zh.level(*level));
    }
    let filled = en.fill(Phrase::GapOf, &["{1}", "-3.5"]);
    assert_eq!(filled, "{1}, gap -3.5 pp", "what is filled in is not looked at again");
}
