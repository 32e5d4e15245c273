//! Tests of the target. Those that need a server run on the sandbox, or on what SEGCDC_TEST_SQLSERVER_URL names.

#[cfg(test)]
mod alter;
#[cfg(test)]
mod apply;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod faults;
#[cfg(test)]
#[path = "../../src/fixture.rs"]
mod fixture;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod histories;
#[cfg(test)]
mod letters;
#[cfg(test)]
mod loader;
#[cfg(test)]
mod parts;
#[cfg(test)]
mod preflight;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod rows;
#[cfg(test)]
mod shadow;
#[cfg(test)]
mod skips;
#[cfg(test)]
mod state;
#[cfg(test)]
mod tables;
#[cfg(test)]
mod values;
