//! Comparing a program's output with the answer, byte by byte and in place.

use std::fmt;

/// What counts as the same output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Comparison {
    /// The same lines: white space (space, tab, `\r`, `\v`, `\f`) at the end of a line and empty lines at the
    /// end of the text do not count. All else does, leading white space, NUL and invalid UTF-8 included.
    #[default]
    Lines,
    /// The same bytes.
    Exact,
}

/// Where an output first departs from the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Difference {
    /// The line, counted from 1.
    pub line: usize,
    /// The byte within the line, counted from 1.
    pub column: usize,
    /// In what way it departs.
    pub kind: DifferenceKind,
}

/// In what way an output departs from the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DifferenceKind {
    /// Another byte stands there.
    Content,
    /// The output's line ends before the answer's.
    LineTooShort,
    /// The output's line goes on where the answer's ends.
    LineTooLong,
    /// The output has ended, the answer has more lines.
    MissingLine,
    /// The answer has ended, the output has more lines.
    ExtraLine,
}

impl fmt::Display for Difference {
    /// Says where, and never what: the answer may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, kind } = self;
        match kind {
            DifferenceKind::Content => write!(f, "line {line}, byte {column} differs"),
            DifferenceKind::LineTooShort => write!(f, "line {line} ends too early, at byte {column}"),
            DifferenceKind::LineTooLong => write!(f, "line {line} is too long, from byte {column}"),
            DifferenceKind::MissingLine => write!(f, "line {line} is missing"),
            DifferenceKind::ExtraLine => write!(f, "extra text from line {line}"),
        }
    }
}

impl std::error::Error for Difference {}

/// Compares a program's output with the answer, in linear time and without copying either.
pub fn compare(mode: Comparison, actual: &[u8], expected: &[u8]) -> Result<(), Difference> {
    // Most accepted outputs are equal to the byte, and this is many times faster than going by lines.
    if actual == expected {
        return Ok(());
    }
    match mode {
        Comparison::Lines => compare_lines(actual, expected, trim_end),
        Comparison::Exact => compare_lines(actual, expected, |text| text),
    }
}

/// Compares what counts of each line. `significant` takes a whole text or a single line with its newline.
fn compare_lines(actual: &[u8], expected: &[u8], significant: fn(&[u8]) -> &[u8]) -> Result<(), Difference> {
    let mut actual = lines(significant(actual)).map(significant);
    let mut expected = lines(significant(expected)).map(significant);
    let mut line = 0;
    loop {
        line += 1;
        let at = |column, kind| Err(Difference { line, column, kind });
        match (actual.next(), expected.next()) {
            (None, None) => return Ok(()),
            (None, Some(_)) => return at(1, DifferenceKind::MissingLine),
            (Some(_), None) => return at(1, DifferenceKind::ExtraLine),
            (Some(actual), Some(expected)) if actual == expected => {}
            (Some(actual), Some(expected)) => {
                let (column, kind) = difference_in_line(actual, expected);
                return at(column, kind);
            }
        }
    }
}

/// The lines of a text, each with its newline: together they are the text again, so no byte goes uncompared.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|byte| *byte == b'\n')
}

/// Where, counted from 1, and how two lines that are not equal differ.
fn difference_in_line(actual: &[u8], expected: &[u8]) -> (usize, DifferenceKind) {
    let same = actual.iter().zip(expected).take_while(|(a, e)| a == e).count();
    let kind = if same == actual.len() {
        DifferenceKind::LineTooShort
    } else if same == expected.len() {
        DifferenceKind::LineTooLong
    } else {
        DifferenceKind::Content
    };
    (same + 1, kind)
}

fn trim_end(text: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b'\x0b' | b'\x0c');
    let kept = text.iter().rposition(|byte| !blank(byte)).map_or(0, |last| last + 1);
    &text[..kept]
}

#[cfg(test)]
mod tests;
