//! [`Replication`]: a replication session and its commands (PostgreSQL manual, "Streaming Replication Protocol").

use std::time::Duration;

use segcdc_model::Lsn;

use crate::config::SourceConfig;
use crate::error::{Operation, SourceError};
use crate::quote;
use crate::spill::{Grammar, SpillSpace};
use crate::startup::{self, SessionKind};
use crate::stream::{StreamOptions, TransactionStream};
use crate::wire::{Wire, lost, protocol, server_error};

mod command;

pub use command::FieldForm;

/// First version whose logical messages and column lists this product relies on.
pub const FIRST_SUPPORTED_VERSION: u32 = 140_000;

/// A replication session.
#[derive(Debug)]
pub struct Replication {
    wire: Wire,
    server_version_num: u32,
    is_standby: bool,
    wal_sender_timeout: Option<Duration>,
    /// Where transactions are kept that are too large for memory.
    spill: SpillSpace,
}

/// Whether a slot's creation exports a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotSnapshot {
    /// Export one; it lives until the session's next command.
    Export,
    /// None.
    None,
}

/// A slot that was just made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedSlot {
    /// Its name.
    pub name: String,
    /// The stream holds every transaction that commits after it, the snapshot every one before.
    pub consistent_point: Lsn,
    /// Name of the snapshot; empty when none was exported.
    pub snapshot: String,
}

/// The answer to IDENTIFY_SYSTEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemIdentity {
    /// `system_identifier`, decimal.
    pub system_identifier: String,
    /// Timeline.
    pub timeline: u32,
    /// How far the WAL is on disk.
    pub flush_lsn: Lsn,
    /// Database.
    pub database: Option<String>,
}

// === impl Replication ===

impl Replication {
    /// Opens a replication session in the configured database.
    pub async fn connect(config: &SourceConfig) -> Result<Self, SourceError> {
        let mut wire = startup::connect(config, SessionKind::Replication).await?;
        wire.spill_into(&config.spill, Grammar::Changes { in_stream: false });
        let sql = "SELECT name, setting FROM pg_catalog.pg_settings \
                   WHERE name IN ('server_version_num', 'wal_sender_timeout', 'in_hot_standby')";
        let rows = wire.query(Operation::Identify, sql).await?;
        let setting = |wanted: &str| {
            let row = rows.iter().find(|row| row.first().and_then(Option::as_deref) == Some(wanted));
            row.and_then(|row| row.get(1)?.as_deref()?.parse::<u32>().ok())
                .ok_or_else(|| protocol(format!("the setting {wanted} is missing")))
        };
        let server_version_num = setting("server_version_num")?;
        if server_version_num < FIRST_SUPPORTED_VERSION {
            let (found, needed) = (server_version_num, FIRST_SUPPORTED_VERSION);
            return Err(SourceError::VersionUnsupported { found, needed });
        }
        let is_standby = rows.iter().any(|row| {
            let field = |index: usize| row.get(index).and_then(Option::as_deref);
            (field(0), field(1)) == (Some("in_hot_standby"), Some("on"))
        });
        let timeout_ms = u64::from(setting("wal_sender_timeout")?);
        let wal_sender_timeout = (timeout_ms > 0).then(|| Duration::from_millis(timeout_ms));
        Ok(Replication {
            wire,
            server_version_num,
            is_standby,
            wal_sender_timeout,
            spill: config.spill.clone(),
        })
    }

    /// `server_version_num`
    pub fn server_version_num(&self) -> u32 {
        self.server_version_num
    }

    /// Whether the server was a standby when the session began.
    pub fn is_standby(&self) -> bool {
        self.is_standby
    }

    /// Whether the server is a standby now.
    pub async fn is_in_recovery(&mut self) -> Result<bool, SourceError> {
        self.flag("SELECT pg_catalog.pg_is_in_recovery()").await
    }

