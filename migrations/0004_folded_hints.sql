-- A hint that was folded by the transaction that stored it, alone, is its own entry: its row has the entry's number and
-- the version it led to, and neither a second row of the log nor an outcome repeats it.
alter table sync.event_log add column applied_version bigint check (applied_version >= 0);

alter table sync.event_log drop constraint event_log_check;
alter table sync.event_log add constraint event_log_check
    check (case kind when 'hint' then seq is not null and side is not null and entry is null
                                      and (record_seq is null) = (applied_version is null)
                     else seq is null and record_seq is not null and entry is not null end);

-- Such a version often is just what its hint says.
alter table sync.versions alter column delta drop not null;
comment on column sync.versions.delta is 'Fields that changed, with their new values; null = event_log.changes of the event.';

-- Hints are looked for by their number only until they are settled.
drop index sync.event_log_hints;
create unique index event_log_hints on sync.event_log (account_id, rid, side, seq)
    where seq is not null and record_seq is null;

-- Each process relays what it committed; a sweep takes a row only when its time has come. Published rows are deleted, so
-- the primary key finds the rest.
alter table sync.outbox add column sweep_at timestamptz not null default now();
-- Read as a whole or not at all.
alter table sync.outbox alter column attributes type json;
drop index sync.outbox_unpublished;
drop index sync.outbox_published;
create index outbox_refused on sync.outbox (published_at) where published_at is not null;

create or replace view sync.events as
select e.event_id, e.account_id, e.record_type, e.record_id, e.rid, e.side, e.source, e.kind, e.seq, e.record_seq,
       e.operation, e.occurred_at, e.received_at, e.base_version, e.changes::jsonb as changes, e.full_snapshot_ref,
       e.remote_version, e.write_id, e.auth_context::jsonb as auth_context, e.correlation_id, e.entry::jsonb as entry,
       -- An entry is folded by the transaction that appends it.
       case when e.record_seq is not null then 'applied' else o.disposition end as disposition,
       coalesce(e.applied_version, o.applied_version) as applied_version,
       case when e.record_seq is not null then e.received_at else o.settled_at end as settled_at,
       e.event_id as id, e.occurred_at as "timestamp", (e.record_seq is not null or o.event_id is not null) as processed
from sync.event_log e
left join sync.event_outcome o on o.account_id = e.account_id and o.event_id = e.event_id;
