//! Signs on a part of the screen: what lies outside is left out, so that no size is too small.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Span;

use super::super::model::History;
use super::super::paint::Paint;

/// A part of the screen, with places counted from its upper left.
pub(super) struct Canvas<'a> {
    buffer: &'a mut Buffer,
    area: Rect,
    pub(super) paint: Paint,
}

impl<'a> Canvas<'a> {
    pub(super) fn new(buffer: &'a mut Buffer, area: Rect, paint: Paint) -> Self {
        let area = area.intersection(buffer.area);
        Self { buffer, area, paint }
    }

    pub(super) const fn width(&self) -> u16 {
        self.area.width
    }

    pub(super) const fn height(&self) -> u16 {
        self.area.height
    }

    /// The part of it that begins there and is that large, as far as it lies within.
    pub(super) fn part(&mut self, x: u16, y: u16, width: u16, height: u16) -> Canvas<'_> {
        let place = Rect { x: self.area.x.saturating_add(x), y: self.area.y.saturating_add(y), width, height };
        Canvas { area: place.intersection(self.area), buffer: self.buffer, paint: self.paint }
    }

    /// So many rows from a row on.
    pub(super) fn rows(&mut self, y: u16, height: u16) -> Canvas<'_> {
        let width = self.width();
        self.part(0, y, width, height)
    }

    /// Writes a text, cut off where the part ends; where it ended.
    pub(super) fn text(&mut self, x: u16, y: u16, text: &str, style: Style) -> u16 {
        let width = self.width().saturating_sub(x);
        self.text_within(x, y, width, text, style)
    }

    /// Writes a text, cut off behind so many columns; where it ended.
    pub(super) fn text_within(&mut self, x: u16, y: u16, width: u16, text: &str, style: Style) -> u16 {
        let width = width.min(self.width().saturating_sub(x));
        if width == 0 || y >= self.height() {
            return x;
        }
        let shown;
        let text = if self.paint.is_unicode || text.is_ascii() {
            text
        } else {
            shown = text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect::<String>();
            &shown
        };
        let (left, row) = (self.area.x + x, self.area.y + y);
        let needed = width_of(text);
        if needed <= usize::from(width) {
            let (end, _) = self.buffer.set_stringn(left, row, text, usize::from(width), style);
            return end - self.area.x;
        }
        let (end, _) = self.buffer.set_stringn(left, row, text, usize::from(width - 1), style);
        let (end, _) = self.buffer.set_stringn(end, row, self.paint.cut(), 1, style);
        end - self.area.x
    }

    /// Writes a text that ends before a column; where it began.
    pub(super) fn text_before(&mut self, end: u16, y: u16, text: &str, style: Style) -> u16 {
        let width = u16::try_from(width_of(text)).unwrap_or(u16::MAX);
        let x = end.saturating_sub(width);
        self.text_within(x, y, end - x, text, style);
        x
    }

    /// Writes several texts, one behind the other; where they ended.
    pub(super) fn texts(&mut self, x: u16, y: u16, texts: &[(&str, Style)]) -> u16 {
        texts.iter().fold(x, |x, (text, style)| self.text(x, y, text, *style))
    }

    /// A figure and what it is about, which takes so many columns.
    pub(super) fn figure(&mut self, x: u16, y: u16, label: (&str, u16), figure: &str, style: Style) {
        let paint = self.paint;
        self.text_within(x, y, label.1, label.0, paint.label());
        self.text(x + label.1, y, figure, style);
    }

    /// A line across with a title in it, and something at its right end.
    pub(super) fn rule(&mut self, y: u16, title: &str, right: &str) {
        let paint = self.paint;
        let dashes = paint.dash().repeat(usize::from(self.width()));
        self.text(0, y, &dashes, paint.rule());
        let end = self.texts(1, y, &[(" ", paint.rule()), (title, paint.title()), (" ", paint.rule())]);
        let needed = u16::try_from(width_of(right) + 3).unwrap_or(u16::MAX);
        if !right.is_empty() && needed.saturating_add(end) <= self.width() {
            let x = self.width() - needed;
            self.texts(x, y, &[(" ", paint.rule()), (right, Style::new()), (" ", paint.rule())]);
        }
    }

    /// A bar that is so much full, in parts per million.
    pub(super) fn bar(&mut self, x: u16, y: u16, width: u16, ppm: u64, style: Style) {
        let paint = self.paint;
        let steps = paint.eighths();
        let full = u64::from(width) * steps.len() as u64;
        let filled = usize::try_from(full * ppm.min(1_000_000) / 1_000_000).unwrap_or(0);
        for column in 0..width {
            let here = filled.saturating_sub(usize::from(column) * steps.len()).min(steps.len());
            match here.checked_sub(1) {
                Some(step) => self.text_within(x + column, y, 1, steps[step], style),
                None => self.text_within(x + column, y, 1, paint.rest(), paint.label()),
            };
        }
    }

    /// The newest values of a history on all of this part, the newest at the right; `highest` reaches the top.
    pub(super) fn spark(&mut self, history: &History, highest: u64, style: Style) {
        let levels = self.paint.levels();
        let (width, height) = (usize::from(self.width()), usize::from(self.height()));
        let shown = history.len().min(width);
        let full = (levels.len() * height) as u128;
        for (column, value) in history.newest(width).enumerate() {
            let x = (width - shown + column) as u16;
            let filled = (u128::from(value) * full).checked_div(u128::from(highest)).unwrap_or(0).min(full) as usize;
            // What is not zero can be seen.
            let filled = if value > 0 { filled.max(1) } else { filled };
            for row in 0..height {
                let here = filled.saturating_sub((height - 1 - row) * levels.len()).min(levels.len());
                if let Some(step) = here.checked_sub(1) {
                    self.text_within(x, row as u16, 1, levels[step], style);
                }
            }
        }
    }

    /// A frame around all of this part, which is cleared; what lies within.
    pub(super) fn framed(&mut self, title: &str) -> Canvas<'_> {
        let (width, height, paint) = (self.width(), self.height(), self.paint);
        let blank = " ".repeat(usize::from(width));
        let across = paint.dash().repeat(usize::from(width));
        for y in 0..height {
            // Whatever was there keeps nothing of its look.
            let row = Rect { y: self.area.y + y, height: 1, ..self.area };
            self.buffer.set_style(row, Style::reset());
            self.text(0, y, if y == 0 || y + 1 == height { &across } else { &blank }, paint.rule());
            self.text(0, y, paint.pipe(), paint.rule());
            self.text(width.saturating_sub(1), y, paint.pipe(), paint.rule());
        }
        let [above_left, above_right, below_left, below_right] = paint.corners();
        let (right, below) = (width.saturating_sub(1), height.saturating_sub(1));
        self.text(0, 0, above_left, paint.rule());
        self.text(right, 0, above_right, paint.rule());
        self.text(0, below, below_left, paint.rule());
        self.text(right, below, below_right, paint.rule());
        if !title.is_empty() {
            self.part(1, 0, width.saturating_sub(2), 1).texts(
                1,
                0,
                &[(" ", paint.rule()), (title, paint.title()), (" ", paint.rule())],
            );
        }
        self.part(2, 1, width.saturating_sub(4), height.saturating_sub(2))
    }
}

