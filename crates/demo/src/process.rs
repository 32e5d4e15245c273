//! What the system knows of processes: memory and CPU time, from `/proc` (proc(5)).

use std::collections::BTreeSet;
use std::fs;

use rustix::param::clock_ticks_per_second;

/// CPU time of a process, in ticks of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    /// The process.
    id: u32,
    /// Who started it.
    parent: u32,
    /// Its own time, in user and kernel mode.
    own: u64,
    /// The time of children that have ended and were waited for.
    ended: u64,
}

/// Highest resident memory so far, bytes; 0 when it is gone.
pub(crate) fn peak_bytes(id: u32) -> u64 {
    kilobytes(&format!("/proc/{id}/status"), "VmHWM:")
}

/// Resident memory at this moment, bytes; 0 when it is gone. Pages that are shared count whole.
pub(crate) fn resident_bytes(id: u32) -> u64 {
    kilobytes(&format!("/proc/{id}/status"), "VmRSS:")
}

/// Its share of memory at this moment, bytes; 0 when it is gone. A page that n processes share counts as 1/n.
pub(crate) fn proportional_bytes(id: u32) -> u64 {
    kilobytes(&format!("/proc/{id}/smaps_rollup"), "Pss:")
}

/// CPU seconds of a process itself, in user and kernel mode, all threads; 0 when it is gone.
pub(crate) fn cpu_seconds(id: u32) -> f64 {
    stat(id).map_or(0.0, |stat| seconds(stat.own))
}

/// CPU seconds of a process and all that it started, as far as they live or were waited for.
pub(crate) fn tree_cpu_seconds(root: u32) -> f64 {
    seconds(tree_ticks(root, &all()))
}

/// CPU seconds that the whole machine has spent on processes and interrupts.
pub(crate) fn machine_cpu_seconds() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    text.lines().next().map_or(0.0, |line| seconds(busy_ticks(line)))
}

/// user, nice, system, irq and softirq of the line `cpu`; neither idle nor iowait nor stolen time.
fn busy_ticks(line: &str) -> u64 {
    let numbers: Vec<u64> =
        line.split_whitespace().skip(1).filter_map(|number| number.parse().ok()).collect();
    [0, 1, 2, 5, 6].iter().filter_map(|&index| numbers.get(index)).sum()
}

/// The times of a tree.
fn tree_ticks(root: u32, processes: &[Stat]) -> u64 {
    let mut tree = BTreeSet::from([root]);
    loop {
        let before = tree.len();
        tree.extend(
            processes
                .iter()
                .filter(|stat| tree.contains(&stat.parent))
                .map(|stat| stat.id)
                .collect::<Vec<_>>(),
        );
        if tree.len() == before {
            break;
        }
    }
    processes.iter().filter(|stat| tree.contains(&stat.id)).map(|stat| stat.own + stat.ended).sum()
}

/// All processes that can be seen.
fn all() -> Vec<Stat> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| stat(entry.file_name().to_str()?.parse().ok()?)).collect()
}

fn stat(id: u32) -> Option<Stat> {
    parse_stat(id, &fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
}

/// Reads `/proc/<id>/stat`; the program's name, in parentheses, may hold anything.
fn parse_stat(id: u32, text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split_whitespace().collect();
    // The first field behind the name is the third one of the manual.
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Stat {
        id,
        parent: u32::try_from(number(4)?).ok()?,
        own: number(14)? + number(15)?,
        ended: number(16)? + number(17)?,
    })
}

fn kilobytes(path: &str, name: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kilobytes.unwrap_or(0).saturating_mul(1024)
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn seconds(ticks: u64) -> f64 {
    ticks as f64 / clock_ticks_per_second().max(1) as f64
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[test]
    fn this_process_has_memory() {
        let id = std::process::id();
        assert!(peak_bytes(id) > 1 << 20);
        assert!(resident_bytes(id) > 1 << 20);
        let share = proportional_bytes(id);
        assert!(share > 1 << 18 && share <= peak_bytes(id), "{share}");
        assert_eq!(proportional_bytes(0), 0);
    }

    #[test]
    fn work_is_seen_as_cpu_time_of_the_process_its_tree_and_the_machine() {
        let id = std::process::id();
        let before = (cpu_seconds(id), machine_cpu_seconds());
        let begun = std::time::Instant::now();
        while cpu_seconds(id) < before.0 + 0.05 {
            black_box((0..10_000_u64).sum::<u64>());
            assert!(begun.elapsed().as_secs() < 60);
        }
        assert!(tree_cpu_seconds(id) >= before.0 + 0.05);
        assert!(machine_cpu_seconds() > before.1);
    }

    #[test]
    fn a_tree_is_a_process_and_all_below_it() {
        let stat = |id, parent, own, ended| Stat { id, parent, own, ended };
        // Listed with a grandchild before its parent.
        let processes = [
            stat(9, 7, 1, 0),
            stat(7, 5, 10, 100),
            stat(5, 1, 1000, 0),
            stat(6, 1, 5000, 0),
            stat(1, 0, 9000, 9000),
        ];
        assert_eq!(tree_ticks(5, &processes), 1111);
        assert_eq!(tree_ticks(7, &processes), 111);
        assert_eq!(tree_ticks(2, &processes), 0);
    }

    #[test]
    fn fields_are_counted_from_behind_the_name() {
        let text = "42 (a) b (c) S 7 42 42 0 -1 4194560 1 2 3 4 11 22 33 44 20 0 1 0 5 6 7";
        assert_eq!(parse_stat(42, text), Some(Stat { id: 42, parent: 7, own: 33, ended: 77 }));
        assert_eq!(parse_stat(42, "42 (a"), None);
        assert_eq!(busy_ticks("cpu  1 2 4 1000 1000 8 16 1000 0 0"), 31);
    }
}
