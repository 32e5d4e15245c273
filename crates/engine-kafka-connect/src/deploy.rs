//! [`deploy`]: carries out the steps that [`crate::decide::decide`] has chosen.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use segcdc_engine_native::{EngineError, heartbeat_row, table_state};
use segcdc_model::{Lineage, Lsn, Secret, TablePhase};
use segcdc_postgres::{Replication, Session, SlotSnapshot, SourceError, catalog, publication, session, slot};
use segcdc_sqlserver::{ExistingRows, NewPipeline, PipelineState, TableState, Target};
use tokio::time::{Instant, sleep, timeout};

use crate::begin::begin;
use crate::config::{ConnectConfig, Spec};
use crate::decide::{Observed, ObservedConnector, Step, decide};
use crate::error::ConnectError;
use crate::heartbeat;
use crate::offset::{source_position, starting_at};
use crate::prepare::{Prepared, heartbeat_plan, published, rows};
use crate::property::Connector;
use crate::reach::{PAUSE, STATE_PATIENCE, reach};
use crate::rest::{ConnectorWord, InitialState, Rest};
use crate::validate::validate;

/// How long the set-up waits for the first message of a topic. Heartbeats come every five seconds, but not while large
/// tables are copied.
const TOPIC_PATIENCE: Duration = Duration::from_secs(20);

/// What the state calls the process that sets a pipeline up.
const OWNER: &str = "kafka connect";

/// Makes everything that is missing, and lets the connectors run. `on_step` hears of each step before it is taken.
///
/// # Errors
/// What a server or the worker refuses. What was made stays and is found by the next call, or by
/// [`crate::remove::remove`].
pub async fn deploy(
    config: &ConnectConfig,
    rest: &Rest,
    prepared: &Prepared,
    on_step: &mut (dyn FnMut(&Step) + Send),
) -> Result<Vec<Step>, ConnectError> {
    let source = session::connect(&config.engine.source).await?;
    let mut target = Target::connect(&config.engine.target).await?;
    let observed = observe(config, rest, prepared, &source, &mut target).await?;
    let steps = decide(&prepared.connectors, &observed)?;
    let mut deployment = Deployment { config, rest, prepared, source: &source, target: &mut target };
    for step in &steps {
        on_step(step);
        tracing::info!(%step, "setting up");
        deployment.take(step).await?;
    }
    deployment.store_spec().await?;
    source.close().await;
    Ok(steps)
}

/// What is there.
async fn observe(
    config: &ConnectConfig,
    rest: &Rest,
    prepared: &Prepared,
    source: &Session,
    target: &mut Target,
) -> Result<Observed, ConnectError> {
    let state = target.load_state(&config.engine.name).await?;
    let layout = &prepared.layout;
    let mut connectors = BTreeMap::new();
    let mut has_offset = false;
    for connector in &prepared.connectors {
        if let Some(properties) = rest.config(&connector.name).await? {
            let word = rest.status(&connector.name).await?.map(|status| status.connector.state);
            let offsets = rest.offsets(&connector.name).await?;
            has_offset |= connector.name == layout.source_connector
                && source_position(&offsets, &layout.base).is_some();
            let has_progress = !offsets.is_empty();
            let seen = ObservedConnector { properties, word, has_progress };
            connectors.insert(connector.name.clone(), seen);
        }
    }
    let publication = publication::inspect(source, &layout.publication).await?;
    let mut has_heartbeats = !layout.groups.is_empty();
    for heartbeat in layout.heartbeats() {
        let published = publication
            .as_ref()
            .is_some_and(|found| found.tables.iter().any(|table| table.name == heartbeat.source));
        has_heartbeats &= published && target.existing_table(&heartbeat.target).await?.is_some();
    }
    let slot = slot::inspect(source, &layout.slot).await?;
    let is_complete = state.as_ref().is_some_and(|state| state.checkpoint.applied_lsn > Lsn::ZERO);
    let has_followed = is_complete && {
        let arrived = heartbeat_row::read(target, &prepared.spec.heartbeats).await?;
        arrived.is_some_and(|arrived| arrived.lsn > Lsn::ZERO)
    };
    Ok(Observed {
        slot: layout.slot.clone(),
        publication: layout.publication.clone(),
        has_state: state.is_some(),
        is_complete,
        is_unread: has_followed && slot.as_ref().is_some_and(|slot| slot.active_pid.is_none()),
        has_slot: slot.is_some(),
        lost: slot.as_ref().filter(|slot| slot.is_lost()).map(|slot| slot.reason().to_owned()),
        has_publication: publication.is_some(),
        has_heartbeats,
        has_start: prepared.spec.start_lsn.is_some(),
        has_offset,
        connectors,
    })
}

