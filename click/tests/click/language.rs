//! The language, feature by feature: what a text means, and what a wrong one is told.

use crate::support::{errors, flat, lines};
use anf_click::{Diagnostics, flatten, parse};

#[track_caller]
fn means(text: &str, expected: &[&str]) {
    let graph = flat(text).unwrap_or_else(|e| panic!("{text}\n{e}"));
    assert_eq!(lines(&graph), expected, "{text}");
}

#[track_caller]
fn is_told(text: &str, expected: &[&str]) {
    assert_eq!(errors(flat(text)), expected, "{text}");
}

#[test]
fn declarations_and_connections_are_read() {
    means("a :: A; b :: B(1, 2); a -> b;", &["a :: A", "b :: B(1, 2)", "a[0] -> [0]b"]);
    means("a :: A -> b :: B", &["a :: A", "b :: B", "a[0] -> [0]b"]);
    means("a, b :: A(x); a -> b", &["a :: A(x)", "b :: A(x)", "a[0] -> [0]b"]);
    means("a :: A; b :: B; a [1] -> [2] b", &["a :: A", "b :: B", "a[1] -> [2]b"]);
    means("a :: A\nb :: B\na->b\nb->a", &["a :: A", "b :: B", "a[0] -> [0]b", "b[0] -> [0]a"]);
}

#[test]
fn anonymous_elements_are_numbered_as_click_does() {
    means("A -> B -> A", &["A@1 :: A", "B@2 :: B", "A@3 :: A", "A@1[0] -> [0]B@2", "B@2[0] -> [0]A@3"]);
    means("x :: X; A -> x", &["x :: X", "A@2 :: A", "A@2[0] -> [0]x"]);
    means("A@2 :: Z; A(1) -> A@2", &["A@2 :: Z", "A@3 :: A(1)", "A@3[0] -> [0]A@2"]);
    means(
        "elementclass C { input -> B -> output } s :: S -> C -> C -> s",
        &[
            "s :: S",
            "C@2/B@1 :: B",
            "C@3/B@1 :: B",
            "s[0] -> [0]C@2/B@1",
            "C@2/B@1[0] -> [0]C@3/B@1",
            "C@3/B@1[0] -> [0]s",
        ],
    );
}

#[test]
fn port_lists_join_one_to_many_and_many_to_many() {
    means("a :: A; b :: B; a[0,2] -> b", &["a :: A", "b :: B", "a[0] -> [0]b", "a[2] -> [0]b"]);
    means(
        "a :: A; b :: B; a[0-2] => [0,3,1]b",
        &["a :: A", "b :: B", "a[0] -> [0]b", "a[1] -> [3]b", "a[2] -> [1]b"],
    );
    means("a :: A; b, c :: B; a => b, c", &["a :: A", "b :: B", "c :: B", "a[0] -> [0]b", "a[1] -> [0]c"]);
    means("a, b :: A; c :: C; a, b -> c", &["a :: A", "b :: A", "c :: C", "a[0] -> [0]c", "b[0] -> [0]c"]);
    means(
        "a :: A; b, c :: B; a[1,] => b, c",
        &["a :: A", "b :: B", "c :: B", "a[1] -> [0]b", "a[2] -> [0]c"],
    );
    is_told(
        "a :: A; b :: B; a[0,1] -> [0,1]b",
        &["1:27: syntax error: many-to-many connections require ‘=>’"],
    );
    is_told(
        "a :: A; b :: B; a[0-2] => [0,1]b",
        &["1:27: connection mismatch: 3 outputs connected to 2 inputs"],
    );
    is_told("a :: A; b :: B; a[] => []b", &["1:24: at most one expandable port allowed per connection"]);
}

#[test]
fn groups_and_implicit_ports_connect_through() {
    means(
        "a :: A; b :: B; a -> (-> x :: X ->) -> b",
        &["a :: A", "b :: B", "x :: X", "x[0] -> [0]b", "a[0] -> [0]x"],
    );
    means(
        "elementclass C { -> X -> } a :: A -> C -> b :: B",
        &["a :: A", "b :: B", "C@2/X@1 :: X", "a[0] -> [0]C@2/X@1", "C@2/X@1[0] -> [0]b"],
    );
    means(
        "a :: A; b :: B; a => ([0] -> x :: X -> [0]; [1] -> y :: Y -> [1];) => b",
        &[
            "a :: A",
            "b :: B",
            "x :: X",
            "y :: Y",
            "x[0] -> [0]b",
            "y[0] -> [1]b",
            "a[0] -> [0]x",
            "a[1] -> [0]y",
        ],
    );
    is_told("-> a :: A", &["1:1: syntax error near ‘->’"]);
}

