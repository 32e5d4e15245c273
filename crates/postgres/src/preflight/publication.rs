//! Whether a named publication publishes what is wanted, and whether the name of a new one is free.

use segcdc_model::{Finding, QualifiedName, Side, SourceTable, TableKind};

use super::{PreflightRequest, Purpose, listed};
use crate::error::{Operation, SourceError};
use crate::publication::{self, Publication, PublishedTable, WantedTable};
use crate::quote;
use crate::session::Session;

const CHECK: &str = "pg.publication";

/// Looks the publication up and judges it.
pub(super) async fn check(
    session: &Session,
    request: &PreflightRequest,
) -> Result<Vec<Finding>, SourceError> {
    match &request.publication {
        Some(name) => match publication::inspect(session, name).await? {
            Some(publication) => judge(&publication, request),
            None => Ok(vec![missing(name, request)?]),
        },
        None if request.purpose == Purpose::NewPipeline && is_standby(session).await? => {
            Ok(vec![needed_on_standby(request)?])
        }
        None => Ok(name_in_use(session, &request.publication_to_create).await?.into_iter().collect()),
    }
}

async fn is_standby(session: &Session) -> Result<bool, SourceError> {
    session.row(Operation::Query, "SELECT pg_is_in_recovery()").await?.flag()
}

/// A standby takes what its primary has, and no publication can be made on it.
fn needed_on_standby(request: &PreflightRequest) -> Result<Finding, SourceError> {
    let detail = "the server is a standby, where no publication can be made";
    let finding = Finding::failure(CHECK, Side::Source, "STANDBY_NEEDS_PUBLICATION", detail);
    let name = match request.publication_to_create.as_str() {
        "" => "segcdc",
        name => name,
    };
    let hint = format!("make it at the primary, and name it here: --publication {name}");
    Ok(finding.hint(hint).fix(publication::create_sql(name, &request.to_publish())?))
}

/// A publication of the name that we want for our own.
async fn name_in_use(session: &Session, name: &str) -> Result<Option<Finding>, SourceError> {
    if name.is_empty() || publication::inspect(session, name).await?.is_none() {
        return Ok(None);
    }
    let detail = format!("there is already a publication named {name}");
    Ok(Some(
        Finding::failure(CHECK, Side::Source, "PUBLICATION_EXISTS", detail)
            .hint(format!("use it with --publication {name}, give the pipeline another name, or drop it"))
            .fix(format!("DROP PUBLICATION {}", quote::identifier(name)?)),
    ))
}

fn missing(name: &str, request: &PreflightRequest) -> Result<Finding, SourceError> {
    let detail = format!("there is no publication named {name}");
    let finding = Finding::failure(CHECK, Side::Source, "PUBLICATION_MISSING", detail);
    Ok(match request.purpose {
        Purpose::NewPipeline => finding
            .hint("let the tables' owner make it, or leave --publication out to have one made")
            .fix(publication::create_sql(name, &request.to_publish())?),
        Purpose::KnownPipeline => finding.hint(
            "it was dropped; making it again does not mend the slot, which has lost changes that were made \
             without it: the tables have to be copied again",
        ),
    })
}

/// What the publication lacks.
fn judge(found: &Publication, request: &PreflightRequest) -> Result<Vec<Finding>, SourceError> {
    let mut findings = Vec::new();
    findings.extend(actions(found)?);
    findings.extend(roots(found, request)?);
    findings.extend(tables(found, request)?);
    for table in request.streamable() {
        if let Some(published) = found.tables.iter().find(|published| published.oid == table.oid) {
            findings.extend(narrowed(found, table, published, request)?);
        }
    }
    if findings.is_empty() {
        let detail = format!("the publication {} publishes all changes of the tables", found.name);
        findings.push(Finding::ok(CHECK, Side::Source, detail));
    }
    Ok(findings)
}

