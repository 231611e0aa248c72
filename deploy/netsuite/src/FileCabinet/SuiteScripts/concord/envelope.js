/**
 * The event envelope: what ingest takes (contract: JSON envelope of a change event).
 *
 * @NApiVersion 2.1
 * @NModuleScope SameAccount
 */
define([], () => {
    /** A row of the outbox holds more; beyond this the doorbell rings without saying what changed. */
    const MOST_CHARS = 100000;
    /** Longest text of one field. */
    const MOST_TEXT = 20000;

    // Ingest refuses NUL and halves of surrogate pairs; one such field must not cost the event, let alone its batch.
    const UNSAYABLE = /\u0000|[\uD800-\uDFFF]/u;

    const sayable = (value) => {
        if (typeof value === 'string') return value.length <= MOST_TEXT && !UNSAYABLE.test(value);
        if (Array.isArray(value)) return value.every(sayable);
        return value === null || typeof value !== 'object' || Object.values(value).every(sayable);
    };

    const onlySayable = (fields) => {
        const said = {};
        Object.keys(fields || {}).filter((name) => sayable(fields[name])).forEach((name) => {
            said[name] = fields[name];
        });
        return said;
    };

    /**
     * A random UUID (version 4). `random` gives numbers from 0 up to 1. Two events of one id would cost one doorbell,
     * which polling makes good, so the platform's ordinary randomness is enough.
     */
    const uuid = (random) => {
        const hex = (digits) => Array.from({ length: digits }, () => Math.floor(random() * 16).toString(16)).join('');
        const variant = (8 + Math.floor(random() * 4)).toString(16);
        return `${hex(8)}-${hex(4)}-4${hex(3)}-${variant}${hex(3)}-${hex(12)}`;
    };

    const instant = (milliseconds) => `${new Date(milliseconds).toISOString().slice(0, 19)}Z`;

    /**
     * The envelope of one event. `event`: operation, type, id, author {user, role, context}, and for what was saved
     * changes and previous. Deletes and asynchronous hints have no changes.
     */
    const of = (event, account, nowMs, random) => {
        const envelope = {
            eventId: uuid(random),
            accountId: account,
            recordType: event.type,
            recordId: String(event.id),
            eventType: event.operation,
            source: 'UE',
            timestamp: instant(nowMs),
            authContext: {
                user: String(event.author.user),
                role: String(event.author.role),
                executionContext: String(event.author.context),
            },
        };
        if (event.changes) {
            envelope.changes = onlySayable(event.changes);
            envelope.previous = onlySayable(event.previous);
        }
        return envelope;
    };

    /** The envelope as text, bounded: first the values before go, then all. */
    const text = (envelope) => {
        let said = JSON.stringify(envelope);
        if (said.length <= MOST_CHARS) return said;
        const { previous, ...rest } = envelope;
        said = JSON.stringify(rest);
        if (said.length <= MOST_CHARS) return said;
        const { changes, ...bell } = rest;
        return JSON.stringify(bell);
    };

    return { of, text, uuid };
});
