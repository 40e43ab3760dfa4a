//! Views as they were at a tick, and which rows of them belong to a score.
//!
//! [`At`] holds the rows of the views that explain scores, all of one tick: from the store, or from the warehouse where
//! the store has forgotten. [`Within`] says which cases count in a score. Rows are shared, not copied; nothing is kept
//! between requests.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::period::{day_of, midnight};
use model::{Names, Period, PeriodKind, Tick, Value, ViewSpec};
use serde_json::Value as Json;

use crate::problem::Problem;
use crate::store::{Gone, Row, Snapshot, Store};

/// Where rows come from that the store has forgotten.
pub(super) type Old<'a> = &'a dyn Fn(&ViewSpec, Tick, Gone) -> Result<Snapshot, Problem>;

/// The rows of one view at one tick.
pub(super) struct Table {
    pub(super) spec: ViewSpec,
    pub(super) rows: Vec<Arc<Row>>,
}

impl Table {
    pub(super) fn read(store: &Store, view: &str, at: Tick, old: Old<'_>) -> Result<Self, Problem> {
        let (id, spec) = store
            .view(view)
            .ok_or_else(|| Problem::not_found(format!("there is no view `{view}` to explain from")))?;
        let rows = match store.as_of(id, at) {
            Ok(snapshot) => snapshot.rows,
            Err(gone) => old(spec, at, gone)?.rows,
        };
        Ok(Self { spec: *spec, rows })
    }

    pub(super) fn value<'a>(&self, row: &'a Row, column: &str) -> &'a Value {
        static NULL: Value = Value::Null;
        self.spec.column(column).map_or(&NULL, |at| &row.values[at])
    }

    pub(super) fn text<'a>(&self, row: &'a Row, column: &str, names: &'a Names) -> Option<&'a str> {
        self.value(row, column).as_str(names)
    }

    pub(super) fn int(&self, row: &Row, column: &str) -> Option<i64> {
        match self.value(row, column) {
            Value::Int(n) => Some(*n),
            _ => None,
        }
    }

    /// The rows whose columns have these texts.
    pub(super) fn with<'a>(
        &'a self,
        names: &'a Names,
        is: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = &'a Arc<Row>> {
        let takes =
            move |row: &Row| is.iter().all(|(column, text)| self.text(row, column, names) == Some(*text));
        self.rows.iter().filter(move |row| takes(row))
    }

    /// A row as JSON.
    pub(super) fn json(&self, row: &Row, names: &Names) -> Json {
        serde_json::from_slice(row.json(&self.spec, names)).unwrap_or(Json::Null)
    }
}

/// What explains scores, at one tick.
pub(super) struct At<'a> {
    pub(super) names: &'a Names,
    pub(super) tick: Tick,
    /// City time minus UTC, ms.
    offset_ms: i64,
    pub(super) scores: Table,
    pub(super) indicators: Table,
    pub(super) cases: Table,
    pub(super) reference: Table,
    /// Where these views run.
    pub(super) coverage: Option<Table>,
    pub(super) alerts: Option<Table>,
}

impl<'a> At<'a> {
    pub(super) fn read(
        store: &'a Store,
        tick: Tick,
        utc_offset_min: i32,
        old: Old<'_>,
    ) -> Result<Self, Problem> {
        let table = |view| Table::read(store, view, tick, old);
        let maybe = |view| store.view(view).map(|_| table(view)).transpose();
        Ok(Self {
            names: store.names(),
            tick,
            offset_ms: i64::from(utc_offset_min) * 60_000,
            scores: table("scores")?,
            indicators: table("indicators")?,
            cases: table("cases")?,
            reference: table("reference")?,
            coverage: maybe("district_coverage")?,
            alerts: maybe("alerts")?,
        })
    }

    pub(super) fn score(&self, [scheme, district, period]: &[String; 3]) -> Option<&Arc<Row>> {
        let is = [("scheme", scheme.as_str()), ("district", district), ("period", period)];
        self.scores.rows.iter().find(|row| {
            is.iter().all(|(column, text)| self.scores.text(row, column, self.names) == Some(*text))
        })
    }

    pub(super) fn record(&self, kind: &str, id: &str) -> Json {
        let mut rows = self.reference.rows.iter().filter(|row| {
            self.reference.text(row, "kind", self.names) == Some(kind)
                && self.reference.text(row, "id", self.names) == Some(id)
        });
        let json = rows.next().and_then(|row| self.reference.text(row, "json", self.names));
        json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or(Json::Null)
    }

    /// The indicators of a score by id.
    pub(super) fn leaves(&self, [scheme, district, period]: &[String; 3]) -> BTreeMap<String, Arc<Row>> {
        let is = [("scheme", scheme.as_str()), ("district", district), ("period", period)];
        let rows = self.indicators.with(self.names, &is);
        let id = |row: &Arc<Row>| self.indicators.text(row, "indicator", self.names).unwrap_or("").to_owned();
        rows.map(|row| (id(row), Arc::clone(row))).collect()
    }
}

