//! `case_rates`: the counts and rates of the evaluation, as exact integers, by scope and period.
//!
//! **Meaning.** A case counts for the city, its district (`unknown` when no report says which), its department, unit
//! grid, class and channel, and for the posts that did its steps; in each, for the day, week, month, quarter and year in
//! which the defining event of a count falls ([`crate::casework::counts`]), for the whole log (`all`), and for the last
//! days (`last-30d`, the day of T included). So the districts add up to the city in every frame, and days to months.
//! A rate is a quotient of two counts of its row, null for 0/0. Which kinds of periods each kind of scope has is a
//! setting ([`crate::settings::Statistics`]).
//!
//! **Mechanism.** What a case counts in before and after a change is compared; only the differences travel, those of one
//! scope and day together, to the worker of the scope, which adds them to the cells of the periods that the day belongs
//! to. At midnight of the city the rolling windows are summed anew from their days.
//!
//! **State.** One vector of counts per scope and period with something to count, and nothing per case.

use std::sync::Arc;

use foldhash::HashMap;
use model::period::{day_of, midnight};
use model::{Column, Period, PeriodKind, Sym, Tick, Type, Value, ViewSpec};
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::vec::Map;

use super::View;
use super::cases::CaseRow;
use crate::Settings;
use crate::casework::counts::{COUNTS, Count, Fact, N, RATES, facts, quotient};
use crate::operators::delta::{Delta, Keyed};
use crate::operators::publish::ViewRow;
use crate::operators::ticked::{Tagged, Ticked, ticked};
use crate::operators::{route, spread};
use crate::settings::Statistics;

/// Columns before the counts.
const HEAD: [Column; 4] = [
    Column::new("scope", Type::Text, "范围", "city, district, department, grid, class, channel or post."),
    Column::new(
        "id",
        Type::Text,
        "编号",
        "Of the scope; `city` for the city; `unknown` for cases without a district; supervisor, acceptor, shift_leader \
         or dispatcher for a post.",
    ),
    Column::new(
        "period",
        Type::Text,
        "周期",
        "2026-11-24, 2026-W48, 2026-11, 2026-Q4, 2026, all or last-30d.",
    ),
    Column::new("kind", Type::Text, "周期种类", "day, week, month, quarter, year, all or rolling."),
];

/// All columns: head, counts, rates.
const COLUMNS: [Column; HEAD.len() + N + RATES.len()] = {
    let mut columns = [HEAD[0]; HEAD.len() + N + RATES.len()];
    let mut i = 0;
    while i < columns.len() {
        columns[i] = if i < HEAD.len() {
            HEAD[i]
        } else if i < HEAD.len() + N {
            let count = COUNTS[i - HEAD.len()];
            Column::new(count.name, Type::Int, count.zh, count.doc)
        } else {
            let rate = RATES[i - HEAD.len() - N];
            Column::new(rate.name, Type::Float, rate.zh, rate.doc).nullable()
        };
        i += 1;
    }
    columns
};

/// The view.
pub const VIEW: View = View {
    spec: ViewSpec {
        name: "case_rates",
        zh: "案件统计",
        doc: "Counts and rates of cases by scope and period.",
        key: 3,
        columns: &COLUMNS,
        bounded_by: "scopes named in cases times the periods in which something happened there",
    },
    render: |context, id| context.publish(context.case_rates.clone(), id),
    #[cfg(test)]
    oracle: oracle::rows,
};

/// A post of the operations room; cases don't say who held it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Post {
    /// 监督员.
    Supervisor,
    /// 受理员.
    Acceptor,
    /// 值班长.
    ShiftLeader,
    /// 派遣员.
    Dispatcher,
}

impl Post {
    /// All posts.
    pub const ALL: [Post; 4] = [Self::Supervisor, Self::Acceptor, Self::ShiftLeader, Self::Dispatcher];

