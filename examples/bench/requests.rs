//! Addresses to request, all different, drawn from the same words as the catalogue.

use crate::{
    fill::SEED,
    generate::{Dice, Words, generate},
};

const SORTS: [&str; 5] = ["downloads", "rating", "updated_at", "created_at", "name"];

/// Prints `count` addresses of a kind.
pub(crate) fn print(kind: &str, count: u64, plugins: u64) -> anyhow::Result<()> {
    let (mut dice, words) = (Dice(SEED + 1), Words::new());
    if kind == "detail" {
        for sample in generate(count.min(plugins), SEED) {
            println!("/api/v1/plugins/{}", sample.document.id);
        }
        return Ok(());
    }
    for n in 0..count {
        let query = match kind {
            "page" => {
                let sort = SORTS[dice.below(5) as usize];
                let page = 1 + dice.below(plugins / 10);
                let order = ["asc", "desc"][dice.below(2) as usize];
                // The last field makes each address a new one.
                println!("/api/v1/plugins?page={page}&per_page=10&sort={sort}&order={order}&n={n}");
                continue;
            }
            "mix" => {
                let word = |dice: &mut Dice| {
                    if dice.below(2) == 0 { words.chinese(dice) } else { words.english(dice) }.to_owned()
                };
                (0..=dice.below(3)).map(|_| word(&mut dice)).collect::<Vec<_>>().join(" ")
            }
            "chinese" => words.chinese(&mut dice).to_owned(),
            "typo" => misspell(words.english(&mut dice), &mut dice),
            "nothing" => format!("qx{:x}zz{n:x}", dice.roll() >> 40),
            "suggest" => {
                let word = if dice.below(2) == 0 { words.chinese(&mut dice) } else { words.english(&mut dice) };
                let letters = word.chars().count() as u64;
                let prefix: String = word.chars().take(1 + dice.below(letters) as usize).collect();
                println!("/api/v1/search/suggestions?q={}&n={n}", encode(&prefix));
                continue;
            }
            _ => anyhow::bail!("unknown kind {kind}"),
        };
        println!("/api/v1/plugins?search={}&per_page=10&n={n}", encode(&query));
    }
    Ok(())
}

/// Swaps two letters of a word.
fn misspell(word: &str, dice: &mut Dice) -> String {
    let mut letters: Vec<char> = word.chars().collect();
    if letters.len() > 3 {
        let at = 1 + dice.below(letters.len() as u64 - 2) as usize;
        letters.swap(at, at + 1);
    }
    letters.into_iter().collect()
}

fn encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
