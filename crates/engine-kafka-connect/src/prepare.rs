//! [`prepare`]: checks both servers and the worker, and plans everything. Changes nothing.

use std::sync::Arc;

use segcdc_engine_native::{
    EngineConfig, EngineKind, LeftOut, PlannedSql, Preflight, SnapshotMode, names, preflight,
};
use segcdc_model::{Finding, Lsn, Severity, Side};
use segcdc_plan::{TableKey, TablePlan};
use segcdc_postgres::{catalog, publication, session};
use segcdc_sqlserver::{ExistingRows, PipelineState, TargetError};
use serde::Serialize;

use crate::carried::{Carried, carried};
use crate::config::{ConnectConfig, FullLoad, Spec};
use crate::error::ConnectError;
use crate::heartbeat;
use crate::kafka::KafkaAdmin;
use crate::layout::{Layout, is_possible_name};
use crate::overrides;
use crate::plugin::Plugins;
use crate::property::{Change, Connector, differences};
use crate::rest::Rest;
use crate::sink_connector::{SinkRequest, sink_connector};
use crate::source_connector::{SourceRequest, source_connector};
use crate::validate::{self, named};
use crate::values;

/// A pipeline that is planned to the last property.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// What was found about both servers, and which tables take part.
    pub preflight: Preflight,
    /// What the worker has.
    pub plugins: Plugins,
    /// Names of everything.
    pub layout: Layout,
    /// The connectors as they should be, the sinks first.
    pub connectors: Vec<Connector>,
    /// What is stored of it.
    pub spec: Spec,
    /// What is otherwise at the worker, of a pipeline that is there already.
    pub changes: Vec<ConnectorChanges>,
}

/// What is otherwise at one connector than it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConnectorChanges {
    /// The connector.
    pub connector: String,
    /// Its properties.
    pub changes: Vec<Change>,
}

/// First version with slots that standbys have too.
const FAILOVER_VERSION: u32 = 170_000;

/// What the worker's own settings and the source allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Allowed {
    /// `exactly.once.source.support=enabled`
    exactly_once: bool,
    /// `connector.client.config.override.policy` other than `None`
    client_overrides: bool,
    /// The source keeps slots over a failover.
    keeps_slots: bool,
}

/// What is decided about a pipeline before its tables are looked at.
#[derive(Debug, Clone)]
struct Origin {
    /// What all names begin with.
    base: String,
    /// Whether rows are copied, and by whom.
    copy: (bool, FullLoad),
    /// Where the source connector begins, if that is known.
    start_lsn: Option<Lsn>,
    /// What is stored of a pipeline that is ours already.
    known: Option<Spec>,
}

/// Checks both servers and the worker, and plans everything.
///
/// # Errors
/// When one of them cannot be asked, or the engine cannot do what is wanted. What keeps the pipeline from starting is a
/// finding.
pub async fn prepare(config: &ConnectConfig, rest: &Rest) -> Result<Prepared, ConnectError> {
    refuse_unsupported(config)?;
    let plugins = Plugins::ask(rest).await?;
    let found = preflight(&config.engine).await?;
    if let (Some(bootstrap), None) = (&config.bootstrap, &found.existing) {
        // Brokers that cannot be asked are found out now, and not when the pipeline is to be removed.
        KafkaAdmin::new(bootstrap.clone(), &config.security)?.topics().await?;
    }
    let origin = Origin::of(config, found.existing.as_ref())?;
    plan(config, rest, plugins, found, origin).await
}

/// The same for a pipeline of the native engine that is to become one on Kafka Connect, from its checkpoint on. It gets
/// names of its own: of a life on Kafka Connect before, topics may be left.
///
/// # Errors
/// As [`prepare`]; `STATE_MISSING`, `ENGINE_MISMATCH`.
pub async fn prepare_from_native(config: &ConnectConfig, rest: &Rest) -> Result<Prepared, ConnectError> {
    refuse_unsupported(config)?;
    let plugins = Plugins::ask(rest).await?;
    let engine = EngineConfig { engine: EngineKind::Native, patterns: Vec::new(), ..config.engine.clone() };
    let found = preflight(&engine).await?;
    let name = &engine.name;
    let state = found.existing.as_ref();
    let state = state.ok_or_else(|| TargetError::StateMissing { pipeline: name.clone() })?;
    let origin = Origin {
        base: format!("{}_m{}", names::publication(name), state.checkpoint.epoch + 1),
        copy: (false, FullLoad::default()),
        start_lsn: Some(state.checkpoint.applied_lsn),
        known: None,
    };
    plan(config, rest, plugins, found, origin).await
}

