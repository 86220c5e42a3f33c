//! Completion, prompt and `use` in real shells: bash, zsh and fish run the scripts that the program prints.
//! A shell that is not there is `SKIPPED`, and with `MACHINE_LAB=required` that is a failure.

use crate::{
    home::{Home, available},
    http_engine,
    skip::skipped,
};

fn there(shell: &str) -> bool {
    if available(shell) {
        return true;
    }
    skipped(format_args!("{shell} is not installed"));
    false
}

/// Three machines, and both names of the program in the PATH.
fn home() -> Home {
    let home = Home::with_store("store");
    for name in ["db", "web-1", "web-2"] {
        home.none(name, "tcp://192.0.2.1:2376");
    }
    home.write("machines/$(touch pwned)/config.json", "{}");
    std::fs::create_dir(home.path().join("folder")).unwrap();
    home
}

/// What stands on the line, and what the shell offers then.
const CASES: &[(&str, &str)] = &[
    ("machine ssh we", "web-1 web-2"),
    ("docker-machine ssh we", "web-1 web-2"),
    ("./machine stop web-1 ", "db web-2"),
    ("machine sta", "start status"),
    ("machine -s nowhere ssh ", ""),
    ("machine -s store status d", "db"),
    ("machine ls --filter state=Run", "state=Running"),
    ("machine ls --filter=driver=non", "--filter=driver=none"),
    ("machine ls --filt", "--filter"),
    ("machine -s fol", "folder/"),
    ("machine env --shell x", "xonsh"),
    ("machine bogus ", ""),
];

