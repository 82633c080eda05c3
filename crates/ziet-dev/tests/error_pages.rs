//! Each error code has its page in `docs/errors`, which tells what a user needs to know, and no page is left over.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const HEADINGS: &[&str] = &[
    "## What happened",
    "## Example",
    "## What to do",
    "## Retried",
];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The variants of `ErrorCode`, as they are written outside of Rust.
fn codes() -> BTreeSet<String> {
    let file = repository().join("crates/ziet-core/src/error.rs");
    let text = fs::read_to_string(file).expect("core has a module of its errors");
    let parsed = syn::parse_file(&text).expect("it compiles");
    let codes = parsed.items.into_iter().find_map(|item| match item {
        syn::Item::Enum(codes) if codes.ident == "ErrorCode" => Some(codes.variants),
        _ => None,
    });
    codes
        .expect("the module has the enum")
        .iter()
        .map(|variant| snake_case(&variant.ident.to_string()))
        .collect()
}

fn snake_case(name: &str) -> String {
    let mut text = String::new();
    for char in name.chars() {
        if char.is_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.extend(char.to_lowercase());
    }
    text
}

fn pages() -> BTreeSet<String> {
    let folder = repository().join("docs/errors");
    fs::read_dir(folder)
        .expect("the pages have a folder")
        .map(|entry| entry.expect("it can be listed").path())
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .filter(|name| name != "README")
        .collect()
}

#[test]
fn each_code_has_a_page_and_each_page_a_code() {
    assert_eq!(pages(), codes());
}

#[test]
fn each_page_tells_what_happened_and_what_to_do() {
    for code in pages() {
        let file = repository().join(format!("docs/errors/{code}.md"));
        let text = fs::read_to_string(file).expect("it was just listed");
        let headings: Vec<&str> = text.lines().filter(|line| line.starts_with('#')).collect();
        let title = format!("# `{code}`");
        assert_eq!(headings.first(), Some(&&*title));
        // A line of code may begin with # too.
        let sections: Vec<&str> = headings
            .into_iter()
            .filter(|line| HEADINGS.contains(line))
            .collect();
        assert_eq!(sections, HEADINGS, "docs/errors/{code}.md");
    }
}

#[test]
fn the_index_lists_every_code() {
    let index =
        fs::read_to_string(repository().join("docs/errors/README.md")).expect("there is one");
    for code in codes() {
        assert!(
            index.contains(&format!("[`{code}`]({code}.md)")),
            "{code} is not in the index"
        );
    }
}
