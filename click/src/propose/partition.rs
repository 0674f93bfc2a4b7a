//! Parts a weighted graph so that the slowest part is fast.
//!
//! First the nodes are brought into an order along the edges and cut into runs, by dynamic programming over all places
//! to cut; then nodes move to other parts as long as that helps, alone or with what is before or behind them. Of two
//! orders the better one counts. The result depends on the problem alone.

/// Nodes to be parted.
pub(super) struct Problem {
    /// Cost of each node.
    pub(super) weights: Vec<f64>,
    /// What is between them.
    pub(super) edges: Vec<Edge>,
}

/// An edge between two different nodes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edge {
    pub(super) from: usize,
    pub(super) to: usize,
    /// Cost for either end's part if it crosses.
    pub(super) price: f64,
}

/// Most parts: the work grows with them, and nobody wants more pods for one function.
pub(super) const MOST: usize = 64;
/// Places to cut that are looked at: the work grows with their square.
const PLACES: usize = 600;
/// Looks at edges in all moves together.
const PATIENCE: usize = 4_000_000;
/// What all crossings together count beside the slowest part.
const OF_CROSSINGS: f64 = 0.1;
/// What an edge that crosses counts however little it carries.
const OF_EDGE: f64 = 0.5;
/// What two parts that packets go to and fro between count, as a share of all weight: their links may drop.
const OF_CYCLE: f64 = 0.25;

/// Of each node its part, below `count`, which is at most [`MOST`] and the number of nodes. No part is empty; parts are numbered
/// along the edges.
pub(super) fn partition(problem: &Problem, count: usize) -> Vec<usize> {
    let found = [false, true].map(|mirrored| {
        let order = order(problem, mirrored);
        let mut parts = runs(problem, &order, count);
        improve(problem, &mut parts, count);
        (cost(problem, &parts, count), renumber(&order, &parts, count))
    });
    let [(cost, parts), (other_cost, other_parts)] = found;
    if other_cost < cost { other_parts } else { parts }
}

/// Nodes so that most edges lead forward: depth first, what is reached last comes first. `mirrored`: of several edges
/// of a node the last one is followed first.
fn order(problem: &Problem, mirrored: bool) -> Vec<usize> {
    let count = problem.weights.len();
    let mut next = vec![Vec::new(); count];
    let mut entered = vec![false; count];
    for edge in &problem.edges {
        next[edge.from].push(edge.to);
        entered[edge.to] = true;
    }
    if mirrored {
        next.iter_mut().for_each(|targets: &mut Vec<usize>| targets.reverse());
    }
    let mut order = Vec::with_capacity(count);
    let mut seen = vec![false; count];
    let sources = (0..count).rev().filter(|node| !entered[*node]);
    for start in sources.chain((0..count).rev()) {
        if std::mem::replace(&mut seen[start], true) {
            continue;
        }
        // A node with the number of its edges that were followed.
        let mut open = vec![(start, 0)];
        while let Some((node, followed)) = open.last_mut() {
            let Some(to) = next[*node].get(*followed) else {
                order.push(*node);
                open.pop();
                continue;
            };
            *followed += 1;
            if !std::mem::replace(&mut seen[*to], true) {
                open.push((*to, 0));
            }
        }
    }
    order.reverse();
    order
}

