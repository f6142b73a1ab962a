//! State: what a router knows of models, providers and pools.

use std::collections::BTreeMap;
use std::ops::Deref;

use serde_core::Serialize;
use serde_core::de::DeserializeOwned;

use crate::connector::{Inventory, Locking, StorageConnector, TypedValues};
use crate::error::Result;
use crate::records::locked::locked;
use crate::records::shape::{record, words};
use crate::records::timestamp::Timestamp;

words! {
    /// Whether a model takes requests.
    ModelStatus {
        /// It does.
        Active = "active",
        /// It waits for its recovery.
        Standby = "standby",
    }
}

words! {
    /// Why a model was put on standby.
    DeactivationReason {
        /// Too many requests failed.
        ErrorThreshold = "error_threshold",
        /// The provider's quota is used up.
        QuotaExhausted = "quota_exhausted",
        /// The money is spent.
        BudgetExceeded = "budget_exceeded",
        /// So many tokens were allowed.
        TokenLimit = "token_limit",
        /// So many requests were allowed.
        RequestLimit = "request_limit",
        /// It is being maintained.
        MaintenanceWindow = "maintenance_window",
        /// Somebody said so.
        Manual = "manual",
    }
}

record! {
    /// What is known of a model.
    ModelState required [] {
        /// The model.
        model_id: String,
        /// Whether it takes requests.
        status: ModelStatus,
        /// How many requests failed since the last one that did not.
        failure_count: u64,
        /// The share of requests that failed, from 0 to 1.
        error_rate: f64,
        /// How many requests it was given.
        total_requests: u64,
        /// How many tokens these took.
        total_tokens: u64,
        /// What these cost.
        total_cost: f64,
        /// Until when it rests, in seconds since 1970.
        cooldown_until: Option<f64>,
        /// Why it is on standby.
        deactivation_reason: Option<DeactivationReason>,
        /// When a request failed last, in seconds since 1970.
        last_failure_at: Option<f64>,
        /// When a request succeeded last, in seconds since 1970.
        last_success_at: Option<f64>,
        /// Whose model it is.
        provider_id: Option<String>,
    }
}

record! {
    /// What is known of a provider.
    ProviderState required [] {
        /// Whether it can be reached.
        available: bool = true,
        /// Whether it takes our credentials.
        auth_valid: bool = true,
        /// When it was last asked.
        last_probe: Option<Timestamp>,
        /// How well it could be reached of late, from 0 to 1.
        availability_score: f64 = 1.0,
        /// How many of its models are active.
        active_model_count: u64,
        /// How much of its quota is used.
        total_quota_used: u64,
        /// What it cost.
        total_cost: f64,
    }
}

record! {
    /// What is known of a pool.
    PoolState required [] {
        /// Its models that take requests.
        active_models: Vec<String>,
        /// Its models that do not.
        standby_models: Vec<String>,
        /// How often another model took over.
        rotation_count: u64,
        /// When one last did.
        last_rotation: Option<Timestamp>,
    }
}

record! {
    /// All state of one moment.
    SystemState required [] {
        /// Each model's, by its id.
        models: BTreeMap<String, ModelState>,
        /// Each provider's, by its id.
        providers: BTreeMap<String, ProviderState>,
        /// Each pool's, by its id.
        pools: BTreeMap<String, PoolState>,
        /// The moment.
        timestamp: Option<Timestamp>,
    }
}

/// A record that there is one of for each id.
pub trait StateRecord: Serialize + DeserializeOwned + Send + Sync {
    /// What its keys begin with: `state/model/`.
    const PREFIX: &'static str;

    /// What is known of one that nothing is known of.
    fn unknown(id: &str) -> Self;
}

impl StateRecord for ModelState {
    const PREFIX: &'static str = "state/model/";

    fn unknown(id: &str) -> Self {
        Self { model_id: id.to_owned(), ..Self::default() }
    }
}

impl StateRecord for ProviderState {
    const PREFIX: &'static str = "state/provider/";

    fn unknown(_: &str) -> Self {
        Self::default()
    }
}

impl StateRecord for PoolState {
    const PREFIX: &'static str = "state/pool/";

    fn unknown(_: &str) -> Self {
        Self::default()
    }
}

/// Where the snapshot of all models is.
const SYSTEM: &str = "state/system";

