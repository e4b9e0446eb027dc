//! Checks that a stream of bytes is UTF-8 without ever holding it.

/// Bytes seen so far end in at most three bytes of an unfinished character.
#[derive(Default)]
pub(super) struct Utf8Check {
    unfinished: [u8; 4],
    length: usize,
}

impl Utf8Check {
    /// Whether the stream is still good after this chunk.
    pub(super) fn feed(&mut self, mut chunk: &[u8]) -> bool {
        while self.length > 0 {
            let Some((&byte, rest)) = chunk.split_first() else {
                return true;
            };
            chunk = rest;
            self.unfinished[self.length] = byte;
            self.length += 1;
            match std::str::from_utf8(&self.unfinished[..self.length]) {
                Ok(_) => self.length = 0,
                Err(error) if error.error_len().is_some() => return false,
                Err(_) => {}
            }
        }
        let Err(error) = std::str::from_utf8(chunk) else {
            return true;
        };
        let tail = &chunk[error.valid_up_to()..];
        if error.error_len().is_some() {
            return false;
        }
        self.length = tail.len();
        self.unfinished[..tail.len()].copy_from_slice(tail);
        true
    }

    /// Whether the stream may end here.
    pub(super) fn is_complete(&self) -> bool {
        self.length == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(chunks: &[&[u8]]) -> bool {
        let mut check = Utf8Check::default();
        chunks.iter().all(|chunk| check.feed(chunk)) && check.is_complete()
    }

    #[test]
    fn characters_may_be_cut_anywhere() {
        let text = "aé系👩\u{10ffff}".as_bytes();
        for i in 0..=text.len() {
            for j in i..=text.len() {
                assert!(check(&[&text[..i], &text[i..j], &text[j..]]), "{i} {j}");
            }
        }
    }

    #[test]
    fn agrees_with_the_standard_library_byte_by_byte() {
        let wrong: [&[u8]; 8] = [
            b"\xff",
            b"\xc0\x80",
            b"\xed\xa0\x80",
            b"\xf5\x80\x80\x80",
            b"a\x80",
            b"\xe4\xb8",
            b"\xe4\xb8a",
            b"\xf0\x9f\x91",
        ];
        for bytes in wrong {
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert!(!check(&single), "{bytes:x?}");
            assert!(!check(&[bytes]), "{bytes:x?}");
        }
    }
}
