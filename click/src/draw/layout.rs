//! A layered layout: every packet goes down the page, each part has a column of its own.
//!
//! Elements get layers by the longest way to them (over edges that close no cycle); an edge that passes layers has a
//! bend in each, which takes room like a narrow element. In a layer of a part, order follows the neighbours' middle.

use std::collections::BTreeMap;

/// A drawing to be laid out. Nodes and edges are numbered.
#[derive(Debug, Default)]
pub(super) struct Drawing {
    /// Of each node its part and its width.
    pub(super) nodes: Vec<(usize, f64)>,
    /// Edges between nodes.
    pub(super) edges: Vec<(usize, usize)>,
}

/// Where everything is, in pixels.
#[derive(Debug)]
pub(super) struct Layout {
    /// The left upper corner of each node.
    pub(super) nodes: Vec<(f64, f64)>,
    /// Of each edge the middle of each layer that it passes, from its begin to its end.
    pub(super) bends: Vec<Vec<(f64, f64)>>,
    /// Whether the edge leads up: it closes a cycle.
    pub(super) back: Vec<bool>,
    /// Of each part left, top, width and height of its box.
    pub(super) parts: Vec<(f64, f64, f64, f64)>,
    /// Width and height of all.
    pub(super) size: (f64, f64),
}

/// Height of a node.
pub(super) const HEIGHT: f64 = 36.0;
/// From the top of a layer to the top of the next.
pub(super) const LAYER: f64 = 74.0;
/// Between two nodes of a layer.
const GAP: f64 = 18.0;
/// Between the columns of two parts; loops pass there.
const COLUMNS: f64 = 64.0;
/// Around the nodes of a part.
pub(super) const PADDING: f64 = 20.0;
/// Above them, for the part's name.
pub(super) const TITLE: f64 = 22.0;
/// Width of a bend.
const BEND: f64 = 12.0;
/// Sweeps over all layers that put nodes in order.
const SWEEPS: usize = 8;

/// A node or a bend.
struct Place {
    part: usize,
    layer: usize,
    width: f64,
    above: Vec<usize>,
    below: Vec<usize>,
}

pub(super) fn lay_out(drawing: &Drawing, parts: usize) -> Layout {
    let back = back_edges(drawing);
    let layers = layers(drawing, &back);
    let mut places: Vec<Place> = drawing
        .nodes
        .iter()
        .zip(&layers)
        .map(|((part, width), layer)| Place {
            part: *part,
            layer: *layer,
            width: *width,
            above: Vec::new(),
            below: Vec::new(),
        })
        .collect();
    let chains: Vec<Vec<usize>> =
        drawing.edges.iter().zip(&back).map(|(edge, back)| chain(&mut places, *edge, *back)).collect();
    let columns = columns(drawing, &layers, parts);
    let rows = order(&places, &columns);
    let middles = middles(&places, &rows, &columns);
    let count = drawing.nodes.len();
    let top = |place: usize| PADDING + TITLE + places[place].layer as f64 * LAYER;
    let mut layout = Layout {
        nodes: (0..count).map(|node| (middles.of[node] - places[node].width / 2.0, top(node))).collect(),
        bends: Vec::new(),
        back,
        parts: Vec::new(),
        size: (0.0, 0.0),
    };
    for chain in &chains {
        layout.bends.push(chain.iter().map(|bend| (middles.of[*bend], top(*bend) + HEIGHT / 2.0)).collect());
    }
    let held = |part: usize| drawing.nodes.iter().zip(&layers).filter(move |((of, _), _)| *of == part);
    for (part, (left, width)) in middles.columns.iter().enumerate() {
        let first = held(part).map(|(_, layer)| *layer).min().unwrap_or(0);
        let end = held(part).map(|(_, layer)| *layer).max().unwrap_or(0);
        let height = (end - first) as f64 * LAYER + HEIGHT + 2.0 * PADDING + TITLE;
        layout.parts.push((*left, first as f64 * LAYER, *width, height));
    }
    let right = middles.columns.iter().map(|(left, width)| left + width).fold(0.0, f64::max);
    let bottom = layout.parts.iter().map(|(_, top, _, height)| top + height).fold(0.0, f64::max);
    layout.size = (right, bottom);
    layout
}

