//! Explain: a score opened down to counts and cases, and what moved it between two ticks.
//!
//! **Meaning.** The tree of a score is its scheme's; each leaf has its formula, inputs, points, weight and contribution,
//! and for each input that is a count of cases their ids, for each that shifts or alerts bring the names of these. Between two ticks the parts of the change are the differences
//! of the contributions, indicator by indicator: fractions, so they add up exactly, and decimals of six places that add
//! up too. With each part come the cases that count otherwise in one of its inputs.
//!
//! **Mechanism.** Everything is read from the views as they were at the ticks asked for (`scores`, `indicators`,
//! `cases`, `district_coverage`, `alerts`, `reference`): nothing is computed again. A case that did not change between two ticks is the
//! same row in memory and is passed over. Nothing is kept between requests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use foldhash::HashMap;
use model::{Tick, Value, ViewSpec};
use scoring::{Exact, exact};
use serde_json::{Map, Value as Json, json};

use super::told::{At, Inputs, Within};
use super::views::remembered;
use super::{App, Path, aside, json as answer};
use crate::guard;
use crate::problem::Problem;
use crate::query::Parameters;
use crate::store::{Gone, Row};
use crate::token::Scope;

/// Cases listed of one count or one part at most; the answer says how many there are.
const MAX_CASES: usize = 1000;
/// Decimals of contributions.
pub(super) const DIGITS: u32 = 6;

