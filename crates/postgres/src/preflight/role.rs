//! What the role may do.

use segcdc_model::{Finding, QualifiedName, Side};

use super::{PreflightRequest, listed};
use crate::error::{Operation, SourceError};
use crate::session::Session;
use crate::{publication, quote};

/// Roles of managed services whose members may replicate without the attribute.
const MANAGED_ROLES: [&str; 4] =
    ["rds_replication", "cloudsqlreplication", "azure_replication", "alloydbreplication"];

/// What the role may do.
#[derive(Debug, Clone)]
pub(super) struct RoleFacts {
    user: String,
    database: String,
    superuser: bool,
    replication: bool,
    /// May create publications in the database.
    create: bool,
    /// A role of [`MANAGED_ROLES`] that is there.
    managed: Option<String>,
    /// What it may do with each table, in the order of the request.
    tables: Vec<TableRights>,
}

/// What the role may do with a table.
#[derive(Debug, Clone)]
struct TableRights {
    name: QualifiedName,
    owner: bool,
    schema: bool,
    select: bool,
    /// Some rows may be hidden.
    row_security: bool,
}

/// Asks.
pub(super) async fn read(session: &Session, request: &PreflightRequest) -> Result<RoleFacts, SourceError> {
    let managed = quote::literal_list(MANAGED_ROLES)?;
    let sql = format!(
        "SELECT r.rolname, current_database(), r.rolsuper, r.rolreplication OR EXISTS (SELECT FROM pg_roles m \
           WHERE m.rolname IN ({managed}) AND pg_has_role(m.oid, 'MEMBER')), \
         has_database_privilege(current_database(), 'CREATE'), \
         (SELECT min(m.rolname) FROM pg_roles m WHERE m.rolname IN ({managed})) \
         FROM pg_roles r WHERE r.rolname = current_user"
    );
    let mut row = session.row(Operation::Query, &sql).await?;
    let mut facts = RoleFacts {
        user: row.text()?,
        database: row.text()?,
        superuser: row.flag()?,
        replication: row.flag()?,
        create: row.flag()?,
        managed: row.optional()?,
        tables: Vec::new(),
    };
    let oids: Vec<_> = request.streamable().map(|table| table.oid.to_string()).collect();
    if oids.is_empty() {
        return Ok(facts);
    }
    let sql = format!(
        "SELECT n.nspname, c.relname, pg_has_role(c.relowner, 'USAGE'), has_schema_privilege(n.oid, 'USAGE'), \
         has_table_privilege(c.oid, 'SELECT'), row_security_active(c.oid) \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.oid IN ({}) ORDER BY n.nspname, c.relname",
        oids.join(",")
    );
    for mut row in session.rows(Operation::Query, &sql).await? {
        facts.tables.push(TableRights {
            name: QualifiedName::new(row.text()?, row.text()?),
            owner: row.flag()?,
            schema: row.flag()?,
            select: row.flag()?,
            row_security: row.flag()?,
        });
    }
    Ok(facts)
}

/// What it means.
pub(super) fn judge(facts: &RoleFacts, request: &PreflightRequest) -> Result<Vec<Finding>, SourceError> {
    let mut findings = vec![replication(facts)?];
    if request.publication.is_none() {
        findings.push(publication_right(facts, request)?);
    }
    findings.push(schemas(facts)?);
    findings.push(select(facts)?);
    findings.push(row_security(facts)?);
    Ok(findings)
}

fn replication(facts: &RoleFacts) -> Result<Finding, SourceError> {
    let (check, user) = ("pg.replication_right", &facts.user);
    if facts.superuser || facts.replication {
        return Ok(Finding::ok(check, Side::Source, format!("the role {user} may replicate")));
    }
    let role = quote::identifier(user)?;
    let fix = match &facts.managed {
        Some(managed) => format!("GRANT {} TO {role}", quote::identifier(managed)?),
        None => format!("ALTER ROLE {role} REPLICATION"),
    };
    let detail = format!("the role {user} may not replicate");
    Ok(Finding::failure(check, Side::Source, "PERMISSION_REPLICATION", detail)
        .hint("let a superuser, or the administrator of the managed service, give it the right")
        .fix(fix))
}

