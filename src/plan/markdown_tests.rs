use super::*;
use crate::properties::properties;
use crate::{
    graph::Graph,
    name::FleetName,
    plan::{Reason, Work},
    provisioner::Difference,
    record::Part,
};
use proptest::prelude::*;

/// What is done to one host: which action, and what is said of it.
type Host = (u8, Vec<String>);

fn plan(hosts: &[Host]) -> Plan {
    let mut steps = BTreeMap::new();
    for (n, (kind, texts)) in hosts.iter().enumerate() {
        let machine = MachineName::new(format!("host-{n:04}")).unwrap();
        let differs = |text: &String| Difference { what: text.clone(), found: None, wanted: Some("x".to_owned()) };
        let mut reasons: Vec<Reason> = texts.iter().map(|text| Reason::Changed(differs(text))).collect();
        reasons.push(Reason::NotInFleet);
        let mut step = |rm: bool, action, work| {
            let id = StepId { rm, ..StepId::part(&machine, Part::Instance) };
            steps.insert(id, Step { action, reasons: reasons.clone(), work });
        };
        match kind % 4 {
            0 => step(true, Action::Rm, Work::RmInstance),
            1 => {
                step(true, Action::Rm, Work::RmInstance);
                step(false, Action::Create, Work::CreateInstance);
            }
            2 => step(false, Action::Create, Work::CreateInstance),
            _ => step(false, Action::Upgrade, Work::Record),
        }
    }
    let steps = Graph::build(steps, []).unwrap();
    Plan { fleet: Some(FleetName::new("shop").unwrap()), hosts: BTreeMap::new(), steps }
}

/// Whether every fold and fence that is opened is closed, outside of fences no HTML but folds.
fn is_whole(text: &str) -> bool {
    let (mut fence, mut folds): (Option<String>, i32) = (None, 0);
    for line in text.lines() {
        let ticks: String = line.chars().take_while(|c| *c == '`').collect();
        match &fence {
            Some(open) if line == open => fence = None,
            Some(_) => {}
            None if ticks.len() >= 3 => fence = Some(ticks),
            None => {
                folds += i32::try_from(line.matches("<details>").count()).unwrap();
                folds -= i32::try_from(line.matches("</details>").count()).unwrap();
                let known = ["<details><summary>", "</summary>", "</details>", "<code>", "</code>"];
                let rest = known.iter().fold(line.to_owned(), |rest, tag| rest.replace(tag, ""));
                if !(0..=1).contains(&folds) || rest.contains('<') {
                    return false;
                }
            }
        }
    }
    fence.is_none() && folds == 0
}

#[test]
fn what_costs_data_stands_first_and_in_the_open() {
    let hosts = [(3, vec!["labels.tier".to_owned()]), (0, Vec::new()), (1, vec!["region".to_owned()]), (2, Vec::new())];
    let text = markdown(&plan(&hosts), &Around::default(), USUAL);
    insta::assert_snapshot!(text, @r"
    ### Plan for fleet `shop`

    5 steps on 4 of 4 hosts: 2 to create, 1 to upgrade, 2 to rm.

    **Removed or replaced, with all that is on them:**

    - **remove** `host-0001`: not in the fleet file
    - **replace** `host-0002`: region: (none) → x

    <details><summary>upgrade <code>host-0000</code></summary>

    ```diff
    ! upgrade instance    labels.tier: (none) → x
    !                     not in the fleet file
    ```

    </details>

    <details><summary>create <code>host-0003</code></summary>

    ```diff
    + create instance     not in the fleet file
    ```

    </details>
    ");
}

/// Pain 27: limits of pull-request comments, and removals that are hidden in a fold.
#[test]
fn a_large_plan_is_cut_and_says_so() {
    let hosts: Vec<Host> = (0..=u8::MAX).cycle().take(3000).map(|n| (n, vec!["x".repeat(90)])).collect();
    let plan = plan(&hosts);
    let text = markdown(&plan, &Around::default(), 60_000);
    assert!(text.len() <= 60_000 && text.len() > 59_000 && is_whole(&text), "{}", text.len());
    assert!(text.trim_end().ends_with("removals, 1500 other hosts.**"), "{}", &text[59_000..]);
    let text = markdown(&plan, &Around::default(), 300_000);
    assert_eq!(text.matches("- **re").count(), 1500, "all removals are in the open when there is room");
    assert!(text.find("<details>").unwrap() > text.rfind("- **re").unwrap(), "removals first");
    assert!(is_whole(&text) && text.contains("Not shown"));
}

proptest! {
    #![proptest_config(properties(300))]
    #[test]
    fn it_is_whole_and_within_its_limit(
        hosts in proptest::collection::vec(
            (any::<u8>(), proptest::collection::vec(r"(\PC|[`<>&\n*_]|```|</details>){0,60}", 0..3)), 0..25),
        max in 0..5000_usize,
    ) {
        let plan = plan(&hosts);
        let text = markdown(&plan, &Around::default(), max);
        prop_assert!(text.len() <= max.max(LEAST), "{} > {max}", text.len());
        prop_assert!(is_whole(&text), "{text}");
        let shown = text.matches("<details><summary>").count() + text.matches("- **re").count();
        prop_assert!(shown == hosts.len() || text.contains("Not shown"), "{text}");
    }
}
