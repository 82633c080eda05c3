//! `ziet init`: a small project that runs at once. It adds files and never changes one.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueHint};
use serde::Serialize;

use crate::error::CliError;
use crate::output::{Printer, quoted};
use crate::settings;

/// Each file of a new project and its text, in which `{{name}}` stands for the project's name.
const TEMPLATE: &[(&str, &str)] = &[
    ("ziet.toml", include_str!("../../template/ziet.toml")),
    ("actions.py", include_str!("../../template/actions.py")),
    (
        "tests/__init__.py",
        include_str!("../../template/tests/__init__.py"),
    ),
    (
        "tests/test_actions.py",
        include_str!("../../template/tests/test_actions.py"),
    ),
    ("README.md", include_str!("../../template/README.md")),
    (".gitignore", include_str!("../../template/gitignore")),
];

/// Make a small project that runs at once
///
/// Writes two actions, a test, a README.md, a ziet.toml and a .gitignore. Files that are there already are never touched:
/// if there is one of these names, nothing is written.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The folder, made if it is missing; its name becomes the project's
    #[arg(value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    folder: PathBuf,

    /// Print what was written as one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Made<'a> {
    name: &'a str,
    folder: &'a Path,
    files: Vec<&'static str>,
}

pub(crate) fn init(args: &Init, printer: &mut Printer) -> Result<ExitCode, CliError> {
    let folder = fs_err::canonicalize(&args.folder)
        .or_else(|_| std::path::absolute(&args.folder))
        .map_err(|error| CliError::failed("there is no current folder", error))?;
    refuse_to_overwrite(&folder)?;
    let around = settings::configured_root(&folder)?;
    if around.as_ref() == Some(&folder) {
        return Err(CliError::usage(format!(
            "{} is a project of Ziet already: its pyproject.toml has [tool.ziet]",
            folder.display()
        )));
    }
    let name = settings::name_of(&folder);
    write_all(&folder, &name).map_err(|error| CliError::failed("nothing was written", error))?;

    if let Some(around) = around {
        printer.note(format_args!(
            "{} is a project, too: each of the two leaves the actions of the other alone",
            around.display()
        ));
    }
    if args.json {
        printer.document(&Made {
            name: &name,
            folder: &folder,
            files: TEMPLATE.iter().map(|(file, _)| *file).collect(),
        })?;
    } else {
        tell(&args.folder, &name, printer);
    }
    Ok(ExitCode::SUCCESS)
}

fn tell(folder: &Path, name: &str, printer: &mut Printer) {
    let here = folder == Path::new(".");
    printer.line(format_args!("Made the project {name}:\n"));
    for (file, _) in TEMPLATE {
        let file = if here {
            PathBuf::from(file)
        } else {
            folder.join(file)
        };
        printer.line(format_args!("  {}", file.display()));
    }
    printer.line("\nTry it:\n");
    if !here {
        let folder = quoted(&folder.to_string_lossy());
        printer.line(format_args!("  cd {folder}"));
    }
    printer.line("  ziet run --local action place_order\n  ziet actions\n  python -m pytest");
}

fn refuse_to_overwrite(folder: &Path) -> Result<(), CliError> {
    let there: Vec<&str> = TEMPLATE
        .iter()
        .map(|(file, _)| *file)
        // Also a link that leads nowhere.
        .filter(|file| folder.join(file).symlink_metadata().is_ok())
        .collect();
    if there.is_empty() {
        return Ok(());
    }
    let (is, them) = if let [_] = *there {
        ("is", "it")
    } else {
        ("are", "them")
    };
    Err(CliError::usage(format!(
        "{} {is} in {} already, and nothing was written",
        there.join(", "),
        folder.display()
    ))
    .hint(format!(
        "name another folder, as in `ziet init my_project`, or move {them} away"
    )))
}

/// Writes every file, or takes back what it made.
fn write_all(folder: &Path, name: &str) -> io::Result<()> {
    let mut made = Vec::new();
    let written = TEMPLATE.iter().try_for_each(|(file, text)| {
        let path = folder.join(file);
        make_folders(path.parent().unwrap_or(folder), &mut made)?;
        let mut file = fs_err::File::create_new(&path)?;
        made.push(path);
        file.write_all(text.replace("{{name}}", name).as_bytes())
    });
    if written.is_err() {
        for path in made.iter().rev() {
            let _ = fs_err::remove_file(path).or_else(|_| fs_err::remove_dir(path));
        }
    }
    written
}

fn make_folders(folder: &Path, made: &mut Vec<PathBuf>) -> io::Result<()> {
    let missing: Vec<&Path> = folder
        .ancestors()
        .take_while(|folder| !folder.is_dir())
        .collect();
    for folder in missing.into_iter().rev() {
        fs_err::create_dir(folder)?;
        made.push(folder.to_owned());
    }
    Ok(())
}
