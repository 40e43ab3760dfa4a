//! The schemes and indicators in force, and which version of a scheme scores a period.
//!
//! **Meaning.** Records of one scheme are its versions: a period is scored by the one with the latest `valid_from` that
//! is not after its first day (of equals, the greater id); windows that move by the latest of all. An indicator whose
//! formulas don't compile is missing (the edge refuses such records).
//!
//! **State.** One entry per record.

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::HashMap;
use model::reference::score::{Node, SchemeRef, Scored};
use model::{Names, Period, PeriodKind, Sym, Typed};
use scoring::Indicator;

use super::brought::{DAILY, Sums};
use crate::operators::delta::Delta;
use crate::views::case_rates::{Post, Scope};
use crate::views::reference::CurrentRow;

/// A version of a scheme.
#[derive(Clone, Debug)]
pub struct Version {
    /// Id of its record.
    pub record: Sym,
    /// The record.
    pub scheme: SchemeRef,
}

/// By `valid_from` and id.
type Versions = BTreeMap<(Option<i32>, Arc<str>), Version>;

/// All of them.
pub struct Schemes {
    names: Arc<Names>,
    indicators: HashMap<Sym, Indicator>,
    /// By scheme, then in the order in which they take over.
    schemes: HashMap<Sym, Versions>,
    /// By scheme: what its indicators take of [`DAILY`].
    takes: HashMap<Sym, [bool; DAILY.len()]>,
    posts: [Sym; 4],
    city: Sym,
}

impl Schemes {
    /// None yet.
    pub fn new(names: &Arc<Names>) -> Self {
        Self {
            names: Arc::clone(names),
            indicators: HashMap::default(),
            schemes: HashMap::default(),
            takes: HashMap::default(),
            posts: Post::ALL.map(|post| names.intern(post.name())),
            city: names.intern("city"),
        }
    }

    /// Takes a change of a record; returns the schemes that it touches.
    pub fn change(&mut self, delta: &Delta<CurrentRow>) -> Vec<Sym> {
        let mut touched = Vec::new();
        for (row, comes) in [(&delta.old, false), (&delta.new, true)] {
            let Some(row) = row else { continue };
            match &row.body.typed {
                Typed::Indicator(record) => {
                    match Indicator::compile(record) {
                        Ok(indicator) if comes => drop(self.indicators.insert(row.id, indicator)),
                        _ => drop(self.indicators.remove(&row.id)),
                    }
                    let uses = |version: &Version| any(&version.scheme.nodes, &|id| id == row.id);
                    let using = self.schemes.iter().filter(|(_, versions)| versions.values().any(uses));
                    touched.extend(using.map(|(scheme, _)| *scheme));
                }
                Typed::ScoreScheme(record) => {
                    touched.push(record.scheme);
                    let key = (record.valid_from, Arc::from(self.names.resolve(row.id)));
                    let versions = self.schemes.entry(record.scheme).or_default();
                    if comes {
                        versions.insert(key, Version { record: row.id, scheme: (**record).clone() });
                    } else {
                        versions.remove(&key);
                    }
                }
                _ => {}
            }
        }
        for scheme in &touched {
            let versions = self.schemes.get(scheme).into_iter().flat_map(BTreeMap::values);
            let takes = |input: &str| {
                let named = |id: Sym| {
                    let record = self.indicators.get(&id).map(Indicator::record);
                    record.is_some_and(|record| record.inputs.iter().any(|name| &**name == input))
                };
                versions.clone().any(|version| any(&version.scheme.nodes, &named))
            };
            self.takes.insert(*scheme, DAILY.map(takes));
        }
        touched
    }

    /// Whether an indicator of `scheme` takes any of the [`DAILY`] that are not 0 in `sums`.
    pub fn minds(&self, scheme: Sym, sums: &Sums) -> bool {
        let takes = self.takes.get(&scheme);
        takes.is_some_and(|takes| takes.iter().zip(sums).any(|(takes, sum)| *takes && *sum != 0))
    }

    /// The schemes.
    pub fn all(&self) -> impl Iterator<Item = Sym> {
        self.schemes.keys().copied()
    }

    /// The indicator with this id.
    pub fn indicator(&self, id: Sym) -> Option<&Indicator> {
        self.indicators.get(&id)
    }

    /// The unit as measures, weights and lists of units name it.
    pub fn unit(&self, scope: Scope) -> Option<Sym> {
        match scope {
            Scope::City => Some(self.city),
            Scope::District(id) | Scope::Department(id) => Some(id),
            Scope::Post(post) => Some(self.posts[post as usize]),
            _ => None,
        }
    }

    /// The scope of a unit that a measure names.
    pub fn scope(&self, kind: Scored, unit: Sym) -> Option<Scope> {
        match kind {
            Scored::City => Some(Scope::City),
            Scored::District => Some(Scope::District(unit)),
            Scored::Department => Some(Scope::Department(unit)),
            Scored::Post => Post::ALL
                .into_iter()
                .zip(self.posts)
                .find(|(_, name)| *name == unit)
                .map(|(post, _)| Scope::Post(post)),
        }
    }

    /// The version of `scheme` that scores `unit` in `period`, if one does.
    pub fn version(&self, scheme: Sym, kind: Scored, unit: Option<Sym>, period: Period) -> Option<&Version> {
        let versions = self.schemes.get(&scheme)?;
        let moves = matches!(period.kind, PeriodKind::Rolling | PeriodKind::All);
        let in_force = |((from, _), _): &(&(Option<i32>, Arc<str>), &Version)| {
            moves || from.is_none_or(|from| from <= period.start)
        };
        let (_, version) = versions.iter().rev().find(in_force)?;
        let scheme = &version.scheme;
        let covers = scheme.units.is_empty() || unit.is_some_and(|unit| scheme.units.contains(&unit));
        (scheme.scope == kind && covers && scheme.periods.contains(&period.kind)).then_some(version)
    }
}

/// Whether `is` takes any indicator of the tree.
fn any(nodes: &[Node], is: &dyn Fn(Sym) -> bool) -> bool {
    nodes.iter().any(|node| match node.children.is_empty() {
        true => is(node.id),
        false => any(&node.children, is),
    })
}
