-- The newest system note of NetSuite that was there when a side was read (semantics 2.9, guard 2): newer notes of ours tell a
-- write of unknown outcome where records carry no stamp. 0 where writes go through the write RESTlet, and for SuiteX.
alter table sync.record_head
    add column sx_note bigint not null default 0,
    add column ns_note bigint not null default 0;
