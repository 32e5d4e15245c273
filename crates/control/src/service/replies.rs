//! Answers that are kept, sealed, for requests that come twice: an answer can hold a token that is shown once.

use segcdc_model::Secret;

use super::{Actor, Control};
use crate::error::ControlError;
use crate::seal::Place;
use crate::store::{KeyOf, KeyState};
use crate::token;

/// Longest key, characters.
pub const MAX_KEY_CHARS: usize = 200;

/// A request that carries a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyKey {
    principal: String,
    route: String,
    key: String,
    body_hash: String,
}

/// What is to be done with a request that carries a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// Carry it out, and then [`Control::keep_reply`] or [`Control::forget_reply`].
    CarryOut,
    /// Answer with this.
    Answer(Secret<String>),
}

// === impl ReplyKey ===

impl ReplyKey {
    /// A key of an actor for a route of their tenant.
    ///
    /// # Errors
    /// `IDEMPOTENCY_KEY` for one that is empty, too long or not ASCII that can be seen.
    pub fn new(actor: &Actor, route: &str, key: &str, body: &[u8]) -> Result<Self, ControlError> {
        if !(1..=MAX_KEY_CHARS).contains(&key.len()) || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ControlError::ReplyKey);
        }
        Ok(ReplyKey {
            principal: format!("{} in {}", actor.principal(), actor.tenant.id),
            route: route.to_owned(),
            key: key.to_owned(),
            body_hash: token::hash_bytes(body),
        })
    }

    fn of(&self) -> KeyOf<'_> {
        KeyOf { principal: &self.principal, route: &self.route, key: &self.key }
    }

    fn place(&self) -> Place<'_> {
        Place { tenant: &self.principal, object: &self.route, field: &self.key }
    }
}

// === impl Control ===

impl Control {
    /// Takes a key, or finds the answer that its request got.
    ///
    /// # Errors
    /// `IDEMPOTENCY_UNDER_WAY` while the first request is carried out, `IDEMPOTENCY_MISMATCH` when it had another body.
    pub async fn take_reply(&self, key: &ReplyKey) -> Result<Kept, ControlError> {
        match self.store.take_key(key.of(), &key.body_hash).await? {
            KeyState::Ours => Ok(Kept::CarryOut),
            KeyState::UnderWay { body_hash } | KeyState::Answered { body_hash, .. }
                if body_hash != key.body_hash =>
            {
                Err(ControlError::ReplyMismatch)
            }
            KeyState::UnderWay { .. } => Err(ControlError::ReplyUnderWay),
            KeyState::Answered { reply, .. } => Ok(Kept::Answer(self.keys.open(&reply, key.place())?)),
        }
    }

    /// Keeps the answer of a request that was carried out.
    ///
    /// # Errors
    /// The store's.
    pub async fn keep_reply(
        &self,
        key: &ReplyKey,
        status: u16,
        reply: Secret<String>,
    ) -> Result<(), ControlError> {
        let sealed = self.keys.seal(&reply, key.place())?;
        Ok(self.store.answer_key(key.of(), status, &sealed).await?)
    }

    /// Lets go of the key of a request that was refused, so that it can be mended and sent again.
    ///
    /// # Errors
    /// The store's.
    pub async fn forget_reply(&self, key: &ReplyKey) -> Result<(), ControlError> {
        Ok(self.store.release_key(key.of()).await?)
    }
}