/// The state in a storage: an entry for each model, provider and pool, and one snapshot of all of them.
///
/// The id is the end of the key, as it is: `state/model/openai/gpt-4o`.
#[derive(Clone, Debug)]
pub struct States<S> {
    storage: S,
}

impl<S: Deref> States<S> {
    /// The state in this storage.
    pub fn new(storage: S) -> Self {
        Self { storage }
    }
}

impl<S: Deref<Target: StorageConnector>> States<S> {
    /// Saves what is known of one, in place of what was.
    ///
    /// # Errors
    ///
    /// As for [`Persistence::save`](crate::Persistence::save).
    pub async fn save<R: StateRecord>(&self, id: &str, record: &R) -> Result<()> {
        self.storage.save_value(&key::<R>(id), record).await
    }

    /// What is known of one.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if something else is there; as for
    /// [`Persistence::load`](crate::Persistence::load).
    pub async fn load<R: StateRecord>(&self, id: &str) -> Result<Option<R>> {
        self.storage.load_value(&key::<R>(id)).await
    }

    /// The ids of all of which something is known, in ascending order. Reads no record.
    ///
    /// # Errors
    ///
    /// As for [`Inventory::list`](crate::Inventory::list).
    pub async fn ids<R: StateRecord>(&self) -> Result<Vec<String>> {
        let keys = self.storage.list(Some(R::PREFIX)).await?;
        Ok(keys.iter().filter_map(|key| key.strip_prefix(R::PREFIX)).map(str::to_owned).collect())
    }

    /// What is known of all of one kind, by id.
    ///
    /// # Errors
    ///
    /// As for [`States::load`] and [`States::ids`].
    pub async fn all<R: StateRecord>(&self) -> Result<BTreeMap<String, R>> {
        let mut all = BTreeMap::new();
        for id in self.ids::<R>().await? {
            // One that was deleted meanwhile is not there.
            if let Some(record) = self.load(&id).await? {
                all.insert(id, record);
            }
        }
        Ok(all)
    }

    /// Forgets one; false if nothing was known of it.
    ///
    /// # Errors
    ///
    /// As for [`Inventory::delete`](crate::Inventory::delete).
    pub async fn forget<R: StateRecord>(&self, id: &str) -> Result<bool> {
        self.storage.delete(&key::<R>(id)).await
    }

    /// Saves a snapshot, in place of the last one.
    ///
    /// # Errors
    ///
    /// As for [`Persistence::save`](crate::Persistence::save).
    pub async fn save_snapshot(&self, state: &SystemState) -> Result<()> {
        self.storage.save_value(SYSTEM, state).await
    }

    /// The snapshot that was saved last.
    ///
    /// # Errors
    ///
    /// As for [`States::load`].
    pub async fn load_snapshot(&self) -> Result<Option<SystemState>> {
        self.storage.load_value(SYSTEM).await
    }

    /// All entries as one snapshot, which is not saved. They are read one after the other: what changes meanwhile
    /// may be in it or not.
    ///
    /// # Errors
    ///
    /// As for [`States::all`].
    pub async fn gather(&self, timestamp: Timestamp) -> Result<SystemState> {
        let (models, providers, pools) = (self.all().await?, self.all().await?, self.all().await?);
        Ok(SystemState { models, providers, pools, timestamp: Some(timestamp), ..SystemState::default() })
    }
}

impl<S: Deref<Target: StorageConnector + Locking>> States<S> {
    /// Changes what is known of one, holding the lock on its key: of several that do so, none undoes what another
    /// did. It waits for the lock as long as the connector was told to. A future that is dropped midway leaves the
    /// lock to its lease, or to the closing of the connector.
    ///
    /// # Errors
    ///
    /// As for [`Locking::acquire`](crate::Locking::acquire), [`States::load`] and [`States::save`].
    pub async fn update<R: StateRecord>(&self, id: &str, change: impl FnOnce(&mut R)) -> Result<R> {
        let key = key::<R>(id);
        let work = async {
            let mut record = self.storage.load_value(&key).await?.unwrap_or_else(|| R::unknown(id));
            change(&mut record);
            self.storage.save_value(&key, &record).await?;
            Ok(record)
        };
        locked(&*self.storage, &key, work).await
    }
}

fn key<R: StateRecord>(id: &str) -> String {
    [R::PREFIX, id].concat()
}
