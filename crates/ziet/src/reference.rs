//! Writes the pages of `docs/reference` from what the program knows, and fails when one of them is stale.

use std::fmt::Write;
use std::path::Path;

use clap::{Command, CommandFactory};
use ziet_core::limits::LIMITS;

use crate::cli::Cli;
use crate::settings::{CLIENT, SERVING, SETTINGS, Setting};

/// Set by `make generate`.
const WRITE: &str = "UPDATE_REFERENCE";

const GENERATED: &str =
    "<!-- Generated from the program by `make generate`: change it there. -->\n\n";

#[test]
fn the_pages_of_the_reference_are_fresh() {
    let pages = [
        ("cli.md", commands()),
        ("settings.md", settings()),
        ("limits.md", limits()),
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
    #[expect(clippy::disallowed_methods, reason = "a test has no settings")]
    let write = std::env::var_os(WRITE).is_some();
    for (name, body) in pages {
        let (file, page) = (folder.join(name), format!("{GENERATED}{body}"));
        if write {
            fs_err::create_dir_all(&folder).unwrap();
            fs_err::write(&file, page).unwrap();
        } else {
            let checked_in = fs_err::read_to_string(&file).unwrap_or_default();
            assert!(
                checked_in == page,
                "docs/reference/{name} is stale: run `make generate`"
            );
        }
    }
}

fn commands() -> String {
    let mut command = Cli::command().term_width(100);
    command.build();
    let mut page = "# Commands\n\nWhat `ziet` says with `--help`. The flags of settings, at the end of this first text, are those of every\ncommand; [settings.md](settings.md) tells more about them.\n".to_owned();
    describe(command.clone(), &mut page);
    let subcommands = without_settings(command);
    for_each(&subcommands, &mut |command| {
        describe(command.clone(), &mut page);
    });
    page
}

/// The flags of settings stand in the text of `ziet` itself.
fn without_settings(command: Command) -> Command {
    command
        .mut_args(|argument| {
            let is_setting = argument.get_help_heading().is_some();
            let is_shown = !(is_setting && argument.is_global_set());
            argument.hide(!is_shown)
        })
        .mut_subcommands(without_settings)
}

fn for_each(command: &Command, then: &mut impl FnMut(&Command)) {
    let shown = |command: &&Command| command.get_name() != "help" && !command.is_hide_set();
    for subcommand in command.get_subcommands().filter(shown) {
        then(subcommand);
        for_each(subcommand, then);
    }
}

fn describe(mut command: Command, page: &mut String) {
    let name = command.get_bin_name().unwrap_or("ziet").to_owned();
    let help = command.render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    write!(
        page,
        "\n## {name}\n\n```text\n{}\n```\n",
        lines.join("\n").trim_end()
    )
    .unwrap();
}

fn settings() -> String {
    let mut page = "# Settings\n\nA flag goes before a variable, a variable before the file, and the file before the default. The file is `ziet.toml`, or the\ntable `[tool.ziet]` of `pyproject.toml`. `ziet settings` shows each value and where it came from.\n".to_owned();
    describe_settings(SETTINGS, &mut page);
    page.push_str("\n# Settings of a server\n\nThey are flags of `ziet serve`, and `--state` also of `ziet prune`, `ziet backup` and `ziet restore`, or variables. The file of a\nproject has none of them.\n");
    describe_settings(SERVING, &mut page);
    page.push_str("\n# Settings of who asks a server\n\nOf the commands that speak with a server: as flags, or variables. The file of a project has none of them.\n");
    describe_settings(CLIENT, &mut page);
    page
}

fn describe_settings(settings: &[Setting], page: &mut String) {
    for setting in settings {
        let places = [
            setting.flag.as_ref().map(|flag| format!("`{flag}`")),
            setting.variable().map(|variable| format!("`{variable}`")),
            setting
                .in_file()
                .then(|| format!("`{}` in the file", setting.name)),
        ];
        let places: Vec<String> = places.into_iter().flatten().collect();
        write!(
            page,
            "\n## {}\n\n{}.{}{}\n\n- Set by: {}\n- Value: {}\n- Default: {}\n- Since: {}\n",
            setting.name,
            setting.summary,
            if setting.details.is_empty() { "" } else { " " },
            setting.details,
            places.join(", "),
            setting.kind,
            setting.default,
            setting.since,
        )
        .unwrap();
    }
}

fn limits() -> String {
    let mut page = "# Limits\n\nWhat `ziet limits` shows. A MB is 1,048,576 bytes; inputs, outputs and what is in memory are measured as JSON text.\n\n| limit | value | beyond it |\n| --- | --- | --- |\n".to_owned();
    for limit in LIMITS {
        writeln!(
            page,
            "| {} | {} | {} |",
            limit.name,
            limit.text(),
            limit.beyond
        )
        .unwrap();
    }
    page
}
