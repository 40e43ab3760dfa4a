//! The floor: the five questions answered by a program made for them, with hash maps and without any engine.
//!
//! **Meaning.** What the work itself costs when nothing is general: no ticks, no retractions, no changes published, one
//! thread, answers once at the end. An engine that keeps every answer current at every tick cannot be expected to
//! cost less.
//!
//! **Mechanism.** Records are decoded into borrowed fields (`sonic-rs`). Per sensor the readings in order of time, and
//! the alert machine, which runs again over the sensor's readings when one comes late; panes of a minute per kind and
//! district; a grid of segments for the nearest one, and a set of (segment, hour); the last event of each kind per case.
//!
//! **State.** Eight bytes a reading, 32 bytes a case, one entry per distinct (segment, hour).

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use foldhash::{HashMap, HashSet};
use model::{Error, Result};
use serde::Deserialize;

use crate::answers;
use crate::city5::Manifest;
use crate::city5::network::{UNITS, length_mm, metres_per_unit};
use crate::city5::rules::{Rules, Sums};

/// Side of a cell of the grid, 10⁻⁷ degrees: more than twice the reach in any direction.
const CELL: i64 = 10_000;
const HOUR_MS: i64 = 3_600_000;
const NEVER: i64 = i64::MIN;

#[derive(Deserialize)]
struct Reading<'a> {
    sensor_id: &'a str,
    ts: i64,
    value: f64,
}

#[derive(Deserialize)]
struct Position<'a> {
    #[serde(rename = "vehicle_id", borrow)]
    _vehicle: &'a str,
    ts: i64,
    lon: f64,
    lat: f64,
    working: bool,
}

#[derive(Deserialize)]
struct CaseEvent<'a> {
    case_id: &'a str,
    ts: i64,
    event: &'a str,
    district: Option<&'a str>,
    limit: Option<Limit>,
}

#[derive(Deserialize)]
struct Limit {
    amount: f64,
}

#[derive(Deserialize)]
struct Reference<'a> {
    kind: &'a str,
    id: &'a str,
    district: Option<&'a str>,
    sensor_kind: Option<&'a str>,
    geometry: Option<Geometry>,
}

#[derive(Deserialize)]
struct Geometry {
    coordinates: [[f64; 2]; 2],
}

struct Sensor {
    group: u32,
    district: u32,
    /// Seconds since the start would lose the ms: offsets from the start of the run, and tenths.
    points: Vec<(u32, i16)>,
    machine: Machine,
    alerts: Vec<(i64, Option<i64>)>,
}

#[derive(Clone, Copy)]
enum Machine {
    Normal,
    Pending(i64),
    Active,
}

impl Machine {
    fn step(self, rules: &Rules, ts: i64, tenths: i64, alerts: &mut Vec<(i64, Option<i64>)>) -> Self {
        let state = match self {
            Machine::Pending(first) if ts - first >= rules.hold_ms => {
                alerts.push((first + rules.hold_ms, None));
                Machine::Active
            }
            state => state,
        };
        match state {
            Machine::Normal if tenths >= rules.raise_tenths => Machine::Pending(ts),
            Machine::Pending(first) if tenths >= rules.raise_tenths => Machine::Pending(first),
            Machine::Active if tenths >= rules.clear_tenths => Machine::Active,
            Machine::Active => {
                if let Some(last) = alerts.last_mut() {
                    last.1 = Some(ts);
                }
                Machine::Normal
            }
            Machine::Normal | Machine::Pending(_) => Machine::Normal,
        }
    }
}

struct Segment {
    district: u32,
    length_mm: i64,
    line: [(i64, i64); 2],
}

struct Case {
    district: u32,
    deadline: i64,
    handled: i64,
    closed: bool,
}

/// Numbers for names, in order of appearance.
#[derive(Default)]
struct Numbers {
    of: HashMap<Box<str>, u32>,
    names: Vec<Box<str>>,
}

