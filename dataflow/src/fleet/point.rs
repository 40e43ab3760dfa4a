//! A fix within the track of its vehicle, and many of them packed.
//!
//! **Meaning.** What is packed comes out as it went in, to the bit.
//!
//! **Mechanism.** A fix is eight integers; a chunk holds, of each, by how much it differs from what the fixes before it
//! let expect: time, place and offset go on as they went, the others stay. A byte tells which of the eight differ, and
//! small differences take few bytes (`postcard`). Speeds in 0.1 km/h and whole degrees, which is what JT/T 808 reports, are
//! integers as they are; other floats keep their bits.
//!
//! **State.** A device that reports every ten seconds takes some 8 bytes a fix, where the fix itself takes 56.

use model::{Sym, Tick};
use serde::{Deserialize, Serialize};

use crate::operators::timeline::Timed;
use crate::views::vehicles::TrackFix;

/// A fix within its track.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Event time, Unix ms.
    pub ts: i64,
    /// 10⁻⁷ degrees.
    pub lon: i32,
    /// 10⁻⁷ degrees.
    pub lat: i32,
    /// As the device reports it, km/h.
    pub speed: Option<f32>,
    /// Degrees clockwise from north.
    pub heading: Option<f32>,
    /// What the device says.
    pub working: Option<bool>,
    /// Whether it is a jump.
    pub jump: bool,
    /// Where its record is.
    pub partition: u16,
    /// Where its record is.
    pub offset: u64,
    /// The tick of its record.
    pub tick: Tick,
}

impl Point {
    /// As it counts: not at all if it is a jump.
    pub fn counted(&self, vehicle: Sym) -> Option<TrackFix> {
        let &Point { ts, lon, lat, speed, heading, working, jump, tick, .. } = self;
        (!jump).then_some(TrackFix { vehicle, ts, lon, lat, speed, heading, working, tick })
    }
}

/// Of how many integers a fix is made.
const NUMBERS: usize = 8;
/// How many of them, the first, go on as they went.
const MOVING: usize = 4;
/// The most bytes of a fix: which of its numbers differ, and these.
const MOST_BYTES: usize = 1 + 10 * NUMBERS;
type Numbers = [i64; NUMBERS];

const HAS_SPEED: i64 = 1;
const TENTHS: i64 = 1 << 1;
const HAS_HEADING: i64 = 1 << 2;
const WHOLE: i64 = 1 << 3;
const SAYS_WORKING: i64 = 1 << 4;
const WORKING: i64 = 1 << 5;
const JUMP: i64 = 1 << 6;
const PARTITION: u32 = 7;

fn numbers(point: &Point) -> Numbers {
    let mut marks = i64::from(point.partition) << PARTITION;
    let mut number = |value: Option<f32>, scale: f32, has: i64, scaled: i64| {
        let Some(value) = value else { return 0 };
        marks |= has;
        // Whatever rounding: what does not come out as it went in keeps its bits.
        let whole = (value * scale + 0.5) as i64;
        if whole.unsigned_abs() < 1_000_000 && (whole as f32 / scale).to_bits() == value.to_bits() {
            marks |= scaled;
            return whole;
        }
        i64::from(value.to_bits())
    };
    let speed = number(point.speed, 10.0, HAS_SPEED, TENTHS);
    let heading = number(point.heading, 1.0, HAS_HEADING, WHOLE);
    marks |= point.working.map_or(0, |working| SAYS_WORKING | if working { WORKING } else { 0 });
    marks |= if point.jump { JUMP } else { 0 };
    let delay = (point.tick as i64).wrapping_sub(point.ts);
    let place = (i64::from(point.lon), i64::from(point.lat));
    [point.ts, place.0, place.1, point.offset as i64, speed, heading, delay, marks]
}

fn point(numbers: &Numbers) -> Point {
    let &[ts, lon, lat, offset, speed, heading, delay, marks] = numbers;
    let number = |value: i64, scale: f32, has: i64, scaled: i64| {
        let number = if marks & scaled != 0 { value as f32 / scale } else { f32::from_bits(value as u32) };
        (marks & has != 0).then_some(number)
    };
    Point {
        ts,
        lon: lon as i32,
        lat: lat as i32,
        speed: number(speed, 10.0, HAS_SPEED, TENTHS),
        heading: number(heading, 1.0, HAS_HEADING, WHOLE),
        working: (marks & SAYS_WORKING != 0).then_some(marks & WORKING != 0),
        jump: marks & JUMP != 0,
        partition: (marks >> PARTITION) as u16,
        offset: offset as u64,
        tick: ts.wrapping_add(delay) as u64,
    }
}

/// What the last two fixes let expect of the next.
#[derive(Default)]
struct Expected {
    last: Option<Numbers>,
    expected: Numbers,
}

