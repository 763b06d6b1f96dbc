//! A table of the file, read key by key.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::mistakes::{Mistakes, nearest};

/// A table, and where its mistakes go.
pub(super) struct Section<'a, 'i, 'm> {
    table: &'a DeTable<'i>,
    mistakes: &'a mut Mistakes<'m>,
}

impl<'a, 'i, 'm> Section<'a, 'i, 'm> {
    /// The table, which may have the keys `known` and no others.
    pub(super) fn open(table: &'a DeTable<'i>, known: &[&str], mistakes: &'a mut Mistakes<'m>) -> Self {
        for key in table.keys().filter(|key| !known.contains(&key.get_ref().as_ref())) {
            let name = key.get_ref().as_ref();
            let meant = nearest(name, known).map(|near| format!("; is `{near}` meant?")).unwrap_or_default();
            mistakes.add(key.span(), format!("unknown key `{name}`{meant}"));
        }
        Self { table, mistakes }
    }

    /// The value of a key, and where it stands.
    pub(super) fn find(&self, key: &str) -> Option<&'a Spanned<DeValue<'i>>> {
        self.table.get(key)
    }

    /// What `parse` makes of the value of a key; `None` where it is missing or wrong.
    pub(super) fn read<T>(&mut self, key: &str, parse: impl FnOnce(&DeValue<'i>) -> Result<T, String>) -> Option<T> {
        let value = self.find(key)?;
        let parsed = parse(value.get_ref());
        parsed.map_err(|reason| self.mistakes.add(value.span(), format!("{key}: {reason}"))).ok()
    }

    /// Notes something that is wrong with the table as a whole, or with how its keys go together.
    pub(super) fn add(&mut self, span: Range<usize>, reason: String) {
        self.mistakes.add(span, reason);
    }

    /// The line of a place in the file.
    pub(super) fn line_of(&self, place: usize) -> usize {
        self.mistakes.line_of(place)
    }
}

/// A text that `parse` understands.
pub(super) fn text<T, E: ToString>(
    example: &'static str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> impl FnOnce(&DeValue<'_>) -> Result<T, String> {
    move |value| {
        let text = value.as_str().ok_or_else(|| wrong_type(&format!("text in quotes, like \"{example}\""), value))?;
        parse(text).map_err(|error| error.to_string())
    }
}

/// `true` or `false`.
pub(super) fn yes_or_no(value: &DeValue<'_>) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| wrong_type("true or false", value))
}

/// A whole number in this range.
pub(super) fn number(range: std::ops::RangeInclusive<u32>) -> impl FnOnce(&DeValue<'_>) -> Result<u32, String> {
    move |value| {
        let expected = || wrong_type(&format!("a whole number from {} to {}", range.start(), range.end()), value);
        let integer = value.as_integer().ok_or_else(expected)?;
        let parsed = u32::from_str_radix(integer.as_str(), integer.radix()).ok().filter(|n| range.contains(n));
        parsed.ok_or_else(|| format!("{} is not from {} to {}", integer.as_str(), range.start(), range.end()))
    }
}

fn wrong_type(expected: &str, found: &DeValue<'_>) -> String {
    let found = match found.type_str() {
        "string" => "text",
        "integer" => "a whole number",
        "float" => "a number with a point",
        "boolean" => "true or false",
        "array" => "a list",
        "table" => "a table",
        _ => "a date",
    };
    format!("expected {expected}, and this is {found}")
}
