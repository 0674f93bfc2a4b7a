//! Drawings of a cut.

use anf_click::draw;

use crate::support::cut_up;

const TEXT: &str = "s :: Source -> Paint(1) -> t :: PaintTee -> d :: Discard; t[1] -> e :: Discard";

#[test]
fn text_shows_parts_elements_and_where_outputs_lead() {
    let cut = cut_up(TEXT, &[("far", &["t", "e"])]).unwrap();
    assert_eq!(
        draw::text(&cut),
        "far (2 elements)
  t :: PaintTee
    [1] -> [0]e
    [0] => main: [0]d  (edge 1, push, carries none, in a cycle)
  e :: Discard
main (3 elements)
  s :: Source
    [0] -> [0]Paint@2
  Paint@2 :: Paint
    [0] => far: [0]t  (edge 0, push, carries paint, in a cycle)
  d :: Discard
"
    );
}

#[test]
fn dot_and_mermaid_have_a_box_for_each_part_and_an_arrow_for_each_edge() {
    let cut = cut_up(TEXT, &[("far", &["t", "e"])]).unwrap();
    let dot = draw::dot(&cut);
    assert_eq!(dot.matches("subgraph cluster_").count(), 2);
    assert_eq!(dot.matches("style=bold").count(), 2);
    assert_eq!(dot.matches(" -> ").count(), 4);
    assert!(!dot.contains("anf_"), "{dot}");
    let mermaid = draw::mermaid(&cut);
    assert_eq!(mermaid.matches("subgraph part").count(), 2);
    assert_eq!((mermaid.matches("==>").count(), mermaid.matches("-->").count()), (2, 2));
    assert!(mermaid.contains("[\"s<br/>Source\"]"), "{mermaid}");
}

#[test]
fn svg_has_a_box_for_each_part_and_element_and_a_numbered_line_for_each_cut_edge() {
    let text = "s :: Source -> Paint(\"<&>\") -> q :: Queue -> u :: Unqueue -> t :: PaintTee -> d :: Discard; t[1] -> e :: Discard";
    let cut = cut_up(text, &[("far", &["u", "t", "e"])]).unwrap();
    let svg = draw::svg(&cut);
    assert!(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\"") && svg.ends_with("</svg>\n"));
    assert_eq!(svg.matches("class=\"part\"").count(), 2);
    assert_eq!(svg.matches("class=\"element\"").count(), 7);
    assert_eq!(svg.matches("<path class=\"edge cut").count(), cut.edges.len());
    assert_eq!(svg.matches("class=\"number\"").count(), cut.edges.len());
    assert_eq!(svg.matches("<path class=\"edge cut pull").count(), 1);
    assert_eq!(svg.matches("<path class=\"edge\"").count(), 4);
    assert!(svg.contains("Paint(&quot;&lt;&amp;&gt;&quot;)"), "{svg}");
    assert!(!svg.contains("anf_"), "{svg}");
}

#[test]
fn svg_of_a_graph_with_loops_and_of_an_empty_one_is_a_picture() {
    for text in ["Source -> a :: Null; a -> b :: Tee; b[1] -> a; b[0] -> Discard; b[2] -> b", ""] {
        let svg = draw::svg(&cut_up(text, &[]).unwrap());
        assert!(svg.ends_with("</svg>\n") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
