//! The table of ten columns: one of each kind of value, about 400 bytes a row on the wire.

/// Its name, and that of its database.
pub(super) const TEN: &str = "ten";
/// The same without a row: what a copy takes that has nothing to copy.
pub(super) const EMPTY: &str = "ten_empty";

/// SQL that makes it with so many rows.
pub(super) fn fill(rows: u64) -> String {
    format!(
        "CREATE TABLE {TEN} (id bigint PRIMARY KEY, name varchar(50) NOT NULL, amount numeric(20, 4), at timestamp,
           at_zone timestamptz, token uuid, bytes bytea, note text, flag boolean, ratio double precision);
         INSERT INTO {TEN} SELECT i, 'name of the row ' || i, i * 1.2345, timestamp '2001-02-03' + i * interval '1.5 seconds',
           timestamptz '2001-02-03 00:00+02' + i * interval '1.25 seconds', md5('t' || i)::uuid,
           decode(md5(i::text) || md5('b' || i) || md5('c' || i) || md5('d' || i), 'hex'),
           'a note of about ninety characters, as people write them: ' || md5('n' || i), i % 3 = 0, i / 7.0
           FROM generate_series(1, {rows}::bigint) i"
    )
}