/// Edges that lead to a node on the way to them, found depth first.
fn back_edges(drawing: &Drawing) -> Vec<bool> {
    let count = drawing.nodes.len();
    let mut next: Vec<Vec<(usize, usize)>> = vec![Vec::new(); count];
    let mut entered = vec![false; count];
    for (at, (from, to)) in drawing.edges.iter().enumerate() {
        next[*from].push((at, *to));
        entered[*to] = true;
    }
    let mut back = vec![false; drawing.edges.len()];
    let (mut seen, mut open_now) = (vec![false; count], vec![false; count]);
    let starts = (0..count).filter(|node| !entered[*node]).chain(0..count);
    for start in starts {
        if seen[start] {
            continue;
        }
        seen[start] = true;
        open_now[start] = true;
        let mut open = vec![(start, 0)];
        while let Some((node, followed)) = open.last_mut() {
            let Some((edge, to)) = next[*node].get(*followed).copied() else {
                open_now[*node] = false;
                open.pop();
                continue;
            };
            *followed += 1;
            if open_now[to] {
                back[edge] = true;
            } else if !std::mem::replace(&mut seen[to], true) {
                open_now[to] = true;
                open.push((to, 0));
            }
        }
    }
    back
}

/// Of each node the longest way to it.
fn layers(drawing: &Drawing, back: &[bool]) -> Vec<usize> {
    let count = drawing.nodes.len();
    let forward: Vec<(usize, usize)> =
        drawing.edges.iter().zip(back).filter(|(_, back)| !**back).map(|(edge, _)| *edge).collect();
    let mut waits = vec![0; count];
    let mut next = vec![Vec::new(); count];
    for (from, to) in forward {
        waits[to] += 1;
        next[from].push(to);
    }
    let mut layers = vec![0; count];
    let mut open: Vec<usize> = (0..count).filter(|node| waits[*node] == 0).collect();
    while let Some(node) = open.pop() {
        for &to in &next[node] {
            layers[to] = layers[to].max(layers[node] + 1);
            waits[to] -= 1;
            if waits[to] == 0 {
                open.push(to);
            }
        }
    }
    layers
}

/// Puts a bend into each layer that an edge passes inside its part, and joins what is on it.
fn chain(places: &mut Vec<Place>, (from, to): (usize, usize), back: bool) -> Vec<usize> {
    if back {
        return Vec::new();
    }
    let (part, first, last) = (places[from].part, places[from].layer, places[to].layer);
    let mut bends = Vec::new();
    if part == places[to].part {
        for layer in first + 1..last {
            bends.push(places.len());
            places.push(Place { part, layer, width: BEND, above: Vec::new(), below: Vec::new() });
        }
    }
    let all: Vec<usize> = [from].into_iter().chain(bends.iter().copied()).chain([to]).collect();
    for pair in all.windows(2) {
        places[pair[0]].below.push(pair[1]);
        places[pair[1]].above.push(pair[0]);
    }
    bends
}

/// Of each part its column: what packets pass first stands on the left.
fn columns(drawing: &Drawing, layers: &[usize], parts: usize) -> Vec<usize> {
    let middle = |part: usize| {
        let held = drawing.nodes.iter().zip(layers).filter(|((of, _), _)| *of == part);
        let (count, sum) = held.fold((0, 0), |(count, sum), (_, layer)| (count + 1, sum + layer));
        sum as f64 / f64::from(count.max(1))
    };
    let mut order: Vec<usize> = (0..parts).collect();
    order.sort_by(|a, b| middle(*a).total_cmp(&middle(*b)));
    let mut columns = vec![0; parts];
    order.into_iter().enumerate().for_each(|(column, part)| columns[part] = column);
    columns
}

/// The places of each layer of each part, from left to right.
type Rows = BTreeMap<(usize, usize), Vec<usize>>;