impl Numbers {
    fn get(&mut self, name: &str) -> u32 {
        if let Some(n) = self.of.get(name) {
            return *n;
        }
        let n = self.names.len() as u32;
        self.names.push(name.into());
        self.of.insert(name.into(), n);
        n
    }
}

struct Floor {
    rules: Rules,
    start_ms: i64,
    until_ms: i64,
    districts: Numbers,
    kinds: Numbers,
    groups: HashMap<(u32, u32), u32>,
    group_names: Vec<(u32, u32)>,
    sensors: HashMap<Box<str>, Sensor>,
    panes: HashMap<(u32, i64), (i64, i64)>,
    segments: Vec<Segment>,
    grid: HashMap<(i64, i64), Vec<u32>>,
    swept: HashSet<(u32, i64)>,
    cases: HashMap<Box<str>, Case>,
}

/// Answers the workload in `input` and writes the answers to `output`; the number of records read.
///
/// # Errors
/// When the input cannot be read or is not that of `generate`, or the output cannot be written.
pub fn run(input: &Path, output: &Path) -> Result<u64> {
    let unreadable = |e| Error::user(format!("{}: cannot be read", input.display())).caused_by(e);
    let text = std::fs::read_to_string(input.join("manifest.json")).map_err(unreadable)?;
    let manifest: Manifest = serde_json::from_str(&text)
        .map_err(|e| Error::user(format!("{}: manifest.json", input.display())).caused_by(e))?;
    let mut floor = Floor {
        rules: manifest.rules,
        start_ms: manifest.mix.start_ms,
        until_ms: manifest.until_ms,
        districts: Numbers::default(),
        kinds: Numbers::default(),
        groups: HashMap::default(),
        group_names: Vec::new(),
        sensors: HashMap::default(),
        panes: HashMap::default(),
        segments: Vec::new(),
        grid: HashMap::default(),
        swept: HashSet::default(),
        cases: HashMap::default(),
    };
    let mut records = 0;
    records += each(input, "reference", |line| sonic_rs::from_slice(line).map(|one| floor.reference(&one)))?;
    records += each(input, "telemetry", |line| sonic_rs::from_slice(line).map(|one| floor.reading(&one)))?;
    records += each(input, "positions", |line| sonic_rs::from_slice(line).map(|one| floor.position(&one)))?;
    records += each(input, "cases", |line| sonic_rs::from_slice(line).map(|one| floor.case(&one)))?;
    std::fs::create_dir_all(output)
        .map_err(|e| Error::external(format!("{}: cannot be made", output.display())).caused_by(e))?;
    floor.answer(output)?;
    Ok(records)
}

/// Hands each line of a stream to `take`; their number.
fn each(input: &Path, stream: &str, mut take: impl FnMut(&[u8]) -> sonic_rs::Result<()>) -> Result<u64> {
    let path = input.join(format!("{stream}.ndjson"));
    let unreadable = |e| Error::user(format!("{}: cannot be read", path.display())).caused_by(e);
    let mut file = BufReader::with_capacity(1 << 18, File::open(&path).map_err(unreadable)?);
    let (mut line, mut n) = (Vec::new(), 0);
    loop {
        line.clear();
        if file.read_until(b'\n', &mut line).map_err(unreadable)? == 0 {
            return Ok(n);
        }
        n += 1;
        take(&line).map_err(|e| Error::user(format!("{}: line {n}", path.display())).caused_by(e))?;
    }
}

fn units(degrees: f64) -> i64 {
    (degrees * UNITS).round() as i64
}

