//! Untrusted bytes made fit for a status or a terminal: valid text, no control characters, bounded.

/// Most bytes of an excerpt of output or answer.
pub const EXCERPT: usize = 1024;
/// Most bytes of what a compiler printed.
pub const COMPILER_OUTPUT: usize = 8192;
/// What stands for text that was cut.
const CUT: char = '…';

/// The start of `bytes` as printable text of at most `most` characters, the mark of a cut among them.
pub fn printable(bytes: &[u8], most: usize) -> String {
    // A character takes four bytes at the most: no need to look at more.
    let looked_at = bytes.get(..most.saturating_mul(4).saturating_add(4)).unwrap_or(bytes);
    let text = String::from_utf8_lossy(looked_at);
    let mut out: String = text.chars().take(most).map(harmless).collect();
    if looked_at.len() < bytes.len() || text.chars().nth(most).is_some() {
        out.pop();
        out.push(CUT);
    }
    out
}

/// `text` in at most `most` bytes, the mark of a cut among them.
pub fn within(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most.saturating_sub(CUT.len_utf8())));
        text.push(CUT);
    }
    text
}

/// Printable text from around `line` (1-based): that line, and the one before it.
pub fn around_line(bytes: &[u8], line: usize, most: usize) -> String {
    let start = line_start(bytes, line.saturating_sub(1).max(1));
    let rest = bytes.get(start..).unwrap_or_default();
    if start == 0 {
        return printable(rest, most);
    }
    format!("{CUT}\n{}", printable(rest, most.saturating_sub(2)))
}

fn line_start(bytes: &[u8], line: usize) -> usize {
    let mut ends = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1);
    if line <= 1 { 0 } else { ends.nth(line - 2).unwrap_or(bytes.len()) }
}

/// Escape sequences could rewrite a terminal, and bidirectional marks what a reader sees.
fn harmless(c: char) -> char {
    let rewrites = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if (c.is_control() && !matches!(c, '\n' | '\t')) || rewrites { char::REPLACEMENT_CHARACTER } else { c }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn control_characters_and_broken_text_are_replaced() {
        assert_eq!(
            printable(b"a\x1b[31mb\tc\r\nd\xff\0", 100),
            "a\u{fffd}[31mb\tc\u{fffd}\nd\u{fffd}\u{fffd}"
        );
        assert_eq!(printable("a\u{202e}b".as_bytes(), 9), "a\u{fffd}b");
    }

    #[test]
    fn a_cut_is_marked_and_within_the_bound() {
        assert_eq!(printable(b"abcd", 4), "abcd");
        assert_eq!(printable(b"abcde", 4), "abc…");
        assert_eq!(printable(&[b'x'; 100], 4), "xxx…");
    }

    #[test]
    fn bytes_are_counted_where_they_are_bounded() {
        assert_eq!(within("abcd".into(), 4), "abcd");
        assert_eq!(within("abcde".into(), 4), "a…");
        assert_eq!(within("ééé".into(), 5), "é…");
    }

    #[test]
    fn the_lines_around_a_difference_are_shown() {
        let text = b"1\n2\n3\n4\n";
        assert_eq!(around_line(text, 1, 100), "1\n2\n3\n4\n");
        assert_eq!(around_line(text, 2, 100), "1\n2\n3\n4\n");
        assert_eq!(around_line(text, 4, 100), "…\n3\n4\n");
        assert_eq!(around_line(text, 99, 100), "…\n");
    }

    proptest! {
        #[test]
        fn any_bytes_make_bounded_harmless_text(bytes: Vec<u8>, most in 1usize..40, line in 0usize..9) {
            for text in [printable(&bytes, most), around_line(&bytes, line, most + 2)] {
                prop_assert!(text.chars().count() <= most + 2);
                prop_assert!(text.chars().all(|c| !c.is_control() || c == '\n' || c == '\t'));
            }
        }
    }
}
