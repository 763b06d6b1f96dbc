//! The text of a scenario: a file and the values that the command line puts in place of some of its own.
//!
//! Values from the command line are parsed behind as many blanks as the text before them is long, so every span, of the
//! file and of each override, is a place in one sequence, and an error can say where it stands.

use std::{fmt, ops::Range};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::schema::File;
use crate::lines::plain;

/// Why a scenario makes no sense: where, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct ScenarioError {
    /// `file:line`, or the override.
    pub place: String,
    /// What is wrong there.
    pub reason: String,
}

/// The text of a scenario.
#[derive(Clone, Debug)]
pub struct Source {
    name: String,
    text: String,
    overrides: Vec<Override>,
}

#[derive(Clone, Debug)]
struct Override {
    /// As it was given.
    text: String,
    path: Vec<String>,
    /// Blanks, and then the value as a line of TOML; its end is where the next one begins.
    padded: String,
}

impl Source {
    /// A scenario called `name` in messages, with `text` and with overrides of the form `KEY=VALUE`.
    ///
    /// # Errors
    /// [`ScenarioError`] for an override that is not of that form.
    pub fn new(name: &str, text: String, overrides: &[String]) -> Result<Self, ScenarioError> {
        let mut source = Self { name: name.to_owned(), text, overrides: Vec::new() };
        for text in overrides {
            let place = || format!("--set {text}");
            let error = |reason: &str| ScenarioError { place: place(), reason: reason.to_owned() };
            let (key, value) = text.split_once('=').ok_or_else(|| error("expected KEY=VALUE"))?;
            let path: Vec<_> = key.trim().split('.').map(str::to_owned).collect();
            if path.iter().any(String::is_empty) {
                return Err(error("expected a key such as link.NAME.rate"));
            }
            let padded = format!("{}{}", " ".repeat(source.end()), assignment(value.trim()));
            source.overrides.push(Override { text: text.clone(), path, padded });
        }
        Ok(source)
    }

    /// One behind the last place of the sequence so far.
    fn end(&self) -> usize {
        self.overrides.last().map_or(self.text.len(), |last| last.padded.len()) + 1
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`ScenarioError`] where it is no TOML, or has a key that there is not, or a value of the wrong kind.
    pub fn read(&self) -> Result<File, ScenarioError> {
        let mut table = DeTable::parse(&self.text).map_err(|error| self.located(&error, 0..0))?;
        for replaced in &self.overrides {
            let read = DeTable::parse(&replaced.padded).map_err(|error| self.located(&error, replaced.span()))?;
            let Some((_, value)) = read.into_inner().into_iter().next() else { continue };
            put(table.get_mut(), &replaced.path, value).map_err(|reason| self.error(replaced.span(), reason))?;
        }
        serde::Deserialize::deserialize(toml::Deserializer::from(table)).map_err(|error| self.located(&error, 0..0))
    }

    /// An error at a place of the sequence.
    #[must_use]
    pub fn error(&self, span: Range<usize>, reason: impl fmt::Display) -> ScenarioError {
        let reason = reason.to_string();
        if span.start > self.text.len() {
            let replaced = self.overrides.iter().find(|replaced| span.start < replaced.padded.len());
            let text = replaced.map_or("", |replaced| &replaced.text);
            return ScenarioError { place: format!("--set {text}"), reason };
        }
        let line = 1 + self.text.as_bytes().iter().take(span.start).filter(|byte| **byte == b'\n').count();
        ScenarioError { place: format!("{}:{line}", self.name), reason }
    }

    fn located(&self, error: &toml::de::Error, otherwise: Range<usize>) -> ScenarioError {
        self.error(error.span().unwrap_or(otherwise), plain(error.message()))
    }
}

impl Override {
    const fn span(&self) -> Range<usize> {
        self.padded.len().saturating_sub(1)..self.padded.len()
    }
}

/// A value as a line of TOML. What is no value as it stands, such as `20ms`, is taken as a string.
fn assignment(value: &str) -> String {
    let line = format!("v={value}");
    if DeTable::parse(&line).is_ok_and(|table| table.get_ref().len() == 1) {
        return line;
    }
    format!("v=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', " "))
}

/// Puts `value` at `path`, making the tables on the way that are not there.
fn put<'i>(table: &mut DeTable<'i>, path: &[String], value: Spanned<DeValue<'i>>) -> Result<(), String> {
    let Some((key, rest)) = path.split_first() else { return Err("expected a key".to_owned()) };
    let key = Spanned::new(value.span(), key.clone().into());
    if rest.is_empty() {
        // The key of what stood there would keep its own place.
        table.remove(&key);
        table.insert(key, value);
        return Ok(());
    }
    let empty = || Spanned::new(value.span(), DeValue::Table(DeTable::new()));
    match table.entry(key).or_insert_with(empty).get_mut() {
        DeValue::Table(inner) => put(inner, rest, value),
        DeValue::Array(items) => {
            let (index, rest) = rest.split_first().ok_or("expected an index")?;
            let found = index.parse::<usize>().ok().and_then(|index| items.get_mut(index));
            let item = found.ok_or_else(|| format!("there is no item `{index}`"))?;
            match (item.get_mut(), rest) {
                (_, []) => *item = value,
                (DeValue::Table(inner), rest) => return put(inner, rest, value),
                _ => return Err(format!("item `{index}` is not a table")),
            }
            Ok(())
        }
        _ => Err(format!("`{}` is not a table", path[0])),
    }
}
