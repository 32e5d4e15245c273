//! From arguments to what the engine takes: URLs parsed, names checked, patterns read.

use std::ffi::OsString;
use std::io::{BufRead, Read};
use std::os::unix::ffi::OsStringExt;

use segcdc_model::Secret;
use segcdc_plan::mask_salt::LEAST_SALT_BYTES;
use segcdc_plan::rules::{Rule, pick_up};
use segcdc_plan::{MaskSalt, PickUp, RuleTexts, Rules};
use segcdc_postgres::{Pattern, SourceConfig, SpillSpace};
use segcdc_sqlserver::TargetConfig;

use crate::arguments::{PipelineArguments, RuleArguments, SaltArguments, SetupArguments};
use crate::error::CliError;
use crate::secret_url;

/// Longest name of a pipeline: with prefix and generation it has to fit into a slot name of 63 bytes.
const MAX_NAME: usize = 40;

/// Most of a salt's bytes that are read.
const MAX_SALT_BYTES: u64 = 64 * 1024;

/// Both servers, and the pipeline between them.
#[derive(Debug, Clone)]
pub(crate) struct Endpoints {
    /// PostgreSQL.
    pub(crate) source: SourceConfig,
    /// SQL Server.
    pub(crate) target: TargetConfig,
    /// The pipeline's name.
    pub(crate) name: String,
}

// === impl Endpoints ===

impl Endpoints {
    /// Reads URLs and name.
    ///
    /// # Errors
    /// The first thing that is wrong, by its code.
    pub(crate) fn read(arguments: &PipelineArguments, input: &mut dyn BufRead) -> Result<Self, CliError> {
        let source = url("--source", "SEGCDC_SOURCE_URL", arguments.source.as_deref(), input)?;
        let mut source = SourceConfig::parse(&source)?;
        let directory = arguments.spill_dir.as_deref().unwrap_or(source.spill.directory());
        source.spill = SpillSpace::new(directory, arguments.spill_limit);
        let target = url("--target", "SEGCDC_TARGET_URL", arguments.target.as_deref(), input)?;
        let target = TargetConfig::parse(&target)?;
        let name = match &arguments.name {
            Some(name) => checked_name(name)?,
            None => default_name(&source.database),
        };
        Ok(Endpoints { source, target, name })
    }

    /// Passwords that look as if more was copied than they are. They are taken as they are given.
    pub(crate) fn oddities(&self) -> Vec<String> {
        let passwords = [("source", self.source.password.as_ref()), ("target", Some(&self.target.password))];
        let is_odd = |password: &Secret<String>| password.expose() != password.expose().trim();
        passwords
            .into_iter()
            .filter(|(_, password)| password.is_some_and(is_odd))
            .map(|(side, _)| {
                format!(
                    "the password of the {side} begins or ends with a blank, which is taken as part of it"
                )
            })
            .collect()
    }

    /// What the URLs give up of protection, which is done only because they say so, and shown for that reason.
    pub(crate) fn consents(&self) -> Vec<String> {
        let mut consents = Vec::new();
        if self.source.is_unprotected() {
            consents.push(format!(
                "sslmode={}: what goes between here and the source can be read and changed on the way",
                self.source.tls.mode.as_str()
            ));
        }
        if self.source.trusts_any_certificate() {
            consents.push(
                "sslmode=require without sslrootcert: whoever answers is taken for the source".to_owned(),
            );
        }
        if self.target.is_unprotected() {
            consents.push(
                "encrypt=false: what goes between here and the target can be read and changed on the way"
                    .to_owned(),
            );
        }
        if self.target.trust_server_certificate {
            consents
                .push("trust_server_certificate=true: whoever answers is taken for the target".to_owned());
        }
        consents
    }

    /// Both servers in one line, without passwords.
    pub(crate) fn title(&self) -> String {
        let source = &self.source;
        let target = &self.target;
        format!(
            "{}: {}@{}/{} -> {}@{}/{}",
            self.name,
            source.user,
            source.server(),
            source.database,
            target.user,
            target.server(),
            target.database
        )
    }
}

