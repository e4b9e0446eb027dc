//! Prints how good searching is, by category: `cargo run --example judge [-- all]`.

#[path = "../tests/search/judged.rs"]
mod judged;

fn main() -> anyhow::Result<()> {
    let report =
        judged::evaluate(include_str!("../tests/search/plugins.jsonl"), include_str!("../tests/search/queries.jsonl"))?;
    print!("{report}");
    // With any argument, also the queries that did worst.
    if std::env::args().len() > 1 {
        report.weak.iter().for_each(|line| println!("{line}"));
    }
    Ok(())
}