impl Expected {
    fn hear(&mut self, numbers: Numbers) {
        let before = self.last.replace(numbers).unwrap_or(numbers);
        self.expected = numbers;
        for (expected, before) in self.expected.iter_mut().zip(before).take(MOVING) {
            *expected = expected.wrapping_add(expected.wrapping_sub(before));
        }
    }
}

impl Timed for Point {
    /// Two chunks of a vehicle are not packed.
    const CHUNK: usize = 24;

    fn ts(&self) -> i64 {
        self.ts
    }

    fn counts(&self) -> bool {
        !self.jump
    }

    fn pack(points: &[Self]) -> Option<Box<[u8]>> {
        // Room for the most that a chunk can take; what it does take is copied once.
        let (mut expected, mut bytes, mut end) = (Expected::default(), [0u8; Self::CHUNK * MOST_BYTES], 0);
        for point in points {
            let heard = numbers(point);
            let which = end;
            (bytes[which], end) = (0, which + 1);
            for (i, (number, expected)) in heard.iter().zip(expected.expected).enumerate() {
                let differs = number.wrapping_sub(expected);
                if differs != 0 {
                    bytes[which] |= 1 << i;
                    // Small ones of either sign are small without one; seven bits to a byte, as postcard reads them.
                    let mut left = (differs << 1 ^ differs >> 63) as u64;
                    while left >= 0x80 {
                        bytes[end] = left as u8 | 0x80;
                        (left, end) = (left >> 7, end + 1);
                    }
                    (bytes[end], end) = (left as u8, end + 1);
                }
            }
            expected.hear(heard);
        }
        Some(bytes[..end].into())
    }

    fn unpack(mut bytes: &[u8]) -> Vec<Self> {
        let (mut expected, mut points) = (Expected::default(), Vec::with_capacity(Self::CHUNK));
        'fixes: while let Some((which, rest)) = bytes.split_first() {
            bytes = rest;
            let mut numbers = expected.expected;
            for (_, number) in numbers.iter_mut().enumerate().filter(|(i, _)| which & 1 << i != 0) {
                let Ok((differs, rest)) = postcard::take_from_bytes::<i64>(bytes) else { break 'fixes };
                (*number, bytes) = (number.wrapping_add(differs), rest);
            }
            points.push(point(&numbers));
            expected.hear(numbers);
        }
        debug_assert!(bytes.is_empty(), "what was packed here can be unpacked");
        points
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Point;
    use crate::operators::timeline::Timed;

    fn float() -> impl Strategy<Value = Option<f32>> {
        prop_oneof![
            Just(None),
            (0u16..3600).prop_map(|tenths| Some(f32::from(tenths) / 10.0)),
            (0u16..360).prop_map(|whole| Some(f32::from(whole))),
            any::<f32>().prop_map(Some),
            Just(Some(-0.0)),
        ]
    }

    fn point() -> impl Strategy<Value = Point> {
        let flags = (proptest::option::of(any::<bool>()), any::<bool>());
        (any::<(i64, i32, i32, u16, u64, u64)>(), float(), float(), flags).prop_map(
            |((ts, lon, lat, partition, offset, tick), speed, heading, (working, jump))| Point {
                ts,
                lon,
                lat,
                speed,
                heading,
                working,
                jump,
                partition,
                offset,
                tick,
            },
        )
    }

    /// As bits: what is no number is unlike itself.
    fn bits(points: &[Point]) -> Vec<String> {
        let bits = |value: Option<f32>| value.map(f32::to_bits);
        points.iter().map(|p| format!("{p:?} {:?} {:?}", bits(p.speed), bits(p.heading))).collect()
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out(points in proptest::collection::vec(point(), 0..=Point::CHUNK)) {
            prop_assert_eq!(bits(&Point::unpack(&Point::pack(&points).unwrap())), bits(&points));
        }
    }

    #[test]
    fn fixes_of_a_device_take_few_bytes() {
        let fix = |n: i64| Point {
            ts: 1_794_560_400_000 + n * 10_000 + n % 3,
            lon: (1_094_900_000 + n * 2500 + n * n % 700) as i32,
            lat: (365_900_000 + n * 900 - n * n % 500) as i32,
            speed: Some((80 + n % 20) as f32 / 10.0),
            heading: Some((90 + n % 7) as f32),
            working: Some(true),
            jump: false,
            partition: 3,
            offset: 1_000_000 + (n * 2000 + n % 90) as u64,
            tick: (1_794_560_400_200 + n * 10_000) as u64,
        };
        let points: Vec<Point> = (0..Point::CHUNK as i64).map(fix).collect();
        let packed = Point::pack(&points).unwrap();
        assert!(packed.len() < 9 * points.len(), "{} bytes", packed.len());
        assert_eq!(Point::unpack(&packed), points);
    }
}
