//! The text of replication commands, in the grammar of the server's version.

use segcdc_model::Lsn;

use super::SlotSnapshot;
use crate::error::SourceError;
use crate::quote;
use crate::stream::StreamOptions;

/// First version with the parenthesised option list of CREATE_REPLICATION_SLOT.
const OPTION_LIST_VERSION: u32 = 150_000;

/// First version with slots that survive a failover.
const FAILOVER_VERSION: u32 = 170_000;

/// In which form pgoutput sends fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FieldForm {
    /// The types' text output.
    #[default]
    Text,
    /// The types' binary output, for every type that has one: only where each published column has an exact decoder.
    Binary,
}

/// CREATE_REPLICATION_SLOT, for a server of a version that is a standby or is not.
pub(super) fn create_slot(
    (server_version_num, is_standby): (u32, bool),
    name: &str,
    snapshot: SlotSnapshot,
    temporary: bool,
) -> Result<String, SourceError> {
    let name = quote::slot_name(name)?;
    let temporary_word = if temporary { " TEMPORARY" } else { "" };
    let options = if server_version_num < OPTION_LIST_VERSION {
        match snapshot {
            SlotSnapshot::Export => "EXPORT_SNAPSHOT",
            SlotSnapshot::None => "NOEXPORT_SNAPSHOT",
        }
        .to_owned()
    } else {
        let action = match snapshot {
            SlotSnapshot::Export => "export",
            SlotSnapshot::None => "nothing",
        };
        // A slot that is not copied to standbys is lost with the primary; one that is costs nothing without standbys. That of
        // a standby is copied nowhere.
        let failover = server_version_num >= FAILOVER_VERSION && !temporary && !is_standby;
        format!("(SNAPSHOT '{action}'{})", if failover { ", FAILOVER" } else { "" })
    };
    Ok(format!("CREATE_REPLICATION_SLOT {name}{temporary_word} LOGICAL pgoutput {options}"))
}

/// START_REPLICATION.
pub(super) fn start(
    slot: &str,
    from: Lsn,
    publications: &[&str],
    options: &StreamOptions,
) -> Result<String, SourceError> {
    let (slot, publications) = (quote::slot_name(slot)?, quote::publication_names(publications)?);
    let version = if options.streaming { 2 } else { 1 };
    let mut text = format!(
        "START_REPLICATION SLOT {slot} LOGICAL {from} \
         (proto_version '{version}', publication_names {publications}, messages 'true'"
    );
    if options.streaming {
        text.push_str(", streaming 'on'");
    }
    match options.fields {
        FieldForm::Text => {}
        FieldForm::Binary => text.push_str(", binary 'true'"),
    }
    text.push(')');
    Ok(text)
}

/// The lines of a timeline history file (`timeline.c`): a timeline, where it was left, and why, with tabs between.
/// `None` for a line of another form; empty lines and comments are left out.
pub(super) fn parse_history(content: &str) -> Option<Vec<(u32, Lsn)>> {
    let lines = content.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_files_are_read() {
        let content = "1\t0/3000158\tno recovery target specified\n\n# note\n2\t16/A0\tbefore 2026\n";
        let expected = vec![(1, Lsn::new(0x0300_0158)), (2, Lsn::new(0x16_0000_00A0))];
        assert_eq!(parse_history(content), Some(expected));
        assert_eq!(parse_history(""), Some(Vec::new()));
        for bad in ["1", "x 0/1", "1 3000158"] {
            assert_eq!(parse_history(bad), None, "{bad}");
        }
    }

    #[test]
    fn slots_are_made_in_the_grammar_of_the_version() {
        let check = |version, snapshot, temporary, expected: &str| {
            assert_eq!(create_slot((version, false), "s", snapshot, temporary).unwrap(), expected);
        };
        let (export, none) = (SlotSnapshot::Export, SlotSnapshot::None);
        check(140_000, export, false, "CREATE_REPLICATION_SLOT \"s\" LOGICAL pgoutput EXPORT_SNAPSHOT");
        check(
            140_000,
            none,
            true,
            "CREATE_REPLICATION_SLOT \"s\" TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT",
        );
        check(
            150_018,
            export,
            true,
            "CREATE_REPLICATION_SLOT \"s\" TEMPORARY LOGICAL pgoutput (SNAPSHOT 'export')",
        );
        check(
            170_001,
            none,
            false,
            "CREATE_REPLICATION_SLOT \"s\" LOGICAL pgoutput (SNAPSHOT 'nothing', FAILOVER)",
        );
        check(
            170_001,
            export,
            true,
            "CREATE_REPLICATION_SLOT \"s\" TEMPORARY LOGICAL pgoutput (SNAPSHOT 'export')",
        );
        assert!(create_slot((150_000, false), "My-Slot", export, false).is_err());
        let of_standby = create_slot((170_001, true), "s", none, false).unwrap();
        assert_eq!(of_standby, "CREATE_REPLICATION_SLOT \"s\" LOGICAL pgoutput (SNAPSHOT 'nothing')");
    }

    #[test]
    fn publication_names_are_quoted_twice() {
        let text = start("s", Lsn::new(0x1_0000_00FF), &["a'b", "c\"d"], &StreamOptions::default()).unwrap();
        assert_eq!(
            text,
            "START_REPLICATION SLOT \"s\" LOGICAL 1/FF (proto_version '1', \
             publication_names '\"a''b\",\"c\"\"d\"', messages 'true')"
        );
        let options =
            StreamOptions { streaming: true, fields: FieldForm::Binary, ..StreamOptions::default() };
        let text = start("s", Lsn::ZERO, &["p"], &options).unwrap();
        assert!(text.ends_with(", messages 'true', streaming 'on', binary 'true')"), "{text}");
        assert!(text.contains("proto_version '2'"), "{text}");
    }
}
