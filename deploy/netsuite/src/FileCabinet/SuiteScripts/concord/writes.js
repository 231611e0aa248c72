/**
 * Guarded writes, one after the other: load, decide on what was loaded, save.
 *
 * Decision and save are one step because NetSuite refuses to save a record that was changed since it was loaded
 * (RCRD_HAS_BEEN_CHANGED). `submitFields` has no such check and is not used here.
 *
 * The port, given by the RESTlet: load(type, id), create(type), save(record) → id, remove(record, id),
 * findExternal(type, externalId) → {id, stamp, lastModified} or null, lastModified(type, id), remainingUsage(),
 * elapsedMs(), now(), isOnDay(date, day), log(level, title, details).
 *
 * @NApiVersion 2.1
 * @NModuleScope SameAccount
 */
define(['./fields', './guard', './apply', './protocol', './recordview', './values', './capture'], (
    fields, guard, apply, protocol, recordview, values, capture,
) => {
    /** A SuiteQL query, and finding out which item record an item is. */
    const QUERY_UNITS = 10;
    const LOOKUP_UNITS = 1;
    /** A RESTlet has 300 seconds; no write is begun in the last of them. */
    const TIME_BUDGET_MS = 240000;

    const ABSENT = ['RCRD_DSNT_EXIST', 'NONEXISTENT_ID'];
    const CHANGED = ['RCRD_HAS_BEEN_CHANGED'];
    const TAKEN = ['DUP_RCRD', 'DUPLICATE_EXTERNAL_ID'];

    /** The most a write can cost, so that none is begun that could end in its middle. */
    const unitsOf = (item, type) => {
        const { load, save } = type.units;
        const find = type.loadAs ? 0 : LOOKUP_UNITS;
        if (item.kind === 'create') {
            return QUERY_UNITS + load + save + QUERY_UNITS + (item.lines ? load : 0);
        }
        if (item.kind === 'delete') return find + load + save;
        const adds = item.lines && item.lines.upsert.some((line) => values.isEmpty(line.line));
        return find + load + save + QUERY_UNITS + (adds ? find + load : 0);
    };

    const outOfRoom = (item, type, port) => {
        if (port.remainingUsage() < unitsOf(item, type)) {
            return ['SSS_USAGE_LIMIT_EXCEEDED', 'Script Execution Usage Limit Exceeded'];
        }
        if (port.elapsedMs() >= TIME_BUDGET_MS) {
            return ['SSS_TIME_LIMIT_EXCEEDED', 'Script Execution Time Exceeded'];
        }
        return null;
    };

    // What is read after the save only describes it. A fault here must not make a landed write look refused.
    const afterwards = (read, otherwise) => {
        try {
            return read();
        } catch (_) {
            return otherwise;
        }
    };

    const modifiedOf = (record) => afterwards(() => {
        const value = record.getValue({ fieldId: 'lastmodifieddate' });
        return values.kindOf(null, value) === 'moment' ? values.instantOf(value) : null;
    }, null);

    /** A landed create or update, with the ids of its lines. */
    const landed = (item, type, id, set, before, port) => {
        const lines = { ...set.named };
        if (set.added.length > 0) {
            Object.assign(lines, afterwards(() => apply.newLineIds(port.load(type, id), type, before, set.added), {}));
        }
        const lastModified = afterwards(() => port.lastModified(type, id), null);
        return protocol.result(item.writeId, 'ok', { id, stamp: item.stamp, lastModified, lines });
    };

    const duplicate = (item, found) => protocol.result(item.writeId, 'duplicate', {
        id: found.id, stamp: guard.stampNumber(found.stamp, item.rid), lastModified: found.lastModified,
    });

    const create = (item, type, port) => {
        const taken = item.externalId && port.findExternal(type, item.externalId);
        if (taken) return duplicate(item, taken);
        const record = port.create(type);
        const set = apply.changes(record, type, item);
        let id;
        try {
            id = port.save(record);
        } catch (error) {
            // Between the look and the save somebody else created it: most likely an earlier request of ours.
            const found = TAKEN.includes(error.name) && item.externalId && port.findExternal(type, item.externalId);
            if (found) return duplicate(item, found);
            throw error;
        }
        return landed(item, type, id, set, new Set(), port);
    };

    const change = (item, type, port, seen) => {
        if (!/^-?\d+$/.test(item.id || '')) return protocol.result(item.writeId, 'gone');
        const record = port.load(type, item.id);
        const { status, number } = guard.verdict(record, type, item, port.isOnDay);
        Object.assign(seen, { id: item.id, stamp: number, lastModified: modifiedOf(record) });
        if (status !== 'pass') return protocol.result(item.writeId, status, seen);
        if (item.kind === 'delete') {
            port.remove(record, item.id);
            const lastModified = values.instantOf(new Date(port.now()));
            return protocol.result(item.writeId, 'ok', { id: item.id, stamp: item.stamp, lastModified });
        }
        const before = new Set(recordview.lineIndexes(record, type).keys());
        const set = apply.changes(record, type, item);
        const id = port.save(record);
        return landed(item, type, id, set, before, port);
    };

    /** What NetSuite's own refusal of a write means, beside what was seen of the record. */
    const refused = (item, seen, error) => {
        const code = capture.codeOf(error);
        if (ABSENT.includes(code)) return protocol.result(item.writeId, 'gone', { code });
        const message = (error && error.message) || '';
        return protocol.result(item.writeId, CHANGED.includes(code) ? 'stale' : 'invalid', { ...seen, code, message });
    };

    const one = (json, port) => {
        let item;
        try {
            item = protocol.item(json);
        } catch (error) {
            const { name, message } = error;
            return protocol.result(protocol.writeIdOf(json), 'invalid', { code: name, message });
        }
        const type = fields.named(item.typeName);
        if (!type) {
            const message = `The record type [${item.typeName}] is invalid.`;
            return protocol.result(item.writeId, 'invalid', { code: 'INVALID_RCRD_TYPE', message });
        }
        const none = outOfRoom(item, type, port);
        if (none) return protocol.result(item.writeId, 'invalid', { code: none[0], message: none[1] });
        const seen = {};
        try {
            return item.kind === 'create' ? create(item, type, port) : change(item, type, port, seen);
        } catch (error) {
            return refused(item, seen, error);
        }
    };

    const counted = (results) => {
        const counts = {};
        results.forEach(({ status }) => { counts[status] = (counts[status] || 0) + 1; });
        return Object.keys(counts).sort().map((status) => `${status} ${counts[status]}`).join(', ');
    };

    /** Carries out a request's writes in order; one result for each. Throws only for a request that is none. */
    const carryOut = (body, port) => {
        const results = protocol.writesOf(body).map((json) => one(json, port));
        if (results.some(({ status }) => status === 'invalid')) {
            const codes = Array.from(new Set(results.map(({ code }) => code).filter(Boolean))).join(', ');
            afterwards(() => port.log('audit', 'concord: writes refused', `${counted(results)}; ${codes}`), null);
        }
        return { results, remainingUsage: port.remainingUsage() };
    };

    return { carryOut, unitsOf };
});
