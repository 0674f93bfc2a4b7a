//! A cut as a picture: a box for each part, elements from top to bottom, push edges solid, pull edges dashed, cut edges
//! thick and numbered. Colours follow the reader's choice of light or dark.

use std::fmt::Write as _;

use super::layout::{Drawing, HEIGHT, Layout, PADDING, TITLE, lay_out};
use super::{is_link, line};
use crate::cut::{Cut, CutEdge};
use crate::graph::Element;
use crate::settle::Mode;

/// Around everything.
const MARGIN: f64 = 16.0;
/// A letter of the names, and of the classes below them.
const LETTER: f64 = 7.3;
const SMALL_LETTER: f64 = 6.1;
const NARROWEST: f64 = 56.0;

const STYLE: &str = "\
  svg { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace; background: #ffffff; }
  .part { fill: #f4f6f8; stroke: #8a97a6; }
  .element { fill: #ffffff; stroke: #51606f; }
  text { fill: #1c2733; }
  .name { font-size: 12px; font-weight: 600; text-anchor: middle; }
  .class, .number { font-size: 10px; text-anchor: middle; }
  .title { font-size: 13px; font-weight: 700; }
  .edge { fill: none; stroke: #51606f; stroke-width: 1.2; }
  .cut { stroke: #b3261e; stroke-width: 2.6; }
  .pull { stroke-dasharray: 6 4; }
  .head { fill: #51606f; }
  .cuthead, .number { fill: #b3261e; }
  .number { paint-order: stroke; stroke: #ffffff; stroke-width: 4px; }
  @media (prefers-color-scheme: dark) {
    svg { background: #14191f; }
    .part { fill: #1d252e; stroke: #66758a; }
    .element { fill: #28333f; stroke: #9fb0c3; }
    text { fill: #e6edf3; }
    .edge { stroke: #9fb0c3; }
    .cut { stroke: #ff8a80; }
    .head { fill: #9fb0c3; }
    .cuthead, .number { fill: #ff8a80; }
    .number { stroke: #14191f; }
  }
";

/// An edge to draw.
struct Line {
    from: usize,
    to: usize,
    ports: (u32, u32),
    /// Number and mode of a cut edge.
    cut: Option<u16>,
    pull: bool,
}

/// An element to draw.
struct Shape<'a> {
    part: usize,
    element: &'a Element,
    width: f64,
    /// Ports that are connected, as counts.
    inputs: u32,
    outputs: u32,
}

/// SVG: for pages and slides.
pub fn svg(cut: &Cut) -> String {
    let mut shapes = shapes(cut);
    let lines = lines(cut, &shapes);
    for line in &lines {
        shapes[line.from].outputs = shapes[line.from].outputs.max(line.ports.0 + 1);
        shapes[line.to].inputs = shapes[line.to].inputs.max(line.ports.1 + 1);
    }
    let drawing = Drawing {
        nodes: shapes.iter().map(|shape| (shape.part, shape.width)).collect(),
        edges: lines.iter().map(|line| (line.from, line.to)).collect(),
    };
    let layout = lay_out(&drawing, cut.parts.len());
    let (width, height) = (layout.size.0 + 2.0 * MARGIN, layout.size.1 + 2.0 * MARGIN);
    let mut out = String::new();
    line(
        &mut out,
        format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"{} {} {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\">",
            -MARGIN, -MARGIN
        ),
    );
    line(&mut out, format_args!("<style>\n{STYLE}</style>"));
    out.push_str(HEADS);
    for (part, (x, y, width, height)) in cut.parts.iter().zip(&layout.parts) {
        line(
            &mut out,
            format_args!(
                "<rect class=\"part\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"8\"/>"
            ),
        );
        let (x, y) = (x + PADDING, y + TITLE);
        line(
            &mut out,
            format_args!("<text class=\"title\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escaped(&part.name)),
        );
    }
    for (at, edge) in lines.iter().enumerate() {
        draw_line(&mut out, edge, at, &shapes, &layout);
    }
    for (shape, place) in shapes.iter().zip(&layout.nodes) {
        draw_shape(&mut out, shape, *place);
    }
    for (at, edge) in lines.iter().enumerate() {
        if let Some(number) = edge.cut {
            let (x, y) = label_place(edge, at, &shapes, &layout);
            line(&mut out, format_args!("<text class=\"number\" x=\"{x:.1}\" y=\"{y:.1}\">{number}</text>"));
        }
    }
    out.push_str("</svg>\n");
    out
}

const HEADS: &str = "\
<defs>
<marker id=\"head\" class=\"head\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\"/></marker>
<marker id=\"cuthead\" class=\"cuthead\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"10\" markerHeight=\"10\" markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\"/></marker>
</defs>
";

fn shapes(cut: &Cut) -> Vec<Shape<'_>> {
    let elements = cut.parts.iter().enumerate().flat_map(|(part, held)| {
        held.graph.elements.iter().filter(|element| !is_link(element)).map(move |element| (part, element))
    });
    elements
        .map(|(part, element)| {
            let letters = |text: &str| text.chars().count() as f64;
            let text = (letters(&element.name) * LETTER).max(letters(&element.class) * SMALL_LETTER);
            Shape { part, element, width: (text + 16.0).max(NARROWEST), inputs: 0, outputs: 0 }
        })
        .collect()
}

fn lines(cut: &Cut, shapes: &[Shape<'_>]) -> Vec<Line> {
    let find = |part: usize, name: &str| {
        shapes.iter().position(|shape| shape.part == part && shape.element.name == name)
    };
    let part_named = |name: &str| cut.parts.iter().position(|part| part.name == name);
    let mut lines = Vec::new();
    for (part, held) in cut.parts.iter().enumerate() {
        for (connection, from, to) in super::inner(held) {
            let (Some(from), Some(to)) = (find(part, &from.name), find(part, &to.name)) else { continue };
            let pull = held.pulled.contains(&connection.from);
            let ports = (connection.from.port, connection.to.port);
            lines.push(Line { from, to, ports, cut: None, pull });
        }
    }
    for edge in &cut.edges {
        let (from, to) = (end(&edge.from), end(&edge.to));
        let from_node = part_named(&edge.from_part).and_then(|part| find(part, from.0));
        let to_node = part_named(&edge.to_part).and_then(|part| find(part, to.0));
        if let (Some(from_node), Some(to_node)) = (from_node, to_node) {
            lines.push(line_of(edge, (from_node, from.1), (to_node, to.1)));
        }
    }
    lines
}

fn line_of(edge: &CutEdge, from: (usize, u32), to: (usize, u32)) -> Line {
    Line { from: from.0, to: to.0, ports: (from.1, to.1), cut: Some(edge.id), pull: edge.mode == Mode::Pull }
}

/// Name and port of `name[port]` or `[port]name`.
fn end(text: &str) -> (&str, u32) {
    let number = |text: &str| text.parse().unwrap_or(0);
    if let Some((port, name)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (name, number(port));
    }
    match text.strip_suffix(']').and_then(|rest| rest.rsplit_once('[')) {
        Some((name, port)) => (name, number(port)),
        None => (text, 0),
    }
}

/// Where an edge leaves its first and meets its last element.
fn ends(edge: &Line, shapes: &[Shape<'_>], layout: &Layout) -> ((f64, f64), (f64, f64)) {
    let (from, to) = (&shapes[edge.from], &shapes[edge.to]);
    let along = |width: f64, port: u32, ports: u32| width * f64::from(port + 1) / f64::from(ports + 1);
    let ((from_x, from_y), (to_x, to_y)) = (layout.nodes[edge.from], layout.nodes[edge.to]);
    (
        (from_x + along(from.width, edge.ports.0, from.outputs), from_y + HEIGHT),
        (to_x + along(to.width, edge.ports.1, to.inputs), to_y),
    )
}

fn label_place(edge: &Line, at: usize, shapes: &[Shape<'_>], layout: &Layout) -> (f64, f64) {
    let ((x, y), (to_x, to_y)) = ends(edge, shapes, layout);
    if layout.back[at] {
        (x.max(to_x) + 30.0, (y + to_y) / 2.0)
    } else {
        ((x + to_x) / 2.0, (y + to_y) / 2.0 + 3.0)
    }
}

fn draw_line(out: &mut String, edge: &Line, at: usize, shapes: &[Shape<'_>], layout: &Layout) {
    let ((mut x, mut y), (to_x, to_y)) = ends(edge, shapes, layout);
    let mut path = format!("M{x:.1} {y:.1}");
    if layout.back[at] {
        // Around, on the right of both.
        let right = x.max(to_x) + shapes[edge.from].width.max(shapes[edge.to].width) / 2.0 + 30.0;
        let _ = write!(
            path,
            "C{x:.1} {:.1} {right:.1} {:.1} {right:.1} {:.1}S{to_x:.1} {:.1} {to_x:.1} {to_y:.1}",
            y + 40.0,
            y + 20.0,
            (y + to_y) / 2.0,
            to_y - 40.0
        );
    } else {
        for (next_x, next_y) in layout.bends[at].iter().copied().chain([(to_x, to_y)]) {
            let middle = (y + next_y) / 2.0;
            let _ = write!(path, "C{x:.1} {middle:.1} {next_x:.1} {middle:.1} {next_x:.1} {next_y:.1}");
            (x, y) = (next_x, next_y);
        }
    }
    let pull = if edge.pull { " pull" } else { "" };
    let (class, head) = if edge.cut.is_some() { (" cut", "cuthead") } else { ("", "head") };
    line(out, format_args!("<path class=\"edge{class}{pull}\" marker-end=\"url(#{head})\" d=\"{path}\"/>"));
}

fn draw_shape(out: &mut String, shape: &Shape<'_>, (x, y): (f64, f64)) {
    let (element, width) = (shape.element, shape.width);
    let middle = x + width / 2.0;
    line(
        out,
        format_args!("<g><title>{}({})</title>", escaped(&element.declaration()), escaped(&element.config)),
    );
    line(
        out,
        format_args!(
            "<rect class=\"element\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{HEIGHT}\" rx=\"4\"/>"
        ),
    );
    line(
        out,
        format_args!(
            "<text class=\"name\" x=\"{middle:.1}\" y=\"{:.1}\">{}</text>",
            y + 15.0,
            escaped(&element.name)
        ),
    );
    line(
        out,
        format_args!(
            "<text class=\"class\" x=\"{middle:.1}\" y=\"{:.1}\">{}</text></g>",
            y + 28.0,
            escaped(&element.class)
        ),
    );
}

/// Text as XML wants it; what XML cannot hold becomes a replacement character.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(letter),
            letter if letter.is_control() => out.push(char::REPLACEMENT_CHARACTER),
            letter => out.push(letter),
        }
    }
    out
}
