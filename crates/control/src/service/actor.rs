//! [`Actor`]: who asks for something, in which tenant, and how they have shown it.

use std::time::Duration;

use segcdc_model::hex;
use sha2::{Digest, Sha256};

use super::Control;
use crate::access::{Right, Role};
use crate::clock::Millis;
use crate::error::ControlError;
use crate::id::{TenantId, TokenId, UserId};
use crate::name::ResourceName;
use crate::store::{ApiToken, Person, Session, Tenant, TenantStore};
use crate::token;

/// A session that nobody used for so long ends (ASVS 5.0, 7.3.1).
pub(super) const IDLE: Duration = Duration::from_secs(2 * 3600);

/// A session ends after so long, used or not (ASVS 5.0, 7.3.2).
pub(super) const ABSOLUTE: Duration = Duration::from_secs(12 * 3600);

/// How exactly it is known when a session or a token was used last. A write for each request would be worth less.
const TOUCH: Duration = Duration::from_secs(60);

/// How somebody has shown who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// By a browser's session.
    Session {
        /// Hash of its token.
        hash: String,
        /// What requests that change something carry besides, which no other site can know.
        csrf: String,
    },
    /// By an API token.
    Token {
        /// Its id.
        id: TokenId,
        /// Its name.
        name: ResourceName,
    },
}

/// Somebody who asks for something in one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Who.
    pub person: UserId,
    /// Their name.
    pub name: ResourceName,
    /// Whether they manage tenants.
    pub is_super: bool,
    /// In which tenant.
    pub tenant: Tenant,
    /// What they are there.
    pub role: Role,
    /// From which address.
    pub address: String,
    /// How they have shown who they are.
    pub way: Way,
}

// === impl Actor ===

impl Actor {
    /// Whether they have a right.
    ///
    /// # Errors
    /// [`ControlError::Forbidden`].
    pub fn may(&self, right: Right) -> Result<(), ControlError> {
        if self.role.may(right) { Ok(()) } else { Err(ControlError::Forbidden { needed: right.as_str() }) }
    }

    /// Whether they manage tenants.
    ///
    /// # Errors
    /// [`ControlError::Forbidden`].
    pub fn manages_tenants(&self) -> Result<(), ControlError> {
        if self.is_super { Ok(()) } else { Err(ControlError::Forbidden { needed: "manage tenants" }) }
    }

    /// Whom the audit log names.
    pub fn label(&self) -> String {
        match &self.way {
            Way::Session { .. } => self.name.to_string(),
            Way::Token { name, .. } => format!("{} (token {name})", self.name),
        }
    }

    /// Who they are for what is kept for them alone: a person, or a token.
    pub fn principal(&self) -> String {
        match &self.way {
            Way::Session { .. } => format!("person/{}", self.person),
            Way::Token { id, .. } => format!("token/{id}"),
        }
    }
}

// === impl Control ===

