//! What the program prints: commands hand over what there is to say, and this decides how it looks.

mod action;
mod json;
mod lines;
mod printer;
mod text;

pub(crate) use lines::{LocalEnding, LocalRun};
pub(crate) use printer::Printer;
pub(crate) use text::{one_line, quoted};
