//! The map: nodes, and what hangs on them and works there.

use ratatui::style::Style;

use super::super::model::Model;
use super::canvas::{Canvas, wrap};
use super::words::{count, of, ppm_of};
use crate::events::{CardPlace, NodePlace, Placement, WorkerPlace};
use crate::units::format_size;

/// A row of the map, made before it is known which of them are shown.
struct Row {
    indent: u16,
    text: String,
    style: Style,
    /// A bar in front of the text, so much full.
    bar: Option<u64>,
}

/// Columns that a node has at least where nodes stand side by side.
const NODE_WIDTH: u16 = 64;

pub(super) fn draw(model: &Model, canvas: &mut Canvas<'_>) {
    let Some(placement) = model.placement() else {
        canvas.rule(0, "NUMA nodes", "");
        canvas.text(1, 1, "Where this process works has not been looked at yet.", Style::new());
        return;
    };
    let threads: u32 = placement.nodes.iter().map(|node| node.threads).fold(0, u32::saturating_add);
    let right =
        format!("{}, {}", of(placement.nodes.len() as u64, "node", "nodes"), of(threads.into(), "thread", "threads"));
    canvas.rule(0, "NUMA nodes", &right);
    let (width, height) = (canvas.width(), canvas.height());
    let columns = (width / NODE_WIDTH).clamp(1, placement.nodes.len().clamp(1, 4) as u16);
    let mut below = apart(model, placement, canvas);
    below.extend(shortfalls(placement, canvas));
    if columns == 1 {
        let mut rows: Vec<Row> =
            placement.nodes.iter().flat_map(|node| node_rows(model, placement, node, canvas)).collect();
        rows.append(&mut below);
        draw_rows(&mut canvas.rows(1, height.saturating_sub(1)), &rows, model.look().numa);
        return;
    }
    // Side by side, in as many rows of nodes as there are.
    let each = width / columns;
    let mut y = 1;
    let skipped = model.look().numa / 2 * usize::from(columns);
    let skipped = skipped.min(placement.nodes.len().saturating_sub(1)) / usize::from(columns) * usize::from(columns);
    for nodes in placement.nodes[skipped.min(placement.nodes.len())..].chunks(usize::from(columns)) {
        let all: Vec<_> = nodes.iter().map(|node| node_rows(model, placement, node, canvas)).collect();
        let most = all.iter().map(Vec::len).max().unwrap_or(0) as u16;
        for (column, rows) in all.iter().enumerate() {
            draw_rows(&mut canvas.part(column as u16 * each, y, each, most), rows, 0);
        }
        y += most + 1;
    }
    draw_rows(&mut canvas.rows(y, height.saturating_sub(y)), &below, 0);
}

/// A row for each node, for the overview.
pub(super) fn brief(model: &Model, placement: &Placement, canvas: &mut Canvas<'_>) {
    let workers = placement.workers.len() as u64;
    let marks = match placement.shortfalls.len() {
        0 => String::new(),
        more => format!(", {} (view 4)", of(more as u64, "remark", "remarks")),
    };
    canvas.rule(0, "NUMA nodes", &format!("{}{marks}", of(workers, "worker", "workers")));
    let room = usize::from(canvas.height().saturating_sub(1));
    let is_cut = placement.nodes.len() > room;
    let shown = if is_cut { room.saturating_sub(1) } else { room };
    for (row, node) in placement.nodes.iter().take(shown).enumerate() {
        let y = 1 + row as u16;
        let paint = canvas.paint;
        canvas.text(1, y, &format!("node {}", node.id), paint.strong());
        let on = |place: Option<u32>| place == Some(node.id) || (place.is_none() && placement.nodes.len() == 1);
        let workers = placement.workers.iter().filter(|worker| on(worker.node)).count() as u64;
        let cards: Vec<_> =
            placement.cards.iter().filter(|card| on(card.node)).map(|card| card.iface.as_str()).collect();
        let cards = if cards.is_empty() { String::new() } else { format!(", {}", cards.join(" ")) };
        let words = format!(
            "CPUs {}, {}, {}, {}{cards}",
            node.cpus,
            memory_of(node),
            of(node.threads.into(), "thread", "threads"),
            of(workers, "worker", "workers")
        );
        canvas.text(10, y, &words, Style::new());
    }
    if is_cut {
        let hidden = (placement.nodes.len() - shown) as u64;
        let words = format!("and {} more: press 4", count(hidden));
        canvas.text(1, 1 + shown as u16, &words, canvas.paint.label());
    }
    let _ = model;
}

fn memory_of(node: &NodePlace) -> String {
    match node.free_bytes {
        Some(free) => format!("{} free of {}", format_size(free), format_size(node.memory_bytes)),
        None => format_size(node.memory_bytes),
    }
}

