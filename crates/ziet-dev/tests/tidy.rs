//! Keeps what a reviewer would otherwise have to look for: which crate may see which, how long files and functions may be, how
//! many arguments a public function takes, and names that say nothing.
//!
//! An exception is possible, with its reason, in `EXCUSED`; one that is no longer needed fails the test too.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use proc_macro2::Span;
use serde_json::Value;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// Each crate with those of ours that it may depend on, tests included. Imports run one way.
const LAW: &[(&str, &[&str])] = &[
    ("ziet-core", &[]),
    ("ziet-store", &["ziet-core"]),
    ("ziet-worker", &["ziet-core"]),
    ("ziet-engine", &["ziet-core", "ziet-store", "ziet-worker"]),
    (
        "ziet-server",
        &["ziet-core", "ziet-store", "ziet-worker", "ziet-engine"],
    ),
    (
        "ziet",
        &[
            "ziet-core",
            "ziet-store",
            "ziet-worker",
            "ziet-engine",
            "ziet-server",
        ],
    ),
    (
        "ziet-bench",
        &["ziet-core", "ziet-store", "ziet-worker", "ziet-engine"],
    ),
    (
        "ziet-dev",
        &[
            "ziet-core",
            "ziet-store",
            "ziet-worker",
            "ziet-engine",
            "ziet-server",
            "ziet",
        ],
    ),
];

/// Core decides and does no I/O: none of these may be among its dependencies.
const NOT_IN_CORE: &[&str] = &[
    "tokio",
    "rusqlite",
    "tokio-postgres",
    "axum",
    "hyper",
    "reqwest",
    "rustix",
    "libc",
    "clap",
];

const NAMES_THAT_SAY_NOTHING: &[&str] = &[
    "utils", "util", "common", "helpers", "helper", "manager", "imp", "types", "misc",
];

const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 60;
/// A test tells a story from top to bottom, and cutting it in pieces does not always make it clearer.
const TEST_FUNCTION_LINES: usize = 100;
const PARAMETERS: usize = 5;

/// `(file, or file and function as path::function; why it may be so)`, with the file's path below `crates/`.
const EXCUSED: &[(&str, &str)] = &[];

#[test]
fn crates_depend_one_way() {
    let mut complaints = Vec::new();
    for package in workspace_packages() {
        let name = package["name"].as_str().expect("a package has a name");
        let Some((_, allowed)) = LAW.iter().find(|(krate, _)| *krate == name) else {
            complaints.push(format!(
                "{name} is not in LAW: add it there with the crates that it may depend on"
            ));
            continue;
        };
        let dependencies = package["dependencies"]
            .as_array()
            .expect("a package lists its dependencies");
        for dependency in dependencies {
            let on = dependency["name"]
                .as_str()
                .expect("a dependency has a name");
            if dependency.get("path").is_some_and(Value::is_string) && !allowed.contains(&on) {
                complaints.push(format!(
                    "{name} must not depend on {on}: move what is needed to a crate that both may see, or turn the call \
                     round (the law is core <- store, core <- worker, (store, worker) <- engine <- server <- ziet)"
                ));
            }
            let is_for_tests = dependency["kind"].as_str() == Some("dev");
            if name == "ziet-core" && !is_for_tests && NOT_IN_CORE.contains(&on) {
                complaints.push(format!("ziet-core must not depend on {on}: core does no I/O; do it in the crate that calls"));
            }
        }
    }
    assert_none(&complaints);
}

#[test]
fn files_and_functions_keep_their_budgets() {
    let crates = workspace_root().join("crates");
    let mut found = Vec::new();
    for file in rust_files(&crates) {
        let path = file
            .strip_prefix(&crates)
            .expect("it lies below")
            .to_string_lossy()
            .replace('\\', "/");
        let text =
            fs::read_to_string(&file).unwrap_or_else(|error| panic!("cannot read {path}: {error}"));
        found.extend(check_file(&path, &text));
    }
    let excused: BTreeSet<&str> = EXCUSED.iter().map(|(place, _)| *place).collect();
    let mut complaints: Vec<String> = found
        .iter()
        .filter(|found| !excused.contains(found.place.as_str()))
        .map(|found| found.message.clone())
        .collect();
    for place in excused {
        if found.iter().all(|found| found.place != place) {
            complaints.push(format!(
                "{place} keeps its budget: take it out of EXCUSED in tidy.rs"
            ));
        }
    }
    assert_none(&complaints);
}

#[test]
fn the_check_itself_sees_what_is_wrong() {
    let long_body = "    let _ = 1;\n".repeat(70);
    let text = format!(
        "mod utils {{}}\n\
         pub fn wide(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8) {{}}\n\
         fn long() {{\n{long_body}}}\n\
         #[test]\nfn story() {{\n{long_body}}}\n\
         struct S;\nimpl S {{ pub fn fine(&self, a: u8, b: u8, c: u8, d: u8, e: u8) {{}} }}\n"
    );
    let places: Vec<String> = check_file("ziet/src/common.rs", &text)
        .into_iter()
        .map(|found| found.place)
        .collect();
    assert_eq!(
        places,
        [
            "ziet/src/common.rs",
            "ziet/src/common.rs::utils",
            "ziet/src/common.rs::wide",
            "ziet/src/common.rs::long"
        ]
    );

    let lines = "//\n".repeat(FILE_LINES + 1);
    assert_eq!(check_file("ziet/src/tall.rs", &lines).len(), 1);
    assert!(
        check_file(
            "ziet/tests/run.rs",
            &format!("fn scene() {{\n{long_body}}}\n")
        )
        .is_empty()
    );
}

