-- Times are milliseconds UTC, ids 16 bytes, JSON the bytes that the user's process wrote. Text that may hold anything
-- is bytes too. Every table and every index begins with the project: nothing is ever found across it. Keys and sessions
-- are how a request without a project finds its own, so they alone are found by themselves.

CREATE TABLE projects (
    project_id {text} NOT NULL PRIMARY KEY,
    deployment_id {blob} NOT NULL CHECK (length(deployment_id) = 16)
) {table};

CREATE TABLE deployments (
    project_id {text} NOT NULL,
    deployment_id {blob} NOT NULL CHECK (length(deployment_id) = 16),
    -- What people see and type: how the digest begins.
    version {text} NOT NULL,
    -- Of what was deployed; NULL for a folder that is served as it stands.
    digest {text} CHECK (length(digest) = 64),
    status {text} NOT NULL CHECK
        (status = 'building' OR status = 'ready' OR status = 'failed' OR status = 'removed'),
    source {blob} NOT NULL,
    -- The interpreter that executes it, and the folder of its packages where it has one of its own.
    python {blob},
    environment {blob},
    -- Why it failed, and what was said last.
    error {blob},
    log_tail {blob},
    created_by {blob} CHECK (length(created_by) = 16),
    created_at {int} NOT NULL,
    -- When it last became the active one.
    active_since {int},
    PRIMARY KEY (project_id, deployment_id),
    CHECK ((status = 'failed') = (error IS NOT NULL)),
    CHECK ((error IS NULL) = (log_tail IS NULL))
) {table};

CREATE INDEX deployments_building ON deployments (project_id, deployment_id) WHERE status = 'building';

-- What the actions of a project find in their environment.
CREATE TABLE environment (
    project_id {text} NOT NULL,
    name {text} NOT NULL,
    value {blob} NOT NULL,
    updated_at {int} NOT NULL,
    PRIMARY KEY (project_id, name)
) {table};

CREATE TABLE actions (
    project_id {text} NOT NULL,
    deployment_id {blob} NOT NULL,
    action_id {text} NOT NULL,
    -- MessagePack, as the worker's process described it.
    spec {blob} NOT NULL,
    PRIMARY KEY (project_id, deployment_id, action_id)
) {table};

-- One that came into being with a root run has the run's id, and no row before it has an entry or another root run.
CREATE TABLE memories (
    project_id {text} NOT NULL,
    memory_id {blob} NOT NULL CHECK (length(memory_id) = 16),
    -- What its entries take, so that the limit is one comparison.
    bytes {int} NOT NULL CHECK (bytes >= 0),
    -- The number of the newest entry; numbers are never used again.
    newest {int} NOT NULL CHECK (newest >= 0),
    -- How many root runs have it. Without any it is gone, whatever is left of it.
    roots {int} NOT NULL CHECK (roots >= 0),
    created_at {int} NOT NULL,
    PRIMARY KEY (project_id, memory_id)
) {table};

CREATE TABLE entries (
    project_id {text} NOT NULL,
    memory_id {blob} NOT NULL,
    -- The order in which they were added, whatever the clocks said.
    number {int} NOT NULL,
    entry_id {blob} NOT NULL CHECK (length(entry_id) = 16),
    key {text} NOT NULL,
    bytes {int} NOT NULL CHECK (bytes >= 0),
    created_at {int} NOT NULL,
    run_id {blob} CHECK (length(run_id) = 16),
    attempt {int},
    value {blob} NOT NULL,
    metadata {blob},
    PRIMARY KEY (project_id, memory_id, number)
) {wide};

CREATE UNIQUE INDEX entries_by_id ON entries (project_id, memory_id, entry_id);

CREATE INDEX entries_by_key ON entries (project_id, memory_id, key, number);