/// Columns that a text takes.
pub(super) fn width_of(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { Span::raw(text).width() }
}

/// Breaks words into lines of so many columns at most; what is longer than a line goes on in the next.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut column = 0;
    for word in text.split(' ') {
        let needed = width_of(word);
        if column > 0 && column + 1 + needed > width {
            lines.push(std::mem::take(&mut line));
            column = 0;
        }
        if column > 0 {
            line.push(' ');
            column += 1;
        }
        for sign in word.chars() {
            let needed = width_of(sign.encode_utf8(&mut [0; 4]));
            if column + needed > width && column > 0 {
                lines.push(std::mem::take(&mut line));
                column = 0;
            }
            line.push(sign);
            column += needed;
        }
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_wrapped_and_long_ones_broken() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrap("", 4), [""]);
        assert_eq!(wrap("a b", 0), ["a", "b"]);
        assert!(wrap(&"x".repeat(100), 30).iter().all(|line| line.len() <= 30));
    }

    fn drawn(width: u16, height: u16, is_unicode: bool, draw: impl Fn(&mut Canvas<'_>)) -> Vec<String> {
        let area = Rect::new(0, 0, width, height);
        let mut buffer = Buffer::empty(area);
        draw(&mut Canvas::new(&mut buffer, area, Paint { has_colour: false, is_unicode }));
        let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        (0..height).map(row).collect()
    }

    #[test]
    fn bars_and_sparklines_fill_from_empty_to_full() {
        let bar = |ppm, is_unicode| drawn(4, 1, is_unicode, |canvas| canvas.bar(0, 0, 4, ppm, Style::new())).concat();
        assert_eq!(
            (bar(0, true), bar(1_000_000, true), bar(9_999_999, true)),
            ("░░░░".into(), "████".into(), "████".into())
        );
        assert_eq!((bar(400_000, true), bar(500_000, false)), ("█▌░░".into(), "##..".into()));
        let mut history = History::default();
        [0, 1, 8, 16].into_iter().for_each(|value| history.push(value));
        let spark = |is_unicode| drawn(5, 2, is_unicode, |canvas| canvas.spark(&history, 16, Style::new()));
        assert_eq!(spark(true), ["    █", "  ▁██"]);
        assert_eq!(spark(false), ["    #", "  _##"]);
    }

    #[test]
    fn texts_are_cut_and_those_of_other_alphabets_asked_about() {
        let text = |text: &'static str, is_unicode| {
            drawn(6, 1, is_unicode, |canvas| _ = canvas.text(1, 0, text, Style::new())).concat()
        };
        assert_eq!((text("abcde", true), text("abcdef", true)), (" abcde".into(), " abcd…".into()));
        assert_eq!((text("abcdef", false), text("aé", false)), (" abcd~".into(), " a?   ".into()));
    }
}