/// A set-up in progress.
struct Deployment<'a> {
    config: &'a ConnectConfig,
    rest: &'a Rest,
    prepared: &'a Prepared,
    source: &'a Session,
    target: &'a mut Target,
}

// === impl Deployment ===

impl Deployment<'_> {
    async fn take(&mut self, step: &Step) -> Result<(), ConnectError> {
        let layout = &self.prepared.layout;
        match step {
            Step::WriteSecrets => write_secrets(self.config, &self.prepared.spec),
            Step::Validate => {
                validate(self.rest, &self.prepared.connectors, &self.prepared.spec.secrets).await
            }
            Step::WriteState => self.write_state().await,
            Step::CreateHeartbeats => self.create_heartbeats().await,
            Step::PublishHeartbeats => self.publish_heartbeats().await,
            Step::CreatePublication => {
                publication::create(self.source, &layout.publication, &published(layout)).await?;
                Ok(())
            }
            Step::CreateTables => create_tables(self.config, self.prepared, self.target).await,
            Step::CreateSlot => create_slot(self.config, &layout.slot).await,
            Step::CompleteState => self.complete_state().await,
            Step::CreateConnector { connector } => {
                let properties = self.connector(connector)?.to_properties();
                self.rest.create(connector, &properties, InitialState::Stopped).await
            }
            Step::UpdateConnector { connector, .. } => {
                let properties = self.connector(connector)?.to_properties();
                self.rest.put_config(connector, &properties).await
            }
            Step::PlaceOffset { connector } => {
                let start = self.prepared.spec.start_lsn.ok_or_else(|| self.unreadable())?;
                place_offset(self.rest, connector, &layout.base, start).await
            }
            Step::Resume { connector } => {
                self.rest.resume(connector).await?;
                reach(self.rest, connector, ConnectorWord::Running).await
            }
            Step::Restart { connector } => self.rest.restart(connector).await,
            Step::Begin { connector } => self.begin(connector).await,
        }
    }

    /// Waits a while for the topic. A sink that cannot begin meanwhile is left to [`crate::run::run`].
    async fn begin(&mut self, sink: &str) -> Result<(), ConnectError> {
        let started = Instant::now();
        while !begin(self.rest, &self.prepared.spec, sink).await? {
            if started.elapsed() > self.rest.patience(TOPIC_PATIENCE) {
                tracing::info!(sink, "nothing has been written for this sink yet");
                return Ok(());
            }
            sleep(PAUSE).await;
        }
        Ok(())
    }

    fn connector(&self, name: &str) -> Result<&Connector, ConnectError> {
        let found = self.prepared.connectors.iter().find(|connector| connector.name == name);
        found.ok_or_else(|| self.unreadable())
    }

    fn unreadable(&self) -> ConnectError {
        ConnectError::SpecUnreadable { pipeline: self.config.engine.name.clone() }
    }

    async fn create_heartbeats(&mut self) -> Result<(), ConnectError> {
        let heartbeats = self.prepared.layout.heartbeats();
        for sql in heartbeat::create_sql(&heartbeats)? {
            self.source.query_text(&sql).await?;
        }
        for heartbeat in heartbeats {
            let plan = Arc::new(heartbeat_plan(&heartbeat)?);
            self.target.prepare_table(&plan, ExistingRows::Allow).await?;
            self.target.build_key(&plan).await?;
        }
        Ok(())
    }

    async fn publish_heartbeats(&self) -> Result<(), ConnectError> {
        let layout = &self.prepared.layout;
        let missing = || EngineError::PublicationMissing { publication: layout.publication.clone() };
        let found = publication::inspect(self.source, &layout.publication).await?.ok_or_else(missing)?;
        let is_published = |name| found.tables.iter().any(|table| table.name == name);
        let heartbeats = layout.heartbeats().into_iter().map(|heartbeat| heartbeat.source);
        let absent: Vec<_> = heartbeats.filter(|name| !is_published(name.clone())).collect();
        if !absent.is_empty() {
            publication::add_tables(self.source, &layout.publication, &absent).await?;
        }
        Ok(())
    }

    async fn write_state(&mut self) -> Result<(), ConnectError> {
        let lineage = self.lineage(0).await?;
        create_state(self.config, self.prepared, self.target, lineage).await
    }

    async fn lineage(&self, publication_oid: u32) -> Result<Lineage, ConnectError> {
        let layout = &self.prepared.layout;
        let (slot, publication) = (layout.slot.clone(), layout.publication.clone());
        Ok(lineage(self.source, slot, publication, publication_oid).await?)
    }

    async fn complete_state(&mut self) -> Result<(), ConnectError> {
        let layout = &self.prepared.layout;
        let slot = slot::inspect(self.source, &layout.slot).await?;
        let missing = || EngineError::SlotMissing { slot: layout.slot.clone() };
        let start = slot.and_then(|slot| slot.confirmed_flush_lsn).ok_or_else(missing)?;
        let published = publication::inspect(self.source, &layout.publication).await?;
        let missing = || EngineError::PublicationMissing { publication: layout.publication.clone() };
        let lineage = self.lineage(published.ok_or_else(missing)?.oid).await?;
        let state = self.load_state().await?;
        store_tables(self.prepared, self.target, &state, TablePhase::Streaming, start).await?;
        self.target.set_spec(&state.checkpoint, &self.prepared.spec.to_json()).await?;
        // Last: a position above zero says that the set-up is complete.
        self.target.set_lineage(&state.checkpoint, &lineage, start).await?;
        Ok(())
    }

    /// What may have changed of the specification: the worker's URL, how it gets the passwords.
    async fn store_spec(&mut self) -> Result<(), ConnectError> {
        let state = self.load_state().await?;
        let wanted = self.prepared.spec.to_json();
        if state.spec.as_deref() != Some(wanted.as_str()) {
            self.target.set_spec(&state.checkpoint, &wanted).await?;
        }
        Ok(())
    }

    async fn load_state(&mut self) -> Result<PipelineState, ConnectError> {
        Ok(self.target.known_state(&self.config.engine.name).await?)
    }
}

