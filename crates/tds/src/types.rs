//! The tables of the protocol that client and server share: type ids, token ids, flags, [`ColumnType`], [`Collation`].
//!
//! Tables only. What encodes or decodes values lives elsewhere, once per side, so that a mistake of one side shows at
//! the other.

use std::fmt;

/// TYPE_INFO's first byte ([MS-TDS] 2.2.5.4).
pub mod type_id {
    /// No value at all.
    pub const NULL: u8 = 0x1F;
    /// 1 byte, not null.
    pub const INT1: u8 = 0x30;
    /// 1 byte, not null.
    pub const BIT: u8 = 0x32;
    /// 2 bytes, not null.
    pub const INT2: u8 = 0x34;
    /// 4 bytes, not null.
    pub const INT4: u8 = 0x38;
    /// smalldatetime, 4 bytes, not null.
    pub const DATETIM4: u8 = 0x3A;
    /// real, not null.
    pub const FLT4: u8 = 0x3B;
    /// money, 8 bytes, not null.
    pub const MONEY: u8 = 0x3C;
    /// datetime, 8 bytes, not null.
    pub const DATETIME: u8 = 0x3D;
    /// float, not null.
    pub const FLT8: u8 = 0x3E;
    /// smallmoney, 4 bytes, not null.
    pub const MONEY4: u8 = 0x7A;
    /// 8 bytes, not null.
    pub const INT8: u8 = 0x7F;
    /// uniqueidentifier; length byte 0 or 16.
    pub const GUID: u8 = 0x24;
    /// Integers; length byte 0, 1, 2, 4 or 8.
    pub const INTN: u8 = 0x26;
    /// date; length byte 0 or 3.
    pub const DATEN: u8 = 0x28;
    /// time; scale in TYPE_INFO.
    pub const TIMEN: u8 = 0x29;
    /// datetime2; scale in TYPE_INFO.
    pub const DATETIME2N: u8 = 0x2A;
    /// datetimeoffset; scale in TYPE_INFO.
    pub const DATETIMEOFFSETN: u8 = 0x2B;
    /// bit; length byte 0 or 1.
    pub const BITN: u8 = 0x68;
    /// decimal; length, precision, scale in TYPE_INFO.
    pub const DECIMALN: u8 = 0x6A;
    /// numeric; as decimal.
    pub const NUMERICN: u8 = 0x6C;
    /// real and float; length byte 0, 4 or 8.
    pub const FLTN: u8 = 0x6D;
    /// smallmoney and money; length byte 0, 4 or 8.
    pub const MONEYN: u8 = 0x6E;
    /// smalldatetime and datetime; length byte 0, 4 or 8.
    pub const DATETIMN: u8 = 0x6F;
    /// varbinary; 2-byte length, 0xFFFF in TYPE_INFO means max (PLP).
    pub const BIGVARBINARY: u8 = 0xA5;
    /// varchar; 2-byte length and collation.
    pub const BIGVARCHAR: u8 = 0xA7;
    /// binary; 2-byte length.
    pub const BIGBINARY: u8 = 0xAD;
    /// char; 2-byte length and collation.
    pub const BIGCHAR: u8 = 0xAF;
    /// nvarchar; 2-byte length in bytes and collation.
    pub const NVARCHAR: u8 = 0xE7;
    /// nchar; 2-byte length in bytes and collation.
    pub const NCHAR: u8 = 0xEF;
    /// xml; always PLP, UTF-16.
    pub const XML: u8 = 0xF1;
    /// CLR type; always PLP.
    pub const UDT: u8 = 0xF0;
    /// json (SQL Server 2025, only when the client said that it knows it); PLP, UTF-8.
    pub const JSON: u8 = 0xF4;
    /// image (legacy); text pointer in front of the value.
    pub const IMAGE: u8 = 0x22;
    /// text (legacy).
    pub const TEXT: u8 = 0x23;
    /// sql_variant; 4-byte length, own base type in front of the value.
    pub const SSVARIANT: u8 = 0x62;
    /// ntext (legacy).
    pub const NTEXT: u8 = 0x63;
    /// Table-valued parameter.
    pub const TVP: u8 = 0xF3;
    /// Obsolete decimal of TDS 4.
    pub const DECIMAL: u8 = 0x37;
    /// Obsolete numeric of TDS 4.
    pub const NUMERIC: u8 = 0x3F;
    /// Obsolete char with a 1-byte length.
    pub const CHAR: u8 = 0x2F;
    /// Obsolete varchar with a 1-byte length.
    pub const VARCHAR: u8 = 0x27;
    /// Obsolete binary with a 1-byte length.
    pub const BINARY: u8 = 0x2D;
    /// Obsolete varbinary with a 1-byte length.
    pub const VARBINARY: u8 = 0x25;
}

