//! What a screen looks like: a function of what is known, of the size and of what the terminal can show, and of nothing else.

mod canvas;
mod cdn;
mod figures;
mod log;
mod numa;
mod overview;
mod scan;
mod transfers;
mod words;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use super::model::{Model, View};
use super::paint::Paint;
use canvas::{Canvas, width_of, wrap};

/// The smallest size at which figures are shown.
pub const MIN_WIDTH: u16 = 60;
/// See [`MIN_WIDTH`].
pub const MIN_HEIGHT: u16 = 16;

/// Draws all of it on a part of the screen, which is to be empty.
pub fn draw(model: &Model, area: Rect, paint: Paint, buffer: &mut Buffer) {
    let mut canvas = Canvas::new(buffer, area, paint);
    let (width, height) = (canvas.width(), canvas.height());
    if width < MIN_WIDTH || height < MIN_HEIGHT {
        draw_small(model, &mut canvas);
        return;
    }
    draw_header(model, &mut canvas.rows(0, 1));
    let body = &mut canvas.rows(1, height - 2);
    match model.look().view {
        View::Overview => overview::draw(model, body),
        View::Transfers => transfers::draw(model, body),
        View::Scan => scan::draw(model, body),
        View::Numa => numa::draw(model, body),
        View::Cdn => cdn::draw(model, body),
        View::Log => log::draw(model, body),
    }
    draw_footer(model, &mut canvas.rows(height - 1, 1));
    if model.look().is_asking {
        draw_question(model, &mut canvas);
    } else if model.look().is_helping {
        draw_help(&mut canvas);
    }
}

/// The command, the views, and how long it has been.
fn draw_header(model: &Model, canvas: &mut Canvas<'_>) {
    let paint = canvas.paint;
    let mut x = canvas.text(1, 0, &format!("wirehaul {}", model.command()), paint.title()) + 1;
    let clock = words::clock(model.elapsed());
    // At 60 columns names would be cut off.
    let needed: usize = View::ALL.iter().map(|view| view.name().len() + 4).sum();
    let has_room = usize::from(x) + needed + clock.len() < usize::from(canvas.width());
    for (number, view) in View::ALL.into_iter().enumerate() {
        let is_shown = view == model.look().view;
        let style = if is_shown { paint.chosen().add_modifier(Modifier::BOLD) } else { Style::new() };
        let text = match has_room || is_shown {
            true => format!(" {} {} ", number + 1, view.name()),
            false => format!(" {} ", number + 1),
        };
        x = canvas.text(x, 0, &text, style);
    }
    let end = canvas.width() - 1;
    canvas.text_before(end, 0, &clock, Style::new());
}

/// The keys that matter here.
fn draw_footer(model: &Model, canvas: &mut Canvas<'_>) {
    let paint = canvas.paint;
    let arrows = paint.arrows();
    let moves = match model.look().view {
        View::Transfers | View::Overview if !model.transfers().is_empty() => "choose",
        View::Numa | View::Cdn | View::Log => "scroll",
        _ => "",
    };
    let mut keys = vec![("1-6", "view")];
    if !moves.is_empty() {
        keys.push((arrows, moves));
    }
    keys.extend([("?", "keys"), ("q", "leave or stop")]);
    let mut x = 1;
    for (key, does) in keys {
        x = canvas.texts(x, 0, &[(key, paint.strong()), (" ", Style::new()), (does, paint.label())]) + 3;
    }
    let missed = model.log().missed();
    if missed > 0 {
        let words = format!("{} missed", words::of(missed, "event", "events"));
        let end = canvas.width() - 1;
        canvas.text_before(end, 0, &words, paint.label());
    }
}

/// Says that it is too small, in as many words as there is room for.
fn draw_small(model: &Model, canvas: &mut Canvas<'_>) {
    let (width, height) = (canvas.width(), canvas.height());
    let words = if model.look().is_asking {
        "s: stop; d: leave the screen; Esc: back".to_owned()
    } else {
        format!("This terminal has {width}x{height}; {MIN_WIDTH}x{MIN_HEIGHT} are needed. q: leave or stop")
    };
    let style = canvas.paint.strong();
    for (y, line) in wrap(&words, usize::from(width)).iter().take(usize::from(height)).enumerate() {
        canvas.text(0, y as u16, line, style);
    }
}

/// A frame in the middle with these lines: keys, and what they do.
fn draw_box(canvas: &mut Canvas<'_>, title: &str, lines: &[(&str, &str)]) {
    let paint = canvas.paint;
    let column = lines.iter().map(|(key, _)| width_of(key)).max().unwrap_or(0) as u16 + 2;
    let widest = lines.iter().map(|(_, does)| width_of(does)).max().unwrap_or(0) as u16;
    let width = (column + widest).max(width_of(title) as u16 + 4) + 4;
    let height = lines.len() as u16 + 2;
    let (x, y) = (canvas.width().saturating_sub(width) / 2, canvas.height().saturating_sub(height) / 2);
    let mut part = canvas.part(x, y, width, height);
    let mut inner = part.framed(title);
    for (y, (key, does)) in lines.iter().enumerate() {
        inner.text(0, y as u16, key, paint.strong());
        inner.text(column, y as u16, does, Style::new());
    }
}

fn draw_question(model: &Model, canvas: &mut Canvas<'_>) {
    let (stop, goes_on) = match model.command() {
        "scan" => ("stop the survey; a checkpoint knows where it was", "leave the screen; the survey goes on"),
        "send" => ("stop the transfer; the same command goes on with it", "leave the screen; the transfer goes on"),
        "serve" => ("stop serving; senders can go on later", "leave the screen; serving goes on"),
        _ => ("stop receiving; senders can go on later", "leave the screen; receiving goes on"),
    };
    draw_box(canvas, "Leave?", &[("s", stop), ("d", goes_on), ("Esc", "back")]);
}

fn draw_help(canvas: &mut Canvas<'_>) {
    let arrows = canvas.paint.arrows();
    let lines = [
        ("1-6, Tab", "another view"),
        (arrows, "choose a transfer; scroll"),
        ("PgUp PgDn", "by ten"),
        ("Home End", "to the first, to the last"),
        ("Enter", "from the overview to the transfers"),
        ("Esc", "back to the overview"),
        ("Ctrl-L", "draw everything anew"),
        ("Ctrl-Z", "pause; `fg` goes on"),
        ("q, Ctrl-C", "leave the screen, or stop; asks first"),
        ("?", "these keys"),
    ];
    // Ctrl-Z is a matter of shells.
    let lines: Vec<_> = lines.into_iter().filter(|(key, _)| cfg!(unix) || *key != "Ctrl-Z").collect();
    draw_box(canvas, "Keys", &lines);
}
