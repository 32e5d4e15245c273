//! The people of one tenant.

use super::people::Person;
use super::work::{Work, execute, within};
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

/// A row of `select!`.
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

/// What is selected of a person of a tenant.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT p.id, p.name, p.password_hash, p.is_super, p.disabled, p.version, p.created_at, m.role
             FROM membership m JOIN person p ON p.id = m.person_id WHERE m.tenant_id = $1 ",
            $rest
        )
    };
}

// === impl TenantStore ===

impl TenantStore<'_> {
    /// The people behind `after` in the order of their names, at most `limit`.
    pub async fn members(&self, after: Option<&str>, limit: i64) -> Result<Vec<Member>, StoreError> {
        let rows: Vec<Row> = on!(self.store, |pool| sqlx::query_as(select!(
            "AND p.name_key > $2 ORDER BY p.name_key LIMIT $3"
        ))
        .bind(self.tenant.text())
        .bind(after.unwrap_or_default())
        .bind(limit)
        .fetch_all(pool)
        .await)
        .map_err(StoreError::of)?;
        rows.into_iter().map(Row::read).collect()
    }

    /// One of the people.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], also for one of another tenant.
    pub async fn member(&self, id: UserId) -> Result<Member, StoreError> {
        let row: Row = on!(self.store, |pool| sqlx::query_as(select!("AND m.person_id = $2"))
            .bind(self.tenant.text())
            .bind(id.text())
            .fetch_one(pool)
            .await)
        .map_err(StoreError::of)?;
        row.read()
    }
}

// === impl Work ===

impl Work {
    /// One of the people, as they are within this work.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], also for one of another tenant.
    pub async fn member(&mut self, id: UserId) -> Result<Member, StoreError> {
        let row: Row = within!(self, |connection| sqlx::query_as(select!("AND m.person_id = $2"))
            .bind(self.tenant.text())
            .bind(id.text())
            .fetch_one(connection)
            .await)
        .map_err(StoreError::of)?;
        row.read()
    }

    /// Stores a new person of this tenant.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`].
    pub async fn insert_member(&mut self, person: &Person, role: Role) -> Result<(), StoreError> {
        self.insert_person(person).await?;
        self.join(person.id, role).await
    }

    /// Lets a person who is there already into this tenant.
    pub async fn join(&mut self, person: UserId, role: Role) -> Result<(), StoreError> {
        let sql = "INSERT INTO membership (tenant_id, person_id, role) VALUES ($1, $2, $3)";
        execute!(self, sql, self.tenant.text(), person.text(), role.as_str()).map(drop)
    }

    /// Changes a person of version `version`.
    ///
    /// # Errors
    /// [`StoreError::Changed`] when they have another version by now, [`StoreError::NotFound`], [`StoreError::LastAdmin`].
    pub async fn update_member(
        &mut self,
        id: UserId,
        change: &MemberChange,
        version: i64,
    ) -> Result<(), StoreError> {
        let before = self.admins().await?;
        let touched = execute!(
            self,
            "UPDATE person
             SET disabled = COALESCE($3, disabled), password_hash = COALESCE($4, password_hash), version = version + 1
             WHERE id = $1 AND version = $2
               AND EXISTS (SELECT 1 FROM membership WHERE tenant_id = $5 AND person_id = $1)",
            id.text(),
            version,
            change.disabled.map(i64::from),
            &change.password_hash,
            self.tenant.text(),
        )?;
        if touched == 0 {
            return Err(StoreError::Changed { found: self.member(id).await?.person.version });
        }
        let sql = "UPDATE membership SET role = COALESCE($3, role) WHERE tenant_id = $1 AND person_id = $2";
        execute!(self, sql, self.tenant.text(), id.text(), change.role.map(Role::as_str))?;
        self.still_managed(before).await
    }

    /// Takes a person out of this tenant, with their sessions and tokens here; one who is in no other tenant and manages
    /// none is deleted.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::LastAdmin`].
    pub async fn remove_member(&mut self, id: UserId) -> Result<(), StoreError> {
        const HERE: [&str; 3] = [
            "DELETE FROM session WHERE tenant_id = $1 AND person_id = $2",
            "DELETE FROM api_token WHERE tenant_id = $1 AND person_id = $2",
            "DELETE FROM membership WHERE tenant_id = $1 AND person_id = $2",
        ];
        const EVERYWHERE: [&str; 2] = [
            "DELETE FROM session WHERE person_id = $1
             AND NOT EXISTS (SELECT 1 FROM membership WHERE person_id = $1)
             AND NOT EXISTS (SELECT 1 FROM person WHERE id = $1 AND is_super = 1)",
            "DELETE FROM person WHERE id = $1 AND is_super = 0
             AND NOT EXISTS (SELECT 1 FROM membership WHERE person_id = $1)",
        ];
        let before = self.admins().await?;
        let mut touched = 0;
        for sql in HERE {
            touched = execute!(self, sql, self.tenant.text(), id.text())?;
        }
        if touched == 0 {
            return Err(StoreError::NotFound);
        }
        self.still_managed(before).await?;
        for sql in EVERYWHERE {
            execute!(self, sql, id.text())?;
        }
        Ok(())
    }

    /// How many people manage this tenant and may sign in.
    async fn admins(&mut self) -> Result<i64, StoreError> {
        let (admins,): (i64,) = within!(self, |connection| sqlx::query_as(
            "SELECT COUNT(*) FROM membership m JOIN person p ON p.id = m.person_id
             WHERE m.tenant_id = $1 AND m.role = 'admin' AND p.disabled = 0"
        )
        .bind(self.tenant.text())
        .fetch_one(connection)
        .await)
        .map_err(StoreError::of)?;
        Ok(admins)
    }

    /// Whether somebody still manages this tenant, if somebody did before.
    async fn still_managed(&mut self, before: i64) -> Result<(), StoreError> {
        if before > 0 && self.admins().await? == 0 { Err(StoreError::LastAdmin) } else { Ok(()) }
    }
}

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
