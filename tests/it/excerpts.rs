//! Inputs far longer than any screen (megabytes with `MACHINE_CRASH=full`, `just lab-full`), wherever the program shows a
//! part of what others wrote: files of fleets, variables, plans, records, archives, answers of providers and engines, what
//! hooks print. What is said fits on a few screens, still names the place, the cause and the next step, and comes soon.

use crate::{
    full::full,
    home::{Home, Run},
};
use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    thread,
};

/// What a person scrolls through, bytes.
const MOST: usize = 48 << 10;

#[expect(clippy::disallowed_methods, reason = "a fixture needs no durability")]
fn put(home: &Home, name: &str, text: &str) -> String {
    let path = home.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// Said in short, with these words in it.
#[track_caller]
fn short(what: &str, run: &Run, words: &[&str]) {
    let size = run.stdout.len() + run.stderr.len();
    let said: String = run.stdout.chars().chain(run.stderr.chars()).take(3000).collect();
    assert!(size <= MOST, "{what}: {size} B are said: {said}");
    assert!(!run.stderr.contains("panicked"), "{what}: {said}");
    assert_ne!(run.status, 0, "{what}: {said}");
    for word in words {
        assert!(run.stderr.contains(word), "{what}: no `{word}` in {}", &run.stderr);
    }
}

fn long(word: &str) -> String {
    let size = if full() { 1 << 20 } else { 1 << 18 };
    word.repeat(size / word.len())
}

/// Hosts on one line, each with a key that nothing reads.
fn hosts() -> String {
    format!("fleet: a\nhosts: {{ {} }}\n", many(&|n| format!("web-{n}: {{ driver: none, url: x, colour: red }}, ")))
}

fn count() -> usize {
    if full() { 8_000 } else { 2_000 }
}

fn many(each: &dyn Fn(usize) -> String) -> String {
    (0..count()).map(each).collect::<Vec<_>>().concat()
}

/// A file of one host, `web`, with these options.
fn host(options: &str) -> String {
    format!("fleet: a\nhosts: {{ web: {{ {options} }} }}\n")
}

/// Checks a file and lays it out; what is said of it has these words.
fn yaml(what: &str, text: &str, words: &[&str]) {
    let home = Home::new();
    put(&home, "big.yaml", text);
    let run = home.in_store("machine", &["validate", "big.yaml"]);
    short(what, &run, words);
    assert!(!run.stderr.contains("s3crs3cr"), "{what}");
    let run = home.in_store("machine", &["fmt", "big.yaml"]);
    if run.status != 0 {
        short(what, &run, &[]);
    }
}

#[test]
fn of_a_file_that_is_no_fleet_a_few_screens_are_shown() {
    yaml("a text", &long("word "), &["big.yaml", "1:1", "mapping"]);
    yaml("a word", &long("x"), &["big.yaml", "1:1"]);
    yaml("a list", &format!("[{}]", many(&|n| format!("item-{n}, "))), &["big.yaml", "1:1", "mapping"]);
    yaml("a list on lines", &many(&|n| format!("- item-{n}\n")), &["big.yaml", "1:3", "mapping"]);
    yaml("a key", &format!("fleet: a\n{}: 1\nhosts: {{}}\n", long("k")), &["big.yaml", "2:"]);
    // Of a megabyte it is refused where it begins, of less where it ends.
    let place = if full() { "2:1" } else { "2:262146" };
    yaml("controls", &format!("fleet: a\n\"{}\": 1\n", long("\\e[2J\\a")), &["big.yaml", place]);
    yaml("nothing but controls", &long("\u{7}"), &["big.yaml"]);
    yaml("brackets", &long("["), &["big.yaml", "help"]);
    yaml("braces", &long("{a: "), &["big.yaml", "help"]);
    yaml("a tag", &format!("fleet: !{} a\n", long("t")), &["big.yaml"]);
    yaml("an alias", &format!("fleet: *{}\n", long("a")), &["big.yaml"]);
    yaml("two long keys", &format!("fleet: a\n{0}: 1\n{0}: 2\n", long("d")), &["big.yaml", "2:"]);
}

#[test]
fn of_a_fleet_file_a_few_screens_are_shown() {
    yaml("one line of hosts", &hosts(), &["big.yaml", "2:", "`colour`", "problems"]);
    yaml("a value", &host(&format!("driver: {}", long("v"))), &["big.yaml", "2:25", "help"]);
    yaml("a name", &format!("fleet: {}\nhosts: {{}}\n", long("n")), &["big.yaml", "1:8", "63 characters"]);
    yaml("wide letters", &host(&format!("driver: none, url: \"{}\", odd: 1", long("日本"))), &["2:", "`odd`"]);
    let references = many(&|n| format!("${{var.x{n}}}"));
    yaml("references", &host(&format!("driver: none, url: \"{references}\"")), &["big.yaml", "help"]);
    yaml("one reference", &host(&format!("driver: none, url: \"${{var.{}}}\"", long("r"))), &["big.yaml"]);
    let between = many(&|n| format!("x{n}: 1\n"));
    yaml("twice, far apart", &format!("fleet: a\n{between}fleet: b\n"), &["big.yaml", "problems", "first"]);
    yaml("a secret", &host(&format!("driver: digitalocean, access-token: {}", long("s3cr"))), &["big.yaml"]);
    for key in ["groups", "depends_on"] {
        let names = many(&|n| format!("n{n}, "));
        yaml(key, &host(&format!("driver: none, url: tcp://h:1, {key}: [{names}]")), &["big.yaml"]);
    }
    let ring = many(&|n| format!("h{n}: {{ depends_on: [h{}] }}, ", (n + 1) % count()));
    yaml(
        "ring",
        &format!("fleet: a\ndefaults: {{ driver: none, url: tcp://h:1 }}\nhosts: {{ {ring} }}\n"),
        &["big.yaml"],
    );
}

#[test]
fn of_kdl_and_of_values_a_few_screens_are_shown() {
    let home = Home::new();
    let kdl: Vec<(&str, String)> = vec![
        ("a word", long("x")),
        ("a string", format!("\"{}", long("x"))),
        ("nodes", many(&|n| format!("node-{n} ; "))),
        (
            "one line of hosts",
            format!("fleet a\nhosts {{ {} }}\n", many(&|n| format!("web-{n} driver=none colour=red; "))),
        ),
        ("a number", format!("fleet {}\n", long("1"))),
        ("a property", format!("fleet {}=1\n", long("p"))),
        ("raw", format!("fleet {}\"x\n", long("#"))),
        ("escape", format!("fleet \"{}\\q\"\n", long("x"))),
        ("braces", long("a {")),
        ("lines", format!("fleet \"\"\"\n{}\n  \"\"\"\n", long("x\n"))),
    ];
    for (what, text) in &kdl {
        put(&home, "big.kdl", text);
        for command in ["validate", "fmt"] {
            let run = home.in_store("machine", &[command, "big.kdl"]);
            if run.status != 0 {
                short(&format!("{what}: {command}"), &run, &["big.kdl"]);
            }
        }
    }
    put(
        &home,
        "ok.yaml",
        "fleet: a\nvars: { x: { required: true } }\nhosts: { w: { driver: none, url: \"tcp://h:1\" } }\n",
    );
    for (name, text) in [
        ("v.yaml", long("x")),
        ("v.env", long("X")),
        ("v.env", format!("X={}\nx y\n", long("y"))),
        ("v.kdl", long("{")),
    ] {
        put(&home, name, &text);
        short(
            &format!("values in {name}"),
            &home.in_store("machine", &["validate", "--var-file", name, "ok.yaml"]),
            &[],
        );
    }
    let json = home.in_store("machine", &["validate", "--json", &put(&home, "hosts.yaml", &hosts())]);
    assert!(json.stdout.len() < 200 << 10, "{}", json.stdout.len());
}

#[test]
fn of_a_record_a_few_lines_are_shown() {
    let home = Home::new();
    let kdl = [
        ("a word", long("x")),
        ("a string", format!("record 1\nname \"{}", long("x"))),
        ("a name", format!("record 1\nname \"{}\"\ndriver \"none\"\n", long("x"))),
        ("a driver", format!("record 1\nname \"big\"\ndriver \"{}\"\n", long("x"))),
        ("a number", format!("record {}\n", long("1"))),
        ("pending", format!("record 1\nname \"big\"\ndriver \"none\"\npending {{\n  \"{}\" \"rm\"\n}}\n", long("p"))),
        (
            "a secret",
            format!(
                "record 1\nname \"big\"\ndriver \"none\"\ninstance {{\n id \"\"\n address \"\"\n ssh {{ host \"h\"; port 1; user \"u\"; passphrase \"{}\" }}\n}}\n",
                long("s3cr")
            ),
        ),
    ];
    let named = |rest: String| format!("{{\"record\": 2, \"name\": \"big\", {rest}}}");
    let json = [
        ("a word", long("x")),
        ("a string", format!("{{\"record\": 2, \"name\": \"{}", long("x"))),
        ("a name", format!("{{\"record\": 2, \"name\": \"{}\", \"driver\": \"none\"}}", long("x"))),
        ("a driver", named(format!("\"driver\": \"{}\"", long("x")))),
        ("a number", format!("{{\"record\": {}}}", long("1"))),
        ("a uid", named(format!("\"driver\": \"none\", \"uid\": \"{}\"", long("u")))),
        ("pending", named(format!("\"driver\": \"none\", \"pending\": {{\"engine\": \"{}\"}}", long("p")))),
        (
            "a secret",
            named(format!(
                "\"driver\": \"none\", \"instance\": {{\"id\": \"\", \"address\": \"\", \"ssh\": {{\"host\": \"h\", \"port\": 1, \"user\": \"u\", \"passphrase\": \"{}\"}}}}",
                long("s3cr")
            )),
        ),
    ];
    for (file, (what, record)) in kdl.map(|of| ("record.kdl", of)).into_iter().chain(json.map(|of| ("record.json", of)))
    {
        home.write(&format!("machines/big/{file}"), &record);
        for command in [&["env", "big"][..], &["rm", "-y", "big"], &["ssh", "big", "true"], &["provision", "big"]] {
            short(&format!("{file}, {what}: {command:?}"), &home.in_store("machine", command), &[]);
        }
        let listed = home.in_store("machine", &["ls"]);
        assert!(listed.stdout.len() + listed.stderr.len() < MOST, "{file}, {what}: {}", listed.stdout.len());
        fs::remove_file(home.store().join("machines/big").join(file)).unwrap();
    }
}

#[test]
fn of_what_lies_in_a_store_and_of_archives_a_few_screens_are_shown() {
    let home = Home::new();
    for (what, config) in [
        ("a word", long("x")),
        ("a driver", format!("{{\"ConfigVersion\": 3, \"DriverName\": \"{}\", \"Driver\": {{}}}}", long("x"))),
        ("a version", format!("{{\"ConfigVersion\": {}}}", long("1"))),
        (
            "an address",
            format!(
                "{{\"ConfigVersion\": 3, \"DriverName\": \"generic\", \"Driver\": {{\"IPAddress\": \"{}\", \"SSHUser\": \"{}\"}}}}",
                long("h"),
                long("u")
            ),
        ),
    ] {
        home.write("machines/big/config.json", &config);
        for command in [&["env", "big"][..], &["ssh", "big", "true"], &["provision", "big"]] {
            short(&format!("config.json, {what}: {command:?}"), &home.in_store("machine", command), &[]);
        }
        // Its cells are data, and still no table is a megabyte wide.
        let listed = home.in_store("machine", &["ls", "--format", "{{.Error}}"]);
        assert!(listed.stdout.len() + listed.stderr.len() < MOST, "{what}: {}", listed.stdout.len());
    }
    fs::remove_dir_all(home.store().join("machines/big")).unwrap();
    let import = |text: &str| home.run("machine", &["-s", home.store().to_str().unwrap(), "import"], &[], text);
    let archive = |record: &str, file: &str| {
        serde_json::json!({ "machine-export": 1, "store": "x", "machines": [{ "record": record, "config": null, "files": { file: "x" } }] })
            .to_string()
    };
    for (what, text) in [
        ("a word", long("x")),
        ("a key", format!("{{\"{}\": 1}}", long("k"))),
        ("a record", archive(&long("x"), "ca.pem")),
        ("a name", archive(&format!("record 1\nname \"{}\"\ndriver \"none\"\n", long("n")), "ca.pem")),
        ("a file", archive("record 1\nname \"big\"\ndriver \"none\"\n", &long("f"))),
        (
            "a host",
            archive(
                &format!(
                    "record 1\nname \"big\"\ndriver \"generic\"\ninstance {{\n  id \"\"\n  address \"{}\"\n}}\n",
                    long("h")
                ),
                "ca.pem",
            ),
        ),
        ("age", format!("age-encryption.org/v1\n-> {}\n", long("a"))),
    ] {
        short(&format!("archive, {what}"), &import(&text), &["help"][usize::from(what == "age")..]);
    }
    let key = put(&home, "key.txt", &long("k"));
    short(
        "keys",
        &home.in_store("machine", &["import", "-i", &key, &put(&home, "a.age", "age-encryption.org/v1\n")]),
        &[],
    );
    for (what, text) in [
        ("a word", format!("{{\"machine-plan\": {}", long("1"))),
        ("steps", format!("{{\"plan\": 1, \"version\": 1, \"fleet\": \"{}\", \"steps\": []}}", long("f"))),
    ] {
        short(
            &format!("plan, {what}"),
            &home.in_store("machine", &["apply", &put(&home, "plan.json", &text)]),
            &["plan.json"],
        );
    }
}

/// Answers everything with this.
fn server(answer: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let _ = stream.read(&mut head);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    place
}

fn http(status: &str, kind: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn of_what_others_answer_a_few_screens_are_shown() {
    let home = Home::new();
    let page = long("<p>no</p>");
    for (what, answer) in [
        ("a page", http("400 Bad Request", "text/html", &page)),
        (
            "a message",
            http(
                "422 Unprocessable",
                "application/json",
                &format!("{{\"id\": \"{0}\", \"message\": \"{0}\"}}", long("m")),
            ),
        ),
        ("a list", http("200 OK", "application/json", &format!("{{\"regions\": [{{\"slug\": \"{}\"}}]}}", long("r")))),
        (
            "an error",
            http(
                "400 Bad Request",
                "text/xml",
                &format!(
                    "<Response><Errors><Error><Code>{0}</Code><Message>{0}</Message></Error></Errors></Response>",
                    long("e")
                ),
            ),
        ),
        ("a word", long("x")),
        ("a header", format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", long("h"))),
    ] {
        let url = format!("http://{}", server(answer.clone()));
        // What is no HTTP is asked for again and again.
        let drivers = if answer.contains("content-length") { &["digitalocean", "amazonec2"][..] } else { &[] };
        for driver in drivers {
            let token =
                [("DIGITALOCEAN_ACCESS_TOKEN", "x"), ("AWS_ACCESS_KEY_ID", "AKIAX"), ("AWS_SECRET_ACCESS_KEY", "x")];
            let endpoint = format!("--{driver}-endpoint");
            let store = home.store().display().to_string();
            let words = ["-s", &store, "create", "-d", *driver, &endpoint, &url, "big"];
            short(&format!("{driver}, {what}"), &home.run("machine", &words, &token, ""), &[]);
        }
        let url = format!("tcp://{}", server(answer));
        home.none("engine", &url);
        let listed = home.in_store("machine", &["ls"]);
        assert!(listed.stdout.len() + listed.stderr.len() < MOST, "{what}: {}", listed.stdout.len());
    }
}

#[test]
fn of_what_hooks_print_a_few_screens_are_shown() {
    let home = Home::new();
    put(&home, "noisy", "#!/bin/sh\nhead -c 1500000 /dev/zero | tr '\\0' x\nyes line | head -n 300000\nexit 3\n");
    put(
        &home,
        "fleet.yaml",
        "fleet: a\nhosts:\n  web:\n    driver: none\n    url: tcp://127.0.0.1:1\n    hooks: { pre-create: [{ run: sh ./noisy }] }\n",
    );
    let run = home.in_store("machine", &["apply", "-y", "fleet.yaml"]);
    short("a hook", &run, &["exit status 3", "help"]);
    for words in [
        &["ls", "--format", &"{{.".repeat(30_000)][..],
        &["ls", "--filter", &format!("name=({}", "x".repeat(100_000))],
        &["create", "-d", &"x".repeat(100_000), "web"],
        &[&"x".repeat(100_000)],
        &["env", &"x".repeat(100_000)],
        &["inspect", "--format", &"x{{".repeat(30_000), "web"],
        &["create", "-d", "none", "--url", &"x".repeat(100_000), "web"],
        &["create", "-d", "generic", "--generic-ssh-port", &"x".repeat(100_000), "web"],
    ] {
        for program in ["machine", "docker-machine"] {
            short(&format!("{program} {}", &words.join(" ")[..20]), &home.in_store(program, words), &[]);
        }
    }
}
