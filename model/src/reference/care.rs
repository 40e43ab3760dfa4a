//! `tree` and `care_area`: old and famous trees (古树名木) with their care, and who keeps which ground (养护责任区).
//!
//! **State.** None.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::fields::Reader;
use super::shape::LonLat;
use crate::names::Sym;

/// Earliest and latest time of care, Unix ms: 2000 to 2100.
const TIMES: (f64, f64) = (946_684_800_000.0, 4_102_444_800_000.0);

/// `tree`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TreeRef {
    /// `name`.
    pub name: Option<Arc<str>>,
    /// `species`.
    pub species: Option<Arc<str>>,
    /// `grade`: as listed (一级, 二级, 名木 …).
    pub grade: Option<Arc<str>>,
    /// `age_years`.
    pub age_years: Option<f64>,
    /// `district`; empty when not said.
    pub district: Sym,
    /// `care_area`; empty when not said.
    pub care_area: Sym,
    /// `lon`, `lat`.
    pub at: Option<LonLat>,
    /// `care_every_days`: how often it is to be cared for, ms.
    pub every_ms: Option<i64>,
    /// `care`: when it was cared for, Unix ms, ascending.
    pub care: Vec<i64>,
}

impl TreeRef {
    /// Reads the fields of a record.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, String> {
        let at = match (reader.number("lon", -180.0, 180.0)?, reader.number("lat", -90.0, 90.0)?) {
            (Some(lon), Some(lat)) => LonLat::read(&Json::from(vec![lon, lat])),
            _ => None,
        };
        let mut care = reader.objects("care", |care| {
            let ts = care.number("ts", TIMES.0, TIMES.1)?.ok_or("missing_field: `care.ts` is missing")?;
            Ok(ts as i64)
        })?;
        care.sort_unstable();
        care.dedup();
        let every = reader.number("care_every_days", 0.001, 36_500.0)?;
        Ok(Self {
            name: reader.text("name")?,
            species: reader.text("species")?,
            grade: reader.text("grade")?,
            age_years: reader.number("age_years", 0.0, 10_000.0)?,
            district: reader.symbol("district")?,
            care_area: reader.symbol("care_area")?,
            at,
            every_ms: every.map(|days| (days * 86_400_000.0) as i64),
            care,
        })
    }
}

/// `care_area`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CareAreaRef {
    /// `company` that keeps it.
    pub company: Sym,
    /// `district`; empty when not said.
    pub district: Sym,
    /// `area_m2`: its weight in the assessment, whole m².
    pub area_m2: i64,
    /// `assessments`: month and score from 0 to 100, in thousandths of a point.
    pub assessments: Vec<(Arc<str>, i64)>,
}

impl CareAreaRef {
    /// Reads the fields of a record.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, String> {
        let mut assessments = reader.objects("assessments", |one| {
            let month = one.text("month")?.ok_or("missing_field: `assessments.month` is missing")?;
            let digits =
                |part: &str, n: usize| part.len() == n && part.bytes().all(|byte| byte.is_ascii_digit());
            let well = month.split_once('-').is_some_and(|(year, month)| {
                digits(year, 4) && digits(month, 2) && ("01"..="12").contains(&month)
            });
            if !well {
                return Err(format!("out_of_range: `assessments.month` is `{month}`, expected YYYY-MM"));
            }
            let score =
                one.number("score", 0.0, 100.0)?.ok_or("missing_field: `assessments.score` is missing")?;
            Ok((month, (score * 1000.0).round() as i64))
        })?;
        assessments.sort();
        if assessments.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err("duplicate_field: `assessments` has a month twice".into());
        }
        let company = reader.symbol("company")?;
        if company == Sym::EMPTY {
            return Err("missing_field: `company` is missing".into());
        }
        let area_m2 = reader.number("area_m2", 1.0, 1e12)?.ok_or("missing_field: `area_m2` is missing")?;
        Ok(Self {
            company,
            district: reader.symbol("district")?,
            area_m2: area_m2.round() as i64,
            assessments,
        })
    }
}
