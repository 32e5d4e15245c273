#!/usr/bin/env python3
"""Compares source and target without any of the product's code.

The source is read by psql (COPY ... TO STDOUT, text format), the target by python-tds, so that a mistake in the
product's own encoder or decoder cannot hide here. Both sides must be quiet. Each value becomes a Python value by its
PostgreSQL type (an exact Decimal, bytes, a UUID, microseconds, text), rows become a multiset, and the multisets must
be equal.

  compare.py --source 'host=... port=... dbname=... user=...' --target-host H --target-port P --target-user sa \
             --target-password-env NAME --target-database D [--ca-file F] --psql /path/to/psql \
             public.orders=dbo.orders [...]

A pair of tables whose names have a dot or an equals sign is given as JSON: ["schema", "table", "schema", "table"].

Prints one JSON object; exits 0 when all tables are equal, 5 when something differs, 1 when it could not compare.
"""

import argparse
import datetime as dt
import decimal
import json
import os
import re
import struct
import subprocess
import sys
import uuid
from collections import Counter

import pytds

decimal.getcontext().prec = 100
EPOCH = dt.datetime(1970, 1, 1)
SETTINGS = (
    "-c datestyle=ISO,YMD -c timezone=UTC -c intervalstyle=postgres -c extra_float_digits=3 -c bytea_output=hex "
    "-c lc_monetary=C -c xmlbinary=base64 -c search_path=pg_catalog -c quote_all_identifiers=off"
)
ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}

COLUMNS_SQL = """
with recursive base(attnum, attname, kind, modifier) as (
    select attnum, attname, atttypid, atttypmod from pg_attribute
    where attrelid = '{table}'::regclass and attnum > 0 and not attisdropped and attgenerated = ''
    union all
    select attnum, attname, t.typbasetype, case when modifier >= 0 then modifier else t.typtypmod end
    from base join pg_type t on t.oid = kind where t.typtype = 'd')
select attname, format_type(kind, modifier) from base join pg_type t on t.oid = kind where t.typtype <> 'd'
order by attnum
"""


# python-tds takes varchar of a UTF-8 collation, which json is shown as, for code page 1252: the server turns such columns
# into nvarchar.
VARCHAR_SQL = """
SELECT s.name, o.name, c.name FROM sys.columns AS c JOIN sys.types AS t ON t.user_type_id = c.user_type_id
JOIN sys.objects AS o ON o.object_id = c.object_id JOIN sys.schemas AS s ON s.schema_id = o.schema_id
WHERE t.name IN (N'varchar', N'json')
"""


def quoted(name, left='"', right='"'):
    """One identifier, quoted."""
    return left + name.replace(right, right + right) + right


def unescape(field):
    """One field of COPY's text format; None for NULL."""
    if field == "\\N":
        return None
    out, i = [], 0
    while i < len(field):
        char = field[i]
        if char == "\\":
            i += 1
            char = ESCAPES.get(field[i], field[i])
        out.append(char)
        i += 1
    return "".join(out)


class Source:
    """The source, read by psql."""

    def __init__(self, psql, conninfo):
        self.command = [psql, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", conninfo]
        self.env = dict(os.environ, PGOPTIONS=SETTINGS, PGCLIENTENCODING="UTF8")

    def copy(self, query):
        """The rows of a query, as lists of text or None."""
        sql = f"COPY ({query}) TO STDOUT"
        run = subprocess.run(self.command + ["-c", sql], env=self.env, stdout=subprocess.PIPE, check=True)
        lines = run.stdout.decode("utf-8").split("\n")
        return [[unescape(f) for f in line.split("\t")] for line in lines[:-1]]

    def columns(self, schema, table):
        """(name, type) of each replicated column."""
        name = (quoted(schema) + "." + quoted(table)).replace("'", "''")
        return [tuple(row) for row in self.copy(COLUMNS_SQL.format(table=name))]


def micros(moment):
    """Microseconds since 1970 of a datetime without a zone."""
    return (moment - EPOCH) // dt.timedelta(microseconds=1)


def plain(kind):
    """The type without length, precision or scale: `timestamp(3) without time zone` is one without."""
    return re.sub(r"\([-0-9,]*\)", "", kind)


def source_value(kind, text):
    """What psql printed, as a value that both sides can be compared by."""
    if text is None:
        return None
    kind = plain(kind)
    if kind == "boolean":
        return {"t": True, "f": False}[text]
    if kind in ("smallint", "integer", "bigint", "oid"):
        return int(text)
    if kind == "real":
        return struct.pack("<f", float(text))
    if kind == "double precision":
        return struct.pack("<d", float(text))
    if kind == "numeric":
        return decimal.Decimal(text)
    if kind == "money":
        return decimal.Decimal(text.replace("$", "").replace(",", ""))
    if kind == "bit":
        return {"1": True, "0": False}.get(text, text)
    if kind == "bytea":
        return bytes.fromhex(text[2:])
    if kind == "uuid":
        return uuid.UUID(text)
    if kind == "date":
        return dt.date.fromisoformat(text)
    if kind == "time without time zone":
        return dt.time.fromisoformat(padded(text))
    if kind == "timestamp without time zone":
        return micros(dt.datetime.fromisoformat(padded(text)))
    if kind == "timestamp with time zone":
        assert text.endswith("+00"), "the session's time zone is UTC"
        return micros(dt.datetime.fromisoformat(padded(text[:-3])))
    return text


def padded(text):
    """A time or timestamp with its fraction in six digits, as fromisoformat wants it."""
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction:0<6}"


