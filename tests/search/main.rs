//! How good searching is, on judged queries over realistic plugins.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod judged;

use judged::{NOTHING, Report, evaluate};

fn report() -> Report {
    evaluate(include_str!("plugins.jsonl"), include_str!("queries.jsonl")).unwrap()
}

#[test]
fn the_order_is_what_people_expect() {
    let report = report();
    println!("{report}");
    assert!(report.overall.ndcg >= 0.92, "{report}");
}

#[test]
fn an_exact_id_or_name_comes_first_always() {
    let report = report();
    for category in ["exact id", "exact name"] {
        assert_eq!(report.categories[category].success, 1.0, "{report}");
    }
}

#[test]
fn a_typing_error_does_not_hide_what_was_meant() {
    let report = report();
    assert!(report.categories["typo"].recall >= 0.93, "{report}");
}

#[test]
fn nonsense_finds_nothing() {
    let report = report();
    assert_eq!(report.categories[NOTHING].ndcg, 1.0, "{report}");
}