/// A score down to counts and case ids; with `from` and `to`, what moved it between two ticks.
#[utoipa::path(get, path = "/explain/scores/{scheme}/{district}/{period}", tag = "views",
    params(
        ("scheme" = String, Path, description = "The scheme"),
        ("district" = String, Path, description = "The district, or the unit that the scheme is about"),
        ("period" = String, Path, description = "Label of the period, such as 2026-11"),
        ("from" = Option<u64>, Query, description = "With `to`: the change between these ticks (Unix ms)"),
        ("to" = Option<u64>, Query, description = "The tick; now if absent"),
    ),
    responses(
        (status = 200, description = "The tree, or the change", body = serde_json::Value),
        (status = 400, description = "A parameter is wrong", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No token", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such score", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "A tick is older than the history", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn explain_score(
    State(shared): App,
    Path((scheme, district, period)): Path<(String, String, String)>,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    guard::check(&shared, &headers, Scope::Read)?;
    aside(move || {
        parameters.only(&["from", "to"])?;
        let tick = |name: &str| {
            let wrong =
                |text: &str| Problem::bad_request(format!("`{name}={text}`: expected a tick, Unix ms"));
            parameters.get(name).map(|text| text.parse::<Tick>().map_err(|_| wrong(text))).transpose()
        };
        let (from, to) = (tick("from")?, tick("to")?);
        let to = to.unwrap_or_else(|| shared.store.now().0);
        let key = [scheme, district, period];
        let old = |spec: &ViewSpec, tick: Tick, gone: Gone| remembered(&shared, spec, tick, gone);
        let read = |tick: Tick| At::read(&shared.store, tick, shared.config.utc_offset_min, &old);
        let said = match from {
            None => tree(&read(to)?, &key)?,
            Some(from) if from > to => {
                return Err(Problem::bad_request(format!("`from={from}` is after `to={to}`")));
            }
            Some(from) => change(&read(from)?, &read(to)?, &key)?,
        };
        Ok(answer(said.to_string().into_bytes()))
    })
    .await
}

fn missing(key: &[String; 3]) -> Problem {
    Problem::not_found(format!("no score of `{}` for `{}` in `{}`", key[0], key[1], key[2]))
}

/// A score down to counts and case ids.
pub(super) fn tree(at: &At<'_>, key: &[String; 3]) -> Result<Json, Problem> {
    let score = at.score(key).ok_or_else(|| missing(key))?;
    let within = Within::of(at, score, key);
    let mut cases: HashMap<String, (usize, Vec<String>)> = HashMap::default();
    for row in &at.cases.rows {
        for count in within.counts(at, row) {
            let (n, ids) = cases.entry(count).or_default();
            *n += 1;
            ids.extend(at.cases.text(row, "case_id", at.names).map(str::to_owned));
        }
    }
    for (_, ids) in cases.values_mut() {
        ids.sort();
        ids.truncate(MAX_CASES);
    }
    let streams = within.streams(at);
    let leaves = at.leaves(key);
    let leaf = |id: &str| -> Json {
        let Some(row) = leaves.get(id) else { return Json::Null };
        let mut said = at.indicators.json(row, at.names);
        let record = at.record("indicator", id);
        let mut inputs = Map::new();
        for (name, value) in said["inputs"].as_object().into_iter().flatten() {
            let mut input = json!({ "value": value });
            if let Some((n, ids)) = cases.get(name) {
                input["cases"] = json!(ids);
                input["cases_total"] = json!(n);
            }
            let rows =
                streams.iter().filter(|(_, inputs)| inputs.get(name.as_str()).is_some_and(|n| *n != 0));
            let rows: Vec<&String> = rows.map(|(id, _)| id).collect();
            if !rows.is_empty() {
                input["rows_total"] = json!(rows.len());
                input["rows"] = json!(&rows[..rows.len().min(MAX_CASES)]);
            }
            inputs.insert(name.clone(), input);
        }
        if let Some(said) = said.as_object_mut() {
            for column in ["scheme", "district", "period"] {
                said.remove(column);
            }
            said.insert("inputs".into(), inputs.into());
            for (name, field) in [
                ("text", "text"),
                ("source", "source"),
                ("numerator_formula", "numerator"),
                ("scoring", "scoring"),
            ] {
                said.insert(name.into(), record[field].clone());
            }
            let denominator = record["denominator"].as_str().unwrap_or("1");
            said.insert("denominator_formula".into(), denominator.into());
        }
        said
    };
    let record = at.record("score_scheme", at.scores.text(score, "record", at.names).unwrap_or(""));
    let nodes = nodes(&record["indicators"], &leaf);
    let mut said = at.scores.json(score, at.names);
    said["tick"] = json!(at.tick);
    said["text"] = record["text"].clone();
    said["source"] = record["source"].clone();
    said["indicators"] = nodes;
    Ok(said)
}

/// The tree of the scheme with its leaves filled in; nodes that are not this unit's are left out.
fn nodes(said: &Json, leaf: &dyn Fn(&str) -> Json) -> Json {
    let node = |node: &Json| match node["indicator"].as_str() {
        Some(id) => Some(leaf(id)).filter(|leaf| !leaf.is_null()),
        None => {
            let children = nodes(&node["indicators"], leaf);
            let there = children.as_array().is_some_and(|children| !children.is_empty());
            there.then(|| {
                json!({ "group": node["group"], "text": node["text"], "weight": node["weight"], "indicators": children })
            })
        }
    };
    said.as_array().into_iter().flatten().filter_map(node).collect()
}

/// What moved a score between two ticks.
fn change(before: &At<'_>, after: &At<'_>, key: &[String; 3]) -> Result<Json, Problem> {
    let (old, new) = (before.score(key), after.score(key));
    let Some(either) = new.or(old) else { return Err(missing(key)) };
    let total = |at: &At<'_>, row: Option<&Arc<Row>>| {
        let text = row.and_then(|row| at.scores.text(row, "score_exact", at.names));
        text.and_then(exact::parse).unwrap_or_else(|| exact::whole(0))
    };
    let (from, to) = (total(before, old), total(after, new));
    let (leaves_before, leaves_after) = (before.leaves(key), after.leaves(key));
    let contribution = |at: &At<'_>, leaves: &BTreeMap<String, Arc<Row>>, id: &str| -> Exact {
        let text = leaves.get(id).and_then(|row| at.indicators.text(row, "contribution_exact", at.names));
        text.and_then(exact::parse).unwrap_or_else(|| exact::whole(0))
    };
    let ids: BTreeSet<&String> = leaves_before.keys().chain(leaves_after.keys()).collect();
    let parts: Vec<(&String, Exact)> = ids
        .into_iter()
        .map(|id| {
            let change = contribution(after, &leaves_after, id) - contribution(before, &leaves_before, id);
            (id, change)
        })
        .collect();
    let changes: Vec<Exact> = parts.iter().map(|(_, change)| change.clone()).collect();
    let decimals = exact::rounded_parts(&changes, DIGITS);
    let within = Within::of(if new.is_some() { after } else { before }, either, key);
    let moved = moved_cases(before, after, &within);
    let (streams_before, streams_after) = (within.streams(before), within.streams(after));
    let streams: BTreeSet<&String> = streams_before.keys().chain(streams_after.keys()).collect();
    let mut said = Vec::new();
    for ((id, change), decimal) in parts.into_iter().zip(decimals) {
        let record = after.record("indicator", id);
        let record = if record.is_null() { before.record("indicator", id) } else { record };
        let inputs: Vec<&str> =
            record["inputs"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
        let of_inputs = |counts: &[String]| -> Vec<String> {
            counts.iter().filter(|count| inputs.contains(&count.as_str())).cloned().collect()
        };
        let touched = moved.iter().filter_map(|(case, (old, new))| {
            let (old, new) = (of_inputs(old), of_inputs(new));
            (old != new).then(|| json!({ "case_id": case, "before": old, "after": new }))
        });
        let cases: Vec<Json> = touched.collect();
        let of_row = |rows: &BTreeMap<String, Inputs>, id: &str| -> Inputs {
            let row = rows.get(id).into_iter().flatten();
            row.filter(|(name, _)| inputs.contains(name)).map(|(name, n)| (*name, *n)).collect()
        };
        let touched = streams.iter().filter_map(|row| {
            let (old, new) = (of_row(&streams_before, row), of_row(&streams_after, row));
            (old != new).then(|| json!({ "row": row, "before": old, "after": new }))
        });
        let rows: Vec<Json> = touched.collect();
        let side = |at: &At<'_>, leaves: &BTreeMap<String, Arc<Row>>| {
            leaves.get(id).map_or(Json::Null, |row| {
                let row = at.indicators.json(row, at.names);
                let columns = [
                    "value",
                    "score",
                    "weight",
                    "numerator",
                    "denominator",
                    "contribution",
                    "state",
                    "inputs",
                ];
                columns.into_iter().map(|column| (column.to_owned(), row[column].clone())).collect()
            })
        };
        said.push(json!({
            "indicator": id, "change": decimal, "change_exact": exact::text(&change),
            "before": side(before, &leaves_before), "after": side(after, &leaves_after),
            "cases_total": cases.len(), "cases": cases.into_iter().take(MAX_CASES).collect::<Vec<_>>(),
            "rows_total": rows.len(), "rows": rows.into_iter().take(MAX_CASES).collect::<Vec<_>>(),
        }));
    }
    let total = &to - &from;
    Ok(json!({
        "scheme": key[0], "district": key[1], "period": key[2], "from": before.tick, "to": after.tick,
        "score_before": exact::rounded(&from, DIGITS), "score_after": exact::rounded(&to, DIGITS),
        "change": exact::rounded(&total, DIGITS), "change_exact": exact::text(&total), "parts": said,
    }))
}