async fn plan(
    config: &ConnectConfig,
    rest: &Rest,
    plugins: Plugins,
    mut found: Preflight,
    origin: Origin,
) -> Result<Prepared, ConnectError> {
    let source = session::connect(&config.engine.source).await?;
    let values = values::check(&source, &found.plans).await?;
    let identity = catalog::identity(&source).await?;
    source.close().await;
    values::leave_out(&mut found, values);
    let (mut preflight, layout) = select(config, found, &origin)?;
    let known = origin.known.as_ref();
    let secrets = match (&config.secrets, known) {
        (Some(secrets), _) => secrets.clone(),
        (None, Some(spec)) => spec.secrets.clone(),
        (None, None) => return Err(ConnectError::SecretsMissing),
    };
    preflight.findings.extend(plugins.findings());
    preflight.findings.extend(values::toast_finding(&layout));
    preflight.findings.extend(values::warning(&preflight.plans));
    let (snapshot, full_load) = origin.copy;
    let spec = Spec {
        engine: EngineKind::KafkaConnect,
        heartbeats: layout.heartbeats(),
        connect_url: config.http.url.to_string(),
        secrets,
        bootstrap: match &config.bootstrap {
            Some(bootstrap) => Some(bootstrap.to_string()),
            None => known.and_then(|spec| spec.bootstrap.clone()),
        },
        topic_prefix: layout.base.clone(),
        source_connector: layout.source_connector.clone(),
        sink_connectors: layout.groups.iter().map(|group| group.sink_connector.clone()).collect(),
        topics: layout.topics(),
        snapshot,
        full_load,
        start_lsn: origin.start_lsn,
        leaving: None,
    };
    let keeps_slots = identity.server_version_num >= FAILOVER_VERSION && !identity.in_recovery;
    let wish = Allowed { exactly_once: true, client_overrides: true, keeps_slots };
    let wished = connectors(config, &layout, &spec, &plugins, wish)?;
    let allowed = allowed(rest, &wished, wish).await?;
    preflight.findings.extend(allowed.findings());
    let connectors = connectors(config, &layout, &spec, &plugins, allowed)?;
    preflight.findings.extend(shown_password(config));
    preflight.findings.extend(validate::references(rest, &connectors, &spec.secrets).await?);
    let changes = match known {
        Some(_) => changes(rest, &connectors).await?,
        None => Vec::new(),
    };
    Ok(Prepared { preflight, plugins, layout, connectors, spec, changes })
}

/// What is otherwise at the worker. A connector that is not there is made anew, and is no change.
async fn changes(rest: &Rest, connectors: &[Connector]) -> Result<Vec<ConnectorChanges>, ConnectError> {
    let mut found = Vec::new();
    for connector in connectors {
        let Some(properties) = rest.config(&connector.name).await? else { continue };
        let changes = differences(&properties, &connector.to_properties());
        if !changes.is_empty() {
            found.push(ConnectorChanges { connector: connector.name.clone(), changes });
        }
    }
    Ok(found)
}

fn refuse_unsupported(config: &ConnectConfig) -> Result<(), ConnectError> {
    let refuse = |what, instead| Err(ConnectError::Unsupported { what, instead });
    let engine = &config.engine;
    if engine.snapshot == SnapshotMode::Only {
        return refuse("--snapshot only", "use the native engine to copy without following");
    }
    if !engine.rules.is_empty() {
        return refuse(
            "rules for values, types and names",
            "leave them away, or use the native engine: a sink writes what the source sends, under the same names",
        );
    }
    if engine.slot.is_some() || engine.publication.is_some() {
        return refuse(
            "--slot and --publication",
            "leave them away: heartbeat tables have to be part of the publication, so the engine makes its own",
        );
    }
    Ok(())
}

/// A password that everybody on the way to the brokers can read.
fn shown_password(config: &ConnectConfig) -> Option<Finding> {
    let is_shown = config.bootstrap.is_some() && config.security.shows_password();
    is_shown.then(|| {
        Finding::warning(
            "connect.brokers",
            Side::Source,
            "KAFKA_PASSWORD_IN_CLEAR",
            "the password of --kafka-auth goes to the brokers by SASL PLAIN and without TLS: whoever listens on the way can \
             read it",
        )
        .hint("give --kafka-tls or --kafka-ca-file, or --kafka-sasl scram-sha-512, where the listener takes it")
    })
}

