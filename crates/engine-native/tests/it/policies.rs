//! What becomes of values that the target cannot hold, as the user wants it.

use segcdc_engine_native::{EngineConfig, VerifyOptions, preflight, resync, verify};
use segcdc_model::{Fault, TablePhase};
use segcdc_plan::{RuleTexts, Rules};

use crate::rig::Rig;

/// The settings of a rig with rules for values.
fn with_rules(rig: &Rig, rules: &[&str]) -> EngineConfig {
    let values = rules.iter().map(|rule| (*rule).to_owned()).collect();
    let rules = Rules::parse(&RuleTexts { values, ..RuleTexts::default() }).expect("rules");
    EngineConfig { rules, until_caught_up: true, ..rig.config.clone() }
}

/// Rows that `verify` finds different, with what it could not say anything of.
async fn differences(rig: &Rig) -> u64 {
    let options =
        VerifyOptions { patterns: Vec::new(), limit: 9, memory_bytes: 8 << 20, ..VerifyOptions::default() };
    let report = verify(&rig.config, &options, &mut |_| {}).await.expect("a verdict");
    for table in &report.tables {
        assert_eq!(table.not_compared, None, "{table:#?}");
    }
    report.differences() + report.undecided()
}

const ODD: &str = "
    (10, 'NaN', 'NaN', 'Infinity', 'infinity', '0044-03-15 BC', '294276-12-31 23:59:59', '24:00:00'),
    (11, 'Infinity', '-Infinity', 'NaN', '-infinity', 'infinity', '-infinity', '00:00:00.5'),
    (12, 12345678901234567890123456789012345678901234567890.5, 1e-300, 1.5, '5874897-12-31', '2024-01-01 12:00:00.25',
     '2024-01-01 12:00:00+02', '23:59:59')";

const TABLE: &str =
    "CREATE TABLE odd (id int PRIMARY KEY, n numeric, d float8, r float4, day date, at timestamp,
    instant timestamptz, t time)";

#[tokio::test(flavor = "multi_thread")]
async fn columns_with_the_policy_text_hold_every_value() {
    let mut rig = Rig::shared("policy_text", &format!("{TABLE}; INSERT INTO odd VALUES {ODD}")).await;
    let plain = rig.config.clone();
    rig.config.rules = with_rules(&rig, &["text"]).rules;
    rig.catch_up().await.unwrap();
    // The next run does not say it again.
    rig.sql(
        &format!(
            "INSERT INTO odd SELECT id + 10, n, d, r, day, at, instant, t FROM (VALUES {ODD})
        AS odd (id, n, d, r, day, at, instant, t)"
        )
        .replace(
            "'NaN', 'NaN', 'Infinity', 'infinity', '0044-03-15 BC', '294276-12-31 23:59:59', '24:00:00'",
            "'NaN'::numeric, 'NaN'::float8, 'Infinity'::float4, 'infinity'::date, '0044-03-15 BC'::timestamp,
             '294276-12-31 23:59:59'::timestamptz, '24:00:00'::time",
        ),
    )
    .await;
    rig.start_with(EngineConfig { until_caught_up: true, ..plain.clone() }).end().await.unwrap();
    let texts = rig.target_rows("odd").await;
    let expected = [
        [
            "NaN",
            "NaN",
            "Infinity",
            "infinity",
            "0044-03-15 00:00:00 BC",
            "294276-12-31 23:59:59+00",
            "24:00:00",
        ],
        ["Infinity", "-Infinity", "NaN", "-infinity", "infinity", "-infinity", "00:00:00.5"],
        [
            "12345678901234567890123456789012345678901234567890.5",
            "1e-300",
            "1.5",
            "5874897-12-31",
            "2024-01-01 12:00:00.25",
            "2024-01-01 10:00:00+00",
            "23:59:59",
        ],
    ];
    assert_eq!(texts.len(), 6, "{texts:?}");
    for (row, expected) in texts.iter().zip(expected.iter().cycle()) {
        let found: Vec<&str> = row.iter().skip(1).map(|text| text.as_deref().unwrap_or("NULL")).collect();
        assert_eq!(found, expected, "{row:?}");
    }
    assert_eq!(differences(&rig).await, 0);
    // A wish that the target table cannot follow is refused, and a copy makes it possible.
    let other = with_rules(&rig, &["text", "public.odd.t=halt"]);
    let refused = rig.start_with(other.clone()).end().await.unwrap_err();
    assert_eq!(refused.code(), "RULES_CHANGE_SHAPE", "{refused}");
    assert!(refused.to_string().contains("public.odd"), "{refused}");
    let found = preflight(&other).await.unwrap();
    assert!(found.failures().any(|finding| finding.code == "RULES_CHANGE_SHAPE"));
    rig.sql("DELETE FROM odd WHERE t = '24:00:00'").await;
    resync(&other, &["odd".parse().unwrap()]).await.unwrap();
    rig.start_with(EngineConfig { until_caught_up: true, ..plain }).end().await.unwrap();
    rig.config.rules = other.rules;
    let texts = rig.target_rows("odd").await;
    assert_eq!(
        texts.iter().filter(|row| row.last() == Some(&Some("00:00:00.500000".to_owned()))).count(),
        2,
        "{texts:?}"
    );
    assert_eq!(differences(&rig).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_policy_a_value_halts_its_table_and_no_other() {
    let rig = Rig::shared(
        "policy_halt",
        &format!("{TABLE}; CREATE TABLE good (id int PRIMARY KEY, n int); INSERT INTO good VALUES (1, 1)"),
    )
    .await;
    rig.catch_up().await.unwrap();
    rig.sql(&format!("INSERT INTO odd VALUES {ODD}; INSERT INTO good VALUES (2, 2)")).await;
    rig.catch_up().await.unwrap();
    let state = rig.state().await.unwrap();
    let table = |name: &str| state.tables.iter().find(|table| table.source.name == name).unwrap();
    assert_eq!((table("odd").phase, table("good").phase), (TablePhase::Quarantined, TablePhase::Streaming));
    let (code, detail) = table("odd").error.clone().unwrap();
    assert_eq!(code, "VALUE_UNREPRESENTABLE");
    assert!(detail.contains("public.odd") && detail.contains("\"n\""), "{detail}");
    rig.assert_equal(&["good"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_mean_nothing_or_cannot_be_are_found() {
    let rig =
        Rig::shared("policy_findings", "CREATE TABLE t (id int PRIMARY KEY, at timestamp NOT NULL)").await;
    let codes = |rules: &'static [&'static str]| {
        let config = with_rules(&rig, rules);
        async move {
            let found = preflight(&config).await.unwrap();
            let mut codes: Vec<String> = found.failures().map(|finding| finding.code.clone()).collect();
            codes.extend(found.left_out.iter().map(|left| left.code.clone()));
            codes
        }
    };
    assert_eq!(codes(&["null"]).await, Vec::<String>::new());
    assert_eq!(codes(&["public.t.At=text"]).await, ["RULE_UNUSED"]);
    assert!(codes(&["public.t.at=null"]).await.contains(&"POLICY_IMPOSSIBLE".to_owned()));
}
