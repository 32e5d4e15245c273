//! How people come in: the first administrator, signing in and out, and their own password.

use std::time::{Duration, Instant};

use segcdc_model::Secret;
use serde_json::json;

use super::actor::{ABSOLUTE, IDLE, csrf_of};
use super::record::Line;
use super::{Actor, Control, Way};
use crate::access::Role;
use crate::clock::Millis;
use crate::error::ControlError;
use crate::field::{FieldError, FieldProblems, Findings};
use crate::id::{TenantId, UserId};
use crate::name::ResourceName;
use crate::store::{Person, StoreError, Tenant, Work};
use crate::{password, token};

/// Answers are kept for requests that come twice for so long.
const KEYS_ANSWERED: Duration = Duration::from_secs(24 * 3600);

/// A request that has not ended after so long will not: its process died.
const KEYS_UNDER_WAY: Duration = Duration::from_secs(5 * 60);

/// The first tenant and its administrator.
#[derive(Debug, Clone)]
pub struct Founding {
    /// The token that the server printed.
    pub token: Secret<String>,
    /// Name of the first tenant.
    pub tenant: ResourceName,
    /// Name of the administrator.
    pub user: ResourceName,
    /// Their password.
    pub password: Secret<String>,
}

/// A session that has just begun.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// What the browser keeps.
    pub token: Secret<String>,
    /// What its requests that change something carry besides.
    pub csrf: String,
    /// Who it is.
    pub actor: Actor,
}

// === impl Control ===

impl Control {
    /// Whether the first administrator is still to be made.
    ///
    /// # Errors
    /// The store's.
    pub async fn needs_founding(&self) -> Result<bool, ControlError> {
        Ok(!self.store.is_founded().await?)
    }

    /// Makes the first tenant and its administrator, who also manages tenants. Once.
    ///
    /// # Errors
    /// `SETUP_DONE`, `SETUP_TOKEN_WRONG`, `PASSWORD_WEAK`.
    pub async fn found(&self, founding: Founding, address: &str) -> Result<SignedIn, ControlError> {
        if self.store.is_founded().await? {
            return Err(ControlError::AlreadyFounded);
        }
        // A token has 256 random bits: nobody guesses it, and there is nothing to slow down.
        let known = self.setup.as_deref().is_some_and(|hash| token::is(founding.token.expose(), hash));
        if !known {
            return Err(ControlError::SetupToken);
        }
        password::accept(founding.password.expose(), founding.user.as_str())
            .map_err(|weak| FieldProblems::one("password", weak))?;
        let now = Millis::now();
        let tenant = Tenant { id: TenantId::generate(), name: founding.tenant, created_at: now };
        let person = Person {
            id: UserId::generate(),
            name: founding.user,
            password_hash: self.hash(founding.password).await?,
            is_super: true,
            disabled: false,
            version: 1,
            created_at: now,
        };
        let mut line = Line::of_name(tenant.id, person.name.as_str(), address, "setup");
        line.object = format!("user/{}", person.id);
        line.after = Some(json!({"tenant": tenant.name, "user": person.name}));
        let mut work = self.store.tenant(tenant.id).begin().await?;
        match work.found(&tenant, &person).await {
            Err(StoreError::NameTaken) => return Err(ControlError::AlreadyFounded),
            other => other?,
        }
        self.begin_session(work, person.id, line).await
    }

    /// Begins a session of a person, in the tenant of a name or else the first of theirs.
    ///
    /// # Errors
    /// `SIGN_IN_REFUSED`, whatever of name, password and tenant is wrong; `TOO_MANY_ATTEMPTS`.
    pub async fn sign_in(
        &self,
        name: &str,
        password: Secret<String>,
        tenant: Option<&ResourceName>,
        address: &str,
    ) -> Result<SignedIn, ControlError> {
        let key = name.to_lowercase();
        if let Some(wait) = self.guard.wait(&key, address, Instant::now()) {
            return Err(ControlError::TooManyAttempts { wait });
        }
        let found = match name.parse() {
            Ok(name) => self.store.person_named(&name).await?,
            Err(_no_name) => None,
        };
        // Whoever is not there takes as long as whoever is.
        let stored =
            found.as_ref().map_or(password::nobody(), |person| person.password_hash.as_str()).to_owned();
        let right = self.is_password(password.clone(), stored.clone()).await?;
        let person = found.filter(|person| right && !person.disabled);
        let place = match &person {
            Some(person) => self.first_tenant(person, tenant).await?,
            None => None,
        };
        let (Some(person), Some(place)) = (person, place) else {
            self.guard.failed(&key, address, Instant::now());
            return self.refuse(name, address).await;
        };
        self.guard.succeeded(&key, address);
        if password::is_outdated(&stored) {
            let anew = self.hash(password).await?;
            self.store.rehash_password(person.id, &stored, &anew).await?;
        }
        self.tidy().await?;
        let work = self.store.tenant(place).begin().await?;
        let line = Line::of_name(place, person.name.as_str(), address, "auth.login");
        self.begin_session(work, person.id, line).await
    }

