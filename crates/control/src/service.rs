//! [`Control`]: the use cases. Each takes an [`Actor`], asks what they may, does it in their tenant, and writes it to the
//! audit log, what was refused too.
//!
//! - `actor`: who asks, and how they have shown it
//! - `sign_in`, `guard`: how they come in, and how guessing is slowed down
//! - `tenants`, `people`, `tokens`, `connections`, `pipelines`: what they do
//! - `tables`: what is inside a pipeline
//! - `operations`, `probes`: what takes a while, and what is asked of the servers themselves
//! - `record`: the lines of the audit log
//! - `replies`: answers that are kept for requests that come twice

mod actor;
mod connections;
mod guard;
mod operations;
mod people;
mod pipelines;
mod probes;
mod record;
mod replies;
mod sign_in;
mod tables;
mod tenants;
mod tokens;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use segcdc_model::Secret;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::crypto::CryptoError;
use crate::engine::Engines;
use crate::error::ControlError;
use crate::events::Events;
use crate::id::{OperationId, PipelineId};
use crate::report::{ErrorReport, Trouble};
use crate::seal::{Keyring, Place};
use crate::store::{Store, StoreError};
use crate::{password, token};

pub use actor::{Actor, Way};
pub use connections::{ConnectionChange, ConnectionView, SecretChange};
pub use people::{NewPerson, PersonChange};
pub(crate) use pipelines::Watched;
pub use pipelines::{PipelineRequest, PipelineView};
pub use replies::{Kept as KeptReply, MAX_KEY_CHARS, ReplyKey};
pub use sign_in::{Founding, SignedIn};
pub use tables::TablesWanted;
pub use tokens::{MAX_TOKEN_DAYS, MadeToken};

/// Passwords that are hashed at once: each takes 19 MiB and a core.
const HASHING: usize = 2;

/// Passwords that may wait to be hashed. More are turned away: they would wait longer than anybody does.
const WAITING: usize = 32;

/// Questions to servers at once: each holds a connection, and may wait for it.
const PROBES: usize = 16;

/// The fact by which a store knows its master keys again.
const KEY_CHECK: &str = "key_check";

/// What is sealed for [`KEY_CHECK`].
const KEY_CHECK_TEXT: &str = "segcdc";

/// The control plane: what a server, or a program that embeds it, asks to do things.
#[derive(Debug)]
pub struct Control {
    store: Store,
    keys: Keyring,
    /// Hash of the token that the first administrator shows; `None` when there is one already.
    setup: Option<String>,
    hashing: Semaphore,
    waiting: Semaphore,
    guard: guard::Guard,
    engines: Arc<dyn Engines>,
    /// Places for those who ask servers at once.
    probes: Semaphore,
    /// What runs on this node show of themselves.
    watches: Mutex<HashMap<PipelineId, Watched>>,
    /// Operations of this node that are under way, by what ends them.
    ordered: Mutex<HashMap<OperationId, CancellationToken>>,
    /// Wakes the reconciler.
    asked: Notify,
    events: Events,
}

/// A list's part, and where the next one begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// What is in it.
    pub items: Vec<T>,
    /// The key behind which the next part begins; `None` at the end.
    pub next: Option<String>,
}

/// Which part of a list is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageOf<'a> {
    /// The key behind which it begins.
    pub after: Option<&'a str>,
    /// At most so many.
    pub limit: u16,
}

// === impl Control ===

