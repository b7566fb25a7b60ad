//! Tests of the comparison: examples, every pair of small texts, and properties against a naive reference.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use Comparison::{Exact, Lines};
use DifferenceKind::{Content, ExtraLine, LineTooLong, LineTooShort, MissingLine};

const BLANKS: [u8; 5] = *b" \t\r\x0b\x0c";

/// Actual, expected, and where and how they differ.
type Example = (&'static [u8], &'static [u8], (usize, usize, DifferenceKind));

/// The lines that count, the slow and plain way.
fn naive(text: &[u8]) -> Vec<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    for line in &mut lines {
        while line.last().is_some_and(|byte| BLANKS.contains(byte)) {
            line.pop();
        }
    }
    while lines.last().is_some_and(Vec::is_empty) {
        lines.pop();
    }
    lines
}

/// Where the naive lines first differ: line and byte, from 1.
fn naive_place(actual: &[u8], expected: &[u8]) -> Option<(usize, usize)> {
    let (actual, expected) = (naive(actual), naive(expected));
    let line = (0..actual.len().max(expected.len())).find(|i| actual.get(*i) != expected.get(*i))?;
    let column = match (actual.get(line), expected.get(line)) {
        (Some(a), Some(e)) => (0..=a.len()).find(|i| a.get(*i) != e.get(*i))?,
        _ => 0,
    };
    Some((line + 1, column + 1))
}

fn place(result: Result<(), Difference>) -> Option<(usize, usize)> {
    result.err().map(|difference| (difference.line, difference.column))
}

fn difference(mode: Comparison, actual: &[u8], expected: &[u8]) -> (usize, usize, DifferenceKind) {
    let found = compare(mode, actual, expected).unwrap_err();
    (found.line, found.column, found.kind)
}

fn text(alphabet: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    vec(select(alphabet), 0..16)
}

fn any_text() -> impl Strategy<Value = Vec<u8>> {
    text(b"ab\n\n \t\r\x0b\x0c\0\xff")
}

#[test]
fn lines_is_the_default() {
    assert_eq!(Comparison::default(), Lines);
}

#[test]
fn lines_ignores_what_ends_a_line_or_the_text() {
    let same: [(&[u8], &[u8]); 10] = [
        (b"", b""),
        (b"", b"\n"),
        (b"", b" \r\n\t\x0b\x0c\n\n"),
        (b"1 2", b"1 2\n"),
        (b"1 2\r\n3\r\n", b"1 2\n3\n"),
        (b"1 2   \n3\t\n", b"1 2\n3"),
        (b"1\x0b\x0c\n", b"1\n"),
        (b"1\n\n\n\n", b"1\n"),
        (b"1\n  \n2\n", b"1\n\n2\n"),
        (b"\0\xff \n", b"\0\xff"),
    ];
    for (actual, expected) in same {
        assert_eq!(compare(Lines, actual, expected), Ok(()), "{actual:?} {expected:?}");
        assert_eq!(compare(Lines, expected, actual), Ok(()), "{expected:?} {actual:?}");
    }
}

#[test]
fn lines_says_where_and_how_texts_differ() {
    let differ: [Example; 15] = [
        (b"1\n2\nabcdefX", b"1\n2\nabcdefY", (3, 7, Content)),
        (b" 1\n", b"1\n", (1, 1, Content)),
        (b"1  2\n", b"1 2\n", (1, 3, Content)),
        (b"1\r2\n", b"1\n2\n", (1, 2, LineTooLong)),
        (b"a\0b\n", b"a\0c\n", (1, 3, Content)),
        (b"a\0\n", b"a\n", (1, 2, LineTooLong)),
        (b"\xc3\x28\n", b"\xc3\x29\n", (1, 2, Content)),
        (b"\xef\xbb\xbf1\n", b"1\n", (1, 1, Content)),
        (b"a\xa0\n", b"a\n", (1, 2, LineTooLong)),
        (b"1\n2", b"1\n23", (2, 2, LineTooShort)),
        (b"\n1\n", b"1\n", (1, 1, LineTooShort)),
        (b"", b"1\n", (1, 1, MissingLine)),
        (b"1\n2\n3\n", b"1\n2\n3\n\n5\n", (4, 1, MissingLine)),
        (b"1\n2\n", b"1\n", (2, 1, ExtraLine)),
        (b"x", b"\n \n", (1, 1, ExtraLine)),
    ];
    for (actual, expected, where_and_how) in differ {
        assert_eq!(difference(Lines, actual, expected), where_and_how, "{actual:?} {expected:?}");
    }
}

#[test]
fn exact_says_where_and_how_texts_differ() {
    let differ: [Example; 7] = [
        (b"1", b"1\n", (1, 2, LineTooShort)),
        (b"1\n", b"1", (1, 2, LineTooLong)),
        (b"1\r\n", b"1\n", (1, 2, Content)),
        (b"1\n\n", b"1\n", (2, 1, ExtraLine)),
        (b"1\n", b"1\n2", (2, 1, MissingLine)),
        (b"", b"\n", (1, 1, MissingLine)),
        (b"1\n2 \n", b"1\n2\n", (2, 2, Content)),
    ];
    for (actual, expected, where_and_how) in differ {
        assert_eq!(difference(Exact, actual, expected), where_and_how, "{actual:?} {expected:?}");
    }
}

#[test]
fn messages_are_for_people_and_hold_no_data() {
    let message = |actual: &[u8], expected: &[u8]| compare(Lines, actual, expected).unwrap_err().to_string();
    assert_eq!(message(b"1\n2\nabcdefX", b"1\n2\nabcdefY"), "line 3, byte 7 differs");
    assert_eq!(message(b"QQ", b"QQZZ"), "line 1 ends too early, at byte 3");
    assert_eq!(message(b"QQZZ", b"QQ"), "line 1 is too long, from byte 3");
    assert_eq!(message(b"Q\nQ\nQ\n", b"Q\nQ\nQ\nZ"), "line 4 is missing");
    assert_eq!(message(b"Q\nZ", b"Q\n"), "extra text from line 2");
}