    /// Writes a failed attempt to the log of the tenant of whoever has that name; nobody's attempts are in the server's
    /// log only.
    async fn refuse(&self, name: &str, address: &str) -> Result<SignedIn, ControlError> {
        tracing::warn!(address, "a sign-in was refused");
        let Ok(name) = name.parse() else { return Err(ControlError::SignIn) };
        let tenant = match self.store.person_named(&name).await? {
            Some(person) => self.first_tenant(&person, None).await?,
            None => None,
        };
        let Some(tenant) = tenant else { return Err(ControlError::SignIn) };
        let line = Line::of_name(tenant, name.as_str(), address, "auth.login");
        self.record(line, Err(ControlError::SignIn)).await
    }

    /// The tenant in which a session begins.
    async fn first_tenant(
        &self,
        person: &Person,
        wanted: Option<&ResourceName>,
    ) -> Result<Option<TenantId>, ControlError> {
        let mine = self.store.memberships(person.id).await?;
        let fits = |tenant: &Tenant| wanted.is_none_or(|name| name.key() == tenant.name.key());
        if let Some((tenant, _role)) = mine.iter().find(|(tenant, _role)| fits(tenant)) {
            return Ok(Some(tenant.id));
        }
        if !person.is_super {
            return Ok(None);
        }
        let all = self.store.tenants(None, i64::MAX).await?;
        Ok(all.into_iter().find(fits).map(|tenant| tenant.id))
    }

    /// Begins a session in the tenant of a work, together with its line.
    async fn begin_session(
        &self,
        mut work: Work,
        person: UserId,
        mut line: Line,
    ) -> Result<SignedIn, ControlError> {
        let made = token::session()?;
        work.insert_session(&made.hash, person).await?;
        self.commit(work, &mut line).await?;
        let actor = self.by_session(made.token.expose(), &line.address).await?;
        Ok(SignedIn { csrf: csrf_of(made.token.expose()), token: made.token, actor })
    }

    /// Removes what has ended by time.
    async fn tidy(&self) -> Result<(), ControlError> {
        let now = Millis::now();
        self.store.delete_old_sessions(now.before(ABSOLUTE), now.before(IDLE)).await?;
        self.store.forget_keys(now.before(KEYS_ANSWERED), now.before(KEYS_UNDER_WAY)).await?;
        Ok(())
    }

    /// Ends the session.
    ///
    /// # Errors
    /// `NO_SESSION` for who came by a token.
    pub async fn sign_out(&self, actor: &Actor) -> Result<(), ControlError> {
        let Way::Session { hash, .. } = &actor.way else { return Err(ControlError::NoSession) };
        let mut work = self.of(actor).begin().await?;
        work.delete_session(hash).await?;
        self.commit(work, &mut Line::of(actor, "auth.logout", "session")).await
    }

    /// Has the session look at another tenant.
    ///
    /// # Errors
    /// `NOT_FOUND` for a tenant that is none of theirs, `NO_SESSION`.
    pub async fn choose_tenant(&self, actor: &Actor, tenant: TenantId) -> Result<Actor, ControlError> {
        let Way::Session { hash, .. } = &actor.way else { return Err(ControlError::NoSession) };
        let moved = self.in_tenant(actor, tenant).await?;
        let mut work = self.of(&moved).begin().await?;
        work.move_session(hash).await?;
        self.commit(work, &mut Line::of(&moved, "auth.tenant", format!("tenant/{tenant}"))).await?;
        Ok(moved)
    }

    /// Changes one's own password; all other sessions of theirs end (ASVS 5.0, 7.4.3).
    ///
    /// # Errors
    /// `PASSWORD_NOT_CURRENT`, `PASSWORD_WEAK`, `TOO_MANY_ATTEMPTS`.
    pub async fn change_password(
        &self,
        actor: &Actor,
        current: Secret<String>,
        new: Secret<String>,
    ) -> Result<(), ControlError> {
        let mut line = Line::of(actor, "user.password", format!("user/{}", actor.person));
        let outcome = self.try_change_password(actor, current, new, &mut line).await;
        self.record(line, outcome).await
    }

    async fn try_change_password(
        &self,
        actor: &Actor,
        current: Secret<String>,
        new: Secret<String>,
        line: &mut Line,
    ) -> Result<(), ControlError> {
        let Way::Session { hash, .. } = &actor.way else { return Err(ControlError::NoSession) };
        let key = actor.name.key();
        if let Some(wait) = self.guard.wait(&key, &actor.address, Instant::now()) {
            return Err(ControlError::TooManyAttempts { wait });
        }
        let person = self.store.person(actor.person).await?.ok_or(ControlError::Unauthenticated)?;
        let mut findings = Findings::default();
        if !self.is_password(current, person.password_hash).await? {
            self.guard.failed(&key, &actor.address, Instant::now());
            findings.add("current_password", FieldError::NotTheCurrent);
        }
        findings.take("new_password", password::accept(new.expose(), actor.name.as_str()));
        findings.finish()?;
        self.guard.succeeded(&key, &actor.address);
        let anew = self.hash(new).await?;
        let mut work = self.of(actor).begin().await?;
        work.set_password(actor.person, &anew).await?;
        work.delete_sessions_of(actor.person, Some(hash)).await?;
        self.commit(work, line).await
    }

    /// The tenants that somebody can look at, and what they are there.
    ///
    /// # Errors
    /// The store's.
    pub async fn my_tenants(&self, actor: &Actor) -> Result<Vec<(Tenant, Role)>, ControlError> {
        Ok(self.store.memberships(actor.person).await?)
    }
}
