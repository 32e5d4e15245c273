//! What the system tells of this process. Where it does not, there is no sample.

use std::fs;

use super::samples::Samples;

/// Ticks of a second in which Linux counts processor time for programs, on every architecture that it runs on today.
const TICKS: f64 = 100.0;

/// Adds what is known.
pub(super) fn add(samples: &mut Samples) {
    let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
    if let Some(bytes) = resident_bytes(&read("status")) {
        samples.gauge("process_resident_memory_bytes", "Memory that is in use.", Vec::new(), bytes);
    }
    if let Some(seconds) = processor_seconds(&read("stat")) {
        samples.counter("process_cpu_seconds", "Processor time, user and system.", Vec::new(), seconds);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        let open = u32::try_from(open.count()).unwrap_or(u32::MAX);
        samples.gauge("process_open_fds", "Open files and connections.", Vec::new(), f64::from(open));
    }
}

/// The line `VmRSS:    1234 kB` of `status`.
fn resident_bytes(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024.0)
}

/// Fields 14 and 15 of `stat`, counted behind the name, which can hold anything in its parentheses.
fn processor_seconds(stat: &str) -> Option<f64> {
    let (_name, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_tells_is_read() {
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t    2048 kB\n"), Some(2_097_152.0));
        assert_eq!(resident_bytes(""), None);
        let stat = "7 (a b) c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0";
        assert_eq!(processor_seconds(stat), Some(2.0));
        assert_eq!(processor_seconds("7 (x) S 1"), None);
    }
}
