//! The calculation sheet of a score: one unit, one period, everything that a clerk needs to check it with a calculator.
//!
//! **Meaning.** One line for each indicator that the scheme has for the unit: its formula in names and in numbers,
//! numerator, denominator, value, how the value becomes points, points, weight (as it is after what is not applicable was
//! left out) and contribution; the last line is the sum. Decimals of contributions are rounded so that they add up to the
//! rounded score; the exact fractions stand beside them. Below follow the inputs, each with what was counted.
//!
//! **Mechanism.** Made of the tree that [`explain`] answers with. In the workbook value, contribution and sum are formulas
//! with their results, and the cases behind the counts stand on a second sheet; CSV has the first sheet. Made in memory,
//! nothing is kept.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::{Tick, ViewSpec};
use rust_xlsxwriter::{Format, Formula, Workbook, Worksheet, XlsxError};
use scoring::{Exact, exact};
use serde_json::Value as Json;

use super::explain::{self, DIGITS};
use super::export::instant;
use super::told::At;
use super::views::{remembered, write_cell};
use super::{App, Path, aside};
use crate::guard;
use crate::problem::Problem;
use crate::query::Parameters;
use crate::store::Gone;
use crate::token::Scope;

/// Titles of the columns, English and Chinese.
const TITLES: [(&str, &str); 14] = [
    ("group", "分组"),
    ("indicator", "指标编号"),
    ("text", "指标名称"),
    ("formula", "计算公式"),
    ("with numbers", "代入数值"),
    ("numerator", "分子"),
    ("denominator", "分母"),
    ("value", "指标值"),
    ("scoring", "计分规则"),
    ("points", "指标得分"),
    ("weight", "权重"),
    ("contribution", "贡献分"),
    ("exact contribution", "精确贡献分"),
    ("state", "状态"),
];
/// Where in [`TITLES`] what stands that formulas refer to.
const NUMERATOR: usize = 5;
const VALUE: usize = 7;
const POINTS: usize = 9;
const CONTRIBUTION: usize = 11;

