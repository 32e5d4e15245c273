//! What calls come to.

use segcdc_tds::types::procedure_id;
use segcdc_tds::{Collation, Len};

use super::*;
use crate::decode::type_info::{Declared, Framing};

fn parameter(name: &str, column_type: ColumnType, value: Datum) -> RpcParameter {
    let declared = Declared { column_type, collation: Collation::default(), framing: Framing::Length2 };
    RpcParameter { name: name.to_owned(), output: false, declared, value: Ok(value) }
}

fn text(text: &str) -> RpcParameter {
    parameter("", ColumnType::NVarChar(Len::Limited(4000)), Datum::Text(text.to_owned()))
}

fn int(name: &str, value: i64) -> RpcParameter {
    parameter(name, ColumnType::Int, Datum::Int(value))
}

fn call(number: u16, parameters: Vec<RpcParameter>) -> Call {
    Call { procedure: Procedure::Number(number), parameters }
}

/// SQL and parameters of an action.
fn run(action: Result<Action, SqlError>) -> (String, Vec<(String, ColumnType, Datum)>, Option<i32>) {
    match action.unwrap() {
        Action::Run { sql, params, handle } => {
            let params = params.into_iter().map(|param| (param.name, param.column_type, param.value));
            (sql, params.collect(), handle.map(|(_, handle)| handle))
        }
        other => panic!("not run: {other:?}"),
    }
}

/// The number of an error.
fn refused(action: Result<Action, SqlError>) -> i32 {
    action.unwrap_err().number
}

#[test]
fn execute_sql_binds_by_name_and_by_place() {
    let mut handles = Handles::default();
    let expected = [
        ("@a".to_owned(), ColumnType::BigInt, Datum::Int(1)),
        ("@b".to_owned(), ColumnType::Int, Datum::Int(2)),
    ];
    for arguments in [[int("", 1), int("", 2)], [int("@B", 2), int("@a", 1)]] {
        let mut parameters = vec![text("SELECT @a, @b"), text("@a bigint, @b int")];
        parameters.extend(arguments);
        let (sql, params, handle) = run(plan(call(procedure_id::EXECUTE_SQL, parameters), &mut handles));
        assert_eq!((sql.as_str(), handle), ("SELECT @a, @b", None));
        assert_eq!(params, expected);
    }
}

#[test]
fn execute_sql_is_known_by_its_names() {
    for name in ["sp_executesql", "SP_ExecuteSQL", "sys.sp_executesql", "[sys].[sp_executesql]"] {
        let call = Call { procedure: Procedure::Name(name.to_owned()), parameters: vec![text("SELECT 1")] };
        assert_eq!(run(plan(call, &mut Handles::default())).0, "SELECT 1", "{name}");
    }
}

#[test]
fn prepared_statement_lives_until_it_is_unprepared() {
    let mut handles = Handles::default();
    let prepexec = vec![int("@handle", 0), text("@x int"), text("SELECT @x"), int("", 5)];
    let (sql, params, handle) = run(plan(call(procedure_id::PREP_EXEC, prepexec), &mut handles));
    assert_eq!((sql.as_str(), params.len(), handle), ("SELECT @x", 1, Some(1)));
    let execute = || call(procedure_id::EXECUTE, vec![int("", 1), int("", 6)]);
    let (sql, params, handle) = run(plan(execute(), &mut handles));
    assert_eq!((sql.as_str(), handle), ("SELECT @x", None));
    assert_eq!(params, [("@x".to_owned(), ColumnType::Int, Datum::Int(6))]);
    let unprepare = call(procedure_id::UNPREPARE, vec![int("", 1)]);
    assert_eq!(plan(unprepare, &mut handles), Ok(Action::Nothing));
    assert_eq!(refused(plan(execute(), &mut handles)), 8179);
}

#[test]
fn calls_that_cannot_be_run_are_refused_with_their_numbers() {
    let mut handles = Handles::default();
    let mut check = |call, expected| assert_eq!(refused(plan(call, &mut handles)), expected);
    check(call(procedure_id::CURSOR_OPEN, Vec::new()), 2812);
    check(call(99, Vec::new()), 2812);
    check(call(procedure_id::EXECUTE_SQL, Vec::new()), 201);
    check(call(procedure_id::EXECUTE_SQL, vec![int("", 1)]), 214);
    check(call(procedure_id::EXECUTE_SQL, vec![text("SELECT @a"), text("@a int")]), 8178);
    check(call(procedure_id::EXECUTE_SQL, vec![text("SELECT 1"), text(""), int("", 1)]), 8144);
    check(call(procedure_id::EXECUTE_SQL, vec![int("", 1); 2101]), 8003);
    let mut bad = parameter("@f", ColumnType::Float, Datum::Null);
    bad.value = Err(Invalid::Value);
    check(call(procedure_id::EXECUTE_SQL, vec![text("SELECT @f"), text("@f float"), bad]), 8023);
}

#[test]
fn other_procedures_go_to_the_engine() {
    let procedure = Procedure::Name("sp_tablecollations_100".to_owned());
    let action = plan(Call { procedure, parameters: vec![text("dbo.t")] }, &mut Handles::default());
    assert!(
        matches!(action, Ok(Action::Procedure { name, params }) if name == "sp_tablecollations_100" && params.len() == 1)
    );
}
