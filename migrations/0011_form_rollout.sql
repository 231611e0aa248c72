-- How far a type's records have been brought into the form of its rules (semantics §2.1). The form is a hash of those rules:
-- where it is another than the row's, the rollout begins anew.
create table sync.form_rollout (
    account_id text collate "C" not null,
    record_type text collate "C" not null,
    form text not null,
    -- The last rid of the last page that was done.
    position uuid,
    records bigint not null default 0 check (records >= 0),
    -- Those of them whose form was another.
    changed bigint not null default 0 check (changed >= 0),
    started_at timestamptz not null,
    finished_at timestamptz,
    primary key (account_id, record_type)
);
comment on table sync.form_rollout is 'How far records have been brought into the form of their type''s rules.';
