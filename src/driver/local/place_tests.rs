use super::*;
use crate::driver::compliance::with_context;

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Lamp {
    brightness: u64,
    hung_at: Option<PathBuf>,
}

impl Own for Lamp {
    const DRIVER: &'static str = "lamp";
    const VERSION: u32 = 1;
    const FORGET: &'static str = "lamp.forget";
}

fn machine(name: &str) -> MachineName {
    MachineName::new(name).unwrap()
}

fn place(dir: &Path) -> Place<Lamp> {
    Place::new(dir, dir.join("images"))
}

#[test]
fn ids_differ_by_store_fleet_and_machine_and_never_change() {
    let (web, shop, blog) = (machine("web-1"), FleetName::new("shop").unwrap(), FleetName::new("blog").unwrap());
    let all = [
        id_of("s1", Some(&shop), &web),
        id_of("s2", Some(&shop), &web),
        id_of("s1", Some(&blog), &web),
        id_of("s1", None, &web),
        id_of("s1", Some(&shop), &machine("web-2")),
    ];
    assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), all.len());
    // Found again by every later version.
    assert_eq!(all[0], "web-1-9bc58ceb76");
}

#[test]
fn an_id_that_leads_elsewhere_is_refused() {
    for bad in ["", "..", ".", "../x", "a/b", "/etc", "a b"] {
        let error = place(Path::new("/b")).folder(bad).unwrap_err();
        assert!(error.to_string().ends_with("is not an id that driver `lamp` gives"), "{bad}: {error}");
    }
}

#[tokio::test]
async fn a_record_reads_back_and_other_versions_are_refused() {
    with_context(async |cx| {
        let record = Record::new(
            cx,
            "ssh-ed25519 A".into(),
            "ssh-ed25519 B".into(),
            Lamp { brightness: u64::MAX, hung_at: Some("/ceiling".into()) },
        );
        assert_eq!(Record::parse(&record.text()), Ok(record.clone()));
        let newer = record.text().replace("\"version\": 1", "\"version\": 2");
        assert_eq!(Record::<Lamp>::parse(&newer).unwrap_err(), "version 2 is not known, 1 is");
        assert!(Record::<Lamp>::parse("{").is_err());
        let value: serde_json::Value = serde_json::from_str(&record.text()).unwrap();
        assert_eq!(value["hung-at"], "/ceiling", "what is the driver's own stands beside the rest");
    })
    .await;
}

#[tokio::test]
async fn machines_of_other_stores_are_read_and_not_touched() {
    with_context(async |cx| {
        let place = place(cx.dir);
        let folder = place.folder(&id(cx)).unwrap();
        assert_eq!(folder.owned(cx).unwrap(), None);
        fs::create_dir_all(&folder.path).unwrap();
        let own = Lamp { brightness: 1, hung_at: None };
        let mut record = Record::new(cx, String::new(), String::new(), own);
        folder.save(&record).unwrap();
        assert_eq!(folder.owned(cx).unwrap().as_ref(), Some(&record));
        record.store_id = "another".to_owned();
        folder.save(&record).unwrap();
        assert!(folder.owned(cx).unwrap_err().to_string().contains("belongs to the store `another`"));
        assert_eq!(place.records().unwrap(), BTreeMap::from([(folder.id.clone(), record)]));
        folder.forget().unwrap();
        folder.forget().unwrap();
        assert_eq!(place.records().unwrap(), BTreeMap::new(), "a folder without a record is no machine");
    })
    .await;
}
