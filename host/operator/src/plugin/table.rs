//! A table of text for people: what is empty is a dash, and what others wrote is one line.

use postern_core::failure::one_line;

/// The longest text of a cell.
const CELL: usize = 1000;

/// The head of a column.
pub struct Column<'a>(pub &'a str);

/// The table, with a line for the heads.
pub fn of(columns: &[Column<'_>], rows: Vec<Vec<String>>) -> String {
    let mut lines: Vec<Vec<String>> = vec![columns.iter().map(|c| c.0.to_owned()).collect()];
    lines.extend(
        rows.into_iter()
            .map(|row| row.iter().map(|text| cell(text)).collect()),
    );
    let widths: Vec<usize> = (0..columns.len())
        .map(|at| {
            lines
                .iter()
                .filter_map(|line| line.get(at))
                .map(|text| text.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for line in &lines {
        let padded: Vec<String> = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text.push_str(padded.join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn cell(text: &str) -> String {
    match one_line(text, CELL) {
        empty if empty.is_empty() => "-".to_owned(),
        text => text,
    }
}

#[cfg(test)]
mod tests {
    use super::{Column, of};

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_stay_lines() {
        let rows = vec![
            vec!["a".to_owned(), "x\ny".to_owned()],
            vec!["long".to_owned(), String::new()],
        ];
        assert_eq!(
            of(&[Column("N"), Column("TEXT")], rows),
            "N     TEXT\na     x y\nlong  -\n"
        );
    }
}
