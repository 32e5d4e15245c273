//! Source and target URLs from any text. A password never shows in what is printed of them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use segcdc_postgres::SourceConfig;
use segcdc_sqlserver::TargetConfig;

fuzz_target!(|text: &str| {
    if let Ok(config) = SourceConfig::parse(text) {
        let _ = (config.redacted(), config.server(), format!("{config:?}"));
    }
    if let Ok(config) = TargetConfig::parse(text) {
        let _ = (config.to_tds(), format!("{config:?}"));
    }
    for (scheme, other) in [("postgres", true), ("sqlserver", false)] {
        let url = format!("{scheme}://u:C4nary-secret@h/d?{text}");
        let shown = if other {
            SourceConfig::parse(&url).map_or_else(|error| error.to_string(), |config| format!("{config:?}{}", config.redacted()))
        } else {
            TargetConfig::parse(&url).map_or_else(|error| error.to_string(), |config| format!("{config:?}"))
        };
        assert!(text.contains("C4nary") || !shown.contains("C4nary-secret"), "the password shows in {shown}");
    }
});