/// The cases that count otherwise, with their counts before and after.
fn moved_cases(
    before: &At<'_>,
    after: &At<'_>,
    within: &Within<'_>,
) -> BTreeMap<String, (Vec<String>, Vec<String>)> {
    let id = |at: &At<'_>, row: &Row| at.cases.text(row, "case_id", at.names).unwrap_or("").to_owned();
    let mut old: HashMap<&[Value], &Arc<Row>> =
        before.cases.rows.iter().map(|row| (&row.values[..1], row)).collect();
    let stands = within.stands(before, after);
    let mut moved = BTreeMap::new();
    for row in &after.cases.rows {
        let was = old.remove(&row.values[..1]);
        if stands && was.is_some_and(|was| Arc::ptr_eq(was, row)) {
            continue;
        }
        let counts = (was.map_or_else(Vec::new, |was| within.counts(before, was)), within.counts(after, row));
        if counts.0 != counts.1 {
            moved.insert(id(after, row), counts);
        }
    }
    for row in old.into_values() {
        let counts = within.counts(before, row);
        if !counts.is_empty() {
            moved.insert(id(before, row), (counts, Vec::new()));
        }
    }
    moved
}

#[cfg(test)]
mod tests {
    use model::{Changes, Column, Frame, Names, Op, Step, Type, ViewId};

    use super::*;
    use crate::store::Store;

    const fn text(name: &'static str) -> Column {
        Column::new(name, Type::Text, "", "").nullable()
    }

    const fn int(name: &'static str) -> Column {
        Column::new(name, Type::Int, "", "").nullable()
    }

    const fn view(name: &'static str, key: usize, columns: &'static [Column]) -> ViewSpec {
        ViewSpec { name, zh: "", doc: "", key, columns, bounded_by: "" }
    }