/// Cuts the order into runs with the lowest highest cost.
fn runs(problem: &Problem, order: &[usize], count: usize) -> Vec<usize> {
    let nodes = order.len();
    let step = (nodes / PLACES).max(1);
    let blocks = nodes.div_ceil(step);
    let mut block_of = vec![0; nodes];
    order.iter().enumerate().for_each(|(at, node)| block_of[*node] = at / step);
    let costs = run_costs(problem, &block_of, blocks);
    // best[parts][end]: the cost of the first `end` blocks in so many runs, and where the last one begins.
    let mut best = vec![vec![(f64::INFINITY, 0); blocks + 1]; count + 1];
    best[0][0] = (0.0, 0);
    for parts in 1..=count {
        for end in parts..=blocks {
            for begin in parts - 1..end {
                let (slowest, total) = costs[begin][end - begin - 1];
                let (before, _) = best[parts - 1][begin];
                // Crossings count twice, once at each end.
                let cost = before.max(slowest) + OF_CROSSINGS * total / 2.0;
                if cost < best[parts][end].0 {
                    best[parts][end] = (cost, begin);
                }
            }
        }
    }
    let mut parts = vec![0; nodes];
    let mut end = blocks;
    for part in (0..count).rev() {
        let (_, begin) = best[part + 1][end];
        (0..nodes).filter(|node| (begin..end).contains(&block_of[*node])).for_each(|node| parts[node] = part);
        end = begin;
    }
    parts
}

/// Of each run (by its first block and its length less one): its cost with its crossings, and its crossings.
fn run_costs(problem: &Problem, block_of: &[usize], blocks: usize) -> Vec<Vec<(f64, f64)>> {
    let mut weights = vec![0.0; blocks];
    block_of.iter().zip(&problem.weights).for_each(|(block, weight)| weights[*block] += weight);
    let mut beside: Vec<Vec<(usize, f64)>> = vec![Vec::new(); blocks];
    for edge in &problem.edges {
        let (a, b) = (block_of[edge.from], block_of[edge.to]);
        if a != b {
            beside[a].push((b, edge.price));
            beside[b].push((a, edge.price));
        }
    }
    let from = |begin: usize| {
        let (mut work, mut crossings) = (0.0, 0.0);
        let run = begin..blocks;
        run.map(|block| {
            work += weights[block];
            for (other, price) in &beside[block] {
                crossings += if (begin..block).contains(other) { -price } else { *price };
            }
            (work + crossings, crossings)
        })
        .collect()
    };
    (0..blocks).map(from).collect()
}

/// What a partition costs: see the constants.
fn cost(problem: &Problem, parts: &[usize], count: usize) -> f64 {
    let mut load = vec![0.0; count];
    parts.iter().zip(&problem.weights).for_each(|(part, weight)| load[*part] += weight);
    let (mut crossings, mut edges) = (0.0, 0.0);
    let mut leads = vec![false; count * count];
    for edge in &problem.edges {
        let (a, b) = (parts[edge.from], parts[edge.to]);
        if a != b {
            load[a] += edge.price;
            load[b] += edge.price;
            crossings += edge.price;
            edges += OF_EDGE;
            leads[a * count + b] = true;
        }
    }
    let all: f64 = problem.weights.iter().sum();
    let cycles = cycles(&mut leads, count) as f64 * OF_CYCLE * all;
    load.into_iter().fold(0.0, f64::max) + OF_CROSSINGS * crossings + edges + cycles
}

/// Pairs of parts that lead to each other, directly or over others.
fn cycles(leads: &mut [bool], count: usize) -> usize {
    for over in 0..count {
        for from in (0..count).filter(|from| *from != over) {
            if leads[from * count + over] {
                (0..count).for_each(|to| leads[from * count + to] |= leads[over * count + to]);
            }
        }
    }
    let pair = |a: usize, b: usize| leads[a * count + b] && leads[b * count + a];
    (0..count).map(|a| (a + 1..count).filter(|b| pair(a, *b)).count()).sum()
}

