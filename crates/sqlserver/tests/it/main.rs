//! Tests of the target. Those that need a server run on the sandbox, or on what SEGCDC_TEST_SQLSERVER_URL names.

#[path = "../../src/fixture.rs"]
mod fixture;
mod golden;
