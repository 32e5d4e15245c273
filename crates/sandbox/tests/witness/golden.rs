//! The bytes of LOGIN7 and of bulk loads: mssql-jdbc's beside ours, each difference with its reason.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use segcdc_tds::packet::PacketType;
use segcdc_tds::reader::{Reader, utf16};
use segcdc_tds::token::{Column, Token, decode};
use segcdc_tds::{
    BulkColumn, BulkOptions, BulkTarget, Collation, ColumnType, Config, Connection, EncodeError, Encryption,
    Len, RowEncoder,
};
use segcdc_testkit::Sandbox;

use crate::proxy::Message;

/// Microseconds of 03:04:05.123456.
const MICROSECONDS: u64 = 11_045_123_456;

/// Days from 0001-01-01 to 2026-01-02.
const DAYS: u32 = 739_617;

/// How a value is written.
type Write = fn(&mut RowEncoder) -> Result<(), EncodeError>;

/// mssql-jdbc turns a uniqueidentifier into a text that the server must convert.
const UUID_REASON: &str = "mssql-jdbc sends a uniqueidentifier as char(36), which the server must convert; ours is the type \
                           itself, in 16 bytes, as Microsoft's .NET driver sends it";

/// Why ours differs from theirs: column (or LOGIN7), part, reason.
const REASONS: [(&str, &str, &str); 6] = [
    (
        "LOGIN7",
        "option flags 1, 2, type flags, option flags 3",
        "mssql-jdbc sets USE_DB (0x20) and wants to be told of each USE; ours never sends USE",
    ),
    (
        "LOGIN7",
        "features",
        "mssql-jdbc also offers column encryption (04), data classification (09), DNS caching (0B) and session recovery \
         (01); ours needs none of them, and reconnects by itself",
    ),
    ("c_uniqueidentifier", "INSERT BULK", UUID_REASON),
    ("c_uniqueidentifier", "COLMETADATA", UUID_REASON),
    ("c_uniqueidentifier", "ROW of a value", UUID_REASON),
    ("c_uniqueidentifier", "ROW of NULL", UUID_REASON),
];

/// The types of `Column.java`, in its order, and its values.
fn types() -> Vec<(&'static str, ColumnType, Write)> {
    vec![
        ("c_bit", ColumnType::Bit, |row| row.bit(true)),
        ("c_tinyint", ColumnType::TinyInt, |row| row.int(200)),
        ("c_smallint", ColumnType::SmallInt, |row| row.int(-2)),
        ("c_int", ColumnType::Int, |row| row.int(123_456_789)),
        ("c_bigint", ColumnType::BigInt, |row| row.int(-1_234_567_890_123)),
        ("c_real", ColumnType::Real, |row| row.real(1.5)),
        ("c_float", ColumnType::Float, |row| row.float(-0.25)),
        ("c_decimal_9", ColumnType::Decimal { precision: 9, scale: 2 }, |row| {
            row.decimal(true, 123_456_789, 2)
        }),
        ("c_decimal_38", ColumnType::Decimal { precision: 38, scale: 10 }, |row| {
            row.decimal(false, 12_345_678_901_234_567_890_123_456_780_123_456_789, 10)
        }),
        ("c_nvarchar", ColumnType::NVarChar(Len::Limited(50)), |row| row.text("h\u{E9}llo \u{20AC}")),
        ("c_nvarchar_max", ColumnType::NVarChar(Len::Max), |row| row.text("long \u{1F600}")),
        ("c_varchar", ColumnType::VarChar(Len::Limited(50)), |row| row.text("plain \u{E9}")),
        ("c_varbinary", ColumnType::VarBinary(Len::Limited(50)), |row| row.bytes(&[1, 2, 255])),
        ("c_varbinary_max", ColumnType::VarBinary(Len::Max), |row| row.bytes(&[9, 8, 7])),
        ("c_date", ColumnType::Date, |row| row.date(DAYS)),
        ("c_time_6", ColumnType::Time(6), |row| row.time(MICROSECONDS)),
        ("c_datetime2_6", ColumnType::DateTime2(6), |row| row.datetime2(DAYS, MICROSECONDS)),
        ("c_datetimeoffset_6", ColumnType::DateTimeOffset(6), |row| row.datetimeoffset(DAYS, MICROSECONDS)),
        ("c_uniqueidentifier", ColumnType::UniqueIdentifier, |row| {
            row.uuid(std::array::from_fn(|index| u8::try_from(index).unwrap_or(0) * 0x11))
        }),
    ]
}

