use super::*;

fn told(error: &CliError) -> String {
    let mut text = String::new();
    tell(&mut text, error).unwrap();
    anstream::adapter::strip_str(&text).to_string()
}

#[test]
fn an_error_is_told_with_its_cause_and_what_to_do() {
    let error = CliError::Transport(TransportError::Connect {
        machine: MachineName::new("web-1").unwrap(),
        address: "192.0.2.10:22".to_owned(),
        why: "connection refused".to_owned(),
    })
    .doing("Error getting IP address");
    insta::assert_snapshot!(told(&error), @r"
    error: Error getting IP address
      caused by: `web-1`: cannot connect to 192.0.2.10:22: connection refused
      help: check that the host is up and that its address and SSH port are right:
          machine status web-1
    ");
    assert_eq!(
        error.drop_in_text(),
        "Error getting IP address: `web-1`: cannot connect to 192.0.2.10:22: connection refused"
    );
}

#[test]
fn docker_machines_words_are_followed_by_what_to_do() {
    let error = CliError::Unfinished(MachineName::new("web-1").unwrap()).doing("Error creating machine");
    assert_eq!(error.drop_in_text(), "Error creating machine: `web-1`: the run was ended before all was done");
    assert_eq!(error.drop_in_help().unwrap(), "help: finish it:\n      docker-machine provision web-1");
    let known = CliError::Store(StoreError::Absent("web-1".to_owned()));
    assert_eq!(known.drop_in_help(), None, "docker-machine's own message says it all");
}

#[test]
fn several_errors_are_told_one_by_one() {
    let absent = |name: &str| CliError::Store(StoreError::Absent(name.to_owned()));
    let error = CliError::Many(vec![absent("a"), absent("b")]);
    assert_eq!(told(&error).matches("error: machine").count(), 2);
    assert_eq!(error.drop_in_text().lines().count(), 2);
}

#[test]
fn refusals_of_drivers_are_docker_machines_words() {
    for (driver, what, want) in [
        ("none", "stop", "hosts without a driver cannot be stopped"),
        ("none", "kill", "hosts without a driver cannot be killed"),
        ("generic", "start", "generic driver does not support start"),
    ] {
        assert_eq!(CliError::Driver(DriverError::cannot(driver, what)).drop_in_text(), want);
    }
}
