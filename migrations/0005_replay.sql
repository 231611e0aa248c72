-- The log folded anew, beside what is stored: a run folds the logs of an account and type (or of all) and keeps what each
-- record folds to, and which parts of it differ from the record as it stands. Nothing reads these tables but people and
-- the swap they ask for.
create table sync.replay_run (
    run_id uuid primary key,
    -- null = all of them.
    account_id text collate "C",
    record_type text collate "C",
    started_at timestamptz not null,
    -- null = it is running, or broke off.
    finished_at timestamptz,
    events bigint not null default 0 check (events >= 0),
    records bigint not null default 0 check (records >= 0),
    -- Records that are not what their log folds to, or whose log cannot be folded.
    differing bigint not null default 0 check (differing >= 0)
);
comment on table sync.replay_run is 'Rebuilds of records from their logs.';

create table sync.replay_record (
    run_id uuid not null references sync.replay_run on delete cascade,
    account_id text collate "C" not null,
    record_type text collate "C" not null,
    rid uuid not null,
    -- The last entry folded.
    record_seq bigint not null check (record_seq >= 0),
    -- Names of the parts that differ from what is stored.
    differs text[] not null,
    -- What the log folds to.
    folded json not null,
    swapped_at timestamptz,
    primary key (run_id, account_id, rid)
);
create index replay_record_differs on sync.replay_record (run_id, account_id, rid) where differs <> '{}';
comment on table sync.replay_record is 'What the log of each record folds to; a side projection nobody syncs from.';

-- What people do, whether it was done or refused.
create schema if not exists console;

create table console.audit (
    id bigint generated always as identity primary key,
    at timestamptz not null default now(),
    -- Who: the name of their token.
    actor text not null,
    -- The verb: resolve, undo, lock, unlock, retry, discard, account, replay, swap.
    action text not null,
    account_id text collate "C",
    record_type text collate "C",
    rid uuid,
    -- What it was done to where that is no record, or is a part of one: a conflict, lock, error, field, period.
    subject text not null default '',
    -- What the person wrote about it.
    note text not null default '',
    -- `done`, or the code of the refusal; null = it was begun and its end is not known.
    outcome text
);
create index audit_record on console.audit (account_id, rid, id) where rid is not null;
create index audit_account on console.audit (account_id, id);
comment on table console.audit is 'One row per human action, written before it. Names, never values of fields.';
