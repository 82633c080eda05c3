//! What holds, limits and ends the project's code: with a sandbox, and without.

use ziet_worker::WorkerSettings;
use ziet_worker::sandbox::Mechanisms;

use super::Check;
use crate::settings::Settings;

/// Nothing where the interpreter or the project is not known: that is told already.
pub(super) fn checks(settings: &Settings) -> Vec<Check> {
    let Ok(worker) = settings.worker() else {
        return Vec::new();
    };
    let check = |name, sandbox| check(name, sandbox, &worker);
    vec![check("sandbox off", false), check("sandbox on", true)]
}

fn check(name: &'static str, sandbox: bool, worker: &WorkerSettings) -> Check {
    let used = if worker.sandbox == sandbox {
        "in use: "
    } else {
        ""
    };
    let settings = WorkerSettings {
        sandbox,
        ..worker.clone()
    };
    match Mechanisms::probe(&settings) {
        Ok(mechanisms) => Check::ok(name, format!("{used}{mechanisms}")),
        Err(reason) => Check::warning(
            name,
            if worker.sandbox == sandbox {
                format!("asked for, and not possible: {reason}")
            } else {
                reason
            },
            "code that is not trusted needs one; your own does without (--sandbox off)",
        ),
    }
}
