//! Scripts of small tables.

use super::*;
use crate::fixture;
use segcdc_model::{PgType, SequenceState};

/// A table of numbers and texts: `id` is its key, `code` can be one, `note` has no length.
fn plan(oid: u32, name: &str) -> Arc<TablePlan> {
    let columns = [
        ("id", PgType::Int4, true),
        ("code", PgType::Varchar { length: Some(20) }, true),
        ("at", PgType::TimestampTz, false),
        ("parent", PgType::Int4, false),
        ("note", PgType::Text, false),
    ];
    fixture::table(oid, name, 1, &columns)
}

fn index(name: &str, unique: bool, key: &[i16]) -> ExtraIndex {
    ExtraIndex {
        name: name.to_owned(),
        unique,
        nulls_are_equal: false,
        method: "btree".to_owned(),
        key: key.iter().map(|attnum| (*attnum, false)).collect(),
        included: Vec::new(),
        predicate: None,
    }
}

fn key(name: &str, columns: &[i16], referred: u32, referred_columns: &[i16]) -> ForeignKey {
    ForeignKey {
        name: name.to_owned(),
        columns: columns.to_vec(),
        referred,
        referred_columns: referred_columns.to_vec(),
        on_delete: ReferenceAction::Refuse,
        on_update: ReferenceAction::Refuse,
        validated: true,
        sets_some: false,
    }
}

/// The script of `one` and of a table `other` (OID 2) without extras.
fn script(extras: TableExtras) -> PostLoad {
    post_load(&[(plan(1, "one"), extras), (plan(2, "other"), TableExtras::default())])
}

fn statements(script: &PostLoad) -> Vec<&str> {
    script.statements.iter().map(|statement| statement.sql.as_str()).collect()
}

fn notes(script: &PostLoad) -> Vec<&str> {
    script.notes.iter().map(|note| note.text.as_str()).collect()
}

#[test]
fn indexes_keep_what_they_mean() {
    let descending =
        ExtraIndex { key: vec![(2, true), (4, false)], included: vec![3], ..index("a", false, &[]) };
    let nulls = ExtraIndex { nulls_are_equal: true, ..index("c", true, &[4]) };
    let partial = ExtraIndex { predicate: Some("(at IS NOT NULL)".to_owned()), ..index("d", true, &[4]) };
    let indexes = vec![descending, index("b", true, &[2, 4]), nulls, partial, index("pk again", true, &[1])];
    let made = script(TableExtras { indexes, ..TableExtras::default() });
    assert_eq!(
        statements(&made),
        [
            "CREATE UNIQUE INDEX [b] ON [dbo].[one] ([code], [parent]) WHERE [parent] IS NOT NULL",
            "CREATE UNIQUE INDEX [c] ON [dbo].[one] ([parent])",
            "CREATE UNIQUE INDEX [d] ON [dbo].[one] ([parent]) WHERE [at] IS NOT NULL AND [parent] IS NOT NULL",
            "CREATE INDEX [a] ON [dbo].[one] ([code] DESC, [parent]) INCLUDE ([at])",
        ]
    );
    let remarks: Vec<bool> = made.statements.iter().map(|statement| statement.remark.is_some()).collect();
    assert_eq!(remarks, [true, false, false, false], "only text is compared otherwise");
    assert!(made.notes.is_empty());
}

#[test]
fn indexes_that_t_sql_has_not_are_told() {
    let gin = ExtraIndex { method: "gin".to_owned(), ..index("gin", false, &[2]) };
    let partial = ExtraIndex { predicate: Some("(parent > 0)".to_owned()), ..index("part", false, &[4]) };
    let indexes = vec![
        gin,
        partial,
        index("expression", false, &[0]),
        index("long", false, &[5]),
        index("gone", false, &[9]),
    ];
    let made = script(TableExtras { indexes, ..TableExtras::default() });
    assert!(made.statements.is_empty(), "{made:?}");
    assert_eq!(
        notes(&made),
        [
            "index \"gin\" is of kind gin, which SQL Server has not",
            "index \"part\" has a condition to be written in T-SQL by hand: (parent > 0)",
            "index \"expression\" is of an expression: add a computed column and index that",
            "index \"long\" has column \"note\", which is nvarchar(max) and cannot be in a key: give it a length with --type",
            "index \"gone\" has a column that is not replicated",
        ]
    );
}

#[test]
fn foreign_keys_refer_to_keys_of_replicated_tables() {
    let cascade = ForeignKey { on_delete: ReferenceAction::Cascade, ..key("to_other", &[4], 2, &[1]) };
    let unchecked = ForeignKey { validated: false, ..key("unchecked", &[4], 2, &[1]) };
    let circle = ForeignKey { on_delete: ReferenceAction::SetNull, ..key("tree", &[4], 1, &[1]) };
    let lost = [key("elsewhere", &[4], 77, &[1]), key("no_key", &[4], 2, &[4]), key("types", &[2], 2, &[1])];
    let by_index = key("by_index", &[2], 1, &[2]);
    let foreign_keys = [cascade, unchecked, circle, by_index].into_iter().chain(lost).collect();
    let made =
        script(TableExtras { indexes: vec![index("u", true, &[2])], foreign_keys, ..TableExtras::default() });
    assert_eq!(
        statements(&made)[1..],
        [
            "ALTER TABLE [dbo].[one] WITH CHECK ADD CONSTRAINT [to_other] FOREIGN KEY ([parent]) REFERENCES [dbo].[other] ([id]) ON DELETE CASCADE",
            "ALTER TABLE [dbo].[one] WITH NOCHECK ADD CONSTRAINT [unchecked] FOREIGN KEY ([parent]) REFERENCES [dbo].[other] ([id])",
            "ALTER TABLE [dbo].[one] WITH CHECK ADD CONSTRAINT [tree] FOREIGN KEY ([parent]) REFERENCES [dbo].[one] ([id])",
            "ALTER TABLE [dbo].[one] WITH CHECK ADD CONSTRAINT [by_index] FOREIGN KEY ([code]) REFERENCES [dbo].[one] ([code])",
        ]
    );
    assert_eq!(
        notes(&made),
        [
            "foreign key \"elsewhere\" refers to a table that is not replicated",
            "foreign key \"no_key\" refers to columns without a key or a unique index at the target",
            "foreign key \"types\" needs columns of one type and collation: \"code\" is nvarchar(40), and \"id\" is int",
        ]
    );
}