/// First byte of each token of a server's answer, and of a bulk load ([MS-TDS] 2.2.7).
pub mod token_id {
    /// Names of tables behind columns (only for browse mode).
    pub const TABNAME: u8 = 0xA4;
    /// Column information (only for browse mode).
    pub const COLINFO: u8 = 0xA5;
    /// Columns of the rows that follow.
    pub const COLMETADATA: u8 = 0x81;
    /// Columns of the ORDER BY.
    pub const ORDER: u8 = 0xA9;
    /// An error.
    pub const ERROR: u8 = 0xAA;
    /// A message.
    pub const INFO: u8 = 0xAB;
    /// An output parameter.
    pub const RETURNVALUE: u8 = 0xAC;
    /// The login succeeded.
    pub const LOGINACK: u8 = 0xAD;
    /// Answers to LOGIN7's features.
    pub const FEATUREEXTACK: u8 = 0xAE;
    /// A row.
    pub const ROW: u8 = 0xD1;
    /// A row with a bitmap of its NULLs.
    pub const NBCROW: u8 = 0xD2;
    /// A change of session state worth keeping for reconnects.
    pub const SESSIONSTATE: u8 = 0xE4;
    /// A change of database, packet size, collation, transaction, or server.
    pub const ENVCHANGE: u8 = 0xE3;
    /// Return code of a procedure.
    pub const RETURNSTATUS: u8 = 0x79;
    /// Integrated authentication.
    pub const SSPI: u8 = 0xED;
    /// Where to get an Entra token.
    pub const FEDAUTHINFO: u8 = 0xEE;
    /// End of a statement of a batch.
    pub const DONE: u8 = 0xFD;
    /// End of a procedure.
    pub const DONEPROC: u8 = 0xFE;
    /// End of a statement within a procedure.
    pub const DONEINPROC: u8 = 0xFF;
}

/// Bits of the status of DONE, DONEPROC and DONEINPROC.
pub mod done_status {
    /// The end of everything.
    pub const FINAL: u16 = 0x0000;
    /// More follows.
    pub const MORE: u16 = 0x0001;
    /// The statement failed.
    pub const ERROR: u16 = 0x0002;
    /// A transaction is open.
    pub const IN_TRANSACTION: u16 = 0x0004;
    /// The row count is valid.
    pub const COUNT: u16 = 0x0010;
    /// Acknowledges an attention.
    pub const ATTENTION: u16 = 0x0020;
    /// A severe error: the results are to be thrown away.
    pub const SERVER_ERROR: u16 = 0x0100;
}