impl Floor {
    fn reference(&mut self, record: &Reference<'_>) {
        let district = self.districts.get(record.district.unwrap_or(record.id));
        match record.kind {
            "sensor" => {
                let kind = self.kinds.get(record.sensor_kind.unwrap_or_default());
                let next = self.group_names.len() as u32;
                let group = *self.groups.entry((kind, district)).or_insert(next);
                if group == next {
                    self.group_names.push((kind, district));
                }
                let sensor =
                    Sensor { group, district, points: vec![], machine: Machine::Normal, alerts: vec![] };
                self.sensors.insert(record.id.into(), sensor);
            }
            "road" => {
                let Some(Geometry { coordinates }) = &record.geometry else { return };
                let line = coordinates.map(|[lon, lat]| (units(lon), units(lat)));
                let n = self.segments.len() as u32;
                self.segments.push(Segment { district, length_mm: length_mm(line[0], line[1]), line });
                let cells = |of: fn((i64, i64)) -> i64| {
                    let (a, b) = (of(line[0]), of(line[1]));
                    (a.min(b) - CELL / 2).div_euclid(CELL)..=(a.max(b) + CELL / 2).div_euclid(CELL)
                };
                for x in cells(|at| at.0) {
                    for y in cells(|at| at.1) {
                        self.grid.entry((x, y)).or_default().push(n);
                    }
                }
            }
            _ => {}
        }
    }

    fn reading(&mut self, reading: &Reading<'_>) {
        let Some(sensor) = self.sensors.get_mut(reading.sensor_id) else { return };
        let tenths = (reading.value * 10.0).round() as i64;
        let point = ((reading.ts - self.start_ms) as u32, tenths as i16);
        match sensor.points.last() {
            Some(last) if last.0 >= point.0 => {
                match sensor.points.binary_search_by_key(&point.0, |(at, _)| *at) {
                    Ok(_) => return,
                    Err(place) => sensor.points.insert(place, point),
                }
                sensor.alerts.clear();
                let mut machine = Machine::Normal;
                for (at, tenths) in &sensor.points {
                    let ts = self.start_ms + i64::from(*at);
                    machine = machine.step(&self.rules, ts, i64::from(*tenths), &mut sensor.alerts);
                }
                sensor.machine = machine;
            }
            _ => {
                sensor.points.push(point);
                sensor.machine = sensor.machine.step(&self.rules, reading.ts, tenths, &mut sensor.alerts);
            }
        }
        let pane = self.panes.entry((sensor.group, reading.ts.div_euclid(self.rules.step_ms))).or_default();
        *pane = (pane.0 + 1, pane.1 + tenths);
    }

    fn position(&mut self, fix: &Position<'_>) {
        if !fix.working {
            return;
        }
        let at = (units(fix.lon), units(fix.lat));
        let cell = (at.0.div_euclid(CELL), at.1.div_euclid(CELL));
        let Some(near) = self.grid.get(&cell) else { return };
        let k = metres_per_unit();
        let east = (at.1 as f64 / UNITS).to_radians().cos() * k;
        let away = |segment: u32| {
            let flat = |end: (i64, i64)| ((end.0 - at.0) as f64 * east, (end.1 - at.1) as f64 * k);
            let [(x1, y1), (x2, y2)] = self.segments[segment as usize].line.map(flat);
            let (dx, dy) = (x2 - x1, y2 - y1);
            let t = (-(x1 * dx + y1 * dy) / (dx * dx + dy * dy)).clamp(0.0, 1.0);
            let (x, y) = (x1 + t * dx, y1 + t * dy);
            ((x * x + y * y).sqrt() * 1000.0).round() as i64
        };
        // Segments are numbered in order of their names: of two equally near ones the first counts.
        let nearest = near.iter().map(|segment| (away(*segment), *segment)).min();
        if let Some((mm, segment)) = nearest
            && mm <= self.rules.reach_mm
        {
            self.swept.insert((segment, fix.ts.div_euclid(HOUR_MS)));
        }
    }