-- Narrow and hot: what a transition changes, and what the next one is decided with.
CREATE TABLE runs (
    project_id {text} NOT NULL,
    run_id {blob} NOT NULL CHECK (length(run_id) = 16),
    status {text} NOT NULL,
    waiting_on {text} CHECK
        (waiting_on = 'children' OR waiting_on = 'approval' OR waiting_on = 'memory' OR waiting_on = 'time'),
    run_at {int},
    -- The attempt of a live claim is the last one begun.
    worker {blob} CHECK (length(worker) = 16),
    attempts {int} NOT NULL CHECK (attempts >= 0),
    counted {int} NOT NULL CHECK (counted BETWEEN 0 AND attempts),
    lost_in_a_row {int} NOT NULL CHECK (lost_in_a_row BETWEEN 0 AND attempts),
    -- The attempt's own time: what it used before it last waited, and since when it goes on.
    used_ms {int} CHECK (used_ms >= 0),
    since {int},
    started_at {int},
    finished_at {int},
    action_id {text} NOT NULL,
    memory_id {blob} NOT NULL CHECK (length(memory_id) = 16),
    parent_id {blob} CHECK (length(parent_id) = 16),
    root_id {blob} NOT NULL CHECK (length(root_id) = 16),
    input_bytes {int} NOT NULL CHECK (input_bytes >= 0),
    timeout_ms {int} NOT NULL CHECK (timeout_ms >= 0),
    retries {int} NOT NULL CHECK (retries >= 0),
    backoff {text} NOT NULL CHECK (backoff = 'exponential' OR backoff = 'none'),
    on_lost {text} NOT NULL CHECK (on_lost = 'rerun' OR on_lost = 'fail'),
    created_at {int} NOT NULL,
    PRIMARY KEY (project_id, run_id),
    -- What each state has. Not with IN: SQLite would fill a table with the list each time it looks.
    CHECK (CASE status
        WHEN 'created' THEN run_at IS NULL AND worker IS NULL AND finished_at IS NULL
        WHEN 'scheduled' THEN run_at IS NOT NULL AND worker IS NULL AND finished_at IS NULL
        WHEN 'queued' THEN run_at IS NULL AND worker IS NULL AND finished_at IS NULL
        WHEN 'running' THEN run_at IS NULL AND worker IS NOT NULL AND finished_at IS NULL
        WHEN 'waiting' THEN run_at IS NULL AND worker IS NOT NULL AND finished_at IS NULL
        WHEN 'retrying' THEN run_at IS NOT NULL AND worker IS NULL AND finished_at IS NULL
        WHEN 'completed' THEN run_at IS NULL AND worker IS NULL AND finished_at IS NOT NULL
        WHEN 'failed' THEN run_at IS NULL AND worker IS NULL AND finished_at IS NOT NULL
        WHEN 'cancelled' THEN run_at IS NULL AND worker IS NULL AND finished_at IS NOT NULL
        ELSE FALSE END),
    CHECK ((status = 'running') = (since IS NOT NULL)),
    CHECK ((status = 'waiting') = (waiting_on IS NOT NULL)),
    CHECK ((worker IS NULL) = (used_ms IS NULL)),
    CHECK (worker IS NULL OR attempts > 0),
    CHECK ((attempts > 0) = (started_at IS NOT NULL))
) {table};

-- What the engine and lists look for. A run that succeeds at once leaves nothing in them but its action.
-- What a million queued runs come to is read from the index alone, which must hold all that is named for that.
CREATE INDEX runs_live ON runs (project_id, status, run_id, input_bytes, finished_at) WHERE finished_at IS NULL;

CREATE INDEX runs_due ON runs (project_id, run_at, run_id) WHERE run_at IS NOT NULL;

CREATE INDEX runs_unsuccessful ON runs (project_id, status, run_id) WHERE status = 'failed' OR status = 'cancelled';

CREATE INDEX runs_by_action ON runs (project_id, action_id, run_id);

CREATE INDEX runs_by_parent ON runs (project_id, parent_id, run_id) WHERE parent_id IS NOT NULL;

CREATE INDEX runs_by_root ON runs (project_id, root_id, run_id) WHERE parent_id IS NOT NULL;

