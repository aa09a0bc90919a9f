-- Version 3. Records of mails, jobs and answers are kept for 400 days; those that were written before that rule say so now
-- (`ttl`, seconds since 1970 UTC). One without a time at which it was made is as old as this migration.

UPDATE mails SET body = json_set(body, '$.ttl', coalesce(unixepoch(json_extract(body, '$.receivedAt')), unixepoch()) + 400 * 86400)
 WHERE json_extract(body, '$.ttl') IS NULL;
UPDATE jobs SET body = json_set(body, '$.ttl', coalesce(unixepoch(json_extract(body, '$.createdAt')), unixepoch()) + 400 * 86400)
 WHERE json_extract(body, '$.ttl') IS NULL;
UPDATE outbox SET body = json_set(body, '$.ttl', coalesce(unixepoch(json_extract(body, '$.createdAt')), unixepoch()) + 400 * 86400)
 WHERE json_extract(body, '$.ttl') IS NULL;
