//! Identifiers: UUIDs of version 7, so that they sort by the time at which they were made. One type a kind of thing, so
//! that a connection's can never be taken for a pipeline's.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A text that is not an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an identifier: a UUID is expected")]
pub struct NotAnId;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new one, later than every one made before by this process.
            pub fn generate() -> Self {
                $name(Uuid::now_v7())
            }

            /// As it is stored and shown: lower case, with hyphens.
            pub fn text(self) -> String {
                self.0.hyphenated().to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0.hyphenated(), f)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                // The other spellings that the library reads (braces, urn:, no hyphens) would be second names of one thing.
                let id = Uuid::try_parse(text).map_err(|_other| NotAnId)?;
                if id.hyphenated().to_string() == text { Ok($name(id)) } else { Err(NotAnId) }
            }
        }
    )+};
}

ids! {
    /// A tenant: the owner of connections and pipelines.
    TenantId,
    /// A person.
    UserId,
    /// Credentials to one database.
    ConnectionId,
    /// A pipeline.
    PipelineId,
    /// An API token; not the token itself.
    TokenId,
    /// Something that takes a while and was asked for.
    OperationId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_back_as_the_same_id() {
        let id = PipelineId::generate();
        assert_eq!(id.to_string().parse::<PipelineId>(), Ok(id));
    }

    #[test]
    fn one_thing_has_one_spelling() {
        let id = PipelineId::generate().to_string();
        for other in [
            id.to_uppercase(),
            id.replace('-', ""),
            format!("{{{id}}}"),
            format!("urn:uuid:{id}"),
            String::new(),
        ] {
            assert_eq!(other.parse::<PipelineId>(), Err(NotAnId), "{other}");
        }
    }

    #[test]
    fn later_ones_sort_behind() {
        let ids: Vec<_> = (0..1000).map(|_| OperationId::generate()).collect();
        assert!(ids.is_sorted());
    }
}
