//! The people of one tenant.

use super::people::Person;
use super::{StoreError, TenantStore, on};
use crate::access::Role;
use crate::clock::Millis;
use crate::id::UserId;

/// A person of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub person: Person,
    /// What they are here.
    pub role: Role,
}

/// What is changed of a person of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemberChange {
    /// What they are here.
    pub role: Option<Role>,
    /// Whether they may not sign in, anywhere.
    pub disabled: Option<bool>,
    /// The hash of their new password.
    pub password_hash: Option<String>,
}

/// What became of a change that could leave a tenant without anybody who manages it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It was made.
    Done,
    /// It was not made: nobody would be left.
    LastAdmin,
}

/// A row, in the order of the SELECTs below.
#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    name: String,
    password_hash: String,
    is_super: i64,
    disabled: i64,
    version: i64,
    created_at: i64,
    role: String,
}

// === impl TenantStore ===

impl TenantStore<'_> {
    /// The people behind `after` in the order of their names, at most `limit`.
    pub async fn members(&self, after: Option<&str>, limit: i64) -> Result<Vec<Member>, StoreError> {
        let rows: Vec<Row> = on!(self.store, |pool| {
            sqlx::query_as(
            "SELECT p.id, p.name, p.password_hash, p.is_super, p.disabled, p.version, p.created_at, m.role
             FROM membership m JOIN person p ON p.id = m.person_id
             WHERE m.tenant_id = $1 AND p.name_key > $2 ORDER BY p.name_key LIMIT $3"
        )
        .bind(self.tenant.text())
        .bind(after.unwrap_or_default())
        .bind(limit)
        .fetch_all(pool)
        .await
        })
        .map_err(StoreError::of)?;
        rows.into_iter().map(Row::read).collect()
    }

    /// One of the people.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], also for one of another tenant.
    pub async fn member(&self, id: UserId) -> Result<Member, StoreError> {
        let row: Row = on!(self.store, |pool| sqlx::query_as(
            "SELECT p.id, p.name, p.password_hash, p.is_super, p.disabled, p.version, p.created_at, m.role
             FROM membership m JOIN person p ON p.id = m.person_id WHERE m.tenant_id = $1 AND m.person_id = $2"
        )
        .bind(self.tenant.text())
        .bind(id.text())
        .fetch_one(pool)
        .await)
        .map_err(StoreError::of)?;
        row.read()
    }

    /// Stores a new person of this tenant.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`].
    pub async fn insert_member(&self, person: &Person, role: Role) -> Result<(), StoreError> {
        on!(self.store, |pool| {
            let mut work = pool.begin().await.map_err(StoreError::of)?;
            sqlx::query(
                "INSERT INTO person (id, name, name_key, password_hash, is_super, disabled, version, created_at)
                 VALUES ($1, $2, $3, $4, 0, 0, 1, $5)",
            )
            .bind(person.id.text())
            .bind(person.name.as_str())
            .bind(person.name.key())
            .bind(&person.password_hash)
            .bind(Millis::now().0)
            .execute(&mut *work)
            .await
            .map_err(StoreError::of)?;
            sqlx::query("INSERT INTO membership (tenant_id, person_id, role) VALUES ($1, $2, $3)")
                .bind(self.tenant.text())
                .bind(person.id.text())
                .bind(role.as_str())
                .execute(&mut *work)
                .await
                .map_err(StoreError::of)?;
            work.commit().await.map_err(StoreError::of)
        })
    }

    /// Lets a person who is there already into this tenant, or changes what they are here.
    pub async fn join(&self, person: UserId, role: Role) -> Result<(), StoreError> {
        on!(self.store, |pool| sqlx::query(
            "INSERT INTO membership (tenant_id, person_id, role) VALUES ($1, $2, $3)"
        )
        .bind(self.tenant.text())
        .bind(person.text())
        .bind(role.as_str())
        .execute(pool)
        .await
        .map(drop))
        .map_err(StoreError::of)
    }

    /// Changes a person of version `version`.
    ///
    /// # Errors
    /// [`StoreError::Changed`] when they have another version by now, [`StoreError::NotFound`].
    pub async fn update_member(
        &self,
        id: UserId,
        change: &MemberChange,
        version: i64,
    ) -> Result<Kept, StoreError> {
        let outcome = on!(self.store, |pool| {
            let mut work = pool.begin().await.map_err(StoreError::of)?;
            // Whoever changes people of this tenant waits here: two administrators cannot remove each other at once.
            sqlx::query("UPDATE tenant SET name = name WHERE id = $1")
                .bind(self.tenant.text())
                .execute(&mut *work)
                .await
                .map_err(StoreError::of)?;
            let (before,): (i64,) = sqlx::query_as(ADMINS)
                .bind(self.tenant.text())
                .fetch_one(&mut *work)
                .await
                .map_err(StoreError::of)?;
            let touched = sqlx::query(
                "UPDATE person
                 SET disabled = COALESCE($3, disabled), password_hash = COALESCE($4, password_hash), version = version + 1
                 WHERE id = $1 AND version = $2
                   AND EXISTS (SELECT 1 FROM membership WHERE tenant_id = $5 AND person_id = $1)",
            )
            .bind(id.text())
            .bind(version)
            .bind(change.disabled.map(i64::from))
            .bind(&change.password_hash)
            .bind(self.tenant.text())
            .execute(&mut *work)
            .await
            .map_err(StoreError::of)?
            .rows_affected();
            sqlx::query(
                "UPDATE membership SET role = COALESCE($3, role) WHERE tenant_id = $1 AND person_id = $2",
            )
            .bind(self.tenant.text())
            .bind(id.text())
            .bind(change.role.map(Role::as_str))
            .execute(&mut *work)
            .await
            .map_err(StoreError::of)?;
            let (admins,): (i64,) = sqlx::query_as(ADMINS)
                .bind(self.tenant.text())
                .fetch_one(&mut *work)
                .await
                .map_err(StoreError::of)?;
            match (touched, admins) {
                (0, _) => work.rollback().await.map(|()| None).map_err(StoreError::of)?,
                (_, 0) if before > 0 => {
                    work.rollback().await.map(|()| Some(Kept::LastAdmin)).map_err(StoreError::of)?
                }
                _ => work.commit().await.map(|()| Some(Kept::Done)).map_err(StoreError::of)?,
            }
        });
        match outcome {
            Some(kept) => Ok(kept),
            None => Err(StoreError::Changed { found: self.member(id).await?.person.version }),
        }
    }

    /// Takes a person out of this tenant, with their sessions and tokens here; one who is in no other tenant and manages
    /// none is deleted.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn remove_member(&self, id: UserId) -> Result<Kept, StoreError> {
        const HERE: [&str; 3] = [
            "DELETE FROM session WHERE tenant_id = $1 AND person_id = $2",
            "DELETE FROM api_token WHERE tenant_id = $1 AND person_id = $2",
            "DELETE FROM membership WHERE tenant_id = $1 AND person_id = $2",
        ];
        on!(self.store, |pool| {
            let mut work = pool.begin().await.map_err(StoreError::of)?;
            sqlx::query("UPDATE tenant SET name = name WHERE id = $1")
                .bind(self.tenant.text())
                .execute(&mut *work)
                .await
                .map_err(StoreError::of)?;
            let (before,): (i64,) = sqlx::query_as(ADMINS)
                .bind(self.tenant.text())
                .fetch_one(&mut *work)
                .await
                .map_err(StoreError::of)?;
            let mut touched = 0;
            for statement in HERE {
                touched = sqlx::query(statement)
                    .bind(self.tenant.text())
                    .bind(id.text())
                    .execute(&mut *work)
                    .await
                    .map_err(StoreError::of)?
                    .rows_affected();
            }
            let (admins,): (i64,) = sqlx::query_as(ADMINS)
                .bind(self.tenant.text())
                .fetch_one(&mut *work)
                .await
                .map_err(StoreError::of)?;
            if touched == 0 || (before > 0 && admins == 0) {
                work.rollback().await.map_err(StoreError::of)?;
                return if touched == 0 { Err(StoreError::NotFound) } else { Ok(Kept::LastAdmin) };
            }
            for statement in [
                "DELETE FROM session WHERE person_id = $1
                 AND NOT EXISTS (SELECT 1 FROM membership WHERE person_id = $1)
                 AND NOT EXISTS (SELECT 1 FROM person WHERE id = $1 AND is_super = 1)",
                "DELETE FROM person WHERE id = $1 AND is_super = 0
                 AND NOT EXISTS (SELECT 1 FROM membership WHERE person_id = $1)",
            ] {
                sqlx::query(statement).bind(id.text()).execute(&mut *work).await.map_err(StoreError::of)?;
            }
            work.commit().await.map_err(StoreError::of)?;
            Ok(Kept::Done)
        })
    }
}

/// How many people manage a tenant and may sign in.
const ADMINS: &str = "SELECT COUNT(*) FROM membership m JOIN person p ON p.id = m.person_id
     WHERE m.tenant_id = $1 AND m.role = 'admin' AND p.disabled = 0";

// === impl Row ===

impl Row {
    fn read(self) -> Result<Member, StoreError> {
        let unreadable = |what| StoreError::Unreadable { what };
        Ok(Member {
            person: Person {
                id: self.id.parse().map_err(|_form| unreadable("person.id"))?,
                name: self.name.parse().map_err(|_form| unreadable("person.name"))?,
                password_hash: self.password_hash,
                is_super: self.is_super != 0,
                disabled: self.disabled != 0,
                version: self.version,
                created_at: Millis(self.created_at),
            },
            role: Role::from_word(&self.role).ok_or(unreadable("membership.role"))?,
        })
    }
}