fn node_rows(model: &Model, placement: &Placement, node: &NodePlace, canvas: &Canvas<'_>) -> Vec<Row> {
    let paint = canvas.paint;
    let only = placement.nodes.len() == 1;
    let on = |place: Option<u32>| place == Some(node.id) || (only && place.is_none());
    let used = node.free_bytes.map_or(0, |free| node.memory_bytes.saturating_sub(free));
    let title = format!(
        "Node {}: CPUs {}, {}",
        node.id,
        node.cpus,
        of(node.threads.into(), "thread of ours", "threads of ours")
    );
    let mut rows = vec![
        Row { indent: 1, text: title, style: paint.title(), bar: None },
        Row {
            indent: 3,
            text: memory_of(node),
            style: Style::new(),
            bar: node.free_bytes.map(|_| ppm_of(used, node.memory_bytes)),
        },
    ];
    let cards = placement.cards.iter().filter(|card| on(card.node));
    rows.extend(cards.map(|card| plain_row(3, card_words(card))));
    let workers = placement.workers.iter().filter(|worker| on(worker.node));
    rows.extend(workers.map(|worker| plain_row(3, worker_words(model, worker))));
    rows
}

/// What belongs to no node, where there are several.
fn apart(model: &Model, placement: &Placement, canvas: &Canvas<'_>) -> Vec<Row> {
    let is_apart = |node: Option<u32>| match node {
        Some(id) => placement.nodes.iter().all(|node| node.id != id),
        None => placement.nodes.len() != 1,
    };
    let cards = placement.cards.iter().filter(|card| is_apart(card.node)).map(card_words);
    let workers =
        placement.workers.iter().filter(|worker| is_apart(worker.node)).map(|worker| worker_words(model, worker));
    let mut rows: Vec<_> = cards.chain(workers).map(|words| plain_row(3, words)).collect();
    if !rows.is_empty() {
        let text = "On no node of their own:".to_owned();
        rows.insert(0, Row { indent: 1, text, style: canvas.paint.title(), bar: None });
    }
    rows
}

fn shortfalls(placement: &Placement, canvas: &Canvas<'_>) -> Vec<Row> {
    let width = usize::from(canvas.width().saturating_sub(4));
    let lines = |words: &String| {
        let lines = wrap(words, width).into_iter().enumerate();
        lines.map(|(row, line)| if row == 0 { format!("! {line}") } else { format!("  {line}") }).collect::<Vec<_>>()
    };
    let style = canvas.paint.warning();
    placement.shortfalls.iter().flat_map(lines).map(|text| Row { indent: 1, text, style, bar: None }).collect()
}

const fn plain_row(indent: u16, text: String) -> Row {
    Row { indent, text, style: Style::new(), bar: None }
}

fn card_words(card: &CardPlace) -> String {
    format!("card {}: {}", card.iface, of(card.queues.into(), "receive queue", "receive queues"))
}

fn worker_words(model: &Model, worker: &WorkerPlace) -> String {
    let cpu = worker.cpu.map_or_else(|| "any CPU".to_owned(), |cpu| format!("CPU {cpu}"));
    let queues = match &worker.queues[..] {
        [] => String::new(),
        [queue] => format!(", queue {queue}"),
        [first, .., last] if (*last - *first) as usize + 1 == worker.queues.len() => format!(", queues {first}-{last}"),
        queues => format!(", queues {}", queues.iter().map(u32::to_string).collect::<Vec<_>>().join(",")),
    };
    let pace = model.workers().get(worker.number).map(|seen| {
        let (sent, received) = (seen.pace.sent.now().unwrap_or(0), seen.pace.received.now().unwrap_or(0));
        let transfers = of(seen.state.transfers.into(), "transfer", "transfers");
        format!(": {transfers}, {}/s out, {}/s in", count(sent), count(received))
    });
    format!("worker {} on {cpu}{queues}{}", worker.number, pace.unwrap_or_default())
}

/// The rows from one on, or the last ones where that is too far; what does not fit is counted.
fn draw_rows(canvas: &mut Canvas<'_>, rows: &[Row], from: usize) {
    let height = usize::from(canvas.height());
    let from = from.min(rows.len().saturating_sub(height));
    let is_cut = rows.len() - from > height;
    let shown = if is_cut { height.saturating_sub(1) } else { height };
    for (y, row) in rows[from..].iter().take(shown).enumerate() {
        let mut x = row.indent;
        if let Some(ppm) = row.bar {
            let paint = canvas.paint;
            canvas.bar(x, y as u16, 20, ppm, paint.good());
            x += 21;
        }
        canvas.text(x, y as u16, &row.text, row.style);
    }
    if is_cut {
        let words = format!("and {} more", of((rows.len() - from - shown) as u64, "row", "rows"));
        let style = canvas.paint.label();
        canvas.text(1, shown as u16, &words, style);
    }
}
