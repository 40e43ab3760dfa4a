//! `actions`: what operators did to alerts, keyed by the target.
//!
//! `action_id`, `ts`, `user`, `action` (`ack`, `assign`, `comment`, `shelve`, `unshelve`, `close`, `undo`), `target`,
//! optional `assignee` (`assign`), `reason`, `until` (`shelve`); `undoes` names the action that an `undo` takes back.

use model::{Action, ActionKind, LogPos, Row, StreamId, Sym};
use serde::Deserialize;

use super::fields::{Field, Id, Kind, Text, Time, diagnose, optional, required};
use super::{Interner, Parsed, Reason, Stream, Times};

pub(super) const STREAM: Stream = Stream { id: StreamId::Actions, parse, horizon: false, happened: true };

const FIELDS: &[Field] = &[
    required("action_id", Kind::Id),
    required("ts", Kind::Time),
    required("user", Kind::Id),
    required("action", Kind::Text),
    required("target", Kind::Id),
    optional("assignee", Kind::Id),
    optional("reason", Kind::Text),
    optional("until", Kind::Time),
    optional("undoes", Kind::Id),
    optional("appended_at", Kind::Time),
];

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    action_id: Id<'a>,
    ts: Time,
    #[serde(borrow)]
    user: Id<'a>,
    #[serde(borrow)]
    action: Text<'a>,
    #[serde(borrow)]
    target: Id<'a>,
    #[serde(borrow)]
    assignee: Option<Id<'a>>,
    #[serde(borrow)]
    reason: Option<Text<'a>>,
    until: Option<Time>,
    #[serde(borrow)]
    undoes: Option<Id<'a>>,
    appended_at: Option<Time>,
}

fn parse(interner: &mut Interner, value: &[u8], pos: LogPos) -> Result<Parsed, Reason> {
    let record: Record<'_> = sonic_rs::from_slice(value).map_err(|e| diagnose(value, FIELDS, &e))?;
    let name = &*record.action.0;
    let kind = ActionKind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
        let known = ActionKind::ALL.map(ActionKind::name).join(", ");
        format!("unknown_action: `action` is `{name}`, expected one of {known}")
    })?;
    if kind == ActionKind::Undo && record.undoes.is_none() {
        return Err("missing_field: `undoes` is missing: which action to take back".into());
    }
    let row = Row::Action(Box::new(Action {
        pos,
        id: interner.rare(record.action_id.as_str()),
        ts: record.ts.0,
        user: interner.rare(record.user.as_str()),
        kind,
        target: interner.rare(record.target.as_str()),
        assignee: record.assignee.map_or(Sym::EMPTY, |id| interner.rare(id.as_str())),
        reason: record.reason.as_ref().map_or("", |text| &text.0).into(),
        until: record.until.map(|time| time.0),
        undoes: record.undoes.map_or(Sym::EMPTY, |id| interner.rare(id.as_str())),
    }));
    let times = Times { ts: Some(record.ts.0), appended_at: record.appended_at.map(|time| time.0) };
    Ok(Parsed { row, times })
}