/// Does what the Java program does, with our client.
pub(crate) async fn bulk_for_the_record(sandbox: &Sandbox, port: u16) -> Result<()> {
    let config = Config {
        host: "127.0.0.1".to_owned(),
        port,
        database: "sandbox".to_owned(),
        user: "sa".to_owned(),
        password: sandbox.password().to_owned(),
        encryption: Encryption::Off,
        packet_size: 8000,
        ..Config::default()
    };
    let mut connection = Connection::connect(&config).await?;
    for (name, column_type, write) in types() {
        connection.batch("DROP TABLE IF EXISTS [dbo].[w_golden]").await?;
        let collation = match column_type {
            ColumnType::VarChar(_) => Collation::LATIN1_GENERAL_100_CI_AS_SC_UTF8,
            _ => Collation::SQL_LATIN1_GENERAL_CP1_CI_AS,
        };
        let collate = match column_type {
            ColumnType::VarChar(_) => "COLLATE Latin1_General_100_CI_AS_SC_UTF8",
            _ => "",
        };
        let sql = format!("CREATE TABLE [dbo].[w_golden] ([{name}] {column_type} {collate} NULL)");
        connection.batch(&sql).await?;
        let columns = [BulkColumn { name: name.to_owned(), column_type, nullable: true, collation }];
        let options = BulkOptions { table_lock: true, keep_nulls: true, ..BulkOptions::default() };
        let target = BulkTarget { table: "[dbo].[w_golden]", columns: &columns, options: &options };
        let mut rows = RowEncoder::new(&columns);
        rows.begin_row();
        write(&mut rows).with_context(|| name.to_owned())?;
        rows.end_row()?;
        rows.begin_row();
        rows.null()?;
        rows.end_row()?;
        let mut load = connection.bulk_load(&target).await?;
        load.send(&mut rows).await?;
        assert_eq!(load.finish().await?, 2, "{name}");
    }
    Ok(())
}

/// The parts of one bulk load.
struct Load {
    statement: String,
    metadata: Vec<u8>,
    rows: Vec<Vec<u8>>,
    done: Vec<u8>,
}

/// The golden text, and the differences that have no reason.
pub(crate) fn compare(theirs: &[Message], ours: &[Message]) -> (String, Vec<String>) {
    let mut golden = Golden::default();
    golden.title("LOGIN7");
    for ((part, theirs), (_, ours)) in login(theirs).into_iter().zip(login(ours)) {
        golden.part("LOGIN7", &part, &theirs, &ours);
    }
    let (theirs, ours) = (loads(theirs), loads(ours));
    assert_eq!((theirs.len(), ours.len()), (types().len(), types().len()));
    for ((theirs, ours), (name, column_type, _)) in theirs.iter().zip(&ours).zip(types()) {
        golden.title(&column_type.to_string());
        golden.part(name, "INSERT BULK", &theirs.statement, &ours.statement);
        golden.part(name, "COLMETADATA", &hex(&theirs.metadata), &hex(&ours.metadata));
        for (index, part) in ["ROW of a value", "ROW of NULL"].into_iter().enumerate() {
            golden.part(name, part, &hex(&theirs.rows[index]), &hex(&ours.rows[index]));
        }
        golden.part(name, "DONE", &hex(&theirs.done), &hex(&ours.done));
    }
    (golden.text, golden.unexplained)
}

