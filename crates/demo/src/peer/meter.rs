//! [`Meter`]: CPU time and memory that a part of the run takes, by process.

use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::process;

/// Time between two looks at the memory of several large processes: reading their maps is work too.
const PERIOD: Duration = Duration::from_millis(500);
/// The same of a single small one, which may be done after a second.
const SHORT_PERIOD: Duration = Duration::from_millis(50);

/// Processes that are watched.
#[derive(Debug, Clone)]
pub(super) struct Watched {
    /// Those of the pipeline, by name.
    pub(super) pipeline: Vec<(&'static str, u32)>,
    /// The target; all that it started counts too.
    pub(super) target: u32,
    /// The source; all that it started counts too.
    pub(super) source: u32,
}

/// A part that is being measured.
pub(super) struct Meter {
    watched: Watched,
    begun: Instant,
    before: Times,
    stop: mpsc::Sender<()>,
    sampler: JoinHandle<Vec<Memory>>,
}

/// What a part took.
#[derive(Debug, Clone, Default)]
pub(super) struct Usage {
    /// CPU seconds of each process of the pipeline.
    pub(super) pipeline: Vec<(&'static str, f64)>,
    /// CPU seconds of the target.
    pub(super) target: f64,
    /// CPU seconds of the source.
    pub(super) source: f64,
    /// Share of the machine's cores that programs took which have no part in this, 0 to 1.
    pub(super) others: f64,
    /// Highest memory of each process of the pipeline.
    pub(super) memory: Vec<(&'static str, Memory)>,
    /// Highest memory of all of them together, at one moment.
    pub(super) together: Memory,
}

/// Memory of a process, bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// Resident; shared pages count whole.
    pub(super) resident: u64,
    /// Proportional: shared pages count by their share.
    pub(super) proportional: u64,
}

/// CPU seconds since the processes began.
#[derive(Debug, Clone, Default)]
struct Times {
    pipeline: Vec<f64>,
    target: f64,
    source: f64,
    own: f64,
    machine: f64,
}

// === impl Meter ===

impl Meter {
    /// Begins.
    pub(super) fn begin(watched: Watched) -> Self {
        let (stop, stopped) = mpsc::channel::<()>();
        let ids: Vec<u32> = watched.pipeline.iter().map(|(_, id)| *id).collect();
        let period = if ids.len() > 1 { PERIOD } else { SHORT_PERIOD };
        let sampler = std::thread::spawn(move || {
            // One for each process, and one for the sum.
            let mut peaks = vec![Memory::default(); ids.len() + 1];
            loop {
                let now: Vec<Memory> = ids.iter().map(|&id| Memory::of(id)).collect();
                let sum = now.iter().fold(Memory::default(), |sum, memory| sum.plus(*memory));
                for (peak, memory) in peaks.iter_mut().zip(now.into_iter().chain([sum])) {
                    *peak = peak.max(memory);
                }
                if stopped.recv_timeout(period) != Err(mpsc::RecvTimeoutError::Timeout) {
                    return peaks;
                }
            }
        });
        let before = Times::of(&watched);
        Meter { watched, begun: Instant::now(), before, stop, sampler }
    }

    /// Ends; all processes must still be there.
    pub(super) fn end(self) -> Usage {
        let after = Times::of(&self.watched);
        let seconds = self.begun.elapsed().as_secs_f64();
        self.stop.send(()).ok();
        let mut peaks = self.sampler.join().unwrap_or_default();
        let together = peaks.pop().unwrap_or_default();
        let names = || self.watched.pipeline.iter().map(|(name, _)| *name);
        let spent = after.pipeline.iter().zip(&self.before.pipeline).map(|(after, before)| after - before);
        let pipeline: Vec<_> = names().zip(spent).collect();
        let cores =
            std::thread::available_parallelism().ok().and_then(|cores| u32::try_from(cores.get()).ok());
        let cores = f64::from(cores.unwrap_or(1));
        let (target, source) = (after.target - self.before.target, after.source - self.before.source);
        let ours = pipeline.iter().map(|(_, spent)| spent).sum::<f64>() + target + source + after.own
            - self.before.own;
        let others = (after.machine - self.before.machine - ours) / (seconds * cores);
        let memory = names().zip(peaks).collect();
        Usage { pipeline, target, source, others: others.clamp(0.0, 1.0), memory, together }
    }
}

// === impl Times ===

impl Times {
    fn of(watched: &Watched) -> Self {
        Times {
            pipeline: watched.pipeline.iter().map(|(_, id)| process::cpu_seconds(*id)).collect(),
            target: process::tree_cpu_seconds(watched.target),
            source: process::tree_cpu_seconds(watched.source),
            own: process::cpu_seconds(std::process::id()),
            machine: process::machine_cpu_seconds(),
        }
    }
}

// === impl Usage ===

impl Usage {
    /// CPU seconds of all processes of the pipeline.
    pub(super) fn cpu(&self) -> f64 {
        self.pipeline.iter().map(|(_, spent)| spent).sum()
    }
}

// === impl Memory ===

impl Memory {
    fn of(id: u32) -> Self {
        Memory { resident: process::resident_bytes(id), proportional: process::proportional_bytes(id) }
    }

    fn plus(self, other: Self) -> Self {
        Memory {
            resident: self.resident + other.resident,
            proportional: self.proportional + other.proportional,
        }
    }

    /// The higher one of each.
    pub(super) fn max(self, other: Self) -> Self {
        Memory {
            resident: self.resident.max(other.resident),
            proportional: self.proportional.max(other.proportional),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn work_of_a_process_counts_for_the_side_that_it_belongs_to() {
        // Works until its standard input ends.
        let busy = || {
            let mut command = Command::new("sh");
            command.args(["-c", "(while :; do :; done) & read -r _; kill $!"]).stdin(Stdio::piped());
            command.spawn().unwrap()
        };
        let mut idle = Command::new("sh").args(["-c", "read -r _"]).stdin(Stdio::piped()).spawn().unwrap();
        let mut target = busy();
        let watched = Watched { pipeline: vec![("idle", idle.id())], target: target.id(), source: idle.id() };
        let begun = process::tree_cpu_seconds(target.id());
        let meter = Meter::begin(watched);
        let limit = Instant::now() + Duration::from_secs(60);
        while process::tree_cpu_seconds(target.id()) < begun + 0.2 {
            assert!(Instant::now() < limit);
            std::thread::yield_now();
        }
        let usage = meter.end();
        assert!(usage.target >= 0.15, "{usage:?}");
        assert!(usage.cpu() < 0.05 && usage.source < 0.05, "{usage:?}");
        let memory = usage.memory.first().unwrap().1;
        assert!(memory.resident > 1 << 18 && memory.proportional <= memory.resident, "{usage:?}");
        assert_eq!(usage.together, memory);
        for child in [&mut target, &mut idle] {
            drop(child.stdin.take());
            child.wait().unwrap();
        }
    }
}