/// First byte of an ENVCHANGE ([MS-TDS] 2.2.7.9).
pub mod env_change {
    /// Database.
    pub const DATABASE: u8 = 1;
    /// Language.
    pub const LANGUAGE: u8 = 2;
    /// Character set (TDS 7 servers no longer send it).
    pub const CHARACTER_SET: u8 = 3;
    /// Packet size, as decimal text.
    pub const PACKET_SIZE: u8 = 4;
    /// Database collation, 5 bytes.
    pub const COLLATION: u8 = 7;
    /// A transaction began; the new value is its 8-byte descriptor.
    pub const BEGIN_TRANSACTION: u8 = 8;
    /// The transaction committed; the old value is its descriptor.
    pub const COMMIT_TRANSACTION: u8 = 9;
    /// The transaction was rolled back; the old value is its descriptor.
    pub const ROLLBACK_TRANSACTION: u8 = 10;
    /// Enlisted in a distributed transaction.
    pub const ENLIST_DTC: u8 = 11;
    /// The distributed transaction was left.
    pub const DEFECT_DTC: u8 = 12;
    /// Name of the mirroring partner.
    pub const MIRROR_PARTNER: u8 = 13;
    /// A transaction ended without a request of its own.
    pub const TRANSACTION_ENDED: u8 = 17;
    /// The session was reset.
    pub const RESET_CONNECTION_ACK: u8 = 18;
    /// Name of a user instance.
    pub const USER_INSTANCE: u8 = 19;
    /// Log in elsewhere: protocol, port, host.
    pub const ROUTING: u8 = 20;
}

/// LOGIN7 feature ids ([MS-TDS] 2.2.6.4).
pub mod feature_id {
    /// Idle session recovery.
    pub const SESSION_RECOVERY: u8 = 0x01;
    /// Entra authentication.
    pub const FEDAUTH: u8 = 0x02;
    /// Always Encrypted.
    pub const COLUMN_ENCRYPTION: u8 = 0x04;
    /// Global (DTC) transactions.
    pub const GLOBAL_TRANSACTIONS: u8 = 0x05;
    /// Azure SQL features.
    pub const AZURE_SQL_SUPPORT: u8 = 0x08;
    /// Data classification.
    pub const DATA_CLASSIFICATION: u8 = 0x09;
    /// varchar in UTF-8 collations may be sent as UTF-8.
    pub const UTF8_SUPPORT: u8 = 0x0A;
    /// DNS caching on Azure.
    pub const AZURE_SQL_DNS_CACHING: u8 = 0x0B;
    /// The json type.
    pub const JSON_SUPPORT: u8 = 0x0D;
    /// The vector type.
    pub const VECTOR_SUPPORT: u8 = 0x0E;
    /// The client's name and platform.
    pub const USER_AGENT: u8 = 0x10;
    /// End of the list.
    pub const TERMINATOR: u8 = 0xFF;
}

/// Bits of a column's flags in COLMETADATA.
pub mod column_flag {
    /// NULL is allowed.
    pub const NULLABLE: u16 = 0x0001;
    /// Compares case sensitively.
    pub const CASE_SENSITIVE: u16 = 0x0002;
    /// May be written.
    pub const UPDATEABLE: u16 = 0x0004;
    /// Nobody knows whether it may be written.
    pub const UPDATEABLE_UNKNOWN: u16 = 0x0008;
    /// An identity column.
    pub const IDENTITY: u16 = 0x0010;
    /// A computed column.
    pub const COMPUTED: u16 = 0x0020;
    /// Part of a hidden key.
    pub const HIDDEN: u16 = 0x2000;
    /// Part of a key.
    pub const KEY: u16 = 0x4000;
    /// Nobody knows whether it may be NULL.
    pub const NULLABLE_UNKNOWN: u16 = 0x8000;
}

/// Kinds of headers in ALL_HEADERS ([MS-TDS] 2.2.5.3).
pub mod request_header {
    /// Query notifications.
    pub const QUERY_NOTIFICATIONS: u16 = 1;
    /// Transaction descriptor and outstanding request count.
    pub const TRANSACTION_DESCRIPTOR: u16 = 2;
    /// Activity id for tracing.
    pub const TRACE_ACTIVITY: u16 = 3;
}