impl Control {
    /// What belongs to the actor's tenant.
    pub(super) fn of(&self, actor: &Actor) -> TenantStore<'_> {
        self.store.tenant(actor.tenant.id)
    }

    /// Who has a session.
    ///
    /// # Errors
    /// [`ControlError::Unauthenticated`] when there is no such session, or not any more.
    pub async fn by_session(&self, shown: &str, address: &str) -> Result<Actor, ControlError> {
        let (hash, csrf) = (token::hash(shown), csrf_of(shown));
        let session = self.store.session(&hash).await?.ok_or(ControlError::Unauthenticated)?;
        let actor = self.of_session(&session, hash, csrf, address).await?;
        let now = Millis::now();
        if let (true, Way::Session { hash, .. }) = (session.seen_at.after(TOUCH) <= now, &actor.way) {
            self.store.touch_session(hash, now).await?;
        }
        Ok(actor)
    }

    /// Whose session it is, if its time is not over.
    async fn of_session(
        &self,
        session: &Session,
        hash: String,
        csrf: String,
        address: &str,
    ) -> Result<Actor, ControlError> {
        let now = Millis::now();
        if session.created_at.after(ABSOLUTE) <= now || session.seen_at.after(IDLE) <= now {
            self.store.delete_session(&hash).await?;
            return Err(ControlError::Unauthenticated);
        }
        let person = self.enabled(session.person).await?;
        self.actor(person, session.tenant, Role::Admin, address, Way::Session { hash, csrf }).await
    }

    /// Who has an API token.
    ///
    /// # Errors
    /// [`ControlError::Unauthenticated`] when there is no such token, or not any more.
    pub async fn by_token(&self, shown: &str, address: &str) -> Result<Actor, ControlError> {
        let id = token::row_of(shown).ok_or(ControlError::Unauthenticated)?;
        let stored = self.store.token_shown(id).await?.filter(|stored| token::is(shown, &stored.hash));
        let stored = stored.ok_or(ControlError::Unauthenticated)?;
        let (tenant, used_at, now) = (stored.tenant, stored.used_at, Millis::now());
        let actor = self.of_token(stored, address).await?;
        if used_at.is_none_or(|used| used.after(TOUCH) <= now) {
            self.store.tenant(tenant).touch_token(id, now).await?;
        }
        Ok(actor)
    }

    /// Whose token it is, if it is good still.
    async fn of_token(&self, stored: ApiToken, address: &str) -> Result<Actor, ControlError> {
        if stored.revoked_at.is_some() || stored.expires_at <= Millis::now() {
            return Err(ControlError::Unauthenticated);
        }
        let person = self.enabled(stored.person).await?;
        let way = Way::Token { id: stored.id, name: stored.name };
        self.actor(person, stored.tenant, stored.role, address, way).await
    }

    /// A person who may sign in.
    async fn enabled(&self, id: UserId) -> Result<Person, ControlError> {
        let person = self.store.person(id).await?.filter(|person| !person.disabled);
        person.ok_or(ControlError::Unauthenticated)
    }

    /// The same actor as they are now, for what goes on for long. Does not count as a use of session or token.
    ///
    /// # Errors
    /// [`ControlError::Unauthenticated`] when session, token, person or membership are not any more.
    pub async fn renew(&self, actor: &Actor) -> Result<Actor, ControlError> {
        let gone = ControlError::Unauthenticated;
        let now = match &actor.way {
            Way::Session { hash, csrf } => {
                let session = self.store.session(hash).await?.ok_or(gone)?;
                self.of_session(&session, hash.clone(), csrf.clone(), &actor.address).await?
            }
            Way::Token { id, .. } => {
                let stored = self.store.token_shown(*id).await?.ok_or(gone)?;
                self.of_token(stored, &actor.address).await?
            }
        };
        if now.tenant.id == actor.tenant.id { Ok(now) } else { self.in_tenant(&now, actor.tenant.id).await }
    }

    /// The same actor in another tenant.
    ///
    /// # Errors
    /// `NOT_FOUND` when there is no such tenant, or it is none of theirs.
    pub async fn in_tenant(&self, actor: &Actor, tenant: TenantId) -> Result<Actor, ControlError> {
        let person = self.store.person(actor.person).await?.ok_or(ControlError::Unauthenticated)?;
        // A token is good for its tenant only, unless its owner manages all of them.
        if matches!(actor.way, Way::Token { .. }) && !actor.is_super && tenant != actor.tenant.id {
            return Err(crate::store::StoreError::NotFound.into());
        }
        let most = match actor.way {
            Way::Session { .. } => Role::Admin,
            Way::Token { .. } => actor.role,
        };
        let moved = self.actor(person, tenant, most, &actor.address, actor.way.clone()).await;
        match moved {
            Err(ControlError::Unauthenticated) => Err(crate::store::StoreError::NotFound.into()),
            other => other,
        }
    }

    /// What a person is in a tenant, `most` at most.
    async fn actor(
        &self,
        person: Person,
        tenant: TenantId,
        most: Role,
        address: &str,
        way: Way,
    ) -> Result<Actor, ControlError> {
        // Who manages all tenants does so in each; a token of theirs only if it was made with everything.
        let is_super = person.is_super && most == Role::Admin;
        let memberships = self.store.memberships(person.id).await?;
        let here = memberships.into_iter().find(|(found, _)| found.id == tenant);
        let (tenant, role) = match here {
            Some((tenant, _)) if is_super => (tenant, Role::Admin),
            Some((tenant, role)) => (tenant, role),
            None if is_super => {
                (self.store.tenant_of(tenant).await?.ok_or(ControlError::Unauthenticated)?, Role::Admin)
            }
            None => return Err(ControlError::Unauthenticated),
        };
        let role = role.at_most(most).ok_or(ControlError::Unauthenticated)?;
        let address = address.to_owned();
        Ok(Actor { person: person.id, name: person.name, is_super, tenant, role, address, way })
    }
}

/// What goes with a session's requests that change something. It follows from the session's token, which no other site
/// can read, and the token does not follow from it.
pub(super) fn csrf_of(session: &str) -> String {
    let mut digest = Sha256::new();
    digest.update(b"segcdc csrf\0");
    digest.update(session.as_bytes());
    hex(&digest.finalize())
}
