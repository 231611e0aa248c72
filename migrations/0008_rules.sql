-- The rules an entry was folded under: record types with their policies, and the version of normalisation. A log is folded
-- anew under the rules of its time (semantics §2.14).
create table sync.rules (
    rules integer generated always as identity primary key,
    -- Of both, so that the same rules have one number.
    hash text not null unique,
    -- Record types as in CONCORD_TYPES.
    types text not null,
    -- Version of the normalisation of values (semantics §2.1).
    normalisation integer not null,
    first_used_at timestamptz not null default now()
);
comment on table sync.rules is 'Rules that entries of the log were folded under.';

-- Null: a hint that is no entry, or an entry from before rules were numbered.
alter table sync.event_log add column rules integer;
