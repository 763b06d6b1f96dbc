//! Parts that more than one view has.

use ratatui::style::Style;

use super::super::model::{Model, Shown, Transfer, peer_of};
use super::canvas::Canvas;
use super::words::{count, of, percent, ppm_of, rate};
use crate::events::{Direction, SessionFigures, Stage, TransferState};
use crate::units::{format_duration, format_size};

/// Columns of a transfer's row, but for the peer and the bar, which take what is left.
const FIXED: u16 = 4 + 1 + 1 + 10 + 1 + 1 + 4 + 2 + 11 + 2 + 10;

/// The head of a list of transfers.
pub(super) fn transfer_head(canvas: &mut Canvas<'_>, y: u16) {
    let (label, columns) = (canvas.paint.label(), Columns::of(canvas.width()));
    canvas.text(1, y, "way", label);
    canvas.text(columns.peer, y, "peer", label);
    canvas.text(columns.stage, y, "stage", label);
    canvas.text(columns.bar, y, "done", label);
    canvas.text_before(columns.rate_end, y, "rate", label);
    canvas.text_before(columns.left_end, y, "left", label);
}

/// Where the columns of a transfer's row begin or end.
struct Columns {
    peer: u16,
    peer_width: u16,
    stage: u16,
    bar: u16,
    bar_width: u16,
    rate_end: u16,
    left_end: u16,
}

impl Columns {
    fn of(width: u16) -> Self {
        let rest = width.saturating_sub(FIXED + 2);
        let bar_width = (rest * 2 / 5).clamp(4, 40);
        let peer_width = rest.saturating_sub(bar_width).clamp(8, 45);
        let stage = 1 + 4 + 1 + peer_width + 1;
        let bar = stage + 10 + 1;
        let rate_end = bar + bar_width + 1 + 4 + 2 + 11;
        Self { peer: 6, peer_width, stage, bar, bar_width, rate_end, left_end: rate_end + 2 + 10 }
    }
}

/// A transfer in a row.
pub(super) fn transfer_row(canvas: &mut Canvas<'_>, y: u16, shown: Shown<'_>, is_chosen: bool) {
    let (paint, columns) = (canvas.paint, Columns::of(canvas.width()));
    let state = shown.state();
    let row = if is_chosen { paint.chosen() } else { Style::new() };
    if is_chosen {
        let blank = " ".repeat(usize::from(canvas.width()));
        canvas.text(0, y, &blank, row);
    }
    canvas.text(1, y, state.direction.name(), row);
    canvas.text_within(columns.peer, y, columns.peer_width, &peer_of(state), row);
    let (stage, style) = stage_of(canvas, shown);
    canvas.text_within(columns.stage, y, 10, stage, row.patch(style));
    let ppm = done_ppm(shown);
    canvas.bar(columns.bar, y, columns.bar_width, ppm, row.patch(style));
    canvas.text_before(columns.bar + columns.bar_width + 5, y, &format!("{}%", ppm / 10_000), row);
    let speed = match shown {
        Shown::Live(transfer) if state.stage == Stage::Moving => rate(transfer.rate()),
        Shown::Live(_) => String::new(),
        // What came of it is not known.
        Shown::Over(end) if end.stored_bytes == 0 && end.failure.is_some() => String::new(),
        Shown::Over(end) => rate(bytes_per_second(end.stored_bytes, end.took)),
    };
    canvas.text_before(columns.rate_end, y, &speed, row);
    let left = match shown {
        Shown::Live(transfer) => transfer.left().map(format_duration).unwrap_or_default(),
        Shown::Over(end) => format!("in {}", format_duration(end.took)),
    };
    canvas.text_before(columns.left_end, y, &left, row);
}

/// The stage in a word, and how it looks.
fn stage_of(canvas: &Canvas<'_>, shown: Shown<'_>) -> (&'static str, Style) {
    let paint = canvas.paint;
    match shown {
        Shown::Over(end) if end.failure.is_some() || end.exit_code != 0 => ("failed", paint.bad()),
        Shown::Over(_) => ("complete", paint.good()),
        Shown::Live(transfer) => (transfer.state.stage.name(), Style::new()),
    }
}

/// How much is done, in parts per million. What has no bytes and is complete is done.
pub(super) fn done_ppm(shown: Shown<'_>) -> u64 {
    let state = shown.state();
    match shown {
        Shown::Over(end) if end.failure.is_none() && end.exit_code == 0 => 1_000_000,
        _ => ppm_of(state.done_bytes, state.total_bytes).min(1_000_000),
    }
}

pub(super) fn bytes_per_second(bytes: u64, span: wirehaul_core::time::Duration) -> u64 {
    wirehaul_core::rate::Rate::from_bytes_over(bytes, span).as_bits_per_sec() / 8
}

