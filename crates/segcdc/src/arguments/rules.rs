//! What is said about tables and columns on the command line.

use std::path::PathBuf;

use clap::Args;
use segcdc_plan::target_type;

/// What is said about tables and columns.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct RuleArguments {
    /// What becomes of values that SQL Server cannot hold: halt (the table), text (columns whose type has such values
    /// become text and hold all of them), null (NULL is written instead), clamp (the nearest value), or set_aside (the row
    /// is kept as a dead letter until it fits). Uses of null, clamp and set_aside are counted and shown by status. POLICY
    /// for all, or schema.table=POLICY, schema.table.column=POLICY or TYPE=POLICY; may be given several times
    #[arg(long, value_name = "RULE", env = "SEGCDC_ON_VALUE", hide_env_values = true)]
    pub(crate) on_value: Vec<String>,
    /// What becomes of rows that a table of the target refuses, by a constraint, a unique index or a trigger that was added to it, or
    /// because a column of it was made shorter or NOT NULL: halt (the table, naming which changes), or set_aside (the row is kept as a
    /// dead letter until a version of it is taken, and the rest is applied). POLICY for all, or schema.table=POLICY; may be given
    /// several times
    #[arg(long, value_name = "RULE", env = "SEGCDC_ON_REFUSED", hide_env_values = true)]
    pub(crate) on_refused: Vec<String>,
    /// How many rows of a table may be set aside; with one more the table halts (DEAD_LETTER_LIMIT), because then something else is
    /// wrong than a row here and there. 0 halts it at the first. N for all tables, 1000 where nothing is said, or schema.table=N; up
    /// to 10000; may be given several times
    #[arg(long, value_name = "RULE", env = "SEGCDC_DEAD_LETTER_LIMIT", hide_env_values = true)]
    pub(crate) dead_letter_limit: Vec<String>,
    /// Type in the target of columns: see [`type_help`].
    #[arg(
        long = "type", value_name = "RULE", env = "SEGCDC_TYPE", hide_env_values = true, help = type_help(), long_help = None
    )]
    pub(crate) types: Vec<String>,
    /// Name in the target of a table (schema.table=NAME or schema.table=SCHEMA.NAME) or of a column
    /// (schema.table.column=NAME), as in --rename 'public."Order"=dbo.Orders' --rename 'public."Order".id=OrderId'; may be
    /// given several times
    #[arg(long, value_name = "RULE", env = "SEGCDC_RENAME", hide_env_values = true)]
    pub(crate) rename: Vec<String>,
    /// What identifies the rows of a table that has no primary key: a unique index (schema.table=INDEX) or its columns
    /// (schema.table=(a, b)). It must be of plain NOT NULL columns, of all rows and not deferrable, and PostgreSQL must send
    /// them of old rows: by REPLICA IDENTITY FULL, or USING that INDEX. Without it, rows of such a table are matched by
    /// their whole content; no index is ever guessed. May be given several times
    #[arg(long, value_name = "RULE", env = "SEGCDC_KEY", hide_env_values = true)]
    pub(crate) key: Vec<String>,
    /// A table whose rows are only added in the target: schema.table or schema.table=POLICY. With the policy halt, which is
    /// the default, an UPDATE or DELETE halts the table; with ignore these and TRUNCATE are left out, counted, so that
    /// the target keeps every row as it was inserted. The table needs a replica identity all the same (FULL costs an
    /// INSERT nothing): without one PostgreSQL refuses the application's UPDATE and DELETE. May be given several times
    #[arg(long, value_name = "RULE", env = "SEGCDC_APPEND_ONLY", hide_env_values = true)]
    pub(crate) append_only: Vec<String>,
    /// How the rows of target tables are kept: mirror (as the source has them, which is usual), or soft-delete (rows that are deleted at
    /// the source stay, and the column _segcdc_deleted_at, which only the target has, says when they were; it is NULL in all others). MODE for
    /// all tables, or schema.table=MODE with * and ? as wildcards, as in --mode 'public.*=soft-delete' --mode public.session=mirror. A table
    /// needs a key for soft-delete, or it is left out. May be given several times
    #[arg(long, value_name = "RULE", env = "SEGCDC_MODE", hide_env_values = true)]
    pub(crate) mode: Vec<String>,
    /// What is done about changes of tables at the source: apply (the target follows), ignore (the target stays as it is and
    /// rows go on), halt (the table) or halt-all (the pipeline). POLICY for all, KIND=POLICY for a kind, either behind
    /// schema.table: for some tables, as in --on-schema-change drop-column=apply --on-schema-change
    /// 'public.orders:halt'; the kinds are add-column, drop-column (usually ignore), rename-column, change-type,
    /// rewrite-column (a change for which PostgreSQL writes all rows anew, usually halt), set-not-null (usually ignore),
    /// drop-not-null, rename-table, set-schema, change-key (rows are identified by other columns), change-identity (another
    /// REPLICA IDENTITY), drop-identity (PostgreSQL sends nothing of old rows any more, usually halt), drop-table and
    /// recreate-table (another table has its name; both usually halt), usually apply. May be given several times
    #[arg(long, value_name = "RULE", env = "SEGCDC_ON_SCHEMA_CHANGE", hide_env_values = true)]
    pub(crate) on_schema_change: Vec<String>,
    /// The columns of a table that are replicated, those of its key among them, and no others, as in --columns
    /// 'public.orders=(id, total)'. From PostgreSQL 15 on the publication sends these only (unless the table is partitioned or
    /// has REPLICA IDENTITY FULL), so that the others never leave the source; do not set REPLICA IDENTITY FULL later, or
    /// PostgreSQL refuses the application's UPDATE and DELETE. Columns that are added later are not replicated. May be given
    /// several times
    #[arg(long, value_name = "RULE", env = "SEGCDC_COLUMNS", hide_env_values = true)]
    pub(crate) columns: Vec<String>,
    /// Columns that are not replicated, as schema.table.column with * and ? as wildcards, as in --exclude-columns
    /// 'public.*.password'. They are left out here, and columns that are added later are replicated unless they are meant too.
    /// May be given several times
    #[arg(long, value_name = "COLUMN", env = "SEGCDC_EXCLUDE_COLUMNS", hide_env_values = true)]
    pub(crate) exclude_columns: Vec<String>,
    /// The rows of a table that are replicated, and no others: an SQL condition of the source behind schema.table and a colon, as
    /// in --where "public.orders: region = 'EU'". The publication sends these only, so PostgreSQL 15 is needed; an UPDATE that
    /// has a row meet the condition, or meet it no more, inserts or deletes it in the target. The columns that it reads have to be
    /// part of the replica identity, or set REPLICA IDENTITY FULL. Commas do not separate several of them here: give the option
    /// several times
    #[arg(long = "where", value_name = "RULE", env = "SEGCDC_WHERE", hide_env_values = true)]
    pub(crate) filters: Vec<String>,
    /// What stands in the target for the values of columns, as schema.table.column=MASK with * and ? as wildcards: hash (the HMAC-SHA-256
    /// of the value with the salt of --mask-salt-file, in 64 hexadecimal digits: equal values have equal ones, so that joins work, and
    /// keys stay keys), redact (*** for text, NULL for everything else) or truncate:N (the first N characters of a text). NULL stays
    /// NULL. The values themselves reach no table, dead letter, log or error. A column that cannot have its mask leaves its table out.
    /// May be given several times
    #[arg(long, value_name = "RULE", env = "SEGCDC_MASK", hide_env_values = true)]
    pub(crate) mask: Vec<String>,
    /// A column that only the target has, with one value in every row: schema.table.column=VALUE, or schema.table.column:TYPE=VALUE
    /// with a type as for --type, as in --constant 'public.*.region:nvarchar(20)=eu-west'; schema and table may have * and ?.
    /// Without a type it is nvarchar with room for 100 characters, or for the value. Commas do not separate several of them here: give
    /// the option several times
    #[arg(long, value_name = "RULE", env = "SEGCDC_CONSTANT", hide_env_values = true)]
    pub(crate) constant: Vec<String>,
}

