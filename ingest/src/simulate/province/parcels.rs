//! Parcels on their way: a pool of constant size, in which every parcel moves one step at a time.
//!
//! A slot whose parcel has come to its end receives the next acceptance. The first pool is laid
//! out as if it had always been running, with parcels at every stage. Both together keep the mix
//! of events in equilibrium from the first record on, at whatever rate the province is asked.

use super::dice::Dice;
use super::value::Object;
use crate::simulate::shapes::{ECONOMY, HUB, PARCEL_PRODUCTS, PREFECTURES};

/// Parcels on their way at any moment. At the rate of a whole province (some 40 parcel events a
/// second) a parcel arrives after a quarter of an hour, which is quick, but shows whole lives.
const POOL: usize = 4_096;

const REVENUE_FEN_MAX: i64 = 5_000_000;
const WEIGHT_G_MAX: i64 = 500_000;
const HOUR_MS: i64 = 3_600_000;
/// Of parcels that failed once, the part that is delivered at the second attempt.
const SECOND_SUCCESS: f64 = 0.8;
/// Of those, the part that still makes the deadline.
const SECOND_ON_TIME: f64 = 0.3;
/// Of acceptances, the part that is voided at the counter.
const VOIDED: f64 = 0.003;
/// Of returned parcels, the part for which a fee is taken.
const RETURN_FEE: f64 = 0.5;

/// Where a step happens, relative to the parcel.
#[derive(Debug, Clone, Copy)]
enum Place {
    Origin,
    Hub,
    Destination,
}

/// The steps between acceptance and the delivery round.
type Route = &'static [(&'static str, Place)];

const DISPATCHED: &str = "dispatched";
const ARRIVED: &str = "arrived";

/// Five, six or seven scans on the way, so that a parcel delivered at once has eight to ten events.
const ROUTES: [(u32, Route); 3] = [
    (
        25,
        &[
            (DISPATCHED, Place::Origin),
            (ARRIVED, Place::Origin),
            (DISPATCHED, Place::Origin),
            (ARRIVED, Place::Destination),
            (ARRIVED, Place::Destination),
        ],
    ),
    (
        50,
        &[
            (DISPATCHED, Place::Origin),
            (ARRIVED, Place::Origin),
            (DISPATCHED, Place::Origin),
            (ARRIVED, Place::Destination),
            (DISPATCHED, Place::Destination),
            (ARRIVED, Place::Destination),
        ],
    ),
    (
        25,
        &[
            (DISPATCHED, Place::Origin),
            (ARRIVED, Place::Origin),
            (DISPATCHED, Place::Origin),
            (ARRIVED, Place::Hub),
            (DISPATCHED, Place::Hub),
            (ARRIVED, Place::Destination),
            (ARRIVED, Place::Destination),
        ],
    ),
];

/// How a parcel will end, drawn when it is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Voided,
    Delivered,
    SecondAttempt,
    Returned,
}

impl Fate {
    fn draw(dice: &mut Dice, destination: usize) -> Self {
        if dice.chance(VOIDED) {
            Self::Voided
        } else if !dice.chance(PREFECTURES[destination].first_failure) {
            Self::Delivered
        } else if dice.chance(SECOND_SUCCESS) {
            Self::SecondAttempt
        } else {
            Self::Returned
        }
    }

    /// The events of the delivery round, each with its attempt.
    fn round(self) -> &'static [(&'static str, i64)] {
        match self {
            Self::Voided => &[],
            Self::Delivered => &[("out_for_delivery", 1), ("delivered", 1)],
            Self::SecondAttempt => &[
                ("out_for_delivery", 1),
                ("delivery_failed", 1),
                ("out_for_delivery", 2),
                ("delivered", 2),
            ],
            Self::Returned => &[
                ("out_for_delivery", 1),
                ("delivery_failed", 1),
                ("out_for_delivery", 2),
                ("delivery_failed", 2),
                ("returned", 2),
            ],
        }
    }
}

#[derive(Debug)]
struct Parcel {
    waybill: u64,
    product: usize,
    origin: usize,
    destination: usize,
    route: Route,
    fate: Fate,
    agri: bool,
    revenue_fen: i64,
    weight_g: i64,
    /// The step that comes next; 0 is the acceptance.
    step: usize,
    /// When the last step happened: a parcel's own events never go back in time.
    last_ms: i64,
}

/// What a step is called, where it happens, and at which attempt to deliver.
struct Step {
    event_type: &'static str,
    prefecture: usize,
    attempt: Option<i64>,
}

impl Parcel {
    fn draw(dice: &mut Dice, serial: u64) -> Self {
        let product = dice.pick(&PARCEL_PRODUCTS, |product| product.share);
        let shape = &PARCEL_PRODUCTS[product];
        let origin = dice.pick(&PREFECTURES, |prefecture| prefecture.weight);
        let destination = loop {
            let drawn = dice.pick(&PREFECTURES, |prefecture| prefecture.weight);
            if drawn != origin {
                break drawn;
            }
        };
        Self {
            waybill: shape.waybill_prefix * 100_000_000_000 + serial % 100_000_000_000,
            product,
            origin,
            destination,
            route: ROUTES[dice.pick(&ROUTES, |(share, _)| *share)].1,
            fate: Fate::draw(dice, destination),
            agri: product == ECONOMY && dice.chance(PREFECTURES[origin].agri),
            revenue_fen: dice.lognormal(shape.price_fen, REVENUE_FEN_MAX),
            weight_g: dice.lognormal(shape.weight_g, WEIGHT_G_MAX),
            step: 0,
            last_ms: i64::MIN,
        }
    }

