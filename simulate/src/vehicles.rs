//! Vehicles: two fleets that drive the roads on shifts, and what their devices say.
//!
//! A vehicle on duty works its way through its unit, always towards the road it has driven least, with stops at
//! crossings and breaks to fill up or tip out; off duty it drives home and waits. It never leaves the network, so that
//! distance over time is its speed. Noise of the fixes wanders (standard deviation 8 m, memory of a minute), as that of
//! real receivers does. A vehicle keeps one byte per edge of its unit.

use model::StreamId;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::config::Config;
use crate::dirt::Silence;
use crate::districts::Unit;
use crate::geo::{Plane, Xy};
use crate::json;
use crate::random::{Draw, What, allot, slot_stream, stream};
use crate::roads::{Leg, Network};

/// A fleet of the city.
#[derive(Clone, Copy, Debug)]
pub struct Fleet {
    /// Its id in reference records.
    pub id: &'static str,
    /// Its name.
    pub zh: &'static str,
    /// The kinds of its vehicles.
    pub kinds: &'static [VehicleKind],
}

/// A kind of vehicle: `vehicle_kind`, swath and working speed (rules: §4.3 of the domain tables).
#[derive(Clone, Copy, Debug)]
pub struct VehicleKind {
    /// `vehicle_kind` of its reference record.
    pub name: &'static str,
    /// Width that one pass cleans, m.
    pub swath_m: f64,
    /// Least and greatest speed at which it works, km/h.
    pub working_speed: [f64; 2],
}

const fn kind(name: &'static str, swath_m: f64, working_speed: [f64; 2]) -> VehicleKind {
    VehicleKind { name, swath_m, working_speed }
}

/// 机扫队 and 洒水队.
pub const FLEETS: [Fleet; 2] = [
    Fleet {
        id: "fleet-sweep",
        zh: "机扫队",
        kinds: &[kind("road_sweeper", 3.2, [3.0, 15.0]), kind("compact_sweeper", 1.8, [2.0, 8.0])],
    },
    Fleet {
        id: "fleet-water",
        zh: "洒水队",
        kinds: &[kind("sprinkler", 14.0, [10.0, 20.0]), kind("pressure_washer", 3.5, [5.0, 15.0])],
    },
];

/// A shift of both fleets, city time.
#[derive(Clone, Copy, Debug)]
pub struct Shift {
    /// Its id in reference records.
    pub id: &'static str,
    /// Its name.
    pub zh: &'static str,
    /// First and last hour, city time.
    pub hours: [u8; 2],
}

/// The early and the afternoon shift.
pub const SHIFTS: [Shift; 2] = [
    Shift { id: "shift-early", zh: "早班", hours: [4, 8] },
    Shift { id: "shift-afternoon", zh: "午班", hours: [13, 17] },
];

/// Share of the vehicles on duty in a shift, and on patrol (巡回保洁) outside.
const ON_DUTY: f64 = 0.9;
const ON_PATROL: f64 = 0.35;
/// Standard deviation of a fix east and north, m, and how long its error lasts, ms.
const NOISE_M: f64 = 8.0;
const NOISE_MEMORY_MS: f64 = 60_000.0;
/// Chance of a stop at a crossing, and its length.
const CROSSING_STOP: f64 = 0.15;
const CROSSING_MS: (i64, i64) = (15_000, 60_000);
/// Working time between two breaks, and the length of a break (filling up, tipping out).
const WORK_MS: (i64, i64) = (40 * 60_000, 80 * 60_000);
const BREAK_MS: (i64, i64) = (6 * 60_000, 14 * 60_000);
/// Speed when it doesn't work, km/h.
const DRIVING: (f64, f64) = (24.0, 40.0);
/// Share of the legs that a vehicle on duty drives without working.
const TRANSFER: f64 = 0.12;
/// How far a jump throws a fix, m.
const JUMP_M: (f64, f64) = (5_000.0, 50_000.0);
/// Share of the jumps that go to (0,0), as a receiver without satellites says.
const JUMP_ZERO: f64 = 0.25;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// On a leg, working or not.
    Moving { working: bool },
    /// Standing until a time, then going on.
    Standing { until: i64 },
    /// At the depot, off duty.
    Parked,
}

/// One vehicle and its state.
#[derive(Clone, Debug)]
pub(crate) struct Vehicle {
    pub id: String,
    pub plate: String,
    pub fleet: &'static Fleet,
    pub kind: &'static VehicleKind,
    pub unit: u16,
    pub every_ms: i64,
    /// From the fix to the log, ms.
    pub latency_ms: i64,
    pub rng: ChaCha8Rng,
    which: u64,
    silence: Silence,
    doing: Doing,
    leg: Leg,
    along_m: f64,
    speed_kmh: f64,
    on_duty: bool,
    duty_slot: i64,
    break_at: i64,
    last_ts: i64,
    mileage_m: f64,
    noise: Xy,
    /// How often each edge of the unit was driven, halved when the first count is full.
    driven: Box<[u8]>,
    head: Box<[u8]>,
}

