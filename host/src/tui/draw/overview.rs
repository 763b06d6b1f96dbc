//! Something of everything: what moves, how its path is, where it works, and what was said last.

use ratatui::style::Style;

use super::super::model::{Model, words_of};
use super::canvas::Canvas;
use super::figures::{packets, path, pools, transfer_head, transfer_row};
use super::words::{count, percent, rate};
use super::{cdn, log, numa, scan};

/// Columns for a figure beside a sparkline.
const BESIDE: u16 = 20;

pub(super) fn draw(model: &Model, canvas: &mut Canvas<'_>) {
    let height = canvas.height();
    let has_survey = model.survey().is_some();
    let has_transfers = !has_survey || !model.transfers().is_empty();
    let mut y = 0;
    if has_survey {
        let rows = if height >= 34 { 15 } else { 7 };
        scan::brief(model, &mut canvas.rows(y, rows));
        y += rows;
    }
    if has_transfers && !model.transfers().is_empty() {
        // At 24 rows: as many as leave four for the log.
        let share = height.saturating_sub(y + 18).max(2);
        let rows = u16::try_from(model.transfers().len()).unwrap_or(u16::MAX).clamp(1, share.max(height / 4));
        let spark = (height.saturating_sub(18) / 4).clamp(2, 8);
        draw_transfers(model, &mut canvas.rows(y, rows + 2 + spark), spark);
        y += rows + 2 + spark;
        draw_path(model, &mut canvas.rows(y, 6));
        y += 6;
    }
    let found = model.cdn().total() > 0;
    // A title with nothing below it says nothing.
    let has_room = |y: u16| y + 2 <= height;
    if found && has_room(y) {
        let rows = if height >= 34 { 5 } else { 2 };
        cdn::brief(model, &mut canvas.rows(y, rows + 1));
        y += rows + 1;
    }
    if let Some(placement) = model.placement()
        && has_room(y)
    {
        let most = if height >= 34 { 8 } else { 2 };
        let rows = u16::try_from(placement.nodes.len()).unwrap_or(u16::MAX).clamp(1, most);
        numa::brief(model, placement, &mut canvas.rows(y, rows + 1));
        y += rows + 1;
    }
    log::brief(model, &mut canvas.rows(y, height.saturating_sub(y)));
}

/// The rate of all in so many rows, and below it as many transfers as there is room for.
fn draw_transfers(model: &Model, canvas: &mut Canvas<'_>, spark: u16) {
    let transfers = model.transfers();
    let (paint, height) = (canvas.paint, canvas.height());
    canvas.rule(0, "Transfers", &counts(model));
    let history = transfers.history();
    canvas.text_within(1, 1, BESIDE - 2, &rate(transfers.rate()), paint.strong());
    canvas.text_within(
        1,
        2,
        BESIDE - 2,
        &format!("peak {}", rate(history.highest().max(transfers.rate()))),
        paint.label(),
    );
    let width = canvas.width();
    canvas.part(BESIDE, 1, width.saturating_sub(BESIDE + 1), spark).spark(history, history.highest(), paint.good());
    transfer_head(canvas, 1 + spark);
    let chosen = model.look().transfer.and_then(|id| transfers.position(id)).unwrap_or(0);
    let room = usize::from(height.saturating_sub(2 + spark));
    let first = (chosen + 1).saturating_sub(room);
    for (row, shown) in transfers.shown().enumerate().skip(first).take(room) {
        let is_chosen = row == chosen && transfers.len() > 1;
        transfer_row(canvas, 2 + spark + (row - first) as u16, shown, is_chosen);
    }
}

/// How many there are, in words.
pub(super) fn counts(model: &Model) -> String {
    let (transfers, totals) = (model.transfers(), model.workers().totals());
    let (done, failed) = (transfers.done().max(totals.transfers_done), transfers.failed().max(totals.transfers_failed));
    let failed = if failed > 0 { format!(", {} failed", count(failed)) } else { String::new() };
    format!("{} under way, {} complete{failed}", count(transfers.live_count() as u64), count(done))
}

/// The path of the transfer that is chosen, and the packets of all.
fn draw_path(model: &Model, canvas: &mut Canvas<'_>) {
    let transfers = model.transfers();
    let chosen = model.look().transfer.and_then(|id| transfers.position(id)).unwrap_or(0);
    let Some(shown) = transfers.shown().nth(chosen) else { return };
    let half = canvas.width() / 2;
    let height = canvas.height();
    let rest = canvas.width() - half;
    let mut left = canvas.part(0, 0, half, height);
    left.rule(0, &format!("Path: {}", words_of(shown.state())), "");
    path(&mut left.rows(1, 4), shown.state());
    let mut right = canvas.part(half, 0, rest, height);
    right.rule(0, "Packets of all", "");
    packets(&mut right.rows(1, 4), model);
    pools(canvas, 5, 14, model);
}

/// A survey's share of hits, in words.
pub(super) fn hits(hits: u64, received: u64) -> String {
    let share = super::words::ppm_of(hits, received);
    if received == 0 { count(hits) } else { format!("{} ({} of replies)", count(hits), percent(share)) }
}

/// A label and a figure that stands out where it is not zero.
pub(super) fn drop_figure(canvas: &mut Canvas<'_>, x: u16, y: u16, label: (&str, u16), number: u64) {
    let style = if number > 0 { canvas.paint.warning() } else { Style::new() };
    canvas.figure(x, y, label, &count(number), style);
}