    /// The number of its events.
    fn steps(&self) -> usize {
        match self.fate {
            Fate::Voided => 2,
            fate => 1 + self.route.len() + fate.round().len(),
        }
    }

    fn next_step(&self) -> Step {
        let step = |event_type, prefecture| Step { event_type, prefecture, attempt: None };
        if self.step == 0 {
            return step("accepted", self.origin);
        }
        if self.fate == Fate::Voided {
            return step("voided", self.origin);
        }
        let on_route = self.step - 1;
        if let Some((event_type, place)) = self.route.get(on_route) {
            let prefecture = match place {
                Place::Origin => self.origin,
                Place::Hub => HUB,
                Place::Destination => self.destination,
            };
            return step(event_type, prefecture);
        }
        let (event_type, attempt) = self.fate.round()[on_route - self.route.len()];
        Step { event_type, prefecture: self.destination, attempt: Some(attempt) }
    }

    /// The value of `step`, which happened at `occurred_ms`.
    fn value(&self, dice: &mut Dice, step: &Step, waybill_no: &str, occurred_ms: i64) -> Vec<u8> {
        let prefecture = &PREFECTURES[step.prefecture];
        let mut object = Object::new();
        object.uuid("event_id", dice.uuid());
        object.text("event_type", step.event_type);
        object.text("waybill_no", waybill_no);
        object.text("product", PARCEL_PRODUCTS[self.product].code);
        object.text("prefecture", prefecture.code);
        object.int("office_no", dice.between(1, 1 + i64::from(prefecture.weight)));
        object.time("occurred_at", occurred_ms);
        match step.event_type {
            "accepted" | "voided" => {
                object.int("revenue_fen", self.revenue_fen);
                object.int("weight_g", self.weight_g);
            }
            "returned" if dice.chance(RETURN_FEE) => {
                object.int("revenue_fen", self.revenue_fen / 2);
            }
            _ => {}
        }
        if let Some(attempt) = step.attempt {
            object.int("attempt", attempt);
            if step.event_type == "delivered" {
                let on_time = if attempt == 1 { prefecture.on_time } else { SECOND_ON_TIME };
                object.time("due_at", due_ms(dice, occurred_ms, on_time));
            }
        }
        if self.agri {
            object.flag("agri", true);
        }
        object.finish()
    }
}

/// A deadline on the full hour, up to four hours after the delivery, or as long before it.
fn due_ms(dice: &mut Dice, occurred_ms: i64, on_time: f64) -> i64 {
    let hour_ms = occurred_ms - occurred_ms.rem_euclid(HOUR_MS);
    let hours = dice.between(0, 4) * HOUR_MS;
    if dice.chance(on_time) { hour_ms + HOUR_MS + hours } else { hour_ms - 1_000 - hours }
}

/// All parcels on their way.
#[derive(Debug)]
pub(super) struct Parcels {
    pool: Vec<Parcel>,
    next_serial: u64,
}

impl Parcels {
    pub(super) fn new(dice: &mut Dice) -> Self {
        let mut parcels =
            Self { pool: Vec::with_capacity(POOL), next_serial: u64::from(dice.below(u32::MAX)) };
        for _ in 0..POOL {
            let mut parcel = parcels.accept(dice);
            parcel.step = dice.index(parcel.steps());
            parcels.pool.push(parcel);
        }
        parcels
    }

    /// The key and the value of the next step of some parcel, which happened `ago_ms` before
    /// `now_ms` or right after the parcel's last step, whichever is later; if it is reported late,
    /// `late_ms` before that.
    pub(super) fn next(
        &mut self,
        dice: &mut Dice,
        now_ms: i64,
        ago_ms: i64,
        late_ms: i64,
    ) -> (Vec<u8>, Vec<u8>) {
        let slot = dice.index(self.pool.len());
        if self.pool[slot].step == self.pool[slot].steps() {
            self.pool[slot] = self.accept(dice);
        }
        let parcel = &mut self.pool[slot];
        let occurred_ms = (now_ms - ago_ms).max(parcel.last_ms.saturating_add(1)).min(now_ms);
        let step = parcel.next_step();
        parcel.step += 1;
        parcel.last_ms = occurred_ms;
        let waybill_no = parcel.waybill.to_string();
        let value = parcel.value(dice, &step, &waybill_no, occurred_ms - late_ms);
        (waybill_no.into_bytes(), value)
    }

    fn accept(&mut self, dice: &mut Dice) -> Parcel {
        let parcel = Parcel::draw(dice, self.next_serial);
        self.next_serial += 1;
        parcel
    }
}
