//! The script of `plan --post-load` as text.

use segcdc_engine_native::{PostKind, PostLoad, PostStatement};

/// What the script begins with.
const HEAD: &str = "\
-- For the day on which people use this database instead of the source. Run it when the pipeline has ended for good: it
-- writes tables one after the other, which foreign keys forbid, and brings values that defaults would only repeat.
-- Sequences go on where the source's stand now: print this script when nobody writes there any more.
SET QUOTED_IDENTIFIER ON;
SET ANSI_NULLS ON;
GO
";

/// The whole script, without a line feed at its end.
pub(crate) fn script(made: &PostLoad) -> String {
    let mut text = HEAD.to_owned();
    let mut kind = None;
    for statement in &made.statements {
        if kind != Some(statement.kind) {
            kind = Some(statement.kind);
            text.push_str(&format!("\n-- {}\n", title(statement.kind)));
        }
        text.push_str(&line(statement));
    }
    if !made.notes.is_empty() {
        text.push_str("\n-- Not in this script\n");
        for note in &made.notes {
            // A line feed in a name or an expression must not end the comment.
            let line = format!("-- {}: {}", note.table, note.text).replace(['\r', '\n'], " ");
            text.push_str(&line);
            text.push('\n');
        }
    }
    text.trim_end().to_owned()
}

fn line(statement: &PostStatement) -> String {
    let remark = statement.remark.map(|remark| format!("-- {remark}\n")).unwrap_or_default();
    // Batches of their own, so that what fails ends there under `sqlcmd -b`.
    format!("{remark}{};\nGO\n", statement.sql)
}

fn title(kind: PostKind) -> &'static str {
    match kind {
        PostKind::Sequence => "Sequences",
        PostKind::Default => "Defaults",
        PostKind::UniqueIndex => "Unique indexes",
        PostKind::Index => "Indexes",
        PostKind::ForeignKey => "Foreign keys",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use segcdc_engine_native::PostNote;
    use segcdc_model::QualifiedName;

    #[test]
    fn a_script_has_parts_remarks_and_what_is_not_in_it() {
        let statement = |kind, sql: &str, remark| PostStatement {
            kind,
            table: QualifiedName::new("dbo", "t"),
            sql: sql.to_owned(),
            remark,
        };
        let made = PostLoad {
            statements: vec![
                statement(PostKind::UniqueIndex, "CREATE UNIQUE INDEX a", Some("take care")),
                statement(PostKind::Index, "CREATE INDEX b", None),
                statement(PostKind::Index, "CREATE INDEX c", None),
            ],
            notes: vec![PostNote {
                table: QualifiedName::new("public", "t\nDROP TABLE x"),
                text: "a check:\n1 = 1".to_owned(),
            }],
        };
        let text = script(&made);
        let expected = "\n-- Unique indexes\n-- take care\nCREATE UNIQUE INDEX a;\nGO\n\n-- Indexes\nCREATE INDEX b;\nGO\nCREATE INDEX c;\nGO\n\n\
                        -- Not in this script\n-- public.t DROP TABLE x: a check: 1 = 1";
        assert_eq!(text.strip_prefix(HEAD), Some(expected));
    }
}
