use std::collections::BTreeSet;

use super::*;

/// The pages that there must be: the program's, and one for each command that parses.
fn expected(command: &Command, name: &str, files: &mut BTreeSet<String>) {
    files.insert(format!("{name}.1"));
    for subcommand in command.get_subcommands() {
        expected(subcommand, &format!("{name}-{}", subcommand.get_name()), files);
    }
}

#[test]
fn every_command_has_a_page_with_examples_options_and_exit_codes() {
    let pages = pages();
    let mut files = BTreeSet::new();
    expected(&Cli::command(), "wirehaul", &mut files);
    assert!(files.len() > 12 && files.contains("wirehaul-key-trust.1"), "{files:?}");
    assert_eq!(pages.iter().map(|page| page.file.clone()).collect::<BTreeSet<_>>(), files);
    assert_eq!(pages[0].file, "wirehaul.1");
    for page in &pages {
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "OUTPUT", "EXIT STATUS"] {
            let heading =
                if section.contains(' ') { format!(".SH \"{section}\"\n") } else { format!(".SH {section}\n") };
            assert_eq!(page.text.matches(&heading).count(), 1, "{}: {section}", page.file);
        }
        assert_eq!(page.text.matches("\n.TP\n.B 5\ninterrupted; ").count(), 1, "{}", page.file);
        assert!(!page.text.contains("Exit codes:"), "{}", page.file);
        // `key show` and its like have one way to be called.
        let has_examples = page.text.contains(".SH EXAMPLES\n");
        assert!(has_examples || page.file.starts_with("wirehaul-key-"), "{}", page.file);
    }
}

#[test]
fn the_end_of_the_help_is_taken_apart() {
    let help = format!("Before.\n\nExamples:\n  a -b\n  c\n\nAfter:\n  .d 'e'\nf\\\n\n{EXIT_CODES}");
    let ending = Ending::of(&help);
    let mut page = String::new();
    ending.write_examples(&mut page);
    assert_eq!(page, ".SH EXAMPLES\n.RS 4\n.nf\na \\-b\nc\n.fi\n.RE\n");
    page.clear();
    ending.write_notes(&mut page);
    assert_eq!(page, ".SH NOTES\nBefore.\n.PP\nAfter:\n.RS 4\n.nf\n\\&.d \\*(Aqe\\*(Aq\n.fi\n.RE\nf\\e\n");
}

#[test]
fn pages_are_written_where_they_are_wanted() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("new/man1");
    let (mut out, mut remarks) = (Vec::new(), Vec::new());
    let output = OutputArgs { json: true, ..OutputArgs::default() };
    assert_eq!(run(&ManArgs { dir: Some(dir.clone()) }, output, &mut out, &mut remarks), Exit::Done);
    let summary: serde_json::Value = serde_json::from_slice(&out).unwrap();
    let pages = pages();
    assert_eq!(summary["files"].as_array().unwrap().len(), pages.len());
    for page in pages {
        assert_eq!(fs::read_to_string(dir.join(&page.file)).unwrap(), page.text);
    }
    // A file is no directory.
    let file = temp.path().join("file");
    fs::write(&file, "").unwrap();
    assert_eq!(run(&ManArgs { dir: Some(file) }, output, &mut out, &mut remarks), Exit::Failed);
    assert!(String::from_utf8(remarks).unwrap().starts_with("wirehaul: cannot write "));
}