impl Control {
    /// A control plane over a store. A store without an administrator comes with the token that the first one shows.
    ///
    /// # Errors
    /// `MASTER_KEY_UNKNOWN` and `SECRET_DAMAGED` when the keys are not those that sealed this store's secrets.
    pub async fn open(
        store: Store,
        keys: Keyring,
        engines: Arc<dyn Engines>,
    ) -> Result<(Self, Option<Secret<String>>), ControlError> {
        check_keys(&store, &keys).await?;
        store.fail_operations(&ErrorReport::of(&ControlError::Restarted, Trouble::Failed).to_json()).await?;
        let made = if store.is_founded().await? { None } else { Some(token::session()?) };
        let control = Control {
            store,
            keys,
            setup: made.as_ref().map(|made| made.hash.clone()),
            hashing: Semaphore::new(HASHING),
            waiting: Semaphore::new(WAITING),
            guard: guard::Guard::default(),
            engines,
            probes: Semaphore::new(PROBES),
            watches: Mutex::default(),
            ordered: Mutex::default(),
            asked: Notify::new(),
            events: Events::default(),
        };
        Ok((control, made.map(|made| made.token)))
    }

    /// Whether nothing has been sealed in a store yet, so that its master keys can still be chosen.
    ///
    /// # Errors
    /// The store's.
    pub async fn is_new(store: &Store) -> Result<bool, ControlError> {
        Ok(store.fact(KEY_CHECK).await?.is_none())
    }

    /// Whether the store answers.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn ready(&self) -> Result<(), ControlError> {
        Ok(self.store.ping().await?)
    }

    /// The store, for what is no use case.
    pub(crate) const fn store(&self) -> &Store {
        &self.store
    }

    /// What has happened, for those who watch.
    pub const fn events(&self) -> &Events {
        &self.events
    }

    /// Has the reconciler look at once.
    fn wake(&self) {
        self.asked.notify_one();
    }

    /// Waits until something is asked.
    pub(crate) async fn woken(&self) {
        self.asked.notified().await;
    }

    /// Closes the store.
    pub async fn close(&self) {
        self.store.close().await;
    }

    /// Hashes a new password where blocking is allowed.
    async fn hash(&self, password: Secret<String>) -> Result<String, ControlError> {
        let _place = self.waiting.try_acquire().map_err(|_full| ControlError::Busy)?;
        let _turn = self.hashing.acquire().await.map_err(|_closed| ControlError::Busy)?;
        let hashed = tokio::task::spawn_blocking(move || password::hash(&password)).await;
        Ok(hashed.map_err(|_panic| CryptoError::Failed)??)
    }

    /// Compares a password with a stored hash where blocking is allowed.
    async fn is_password(&self, password: Secret<String>, stored: String) -> Result<bool, ControlError> {
        let _place = self.waiting.try_acquire().map_err(|_full| ControlError::Busy)?;
        let _turn = self.hashing.acquire().await.map_err(|_closed| ControlError::Busy)?;
        let compared = tokio::task::spawn_blocking(move || password::is(&password, &stored)).await;
        Ok(compared.map_err(|_panic| CryptoError::Failed)?)
    }
}

// === impl Page ===

impl<T> Page<T> {
    /// A part of a list from one more item than was asked for, by which it is known whether there are more.
    fn of(mut items: Vec<T>, page: PageOf<'_>, key: impl Fn(&T) -> String) -> Self {
        let limit = usize::from(page.limit);
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(key) } else { None };
        Page { items, next }
    }
}

// === impl PageOf ===

impl PageOf<'_> {
    /// How many rows to ask for.
    fn rows(self) -> i64 {
        i64::from(self.limit) + 1
    }
}

/// Makes sure that the keys are those of the store: a secret that is known is sealed in it when it is new.
async fn check_keys(store: &Store, keys: &Keyring) -> Result<(), ControlError> {
    let place = Place { tenant: "", object: "store", field: KEY_CHECK };
    if store.fact(KEY_CHECK).await?.is_none() {
        let sealed = keys.seal(&Secret::new(KEY_CHECK_TEXT.to_owned()), place)?;
        match store.set_fact(KEY_CHECK, &sealed).await {
            // Another server was first; its seal is the one to open.
            Ok(()) | Err(StoreError::NameTaken) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let sealed = store.fact(KEY_CHECK).await?.unwrap_or_default();
    keys.open(&sealed, place)?;
    Ok(())
}

#[cfg(test)]
mod tests;
