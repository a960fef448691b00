//! Reference data: what the figures of the log are held against.
//!
//! Five CSV files beside the codebook's two. They are read as a whole: one fault and nothing of a set is
//! used.
//!
//! | file | a row is |
//! |---|---|
//! | `benchmarks.csv` | one published growth or share: the economy's, the industry's, the peers' |
//! | `plans.csv` | what is planned for a year |
//! | `plan_curves.csv` | which part of a year's plan is expected by the end of a day |
//! | `balances.csv` | savings balances of a day, one's own and those of all banks |
//! | `baselines.csv` | a day of the year before the log begins |

mod benchmarks;
mod numbers;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::codebook::{Codebook, CsvFault, Line, PrefectureCode, Product};
use crate::csv_rows::Faults;
pub use crate::csv_rows::{FAULTS_MAX, escaped, shown, without_own};
use crate::reject::closed_names;
use crate::units::{BusinessDay, Fen};
use serde::{Deserialize, Serialize};

closed_names! {
    /// The four commensurates: what growth is held against.
    Versus {
        /// 与当地经济社会发展水平相当: the prefecture's own economy.
        Local = "local",
        /// 与行业相当: all operators together.
        Industry = "industry",
        /// 与同类省分公司相当: the group's provinces of the same type.
        Peer = "peer",
        /// 与全年工作计划目标相当: the annual plan.
        Plan = "plan",
    }
}

closed_names! {
    /// How fine a published figure is, the finest first.
    Level {
        /// Of one prefecture.
        Prefecture = "prefecture",
        /// Of a province.
        Province = "province",
        /// Of the nation.
        Nation = "nation",
    }
}

closed_names! {
    /// What is measured.
    Measure {
        /// 收寄量, 交易笔数: pieces, transactions.
        Volume = "volume",
        /// 业务收入: yuan.
        Revenue = "revenue",
        /// 件均收入: yuan a piece, of the parcel line.
        Yield = "yield",
        /// 净增余额: yuan that the savings balance has grown by since last year's end.
        Balance = "balance",
        /// 余额市占率: per cent of all banks' personal deposits.
        Share = "share",
        /// 中收占比: per cent of the finance line's revenue that is no deposit's.
        Mix = "mix",
        /// 妥投率: per cent of first attempts that were delivered.
        DeliveredRate = "delivered_rate",
        /// 及时率: per cent of first attempts that were delivered in time.
        OnTimeRate = "on_time_rate",
        /// 收入结构: per cent of the total revenue that a line or product makes.
        Structure = "structure",
        /// 集中度: the Herfindahl–Hirschman index of a province's revenue over its prefectures, in per
        /// cent: 100 where one has it all, 100 ÷ n where n have as much each.
        Concentration = "concentration",
        /// 落后地市数: how many prefectures of a province lag.
        Laggards = "laggards",
    }
}

/// A percentage, exactly: millionths of a per cent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Percent(i64);

impl Percent {
    /// Millionths in one per cent.
    pub const SCALE: i64 = 1_000_000;

    /// So many millionths of a per cent.
    pub const fn from_millionths(millionths: i64) -> Self {
        Self(millionths)
    }

    /// Millionths of a per cent.
    pub const fn millionths(self) -> i64 {
        self.0
    }

    /// Reads a decimal such as `45.8` or `-0.25`, of at most six decimals and below a billion.
    pub fn parse(text: &str) -> Option<Self> {
        numbers::PERCENT.parse(text).map(Self)
    }
}

impl fmt::Display for Percent {
    /// As it would be published: without zeros at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0.abs() / Self::SCALE, self.0.abs() % Self::SCALE);
        let text = format!("{whole}.{part:06}");
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{}", text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// Money as reference files have it: yuan, with two decimals.
pub fn yuan(amount: Fen) -> String {
    let (sign, fen) = (if amount < Fen::ZERO { "-" } else { "" }, amount.get().unsigned_abs());
    format!("{sign}{}.{:02}", fen / 100, fen % 100)
}

/// A published figure that growth, or a share, is held against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Benchmark {
    /// Which of the commensurates.
    pub versus: Versus,
    /// How fine it is.
    pub level: Level,
    /// Of which place; `None` for the nation.
    pub code: Option<PrefectureCode>,
    /// Of a peer, whose peer it is: the code of a province; `None` for every province but itself.
    pub province: Option<PrefectureCode>,
    /// Of which line; `None` where it holds for every line and the total, as an economy's growth does.
    pub line: Option<Line>,
    /// What of one's own is held against it.
    pub measure: Measure,
    /// The first day of its period, inclusive.
    pub period_start: BusinessDay,
    /// The last day of its period, inclusive.
    pub period_end: BusinessDay,
    /// Growth against the year before; of the balance share the share itself.
    pub percent: Percent,
    /// How much it counts in a mean with its like, as peers do. At least 1.
    pub weight: i64,
    /// How it was reckoned: current or comparable prices, say.
    pub basis: String,
    /// When it was published, if that is known. Of several for one period the newest holds.
    pub published_at: Option<BusinessDay>,
    /// Who published it; `synthetic` where nobody did.
    pub source: String,
}

/// What is planned for a year.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Of which prefecture.
    pub code: PrefectureCode,
    /// Of which line; `None` for the total.
    pub line: Option<Line>,
    /// Revenue in fen, or volume in pieces.
    pub measure: Measure,
    /// Of which year.
    pub year: i32,
    /// How much: fen or pieces.
    pub amount: i64,
    /// Who planned it.
    pub source: String,
}

