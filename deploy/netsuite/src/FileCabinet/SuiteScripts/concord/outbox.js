/**
 * The outbox: which rows go in one request, and what ingest's answer means for each of them.
 *
 * @NApiVersion 2.1
 * @NModuleScope SameAccount
 */
define([], () => {
    const RECORD = 'customrecord_concord_outbox';
    const FIELD = {
        eventId: 'custrecord_concord_ob_event', recordType: 'custrecord_concord_ob_type',
        recordId: 'custrecord_concord_ob_record', operation: 'custrecord_concord_ob_operation',
        body: 'custrecord_concord_ob_body', attempts: 'custrecord_concord_ob_attempts',
        code: 'custrecord_concord_ob_code', refused: 'custrecord_concord_ob_refused',
    };

    /** Ingest takes a hundred events and a mebibyte. */
    const MOST_EVENTS = 100;
    const MOST_BYTES = 900000;

    /** Bytes of a text in UTF-8. */
    const bytes = (text) => {
        let count = 0;
        for (const char of text) {
            const point = char.codePointAt(0);
            if (point < 0x80) count += 1;
            else if (point < 0x800) count += 2;
            else count += point < 0x10000 ? 3 : 4;
        }
        return count;
    };

    const isEnvelope = (text) => {
        try {
            const json = JSON.parse(text);
            return json !== null && typeof json === 'object' && !Array.isArray(json);
        } catch (_) {
            return false;
        }
    };

    /** Ids in lots of at most a request each, in their order. */
    const lots = (ids) => {
        const all = [];
        for (let at = 0; at < ids.length; at += MOST_EVENTS) all.push(ids.slice(at, at + MOST_EVENTS));
        return all;
    };

    /** Rows in requests that ingest takes; a row whose text is no envelope is in none of them. */
    const requests = (rows) => {
        const all = [];
        let size = 0;
        rows.filter((row) => isEnvelope(row.body)).forEach((row) => {
            const more = bytes(row.body) + 1;
            const current = all[all.length - 1];
            if (!current || current.length === MOST_EVENTS || size + more > MOST_BYTES) {
                all.push([row]);
                size = more;
            } else {
                current.push(row);
                size += more;
            }
        });
        return all;
    };

    const unreadable = (rows) => rows.filter((row) => !isEnvelope(row.body));

    const body = (rows) => `[${rows.map((row) => row.body).join(',')}]`;

    const parsed = (text) => {
        try {
            return JSON.parse(text) || {};
        } catch (_) {
            return {};
        }
    };

    const listOf = (value) => (Array.isArray(value) ? value : []);

    const acknowledged = (rows, text) => {
        const ids = new Set(listOf(parsed(text).accepted).map((event) => event && event.eventId));
        return {
            done: rows.filter((row) => ids.has(row.eventId)), refused: [],
            kept: rows.filter((row) => !ids.has(row.eventId)), code: 'not_accepted', again: false, pause: false,
        };
    };

    /** Nothing of a malformed request is published: those at fault stay behind, the others go once more. */
    const malformed = (rows, text) => {
        const named = listOf(parsed(text).errors)
            .map((error) => /^\/(\d+)(\/|$)/.exec(String(error && error.pointer)))
            .filter(Boolean)
            .map((match) => Number(match[1]));
        const faulty = new Set(named.filter((index) => index < rows.length));
        return {
            done: [], refused: rows.filter((_, index) => faulty.has(index)),
            kept: rows.filter((_, index) => !faulty.has(index)), code: 'http_400', again: faulty.size > 0, pause: false,
        };
    };

    /**
     * What an answer means: `done` may be deleted, `kept` are tried again, `refused` never will be taken; `again`: send
     * `kept` at once; `pause`: ingest has no use for more now.
     */
    const settle = (rows, { status, body: text, error }) => {
        if (status === 202) return acknowledged(rows, text);
        if (status === 400) return malformed(rows, text);
        const code = status ? `http_${status}` : error || 'no_answer';
        return { done: [], refused: [], kept: rows, code, again: false, pause: true };
    };

    return { RECORD, FIELD, lots, requests, unreadable, body, settle };
});
