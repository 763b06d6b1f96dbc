//! Lines out of files and streams, in blocks that end with a line.

use std::collections::VecDeque;
use std::io::{self, Read};

/// Bytes of a line at most.
pub const MOST_LINE_BYTES: usize = 4 << 10;

/// Bytes that are asked for at a time: a thousand addresses, the rows about which fit a core's cache.
const BLOCK_BYTES: usize = 16 << 10;

/// Where lines come from, one after the other.
pub struct Input {
    sources: VecDeque<Box<dyn Read + Send>>,
    /// The beginning of a line whose end was not there yet.
    carry: Vec<u8>,
    /// Whether what comes up to the end of the line belongs to one that was too long.
    skips: bool,
    next_number: u64,
    error: Option<io::Error>,
}

impl Input {
    /// Out of these.
    #[must_use]
    pub fn new(sources: Vec<Box<dyn Read + Send>>) -> Self {
        Self { sources: sources.into(), carry: Vec::new(), skips: false, next_number: 0, error: None }
    }

    /// The number of the next block, which is one in a row.
    pub const fn take_number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }

    /// What went wrong, if anything did.
    pub const fn take_error(&mut self) -> Option<io::Error> {
        self.error.take()
    }

    /// Whether a block is as large as one can be, so that there may be many.
    #[must_use]
    pub const fn is_full(block: &[u8]) -> bool {
        block.len() + MOST_LINE_BYTES > BLOCK_BYTES
    }

    /// Reads what there is at once, up to the end of a line, and gives its number; `None` at the end of everything. A line that is
    /// too long is cut off behind [`MOST_LINE_BYTES`], so that it is seen to be too long.
    pub fn read(&mut self, block: &mut Vec<u8>) -> Option<u64> {
        block.clear();
        block.append(&mut self.carry);
        loop {
            let Some(source) = self.sources.front_mut() else {
                return if block.is_empty() { None } else { Some(self.take_number()) };
            };
            let start = block.len();
            block.resize(start + BLOCK_BYTES, 0);
            let read = source.read(block.get_mut(start..).unwrap_or_default());
            block.truncate(start + read.as_ref().map_or(0, |count| (*count).min(BLOCK_BYTES)));
            match read {
                Ok(0) => self.end_source(block),
                Ok(_) => self.skip(block),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.error = Some(error);
                    self.sources.clear();
                    self.end_source(block);
                }
            }
            if let Some(end) = block.iter().rposition(|byte| *byte == b'\n') {
                self.carry.extend_from_slice(block.get(end + 1..).unwrap_or_default());
                block.truncate(end + 1);
                return Some(self.take_number());
            }
            if block.len() > MOST_LINE_BYTES {
                block.truncate(MOST_LINE_BYTES + 1);
                self.skips = true;
                return Some(self.take_number());
            }
        }
    }

    /// The last line of a file ends with it.
    fn end_source(&mut self, block: &mut Vec<u8>) {
        self.sources.pop_front();
        self.skips = false;
        if !block.is_empty() {
            block.push(b'\n');
        }
    }

    fn skip(&mut self, block: &mut Vec<u8>) {
        if self.skips {
            let end = block.iter().position(|byte| *byte == b'\n');
            self.skips = end.is_none();
            block.drain(..end.unwrap_or(block.len()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a piece at a time.
    struct Pieces(VecDeque<io::Result<Vec<u8>>>);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Some(piece) = self.0.pop_front() else { return Ok(0) };
            let mut piece = piece?;
            let rest = piece.split_off(piece.len().min(buffer.len()));
            buffer[..piece.len()].copy_from_slice(&piece);
            if !rest.is_empty() {
                self.0.push_front(Ok(rest));
            }
            Ok(piece.len())
        }
    }

    fn pieces(pieces: &[&[u8]]) -> Box<dyn Read + Send> {
        Box::new(Pieces(pieces.iter().map(|piece| Ok(piece.to_vec())).collect()))
    }

    fn blocks(sources: Vec<Box<dyn Read + Send>>) -> Vec<String> {
        let mut input = Input::new(sources);
        let (mut block, mut found) = (Vec::new(), Vec::new());
        while let Some(number) = input.read(&mut block) {
            assert_eq!(number, found.len() as u64);
            found.push(String::from_utf8(block.clone()).unwrap());
        }
        found
    }

    #[test]
    fn what_there_is_comes_at_once_and_lines_stay_whole() {
        assert_eq!(blocks(vec![pieces(&[b"a\nb\nc", b"d\n", b"e"])]), ["a\nb\n", "cd\n", "e\n"]);
        assert_eq!(blocks(vec![pieces(&[b"a"]), pieces(&[]), pieces(&[b"b\n"])]), ["a\n", "b\n"]);
        assert_eq!(blocks(vec![]), [""; 0]);
        assert_eq!(blocks(vec![pieces(&[b"\n"])]), ["\n"]);
    }

    #[test]
    fn long_lines_are_cut_and_what_follows_is_not() {
        let long = vec![b'x'; 100_000];
        let found = blocks(vec![pieces(&[b"a\n", &long, b"\nb\n", b"c"])]);
        let lines: Vec<_> = found.iter().flat_map(|block| block.lines()).filter(|line| !line.is_empty()).collect();
        assert_eq!((lines[0], lines[2], lines[3], lines.len()), ("a", "b", "c", 4));
        assert_eq!(lines[1].len(), MOST_LINE_BYTES + 1);
        // At the end of a file the line is over.
        let found = blocks(vec![pieces(&[&long]), pieces(&[b"b"])]);
        assert_eq!(found[1..], ["b\n"]);
    }

    #[test]
    fn what_was_read_before_an_error_counts() {
        let source = Pieces(VecDeque::from([Ok(b"a\nb".to_vec()), Err(io::Error::other("broken"))]));
        let mut input = Input::new(vec![Box::new(source), pieces(&[b"never"])]);
        let mut block = Vec::new();
        assert!(input.read(&mut block).is_some() && block == b"a\n");
        assert!(input.read(&mut block).is_some() && block == b"b\n");
        assert!(input.read(&mut block).is_none() && input.take_error().is_some());
    }
}
