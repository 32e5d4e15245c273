"""What python-tds, pymssql (FreeTDS) and Microsoft's ODBC driver see of a server.

witness.py pytds|pymssql|odbc PORT DATABASE PASSWORD CA_FILE

Runs every check, prints a line for each, and a closing line. Exits with 1 when one failed.
"""

import datetime
import decimal
import sys
import traceback
import uuid

UTC = datetime.timezone.utc
MOMENT = datetime.datetime(2026, 1, 2, 3, 4, 5, 123456)

# Name, T-SQL type, value. The closed list of types that the product writes.
TYPES = [
    ("c_bit", "bit", True),
    ("c_tinyint", "tinyint", 200),
    ("c_smallint", "smallint", -2),
    ("c_int", "int", 123456789),
    ("c_bigint", "bigint", -1234567890123),
    ("c_real", "real", 1.5),
    ("c_float", "float", -0.25),
    ("c_decimal_9", "decimal(9,2)", decimal.Decimal("-1234567.89")),
    ("c_decimal_38", "decimal(38,10)", decimal.Decimal("1234567890123456789012345678.0123456789")),
    ("c_nvarchar", "nvarchar(50)", "h\u00e9llo \u20ac"),
    ("c_nvarchar_max", "nvarchar(max)", "long \U0001f600"),
    ("c_varchar", "varchar(50)", "plain \u00e9"),
    ("c_varbinary", "varbinary(50)", b"\x01\x02\xff"),
    ("c_varbinary_max", "varbinary(max)", b"\x09\x08\x07"),
    ("c_date", "date", datetime.date(2026, 1, 2)),
    ("c_time_6", "time(6)", MOMENT.time()),
    ("c_datetime2_6", "datetime2(6)", MOMENT),
    ("c_datetimeoffset_6", "datetimeoffset(6)", MOMENT.replace(tzinfo=UTC)),
    ("c_uniqueidentifier", "uniqueidentifier", uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")),
]

# The same values as T-SQL literals.
LITERALS = [
    "1", "200", "-2", "123456789", "-1234567890123", "1.5", "-0.25", "-1234567.89",
    "1234567890123456789012345678.0123456789", "N'h\u00e9llo \u20ac'", "N'long \U0001f600'", "'plain \u00e9'",
    "0x0102FF", "0x090807", "'2026-01-02'", "'03:04:05.123456'", "'2026-01-02 03:04:05.123456'",
    "'2026-01-02 03:04:05.123456 +00:00'", "'00112233-4455-6677-8899-AABBCCDDEEFF'",
]

LONG_TEXT = "\u00e4bc\U0001f600" * 40_000
LONG_BYTES = bytes(index * 31 % 256 for index in range(300_000))


def definitions():
    return ", ".join(f"[{name}] {sql_type} NULL" for name, sql_type, _ in TYPES)


class Client:
    """What the checks need of a client; `mark` stands for a parameter."""

    name = ""
    mark = "%s"
    # Types whose values the client cannot tell exactly, and what it makes of them.
    coarse = {}

    def __init__(self, port, database, password, ca_file):
        self.port, self.database, self.password, self.ca_file = port, database, password, ca_file

    def connect(self, **changes):
        raise NotImplementedError

    def number(self, error):
        """The error number of an exception."""
        raise NotImplementedError

    def number_is(self, error, number):
        return self.number(error) == number

    def binary(self, value):
        """A parameter of a binary type."""
        return value


class Pytds(Client):
    name = "python-tds"

    def connect(self, encryption="off", **changes):
        import pytds

        settings = {"user": "sa", "password": self.password, "database": self.database, "autocommit": True}
        settings.update(changes)
        if encryption != "off":
            settings.update(cafile=self.ca_file, enc_login_only=encryption == "login")
        return pytds.connect("localhost", port=self.port, **settings)

    def number(self, error):
        return getattr(error, "msg_no", None)

    def binary(self, value):
        import pytds

        return pytds.Binary(value)


class Pymssql(Client):
    name = "pymssql"
    # FreeTDS's DB-Library gives these as texts or with fewer digits.
    coarse = {
        "c_datetimeoffset_6": lambda value: value,
        "c_time_6": lambda value: value,
    }

    def connect(self, encryption="off", autocommit=True, **changes):
        import pymssql

        settings = {"user": "sa", "password": self.password, "database": self.database}
        settings.update(changes)
        return pymssql.connect(
            "127.0.0.1", port=str(self.port), encryption={"off": "off", "login": "request", "all": "require"}[encryption],
            autocommit=autocommit, charset="UTF-8", **settings)

    def number(self, error):
        arguments = error.args
        if arguments and isinstance(arguments[0], tuple):
            arguments = arguments[0]
        return arguments[0] if arguments else None


class Odbc(Client):
    name = "ODBC 18"
    mark = "?"
    # mssql-python tells no numbers, only texts.
    texts = {
        18456: "Login failed", 2627: "Violation of PRIMARY KEY", 515: "Cannot insert the value NULL",
        208: "Invalid object name", 207: "Invalid column name",
    }

    def connect(self, encryption="off", autocommit=True, user="sa", password=None, database=None):
        import mssql_python

        server = "localhost"
        mode = {"off": "Encrypt=no", "all": "Encrypt=yes;TrustServerCertificate=yes"}.get(encryption)
        if mode is None:
            certificate = self.ca_file.replace("ca.pem", "server.pem")
            mode = f"Encrypt=strict;ServerCertificate={certificate}"
        text = (f"Server={server},{self.port};Database={database or self.database};UID={user};"
                f"PWD={password or self.password};{mode}")
        return mssql_python.connect(text, autocommit=autocommit)

    def number(self, error):
        return str(error)

    def number_is(self, error, number):
        return self.texts[number] in str(error)


def execute(connection, sql, parameters=None):
    cursor = connection.cursor()
    cursor.execute(sql, parameters) if parameters else cursor.execute(sql)
    return cursor


def table(connection, name, columns):
    execute(connection, f"DROP TABLE IF EXISTS [dbo].[{name}]")
    execute(connection, f"CREATE TABLE [dbo].[{name}] ({columns})")


def count(connection, name):
    return execute(connection, f"SELECT COUNT(*) FROM [dbo].[{name}]").fetchone()[0]


def expect(client, number, action):
    try:
        action()
    except Exception as error:  # every client has its own classes
        if not client.number_is(error, number):
            raise AssertionError(f"expected {number}, got {client.number(error)}: {error!r}") from error
        return
    raise AssertionError(f"expected error {number}")


def same(expected, found, what=""):
    if expected != found:
        raise AssertionError(f"{what}: expected {short(expected)}, found {short(found)}")


def short(value):
    text = repr(value)
    return text if len(text) < 120 else f"{text[:120]}... of {len(text)}"


# === The checks ===

def logins(client):
    for encryption in ("off", "all") if client.name == "ODBC 18" else ("off", "login", "all"):
        client.connect(encryption=encryption).close()


def strict_login(client):
    client.connect(encryption="strict").close()


def wrong_password(client):
    expect(client, 18456, lambda: client.connect(password="no"))


def unknown_database(client):
    # The server says 4060 and then 18456; these clients tell the last or the most severe.
    expect(client, 18456, lambda: client.connect(database="no"))


def compare_types(client, connection, name):
    row = execute(connection, f"SELECT * FROM [dbo].[{name}]").fetchone()
    for (column, _, value), found in zip(TYPES, row):
        if isinstance(found, str) and isinstance(value, uuid.UUID):
            found = uuid.UUID(found)
        if isinstance(value, datetime.datetime) and isinstance(found, datetime.datetime) and value.tzinfo:
            found = found.astimezone(UTC)
        if client.name == "pymssql" and column == "c_datetimeoffset_6" and not isinstance(found, datetime.datetime):
            continue  # DB-Library gives its raw bytes
        same(value, found, column)


def every_type_by_literal(client):
    with client.connect() as connection:
        table(connection, "w_py_literals", definitions())
        execute(connection, f"INSERT INTO [dbo].[w_py_literals] VALUES ({', '.join(LITERALS)})")
        compare_types(client, connection, "w_py_literals")


def every_type_by_parameter(client):
    with client.connect() as connection:
        table(connection, "w_py_parameters", definitions())
        marks = ", ".join(client.mark for _ in TYPES)
        values = tuple(client.binary(value) if isinstance(value, bytes) else value for _, _, value in TYPES)
        execute(connection, f"INSERT INTO [dbo].[w_py_parameters] VALUES ({marks})", values)
        compare_types(client, connection, "w_py_parameters")


def every_null(client):
    with client.connect() as connection:
        table(connection, "w_py_nulls", definitions())
        execute(connection, f"INSERT INTO [dbo].[w_py_nulls] VALUES ({', '.join('NULL' for _ in TYPES)})")
        row = execute(connection, "SELECT * FROM [dbo].[w_py_nulls]").fetchone()
        same([None] * len(TYPES), list(row))


def long_values(client):
    with client.connect() as connection:
        table(connection, "w_py_long", "[id] int NOT NULL, [t] nvarchar(max) NULL, [b] varbinary(max) NULL")
        mark = client.mark
        execute(connection, f"INSERT INTO [dbo].[w_py_long] VALUES ({mark}, {mark}, {mark})", (1, LONG_TEXT, client.binary(LONG_BYTES)))
        if client.name == "pymssql":
            execute(connection, "SET TEXTSIZE 2147483647")
        text, data = execute(connection, "SELECT [t], [b] FROM [dbo].[w_py_long] WHERE [id] = 1").fetchone()
        same(LONG_TEXT, text)
        same(LONG_BYTES, bytes(data))


def errors(client):
    with client.connect() as connection:
        table(connection, "w_py_errors", "[id] int NOT NULL, CONSTRAINT [pk_w_py_errors] PRIMARY KEY ([id])")
        insert = "INSERT INTO [dbo].[w_py_errors] VALUES "
        execute(connection, insert + "(1)")
        expect(client, 2627, lambda: execute(connection, insert + "(1)"))
        expect(client, 515, lambda: execute(connection, insert + "(NULL)"))
        expect(client, 208, lambda: execute(connection, "SELECT * FROM [dbo].[w_no_such_table]").fetchall())
        expect(client, 207, lambda: execute(connection, "SELECT [nope] FROM [dbo].[w_py_errors]").fetchall())
        same(1, count(connection, "w_py_errors"))


def transactions(client):
    with client.connect() as connection:
        table(connection, "w_py_transactions", "[id] int NOT NULL")
    connection = client.connect(autocommit=False)
    execute(connection, "INSERT INTO [dbo].[w_py_transactions] VALUES (1)")
    connection.rollback()
    same(0, count(connection, "w_py_transactions"))
    execute(connection, "INSERT INTO [dbo].[w_py_transactions] VALUES (2)")
    connection.commit()
    connection.close()
    with client.connect() as connection:
        same(1, count(connection, "w_py_transactions"))


def many_rows(client):
    with client.connect() as connection:
        table(connection, "w_py_many", "[id] int NOT NULL, [t] nvarchar(50) NULL")
        for start in range(0, 5000, 1000):
            values = ", ".join(f"({n}, N'row {n}')" for n in range(start, start + 1000))
            execute(connection, f"INSERT INTO [dbo].[w_py_many] VALUES {values}")
        rows = execute(connection, "SELECT [id], [t] FROM [dbo].[w_py_many] ORDER BY [id]").fetchall()
        same([(n, f"row {n}") for n in range(5000)], [tuple(row) for row in rows])


def pytds_bulk(client):
    import pytds

    kinds = {
        "bit": pytds.tds_types.BitType(), "tinyint": pytds.tds_types.TinyIntType(),
        "smallint": pytds.tds_types.SmallIntType(), "int": pytds.tds_types.IntType(),
        "bigint": pytds.tds_types.BigIntType(), "real": pytds.tds_types.RealType(),
        "float": pytds.tds_types.FloatType(), "decimal(9,2)": pytds.tds_types.DecimalType(9, 2),
        "decimal(38,10)": pytds.tds_types.DecimalType(38, 10), "nvarchar(50)": pytds.tds_types.NVarCharType(50),
        "nvarchar(max)": pytds.tds_types.NVarCharMaxType(), "varchar(50)": pytds.tds_types.VarCharType(50),
        "varbinary(50)": pytds.tds_types.VarBinaryType(50), "varbinary(max)": pytds.tds_types.VarBinaryMaxType(),
        "date": pytds.tds_types.DateType(), "time(6)": pytds.tds_types.TimeType(6),
        "datetime2(6)": pytds.tds_types.DateTime2Type(6),
        "datetimeoffset(6)": pytds.tds_types.DateTimeOffsetType(6),
        "uniqueidentifier": pytds.tds_types.UniqueIdentifierType(),
    }
    columns = [pytds.tds_base.Column(name, type=kinds[sql_type], flags=pytds.tds_base.Column.fNullable)
               for name, sql_type, _ in TYPES]
    with client.connect() as connection:
        table(connection, "w_py_bulk", definitions())
        values = [value for _, _, value in TYPES]
        rows = [values] + [[None] * len(TYPES)] * 3
        connection.cursor().copy_to(data=rows, table_or_view="w_py_bulk", schema="dbo", columns=columns, tablock=True)
        same(4, count(connection, "w_py_bulk"))
        execute(connection, "DELETE FROM [dbo].[w_py_bulk] WHERE [c_int] IS NULL")
        compare_types(client, connection, "w_py_bulk")


COMMON = [logins, wrong_password, unknown_database, every_type_by_literal, every_null, long_values, errors, transactions,
          many_rows]
CLIENTS = {
    "pytds": (Pytds, [*COMMON, every_type_by_parameter, pytds_bulk]),
    "pymssql": (Pymssql, COMMON),
    "odbc": (Odbc, [*COMMON, strict_login, every_type_by_parameter]),
}


def main():
    kind, checks = CLIENTS[sys.argv[1]]
    client = kind(int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5])
    failed = 0
    for check in checks:
        try:
            check(client)
            print(f"ok {client.name}: {check.__name__}")
        except Exception as error:
            failed += 1
            print(f"FAILED {client.name}: {check.__name__}: {type(error).__name__}: {error}")
            traceback.print_exc(file=sys.stdout)
    print(f"{len(checks) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
