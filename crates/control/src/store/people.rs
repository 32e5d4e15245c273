//! Tenants, people, and who is what where.

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
}

/// A row, in the order of the SELECTs below.
type PersonRow = (String, String, String, i64, i64);

// === impl Store ===

impl Store {
    /// The first tenant and the first super-administrator, in one transaction and only once.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`] when there is a person already.
    pub async fn found(&self, tenant: &Tenant, person: &Person) -> Result<(), StoreError> {
        let now = Millis::now().0;
        on!(self, |pool| {
            let mut work = pool.begin().await.map_err(StoreError::of)?;
            // The row's key is taken by the first who comes, so that two set-ups at once cannot both succeed.
            sqlx::query("INSERT INTO meta (name, value) VALUES ('founded', $1)")
                .bind(person.id.text())
                .execute(&mut *work)
                .await
                .map_err(StoreError::of)?;
            sqlx::query("INSERT INTO tenant (id, name, name_key, created_at) VALUES ($1, $2, $3, $4)")
                .bind(tenant.id.text())
                .bind(tenant.name.as_str())
                .bind(tenant.name.key())
                .bind(now)
                .execute(&mut *work)
                .await
                .map_err(StoreError::of)?;
            sqlx::query(
                "INSERT INTO person (id, name, name_key, password_hash, is_super, disabled, version, created_at)
                 VALUES ($1, $2, $3, $4, 1, 0, 1, $5)",
            )
            .bind(person.id.text())
            .bind(person.name.as_str())
            .bind(person.name.key())
            .bind(&person.password_hash)
            .bind(now)
            .execute(&mut *work)
            .await
            .map_err(StoreError::of)?;
            sqlx::query("INSERT INTO membership (tenant_id, person_id, role) VALUES ($1, $2, $3)")
                .bind(tenant.id.text())
                .bind(person.id.text())
                .bind(Role::Admin.as_str())
                .execute(&mut *work)
                .await
                .map_err(StoreError::of)?;
            work.commit().await.map_err(StoreError::of)
        })
    }

    /// Stores a new tenant.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`].
    pub async fn insert_tenant(&self, tenant: &Tenant) -> Result<(), StoreError> {
        on!(self, |pool| sqlx::query(
            "INSERT INTO tenant (id, name, name_key, created_at) VALUES ($1, $2, $3, $4)"
        )
        .bind(tenant.id.text())
        .bind(tenant.name.as_str())
        .bind(tenant.name.key())
        .bind(Millis::now().0)
        .execute(pool)
        .await
        .map(drop))
        .map_err(StoreError::of)
    }

    /// Whether [`Store::found`] has been called.
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
        let row: Option<PersonRow> = on!(self, |pool| sqlx::query_as(
            "SELECT id, name, password_hash, is_super, disabled FROM person WHERE name_key = $1"
        )
        .bind(name.key())
        .fetch_optional(pool)
        .await)
        .map_err(StoreError::of)?;
        row.map(Person::from_row).transpose()
    }

    /// What a person is in each tenant that they belong to.
    pub async fn memberships(&self, person: UserId) -> Result<Vec<(Tenant, Role)>, StoreError> {
        let rows: Vec<(String, String, String)> = on!(self, |pool| sqlx::query_as(
            "SELECT t.id, t.name, m.role FROM membership m JOIN tenant t ON t.id = m.tenant_id
             WHERE m.person_id = $1 ORDER BY t.name_key"
        )
        .bind(person.text())
        .fetch_all(pool)
        .await)
        .map_err(StoreError::of)?;
        let unreadable = |what| StoreError::Unreadable { what };
        rows.into_iter()
            .map(|(id, name, role)| {
                let tenant = Tenant {
                    id: id.parse().map_err(|_form| unreadable("tenant.id"))?,
                    name: name.parse().map_err(|_form| unreadable("tenant.name"))?,
                };
                Ok((tenant, Role::from_word(&role).ok_or(unreadable("membership.role"))?))
            })
            .collect()
    }
}

// === impl Person ===

impl Person {
    fn from_row(row: PersonRow) -> Result<Self, StoreError> {
        let (id, name, password_hash, is_super, disabled) = row;
        let unreadable = |what| StoreError::Unreadable { what };
        Ok(Person {
            id: id.parse().map_err(|_form| unreadable("person.id"))?,
            name: name.parse().map_err(|_form| unreadable("person.name"))?,
            password_hash,
            is_super: is_super != 0,
            disabled: disabled != 0,
        })
    }
}
