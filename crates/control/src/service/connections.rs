//! Connections: address and options in clear, the password sealed for exactly this connection.

use std::fmt;

use segcdc_model::Secret;
use serde_json::{Value, json};

use super::record::Line;
use super::{Actor, Control, Page, PageOf};
use crate::access::Right;
use crate::clock::Millis;
use crate::connection::{Draft, Settings, check_secret};
use crate::error::ControlError;
use crate::field::{FieldError, FieldProblem, FieldProblems, Findings};
use crate::id::{ConnectionId, TenantId};
use crate::name::ResourceName;
use crate::seal::Place;
use crate::store::{Connection, ConnectionKind, NewConnection, StoreError};

/// The field that a connection's secret is sealed for.
const PASSWORD: &str = "password";

/// A connection as it is shown. Its secret is not in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionView {
    /// Its id.
    pub id: ConnectionId,
    /// Its name.
    pub name: ResourceName,
    /// Its fields.
    pub settings: Settings,
    /// Whether a password is kept for it.
    pub has_password: bool,
    /// Grows with each change.
    pub version: i64,
    /// When it was made.
    pub created_at: Millis,
    /// When it was changed last.
    pub updated_at: Millis,
}

/// What becomes of a secret.
#[derive(Debug, Clone, Default)]
pub enum SecretChange {
    /// It stays.
    #[default]
    Keep,
    /// It is forgotten.
    Clear,
    /// It is replaced.
    Set(Secret<String>),
}

/// What is to be changed of a connection.
pub struct ConnectionChange {
    /// Its new name.
    pub name: Option<ResourceName>,
    /// Makes the fields that it shall have of those that it has.
    pub fields: Box<dyn FnOnce(Draft) -> Draft + Send>,
    /// What becomes of its password.
    pub password: SecretChange,
}

// === impl Control ===

impl Control {
    /// The tenant's connections, in the order of their names.
    ///
    /// # Errors
    /// The store's.
    pub async fn connections(
        &self,
        actor: &Actor,
        page: PageOf<'_>,
    ) -> Result<Page<ConnectionView>, ControlError> {
        actor.may(Right::View)?;
        let found = self.of(actor).connections(page.after, page.rows()).await?;
        let views = found.into_iter().map(ConnectionView::of).collect::<Result<Vec<_>, _>>()?;
        Ok(Page::of(views, page, |view| view.name.key()))
    }

