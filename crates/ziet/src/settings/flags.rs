//! The flags of settings, for every command.

use clap::builder::PossibleValuesParser;
use clap::error::Error;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, ValueHint};

use super::table::{Flag, Kind, SETTINGS, Setting};
use super::{Given, Origin};
use crate::error::CliError;

/// The settings that were given by flags: their names, the flags, and the values as text.
#[derive(Debug)]
pub(crate) struct Flags(Vec<(&'static str, &'static str, String)>);

impl Flags {
    pub(crate) fn is_given(&self, name: &str) -> bool {
        self.0.iter().any(|(given, ..)| *given == name)
    }

    pub(crate) fn given(&self, setting: &Setting) -> Result<Option<Given>, CliError> {
        let given = self.0.iter().find(|(name, ..)| *name == setting.name);
        let read = given.map(|(_, flag, value)| {
            Given::read(
                setting,
                value,
                Origin::Flag(flag),
                format!("--{flag}={value}"),
            )
        });
        read.transpose()
    }
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        SETTINGS.iter().fold(command, |command, setting| {
            command.args(setting.flag.as_ref().map(|flag| argument(setting, flag)))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let given = SETTINGS.iter().filter_map(|setting| {
            let flag = setting.flag.as_ref()?;
            let value = match flag {
                Flag::Takes { name, .. } => matches.get_one::<String>(name)?.clone(),
                Flag::Means { name, value, .. } => {
                    matches.get_flag(name).then(|| (*value).to_owned())?
                }
            };
            Some((setting.name, flag.name(), value))
        });
        Ok(Self(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn argument(setting: &Setting, flag: &Flag) -> Arg {
    let argument = Arg::new(flag.name())
        .long(flag.name())
        .global(true)
        .help_heading("Settings");
    match flag {
        Flag::Means { summary, .. } => argument.action(ArgAction::SetTrue).help(summary),
        Flag::Takes { value, .. } => {
            let argument = argument.value_name(value).help(setting.summary);
            match &setting.kind {
                Kind::Choice(choices) => argument.value_parser(PossibleValuesParser::new(*choices)),
                Kind::Folder => argument.value_hint(ValueHint::DirPath),
                Kind::Program => argument.value_hint(ValueHint::CommandName),
                Kind::Text
                | Kind::Modules
                | Kind::Whole(_)
                | Kind::Bool
                | Kind::Abilities
                | Kind::Inputs => argument,
            }
        }
    }
}