/// Leaves out the tables that this route cannot carry, and lays out the rest.
fn select(
    config: &ConnectConfig,
    mut found: Preflight,
    origin: &Origin,
) -> Result<(Preflight, Layout), ConnectError> {
    let mut plans: Vec<Arc<TablePlan>> = Vec::new();
    for plan in std::mem::take(&mut found.plans) {
        match judge(&plan) {
            Ok(()) => plans.push(plan),
            Err(left_out) => found.left_out.push(*left_out),
        }
    }
    if plans.is_empty() && !found.left_out.is_empty() {
        found.findings.push(
            Finding::failure(
                "connect.tables",
                Side::Source,
                "NO_TABLES",
                "no table is left that Kafka Connect can carry",
            )
            .hint("see why each table was left out; the native engine carries all of these types"),
        );
    }
    let name = &config.engine.name;
    let lineage = found.existing.as_ref().map(|state| &state.checkpoint.lineage);
    let slot = lineage.map_or_else(|| names::slot(name, 1), |lineage| lineage.slot.clone());
    let publication = lineage.map_or_else(|| names::publication(name), |lineage| lineage.publication.clone());
    let layout = Layout::new(origin.base.clone(), slot, publication, &plans);
    found.plans = plans;
    if found.existing.is_none() {
        found.sql = statements(config, &found, &layout)?;
    }
    Ok((found, layout))
}

/// The statements that change something, for a new pipeline.
fn statements(
    config: &ConnectConfig,
    found: &Preflight,
    layout: &Layout,
) -> Result<PlannedSql, ConnectError> {
    let heartbeats = layout.heartbeats();
    let (slot, publication) = (&layout.slot, &layout.publication);
    let mut source = heartbeat::create_sql(&heartbeats)?;
    if config.engine.snapshot == SnapshotMode::Initial && config.full_load == FullLoad::Native {
        let tables: Vec<_> = layout.tables().map(|plan| plan.source.name.clone()).collect();
        let copied = [
            publication::create_sql(publication, &tables)?,
            format!("CREATE_REPLICATION_SLOT \"{slot}\" LOGICAL pgoutput (SNAPSHOT 'export')"),
        ];
        source.splice(0..0, copied);
        let names: Vec<_> = heartbeats.iter().map(|heartbeat| heartbeat.source.clone()).collect();
        source.push(publication::add_tables_sql(publication, &names)?);
    } else {
        source.push(publication::create_sql(publication, &published(layout))?);
        source.push(format!("CREATE_REPLICATION_SLOT \"{slot}\" LOGICAL pgoutput"));
    }
    let mut tables = found.plans.clone();
    for heartbeat in &heartbeats {
        tables.push(Arc::new(heartbeat_plan(heartbeat)?));
    }
    let request = segcdc_sqlserver::PreflightRequest { tables, existing: None, rows: rows(config) };
    Ok(PlannedSql { source, target: segcdc_sqlserver::preflight::statements(&request) })
}

/// The plan of a heartbeat's target table.
pub(crate) fn heartbeat_plan(
    heartbeat: &segcdc_engine_native::HeartbeatRow,
) -> Result<TablePlan, ConnectError> {
    heartbeat::plan(heartbeat).map_err(|error| segcdc_engine_native::EngineError::from(error).into())
}

/// All tables of the publication.
pub(crate) fn published(layout: &Layout) -> Vec<segcdc_model::QualifiedName> {
    let tables = layout.tables().map(|plan| plan.source.name.clone());
    tables.chain(layout.heartbeats().into_iter().map(|heartbeat| heartbeat.source)).collect()
}

/// Whether target tables may hold rows.
pub(crate) fn rows(config: &ConnectConfig) -> ExistingRows {
    match config.engine.snapshot {
        SnapshotMode::None => ExistingRows::Allow,
        SnapshotMode::Initial | SnapshotMode::Only => ExistingRows::Refuse,
    }
}