    fn case(&mut self, event: &CaseEvent<'_>) {
        if !self.cases.contains_key(event.case_id) {
            let new = Case { district: u32::MAX, deadline: NEVER, handled: NEVER, closed: false };
            self.cases.insert(event.case_id.into(), new);
        }
        let district = event.district.map(|district| self.districts.get(district));
        let Some(case) = self.cases.get_mut(event.case_id) else { return };
        match event.event {
            "reported" => case.district = district.unwrap_or(u32::MAX),
            "dispatched" => {
                let hours = event.limit.as_ref().map_or(0.0, |limit| limit.amount);
                case.deadline = event.ts + (hours * 3_600_000.0).round() as i64;
            }
            "handled" => case.handled = event.ts,
            "closed" => case.closed = true,
            _ => {}
        }
    }

    fn answer(mut self, output: &Path) -> Result<()> {
        let names = &self.districts.names;
        let mut sums: Vec<Sums> = vec![Sums::default(); names.len()];
        let mut lines = Vec::new();
        for (id, sensor) in &mut self.sensors {
            if let Machine::Pending(first) = sensor.machine
                && self.until_ms - first >= self.rules.hold_ms
            {
                sensor.alerts.push((first + self.rules.hold_ms, None));
            }
            for (raised, cleared) in &sensor.alerts {
                sums[sensor.district as usize].active += i64::from(cleared.is_none());
                lines.push(format!("{id},{raised},{}", cleared.map_or(String::new(), |at| at.to_string())));
            }
        }
        answers::write(output, "alerts", lines)?;

        let mut swept: HashMap<(u32, i64), (i64, i64)> = HashMap::default();
        for (segment, hour) in &self.swept {
            let segment = &self.segments[*segment as usize];
            let sum = swept.entry((segment.district, *hour)).or_default();
            *sum = (sum.0 + segment.length_mm, sum.1 + 1);
        }
        for ((district, _), (mm, _)) in &swept {
            sums[*district as usize].swept_mm += mm;
            sums[*district as usize].hours += 1;
        }
        for segment in &self.segments {
            sums[segment.district as usize].network_mm += segment.length_mm;
        }
        let lines = swept.iter().map(|((district, hour), (mm, segments))| {
            format!("{},{},{mm},{segments}", names[*district as usize], hour * HOUR_MS)
        });
        answers::write(output, "swept", lines)?;

        // A case is known by its first event; its district by its report.
        let mut counts: HashMap<u32, (i64, i64)> = HashMap::default();
        for case in self.cases.values() {
            let overdue = !case.closed
                && case.handled == NEVER
                && case.deadline != NEVER
                && self.until_ms > case.deadline;
            let count = counts.entry(case.district).or_default();
            *count = (count.0 + i64::from(!case.closed), count.1 + i64::from(overdue));
        }
        let mut lines = Vec::new();
        for (district, (open, overdue)) in counts {
            let name = names.get(district as usize).map_or("unknown", |name| name);
            lines.push(format!("{name},{open},{overdue}"));
            if let Some(sums) = sums.get_mut(district as usize) {
                (sums.open, sums.overdue) = (open, overdue);
            }
        }
        answers::write(output, "cases", lines)?;

        let mut windows: HashMap<(u32, i64), (i64, i64)> = HashMap::default();
        for ((group, pane), (count, sum)) in &self.panes {
            for back in 0..self.rules.window_ms / self.rules.step_ms {
                let window = windows.entry((*group, pane - back)).or_default();
                *window = (window.0 + count, window.1 + sum);
            }
        }
        let mut lines = Vec::new();
        for ((group, start), (count, sum)) in windows {
            let (kind, district) = self.group_names[group as usize];
            let of_district = &mut sums[district as usize];
            of_district.windows += 1;
            of_district.hot += i64::from(sum >= self.rules.hot_tenths * count);
            lines.push(format!(
                "{},{},{},{count},{sum}",
                self.kinds.names[kind as usize],
                names[district as usize],
                start * self.rules.step_ms
            ));
        }
        answers::write(output, "windows", lines)?;
        let scores = names.iter().zip(&sums).filter(|(_, sums)| sums.network_mm > 0);
        let score = |(name, sums)| format!("{name},{}", self.rules.score(sums));
        answers::write(output, "scores", scores.map(score))
    }
}