/// All vehicles, in order of unit.
pub(crate) fn line_up(config: &Config, units: &[Unit], network: &Network) -> Vec<Vehicle> {
    let weights: Vec<f64> = units.iter().map(|unit| unit.weight).collect();
    let per_unit = allot(config.vehicles, &weights, u32::from(config.vehicles as usize >= units.len()));
    let mut vehicles = Vec::with_capacity(config.vehicles as usize);
    for (index, &count) in per_unit.iter().enumerate() {
        for number in 0..count {
            let which = vehicles.len() as u64;
            let mut rng = stream(config.seed, What::Vehicle, which);
            let fleet = &FLEETS[number as usize % 2];
            let id = format!("{}-{:04}", if number % 2 == 0 { "sw" } else { "wa" }, which + 1);
            let edges = network.edges_of[index].clone();
            let mut vehicle = Vehicle {
                plate: format!("陕J·A{:04}", 1 + which),
                kind: rng.pick(fleet.kinds),
                fleet,
                unit: index as u16,
                every_ms: config.position_every_ms(),
                latency_ms: rng.between_ms(30, 900),
                which,
                silence: Silence::new(config.dirt.offline, config.start_ms, &mut rng),
                doing: Doing::Parked,
                leg: network.leaving[network.depots[index] as usize][0],
                along_m: 0.0,
                speed_kmh: 0.0,
                on_duty: false,
                duty_slot: i64::MIN,
                break_at: config.start_ms + rng.between_ms(WORK_MS.0 / 2, WORK_MS.1),
                last_ts: config.start_ms,
                mileage_m: rng.between(2_000.0, 90_000.0).floor() * 1_000.0,
                noise: Xy::new(NOISE_M * rng.normal(), NOISE_M * rng.normal()),
                driven: vec![0; edges.len()].into(),
                head: format!("{{\"vehicle_id\":\"{id}\",\"ts\":").into_bytes().into(),
                id,
                rng,
            };
            vehicle.call_to_duty(config, config.start_ms);
            if vehicle.on_duty {
                // Somewhere on its round when the city begins.
                let edge = vehicle.rng.random_range(edges);
                vehicle.enter(network, Leg { edge, forward: true });
                vehicle.along_m = vehicle.rng.random::<f64>() * network.edges[edge as usize].length_m;
            }
            vehicles.push(vehicle);
        }
    }
    vehicles
}

impl Vehicle {
    /// Its stream.
    pub(crate) const STREAM: StreamId = StreamId::Positions;

    /// Writes the fix of time `ts` into `out`; false when its device is silent. Times are asked for in order.
    pub(crate) fn fix(
        &mut self,
        config: &Config,
        network: &Network,
        plane: &Plane,
        ts: i64,
        out: &mut Vec<u8>,
    ) -> bool {
        self.drive(config, network, ts);
        if self.silence.covers(ts, &mut self.rng) {
            return false;
        }
        let at = network.at(self.leg, self.along_m);
        let [mut lon, mut lat] = plane.lon_lat(Xy::new(at.x + self.noise.x, at.y + self.noise.y));
        if config.dirt.jump > 0.0 && self.rng.random::<f64>() < config.dirt.jump {
            if self.rng.chance(JUMP_ZERO) {
                (lon, lat) = (0.0, 0.0);
            } else {
                let bearing = self.rng.between(0.0, std::f64::consts::TAU);
                [lon, lat] = plane.lon_lat(at.toward(bearing, self.rng.between(JUMP_M.0, JUMP_M.1)));
            }
        }
        let (working, moving) = match self.doing {
            Doing::Moving { working } => (working, true),
            Doing::Standing { .. } | Doing::Parked => (false, false),
        };
        out.clear();
        out.extend_from_slice(&self.head);
        json::int(out, ts);
        json::text(out, ",\"lon\":");
        json::number(out, lon, 7);
        json::text(out, ",\"lat\":");
        json::number(out, lat, 7);
        json::text(out, ",\"speed\":");
        let speed = if moving { (self.speed_kmh + 0.3 * self.noise.x / NOISE_M).max(0.5) } else { 0.0 };
        json::number(out, speed, 1);
        json::text(out, ",\"heading\":");
        json::int(out, network.heading(self.leg).round() as i64 % 360);
        json::text(out, if working { ",\"working\":true" } else { ",\"working\":false" });
        json::text(out, ",\"mileage\":");
        json::number(out, self.mileage_m / 1000.0, 1);
        json::text(out, ",\"satellites\":");
        json::int(out, 9 + (self.noise.y / NOISE_M * 1.5).clamp(-4.0, 6.0) as i64);
        out.push(b'}');
        true
    }

