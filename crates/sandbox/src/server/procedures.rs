//! Procedure calls: `sp_executesql` and prepared statements are the server's own; all others go to the engine.

use std::collections::HashMap;

use anyhow::Result;
use segcdc_tds::types::procedure_id;
use segcdc_tds::{ColumnType, Datum};
use tokio::sync::mpsc;

use crate::answer::{OutColumn, Reply, SqlError};
use crate::decode::declaration::{self, Declaration};
use crate::decode::rpc::{self, Call, Procedure, RpcParameter};
use crate::decode::value::Invalid;
use crate::engine::Param;
use crate::server::answer_writer::Request;
use crate::server::connection::{Connection, Driven, Work, drive};

/// Most parameters of a call.
const MAX_PARAMETERS: usize = 2_100;

/// Replies between engine and writer.
const REPLIES: usize = 8;

/// Numbers and names of the procedures that are the server's own or are refused by name.
const NAMES: [(u16, &str); 15] = [
    (procedure_id::CURSOR, "sp_cursor"),
    (procedure_id::CURSOR_OPEN, "sp_cursoropen"),
    (procedure_id::CURSOR_PREPARE, "sp_cursorprepare"),
    (procedure_id::CURSOR_EXECUTE, "sp_cursorexecute"),
    (procedure_id::CURSOR_PREP_EXEC, "sp_cursorprepexec"),
    (procedure_id::CURSOR_UNPREPARE, "sp_cursorunprepare"),
    (procedure_id::CURSOR_FETCH, "sp_cursorfetch"),
    (procedure_id::CURSOR_OPTION, "sp_cursoroption"),
    (procedure_id::CURSOR_CLOSE, "sp_cursorclose"),
    (procedure_id::EXECUTE_SQL, "sp_executesql"),
    (procedure_id::PREPARE, "sp_prepare"),
    (procedure_id::EXECUTE, "sp_execute"),
    (procedure_id::PREP_EXEC, "sp_prepexec"),
    (procedure_id::PREP_EXEC_RPC, "sp_prepexecrpc"),
    (procedure_id::UNPREPARE, "sp_unprepare"),
];

/// A prepared statement.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Prepared {
    sql: String,
    declarations: Vec<Declaration>,
}

/// The prepared statements of a connection.
#[derive(Debug, Default)]
pub(super) struct Handles {
    last: i32,
    statements: HashMap<i32, Prepared>,
}

/// What a call comes to.
#[derive(Debug, PartialEq)]
enum Action {
    /// Run SQL.
    Run {
        /// The text.
        sql: String,
        /// Its parameters.
        params: Vec<Param>,
        /// The handle to return, and the name of the parameter for it.
        handle: Option<(String, i32)>,
    },
    /// Only return a handle.
    Return {
        /// Name of the parameter.
        name: String,
        /// The handle.
        handle: i32,
    },
    /// Call a procedure of the engine.
    Procedure {
        /// Its name.
        name: String,
        /// Its parameters.
        params: Vec<Param>,
    },
    /// Nothing is left to do.
    Nothing,
}

// === impl Connection ===

impl Connection {
    /// All calls of a message, one after the other.
    pub(super) async fn calls(&mut self, payload: &[u8]) -> Result<()> {
        let calls = rpc::decode(payload)?;
        let count = calls.len();
        for (index, call) in calls.into_iter().enumerate() {
            let parameters = call.parameters.iter().map(|parameter| parameter.name.clone()).collect();
            self.writer.begin(Request::Call { parameters, more: index + 1 < count });
            let driven = self.call(call).await;
            let attention = driven.as_ref().is_ok_and(|driven| driven.attention);
            self.finish(driven).await?;
            if attention {
                return Ok(()); // the calls behind it are cancelled, too
            }
        }
        Ok(())
    }