/// Requests to the transaction manager ([MS-TDS] 2.2.6.9).
pub mod transaction_request {
    /// Address of the distributed transaction coordinator.
    pub const GET_DTC_ADDRESS: u16 = 0;
    /// Join a distributed transaction.
    pub const PROPAGATE: u16 = 1;
    /// Begin.
    pub const BEGIN: u16 = 5;
    /// Make the transaction distributed.
    pub const PROMOTE: u16 = 6;
    /// Commit.
    pub const COMMIT: u16 = 7;
    /// Roll back.
    pub const ROLLBACK: u16 = 8;
    /// Savepoint.
    pub const SAVE: u16 = 9;
}

/// Procedure ids that an RPC may name instead of a procedure ([MS-TDS] 2.2.6.6).
pub mod procedure_id {
    /// sp_cursor
    pub const CURSOR: u16 = 1;
    /// sp_cursoropen
    pub const CURSOR_OPEN: u16 = 2;
    /// sp_cursorprepare
    pub const CURSOR_PREPARE: u16 = 3;
    /// sp_cursorexecute
    pub const CURSOR_EXECUTE: u16 = 4;
    /// sp_cursorprepexec
    pub const CURSOR_PREP_EXEC: u16 = 5;
    /// sp_cursorunprepare
    pub const CURSOR_UNPREPARE: u16 = 6;
    /// sp_cursorfetch
    pub const CURSOR_FETCH: u16 = 7;
    /// sp_cursoroption
    pub const CURSOR_OPTION: u16 = 8;
    /// sp_cursorclose
    pub const CURSOR_CLOSE: u16 = 9;
    /// sp_executesql
    pub const EXECUTE_SQL: u16 = 10;
    /// sp_prepare
    pub const PREPARE: u16 = 11;
    /// sp_execute
    pub const EXECUTE: u16 = 12;
    /// sp_prepexec
    pub const PREP_EXEC: u16 = 13;
    /// sp_prepexecrpc
    pub const PREP_EXEC_RPC: u16 = 14;
    /// sp_unprepare
    pub const UNPREPARE: u16 = 15;
}

/// TDS versions as LOGIN7 and LOGINACK carry them. LOGIN7 has them little-endian, LOGINACK big-endian.
pub mod tds_version {
    /// SQL Server 2012 and later.
    pub const V7_4: u32 = 0x7400_0004;
    /// SQL Server 2022 and later, strict encryption.
    pub const V8_0: u32 = 0x0800_0000;
}

/// Encryption byte of PRELOGIN ([MS-TDS] 2.2.6.5).
pub mod encryption {
    /// Only the login is encrypted.
    pub const OFF: u8 = 0x00;
    /// All is encrypted.
    pub const ON: u8 = 0x01;
    /// The side cannot encrypt.
    pub const NOT_SUPPORTED: u8 = 0x02;
    /// The server insists on encryption.
    pub const REQUIRED: u8 = 0x03;
}

/// Option tokens of PRELOGIN.
pub mod prelogin_option {
    /// Version of the program: 4 bytes and a 2-byte sub-build.
    pub const VERSION: u8 = 0x00;
    /// A byte of [`super::encryption`].
    pub const ENCRYPTION: u8 = 0x01;
    /// Instance name, NUL-terminated.
    pub const INSTANCE: u8 = 0x02;
    /// Client thread id, 4 bytes.
    pub const THREAD_ID: u8 = 0x03;
    /// Multiple active result sets.
    pub const MARS: u8 = 0x04;
    /// Connection id (16 bytes) and activity id (20 bytes).
    pub const TRACE_ID: u8 = 0x05;
    /// Entra authentication is required.
    pub const FEDAUTH_REQUIRED: u8 = 0x06;
    /// End of the list.
    pub const TERMINATOR: u8 = 0xFF;
}

/// Length of a PLP value that is NULL.
pub const PLP_NULL: u64 = u64::MAX;

/// Length of a PLP value of unknown length.
pub const PLP_UNKNOWN_LENGTH: u64 = u64::MAX - 1;

/// TYPE_INFO length of a `max` type, and value length of a NULL with a 2-byte length.
pub const MAX_MARKER: u16 = u16::MAX;

