//! How many digits numbers really have.

use std::time::Duration;

use segcdc_postgres::profile::{NumericProfile, numeric};
use segcdc_postgres::session;

use crate::fixture::{PATIENCE, Source};

#[tokio::test]
async fn digits_are_counted_in_whole_tables_and_in_samples() {
    let setup = "CREATE TABLE numbers (a numeric, b numeric, c numeric); \
         INSERT INTO numbers SELECT i * 1000, -i / 8.0, NULL FROM generate_series(1, 20000) i; \
         INSERT INTO numbers VALUES ('NaN', 0.5000, 'Infinity'); CREATE ROLE nobody LOGIN";
    let source = Source::shared("numbers", setup).await;
    let mut table = source.table("numbers").await;
    let profile = numeric(&source.session, &table, &[0, 1, 2], PATIENCE).await.unwrap().unwrap();
    let expected = |column, whole_digits, fraction_digits, specials| NumericProfile {
        column,
        whole_digits,
        fraction_digits,
        specials,
    };
    assert_eq!((profile.rows, profile.share_ppm), (20_001, 1_000_000));
    assert_eq!(profile.columns, [expected(0, 8, 0, 1), expected(1, 4, 3, 0), expected(2, 0, 0, 1)]);
    // As if it were larger: a part of its pages.
    table.size_bytes = 80 << 20;
    let sample = numeric(&source.session, &table, &[1], PATIENCE).await.unwrap().unwrap();
    assert_eq!(sample.share_ppm, 400_000);
    assert!((1..20_001).contains(&sample.rows), "{sample:?}");
    let nobody = session::connect(&source.config_of("nobody")).await.unwrap();
    assert_eq!(numeric(&nobody, &table, &[0], PATIENCE).await.unwrap(), None, "it may not read the table");
}

#[tokio::test]
async fn looking_ends_in_time_and_leaves_the_session_as_it_was() {
    let setup = "CREATE TABLE slow (n numeric); INSERT INTO slow SELECT i FROM generate_series(1, 200000) i";
    let source = Source::shared("slow_numbers", setup).await;
    let table = source.table("slow").await;
    let limit = Duration::from_millis(1);
    assert_eq!(numeric(&source.session, &table, &[0], limit).await.unwrap(), None);
    let after = source.session.query_text("SHOW statement_timeout").await.unwrap();
    assert_eq!(after, [[Some("0".to_owned())]]);
}
