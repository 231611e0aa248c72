-- A reference may name a record nobody has met yet, and that may turn out to be one we know. Values that were stored under
-- its first name are found by it: a record keeps every provisional one that became it.
alter table sync.record_head add column formerly uuid[];
comment on column sync.record_head.formerly is 'Provisional records that turned out to be this one, in rid order.';
