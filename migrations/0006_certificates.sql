-- The reconciler's sweeps with their progress, the certificates they end in, and what people ask it to do again.

create table sync.sweep (
    account_id text collate "C" not null,
    record_type text collate "C" not null,
    -- When the next sweep begins: by the schedule, or because a person asked (requested_at).
    due_at timestamptz not null,
    requested_at timestamptz,

    -- The sweep under way; null between sweeps.
    sweep_id uuid,
    phase text collate "C" check (phase in ('suitex', 'netsuite', 'records')),
    -- The last id (a side's, or a rid) of the last page that was counted; null at the beginning of a phase.
    position text,
    -- What was counted so far: moves in the same statement as the position, so that no page counts twice.
    tally json,
    -- NetSuite's clock before the sweep began.
    verified_through timestamptz,
    started_at timestamptz,
    -- The newest request it answers.
    answers timestamptz,

    -- Not before this: a side did not answer.
    retry_at timestamptz,
    attempts integer not null default 0 check (attempts >= 0),
    lease_owner text,
    lease_token bigint not null default 0,
    lease_until timestamptz,
    primary key (account_id, record_type),
    check ((sweep_id is null) = (phase is null) and (sweep_id is null) = (started_at is null))
) with (fillfactor = 50);
comment on table sync.sweep is 'One row per account and type: when its sweep is due, and how far the one under way has come.';

create table sync.certificate (
    account_id text collate "C" not null,
    record_type text collate "C" not null,
    sweep_id uuid not null,
    issued_at timestamptz not null,
    verified_through timestamptz not null,
    complete boolean not null,
    -- Counts, hashes and what is not complete; see the reconciler's README.
    body jsonb not null,
    primary key (account_id, record_type, sweep_id)
);
create index certificate_newest on sync.certificate (account_id, record_type, issued_at desc);
comment on table sync.certificate is 'What a sweep of an account and type found. The newest hundred of each are kept.';

create table sync.resync (
    resync_id uuid primary key,
    account_id text collate "C" not null,
    record_type text collate "C" not null,
    kind text collate "C" not null check (kind in ('resync', 'plan')),
    status text collate "C" not null
        check (status in ('queued', 'running', 'done', 'ready', 'checking', 'applying', 'applied', 'moved', 'failed')),
    -- The records asked for; null = all of the type.
    rids uuid[],
    asked_by text not null,
    asked_at timestamptz not null,
    applied_by text,
    finished_at timestamptz,
    -- The last rid of the last page that was done.
    position uuid,
    records bigint not null default 0 check (records >= 0),
    differences bigint not null default 0 check (differences >= 0),
    -- Order-free hash of what the plan stands on.
    digest text,
    -- Records whose state is not what the plan stood on (the first of them).
    moved uuid[] not null default '{}',
    -- Why it failed, a code.
    reason text,
    retry_at timestamptz,
    attempts integer not null default 0 check (attempts >= 0),
    lease_owner text,
    lease_token bigint not null default 0,
    lease_until timestamptz
);
create index resync_open on sync.resync (account_id, asked_at)
    where status in ('queued', 'running', 'checking', 'applying');
create index resync_old on sync.resync (asked_at);
comment on table sync.resync is 'What people asked the reconciler to look at again, or to say what that would write.';

create table sync.resync_item (
    resync_id uuid not null references sync.resync on delete cascade,
    rid uuid not null,
    -- Hash of what the plan of this record stands on.
    stand text not null,
    -- Writes, conflicts, losses; null = nothing would change.
    body json,
    primary key (resync_id, rid)
);
create index resync_item_differences on sync.resync_item (resync_id, rid) where body is not null;
comment on table sync.resync_item is 'A plan, record by record.';
