//! What the program prints: commands hand over what there is to say, and this decides how it looks.

mod action;
mod ago;
mod failure;
mod json;
mod lines;
mod printer;
mod shell;
mod spelled;
mod table;
mod wording;

pub(crate) use ago::took;
pub(crate) use json::as_python;
pub(crate) use lines::{Ending, Place, PutAside, RunLines, output};
pub(crate) use printer::{CYAN, DIM, GREEN, Printer, RED, YELLOW};
pub(crate) use shell::quoted;
pub(crate) use spelled::one_line;
pub(crate) use table::Table;
pub(crate) use wording::counted;
