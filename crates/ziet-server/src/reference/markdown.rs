//! Writes `openapi.json` and the reference of the API in `docs`, and fails when one of them is stale.

use std::fmt::Write;
use std::path::Path;

use super::{Answer, Operation, Reference, Row, linked};

/// Set by `make generate`.
const WRITE: &str = "UPDATE_OPENAPI";

const HEAD: &str = "<!-- Generated from the program by `make generate`: change it there. -->

# The HTTP API

Every path, every parameter and every document, as a server tells them at `/openapi.json` and `/docs`. How it is asked,
[api.md](../api.md) shows with curl; how it is started, [server.md](../server.md).
";

#[test]
fn the_document_and_its_reference_are_fresh() {
    let document = serde_json::to_value(crate::openapi()).unwrap();
    let pages = [
        ("crates/ziet-server/openapi.json", format!("{document:#}\n")),
        (
            "docs/reference/api.md",
            format!("{HEAD}{}", Reference::of(&document).markdown()),
        ),
    ];
    #[expect(clippy::disallowed_methods, reason = "a test has no settings")]
    let write = std::env::var_os(WRITE).is_some();
    for (name, text) in pages {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../..")
            .join(name);
        if write {
            std::fs::write(&file, text).unwrap();
        } else {
            let checked_in = std::fs::read_to_string(&file).unwrap_or_default();
            assert!(checked_in == text, "{name} is stale: run `make generate`");
        }
    }
}

impl Reference {
    fn markdown(&self) -> String {
        let mut page = String::new();
        let _ = self.write_markdown(&mut page);
        page
    }

    fn write_markdown(&self, page: &mut String) -> std::fmt::Result {
        for group in &self.groups {
            write!(page, "\n## {}\n\n{}\n", group.name, plain(&group.text))?;
            group
                .operations
                .iter()
                .try_for_each(|operation| operation.write_markdown(page))?;
        }
        write!(page, "\n## refusals\n\nHow any request can be refused.\n")?;
        answers_markdown(page, &self.refusals)?;
        write!(page, "\n## documents\n")?;
        for shape in &self.shapes {
            write!(page, "\n### {}\n\n{}\n", shape.name, plain(&shape.text))?;
            if shape.fields.is_empty() {
                write!(page, "\n{}\n", link_kind(&shape.kind))?;
            }
            let (name, kind) = if shape.name == "Code" {
                ("code", "status")
            } else {
                ("field", "type")
            };
            rows_markdown(page, name, kind, &shape.fields)?;
        }
        Ok(())
    }
}

impl Operation {
    fn write_markdown(&self, page: &mut String) -> std::fmt::Result {
        write!(
            page,
            "\n### {}\n\n`{} {}`\n",
            self.title, self.method, self.path
        )?;
        if !self.text.is_empty() {
            write!(page, "\n{}\n", plain(&self.text))?;
        }
        write!(page, "\n{}\n", self.needs())?;
        rows_markdown(page, "parameter", "type", &self.parameters)?;
        if let Some(body) = &self.body {
            write!(page, "\nBody: {}\n", link_kind(body))?;
        }
        answers_markdown(page, &self.answers)?;
        writeln!(
            page,
            "\nRefused as any request: {}.",
            self.refusals.join(", ")
        )
    }
}

fn answers_markdown(page: &mut String, answers: &[Answer]) -> std::fmt::Result {
    write!(page, "\n| answer | body | |\n| --- | --- | --- |\n")?;
    for Answer { status, kind, text } in answers {
        writeln!(page, "| {status} | {} | {} |", link_kind(kind), plain(text))?;
    }
    Ok(())
}

fn rows_markdown(page: &mut String, what: &str, of: &str, rows: &[Row]) -> std::fmt::Result {
    if rows.is_empty() {
        return Ok(());
    }
    write!(page, "\n| {what} | {of} | |\n| --- | --- | --- |\n")?;
    for Row {
        name,
        kind,
        required,
        text,
    } in rows
    {
        let required = if *required { "" } else { ", optional" };
        let text = plain(text).replace('\n', " ");
        writeln!(
            page,
            "| `{name}` | {}{required} | {text} |",
            link_kind(kind)
        )?;
    }
    Ok(())
}

fn plain(text: &str) -> String {
    text.replace('|', "\\|")
}

fn link_kind(kind: &str) -> String {
    linked(kind, |name| format!("[{name}](#{})", name.to_lowercase()))
}

#[test]
fn the_page_for_people_asks_for_nothing_else() {
    let document = serde_json::to_value(crate::openapi()).unwrap();
    let page = Reference::of(&document).html();
    for wanted in ["src=", "@import", "url("] {
        assert!(!page.contains(wanted), "{wanted}");
    }
    let mut links = page
        .split("href=\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap());
    let leads_somewhere = |link: &str| match link.strip_prefix('#') {
        Some(id) => page.contains(&format!("id=\"{id}\"")),
        None => link == "openapi.json",
    };
    assert_eq!(links.find(|link| !leads_somewhere(link)), None);
}
