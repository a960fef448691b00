//! The codebook: which prefectures, lines and products there are, and what they are called.
//!
//! Codes are keys and belong to the rules of a fold; names are presentation and may change at any
//! time. Products are a closed set, because the contract gives each its transactions. Prefectures
//! are data: Liaoning's 14 are the default, all 337 reporting units of China ship beside them, and
//! any other set can be read from CSV.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::contract::Contract;
use crate::csv_rows::{Columns, Faults, read_rows};
pub use crate::csv_rows::{CsvFault, Severity};
use crate::reject::closed_names;
use crate::units::BusinessDay;

closed_names! {
    /// A line of business. A total over the lines is always derived, never stored beside them.
    Line {
        /// 寄递
        Parcel = "parcel",
        /// 代理金融
        Finance = "finance",
        /// 邮政基础业务
        Basic = "basic",
        /// 分销增值
        Retail = "retail",
    }
}

closed_names! {
    /// A product. Declared in the order of the codes, which is the order of rows in every table.
    Product {
        /// 国债
        Bond = "bond",
        /// 分销
        Distribution = "distribution",
        /// 快包
        Economy = "economy",
        /// 特快
        Express = "express",
        /// 基金
        Fund = "fund",
        /// 代理保险
        Insurance = "insurance",
        /// 国际
        International = "international",
        /// 函件
        Letter = "letter",
        /// 物流
        Logistics = "logistics",
        /// 集邮
        Philately = "philately",
        /// 报刊
        Press = "press",
        /// 机要/普包
        Registered = "registered",
        /// 储蓄
        Savings = "savings",
        /// 结算
        Settlement = "settlement",
        /// 标快
        Standard = "standard",
        /// 增值代理
        ValueAdded = "value_added",
        /// 理财
        Wealth = "wealth",
    }
}

impl Product {
    /// The product with this code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.binary_search_by(|product| product.as_str().cmp(code)).ok().map(|i| Self::ALL[i])
    }

    /// What is wrong with a code that is no product's.
    pub fn unknown(code: &str) -> String {
        let codes: Vec<_> = Self::ALL.iter().map(|product| product.as_str()).collect();
        format!("`{code}` is no product of the contract; write one of {}", codes.join(", "))
    }

    /// The line that the product belongs to.
    pub fn line(self) -> Line {
        match self {
            Self::Express
            | Self::Standard
            | Self::Economy
            | Self::International
            | Self::Logistics => Line::Parcel,
            Self::Savings
            | Self::Insurance
            | Self::Wealth
            | Self::Fund
            | Self::Bond
            | Self::Settlement => Line::Finance,
            Self::Letter | Self::Press | Self::Philately | Self::Registered => Line::Basic,
            Self::Distribution | Self::ValueAdded => Line::Retail,
        }
    }

    /// The contract on whose topic the product's events travel.
    pub fn contract(self) -> Contract {
        match self.line() {
            Line::Parcel => Contract::Parcel,
            Line::Finance | Line::Basic | Line::Retail => Contract::Finance,
        }
    }
}

/// A GB/T 2260 code: six ASCII digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PrefectureCode(u32);

impl PrefectureCode {
    /// The code before all others, `000000`, which no place has.
    pub const MIN: Self = Self(0);

    /// Reads exactly six ASCII digits.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() != 6 || !bytes.iter().all(u8::is_ascii_digit) {
            return None;
        }
        Some(Self(bytes.iter().fold(0, |code, digit| code * 10 + u32::from(digit - b'0'))))
    }

    /// The code as a number below 1,000,000.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The code with this number; `None` from 1,000,000 on.
    pub const fn new(number: u32) -> Option<Self> {
        if number < 1_000_000 { Some(Self(number)) } else { None }
    }

    /// The code of its province, as its first two digits say (GB/T 2260): `210000` of `210300`.
    pub const fn province(self) -> Self {
        Self(self.0 / 10_000 * 10_000)
    }
}

impl fmt::Display for PrefectureCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06}", self.0)
    }
}