    /// One connection.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn connection(&self, actor: &Actor, id: ConnectionId) -> Result<ConnectionView, ControlError> {
        actor.may(Right::View)?;
        ConnectionView::of(self.of(actor).connection(id).await?)
    }

    /// Makes a connection.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NAME_TAKEN`, and all that is wrong with its fields.
    pub async fn create_connection(
        &self,
        actor: &Actor,
        name: ResourceName,
        kind: ConnectionKind,
        draft: &Draft,
        password: Option<Secret<String>>,
    ) -> Result<ConnectionView, ControlError> {
        let id = ConnectionId::generate();
        let mut line = Line::of(actor, "connection.create", format!("connection/{id}"));
        let outcome = async {
            actor.may(Right::Edit)?;
            let settings = checked(draft, kind, password.as_ref())?;
            let sealed = self.seal_for(actor, id, password.as_ref())?;
            line.after = Some(shown(&name, &settings, sealed.is_some()));
            let new = NewConnection { id, name, kind, settings: text_of(&settings)?, sealed };
            let tenant = self.of(actor);
            let mut work = tenant.begin().await?;
            work.insert_connection(&new).await?;
            self.commit(work, &mut line).await?;
            ConnectionView::of(tenant.connection(id).await?)
        }
        .await;
        self.record(line, outcome).await
    }

    /// Changes a connection of version `version`, or of whatever version.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NOT_FOUND`, `VERSION_CONFLICT`, `NAME_TAKEN`, `PASSWORD_REQUIRED_ON_HOST_CHANGE`, and all that is
    /// wrong with its fields.
    pub async fn change_connection(
        &self,
        actor: &Actor,
        id: ConnectionId,
        change: ConnectionChange,
        version: Option<i64>,
    ) -> Result<ConnectionView, ControlError> {
        let mut line = Line::of(actor, "connection.change", format!("connection/{id}"));
        let outcome = self.try_change_connection(actor, id, change, version, &mut line).await;
        self.record(line, outcome).await
    }

    async fn try_change_connection(
        &self,
        actor: &Actor,
        id: ConnectionId,
        change: ConnectionChange,
        version: Option<i64>,
        line: &mut Line,
    ) -> Result<ConnectionView, ControlError> {
        actor.may(Right::Edit)?;
        let tenant = self.of(actor);
        let stored = tenant.connection(id).await?;
        let sealed = stored.sealed.clone();
        let before = ConnectionView::of(stored)?;
        line.before = Some(shown(&before.name, &before.settings, before.has_password));
        let draft = (change.fields)(Draft::of(&before.settings));
        let kind = before.settings.kind();
        let settings = match &change.password {
            SecretChange::Set(password) => checked(&draft, kind, Some(password))?,
            SecretChange::Keep | SecretChange::Clear => checked(&draft, kind, None)?,
        };
        let sealed = match &change.password {
            SecretChange::Keep if sealed.is_some() && before.settings.exposes(&settings) => {
                return Err(FieldProblems::one(PASSWORD, FieldError::SecretNeeded).into());
            }
            SecretChange::Keep => sealed,
            SecretChange::Clear => None,
            SecretChange::Set(password) => self.seal_for(actor, id, Some(password))?,
        };
        let name = change.name.unwrap_or(before.name);
        let mut after = shown(&name, &settings, sealed.is_some());
        if let (false, Some(fields)) = (matches!(change.password, SecretChange::Keep), after.as_object_mut())
        {
            fields.insert(PASSWORD.to_owned(), "changed".into());
        }
        line.after = Some(after);
        let changed = NewConnection { id, name, kind, settings: text_of(&settings)?, sealed };
        let mut work = tenant.begin().await?;
        work.update_connection(&changed, version.unwrap_or(before.version)).await?;
        self.commit(work, line).await?;
        ConnectionView::of(tenant.connection(id).await?)
    }

    /// Deletes a connection that no pipeline uses.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NOT_FOUND`, `CONNECTION_IN_USE`, `VERSION_CONFLICT`.
    pub async fn delete_connection(
        &self,
        actor: &Actor,
        id: ConnectionId,
        version: Option<i64>,
    ) -> Result<(), ControlError> {
        let mut line = Line::of(actor, "connection.delete", format!("connection/{id}"));
        let outcome = async {
            actor.may(Right::Edit)?;
            let tenant = self.of(actor);
            let before = ConnectionView::of(tenant.connection(id).await?)?;
            line.before = Some(shown(&before.name, &before.settings, before.has_password));
            if version.is_some_and(|version| version != before.version) {
                return Err(StoreError::Changed { found: before.version }.into());
            }
            let mut work = tenant.begin().await?;
            work.delete_connection(id).await?;
            self.commit(work, &mut line).await
        }
        .await;
        self.record(line, outcome).await
    }

    /// The password of one connection of a tenant.
    pub(super) fn open_for(
        &self,
        tenant: TenantId,
        id: ConnectionId,
        sealed: &str,
    ) -> Result<Secret<String>, ControlError> {
        let (tenant, object) = (tenant.text(), format!("connection/{id}"));
        let place = Place { tenant: &tenant, object: &object, field: PASSWORD };
        Ok(self.keys.open(sealed, place)?)
    }

    /// A password sealed for one connection of the tenant.
    fn seal_for(
        &self,
        actor: &Actor,
        id: ConnectionId,
        password: Option<&Secret<String>>,
    ) -> Result<Option<String>, ControlError> {
        let (tenant, object) = (actor.tenant.id.text(), format!("connection/{id}"));
        let place = Place { tenant: &tenant, object: &object, field: PASSWORD };
        Ok(password.map(|password| self.keys.seal(password, place)).transpose()?)
    }
}

// === impl ConnectionChange ===

impl fmt::Debug for ConnectionChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionChange")
            .field("name", &self.name)
            .field("password", &self.password)
            .finish_non_exhaustive()
    }
}

// === impl ConnectionView ===

impl ConnectionView {
    fn of(stored: Connection) -> Result<Self, ControlError> {
        let unreadable = StoreError::Unreadable { what: "connection.settings" };
        Ok(ConnectionView {
            id: stored.id,
            name: stored.name,
            settings: serde_json::from_str(&stored.settings).map_err(|_form| unreadable)?,
            has_password: stored.sealed.is_some(),
            version: stored.version,
            created_at: stored.created_at,
            updated_at: stored.updated_at,
        })
    }
}

/// Fields and password, checked together, so that all that is wrong is said at once.
pub(super) fn checked(
    draft: &Draft,
    kind: ConnectionKind,
    password: Option<&Secret<String>>,
) -> Result<Settings, ControlError> {
    let settled = draft.settle(kind);
    let mut findings = Findings::default();
    for problem in settled.as_ref().err().into_iter().flat_map(FieldProblems::all) {
        findings.push(problem.clone());
    }
    if let Some(Err(error)) = password.map(check_secret) {
        findings.push(FieldProblem::of(PASSWORD, error));
    }
    findings.finish()?;
    Ok(settled?)
}

fn text_of(settings: &Settings) -> Result<String, ControlError> {
    serde_json::to_string(settings)
        .map_err(|_form| StoreError::Unreadable { what: "connection.settings" }.into())
}

/// A connection as the audit log shows it.
fn shown(name: &ResourceName, settings: &Settings, has_password: bool) -> Value {
    json!({"name": name, "settings": settings, "has_password": has_password})
}
