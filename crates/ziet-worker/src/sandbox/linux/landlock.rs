//! Rules for files that the kernel keeps by itself, whoever the user is: the first wall of a sandbox.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, LandlockStatus, PathBeneath, PathFd,
    Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
    path_beneath_rules,
};

use super::allowed::{DEVICES, SHARED_MEMORY};
use super::plan::Plan;
use crate::sandbox::Namespaces;

/// What is asked for; of this, what a kernel does not know is done without, but for the first version's rules.
const WANTED: ABI = ABI::V9;

/// Restricts this process for good, and says by which version of the interface. What is in namespaces
/// of its own may be written to.
pub(super) fn restrict(plan: &Plan, namespaces: Option<Namespaces>) -> Result<u32, String> {
    let status = rules(plan, namespaces)
        .and_then(RulesetCreated::restrict_self)
        .map_err(|error| format!("Landlock: {error}"))?;
    match (status.ruleset, status.landlock) {
        (
            RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced,
            LandlockStatus::Available { effective_abi, .. },
        ) if status.no_new_privs => Ok(effective_abi as u32),
        _ => Err("Landlock is not enforced".to_owned()),
    }
}

fn rules(plan: &Plan, namespaces: Option<Namespaces>) -> Result<RulesetCreated, RulesetError> {
    let read = AccessFs::from_read(WANTED);
    let write = AccessFs::WriteFile | AccessFs::Truncate;
    let all = AccessFs::from_all(WANTED);
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        .scope(Scope::from_all(WANTED))?
        .create()?
        .add_rules(path_beneath_rules(readable(plan), read))?
        .add_rules(path_beneath_rules(DEVICES, read | write))?
        .add_rules(path_beneath_rules(plan.written(), all))?
        .add_rules(path_beneath_rules(&plan.socket, AccessFs::ResolveUnix))?;
    // A folder that holds something hidden can be listed, and what else is in it can be read.
    if let Some(folder) = hiding(plan) {
        rules = add(rules, folder, AccessFs::ReadDir.into())?;
    }
    // Of the processes outside, those of the same user could be written to.
    let processes = match namespaces {
        Some(Namespaces::MountsAndProcesses) => read | write,
        Some(Namespaces::Mounts) | None => read,
    };
    rules = add(rules, Path::new("/proc"), processes)?;
    if namespaces.is_some() {
        rules = add(rules, Path::new("/dev"), AccessFs::ReadDir.into())?;
        rules = add(rules, Path::new(SHARED_MEMORY), all)?;
    }
    Ok(rules)
}

fn add(
    rules: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    match PathFd::new(path) {
        Ok(opened) => rules.add_rule(PathBeneath::new(opened, access)),
        Err(_) => Ok(rules),
    }
}

fn hiding(plan: &Plan) -> Option<&Path> {
    plan.hidden.parent().filter(|_| plan.hidden.exists())
}

/// Rules only ever add: instead of a folder that holds something hidden, everything else that is in it.
fn readable(plan: &Plan) -> Vec<PathBuf> {
    let Some(folder) = hiding(plan) else {
        return plan.readable.clone();
    };
    let beside = fs_err::read_dir(folder).into_iter().flatten().flatten();
    let beside = beside
        .map(|entry| entry.path())
        .filter(|path| *path != plan.hidden);
    let others = plan.readable.iter().filter(|path| path != &folder);
    others.cloned().chain(beside).collect()
}