/// Reads table patterns; commas outside of quotes separate several of them.
///
/// # Errors
/// `TABLE_PATTERN` for one that cannot be understood.
pub(crate) fn patterns(texts: &[String]) -> Result<Vec<Pattern>, CliError> {
    let parts = texts.iter().flat_map(|text| split_patterns(text));
    parts.map(|part| Pattern::parse(&part).map_err(CliError::from)).collect()
}

/// Reads rules; commas outside of quotes and parentheses separate several of them.
///
/// # Errors
/// `RULE_INVALID` for one that cannot be understood.
pub(crate) fn rules(arguments: &RuleArguments) -> Result<Rules, CliError> {
    let split = |texts: &[String]| texts.iter().flat_map(|text| split_patterns(text)).collect();
    let texts = RuleTexts {
        values: split(&arguments.on_value),
        types: split(&arguments.types),
        renames: split(&arguments.rename),
        keys: split(&arguments.key),
        append_only: split(&arguments.append_only),
        modes: split(&arguments.mode),
        changes: split(&arguments.on_schema_change),
        columns: split(&arguments.columns),
        exclude_columns: split(&arguments.exclude_columns),
        // A condition may have commas of its own.
        filters: arguments.filters.clone(),
        masks: split(&arguments.mask),
        // A value may.
        constants: arguments.constant.clone(),
        letter_limits: split(&arguments.dead_letter_limit),
        refused: split(&arguments.on_refused),
        pick_up: Vec::new(),
    };
    Ok(Rules::parse(&texts)?)
}

/// Which tables are taken in when they are made: those that the patterns mean. None where nothing is said, so that it stays as it is
/// stored.
///
/// # Errors
/// `RULE_INVALID` for a pattern that cannot be understood.
pub(crate) fn pick_up(arguments: &SetupArguments) -> Result<Vec<Rule<PickUp>>, CliError> {
    let split = |texts: &[String]| texts.iter().flat_map(|text| split_patterns(text)).collect::<Vec<_>>();
    let pick_up = match arguments.pick_up_new_tables {
        None => Vec::new(),
        Some(false) => vec![pick_up::NONE.to_owned()],
        Some(true) => pick_up::texts(&split(&arguments.tables), &split(&arguments.exclude)),
    };
    Ok(Rules::parse(&RuleTexts { pick_up, ..RuleTexts::default() })?.pick_up)
}

