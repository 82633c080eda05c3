//! `ziet completions SHELL`: the script that makes a shell complete what is typed after `ziet`.

use std::process::ExitCode;

use clap::Args;
use clap_complete::Shell;
use clap_complete::env::Shells;

use crate::error::CliError;
use crate::output::Printer;

/// The variable by which the script says that it asks for candidates.
pub(crate) const ASKS: &str = "ZIET_COMPLETE";

/// Where the script for zsh offers what it was given, and the same with no space after `amount=`, whose value follows.
const ZSH_OFFERS: &str = "_describe -V 'values' other\n";
const ZSH_OFFERS_WITHOUT_SPACE: &str = "if [[ \"${other[1]%%:*}\" == *= ]]; then _describe -V 'values' other -S ''; \
                                        else _describe -V 'values' other; fi\n";

/// Print the script that makes a shell complete commands, actions and their parameters
///
/// The names of actions are read from the project's source, so nothing of it is run.
#[derive(Debug, Args)]
#[command(after_help = "\
Set it up for each new shell:
  bash        echo 'source <(ziet completions bash)' >> ~/.bashrc
  zsh         echo 'source <(ziet completions zsh)' >> ~/.zshrc        (below compinit)
  fish        ziet completions fish > ~/.config/fish/completions/ziet.fish
  elvish      echo 'eval (ziet completions elvish | slurp)' >> ~/.elvish/rc.elv
  powershell  ziet completions powershell | Out-String | Invoke-Expression   (in $PROFILE)")]
pub(crate) struct Completions {
    shell: Shell,
}

pub(crate) fn completions(args: &Completions, printer: &mut Printer) -> Result<ExitCode, CliError> {
    let shells = Shells::builtins();
    let mut script = Vec::new();
    if let Some(shell) = shells.completer(&args.shell.to_string()) {
        shell
            .write_registration(ASKS, "ziet", "ziet", "ziet", &mut script)
            .map_err(|error| CliError::failed("the script", error))?;
    }
    let script = String::from_utf8_lossy(&script);
    printer.line(script.replace(ZSH_OFFERS, ZSH_OFFERS_WITHOUT_SPACE).trim());
    Ok(ExitCode::SUCCESS)
}