/// The calculation sheet of one score, to be checked with a calculator: a workbook, or CSV with a byte order mark.
#[utoipa::path(get, path = "/export/scores/{scheme}/{district}/{file}", tag = "views",
    params(
        ("scheme" = String, Path, description = "The scheme"),
        ("district" = String, Path, description = "The district, or the unit that the scheme is about"),
        ("file" = String, Path, description = "Label of the period with .xlsx or .csv behind it, such as 2026-11.xlsx"),
        ("lang" = Option<String>, Query, description = "zh: Chinese, the default; en: English"),
        ("as_of" = Option<u64>, Query, description = "The score as it was at this tick (Unix ms)"),
    ),
    responses(
        (status = 200, description = "The sheet", body = String, content_type = "text/csv"),
        (status = 400, description = "A parameter is wrong", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No token", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such score or format", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "The tick is older than what is remembered", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn export_sheet(
    State(shared): App,
    Path((scheme, district, file)): Path<(String, String, String)>,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    guard::check(&shared, &headers, Scope::Read)?;
    aside(move || {
        parameters.only(&["lang", "as_of"])?;
        let unknown =
            || Problem::not_found(format!("`{file}`: expected a period with .xlsx or .csv behind it"));
        let (period, format) = file.rsplit_once('.').ok_or_else(unknown)?;
        let kind = match format {
            "csv" => "text/csv; charset=utf-8",
            "xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            _ => return Err(unknown()),
        };
        let chinese = match parameters.get("lang") {
            None | Some("zh") => true,
            Some("en") => false,
            Some(other) => return Err(Problem::bad_request(format!("`lang={other}`: expected zh or en"))),
        };
        let wrong = |text: &str| Problem::bad_request(format!("`as_of={text}`: expected a tick, Unix ms"));
        let tick =
            parameters.get("as_of").map(|text| text.parse::<Tick>().map_err(|_| wrong(text))).transpose()?;
        let tick = tick.unwrap_or_else(|| shared.store.now().0);
        let old = |spec: &ViewSpec, tick: Tick, gone: Gone| remembered(&shared, spec, tick, gone);
        let tree = explain::tree(
            &At::read(&shared.store, tick, shared.config.utc_offset_min, &old)?,
            &[scheme.clone(), district.clone(), period.to_owned()],
        )?;
        let sheet = Sheet::of(&tree, chinese);
        let body = match format {
            "xlsx" => sheet.xlsx()?,
            _ => sheet.csv().into_bytes(),
        };
        let head = [
            (header::CONTENT_TYPE, kind.to_owned()),
            (header::CONTENT_DISPOSITION, format!("attachment; filename=\"score-{tick}.{format}\"")),
            (header::CACHE_CONTROL, "no-store".to_owned()),
        ];
        Ok((head, body).into_response())
    })
    .await
}

/// A sheet before it has a format.
struct Sheet {
    chinese: bool,
    /// Name and value of what stands above the lines.
    head: Vec<(String, String)>,
    lines: Vec<Line>,
    /// The score with [`DIGITS`] decimals, and as a fraction; empty without one.
    total: (String, String),
    /// Name, value and number of cases of each input, and the ids listed.
    inputs: Vec<(String, String, Option<usize>, Vec<String>)>,
}

/// An indicator.
struct Line {
    /// The columns as text, in the order of [`TITLES`].
    cells: [String; TITLES.len()],
    /// Contribution, the nearest double.
    contribution: f64,
}

fn text_of(json: &Json, chinese: bool) -> &str {
    let text = json.get(if chinese { "zh" } else { "en" }).or_else(|| json.get("zh"));
    text.and_then(Json::as_str).unwrap_or("")
}

/// A value as a cell shows it.
fn shown(json: &Json) -> String {
    match json {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// How a value becomes points, in words.
fn rule(scoring: &Json, chinese: bool) -> String {
    let say = |zh: String, en: String| if chinese { zh } else { en };
    match scoring["function"].as_str() {
        Some("rate") => say("100 × 指标值".into(), "100 × value".into()),
        Some("inverted") => say("100 × (1 − 指标值)".into(), "100 × (1 − value)".into()),
        Some("bands") => {
            let band = |band: &Json| match &band["up_to"] {
                Json::Null => say(format!("其余: {}", band["points"]), format!("else: {}", band["points"])),
                edge => format!("≤ {edge}: {}", band["points"]),
            };
            let bands: Vec<String> = scoring["bands"].as_array().into_iter().flatten().map(band).collect();
            bands.join("; ")
        }
        Some("steps") => {
            let less = scoring["better"] == "less";
            let (sign, full, step) = (if less { "≤" } else { "≥" }, &scoring["full_at"], &scoring["step"]);
            let (minus, points) = (&scoring["minus"], &scoring["points"]);
            let parts = match scoring["part_step"].as_str() {
                Some("whole") => say("不足一级按一级".into(), "part steps cost as whole ones".into()),
                Some("pro_rata") => say("按比例".into(), "pro rata".into()),
                _ => say("不足一级不扣".into(), "part steps are free".into()),
            };
            say(
                format!("{sign} {full} 得 {points} 分, 每差 {step} 扣 {minus} ({parts}), 折合百分"),
                format!(
                    "{sign} {full}: {points}, each {step} short costs {minus} ({parts}), as a percentage"
                ),
            )
        }
        _ => String::new(),
    }
}

/// A formula with its inputs' values in the place of their names.
fn substituted(formula: &str, inputs: &Json) -> String {
    let mut out = String::new();
    let mut word = String::new();
    let flush = |word: &mut String, out: &mut String| {
        match inputs.get(word.as_str()) {
            Some(input) if input["value"].is_null() => out.push('?'),
            Some(input) => out.push_str(&input["value"].to_string()),
            None => out.push_str(word),
        }
        word.clear();
    };
    for c in formula.chars() {
        if c.is_ascii_alphanumeric() || c == '_' {
            word.push(c);
        } else {
            flush(&mut word, &mut out);
            out.push(c);
        }
    }
    flush(&mut word, &mut out);
    out
}

/// The leaves of a tree, each with the names of the groups above it.
fn leaves<'a>(nodes: &'a Json, above: &str, chinese: bool, out: &mut Vec<(String, &'a Json)>) {
    for node in nodes.as_array().into_iter().flatten() {
        match node["group"].as_str() {
            None => out.push((above.to_owned(), node)),
            Some(group) => {
                let name =
                    Some(text_of(&node["text"], chinese)).filter(|text| !text.is_empty()).unwrap_or(group);
                let path = if above.is_empty() { name.to_owned() } else { format!("{above} / {name}") };
                leaves(&node["indicators"], &path, chinese, out);
            }
        }
    }
}

impl Sheet {
    fn of(tree: &Json, chinese: bool) -> Self {
        let word = |zh: &str, en: &str| if chinese { zh.to_owned() } else { en.to_owned() };
        let tick = tree["tick"].as_i64().map_or_else(String::new, instant);
        let exact_of = |json: &Json| json.as_str().and_then(exact::parse);
        let mut found = Vec::new();
        leaves(&tree["indicators"], "", chinese, &mut found);
        let contributions: Vec<Exact> =
            found.iter().map(|(_, leaf)| exact_of(&leaf["contribution_exact"]).unwrap_or_default()).collect();
        let decimals = exact::rounded_parts(&contributions, DIGITS);
        let mut inputs: Vec<(String, String, Option<usize>, Vec<String>)> = Vec::new();
        let mut lines = Vec::new();
        for (((group, leaf), contribution), decimal) in found.iter().zip(&contributions).zip(decimals) {
            for (name, input) in leaf["inputs"].as_object().into_iter().flatten() {
                if inputs.iter().any(|(known, ..)| known == name) {
                    continue;
                }
                let ids = input["cases"].as_array().into_iter().flatten().map(shown).collect();
                let cases = input["cases_total"].as_u64().and_then(|n| usize::try_from(n).ok());
                inputs.push((name.clone(), shown(&input["value"]), cases, ids));
            }
            let (over, under) = (shown(&leaf["numerator_formula"]), shown(&leaf["denominator_formula"]));
            let wrapped = |text: &str| if text.contains(' ') { format!("({text})") } else { text.to_owned() };
            let quotient = |over: &str, under: &str| match under {
                "1" => over.to_owned(),
                _ => format!("{} / {}", wrapped(over), wrapped(under)),
            };
            let numbers =
                quotient(&substituted(&over, &leaf["inputs"]), &substituted(&under, &leaf["inputs"]));
            lines.push(Line {
                cells: [
                    group.clone(),
                    shown(&leaf["indicator"]),
                    text_of(&leaf["text"], chinese).to_owned(),
                    quotient(&over, &under),
                    numbers,
                    shown(&leaf["numerator"]),
                    shown(&leaf["denominator"]),
                    shown(&leaf["value"]),
                    rule(&leaf["scoring"], chinese),
                    shown(&leaf["score"]),
                    shown(&leaf["weight"]),
                    decimal,
                    shown(&leaf["contribution_exact"]),
                    shown(&leaf["state"]),
                ],
                contribution: exact::to_f64(contribution),
            });
        }
        let total = exact_of(&tree["score_exact"])
            .map_or_else(Default::default, |total| (exact::rounded(&total, DIGITS), exact::text(&total)));
        let head = [
            ("评价方案", "scheme", shown(&tree["scheme"])),
            ("方案名称", "name of the scheme", text_of(&tree["text"], chinese).to_owned()),
            ("方案版本", "version of the scheme", shown(&tree["record"])),
            ("评价对象", "unit", shown(&tree["district"])),
            ("周期", "period", shown(&tree["period"])),
            ("数据时刻", "as of", tick),
            ("得分", "score", total.0.clone()),
            ("等级", "grade", shown(&tree["grade"])),
            ("排名", "rank", shown(&tree["rank"])),
            ("完整度", "completeness", shown(&tree["completeness"])),
            ("暂定", "provisional", shown(&tree["provisional"])),
            ("发布版本", "published version", shown(&tree["version"])),
        ];
        let head = head.map(|(zh, en, value)| (word(zh, en), value)).into();
        Self { chinese, head, lines, total, inputs }
    }

    fn titles(&self) -> impl Iterator<Item = &'static str> {
        let chinese = self.chinese;
        TITLES.iter().map(move |(en, zh)| if chinese { *zh } else { *en })
    }

    fn word(&self, zh: &'static str, en: &'static str) -> &'static str {
        if self.chinese { zh } else { en }
    }

    /// The last line: the sum of the contributions.
    fn sum(&self) -> [&str; TITLES.len()] {
        let mut sum = [""; TITLES.len()];
        sum[0] = self.word("合计", "sum");
        sum[CONTRIBUTION] = &self.total.0;
        sum[CONTRIBUTION + 1] = &self.total.1;
        sum
    }

    fn csv(&self) -> String {
        let mut csv = String::from("\u{feff}");
        let mut line = |cells: &mut dyn Iterator<Item = &str>| {
            cells.enumerate().for_each(|(place, cell)| write_cell(cell, place, &mut csv));
            csv.push_str("\r\n");
        };
        for (name, value) in &self.head {
            line(&mut [name.as_str(), value].into_iter());
        }
        line(&mut std::iter::empty());
        line(&mut self.titles());
        for indicator in &self.lines {
            line(&mut indicator.cells.iter().map(String::as_str));
        }
        line(&mut self.sum().into_iter());
        line(&mut std::iter::empty());
        let titles = [("输入", "input"), ("数值", "value"), ("案件数", "cases")];
        line(&mut titles.into_iter().map(|(zh, en)| self.word(zh, en)));
        for (name, value, cases, _) in &self.inputs {
            let cases = cases.map_or_else(String::new, |n| n.to_string());
            line(&mut [name.as_str(), value, &cases].into_iter());
        }
        csv
    }

    fn xlsx(&self) -> Result<Vec<u8>, Problem> {
        self.workbook().map_err(|error| {
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("the workbook cannot be written: {error}"),
            )
        })
    }

    fn workbook(&self) -> Result<Vec<u8>, XlsxError> {
        let mut workbook = Workbook::new();
        let bold = Format::new().set_bold();
        let page = workbook.add_worksheet();
        page.set_name(self.word("计算表", "calculation"))?;
        let mut row = 0;
        for (name, value) in &self.head {
            page.write_string_with_format(row, 0, name, &bold)?;
            page.write_string(row, 1, value)?;
            row += 1;
        }
        row += 1;
        for (column, title) in (0..).zip(self.titles()) {
            page.write_string_with_format(row, column, title, &bold)?;
        }
        row += 1;
        let first = row;
        for line in &self.lines {
            // Rows are counted from 1 in formulas.
            let at = row + 1;
            for (column, cell) in line.cells.iter().enumerate() {
                let place = column as u16;
                match column {
                    VALUE if !cell.is_empty() => {
                        page.write_formula(
                            row,
                            place,
                            Formula::new(format!("=F{at}/G{at}")).set_result(cell),
                        )?;
                    }
                    CONTRIBUTION if !line.cells[POINTS].is_empty() => {
                        let result = line.contribution.to_string();
                        page.write_formula(
                            row,
                            place,
                            Formula::new(format!("=J{at}*K{at}")).set_result(result),
                        )?;
                    }
                    NUMERATOR..=CONTRIBUTION => number_or_text(page, row, place, cell)?,
                    _ => {
                        page.write_string(row, place, cell)?;
                    }
                }
            }
            row += 1;
        }
        page.write_string_with_format(row, 0, self.word("合计", "sum"), &bold)?;
        if !self.total.0.is_empty() {
            let sum = Formula::new(format!("=SUM(L{}:L{row})", first + 1)).set_result(&self.total.0);
            page.write_formula_with_format(row, CONTRIBUTION as u16, sum, &bold)?;
            page.write_string(row, CONTRIBUTION as u16 + 1, &self.total.1)?;
        }
        row += 2;
        let titles = [("输入", "input"), ("数值", "value"), ("案件数", "cases")];
        for (column, (zh, en)) in (0..).zip(titles) {
            page.write_string_with_format(row, column, self.word(zh, en), &bold)?;
        }
        for (name, value, cases, _) in &self.inputs {
            row += 1;
            page.write_string(row, 0, name)?;
            number_or_text(page, row, 1, value)?;
            if let Some(cases) = cases {
                page.write_number(row, 2, *cases as f64)?;
            }
        }
        let page = workbook.add_worksheet();
        page.set_name(self.word("案件", "cases"))?;
        page.write_string_with_format(0, 0, self.word("输入", "input"), &bold)?;
        page.write_string_with_format(0, 1, self.word("案件编号", "case_id"), &bold)?;
        let ids = self.inputs.iter().flat_map(|(name, _, _, ids)| ids.iter().map(move |id| (name, id)));
        for (row, (name, id)) in (1..).zip(ids) {
            page.write_string(row, 0, name)?;
            page.write_string(row, 1, id)?;
        }
        workbook.save_to_buffer()
    }
}

fn number_or_text(page: &mut Worksheet, row: u32, column: u16, cell: &str) -> Result<(), XlsxError> {
    match cell.parse::<f64>() {
        Ok(number) if number.is_finite() => page.write_number(row, column, number)?,
        _ => page.write_string(row, column, cell)?,
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use calamine::{Data, Reader as _, Xlsx};
    use serde_json::json;

    use super::*;

    /// 2/3 × 95 + 1/3 × 100/7, and one that is not applicable.
    fn tree() -> Json {
        json!({
            "scheme": "s", "district": "610602", "period": "2026", "tick": 1_794_560_400_000_i64,
            "text": {"zh": "方案", "en": "Scheme"}, "record": "s-1", "score_exact": "1430/21", "grade": "C", "rank": 2,
            "completeness": 1.0, "provisional": false, "version": 1,
            "indicators": [
                {"group": "g", "text": {"zh": "案件"}, "weight": 2, "indicators": [{
                    "indicator": "closing", "text": {"zh": "结案率", "en": "Closing"}, "numerator": 95, "denominator": 100,
                    "value": 0.95, "score": 95.0, "weight": 2.0 / 3.0, "contribution_exact": "190/3", "state": "counted",
                    "numerator_formula": "closed", "denominator_formula": "to_close", "scoring": {"function": "rate"},
                    "inputs": {"closed": {"value": 95, "cases": ["a", "b"], "cases_total": 95}, "to_close": {"value": 100}},
                }]},
                {"indicator": "sorting", "text": {"zh": "=分类"}, "numerator": 1, "denominator": 7, "value": 1.0 / 7.0,
                    "score": 100.0 / 7.0, "weight": 1.0 / 3.0, "contribution_exact": "100/21", "state": "counted",
                    "numerator_formula": "max(0, sorted - 1)", "denominator_formula": "1",
                    "scoring": {"function": "bands", "bands": [{"up_to": 1, "points": 90}, {"points": 0}]},
                    "inputs": {"sorted": {"value": 2}}},
                {"indicator": "leak", "text": {}, "numerator": 0, "denominator": 0, "value": null, "score": null, "weight": 0.0,
                    "contribution_exact": "0", "state": "not_applicable", "numerator_formula": "lost",
                    "denominator_formula": "supplied", "inputs": {"lost": {"value": null}},
                    "scoring": {"function": "steps", "full_at": 0.1, "step": 0.01, "minus": 0.2, "points": 1, "better": "less"}},
            ],
        })
    }

    #[test]
    fn a_clerk_finds_every_number_and_the_parts_add_up() {
        let csv = Sheet::of(&tree(), true).csv();
        let lines: Vec<&str> = csv.trim_start_matches('\u{feff}').split("\r\n").collect();
        assert!(
            csv.starts_with('\u{feff}')
                && lines.contains(&"评价对象,610602")
                && lines.contains(&"得分,68.095238")
        );
        let at = lines.iter().position(|line| line.starts_with("分组,指标编号")).unwrap();
        assert_eq!(
            lines[at + 1],
            "案件,closing,结案率,closed / to_close,95 / 100,95,100,0.95,100 × 指标值,95.0,0.6666666666666666,\
             63.333333,190/3,counted"
        );
        assert!(
            lines[at + 2].contains("'=分类") && lines[at + 2].contains("\"max(0, 2 - 1)\""),
            "{}",
            lines[at + 2]
        );
        assert!(lines[at + 2].contains("≤ 1: 90; 其余: 0"), "{}", lines[at + 2]);
        assert!(lines[at + 3].contains("≤ 0.1 得 1 分, 每差 0.01 扣 0.2"), "{}", lines[at + 3]);
        assert_eq!(lines[at + 4], "合计,,,,,,,,,,,68.095238,1430/21,");
        let micro = |line: &str| -> i64 {
            let cell = line.rsplit(',').nth(2).unwrap();
            cell.replace('.', "").parse().unwrap()
        };
        assert_eq!(lines[at + 1..at + 4].iter().map(|line| micro(line)).sum::<i64>(), micro(lines[at + 4]));
        assert!(lines.contains(&"closed,95,95") && lines.contains(&"sorted,2,"));
        assert!(Sheet::of(&tree(), false).csv().contains("\r\nsum,"));
    }

    #[test]
    fn the_workbook_has_formulas_with_their_results_and_the_cases() {
        let file = Sheet::of(&tree(), true).xlsx().unwrap();
        let mut book: Xlsx<_> = Xlsx::new(Cursor::new(file)).unwrap();
        let page = book.worksheet_range("计算表").unwrap();
        let formulas = book.worksheet_formula("计算表").unwrap();
        let head = page.rows().position(|row| row[0] == Data::String("分组".into())).unwrap() as u32;
        let cell = |row: u32, column: u32| page.get_value((row, column)).cloned().unwrap_or_default();
        let number = |row: u32, column: u32| match cell(row, column) {
            Data::Float(number) => number,
            Data::Int(number) => number as f64,
            other => panic!("{other:?} at {row}, {column}"),
        };
        assert_eq!(cell(3, 1), Data::String("610602".into()), "an id is no number");
        assert_eq!((number(head + 1, 5), number(head + 1, 6), number(head + 1, 7)), (95.0, 100.0, 0.95));
        let contribution = CONTRIBUTION as u32;
        assert_eq!(formulas.get_value((head + 1, contribution)).unwrap(), &format!("J{0}*K{0}", head + 2));
        assert_eq!(
            formulas.get_value((head + 4, contribution)).unwrap(),
            &format!("SUM(L{}:L{})", head + 2, head + 4)
        );
        assert!((number(head + 1, contribution) - 190.0 / 3.0).abs() < 1e-9);
        assert!((number(head + 4, contribution) - 68.095238).abs() < 1e-9);
        assert_eq!(cell(head + 3, contribution), Data::Float(0.0));
        let cases = book.worksheet_range("案件").unwrap();
        let ids: Vec<String> = cases.rows().skip(1).map(|row| format!("{} {}", row[0], row[1])).collect();
        assert_eq!(ids, ["closed a", "closed b"]);
    }
}
