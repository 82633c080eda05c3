//! How an action is shown: in a list, and in full. What users wrote stays within its place, whatever it holds.

use std::path::Path;

use textwrap::Options;
use ziet_core::action::{ActionSpec, Isolation, Parameter};
use ziet_core::limits;
use ziet_core::run::OnLost;

use super::json::as_python;
use super::lines::Place;
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
        self.line(listed(action, root, self.width));
    }

    /// Everything that is known of an action.
    pub(crate) fn action_in_full(&mut self, action: &ActionSpec, root: &Path, place: Place) {
        self.line(in_full(action, root, place, self.width).trim_end());
    }
}

fn listed(action: &ActionSpec, root: &Path, width: Option<u16>) -> String {
    let mut sheet = Sheet::of(action, width);
    let parameters: Vec<String> = action.parameters.iter().map(signature).collect();
    let parameters = one_line(&format!("({})", parameters.join(", ")));
    sheet.wrapped(TITLE, "   ", &parameters);
    let place = one_line(&defined_in(action, root));
    sheet.line(&format!("{TITLE}{DIM}{place}{DIM:#}"));
    sheet.text
}

fn in_full(action: &ActionSpec, root: &Path, place: Place, width: Option<u16>) -> String {
    let mut sheet = Sheet::of(action, width);
    if let Some(documentation) = &action.documentation {
        sheet.documentation(documentation, &action.description);
    }
    let parameters = action.parameters.iter();
    sheet.section(
        "Parameters",
        parameters.map(|each| (signature(each), each.description.as_deref())),
    );
    let returns = action.returns.iter();
    sheet.section(
        "Returns",
        returns.map(|each| (each.hint.clone(), each.description.as_deref())),
    );
    let stores = action.stores.iter();
    sheet.section(
        "Stores",
        stores.map(|each| (each.key.clone(), Some(&*each.description))),
    );
    let raises = action.raises.iter();
    sheet.section(
        "Raises",
        raises.map(|each| (each.kind.clone(), Some(&*each.description))),
    );
    let mut limits = vec![
        format!("timeout: {} s for each attempt", action.timeout),
        format!("retries: {}", action.retries),
        format!("memory: {}", limits::memory_text(action.memory)),
        match action.isolation {
            Isolation::Shared => "isolation: shared: attempts share a process, one after the other",
            Isolation::Attempt => "isolation: attempt, each has a fresh process",
        }
        .to_owned(),
    ];
    if action.on_lost == OnLost::Fail {
        limits.push("on lost: fails, for it must never be executed twice".to_owned());
    }
    sheet.section("Limits", limits.into_iter().map(|each| (each, None)));
    sheet.section("Defined in", [(defined_in(action, root), None)].into_iter());
    sheet.section(
        "Run it",
        commands(action, place).into_iter().map(|each| (each, None)),
    );
    sheet.text
}

/// Lines for a terminal of so many columns; without, each is as long as it has to be.
struct Sheet {
    text: String,
    width: Option<u16>,
}