#[test]
fn compounds_have_parameters_variables_and_pass_connections_through() {
    means(
        "elementclass P { $ip, $c | input -> Paint($c) -> [1]output; input[1] -> X(\"$ip\", ${ip}) -> output; }\n\
         s :: S; d :: D; p :: P(1.2.3.4, 7); s -> p -> d; s[1] -> [1]p; p[1] -> [1]d",
        &[
            "s :: S",
            "d :: D",
            "p/Paint@1 :: Paint(7)",
            "p/X@2 :: X(\"1.2.3.4\", 1.2.3.4)",
            "s[0] -> [0]p/Paint@1",
            "s[1] -> [0]p/X@2",
            "p/Paint@1[0] -> [1]d",
            "p/X@2[0] -> [0]d",
        ],
    );
    means("s :: S -> { input -> output } -> d :: D", &["s :: S", "d :: D", "s[0] -> [0]d"]);
    means(
        "x :: { input -> A(1) -> output }; s :: S -> x -> s",
        &["s :: S", "x/A@1 :: A(1)", "s[0] -> [0]x/A@1", "x/A@1[0] -> [0]s"],
    );
    means(
        "elementclass K { $a, KEY $k, __REST__ $r | input -> X($a, $k, $r) -> output } \
         s :: S -> K(1, foo, KEY 2, bar) -> s",
        &["s :: S", "K@2/X@1 :: X(1, 2, foo, bar)", "s[0] -> [0]K@2/X@1", "K@2/X@1[0] -> [0]s"],
    );
}

#[test]
fn nested_compounds_see_the_variables_around_them() {
    means(
        "define($g 9) elementclass O { $o | elementclass I { $i | input -> X($i, $o, $g, $none) -> output } \
         input -> I(in) -> output } s :: S -> O(out) -> s",
        &[
            "s :: S",
            "O@2/I@1/X@1 :: X(in, out, 9, $none)",
            "s[0] -> [0]O@2/I@1/X@1",
            "O@2/I@1/X@1[0] -> [0]s",
        ],
    );
}

#[test]
fn defines_give_way_to_parameters_and_may_use_each_other_in_any_order() {
    let text = "define($a <$b>, $b 2) X($a, ${b}, ${c-3}) -> Y('$a', \"$b\", $(h))";
    let ast = parse("t", text).unwrap();
    let graph = flatten(&ast, &[]).unwrap();
    assert_eq!(graph.elements[0].config, "<2>, 2, 3");
    assert_eq!(graph.elements[1].config, "'$a', \"2\", $(h)");
    let graph = flatten(&ast, &[("b".into(), "7".into()), ("c".into(), "8".into())]).unwrap();
    assert_eq!(graph.elements[0].config, "<7>, 7, 8");
    assert!(flatten(&ast, &[("b".into(), "1) ; evil :: X(".into())]).is_err());
    assert!(flatten(&ast, &[("b c".into(), "1".into())]).is_err());
    means("define($a $b, $b $a) X($a)", &["X@1 :: X($b)"]);
}

#[test]
fn overloads_are_chosen_by_arguments_and_ports() {
    let class = "elementclass C { $a | input -> One($a) -> output || $a, $b | input -> Two($a, $b) -> output \
                 || input -> In -> output; input -> [1]output } ";
    means(
        &format!("{class} s :: S -> C(1) -> C(1, 2) -> s"),
        &[
            "s :: S",
            "C@2/One@1 :: One(1)",
            "C@3/Two@1 :: Two(1, 2)",
            "s[0] -> [0]C@2/One@1",
            "C@2/One@1[0] -> [0]C@3/Two@1",
            "C@3/Two@1[0] -> [0]s",
        ],
    );
    is_told(
        &format!("{class}\ns :: S -> C(1,2,3) -> s"),
        &["2:11: no match for ‘C[3 arguments, 1 input, 1 output]’"],
    );
    means(
        "elementclass Q { $n | input -> Big($n) -> output || ... } s :: S -> Q -> Q(3) -> s",
        &[
            "s :: S",
            "Q@2 :: Q",
            "Q@3/Big@1 :: Big(3)",
            "s[0] -> [0]Q@2",
            "Q@2[0] -> [0]Q@3/Big@1",
            "Q@3/Big@1[0] -> [0]s",
        ],
    );
    let Err(Diagnostics(found)) = flat("elementclass C { $a, $b | input -> output } S -> C(1) -> S") else {
        panic!()
    };
    assert_eq!(
        found[0].help.as_deref(),
        Some("candidates are:\n  line 1: C(<arg>, <arg>)[1 input, 1 output]")
    );
}

#[test]
fn aliases_stand_for_their_class_and_a_class_may_wrap_an_older_one_of_its_name() {
    means("elementclass N Null; N(1) -> N", &["N@1 :: Null(1)", "N@2 :: Null", "N@1[0] -> [0]N@2"]);
    means(
        "elementclass Queue { input -> Queue(9) -> output } s :: S -> Queue -> s",
        &[
            "s :: S",
            "Queue@2/Queue@1 :: Queue(9)",
            "s[0] -> [0]Queue@2/Queue@1",
            "Queue@2/Queue@1[0] -> [0]s",
        ],
    );
}

