//! The interpreter, and the packages that it must have.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use ziet_worker::SDK_COMES_FROM;
use ziet_worker::python::Found;

use super::Check;
use crate::error::CliError;
use crate::settings::Settings;

/// Prints what there is to know as one JSON document, whatever is missing. The packages are found as a run finds them.
const QUESTION: &str = "\
import json, pkgutil, sys
from importlib import metadata
if sys.path and sys.path[0] == '': del sys.path[0]
if sys.argv[1]: sys.path.insert(0, sys.argv[1])
def package(name):
    try:
        module = __import__(name)
        version = getattr(module, '__version__', None) or metadata.version(name)
        file = getattr(module, '__file__', None)
        parts = [part.name for part in pkgutil.iter_modules(getattr(module, '__path__', []))]
        if name == 'ziet' and '_zygote' not in parts:
            raise ImportError(f'what is at {file} is another package of this name')
        return {'version': version, 'file': file}
    except BaseException as error:
        return {'error': type(error).__name__ + ': ' + str(error)}
print(json.dumps({
    'version': '.'.join(map(str, sys.version_info[:3])),
    'supported': sys.version_info >= (3, 10),
    'msgspec': package('msgspec'),
    'docstring_parser': package('docstring_parser'),
    'ziet': package('ziet'),
}))
";

const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Deserialize)]
struct Answer {
    version: String,
    supported: bool,
    msgspec: Package,
    docstring_parser: Package,
    ziet: Package,
}

#[derive(Deserialize)]
struct Package {
    version: Option<String>,
    file: Option<String>,
    error: Option<String>,
}

pub(super) fn checks(settings: &Settings) -> Vec<Check> {
    let python = match settings.python() {
        Ok(python) => python,
        Err(error) => return vec![Check::problem("python", error)],
    };
    let path = python.path.display();
    let sdk = settings.sdk();
    let answer = python.answer(QUESTION, sdk.as_deref().unwrap_or(Path::new("")), PATIENCE);
    // What `sitecustomize` and the like print comes first.
    let parsed = answer.and_then(|text| {
        let last = text.trim_end().lines().last().unwrap_or_default();
        serde_json::from_str(last).map_err(|_| format!("its answer is not understood: {text:?}"))
    });
    let Answer {
        version,
        supported,
        msgspec,
        docstring_parser,
        ziet,
    } = match parsed {
        Ok(answer) => answer,
        Err(error) => {
            let error = CliError::usage(format!("{path}: {error}"));
            let hint =
                "name another interpreter with --python, ZIET_PYTHON, or `python` in ziet.toml";
            return vec![Check::problem("python", error.hint(hint))];
        }
    };
    let why = match python.found {
        Found::Setting => settings.origin("python"),
        Found::BesideProgram => "beside ziet".to_owned(),
        Found::ActiveEnvironment => "VIRTUAL_ENV".to_owned(),
        Found::OnPath => "on the path".to_owned(),
    };
    let found = format!("{version} at {path} ({why})");
    let interpreter = if supported {
        Check::ok("python", found)
    } else {
        let hint = "name one of version 3.10 or later with --python, ZIET_PYTHON, or `python` in ziet.toml";
        Check::problem("python", CliError::usage(found).hint(hint))
    };
    let pip = |package: &str| format!("{path} -m pip install {package}");
    vec![
        interpreter,
        sdk_check(&ziet),
        package_check("msgspec", &msgspec, pip("msgspec")),
        package_check(
            "docstring_parser",
            &docstring_parser,
            pip("docstring-parser"),
        ),
    ]
}

/// Its version must be that of this program.
fn sdk_check(ziet: &Package) -> Check {
    let own = env!("CARGO_PKG_VERSION");
    let check = package_check("sdk", ziet, SDK_COMES_FROM.to_owned());
    if ziet.error.is_some() || ziet.version.as_deref() == Some(own) {
        return check;
    }
    let advice = format!("the program is {own}; {SDK_COMES_FROM}");
    Check::warning("sdk", check.found, advice)
}

fn package_check(name: &'static str, package: &Package, install: String) -> Check {
    let Package {
        version,
        file,
        error,
    } = package;
    if let Some(error) = error {
        return Check::problem(name, CliError::usage(error).hint(install));
    }
    let unknown = "unknown".to_owned();
    let folder = file
        .as_ref()
        .and_then(|file| Some(Path::new(file).parent()?.display().to_string()));
    let version = version.as_ref().unwrap_or(&unknown);
    Check::ok(
        name,
        format!("{version} at {}", folder.unwrap_or(unknown.clone())),
    )
}
