-- Capture of any table by triggers. The functions are generic; everything particular to a table comes as trigger
-- arguments. They run with the rights of their owner, so the application's roles need none in this schema.
--
-- The promise the rest of Concord builds on: per record, the outbox holds exactly one row for every value the version
-- column ever takes. So a row is written if and only if the version moves, and it moves by one:
--   raise_version   BEFORE INSERT OR UPDATE, per row   sets the version
--   capture_row     AFTER, per row                     writes the outbox row
--   capture_lines   AFTER, per statement, line tables  raises the parents' versions, one outbox row per parent
--   capture_truncate, refuse nothing: a TRUNCATE is a deletion of every row

-- The write of Concord's that is under way, if it is about this record. concord.write_for is '<type> <operation>'
-- or '<type>|<id>': changes that the application's own triggers make to other records meanwhile are not ours.
create function concord.own_write(record_type text, record_id text, operation text) returns uuid
language sql stable as $$
    select case
        when coalesce(current_setting('concord.write_for', true), '')
             in ('', record_type || '|' || record_id, record_type || ' ' || operation)
        then nullif(current_setting('concord.write_id', true), '')::uuid
    end
$$;

-- Who made the change: what the application says (set_config('concord.actor', …)), else the database role.
create function concord.actor() returns text
language sql stable as $$
    select coalesce(nullif(current_setting('concord.actor', true), ''), session_user::text)
$$;

-- True inside the update by which a line change raises the version of exactly this record.
create function concord.raised_by_lines(relation oid, record_id text) returns boolean
language sql stable as $$
    select coalesce(current_setting('concord.raising', true), '') = relation::text || '|' || record_id
$$;

-- Arguments: record type, id column, version column, columns that do not count as a change.
-- The version of a new row continues where an earlier row of the same id ended, so that no version repeats.
create function concord.raise_version() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    after    jsonb := to_jsonb(new);
    row_id   text := after ->> tg_argv[1];
    before   jsonb;
    version  bigint;
begin
    if tg_op = 'UPDATE' then
        before := to_jsonb(old);
        version := coalesce((before ->> tg_argv[2])::bigint, 0);
    end if;
    if tg_op = 'INSERT' or before ->> tg_argv[1] is distinct from row_id then
        select coalesce(max(o.row_version), 0) + 1 into version
          from concord.outbox_events o where o.record_type = tg_argv[0] and o.record_id = row_id;
    elsif concord.raised_by_lines(tg_relid, row_id)
          or before - tg_argv[3]::text[] is distinct from after - tg_argv[3]::text[] then
        version := version + 1;
    elsif before -> tg_argv[2] is not distinct from after -> tg_argv[2] then
        return new;
    else
        -- Nothing changed but the version, which is ours to raise.
        return jsonb_populate_record(new, jsonb_build_object(tg_argv[2], before -> tg_argv[2]));
    end if;
    -- updated_at is the time of the change, not of the transaction's start; a table without that column ignores it.
    return jsonb_populate_record(
        new, jsonb_build_object(tg_argv[2], version, 'updated_at', clock_timestamp()));
end $$;

-- Arguments: as raise_version. An empty version column: rows carry no version, and one is written per real change.
create function concord.capture_row() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    before  jsonb;
    after   jsonb;
    new_id  text;
    old_id  text;
    delta   jsonb;
begin
    if tg_op <> 'INSERT' then
        before := to_jsonb(old);
        old_id := before ->> tg_argv[1];
    end if;
    if tg_op <> 'DELETE' then
        after := to_jsonb(new);
        new_id := after ->> tg_argv[1];
    end if;
    -- A changed id is the end of one record and the beginning of another.
    if tg_op = 'DELETE' or (tg_op = 'UPDATE' and new_id <> old_id) then
        insert into concord.outbox_events (record_type, record_id, operation, row_version, write_id, actor)
        values (tg_argv[0], old_id, 'delete', (before ->> tg_argv[2])::bigint + 1,
                concord.own_write(tg_argv[0], old_id, 'delete'), concord.actor());
    end if;
    if tg_op = 'DELETE' then
        return null;
    end if;
    if tg_op = 'INSERT' or new_id <> old_id then
        select coalesce(jsonb_object_agg(c.key, c.value), '{}') into delta
          from jsonb_each(after - tg_argv[3]::text[]) c where c.value <> 'null';
        insert into concord.outbox_events (record_type, record_id, operation, changes, row_version, write_id, actor)
        values (tg_argv[0], new_id, 'create', delta, (after ->> tg_argv[2])::bigint,
                concord.own_write(tg_argv[0], new_id, 'create'), concord.actor());
        return null;
    end if;
    if tg_argv[2] <> '' and before -> tg_argv[2] = after -> tg_argv[2] then
        return null;
    end if;
    select coalesce(jsonb_object_agg(c.key, c.value), '{}') into delta
      from jsonb_each(after - tg_argv[3]::text[]) c where c.value is distinct from before -> c.key;
    if concord.raised_by_lines(tg_relid, new_id) then
        -- Whoever raised the version writes the row, with the lines. An update that the application's own triggers
        -- make from here on is an ordinary one.
        perform set_config('concord.raised', delta::text, true), set_config('concord.raising', '', true);
    elsif tg_argv[2] <> '' or delta <> '{}' then
        insert into concord.outbox_events (record_type, record_id, operation, changes, row_version, write_id, actor)
        values (tg_argv[0], new_id, 'update', delta, (after ->> tg_argv[2])::bigint,
                concord.own_write(tg_argv[0], new_id, 'update'), concord.actor());
    end if;
    return null;
end $$;

-- Raises a parent's version for a change of its lines and writes the one outbox row for it. A parent that is gone
-- (a cascading delete) has had its row already.
create function concord.raise_parent(
    record_type text, parent regclass, id_column text, version_column text, record_id text, line_changes jsonb
) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    version bigint;
    raised  text;
