-- Version 2. Rows that say when they expire (`ttl`, seconds since 1970 UTC) are found by it.

CREATE INDEX access_by_expiry ON access (json_extract(body, '$.ttl')) WHERE json_extract(body, '$.ttl') IS NOT NULL;
CREATE INDEX active_jobs_by_expiry ON active_jobs (json_extract(body, '$.ttl')) WHERE json_extract(body, '$.ttl') IS NOT NULL;
CREATE INDEX containers_by_expiry ON containers (json_extract(body, '$.ttl')) WHERE json_extract(body, '$.ttl') IS NOT NULL;
CREATE INDEX edit_sessions_by_expiry ON edit_sessions (json_extract(body, '$.ttl')) WHERE json_extract(body, '$.ttl') IS NOT NULL;
CREATE INDEX limits_by_expiry ON limits (json_extract(body, '$.ttl')) WHERE json_extract(body, '$.ttl') IS NOT NULL;
CREATE INDEX thread_mappings_by_expiry ON thread_mappings (json_extract(body, '$.ttl')) WHERE json_extract(body, '$.ttl') IS NOT NULL;
CREATE INDEX threads_by_expiry ON threads (json_extract(body, '$.ttl')) WHERE json_extract(body, '$.ttl') IS NOT NULL;