/// The text under construction.
#[derive(Default)]
struct Golden {
    text: String,
    unexplained: Vec<String>,
}

impl Golden {
    /// Begins a section.
    fn title(&mut self, title: &str) {
        writeln!(self.text, "\n== {title}").unwrap();
    }

    /// One part of both sides.
    fn part(&mut self, subject: &str, part: &str, theirs: &str, ours: &str) {
        if theirs == ours {
            writeln!(self.text, "{part}, same: {ours}").unwrap();
            return;
        }
        let fits = |(name, known, _): &&(&str, &str, &str)| *known == part && *name == subject;
        let reason = REASONS.iter().find(fits).map(|(_, _, reason)| *reason);
        writeln!(self.text, "{part}, jdbc: {theirs}\n{part}, ours: {ours}").unwrap();
        writeln!(self.text, "  because {}", reason.unwrap_or("???")).unwrap();
        if reason.is_none() {
            self.unexplained.push(format!("{subject} {part}: {theirs} / {ours}"));
        }
    }
}

/// The parts of LOGIN7 that do not change from run to run.
fn login(messages: &[Message]) -> Vec<(String, String)> {
    let login = messages.iter().find(|message| message.packet_type == PacketType::Login7).unwrap();
    let bytes = &login.payload;
    let mut parts = vec![
        ("TDS version".to_owned(), hex(&bytes[4..8])),
        ("packet size".to_owned(), hex(&bytes[8..12])),
        ("option flags 1, 2, type flags, option flags 3".to_owned(), hex(&bytes[24..28])),
        ("time zone and LCID".to_owned(), hex(&bytes[28..36])),
    ];
    let pair = |index: usize| {
        let at = 36 + index * 4;
        let number = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
        (number(at), number(at + 2))
    };
    for (name, index) in [("user", 1), ("database", 8)] {
        let (offset, units) = pair(index);
        parts.push((name.to_owned(), utf16(&bytes[offset..offset + units * 2])));
    }
    let (offset, units) = pair(2);
    parts.push(("password".to_owned(), hex(&bytes[offset..offset + units * 2])));
    let (offset, _) = pair(5);
    let at = u32::from_le_bytes(bytes[offset..offset + 4].try_into().unwrap()) as usize;
    let mut reader = Reader::new(&bytes[at..]);
    let mut features = String::new();
    loop {
        match reader.u8().unwrap() {
            0xFF => break,
            id => {
                reader.long_bytes().unwrap();
                write!(features, "{id:02X} ").unwrap();
            }
        }
    }
    parts.push(("features".to_owned(), features.trim_end().to_owned()));
    parts
}

/// All bulk loads.
fn loads(messages: &[Message]) -> Vec<Load> {
    let mut loads = Vec::new();
    let mut statement = String::new();
    for message in messages {
        match message.packet_type {
            PacketType::SqlBatch => {
                let headers = u32::from_le_bytes(message.payload[..4].try_into().unwrap()) as usize;
                statement = utf16(&message.payload[headers..]);
            }
            PacketType::BulkLoad => loads.push(load(&statement, &message.payload)),
            _ => {}
        }
    }
    loads
}

/// One bulk load, cut into its tokens.
fn load(statement: &str, payload: &[u8]) -> Load {
    let mut load =
        Load { statement: statement.to_owned(), metadata: Vec::new(), rows: Vec::new(), done: Vec::new() };
    let mut columns: Vec<Column> = Vec::new();
    let mut rest = payload;
    while !rest.is_empty() {
        let (token, length) = decode(rest, &columns).unwrap();
        let bytes = rest[..length].to_vec();
        rest = &rest[length..];
        match token {
            Token::Columns(found) => {
                columns = found.to_vec();
                load.metadata = bytes;
            }
            Token::Row(_) => load.rows.push(bytes),
            _ => load.done = bytes,
        }
    }
    load
}

/// Bytes in hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(" ")
}
