//! Sums: what each prefecture and product came to in each range of days that anything asks for.
//!
//! The daily table is read once. A day is added to every range that contains it; lines, totals and
//! provinces are sums over these.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;

use postroad_schemas::codebook::{Line, PrefectureCode, Product};
use postroad_schemas::units::BusinessDay;

use super::period::{Period, Range};
use super::{Input, commensurate};
use crate::event::CellKey;
use crate::measures::Measures;

/// Whose figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// A province: the sum of its prefectures.
    Province(PrefectureCode),
    /// A prefecture.
    Prefecture(PrefectureCode),
}

/// Figures of what business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// All lines.
    Total,
    /// One line.
    Line(Line),
    /// One product.
    Product(Product),
}

impl Scope {
    /// Every scope: the total, the lines, the products.
    pub fn all() -> impl Iterator<Item = Self> {
        let lines = Line::ALL.iter().map(|line| Self::Line(*line));
        let products = Product::ALL.iter().map(|product| Self::Product(*product));
        std::iter::once(Self::Total).chain(lines).chain(products)
    }

    /// Whether a product belongs to it.
    pub fn contains(self, product: Product) -> bool {
        match self {
            Self::Total => true,
            Self::Line(line) => product.line() == line,
            Self::Product(own) => own == product,
        }
    }

    /// Its line; `None` for the total.
    pub fn line(self) -> Option<Line> {
        match self {
            Self::Total => None,
            Self::Line(line) => Some(line),
            Self::Product(product) => Some(product.line()),
        }
    }
}

/// What some days came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Pieces and transactions.
    pub volume: i128,
    /// Fen.
    pub revenue: i128,
    /// Fen.
    pub balance: i128,
    /// First delivery attempts.
    pub due: i128,
    /// Deliveries.
    pub delivered: i128,
    /// Deliveries in time.
    pub on_time: i128,
}

impl Figures {
    fn of(measures: &Measures) -> Self {
        Self {
            volume: measures.volume.into(),
            revenue: measures.revenue.get(),
            balance: measures.balance.get(),
            due: measures.due.into(),
            delivered: measures.delivered.into(),
            on_time: measures.on_time.into(),
        }
    }
}

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.volume += other.volume;
        self.revenue += other.revenue;
        self.balance += other.balance;
        self.due += other.due;
        self.delivered += other.delivered;
        self.on_time += other.on_time;
    }
}

/// All sums as of a day.
#[derive(Debug)]
pub struct Book {
    as_of: BusinessDay,
    /// The first day of which anything is known; `None` where nothing is.
    known_from: Option<BusinessDay>,
    ranges: Vec<Range>,
    /// For each unit and product the sum over each range.
    sums: BTreeMap<Unit, BTreeMap<Product, Vec<Figures>>>,
}

impl Book {
    /// Adds up cells and the baselines of the days before them.
    pub(super) fn add_up<'m>(
        input: &Input<'_>,
        cells: impl IntoIterator<Item = (CellKey, &'m Measures)>,
    ) -> Self {
        let mut ranges = BTreeSet::new();
        for period in Period::ALL {
            let Some(own) = period.range(input.as_of) else { continue };
            let before = period.year_before(own);
            ranges.extend([own, before, period.year_before(before)]);
            ranges.extend(period.preceding(own));
        }
        ranges.extend(commensurate::ranges(input));
        let mut book = Self {
            as_of: input.as_of,
            known_from: None,
            ranges: ranges.into_iter().collect(),
            sums: BTreeMap::new(),
        };
        let mut own_from: Option<BusinessDay> = None;
        let mut today: (Option<BusinessDay>, Vec<usize>) = (None, Vec::new());
        let mut add = |book: &mut Self, key: CellKey, figures: Figures| {
            let Some(province) = input.provinces.get(&key.prefecture) else { return };
            if today.0 != Some(key.day) {
                let within = |(_, range): &(usize, &Range)| range.contains(key.day);
                let holding = book.ranges.iter().enumerate().filter(within);
                today = (Some(key.day), holding.map(|(index, _)| index).collect());
            }
            let count = book.ranges.len();
            for unit in [Unit::Prefecture(key.prefecture), Unit::Province(*province)] {
                let products = book.sums.entry(unit).or_default();
                let sums = products.entry(key.product);
                let sums = sums.or_insert_with(|| vec![Figures::default(); count]);
                today.1.iter().for_each(|index| sums[*index] += figures);
            }
        };
        for (key, measures) in cells {
            if key.day <= input.as_of {
                own_from = Some(own_from.map_or(key.day, |day| day.min(key.day)));
                add(&mut book, key, Figures::of(measures));
            }
        }
        for (&(day, prefecture, product), baseline) in &input.reference.baselines {
            if own_from.is_none_or(|from| day < from) && day <= input.as_of {
                let figures = Figures {
                    volume: baseline.volume.into(),
                    revenue: baseline.revenue.get(),
                    balance: baseline.balance.get(),
                    ..Figures::default()
                };
                book.known_from = Some(book.known_from.map_or(day, |known| known.min(day)));
                add(&mut book, CellKey { day, prefecture, product }, figures);
            }
        }
        book.known_from = book.known_from.into_iter().chain(own_from).min();
        for (prefecture, province) in input.provinces {
            book.sums.entry(Unit::Prefecture(*prefecture)).or_default();
            book.sums.entry(Unit::Province(*province)).or_default();
        }
        book
    }

    /// The day as of which it is.
    pub fn as_of(&self) -> BusinessDay {
        self.as_of
    }

    /// Every unit, provinces first, in the order of the codes.
    pub fn units(&self) -> Vec<Unit> {
        self.sums.keys().copied().collect()
    }

    /// Whether data reach back to the beginning of a range.
    pub fn knows(&self, range: Range) -> bool {
        self.known_from.is_some_and(|from| from <= range.first)
    }

    /// What a unit's business came to in a range. Where nothing happened that is 0.
    ///
    /// # Panics
    /// For a range that nothing asked for when the book was made.
    pub fn sum(&self, unit: Unit, scope: Scope, range: Range) -> Figures {
        let index = self.ranges.binary_search(&range).expect("a range that was asked for");
        let mut sum = Figures::default();
        for (product, sums) in self.sums.get(&unit).into_iter().flatten() {
            if scope.contains(*product) {
                sum += sums[index];
            }
        }
        sum
    }
}
