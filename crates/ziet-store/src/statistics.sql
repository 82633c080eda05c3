-- How many rows share each part of a key, as they would in a large database. SQLite chooses its indexes by such figures;
-- without them it takes a project to be a few rows, and looks at all of them.
ANALYZE sqlite_schema;
DELETE FROM sqlite_stat1;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('runs', 'runs', '1000000 1000000 1'),
    ('runs', 'runs_live', '100000 100000 20000 1 1'),
    ('runs', 'runs_due', '10000 10000 2 1'),
    ('runs', 'runs_unsuccessful', '50000 50000 25000 1'),
    ('runs', 'runs_by_action', '1000000 1000000 20000 1'),
    ('runs', 'runs_by_parent', '500000 500000 10 1'),
    ('runs', 'runs_by_root', '500000 500000 20 1'),
    ('inputs', 'sqlite_autoindex_inputs_1', '1000000 1000000 1'),
    ('results', 'results', '1000000 1000000 1'),
    ('attempts', 'attempts', '1000000 1000000 1 1'),
    ('events', 'events', '5000000 5000000 5 1'),
    ('logs', 'logs', '2000000 2000000 2 1'),
    ('memories', 'memories', '500000 500000 1'),
    ('entries', 'sqlite_autoindex_entries_1', '1000000 1000000 20 1'),
    ('entries', 'entries_by_id', '1000000 1000000 20 1'),
    ('entries', 'entries_by_key', '1000000 1000000 20 2 1'),
    ('idempotency_keys', 'idempotency_keys', '500000 500000 1');
ANALYZE sqlite_schema;
