//! Parks, residences, walkways, radius schemes and what else is green: the fields of their records.
//!
//! What a record must hold is written beside its type in `model::reference`; this hands it the names.

use model::reference::care::{CareAreaRef, TreeRef};
use model::reference::fields::Reader;
use model::reference::green_space::{GreenDistrict, GreenEditionRef, GreenSpaceRef};
use model::reference::{ParkRef, RadiusSchemeRef, ResidenceRef, WalkwayRef};
use model::{Kind, Typed};

use super::super::fields::Object;
use super::super::{Interner, Reason};

/// Reads a record of one of these kinds; any other is kept as JSON.
pub(super) fn parse(interner: &mut Interner, kind: Kind, object: &Object) -> Result<Typed, Reason> {
    let mut intern = |text: &str| interner.rare(text);
    let reader = &mut Reader::new(object, &mut intern);
    Ok(match kind {
        Kind::Park => Typed::Park(ParkRef::read(reader)?),
        Kind::Residence => Typed::Residence(ResidenceRef::read(reader)?),
        Kind::Walkway => Typed::Walkway(WalkwayRef::read(reader)?),
        Kind::RadiusScheme => Typed::RadiusScheme(RadiusSchemeRef::read(reader)?),
        Kind::GreenSpace => Typed::GreenSpace(GreenSpaceRef::read(reader)?),
        Kind::Tree => Typed::Tree(TreeRef::read(reader)?),
        Kind::CareArea => Typed::CareArea(CareAreaRef::read(reader)?),
        Kind::GreenEdition => Typed::GreenEdition(GreenEditionRef::read(reader)?),
        Kind::District => Typed::District(GreenDistrict::read(reader)?),
        _ => Typed::Other,
    })
}
