//! What compiles, what does not and where, and what it says.

use super::*;

const SCOPE: [(&str, Type); 5] = [
    ("value", Type::Number),
    ("age", Type::Number),
    ("sensor.district", Type::Text),
    ("on", Type::Bool),
    ("max", Type::Number),
];

fn compile(text: &str) -> Result<Formula, FormulaError> {
    Formula::compile_any(text, &SCOPE[..])
}

fn run(text: &str, value: Option<f64>) -> String {
    let formula = compile(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    let mut known = |at: usize| match formula.references()[at].name.as_str() {
        "value" => Value::maybe(value),
        "age" => Value::Number(30.0),
        "sensor.district" => Value::Text("610602"),
        "on" => Value::Bool(true),
        _ => Value::Missing,
    };
    match formula.evaluate(&mut known) {
        Value::Missing => "missing".to_owned(),
        Value::Number(n) => n.to_string(),
        Value::Bool(b) => b.to_string(),
        Value::Text(text) => text.to_owned(),
    }
}

#[test]
fn it_computes_as_cel_does_with_one_kind_of_number() {
    for (text, expected) in [
        ("1 + 2 * 3", "7"),
        ("7 / 2", "3.5"),
        ("-value % 3.0", "-1"),
        ("value >= 4 && age < 60.0", "true"),
        ("value > 4 || !on", "false"),
        ("on ? value : 0", "4"),
        ("sensor.district == '610602'", "true"),
        ("sensor.district in ['a', \"610602\"]", "true"),
        ("sensor.district.startsWith('6106')", "true"),
        ("value in [1, 2]", "false"),
        ("abs(-2) + min(3, value, 9) + math.greatest(1, 2)", "7"),
        ("round(2.5) == 3 && floor(-0.5) == -1 && ceil(0.2) == 1 && sqrt(value) == 2", "true"),
        ("value == null", "false"),
        ("on != false", "true"),
        ("a.b", ""),
    ] {
        match expected {
            "" => assert!(compile(text).is_err()),
            _ => assert_eq!(run(text, Some(4.0)), expected, "{text}"),
        }
    }
}

#[test]
fn what_is_not_known_stays_unknown_unless_it_does_not_matter() {
    for (text, expected) in [
        ("value > 1", "missing"),
        ("value == 1", "missing"),
        ("1 / 0", "missing"),
        ("sqrt(-1)", "missing"),
        ("on || value > 1", "true"),
        ("value > 1 || on", "true"),
        ("value > 1 && !on", "false"),
        ("!on && value > 1", "false"),
        ("value > 1 && on", "missing"),
        ("on && value > 1", "missing"),
        ("on ? 1 : value", "1"),
        ("value == null", "true"),
        ("null != value", "false"),
        ("value in [1]", "missing"),
        ("1 in [2, value]", "missing"),
        ("1 in [1, value]", "true"),
        ("min(1, value)", "missing"),
        ("sensor.district == null ? 'none' : sensor.district", "610602"),
    ] {
        assert_eq!(run(text, None), expected, "{text}");
    }
}

#[test]
fn an_error_names_its_place() {
    for (text, line, column, says) in [
        ("value > ", 1, 9, "not CEL"),
        ("value +\n  speed > 3", 2, 3, "there is no `speed`; there are value, age, sensor.district, on, max"),
        ("value > 'a'", 1, 9, "this is a text, expected a number"),
        ("on && value", 1, 7, "this is a number, expected true or false"),
        ("水 > 1", 1, 1, "not CEL"),
        ("'水' == sensor.district && value", 1, 27, "this is a number"),
        ("value == 'a'", 1, 10, "this is a text, expected a number"),
        ("[1, 2].all(x, x > 1)", 1, 11, "loops"),
        ("value > null", 1, 9, "`null` may only be compared"),
        ("frobnicate(value)", 1, 11, "no function `frobnicate`"),
        ("abs(1, 2)", 1, 4, "`abs` takes one number"),
        ("value(3)", 1, 6, "`value` is a variable"),
        ("on ? 1 : 'a'", 1, 10, "this is a text, expected a number"),
    ] {
        let error = compile(text).expect_err(text);
        assert!(error.text.contains(says), "{text}: {error}");
        assert_eq!(error.line, line, "{text}: {error}");
        assert_eq!(error.column, column, "{text}: {error}");
    }
    let error = Formula::compile("value", Type::Bool, &SCOPE[..]).unwrap_err();
    assert_eq!(error.text, "the formula is a number, expected true or false");
    assert!(
        compile(&format!("value > {}", "0".repeat(TEXT_LIMIT))).unwrap_err().text.contains("at most 4096")
    );
    assert!(compile(&"(".repeat(3000)).is_err(), "depth is bounded");
}

#[test]
fn a_plain_comparison_is_known_as_one() {
    let of = |text: &str| compile(text).unwrap().threshold().map(|(r, how, n)| (r.name.clone(), how, n));
    assert_eq!(of("value >= 15"), Some(("value".into(), Comparison::AtLeast, 15.0)));
    assert_eq!(of("-1.5 > age"), Some(("age".into(), Comparison::Less, -1.5)));
    assert_eq!(of("value >= age"), None);
    assert_eq!(of("value >= 15 && on"), None);
}

struct Windows;

impl Scope for Windows {
    fn resolve(&self, reference: &Reference) -> Option<Result<Type, String>> {
        match (reference.name.as_str(), reference.arguments.as_deref()) {
            ("max", Some([Literal::Text(_)])) => Some(Ok(Type::Number)),
            ("site.level", Some([Literal::Text(_)])) => Some(Ok(Type::Number)),
            ("value", None) => Some(Ok(Type::Number)),
            _ => None,
        }
    }

    fn names(&self) -> Vec<String> {
        vec!["value".into(), "max(window)".into()]
    }
}

#[test]
fn a_call_with_constants_belongs_to_the_scope_if_it_knows_it() {
    let formula =
        Formula::compile("max('5m') > max(value, 3) && site.level('x') > max('5m')", Type::Bool, &Windows)
            .unwrap();
    let names: Vec<_> = formula.references().iter().map(|r| (r.name.as_str(), r.arguments.clone())).collect();
    let text = |text: &str| Some(vec![Literal::Text(text.into())]);
    assert_eq!(names, [("max", text("5m")), ("value", None), ("site.level", text("x"))]);
}