/// What hashes of masked columns are made with: the content of a file or a variable, without a line end behind it. `None` where
/// neither is there, which is an error for whoever has values to hash.
///
/// # Errors
/// `MASK_SALT_INVALID` for a file that cannot be read, and a salt that is too short.
pub(crate) fn salt(
    arguments: &SaltArguments,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<MaskSalt>, CliError> {
    const CODE: &str = "MASK_SALT_INVALID";
    let (bytes, place) = match &arguments.mask_salt_file {
        Some(file) => {
            let place = format!("the file {}", file.display());
            let read = std::fs::File::open(file).and_then(|file| {
                let mut bytes = Vec::new();
                file.take(MAX_SALT_BYTES).read_to_end(&mut bytes).map(|_| bytes)
            });
            let hint = "name a file with the salt in it with --mask-salt-file";
            let unreadable = format!("the salt of --mask cannot be read from {place}");
            (read.map_err(|error| CliError::usage(CODE, unreadable, hint).because(&error))?, place)
        }
        None => match variable(&arguments.mask_salt_env) {
            Some(value) => (value.into_vec(), format!("the variable {}", arguments.mask_salt_env)),
            None => return Ok(None),
        },
    };
    let salt = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let salt = MaskSalt::new(salt.strip_suffix(b"\r").unwrap_or(salt));
    let short = || {
        let message = format!("the salt of --mask in {place} has fewer than {LEAST_SALT_BYTES} bytes");
        let hint = "take a long secret by chance, as `openssl rand -hex 32` prints one, and keep it";
        CliError::usage(CODE, message, hint)
    };
    salt.map(Some).ok_or_else(short)
}

/// The patterns or rules of a text: commas separate them outside of quotes and brackets.
pub(crate) fn split_patterns(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    let mut depth = 0_usize;
    for character in text.chars() {
        if character == '"' {
            quoted = !quoted;
        }
        match character {
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        match parts.last_mut() {
            Some(_) if character == ',' && !quoted && depth == 0 => parts.push(String::new()),
            Some(part) => part.push(character),
            None => {}
        }
    }
    parts.into_iter().map(|part| part.trim().to_owned()).collect()
}

fn url(flag: &str, variable: &str, value: Option<&str>, input: &mut dyn BufRead) -> Result<String, CliError> {
    let value = value.ok_or_else(|| {
        let hint = format!("give {flag} URL, {flag} @FILE, or the variable {variable}");
        CliError::usage("URL_MISSING", format!("there is no {flag} URL"), hint)
    })?;
    secret_url::resolve(flag, value, input)
}

/// A name that can be part of a slot name.
fn checked_name(name: &str) -> Result<String, CliError> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if (1..=MAX_NAME).contains(&name.len()) && name.chars().all(allowed) {
        return Ok(name.to_owned());
    }
    let shown: String = name.chars().filter(|c| !c.is_control()).take(80).collect();
    let message = format!("\"{shown}\" is not a name for a pipeline");
    let hint = format!("a name has 1 to {MAX_NAME} characters, all of them a-z, 0-9 or _");
    Err(CliError::usage("NAME_INVALID", message, hint))
}

/// The database's name, in the characters that a name can have.
fn default_name(database: &str) -> String {
    let name: String = database
        .chars()
        .map(|c| c.to_ascii_lowercase())
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '_' })
        .take(MAX_NAME)
        .collect();
    if name.is_empty() { "pipeline".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn read(source: &str, target: &str, name: Option<&str>) -> Result<Endpoints, CliError> {
        let arguments = PipelineArguments {
            file: None,
            source: (!source.is_empty()).then(|| source.to_owned()),
            target: (!target.is_empty()).then(|| target.to_owned()),
            name: name.map(str::to_owned),
            spill_dir: None,
            spill_limit: None,
        };
        Endpoints::read(&arguments, &mut Cursor::new(""))
    }

    const SOURCE: &str = "postgres://u:sekret@h/Shop-DB?sslmode=disable";
    const TARGET: &str = "sqlserver://u:sekret@h/d?encrypt=false";

    #[test]
    fn what_is_wrong_is_named_and_no_secret_is_repeated() {
        let check = |source: &str, target: &str, name: Option<&str>, code: &str| {
            let error = read(source, target, name).unwrap_err();
            assert_eq!((error.code.as_str(), error.exit.code()), (code, 2), "{source} {target} {name:?}");
            assert!(!error.to_json().contains("sekret"), "{error:?}");
        };
        check("", TARGET, None, "URL_MISSING");
        check(SOURCE, "", None, "URL_MISSING");
        check("mysql://u:sekret@h/d", TARGET, None, "URL_SCHEME");
        check("postgres://u:sekret@h:0/d", TARGET, None, "PORT_RANGE");
        check("postgres://u:sekret@::1:5432/d", TARGET, None, "PORT_RANGE");
        check("postgres://u:sekret@a;b/d", TARGET, None, "HOST_INVALID");
        check("postgres://u:sekret@h/d?sslmode=verify_full", TARGET, None, "URL_PARAMETER_VALUE");
        check("postgres://u:sekret@h/d?sslmod=disable", TARGET, None, "URL_PARAMETER_UNKNOWN");
        check(SOURCE, "sqlserver://u:sekret@h:65536/d", None, "PORT_RANGE");
        check(SOURCE, "sqlserver://u:sekret@h/d?encrypt=maybe", None, "ENUM");
        for name in ["", " a", "A", "a-b", "<script>", "\u{202e}x", &"x".repeat(41)] {
            check(SOURCE, TARGET, Some(name), "NAME_INVALID");
        }
    }

    #[test]
    fn the_database_names_the_pipeline() {
        let endpoints = read(SOURCE, TARGET, None).unwrap();
        assert_eq!(endpoints.name, "shop_db");
        assert_eq!(endpoints.title(), "shop_db: u@h:5432/Shop-DB -> u@h:1433/d");
    }

    #[test]
    fn what_is_given_up_is_shown() {
        assert_eq!(read(SOURCE, TARGET, None).unwrap().consents().len(), 2);
        assert!(read(SOURCE, TARGET, None).unwrap().oddities().is_empty());
        let odd = read("postgres://u:%20p@h/d", "sqlserver://u:p%20@h/d", None).unwrap();
        assert_eq!(odd.oddities().len(), 2);
        assert!(odd.oddities().iter().all(|said| said.contains("with a blank")));
        let target = "sqlserver://u@h/d?trust_server_certificate=true";
        let consents = read("postgres://u@h/d", target, None).unwrap().consents();
        assert_eq!(consents, ["trust_server_certificate=true: whoever answers is taken for the target"]);
        let source = |mode: &str| {
            let source = format!("postgres://u@h/d?sslmode={mode}");
            read(&source, "sqlserver://u@h/d", None).unwrap().consents().len()
        };
        assert_eq!(["allow", "prefer", "require", "verify-ca"].map(source), [1, 1, 1, 0]);
        assert!(read("postgres://u@h/d", "sqlserver://u@h/d", None).unwrap().consents().is_empty());
    }

    #[test]
    fn rules_are_split_at_commas_and_read() {
        let given = |on_value: &[&str], types: &[&str]| {
            let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
            let arguments =
                RuleArguments { on_value: owned(on_value), types: owned(types), ..RuleArguments::default() };
            rules(&arguments)
                .map(|rules| [rules.texts().values, rules.texts().types].concat())
                .map_err(|error| error.code.clone())
        };
        assert_eq!(
            given(&["halt,public.t=text"], &[]),
            Ok(vec!["halt".to_owned(), "public.t=text".to_owned()])
        );
        assert_eq!(given(&["public.t=nul"], &[]), Err("RULE_INVALID".to_owned()));
        let all = ["text", "public.t.c=clamp", "numeric=null", "public.t=set_aside"];
        assert_eq!(given(&all, &[]), Ok(all.map(str::to_owned).to_vec()));
        let types = ["numeric=decimal(28,6)", "public.t.c=nvarchar(40)"];
        assert_eq!(given(&[], &[&types.join(", ")]), Ok(types.map(str::to_owned).to_vec()));
        assert_eq!(given(&[], &["public.t.c=xml"]), Err("RULE_INVALID".to_owned()));
    }

    #[test]
    fn commas_separate_patterns_outside_of_quotes() {
        assert_eq!(split_patterns("a.*, b.c"), ["a.*", "b.c"]);
        assert_eq!(split_patterns("\"a,b\".c"), ["\"a,b\".c"]);
        assert_eq!(split_patterns("a.b.c=decimal(28,6),d.e.f=bit"), ["a.b.c=decimal(28,6)", "d.e.f=bit"]);
        assert_eq!(patterns(&["a..b".to_owned()]).unwrap_err().code, "TABLE_PATTERN");
    }

    #[test]
    fn salts_come_from_a_file_or_a_variable_and_are_long() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "a salt in a file on a line\r\n").unwrap();
        let given = |path: Option<&str>, value: Option<&str>| {
            let arguments =
                SaltArguments { mask_salt_env: "X".to_owned(), mask_salt_file: path.map(Into::into) };
            salt(&arguments, |name| value.filter(|_| name == "X").map(Into::into))
        };
        let path = file.path().to_str().unwrap();
        assert_eq!(given(Some(path), None).unwrap(), MaskSalt::new(b"a salt in a file on a line"));
        assert_eq!(
            given(None, Some("a salt in a variable")).unwrap(),
            MaskSalt::new(b"a salt in a variable")
        );
        assert_eq!(given(None, None).unwrap(), None);
        for (path, value) in [(Some("/no/such/file"), None), (None, Some("sekret")), (None, Some(""))] {
            let error = given(path, value).unwrap_err();
            assert_eq!((error.code.as_str(), error.exit.code()), ("MASK_SALT_INVALID", 2));
            assert!(!error.to_json().contains("sekret"), "{error:?}");
        }
    }
}
