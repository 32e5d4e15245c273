//! Arguments about the WAL that the source keeps.

use clap::{Args, ValueEnum};

/// How much WAL the source may keep for the pipeline.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct WalArguments {
    /// WAL that the source may keep for the pipeline, as 50GB (units kB, MB, GB, TB of 1024 each, as in PostgreSQL's settings).
    /// Less than its disk can spare: while the target is away, WAL piles up there. Without it, only the source's own
    /// max_slot_wal_keep_size counts
    #[arg(
        long, value_name = "SIZE", value_parser = size, env = "SEGCDC_MAX_RETAINED_WAL",
        hide_env_values = true
    )]
    pub(crate) max_retained_wal: Option<u64>,
    /// What happens behind --max-retained-wal
    #[arg(long, value_enum, default_value = "alert", env = "SEGCDC_WAL_POLICY", hide_env_values = true)]
    pub(crate) wal_policy: WalPolicyChoice,
}

/// What happens behind the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum WalPolicyChoice {
    /// Say so in the log, in progress and in status, and go on
    #[default]
    Alert,
    /// Drop the slot before the disk is full, and stop with WAL_LIMIT_REACHED. The next `up` copies all tables again, as it
    /// does with this policy when it finds the slot gone or lost
    GiveUp,
}

/// Reads a size: a whole number and a unit of 1024, as PostgreSQL's settings have them.
///
/// # Errors
/// What is expected.
fn size(text: &str) -> Result<u64, String> {
    let expected = || "expected a whole number with a unit, as 512MB or 50GB".to_owned();
    let text = text.trim();
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "kb" => 10,
        "mb" => 20,
        "gb" => 30,
        "tb" => 40,
        _ => return Err(expected()),
    };
    let number: u64 = number.parse().map_err(|_| expected())?;
    let bytes = number.checked_mul(1 << shift).filter(|bytes| (1..=1 << 60).contains(bytes));
    bytes.ok_or_else(|| "expected a size from 1kB to 1048576TB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, expected) in [
            ("1kB", Ok(1 << 10)),
            ("512MB", Ok(512 << 20)),
            (" 50 gb ", Ok(50 << 30)),
            ("2TB", Ok(2 << 40)),
            ("50", Err(())),
            ("0MB", Err(())),
            ("1.5GB", Err(())),
            ("-1GB", Err(())),
            ("GB", Err(())),
            ("9999999999999TB", Err(())),
            ("1GiB", Err(())),
        ] {
            assert_eq!(size(text).map_err(drop), expected, "{text}");
        }
    }
}
