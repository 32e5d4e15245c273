//! Translation of the statements of a batch, before it runs and again when a catalog has changed.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use segcdc_tds::{ColumnType, Datum};

use super::Session;
use super::flow::Frame;
use super::lookup::Sight;
use super::session::Translated;
use crate::answer::SqlError;
use crate::sql::ast::{Expr, Statement, StatementKind};
use crate::sql::translate::{self, Plan};

// === impl Session ===

impl Session {
    /// Translates all statements whose tables exist. Errors of names and types come before anything runs.
    pub(super) fn compile<'a>(
        &'a mut self,
        statements: &'a [Statement],
        plans: &'a mut [Option<Translated>],
        frame: &'a mut Frame,
    ) -> BoxFuture<'a, Result<(), SqlError>> {
        async move {
            for statement in statements {
                if let StatementKind::Declare(declarations) = &statement.kind {
                    for declaration in declarations {
                        if !frame.variables.contains_key(&declaration.name.to_lowercase()) {
                            frame.declare(&declaration.name, declaration.column_type, Datum::Null);
                        }
                    }
                }
                if let StatementKind::DeclareTable(create) = &statement.kind {
                    self.declare_table(create, frame).await.map_err(|error| error.at_line(statement.line))?;
                }
                match self.plan(statement, plans, frame).await {
                    Ok(_) => {}
                    // Deferred name resolution; IDENTITY_INSERT is looked at when the statement runs.
                    Err(error) if matches!(error.number, 208 | 544 | 545) => {}
                    Err(error) => return Err(error),
                }
                match &statement.kind {
                    StatementKind::If { then, otherwise, .. } => {
                        self.compile(std::slice::from_ref(then), plans, frame).await?;
                        if let Some(otherwise) = otherwise {
                            self.compile(std::slice::from_ref(otherwise), plans, frame).await?;
                        }
                    }
                    StatementKind::While { body, .. } => {
                        self.compile(std::slice::from_ref(body), plans, frame).await?;
                    }
                    StatementKind::Block(body) => self.compile(body, plans, frame).await?,
                    StatementKind::TryCatch { body, handler } => {
                        self.compile(body, plans, frame).await?;
                        self.compile(handler, plans, frame).await?;
                    }
                    _ => {}
                }
            }
            Ok(())
        }
        .boxed()
    }

    /// The plan of a statement, translated again when a catalog has changed; `None` for statements without one.
    pub(super) async fn plan(
        &mut self,
        statement: &Statement,
        plans: &mut [Option<Translated>],
        frame: &Frame,
    ) -> Result<Option<Arc<Plan>>, SqlError> {
        let versions = self.versions();
        if let Some(Some(known)) = plans.get(statement.id)
            && known.versions == versions
        {
            return Ok(Some(Arc::clone(&known.plan)));
        }
        if !has_plan(&statement.kind) {
            return Ok(None);
        }
        self.look_up(&statement.tables).await?;
        let plan = translate_statement(&Sight { session: self, frame }, statement)?;
        let Some(plan) = plan else { return Ok(None) };
        let plan = Arc::new(plan);
        if let Some(place) = plans.get_mut(statement.id) {
            *place = Some(Translated { plan: Arc::clone(&plan), versions });
        }
        Ok(Some(plan))
    }
}

/// Whether a statement is translated into PostgreSQL's SQL.
fn has_plan(kind: &StatementKind) -> bool {
    match kind {
        StatementKind::Select(_)
        | StatementKind::Insert(_)
        | StatementKind::Update(_)
        | StatementKind::Delete(_)
        | StatementKind::Merge(_)
        | StatementKind::If { .. }
        | StatementKind::While { .. }
        | StatementKind::Assign { .. }
        | StatementKind::ExecuteText(_)
        | StatementKind::Print(_)
        | StatementKind::Throw(Some(_))
        | StatementKind::Raiserror { .. }
        | StatementKind::Execute { .. }
        | StatementKind::InsertExecute(_) => true,
        StatementKind::Declare(declarations) => {
            declarations.iter().any(|declaration| declaration.value.is_some())
        }
        _ => false,
    }
}

fn translate_statement(sight: &Sight<'_>, statement: &Statement) -> Result<Option<Plan>, SqlError> {
    use translate::{translate_condition, translate_values};
    let at = |error: SqlError| if error.line <= 1 { error.at_line(statement.line) } else { error };
    let text = ColumnType::NVarChar(segcdc_tds::Len::Max);
    let plan = match &statement.kind {
        StatementKind::If { condition, .. } | StatementKind::While { condition, .. } => {
            translate_condition(sight, condition)
        }
        StatementKind::Assign { variable, value } => {
            let wanted = sight.frame.variable_type(&variable.to_lowercase()).ok_or_else(|| {
                at(SqlError::new(137, 15, format!("Must declare the scalar variable \"{variable}\".")))
            })?;
            translate_values(sight, &[(value, Some(wanted))])
        }
        StatementKind::Declare(declarations) => {
            let values: Vec<(&Expr, Option<ColumnType>)> = declarations
                .iter()
                .filter_map(|declaration| Some((declaration.value.as_ref()?, Some(declaration.column_type))))
                .collect();
            translate_values(sight, &values)
        }
        StatementKind::ExecuteText(value) | StatementKind::Print(value) => {
            translate_values(sight, &[(value, Some(text))])
        }
        StatementKind::Throw(Some([number, message, state])) => translate_values(
            sight,
            &[(number, Some(ColumnType::Int)), (message, Some(text)), (state, Some(ColumnType::Int))],
        ),
        StatementKind::Raiserror { arguments } => {
            let values: Vec<(&Expr, Option<ColumnType>)> =
                arguments.iter().map(|value| (value, None)).collect();
            translate_values(sight, &values)
        }
        StatementKind::Execute { .. } | StatementKind::InsertExecute(_) => {
            let arguments = match &statement.kind {
                StatementKind::Execute { arguments, .. } => arguments,
                StatementKind::InsertExecute(insert) => &insert.arguments,
                _ => return Ok(None),
            };
            if arguments.is_empty() {
                return Ok(None);
            }
            let values: Vec<(&Expr, Option<ColumnType>)> =
                arguments.iter().map(|argument| (&argument.value, None)).collect();
            translate_values(sight, &values)
        }
        _ => return translate::translate(sight, statement).map(Some),
    };
    plan.map(Some).map_err(at)
}
