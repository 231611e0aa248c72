-- Did this event arrive? The reconciler asks for many at once, in the log and among what was refused.
create index sync_error_queue_event on sync.sync_error_queue (account_id, event_id) where event_id is not null;