    /// The name in views.
    pub fn name(self) -> &'static str {
        match self {
            Self::Supervisor => "supervisor",
            Self::Acceptor => "acceptor",
            Self::ShiftLeader => "shift_leader",
            Self::Dispatcher => "dispatcher",
        }
    }

    /// Whether `count` is of this post's work.
    fn does(self, count: Count) -> bool {
        use Count as C;
        let own: &[Count] = match self {
            Self::Supervisor => &[
                C::PatrolReported,
                C::PatrolFiled,
                C::Missed,
                C::Filed,
                C::ToConfirm,
                C::ConfirmedInTime,
                C::ToCheck,
                C::CheckedInTime,
            ],
            Self::Acceptor => &[C::Accepted, C::AcceptedInTime, C::Rejected],
            Self::ShiftLeader => &[C::Filed, C::FiledInTime, C::Voided, C::Closed, C::ClosedPromptly],
            Self::Dispatcher => &[C::ToDispatch, C::Dispatched, C::DispatchedInTime, C::Returned],
        };
        own.contains(&count)
    }
}

/// Whose counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// Everything.
    City,
    /// A district; empty = unknown.
    District(Sym),
    /// A department.
    Department(Sym),
    /// A unit grid.
    Grid(Sym),
    /// A case class.
    Class(Sym),
    /// A source of reports.
    Channel(Sym),
    /// A post.
    Post(Post),
}

impl Scope {
    /// The name of the kind of scope.
    pub fn name(self) -> &'static str {
        match self {
            Self::City => "city",
            Self::District(_) => "district",
            Self::Department(_) => "department",
            Self::Grid(_) => "grid",
            Self::Class(_) => "class",
            Self::Channel(_) => "channel",
            Self::Post(_) => "post",
        }
    }

    /// The id within the kind.
    pub fn id(self) -> Value {
        match self {
            Self::City => Value::Literal("city"),
            Self::District(Sym::EMPTY) => Value::Literal("unknown"),
            Self::District(id)
            | Self::Department(id)
            | Self::Grid(id)
            | Self::Class(id)
            | Self::Channel(id) => Value::Name(id),
            Self::Post(post) => Value::Literal(post.name()),
        }
    }

    /// The kinds of periods that it has.
    fn periods(self, statistics: &Statistics) -> &[PeriodKind] {
        match self {
            Self::City => &statistics.city,
            Self::District(_) => &statistics.district,
            Self::Department(_) => &statistics.department,
            Self::Grid(_) => &statistics.grid,
            Self::Class(_) => &statistics.class,
            Self::Channel(_) => &statistics.channel,
            Self::Post(_) => &statistics.post,
        }
    }

    /// The worker that has it, modulo their number.
    pub fn route(self) -> u64 {
        match self {
            Self::City => route(0),
            Self::Post(post) => route(1 + post as u32),
            Self::District(id)
            | Self::Department(id)
            | Self::Grid(id)
            | Self::Class(id)
            | Self::Channel(id) => route(id.0),
        }
    }
}

/// The vector of counts.
pub type Counts = [i64; N];

/// A row of the view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateRow {
    /// Whose.
    pub scope: Scope,
    /// When.
    pub period: Period,
    /// The label of the period.
    pub label: Arc<str>,
    /// How many, by [`Count`].
    pub counts: Arc<Counts>,
}

impl Keyed for RateRow {
    type Key = (Scope, Period);
    fn key(&self) -> (Scope, Period) {
        (self.scope, self.period)
    }
}

impl ViewRow for RateRow {
    fn values(&self, out: &mut Vec<Value>) {
        out.push(Value::Literal(self.scope.name()));
        out.push(self.scope.id());
        out.push(Value::Text(Arc::clone(&self.label)));
        out.push(Value::Literal(self.period.kind.name()));
        out.extend(self.counts.iter().map(|count| Value::Int(*count)));
        out.extend(RATES.iter().map(|rate| match quotient(rate, &self.counts) {
            (_, 0) => Value::Null,
            (of, out_of) => Value::Float(of as f64 / out_of as f64),
        }));
    }
}

/// What a scope's counts of a day change by.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Part {
    scope: Scope,
    day: i32,
    /// Places of counts, and by how much.
    changes: Vec<(u8, i64)>,
}

