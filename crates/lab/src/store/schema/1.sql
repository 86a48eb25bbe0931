CREATE TABLE trials (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    -- Hash of the names, lengths and times of the files that were read.
    signature INTEGER NOT NULL DEFAULT 0,
    -- The whole configuration as JSON; what follows repeats parts of it.
    spec TEXT NOT NULL,
    trainer TEXT NOT NULL,
    batch INTEGER NOT NULL,
    learning_rate REAL NOT NULL,
    -- Text where it is above 2^63 - 1.
    seed ANY NOT NULL,
    parameters TEXT NOT NULL,
    state TEXT NOT NULL,
    -- The whole result as JSON; what follows repeats parts of it.
    result TEXT,
    end_kind TEXT,
    end_detail TEXT,
    examples INTEGER,
    steps INTEGER,
    train_loss REAL,
    loss REAL,
    metric REAL,
    reached_value REAL,
    reached_examples REAL,
    reached_examples_low REAL,
    reached_examples_high REAL,
    reached_steps REAL,
    reached_steps_low REAL,
    reached_steps_high REAL,
    weights_sha256 TEXT,
    -- What was measured, as JSON, and parts of it.
    measured TEXT,
    seconds REAL,
    seconds_to_target REAL,
    wall_seconds REAL,
    step_seconds REAL,
    evaluation_seconds REAL,
    peak_bytes INTEGER,
    noise_scale REAL,
    failed_at INTEGER,
    failed_kind TEXT,
    failed_reason TEXT,
    n_attempts INTEGER NOT NULL,
    differs INTEGER NOT NULL
) STRICT;

CREATE INDEX trials_by_state ON trials (state);

CREATE TABLE attempts (
    key INTEGER PRIMARY KEY,
    trial INTEGER NOT NULL REFERENCES trials (key) ON DELETE CASCADE,
    -- Its place among the trial's attempts, from 0.
    position INTEGER NOT NULL,
    log TEXT NOT NULL,
    -- Seconds since 1970.
    begun_at INTEGER,
    ended_at INTEGER,
    end_kind TEXT,
    reason TEXT,
    -- What was measured, as JSON, where the log ends with it.
    measured TEXT,
    -- How far the log was read; a line counts once its end is there.
    read_bytes INTEGER NOT NULL DEFAULT 0,
    read_lines INTEGER NOT NULL DEFAULT 0,
    -- Lines among these that are none.
    bad_lines INTEGER NOT NULL DEFAULT 0,
    UNIQUE (trial, log)
) STRICT;

CREATE TABLE metrics (
    trial INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    -- The line of the log, from 1.
    line INTEGER NOT NULL,
    -- step or evaluation.
    kind TEXT NOT NULL,
    examples INTEGER NOT NULL,
    steps INTEGER NOT NULL,
    seconds REAL NOT NULL,
    train_loss REAL,
    loss REAL,
    metric REAL,
    micro_norm2 REAL,
    batch_norm2 REAL,
    micro_batch INTEGER,
    PRIMARY KEY (trial, attempt, line)
) STRICT, WITHOUT ROWID;

CREATE INDEX metrics_by_kind ON metrics (kind, examples);
CREATE INDEX evaluations ON metrics (trial, examples, steps, seconds, train_loss, loss, metric)
    WHERE kind = 'evaluation';

CREATE VIEW lines AS
    SELECT trials.id AS trial, attempts.position AS attempt, attempts.log AS log, line, kind, metrics.examples,
           metrics.steps, metrics.seconds, metrics.train_loss, metrics.loss, metrics.metric, micro_norm2, batch_norm2,
           micro_batch
    FROM metrics
    JOIN attempts ON attempts.key = metrics.attempt
    JOIN trials ON trials.key = metrics.trial;

CREATE TABLE sweeps (
    key INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    trainer TEXT NOT NULL,
    unit TEXT NOT NULL,
    is_complete INTEGER NOT NULL,
    -- The whole of sweep.json.
    file TEXT NOT NULL
) STRICT;

-- A trial is named here as soon as it is planned, which may be before it has a folder.
CREATE TABLE sweep_trials (
    sweep INTEGER NOT NULL REFERENCES sweeps (key) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    trial TEXT NOT NULL,
    PRIMARY KEY (sweep, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX sweep_trials_by_trial ON sweep_trials (trial);
