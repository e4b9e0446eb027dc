//! How numbers, sizes and times read in each language.

use time::{Duration, OffsetDateTime};

use super::page_context::PageContext;
use crate::{data::timestamps, error::lang::Lang};

impl PageContext {
    /// A whole number with separators.
    pub fn n<N: Copy + Into<i64>>(&self, number: &N) -> String {
        separated((*number).into())
    }

    /// How many there are of something, short enough for a card: `1.2k`, `1.2 万`.
    pub fn short<N: Copy + Into<i64>>(&self, number: &N) -> String {
        short(self.lang, (*number).into())
    }

    /// What is counted, in the form that goes with the number.
    pub fn unit<'a, N: Copy + Into<i64>>(&self, number: &N, zh: &'a str, one: &'a str, many: &'a str) -> &'a str {
        self.lang.pick(zh, if (*number).into() == 1 { one } else { many })
    }

    /// A length in memory units.
    pub fn bytes<N: Copy + TryInto<u64>>(&self, bytes: &N) -> String {
        bytes_text((*bytes).try_into().unwrap_or_default())
    }

    /// A day, as everybody can read it.
    pub fn day(&self, at: &OffsetDateTime) -> String {
        at.date().to_string()
    }

    /// A time as machines read it.
    pub fn iso(&self, at: &OffsetDateTime) -> String {
        timestamps::text(*at)
    }

    /// How long ago something was.
    pub fn ago(&self, at: &OffsetDateTime) -> String {
        ago(self.lang, OffsetDateTime::now_utc() - *at)
    }

    /// Half stars, 0 to 10, for the picture of a rating.
    pub fn half_stars<N: Copy + Into<f64>>(&self, rating: &N) -> u8 {
        ((*rating).into() * 2.0).round().clamp(0.0, 10.0) as u8
    }

    /// A rating and how many gave one.
    pub fn stars<N: Copy + Into<i64>>(&self, rating: &f64, count: &N) -> String {
        format!("★ {rating:.1} ({})", self.n(count))
    }

    /// A rating with one decimal.
    pub fn rating(&self, rating: &f64) -> String {
        format!("{rating:.1}")
    }
}

fn separated(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}

fn short(lang: Lang, number: i64) -> String {
    let tenths = |unit: i64, name: &str| {
        let value = number as f64 / unit as f64;
        if value < 10.0 { format!("{value:.1}{name}").replace(".0", "") } else { format!("{value:.0}{name}") }
    };
    match (lang, number) {
        (Lang::Zh, 10_000..) => tenths(10_000, " 万"),
        (Lang::En, 1_000_000..) => tenths(1_000_000, "M"),
        (Lang::En, 1_000..) => tenths(1_000, "k"),
        _ => separated(number),
    }
}

fn bytes_text(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB"] {
        if value < 1024.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1} GiB")
}

fn ago(lang: Lang, past: Duration) -> String {
    let units = [
        (past.whole_days() / 365, "年", "year"),
        (past.whole_days() / 30, "个月", "month"),
        (past.whole_days(), "天", "day"),
        (past.whole_hours(), "小时", "hour"),
        (past.whole_minutes(), "分钟", "minute"),
    ];
    match units.into_iter().find(|(n, ..)| *n > 0) {
        None => lang.pick("刚刚", "just now").to_owned(),
        Some((n, zh, en)) => {
            let plural = if n == 1 { "" } else { "s" };
            lang.pick(format!("{n} {zh}前"), format!("{n} {en}{plural} ago"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([separated(7), separated(1234), separated(1_234_567)], ["7", "1,234", "1,234,567"]);
        assert_eq!([short(Lang::Zh, 9_999), short(Lang::Zh, 12_345)], ["9,999", "1.2 万"]);
        assert_eq!([short(Lang::En, 999), short(Lang::En, 2_000), short(Lang::En, 45_678)], ["999", "2k", "46k"]);
        assert_eq!([bytes_text(12), bytes_text(1536), bytes_text(5 << 30)], ["12 B", "1.5 KiB", "5.0 GiB"]);
    }

    #[test]
    fn times_read_well() {
        assert_eq!(ago(Lang::Zh, Duration::seconds(3)), "刚刚");
        assert_eq!(ago(Lang::En, Duration::hours(1)), "1 hour ago");
        assert_eq!(ago(Lang::Zh, Duration::days(40)), "1 个月前");
    }
}
