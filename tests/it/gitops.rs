//! The pipelines of `examples/gitops`: their steps are run as a runner runs them, with the real program, a real store and
//! recorders in place of `gh` and `curl`.

#![expect(clippy::disallowed_methods, reason = "the test runs the steps of pipelines, and writes their files")]

use crate::skip::skipped;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/gitops")
}

fn yaml(file: &str) -> Value {
    serde_yaml::from_str(&fs::read_to_string(examples().join(file)).unwrap()).unwrap()
}

/// Programs a test needs that a minimal system lacks.
fn ready(programs: &[&str]) -> bool {
    let there = |p: &&&str| ["/usr/local/bin", "/usr/bin", "/bin"].iter().any(|dir| Path::new(dir).join(p).exists());
    let Some(missing) = programs.iter().find(|p| !there(p)) else { return true };
    skipped(format_args!("`{missing}` is not installed"));
    false
}

/// A runner: a checkout, a folder that stays, programs that write down what they are told.
struct Runner {
    dir: tempfile::TempDir,
    env: BTreeMap<String, String>,
}

/// Writes down its arguments, one line, and the file or input it was given; answers from `answers/`.
const GH: &str = r#"#!/bin/sh
echo "gh $*" >> "$RECORD/calls"
case "$1 $2" in
"pr comment" | "issue create" | "issue comment")
    while [ $# -gt 0 ]; do [ "$1" = --body-file ] && cat "$2" > "$RECORD/body"; shift; done ;;
"api repos/"*) cat "$RECORD/head" ;;
"run list") cat "$RECORD/run" ;;
"run download") cp "$RECORD/artefacts/plan/plan.json" . ;;
"issue list") cat "$RECORD/issue" 2>/dev/null || : ;;
*) echo "an unknown command: $*" >&2; exit 9 ;;
esac
"#;

const CURL: &str = r#"#!/bin/sh
echo "curl $*" >> "$RECORD/calls"
case "$*" in *"$MACHINE_BOT_TOKEN"*) echo "the token is for everybody to see" >&2; exit 9 ;; esac
[ "$(cat)" = "PRIVATE-TOKEN: $MACHINE_BOT_TOKEN" ] || { echo "no token" >&2; exit 22; }
for last; do :; done
case "$last" in
*/merge_requests/7/notes) cat comment.md > "$RECORD/body" ;;
*/repository/commits/abc/merge_requests) cat "$RECORD/requests" ;;
*/merge_requests/7/pipelines) echo '[{"id": 9, "status": "failed"}, {"id": 8, "status": "success"}]' ;;
*/pipelines/8/jobs) echo '[{"id": 4, "name": "lint"}, {"id": 5, "name": "plan"}]' ;;
*/jobs/5/artifacts/plan.json) cat "$RECORD/artefacts/plan/plan.json" ;;
*) echo "an unknown question: $last" >&2; exit 9 ;;
esac
"#;

