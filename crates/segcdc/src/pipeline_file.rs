//! `pipeline.yaml`: one file that says what the flags say, so that a pipeline can be reviewed and kept in a repository.
//!
//! ```text
//! text --document--> nodes with places --read--> assignments to arguments --matches--> Arguments
//!                                        ^  ${NAME} by references
//!                          settings: the one table of keys, which schema and reference page come from too
//! ```
//!
//! A setting of the file becomes the default of the argument that it is the key of. So a flag wins over a variable, a variable
//! over the file, the file over what is built in; what wins over the file is said. Everything else, the checks of values among
//! it, is what it is without a file. See docs/decisions/0062.

mod document;
mod error;
mod load;
mod matches;
#[cfg(test)]
mod page;
mod place;
mod quote;
mod read;
mod references;
mod rule_form;
#[cfg(test)]
mod schema;
mod secrets;
mod settings;
mod write;

pub(crate) use matches::{Understood, Unread, understand};
pub(crate) use write::{Written, write};
