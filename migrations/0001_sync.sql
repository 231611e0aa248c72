-- Schema sync: the two-way core.
--
-- What is written often is narrow, what is wide is written seldom:
--   record_head   one narrow row per record: versions, leases, locks, doorbells, queue columns of both sides. It is the
--                 row every transaction of the core locks, first and in (account_id, record_type, rid) order.
--   record_body   the wide part: canonical state, causes of its fields, and what each side holds *as a difference* from
--                 the canonical state, since in the steady state the three are equal.
--   event_log     the immutable log of hints and entries; event_outcome holds what became of a hint, so that settling
--                 one never rewrites a row of the log.
-- Readers use the views current_state, shadow and events.
--
-- JSON that the hot path writes is kept as written (type json: checked, not taken apart); the views show jsonb. No text
-- with NUL gets in, so the cast never fails.
-- Every key leads with account_id. A rid is unique over all types of an account, so child rows are keyed (account_id, rid).
-- No triggers, no foreign keys on the hot path: child rows are only ever touched by a transaction that holds the head.

create schema if not exists sync;

create table sync.record_head (
    account_id text collate "C" not null,
    record_type text collate "C" not null,
    rid uuid not null,

    version bigint not null default 0 check (version >= 0),
    alive boolean not null default false,
    record_seq bigint not null default 0 check (record_seq >= 0),
    last_stamp bigint not null default 0 check (last_stamp >= 0),
    modified_at timestamptz,
    merged_into uuid check (merged_into <> rid),
    natural_key text collate "C",

    lease_token bigint not null default 0,
    lease_owner text,
    lease_until timestamptz,

    -- Are there rows of this record in idempotency_keys (unresolved), conflicts (open), record_lock (in force)? The
    -- usual record has none and is read without asking those tables.
    has_unresolved boolean not null default false,
    has_conflicts boolean not null default false,
    has_locks boolean not null default false,
    -- A lock on the whole record is in force.
    locked boolean not null default false,

    -- When the merge step may take the record: the earlier ready_at of its dirty sides; null = nothing to do or locked.
    merge_at timestamptz,

    sx_exists text not null default 'never' check (sx_exists in ('never', 'yes', 'deleted')),
    sx_complete boolean not null default false,
    sx_token bigint,
    sx_stamp bigint not null default 0 check (sx_stamp >= 0),
    sx_native_id text collate "C",
    sx_generation integer not null default 0 check (sx_generation >= 0),
    sx_epoch bigint not null default 0 check (sx_epoch >= 0),
    sx_inflight_write_id uuid,
    sx_dirty_seq bigint not null default 0,
    sx_hint_seq bigint not null default 0,
    -- Every hint of the side up to here is settled: where the search for unsettled ones begins.
    sx_settled_seq bigint not null default 0,
    sx_dirty_since timestamptz,
    sx_last_hint_at timestamptz,
    sx_hints integer not null default 0 check (sx_hints >= 0),
    sx_urgent boolean not null default false,
    sx_must_read boolean not null default false,
    sx_ready_at timestamptz,
    sx_retry_at timestamptz,
    sx_attempts integer not null default 0 check (sx_attempts >= 0),
    sx_owed boolean not null default false,
    -- When the side's writer may take the record: the deadline of the write in flight; else, where something is owed
    -- and may be written (side clean, record not locked), when it may try. Null = nothing to do.
    sx_act_at timestamptz,

    ns_exists text not null default 'never' check (ns_exists in ('never', 'yes', 'deleted')),
    ns_complete boolean not null default false,
    ns_token bigint,
    ns_stamp bigint not null default 0 check (ns_stamp >= 0),
    ns_native_id text collate "C",
    ns_generation integer not null default 0 check (ns_generation >= 0),
    ns_epoch bigint not null default 0 check (ns_epoch >= 0),
    ns_inflight_write_id uuid,
    ns_dirty_seq bigint not null default 0,
    ns_hint_seq bigint not null default 0,
    ns_settled_seq bigint not null default 0,
    ns_dirty_since timestamptz,
    ns_last_hint_at timestamptz,
    ns_hints integer not null default 0 check (ns_hints >= 0),
    ns_urgent boolean not null default false,
    ns_must_read boolean not null default false,
    ns_ready_at timestamptz,
    ns_retry_at timestamptz,
    ns_attempts integer not null default 0 check (ns_attempts >= 0),
    ns_owed boolean not null default false,
    ns_act_at timestamptz,

    primary key (account_id, record_type, rid),
    check (sx_dirty_seq between 0 and sx_hint_seq and ns_dirty_seq between 0 and ns_hint_seq),
    check ((lease_owner is null) = (lease_until is null))
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000,
        autovacuum_analyze_scale_factor = 0.1);
