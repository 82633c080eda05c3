//! Tables for people: columns without lines around them, wrapped to the terminal's width.

use anstyle::Style;
use comfy_table::{ColumnConstraint, ContentArrangement, Table as Layout, presets};

use super::printer::{CYAN, DIM};

/// Narrower, and there would be more line ends than words.
const NARROWEST: u16 = 40;

/// Its first column is never broken, as it holds what can be typed.
pub(crate) struct Table {
    layout: Layout,
    styles: Vec<Style>,
}

impl Table {
    pub(crate) fn new(header: &[&str]) -> Self {
        let mut layout = Layout::new();
        layout.load_style(presets::NOTHING);
        let mut table = Self {
            layout,
            styles: Vec::new(),
        };
        table.add(DIM, header.iter().map(ToString::to_string));
        table
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.add(CYAN, cells);
    }

    /// A row with a style for its first cell.
    pub(crate) fn add(&mut self, style: Style, cells: impl IntoIterator<Item = String>) {
        self.layout.add_row(cells.into_iter().collect::<Vec<_>>());
        self.styles.push(style);
    }

    /// The lines for a terminal of this many columns; without, each row is as long as it has to be.
    pub(crate) fn render(mut self, width: Option<u16>) -> String {
        if let Some(width) = width {
            self.layout
                .set_content_arrangement(ContentArrangement::Dynamic)
                .set_width(width.max(NARROWEST));
        }
        for column in self.layout.column_iter_mut() {
            column.set_padding((0, 2));
        }
        if let Some(first) = self.layout.column_mut(0) {
            first.set_constraint(ColumnConstraint::ContentWidth);
        }
        let first = usize::from(self.layout.column_max_content_widths()[0]);
        let mut styles = self.styles.into_iter();
        let mut lines = Vec::new();
        for line in self.layout.trim_fmt().lines() {
            // Only the first line of a row has something in the first column.
            match line.split_at_checked(first.min(line.len())) {
                Some((name, rest)) if !name.starts_with(' ') => {
                    let style = styles.next().unwrap_or_default();
                    lines.push(format!("{style}{name}{style:#}{rest}"));
                }
                _ => lines.push(line.to_owned()),
            }
        }
        lines.join("\n")
    }
}
