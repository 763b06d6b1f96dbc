//! What was said, the newest at the end.

use ratatui::style::Style;

use super::super::model::{Line, Model};
use super::canvas::{Canvas, wrap};
use super::words::{clock, count, of};
use crate::events::Level;

pub(super) fn draw(model: &Model, canvas: &mut Canvas<'_>) {
    let log = model.log();
    let right = match (log.missed(), model.look().log) {
        (0, 0) => of(log.lines().len() as u64, "line", "lines"),
        (missed, 0) => format!("{} missed, being too many at once", of(missed, "event", "events")),
        (_, below) => format!("{} below", of(below as u64, "line", "lines")),
    };
    canvas.rule(0, "Log", &right);
    let height = canvas.height();
    draw_lines(model, &mut canvas.rows(1, height.saturating_sub(1)), model.look().log);
}

/// The last lines, for the overview.
pub(super) fn brief(model: &Model, canvas: &mut Canvas<'_>) {
    let height = canvas.height();
    if height < 2 {
        return;
    }
    let is_idle = model.transfers().is_empty() && model.survey().is_none();
    canvas.rule(0, "Log", if is_idle { "nothing moves yet" } else { "" });
    draw_lines(model, &mut canvas.rows(1, height - 1), 0);
}

/// As many lines as there is room for, the last of them at the bottom or where they end; `below` of them are left out.
fn draw_lines(model: &Model, canvas: &mut Canvas<'_>, below: usize) {
    let (width, height) = (usize::from(canvas.width()), usize::from(canvas.height()));
    let paint = canvas.paint;
    if model.log().lines().len() == 0 {
        canvas.text(1, 0, "Nothing has been said yet.", paint.label());
        return;
    }
    let mut rows: Vec<(Option<&Line>, String)> = Vec::new();
    for line in model.log().lines().rev().skip(below) {
        if rows.len() >= height {
            break;
        }
        let times = if line.times > 1 { format!(" ({} times)", count(line.times)) } else { String::new() };
        let mark = if line.level == Level::Info { "" } else { line.level.name() };
        let colon = if mark.is_empty() { "" } else { ": " };
        let words = format!("{mark}{colon}{}{times}", line.text);
        // What goes on in the next row begins at its left edge, so that a ticket can be taken with the mouse.
        let time = clock(model.since_begin(line.at));
        let first = wrap(&format!("{time} {words}"), width.saturating_sub(2));
        let is_first = |row: usize| (row == 0).then_some(line);
        rows.extend(first.into_iter().enumerate().rev().map(|(row, text)| (is_first(row), text)));
    }
    if rows.len() > height {
        rows.truncate(height);
        // The end of a line of which the beginning is cut off says little, beside others that are whole.
        let cut = rows.iter().rev().take_while(|(line, _)| line.is_none()).count();
        if cut < rows.len() {
            rows.truncate(rows.len() - cut);
        }
    }
    for (y, (line, text)) in rows.iter().rev().enumerate() {
        let style = line.map_or(Style::new(), |line| match line.level {
            Level::Info => Style::new(),
            Level::Warning => paint.warning(),
            Level::Error => paint.bad(),
        });
        canvas.text(1, y as u16, text, style);
    }
}
