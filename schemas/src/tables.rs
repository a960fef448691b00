//! The Arrow schemas of the published tables.
//!
//! Only types that `DuckDB`, Polars, Spark, Trino and Power BI all read alike: no unsigned integers,
//! no dictionaries, no nanoseconds, decimals of at most 18 digits; no sentinel values.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// Digits of a money column, and how many of them are fen.
pub const MONEY_PRECISION: u8 = 18;
/// Decimal places of a money column.
pub const MONEY_SCALE: i8 = 2;
/// The largest absolute number of fen that `Decimal(18,2)` holds, inclusive.
pub const MONEY_FEN_MAX: i128 = 999_999_999_999_999_999;

/// The columns of the measures of a cell, in their order. Those that end in `_yuan` are money.
pub const MEASURES: [&str; 19] = [
    "volume",
    "revenue_yuan",
    "weight_g",
    "scans",
    "due",
    "delivered",
    "on_time",
    "failed_attempts",
    "returned",
    "voided",
    "balance_yuan",
    "turnover_yuan",
    "accounts_opened",
    "reversals",
    "agri_volume",
    "agri_revenue_yuan",
    "events",
    "late_events",
    "restated_events",
];

/// A published table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// Every measure by day, prefecture and product.
    DailyRollups,
    /// The cells of final days that a publish moved: what they showed before and after.
    Restatements,
    /// The account of every shard: the terms of promise P1.
    Ledger,
    /// Records that could not be used, with coordinates and reason.
    DeadLetters,
    /// When each publish was made, and how fresh it was.
    Publishes,
    /// The prefectures, as used.
    Prefectures,
    /// The products, as used.
    Products,
    /// The days, with their periods and status.
    Calendar,
    /// Who lags: growth, and what it is held against, as of each complete day.
    Indicators,
    /// What growth is held against, as used.
    Benchmarks,
    /// What is planned, as used.
    Plans,
}

impl Table {
    /// Every table, in the order in which a publish writes them.
    pub const ALL: [Self; 11] = [
        Self::DailyRollups,
        Self::Restatements,
        Self::DeadLetters,
        Self::Calendar,
        Self::Indicators,
        Self::Benchmarks,
        Self::Plans,
        Self::Prefectures,
        Self::Products,
        Self::Ledger,
        Self::Publishes,
    ];

    /// The folder's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::DailyRollups => "daily_rollups",
            Self::Restatements => "restatements",
            Self::Ledger => "ledger",
            Self::DeadLetters => "dead_letters",
            Self::Publishes => "publishes",
            Self::Prefectures => "prefectures",
            Self::Products => "products",
            Self::Calendar => "calendar",
            Self::Indicators => "indicators",
            Self::Benchmarks => "benchmarks",
            Self::Plans => "plans",
        }
    }

    /// The table's columns.
    pub fn schema(self) -> SchemaRef {
        let fields = match self {
            Self::DailyRollups => daily_rollups(),
            Self::Restatements => restatements(),
            Self::Ledger => ledger(),
            Self::DeadLetters => dead_letters(),
            Self::Publishes => publishes(),
            Self::Prefectures => prefectures(),
            Self::Products => products(),
            Self::Calendar => calendar(),
            Self::Indicators => indicators(),
            Self::Benchmarks => benchmarks(),
            Self::Plans => plans(),
        };
        Arc::new(Schema::new(fields))
    }
}

/// The type of a money column: yuan with two decimals.
pub fn money() -> DataType {
    DataType::Decimal128(MONEY_PRECISION, MONEY_SCALE)
}

/// Whether the column of a measure is money, rather than a count.
pub fn is_money(measure: &str) -> bool {
    measure.ends_with("_yuan")
}

/// The type of an instant: microseconds, UTC.
pub fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn required(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, false)
}