/// Whether the route can carry a table, exactly.
fn judge(plan: &TablePlan) -> Result<(), Box<LeftOut>> {
    let left_out = |code: &str, detail: String, hint: &str| {
        let (table, hint) = (plan.source.name.clone(), hint.to_owned());
        Err(Box::new(LeftOut { table, code: code.to_owned(), detail, hint, fix_sql: None }))
    };
    if !matches!(plan.key, TableKey::Columns(_)) {
        return left_out(
            "CONNECT_NO_KEY",
            "it has no key, and the JDBC sink writes rows by their key".to_owned(),
            "add a primary key, or use the native engine",
        );
    }
    let names = [&plan.source.name.schema, &plan.source.name.name, &plan.target.schema];
    let columns = plan.columns.iter().map(|column| &column.name);
    if let Some(name) = names.into_iter().chain(columns).find(|name| !is_possible_name(name)) {
        return left_out(
            "CONNECT_NAME_UNSUPPORTED",
            format!(
                "the name \"{name}\" has characters that mean something else to Kafka, Debezium or the JDBC sink"
            ),
            "names have letters of ASCII, digits and _; use the native engine, which takes every name",
        );
    }
    for column in &plan.columns {
        let Some(source) = plan.source.columns.get(column.source_index) else { continue };
        if let Carried::Refused(reason) = carried(source) {
            return left_out(
                "CONNECT_TYPE_UNSUPPORTED",
                format!(
                    "column \"{}\" has a type that this route does not carry exactly: {reason}",
                    column.name
                ),
                "use the native engine for this table; docs/reference/types-kafka-connect.md lists all types",
            );
        }
    }
    Ok(())
}

/// Finds out what the worker's own settings allow, by asking for it: without passwords and host, so that the worker
/// neither fills in a placeholder nor connects.
async fn allowed(rest: &Rest, connectors: &[Connector], wish: Allowed) -> Result<Allowed, ConnectError> {
    let mut allowed = wish;
    for connector in connectors {
        let mut properties = named(connector);
        for name in ["database.hostname", "database.password", "connection.password"] {
            properties.remove(name);
        }
        let found = rest.validate(&connector.class, &properties).await?;
        let complains = |prefix: &str| found.errors.iter().any(|error| error.name.starts_with(prefix));
        allowed.exactly_once &= !complains("exactly.once.support");
        allowed.client_overrides &= !complains("consumer.override.") && !complains("producer.override.");
    }
    Ok(allowed)
}

/// The connectors, the sinks first.
fn connectors(
    config: &ConnectConfig,
    layout: &Layout,
    spec: &Spec,
    plugins: &Plugins,
    allowed: Allowed,
) -> Result<Vec<Connector>, ConnectError> {
    let mut connectors = Vec::with_capacity(layout.groups.len() + 1);
    for group in &layout.groups {
        connectors.push(sink_connector(&SinkRequest {
            group,
            base: &layout.base,
            target: &config.engine.target,
            secrets: &spec.secrets,
            plugin: &plugins.sink,
            may_override_client: allowed.client_overrides,
        })?);
    }
    connectors.push(source_connector(&SourceRequest {
        layout,
        source: &config.engine.source,
        secrets: &spec.secrets,
        plugin: &plugins.source,
        snapshot: spec.debezium_copies(),
        exactly_once: allowed.exactly_once,
        replication_factor: config.replication_factor,
        may_override_client: allowed.client_overrides,
        keeps_slots: allowed.keeps_slots,
    })?);
    for connector in &mut connectors {
        overrides::apply(connector, &config.overrides);
    }
    Ok(connectors)
}

// === impl Allowed ===

impl Allowed {
    fn findings(self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if !self.exactly_once {
            findings.push(
                Finding::warning(
                    "connect.exactly_once",
                    Side::Source,
                    "CONNECT_AT_LEAST_ONCE",
                    "the workers do not write the source's messages in transactions: after a crash some are in Kafka twice",
                )
                .hint("rows are written by their key, so the tables converge all the same; exactly.once.source.support=enabled at all workers avoids it"),
            );
        }
        if !self.client_overrides {
            findings.push(
                Finding::warning(
                    "connect.client_overrides",
                    Side::Target,
                    "CONNECT_CLIENT_POLICY",
                    "the workers do not let a connector set its Kafka clients: rows larger than 1 MiB stop the source, rows \
                     of aborted transactions can be read, and a sink does not notice that Kafka deleted rows before it \
                     had read them",
                )
                .hint(
                    "set connector.client.config.override.policy=All at all workers, or there \
                     consumer.isolation.level=read_committed and producer.max.request.size=67108864",
                ),
            );
        }
        findings
    }
}

// === impl Origin ===