comment on table sync.record_head is 'One narrow row per record; the row every transaction of the core locks. Read current_state and shadow.';

-- The work queue. All partial: a record at rest is in none of them.
create index record_head_merge on sync.record_head (account_id, merge_at) where merge_at is not null;
create index record_head_act_sx on sync.record_head (account_id, sx_act_at) where sx_act_at is not null;
create index record_head_act_ns on sync.record_head (account_id, ns_act_at) where ns_act_at is not null;
-- Adoption by natural key (semantics §2.8).
create index record_head_natural_key on sync.record_head (account_id, record_type, natural_key)
    where natural_key is not null and alive and merged_into is null;

create table sync.record_body (
    account_id text collate "C" not null,
    rid uuid not null,
    -- Canonical values; an empty field is absent.
    state json not null,
    -- Causes, each with the fields it brought: [[{side, event_id, edited_at}, [fields]], ...].
    field_meta json not null,
    -- What a side holds: null = the canonical state; {"full": {...}} = that; {"diff": {field: [value] or []}} = the
    -- canonical state with these fields set or taken out.
    sx_state json,
    ns_state json,
    -- Sublist field -> line key -> the side's line id.
    sx_line_ids json,
    ns_line_ids json,
    primary key (account_id, rid)
) with (fillfactor = 70, toast_tuple_target = 4080, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);
comment on table sync.record_body is 'The wide part of a record, written only when folded state changes. Read current_state and shadow.';

create function sync.side_state(canonical jsonb, kept jsonb) returns jsonb
language sql immutable parallel safe
return case
    when kept is null then canonical
    when kept ? 'full' then kept -> 'full'
    else (select (canonical || coalesce(jsonb_object_agg(key, value -> 0) filter (where jsonb_array_length(value) = 1), '{}'))
                 - coalesce(array_agg(key) filter (where jsonb_array_length(value) = 0), '{}')
          from jsonb_each(kept -> 'diff'))
end;

create function sync.field_causes(kept jsonb) returns jsonb
language sql immutable parallel safe
return (select coalesce(jsonb_object_agg(field, cause -> 0), '{}')
        from jsonb_array_elements(kept) as cause, jsonb_array_elements_text(cause -> 1) as field);

create view sync.current_state as
select h.account_id, h.record_type, h.rid::text as record_id, h.version,
       coalesce(b.state::jsonb, '{}') as state, h.modified_at as last_modified, h.alive, h.rid,
       sync.field_causes(coalesce(b.field_meta::jsonb, '[]')) as field_meta, h.record_seq, h.last_stamp + 1 as next_stamp, h.natural_key,
       h.locked, h.lease_owner, h.lease_token, h.lease_until,
       h.sx_native_id as suitex_id, h.ns_native_id as netsuite_id
from sync.record_head h
left join sync.record_body b on b.account_id = h.account_id and b.rid = h.rid
where h.version > 0 and h.merged_into is null;
comment on view sync.current_state is 'Canonical records. Not shown: provisional ones (version 0) and those that turned out to be another record.';

create view sync.shadow as
select h.account_id, h.record_type, h.rid, h.rid::text as record_id, 'suitex' as side,
       h.sx_exists as exists, sync.side_state(coalesce(b.state::jsonb, '{}'), b.sx_state::jsonb) as state,
       h.sx_complete as complete, h.sx_token as token, h.sx_stamp as stamp, h.sx_native_id as native_id,
       h.sx_generation as generation, coalesce(b.sx_line_ids::jsonb, '{}') as line_ids, h.sx_epoch as epoch,
       h.sx_inflight_write_id as inflight_write_id, h.sx_dirty_seq as dirty_seq, h.sx_hint_seq as hint_seq,
       h.sx_dirty_since as dirty_since, h.sx_last_hint_at as last_hint_at, h.sx_hints as hints, h.sx_urgent as urgent,
       h.sx_must_read as must_read, h.sx_ready_at as ready_at, h.sx_retry_at as retry_at, h.sx_attempts as attempts,
       h.sx_owed as owed, case when h.sx_inflight_write_id is not null then h.sx_act_at end as deadline