/// One reporting unit: a prefecture-level division, or a municipality.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefecture {
    /// GB/T 2260 code.
    pub code: PrefectureCode,
    /// Romanised name, for example `Shenyang`.
    pub name: String,
    /// Chinese name, for example `沈阳市`.
    pub name_zh: String,
    /// Code of the province.
    pub province_code: PrefectureCode,
    /// Romanised name of the province.
    pub province: String,
    /// Chinese name of the province.
    pub province_zh: String,
    /// First day on which the code is valid, inclusive; `None` where unknown.
    pub valid_from: Option<BusinessDay>,
    /// First day on which the code is no longer valid, exclusive; `None` while it is.
    pub valid_to: Option<BusinessDay>,
}

/// What a product is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductName {
    /// English name.
    pub name: String,
    /// Chinese name.
    pub name_zh: String,
}

/// The prefectures and product names in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Codebook {
    prefectures: BTreeMap<PrefectureCode, Prefecture>,
    products: BTreeMap<Product, ProductName>,
}

impl Codebook {
    /// The text of the built-in `prefectures.csv`.
    pub const LIAONING_CSV: &str = include_str!("../data/liaoning.csv");
    /// The text of the built-in `products.csv`.
    pub const PRODUCTS_CSV: &str = include_str!("../data/products.csv");
    /// The text of a `prefectures.csv` of all China.
    pub const CHINA_CSV: &str = include_str!("../data/china.csv");

    /// The built-in set: Liaoning's 14 prefectures.
    ///
    /// # Panics
    /// Never: the shipped data are read by a test.
    pub fn liaoning() -> Self {
        Self::built_in("liaoning.csv", Self::LIAONING_CSV)
    }

    /// All 337 reporting units of China: 333 prefecture-level divisions and 4 municipalities.
    ///
    /// # Panics
    /// Never: the shipped data are read by a test.
    pub fn china() -> Self {
        Self::built_in("china.csv", Self::CHINA_CSV)
    }

    fn built_in(file: &str, prefectures: &str) -> Self {
        Self::from_csv(file, prefectures, None).expect("the shipped reference data are valid")
    }

    /// Reads a codebook from the text of `prefectures.csv` and, where given, `products.csv`.
    ///
    /// # Errors
    /// Every fault of both files, in the order of their lines.
    pub fn from_csv(
        file: &str,
        prefectures: &str,
        products: Option<&str>,
    ) -> Result<Self, Vec<CsvFault>> {
        CsvFault::none_of(Self::read(file, prefectures, products))
    }

    /// Reads what some release has accepted, whatever this one would say of it.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn from_kept_csv(
        file: &str,
        prefectures: &str,
        products: Option<&str>,
    ) -> Result<Self, Vec<CsvFault>> {
        CsvFault::readable(Self::read(file, prefectures, products))
    }

    fn read(file: &str, prefectures: &str, products: Option<&str>) -> (Self, Vec<CsvFault>) {
        let products = products.unwrap_or(Self::PRODUCTS_CSV);
        let mut faults = Faults::default();
        let prefectures = read_prefectures(file, prefectures, &mut faults);
        let products = read_products("products.csv", products, &mut faults);
        (Self { prefectures, products }, faults.into_vec())
    }

    /// Every prefecture, in the order of the codes.
    pub fn prefectures(&self) -> impl ExactSizeIterator<Item = &Prefecture> {
        self.prefectures.values()
    }

    /// The prefecture with this code.
    pub fn prefecture(&self, code: PrefectureCode) -> Option<&Prefecture> {
        self.prefectures.get(&code)
    }

    /// What a product is called: its code where no name was given.
    pub fn product_name(&self, product: Product) -> &str {
        self.products.get(&product).map_or(product.as_str(), |names| &names.name)
    }

    /// What a product is called in Chinese: its code where no name was given.
    pub fn product_name_zh(&self, product: Product) -> &str {
        self.products.get(&product).map_or(product.as_str(), |names| &names.name_zh)
    }
}

