//! Tables for people: columns without lines around them, wrapped to the terminal's width.

use anstyle::Style;
use comfy_table::{ColumnConstraint, ContentArrangement, Table as Layout, presets};

use super::printer::{CYAN, DIM};
use super::spelled;
use super::wording::marks;

/// Narrower, and there would be more line ends than words.
const NARROWEST: u16 = 40;

/// Its first column is never broken, as it holds what can be typed.
pub(crate) struct Table {
    /// Each with the style of its first cell.
    rows: Vec<(Style, Vec<String>)>,
}

impl Table {
    pub(crate) fn new(header: &[&str]) -> Self {
        let header = header.iter().map(ToString::to_string).collect();
        Self {
            rows: vec![(DIM, header)],
        }
    }

    pub(crate) fn row<const COLUMNS: usize>(&mut self, cells: [String; COLUMNS]) {
        self.styled(CYAN, cells);
    }

    /// A row with a style for its first cell.
    pub(crate) fn styled<const COLUMNS: usize>(&mut self, style: Style, cells: [String; COLUMNS]) {
        self.rows.push((style, cells.into()));
    }

    /// What is below the header.
    pub(crate) fn without_header(mut self) -> Self {
        self.rows.remove(0);
        self
    }

    /// The lines for a terminal of this many columns; without, each row is as long as it has to be.
    pub(super) fn render(self, width: Option<u16>, ascii: bool) -> String {
        let mut layout = Layout::new();
        layout.load_style(presets::NOTHING);
        if let Some(width) = width {
            layout
                .set_content_arrangement(ContentArrangement::Dynamic)
                .set_width(width.max(NARROWEST));
        }
        let mut styles = Vec::new();
        for (style, cells) in self.rows {
            styles.push(style);
            let cells = cells.iter().map(|cell| spelled::lines(cell));
            layout.add_row(cells.map(|cell| marks(&cell, ascii)));
        }
        let last = layout.column_count() - 1;
        for column in layout.column_iter_mut() {
            column.set_padding((0, if column.index == last { 0 } else { 2 }));
            if column.index == 0 {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        let first = usize::from(layout.column_max_content_widths()[0]);
        let mut styles = styles.into_iter();
        let lines = layout.trim_fmt();
        let lines = lines
            .lines()
            .map(|line| match line.split_at_checked(first) {
                // Only the first line of a row has something in the first column.
                Some((name, rest)) if !name.starts_with(' ') => {
                    let style = styles.next().unwrap_or_default();
                    format!("{style}{name}{style:#}{rest}")
                }
                _ => line.to_owned(),
            });
        lines.collect::<Vec<_>>().join("\n")
    }
}
