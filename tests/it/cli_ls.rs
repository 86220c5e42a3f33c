//! `machine ls`: its table, filters, templates and JSON.

use crate::{cli::regex_escaped, home::Home, http_engine};

#[test]
fn the_table_shows_machines_of_all_kinds() {
    let home = Home::new();
    let engine = http_engine::start("28.2.2");
    home.none("m10", &engine.url());
    home.none("m2", &engine.url());
    home.none("gone", "tcp://127.0.0.1:1");
    home.config(
        "alien",
        "softlayer",
        r#"{"IPAddress": "192.0.2.7", "MachineName": "alien", "InstanceId": "i-1"}"#,
        "{}",
    );
    home.write("machines/broken/config.json", "{");
    home.write("machines/a-file", "no machine");
    let store = home.store().display().to_string();
    let run = home.run("docker-machine", &["-s", &store, "ls"], &[("DOCKER_HOST", &engine.url())], "");
    assert_eq!(run.status, 0, "{}", run.stderr);
    insta::with_settings!({filters => vec![
        (engine.port(), "PORT"),
        (r" +\n", "\n"),
        (&*regex_escaped(&store), "STORE"),
    ]}, { insta::assert_snapshot!("ls", run.stdout) });
    let widths: Vec<usize> =
        run.stdout.lines().map(|line| line.find("none").or(line.find("DRIVER")).unwrap_or(0)).collect();
    assert!(widths.iter().all(|width| *width == 0 || *width == widths[0]), "columns are aligned:\n{}", run.stdout);
    let names = home.in_store("docker-machine", &["ls", "-q"]).stdout;
    assert_eq!(names, "alien\ngone\nm10\nm2\n", "names in the order of the store, without broken ones");
}