from sync.record_head h
left join sync.record_body b on b.account_id = h.account_id and b.rid = h.rid
union all
select h.account_id, h.record_type, h.rid, h.rid::text, 'netsuite',
       h.ns_exists, sync.side_state(coalesce(b.state::jsonb, '{}'), b.ns_state::jsonb),
       h.ns_complete, h.ns_token, h.ns_stamp, h.ns_native_id,
       h.ns_generation, coalesce(b.ns_line_ids::jsonb, '{}'), h.ns_epoch,
       h.ns_inflight_write_id, h.ns_dirty_seq, h.ns_hint_seq,
       h.ns_dirty_since, h.ns_last_hint_at, h.ns_hints, h.ns_urgent,
       h.ns_must_read, h.ns_ready_at, h.ns_retry_at, h.ns_attempts,
       h.ns_owed, case when h.ns_inflight_write_id is not null then h.ns_act_at end
from sync.record_head h
left join sync.record_body b on b.account_id = h.account_id and b.rid = h.rid;
comment on view sync.shadow is 'What each side is known to hold, and the working columns of its doorbells and writes.';

create table sync.links (
    account_id text collate "C" not null,
    record_type text collate "C" not null,
    side text collate "C" not null check (side in ('suitex', 'netsuite')),
    native_id text collate "C" not null,
    rid uuid not null,
    generation integer not null default 0 check (generation >= 0),
    current boolean not null default true,
    linked_at timestamptz not null default now(),
    retired_at timestamptz,
    primary key (account_id, record_type, side, native_id),
    check (current = (retired_at is null))
) with (fillfactor = 90);
create unique index links_current on sync.links (account_id, record_type, rid, side) where current;
create index links_record on sync.links (account_id, rid);
comment on table sync.links is 'Which record a side''s id belongs to; retired ids stay, they are never given to another record.';

create table sync.event_log (
    account_id text collate "C" not null,
    event_id uuid not null,
    record_type text collate "C" not null,
    -- The side's own id; null while a create has none.
    record_id text collate "C",
    rid uuid not null,
    side text collate "C" check (side in ('suitex', 'netsuite')),
    source text collate "C" check (source in ('netsuite-ue', 'netsuite-poll', 'suitex', 'reconcile', 'resolution')),
    kind text collate "C" not null
        check (kind in ('hint', 'observation', 'resolution', 'claim', 'ack', 'release')),
    -- A hint's place among the doorbells of its record and side; gaps are allowed.
    seq bigint,
    -- An entry's place in the fold.
    record_seq bigint,
    operation text collate "C" check (operation in ('create', 'update', 'delete')),
    occurred_at timestamptz,
    received_at timestamptz not null,
    base_version bigint,
    changes json,
    full_snapshot_ref text,
    remote_version bigint,
    write_id uuid,
    auth_context json,
    correlation_id text,
    entry json,
    primary key (account_id, event_id),
    -- One check, since it is paid for by every event.
    check (case kind when 'hint' then seq is not null and record_seq is null and side is not null
                     else seq is null and record_seq is not null and entry is not null end)
) with (toast_tuple_target = 4080);
comment on table sync.event_log is 'The immutable log: hints as they came in, entries as they were folded. Read events.';
create unique index event_log_hints on sync.event_log (account_id, rid, side, seq) where seq is not null;
create unique index event_log_entries on sync.event_log (account_id, rid, record_seq) where record_seq is not null;
create index event_log_received on sync.event_log (account_id, received_at);

create table sync.event_outcome (
    account_id text collate "C" not null,
    event_id uuid not null,
    disposition text collate "C" not null
        check (disposition in ('applied', 'superseded', 'noop_echo', 'conflict', 'error', 'dlq')),
    applied_version bigint check (applied_version >= 0),
    settled_at timestamptz not null default now(),
    primary key (account_id, event_id)
);
comment on table sync.event_outcome is 'What became of a hint: one row, once. Read events.disposition.';

create view sync.events as
select e.event_id, e.account_id, e.record_type, e.record_id, e.rid, e.side, e.source, e.kind, e.seq, e.record_seq,
       e.operation, e.occurred_at, e.received_at, e.base_version, e.changes::jsonb as changes, e.full_snapshot_ref,
       e.remote_version, e.write_id, e.auth_context::jsonb as auth_context, e.correlation_id, e.entry::jsonb as entry,
       -- An entry is folded by the transaction that appends it.
       case when e.kind = 'hint' then o.disposition else 'applied' end as disposition,
       o.applied_version,
       case when e.kind = 'hint' then o.settled_at else e.received_at end as settled_at,
       e.event_id as id, e.occurred_at as "timestamp", (e.kind <> 'hint' or o.event_id is not null) as processed
