//! The command line: reads flags and variables, and says of each setting where it was typed.

use std::{collections::HashSet, env, ffi::OsString};

use clap::{
    ArgMatches, Command, CommandFactory as _, FromArgMatches as _, Parser, Subcommand,
    builder::{OsStr, Resettable},
    parser::ValueSource,
};

use super::{Flags, keys::TokenFlags};
use crate::telemetry::VERSION_AND_BUILD;

/// The variables without flags, for `--help`.
const ENVIRONMENT: &str = "\
Variables of the log and of telemetry (those of OpenTelemetry as its specification says; an empty variable is unset):
  RUST_LOG                                         Filter of the log, such as debug or fanfare=debug [default: info]
  OTEL_SDK_DISABLED                                true: no telemetry is pushed [default: false]
  OTEL_METRICS_EXPORTER, OTEL_TRACES_EXPORTER      otlp, or none to push nothing [default: otlp]
  OTEL_EXPORTER_OTLP_ENDPOINT                      Collector, http://host:port; without one nothing is pushed
  OTEL_EXPORTER_OTLP_PROTOCOL                      http/protobuf, http/json or grpc [default: http/protobuf]
  OTEL_EXPORTER_OTLP_HEADERS                       Headers of each push, name=value,name=value
  OTEL_EXPORTER_OTLP_TIMEOUT                       Milliseconds for a push [default: 10000]
  OTEL_EXPORTER_OTLP_COMPRESSION                   gzip, or none [default: none]
  OTEL_EXPORTER_OTLP_METRICS_…, _TRACES_…          Each of the five above for one signal
  OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE  cumulative; delta is not offered
  OTEL_METRIC_EXPORT_INTERVAL                      Milliseconds between pushes of metrics [default: 60000]
  OTEL_BSP_SCHEDULE_DELAY                          Milliseconds between pushes of spans [default: 5000]
  OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG     Which posts are traced [default: parentbased_always_on]
  OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES      Resource of all telemetry, key=value,key=value [default: fanfare]";

/// The command line: settings of a pod, or another command.
#[derive(Debug, Clone, Parser)]
#[command(name = "fanfare", version = VERSION_AND_BUILD, about = "Fans live-stream comments out to viewers over WebSockets")]
#[command(args_conflicts_with_subcommands = true, after_help = ENVIRONMENT)]
pub struct CommandLine {
    /// Another command than serving.
    #[command(subcommand)]
    pub tool: Option<Tool>,
    /// Settings of a pod.
    #[command(flatten)]
    pub flags: Flags,
}

/// Another command of the program.
#[derive(Debug, Clone, Subcommand)]
pub enum Tool {
    /// Make a viewer's token for development, with a secret of the file that pods read
    Token(Box<TokenFlags>),
}

/// The settings that were typed as flags.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Typed(Vec<(String, String)>);

impl CommandLine {
    /// Reads the arguments and the environment of the process. Answers `--help` and wrong flags, and ends the process then.
    #[must_use]
    pub fn read() -> (Self, Typed) {
        Self::try_read(env::args_os()).unwrap_or_else(|error| error.exit())
    }

    fn try_read(arguments: impl Iterator<Item = OsString>) -> Result<(Self, Typed), clap::Error> {
        let command = without_empty_variables(Self::command());
        let matches = command.clone().try_get_matches_from(arguments)?;
        let mut typed = Typed::default();
        typed.add(&command, &matches);
        Ok((Self::from_arg_matches(&matches)?, typed))
    }
}

/// The variables of the environment that look like settings and are none: maybe mistyped.
#[must_use]
pub fn unknown_settings() -> Vec<String> {
    unknown_among(env::vars_os().filter_map(|(name, _)| name.into_string().ok()))
}

fn unknown_among(names: impl Iterator<Item = String>) -> Vec<String> {
    let command = CommandLine::command();
    let all = std::iter::once(&command).chain(command.get_subcommands());
    let known: HashSet<_> =
        all.flat_map(Command::get_arguments).filter_map(|arg| arg.get_env()?.to_str()).collect();
    // Kubernetes gives each container the addresses of the namespace's Services, and ours is called fanfare.
    let is_port = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
    let is_of_service = |name: &str| {
        name.ends_with("_SERVICE_HOST")
            || name.contains("_SERVICE_PORT")
            || name.ends_with("_PORT")
            || name.split("_PORT_").skip(1).any(is_port)
    };
    let mut unknown: Vec<_> = names
        .filter(|name| name.starts_with("FANFARE_") && !known.contains(name.as_str()) && !is_of_service(name))
        .collect();
    unknown.sort_unstable();
    unknown
}

