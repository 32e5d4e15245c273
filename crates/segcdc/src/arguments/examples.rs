//! What the help of commands ends with.

/// What `segcdc --help` ends with.
pub(super) const ALL: &str = "\
Examples:
  Replicate all tables, and keep following:
    export SEGCDC_SOURCE_URL='postgres://app:secret@db1:5432/shop'
    export SEGCDC_TARGET_URL='sqlserver://app:secret@db2:1433/shop'
    segcdc up

  See first what would be done, and what stands in the way:
    segcdc doctor
    segcdc plan --tables 'public.*'

  Prove that both sides are equal while changes flow, and mend what is not:
    segcdc verify
    segcdc verify --repair

Exit codes:
  0  done                                    4    source or target does not let us in
  1  failed while running                    5    differences found
  2  wrong usage or URL, servers not fit     130  stopped by ctrl-C
  3  source or target unreachable            143  stopped by SIGTERM";

/// What `segcdc export --help` ends with.
pub(super) const EXPORT: &str = "\
Examples:
  segcdc export > pipeline.yaml
  segcdc plan -f pipeline.yaml      nothing changes

Rules and tables that are not given are those that the target's state holds. Settings that count for one run only, such
as --readers, are kept nowhere: they are in the file if they are given. Passwords never are: variables stand for them.";

/// What `segcdc up --help` ends with.
pub(super) const UP: &str = "\
Examples:
  segcdc up --source @source.url --target @target.url
  segcdc up --tables 'public.*' --tables sales.orders --yes
  segcdc up --until-caught-up --yes && echo 'all committed changes have arrived'
  segcdc up --snapshot none --slot my_slot --publication my_publication
  segcdc up --engine kafka-connect --connect-url http://worker:8083 --connect-secrets file:/run/segcdc/shop.properties

Start it again after a crash or a stop, with the same URLs and name: it goes on where it was.
ctrl-C stops at the next batch, a second one at once; either way nothing is lost.";

/// What `segcdc migrate --help` ends with.
pub(super) const MIGRATE: &str = "\
Examples:
  segcdc migrate --engine kafka-connect --dry-run    what would be done, and what stands in the way
  segcdc migrate --engine kafka-connect --connect-url http://worker:8083 --connect-secrets file:/run/segcdc/shop.properties
  segcdc migrate --engine native --yes && segcdc up

The application goes on writing. A process that runs the pipeline ends as FENCED. To the native engine, the tables
are locked against writing for a few milliseconds, once. Interrupted anywhere, the same command goes on.";

/// What `segcdc serve --help` ends with.
pub(super) const SERVE: &str = "\
Examples:
  segcdc serve
  segcdc serve --listen 0.0.0.0:8080 --data-dir /var/lib/segcdc --public-url https://cdc.example.com

The first start makes a database and a master key in the data folder, and prints a token by which the first
administrator is made. docs/guides/serve.md goes on from there.";

/// What `segcdc verify --help` ends with.
pub(super) const VERIFY: &str = "\
Examples:
  segcdc verify
  segcdc verify --tables public.orders --limit 100
  segcdc verify -o json
  segcdc verify --by count               numbers of rows only, in seconds
  segcdc verify --jobs 8 --throttle 20000rows/s --progress-file verify.json
                                         gently; interrupted, the same command goes on
  segcdc verify --repair --dry-run       what would be written
  segcdc verify --repair --yes           write it, then compare again

Ends with 0 when all is equal, after a repair too; with 5 when something differs, with 1 when something could
not be compared or did not rest long enough to be decided.

--repair writes rows of tables with a key, each in a target transaction that holds the pipeline's fence, as of a position
at which both sides are known; rows that the source is changing are left to the pipeline.";