from sync.event_log e
left join sync.event_outcome o on o.account_id = e.account_id and o.event_id = e.event_id;
comment on view sync.events is 'The log with outcomes; disposition is null until a hint is settled.';

create table sync.versions (
    account_id text collate "C" not null,
    record_type text collate "C" not null,
    rid uuid not null,
    version bigint not null check (version > 0),
    -- Fields that changed, with their new values (null = cleared).
    delta json not null,
    -- The whole state, now and then.
    full_state json,
    alive boolean not null,
    event_id uuid not null,
    -- Field -> [policy, winner].
    decisions json not null,
    created_at timestamptz not null,
    primary key (account_id, rid, version)
) with (toast_tuple_target = 4080);
comment on table sync.versions is 'Canonical versions: the difference from the one before, sometimes the whole state.';

create table sync.overrides (
    id bigint generated always as identity primary key,
    account_id text collate "C" not null,
    record_type text collate "C" not null,
    rid uuid not null,
    record_id text generated always as (rid::text) stored,
    version bigint not null check (version >= 0),
    field text not null,
    losing_value jsonb not null,
    losing_side text not null check (losing_side in ('suitex', 'netsuite')),
    winning_value jsonb not null,
    policy text not null,
    event_id uuid not null,
    created_at timestamptz not null
);
create index overrides_record on sync.overrides (account_id, rid, version);
comment on table sync.overrides is 'Values that were replaced without their author knowing.';

create table sync.conflicts (
    account_id text collate "C" not null,
    conflict_id uuid not null,
    record_type text collate "C" not null,
    rid uuid not null,
    record_id text generated always as (rid::text) stored,
    field text not null,
    reason text not null check (reason in ('manual', 'delete', 'duplicate', 'oscillation')),
    base_version bigint not null check (base_version >= 0),
    base jsonb not null,
    -- SuiteX's values; null = deleted there.
    our_changes jsonb,
    -- NetSuite's values; null = deleted there.
    remote_snapshot jsonb,
    -- NetSuite's version of the record when the conflict was last stored.
    remote_version bigint,
    rev integer not null check (rev >= 0),
    -- The observation that opened it.
    our_event_id uuid not null,
    status text not null check (status in ('open', 'resolved', 'converged')),
    resolution jsonb,
    created_ts timestamptz not null default now(),
    closed_at timestamptz,
    primary key (account_id, conflict_id),
    check ((status = 'open') = (closed_at is null))
);
create unique index conflicts_open on sync.conflicts (account_id, rid, field) where status = 'open';
create index conflicts_by_time on sync.conflicts (account_id, created_ts);
comment on table sync.conflicts is 'Two values and nobody to decide but a person.';

create table sync.record_lock (
    account_id text collate "C" not null,
    lock_id uuid not null,
    record_type text collate "C" not null,
    rid uuid not null,
    record_id text generated always as (rid::text) stored,
    -- null = the whole record.
    field text,
    reason text not null check (reason in ('conflict', 'error', 'admin')),
    conflict_id uuid,
    note text not null default '',
    locked_at timestamptz not null,
    released_at timestamptz,
    released_by text,
    locked boolean generated always as (released_at is null) stored,
    primary key (account_id, lock_id)
);
create index record_lock_in_force on sync.record_lock (account_id, rid) where released_at is null;
create unique index record_lock_of_conflict on sync.record_lock (account_id, conflict_id, coalesce(field, '*'))
    where released_at is null and conflict_id is not null;
comment on table sync.record_lock is 'Locks on records and fields; released ones stay, with released_at.';

create table sync.idempotency_keys (
    account_id text collate "C" not null,
    write_id uuid not null,
    record_type text collate "C" not null,
    rid uuid not null,
    side text collate "C" not null check (side in ('suitex', 'netsuite')),
    kind text not null check (kind in ('create', 'update', 'delete')),
    stamp bigint not null check (stamp > 0),
    expect bigint not null check (expect >= 0),
    changes json not null,
    pre json not null,
    version bigint not null check (version >= 0),
    status text collate "C" not null check (status in ('in_flight', 'acked', 'rejected', 'unknown', 'fenced')),
    deadline timestamptz not null,
    -- The side's id at the claim; once acknowledged, the id it answered with.
    native_id text,
    generation integer not null default 0 check (generation >= 0),
    occurred_at timestamptz,
    created_at timestamptz not null default now(),
    settled_at timestamptz,
    primary key (account_id, write_id),
    unique (account_id, rid, side, stamp)
) with (fillfactor = 80);
create unique index idempotency_keys_in_flight on sync.idempotency_keys (account_id, rid, side) where status = 'in_flight';
create index idempotency_keys_unresolved on sync.idempotency_keys (account_id, rid)
    where status in ('in_flight', 'unknown');
