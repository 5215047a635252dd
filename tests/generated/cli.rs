//! The reference of the command line, from its definition.

use std::fmt::Write as _;

use bailiwick::cli::Arguments;
use clap::{Arg, Command, CommandFactory as _};

/// The whole page.
pub fn reference() -> String {
    let mut root = Arguments::command();
    root.build();
    let mut text = String::from(
        "# Command line\n\n\
         <!-- Generated from the binary's definition of its arguments by `make generate`. -->\n\n",
    );
    writeln!(text, "`bailiwick`: {}\n", sentence(&root.get_about().unwrap().to_string())).unwrap();
    text.push_str("Every subcommand also has `--help`, and `bailiwick --version` prints the version.\n");
    for command in root.get_subcommands().filter(|command| command.get_name() != "help") {
        describe(command.clone(), &mut text);
    }
    text
}

fn describe(mut command: Command, text: &mut String) {
    let usage = command.render_usage().to_string();
    let usage = usage.strip_prefix("Usage: ").unwrap();
    let about = command.get_long_about().or(command.get_about()).unwrap().to_string();
    write!(text, "\n## bailiwick {}\n\n{}\n\n```\n{usage}\n```\n", command.get_name(), sentence(&about)).unwrap();
    let arguments: Vec<&Arg> = command.get_arguments().filter(|argument| argument.get_id() != "help").collect();
    if !arguments.is_empty() {
        text.push('\n');
    }
    for argument in arguments {
        let help = argument.get_long_help().or(argument.get_help()).unwrap().to_string();
        let short = argument.get_short().map(|letter| format!("-{letter}, ")).unwrap_or_default();
        writeln!(text, "- **`{short}{argument}`**: {}{}", sentence(&help), facts(argument)).unwrap();
    }
}

fn sentence(text: &str) -> String {
    format!("{}.", text.trim_end_matches('.').replace('\n', " "))
}

fn facts(argument: &Arg) -> String {
    let mut facts = String::new();
    if argument.is_required_set() {
        facts.push_str(" Required.");
    }
    if !argument.get_action().takes_values() {
        return facts;
    }
    let words: Vec<String> =
        argument.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
    if !words.is_empty() {
        write!(facts, " One of {}.", words.join(", ")).unwrap();
    }
    for default in argument.get_default_values() {
        write!(facts, " Default: `{}`.", default.to_string_lossy()).unwrap();
    }
    if let Some(variable) = argument.get_env() {
        write!(facts, " Environment variable: `{}`.", variable.to_string_lossy()).unwrap();
    }
    facts
}
