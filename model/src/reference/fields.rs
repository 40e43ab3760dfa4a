//! The fields of a reference record, read with words for what is wrong.
//!
//! **Meaning.** A [`Reader`] turns fields into what a typed record holds; a missing or null field is absent, one of the
//! wrong type is an error that names the field, the value and what was expected.
//!
//! **State.** None.

use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::shape::{Geometry, LonLat};
use crate::names::Sym;

/// Longest identifier, bytes.
const ID_BYTES: usize = 256;

/// A record and where its names go.
pub struct Reader<'a> {
    object: &'a Map<String, Json>,
    intern: &'a mut dyn FnMut(&str) -> Sym,
}

impl<'a> Reader<'a> {
    /// Reads from `object`; names become symbols by `intern`.
    pub fn new(object: &'a Map<String, Json>, intern: &'a mut dyn FnMut(&str) -> Sym) -> Self {
        Self { object, intern }
    }

    fn get(&self, name: &str) -> Option<&'a Json> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    fn wrong<T>(name: &str, value: &Json, expected: &str) -> Result<T, String> {
        let text = value.to_string();
        let shown = if text.len() <= 40 { text } else { "another type".to_owned() };
        Err(format!("wrong_type: `{name}` is {shown}, expected {expected}"))
    }

    /// An identifier: a string or an integer; the empty symbol when absent.
    ///
    /// # Errors
    /// When it is something else, or longer than 256 bytes.
    pub fn symbol(&mut self, name: &str) -> Result<Sym, String> {
        match self.get(name) {
            None => Ok(Sym::EMPTY),
            Some(Json::String(text)) if (1..=ID_BYTES).contains(&text.len()) => Ok((self.intern)(text)),
            Some(Json::Number(n)) if n.is_i64() || n.is_u64() => Ok((self.intern)(&n.to_string())),
            Some(other) => Self::wrong(name, other, "an identifier of 1 to 256 bytes"),
        }
    }

    /// A list of identifiers; empty when absent.
    ///
    /// # Errors
    /// When it is something else.
    pub fn symbols(&mut self, name: &str) -> Result<Vec<Sym>, String> {
        let Some(list) = self.get(name) else { return Ok(Vec::new()) };
        let texts = list.as_array().map(|list| list.iter().map(Json::as_str).collect::<Option<Vec<_>>>());
        match texts.flatten() {
            Some(texts) => Ok(texts.into_iter().map(|text| (self.intern)(text)).collect()),
            None => Self::wrong(name, list, "a list of strings"),
        }
    }

    /// A string.
    ///
    /// # Errors
    /// When it is something else.
    pub fn text(&self, name: &str) -> Result<Option<Arc<str>>, String> {
        match self.get(name) {
            None => Ok(None),
            Some(Json::String(text)) => Ok(Some(text.as_str().into())),
            Some(other) => Self::wrong(name, other, "a string"),
        }
    }

    /// A boolean; `default` when absent.
    ///
    /// # Errors
    /// When it is something else.
    pub fn flag(&self, name: &str, default: bool) -> Result<bool, String> {
        match self.get(name) {
            None => Ok(default),
            Some(Json::Bool(flag)) => Ok(*flag),
            Some(other) => Self::wrong(name, other, "true or false"),
        }
    }

    /// A number from `least` to `greatest`.
    ///
    /// # Errors
    /// When it is something else.
    pub fn number(&self, name: &str, least: f64, greatest: f64) -> Result<Option<f64>, String> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.as_f64() {
            None => Self::wrong(name, value, "a number"),
            Some(n) if !(least..=greatest).contains(&n) => {
                Err(format!("out_of_range: `{name}` is {n}, expected {least} to {greatest}"))
            }
            Some(n) => Ok(Some(n)),
        }
    }

    /// One of the words given, as its place among them.
    ///
    /// # Errors
    /// When it is something else.
    pub fn word(&self, name: &str, words: &[&str]) -> Result<Option<usize>, String> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.as_str().and_then(|text| words.iter().position(|word| *word == text)) {
            Some(place) => Ok(Some(place)),
            None => Self::wrong(name, value, &format!("one of {}", words.join(", "))),
        }
    }

    /// The `geometry`, if there is one.
    ///
    /// # Errors
    /// When it is no GeoJSON.
    pub fn geometry(&self) -> Result<Option<Geometry>, String> {
        self.get("geometry").map(Geometry::read).transpose()
    }

    /// A list of positions; empty when absent.
    ///
    /// # Errors
    /// When it is something else.
    pub fn positions(&self, name: &str) -> Result<Vec<LonLat>, String> {
        let Some(list) = self.get(name) else { return Ok(Vec::new()) };
        let read = |list: &Vec<Json>| list.iter().map(LonLat::read).collect::<Option<Vec<_>>>();
        match list.as_array().and_then(read) {
            Some(positions) => Ok(positions),
            None => Self::wrong(name, list, "[[lon, lat], …]"),
        }
    }

    /// The objects of a list, each read by `read`; empty when absent.
    ///
    /// # Errors
    /// When it is no list of objects, and those of `read`.
    pub fn objects<T>(
        &mut self,
        name: &str,
        mut read: impl FnMut(&mut Reader<'_>) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        let Some(list) = self.get(name) else { return Ok(Vec::new()) };
        let Some(items) = list.as_array() else { return Self::wrong(name, list, "a list of objects") };
        let mut found = Vec::new();
        for item in items {
            let Some(object) = item.as_object() else { return Self::wrong(name, item, "an object") };
            found.push(read(&mut Reader { object, intern: &mut *self.intern })?);
        }
        Ok(found)
    }
}