/// Renders the rows, each at the worker of its scope.
pub(super) fn operate<'s>(
    cases: Tagged<'s, Delta<CaseRow>>,
    settings: &Arc<Settings>,
) -> Tagged<'s, Delta<RateRow>> {
    let mut differences = Differences {
        offset_ms: i64::from(settings.utc_offset_min) * 60_000,
        settings: Arc::clone(settings),
        old: Vec::new(),
        new: Vec::new(),
        same: Vec::new(),
    };
    let parts = cases.flat_map(move |(tick, delta)| {
        let mut parts = Vec::new();
        differences.of(&delta, &mut parts);
        parts.into_iter().map(move |part| (tick, part))
    });
    let parts = spread(parts, |part: &Part| part.scope.route());
    ticked(parts, "case_rates", Rates::new(settings))
}

/// The scopes of a case, without those that it does not name; the district is always one.
fn scopes(row: &CaseRow) -> impl Iterator<Item = Scope> {
    let named = [
        Scope::Department(row.department),
        Scope::Grid(row.grid),
        Scope::Class(row.class),
        Scope::Channel(row.source),
    ];
    let is = [row.department, row.grid, row.class, row.source].map(|name| name != Sym::EMPTY);
    let named = named.into_iter().zip(is).filter_map(|(scope, is)| is.then_some(scope));
    [Scope::City, Scope::District(row.district)].into_iter().chain(named)
}

/// What changes of cases change in counts.
struct Differences {
    settings: Arc<Settings>,
    offset_ms: i64,
    old: Vec<Fact>,
    new: Vec<Fact>,
    /// Those that are in both.
    same: Vec<Fact>,
}

impl Differences {
    fn of(&mut self, delta: &Delta<CaseRow>, parts: &mut Vec<Part>) {
        self.old.clear();
        self.new.clear();
        if let Some(row) = &delta.old {
            facts(row, &mut self.old);
        }
        if let Some(row) = &delta.new {
            facts(row, &mut self.new);
        }
        // Nothing is told twice where the case stays in its scopes: only what differs travels.
        if let (Some(old), Some(new)) = (&delta.old, &delta.new)
            && scopes(old).eq(scopes(new))
        {
            self.same.clear();
            self.same.extend(self.old.iter().filter(|fact| self.new.binary_search(fact).is_ok()));
            for facts in [&mut self.old, &mut self.new] {
                facts.retain(|fact| self.same.binary_search(fact).is_err());
            }
        }
        for (row, facts, sign) in [(&delta.old, &mut self.old, -1), (&delta.new, &mut self.new, 1)] {
            let Some(row) = row else { continue };
            facts.sort_unstable_by_key(|(count, _, ts)| (day_of(*ts, self.offset_ms), *count));
            for of_day in
                facts.chunk_by(|(.., a), (.., b)| day_of(*a, self.offset_ms) == day_of(*b, self.offset_ms))
            {
                let day = day_of(of_day[0].2, self.offset_ms);
                let of = |is: &dyn Fn(Count) -> bool| -> Vec<(u8, i64)> {
                    let facts = of_day.iter().filter(|(count, ..)| is(*count));
                    facts.map(|(count, n, _)| (*count as u8, n * sign)).collect()
                };
                let asked = |scope: &Scope| !scope.periods(&self.settings.statistics).is_empty();
                let whole = scopes(row).filter(asked).map(|scope| (scope, of(&|_| true)));
                let posts = Post::ALL.iter().filter(|post| asked(&Scope::Post(**post)));
                let posts = posts.map(|post| (Scope::Post(*post), of(&|count| post.does(count))));
                let kept = whole.chain(posts).filter(|(_, changes)| !changes.is_empty());
                parts.extend(kept.map(|(scope, changes)| Part { scope, day, changes }));
            }
        }
    }
}

/// The counts of a scope in a period.
struct Cell {
    label: Arc<str>,
    counts: Arc<Counts>,
    /// What they were before the tick, once something changed in it.
    before: Option<Arc<Counts>>,
}