    /// Whether some session of this server streams from the slot.
    pub async fn is_streaming(&mut self, slot: &str) -> Result<bool, SourceError> {
        let slot = quote::literal(slot)?;
        let sql = format!(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_replication_slots WHERE slot_name = {slot} AND active)"
        );
        self.flag(&sql).await
    }

    /// The answer to a question of one boolean.
    async fn flag(&mut self, sql: &str) -> Result<bool, SourceError> {
        let rows = self.wire.query(Operation::Identify, sql).await?;
        let [answer] = one_row(rows, "a question")?;
        Ok(answer.as_deref() == Some("t"))
    }

    /// Who the server is. Ends the life of a snapshot that this session exported.
    pub async fn identify_system(&mut self) -> Result<SystemIdentity, SourceError> {
        let rows = self.wire.query(Operation::Identify, "IDENTIFY_SYSTEM").await?;
        let [system_identifier, timeline, lsn, database] = one_row(rows, "IDENTIFY_SYSTEM")?;
        let missing = || protocol("IDENTIFY_SYSTEM is incomplete");
        Ok(SystemIdentity {
            system_identifier: system_identifier.ok_or_else(missing)?,
            timeline: timeline.and_then(|text| text.parse().ok()).ok_or_else(missing)?,
            flush_lsn: lsn.and_then(|text| text.parse().ok()).ok_or_else(missing)?,
            database,
        })
    }

    /// The timelines that `timeline` descends from, oldest first, each with the position at which it was left. Empty
    /// for the first timeline, which has no history.
    pub async fn timeline_history(&mut self, timeline: u32) -> Result<Vec<(u32, Lsn)>, SourceError> {
        if timeline <= 1 {
            return Ok(Vec::new());
        }
        let rows = self.wire.query(Operation::Identify, &format!("TIMELINE_HISTORY {timeline}")).await?;
        let [_file, content] = one_row(rows, "TIMELINE_HISTORY")?;
        let content = content.ok_or_else(|| protocol("TIMELINE_HISTORY has no content"))?;
        command::parse_history(&content).ok_or_else(|| protocol("TIMELINE_HISTORY has not the expected form"))
    }

    /// Makes a logical slot for pgoutput. Durable on return unless `temporary`.
    ///
    /// Waits until every transaction that is now running has ended; the caller bounds it, by dropping the future and
    /// the session. With [`SlotSnapshot::Export`] the session must stay silent for as long as the snapshot is needed.
    pub async fn create_slot(
        &mut self,
        name: &str,
        snapshot: SlotSnapshot,
        temporary: bool,
    ) -> Result<CreatedSlot, SourceError> {
        let sql =
            command::create_slot((self.server_version_num, self.is_standby), name, snapshot, temporary)?;
        // If we go away while the server waits, it shall notice and not leave a slot behind that nobody knows of.
        // Replication commands do not start the clock of this setting: the statement behind SET does, and the command
        // that follows at once finds it running. Servers on other systems than Linux may refuse the setting.
        let notice = "SET client_connection_check_interval = '2s'; SELECT 1";
        match self.wire.query(Operation::CreateSlot, notice).await {
            Ok(_) | Err(SourceError::Server { .. }) => {}
            Err(error) => return Err(error),
        }
        let rows = self.wire.query(Operation::CreateSlot, &sql).await?;
        let [name, consistent_point, snapshot, _plugin] = one_row(rows, "CREATE_REPLICATION_SLOT")?;
        let missing = || protocol("CREATE_REPLICATION_SLOT returned no position");
        Ok(CreatedSlot {
            name: name.ok_or_else(missing)?,
            consistent_point: consistent_point.and_then(|text| text.parse().ok()).ok_or_else(missing)?,
            snapshot: snapshot.unwrap_or_default(),
        })
    }

    /// Drops a slot. A missing one is an error with the code `SLOT_MISSING`.
    pub async fn drop_slot(&mut self, name: &str) -> Result<(), SourceError> {
        let sql = format!("DROP_REPLICATION_SLOT {}", quote::slot_name(name)?);
        self.wire.query(Operation::DropSlot, &sql).await.map(drop)
    }

    /// Starts streaming every transaction that commits after `from`, with default options.
    pub async fn start(
        self,
        slot: &str,
        from: Lsn,
        publications: &[&str],
    ) -> Result<TransactionStream, SourceError> {
        self.start_with(slot, from, publications, StreamOptions::default()).await
    }

    /// Starts streaming every transaction that commits after `from`.
    ///
    /// `from` must not be below what the slot has confirmed: PostgreSQL would silently begin at the confirmed
    /// position and leave out what lies between (`CreateDecodingContext` in logical.c). This is refused here as
    /// [`SourceError::SlotAheadOfCheckpoint`], before anything is sent.
    pub async fn start_with(
        mut self,
        slot: &str,
        from: Lsn,
        publications: &[&str],
        options: StreamOptions,
    ) -> Result<TransactionStream, SourceError> {
        let sql = command::start(slot, from, publications, &options)?;
        self.refuse_gap(slot, from).await?;
        self.wire.begin(&sql).await?;
        loop {
            let frame = self.wire.receive().await.map_err(lost)?;
            match frame.tag() {
                // CopyBothResponse, which postgres-protocol does not know.
                b'W' => break,
                b'N' | b'S' | b'A' => {}
                b'E' => {
                    let postgres_protocol::message::backend::Message::ErrorResponse(body) = frame.parse()?
                    else {
                        return Err(protocol("an error without contents"));
                    };
                    let error = server_error(body.fields())?;
                    return Err(SourceError::Server { operation: Operation::StartReplication, error });
                }
                _ => return Err(protocol("START_REPLICATION was not answered with a stream")),
            }
        }
        Ok(TransactionStream::new(self.wire, from, self.wal_sender_timeout, options, self.spill))
    }

    /// Ends the session in an orderly way.
    pub async fn close(self) {
        self.wire.terminate().await;
    }

    /// Compares the wanted start with what the slot has let go.
    async fn refuse_gap(&mut self, slot: &str, from: Lsn) -> Result<(), SourceError> {
        let sql = format!(
            "SELECT confirmed_flush_lsn FROM pg_catalog.pg_replication_slots WHERE slot_name = {}",
            quote::literal(slot)?
        );
        let rows = self.wire.query(Operation::StartReplication, &sql).await?;
        // A slot that is missing or has no position is left to START_REPLICATION, which names the trouble.
        let confirmed = rows.into_iter().next().and_then(|row| row.into_iter().next()).flatten();
        match confirmed.and_then(|text| text.parse::<Lsn>().ok()) {
            Some(confirmed) if confirmed > from => {
                Err(SourceError::SlotAheadOfCheckpoint { slot: slot.to_owned(), confirmed, wanted: from })
            }
            _ => Ok(()),
        }
    }
}

/// The fields of the one row of a replication command. Later versions may add fields; those are ignored.
fn one_row<const N: usize>(
    rows: Vec<Vec<Option<String>>>,
    command: &str,
) -> Result<[Option<String>; N], SourceError> {
    let row = rows.into_iter().next().ok_or_else(|| protocol(format!("{command} returned nothing")))?;
    let fields: Vec<_> = row.into_iter().take(N).collect();
    fields.try_into().map_err(|_| protocol(format!("{command} returned too little")))
}