    /// Moves on to `ts`.
    fn drive(&mut self, config: &Config, network: &Network, ts: i64) {
        let keep = (-((ts - self.last_ts) as f64) / NOISE_MEMORY_MS).exp();
        let fresh = NOISE_M * (1.0 - keep * keep).sqrt();
        self.noise = Xy::new(
            self.noise.x * keep + fresh * self.rng.normal(),
            self.noise.y * keep + fresh * self.rng.normal(),
        );
        self.call_to_duty(config, ts);
        let mut now = self.last_ts as f64;
        let end = ts as f64;
        while now < end {
            match self.doing {
                Doing::Parked if self.on_duty => self.leave(network),
                Doing::Parked => break,
                Doing::Standing { until } if (until as f64) < end => {
                    now = now.max(until as f64);
                    self.turn(network, now as i64);
                }
                Doing::Standing { .. } => break,
                Doing::Moving { .. } => {
                    let metres_per_ms = self.speed_kmh / 3_600.0;
                    let left_m = network.edges[self.leg.edge as usize].length_m - self.along_m;
                    let step_m = metres_per_ms * (end - now);
                    if step_m < left_m {
                        self.along_m += step_m;
                        self.mileage_m += step_m;
                        break;
                    }
                    self.along_m += left_m;
                    self.mileage_m += left_m;
                    now += left_m / metres_per_ms;
                    self.arrive(network, now as i64);
                }
            }
        }
        self.last_ts = ts;
    }

    /// Decides once per part of the day whether the vehicle is on duty.
    fn call_to_duty(&mut self, config: &Config, ts: i64) {
        let local_h = (ts + i64::from(config.utc_offset_s) * 1000).div_euclid(3_600_000);
        let (day, hour) = (local_h.div_euclid(24), local_h.rem_euclid(24));
        let part =
            SHIFTS.iter().flat_map(|shift| shift.hours).filter(|&h| i64::from(h) <= hour).count() as i64;
        let slot = day * 8 + part;
        if slot != self.duty_slot {
            self.duty_slot = slot;
            // Parts 1 and 3 of the day are the shifts.
            let share = if part % 2 == 1 { ON_DUTY } else { ON_PATROL };
            self.on_duty = slot_stream(config.seed, What::Vehicle, self.which, slot).chance(share);
        }
    }

    /// At the end of a leg: stop, have a break, park, or go on.
    fn arrive(&mut self, network: &Network, now: i64) {
        let node = network.end(self.leg);
        if !self.on_duty && network.homeward[node as usize].is_none() {
            self.doing = Doing::Parked;
        } else if self.on_duty && now >= self.break_at {
            let until = now + self.rng.between_ms(BREAK_MS.0, BREAK_MS.1);
            self.break_at = until + self.rng.between_ms(WORK_MS.0, WORK_MS.1);
            self.doing = Doing::Standing { until };
        } else if network.leaving[node as usize].len() > 2 && self.rng.chance(CROSSING_STOP) {
            self.doing = Doing::Standing { until: now + self.rng.between_ms(CROSSING_MS.0, CROSSING_MS.1) };
        } else {
            self.turn(network, now);
        }
    }

    /// Leaves the depot.
    fn leave(&mut self, network: &Network) {
        let depot = network.depots[self.unit as usize];
        let leg = *self.rng.pick(&network.leaving[depot as usize]);
        self.enter(network, leg);
    }

    /// Takes the next leg: home, or towards what was driven least, turning round only at a dead end.
    fn turn(&mut self, network: &Network, now: i64) {
        let node = network.end(self.leg);
        if !self.on_duty {
            match network.homeward[node as usize] {
                Some(leg) => self.enter(network, leg),
                None => self.doing = Doing::Parked,
            }
            return;
        }
        let first = network.edges_of[self.unit as usize].start;
        let mut best: Option<(u8, u32, Leg)> = None;
        for leg in &network.leaving[node as usize] {
            if leg.edge == self.leg.edge && network.leaving[node as usize].len() > 1 {
                continue;
            }
            let rank = (self.driven[(leg.edge - first) as usize], self.rng.random::<u32>(), *leg);
            if best.is_none_or(|b| (rank.0, rank.1) < (b.0, b.1)) {
                best = Some(rank);
            }
        }
        match best {
            Some((_, _, leg)) => self.enter(network, leg),
            None => self.doing = Doing::Standing { until: now + CROSSING_MS.1 },
        }
    }

    fn enter(&mut self, network: &Network, leg: Leg) {
        let same_road = network.edges[leg.edge as usize].road == network.edges[self.leg.edge as usize].road;
        let was_working = matches!(self.doing, Doing::Moving { working: true });
        let working = if !self.on_duty {
            false
        } else if same_road && matches!(self.doing, Doing::Moving { .. }) {
            was_working
        } else {
            !self.rng.chance(TRANSFER)
        };
        let [slow, fast] = self.kind.working_speed;
        self.speed_kmh = if working {
            // Well within its range: a device that measures a little more or less still shows valid work.
            self.rng.between(slow + 0.3 * (fast - slow), slow + 0.85 * (fast - slow))
        } else {
            self.rng.between(DRIVING.0, DRIVING.1)
        };
        self.doing = Doing::Moving { working };
        self.leg = leg;
        self.along_m = 0.0;
        let first = network.edges_of[self.unit as usize].start;
        let count = &mut self.driven[(leg.edge - first) as usize];
        *count += 1;
        if *count == u8::MAX {
            for count in &mut self.driven {
                *count /= 2;
            }
        }
    }
}