/// bash sees words taken apart at `=` and `:`, and replaces only the last part.
#[test]
fn bash_completes() {
    if !there("bash") {
        return;
    }
    let home = home();
    let mut script =
        String::from("PATH=.:$PATH; eval \"$(machine completion bash; docker-machine completion bash)\"\n");
    // The words as bash makes them of a line: blanks part, and so do the breaking characters.
    script += r#"
try() {
    local rest=$1 c word='' i
    COMP_LINE=$1 COMP_POINT=${#1} COMP_WORDS=()
    for ((i = 0; i < ${#rest}; i++)); do
        c=${rest:i:1}
        case $c in
            ' ') [[ -n $word ]] && COMP_WORDS+=("$word"); word= ;;
            [=:]) [[ -n $word ]] && COMP_WORDS+=("$word"); COMP_WORDS+=("$c"); word= ;;
            *) word+=$c ;;
        esac
    done
    [[ -n $word || $rest == *' ' ]] && COMP_WORDS+=("$word")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    COMPREPLY=()
    _docker_machine
    printf '%s|' "${COMPREPLY[@]}"
    echo
}
"#;
    for (line, _) in CASES {
        script += &format!("try '{line}'\n");
    }
    script += "complete -p machine docker-machine\n";
    let run = home.shell("bash", &script);
    let got: Vec<&str> = run.stdout.lines().collect();
    for ((line, want), got) in CASES.iter().zip(&got) {
        // What bash takes for another word is on the line already; it adds the slash of a folder itself.
        let last = |word: &str| word.rsplit(['=', ':']).next().unwrap().trim_end_matches('/').to_owned();
        let want: Vec<String> = want.split_whitespace().map(last).collect();
        let got: Vec<&str> = got.split('|').filter(|word| !word.is_empty()).collect();
        assert_eq!(got, want, "{line}: {}", run.stderr);
    }
    assert!(run.stdout.ends_with("complete -F _docker_machine machine\ncomplete -F _docker_machine docker-machine\n"));
    assert!(!home.path().join("pwned").exists());
}

/// In a terminal, with the keys a person presses.
#[test]
fn bash_completes_in_a_terminal() {
    if !there("bash") || !there("zsh") {
        return;
    }
    let home = home();
    // zsh has terminals to give away.
    let script = r#"
zmodload zsh/zpty
zpty b "PATH=.:$PATH PS1='>' bash --norc --noprofile -i"
zpty -w b 'eval "$(machine completion bash)"; stty -echo; echo rea""dy'
zpty -r b out '*ready*'
zpty -w -n b $'machine ls -q --filt\tname=we\t2 ; echo do""ne\n'
zpty -r b out '*done*'
print -r -- $out
"#;
    let run = home.shell("zsh", script);
    assert!(run.stdout.contains("web-2\r\n") && !run.stdout.contains("web-1"), "{:?} {}", run.stdout, run.stderr);
}

#[test]
fn zsh_completes() {
    if !there("zsh") {
        return;
    }
    let home = home();
    let mut script = String::from("PATH=.:$PATH; autoload -Uz compinit; compinit -u -D\n");
    script += "eval \"$(machine completion zsh; docker-machine completion zsh)\"\n";
    script += "print -r -- ${_comps[machine]} ${_comps[docker-machine]}\n";
    // What reaches the completion system is asked for in its place.
    script += r#"
_describe() { print -rl -- ${${(P)4}%%:*} }
_files() { print -r -- "files $*" }
compset() { : }
try() { words=("${(@)argv}"); CURRENT=$#words; PREFIX=$words[CURRENT]; _docker_machine; print -r -- end }
"#;
    let lines = ["machine ssh we", "docker-machine ssh we", "machine -s store status d", "machine sta", "machine ''"];
    for line in lines {
        script += &format!("try {line}\n");
    }
    script += "try machine ls --filter=state=Run\ntry machine -s fol\ntry machine plan f\n";
    let run = home.shell("zsh", &script);
    let mut got = run.stdout.split("end\n");
    let mut next = || got.next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(next(), "_docker_machine _docker_machine web-1 web-2", "{}", run.stderr);
    assert_eq!((next().as_str(), next().as_str(), next().as_str()), ("web-1 web-2", "db", "start status"));
    assert!(next().starts_with("active "));
    assert_eq!((next().as_str(), next().as_str(), next().as_str()), ("--filter=state=Running", "files -/", "files"));
}

/// As a file in fpath, as `install` puts it there, with the real completion system in a terminal of its own.
#[test]
fn zsh_completes_in_a_terminal() {
    if !there("zsh") {
        return;
    }
    let home = home();
    let text = home.machine(&["completion", "zsh"]).stdout;
    #[expect(clippy::disallowed_methods, reason = "a fixture needs no durability")]
    std::fs::write(home.path().join("_machine"), text).unwrap();
    let script = r#"
zmodload zsh/zpty
zpty z "PATH=.:$PATH PS1='>' zsh -f -i"
zpty -w z 'fpath=(. $fpath); autoload -Uz compinit; compinit -u -D; unsetopt list_beep; stty -echo; print rea""dy'
zpty -r z out '*ready*'
zpty -w -n z $'machine status web-\t2 ; print do""ne\n'
zpty -r z out '*done*'
print -r -- $out
"#;
    let run = home.shell("zsh", script);
    assert!(run.stdout.contains("Running"), "{} {}", run.stdout, run.stderr);
}

/// The line that the README has for a start-up file, wherever `compinit` stands: before it, after it, or nowhere.
#[test]
fn zsh_completes_after_the_documented_line() {
    if !there("zsh") {
        return;
    }
    let home = home();
    let line = "eval \"$(machine shell-init zsh)\"; eval \"$(docker-machine shell-init zsh)\"";
    let compinit = "autoload -Uz compinit; compinit -u -D";
    for start_up in [format!("{compinit}; {line}"), format!("{line}; {compinit}"), line.to_owned()] {
        for program in ["machine", "docker-machine"] {
            let script = r#"
zmodload zsh/zpty
zpty z "PATH=.:$PATH PS1='>' ZDOTDIR=$PWD zsh -d -i"
zpty -w z 'unsetopt list_beep; stty -echo; print rea""dy'
zpty -r z out '*ready*'
zpty -w -n z $'PROGRAM status web-\t2 ; print do""ne\n'
zpty -r z out '*done*'
print -r -- $out
"#;
            #[expect(clippy::disallowed_methods, reason = "a fixture needs no durability")]
            std::fs::write(home.path().join(".zshrc"), format!("PATH=.:$PATH\n{start_up}\n")).unwrap();
            let run = home.shell("zsh", &script.replace("PROGRAM", program));
            assert!(run.stdout.contains("Running"), "{start_up}: {program}: {} {}", run.stdout, run.stderr);
        }
    }
}

#[test]
fn fish_completes() {
    if !there("fish") {
        return;
    }
    let home = home();
    let mut script = String::from(
        "set -gx PATH . $PATH; machine completion fish | source; docker-machine completion fish | source\n",
    );
    for (line, _) in CASES {
        script += &format!("complete -C '{line}' | string replace -r '\\t.*' '' | string join ' '; echo\n");
    }
    let run = home.shell("fish", &script);
    let got: Vec<&str> = run.stdout.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let want: Vec<&str> = CASES.iter().map(|(_, want)| *want).filter(|want| !want.is_empty()).collect();
    assert_eq!(got, want, "{}", run.stderr);
    let about =
        home.shell("fish", "set -gx PATH . $PATH; machine completion fish | source; complete -C 'machine stat'");
    assert_eq!(about.stdout, "status\tPrint whether a machine runs\n");
}

#[test]
fn the_prompt_shows_the_machine() {
    let home = home();
    let functions = "$(./docker-machine shell-init SHELL)";
    for shell in ["bash", "zsh", "fish"] {
        if !there(shell) {
            continue;
        }
        let init = match shell {
            "fish" => "set -gx PATH . $PATH; docker-machine shell-init fish | source; ".to_owned(),
            _ => format!("PATH=.:$PATH; eval \"{}\"; ", functions.replace("SHELL", shell)),
        };
        let set = |name: &str, value: &str| match shell {
            "fish" => format!("set -gx {name} '{value}'; "),
            _ => format!("export {name}='{value}'; "),
        };
        let name = set("DOCKER_MACHINE_NAME", "web-1");
        let status = set("DOCKER_MACHINE_PS1_SHOWSTATUS", "true");
        for (script, want) in [
            (format!("{init}__docker_machine_ps1"), ""),
            (format!("{init}{name}__docker_machine_ps1"), " [web-1]"),
            (format!("{init}{name}__docker_machine_ps1 '(%s) '"), "(web-1) "),
            (format!("{init}{name}{status}__docker_machine_ps1"), " [web-1 R]"),
            (format!("{init}{}{status}__docker_machine_ps1", set("DOCKER_MACHINE_NAME", "nope")), " [nope S]"),
        ] {
            let run = home.shell(shell, &script);
            assert_eq!((run.stdout.as_str(), run.stderr.as_str()), (want, ""), "{shell}: {script}");
        }
    }
}

#[test]
fn use_points_docker_to_a_machine() {
    let home = Home::with_store("a b$(touch pwned)");
    let engine = http_engine::start("28.2.2");
    home.none("default", &engine.url());
    for shell in ["bash", "zsh", "fish"] {
        if !there(shell) {
            continue;
        }
        for program in ["machine", "docker-machine"] {
            // An alias is known from the next line that is read on, as in a start-up file.
            let init = match shell {
                "fish" => format!("set -gx PATH . $PATH; {program} shell-init fish | source\n"),
                "bash" => format!("shopt -s expand_aliases; PATH=.:$PATH; eval \"$({program} shell-init bash)\"\n"),
                _ => format!("PATH=.:$PATH; eval \"$({program} shell-init zsh)\"\n"),
            };
            let call =
                if shell == "zsh" { format!("eval '{program} use default'") } else { format!("{program} use default") };
            let run = home.shell(shell, &format!("{init}{call}\nprintenv DOCKER_CERT_PATH"));
            // For an engine without certificates only docker-machine's name says where they would be.
            let certs = match program {
                "machine" => String::new(),
                _ => format!("{}/machines/default\n", home.store().display()),
            };
            let want = format!("Active machine: default\n{certs}");
            assert_eq!((run.stdout.as_str(), run.stderr.as_str()), (want.as_str(), ""), "{shell} {program}");
            let failing = call.replace("default", "nope");
            let run = home.shell(shell, &format!("{init}{failing}\nprintenv DOCKER_CERT_PATH"));
            assert!(run.stdout.is_empty() && run.stderr.contains("does not exist"), "{shell}: {}", run.stderr);
            // The rest goes to the program, and its exit code comes back.
            let other = call.replace("use default", "ls -q");
            assert_eq!(home.shell(shell, &format!("{init}{other}")).stdout, "default\n", "{shell}");
            let other = call.replace("use default", "status nope");
            assert_eq!(home.shell(shell, &format!("{init}{other}")).status, 1, "{shell}");
            let other = call.replace("use default", "use --help");
            assert!(home.shell(shell, &format!("{init}{other}")).stdout.starts_with("Usage: "), "{shell}");
        }
    }
    assert!(!home.path().join("pwned").exists());
}
