//! What a command prints: the end of it is kept, its lines are told as they come.

use crate::transport::LineSink;

/// How much of each stream is kept, bytes; the end matters, for errors.
pub(super) const KEPT: usize = 4 << 20;
/// Longer lines are told in pieces.
const LONGEST_LINE: usize = 64 << 10;

/// The last [`KEPT`] bytes of a stream.
#[derive(Default)]
pub(super) struct Tail(Vec<u8>);

impl Tail {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        // Cut rarely, so that each byte is moved once.
        if self.0.len() > 2 * KEPT {
            self.cut();
        }
    }

    fn cut(&mut self) {
        let surplus = self.0.len().saturating_sub(KEPT);
        self.0.drain(..surplus);
    }

    /// The text, lossily decoded.
    pub(super) fn into_text(mut self) -> String {
        self.cut();
        String::from_utf8(self.0).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
    }
}

/// Splits a stream into lines.
#[derive(Default)]
pub(super) struct Lines(Vec<u8>);

impl Lines {
    /// Tells every line that is complete.
    pub(super) fn push(&mut self, bytes: &[u8], sink: LineSink<'_>) {
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            self.0.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.0.len() >= LONGEST_LINE {
                self.tell(sink);
            }
        }
    }

    /// Tells what is left without a newline.
    pub(super) fn finish(&mut self, sink: LineSink<'_>) {
        if !self.0.is_empty() {
            self.tell(sink);
        }
    }

    fn tell(&mut self, sink: LineSink<'_>) {
        let line = self.0.strip_suffix(b"\n").unwrap_or(&self.0);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        sink(&String::from_utf8_lossy(line));
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::properties;
    use proptest::prelude::*;

    #[test]
    fn only_the_end_of_long_output_is_kept() {
        let mut tail = Tail::default();
        for _ in 0..5 {
            tail.push(&vec![b'a'; KEPT / 2]);
        }
        tail.push(b"end");
        let text = tail.into_text();
        assert_eq!(text.len(), KEPT);
        assert!(text.ends_with("aend"));
    }

    proptest! {
        #![proptest_config(properties(128))]
        /// The law: however the network cuts the stream, the lines are those of the text.
        #[test]
        fn lines_do_not_depend_on_packets(text in "[a-c\r\n]{0,40}", size in 1_usize..7) {
            let (mut told, mut lines) = (Vec::new(), Lines::default());
            for packet in text.as_bytes().chunks(size) {
                lines.push(packet, &mut |l| told.push(l.to_owned()));
            }
            lines.finish(&mut |l| told.push(l.to_owned()));
            let strip = |l: &str| l.strip_suffix('\r').unwrap_or(l).to_owned();
            let want: Vec<String> = text.split_terminator('\n').map(strip).collect();
            prop_assert_eq!(told, want);
        }
    }
}
