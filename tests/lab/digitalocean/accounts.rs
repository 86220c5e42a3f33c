//! Tokens of two accounts. To one of the other account nothing is there, and that proves nothing.

use super::case::Case;
use crate::ocean::Ocean;
use machine::{
    driver::{AnyDriver, DriverError, PowerAction},
    record::{Instance, Power},
};
use std::fs;

async fn power(case: &Case<'_>, instance: &Instance) -> Result<Power, DriverError> {
    case.with(async |driver: &dyn AnyDriver, cx, values| driver.power(cx, instance, values).await).await
}

/// Everything that would conclude something from not seeing the droplet, with both accounts in what it says.
async fn is_refused(case: &Case<'_>, instance: &Instance, words: &[&str]) {
    let all = case
        .with(async |driver: &dyn AnyDriver, cx, values| {
            [
                driver.power(cx, instance, values).await.map(drop),
                driver.set_power(cx, instance, values, PowerAction::Start).await.map(drop),
                driver.change(cx, instance, values).await.map(drop),
                driver.rm(cx, instance, values).await,
            ]
        })
        .await;
    for result in all {
        let e = result.unwrap_err();
        let said = case.words(&e);
        assert!(!e.is_transient() && words.iter().all(|word| said.contains(word)), "{said}");
    }
}

pub(crate) async fn another(ocean: &Ocean) {
    let mut case = Case::new(ocean, "guarded");
    let instance = case.create().await.unwrap();
    let note = case.dir.path().join("digitalocean-account");
    let noted = fs::read_to_string(&note).unwrap();
    let kept = case.kept.0.lock().unwrap().len();
    let asked = |case: &Case<'_>| case.front.seen().iter().filter(|call| *call == "GET /v2/account").count();
    assert_eq!(asked(&case), 1, "asked for once");
    assert_eq!(power(&case, &instance).await.unwrap(), Power::Running);
    assert_eq!(asked(&case), 1);

    case.by_another();
    is_refused(&case, &instance, &["made in DigitalOcean account shop (", "of theirs (", "a token of that account"])
        .await;
    let changes = |case: &Case<'_>| case.front.seen().iter().filter(|call| !call.starts_with("GET ")).count();
    let before = changes(&case);
    // A creation that was cut off while the first account was asked is not made good in the second.
    let folder = case.dir.path().join("digitalocean.json");
    fs::write(&folder, r#"{"asked": 1}"#).unwrap();
    let e = case.create().await.unwrap_err();
    assert!(case.words(&e).contains("this token is of theirs ("), "{e}");
    fs::remove_file(&folder).unwrap();
    assert_eq!(changes(&case), before, "nothing was made or removed: {:?}", case.front.seen());
    assert_eq!((fs::read_to_string(&note).unwrap(), case.kept.0.lock().unwrap().len()), (noted.clone(), kept));

    // A machine of before: its account was never noted.
    fs::remove_file(&note).unwrap();
    is_refused(&case, &instance, &["does not see it, which proves nothing", "theirs (", "machine rm -f guarded"]).await;
    assert!(!note.exists());
    case.by_its_own();
    assert_eq!(power(&case, &instance).await.unwrap(), Power::Running);
    assert_eq!(fs::read_to_string(&note).unwrap(), noted, "the first look that sees it notes it");
    case.by_another();
    is_refused(&case, &instance, &["made in DigitalOcean account shop ("]).await;
    case.by_its_own();
    case.rm().await;
    assert_eq!(power(&case, &instance).await.unwrap(), Power::Gone, "here it is certain");
    // What was removed in one account may be made in another: nothing is left that could be made twice.
}

/// A droplet that was removed by hand is gone, also of a machine whose account was never noted: its tag is still there.
pub(crate) async fn removed_by_hand(ocean: &Ocean) {
    let case = Case::new(ocean, "by-hand");
    let instance = case.create().await.unwrap();
    fs::remove_file(case.dir.path().join("digitalocean-account")).unwrap();
    ocean.emulator.vanish(case.one().id);
    assert_eq!(power(&case, &instance).await.unwrap(), Power::Gone);
    case.with(async |driver: &dyn AnyDriver, cx, values| driver.rm(cx, &instance, values).await).await.unwrap();
    case.nothing_left();
}
