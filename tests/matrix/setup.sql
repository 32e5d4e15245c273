-- What the types of types.txt need. Runs once for each database.
CREATE SCHEMA matrix;
CREATE TYPE matrix.mood AS ENUM ('sad', 'it''s ok ', 'glücklich', 'lllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllll');
CREATE TYPE matrix.pair AS (a int, b text);
CREATE TYPE matrix.nested AS (inner_pair matrix.pair, days date[], span interval);
CREATE TYPE matrix.text_range AS RANGE (subtype = text, collation = "C");
CREATE DOMAIN matrix.numbers AS int[] CHECK (array_length(value, 1) < 100);
CREATE DOMAIN matrix.price AS numeric(12,2);
CREATE DOMAIN matrix.label AS varchar(10);
CREATE DOMAIN matrix.small AS smallint;
CREATE DOMAIN matrix.positive AS matrix.small CHECK (value > 0);
CREATE DOMAIN matrix.flag AS boolean;
CREATE DOMAIN matrix.day AS date;
CREATE DOMAIN matrix.token AS uuid;
CREATE DOMAIN matrix.blob AS bytea;
CREATE DOMAIN matrix.feeling AS matrix.mood;
CREATE DOMAIN matrix.nothing AS text;
CREATE DOMAIN matrix.nothing_more AS matrix.nothing;
-- A base type that nothing knows: what a type of an extension is to the product. The functions are those of text.
CREATE TYPE matrix.opaque;
CREATE FUNCTION matrix.opaque_in(cstring) RETURNS matrix.opaque LANGUAGE internal IMMUTABLE STRICT AS 'textin';
CREATE FUNCTION matrix.opaque_out(matrix.opaque) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
CREATE TYPE matrix.opaque (INPUT = matrix.opaque_in, OUTPUT = matrix.opaque_out, LIKE = text);
CREATE VIEW matrix.ordinary AS SELECT 1 AS one;
DO $$ BEGIN CREATE ROLE "Odd Role"; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