/// The path of a transfer's packets, in four rows.
pub(super) fn path(canvas: &mut Canvas<'_>, state: &TransferState) {
    let SessionFigures { srtt, min_rtt, cwnd_bytes, inflight_bytes, resent_ppm, lost_packets, .. } = state.figures;
    let paint = canvas.paint;
    let label = 14;
    let plain = Style::new();
    let is_known = srtt.as_nanos() > 0;
    let rtt = match is_known {
        true => format!("{}, lowest {}", format_duration(srtt), format_duration(min_rtt)),
        false => "not measured yet".to_owned(),
    };
    canvas.figure(1, 0, ("round trip", label), &rtt, plain);
    let window = format!("{} of {}", format_size(inflight_bytes), format_size(cwnd_bytes));
    canvas.figure(1, 1, ("in flight", label), &window, plain);
    let style = if resent_ppm > 10_000 { paint.warning() } else { plain };
    let is_sender = state.direction == Direction::Sending;
    let resent = match is_sender {
        true => format!("{} ({})", percent(resent_ppm), of(lost_packets, "packet lost", "packets lost")),
        false => "told by the sender".to_owned(),
    };
    canvas.figure(1, 2, ("sent again", label), &resent, if is_sender { style } else { paint.label() });
    // A receiver paces nothing but its acknowledgements.
    let pacing = match state.figures.pacing_error_ppm {
        _ if !is_sender => "told by the sender".to_owned(),
        Some(ppm) => percent(ppm),
        None => "none (not paced)".to_owned(),
    };
    canvas.figure(1, 3, ("pacing error", label), &pacing, if is_sender { plain } else { paint.label() });
}

/// What workers sent, received, refused and lost, in four rows.
pub(super) fn packets(canvas: &mut Canvas<'_>, model: &Model) {
    let paint = canvas.paint;
    let label = 10;
    let plain = Style::new();
    let (totals, kernel) = (model.workers().totals(), model.workers().kernel());
    let (sending, receiving) = model.workers().pace();
    let moved = |packets, bytes, pace| format!("{} ({}), {}/s", count(packets), format_size(bytes), count(pace));
    canvas.figure(1, 0, ("sent", label), &moved(totals.sent_packets, totals.sent_bytes, sending), plain);
    canvas.figure(1, 1, ("received", label), &moved(totals.received_packets, totals.received_bytes, receiving), plain);
    let rejects = model.workers().rejects();
    let refused = match &rejects[..] {
        [] => "none".to_owned(),
        [(why, _), ..] => format!("{}, most {why}", count(totals.rejects.total())),
    };
    canvas.figure(1, 2, ("refused", label), &refused, if rejects.is_empty() { plain } else { paint.warning() });
    let xdp = [kernel.xdp_rx_ring_full, kernel.xdp_rx_fill_ring_empty, kernel.xdp_rx_dropped, kernel.xdp_invalid];
    let xdp = xdp.into_iter().fold(0, u64::saturating_add);
    let dropped = format!("sockets {}, AF_XDP {}", count(kernel.socket_overflows), count(xdp));
    let style = if kernel.socket_overflows > 0 || xdp > 0 { paint.warning() } else { plain };
    canvas.figure(1, 3, ("dropped", label), &dropped, style);
}

/// The pools, in a row.
pub(super) fn pools(canvas: &mut Canvas<'_>, y: u16, label: u16, model: &Model) {
    let (packets, blocks) = (model.workers().packets(), model.workers().blocks());
    let use_of = |pool: &wirehaul_core::pool::PoolStats| match pool.slots {
        0 => "none".to_owned(),
        slots => format!("{} of {}", count(pool.in_use().into()), count(slots.into())),
    };
    let exhausted = packets.exhausted.saturating_add(blocks.exhausted);
    let words =
        format!("{} runs, {} blocks; {} none left", use_of(&packets), use_of(&blocks), of(exhausted, "time", "times"));
    let words = if packets.slots == 0 && blocks.slots == 0 { "not told yet".to_owned() } else { words };
    let style = if exhausted > 0 { canvas.paint.warning() } else { Style::new() };
    canvas.figure(1, y, ("buffers", label), &words, style);
}

/// Rates of a transfer in words.
pub(super) fn speeds(transfer: &Transfer, model: &Model) -> String {
    let state = &transfer.state;
    let took = model.now().saturating_since(state.began);
    let left = transfer.left().map(|left| format!(", {} left", format_duration(left))).unwrap_or_default();
    format!(
        "{}, highest {}, {} so far{left}",
        rate(transfer.rate()),
        rate(transfer.flow.history().highest()),
        format_duration(took)
    )
}