    /// One call.
    async fn call(&mut self, call: Call) -> Result<Driven<()>> {
        let idle = Driven { result: Some(()), attention: false };
        match plan(call, &mut self.handles) {
            Ok(Action::Run { sql, params, handle }) => {
                let session = &mut self.session;
                let (sender, replies) = mpsc::channel(REPLIES);
                let work: Work<'_, ()> = Box::pin(async move {
                    session.batch(&sql, &params, &sender).await;
                    drop(sender);
                });
                let driven = drive(work, replies, &mut self.packets, &mut self.writer).await;
                if let Some((name, handle)) = handle {
                    self.return_handle(&name, handle);
                }
                driven
            }
            Ok(Action::Procedure { name, params }) => {
                let session = &mut self.session;
                let (sender, replies) = mpsc::channel(REPLIES);
                let work: Work<'_, ()> = Box::pin(async move {
                    session.procedure(&name, &params, &sender).await;
                    drop(sender);
                });
                drive(work, replies, &mut self.packets, &mut self.writer).await
            }
            Ok(Action::Return { name, handle }) => {
                self.return_handle(&name, handle);
                Ok(idle)
            }
            Ok(Action::Nothing) => Ok(idle),
            Err(error) => {
                self.writer.reply(Reply::Error(error)).await?;
                Ok(idle)
            }
        }
    }

    /// Returns a prepared statement's handle.
    fn return_handle(&mut self, name: &str, handle: i32) {
        let column = OutColumn::new(name, ColumnType::Int);
        self.writer.return_value(name, column, &Datum::Int(i64::from(handle)));
    }
}

/// What a call comes to. Changes the handles only.
fn plan(call: Call, handles: &mut Handles) -> Result<Action, SqlError> {
    if call.parameters.len() > MAX_PARAMETERS {
        let text = "The incoming request has too many parameters. The server supports a maximum of 2100 parameters. \
                    Reduce the number of parameters and resend the request.";
        return Err(SqlError::new(8003, 16, text));
    }
    check_values(&call.parameters)?;
    let (number, name) = identify(&call.procedure)?;
    let mut rest = call.parameters.into_iter();
    match number {
        Some(procedure_id::EXECUTE_SQL) => {
            let sql = text(rest.next(), "sp_executesql")?;
            let declarations =
                rest.next().map_or(Ok(String::new()), |one| text(Some(one), "sp_executesql"))?;
            let params = bind(&declaration::parse(&declarations), rest.collect(), &sql)?;
            Ok(Action::Run { sql, params, handle: None })
        }
        Some(id @ (procedure_id::PREPARE | procedure_id::PREP_EXEC)) => {
            let handle_name = rest.next().ok_or_else(|| missing(name))?.name;
            let declarations = declaration::parse(&text(rest.next(), name)?);
            let sql = text(rest.next(), name)?;
            let prepared = Prepared { sql: sql.clone(), declarations };
            if id == procedure_id::PREPARE {
                return Ok(Action::Return { name: handle_name, handle: handles.keep(prepared) });
            }
            let params = bind(&prepared.declarations, rest.collect(), &sql)?;
            let handle = handles.keep(prepared);
            Ok(Action::Run { sql, params, handle: Some((handle_name, handle)) })
        }
        Some(procedure_id::EXECUTE) => {
            let prepared = handles.find(rest.next())?;
            let params = bind(&prepared.declarations, rest.collect(), &prepared.sql)?;
            Ok(Action::Run { sql: prepared.sql.clone(), params, handle: None })
        }
        Some(procedure_id::UNPREPARE) => {
            let handle = rest.next();
            handles.find(handle.clone())?;
            handles.forget(handle.as_ref());
            Ok(Action::Nothing)
        }
        Some(_) => {
            let error = SqlError::new(
                2812,
                16,
                format!("Could not find stored procedure '{name}'. The sandbox has no server-side cursors."),
            );
            Err(error.with_state(62))
        }
        None => Ok(Action::Procedure { name: name.to_owned(), params: rest.map(as_given).collect() }),
    }
}

/// The number of a procedure that is known here, and its name.
fn identify(procedure: &Procedure) -> Result<(Option<u16>, &str), SqlError> {
    match procedure {
        Procedure::Number(number) => match NAMES.iter().find(|(known, _)| known == number) {
            Some((_, name)) => Ok((Some(*number), name)),
            None => Err(SqlError::new(2812, 16, format!("Could not find stored procedure '{number}'."))),
        },
        Procedure::Name(name) => {
            let bare = name.rsplit('.').next().unwrap_or(name).trim_matches(['[', ']']);
            let known = NAMES.iter().find(|(_, known)| known.eq_ignore_ascii_case(bare));
            Ok((known.map(|(number, _)| *number), name))
        }
    }
}

