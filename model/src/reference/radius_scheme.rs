//! `radius_scheme`: which parks count, how far each reaches, and what share is asked for.
//!
//! **Meaning.** A scheme is an edition of a standard, or a city's own reading of one. Of the steps that a park fulfils the
//! one with the greatest radius counts. Where editions differ they are schemes of different names; those that are
//! enabled are computed beside each other. The record is documented in `docs/parks.md`.
//!
//! **State.** None.

use serde::{Deserialize, Serialize};

use super::fields::Reader;
use super::park::ParkRef;
use crate::names::Sym;

/// Greatest radius, m.
const MOST_M: f64 = 20_000.0;

/// Parks from an area on reach this far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RadiusStep {
    /// `min_area_m2`: from this area on.
    pub min_area_m2: f64,
    /// `radius_m`.
    pub radius_m: f64,
    /// `historic`: only parks in historic blocks.
    pub historic: bool,
}

/// `radius_scheme`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RadiusSchemeRef {
    /// `enabled`: computed. True when not said.
    pub enabled: bool,
    /// `classes` of CJJ/T 85 that count; empty = all.
    pub classes: Vec<Sym>,
    /// `steps`.
    pub steps: Vec<RadiusStep>,
    /// `threshold`: the share asked for, 0 to 1.
    pub threshold: Option<f64>,
    /// `walk_m`: who has no more than this to walk to an entrance is served on foot.
    pub walk_m: f64,
}

/// Walking distance of a scheme that names none, m.
const WALK_M: f64 = 500.0;

impl RadiusSchemeRef {
    /// Reads the fields of a record.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, String> {
        let steps = reader.objects("steps", |step| {
            Ok(RadiusStep {
                min_area_m2: step.number("min_area_m2", 0.0, 1e12)?.unwrap_or(0.0),
                radius_m: step
                    .number("radius_m", 1.0, MOST_M)?
                    .ok_or("missing_field: `steps.radius_m` is missing")?,
                historic: step.flag("historic", false)?,
            })
        })?;
        if steps.is_empty() {
            return Err("missing_field: `steps` is missing or empty".into());
        }
        Ok(Self {
            enabled: reader.flag("enabled", true)?,
            classes: reader.symbols("classes")?,
            steps,
            threshold: reader.number("threshold", 0.0, 1.0)?,
            walk_m: reader.number("walk_m", 1.0, MOST_M)?.unwrap_or(WALK_M),
        })
    }

    /// How far a park of `area_m2` reaches, m; `None` when it does not count.
    pub fn radius_m(&self, park: &ParkRef, area_m2: f64) -> Option<f64> {
        if !self.classes.is_empty() && !self.classes.contains(&park.class) {
            return None;
        }
        let fulfils = |step: &&RadiusStep| area_m2 >= step.min_area_m2 && (park.historic || !step.historic);
        self.steps.iter().filter(fulfils).map(|step| step.radius_m).reduce(f64::max)
    }
}