fn order(places: &[Place], columns: &[usize]) -> Rows {
    let mut rows = Rows::new();
    for (at, place) in places.iter().enumerate() {
        rows.entry((place.layer, place.part)).or_default().push(at);
    }
    let mut rank = vec![0.0; places.len()];
    let put = |rank: &mut [f64], row: &[usize], part: usize| {
        for (at, place) in row.iter().enumerate() {
            // Parts stand side by side: what is in one to the left is further left.
            rank[*place] = columns[part] as f64 * 2.0 + (at as f64 + 0.5) / row.len() as f64;
        }
    };
    rows.iter().for_each(|((_, part), row)| put(&mut rank, row, *part));
    for sweep in 0..SWEEPS {
        let down = sweep % 2 == 0;
        let mut keys: Vec<(usize, usize)> = rows.keys().copied().collect();
        if !down {
            keys.reverse();
        }
        for key in keys {
            let Some(row) = rows.get_mut(&key) else { continue };
            let middle = |place: &usize| {
                let beside = if down { &places[*place].above } else { &places[*place].below };
                let sum: f64 = beside.iter().map(|other| rank[*other]).sum();
                if beside.is_empty() { rank[*place] } else { sum / beside.len() as f64 }
            };
            row.sort_by(|a, b| middle(a).total_cmp(&middle(b)));
            put(&mut rank, row, key.1);
        }
    }
    rows
}

struct Middles {
    of: Vec<f64>,
    /// Of each part left and width of its column.
    columns: Vec<(f64, f64)>,
}

/// Each row in the middle of its part's column.
fn middles(places: &[Place], rows: &Rows, columns: &[usize]) -> Middles {
    let wide = |row: &[usize]| {
        row.iter().map(|place| places[*place].width).sum::<f64>() + GAP * row.len().saturating_sub(1) as f64
    };
    let mut widths = vec![120.0_f64; columns.len()];
    for ((_, part), row) in rows {
        widths[*part] = widths[*part].max(wide(row) + 2.0 * PADDING);
    }
    let left = |part: usize| {
        let before = (0..widths.len()).filter(|other| columns[*other] < columns[part]);
        before.map(|other| widths[other] + COLUMNS).sum()
    };
    let columns: Vec<(f64, f64)> = (0..widths.len()).map(|part| (left(part), widths[part])).collect();
    let mut of = vec![0.0; places.len()];
    for ((_, part), row) in rows {
        let (left, width) = columns[*part];
        let mut at = left + (width - wide(row)) / 2.0;
        for place in row {
            of[*place] = at + places[*place].width / 2.0;
            at += places[*place].width + GAP;
        }
    }
    Middles { of, columns }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_lead_down_but_for_those_that_close_a_cycle() {
        let drawing = Drawing {
            nodes: vec![(0, 80.0), (0, 80.0), (1, 80.0), (0, 80.0)],
            edges: vec![(0, 1), (1, 2), (2, 1), (0, 3), (2, 3)],
        };
        let layout = lay_out(&drawing, 2);
        assert_eq!(layout.back, [false, false, true, false, false]);
        for ((from, to), back) in drawing.edges.iter().zip(&layout.back) {
            assert_eq!(layout.nodes[*from].1 >= layout.nodes[*to].1, *back);
        }
    }

    #[test]
    fn nothing_overlaps_and_each_part_holds_its_nodes() {
        let nodes: Vec<(usize, f64)> =
            (0..40).map(|node| (node % 3, 60.0 + (node % 7) as f64 * 10.0)).collect();
        let edges = (1..40).flat_map(|to| [(to / 2, to), (to / 3, to)]).filter(|(a, b)| a != b).collect();
        let layout = lay_out(&Drawing { nodes: nodes.clone(), edges }, 3);
        for (a, (x, y)) in layout.nodes.iter().enumerate() {
            let (left, top, width, height) = layout.parts[nodes[a].0];
            assert!(*x >= left && x + nodes[a].1 <= left + width && *y >= top && y + HEIGHT <= top + height);
            for (b, (other_x, other_y)) in layout.nodes.iter().enumerate().skip(a + 1) {
                let apart = y != other_y || x + nodes[a].1 <= *other_x || other_x + nodes[b].1 <= *x;
                assert!(apart, "{a} and {b}");
            }
        }
    }

    #[test]
    fn a_drawing_of_nothing_has_a_size() {
        assert_eq!(lay_out(&Drawing::default(), 0).size, (0.0, 0.0));
    }
}