comment on table sync.idempotency_keys is 'Write intents: stored before the request is sent, settled when its fate is known.';

create table sync.outbox (
    id bigint generated always as identity primary key,
    topic text not null,
    ordering_key text,
    payload bytea not null,
    attributes jsonb not null,
    created_at timestamptz not null default now(),
    published_at timestamptz
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000, autovacuum_vacuum_cost_delay = 0);
create index outbox_unpublished on sync.outbox (id) where published_at is null;
create index outbox_published on sync.outbox using brin (published_at);
comment on table sync.outbox is 'Everything that leaves, written in the transaction that made it necessary.';

create table sync.sync_watermark (
    account_id text collate "C" not null,
    record_type text collate "C" not null,
    stream text collate "C" not null check (stream in ('modified', 'lines', 'deleted', 'system_notes')),
    -- By the remote's clock; the sweep starts an overlap before it.
    last_modified timestamptz not null,
    last_id text,
    -- By our clock: when the sweep that stored this row ended.
    last_polled timestamptz not null,
    -- By our clock: when a sweep last found something.
    last_event_seen timestamptz,
    primary key (account_id, record_type, stream)
) with (fillfactor = 50);
comment on table sync.sync_watermark is 'How far the poller has read each stream. Never moves back.';

create table sync.event_audit_log (
    id bigint generated always as identity primary key,
    account_id text collate "C" not null,
    -- The write.
    event_id uuid not null,
    record_type text collate "C" not null,
    rid uuid not null,
    -- The side's id after the write; null when it has none.
    record_id text,
    side text not null check (side in ('suitex', 'netsuite')),
    -- The service that wrote.
    source text not null,
    outcome text not null,
    -- {"fields": [names], "code": the remote's refusal}.
    payload jsonb not null,
    created_at timestamptz not null
);
create index event_audit_log_record on sync.event_audit_log (account_id, rid, id);
create index event_audit_log_account on sync.event_audit_log (account_id, id);
comment on table sync.event_audit_log is 'One row per remote write. Names of fields, never their values.';

create table sync.sync_error_queue (
    id bigint generated always as identity primary key,
    -- Empty when the message did not say, or nobody could read it.
    account_id text collate "C" not null default '',
    record_type text,
    record_id text,
    rid uuid,
    event_id uuid,
    topic text not null,
    message_id text not null,
    class text not null check (class in ('transient', 'validation', 'conflict', 'irrecoverable', 'operational')),
    code text not null,
    reason text not null,
    details jsonb not null default '{}',
    fingerprint text not null,
    -- The message as it came, for retry and edit; null when the row is not about a message.
    payload bytea,
    attributes jsonb not null default '{}',
    attempts integer not null default 0 check (attempts >= 0),
    first_failed_at timestamptz,
    created_at timestamptz not null,
    status text not null default 'open' check (status in ('open', 'retried', 'discarded', 'resolved')),
    settled_at timestamptz,
    settled_by text,
    unique (topic, message_id)
);
create index sync_error_queue_open on sync.sync_error_queue (account_id, fingerprint, id) where status = 'open';
create index sync_error_queue_account on sync.sync_error_queue (account_id, id);
comment on table sync.sync_error_queue is 'What failed and waits for a person, or was dealt with by one.';

create table sync.account (
    account_id text collate "C" primary key,
    suspended boolean not null default false,
    -- Requests at once the remote allows (ceiling) and those we take at present (AIMD between 1 and the ceiling).
    slot_ceiling integer not null default 5 check (slot_ceiling >= 1),
    slot_limit integer not null default 5 check (slot_limit between 1 and slot_ceiling),
    -- When slot_limit last moved: it grows by one per clean minute.
    slot_moved_at timestamptz,
    limits jsonb not null default '{}',
    policies jsonb not null default '{}',
    notes text not null default '',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
comment on table sync.account is 'Tenants as operated: suspension, limits, policies. Secrets are elsewhere.';

create table sync.account_slot (
    account_id text collate "C" not null,
    n integer not null check (n >= 1),
    owner text,
    lease_until timestamptz not null default '-infinity',
    token bigint not null default 0,
    primary key (account_id, n)
) with (fillfactor = 50);
comment on table sync.account_slot is 'Who uses which of an account''s requests at once. Bounds load only; nothing else depends on it.';
