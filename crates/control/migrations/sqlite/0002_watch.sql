-- Who watches asks for what was heard of since a moment.
CREATE INDEX operation_by_time ON operation (updated_at);