/// A place that breaks a rule: where (in the form that `EXCUSED` has) and what to do about it.
struct Found {
    place: String,
    message: String,
}

fn check_file(path: &str, text: &str) -> Vec<Found> {
    let mut found = Vec::new();
    let lines = text.lines().count();
    if lines > FILE_LINES {
        found.push(Found {
            place: path.to_owned(),
            message: format!("{path} has {lines} lines, at most {FILE_LINES}: it is about two things, split it by duty"),
        });
    }
    if let Some(name) = path
        .trim_end_matches(".rs")
        .split('/')
        .find(|part| NAMES_THAT_SAY_NOTHING.contains(part))
    {
        found.push(Found {
            place: path.to_owned(),
            message: format!("{path}: `{name}` says nothing, name it after its duty"),
        });
    }
    match syn::parse_file(text) {
        Ok(tree) => {
            let in_test = path
                .split('/')
                .any(|part| part == "tests" || part == "benches");
            let mut reader = Reader {
                path,
                in_test,
                found,
            };
            reader.visit_file(&tree);
            reader.found
        }
        Err(error) => {
            found.push(Found {
                place: path.to_owned(),
                message: format!("{path} cannot be read as Rust: {error}"),
            });
            found
        }
    }
}

/// Walks one file and remembers whether it stands inside test code.
struct Reader<'a> {
    path: &'a str,
    in_test: bool,
    found: Vec<Found>,
}

impl Reader<'_> {
    fn report(&mut self, name: &str, what: &str) {
        let place = format!("{}::{name}", self.path);
        self.found.push(Found {
            message: format!("{place} {what}"),
            place,
        });
    }

    fn check_function(
        &mut self,
        signature: &syn::Signature,
        end: Span,
        attributes: &[syn::Attribute],
        is_public: bool,
    ) {
        let name = signature.ident.to_string();
        let is_test = self.in_test || attributes.iter().any(marks_a_test);
        let budget = if is_test {
            TEST_FUNCTION_LINES
        } else {
            FUNCTION_LINES
        };
        let lines = end.end().line + 1 - signature.span().start().line;
        if lines > budget {
            self.report(
                &name,
                &format!("has {lines} lines, at most {budget}: give its steps names of their own"),
            );
        }
        let parameters = signature
            .inputs
            .iter()
            .filter(|input| matches!(input, syn::FnArg::Typed(_)))
            .count();
        if is_public && parameters > PARAMETERS {
            self.report(
                &name,
                &format!("takes {parameters} parameters, at most {PARAMETERS}: put those that belong together in a struct"),
            );
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        let name = module.ident.to_string();
        if NAMES_THAT_SAY_NOTHING.contains(&name.as_str()) {
            self.report(
                &name,
                "is a module whose name says nothing: name it after its duty",
            );
        }
        let outside = self.in_test;
        self.in_test |= module.attrs.iter().any(marks_a_test);
        visit::visit_item_mod(self, module);
        self.in_test = outside;
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.check_function(
            &function.sig,
            function.block.span(),
            &function.attrs,
            is_public(&function.vis),
        );
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, method: &'ast syn::ImplItemFn) {
        self.check_function(
            &method.sig,
            method.block.span(),
            &method.attrs,
            is_public(&method.vis),
        );
        visit::visit_impl_item_fn(self, method);
    }

    fn visit_trait_item_fn(&mut self, method: &'ast syn::TraitItemFn) {
        let end = method
            .default
            .as_ref()
            .map_or_else(|| method.sig.span(), Spanned::span);
        self.check_function(&method.sig, end, &method.attrs, true);
        visit::visit_trait_item_fn(self, method);
    }
}

fn is_public(visibility: &syn::Visibility) -> bool {
    !matches!(visibility, syn::Visibility::Inherited)
}

/// `#[test]`, `#[tokio::test]`, `#[cfg(test)]` and the like.
fn marks_a_test(attribute: &syn::Attribute) -> bool {
    if attribute.path().is_ident("cfg") {
        return attribute
            .parse_args::<syn::Ident>()
            .is_ok_and(|condition| condition == "test");
    }
    attribute
        .path()
        .segments
        .last()
        .is_some_and(|segment| segment.ident == "test")
}

fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("the workspace is two folders up")
}

fn workspace_packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(workspace_root())
        .output()
        .expect("cargo starts");
    assert!(
        output.status.success(),
        "cargo metadata failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut metadata: Value =
        serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    match metadata["packages"].take() {
        Value::Array(packages) => packages,
        other => panic!("cargo metadata lists no packages: {other}"),
    }
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the folder is readable")
        .map(|entry| entry.expect("so is its entry").path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() && !path.ends_with("target") {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}