begin
    perform set_config('concord.raising', parent::oid::text || '|' || record_id, true),
            set_config('concord.raised', '{}', true);
    -- The literal takes the id column's type. The version expression itself is overruled by raise_version.
    execute format('update %s set %I = %I + 1 where %I = %L returning %I',
                   parent, version_column, version_column, id_column, record_id, version_column) into version;
    raised := current_setting('concord.raised', true);
    perform set_config('concord.raising', '', true);
    -- Gone with the lines: its own row has told that.
    if version is null then
        return;
    end if;
    insert into concord.outbox_events (record_type, record_id, operation, changes, row_version, write_id, actor)
    values (record_type, record_id, 'update', coalesce(nullif(raised, ''), '{}')::jsonb || line_changes, version,
            concord.own_write(record_type, record_id, 'update'), concord.actor());
end $$;

-- Arguments: record type, parent table, parent's id column, parent's version column, name of the line table in
-- `changes`, line id column, column naming the parent, line columns that do not count as a change.
-- Parents are raised in the order of their ids, so that two statements do not wait for each other crosswise.
create function concord.capture_lines() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    ignored      text[] := tg_argv[7]::text[];
    parent_id    text;
    line_changes jsonb;
begin
    if tg_op = 'INSERT' then
        for parent_id, line_changes in
            select n.line ->> tg_argv[6],
                   jsonb_object_agg(n.line ->> tg_argv[5], (
                       select coalesce(jsonb_object_agg(c.key, c.value), '{}')
                         from jsonb_each(n.line - ignored) c where c.value <> 'null'))
              from (select to_jsonb(r) as line from new_lines r) n
             where n.line ->> tg_argv[6] is not null
             group by 1 order by 1
        loop
            perform concord.raise_parent(tg_argv[0], tg_argv[1]::regclass, tg_argv[2], tg_argv[3], parent_id,
                                         jsonb_build_object(tg_argv[4], line_changes));
        end loop;
    elsif tg_op = 'DELETE' then
        for parent_id, line_changes in
            select o.line ->> tg_argv[6], jsonb_object_agg(o.line ->> tg_argv[5], null::text)
              from (select to_jsonb(r) as line from old_lines r) o
             where o.line ->> tg_argv[6] is not null
             group by 1 order by 1
        loop
            perform concord.raise_parent(tg_argv[0], tg_argv[1]::regclass, tg_argv[2], tg_argv[3], parent_id,
                                         jsonb_build_object(tg_argv[4], line_changes));
        end loop;
    else
        -- A line that changed its parent is gone from one and new in the other.
        for parent_id, line_changes in
            select pair.parent, jsonb_object_agg(pair.id, case
                       when pair.after is null then 'null'::jsonb
                       else (select coalesce(jsonb_object_agg(c.key, c.value), '{}') from jsonb_each(pair.after) c
                              where case when pair.before is null then c.value <> 'null'
                                         else c.value is distinct from pair.before -> c.key end)
                   end)
              from (
                  select coalesce(o.parent, n.parent) as parent, coalesce(o.id, n.id) as id, o.line as before,
                         n.line as after
                    from (select to_jsonb(r) ->> tg_argv[6] as parent, to_jsonb(r) ->> tg_argv[5] as id,
                                 to_jsonb(r) - ignored as line from old_lines r) o
                    full join
                         (select to_jsonb(r) ->> tg_argv[6] as parent, to_jsonb(r) ->> tg_argv[5] as id,
                                 to_jsonb(r) - ignored as line from new_lines r) n
                      on o.id = n.id and o.parent = n.parent
              ) pair
             where pair.parent is not null and pair.before is distinct from pair.after
             group by 1 order by 1
        loop
            perform concord.raise_parent(tg_argv[0], tg_argv[1]::regclass, tg_argv[2], tg_argv[3], parent_id,
                                         jsonb_build_object(tg_argv[4], line_changes));
        end loop;
    end if;
    return null;
end $$;

-- BEFORE TRUNCATE of a record's table; arguments as raise_version. Row triggers do not fire then.
create function concord.capture_truncate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    execute format(
        'insert into concord.outbox_events (record_type, record_id, operation, row_version, write_id, actor) '
        'select %L, t.%I::text, ''delete'', %s, concord.own_write(%L, t.%I::text, ''delete''), concord.actor() '
        'from %s t order by t.%I',
        tg_argv[0], tg_argv[1],
        case when tg_argv[2] = '' then 'null::bigint' else format('t.%I + 1', tg_argv[2]) end,
        tg_argv[0], tg_argv[1], tg_relid::regclass, tg_argv[1]);
    return null;
end $$;

-- BEFORE TRUNCATE of a line table; arguments as capture_lines. Parents that the same statement truncates have their
-- last row already.
create function concord.capture_truncated_lines() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    parent_id    text;
    line_changes jsonb;
begin
    for parent_id, line_changes in execute format(
        'select l.%I::text, jsonb_object_agg(l.%I::text, null::text) from %s l join %s p on p.%I = l.%I '
        'where not exists (select from concord.outbox_events o where o.record_type = %L '
        'and o.record_id = p.%I::text and o.row_version > p.%I) group by 1 order by 1',
        tg_argv[6], tg_argv[5], tg_relid::regclass, tg_argv[1]::regclass, tg_argv[2], tg_argv[6],
        tg_argv[0], tg_argv[2], tg_argv[3])
    loop
        perform concord.raise_parent(tg_argv[0], tg_argv[1]::regclass, tg_argv[2], tg_argv[3], parent_id,
                                     jsonb_build_object(tg_argv[4], line_changes));
    end loop;
    return null;
end $$;
