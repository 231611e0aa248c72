/**
 * What a save changed: the fields that differ, with the values before and after.
 *
 * The event this goes into is a doorbell; whoever answers it reads the record. So a field that cannot be read is left
 * out rather than guessed at.
 *
 * @NApiVersion 2.1
 * @NModuleScope SameAccount
 */
define(['./fields', './recordview', './values'], (fields, recordview, values) => {
    /** An account may have hundreds of custom fields. */
    const MOST_FIELDS = 200;
    const MOST_LINES = 200;

    const OPERATIONS = {
        create: 'create',
        edit: 'update', xedit: 'update',
        // Buttons of an order that save it without an edit.
        approve: 'update', cancel: 'update', reject: 'update',
        delete: 'delete',
    };

    /** The event's word for a user event's type, or null for one that saves nothing of interest. */
    const operationOf = (eventType) => OPERATIONS[String(eventType).toLowerCase()] || null;

    const held = (record, type, name) => {
        if (!record) return null;
        try {
            const found = recordview.body(record, type, name);
            return found ? values.natural(found.value, found.kind) : undefined;
        } catch (_) {
            return undefined;
        }
    };

    const present = (record) => (record && typeof record.getFields === 'function' ? record.getFields() : []);

    /**
     * Names to compare: the type's own and every custom field but our stamp, which tells nobody anything new. Of an
     * inline edit only what the record holds.
     */
    const names = (record, type, inline) => {
        const there = present(record);
        const custom = there.filter((id) => id.startsWith(type.custom) && id !== type.stamp);
        const edited = (name) => there.includes(fields.idOf(type, name));
        return type.watched.filter((name) => !inline || edited(name)).concat(custom).slice(0, MOST_FIELDS);
    };

    const differ = (before, after) => JSON.stringify(before) !== JSON.stringify(after);
    // A box not ticked and a set without members are what a new record starts with.
    const blank = (value) => values.isEmpty(value) || value === false;

    const lineFields = (record, type, index) => {
        const line = {};
        type.lines.watched.forEach((name) => {
            const found = recordview.line(record, type, index, name);
            if (found) line[name] = values.natural(found.value, found.kind);
        });
        return line;
    };

    const linesOf = (record, type) => {
        const lines = {};
        if (!record || !type.lines) return lines;
        Array.from(recordview.lineIndexes(record, type)).slice(0, MOST_LINES).forEach(([id, index]) => {
            lines[id] = lineFields(record, type, index);
        });
        return lines;
    };

    /** Lines that differ. An envelope has no word for a line that went; it only stands among those before. */
    const lineDelta = (before, after) => {
        const changes = {};
        const previous = {};
        Object.keys(after).filter((id) => differ(before[id], after[id])).forEach((id) => {
            changes[id] = after[id];
            if (before[id]) previous[id] = before[id];
        });
        Object.keys(before).filter((id) => !(id in after)).forEach((id) => { previous[id] = before[id]; });
        return { changes, previous };
    };

    const addLines = (delta, type, newRecord, oldRecord) => {
        let lines;
        try {
            lines = lineDelta(linesOf(oldRecord, type), linesOf(newRecord, type));
        } catch (_) {
            return;
        }
        if (Object.keys(lines.changes).length + Object.keys(lines.previous).length === 0) return;
        delta.changes.lines = lines.changes;
        if (oldRecord) delta.previous.lines = lines.previous;
    };

    /**
     * `{changes, previous}` of a create or update. An inline edit's record holds only what was edited, so only that is
     * compared; `oldRecord` is absent on a create.
     */
    const of = (type, eventType, newRecord, oldRecord) => {
        const inline = String(eventType).toLowerCase() === 'xedit';
        const delta = { changes: {}, previous: {} };
        names(newRecord, type, inline).forEach((name) => {
            const after = held(newRecord, type, name);
            if (after === undefined) return;
            const before = oldRecord ? held(oldRecord, type, name) : null;
            if (oldRecord ? before !== undefined && differ(before, after) : !blank(after)) {
                delta.changes[name] = after;
                if (oldRecord) delta.previous[name] = before;
            }
        });
        if (type.lines && !inline) addLines(delta, type, newRecord, oldRecord);
        return delta;
    };

    return { of, operationOf };
});
