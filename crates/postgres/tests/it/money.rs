//! What `money` means is what the database means by it, whatever a role or a session has set.

use segcdc_model::PgType;
use segcdc_postgres::{Pattern, catalog, session};
use segcdc_testkit::{PostgresOptions, locale};

use crate::fixture::Source;

/// Digits behind the point, as the catalog says to a session of a role.
async fn digits(source: &Source, role: &str) -> Option<u8> {
    let session = session::connect(&source.config_of(role)).await.unwrap();
    let tables = catalog::tables(&session, &[Pattern::parse("amounts").unwrap()]).await.unwrap();
    match tables[0].columns[1].pg_type {
        PgType::Money { fraction_digits } => Some(fraction_digits),
        PgType::MoneyOfUnknownDigits => None,
        ref other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn money_means_what_the_database_means() {
    if !locale::can_make() {
        println!("skipped, this machine has no localedef or no locales to make");
        return;
    }
    let names = ["en_US.UTF-8", "ja_JP.UTF-8", "ar_KW.UTF-8"];
    let mut options = PostgresOptions::default().setting("lc_monetary", "en_US.UTF-8");
    options.locales = names.map(str::to_owned).into();
    let setup = "CREATE TABLE amounts (id int PRIMARY KEY, amount money); \
         CREATE ROLE plain LOGIN; CREATE ROLE hostile LOGIN; ALTER ROLE hostile SET lc_monetary = 'ja_JP.UTF-8'";
    let source = Source::private("money", options, setup).await;
    assert_eq!(digits(&source, "plain").await, Some(2));
    assert_eq!(digits(&source, "hostile").await, None, "the server's own setting is hidden");
    source.run("ALTER DATABASE money SET lc_monetary = 'ar_KW.UTF-8'").await;
    assert_eq!(digits(&source, "plain").await, Some(3));
    assert_eq!(digits(&source, "hostile").await, Some(3));
    source
        .run("ALTER DATABASE money RESET lc_monetary; ALTER ROLE ALL SET lc_monetary = 'ja_JP.UTF-8'")
        .await;
    assert_eq!(digits(&source, "plain").await, Some(0));
    assert_eq!(digits(&source, "hostile").await, Some(0));
}
