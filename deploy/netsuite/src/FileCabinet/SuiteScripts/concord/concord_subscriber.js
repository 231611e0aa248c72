/**
 * Concord: hears of saved records asynchronously, after the save, from NetSuite 2026.2 on.
 *
 * It is told the record and neither what was done nor what changed, so it leaves a bare hint in the outbox and wakes
 * the flush: the record's reader finds out the rest. An update is said even of a create or delete: what a hint says is
 * never taken for what is.
 *
 * @NApiVersion 2.1
 * @NScriptType EventSubscriber
 * @NModuleScope SameAccount
 */
define(['N/log', 'N/runtime', 'N/task', './capture', './fields', './rows'], (
    log, runtime, task, capture, fields, rows,
) => {
    const FLUSH = { scriptId: 'customscript_concord_flush', deploymentId: 'customdeploy_concord_flush_now' };

    const keep = (type, id) => {
        const user = runtime.getCurrentUser();
        const event = {
            operation: 'update', type: type.name, id,
            author: { user: user.id, role: user.role, context: runtime.executionContext },
        };
        return capture.carry(event, { mode: 'outbox', account: String(runtime.accountId) }, {
            now: () => Date.now(), random: Math.random,
            remainingUsage: () => runtime.getCurrentScript().getRemainingUsage(),
            keep: rows.keep,
            log: (level, title, details) => log[level]({ title, details }),
        });
    };

    /** One flush at a time: while one runs, NetSuite refuses another, and the row waits for the next. */
    const wake = () => {
        try {
            task.create({ taskType: task.TaskType.MAP_REDUCE, ...FLUSH }).submit();
        } catch (_) {
            // Already running, or no room: the scheduled flush comes in any case.
        }
    };

    const handle = async (options) => {
        try {
            const type = fields.ofRecord(options.context.recordType);
            if (type && keep(type, options.payload.recordId) === 'kept') wake();
        } catch (error) {
            try {
                log.error({ title: 'concord: a hint was lost', details: capture.codeOf(error) });
            } catch (_) {
                // Polling finds the change.
            }
        }
    };

    return { handle };
});
