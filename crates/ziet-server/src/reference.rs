//! The `OpenAPI` document as people read it: a page of HTML that asks for nothing else. A test writes the same as Markdown.

#[cfg(test)]
mod markdown;

use std::fmt::Write;

use serde_json::{Map, Value};

use crate::problem::Code;

/// What a page says, in its order.
pub(crate) struct Reference {
    pub(crate) version: String,
    groups: Vec<Group>,
    /// How requests are refused, whatever the path.
    refusals: Vec<Answer>,
    shapes: Vec<Shape>,
}

struct Group {
    name: String,
    text: String,
    operations: Vec<Operation>,
}

struct Operation {
    id: String,
    method: String,
    path: String,
    title: String,
    text: String,
    /// None if no key is needed; empty if any key will do.
    scope: Option<String>,
    parameters: Vec<Row>,
    body: Option<String>,
    answers: Vec<Answer>,
    /// The statuses with which it can be refused as any path can.
    refusals: Vec<String>,
}

struct Answer {
    status: String,
    kind: String,
    text: String,
}

/// A named schema: the fields of an object, the words that there are, or the codes of problems with their statuses.
struct Shape {
    name: String,
    text: String,
    kind: String,
    fields: Vec<Row>,
}

/// A parameter or a field.
struct Row {
    name: String,
    kind: String,
    required: bool,
    text: String,
}

impl Reference {
    /// Of a complete document.
    pub(crate) fn of(document: &Value) -> Self {
        let refusals = members(&document["components"]["responses"]);
        let refusals = refusals.map(|(name, refusal)| {
            answer(
                name.trim_start_matches(|c: char| !c.is_ascii_digit()),
                refusal,
            )
        });
        let operations: Vec<(String, Operation)> = members(&document["paths"])
            .flat_map(|(path, item)| {
                members(item).map(move |(method, operation)| (path, method, operation))
            })
            .map(|(path, method, found)| {
                let tag = text(&found["tags"][0]);
                (tag, operation(path, method, found))
            })
            .collect();
        let mut groups: Vec<Group> = items(&document["tags"])
            .map(|tag| Group {
                name: text(&tag["name"]),
                text: text(&tag["description"]),
                operations: Vec::new(),
            })
            .collect();
        for (tag, operation) in operations {
            if let Some(group) = groups.iter_mut().find(|group| group.name == tag) {
                group.operations.push(operation);
            }
        }
        groups.retain(|group| !group.operations.is_empty());
        let shapes =
            members(&document["components"]["schemas"]).map(|(name, schema)| shape(name, schema));
        Self {
            version: text(&document["info"]["version"]),
            groups,
            refusals: refusals.collect(),
            shapes: shapes.collect(),
        }
    }

    pub(crate) fn html(&self) -> String {
        let mut page = String::new();
        let _ = self.write_html(&mut page);
        page
    }

    fn write_navigation(&self, page: &mut String) -> std::fmt::Result {
        let version = escape(&self.version);
        write!(
            page,
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Ziet API</title><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><style>{STYLE}</style></head><body><nav><h1>Ziet API <small>{version}</small></h1>"
        )?;
        for group in &self.groups {
            write!(page, "<h2>{}</h2><ul>", group.name)?;
            for operation in &group.operations {
                write!(
                    page,
                    "<li><a href=\"#{}\">{}</a></li>",
                    operation.id,
                    escape(&operation.title)
                )?;
            }
            write!(page, "</ul>")?;
        }
        write!(page, "<h2>documents</h2><ul>")?;
        for shape in &self.shapes {
            write!(page, "<li><a href=\"#{0}\">{0}</a></li>", shape.name)?;
        }
        write!(page, "</ul></nav>")
    }

    fn write_html(&self, page: &mut String) -> std::fmt::Result {
        self.write_navigation(page)?;
        write!(
            page,
            "<main><p>Send the header <code>Authorization: Api-Key sk_…</code>. Bodies are JSON. What is refused is answered with a <a href=\"#Problem\">Problem</a>. The document that this page is made of is <a href=\"openapi.json\">openapi.json</a>.</p>"
        )?;
        for group in &self.groups {
            write!(page, "<h2>{}</h2><p>{}</p>", group.name, html(&group.text))?;
            group
                .operations
                .iter()
                .try_for_each(|operation| operation.write_html(page))?;
        }
        write!(
            page,
            "<h2>refusals</h2><p>How any request can be refused.</p><table class=\"answers\"><tbody>"
        )?;
        for Answer { status, kind, text } in &self.refusals {
            write!(
                page,
                "<tr><th>{status}</th><td>{}</td><td>{}</td></tr>",
                html_kind(kind),
                html(text)
            )?;
        }
        write!(page, "</tbody></table><h2>documents</h2>")?;
        for shape in &self.shapes {
            write!(
                page,
                "<section id=\"{0}\"><h3>{0}</h3>{1}",
                shape.name,
                paragraphs(&shape.text)
            )?;
            if shape.fields.is_empty() {
                write!(page, "<p>{}</p>", html_kind(&shape.kind))?;
            }
            rows_html(page, &shape.fields)?;
            write!(page, "</section>")?;
        }
        writeln!(page, "</main></body></html>")
    }
}

