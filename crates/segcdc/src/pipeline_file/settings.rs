//! [`SETTINGS`]: every key of a pipeline file, and the argument that it stands for. Reading, the JSON schema, the reference page and
//! `export` all go by this table; what a key means, takes and is by default says the argument.

use crate::settings::split_patterns;

/// One key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    /// `source.wal_policy`.
    pub(super) path: &'static str,
    /// The argument's id: the field's name.
    pub(super) argument: &'static str,
    /// How its value is written.
    pub(super) form: Form,
    /// Its value in the example of the reference page, as YAML on one line.
    #[cfg_attr(not(test), expect(dead_code, reason = "the reference page is written by a test"))]
    pub(super) example: &'static str,
}

// === impl Setting ===

impl Setting {
    /// The values that one of its argument holds: of patterns and rules several, between commas. A condition has commas of its own, a constant
    /// and a connector's property may.
    pub(super) fn apart(&self, text: &str) -> Vec<String> {
        match self.form {
            Form::Rules(Rules::Condition | Rules::Constant) => vec![text.to_owned()],
            Form::List | Form::Rules(_) if self.argument != "connect_properties" => split_patterns(text),
            _ => vec![text.to_owned()],
        }
    }
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A text.
    Text,
    /// One of the words that the argument takes.
    Choice,
    /// A whole number in a range.
    Number(u16, u16),
    /// `true` or `false`.
    Flag,
    /// A path, relative to the file's directory.
    Path,
    /// A URL, which a password comes into.
    Url,
    /// User and password: a reference, or `@` and a path.
    Secret,
    /// A sequence of texts.
    List,
    /// A mapping whose entries are rules.
    Rules(Rules),
}

/// How an entry of a mapping becomes a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rules {
    /// `KEY: VALUE` is `KEY=VALUE`.
    Equals,
    /// The same, of which each is one rule, commas or not.
    Constant,
    /// The same, and `default: VALUE` is `VALUE`, for everything.
    EqualsOrAll,
    /// The same with whole numbers from 0 on.
    CountOrAll,
    /// `TABLE: CONDITION` is `TABLE: CONDITION`.
    Condition,
    /// `TABLE: [a, b]` is `TABLE=(a, b)`.
    Columns,
    /// `TABLE: INDEX` is `TABLE=INDEX`, `TABLE: [a, b]` is `TABLE=(a, b)`.
    IndexOrColumns,
    /// `default: POLICY`, `KIND: POLICY`, `TABLE: POLICY` or `TABLE: {KIND: POLICY}`.
    Changes,
}

/// Keys that are no arguments: the version, and passwords.
pub(super) const VERSION: &str = "version";

/// What counts for everything of which nothing else is said, in mappings of rules.
pub(super) const DEFAULT: &str = "default";

const fn setting(path: &'static str, argument: &'static str, form: Form, example: &'static str) -> Setting {
    Setting { path, argument, form, example }
}