impl Runner {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let runner = Self { env: BTreeMap::new(), dir };
        for folder in ["bin", "record/artefacts", "checkout", "home"] {
            fs::create_dir_all(runner.path(folder)).unwrap();
        }
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_machine"), runner.path("bin/machine")).unwrap();
        for (name, text) in [("gh", GH), ("curl", CURL)] {
            fs::write(runner.path("bin").join(name), text).unwrap();
            fs::set_permissions(runner.path("bin").join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(runner.path("record/head"), "abc\n").unwrap();
        fs::write(runner.path("record/run"), "42\n").unwrap();
        fs::write(runner.path("record/requests"), r#"[{"iid": 7}]"#).unwrap();
        runner.checkout();
        runner
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What `actions/checkout` does: a folder with what is in the repository and nothing else.
    fn checkout(&self) {
        let text = fs::read_to_string(self.path("checkout/fleet.yaml"));
        fs::remove_dir_all(self.path("checkout")).unwrap();
        fs::create_dir_all(self.path("checkout")).unwrap();
        let text = text.unwrap_or_else(|_| fs::read_to_string(examples().join("fleet.yaml")).unwrap());
        fs::write(self.path("checkout/fleet.yaml"), text).unwrap();
    }

    fn edit(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.path("checkout/fleet.yaml")).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(self.path("checkout/fleet.yaml"), text.replace(from, to)).unwrap();
    }

    fn recorded(&self, file: &str) -> String {
        fs::read_to_string(self.path("record").join(file)).unwrap_or_default()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", self.path("bin").display()))
            .env("HOME", self.path("home"))
            .env("RECORD", self.path("record"))
            .envs(&self.env)
            .current_dir(self.path("checkout"))
            .stdin(Stdio::null());
        command
    }

    /// Runs one script as runners do. Its exit code, and all it said.
    fn script(&self, script: &str, env: &BTreeMap<String, String>) -> (i32, String) {
        // GitHub: `bash -e {0}`; GitLab joins the lines of a job.
        let mut command = self.command("bash");
        command.args(["-e", "-c", script]).envs(env).env("MACHINE_STORAGE_PATH", self.path("store"));
        let out = command.output().unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        (out.status.code().unwrap_or(-1), said)
    }

    fn keep(&self, name: &str, path: &str) {
        fs::create_dir_all(self.path("record/artefacts").join(name)).unwrap();
        fs::copy(self.path("checkout").join(path), self.path("record/artefacts").join(name).join(path)).unwrap();
    }

    fn machine(&self, args: &[&str]) -> String {
        let out = self.command("machine").args(args).env("MACHINE_STORAGE_PATH", self.path("store")).output().unwrap();
        String::from_utf8(out.stdout).unwrap()
    }
}

/// What `${{ … }}` stands for.
fn given(text: &str) -> String {
    let known = [
        ("${{ github.repository }}", "shop/fleet"),
        ("${{ github.token }}", "canary-of-a-token"),
        ("${{ github.sha }}", "merged"),
        ("${{ github.event.pull_request.number }}", "7"),
    ];
    let text = known.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    assert!(!text.contains("${{"), "this test does not know {text}");
    text
}

fn env(of: &Value) -> BTreeMap<String, String> {
    let map = of["env"].as_object().into_iter().flatten();
    map.map(|(key, value)| (key.clone(), given(value.as_str().unwrap()))).collect()
}

/// Runs a workflow's only job, step by step, as GitHub does: after a failure only steps that always run.
fn github(runner: &Runner, file: &str) -> (i32, String) {
    let workflow = yaml(&format!("github/.github/workflows/{file}"));
    let jobs = workflow["jobs"].as_object().unwrap();
    let job = jobs.values().next().unwrap();
    let (mut code, mut said) = (0, String::new());
    for step in job["steps"].as_array().unwrap() {
        if code != 0 && step["if"] != "always()" {
            continue;
        }
        if let Some(script) = step["run"].as_str() {
            assert!(!script.contains("${{"), "what others may write must not become part of a script: {script}");
            let mut env_of = env(job);
            env_of.extend(env(step));
            let (status, text) = runner.script(script, &env_of);
            said += &text;
            code = if code == 0 { status } else { code };
        } else {
            match step["uses"].as_str().unwrap().split('@').next().unwrap() {
                "actions/checkout" => runner.checkout(),
                "actions/upload-artifact" => {
                    runner.keep(step["with"]["name"].as_str().unwrap(), step["with"]["path"].as_str().unwrap());
                }
                other => panic!("an unknown action: {other}"),
            }
        }
    }
    (code, said)
}

/// Runs a job as GitLab does.
fn gitlab(runner: &mut Runner, job: &str) -> (i32, String) {
    let variables = [
        ("MACHINE_BOT_TOKEN", "canary-of-a-token"),
        ("CI_API_V4_URL", "https://gitlab.example/api/v4"),
        ("CI_PROJECT_ID", "3"),
        ("CI_MERGE_REQUEST_IID", "7"),
        ("CI_COMMIT_SHA", "abc"),
    ];
    runner.env = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let job = &yaml("gitlab/.gitlab-ci.yml")[job];
    let lines = |key: &str| {
        let lines = job[key].as_array().into_iter().flatten();
        lines.map(|line| line.as_str().unwrap()).collect::<Vec<_>>().join("\n")
    };
    runner.checkout();
    let (code, mut said) = runner.script(&lines("script"), &BTreeMap::new());
    said += &runner.script(&lines("after_script"), &BTreeMap::new()).1;
    for path in job["artifacts"]["paths"].as_array().into_iter().flatten() {
        let path = path.as_str().unwrap();
        if runner.path("checkout").join(path).exists() {
            runner.keep(path.trim_end_matches(".json"), path);
        }
    }
    (code, said)
}

/// What both must do: `plan`, `apply` and `drift` run the pipelines.
fn story(
    runner: &mut Runner,
    plan: &dyn Fn(&mut Runner) -> (i32, String),
    apply: &dyn Fn(&mut Runner) -> (i32, String),
) {
    let (code, said) = plan(runner);
    assert_eq!(code, 0, "{said}");
    let body = runner.recorded("body");
    assert!(body.contains("gitops") && body.contains("post-create") && body.contains("2 to create"), "{body}");
    assert_eq!(runner.machine(&["ls", "-q"]), "", "a plan makes nothing and runs no hook");
    assert!(!said.contains("build is at"), "{said}");

    let (code, said) = apply(runner);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("build is at 192.0.2.40"), "{said}");
    assert_eq!(runner.machine(&["ls", "-q"]), "build\ndeploy\n");
    let history = runner.recorded("artefacts/history/history.json");
    assert!(history.contains("apply"), "{history}");

    // The same plan again, as when a job is run again: nothing is done twice.
    let (code, said) = apply(runner);
    assert_eq!(code, 0, "{said}");
    assert!(!said.contains("build is at"), "{said}");

    // A machine is changed between review and merge: nothing is done (exit code 4), and the history is kept.
    runner.edit("192.0.2.41", "192.0.2.42");
    assert_eq!(plan(runner).0, 0);
    let other = runner.path("other.yaml");
    let text = fs::read_to_string(runner.path("checkout/fleet.yaml")).unwrap().replace("192.0.2.42", "192.0.2.43");
    fs::write(&other, text).unwrap();
    runner.machine(&["apply", "-y", "--allow-replace", other.to_str().unwrap()]);
    fs::remove_dir_all(runner.path("record/artefacts/history")).unwrap();
    let (code, said) = apply(runner);
    assert_eq!(code, 4, "{said}");
    assert!(runner.recorded("artefacts/history/history.json").contains("apply"));
    assert_eq!(runner.machine(&["url", "deploy"]), "tcp://192.0.2.43:2376\n");
}

#[test]
fn the_pipelines_of_github_do_what_they_say() {
    let mut runner = Runner::new();
    story(&mut runner, &|r| github(r, "plan.yml"), &|r| github(r, "apply.yml"));
    let calls = runner.recorded("calls");
    assert!(calls.contains("gh pr comment 7 --body-file comment.md --edit-last --create-if-none\n"), "{calls}");
    assert!(
        calls.contains("--commit abc --status success") && calls.contains("gh run download 42 --name plan"),
        "{calls}"
    );
    assert!(!calls.contains("canary"), "no token in arguments: {calls}");

    // What came by no pull request was not reviewed.
    fs::write(runner.path("record/head"), "").unwrap();
    let (code, said) = github(&runner, "apply.yml");
    assert!(code != 0 && said.contains("came by no pull request"), "{said}");
}

#[test]
fn the_pipelines_of_gitlab_do_what_they_say() {
    if !ready(&["jq"]) {
        return;
    }
    let mut runner = Runner::new();
    story(&mut runner, &|r| gitlab(r, "plan"), &|r| gitlab(r, "apply"));
    fs::write(runner.path("record/requests"), "[]").unwrap();
    let (code, said) = gitlab(&mut runner, "apply");
    assert!(code != 0 && said.contains("came by no merge request"), "{said}");
}

/// Pain 27: services refuse a comment that is too long, and then the plan is not read.
#[test]
fn a_plan_of_a_thousand_hosts_fits_into_a_comment() {
    let runner = Runner::new();
    let hosts: String = (0..1000)
        .map(|n| format!("  host-with-a-long-name-{n}: {{ url: 'tcp://192.0.2.1:{n}' }}\n"))
        .collect::<Vec<_>>()
        .concat();
    let text = fs::read_to_string(runner.path("checkout/fleet.yaml")).unwrap();
    let text = format!("{}hosts:\n{hosts}", text.split("hosts:\n").next().unwrap());
    fs::write(runner.path("checkout/fleet.yaml"), text).unwrap();
    let (code, said) = github(&runner, "plan.yml");
    assert_eq!(code, 0, "{said}");
    let body = runner.recorded("body");
    assert!(body.len() <= 60_000 && body.contains("Not shown"), "{} bytes", body.len());
}

#[test]
fn drift_is_an_issue_on_github_and_a_warning_on_gitlab() {
    let mut runner = Runner::new();
    assert!(runner.machine(&["apply", "-y", "fleet.yaml"]).contains("2 converged"));
    let (code, said) = github(&runner, "drift.yml");
    assert_eq!(code, 0, "{said}");
    assert!(!runner.recorded("calls").contains("issue"), "no drift, no issue");
    // A program that says what the real one says of drift; how it finds it is tested elsewhere.
    let fake = "#!/bin/sh\ncase $* in *--json*) echo '{}' ;; *) echo 'web engine: drifted, labels' ;; esac\nexit 2\n";
    fs::remove_file(runner.path("bin/machine")).unwrap();
    fs::write(runner.path("bin/machine"), fake).unwrap();
    fs::set_permissions(runner.path("bin/machine"), fs::Permissions::from_mode(0o755)).unwrap();
    let (code, said) = github(&runner, "drift.yml");
    assert_eq!(code, 0, "{said}");
    assert!(runner.recorded("body").contains("web engine: drifted, labels"));
    assert!(runner.recorded("calls").contains("gh issue create"), "{}", runner.recorded("calls"));
    fs::write(runner.path("record/issue"), "12\n").unwrap();
    github(&runner, "drift.yml");
    assert!(runner.recorded("calls").contains("gh issue comment 12"));
    assert_eq!(gitlab(&mut runner, "drift").0, 2, "`allow_failure` makes a warning of it");
    // A look that fails is no drift.
    fs::write(runner.path("bin/machine"), "#!/bin/sh\necho broken >&2\nexit 1\n").unwrap();
    assert_eq!(github(&runner, "drift.yml").0, 1);
    assert_eq!(gitlab(&mut runner, "drift").0, 1);
}

/// Pain 8: what may be cancelled is a plan, never an apply; and a signal reaches `machine` itself.
#[test]
fn an_apply_is_never_cancelled_by_the_next() {
    let apply = yaml("github/.github/workflows/apply.yml");
    assert_eq!(apply["concurrency"]["cancel-in-progress"], false);
    let steps = apply["jobs"]["apply"]["steps"].as_array().unwrap();
    let step = steps.iter().find(|step| step["name"] == "Apply").unwrap();
    assert!(step["run"].as_str().unwrap().starts_with("exec machine apply plan.json "));
    let gitlab = yaml("gitlab/.gitlab-ci.yml");
    assert_eq!(
        (&gitlab["default"]["interruptible"], &gitlab["apply"]["resource_group"]),
        (&false.into(), &"machine".into())
    );
    for file in ["plan.yml", "apply.yml", "drift.yml"] {
        let job = yaml(&format!("github/.github/workflows/{file}"));
        assert!(job["permissions"].is_object(), "{file}: a token with all rights");
    }
    let condition = &yaml("github/.github/workflows/plan.yml")["jobs"]["plan"]["if"];
    assert!(condition.as_str().unwrap().contains("head.repo.full_name == github.repository"), "strangers get no plan");
}

/// The store of runners that forget everything comes back as it was, unread by others, and is never overwritten blindly.
#[test]
fn a_store_survives_in_a_branch() {
    if !ready(&["git", "age"]) {
        return;
    }
    let mut runner = Runner::new();
    let run = |runner: &Runner, script: &str| runner.script(script, &BTreeMap::new());
    let origin = runner.path("origin.git");
    let (code, said) = run(
        &runner,
        &format!("git init -q --bare '{0}' && git init -q . && git remote add origin '{0}'", origin.display()),
    );
    assert_eq!(code, 0, "{said}");
    let identity = Command::new("age-keygen").output().unwrap();
    runner.env.insert("STORE_IDENTITY".to_owned(), String::from_utf8(identity.stdout).unwrap());
    let store = format!("sh '{}'", examples().join("store.sh").display());
    let all = |code_and_said: (i32, String)| assert_eq!(code_and_said.0, 0, "{}", code_and_said.1);
    all(run(&runner, &format!("{store} restore && machine apply -y fleet.yaml && {store} save")));
    fs::remove_dir_all(runner.path("store")).unwrap();
    all(run(&runner, &format!("{store} restore && machine plan --detailed-exitcode fleet.yaml")));
    assert_eq!(runner.machine(&["ls", "-q"]), "build\ndeploy\n");
    let mode = fs::metadata(runner.path("store/machines/build/record.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
    let (_, kept) = run(&runner, "git --git-dir ../origin.git show machine-store:store.tar.age");
    assert!(kept.starts_with("age-encryption.org/v1") && !kept.contains("record"), "it is encrypted");

    // Two runs restored the same store: the second one must not win.
    all(run(&runner, &format!("cp -r ../store ../store-b; cp ../store.restored ../store-b.restored; {store} save")));
    let mut other = BTreeMap::new();
    other.insert("MACHINE_STORAGE_PATH".to_owned(), runner.path("store-b").to_str().unwrap().to_owned());
    let (code, said) = runner
        .script(&format!("export MACHINE_STORAGE_PATH='{}'; {store} save", runner.path("store-b").display()), &other);
    assert!(code != 0 && said.contains("stale info"), "{said}");
}