-- Written once, with the run. What is small comes first: it can be read without what may be large.
CREATE TABLE inputs (
    project_id {text} NOT NULL,
    run_id {blob} NOT NULL,
    deployment_id {blob} CHECK (length(deployment_id) = 16),
    retry_of {blob} CHECK (length(retry_of) = 16),
    idempotency_key {blob},
    -- The call of the parent that the run answers.
    call_action_id {text},
    call_arguments {blob} CHECK (length(call_arguments) = 32),
    call_occurrence {int},
    metadata {blob},
    input {blob} NOT NULL,
    PRIMARY KEY (project_id, run_id),
    CHECK ((call_action_id IS NULL) = (call_arguments IS NULL)),
    CHECK ((call_action_id IS NULL) = (call_occurrence IS NULL))
) {wide};

CREATE TABLE idempotency_keys (
    project_id {text} NOT NULL,
    key {blob} NOT NULL,
    run_id {blob} NOT NULL,
    -- The digest of what was asked with it.
    request {blob} NOT NULL CHECK (length(request) = 32),
    PRIMARY KEY (project_id, key)
) {table};

-- Written once, when the run has finished: exactly one of the three.
CREATE TABLE results (
    project_id {text} NOT NULL,
    run_id {blob} NOT NULL,
    output {blob},
    failure {blob},
    cancelled {blob},
    PRIMARY KEY (project_id, run_id),
    CHECK (CASE WHEN output IS NULL THEN 0 ELSE 1 END
        + CASE WHEN failure IS NULL THEN 0 ELSE 1 END
        + CASE WHEN cancelled IS NULL THEN 0 ELSE 1 END = 1)
) {table};

-- Written once, when the attempt has ended.
CREATE TABLE attempts (
    project_id {text} NOT NULL,
    run_id {blob} NOT NULL,
    number {int} NOT NULL CHECK (number > 0),
    outcome {text} NOT NULL CHECK
        (outcome = 'completed' OR outcome = 'failed' OR outcome = 'timed_out' OR outcome = 'out_of_memory'
        OR outcome = 'crashed' OR outcome = 'lost' OR outcome = 'cancelled'),
    failure {blob},
    started_at {int} NOT NULL,
    finished_at {int} NOT NULL,
    cpu_ms {int},
    peak_memory_bytes {int},
    worker {blob} NOT NULL CHECK (length(worker) = 16),
    PRIMARY KEY (project_id, run_id, number)
) {table};

CREATE TABLE events (
    project_id {text} NOT NULL,
    run_id {blob} NOT NULL,
    number {int} NOT NULL,
    attempt {int} NOT NULL,
    at {int} NOT NULL,
    kind {text} NOT NULL,
    body {blob} NOT NULL,
    PRIMARY KEY (project_id, run_id, number)
) {table};

-- What attempts printed and logged, a row for a lump of lines of one attempt.
CREATE TABLE logs (
    project_id {text} NOT NULL,
    run_id {blob} NOT NULL,
    -- The number of the lump's last line in the run.
    last {int} NOT NULL,
    attempt {int} NOT NULL,
    -- The highest level among them.
    level {int} NOT NULL,
    lines {blob} NOT NULL,
    PRIMARY KEY (project_id, run_id, last)
) {table};

CREATE TABLE api_keys (
    key_id {blob} NOT NULL PRIMARY KEY CHECK (length(key_id) = 16),
    -- NULL for one that is good for all projects.
    project_id {text},
    name {blob} NOT NULL,
    scopes {text} NOT NULL,
    hash {blob} NOT NULL CHECK (length(hash) = 32),
    prefix {text} NOT NULL,
    created_at {int} NOT NULL,
    last_used_at {int},
    revoked_at {int}
) {table};

CREATE UNIQUE INDEX api_keys_by_hash ON api_keys (hash);

-- Who has signed in with a key, and until when that holds.
CREATE TABLE sessions (
    hash {blob} NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    key_id {blob} NOT NULL CHECK (length(key_id) = 16),
    created_at {int} NOT NULL,
    expires_at {int} NOT NULL
) {table};

CREATE INDEX sessions_by_expiry ON sessions (expires_at);
