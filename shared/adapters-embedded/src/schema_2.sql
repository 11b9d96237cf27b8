-- Version 2. Batches that a sweep has to look at, found without those that are long done.
CREATE INDEX batch_without_report ON batch (status, id) WHERE document ->> '$.report_ready' = 0;
