//! Arguments about the WAL that the source keeps.

use clap::{Args, ValueEnum};

use crate::text::parse_bytes;

/// How much WAL the source may keep for the pipeline.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct WalArguments {
    /// WAL that the source may keep for the pipeline, like 50GiB or, as PostgreSQL's settings write the same, 50GB.
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

/// Least limit, bytes: PostgreSQL keeps WAL in segments of 16 MiB, or of 1 MiB at least.
const LEAST: u64 = 1 << 20;

/// Reads the limit.
///
/// # Errors
/// What is expected.
fn size(text: &str) -> Result<u64, String> {
    let bytes = parse_bytes(text)?;
    if bytes < LEAST { Err("expected 1MiB or more, like 50GiB".to_owned()) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, expected) in [
            ("1MB", Ok(1 << 20)),
            ("512MB", Ok(512 << 20)),
            ("512MiB", Ok(512 << 20)),
            (" 50 gb ", Ok(50 << 30)),
            ("2TB", Ok(2 << 40)),
            ("50", Err(())),
            ("1kB", Err(())),
            ("0MB", Err(())),
            ("1.5GB", Err(())),
            ("-1GB", Err(())),
            ("GB", Err(())),
            ("9999999999999TB", Err(())),
        ] {
            assert_eq!(size(text).map_err(drop), expected, "{text}");
        }
    }
}
