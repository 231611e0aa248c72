-- Plans cover ids that only one side knows (semantics §2.8): a request for a whole type goes through both sides' ids first.
alter table sync.resync
    add column phase text collate "C" not null default 'records' check (phase in ('suitex', 'netsuite', 'records')),
    -- The last id of the last page that was done of a side.
    add column id_position text;
alter table sync.resync_item
    -- Ids of a side that no record was known by; rid then is the record they would be adopted by, or a name of their own.
    add column suitex_id text,
    add column netsuite_id text,
    -- Of those that would become a record of their own: the other side's of the same key is the same thing.
    add column natural_key text;
create index resync_item_natural_key on sync.resync_item (resync_id, natural_key) where natural_key is not null;
