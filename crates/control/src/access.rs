//! [`Role`] and [`Right`]: who may do what. One table, used by every use case.

use serde::{Deserialize, Serialize};

/// What somebody is in one tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees everything but secrets, row values and the audit log.
    Viewer,
    /// Sees what a viewer sees and the audit log. Changes nothing.
    Auditor,
    /// A viewer who starts, stops, pauses, resyncs and verifies.
    Operator,
    /// An operator who makes and changes connections and pipelines.
    Editor,
    /// An editor who manages the tenant's users and tokens and reads its audit log.
    Admin,
}

/// What a use case needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Right {
    /// Read connections (without secrets), pipelines, tables, operations.
    View,
    /// Read values of rows that were set aside.
    ViewRows,
    /// Start, stop, pause, resume, restart, resync, verify, test a connection.
    Operate,
    /// Make, change and delete connections and pipelines; set secrets.
    Edit,
    /// Manage the tenant's users and everybody's tokens.
    Administer,
    /// Read and export the audit log.
    Audit,
}

// === impl Role ===

impl Role {
    /// All of them, weakest first.
    pub const ALL: [Role; 5] = [Role::Viewer, Role::Auditor, Role::Operator, Role::Editor, Role::Admin];

    /// The word that is stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Auditor => "auditor",
            Role::Operator => "operator",
            Role::Editor => "editor",
            Role::Admin => "admin",
        }
    }

    /// The role of a stored word.
    pub fn from_word(word: &str) -> Option<Self> {
        Role::ALL.into_iter().find(|role| role.as_str() == word)
    }

    /// Whether it has a right.
    pub const fn may(self, right: Right) -> bool {
        match right {
            Right::View => true,
            Right::Audit => matches!(self, Role::Auditor | Role::Admin),
            Right::Operate | Right::ViewRows => matches!(self, Role::Operator | Role::Editor | Role::Admin),
            Right::Edit => matches!(self, Role::Editor | Role::Admin),
            Right::Administer => matches!(self, Role::Admin),
        }
    }

    /// The weaker of what a person is and what a token was made for: a token never does what its owner may not.
    #[must_use]
    pub fn at_most(self, other: Role) -> Option<Role> {
        let both = |right| self.may(right) && other.may(right);
        let covers = |role: Role| Right::ALL.into_iter().all(|right| !role.may(right) || both(right));
        Role::ALL.into_iter().rev().find(|&role| covers(role))
    }
}

// === impl Right ===

impl Right {
    /// All of them.
    pub const ALL: [Right; 6] =
        [Right::View, Right::ViewRows, Right::Operate, Right::Edit, Right::Administer, Right::Audit];

    /// The word that is shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Right::View => "view",
            Right::ViewRows => "view_rows",
            Right::Operate => "operate",
            Right::Edit => "edit",
            Right::Administer => "administer",
            Right::Audit => "audit",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_has_exactly_these_rights() {
        let rights = |role: Role| Right::ALL.into_iter().filter(|&right| role.may(right)).collect::<Vec<_>>();
        assert_eq!(rights(Role::Viewer), [Right::View]);
        assert_eq!(rights(Role::Auditor), [Right::View, Right::Audit]);
        assert_eq!(rights(Role::Operator), [Right::View, Right::ViewRows, Right::Operate]);
        assert_eq!(rights(Role::Editor), [Right::View, Right::ViewRows, Right::Operate, Right::Edit]);
        assert_eq!(rights(Role::Admin), Right::ALL);
    }

    #[test]
    fn the_weaker_of_two_never_has_what_one_of_them_lacks() {
        for left in Role::ALL {
            for right in Role::ALL {
                let both = left.at_most(right).unwrap();
                for needed in Right::ALL {
                    assert!(!both.may(needed) || (left.may(needed) && right.may(needed)));
                }
            }
        }
        assert_eq!(Role::Auditor.at_most(Role::Operator), Some(Role::Viewer));
        assert_eq!(Role::Admin.at_most(Role::Auditor), Some(Role::Auditor));
    }

    #[test]
    fn a_word_is_the_role_that_wrote_it() {
        for role in Role::ALL {
            assert_eq!(Role::from_word(role.as_str()), Some(role));
        }
        assert_eq!(Role::from_word("root"), None);
    }
}
