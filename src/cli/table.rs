//! Tables: aligned for people, separated by tabs for programs. Only a terminal has them in colour.

use std::io::{self, Write};

use anstyle::{AnsiColor, Color, Style};
use tabwriter::TabWriter;

/// A table in the making.
pub(super) struct Table {
    /// Each with its style.
    lines: Vec<(Style, String)>,
}

/// Of a line that needs attention.
pub(super) const WARNING: Style = Style::new().fg_color(Some(Color::Ansi(AnsiColor::Yellow)));

impl Table {
    pub(super) fn new(header: &[&str]) -> Self {
        let lines = vec![(Style::new().bold(), header.join("\t"))];
        Self { lines }
    }

    /// Empty cells are shown as a dash.
    pub(super) fn row(&mut self, style: Style, cells: &[impl AsRef<str>]) {
        let cells = cells.iter().map(|cell| match cell.as_ref() {
            "" => "-".to_owned(),
            text => printable(text),
        });
        self.lines
            .push((style, cells.collect::<Vec<_>>().join("\t")));
    }

    /// For programs: as they are, a line each, with a tab between two cells.
    pub(super) fn print_tabs(&self, out: &mut impl Write) -> io::Result<()> {
        let mut lines = self.lines.iter();
        lines.try_for_each(|(_, line)| writeln!(out, "{line}"))
    }

    /// For people. `out` leaves the colours away where they are not wanted.
    pub(super) fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let mut table = TabWriter::new(vec![]).minwidth(4).padding(2);
        for (_, line) in &self.lines {
            writeln!(table, "{line}")?;
        }
        let aligned = table.into_inner().map_err(|_| io::ErrorKind::Other)?;
        let aligned = String::from_utf8_lossy(&aligned);
        for (line, (style, _)) in aligned.lines().zip(&self.lines) {
            writeln!(out, "{style}{line}{style:#}")?;
        }
        Ok(())
    }
}

/// What others wrote, without what would drive the terminal.
pub(super) fn printable(text: &str) -> String {
    let visible = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(visible).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_drives_the_terminal() {
        let mut table = Table::new(&["NAME", "USE CASE"]);
        table.row(Style::new(), &["a-longer-name", ""]);
        table.row(WARNING, &["b", "\u{1b}[2Jx\ty\n"]);
        let mut out = vec![];
        table.print(&mut out).unwrap();
        let text = anstream::adapter::strip_bytes(&out).into_vec();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "NAME           USE CASE\na-longer-name  -\nb              \u{fffd}[2Jx\u{fffd}y\u{fffd}\n"
        );
        let mut tabs = vec![];
        table.print_tabs(&mut tabs).unwrap();
        assert_eq!(
            String::from_utf8(tabs).unwrap(),
            "NAME\tUSE CASE\na-longer-name\t-\nb\t\u{fffd}[2Jx\u{fffd}y\u{fffd}\n"
        );
        let styled = String::from_utf8(out).unwrap();
        assert!(styled.starts_with("\u{1b}[1mNAME"), "{styled}");
    }
}
