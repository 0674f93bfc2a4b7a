use std::collections::HashMap;

use anf_click::{FlatGraph, Libraries, Library, flatten, limits, parse_with};

/// Texts by name; a text asks for another as `name`, and finds it as `lib/name`.
struct Texts(HashMap<&'static str, String>);

impl Libraries for Texts {
    fn find(&self, name: &str, from: &str) -> Result<Library, (String, Option<String>)> {
        let text = self.0.get(name).ok_or_else(|| (format!("‘{name}’ not found for {from}"), None))?;
        Ok(Library { file: format!("lib/{name}"), text: text.clone() })
    }
}

fn flat(text: &str, libraries: &[(&'static str, &str)]) -> Result<FlatGraph, String> {
    let libraries = Texts(libraries.iter().map(|(name, text)| (*name, (*text).to_owned())).collect());
    let ast = parse_with("main.click", text, &libraries);
    ast.and_then(|ast| flatten(&ast, &[])).map_err(|found| found.to_string())
}

#[test]
fn a_library_is_read_where_it_is_named() {
    let wrap = "elementclass Wrap { input -> Paint($colour) -> output } define($colour 3)";
    let graph = flat("require(library wrap) s :: Source -> Wrap -> Discard", &[("wrap", wrap)]).unwrap();
    let told: Vec<String> =
        graph.elements.iter().map(|e| format!("{}({})", e.declaration(), e.config)).collect();
    assert_eq!(told, ["s :: Source()", "Discard@3 :: Discard()", "Wrap@2/Paint@1 :: Paint(3)"]);
    assert_eq!((&*graph.elements[2].file, graph.elements[2].pos.column), ("lib/wrap", 30));
    // Not before it is named.
    let late = flat("s :: Source -> Wrap -> Discard; require(library wrap)", &[("wrap", wrap)]).unwrap();
    assert_eq!(late.elements[1].class, "Wrap");
}

#[test]
fn a_library_is_taken_in_once_and_may_name_others() {
    let libraries = [("a", "require(library b, p) a :: A;"), ("b", "require(library a) b :: B;")];
    let graph = flat("require(library a, library \"b\"); require(library b)", &libraries).unwrap();
    let names: Vec<&str> = graph.elements.iter().map(|element| element.name.as_str()).collect();
    assert_eq!(names, ["b", "a"]);
    assert_eq!(graph.requirements, ["p"]);
}

#[test]
fn what_is_wrong_with_a_library_is_told_with_its_place() {
    let told = |text: &str, library: &str| flat(text, &[("l", library)]).unwrap_err();
    assert_eq!(told("require(library x)", ""), "main.click:1:9: error: ‘x’ not found for main.click");
    let both = told("require(library l) a :: A ]", "a :: A;\na [x] -> b :: B");
    assert_eq!(
        both,
        "lib/l:2:4: error: syntax error: port number should be integer\nmain.click:1:27: error: syntax error near ‘]’"
    );
    assert!(told("require(library l)", "}").starts_with("lib/l:1:1: error: syntax error near ‘}’"));
    let inside = "elementclass C { require(library l) }";
    assert_eq!(told(inside, ""), "main.click:1:26: error: ‘require library’ must be used at file scope");
}

#[test]
fn libraries_without_end_are_refused() {
    struct Endless;
    impl Libraries for Endless {
        fn find(&self, name: &str, _from: &str) -> Result<Library, (String, Option<String>)> {
            let next = name.len() + 1;
            Ok(Library { file: name.to_owned(), text: format!("require(library {})", "x".repeat(next)) })
        }
    }
    let told = parse_with("m", "require(library x)", &Endless).unwrap_err().to_string();
    assert!(told.contains(&format!("more than {} libraries", limits::LIBRARIES)), "{told}");
    struct Large;
    impl Libraries for Large {
        fn find(&self, name: &str, _from: &str) -> Result<Library, (String, Option<String>)> {
            Ok(Library { file: name.to_owned(), text: " ".repeat(limits::TEXT_BYTES / 2) })
        }
    }
    let told = parse_with("m", "require(library a, library b)", &Large).unwrap_err().to_string();
    assert!(told.contains("bytes of text"), "{told}");
}
