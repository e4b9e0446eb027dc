//! Prints how good searching is, by category, on the judged sets:
//! `cargo run --example judge [-- all]`.

#[path = "../tests/search/judged.rs"]
mod judged;

use judged::{FIRST, SECOND, THIRD};

fn main() -> anyhow::Result<()> {
    for (title, set) in [("first set", FIRST), ("second set", SECOND), ("third set", THIRD)] {
        let report = judged::evaluate(&set)?;
        println!("{title}\n{report}");
        // With any argument, also the queries that did worst.
        if std::env::args().len() > 1 {
            report.weak.iter().for_each(|line| println!("{line}"));
            println!();
        }
    }
    Ok(())
}
