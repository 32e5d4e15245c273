//! `segcdc transaction`

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, Subcommand};
use segcdc_model::Lsn;

use super::PipelineArguments;

/// What to do with single transactions of the source.
#[derive(Debug, Subcommand)]
pub(crate) enum TransactionCommand {
    /// List the transactions that are to be left out, and those that were: they stay here, since source and target differ by them
    #[command(after_help = "Examples:\n  segcdc transaction list\n  segcdc transaction list -o json")]
    List(PipelineArguments),
    /// Have one transaction of the source not applied, all of it: named by the position behind its COMMIT record
    #[command(
        after_help = "Examples:\n  segcdc transaction skip 0/1A2B3C8 --yes && segcdc up\n\nA running pipeline takes note at its next \
                            start. When the transaction comes, it is left out, and recorded\nwith the checkpoint behind it. If none \
                            ends at this position, everything is applied. Errors and the log\nname positions; at the source, \
                            pg_waldump shows them. `segcdc verify --repair` makes both sides equal again."
    )]
    Skip(SkipArguments),
    /// Take back that a transaction is to be left out, as long as it has not come
    #[command(after_help = "Examples:\n  segcdc transaction keep 0/1A2B3C8")]
    Keep(KeepArguments),
}

/// `segcdc transaction skip`
#[derive(Debug, Clone, Args)]
pub(crate) struct SkipArguments {
    /// The transaction.
    #[command(flatten)]
    pub(crate) transaction: KeepArguments,
    /// Do not ask; needed without a terminal
    #[arg(
        long, short, action = ArgAction::SetTrue, env = "SEGCDC_YES", hide_env_values = true,
        value_parser = BoolishValueParser::new()
    )]
    pub(crate) yes: bool,
}

/// `segcdc transaction keep`
#[derive(Debug, Clone, Args)]
pub(crate) struct KeepArguments {
    /// The pipeline.
    #[command(flatten)]
    pub(crate) pipeline: PipelineArguments,
    /// The position behind its COMMIT record, as PostgreSQL writes it: 16/B374D848
    #[arg(value_name = "LSN", value_parser = parse)]
    pub(crate) end_lsn: Lsn,
}

/// Reads a position. There is no transaction at 0/0.
fn parse(text: &str) -> Result<Lsn, String> {
    let lsn: Lsn =
        text.parse().map_err(|_| "a position is two hexadecimal numbers, like 16/B374D848".to_owned())?;
    if lsn == Lsn::ZERO { Err("no transaction ends at 0/0".to_owned()) } else { Ok(lsn) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_as_postgresql_writes_them() {
        assert_eq!(parse("16/B374D848"), Ok(Lsn::new(0x16_B374_D848)));
        for wrong in ["0/0", "ZZ/1", "16/B374D848 ", "16", "", "1/1/1", "-1/1", "16/1B374D8480"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
