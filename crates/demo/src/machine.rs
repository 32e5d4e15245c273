//! [`Machine`]: where something was measured, and with what.

use std::fs;
use std::process::Command;

/// What a reader needs to know to judge a figure.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    /// Processor, cores, memory, kernel.
    pub(crate) hardware: String,
    /// The day, of UTC.
    pub(crate) date: String,
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
    fn this_machine_is_known() {
        let machine = Machine::here();
        assert!(machine.date.starts_with("20") && machine.date.len() == 10, "{machine:?}");
        assert!(!machine.hardware.contains("unknown") && !machine.hardware.contains(" 0 "), "{machine:?}");
        assert_eq!(load_average().split(' ').count(), 3);
    }
}