fn optional(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

fn texts<const N: usize>(names: [&str; N]) -> impl Iterator<Item = Field> {
    names.into_iter().map(|name| required(name, DataType::Utf8))
}

fn counts<const N: usize>(names: [&str; N]) -> impl Iterator<Item = Field> {
    names.into_iter().map(|name| required(name, DataType::Int64))
}

fn daily_rollups() -> Vec<Field> {
    let mut fields = vec![required("business_date", DataType::Date32)];
    fields.extend(texts([
        "prefecture_code",
        "prefecture_name",
        "province_code",
        "line_code",
        "product_code",
        "product_name",
    ]));
    fields.extend(MEASURES.iter().map(|measure| measured(measure, "")));
    fields.extend(texts(["status"]));
    fields
}

fn measured(measure: &str, suffix: &str) -> Field {
    let data_type = if is_money(measure) { money() } else { DataType::Int64 };
    required(&format!("{measure}{suffix}"), data_type)
}

fn restatements() -> Vec<Field> {
    let mut fields = vec![
        required("publish", DataType::Int64),
        required("published_at", instant()),
        required("business_date", DataType::Date32),
    ];
    fields.extend(texts(["prefecture_code", "product_code"]));
    let pair = |measure| ["_before", "_after"].map(|suffix| measured(measure, suffix));
    fields.extend(MEASURES.into_iter().flat_map(pair));
    fields
}

fn ledger() -> Vec<Field> {
    let mut fields: Vec<_> = texts(["source", "topic"]).collect();
    fields.push(required("partition", DataType::Int32));
    fields.push(required("incarnation", DataType::Int32));
    fields.extend(counts([
        "first_offset",
        "next_offset",
        "consumed",
        "applied",
        "duplicates",
        "rejected",
        "ignored",
        "gaps",
        "lost",
    ]));
    fields.extend(texts(["digest"]));
    fields.push(optional("watermark", instant()));
    fields.extend(texts(["state"]));
    fields.push(optional("reason", DataType::Utf8));
    fields
}

fn dead_letters() -> Vec<Field> {
    vec![
        required("topic", DataType::Utf8),
        required("partition", DataType::Int32),
        required("incarnation", DataType::Int32),
        required("offset", DataType::Int64),
        optional("record_timestamp", instant()),
        required("reason", DataType::Utf8),
        optional("field", DataType::Utf8),
        optional("payload", DataType::Binary),
    ]
}

fn publishes() -> Vec<Field> {
    vec![
        required("publish", DataType::Int64),
        required("published_at", instant()),
        required("shards", DataType::Int32),
        required("consumed", DataType::Int64),
        required("rejected", DataType::Int64),
        required("cells", DataType::Int64),
        optional("watermark_min", instant()),
        optional("watermark_max", instant()),
        optional("complete_without_through", DataType::Date32),
        optional("complete_through", DataType::Date32),
        optional("final_through", DataType::Date32),
    ]
}

fn prefectures() -> Vec<Field> {
    let mut fields: Vec<_> = texts([
        "prefecture_code",
        "prefecture_name",
        "prefecture_name_zh",
        "province_code",
        "province_name",
        "province_name_zh",
    ])
    .collect();
    fields.push(optional("valid_from", DataType::Date32));
    fields.push(optional("valid_to", DataType::Date32));
    fields
}

fn products() -> Vec<Field> {
    texts(["product_code", "line_code", "product_name", "product_name_zh"]).collect()
}

fn calendar() -> Vec<Field> {
    let mut fields = vec![required("business_date", DataType::Date32)];
    fields.extend(
        ["year", "half", "quarter", "month", "day", "iso_weekday", "day_of_year", "days_in_year"]
            .map(|name| required(name, DataType::Int32)),
    );
    fields.push(required("year_before", DataType::Date32));
    fields.push(optional("spring_festival", DataType::Date32));
    fields.push(optional("days_from_spring_festival", DataType::Int32));
    fields.extend(texts(["status"]));
    fields
}

/// Figures are doubles here, as nobody sums them; what is decided by them has been decided before.
fn indicators() -> Vec<Field> {
    let mut fields = ["as_of_date", "period_start", "period_end"]
        .map(|name| required(name, DataType::Date32))
        .to_vec();
    fields.extend(texts(["period", "level", "prefecture_code"]));
    fields.extend(["line_code", "product_code"].map(|name| optional(name, DataType::Utf8)));
    fields.extend(texts(["measure", "comparison"]));
    let figures = ["value", "base", "own_growth", "benchmark", "gap_pp"];
    fields.extend(figures.map(|name| optional(name, DataType::Float64)));
    let words = ["light", "why", "benchmark_level", "source"];
    fields.extend(words.map(|name| optional(name, DataType::Utf8)));
    fields.extend(["rank", "rank_change"].map(|name| optional(name, DataType::Int32)));
    fields.extend(texts(["reference_version"]));
    fields
}

fn benchmarks() -> Vec<Field> {
    let mut fields: Vec<_> = texts(["versus", "level"]).collect();
    fields.extend(["code", "line_code"].map(|name| optional(name, DataType::Utf8)));
    fields.extend(texts(["measure"]));
    fields.extend(["period_start", "period_end"].map(|name| required(name, DataType::Date32)));
    fields.extend(["growth_pct", "share_pct"].map(|name| optional(name, DataType::Float64)));
    fields.push(required("weight", DataType::Int64));
    fields.extend(texts(["basis"]));
    fields.push(optional("published_at", DataType::Date32));
    fields.extend(texts(["source", "reference_version"]));
    fields.push(optional("province_code", DataType::Utf8));
    fields
}

fn plans() -> Vec<Field> {
    let mut fields: Vec<_> = texts(["prefecture_code"]).collect();
    fields.push(optional("line_code", DataType::Utf8));
    fields.extend(texts(["measure"]));
    fields.push(required("year", DataType::Int32));
    fields.push(optional("volume", DataType::Int64));
    fields.push(optional("revenue_yuan", money()));
    fields.extend(texts(["source", "reference_version"]));
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The columns as the contract gives them; a reader's query depends on names, order and types.
    #[test]
    fn daily_rollups_are_as_the_contract_says() {
        let columns: Vec<String> = Table::DailyRollups
            .schema()
            .fields()
            .iter()
            .map(|field| format!("{} {}", field.name(), field.data_type()))
            .collect();
        let expected = "business_date Date32, prefecture_code Utf8, prefecture_name Utf8, \
            province_code Utf8, line_code Utf8, product_code Utf8, product_name Utf8, \
            volume Int64, revenue_yuan Decimal128(18, 2), weight_g Int64, scans Int64, due Int64, \
            delivered Int64, on_time Int64, failed_attempts Int64, returned Int64, voided Int64, \
            balance_yuan Decimal128(18, 2), turnover_yuan Decimal128(18, 2), \
            accounts_opened Int64, reversals Int64, agri_volume Int64, \
            agri_revenue_yuan Decimal128(18, 2), events Int64, late_events Int64, \
            restated_events Int64, status Utf8";
        assert_eq!(columns.join(", "), expected);
    }

    #[test]
    fn indicators_are_as_the_contract_says() {
        let schema = Table::Indicators.schema();
        let columns: Vec<_> = schema
            .fields()
            .iter()
            .map(|field| format!("{} {}", field.name(), field.data_type()))
            .collect();
        let expected = "as_of_date Date32, period_start Date32, period_end Date32, period Utf8, \
            level Utf8, prefecture_code Utf8, line_code Utf8, product_code Utf8, measure Utf8, \
            comparison Utf8, value Float64, base Float64, own_growth Float64, benchmark Float64, \
            gap_pp Float64, light Utf8, why Utf8, benchmark_level Utf8, source Utf8, rank Int32, \
            rank_change Int32, reference_version Utf8";
        assert_eq!(columns.join(", "), expected);
    }

    #[test]
    fn no_table_uses_a_type_that_a_reader_would_misread() {
        for table in Table::ALL {
            for field in table.schema().fields() {
                let fine = matches!(
                    field.data_type(),
                    DataType::Date32
                        | DataType::Utf8
                        | DataType::Int32
                        | DataType::Int64
                        | DataType::Float64
                        | DataType::Binary
                        | DataType::Decimal128(MONEY_PRECISION, MONEY_SCALE)
                ) || *field.data_type() == instant();
                assert!(fine, "{}.{} is {}", table.name(), field.name(), field.data_type());
            }
        }
    }
}
