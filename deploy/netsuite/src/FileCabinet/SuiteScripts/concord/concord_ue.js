/**
 * Concord: tells of creates, edits, inline edits and deletes.
 *
 * Whatever happens here, the user's save is done and stays done: nothing is thrown, and in mode `outbox` nothing
 * outside the account is asked.
 *
 * @NApiVersion 2.1
 * @NScriptType UserEventScript
 * @NModuleScope SameAccount
 */
define([
    'N/cache', 'N/log', 'N/runtime',
    './breaker', './capture', './delta', './fields', './rows', './sender', './settings',
], (
    cache, log, runtime, breaker, capture, delta, fields, rows, sender, settings,
) => {
    const CACHE = 'concord';

    const store = () => {
        const entries = () => cache.getCache({ name: CACHE, scope: cache.Scope.PROTECTED });
        return {
            get: (key) => entries().get({ key }),
            put: (key, value, ttl) => entries().put({ key, value, ttl }),
            remove: (key) => entries().remove({ key }),
        };
    };

    const portsOf = (configured, began) => {
        const now = () => Date.now();
        return {
            now, random: Math.random,
            elapsedMs: () => now() - began,
            remainingUsage: () => runtime.getCurrentScript().getRemainingUsage(),
            breaker: breaker.of(store(), now),
            send: (body) => sender.post(configured, body, now()),
            keep: rows.keep,
            log: (level, title, details) => log[level]({ title, details }),
        };
    };

    const eventOf = (context, type, operation) => {
        const { newRecord, oldRecord } = context;
        const user = runtime.getCurrentUser();
        const event = {
            operation, type: type.name, id: (newRecord && newRecord.id) || oldRecord.id,
            author: { user: user.id, role: user.role, context: runtime.executionContext },
        };
        return operation === 'delete'
            ? event
            : Object.assign(event, delta.of(type, context.type, newRecord, oldRecord));
    };

    const afterSubmit = (context) => {
        const began = Date.now();
        try {
            const operation = delta.operationOf(context.type);
            const saved = context.newRecord || context.oldRecord;
            const type = operation && saved && fields.ofRecord(saved.type);
            if (!type) return;
            const configured = settings.read('custscript_concord_ue');
            if (configured.mode === 'off') return;
            capture.carry(eventOf(context, type, operation), configured, portsOf(configured, began));
        } catch (error) {
            try {
                log.error({ title: 'concord: a change was not captured', details: capture.codeOf(error) });
            } catch (_) {
                // A log that fails must not fail a save.
            }
        }
    };

    return { afterSubmit };
});
