//! Units side by side: ranks, and the versions that are published.
//!
//! **Meaning.** The rank of a unit is 1 + the number of units of its scheme and period with a greater score. A period is
//! published so long after its end as its scheme says; what is published is version 1 of each unit, and stays. When the
//! score, the grade, the rank, the completeness or the scheme's record of a published unit changes later, the new state
//! becomes the next version, at the tick of the change; the versions before are kept.
//!
//! **Mechanism.** State by scheme and period, at one worker each; the publication is an appointment.
//!
//! **State.** The units of each scheme and period, with their last published version.

use std::collections::BTreeMap;

use foldhash::{HashMap, HashSet};
use model::{Period, Sym, Tick};

use super::rows::{Judged, ScoreRow, VersionRow};
use crate::operators::delta::Delta;
use crate::operators::park::Parking;
use crate::operators::ticked::Ticked;
use crate::views::case_rates::Scope;

/// Output.
#[derive(Clone, Debug)]
pub enum Out {
    /// A row of `scores`.
    Score(Box<Delta<ScoreRow>>),
    /// A row of `score_versions`.
    Version(Box<VersionRow>),
}

#[derive(Default)]
struct Group {
    units: BTreeMap<Scope, Judged>,
    said: BTreeMap<Scope, ScoreRow>,
    published: BTreeMap<Scope, VersionRow>,
}

/// The operator.
#[derive(Default)]
pub struct Standings {
    groups: HashMap<(Sym, Period), Group>,
    publications: Parking<(Sym, Period)>,
    parked: HashSet<(Tick, Sym, Period)>,
}

impl Group {
    fn settle(&mut self, tick: Tick, out: &mut Vec<Out>) {
        let totals: Vec<(Scope, scoring::Exact)> =
            self.units.iter().filter_map(|(unit, judged)| Some((*unit, judged.total.clone()?))).collect();
        let ranks: BTreeMap<Scope, u32> = scoring::ranks(&totals).into_iter().collect();
        for (unit, judged) in &self.units {
            let rank = ranks.get(unit).copied();
            let last = self.published.get(unit);
            if judged.publish.is_some_and(|publish| publish <= tick) {
                let same = last.is_some_and(|last| {
                    let (a, b) = (&last.judged, judged);
                    last.rank == rank
                        && (&a.total, &a.grade, &a.completeness, a.record)
                            == (&b.total, &b.grade, &b.completeness, b.record)
                });
                if !same {
                    let version = last.map_or(0, |last| last.version) + 1;
                    let row = VersionRow { judged: judged.clone(), rank, version, published: tick };
                    out.push(Out::Version(Box::new(row.clone())));
                    self.published.insert(*unit, row);
                }
            }
            let version = self.published.get(unit).map_or(0, |last| last.version);
            // When it will be published is no part of the row: it may change alone.
            let row = ScoreRow { judged: Judged { publish: None, ..judged.clone() }, rank, version };
            let old = self.said.insert(*unit, row.clone());
            out.extend(Delta::between(old, Some(row)).map(|delta| Out::Score(Box::new(delta))));
        }
        let units = &self.units;
        let gone: Vec<Scope> = self.said.keys().filter(|unit| !units.contains_key(*unit)).copied().collect();
        for unit in gone {
            if let Some(row) = self.said.remove(&unit) {
                out.push(Out::Score(Box::new(Delta { old: Some(row), new: None })));
            }
        }
    }
}

impl Ticked for Standings {
    type In = Delta<Judged>;
    type Out = Out;

    fn tick(&mut self, tick: Tick, input: &mut Vec<Delta<Judged>>, out: &mut Vec<Out>) {
        let mut touched: HashSet<(Sym, Period)> = self.publications.take(tick).into_iter().collect();
        self.parked.retain(|(due, ..)| *due > tick);
        for delta in input.drain(..) {
            let Some(judged) = delta.new.as_ref().or(delta.old.as_ref()) else { continue };
            let (key, unit) = ((judged.scheme, judged.period), judged.unit);
            touched.insert(key);
            let group = self.groups.entry(key).or_default();
            match delta.new {
                Some(judged) => {
                    if let Some(publish) = judged.publish.filter(|publish| *publish > tick)
                        && self.parked.insert((publish, key.0, key.1))
                    {
                        self.publications.park(publish, key);
                    }
                    group.units.insert(unit, judged);
                }
                None => drop(group.units.remove(&unit)),
            }
        }
        for key in touched {
            if let Some(group) = self.groups.get_mut(&key) {
                group.settle(tick, out);
                if group.units.is_empty() && group.published.is_empty() {
                    self.groups.remove(&key);
                }
            }
        }
    }

    fn due(&self) -> Option<Tick> {
        self.publications.due()
    }
}
