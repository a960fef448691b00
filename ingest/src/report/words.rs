//! The words of a report, in English and in Chinese: a closed set, so that no language lacks any.

use postroad_aggregate::indicators::book::Scope;
use postroad_aggregate::indicators::period::Period;
use postroad_aggregate::indicators::{Comparison, Light, Why};
use postroad_schemas::closed_names;
use postroad_schemas::codebook::{Line, Product};
use postroad_schemas::reference::{Level, Measure};
use postroad_schemas::units::BusinessDay;

closed_names! {
    /// The language of a report.
    Language {
        /// English.
        En = "en",
        /// 中文
        Zh = "zh",
    }
}

/// Phrases in both languages. `{0}`, `{1}` … stand for what [`Language::fill`] puts there.
macro_rules! phrases {
    ($($phrase:ident: $en:literal, $zh:literal;)*) => {
        /// A phrase of a report.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Phrase { $(#[doc = concat!("`", $en, "`")] $phrase,)* }

        impl Phrase {
            /// Every phrase.
            pub const ALL: &'static [Self] = &[$(Self::$phrase,)*];

            fn pair(self) -> [&'static str; 2] {
                match self { $(Self::$phrase => [$en, $zh],)* }
            }
        }
    };
}

phrases! {
    DailyTitle: "Daily report as of {0}", "经营日报（截至 {0}）";
    MonthlyTitle: "Monthly report as of {0}", "经营月报（截至 {0}）";
    Headline: "Headline", "要点";
    Behind: "{0} of {1} prefectures behind their local economy; {2} of {1} with a lagging indicator",
        "{1} 个地市中，{0} 个与当地经济社会发展水平不相当，{2} 个有落后指标";
    BehindSomeUnknown: "{0} of {1} prefectures behind their local economy ({3} unknown); {2} of {1} with a lagging indicator",
        "{1} 个地市中，{0} 个与当地经济社会发展水平不相当（{3} 个未知），{2} 个有落后指标";
    Lagging: "{0}: {1} of {2} prefectures lag", "{0}：{2} 个地市中 {1} 个落后";
    BehindUnknown: "Whether prefectures are behind their local economy is unknown; {1} of {0} with a lagging indicator",
        "{0} 个地市是否与当地经济社会发展水平相当未知，{1} 个有落后指标";
    LaggingUnknown: "{0}, {1} unknown", "{0}，{1} 个未知";
    UnknownFor: "unknown ({0})", "未知（{0}）";
    Revenue: "Total revenue, year to date: {0}; year on year {1}", "本年累计总收入 {0}，同比{1}";
    Industry: "Against the industry, {0}, {4}: {1} against {2}: {3}", "{0}（{4}）同比{1}，行业{2}：{3}";
    YearToDate: "year to date", "本年累计";
    IndustryUnknown: "Against the industry, {0}: {1}", "{0}与行业相比：{1}";
    Spread: "Growth of total revenue between prefectures: {0} pp apart, from {1} ({2}) to {3} ({4})",
        "各地市总收入同比相差 {0} 个百分点：最高为{1}（{2}），最低为{3}（{4}）";
    Express: "Premium express {0}, year to date: {1} against {2} of all parcels",
        "本年累计特快{0}同比{1}，寄递整体{2}";
    ExpressSpread: "{0}; between prefectures {1} pp apart, from {2} ({3}) to {4} ({5})",
        "{0}；各地市相差 {1} 个百分点，最高为{2}（{3}），最低为{4}（{5}）";
    FeeMix: "Fee income: {0} of finance revenue; change on the year before: {1}",
        "中收占比 {0}，较上年同期变动{1}";
    Structure: "Income by line: {0}", "收入结构：{0}";
    StructurePart: "{0} {1} ({2})", "{0} {1}（{2}）";
    Concentration: "Concentration of revenue over prefectures (Herfindahl–Hirschman index): {0}; change on the year before: {1}",
        "收入集中度（赫芬达尔指数）{0}，较上年同期变动{1}";
    Figures: "Figures of the province", "全省经营情况";
    League: "League table: total revenue", "总收入排名";
    LaggingIndicators: "Lagging indicators", "落后指标";
    NoneLags: "No indicator lags.", "没有落后指标。";
    UnknownLights: "Unknown", "未知指标";
    Service: "Universal service: parcels", "普遍服务：寄递时限";
    NoService: "The data have no delivery attempts in these periods.", "数据中这些时期没有投递记录。";
    AboveAll: "Rates above 100 %: a parcel is due on the day of its first attempt and delivered on the day of its delivery, so a day may deliver what was due before.",
        "比率可超过 100%：应投计在首次投递之日，妥投计在实际妥投之日，当日妥投可含此前应投的邮件。";
    Notes: "Notes", "说明";
    Rank: "Rank", "排名";
    Move: "Move", "升降";
    Prefecture: "Prefecture", "地市";
    Business: "Business", "项目";
    Amount: "{0} ({1})", "{0}（{1}）";
    Growth: "{0} YoY", "{0}同比";
    Light: "Light", "灯";
    Against: "Against", "对标";
    Indicator: "Indicator", "指标";
    Own: "Own", "实际";
    Benchmark: "Benchmark", "对标值";
    Gap: "Gap, pp", "差距（百分点）";
    Source: "Level and source", "对标值层级与来源";
    Why: "Why", "原因";
    Whose: "Prefectures", "地市";
    WorstGap: "{0} gap", "{0}差距";
    ShareFigure: "{0}, and its change since the year began", "{0}及较年初变动";
    ShareChange: "Since the year began", "较年初";
    GapOf: "{0}, gap {1} pp", "{0}，差距 {1} 个百分点";
    AllOf: "all {0}", "全部 {0} 个";
    AndProvince: "{0}, and the province", "{0}，以及全省";
    TheProvince: "the province", "全省";
    Until: "to {0}", "至 {0}";
    FromUntil: "{0} to {1}", "{0} 至 {1}";
    OfPeriod: "{0}, {1}", "{0}，{1}";
    AsOf: "As of {0}, which is {1}; publish {2}.", "截至 {0}（{1}）；发布批次 {2}。";
    Complete: "complete: late records may still revise it", "已完整，迟到记录仍可能修订";
    Final: "final", "已定稿";
    Reference: "Reference data: version {0}.", "参考数据版本 {0}。";
    Evaluated: "The table indicators was not used: these indicators were evaluated for this report.",
        "未使用 indicators 表：指标由本报告即时计算。";
    Moved: "Figures have moved since the indicators were published; they are evaluated again before long.",
        "指标发布后数据又有变化，稍后会重新计算。";
    Synthetic: "Benchmarks whose source is synthetic are nobody's published figures: they are made up for want of any.",
        "来源为 synthetic 的对标值并非公开发布的数据，因无公开数据而模拟。";
    FirstDay: "The tables begin with {0}: growth is unknown, and shown as –, where its base begins before the data are complete.",
        "数据表始于 {0}：基期早于数据完整之日的同比未知，以“–”表示。";
    Unlisted: "Prefectures with figures in the tables that are not in the reference data, and so in no sum: {0}.",
        "数据表中有数据但不在参考数据中的地市，未计入任何合计：{0}。";
    MissingBenchmarks: "Benchmarks that are missing or stale: {0}.", "缺失或过期的对标数据：{0}。";
    Missing: "{0}, {1} ({2})", "{0}{1}（{2}）";
    Rounding: "Figures are rounded for display only; lights are decided before. Growth is year on year over the same elapsed period; pp are percentage points; Move is places gained since the end of the month before.",
        "仅显示时四舍五入，亮灯按未舍入的数值判定。同比为上年同期；升降为较上月末的名次变化。";
    GapRule: "Lagging is a gap below 0. Gaps are in percentage points; the league table shows of each commensurate the worst one, and which indicator has it.",
        "差距（百分点）小于 0 即为落后指标；排名表列出各项“相当”中差距最大的一项及其指标。";
}

