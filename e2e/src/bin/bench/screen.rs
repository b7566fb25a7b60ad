//! What people see: a table at the end on stdout, progress meanwhile on stderr.

use std::io::{self, IsTerminal, Write};

use crate::figure::Figure;
use crate::references::Reference;

/// Where to print, and in which manner.
#[derive(Debug)]
pub(crate) struct Screen {
    colours: bool,
    live: bool,
}

impl Screen {
    /// Colours and a line that changes are for terminals alone.
    pub(crate) fn new() -> Self {
        let colours = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { colours, live: io::stderr().is_terminal() }
    }

    /// Tells how many repetitions of `what` are done; elsewhere than on a terminal once for each `what`.
    pub(crate) fn progress(&self, what: &str, done: usize, total: usize) {
        if self.live {
            write!(io::stderr(), "\r\x1b[K{what} {done}/{total}").ok(); // a lost line of progress is no loss
        } else if done == 0 {
            writeln!(io::stderr(), "{what}").ok();
        }
    }

    /// A line for people that is no result.
    pub(crate) fn note(&self, text: &str) {
        let clear = if self.live { "\r\x1b[K" } else { "" };
        writeln!(io::stderr(), "{clear}{text}").ok();
    }

    /// Prints all that was measured.
    pub(crate) fn table(&self, place: &str, figures: &[Figure], references: &[Reference]) {
        self.note("");
        print(&format!("{place}\n"));
        let (figure, value, floor, ratio) = ("FIGURE", "VALUE", "FLOOR", "RATIO");
        print(&self.styled(1, &format!("{figure:<22}{value:>13}{floor:>13}{ratio:>7}  BETTER  WHAT")));
        for figure in figures {
            print(&row(figure));
        }
        for Reference { name, what, value } in references {
            print(&self.styled(
                2,
                &format!("{name:<22}{:>13}{:>20}  {:<6}  {what}", format!("{value:.3} ms"), "", ""),
            ));
        }
    }

    fn styled(&self, style: u8, text: &str) -> String {
        if self.colours { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn row(figure: &Figure) -> String {
    let Figure { name, what, unit, better, .. } = figure;
    let shown = |value: f64| format!("{value:.*} {unit}", if value < 100.0 { 3 } else { 0 });
    let (value, floor) = (shown(figure.value), figure.floor.map(shown).unwrap_or_default());
    let ratio = figure.ratio().map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
    format!("{name:<22}{value:>13}{floor:>13}{ratio:>7}  {better:<6}  {what}")
}

/// A reader that went away (`| head`) is no reason to leave the summary unwritten.
fn print(text: &str) {
    writeln!(io::stdout(), "{text}").ok();
}
