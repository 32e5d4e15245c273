-- Helpers that translated statements call, and the tables behind sys.*. Errors of SQL Server are raised with SQLSTATE
-- M and the four digits of its number.
CREATE SCHEMA tsql;
CREATE SCHEMA sys;
CREATE SCHEMA isv;
CREATE SCHEMA u;

-- Case, width and kana ignored; nondeterministic, so that equality, hashing and unique indexes follow.
CREATE COLLATION tsql.ci_as (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE COLLATION tsql.cs_as (provider = icu, locale = 'und', deterministic = false);
CREATE COLLATION tsql.ci_ai (provider = icu, locale = 'und-u-ks-level1', deterministic = false);
CREATE COLLATION tsql.cs_ai (provider = icu, locale = 'und-u-ks-level1-kc-true', deterministic = false);

-- bpchar to text with its trailing blanks: the built-in cast cuts them off.
CREATE FUNCTION tsql.text_of_raw(bpchar, int4, bool) RETURNS text
    LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'bpchar';
CREATE FUNCTION tsql.text_of(bpchar) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT tsql.text_of_raw($1, -1, false) $$;

-- UTF-16 units: characters outside of the basic plane count twice.
CREATE FUNCTION tsql.units(bpchar) RETURNS int4 LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE WHEN octet_length($1) = char_length(tsql.text_of_raw($1, -1, false)) THEN octet_length($1)
        ELSE char_length(tsql.text_of_raw($1, -1, false)) + char_length(regexp_replace(
            tsql.text_of_raw($1, -1, false) COLLATE "C", '[^\U00010000-\U0010FFFF]', '', 'g')) END $$;
-- Bytes in code page 1252: one for each character.
CREATE FUNCTION tsql.bytes(bpchar) RETURNS int4 LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT char_length(tsql.text_of_raw($1, -1, false)) $$;
-- LEN: without trailing blanks.
CREATE FUNCTION tsql.len(bpchar) RETURNS int4 LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT tsql.units(rtrim(tsql.text_of_raw($1, -1, false), ' ')::bpchar) $$;

CREATE FUNCTION tsql.cut_units(value bpchar, units int4) RETURNS bpchar LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE cut text;
BEGIN
    IF octet_length(value) <= units OR tsql.units(value) <= units THEN RETURN value; END IF;
    cut := left(tsql.text_of(value), units);
    WHILE tsql.units(cut::bpchar) > units LOOP cut := left(cut, -1); END LOOP;
    RETURN cut::bpchar;
END $$;
CREATE FUNCTION tsql.cut_bytes(value bpchar, units int4) RETURNS bpchar LANGUAGE sql IMMUTABLE STRICT
    AS $$ SELECT left(tsql.text_of(value), units)::bpchar $$;

CREATE FUNCTION tsql.fit_units(value bpchar, units int4, in_table text, in_column text) RETURNS bpchar
    LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF value IS NULL OR octet_length(value) <= units OR tsql.units(value) <= units THEN RETURN value; END IF;
    IF tsql.len(value) <= units THEN RETURN tsql.cut_units(value, units); END IF;
    RAISE EXCEPTION USING ERRCODE = 'M2628', MESSAGE = format(
        'String or binary data would be truncated in table ''%s'', column ''%s''. Truncated value: ''%s''.',
        in_table, in_column, tsql.text_of(tsql.cut_units(value, least(units, 100))));
END $$;
CREATE FUNCTION tsql.fit_bytes(value bpchar, units int4, in_table text, in_column text) RETURNS bpchar
    LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF value IS NULL OR tsql.bytes(value) <= units THEN RETURN value; END IF;
    IF char_length(rtrim(tsql.text_of(value), ' ')) <= units THEN RETURN tsql.cut_bytes(value, units); END IF;
    RAISE EXCEPTION USING ERRCODE = 'M2628', MESSAGE = format(
        'String or binary data would be truncated in table ''%s'', column ''%s''. Truncated value: ''%s''.',
        in_table, in_column, left(tsql.text_of(value), least(units, 100)));
END $$;
CREATE FUNCTION tsql.fit_utf8(value bpchar, units int4, in_table text, in_column text) RETURNS bpchar
    LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE trimmed text := rtrim(tsql.text_of(value), ' ');
BEGIN
    IF value IS NULL OR octet_length(value) <= units THEN RETURN value; END IF;
    IF octet_length(trimmed) <= units THEN RETURN rpad(trimmed, char_length(trimmed) + units - octet_length(trimmed))::bpchar; END IF;
    RAISE EXCEPTION USING ERRCODE = 'M2628', MESSAGE = format(
        'String or binary data would be truncated in table ''%s'', column ''%s''. Truncated value: ''%s''.',
        in_table, in_column, left(tsql.text_of(value), least(units, 100)));
END $$;
CREATE FUNCTION tsql.fit_binary(value bytea, units int4, in_table text, in_column text) RETURNS bytea
    LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF value IS NULL OR octet_length(value) <= units THEN RETURN value; END IF;
    IF octet_length(rtrim(value, '\x00'::bytea)) <= units THEN RETURN substr(value, 1, units); END IF;
    RAISE EXCEPTION USING ERRCODE = 'M2628', MESSAGE = format(
        'String or binary data would be truncated in table ''%s'', column ''%s''. Truncated value: ''%s''.',
        in_table, in_column, '');
END $$;
CREATE FUNCTION tsql.pad_units(value bpchar, units int4) RETURNS bpchar LANGUAGE sql IMMUTABLE STRICT
    AS $$ SELECT (tsql.text_of(value) || repeat(' ', units - tsql.units(value)))::bpchar $$;
CREATE FUNCTION tsql.pad_bytes(value bpchar, units int4) RETURNS bpchar LANGUAGE sql IMMUTABLE STRICT
    AS $$ SELECT (tsql.text_of(value) || repeat(' ', units - tsql.bytes(value)))::bpchar $$;
CREATE FUNCTION tsql.pad_binary(value bytea, units int4) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT
    AS $$ SELECT value || decode(repeat('00', units - octet_length(value)), 'hex') $$;
CREATE FUNCTION tsql.pad_binary_left(value bytea, units int4) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT
    AS $$ SELECT decode(repeat('00', units - octet_length(value)), 'hex') || value $$;

-- Characters that code page 1252 lacks become question marks.
CREATE FUNCTION tsql.to_code_page(value bpchar) RETURNS bpchar LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE source text COLLATE "C" := tsql.text_of(value); result text := ''; one text;
BEGIN
    IF octet_length(source) = char_length(source) THEN RETURN value; END IF;
    FOREACH one IN ARRAY regexp_split_to_array(source COLLATE "C", '') LOOP
        IF ascii(one) < 128 OR (ascii(one) BETWEEN 160 AND 255)
            OR strpos('€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ' COLLATE "C", one) > 0 THEN
            result := result || one;
        ELSE
            result := result || repeat('?', tsql.units(one::bpchar));
        END IF;
    END LOOP;
    RETURN result::bpchar;
END $$;

CREATE FUNCTION tsql.text_to_integer(value bpchar, wanted text) RETURNS numeric LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE trimmed text COLLATE "C" := btrim(tsql.text_of(value), E' \t\r\n') COLLATE "C"; low numeric; high numeric; number numeric;
BEGIN
    IF trimmed = '' THEN RETURN 0; END IF;
    IF trimmed !~ '^[+-]?[0-9]+$' THEN
        IF wanted = 'bigint' THEN
            RAISE EXCEPTION USING ERRCODE = 'M8114', MESSAGE = 'Error converting data type nvarchar to bigint.';
        END IF;
        RAISE EXCEPTION USING ERRCODE = 'M0245', MESSAGE = format(
            'Conversion failed when converting the nvarchar value ''%s'' to data type %s.', trimmed, wanted);
    END IF;
    number := trimmed::numeric;
    SELECT l, h INTO low, high FROM (VALUES ('tinyint', 0, 255), ('smallint', -32768, 32767),
        ('int', -2147483648, 2147483647), ('bigint', -9223372036854775808, 9223372036854775807)) v (w, l, h)
        WHERE w = wanted;
    IF number NOT BETWEEN low AND high THEN
        RAISE EXCEPTION USING ERRCODE = CASE wanted WHEN 'int' THEN 'M0248' WHEN 'bigint' THEN 'M8115' ELSE 'M0244' END,
            MESSAGE = format('The conversion of the nvarchar value ''%s'' overflowed an %s column.', trimmed, wanted);
    END IF;
    RETURN number;
END $$;
CREATE FUNCTION tsql.text_to_bit(value bpchar) RETURNS int2 LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE trimmed text COLLATE "C" := lower(btrim(tsql.text_of(value) COLLATE "C"));
BEGIN
    IF trimmed = 'true' THEN RETURN 1; END IF;
    IF trimmed IN ('false', '') THEN RETURN 0; END IF;
    IF trimmed !~ '^[+-]?[0-9]+$' THEN
        RAISE EXCEPTION USING ERRCODE = 'M0245', MESSAGE = format(
            'Conversion failed when converting the nvarchar value ''%s'' to data type bit.', trimmed);
    END IF;
    RETURN (trimmed::numeric <> 0)::int4;
END $$;
CREATE FUNCTION tsql.to_tinyint(value numeric) RETURNS int2 LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
    IF value NOT BETWEEN 0 AND 255 THEN
        RAISE EXCEPTION USING ERRCODE = 'M0220', MESSAGE = format(
            'Arithmetic overflow error for data type tinyint, value = %s.', value);
    END IF;
    RETURN value::int2;
END $$;
CREATE FUNCTION tsql.text_to_numeric(value bpchar, wanted text) RETURNS numeric LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE trimmed text COLLATE "C" := btrim(tsql.text_of(value) COLLATE "C");
BEGIN
    IF trimmed !~ '^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)$' THEN
        RAISE EXCEPTION USING ERRCODE = 'M8114', MESSAGE = 'Error converting data type nvarchar to numeric.';
    END IF;
    RETURN trimmed::numeric;
END $$;
CREATE FUNCTION tsql.text_to_float(value bpchar) RETURNS float8 LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE trimmed text COLLATE "C" := btrim(tsql.text_of(value) COLLATE "C");
BEGIN
    IF trimmed !~ '^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$' THEN
        RAISE EXCEPTION USING ERRCODE = 'M8114', MESSAGE = 'Error converting data type nvarchar to float.';
    END IF;
    RETURN trimmed::float8;
END $$;
CREATE FUNCTION tsql.text_to_uuid(value bpchar) RETURNS uuid LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE cut text COLLATE "C" := left(btrim(tsql.text_of(value) COLLATE "C", '{}'), 36);
BEGIN
    IF cut !~ '^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$' THEN
        RAISE EXCEPTION USING ERRCODE = 'M8169',
            MESSAGE = 'Conversion failed when converting from a character string to uniqueidentifier.';
    END IF;
    RETURN cut::uuid;
END $$;
CREATE FUNCTION tsql.float_to_numeric(value float8) RETURNS numeric LANGUAGE sql IMMUTABLE STRICT
    AS $$ SELECT value::numeric $$;
CREATE FUNCTION tsql.float_to_text(value float8, style int8) RETURNS bpchar LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE shown text;
BEGIN
    -- Style 3 keeps 17 digits; the others, as SQL Server, six or scientific.
    IF style = 3 THEN RETURN btrim(to_char(value, '9.9999999999999999EEEE'))::bpchar; END IF;
    IF value = 0 THEN RETURN '0'::bpchar; END IF;
    IF abs(value) >= 1e6 OR abs(value) < 1e-4 THEN
        shown := btrim(to_char(value, '9.99999EEEE'));
        RETURN regexp_replace(regexp_replace(shown, '\.?0*e', 'e'), 'e([+-])(\d\d)$', 'e\10\2')::bpchar;
    END IF;
    shown := round(value::numeric, (5 - floor(log(abs(value))))::int4)::text;
    IF strpos(shown, '.') > 0 THEN shown := rtrim(rtrim(shown, '0'), '.'); END IF;
    RETURN shown::bpchar;
END $$;

CREATE FUNCTION tsql.binary_to_integer(value bytea) RETURNS int8 LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE result int8 := 0; i int4;
BEGIN
    FOR i IN greatest(octet_length(value) - 8, 0) .. octet_length(value) - 1 LOOP
        result := (result << 8) | get_byte(value, i);
    END LOOP;
    RETURN result;
END $$;
CREATE FUNCTION tsql.hex_to_binary(value bpchar, style int8) RETURNS bytea LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE digits text COLLATE "C" := tsql.text_of(value) COLLATE "C";
BEGIN
    IF style = 1 THEN digits := CASE WHEN digits ~ '^0[xX]' THEN substr(digits, 3) ELSE 'g' END; END IF;
    IF digits !~ '^([0-9a-fA-F]{2})*$' THEN
        RAISE EXCEPTION USING ERRCODE = 'M8114', MESSAGE = 'Error converting data type nvarchar to varbinary.';
    END IF;
    RETURN decode(digits, 'hex');
END $$;
-- UTF-16LE, or code page 1252.
CREATE FUNCTION tsql.text_to_binary(value bpchar, is_wide bool) RETURNS bytea LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE result bytea := ''; code int4; one text;
BEGIN
    IF NOT is_wide THEN RETURN convert_to(tsql.text_of(value), 'WIN1252'); END IF;
    IF value = '' AND octet_length(value) = 0 THEN RETURN result; END IF;
    FOREACH one IN ARRAY regexp_split_to_array(tsql.text_of(value) COLLATE "C", '') LOOP
        code := ascii(one);
        IF code < 65536 THEN
            result := result || set_byte(set_byte('\x0000'::bytea, 0, code & 255), 1, code >> 8);
        ELSE
            code := code - 65536;
            result := result || set_byte(set_byte('\x0000'::bytea, 0, (code >> 10) & 255), 1, 216 | (code >> 18))
                || set_byte(set_byte('\x0000'::bytea, 0, code & 255), 1, 220 | ((code >> 8) & 3));
        END IF;
    END LOOP;
    RETURN result;
END $$;
CREATE FUNCTION tsql.binary_to_text(value bytea, is_wide bool) RETURNS bpchar LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE result text := ''; i int4 := 0; code int4;
BEGIN
    IF NOT is_wide THEN RETURN convert_from(value, 'WIN1252')::bpchar; END IF;
    WHILE i + 1 < octet_length(value) LOOP
        code := get_byte(value, i) | (get_byte(value, i + 1) << 8);
        i := i + 2;
        IF code BETWEEN 55296 AND 56319 AND i + 1 < octet_length(value) THEN
            code := 65536 + ((code - 55296) << 10) + ((get_byte(value, i) | (get_byte(value, i + 1) << 8)) - 56320);
            i := i + 2;
        END IF;
        result := result || CASE WHEN code = 0 OR code BETWEEN 55296 AND 57343 THEN U&'\FFFD' ELSE chr(code) END;
    END LOOP;
    RETURN result::bpchar;
END $$;
CREATE FUNCTION tsql.uuid_to_binary(value uuid) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT substr(b, 4, 1) || substr(b, 3, 1) || substr(b, 2, 1) || substr(b, 1, 1) || substr(b, 6, 1) || substr(b, 5, 1)
        || substr(b, 8, 1) || substr(b, 7, 1) || substr(b, 9) FROM (SELECT uuid_send(value) AS b) x $$;
-- SQL Server compares the last six bytes first, then 8-9, 6-7, 4-5, 0-3.
CREATE FUNCTION tsql.guid_order(value uuid) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT substr(uuid_send(value), 11, 6) || substr(uuid_send(value), 9, 2) || substr(tsql.uuid_to_binary(value), 7, 2)
        || substr(tsql.uuid_to_binary(value), 5, 2) || substr(tsql.uuid_to_binary(value), 1, 4) $$;

-- Dates: days since 0001-01-01. Times: units of 100 ns.
CREATE FUNCTION tsql.utc_now() RETURNS int8 LANGUAGE sql STABLE AS $$
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8 * 10 + 719162 * 864000000000 $$;
CREATE FUNCTION tsql.date_of(days int8) RETURNS date LANGUAGE sql IMMUTABLE STRICT
    AS $$ SELECT date '0001-01-01' + days::int4 $$;
CREATE FUNCTION tsql.round_ticks(value int8, step int8) RETURNS int8 LANGUAGE sql IMMUTABLE STRICT
    AS $$ SELECT (value + step / 2) / step * step $$;
CREATE FUNCTION tsql.round_offset(value int8[], step int8) RETURNS int8[] LANGUAGE sql IMMUTABLE STRICT
    AS $$ SELECT ARRAY[(value[1] + step / 2) / step * step, value[2]] $$;
CREATE FUNCTION tsql.local_ticks(value int8[]) RETURNS int8 LANGUAGE sql IMMUTABLE STRICT
    AS $$ SELECT value[1] + value[2] * 600000000 $$;
-- datetime: 1/300 of a second, shown with three digits; from 1753.
CREATE FUNCTION tsql.round_datetime(value int8) RETURNS int8 LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE day int8 := value / 864000000000; part int8;
BEGIN
    IF day < 639905 THEN
        RAISE EXCEPTION USING ERRCODE = 'M0242',
            MESSAGE = 'The conversion of a datetime2 data type to a datetime data type resulted in an out-of-range value.';
    END IF;
    part := ((value % 864000000000) * 3 + 50000) / 100000;
    RETURN day * 864000000000 + (part * 10 + 1) / 3 * 10000;
END $$;
CREATE FUNCTION tsql.fraction(ticks int8, scale int4) RETURNS text LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT CASE WHEN scale = 0 THEN '' ELSE '.' || left(lpad((ticks % 10000000)::text, 7, '0'), scale) END $$;
CREATE FUNCTION tsql.clock_text(ticks int8, scale int4) RETURNS text LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT lpad((ticks / 36000000000)::text, 2, '0') || ':' || lpad((ticks / 600000000 % 60)::text, 2, '0') || ':'
        || lpad((ticks / 10000000 % 60)::text, 2, '0') || tsql.fraction(ticks, scale) $$;
CREATE FUNCTION tsql.date_to_text(days int4, style int8) RETURNS bpchar LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT to_char(tsql.date_of(days), CASE style WHEN 112 THEN 'YYYYMMDD' WHEN 101 THEN 'MM/DD/YYYY'
        WHEN 103 THEN 'DD/MM/YYYY' WHEN 104 THEN 'DD.MM.YYYY' ELSE 'YYYY-MM-DD' END)::bpchar $$;
CREATE FUNCTION tsql.time_to_text(ticks int8, scale int4) RETURNS bpchar LANGUAGE sql IMMUTABLE STRICT
    AS $$ SELECT tsql.clock_text(ticks, scale)::bpchar $$;
CREATE FUNCTION tsql.ticks_to_text(ticks int8, scale int4, style int8) RETURNS bpchar LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT (CASE WHEN style = 112 THEN to_char(tsql.date_of(ticks / 864000000000), 'YYYYMMDD')
        WHEN style = 0 THEN to_char(tsql.date_of(ticks / 864000000000), 'Mon ')
            || lpad(to_char(tsql.date_of(ticks / 864000000000), 'FMDD'), 2, ' ')
            || to_char(tsql.date_of(ticks / 864000000000), ' YYYY ')
            || lpad(to_char(timestamp '2000-01-01' + (ticks % 864000000000 / 10) * interval '1 microsecond', 'FMHH12:MIAM'), 7, ' ')
        ELSE to_char(tsql.date_of(ticks / 864000000000), 'YYYY-MM-DD')
            || CASE WHEN style IN (126, 127) THEN 'T' ELSE ' ' END
            || tsql.clock_text(ticks % 864000000000, CASE WHEN style IN (20, 120) THEN 0 ELSE scale END) END)::bpchar $$;
CREATE FUNCTION tsql.offset_to_text(value int8[], scale int4, style int8) RETURNS bpchar LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT (tsql.text_of(tsql.ticks_to_text(tsql.local_ticks(value), scale, CASE WHEN style = 126 THEN 126 ELSE 121 END))
        || CASE WHEN style = 126 THEN '' ELSE ' ' END || CASE WHEN value[2] < 0 THEN '-' ELSE '+' END
        || lpad((abs(value[2]) / 60)::text, 2, '0') || ':' || lpad((abs(value[2]) % 60)::text, 2, '0'))::bpchar $$;

CREATE FUNCTION tsql.bad_date() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'M0241',
        MESSAGE = 'Conversion failed when converting date and/or time from character string.';
END $$;
-- [days, ticks of the day, offset in minutes or NULL]
CREATE FUNCTION tsql.parse_date(value bpchar) RETURNS int8[] LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
    source text COLLATE "C" := btrim(tsql.text_of(value) COLLATE "C");
    p text[]; days int8 := 693595; ticks int8 := 0; minutes int8; d date;
BEGIN
    p := regexp_match(source, '^(?:(\d{4})-?(\d{2})-?(\d{2}))?(?:[T ]*(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,7}))?)?)?'
        || ' *(Z|[+-]\d{2}:\d{2})?$');
    IF p IS NULL OR source = '' THEN PERFORM tsql.bad_date(); END IF;
    IF p[1] IS NOT NULL THEN
        BEGIN
            d := make_date(p[1]::int4, p[2]::int4, p[3]::int4);
        EXCEPTION WHEN datetime_field_overflow THEN PERFORM tsql.bad_date();
        END;
        days := d - date '0001-01-01';
    END IF;
    IF p[4] IS NOT NULL THEN
        IF p[4]::int4 > 23 OR p[5]::int4 > 59 OR coalesce(p[6]::int4, 0) > 59 THEN PERFORM tsql.bad_date(); END IF;
        ticks := ((p[4]::int8 * 60 + p[5]::int8) * 60 + coalesce(p[6]::int8, 0)) * 10000000
            + rpad(coalesce(p[7], ''), 7, '0')::int8;
    END IF;
    IF p[8] = 'Z' THEN minutes := 0;
    ELSIF p[8] IS NOT NULL THEN
        minutes := (substr(p[8], 2, 2)::int8 * 60 + substr(p[8], 5, 2)::int8) * CASE left(p[8], 1) WHEN '-' THEN -1 ELSE 1 END;
        IF abs(minutes) > 840 THEN PERFORM tsql.bad_date(); END IF;
    END IF;
    RETURN ARRAY[days, ticks, minutes];
END $$;
CREATE FUNCTION tsql.text_to_date(value bpchar) RETURNS int4 LANGUAGE sql IMMUTABLE STRICT
    AS $$ SELECT (tsql.parse_date(value))[1]::int4 $$;
CREATE FUNCTION tsql.text_to_time(value bpchar) RETURNS int8 LANGUAGE sql IMMUTABLE STRICT
    AS $$ SELECT (tsql.parse_date(value))[2] $$;
CREATE FUNCTION tsql.text_to_ticks(value bpchar) RETURNS int8 LANGUAGE sql IMMUTABLE STRICT
    AS $$ SELECT p[1] * 864000000000 + p[2] FROM (SELECT tsql.parse_date(value) AS p) x $$;
CREATE FUNCTION tsql.text_to_offset(value bpchar) RETURNS int8[] LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE p int8[] := tsql.parse_date(value); ticks int8;
BEGIN
    ticks := p[1] * 864000000000 + p[2] - coalesce(p[3], 0) * 600000000;
    IF ticks < 0 OR ticks >= 3155378976000000000 THEN
        RAISE EXCEPTION USING ERRCODE = 'M0242', MESSAGE =
            'The conversion of a nvarchar data type to a datetimeoffset data type resulted in an out-of-range value.';
    END IF;
    RETURN ARRAY[ticks, coalesce(p[3], 0)];
END $$;
CREATE FUNCTION tsql.add_ticks(value int8, ticks int8) RETURNS int8 LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
    IF value + ticks < 0 OR value + ticks >= 3155378976000000000 THEN
        RAISE EXCEPTION USING ERRCODE = 'M0517', MESSAGE = 'Adding a value to a ''datetime2'' column caused an overflow.';
    END IF;
    RETURN value + ticks;
END $$;
CREATE FUNCTION tsql.add_months(value int8, months int8) RETURNS int8 LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE d date := (tsql.date_of(value / 864000000000) + months * interval '1 month')::date;
BEGIN
    IF d < date '0001-01-01' OR d > date '9999-12-31' THEN
        RAISE EXCEPTION USING ERRCODE = 'M0517', MESSAGE = 'Adding a value to a ''datetime2'' column caused an overflow.';
    END IF;
    RETURN (d - date '0001-01-01')::int8 * 864000000000 + value % 864000000000;
END $$;
CREATE FUNCTION tsql.months_of(value int8) RETURNS int8 LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT (extract(year FROM d) * 12 + extract(month FROM d) - 1)::int8 FROM (SELECT tsql.date_of(value / 864000000000) AS d) x $$;
CREATE FUNCTION tsql.date_part(part bpchar, value int8) RETURNS int4 LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT (CASE WHEN part::text IN ('year', 'yy', 'yyyy') THEN extract(year FROM d)
        WHEN part::text IN ('quarter', 'qq', 'q') THEN extract(quarter FROM d)
        WHEN part::text IN ('month', 'mm', 'm') THEN extract(month FROM d)
        WHEN part::text IN ('day', 'dd', 'd') THEN extract(day FROM d)
        WHEN part::text IN ('dayofyear', 'dy', 'y') THEN extract(doy FROM d)
        WHEN part::text IN ('weekday', 'dw') THEN extract(dow FROM d) + 1
        WHEN part::text IN ('hour', 'hh') THEN value % 864000000000 / 36000000000
        WHEN part::text IN ('minute', 'mi', 'n') THEN value / 600000000 % 60
        WHEN part::text IN ('second', 'ss', 's') THEN value / 10000000 % 60
        WHEN part::text IN ('millisecond', 'ms') THEN value / 10000 % 1000
        WHEN part::text IN ('microsecond', 'mcs') THEN value / 10 % 1000000 END)::int4
    FROM (SELECT tsql.date_of(value / 864000000000) AS d) x $$;

-- LIKE: % _ [a-z] [^a-z], with ESCAPE.
CREATE FUNCTION tsql.matches(value bpchar, pattern bpchar, escape text, exact bool) RETURNS bool
    LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE source text COLLATE "C" := tsql.text_of(pattern) COLLATE "C"; regex text := '^'; i int4 := 1; one text; stop int4;
BEGIN
    IF value IS NULL OR pattern IS NULL THEN RETURN NULL; END IF;
    WHILE i <= char_length(source) LOOP
        one := substr(source, i, 1);
        IF escape IS NOT NULL AND one = escape COLLATE "C" THEN
            i := i + 1;
            regex := regex || regexp_replace(substr(source, i, 1), '([^a-zA-Z0-9 ])', '\\\1');
        ELSIF one = '%' THEN regex := regex || '.*';
        ELSIF one = '_' THEN regex := regex || '.';
        ELSIF one = '[' AND strpos(substr(source, i + 1), ']') > 1 THEN
            stop := strpos(substr(source, i + 1), ']');
            regex := regex || '[' || replace(substr(source, i + 1, stop - 1), '\', '\\') || ']';
            i := i + stop;
        ELSE regex := regex || regexp_replace(one, '([^a-zA-Z0-9 ])', '\\\1');
        END IF;
        i := i + 1;
    END LOOP;
    IF exact THEN RETURN tsql.text_of(value) COLLATE "C" ~ ('(?s)' || regex || '$'); END IF;
    RETURN tsql.text_of(value) COLLATE "C.utf8" ~* ('(?s)' || regex || ' *$');
END $$;
CREATE FUNCTION tsql.hash_bytes(algorithm bpchar, value bytea) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT CASE upper(algorithm::text) WHEN 'MD5' THEN decode(md5(value), 'hex') WHEN 'SHA2_256' THEN sha256(value)
        WHEN 'SHA2_512' THEN sha512(value) END $$;
CREATE FUNCTION tsql.is_numeric(value text) RETURNS int4 LANGUAGE sql IMMUTABLE
    AS $$ SELECT coalesce((value COLLATE "C" ~ '^ *[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)? *$')::int4, 0) $$;
-- json: what is kept of a document, as it was seen at SQL Server 2025. Blanks go; of members with one name the first one
-- stays; numbers stay as they are written, but one with an exponent, or with more digits than a decimal has, is rounded to ten
-- digits behind the point.
CREATE FUNCTION tsql.json_number(value text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE plain text := ltrim(value, '-'); number numeric;
BEGIN
    IF value !~ '[eE]' AND char_length(replace(ltrim(plain, '0'), '.', '')) <= 38 THEN
        RETURN CASE WHEN value::numeric = 0 THEN plain ELSE value END;
    END IF;
    number := CASE WHEN value ~ '[eE]' THEN value::float8::numeric ELSE value::numeric END;
    IF abs(number) >= (CASE WHEN value ~ '[eE]' THEN 1e28 ELSE 1e38 END) THEN
        RAISE EXCEPTION USING ERRCODE = 'M1007', MESSAGE = format(
            'The number ''%s'' is out of the range for numeric representation (maximum precision 38).', value);
    END IF;
    RETURN round(number, 10)::text;
END $$;
CREATE FUNCTION tsql.json_form(value json, depth int4) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE kind text := json_typeof(value); form text; items int8;
BEGIN
    IF kind = 'number' THEN RETURN tsql.json_number(btrim(value::text, E' \t\n\r')); END IF;
    IF kind = 'string' THEN RETURN to_json(value #>> '{}')::text; END IF;
    IF kind NOT IN ('object', 'array') THEN RETURN btrim(value::text, E' \t\n\r'); END IF;
    IF depth >= 128 THEN
        RAISE EXCEPTION USING ERRCODE = 'J3645', MESSAGE = 'Nested level of JSON document exceeds limit 128.';
    END IF;
    IF kind = 'array' THEN
        SELECT count(*), '[' || coalesce(string_agg(tsql.json_form(e.value, depth + 1), ',' ORDER BY e.n), '') || ']'
            INTO items, form FROM json_array_elements(value) WITH ORDINALITY AS e (value, n);
    ELSE
        items := (SELECT count(*) FROM json_each(value));
        SELECT '{' || coalesce(string_agg(to_json(m.key)::text || ':' || tsql.json_form(m.value, depth + 1), ',' ORDER BY m.n), '')
            || '}' INTO form
            FROM (SELECT DISTINCT ON (e.key) e.key, e.value, e.n FROM json_each(value) WITH ORDINALITY AS e (key, value, n)
                ORDER BY e.key, e.n) AS m;
    END IF;
    IF items > 65535 THEN
        RAISE EXCEPTION USING ERRCODE = 'J3647',
            MESSAGE = 'Number of items in one object/array exceeds limit 65535 in JSON type.';
    END IF;
    RETURN form;
END $$;
CREATE FUNCTION tsql.json_of(value bpchar) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE document json;
BEGIN
    document := tsql.text_of(value)::json;
    IF json_typeof(document) NOT IN ('object', 'array') THEN
        RAISE EXCEPTION USING ERRCODE = '22P02';
    END IF;
    RETURN tsql.json_form(document, 0);
EXCEPTION WHEN invalid_text_representation OR untranslatable_character THEN
    RAISE EXCEPTION USING ERRCODE = 'J3609', MESSAGE = 'JSON text is not properly formatted.';
END $$;
CREATE FUNCTION tsql.json_to_text(value text, units int4, is_wide bool) RETURNS bpchar LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE form bpchar := value::bpchar;
BEGIN
    IF (CASE WHEN is_wide THEN tsql.units(form) ELSE tsql.bytes(form) END) > units THEN
        RAISE EXCEPTION USING ERRCODE = 'J3639',
            MESSAGE = 'Target string size is too small to represent the JSON instance.';
    END IF;
    RETURN CASE WHEN is_wide THEN form ELSE tsql.to_code_page(form) END;
END $$;
-- TRY_CAST: the text in PostgreSQL's own form of the type, or NULL.
CREATE FUNCTION tsql.attempt(value bpchar, type_name text, family text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE p text[] := regexp_match(type_name, '\((\d+)(?:,(\d+))?\)');
BEGIN
    RETURN CASE
        WHEN type_name = 'bit' THEN tsql.text_to_bit(value)::text
        WHEN family = 'integer' THEN tsql.text_to_integer(value, type_name)::text
        WHEN family = 'decimal' AND p IS NULL THEN tsql.text_to_numeric(value, '')::numeric(19, 4)::text
        WHEN family = 'decimal' THEN (CASE WHEN abs(round(tsql.text_to_numeric(value, ''), p[2]::int4))
            < 10::numeric ^ (p[1]::int4 - p[2]::int4) THEN round(tsql.text_to_numeric(value, ''), p[2]::int4) END)::text
        WHEN family = 'float' THEN tsql.text_to_float(value)::text
        WHEN family = 'date' THEN tsql.text_to_date(value)::text
        WHEN family = 'time' THEN tsql.round_ticks(tsql.text_to_time(value), (10 ^ (7 - p[1]::int4))::int8)::text
        WHEN type_name = 'datetime' THEN tsql.round_datetime(tsql.text_to_ticks(value))::text
        WHEN family = 'datetime' THEN tsql.text_to_ticks(value)::text
        WHEN family = 'offset' THEN tsql.text_to_offset(value)::text
        WHEN family = 'json' THEN tsql.json_of(value)
        WHEN family = 'uuid' THEN tsql.text_to_uuid(value)::text END;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $$;
