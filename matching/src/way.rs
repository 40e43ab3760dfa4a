//! A match drawn: where on its road each fix is, and the line along the roads from one to the next.
//!
//! **Meaning.** A [`Step`] is a fix with the place on the road that it is matched to, and the way that the vehicle took
//! to it from the fix before. Off the road there is no place; over a hole, a jump, or from or to a place off the road
//! there is no way.
//!
//! Nothing is kept.

use crate::fix::Fix;
use crate::geo::Place;
use crate::network::{Candidate, Epoch, Network};
use crate::pieces::Leg;

/// Where on a road a fix is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    /// The road's key.
    pub road: u32,
    /// From the start of the road's line, mm.
    pub at_mm: u32,
    /// The place itself.
    pub place: Place,
}

/// A fix on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The fix.
    pub fix: Fix,
    /// Where it is; `None` = off the road.
    pub spot: Option<Spot>,
    /// The way from the fix before, both ends included; empty when it is not known.
    pub line: Vec<Place>,
}

impl Network {
    /// The place of a candidate.
    pub(crate) fn spot(&self, candidate: &Candidate) -> Option<Spot> {
        let arc = candidate.arc?;
        let segment = &self.segments[arc.segment as usize];
        let along = candidate.at_mm.saturating_sub(segment.start_mm);
        let place = between(segment.a, segment.b, along, segment.length_mm);
        Some(Spot { road: self.road_of(arc), at_mm: candidate.at_mm, place })
    }

    /// Appends the line of legs that follow each other, on the roads of `epoch`.
    pub(crate) fn draw(&self, legs: &[Leg], epoch: Epoch, out: &mut Vec<Place>) {
        for leg in legs {
            let Some(version) = self.version_at(leg.road, epoch) else { continue };
            let segments = &self.segments[version.first as usize..(version.first + version.count) as usize];
            let (low, high) = (leg.from.min(leg.to), leg.from.max(leg.to));
            let mut line = Vec::new();
            for segment in segments {
                let end = segment.start_mm + segment.length_mm;
                if end < low || segment.start_mm > high {
                    continue;
                }
                let at = |mm: u32| between(segment.a, segment.b, mm - segment.start_mm, segment.length_mm);
                line.push(at(low.max(segment.start_mm)));
                line.push(at(high.min(end)));
            }
            if leg.from > leg.to {
                line.reverse();
            }
            out.extend(line);
        }
        out.dedup();
    }
}

/// The place `along` the straight line from `a` to `b`, which is `length` long.
fn between(a: Place, b: Place, along: u32, length: u32) -> Place {
    let share = f64::from(along.min(length)) / f64::from(length.max(1));
    let part = |a: i32, b: i32| a + ((f64::from(b) - f64::from(a)) * share).round() as i32;
    (part(a.0, b.0), part(a.1, b.1))
}

#[cfg(test)]
mod tests {
    use super::{Spot, between};
    use crate::{Edit, Fix, Params, RoadLine, Track, World};

    const START: i64 = 1_794_560_400_000;

    #[test]
    fn a_place_between_two_ends() {
        assert_eq!(between((0, 0), (100, -50), 30, 100), (30, -15));
        assert_eq!(between((0, 0), (100, -50), 900, 100), (100, -50), "not beyond the end");
        assert_eq!(between((7, 7), (7, 7), 0, 0), (7, 7));
    }

    /// East along one road, round the corner, south along another, and off into a field.
    #[test]
    fn a_way_goes_round_the_corner_and_ends_where_the_road_does() {
        let corner = (1_094_950_000, 365_900_000);
        let (east, south) = ([(1_094_900_000, 365_900_000), corner], [corner, (1_094_950_000, 365_860_000)]);
        let mut world = World::new(Params::default()).unwrap();
        let road = |rank, points| Some(RoadLine { rank, points, oneway: false });
        world.network.change([(1, road(1, &east)), (2, road(2, &south))]);
        let places = [
            (1_094_930_000, 365_900_300),
            (1_094_940_000, 365_899_600),
            (1_094_950_500, 365_895_000),
            (1_094_949_500, 365_885_000),
            (1_094_900_000, 365_830_000),
        ];
        let fix = |(n, at): (i64, (i32, i32))| {
            Edit::Put(Fix { ts: START + n * 10_000, at, speed: None, heading: None, working: true, epoch: 1 })
        };
        let mut track = Track::default();
        track.edit(&mut world, &(0..).zip(places).map(fix).collect::<Vec<_>>(), &mut Vec::new());
        let steps = track.way(&mut world, START, START + 60_000);
        let roads: Vec<Option<u32>> = steps.iter().map(|step| step.spot.map(|spot| spot.road)).collect();
        assert_eq!(roads, [Some(1), Some(1), Some(2), Some(2), None]);
        let place = |n: usize| steps[n].spot.map(|Spot { place, .. }| place).unwrap();
        assert_eq!(place(0), (1_094_930_000, 365_900_000));
        assert_eq!(place(3), (1_094_950_000, 365_885_000));
        assert!(steps[0].line.is_empty(), "nothing before the first");
        assert_eq!(steps[1].line, [place(0), place(1)]);
        assert_eq!(steps[2].line, [place(1), corner, place(2)]);
        assert_eq!(steps[3].line, [place(2), place(3)]);
        assert!(steps[4].line.is_empty(), "nobody knows how it left the road");
        let later = track.way(&mut world, START + 20_000, START + 30_000);
        assert_eq!(later.len(), 1);
        assert!(later[0].line.is_empty(), "the way begins with the span");
        // Where it is, it also says without its way.
        let matched = track.matched(&mut world, START, START + 60_000);
        let spots = steps.iter().map(|step| (step.fix, step.spot.map(|spot| (spot.road, spot.at_mm))));
        assert_eq!(matched, spots.collect::<Vec<_>>());
    }
}