impl Origin {
    /// Of a pipeline that is ours or new.
    fn of(config: &ConnectConfig, existing: Option<&PipelineState>) -> Result<Self, ConnectError> {
        let Some(state) = existing else {
            return Ok(Origin {
                base: names::publication(&config.engine.name),
                copy: (config.engine.snapshot == SnapshotMode::Initial, config.full_load),
                start_lsn: None,
                known: None,
            });
        };
        let spec = Spec::of(state)?;
        if spec.leaving.is_some() {
            return Err(ConnectError::MigrationUnfinished { pipeline: config.engine.name.clone() });
        }
        Ok(Origin {
            base: spec.topic_prefix.clone(),
            // As it was made, whatever is asked for now.
            copy: (spec.snapshot, spec.full_load),
            start_lsn: spec.start_lsn,
            known: Some(spec),
        })
    }
}

// === impl Prepared ===

impl Prepared {
    /// The findings that keep the pipeline from starting.
    pub fn failures(&self) -> impl Iterator<Item = &Finding> {
        self.preflight.findings.iter().filter(|finding| finding.severity == Severity::Failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::BrokerSecurity;
    use crate::layout::tests::plan;
    use segcdc_model::PgType;

    #[test]
    fn what_the_workers_do_not_allow_is_told() {
        let codes = |exactly_once, client_overrides| -> Vec<String> {
            let allowed = Allowed { exactly_once, client_overrides, keeps_slots: true };
            allowed.findings().into_iter().map(|finding| finding.code).collect()
        };
        assert!(codes(true, true).is_empty());
        assert_eq!(codes(false, true), ["CONNECT_AT_LEAST_ONCE"]);
        assert_eq!(codes(true, false), ["CONNECT_CLIENT_POLICY"]);
    }

    #[test]
    fn tables_that_the_route_would_change_are_left_out() {
        let code = |plan: &TablePlan| judge(plan).err().map(|left_out| left_out.code);
        assert_eq!(code(&plan("public", "orders", &[("note", PgType::Text)])), None);
        assert_eq!(
            code(&plan("public", "t", &[("n", PgType::Numeric { bounds: None })])).as_deref(),
            Some("CONNECT_TYPE_UNSUPPORTED")
        );
        assert_eq!(
            code(&plan("public", "t", &[("x", PgType::Other)])).as_deref(),
            Some("CONNECT_TYPE_UNSUPPORTED")
        );
        assert_eq!(code(&plan("public", "a.b", &[])).as_deref(), Some("CONNECT_NAME_UNSUPPORTED"));
        assert_eq!(
            code(&plan("public", "t", &[("a b", PgType::Int4)])).as_deref(),
            Some("CONNECT_NAME_UNSUPPORTED")
        );
        let keyless = TablePlan { key: TableKey::WholeRow, ..(*plan("public", "t", &[])).clone() };
        assert_eq!(code(&keyless).as_deref(), Some("CONNECT_NO_KEY"));
    }

    #[test]
    fn what_only_the_native_engine_can_do_is_refused() {
        use segcdc_model::Fault;
        let source = segcdc_postgres::SourceConfig::parse("postgres://u:p@h/d").unwrap();
        let target = segcdc_sqlserver::TargetConfig::parse("sqlserver://u:p@h/d").unwrap();
        let config = ConnectConfig {
            engine: EngineConfig::new(source, target, "x"),
            http: crate::http::HttpConfig::new(crate::connect_url::ConnectUrl::parse("http://w:1").unwrap()),
            secrets: None,
            bootstrap: None,
            security: BrokerSecurity::default(),
            replication_factor: None,
            overrides: Vec::new(),
            full_load: FullLoad::Native,
        };
        assert!(refuse_unsupported(&config).is_ok());
        let refused = |change: &dyn Fn(&mut EngineConfig)| {
            let mut config = config.clone();
            change(&mut config.engine);
            refuse_unsupported(&config).unwrap_err().code()
        };
        assert_eq!(refused(&|engine| engine.snapshot = SnapshotMode::Only), "CONNECT_UNSUPPORTED");
        assert_eq!(refused(&|engine| engine.slot = Some("s".to_owned())), "CONNECT_UNSUPPORTED");
        let rules = segcdc_plan::RuleTexts {
            renames: vec!["public.a=dbo.b".to_owned()],
            ..segcdc_plan::RuleTexts::default()
        };
        let rules = segcdc_plan::Rules::parse(&rules).unwrap();
        assert_eq!(refused(&|engine| engine.rules = rules.clone()), "CONNECT_UNSUPPORTED");
    }
}
