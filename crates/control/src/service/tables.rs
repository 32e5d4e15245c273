//! What is inside a pipeline: its tables, the rows that are set aside, and the rows that differ.

use segcdc_model::name_pattern::NamePattern;
use serde_json::{Map, Value};

use super::{Actor, Control, Page, PageOf};
use crate::access::Right;
use crate::engine::DeadLetterQuery;
use crate::error::ControlError;
use crate::id::{OperationId, PipelineId};
use crate::store::{Operation, OperationKind, StoreError};

/// What a letter holds of its row.
const PERSONAL: &str = "personal_data";

/// Which tables are wanted.
#[derive(Debug, Clone, Default)]
pub struct TablesWanted {
    /// Part of the name, whatever its case.
    pub search: String,
    /// In this phase only.
    pub phase: Option<String>,
}

// === impl Control ===

impl Control {
    /// The tables of a pipeline, asked of both servers now, in the order of their names.
    ///
    /// # Errors
    /// `NOT_FOUND`, and what keeps the servers from being asked.
    pub async fn pipeline_tables(
        &self,
        actor: &Actor,
        id: PipelineId,
        wanted: &TablesWanted,
        page: PageOf<'_>,
    ) -> Result<Page<Value>, ControlError> {
        let (after, search) = (page.after.unwrap_or_default(), wanted.search.to_lowercase());
        let mut tables = self.all_tables(actor, id).await?;
        tables.retain(|table| {
            let name = name_of(table);
            name > after
                && name.to_lowercase().contains(&search)
                && wanted
                    .phase
                    .as_ref()
                    .is_none_or(|phase| table.get("phase").is_some_and(|is| is == phase.as_str()))
        });
        Ok(Page::of(tables, page, |table| name_of(table).to_owned()))
    }

    /// One table of a pipeline, by the name that the list gives it.
    ///
    /// # Errors
    /// `NOT_FOUND`, and what keeps the servers from being asked.
    pub async fn pipeline_table(
        &self,
        actor: &Actor,
        id: PipelineId,
        name: &str,
    ) -> Result<Value, ControlError> {
        let tables = self.all_tables(actor, id).await?;
        Ok(tables.into_iter().find(|table| name_of(table) == name).ok_or(StoreError::NotFound)?)
    }

    async fn all_tables(&self, actor: &Actor, id: PipelineId) -> Result<Vec<Value>, ControlError> {
        let status = self.pipeline_status(actor, id).await?;
        let tables = status.get("tables").and_then(Value::as_array).cloned().unwrap_or_default();
        let mut named: Vec<Value> = tables.into_iter().map(named).collect();
        named.sort_by(|one, other| name_of(one).cmp(name_of(other)));
        Ok(named)
    }

    /// The rows of a pipeline that are set aside, by number. What is in them is for those who may see rows.
    ///
    /// # Errors
    /// `NOT_FOUND`, and what keeps the target from being asked.
    pub async fn dead_letters(
        &self,
        actor: &Actor,
        id: PipelineId,
        query: &DeadLetterQuery,
    ) -> Result<Value, ControlError> {
        actor.may(Right::View)?;
        let job = self.job_of(actor, id).await?;
        let _place = self.probe_place()?;
        let mut list = self.engines.dead_letters(&job, query).await?;
        for letter in list.get_mut("letters").and_then(Value::as_array_mut).into_iter().flatten() {
            hide_rows(actor, letter);
        }
        Ok(list)
    }

    /// One row that is set aside. What is in it is for those who may see rows.
    ///
    /// # Errors
    /// `NOT_FOUND`, `DEAD_LETTER_NOT_FOUND`, and what keeps the target from being asked.
    pub async fn dead_letter(
        &self,
        actor: &Actor,
        id: PipelineId,
        number: i64,
    ) -> Result<Value, ControlError> {
        actor.may(Right::View)?;
        let job = self.job_of(actor, id).await?;
        let _place = self.probe_place()?;
        let mut letter = self.engines.dead_letter(&job, number).await?;
        hide_rows(actor, &mut letter);
        Ok(letter)
    }

    /// The comparisons of a pipeline, newest first.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn verifications(
        &self,
        actor: &Actor,
        id: PipelineId,
        page: PageOf<'_>,
    ) -> Result<Page<Operation>, ControlError> {
        actor.may(Right::View)?;
        self.of(actor).pipeline(id).await?;
        self.operations_of(actor, Some(id), Some(OperationKind::Verify), page).await
    }

    /// The rows that a comparison lists as different, each with its table.
    ///
    /// # Errors
    /// `FORBIDDEN`, and `NOT_FOUND` also for an operation that is no comparison of this pipeline.
    pub async fn mismatches(
        &self,
        actor: &Actor,
        id: PipelineId,
        verification: OperationId,
        page: PageOf<'_>,
    ) -> Result<Page<Value>, ControlError> {
        actor.may(Right::ViewRows)?;
        let found = self.of(actor).operation(verification).await?;
        if found.pipeline != Some(id) || found.kind != OperationKind::Verify {
            return Err(StoreError::NotFound.into());
        }
        let result: Value =
            found.result.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let begin = page.after.and_then(|after| after.parse::<usize>().ok()).map_or(0, |last| last + 1);
        let rows = differences(&result).enumerate().skip(begin).take(usize::from(page.limit) + 1);
        let part = Page::of(rows.collect(), page, |(number, _row): &(usize, Value)| number.to_string());
        Ok(Page { items: part.items.into_iter().map(|(_number, row)| row).collect(), next: part.next })
    }
}

/// All differences of a comparison's result, each with its table.
fn differences(result: &Value) -> impl Iterator<Item = Value> + '_ {
    let tables = result.get("tables").and_then(Value::as_array).into_iter().flatten();
    tables.flat_map(|table| {
        let rows = table.get("differences").and_then(Value::as_array).into_iter().flatten();
        rows.map(|row| {
            let mut fields = row.as_object().cloned().unwrap_or_default();
            fields.insert("table".to_owned(), table.get("source").cloned().unwrap_or_default());
            Value::Object(fields)
        })
    })
}

/// A table with the name by which it is asked for: it is a pattern that means this table only.
fn named(table: Value) -> Value {
    let part =
        |name: &str| table.pointer(&format!("/source/{name}")).and_then(Value::as_str).unwrap_or_default();
    let name = format!("{}.{}", NamePattern::exactly(part("schema")), NamePattern::exactly(part("name")));
    let mut fields = Map::from_iter([("name".to_owned(), name.into())]);
    fields.extend(table.as_object().cloned().unwrap_or_default());
    Value::Object(fields)
}

fn name_of(table: &Value) -> &str {
    table.get("name").and_then(Value::as_str).unwrap_or_default()
}

/// Takes what a letter holds of its row out of it, for who may not see rows.
fn hide_rows(actor: &Actor, letter: &mut Value) {
    if let (false, Some(fields)) = (actor.role.may(Right::ViewRows), letter.as_object_mut()) {
        fields.remove(PERSONAL);
    }
}
