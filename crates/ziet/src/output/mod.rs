//! What the program prints: commands hand over what there is to say, and this decides how it looks.

mod failure;
mod json;
mod lines;
mod printer;
mod spelled;

pub(crate) use lines::{LocalEnding, LocalRun};
pub(crate) use printer::Printer;
