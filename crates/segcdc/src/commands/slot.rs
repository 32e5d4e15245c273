//! `segcdc slot`

use std::time::Duration;

use segcdc_engine_native::{SlotReport, WalForecast, slot};

use crate::arguments::{Output, PipelineArguments};
use crate::commands;
use crate::console::Console;
use crate::error::CliError;
use crate::exit::Exit;
use crate::text;

/// Shows the replication slot.
///
/// # Errors
/// When there is no such pipeline, or a server cannot be asked.
pub(crate) async fn run(arguments: PipelineArguments, console: Console) -> Result<Exit, CliError> {
    console.allow("slot", &[Output::Table, Output::Json, Output::Name])?;
    let (_, config) = commands::pipeline(&arguments, console)?;
    let report = slot(&config).await?;
    match console.output {
        Output::Json => console.json(&report),
        Output::Name => console.data(&report.name),
        Output::Table | Output::Wide => console.data(&render(&report)),
    }
    Ok(Exit::Ok)
}

/// The slot for people, a line for each thing worth knowing.
pub(crate) fn render(slot: &SlotReport) -> String {
    let origin = if slot.ours { "made by segcdc" } else { "given by the user, never dropped" };
    let mut lines = vec![format!("slot        {} ({origin})", slot.name)];
    if !slot.exists {
        lines.push("state       gone".to_owned());
        return lines.join("\n");
    }
    let reader = slot.active_pid.map_or("nobody".to_owned(), |pid| format!("process {pid} of the source"));
    lines.push(format!("read by     {reader}"));
    let position = |lsn: Option<segcdc_model::Lsn>| lsn.map_or("none".to_owned(), |lsn| lsn.to_string());
    lines.push(format!("confirmed   {}", position(slot.confirmed_flush_lsn)));
    lines.push(format!("needs from  {}", position(slot.restart_lsn)));
    let status = slot.wal_status.as_deref().unwrap_or("unknown");
    lines.push(format!("WAL         {status}, {} held back", text::bytes(slot.retained_bytes)));
    if let Some(reason) = &slot.invalidation {
        lines.push(format!("invalidated {reason}"));
    }
    lines.extend(forecast(&slot.forecast));
    lines.push(match slot.safe_wal_bytes.map(u64::try_from) {
        Some(Ok(bytes)) => format!("limit       {} until the source may drop it", text::bytes(bytes)),
        Some(Err(_)) => "limit       passed: the source may drop it at its next checkpoint".to_owned(),
        None => "limit       none (max_slot_wal_keep_size): a stopped pipeline can fill the source's disk"
            .to_owned(),
    });
    lines.join("\n")
}

/// What is to be expected of the WAL that a slot keeps, for people.
pub(super) fn forecast(forecast: &WalForecast) -> Vec<String> {
    let mut lines = Vec::new();
    let time = |seconds: u64| text::duration(Duration::from_secs(seconds));
    if let (Some(written), Some(growth)) = (forecast.written_per_second, forecast.growth_per_second) {
        let change = match u64::try_from(growth) {
            Ok(0) => "what is held back stays as it is".to_owned(),
            Ok(growth) => format!("what is held back grows by {}/s", text::bytes(growth)),
            Err(_) => format!("what is held back shrinks by {}/s", text::bytes(growth.unsigned_abs())),
        };
        lines.push(format!("pace        the source writes {}/s, {change}", text::bytes(written)));
    }
    let limit = forecast.limit_bytes.map(text::bytes).unwrap_or_default();
    match (forecast.limit_in_seconds, forecast.outage_seconds) {
        (Some(seconds), _) => {
            lines.push(format!(
                "forecast    the limit of {limit} is reached in {} if that goes on",
                time(seconds)
            ));
        }
        (None, Some(seconds)) => lines.push(format!(
            "forecast    the limit of {limit} is {} away for a pipeline that stands still from now on",
            time(seconds)
        )),
        (None, None) => {}
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use segcdc_model::Lsn;

    #[test]
    fn a_slot_tells_what_it_holds_back() {
        let slot = SlotReport {
            name: "segcdc_shop_g1".to_owned(),
            ours: true,
            exists: true,
            active_pid: Some(4711),
            confirmed_flush_lsn: Some(Lsn::new(0x16_b374_d848)),
            restart_lsn: Some(Lsn::new(0x16_b374_0000)),
            wal_status: Some("reserved".to_owned()),
            invalidation: None,
            retained_bytes: 3 << 29,
            safe_wal_bytes: None,
            forecast: WalForecast::default(),
            alerts: Vec::new(),
        };
        insta::assert_snapshot!("slot_running", render(&slot));
        let stands = WalForecast {
            limit_bytes: Some(64 << 30),
            left_bytes: Some(62 << 30),
            written_per_second: Some(5 << 20),
            growth_per_second: Some(5 << 20),
            limit_in_seconds: Some(12_697),
            outage_seconds: Some(12_697),
        };
        let grows = SlotReport { forecast: stands, safe_wal_bytes: Some(62 << 30), ..slot.clone() };
        insta::assert_snapshot!("slot_grows", render(&grows));
        let keeps_up = WalForecast { growth_per_second: Some(-2048), limit_in_seconds: None, ..stands };
        let keeps_up = SlotReport { forecast: keeps_up, ..grows };
        insta::assert_snapshot!("slot_keeps_up", render(&keeps_up));
        let lost = SlotReport {
            active_pid: None,
            wal_status: Some("lost".to_owned()),
            invalidation: Some("wal_removed".to_owned()),
            safe_wal_bytes: Some(-5),
            ..slot.clone()
        };
        insta::assert_snapshot!("slot_lost", render(&lost));
        insta::assert_snapshot!("slot_gone", render(&SlotReport { exists: false, ours: false, ..slot }));
    }
}
