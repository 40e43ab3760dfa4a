//! `scores`: each unit by each scheme and period, with grade and rank.
//!
//! **Meaning.** A score is the weighted mean of the points of a scheme's indicators ([`scoring`]), exact until it is
//! written down; `score_exact` is the fraction. It is provisional while its period is not over or an input is missing;
//! `completeness` is the part of the weight whose inputs are there. Backdated decisions, calendar edits and new versions
//! of schemes change it at their tick; what was published before is in `score_versions`. The records are documented in
//! `docs/scores.md`.
//!
//! **Mechanism.** [`crate::scores`]: judged at the worker of the unit, ranked at the worker of scheme and period.
//!
//! **State.** One row per scheme, unit and period that is scored, with the counts that it is made of.

use std::sync::Arc;

use model::{Column, Kind, Names, Type, ViewSpec};
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::vec::{Broadcast, Filter, Map};

use super::View;
use super::case_rates::RateRow;
use super::reference::{self, CurrentRow};
use crate::Settings;
use crate::operators::delta::Delta;
use crate::operators::ticked::{Tagged, ticked};
use crate::operators::{route, spread};
use crate::scores::brought::Brought;
use crate::scores::judge::{self, Judge};
use crate::scores::rows::{IndicatorRow, ScoreRow, VersionRow};
use crate::scores::standing::{self, Standings};

/// Columns between the key and what only this view has, which `score_versions` shares.
pub(super) const STANDING: [Column; 7] = [
    Column::new("score", Type::Float, "得分", "0 to 100; null when no indicator counts.").nullable(),
    Column::new("grade", Type::Text, "等级", "By the scheme, such as A to E.").nullable(),
    Column::new("colour", Type::Text, "颜色", "Of the grade.").nullable(),
    Column::new("rank", Type::Int, "排名", "1 + the number of units with a greater score.").nullable(),
    Column::new("completeness", Type::Float, "完整度", "Part of the weight whose inputs are there, 0 to 1."),
    Column::new("score_exact", Type::Text, "精确得分", "The score as a fraction of whole numbers.")
        .nullable(),
    Column::new("record", Type::Text, "方案版本", "Id of the score_scheme record that holds for the period."),
];

/// The first three columns: what is scored by what, when.
pub(super) const KEY: [Column; 3] = [
    Column::new("scheme", Type::Text, "评价方案", "The scheme."),
    Column::new("district", Type::Text, "评价对象", "The district, or the unit that the scheme is about."),
    Column::new("period", Type::Text, "周期", "Label of the period, such as 2026-11."),
];

/// The view.
pub const VIEW: View = View {
    spec: ViewSpec {
        name: "scores",
        zh: "综合评价得分",
        doc: "The score of each unit by each scheme and period, with grade and rank.",
        key: 3,
        columns: &[
            KEY[0],
            KEY[1],
            KEY[2],
            STANDING[0],
            STANDING[1],
            STANDING[2],
            STANDING[3],
            STANDING[4],
            STANDING[5],
            STANDING[6],
            Column::new("scope", Type::Text, "对象类别", "city, district, department or post."),
            Column::new("provisional", Type::Bool, "暂定", "The period is not over, or an input is missing."),
            Column::new(
                "version",
                Type::Int,
                "发布版本",
                "The last version that was published; 0 before the first.",
            ),
            Column::new(
                "from_ts",
                Type::Time,
                "周期开始",
                "First instant of the period; null for those that move.",
            )
            .nullable(),
            Column::new(
                "until_ts",
                Type::Time,
                "周期结束",
                "First instant after it; null for those that move.",
            )
            .nullable(),
        ],
        bounded_by: "schemes times units times periods in which something of the unit was counted",
    },
    render: |context, id| context.publish(context.scores.clone(), id),
    #[cfg(test)]
    oracle: oracle::rows,
};

/// What the operators say.
pub(super) struct Said<'s> {
    pub indicators: Tagged<'s, Delta<IndicatorRow>>,
    pub scores: Tagged<'s, Delta<ScoreRow>>,
    pub versions: Tagged<'s, Delta<VersionRow>>,
}