impl Sheet {
    /// Begins with what an action is called and does.
    fn of(action: &ActionSpec, width: Option<u16>) -> Self {
        let (name, id) = (folded(&action.name), &action.id);
        let text = format!("{GREEN}{name}{GREEN:#}  {CYAN}{id}{CYAN:#}\n");
        let mut sheet = Self { text, width };
        sheet.wrapped(TITLE, TITLE, &folded(&action.description));
        sheet
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// What a docstring says beyond the description, in its own lines.
    fn documentation(&mut self, text: &str, description: &str) {
        let (first, rest) = text.split_once("\n\n").unwrap_or((text, ""));
        let sentence = |text: &str| folded(text).trim_end_matches('.').to_owned();
        let text = if sentence(first) == sentence(description) {
            rest
        } else {
            text
        };
        if text.is_empty() {
            return;
        }
        self.line("");
        for line in text.lines() {
            let words = line.trim_start();
            let indent = format!("{TITLE}{}", " ".repeat(line.len() - words.len()));
            self.wrapped(&indent, &indent, &one_line(words));
        }
    }

    /// A title, and what is below it with its explanation; nothing where there is nothing.
    fn section<'t>(&mut self, title: &str, items: impl Iterator<Item = (String, Option<&'t str>)>) {
        for (index, (item, text)) in items.enumerate() {
            if index == 0 {
                self.line(&format!("\n{TITLE}{BOLD}{title}{BOLD:#}"));
            }
            self.wrapped(ITEM, TEXT, &one_line(&item));
            if let Some(text) = text.map(folded)
                && !text.is_empty()
            {
                self.wrapped(TEXT, TEXT, &text);
            }
        }
    }

    /// Text of one line, as many lines as it takes.
    fn wrapped(&mut self, first: &str, next: &str, text: &str) {
        let lines = match self.width {
            None => format!("{first}{text}"),
            Some(width) => {
                let options = Options::new(usize::from(width))
                    .initial_indent(first)
                    .subsequent_indent(next)
                    .break_words(false);
                textwrap::fill(text, options)
            }
        };
        self.line(lines.trim_end());
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

fn defined_in(action: &ActionSpec, root: &Path) -> String {
    let file = Path::new(&action.file);
    let file = file.strip_prefix(root).unwrap_or(file).display();
    format!("{file}:{}", action.line)
}

/// What to type to run it: with test data, which only local runs have, and with what it needs.
fn commands(action: &ActionSpec, place: Place) -> Vec<String> {
    let local = match place {
        Place::Local => "--local ",
        Place::Server => "",
    };
    let run = format!("ziet run {local}action {}", quoted(action.id.as_str()));
    let needed = action.parameters.iter().filter(|each| each.required);
    let given: Vec<String> = needed
        .map(|each| format!("-p {}={}", each.name, each.name.to_uppercase()))
        .collect();
    let whole = format!("{run} {}", given.join(" "));
    match place {
        _ if given.is_empty() => vec![run],
        Place::Local => vec![run, whole],
        Place::Server => vec![whole],
    }
}

#[cfg(test)]
mod tests {
    use ziet_core::action::{Raised, Returned, Stored, Text};
    use ziet_core::{ActionId, Json};

    use super::*;

    fn parameter(name: &str, hint: &str, default: Option<&str>, description: &str) -> Parameter {
        Parameter {
            name: name.to_owned(),
            hint: hint.to_owned(),
            required: default.is_none(),
            default: default.and_then(|default| Json::parse(default).ok()),
            text: Text::Never,
            description: Some(description.to_owned()),
        }
    }

    fn calculate_tax() -> ActionSpec {
        ActionSpec {
            id: ActionId::new("calculate_tax"),
            name: "Calculate Tax".to_owned(),
            description: "Calculate the tax\nof an amount \x1b[31mwith a long description"
                .to_owned(),
            module: "billing.tax".to_owned(),
            function: "calculate_tax".to_owned(),
            file: "/srv/shop/billing/tax.py".to_owned(),
            line: 8,
            timeout: 10,
            retries: 2,
            parameters: vec![
                parameter("amount", "float", None, "The subtotal in USD"),
                parameter(
                    "region",
                    "Literal['CA', 'NY']",
                    None,
                    "A two-letter code, which is\n    looked up among the regions that are known (e.g., \"CA\")",
                ),
                parameter("rates", "dict[str, float] | None", Some("null"), ""),
                parameter("when", "date", Some("no JSON"), ""),
            ],
            accepts_unknown: false,
            input_schema: None,
            output_schema: None,
            documentation: Some(
                "Calculate the tax.\n\nThe rates are those of a year:\n    they change.\x07"
                    .to_owned(),
            ),
            stores: vec![Stored {
                key: "tax_amount".to_owned(),
                description: "Tax in USD".to_owned(),
            }],
            raises: vec![Raised {
                kind: "ValueError".to_owned(),
                description: "If the region is not known".to_owned(),
            }],
            returns: Some(Returned {
                hint: "list[Tax] | None".to_owned(),
                description: None,
            }),
            memory: 10 << 30,
            isolation: Isolation::Shared,
            on_lost: OnLost::default(),
        }
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn fits_a_narrow_terminal() {
        let (action, root) = (calculate_tax(), Path::new("/srv/shop"));
        insta::assert_snapshot!(plain(&listed(&action, root, Some(60))));
        insta::assert_snapshot!(plain(&in_full(&action, root, Place::Local, Some(60))));
    }

    #[test]
    fn has_a_line_for_each_thing_in_a_pipe() {
        let (action, root) = (calculate_tax(), Path::new("/srv/other"));
        insta::assert_snapshot!(plain(&listed(&action, root, None)));
        insta::assert_snapshot!(plain(&in_full(&action, root, Place::Server, None)));
    }

    #[test]
    fn the_name_of_a_file_does_not_steer_the_terminal() {
        let file = "/srv/shop/a\x1b[31m\nb/tax.py".to_owned();
        let action = ActionSpec {
            file,
            ..calculate_tax()
        };
        let root = Path::new("/srv/shop");
        for shown in [
            listed(&action, root, None),
            in_full(&action, root, Place::Local, None),
        ] {
            assert!(shown.contains(r"a\x1b[31m\nb/tax.py:8"), "{shown}");
        }
    }
}
