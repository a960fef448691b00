//! The counter: agency finance, and the sales of the basic and retail lines.

use postroad_schemas::units::{BusinessDay, Timestamp};

use super::dice::Dice;
use super::value::Object;
use crate::simulate::shapes::{
    ACCRUAL_FEN, BOND_HUNDREDS, Business, DEPOSIT_FEN, FEE_FEN, FINANCE_MIX, FUND_FEN, GOODS,
    PREFECTURES, PREMIUM_THOUSANDS, WEALTH_FEN,
};

/// No single transaction is larger: 50 million yuan.
const AMOUNT_FEN_MAX: i64 = 5_000_000_000;
/// Accounts for each per mille of a prefecture's weight.
const ACCOUNTS_PER_WEIGHT: u32 = 200;
/// Account numbers from here on are those that the simulation opened.
const OPENED_FROM: u32 = 5_000_000;
/// Posted transactions that a reversal can still choose from.
const REVERSIBLE: usize = 256;
/// The contract allows an accounting date 31 days from the event; older days are not made up for.
const ACCRUAL_DAYS_MAX: i32 = 30;
/// The part of counter transactions that names its accounting date.
const DATED: f64 = 0.1;

/// One transaction, before it has an id and a time.
#[derive(Debug, Clone, Copy)]
struct Posting {
    txn_type: &'static str,
    product: &'static str,
    prefecture: usize,
    account: u32,
    amount_fen: Option<i64>,
    revenue_fen: Option<i64>,
    agri: bool,
}

/// The counters of the province.
#[derive(Debug)]
pub(super) struct Counters {
    scale: f64,
    opened: u32,
    /// The last postings, overwritten in a circle.
    recent: Vec<Posting>,
    posted: usize,
    accrual: Option<Accrual>,
}

/// The next accrual that is owed: savings earn once for each prefecture and day.
#[derive(Debug, Clone, Copy)]
struct Accrual {
    day: BusinessDay,
    prefecture: usize,
}

impl Counters {
    /// Counters that have done nothing yet. `scale` is that of what savings accrue.
    pub(super) fn new(scale: f64) -> Self {
        Self { scale, opened: 0, recent: Vec::new(), posted: 0, accrual: None }
    }

    /// The key and the value of the next transaction, which happened at `at_ms`, or `late_ms`
    /// before that if it is reported late; a reversal of an earlier one with this probability.
    ///
    /// Accruals are a machine's work: they are neither late nor reversed.
    pub(super) fn next(
        &mut self,
        dice: &mut Dice,
        at_ms: i64,
        late_ms: i64,
        reversals: f64,
    ) -> (Vec<u8>, Vec<u8>) {
        if let Some(accrual) = self.accrual_before(Timestamp::from_millis(at_ms).business_day()) {
            let posting = accrual_of(dice, self.scale, accrual.prefecture);
            let key = PREFECTURES[accrual.prefecture].code.as_bytes().to_vec();
            return (key, posting.value(dice, at_ms, Some(accrual.day), None));
        }
        let occurred_ms = at_ms - late_ms;
        if !self.recent.is_empty() && dice.chance(reversals) {
            let undone = self.recent[dice.index(self.recent.len())];
            let reversal = Posting { txn_type: "reversal", ..undone };
            let value = reversal.value(dice, occurred_ms, None, Some(undone.txn_type));
            return (reversal.account_no().into_bytes(), value);
        }
        let posting = self.post(dice);
        self.remember(posting);
        let today = Timestamp::from_millis(occurred_ms).business_day();
        let accounting_date = dice.chance(DATED).then_some(today);
        let value = posting.value(dice, occurred_ms, accounting_date, None);
        (posting.account_no().into_bytes(), value)
    }

    /// Takes the accrual that is owed for a day before `today`, if one is.
    fn accrual_before(&mut self, today: BusinessDay) -> Option<Accrual> {
        let yesterday = Accrual { day: today.plus_days(-1), prefecture: 0 };
        let mut owed = self.accrual.unwrap_or(yesterday);
        let oldest = today.plus_days(-ACCRUAL_DAYS_MAX);
        if owed.day < oldest {
            owed = Accrual { day: oldest, prefecture: 0 };
        }
        if owed.day >= today {
            return None;
        }
        self.accrual = Some(if owed.prefecture + 1 < PREFECTURES.len() {
            Accrual { prefecture: owed.prefecture + 1, ..owed }
        } else {
            Accrual { day: owed.day.plus_days(1), prefecture: 0 }
        });
        Some(owed)
    }