impl Cell {
    fn new(period: Period) -> Self {
        Self { label: period.label().into(), counts: Arc::new([0; N]), before: None }
    }

    /// The counts, to be changed; whether nothing changed in this tick before.
    fn change(&mut self) -> (&mut Counts, bool) {
        let first = self.before.is_none();
        if first {
            self.before = Some(Arc::clone(&self.counts));
        }
        (Arc::make_mut(&mut self.counts), first)
    }
}

fn empty(counts: &Counts) -> bool {
    counts.iter().all(|count| *count == 0)
}

struct Rates {
    settings: Arc<Settings>,
    offset_ms: i64,
    units: HashMap<Scope, HashMap<Period, Cell>>,
    /// Cells that changed in the tick.
    touched: Vec<(Scope, Period)>,
    /// The last day of the rolling windows, once there is something.
    today: Option<i32>,
}

impl Rates {
    fn new(settings: &Arc<Settings>) -> Self {
        let offset_ms = i64::from(settings.utc_offset_min) * 60_000;
        let settings = Arc::clone(settings);
        Self { settings, offset_ms, units: HashMap::default(), touched: Vec::new(), today: None }
    }

    fn add(&mut self, part: &Part, today: i32) {
        let cells = self.units.entry(part.scope).or_default();
        let days = self.settings.rolling_days;
        for kind in part.scope.periods(&self.settings.statistics) {
            let period = match kind {
                PeriodKind::Rolling if (today - days + 1..=today).contains(&part.day) => {
                    Period { kind: PeriodKind::Rolling, start: days }
                }
                PeriodKind::Rolling => continue,
                kind => Period::of(*kind, part.day),
            };
            let (counts, first) = cells.entry(period).or_insert_with(|| Cell::new(period)).change();
            for (count, n) in &part.changes {
                counts[usize::from(*count)] += n;
            }
            if first {
                self.touched.push((part.scope, period));
            }
        }
    }

    /// Sums the rolling windows anew; days are kept wherever windows are.
    fn roll(&mut self, today: i32) {
        let window = Period { kind: PeriodKind::Rolling, start: self.settings.rolling_days };
        for (scope, cells) in &mut self.units {
            let mut sum = [0; N];
            for day in today - window.start + 1..=today {
                if let Some(cell) = cells.get(&Period::of(PeriodKind::Day, day)) {
                    sum.iter_mut().zip(cell.counts.iter()).for_each(|(sum, count)| *sum += count);
                }
            }
            let rolls = scope.periods(&self.settings.statistics).contains(&PeriodKind::Rolling);
            if rolls && cells.get(&window).map_or(!empty(&sum), |cell| *cell.counts != sum) {
                *cells.entry(window).or_insert_with(|| Cell::new(window)).change().0 = sum;
                self.touched.push((*scope, window));
            }
        }
    }
}

impl Ticked for Rates {
    type In = Part;
    type Out = Delta<RateRow>;

    fn tick(&mut self, tick: Tick, input: &mut Vec<Part>, out: &mut Vec<Delta<RateRow>>) {
        let today = day_of(i64::try_from(tick).unwrap_or(i64::MAX), self.offset_ms);
        if self.today.replace(today).is_some_and(|day| day != today) {
            self.roll(today);
        }
        for part in input.drain(..) {
            self.add(&part, today);
        }
        for (scope, period) in self.touched.drain(..) {
            let Some(cells) = self.units.get_mut(&scope) else { continue };
            let Some(cell) = cells.get_mut(&period) else { continue };
            let row = |counts: Arc<Counts>| {
                let label = Arc::clone(&cell.label);
                (!empty(&counts)).then_some(RateRow { scope, period, label, counts })
            };
            let (old, new) = (cell.before.take().and_then(row), row(Arc::clone(&cell.counts)));
            if new.is_none() {
                cells.remove(&period);
            }
            if cells.is_empty() {
                self.units.remove(&scope);
            }
            out.extend(Delta::between(old, new));
        }
    }

