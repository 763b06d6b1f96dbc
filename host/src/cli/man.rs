//! `wirehaul man`: manual pages, made of the same definitions that command lines are parsed by (OPS-3).

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use serde_json::json;

use super::args::{Cli, ManArgs, OutputArgs};
use super::exit::{EXIT_CODES, Exit};

#[cfg(test)]
mod tests;

/// The heading in a command's help under which its examples stand.
const EXAMPLES: &str = "Examples:";
/// What roff needs to know of quotation marks; each part of a page that clap renders begins with it.
const PREAMBLE: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
enum ManError {
    #[error("cannot write {}: {source}", .path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot write the page: {0}")]
    Print(#[from] io::Error),
}

/// One page of the manual.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The name of its file, such as `wirehaul-send.1`.
    pub file: String,
    /// What is in it, for `man` to set.
    pub text: String,
}

/// Prints the main page to `out`, or writes all of them into a directory; what goes wrong is said in `remarks`.
pub fn run(args: &ManArgs, output: OutputArgs, out: &mut impl Write, remarks: &mut impl Write) -> Exit {
    let done = match &args.dir {
        Some(dir) => write_all(dir, output, out, remarks),
        None => print_main(output, out),
    };
    match done {
        Ok(()) => Exit::Done,
        // Whoever reads our output left; that is theirs to do.
        Err(ManError::Print(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
        Err(error) => {
            // There is nowhere left to say it if this fails too.
            let _ = writeln!(remarks, "wirehaul: {error}");
            Exit::Failed
        }
    }
}

fn print_main(output: OutputArgs, out: &mut impl Write) -> Result<(), ManError> {
    // The main page comes first.
    for page in pages().into_iter().take(1) {
        if output.json {
            let object = json!({ "type": "summary", "command": "man", "file": page.file, "text": page.text });
            writeln!(out, "{object}")?;
        } else {
            out.write_all(page.text.as_bytes())?;
        }
    }
    Ok(out.flush()?)
}

fn write_all(dir: &Path, output: OutputArgs, out: &mut impl Write, remarks: &mut impl Write) -> Result<(), ManError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        |source| ManError::Write { path, source }
    };
    fs::create_dir_all(dir).map_err(failed(dir))?;
    let pages = pages();
    for page in &pages {
        let path = dir.join(&page.file);
        fs::write(&path, &page.text).map_err(failed(&path))?;
    }
    if output.json {
        let files: Vec<_> = pages.iter().map(|page| &page.file).collect();
        let object = json!({ "type": "summary", "command": "man", "dir": dir.to_string_lossy(), "files": files });
        writeln!(out, "{object}")?;
    } else if !output.quiet {
        // A remark that nobody can read is worth no failure.
        let _ = writeln!(remarks, "wrote {} pages into {}", pages.len(), dir.display());
    }
    Ok(out.flush()?)
}

/// Every page: that of the program, then one for each of its commands, and one for each of theirs.
#[must_use]
pub fn pages() -> Vec<Page> {
    // `wirehaul help send` is `man wirehaul-send`.
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    let mut pages = Vec::new();
    collect(&program, None, &mut pages);
    pages
}

fn collect(command: &Command, parent: Option<&str>, pages: &mut Vec<Page>) {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    pages.push(Page { file: format!("{name}.1"), text: text(command, parent) });
    for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        collect(subcommand, Some(name), pages);
    }
}

/// The page of one command.
fn text(command: &Command, parent: Option<&str>) -> String {
    let version = command.get_version().unwrap_or_default();
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let man = Man::new(command.clone());
    let mut rendered = Vec::new();
    // Writing into memory does not fail.
    let _ = render_sections(&man, command, &mut rendered);
    let rendered = String::from_utf8_lossy(&rendered).replace(PREAMBLE, "");
    let ending = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let ending = Ending::of(&ending);
    // Without a date: it would be that of the build.
    let mut page = format!("{PREAMBLE}.TH \"{name}\" \"1\" \"\" \"wirehaul {version}\" \"Wirehaul\"\n{rendered}");
    ending.write_notes(&mut page);
    write_exit_status(&mut page);
    ending.write_examples(&mut page);
    if let Some(parent) = parent {
        page.push_str(&format!(".SH \"SEE ALSO\"\n.BR {} (1)\n", escaped(parent)));
    }
    page
}

fn render_sections(man: &Man, command: &Command, out: &mut dyn Write) -> io::Result<()> {
    man.render_name_section(out)?;
    man.render_synopsis_section(out)?;
    man.render_description_section(out)?;
    man.render_options_section(out)?;
    if command.has_subcommands() {
        man.render_subcommands_section(out)?;
    }
    Ok(())
}

/// The end of a command's help, taken apart.
struct Ending<'a> {
    examples: Vec<&'a str>,
    /// What else it says, by paragraph.
    notes: Vec<Vec<&'a str>>,
}

impl<'a> Ending<'a> {
    fn of(help: &'a str) -> Self {
        let mut ending = Self { examples: Vec::new(), notes: Vec::new() };
        let help = help.trim_end().strip_suffix(EXIT_CODES).unwrap_or(help);
        for paragraph in help.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()) {
            let mut lines: Vec<_> = paragraph.lines().collect();
            if lines.first() == Some(&EXAMPLES) {
                ending.examples = lines.split_off(1);
            } else {
                ending.notes.push(lines);
            }
        }
        ending
    }

    fn write_examples(&self, page: &mut String) {
        if !self.examples.is_empty() {
            page.push_str(".SH EXAMPLES\n");
            write_as_it_stands(&self.examples, page);
        }
    }

    fn write_notes(&self, page: &mut String) {
        for (number, paragraph) in self.notes.iter().enumerate() {
            page.push_str(if number == 0 { ".SH NOTES\n" } else { ".PP\n" });
            for lines in paragraph.chunk_by(|one, next| is_indented(one) == is_indented(next)) {
                if lines.iter().all(|line| is_indented(line)) {
                    write_as_it_stands(lines, page);
                } else {
                    lines.iter().for_each(|line| write_line(line, page));
                }
            }
        }
    }
}

fn is_indented(line: &str) -> bool {
    line.starts_with("  ")
}

fn write_as_it_stands(lines: &[&str], page: &mut String) {
    page.push_str(".RS 4\n.nf\n");
    lines.iter().for_each(|line| write_line(line.strip_prefix("  ").unwrap_or(line), page));
    page.push_str(".fi\n.RE\n");
}

fn write_exit_status(page: &mut String) {
    page.push_str(".SH \"EXIT STATUS\"\n");
    for (code, meaning) in EXIT_CODES.lines().skip(1).filter_map(|line| line.trim().split_once("  ")) {
        page.push_str(&format!(".TP\n.B {code}\n"));
        write_line(meaning, page);
    }
}

fn write_line(line: &str, page: &mut String) {
    // A line that begins with one of these would be a request.
    if line.starts_with(['.', '\'']) {
        page.push_str("\\&");
    }
    page.push_str(&escaped(line));
    page.push('\n');
}

/// Backslashes as such, and minus signs and quotation marks that can be copied into a shell.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('`', "\\(ga").replace('\'', "\\*(Aq")
}