/// A quadratic comparison would need hours here.
#[test]
fn large_texts_take_linear_time() {
    let million_newlines = b"\n".repeat(1_000_000);
    assert_eq!(compare(Lines, &million_newlines, b""), Ok(()));
    let late = [&million_newlines[..], b"x"].concat();
    assert_eq!(difference(Lines, &late, &million_newlines), (1, 1, ExtraLine));
    assert_eq!(difference(Lines, &late, b"x"), (1, 1, LineTooShort));
    let spaced = [&b" ".repeat(1_000_000)[..], b"x"].concat();
    assert_eq!(compare(Lines, &[&spaced[..], b" "].concat(), &spaced), Ok(()));
    let rows = b"1 \n".repeat(1_000_000);
    assert_eq!(compare(Lines, &rows, &b"1\n".repeat(1_000_000)), Ok(()));
}

/// Every text of up to five bytes over a letter, a space and a newline, against every other.
#[test]
fn all_pairs_of_small_texts_agree_with_the_reference() {
    let mut texts = vec![Vec::new()];
    for first in 0..121 {
        let start: Vec<u8> = Vec::clone(&texts[first]);
        texts.extend(b"a \n".iter().map(|byte| [&start[..], &[*byte]].concat()));
    }
    assert_eq!(texts.iter().map(Vec::len).max(), Some(5));
    for actual in &texts {
        for expected in &texts {
            let found = compare(Lines, actual, expected);
            assert_eq!(place(found), naive_place(actual, expected), "{actual:?} {expected:?}");
            assert_eq!(
                compare(Exact, actual, expected).is_ok(),
                actual == expected,
                "{actual:?} {expected:?}"
            );
        }
    }
}

proptest! {
    #[test]
    fn lines_agrees_with_the_reference(actual in any_text(), expected in any_text()) {
        let found = compare(Lines, &actual, &expected);
        prop_assert_eq!(found.is_ok(), naive(&actual) == naive(&expected));
        prop_assert_eq!(place(found), naive_place(&actual, &expected));
    }

    #[test]
    fn lines_agrees_with_the_reference_on_texts_often_equal(
        actual in text(b"a\n \r"),
        expected in text(b"a\n \r"),
    ) {
        prop_assert_eq!(place(compare(Lines, &actual, &expected)), naive_place(&actual, &expected));
    }

    #[test]
    fn both_modes_are_reflexive(text in any_text()) {
        let copy = text.clone();
        prop_assert_eq!(compare(Lines, &text, &copy), Ok(()));
        prop_assert_eq!(compare(Exact, &text, &copy), Ok(()));
    }

    #[test]
    fn both_modes_are_symmetric_in_verdict(left in any_text(), right in any_text()) {
        for mode in [Lines, Exact] {
            let (there, back) = (compare(mode, &left, &right), compare(mode, &right, &left));
            prop_assert_eq!(there.is_ok(), back.is_ok());
            prop_assert_eq!(place(there), place(back));
        }
    }

    #[test]
    fn lines_ignores_appended_blanks_and_newlines(
        rows in vec((text(b"ab \0\xff"), vec(select(&BLANKS), 0..4)), 1..8),
        end in text(b"\n\r\t \x0b\x0c"),
        other in any_text(),
    ) {
        let plain = rows.iter().map(|(line, _)| line.clone()).collect::<Vec<_>>().join(&b'\n');
        let padded_rows = rows.iter().map(|(line, blanks)| [&line[..], blanks].concat());
        let mut padded = padded_rows.collect::<Vec<_>>().join(&b'\n');
        padded.extend(end);
        prop_assert_eq!(compare(Lines, &padded, &plain), Ok(()));
        prop_assert_eq!(compare(Lines, &plain, &padded), Ok(()));
        prop_assert_eq!(compare(Lines, &padded, &other), compare(Lines, &plain, &other));
    }

    #[test]
    fn lines_sees_every_changed_visible_byte(
        mut text in vec(select(b"ab\0 \n"), 1..16),
        at in any::<prop::sample::Index>(),
    ) {
        let before = text.clone();
        let at = at.index(text.len());
        text[at] = b'Z';
        prop_assert_eq!(place(compare(Lines, &text, &before)), naive_place(&text, &before));
        prop_assert!(compare(Lines, &text, &before).is_err());
    }

    #[test]
    fn exact_agrees_with_equality(actual in any_text(), expected in any_text()) {
        prop_assert_eq!(compare(Exact, &actual, &expected).is_ok(), actual == expected);
    }

    #[test]
    fn exact_allows_no_more_than_lines(actual in text(b"a\n "), expected in text(b"a\n ")) {
        if compare(Exact, &actual, &expected).is_ok() {
            prop_assert_eq!(compare(Lines, &actual, &expected), Ok(()));
        }
    }

    #[test]
    fn exact_points_at_the_first_differing_byte(
        start in any_text(),
        actual in any_text(),
        expected in any_text(),
    ) {
        let (actual, expected) = ([&start[..], &actual].concat(), [&start[..], &expected].concat());
        if let Err(found) = compare(Exact, &actual, &expected) {
            let same = actual.iter().zip(&expected).take_while(|(a, e)| a == e).count();
            let line_start = actual[..same].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            prop_assert_eq!(found.line, actual[..same].split(|byte| *byte == b'\n').count());
            prop_assert_eq!(found.column, same - line_start + 1);
        }
    }
}