/// All keys, in the order of the reference page.
pub(super) const SETTINGS: [Setting; 48] = [
    setting("name", "name", Form::Text, "shop"),
    setting("engine", "engine", Form::Choice, "native"),
    setting("source.url", "source", Form::Url, "postgres://app@db1:5432/shop?sslmode=verify-full"),
    setting("source.publication", "publication", Form::Text, "shop_publication"),
    setting("source.slot", "slot", Form::Text, "shop_slot"),
    setting("source.max_retained_wal", "max_retained_wal", Form::Text, "50GiB"),
    setting("source.wal_policy", "wal_policy", Form::Choice, "alert"),
    setting("target.url", "target", Form::Url, "sqlserver://app@db2:1433/shop?encrypt=strict"),
    setting("tables.include", "tables", Form::List, "['public.*', sales.orders]"),
    setting("tables.exclude", "exclude", Form::List, "[public.log_*]"),
    setting("tables.pick_up_new", "pick_up_new_tables", Form::Flag, "true"),
    setting("columns.include", "columns", Form::Rules(Rules::Columns), "{public.orders: [id, total]}"),
    setting("columns.exclude", "exclude_columns", Form::List, "['public.*.password']"),
    setting("where", "filters", Form::Rules(Rules::Condition), "{public.orders: region = 'EU'}"),
    setting(
        "masks",
        "mask",
        Form::Rules(Rules::Equals),
        "{public.people.email: hash, 'public.*.phone': 'truncate:4'}",
    ),
    setting(
        "constants",
        "constant",
        Form::Rules(Rules::Constant),
        "{public.orders.region: eu-west, 'public.*.site:int': 7}",
    ),
    setting("mask_salt.env", "mask_salt_env", Form::Text, "SHOP_MASK_SALT"),
    setting("mask_salt.file", "mask_salt_file", Form::Path, "/run/secrets/mask-salt"),
    setting(
        "rename",
        "rename",
        Form::Rules(Rules::Equals),
        "{public.orders: dbo.Orders, public.orders.id: OrderId}",
    ),
    setting(
        "types",
        "types",
        Form::Rules(Rules::Equals),
        "{public.orders.total: 'decimal(28,6)', timestamptz: datetime2(6)}",
    ),
    setting(
        "keys",
        "key",
        Form::Rules(Rules::IndexOrColumns),
        "{public.log: log_id, public.visit: [site, number]}",
    ),
    setting("append_only", "append_only", Form::Rules(Rules::Equals), "{public.log: ignore}"),
    setting("modes", "mode", Form::Rules(Rules::EqualsOrAll), "{default: mirror, 'public.*': soft-delete}"),
    setting(
        "on_value",
        "on_value",
        Form::Rules(Rules::EqualsOrAll),
        "{default: halt, public.orders.total: set_aside, timestamptz: null}",
    ),
    setting(
        "on_refused",
        "on_refused",
        Form::Rules(Rules::EqualsOrAll),
        "{default: halt, public.orders: set_aside}",
    ),
    setting(
        "dead_letter_limit",
        "dead_letter_limit",
        Form::Rules(Rules::CountOrAll),
        "{default: 1000, public.orders: 0}",
    ),
    setting(
        "on_schema_change",
        "on_schema_change",
        Form::Rules(Rules::Changes),
        "{drop-column: apply, public.orders: {change-type: halt, default: apply}}",
    ),
    setting("copy.snapshot", "snapshot", Form::Choice, "initial"),
    setting("copy.readers", "readers", Form::Number(1, 32), "8"),
    setting("copy.throttle", "throttle", Form::Text, "20MiB/s"),
    setting("apply.large_transactions", "large_transactions", Form::Choice, "atomic"),
    setting("apply.recover", "recover", Form::Choice, "stop"),
    setting("spill.directory", "spill_dir", Form::Path, "/var/lib/segcdc"),
    setting("spill.limit", "spill_limit", Form::Text, "20GiB"),
    setting("kafka_connect.url", "connect_url", Form::Text, "https://connect:8083"),
    setting("kafka_connect.auth", "connect_auth", Form::Secret, "${CONNECT_AUTH}"),
    setting("kafka_connect.ca_file", "connect_ca_file", Form::Path, "connect-ca.pem"),
    setting("kafka_connect.secrets", "connect_secrets", Form::Text, "env:SHOP"),
    setting(
        "kafka_connect.properties",
        "connect_properties",
        Form::Rules(Rules::Equals),
        "{source.max.batch.size: 4096, sink.batch.size: 1000}",
    ),
    setting("kafka_connect.full_load", "full_load", Form::Choice, "native"),
    setting("kafka.bootstrap", "kafka_bootstrap", Form::Text, "broker1:9092,broker2:9092"),
    setting("kafka.replication", "kafka_replication", Form::Number(1, 32767), "3"),
    setting("kafka.auth", "kafka_auth", Form::Secret, "'@/run/secrets/kafka'"),
    setting("kafka.sasl", "kafka_sasl", Form::Choice, "scram-sha-512"),
    setting("kafka.tls", "kafka_tls", Form::Flag, "true"),
    setting("kafka.ca_file", "kafka_ca_file", Form::Path, "kafka-ca.pem"),
    setting("kafka.cert_file", "kafka_cert_file", Form::Path, "kafka.pem"),
    setting("kafka.key_file", "kafka_key_file", Form::Path, "kafka.key"),
];

