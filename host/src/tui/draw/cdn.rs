//! Edges of CDNs by whose they are, and the targets that are none.

use ratatui::style::Style;
use wirehaul_core::cdn::Probability;

use super::super::model::Model;
use super::canvas::Canvas;
use super::words::{clock, count, of, percent, ppm_of};
use crate::events::CdnDetection;

/// Columns of a provider's name.
const NAME: u16 = 18;

pub(super) fn draw(model: &Model, canvas: &mut Canvas<'_>) {
    let (cdn, width, height) = (model.cdn(), canvas.width(), canvas.height());
    canvas.rule(0, "CDN edges by provider", &summary(model));
    if cdn.total() == 0 {
        canvas.text(1, 1, "No target has been looked at for a CDN yet.", Style::new());
        return;
    }
    let rows = (cdn.provider_count() as u16).clamp(1, (height / 2).saturating_sub(3).max(3));
    draw_providers(model, &mut canvas.rows(1, rows + 1), model.look().cdn);
    let y = rows + 2;
    let rest = height.saturating_sub(y);
    // Detections have more to tell.
    let left_width = width * 2 / 5;
    let mut left = canvas.part(0, y, left_width, rest);
    left.rule(0, "Origins: no CDN", &count(cdn.origins()));
    draw_origins(model, &mut left.rows(1, rest.saturating_sub(1)));
    let mut right = canvas.part(left_width, y, width - left_width, rest);
    right.rule(0, "Last detections", "");
    draw_latest(model, &mut right.rows(1, rest.saturating_sub(1)), cdn.latest().rev());
}

/// The providers with the most edges, for the overview.
pub(super) fn brief(model: &Model, canvas: &mut Canvas<'_>) {
    canvas.rule(0, "CDN", &summary(model));
    let paint = canvas.paint;
    let mut x = 1;
    let mut y = 1;
    for (name, provider) in model.cdn().providers() {
        let words = format!("{name} {}", count(provider.count));
        let needed = super::width_of(&words) as u16 + 3;
        if x + needed > canvas.width() {
            (x, y) = (1, y + 1);
        }
        if y >= canvas.height() {
            return;
        }
        x = canvas.texts(x, y, &[(name, paint.strong()), (" ", Style::new()), (&count(provider.count), Style::new())])
            + 3;
    }
    let Some(origin) = model.cdn().latest_origins().next_back() else { return };
    if x > 1 {
        y += 1;
    }
    let words = format!("last origin without a CDN: {}", origin.target);
    canvas.text(1, y, &words, paint.warning());
}

fn summary(model: &Model) -> String {
    let cdn = model.cdn();
    let looked = of(cdn.total(), "target", "targets");
    format!("{looked}, {}, {}", of(cdn.edges(), "edge", "edges"), of(cdn.origins(), "origin", "origins"))
}

/// A head and a row for each, from the chosen one on.
fn draw_providers(model: &Model, canvas: &mut Canvas<'_>, from: usize) {
    let (paint, width) = (canvas.paint, canvas.width());
    let label = paint.label();
    canvas.text(1, 0, "provider", label);
    canvas.text_before(NAME + 10, 0, "edges", label);
    canvas.text_before(NAME + 20, 0, "highest", label);
    canvas.text_before(NAME + 28, 0, "mean", label);
    let bar = NAME + 30;
    canvas.text(bar, 0, "share of edges", label);
    let (providers, all) = (model.cdn().providers(), model.cdn().edges());
    let room = usize::from(canvas.height().saturating_sub(1));
    let from = from.min(providers.len().saturating_sub(room));
    if providers.is_empty() {
        canvas.text(1, 1, "no edge of any CDN", Style::new());
    }
    for (row, (name, provider)) in providers.iter().skip(from).take(room).enumerate() {
        let y = 1 + row as u16;
        canvas.text_within(1, y, NAME, name, paint.strong());
        canvas.text_before(NAME + 10, y, &count(provider.count), Style::new());
        canvas.text_before(NAME + 20, y, &sure(provider.highest), Style::new());
        canvas.text_before(NAME + 28, y, &sure(provider.mean()), Style::new());
        canvas.bar(bar, y, width.saturating_sub(bar + 1).min(60), ppm_of(provider.count, all), paint.good());
    }
}

/// How likely, with two digits.
fn sure(confidence: Probability) -> String {
    percent(confidence.ppm().into())
}

fn draw_origins(model: &Model, canvas: &mut Canvas<'_>) {
    let (paint, height) = (canvas.paint, usize::from(canvas.height()));
    for (y, origin) in model.cdn().latest_origins().rev().take(height).enumerate() {
        let x = canvas.text(1, y as u16, &clock(model.since_begin(origin.at)), paint.label()) + 1;
        canvas.text(x, y as u16, &origin.target, paint.warning());
    }
}

fn draw_latest<'a>(model: &Model, canvas: &mut Canvas<'_>, latest: impl Iterator<Item = &'a CdnDetection>) {
    let (paint, width) = (canvas.paint, canvas.width());
    for (y, detection) in latest.take(usize::from(canvas.height())).enumerate() {
        let y = y as u16;
        let (words, style) = match (&detection.provider, detection.origin) {
            (_, true) => ("origin".to_owned(), paint.warning()),
            (Some(name), false) => (format!("{name} {}%", detection.confidence.ppm() / 10_000), Style::new()),
            (None, false) => ("unclear".to_owned(), paint.label()),
        };
        let time = clock(model.since_begin(detection.at));
        let x = canvas.text(1, y, &time, paint.label()) + 1;
        let needed = super::width_of(&words).min(24) as u16;
        let end = width.saturating_sub(1);
        let room = end.saturating_sub(x + needed + 1);
        canvas.text_within(x, y, room, &detection.target, style);
        canvas.text_within(end.saturating_sub(needed), y, needed, &words, style);
    }
}
