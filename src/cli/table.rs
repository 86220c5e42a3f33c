//! Columns as Go's `tabwriter` aligns them with the settings docker-machine uses: padding 3, minimum 5.

const PADDING: usize = 3;
const MINIMUM: usize = 5;

/// Aligns lines whose cells are separated by tabs. The last cell of a line is not padded.
pub(super) fn aligned(lines: &[String]) -> String {
    let cells: Vec<Vec<&str>> = lines.iter().map(|line| line.split('\t').collect()).collect();
    let mut text = String::new();
    for (row, line) in cells.iter().enumerate() {
        for (column, cell) in line.iter().enumerate() {
            text.push_str(cell);
            if column + 1 < line.len() {
                let pad = width(&cells, row, column) - cell.chars().count();
                text.extend(std::iter::repeat_n(' ', pad));
            }
        }
        text.push('\n');
    }
    text
}

/// A column is a run of lines that have a cell there which a tab ends ("elastic tabstops").
fn width(cells: &[Vec<&str>], row: usize, column: usize) -> usize {
    let ended = |line: &&Vec<&str>| line.len() > column + 1;
    let above = cells[..row].iter().rev().take_while(ended);
    let below = cells[row..].iter().take_while(ended);
    let longest = above.chain(below).map(|line| line[column].chars().count()).max().unwrap_or_default();
    (longest + PADDING).max(MINIMUM)
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
        let lines = lines.map(str::to_owned);
        assert_eq!(aligned(&lines), want.map(|line| format!("{line}\n")).concat());
    }

    #[test]
    fn a_line_without_the_column_ends_it() {
        let lines = ["a\tb".to_owned(), "x".to_owned(), "long cell\tb".to_owned()];
        assert_eq!(aligned(&lines), "a    b\nx\nlong cell   b\n");
    }
}