/// 8023 for the first value that is none of its type.
fn check_values(parameters: &[RpcParameter]) -> Result<(), SqlError> {
    let bad = parameters.iter().enumerate().find(|(_, parameter)| parameter.value.is_err());
    let Some((index, parameter)) = bad else { return Ok(()) };
    let reason = match parameter.value {
        Err(Invalid::Length) => "has an invalid data length or metadata length",
        _ => "is not a valid instance of its data type",
    };
    let name = &parameter.name;
    let data_type = parameter.declared.column_type;
    Err(SqlError::new(
        8023,
        16,
        format!(
            "The incoming tabular data stream (TDS) remote procedure call (RPC) protocol stream is incorrect. \
             Parameter {} (\"{name}\"): The supplied value of data type {data_type} {reason}.",
            index + 1
        ),
    ))
}

/// A text that a procedure needs.
fn text(parameter: Option<RpcParameter>, procedure: &str) -> Result<String, SqlError> {
    match parameter.map(|parameter| parameter.value) {
        Some(Ok(Datum::Text(text))) => Ok(text),
        Some(Ok(Datum::Null)) => Ok(String::new()),
        Some(_) => {
            let text = format!(
                "Procedure expects parameter '@statement' of type 'ntext/nchar/nvarchar' ({procedure})."
            );
            Err(SqlError::new(214, 16, text))
        }
        None => Err(missing(procedure)),
    }
}

/// A parameter that is not there.
fn missing(procedure: &str) -> SqlError {
    let text = format!("Procedure or function '{procedure}' expects a parameter which was not supplied.");
    SqlError::new(201, 16, text)
}

/// Gives the declared parameters their values, by name or else by place.
fn bind(
    declarations: &[Declaration],
    parameters: Vec<RpcParameter>,
    sql: &str,
) -> Result<Vec<Param>, SqlError> {
    if parameters.len() > declarations.len() {
        let text = "Procedure or function has too many arguments specified.";
        return Err(SqlError::new(8144, 16, text));
    }
    let mut given: Vec<Option<RpcParameter>> = parameters.into_iter().map(Some).collect();
    let mut params = Vec::with_capacity(declarations.len());
    for (index, declared) in declarations.iter().enumerate() {
        let in_place = given.get(index).and_then(Option::as_ref);
        let fits = |one: &RpcParameter| one.name.is_empty() || one.name.eq_ignore_ascii_case(&declared.name);
        let at = if in_place.is_some_and(fits) {
            Some(index)
        } else {
            given
                .iter()
                .position(|one| one.as_ref().is_some_and(|one| one.name.eq_ignore_ascii_case(&declared.name)))
        };
        let taken = at.and_then(|at| given.get_mut(at)).and_then(Option::take);
        let Some(parameter) = taken else {
            return Err(SqlError::new(
                8178,
                16,
                format!(
                    "The parameterized query '{sql}' expects the parameter '{}', which was not supplied.",
                    declared.name
                ),
            ));
        };
        let wants_back = parameter.output && declared.output;
        let mut param = as_given(parameter);
        param.name.clone_from(&declared.name);
        param.column_type = declared.column_type.unwrap_or(param.column_type);
        param.output = wants_back;
        params.push(param);
    }
    Ok(params)
}

/// A parameter with the type that it came with.
fn as_given(parameter: RpcParameter) -> Param {
    Param {
        name: parameter.name,
        column_type: parameter.declared.column_type,
        collation: parameter.declared.collation,
        value: parameter.value.unwrap_or(Datum::Null),
        output: parameter.output,
    }
}

// === impl Handles ===

impl Handles {
    /// Keeps a statement.
    fn keep(&mut self, prepared: Prepared) -> i32 {
        self.last += 1;
        self.statements.insert(self.last, prepared);
        self.last
    }

    /// The statement of a handle.
    fn find(&self, parameter: Option<RpcParameter>) -> Result<&Prepared, SqlError> {
        let handle = handle_of(parameter.as_ref());
        self.statements.get(&handle).ok_or_else(|| {
            SqlError::new(8179, 16, format!("Could not find prepared statement with handle {handle}."))
        })
    }

    /// Forgets a statement.
    fn forget(&mut self, parameter: Option<&RpcParameter>) {
        self.statements.remove(&handle_of(parameter));
    }
}

/// A handle; 0, which is none, when it is something else.
fn handle_of(parameter: Option<&RpcParameter>) -> i32 {
    match parameter.map(|parameter| &parameter.value) {
        Some(Ok(Datum::Int(handle))) => i32::try_from(*handle).unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
