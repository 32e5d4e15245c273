//! Tenants. Who manages them sees all, others see theirs.

use serde_json::json;

use super::record::Line;
use super::{Actor, Control, Page, PageOf, Way};
use crate::clock::Millis;
use crate::error::ControlError;
use crate::id::TenantId;
use crate::name::ResourceName;
use crate::store::{StoreError, Tenant};

// === impl Control ===

impl Control {
    /// The tenants that somebody can look at, in the order of their names.
    ///
    /// # Errors
    /// The store's.
    pub async fn tenants(&self, actor: &Actor, page: PageOf<'_>) -> Result<Page<Tenant>, ControlError> {
        let found = if actor.is_super {
            self.store.tenants(page.after, page.rows()).await?
        } else if matches!(actor.way, Way::Token { .. }) {
            // A token is good for one tenant, and shows no other.
            vec![actor.tenant.clone()]
        } else {
            self.store.memberships(actor.person).await?.into_iter().map(|(tenant, _role)| tenant).collect()
        };
        let after = page.after.unwrap_or_default();
        let rows = usize::from(page.limit) + 1;
        let behind = found.into_iter().filter(|tenant| tenant.name.key().as_str() > after).take(rows);
        Ok(Page::of(behind.collect(), page, |tenant| tenant.name.key()))
    }

    /// One tenant.
    ///
    /// # Errors
    /// `NOT_FOUND`, also for one that is none of theirs.
    pub async fn tenant(&self, actor: &Actor, id: TenantId) -> Result<Tenant, ControlError> {
        Ok(self.in_tenant(actor, id).await?.tenant)
    }

    /// Makes a tenant.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NAME_TAKEN`.
    pub async fn create_tenant(&self, actor: &Actor, name: ResourceName) -> Result<Tenant, ControlError> {
        let tenant = Tenant { id: TenantId::generate(), name, created_at: Millis::now() };
        let mut line = Line::of(actor, "tenant.create", format!("tenant/{}", tenant.id));
        line.after = Some(json!({"name": tenant.name}));
        let outcome = async {
            actor.manages_tenants()?;
            let mut work = self.of(actor).begin().await?;
            work.insert_tenant(&tenant).await?;
            self.commit(work, &mut line).await?;
            Ok(tenant)
        }
        .await;
        self.record(line, outcome).await
    }

    /// Deletes a tenant in which nothing is left: no person, connection or pipeline. Its audit log stays.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NOT_FOUND`, `TENANT_NOT_EMPTY`.
    pub async fn delete_tenant(&self, actor: &Actor, id: TenantId) -> Result<(), ControlError> {
        let mut line = Line::of(actor, "tenant.delete", format!("tenant/{id}"));
        let outcome = async {
            actor.manages_tenants()?;
            let mut work = self.of(actor).begin().await?;
            match work.delete_tenant(id).await {
                Err(StoreError::InUseByPipeline) => return Err(ControlError::TenantNotEmpty),
                other => other?,
            }
            self.commit(work, &mut line).await
        }
        .await;
        self.record(line, outcome).await
    }
}
