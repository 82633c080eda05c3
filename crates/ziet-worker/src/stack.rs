//! Reads the stack that an executor wrote when it was asked where it is, and shows it as Python shows an exception's.

use std::fmt::Write as _;
use std::path::Path;

use ziet_core::StackFrame;

/// Where an attempt's code was, the outermost call first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stack {
    pub frames: Vec<StackFrame>,
}

const ENVIRONMENTS: [&str; 2] = ["site-packages", "dist-packages"];

/// Whether the whole stack of the main thread has come: its outermost call is the module that everything started from.
pub(crate) fn is_complete(text: &[u8]) -> bool {
    text.ends_with(b" in <module>\n")
}

impl Stack {
    /// Takes the thread that executes the action out of what `faulthandler` wrote, without the frames of the SDK in
    /// `sdk`. Frames of files in `root` are the user's, and get their source line.
    pub(crate) fn parse(text: &str, sdk: &Path, root: &Path) -> Self {
        let mut threads: Vec<Vec<(&str, u32, &str)>> = Vec::new();
        for line in text.lines() {
            if line.contains("most recent call first") {
                threads.push(Vec::new());
            } else if let (Some(frame), Some(thread)) = (parse_frame(line), threads.last_mut()) {
                thread.push(frame);
            }
        }
        let executor = sdk.join("_executor.py");
        let executes = |thread: &Vec<(&str, u32, &str)>| {
            thread.iter().any(|(file, ..)| Path::new(file) == executor)
        };
        let chosen = threads
            .iter()
            .position(executes)
            .or_else(|| threads.len().checked_sub(1));
        let frames = chosen
            .map(|index| threads.swap_remove(index))
            .unwrap_or_default();
        let shown = frames
            .into_iter()
            .rev()
            .filter(|(file, ..)| !Path::new(file).starts_with(sdk) && *file != "<string>");
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
    let source = if user { source_line(path, line) } else { None };
    StackFrame {
        file: file.to_owned(),
        line,
        function: function.to_owned(),
        source,
        user,
    }
}

fn source_line(file: &Path, line: u32) -> Option<String> {
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
    fn shows_the_thread_of_the_action_without_the_sdk() {
        let root = tempfile::tempdir().unwrap();
        let actions = root.path().join("actions.py");
        fs_err::write(&actions, "def slow():\n    while True: pass\n").unwrap();
        let text = format!(
            "Thread 0x00007f0001 (most recent call first):\n  File \"/lib/threading.py\", line 3 in wait\n\n\
             Current thread 0x00007f0002 (most recent call first):\n  File \"{0}\", line 2 in slow\n  \
             File \"/sdk/ziet/_executor.py\", line 90 in _call\n  File \"<string>\", line 1 in <module>\n",
            actions.display()
        );
        assert!(is_complete(text.as_bytes()));
        let stack = Stack::parse(&text, Path::new("/sdk/ziet"), root.path());
        assert_eq!(
            stack.traceback("TimeoutError: late"),
            format!(
                "Traceback (most recent call last):\n  File \"{}\", line 2, in slow\n    while True: pass\nTimeoutError: late",
                actions.display()
            )
        );
        assert!(stack.frames[0].user);
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
