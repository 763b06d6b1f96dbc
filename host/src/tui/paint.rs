//! What a terminal can show: colours or none, and which signs.

use ratatui::style::{Color, Modifier, Style};

/// How things look. Colours are those that terminals have names for, so that they suit whatever background there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paint {
    /// Whether there are colours at all; without them words, bold and reversed letters say the same.
    pub has_colour: bool,
    /// Whether signs beyond ASCII are shown as they are.
    pub is_unicode: bool,
}

impl Paint {
    /// As the environment says: `NO_COLOR`, and the locale.
    #[must_use]
    pub fn of_environment() -> Self {
        Self::of(|name| std::env::var(name).ok())
    }

    fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let told = |name: &&str| variable(name).filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(told);
        let is_utf8 = locale.is_some_and(|locale| {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        });
        // The console of Windows has no locale of this kind, and shows them all.
        Self { has_colour: told(&"NO_COLOR").is_none(), is_unicode: is_utf8 || cfg!(windows) }
    }

    const fn coloured(self, colour: Color) -> Style {
        if self.has_colour { Style::new().fg(colour) } else { Style::new() }
    }

    /// What names a part of the screen.
    #[must_use]
    pub const fn title(self) -> Style {
        self.coloured(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    /// Lines between parts.
    #[must_use]
    pub const fn rule(self) -> Style {
        self.coloured(Color::Cyan)
    }

    /// What a figure is about.
    #[must_use]
    pub const fn label(self) -> Style {
        if self.has_colour { Style::new().add_modifier(Modifier::DIM) } else { Style::new() }
    }

    /// What matters most.
    #[must_use]
    pub const fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// As it should be.
    #[must_use]
    pub const fn good(self) -> Style {
        self.coloured(Color::Green)
    }

    /// Not as it should be.
    #[must_use]
    pub const fn warning(self) -> Style {
        self.coloured(Color::Yellow).add_modifier(Modifier::BOLD)
    }

    /// Wrong.
    #[must_use]
    pub const fn bad(self) -> Style {
        self.coloured(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// What is chosen.
    #[must_use]
    pub const fn chosen(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// The signs that bars are made of, from nearly empty to full.
    pub(super) const fn eighths(self) -> &'static [&'static str] {
        if self.is_unicode { &["▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"] } else { &["#"] }
    }

    /// What is left of a bar.
    pub(super) const fn rest(self) -> &'static str {
        if self.is_unicode { "░" } else { "." }
    }

    /// The signs that sparklines are made of, from low to high.
    pub(super) const fn levels(self) -> &'static [&'static str] {
        if self.is_unicode {
            &["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"]
        } else {
            &["_", ".", ":", "-", "=", "+", "*", "#"]
        }
    }

    /// A line across.
    pub(super) const fn dash(self) -> &'static str {
        if self.is_unicode { "─" } else { "-" }
    }

    /// A line down.
    pub(super) const fn pipe(self) -> &'static str {
        if self.is_unicode { "│" } else { "|" }
    }

    /// The corners of a box: above left and right, below left and right.
    pub(super) const fn corners(self) -> [&'static str; 4] {
        if self.is_unicode { ["┌", "┐", "└", "┘"] } else { ["+"; 4] }
    }

    /// Where a text is cut off.
    pub(super) const fn cut(self) -> &'static str {
        if self.is_unicode { "…" } else { "~" }
    }

    /// The arrows up and down.
    pub(super) const fn arrows(self) -> &'static str {
        if self.is_unicode { "↑↓" } else { "arrows" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> (bool, bool) {
        let find =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let paint = Paint::of(find);
        (paint.has_colour, paint.is_unicode)
    }

    #[cfg(unix)]
    #[test]
    fn the_environment_says_what_can_be_shown() {
        assert_eq!(of(&[]), (true, false));
        assert_eq!(of(&[("LANG", "en_GB.UTF-8")]), (true, true));
        assert_eq!(of(&[("LANG", "C.utf8"), ("LC_ALL", "")]), (true, true));
        assert_eq!(of(&[("LANG", "en_GB.UTF-8"), ("LC_ALL", "C")]), (true, false));
        assert_eq!(of(&[("LC_CTYPE", "de_DE.UTF-8"), ("NO_COLOR", "1")]), (false, true));
        assert_eq!(of(&[("NO_COLOR", "")]), (true, false));
    }
}
