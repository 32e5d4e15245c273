//! [`Batch`]: how many transactions go into one target transaction.

use segcdc_model::Transaction;

/// When a batch is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Row changes.
    pub max_changes: usize,
    /// Bytes of the transactions: the memory that they keep alive, and the values that are kept outside of it.
    pub max_bytes: usize,
}

/// Whole transactions in commit order, waiting to be applied together.
///
/// A transaction is never split, so a single one may exceed the limits; it then makes up a batch of its own. So does
/// one whose changes are too many for memory.
#[derive(Debug)]
pub struct Batch {
    limits: BatchLimits,
    transactions: Vec<Transaction>,
    changes: usize,
    bytes: usize,
}

// === impl BatchLimits ===

impl Default for BatchLimits {
    /// 20,000 changes keep one target transaction well under a second; 32 MiB is an eighth of the memory bound.
    fn default() -> Self {
        BatchLimits { max_changes: 20_000, max_bytes: 32 << 20 }
    }
}

// === impl Batch ===

impl Batch {
    /// An empty batch.
    pub fn new(limits: BatchLimits) -> Self {
        Batch { limits, transactions: Vec::new(), changes: 0, bytes: 0 }
    }

    /// Whether `transaction` still fits; the first one always does.
    pub fn accepts(&self, transaction: &Transaction) -> bool {
        self.is_empty()
            || (transaction.spilled.is_none()
                && !self.is_spilled()
                && self.changes.saturating_add(transaction.changes.len()) <= self.limits.max_changes
                && self.bytes.saturating_add(all_bytes(transaction)) <= self.limits.max_bytes)
    }

    /// Whether the batch is one transaction whose changes are too many for memory: it is planned in parts.
    pub fn is_spilled(&self) -> bool {
        self.transactions.iter().any(|transaction| transaction.spilled.is_some())
    }

    /// Adds a transaction, whether it fits or not.
    pub fn push(&mut self, transaction: Transaction) {
        self.changes = self.changes.saturating_add(transaction.changes.len());
        self.bytes = self.bytes.saturating_add(all_bytes(&transaction));
        self.transactions.push(transaction);
    }

    /// Whether a limit has been reached.
    pub fn is_full(&self) -> bool {
        self.changes >= self.limits.max_changes || self.bytes >= self.limits.max_bytes || self.is_spilled()
    }

    /// Whether there is nothing to apply.
    pub fn is_empty(&self) -> bool {
        self.transactions.is_empty()
    }

    /// Number of row changes.
    pub fn changes(&self) -> usize {
        self.changes
    }

    /// Memory that the transactions keep alive, bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The transactions collected so far.
    pub fn transactions(&self) -> &[Transaction] {
        &self.transactions
    }

    /// Hands the transactions over and starts again.
    pub fn take(&mut self) -> Vec<Transaction> {
        self.changes = 0;
        self.bytes = 0;
        std::mem::take(&mut self.transactions)
    }
}

/// Bytes of a transaction, in memory and outside of it.
fn all_bytes(transaction: &Transaction) -> usize {
    let large = usize::try_from(transaction.large_bytes).unwrap_or(usize::MAX);
    transaction.memory_bytes.saturating_add(large)
}