impl Operation {
    fn needs(&self) -> String {
        match &self.scope {
            Some(scope) if scope.is_empty() => "Needs a key, whatever its scopes.".to_owned(),
            Some(scope) => format!("Needs a key with the scope `{scope}`."),
            None => "Needs no key.".to_owned(),
        }
    }

    fn write_html(&self, page: &mut String) -> std::fmt::Result {
        let (id, title, method) = (&self.id, escape(&self.title), &self.method);
        write!(
            page,
            "<section id=\"{id}\"><h3>{title}</h3><p class=\"path\"><b class=\"{method}\">{method}</b> <code>{}</code></p>",
            escape(&self.path)
        )?;
        write!(
            page,
            "{}<p class=\"scope\">{}</p>",
            paragraphs(&self.text),
            html(&self.needs())
        )?;
        rows_html(page, &self.parameters)?;
        if let Some(body) = &self.body {
            write!(page, "<p>Body: {}</p>", html_kind(body))?;
        }
        write!(page, "<table class=\"answers\"><tbody>")?;
        for Answer { status, kind, text } in &self.answers {
            write!(
                page,
                "<tr><th>{status}</th><td>{}</td><td>{}</td></tr>",
                html_kind(kind),
                html(text)
            )?;
        }
        write!(
            page,
            "</tbody></table><p class=\"scope\">Refused as any request: {}.</p></section>",
            self.refusals.join(", ")
        )
    }
}

fn rows_html(page: &mut String, rows: &[Row]) -> std::fmt::Result {
    if rows.is_empty() {
        return Ok(());
    }
    write!(page, "<table><tbody>")?;
    for Row {
        name,
        kind,
        required,
        text,
    } in rows
    {
        let required = if *required { "" } else { " <i>optional</i>" };
        write!(
            page,
            "<tr><th><code>{}</code></th><td>{}{required}</td><td>{}</td></tr>",
            escape(name),
            html_kind(kind),
            html(text)
        )?;
    }
    write!(page, "</tbody></table>")
}

fn operation(path: &str, method: &str, found: &Value) -> Operation {
    let parameters = items(&found["parameters"]).map(|parameter| Row {
        name: text(&parameter["name"]),
        kind: format!(
            "{} · {}",
            text(&parameter["in"]),
            kind(&parameter["schema"])
        ),
        required: parameter["required"] == true,
        text: text(&parameter["description"]),
    });
    let (shared, own): (Vec<_>, Vec<_>) =
        members(&found["responses"]).partition(|(_, answer)| answer.get("$ref").is_some());
    Operation {
        id: text(&found["operationId"]),
        method: method.to_uppercase(),
        path: path.to_owned(),
        title: text(&found["summary"]).trim_end_matches('.').to_owned(),
        text: text(&found["description"]),
        scope: found["security"][0]["api_key"]
            .as_array()
            .map(|scopes| text(&scopes.first().cloned().unwrap_or_default())),
        parameters: parameters.collect(),
        body: found.get("requestBody").map(content),
        answers: own
            .into_iter()
            .map(|(status, found)| answer(status, found))
            .collect(),
        refusals: shared
            .into_iter()
            .map(|(status, _)| status.clone())
            .collect(),
    }
}

fn answer(status: &str, found: &Value) -> Answer {
    Answer {
        status: status.to_owned(),
        kind: content(found),
        text: text(&found["description"]),
    }
}

fn content(of: &Value) -> String {
    let kinds = members(&of["content"]).map(|(media, content)| match media.as_str() {
        "application/json" | "application/problem+json" => kind(&content["schema"]),
        other => format!("`{other}`"),
    });
    kinds.collect::<Vec<_>>().join(" or ")
}

fn shape(name: &str, schema: &Value) -> Shape {
    // What is put together of several has the fields of all of them.
    let parts = items(&schema["allOf"]).chain([schema]);
    let fields = parts.flat_map(|part| {
        let required: Vec<&Value> = items(&part["required"]).collect();
        let given = members(&part["properties"]).map(move |(name, field)| Row {
            name: name.clone(),
            kind: kind(field),
            required: required.iter().any(|required| *required == name),
            text: description(field),
        });
        let taken = part["$ref"].as_str().map(|_| Row {
            name: "…".to_owned(),
            kind: kind(part),
            required: true,
            text: "All of its fields.".to_owned(),
        });
        taken.into_iter().chain(given)
    });
    let words = items(&schema["enum"]).filter_map(|word| {
        let (code, meaning) = Code::ALL
            .iter()
            .find(|(code, _)| name == "Code" && *word == code.as_str())?;
        Some(Row {
            name: code.as_str().to_owned(),
            kind: code.status().as_str().to_owned(),
            required: true,
            text: meaning.trim().to_owned(),
        })
    });
    Shape {
        name: name.to_owned(),
        text: text(&schema["description"]),
        kind: kind(schema),
        fields: fields.chain(words).collect(),
    }
}

