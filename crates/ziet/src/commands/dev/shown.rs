//! The runs of a server as they happen, each in the look of a local run. While there are several, each line begins with the end of
//! its run's id; a run and those that it calls are one.

use std::collections::{BTreeMap, HashMap};

use ziet_core::{ActionId, RunId};
use ziet_engine::{Happening, Notice};
use ziet_store::Change;

use crate::output::{Ending, Place, Printer, PutAside, RunLines};

/// Characters of an id that tell a run from others: its end, for the beginning is the time.
const SHORT: usize = 8;

#[derive(Default)]
pub(super) struct Runs {
    /// What was shown last of each root run that has not ended.
    open: BTreeMap<RunId, PutAside>,
    /// The root of each run that was called and has not ended.
    roots: HashMap<RunId, RunId>,
}

impl Runs {
    pub(super) fn on_notice(&mut self, notice: Notice, printer: &mut Printer) {
        match notice {
            Notice::Written(changes) => {
                for change in changes.iter() {
                    if let Change::Submit(new) = change
                        && new.parent.is_some()
                    {
                        self.roots.insert(new.id, new.root_id);
                    }
                }
            }
            Notice::Run {
                run,
                action,
                happening,
            } => self.happened(run, &action, &happening, printer),
            _ => {}
        }
    }

    fn happened(
        &mut self,
        run: RunId,
        action: &ActionId,
        happening: &Happening,
        printer: &mut Printer,
    ) {
        let ending = ending(happening);
        let root = if ending.is_some() {
            self.roots.remove(&run)
        } else {
            self.roots.get(&run).copied()
        };
        let (root, is_root) = (root.unwrap_or(run), root.is_none());
        let shown = self.open.remove(&root);
        if !self.open.is_empty() {
            printer.before_each_line(&short(root));
        }
        let mut lines = match shown {
            Some(shown) => RunLines::go_on(printer, shown),
            None => RunLines::begin(printer, Place::Server, action.clone(), action.as_str()),
        };
        lines.happened(run, is_root, action, happening);
        if let Some(ending) = ending.filter(|_| is_root) {
            lines.end_line(ending);
        } else {
            self.open.insert(root, lines.put_aside());
        }
        printer.before_each_line("");
    }
}

fn ending(happening: &Happening) -> Option<Ending> {
    match happening {
        Happening::Completed { .. } => Some(Ending::Completed),
        Happening::Failed { .. } => Some(Ending::Failed),
        Happening::Cancelled(_) => Some(Ending::Cancelled),
        _ => None,
    }
}

fn short(run: RunId) -> String {
    let id = run.to_string();
    id[id.len().saturating_sub(SHORT)..].to_owned()
}
