//! `park`, `residence` and `walkway`: what the reach of parks is computed from.
//!
//! **Meaning.** The fields of the contract, with places as [`Geometry`].
//!
//! **State.** None.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

use super::fields::Reader;
use super::shape::{Geometry, LonLat};
use crate::names::Sym;

/// Greatest area of anything, m²: that of the earth's land.
const MOST_M2: f64 = 1.5e14;
/// Most people anywhere.
const MOST_PEOPLE: f64 = 1e8;

/// Whether a park can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ParkStatus {
    /// 开放.
    Open,
    /// 关闭.
    Closed,
    /// 规划.
    Planned,
}

impl ParkStatus {
    const NAMES: [&str; 3] = ["open", "closed", "planned"];

    /// The name in records and views.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// `park`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParkRef {
    /// `name`.
    pub name: Option<Arc<str>>,
    /// `district`; empty when not said.
    pub district: Sym,
    /// `class` of CJJ/T 85; empty when not said.
    pub class: Sym,
    /// `status`; open when not said.
    pub status: ParkStatus,
    /// `area_m2`: as recorded; when not said the area of the geometry counts.
    pub area_m2: Option<f64>,
    /// `geometry`: an area or a point.
    pub geometry: Option<Geometry>,
    /// `entrances`.
    pub entrances: Vec<LonLat>,
    /// `historic`: in a historic block (历史文化街区), where some schemes count smaller parks.
    pub historic: bool,
}

impl ParkRef {
    /// Reads the fields of a record.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, String> {
        let status = match reader.word("status", &ParkStatus::NAMES)? {
            None | Some(0) => ParkStatus::Open,
            Some(1) => ParkStatus::Closed,
            Some(_) => ParkStatus::Planned,
        };
        Ok(Self {
            name: reader.text("name")?,
            district: reader.symbol("district")?,
            class: reader.symbol("class")?,
            status,
            area_m2: reader.number("area_m2", 0.0, MOST_M2)?,
            geometry: reader.geometry()?,
            entrances: reader.positions("entrances")?,
            historic: reader.flag("historic", false)?,
        })
    }
}

/// `residence`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResidenceRef {
    /// `name`.
    pub name: Option<Arc<str>>,
    /// `district`; empty when not said.
    pub district: Sym,
    /// `population`; 0 when not said.
    pub population: f64,
    /// `geometry`: an area or a point.
    pub geometry: Option<Geometry>,
    /// `area_m2`: counts when the geometry is a point.
    pub area_m2: Option<f64>,
}

impl ResidenceRef {
    /// Reads the fields of a record.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, String> {
        Ok(Self {
            name: reader.text("name")?,
            district: reader.symbol("district")?,
            population: reader.number("population", 0.0, MOST_PEOPLE)?.unwrap_or(0.0),
            geometry: reader.geometry()?,
            area_m2: reader.number("area_m2", 0.0, MOST_M2)?,
        })
    }
}

/// `walkway`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WalkwayRef {
    /// `status` is `open`, or not said.
    pub open: bool,
    /// `geometry`: lines whose corners are shared where walkways meet.
    pub lines: Vec<Vec<LonLat>>,
}

impl WalkwayRef {
    /// Reads the fields of a record.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, String> {
        let open = matches!(reader.word("status", &ParkStatus::NAMES)?, None | Some(0));
        let lines = match reader.geometry()? {
            Some(Geometry::Lines(lines)) => lines,
            None => return Err("missing_field: `geometry` is missing".into()),
            Some(_) => return Err("invalid_geometry: a walkway is a LineString".into()),
        };
        Ok(Self { open, lines })
    }
}
