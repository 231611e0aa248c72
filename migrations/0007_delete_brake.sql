-- How many records of a type vanished lately? Asked before a deletion is carried out (semantics §2.6). Versions are only
-- ever inserted, so this index costs what dies and nothing else.
create index versions_deaths on sync.versions (account_id, record_type, created_at) where not alive;
-- The brake that is on: an open row of the error queue.
create index sync_error_queue_brake on sync.sync_error_queue (account_id, record_type, id) where topic = 'delete_brake';