#[test]
fn comments_quotes_nesting_and_data_stay_where_they_belong() {
    means("a /* x -> y */ :: A; // b :: B\n", &["a :: A"]);
    means("a :: A(f(x, g(y)), \"a) // b\", 'c)')", &["a :: A(f(x, g(y)), \"a) // b\", 'c)')"]);
    means("a :: A(1, // one )\n 2 /* ( */, 3)", &["a :: A(1, 2, 3)"]);
    means("a :: A(\\<01 02 ) /* > */ 03>)", &["a :: A(\\<01 02 ) /* > */ 03>)"]);
    means(
        "require(fastclick, package \"x-1\"); A -> B",
        &["require(package fastclick)", "require(package x-1)", "A@1 :: A", "B@2 :: B", "A@1[0] -> [0]B@2"],
    );
}

#[test]
fn line_directives_move_messages() {
    let Err(Diagnostics(found)) = parse("t.click", "#line 41 \"other.click\"\n\n  ]") else { panic!() };
    assert_eq!(found[0].to_string(), "other.click:42:3: error: syntax error near ‘]’");
    let Err(Diagnostics(found)) = parse("t.click", "# 7 \"o\"\n#line 9 \"\"\n]\n#bad\n") else { panic!() };
    assert_eq!(found[0].to_string(), "t.click:9:1: error: syntax error near ‘]’");
    assert_eq!(found[1].to_string(), "t.click:10:1: error: unknown preprocessor directive");
}

#[test]
fn several_syntax_errors_are_found_in_one_go() {
    is_told(
        "a :: ;\nb :: B ] c;\nelementclass { }\nd :: D(",
        &[
            "1:6: missing element type in declaration",
            "2:8: syntax error near ‘]’",
            "3:14: expected element type name",
            "4:8: expected ‘)’",
        ],
    );
    is_told("a :: A -> ;", &["1:11: syntax error near ‘;’"]);
    is_told("a :: A [x] -> b :: B", &["1:9: syntax error: port number should be integer"]);
    is_told("a :: A [9999] -> b :: B", &["1:9: port number 9999 is too large; the highest is 4095"]);
    is_told(
        "[1] a :: A -> b :: B [0]",
        &["1:1: input ports ignored at start of chain", "1:15: output ports ignored at end of chain"],
    );
    is_told("a :: { input -> output", &["1:23: expected ‘}’"]);
    is_told("a :: A }", &["1:8: syntax error near ‘}’"]);
    is_told("/* x", &["1:1: unterminated comment"]);
    is_told("a :: A('x)", &["1:8: unterminated quote", "1:11: expected ‘)’"]);
    is_told(
        "define(x 1) require(library foo)",
        &[
            "1:8: bad ‘define’ declaration: not a variable",
            "1:21: ‘require library’ may not be used in this driver",
        ],
    );
}

#[test]
fn an_anonymous_element_of_a_strange_class_has_a_name_that_prints_and_parses() {
    let graph = flat("16/0a000405, 16/17, a/1 -> d;").unwrap();
    let again = flat(&graph.to_string()).unwrap();
    assert!(graph.same_as(&again), "{graph}\n---\n{again}");
}

#[test]
fn wrong_names_are_refused_with_click_s_texts() {
    is_told(
        "a :: A; a :: B",
        &["1:9: redeclaration of element ‘a’", "1:1: element ‘a’ previously declared here"],
    );
    is_told("elementclass C { input -> output } C :: A", &["1:36: class ‘C’ used as element name"]);
    is_told("12 :: A", &["1:1: element name ‘12’ has all-digit component"]);
    is_told("a :: A; a(1) -> B", &["1:9: configuration string ignored on element reference"]);
    is_told("A -> b; b :: B", &["1:6: undeclared element ‘b’"]);
    is_told("define($a 1) define($a 2)", &["1:21: parameter ‘$a’ multiply defined"]);
    is_told(
        "a/b :: A; a :: { input -> b :: B -> output }; S -> a -> S",
        &["1:27: redeclaration of element ‘a/b’"],
    );
}

#[test]
fn wrong_ports_of_compounds_are_refused() {
    is_told("elementclass C { input -> output; input[2] -> [1]output } C", &["1:18: ‘C’ input 1 missing"]);
    is_told("elementclass C { A -> input }", &["1:18: ‘C’ pseudoelement ‘input’ may only be used as output"]);
    is_told(
        "elementclass C { output -> A }",
        &["1:18: ‘C’ pseudoelement ‘output’ may only be used as input"],
    );
    is_told("c :: { input -> A }; S -> c -> S", &["1:1: ‘c’ has no output 0"]);
    is_told("c :: { input -> A; B -> output }; S -> c", &["1:1: ‘c’ output 0 unused"]);
}

#[test]
fn parameters_out_of_order_are_refused() {
    let told = errors(flat("elementclass C { KEY $a, $b | input -> output }"));
    assert!(told[0].contains("compound element parameters out of order"), "{told:?}");
    let told = errors(flat("elementclass C { $a, $a | input -> output }"));
    assert!(told[0].contains("parameter ‘$a’ multiply defined"), "{told:?}");
}
