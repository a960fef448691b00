//! How a report is written down, and in which words.

use postroad_aggregate::indicators::book::Scope;
use postroad_aggregate::indicators::period::Period;
use postroad_aggregate::indicators::{Comparison, Light, Why};
use postroad_schemas::reference::{Level, Measure};
use postroad_schemas::units::BusinessDay;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::super::document::{Block, Cell, Column, Document, Part, Section, Table};
use super::super::words::{Language, Phrase};
use super::super::{Span, html, markdown, table};
use super::{as_of, forms, province, report};

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
    let list = Part { title: "list", block: Block::List(vec![cell]), note: None };
    let parts = vec![list, Part { title: "table", block, note: Some("a|b <script>") }];
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
        check_pair(en.period(*period, as_of()), zh.period(*period, as_of()));
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

#[test]
fn a_chinese_sentence_has_a_space_before_a_number_and_none_before_a_word() {
    let zh = Language::Zh;
    assert_eq!(zh.fill(Phrase::Revenue, &["9 元", "+15.1%"]), "本年累计总收入 9 元，同比 +15.1%");
    assert_eq!(
        zh.fill(Phrase::FeeMix, &["3%", "0.0 个百分点"]),
        "中收占比 3%，较上年同期变动 0.0 个百分点"
    );
    assert_eq!(zh.fill(Phrase::FeeMix, &["3%", "未知"]), "中收占比 3%，较上年同期变动未知");
    assert_eq!(
        zh.fill(Phrase::Spread, &["7", "沈阳市"]),
        "各地市总收入同比相差 7 个百分点：最高为沈阳市（），最低为（）"
    );
    let mut row = province().headline.industry[0].clone();
    row.value = Some(3165.0);
    assert_eq!(zh.value(&row).as_deref(), Some("3,165 件"));
}

#[test]
fn a_half_year_that_goes_on_is_said_to() {
    let period = |half, month, day| {
        let as_of = BusinessDay::from_civil(2021, month, day).expect("a date");
        Language::Zh.period(half, as_of)
    };
    assert_eq!(period(Period::H1, 6, 29), "上半年累计");
    assert_eq!(period(Period::H1, 6, 30), "上半年");
    assert_eq!(period(Period::H2, 7, 1), "下半年累计");
    assert_eq!(period(Period::H2, 12, 31), "下半年");
}

/// The lights are a table of their own on a page, where nobody has to look for them beyond its edge; the keys
/// of each table stay in sight.
#[test]
fn a_page_has_the_lights_in_a_table_of_their_own() {
    let page = html::render(&Document::of(&report(Span::Month), Language::En));
    let league =
        page.split("<h3>League table").nth(1).and_then(|after| after.split("</section>").next());
    let tables: Vec<&str> = league.expect("it is there").split("<table").skip(1).collect();
    let titles: Vec<usize> =
        tables.iter().map(|table| table.matches("scope=\"col\"").count()).collect();
    assert_eq!(titles, [11, 6], "rank, prefecture and figures; rank, prefecture and lights");
    for table in tables {
        assert_eq!(table.matches("class=\"key number\"").count(), 15);
        assert_eq!(table.matches("class=\"key next\"").count(), 15);
    }
}
