//! The engine with a real Kafka broker, a real Kafka Connect worker and Debezium's connectors.

#[cfg(test)]
mod brokers;
#[cfg(test)]
mod canary;
#[cfg(test)]
mod doors;
#[cfg(test)]
mod handover;
#[cfg(test)]
mod life;
#[cfg(test)]
mod references;
#[cfg(test)]
mod restarts;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod traces;
#[cfg(test)]
mod worker_faults;
