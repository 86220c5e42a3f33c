//! Columns as Go's `tabwriter` aligns them with the settings docker-machine uses: padding 3, minimum 5.

use crate::excerpt;

const PADDING: usize = 3;
const MINIMUM: usize = 5;

/// Aligns the cells of lines, which tabs separate. The last cell of a line is not padded.
pub(super) fn aligned(lines: &str) -> String {
    // A cell that is wider than a screen would make every line so.
    let shown: Vec<Vec<_>> = lines.split('\n').map(|line| line.split('\t').map(excerpt::line).collect()).collect();
    let mut cells: Vec<Vec<&str>> = shown.iter().map(|line| line.iter().map(|cell| &**cell).collect()).collect();
    // A line that is cut off has no cell after its last tab.
    if let Some(last) = cells.last_mut().filter(|last| last.len() > 1 && last.ends_with(&[""])) {
        last.pop();
    }
    let widths = widths(&cells);
    let mut text = String::new();
    for (row, line) in cells.iter().enumerate() {
        for (column, cell) in line.iter().enumerate() {
            text.push_str(cell);
            if column + 1 < line.len() {
                let pad = widths[row][column] - cell.chars().count();
                text.extend(std::iter::repeat_n(' ', pad));
            }
        }
        if row + 1 < cells.len() {
            text.push('\n');
        }
    }
    text
}

/// The width of each cell. A column is a run of lines that have a cell there which a tab ends ("elastic tabstops").
fn widths(cells: &[Vec<&str>]) -> Vec<Vec<usize>> {
    let mut widths: Vec<Vec<usize>> = cells
        .iter()
        .map(|line| line.iter().map(|cell| (cell.chars().count() + PADDING).max(MINIMUM)).collect())
        .collect();
    let ended = |row: usize, column: usize| cells[row].len() > column + 1;
    let columns = cells.iter().map(Vec::len).max().unwrap_or_default();
    #[expect(clippy::needless_range_loop, reason = "a column is the second index")]
    for column in 0..columns {
        let mut from = 0;
        while from < cells.len() {
            let to = (from..cells.len()).find(|row| !ended(*row, column)).unwrap_or(cells.len());
            let widest = (from..to).map(|row| widths[row][column]).max().unwrap_or_default();
            (from..to).for_each(|row| widths[row][column] = widest);
            from = to + 1;
        }
    }
    widths
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded from docker-machine.
    #[test]
    fn a_table_is_docker_machines() {
        let lines = [
            "NAME\tACTIVE\tDRIVER\tSTATE\tURL\tSWARM\tDOCKER\tERRORS",
            "default\t-\tnone\tRunning\ttcp://127.0.0.1:12376\t\tv18.09.7\t",
            "hang\t\tnone\tTimeout\t\t\t\t",
            "swm\t-\tnone\tRunning\ttcp://127.0.0.1:12376\tswm3 (master)\tv18.09.7\t",
        ];
        let want = [
            "NAME      ACTIVE   DRIVER   STATE     URL                     SWARM           DOCKER     ERRORS",
            "default   -        none     Running   tcp://127.0.0.1:12376                   v18.09.7   ",
            "hang               none     Timeout                                                      ",
            "swm       -        none     Running   tcp://127.0.0.1:12376   swm3 (master)   v18.09.7   ",
        ];
        let text = |lines: [&str; 4]| lines.map(|line| format!("{line}\n")).concat();
        assert_eq!(aligned(&text(lines)), text(want));
    }

    #[test]
    fn a_line_without_the_column_ends_it() {
        assert_eq!(aligned("a\tb\nx\nlong cell\tb\n"), "a    b\nx\nlong cell   b\n");
        assert_eq!(aligned("long cell\tb\na\tcut"), "long cell   b\na           cut", "no line is ended that was not");
        assert_eq!(aligned("long cell\tb\na\t"), "long cell   b\na");
    }
}
