//! Interactive sessions, with and without a terminal.

use super::*;

/// Without a terminal (tests have none) an interactive session passes bytes and gives the status back.
#[tokio::test]
async fn an_interactive_session_gives_the_status_of_its_command() {
    let server = server!("");
    let session = bare().open(&server.target()).await.unwrap();
    if std::io::IsTerminal::is_terminal(&std::io::stdin()) {
        skipped("standard input is a terminal");
        return;
    }
    let status = machine::transport::ssh::interactive(
        &session,
        Some(&Sh::text("test -t 0 || exit 42")),
        machine::transport::ssh::Tty::Ours,
    )
    .await
    .unwrap();
    assert_eq!(status, 42);
    let status = machine::transport::ssh::interactive(
        &session,
        Some(&Sh::text("kill -INT $$")),
        machine::transport::ssh::Tty::Ours,
    )
    .await
    .unwrap();
    assert_eq!(status, 130);
}

/// Whether another test runs this one on a terminal; by itself it has nothing to do.
fn is_child() -> bool {
    std::env::var_os("TEST_PORT").is_some()
}

/// What [`a_terminal_is_passed_on_and_restored`] runs on a terminal of its own.
#[tokio::test]
async fn child_on_a_terminal() {
    if !is_child() {
        return;
    }
    let read = |name| std::env::var(name).unwrap();
    let mut target = sshd::unreachable_target(std::path::Path::new(&read("TEST_KEY")));
    target.ssh.port = read("TEST_PORT").parse().unwrap();
    let ssh = connect(SshConfig { term: Some("vt100".into()), ..SshConfig::default() });
    let session = ssh.open(&target).await.unwrap();
    let command = Sh::text("stty size; echo term=$TERM; read word; echo word=$word; exit 5");
    let status = machine::transport::ssh::interactive(&session, Some(&command), machine::transport::ssh::Tty::Ours)
        .await
        .unwrap();
    println!("status={status}");
}

/// What [`a_terminal_is_restored_when_we_are_ended`] runs on a terminal of its own.
#[tokio::test]
async fn child_that_is_ended() {
    if !is_child() {
        return;
    }
    let mut target = sshd::unreachable_target(std::path::Path::new(&std::env::var("TEST_KEY").unwrap()));
    target.ssh.port = std::env::var("TEST_PORT").unwrap().parse().unwrap();
    let session = bare().open(&target).await.unwrap();
    let us = std::process::id().to_string();
    let command = Sh::template("kill -TERM {}; sleep 20", &[&us]);
    let status = machine::transport::ssh::interactive(&session, Some(&command), machine::transport::ssh::Tty::Ours)
        .await
        .unwrap();
    println!("status={status}");
}

#[tokio::test]
async fn a_terminal_is_restored_when_we_are_ended() {
    let server = server!("");
    let Some(output) = server.on_a_terminal("ssh::terminals::child_that_is_ended", "") else { return };
    assert!(output.contains("status=143"), "{output}");
    same_settings(&output);
}

#[tokio::test]
async fn a_terminal_is_passed_on_and_restored() {
    let server = server!("");
    let Some(output) = server.on_a_terminal("ssh::terminals::child_on_a_terminal", "a word\r") else { return };
    for want in ["33 101", "term=vt100", "word=a word", "status=5"] {
        assert!(output.contains(want), "{want}: {output}");
    }
    same_settings(&output);
}

/// The settings as `stty -g` prints them, before and after.
#[track_caller]
fn same_settings(output: &str) {
    let settings: Vec<&str> = output.lines().filter_map(|l| l.trim().strip_prefix("settings=")).collect();
    assert_eq!(settings.len(), 2, "{output}");
    assert_eq!(settings[0], settings[1]);
}