/// What a curve of expected progress is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CurveKey {
    /// Of which prefecture; `None` for all that have none of their own.
    pub code: Option<PrefectureCode>,
    /// Of which line; `None` for the total.
    pub line: Option<Line>,
    /// Of what.
    pub measure: Measure,
    /// Of which year.
    pub year: i64,
}

/// How a year's plan is expected to be met.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Curve {
    /// Which part of it is expected by the end of each day that is given, and by that of the year.
    pub shares: BTreeMap<BusinessDay, Percent>,
    /// Who says so, `synthetic` where nobody does; empty where no row of it names anybody.
    pub sources: BTreeSet<String>,
}

/// Savings balances at the end of a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance {
    /// One's own.
    pub own: Fen,
    /// All banks' personal deposits in the prefecture, one's own included.
    pub market: Fen,
    /// Who published it.
    pub source: String,
}

/// A day before the log begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Baseline {
    /// Accepted − voided.
    pub volume: i64,
    /// Revenue.
    pub revenue: Fen,
    /// Net movement of balances.
    pub balance: Fen,
}

/// A set of reference data, whole and without contradiction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reference {
    /// Published figures.
    pub benchmarks: Vec<Benchmark>,
    /// Plans.
    pub plans: Vec<Plan>,
    /// Expected progress.
    pub curves: BTreeMap<CurveKey, Curve>,
    /// Balances by prefecture and day.
    pub balances: BTreeMap<PrefectureCode, BTreeMap<BusinessDay, Balance>>,
    /// Days of the year before.
    pub baselines: BTreeMap<(BusinessDay, PrefectureCode, Product), Baseline>,
}

/// The files of a set that are there, as text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReferenceFiles<'a> {
    /// `benchmarks.csv`
    pub benchmarks: Option<&'a str>,
    /// `plans.csv`
    pub plans: Option<&'a str>,
    /// `plan_curves.csv`
    pub plan_curves: Option<&'a str>,
    /// `balances.csv`
    pub balances: Option<&'a str>,
    /// `baselines.csv`
    pub baselines: Option<&'a str>,
}

impl<'a> ReferenceFiles<'a> {
    /// The names of the files.
    pub const NAMES: [&'static str; 5] =
        ["benchmarks.csv", "plans.csv", "plan_curves.csv", "balances.csv", "baselines.csv"];

    /// The files of a set by their names, which are those of [`Self::NAMES`].
    pub fn by_name(text: impl Fn(&str) -> Option<&'a str>) -> Self {
        let [benchmarks, plans, plan_curves, balances, baselines] = Self::NAMES.map(text);
        Self { benchmarks, plans, plan_curves, balances, baselines }
    }

    /// The text of each file that is there, by its name.
    pub fn texts(self) -> impl Iterator<Item = (&'static str, &'a str)> {
        let texts = [self.benchmarks, self.plans, self.plan_curves, self.balances, self.baselines];
        Self::NAMES.into_iter().zip(texts).filter_map(|(name, text)| Some((name, text?)))
    }

    /// The built-in set of Liaoning: the figures that authorities have published, and beside them
    /// some that nobody has, whose `source` is `synthetic`.
    pub const LIAONING: ReferenceFiles<'static> = ReferenceFiles {
        benchmarks: Some(include_str!("../data/benchmarks.csv")),
        plans: Some(include_str!("../data/plans.csv")),
        plan_curves: Some(include_str!("../data/plan_curves.csv")),
        balances: Some(include_str!("../data/balances.csv")),
        baselines: None,
    };
}

impl Reference {
    /// Reads a set. Files that are not there are empty ones. Every prefecture that is named must be in
    /// the codebook, where one is given.
    ///
    /// # Errors
    /// Every fault of every file, file by file, in the order of their lines.
    pub fn from_csv(
        files: ReferenceFiles<'_>,
        codebook: Option<&Codebook>,
    ) -> Result<Self, Vec<CsvFault>> {
        CsvFault::none_of(Self::read(files, codebook))
    }

    /// Reads what some release has accepted, whatever this one would say of it.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn from_kept_csv(
        files: ReferenceFiles<'_>,
        codebook: Option<&Codebook>,
    ) -> Result<Self, Vec<CsvFault>> {
        CsvFault::readable(Self::read(files, codebook))
    }

    fn read(files: ReferenceFiles<'_>, codebook: Option<&Codebook>) -> (Self, Vec<CsvFault>) {
        let mut faults = Faults::default();
        let found = &mut faults;
        let reference = Self {
            benchmarks: given(files.benchmarks, |text| benchmarks::read(text, codebook, found)),
            plans: given(files.plans, |text| rows::plans(text, codebook, found)),
            curves: given(files.plan_curves, |text| rows::curves(text, codebook, found)),
            balances: given(files.balances, |text| rows::balances(text, codebook, found)),
            baselines: given(files.baselines, |text| rows::baselines(text, codebook, found)),
        };
        (reference, faults.into_vec())
    }
}

/// What a file holds; nothing where it is not there.
fn given<T: Default>(text: Option<&str>, read: impl FnOnce(&str) -> T) -> T {
    text.map(read).unwrap_or_default()
}

#[cfg(test)]
mod tests;
