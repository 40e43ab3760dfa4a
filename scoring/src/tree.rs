//! The tree of weights: what each indicator contributes, the total, the grade, the rank.
//!
//! **Meaning.** A node's points are the weighted mean of its children's. A leaf that is not applicable is left out and
//! its siblings' weights grow (or it has all points, as the scheme says); one that is missing is left out in any case,
//! and so is a node without children left. The *share* of a leaf is the product of its weights, grown as they are; its
//! contribution is share × points, and the contributions add up to the total exactly. *Completeness* is the part of the
//! weight, not grown, whose indicators are not missing.

use model::Sym;
use model::reference::score::{Grade, Node, NotApplicable, SchemeRef};
use num_traits::{One, Zero};

use crate::exact::{Exact, decimal, whole};
use crate::measure::Outcome;
use crate::points::points;
use crate::{Indicator, exact};

/// An indicator within a score.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The indicator.
    pub indicator: Sym,
    /// What it says.
    pub outcome: Outcome,
    /// Its points, 0 to 100, if it counts.
    pub points: Option<Exact>,
    /// Its part of the total, 0 to 1; 0 if it does not count.
    pub share: Exact,
    /// share × points.
    pub contribution: Exact,
}

/// A score.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluated {
    /// 0 to 100; `None` when no indicator counts.
    pub total: Option<Exact>,
    /// By indicator, in the order of the tree.
    pub leaves: Vec<Leaf>,
    /// Part of the weight whose indicators are not missing, 0 to 1.
    pub completeness: Exact,
}

/// Place of a unit among its kind.
pub type Standing = u32;

/// The score of `unit` by `scheme`, where `outcome` says what each indicator is; an indicator that there is no record of
/// is missing.
pub fn evaluate<'a>(
    scheme: &SchemeRef,
    unit: Option<Sym>,
    outcome: &mut dyn FnMut(Sym) -> Option<(&'a Indicator, Outcome)>,
) -> Evaluated {
    let mut leaves = Vec::new();
    let mut completeness = Exact::zero();
    let roots = of_unit(&scheme.nodes, unit);
    let total = weigh(
        &roots,
        unit,
        &Exact::one(),
        &mut |node| judge(scheme, node, outcome),
        &mut leaves,
        &mut completeness,
    );
    Evaluated { total, leaves, completeness }
}

fn of_unit(nodes: &[Node], unit: Option<Sym>) -> Vec<&Node> {
    nodes
        .iter()
        .filter(|node| node.only.is_empty() || unit.is_some_and(|unit| node.only.contains(&unit)))
        .collect()
}

fn judge<'a>(
    scheme: &SchemeRef,
    node: &Node,
    outcome: &mut dyn FnMut(Sym) -> Option<(&'a Indicator, Outcome)>,
) -> Leaf {
    let (indicator, outcome) = outcome(node.id).map_or((None, Outcome::Missing), |(i, o)| (Some(i), o));
    let value = match outcome {
        Outcome::Value { numerator, denominator } => exact::quotient(numerator, denominator),
        _ => None,
    };
    let points = match (indicator, value) {
        (Some(indicator), Some(value)) => Some(points(&indicator.record().scoring, &value)),
        _ if matches!(outcome, Outcome::NotApplicable { .. })
            && scheme.not_applicable == NotApplicable::Full =>
        {
            Some(whole(100))
        }
        _ => None,
    };
    Leaf { indicator: node.id, outcome, points, share: Exact::zero(), contribution: Exact::zero() }
}

/// The weighted mean of `nodes`; pushes their leaves with shares as parts of this mean.
fn weigh(
    nodes: &[&Node],
    unit: Option<Sym>,
    nominal: &Exact,
    judge: &mut dyn FnMut(&Node) -> Leaf,
    leaves: &mut Vec<Leaf>,
    completeness: &mut Exact,
) -> Option<Exact> {
    let all = nodes.iter().fold(Exact::zero(), |sum, node| sum + decimal(node.weight));
    let mut counted: Vec<(Exact, Exact, std::ops::Range<usize>)> = Vec::new();
    for node in nodes {
        let weight = decimal(node.weight);
        let nominal = nominal * &weight / &all;
        let from = leaves.len();
        let points = if node.children.is_empty() {
            let mut leaf = judge(node);
            if leaf.outcome != Outcome::Missing {
                *completeness += &nominal;
            }
            let points = leaf.points.clone();
            if points.is_some() {
                leaf.share = Exact::one();
            }
            leaves.push(leaf);
            points
        } else {
            weigh(&of_unit(&node.children, unit), unit, &nominal, judge, leaves, completeness)
        };
        if let Some(points) = points {
            counted.push((weight, points, from..leaves.len()));
        }
    }
    let sum = counted.iter().fold(Exact::zero(), |sum, (weight, ..)| sum + weight);
    let mut total = None;
    for (weight, points, range) in counted {
        let share = weight / &sum;
        for leaf in &mut leaves[range] {
            leaf.share *= &share;
            leaf.contribution = match &leaf.points {
                Some(points) => &leaf.share * points,
                None => Exact::zero(),
            };
        }
        total = Some(total.unwrap_or_else(Exact::zero) + share * points);
    }
    total
}

/// The grade of `total`: the first whose lower edge it reaches.
pub fn grade<'a>(grades: &'a [Grade], total: &Exact) -> Option<&'a Grade> {
    grades.iter().find(|grade| *total >= decimal(grade.from))
}

/// The rank of each total: 1 + the number of greater ones; equal totals share a rank.
pub fn ranks<K: Clone>(totals: &[(K, Exact)]) -> Vec<(K, Standing)> {
    let mut order: Vec<&(K, Exact)> = totals.iter().collect();
    order.sort_by(|a, b| b.1.cmp(&a.1));
    let mut ranks = Vec::with_capacity(totals.len());
    let mut before: Option<(&Exact, Standing)> = None;
    for (place, (key, total)) in (1..).zip(order) {
        let rank = before.filter(|(equal, _)| *equal == total).map_or(place, |(_, rank)| rank);
        before = Some((total, rank));
        ranks.push((key.clone(), rank));
    }
    ranks
}