fn read_prefectures(
    file: &str,
    text: &str,
    faults: &mut Faults,
) -> BTreeMap<PrefectureCode, Prefecture> {
    let columns = Columns {
        required: &["code", "name", "name_zh", "province_code", "province", "province_zh"],
        optional: &["valid_from", "valid_to"],
    };
    let mut prefectures = BTreeMap::new();
    read_rows(file, text, columns, faults, |row, faults| {
        let code = row.code("code", faults);
        let province_code = row.code("province_code", faults);
        let name = row.text("name", faults);
        let name_zh = row.text("name_zh", faults);
        let province = row.text("province", faults);
        let province_zh = row.text("province_zh", faults);
        let valid_from = row.date("valid_from", faults);
        let valid_to = row.date("valid_to", faults);
        let (Some(code), Some(province_code)) = (code, province_code) else { return };
        let prefecture = Prefecture {
            code,
            name,
            name_zh,
            province_code,
            province,
            province_zh,
            valid_from,
            valid_to,
        };
        if prefectures.insert(code, prefecture).is_some() {
            faults.push(row.fault("code", format!("{code} stands twice; keep one row")));
        }
    });
    if prefectures.is_empty() && faults.is_empty() {
        faults.push(CsvFault {
            file: file.to_owned(),
            line: 1,
            column: String::new(),
            problem: "no prefecture is given; at least one is needed".to_owned(),
            severity: Severity::Unreadable,
        });
    }
    prefectures
}

fn read_products(file: &str, text: &str, faults: &mut Faults) -> BTreeMap<Product, ProductName> {
    let columns = Columns { required: &["code", "line", "name", "name_zh"], optional: &[] };
    let mut products = BTreeMap::new();
    read_rows(file, text, columns, faults, |row, faults| {
        let names =
            ProductName { name: row.text("name", faults), name_zh: row.text("name_zh", faults) };
        let code = row.get("code");
        let Some(product) = Product::from_code(code) else {
            faults.push(row.fault("code", Product::unknown(&row.shown("code"))));
            return;
        };
        if row.get("line") != product.line().as_str() {
            faults.push(row.fault(
                "line",
                format!("{product} belongs to the line {0}; write {0}", product.line()),
            ));
        }
        if products.insert(product, names).is_some() {
            faults.push(row.fault("code", format!("{product} stands twice; keep one row")));
        }
    });
    products
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_data_are_complete() {
        assert_eq!(Codebook::liaoning().prefectures().len(), 14);
        assert_eq!(Codebook::china().prefectures().len(), 337);
        for product in Product::ALL {
            assert_ne!(Codebook::liaoning().product_name(*product), product.as_str());
        }
        for ours in Codebook::liaoning().prefectures() {
            let national = Codebook::china();
            let theirs = national.prefecture(ours.code).expect("Liaoning is part of China");
            assert_eq!(
                (&ours.name_zh, ours.province_code),
                (&theirs.name_zh, theirs.province_code)
            );
        }
    }

    #[test]
    fn products_are_declared_in_the_order_of_their_codes() {
        assert!(Product::ALL.is_sorted_by_key(|product| product.as_str()));
        for product in Product::ALL {
            assert_eq!(Product::from_code(product.as_str()), Some(*product));
        }
        assert_eq!(Product::from_code("Express"), None);
    }

    #[test]
    fn prefecture_codes_are_six_digits() {
        assert_eq!(
            PrefectureCode::parse("010203").map(|c| c.to_string()).as_deref(),
            Some("010203")
        );
        for text in ["21010", "2101000", "21010a", " 10100", "２１０１００", ""] {
            assert_eq!(PrefectureCode::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_code_says_which_province_it_is_of() {
        for codebook in [Codebook::liaoning(), Codebook::china()] {
            for prefecture in codebook.prefectures() {
                assert_eq!(prefecture.code.province(), prefecture.province_code);
            }
        }
        assert_eq!(PrefectureCode::MIN.province(), PrefectureCode::MIN);
    }

    #[test]
    fn every_fault_of_a_file_is_listed_with_its_line_and_column() {
        let text = "code,name,name_zh,province_code,province,province_zh,valid_from,valid_to\n\
                    21010,Shenyang,沈阳市,210000,Liaoning,辽宁省,,\n\
                    210200,,大连市,210000,Liaoning,辽宁省,2020-02-30,\n\
                    210300,Anshan,鞍山市,210000,Liaoning,辽宁省,,\n\
                    210300,Anshan,鞍山市,210000,Liaoning,辽宁省,,\n";
        let faults = Codebook::from_csv("prefectures.csv", text, None).expect_err("four faults");
        let places: Vec<_> = faults.iter().map(|f| (f.line, f.column.as_str())).collect();
        assert_eq!(places, [(2, "code"), (3, "name"), (3, "valid_from"), (5, "code")]);
    }
}
