//! The decompressed side of an upload: exactly one gzip member that is nothing else as well, nothing after it, never
//! too much.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;

use super::codes::{self, CodeDoc};
use super::faults::Fault;
use super::header::{self, BLOCK};
use super::{MAX_COMPRESSED, MAX_UNPACKED};

/// How far decompression runs ahead of what was asked for, and so the most a bomb can unfold.
const BUFFER: usize = 32 * 1024;

/// The tar inside an upload, read in chunks and bounded on both sides of the decompression.
pub(super) struct Unpacked<R: Read> {
    stream: BufReader<GzDecoder<BufReader<Source<R>>>>,
    taken: u64,
}

impl<R: Read> Unpacked<R> {
    /// Reads the gzip header.
    pub(super) fn open(archive: R) -> Result<Self, Fault> {
        let source = BufReader::with_capacity(BUFFER, Source::new(archive));
        let mut decoder = GzDecoder::new(source);
        if decoder.header().is_none() {
            // The decoder hands out what went wrong in the header at the first read.
            let error = decoder.read(&mut [0]).err();
            return Err(bad_start(decoder.get_ref().get_ref(), error));
        }
        Ok(Self { stream: BufReader::with_capacity(BUFFER, decoder), taken: 0 })
    }

    /// The next bytes, at most `limit` of them and already consumed up to the next call; empty at the end.
    ///
    /// `visit` sees the bytes where they lie, so nothing is copied.
    pub(super) fn chunk<T>(&mut self, limit: u64, visit: impl FnOnce(&[u8]) -> T) -> Result<T, Fault> {
        let buffer = self.stream.fill_buf().map_err(fault_of)?;
        let length = buffer.len().min(usize::try_from(limit).unwrap_or(usize::MAX));
        let seen = visit(&buffer[..length]);
        self.stream.consume(length);
        self.taken += length as u64;
        if self.taken > MAX_UNPACKED {
            return Err(Fault::of_archive(codes::UNPACKED_TOO_LARGE));
        }
        Ok(seen)
    }

    /// Fills `block` as far as there is data and says how far that was.
    pub(super) fn fill(&mut self, block: &mut [u8]) -> Result<usize, Fault> {
        let mut filled = 0;
        while filled < block.len() {
            let rest = &mut block[filled..];
            let copied = self.chunk(rest.len() as u64, |bytes| {
                rest[..bytes.len()].copy_from_slice(bytes);
                bytes.len()
            })?;
            if copied == 0 {
                break;
            }
            filled += copied;
        }
        Ok(filled)
    }

    /// Checks that only zeros follow in the tar and nothing at all after the gzip member, and that the whole is no tar
    /// by itself.
    pub(super) fn finish(mut self) -> Result<(), Fault> {
        loop {
            let (length, zeros) = self.chunk(u64::MAX, |bytes| (bytes.len(), header::is_zeros(bytes)))?;
            if !zeros {
                return Err(Fault::of_archive(codes::TRAILING_DATA));
            }
            if length == 0 {
                break;
            }
        }
        let mut after = Vec::with_capacity(2);
        let mut source = self.stream.into_inner().into_inner();
        source.by_ref().take(2).read_to_end(&mut after).map_err(fault_of)?;
        match after.as_slice() {
            [] if source.get_ref().is_tar_itself() => Err(Fault::of_archive(codes::AMBIGUOUS_FORMAT)),
            [] => Ok(()),
            [0x1f, 0x8b] => Err(Fault::of_archive(codes::MULTIPLE_GZIP_MEMBERS)),
            _ => Err(Fault::of_archive(codes::TRAILING_DATA)),
        }
    }
}

/// The upload itself, counted, with its first bytes remembered to tell what it was meant to be.
struct Source<R> {
    inner: R,
    count: u64,
    start: [u8; BLOCK],
}

impl<R> Source<R> {
    fn new(inner: R) -> Self {
        Self { inner, count: 0, start: [0; BLOCK] }
    }

    /// Whether `tar -xf` could take the upload for a tar without compression: GNU tar looks for a header before it
    /// looks for gzip, and the beginning of a gzip has room for one.
    fn is_tar_itself(&self) -> bool {
        self.count >= BLOCK as u64 && header::is_taken_for_header(&self.start)
    }
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = loop {
            match self.inner.read(into) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Marked, because the decoder's own errors look just the same.
                Err(_) => return Err(io::Error::other(Stop(codes::READ_FAILED))),
                Ok(length) => break length,
            }
        };
        let missing = self.start.len().saturating_sub(usize::try_from(self.count).unwrap_or(usize::MAX));
        if missing > 0 {
            let begin = self.start.len() - missing;
            let copied = missing.min(length);
            self.start[begin..begin + copied].copy_from_slice(&into[..copied]);
        }
        self.count += length as u64;
        if self.count > MAX_COMPRESSED {
            return Err(io::Error::other(Stop(codes::PACKAGE_TOO_LARGE)));
        }
        Ok(length)
    }
}

/// A reason to stop that travels through the decoder as an I/O error.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.en)]
struct Stop(CodeDoc);

fn fault_of(error: io::Error) -> Fault {
    let stop = error.get_ref().and_then(|e| e.downcast_ref::<Stop>());
    Fault::of_archive(match stop {
        Some(stop) => stop.0,
        None if error.kind() == io::ErrorKind::UnexpectedEof => codes::TRUNCATED_ARCHIVE,
        None => codes::CORRUPT_ARCHIVE,
    })
}

fn bad_start<R>(source: &Source<R>, error: Option<io::Error>) -> Fault {
    const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
    let known = usize::try_from(source.count).map_or(MAGIC.len(), |count| count.min(MAGIC.len()));
    let fault = error.map_or_else(|| Fault::of_archive(codes::NOT_GZIP), fault_of);
    if fault.code == codes::READ_FAILED.code || fault.code == codes::PACKAGE_TOO_LARGE.code {
        return fault;
    }
    Fault::of_archive(match known {
        0 => codes::EMPTY_UPLOAD,
        _ if source.start[..known] != MAGIC[..known] => codes::NOT_GZIP,
        _ if fault.code == codes::TRUNCATED_ARCHIVE.code => codes::TRUNCATED_ARCHIVE,
        // Gzip by its first bytes, with flags or a checksum no gzip would write.
        _ => codes::NOT_GZIP,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Broken;

    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }

    fn code(archive: impl Read) -> Option<&'static str> {
        Unpacked::open(archive).err().map(|fault| fault.code)
    }

    #[test]
    fn a_source_that_breaks_is_not_the_authors_fault() {
        assert_eq!(code(Broken), Some("read_failed"));
        let start: &[u8] = &[0x1f, 0x8b, 8, 0];
        assert_eq!(code(start.chain(Broken)), Some("read_failed"));
    }

    #[test]
    fn the_start_tells_what_was_sent() {
        let cases: [(&[u8], &str); 6] = [
            (b"", "empty_upload"),
            (b"PK\x03\x04", "not_gzip"),
            (b"B", "not_gzip"),
            (b"\x1f", "truncated_archive"),
            (b"\x1f\x8b\x08\0\0\0", "truncated_archive"),
            (b"\x1f\x8b\x08\xe0\0\0\0\0\0\x03", "not_gzip"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(code(bytes), Some(expected), "{bytes:x?}");
        }
    }
}