    const SPECS: [ViewSpec; 7] = [
        view(
            "scores",
            3,
            &[
                text("scheme"),
                text("district"),
                text("period"),
                text("scope"),
                text("score_exact"),
                text("record"),
                int("from_ts"),
                int("until_ts"),
            ],
        ),
        view(
            "indicators",
            4,
            &[
                text("scheme"),
                text("district"),
                text("indicator"),
                text("period"),
                int("numerator"),
                int("denominator"),
                text("contribution_exact"),
                Column::new("inputs", Type::Json, "", ""),
            ],
        ),
        view(
            "alerts",
            1,
            &[text("alert_id"), text("district"), text("state"), text("peak"), int("raised_ts")],
        ),
        view(
            "cases",
            1,
            &[
                text("case_id"),
                text("district"),
                text("department"),
                Column::new("counts", Type::Json, "", ""),
            ],
        ),
        view("reference", 2, &[text("kind"), text("id"), Column::new("json", Type::Json, "", "")]),
        view("case_rates", 1, &[text("id")]),
        view(
            "district_coverage",
            3,
            &[
                text("district"),
                text("shift"),
                text("date"),
                Column::new("length", Type::Float, "", ""),
                Column::new("swept_length", Type::Float, "", ""),
                int("planned_roads"),
                int("missed_roads"),
            ],
        ),
    ];

    fn value(text: &str) -> Value {
        match (text.parse(), text.parse()) {
            (Ok(n), _) => Value::Int(n),
            (_, Ok(x)) => Value::Float(x),
            _ => Value::Text(text.into()),
        }
    }

    /// A store after these rows, one frame per list: view, then values.
    fn store(frames: &[&[(u16, &[&str])]]) -> Store {
        let store = Store::new(SPECS.to_vec(), Arc::new(Names::new()), 1_000_000, 1 << 20);
        for (tick, rows) in (0u64..).zip(frames) {
            let mut steps = Vec::new();
            for view in 0..7 {
                let mut changes = Changes::new(SPECS[usize::from(view)].columns.len());
                for (_, row) in rows.iter().filter(|(of, _)| *of == view) {
                    changes.push(tick, Op::Upsert, &row.iter().map(|text| value(text)).collect::<Vec<_>>());
                }
                steps.push(Step { view: ViewId(view), lower: tick, upper: tick + 1, changes });
            }
            store.apply(&Arc::new(Frame { lower: tick, upper: tick + 1, tick, steps })).unwrap();
        }
        store
    }

    const SCHEME: &str = r#"{"text":{"zh":"方案"},"indicators":[{"group":"g","weight":1,"indicators":[{"indicator":"closing","weight":1},{"indicator":"sorting","weight":2}]}]}"#;
    const CLOSING: &str = r#"{"inputs":["closed","to_close"],"numerator":"closed","denominator":"to_close"}"#;
    const SORTING: &str = r#"{"inputs":["sorted","swept_length","alerts_raised"],"numerator":"sorted"}"#;