/// A variable that is there and empty is unset, as templates of deployments leave them. The name stays for `--help`.
fn without_empty_variables(command: Command) -> Command {
    let asks_for_help = env::args_os().any(|word| word == "--help" || word == "-h");
    if asks_for_help {
        return command;
    }
    let is_empty = |name: &std::ffi::OsStr| env::var_os(name).is_some_and(|value| value.is_empty());
    let command = command.mut_args(|arg| {
        let empties = arg.get_env().is_some_and(is_empty);
        if empties { arg.env(Resettable::<OsStr>::Reset) } else { arg }
    });
    command.mut_subcommands(without_empty_variables)
}

impl Typed {
    fn add(&mut self, command: &Command, matches: &ArgMatches) {
        for arg in command.get_arguments() {
            let (Some(variable), Some(flag)) = (arg.get_env().and_then(|name| name.to_str()), arg.get_long())
            else {
                continue;
            };
            if matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine) {
                self.0.push((variable.to_owned(), format!("--{flag}")));
            }
        }
        if let Some((name, matches)) = matches.subcommand()
            && let Some(command) = command.find_subcommand(name)
        {
            self.add(command, matches);
        }
    }

    /// Puts the flag in the place of each variable that was typed as a flag.
    #[must_use]
    pub fn in_words_of_user(&self, error: &str) -> String {
        let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        let mut words = String::with_capacity(error.len());
        let mut rest = error;
        while !rest.is_empty() {
            let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            let typed = self.0.iter().find(|(variable, _)| variable == name);
            words.push_str(typed.map_or(name, |(_, flag)| flag));
            let other = after.find(is_name).unwrap_or(after.len());
            words.push_str(&after[..other]);
            rest = &after[other..];
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(arguments: &[&str]) -> Typed {
        let arguments = ["fanfare"].iter().chain(arguments).map(OsString::from);
        CommandLine::try_read(arguments).unwrap().1
    }

    /// Symptom: an error named a variable that nobody had set. Cause: each setting was named by its variable, whether or
    /// not it came from there.
    #[test]
    fn an_error_names_a_setting_as_it_was_typed() {
        let typed = typed(&["--tls-cert=a.pem", "--shards=a=redis://h"]);
        for (error, words) in [
            ("FANFARE_SHARDS: x", "--shards: x"),
            ("FANFARE_SHARDS_FILE: there is FANFARE_SHARDS", "FANFARE_SHARDS_FILE: there is --shards"),
            (
                "FANFARE_TLS_KEY: missing beside FANFARE_TLS_CERT",
                "FANFARE_TLS_KEY: missing beside --tls-cert",
            ),
            ("é\nFANFARE_SHARDS", "é\n--shards"),
            ("", ""),
        ] {
            assert_eq!(typed.in_words_of_user(error), words);
        }
    }

    /// Symptom: a pod with a mistyped variable served with the default, and said nothing. Cause: only known names were read.
    #[test]
    fn a_mistyped_variable_is_found_and_those_of_services_are_not() {
        let names = [
            "PATH",
            "FANFARE_SHARDS",
            "FANFARE_VIEWER_KEYS",
            "FANFARE_SHARD",
            "FANFARE_SERVICE_HOST",
            "FANFARE_SERVICE_PORT_HTTP",
            "FANFARE_PORT",
            "FANFARE_PORT_8080_TCP_ADDR",
            "FANFARE_BLUE_SERVICE_HOST",
            "FANFARE_DRIAN",
            "FANFARE_SERVICE_KEY",
        ];
        let unknown = unknown_among(names.into_iter().map(str::to_owned));
        assert_eq!(unknown, ["FANFARE_DRIAN", "FANFARE_SERVICE_KEY", "FANFARE_SHARD"]);
    }

    #[test]
    fn flags_of_other_commands_are_named_too() {
        let typed = typed(&["token", "--sub=u", "--viewer-keys=k.json"]);
        assert_eq!(typed.in_words_of_user("FANFARE_VIEWER_KEYS: x"), "--viewer-keys: x");
    }
}