/// Moves nodes to parts of their neighbours as long as it gets better: each alone, with all behind it in its part, and
/// with all before it.
fn improve(problem: &Problem, parts: &mut [usize], count: usize) {
    let mut behind = vec![Vec::new(); parts.len()];
    let mut before = vec![Vec::new(); parts.len()];
    for edge in &problem.edges {
        behind[edge.from].push(edge.to);
        before[edge.to].push(edge.from);
    }
    let looks = problem.edges.len() + parts.len() + count * count;
    let mut patience = PATIENCE / looks;
    let mut best = cost(problem, parts, count);
    let mut better = true;
    while std::mem::take(&mut better) {
        for node in 0..parts.len() {
            let crews = [vec![node], crew(&behind, parts, node), crew(&before, parts, node)];
            for crew in crews {
                let from = parts[node];
                let mut targets: Vec<usize> = crew
                    .iter()
                    .flat_map(|node| behind[*node].iter().chain(&before[*node]))
                    .map(|n| parts[*n])
                    .collect();
                targets.sort_unstable();
                targets.dedup();
                let is_all = parts.iter().filter(|part| **part == from).count() == crew.len();
                for to in targets.into_iter().filter(|to| *to != from && !is_all) {
                    let Some(left) = patience.checked_sub(1) else { return };
                    patience = left;
                    crew.iter().for_each(|node| parts[*node] = to);
                    let found = cost(problem, parts, count);
                    if found < best - 1e-9 {
                        best = found;
                        better = true;
                        break;
                    }
                    crew.iter().for_each(|node| parts[*node] = from);
                }
                if parts[node] != from {
                    break;
                }
            }
        }
    }
}

/// A node and all that is reached from it inside its part.
fn crew(next: &[Vec<usize>], parts: &[usize], node: usize) -> Vec<usize> {
    let (mut crew, mut at) = (vec![node], 0);
    let mut seen = vec![false; parts.len()];
    seen[node] = true;
    while let Some(member) = crew.get(at).copied() {
        at += 1;
        for other in &next[member] {
            if parts[*other] == parts[node] && !std::mem::replace(&mut seen[*other], true) {
                crew.push(*other);
            }
        }
    }
    crew
}

/// Numbers parts by their first node in the order.
fn renumber(order: &[usize], parts: &[usize], count: usize) -> Vec<usize> {
    let mut number = vec![usize::MAX; count];
    let mut next = 0;
    for node in order {
        let number = &mut number[parts[*node]];
        if *number == usize::MAX {
            *number = next;
            next += 1;
        }
    }
    parts.iter().map(|part| number[*part]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(weights: &[f64], price: f64) -> Problem {
        let edges = (1..weights.len()).map(|to| Edge { from: to - 1, to, price });
        Problem { weights: weights.to_vec(), edges: edges.collect() }
    }

    #[test]
    fn a_chain_is_cut_into_runs_of_equal_cost() {
        let weights = [10.0, 20.0, 30.0, 30.0, 20.0, 10.0];
        assert_eq!(partition(&chain(&weights, 1.0), 2), [0, 0, 0, 1, 1, 1]);
        assert_eq!(partition(&chain(&weights, 1.0), 3), [0, 0, 1, 2, 2, 2]);
    }

    #[test]
    fn a_cheap_edge_is_worth_some_imbalance() {
        let mut problem = chain(&[10.0, 10.0, 10.0, 10.0], 30.0);
        problem.edges[2].price = 1.0;
        assert_eq!(partition(&problem, 2), [0, 0, 0, 1]);
    }

    #[test]
    fn what_packets_go_to_and_fro_between_stays_together() {
        let mut problem = chain(&[10.0, 10.0, 10.0, 10.0], 1.0);
        problem.edges.push(Edge { from: 2, to: 1, price: 0.1 });
        assert_eq!(partition(&problem, 2), [0, 1, 1, 1]);
    }

    #[test]
    fn every_part_has_nodes_even_if_nodes_cost_nothing_or_nothing_is_connected() {
        for count in 1..=5 {
            let problem = Problem { weights: vec![0.0; 5], edges: Vec::new() };
            let parts = partition(&problem, count);
            assert!((0..count).all(|part| parts.contains(&part)), "{count}: {parts:?}");
        }
        let many = chain(&[1.0; 200], 0.1);
        let parts = partition(&many, MOST);
        assert!((0..MOST).all(|part| parts.contains(&part)));
    }
}
