//! API tokens: everybody makes and revokes their own, administrators revoke everybody's.

use std::time::Duration;

use segcdc_model::Secret;
use serde_json::json;

use super::record::Line;
use super::{Actor, Control, Page, PageOf, Way};
use crate::access::{Right, Role};
use crate::clock::Millis;
use crate::error::ControlError;
use crate::field::{FieldError, FieldProblems};
use crate::id::TokenId;
use crate::name::ResourceName;
use crate::store::{ApiToken, NewApiToken};
use crate::token;

/// Longest life of a token, days.
pub const MAX_TOKEN_DAYS: u16 = 366;

/// A token that has just been made; shown once.
#[derive(Debug, Clone)]
pub struct MadeToken {
    /// What is known of it.
    pub stored: ApiToken,
    /// The token.
    pub token: Secret<String>,
}

// === impl Control ===

impl Control {
    /// The actor's tokens in the tenant; everybody's for administrators.
    ///
    /// # Errors
    /// The store's.
    pub async fn tokens(&self, actor: &Actor, page: PageOf<'_>) -> Result<Page<ApiToken>, ControlError> {
        let whose = if actor.role.may(Right::Administer) { None } else { Some(actor.person) };
        let tokens = self.of(actor).tokens(whose, page.after, page.rows()).await?;
        Ok(Page::of(tokens, page, |token| token.id.text()))
    }

    /// One token.
    ///
    /// # Errors
    /// `NOT_FOUND`, also for somebody else's.
    pub async fn token(&self, actor: &Actor, id: TokenId) -> Result<ApiToken, ControlError> {
        let found = self.of(actor).token(id).await?;
        if found.person == actor.person || actor.role.may(Right::Administer) {
            return Ok(found);
        }
        Err(crate::store::StoreError::NotFound.into())
    }

    /// Makes a token of the actor's, for the tenant that they look at.
    ///
    /// # Errors
    /// `FORBIDDEN` when a token asks, or for a role that the actor has not; `RANGE` for a life that is too long.
    pub async fn create_token(
        &self,
        actor: &Actor,
        name: ResourceName,
        role: Role,
        days: u16,
    ) -> Result<MadeToken, ControlError> {
        let id = TokenId::generate();
        let mut line = Line::of(actor, "token.create", format!("token/{id}"));
        line.after = Some(json!({"name": name, "role": role, "days": days}));
        let outcome = async {
            // Who got hold of a token could make another one that nobody knows to revoke.
            if matches!(actor.way, Way::Token { .. }) {
                return Err(ControlError::Forbidden { needed: "sign in with a password" });
            }
            if !(1..=MAX_TOKEN_DAYS).contains(&days) {
                let bounds = FieldError::Range { min: 1, max: i64::from(MAX_TOKEN_DAYS) };
                return Err(FieldProblems::one("expires_in_days", bounds).into());
            }
            if actor.role.at_most(role) != Some(role) {
                return Err(ControlError::Forbidden { needed: "have the token's role" });
            }
            let made = token::api(id)?;
            let expires_at = Millis::now().after(Duration::from_secs(u64::from(days) * 86_400));
            let new = NewApiToken { id, person: actor.person, name, role, hash: made.hash, expires_at };
            let tenant = self.of(actor);
            let mut work = tenant.begin().await?;
            work.insert_token(&new).await?;
            self.commit(work, &mut line).await?;
            Ok(MadeToken { stored: tenant.token(id).await?, token: made.token })
        }
        .await;
        self.record(line, outcome).await
    }

    /// Makes a token good for nothing.
    ///
    /// # Errors
    /// `NOT_FOUND`, also for somebody else's.
    pub async fn revoke_token(&self, actor: &Actor, id: TokenId) -> Result<(), ControlError> {
        let mut line = Line::of(actor, "token.revoke", format!("token/{id}"));
        let outcome = async {
            self.token(actor, id).await?;
            let mut work = self.of(actor).begin().await?;
            work.revoke_token(id).await?;
            self.commit(work, &mut line).await
        }
        .await;
        self.record(line, outcome).await
    }
}
