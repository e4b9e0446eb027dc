//! Charts as SVG. What they show stands in a table beside them, so they are pictures only.

use crate::plugins::Point;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 120.0;

/// A chart of counts over time.
pub(super) struct DayChart {
    /// The drawing, bars only: it is stretched to its place, which text could not bear.
    pub svg: String,
    /// The number at its upper edge.
    pub top: i64,
    /// Its first and its last label.
    pub first: String,
    pub last: String,
}

/// Draws downloads by day, or by week.
pub(super) fn days(points: &[Point]) -> DayChart {
    over_time(points.iter().map(|point| (point.date.clone(), point.downloads)))
}

/// Draws counts in the order of time, each with its label.
pub(super) fn over_time(points: impl IntoIterator<Item = (String, i64)>) -> DayChart {
    let points: Vec<(String, i64)> = points.into_iter().collect();
    let top = scale_end(points.iter().map(|(_, count)| *count).max().unwrap_or(0));
    let step = WIDTH / points.len().max(1) as f64;
    let mut bars = String::new();
    for (i, (label, count)) in points.iter().enumerate() {
        let height = *count as f64 / top as f64 * HEIGHT;
        // A day without downloads keeps a line, so that it is seen to be a day.
        let height = height.max(1.5);
        bars.push_str(&format!(
            r#"<rect x="{:.2}" y="{:.2}" width="{:.2}" height="{height:.2}" rx="1"><title>{label}: {count}</title></rect>"#,
            i as f64 * step + step * 0.12,
            HEIGHT - height,
            step * 0.76
        ));
    }
    DayChart {
        svg: format!(
            r#"<svg class="bars" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" aria-hidden="true" focusable="false">{bars}</svg>"#
        ),
        top,
        first: points.first().map(|(label, _)| label.clone()).unwrap_or_default(),
        last: points.last().map(|(label, _)| label.clone()).unwrap_or_default(),
    }
}

/// The same by week, each under its first day; the last week ends with the last day.
pub(super) fn weeks(days: &[Point]) -> Vec<Point> {
    let sum = |week: &[Point]| Point {
        date: week.first().map(|day| day.date.clone()).unwrap_or_default(),
        downloads: week.iter().map(|day| day.downloads).sum(),
    };
    let (rest, whole) = days.split_at(days.len() % 7);
    let rest = (!rest.is_empty()).then(|| sum(rest));
    rest.into_iter().chain(whole.chunks(7).map(sum)).collect()
}

/// A round number at or above the highest value.
fn scale_end(most: i64) -> i64 {
    let mut unit = 1;
    while unit * 10 < most {
        unit *= 10;
    }
    // In tenths of the unit: no step is twice the one before, so that no chart is half empty.
    [10, 15, 20, 30, 40, 50, 60, 80, 100]
        .into_iter()
        .map(|n| n * unit / 10)
        .find(|end| *end >= most)
        .unwrap_or(most)
        .max(4)
}

/// One bar of a list of bars: its share of the largest, in steps of 5 for the style sheet.
pub(super) struct Bar {
    pub label: String,
    pub count: i64,
    pub share: u8,
}

/// Bars by their labels, in the order given.
pub(super) fn bars(items: impl IntoIterator<Item = (String, i64)>, of_sum: bool) -> Vec<Bar> {
    let items: Vec<(String, i64)> = items.into_iter().collect();
    let counts = items.iter().map(|(_, count)| *count);
    let whole = if of_sum { counts.sum() } else { counts.max().unwrap_or(0) };
    let share = |count: i64| if whole == 0 { 0 } else { ((count * 20 + whole / 2) / whole * 5) as u8 };
    items.into_iter().map(|(label, count)| Bar { label, share: share(count), count }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_ends_at_a_round_number() {
        assert_eq!([0, 4, 7, 11, 130, 20_500, 999].map(scale_end), [4, 4, 8, 15, 150, 30_000, 1000]);
    }

    #[test]
    fn weeks_hold_every_day_once() {
        let days: Vec<Point> = (1..=17).map(|n| Point { date: n.to_string(), downloads: n }).collect();
        let weeks: Vec<(String, i64)> = weeks(&days).into_iter().map(|week| (week.date, week.downloads)).collect();
        assert_eq!(weeks, [("1".into(), 6), ("4".into(), 49), ("11".into(), 98)]);
    }

    #[test]
    fn bars_are_shares() {
        let shares: Vec<u8> = bars([("a".into(), 3), ("b".into(), 1)], true).iter().map(|bar| bar.share).collect();
        assert_eq!(shares, [75, 25]);
        assert!(bars([("a".into(), 0)], false).iter().all(|bar| bar.share == 0));
    }

    #[test]
    fn the_scale_holds_its_highest_value_and_not_twice_as_much() {
        for most in 1..=100_000 {
            let end = scale_end(most);
            assert!(end >= most && (end < 2 * most || end == 4), "{end} for {most}");
        }
        let ends = [10, 15, 16, 20, 31, 41, 51, 60, 61, 81, 100, 101, 1_000, 1_001].map(scale_end);
        assert_eq!(ends, [10, 15, 20, 20, 40, 50, 60, 60, 80, 100, 100, 150, 1_000, 1_500]);
        assert_eq!(scale_end(i64::MAX / 100), 100_000_000_000_000_000);
    }

    #[test]
    fn each_day_has_a_bar_of_its_height_in_its_place() {
        let point = |date: &str, downloads| Point { date: date.into(), downloads };
        let chart = days(&[point("2026-11-20", 0), point("2026-11-21", 4), point("2026-11-22", 8)]);
        let bars: Vec<&str> = chart.svg.split("<rect ").skip(1).collect();
        assert_eq!(
            bars,
            [
                r#"x="28.80" y="118.50" width="182.40" height="1.50" rx="1"><title>2026-11-20: 0</title></rect>"#,
                r#"x="268.80" y="60.00" width="182.40" height="60.00" rx="1"><title>2026-11-21: 4</title></rect>"#,
                r#"x="508.80" y="0.00" width="182.40" height="120.00" rx="1"><title>2026-11-22: 8</title></rect></svg>"#,
            ]
        );
        assert!(chart.svg.starts_with(r#"<svg class="bars" viewBox="0 0 720 120""#), "{}", chart.svg);
        assert_eq!((chart.top, &*chart.first, &*chart.last), (8, "2026-11-20", "2026-11-22"));
        let nothing = days(&[]);
        assert_eq!((nothing.top, &*nothing.first, &*nothing.last), (4, "", ""));
        assert!(!nothing.svg.contains("rect"));
    }

    #[test]
    fn shares_are_rounded_to_steps_of_five() {
        let shares = |counts: &[i64], of_sum| -> Vec<u8> {
            bars(counts.iter().map(|count| (count.to_string(), *count)), of_sum).iter().map(|bar| bar.share).collect()
        };
        assert_eq!(shares(&[1, 2], true), [35, 65]);
        assert_eq!(shares(&[1, 2, 4], false), [25, 50, 100]);
        assert_eq!(shares(&[1, 39], true), [5, 100]);
        assert_eq!(shares(&[1, 40], true), [0, 100]);
        assert_eq!(shares(&[], false), Vec::<u8>::new());
        let named = bars([("five".into(), 7)], true);
        assert_eq!((&*named[0].label, named[0].count, named[0].share), ("five", 7, 100));
    }
}