/// One that may also be null has it beside what it refers to.
fn description(field: &Value) -> String {
    let among = items(&field["oneOf"]).map(|any| &any["description"]);
    let given = [&field["description"]].into_iter().chain(among);
    given
        .map(text)
        .find(|text| !text.is_empty())
        .unwrap_or_default()
}

/// A schema in a few words.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"]
        .as_str()
        .and_then(|name| name.rsplit('/').next())
    {
        return format!("«{name}»");
    }
    if let Some(any) = schema["oneOf"].as_array().or(schema["anyOf"].as_array()) {
        let kinds: Vec<String> = any.iter().rev().map(kind).collect();
        return kinds.join(" or ");
    }
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<String> = words
            .iter()
            .map(|word| format!("`{}`", text(word)))
            .collect();
        return words.join(", ");
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => vec!["any JSON"],
    };
    let named = kinds.iter().map(|name| match *name {
        "array" => format!("array of {}", kind(&schema["items"])),
        other => other.to_owned(),
    });
    let named = named.collect::<Vec<_>>().join(" or ");
    let range = match (schema["minimum"].as_f64(), schema["maximum"].as_f64()) {
        (Some(least), Some(most)) => format!(", {least} to {most}"),
        (Some(least), None) => format!(", at least {least}"),
        _ => String::new(),
    };
    match schema["format"].as_str() {
        Some(format) if !format.starts_with("int") => format!("{named}{range} ({format})"),
        _ => named + &range,
    }
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Text with `code` in backticks.
fn html(text: &str) -> String {
    let mut shown = String::new();
    for (place, part) in text.split('`').enumerate() {
        let part = escape(part);
        let (before, after) = if place % 2 == 1 {
            ("<code>", "</code>")
        } else {
            ("", "")
        };
        shown.extend([before, &part, after]);
    }
    shown
}

/// A kind, in which «Name» stands for a named schema.
fn html_kind(kind: &str) -> String {
    linked(&html(kind), |name| {
        format!("<a href=\"#{name}\">{name}</a>")
    })
}

fn linked(kind: &str, link: impl Fn(&str) -> String) -> String {
    let mut shown = String::new();
    for part in kind.split_inclusive('»') {
        match part
            .strip_suffix('»')
            .and_then(|part| part.rsplit_once('«'))
        {
            Some((before, name)) => shown.extend([before, &link(name)]),
            None => shown += part,
        }
    }
    shown
}

fn paragraphs(text: &str) -> String {
    let parts = text.split("\n\n").filter(|part| !part.is_empty());
    let parts: Vec<String> = parts.map(|part| format!("<p>{}</p>", html(part))).collect();
    parts.concat()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

const STYLE: &str = "
:root{color-scheme:light dark;--text:light-dark(#1d2530,#d9e0e8);--quiet:light-dark(#5a6675,#93a0af);--line:light-dark(#dde3ea,#2c3540);
--page:light-dark(#fff,#12171d);--side:light-dark(#f6f8fa,#171d24);--link:light-dark(#0b5cad,#7db7f5)}
*{box-sizing:border-box}
body{margin:0;display:grid;grid-template-columns:16rem minmax(0,1fr);color:var(--text);background:var(--page);font:16px/1.55 system-ui,sans-serif}
nav{position:sticky;top:0;height:100vh;overflow:auto;padding:1.25rem;background:var(--side);border-right:1px solid var(--line);font-size:.9rem}
nav h1{font-size:1.1rem;margin:0}nav h1 small{color:var(--quiet);font-weight:400}
nav h2{font-size:.75rem;letter-spacing:.06em;text-transform:uppercase;color:var(--quiet);margin:1.25rem 0 .25rem}
nav ul{list-style:none;margin:0;padding:0}
main{padding:1.5rem 2rem 6rem;max-width:64rem}
main h2{margin:3rem 0 .25rem;font-size:1.5rem;text-transform:capitalize}
h3{margin:0 0 .5rem;font-size:1.1rem}
section{padding:1.25rem 0;border-top:1px solid var(--line);scroll-margin-top:.5rem}
a{color:var(--link);text-decoration:none}a:hover{text-decoration:underline}
code{font:.9em ui-monospace,monospace;overflow-wrap:anywhere}
.path{margin:0 0 .5rem}.path b{font:700 .8rem ui-monospace,monospace;padding:.15rem .45rem;border-radius:.3rem;color:#fff;background:#3b6ea8}
.path .POST{background:#2c7a4b}.path .DELETE{background:#b0413e}
.scope,i{color:var(--quiet);font-size:.9rem}
table{width:100%;border-collapse:collapse;margin:.75rem 0;font-size:.9rem}
th,td{text-align:left;vertical-align:top;padding:.35rem .75rem .35rem 0;border-bottom:1px solid var(--line)}
th{width:12rem;font-weight:500}td:nth-child(2){width:15rem}
.answers th{width:4rem}
@media(max-width:50rem){body{display:block}nav{position:static;height:auto;max-height:45vh;border-right:0;border-bottom:1px solid var(--line)}
main{padding:1rem}table,tbody,tr,th,td,td:nth-child(2),.answers th{display:block;width:auto}th,td{border:0;padding:0}tr{padding:.5rem 0;border-bottom:1px solid var(--line)}}
";