impl Language {
    /// A phrase without places to fill.
    pub fn say(self, phrase: Phrase) -> &'static str {
        let [en, zh] = phrase.pair();
        self.pick(en, zh)
    }

    /// A phrase with its places filled, each at once: what is put there is not looked at again. Between a
    /// Chinese character and a number is a space.
    pub fn fill(self, phrase: Phrase, parts: &[&str]) -> String {
        let mut text = String::new();
        let mut rest = self.say(phrase);
        while let Some((before, after)) = rest.split_once('{') {
            let (place, after) = after.split_once('}').unwrap_or((after, ""));
            let part = place.parse().ok().and_then(|place: usize| parts.get(place));
            let part = part.copied().unwrap_or_default();
            text.push_str(before);
            if text.ends_with(is_han) && part.starts_with(is_of_number) {
                text.push(' ');
            }
            text.push_str(part);
            rest = after;
        }
        text.push_str(rest);
        text
    }

    fn pick(self, en: &'static str, zh: &'static str) -> &'static str {
        match self {
            Self::En => en,
            Self::Zh => zh,
        }
    }

    /// Between the names of a list.
    pub fn comma(self) -> &'static str {
        self.pick(", ", "、")
    }

    /// Between two of several things that have commas of their own.
    pub fn pause(self) -> &'static str {
        self.pick("; ", "；")
    }

    /// Between the clauses of a sentence.
    pub fn clause(self) -> &'static str {
        self.pick(", ", "，")
    }

    /// A text as it begins a line: English has a capital there.
    pub fn opening(self, text: &str) -> String {
        let mut characters = text.chars();
        let first = characters.next().map(char::to_uppercase);
        first.into_iter().flatten().chain(characters).collect()
    }

    /// A period, as a column is called. In Chinese a half-year that goes on is said to.
    pub fn period(self, period: Period, as_of: BusinessDay) -> &'static str {
        let next = as_of.plus_days(1);
        let has_next = |half: Period| half.range(next).is_some_and(|range| range.last == next);
        let goes_on = |half| next.year_start() == as_of.year_start() && has_next(half);
        match period {
            Period::Day => self.pick("Day", "当日"),
            Period::Days7 => self.pick("7 days", "近 7 日"),
            Period::Days30 => self.pick("30 days", "近 30 日"),
            Period::Mtd => self.pick("MTD", "本月累计"),
            Period::Qtd => self.pick("QTD", "本季累计"),
            Period::H1 => self.pick("H1", if goes_on(period) { "上半年累计" } else { "上半年" }),
            Period::H2 => self.pick("H2", if goes_on(period) { "下半年累计" } else { "下半年" }),
            Period::Ytd => self.pick("YTD", "本年累计"),
        }
    }

    /// A business.
    pub fn scope(self, scope: Scope) -> &'static str {
        match scope {
            Scope::Total => self.pick("total", "总"),
            Scope::Line(Line::Parcel) => self.pick("parcel", "寄递"),
            Scope::Line(Line::Finance) => self.pick("finance", "代理金融"),
            Scope::Line(Line::Basic) => self.pick("basic", "邮政基础业务"),
            Scope::Line(Line::Retail) => self.pick("retail", "分销增值"),
            Scope::Product(product) => self.product(product),
        }
    }

    fn product(self, product: Product) -> &'static str {
        match product {
            Product::Express => self.pick("premium express", "特快"),
            Product::Standard => self.pick("standard express", "标快"),
            Product::Economy => self.pick("e-commerce parcel", "快包"),
            Product::International => self.pick("international", "国际"),
            Product::Logistics => self.pick("contract logistics", "物流"),
            Product::Savings => self.pick("savings", "储蓄"),
            Product::Insurance => self.pick("insurance", "代理保险"),
            Product::Wealth => self.pick("wealth", "理财"),
            Product::Fund => self.pick("fund", "基金"),
            Product::Bond => self.pick("bond", "国债"),
            Product::Settlement => self.pick("settlement", "结算"),
            Product::Letter => self.pick("letter", "函件"),
            Product::Press => self.pick("press", "报刊"),
            Product::Philately => self.pick("philately", "集邮"),
            Product::Registered => self.pick("registered", "机要/普包"),
            Product::Distribution => self.pick("distribution", "分销"),
            Product::ValueAdded => self.pick("value added", "增值代理"),
        }
    }

    /// A measure of a business.
    pub fn measure(self, scope: Scope, measure: Measure) -> &'static str {
        match measure {
            Measure::Volume if scope.line() == Some(Line::Parcel) => self.pick("volume", "收寄量"),
            Measure::Volume => self.pick("volume", "交易笔数"),
            Measure::Revenue => self.pick("revenue", "收入"),
            Measure::Yield => self.pick("yield", "件均收入"),
            Measure::Balance => self.pick("net balance increase", "净增余额"),
            Measure::Share => self.pick("balance share", "余额市占率"),
            Measure::Mix => self.pick("fee income share", "中收占比"),
            Measure::DeliveredRate => self.pick("delivered rate", "妥投率"),
            Measure::OnTimeRate => self.pick("on-time rate", "及时率"),
            Measure::Structure => self.pick("part of total revenue", "收入占比"),
            Measure::Concentration => self.pick("concentration", "集中度"),
            Measure::Laggards => self.pick("laggards", "落后地市数"),
        }
    }

    /// A measure of a business, in full: `parcel volume`, `寄递收寄量`.
    pub fn indicator(self, scope: Scope, measure: Measure) -> String {
        let space = self.pick(" ", "");
        format!("{}{space}{}", self.scope(scope), self.measure(scope, measure))
    }

    /// The same where there is little room: revenue goes without saying.
    pub fn brief(self, scope: Scope, measure: Measure) -> String {
        match measure {
            Measure::Revenue if scope == Scope::Total => self.pick("total", "总收入").to_owned(),
            Measure::Revenue => self.scope(scope).to_owned(),
            Measure::Share => self.pick("share", "市占率").to_owned(),
            Measure::Volume if scope.line() != Some(Line::Parcel) => self.indicator(scope, measure),
            _ => self.measure(scope, measure).to_owned(),
        }
    }

    /// What something is held against, where there is little room.
    pub fn comparison(self, comparison: Comparison) -> &'static str {
        match comparison {
            Comparison::Yoy => self.pick("year on year", "同比"),
            Comparison::Pop => self.pick("period on period", "环比"),
            Comparison::DailyAverage => self.pick("daily average", "日均同比"),
            Comparison::TwoYear => self.pick("two-year average", "两年平均"),
            Comparison::Festival => self.pick("festival-aligned", "春节同比"),
            Comparison::Spread => self.pick("spread", "地市差距"),
            Comparison::Any => self.pick("any", "任一项"),
            Comparison::Peak => self.pick("peak", "旺季系数"),
            Comparison::Local => self.pick("local economy", "当地经济"),
            Comparison::Industry => self.pick("industry", "行业"),
            Comparison::Peer => self.pick("peers", "同类省"),
            Comparison::Plan => self.pick("plan", "计划"),
        }
    }

    /// A commensurate, as the trade calls it in full; of another comparison its name.
    pub fn commensurate(self, comparison: Comparison) -> &'static str {
        match comparison {
            Comparison::Local => self.pick(
                "Commensurate with the local economy and society",
                "与当地经济社会发展水平相当",
            ),
            Comparison::Industry => self.pick("Commensurate with the industry", "与行业相当"),
            Comparison::Peer => self
                .pick("Commensurate with same-type provinces of the group", "与同类省分公司相当"),
            Comparison::Plan => {
                self.pick("Commensurate with the annual plan", "与全年工作计划目标相当")
            }
            other => self.comparison(other),
        }
    }

    /// A light, in a word.
    pub fn light(self, light: Light) -> &'static str {
        match light {
            Light::Green => self.pick("green", "绿"),
            Light::Yellow => self.pick("yellow", "黄"),
            Light::Red => self.pick("red", "红"),
            Light::Unknown => self.pick("unknown", "未知"),
        }
    }

    /// Why something is not known.
    pub fn why(self, why: Why) -> &'static str {
        match why {
            Why::FigureMissing => self.pick("no figure", "无数据"),
            Why::BaseNotPositive => self.pick("the base is 0 or below", "基数为零或负"),
            Why::BaseIncomplete => self.pick("a part of the data is missing", "数据不全"),
            Why::BenchmarkMissing => self.pick("no benchmark", "无对标数据"),
            Why::BenchmarkStale => self.pick("the benchmark is stale", "对标数据过期"),
            Why::Overflow => self.pick("beyond 38 digits", "超出 38 位"),
        }
    }

    /// How fine a benchmark is.
    pub fn level(self, level: Level) -> &'static str {
        match level {
            Level::Prefecture => self.pick("prefecture", "地市"),
            Level::Province => self.pick("province", "省"),
            Level::Nation => self.pick("nation", "全国"),
        }
    }
}

/// Whether a character is a Chinese one, and no mark.
fn is_han(character: char) -> bool {
    !character.is_ascii() && character.is_alphabetic()
}

/// Whether a number may begin with a character.
fn is_of_number(character: char) -> bool {
    character.is_ascii_digit() || matches!(character, '+' | '-')
}

/// A sign for each light: whoever sees no colours, or prints without, needs none.
pub fn symbol(light: Light) -> &'static str {
    match light {
        Light::Green => "✓",
        Light::Yellow => "!",
        Light::Red => "✗",
        Light::Unknown => "?",
    }
}
