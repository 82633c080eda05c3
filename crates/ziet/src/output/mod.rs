//! What the program prints: commands hand over what there is to say, and this decides how it looks.

mod failure;
mod json;
mod lines;
mod printer;
mod spelled;
mod table;

pub(crate) use lines::{LocalEnding, LocalRun};
pub(crate) use printer::{GREEN, Printer, RED, YELLOW};
pub(crate) use table::Table;
