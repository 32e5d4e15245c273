//! Tokens of an answer ([MS-TDS] 2.2.7), appended to a byte vector.
//!
//! - [`value`]: values of rows and output parameters
//! - [`token`]: everything else

pub mod token;
pub mod value;

#[cfg(test)]
mod tests;
