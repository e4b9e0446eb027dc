//! Handing encoded terms to the index.

use tantivy::tokenizer::{Token, TokenStream, Tokenizer};

/// Hands the index each encoded term as often as its strength says.
#[derive(Clone, Default)]
pub(super) struct Levels {
    token: Token,
}

/// The terms still to hand out.
pub(super) struct Repeated<'a> {
    lines: std::str::Lines<'a>,
    left: u8,
    token: &'a mut Token,
}

impl Tokenizer for Levels {
    type TokenStream<'a> = Repeated<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> Repeated<'a> {
        self.token.reset();
        Repeated { lines: text.lines(), left: 0, token: &mut self.token }
    }
}

impl TokenStream for Repeated<'_> {
    fn advance(&mut self) -> bool {
        if self.left == 0 {
            let Some((strength, term)) = self.lines.next().and_then(|line| line.split_at_checked(1)) else {
                return false;
            };
            self.left = strength.as_bytes()[0] - b'a';
            self.token.text.clear();
            self.token.text.push_str(term);
        }
        self.left -= 1;
        self.token.position = 0;
        true
    }

    fn token(&self) -> &Token {
        self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        self.token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_reads_back_what_was_encoded() {
        let mut levels = Levels::default();
        let mut stream = levels.token_stream("cdocker\nbnginx\n");
        let mut terms = Vec::new();
        while let Some(token) = stream.next() {
            terms.push(token.text.clone());
        }
        assert_eq!(terms, ["docker", "docker", "nginx"]);
    }
}
