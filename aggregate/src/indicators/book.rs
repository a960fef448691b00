//! Sums: what each prefecture and product came to in each range of days that anything asks for.
//!
//! The daily table is read once. The first and last days of all ranges cut time into stretches, and a day is
//! added to the one that it is in, in its prefecture and product; lines, totals and provinces are added up
//! from these once all is read. Then the sums of stretches become running totals, and the sum over a
//! range is the difference of two.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{AddAssign, Sub};

use postroad_schemas::codebook::{Line, PrefectureCode, Product};
use postroad_schemas::units::BusinessDay;

use super::known::Known;
use super::period::{Period, Range};
use super::{Input, commensurate, rank};
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

    /// Its place in [`Self::all`].
    fn index(self) -> usize {
        match self {
            Self::Total => 0,
            Self::Line(line) => 1 + line as usize,
            Self::Product(product) => 1 + Line::ALL.len() + product as usize,
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

impl Sub for Figures {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            volume: self.volume - other.volume,
            revenue: self.revenue - other.revenue,
            balance: self.balance - other.balance,
            due: self.due - other.due,
            delivered: self.delivered - other.delivered,
            on_time: self.on_time - other.on_time,
        }
    }
}

/// The number of scopes.
const SCOPES: usize = 1 + Line::ALL.len() + Product::ALL.len();

/// All sums as of a day.
#[derive(Debug)]
pub struct Book {
    as_of: BusinessDay,
    known: Known,
    /// The prefectures of each province.
    members: BTreeMap<PrefectureCode, Vec<PrefectureCode>>,
    /// Where stretches begin, ascending; where the last one ends comes last.
    bounds: Vec<BusinessDay>,
    /// The position of each unit, provinces first, in the order of the codes.
    units: BTreeMap<Unit, usize>,
    /// For each unit, scope and bound what came before that bound, from the first bound on.
    totals: Vec<Figures>,
    /// For each unit and scope, whether anything was added: most of a small branch's have nothing.
    active: Vec<bool>,
}

impl Book {
    /// Adds up cells, and baselines on the days that are theirs.
    pub(super) fn add_up<'m>(
        input: &Input<'_>,
        cells: impl IntoIterator<Item = (CellKey, &'m Measures)>,
    ) -> Self {
        let mut book = Self::empty(input);
        let mut page = Page::default();
        let mut days: Vec<BusinessDay> = Vec::new();
        for (key, measures) in cells {
            if key.day <= input.as_of && book.known.is_the_logs(key.day) {
                if days.last() != Some(&key.day) {
                    days.push(key.day);
                }
                book.add(&mut page, key, Figures::of(measures));
            }
        }
        book.known.add_log(days);
        for (&(day, prefecture, product), baseline) in &input.reference.baselines {
            if day <= input.as_of && !book.known.is_the_logs(day) {
                let figures = Figures {
                    volume: baseline.volume.into(),
                    revenue: baseline.revenue.get(),
                    balance: baseline.balance.get(),
                    ..Figures::default()
                };
                book.add(&mut page, CellKey { day, prefecture, product }, figures);
            }
        }
        book.add_up_lines();
        book.add_up_provinces(input);
        book.run_on();
        book
    }

    /// A book with a place for everything that may be asked, and nothing in it.
    fn empty(input: &Input<'_>) -> Self {
        let mut ranges: BTreeSet<Range> = BTreeSet::new();
        for period in Period::ALL {
            let Some(own) = period.range(input.as_of) else { continue };
            let before = period.year_before(own);
            ranges.extend([own, before, period.year_before(before)]);
            ranges.extend(period.preceding(own));
            ranges.extend(period.festival_before(own));
            if let Some(earlier) = period.range(rank::earlier(input.as_of)) {
                ranges.extend([earlier, period.year_before(earlier)]);
            }
        }
        ranges.extend(commensurate::ranges(input));
        let of_province = |(prefecture, province): (&PrefectureCode, &PrefectureCode)| {
            [Unit::Prefecture(*prefecture), Unit::Province(*province)]
        };
        let mut members: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (prefecture, province) in input.provinces {
            members.entry(*province).or_default().push(*prefecture);
        }
        let units: BTreeSet<Unit> = input.provinces.iter().flat_map(of_province).collect();
        let units: BTreeMap<Unit, usize> = units.into_iter().zip(0..).collect();
        let ends = ranges.iter().flat_map(|range| [range.first, range.last.plus_days(1)]);
        let bounds: BTreeSet<BusinessDay> = ends.collect();
        let bounds: Vec<BusinessDay> = bounds.into_iter().collect();
        let known = Known::new(input.settings, input.reference);
        let active = vec![false; units.len() * SCOPES];
        let totals = vec![Figures::default(); units.len() * SCOPES * bounds.len()];
        Self { as_of: input.as_of, known, members, bounds, units, totals, active }
    }