/// Renders the operators.
pub(super) fn operate<'s>(
    rates: Tagged<'s, Delta<RateRow>>,
    current: Tagged<'s, Delta<CurrentRow>>,
    brought: Tagged<'s, Brought>,
    settings: &Arc<Settings>,
    names: &Arc<Names>,
    worker: usize,
) -> Said<'s> {
    const KINDS: [Kind; 4] = [Kind::Indicator, Kind::ScoreScheme, Kind::Measure, Kind::Grid];
    let peers = rates.scope().peers() as u64;
    let mine = move |scope: super::case_rates::Scope| scope.route() % peers == worker as u64;
    let records = current.filter(|(_, delta)| KINDS.contains(&reference::kind_of(delta))).broadcast();
    let records = records.map(|(tick, delta)| (tick, judge::In::Record(delta)));
    let rates = rates.map(|(tick, delta)| (tick, judge::In::Rates(delta)));
    let brought = brought.map(|(tick, brought)| (tick, judge::In::Brought(brought)));
    let judged =
        ticked(rates.concat(records).concat(brought), "indicators", Judge::new(settings, names, mine));
    let indicators = judged.clone().flat_map(|(tick, out)| match out {
        judge::Out::Indicator(delta) => Some((tick, *delta)),
        judge::Out::Score(_) => None,
    });
    let totals = judged.flat_map(|(tick, out)| match out {
        judge::Out::Score(delta) => Some((tick, *delta)),
        judge::Out::Indicator(_) => None,
    });
    let totals = spread(totals, |delta| {
        let judged = delta.new.as_ref().or(delta.old.as_ref());
        judged.map_or(0, |judged| route(judged.scheme.0 ^ judged.period.start.unsigned_abs().rotate_left(16)))
    });
    let ranked = ticked(totals, "scores", Standings::default());
    let scores = ranked.clone().flat_map(|(tick, out)| match out {
        standing::Out::Score(delta) => Some((tick, *delta)),
        standing::Out::Version(_) => None,
    });
    let versions = ranked.flat_map(|(tick, out)| match out {
        standing::Out::Version(row) => Some((tick, Delta { old: None, new: Some(*row) })),
        standing::Out::Score(_) => None,
    });
    Said { indicators, scores, versions }
}

/// Naive recomputation from all rows, with fractions of 128-bit numbers.
#[cfg(test)]
pub(crate) mod oracle {
    use std::cell::RefCell;
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Arc;

    use model::reference::score::{Node, NotApplicable, Parts, SchemeRef, Scored, Scoring};
    use model::{Kind, Names, Row, Sym, Tick, Typed};
    use serde_json::{Value as Json, json};

    use crate::testing::History;
    use crate::views::{case_rates, reference};

    /// A fraction in lowest terms.
    #[derive(Clone, Copy, PartialEq)]
    pub(crate) struct Q(i128, i128);

    impl Q {
        fn new(n: i128, d: i128) -> Q {
            let (mut a, mut b) = (n.abs(), d.abs());
            while b > 0 {
                (a, b) = (b, a % b);
            }
            Q(n * d.signum() / a.max(1), d.abs() / a.max(1))
        }
        fn nano(n: i64) -> Q {
            Q::new(i128::from(n), 1_000_000_000)
        }
        fn add(self, o: Q) -> Q {
            Q::new(self.0 * o.1 + o.0 * self.1, self.1 * o.1)
        }
        fn sub(self, o: Q) -> Q {
            self.add(Q(-o.0, o.1))
        }
        fn mul(self, o: Q) -> Q {
            Q::new(self.0 * o.0, self.1 * o.1)
        }
        fn div(self, o: Q) -> Q {
            Q::new(self.0 * o.1, self.1 * o.0)
        }
        fn less(self, o: Q) -> bool {
            self.0 * o.1 < o.0 * self.1
        }
        fn text(self) -> String {
            if self.1 == 1 { self.0.to_string() } else { format!("{}/{}", self.0, self.1) }
        }
        fn float(self) -> f64 {
            self.0 as f64 / self.1 as f64
        }
    }

    /// What an indicator says: numerator and denominator, or nothing.
    type Value = Option<(i64, i64)>;

    /// A formula of the histories: a name, a whole number, or `a - b`.
    fn formula(text: &str, input: &dyn Fn(&str) -> Option<i64>) -> Option<i64> {
        let term = |text: &str| text.parse().ok().or_else(|| input(text));
        match text.split_once(" - ") {
            Some((a, b)) => Some(term(a)? - term(b)?),
            None => term(text),
        }
    }