/// CREATE PUBLICATION ... FOR TABLE needs CREATE on the database and every table's ownership.
fn publication_right(facts: &RoleFacts, request: &PreflightRequest) -> Result<Finding, SourceError> {
    const CHECK: &str = "pg.publication_right";
    const CODE: &str = "PERMISSION_PUBLICATION";
    let user = &facts.user;
    let foreign: Vec<_> = facts.tables.iter().filter(|table| !table.owner).map(|table| &table.name).collect();
    if facts.superuser || facts.create && foreign.is_empty() {
        let detail = format!("the role {user} may publish the tables");
        return Ok(Finding::ok(CHECK, Side::Source, detail));
    }
    let (role, database) = (quote::identifier(user)?, quote::identifier(&facts.database)?);
    if foreign.is_empty() {
        let detail =
            format!("the role {user} may not create a publication in the database {}", facts.database);
        return Ok(Finding::failure(CHECK, Side::Source, CODE, detail)
            .hint("let the owner of the database give it the right")
            .fix(format!("GRANT CREATE ON DATABASE {database} TO {role}")));
    }
    let name = &request.publication_to_create;
    let detail = format!("the role {user} does not own {} and so may not publish them", listed(foreign));
    Ok(Finding::failure(CHECK, Side::Source, CODE, detail)
        .hint(format!(
            "let their owner or a superuser make the publication, then start with --publication {name}"
        ))
        .fix(publication::create_sql(name, &request.to_publish())?))
}

fn schemas(facts: &RoleFacts) -> Result<Finding, SourceError> {
    let (check, user) = ("pg.schema_right", &facts.user);
    let mut closed: Vec<_> =
        facts.tables.iter().filter(|table| !table.schema).map(|table| table.name.schema.as_str()).collect();
    closed.dedup();
    if closed.is_empty() {
        let detail = format!("the role {user} may look into the tables' schemas");
        return Ok(Finding::ok(check, Side::Source, detail));
    }
    let role = quote::identifier(user)?;
    let detail = format!("the role {user} may not look into the schemas {}", closed.join(", "));
    let mut finding = Finding::failure(check, Side::Source, "PERMISSION_SCHEMA", detail)
        .hint("let the schema's owner give it the right");
    for schema in closed {
        finding = finding.fix(format!("GRANT USAGE ON SCHEMA {} TO {role}", quote::identifier(schema)?));
    }
    Ok(finding)
}

fn select(facts: &RoleFacts) -> Result<Finding, SourceError> {
    let (check, user) = ("pg.select_right", &facts.user);
    let closed: Vec<_> =
        facts.tables.iter().filter(|table| !table.select).map(|table| table.name.clone()).collect();
    if closed.is_empty() {
        return Ok(Finding::ok(check, Side::Source, format!("the role {user} may read the tables")));
    }
    let detail = format!("the role {user} may not read {}", listed(&closed));
    let fix = format!("GRANT SELECT ON {} TO {}", quote::qualified_list(&closed)?, quote::identifier(user)?);
    Ok(Finding::failure(check, Side::Source, "PERMISSION_SELECT", detail)
        .hint("let the tables' owner give it the right")
        .fix(fix))
}

fn row_security(facts: &RoleFacts) -> Result<Finding, SourceError> {
    let (check, user) = ("pg.row_security", &facts.user);
    let hidden: Vec<_> =
        facts.tables.iter().filter(|table| table.row_security).map(|table| &table.name).collect();
    if hidden.is_empty() {
        let detail = format!("no row is hidden from the role {user}");
        return Ok(Finding::ok(check, Side::Source, detail));
    }
    let detail = format!("row security hides rows of {} from the role {user}", listed(hidden));
    Ok(Finding::failure(check, Side::Source, "ROW_SECURITY", detail)
        .hint("the copy would lack rows that the stream has; let a superuser exempt the role")
        .fix(format!("ALTER ROLE {} BYPASSRLS", quote::identifier(user)?)))
}
