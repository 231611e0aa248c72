-- What Concord keeps in a tenant's own database: the application's outbox and the inbox of our writes.
create schema if not exists concord;
comment on schema concord is 'Concord: outbox of the application''s changes and inbox of Concord''s writes';

-- One row per change of a record, written in the transaction of the change: by the triggers of the next migration or
-- by the application itself. It is a doorbell with an audit payload; a merge reads the record.
create table concord.outbox_events (
    id           bigint generated always as identity primary key,
    event_id     uuid not null default gen_random_uuid(),
    record_type  text not null check (record_type <> ''),
    record_id    text not null check (record_id <> ''),
    operation    text not null check (operation in ('create', 'update', 'delete')),
    changes      jsonb not null default '{}' check (jsonb_typeof(changes) = 'object'),
    row_version  bigint,
    write_id     uuid,
    actor        text,
    occurred_at  timestamptz not null default clock_timestamp(),
    published_at timestamptz,
    confirmed_at timestamptz,
    note         text
);
comment on column concord.outbox_events.changes is 'column → new value; a line table → {line id → {column → value} or null when the line is gone}';
comment on column concord.outbox_events.row_version is 'the record''s version after the change: without gaps and repeats per record; null where the application keeps none';
comment on column concord.outbox_events.write_id is 'the write of Concord that caused the change';
comment on column concord.outbox_events.published_at is 'when the broker had it; null = to be published';
comment on column concord.outbox_events.confirmed_at is 'when it was found in Concord''s log, or set aside for good (see note)';

create index outbox_events_unpublished on concord.outbox_events (id) where published_at is null;
create index outbox_events_unconfirmed on concord.outbox_events (published_at)
    where published_at is not null and confirmed_at is null;
-- Holds the promise on row_version in the database itself, and finds the last version of a deleted record whose id
-- is used again.
create unique index outbox_events_version on concord.outbox_events (record_type, record_id, row_version);

create function concord.ring_outbox() returns trigger
language plpgsql as $$
begin
    -- Equal notifications of one transaction are delivered once.
    perform pg_catalog.pg_notify('concord_outbox_events', '');
    return null;
end $$;

create trigger ring after insert on concord.outbox_events
    for each statement execute function concord.ring_outbox();

-- One row per write of Concord's that landed, inserted in the write's own transaction: the proof after a lost answer.
create table concord.sync_inbox (
    write_id    uuid primary key,
    record_type text not null,
    rid         uuid not null,
    generation  integer not null,
    kind        text not null check (kind in ('create', 'update', 'delete')),
    native_id   text,
    applied_at  timestamptz not null default clock_timestamp()
);
comment on table concord.sync_inbox is 'Concord''s writes that landed; rows of kind create name the record''s identity and are kept for ever';

-- A record is created once per generation, whatever is repeated.
create unique index sync_inbox_create on concord.sync_inbox (record_type, rid, generation) where kind = 'create';
create index sync_inbox_native on concord.sync_inbox (record_type, native_id);