    fn points(scoring: &Scoring, (n, d): (i64, i64)) -> Q {
        let value = Q::new(n.into(), d.into());
        let hundred = Q(100, 1);
        let raw = match scoring {
            Scoring::Rate => value.mul(hundred),
            Scoring::Inverted => hundred.sub(value.mul(hundred)),
            Scoring::Bands(bands) => {
                let band = bands.iter().find(|band| match band.up_to {
                    Some(edge) => !Q::nano(edge).less(value),
                    None => true,
                });
                band.map_or(Q(0, 1), |band| Q::nano(band.points))
            }
            Scoring::Steps(steps) => {
                let gap = if steps.falling {
                    value.sub(Q::nano(steps.full_at))
                } else {
                    Q::nano(steps.full_at).sub(value)
                };
                let mut n = Q(0, 1);
                if Q(0, 1).less(gap) {
                    n = gap.div(Q::nano(steps.step));
                    n = match steps.parts {
                        Parts::Free => Q(n.0 / n.1, 1),
                        Parts::Whole => Q((n.0 + n.1 - 1) / n.1, 1),
                        Parts::ProRata => n,
                    };
                }
                hundred.sub(n.mul(Q::nano(steps.minus)).mul(hundred).div(Q::nano(steps.points)))
            }
        };
        if raw.less(Q(0, 1)) {
            Q(0, 1)
        } else if hundred.less(raw) {
            hundred
        } else {
            raw
        }
    }

    /// A leaf as it is weighed: id, nominal share, share, points.
    struct Leaf(Sym, Q, Q, Option<Q>, Value);

    pub(crate) struct Verdict {
        pub scheme: String,
        pub unit: String,
        pub period: String,
        pub scope: &'static str,
        pub record: String,
        pub total: Option<Q>,
        pub grade: Option<(String, String)>,
        pub completeness: Q,
        pub provisional: bool,
        pub span: Option<(i64, i64)>,
        pub publish: Option<i64>,
        pub indicators: Vec<Json>,
    }

    thread_local! {
        /// Spans that were looked for before.
        static SPANS: RefCell<BTreeMap<String, Option<(i64, i64)>>> = const { RefCell::new(BTreeMap::new()) };
    }

    fn span(history: &History, label: &str) -> Option<(i64, i64)> {
        let known = SPANS.with_borrow(|spans| spans.get(label).copied());
        known.unwrap_or_else(|| {
            let span = look_for(history, label);
            SPANS.with_borrow_mut(|spans| spans.insert(label.to_owned(), span));
            span
        })
    }

    /// The first instant of a period and the first after it, by looking for the days in it; none for those that move.
    fn look_for(history: &History, label: &str) -> Option<(i64, i64)> {
        let kind = case_rates::oracle::kind(label);
        if kind == "rolling" || kind == "all" {
            return None;
        }
        let mut day = (crate::testing::START as i64).div_euclid(86_400_000) - 400;
        let mut from = None;
        loop {
            let ts = day * 86_400_000 - 8 * 3_600_000;
            let periods = case_rates::oracle::periods(history, ts, 0);
            let here = periods.iter().any(|(is, name)| *is == kind && name == label);
            match from {
                Some(from) if !here => return Some((from, ts)),
                None if here => from = Some(ts),
                _ => {}
            }
            day += 1;
        }
    }

    fn expand(
        nodes: &[Node],
        unit: Sym,
        nominal: Q,
        value: &dyn Fn(Sym) -> (Value, Option<Q>),
        out: &mut Vec<Leaf>,
    ) -> Option<Q> {
        let nodes: Vec<&Node> =
            nodes.iter().filter(|node| node.only.is_empty() || node.only.contains(&unit)).collect();
        let all = nodes.iter().fold(Q(0, 1), |sum, node| sum.add(Q::nano(node.weight)));
        let mut parts = Vec::new();
        for node in nodes {
            let nominal = nominal.mul(Q::nano(node.weight)).div(all);
            let mut own = Vec::new();
            let points = if node.children.is_empty() {
                let (value, points) = value(node.id);
                own.push(Leaf(node.id, nominal, Q(i128::from(points.is_some()), 1), points, value));
                points
            } else {
                expand(&node.children, unit, nominal, value, &mut own)
            };
            parts.push((node.weight, points, own));
        }
        let sum =
            parts.iter().filter(|part| part.1.is_some()).fold(Q(0, 1), |sum, part| sum.add(Q::nano(part.0)));
        let mut mean = None;
        for (weight, points, own) in parts {
            let share = if points.is_some() { Q::nano(weight).div(sum) } else { Q(0, 1) };
            if let Some(points) = points {
                mean = Some(mean.unwrap_or(Q(0, 1)).add(share.mul(points)));
            }
            out.extend(own.into_iter().map(|leaf| Leaf(leaf.0, leaf.1, leaf.2.mul(share), leaf.3, leaf.4)));
        }
        mean
    }

