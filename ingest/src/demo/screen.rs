//! What the demo shows in the terminal: the province filling up, and where everything is.

use std::collections::VecDeque;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{self, Event, KeyCode, KeyModifiers};
use postroad_schemas::codebook::Codebook;
use postroad_schemas::units::Timestamp;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Cell, Paragraph, Row, Sparkline, Table, Wrap};
use tokio::sync::watch;
use tokio::time::Instant;

use self::figures::{Board, PrefectureLine, grouped, yuan};
use super::DemoOptions;
use crate::error::{Failure, print};
use crate::run::Shown;

mod figures;
mod lights;

const FRAME: Duration = Duration::from_millis(250);
/// From this width on there is room for the panels on the right.
const WIDE: u16 = 110;
/// Rates shown, one a frame.
const HISTORY: usize = 120;
const ACCENT: Color = Color::Rgb(0x2e, 0x9e, 0x6b);
const QUIET: Color = Color::DarkGray;

/// The terminal, or plain lines where there is none.
pub(super) struct Screen {
    root: PathBuf,
    listen: SocketAddr,
    shown: Shown,
    codebook: Arc<Codebook>,
    began: Instant,
    /// Records judged at recent frames, newest last.
    judged: VecDeque<(Instant, u64)>,
    rates: VecDeque<u64>,
    /// The newest publish seen, and when it was.
    published: (u64, Instant),
}

impl Screen {
    pub(super) fn open(
        options: &DemoOptions,
        root: &Path,
        shown: Shown,
        codebook: &Codebook,
    ) -> Self {
        Self {
            root: root.to_owned(),
            listen: options.listen,
            shown,
            codebook: Arc::new(codebook.clone()),
            began: Instant::now(),
            judged: VecDeque::new(),
            rates: VecDeque::new(),
            published: (0, Instant::now()),
        }
    }

    /// Draws until the demo ends or somebody presses `q`.
    ///
    /// # Errors
    /// Where there is no terminal, and standard output cannot be written.
    pub(super) async fn run(self, ended: watch::Receiver<bool>) -> Result<(), Failure> {
        let drawn = tokio::task::spawn_blocking(move || {
            if std::io::stdout().is_terminal() {
                self.draw_frames(&ended)
            } else {
                self.print(&ended)
            }
        });
        drawn.await.unwrap_or(Ok(()))
    }

    fn draw_frames(mut self, ended: &watch::Receiver<bool>) -> Result<(), Failure> {
        let Ok(mut terminal) = ratatui::try_init() else { return self.print(ended) };
        while !*ended.borrow() {
            let board = self.look();
            if terminal.draw(|frame| self.draw(frame, &board)).is_err() {
                break;
            }
            if quit_was_pressed() {
                break;
            }
        }
        ratatui::restore();
        Ok(())
    }

    /// One line now and then, for logs and pipes.
    fn print(mut self, ended: &watch::Receiver<bool>) -> Result<(), Failure> {
        print(&(places(&self.root, self.listen) + "\n"))?;
        let mut last = 0;
        while !*ended.borrow() {
            std::thread::sleep(FRAME * 4);
            let board = self.look();
            if board.publish != last && board.as_of.is_some() {
                last = board.publish;
                print(&(board.line() + "\n"))?;
            }
        }
        Ok(())
    }

