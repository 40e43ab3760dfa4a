//! The description of the API, generated from the code; the rows of views from their specifications.
//!
//! Made once when the API starts; as large as the views are many.

use model::{Type, ViewSpec};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Schema, SchemaType};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{OpenApi as Document, RefOr};
use utoipa::{OpenApi, ToSchema};

use crate::problem::Problem;

/// The beginning of the document.
#[derive(OpenApi)]
#[openapi(
    info(title = "Chengmai", description = "Every number of a city's operations room, current and explainable."),
    servers((url = "/api/v1")),
    components(schemas(Problem)),
)]
pub(crate) struct Base;

/// A view: columns, types, units, key, what bounds it.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what model::ViewSpec serialises to")]
pub(crate) struct View {
    name: String,
    /// Name in Chinese.
    zh: String,
    doc: String,
    /// The first so many columns identify a row.
    key: usize,
    columns: Vec<Column>,
    bounded_by: String,
}

/// A column of a view.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what model::Column serialises to")]
pub(crate) struct Column {
    name: String,
    /// bool, int, float, text, time (Unix ms) or json.
    #[schema(rename = "type")]
    kind: String,
    nullable: bool,
    unit: String,
    /// Name in Chinese.
    zh: String,
    doc: String,
}

/// Rows of one view at one tick.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes an answer that is written by hand")]
pub(crate) struct Rows {
    view: String,
    /// The tick of all rows, Unix ms.
    tick: u64,
    /// Rows of the view; see the schema `row_<view>`.
    rows: Vec<serde_json::Value>,
    /// Cursor of the next page.
    next: Option<String>,
}

/// What one row was: `changes` and the row before them, or `series` if the request had a step.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes an answer that is written by hand")]
pub(crate) struct History {
    view: String,
    /// First tick, Unix ms.
    from: u64,
    /// Last tick that the answer speaks of, Unix ms.
    to: u64,
    /// The row at `from`; null if it was not there.
    before: Option<serde_json::Value>,
    /// Each with `tick`, `op` (upsert or delete) and `row`.
    changes: Option<Vec<serde_json::Value>>,
    /// Each with `tick` and `row`, which is null where there was none.
    series: Option<Vec<serde_json::Value>>,
    /// The `from` that continues, if there was more than fits.
    next: Option<u64>,
}

/// Which lines went in.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes an answer that is written by hand")]
pub(crate) struct Appended {
    accepted: usize,
    rejected: Vec<RejectedLine>,
}

/// A line that stayed out.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes an answer that is written by hand")]
pub(crate) struct RejectedLine {
    /// From 1.
    line: usize,
    reason: String,
}

/// When an action shows.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes an answer that is written by hand")]
pub(crate) struct Acted {
    visible_at: Option<u64>,
    /// By which the action can be undone.
    action_id: String,
}

/// Adds the schemas `row_<view>` and `rows_<view>` of every view, and how tokens are sent.
pub(crate) fn describe_views(document: &mut Document, specs: &[ViewSpec]) {
    let components = document.components.get_or_insert_default();
    let token = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("`chengmai token` makes one. Reading needs none on loopback; writing always does."))
        .build();
    components.add_security_scheme("token", SecurityScheme::Http(token));
    for spec in specs {
        let mut row = ObjectBuilder::new().description(Some(spec.doc));
        for column in spec.columns {
            let unit = if column.unit.is_empty() { String::new() } else { format!(" [{}]", column.unit) };
            let described = Some(format!("{}{unit}", column.doc));
            let kind = match column.ty {
                Type::Bool => utoipa::openapi::Type::Boolean,
                Type::Int | Type::Time => utoipa::openapi::Type::Integer,
                Type::Float => utoipa::openapi::Type::Number,
                Type::Text => utoipa::openapi::Type::String,
                Type::Json => {
                    let any = ObjectBuilder::new().schema_type(SchemaType::AnyValue).description(described);
                    row = row.property(column.name, any).required(column.name);
                    continue;
                }
            };
            let kind = match column.nullable {
                true => SchemaType::from_iter([kind, utoipa::openapi::Type::Null]),
                false => SchemaType::new(kind),
            };
            let schema = ObjectBuilder::new().schema_type(kind).description(described);
            row = row.property(column.name, schema).required(column.name);
        }
        components.schemas.insert(format!("row_{}", spec.name), RefOr::T(Schema::Object(row.build())));
        let rows =
            ArrayBuilder::new().items(utoipa::openapi::Ref::from_schema_name(format!("row_{}", spec.name)));
        components.schemas.insert(format!("rows_{}", spec.name), RefOr::T(Schema::Array(rows.build())));
    }
}