/// The first row of a pipeline's state, and those of its tables.
///
/// # Errors
/// The target's.
pub(crate) async fn create_state(
    config: &ConnectConfig,
    prepared: &Prepared,
    target: &mut Target,
    lineage: Lineage,
) -> Result<(), ConnectError> {
    target.ensure_state_schema().await?;
    let new = NewPipeline {
        pipeline: config.engine.name.clone(),
        owner: OWNER.to_owned(),
        lineage,
        slot_is_ours: true,
        publication_is_ours: true,
        start_lsn: Lsn::ZERO,
        spec: Some(prepared.spec.to_json()),
    };
    target.create_pipeline(&new).await?;
    let state = target.known_state(&config.engine.name).await?;
    store_tables(prepared, target, &state, TablePhase::Queued, Lsn::ZERO).await
}

/// The tables' rows in the state. Those that are there say which target tables we made.
async fn store_tables(
    prepared: &Prepared,
    target: &mut Target,
    known: &PipelineState,
    phase: TablePhase,
    sync_lsn: Lsn,
) -> Result<(), ConnectError> {
    let mut states = Vec::new();
    for plan in prepared.layout.tables() {
        let before = known.tables.iter().find(|table| table.source_oid == plan.source.oid);
        let is_ours = match before {
            Some(before) => before.table_is_ours,
            None => target.existing_table(&plan.target).await?.is_none(),
        };
        states.push(TableState { phase, sync_lsn, ..table_state(plan, is_ours) });
    }
    Ok(target.set_tables(&known.checkpoint, &states).await?)
}

