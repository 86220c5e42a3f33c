//! Some hosts fail, or are asleep: what goes on, and how that is told (pain 12).

use super::fakes::{fleet, go, name, run};
use crate::support;
use machine::{
    fleet::{Fleet, OnError},
    report::summary::{HostEnd, Verdict, hosts, verdict},
};
use std::collections::BTreeMap;

/// How a first run of the fleet ends when the answer to its first effect, the creation of `a`, is lost.
async fn ends(fleet: &Fleet, on_error: OnError) -> (Verdict, BTreeMap<String, HostEnd>) {
    let (world, cloud, _) = support::world();
    cloud.lock().unwrap().fuse = Some(0);
    let ended = go(fleet, &world, 1, on_error).await;
    let hosts = hosts(&ended.plan, &ended.outcome).into_iter().map(|(name, end)| (name.to_string(), end)).collect();
    let verdict = verdict(&ended.plan, &ended.outcome);
    // Whatever happened, applying again goes on from there.
    cloud.lock().unwrap().fuse = None;
    super::fakes::apply_well(fleet, &world).await;
    (verdict, hosts)
}

fn of(ends: &[(&str, HostEnd)]) -> BTreeMap<String, HostEnd> {
    ends.iter().map(|(name, end)| ((*name).to_owned(), *end)).collect()
}

/// Pain 12: dependants of what failed stop, all others go on; every host is told of once.
#[test]
fn a_failure_stops_its_dependants_and_nobody_else() {
    use HostEnd::{Converged, Failed, NotStarted, Skipped};
    run(async {
        let shop = fleet("shop", "a, b: a, c: b, d");
        let (verdict, hosts) = ends(&shop, OnError::StopDependants).await;
        assert_eq!(hosts, of(&[("a", Failed), ("b", Skipped), ("c", Skipped), ("d", Converged)]));
        assert_eq!(verdict, Verdict::Partial);
        let (verdict, hosts) = ends(&shop, OnError::FailFast).await;
        assert_eq!(hosts, of(&[("a", Failed), ("b", Skipped), ("c", Skipped), ("d", NotStarted)]));
        assert_eq!(verdict, Verdict::Nothing);
        let (verdict, hosts) = ends(&shop, OnError::KeepGoing).await;
        assert_eq!(hosts, of(&[("a", Failed), ("b", Converged), ("c", Converged), ("d", Converged)]));
        assert_eq!(verdict, Verdict::Partial);
        let (verdict, _) = ends(&fleet("shop", "a, b: a"), OnError::StopDependants).await;
        assert_eq!(verdict, Verdict::Nothing);
    });
}

/// Pain 12: what is optional may fail: the run is complete without it, and what waited for it goes on.
#[test]
fn an_optional_host_holds_nobody_up() {
    use HostEnd::{Converged, Failed};
    run(async {
        let mut shop = fleet("shop", "a, b: a, c: b, d");
        shop.hosts.get_mut(&name("a")).unwrap().optional = true;
        for on_error in [OnError::StopDependants, OnError::FailFast, OnError::KeepGoing] {
            let (verdict, hosts) = ends(&shop, on_error).await;
            assert_eq!(
                hosts,
                of(&[("a", Failed), ("b", Converged), ("c", Converged), ("d", Converged)]),
                "{on_error:?}"
            );
            assert_eq!(verdict, Verdict::Complete, "{on_error:?}");
        }
    });
}
