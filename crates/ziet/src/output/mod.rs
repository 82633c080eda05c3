//! What the program prints: commands hand over what there is to say, and this decides how it looks.

mod action;
mod failure;
mod json;
mod lines;
mod printer;
mod shell;
mod spelled;
mod table;
mod wording;

pub(crate) use lines::{LocalEnding, LocalRun};
pub(crate) use printer::{GREEN, Printer, RED, YELLOW};
pub(crate) use shell::quoted;
pub(crate) use spelled::one_line;
pub(crate) use table::Table;
pub(crate) use wording::counted;