/// Makes the target's tables with their keys.
///
/// # Errors
/// The target's; `TARGET_TABLE_NOT_EMPTY` for tables that are to be copied.
pub(crate) async fn create_tables(
    config: &ConnectConfig,
    prepared: &Prepared,
    target: &mut Target,
) -> Result<(), ConnectError> {
    let allowed = rows(config);
    for plan in prepared.layout.tables() {
        target.prepare_table(plan, allowed).await?;
        // An upsert finds its row by the key, and two rows of one key must not come to be.
        target.build_key(plan).await?;
    }
    Ok(())
}

/// The lineage of a pipeline at this source.
///
/// # Errors
/// The source's.
pub(crate) async fn lineage(
    source: &Session,
    slot: String,
    publication: String,
    publication_oid: u32,
) -> Result<Lineage, SourceError> {
    let identity = catalog::identity(source).await?;
    Ok(Lineage {
        system_identifier: identity.system_identifier,
        timeline: identity.timeline,
        database_oid: identity.database_oid,
        slot,
        publication,
        publication_oid,
    })
}

/// Makes the slot.
///
/// # Errors
/// `SLOT_CREATION_TIMEOUT` when transactions that are open at the source do not end; the source's.
pub(crate) async fn create_slot(config: &ConnectConfig, name: &str) -> Result<(), ConnectError> {
    let engine = &config.engine;
    let making = async {
        let mut replication = Replication::connect(&engine.source).await?;
        replication.create_slot(name, SlotSnapshot::None, false).await?;
        replication.close().await;
        Ok(())
    };
    match timeout(engine.slot_patience, making).await {
        Ok(made) => made,
        Err(_) => {
            let after_s = engine.slot_patience.as_secs();
            Err(EngineError::SlotCreationTimeout { after_s, blockers: String::new() }.into())
        }
    }
}

/// Puts the passwords where the worker reads them, if that is ours to do.
///
/// # Errors
/// `CONNECT_SECRETS_FILE`.
pub(crate) fn write_secrets(config: &ConnectConfig, spec: &Spec) -> Result<(), ConnectError> {
    let none = Secret::new(String::new());
    let source = config.engine.source.password.as_ref().unwrap_or(&none);
    spec.secrets.write(source, &config.engine.target.password)
}

/// Tells a stopped source connector where to begin, and waits until the worker says the same.
async fn place_offset(
    rest: &Rest,
    connector: &str,
    topic_prefix: &str,
    start: Lsn,
) -> Result<(), ConnectError> {
    let wanted = [starting_at(topic_prefix, start)];
    let (started, patience) = (Instant::now(), rest.patience(STATE_PATIENCE));
    loop {
        // A worker says that a connector stopped a moment before it lets its progress be changed.
        let placed = match rest.patch_offsets(connector, &wanted).await {
            Ok(()) => source_position(&rest.offsets(connector).await?, topic_prefix) == Some(start),
            Err(ConnectError::Answer { status: 400 | 500, .. }) if started.elapsed() < patience => false,
            Err(error) => return Err(error),
        };
        if placed {
            return Ok(());
        }
        if started.elapsed() > patience {
            let (wanted, found) = ("at the position where it is to begin", "elsewhere".to_owned());
            let (connector, after_s) = (connector.to_owned(), started.elapsed().as_secs());
            return Err(ConnectError::ConnectorState { connector, wanted, found, after_s });
        }
        sleep(PAUSE).await;
    }
}