    fn due(&self) -> Option<Tick> {
        let today = self.today.filter(|_| !self.units.is_empty())?;
        Some(self.settings.tick.ceil(midnight(today + 1, self.offset_ms)))
    }
}

/// Naive recomputation from all rows.
#[cfg(test)]
pub(crate) mod oracle {
    use std::collections::BTreeMap;

    use model::Tick;
    use serde_json::{Map, Value as Json, json};

    use crate::testing::History;
    use crate::views::cases::oracle::told;

    /// What is in the row of a scope, id and period.
    pub(crate) type Groups = BTreeMap<(&'static str, String, String), BTreeMap<&'static str, i64>>;

    /// The year, month and day of a day since 1970-01-01, counted off day by day.
    fn civil(mut day: i64) -> (i64, i64, i64) {
        let leap = |year: i64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        let mut year = 1970;
        while day >= 365 + i64::from(leap(year)) {
            day -= 365 + i64::from(leap(year));
            year += 1;
        }
        let lengths = [31, 28 + i64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let mut month = 0;
        while day >= lengths[month] {
            day -= lengths[month];
            month += 1;
        }
        (year, month as i64 + 1, day + 1)
    }

    /// The periods of an instant in a city eight hours ahead, as labels, with their kinds.
    pub(crate) fn periods(history: &History, ts: i64, at: Tick) -> Vec<(&'static str, String)> {
        let day = (ts + 8 * 3_600_000).div_euclid(86_400_000);
        let (year, month, of_month) = civil(day);
        // The week belongs to the year of its Thursday.
        let thursday = day - (day + 3) % 7 + 3;
        let (week_year, ..) = civil(thursday);
        let mut first = thursday;
        while civil(first - 7).0 == week_year {
            first -= 7;
        }
        let week = (thursday - first) / 7 + 1;
        let mut periods = vec![
            ("day", format!("{year}-{month:02}-{of_month:02}")),
            ("week", format!("{week_year}-W{week:02}")),
            ("month", format!("{year}-{month:02}")),
            ("quarter", format!("{year}-Q{}", (month + 2) / 3)),
            ("year", format!("{year}")),
            ("all", "all".to_owned()),
        ];
        let today = (at as i64 + 8 * 3_600_000).div_euclid(86_400_000);
        let days = i64::from(history.settings.rolling_days);
        if day <= today && day > today - days {
            periods.push(("rolling", format!("last-{days}d")));
        }
        periods
    }

    fn posts(count: &str) -> Vec<&'static str> {
        let all: [(&str, &[&str]); 4] = [
            (
                "supervisor",
                &[
                    "patrol_reported",
                    "patrol_filed",
                    "missed",
                    "filed",
                    "to_confirm",
                    "confirmed_in_time",
                    "to_check",
                    "checked_in_time",
                ],
            ),
            ("acceptor", &["accepted", "accepted_in_time", "rejected"]),
            ("shift_leader", &["filed", "filed_in_time", "voided", "closed", "closed_promptly"]),
            ("dispatcher", &["to_dispatch", "dispatched", "dispatched_in_time", "returned"]),
        ];
        all.into_iter().filter(|(_, counts)| counts.contains(&count)).map(|(post, _)| post).collect()
    }

    /// Every case into every group that it counts in.
    pub(crate) fn groups(history: &History, at: Tick) -> Groups {
        let mut groups = Groups::new();
        let mut known = BTreeMap::new();
        for case in told(history, at) {
            let mut places = vec![("city", "city".to_owned())];
            places.push(("district", case.row["district"].as_str().unwrap_or("unknown").to_owned()));
            for (scope, column) in
                [("department", "department"), ("grid", "grid"), ("class", "class"), ("channel", "source")]
            {
                places.extend(case.row[column].as_str().map(|id| (scope, id.to_owned())));
            }
            for (count, n, ts) in &case.counted {
                let posts = posts(count).into_iter().map(|post| ("post", post.to_owned()));
                for (scope, id) in places.iter().cloned().chain(posts) {
                    let statistics = &history.settings.statistics;
                    let kept = match scope {
                        "city" => &statistics.city,
                        "district" => &statistics.district,
                        "department" => &statistics.department,
                        "grid" => &statistics.grid,
                        "class" => &statistics.class,
                        "channel" => &statistics.channel,
                        _ => &statistics.post,
                    };
                    let day = (ts + 8 * 3_600_000).div_euclid(86_400_000);
                    for (kind, label) in known.entry(day).or_insert_with(|| periods(history, *ts, at)) {
                        let (kind, label) = (*kind, label.clone());
                        if kept.iter().any(|kept| kept.name() == kind) {
                            *groups
                                .entry((scope, id.clone(), label))
                                .or_default()
                                .entry(count)
                                .or_default() += n;
                        }
                    }
                }
            }
        }
        groups.retain(|_, counts| counts.values().any(|n| *n != 0));
        groups
    }

    /// Numerator less and denominator of each rate.
    const QUOTIENTS: [(&str, &str, &str, &str); 23] = [
        ("handling_rate", "handled", "", "to_handle"),
        ("in_time_handling_rate", "handled_in_time", "", "to_handle"),
        ("overdue_rate", "overdue", "", "to_handle"),
        ("extension_rate", "extended", "", "to_handle"),
        ("closing_rate", "closed", "", "to_close"),
        ("in_time_closing_rate", "closed_in_time", "", "to_close"),
        ("overdue_closing_rate", "closed_overdue", "", "to_close"),
        ("rework_rate", "reworked", "", "to_close"),
        ("in_time_filing_rate", "filed_in_time", "", "filed"),
        ("accurate_filing_rate", "filed", "voided", "filed"),
        ("in_time_dispatch_rate", "dispatched_in_time", "", "to_dispatch"),
        ("accurate_dispatch_rate", "dispatched", "returned", "to_dispatch"),
        ("valid_report_rate", "patrol_filed", "", "patrol_reported"),
        ("in_time_confirmation_rate", "confirmed_in_time", "", "to_confirm"),
        ("in_time_check_rate", "checked_in_time", "", "to_check"),
        ("missed_rate", "missed", "", "filed"),
        ("public_report_rate", "public_filed", "", "filed"),
        ("prompt_closing_rate", "closed_promptly", "", "closed"),
        ("completion_rate", "finished", "", "admitted"),
        ("response_rate", "accepted_in_time", "", "accepted"),
        ("resolution_rate", "resolved", "", "to_close"),
        ("satisfaction_rate", "satisfied", "", "rated"),
        ("repeat_rate", "repeated", "", "reported"),
    ];

    pub(crate) fn kind(label: &str) -> &'static str {
        match (label.len(), label) {
            (_, "all") => "all",
            (_, label) if label.starts_with("last-") => "rolling",
            (_, label) if label.contains('W') => "week",
            (_, label) if label.contains('Q') => "quarter",
            (10, _) => "day",
            (7, _) => "month",
            _ => "year",
        }
    }

    pub(crate) fn rows(history: &History, at: Tick) -> Vec<Json> {
        let row = |((scope, id, label), counts): ((&str, String, String), BTreeMap<&str, i64>)| {
            let count = |name: &str| counts.get(name).copied().unwrap_or(0);
            let mut row = Map::new();
            row.insert("scope".into(), scope.into());
            row.insert("id".into(), id.into());
            row.insert("kind".into(), kind(&label).into());
            row.insert("period".into(), label.into());
            for spec in crate::casework::counts::COUNTS {
                row.insert(spec.name.into(), count(spec.name).into());
            }
            for (rate, of, less, out_of) in QUOTIENTS {
                let (of, out_of) = (count(of) - count(less), count(out_of));
                let value = if out_of == 0 { Json::Null } else { json!(of as f64 / out_of as f64) };
                row.insert(rate.into(), value);
            }
            Json::Object(row)
        };
        groups(history, at).into_iter().map(row).collect()
    }
}
