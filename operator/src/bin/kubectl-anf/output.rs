//! Answers for programs: `-o json` and `-o yaml`.

use serde::Serialize;

use crate::args::OutputFormat;
use crate::error::CliError;

/// The text of an answer in the format asked for.
pub(crate) fn render<T: Serialize>(format: OutputFormat, answer: &T) -> Result<String, CliError> {
    let text = match format {
        OutputFormat::Json => serde_json::to_string_pretty(answer).map_err(|e| e.to_string()),
        OutputFormat::Yaml => serde_yaml::to_string(answer).map_err(|e| e.to_string()),
    };
    text.map(|text| text.trim_end().to_owned()).map_err(CliError::Output)
}

/// Objects as kubectl prints several: a List.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct List<'a, T> {
    api_version: &'static str,
    kind: &'static str,
    items: &'a [T],
}

impl<'a, T> List<'a, T> {
    pub(crate) fn of(items: &'a [T]) -> Self {
        Self { api_version: "v1", kind: "List", items }
    }
}
