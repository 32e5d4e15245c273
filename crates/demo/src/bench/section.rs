//! [`section`]: what `make bench` writes into the page.

use super::ratios::{Loss, Rows};
use super::steady::Followed;
use super::{BACKLOG, BenchArguments, COPIED, pipeline};
use crate::machine::Machine;
use crate::narrator::grouped;
use crate::peer::workload;

/// Where and with what it was measured.
pub(super) struct About {
    pub(super) machine: Machine,
    /// Load averages before the run.
    pub(super) load: String,
    /// Share of the machine that others took meanwhile.
    pub(super) others: String,
    pub(super) versions: String,
}

/// The table that says where, when and with what.
pub(super) fn about_table(about: &About, command: &str) -> String {
    let About { machine: Machine { hardware, date }, load, others, versions } = about;
    format!(
        "| | |
|---|---|
| command | {command} |
| date | {date} |
| machine | {hardware} |
| load | load average {load} before the run; programs that have no part in it took {others} of the machine while it measured |
| versions | {versions} |
"
    )
}

/// Lines that say which ratios were lost; one that says so when none was.
pub(super) fn said_of_losses(losses: &[Loss]) -> String {
    if losses.is_empty() {
        return "No ratio is below the stored ones by more than the spread.".to_owned();
    }
    let lines = losses.iter().map(|loss| {
        format!("LOST: {} is {} of its limit, it was {}", loss.key, loss.found.show(), loss.stored.show())
    });
    lines.collect::<Vec<_>>().join("\n  ")
}

/// The section, with a picture if there is one beside the page.
pub(super) fn section(
    about: &About,
    amounts: BenchArguments,
    rows: &Rows,
    followed: &Followed,
    picture: &str,
) -> String {
    let command = format!(
        "`make bench` with {copied} rows of ten columns (about 400 bytes each) to copy, and for each round a backlog of {backlog} transactions of {changes} changes",
        copied = grouped(COPIED),
        backlog = grouped(BACKLOG),
        changes = workload::CHANGES,
    );
    format!(
        "## The native engine beside its limits (`make bench`)

Each rate stands beside what bounds it whatever segcdc does, measured in the same round on the same data; the share of the limit is what
can be compared between machines. What the target column asks for is what the project promises; what is missed is shown as missed.

{table}
Median (least–greatest) of {rounds} rounds; latency and memory at the steady rate of one. Shares are taken round by round.

![Throughput and lag at a steady rate; the engine is killed and started again]({picture})

The steady rate at the sandbox: {rate:.0} transactions a second, of {changes} changes each. The engine is killed (SIGKILL) at {killed:.0} s and started again
at {started:.0} s; what gathered meanwhile is applied in larger batches.

{about}
How to read it:

- The **null sink** is the sandbox, started so that it keeps its catalog and the pipeline's state but walks over the rows of bulk loads, counts them and
  throws them away; statements on users' tables are answered with the count of what was staged for them, and each COMMIT is answered {delay} ms late.
  It is not SQL Server. It says how fast the engine is where the target is not what bounds it.
- *Copy* and *apply* run the whole `segcdc up`, a process of its own. The time that the same command takes with nothing to copy or to apply is
  subtracted, and shown in a row of its own.
- Source, engine and sink share the cores of this machine: three busy programs on {cores} cores cannot each be as fast as a limit that has the machine for
  itself and one client. The CPU time a row or a change is the figure that does not depend on it.
- *Decode* is the engine's own stream reader and assembler, up to whole transactions with their values cut into fields, which are thrown away then;
  `pg_recvlogical` with the same options cuts nothing.
- *Plan* is the net change of batches of 20,000 changes, as the stream gave them: four of five changes are of a row of their own, the fifth is one of
  four changes of the same document, which become one.
- CPU rates stand beside a **yardstick**: a hash (FNV-1a, byte by byte) of the same values in this process. It does not bound them, and 1.00 means nothing in itself; it
  says how fast the machine is, so that what remains can be compared between machines.
- *Encode* is one thread: rows as the source sent them are converted, checked and encoded as TDS; *with sending* is the engine's loader into the
  null sink without TLS.
- Latency is from the answer to COMMIT at the source until another session sees the change in the sandbox, of {probes} transactions; the one that the engine reports
  counts all transactions of the last 10 to 20 s.
- The ratios are stored in [bench-ratios.json](bench-ratios.json). Each run of `make bench` compares itself with them, and says which is below the stored one by more than
  both spreads.
",
        table = rows.markdown(),
        rounds = amounts.bench_rounds,
        rate = followed.rate,
        changes = workload::CHANGES,
        probes = followed.probes,
        killed = followed.crash.0,
        started = followed.crash.1,
        about = about_table(about, &command),
        delay = pipeline::COMMIT_DELAY.as_millis(),
        cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spread::Spread;

    #[test]
    fn losses_are_said_one_by_one() {
        assert!(said_of_losses(&[]).starts_with("No ratio is below"));
        let at = |median| Spread { least: median, median, greatest: median };
        let loss = |key: &str| Loss { key: key.to_owned(), stored: at(0.9), found: at(0.5) };
        let text = said_of_losses(&[loss("copy"), loss("apply")]);
        assert_eq!(text.lines().count(), 2);
        assert!(
            text.contains("LOST: copy is 0.50 (0.50–0.50) of its limit, it was 0.90 (0.90–0.90)"),
            "{text}"
        );
    }
}
