//! The planner, seen from outside: rules one by one, and random histories against a naive model.

#[cfg(test)]
use segcdc_naive::{fixture, interpreter};

#[cfg(test)]
mod column_choice;
#[cfg(test)]
mod histories;
#[cfg(test)]
mod key_changes;
#[cfg(test)]
mod keyed_rules;
#[cfg(test)]
mod letters;
#[cfg(test)]
mod masks;
#[cfg(test)]
mod offered_rules;
#[cfg(test)]
mod refused;
#[cfg(test)]
mod schema_changes;
#[cfg(test)]
mod soft_delete;
#[cfg(test)]
mod table_rules;
#[cfg(test)]
mod type_page;
#[cfg(test)]
mod unkeyed_rules;
