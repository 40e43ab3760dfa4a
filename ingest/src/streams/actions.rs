//! `actions`: what operators did to alerts, keyed by the target.
//!
//! `action_id`, `ts`, `user`, `action` (`ack`, `assign`, `comment`, `shelve`, `unshelve`, `close`), `target`, optional
//! `assignee` (`assign`), `reason`, `until` (`shelve`).

use std::borrow::Cow;

use model::{Action, ActionKind, LogPos, Row, StreamId, Sym};
use serde::Deserialize;

use super::fields::{Field, Id, Kind, Time, diagnose, optional, required};
use super::{Interner, Parsed, Reason, Stream};

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
    action: Cow<'a, str>,
    #[serde(borrow)]
    target: Id<'a>,
    #[serde(borrow)]
    assignee: Option<Id<'a>>,
    #[serde(borrow)]
    reason: Option<Cow<'a, str>>,
    until: Option<Time>,
    appended_at: Option<Time>,
}

fn parse(interner: &mut Interner, value: &[u8], pos: LogPos) -> Result<Parsed, Reason> {
    let record: Record<'_> = sonic_rs::from_slice(value).map_err(|e| diagnose(value, FIELDS, &e))?;
    let kind = match &*record.action {
        "ack" => ActionKind::Ack,
        "assign" => ActionKind::Assign,
        "comment" => ActionKind::Comment,
        "shelve" => ActionKind::Shelve,
        "unshelve" => ActionKind::Unshelve,
        "close" => ActionKind::Close,
        other => {
            let expected = "ack, assign, comment, shelve, unshelve or close";
            return Err(format!("unknown_action: `action` is `{other}`, expected {expected}"));
        }
    };
    let row = Row::Action(Box::new(Action {
        pos,
        id: interner.intern(&record.action_id.0),
        ts: record.ts.0,
        user: interner.intern(&record.user.0),
        kind,
        target: interner.intern(&record.target.0),
        assignee: record.assignee.map_or(Sym::EMPTY, |id| interner.intern(&id.0)),
        reason: record.reason.unwrap_or_default().into(),
        until: record.until.map(|time| time.0),
    }));
    Ok(Parsed { row, ts: Some(record.ts.0), appended_at: record.appended_at.map(|time| time.0) })
}