/// Keys beside those of [`SETTINGS`]: path, example, meaning.
pub(super) const OTHERS: [(&str, &str, &str); 5] = [
    (VERSION, "1", "Version of the form of this file: 1"),
    (
        "source.password",
        "${SHOP_SOURCE_PASSWORD}",
        "The password of the user of source.url, as a reference to a variable: one in the clear is refused",
    ),
    (
        "source.password_file",
        "/run/secrets/source",
        "A file with that password and nothing else, relative to this file",
    ),
    (
        "target.password",
        "${SHOP_TARGET_PASSWORD}",
        "The password of the user of target.url, as a reference to a variable: one in the clear is refused",
    ),
    (
        "target.password_file",
        "/run/secrets/target",
        "A file with that password and nothing else, relative to this file",
    ),
];

/// Arguments of `up` and `plan` that no file holds, and why.
#[cfg(test)]
pub(super) const NOT_IN_A_FILE: [(&str, &str); 9] = [
    ("file", "names the file"),
    ("yes", "is the consent of who is there"),
    ("until_caught_up", "is about one run"),
    ("post_load", "is about what one call prints"),
    ("help", "is about one call"),
    ("output", "is about what one call prints"),
    ("verbose", "is about what one call prints"),
    ("log_level", "is about one process"),
    ("log_format", "is about one process"),
];

/// The setting of a path.
pub(super) fn of_path(path: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.path == path)
}

/// The keys that may stand in a section, the sections of sections among them; "" is the file itself.
pub(super) fn keys_of(section: &str) -> Vec<&'static str> {
    let prefix = if section.is_empty() { String::new() } else { format!("{section}.") };
    let paths = SETTINGS.iter().map(|setting| setting.path).chain(OTHERS.iter().map(|other| other.0));
    let mut keys: Vec<&str> = Vec::new();
    for rest in paths.filter_map(|path| path.strip_prefix(&prefix)) {
        let key = rest.split('.').next().unwrap_or(rest);
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

/// Whether a path is a section.
pub(super) fn is_section(path: &str) -> bool {
    let prefix = format!("{path}.");
    SETTINGS.iter().any(|setting| setting.path.starts_with(&prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Arguments;
    use clap::CommandFactory;
    use std::collections::BTreeSet;

    /// A new flag has to come into the file, or into the list of those that do not belong there.
    #[test]
    fn every_argument_of_up_and_plan_has_its_key() {
        let command = Arguments::command();
        let mut all = BTreeSet::new();
        for name in ["up", "plan"] {
            let subcommand = command.find_subcommand(name).unwrap();
            all.extend(subcommand.get_arguments().map(|argument| argument.get_id().as_str().to_owned()));
        }
        let settings: BTreeSet<String> = SETTINGS.iter().map(|setting| setting.argument.to_owned()).collect();
        assert_eq!(settings.len(), SETTINGS.len(), "an argument has two keys");
        let excused: BTreeSet<String> = NOT_IN_A_FILE.iter().map(|(id, _)| (*id).to_owned()).collect();
        let missing: Vec<_> = all.difference(&settings).filter(|id| !excused.contains(*id)).collect();
        assert!(missing.is_empty(), "{missing:?}");
        let invented: Vec<_> = settings.difference(&all).collect();
        assert!(invented.is_empty(), "{invented:?}");
    }

    #[test]
    fn sections_know_their_keys() {
        assert_eq!(keys_of("spill"), ["directory", "limit"]);
        assert!(keys_of("").contains(&"tables") && keys_of("source").contains(&"password_file"));
        assert!(is_section("source") && !is_section("name"));
    }
}
