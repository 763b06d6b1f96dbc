//! The documents, taken apart: blocks of code, headings, links.

use std::fs;
use std::path::{Path, PathBuf};

/// A page, by its path from the root of the project.
pub struct Page {
    pub path: String,
    pub text: String,
}

/// A block of code.
pub struct Block {
    /// Where it stands: `PAGE:LINE` of its first line.
    pub place: String,
    /// What stands behind its fence: `sh`, `toml` and so on, or nothing.
    pub language: String,
    pub text: String,
}

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// README.md, CHANGELOG.md and everything below docs/.
pub fn pages() -> Vec<Page> {
    let mut paths = vec![root().join("README.md"), root().join("CHANGELOG.md")];
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    assert!(paths.len() > 30, "{} pages: the search has lost its way", paths.len());
    let name = |path: &Path| path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
    paths.iter().map(|path| Page { path: name(path), text: fs::read_to_string(path).unwrap() }).collect()
}

impl Page {
    /// The blocks of code, in order.
    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut is_open = false;
        for (number, line) in (1..).zip(self.text.lines()) {
            match line.trim_start().strip_prefix("```") {
                Some(_) if is_open => is_open = false,
                Some(language) => {
                    is_open = true;
                    let place = format!("{}:{}", self.path, number + 1);
                    blocks.push(Block { place, language: language.trim().to_owned(), text: String::new() });
                }
                None if is_open => blocks.last_mut().unwrap().text += &format!("{line}\n"),
                None => {}
            }
        }
        assert!(!is_open, "{}: the last block of code has no end", self.path);
        blocks
    }

    /// The lines outside of blocks of code, with their numbers.
    pub fn prose(&self) -> Vec<(usize, &str)> {
        let mut is_open = false;
        let mut lines = Vec::new();
        for (number, line) in (1..).zip(self.text.lines()) {
            if line.trim_start().starts_with("```") {
                is_open = !is_open;
            } else if !is_open {
                lines.push((number, line));
            }
        }
        lines
    }
}
