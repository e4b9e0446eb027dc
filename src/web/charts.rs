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

/// Draws downloads by day.
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
    fn bars_are_shares() {
        let shares: Vec<u8> = bars([("a".into(), 3), ("b".into(), 1)], true).iter().map(|bar| bar.share).collect();
        assert_eq!(shares, [75, 25]);
        assert!(bars([("a".into(), 0)], false).iter().all(|bar| bar.share == 0));
    }
}
