//! `green_space`, `district` as far as greening needs it, and `green_edition`: what 三绿指标 are computed from.
//!
//! **Meaning.** A green space is land (绿地, with a class of CJJ/T 85) or vegetation (a layer of trees, shrubs, grass, on a roof
//! or by water), or both. An edition names levels, each with the gates that all have to be met. The records are
//! documented in `docs/green.md`.
//!
//! **State.** None.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::fields::Reader;
use super::shape::Geometry;
use crate::names::Sym;

/// Greatest area of anything, m².
const MOST_M2: f64 = 1.5e14;
/// Most people anywhere.
const MOST_PEOPLE: f64 = 1e9;

/// `green_space`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GreenSpaceRef {
    /// `district`; empty when not said.
    pub district: Sym,
    /// `class` of CJJ/T 85: it is 绿地; absent: vegetation that stands on other land.
    pub class: Option<Arc<str>>,
    /// `layer`: `tree`, `shrub`, `grass`, `roof`, `waterside`; absent with a class: green all over.
    pub layer: Option<Arc<str>>,
    /// `adjoining`: outside construction land, next to it.
    pub adjoining: bool,
    /// `geometry`: an area.
    pub geometry: Option<Geometry>,
    /// `area_m2`: counts when there is no geometry.
    pub area_m2: Option<f64>,
}

impl GreenSpaceRef {
    const LAYERS: [&str; 5] = ["tree", "shrub", "grass", "roof", "waterside"];

    /// Reads the fields of a record.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, String> {
        let layer = reader.word("layer", &Self::LAYERS)?.map(|place| Self::LAYERS[place].into());
        let space = Self {
            district: reader.symbol("district")?,
            class: reader.text("class")?,
            layer,
            adjoining: reader.flag("adjoining", false)?,
            geometry: reader.geometry()?,
            area_m2: reader.number("area_m2", 0.0, MOST_M2)?,
        };
        if space.geometry.is_none() && space.area_m2.is_none() {
            return Err("missing_field: `geometry` or `area_m2` is missing".into());
        }
        if space.class.is_none() && space.layer.is_none() {
            return Err("missing_field: `class` or `layer` is missing".into());
        }
        Ok(space)
    }

    /// 公园绿地: class G1 and those below it.
    pub fn is_park(&self) -> bool {
        self.class.as_deref().is_some_and(|class| class.starts_with("G1"))
    }
}

/// `district`, as far as greening needs it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GreenDistrict {
    /// `built_up_km2` (建成区), else `area_km2`; km².
    pub area_km2: Option<f64>,
    /// Whether the area is that of the built-up land.
    pub built_up: bool,
    /// `urban_population` (城区人口), else `population`.
    pub population: Option<f64>,
    /// `construction_land_per_head_m2` (人均建设用地), by which some editions choose their gate.
    pub land_per_head: Option<f64>,
}

impl GreenDistrict {
    /// Reads the fields of a record.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, String> {
        let built_up = reader.number("built_up_km2", 0.0, MOST_M2 / 1e6)?;
        let whole = reader.number("area_km2", 0.0, MOST_M2 / 1e6)?;
        let urban = reader.number("urban_population", 0.0, MOST_PEOPLE)?;
        let all = reader.number("population", 0.0, MOST_PEOPLE)?;
        Ok(Self {
            area_km2: built_up.or(whole),
            built_up: built_up.is_some(),
            population: urban.or(all),
            land_per_head: reader.number("construction_land_per_head_m2", 0.0, MOST_M2)?,
        })
    }
}

/// A figure that an edition asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Measure {
    /// 建成区绿化覆盖率, 0 to 1.
    GreenCover,
    /// 建成区绿地率, 0 to 1.
    GreenLand,
    /// 人均公园绿地面积, m².
    ParkAreaPerHead,
}

impl Measure {
    /// All, in order.
    pub const ALL: [Measure; 3] = [Measure::GreenCover, Measure::GreenLand, Measure::ParkAreaPerHead];
    const NAMES: [&str; 3] = ["green_cover", "green_land", "park_area_per_head"];

    /// Its name in records and views.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// One gate of a level.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// What it looks at.
    pub measure: Measure,
    /// At least this much.
    pub at_least: f64,
    /// Only where 人均建设用地 is at least this, m².
    pub land_from: Option<f64>,
    /// Only where it is less than this, m².
    pub land_below: Option<f64>,
}

/// A level of an edition: all of its gates have to be met.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// Its name.
    pub name: Arc<str>,
    /// Its gates.
    pub gates: Vec<Gate>,
}

/// `green_edition`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GreenEditionRef {
    /// `enabled`: computed. True when not said.
    pub enabled: bool,
    /// `levels`, best first.
    pub levels: Vec<Level>,
}

impl GreenEditionRef {
    /// Reads the fields of a record.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, String> {
        let gate = |gate: &mut Reader<'_>| {
            let missing = |name: &str| format!("missing_field: `gates.{name}` is missing");
            let measure = gate.word("measure", &Measure::NAMES)?.ok_or_else(|| missing("measure"))?;
            Ok(Gate {
                measure: Measure::ALL[measure],
                at_least: gate.number("at_least", 0.0, 1e6)?.ok_or_else(|| missing("at_least"))?,
                land_from: gate.number("land_from", 0.0, 1e6)?,
                land_below: gate.number("land_below", 0.0, 1e6)?,
            })
        };
        let levels = reader.objects("levels", |level| {
            let name = level.text("name")?.ok_or("missing_field: `levels.name` is missing")?;
            Ok(Level { name, gates: level.objects("gates", gate)? })
        })?;
        if levels.is_empty() || levels.iter().any(|level| level.gates.is_empty()) {
            return Err("missing_field: `levels` is missing, or a level without `gates`".into());
        }
        Ok(Self { enabled: reader.flag("enabled", true)?, levels })
    }
}
