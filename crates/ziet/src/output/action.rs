//! How an action is shown: in a list, and in full. What users wrote stays within its place, whatever it holds.

use std::path::Path;

use serde_json::Value;
use textwrap::Options;
use ziet_core::action::{ActionSpec, Parameter};

use super::json::as_python;
use super::printer::{BOLD, CYAN, DIM, GREEN, Printer};
use super::shell::quoted;
use super::spelled::one_line;

/// How far each level stands to the right.
const TITLE: &str = "  ";
const ITEM: &str = "    ";
const TEXT: &str = "        ";

impl Printer {
    /// One action in a list.
    pub(crate) fn action(&mut self, action: &ActionSpec, root: &Path) {
        self.headline(action);
        let parameters: Vec<String> = action.parameters.iter().map(signature).collect();
        self.wrapped(TITLE, "   ", &format!("({})", parameters.join(", ")));
        let place = place(action, root);
        self.line(format_args!("  {DIM}{place}{DIM:#}\n"));
    }

    /// Everything that is known of an action.
    pub(crate) fn action_in_full(&mut self, action: &ActionSpec, root: &Path) {
        self.headline(action);
        if let Some(documentation) = &action.documentation
            && folded(documentation) != folded(&action.description)
        {
            self.line("");
            for line in documentation.lines() {
                let text = line.trim_start();
                let indent = format!("{TITLE}{}", " ".repeat(line.len() - text.len()));
                self.wrapped(&indent, &indent, &one_line(text));
            }
        }
        let parameters = action.parameters.iter();
        self.section(
            "Parameters",
            parameters.map(|each| (signature(each), each.description.as_deref())),
        );
        let output = action.output_schema.as_ref();
        let output: Option<Value> =
            output.and_then(|schema| serde_json::from_slice(schema.as_bytes()).ok());
        self.section(
            "Returns",
            output
                .iter()
                .map(|schema| (type_text(schema), schema["description"].as_str())),
        );
        let stores = action.stores.iter();
        self.section(
            "Stores",
            stores.map(|each| (each.key.clone(), Some(&*each.description))),
        );
        let raises = action.raises.iter();
        self.section(
            "Raises",
            raises.map(|each| (each.kind.clone(), Some(&*each.description))),
        );
        let settings = [
            format!("timeout: {} s for each attempt", action.timeout),
            format!("retries: {}", action.retries),
        ];
        self.section("Limits", settings.into_iter().map(|each| (each, None)));
        self.section("Defined in", [(place(action, root), None)].into_iter());
        self.section(
            "Run it",
            commands(action).into_iter().map(|each| (each, None)),
        );
    }

    fn headline(&mut self, action: &ActionSpec) {
        let (name, id) = (folded(&action.name), &action.id);
        self.line(format_args!("{GREEN}{name}{GREEN:#}  {CYAN}{id}{CYAN:#}"));
        self.wrapped(TITLE, TITLE, &folded(&action.description));
    }

    /// A title, and what is below it with its explanation; nothing where there is nothing.
    fn section<'t>(&mut self, title: &str, items: impl Iterator<Item = (String, Option<&'t str>)>) {
        for (index, (item, text)) in items.enumerate() {
            if index == 0 {
                self.line(format_args!("\n{TITLE}{BOLD}{title}{BOLD:#}"));
            }
            self.wrapped(ITEM, TEXT, &one_line(&item));
            if let Some(text) = text.map(folded)
                && !text.is_empty()
            {
                self.wrapped(TEXT, TEXT, &text);
            }
        }
    }

    /// Text of one line, as many lines as it takes in this terminal.
    fn wrapped(&mut self, first: &str, next: &str, text: &str) {
        let Some(width) = self.width else {
            self.line(format_args!("{first}{text}"));
            return;
        };
        let options = Options::new(usize::from(width))
            .initial_indent(first)
            .subsequent_indent(next)
            .break_words(false);
        self.line(textwrap::fill(text, options));
    }
}

/// As one paragraph.
fn folded(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    one_line(&words.join(" "))
}

/// `amount: int`, `currency: str = "usd"`
fn signature(parameter: &Parameter) -> String {
    let Parameter {
        name,
        hint,
        required,
        default,
        ..
    } = parameter;
    let default = match default.as_ref().and_then(|default| default.as_str()) {
        Some(default) => format!(" = {}", as_python(default)),
        None if *required => String::new(),
        None => " = ...".to_owned(),
    };
    format!("{name}: {hint}{default}")
}

fn place(action: &ActionSpec, root: &Path) -> String {
    let file = Path::new(&action.file);
    let file = file.strip_prefix(root).unwrap_or(file).display();
    format!("{file}:{}", action.line)
}

/// What to type to run it: with test data, and with what it needs.
fn commands(action: &ActionSpec) -> Vec<String> {
    let run = format!("ziet run --local action {}", quoted(action.id.as_str()));
    let needed = action.parameters.iter().filter(|each| each.required);
    let given: Vec<String> = needed
        .map(|each| format!("-p {}={}", each.name, each.name.to_uppercase()))
        .collect();
    if given.is_empty() {
        vec![run]
    } else {
        vec![run.clone(), format!("{run} {}", given.join(" "))]
    }
}

/// A JSON Schema in the words of Python's hints.
fn type_text(schema: &Value) -> String {
    if let Some(choices) = schema["anyOf"].as_array().or(schema["oneOf"].as_array()) {
        let choices: Vec<String> = choices.iter().map(type_text).collect();
        return choices.join(" | ");
    }
    if let Some(class) = schema["$ref"].as_str() {
        return class.rsplit('/').next().unwrap_or(class).to_owned();
    }
    let of = |key: &str| match &schema[key] {
        Value::Object(inner) if !inner.is_empty() => type_text(&schema[key]),
        _ => "Any".to_owned(),
    };
    match schema["type"].as_str() {
        Some("null") => "None".to_owned(),
        Some("boolean") => "bool".to_owned(),
        Some("integer") => "int".to_owned(),
        Some("number") => "float".to_owned(),
        Some("string") => schema["format"]
            .as_str()
            .map_or("str".to_owned(), |format| format!("str ({format})")),
        Some("array") => format!("list[{}]", of("items")),
        Some("object") => match schema["title"].as_str() {
            Some(class) => class.to_owned(),
            None => format!("dict[str, {}]", of("additionalProperties")),
        },
        _ => "Any".to_owned(),
    }
}
