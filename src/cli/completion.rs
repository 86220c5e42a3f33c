//! `completion` and `shell-init`: the scripts of `contrib/completion`, for the name we were called by.

use super::{CliError, Cx, Exit, Group, Out, Run};
use clap::ValueEnum;

/// A shell that scripts are there for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum Scripted {
    Bash,
    Zsh,
    Fish,
    Powershell,
}

impl Scripted {
    /// What makes the shell ask the program, for a program of this name.
    pub(super) fn completion(self, program: &str) -> String {
        named(
            program,
            match self {
                Self::Bash => include_str!("../../contrib/completion/bash/docker-machine.bash"),
                Self::Zsh => include_str!("../../contrib/completion/zsh/_docker-machine"),
                Self::Fish => include_str!("../../contrib/completion/fish/docker-machine.fish"),
                Self::Powershell => include_str!("../../contrib/completion/powershell/docker-machine.ps1"),
            },
        )
    }

    /// The function for the prompt and the one for `use`.
    fn functions(self, program: &str) -> String {
        named(
            program,
            match self {
                Self::Bash | Self::Zsh => concat!(
                    include_str!("../../contrib/completion/bash/docker-machine-prompt.bash"),
                    "\n",
                    include_str!("../../contrib/completion/bash/docker-machine-wrapper.bash")
                ),
                Self::Fish => include_str!("../../contrib/completion/fish/docker-machine-wrapper.fish"),
                Self::Powershell => include_str!("../../contrib/completion/powershell/docker-machine-wrapper.ps1"),
            },
        )
    }
}

/// A script for a program of another name. What it is called comes from the command line, so it must be plain.
fn named(program: &str, script: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let program = if program.chars().all(plain) { program } else { "machine" };
    script.replace("docker-machine", program)
}

/// Print a script that completes commands, options and names
#[derive(clap::Args)]
pub(super) struct Completion {
    /// The shell that reads it
    #[arg(value_name = "SHELL")]
    shell: Scripted,
}

impl Run for Completion {
    const NAME: &'static str = "completion";
    const GROUP: Group = Group::Shell;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        out.text(&self.shell.completion(&cx.program))?;
        Ok(Exit::Done)
    }
}

/// Print completion, `use NAME` and the prompt's function for a shell's start-up file
#[derive(clap::Args)]
pub(super) struct ShellInit {
    /// The shell that reads it
    #[arg(value_name = "SHELL")]
    shell: Scripted,
}

impl Run for ShellInit {
    const NAME: &'static str = "shell-init";
    const GROUP: Group = Group::Shell;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        out.text(&format!("{}\n{}", self.shell.completion(&cx.program), self.shell.functions(&cx.program)))?;
        Ok(Exit::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_for_the_program_that_prints_them() {
        for shell in Scripted::value_variants() {
            for text in [shell.completion("machine"), shell.functions("machine")] {
                assert!(!text.contains("docker-machine") && text.contains("machine"), "{shell:?}");
            }
            let text = shell.completion("x;touch pwned");
            assert!(!text.contains("pwned"), "{shell:?}");
        }
    }
}