/// Length byte of a decimal value as this client always sends it: a sign and sixteen bytes of magnitude.
pub const DECIMAL_LEN: u8 = 17;

/// The ALPN protocol of TDS 8.0.
pub const ALPN_TDS_8: &[u8] = b"tds/8.0";

/// Length of a variable-length type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Len {
    /// At most this many UTF-16 units (nvarchar: 1 to 4000) or bytes (varchar, varbinary: 1 to 8000).
    Limited(u16),
    /// `max`: up to 2 GB, sent in pieces (PLP).
    Max,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColumnType {
    /// `bit`
    Bit,
    /// `tinyint`: 0 to 255.
    TinyInt,
    /// `smallint`
    SmallInt,
    /// `int`
    Int,
    /// `bigint`
    BigInt,
    /// `real`
    Real,
    /// `float`
    Float,
    /// `decimal` and `numeric`
    Decimal {
        /// Digits in all, 1 to 38.
        precision: u8,
        /// Digits behind the point, 0 to `precision`.
        scale: u8,
    },
    /// `smallmoney`: decimal(10,4)
    SmallMoney,
    /// `money`: decimal(19,4)
    Money,
    /// `nvarchar`, in UTF-16 units
    NVarChar(Len),
    /// `nchar`, in UTF-16 units
    NChar(u16),
    /// `varchar`, in bytes of its collation's code page
    VarChar(Len),
    /// `char`, in bytes of its collation's code page
    Char(u16),
    /// `varbinary`
    VarBinary(Len),
    /// `binary`
    Binary(u16),
    /// `xml`
    Xml,
    /// `json`: a client that does not ask for the JSON extension, as this one, sees varchar(max) in UTF-8.
    Json,
    /// `date`
    Date,
    /// `time(scale)`, scale 0 to 7
    Time(u8),
    /// `datetime2(scale)`
    DateTime2(u8),
    /// `datetimeoffset(scale)`
    DateTimeOffset(u8),
    /// `datetime`: 1/300 s
    DateTime,
    /// `smalldatetime`: minutes
    SmallDateTime,
    /// `uniqueidentifier`
    UniqueIdentifier,
    /// `sql_variant`: each value has its own type (`SERVERPROPERTY`); read only.
    SqlVariant,
    /// `text`: read only.
    Text,
    /// `ntext`: read only.
    NText,
    /// `image`: read only.
    Image,
}

/// A collation as the wire carries it ([MS-TDS] 2.2.5.1.2).
///
/// ```text
/// bits 0..20 LCID | 20..28 flags (see the methods) | 28..32 version      then one byte: sort id (0 for Windows collations)
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Collation(pub [u8; 5]);

// === impl Len ===

impl fmt::Display for Len {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Len::Limited(n) => write!(f, "{n}"),
            Len::Max => f.write_str("max"),
        }
    }
}

// === impl ColumnType ===

impl ColumnType {
    /// Whether values travel in pieces with an 8-byte length (PLP).
    pub fn is_plp(self) -> bool {
        matches!(
            self,
            ColumnType::NVarChar(Len::Max)
                | ColumnType::VarChar(Len::Max)
                | ColumnType::VarBinary(Len::Max)
                | ColumnType::Xml
                | ColumnType::Json
        )
    }

    /// Whether TYPE_INFO carries a collation.
    pub fn has_collation(self) -> bool {
        matches!(
            self,
            ColumnType::NVarChar(_)
                | ColumnType::NChar(_)
                | ColumnType::VarChar(_)
                | ColumnType::Char(_)
                | ColumnType::Text
                | ColumnType::NText
        )
    }

