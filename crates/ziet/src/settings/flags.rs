//! The flags of settings: those of projects for every command, those of servers for the commands about them.

use std::fmt::Debug;
use std::marker::PhantomData;

use clap::builder::PossibleValuesParser;
use clap::error::Error;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, ValueHint};

use super::table::{Flag, Kind, SETTINGS, Setting};
use super::{Given, Origin};
use crate::error::CliError;

/// Which settings there are flags for.
pub(crate) trait Part: Debug {
    /// Whether every command has them.
    const GLOBAL: bool;

    fn settings() -> impl Iterator<Item = &'static Setting>;
}

#[derive(Clone, Debug)]
pub(crate) enum OfProject {}

impl Part for OfProject {
    const GLOBAL: bool = true;

    fn settings() -> impl Iterator<Item = &'static Setting> {
        SETTINGS.iter()
    }
}

/// The settings that were given by flags.
#[derive(Clone, Debug)]
pub(crate) struct Flags<P = OfProject> {
    typed: Vec<Typed>,
    part: PhantomData<P>,
}

#[derive(Clone, Debug)]
struct Typed {
    setting: &'static str,
    flag: &'static str,
    value: String,
}

impl<P: Part> Flags<P> {
    pub(crate) fn is_given(&self, name: &str) -> bool {
        self.typed(name).is_some()
    }

    /// The flag by which this setting was given.
    pub(crate) fn typed(&self, name: &str) -> Option<&'static str> {
        let mut typed = self.typed.iter();
        typed
            .find(|typed| typed.setting == name)
            .map(|typed| typed.flag)
    }

    pub(crate) fn given(&self, setting: &Setting) -> Result<Option<Given>, CliError> {
        let mut typed = self
            .typed
            .iter()
            .filter(|typed| typed.setting == setting.name);
        let Some(Typed { flag, value, .. }) = typed.next() else {
            return Ok(None);
        };
        let values = typed.fold(value.clone(), |values, more| {
            format!("{values},{}", more.value)
        });
        Given::read(
            setting,
            &values,
            Origin::Flag(flag),
            format!("--{flag}={values}"),
        )
        .map(Some)
    }
}

impl Flags {
    /// The same in this folder.
    pub(crate) fn in_folder(&self, folder: &str) -> Self {
        let mut typed = self.typed.clone();
        typed.retain(|typed| typed.setting != "project");
        typed.push(Typed {
            setting: "project",
            flag: "project",
            value: folder.to_owned(),
        });
        Self {
            typed,
            part: PhantomData,
        }
    }

    /// The same for each of the projects that were named, if any was.
    pub(crate) fn each_project(&self) -> Vec<Self> {
        let is_project = |typed: &&Typed| typed.setting == "project";
        let mut each: Vec<Self> = self
            .typed
            .iter()
            .filter(is_project)
            .map(|project| {
                let others = self.typed.iter().filter(|typed| !is_project(typed));
                Self {
                    typed: others.chain([project]).cloned().collect(),
                    part: PhantomData,
                }
            })
            .collect();
        if each.is_empty() {
            each.push(self.clone());
        }
        each
    }
}

impl<P: Part> Args for Flags<P> {
    fn augment_args(command: Command) -> Command {
        P::settings().fold(command, |command, setting| {
            let flag = setting.flag.as_ref();
            command.args(flag.map(|flag| argument(setting, flag).global(P::GLOBAL)))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<P: Part> FromArgMatches for Flags<P> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let typed = P::settings().flat_map(|setting| {
            let values: Vec<String> = match &setting.flag {
                None => Vec::new(),
                Some(Flag::Takes { name, .. }) => matches
                    .get_many::<String>(name)
                    .map(|values| values.cloned().collect())
                    .unwrap_or_default(),
                Some(Flag::Means { name, value, .. }) => {
                    let given = matches.get_flag(name);
                    given.then(|| (*value).to_owned()).into_iter().collect()
                }
            };
            values.into_iter().map(|value| Typed {
                setting: setting.name,
                flag: setting.flag.as_ref().map_or("", Flag::name),
                value,
            })
        });
        Ok(Self {
            typed: typed.collect(),
            part: PhantomData,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn argument(setting: &Setting, flag: &Flag) -> Arg {
    let argument = Arg::new(flag.name())
        .long(flag.name())
        .help_heading("Settings");
    match flag {
        Flag::Means { summary, .. } => argument.action(ArgAction::SetTrue).help(summary),
        Flag::Takes { value, .. } => {
            let argument = argument.value_name(value).help(setting.summary);
            match &setting.kind {
                Kind::Choice(choices) => argument.value_parser(PossibleValuesParser::new(*choices)),
                // Each is another project of a server.
                Kind::Folder if setting.name == "project" => argument
                    .value_hint(ValueHint::DirPath)
                    .action(ArgAction::Append),
                Kind::Folder => argument.value_hint(ValueHint::DirPath),
                Kind::File => argument.value_hint(ValueHint::FilePath),
                Kind::Names => argument.action(ArgAction::Append),
                Kind::Program => argument.value_hint(ValueHint::CommandName),
                // `-1s` is a wrong value, and no flag.
                Kind::Whole(_) | Kind::Time(_) | Kind::Age | Kind::Bytes => {
                    argument.allow_hyphen_values(true)
                }
                Kind::Name
                | Kind::Modules
                | Kind::Bool
                | Kind::Abilities
                | Kind::Inputs
                | Kind::Environment
                | Kind::Address
                | Kind::Server
                | Kind::Secret => argument,
            }
        }
    }
}