    /// Reads what the instance knows of itself, and the rate since a moment ago.
    fn look(&mut self) -> Board {
        let view = self.shown.status.view();
        let mut board = Board::new(&view, &self.codebook);
        if board.publish != self.published.0 {
            self.published = (board.publish, Instant::now());
        }
        board.published_ago = self.published.1.elapsed();
        self.judged.push_back((Instant::now(), board.judged));
        while self.judged.len() > 9 {
            self.judged.pop_front();
        }
        if let (Some((then, before)), Some((at, judged))) =
            (self.judged.front(), self.judged.back())
        {
            let elapsed = at.duration_since(*then).as_secs_f64();
            if elapsed > 0.0 {
                #[expect(clippy::cast_precision_loss, reason = "a rate that is shown")]
                let rate = judged.saturating_sub(*before) as f64 / elapsed;
                board.rate = rate;
            }
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate that is shown"
        )]
        self.rates.push_back(board.rate as u64);
        while self.rates.len() > HISTORY {
            self.rates.pop_front();
        }
        board
    }

    fn draw(&self, frame: &mut Frame<'_>, board: &Board) {
        let [head, body, foot] =
            Layout::vertical([Constraint::Length(1), Constraint::Min(18), Constraint::Length(6)])
                .areas(frame.area());
        self.draw_head(frame, head, board);
        if body.width < WIDE {
            let [table, line] =
                Layout::vertical([Constraint::Min(10), Constraint::Length(1)]).areas(body);
            draw_table(frame, table, board);
            frame.render_widget(Line::from(board.summary()), line);
            return self.draw_places(frame, foot, board);
        }
        let [left, right] =
            Layout::horizontal([Constraint::Min(56), Constraint::Length(44)]).areas(body);
        draw_table(frame, left, board);
        let [rate, records, days] =
            Layout::vertical([Constraint::Length(6), Constraint::Length(9), Constraint::Min(3)])
                .areas(right);
        self.draw_rate(frame, rate, board);
        draw_records(frame, records, board);
        draw_days(frame, days, board);
        self.draw_places(frame, foot, board);
    }

    /// Where everything is; while the reference data are at fault, what to mend in them.
    fn draw_places(&self, frame: &mut Frame<'_>, foot: Rect, board: &Board) {
        let (title, text, style) = match &board.reference_fault {
            Some(fault) => {
                let text = format!("{fault}\nthose read before stay in use");
                ("the reference data have a fault", text, Style::new().fg(Color::Red))
            }
            None => ("look at it", places(&self.root, self.listen), Style::new()),
        };
        let text = Paragraph::new(text).style(style).wrap(Wrap { trim: false });
        frame.render_widget(text.block(block(title)), foot);
    }

    fn draw_head(&self, frame: &mut Frame<'_>, area: Rect, board: &Board) {
        let title = Span::styled(
            " Postroad 驿道 ",
            Style::new().add_modifier(Modifier::BOLD).bg(ACCENT).fg(Color::White),
        );
        let clock = board.watermark.map_or_else(
            || "waiting for the first events".to_owned(),
            |at| format!("the province's clock: {}", local_time(at)),
        );
        let running = self.began.elapsed().as_secs();
        let rest = format!("  q quits   {clock}   running {}:{:02}", running / 60, running % 60);
        frame.render_widget(Line::from(vec![title, rest.into()]), area);
    }

    fn draw_rate(&self, frame: &mut Frame<'_>, area: Rect, board: &Board) {
        let width = usize::from(area.width.saturating_sub(2));
        let newest = self.rates.len().saturating_sub(width);
        let data: Vec<u64> = self.rates.iter().skip(newest).copied().collect();
        let title = format!("{} records/s", grouped(board.rate.round()));
        let spark = Sparkline::default().data(&data).style(Style::new().fg(ACCENT));
        frame.render_widget(spark.block(block(&title)), area);
    }
}

/// Who lags, as soon as anything is known of that; until then what each prefecture does.
fn draw_table(frame: &mut Frame<'_>, area: Rect, board: &Board) {
    match &board.lights {
        Some(lights) => lights.draw(frame, area),
        None => draw_prefectures(frame, area, board),
    }
}

fn draw_prefectures(frame: &mut Frame<'_>, area: Rect, board: &Board) {
    let header = Row::new([
        Cell::from(""),
        Cell::from("prefecture"),
        right("volume today".to_owned()),
        right("revenue today".to_owned()),
        right("of 7 days".to_owned()),
        Cell::from("share"),
    ])
    .style(Style::new().fg(QUIET));
    let largest = board.prefectures.iter().map(|line| line.share).fold(f64::EPSILON, f64::max);
    let rows = board.prefectures.iter().map(|line| prefecture_row(line, largest));
    let total = Row::new([
        Cell::from(""),
        Cell::from("Liaoning 辽宁省"),
        right(grouped_i(board.total.volume_today)),
        right(yuan(board.total.revenue_today)),
        right(yuan(board.total.revenue_week)),
        Cell::from(""),
    ])
    .style(Style::new().add_modifier(Modifier::BOLD));
    let widths = [
        Constraint::Length(6),
        Constraint::Length(17),
        Constraint::Length(12),
        Constraint::Length(13),
        Constraint::Length(11),
        Constraint::Fill(1),
    ];
    let day = board.as_of.map_or_else(String::new, |day| format!(" · {day}"));
    let table = Table::new(rows.chain([total]), widths).header(header);
    frame.render_widget(table.block(block(&format!("prefectures{day}"))), area);
}