    /// The nullable wire type, the only form that this client ever sends.
    pub fn wire_id(self) -> u8 {
        match self {
            ColumnType::Bit => type_id::BITN,
            ColumnType::TinyInt | ColumnType::SmallInt | ColumnType::Int | ColumnType::BigInt => {
                type_id::INTN
            }
            ColumnType::Real | ColumnType::Float => type_id::FLTN,
            ColumnType::Decimal { .. } => type_id::DECIMALN,
            ColumnType::SmallMoney | ColumnType::Money => type_id::MONEYN,
            ColumnType::NVarChar(_) => type_id::NVARCHAR,
            ColumnType::NChar(_) => type_id::NCHAR,
            ColumnType::VarChar(_) | ColumnType::Json => type_id::BIGVARCHAR,
            ColumnType::Char(_) => type_id::BIGCHAR,
            ColumnType::VarBinary(_) => type_id::BIGVARBINARY,
            ColumnType::Binary(_) => type_id::BIGBINARY,
            ColumnType::Xml => type_id::XML,
            ColumnType::Date => type_id::DATEN,
            ColumnType::Time(_) => type_id::TIMEN,
            ColumnType::DateTime2(_) => type_id::DATETIME2N,
            ColumnType::DateTimeOffset(_) => type_id::DATETIMEOFFSETN,
            ColumnType::DateTime | ColumnType::SmallDateTime => type_id::DATETIMN,
            ColumnType::UniqueIdentifier => type_id::GUID,
            ColumnType::SqlVariant => type_id::SSVARIANT,
            ColumnType::Text => type_id::TEXT,
            ColumnType::NText => type_id::NTEXT,
            ColumnType::Image => type_id::IMAGE,
        }
    }
}

/// As T-SQL spells it, without a COLLATE clause: `nvarchar(50)`, `datetime2(6)`, `decimal(38,10)`.
impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ColumnType::Bit => f.write_str("bit"),
            ColumnType::TinyInt => f.write_str("tinyint"),
            ColumnType::SmallInt => f.write_str("smallint"),
            ColumnType::Int => f.write_str("int"),
            ColumnType::BigInt => f.write_str("bigint"),
            ColumnType::Real => f.write_str("real"),
            ColumnType::Float => f.write_str("float"),
            ColumnType::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            ColumnType::SmallMoney => f.write_str("smallmoney"),
            ColumnType::Money => f.write_str("money"),
            ColumnType::NVarChar(length) => write!(f, "nvarchar({length})"),
            ColumnType::NChar(length) => write!(f, "nchar({length})"),
            ColumnType::VarChar(length) => write!(f, "varchar({length})"),
            ColumnType::Char(length) => write!(f, "char({length})"),
            ColumnType::VarBinary(length) => write!(f, "varbinary({length})"),
            ColumnType::Binary(length) => write!(f, "binary({length})"),
            ColumnType::Xml => f.write_str("xml"),
            ColumnType::Json => f.write_str("json"),
            ColumnType::Date => f.write_str("date"),
            ColumnType::Time(scale) => write!(f, "time({scale})"),
            ColumnType::DateTime2(scale) => write!(f, "datetime2({scale})"),
            ColumnType::DateTimeOffset(scale) => write!(f, "datetimeoffset({scale})"),
            ColumnType::DateTime => f.write_str("datetime"),
            ColumnType::SmallDateTime => f.write_str("smalldatetime"),
            ColumnType::UniqueIdentifier => f.write_str("uniqueidentifier"),
            ColumnType::SqlVariant => f.write_str("sql_variant"),
            ColumnType::Text => f.write_str("text"),
            ColumnType::NText => f.write_str("ntext"),
            ColumnType::Image => f.write_str("image"),
        }
    }
}

/// Bytes of a time of day in units of 10^-scale seconds ([MS-TDS] 2.2.5.5.1.8).
pub const fn time_len(scale: u8) -> u8 {
    match scale {
        0..=2 => 3,
        3 | 4 => 4,
        _ => 5,
    }
}

/// Bytes of a decimal value of this precision, its sign byte included, as servers send it.
pub const fn decimal_len(precision: u8) -> u8 {
    match precision {
        0..=9 => 5,
        10..=19 => 9,
        20..=28 => 13,
        _ => 17,
    }
}

