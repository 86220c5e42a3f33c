use super::*;

fn root() -> Command {
    // `create` as far as its words are asked for here.
    let create = Command::new("create").arg(Arg::new("driver").short('d').long("driver")).arg(Arg::new("words"));
    let root = super::super::root("machine", &Drivers::built_in());
    let mut root = if root.find_subcommand("create").is_some() { root } else { root.subcommand(create) };
    root = root.subcommand(
        Command::new("reach")
            .arg(Arg::new("file").short('f').long("file").value_name("FILE"))
            .arg(Arg::new("target").long("target").action(clap::ArgAction::Append)),
    );
    root.build();
    root
}

fn offered(line: &str) -> (Vec<String>, Files) {
    let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let sources = Sources {
        machines: &|place| {
            let names: &[&str] = if place.storage == Some("/x") { &["x1"] } else { &["db", "web-1", "web-2"] };
            names.iter().map(|name| (*name).to_owned()).collect()
        },
        hosts: &|place| vec![format!("of-{}", place.file.unwrap_or("fleet.yaml"))],
        drivers: &Drivers::built_in(),
        driver: None,
        wrapped: true,
    };
    let offer = offer(&root(), &words, &sources);
    (offer.candidates.into_iter().map(|candidate| candidate.text).collect(), offer.files)
}

#[track_caller]
fn case(line: &str, want: &str) {
    assert_eq!(offered(line).0.join(" "), want, "{line}");
}

#[test]
fn names_of_machines_stand_where_a_command_takes_them() {
    case("ssh we", "web-1 web-2");
    case("-s /x ssh ", "x1");
    case("--storage-path=/x -D status ", "x1");
    case("stop web-1 ", "db web-2");
    case("status web-1 ", "");
    case("ssh web-1 ", "");
    case("ssh web-1 --", "");
    case("env -u ", "");
    case("use --shell fish d", "db");
    case("active ", "");
    case("ls ", "");
    case("bogus ", "");
    case("bogus --", "");
}

#[test]
fn commands_and_options_come_from_their_definitions() {
    case("st", "start status stop");
    case("us", "use");
    case("help ins", if root().find_subcommand("install").is_some() { "inspect install" } else { "inspect" });
    case("--stor", "--storage-path");
    case("ls --f", "--filter --format");
    case("ls --filter x=y --filt", "--filter");
    case("ls --quiet --q", "");
    case("rm -", "--force --help --lock-timeout --tombstone -y");
    assert!(!offered("").0.contains(&"complete".to_owned()), "what is hidden stays so");
    assert!(!offered("-").0.contains(&"--bugsnag-api-token".to_owned()));
}

#[test]
fn values_are_those_that_are_known() {
    case("ls --filter ", "driver= label= name= state= swarm=");
    case("ls --filter=state=St", "--filter=state=Starting --filter=state=Stopped --filter=state=Stopping");
    case("ls -filter name=w", "name=web-1 name=web-2");
    case("env --shell x", "xonsh");
    case("create -d gen", "generic");
    case("create --driver=no", "--driver=none");
    case("create -d generic --generic-ssh-p", "--generic-ssh-port");
    case("create --generic", "");
    case("create -d generic web-", "");
    case("reach -f x.yaml --target ", "of-x.yaml");
    case("reach --target=of --target=", "--target=of-fleet.yaml");
    case("completion ", "bash fish powershell zsh");
}

#[test]
fn files_are_left_to_the_shell() {
    for (line, want) in [
        ("-s ", Files::Folders),
        ("--tls-ca-cert ", Files::All),
        ("plan ", Files::All),
        ("ssh ", Files::None),
        ("graph --output ", Files::All),
        ("reach -f ", Files::All),
        ("create -d generic --generic-ssh-key ", Files::All),
        ("create -d generic --generic-ssh-user ", Files::None),
    ] {
        assert_eq!(offered(line).1, want, "{line}");
    }
}