    /// By scope, unit and period: what streams bring by name.
    type Sums = BTreeMap<(&'static str, String, String), BTreeMap<&'static str, i64>>;

    /// What coverage and alerts bring, from the rows that their views should have.
    fn daily(history: &History, at: Tick) -> Sums {
        let mut sums = Sums::new();
        // As it was at the last multiple of the span at which it is taken.
        let (now, at) = (at, at - at % history.settings.score_inputs_every_ms);
        let mut add = |unit: &str, ts: i64, of: &[(&'static str, i64)]| {
            let scope = if unit == "city" { "city" } else { "district" };
            for (_, period) in case_rates::oracle::periods(history, ts, now) {
                let sums = sums.entry((scope, unit.to_owned(), period)).or_default();
                of.iter().for_each(|(name, n)| *sums.entry(name).or_default() += n);
            }
        };
        let some = |is: fn(&Row) -> bool| history.until(at).any(|(_, row)| is(row));
        if some(|row| matches!(row, Row::Reference(record) if record.kind == Kind::Road)) {
            for row in (crate::views::district_coverage::VIEW.oracle)(history, at) {
                let mm = |column: &str| (row[column].as_f64().unwrap() * 1000.0).round() as i64;
                let n = |column: &str| row[column].as_i64().unwrap();
                let of = [
                    ("coverage_shifts", 1),
                    ("planned_length", mm("length")),
                    ("swept_length", mm("swept_length")),
                    ("planned_roads", n("planned_roads")),
                    ("missed_roads", n("missed_roads")),
                ];
                // Noon of the date, eight hours ahead.
                let date = model::Period::parse(row["date"].as_str().unwrap()).unwrap();
                let noon = i64::from(date.start) * 86_400_000 + 4 * 3_600_000;
                if row["district"] != "unknown" {
                    add(row["district"].as_str().unwrap(), noon, &of);
                }
            }
        }
        if some(|row| matches!(row, Row::Reading(_))) {
            for row in (crate::views::alerts::VIEW.oracle)(history, at) {
                let state = row["state"].as_str().unwrap();
                if state == "withdrawn" {
                    continue;
                }
                let of = [
                    ("alerts_raised", 1),
                    ("alerts_severe", i64::from(row["peak"] == "severe")),
                    ("alerts_ended", i64::from(["cleared", "closed"].contains(&state))),
                ];
                for unit in [Some("city"), row["district"].as_str()].into_iter().flatten() {
                    add(unit, row["raised_ts"].as_i64().unwrap(), &of);
                }
            }
        }
        sums
    }

    /// Every score at `at`, before it is ranked.
    pub(crate) fn judged(history: &History, at: Tick) -> Vec<Verdict> {
        let of = |kind| reference::oracle::typed(history, at, kind);
        let mut schemes: BTreeMap<Sym, Vec<(Option<i32>, String, SchemeRef)>> = BTreeMap::new();
        for (id, typed) in of(Kind::ScoreScheme) {
            let Typed::ScoreScheme(scheme) = typed else { panic!("no scheme") };
            let version = (scheme.valid_from, history.name(id).to_owned(), *scheme.clone());
            schemes.entry(scheme.scheme).or_default().push(version);
        }
        if schemes.is_empty() {
            return Vec::new();
        }
        let indicators = of(Kind::Indicator);
        let groups = case_rates::oracle::groups(history, at);
        let name = |scope: Scored| match scope {
            Scored::City => "city",
            Scored::District => "district",
            Scored::Department => "department",
            Scored::Post => "post",
        };
        let mut measures: BTreeMap<(&str, String, String, String), (String, i64)> = BTreeMap::new();
        let mut cells: BTreeSet<(&str, String, String)> =
            groups.keys().filter(|(_, id, _)| id != "unknown").cloned().collect();
        let daily = daily(history, at);
        cells.extend(daily.keys().cloned());
        for (id, typed) in of(Kind::Measure) {
            let Typed::Measure(measure) = typed else { panic!("no measure") };
            let unit = history.name(measure.unit).to_owned();
            cells.insert((name(measure.scope), unit.clone(), measure.period.label()));
            let slot =
                measures.entry((name(measure.scope), unit, measure.period.label(), measure.name.to_string()));
            let mine = (history.name(id).to_owned(), measure.value);
            let slot = slot.or_insert_with(|| mine.clone());
            if slot.0 < mine.0 {
                *slot = mine;
            }
        }
        let mut grids: BTreeMap<String, i64> = BTreeMap::new();
        for ((kind, _), (_, body)) in reference::oracle::in_force(history, at) {
            if kind == Kind::Grid {
                let json: Json = serde_json::from_str(&body.json).unwrap();
                *grids.entry(json["district"].as_str().unwrap_or("").to_owned()).or_default() += 1;
            }
        }
        let mut said = Vec::new();
        for (scheme, versions) in &mut schemes {
            versions.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
            for (scope, unit, period) in &cells {
                let kind = case_rates::oracle::kind(period);
                let first = model::Period::parse(period).unwrap().start;
                let moves = kind == "rolling" || kind == "all";
                let holds =
                    versions.iter().rfind(|(from, ..)| moves || from.is_none_or(|from| from <= first));
                let Some((_, record, version)) = holds else { continue };
                let sym = history.names.intern(unit);
                if name(version.scope) != *scope
                    || !(version.units.is_empty() || version.units.contains(&sym))
                    || !version.periods.iter().any(|period| period.name() == kind)
                {
                    continue;
                }
                let key = (*scope, unit.clone(), period.clone());
                let input = |what: &str| {
                    if crate::casework::counts::COUNTS.iter().any(|count| count.name == what) {
                        return Some(
                            groups.get(&key).and_then(|counts| counts.get(what)).copied().unwrap_or(0),
                        );
                    }
                    match (what, *scope) {
                        ("grids", "district") => Some(grids.get(unit).copied().unwrap_or(0)),
                        ("grids", "city") => Some(grids.values().sum()),
                        ("grids", _) => None,
                        _ => {
                            let measured =
                                measures.get(&(*scope, unit.clone(), period.clone(), what.to_owned()));
                            let sum = |name: &str| daily.get(&key).and_then(|sums| sums.get(name)).copied();
                            let streamed = match what.split_once('_') {
                                Some(("alerts", _)) if ["city", "district"].contains(scope) => {
                                    Some(sum(what).unwrap_or(0))
                                }
                                _ => sum(what),
                            };
                            measured.map(|(_, value)| *value).or(streamed)
                        }
                    }
                };
                let value = |id: Sym| -> (Value, Option<Q>) {
                    let Some(Typed::Indicator(indicator)) = indicators.get(&id) else { return (None, None) };
                    if indicator.inputs.iter().any(|name| input(name).is_none()) {
                        return (None, None);
                    }
                    let (n, d) =
                        (formula(&indicator.numerator, &input), formula(&indicator.denominator, &input));
                    let Some((n, d)) = n.zip(d) else { return (None, None) };
                    match d {
                        0 if version.not_applicable == NotApplicable::Full => (Some((n, 0)), Some(Q(100, 1))),
                        0 => (Some((n, 0)), None),
                        _ => (Some((n, d)), Some(points(&indicator.scoring, (n, d)))),
                    }
                };
                let mut leaves = Vec::new();
                let total = expand(&version.nodes, sym, Q(1, 1), &value, &mut leaves);
                let known = leaves.iter().filter(|leaf| leaf.4.is_some());
                let completeness = known.fold(Q(0, 1), |sum, leaf| sum.add(leaf.1));
                let span = span(history, period);
                let end = span.map(|(_, end)| end);
                let over = end.is_some_and(|end| end <= at as i64);
                let grade = total
                    .and_then(|total| version.grades.iter().find(|grade| !total.less(Q::nano(grade.from))));
                let inputs = |id: Sym| -> serde_json::Map<String, Json> {
                    let Some(Typed::Indicator(indicator)) = indicators.get(&id) else {
                        return Default::default();
                    };
                    indicator.inputs.iter().map(|name| (name.to_string(), json!(input(name)))).collect()
                };
                let leaf = |leaf: &Leaf| {
                    let contribution = leaf.3.map_or(Q(0, 1), |points| points.mul(leaf.2));
                    json!({
                        "scheme": history.name(*scheme), "district": unit, "indicator": history.name(leaf.0),
                        "period": period,
                        "value": leaf.4.filter(|(_, d)| *d != 0).map(|(n, d)| n as f64 / d as f64),
                        "score": leaf.3.map(Q::float), "weight": leaf.2.float(),
                        "numerator": leaf.4.map(|(n, _)| n), "denominator": leaf.4.map(|(_, d)| d),
                        "contribution": contribution.float(), "contribution_exact": contribution.text(),
                        "state": match leaf.4 { None => "missing", Some((_, 0)) => "not_applicable", _ => "counted" },
                        "provisional": !over || leaf.4.is_none(), "inputs": inputs(leaf.0),
                    })
                };
                said.push(Verdict {
                    scheme: history.name(*scheme).to_owned(),
                    unit: unit.clone(),
                    period: period.clone(),
                    scope,
                    record: record.clone(),
                    total,
                    grade: grade.map(|grade| (grade.name.to_string(), grade.colour.to_string())),
                    completeness,
                    provisional: !over || completeness != Q(1, 1),
                    span,
                    publish: end.zip(version.publish_after_ms).map(|(end, wait)| end + wait),
                    indicators: leaves.iter().map(leaf).collect(),
                });
            }
        }
        said
    }

    /// The rows of `scores` without versions, each with the instant of its publication.
    fn ranked(history: &History, at: Tick) -> Vec<(Json, Option<i64>)> {
        let all = judged(history, at);
        let row = |scored: &Verdict| {
            let beaten_by = all.iter().filter(|other| {
                (&other.scheme, &other.period) == (&scored.scheme, &scored.period)
                    && other.total.zip(scored.total).is_some_and(|(other, own)| own.less(other))
            });
            let row = json!({
                "scheme": scored.scheme, "district": scored.unit, "period": scored.period,
                "score": scored.total.map(Q::float), "grade": scored.grade.as_ref().map(|grade| &grade.0),
                "colour": scored.grade.as_ref().map(|grade| &grade.1),
                "rank": scored.total.map(|_| 1 + beaten_by.count()),
                "completeness": scored.completeness.float(), "score_exact": scored.total.map(Q::text),
                "record": scored.record, "scope": scored.scope, "provisional": scored.provisional,
                "from_ts": scored.span.map(|span| span.0), "until_ts": scored.span.map(|span| span.1),
            });
            (row, scored.publish)
        };
        all.iter().map(row).collect()
    }

    /// Versions by what they are of.
    type Published = BTreeMap<(String, String, String), Vec<Json>>;

    thread_local! {
        /// What was published through the last tick asked for, of the history with these names.
        static PUBLISHED: RefCell<Option<(Arc<Names>, Tick, Published)>> = const { RefCell::new(None) };
    }

    /// What was published through `at`: tick by tick from where the last call for this history ended.
    pub(crate) fn published(history: &History, at: Tick) -> Published {
        let kept =
            PUBLISHED.take().filter(|(names, tick, _)| Arc::ptr_eq(names, &history.names) && *tick <= at);
        let (through, mut published) =
            kept.map_or((0, Published::new()), |(_, tick, published)| (tick, published));
        for tick in history.ticks(at).filter(|tick| *tick > through) {
            for (row, publish) in ranked(history, tick) {
                if publish.is_none_or(|publish| publish > tick as i64) {
                    continue;
                }
                let text = |column: &str| row[column].as_str().unwrap().to_owned();
                let versions =
                    published.entry((text("scheme"), text("district"), text("period"))).or_default();
                let columns = ["score", "grade", "colour", "rank", "completeness", "score_exact", "record"];
                if versions
                    .last()
                    .is_some_and(|last| columns.iter().all(|column| last[*column] == row[*column]))
                {
                    continue;
                }
                let mut version = json!({
                    "scheme": row["scheme"], "district": row["district"], "period": row["period"],
                    "version": versions.len() + 1, "published_ts": tick,
                });
                for column in columns {
                    version[column] = row[column].clone();
                }
                versions.push(version);
            }
        }
        PUBLISHED.set(Some((Arc::clone(&history.names), at, published.clone())));
        published
    }

    pub(crate) fn rows(history: &History, at: Tick) -> Vec<Json> {
        let published = published(history, at);
        let row = |(mut row, _): (Json, Option<i64>)| {
            let text = |column: &str| row[column].as_str().unwrap().to_owned();
            let versions = published.get(&(text("scheme"), text("district"), text("period")));
            row["version"] = versions.map_or(0, Vec::len).into();
            row
        };
        ranked(history, at).into_iter().map(row).collect()
    }
}
