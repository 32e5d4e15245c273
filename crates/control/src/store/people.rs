//! Tenants, people, and who is what where.

use super::work::{Work, execute};
use super::{Store, StoreError, on};
use crate::access::Role;
use crate::clock::Millis;
use crate::id::{TenantId, UserId};
use crate::name::ResourceName;

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// Its name.
    pub name: ResourceName,
    /// When it was made.
    pub created_at: Millis,
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Their id.
    pub id: UserId,
    /// Their name, by which they log in.
    pub name: ResourceName,
    /// The hash of their password.
    pub password_hash: String,
    /// Whether they manage tenants.
    pub is_super: bool,
    /// Whether they may not log in.
    pub disabled: bool,
    /// Grows with each change.
    pub version: i64,
    /// When they were made.
    pub created_at: Millis,
}

/// A row, in the order of `select!`.
type PersonRow = (String, String, String, i64, i64, i64, i64);

/// A row, in the order of the SELECTs below.
type TenantRow = (String, String, i64);

/// What is selected of a person, in the order of `PersonRow`.
macro_rules! select {
    ($where:literal) => {
        concat!(
            "SELECT id, name, password_hash, is_super, disabled, version, created_at FROM person WHERE ",
            $where
        )
    };
}

// === impl Work ===

impl Work {
    /// The first tenant, whose work this is, and the first super-administrator. Once.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`] when there is a person already.
    pub async fn found(&mut self, tenant: &Tenant, person: &Person) -> Result<(), StoreError> {
        // The row's key is taken by the first who comes, so that two set-ups at once cannot both succeed.
        execute!(self, "INSERT INTO meta (name, value) VALUES ('founded', $1)", person.id.text())?;
        self.insert_tenant(tenant).await?;
        self.insert_member(person, Role::Admin).await
    }

    /// Stores a new tenant.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`].
    pub async fn insert_tenant(&mut self, tenant: &Tenant) -> Result<(), StoreError> {
        execute!(
            self,
            "INSERT INTO tenant (id, name, name_key, created_at) VALUES ($1, $2, $3, $4)",
            tenant.id.text(),
            tenant.name.as_str(),
            tenant.name.key(),
            tenant.created_at.0,
        )
        .map(drop)
    }

    /// Stores a new person.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`].
    pub(super) async fn insert_person(&mut self, person: &Person) -> Result<(), StoreError> {
        execute!(
            self,
            "INSERT INTO person (id, name, name_key, password_hash, is_super, disabled, version, created_at)
             VALUES ($1, $2, $3, $4, $5, 0, 1, $6)",
            person.id.text(),
            person.name.as_str(),
            person.name.key(),
            &person.password_hash,
            i64::from(person.is_super),
            person.created_at.0,
        )
        .map(drop)
    }

    /// Gives a person another password.
    pub async fn set_password(&mut self, id: UserId, hash: &str) -> Result<(), StoreError> {
        let sql = "UPDATE person SET password_hash = $2, version = version + 1 WHERE id = $1";
        execute!(self, sql, id.text(), hash).map(drop)
    }

    /// Deletes a tenant with its sessions, tokens and operations, and the people who are in no other.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::InUseByPipeline`] while there are connections or pipelines.
    pub async fn delete_tenant(&mut self, id: TenantId) -> Result<(), StoreError> {
        const STEPS: [&str; 6] = [
            "DELETE FROM session WHERE tenant_id = $1
             OR person_id IN (SELECT person_id FROM membership WHERE tenant_id = $1)",
            "DELETE FROM api_token WHERE tenant_id = $1",
            "DELETE FROM operation WHERE tenant_id = $1",
            "DELETE FROM membership WHERE tenant_id = $1",
            // Whoever has no tenant any more was of this one; the id is named so that all steps take it.
            "DELETE FROM person WHERE is_super = 0 AND id <> $1
             AND NOT EXISTS (SELECT 1 FROM membership WHERE person_id = person.id)",
            "DELETE FROM tenant WHERE id = $1",
        ];
        let mut touched = 0;
        for sql in STEPS {
            touched = execute!(self, sql, id.text())?;
        }
        if touched == 0 { Err(StoreError::NotFound) } else { Ok(()) }
    }
}

// === impl Store ===

impl Store {
    /// Whether [`Work::found`] has come about.
    pub async fn is_founded(&self) -> Result<bool, StoreError> {
        let row: Option<(String,)> =
            on!(self, |pool| sqlx::query_as("SELECT value FROM meta WHERE name = 'founded'")
                .fetch_optional(pool)
                .await)
            .map_err(StoreError::of)?;
        Ok(row.is_some())
    }

    /// The person of a name, whatever its case.
    pub async fn person_named(&self, name: &ResourceName) -> Result<Option<Person>, StoreError> {
        let row: Option<PersonRow> = on!(self, |pool| sqlx::query_as(select!("name_key = $1"))
            .bind(name.key())
            .fetch_optional(pool)
            .await)
        .map_err(StoreError::of)?;
        row.map(Person::from_row).transpose()
    }