fn actions(found: &Publication) -> Result<Option<Finding>, SourceError> {
    let actions = [
        ("insert", found.insert),
        ("update", found.update),
        ("delete", found.delete),
        ("truncate", found.truncate),
    ];
    let lacking: Vec<_> = actions.iter().filter(|(_, there)| !there).map(|(name, _)| *name).collect();
    if lacking.is_empty() {
        return Ok(None);
    }
    let detail = format!("the publication {} does not publish {}", found.name, lacking.join(", "));
    Ok(Some(
        Finding::failure(CHECK, Side::Source, "PUBLICATION_ACTIONS", detail)
            .hint("let it publish everything; source and target would part otherwise")
            .fix(format!(
                "ALTER PUBLICATION {} SET (publish = 'insert, update, delete, truncate')",
                quote::identifier(&found.name)?
            )),
    ))
}

fn roots(found: &Publication, request: &PreflightRequest) -> Result<Option<Finding>, SourceError> {
    if found.via_root || !request.streamable().any(|table| table.kind == TableKind::Partitioned) {
        return Ok(None);
    }
    let detail = format!("the publication {} publishes partitions instead of their roots", found.name);
    Ok(Some(
        Finding::failure(CHECK, Side::Source, "PUBLICATION_VIA_ROOT", detail)
            .hint("let it publish changes as the root's, or name the partitions in --tables")
            .fix(format!(
                "ALTER PUBLICATION {} SET (publish_via_partition_root = true)",
                quote::identifier(&found.name)?
            )),
    ))
}

fn tables(found: &Publication, request: &PreflightRequest) -> Result<Option<Finding>, SourceError> {
    let is_published = |table: &SourceTable| {
        // Without via_root a root's place is taken by its partitions, of which the finding above speaks.
        let by_partitions = table.kind == TableKind::Partitioned && !found.via_root;
        by_partitions || found.tables.iter().any(|published| published.oid == table.oid)
    };
    let lacking: Vec<QualifiedName> =
        request.streamable().filter(|table| !is_published(table)).map(|table| table.name.clone()).collect();
    if lacking.is_empty() {
        return Ok(None);
    }
    let detail = format!("the publication {} does not publish {}", found.name, listed(&lacking));
    let wanted: Vec<WantedTable> = lacking.iter().map(|table| request.wanted(table)).collect();
    Ok(Some(
        Finding::failure(CHECK, Side::Source, "PUBLICATION_TABLES", detail)
            .hint("let the tables' owner add them, or leave them out of --tables")
            .fix(publication::add_tables_sql(&found.name, &wanted)?),
    ))
}

/// A column list or row filter.
fn narrowed(
    found: &Publication,
    table: &SourceTable,
    published: &PublishedTable,
    request: &PreflightRequest,
) -> Result<Option<Finding>, SourceError> {
    let is_listed = |name: &String| {
        published.columns.as_ref().is_none_or(|columns| columns.iter().any(|column| column == name))
    };
    let is_wanted =
        |name: &String| request.columns.get(&table.oid).is_none_or(|columns| columns.contains(name));
    let lacking = table.columns.iter().filter(|column| !column.generated).map(|column| &column.name);
    let lacking = lacking.filter(|name| is_wanted(name) && !is_listed(name));
    let lacking: Vec<&str> = lacking.map(String::as_str).collect();
    let wanted = request.wanted(&table.name);
    let (code, what) = if published.row_filter.is_some() && wanted.filter.is_none() {
        ("PUBLICATION_ROW_FILTER", "only the rows that a condition selects".to_owned())
    } else if published.row_filter.is_none() && wanted.filter.is_some() {
        ("PUBLICATION_ROW_FILTER", "all rows, and not those of --where alone".to_owned())
    } else if lacking.is_empty() {
        return Ok(None);
    } else {
        ("PUBLICATION_COLUMNS", format!("not the columns {}", lacking.join(", ")))
    };
    let detail = format!("the publication {} publishes of {} {what}", found.name, table.name);
    let whole = [table.name.clone()];
    Ok(Some(
        Finding::failure(CHECK, Side::Source, code, detail)
            .hint("let it publish all that is wanted of the table; source and target would part otherwise")
            .fix(publication::drop_tables_sql(&found.name, &whole)?)
            .fix(publication::add_tables_sql(&found.name, &[wanted])?),
    ))
}
