#![expect(clippy::disallowed_methods, reason = "repositories are made by git itself, and files by hand")]

use super::*;
use std::process::Command;

/// Runs git as a person without any configuration; `None` when there is no git.
fn git(folder: &Path, args: &[&str]) -> Option<String> {
    let out = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"])
        .args(["-c", "commit.gpgsign=false"])
        .args(args)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .output()
        .ok()?;
    assert!(out.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    Some(String::from_utf8(out.stdout).unwrap().trim().to_owned())
}

fn found(file: &Path) -> Option<String> {
    Commit::of(file, &|_| None).map(|commit| {
        assert_eq!(commit.from, Source::Git);
        commit.sha
    })
}

/// A repository with one commit.
fn repository(dir: &Path) -> Option<PathBuf> {
    let path = dir.join("repository");
    fs::create_dir_all(path.join("deep/er")).unwrap();
    git(&path, &["init", "-q"])?;
    git(&path, &["commit", "-q", "--allow-empty", "-m", "one"]);
    Some(path)
}

#[test]
fn what_git_says_is_read_without_git() {
    let dir = tempfile::tempdir().unwrap();
    let Some(path) = repository(dir.path()) else {
        crate::skip::skipped("there is no git");
        return;
    };
    let same = |folder: &Path, why: &str| {
        let want = git(folder, &["rev-parse", "HEAD"]);
        assert!(want.is_some());
        assert_eq!(found(&folder.join("fleet.yaml")), want, "{why}");
    };
    same(&path, "a branch");
    same(&path.join("deep/er"), "from within");
    git(&path, &["checkout", "-q", "-b", "feature/one"]);
    git(&path, &["commit", "-q", "--allow-empty", "-m", "two"]);
    same(&path, "a branch with a slash");
    git(&path, &["pack-refs", "--all"]);
    assert!(!path.join(".git/refs/heads/feature/one").exists(), "the branch is packed");
    same(&path, "packed");
    git(&path, &["commit", "-q", "--allow-empty", "-m", "three"]);
    same(&path, "loose again, beside a packed one that is old");
    git(&path, &["checkout", "-q", "--detach", "HEAD~1"]);
    same(&path, "detached");
    let worktree = dir.path().join("worktree");
    git(&path, &["worktree", "add", "-q", "-b", "other", worktree.to_str().unwrap(), "main"]);
    same(&worktree, "a worktree");
    git(&path, &["pack-refs", "--all"]);
    same(&worktree, "a worktree whose branch is packed");
    git(&worktree, &["checkout", "-q", "--detach"]);
    same(&worktree, "a worktree, detached");
    let host = dir.path().join("host");
    fs::create_dir(&host).unwrap();
    git(&host, &["init", "-q"]);
    git(&host, &["-c", "protocol.file.allow=always", "submodule", "add", "-q", path.to_str().unwrap(), "sub"]);
    same(&host.join("sub"), "a submodule");
    assert_eq!(found(&host.join("fleet.yaml")), None, "a branch without a commit");
}

#[test]
fn where_no_repository_says_it_a_variable_may() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("fleet.yaml");
    let sha = "0123456789abcdef0123456789abcdef01234567";
    let of = |vars: &[(&str, &str)]| {
        let var = |name: &str| vars.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned());
        Commit::of(&file, &var).map(|commit| (commit.sha, commit.from))
    };
    // A temporary folder may lie in some repository.
    if of(&[]).is_some() {
        crate::skip::skipped(format_args!("{} lies in a repository", dir.path().display()));
        return;
    }
    assert_eq!(of(&[("GITHUB_SHA", sha)]), Some((sha.to_owned(), Source::GitHub)));
    assert_eq!(of(&[("CI_COMMIT_SHA", sha)]), Some((sha.to_owned(), Source::GitLab)));
    for nonsense in ["", "main", "0123", "$(reboot)", &"g".repeat(40)] {
        assert_eq!(of(&[("GITHUB_SHA", nonsense)]), None, "{nonsense}");
    }
}

/// A repository is foreign input: nothing in it leads out of it, or round in a circle.
#[test]
fn hostile_repositories_say_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let git = dir.path().join(".git");
    fs::create_dir_all(git.join("refs/heads")).unwrap();
    fs::write(dir.path().join("secret"), "0123456789abcdef0123456789abcdef01234567").unwrap();
    for head in [
        "ref: ../secret",
        "ref: refs/heads/../../../secret",
        "ref: /etc/passwd",
        "ref: refs//heads",
        "ref: ",
        "ref: HEAD",
        "ref: refs/heads",
        "",
        "not a hash",
    ] {
        fs::write(git.join("HEAD"), head).unwrap();
        assert_eq!(found(&dir.path().join("fleet.yaml")), None, "{head}");
    }
    fs::write(git.join("HEAD"), b"\xff\xfe").unwrap();
    assert_eq!(found(&dir.path().join("fleet.yaml")), None);
}
