use super::*;
use std::collections::BTreeSet;

#[test]
fn codes_are_unique_and_plain() {
    let texts: BTreeSet<&str> = Code::ALL.iter().map(|c| c.as_str()).collect();
    assert_eq!(texts.len(), Code::ALL.len());
    for text in texts {
        let last = text.strip_prefix("machine::fleet::").unwrap();
        assert!(last.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{text}");
    }
}

#[test]
fn problems_come_in_file_order_with_line_and_column() {
    let text = "\u{feff}a: 1\r\nüb: 2\r\n";
    let mut problems = Problems::default();
    let at = text.find('2').unwrap();
    problems.push(Problem::new(Code::WrongType, "second").at(Place::new(0, at, at + 1), ""));
    problems.push(Problem::new(Code::UnknownKey, "first").at(Place::new(0, 3, 4), ""));
    problems.push(Problem::new(Code::Empty, "nowhere"));
    let all = FleetProblems::new("fleet.yaml", text, problems);
    let places: Vec<_> = all.problems().iter().map(|p| (p.message.as_str(), all.line_and_column(p))).collect();
    assert_eq!(places, [("nowhere", None), ("first", Some((1, 1))), ("second", Some((2, 5)))]);
    assert_eq!(all.to_string(), "fleet.yaml has 3 problems");
}

#[test]
fn places_name_their_file_and_are_in_the_order_of_files() {
    assert!(size_of::<Place>() <= 12, "every key and value has one");
    let sources = [Source::new("base.yaml", "a: 1\n"), Source::new("prod.yaml", "b: 2\nc: 3\n")];
    let mut problems = Problems::default();
    problems
        .push(Problem::new(Code::SameName, "c").at(Place::new(1, 5, 6), "this").at(Place::new(0, 0, 1), "and this"));
    problems.push(Problem::new(Code::UnknownKey, "a").at(Place::new(0, 0, 1), ""));
    let all = FleetProblems::among(&sources, problems);
    let places: Vec<_> = all.problems().iter().map(|p| (all.file_of(p), all.line_and_column(p))).collect();
    assert_eq!(places, [(Some("base.yaml"), Some((1, 1))), (Some("prod.yaml"), Some((2, 1)))]);
    assert_eq!(all.to_string(), "base.yaml and prod.yaml have 2 problems");
    let mut text = String::new();
    miette::GraphicalReportHandler::new_themed(miette::GraphicalTheme::unicode_nocolor())
        .render_report(&mut text, &all)
        .unwrap();
    insta::assert_snapshot!(text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n"), @r"
      × base.yaml and prod.yaml have 2 problems

    Error: machine::fleet::unknown_key

      × a
       ╭─[base.yaml:1:1]
     1 │ a: 1
       · ─
       ╰────

    Error: machine::fleet::same_name

      × c
       ╭─[prod.yaml:2:1]
     1 │ b: 2
     2 │ c: 3
       · ┬
       · ╰── this
       ╰────

    Advice:
      ☞ and in base.yaml
       ╭─[base.yaml:1:1]
     1 │ a: 1
       · ┬
       · ╰── and this
       ╰────
    ");
}