#[test]
fn machines_are_filtered() {
    let home = Home::new();
    home.none("web-1", "tcp://192.0.2.1:2376");
    home.none("web-2", "tcp://192.0.2.2:2376");
    let labels = r#"{"EngineOptions": {"Labels": ["tier=db"]}}"#;
    home.config("db", "none", r#"{"IPAddress": "192.0.2.3:2376", "URL": "tcp://192.0.2.3:2376"}"#, labels);
    for (filters, want) in [
        (&["name=^web"][..], "web-1\nweb-2\n"),
        (&["name=^web", "name=db"], "db\nweb-1\nweb-2\n"),
        (&["label=tier=DB"], "db\n"),
        (&["driver=NONE", "name=2$"], "web-2\n"),
        (&["driver=generic"], ""),
        (&["state=Running", "name=1"], "web-1\n"),
        (&["state=stopped"], ""),
    ] {
        let words: Vec<&str> = ["ls", "-q"].into_iter().chain(filters.iter().flat_map(|f| ["--filter", f])).collect();
        let run = home.in_store("machine", &words);
        assert_eq!((run.status, run.stdout.as_str()), (0, want), "{filters:?}: {}", run.stderr);
    }
    let run = home.in_store("docker-machine", &["ls", "--filter", "engine=x"]);
    assert_eq!((run.status, run.stderr.as_str()), (1, "Unsupported filter key 'engine'\n"));
}

/// Pain 27: a list that programs can read.
#[test]
fn a_list_is_json_or_any_template() {
    let home = Home::new();
    let engine = http_engine::start("28.2.2");
    home.none("web-1", &engine.url());
    let run = home.in_store("machine", &["ls", "--json"]);
    insta::with_settings!({filters => vec![
        (engine.port(), "PORT"),
        (r#""response_ms": \d+"#, r#""response_ms": 0"#),
    ]}, { insta::assert_snapshot!("ls_json", run.stdout) });
    assert_eq!(
        home.in_store("machine", &["ls", "--format", "json"]).stdout.lines().count(),
        run.stdout.lines().count()
    );
    let format = |format: &str| home.in_store("machine", &["ls", "--format", format]).stdout;
    assert_eq!(format("{{.Name}}"), "web-1\n");
    assert_eq!(format("{{.Name}}\\t{{.DockerVersion}}"), "web-1\tv28.2.2\n");
    assert_eq!(format("table {{.Name}}\\t{{.State}}"), "NAME    STATE\nweb-1   Running\n");
    let run = home.in_store("machine", &["ls", "--format", "{{range .}}"]);
    assert_eq!((run.status, run.stdout.as_str()), (1, ""));
}

/// As docker-machine has it, also where a template does not fit.
#[test]
fn templates_of_lists_are_gos() {
    let home = Home::new();
    home.none("web-1", "tcp://127.0.0.1:1");
    home.none("Web-1", "tcp://127.0.0.1:1");
    home.none("web-2", "tcp://127.0.0.1:1");
    let list = |format: &str| {
        let run = home.in_store("docker-machine", &["ls", "--filter", "name=^web-[12]$", "--format", format]);
        (run.status, run.stdout, run.stderr)
    };
    let error = "Unable to query docker version: Cannot connect to the docker engine endpoint";
    for (format, want) in [
        ("{{if .Error}}{{.Error}}{{end}}", format!("{error}\n{error}\n")),
        ("{{printf \"%-6s|%d\" .Name .State}}", "web-1 |1\nweb-2 |1\n".to_owned()),
        ("{{.SwarmOptions.Image}} {{.EngineOptions.InstallURL}}", "swarm:latest https://get.docker.com\n".repeat(2)),
        (
            "table {{.Name}}\\t{{.State}}\\t{{.DriverName}}",
            "NAME    STATE     DRIVER\nweb-1   Running   none\nweb-2   Running   none\n".to_owned(),
        ),
        ("{{json .Name}}", "\"web-1\"\n\"web-2\"\n".to_owned()),
        ("table", "\n\n\n".to_owned()),
    ] {
        assert_eq!(list(format), (0, want, String::new()), "{format}");
    }
    for (format, stdout, stderr) in [
        ("{{.Name", "", "template: :2: unclosed action started at :1"),
        ("{{foo}}", "", "template: :1: function \"foo\" not defined"),
        (
            "{{.Name}} {{.Nope}}",
            "web-1 ",
            "template: :1:12: executing \"\" at <.Nope>: can't evaluate field Nope in type commands.HostListItem",
        ),
        (
            "table {{.Name}}\\t{{.State}}\\t{{.Nope}}",
            "NAME    STATE   <no value>\nweb-1   Running",
            "template: :1:23: executing \"\" at <.Nope>: can't evaluate field Nope in type commands.HostListItem",
        ),
        (
            "table {{.SwarmOptions.Image}}",
            "",
            "template: :1:15: executing \"\" at <.SwarmOptions.Image>: can't evaluate field Image in type string",
        ),
    ] {
        let (status, out, err) = list(format);
        assert_eq!((status, out.as_str(), err.trim_end()), (1, stdout, stderr), "{format}");
    }
    let names = home.in_store("docker-machine", &["ls", "--format", "{{.Name}}"]).stdout;
    assert_eq!(names, "Web-1\nweb-1\nweb-2\n", "names that differ in case only are both there");
    let run = home.in_store("docker-machine", &["ls", "--filter", "name=["]);
    assert_eq!((run.status, run.stderr.as_str()), (1, "error parsing regexp: missing closing ]: `[`\n"));
}

/// Pain 26: a machine that does not answer costs its timeout once, not once for each.
#[test]
fn machines_that_do_not_answer_are_told_after_one_timeout() {
    let home = Home::new();
    let silent = http_engine::black_hole();
    let engine = http_engine::start("28.2.2");
    for n in 0..20 {
        home.none(&format!("hole-{n}"), &silent.url());
    }
    home.none("web-1", &engine.url());
    let start = std::time::Instant::now();
    let run = home.in_store("machine", &["ls", "-t", "2"]);
    assert!(start.elapsed().as_secs() < 4, "{:?}", start.elapsed());
    assert_eq!(run.stdout.matches("v28.2.2").count(), 1, "{}", run.stdout);
    assert_eq!(run.stdout.lines().count(), 22);
}
