//! What `money` means in a database.
//!
//! A money is a number of the smallest unit. How many of its digits stand behind the point is said by `lc_monetary`,
//! "the database's" (PostgreSQL manual, "Monetary Types"), which our sessions have pinned to another value. So it is
//! looked up in the order in which the server would, without the settings of our own role:
//!
//! ```text
//! ALTER DATABASE d SET        ALTER ROLE ALL SET        what the session began with (postgresql.conf)
//! ```

use crate::error::{Operation, SourceError};
use crate::session::Session;

/// Settings of `lc_monetary` for everybody in this database, for everybody, and for the session's role.
const SETTINGS: &str = "WITH setting AS (SELECT s.setdatabase, s.setrole, substr(entry, 13) AS locale \
       FROM pg_db_role_setting s, unnest(s.setconfig) AS entry WHERE entry LIKE 'lc\\_monetary=%') \
     SELECT coalesce((SELECT locale FROM setting JOIN pg_database d ON d.oid = setdatabase \
         WHERE setrole = 0 AND d.datname = current_database()), \
       (SELECT locale FROM setting WHERE setrole = 0 AND setdatabase = 0)), \
     (SELECT count(*) FROM setting JOIN pg_roles r ON r.oid = setrole WHERE r.rolname = session_user), \
     (SELECT reset_val FROM pg_settings WHERE name = 'lc_monetary')";

/// Digits behind the point of the database's money; `None` when a setting of our own role hides the server's.
///
/// # Errors
/// The server's.
pub(super) async fn fraction_digits(session: &Session) -> Result<Option<u8>, SourceError> {
    let mut row = session.row(Operation::Query, SETTINGS).await?;
    let (shared, of_role): (Option<String>, u32) = (row.optional()?, row.value()?);
    let begun_with = row.text()?;
    let locale = match shared {
        Some(locale) => locale,
        None if of_role > 0 => return Ok(None),
        None => begun_with,
    };
    // Several statements are one transaction, with which the setting goes.
    let sql = format!(
        "SELECT set_config('lc_monetary', {}, true); SELECT scale(0::money::numeric)",
        crate::quote::literal(&locale)?
    );
    session.row(Operation::Query, &sql).await?.value().map(Some)
}
