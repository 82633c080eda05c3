//! `ziet settings`: what each setting is, and where that came from.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use serde_json::Value;
use ziet_core::nearest;

use crate::error::CliError;
use crate::output::{Printer, Table};
use crate::settings::{self, Setting, Settings};

/// Show each setting, and where its value came from
///
/// A flag goes before a variable, a variable before the project's file (`ziet.toml`, or `[tool.ziet]` in
/// `pyproject.toml`), and the file before the default.
#[derive(Debug, Args)]
pub(crate) struct SettingsArgs {
    /// Only this setting, with what there is to know of it
    name: Option<String>,

    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    /// None when it is found where it is needed.
    value: &'a Value,
    /// `--flag`, `ZIET_X`, `ziet.toml line 3` or `default`.
    from: String,
    summary: &'a str,
    details: &'a str,
    expected: String,
    default: String,
    flag: Option<String>,
    variable: Option<String>,
    in_file: bool,
    since: &'a str,
}

pub(crate) fn settings(
    args: &SettingsArgs,
    settings: &Settings,
    printer: &mut Printer,
) -> Result<ExitCode, CliError> {
    let shown = |setting: &'static Setting| shown(setting, settings);
    match &args.name {
        None if args.json => printer.document(&settings::all().map(shown).collect::<Vec<_>>())?,
        None => {
            let mut table = Table::new(&["name", "value", "from"]);
            for setting in settings::all() {
                let shown = shown(setting);
                let value = value_text(&shown);
                table.row([shown.name.to_owned(), value, shown.from]);
            }
            printer.table(table);
        }
        Some(name) => {
            let shown = shown(find(name)?);
            if args.json {
                printer.document(&shown)?;
            } else {
                show_one(&shown, printer);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn find(name: &str) -> Result<&'static Setting, CliError> {
    let found = settings::all().find(|setting| setting.name == name);
    found.ok_or_else(|| {
        let names = settings::all().map(|setting| (setting.name, setting.name));
        let hint = nearest(name, names).first().map_or_else(
            || "`ziet settings` lists those there are".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        CliError::usage(format!("there is no setting `{name}`")).hint(hint)
    })
}

fn shown<'a>(setting: &'static Setting, settings: &'a Settings) -> Shown<'a> {
    let given = settings.given(setting);
    Shown {
        name: setting.name,
        value: &given.value,
        from: given.origin.to_string(),
        summary: setting.summary,
        details: setting.details,
        expected: setting.kind.to_string(),
        default: setting.default.to_string(),
        flag: setting.flag.as_ref().map(ToString::to_string),
        variable: setting.variable(),
        in_file: setting.in_file(),
        since: setting.since,
    }
}

/// Texts as they are, unless that would not be one line.
fn value_text(shown: &Shown<'_>) -> String {
    match shown.value {
        Value::Null => format!("({})", shown.default),
        Value::String(text) if !text.chars().any(char::is_control) => text.clone(),
        value => value.to_string(),
    }
}

fn show_one(shown: &Shown<'_>, printer: &mut Printer) {
    let mut table = Table::new(&[shown.name, shown.summary]);
    let places = [
        shown.flag.clone(),
        shown.variable.clone(),
        shown
            .in_file
            .then(|| format!("`{}` in ziet.toml", shown.name)),
    ];
    let places: Vec<String> = places.into_iter().flatten().collect();
    let rows = [
        ("value", value_text(shown)),
        ("from", shown.from.clone()),
        ("expected", shown.expected.clone()),
        ("default", shown.default.clone()),
        ("set by", places.join(", ")),
        ("since", shown.since.to_owned()),
        ("details", shown.details.to_owned()),
    ];
    for (name, text) in rows.into_iter().filter(|(_, text)| !text.is_empty()) {
        table.row([name.to_owned(), text]);
    }
    printer.table(table);
}
