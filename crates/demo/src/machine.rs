//! [`Machine`]: where something was measured, and with what; [`Others`]: who else used it meanwhile.

use std::fs;
use std::process::Command;
use std::time::Instant;

use crate::process;

/// What a reader needs to know to judge a figure.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    /// Processor, cores, memory, kernel.
    pub(crate) hardware: String,
    /// The day, of UTC.
    pub(crate) date: String,
}

/// Counts the CPU time of programs that this one has not started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Others {
    begun: Instant,
    /// CPU seconds of the whole machine, and of this program and all that it started.
    before: (f64, f64),
}

// === impl Machine ===

impl Machine {
    /// This one, today.
    pub(crate) fn here() -> Self {
        let file = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let value = |text: &str, name: &str, mark: char| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_once(mark).map_or("unknown", |(_, value)| value.trim()).to_owned()
        };
        let processor = value(&file("/proc/cpuinfo"), "model name", ':');
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let memory = value(&file("/proc/meminfo"), "MemTotal", ':');
        let kilobytes: u64 = memory.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0);
        let kernel = file("/proc/sys/kernel/osrelease");
        let hardware = format!(
            "{processor}, {cores} cores, {} GiB memory, Linux {}",
            (kilobytes + (1 << 19)) >> 20,
            kernel.trim()
        );
        Machine { hardware, date: said(Command::new("date").args(["-u", "+%Y-%m-%d"])) }
    }
}

// === impl Others ===

impl Others {
    /// Begins to count.
    pub(crate) fn begin() -> Self {
        Others { begun: Instant::now(), before: Self::times() }
    }

    /// The share of all cores that they took since, 0 to 1.
    pub(crate) fn share(self) -> f64 {
        let (machine, own) = Self::times();
        let cores =
            std::thread::available_parallelism().ok().and_then(|cores| u32::try_from(cores.get()).ok());
        let room = self.begun.elapsed().as_secs_f64() * f64::from(cores.unwrap_or(1));
        let others = (machine - self.before.0) - (own - self.before.1);
        (others / room.max(0.001)).clamp(0.0, 1.0)
    }

    /// That share for people.
    pub(crate) fn shown(self) -> String {
        format!("{:.0} %", self.share() * 100.0)
    }

    fn times() -> (f64, f64) {
        (process::machine_cpu_seconds(), process::tree_cpu_seconds(std::process::id()))
    }
}

/// Load averages of one, five and fifteen minutes.
pub(crate) fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// The first line that a program prints.
pub(crate) fn said(command: &mut Command) -> String {
    let output = command.output().map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
    String::from_utf8_lossy(&output).lines().next().unwrap_or("unknown").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_work_is_not_that_of_others() {
        let others = Others::begin();
        let until = process::cpu_seconds(std::process::id()) + 0.2;
        while process::cpu_seconds(std::process::id()) < until {
            std::hint::black_box((0..10_000_u64).sum::<u64>());
        }
        let (machine, own) = Others::times();
        assert!(own - others.before.1 >= 0.19 && machine - others.before.0 >= 0.19);
        assert!((0.0..=1.0).contains(&others.share()));
    }

    #[test]
    fn this_machine_is_known() {
        let machine = Machine::here();
        assert!(machine.date.starts_with("20") && machine.date.len() == 10, "{machine:?}");
        assert!(!machine.hardware.contains("unknown") && !machine.hardware.contains(" 0 "), "{machine:?}");
        assert_eq!(load_average().split(' ').count(), 3);
    }
}