/// What one row of a stream's view is in: inputs by name.
pub(super) type Inputs = BTreeMap<&'static str, i64>;

/// Which rows belong to a score: column and id, and the period.
pub(super) struct Within<'a> {
    column: Option<&'static str>,
    id: &'a str,
    period: Option<Period>,
    city: bool,
}

impl<'a> Within<'a> {
    pub(super) fn of(at: &At<'_>, score: &Row, key: &'a [String; 3]) -> Self {
        let column = match at.scores.text(score, "scope", at.names) {
            Some("district") => Some("district"),
            Some("department") => Some("department"),
            _ => None,
        };
        let city = at.scores.text(score, "scope", at.names) == Some("city");
        Self { column, id: &key[1], period: Period::parse(&key[2]), city }
    }

    /// The first day of the period and the first after it, at this tick: windows end with its day. `None` for everything.
    fn days(&self, at: &At<'_>) -> Option<(i32, i32)> {
        let period = self.period?;
        match period.kind {
            PeriodKind::Rolling => {
                let today = day_of(i64::try_from(at.tick).unwrap_or(i64::MAX), at.offset_ms);
                Some((today - period.start + 1, today + 1))
            }
            _ => Some((period.start, period.end()?)),
        }
    }

    /// The same as instants, Unix ms.
    fn span(&self, at: &At<'_>) -> Option<(i64, i64)> {
        self.days(at).map(|(from, until)| (midnight(from, at.offset_ms), midnight(until, at.offset_ms)))
    }

    /// Whether the same instants are in the period at both ticks.
    pub(super) fn stands(&self, before: &At<'_>, after: &At<'_>) -> bool {
        self.days(before) == self.days(after)
    }

    /// What shifts and alerts are in, by what names them. Rows that their views no longer hold are not there.
    pub(super) fn streams(&self, at: &At<'_>) -> BTreeMap<String, Inputs> {
        let mut found = BTreeMap::new();
        let (days, span) = (self.days(at), self.span(at));
        if !(self.city || self.column == Some("district")) {
            return found;
        }
        for (table, row) in
            at.coverage.iter().flat_map(|table| table.rows.iter().map(move |row| (table, row)))
        {
            let text = |column| table.text(row, column, at.names).unwrap_or("");
            let day = Period::parse(text("date")).map_or(i32::MIN, |date| date.start);
            let within = days.is_none_or(|(from, until)| (from..until).contains(&day));
            if !within || text("district") != if self.city { "city" } else { self.id } {
                continue;
            }
            let mm = |column| match table.value(row, column) {
                Value::Float(metres) => (metres * 1000.0).round() as i64,
                _ => 0,
            };
            let inputs = Inputs::from([
                ("coverage_shifts", 1),
                ("planned_length", mm("length")),
                ("swept_length", mm("swept_length")),
                ("planned_roads", table.int(row, "planned_roads").unwrap_or(0)),
                ("missed_roads", table.int(row, "missed_roads").unwrap_or(0)),
            ]);
            found.insert(format!("shift/{}/{}", text("shift"), text("date")), inputs);
        }
        for (table, row) in at.alerts.iter().flat_map(|table| table.rows.iter().map(move |row| (table, row)))
        {
            let text = |column| table.text(row, column, at.names).unwrap_or("");
            let raised = table.int(row, "raised_ts").unwrap_or(i64::MIN);
            let within = span.is_none_or(|(from, until)| (from..until).contains(&raised));
            if !within || text("state") == "withdrawn" || !(self.city || text("district") == self.id) {
                continue;
            }
            let ended = matches!(text("state"), "cleared" | "closed");
            let inputs = Inputs::from([
                ("alerts_raised", 1),
                ("alerts_severe", i64::from(text("peak") == "severe")),
                ("alerts_ended", i64::from(ended)),
            ]);
            found.insert(format!("alert/{}", text("alert_id")), inputs);
        }
        found
    }

    /// The counts that a case is in.
    pub(super) fn counts(&self, at: &At<'_>, row: &Row) -> Vec<String> {
        let inside = self.column.is_none_or(|column| at.cases.text(row, column, at.names) == Some(self.id));
        let json = at.cases.text(row, "counts", at.names).filter(|_| inside);
        let by_instant: BTreeMap<String, Vec<String>> =
            json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
        let span = self.span(at);
        let counted = by_instant.into_iter().filter(|(instant, _)| {
            let ts = instant.parse().unwrap_or(i64::MIN);
            span.is_none_or(|(from, until)| (from..until).contains(&ts))
        });
        let mut counts: Vec<String> = counted.flat_map(|(_, counts)| counts).collect();
        counts.sort();
        counts
    }
}
