#!/usr/bin/env python3
"""Runs statements at the target by python-tds, as a foreign client that meddles would. They come as a JSON list on
standard input; each must change as many rows as is written beside it: [["UPDATE ...", 1], ...]."""

import argparse
import json
import os
import sys

import pytds

parser = argparse.ArgumentParser()
for name in ("host", "user", "database", "password-env"):
    parser.add_argument(f"--target-{name}", required=True)
parser.add_argument("--target-port", type=int, required=True)
parser.add_argument("--ca-file")
options = parser.parse_args()
connection = pytds.connect(
    dsn=options.target_host, port=options.target_port, user=options.target_user, database=options.target_database,
    password=os.environ[options.target_password_env], cafile=options.ca_file, validate_host=False, autocommit=True,
)
for statement, rows in json.load(sys.stdin):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        if cursor.rowcount != rows:
            sys.exit(f"{cursor.rowcount} rows instead of {rows}: {statement}")
