//! `fence`: an area or a route, and what it means to whom. The record is documented in `docs/fences.md`.

use serde::{Deserialize, Serialize};

use crate::names::Sym;

/// A place in 10⁻⁷ degrees: longitude, latitude.
pub type Position = (i32, i32);

/// `fence`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FenceRef {
    /// What it encloses.
    pub shape: FenceShape,
    /// Speed limit inside, km/h.
    pub speed_limit_kmh: Option<f64>,
    /// A longer visit is an overstay, ms.
    pub max_dwell_ms: Option<i64>,
    /// Within this distance of the boundary a fix decides nothing, m; `None` = the accuracy of the settings.
    pub margin_m: Option<f64>,
    /// Whether it names stops and the ends of trips.
    pub place: bool,
    /// Whether it is part of the area that fixes are plausible in.
    pub service_area: bool,
    /// Whom it concerns, by vehicle; together with `fleets`, both empty = everybody.
    pub vehicles: Vec<Sym>,
    /// Whom it concerns, by fleet.
    pub fleets: Vec<Sym>,
    /// Who should be there, or keep to it, and when.
    pub plan: Vec<FencePlan>,
}

/// What a fence encloses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FenceShape {
    /// The rings of all polygons, outer ones and holes alike.
    Area(Vec<Vec<Position>>),
    /// A circle: centre, radius in m.
    Circle(Position, f64),
    /// Lines, and how far to either side still belongs to the route, m.
    Route(Vec<Vec<Position>>, f64),
}

/// One vehicle, one window of every day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FencePlan {
    /// The vehicle.
    pub vehicle: Sym,
    /// Beginning, seconds of the city's day.
    pub from: u32,
    /// End, seconds of the same day: more than 86,400 when it is past midnight.
    pub to: u32,
}