fn prefecture_row(line: &PrefectureLine, largest: f64) -> Row<'static> {
    Row::new([
        Cell::from(line.code.clone()).style(Style::new().fg(QUIET)),
        Cell::from(line.name.clone()),
        right(grouped_i(line.figures.volume_today)),
        right(yuan(line.figures.revenue_today)),
        right(yuan(line.figures.revenue_week)),
        Cell::from(bar(line.share / largest)).style(Style::new().fg(ACCENT)),
    ])
}

fn right(text: String) -> Cell<'static> {
    Cell::from(Line::from(text).right_aligned())
}

#[expect(clippy::cast_precision_loss, reason = "a figure that is shown")]
fn grouped_i(number: i64) -> String {
    grouped(number as f64)
}

fn draw_records(frame: &mut Frame<'_>, area: Rect, board: &Board) {
    let row = |name: &'static str, value: String| {
        Line::from(vec![Span::styled(format!("{name:<16}"), Style::new().fg(QUIET)), value.into()])
    };
    let publish = match (board.publish, board.published_ago) {
        (0, _) => "none yet".to_owned(),
        (number, ago) => format!("{number}, {:.1} s ago", ago.as_secs_f64()),
    };
    let lines = vec![
        row("applied", grouped_i(board.applied)),
        row("duplicates", grouped_i(board.duplicates)),
        row("rejected", grouped_i(board.rejected)),
        row("lag", format!("{} records", grouped_i(board.lag))),
        row("shards", board.shards.clone()),
        row("last publish", publish),
        row("ledger", board.account()),
    ];
    frame.render_widget(Paragraph::new(lines).block(block("every record, accounted for")), area);
}

fn draw_days(frame: &mut Frame<'_>, area: Rect, board: &Board) {
    let rows = board.days.iter().rev().map(|day| {
        let color = match day.status {
            "final" => Color::Blue,
            "complete" => ACCENT,
            _ => Color::Yellow,
        };
        Row::new([
            Cell::from(day.day.to_string()),
            Cell::from(day.status).style(Style::new().fg(color)),
            right(grouped_i(day.volume)),
            Cell::from(bar(day.part)).style(Style::new().fg(color)),
        ])
    });
    let widths =
        [Constraint::Length(10), Constraint::Length(8), Constraint::Length(8), Constraint::Min(4)];
    frame.render_widget(Table::new(rows, widths).block(block("days, by volume")), area);
}

/// A bar for a part between 0 and 1.
fn bar(part: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a bar of at most 12 characters"
    )]
    "▇".repeat((part.clamp(0.0, 1.0) * 12.0).round() as usize)
}

fn block(title: &str) -> Block<'static> {
    Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(Style::new().fg(QUIET))
        .title(Span::styled(format!(" {title} "), Style::new().add_modifier(Modifier::BOLD)))
}

/// Waits one frame for a key.
fn quit_was_pressed() -> bool {
    let Ok(true) = event::poll(FRAME) else { return false };
    match event::read() {
        Ok(Event::Key(key)) => {
            let interrupt =
                key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
            interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc)
        }
        _ => false,
    }
}

fn local_time(at: Timestamp) -> String {
    let shifted = at + postroad_schemas::units::Span::hours(8);
    let text = shifted.to_string();
    format!("{} {} +08:00", &text[..10], &text[11..16])
}

/// Where everything is.
fn places(root: &Path, listen: SocketAddr) -> String {
    let root = shortest(root);
    let program = std::env::current_exe().unwrap_or_else(|_| "postroad".into());
    let program = shortest(&program);
    format!(
        "query    duckdb -c \"FROM '{root}/tables/daily_rollups/*/*.parquet'\"\n\
         report   {program} report --store {root}\n\
         metrics  curl http://{listen}/metrics   and   http://{listen}/metrics/business\n\
         health   curl http://{listen}/-/ready",
    )
}

/// The path as a person in the current folder would write it.
fn shortest(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(path).display().to_string()
}

/// What stays when the demo is over.
pub(super) fn farewell(root: &Path) -> String {
    format!(
        "The tables stay in {root}/tables. Query them with DuckDB, Polars or Spark, for example:\n\n  \
         duckdb -c \"SELECT business_date, status, sum(volume) AS volume, sum(revenue_yuan) AS \
         revenue_yuan\n             FROM '{root}/tables/daily_rollups/*/*.parquet' GROUP BY ALL \
         ORDER BY 1\"\n",
        root = shortest(root),
    )
}