#[test]
fn defaults_and_sequences_go_on_where_they_stood() {
    let sequence = |schema: &str, next| SequenceState {
        name: QualifiedName::new(schema, "one_id_seq"),
        next,
        increment: 2,
        least: 1,
        most: 99,
        cycles: true,
    };
    let default = |attnum, expression: &str, sequence| ColumnDefault {
        attnum,
        expression: expression.to_owned(),
        sequence,
    };
    let defaults = vec![
        default(1, "", Some(sequence("public", Some(7)))),
        default(2, "'new'::character varying", None),
        default(3, "now()", None),
        default(4, "nextval('one_id_seq'::regclass)", Some(sequence("public", Some(7)))),
        default(5, "md5('x'::text)", None),
    ];
    let made = script(TableExtras { defaults, ..TableExtras::default() });
    assert_eq!(
        statements(&made),
        [
            "CREATE SEQUENCE [dbo].[one_id_seq] AS bigint START WITH 7 INCREMENT BY 2 MINVALUE 1 MAXVALUE 99 CYCLE",
            "ALTER TABLE [dbo].[one] ADD CONSTRAINT [DF_one_id] DEFAULT (NEXT VALUE FOR [dbo].[one_id_seq]) FOR [id]",
            "ALTER TABLE [dbo].[one] ADD CONSTRAINT [DF_one_code] DEFAULT (N'new') FOR [code]",
            "ALTER TABLE [dbo].[one] ADD CONSTRAINT [DF_one_at] DEFAULT (TODATETIMEOFFSET(SYSUTCDATETIME(), 0)) FOR [at]",
            "ALTER TABLE [dbo].[one] ADD CONSTRAINT [DF_one_parent] DEFAULT (NEXT VALUE FOR [dbo].[one_id_seq]) FOR [parent]",
        ]
    );
    assert_eq!(
        notes(&made),
        ["the default of column \"note\" is to be written in T-SQL by hand: md5('x'::text)"]
    );
    let computed =
        vec![default(2, "('N'::text || nextval('one_id_seq'::regclass))", Some(sequence("public", Some(7))))];
    let made = script(TableExtras { defaults: computed, ..TableExtras::default() });
    assert!(made.statements.is_empty() && made.notes.len() == 1, "{made:?}");
    for (next, told) in [(None, "cannot be read: grant SELECT on it"), (Some(101), "is used up")] {
        let defaults = vec![default(1, "", Some(sequence("public", next)))];
        let made = script(TableExtras { defaults, ..TableExtras::default() });
        assert!(made.statements.is_empty(), "{made:?}");
        assert_eq!(notes(&made), [format!("sequence public.one_id_seq {told}")]);
    }
    let defaults = vec![
        default(1, "", Some(sequence("public", Some(7)))),
        default(4, "", Some(sequence("other", Some(7)))),
    ];
    let made = script(TableExtras { defaults, ..TableExtras::default() });
    assert_eq!(
        notes(&made),
        ["sequences public.one_id_seq and other.one_id_seq would have one name at the target"]
    );
}

#[test]
fn what_foreign_keys_cannot_do_is_told() {
    let some = ForeignKey { sets_some: true, ..key("some", &[4], 2, &[1]) };
    let fixed = ForeignKey { on_delete: ReferenceAction::SetNull, ..key("fixed", &[1], 2, &[1]) };
    let made = script(TableExtras { foreign_keys: vec![some, fixed], ..TableExtras::default() });
    assert!(made.statements.is_empty(), "{made:?}");
    assert!(notes(&made)[0].contains("all or none") && notes(&made)[1].contains("column \"id\" to NULL"));
}

#[test]
fn names_are_unique_in_a_schema() {
    let tables = ["one", "other"].into_iter().zip(1..).map(|(name, oid)| {
        let foreign_keys = vec![key("fk", &[4], oid, &[1])];
        (plan(oid, name), TableExtras { foreign_keys, ..TableExtras::default() })
    });
    let made = post_load(&tables.collect::<Vec<_>>());
    assert!(statements(&made)[0].contains("CONSTRAINT [fk] "), "{made:?}");
    assert!(statements(&made)[1].contains("CONSTRAINT [other_fk] "), "{made:?}");
}

#[test]
fn checks_are_told() {
    let checks = vec![("positive".to_owned(), "CHECK ((id > 0))".to_owned())];
    let made = script(TableExtras { checks, ..TableExtras::default() });
    assert_eq!(notes(&made), ["constraint \"positive\" is to be written in T-SQL by hand: CHECK ((id > 0))"]);
}
