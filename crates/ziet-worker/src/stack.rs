//! Reads the stack that an executor wrote when it was asked where it is, and shows it as Python shows an exception's.

use std::fmt::Write as _;
use std::path::Path;

use ziet_core::StackFrame;

/// Where an attempt's code was, the outermost call first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stack {
    pub frames: Vec<StackFrame>,
}

/// Bytes of a source file from which a line is shown.
const LONGEST_SOURCE: u64 = 4 * 1024 * 1024;

const ENVIRONMENTS: [&str; 2] = ["site-packages", "dist-packages"];

/// What an executor writes after the coroutines that an async action awaits.
const AWAITING_END: &str = "  (end)";

/// A stack longer than this is not read on.
pub(crate) const LONGEST: usize = 256 * 1024;

/// Whether everything has come that will: the outermost calls, which are the zygote's, and for an async action the
/// coroutines, which follow.
pub(crate) fn is_complete(text: &[u8]) -> bool {
    if text.len() > LONGEST {
        return true;
    }
    let text = String::from_utf8_lossy(text);
    let mut last = text.lines().rev();
    let (end, before) = (
        last.next().unwrap_or_default(),
        last.next().unwrap_or_default(),
    );
    let is_outermost = end.ends_with(" in <module>") && before.ends_with(" in main");
    text.ends_with('\n')
        && (end == AWAITING_END || is_outermost && !text.contains(" in run_async\n"))
}

impl Stack {
    /// Reads what `faulthandler` wrote, without the frames of the SDK in `sdk`. Frames of files in `root` are the
    /// user's, and get their source line.
    pub(crate) fn parse(text: &str, sdk: &Path, root: &Path) -> Self {
        // Each header begins a stack; the last one is that of the coroutines, where there are some.
        let begin = text.rfind("most recent call first").unwrap_or(text.len());
        let frames: Vec<_> = text[begin..].lines().filter_map(parse_frame).collect();
        let shown = frames.into_iter().rev().filter(|(file, ..)| {
            !Path::new(file).starts_with(sdk) && !matches!(file.as_bytes(), [b'<', ..])
        });
        Self {
            frames: shown
                .map(|(file, line, function)| frame(file, line, function, root))
                .collect(),
        }
    }

    /// As Python prints it, ending with `headline`.
    pub fn traceback(&self, headline: &str) -> String {
        if self.frames.is_empty() {
            return format!(
                "The stack is not known: the process did not show it in time.\n{headline}"
            );
        }
        let mut text = String::from("Traceback (most recent call last):\n");
        for StackFrame {
            file,
            line,
            function,
            source,
            ..
        } in &self.frames
        {
            let _ = writeln!(text, "  File \"{file}\", line {line}, in {function}");
            if let Some(source) = source {
                let _ = writeln!(text, "    {source}");
            }
        }
        text + headline
    }
}

/// `  File "/x/actions.py", line 5 in slow`
fn parse_frame(line: &str) -> Option<(&str, u32, &str)> {
    let (file, rest) = line.strip_prefix("  File \"")?.rsplit_once("\", line ")?;
    let (number, function) = rest.split_once(" in ")?;
    Some((file, number.parse().ok()?, function))
}

fn frame(file: &str, line: u32, function: &str, root: &Path) -> StackFrame {
    let path = Path::new(file);
    let in_environment = || {
        path.iter()
            .any(|part| ENVIRONMENTS.iter().any(|name| part == *name))
    };
    let user = path.starts_with(root) && !in_environment();
    // Only the project's own files are read: the text came from a process that is not trusted.
    let source = if user {
        source_line(path, line, root)
    } else {
        None
    };
    StackFrame {
        file: file.to_owned(),
        line,
        function: function.to_owned(),
        source,
        user,
        ..StackFrame::default()
    }
}

/// Only of a file that really lies in the project, whatever its path says, and that is no pipe or device.
fn source_line(file: &Path, line: u32, root: &Path) -> Option<String> {
    let file = fs_err::canonicalize(file).ok()?;
    let about = fs_err::metadata(&file).ok()?;
    if !file.starts_with(fs_err::canonicalize(root).ok()?)
        || !about.is_file()
        || about.len() > LONGEST_SOURCE
    {
        return None;
    }
    let text = fs_err::read_to_string(file).ok()?;
    let source = text
        .lines()
        .nth(usize::try_from(line).ok()?.checked_sub(1)?)?
        .trim();
    (!source.is_empty()).then(|| source.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_calls_of_the_user_without_the_sdk() {
        let root = tempfile::tempdir().unwrap();
        let actions = root.path().join("actions.py");
        fs_err::write(&actions, "def slow():\n    while True: pass\n").unwrap();
        let text = format!(
            "Stack (most recent call first):\n  File \"{}\", line 2 in slow\n  \
             File \"/sdk/ziet/_executor.py\", line 90 in execute\n  \
             File \"/sdk/ziet/_zygote.py\", line 40 in main\n  File \"<string>\", line 1 in <module>\n",
            actions.display()
        );
        assert!(is_complete(text.as_bytes()));
        let stack = Stack::parse(&text, Path::new("/sdk/ziet"), root.path());
        assert_eq!(
            stack.traceback("TimeoutError: late"),
            format!(
                "Traceback (most recent call last):\n  File \"{}\", line 2, in slow\n    while True: pass\n\
                 TimeoutError: late",
                actions.display()
            )
        );
        assert!(stack.frames[0].user);
    }

    #[test]
    fn a_module_that_is_imported_is_not_the_outermost_call() {
        let text = "Stack (most recent call first):\n  File \"/p/late.py\", line 1 in <module>\n";
        assert!(!is_complete(text.as_bytes()));
    }

    #[test]
    fn an_async_action_is_where_its_coroutines_are() {
        let loop_only = "Stack (most recent call first):\n  File \"/lib/selectors.py\", line 4 in select\n  \
                         File \"/sdk/_executor.py\", line 9 in run_async\n  \
                         File \"/sdk/_zygote.py\", line 4 in main\n  File \"<string>\", line 1 in <module>\n";
        assert!(!is_complete(loop_only.as_bytes()));
        let text = format!(
            "{loop_only}Awaiting (most recent call first):\n  File \"/p/a.py\", line 7 in inner\n  \
             File \"/p/a.py\", line 3 in outer\n  (end)\n"
        );
        assert!(is_complete(text.as_bytes()));
        let stack = Stack::parse(&text, Path::new("/sdk"), Path::new("/p"));
        let functions: Vec<&str> = stack
            .frames
            .iter()
            .map(|frame| frame.function.as_str())
            .collect();
        assert_eq!(functions, ["outer", "inner"]);
    }

    #[test]
    fn a_path_that_leaves_the_project_is_not_read() {
        let root = tempfile::tempdir().unwrap();
        let file = format!("{}/project/../secret.py", root.path().display());
        fs_err::create_dir(root.path().join("project")).unwrap();
        fs_err::write(root.path().join("secret.py"), "SECRET = 1\n").unwrap();
        let text = format!("Stack (most recent call first):\n  File \"{file}\", line 1 in f\n");
        let stack = Stack::parse(&text, Path::new("/sdk"), &root.path().join("project"));
        assert_eq!(stack.frames[0].source, None);
    }

    #[test]
    fn garbage_is_no_stack() {
        let stack = Stack::parse(
            "  File \"x\", line y in z\nnonsense\n",
            Path::new("/sdk"),
            Path::new("/p"),
        );
        assert!(stack.frames.is_empty());
        assert!(stack.traceback("E").starts_with("The stack is not known"));
    }
}