    fn post(&mut self, dice: &mut Dice) -> Posting {
        let prefecture = dice.pick(&PREFECTURES, |prefecture| prefecture.weight);
        let business = FINANCE_MIX[dice.pick(&FINANCE_MIX, |(_, share)| *share)].0;
        let account = dice.below(PREFECTURES[prefecture].weight * ACCOUNTS_PER_WEIGHT);
        let plain = Posting {
            txn_type: "opened",
            product: "savings",
            prefecture,
            account,
            amount_fen: None,
            revenue_fen: None,
            agri: false,
        };
        match business {
            Business::Opened => {
                self.opened = (self.opened + 1) % OPENED_FROM;
                Posting { account: OPENED_FROM + self.opened, ..plain }
            }
            Business::Deposit | Business::Withdrawal => Posting {
                txn_type: if business == Business::Deposit { "deposit" } else { "withdrawal" },
                amount_fen: Some(dice.lognormal(DEPOSIT_FEN, AMOUNT_FEN_MAX)),
                ..plain
            },
            Business::Transfer => transfer(dice, plain),
            Business::Wealth => {
                let amount_fen = dice.lognormal(WEALTH_FEN, AMOUNT_FEN_MAX);
                investment(dice, Posting { product: "wealth", ..plain }, amount_fen, 3)
            }
            Business::Fund => {
                let amount_fen = dice.lognormal(FUND_FEN, AMOUNT_FEN_MAX);
                investment(dice, Posting { product: "fund", ..plain }, amount_fen, 8)
            }
            Business::Bond => {
                let amount_fen = dice.lognormal(BOND_HUNDREDS, 50_000) * 10_000;
                investment(dice, Posting { product: "bond", ..plain }, amount_fen, 4)
            }
            Business::Insurance => {
                let amount_fen = dice.lognormal(PREMIUM_THOUSANDS, 5_000) * 100_000;
                Posting {
                    txn_type: "premium",
                    product: "insurance",
                    amount_fen: Some(amount_fen),
                    revenue_fen: Some(amount_fen * dice.between(30, 81) / 1_000),
                    ..plain
                }
            }
            Business::Fee => Posting {
                txn_type: "fee",
                product: ["savings", "settlement", "insurance", "fund"][dice.index(4)],
                revenue_fen: Some(dice.lognormal(FEE_FEN, AMOUNT_FEN_MAX)),
                ..plain
            },
            Business::Sale => sale(dice, plain),
        }
    }

    fn remember(&mut self, posting: Posting) {
        if self.recent.len() < REVERSIBLE {
            self.recent.push(posting);
        } else {
            self.recent[self.posted % REVERSIBLE] = posting;
        }
        self.posted += 1;
    }
}

fn transfer(dice: &mut Dice, plain: Posting) -> Posting {
    Posting {
        txn_type: if dice.chance(0.5) { "transfer_in" } else { "transfer_out" },
        product: if dice.chance(0.85) { "savings" } else { "settlement" },
        amount_fen: Some(dice.lognormal(DEPOSIT_FEN, AMOUNT_FEN_MAX)),
        revenue_fen: dice.chance(0.2).then(|| dice.between(1, 11) * 50),
        ..plain
    }
}

/// Bought six times of ten, sold otherwise; the commission is for buying.
fn investment(dice: &mut Dice, plain: Posting, amount_fen: i64, permille: i64) -> Posting {
    let bought = dice.chance(0.6);
    Posting {
        txn_type: if bought { "purchase" } else { "redemption" },
        amount_fen: Some(amount_fen),
        revenue_fen: bought.then_some(amount_fen * permille / 1_000),
        ..plain
    }
}

fn sale(dice: &mut Dice, plain: Posting) -> Posting {
    let goods = &GOODS[dice.pick(&GOODS, |goods| goods.share)];
    let price_fen = dice.lognormal(goods.price_fen, AMOUNT_FEN_MAX);
    Posting {
        txn_type: if dice.chance(0.02) { "refund" } else { "sale" },
        product: goods.code,
        amount_fen: Some(price_fen),
        revenue_fen: Some(price_fen * goods.revenue_permille / 1_000),
        agri: goods.rural && dice.chance(PREFECTURES[plain.prefecture].agri),
        ..plain
    }
}

/// What a prefecture's savings earned in a day: its part of the province's.
fn accrual_of(dice: &mut Dice, scale: f64, prefecture: usize) -> Posting {
    let province_fen = dice.lognormal(ACCRUAL_FEN.scaled(scale), AMOUNT_FEN_MAX);
    Posting {
        txn_type: "fee_accrual",
        product: "savings",
        prefecture,
        account: 0,
        amount_fen: None,
        revenue_fen: Some(province_fen / 1_000 * i64::from(PREFECTURES[prefecture].weight)),
        agri: false,
    }
}

impl Posting {
    fn account_no(&self) -> String {
        format!("6217{}{:07}", PREFECTURES[self.prefecture].code, self.account)
    }

    fn value(
        &self,
        dice: &mut Dice,
        occurred_ms: i64,
        accounting_date: Option<BusinessDay>,
        reverses: Option<&str>,
    ) -> Vec<u8> {
        let mut object = Object::new();
        object.uuid("event_id", dice.uuid());
        object.text("txn_type", self.txn_type);
        object.text("product", self.product);
        object.text("prefecture", PREFECTURES[self.prefecture].code);
        object.time("occurred_at", occurred_ms);
        if let Some(day) = accounting_date {
            object.date("accounting_date", day);
        }
        if let Some(amount_fen) = self.amount_fen {
            object.int("amount_fen", amount_fen);
        }
        if let Some(revenue_fen) = self.revenue_fen {
            object.int("revenue_fen", revenue_fen);
        }
        if let Some(txn_type) = reverses {
            object.nested("reverses", "txn_type", txn_type);
        }
        if self.agri {
            object.flag("agri", true);
        }
        if self.txn_type != "fee_accrual" {
            object.text("account_no", &self.account_no());
            object.text("channel", ["counter", "mobile", "atm"][dice.index(3)]);
        }
        object.finish()
    }
}