    /// The person of an id.
    pub async fn person(&self, id: UserId) -> Result<Option<Person>, StoreError> {
        let row: Option<PersonRow> =
            on!(self, |pool| sqlx::query_as(select!("id = $1")).bind(id.text()).fetch_optional(pool).await)
                .map_err(StoreError::of)?;
        row.map(Person::from_row).transpose()
    }

    /// Keeps the same password under a stronger hash. That is no change that anybody made.
    pub async fn rehash_password(&self, id: UserId, old: &str, new: &str) -> Result<(), StoreError> {
        on!(self, |pool| sqlx::query(
            "UPDATE person SET password_hash = $3 WHERE id = $1 AND password_hash = $2"
        )
        .bind(id.text())
        .bind(old)
        .bind(new)
        .execute(pool)
        .await
        .map(drop))
        .map_err(StoreError::of)
    }

    /// The tenants behind `after` in the order of their names, at most `limit`.
    pub async fn tenants(&self, after: Option<&str>, limit: i64) -> Result<Vec<Tenant>, StoreError> {
        let rows: Vec<TenantRow> = on!(self, |pool| sqlx::query_as(
            "SELECT id, name, created_at FROM tenant WHERE name_key > $1 ORDER BY name_key LIMIT $2"
        )
        .bind(after.unwrap_or_default())
        .bind(limit)
        .fetch_all(pool)
        .await)
        .map_err(StoreError::of)?;
        rows.into_iter().map(Tenant::from_row).collect()
    }

    /// The tenant of an id.
    pub async fn tenant_of(&self, id: TenantId) -> Result<Option<Tenant>, StoreError> {
        let row: Option<TenantRow> =
            on!(self, |pool| sqlx::query_as("SELECT id, name, created_at FROM tenant WHERE id = $1")
                .bind(id.text())
                .fetch_optional(pool)
                .await)
            .map_err(StoreError::of)?;
        row.map(Tenant::from_row).transpose()
    }

    /// A fact about the store as a whole.
    pub async fn fact(&self, name: &str) -> Result<Option<String>, StoreError> {
        let row: Option<(String,)> =
            on!(self, |pool| sqlx::query_as("SELECT value FROM meta WHERE name = $1")
                .bind(name)
                .fetch_optional(pool)
                .await)
            .map_err(StoreError::of)?;
        Ok(row.map(|(value,)| value))
    }

    /// Stores a fact about the store as a whole, once.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`] when it is there.
    pub async fn set_fact(&self, name: &str, value: &str) -> Result<(), StoreError> {
        on!(self, |pool| sqlx::query("INSERT INTO meta (name, value) VALUES ($1, $2)")
            .bind(name)
            .bind(value)
            .execute(pool)
            .await
            .map(drop))
        .map_err(StoreError::of)
    }

    /// What a person is in each tenant that they belong to.
    pub async fn memberships(&self, person: UserId) -> Result<Vec<(Tenant, Role)>, StoreError> {
        let rows: Vec<(String, String, i64, String)> = on!(self, |pool| {
            sqlx::query_as(
            "SELECT t.id, t.name, t.created_at, m.role FROM membership m JOIN tenant t ON t.id = m.tenant_id
             WHERE m.person_id = $1 ORDER BY t.name_key"
        )
        .bind(person.text())
        .fetch_all(pool)
        .await
        })
        .map_err(StoreError::of)?;
        rows.into_iter()
            .map(|(id, name, created_at, role)| {
                let role =
                    Role::from_word(&role).ok_or(StoreError::Unreadable { what: "membership.role" })?;
                Ok((Tenant::from_row((id, name, created_at))?, role))
            })
            .collect()
    }
}

// === impl Tenant ===

impl Tenant {
    fn from_row(row: TenantRow) -> Result<Self, StoreError> {
        let (id, name, created_at) = row;
        let unreadable = |what| StoreError::Unreadable { what };
        Ok(Tenant {
            id: id.parse().map_err(|_form| unreadable("tenant.id"))?,
            name: name.parse().map_err(|_form| unreadable("tenant.name"))?,
            created_at: Millis(created_at),
        })
    }
}

// === impl Person ===

impl Person {
    fn from_row(row: PersonRow) -> Result<Self, StoreError> {
        let (id, name, password_hash, is_super, disabled, version, created_at) = row;
        let unreadable = |what| StoreError::Unreadable { what };
        Ok(Person {
            id: id.parse().map_err(|_form| unreadable("person.id"))?,
            name: name.parse().map_err(|_form| unreadable("person.name"))?,
            password_hash,
            is_super: is_super != 0,
            disabled: disabled != 0,
            version,
            created_at: Millis(created_at),
        })
    }
}