    fn two_ticks() -> Store {
        store(&[
            &[
                (0, &["s", "d1", "2026-11", "district", "100/3", "s", "1793462400000", "1796054400000"]),
                (1, &["s", "d1", "closing", "2026-11", "0", "1", "0", r#"{"closed":0,"to_close":1}"#]),
                (
                    1,
                    &[
                        "s",
                        "d1",
                        "sorting",
                        "2026-11",
                        "1",
                        "1",
                        "100/3",
                        r#"{"sorted":1,"swept_length":50250,"alerts_raised":1}"#,
                    ],
                ),
                (2, &["a-1", "d1", "open", "severe", "1794000000000"]),
                (2, &["a-2", "d2", "open", "severe", "1794000000000"]),
                (6, &["d1", "day", "2026-11-03", "100.5", "50.25", "2", "1"]),
                (6, &["d1", "day", "2026-10-31", "100.5", "50.25", "2", "1"]),
                (3, &["case-1", "d1", "w", r#"{"1794000000000":["to_close"],"1797000000000":["closed"]}"#]),
                (3, &["case-2", "d2", "w", r#"{"1794000000000":["to_close","closed"]}"#]),
                (3, &["case-3", "d1", "w", r#"{"1793000000000":["closed"]}"#]),
                (4, &["score_scheme", "s", SCHEME]),
                (4, &["indicator", "closing", CLOSING]),
                (4, &["indicator", "sorting", SORTING]),
            ],
            &[
                (0, &["s", "d1", "2026-11", "district", "200/3", "s", "1793462400000", "1796054400000"]),
                (1, &["s", "d1", "closing", "2026-11", "1", "1", "100/3", r#"{"closed":1,"to_close":1}"#]),
                (2, &["a-1", "d1", "withdrawn", "severe", "1794000000000"]),
                (6, &["d1", "day", "2026-11-03", "100.5", "75.25", "2", "0"]),
                (3, &["case-1", "d1", "w", r#"{"1794000000000":["to_close","closed"]}"#]),
            ],
        ])
    }

    fn at(store: &Store, tick: Tick) -> At<'_> {
        At::read(store, tick, 480, &|_, tick, gone| Err(Problem::gone(tick, gone.oldest))).unwrap()
    }

    fn key(district: &str) -> [String; 3] {
        ["s".into(), district.into(), "2026-11".into()]
    }

    #[test]
    fn a_score_opens_down_to_cases_and_measures() {
        let store = two_ticks();
        let said = tree(&at(&store, 1), &key("d1")).unwrap();
        let group = &said["indicators"][0];
        assert_eq!(
            (&group["group"], &said["text"]["zh"], &said["score_exact"]),
            (&json!("g"), &json!("方案"), &json!("200/3"))
        );
        let (closing, sorting) = (&group["indicators"][0], &group["indicators"][1]);
        assert_eq!(closing["inputs"]["closed"], json!({ "value": 1, "cases": ["case-1"], "cases_total": 1 }));
        assert_eq!(closing["numerator_formula"], "closed");
        assert_eq!(sorting["inputs"]["sorted"], json!({ "value": 1 }));
        let swept = &sorting["inputs"]["swept_length"];
        assert_eq!((&swept["rows"], &swept["rows_total"]), (&json!(["shift/day/2026-11-03"]), &json!(1)));
        // At the tick before, the case was counted as closed in another period.
        let said = tree(&at(&store, 0), &key("d1")).unwrap();
        assert_eq!(said["indicators"][0]["indicators"][0]["inputs"]["closed"], json!({ "value": 0 }));
        assert!(tree(&at(&store, 1), &key("d9")).is_err());
    }

    #[test]
    fn a_window_that_moves_lists_what_is_in_it_at_the_tick() {
        let store = store(&[&[
            (0, &["s", "d1", "last-2d", "district", "100", "s", "0", "0"]),
            (1, &["s", "d1", "closing", "last-2d", "1", "1", "100", r#"{"closed":2,"to_close":2}"#]),
            // The tick is of 1970-01-01, so the window is that day and the one before, in the city's time.
            (3, &["case-1", "d1", "w", r#"{"1500":["to_close"],"57600001":["closed"]}"#]),
            (3, &["case-2", "d1", "w", r#"{"-115200000":["closed"],"-115200001":["to_close"]}"#]),
            (4, &["score_scheme", "s", SCHEME]),
            (4, &["indicator", "closing", CLOSING]),
        ]]);
        let key = ["s".into(), "d1".into(), "last-2d".into()];
        let said = tree(&at(&store, 0), &key).unwrap();
        let inputs = &said["indicators"][0]["indicators"][0]["inputs"];
        assert_eq!(inputs["closed"]["cases"], json!(["case-2"]));
        assert_eq!(inputs["to_close"]["cases"], json!(["case-1"]));
    }

    #[test]
    fn a_change_is_the_sum_of_its_parts_and_names_the_cases() {
        let store = two_ticks();
        let said = change(&at(&store, 0), &at(&store, 1), &key("d1")).unwrap();
        assert_eq!((&said["change_exact"], &said["change"]), (&json!("100/3"), &json!("33.333333")));
        let parts = said["parts"].as_array().unwrap();
        let sum = parts.iter().map(|part| exact::parse(part["change_exact"].as_str().unwrap()).unwrap());
        assert_eq!(exact::text(&sum.fold(exact::whole(0), |sum, part| sum + part)), "100/3");
        assert_eq!(
            parts[0]["cases"],
            json!([{ "case_id": "case-1", "before": ["to_close"], "after": ["closed", "to_close"] }])
        );
        assert_eq!((&parts[1]["change_exact"], &parts[1]["cases_total"]), (&json!("0"), &json!(0)));
        assert_eq!(
            parts[1]["rows"],
            json!([
                { "row": "alert/a-1", "before": { "alerts_raised": 1 }, "after": {} },
                {
                    "row": "shift/day/2026-11-03",
                    "before": { "swept_length": 50_250 }, "after": { "swept_length": 75_250 },
                },
            ])
        );
    }
}