def target_value(kind, value):
    """What python-tds gave, in the same form."""
    if value is None:
        return None
    kind = plain(kind)
    if kind == "real":
        return struct.pack("<f", value)
    if kind == "double precision":
        return struct.pack("<d", value)
    if kind in ("smallint", "integer", "bigint", "oid"):
        return int(value)
    if kind in ("numeric", "money"):
        return decimal.Decimal(value)
    if kind == "bytea":
        return bytes(value)
    if kind in ("timestamp without time zone", "timestamp with time zone"):
        if value.tzinfo is not None:
            value = value.astimezone(dt.timezone.utc).replace(tzinfo=None)
        return micros(value)
    return value


def differing(columns, missing, extra):
    """Names, types and some values of the columns that differ, where the rows can be paired by their first column."""
    pairs = {row[0]: row for row in extra}
    found = {}
    for row in missing:
        for (name, kind), left, right in zip(columns, row, pairs.get(row[0], row), strict=True):
            if left != right:
                found.setdefault(f"{name} {kind}", f"{left!r:.80} arrived as {right!r:.80}")
    return found


def compare(source, target, varchar, pair):
    """The verdict on one table."""
    if pair.startswith("["):
        schema, table, target_schema, target_table = json.loads(pair)
        left = f"{schema}.{table}"
    else:
        left, _, right = pair.partition("=")
        (schema, table), (target_schema, target_table) = left.split(".", 1), right.split(".", 1)
    columns = source.columns(schema, table)
    names = ", ".join(quoted(name) for name, _ in columns)
    rows = source.copy(f"SELECT {names} FROM {quoted(schema)}.{quoted(table)}")
    expected = Counter(
        tuple(source_value(kind, text) for (_, kind), text in zip(columns, row, strict=True)) for row in rows
    )
    place = f"{quoted(target_schema, '[', ']')}.{quoted(target_table, '[', ']')}"
    with target.cursor() as cursor:
        cursor.execute(f"SELECT TOP 0 * FROM {place}")
        there = [column[0] for column in cursor.description]
        names = [name for name, _ in columns]
        if Counter(name.lower() for name in names) - Counter(name.lower() for name in there):
            names = there  # renamed: by position
        shown = [
            f"CAST({quoted(name, '[', ']')} AS nvarchar(max))"
            if (target_schema.lower(), target_table.lower(), name.lower()) in varchar
            else quoted(name, "[", "]")
            for name in names
        ]
        cursor.execute(f"SELECT {', '.join(shown)} FROM {place}")
        found = Counter(
            tuple(target_value(kind, value) for (_, kind), value in zip(columns, row, strict=True)) for row in cursor
        )
    missing, extra = expected - found, found - expected
    return {
        "table": left,
        "source_rows": sum(expected.values()),
        "target_rows": sum(found.values()),
        "missing": sum(missing.values()),
        "extra": sum(extra.values()),
        "columns": differing(columns, missing, extra),
        "examples": [repr(row)[:300] for row in list(missing)[:3] + list(extra)[:3]],
    }


def connect(options):
    """A connection with the target."""
    password = os.environ[options.target_password_env]
    if options.client == "pymssql":
        import pymssql

        return pymssql.connect(
            options.target_host,
            port=str(options.target_port),
            user=options.target_user,
            password=password,
            database=options.target_database,
            autocommit=True,
            charset="UTF-8",
        )
    return pytds.connect(
        dsn=options.target_host,
        port=options.target_port,
        user=options.target_user,
        password=password,
        database=options.target_database,
        cafile=options.ca_file,
        validate_host=False,
        autocommit=True,
        use_tz=None,
    )


def main():
    """Reads the arguments, compares, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True)
    parser.add_argument("--psql", default="psql")
    parser.add_argument("--target-host", default="127.0.0.1")
    parser.add_argument("--target-port", type=int, required=True)
    parser.add_argument("--target-user", default="sa")
    parser.add_argument("--target-password-env", required=True)
    parser.add_argument("--target-database", required=True)
    parser.add_argument("--ca-file")
    parser.add_argument("--client", choices=["pytds", "pymssql"], default="pytds")
    parser.add_argument("tables", nargs="+", metavar="SCHEMA.TABLE=SCHEMA.TABLE")
    options = parser.parse_args()
    target = connect(options)
    source = Source(options.psql, options.source)
    with target.cursor() as cursor:
        cursor.execute(VARCHAR_SQL)
        varchar = {tuple(name.lower() for name in row) for row in cursor.fetchall()}
    verdicts = [compare(source, target, varchar, pair) for pair in options.tables]
    equal = all(verdict["missing"] == 0 and verdict["extra"] == 0 for verdict in verdicts)
    print(json.dumps({"equal": equal, "tables": verdicts}, indent=1))
    return 0 if equal else 5


if __name__ == "__main__":
    sys.exit(main())