    fn add(&mut self, page: &mut Page, key: CellKey, figures: Figures) {
        if page.day != Some(key.day) {
            // The stretch of a day is known by the bound that ends it.
            let end = self.bounds.partition_point(|bound| *bound <= key.day);
            page.end = Some(end).filter(|end| (1..self.bounds.len()).contains(end));
            page.day = Some(key.day);
        }
        if page.prefecture != Some(key.prefecture) {
            page.unit = self.units.get(&Unit::Prefecture(key.prefecture)).copied();
            page.prefecture = Some(key.prefecture);
        }
        let Some((unit, end)) = page.unit.zip(page.end) else { return };
        let scope = Scope::Product(key.product);
        self.active[unit * SCOPES + scope.index()] = true;
        let first = self.place(unit, scope);
        self.totals[first + end] += figures;
    }

    /// The place of a unit's and a scope's first bound.
    fn place(&self, unit: usize, scope: Scope) -> usize {
        (unit * SCOPES + scope.index()) * self.bounds.len()
    }

    fn add_up_lines(&mut self) {
        for unit in 0..self.units.len() {
            for product in Product::ALL {
                let from = self.place(unit, Scope::Product(*product));
                if !self.active[unit * SCOPES + Scope::Product(*product).index()] {
                    continue;
                }
                for scope in [Scope::Line(product.line()), Scope::Total] {
                    self.active[unit * SCOPES + scope.index()] = true;
                    let to = self.place(unit, scope);
                    for bound in 0..self.bounds.len() {
                        let figures = self.totals[from + bound];
                        self.totals[to + bound] += figures;
                    }
                }
            }
        }
    }

    fn add_up_provinces(&mut self, input: &Input<'_>) {
        for (prefecture, province) in input.provinces {
            let (from, to) = (Unit::Prefecture(*prefecture), Unit::Province(*province));
            let (from, to) = (self.units[&from] * SCOPES, self.units[&to] * SCOPES);
            for scope in 0..SCOPES {
                if !self.active[from + scope] {
                    continue;
                }
                self.active[to + scope] = true;
                let bounds = self.bounds.len();
                for bound in 0..bounds {
                    let figures = self.totals[(from + scope) * bounds + bound];
                    self.totals[(to + scope) * bounds + bound] += figures;
                }
            }
        }
    }

    /// Makes running totals of the sums of stretches.
    fn run_on(&mut self) {
        for totals in self.totals.chunks_mut(self.bounds.len().max(1)) {
            let mut total = Figures::default();
            for stretch in totals {
                total += *stretch;
                *stretch = total;
            }
        }
    }

    /// The day as of which it is.
    pub fn as_of(&self) -> BusinessDay {
        self.as_of
    }

    /// Every unit, provinces first, in the order of the codes.
    pub fn units(&self) -> impl Iterator<Item = Unit> {
        self.units.keys().copied()
    }

    /// Whether a unit has had any business of a scope in any range.
    pub fn has(&self, unit: Unit, scope: Scope) -> bool {
        self.active[self.units[&unit] * SCOPES + scope.index()]
    }

    /// The prefectures of a province, in the order of the codes.
    pub fn members(&self, province: PrefectureCode) -> &[PrefectureCode] {
        self.members.get(&province).map_or(&[], Vec::as_slice)
    }

    /// Which days are known.
    pub fn known(&self) -> &Known {
        &self.known
    }

    /// What a unit's business came to in a range. Where nothing happened that is 0.
    ///
    /// # Panics
    /// For a unit that no province has, and a range that nothing asked for when the book was made.
    pub fn sum(&self, unit: Unit, scope: Scope, range: Range) -> Figures {
        let bound =
            |day| self.bounds.binary_search(&day).expect("the end of a range that was asked for");
        let first = self.place(self.units[&unit], scope);
        self.totals[first + bound(range.last.plus_days(1))]
            - self.totals[first + bound(range.first)]
    }
}

/// Where the last cell was added: the next one is of the same day, and mostly of the same prefecture.
#[derive(Debug, Default)]
struct Page {
    day: Option<BusinessDay>,
    /// The bound that ends the day's stretch; `None` outside all.
    end: Option<usize>,
    prefecture: Option<PrefectureCode>,
    unit: Option<usize>,
}
