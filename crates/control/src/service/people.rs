//! The people of a tenant, managed by its administrators.

use segcdc_model::Secret;
use serde_json::{Value, json};

use super::record::Line;
use super::{Actor, Control, Page, PageOf};
use crate::access::{Right, Role};
use crate::clock::Millis;
use crate::error::ControlError;
use crate::field::FieldProblems;
use crate::id::UserId;
use crate::name::ResourceName;
use crate::password;
use crate::store::{Member, MemberChange, Person};

/// A person that is to be made.
#[derive(Debug, Clone)]
pub struct NewPerson {
    /// Their name, by which they sign in.
    pub name: ResourceName,
    /// Their first password.
    pub password: Secret<String>,
    /// What they are in the tenant.
    pub role: Role,
}

/// What is to be changed of a person.
#[derive(Debug, Clone, Default)]
pub struct PersonChange {
    /// What they are in the tenant.
    pub role: Option<Role>,
    /// Whether they may not sign in.
    pub disabled: Option<bool>,
    /// A new password; all their sessions end.
    pub password: Option<Secret<String>>,
}

// === impl Control ===

impl Control {
    /// The people of the tenant, in the order of their names.
    ///
    /// # Errors
    /// `FORBIDDEN`.
    pub async fn people(&self, actor: &Actor, page: PageOf<'_>) -> Result<Page<Member>, ControlError> {
        actor.may(Right::Administer)?;
        let members = self.of(actor).members(page.after, page.rows()).await?;
        Ok(Page::of(members, page, |member| member.person.name.key()))
    }

    /// One of the people of the tenant.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NOT_FOUND`.
    pub async fn person(&self, actor: &Actor, id: UserId) -> Result<Member, ControlError> {
        actor.may(Right::Administer)?;
        Ok(self.of(actor).member(id).await?)
    }

    /// Makes a person of the tenant.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NAME_TAKEN`, `PASSWORD_WEAK`.
    pub async fn create_person(&self, actor: &Actor, new: NewPerson) -> Result<Member, ControlError> {
        let id = UserId::generate();
        let mut line = Line::of(actor, "user.create", format!("user/{id}"));
        line.after = Some(json!({"name": new.name, "role": new.role}));
        let outcome = async {
            actor.may(Right::Administer)?;
            password::accept(new.password.expose(), new.name.as_str())
                .map_err(|weak| FieldProblems::one("password", weak))?;
            let person = Person {
                id,
                name: new.name,
                password_hash: self.hash(new.password).await?,
                is_super: false,
                disabled: false,
                version: 1,
                created_at: Millis::now(),
            };
            let mut work = self.of(actor).begin().await?;
            work.insert_member(&person, new.role).await?;
            self.commit(work, &mut line).await?;
            Ok(Member { person, role: new.role })
        }
        .await;
        self.record(line, outcome).await
    }

    /// Changes a person of version `version`, or of whatever version.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NOT_FOUND`, `VERSION_CONFLICT`, `LAST_ADMIN`, `PASSWORD_WEAK`, `USER_OF_OTHERS`.
    pub async fn change_person(
        &self,
        actor: &Actor,
        id: UserId,
        change: PersonChange,
        version: Option<i64>,
    ) -> Result<Member, ControlError> {
        let mut line = Line::of(actor, "user.change", format!("user/{id}"));
        let outcome = self.try_change_person(actor, id, change, version, &mut line).await;
        self.record(line, outcome).await
    }

    async fn try_change_person(
        &self,
        actor: &Actor,
        id: UserId,
        change: PersonChange,
        version: Option<i64>,
        line: &mut Line,
    ) -> Result<Member, ControlError> {
        actor.may(Right::Administer)?;
        let tenant = self.of(actor);
        let before = tenant.member(id).await?;
        line.before = Some(shown(&before));
        if change.disabled.is_some() || change.password.is_some() {
            self.owns(actor, &before).await?;
        }
        let new_password = change.password.is_some();
        let password_hash = match change.password {
            Some(new) => {
                password::accept(new.expose(), before.person.name.as_str())
                    .map_err(|weak| FieldProblems::one("password", weak))?;
                Some(self.hash(new).await?)
            }
            None => None,
        };
        let change = MemberChange { role: change.role, disabled: change.disabled, password_hash };
        let mut work = tenant.begin().await?;
        work.update_member(id, &change, version.unwrap_or(before.person.version)).await?;
        if new_password || change.disabled == Some(true) {
            work.delete_sessions_of(id, None).await?;
        }
        let after = work.member(id).await?;
        let mut now = shown(&after);
        if let (true, Some(fields)) = (new_password, now.as_object_mut()) {
            fields.insert("password".to_owned(), "changed".into());
        }
        line.after = Some(now);
        self.commit(work, line).await?;
        Ok(after)
    }

    /// Takes a person out of the tenant; one who is in no other is deleted.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NOT_FOUND`, `LAST_ADMIN`.
    pub async fn remove_person(&self, actor: &Actor, id: UserId) -> Result<(), ControlError> {
        let mut line = Line::of(actor, "user.remove", format!("user/{id}"));
        let outcome = async {
            actor.may(Right::Administer)?;
            let tenant = self.of(actor);
            line.before = Some(shown(&tenant.member(id).await?));
            let mut work = tenant.begin().await?;
            work.remove_member(id).await?;
            self.commit(work, &mut line).await
        }
        .await;
        self.record(line, outcome).await
    }

    /// Whether a person is the tenant's alone, so that its administrators decide on their password.
    async fn owns(&self, actor: &Actor, member: &Member) -> Result<(), ControlError> {
        if actor.is_super {
            return Ok(());
        }
        let elsewhere = self.store.memberships(member.person.id).await?.len() > 1;
        if member.person.is_super || elsewhere { Err(ControlError::PersonOfOthers) } else { Ok(()) }
    }
}

/// A person as the audit log shows them.
fn shown(member: &Member) -> Value {
    json!({"name": member.person.name, "role": member.role, "disabled": member.person.disabled})
}