/// What hashes of masked columns are made with.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct SaltArguments {
    /// The variable that holds the salt of --mask hash: a secret of at least 16 bytes, which is stored nowhere and has to be the same
    /// each time
    #[arg(
        long, value_name = "NAME", default_value = MASK_SALT, env = "SEGCDC_MASK_SALT_ENV", hide_env_values = true
    )]
    pub(crate) mask_salt_env: String,
    /// A file with the salt and nothing else, instead of a variable; a line end behind it does not count
    #[arg(long, value_name = "FILE", env = "SEGCDC_MASK_SALT_FILE", hide_env_values = true)]
    pub(crate) mask_salt_file: Option<PathBuf>,
}

/// The variable that holds the salt where no other is named.
pub(crate) const MASK_SALT: &str = "SEGCDC_MASK_SALT";

/// What is said of `--type`, with all types that the planner knows.
fn type_help() -> String {
    format!(
        "Type in the target of columns, spelled as in T-SQL: schema.table.column=TYPE, or TYPE=TYPE for a source type, as in --type \
         'public.orders.total=decimal(28,6)' --type 'timestamptz=datetime2(6)' (UTC) --type 'public.orders.tags=json_array'; {}. A type \
         that does not hold all that the source's does is refused (TYPE_NARROWS) unless --on-value says what becomes of what does \
         not fit; nothing is ever rounded. `segcdc plan` shows what each column becomes. May be given several times",
        target_type::listed()
    )
}
