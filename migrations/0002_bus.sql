-- Schema bus: the embedded bus, used where no Pub/Sub is configured.
--
-- A message is copied to each subscription when it is published, so that acknowledging is deleting and no row is ever
-- shared. What is leased is the lane, not the message: a batch costs one update per lane it touches instead of one per
-- message, and order within a lane follows from the lease. Message rows are written twice in their life: once in, once
-- out (attempts are written only when a delivery fails).

create schema if not exists bus;

create table bus.subscriptions (
    id integer generated always as identity primary key,
    name text not null unique,
    topic text not null,
    filter_attribute text,
    filter_value text,
    created_at timestamptz not null default now(),
    check ((filter_attribute is null) = (filter_value is null))
);
comment on table bus.subscriptions is 'Who reads which topic; one row per service.';
create index subscriptions_by_topic on bus.subscriptions (topic);

create sequence bus.message_ids;
create sequence bus.lease_ids;

-- No foreign key to subscriptions: it would cost a lookup per message, and a subscription is never deleted by Concord.
create table bus.messages (
    subscription_id integer not null,
    -- '=' and the ordering key, or '~' and a number for messages without one (they are spread over 16 such lanes).
    lane text not null,
    id bigint not null,
    data bytea not null,
    attributes jsonb not null,
    -- Deliveries that ended without an acknowledgement.
    attempts integer not null default 0,
    published_at timestamptz not null default now(),
    primary key (subscription_id, lane, id)
) with (
    -- Every row dies young: vacuum by count, not by share of the table, and at full speed.
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_insert_threshold = -1,
    autovacuum_vacuum_cost_delay = 0
);
comment on table bus.messages is 'Messages waiting or in delivery, one copy per subscription; deleted when acknowledged.';
-- Payloads are small or already compressed; trying again would only cost time.
alter table bus.messages alter column data set storage external;
create index messages_by_age on bus.messages using brin (published_at);

create table bus.lanes (
    subscription_id integer not null,
    lane text not null,
    leased_until timestamptz,
    lease bigint,
    -- Highest message id handed out under the lease: if it runs out, these messages have had an attempt.
    leased_through bigint,
    served_at timestamptz not null default '-infinity',
    primary key (subscription_id, lane),
    check ((leased_until is null) = (lease is null))
) with (fillfactor = 40, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
comment on table bus.lanes is 'Who may hand out a lane''s messages, until when. Updated in place (no indexed column changes).';