// === impl Collation ===

impl Collation {
    /// `SQL_Latin1_General_CP1_CI_AS`, the default of an English SQL Server and of Azure SQL Database.
    pub const SQL_LATIN1_GENERAL_CP1_CI_AS: Collation = Collation([0x09, 0x04, 0xD0, 0x00, 0x34]);

    /// `Latin1_General_100_BIN2`: LCID 0x0409, binary2, version 2. Compares by UTF-16 code unit.
    pub const LATIN1_GENERAL_100_BIN2: Collation = Collation([0x09, 0x04, 0x00, 0x22, 0x00]);

    /// `Latin1_General_100_BIN2_UTF8`: the same for varchar in UTF-8.
    pub const LATIN1_GENERAL_100_BIN2_UTF8: Collation = Collation([0x09, 0x04, 0x00, 0x26, 0x00]);

    /// `Latin1_General_100_CI_AS_SC_UTF8`: an example of a collation whose varchar is UTF-8.
    pub const LATIN1_GENERAL_100_CI_AS_SC_UTF8: Collation = Collation([0x09, 0x04, 0xD0, 0x24, 0x00]);

    /// The name in T-SQL of the collations above; `None` for all others, whose names the wire does not tell.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::SQL_LATIN1_GENERAL_CP1_CI_AS => Some("SQL_Latin1_General_CP1_CI_AS"),
            Self::LATIN1_GENERAL_100_BIN2 => Some("Latin1_General_100_BIN2"),
            Self::LATIN1_GENERAL_100_BIN2_UTF8 => Some("Latin1_General_100_BIN2_UTF8"),
            Self::LATIN1_GENERAL_100_CI_AS_SC_UTF8 => Some("Latin1_General_100_CI_AS_SC_UTF8"),
            _ => None,
        }
    }

    /// Windows locale, the lower 20 bits.
    pub const fn lcid(self) -> u32 {
        u32::from_le_bytes([self.0[0], self.0[1], self.0[2], 0]) & 0x000F_FFFF
    }

    /// Whether it compares by UTF-16 code unit (`_BIN2`).
    pub const fn is_binary2(self) -> bool {
        self.0[3] & 0x02 != 0
    }

    /// Whether varchar is UTF-8 (`_UTF8`).
    pub const fn is_utf8(self) -> bool {
        self.0[3] & 0x04 != 0
    }

    /// Sort order id of an `SQL_` collation, 0 for Windows collations.
    pub const fn sort_id(self) -> u8 {
        self.0[4]
    }
}

impl fmt::Debug for Collation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e] = self.0;
        write!(f, "Collation({a:02X}{b:02X}{c:02X}{d:02X}{e:02X})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collation_bits_mean_what_the_manual_says() {
        let bin2 = Collation::LATIN1_GENERAL_100_BIN2;
        assert_eq!(
            (bin2.lcid(), bin2.is_binary2(), bin2.is_utf8(), bin2.sort_id()),
            (0x0409, true, false, 0)
        );
        let default = Collation::SQL_LATIN1_GENERAL_CP1_CI_AS;
        assert_eq!((default.lcid(), default.is_binary2(), default.sort_id()), (0x0409, false, 52));
        assert!(Collation::LATIN1_GENERAL_100_CI_AS_SC_UTF8.is_utf8());
    }

    #[test]
    fn types_are_spelled_as_in_t_sql() {
        let check = |column_type: ColumnType, expected: &str| assert_eq!(column_type.to_string(), expected);
        check(ColumnType::NVarChar(Len::Limited(50)), "nvarchar(50)");
        check(ColumnType::NVarChar(Len::Max), "nvarchar(max)");
        check(ColumnType::DateTime2(6), "datetime2(6)");
        check(ColumnType::Decimal { precision: 38, scale: 10 }, "decimal(38,10)");
        check(ColumnType::VarBinary(Len::Limited(8000)), "varbinary(8000)");
    }
}
