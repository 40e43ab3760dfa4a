//! The rows of the views of scores, and what travels between their operators. Nothing is kept here.

use std::sync::Arc;

use model::reference::score::Scored;
use model::{Period, Sym, Tick, Value};
use scoring::{Exact, Leaf, Outcome, exact};
use serde::{Deserialize, Serialize};

use crate::operators::delta::Keyed;
use crate::operators::publish::ViewRow;
use crate::views::case_rates::Scope;

/// The unit that a scheme scores, if a scope of the statistics is one.
pub fn scored(scope: Scope) -> Option<Scored> {
    match scope {
        Scope::City => Some(Scored::City),
        Scope::District(id) if id != Sym::EMPTY => Some(Scored::District),
        Scope::Department(id) if id != Sym::EMPTY => Some(Scored::Department),
        Scope::Post(_) => Some(Scored::Post),
        _ => None,
    }
}

/// A row of `indicators`.
#[derive(Clone, Debug, PartialEq)]
pub struct IndicatorRow {
    /// The scheme.
    pub scheme: Sym,
    /// The unit.
    pub unit: Scope,
    /// The period.
    pub period: Period,
    /// What it says and contributes.
    pub leaf: Leaf,
    /// Its inputs by name as JSON, null where one is not known.
    pub inputs: Arc<str>,
    /// The period is not over, or the indicator is missing.
    pub provisional: bool,
}

impl Keyed for IndicatorRow {
    type Key = (Sym, Scope, Sym, Period);
    fn key(&self) -> Self::Key {
        (self.scheme, self.unit, self.leaf.indicator, self.period)
    }
}

fn float(exact: &Exact) -> Value {
    Value::Float(exact::to_f64(exact))
}

fn label(period: Period) -> Value {
    Value::Text(period.label().into())
}

impl ViewRow for IndicatorRow {
    fn values(&self, out: &mut Vec<Value>) {
        let leaf = &self.leaf;
        let (state, numerator, denominator) = match leaf.outcome {
            Outcome::Value { numerator, denominator } => ("counted", Some(numerator), Some(denominator)),
            Outcome::NotApplicable { numerator } => ("not_applicable", Some(numerator), Some(0)),
            Outcome::Missing => ("missing", None, None),
        };
        let value = numerator.zip(denominator).and_then(|(of, out_of)| exact::quotient(of, out_of));
        let int = |n: Option<i64>| n.map_or(Value::Null, Value::Int);
        out.push(Value::Name(self.scheme));
        out.push(self.unit.id());
        out.push(Value::Name(leaf.indicator));
        out.push(label(self.period));
        out.push(value.as_ref().map_or(Value::Null, float));
        out.push(leaf.points.as_ref().map_or(Value::Null, float));
        out.push(float(&leaf.share));
        out.push(int(numerator));
        out.push(int(denominator));
        out.push(float(&leaf.contribution));
        out.push(Value::Text(exact::text(&leaf.contribution).into()));
        out.push(Value::Literal(state));
        out.push(Value::Bool(self.provisional));
        out.push(Value::Text(Arc::clone(&self.inputs)));
    }
}

/// What a scheme says of a unit in a period, before it is ranked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// The scheme.
    pub scheme: Sym,
    /// The period.
    pub period: Period,
    /// The unit.
    pub unit: Scope,
    /// The version of the scheme: id of its record.
    pub record: Sym,
    /// The score, 0 to 100; `None` when no indicator counts.
    pub total: Option<Exact>,
    /// Name and colour.
    pub grade: Option<(Arc<str>, Arc<str>)>,
    /// Part of the weight whose indicators are not missing.
    pub completeness: Exact,
    /// The period is not over, or something is missing.
    pub provisional: bool,
    /// First instant of the period and first after it, Unix ms; none for those that move.
    pub span: Option<(i64, i64)>,
    /// From when on the period is published.
    pub publish: Option<Tick>,
}

/// A row of `scores`.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreRow {
    /// What was judged.
    pub judged: Judged,
    /// 1 for the best; none without a score.
    pub rank: Option<u32>,
    /// The last version that was published, 0 before the first.
    pub version: u32,
}

impl Keyed for ScoreRow {
    type Key = (Sym, Scope, Period);
    fn key(&self) -> Self::Key {
        (self.judged.scheme, self.judged.unit, self.judged.period)
    }
}

fn standing(judged: &Judged, rank: Option<u32>, out: &mut Vec<Value>) {
    out.push(judged.total.as_ref().map_or(Value::Null, float));
    let text = |text: &Arc<str>| Value::Text(Arc::clone(text));
    out.push(judged.grade.as_ref().map_or(Value::Null, |(name, _)| text(name)));
    out.push(judged.grade.as_ref().map_or(Value::Null, |(_, colour)| text(colour)));
    out.push(rank.map_or(Value::Null, |rank| Value::Int(i64::from(rank))));
    out.push(float(&judged.completeness));
    out.push(judged.total.as_ref().map_or(Value::Null, |total| Value::Text(exact::text(total).into())));
    out.push(Value::Name(judged.record));
}

impl ViewRow for ScoreRow {
    fn values(&self, out: &mut Vec<Value>) {
        out.push(Value::Name(self.judged.scheme));
        out.push(self.judged.unit.id());
        out.push(label(self.judged.period));
        standing(&self.judged, self.rank, out);
        out.push(Value::Literal(self.judged.unit.name()));
        out.push(Value::Bool(self.judged.provisional));
        out.push(Value::Int(i64::from(self.version)));
        out.push(self.judged.span.map_or(Value::Null, |(from, _)| Value::Int(from)));
        out.push(self.judged.span.map_or(Value::Null, |(_, until)| Value::Int(until)));
    }
}

/// A row of `score_versions`.
#[derive(Clone, Debug, PartialEq)]
pub struct VersionRow {
    /// What was published.
    pub judged: Judged,
    /// 1 for the best; none without a score.
    pub rank: Option<u32>,
    /// From 1.
    pub version: u32,
    /// When.
    pub published: Tick,
}

impl Keyed for VersionRow {
    type Key = (Sym, Scope, Period, u32);
    fn key(&self) -> Self::Key {
        (self.judged.scheme, self.judged.unit, self.judged.period, self.version)
    }
}

impl ViewRow for VersionRow {
    fn values(&self, out: &mut Vec<Value>) {
        out.push(Value::Name(self.judged.scheme));
        out.push(self.judged.unit.id());
        out.push(label(self.judged.period));
        out.push(Value::Int(i64::from(self.version)));
        standing(&self.judged, self.rank, out);
        out.push(Value::Int(i64::try_from(self.published).unwrap_or(i64::MAX)));
    }
}
